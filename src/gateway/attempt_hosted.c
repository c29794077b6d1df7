/* attempt_hosted.c - Asking a provider over HTTP, in its own dialect.
 *
 * Where client and provider speak the same dialect, the body travels as it came and the answer's
 * bytes go to the client as they are; the reader only watches for content, usage and the end.
 * Otherwise the request is written and the answer read by the provider's dialect. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/account.h"
#include "gateway/resume.h"
#include "net/addr.h"
#include "net/sse.h"

#define BODY_MAX              ((size_t)64 << 20)
#define ERROR_BODY_MAX        ((size_t)1 << 20)
#define EVENT_MAX             ((size_t)16 << 20)
#define HEADERS_MAX           32
#define SECRET_BYTES_MIN      6 /* shorter values are words, not secrets */
#define KEY_PARK_DEFAULT_NS   (60 * NS_PER_S)
#define OUTPUT_DEFAULT_TOKENS 4096

struct hosted {
    struct gw_request *r;
    const struct provider_kind *kind;
    const struct config_provider *provider;
    const struct dialect *dialect;
    struct str target_model;
    struct http_call *call;
    struct arena arena; /* of this attempt */
    struct buf request, body;
    struct sse_reader sse;
    struct dialect_reader *reader;
    struct timer watch;          /* first content, then between contents */
    struct chat_header *headers; /* of the answer, copied */
    size_t n_headers;
    int status, key_idx;
    bool is_event_stream, has_sse, is_over;
};

/* ---- end ---- */

static void free_hosted(struct hosted *h)
{
    timer_stop(&h->watch);
    if (h->reader)
        h->dialect->reader_free(h->reader);
    if (h->has_sse)
        sse_reader_deinit(&h->sse);
    buf_deinit(&h->request);
    buf_deinit(&h->body);
    arena_deinit(&h->arena);
    free(h);
}

