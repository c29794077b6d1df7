/* server_test.c - The HTTP server against raw sockets: what a client may do to it. */
#include "net/server.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/testrig_int.h"

struct rig {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    struct request *held; /* the last request for /hold or /stream */
    int n_requests, n_held, n_closed, n_drained, n_drains;
    size_t body_bytes;
};

static void note_closed(struct request *req)
{
    struct rig *r = req->user;
    r->n_closed++;
    r->held = NULL;
    request_respond(req, 200, NULL, 0, S("nobody reads this")); /* must be harmless */
}

static void note_drain(struct request *req)
{
    ((struct rig *)req->user)->n_drains++;
}

static void on_head(struct request *req, void *arg)
{
    (void)arg;
    if (str_eq(req->head->path, S("/denied")))
        request_respond(req, 401, NULL, 0, S("no"));
    else if (str_eq(req->head->path, S("/small")))
        req->body_bytes_max = 10;
}

static void on_request(struct request *req, void *arg)
{
    struct rig *r = arg;
    r->n_requests++;
    r->body_bytes = req->body.n;
    req->user = r;
    req->on_closed = note_closed;
    req->on_drain = note_drain;
    struct http_header type = {S("content-type"), S("text/plain")};
    if (str_eq(req->head->path, S("/hold"))) {
        r->held = req;
        r->n_held++;
    } else if (str_eq(req->head->path, S("/stream"))) {
        r->held = req;
        r->n_held++;
        request_start(req, 200, &type, 1);
        request_write(req, S("first"));
    } else if (str_eq(req->head->path, S("/empty"))) {
        request_respond(req, 204, NULL, 0, S(""));
    } else {
        struct str body = arena_printf(req->arena, "[%.*s %.*s %.*s]", STR(req->head->method_name),
                                       STR(req->head->path), STR(str_sub(req->body, 0, 100)));
        request_respond(req, 200, &type, 1, body);
    }
}

/* Each test runs in a process of its own, so there is one. */
static struct rig rig;

static void rig_open(struct http_server_options o)
{
    struct err err;
    o.handler.on_request = on_request;
    o.handler.on_head = on_head;
    o.arg = &rig;
    rig.loop = loop_create(&err);
    REQUIRE(rig.loop);
    rig.server = http_server_create(rig.loop, &o, &err);
    REQUIRE(rig.server);
    int fd = raw_listen(&rig.port);
    REQUIRE(http_server_listen(rig.server, fd, NULL, &err) == OK);
}

static void rig_close(void)
{
    http_server_free(rig.server);
    loop_free(rig.loop);
}

static const struct http_server_options plain;

/* Sends, then reads until `needle`.  The text is kept in one buffer for the whole test. */
static struct buf seen;
static bool talk(int fd, struct str bytes, const char *needle)
{
    if (!seen.max)
        buf_init(&seen, 64u << 20);
    buf_clear(&seen);
    raw_send(rig.loop, fd, bytes);
    return raw_read(rig.loop, fd, &seen, needle);
}

static bool saw(const char *text)
{
    return str_find(buf_str(&seen), str_c(text), 0) != STR_NONE;
}

#define HEAD_END " HTTP/1.1\r\nHost: localhost\r\n"

TEST(requests_on_one_connection_are_answered)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    for (int i = 0; i < 3; i++) {
        CHECK(talk(fd, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
        CHECK(saw("HTTP/1.1 200 OK\r\n") && saw("content-length: 9\r\n") && saw("\r\ndate: "));
        CHECK(!saw("connection:"));
    }
    CHECK(talk(fd, S("GET /empty" HEAD_END "\r\n"), "\r\n\r\n"));
    CHECK(saw("204 No Content") && !saw("content-length"));
    CHECK(talk(fd, S("GET /a" HEAD_END "Connection: close\r\n\r\n"), NULL));
    CHECK(saw("connection: close\r\n") && saw("[GET /a ]"));
    CHECK_INT(rig.n_requests, 5);
    close(fd);
    rig_close();
}

TEST(a_request_may_come_byte_by_byte)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    struct str in =
        S("POST /b" HEAD_END "Content-Length: 5\r\n\r\nhello"
          "POST /c" HEAD_END "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: v\r\n\r\n");
    for (size_t i = 0; i < in.n; i++)
        raw_send(rig.loop, fd, str_sub(in, i, i + 1));
    CHECK(talk(fd, S(""), "[POST /c hello]"));
    CHECK_INT(rig.n_requests, 2);
    close(fd);
    rig_close();
}

