#include <stdlib.h>

#include "base/test.h"
#include "grammar/schema_check.h"

static struct schema_fault fault;

static int check(const char *schema, const char *instance)
{
    struct schema *s = NULL;
    struct schema_checker *k = NULL;
    struct err err = {0};
    int rc = schema_read(&s, str_c(schema), &err);
    if (rc == OK)
        rc = schema_checker_create(&k, s, &err);
    fault = (struct schema_fault){0};
    if (rc != OK)
        snprintf(fault.text, sizeof fault.text, "%.390s", err.text);
    else
        rc = schema_check_text(k, str_c(instance), &fault);
    schema_checker_free(k);
    schema_free(s);
    return rc;
}

static void faults(const char *schema, const char *instance, const char *at, const char *keyword,
                   const char *text)
{
    CHECK_INT(check(schema, instance), ERR_FORMAT);
    CHECK_STR(str_c(fault.instance), str_c(at));
    CHECK_STR(str_c(fault.schema), str_c(keyword));
    CHECK_STR(str_c(fault.text), str_c(text));
}

TEST(a_fault_names_both_places_and_says_what_is_wrong)
{
    faults("{\"type\":\"object\"}", "[]", "", "#/type", "the value must be an object, not an array");
    faults("{\"properties\":{\"a\":{\"items\":{\"type\":[\"number\",\"null\"]}}}}", "{\"a\":[1,\"x\"]}",
           "/a/1", "#/properties/a/items/type", "the value at /a/1 must be null or a number, not a string");
    faults("{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", "", "#/required",
           "the value must have the property 'b'");
    faults("{\"additionalProperties\":false,\"properties\":{\"a\":true}}", "{\"a\":1,\"z\":2}", "",
           "#/additionalProperties", "the value must not have the property 'z'");
    faults("{\"items\":{\"maximum\":10}}", "[1,11]", "/1", "#/items/maximum",
           "the value at /1 must be at most 10, not 11");
    faults("{\"enum\":[\"a\",\"b\"]}", "\"c\"", "", "#/enum", "the value must be one of [\"a\",\"b\"]");
    faults("{\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"minLength\":2}}}", "\"\xf0\x9f\x98\x80\"", "",
           "#/$defs/x/minLength", "the value must have at least 2 characters, not 1");
}

TEST(of_several_branches_the_closest_is_reported)
{
    const char *schema =
        "{\"anyOf\":[{\"type\":\"null\"},{\"properties\":{\"a\":{\"properties\":{\"b\":{\"const\":1}}}}}]}";
    faults(schema, "{\"a\":{\"b\":2}}", "/a/b", "#/anyOf/1/properties/a/properties/b/const",
           "the value at /a/b must be 1");
    faults("{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", "3", "", "#/anyOf",
           "the value matches none of the 2 schemas of anyOf");
    faults("{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3", "", "#/oneOf",
           "the value matches schemas 0 and 1 of oneOf, and must match only one");
}

TEST(what_is_no_json_is_a_fault_without_a_keyword)
{
    CHECK_INT(check("{}", "{\"a\":"), ERR_FORMAT);
    CHECK_STR(str_c(fault.schema), S(""));
    CHECK(str_find(str_c(fault.text), S("byte 5"), 0) != STR_NONE);
    CHECK_INT(check("{}", "```json\n{}\n```"), ERR_FORMAT);
}

