/* tls_test.c - Server and client over TLS, and both in a row as a proxy. */
#include "net/tls.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/client_int.h"
#include "net/server.h"
#include "net/testrig_int.h"

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;
static struct tls_server *tls_server;
static struct tls_client *tls_client;
static struct rig_cert cert;
static uint16_t port;
static int n_closed;
static size_t body_bytes;

static void on_closed(struct request *req)
{
    (void)req;
    n_closed++;
}

/* "/N" answers N bytes whole, "/stream/N" in pieces, "/hold" not at all. */
static void on_request(struct request *req, void *arg)
{
    (void)arg;
    struct str path = req->head->path;
    bool streams = str_starts(path, S("/stream"));
    uint64_t n = 0;
    req->on_closed = on_closed;
    body_bytes = req->body.n;
    CHECK(req->is_tls);
    if (str_eq(path, S("/hold")))
        return;
    str_to_u64(str_sub(path, streams ? 8 : 1, path.n), &n);
    char *text = arena_alloc(req->arena, n);
    REQUIRE(text);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 26);
    if (!streams) {
        request_respond(req, 200, NULL, 0, str_of(text, n));
        return;
    }
    request_start(req, 200, NULL, 0);
    for (size_t at = 0; at < n; at += 1000)
        request_write(req, str_sub(str_of(text, n), at, at + 1000));
    request_end(req);
}

static void open_rig(const char *cert_name)
{
    struct err err = {0};
    rig_cert_make(&cert, cert_name);
    loop = loop_create(&err);
    struct http_server_options so = {.handler.on_request = on_request};
    server = http_server_create(loop, &so, &err);
    tls_server = tls_server_create(cert.cert, cert.key, &err);
    tls_client = tls_client_create(cert.cert, &err);
    if (!tls_server || !tls_client)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    REQUIRE(loop && server && tls_server && tls_client);
    struct http_client_options co = {.tls = tls_client};
    client = http_client_create(loop, &co, &err);
    REQUIRE(client);
    REQUIRE(http_server_listen(server, raw_listen(&port), tls_server, &err) == OK);
}

static void close_rig(void)
{
    http_client_free(client);
    http_server_free(server);
    loop_free(loop);
    tls_client_free(tls_client);
    tls_server_free(tls_server);
    rig_cert_remove(&cert);
}

struct answer {
    int n_done;
    enum call_result result;
    size_t n;
    bool is_damaged;
    char why[256];
    struct http_call_stats stats;
};

static void on_data(struct http_call *call, struct str data)
{
    struct answer *a = http_call_user(call);
    for (size_t i = 0; i < data.n; i++)
        a->is_damaged |= data.p[i] != (char)('a' + (a->n + i) % 26);
    a->n += data.n;
}

static void on_done(struct http_call *call, enum call_result result, const char *why)
{
    struct answer *a = http_call_user(call);
    a->n_done++;
    a->result = result;
    a->stats = http_call_get_stats(call);
    snprintf(a->why, sizeof a->why, "%s", why);
}

static struct http_call *start(struct answer *a, struct str host, struct str target, struct str body)
{
    struct http_call_options o = {.host = host,
                                  .port = port,
                                  .is_tls = true,
                                  .method = S("POST"),
                                  .target = target,
                                  .body = body,
                                  .connect_ms = 5000,
                                  .callbacks = {NULL, on_data, on_done},
                                  .user = a};
    *a = (struct answer){0};
    return http_call_start(client, &o);
}

static void call(struct answer *a, struct str host, struct str target, enum call_result want)
{
    start(a, host, target, S("{}"));
    CHECK(rig_until(loop, &a->n_done, 1));
    if (a->result != want)
        test_fail(__FILE__, __LINE__, "%s: %s", call_result_name(a->result), a->why);
}

TEST(bodies_of_all_sizes_cross_tls)
{
    open_rig(NULL);
    static const struct {
        struct str target;
        size_t n;
    } sizes[] = {{{"/0", 2}, 0},         {{"/1", 2}, 1},
                 {{"/16384", 6}, 16384}, {{"/1000000", 8}, 1000000},
                 {{"/stream/0", 9}, 0},  {{"/stream/300000", 14}, 300000}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct answer a;
        call(&a, S("localhost"), sizes[i].target, CALL_OK);
        CHECK_INT(a.n, sizes[i].n);
        CHECK(!a.is_damaged);
        CHECK(a.stats.is_reused == (i > 0));
    }
    struct buf big;
    buf_init(&big, 4u << 20);
    for (int i = 0; i < 100000; i++)
        buf_puts(&big, "0123456789");
    struct answer a;
    start(&a, S("localhost"), S("/3"), buf_str(&big));
    CHECK(rig_until(loop, &a.n_done, 1));
    CHECK_INT(a.result, CALL_OK);
    CHECK_INT(body_bytes, 1000000);
    buf_deinit(&big);
    close_rig();
}