TEST(pipelined_requests_are_answered_in_order)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd,
               S("GET /1" HEAD_END "\r\nPOST /2" HEAD_END "Content-Length: 2\r\n\r\nxy"
                 "POST /3" HEAD_END "Transfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"
                 "GET /4" HEAD_END "\r\n"),
               "[GET /4 ]"));
    size_t a = str_find(buf_str(&seen), S("[GET /1 ]"), 0);
    size_t b = str_find(buf_str(&seen), S("[POST /2 xy]"), 0);
    size_t c = str_find(buf_str(&seen), S("[POST /3 z]"), 0);
    CHECK(a != STR_NONE && a < b && b < c && c != STR_NONE);
    close(fd);
    rig_close();
}

TEST(a_request_sent_ahead_waits_for_the_answer)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    raw_send(rig.loop, fd, S("GET /hold" HEAD_END "\r\nGET /next" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 1));
    rig_turn(rig.loop, 20);
    CHECK_INT(rig.n_requests, 1);
    request_respond(rig.held, 200, NULL, 0, S("held"));
    CHECK(talk(fd, S(""), "[GET /next ]"));
    CHECK(saw("held"));
    close(fd);
    rig_close();
}

TEST(large_bodies_arrive_whole)
{
    rig_open(plain);
    struct buf big;
    buf_init(&big, 4u << 20);
    buf_puts(&big, "POST /big" HEAD_END "Content-Length: 1000000\r\n\r\n");
    for (int i = 0; i < 100000; i++)
        buf_puts(&big, "0123456789");
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, buf_str(&big), "[POST /big 0123456789"));
    CHECK_INT(rig.body_bytes, 1000000);
    buf_clear(&big);
    buf_puts(&big, "POST /chunks" HEAD_END "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20000; i++)
        buf_puts(&big, "a\r\n0123456789\r\n");
    buf_puts(&big, "0\r\n\r\nGET /after" HEAD_END "\r\n");
    CHECK(talk(fd, buf_str(&big), "[GET /after ]"));
    CHECK(saw("[POST /chunks 0123456789"));
    buf_deinit(&big);
    close(fd);
    rig_close();
}

TEST(bodies_have_a_limit)
{
    struct http_server_options o = {.body_bytes_max = 1000};
    rig_open(o);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("POST /" HEAD_END "Content-Length: 1001\r\n\r\n"), NULL));
    CHECK(saw("HTTP/1.1 413") && saw("\"message\":") && saw("connection: close"));
    close(fd);
    fd = raw_connect(rig.port);
    CHECK(talk(fd, S("POST /small" HEAD_END "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"), NULL));
    CHECK(saw("HTTP/1.1 413") && !saw("100 Continue"));
    close(fd);
    fd = raw_connect(rig.port);
    CHECK(talk(fd,
               S("POST /small" HEAD_END "Transfer-Encoding: chunked\r\n\r\n"
                 "6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n"),
               NULL));
    CHECK(saw("HTTP/1.1 413"));
    CHECK_INT(rig.n_requests, 0);
    close(fd);
    rig_close();
}

/* Closing at once would make the kernel drop our answer with the bytes that nobody has read. */
TEST(a_client_that_is_still_sending_can_read_its_refusal)
{
    struct http_server_options o = {.body_bytes_max = 1000};
    rig_open(o);
    int fd = raw_connect(rig.port);
    struct buf big;
    buf_init(&big, 4u << 20);
    buf_puts(&big, "POST /" HEAD_END "Content-Length: 500000\r\n\r\n");
    for (int i = 0; i < 50000; i++)
        buf_puts(&big, "0123456789");
    CHECK(talk(fd, buf_str(&big), "HTTP/1.1 413"));
    buf_deinit(&big);
    close(fd);
    rig_close();
}

TEST(a_client_that_waits_is_told_to_continue)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("POST /" HEAD_END "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
               "HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK(talk(fd, S("ok"), "[POST / ok]"));
    close(fd);
    rig_close();
}

TEST(an_early_answer_needs_no_body)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("POST /denied" HEAD_END "Content-Length: 100000\r\n\r\nsome"), NULL));
    CHECK(saw("HTTP/1.1 401") && saw("connection: close"));
    close(fd);
    fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /denied" HEAD_END "\r\n"), "\r\n\r\nno"));
    CHECK(talk(fd, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
    close(fd);
    rig_close();
}

TEST(what_is_not_http_gets_400)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
    };
    rig_open(plain);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = raw_connect(rig.port);
        CHECK(talk(fd, str_c(bad[i]), NULL));
        CHECK(saw("HTTP/1.1 400 ") && saw("connection: close"));
        close(fd);
    }
    CHECK_INT(rig.n_requests, 0);
    CHECK_INT(http_server_get_stats(rig.server).n_requests, 0);
    rig_close();
}

