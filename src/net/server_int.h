/* server_int.h - The structs of the HTTP server, and what its files ask of each other.
 *
 *   server.c         listening, accepting, draining, pools
 *   server_conn.c    a connection: reading, phases, timeouts, hang-ups
 *   server_answer.c  request_respond ... : what goes out
 *
 * A connection's life is a row of phases:
 *
 *   HANDSHAKE -> HEAD -> BODY -> BUSY -> FLUSHING -> HEAD ...
 *                  \______\________\_________\____-> LINGERING -> closed
 *
 * HEAD waits for a head (idle if nothing has come), BODY reads it, BUSY has a request at the
 * handler, FLUSHING has a finished answer that the client has not taken yet, LINGERING reads
 * and drops what the client still sends so that it can read our last answer.
 *
 * Owner of everything: the loop's thread. */
#ifndef NET_SERVER_INT_H
#define NET_SERVER_INT_H

#include "net/addr.h"
#include "net/conn_int.h"
#include "net/server.h"

#define IN_BLOCK_BYTES    16384
#define OUT_BYTES_MAX     ((size_t)1 << 32)
#define OUT_FLUSH_BYTES   65536 /* more than this is written before the turn's end */
#define OUT_KEEP_BYTES    65536 /* a buffer that grew larger is freed when it is empty */
#define LINGER_MS         2000
#define LINGER_BYTES_MAX  (1u << 20)
#define BODY_WINDOW_BYTES 16384
#define POOL_MAX          256

enum sconn_phase { HANDSHAKE, HEAD, BODY, BUSY, FLUSHING, LINGERING, GONE };

/* A request and what belongs to it; pooled. */
struct served {
    struct request req; /* first: a struct request * is one of these */
    struct sconn *conn;
    struct served *next_free;
    struct http_head head;
    struct arena arena;
    struct buf body;      /* unless the body lies behind the head in conn->in */
    bool is_with_handler; /* on_head or on_request was called */
    bool is_started;      /* request_start was called */
    bool is_chunked;      /* the stream is */
    bool is_full;         /* REQUEST_FULL was answered, on_drain is due */
};

struct sconn {
    struct conn io; /* first */
    struct http_server *server;
    struct sconn *next, *prev; /* the server's connections */
    struct served *req;        /* from the first byte of a request to its last answer */
    struct timer timer;        /* meaning: see on_timeout() */
    struct loop_task turn_end; /* flush, then go on */

    /* Bytes of the present request, maybe followed by those of the next.  Never moved while a
     * request's slices point into it. */
    char *in;
    size_t in_n, in_cap;
    size_t in_used; /* bytes of the present request: head, and body as far as it was read here */
    size_t in_head; /* bytes of its head */
    struct http_parser parser;
    struct http_body body;
    uint64_t body_window_bytes; /* came since the timer was started */

    struct buf out;
    size_t out_sent; /* bytes at the front of `out` that are gone already */
    uint32_t linger_bytes;
    uint8_t phase;
    bool is_head_timed; /* the timer limits the present head */
    bool is_blocked;    /* the socket takes no more: waiting for WRITABLE */
    bool is_broken;     /* a write failed inside a request_... call: told at turn's end */
    bool closes_after;  /* when `out` is empty */
    bool lingers;       /* ... after reading what the client still sends */
    bool resets;        /* ... by a reset */
    char peer[ADDR_TEXT_MAX];
};

struct listener {
    uv_poll_t poll;
    struct http_server *server;
    struct listener *next;
    struct tls_server *tls;
    int fd;
    bool is_armed;
};

struct http_server {
    struct loop *loop;
    struct http_server_options opt;
    struct listener *listeners;
    struct sconn *conns;
    struct served *free_served;
    char *free_blocks; /* linked through their first bytes */
    int n_free_served, n_free_blocks;
    int n_handles; /* listeners and connections that libuv still knows */
    struct timer accept_timer, drain_timer;
    struct loop_task drained_task;
    void (*on_drained)(struct http_server *, void *);
    void *drained_arg;
    struct buf head_out; /* scratch: the head being written */
    char date[40];       /* "date: ...\r\n" of date_s */
    size_t date_n;
    int64_t date_s;
    uint64_t date_ms; /* loop time when date_s was read */
    bool is_draining, is_freed, is_accept_paused;
    struct http_server_stats stats;
};

/* server.c */
struct served *server_take_request(struct http_server *s, struct sconn *c);
void server_give_request(struct http_server *s, struct served *r);
char *server_take_block(struct http_server *s);
void server_give_block(struct http_server *s, char *block);
void server_conn_is_gone(struct sconn *c); /* its memory ends here */
struct str server_date(struct http_server *s);

/* server_conn.c */
int sconn_open(struct http_server *s, int fd, const struct sockaddr *peer, struct tls_server *tls);
void sconn_close(struct sconn *c);           /* now; tells the handler that its client is gone */
void sconn_request_is_over(struct sconn *c); /* the answer is complete in `out` or written */
bool sconn_has_whole_request(const struct sconn *c);
bool sconn_may_keep(const struct sconn *c); /* the connection, after the present request */
bool sconn_is_idle(const struct sconn *c);
void sconn_cut_off(struct sconn *c);

/* server_answer.c */
/* Sends what is held.  False: the connection is broken. */
bool sconn_flush(struct sconn *c);
/* Answers by ourselves and closes. */
void sconn_refuse(struct sconn *c, int status, const char *message);
size_t sconn_held(const struct sconn *c);

#endif
