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

static const float *hidden(void *self, uint32_t i)
{
    return model_hidden(self, i);
}

static void kv_copy(void *self, uint32_t dst, uint32_t src, uint32_t n_tokens)
{
    model_kv_copy(self, dst, src, n_tokens);
}

static void kv_export(void *self, uint32_t page, void *bytes)
{
    model_kv_export(self, page, bytes);
}

static void kv_import(void *self, uint32_t page, const void *bytes)
{
    model_kv_import(self, page, bytes);
}

static void kv_identity(void *self, uint64_t id[2])
{
    id[0] = model_fingerprint(self);
    id[1] = model_weights_sum(self);
}

struct compute compute_of_model(struct model *m)
{
    return (struct compute){
        .self = m,
        .step = step,
        .logits = logits,
        .hidden = hidden,
        .kv_copy = kv_copy,
        .isa = model_isa(m),
        .n_vocab = (int32_t)model_facts(m)->n_vocab,
        .n_ctx = (int32_t)model_n_ctx(m),
        .page_tokens = (int32_t)model_page_tokens(m),
        .n_pages = (int32_t)model_n_pages(m),
        .rows_max = (int32_t)model_rows_max(m),
        .outputs_max = (int32_t)model_outputs_max(m),
        .n_embd = (int32_t)model_facts(m)->n_embd,
        .pooling = model_facts(m)->pooling,
        .kv_export = kv_export,
        .kv_import = kv_import,
        .kv_identity = kv_identity,
        .kv_page_bytes = model_kv_page_bytes(m),
    };
}
