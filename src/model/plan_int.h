/* plan_int.h - What the files that make a plan share. */
#ifndef MODEL_PLAN_INT_H
#define MODEL_PLAN_INT_H

#include "model/plan.h"

/* plan.c: the value of key ARCHITECTURE.suffix, unchanged if it is not there and not required; ERR_FORMAT
 * unless lo <= v <= hi. */
int plan_key_u32(const struct gguf *g, const char *suffix, uint32_t *v, uint32_t lo, uint32_t hi,
                 bool required, struct err *err);
int plan_key_f32(const struct gguf *g, const char *suffix, float *v, float lo, float hi, bool required,
                 struct err *err);

/* A number from 1 to hi that must be the same in all layers (a file may give it as an array).  ERR_NOT_FOUND
 * if it is not there. */
int plan_key_same_per_layer(const struct gguf *g, const char *suffix, uint32_t n_layers, uint32_t *v,
                            uint32_t hi, struct err *err);

/* ERR_UNSUPPORTED, with `what`, if the key is there and asks for something. */
int plan_key_refuse(const struct gguf *g, const char *suffix, const char *what, struct err *err);

/* A tensor that is looked for: where it goes, and its shape. */
struct plan_want {
    const struct gguf_tensor **slot;
    uint64_t n0, n1, n2;
    bool required;
};

/* One of a layer, by the end of its name. */
struct plan_part {
    const char *name;
    struct plan_want want;
};

/* ERR_FORMAT for one that is missing or has another shape. */
int plan_find_parts(const struct gguf *g, uint32_t il, const struct plan_part *list, size_t n,
                    struct err *err);
bool plan_has_tensor(const struct gguf *g, uint32_t il, const char *name);

/* Rows [first, first + n) of a matrix, as a tensor: rows are contiguous, so nothing is copied.  At most
 * PLAN_PARTS_OF_LAYER in a layer. */
#define PLAN_PARTS_OF_LAYER 5
const struct gguf_tensor *plan_take_rows(struct plan *p, const struct gguf_tensor *t, uint64_t first,
                                         uint64_t n);

/* plan_ffn.c: the numbers of the feed-forward block, and a layer's tensors. */
int plan_ffn_init(struct plan *p, const struct gguf *g, struct err *err);
int plan_ffn_find(struct plan *p, const struct gguf *g, uint32_t il, struct err *err);

/* plan_mla.c: sizes of latent attention, and a layer's tensors. */
int plan_mla_init(struct plan *p, const struct gguf *g, struct err *err);
int plan_mla_find(struct plan *p, const struct gguf *g, uint32_t il, struct err *err);

/* plan_attn.c: scale, soft caps and the layers' windows.  Layers are there. */
int plan_attn_init(struct plan *p, const struct gguf *g, struct err *err);

/* plan_rope.c: ropes and the layers' choice.  Windows are known. */
int plan_rope_init(struct plan *p, const struct gguf *g, uint32_t n_ctx, struct err *err);

#endif
