/* conn_int.h - One connected socket on the loop, plain or TLS: what server and client share.
 *
 * Write at once; wait for writability only after CONN_AGAIN.  The end of the other side is
 * watched for all the time (unless everything is switched off), also while nothing is
 * read.  TLS's wishes (a read that must write first) are handled here. */
#ifndef NET_CONN_INT_H
#define NET_CONN_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

#include "net/loop.h"
#include "net/tls_int.h"

/* What on_event is told; more than one may be set. */
enum {
    CONN_READABLE = 1, /* or at its end, or broken: reading will tell */
    CONN_WRITABLE = 2,
    CONN_HUNG_UP = 4 /* the other side has ended its sending, or everything */
};

struct conn {
    uv_poll_t poll;
    struct loop *loop;
    SSL *ssl; /* NULL: plain.  Owned */
    int fd;
    int armed; /* libuv events now watched for */
    bool wants_read, wants_write, watches_hang_up;
    bool tls_wants_write; /* OpenSSL cannot go on before it has written */
    bool is_open;
    void (*on_event)(struct conn *c, int events);
    void (*on_closed)(struct conn *c); /* the memory is free again */
};

/* Takes fd (non-blocking) if it returns OK.  Nothing is watched before conn_watch. */
int conn_open(struct conn *c, struct loop *loop, int fd);

/* Which events to wait for.  With read false, hang_up says whether the other side's end is
 * still watched for; if not, and without write, nothing is. */
void conn_watch(struct conn *c, bool read, bool write, bool hang_up);

/* > 0 bytes, or CONN_EOF, CONN_AGAIN, CONN_BROKEN.  *is_drained: there is nothing more to read
 * now, so that reading again would be in vain. */
ssize_t conn_read(struct conn *c, void *p, size_t n, bool *is_drained);

/* Bytes taken (>= 1), CONN_AGAIN or CONN_BROKEN. */
ssize_t conn_write(struct conn *c, const struct iovec *parts, int n_parts);

/* 1, CONN_AGAIN, or CONN_BROKEN with a sentence in why[].  Plain connections have none. */
int conn_handshake(struct conn *c, char *why, size_t why_cap);

/* Bytes already taken from the socket that the next conn_read will give without an event. */
bool conn_has_pending(const struct conn *c);

/* Ends it; on_closed comes later in the turn, no on_event any more. */
void conn_close(struct conn *c, bool is_proper);

/* Ends only the sending (TLS: says so). */
void conn_shutdown_write(struct conn *c);

#endif
