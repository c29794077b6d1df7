#include "base/json.h"
#include "base/rand.h"
#include "base/test.h"
#include "gateway/validate_int.h"

/* The byte-wise reader and the whole one agree on what JSON is, and where it stops being it. */
TEST(the_stream_check_agrees_with_the_json_reader)
{
    static const char *const texts[] = {"{\"a\":[1,-0.5e+3,true,null,\"x\\u00e9\\n\"],\"b\":{}}",
                                        " [ ] ",
                                        "0",
                                        "-1.5E-2",
                                        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
                                        "[1,]",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "01",
                                        "1.",
                                        "[1 2]",
                                        "{\"a\" 1}",
                                        "tru",
                                        "nul1",
                                        "\"\\x\"",
                                        "\"\x01\"",
                                        "[1]]",
                                        "\"\xc0\xaf\"",
                                        "\"\xed\xa0\x80\"",
                                        "-",
                                        "1e",
                                        "",
                                        "{\"a\":1",
                                        "[[[[1]]]]",
                                        "\"a",
                                        "1e5x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct arena arena;
        struct json_doc doc;
        struct stream_check s;
        arena_init(&arena, 1 << 16);
        bool want = json_parse(&doc, &arena, str_c(texts[i]), NULL) == OK;
        stream_check_init(&s, false);
        bool got = stream_check_feed(&s, str_c(texts[i])) == strlen(texts[i]) && stream_check_is_whole(&s);
        if (got != want)
            test_fail(__FILE__, __LINE__, "%s: %d, expected %d", texts[i], got, want);
        arena_deinit(&arena);
    }
}

TEST(the_first_wrong_byte_is_named)
{
    struct stream_check s;
    stream_check_init(&s, true);
    CHECK_INT(stream_check_feed(&s, S("{\"a\"")), 4);
    CHECK_INT(stream_check_feed(&s, S(" : [1, x]")), 7);
    CHECK_INT(s.n_bytes, 11);
    stream_check_init(&s, true);
    CHECK_INT(stream_check_feed(&s, S("Sure! {")), 0);
    CHECK_STR(str_c(s.why), S("an object must begin"));
}

TEST(random_bytes_behind_json_agree_with_the_json_reader)
{
    struct rng rng = rng_seeded(7);
    static const char alphabet[] = "{}[]\",:0123456789.eE+- \\untrfalse";
    int n_good = 0;
    for (int round = 0; round < 20000; round++) {
        char text[16];
        size_t n = rng_below(&rng, 8);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        struct arena arena;
        struct json_doc doc;
        struct stream_check s;
        arena_init(&arena, 1 << 16);
        bool want = json_parse(&doc, &arena, str_of(text, n), NULL) == OK;
        stream_check_init(&s, false);
        bool got = stream_check_feed(&s, str_of(text, n)) == n && stream_check_is_whole(&s);
        if (got != want && !str_starts(str_of(text, n), S("{"))) /* doubled keys are the whole reader's */
            test_fail(__FILE__, __LINE__, "%.*s: %d, expected %d", (int)n, text, got, want);
        n_good += got;
        arena_deinit(&arena);
    }
    CHECK(n_good > 100);
}

TEST(white_space_is_folded_for_citations)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    CHECK_STR(validate_fold(S("  a\n\tb\xc2\xa0 c "), &a), S("a b c"));
    CHECK_STR(validate_fold(S(" \n"), &a), S(""));
    arena_deinit(&a);
}

/* Every beginning of a valid text is one, and at the given byte a wrong one stops being it. */
TEST(a_text_that_is_only_begun_is_judged_by_its_schema)
{
    static const struct {
        const char *schema, *text;
        int first_wrong; /* -1: none */
    } cases[] = {
        {"{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":99},\"b\":{\"enum\":[\"red\",\"rose\"]}},"
         "\"required\":[\"a\",\"b\"],\"additionalProperties\":false,\"minProperties\":2}",
         "{ \"a\" : 12 , \"b\":\"ro\\u0073e\" }", -1},
        {"{\"properties\":{\"b\":{\"enum\":[\"red\",\"rose\"]}}}", "{\"b\":\"rust\"}", 7},
        {"{\"properties\":{\"a\":{\"maximum\":99}}}", "{\"a\":123,\"b\":1}", 8},
        {"{\"additionalProperties\":false,\"properties\":{\"a\":{}}}", "{\"a\":1,\"ab\":2}", 10},
        {"{\"type\":\"array\",\"maxItems\":2}", "[1,2,3]", 5},
        {"{\"type\":\"object\"}", "[1]", 0},
        {"{\"maxLength\":3}", "\"abcd\"", 4},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"items\":{\"type\":\"string\"}}]}", "[\"a\",true]", 5},
        {"{\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}],\"not\":{\"required\":[\"c\"]}}",
         "{\"a\":[1,{\"x\":-1.5e+3}]}", -1},
        {"{\"type\":\"array\",\"contains\":{\"const\":7},\"uniqueItems\":true,\"minItems\":2}", "[1,7]", -1},
        {"{\"type\":\"integer\"}", "15", -1},
        {"{\"const\":false}", "false", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schema *s = NULL;
        struct schema_checker *k = NULL;
        struct stream_check syntax;
        REQUIRE(schema_read(&s, str_c(cases[i].schema), NULL) == OK);
        REQUIRE(schema_checker_create(&k, s, NULL) == OK);
        stream_check_init(&syntax, false);
        int wrong = -1;
        for (size_t n = 0; n < strlen(cases[i].text) && wrong < 0; n++) {
            struct buf whole;
            size_t n_real = 0;
            bool is_number_open = false;
            REQUIRE(stream_check_feed(&syntax, str_of(cases[i].text + n, 1)) == 1);
            buf_init(&whole, 1000);
            buf_add(&whole, cases[i].text, n + 1);
            if (stream_check_close(&syntax, &whole, &n_real, &is_number_open) &&
                schema_check_begun(k, buf_str(&whole), n_real, is_number_open, NULL) == ERR_FORMAT)
                wrong = (int)n;
            buf_deinit(&whole);
        }
        if (wrong != cases[i].first_wrong)
            test_fail(__FILE__, __LINE__, "%s with %s: wrong at %d, expected %d", cases[i].schema,
                      cases[i].text, wrong, cases[i].first_wrong);
        CHECK((schema_check_text(k, str_c(cases[i].text), NULL) == OK) == (cases[i].first_wrong < 0));
        schema_checker_free(k);
        schema_free(s);
    }
}
