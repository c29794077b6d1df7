#include "base/test.h"
#include "grammar/schema_int.h"

static struct schema *read_ok(struct str text)
{
    struct schema *s = NULL;
    struct err err = {0};
    if (schema_read(&s, text, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
    return s;
}

TEST(keywords_become_fields)
{
    struct schema *s =
        read_ok(S("{\"type\":[\"object\",\"null\"],\"title\":\"T\",\"properties\":{"
                  "\"b\":{\"type\":\"integer\",\"minimum\":-3,\"exclusiveMaximum\":1.5e1},"
                  "\"a/b\":{\"type\":\"string\",\"pattern\":\"^x\",\"maxLength\":4,\"format\":\"uuid\"}},"
                  "\"required\":[\"a/b\",\"z\",\"a/b\"],\"additionalProperties\":false}"));
    const struct schema_node *root = schema_root(s);
    CHECK_INT(root->types, SCHEMA_OBJECT | SCHEMA_NULL);
    CHECK_INT(root->n_properties, 2);
    CHECK_STR(root->properties[0].name, S("b"));
    CHECK(!root->properties[0].is_required && root->properties[1].is_required);
    CHECK_INT(root->n_required, 2);
    CHECK(root->additional_properties->kind == SCHEMA_KIND_FALSE);
    const struct schema_node *b = root->properties[0].schema,
                             *ab = schema_property_find(root, S("a/b"))->schema;
    int64_t n = 0;
    CHECK(schema_number_i64(&b->minimum, &n) && n == -3);
    CHECK(schema_number_i64(&b->exclusive_maximum, &n) && n == 15);
    CHECK(!schema_number_exists(&b->maximum));
    CHECK_STR(ab->pointer, S("#/properties/a~1b"));
    CHECK(ab->format == SCHEMA_FORMAT_UUID && ab->max_length == 4 && ab->min_length == 0);
    CHECK(!root->unknown.p);
    schema_free(s);
}

TEST(references_are_followed_within_the_document)
{
    struct schema *s =
        read_ok(S("{\"$id\":\"http://x/tree\",\"$ref\":\"#/$defs/node\",\"$defs\":{"
                  "\"node\":{\"$anchor\":\"n\",\"properties\":{\"left\":{\"$ref\":\"#n\"},"
                  "\"right\":{\"$ref\":\"http://x/tree#/$defs/no%64e\"},\"root\":{\"$ref\":\"#\"},"
                  "\"deep\":{\"$ref\":\"#/$defs/node/properties/left\"}}}}}"));
    const struct schema_node *root = schema_root(s), *node = root->ref;
    REQUIRE(node && node != root);
    CHECK(node->properties[0].schema->ref == node);
    CHECK(node->properties[1].schema->ref == node);
    CHECK(node->properties[2].schema->ref == root);
    CHECK(node->properties[3].schema->ref == node->properties[0].schema);
    schema_free(s);
}

TEST(what_is_no_schema_is_refused_with_its_place)
{
    static const char *const bad[][2] = {
        {"[]", "#"},
        {"{\"type\":\"text\"}", "#/type"},
        {"{\"properties\":{\"a\":{\"type\":7}}}", "#/properties/a/type"},
        {"{\"properties\":{\"a\":3}}", "#/properties/a"},
        {"{\"minLength\":-1}", "#/minLength"},
        {"{\"minItems\":1.5}", "#/minItems"},
        {"{\"multipleOf\":0}", "#/multipleOf"},
        {"{\"enum\":{}}", "#/enum"},
        {"{\"anyOf\":[]}", "#/anyOf"},
        {"{\"allOf\":[true,1]}", "#/allOf/1"},
        {"{\"$ref\":\"#/nowhere\"}", "#/$ref"},
        {"{\"$ref\":\"#nowhere\"}", "#/$ref"},
        {"{\"items\":{\"$ref\":\"http://elsewhere/x\"}}", "#/items/$ref"},
        {"{\"required\":[1]}", "#/required"},
        {"{\"minimum\":\"1\"}", "#/minimum"},
        {"{\"maximum\":1e9999999999999999}", "#/maximum"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct schema *s = NULL;
        struct err err = {0};
        CHECK(schema_read(&s, str_c(bad[i][0]), &err) != OK);
        CHECK(s == NULL);
        char want[64];
        snprintf(want, sizeof want, "the schema at %s ", bad[i][1]);
        if (!str_starts(str_c(err.text), str_c(want)))
            test_fail(__FILE__, __LINE__, "%s says: %s", bad[i][0], err.text);
    }
}

TEST(an_unknown_keyword_stays_to_be_refused)
{
    struct schema *s =
        read_ok(S("{\"title\":\"a\",\"x-mine\":1,\"minimun\":3,\"properties\":{\"a\":{\"default\":1}}}"));
    CHECK_STR(schema_root(s)->unknown, S("minimun"));
    CHECK(!schema_root(s)->properties[0].schema->unknown.p);
    schema_free(s);
}

TEST(older_forms_of_tuples_and_dependencies_are_read)
{
    struct schema *s = read_ok(S("{\"items\":[true,{\"type\":\"null\"}],\"additionalItems\":false,"
                                 "\"dependencies\":{\"a\":[\"b\"],\"c\":{\"minProperties\":3}}}"));
    const struct schema_node *root = schema_root(s);
    CHECK_INT(root->prefix_items.n, 2);
    CHECK(root->items->kind == SCHEMA_KIND_FALSE);
    REQUIRE(root->n_dependents == 2);
    CHECK_STR(root->dependents[0].required[0], S("b"));
    CHECK_INT(root->dependents[1].schema->min_properties, 3);
    schema_free(s);
}

static int compare(const char *a, const char *b)
{
    char da[64], db[64];
    struct schema_number x, y;
    CHECK(schema_number_parse(&x, str_c(a), da) && schema_number_parse(&y, str_c(b), db));
    return schema_number_cmp(&x, &y);
}

static bool multiple(const char *a, const char *b)
{
    char da[64], db[64];
    struct schema_number x, y;
    CHECK(schema_number_parse(&x, str_c(a), da) && schema_number_parse(&y, str_c(b), db));
    return schema_number_is_multiple(&x, &y);
}

TEST(numbers_are_compared_exactly)
{
    CHECK_INT(compare("1.0", "1"), 0);
    CHECK_INT(compare("-0.0", "0"), 0);
    CHECK_INT(compare("100", "1e2"), 0);
    CHECK_INT(compare("9007199254740993", "9007199254740992"), 1);
    CHECK_INT(compare("-2", "-10"), 1);
    CHECK_INT(compare("0.1", "0.10000000000000000001"), -1);
    CHECK_INT(compare("1e400", "1e399"), 1);
    CHECK_INT(compare("-1e-400", "0"), -1);
    CHECK(multiple("0.0075", "0.0001"));
    CHECK(!multiple("0.00751", "0.0001"));
    CHECK(multiple("19.99", "0.01") && multiple("4.5", "1.5") && multiple("1e308", "0.5") &&
          multiple("-9", "3"));
    CHECK(!multiple("10", "100") && multiple("12391239123", "3") && multiple("0", "7") &&
          !multiple("1e100", "7"));
}

TEST(equal_values_have_equal_hashes)
{
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1.0,2e0],\"\\u0061\":1}", true},
        {"[1,2]", "[2,1]", false},
        {"\"\\u00e9\"", "\"\xc3\xa9\"", true},
        {"0", "false", false},
        {"{\"a\":1}", "{\"b\":1}", false},
        {"1e2", "100", true},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct arena arena;
        struct json_doc a, b;
        arena_init(&arena, 1 << 16);
        REQUIRE(json_parse(&a, &arena, str_c(pairs[i].a), NULL) == OK);
        REQUIRE(json_parse(&b, &arena, str_c(pairs[i].b), NULL) == OK);
        struct json x = json_root(&a), y = json_root(&b);
        CHECK(schema_values_equal(x, y) == pairs[i].same);
        CHECK(!pairs[i].same || schema_value_hash(x) == schema_value_hash(y));
        arena_deinit(&arena);
    }
}

TEST(a_value_is_written_compactly)
{
    struct arena arena;
    struct json_doc doc;
    struct buf out;
    arena_init(&arena, 1 << 16);
    buf_init(&out, 1000);
    REQUIRE(json_parse(&doc, &arena, S(" { \"a\\u0062 \" : [ 1.50 , \"x\\/ y\\n\" , null ] } "), NULL) == OK);
    CHECK(schema_write_compact(&out, json_root(&doc)));
    CHECK_STR(buf_str(&out), S("{\"ab \":[1.50,\"x/ y\\n\",null]}"));
    buf_deinit(&out);
    arena_deinit(&arena);
}