TEST(a_client_that_leaves_before_the_first_byte_is_noticed)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    raw_send(rig.loop, fd, S("GET /hold" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 1));
    CHECK_INT(rig.n_closed, 0);
    close(fd);
    uint64_t begin = loop_now_ms(rig.loop);
    REQUIRE(rig_until(rig.loop, &rig.n_closed, 1));
    CHECK(loop_now_ms(rig.loop) - begin < 100);
    CHECK_INT(http_server_get_stats(rig.server).n_connections, 0);
    CHECK_INT(http_server_get_stats(rig.server).n_requests, 0);
    rig_close();
}

TEST(a_client_that_resets_or_has_sent_ahead_is_noticed_too)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    raw_send(rig.loop, fd, S("GET /hold" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 1));
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    CHECK(rig_until(rig.loop, &rig.n_closed, 1));
    fd = raw_connect(rig.port);
    struct buf ahead; /* more than the server keeps: it reads no further, and sees the end */
    buf_init(&ahead, 1 << 20);
    buf_puts(&ahead, "GET /hold" HEAD_END "\r\n");
    for (int i = 0; i < 10000; i++)
        buf_puts(&ahead, "GET / HT");
    raw_send(rig.loop, fd, buf_str(&ahead));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 2));
    close(fd);
    CHECK(rig_until(rig.loop, &rig.n_closed, 2));
    buf_deinit(&ahead);
    rig_close();
}

TEST(a_stream_reaches_the_client_as_it_is_written)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /stream" HEAD_END "\r\n"), "5\r\nfirst\r\n"));
    CHECK(saw("transfer-encoding: chunked\r\n") && !saw("content-length"));
    CHECK_INT(request_write(rig.held, S("second")), REQUEST_OK);
    CHECK_INT(request_write(rig.held, S("")), REQUEST_OK);
    CHECK(talk(fd, S(""), "6\r\nsecond\r\n"));
    request_end(rig.held);
    CHECK(talk(fd, S(""), "0\r\n\r\n"));
    CHECK(talk(fd, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
    close(fd);
    rig_close();
}

TEST(a_client_that_leaves_in_mid_stream_is_noticed)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /stream" HEAD_END "\r\n"), "first"));
    close(fd);
    CHECK(rig_until(rig.loop, &rig.n_closed, 1));
    rig_close();
}

TEST(an_aborted_stream_never_looks_complete)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /stream" HEAD_END "\r\n"), "first"));
    request_write(rig.held, S("last words"));
    request_abort(rig.held);
    CHECK(talk(fd, S(""), NULL));
    CHECK(saw("last words") && !saw("0\r\n\r\n"));
    close(fd);
    fd = raw_connect(rig.port);
    raw_send(rig.loop, fd, S("GET /hold" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 2));
    request_abort(rig.held);
    CHECK(talk(fd, S(""), NULL));
    CHECK_INT(seen.n, 0);
    CHECK_INT(rig.n_closed, 0);
    close(fd);
    rig_close();
}

TEST(a_slow_reader_is_told_to_the_writer_and_holds_little)
{
    struct http_server_options o = {.held_bytes_high = 100000, .held_bytes_low = 20000};
    rig_open(o);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /stream" HEAD_END "\r\n"), "first"));
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    size_t written = 0, most_held = 0;
    while (written < (64u << 20)) {
        enum request_result got = request_write(rig.held, str_of(piece, sizeof piece));
        written += sizeof piece;
        loop_run_once(rig.loop, 0);
        size_t held = request_held_bytes(rig.held);
        most_held = held > most_held ? held : most_held;
        if (got == REQUEST_FULL && rig.n_drains == 0)
            break;
    }
    CHECK(written < (32u << 20)); /* the kernel's buffers have an end */
    CHECK(most_held >= 100000 && most_held < 110000);
    rig_turn(rig.loop, 20);
    CHECK_INT(rig.n_drains, 0);
    size_t total = 0;
    while (rig.n_drains == 0 && total < written * 2) {
        char sink[65536];
        ssize_t n = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        total += n > 0 ? (size_t)n : 0;
        loop_run_once(rig.loop, n > 0 ? 0 : 1);
    }
    CHECK_INT(rig.n_drains, 1);
    CHECK(request_held_bytes(rig.held) <= 20000);
    request_end(rig.held);
    CHECK(talk(fd, S(""), "\r\n0\r\n\r\n"));
    close(fd);
    rig_close();
}

