/* wire_test.c - Durations, dates, headers, base64, spliced bodies, wrapped signatures. */
#include "api/write_int.h"
#include "base/test.h"

TEST(durations_of_every_vendor_are_read)
{
    CHECK_INT(duration_ms(S("12ms")), 12);
    CHECK_INT(duration_ms(S("6m0s")), 360000);
    CHECK_INT(duration_ms(S("1h2m3.5s")), 3723500);
    CHECK_INT(duration_ms(S("34.074824224s")), 34075);
    CHECK_INT(duration_ms(S("250us")), 0);
    CHECK_INT(duration_ms(S("")), -1);
    CHECK_INT(duration_ms(S("5")), -1);
    CHECK_INT(duration_ms(S("s")), -1);
    CHECK_INT(duration_ms(S("1s-")), -1);
    CHECK_INT(duration_ms(S("99999999999999999999h")), -1);
}

TEST(retry_after_is_read_in_all_its_forms)
{
    const int64_t now = 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT */
    struct chat_header h = {S("Retry-After"), S("3")};
    CHECK_INT(header_retry_after_ms(&h, 1, now), 3000);
    h.value = S("0.5");
    CHECK_INT(header_retry_after_ms(&h, 1, now), 500);
    h.value = S("Sun, 06 Nov 1994 08:50:07 GMT");
    CHECK_INT(header_retry_after_ms(&h, 1, now), 30000);
    h.value = S("Sun, 06 Nov 1994 08:49:00 GMT");
    CHECK_INT(header_retry_after_ms(&h, 1, now), 0);
    h.value = S("20s");
    CHECK_INT(header_retry_after_ms(&h, 1, now), 20000);
    h.value = S("-1");
    CHECK_INT(header_retry_after_ms(&h, 1, now), -1);
    h.value = S("Sun, 99 Xxx 1994 08:49:00 GMT");
    CHECK_INT(header_retry_after_ms(&h, 1, now), -1);
    CHECK_INT(header_retry_after_ms(NULL, 0, now), -1);
    struct chat_header two[] = {{S("retry-after"), S("3")}, {S("RETRY-AFTER-MS"), S("1500.4")}};
    CHECK_INT(header_retry_after_ms(two, 2, now), 1500);
}

TEST(rfc3339_times_are_read_and_written)
{
    struct buf b;
    CHECK_INT(rfc3339_ms(S("1970-01-01T00:00:00Z")), 0);
    CHECK_INT(rfc3339_ms(S("2024-02-29T12:00:00Z")), 1709208000000);
    CHECK_INT(rfc3339_ms(S("2024-02-29T12:00:00.25Z")), 1709208000250);
    CHECK_INT(rfc3339_ms(S("2024-02-29T14:00:00+02:00")), 1709208000000);
    CHECK_INT(rfc3339_ms(S("2024-02-29T12:00:00")), -1);
    CHECK_INT(rfc3339_ms(S("2024-13-29T12:00:00Z")), -1);
    CHECK_INT(rfc3339_ms(S("yesterday")), -1);
    buf_init(&b, 100);
    rfc3339_write(1709208000999, &b);
    CHECK_STR(buf_str(&b), S("2024-02-29T12:00:00Z"));
    buf_deinit(&b);
}

TEST(base64_goes_both_ways)
{
    struct arena a;
    struct buf b;
    const char bytes[] = "\xff\xfe\x00\x01sluice";
    arena_init(&a, 1 << 20);
    buf_init(&b, 1000);
    for (size_t n = 0; n < sizeof(bytes); n++) {
        buf_clear(&b);
        base64_write(&b, str_of(bytes, n));
        CHECK_STR(base64_read(buf_str(&b), &a), str_of(bytes, n));
    }
    CHECK_STR(base64_read(S("_-8"), &a), str_of("\xff\xef", 2)); /* the other alphabet, no padding */
    CHECK(!base64_read(S("a"), &a).p);
    CHECK(!base64_read(S("ab c"), &a).p);
    buf_deinit(&b);
    arena_deinit(&a);
}

