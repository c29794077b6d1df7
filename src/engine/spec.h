/* spec.h - Guess the next tokens of a sequence, so that one step can check several.
 *
 * Guessing never changes an answer: the target samples at every position as it would have, and
 * guesses only decide whether the next position was computed in the same step already.
 *
 * The drafter here is the text itself. */
#ifndef ENGINE_SPEC_H
#define ENGINE_SPEC_H

#include <stdint.h>

/* What followed the longest earlier occurrence of the end of tokens[n]; the latest of equally long
 * ones.  Writes at most draft_max guesses, returns their number. */
int32_t spec_lookup(const int32_t *tokens, int64_t n, int32_t *draft, int32_t draft_max);

#endif
