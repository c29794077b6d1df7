/* http_test.c - Framing: what is read, what is refused, at every split. */
#include "net/http.h"

#include <stdlib.h>

#include "base/test.h"

static int parse(struct str in, struct http_head *head)
{
    struct http_parser p = {.head_max = HTTP_HEAD_BYTES_MAX};
    return http_request_parse(&p, in, head);
}

static int parse_response(struct str in, struct http_head *head)
{
    struct http_parser p = {.head_max = HTTP_HEAD_BYTES_MAX};
    return http_response_parse(&p, in, false, head);
}

TEST(request_is_taken_apart)
{
    struct http_head h;
    struct str in = S("POST /v1/chat/completions?key=a%20b&x HTTP/1.1\r\nHost: example.com:8080\r\n"
                      "Content-Length: 12\r\nX-Empty:\r\nX-Pad: \t a b \t\r\n\r\nhello");
    CHECK_INT(parse(in, &h), (long long)in.n - 5);
    CHECK_INT(h.method, HTTP_POST);
    CHECK_STR(h.path, S("/v1/chat/completions"));
    CHECK_STR(h.query, S("key=a%20b&x"));
    CHECK_STR(h.host, S("example.com:8080"));
    CHECK_INT(h.framing, HTTP_LENGTH);
    CHECK_INT(h.content_length, 12);
    CHECK_INT(h.n_fields, 4);
    CHECK_STR(http_value(&h, S("x-empty")), S(""));
    CHECK_STR(http_value(&h, S("X-PAD")), S("a b"));
    CHECK(h.keep_alive);
    CHECK(http_find(&h, S("absent")) == NULL);
    struct str v;
    CHECK(http_query_find(h.query, S("key"), &v));
    CHECK_STR(v, S("a%20b"));
    CHECK(http_query_find(h.query, S("x"), &v));
    CHECK_INT(v.n, 0);
    CHECK(!http_query_find(h.query, S("ke"), &v));
}

TEST(request_comes_byte_by_byte)
{
    struct str in = S("\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5");
    struct http_parser p = {.head_max = HTTP_HEAD_BYTES_MAX};
    struct http_head h;
    for (size_t n = 0; n + 1 < in.n; n++) {
        char *copy = malloc(n ? n : 1); /* exact, for the address sanitizer */
        REQUIRE(copy);
        memcpy(copy, in.p, n);
        CHECK_INT(http_request_parse(&p, str_of(copy, n), &h), HTTP_MORE);
        free(copy);
    }
    CHECK_INT(http_request_parse(&p, in, &h), (long long)in.n - 1);
    CHECK_INT(h.framing, HTTP_CHUNKED);
}