static void check_splice(const char *body, const struct splice *edits, size_t n, const char *want)
{
    struct arena a;
    struct json_doc doc;
    struct buf out;
    arena_init(&a, 1 << 20);
    buf_init(&out, 1000);
    REQUIRE(json_parse(&doc, &a, str_c(body), NULL) == OK);
    splice_write(&doc, edits, n, &out);
    CHECK_STR(buf_str(&out), str_c(want));
    CHECK(json_parse(&doc, &a, buf_str(&out), NULL) == OK);
    buf_deinit(&out);
    arena_deinit(&a);
}

TEST(splicing_leaves_every_other_byte_alone)
{
    const struct splice model = {"model", NULL, S("\"x\"")}, add = {"b", NULL, S("1")};
    const struct splice inner = {"o", "i", S("true")}, gone = {"model", NULL, {0}};
    const struct splice both[] = {model, add}, swap[] = {add, gone};
    check_splice("{ \"model\" : \"long name\", \"z\":1.50 }", &model, 1, "{ \"model\" : \"x\", \"z\":1.50 }");
    check_splice("{\"a\":1,\"\\u006dodel\":2}", &model, 1, "{\"a\":1,\"\\u006dodel\":\"x\"}");
    check_splice("{}", both, 2, "{\"model\":\"x\",\"b\":1}");
    check_splice("{ }", &add, 1, "{\"b\":1 }");
    check_splice("{\"model\":1}", swap, 2, "{\"b\":1}");
    check_splice("{\"model\":1,\"c\":2}", &gone, 1, "{\"c\":2}");
    check_splice("{\"c\":2 , \"model\":1}", &gone, 1, "{\"c\":2 }");
    check_splice("{\"c\":2,\"model\":1}", swap, 2, "{\"c\":2,\"b\":1}");
    check_splice("{\"o\":{\"i\":false}}", &inner, 1, "{\"o\":{\"i\":true}}");
    check_splice("{\"o\":{}}", &inner, 1, "{\"o\":{\"i\":true}}");
    check_splice("{\"o\":{\"j\":1}}", &inner, 1, "{\"o\":{\"j\":1,\"i\":true}}");
    check_splice("{\"o\":null}", &inner, 1, "{\"o\":{\"i\":true}}");
    check_splice("{\"c\":\"{\"}", &inner, 1, "{\"c\":\"{\",\"o\":{\"i\":true}}");
    check_splice("{\"c\":2}", &gone, 1, "{\"c\":2}");
}

TEST(a_signature_returns_to_its_owner_unchanged)
{
    static const enum dialect_id owners[] = {DIALECT_ANTHROPIC, DIALECT_GEMINI, DIALECT_OPENAI_CHAT};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            for (int redacted = 0; redacted < 2; redacted++) {
                struct buf b;
                enum dialect_id from = DIALECT_NONE;
                bool was_redacted = redacted;
                buf_init(&b, 1000);
                signature_wrap(&b, S("c2ln"), owners[i], redacted, owners[k]);
                struct str back = signature_unwrap(buf_str(&b), owners[k], &from, &was_redacted);
                CHECK_STR(back, S("c2ln"));
                CHECK_INT(from, owners[i]);
                CHECK_INT(was_redacted, redacted);
                buf_deinit(&b);
            }
}