static void set_error(struct hosted *h, enum chat_error_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void set_error(struct hosted *h, enum chat_error_kind kind, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    h->r->has_error = true;
    chat_error_set(&h->r->error, kind, NULL, "%s", text);
    h->r->error.retry_after_ms = -1;
}

/* A provider may repeat the credentials that it refuses: clients and logs never see them. */
static void hide(char *text, struct str secret)
{
    if (secret.n < SECRET_BYTES_MIN)
        return;
    for (char *at = text; (at = memmem(at, strlen(at), secret.p, secret.n)); at += secret.n)
        memset(at, '*', secret.n);
}

static void hide_secrets(const struct hosted *h, char *text)
{
    for (int i = 0; i < h->provider->api_keys.n; i++)
        hide(text, h->provider->api_keys.items[i]);
    for (int i = 0; i < h->provider->headers.n; i++)
        hide(text, h->provider->headers.items[i].value);
}

static void finish(struct hosted *h)
{
    struct gw_request *r = h->r;
    if (r->has_error)
        hide_secrets(h, r->error.message);
    if (r->is_raw && h->reader && h->reader->is_between_blocks)
        resume_forbid(r); /* its bytes have closed the text */
    free_hosted(h);
    gw_on_done(r);
}

static void stop_call(struct hosted *h)
{
    if (h->call)
        http_call_cancel(h->call);
    h->call = NULL;
}

static void on_watch(struct timer *timer)
{
    struct hosted *h = (struct hosted *)((char *)timer - offsetof(struct hosted, watch));
    stop_call(h);
    if (h->r->has_content)
        set_error(h, CHAT_ERR_TIMEOUT, "no token came for %lld s",
                  (long long)(h->provider->idle_timeout_ns / NS_PER_S));
    else
        set_error(h, CHAT_ERR_TIMEOUT, "no content came within %.1f s",
                  (double)h->provider->first_token_timeout_ns / 1e9);
    finish(h);
}

/* ---- keys ---- */

/* Rings are kept at the target, so that they are looked up by name once. */
static struct key_ring *ring(struct hosted *h, _Atomic(struct key_ring *) *place, struct str name)
{
    struct key_ring *k = place ? atomic_load_explicit(place, memory_order_acquire) : NULL;
    if (k || !name.p)
        return k;
    k = key_ring_of(h->r->gw->health, name);
    if (place)
        atomic_store_explicit(place, k, memory_order_release);
    return k;
}

static struct key_ring *dead_keys(struct hosted *h)
{
    struct health *t = h->r->target_health;
    return ring(h, t ? &t->provider->dead_keys : NULL, h->provider->name);
}

static struct key_ring *limited_keys(struct hosted *h)
{
    struct health *t = h->r->target_health;
    return t ? ring(h, &t->limited_keys, str_of(t->name, t->name_n)) : NULL;
}

/* A dead key is parked for all models of the provider and asked again after a while (an account may
 * have been filled up); a limited one rests for this model as long as the provider says. */
static void judge_key(struct hosted *h, const struct chat_error *e)
{
    bool is_dead = e->kind == CHAT_ERR_AUTH || e->kind == CHAT_ERR_BILLING;
    if (is_dead)
        h->r->keys_refused |= UINT64_C(1) << (h->key_idx % HEALTH_KEYS_MAX);
    struct key_ring *ring = is_dead ? dead_keys(h) : limited_keys(h);
    int64_t now = clock_now_ns();
    if (!ring)
        return;
    if (is_dead) {
        key_ring_park(ring, &h->provider->api_keys, h->key_idx, now + 10 * KEY_PARK_DEFAULT_NS);
        log_warn("attempt", "key %d of provider '%.*s' is refused (%d) and parked", h->key_idx + 1,
                 STR(h->provider->name), e->status);
    } else if (e->kind == CHAT_ERR_RATE_LIMIT && e->retry_after_ms > 0) {
        key_ring_park(ring, &h->provider->api_keys, h->key_idx, now + e->retry_after_ms * NS_PER_MS);
    }
}

/* ---- the answer ---- */

static void on_response(struct http_call *call, const struct http_head *head)
{
    struct hosted *h = http_call_user(call);
    h->status = head->status;
    h->headers = arena_new_array(&h->arena, struct chat_header, (size_t)head->n_fields + 1);
    for (int i = 0; h->headers && i < head->n_fields; i++)
        h->headers[h->n_headers++] = (struct chat_header){arena_str(&h->arena, head->fields[i].name),
                                                          arena_str(&h->arena, head->fields[i].value)};
    struct str type = http_value(head, S("content-type"));
    h->is_event_stream =
        h->r->req->is_stream && head->status == 200 && str_starts(type, S("text/event-stream"));
    buf_init(&h->body, head->status == 200 ? BODY_MAX : ERROR_BODY_MAX);
    if (h->is_event_stream) {
        sse_reader_init(&h->sse, EVENT_MAX);
        h->has_sse = true;
        h->reader = h->dialect->reader_new(h->r->req);
        if (!h->reader)
            set_error(h, CHAT_ERR_SERVER, "no memory for a stream");
    }
}

static void on_sse_event(struct hosted *h, const struct sse_event *ev)
{
    struct gw_request *r = h->r;
    struct chat_sink sink = {gw_on_event, r};
    int rc = h->dialect->reader_event(h->reader, ev->type, ev->data, &sink);
    if (rc != OK && !r->has_error)
        set_error(h, CHAT_ERR_BAD_ANSWER, "the stream could not be read");
    if (r->has_error)
        return;
    if (r->is_raw && (!h->reader->is_usage_only || r->req->include_usage))
        sse_write(&r->raw, ev->type, ev->data);
    if (r->has_content)
        timer_start(&h->watch, (uint64_t)(h->provider->idle_timeout_ns / NS_PER_MS));
}

static void read_events(struct hosted *h, struct str data)
{
    struct gw_request *r = h->r;
    struct sse_event ev;
    int got = 0;
    sse_feed(&h->sse, data);
    while (!r->has_error && (got = sse_next(&h->sse, &ev)) == 1)
        on_sse_event(h, &ev);
    if (got < 0 && !r->has_error)
        set_error(h, CHAT_ERR_BAD_ANSWER, "an event of the stream is larger than %zu bytes", EVENT_MAX);
    bool is_shown = r->has_content && !r->is_held && !r->is_withheld;
    if (r->is_raw && is_shown && answer_raw(r) != OK && !r->has_error)
        set_error(h, CHAT_ERR_SERVER, "the answer is too large to pass on");
}

static void on_data(struct http_call *call, struct str data)
{
    struct hosted *h = http_call_user(call);
    if (h->is_event_stream && !h->r->has_error)
        read_events(h, data);
    else if (!h->is_event_stream)
        buf_str_add(&h->body, data);
    if (h->r->has_error && h->is_event_stream) {
        stop_call(h);
        finish(h);
    }
}

static void read_whole(struct hosted *h)
{
    struct gw_request *r = h->r;
    struct chat_sink sink = {gw_on_event, r};
    if (!buf_ok(&h->body)) {
        set_error(h, CHAT_ERR_BAD_ANSWER, "the answer is larger than %zu bytes", h->body.max);
        return;
    }
    if (r->req->op == CHAT_OP_EMBED) {
        struct chat_error e = {.retry_after_ms = -1};
        r->embeddings = arena_new(&r->vectors, struct embed_answer);
        struct str body = arena_str(&r->vectors, buf_str(&h->body));
        if (!r->embeddings || !body.p ||
            h->dialect->read_embeddings(body, &r->vectors, r->embeddings, &e) != OK)
            set_error(h, CHAT_ERR_BAD_ANSWER, "%s",
                      e.message[0] ? e.message : "the vectors need too much memory");
        else
            r->usage = r->embeddings->usage;
        r->has_content = !r->has_error;
        return;
    }
    if (r->req->op == CHAT_OP_COUNT_TOKENS) {
        struct chat_error e = {.retry_after_ms = -1};
        if (h->dialect->read_count(buf_str(&h->body), &h->arena, &r->n_counted, &e) != OK)
            set_error(h, CHAT_ERR_BAD_ANSWER, "%s", e.message);
        r->has_content = !r->has_error;
        return;
    }
    h->dialect->read_answer(r->req, buf_str(&h->body), &h->arena, &sink);
    if (!r->has_error && r->is_raw)
        buf_str_add(&r->raw, buf_str(&h->body));
    if (!r->has_error && !r->has_content)
        set_error(h, CHAT_ERR_BAD_ANSWER, "the answer was empty");
}

static void read_failure(struct hosted *h)
{
    struct gw_request *r = h->r;
    r->has_error = true;
    r->error = (struct chat_error){.retry_after_ms = -1};
    h->dialect->read_error(h->status, h->headers, h->n_headers, buf_str(&h->body),
                           clock_wall_ns() / NS_PER_MS, &r->error);
    judge_key(h, &r->error);
}

static void end_stream(struct hosted *h)
{
    struct gw_request *r = h->r;
    struct chat_sink sink = {gw_on_event, r};
    struct sse_event ev;
    if (sse_finish(&h->sse, &ev) == 1)
        on_sse_event(h, &ev);
    if (!r->has_error)
        h->dialect->reader_end(h->reader, &sink);
    if (!r->has_error && !r->has_content)
        set_error(h, CHAT_ERR_BAD_ANSWER, "the stream had no content");
}

static enum chat_error_kind kind_of(enum call_result result)
{
    switch (result) {
    case CALL_CONNECT_TIMEOUT:
    case CALL_FIRST_BYTE_TIMEOUT:
    case CALL_IDLE_TIMEOUT:
    case CALL_TOTAL_TIMEOUT: return CHAT_ERR_TIMEOUT;
    case CALL_NO_MEMORY: return CHAT_ERR_SERVER;
    default: return CHAT_ERR_BAD_ANSWER;
    }
}

static void on_done(struct http_call *call, enum call_result result, const char *why)
{
    struct hosted *h = http_call_user(call);
    h->call = NULL;
    if (h->r->has_error)
        ; /* said already */
    else if (result != CALL_OK)
        set_error(h, kind_of(result), "%s", why);
    else if (h->status != 200)
        read_failure(h);
    else if (h->is_event_stream)
        end_stream(h);
    else if (h->r->req->is_stream)
        set_error(h, CHAT_ERR_BAD_ANSWER, "an event stream was asked for and something else came");
    else
        read_whole(h);
    finish(h);
}

/* ---- the request ---- */

static int write_body(struct hosted *h, const struct config_target *t, struct dialect_out *out,
                      struct chat_error *e)
{
    struct gw_request *r = h->r;
    int64_t cap = account_output_cap(r);
    struct dialect_target target = {.model = t->model,
                                    .quirks = h->kind->quirks,
                                    .max_tokens_default = OUTPUT_DEFAULT_TOKENS,
                                    .max_tokens_cap = cap,
                                    .is_auto_cache = r->model->prompt_cache_auto != 0};
    bool with_deployment = h->kind->has_deployments && h->provider->api_version.n;
    target.quirks |= with_deployment ? QUIRK_NO_MODEL_FIELD : 0;
    bool same = h->dialect->id == r->client->id && h->dialect->pass_request;
    int rc = same ? h->dialect->pass_request(r->asked, &target, &h->arena, out)
                  : h->dialect->write_request(r->asked, &target, &h->arena, out);
    if (rc != OK || !buf_ok(&h->request))
        return chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                              "the request needs more memory than one request may have");
    if (out->lacks.n_refused) {
        const char *field = lacks_first_refused(&out->lacks);
        return chat_error_set(e, CHAT_ERR_INVALID, field, "%s is not possible with provider '%.*s'", field,
                              STR(h->provider->name));
    }
    lacks_write_dropped(&out->lacks, &r->dropped);
    r->is_raw = same && r->req->op == CHAT_OP_GENERATE && !r->req->is_array_stream && !r->is_resumed;
    return OK;
}

