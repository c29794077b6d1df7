/* client_test.c - The HTTP client against raw upstreams that behave and misbehave. */
#include "net/client.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "net/server.h"
#include "net/testrig_int.h"

/* What one call has brought. */
struct answer {
    struct http_call *call;
    int status, n_responses, n_done;
    enum call_result result;
    struct buf body;
    char why[256];
    struct http_call_stats stats;
    bool cancels_at_response, cancels_at_data, pauses_at_data;
    struct answer *then; /* a call to start inside on_done */
};

static struct loop *loop;
static struct http_client *client;
static int listener;
static uint16_t port;

/* Whose bodies close_client frees. */
static struct answer *started[64];
static int n_started;

static void open_client(struct http_client_options o)
{
    struct err err;
    loop = loop_create(&err);
    REQUIRE(loop);
    client = http_client_create(loop, &o, &err);
    REQUIRE(client);
    listener = raw_listen(&port);
}

static void close_client(void)
{
    close(listener);
    http_client_free(client);
    loop_free(loop);
    while (n_started > 0)
        buf_deinit(&started[--n_started]->body);
}

static void on_response(struct http_call *call, const struct http_head *head)
{
    struct answer *a = http_call_user(call);
    a->status = head->status;
    a->n_responses++;
    if (a->cancels_at_response)
        http_call_cancel(call);
}

static void on_data(struct http_call *call, struct str data)
{
    struct answer *a = http_call_user(call);
    buf_str_add(&a->body, data);
    if (a->cancels_at_data)
        http_call_cancel(call);
    else if (a->pauses_at_data)
        http_call_pause(call);
}

static void start(struct answer *a, struct http_call_options o);

static void on_done(struct http_call *call, enum call_result result, const char *why)
{
    struct answer *a = http_call_user(call);
    a->n_done++;
    a->result = result;
    snprintf(a->why, sizeof a->why, "%s", why);
    a->stats = http_call_get_stats(call);
    if (a->then)
        start(a->then, (struct http_call_options){0});
}

static void start(struct answer *a, struct http_call_options o)
{
    if (!o.host.p)
        o.host = S("127.0.0.1");
    if (!o.port)
        o.port = port;
    if (!o.method.p)
        o.method = S("GET");
    if (!o.target.p)
        o.target = S("/x");
    o.callbacks = (struct http_call_callbacks){on_response, on_data, on_done};
    o.user = a;
    buf_init(&a->body, 64u << 20);
    REQUIRE(n_started < 64);
    started[n_started++] = a;
    a->call = http_call_start(client, &o);
    REQUIRE(a->call);
    CHECK_INT(a->n_done, 0); /* never from inside */
}

static void expect(struct answer *a, enum call_result want)
{
    CHECK(rig_until(loop, &a->n_done, 1));
    if (a->result != want)
        test_fail(__FILE__, __LINE__, "%s (%s), expected %s", call_result_name(a->result), a->why,
                  call_result_name(want));
    if (want != CALL_OK)
        CHECK(a->why[0] != 0);
}

/* Reads a request's head on an accepted connection. */
static struct buf request;
static void await_request(int fd)
{
    if (!request.max)
        buf_init(&request, 1 << 20);
    buf_clear(&request);
    CHECK(raw_read(loop, fd, &request, "\r\n\r\n"));
}

static const struct http_client_options plain;

/* One call over a new connection whose upstream answers `text` and then ends (or not). */
static void exchange(struct answer *a, struct str text, bool ends, struct http_call_options o)
{
    start(a, o);
    int fd = raw_accept(loop, listener);
    await_request(fd);
    raw_send(loop, fd, text);
    if (ends)
        close(fd);
    CHECK(rig_until(loop, &a->n_done, 1));
    if (!ends)
        close(fd);
    rig_turn(loop, 5); /* a kept connection ends with its upstream */
    CHECK_INT(http_client_get_stats(client).n_idle, 0);
}

static struct answer get(struct str text, bool ends)
{
    static struct answer a; /* results are read before the next one */
    buf_deinit(&a.body);
    a = (struct answer){0};
    exchange(&a, text, ends, (struct http_call_options){0});
    return a;
}

