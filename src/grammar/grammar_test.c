/* grammar_test.c - Grammars from their spec to masks. */
#include "grammar/grammar.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/rand.h"
#include "base/test.h"
#include "grammar/alphabet.h"
#include "grammar/grammar_testkit.h"
#include "grammar/schema_check.h"

TEST(a_choice_accepts_its_texts_only)
{
    static const struct str words[] = {S("yes"), S("no"), S("not at all"), S("Grüße")};
    struct grammar_spec spec = {.kind = GRAMMAR_CHOICE, .choices = words, .n_choices = 4};
    CHECK(kit_accepts(&spec, S("yes")));
    CHECK(kit_accepts(&spec, S("no")));
    CHECK(kit_accepts(&spec, S("not at all")));
    CHECK(kit_accepts(&spec, S("Grüße")));
    CHECK(!kit_accepts(&spec, S("not")));
    CHECK(!kit_accepts(&spec, S("yess")));
    CHECK(!kit_accepts(&spec, S("")));
}

static bool regex_takes(const char *pattern, const char *text)
{
    struct grammar_spec spec = {.kind = GRAMMAR_REGEX, .text = str_c(pattern)};
    return kit_accepts(&spec, str_c(text));
}

TEST(a_regex_matches_the_whole_text)
{
    CHECK(regex_takes("[a-z]+", "abc"));
    CHECK(!regex_takes("[a-z]+", ""));
    CHECK(!regex_takes("[a-z]+", "abc1"));
    CHECK(regex_takes("^a(b|c)*d?$", "abcbcd"));
    CHECK(regex_takes("(?:\\d{3}-){2}\\d{4}", "555-123-4567"));
    CHECK(!regex_takes("(?:\\d{3}-){2}\\d{4}", "555-123-456"));
    CHECK(regex_takes("\\u00e9\\x41.[^a]", "éA€b"));
    CHECK(!regex_takes(".", "\n"));
    CHECK(regex_takes("[^a]{2,}?", "𝄞ßx"));
    CHECK(regex_takes("[\\ud834\\udd1e]", "𝄞"));
    CHECK(regex_takes("a||b", ""));
    CHECK(regex_takes("(a*)*b", "aaab"));
}

TEST(properties_of_characters_are_those_of_unicode)
{
    CHECK(regex_takes("\\p{L}+", "aßЖ日𐐀"));
    CHECK(!regex_takes("\\p{L}", "1"));
    CHECK(regex_takes("[\\p{Lu}\\p{Nd}_]{3}", "É٣_"));
    CHECK(!regex_takes("\\p{Uppercase_Letter}", "é"));
    CHECK(regex_takes("\\P{L}+", "1 !\U000e0001"));
    CHECK(regex_takes("\\p{Script=Greek}+", "αβΓ"));
    CHECK(!regex_takes("\\p{sc=Greek}", "a"));
    CHECK(regex_takes("\\p{Cn}\\p{Co}", "\U0001fffe\U0010fffd"));
    CHECK(regex_takes("[^\\p{L}\\p{M}]", "-"));
}

TEST(the_alphabet_of_scripts_has_letters_only)
{
    struct grammar_spec spec = {.kind = GRAMMAR_REGEX, .text = S("\\p{L}")};
    struct grammar *g;
    int n = 0;
    REQUIRE(grammar_compile(&g, &spec, NULL, NULL, NULL) == OK);
    for (uint32_t c = 0; c < 0x10000; c++) {
        struct grammar_state *s;
        char b[3] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};
        struct str text = str_of(b, 3);
        if (c < 0x800) {
            b[1] = (char)(0xc0 | c >> 6);
            text = c < 0x80 ? str_of(b + 2, 1) : str_of(b + 1, 2);
        }
        b[2] = c < 0x80 ? (char)c : b[2];
        if (!alphabet_has(ALPHABET_SCRIPTS, text))
            continue;
        n++;
        REQUIRE(grammar_state_create(&s, g, NULL) == OK);
        if (!grammar_state_accept(s, text))
            test_fail(__FILE__, __LINE__, "U+%04x is no letter", c);
        grammar_state_free(s);
    }
    CHECK(n > 30000);
    grammar_release(g);
}