/* The next key in turn that can be used, or else a dead one that this request has not tried:
 * only the provider knows whether it is dead still. */
static int pick_key(struct hosted *h, struct chat_error *e)
{
    const struct config_list *keys = &h->provider->api_keys;
    struct key_ring *limited = limited_keys(h), *dead = dead_keys(h);
    int64_t now = clock_now_ns(), free_ns = INT64_MAX, wait_ns;
    int parked = -1;
    h->key_idx = 0;
    if (!limited || !dead || keys->n == 0)
        return OK;
    for (int i = 0; i < keys->n; i++) {
        int idx = key_ring_pick(limited, keys, now, &wait_ns);
        if (idx < 0) {
            free_ns = wait_ns - now;
            break;
        }
        if (h->r->keys_refused & UINT64_C(1) << idx)
            continue;
        h->key_idx = idx;
        if (key_ring_parked_ns(dead, keys, idx, now) == 0)
            return OK;
        parked = idx;
    }
    h->key_idx = parked;
    if (parked >= 0)
        return OK;
    chat_error_set(e, CHAT_ERR_RATE_LIMIT, NULL, "no API key of provider '%.*s' can be used at the moment",
                   STR(h->provider->name));
    e->retry_after_ms = free_ns == INT64_MAX ? -1 : free_ns / NS_PER_MS;
    return ERR_BUSY;
}

