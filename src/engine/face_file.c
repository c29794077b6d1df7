/* face_file.c - Describing and rewriting model files at the library's door. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/face_int.h"
#include "kernel/quant.h"
#include "model/quantize.h"

#define JSON_MAX ((size_t)256 << 20)

/* ---- describing ---- */

static void put_key_str(struct json_writer *w, const struct gguf *g, const char *name, const char *key)
{
    struct str s = {NULL, 0};
    if (gguf_opt_str(g, key, &s, NULL) == OK && s.p)
        jw_kv_str(w, name, s);
}

static void put_key_u64(struct json_writer *w, const struct gguf *g, const char *name, const char *suffix)
{
    struct gguf_arch_key key;
    uint64_t v;
    if (gguf_get_u64(g, gguf_arch_key(&key, g, suffix), &v, NULL) == OK)
        jw_kv_u64(w, name, v);
}

static void put_sizes(struct json_writer *w, const struct gguf *g)
{
    uint64_t n_params = 0, n_bytes = 0;
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        n_params += gguf_tensor_at(g, i)->n_elems;
        n_bytes += gguf_tensor_at(g, i)->n_bytes;
    }
    jw_kv_u64(w, "parameters", n_params);
    jw_kv_u64(w, "tensor_bytes", n_bytes);
    put_key_u64(w, g, "context_length", "context_length");
    put_key_u64(w, g, "embedding_length", "embedding_length");
    put_key_u64(w, g, "layers", "block_count");
    put_key_u64(w, g, "heads", "attention.head_count");
    put_key_u64(w, g, "kv_heads", "attention.head_count_kv");
    put_key_u64(w, g, "feed_forward_length", "feed_forward_length");
    put_key_u64(w, g, "experts", "expert_count");
    put_key_u64(w, g, "experts_used", "expert_used_count");
}

static void put_types(struct json_writer *w, const struct gguf *g)
{
    jw_key(w, "quantisation");
    jw_begin_object(w);
    for (uint32_t type = 0; type < QUANT_TYPES_END; type++) {
        uint64_t n = 0, n_bytes = 0;
        for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, i);
            n += t->type == type;
            n_bytes += t->type == type ? t->n_bytes : 0;
        }
        if (n == 0)
            continue;
        jw_key(w, quant_name(type));
        jw_begin_object(w);
        jw_kv_u64(w, "tensors", n);
        jw_kv_u64(w, "bytes", n_bytes);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void put_tokenizer(struct json_writer *w, const struct gguf *g)
{
    const struct str *tokens;
    uint64_t n = 0;

    jw_key(w, "tokenizer");
    jw_begin_object(w);
    put_key_str(w, g, "model", "tokenizer.ggml.model");
    put_key_str(w, g, "pre", "tokenizer.ggml.pre");
    if (gguf_get_strs(g, "tokenizer.ggml.tokens", &tokens, &n, NULL) == OK)
        jw_kv_u64(w, "tokens", n);
    for (int r = 0; r < N_TOKEN_ROLES; r++) {
        char key[96];
        uint32_t id;
        snprintf(key, sizeof key, "tokenizer.ggml.%s", token_role_key((enum token_role)r));
        if (gguf_get_u32(g, key, &id, NULL) != OK || id >= n)
            continue;
        jw_key(w, token_role_key((enum token_role)r));
        jw_begin_object(w);
        jw_kv_u64(w, "id", id);
        jw_kv_str(w, "text", tokens[id]);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void put_tensors(struct json_writer *w, const struct gguf *g)
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

static void put_file(struct json_writer *w, const struct gguf *g)
{
    put_key_str(w, g, "name", "general.name");
    put_key_str(w, g, "architecture", "general.architecture");
    put_key_str(w, g, "size_label", "general.size_label");
    jw_kv_u64(w, "gguf_version", gguf_version(g));
    jw_kv_u64(w, "files", gguf_n_parts(g));
    put_sizes(w, g);
    put_types(w, g);
    put_tokenizer(w, g);
}

static int finish_json(struct buf *out, char **json, struct err *err)
{
    *json = buf_ok(out) ? buf_take(out, NULL) : NULL;
    buf_deinit(out);
    return *json ? OK : FACE_OUT_OF_MEMORY(err);
}

SLUICE_API int sluice_inspect(const char *path, bool tensors, char **json, struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct gguf *g;
    struct buf out;
    int rc = gguf_open(&g, path, err);
    if (rc != OK)
        return rc;
    buf_init(&out, JSON_MAX);
    struct json_writer w = json_writer(&out);
    jw_begin_object(&w);
    put_file(&w, g);
    put_key_str(&w, g, "chat_template", "tokenizer.chat_template");
    if (tensors)
        put_tensors(&w, g);
    jw_end_object(&w);
    gguf_close(g);
    return finish_json(&out, json, err);
}

static void put_loaded(struct json_writer *w, const struct sluice_model *m)
{
    struct model_memory memory;
    model_memory(m->model, &memory);
    jw_kv_z(w, "isa", model_isa(m->model));
    jw_kv_i64(w, "threads", team_size(m->team));
    jw_kv_u64(w, "context", model_n_ctx(m->model));
    jw_kv_u64(w, "weights_bytes", memory.weights_bytes);
    jw_kv_u64(w, "kv_bytes", memory.kv_bytes);
    jw_kv_u64(w, "work_bytes", memory.work_bytes);
    jw_kv_bool(w, "huge_pages", memory.huge_pages);
}

SLUICE_API int sluice_model_describe(const struct sluice_model *m, char **json, struct sluice_error *error)
{
    struct buf out;
    buf_init(&out, JSON_MAX);
    struct json_writer w = json_writer(&out);
    jw_begin_object(&w);
    put_file(&w, m->gguf);
    if (m->model)
        put_loaded(&w, m);
    jw_kv_bool(&w, "pre_tokenizer_is_guessed", tokenizer_pre_is_guess(m->tokenizer));
    jw_kv_bool(&w, "has_chat_template", m->has_own_template);
    if (m->chat_template)
        jw_kv_str(&w, "chat_template", template_source(m->chat_template));
    else
        jw_kv_z(&w, "chat_template_error", m->template_error);
    jw_end_object(&w);
    return finish_json(&out, json, face_err(error));
}

/* ---- rewriting ---- */

SLUICE_API int sluice_quantize(const char *in, const char *out, const char *type, const struct sluice_file_options *options,
                               struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct sluice_file_options o;
    int rc;

    sluice_file_options_init(&o, sizeof o);
    if (options &&
        (rc = face_copy_options(&o, sizeof o, options, options->struct_bytes, "sluice_file_options", err)) != OK)
        return rc;
    struct quantize_options qo = {.n_threads = o.threads, .progress = o.progress, .progress_user = o.progress_user};
    return quantize_file(in, out, type, &qo, err);
}
