/* convert_int.h - What convert.c (config, keys, data) and convert_plan.c (which tensor comes from
 * where) share. */
#ifndef MODEL_CONVERT_INT_H
#define MODEL_CONVERT_INT_H

#include "base/json.h"
#include "kernel/quant.h"
#include "model/gguf_write.h"
#include "model/safetensors.h"

struct family {
    const char *model_type; /* in config.json */
    const char *arch;       /* in GGUF */
    bool permutes;          /* q and k rows */
    bool fuses;             /* q, k, v are one tensor; gate, up another */
    bool shares;            /* a shared expert beside the others */
};

struct planned {
    char name[GGUF_NAME_MAX + 1];
    uint32_t type;
    uint32_t n_parts;                        /* experts stacked, else 1 */
    const struct safetensors_tensor **parts; /* in the converter's arena */
    uint32_t permute_heads;                  /* 0: rows stay in order */
};

struct converter {
    struct arena arena;
    struct json config;
    struct safetensors *st;
    struct gguf_writer *w;
    const struct family *family;
    uint32_t n_layers, n_heads, n_kv_heads, head_dim, n_rot, n_experts, matrix_type;
    bool is_tied;
    struct planned *plan;
    uint32_t n_planned, plan_cap;
    bool *used;                /* per source tensor */
    const char *rope_names[2]; /* tensors of n_rot / 2 factors */
    float *rope_factors[2];    /* NULL without */
};

/* Fill c->plan: every GGUF tensor with its sources.  A source that is missing, or that finds no
 * place, is an error. */
int convert_make_plan(struct converter *c, struct err *err);

#endif