static void add(struct http_header *list, int *n, struct str name, struct str value)
{
    if (*n < HEADERS_MAX && value.p)
        list[(*n)++] = (struct http_header){name, value};
}

static int call(struct hosted *h, const struct config_target *t, const struct dialect_out *out,
                struct chat_error *e)
{
    struct http_header headers[HEADERS_MAX];
    int n = 0;
    struct buf address;
    struct url url;
    struct err err = {0};
    buf_init(&address, 8192);
    provider_url(h->kind, h->provider, t->model, h->r->asked->is_continued, str_c(out->path), &address);
    if (!buf_ok(&address) || url_parse(buf_str(&address), &url, &err) != OK) {
        buf_deinit(&address);
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL,
                              "the address of provider '%.*s' is not usable: %s", STR(h->provider->name),
                              err.text);
    }
    add(headers, &n, S("content-type"), S("application/json"));
    add(headers, &n, S("accept"), h->r->req->is_stream ? S("text/event-stream") : S("application/json"));
    if (h->provider->api_keys.n) {
        const char *name = h->kind->auth_header ? h->kind->auth_header : h->dialect->auth_header;
        const char *prefix = h->kind->auth_header ? h->kind->auth_prefix : h->dialect->auth_prefix;
        add(headers, &n, str_c(name),
            arena_printf(&h->arena, "%s%.*s", prefix ? prefix : "",
                         STR(h->provider->api_keys.items[h->key_idx])));
    }
    for (size_t i = 0; i < out->n_headers; i++)
        add(headers, &n, out->headers[i].name, out->headers[i].value);
    for (int i = 0; i < h->provider->headers.n; i++)
        add(headers, &n, h->provider->headers.items[i].name, h->provider->headers.items[i].value);
    struct str target = url.query.n ? arena_printf(&h->arena, "%.*s?%.*s", STR(url.path), STR(url.query))
                                    : arena_str(&h->arena, url.path);
    bool stream = h->r->req->is_stream;
    struct http_call_options o = {
        .host = url.host,
        .port = url.port,
        .is_tls = url.is_tls,
        .method = S("POST"),
        .target = target,
        .headers = headers,
        .n_headers = n,
        .body = buf_str(&h->request),
        .has_body = true,
        .callbacks = {on_response, on_data, on_done},
        .user = h,
        .connect_ms = (int)(h->provider->connect_timeout_ns / NS_PER_MS),
        .total_ms = (int)(h->provider->timeout_ns / NS_PER_MS),
    };
    h->call = http_call_start(h->r->thread->client, &o);
    buf_deinit(&address);
    if (!h->call)
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    if (stream)
        timer_start(&h->watch, (uint64_t)(h->provider->first_token_timeout_ns / NS_PER_MS));
    return OK;
}

