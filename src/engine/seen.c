/* seen.c - How often did each token occur?  Open addressing with linear probing. */
#include "engine/seen.h"

#include <string.h>

#include "base/err.h"
#include "engine/ensure.h"

int seen_init(struct seen *s, struct arena *arena, int32_t distinct_max)
{
    ensure(distinct_max > 0 && distinct_max < 1 << 29);
    *s = (struct seen){.tokens_cap = distinct_max, .n_slots = 16};
    while (s->n_slots < 2 * (uint32_t)distinct_max)
        s->n_slots *= 2;
    s->tokens = arena_new_array(arena, struct seen_token, (size_t)distinct_max);
    s->slots = arena_new_array(arena, int32_t, s->n_slots);
    if (!s->tokens || !s->slots)
        return ERR_NOMEM;
    memset(s->slots, 0xff, s->n_slots * sizeof *s->slots);
    return OK;
}

struct seen_token *seen_get(struct seen *s, int32_t id)
{
    uint32_t mask = s->n_slots - 1, at = (uint32_t)id * 0x9e3779b1u & mask;

    while (s->slots[at] >= 0) {
        if (s->tokens[s->slots[at]].id == id)
            return &s->tokens[s->slots[at]];
        at = (at + 1) & mask;
    }
    ensure(s->n_tokens < s->tokens_cap);
    s->slots[at] = s->n_tokens;
    s->tokens[s->n_tokens] = (struct seen_token){.id = id};
    return &s->tokens[s->n_tokens++];
}
