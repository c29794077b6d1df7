/* compute.c - The real model behind the engine's seam. */
#include "engine/compute.h"

static int step(void *self, const struct model_batch *batch, struct err *err)
{
    int rc = model_step_submit(self, batch, err);
    return rc == OK ? model_step_wait(self, err) : rc;
}

static float *logits(void *self, uint32_t i)
{
    return model_logits(self, i);
}

struct compute compute_of_model(struct model *m)
{
    return (struct compute){
        .self = m,
        .step = step,
        .logits = logits,
        .isa = model_isa(m),
        .n_vocab = (int32_t)model_facts(m)->n_vocab,
        .n_ctx = (int32_t)model_n_ctx(m),
        .page_tokens = (int32_t)model_page_tokens(m),
        .n_pages = (int32_t)model_n_pages(m),
        .rows_max = (int32_t)model_rows_max(m),
        .outputs_max = (int32_t)model_outputs_max(m),
    };
}
