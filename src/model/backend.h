/* backend.h - Where a model is computed: about ten block operations behind one table.
 *
 * forward.c calls these in the order of the layer loop.  Activations, packed weights and the bytes
 * of the KV pool belong to the backend and are opaque to everybody else.  Operations of one step
 * are called between step_begin and step_submit, by one thread; a backend may compute in the call
 * (cpu) or queue the work (a device).  Every operation works on all rows of the batch. */
#ifndef MODEL_BACKEND_H
#define MODEL_BACKEND_H

#include "base/err.h"
#include "model/model.h"
#include "model/plan.h"

struct backend;

struct backend_ops {
    const char *name;

    /* Reserve everything and load the weights.  `plan` must outlive the backend; `g` only the call. */
    int (*open)(struct backend **out, const struct plan *plan, const struct gguf *g,
                const struct model_options *options, struct err *err);
    void (*close)(struct backend *b);
    void (*settle)(struct backend *b); /* wait for what `open` left to be done beside the first steps */

    void (*step_begin)(struct backend *b, const struct model_batch *batch); /* a checked batch */
    void (*embed)(struct backend *b);                    /* x = rows of the token embedding */
    void (*attn_in)(struct backend *b, uint32_t layer);  /* q, k, v of norm(x), rope, k and v into the pool */
    void (*attn)(struct backend *b, uint32_t layer);     /* a = softmax(q K^T) V over the pages */
    void (*attn_out)(struct backend *b, uint32_t layer); /* x += Wo a */
    void (*mla_in)(struct backend *b, uint32_t layer);  /* the same of latent attention: queries absorb k_b */
    void (*mla_out)(struct backend *b, uint32_t layer); /* x += Wo v_b a */
    void (*ffn_in)(struct backend *b, uint32_t layer);  /* h = silu(Wg norm(x)) Wu norm(x) */
    void (*ffn_out)(struct backend *b, uint32_t layer); /* x += Wd h */
    void (*moe)(struct backend *b,
                uint32_t layer);     /* x += sum of the chosen experts' and the shared one's ffn of norm(x) */
    void (*head)(struct backend *b); /* norm, and logits of the rows that want them */
    int (*step_submit)(struct backend *b, struct err *err);
    int (*step_wait)(struct backend *b, struct err *err);

    float *(*logits)(struct backend *b, uint32_t i);
    const float *(*hidden)(struct backend *b, uint32_t i);

    void (*kv_copy)(struct backend *b, uint32_t dst, uint32_t src, uint32_t n_tokens);
    void (*kv_export)(const struct backend *b, uint32_t page, void *bytes);
    void (*kv_import)(struct backend *b, uint32_t page, const void *bytes);
    uint64_t (*kv_page_bytes)(const struct backend *b);
    uint64_t (*weights_sum)(struct backend *b);                 /* on the leased team */
    const void *(*weights)(const struct backend *b, size_t *n); /* where they are; NULL: not in this memory */
    void (*memory)(const struct backend *b, struct model_memory *m);
    const char *(*isa)(const struct backend *b);
};

extern const struct backend_ops backend_cpu;

/* KV bytes of one token in all layers, as the backend stores them. */
uint64_t backend_cpu_kv_token_bytes(const struct plan *plan, enum kv_type type);

#endif