/* More in one turn than the socket takes: the rest follows without another write. */
TEST(a_burst_larger_than_the_socket_arrives)
{
#ifdef SLUICE_HOSTILE
    test_skip("12 MB three bytes at a time take minutes");
#endif
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /stream" HEAD_END "\r\n"), "first"));
    static char piece[1000000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 12; i++)
        request_write(rig.held, str_of(piece, sizeof piece));
    request_end(rig.held);
    size_t n = 0;
    char sink[65536], last[5] = "";
    while (memcmp(last, "0\r\n\r\n", 5) != 0 && n < 20000000) {
        ssize_t got = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        if (got >= 5)
            memcpy(last, sink + got - 5, 5);
        n += got > 0 ? (size_t)got : 0;
        loop_run_once(rig.loop, got > 0 ? 0 : 1);
        if (got == 0)
            break;
    }
    CHECK(n > 12000000 && n < 12001000);
    close(fd);
    rig_close();
}

TEST(a_reader_that_takes_nothing_is_cut_off)
{
    struct http_server_options o = {.send_timeout_ms = 60, .held_bytes_high = 10000};
    rig_open(o);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /stream" HEAD_END "\r\n"), "first"));
    char piece[10000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 10000 && rig.held && request_held_bytes(rig.held) == 0; i++) {
        request_write(rig.held, str_of(piece, sizeof piece));
        loop_run_once(rig.loop, 0);
    }
    CHECK(rig_until(rig.loop, &rig.n_closed, 1));
    close(fd);
    rig_close();
}

TEST(head_requests_get_no_body)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("HEAD /a" HEAD_END "\r\nGET /b" HEAD_END "\r\n"), "[GET /b ]"));
    CHECK(saw("content-length: 10\r\n") && !saw("[HEAD"));
    CHECK(talk(fd, S("HEAD /stream" HEAD_END "\r\n"), "\r\n\r\n"));
    request_end(rig.held);
    CHECK(talk(fd, S("GET /b" HEAD_END "\r\n"), "[GET /b ]"));
    CHECK(!saw("first") && !saw("0\r\n\r\n"));
    close(fd);
    rig_close();
}

