/* inspect.c - See inspect.h.  One pass collects a summary, then it is printed. */
#include "model/inspect.h"

#include <stdio.h>

#include "base/json.h"
#include "kernel/quant.h"

struct type_sum {
    uint64_t n_tensors, n_params, n_bytes;
};

struct summary {
    uint64_t file_bytes, n_params, n_bytes; /* bytes of weights */
    struct type_sum types[QUANT_TYPES_END];
};

static void sum_up(struct summary *s, const struct gguf *g)
{
    *s = (struct summary){0};
    for (uint32_t i = 0; i < gguf_n_parts(g); i++)
        s->file_bytes += gguf_part_bytes(g, i);
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        struct type_sum *type = &s->types[t->type];
        type->n_tensors++;
        type->n_params += t->n_elems;
        type->n_bytes += t->n_bytes;
        s->n_params += t->n_elems;
        s->n_bytes += t->n_bytes;
    }
}

static double bits_per_weight(const struct summary *s)
{
    return s->n_params ? 8.0 * (double)s->n_bytes / (double)s->n_params : 0;
}

/* The sizes that a model may state, under the names that we show. */
static const struct {
    const char *shown, *key;
} sizes[] = {
    {"context", "context_length"},
    {"embedding", "embedding_length"},
    {"layers", "block_count"},
    {"feed_forward", "feed_forward_length"},
    {"heads", "attention.head_count"},
    {"kv_heads", "attention.head_count_kv"},
    {"key_length", "attention.key_length"},
    {"value_length", "attention.value_length"},
    {"sliding_window", "attention.sliding_window"},
    {"experts", "expert_count"},
    {"experts_used", "expert_used_count"},
    {"expert_feed_forward", "expert_feed_forward_length"},
    {"vocabulary", "vocab_size"},
};
#define N_SIZES (sizeof sizes / sizeof sizes[0])

static const char *const rope_keys[] = {
    "dimension_count",     "freq_base", "scaling.type", "scaling.factor", "scaling.original_context_length",
    "scaling.attn_factor",
};
#define N_ROPE (sizeof rope_keys / sizeof rope_keys[0])

static const char *const tokenizer_keys[] = {
    "model",
    "pre",
    "bos_token_id",
    "eos_token_id",
    "eot_token_id",
    "unknown_token_id",
    "padding_token_id",
    "add_bos_token",
    "add_eos_token",
    "add_space_prefix",
    "fim_pre_token_id",
    "fim_suf_token_id",
    "fim_mid_token_id",
};
#define N_TOKENIZER (sizeof tokenizer_keys / sizeof tokenizer_keys[0])

static const struct gguf_value *arch_value(const struct gguf *g, const char *suffix)
{
    struct gguf_arch_key k;
    return gguf_find(g, str_c(gguf_arch_key(&k, g, suffix)));
}

static const struct gguf_value *prefixed(const struct gguf *g, const char *prefix, const char *key)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, key);
    return gguf_find(g, str_c(full));
}

static struct str str_or_empty(const struct gguf *g, const char *key)
{
    struct str s = S("");
    gguf_opt_str(g, key, &s, NULL);
    return s;
}

/* Elements of an array, 0 for anything else. */
static uint64_t array_n(const struct gguf *g, const char *key)
{
    const struct gguf_value *v = gguf_find(g, str_c(key));
    return v && v->type == GGUF_ARRAY ? v->n : 0;
}

static bool template_of(const struct gguf *g, struct str *s)
{
    return gguf_get_str(g, "tokenizer.chat_template", s, NULL) == OK;
}

/* --- JSON --------------------------------------------------------------------------------------- */

enum { ARRAY_SHOWN = 1024 }; /* elements of a per-layer array */

