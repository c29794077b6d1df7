/* gemini_schema.c - Google's schema dialect as JSON Schema.
 *
 * Google writes OBJECT for object, nullable for a null type, counts as strings ("3", as its
 * 64-bit integers are), and propertyOrdering: the properties are written in that order, which is the one
 * of the answer.  Of an answer's objects Google's models write the declared properties only, so they are
 * closed (is_closed) unless they say something else.  Everything else is copied.  Recursion ends with the
 * JSON reader's depth limit. */
#include "api/gemini_int.h"

struct conv {
    struct json_writer w;
    struct arena *a;
    bool is_closed;
};

static void write_schema(struct conv *c, struct json v);

static void write_lower(struct json_writer *w, struct json type)
{
    struct str raw = json_span(type);
    jw_raw(w, S(""));
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        buf_putc(w->out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
}

static bool key_is(struct str key, const char *camel, const char *snake)
{
    return str_eq(key, str_c(camel)) || str_eq(key, str_c(snake));
}

static bool is_count(struct str key)
{
    static const char *const names[][2] = {
        {"minItems", "min_items"},           {"maxItems", "max_items"},
        {"minLength", "min_length"},         {"maxLength", "max_length"},
        {"minProperties", "min_properties"}, {"maxProperties", "max_properties"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (key_is(key, names[i][0], names[i][1]))
            return true;
    return false;
}

enum { NAME_MAX_BYTES = 64, ORDER_MAX = 500 };

/* snake_case of Google's names as the camelCase of JSON Schema. */
static struct str camel_case(struct str key, char name[NAME_MAX_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < key.n && n < NAME_MAX_BYTES; i++) {
        bool up = key.p[i] == '_' && i > 0 && i + 1 < key.n;
        if (up)
            i++;
        char c = key.p[i];
        name[n++] = up && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return str_of(name, n);
}

static void write_key(struct json_writer *w, struct str key)
{
    char name[NAME_MAX_BYTES];
    jw_key_str(w, camel_case(key, name));
}

static void write_type(struct json_writer *w, struct json type, bool is_nullable)
{
    if (json_text_is(type, "TYPE_UNSPECIFIED"))
        return;
    jw_key(w, "type");
    if (is_nullable && json_is(type, JSON_STRING)) {
        jw_begin_array(w);
        write_lower(w, type);
        jw_z(w, "null");
        jw_end_array(w);
    } else {
        write_lower(w, type);
    }
}

static void write_enum(struct json_writer *w, struct json list, bool is_nullable)
{
    jw_key(w, "enum");
    if (!is_nullable || !json_is(list, JSON_ARRAY)) {
        jw_raw(w, json_span(list));
        return;
    }
    jw_begin_array(w);
    for (struct json_iter it = json_iter(list); json_next(&it);)
        jw_raw(w, json_span(it.value));
    jw_null(w);
    jw_end_array(w);
}

static bool is_listed(struct json list, struct str name, struct arena *a)
{
    for (struct json_iter it = json_iter(list); json_next(&it);)
        if (str_eq(json_text(it.value, a), name))
            return true;
    return false;
}

/* Those of `order` first. */
static void write_properties(struct conv *c, struct json v, struct json order)
{
    struct json_writer *w = &c->w;
    jw_begin_object(w);
    struct json_iter it = json_iter(order);
    for (uint32_t n = 0; json_next(&it); n++) {
        struct str name = json_text(it.value, c->a);
        struct json property = json_get_str(v, name);
        bool is_again = false;
        struct json_iter before = json_iter(order);
        for (uint32_t k = 0; k < n && json_next(&before); k++)
            is_again |= str_eq(json_text(before.value, c->a), name);
        if (!json_exists(property) || is_again)
            continue;
        jw_key_str(w, name);
        write_schema(c, property);
    }
    for (it = json_iter(v); json_next(&it);) {
        struct str name = json_text(it.key_value, c->a);
        if (is_listed(order, name, c->a))
            continue;
        jw_key_str(w, name);
        write_schema(c, it.value);
    }
    jw_end_object(w);
}

static void write_member(struct conv *c, struct json schema, struct str key, struct json v, bool is_nullable)
{
    struct json_writer *w = &c->w;
    if (str_eq(key, S("type"))) {
        write_type(w, v, is_nullable);
    } else if (str_eq(key, S("enum"))) {
        write_enum(w, v, is_nullable);
    } else if (str_eq(key, S("properties"))) {
        jw_key(w, "properties");
        struct json order = gemini_get(schema, "propertyOrdering", "property_ordering");
        write_properties(c, v, json_count(order) <= ORDER_MAX ? order : json_absent());
    } else if (str_eq(key, S("items"))) {
        jw_key(w, "items");
        write_schema(c, v);
    } else if (key_is(key, "additionalProperties", "additional_properties")) {
        jw_key(w, "additionalProperties");
        write_schema(c, v);
    } else if (key_is(key, "anyOf", "any_of")) {
        jw_key(w, "anyOf");
        jw_begin_array(w);
        for (struct json_iter it = json_iter(v); json_next(&it);)
            write_schema(c, it.value);
        jw_end_array(w);
    } else if (is_count(key) && json_is(v, JSON_STRING)) {
        struct str raw = json_span(v);
        uint64_t n;
        bool is_number = str_to_u64(str_sub(raw, 1, raw.n - 1), &n);
        write_key(w, key);
        if (is_number)
            jw_u64(w, n);
        else
            jw_raw(w, raw); /* wrong, and the provider shall say so */
    } else if (is_count(key)) {
        write_key(w, key);
        jw_raw(w, json_span(v));
    } else if (str_eq(key, S("format")) && json_text_is(v, "enum")) {
        return; /* says again that there is an enum */
    } else if (!key_is(key, "propertyOrdering", "property_ordering") && !str_eq(key, S("nullable")) &&
               !str_eq(key, S("example"))) {
        jw_key_str(w, key);
        jw_raw(w, json_span(v));
    }
}

static void write_schema(struct conv *c, struct json v)
{
    struct json_writer *w = &c->w;
    bool is_nullable = false;
    if (!json_is(v, JSON_OBJECT)) {
        jw_raw(w, json_span(v));
        return;
    }
    json_bool(json_get(v, "nullable"), &is_nullable);
    jw_begin_object(w);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        char name[NAME_MAX_BYTES];
        struct str key = json_text(it.key_value, c->a);
        bool is_snake = (is_count(key) || str_eq(key, S("any_of"))) && str_find_char(key, '_', 0) != STR_NONE;
        /* Both spellings at once: the camelCase one counts. */
        if (is_snake && json_exists(json_get_str(v, camel_case(key, name))))
            continue;
        write_member(c, v, key, it.value, is_nullable);
    }
    bool says_more = json_exists(gemini_get(v, "additionalProperties", "additional_properties"));
    if (c->is_closed && json_count(json_get(v, "properties")) > 0 && !says_more)
        jw_kv_bool(w, "additionalProperties", false);
    jw_end_object(w);
}

struct str gemini_schema_to_json(struct json schema, bool is_closed, struct arena *a)
{
    struct buf out;
    buf_init(&out, json_span(schema).n * 4 + 64);
    struct conv c = {json_writer(&out), a, is_closed};
    write_schema(&c, schema);
    struct str s = buf_ok(&out) ? arena_str(a, buf_str(&out)) : (struct str){0};
    buf_deinit(&out);
    return s;
}
