/* tls_int.h - TLS on a non-blocking descriptor, for conn.c. */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/str.h"
#include "net/openssl_int.h"
#include "net/tls.h"

/* What reading, writing and shaking hands answer instead of a count. */
enum {
    CONN_EOF = 0,         /* the other side has ended properly */
    CONN_AGAIN = -1,      /* wait for the descriptor */
    CONN_BROKEN = -2,     /* reset, or TLS cut off without its end, or a TLS error */
    CONN_WANTS_WRITE = -3 /* as CONN_AGAIN, but for writability (TLS only) */
};

/* A side of a connection on `fd`, or NULL without memory. */
SSL *tls_server_open(struct tls_server *tls, int fd);
/* `host` (a name or an address) is sent as SNI if it is a name, and verified.  `session` may
 * be NULL; on_session is told of new ones (it takes the reference). */
SSL *tls_client_open(struct tls_client *tls, int fd, struct str host, SSL_SESSION *session,
                     void (*on_session)(void *arg, SSL_SESSION *session), void *arg);

/* 1 when done, else CONN_AGAIN, CONN_WANTS_WRITE, or CONN_BROKEN with a sentence in why[]. */
int tls_handshake(SSL *ssl, char *why, size_t why_cap);
ssize_t tls_read(SSL *ssl, void *p, size_t n);
ssize_t tls_write(SSL *ssl, const void *p, size_t n);

/* Frees; with `is_proper` the other side is told that this is the end (once, without waiting).
 * The descriptor stays the caller's.  Accepts NULL. */
void tls_close(SSL *ssl, bool is_proper);

#endif
