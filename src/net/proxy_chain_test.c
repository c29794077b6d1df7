/* proxy_chain_test.c - Server and client in a row, as a gateway uses them: what a slow or leaving
 * client does to the upstream, and how much is held in between. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rand.h"
#include "net/client.h"
#include "net/server.h"
#include "net/testrig_int.h"

struct relay {
    struct request *req;
    struct http_call *call;
    bool is_started;
};

static struct loop *loop;
static struct http_client *client;
static struct http_server *server;
static uint16_t port, upstream_port;
static int upstream_listener, n_closed, n_done, n_full;
static size_t most_held;
static enum call_result last_result;

static void on_response(struct http_call *call, const struct http_head *head)
{
    struct relay *x = http_call_user(call);
    x->is_started = true;
    request_start(x->req, head->status, NULL, 0);
}

static void on_data(struct http_call *call, struct str data)
{
    struct relay *x = http_call_user(call);
    if (request_write(x->req, data) == REQUEST_FULL) {
        n_full++;
        http_call_pause(call);
    }
    size_t held = request_held_bytes(x->req);
    most_held = held > most_held ? held : most_held;
}

static void on_done(struct http_call *call, enum call_result result, const char *why)
{
    struct relay *x = http_call_user(call);
    n_done++;
    last_result = result;
    if (result == CALL_OK)
        request_end(x->req);
    else if (x->is_started)
        request_abort(x->req);
    else
        request_respond(x->req, 502, NULL, 0, str_c(why));
}

static void on_closed(struct request *req)
{
    struct relay *x = req->user;
    n_closed++;
    http_call_cancel(x->call);
}

static void on_drain(struct request *req)
{
    http_call_resume(((struct relay *)req->user)->call);
}

static void on_request(struct request *req, void *arg)
{
    (void)arg;
    struct relay *x = arena_new(req->arena, struct relay);
    REQUIRE(x);
    x->req = req;
    req->user = x;
    req->on_closed = on_closed;
    req->on_drain = on_drain;
    struct http_call_options o = {.host = S("127.0.0.1"),
                                  .port = upstream_port,
                                  .method = req->head->method_name,
                                  .target = req->head->target,
                                  .body = req->body,
                                  .callbacks = {on_response, on_data, on_done},
                                  .user = x};
    x->call = http_call_start(client, &o);
    REQUIRE(x->call);
}

static void open_chain(void)
{
    struct err err;
    loop = loop_create(&err);
    struct http_server_options so = {.handler.on_request = on_request};
    server = http_server_create(loop, &so, &err);
    client = http_client_create(loop, NULL, &err);
    REQUIRE(loop && server && client);
    REQUIRE(http_server_listen(server, raw_listen(&port), NULL, &err) == OK);
    upstream_listener = raw_listen(&upstream_port);
}

static void close_chain(void)
{
    close(upstream_listener);
    http_server_free(server);
    http_client_free(client);
    loop_free(loop);
}

/* One request on its way: the client's and the upstream's ends. */
static void begin(int *near, int *far, struct buf *got)
{
    *near = raw_connect(port);
    raw_send(loop, *near, S("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    *far = raw_accept(loop, upstream_listener);
    buf_init(got, 64u << 20);
    CHECK(raw_read(loop, *far, got, "\r\n\r\n"));
    buf_clear(got);
}

TEST(a_leaving_client_ends_the_upstream_call_at_once)
{
    open_chain();
    int near, far;
    struct buf got;
    begin(&near, &far, &got);
    uint64_t left_ms = loop_now_ms(loop);
    close(near);
    CHECK(raw_read(loop, far, &got, NULL)); /* before its first byte */
    CHECK(loop_now_ms(loop) - left_ms < 100);
    CHECK_INT(n_closed, 1);
    close(far);
    buf_deinit(&got);
    begin(&near, &far, &got);
    raw_send(loop, far, S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"));
    CHECK(raw_read(loop, near, &got, "1\r\na\r\n"));
    close(near);
    CHECK(raw_read(loop, far, &got, NULL)); /* in mid-stream */
    CHECK_INT(n_closed, 2);
    CHECK_INT(n_done, 0);
    close(far);
    buf_deinit(&got);
    close_chain();
}

TEST(a_broken_upstream_is_an_error_for_the_client)
{
    open_chain();
    int near, far;
    struct buf got;
    begin(&near, &far, &got);
    raw_send(loop, far, S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    close(far);
    CHECK(raw_read(loop, near, &got, NULL));
    CHECK(str_ends(buf_str(&got), S("o\r\n"))); /* all that came, maybe in chunks of one byte */
    CHECK(!str_ends(buf_str(&got), S("0\r\n\r\n")));
    CHECK_INT(last_result, CALL_TRUNCATED);
    close(near);
    buf_deinit(&got);
    begin(&near, &far, &got);
    close(far);
    CHECK(raw_read(loop, near, &got, "HTTP/1.1 502"));
    close(near);
    buf_deinit(&got);
    close_chain();
}

TEST(a_slow_client_slows_the_upstream_and_little_is_held)
{
#ifdef SLUICE_HOSTILE
    test_skip("30 MB one byte at a time take minutes");
#endif
    enum { TOTAL = 30000000 };
    open_chain();
    int near, far;
    struct buf got;
    begin(&near, &far, &got);
    raw_send(loop, far, S("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n"));
    static char piece[60000];
    memset(piece, 'x', sizeof piece);
    size_t sent = 0;
    for (int idle = 0; idle < 50 && sent < TOTAL;) {
        size_t n = TOTAL - sent < sizeof piece ? TOTAL - sent : sizeof piece;
        ssize_t k = send(far, piece, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += k > 0 ? (size_t)k : 0;
        idle = k > 0 ? 0 : idle + 1;
        loop_run_once(loop, k > 0 ? 0 : 1);
    }
    CHECK(sent < TOTAL);             /* the upstream feels it */
    CHECK(most_held <= 1024 * 1024); /* and this is all that is held for it */
    CHECK(n_full > 0);
    size_t taken = 0;
    while (taken < TOTAL + 200 && n_done == 0) {
        char sink[65536];
        ssize_t k = recv(near, sink, sizeof sink, MSG_DONTWAIT);
        taken += k > 0 ? (size_t)k : 0;
        if (sent < TOTAL) {
            size_t n = TOTAL - sent < sizeof piece ? TOTAL - sent : sizeof piece;
            ssize_t m = send(far, piece, n, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += m > 0 ? (size_t)m : 0;
        }
        loop_run_once(loop, k > 0 ? 0 : 1);
    }
    CHECK_INT(last_result, CALL_OK);
    CHECK(raw_read(loop, near, &got, "\r\n0\r\n\r\n"));
    CHECK(most_held <= 1024 * 1024);
    close(near);
    close(far);
    buf_deinit(&got);
    close_chain();
}

/* --------------------------------------------------- everything at random */

enum { PEERS = 24, STEPS = 6000 };

static int near_fd[PEERS], far_fd[PEERS];

static void drop(struct rng *rng, int *fd)
{
    if (rng_below(rng, 2)) {
        struct linger reset = {1, 0};
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(*fd);
    *fd = -1;
}

static void say(struct rng *rng, int fd, struct str text)
{
    if (rng_below(rng, 5) == 0) /* only a part of it */
        text = str_sub(text, 0, (size_t)rng_below(rng, text.n + 1));
    (void)!send(fd, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hear(int fd)
{
    char sink[40000];
    (void)!recv(fd, sink, sizeof sink, MSG_DONTWAIT);
}

#define TEXT(lit)                                                                                            \
    {                                                                                                        \
        lit, sizeof(lit) - 1                                                                                 \
    }

static void move_client(struct rng *rng, int *fd)
{
    static const struct str texts[] = {
        TEXT("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        TEXT("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        TEXT("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        TEXT("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.0\r\n\r\n"),
        TEXT("nonsense\r\n\r\n"),
    };
    if (*fd < 0) {
        *fd = raw_connect(port);
        return;
    }
    switch (rng_below(rng, 8)) {
    case 0: drop(rng, fd); break;
    case 1:
    case 2:
    case 3: say(rng, *fd, texts[rng_below(rng, sizeof texts / sizeof texts[0])]); break;
    default: hear(*fd); break;
    }
}

static void move_upstream(struct rng *rng, int *fd)
{
    static char large[200000] = "HTTP/1.1 200 OK\r\nContent-Length: 199000\r\n\r\n";
    static const struct str texts[] = {
        TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        TEXT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        TEXT("HTTP/1.0 200 OK\r\n\r\nuntil"),
        TEXT("garbage\r\n\r\n"),
    };
    if (*fd < 0) {
        *fd = accept4(upstream_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return;
    }
    switch (rng_below(rng, 8)) {
    case 0: drop(rng, fd); break;
    case 1:
    case 2: say(rng, *fd, texts[rng_below(rng, sizeof texts / sizeof texts[0])]); break;
    case 3: say(rng, *fd, str_of(large, 199043)); break;
    default: hear(*fd); break;
    }
}

/* Nothing is leaked, nothing is counted twice, nobody waits for ever: whatever both sides do. */
TEST(clients_and_upstreams_at_random)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rng rng = rng_seeded(seed);
        open_chain();
        for (int i = 0; i < PEERS; i++)
            near_fd[i] = far_fd[i] = -1;
        for (int step = 0; step < STEPS; step++) {
            move_client(&rng, &near_fd[rng_below(&rng, PEERS)]);
            move_upstream(&rng, &far_fd[rng_below(&rng, PEERS)]);
            if (rng_below(&rng, 3) == 0)
                loop_run_once(loop, 0);
        }
        CHECK(http_server_get_stats(server).served > 20);
        for (int i = 0; i < PEERS; i++) {
            if (near_fd[i] >= 0)
                close(near_fd[i]);
            if (far_fd[i] >= 0)
                close(far_fd[i]);
        }
        for (int i = 0; i < 2000 && http_server_get_stats(server).n_connections; i++)
            loop_run_once(loop, 1);
        CHECK_INT(http_server_get_stats(server).n_connections, 0);
        CHECK_INT(http_server_get_stats(server).n_requests, 0);
        CHECK_INT(http_client_get_stats(client).n_calls, 0);
        close_chain();
    }
}
