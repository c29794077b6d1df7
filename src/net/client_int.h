/* client_int.h - The structs of the HTTP client, and what its files ask of each other.
 *
 *   client.c    calls: start, cancel, timeouts, the end
 *   origin.c    whom we call: addresses, kept connections, TLS session
 *   upstream.c  a connection: tunnel, TLS, sending a request, reading its answer
 *
 *   call:  LOOKUP -> DIAL -> SETUP -> HEAD -> BODY -> OVER     (a kept connection begins at HEAD)
 *
 * Owner of everything: the loop's thread. */
#ifndef NET_CLIENT_INT_H
#define NET_CLIENT_INT_H

#include <zlib.h>

#include "base/str.h"
#include "net/client.h"
#include "net/conn_int.h"
#include "net/dial_int.h"

#define ORIGIN_BUCKETS      64
#define SCRATCH_BYTES       65536
#define CALLS_POOL_MAX      256
#define CALL_HEAD_BYTES_MAX (1u << 20)

struct lookup;

struct origin {
    struct http_client *client;
    struct origin *next; /* in its bucket */
    uint64_t hash;
    char *host;
    char *authority; /* as in Host: "name", "name:8080", "[::1]:8080" */
    uint16_t port;
    bool is_tls;
    const struct proxy_server *proxy;
    int n_uses;                     /* calls and connections that point here */
    struct upstream *idle, *oldest; /* kept connections, used last first */
    int n_idle;
    union dial_addr addrs[DIAL_ADDRS_MAX];
    int n_addrs;
    uint64_t addrs_until_ms;
    struct lookup *lookup;     /* under way, or NULL */
    struct http_call *waiting; /* for it */
    SSL_SESSION *session;
};

enum call_phase { CALL_LOOKUP, CALL_DIAL, CALL_SETUP, CALL_HEAD, CALL_BODY, CALL_OVER };

struct http_call {
    struct http_client *client;
    struct origin *origin;
    struct upstream *up;           /* from SETUP on */
    struct dial *dial;             /* during DIAL */
    struct http_call *next, *prev; /* all calls of the client, or the free list */
    struct http_call *next_waiting;
    struct http_call_callbacks on;
    void *user;
    struct buf head; /* the request's */
    struct str body; /* borrowed */
    size_t sent;     /* bytes of head and body given to the socket */
    int connect_ms, first_byte_ms, idle_ms;
    struct timer phase_timer, total_timer;
    struct loop_task turn_end; /* a result found inside http_call_start, or reading to go on */
    enum call_result pending;  /* that result */
    z_stream *inflater;        /* while a gzip body is read */
    bool inflate_is_done;
    uint8_t phase;
    bool is_to_head, accepts_gzip, is_paused, is_in_done;
    struct http_call_stats stats;
    char why[256];
};

enum upstream_phase { UP_TUNNEL, UP_HANDSHAKE, UP_ACTIVE, UP_IDLE, UP_CLOSED };

struct upstream {
    struct conn io; /* first */
    struct origin *origin;
    struct upstream *next, *prev;           /* in origin->idle, used last first */
    struct upstream *next_open, *prev_open; /* all of the client */
    struct http_call *call;
    struct timer idle_timer;
    struct buf in;     /* a head that has come in part */
    struct buf tunnel; /* the CONNECT request, as far as it is not sent */
    struct http_parser parser;
    struct http_body body;
    bool was_used;   /* has carried a call before this one */
    bool has_answer; /* a byte of the present answer has come */
    bool keep_alive; /* the answer allows another */
    bool has_extra;  /* more came than the answer: never use it again */
    bool is_blocked;
    bool send_broke; /* a write failed: told when it can be */
    uint8_t phase;
};

struct http_client {
    struct loop *loop;
    struct http_client_options opt;
    struct origin *origins[ORIGIN_BUCKETS];
    struct http_call *calls, *free_calls;
    /* Ended in this turn.  Reused only after it: code that has just called back compares
     * pointers to see whether its call is still the same. */
    struct http_call *ended_calls;
    struct loop_task recycle;
    struct upstream *open;
    int n_free_calls;
    int n_pending; /* things that libuv still knows: connections, dials, look-ups */
    bool is_freed;
    struct http_client_stats stats;
    struct http_head head; /* scratch: the head being read */
    char scratch[SCRATCH_BYTES];
};

/* client.c */
void client_free_if_last(struct http_client *client);
/* Ends the call: its connection is given back or closed, then on_done is called. */
void call_finish(struct http_call *call, enum call_result result, const char *why);
/* The same at the end of the turn, for where no callback may be called. */
void call_fail_later(struct http_call *call, enum call_result result, const char *why);
void call_got_addresses(struct http_call *call); /* of its origin: connect */
void call_start_idle_timer(struct http_call *call);
/* The whole request has been given to the socket, or a part of it. */
void call_start_first_byte_timer(struct http_call *call);
bool call_try_again(struct http_call *call); /* over a new connection; false: not allowed */

/* origin.c */
struct origin *origin_get(struct http_client *client, struct str host, uint16_t port, bool is_tls);
void origin_release(struct origin *o); /* frees it with the last use */
/* Asks for addresses unless there are fresh ones: 1 if there are, 0 if the call waits now, or an
 * error: then call->why says which. */
int origin_lookup(struct origin *o, struct http_call *call);
void origin_forget_addresses(struct origin *o);
void origin_stop_waiting(struct origin *o, struct http_call *call);
struct upstream *origin_take_idle(struct origin *o);
void origin_keep_idle(struct origin *o, struct upstream *up);
void origin_remove_idle(struct origin *o, struct upstream *up);
void origin_new_session(void *origin, SSL_SESSION *session);

/* upstream.c */
/* fd is connected; the call goes on over it (tunnel, TLS, request).  False without memory: fd is
 * closed. */
bool upstream_open(struct origin *o, int fd, struct http_call *call);
void upstream_begin_call(struct upstream *up, struct http_call *call); /* it is ready */
void upstream_watch(struct upstream *up);
void upstream_go_on(struct upstream *up); /* read, and see whether sending went wrong */
/* The call is done with it: kept if it can be used again, else closed. */
void upstream_release(struct upstream *up, bool is_complete);
void upstream_close(struct upstream *up);

#endif
