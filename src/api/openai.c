/* openai.c - Chat completions: errors, limits, and the dialect's row. */
#include <stdio.h>

#include "api/openai_int.h"

/* ---- errors to clients ---- */

static const char *error_type(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_ERR_AUTH: return "authentication_error";
    case CHAT_ERR_PERMISSION: return "permission_error";
    case CHAT_ERR_NOT_FOUND:
    case CHAT_ERR_INVALID:
    case CHAT_ERR_CONTEXT_LENGTH:
    case CHAT_ERR_CONTENT_FILTER:
    case CHAT_ERR_TOO_LARGE:
    case CHAT_ERR_CONFLICT: return "invalid_request_error";
    case CHAT_ERR_RATE_LIMIT: return "rate_limit_error";
    case CHAT_ERR_QUOTA:
    case CHAT_ERR_BILLING: return "insufficient_quota";
    case CHAT_ERR_OVERLOADED:
    case CHAT_ERR_UNAVAILABLE: return "service_unavailable_error";
    case CHAT_ERR_NONE:
    case CHAT_ERR_SERVER:
    case CHAT_ERR_BAD_ANSWER:
    case CHAT_ERR_TIMEOUT:
    case CHAT_ERR_CANCELLED: break;
    }
    return "server_error";
}

/* The codes that clients branch on; others have none. */
static const char *error_code(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_ERR_AUTH: return "invalid_api_key";
    case CHAT_ERR_NOT_FOUND: return "model_not_found";
    case CHAT_ERR_CONTEXT_LENGTH: return "context_length_exceeded";
    case CHAT_ERR_CONTENT_FILTER: return "content_filter";
    case CHAT_ERR_RATE_LIMIT: return "rate_limit_exceeded";
    case CHAT_ERR_QUOTA:
    case CHAT_ERR_BILLING: return "insufficient_quota";
    case CHAT_ERR_TIMEOUT: return "timeout";
    default: return NULL;
    }
}

void openai_write_error(const struct chat_error *e, struct str request_id, struct buf *out)
{
    struct json_writer w = json_writer(out);
    (void)request_id; /* these clients read it from a header */
    jw_begin_object(&w);
    jw_key(&w, "error");
    jw_begin_object(&w);
    jw_kv_z(&w, "message", e->message);
    jw_kv_z(&w, "type", error_type(e->kind));
    jw_kv_z(&w, "param", e->param[0] ? e->param : NULL);
    /* A provider's own word only where this dialect has none for the kind. */
    const char *code = error_code(e->kind);
    jw_kv_z(&w, "code", code ? code : e->code[0] ? e->code : NULL);
    jw_end_object(&w);
    jw_end_object(&w);
}

int openai_error_status(const struct chat_error *e)
{
    /* A provider's empty purse is not the client's: 402 would tell it to pay. */
    return e->kind == CHAT_ERR_BILLING ? 502 : chat_error_status(e->kind);
}

/* ---- errors from providers ---- */

static bool is_one_of(struct str s, const char *const *list)
{
    for (; *list; list++)
        if (str_eq(s, str_c(*list)))
            return true;
    return false;
}

static enum chat_error_kind kind_by_code(struct str s)
{
    static const char *const billing[] = {"insufficient_quota",
                                          "credit_balance_exhausted",
                                          "organization_spend_limit_exceeded",
                                          "project_spend_limit_exceeded",
                                          "billing_hard_limit_reached",
                                          "billing_not_active",
                                          "account_deactivated",
                                          NULL};
    static const char *const overloaded[] = {"slow_down", "server_is_overloaded", "overloaded_error",
                                             "engine_overloaded_error", NULL};
    static const char *const length[] = {"context_length_exceeded", "string_above_max_length",
                                         "exceed_context_size_error", NULL};
    static const char *const filter[] = {"content_filter", "content_policy_violation",
                                         "ResponsibleAIPolicyViolation", NULL};
    if (is_one_of(s, billing))
        return CHAT_ERR_BILLING;
    if (is_one_of(s, overloaded))
        return CHAT_ERR_OVERLOADED;
    if (is_one_of(s, length))
        return CHAT_ERR_CONTEXT_LENGTH;
    if (is_one_of(s, filter))
        return CHAT_ERR_CONTENT_FILTER;
    if (str_eq(s, S("rate_limit_exceeded")) || str_eq(s, S("rate_limit_error")))
        return CHAT_ERR_RATE_LIMIT;
    return CHAT_ERR_NONE;
}

