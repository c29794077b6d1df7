/* upstream.c - A connection to an upstream: tunnel, TLS, one request and its answer after another.
 *
 * Bytes are read into the client's one scratch buffer and given on as slices of it; only a head
 * that comes in part is copied.  So a kept or waiting connection holds no buffer.
 *
 * Rule for all of this file: after a callback of the caller (call_finish, on_response, on_data)
 * the call may be gone and the connection closed or at another call: look at up->call and
 * up->phase only.  Start reading at on_event(). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/client_int.h"

#define READS_PER_EVENT 16 /* of SCRATCH_BYTES; then the other connections get their turn */
#define INFLATE_BYTES   16384

void upstream_watch(struct upstream *up)
{
    if (!up->io.is_open)
        return;
    bool is_paused = up->call && up->call->is_paused;
    conn_watch(&up->io, !is_paused, up->is_blocked, !is_paused);
}

/* ------------------------------------------------------------------ sending */

/* Gives the socket what it takes of the request.  False: the connection is broken. */
static bool send_request(struct upstream *up)
{
    struct http_call *call = up->call;
    size_t head_n = call->head.n, total = head_n + call->body.n;
    while (call->sent < total) {
        size_t in_body = call->sent > head_n ? call->sent - head_n : 0;
        struct iovec parts[2] = {
            {call->head.p + (call->sent < head_n ? call->sent : head_n),
             call->sent < head_n ? head_n - call->sent : 0},
            {(void *)(call->body.p + in_body), call->body.n - in_body},
        };
        bool has_head = parts[0].iov_len > 0;
        ssize_t n = conn_write(&up->io, has_head ? parts : parts + 1, has_head && call->body.n ? 2 : 1);
        if (n == CONN_AGAIN) {
            up->is_blocked = true;
            return true;
        }
        if (n < 0)
            return false;
        call->sent += (size_t)n;
        call->stats.was_sent = true;
    }
    up->is_blocked = false;
    return true;
}

void upstream_begin_call(struct upstream *up, struct http_call *call)
{
    up->call = call;
    up->has_answer = up->has_extra = up->keep_alive = up->is_blocked = up->send_broke = false;
    up->parser = (struct http_parser){.head_max = call->client->opt.head_bytes_max};
    up->phase = UP_ACTIVE;
    call->up = up;
    call->phase = CALL_HEAD;
    call->sent = 0;
    if (!call->stats.connected_ms)
        call->stats.connected_ms = loop_now_ms(call->client->loop);
    call_start_first_byte_timer(call);
    if (!send_request(up)) {
        /* The caller of http_call_start must not be called back from inside: at the turn's end. */
        up->send_broke = true;
        loop_at_turn_end(call->client->loop, LOOP_FLUSH, &call->turn_end);
        return;
    }
    upstream_watch(up);
}

/* ------------------------------------------------------------------ closing */

static void conn_is_closed(struct conn *io)
{
    struct upstream *up = (struct upstream *)io;
    struct http_client *client = up->origin->client;
    origin_release(up->origin);
    free(up);
    client->n_pending--;
    client_free_if_last(client);
}

void upstream_close(struct upstream *up)
{
    struct http_client *client = up->origin->client;
    if (!up->io.is_open)
        return;
    if (up->phase == UP_IDLE)
        origin_remove_idle(up->origin, up);
    up->phase = UP_CLOSED;
    if (up->call)
        up->call->up = NULL;
    up->call = NULL;
    timer_stop(&up->idle_timer);
    buf_deinit(&up->in);
    buf_deinit(&up->tunnel);
    if (up->prev_open)
        up->prev_open->next_open = up->next_open;
    else
        client->open = up->next_open;
    if (up->next_open)
        up->next_open->prev_open = up->prev_open;
    conn_close(&up->io, true);
}

void upstream_release(struct upstream *up, bool is_complete)
{
    struct http_call *call = up->call;
    struct http_client *client = up->origin->client;
    bool is_sent = call && call->sent == call->head.n + call->body.n;
    if (call)
        call->up = NULL;
    up->call = NULL;
    if (!is_complete || !is_sent || !up->keep_alive || up->has_extra || client->is_freed) {
        upstream_close(up);
        return;
    }
    if (up->in.cap) { /* a kept connection holds no buffer */
        size_t max = up->in.max;
        buf_deinit(&up->in);
        buf_init(&up->in, max);
    }
    up->was_used = true;
    up->phase = UP_IDLE;
    timer_start(&up->idle_timer, (uint64_t)client->opt.idle_timeout_ms);
    upstream_watch(up);
    origin_keep_idle(up->origin, up);
}

