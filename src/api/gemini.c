/* gemini.c - Gemini: errors, counts, embeddings, models, and the dialect's row. */
#include <stdio.h>

#include "api/gemini_int.h"

/* ---- errors to clients ---- */

static const char *status_name(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_ERR_INVALID:
    case CHAT_ERR_CONTEXT_LENGTH:
    case CHAT_ERR_CONTENT_FILTER:
    case CHAT_ERR_TOO_LARGE: return "INVALID_ARGUMENT";
    case CHAT_ERR_AUTH: return "UNAUTHENTICATED";
    case CHAT_ERR_PERMISSION: return "PERMISSION_DENIED";
    case CHAT_ERR_NOT_FOUND: return "NOT_FOUND";
    case CHAT_ERR_CONFLICT: return "ABORTED";
    case CHAT_ERR_RATE_LIMIT:
    case CHAT_ERR_QUOTA: return "RESOURCE_EXHAUSTED";
    case CHAT_ERR_OVERLOADED:
    case CHAT_ERR_UNAVAILABLE: return "UNAVAILABLE";
    case CHAT_ERR_TIMEOUT: return "DEADLINE_EXCEEDED";
    case CHAT_ERR_CANCELLED: return "CANCELLED";
    case CHAT_ERR_NONE:
    case CHAT_ERR_BILLING:
    case CHAT_ERR_SERVER:
    case CHAT_ERR_BAD_ANSWER: break;
    }
    return "INTERNAL";
}

static int error_status(const struct chat_error *e)
{
    /* A provider's empty purse is not the client's. */
    return e->kind == CHAT_ERR_BILLING ? 502 : chat_error_status(e->kind);
}

void gemini_write_error(const struct chat_error *e, struct str request_id, struct buf *out)
{
    struct json_writer w = json_writer(out);
    (void)request_id;
    jw_begin_object(&w);
    jw_key(&w, "error");
    jw_begin_object(&w);
    jw_kv_i64(&w, "code", error_status(e));
    jw_kv_z(&w, "message", e->message);
    jw_kv_z(&w, "status", status_name(e->kind));
    if (e->retry_after_ms >= 0) { /* these clients look for the delay in the body */
        char delay[40];
        snprintf(delay, sizeof(delay), "%.3fs", (double)e->retry_after_ms / 1000);
        jw_key(&w, "details");
        jw_begin_array(&w);
        jw_begin_object(&w);
        jw_kv_z(&w, "@type", "type.googleapis.com/google.rpc.RetryInfo");
        jw_kv_z(&w, "retryDelay", delay);
        jw_end_object(&w);
        jw_end_array(&w);
    }
    jw_end_object(&w);
    jw_end_object(&w);
}

/* ---- errors from providers ---- */

