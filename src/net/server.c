/* server.c - Listen, accept, drain; the pools of the HTTP server.  See server.h, server_int.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/server_int.h"

#ifdef SLUICE_HOSTILE
#define ACCEPT_BATCH 1
#else
#define ACCEPT_BATCH 32 /* then the other connections get their turn */
#endif
#define ACCEPT_RETRY_MS 100

/* -------------------------------------------------------------------- pools */

struct served *server_take_request(struct http_server *s, struct sconn *c)
{
    struct served *r = s->free_served;
    if (r) {
        s->free_served = r->next_free;
        s->n_free_served--;
    } else {
        r = malloc(sizeof *r);
        if (!r)
            return NULL;
        arena_init(&r->arena, s->opt.arena_bytes_max);
    }
    r->req = (struct request){
        .head = &r->head,
        .body = S(""),
        .arena = &r->arena,
        .loop = s->loop,
        .peer = str_c(c->peer),
        .is_tls = c->io.ssl != NULL,
        .began_ms = loop_now_ms(s->loop),
        .body_bytes_max = s->opt.body_bytes_max,
    };
    r->conn = c;
    buf_init(&r->body, 0);
    r->is_with_handler = r->is_started = r->is_chunked = r->is_full = false;
    return r;
}

static void free_request(struct served *r)
{
    arena_deinit(&r->arena);
    free(r);
}

void server_give_request(struct http_server *s, struct served *r)
{
    buf_deinit(&r->body);
#ifdef SLUICE_DEBUG
    free_request(r); /* so that sanitizers see who uses it afterwards */
    (void)s;
#else
    if (s->n_free_served >= POOL_MAX || r->arena.used > IN_BLOCK_BYTES * 4) {
        free_request(r);
        return;
    }
    arena_reset(&r->arena);
    r->next_free = s->free_served;
    s->free_served = r;
    s->n_free_served++;
#endif
}

char *server_take_block(struct http_server *s)
{
    char *block = s->free_blocks;
    if (!block)
        return malloc(IN_BLOCK_BYTES);
    memcpy(&s->free_blocks, block, sizeof s->free_blocks);
    s->n_free_blocks--;
    return block;
}

void server_give_block(struct http_server *s, char *block)
{
#ifdef SLUICE_DEBUG
    free(block);
    (void)s;
#else
    if (s->n_free_blocks >= POOL_MAX / 4) {
        free(block);
        return;
    }
    memcpy(block, &s->free_blocks, sizeof s->free_blocks);
    s->free_blocks = block;
    s->n_free_blocks++;
#endif
}

/* The clock is read once a second, not once an answer. */
struct str server_date(struct http_server *s)
{
    uint64_t now_ms = loop_now_ms(s->loop);
    if (s->date_n == 0 || now_ms - s->date_ms >= 250) {
        int64_t now_s = (int64_t)time(NULL);
        s->date_ms = now_ms;
        if (s->date_n == 0 || now_s != s->date_s) {
            struct buf b;
            buf_init(&b, sizeof s->date);
            http_write_date(&b, now_s);
            s->date_n = b.n;
            if (b.n)
                memcpy(s->date, b.p, b.n);
            s->date_s = now_s;
            buf_deinit(&b);
        }
    }
    return str_of(s->date, s->date_n);
}

/* ---------------------------------------------------------------- accepting */

static void accept_came(uv_poll_t *poll, int status, int events);

static void arm_listeners(struct http_server *s, bool on)
{
    for (struct listener *l = s->listeners; l; l = l->next) {
        if (l->is_armed == on)
            continue;
        l->is_armed = on;
        if (on)
            uv_poll_start(&l->poll, UV_READABLE, accept_came);
        else
            uv_poll_stop(&l->poll);
    }
}

/* Leaves new clients in the kernel's queue.  Tried again when a connection closes and after a
 * while: descriptors may have been taken by others than us. */
static void pause_accepting(struct http_server *s)
{
    if (!s->is_accept_paused)
        s->stats.accept_pauses++;
    s->is_accept_paused = true;
    arm_listeners(s, false);
    timer_start(&s->accept_timer, ACCEPT_RETRY_MS);
}

static void resume_accepting(struct http_server *s)
{
    if (!s->is_accept_paused || s->is_draining || s->is_freed ||
        s->stats.n_connections >= s->opt.connections_max)
        return;
    s->is_accept_paused = false;
    timer_stop(&s->accept_timer);
    arm_listeners(s, true);
}

static void on_accept_timer(struct timer *timer)
{
    struct http_server *s =
        (struct http_server *)((char *)timer - offsetof(struct http_server, accept_timer));
    if (s->stats.n_connections >= s->opt.connections_max)
        timer_start(&s->accept_timer, ACCEPT_RETRY_MS);
    else
        resume_accepting(s);
}

static bool is_out_of_descriptors(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

static void accept_came(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    struct http_server *s = l->server;
    (void)events;
    if (status < 0) { /* libuv has stopped watching */
        l->is_armed = false;
        pause_accepting(s);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (s->stats.n_connections >= s->opt.connections_max) {
            pause_accepting(s);
            return;
        }
        struct sockaddr_storage peer;
        socklen_t n = sizeof peer;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (is_out_of_descriptors(errno))
                pause_accepting(s);
            return;
        }
        if (sconn_open(s, fd, (struct sockaddr *)&peer, l->tls) != OK) {
            close(fd);
            pause_accepting(s);
            return;
        }
        s->stats.accepted++;
    }
}

