/* server_conn.c - A client's connection: reading requests, phases, timeouts, hang-ups.
 *
 * Start reading at on_event(); the phases are in server_int.h.  Rule for all of this file: a
 * callback of the handler may answer, and so end the request or the connection; after one,
 * only c->phase and c->io.is_open may be looked at (the struct itself lives to the end of the
 * turn). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/server_int.h"

#define READ_BYTES_PER_EVENT (1u << 20) /* then the other connections get their turn */
#define SPARE_BYTES_MIN      2048       /* behind the head, for chunks and pipelined bytes */

static struct sconn *of_conn(struct conn *io)
{
    return (struct sconn *)io;
}

/* ---------------------------------------------------------------- watching */

static void update_watch(struct sconn *c)
{
    if (!c->io.is_open)
        return;
    bool read = true, hang_up = true;
    if (c->phase == BUSY || c->phase == BODY)
        /* Without room for pipelined bytes only the hang-up is watched for. */
        read = c->phase == BODY || c->in_cap > c->in_n;
    else if (c->phase == FLUSHING)
        read = hang_up = false; /* whether they still listen, the writes will tell */
    conn_watch(&c->io, read, c->is_blocked, hang_up);
}

bool sconn_is_idle(const struct sconn *c)
{
    return c->phase == HEAD && c->in_n == 0;
}

static void give_in_block(struct sconn *c)
{
    if (!c->in)
        return;
    if (c->in_cap == IN_BLOCK_BYTES)
        server_give_block(c->server, c->in);
    else
        free(c->in);
    c->in = NULL;
    c->in_n = c->in_cap = c->in_used = 0;
}

/* ------------------------------------------------------------------ closing */

static void conn_is_closed(struct conn *io)
{
    server_conn_is_gone(of_conn(io));
}

static void drop_request(struct sconn *c)
{
    if (!c->req)
        return;
    server_give_request(c->server, c->req);
    c->req = NULL;
}

/* Closes without telling anybody. */
static void close_now(struct sconn *c, bool is_proper)
{
    struct http_server *s = c->server;
    if (!c->io.is_open)
        return;
    c->phase = GONE;
    drop_request(c);
    timer_stop(&c->timer);
    loop_withdraw(s->loop, LOOP_FLUSH, &c->turn_end);
    give_in_block(c);
    buf_deinit(&c->out);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->stats.n_connections--;
    if (c->resets) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    conn_close(&c->io, is_proper);
}

/* The client is gone (or is made to be): its request's handler is told first. */
void sconn_close(struct sconn *c)
{
    struct served *r = c->req;
    if (!c->io.is_open || c->phase == GONE)
        return;
    c->phase = GONE; /* request_... calls do nothing from here on */
    if (r && r->is_with_handler) {
        c->server->stats.n_requests--;
        c->server->stats.closed_by_client++;
        if (r->req.on_closed)
            r->req.on_closed(&r->req);
    }
    close_now(c, false);
}

void sconn_cut_off(struct sconn *c)
{
    sconn_close(c);
}

/* Our last words are sent.  If the client is still sending, closing now would make its kernel
 * throw away what it has not read of them; so read and drop for a while. */
static void begin_lingering(struct sconn *c)
{
    conn_shutdown_write(&c->io);
    c->phase = LINGERING;
    c->linger_bytes = 0;
    timer_start(&c->timer, LINGER_MS);
    update_watch(c);
}

static void linger(struct sconn *c)
{
    char sink[4096];
    bool is_drained = false;
    while (!is_drained && c->linger_bytes < LINGER_BYTES_MAX) {
        ssize_t n = conn_read(&c->io, sink, sizeof sink, &is_drained);
        if (n == CONN_AGAIN)
            return;
        if (n <= 0) {
            close_now(c, true);
            return;
        }
        c->linger_bytes += (uint32_t)n;
    }
    if (!is_drained)
        close_now(c, true);
}

