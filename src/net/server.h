/* server.h - The HTTP/1.1 server of one loop thread.
 *
 *     int fds[4];
 *     addr_listen(host, port, n_threads, fds, ...);            one socket per thread
 *     struct http_server *s = http_server_create(loop, &options, err);
 *     http_server_listen(s, fds[thread], NULL, err);
 *
 * The handler gets each request when it is complete, answers it now or at any later time on
 * the loop's thread, whole (request_respond) or as a stream (request_start, request_write ...,
 * request_end).  A client that hangs up is noticed at once, also when nothing has been answered
 * yet: on_closed.  Requests that a client sends ahead (pipelining) are served one after the
 * other.  A client that shuts down only its sending side counts as gone.
 *
 * Life of a struct request: from on_head or on_request until the handler calls
 * request_respond, request_end or request_abort, or until on_closed has returned, whichever is
 * first.  Afterwards the pointer and everything in its arena are gone.  No callback is ever
 * called from inside a request_... function. */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_server;
struct request;

/* Plays the client in simulations: gets what the handler answers instead of a connection. */
struct request_sink {
    void (*respond)(struct request *req, int status, const struct http_header *headers, int n_headers,
                    struct str body);
    void (*start)(struct request *req, int status, const struct http_header *headers, int n_headers);
    bool (*write)(struct request *req, struct str bytes); /* false: REQUEST_FULL */
    void (*end)(struct request *req);
    void (*abort)(struct request *req);
};

struct request {
    const struct request_sink *sink; /* NULL but in simulations */
    const struct http_head *head;    /* slices live as long as the request */
    struct str body;                 /* complete when on_request is called; n == 0 if there was none */
    struct arena *arena;             /* of this request */
    struct loop *loop;
    struct str peer;         /* "1.2.3.4:5678" */
    bool is_tls;             /* the client came over TLS */
    uint64_t began_ms;       /* loop time at its first byte */
    uint64_t body_bytes_max; /* on_head may lower or raise it; above it the client gets 413 */

    /* The handler's.  Set them in on_head or on_request. */
    void *user;
    void (*on_closed)(struct request *req); /* the client is gone; NULL: not interested */
    void (*on_drain)(struct request *req);  /* after REQUEST_FULL: write on */
};

struct http_handler {
    /* The head has come, the body has not.  May answer already (then the body is not read and
     * the connection is closed after the answer).  NULL: not interested. */
    void (*on_head)(struct request *req, void *arg);
    /* The request is complete.  Not called for one that on_head answered. */
    void (*on_request)(struct request *req, void *arg);
    /* The server itself refuses a message (400, 408, 413, 431, 501, 505, 417): append the body
     * of the answer to `out` and set *content_type.  head is NULL if none could be read.
     * NULL: a small JSON object with the message. */
    void (*write_refusal)(struct buf *out, struct str *content_type, const struct http_head *head, int status,
                          struct str message, void *arg);
};

/* Zero means the default in brackets. */
struct http_server_options {
    struct http_handler handler;
    void *arg;
    size_t head_bytes_max;   /* [64 KiB, which is also the most] */
    uint64_t body_bytes_max; /* [32 MiB] */
    size_t arena_bytes_max;  /* of one request's arena [64 MiB] */
    size_t held_bytes_high;  /* request_write answers REQUEST_FULL from here on [512 KiB] */
    size_t held_bytes_low;   /* on_drain below this [128 KiB] */
    int connections_max;     /* of this server; more are left in the accept queue [16384] */
    int idle_timeout_ms;     /* between requests of one connection [75 s] */
    int head_timeout_ms;     /* from the connection or first byte to the complete head [15 s] */
    int body_timeout_ms;     /* each of these windows brings 16 KiB of body or the end [30 s] */
    int send_timeout_ms;     /* with bytes held and none taken by the client [60 s] */
};

struct http_server *http_server_create(struct loop *loop, const struct http_server_options *options,
                                       struct err *err);

/* Accept on `fd`, a listening socket (addr_listen), which is now the server's; on failure it is
 * still the caller's.  tls NULL: plain HTTP. */
int http_server_listen(struct http_server *server, int fd, struct tls_server *tls, struct err *err);

/* Stops accepting, closes idle connections, lets running requests end (their answers say
 * "Connection: close").  on_drained is called when none is left (maybe before this returns to
 * the loop, never inside this call); what runs after deadline_ms is cut off then: its
 * on_closed is called first.  deadline_ms 0 cuts at once. */
void http_server_drain(struct http_server *server, uint64_t deadline_ms,
                       void (*on_drained)(struct http_server *server, void *arg), void *arg);

/* Cuts off what is left (on_closed is called for it) and frees.  The memory goes when the loop
 * has closed its descriptors: run it once more (loop_free does).  Accepts NULL. */
void http_server_free(struct http_server *server);

struct http_server_stats {
    int n_connections; /* open now */
    int n_requests;    /* being served now */
    uint64_t accepted, served, refused, closed_by_client;
    uint64_t accept_pauses; /* for want of descriptors or by connections_max */
};
struct http_server_stats http_server_get_stats(const struct http_server *server);

/* --------------------------------------------------------------- answers */

/* The whole answer.  Content-Length, Date and Connection are added; the caller gives the rest.
 * headers and body are borrowed for the call. */
void request_respond(struct request *req, int status, const struct http_header *headers, int n_headers,
                     struct str body);

/* Begin a stream: chunked for HTTP/1.1, until close for 1.0.  Nothing is sent before the end of
 * this turn or the first write, so that head and first bytes travel together. */
void request_start(struct request *req, int status, const struct http_header *headers, int n_headers);

enum request_result {
    REQUEST_OK,
    REQUEST_FULL /* taken, but the client reads slowly: stop until on_drain is called */
};

/* Takes a copy of all bytes (an empty write does nothing); they leave together at the end of
 * the turn.  Who goes on after REQUEST_FULL makes the memory grow. */
enum request_result request_write(struct request *req, struct str bytes);

/* The proper end of a stream. */
void request_end(struct request *req);

/* The stream (or the unanswered request) cannot be finished: what was written is still sent,
 * then the connection is closed without a proper end, which every client sees as an error. */
void request_abort(struct request *req);

/* Bytes written and not yet taken by the operating system. */
size_t request_held_bytes(const struct request *req);

#endif