static enum chat_error_kind kind_by_status(struct str s)
{
    static const struct {
        const char *name;
        enum chat_error_kind kind;
    } rows[] = {
        {"INVALID_ARGUMENT", CHAT_ERR_INVALID},
        {"FAILED_PRECONDITION", CHAT_ERR_PERMISSION}, /* not open in this country or to this account */
        {"OUT_OF_RANGE", CHAT_ERR_INVALID},
        {"UNAUTHENTICATED", CHAT_ERR_AUTH},
        {"PERMISSION_DENIED", CHAT_ERR_PERMISSION},
        {"NOT_FOUND", CHAT_ERR_NOT_FOUND},
        {"RESOURCE_EXHAUSTED", CHAT_ERR_RATE_LIMIT},
        {"ABORTED", CHAT_ERR_CONFLICT},
        {"INTERNAL", CHAT_ERR_SERVER},
        {"UNKNOWN", CHAT_ERR_SERVER},
        {"UNAVAILABLE", CHAT_ERR_OVERLOADED},
        {"DEADLINE_EXCEEDED", CHAT_ERR_TIMEOUT},
        {"CANCELLED", CHAT_ERR_SERVER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (str_eq(s, str_c(rows[i].name)))
            return rows[i].kind;
    return CHAT_ERR_NONE;
}

/* The delay of RetryInfo, and whether the quota is one that only tomorrow or money refills. */
static void read_details(struct json details, struct arena *a, struct chat_error *e)
{
    for (struct json_iter it = json_iter(details); json_next(&it);) {
        struct str type = json_text(json_get(it.value, "@type"), a);
        if (!type.p)
            continue;
        if (str_ends(type, S("RetryInfo"))) {
            struct str delay = json_text(json_get(it.value, "retryDelay"), a);
            e->retry_after_ms = delay.p ? duration_ms(delay) : -1;
        } else if (str_ends(type, S("ErrorInfo"))) {
            struct json reason = json_get(it.value, "reason");
            struct str text = json_text(reason, a);
            if (json_text_is(reason, "API_KEY_INVALID"))
                e->kind = CHAT_ERR_AUTH;
            if (text.n && text.n < sizeof(e->code))
                snprintf(e->code, sizeof(e->code), "%.*s", STR(text));
        }
    }
}

void gemini_read_error_value(int status, struct json error, struct chat_error *e)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str name = json_text(json_get(error, "status"), &a);
    struct str message = json_text(json_get(error, "message"), &a);
    int64_t code = 0;
    if (status < 400 && json_i64(json_get(error, "code"), &code) && code >= 400 && code < 600)
        status = (int)code;
    enum chat_error_kind kind = name.p ? kind_by_status(name) : CHAT_ERR_NONE;
    if (kind == CHAT_ERR_NONE)
        kind = error_kind_by_status(status < 400 ? 500 : status);
    if ((kind == CHAT_ERR_INVALID || str_eq(name, S("FAILED_PRECONDITION"))) && message.p) {
        enum chat_error_kind known = error_kind_by_words(message);
        kind = known != CHAT_ERR_NONE ? known : kind;
    }
    chat_error_set(e, kind, "", "the provider gave no message");
    if (status >= 400)
        e->status = status;
    if (message.n)
        error_set_text(e, message);
    if (name.n && name.n < sizeof(e->code))
        snprintf(e->code, sizeof(e->code), "%.*s", STR(name));
    read_details(json_get(error, "details"), &a, e);
    arena_deinit(&a);
}

static void read_error(int status, const struct chat_header *headers, size_t n_headers, struct str body,
                       int64_t now_ms, struct chat_error *e)
{
    struct arena a;
    struct json_doc doc;
    arena_init(&a, 4 << 20);
    struct json root = json_parse(&doc, &a, body, NULL) == OK ? json_root(&doc) : json_absent();
    if (json_is(root, JSON_ARRAY))
        root = json_at(root, 0);
    struct json error = json_get(root, "error");
    if (json_is(error, JSON_OBJECT))
        gemini_read_error_value(status, error, e);
    else
        error_from_text(status, body, e);
    int64_t wait = header_retry_after_ms(headers, n_headers, now_ms);
    if (wait >= 0)
        e->retry_after_ms = wait;
    arena_deinit(&a);
}

static void read_limits(const struct chat_header *headers, size_t n_headers, int64_t now_ms,
                        struct rate_limits *l)
{
    rate_limits_init(l); /* this provider sends none but, from proxies, a Retry-After */
    l->retry_after_ms = header_retry_after_ms(headers, n_headers, now_ms);
}

/* ---- counts, embeddings, models ---- */

static void write_count(const struct chat_request *req, int64_t n_tokens, struct buf *out)
{
    (void)req;
    buf_printf(out, "{\"totalTokens\":%lld}", (long long)n_tokens);
}

static int read_count(struct str body, struct arena *a, int64_t *n_tokens, struct chat_error *e)
{
    struct json_doc doc;
    if (json_parse(&doc, a, body, NULL) == OK &&
        json_i64(json_get(json_root(&doc), "totalTokens"), n_tokens) && *n_tokens >= 0)
        return OK;
    chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent no token count");
    return ERR_FORMAT;
}

static int write_embeddings(const struct chat_request *req, const struct embed_answer *answer,
                            struct buf *out)
{
    struct json_writer w = json_writer(out);
    int rc = OK;
    jw_begin_object(&w);
    jw_key(&w, req->is_batch ? "embeddings" : "embedding");
    if (req->is_batch)
        jw_begin_array(&w);
    size_t n = req->is_batch ? answer->n_vectors : answer->n_vectors ? 1 : 0;
    for (size_t i = 0; i < n && rc == OK; i++) {
        jw_begin_object(&w);
        jw_key(&w, "values");
        jw_raw(&w, S(""));
        rc = embed_write_vector(out, &answer->vectors[i], false);
        jw_end_object(&w);
    }
    if (req->is_batch)
        jw_end_array(&w);
    jw_end_object(&w);
    return rc == OK && !buf_ok(out) ? ERR_LIMIT : rc;
}

static int read_embeddings(struct str body, struct arena *a, struct embed_answer *answer,
                           struct chat_error *e)
{
    struct json_doc doc;
    memset(answer, 0, sizeof(*answer));
    if (json_parse(&doc, a, body, NULL) != OK) {
        chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent malformed JSON");
        return ERR_FORMAT;
    }
    struct json root = json_root(&doc);
    struct json many = json_get(root, "embeddings"), one = json_get(root, "embedding");
    if (json_is(json_get(root, "error"), JSON_OBJECT)) {
        gemini_read_error_value(200, json_get(root, "error"), e);
        return ERR_FORMAT;
    }
    uint32_t n = json_is(many, JSON_ARRAY) ? json_count(many) : json_is(one, JSON_OBJECT) ? 1 : 0;
    answer->vectors = n ? arena_new_array(a, struct embed_vector, n) : NULL;
    if (n == 1 && !json_is(many, JSON_ARRAY) && answer->vectors &&
        json_is(json_get(one, "values"), JSON_ARRAY))
        answer->vectors[answer->n_vectors++].json = json_span(json_get(one, "values"));
    for (struct json_iter it = json_iter(many); answer->vectors && json_next(&it);)
        if (json_is(json_get(it.value, "values"), JSON_ARRAY))
            answer->vectors[answer->n_vectors++].json = json_span(json_get(it.value, "values"));
    if (n == 0 || answer->n_vectors != n) {
        chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent no embeddings");
        return ERR_FORMAT;
    }
    int64_t tokens = 0; /* newer answers say it; else the gateway estimates */
    if (json_i64(json_get(json_get(root, "usageMetadata"), "promptTokenCount"), &tokens))
        answer->usage = (struct token_account){.input_fresh = tokens, .is_known = true};
    return OK;
}

static void write_entry(struct json_writer *w, const struct model_entry *m)
{
    jw_begin_object(w);
    jw_key(w, "name");
    jw_raw(w, S("\"models/"));
    json_escape(w->out, m->id);
    buf_putc(w->out, '"');
    jw_kv_str(w, "displayName", m->id);
    if (m->context_tokens > 0)
        jw_kv_i64(w, "inputTokenLimit", m->context_tokens);
    if (m->output_tokens > 0)
        jw_kv_i64(w, "outputTokenLimit", m->output_tokens);
    jw_kv_raw(w, "supportedGenerationMethods", S("[\"generateContent\",\"countTokens\"]"));
    jw_end_object(w);
}

static void write_models(const struct model_entry *models, size_t n_models, struct buf *out)
{
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_key(&w, "models");
    jw_begin_array(&w);
    for (size_t i = 0; i < n_models; i++)
        write_entry(&w, &models[i]);
    jw_end_array(&w);
    jw_end_object(&w);
}

static void write_model(const struct model_entry *model, struct buf *out)
{
    struct json_writer w = json_writer(out);
    write_entry(&w, model);
}

static const char *stream_content_type(const struct chat_request *req)
{
    return req->is_array_stream ? "application/json" : "text/event-stream";
}

const struct dialect dialect_gemini = {
    .id = DIALECT_GEMINI,
    .name = "gemini",
    .auth_header = "x-goog-api-key",
    .auth_prefix = "",
    .request_id_header = "x-request-id",
    .read_request = gemini_read_request,
    .write_answer = gemini_write_answer,
    .writer_new = gemini_writer_new,
    .writer_free = gemini_writer_free,
    .writer_event = gemini_writer_event,
    .writer_end = gemini_writer_end,
    .writer_heartbeat = gemini_writer_heartbeat,
    .stream_content_type = stream_content_type,
    .write_error = gemini_write_error,
    .error_status = error_status,
    .write_limits = limits_write_openai,
    .write_count = write_count,
    .write_embeddings = write_embeddings,
    .write_models = write_models,
    .write_model = write_model,
    .write_request = gemini_write_request,
    .pass_request = gemini_pass_request,
    .read_answer = gemini_read_answer,
    .reader_new = gemini_reader_new,
    .reader_free = gemini_reader_free,
    .reader_event = gemini_reader_event,
    .reader_end = gemini_reader_end,
    .read_error = read_error,
    .read_limits = read_limits,
    .read_count = read_count,
    .read_embeddings = read_embeddings,
};