/* ----------------------------------------------------------- the next request */

/* Moves what the client has sent ahead to the front. */
static void keep_leftover(struct sconn *c)
{
    size_t left = c->in_n - c->in_used;
    if (left == 0) {
        give_in_block(c);
        return;
    }
    if (c->in_used)
        memmove(c->in, c->in + c->in_used, left);
    c->in_n = left;
    c->in_used = 0;
}

/* The answer has left: what now? */
static void after_answer(struct sconn *c)
{
    if (c->closes_after) {
        if (c->lingers)
            begin_lingering(c);
        else
            close_now(c, !c->resets);
        return;
    }
    c->phase = HEAD;
    c->is_head_timed = false;
    if (c->out.cap) { /* an idle connection holds no buffer */
        buf_deinit(&c->out);
        buf_init(&c->out, OUT_BYTES_MAX);
    }
    timer_start(&c->timer, (uint64_t)c->server->opt.idle_timeout_ms);
    update_watch(c);
    if (c->in_n || conn_has_pending(&c->io))
        loop_at_turn_end(c->server->loop, LOOP_FLUSH, &c->turn_end);
}

bool sconn_has_whole_request(const struct sconn *c)
{
    return c->phase == BUSY || (c->phase == BODY && c->req->head.framing == HTTP_NO_BODY);
}

bool sconn_may_keep(const struct sconn *c)
{
    return !c->closes_after && !c->server->is_draining && sconn_has_whole_request(c) &&
           c->req->head.keep_alive;
}

void sconn_request_is_over(struct sconn *c)
{
    struct served *r = c->req;
    if (r->is_with_handler) {
        c->server->stats.n_requests--;
        c->server->stats.served++;
    }
    if (!sconn_may_keep(c))
        c->closes_after = true;
    if (!sconn_has_whole_request(c) || (c->closes_after && c->in_n > c->in_used))
        c->closes_after = c->lingers = true;
    drop_request(c);
    c->phase = FLUSHING;
    keep_leftover(c);
    c->parser.scanned = 0;
    if (c->is_broken || sconn_held(c) > 0)
        loop_at_turn_end(c->server->loop, LOOP_FLUSH, &c->turn_end);
    else
        after_answer(c);
}

/* ------------------------------------------------------------------ requests */

static void dispatch(struct sconn *c)
{
    struct served *r = c->req;
    if (r->body.p)
        r->req.body = buf_str(&r->body);
    c->phase = BUSY;
    if (!r->is_with_handler)
        c->server->stats.n_requests++;
    r->is_with_handler = true;
    c->server->opt.handler.on_request(&r->req, c->server->opt.arg);
}

/* Room behind the head for chunk lines and pipelined bytes.  Moving the bytes means reading
 * the head again. */
static bool widen_in(struct sconn *c, size_t cap)
{
    assert(cap > c->in_n);
    char *wider = malloc(cap);
    if (!wider)
        return false;
    memcpy(wider, c->in, c->in_n);
    size_t n = c->in_n, used = c->in_used;
    give_in_block(c);
    c->in = wider;
    c->in_n = n;
    c->in_used = used;
    c->in_cap = cap;
    return true;
}

static void refuse_too_large(struct sconn *c)
{
    sconn_refuse(c, 413, "the request's body is larger than allowed here");
}

/* Feeds what lies behind the head, or was just read into c->in, to the body reader.  Decoded
 * bytes go to r->body.  False: the request is over (refused). */