TEST(bodies_of_all_kinds_are_read)
{
    open_client(plain);
    struct answer a = get(S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), false);
    CHECK_INT(a.result, CALL_OK);
    CHECK_STR(buf_str(&a.body), S("hello"));
    CHECK_INT(a.status, 200);
    a = get(S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
            false);
    CHECK_INT(a.result, CALL_OK);
    CHECK_STR(buf_str(&a.body), S("hello"));
    a = get(S("HTTP/1.0 200 OK\r\n\r\nuntil the end"), true);
    CHECK_INT(a.result, CALL_OK);
    CHECK_STR(buf_str(&a.body), S("until the end"));
    a = get(S("HTTP/1.1 102 Wait\r\nX: y\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 None\r\n\r\n"), false);
    CHECK_INT(a.result, CALL_OK);
    CHECK_INT(a.status, 204);
    CHECK_INT(a.n_responses, 1);
    close_client();
}

TEST(a_cut_answer_is_an_error)
{
    open_client(plain);
    CHECK_INT(get(S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), true).result, CALL_TRUNCATED);
    CHECK_INT(get(S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), true).result,
              CALL_TRUNCATED);
    CHECK_INT(get(S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), true).result,
              CALL_TRUNCATED);
    CHECK_INT(get(S("HTTP/1.1 200 OK\r\nConte"), true).result, CALL_BROKEN);
    CHECK_INT(get(S(""), true).result, CALL_BROKEN);
    CHECK_INT(get(S("HTTP/1.1 100 Continue\r\n\r\n"), true).result, CALL_BROKEN);
    close_client();
}