TEST(what_no_text_can_fulfil_is_refused)
{
    struct grammar_spec spec = {.kind = GRAMMAR_REGEX, .text = S("a[]")};
    struct grammar_error e;
    struct grammar *g;
    CHECK_INT(grammar_compile(&g, &spec, NULL, NULL, &e), ERR_ARG);
    CHECK_STR(str_c(e.err.text), S("no text can fulfil the grammar"));
}

/* Every text of up to four of some characters, beside the validator, which asks PCRE2. */
static void compare_with_validator(const char *pattern)
{
    static const char *const chars[] = {"a", "_", " ", "-", "é"};
    struct schema_checker *checker;
    struct schema *schema;
    struct buf text;
    buf_init(&text, 1024);
    buf_puts(&text, "{\"type\":\"string\",\"pattern\":");
    json_quote(&text, str_c(pattern));
    buf_puts(&text, "}");
    struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA, .text = buf_str(&text)};
    struct grammar *g;
    REQUIRE(schema_read(&schema, spec.text, NULL) == OK);
    REQUIRE(schema_checker_create(&checker, schema, NULL) == OK);
    REQUIRE(grammar_compile(&g, &spec, NULL, NULL, NULL) == OK);
    for (int k = 1; k < 5 * 5 * 5 * 5 * 2; k++) { /* its digits to the base 5, below the first one */
        struct schema_fault fault;
        struct grammar_state *s;
        char said[32] = "\"";
        size_t n = 1;
        for (int left = k; left >= 5; left /= 5)
            n += (size_t)snprintf(said + n, sizeof said - n, "%s", chars[left % 5]);
        said[n++] = '"';
        REQUIRE(grammar_state_create(&s, g, NULL) == OK);
        bool is_taken = grammar_state_accept(s, str_of(said, n)) && grammar_state_may_end(s);
        grammar_state_free(s);
        if (is_taken != (schema_check_text(checker, str_of(said, n), &fault) == OK)) {
            test_fail(__FILE__, __LINE__, "%s: %.*s is %s", pattern, (int)n, said,
                      is_taken ? "taken" : "refused");
            break;
        }
    }
    grammar_release(g);
    schema_checker_free(checker);
    schema_free(schema);
    buf_deinit(&text);
}

