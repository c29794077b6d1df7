/* seen.h - How often did each token occur?  What penalties need of a sequence.
 *
 * A hash table of the distinct tokens, with a list of them: a penalty visits what was seen, not
 * the vocabulary.  Its memory is given once, for a known number of distinct tokens.
 * Owner: the sequence's. */
#ifndef ENGINE_SEEN_H
#define ENGINE_SEEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct seen_token {
    int32_t id;
    int32_t n_window; /* in the last tokens of prompt and answer that count */
    int32_t n_answer; /* in the answer */
};

struct seen {
    struct seen_token *tokens; /* in order of first occurrence */
    int32_t n_tokens, tokens_cap;
    int32_t *slots;   /* index into tokens, or -1 */
    uint32_t n_slots; /* power of two, at least twice tokens_cap */
};

/* ERR_NOMEM if the arena is full. */
int seen_init(struct seen *s, struct arena *arena, int32_t distinct_max);

/* The entry of a token, made if new.  Never more than distinct_max different ones. */
struct seen_token *seen_get(struct seen *s, int32_t id);

#endif
