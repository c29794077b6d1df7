/* face_file.c - Describing and rewriting model files at the library's door. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/face_int.h"
#include "model/convert.h"
#include "model/inspect.h"
#include "model/quantize.h"

#define JSON_MAX ((size_t)256 << 20)

/* ---- describing ---- */

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
    inspect_json(g, tensors, &out);
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
    struct buf out, file;
    buf_init(&out, JSON_MAX);
    buf_init(&file, JSON_MAX);
    inspect_json(m->gguf, false, &file);
    struct json_writer w = json_writer(&out);
    jw_begin_object(&w);
    jw_key(&w, "model");
    jw_raw(&w, buf_str(&file));
    jw_key(&w, "loaded");
    jw_begin_object(&w);
    if (m->model)
        put_loaded(&w, m);
    jw_kv_bool(&w, "pre_tokenizer_is_guessed", tokenizer_pre_is_guess(m->tokenizer));
    jw_kv_z(&w, "tool_format", face_tool_format(m)->name);
    jw_kv_z(&w, "chat_template_error", m->template_error);
    jw_end_object(&w);
    jw_end_object(&w);
    out.failed |= !buf_ok(&file);
    buf_deinit(&file);
    return finish_json(&out, json, face_err(error));
}

/* ---- rewriting ---- */

static int read_options(struct sluice_file_options *o, const struct sluice_file_options *given,
                        struct err *err)
{
    sluice_file_options_init(o, sizeof *o);
    return given ? face_copy_options(o, sizeof *o, given, given->struct_bytes, "sluice_file_options", err)
                 : OK;
}

SLUICE_API int sluice_quantize(const char *in, const char *out, const char *type,
                               const struct sluice_file_options *options, struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct sluice_file_options o;
    int rc = read_options(&o, options, err);
    if (rc != OK)
        return rc;
    struct quantize_options qo = {
        .n_threads = o.threads, .progress = o.progress, .progress_user = o.progress_user};
    return quantize_file(in, out, type, &qo, err);
}

SLUICE_API int sluice_convert(const char *hf_dir, const char *out, const struct sluice_file_options *options,
                              struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct sluice_file_options o;
    int rc = read_options(&o, options, err);
    if (rc != OK)
        return rc;
    struct convert_options co = {.progress = o.progress, .progress_user = o.progress_user};
    return convert_folder(hf_dir, out, &co, err);
}
