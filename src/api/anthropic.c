/* anthropic.c - Anthropic Messages: errors, limits, counts, models, and the dialect's row. */
#include <stdio.h>

#include "api/anthropic_int.h"

static const char *error_type(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_ERR_INVALID:
    case CHAT_ERR_CONTEXT_LENGTH:
    case CHAT_ERR_CONTENT_FILTER: return "invalid_request_error";
    case CHAT_ERR_TOO_LARGE: return "request_too_large";
    case CHAT_ERR_AUTH: return "authentication_error";
    case CHAT_ERR_PERMISSION: return "permission_error";
    case CHAT_ERR_NOT_FOUND: return "not_found_error";
    case CHAT_ERR_CONFLICT: return "conflict_error";
    case CHAT_ERR_RATE_LIMIT:
    case CHAT_ERR_QUOTA: return "rate_limit_error";
    case CHAT_ERR_OVERLOADED:
    case CHAT_ERR_UNAVAILABLE: return "overloaded_error";
    case CHAT_ERR_TIMEOUT: return "timeout_error";
    case CHAT_ERR_NONE:
    case CHAT_ERR_BILLING:
    case CHAT_ERR_SERVER:
    case CHAT_ERR_BAD_ANSWER:
    case CHAT_ERR_CANCELLED: break;
    }
    return "api_error";
}

void anthropic_write_error(const struct chat_error *e, struct str request_id, struct buf *out)
{
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_kv_z(&w, "type", "error");
    jw_key(&w, "error");
    jw_begin_object(&w);
    jw_kv_z(&w, "type", error_type(e->kind));
    jw_kv_z(&w, "message", e->message);
    jw_end_object(&w);
    if (request_id.n)
        jw_kv_str(&w, "request_id", request_id);
    jw_end_object(&w);
}

static int error_status(const struct chat_error *e)
{
    /* A provider's empty purse is not the client's: 402 would tell it to pay. */
    return e->kind == CHAT_ERR_BILLING ? 502 : chat_error_status(e->kind);
}

/* ---- from providers ---- */