int http_server_listen(struct http_server *server, int fd, struct tls_server *tls, struct err *err)
{
    struct listener *l = calloc(1, sizeof *l);
    if (!l)
        return fail(err, ERR_NOMEM, "no memory for a listener");
    *l = (struct listener){.server = server, .tls = tls, .fd = fd, .next = server->listeners};
    int rc = uv_poll_init(loop_uv(server->loop), &l->poll, fd);
    if (rc < 0) {
        free(l);
        return fail(err, ERR_IO, "a listening socket cannot be watched: %s", uv_strerror(rc));
    }
    l->poll.data = l;
    server->listeners = l;
    server->n_handles++;
    if (!server->is_accept_paused)
        arm_listeners(server, true);
    return OK;
}

/* ------------------------------------------------------------ end of things */

static void free_if_last(struct http_server *s)
{
    if (!s->is_freed || s->n_handles > 0)
        return;
    while (s->free_served) {
        struct served *r = s->free_served;
        s->free_served = r->next_free;
        free_request(r);
    }
    while (s->free_blocks)
        free(server_take_block(s));
    buf_deinit(&s->head_out);
    free(s);
}

static void listener_is_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct http_server *s = l->server;
    free(l);
    s->n_handles--;
    free_if_last(s);
}

static void close_listeners(struct http_server *s)
{
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        uv_close((uv_handle_t *)&l->poll, listener_is_closed);
        close(l->fd);
    }
    timer_stop(&s->accept_timer);
}

void server_conn_is_gone(struct sconn *c)
{
    struct http_server *s = c->server;
    free(c);
    s->n_handles--;
    if (s->is_freed) {
        free_if_last(s);
        return;
    }
    resume_accepting(s);
    if (s->is_draining && s->stats.n_connections == 0)
        loop_at_turn_end(s->loop, LOOP_FLUSH, &s->drained_task);
}

static void tell_drained(struct loop_task *task)
{
    struct http_server *s = (struct http_server *)((char *)task - offsetof(struct http_server, drained_task));
    void (*on_drained)(struct http_server *, void *) = s->on_drained;
    s->on_drained = NULL;
    timer_stop(&s->drain_timer);
    if (on_drained)
        on_drained(s, s->drained_arg);
}

static void cut_all(struct http_server *s)
{
    while (s->conns)
        sconn_cut_off(s->conns);
}

static void on_drain_deadline(struct timer *timer)
{
    cut_all((struct http_server *)((char *)timer - offsetof(struct http_server, drain_timer)));
}

void http_server_drain(struct http_server *s, uint64_t deadline_ms,
                       void (*on_drained)(struct http_server *server, void *arg), void *arg)
{
    s->is_draining = true;
    s->on_drained = on_drained;
    s->drained_arg = arg;
    close_listeners(s);
    for (struct sconn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (sconn_is_idle(c))
            sconn_cut_off(c);
    }
    if (s->stats.n_connections == 0)
        loop_at_turn_end(s->loop, LOOP_FLUSH, &s->drained_task);
    else
        timer_start(&s->drain_timer, deadline_ms);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->is_draining = true;
    close_listeners(s);
    cut_all(s);
    timer_stop(&s->drain_timer);
    loop_withdraw(s->loop, LOOP_FLUSH, &s->drained_task);
    s->is_freed = true;
    free_if_last(s);
}

/* ------------------------------------------------------------------- create */

static void set_defaults(struct http_server_options *o)
{
    if (!o->head_bytes_max || o->head_bytes_max > HTTP_HEAD_BYTES_MAX)
        o->head_bytes_max = HTTP_HEAD_BYTES_MAX;
    if (!o->body_bytes_max)
        o->body_bytes_max = 32u << 20;
    if (!o->arena_bytes_max)
        o->arena_bytes_max = 64u << 20;
    if (!o->held_bytes_high)
        o->held_bytes_high = 512u << 10;
    if (!o->held_bytes_low)
        o->held_bytes_low = 128u << 10;
    if (o->connections_max <= 0)
        o->connections_max = 16384;
    if (o->idle_timeout_ms <= 0)
        o->idle_timeout_ms = 75000;
    if (o->head_timeout_ms <= 0)
        o->head_timeout_ms = 15000;
    if (o->body_timeout_ms <= 0)
        o->body_timeout_ms = 30000;
    if (o->send_timeout_ms <= 0)
        o->send_timeout_ms = 60000;
}

struct http_server *http_server_create(struct loop *loop, const struct http_server_options *options,
                                       struct err *err)
{
    assert(options->handler.on_request);
    struct http_server *s = calloc(1, sizeof *s);
    if (!s) {
        fail(err, ERR_NOMEM, "no memory for an HTTP server");
        return NULL;
    }
    s->loop = loop;
    s->opt = *options;
    set_defaults(&s->opt);
    s->drained_task.run = tell_drained;
    timer_init(&s->accept_timer, loop, on_accept_timer);
    timer_init(&s->drain_timer, loop, on_drain_deadline);
    buf_init(&s->head_out, 1u << 20);
    return s;
}

struct http_server_stats http_server_get_stats(const struct http_server *server)
{
    return server->stats;
}
