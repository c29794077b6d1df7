/* fuzz_model.c - Any bytes as a model to load: described, opened and run for one step, or refused.
 *
 * fuzz_gguf asks whether the container is safe to read; here it is what a loader makes of numbers
 * that do not fit together. */
#include <stdlib.h>

#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FILE_MAX = 1 << 16, PAGES = 2, ROWS = 3 };

static struct team *team;

static void step(struct model *m)
{
    static const uint32_t pages[PAGES] = {0, 1};
    struct model_seq seq = {pages, PAGES};
    struct model_row rows[ROWS];
    struct model_batch batch = {rows, ROWS, &seq, 1};
    for (uint32_t i = 0; i < ROWS; i++)
        rows[i] = (struct model_row){.token = (int32_t)i, .pos = i, .want = MODEL_WANT_LOGITS};
    if (model_step_submit(m, &batch, NULL) == OK && model_step_wait(m, NULL) == OK)
        model_logits(m, ROWS - 1)[0] += 1; /* it is ours to write to */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf *g;
    struct model *m = NULL;
    struct model_facts facts;
    struct err err;
    if (n > FILE_MAX || (!team && team_create(&team, 1, &err) != OK))
        return 0;
    struct model_options o = {
        .team = team, .isa = "ref", .n_ctx = 32, .n_pages = PAGES, .rows_max = 4, .outputs_max = 4};
    if (gguf_open_memory(&g, data, n, &err) == OK && model_describe(g, KV_F16, &facts, &err) == OK &&
        model_open(&m, g, &o, &err) == OK)
        step(m);
    model_close(m);
    gguf_close(g);
    return 0;
}