static void on_idle_timeout(struct timer *timer)
{
    struct upstream *up = (struct upstream *)((char *)timer - offsetof(struct upstream, idle_timer));
    if (up->phase == UP_IDLE) /* otherwise it was taken meanwhile: started again when it is kept */
        upstream_close(up);
}

/* The connection ended under the call before the answer was complete. */
static void call_broke(struct upstream *up, const char *why)
{
    struct http_call *call = up->call;
    if (call->phase == CALL_BODY) {
        call_finish(call, CALL_TRUNCATED, why);
        return;
    }
    bool may_resend = up->was_used && !up->has_answer;
    if (may_resend && call_try_again(call))
        return;
    call_finish(call, CALL_BROKEN, why);
}

/* ------------------------------------------------------------------- answers */

static void complete(struct upstream *up)
{
    struct http_call *call = up->call;
    if (call->inflater && !call->inflate_is_done) {
        call_finish(call, CALL_TRUNCATED, "the gzip data ended before their end");
        return;
    }
    call_finish(call, CALL_OK, NULL);
}

static void give_data(struct http_call *call, struct str data)
{
    call->stats.body_bytes += data.n;
    if (call->on.on_data)
        call->on.on_data(call, data);
}

/* Undoes gzip.  False: the call is over (by us or by the caller). */
static bool give_inflated(struct upstream *up, struct str data)
{
    struct http_call *call = up->call;
    z_stream *z = call->inflater;
    z->next_in = (Bytef *)data.p;
    z->avail_in = (uInt)data.n;
    do {
        char out[INFLATE_BYTES];
        z->next_out = (Bytef *)out;
        z->avail_out = sizeof out;
        int rc = call->inflate_is_done ? Z_DATA_ERROR : inflate(z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            call_finish(call, CALL_PROTOCOL, "the answer's gzip data are damaged");
            return false;
        }
        call->inflate_is_done = rc == Z_STREAM_END;
        size_t n = sizeof out - z->avail_out;
        if (n)
            give_data(call, str_of(out, n));
        if (up->call != call)
            return false;
        if (n == 0 && rc == Z_BUF_ERROR)
            break;
    } while (z->avail_in > 0 || z->avail_out == 0);
    return true;
}

/* Feeds bytes of the body.  Returns when they are used up or the call is over. */
static void use_body(struct upstream *up, struct str in)
{
    struct http_call *call = up->call;
    for (;;) {
        struct str data;
        enum http_body_result got = http_body_next(&up->body, &in, &data);
        if (got == HTTP_BODY_MORE)
            return;
        if (got == HTTP_BODY_BAD) {
            call_finish(call, CALL_PROTOCOL, up->body.problem);
            return;
        }
        if (got == HTTP_BODY_DONE) {
            up->has_extra = in.n > 0;
            complete(up);
            return;
        }
        if (call->inflater) {
            if (!give_inflated(up, data))
                return;
        } else {
            give_data(call, data);
            if (up->call != call)
                return;
        }
    }
}

static bool begin_inflating(struct http_call *call)
{
    call->inflater = calloc(1, sizeof *call->inflater);
    if (call->inflater && inflateInit2(call->inflater, 15 + 16) == Z_OK)
        return true;
    free(call->inflater);
    call->inflater = NULL;
    return false;
}

/* The final head.  False: the call is over. */
static bool use_head(struct upstream *up, const struct http_head *head)
{
    struct http_call *call = up->call;
    http_body_init(&up->body, head->framing, head->content_length);
    up->keep_alive = head->keep_alive;
    call->phase = CALL_BODY;
    struct str coding = http_value(head, S("content-encoding"));
    if (call->accepts_gzip && head->framing != HTTP_NO_BODY &&
        (str_eq_nocase(coding, S("gzip")) || str_eq_nocase(coding, S("x-gzip"))) && !begin_inflating(call)) {
        call_finish(call, CALL_NO_MEMORY, "no memory to unpack the answer");
        return false;
    }
    if (call->on.on_response)
        call->on.on_response(call, head);
    return up->call == call;
}

/* Reads heads (1xx ones are skipped) and what follows from `in`.  Bytes that are not a whole
 * head yet are left: the number used is returned, or -1 when the call is over. */
