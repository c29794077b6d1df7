/* grammar_walk.h - What targets that compile a stranger's grammar do with it: walk it, find it never
 * stuck, and compare its masks. */
#ifndef FUZZ_GRAMMAR_WALK_H
#define FUZZ_GRAMMAR_WALK_H

#include <assert.h>

#include "grammar/grammar.h"
#include "grammar_masks.h"

/* Compile data as a text of this kind; then let data choose bytes.  Where no byte may follow, the text may
 * end. */
static inline int grammar_walk(enum grammar_kind kind, const uint8_t *data, size_t n)
{
    struct grammar_spec spec = {.kind = kind, .text = str_of((const char *)data, n)};
    struct grammar_limits limits = {.nodes_max = 20000, .time_ms = 200};
    struct grammar_state *s;
    struct grammar *g;

    if (n > 2048 || grammar_compile(&g, &spec, NULL, &limits, NULL) != OK)
        return 0;
    if (grammar_state_create(&s, g, NULL) == OK) {
        for (size_t step = 0; step < 200 && !grammar_state_is_done(s); step++) {
            bool is_found = false;
            for (int b = 0; b < 256 && !is_found; b++) {
                char c = (char)((n ? data[step % n] : 0) + b * 37);
                is_found = grammar_state_accept(s, str_of(&c, 1));
            }
            assert(is_found || grammar_state_may_end(s));
        }
        grammar_state_free(s);
    }
    grammar_release(g);
    masks_compare(&spec, &limits, data, n);
    return 0;
}

#endif
