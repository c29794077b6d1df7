/* regex.h - Regular expressions of ECMA-262 (with the u flag) as automata.
 *
 * Understood: characters, . [..] [^..] with ranges, \d \D \w \W \s \S, \t \n \r \v \f \0 \cX \xHH
 * \uHHHH (surrogate pairs too) \u{H...}, escaped punctuation, | ( ) (?: ) (?<name> ), * + ? {m} {m,} {m,n}
 * and their lazy forms (which accept the same texts), ^ and $ (the ends of the text), \b \B, and \p{..}
 * \P{..} as far as PCRE2 knows the property (some milliseconds each). ERR_UNSUPPORTED: back-references,
 * look-ahead and look-behind, other properties. */
#ifndef GRAMMAR_REGEX_H
#define GRAMMAR_REGEX_H

#include "grammar/dfa.h"

#define REGEX_REPEAT_MAX 10000 /* {m,n} */

/* The automaton of the texts that `pattern` matches: is_whole: from their first to their last
 * character; else somewhere in them.  NULL: err has code and sentence, *offset the byte (room->code is
 * set for limits). */
struct dfa *regex_compile(struct dfa_room *room, struct str pattern, bool is_whole, size_t *offset,
                          struct err *err);

#endif