TEST(http_1_0_clients_are_served)
{
    rig_open(plain);
    int fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /a HTTP/1.0\r\n\r\n"), NULL));
    CHECK(saw("[GET /a ]") && saw("connection: close"));
    close(fd);
    fd = raw_connect(rig.port);
    CHECK(talk(fd, S("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "[GET /a ]"));
    CHECK(saw("connection: keep-alive"));
    CHECK(talk(fd, S("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "\r\n\r\nfirst"));
    CHECK(!saw("chunked") && saw("connection: close"));
    request_end(rig.held);
    CHECK(talk(fd, S(""), NULL));
    close(fd);
    rig_close();
}

TEST(slow_clients_run_out_of_time)
{
    struct http_server_options o = {.head_timeout_ms = 60, .body_timeout_ms = 60, .idle_timeout_ms = 150};
    rig_open(o);
    int silent = raw_connect(rig.port);
    CHECK(talk(silent, S(""), NULL));
    CHECK_INT(seen.n, 0);
    int head = raw_connect(rig.port);
    CHECK(talk(head, S("GET / HTTP/1.1\r\nHo"), NULL));
    CHECK(saw("HTTP/1.1 408"));
    int body = raw_connect(rig.port);
    CHECK(talk(body, S("POST /" HEAD_END "Content-Length: 5\r\n\r\nabc"), NULL));
    CHECK(saw("HTTP/1.1 408"));
    int idle = raw_connect(rig.port);
    CHECK(talk(idle, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
    uint64_t begin = loop_now_ms(rig.loop);
    CHECK(talk(idle, S(""), NULL));
    CHECK(loop_now_ms(rig.loop) - begin >= 100);
    /* A handler's own time is not limited by any of these. */
    int held = raw_connect(rig.port);
    raw_send(rig.loop, held, S("GET /hold" HEAD_END "\r\n"));
    rig_turn(rig.loop, 250);
    REQUIRE(rig.held);
    request_respond(rig.held, 200, NULL, 0, S("late"));
    CHECK(talk(held, S(""), "late"));
    close(silent);
    close(head);
    close(body);
    close(idle);
    close(held);
    rig_close();
}

static void note_drained(struct http_server *server, void *arg)
{
    (void)server;
    ++*(int *)arg;
}

TEST(draining_lets_running_requests_end)
{
    rig_open(plain);
    int idle = raw_connect(rig.port), busy = raw_connect(rig.port);
    CHECK(talk(idle, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
    raw_send(rig.loop, busy, S("GET /hold" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 1));
    http_server_drain(rig.server, 5000, note_drained, &rig.n_drained);
    CHECK(talk(idle, S(""), NULL));
    rig_turn(rig.loop, 10);
    CHECK_INT(rig.n_drained, 0);
    request_respond(rig.held, 200, NULL, 0, S("done"));
    CHECK(talk(busy, S(""), NULL));
    CHECK(saw("done") && saw("connection: close"));
    CHECK(rig_until(rig.loop, &rig.n_drained, 1));
    CHECK_INT(rig.n_closed, 0);
    close(idle);
    close(busy);
    rig_close();
}

TEST(draining_ends_at_its_deadline)
{
    rig_open(plain);
    int busy = raw_connect(rig.port);
    raw_send(rig.loop, busy, S("GET /hold" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 1));
    http_server_drain(rig.server, 30, note_drained, &rig.n_drained);
    CHECK(rig_until(rig.loop, &rig.n_drained, 1));
    CHECK_INT(rig.n_closed, 1);
    close(busy);
    rig_close();
}

TEST(freeing_a_server_tells_its_handlers)
{
    rig_open(plain);
    int busy = raw_connect(rig.port);
    raw_send(rig.loop, busy, S("GET /hold" HEAD_END "\r\n"));
    REQUIRE(rig_until(rig.loop, &rig.n_held, 1));
    rig_close();
    CHECK_INT(rig.n_closed, 1);
    close(busy);
}

TEST(accepting_waits_for_room)
{
    struct http_server_options o = {.connections_max = 2};
    rig_open(o);
    int a = raw_connect(rig.port), b = raw_connect(rig.port), c = raw_connect(rig.port);
    CHECK(talk(a, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
    CHECK(talk(b, S("GET /b" HEAD_END "\r\n"), "[GET /b ]"));
    raw_send(rig.loop, c, S("GET /c" HEAD_END "\r\n"));
    rig_turn(rig.loop, 30);
    CHECK(raw_is_quiet(c));
    close(a);
    CHECK(talk(c, S(""), "[GET /c ]"));
    CHECK_INT(http_server_get_stats(rig.server).accept_pauses > 0, 1);
    close(b);
    close(c);
    rig_close();
}

TEST(accepting_survives_the_end_of_descriptors)
{
    rig_open(plain);
    int a = raw_connect(rig.port);
    CHECK(talk(a, S("GET /a" HEAD_END "\r\n"), "[GET /a ]"));
    int b = raw_connect(rig.port);
    raw_send(rig.loop, b, S("GET /b" HEAD_END "\r\n")); /* may be accepted here */
    int c = raw_connect(rig.port);
    struct rlimit old, low;
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = (rlim_t)c + 1; /* every number below is in use, or soon is */
    setrlimit(RLIMIT_NOFILE, &low);
    int fill[64], n_fill = 0;
    while (n_fill < 64 && (fill[n_fill] = dup(0)) >= 0)
        n_fill++;
    raw_send(rig.loop, c, S("GET /c" HEAD_END "\r\n"));
    rig_turn(rig.loop, 50);
    CHECK(raw_is_quiet(c));
    CHECK_INT(http_server_get_stats(rig.server).accept_pauses > 0, 1);
    setrlimit(RLIMIT_NOFILE, &old);
    CHECK(talk(c, S(""), "[GET /c ]"));
    while (n_fill-- > 0)
        close(fill[n_fill]);
    close(a);
    close(b);
    close(c);
    rig_close();
}

TEST(a_port_in_use_is_an_error_even_if_shared)
{
    uint16_t port, again;
    int first = raw_listen(&port), second;
    struct err err;
    CHECK_INT(addr_listen(S("127.0.0.1"), port, 1, &second, 1, &again, &err), ERR_IO);
    CHECK(strstr(err.text, "in use") != NULL);
    close(first);
    int two[2];
    CHECK_INT(addr_listen(S("127.0.0.1"), port, 2, two, 2, &again, &err), 1);
    CHECK_INT(again, port);
    close(two[0]);
    close(two[1]);
}