static bool decode_body(struct sconn *c)
{
    struct served *r = c->req;
    for (;;) {
        struct str rest = str_of(c->in + c->in_used, c->in_n - c->in_used), data;
        enum http_body_result got = http_body_next(&c->body, &rest, &data);
        c->in_used = c->in_n - rest.n;
        if (got == HTTP_BODY_MORE) {
            c->in_n = c->in_used = c->in_head; /* all of it was used */
            return true;
        }
        if (got == HTTP_BODY_DONE) {
            dispatch(c);
            return false;
        }
        if (got == HTTP_BODY_BAD) {
            sconn_refuse(c, 400, c->body.problem);
            return false;
        }
        if (data.n > r->req.body_bytes_max - r->body.n) {
            refuse_too_large(c);
            return false;
        }
        if (!buf_str_add(&r->body, data)) {
            sconn_refuse(c, 503, "there is no memory for the request's body");
            return false;
        }
    }
}

/* Says "100 Continue" to a client that waits for it before it sends the body. */
static void say_continue(struct sconn *c)
{
    if (c->in_n > c->in_used) /* it did not wait */
        return;
    buf_str_add(&c->out, S("HTTP/1.1 100 Continue\r\n\r\n"));
    if (!sconn_flush(c))
        c->is_broken = true;
}

/* The head is complete; c->in_used is behind it. */
static void begin_body(struct sconn *c)
{
    struct served *r = c->req;
    const struct http_head *h = &r->head;
    size_t have = c->in_n - c->in_used;
    if (h->framing == HTTP_NO_BODY) {
        dispatch(c);
        return;
    }
    if (h->framing == HTTP_LENGTH && h->content_length > r->req.body_bytes_max) {
        refuse_too_large(c);
        return;
    }
    if (h->framing == HTTP_LENGTH && have >= h->content_length) {
        r->req.body = str_of(c->in + c->in_used, (size_t)h->content_length);
        c->in_used += (size_t)h->content_length;
        dispatch(c);
        return;
    }
    /* A body that is announced is given memory as it comes, at most doubling, so that a claimed
     * length costs nothing; up to a block at once. */
    buf_init(&r->body, (size_t)r->req.body_bytes_max);
    if (h->framing == HTTP_LENGTH)
        buf_reserve(&r->body,
                    h->content_length < 4 * IN_BLOCK_BYTES ? (size_t)h->content_length : 4 * IN_BLOCK_BYTES);
    http_body_init(&c->body, h->framing, h->content_length);
    c->body_window_bytes = 0;
    timer_start(&c->timer, (uint64_t)c->server->opt.body_timeout_ms);
    if (h->expects_continue)
        say_continue(c);
    decode_body(c);
}

static int refusal_status(int parse_result)
{
    switch (parse_result) {
    case HTTP_TOO_LARGE: return 431;
    case HTTP_BAD_VERSION: return 505;
    case HTTP_BAD_CODING: return 501;
    default: return 400;
    }
}

static void begin_request(struct sconn *c)
{
    struct served *r = c->req;
    struct http_server *s = c->server;
    c->phase = BODY;
    r->req.is_tls = c->io.ssl != NULL;
    if (s->opt.handler.on_head) {
        r->is_with_handler = true;
        s->stats.n_requests++;
        s->opt.handler.on_head(&r->req, s->opt.arg);
        if (c->phase != BODY || c->req != r)
            return;
    }
    begin_body(c);
}

/* Tries to read a head from what is there.  False: more bytes are needed. */
static bool read_head(struct sconn *c)
{
    if (!c->req)
        c->req = server_take_request(c->server, c);
    if (!c->req) {
        close_now(c, false);
        return true;
    }
    c->parser.head_max = c->server->opt.head_bytes_max;
    int n = http_request_parse(&c->parser, str_of(c->in, c->in_n), &c->req->head);
    if (n == HTTP_MORE)
        return false;
    if (n < 0) {
        sconn_refuse(c, refusal_status(n), c->parser.problem);
        return true;
    }
    c->in_used = c->in_head = (size_t)n;
    if (c->req->head.framing == HTTP_CHUNKED && c->in_cap - c->in_used < SPARE_BYTES_MIN) {
        c->parser.scanned = 0;
        if (!widen_in(c, c->in_cap + IN_BLOCK_BYTES)) {
            close_now(c, false);
            return true;
        }
        http_request_parse(&c->parser, str_of(c->in, c->in_n), &c->req->head);
    }
    begin_request(c);
    return true;
}