TEST(patterns_mean_what_they_mean_in_ecmascript)
{
    static const struct {
        const char *pattern, *text;
        int rc;
    } cases[] = {
        {"^a.c$", "\"a\\u2028c\"", ERR_FORMAT},
        {"^a.c$", "\"a\\u000bc\"", OK},
        {"^a$", "\"a\\n\"", ERR_FORMAT},
        {"^\\\\s$", "\"\\ufeff\"", OK},
        {"^[\\\\s\\\\S]$", "\"\\ud83d\\ude00\"", OK},
        {"^[\\\\S]$", "\"\\u00a0\"", ERR_FORMAT},
        {"^\\\\d$", "\"\\u0663\"", ERR_FORMAT},
        {"^\\\\p{Letter}+$", "\"\\u00e9a\"", OK},
        {"^\\\\p{Script=Greek}$", "\"\\u03b1\"", OK},
        {"[[:alpha:]]", "\"z\"", ERR_FORMAT},
        {"^[[:]]$", "\"[]\"", OK},
        {"^\\\\u{1F600}$", "\"\\ud83d\\ude00\"", OK},
        {"^\\\\ud83d\\\\ude00$", "\"\\ud83d\\ude00\"", OK},
        {"^[^]$", "\"\\n\"", OK},
        {"[]", "\"a\"", ERR_FORMAT},
        {"^(a)?\\\\1b$", "\"b\"", OK},
        {"^a{,2}$", "\"a{,2}\"", OK},
        {"^\\\\v$", "\"\\u000b\"", OK},
        {"(?i)a", "\"a\"", ERR_UNSUPPORTED},
        {"a++", "\"a\"", ERR_UNSUPPORTED},
        {"(*ACCEPT)", "\"a\"", ERR_UNSUPPORTED},
        {"\\\\Qa", "\"a\"", ERR_UNSUPPORTED},
        {"(?>a)", "\"a\"", ERR_UNSUPPORTED},
        {"\\\\", "\"a\"", ERR_UNSUPPORTED},
        {"^(?<year>[0-9]{4})-\\\\k<year>$", "\"2026-2026\"", OK},
        {"(", "\"a\"", ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char schema[256];
        snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", cases[i].pattern);
        int rc = check(schema, cases[i].text);
        if (rc != cases[i].rc)
            test_fail(__FILE__, __LINE__, "%s with %s: %s, %s", schema, cases[i].text, err_name(rc),
                      fault.text);
    }
}

TEST(a_check_is_bounded)
{
    /* A pattern that backtracks without end. */
    CHECK_INT(check("{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\""),
              ERR_LIMIT);
    /* A schema that refers to itself without taking anything. */
    CHECK_INT(check("{\"$ref\":\"#\"}", "1"), ERR_LIMIT);
    /* Branches within branches. */
    CHECK_INT(
        check("{\"anyOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"anyOf\":["
              "{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/a\"}]}}}",
              "1"),
        ERR_LIMIT);
}

/* What PCRE2 tries at one beginning is bounded, but not at how many: the clock must be looked at between. */
TEST(a_match_at_each_of_many_beginnings_is_bounded_too)
{
    enum { N = 200000 };
    char *text = malloc(N + 3);
    REQUIRE(text);
    memset(text, 'a', N + 2);
    text[0] = text[N + 1] = '"';
    text[N + 2] = 0;
    CHECK_INT(check("{\"pattern\":\"a{0,150}a{0,150}[bc]\"}", text), ERR_LIMIT);
    CHECK_INT(check("{\"pattern\":\"b\"}", text), ERR_FORMAT);
    CHECK_INT(check("{\"pattern\":\"a$\"}", text), OK);
    CHECK_INT(check("{\"not\":{\"pattern\":\"[bc]\"}}", text), OK);
    free(text);
}

TEST(beginnings_are_tried_at_every_character)
{
    char text[4000] = "\"";
    for (int i = 0; i < 700; i++)
        memcpy(text + 1 + i * 3, "\xe2\x82\xac", 4); /* the sign of the euro */
    memcpy(text + 1 + 700 * 3, "xy\"", 4);
    CHECK_INT(check("{\"pattern\":\"\u20acxy$\"}", text), OK);
    CHECK_INT(check("{\"pattern\":\"(?<=\u20ac)xy\"}", text), OK);
    CHECK_INT(check("{\"pattern\":\"$\"}", text), OK);
    CHECK_INT(check("{\"pattern\":\"xz\"}", text), ERR_FORMAT);
}

TEST(a_brief_check_leaves_what_takes_long_to_a_whole_one)
{
    struct schema *s = NULL;
    struct schema_checker *k = NULL;
    char text[3000] = "";
    REQUIRE(schema_read(&s, S("{\"pattern\":\"a{0,40}a{0,40}[bc]$\",\"maxLength\":5000}"), NULL) == OK);
    REQUIRE(schema_checker_create(&k, s, NULL) == OK);
    memset(text, 'a', sizeof text - 1);
    text[0] = text[sizeof text - 2] = '"';
    schema_checker_set_brief(k, true);
    CHECK_INT(schema_check_text(k, S("\"ab\""), &fault), OK);
    CHECK_INT(schema_check_text(k, str_c(text), &fault), ERR_LIMIT);
    schema_checker_set_brief(k, false);
    CHECK_INT(schema_check_text(k, str_c(text), &fault), ERR_FORMAT);
    schema_checker_free(k);
    schema_free(s);
}
