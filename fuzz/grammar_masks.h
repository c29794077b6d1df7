/* grammar_masks.h - Masks of a stranger's grammar, beside asking token by token. */
#ifndef FUZZ_GRAMMAR_MASKS_H
#define FUZZ_GRAMMAR_MASKS_H

#include <assert.h>
#include <stdio.h>

#include "grammar/grammar.h"

enum { MASKS_WORDS = 640, MASKS_TOKENS = 256 + MASKS_WORDS + 1, MASKS_STEPS = 12 };

/* All bytes, and words of up to three of these pieces: enough of each alphabet for its groups to matter. */
static inline const struct grammar_vocab *masks_vocab(void)
{
    static const char *const pieces[] = {"a", "e", "er", "B", "é",   "日", "\"", ":",
                                         "1", " ", ".",  "-", "\\n", "}",  ",",  "\u2028"};
    static char bytes[256], words[MASKS_WORDS][16];
    static struct grammar_vocab *v;
    struct grammar_token t[MASKS_TOKENS];
    if (v)
        return v;
    for (int b = 0; b < 256; b++) {
        bytes[b] = (char)b;
        t[b] = (struct grammar_token){str_of(&bytes[b], 1), GRAMMAR_TOKEN_TEXT};
    }
    for (uint32_t w = 0; w < MASKS_WORDS; w++) {
        uint32_t x = w * UINT32_C(2654435761);
        int n = snprintf(words[w], sizeof words[w], "%s%s%s", pieces[x >> 28], pieces[x >> 24 & 15],
                         x >> 23 & 1 ? pieces[x >> 19 & 15] : "");
        t[256 + w] = (struct grammar_token){str_of(words[w], (size_t)n), GRAMMAR_TOKEN_TEXT};
    }
    t[MASKS_TOKENS - 1] = (struct grammar_token){S(""), GRAMMAR_TOKEN_END};
    int rc = grammar_vocab_create(&v, t, MASKS_TOKENS, NULL);
    assert(rc == OK);
    return v;
}

/* Follow tokens that data chooses; every mask must say what asking for each token says. */
static inline void masks_compare(const struct grammar_spec *spec, const struct grammar_limits *limits,
                                 const uint8_t *data, size_t n)
{
    uint32_t mask[MASKS_TOKENS / 32 + 1];
    struct grammar_state *s;
    struct grammar *g;
    if (grammar_compile(&g, spec, masks_vocab(), limits, NULL) != OK)
        return;
    if (grammar_state_create(&s, g, NULL) == OK) {
        for (size_t step = 0; step < MASKS_STEPS; step++) {
            int32_t n_allowed = grammar_state_mask(s, mask), n_true = 0, chosen = -1;
            size_t wanted = n ? data[(step * 5) % n] * 4u : 0;
            for (int32_t t = 0; t < MASKS_TOKENS; t++) {
                bool is_allowed = mask[t / 32] >> (t % 32) & 1;
                assert(grammar_state_allows(s, t) == is_allowed);
                n_true += is_allowed;
                if (is_allowed && (chosen < 0 || (size_t)t <= wanted))
                    chosen = t;
            }
            assert(n_allowed == n_true && n_true > 0);
            bool is_taken = grammar_state_accept_token(s, chosen);
            assert(is_taken);
            if (chosen == MASKS_TOKENS - 1)
                break;
        }
        grammar_state_free(s);
    }
    grammar_release(g);
}

#endif
