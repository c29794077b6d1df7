/* client.h - The HTTP/1.1 client of one loop thread: calls over pooled connections.
 *
 * A call sends one request and reads one response.  Connections are kept for the next call to
 * the same (host, port, TLS, proxy), the one used last first.  No redirect is followed, 1xx
 * answers are skipped, a body that stops before its end is an error and never looks complete.
 *
 * Life of a struct http_call: from http_call_start until on_done has returned or until
 * http_call_cancel.  No callback is ever called from inside a function of this file, and none
 * after on_done or cancel.  Inside a callback every function may be called. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/proxy.h"
#include "net/tls.h"

struct http_client;
struct http_call;
struct http_call_options;

/* Plays the network in simulations: who tests what stands on this file gives one instead of
 * sockets.  Timeouts of the whole call still come from here, those of connecting do not. */
struct http_script {
    /* Answers later, from timers of its own, by http_script_... below. */
    void (*start)(struct http_script *s, struct http_call *call, const struct http_call_options *o);
    /* It is over (answered, cancelled, timed out): nothing more may be given to it. */
    void (*end)(struct http_script *s, struct http_call *call);
};

/* Zero means the default in brackets.  tls and proxies are borrowed until http_client_free. */
struct http_client_options {
    struct tls_client *tls;            /* NULL: https calls fail with CALL_TLS */
    const struct proxy_rules *proxies; /* NULL: none */
    int idle_per_origin_max;           /* kept connections per (host, port, ...) [256] */
    int idle_timeout_ms;               /* a kept connection is closed after this [60 s] */
    int dns_ttl_ms;                    /* addresses are asked again after this [60 s] */
    size_t head_bytes_max;             /* of a response [64 KiB, which is also the most] */
    struct http_script *script;        /* simulations only */
};

struct http_client *http_client_create(struct loop *loop, const struct http_client_options *options,
                                       struct err *err);

/* Not from inside a callback.  Calls that still run are cancelled without one.  The memory goes when the loop
 * has closed its descriptors: run it once more (loop_free does).  Accepts NULL. */
void http_client_free(struct http_client *client);

enum call_result {
    CALL_OK,
    /* nothing of the request has left: safe to send elsewhere */
    CALL_DNS,             /* the name has no address */
    CALL_CONNECT,         /* refused, unreachable */
    CALL_CONNECT_TIMEOUT, /* name, connection and TLS took longer than connect_ms */
    CALL_TLS,             /* handshake or verification failed */
    CALL_PROXY,           /* the proxy refused the tunnel */
    /* the request may have arrived */
    CALL_FIRST_BYTE_TIMEOUT,
    CALL_BROKEN, /* the connection ended before a complete head */
    /* after the head */
    CALL_IDLE_TIMEOUT, /* nothing for idle_ms in mid-body */
    CALL_TRUNCATED,    /* the connection ended in mid-body */
    /* any time */
    CALL_TOTAL_TIMEOUT,
    CALL_PROTOCOL, /* what came is not HTTP as http.h reads it (or not gzip) */
    CALL_NO_MEMORY
};
const char *call_result_name(enum call_result result); /* "dns", "connect_timeout", ... */

struct http_call_callbacks {
    /* The head of the answer; it and its slices live for this call of the function only.
     * Never called twice.  May be NULL. */
    void (*on_response)(struct http_call *call, const struct http_head *head);
    /* A piece of the body (never empty), decoded from chunks (and gzip), borrowed. */
    void (*on_data)(struct http_call *call, struct str data);
    /* The end, once.  `why` is one sentence for a person if result is not CALL_OK. */
    void (*on_done)(struct http_call *call, enum call_result result, const char *why);
};

/* Everything is borrowed: url parts, method, target and headers for the call of
 * http_call_start, the body until on_done or cancel (it may have to be sent twice). */
struct http_call_options {
    struct str host;
    uint16_t port;
    bool is_tls;
    struct str method;
    struct str target;                 /* "/path?query" */
    const struct http_header *headers; /* without Host, Content-Length, Connection */
    int n_headers;
    struct str body;  /* sent with Content-Length if has_body or n > 0 */
    bool has_body;    /* send "Content-Length: 0" also for an empty one */
    bool accept_gzip; /* ask for gzip and undo it; otherwise "identity" is asked for */
    struct http_call_callbacks callbacks;
    void *user;
    /* 0: no such timeout */
    int connect_ms;    /* name, connection, proxy and TLS together */
    int first_byte_ms; /* from the request's last byte to the answer's first */
    int idle_ms;       /* between two reads of the body */
    int total_ms;      /* everything */
};

/* Never NULL for want of an upstream: such failures come by on_done.  NULL only without memory. */
struct http_call *http_call_start(struct http_client *client, const struct http_call_options *options);

/* Ends the call without a callback.  Its connection is closed unless the answer was complete. */
void http_call_cancel(struct http_call *call);

/* Stop reading from the connection, so that the upstream feels it; what was read already (64 KiB
 * at most) is still delivered.  idle_ms does not run while paused.  Both may be called twice. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

void *http_call_user(const struct http_call *call);

/* What a script gives to a call.  The call may be over when one returns: see http_script.end. */
void http_script_head(struct http_call *call, const struct http_head *head);
void http_script_data(struct http_call *call, struct str data);
void http_script_done(struct http_call *call, enum call_result result, const char *why);
bool http_script_is_paused(const struct http_call *call); /* then no more data should come */

struct http_call_stats {
    bool is_reused;         /* over a kept connection */
    bool is_resent;         /* a kept one died before its first byte: sent again over a new one */
    bool was_sent;          /* bytes of the request were given to the operating system */
    uint64_t began_ms;      /* loop time; 0 where not reached: */
    uint64_t connected_ms;  /* connection ready */
    uint64_t first_byte_ms; /* of the answer */
    uint64_t body_bytes;    /* received, as given to on_data */
};
struct http_call_stats http_call_get_stats(const struct http_call *call);

struct http_client_stats {
    int n_idle, n_calls;
    uint64_t opened, reused, resent;
};
struct http_client_stats http_client_get_stats(const struct http_client *client);

#endif