TEST(what_is_not_http_is_an_error)
{
    open_client(plain);
    CHECK_INT(get(S("SSH-2.0-OpenSSH\r\n\r\n"), false).result, CALL_PROTOCOL);
    CHECK_INT(get(S("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), false).result,
              CALL_PROTOCOL);
    CHECK_INT(get(S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), false).result,
              CALL_PROTOCOL);
    CHECK_INT(get(S("HTTP/1.1 101 Switching Protocols\r\n\r\n"), false).result, CALL_PROTOCOL);
    struct answer a = get(S("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n"), false);
    CHECK_INT(a.result, CALL_OK); /* but the connection was not kept: exchange() has checked */
    close_client();
}

TEST(requests_are_written_properly)
{
    open_client(plain);
    struct answer a = {0};
    struct http_header headers[] = {{S("content-type"), S("application/json")},
                                    {S("x-evil"), S("a\r\nb: c")}};
    struct http_call_options o = {
        .method = S("POST"), .target = S("/v1/x?y=1"), .headers = headers, .n_headers = 2, .body = S("{}")};
    start(&a, o);
    int fd = raw_accept(loop, listener);
    await_request(fd);
    CHECK(raw_read(loop, fd, &request, "{}"));
    struct buf want;
    buf_init(&want, 1000);
    buf_printf(&want,
               "POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:%u\r\ncontent-type: application/json\r\n"
               "x-evil: a??b: c\r\naccept-encoding: identity\r\ncontent-length: 2\r\n\r\n{}",
               port);
    CHECK_STR(buf_str(&request), buf_str(&want));
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(&a, CALL_OK);
    buf_deinit(&want);
    close(fd);
    close_client();
}

TEST(connections_are_kept_and_used_again)
{
    open_client(plain);
    struct answer a = {0}, b = {0};
    a.then = &b; /* started inside on_done: over the same connection */
    start(&a, (struct http_call_options){0});
    int fd = raw_accept(loop, listener);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"));
    expect(&a, CALL_OK);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"));
    expect(&b, CALL_OK);
    CHECK(!a.stats.is_reused && b.stats.is_reused);
    CHECK_INT(http_client_get_stats(client).n_idle, 1);
    CHECK_INT(http_client_get_stats(client).opened, 1);
    close(fd); /* noticed while it is kept */
    rig_turn(loop, 10);
    CHECK_INT(http_client_get_stats(client).n_idle, 0);
    close_client();
}

TEST(kept_connections_have_a_limit_and_a_time)
{
    struct http_client_options o = {.idle_per_origin_max = 1, .idle_timeout_ms = 60};
    open_client(o);
    struct answer a = {0}, b = {0};
    start(&a, (struct http_call_options){0});
    start(&b, (struct http_call_options){0});
    int one = raw_accept(loop, listener), two = raw_accept(loop, listener);
    await_request(one);
    await_request(two);
    raw_send(loop, one, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    raw_send(loop, two, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(&a, CALL_OK);
    expect(&b, CALL_OK);
    CHECK_INT(http_client_get_stats(client).n_idle, 1);
    for (int i = 0; i < 400 && http_client_get_stats(client).n_idle; i++)
        loop_run_once(loop, 10);
    CHECK_INT(http_client_get_stats(client).n_idle, 0);
    close(one);
    close(two);
    close_client();
}

/* Makes a kept connection, and starts `a` over it. */
static int second_call(struct answer *a, struct http_call_options o)
{
    static struct answer first;
    first = (struct answer){0};
    start(&first, (struct http_call_options){0});
    int fd = raw_accept(loop, listener);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(&first, CALL_OK);
    start(a, o);
    await_request(fd);
    return fd;
}

TEST(a_kept_connection_that_dies_is_replaced_once)
{
    open_client(plain);
    struct answer a = {0};
    struct http_call_options o = {.method = S("POST"), .body = S("body")};
    close(second_call(&a, o));
    int fd = raw_accept(loop, listener);
    await_request(fd);
    CHECK(raw_read(loop, fd, &request, "body")); /* the whole request again */
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    expect(&a, CALL_OK);
    CHECK_STR(buf_str(&a.body), S("ok"));
    CHECK(a.stats.is_resent);
    close(fd);
    rig_turn(loop, 5);
    struct answer b = {0};
    close(second_call(&b, o));
    close(raw_accept(loop, listener)); /* dies again: that is the end */
    expect(&b, CALL_BROKEN);
    close_client();
}

TEST(nothing_is_sent_twice_after_the_first_byte)
{
    open_client(plain);
    struct answer a = {0};
    int fd = second_call(&a, (struct http_call_options){0});
    raw_send(loop, fd, S("H"));
    rig_turn(loop, 5);
    close(fd);
    expect(&a, CALL_BROKEN);
    CHECK(!a.stats.is_resent);
    close_client();
}

TEST(every_wait_has_its_timeout)
{
    open_client(plain);
    struct answer a = {0}, b = {0}, c = {0};
    struct http_call_options o = {.first_byte_ms = 50, .idle_ms = 5000, .connect_ms = 5000};
    start(&a, o);
    int fd = raw_accept(loop, listener);
    await_request(fd);
    expect(&a, CALL_FIRST_BYTE_TIMEOUT);
    CHECK(a.stats.was_sent);
    close(fd);
    o = (struct http_call_options){.first_byte_ms = 5000, .idle_ms = 50};
    start(&b, o);
    fd = raw_accept(loop, listener);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"));
    expect(&b, CALL_IDLE_TIMEOUT);
    close(fd);
    o = (struct http_call_options){.total_ms = 100, .idle_ms = 5000};
    start(&c, o);
    fd = raw_accept(loop, listener);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    while (!c.n_done) {
        raw_send(loop, fd, S("1\r\nx\r\n"));
        rig_turn(loop, 10);
    }
    expect(&c, CALL_TOTAL_TIMEOUT);
    close(fd);
    close_client();
}

/* A listener whose queue is full does not answer: the connection hangs. */
TEST(connecting_has_its_timeout)
{
    open_client(plain);
    listen(listener, 0);
    int fill[8];
    for (int i = 0; i < 8; i++) {
        struct sockaddr_storage to;
        socklen_t n = sizeof to;
        getsockname(listener, (struct sockaddr *)&to, &n);
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fill[i], (struct sockaddr *)&to, n);
    }
    rig_turn(loop, 20);
    struct answer a = {0};
    struct http_call_options o = {.connect_ms = 80};
    start(&a, o);
    expect(&a, CALL_CONNECT_TIMEOUT);
    CHECK(!a.stats.was_sent);
    for (int i = 0; i < 8; i++)
        close(fill[i]);
    close_client();
}

TEST(refusals_and_unknown_names_are_told_apart)
{
    open_client(plain);
    struct answer a = {0}, b = {0}, c = {0};
    uint16_t unused;
    close(raw_listen(&unused));
    struct http_call_options o = {.port = unused};
    start(&a, o);
    expect(&a, CALL_CONNECT);
    CHECK(strstr(a.why, "refused") != NULL);
    o.host = S("a.name.with.a.label.that.is.longer.than.any.label.may.be."
               "0123456789012345678901234567890123456789012345678901234567890123456789.test");
    start(&b, o);
    expect(&b, CALL_DNS);
    o = (struct http_call_options){.is_tls = true};
    start(&c, o);
    expect(&c, CALL_TLS);
    close_client();
}

TEST(all_addresses_of_a_name_are_tried)
{
    open_client(plain);
    struct answer a = {0};
    int six;
    uint16_t six_port;
    struct err err;
    if (addr_listen(S("::1"), 0, 1, &six, 1, &six_port, &err) < 0)
        test_skip("no IPv6 here");
    struct http_call_options o = {.host = S("localhost"), .port = six_port};
    start(&a, o); /* 127.0.0.1 refuses */
    int fd = raw_accept(loop, six);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(&a, CALL_OK);
    close(fd);
    close(six);
    close_client();
}

TEST(a_call_can_be_cancelled_at_any_time)
{
    open_client(plain);
    struct answer a = {0}, b = {0}, c = {0}, d = {0}, e = {0};
    start(&a, (struct http_call_options){0});
    http_call_cancel(a.call); /* while it connects */
    rig_turn(loop, 10);
    start(&b, (struct http_call_options){0});
    int fd = raw_accept(loop, listener);
    struct buf got;
    buf_init(&got, 1 << 20);
    if (!raw_read(loop, fd, &got, "GET")) { /* that was the cancelled one */
        close(fd);
        fd = raw_accept(loop, listener);
    }
    CHECK(raw_read(loop, fd, &got, "\r\n\r\n"));
    http_call_cancel(b.call);
    CHECK(raw_read(loop, fd, &got, NULL)); /* the upstream sees the end */
    close(fd);
    c.cancels_at_response = true;
    d.cancels_at_data = true;
    for (int i = 0; i < 2; i++) {
        start(i ? &d : &c, (struct http_call_options){0});
        fd = raw_accept(loop, listener);
        await_request(fd);
        raw_send(loop, fd,
                 S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"));
        CHECK(raw_read(loop, fd, &got, NULL));
        close(fd);
    }
    CHECK_INT(c.n_responses, 1);
    CHECK_INT(c.body.n, 0);
    CHECK_INT(d.body.n, 1);
    struct http_call_options o = {.host = S("sluice-unknown.invalid")};
    start(&e, o);
    http_call_cancel(e.call); /* while its name is looked up */
    rig_turn(loop, 10);
    CHECK_INT(a.n_done + b.n_done + c.n_done + d.n_done + e.n_done, 0);
    CHECK_INT(http_client_get_stats(client).n_calls, 0);
    buf_deinit(&got);
    close_client();
}

TEST(freeing_a_client_ends_its_calls_silently)
{
    open_client(plain);
    struct answer a = {0}, b = {0}, c = {0};
    start(&a, (struct http_call_options){0});
    int fd = raw_accept(loop, listener);
    await_request(fd);
    start(&b, (struct http_call_options){0});
    struct http_call_options o = {.host = S("sluice-unknown.invalid")};
    start(&c, o);
    close_client();
    CHECK_INT(a.n_done + b.n_done + c.n_done, 0);
    close(fd);
}

TEST(a_paused_call_makes_the_upstream_wait)
{
#ifdef SLUICE_HOSTILE
    test_skip("20 MB one byte at a time take minutes");
#endif
    open_client(plain);
    struct answer a = {.pauses_at_data = true};
    struct http_call_options o = {.idle_ms = 50};
    start(&a, o);
    int fd = raw_accept(loop, listener);
    await_request(fd);
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n"));
    char piece[10000];
    memset(piece, 'x', sizeof piece);
    size_t sent = 0;
    for (int tries = 0; tries < 100 && sent < 20000000;) {
        size_t n = 20000000 - sent < sizeof piece ? 20000000 - sent : sizeof piece;
        ssize_t got = send(fd, piece, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += got > 0 ? (size_t)got : 0;
        tries += got <= 0;
        loop_run_once(loop, got > 0 ? 0 : 1);
    }
    CHECK(sent < 20000000);
    CHECK(a.body.n <= 65536 + 100);
    CHECK_INT(a.n_done, 0); /* idle_ms does not run while paused */
    a.pauses_at_data = false;
    http_call_resume(a.call);
    while (sent < 20000000) {
        size_t n = 20000000 - sent < sizeof piece ? 20000000 - sent : sizeof piece;
        raw_send(loop, fd, str_of(piece, n));
        sent += n;
    }
    expect(&a, CALL_OK);
    CHECK_INT(a.body.n, 20000000);
    close(fd);
    close_client();
}

TEST(large_requests_are_sent_as_the_upstream_reads)
{
    open_client(plain);
    struct buf big;
    buf_init(&big, 32u << 20);
    for (int i = 0; i < 1000000; i++)
        buf_puts(&big, "0123456789");
    struct answer a = {0};
    struct http_call_options o = {.method = S("PUT"), .body = buf_str(&big), .first_byte_ms = 60000};
    start(&a, o);
    int fd = raw_accept(loop, listener);
    size_t got = 0;
    char sink[65536];
    while (got < big.n && !a.n_done) {
        ssize_t n = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        loop_run_once(loop, n > 0 ? 0 : 1);
    }
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(&a, CALL_OK);
    close(fd);
    /* An answer before the end of the request is taken; the connection is not kept. */
    struct answer b = {0};
    start(&b, o);
    fd = raw_accept(loop, listener);
    raw_send(loop, fd, S("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"));
    expect(&b, CALL_OK);
    CHECK_INT(b.status, 413);
    CHECK_INT(http_client_get_stats(client).n_idle, 0);
    close(fd);
    buf_deinit(&big);
    close_client();
}

/* ----------------------------------------------------------------------- gzip */

static size_t gzip(const char *text, size_t n, unsigned char *out, size_t cap)
{
    z_stream z = {0};
    REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)text;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
    n = cap - z.avail_out;
    deflateEnd(&z);
    return n;
}

static void gzip_call(struct answer *a, struct str packed, size_t announced)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_printf(&text, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", announced);
    buf_str_add(&text, packed);
    struct http_call_options o = {.accept_gzip = true};
    exchange(a, buf_str(&text), false, o);
    buf_deinit(&text);
}

TEST(gzip_is_undone_if_it_was_asked_for)
{
    open_client(plain);
    static char text[200000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 23);
    static unsigned char packed[200000];
    size_t n = gzip(text, sizeof text, packed, sizeof packed);
    struct answer a = {0}, b = {0}, c = {0};
    gzip_call(&a, str_of((char *)packed, n), n);
    CHECK_INT(a.result, CALL_OK);
    CHECK_STR(buf_str(&a.body), str_of(text, sizeof text));
    gzip_call(&b, str_of((char *)packed, n - 9), n - 9); /* complete HTTP, incomplete gzip */
    CHECK_INT(b.result, CALL_TRUNCATED);
    packed[20] ^= 0x55;
    packed[30] ^= 0x55;
    gzip_call(&c, str_of((char *)packed, n), n);
    CHECK_INT(c.result, CALL_PROTOCOL);
    close_client();
}

/* ---------------------------------------------------------------------- proxy */

TEST(plain_calls_go_through_a_proxy_with_the_whole_url)
{
    struct err err;
    uint16_t proxy_port;
    int proxy = raw_listen(&proxy_port);
    char url[64];
    snprintf(url, sizeof url, "http://me:p%%40ss@127.0.0.1:%u", proxy_port);
    struct proxy_rules *rules = proxy_rules_create(S(""), str_c(url), S("other.test"), &err);
    REQUIRE(rules);
    struct http_client_options o = {.proxies = rules};
    open_client(o);
    struct answer a = {0};
    struct http_call_options call = {.host = S("up.test"), .port = 80};
    start(&a, call);
    int fd = raw_accept(loop, proxy);
    await_request(fd);
    CHECK(str_starts(buf_str(&request), S("GET http://up.test/x HTTP/1.1\r\nhost: up.test\r\n"
                                          "proxy-authorization: Basic bWU6cEBzcw==\r\n")));
    raw_send(loop, fd, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    expect(&a, CALL_OK);
    close(fd);
    close(proxy);
    close_client();
    proxy_rules_free(rules);
}

TEST(proxy_exceptions)
{
    struct err err;
    struct proxy_rules *r =
        proxy_rules_create(S("proxy:3128"), S("http://p2"),
                           S("a.test, .b.test,c.test:8443,10.0.0.0/8,fd00::/8,[::2]:5,1.2.3.4"), &err);
    REQUIRE(r);
    CHECK_STR(proxy_find(r, true, S("x.test"), 443)->host, S("proxy"));
    CHECK_INT(proxy_find(r, true, S("x.test"), 443)->port, 3128);
    CHECK_STR(proxy_find(r, false, S("x.test"), 80)->host, S("p2"));
    CHECK(!proxy_find(r, true, S("a.test"), 443) && !proxy_find(r, true, S("z.A.test"), 443));
    CHECK(proxy_find(r, true, S("aa.test"), 443) != NULL);
    CHECK(!proxy_find(r, true, S("z.b.test"), 443));
    CHECK(!proxy_find(r, true, S("c.test"), 8443) && proxy_find(r, true, S("c.test"), 443));
    CHECK(!proxy_find(r, true, S("10.1.2.3"), 443) && proxy_find(r, true, S("11.1.2.3"), 443));
    CHECK(!proxy_find(r, true, S("fd12::1"), 443) && proxy_find(r, true, S("fe12::1"), 443));
    CHECK(!proxy_find(r, true, S("::2"), 5) && proxy_find(r, true, S("::2"), 6));
    CHECK(!proxy_find(r, true, S("1.2.3.4"), 443) && !proxy_find(r, true, S("localhost"), 443));
    proxy_rules_free(r);
    r = proxy_rules_create(S("proxy"), S(""), S("*"), &err);
    CHECK(!proxy_find(r, true, S("x.test"), 443) && !proxy_find(NULL, true, S("x.test"), 443));
    proxy_rules_free(r);
    CHECK(!proxy_rules_create(S("socks5://x:y@h"), S(""), S(""), &err));
    CHECK_INT(err.code, ERR_UNSUPPORTED);
    CHECK(strstr(err.text, "x:y") == NULL); /* no password in a message */
}

TEST(urls_are_taken_apart)
{
    struct url u;
    CHECK_INT(url_parse(S("https://api.openai.com/v1"), &u, NULL), OK);
    CHECK(u.is_tls && u.port == 443);
    CHECK_STR(u.host, S("api.openai.com"));
    CHECK_STR(u.path, S("/v1"));
    CHECK_INT(url_parse(S("http://u:p@[::1]:81?q=1"), &u, NULL), OK);
    CHECK_STR(u.host, S("::1"));
    CHECK_STR(u.userinfo, S("u:p"));
    CHECK_STR(u.query, S("q=1"));
    CHECK_INT(u.port, 81);
    CHECK(url_parse(S("ftp://x"), &u, NULL) < 0 && url_parse(S("http://"), &u, NULL) < 0);
    CHECK(url_parse(S("http://a b"), &u, NULL) < 0 && url_parse(S("http://a:99999"), &u, NULL) < 0);
    CHECK(url_parse(S("http://a#f"), &u, NULL) < 0 && url_parse(S("http://[::1"), &u, NULL) < 0);
    struct str host;
    uint16_t p;
    CHECK_INT(addr_parse(S("[::1]:8080"), &host, &p, NULL), OK);
    CHECK_STR(host, S("::1"));
    CHECK_INT(addr_parse(S(":80"), &host, &p, NULL), OK);
    CHECK_INT(host.n, 0);
    CHECK(addr_parse(S("::1"), &host, &p, NULL) < 0 && addr_parse(S("a:b"), &host, &p, NULL) < 0);
    CHECK(addr_host_is_loopback(S("127.8.9.1")) && addr_host_is_loopback(S("[::1]")));
    CHECK(addr_host_is_loopback(S("LocalHost.")) && addr_host_is_loopback(S("x.localhost")));
    CHECK(!addr_host_is_loopback(S("localhost.evil.com")) && !addr_host_is_loopback(S("127.0.0.1.nip.io")));
    CHECK(!addr_host_is_loopback(S("evillocalhost")) && !addr_host_is_loopback(S("")));
}
