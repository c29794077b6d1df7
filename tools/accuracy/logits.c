/* logits.c - Print our engine's logits of every position, for accuracy.py.
 *
 *   logits MODEL.gguf IDS OUT [ISA] [KV_TYPE]      IDS: a file with a token id per line; OUT: f32 */
#include <stdio.h>
#include <stdlib.h>

#include "model/model.h"

enum { CHUNK = 64, TOKENS_MAX = 1 << 16, PAGE = 32 };

static int32_t tokens[TOKENS_MAX];
static uint32_t pages[TOKENS_MAX / PAGE + 1];

static uint32_t read_ids(const char *path)
{
    FILE *f = fopen(path, "r");
    uint32_t n = 0;
    while (f && n < TOKENS_MAX && fscanf(f, "%d", &tokens[n]) == 1)
        n++;
    if (f)
        fclose(f);
    return n;
}

static int run(struct model *m, uint32_t n, FILE *out, struct err *err)
{
    size_t vocab = model_facts(m)->n_vocab;
    struct model_seq seq = {pages, model_n_pages(m)};
    for (uint32_t at = 0; at < n; at += CHUNK) {
        struct model_row rows[CHUNK];
        struct model_batch batch = {rows, n - at < CHUNK ? n - at : CHUNK, &seq, 1};
        for (uint32_t i = 0; i < batch.n_rows; i++)
            rows[i] = (struct model_row){tokens[at + i], at + i, 0, MODEL_WANT_LOGITS};
        int rc = model_step_submit(m, &batch, err);
        if (rc == OK)
            rc = model_step_wait(m, err);
        if (rc != OK)
            return rc;
        for (uint32_t i = 0; i < batch.n_rows; i++)
            if (fwrite(model_logits(m, i), sizeof(float), vocab, out) != vocab)
                return fail(err, ERR_IO, "cannot write the logits");
    }
    return OK;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct gguf *g = NULL;
    struct team *team = NULL;
    struct model *m = NULL;
    FILE *out = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: logits MODEL.gguf IDS OUT [ISA] [KV_TYPE]\n");
        return 2;
    }
    uint32_t n = read_ids(argv[2]);
    struct model_options o = {.isa = argc > 4 ? argv[4] : NULL,
                              .n_ctx = n,
                              .page_tokens = PAGE,
                              .n_pages = (n + PAGE - 1) / PAGE,
                              .rows_max = CHUNK,
                              .outputs_max = CHUNK};
    for (uint32_t i = 0; i < o.n_pages; i++)
        pages[i] = i;
    int rc = n ? OK : fail(&err, ERR_ARG, "no token ids in '%s'", argv[2]);
    if (rc == OK && argc > 5 && kv_type_by_name(str_c(argv[5]), &o.kv_type) != OK)
        rc = fail(&err, ERR_ARG, "'%s' is no KV type", argv[5]);
    if (rc == OK)
        rc = gguf_open(&g, argv[1], &err);
    if (rc == OK)
        rc = team_create(&team, 0, &err);
    o.team = team;
    if (rc == OK)
        rc = model_open(&m, g, &o, &err);
    if (rc == OK && !(out = fopen(argv[3], "wb")))
        rc = fail(&err, ERR_IO, "cannot write '%s'", argv[3]);
    if (rc == OK)
        rc = run(m, n, out, &err);
    if (out && fclose(out) != 0 && rc == OK)
        rc = fail(&err, ERR_IO, "cannot write '%s'", argv[3]);
    model_close(m);
    team_free(team);
    gguf_close(g);
    if (rc != OK)
        fprintf(stderr, "logits: %s\n", err.text);
    return rc == OK ? 0 : 1;
}
