/* answer.c - What the client sees: heads, events, whole answers, errors in its own dialect.
 *
 * The head of a stream waits for the first content (or for the heartbeat), because only until
 * then can a failure be told by its status.  After it, a failure is an error event. */
#include <stdio.h>

#include "base/clock.h"
#include "gateway/cors.h"
#include "gateway/gateway_int.h"

#define HEADERS_MAX 40

struct headers {
    struct http_header items[HEADERS_MAX];
    int n;
    char text[8][160]; /* values that are made here */
    int n_text;
};

static void add(struct headers *h, struct str name, struct str value)
{
    if (h->n < HEADERS_MAX)
        h->items[h->n++] = (struct http_header){name, value};
}

static void add_made(struct headers *h, struct str name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_made(struct headers *h, struct str name, const char *fmt, ...)
{
    if (h->n_text == sizeof h->text / sizeof *h->text)
        return;
    char *text = h->text[h->n_text++];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof *h->text, fmt, args);
    va_end(args);
    add(h, name, str_c(text));
}

/* The dialect writes its own names as lines; they become fields here. */
static void add_limits(struct gw_request *r, struct headers *h)
{
    const struct limit_answer *a = &r->limit_told;
    if (!r->has_limit_told || !r->client->write_limits)
        return;
    struct rate_limits l = {a->requests_limit,
                            a->requests_left,
                            a->requests_reset_ms,
                            a->tokens_limit,
                            a->tokens_left,
                            a->tokens_reset_ms,
                            -1};
    struct buf lines;
    buf_init(&lines, 4096);
    r->client->write_limits(&l, clock_wall_ns() / NS_PER_MS, &lines);
    struct str rest = arena_str(&r->arena, buf_str(&lines)), line;
    buf_deinit(&lines);
    while (rest.n && str_split(&rest, '\n', &line)) {
        size_t colon = str_find_char(line, ':', 0);
        if (colon != STR_NONE)
            add(h, str_sub(line, 0, colon), str_trim(str_sub(line, colon + 1, line.n)));
    }
}

static void add_cost(struct gw_request *r, struct headers *h)
{
    add_made(h, S("x-sluice-cost-usd"), "%lld.%09lld", (long long)(r->cost_nano / 1000000000),
             (long long)(r->cost_nano % 1000000000));
}

static void add_common(struct gw_request *r, struct headers *h)
{
    add(h, S("x-request-id"), str_c(r->id));
    struct str own = str_c(r->client->request_id_header);
    if (own.n && !str_eq_nocase(own, S("x-request-id")))
        add(h, own, str_c(r->id));
    if (r->target) {
        add(h, S("x-sluice-provider"), r->target->provider);
        add(h, S("x-sluice-model"), r->target->model);
    }
    add_made(h, S("x-sluice-attempts"), "%d", r->n_attempts);
    if (r->hit_provider.n)
        add(h, S("x-sluice-provider"), r->hit_provider);
    add(h, S("x-sluice-cache"),
        r->cache_state == GW_CACHE_NEAR   ? S("semantic")
        : r->cache_state == GW_CACHE_HIT  ? S("hit")
        : r->cache_state == GW_CACHE_MISS ? S("miss")
                                          : S("off"));
    if (r->similarity > 0)
        add_made(h, S("x-sluice-similarity"), "%.4f", (double)r->similarity);
    if (r->dropped.n)
        add(h, S("x-sluice-dropped"), buf_str(&r->dropped));
    add_limits(r, h);
    struct str origin = cors_origin(r->config, r->http->head);
    if (origin.n) {
        add(h, S("access-control-allow-origin"), origin);
        add(h, S("access-control-expose-headers"), S("*"));
        add(h, S("vary"), S("origin"));
    }
}

/* ---- errors ---- */

static void send_error(struct request *http, const struct dialect *d, struct headers *h, struct str id,
                       const struct chat_error *e, int *status)
{
    struct buf body;
    buf_init(&body, 1 << 20);
    d->write_error(e, id, &body);
    *status = d->error_status(e);
    add(h, S("content-type"), S("application/json"));
    if (e->retry_after_ms >= 0) {
        add_made(h, S("retry-after"), "%lld", (long long)((e->retry_after_ms + 999) / 1000));
        add_made(h, S("retry-after-ms"), "%lld", (long long)e->retry_after_ms);
    }
    if (e->is_final)
        add(h, S("x-should-retry"), S("false"));
    request_respond(http, *status, h->items, h->n, buf_str(&body));
    buf_deinit(&body);
}

void answer_refusal(struct request *http, const struct dialect *d, const char *id, const struct chat_error *e)
{
    struct headers h = {0};
    int status;
    if (id[0])
        add(&h, S("x-request-id"), str_c(id));
    send_error(http, d, &h, str_c(id), e, &status);
}

static void stream_error(struct gw_request *r, const struct chat_error *e)
{
    struct chat_event ev = {.type = CHAT_EV_ERROR, .error = e};
    if (!r->writer) /* the bytes travelled as they came until now */
        r->writer = r->client->writer_new(r->req, &r->reply);
    if (!r->writer) {
        request_abort(r->http);
        return;
    }
    buf_clear(&r->out);
    if (r->client->writer_event(r->writer, &ev, &r->out) == OK && buf_ok(&r->out)) {
        request_write(r->http, buf_str(&r->out));
        request_end(r->http);
    } else {
        request_abort(r->http);
    }
}