static void json_value(struct json_writer *w, const struct gguf_value *v)
{
    switch (v->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: jw_u64(w, v->u); break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: jw_i64(w, v->i); break;
    case GGUF_F32:
    case GGUF_F64: jw_f64(w, v->f); break;
    case GGUF_BOOL: jw_bool(w, v->u); break;
    case GGUF_STR: jw_str(w, v->str); break;
    case GGUF_ARRAY: /* a number per layer */
        jw_begin_array(w);
        for (uint64_t i = 0; i < v->n && i < ARRAY_SHOWN; i++) {
            if (v->elem_type == GGUF_U32 || v->elem_type == GGUF_I32)
                jw_i64(w, ((const int32_t *)v->elems)[i]);
            else if (v->elem_type == GGUF_BOOL)
                jw_bool(w, ((const uint8_t *)v->elems)[i]);
            else if (v->elem_type == GGUF_F32)
                jw_f64(w, (double)((const float *)v->elems)[i]);
        }
        jw_end_array(w);
        break;
    case GGUF_TYPES_END: break;
    }
}

static void json_kv(struct json_writer *w, const char *key, const struct gguf_value *v)
{
    if (v) {
        jw_key(w, key);
        json_value(w, v);
    }
}

static void json_tokenizer(struct json_writer *w, const struct gguf *g)
{
    jw_key(w, "tokenizer");
    jw_begin_object(w);
    for (size_t i = 0; i < N_TOKENIZER; i++)
        json_kv(w, tokenizer_keys[i], prefixed(g, "tokenizer.ggml.", tokenizer_keys[i]));
    jw_kv_u64(w, "tokens", array_n(g, "tokenizer.ggml.tokens"));
    jw_kv_u64(w, "merges", array_n(g, "tokenizer.ggml.merges"));
    jw_end_object(w);
}

static void json_types(struct json_writer *w, const struct summary *s)
{
    jw_key(w, "types");
    jw_begin_array(w);
    for (uint32_t t = 0; t < QUANT_TYPES_END; t++) {
        if (!s->types[t].n_tensors)
            continue;
        jw_begin_object(w);
        jw_kv_z(w, "type", quant_name(t));
        jw_kv_u64(w, "tensors", s->types[t].n_tensors);
        jw_kv_u64(w, "params", s->types[t].n_params);
        jw_kv_u64(w, "bytes", s->types[t].n_bytes);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void json_tensors(struct json_writer *w, const struct gguf *g)
{
    jw_key(w, "tensors");
    jw_begin_array(w);
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        jw_begin_object(w);
        jw_kv_str(w, "name", t->name);
        jw_kv_z(w, "type", quant_name(t->type));
        jw_key(w, "shape");
        jw_begin_array(w);
        for (uint32_t d = 0; d < t->n_dims; d++)
            jw_u64(w, t->ne[d]);
        jw_end_array(w);
        jw_kv_u64(w, "bytes", t->n_bytes);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void inspect_json(const struct gguf *g, bool tensors, struct buf *out)
{
    struct summary s;
    struct json_writer writer = json_writer(out), *w = &writer;
    struct str template;
    sum_up(&s, g);
    jw_begin_object(w);
    jw_kv_str(w, "architecture", str_or_empty(g, "general.architecture"));
    jw_kv_str(w, "name", str_or_empty(g, "general.name"));
    jw_key(w, "file");
    jw_begin_object(w);
    jw_kv_z(w, "path", gguf_path(g));
    jw_kv_u64(w, "bytes", s.file_bytes);
    jw_kv_u64(w, "gguf_version", gguf_version(g));
    jw_kv_u64(w, "parts", gguf_n_parts(g));
    jw_end_object(w);
    jw_kv_u64(w, "params", s.n_params);
    jw_kv_f64(w, "bits_per_weight", bits_per_weight(&s));
    jw_key(w, "sizes");
    jw_begin_object(w);
    for (size_t i = 0; i < N_SIZES; i++)
        json_kv(w, sizes[i].shown, arch_value(g, sizes[i].key));
    jw_end_object(w);
    jw_key(w, "rope");
    jw_begin_object(w);
    for (size_t i = 0; i < N_ROPE; i++) {
        char key[64];
        snprintf(key, sizeof key, "rope.%s", rope_keys[i]);
        json_kv(w, rope_keys[i], arch_value(g, key));
    }
    jw_end_object(w);
    json_types(w, &s);
    json_tokenizer(w, g);
    jw_key(w, "chat_template");
    if (template_of(g, &template))
        jw_str(w, template);
    else
        jw_null(w);
    if (tensors)
        json_tensors(w, g);
    jw_end_object(w);
}