TEST(edges_of_words_are_where_the_validator_sees_them)
{
    static const char *const patterns[] = {"\\ba\\b",
                                           "\\Ba",
                                           "a\\B",
                                           "^\\b",
                                           "\\b$",
                                           "\\B$",
                                           "^\\B",
                                           "\\b\\B|a",
                                           "\\b^a",
                                           "a$\\b",
                                           "_$\\B|-$\\B",
                                           "(?:\\b-|a\\B)a",
                                           "^(?:\\b[a_]+\\b ?)+$",
                                           "\\b|^$",
                                           "(?:a\\b|\\Ba)*$",
                                           "^(?:\\b|-)*a",
                                           "é\\ba",
                                           "\\b.\\b.\\B"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        compare_with_validator(patterns[i]);
}

TEST(a_regex_that_cannot_be_held_says_where)
{
    static const struct {
        const char *pattern, *where;
        int code;
    } bad[] = {{"ab(?=c)", "offset 2", ERR_UNSUPPORTED}, {"(a)\\1", "offset 3", ERR_UNSUPPORTED},
               {"a\\b+", "offset 3", ERR_FORMAT},        {"a\\p{Nope}", "offset 1", ERR_UNSUPPORTED},
               {"a(b", "offset 1", ERR_FORMAT},          {"a)", "offset 1", ERR_FORMAT},
               {"[b-a]", "offset 1", ERR_FORMAT},        {"a**", "offset 2", ERR_FORMAT},
               {"x{3,2}", "offset 1", ERR_FORMAT},       {"x{99999}", "offset 1", ERR_LIMIT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct grammar_spec spec = {.kind = GRAMMAR_REGEX, .text = str_c(bad[i].pattern)};
        struct grammar_error e;
        struct grammar *g;
        CHECK_INT(grammar_compile(&g, &spec, NULL, NULL, &e), bad[i].code);
        CHECK(g == NULL);
        CHECK_STR(str_c(e.where), str_c(bad[i].where));
    }
}

TEST(a_pattern_that_explodes_is_refused_in_time)
{
    struct grammar_spec spec = {.kind = GRAMMAR_REGEX, .text = S("(a|b)*a(a|b){200}")};
    struct grammar_error e;
    struct grammar *g;
    CHECK_INT(grammar_compile(&g, &spec, NULL, NULL, &e), ERR_LIMIT);
}

TEST(any_json_object_is_followed)
{
    struct grammar_spec spec = {.kind = GRAMMAR_JSON_OBJECT};
    static const char *good[] = {
        "{}", "{\"a\":1}",
        "{ \"a\": [1, -2.5e10, \"x\\n\\u00e9\\ud834\\udd1e\", {}, [], null, true, false] }",
        "{\n    \"é\": {\n        \"b\": 0.25\n    }\n}", "{\"a\":1e-7,\"b\":1e+300}"};
    static const char *bad[] = {"",
                                "[]",
                                "{\"a\":01}",
                                "{\"a\"}",
                                "{\"a\":1,}",
                                "{a:1}",
                                "{\"a\":}",
                                "{\"a\":1}}",
                                "{\"a\":\"\x01\"}",
                                "{\"a\":\"\\ud834\"}",
                                "{\"a\":1e999}",
                                " {}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!kit_accepts(&spec, str_c(good[i])))
            test_fail(__FILE__, __LINE__, "refuses %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (kit_accepts(&spec, str_c(bad[i])))
            test_fail(__FILE__, __LINE__, "takes %s", bad[i]);
}

TEST(nesting_ends_where_readers_would_refuse)
{
    struct grammar_spec spec = {.kind = GRAMMAR_JSON_VALUE};
    char text[400];
    for (int deep = 100; deep <= 180; deep += 80) {
        memset(text, '[', (size_t)deep);
        memset(text + deep, ']', (size_t)deep);
        CHECK_INT(kit_accepts(&spec, str_of(text, (size_t)deep * 2)), deep == 100);
    }
}

TEST(masks_lead_to_valid_texts_whatever_is_chosen)
{
    static const struct str choices[] = {S("red"), S("green")};
    const struct grammar_spec specs[] = {
        {.kind = GRAMMAR_JSON_OBJECT},
        {.kind = GRAMMAR_JSON_VALUE, .space = GRAMMAR_SPACE_NONE},
        {.kind = GRAMMAR_CHOICE, .choices = choices, .n_choices = 2},
        {.kind = GRAMMAR_REGEX, .text = S("(?:[a-f0-9]{2}:){5}[a-f0-9]{2}|é+ß{2,}")},
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        kit_wander(&specs[i], 40);
}

TEST(a_tool_grammar_lets_text_pass_and_holds_calls)
{
    static const struct str mark[] = {S("<call>")};
    const struct grammar_spec call[] = {{.kind = GRAMMAR_MARK, .text = S("<call>")},
                                        {.kind = GRAMMAR_JSON_OBJECT, .space = GRAMMAR_SPACE_NONE},
                                        {.kind = GRAMMAR_LITERAL, .text = S("</call>")},
                                        {.kind = GRAMMAR_FREE, .choices = mark, .n_choices = 1}};
    const struct grammar_spec one = {.kind = GRAMMAR_SEQUENCE, .parts = call, .n_parts = 4};
    const struct grammar_spec all[] = {
        {.kind = GRAMMAR_FREE, .choices = mark, .n_choices = 1},
        {.kind = GRAMMAR_REPEAT, .parts = &one, .n_parts = 1, .max = GRAMMAR_NO_MAX}};
    const struct grammar_spec spec = {.kind = GRAMMAR_SEQUENCE, .parts = all, .n_parts = 2};
    CHECK(kit_accepts(&spec, S("")));
    CHECK(kit_accepts(&spec, S("a < b <cal and <<call more")));
    CHECK(kit_accepts(&spec, S("so <<call>{\"a\":1}</call> and <call>{}</call>")));
    CHECK(!kit_accepts(&spec, S("so <call>{\"a\":1</call>")));
    CHECK(!kit_accepts(&spec, S("so <call>x")));
    kit_wander(&spec, 10);
}

TEST(a_mark_is_the_control_token_where_there_is_one)
{
    const struct grammar_token tokens[] = {{S("<c>"), GRAMMAR_TOKEN_CONTROL}, {S("<"), GRAMMAR_TOKEN_TEXT},
                                           {S("c"), GRAMMAR_TOKEN_TEXT},      {S(">"), GRAMMAR_TOKEN_TEXT},
                                           {S("\n"), GRAMMAR_TOKEN_TEXT},     {S("</s>"), GRAMMAR_TOKEN_END}};
    struct grammar_spec spec = {.kind = GRAMMAR_MARK, .text = S("<c>\n")};
    struct grammar_vocab *v;
    struct grammar *g;
    struct grammar_state *s;
    REQUIRE(grammar_vocab_create(&v, tokens, 6, NULL) == OK);
    REQUIRE(grammar_compile(&g, &spec, v, NULL, NULL) == OK);
    REQUIRE(grammar_state_create(&s, g, NULL) == OK);
    CHECK_INT(grammar_state_only_token(s), 0);
    CHECK(grammar_state_accept_token(s, 0));
    CHECK_INT(grammar_state_only_token(s), 4);
    CHECK(!grammar_state_accept_token(s, 5));
    CHECK(grammar_state_accept_token(s, 4));
    CHECK(grammar_state_is_done(s));
    CHECK_INT(grammar_state_only_token(s), 5);
    CHECK(grammar_state_accept_token(s, 5));
    CHECK_INT(grammar_state_only_token(s), -1);
    grammar_state_free(s);
    grammar_release(g);
    grammar_vocab_free(v);
}

TEST(clones_go_their_own_ways)
{
    static const struct str words[] = {S("ab"), S("ac")};
    struct grammar_spec spec = {.kind = GRAMMAR_CHOICE, .choices = words, .n_choices = 2};
    struct grammar *g;
    struct grammar_state *a, *b;
    REQUIRE(grammar_compile(&g, &spec, NULL, NULL, NULL) == OK);
    REQUIRE(grammar_state_create(&a, g, NULL) == OK);
    CHECK(grammar_state_accept(a, S("a")));
    b = grammar_state_clone(a);
    grammar_release(g); /* its states hold it */
    CHECK(grammar_state_accept(a, S("b")));
    CHECK(!grammar_state_accept(b, S("a")));
    CHECK(grammar_state_accept(b, S("c")));
    CHECK(grammar_state_is_done(a) && grammar_state_is_done(b));
    grammar_state_copy(a, b);
    grammar_state_free(b);
    CHECK(grammar_state_may_end(a));
    grammar_state_free(a);
}

TEST(the_strings_of_a_schema_may_stand_without_quotes)
{
    static const struct {
        const char *schema, *good, *bad;
    } cases[] = {
        {"{\"type\":\"string\",\"pattern\":\"^[a-z\\\"]+$\"}", "a\"b", "A"},
        {"{\"type\":\"string\",\"format\":\"date\"}", "2026-11-21", "2026-13-21"},
        {"{\"minLength\":2,\"maxLength\":3}", "a\n\xc3\xa9", "abcd"},
        {"{\"enum\":[\"a\\nb\",7]}", "a\nb", "7"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\",\"maxLength\":1}]}", "x", "null"},
        {"{\"type\":\"string\",\"not\":{\"type\":\"string\",\"pattern\":\"</p>\"}}", "a</p", "a</p>b"},
        {"true", "any \"thing\" \\", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA_TEXT, .text = str_c(cases[i].schema)};
        if (!kit_accepts(&spec, str_c(cases[i].good)) ||
            (cases[i].bad && kit_accepts(&spec, str_c(cases[i].bad))))
            test_fail(__FILE__, __LINE__, "%s", cases[i].schema);
    }
}