static int start(struct gw_request *r, const struct config_target *t, struct chat_error *e)
{
    struct hosted *h = calloc(1, sizeof *h);
    if (!h)
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    h->r = r;
    h->provider = &r->config->providers[t->provider_idx];
    h->target_model = t->model;
    h->kind = provider_kind_find(h->provider->kind);
    h->dialect = h->kind ? provider_dialect(h->kind, r->req->op) : NULL;
    arena_init(&h->arena, BODY_MAX * 4);
    buf_init(&h->request, BODY_MAX * 4);
    timer_init(&h->watch, r->thread->loop, on_watch);
    struct dialect_out out = {.body = &h->request};
    int rc = OK;
    if (!h->dialect)
        rc = chat_error_set(e, CHAT_ERR_INVALID, "model",
                            "provider '%.*s' does not have this kind of request", STR(h->provider->name));
    rc = rc ? rc : write_body(h, t, &out, e);
    rc = rc ? rc : pick_key(h, e);
    rc = rc ? rc : call(h, t, &out, e);
    if (rc != OK) {
        free_hosted(h);
        return rc;
    }
    r->call = h;
    return OK;
}

static void cancel(struct gw_request *r)
{
    struct hosted *h = r->call;
    r->call = NULL;
    stop_call(h);
    free_hosted(h);
}

static void pause_reading(struct gw_request *r)
{
    struct hosted *h = r->call;
    if (h->call)
        http_call_pause(h->call);
    timer_stop(&h->watch);
}

static void resume_reading(struct gw_request *r)
{
    struct hosted *h = r->call;
    if (h->call)
        http_call_resume(h->call);
    timer_start(&h->watch, (uint64_t)(h->provider->idle_timeout_ns / NS_PER_MS));
}

const struct upstream upstream_hosted = {start, cancel, pause_reading, resume_reading};