static ptrdiff_t use_bytes(struct upstream *up, struct str in)
{
    struct http_call *call = up->call;
    struct http_head *head = &call->client->head;
    size_t used = 0;
    while (call->phase == CALL_HEAD) {
        struct str rest = str_sub(in, used, in.n);
        int n = http_response_parse(&up->parser, rest, call->is_to_head, head);
        if (n == HTTP_MORE)
            return (ptrdiff_t)used;
        if (n < 0 || head->status == 101) {
            call_finish(call, CALL_PROTOCOL,
                        n < 0 ? up->parser.problem : "the upstream switched protocols unasked");
            return -1;
        }
        used += (size_t)n;
        up->parser.scanned = 0;
        if (head->status >= 200 && !use_head(up, head))
            return -1;
    }
    use_body(up, str_sub(in, used, in.n));
    return up->call == call ? (ptrdiff_t)in.n : -1;
}

/* A tunnel's answer: 2xx without a body, then the bytes are the other side's. */
static void use_tunnel_bytes(struct upstream *up)
{
    struct http_call *call = up->call;
    struct http_head *head = &call->client->head;
    int n = http_response_parse(&up->parser, buf_str(&up->in), true, head);
    if (n == HTTP_MORE)
        return;
    if (n < 0) {
        call_finish(call, CALL_PROXY, "the proxy's answer is not HTTP");
        return;
    }
    if (head->status < 200 || head->status > 299 || up->in.n > (size_t)n) {
        char why[128];
        snprintf(why, sizeof why, "the proxy answered %d to CONNECT", head->status);
        call_finish(call, CALL_PROXY, why);
        return;
    }
    buf_deinit(&up->in);
    buf_init(&up->in, call->client->opt.head_bytes_max + SCRATCH_BYTES);
    up->phase = UP_HANDSHAKE;
    struct origin *o = up->origin;
    up->io.ssl =
        tls_client_open(call->client->opt.tls, up->io.fd, str_c(o->host), o->session, origin_new_session, o);
    if (!up->io.ssl)
        call_finish(call, CALL_NO_MEMORY, "no memory for TLS");
}

static void take_bytes(struct upstream *up, struct str fresh)
{
    struct http_call *call = up->call;
    if (!up->has_answer && up->phase == UP_ACTIVE) {
        up->has_answer = true;
        call->stats.first_byte_ms = loop_now_ms(call->client->loop);
    }
    bool is_held = up->in.n > 0 || up->phase == UP_TUNNEL;
    struct str in = fresh;
    if (is_held) {
        buf_str_add(&up->in, fresh);
        in = buf_str(&up->in);
    }
    if (!buf_ok(&up->in)) {
        call_finish(call, CALL_NO_MEMORY, "no memory for the answer's head");
        return;
    }
    if (up->phase == UP_TUNNEL) {
        use_tunnel_bytes(up);
        return;
    }
    if (call->phase == CALL_BODY) {
        use_body(up, in);
        return;
    }
    ptrdiff_t used = use_bytes(up, in);
    if (used < 0)
        return;
    if (is_held)
        buf_consume(&up->in, (size_t)used);
    else
        buf_str_add(&up->in, str_sub(in, (size_t)used, in.n));
}

static void answer_ended(struct upstream *up, bool is_proper)
{
    struct http_call *call = up->call;
    if (up->phase == UP_TUNNEL) {
        call_finish(call, CALL_PROXY, "the proxy closed the connection");
        return;
    }
    if (call->phase == CALL_BODY && is_proper && http_body_ends_at_close(&up->body)) {
        complete(up);
        return;
    }
    call_broke(up, is_proper ? "the upstream closed the connection before the end of its answer"
                             : "the connection to the upstream broke");
}

/* Reads until nothing is left, the call pauses, or it is over. */
static void upstream_read(struct upstream *up)
{
    struct http_call *call = up->call;
    struct http_client *client = up->origin->client;
    bool is_drained = false;
    for (int i = 0; !is_drained && i < READS_PER_EVENT; i++) {
        ssize_t n = conn_read(&up->io, client->scratch, sizeof client->scratch, &is_drained);
        if (n == CONN_AGAIN)
            break;
        if (n <= 0) {
            answer_ended(up, n == CONN_EOF);
            return;
        }
        take_bytes(up, str_of(client->scratch, (size_t)n));
        if (up->call != call || up->phase == UP_HANDSHAKE)
            return;
        if (call->is_paused)
            break;
    }
    call_start_idle_timer(call);
    if (!is_drained && !call->is_paused && conn_has_pending(&up->io))
        loop_at_turn_end(client->loop, LOOP_FLUSH, &call->turn_end);
    upstream_watch(up);
}

