#include "base/json.h"
#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>

static struct arena arena;

static int parse(struct json_doc *doc, struct str text, struct err *err)
{
    arena_deinit(&arena);
    arena_init(&arena, 1 << 20);
    return json_parse(doc, &arena, text, err);
}

TEST(values_keep_their_span_and_order)
{
    struct json_doc doc;
    struct err err = {0};
    struct str text = S(" {\"b\" : 1.50, \"a\":[true, null, {\"x\":\"y\"}],\"e\":{}} ");
    REQUIRE(parse(&doc, text, &err) == OK);
    struct json root = json_root(&doc);
    CHECK_INT(json_count(root), 3);
    CHECK_STR(json_span(json_get(root, "b")), S("1.50"));
    CHECK_STR(json_span(json_get(root, "a")), S("[true, null, {\"x\":\"y\"}]"));
    CHECK(json_text_is(json_get(json_at(json_get(root, "a"), 2), "x"), "y"));
    CHECK(!json_exists(json_get(json_get(root, "nothing"), "deeper")));
    struct json_iter it = json_iter(root);
    CHECK(json_next(&it) && str_eq(it.key, S("b")) && it.i == 0);
    CHECK(json_next(&it) && str_eq(it.key, S("a")));
    CHECK(json_next(&it) && str_eq(it.key, S("e")) && json_count(it.value) == 0);
    CHECK(!json_next(&it));
    arena_deinit(&arena);
}

TEST(what_is_not_json_is_refused_with_its_place)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "tru",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a",
        "\"\x01\"",
        "[1] 2",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "\"\xff\"",
        "\"\xed\xa0\x80\"",
        "nul",
        "[1 2]",
        "{\"a\":}",
        "\"\\ud8\"",
        "NaN",
        "'a'",
        "[\"\\\"]",
    };
    struct json_doc doc;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        if (parse(&doc, str_c(bad[i]), &err) == OK)
            test_fail(__FILE__, __LINE__, "accepted: %s", bad[i]);
        CHECK(strstr(err.text, "byte ") != NULL);
    }
    arena_deinit(&arena);
}

TEST(duplicate_keys_are_found_among_many)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_putc(&b, '{');
    for (int i = 0; i < 500; i++)
        buf_printf(&b, "\"k%d\":%d,", i, i);
    size_t n = b.n;
    buf_puts(&b, "\"z\":0}");
    struct json_doc doc;
    CHECK(parse(&doc, buf_str(&b), NULL) == OK);
    b.n = n;
    buf_puts(&b, "\"k\\u0033\":0}"); /* k3 again, written differently */
    struct err err = {0};
    CHECK_INT(parse(&doc, buf_str(&b), &err), ERR_FORMAT);
    buf_deinit(&b);
    arena_deinit(&arena);
}

TEST(depth_and_memory_have_limits)
{
    char deep[2 * JSON_DEPTH_MAX + 4];
    memset(deep, '[', sizeof deep);
    struct json_doc doc;
    CHECK_INT(parse(&doc, str_of(deep, sizeof deep), NULL), ERR_LIMIT);
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    CHECK_INT(parse(&doc, str_of(deep, 2 * JSON_DEPTH_MAX), NULL), OK);
    arena_deinit(&arena);
    arena_init(&arena, 4096);
    static char many[40000];
    memset(many, ',', sizeof many);
    many[0] = '[';
    for (size_t i = 1; i < sizeof many - 1; i += 2)
        many[i] = '1';
    many[sizeof many - 1] = ']';
    CHECK_INT(json_parse(&doc, &arena, str_of(many, sizeof many), NULL), ERR_NOMEM);
    arena_deinit(&arena);
}

TEST(texts_undo_escapes)
{
    struct json_doc doc;
    REQUIRE(parse(&doc, S("[\"a\\n\\u00e9\\ud83d\\ude00\\/\", \"\\ud800x\", \"plain\"]"), NULL) == OK);
    struct json root = json_root(&doc);
    CHECK_STR(json_text(json_at(root, 0), &arena), S("a\n\xc3\xa9\xf0\x9f\x98\x80/"));
    CHECK_STR(json_text(json_at(root, 1), &arena), S("\xef\xbf\xbdx"));
    CHECK(json_text(json_at(root, 2), &arena).p == json_span(json_at(root, 2)).p + 1);
    arena_deinit(&arena);
}

TEST(numbers_are_lossless_or_refused)
{
    struct json_doc doc;
    REQUIRE(parse(&doc, S("[9223372036854775807, 9223372036854775808, 1e3, 2.0, 2.5, -1, 1e400, 0.1]"),
                  NULL) == OK);
    struct json root = json_root(&doc);
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    CHECK(json_i64(json_at(root, 0), &i) && i == INT64_MAX);
    CHECK(!json_i64(json_at(root, 1), &i) && json_u64(json_at(root, 1), &u));
    CHECK(json_i64(json_at(root, 2), &i) && i == 1000);
    CHECK(json_u64(json_at(root, 3), &u) && u == 2);
    CHECK(!json_i64(json_at(root, 4), &i));
    CHECK(!json_u64(json_at(root, 5), &u));
    CHECK(!json_f64(json_at(root, 6), &d));
    CHECK(json_f64(json_at(root, 7), &d) && d == 0.1);
    arena_deinit(&arena);
}

TEST(writer_makes_what_the_reader_accepts)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    struct json_writer w = json_writer(&b);
    jw_begin_object(&w);
    jw_kv_str(&w, "t", S("\x01\"\\\n\xc3\xa9\xff"));
    jw_key(&w, "a");
    jw_begin_array(&w);
    jw_f64(&w, 0.1);
    jw_f64(&w, 1e300 * 1e300);
    jw_i64(&w, -5);
    jw_bool(&w, true);
    jw_begin_object(&w);
    jw_end_object(&w);
    jw_end_array(&w);
    jw_kv_null(&w, "n");
    jw_end_object(&w);
    CHECK_STR(buf_str(&b),
              S("{\"t\":\"\\u0001\\\"\\\\\\n\xc3\xa9\xef\xbf\xbd\",\"a\":[0.1,null,-5,true,{}],\"n\":null}"));
    struct json_doc doc;
    CHECK_INT(parse(&doc, buf_str(&b), NULL), OK);
    struct rng r = rng_seeded(1);
    for (int i = 0; i < 2000; i++) {
        union {
            uint64_t u;
            double d;
        } x = {.u = rng_next(&r)};
        buf_clear(&b);
        w = json_writer(&b);
        jw_f64(&w, x.d);
        double back;
        if (str_to_f64(buf_str(&b), &back))
            CHECK(back == x.d);
        else
            CHECK_STR(buf_str(&b), S("null"));
    }
    buf_deinit(&b);
    arena_deinit(&arena);
}

TEST(every_cut_of_a_document_is_refused_without_harm)
{
    struct str text = S("{\"a\":[1,2.5e-3,{\"b\":\"\\u00e9\\n\"}],\"c\":[true,false,null]}");
    struct json_doc doc;
    for (size_t n = 0; n < text.n; n++) {
        char *copy = str_dup_z(str_sub(text, 0, n));
        CHECK(parse(&doc, str_of(copy, n), NULL) != OK);
        free(copy);
    }
    arena_deinit(&arena);
}