/* Goes as far as the bytes in c->in allow, through as many requests as are answered at once. */
static void use_input(struct sconn *c)
{
    while (c->io.is_open && c->phase == HEAD && c->in_n > 0) {
        if (!read_head(c)) {
            /* From the first byte to the last: more bytes do not give more time. */
            if (!c->is_head_timed)
                timer_start(&c->timer, (uint64_t)c->server->opt.head_timeout_ms);
            c->is_head_timed = true;
            return;
        }
    }
}

/* ------------------------------------------------------------------- reading */

/* Where the next bytes go, or NULL (then the connection is closed). */
static char *room_for_input(struct sconn *c, size_t *room)
{
    struct served *r = c->req;
    if (c->phase == BODY && c->body.framing == HTTP_LENGTH) {
        /* Straight into the body; never more than it, so nothing pipelined is read with it. */
        size_t want = c->body.left < 65536 ? (size_t)c->body.left : 65536;
        *room = want;
        return buf_reserve(&r->body, want);
    }
    if (!c->in) {
        c->in = server_take_block(c->server);
        c->in_cap = c->in ? IN_BLOCK_BYTES : 0;
    }
    if (c->in && c->in_n == c->in_cap && !widen_in(c, c->in_cap * 2))
        return NULL;
    *room = c->in_cap - c->in_n;
    return c->in ? c->in + c->in_n : NULL;
}

/* One read.  False: nothing more can be read now. */
static bool read_once(struct sconn *c)
{
    size_t room;
    char *to = room_for_input(c, &room);
    if (!to) {
        sconn_close(c);
        return false;
    }
    bool is_drained;
    ssize_t n = conn_read(&c->io, to, room, &is_drained);
    if (n == CONN_AGAIN) {
        if (sconn_is_idle(c))
            give_in_block(c);
        return false;
    }
    if (n <= 0) {
        sconn_close(c);
        return false;
    }
    c->body_window_bytes += (uint64_t)n;
    if (c->phase == BODY && c->body.framing == HTTP_LENGTH) {
        struct str fresh = str_of(to, (size_t)n), data;
        buf_commit(&c->req->body, (size_t)n);
        http_body_next(&c->body, &fresh, &data);
        if (c->body.is_done)
            dispatch(c);
    } else {
        c->in_n += (size_t)n;
        if (c->phase == BODY)
            decode_body(c);
        else
            use_input(c);
    }
    return !is_drained;
}

static void read_requests(struct sconn *c)
{
    size_t n_read = 0; /* at most: what the reads may have brought */
    use_input(c);      /* what was sent ahead of an answer */
    while (c->io.is_open && (c->phase == HEAD || c->phase == BODY)) {
        if (!read_once(c))
            break;
        n_read += IN_BLOCK_BYTES;
        if (n_read > READ_BYTES_PER_EVENT && !conn_has_pending(&c->io))
            break;
    }
    update_watch(c);
}

/* While the handler works: bytes sent ahead are kept as far as there is room (then the kernel
 * keeps them), an end means that the client is gone. */
static void read_ahead(struct sconn *c)
{
    bool is_drained = false;
    while (!is_drained && c->in && c->in_n < c->in_cap) {
        ssize_t n = conn_read(&c->io, c->in + c->in_n, c->in_cap - c->in_n, &is_drained);
        if (n == CONN_AGAIN)
            break;
        if (n <= 0) {
            sconn_close(c);
            return;
        }
        c->in_n += (size_t)n;
    }
    update_watch(c);
}

/* -------------------------------------------------------------------- events */

static void shake_hands(struct sconn *c)
{
    char why[160];
    int rc = conn_handshake(&c->io, why, sizeof why);
    if (rc == CONN_BROKEN) {
        close_now(c, false);
    } else if (rc == 1) {
        c->phase = HEAD;
        read_requests(c);
    }
}