/* Where a write has failed, an answer may have come before: reading finds both. */
void upstream_go_on(struct upstream *up)
{
    struct http_call *call = up->call;
    upstream_read(up);
    if (up->call == call && up->send_broke && !up->has_answer)
        call_broke(up, "the connection to the upstream broke");
}

/* -------------------------------------------------------- tunnel, handshake */

static void send_tunnel(struct upstream *up)
{
    while (up->tunnel.n) {
        struct iovec rest = {up->tunnel.p, up->tunnel.n};
        ssize_t n = conn_write(&up->io, &rest, 1);
        if (n < 0) {
            up->is_blocked = true; /* if it is broken, reading will say so */
            return;
        }
        buf_consume(&up->tunnel, (size_t)n);
    }
    up->is_blocked = false;
}

static void shake_hands(struct upstream *up)
{
    char why[160], sentence[320];
    int rc = conn_handshake(&up->io, why, sizeof why);
    if (rc == 1) {
        upstream_begin_call(up, up->call);
    } else if (rc == CONN_BROKEN) {
        snprintf(sentence, sizeof sentence, "TLS with '%.64s': %s", up->origin->host, why);
        call_finish(up->call, CALL_TLS, sentence);
    }
}

static void on_event(struct conn *io, int events)
{
    struct upstream *up = (struct upstream *)io;
    if (up->phase == UP_IDLE) { /* it closed, or speaks without being asked */
        upstream_close(up);
        return;
    }
    if (up->phase == UP_HANDSHAKE) {
        shake_hands(up);
        return;
    }
    struct http_call *call = up->call;
    if (events & CONN_WRITABLE) {
        if (up->phase == UP_TUNNEL) {
            send_tunnel(up);
        } else if (up->is_blocked) {
            size_t before = call->sent;
            if (!send_request(up))
                up->send_broke = true;
            else if (call->sent != before && !up->has_answer)
                call_start_first_byte_timer(call);
        }
        upstream_watch(up);
    }
    if ((events & (CONN_READABLE | CONN_HUNG_UP)) || up->send_broke) {
        upstream_go_on(up);
        if (up->phase == UP_HANDSHAKE && up->call == call && up->io.is_open)
            shake_hands(up); /* the client speaks first */
    }
}

static void write_connect(struct upstream *up)
{
    const struct origin *o = up->origin;
    struct buf host; /* with its port, also the usual one */
    buf_init(&host, 512);
    buf_puts(&host, o->authority);
    if (o->port == 443)
        buf_puts(&host, ":443");
    http_write_request_line(&up->tunnel, S("CONNECT"), buf_str(&host));
    http_write_field(&up->tunnel, S("host"), buf_str(&host));
    if (o->proxy->authorization.n)
        http_write_field(&up->tunnel, S("proxy-authorization"), o->proxy->authorization);
    http_write_end(&up->tunnel);
    buf_deinit(&host);
}

bool upstream_open(struct origin *o, int fd, struct http_call *call)
{
    struct http_client *client = o->client;
    struct upstream *up = calloc(1, sizeof *up);
    bool tunnels = o->is_tls && o->proxy;
    SSL *ssl = NULL;
    if (up && o->is_tls && !tunnels)
        ssl = tls_client_open(client->opt.tls, fd, str_c(o->host), o->session, origin_new_session, o);
    if (!up || (o->is_tls && !tunnels && !ssl) || conn_open(&up->io, client->loop, fd) != OK) {
        tls_close(ssl, false);
        free(up);
        close(fd);
        return false;
    }
    up->io.ssl = ssl;
    up->io.on_event = on_event;
    up->io.on_closed = conn_is_closed;
    up->origin = o;
    o->n_uses++;
    client->n_pending++;
    client->stats.opened++;
    up->next_open = client->open;
    if (client->open)
        client->open->prev_open = up;
    client->open = up;
    timer_init(&up->idle_timer, client->loop, on_idle_timeout);
    buf_init(&up->in, client->opt.head_bytes_max + SCRATCH_BYTES);
    buf_init(&up->tunnel, 65536);
    up->call = call;
    call->up = up;
    call->phase = CALL_SETUP;
    if (tunnels) {
        up->phase = UP_TUNNEL;
        up->parser = (struct http_parser){.head_max = client->opt.head_bytes_max};
        write_connect(up);
        send_tunnel(up);
        upstream_watch(up);
    } else if (ssl) {
        up->phase = UP_HANDSHAKE;
        upstream_watch(up);
        shake_hands(up);
    } else {
        upstream_begin_call(up, call);
    }
    return true;
}
