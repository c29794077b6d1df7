/* spec.c - Guess the next tokens of a sequence from its own text. */
#include "engine/spec.h"

#include <stddef.h>

#define NGRAM_MAX 8 /* a longer agreement tells nothing more */
#define NGRAM_MIN 2

int32_t spec_lookup(const int32_t *tokens, int64_t n, int32_t *draft, int32_t draft_max)
{
    int64_t best_at = -1;
    int32_t best = NGRAM_MIN - 1;

    /* From the latest place backwards; `at` is the place behind the earlier occurrence. */
    for (int64_t at = n - 1; at >= NGRAM_MIN && best < NGRAM_MAX; at--) {
        if (tokens[at - 1] != tokens[n - 1])
            continue;
        int32_t same = 1;
        while (same < NGRAM_MAX && same < at && tokens[at - 1 - same] == tokens[n - 1 - same])
            same++;
        if (same > best) {
            best = same;
            best_at = at;
        }
    }
    if (best_at < 0)
        return 0;
    int32_t n_draft = 0;
    while (n_draft < draft_max && best_at + n_draft < n) {
        draft[n_draft] = tokens[best_at + n_draft];
        n_draft++;
    }
    return n_draft;
}