/* Kind of an error object {message, type, param, code} that came with `status`. */
void openai_read_error_value(int status, struct json error, struct chat_error *e)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str message = json_text(json_is(error, JSON_STRING) ? error : json_get(error, "message"), &a);
    struct str type = json_text(json_get(error, "type"), &a);
    struct json code_value = json_get(error, "code");
    struct str code = json_text(code_value, &a);
    struct str param = json_text(json_get(error, "param"), &a);
    int64_t number;
    /* Inside a 200 the code may be the status that should have been (OpenRouter, vLLM). */
    if (status < 400 && json_i64(code_value, &number) && number >= 400 && number < 600)
        status = (int)number;
    enum chat_error_kind kind = error_kind_by_status(status < 400 ? 500 : status);
    enum chat_error_kind known = kind_by_code(code);
    if (known == CHAT_ERR_NONE)
        known = kind_by_code(type);
    if (known == CHAT_ERR_NONE && kind == CHAT_ERR_INVALID)
        known = error_kind_by_words(message.p ? message : S(""));
    if (known == CHAT_ERR_NONE && status < 400 && str_eq(type, S("invalid_request_error")))
        known = CHAT_ERR_INVALID;
    if (known == CHAT_ERR_RATE_LIMIT && status >= 500)
        known = CHAT_ERR_NONE;
    chat_error_set(e, known ? known : kind, "", "the provider gave no message");
    if (status >= 400)
        e->status = status;
    if (message.n)
        error_set_text(e, message);
    if (param.n)
        snprintf(e->param, sizeof(e->param), "%.*s", STR(str_sub(param, 0, 100)));
    if (!code.n)
        code = type;
    if (code.n && code.n < sizeof(e->code))
        snprintf(e->code, sizeof(e->code), "%.*s", STR(code));
    arena_deinit(&a);
}

void openai_read_error(int status, const struct chat_header *headers, size_t n_headers, struct str body,
                       int64_t now_ms, struct chat_error *e)
{
    struct arena a;
    struct json_doc doc;
    arena_init(&a, 4 << 20);
    bool is_json = json_parse(&doc, &a, body, NULL) == OK;
    struct json root = is_json ? json_root(&doc) : json_absent();
    if (json_is(root, JSON_ARRAY)) /* Google's compatible host wraps it in a list */
        root = json_at(root, 0);
    struct json error = json_get(root, "error");
    if (json_is_none(error) && json_exists(json_get(root, "message")))
        error = root; /* vLLM before 0.10, Mistral: the fields at top level */
    if (json_is_none(error))
        error = json_get(root, "detail"); /* FastAPI hosts */
    if (json_is(error, JSON_OBJECT) || json_is(error, JSON_STRING))
        openai_read_error_value(status, error, e);
    else
        error_from_text(status, body, e);
    int64_t wait = header_retry_after_ms(headers, n_headers, now_ms);
    e->retry_after_ms = wait;
    arena_deinit(&a);
}

static int64_t header_i64(const struct chat_header *h, size_t n, const char *name)
{
    int64_t v;
    /* Azure says -1 or 0 where it means nothing. */
    return str_to_i64(str_trim(header_get(h, n, name)), &v) && v >= 0 ? v : -1;
}

static int64_t header_duration(const struct chat_header *h, size_t n, const char *name)
{
    struct str s = str_trim(header_get(h, n, name));
    double seconds;
    if (str_to_f64(s, &seconds) && seconds >= 0 && seconds < 1e9) /* a bare number of seconds */
        return (int64_t)(seconds * 1000);
    return duration_ms(s);
}

void openai_read_limits(const struct chat_header *headers, size_t n_headers, int64_t now_ms,
                        struct rate_limits *l)
{
    *l = (struct rate_limits){
        .limit_requests = header_i64(headers, n_headers, "x-ratelimit-limit-requests"),
        .remaining_requests = header_i64(headers, n_headers, "x-ratelimit-remaining-requests"),
        .reset_requests_ms = header_duration(headers, n_headers, "x-ratelimit-reset-requests"),
        .limit_tokens = header_i64(headers, n_headers, "x-ratelimit-limit-tokens"),
        .remaining_tokens = header_i64(headers, n_headers, "x-ratelimit-remaining-tokens"),
        .reset_tokens_ms = header_duration(headers, n_headers, "x-ratelimit-reset-tokens"),
        .retry_after_ms = header_retry_after_ms(headers, n_headers, now_ms),
    };
}

static int pass_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                        struct dialect_out *out)
{
    if (target->quirks && openai_needs_rewrite(req, target->quirks))
        return openai_write_request(req, target, a, out);
    snprintf(out->path, sizeof(out->path), "/chat/completions");
    bool is_old = (target->quirks & QUIRK_MAX_TOKENS_OLD) != 0;
    return openai_pass_body(req, target, is_old ? "max_tokens" : "max_completion_tokens", a, out);
}

const struct dialect dialect_openai_chat = {
    .id = DIALECT_OPENAI_CHAT,
    .name = "openai",
    .auth_header = "authorization",
    .auth_prefix = "Bearer ",
    .request_id_header = "x-request-id",
    .read_request = openai_read_request,
    .write_answer = openai_write_answer,
    .writer_new = openai_writer_new,
    .writer_free = openai_writer_free,
    .writer_event = openai_writer_event,
    .writer_end = openai_writer_end,
    .writer_heartbeat = openai_writer_heartbeat,
    .stream_content_type = openai_stream_content_type,
    .write_error = openai_write_error,
    .error_status = openai_error_status,
    .write_limits = limits_write_openai,
    .write_models = openai_write_models,
    .write_model = openai_write_model,
    .write_request = openai_write_request,
    .pass_request = pass_request,
    .read_answer = openai_read_answer,
    .reader_new = openai_reader_new,
    .reader_free = openai_reader_free,
    .reader_event = openai_reader_event,
    .reader_end = openai_reader_end,
    .read_error = openai_read_error,
    .read_limits = openai_read_limits,
};