/* Sends what is held; then goes on with whatever waited for that. */
static void flush_and_go_on(struct sconn *c)
{
    if (c->is_broken || !sconn_flush(c)) {
        sconn_close(c);
        return;
    }
    if (!c->is_blocked && c->phase == FLUSHING) {
        after_answer(c);
        return;
    }
    update_watch(c); /* for WRITABLE, or not any more */
    struct served *r = c->req;
    if (c->phase == BUSY && r && r->is_full && sconn_held(c) <= c->server->opt.held_bytes_low) {
        r->is_full = false;
        if (r->req.on_drain)
            r->req.on_drain(&r->req);
    }
}

static void on_turn_end(struct loop_task *task)
{
    struct sconn *c = (struct sconn *)((char *)task - offsetof(struct sconn, turn_end));
    if (c->phase == HEAD && !c->is_broken)
        read_requests(c);
    else
        flush_and_go_on(c);
}

static void on_event(struct conn *io, int events)
{
    struct sconn *c = of_conn(io);
    if ((events & CONN_WRITABLE) && c->is_blocked)
        flush_and_go_on(c);
    if (!c->io.is_open || !(events & (CONN_READABLE | CONN_HUNG_UP | CONN_WRITABLE)))
        return;
    switch ((enum sconn_phase)c->phase) {
    case HANDSHAKE: shake_hands(c); break;
    case HEAD:
    case BODY: read_requests(c); break;
    case BUSY:
        if (events & CONN_READABLE)
            read_ahead(c);
        if (c->io.is_open && c->phase == BUSY && (events & CONN_HUNG_UP))
            sconn_close(c);
        break;
    case LINGERING: linger(c); break;
    case FLUSHING: /* a pending error, found by the write */
    case GONE: break;
    }
}

static void on_timeout(struct timer *timer)
{
    struct sconn *c = (struct sconn *)((char *)timer - offsetof(struct sconn, timer));
    const struct http_server_options *o = &c->server->opt;
    switch ((enum sconn_phase)c->phase) {
    case HEAD:
        if (c->in_n)
            sconn_refuse(c, 408, "the request's head did not come in time");
        else
            close_now(c, true);
        return;
    case BODY:
        if (c->body_window_bytes >= BODY_WINDOW_BYTES) {
            c->body_window_bytes = 0;
            timer_start(&c->timer, (uint64_t)o->body_timeout_ms);
        } else {
            sconn_refuse(c, 408, "the request's body did not come in time");
        }
        return;
    case BUSY:
    case FLUSHING: /* sconn_flush starts the timer when the client takes nothing */
        if (c->is_blocked)
            sconn_close(c);
        return;
    case HANDSHAKE:
    case LINGERING: close_now(c, false); return;
    case GONE: return;
    }
}

int sconn_open(struct http_server *s, int fd, const struct sockaddr *peer, struct tls_server *tls)
{
    struct sconn *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    SSL *ssl = tls ? tls_server_open(tls, fd) : NULL;
    if ((tls && !ssl) || conn_open(&c->io, s->loop, fd) != OK) {
        tls_close(ssl, false);
        free(c);
        return ERR_NOMEM;
    }
    c->io.ssl = ssl;
    c->io.on_event = on_event;
    c->io.on_closed = conn_is_closed;
    c->server = s;
    c->phase = ssl ? HANDSHAKE : HEAD;
    c->turn_end.run = on_turn_end;
    buf_init(&c->out, OUT_BYTES_MAX);
    addr_to_text(peer, c->peer);
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->n_handles++;
    s->stats.n_connections++;
    timer_init(&c->timer, s->loop, on_timeout);
    timer_start(&c->timer, (uint64_t)s->opt.head_timeout_ms);
    c->is_head_timed = true;
    update_watch(c);
    return OK;
}