TEST(targets_of_all_forms)
{
    struct http_head h;
    CHECK(parse(S("GET http://Other:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n"), &h) > 0);
    CHECK_STR(h.host, S("Other:1"));
    CHECK_STR(h.path, S("/p"));
    CHECK_STR(h.query, S("q"));
    CHECK(parse(S("GET https://o?q HTTP/1.1\r\nHost: a\r\n\r\n"), &h) > 0);
    CHECK_STR(h.path, S("/"));
    CHECK(parse(S("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), &h) > 0);
    CHECK_STR(h.path, S("*"));
    CHECK(parse(S("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), &h) > 0);
    CHECK_INT(h.method, HTTP_CONNECT);
    CHECK(parse(S("GET / HTTP/1.0\r\n\r\n"), &h) > 0);
    CHECK(!h.keep_alive);
    CHECK(parse(S("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), &h) > 0);
    CHECK(h.keep_alive);
    CHECK(parse(S("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n"), &h) > 0);
    CHECK(!h.keep_alive);
    CHECK(parse(S("PURGE / HTTP/1.1\r\nHost: a\r\n\r\n"), &h) > 0);
    CHECK_INT(h.method, HTTP_OTHER);
    CHECK_STR(h.method_name, S("PURGE"));
}

struct refusal {
    const char *text;
    int code;
};

/* What would let two readers of the stream disagree, or what no client sends. */
static const struct refusal refusals[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP_BAD_CODING},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", HTTP_BAD_CODING},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", HTTP_BAD_CODING},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP_BAD},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\177b\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\nHost: a\n\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_BAD},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET /\001 HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET /\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HTTP_BAD_VERSION},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", HTTP_BAD_VERSION},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"AVERYLONGMETHODNAMETHATNOBODYEVERHEARDOF / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"\r\n\n\r\n", HTTP_BAD},
};

TEST(ambiguous_requests_are_refused_with_a_reason)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct http_parser p = {.head_max = HTTP_HEAD_BYTES_MAX};
        struct http_head h;
        int rc = http_request_parse(&p, str_c(refusals[i].text), &h);
        if (rc != refusals[i].code || !p.problem)
            test_fail(__FILE__, __LINE__, "%d for: %s", rc, refusals[i].text);
    }
}

TEST(a_nul_in_a_head_is_refused)
{
    struct http_head h;
    CHECK_INT(parse(S("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"), &h), HTTP_BAD);
    CHECK_INT(parse(S("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), &h), HTTP_BAD);
}

TEST(a_head_has_limits)
{
    struct http_head h;
    struct http_parser p = {.head_max = 64};
    CHECK_INT(http_request_parse(&p,
                                 S("GET / HTTP/1.1\r\nHost: a\r\nX: 012345678901234567890123456789"
                                   "01234567890123456789"),
                                 &h),
              HTTP_TOO_LARGE);
    p = (struct http_parser){.head_max = 64};
    CHECK_INT(http_request_parse(&p,
                                 S("GET / HTTP/1.1\r\nHost: a\r\nX: 012345678901234567890123456789"
                                   "01234567\r\n\r\n"),
                                 &h),
              HTTP_TOO_LARGE);
    struct buf many;
    buf_init(&many, 1 << 20);
    buf_puts(&many, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        buf_printf(&many, "x-%d: y\r\n", i);
    struct buf more;
    buf_init(&more, 1 << 20);
    buf_str_add(&more, buf_str(&many));
    buf_puts(&many, "\r\n");
    buf_puts(&more, "x: y\r\n\r\n");
    CHECK(parse(buf_str(&many), &h) > 0);
    CHECK_INT(h.n_fields, HTTP_FIELDS_MAX);
    CHECK_INT(parse(buf_str(&more), &h), HTTP_TOO_LARGE);
    buf_deinit(&many);
    buf_deinit(&more);
}

TEST(responses_are_framed_as_the_rfc_says)
{
    struct http_head h;
    CHECK(parse_response(S("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), &h) > 0);
    CHECK_INT(h.framing, HTTP_LENGTH);
    CHECK(parse_response(S("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), &h) > 0);
    CHECK_INT(h.framing, HTTP_NO_BODY);
    CHECK(parse_response(S("HTTP/1.1 200 \r\n\r\n"), &h) > 0);
    CHECK_INT(h.framing, HTTP_UNTIL_CLOSE);
    CHECK(!h.keep_alive);
    CHECK(parse_response(S("HTTP/1.1 204 No\r\n\r\n"), &h) > 0);
    CHECK_INT(h.framing, HTTP_NO_BODY);
    CHECK(parse_response(S("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n"), &h) > 0);
    CHECK_INT(h.framing, HTTP_NO_BODY);
    CHECK(parse_response(S("HTTP/1.1 100 Continue\r\n\r\n"), &h) > 0);
    CHECK_INT(h.framing, HTTP_NO_BODY);
    struct http_parser p = {.head_max = HTTP_HEAD_BYTES_MAX};
    CHECK(http_response_parse(&p, S("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), true, &h) > 0);
    CHECK_INT(h.framing, HTTP_NO_BODY);
    CHECK(parse_response(S("HTTP/1.1 20 OK\r\n\r\n"), &h) < 0);
    CHECK(parse_response(S("HTTP/1.1 2000 OK\r\n\r\n"), &h) < 0);
    CHECK(parse_response(S("HTTP/1.1 099 OK\r\n\r\n"), &h) < 0);
    CHECK(parse_response(S("ICY 200 OK\r\n\r\n"), &h) < 0);
    CHECK(parse_response(S("HTTP/1.1 200 O\001K\r\n\r\n"), &h) < 0);
    CHECK(parse_response(S("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
                         &h) < 0);
}

/* Decodes a chunked body in pieces of `step` bytes; the length used, or -1. */
static ptrdiff_t decode(struct str in, size_t step, struct buf *out)
{
    struct http_body body;
    http_body_init(&body, HTTP_CHUNKED, 0);
    for (size_t at = 0; at < in.n; at += step) {
        struct str piece = str_sub(in, at, at + step), data;
        enum http_body_result got;
        while ((got = http_body_next(&body, &piece, &data)) == HTTP_BODY_DATA)
            buf_str_add(out, data);
        if (got == HTTP_BODY_BAD)
            return -1;
        if (got == HTTP_BODY_DONE)
            return (ptrdiff_t)(str_sub(in, at, at + step).p - in.p) +
                   (ptrdiff_t)(str_sub(in, at, at + step).n - piece.n);
    }
    return 0;
}

TEST(chunks_are_read_at_any_split)
{
    struct str in =
        S("5;ext=\"v;\\\"\";b;c=d\r\nhello\r\n0000b\r\n, big world\r\n0\r\nX-T: v\r\nY:\r\n\r\nGET");
    for (size_t step = 1; step <= in.n; step++) {
        struct buf out;
        buf_init(&out, 1000);
        CHECK_INT(decode(in, step, &out), (long long)in.n - 3);
        CHECK_STR(buf_str(&out), S("hello, big world"));
        buf_deinit(&out);
    }
}

TEST(bad_chunks_are_refused)
{
    static const char *const bad[] = {
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1\r\na\rx",
        "0x1\r\na\r\n",
        "1;\001\r\na",
        "1\r\r\n",
        "0\r\n x\r\n\r\n",
        "0\r\n:x\r\n\r\n",
        "0\r\na\nb\r\n",
        "0\r\na\001\r\n",
        "0\r\n\ra",
        "0\r\na: b\rc",
        "0\r\nabc\r\n\r\n",
        "10000000000000000\r\n",
        "1;\r\na",
        "1; a\r\na",
        "1;a=\r\na",
        "1;a=b c\r\na",
        "1;a=\"b\"c\r\na",
        "1;a=?\r\na",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out;
        buf_init(&out, 1000);
        if (decode(str_c(bad[i]), 1, &out) != -1 || decode(str_c(bad[i]), 1000, &out) != -1)
            test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
        buf_deinit(&out);
    }
}

TEST(chunk_lines_and_trailers_have_limits)
{
    struct buf line, out;
    buf_init(&line, 1 << 20);
    buf_init(&out, 1000);
    buf_puts(&line, "1;");
    for (int i = 0; i < HTTP_CHUNK_LINE_MAX; i++)
        buf_putc(&line, 'x');
    CHECK_INT(decode(buf_str(&line), 100, &out), -1);
    buf_clear(&line);
    buf_puts(&line, "0\r\n");
    for (int i = 0; i < HTTP_TRAILER_BYTES_MAX / 4; i++)
        buf_puts(&line, "a:b\r\n");
    CHECK_INT(decode(buf_str(&line), 100, &out), -1);
    buf_deinit(&line);
    buf_deinit(&out);
}

TEST(bodies_end_where_they_say)
{
    struct http_body b;
    struct str in = S("abcdef"), data;
    http_body_init(&b, HTTP_LENGTH, 4);
    CHECK(!http_body_ends_at_close(&b));
    CHECK_INT(http_body_next(&b, &in, &data), HTTP_BODY_DATA);
    CHECK_STR(data, S("abcd"));
    CHECK_INT(http_body_next(&b, &in, &data), HTTP_BODY_DONE);
    CHECK_STR(in, S("ef"));
    CHECK(http_body_ends_at_close(&b));
    http_body_init(&b, HTTP_UNTIL_CLOSE, 0);
    CHECK_INT(http_body_next(&b, &in, &data), HTTP_BODY_DATA);
    CHECK_STR(data, S("ef"));
    CHECK_INT(http_body_next(&b, &in, &data), HTTP_BODY_MORE);
    CHECK(http_body_ends_at_close(&b));
    http_body_init(&b, HTTP_NO_BODY, 0);
    CHECK_INT(http_body_next(&b, &in, &data), HTTP_BODY_DONE);
    http_body_init(&b, HTTP_CHUNKED, 0);
    CHECK(!http_body_ends_at_close(&b));
}

TEST(no_value_can_begin_a_line)
{
    struct buf out;
    buf_init(&out, 1000);
    http_write_field(&out, S("x"), S("a\r\nevil: 1\0\x7f\tb\xc3\xa4"));
    CHECK_STR(buf_str(&out), S("x: a??evil: 1??\tb\xc3\xa4\r\n"));
    buf_clear(&out);
    http_write_request_line(&out, S("GET"), S("/a b\r\nHost: c"));
    CHECK_STR(buf_str(&out), S("GET /a?b??Host:?c HTTP/1.1\r\n"));
    buf_clear(&out);
    http_write_field_u64(&out, S("n"), 0);
    http_write_field_u64(&out, S("n"), UINT64_MAX);
    CHECK_STR(buf_str(&out), S("n: 0\r\nn: 18446744073709551615\r\n"));
    buf_clear(&out);
    http_write_status(&out, 200);
    http_write_status(&out, 418);
    http_write_date(&out, 784111777);
    CHECK_STR(buf_str(&out), S("HTTP/1.1 200 OK\r\nHTTP/1.1 418 Unknown\r\n"
                               "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    buf_deinit(&out);
    char line[HTTP_CHUNK_HEAD_MAX];
    CHECK_STR(str_of(line, http_chunk_head(line, 0)), S("0\r\n"));
    CHECK_STR(str_of(line, http_chunk_head(line, UINT64_MAX)), S("ffffffffffffffff\r\n"));
}

TEST(percent_decoding_is_bounded)
{
    char out[8];
    CHECK_INT(http_percent_decode(S("a%2Fb+c"), true, out, sizeof out), 5);
    CHECK_STR(str_of(out, 5), S("a/b c"));
    CHECK_INT(http_percent_decode(S("a+b"), false, out, sizeof out), 3);
    CHECK_STR(str_of(out, 3), S("a+b"));
    CHECK_INT(http_percent_decode(S("%2"), false, out, sizeof out), -1);
    CHECK_INT(http_percent_decode(S("%zz"), false, out, sizeof out), -1);
    CHECK_INT(http_percent_decode(S("123456789"), false, out, sizeof out), -1);
}
