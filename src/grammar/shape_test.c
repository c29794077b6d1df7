/* shape_test.c - JSON Schemas as grammars: what they take, what they refuse to hold, what comes out of them.
 */
#include "grammar/grammar.h"

#include <stdlib.h>

#include "base/test.h"
#include "grammar/grammar_testkit.h"
#include "grammar/schema.h"
#include "grammar/schema_check.h"

struct schema_case {
    const char *schema;
    const char *good[8], *bad[8]; /* compact texts */
};

static const struct schema_case cases[] = {
    {"{}", {"1", "\"a\"", "{\"a\":[null]}"}, {"", "{"}},
    {"{\"type\":\"string\"}", {"\"\"", "\"\\u00e9\\/\""}, {"1", "\"\\x\""}},
    {"{\"type\":[\"string\",\"null\"]}", {"\"a\"", "null"}, {"true"}},
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"null"}},
    {"{\"type\":\"integer\"}", {"0", "-1", "100000000000000000000"}, {"-0", "1.5", "01", "1e3"}},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":250}",
     {"-5", "0", "99", "250"},
     {"-6", "251", "1000", "-10"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":10}", {"1", "9"}, {"0", "10", "-1"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
     {"0", "1", "0.5", "0.999", "1e-7", "1.0"},
     {"-0.1", "1.01", "2", "1e+21"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":-1.5}",
     {"-1.49", "0", "100.25", "1e+21", "-1e-7"},
     {"-1.5", "-1.50", "-2", "-1e+30"}},
    {"{\"type\":\"number\",\"minimum\":-1e22,\"exclusiveMaximum\":1e21}",
     {"0", "999999999999999999999", "-999999999999999999999", "1e-7"},
     {"1e+21", "1e+300", "-1e+22", "-1e+23"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"exclusiveMinimum\":0,\"maximum\":8,"
     "\"multipleOf\":2},"
     "\"uniqueItems\":true,\"minItems\":2}",
     {"[2,4]", "[8,6,4,2]", "[4,2]"},
     {"[2]", "[2,2]", "[1,2]", "[2,4,6,8,2]", "[10,2]"}},
    {"{\"type\":\"object\",\"propertyNames\":{\"enum\":[\"a\",\"b\"]},\"additionalProperties\":{\"type\":"
     "\"boolean\"},"
     "\"minProperties\":2}",
     {"{\"a\":true,\"b\":false}", "{\"a\": true,\"b\":true}"},
     {"{\"a\":true}", "{\"a\":true,\"c\":true}", "{\"b\":true,\"a\":true}",
      "{\"a\":true,\"b\":true,\"a\":true}", "{\"a\":true,\"b\":true,"}},
    {"{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":1}", {"7", "14", "700"}, {"0", "8", "-7"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"a\\n\"", "\"éß€\"", "\"\\ud834\\udd1e1\""},
     {"\"a\"", "\"abcd\"", "\"\\ud834\\udd1e\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a+$\",\"maxLength\":2}",
     {"\"a\"", "\"aa\""},
     {"\"\"", "\"aaa\"", "\"b\""}},
    {"{\"type\":\"string\",\"pattern\":\"b\"}", {"\"b\"", "\"\\nb\\\"\""}, {"\"a\"", "\"\\u0062\""}},
    {"{\"enum\":[1,\"a\\n\",null,{\"x\":[1,2]},2.50]}",
     {"1", "\"a\\n\"", "null", "{\"x\":[1,2]}", "2.5", "2.50"},
     {"2", "\"a\"", "{}"}},
    {"{\"const\":1,\"enum\":[1,2]}", {"1"}, {"2"}},
    {"{\"type\":\"string\",\"format\":\"email\",\"minLength\":7,\"maxLength\":12}",
     {"\"a@b.com\"", "\"abcdefgh@c.d\"", "\"a@b.cd-efg.h\""},
     {"\"a@b.co\"", "\"abcdefghi@c.d\"", "\"a@b.cd-efg.hi\"", "\"abcdefgh@cd.\""}},
    {"{\"type\":\"string\",\"pattern\":\"^(?:a|b{6})+$\",\"minLength\":8,\"maxLength\":9}",
     {"\"aaaaaaaa\"", "\"aabbbbbba\"", "\"abbbbbba\""},
     {"\"bbbbbb\"", "\"aaaabbbbbb\"", "\"aaaaaaabb\""}},
    {"{\"const\":\"é\"}", {"\"é\""}, {"\"e\"", "\"\\u00e9\""}},
    {"{\"type\":\"integer\",\"enum\":[1,2,\"x\",30],\"maximum\":20}", {"1", "2"}, {"30", "\"x\""}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},"
     "\"required\":[\"a\"],\"additionalProperties\":false}",
     {"{\"a\":1}", "{\"a\":1,\"b\":\"x\"}"},
     {"{}", "{\"b\":\"x\"}", "{\"a\":1,}", "{\"a\":1,\"c\":2}", "{\"a\":\"1\"}",
      "{\"a\":1,\"b\":\"x\",\"b\":\"y\"}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":"
     "\"null\"}}",
     {"{}", "{\"a\":1}", "{\"a\":1,\"b\":null,\"aa\":null}", "{\"\":null}"},
     {"{\"a\":null}", "{\"b\":1}", "{\"b\":null,\"a\":1}"}},
    {"{\"type\":\"object\",\"patternProperties\":{\"^x-\":{\"type\":\"integer\"},\"z$\":{\"minimum\":5}},"
     "\"additionalProperties\":false}",
     {"{}", "{\"x-a\":1}", "{\"x-z\":5}", "{\"az\":\"s\",\"x-\":-1}"},
     {"{\"x-a\":\"s\"}", "{\"x-z\":4}", "{\"az\":4}", "{\"b\":1}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"minProperties\":2,\"maxProperties\":"
     "2,"
     "\"additionalProperties\":false}",
     {"{\"a\":1,\"b\":2}", "{\"b\":1,\"c\":2}"},
     {"{\"a\":1}", "{}", "{\"a\":1,\"b\":2,\"c\":3}"}},
    {"{\"type\":\"object\",\"maxProperties\":1,\"propertyNames\":{\"maxLength\":1}}",
     {"{}", "{\"a\":1}"},
     {"{\"aa\":1}", "{\"a\":1,\"b\":2}"}},
    {"{\"type\":\"object\",\"required\":[\"q\"]}", {"{\"q\":1}", "{\"q\":[],\"x\":1}"}, {"{}", "{\"x\":1}"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
     {"[1]", "[1,2,3]"},
     {"[]", "[1,2,3,4]", "[\"a\"]", "[1,]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false}",
     {"[]", "[1]", "[1,\"a\"]"},
     {"[\"a\"]", "[1,\"a\",2]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},"
     "\"minItems\":2}",
     {"[1,null]", "[1,null,null]"},
     {"[1]", "[1,1]", "[]"}},
    {"{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true,\"minItems\":1}",
     {"[\"a\"]", "[\"c\",\"a\",\"b\"]"},
     {"[]", "[\"a\",\"a\"]", "[\"a\",\"b\",\"a\"]"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}",
     {"5", "\"a\""},
     {"\"ab\"", "null"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},"
     "\"additionalProperties\":false,\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
     {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}"},
     {"{}"}},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"x\"},\"v\":{\"type\":\"integer\"}},"
     "\"required\":[\"t\",\"v\"]},{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"y\"}},\"required\":"
     "[\"t\"]}]}",
     {"{\"t\":\"x\",\"v\":1}", "{\"t\":\"y\"}", "{\"t\":\"y\",\"v\":null}"},
     {"{\"t\":\"x\"}", "{\"t\":\"z\"}"}},
    {"{\"oneOf\":[{\"type\":\"integer\",\"maximum\":5},{\"type\":\"integer\",\"minimum\":6}]}",
     {"5", "6"},
     {"\"a\""}},
    {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":3}}},{\"properties\":{\"a\":{"
     "\"type\":"
     "\"integer\",\"maximum\":9}},\"required\":[\"a\"]}]}",
     {"{\"a\":3}", "{\"a\":9}"},
     {"{\"a\":2}", "{\"a\":10}", "{}"}},
    {"{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"a\",\"b\"]},\"v\":{\"type\":[\"integer\","
     "\"string\"]}},"
     "\"required\":[\"k\",\"v\"],\"additionalProperties\":false,\"if\":{\"properties\":{\"k\":{\"const\":"
     "\"a\"}}},"
     "\"then\":{\"properties\":{\"v\":{\"type\":\"integer\"}}},\"else\":{\"properties\":{\"v\":{\"type\":"
     "\"string\"}}}}",
     {"{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\",\"v\":\"x\"}"},
     {"{\"k\":\"a\",\"v\":\"x\"}", "{\"k\":\"b\",\"v\":1}"}},
    {"{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"bc\"]}}",
     {"\"\"", "\"b\"", "\"abc\""},
     {"\"a\"", "\"bc\""}},
    {"{\"type\":\"integer\",\"not\":{\"const\":5}}", {"4", "55"}, {"5"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"additionalProperties\":false,"
     "\"dependentRequired\":{\"a\":[\"b\"]}}",
     {"{}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
     {"{\"a\":1}"}},
    {"{\"$ref\":\"#/$defs/"
     "n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"],"
     "\"additionalProperties\":false}}}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2024-02-29\"", "\"2023-12-31\"", "\"2000-02-29\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-13-01\"", "\"2023-04-31\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2024-02-29T23:59:59.25Z\"", "\"2024-02-29t23:59:60z\"", "\"2020-01-01T00:00:00+05:30\""},
     {"\"2024-02-29 23:59:59Z\"", "\"2024-02-29T24:00:00Z\"", "\"2024-02-29T23:59:59\""}},
    {"{\"type\":\"string\",\"format\":\"email\"}",
     {"\"a@b.co\"", "\"x.y+z@mail.example.org\""},
     {"\"a@b\"", "\"a..b@c.de\"", "\"@b.co\"",
      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b.co\""}},
    {"{\"type\":\"string\",\"format\":\"ipv6\"}",
     {"\"::\"", "\"1::8\"", "\"2001:db8::ff00:42:8329\"", "\"::ffff:1.2.3.4\"", "\"1:2:3:4:5:6:7:8\""},
     {"\"1:2:3:4:5:6:7\"", "\"1::2::3\"", "\"12345::\"", "\"1:2:3:4:5:6:7:8:9\"", "\"::256.1.1.1\""}},
    {"{\"type\":\"string\",\"format\":\"uri\"}",
     {"\"http://a.b/c?d#e\"", "\"urn:isbn:1\"", "\"mailto:a@b\"", "\"http://[::1]:80/\""},
     {"\"a\"", "\"//a\"", "\"http://a b\"", "\"http://%zz\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}",
     {"\"01234567-89ab-cdef-0123-456789ABCDEF\""},
     {"\"0123456789abcdef0123456789abcdef\""}},
    {"{\"type\":\"string\",\"format\":\"duration\"}",
     {"\"P1Y2M3DT4H5M6S\"", "\"PT1M\"", "\"P4W\""},
     {"\"P\"", "\"PT\"", "\"P1Y1W\"", "\"1D\""}},
    {"{\"type\":\"string\",\"format\":\"hostname\"}",
     {"\"a\"", "\"a-b.c9\""},
     {"\"\"", "\"-a\"", "\"a..b\"", "\"a_b\""}},
};

TEST(schemas_take_what_is_valid_and_nothing_else)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA, .text = str_c(cases[i].schema)};
        for (int k = 0; k < 8 && cases[i].good[k]; k++)
            if (!kit_accepts(&spec, str_c(cases[i].good[k])))
                test_fail(__FILE__, __LINE__, "%s refuses %s", cases[i].schema, cases[i].good[k]);
        for (int k = 0; k < 8 && cases[i].bad[k]; k++)
            if (kit_accepts(&spec, str_c(cases[i].bad[k])))
                test_fail(__FILE__, __LINE__, "%s takes %s", cases[i].schema, cases[i].bad[k]);
    }
}

static void check_valid(void *checker, struct str text)
{
    struct schema_fault fault;
    if (schema_check_text(checker, text, &fault) != OK)
        test_fail(__FILE__, __LINE__, "%.*s: %s", STR(text), fault.text);
}

TEST(what_masks_lead_to_is_valid)
{
    for (size_t i = 1; i < sizeof cases / sizeof *cases; i++) {
        struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA, .text = str_c(cases[i].schema)};
        struct schema *s;
        struct schema_checker *k;
        REQUIRE(schema_read(&s, spec.text, NULL) == OK && schema_checker_create(&k, s, NULL) == OK);
        for (int space = GRAMMAR_SPACE_FREE; space <= GRAMMAR_SPACE_ONE; space++) {
            spec.space = (enum grammar_space)space;
            kit_wander_to(&spec, 6, check_valid, k);
        }
        schema_checker_free(k);
        schema_free(s);
    }
}

TEST(what_cannot_be_held_is_refused_with_its_place)
{
    static const struct {
        const char *schema, *where;
        int code;
    } bad[] = {
        {"{\"properties\":{\"a\":{\"frobnicate\":1}}}", "#/properties/a/frobnicate", ERR_UNSUPPORTED},
        {"{\"type\":\"array\",\"contains\":{\"const\":1}}", "#/contains", ERR_UNSUPPORTED},
        {"{\"items\":{\"type\":\"string\",\"pattern\":\"(?=a)\"}}", "#/items/pattern", ERR_UNSUPPORTED},
        {"{\"type\":\"string\",\"format\":\"color\"}", "#/format", ERR_UNSUPPORTED},
        {"{\"type\":\"number\",\"multipleOf\":0.5}", "#/multipleOf", ERR_UNSUPPORTED},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "#/oneOf", ERR_UNSUPPORTED},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"string\"}}", "#/uniqueItems",
         ERR_UNSUPPORTED},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}}}", "#",
         ERR_FORMAT},
        {"{\"type\":\"frob\"}", "#/type", ERR_FORMAT},
        {"{\"type\":\"string\",\"enum\":[1]}", "", ERR_ARG},
        {"{\"const\":1,\"enum\":[2]}", "", ERR_ARG},
        {"{\"pattern\":\"^(?:aaa|aaaaa)$\",\"type\":\"string\",\"minLength\":4,\"maxLength\":4}", "",
         ERR_ARG},
        {"{\"type\":\"object\",\"properties\":{\"n\":{\"$ref\":\"#\"}},\"required\":[\"n\"]}", "", ERR_ARG},
        {"{\"type\":\"string\",\"pattern\":\"^(a|b)*a(a|b){18}$\"}", "#/pattern", ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA, .text = str_c(bad[i].schema)};
        struct grammar_error e;
        struct grammar *g;
        int rc = grammar_compile(&g, &spec, NULL, NULL, &e);
        if (rc != bad[i].code || !str_eq(str_c(e.where), str_c(bad[i].where)))
            test_fail(__FILE__, __LINE__, "%s: %d at %s: %s", bad[i].schema, rc, e.where, e.err.text);
        grammar_release(g);
    }
}

