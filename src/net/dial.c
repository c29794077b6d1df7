/* dial.c - Connect to one of several addresses.  See dial_int.h. */
#include "net/dial_int.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "net/addr.h"

struct attempt {
    uv_poll_t poll;
    struct dial *dial;
    int fd; /* -1: not running */
};

struct dial {
    struct loop *loop;
    void (*on_done)(void *arg, int fd, const char *why);
    void *arg;
    void (*on_freed)(void *free_arg);
    void *free_arg;
    union dial_addr addrs[DIAL_ADDRS_MAX];
    struct attempt attempts[DIAL_ADDRS_MAX];
    int n_addrs, next, n_running;
    int n_handles; /* polls that libuv still knows */
    struct timer stagger;
    struct loop_task failed; /* reports at the turn's end that nothing is left to try */
    bool is_over;
    char why[192];
};

static void free_if_last(struct dial *d)
{
    if (!d->is_over || d->n_handles > 0)
        return;
    void (*on_freed)(void *) = d->on_freed;
    void *free_arg = d->free_arg;
    free(d);
    on_freed(free_arg);
}

static void poll_is_closed(uv_handle_t *handle)
{
    struct attempt *a = handle->data;
    a->dial->n_handles--;
    free_if_last(a->dial);
}

/* Takes the attempt off the loop; its descriptor is the caller's. */
static int detach(struct attempt *a)
{
    int fd = a->fd;
    a->fd = -1;
    a->dial->n_running--;
    uv_close((uv_handle_t *)&a->poll, poll_is_closed);
    return fd;
}

static void stop_all(struct dial *d)
{
    for (int i = 0; i < d->next; i++)
        if (d->attempts[i].fd >= 0)
            close(detach(&d->attempts[i]));
    timer_stop(&d->stagger);
    loop_withdraw(d->loop, LOOP_FLUSH, &d->failed);
    d->is_over = true;
}

static void try_next(struct dial *d);

static void note_failure(struct dial *d, const union dial_addr *addr, int errnum)
{
    char text[ADDR_TEXT_MAX];
    addr_to_text(&addr->any, text);
    snprintf(d->why, sizeof d->why, "%s: %s", text, strerror(errnum));
}

static void attempt_came(uv_poll_t *poll, int status, int events)
{
    struct attempt *a = poll->data;
    struct dial *d = a->dial;
    (void)status; /* SO_ERROR says more */
    (void)events;
    int problem = 0;
    socklen_t n = sizeof problem;
    if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &problem, &n) < 0)
        problem = errno;
    int fd = detach(a);
    if (problem) {
        note_failure(d, &d->addrs[a - d->attempts], problem);
        close(fd);
        try_next(d);
        return;
    }
    stop_all(d);
    d->on_done(d->arg, fd, NULL); /* d is alive until its polls are closed */
}

/* Begins to connect; 0 or an errno. */
static int begin(struct dial *d, int i)
{
    struct attempt *a = &d->attempts[i];
    const union dial_addr *addr = &d->addrs[i];
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    socklen_t n = addr->any.sa_family == AF_INET6 ? sizeof addr->v6 : sizeof addr->v4;
    int problem = 0;
    if (connect(fd, &addr->any, n) < 0 && errno != EINPROGRESS && errno != EINTR)
        problem = errno;
    else if (uv_poll_init(loop_uv(d->loop), &a->poll, fd) < 0)
        problem = EMFILE;
    if (problem) {
        close(fd);
        return problem;
    }
    a->poll.data = a;
    a->fd = fd;
    d->n_running++;
    d->n_handles++;
    uv_poll_start(&a->poll, UV_WRITABLE, attempt_came);
    return 0;
}

static void try_next(struct dial *d)
{
    while (d->next < d->n_addrs) {
        int i = d->next++;
        int problem = begin(d, i);
        if (problem == 0) {
            if (d->next < d->n_addrs)
                timer_start(&d->stagger, DIAL_STAGGER_MS);
            return;
        }
        note_failure(d, &d->addrs[i], problem);
    }
    timer_stop(&d->stagger);
    if (d->n_running == 0)
        loop_at_turn_end(d->loop, LOOP_FLUSH, &d->failed);
}

static void on_stagger(struct timer *timer)
{
    try_next((struct dial *)((char *)timer - offsetof(struct dial, stagger)));
}

static void tell_failed(struct loop_task *task)
{
    struct dial *d = (struct dial *)((char *)task - offsetof(struct dial, failed));
    stop_all(d);
    d->on_done(d->arg, -1, d->why);
    free_if_last(d);
}

struct dial *dial_start(struct loop *loop, const union dial_addr *addrs, int n_addrs,
                        void (*on_done)(void *arg, int fd, const char *why), void *arg,
                        void (*on_freed)(void *free_arg), void *free_arg)
{
    assert(n_addrs > 0 && n_addrs <= DIAL_ADDRS_MAX);
    struct dial *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->loop = loop;
    d->on_done = on_done;
    d->arg = arg;
    d->on_freed = on_freed;
    d->free_arg = free_arg;
    d->n_addrs = n_addrs;
    memcpy(d->addrs, addrs, (size_t)n_addrs * sizeof *addrs);
    for (int i = 0; i < DIAL_ADDRS_MAX; i++)
        d->attempts[i] = (struct attempt){.dial = d, .fd = -1};
    timer_init(&d->stagger, loop, on_stagger);
    d->failed.run = tell_failed;
    try_next(d);
    return d;
}

void dial_cancel(struct dial *d)
{
    stop_all(d);
    free_if_last(d);
}