TEST(paths_name_their_dialects)
{
    static const struct {
        const char *path;
        enum dialect_id id;
    } rows[] = {
        {"/v1/chat/completions", DIALECT_OPENAI_CHAT},
        {"/v1/completions", DIALECT_OPENAI_COMPLETIONS},
        {"/v1/embeddings", DIALECT_OPENAI_EMBEDDINGS},
        {"/v1/messages", DIALECT_ANTHROPIC},
        {"/v1/messages/count_tokens", DIALECT_ANTHROPIC},
        {"/v1beta/models/a:b:generateContent", DIALECT_GEMINI},
        {"/v1beta/models/x:streamGenerateContent", DIALECT_GEMINI},
        {"/v1beta/models/x:countTokens", DIALECT_GEMINI},
        {"/v1beta/models/x:predict", DIALECT_NONE},
        {"/v1beta/models/x", DIALECT_NONE},
        {"/v1/messages/", DIALECT_NONE},
        {"/health", DIALECT_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct dialect *d = dialect_of_path(str_c(rows[i].path));
        CHECK_INT(d ? d->id : DIALECT_NONE, rows[i].id);
    }
}

TEST(limits_are_read_as_each_vendor_writes_them)
{
    struct rate_limits l;
    const struct chat_header openai[] = {{S("x-ratelimit-limit-requests"), S("100")},
                                         {S("x-ratelimit-remaining-tokens"), S("-1")},
                                         {S("x-ratelimit-reset-requests"), S("6m0s")},
                                         {S("x-ratelimit-reset-tokens"), S("12ms")}};
    dialect_get(DIALECT_OPENAI_CHAT)->read_limits(openai, 4, 0, &l);
    CHECK_INT(l.limit_requests, 100);
    CHECK_INT(l.remaining_tokens, -1);
    CHECK_INT(l.reset_requests_ms, 360000);
    CHECK_INT(l.reset_tokens_ms, 12);
    const struct chat_header anthropic[] = {
        {S("anthropic-ratelimit-tokens-remaining"), S("5")},
        {S("anthropic-ratelimit-tokens-reset"), S("2024-02-29T12:00:30Z")}};
    dialect_get(DIALECT_ANTHROPIC)->read_limits(anthropic, 2, 1709208000000, &l);
    CHECK_INT(l.remaining_tokens, 5);
    CHECK_INT(l.reset_tokens_ms, 30000);
    CHECK_INT(l.limit_requests, -1);
}

TEST(limits_are_written_with_the_wait_rounded_up)
{
    struct rate_limits l;
    struct buf b;
    rate_limits_init(&l);
    l.limit_requests = 600;
    l.reset_requests_ms = 61500;
    l.retry_after_ms = 1001;
    buf_init(&b, 4000);
    limits_write_openai(&l, 0, &b);
    CHECK_STR(buf_str(&b), S("x-ratelimit-limit-requests: 600\r\nx-ratelimit-reset-requests: 1m1s\r\n"
                             "retry-after: 2\r\nretry-after-ms: 1001\r\n"));
    buf_deinit(&b);
}

/* Clients' own parsers decide: comments for OpenAI's, a named ping for Anthropic's, and only white
 * space for Google's, whose Python SDK takes a comment for broken JSON. */
TEST(heartbeats_are_what_the_clients_skip)
{
    static const struct {
        enum dialect_id id;
        const char *bytes;
    } rows[] = {{DIALECT_OPENAI_CHAT, ": waiting\n\n"},
                {DIALECT_ANTHROPIC, "event: ping\ndata: {\"type\":\"ping\"}\n\n"},
                {DIALECT_GEMINI, "\r\n\r\n"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chat_request req = {.n = 1, .is_stream = true};
        struct dialect_reply reply = {0};
        struct buf b;
        buf_init(&b, 1000);
        struct dialect_writer *w = dialect_get(rows[i].id)->writer_new(&req, &reply);
        dialect_get(rows[i].id)->writer_heartbeat(w, &b);
        CHECK_STR(buf_str(&b), str_c(rows[i].bytes));
        dialect_get(rows[i].id)->writer_free(w);
        buf_deinit(&b);
    }
}

/* A hundred parallel calls, each answered by a message of its own. */
TEST(every_result_of_a_large_turn_finds_its_call)
{
    struct arena a;
    struct buf body;
    struct chat_request *req = NULL;
    struct chat_error e;
    enum { N = 100 };
    arena_init(&a, 16 << 20);
    buf_init(&body, 1 << 20);
    buf_puts(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[");
    for (int i = 0; i < N; i++)
        buf_printf(
            &body,
            "%s{\"id\":\"c%d\",\"type\":\"function\",\"function\":{\"name\":\"f%d\",\"arguments\":\"\"}}",
            i ? "," : "", i, i);
    buf_puts(&body, "]}");
    for (int i = 0; i < N; i++)
        buf_printf(&body, ",{\"role\":\"tool\",\"tool_call_id\":\"c%d\",\"content\":\"x\"}", i);
    buf_puts(&body, "]}");
    struct dialect_in in = {.path = S("/v1/chat/completions"), .body = buf_str(&body)};
    REQUIRE(dialect_get(DIALECT_OPENAI_CHAT)->read_request(&in, &a, &req, &e) == OK);
    REQUIRE(req->n_messages == N + 1);
    for (int i = 0; i < N; i++)
        CHECK_STR(req->messages[i + 1].parts[0].name, arena_printf(&a, "f%d", i));
    buf_deinit(&body);
    arena_deinit(&a);
}