TEST(no_name_comes_twice)
{
    struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA,
                                .text =
                                    S("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},"
                                      "\"minProperties\":3}")};
    CHECK(kit_accepts(&spec, S("{\"a\":1,\"b\":2,\"\":3}")));
    CHECK(!kit_accepts(&spec, S("{\"a\":1,\"b\":2,\"a\":3}")));
    CHECK(!kit_accepts(&spec, S("{\"a\":1,\"b\":2,\"\\u0061\":3}")));
    kit_wander(&spec, 20);
    spec = (struct grammar_spec){.kind = GRAMMAR_JSON_VALUE};
    CHECK(kit_accepts(&spec, S("[{\"a\":{\"a\":1}},{\"a\":\"a\",\"b\":[]}]")));
    CHECK(!kit_accepts(&spec, S("[{\"a\":{\"a\":1},\"a\":1}]")));
}

TEST(properties_in_any_order)
{
    struct grammar_spec spec = {.kind = GRAMMAR_SCHEMA,
                                .any_order = true,
                                .text = S("{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},"
                                          "\"required\":[\"b\"],\"additionalProperties\":false}")};
    CHECK(kit_accepts(&spec, S("{\"c\":1,\"b\":2,\"a\":3}")));
    CHECK(kit_accepts(&spec, S("{\"b\":2}")));
    CHECK(!kit_accepts(&spec, S("{\"a\":2,\"c\":1}")));
    CHECK(!kit_accepts(&spec, S("{\"b\":2,\"b\":1}")));
    kit_wander(&spec, 10);
}
