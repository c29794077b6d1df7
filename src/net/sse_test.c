/* sse_test.c - Event streams at every split. */
#include "net/sse.h"

#include "base/err.h"
#include "base/test.h"

/* Feeds `in` in pieces of `step` bytes; writes each event as "type|data|id;" to out. */
static int run(struct str in, size_t step, size_t max, struct buf *out)
{
    struct sse_reader r;
    struct sse_event e;
    sse_reader_init(&r, max);
    int rc = 0;
    for (size_t at = 0; at < in.n && rc >= 0; at += step) {
        sse_feed(&r, str_sub(in, at, at + step));
        while ((rc = sse_next(&r, &e)) == 1)
            buf_printf(out, "%.*s|%.*s|%.*s;", STR(e.type), STR(e.data), STR(e.id));
    }
    if (rc == 0) {
        buf_puts(out, sse_is_inside_event(&r) ? "[open]" : "");
        if (sse_finish(&r, &e) == 1)
            buf_printf(out, "%.*s|%.*s|%.*s;", STR(e.type), STR(e.data), STR(e.id));
    }
    sse_reader_deinit(&r);
    return rc;
}

static void check_stream(struct str in, const char *want)
{
    for (size_t step = 1; step <= in.n; step++) {
        struct buf out;
        buf_init(&out, 100000);
        CHECK_INT(run(in, step, 1000, &out), 0);
        if (!CHECK_STR(buf_str(&out), str_c(want)))
            printf("    at step %zu\n", step);
        buf_deinit(&out);
    }
}

TEST(events_are_read_at_any_split)
{
    check_stream(S("data: one\n\ndata: two\n\n"), "|one|;|two|;");
    check_stream(S("event: ping\ndata: {\"type\": \"ping\"}\n\n"), "ping|{\"type\": \"ping\"}|;");
    check_stream(S("id: 7\r\nevent: e\r\ndata: a\r\ndata: b\r\n\r\ndata:x\r\n\r\n"), "e|a\nb|7;|x|;");
    check_stream(S("data: a\r\rdata: b\r\r"), "|a|;|b|;");
    check_stream(S("data: a\r\n\ndata: b\n\r\ndata: c\n\r"), "|a|;|b|;|c|;");
    check_stream(S("data: \xe2\x82\xac\xf0\x9f\x98\x80\n\n"), "|\xe2\x82\xac\xf0\x9f\x98\x80|;");
}

TEST(what_is_not_an_event_is_skipped)
{
    check_stream(S(": heartbeat\n\n: more\n:\n\ndata: a\n\n"), "|a|;");
    check_stream(S("event: lonely\n\nretry: 3000\nfoo: bar\nnonsense\ndata: a\n\n"), "|a|;");
    check_stream(S("\n\n\r\n\r\rdata: a\n\n\n\n"), "|a|;");
    check_stream(S("\xef\xbb\xbf"
                   "data: a\n\n\xef\xbb\xbf"
                   "data: b\n\n"),
                 "|a|;");
    check_stream(S("\xef\xbb\xbf\n\ndata: b\n\n"), "|b|;");
    check_stream(S("id: a\0b\ndata: x\n\n"), "|x|;");
}

TEST(data_keeps_its_blanks_and_empty_lines)
{
    check_stream(S("data:  two blanks \n\n"), "| two blanks |;");
    check_stream(S("data\n\ndata:\ndata\n\n"), "||;|\n|;");
    check_stream(S("data:\ndata: x\ndata:\n\n"), "|\nx\n|;");
}

TEST(an_unfinished_event_is_not_given_out_but_can_be_asked_for)
{
    check_stream(S("data: a\n\ndata: b"), "|a|;[open]|b|;");
    check_stream(S("data: a\n\ndata: b\nevent: x\n"), "|a|;[open]x|b|;");
    check_stream(S("data: a\n\n"), "|a|;");
    check_stream(S(": only a comment"), "[open]");
}

TEST(an_event_has_a_limit)
{
    struct buf out, in;
    buf_init(&out, 1 << 20);
    buf_init(&in, 1 << 20);
    for (int i = 0; i < 300; i++)
        buf_puts(&in, "data: 0123456789\n");
    CHECK_INT(run(buf_str(&in), 100, 1000, &out), ERR_LIMIT);
    CHECK_INT(run(buf_str(&in), 7, 1000, &out), ERR_LIMIT);
    buf_clear(&in);
    for (int i = 0; i < 2000; i++)
        buf_putc(&in, 'x');
    CHECK_INT(run(buf_str(&in), 100, 1000, &out), ERR_LIMIT);
    buf_clear(&in);
    for (int i = 0; i < 2000; i++)
        buf_puts(&in, ": comments never add up\n");
    CHECK_INT(run(buf_str(&in), 100, 1000, &out), 0);
    buf_deinit(&in);
    buf_deinit(&out);
}

TEST(what_is_written_is_read_back)
{
    struct buf out, back;
    buf_init(&out, 10000);
    buf_init(&back, 10000);
    sse_write(&out, S("ev\nil"), S("a\nb\r\nc\rd"));
    sse_write(&out, S(""), S(""));
    sse_write_comment(&out, S("ping\ndata: forged\n\n"));
    sse_write(&out, S(""), S("{\"x\":1}"));
    CHECK_STR(buf_str(&out), S("event: evil\ndata: a\ndata: b\ndata: c\ndata: d\n\ndata: \n\n"
                               ": pingdata: forged\n\ndata: {\"x\":1}\n\n"));
    CHECK_INT(run(buf_str(&out), 3, 1000, &back), 0);
    CHECK_STR(buf_str(&back), S("evil|a\nb\nc\nd|;||;|{\"x\":1}|;"));
    buf_deinit(&out);
    buf_deinit(&back);
}
