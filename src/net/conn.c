/* conn.c - A connected socket on the loop.  See conn_int.h. */
#include "net/conn_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_RECORD_BYTES 16384

#ifdef SLUICE_HOSTILE
#define READ_BYTES_MAX  1
#define WRITE_BYTES_MAX 3
#else
#define READ_BYTES_MAX  ((size_t)1 << 30)
#define WRITE_BYTES_MAX ((size_t)1 << 30)
#endif

static void arm(struct conn *c);

static void poll_came(uv_poll_t *poll, int status, int uv_events)
{
    struct conn *c = poll->data;
    int events = 0;
    if (status < 0) {
        /* libuv has stopped watching (an error is pending on the socket).  Reading gives what
         * came before the error, then the error. */
        c->armed = 0;
        events = CONN_READABLE | CONN_WRITABLE | CONN_HUNG_UP;
    } else {
        if (uv_events & UV_READABLE)
            events |= CONN_READABLE;
        if (uv_events & UV_WRITABLE)
            events |= CONN_WRITABLE;
        if (uv_events & UV_DISCONNECT)
            events |= CONN_HUNG_UP;
        if (c->tls_wants_write && (events & CONN_WRITABLE)) {
            c->tls_wants_write = false;
            events |= CONN_READABLE;
        }
    }
    c->on_event(c, events);
    if (status < 0 && c->is_open)
        arm(c); /* whoever still wants this connection is told again */
}

int conn_open(struct conn *c, struct loop *loop, int fd)
{
    c->ssl = NULL;
    c->loop = loop;
    c->armed = 0;
    c->wants_read = c->wants_write = c->watches_hang_up = c->tls_wants_write = false;
    c->is_open = false;
    if (uv_poll_init(loop_uv(loop), &c->poll, fd) < 0)
        return ERR_IO;
    c->poll.data = c;
    c->fd = fd;
    c->is_open = true;
    return OK;
}

static void arm(struct conn *c)
{
    int want = 0;
    if (c->wants_read)
        want |= UV_READABLE | UV_DISCONNECT;
    if (c->watches_hang_up)
        want |= UV_DISCONNECT;
    if (c->wants_write || c->tls_wants_write)
        want |= UV_WRITABLE;
    if (want == c->armed)
        return;
    c->armed = want;
    if (want)
        uv_poll_start(&c->poll, want, poll_came);
    else
        uv_poll_stop(&c->poll);
}

void conn_watch(struct conn *c, bool read, bool write, bool hang_up)
{
    assert(c->is_open);
    c->wants_read = read;
    c->wants_write = write;
    c->watches_hang_up = hang_up;
    arm(c);
}

static ssize_t plain_result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? CONN_AGAIN : CONN_BROKEN;
}

/* TLS wants to write although we read (or the other way round): watch for that, too. */
static ssize_t tls_result(struct conn *c, ssize_t n)
{
    if (n != CONN_WANTS_WRITE)
        return n;
    c->tls_wants_write = true;
    arm(c);
    return CONN_AGAIN;
}

ssize_t conn_read(struct conn *c, void *p, size_t n, bool *is_drained)
{
    assert(c->is_open && n > 0);
    if (n > READ_BYTES_MAX)
        n = READ_BYTES_MAX;
    ssize_t got;
    if (c->ssl) {
        got = tls_result(c, tls_read(c->ssl, p, n));
        *is_drained = got <= 0;
    } else {
        got = plain_result(recv(c->fd, p, n, 0));
        /* Less than asked for: the socket is empty, and if more comes the loop says so. */
        *is_drained = got < (ssize_t)n;
    }
    return got;
}

/* Small parts become one TLS record and so one system call. */
static ssize_t write_tls(struct conn *c, const struct iovec *parts, int n_parts)
{
    /* Scratch of the thread: OpenSSL has taken the bytes, or is given the same ones again. */
    static _Thread_local char record[TLS_RECORD_BYTES];
    size_t n = 0;
    for (int i = 0; i < n_parts && n < sizeof record; i++) {
        size_t part = parts[i].iov_len < sizeof record - n ? parts[i].iov_len : sizeof record - n;
        if (part)
            memcpy(record + n, parts[i].iov_base, part);
        n += part;
    }
    ssize_t sent = tls_write(c->ssl, record, n);
    return sent == CONN_WANTS_WRITE ? CONN_AGAIN : sent;
}

static ssize_t write_plain(struct conn *c, const struct iovec *parts, int n_parts)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)n_parts};
    return plain_result(sendmsg(c->fd, &msg, MSG_NOSIGNAL));
}

ssize_t conn_write(struct conn *c, const struct iovec *parts, int n_parts)
{
    assert(c->is_open && n_parts > 0);
    struct iovec few = parts[0];
    for (int i = 1; few.iov_len == 0 && i < n_parts; i++)
        few = parts[i];
    assert(few.iov_len > 0);
    if (WRITE_BYTES_MAX < few.iov_len && !c->ssl) {
        few.iov_len = WRITE_BYTES_MAX;
        return write_plain(c, &few, 1);
    }
    return c->ssl ? write_tls(c, parts, n_parts) : write_plain(c, parts, n_parts);
}

int conn_handshake(struct conn *c, char *why, size_t why_cap)
{
    return (int)tls_result(c, tls_handshake(c->ssl, why, why_cap));
}

bool conn_has_pending(const struct conn *c)
{
    return c->ssl && SSL_has_pending(c->ssl);
}

void conn_shutdown_write(struct conn *c)
{
    if (c->ssl) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
    }
    shutdown(c->fd, SHUT_WR);
}

static void handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    c->on_closed(c);
}

/* uv_close goes first: libuv must take the descriptor out of epoll while it is still open. */
void conn_close(struct conn *c, bool is_proper)
{
    assert(c->is_open);
    c->is_open = false;
    tls_close(c->ssl, is_proper);
    c->ssl = NULL;
    uv_close((uv_handle_t *)&c->poll, handle_closed);
    close(c->fd);
    c->fd = -1;
}
