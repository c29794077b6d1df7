/* openai_embeddings.c - Embeddings: texts or token ids in, vectors out.
 *
 * Vectors of a provider travel as the text that came (numbers or base64); only a change of form
 * that the client asked for decodes them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/openai_int.h"

static int read_input(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    return openai_read_prompts(r, v, CHAT_INPUTS_MAX, &q->inputs, &q->n_inputs, &q->is_prompt_array);
}

static int read_encoding(struct rd *r, struct json v)
{
    if (!json_text_is(v, "float") && !json_text_is(v, "base64"))
        return rd_fail(r, NULL, "must be float or base64");
    r->req->is_base64 = json_text_is(v, "base64");
    return OK;
}

#define AT(member) offsetof(struct chat_request, member)

static const struct field_row rows[] = {
    {"model", FIELD_STR, AT(model), 0, 0, 0},
    {"input", FIELD_CALL, 0, 0, 0, read_input},
    {"encoding_format", FIELD_CALL, 0, 0, 0, read_encoding},
    {"dimensions", FIELD_I64, AT(dimensions), 1, 1 << 20, 0},
    {"user", FIELD_STR, AT(user), 0, 0, 0},
};

static int read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e)
{
    struct rd r;
    struct json root;
    int rc = rd_begin(&r, a, e, in->body, &root);
    if (rc != OK)
        return rc;
    r.req->op = CHAT_OP_EMBED;
    r.req->from = DIALECT_OPENAI_EMBEDDINGS;
    if ((rc = rd_fields(&r, root, rows, sizeof(rows) / sizeof(rows[0]))) != OK)
        return rc;
    r.path_n = 0;
    if (!r.req->model.n)
        return rd_fail(&r, "model", "is missing: name a model");
    if (!r.req->inputs)
        return rd_fail(&r, "input", "is missing: it must be a string or an array");
    *req = r.req;
    return OK;
}

/* ---- vectors in the form the client wants ---- */

static void write_floats(struct buf *out, const float *v, size_t n)
{
    char text[32];
    buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        int precision = 6;
        /* The shortest text that reads back as the same float. */
        do
            snprintf(text, sizeof(text), "%.*g", precision, isfinite(v[i]) ? (double)v[i] : 0.0);
        while (precision++ < 9 && strtof(text, NULL) != v[i]);
        if (i)
            buf_putc(out, ',');
        buf_puts(out, text);
    }
    buf_putc(out, ']');
}

/* Bytes of little-endian f32 as base64. */
static void write_base64(struct buf *out, const float *v, size_t n)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire form is little-endian");
    buf_putc(out, '"');
    base64_write(out, str_of((const char *)v, n * sizeof(float)));
    buf_putc(out, '"');
}

int embed_vector_floats(const struct embed_vector *v, struct arena *a, const float **out, size_t *n)
{
    if (v->values) {
        *out = v->values;
        *n = v->n_values;
        return OK;
    }
    if (v->base64.p) {
        struct str bytes = base64_read(v->base64, a);
        float *f = bytes.p ? arena_new_array(a, float, bytes.n / 4 + 1) : NULL;
        if (!f || bytes.n % 4)
            return ERR_FORMAT;
        memcpy(f, bytes.p, bytes.n);
        *out = f;
        *n = bytes.n / 4;
        return OK;
    }
    struct json_doc doc;
    if (json_parse(&doc, a, v->json, NULL) != OK)
        return ERR_FORMAT;
    struct json list = json_root(&doc);
    float *f = arena_new_array(a, float, json_count(list) + 1);
    if (!f)
        return ERR_NOMEM;
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        double x;
        if (!json_f64(it.value, &x))
            return ERR_FORMAT;
        f[it.i] = (float)x;
    }
    *out = f;
    *n = json_count(list);
    return OK;
}

int embed_write_vector(struct buf *out, const struct embed_vector *v, bool as_base64)
{
    if (v->json.p && !as_base64)
        return buf_str_add(out, v->json) ? OK : ERR_LIMIT;
    if (v->base64.p && as_base64)
        return json_quote(out, v->base64) ? OK : ERR_LIMIT;
    struct arena a;
    const float *values = NULL;
    size_t n = 0;
    arena_init(&a, 16 << 20);
    int rc = embed_vector_floats(v, &a, &values, &n);
    if (rc == OK && as_base64)
        write_base64(out, values, n);
    else if (rc == OK)
        write_floats(out, values, n);
    arena_deinit(&a);
    return rc == OK && !buf_ok(out) ? ERR_LIMIT : rc;
}

