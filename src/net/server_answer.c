/* server_answer.c - What goes out: answers whole or streamed, and refusals.  See server.h.
 *
 * A whole answer is written at once, head and body by one system call; what the socket does not
 * take is copied.  A stream is copied into c->out and written at the end of the turn, so that
 * ten events which came by one read leave by one write. */
#include <assert.h>
#include <string.h>

#include "net/server_int.h"

size_t sconn_held(const struct sconn *c)
{
    return c->out.n - c->out_sent;
}

/* The socket takes no more: wait for WRITABLE, and limit the time in which nothing is taken. */
static void now_blocked(struct sconn *c)
{
    c->is_blocked = true;
    timer_start(&c->timer, (uint64_t)c->server->opt.send_timeout_ms);
}

static void out_is_empty(struct sconn *c)
{
    c->is_blocked = false;
    c->out_sent = 0;
    if (c->out.cap > OUT_KEEP_BYTES) {
        buf_deinit(&c->out);
        buf_init(&c->out, OUT_BYTES_MAX);
    } else {
        buf_clear(&c->out);
    }
}

bool sconn_flush(struct sconn *c)
{
    if (!buf_ok(&c->out)) /* no memory for what was to be sent */
        return false;
    while (sconn_held(c) > 0) {
        struct iovec rest = {c->out.p + c->out_sent, sconn_held(c)};
        ssize_t n = conn_write(&c->io, &rest, 1);
        if (n == CONN_AGAIN) {
            if (!c->is_blocked)
                now_blocked(c);
            return true;
        }
        if (n < 0)
            return false;
        c->out_sent += (size_t)n;
        if (c->is_blocked)
            timer_start(&c->timer, (uint64_t)c->server->opt.send_timeout_ms);
    }
    out_is_empty(c);
    return true;
}

/* Appends to what is held.  What was sent already is cut off first when that frees much. */
static void hold(struct sconn *c, const void *p, size_t n)
{
    if (c->out_sent && c->out_sent >= c->out.n / 2) {
        buf_consume(&c->out, c->out_sent);
        c->out_sent = 0;
    }
    buf_add(&c->out, p, n);
}

static void flush_at_turn_end(struct sconn *c)
{
    loop_at_turn_end(c->server->loop, LOOP_FLUSH, &c->turn_end);
}

/* --------------------------------------------------------------------- heads */

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void write_head(struct sconn *c, const struct served *r, struct buf *out, int status,
                       const struct http_header *headers, int n_headers)
{
    http_write_status(out, status);
    buf_str_add(out, server_date(c->server));
    for (int i = 0; i < n_headers; i++)
        http_write_field(out, headers[i].name, headers[i].value);
    if (!sconn_may_keep(c))
        buf_str_add(out, S("connection: close\r\n"));
    else if (r->head.minor == 0)
        buf_str_add(out, S("connection: keep-alive\r\n"));
}

/* Writes head and body together; what is left is held.  Earlier bytes that are still held go
 * first. */
static void send_parts(struct sconn *c, struct str head, struct str body)
{
    size_t sent = 0;
    if (sconn_held(c) == 0 && !c->is_broken) {
        struct iovec parts[2] = {{(void *)head.p, head.n}, {(void *)body.p, body.n}};
        ssize_t n = conn_write(&c->io, parts, body.n ? 2 : 1);
        if (n == CONN_BROKEN)
            c->is_broken = true;
        sent = n > 0 ? (size_t)n : 0;
    }
    if (sent < head.n)
        hold(c, head.p + sent, head.n - sent);
    size_t body_sent = sent > head.n ? sent - head.n : 0;
    if (body_sent < body.n)
        hold(c, body.p + body_sent, body.n - body_sent);
}

/* A request that the caller may not answer any more (its client is gone) has phase GONE. */
static struct sconn *answerable(struct request *req)
{
    struct sconn *c = ((struct served *)req)->conn;
    if (c->phase == GONE)
        return NULL;
    assert(c->req == (struct served *)req && (c->phase == BUSY || c->phase == BODY));
    return c;
}

void request_respond(struct request *req, int status, const struct http_header *headers, int n_headers,
                     struct str body)
{
    if (req->sink) {
        req->sink->respond(req, status, headers, n_headers, body);
        return;
    }
    struct served *r = (struct served *)req;
    struct sconn *c = answerable(req);
    if (!c)
        return;
    assert(!r->is_started);
    struct buf *out = &c->server->head_out;
    buf_clear(out);
    write_head(c, r, out, status, headers, n_headers);
    if (status_has_body(status))
        http_write_field_u64(out, S("content-length"), body.n);
    http_write_end(out);
    if (r->head.method == HTTP_HEAD || !status_has_body(status))
        body = S("");
    if (buf_ok(out))
        send_parts(c, buf_str(out), body);
    else
        c->is_broken = true;
    sconn_request_is_over(c);
}

