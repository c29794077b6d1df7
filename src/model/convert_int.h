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
    bool is_gemma;          /* GELU, norms that lack 1, a tied head, and what convert_gemma.c writes */
    bool post_norms;        /* behind attention and ffn */
};

struct planned {
    char name[GGUF_NAME_MAX + 1];
    uint32_t type;
    uint32_t n_parts;                        /* experts stacked, else 1 */
    const struct safetensors_tensor **parts; /* in the converter's arena */
    uint32_t permute_heads;                  /* 0: rows stay in order */
    bool add_one;                            /* to every element */
};

struct converter {
    struct arena arena;
    struct json config;       /* of the language model: all, or the part of it */
    struct json whole_config; /* all of config.json */
    const char *prefix;       /* of the layers' names */
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

/* convert.c: write key ARCHITECTURE.suffix.  A number of an object, or `fallback`. */
void convert_put_u32(struct converter *c, const char *suffix, uint32_t v);
void convert_put_f32(struct converter *c, const char *suffix, double v);
double convert_number(struct json v, const char *key, double fallback);
/* A positive number of the config: required, or `fallback` where that is not 0. */
int convert_config_u32(struct converter *c, const char *key, uint32_t fallback, uint32_t *v, struct err *err);

/* convert_gemma.c: scale, caps, windows and the rope of layers with a window. */
int convert_put_gemma(struct converter *c, struct err *err);

/* Fill c->plan: every GGUF tensor with its sources.  A source that is missing, or that finds no
 * place, is an error. */
int convert_make_plan(struct converter *c, struct err *err);

#endif
