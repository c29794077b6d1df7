/* depth.c - How fast does generation go behind a very long context, without computing that context first?
 *
 *   ./do bench depth FILE THREADS REPETITIONS N_TOKENS KV_TYPE DEPTH...
 *
 * The first 512 tokens are computed; their pages are copied as often as the context needs, each copy in
 * memory of its own.  What the copies say is not what a model would say, but a step reads and computes
 * exactly what it would behind a real context of that length.  Prints, for every repetition, the depth,
 * milliseconds a token, and the share of the roofline: the weights and the keys and values of all tokens, at
 * the speed at which the weights can be read just before and after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/team.h"
#include "kernel/limits.h"
#include "model/model.h"

enum { COMPUTED = 512 };

static int complain(const struct err *err)
{
    fprintf(stderr, "depth: %s\n", err->text);
    return 1;
}

/* The computed tokens as one step, then copies of their pages. */
static int fill(struct model *m, const struct model_seq *seq, struct err *err)
{
    static struct model_row rows[COMPUTED];
    uint32_t page_tokens = model_page_tokens(m), computed = COMPUTED / page_tokens;
    for (uint32_t i = 0; i < COMPUTED; i++)
        rows[i] = (struct model_row){(int32_t)(i * 7919 % model_facts(m)->n_vocab), i, 0, 0};
    struct model_batch batch = {rows, COMPUTED, seq, 1};
    int rc = model_step_submit(m, &batch, err);
    if (rc == OK)
        rc = model_step_wait(m, err);
    for (uint32_t i = computed; rc == OK && i < seq->n_pages; i++)
        model_kv_copy(m, seq->pages[i], seq->pages[i % computed], page_tokens);
    return rc;
}

/* Seconds for n tokens one after another. */
static int generate(struct model *m, const struct model_seq *seq, uint32_t depth, uint32_t n, double *s,
                    struct err *err)
{
    int64_t begin_ns = clock_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        struct model_row row = {(int32_t)(i % model_facts(m)->n_vocab), depth + i, 0, MODEL_WANT_LOGITS};
        struct model_batch batch = {&row, 1, seq, 1};
        int rc = model_step_submit(m, &batch, err);
        if (rc != OK || (rc = model_step_wait(m, err)) != OK)
            return rc;
    }
    *s = (double)(clock_now_ns() - begin_ns) / NS_PER_S;
    return OK;
}

static int measure(struct model *m, struct limits *l, const struct model_seq *seq, char **argv, int argc,
                   struct err *err)
{
    uint32_t n = (uint32_t)strtoul(argv[4], NULL, 10);
    const struct model_facts *f = model_facts(m);
    for (int r = 0; r < (int)strtol(argv[3], NULL, 10); r++)
        for (int i = 6; i < argc; i++) {
            uint32_t depth = (uint32_t)strtoul(argv[i], NULL, 10);
            double s = 0, before = 0, after = 0;
            int rc = generate(m, seq, depth, 2, &s, err);
            before = limits_read(l);
            if (rc != OK || (rc = generate(m, seq, depth, n, &s, err)) != OK)
                return rc;
            after = limits_read(l);
            double bytes = (double)f->step_bytes + (depth + n / 2.0) * (double)f->kv_token_bytes;
            printf("%s %6u tokens: %6.2f ms a token, %5.1f GB/s of %5.1f, share %.3f\n", argv[5], depth,
                   1e3 * s / n, 1e-9 * bytes * n / s, 5e-10 * (before + after),
                   bytes * n / s / ((before + after) / 2));
        }
    return OK;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct gguf *g = NULL;
    struct team *team = NULL;
    struct model *m = NULL;
    struct limits *l = NULL;
    const struct kern_ops *ops;
    struct model_options o = {.rows_max = COMPUTED};
    size_t n_weights;
    if (argc < 7 || strtol(argv[2], NULL, 10) < 1 || strtol(argv[4], NULL, 10) < 1) {
        fprintf(stderr, "depth FILE THREADS REPETITIONS N_TOKENS KV_TYPE DEPTH...\n");
        return 2;
    }
    for (int i = 6; i < argc; i++)
        if (strtoul(argv[i], NULL, 10) > o.n_ctx)
            o.n_ctx = (uint32_t)strtoul(argv[i], NULL, 10);
    o.n_ctx = (o.n_ctx + (uint32_t)strtoul(argv[4], NULL, 10) + COMPUTED) / COMPUTED * COMPUTED;
    o.n_pages = o.n_ctx / 32;
    if (kv_type_by_name(str_c(argv[5]), &o.kv_type) != OK) {
        fprintf(stderr, "depth: KV type '%s' is not known\n", argv[5]);
        return 2;
    }
    uint32_t *pages = malloc(o.n_pages * sizeof *pages);
    if (!pages || gguf_open(&g, argv[1], &err) != OK ||
        team_create(&team, (int)strtol(argv[2], NULL, 10), &err) != OK)
        return complain(&err);
    o.team = team;
    for (uint32_t i = 0; i < o.n_pages; i++)
        pages[i] = i;
    struct model_seq seq = {pages, o.n_pages};
    if (model_open(&m, g, &o, &err) != OK || kern_choose(&ops, model_isa(m), &err) != OK)
        return complain(&err);
    model_settle(m);
    const void *weights = model_weights(m, &n_weights);
    if (limits_create(&l, team, ops, weights, n_weights, &err) != OK || fill(m, &seq, &err) != OK ||
        measure(m, l, &seq, argv, argc, &err) != OK)
        return complain(&err);
    limits_free(l);
    model_close(m);
    team_free(team);
    gguf_close(g);
    free(pages);
    return 0;
}