void request_start(struct request *req, int status, const struct http_header *headers, int n_headers)
{
    if (req->sink) {
        req->sink->start(req, status, headers, n_headers);
        return;
    }
    struct served *r = (struct served *)req;
    struct sconn *c = answerable(req);
    if (!c)
        return;
    assert(!r->is_started);
    r->is_started = true;
    r->is_chunked = r->head.minor >= 1 && status_has_body(status);
    if (r->head.minor == 0)
        r->head.keep_alive = false;
    write_head(c, r, &c->out, status, headers, n_headers);
    if (r->is_chunked)
        buf_str_add(&c->out, S("transfer-encoding: chunked\r\n"));
    http_write_end(&c->out);
    flush_at_turn_end(c);
}

enum request_result request_write(struct request *req, struct str bytes)
{
    if (req->sink)
        return req->sink->write(req, bytes) ? REQUEST_OK : REQUEST_FULL;
    struct served *r = (struct served *)req;
    struct sconn *c = answerable(req);
    if (!c)
        return REQUEST_OK;
    assert(r->is_started);
    if (bytes.n == 0 || r->head.method == HTTP_HEAD || c->is_broken)
        return REQUEST_OK;
    if (r->is_chunked) {
        char line[HTTP_CHUNK_HEAD_MAX];
        hold(c, line, http_chunk_head(line, bytes.n));
    }
    hold(c, bytes.p, bytes.n);
    if (r->is_chunked)
        hold(c, "\r\n", 2);
    flush_at_turn_end(c);
    if (sconn_held(c) > OUT_FLUSH_BYTES && !c->is_blocked && !sconn_flush(c))
        c->is_broken = true; /* told at the end of the turn: no callback from in here */
    if (sconn_held(c) < c->server->opt.held_bytes_high)
        return REQUEST_OK;
    r->is_full = true;
    return REQUEST_FULL;
}

void request_end(struct request *req)
{
    if (req->sink) {
        req->sink->end(req);
        return;
    }
    struct served *r = (struct served *)req;
    struct sconn *c = answerable(req);
    if (!c)
        return;
    assert(r->is_started);
    if (r->is_chunked && r->head.method != HTTP_HEAD)
        hold(c, "0\r\n\r\n", 5);
    sconn_request_is_over(c);
}

void request_abort(struct request *req)
{
    if (req->sink) {
        req->sink->abort(req);
        return;
    }
    struct served *r = (struct served *)req;
    struct sconn *c = answerable(req);
    if (!c)
        return;
    c->closes_after = true;
    /* Until-close streams of HTTP/1.0 have no other way to say that something is missing. */
    c->resets = r->is_started && !r->is_chunked;
    sconn_request_is_over(c);
}

size_t request_held_bytes(const struct request *req)
{
    return sconn_held(((const struct served *)req)->conn);
}

/* ------------------------------------------------------------------ refusals */

static void add_json_text(struct buf *out, struct str text)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];
        if (ch == '"' || ch == '\\')
            buf_putc(out, '\\');
        buf_putc(out, (uint8_t)ch < 0x20 ? ' ' : ch);
    }
    buf_putc(out, '"');
}

/* The request may be half read and its head unreadable: it is answered all the same, because a
 * silent end sends people looking in the wrong place. */
void sconn_refuse(struct sconn *c, int status, const char *message)
{
    struct http_server *s = c->server;
    struct served *r = c->req;
    bool has_head = c->phase == BODY;
    if (r->is_with_handler) { /* on_head has seen it: for the handler its client is gone */
        uint8_t phase = c->phase;
        c->phase = GONE;
        if (r->req.on_closed)
            r->req.on_closed(&r->req);
        c->phase = phase;
    }
    struct buf body;
    buf_init(&body, 65536);
    struct str type = S("application/json");
    if (s->opt.handler.write_refusal) {
        s->opt.handler.write_refusal(&body, &type, has_head ? &r->head : NULL, status, str_c(message),
                                     s->opt.arg);
    } else {
        buf_puts(&body, "{\"error\":{\"message\":");
        add_json_text(&body, str_c(message));
        buf_puts(&body, ",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
    }
    s->stats.refused++;
    struct buf *out = &s->head_out;
    buf_clear(out);
    http_write_status(out, status);
    buf_str_add(out, server_date(s));
    http_write_field(out, S("content-type"), type);
    buf_str_add(out, S("connection: close\r\n"));
    http_write_field_u64(out, S("content-length"), body.n);
    http_write_end(out);
    bool is_to_head = has_head && r->head.method == HTTP_HEAD;
    if (buf_ok(out) && buf_ok(&body))
        send_parts(c, buf_str(out), is_to_head ? S("") : buf_str(&body));
    else
        c->is_broken = true;
    buf_deinit(&body);
    c->in_used = c->in_n; /* nothing behind it is served */
    c->closes_after = c->lingers = true;
    sconn_request_is_over(c);
}