void answer_error(struct gw_request *r, const struct chat_error *e)
{
    struct request *http = r->http;
    if (!http || r->is_answered)
        return;
    r->is_answered = true;
    timer_stop(&r->heartbeat);
    if (r->is_head_sent) {
        stream_error(r, e);
    } else {
        struct headers h = {0};
        add_common(r, &h);
        send_error(http, r->client, &h, str_c(r->id), e, &r->status);
    }
    r->http = NULL;
}

/* ---- streams ---- */

static int start_stream(struct gw_request *r)
{
    if (!r->writer && !r->is_raw)
        r->writer = r->client->writer_new(r->req, &r->reply);
    if (!r->writer && !r->is_raw)
        return ERR_NOMEM;
    struct headers h = {0};
    add_common(r, &h);
    add(&h, S("content-type"), str_c(r->client->stream_content_type(r->req)));
    add(&h, S("cache-control"), S("no-cache"));
    add(&h, S("x-accel-buffering"), S("no"));
    r->is_head_sent = true;
    r->status = 200;
    request_start(r->http, 200, h.items, h.n);
    return OK;
}

static int send_out(struct gw_request *r)
{
    if (!buf_ok(&r->out))
        return ERR_NOMEM;
    if (r->out.n && request_write(r->http, buf_str(&r->out)) == REQUEST_FULL && r->upstream &&
        !r->is_paused) {
        r->is_paused = true;
        r->upstream->pause(r);
    }
    return OK;
}

int answer_event(struct gw_request *r, const struct chat_event *ev)
{
    if (!r->http)
        return r->is_detached ? OK : ERR_CLOSED;
    if (!r->is_head_sent) {
        int rc = start_stream(r);
        if (rc != OK)
            return rc;
    }
    timer_stop(&r->heartbeat);
    if (r->is_withheld) /* gathered until it may be shown */
        return r->client->writer_event(r->writer, ev, &r->out);
    buf_clear(&r->out);
    int rc = r->client->writer_event(r->writer, ev, &r->out);
    return rc == OK ? send_out(r) : rc;
}

int answer_withheld(struct gw_request *r)
{
    r->is_withheld = false;
    return r->is_raw || !r->http ? OK : send_out(r); /* raw bytes go out with the end of the stream */
}

int answer_raw(struct gw_request *r)
{
    if (!r->http) {
        buf_clear(&r->raw);
        return r->is_detached ? OK : ERR_CLOSED;
    }
    if (!buf_ok(&r->raw))
        return ERR_NOMEM;
    if (!r->is_head_sent && start_stream(r) != OK)
        return ERR_NOMEM;
    timer_stop(&r->heartbeat);
    if (r->raw.n && request_write(r->http, buf_str(&r->raw)) == REQUEST_FULL && r->upstream &&
        !r->is_paused) {
        r->is_paused = true;
        r->upstream->pause(r);
    }
    buf_clear(&r->raw);
    return OK;
}

void answer_stream_end(struct gw_request *r)
{
    if (!r->http)
        return;
    if (r->is_raw && answer_raw(r) != OK) {
        request_abort(r->http);
        r->http = NULL;
        return;
    }
    struct request *http = r->http;
    r->http = NULL;
    r->is_answered = true;
    if (r->is_raw) {
        request_end(http);
        return;
    }
    buf_clear(&r->out);
    if (r->client->writer_end(r->writer, &r->out) != OK || !buf_ok(&r->out)) {
        request_abort(http);
        return;
    }
    request_write(http, buf_str(&r->out));
    request_end(http);
}

void answer_heartbeat(struct timer *timer)
{
    struct gw_request *r = (struct gw_request *)((char *)timer - offsetof(struct gw_request, heartbeat));
    if (!r->http || r->is_answered)
        return;
    if (!r->is_head_sent && start_stream(r) != OK)
        return;
    buf_clear(&r->out);
    if (!r->writer)
        r->writer = r->client->writer_new(r->req, &r->reply);
    if (!r->writer)
        return;
    r->client->writer_heartbeat(r->writer, &r->out);
    send_out(r);
    timer_start(&r->heartbeat, HEARTBEAT_MS);
}

/* ---- whole answers ---- */

/* The body into r->out (or r->raw stays the body); OK, or *e says why it cannot be told. */
static int write_whole(struct gw_request *r, struct chat_error *e)
{
    buf_clear(&r->out);
    if (r->req->op == CHAT_OP_COUNT_TOKENS) {
        r->client->write_count(r->req, r->n_counted, &r->out);
        return OK;
    }
    if (r->req->op == CHAT_OP_EMBED)
        return r->embeddings ? r->client->write_embeddings(r->req, r->embeddings, &r->out) : ERR_FORMAT;
    if (r->is_raw)
        return buf_str_add(&r->out, buf_str(&r->raw)) ? OK : ERR_NOMEM;
    const struct chat_answer *answer = r->collector ? chat_collected(r->collector) : NULL;
    if (!answer)
        return chat_error_set(e, CHAT_ERR_BAD_ANSWER, NULL, "the target gave no answer");
    return r->client->write_answer(r->req, &r->reply, answer, &r->out, e);
}

void answer_whole(struct gw_request *r)
{
    if (!r->http)
        return;
    struct chat_error e = {0};
    if (write_whole(r, &e) != OK || !buf_ok(&r->out)) {
        if (!e.kind)
            chat_error_set(&e, CHAT_ERR_BAD_ANSWER, NULL, "the answer cannot be told in this dialect");
        answer_error(r, &e);
        return;
    }
    struct headers h = {0};
    add_common(r, &h);
    add_cost(r, &h);
    add(&h, S("content-type"), S("application/json"));
    r->status = 200;
    r->is_answered = true;
    struct request *http = r->http;
    r->http = NULL;
    request_respond(http, 200, h.items, h.n, buf_str(&r->out));
}
