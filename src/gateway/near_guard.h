/* near_guard.h - What two texts must have in common word for word before their likeness counts.
 *
 * Vectors of "revenue of 2023" and "revenue of 2024" are nearly the same, and so are those of a question and
 * its negation.  So the words that carry such differences are taken out of a text, in order, and a near hit
 * needs them to be equal:
 *   - words with a digit or with a sign inside (dates, versions, addresses, paths, code), and words of
 *     signs alone;
 *   - everything in quotation marks or back-quotes, and all of a text from three back-quotes on;
 *   - negations of the usual European languages, all counted as one word ("not", "never", "-n't", "sans");
 *   - words of quantity, time, order and direction that come in opposites (English): numbers, all/none,
 *     before/after, increase/decrease, from/to, ...;
 *   - names: words with a capital letter, but not a common first word of a sentence (What, Please, ...).
 * A missing rule makes a wrong answer possible, a rule too many only a miss: in doubt a word is taken out.
 * In scripts without capitals names cannot be told, so that texts with letters other than Latin,
 * Greek, Cyrillic and Armenian ones are never compared.  Pure; any thread. */
#ifndef GATEWAY_NEAR_GUARD_H
#define GATEWAY_NEAR_GUARD_H

#include <stdbool.h>

#include "base/str.h"

/* Texts are compared up to this length: models of embeddings cut longer ones in silence. */
#define NEAR_TEXT_MAX 2000

/* Append what must be equal to `out`, one word a line.  False: this text is not to be compared. */
bool near_guard(struct str text, struct buf *out);

/* Is all that two texts do not share one word of each, at one place, or one word that only one of them has?
 * Such pairs are the nearest of all and yet ask for different things ("the capital of france", "of spain"; "a
 * cake", "a chocolate cake"), whereas other words for the same question differ in more than one place or
 * word.  Words without meaning of their own ("please", "the") may differ so. */
bool near_is_a_word_apart(struct str a, struct str b);

#endif