static enum chat_error_kind kind_by_type(struct str type)
{
    static const struct {
        const char *type;
        enum chat_error_kind kind;
    } rows[] = {
        {"invalid_request_error", CHAT_ERR_INVALID},
        {"authentication_error", CHAT_ERR_AUTH},
        {"billing_error", CHAT_ERR_BILLING},
        {"permission_error", CHAT_ERR_PERMISSION},
        {"not_found_error", CHAT_ERR_NOT_FOUND},
        {"conflict_error", CHAT_ERR_CONFLICT},
        {"request_too_large", CHAT_ERR_TOO_LARGE},
        {"rate_limit_error", CHAT_ERR_RATE_LIMIT},
        {"api_error", CHAT_ERR_SERVER},
        {"timeout_error", CHAT_ERR_TIMEOUT},
        {"overloaded_error", CHAT_ERR_OVERLOADED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (str_eq(type, str_c(rows[i].type)))
            return rows[i].kind;
    return CHAT_ERR_NONE;
}

void anthropic_read_error_value(int status, struct json error, struct chat_error *e)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str type = json_text(json_get(error, "type"), &a);
    struct str message = json_text(json_get(error, "message"), &a);
    struct json code = json_get(json_get(error, "details"), "error_code");
    enum chat_error_kind kind = type.p ? kind_by_type(type) : CHAT_ERR_NONE;
    if (kind == CHAT_ERR_NONE)
        kind = error_kind_by_status(status < 400 ? 500 : status);
    if (json_text_is(code, "enforced_spend_limit_reached"))
        kind = CHAT_ERR_BILLING;
    if (kind == CHAT_ERR_INVALID && message.p) {
        enum chat_error_kind known = error_kind_by_words(message);
        if (known != CHAT_ERR_NONE)
            kind = known;
    }
    chat_error_set(e, kind, "", "the provider gave no message");
    if (status >= 400)
        e->status = status;
    if (message.n)
        error_set_text(e, message);
    if (type.n && type.n < sizeof(e->code))
        snprintf(e->code, sizeof(e->code), "%.*s", STR(type));
    arena_deinit(&a);
}

static void read_error(int status, const struct chat_header *headers, size_t n_headers, struct str body,
                       int64_t now_ms, struct chat_error *e)
{
    struct arena a;
    struct json_doc doc;
    arena_init(&a, 4 << 20);
    bool is_json = json_parse(&doc, &a, body, NULL) == OK;
    struct json error = is_json ? json_get(json_root(&doc), "error") : json_absent();
    if (json_is(error, JSON_OBJECT))
        anthropic_read_error_value(status, error, e);
    else
        error_from_text(status, body, e);
    e->retry_after_ms = header_retry_after_ms(headers, n_headers, now_ms);
    arena_deinit(&a);
}

static int64_t header_i64(const struct chat_header *h, size_t n, const char *name)
{
    int64_t v;
    return str_to_i64(str_trim(header_get(h, n, name)), &v) && v >= 0 ? v : -1;
}

static int64_t header_until(const struct chat_header *h, size_t n, const char *name, int64_t now_ms)
{
    int64_t at = rfc3339_ms(str_trim(header_get(h, n, name)));
    if (at < 0)
        return -1;
    return at > now_ms ? at - now_ms : 0;
}

static void read_limits(const struct chat_header *headers, size_t n_headers, int64_t now_ms,
                        struct rate_limits *l)
{
    *l = (struct rate_limits){
        .limit_requests = header_i64(headers, n_headers, "anthropic-ratelimit-requests-limit"),
        .remaining_requests = header_i64(headers, n_headers, "anthropic-ratelimit-requests-remaining"),
        .reset_requests_ms = header_until(headers, n_headers, "anthropic-ratelimit-requests-reset", now_ms),
        .limit_tokens = header_i64(headers, n_headers, "anthropic-ratelimit-tokens-limit"),
        .remaining_tokens = header_i64(headers, n_headers, "anthropic-ratelimit-tokens-remaining"),
        .reset_tokens_ms = header_until(headers, n_headers, "anthropic-ratelimit-tokens-reset", now_ms),
        .retry_after_ms = header_retry_after_ms(headers, n_headers, now_ms),
    };
}

/* ---- limits, counts and models to clients ---- */

static void limit_lines(struct buf *out, const char *what, int64_t limit, int64_t remaining, int64_t reset_ms,
                        int64_t now_ms)
{
    if (limit >= 0)
        buf_printf(out, "anthropic-ratelimit-%s-limit: %lld\r\n", what, (long long)limit);
    if (remaining >= 0)
        buf_printf(out, "anthropic-ratelimit-%s-remaining: %lld\r\n", what, (long long)remaining);
    if (reset_ms < 0)
        return;
    buf_printf(out, "anthropic-ratelimit-%s-reset: ", what);
    rfc3339_write(now_ms + reset_ms, out);
    buf_puts(out, "\r\n");
}

static void write_limits(const struct rate_limits *l, int64_t now_ms, struct buf *out)
{
    limit_lines(out, "requests", l->limit_requests, l->remaining_requests, l->reset_requests_ms, now_ms);
    limit_lines(out, "tokens", l->limit_tokens, l->remaining_tokens, l->reset_tokens_ms, now_ms);
    limits_write_openai(l, now_ms, out); /* the contract's own names in every dialect */
}

static void write_count(const struct chat_request *req, int64_t n_tokens, struct buf *out)
{
    (void)req;
    buf_printf(out, "{\"input_tokens\":%lld}", (long long)n_tokens);
}

static int read_count(struct str body, struct arena *a, int64_t *n_tokens, struct chat_error *e)
{
    struct json_doc doc;
    if (json_parse(&doc, a, body, NULL) == OK &&
        json_i64(json_get(json_root(&doc), "input_tokens"), n_tokens) && *n_tokens >= 0)
        return OK;
    chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the provider sent no token count");
    return ERR_FORMAT;
}

static void write_entry(struct json_writer *w, const struct model_entry *m)
{
    jw_begin_object(w);
    jw_kv_z(w, "type", "model");
    jw_kv_str(w, "id", m->id);
    jw_kv_str(w, "display_name", m->id);
    jw_key(w, "created_at");
    jw_raw(w, S("\""));
    rfc3339_write(m->created_s * 1000, w->out);
    buf_putc(w->out, '"');
    jw_end_object(w);
}

static void write_models(const struct model_entry *models, size_t n_models, struct buf *out)
{
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_key(&w, "data");
    jw_begin_array(&w);
    for (size_t i = 0; i < n_models; i++)
        write_entry(&w, &models[i]);
    jw_end_array(&w);
    jw_kv_bool(&w, "has_more", false);
    jw_key(&w, "first_id");
    if (n_models)
        jw_str(&w, models[0].id);
    else
        jw_null(&w);
    jw_key(&w, "last_id");
    if (n_models)
        jw_str(&w, models[n_models - 1].id);
    else
        jw_null(&w);
    jw_end_object(&w);
}

static void write_model(const struct model_entry *model, struct buf *out)
{
    struct json_writer w = json_writer(out);
    write_entry(&w, model);
}

static const char *stream_content_type(const struct chat_request *req)
{
    (void)req;
    return "text/event-stream";
}

const struct dialect dialect_anthropic = {
    .id = DIALECT_ANTHROPIC,
    .name = "anthropic",
    .auth_header = "x-api-key",
    .auth_prefix = "",
    .request_id_header = "request-id",
    .read_request = anthropic_read_request,
    .write_answer = anthropic_write_answer,
    .writer_new = anthropic_writer_new,
    .writer_free = anthropic_writer_free,
    .writer_event = anthropic_writer_event,
    .writer_end = anthropic_writer_end,
    .writer_heartbeat = anthropic_writer_heartbeat,
    .stream_content_type = stream_content_type,
    .write_error = anthropic_write_error,
    .error_status = error_status,
    .write_limits = write_limits,
    .write_count = write_count,
    .write_models = write_models,
    .write_model = write_model,
    .write_request = anthropic_write_request,
    .pass_request = anthropic_pass_request,
    .read_answer = anthropic_read_answer,
    .reader_new = anthropic_reader_new,
    .reader_free = anthropic_reader_free,
    .reader_event = anthropic_reader_event,
    .reader_end = anthropic_reader_end,
    .read_error = read_error,
    .read_limits = read_limits,
    .read_count = read_count,
};