static int write_embeddings(const struct chat_request *req, const struct embed_answer *answer,
                            struct buf *out)
{
    struct json_writer w = json_writer(out);
    int rc = OK;
    jw_begin_object(&w);
    jw_kv_z(&w, "object", "list");
    jw_key(&w, "data");
    jw_begin_array(&w);
    for (size_t i = 0; i < answer->n_vectors && rc == OK; i++) {
        jw_begin_object(&w);
        jw_kv_z(&w, "object", "embedding");
        jw_kv_i64(&w, "index", (int64_t)i);
        jw_key(&w, "embedding");
        jw_raw(&w, S(""));
        rc = embed_write_vector(out, &answer->vectors[i], req->is_base64);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_kv_str(&w, "model", answer->model.n ? answer->model : req->model);
    jw_key(&w, "usage");
    jw_begin_object(&w);
    jw_kv_i64(&w, "prompt_tokens", tokens_input(&answer->usage));
    jw_kv_i64(&w, "total_tokens", tokens_input(&answer->usage));
    jw_end_object(&w);
    jw_end_object(&w);
    return rc == OK && !buf_ok(out) ? ERR_LIMIT : rc;
}

/* ---- provider side ---- */

static int write_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out)
{
    struct json_writer w = json_writer(out->body);
    (void)a;
    snprintf(out->path, sizeof(out->path), "/embeddings");
    if (req->op != CHAT_OP_EMBED) {
        lack_refuse(&out->lacks, "messages");
        return OK;
    }
    jw_begin_object(&w);
    if (!(target->quirks & QUIRK_NO_MODEL_FIELD))
        jw_kv_str(&w, "model", target->model);
    openai_write_prompts(&w, "input", req->inputs, req->n_inputs, req->n_inputs > 1 || req->is_batch);
    if (req->is_base64)
        jw_kv_z(&w, "encoding_format", "base64");
    if (req->dimensions.is_set)
        jw_kv_i64(&w, "dimensions", req->dimensions.v);
    if (req->user.p)
        jw_kv_str(&w, "user", req->user);
    if (req->task_type.p) /* asymmetric models give other vectors for queries and documents */
        lack_refuse(&out->lacks, "taskType");
    if (req->embed_title.p)
        lack_hint(&out->lacks, "title");
    if (openai_is_family(req->from))
        for (size_t i = 0; i < req->n_fields; i++) {
            jw_key_str(&w, req->fields[i].name);
            jw_raw(&w, req->fields[i].json);
        }
    else
        lack_fields(&out->lacks, req);
    jw_end_object(&w);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}

static int pass_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                        struct dialect_out *out)
{
    snprintf(out->path, sizeof(out->path), "/embeddings");
    return openai_pass_body(req, target, "max_tokens", a, out);
}

static int read_embeddings(struct str body, struct arena *a, struct embed_answer *answer,
                           struct chat_error *e)
{
    struct json_doc doc;
    memset(answer, 0, sizeof(*answer));
    if (json_parse(&doc, a, body, NULL) != OK)
        return chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent malformed JSON");
    struct json root = json_root(&doc);
    if (json_is(json_get(root, "error"), JSON_OBJECT)) {
        openai_read_error_value(200, json_get(root, "error"), e);
        return ERR_FORMAT;
    }
    struct json data = json_get(root, "data");
    uint32_t n = json_count(data);
    if (!json_is(data, JSON_ARRAY) || n == 0)
        return chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent no embeddings");
    answer->vectors = arena_new_array(a, struct embed_vector, n);
    if (!answer->vectors)
        return chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent too much");
    for (struct json_iter it = json_iter(data); json_next(&it);) {
        int64_t idx = it.i;
        struct json v = json_get(it.value, "embedding");
        json_i64(json_get(it.value, "index"), &idx);
        if (idx < 0 || idx >= n || (!json_is(v, JSON_ARRAY) && !json_is(v, JSON_STRING)))
            return chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent a bad embedding");
        struct embed_vector *to = &answer->vectors[idx];
        if (to->json.p || to->base64.p)
            return chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent an index twice");
        if (json_is(v, JSON_ARRAY))
            to->json = json_span(v);
        else
            to->base64 = json_text(v, a);
    }
    answer->n_vectors = n;
    answer->model = json_text(json_get(root, "model"), a);
    openai_read_usage(json_get(root, "usage"), &answer->usage);
    return OK;
}

const struct dialect dialect_openai_embeddings = {
    .id = DIALECT_OPENAI_EMBEDDINGS,
    .name = "openai-embeddings",
    .auth_header = "authorization",
    .auth_prefix = "Bearer ",
    .request_id_header = "x-request-id",
    .read_request = read_request,
    .write_error = openai_write_error,
    .error_status = openai_error_status,
    .write_limits = limits_write_openai,
    .write_embeddings = write_embeddings,
    .write_models = openai_write_models,
    .write_model = openai_write_model,
    .write_request = write_request,
    .pass_request = pass_request,
    .read_error = openai_read_error,
    .read_limits = openai_read_limits,
    .read_embeddings = read_embeddings,
};