TEST(a_new_connection_takes_up_the_last_session)
{
    open_rig(NULL);
    struct answer a;
    call(&a, S("localhost"), S("/1"), CALL_OK);
    REQUIRE(client->open);
    CHECK(!SSL_session_reused(client->open->io.ssl));
    upstream_close(client->open);
    rig_turn(loop, 5);
    /* The origin was forgotten with its last connection, and the session with it: so keep one. */
    struct answer b, c;
    start(&b, S("localhost"), S("/1"), S("{}"));
    start(&c, S("localhost"), S("/1"), S("{}"));
    CHECK(rig_until(loop, &b.n_done, 1) && rig_until(loop, &c.n_done, 1));
    upstream_close(client->open);
    CHECK_INT(http_client_get_stats(client).n_idle, 1);
    struct http_call *held = start(&a, S("localhost"), S("/hold"), S("{}")); /* takes the other */
    call(&b, S("localhost"), S("/1"), CALL_OK);
    CHECK(!b.stats.is_reused);
    CHECK(SSL_session_reused(client->open->io.ssl));
    http_call_cancel(held);
    close_rig();
}

TEST(names_and_addresses_are_verified)
{
    open_rig(NULL);
    struct answer a;
    call(&a, S("127.0.0.1"), S("/1"), CALL_OK);
    close_rig();
    open_rig("other.test");
    call(&a, S("localhost"), S("/1"), CALL_TLS);
    CHECK(strstr(a.why, "not trusted") != NULL);
    CHECK(!a.stats.was_sent);
    call(&a, S("127.0.0.1"), S("/1"), CALL_TLS);
    close_rig();
}

TEST(a_self_made_authority_is_not_trusted)
{
    open_rig(NULL);
    struct err err;
    struct tls_client *system = tls_client_create(NULL, &err);
    REQUIRE(system);
    struct http_client_options co = {.tls = system};
    struct http_client *trusted = client;
    client = http_client_create(loop, &co, &err);
    struct answer a;
    call(&a, S("localhost"), S("/1"), CALL_TLS);
    http_client_free(client);
    client = trusted;
    close_rig();
    tls_client_free(system);
}

TEST(a_certificate_can_be_exchanged)
{
    open_rig(NULL);
    struct rig_cert other;
    struct err err;
    struct answer a;
    rig_cert_make(&other, "other.test");
    call(&a, S("localhost"), S("/1"), CALL_OK);
    CHECK_INT(tls_server_reload(tls_server, "/nonexistent", other.key, &err), ERR_FORMAT);
    CHECK(strstr(err.text, "/nonexistent") != NULL);
    CHECK_INT(tls_server_reload(tls_server, cert.cert, other.key, &err), ERR_FORMAT);
    CHECK_INT(tls_server_reload(tls_server, other.cert, other.key, &err), OK);
    call(&a, S("localhost"), S("/1"), CALL_OK); /* the kept connection has the old one */
    call(&a, S("127.0.0.1"), S("/1"), CALL_TLS);
    rig_cert_remove(&other);
    close_rig();
}

TEST(a_client_that_leaves_is_noticed_over_tls)
{
    open_rig(NULL);
    struct answer a;
    call(&a, S("localhost"), S("/1"), CALL_OK);
    struct http_call *held = start(&a, S("localhost"), S("/hold"), S("{}"));
    rig_turn(loop, 20);
    CHECK_INT(n_closed, 0);
    http_call_cancel(held);
    CHECK(rig_until(loop, &n_closed, 1));
    close_rig();
}

TEST(plain_http_on_a_tls_port_is_refused)
{
    open_rig(NULL);
    int fd = raw_connect(port);
    struct buf got;
    buf_init(&got, 1 << 20);
    raw_send(loop, fd, S("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK(raw_read(loop, fd, &got, NULL));
    CHECK(str_find(buf_str(&got), S("HTTP"), 0) == STR_NONE);
    buf_deinit(&got);
    close(fd);
    close_rig();
}

/* A tunnel: the proxy's own answer, then the bytes of both sides. */
TEST(tls_goes_through_a_tunnel)
{
    open_rig(NULL);
    struct err err;
    uint16_t proxy_port;
    int listener = raw_listen(&proxy_port);
    char url[64];
    snprintf(url, sizeof url, "127.0.0.1:%u", proxy_port);
    struct proxy_rules *rules = proxy_rules_create(str_c(url), S(""), S(""), &err);
    REQUIRE(rules);
    struct http_client_options co = {.tls = tls_client, .proxies = rules};
    http_client_free(client);
    client = http_client_create(loop, &co, &err);
    struct answer a;
    start(&a, S("sluice.test"), S("/100000"), S("{}"));
    int near = raw_accept(loop, listener);
    struct buf got;
    buf_init(&got, 1 << 20);
    CHECK(raw_read(loop, near, &got, "\r\n\r\n"));
    char want[64];
    snprintf(want, sizeof want, "CONNECT sluice.test:%u HTTP/1.1\r\n", port);
    CHECK(str_starts(buf_str(&got), str_c(want)));
    raw_send(loop, near, S("HTTP/1.1 200 Connection established\r\n\r\n"));
    int far = raw_connect(port);
    while (!a.n_done) {
        char piece[4096];
        ssize_t n = recv(near, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0)
            raw_send(loop, far, str_of(piece, (size_t)n));
        n = recv(far, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0)
            raw_send(loop, near, str_of(piece, (size_t)n));
        loop_run_once(loop, 1);
    }
    CHECK_INT(a.result, CALL_OK);
    CHECK_INT(a.n, 100000);
    CHECK(!a.is_damaged);
    start(&a, S("denied.test"), S("/1"), S("{}"));
    int denied = raw_accept(loop, listener);
    CHECK(raw_read(loop, denied, &got, "denied.test"));
    raw_send(loop, denied, S("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"));
    CHECK(rig_until(loop, &a.n_done, 1));
    CHECK_INT(a.result, CALL_PROXY);
    CHECK(strstr(a.why, "403") != NULL);
    close(near);
    close(far);
    close(denied);
    close(listener);
    buf_deinit(&got);
    close_rig();
    proxy_rules_free(rules);
}

/* ------------------------------------------------------------- many threads */

enum { THREADS = 3, CALLS_EACH = 20 };

struct worker {
    pthread_t thread;
    int listener; /* its own of the shared port, or -1: a client */
    struct loop *loop;
    int n_left, n_ok;
    struct http_client *client;
};

static void serve_one(struct request *req, void *arg)
{
    (void)arg;
    request_respond(req, 200, NULL, 0, S("abc"));
}

static void *serve(void *arg)
{
    struct worker *w = arg;
    struct err err;
    struct http_server_options so = {.handler.on_request = serve_one};
    struct http_server *s = http_server_create(w->loop, &so, &err);
    if (s && http_server_listen(s, w->listener, tls_server, &err) == OK)
        loop_run(w->loop);
    http_server_free(s);
    loop_free(w->loop);
    return NULL;
}

static void call_next(struct worker *w);

static void one_done(struct http_call *call, enum call_result result, const char *why)
{
    (void)why;
    struct worker *w = http_call_user(call);
    w->n_ok += result == CALL_OK;
    if (--w->n_left > 0)
        call_next(w);
    else
        loop_stop(w->loop);
}

static void call_next(struct worker *w)
{
    struct http_header close_it = {S("connection"), S("close")};
    struct http_call_options o = {.host = S("localhost"),
                                  .port = port,
                                  .is_tls = true,
                                  .method = S("GET"),
                                  .target = S("/3"),
                                  .headers = &close_it,
                                  .n_headers = w->n_left % 2,
                                  .callbacks.on_done = one_done,
                                  .user = w};
    if (!http_call_start(w->client, &o))
        loop_stop(w->loop);
}

static void *keep_calling(void *arg)
{
    struct worker *w = arg;
    struct err err;
    struct http_client_options co = {.tls = tls_client};
    w->client = http_client_create(w->loop, &co, &err);
    w->n_left = CALLS_EACH;
    call_next(w);
    loop_run(w->loop);
    http_client_free(w->client);
    loop_free(w->loop);
    return NULL;
}

TEST(several_threads_share_a_port_and_its_certificate)
{
    struct err err;
    struct worker servers[THREADS], clients[THREADS];
    int fds[THREADS];
    rig_cert_make(&cert, NULL);
    tls_server = tls_server_create(cert.cert, cert.key, &err);
    tls_client = tls_client_create(cert.cert, &err);
    REQUIRE(tls_server && tls_client);
    CHECK_INT(addr_listen(S("127.0.0.1"), 0, THREADS, fds, THREADS, &port, &err), 1);
    for (int i = 0; i < THREADS; i++) {
        servers[i] = (struct worker){.listener = fds[i], .loop = loop_create(&err)};
        clients[i] = (struct worker){.listener = -1, .loop = loop_create(&err)};
        REQUIRE(servers[i].loop && clients[i].loop);
        REQUIRE(pthread_create(&servers[i].thread, NULL, serve, &servers[i]) == 0);
        REQUIRE(pthread_create(&clients[i].thread, NULL, keep_calling, &clients[i]) == 0);
    }
    CHECK_INT(tls_server_reload(tls_server, cert.cert, cert.key, &err), OK); /* meanwhile */
    for (int i = 0; i < THREADS; i++) {
        pthread_join(clients[i].thread, NULL);
        CHECK_INT(clients[i].n_ok, CALLS_EACH);
    }
    for (int i = 0; i < THREADS; i++) {
        loop_stop(servers[i].loop);
        pthread_join(servers[i].thread, NULL);
    }
    tls_client_free(tls_client);
    tls_server_free(tls_server);
    rig_cert_remove(&cert);
}
