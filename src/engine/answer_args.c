/* answer_args.c - The arguments of a tool call in the markup of the model's family.
 *
 * Most families write one JSON object, which the tool's schema holds as it is.  Others write each parameter
 * on its own: in tags (texts bare, everything else as JSON), as Python (values as JSON), or as Gemma 4
 * does (texts between quotes of its own, also inside lists and objects).  There a parameter is held by its
 * own schema, and what a schema says of the parameters together beyond which are required is not held:
 * is_unheld tells.  Start reading at answer_spec_args(). */
#include <stdlib.h>
#include <strings.h>

#include "engine/answer_node.h"
#include "engine/param_types.h"

#define GEMMA_QUOTE "<|\"|>"
#define GEMMA_DEPTH 5 /* of lists and objects whose schema is followed */
#define LOOSE_DEPTH 3 /* and of those that may be anything */
#define NAME_REGEX  "[A-Za-z_][A-Za-z0-9_-]{0,63}"

/* What a text between tags must not look like, where another JSON value may stand there too. */
#define JSON_REGEX                                                                                           \
    "^[ \\t\\r\\n]*(?:[\\[{]|(?:null|true|false|-?[0-9]+(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[ \\t\\r\\n]*$)"

static answer_node unheld(struct answer *a)
{
    a->is_unheld = true;
    return node_nothing();
}

/* Does the schema have other members than these (and what describes only)? */
static bool has_others(struct json schema, const char *const *names, size_t n)
{
    static const char *const notes[] = {"description", "title",       "default",         "examples",
                                        "$comment",    "deprecated",  "readOnly",        "writeOnly",
                                        "$schema",     "definitions", "nullable",        "$defs",
                                        "strict",      "$id",         "propertyOrdering"};
    struct json_iter it = json_iter(schema);
    while (json_next(&it)) {
        bool known = false;
        for (size_t i = 0; i < n && !known; i++)
            known = json_text_is(it.key_value, names[i]);
        for (size_t i = 0; i < sizeof notes / sizeof *notes && !known; i++)
            known = json_text_is(it.key_value, notes[i]);
        if (!known)
            return true;
    }
    return false;
}

static bool is_required(struct json object, struct str name)
{
    struct json_iter it = json_iter(json_get(object, "required"));
    while (json_next(&it)) {
        struct str text = json_span(it.value);
        if (text.n == name.n + 2 && memcmp(text.p + 1, name.p, name.n) == 0)
            return true;
    }
    return false;
}

/* Can an object be held as its declared members, one by one? */
static bool is_plain_object(struct json object)
{
    static const char *const held[] = {"type", "properties", "required", "additionalProperties"};
    if (has_others(object, held, sizeof held / sizeof *held))
        return false;
    struct json_iter it = json_iter(json_get(object, "required"));
    while (json_next(&it)) {
        struct str raw = json_span(it.value);
        struct str name = str_sub(raw, 1, raw.n ? raw.n - 1 : 0);
        if (!json_exists(json_get_str(json_get(object, "properties"), name)))
            return false;
    }
    return true;
}

/* Any arguments will do: the tool says nothing of them, or what it says cannot be held. */
static bool is_open(const struct answer_tool *t)
{
    bool none;
    bool is_closed = json_bool(json_get(t->params, "additionalProperties"), &none) && !none;
    return !t->is_strict && !is_closed && json_count(json_get(t->params, "properties")) == 0;
}

/* ---- values by their schema ---- */

/* The parameter's schema, narrowed to some types and to texts that do not match `without` (may be empty),
 * with the definitions that it may refer to. */
static struct str narrowed(struct answer *a, const struct answer_tool *t, struct json param,
                           const char *types, struct str without)
{
    struct str defs = json_span(json_get(t->params, "$defs"));
    struct str old = json_span(json_get(t->params, "definitions"));
    struct buf b;
    buf_init(&b, json_span(param).n + defs.n + old.n + without.n * 2 + 1024);
    buf_printf(&b, "{\"allOf\":[%.*s]", STR(json_span(param)));
    if (types)
        buf_printf(&b, ",\"type\":%s", types);
    if (without.n) {
        buf_puts(&b, ",\"not\":{\"type\":\"string\",\"pattern\":");
        json_quote(&b, without);
        buf_putc(&b, '}');
    }
    if (defs.n)
        buf_printf(&b, ",\"$defs\":%.*s", STR(defs));
    if (old.n)
        buf_printf(&b, ",\"definitions\":%.*s", STR(old));
    buf_putc(&b, '}');
    struct str schema = buf_ok(&b) ? arena_str(&a->arena, buf_str(&b)) : str_of(NULL, 0);
    a->is_full |= schema.p == NULL;
    buf_deinit(&b);
    return schema;
}

static answer_node json_value(struct answer *a, const struct answer_tool *t, struct json param,
                              const char *types)
{
    if (t->is_loose)
        return (answer_node){.kind = SLUICE_GRAMMAR_JSON_VALUE};
    return node_text(SLUICE_GRAMMAR_SCHEMA, narrowed(a, t, param, types, S("")));
}

static void add_escaped(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_printf(b, strchr("^$\\.*+?()[]{}|/", text.p[i]) ? "\\%c" : "%c", text.p[i]);
}

/* The texts that the schema allows, as they are, up to `end`. */
static answer_node text_value(struct answer *a, const struct answer_tool *t, struct json param,
                              const char *end, const char *also_without)
{
    struct buf without;
    buf_init(&without, 1024);
    add_escaped(&without, str_c(end));
    if (a->format->end[0] && strcmp(end, GEMMA_QUOTE) != 0) {
        buf_putc(&without, '|');
        add_escaped(&without, str_c(a->format->end));
    }
    if (also_without[0])
        buf_printf(&without, "|%s", also_without);
    struct str schema = narrowed(a, t, param, "\"string\"", buf_str(&without));
    a->is_full |= !buf_ok(&without);
    buf_deinit(&without);
    return node_text(SLUICE_GRAMMAR_SCHEMA_TEXT, schema);
}

/* ---- tags ---- */

/* Any text up to the closing tag. */
static answer_node free_tag_text(struct answer *a)
{
    const char *without[] = {arena_str_z(&a->arena, str_trim(str_c(a->format->syntax.after_value))),
                             a->format->end};
    a->is_full |= without[0] == NULL;
    return node_free_text(a, without, without[0] ? 2 : 0);
}

/* DeepSeek's newer tags say whether the value is text or JSON. */
static const char text_follows[] = "\" string=\"true\">", json_follows[] = "\" string=\"false\">";

static bool tells_texts(const struct answer *a)
{
    return strcmp(a->format->syntax.after_key, json_follows) == 0;
}

/* The reader takes a line break from each end of a value: in families that put none there, it would be the
 * text's own. */
static const char *lost_at_ends(const struct answer *a)
{
    return str_ends(str_c(a->format->syntax.after_key), S("\n")) || tells_texts(a) ? "" : "^\\n|\\n$";
}

static answer_node tag_text(struct answer *a, const struct answer_tool *t, struct json param, bool is_mixed)
{
    const char *end = arena_str_z(&a->arena, str_trim(str_c(a->format->syntax.after_value)));
    const char *lost = lost_at_ends(a);
    struct str also =
        arena_printf(&a->arena, "%s%s%s", lost, lost[0] && is_mixed ? "|" : "", is_mixed ? JSON_REGEX : "");
    a->is_full |= !end || !also.p;
    return a->is_full ? node_nothing() : text_value(a, t, param, end, also.p);
}

#define NOT_TEXT "[\"null\",\"boolean\",\"number\",\"array\",\"object\"]"

static answer_node tag_value(struct answer *a, const struct answer_tool *t, struct json param)
{
    unsigned types = param_types(param, t->params);
    if (types == PARAM_TEXT)
        return t->is_loose ? free_tag_text(a) : tag_text(a, t, param, false);
    if (!(types & PARAM_TEXT))
        return json_value(a, t, param, NULL);
    if (t->is_loose)
        return free_tag_text(a);
    return NODE_ANY_OF(a, tag_text(a, t, param, true), json_value(a, t, param, NOT_TEXT));
}

static answer_node tagged(struct answer *a, answer_node key, const char *after_key, answer_node value)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    return NODE_SEQUENCE(a, node_mark(s->before_key), key, node_mark(after_key), value,
                         node_mark(s->after_value));
}

static answer_node tag_param(struct answer *a, const struct answer_tool *t, struct str key, struct json param)
{
    answer_node name = node_literal(key);
    if (!tells_texts(a))
        return tagged(a, name, a->format->syntax.after_key, tag_value(a, t, param));
    unsigned types = param_types(param, t->params);
    answer_node text = t->is_loose ? free_tag_text(a) : tag_text(a, t, param, false);
    text = tagged(a, name, text_follows, text);
    if (types == PARAM_TEXT)
        return text;
    answer_node json =
        tagged(a, name, json_follows, json_value(a, t, param, types & PARAM_TEXT ? NOT_TEXT : NULL));
    return types & PARAM_TEXT ? NODE_ANY_OF(a, text, json) : json;
}

/* Each parameter in its tags: those that are required, others if the model likes. */
static answer_node tag_args(struct answer *a, const struct answer_tool *t)
{
    struct json properties = json_get(t->params, "properties");
    if (is_open(t)) {
        const char *after = tells_texts(a) ? text_follows : a->format->syntax.after_key;
        answer_node name = node_text(SLUICE_GRAMMAR_REGEX, S(NAME_REGEX));
        return node_repeat(a, tagged(a, name, after, free_tag_text(a)), 0, SLUICE_GRAMMAR_NO_MAX);
    }
    answer_node *parts = node_room(a, json_count(properties));
    size_t n = 0;
    struct json_iter it = json_iter(properties);
    while (parts && json_next(&it)) {
        answer_node one = tag_param(a, t, json_text(it.key_value, &a->arena), it.value);
        parts[n++] = is_required(t->params, it.key) ? one : node_repeat(a, one, 0, 1);
    }
    return (answer_node){.kind = SLUICE_GRAMMAR_SEQUENCE, .parts = parts, .n_parts = n};
}

/* ---- lists of members ---- */

struct member {
    struct str key, raw_key; /* raw: as it stands between the quotes */
    struct json schema;
    bool is_needed;
};

static struct member *members_of(struct answer *a, struct json object, size_t *n)
{
    struct json properties = json_get(object, "properties");
    struct member *list = arena_new_array(&a->arena, struct member, (size_t)json_count(properties) + 1);
    struct json_iter it = json_iter(properties);
    *n = 0;
    a->is_full |= list == NULL;
    while (list && json_next(&it)) {
        struct str key = json_text(it.key_value, &a->arena);
        a->is_full |= key.p == NULL;
        list[(*n)++] = (struct member){key, it.key, it.value, is_required(object, it.key)};
    }
    return list;
}

static int needed_first(const void *x, const void *y)
{
    const struct member *a = x, *b = y;
    if (a->is_needed != b->is_needed)
        return a->is_needed ? -1 : 1;
    return a->raw_key.p < b->raw_key.p ? -1 : 1; /* as in the schema */
}

/* As Gemma's template writes past calls (dictsort), so that they are found in the prefix cache. */
static int by_name(const void *x, const void *y)
{
    const struct member *a = x, *b = y;
    int order = strncasecmp(a->key.p, b->key.p, a->key.n < b->key.n ? a->key.n : b->key.n);
    return order ? order : (a->key.n > b->key.n) - (a->key.n < b->key.n);
}

static answer_node listed(struct answer *a, const struct member *m, const answer_node *items, size_t n,
                          const char *separator)
{
    bool *is_needed = arena_new_array(&a->arena, bool, n + 1);
    if (!is_needed) {
        a->is_full = true;
        return node_nothing();
    }
    for (size_t i = 0; i < n; i++)
        is_needed[i] = m[i].is_needed;
    return node_list(a, items, is_needed, n, node_literal(str_c(separator)));
}

/* item, item, ... as many as one likes, or none. */
static answer_node any_number(struct answer *a, answer_node item, const char *separator)
{
    answer_node more = NODE_SEQUENCE(a, node_literal(str_c(separator)), item);
    return node_repeat(a, NODE_SEQUENCE(a, item, node_repeat(a, more, 0, SLUICE_GRAMMAR_NO_MAX)), 0, 1);
}

/* ---- Python ---- */

static answer_node python_args(struct answer *a, const struct answer_tool *t)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    if (is_open(t)) {
        answer_node value = {.kind = SLUICE_GRAMMAR_JSON_VALUE};
        return any_number(
            a,
            NODE_SEQUENCE(a, node_text(SLUICE_GRAMMAR_REGEX, S(NAME_REGEX)), node_mark(s->after_key), value),
            s->after_value);
    }
    size_t n;
    struct member *m = members_of(a, t->params, &n);
    answer_node *items = node_room(a, n);
    if (!m || !items)
        return node_nothing();
    if (n > 1)
        qsort(m, n, sizeof *m, needed_first);
    for (size_t i = 0; i < n; i++)
        items[i] = NODE_SEQUENCE(a, node_literal(m[i].key), node_mark(s->after_key),
                                 json_value(a, t, m[i].schema, NULL));
    return listed(a, m, items, n, s->after_value);
}

/* ---- Gemma 4: {key:value,...}, texts between quotes of its own ---- */

static answer_node gemma_text(struct answer *a, answer_node text)
{
    return NODE_SEQUENCE(a, node_mark(GEMMA_QUOTE), text, node_mark(GEMMA_QUOTE));
}

static answer_node gemma_loose(struct answer *a, int depth)
{
    static const char *const quote = GEMMA_QUOTE;
    answer_node text = gemma_text(a, node_free_text(a, &quote, 1));
    answer_node word =
        node_text(SLUICE_GRAMMAR_REGEX, S("null|true|false|-?(?:0|[1-9][0-9]{0,17})(?:\\.[0-9]{1,17})?"));
    if (depth == 0)
        return NODE_ANY_OF(a, text, word);
    answer_node item = gemma_loose(a, depth - 1);
    answer_node member =
        NODE_SEQUENCE(a, node_text(SLUICE_GRAMMAR_REGEX, S(NAME_REGEX)), node_literal(S(":")), item);
    return NODE_ANY_OF(
        a, text, word, NODE_SEQUENCE(a, node_literal(S("[")), any_number(a, item, ","), node_literal(S("]"))),
        NODE_SEQUENCE(a, node_literal(S("{")), any_number(a, member, ","), node_literal(S("}"))));
}

static answer_node gemma_value(struct answer *a, const struct answer_tool *t, struct json given, int depth);

static bool is_plain_key(struct str key)
{
    for (size_t i = 0; i < key.n; i++)
        if (strchr(":,{}[]<\" \t\r\n", key.p[i]))
            return false;
    return key.n > 0;
}

static answer_node gemma_members(struct answer *a, const struct answer_tool *t, struct json object, int depth)
{
    size_t n;
    struct member *m = members_of(a, object, &n);
    answer_node *items = node_room(a, n);
    if (!m || !items)
        return node_nothing();
    if (n > 1)
        qsort(m, n, sizeof *m, by_name);
    for (size_t i = 0; i < n; i++) {
        a->is_unheld |= !is_plain_key(m[i].key);
        items[i] = NODE_SEQUENCE(a, node_literal(m[i].key), node_literal(S(":")),
                                 gemma_value(a, t, m[i].schema, depth));
    }
    return listed(a, m, items, n, ",");
}

static answer_node gemma_object(struct answer *a, const struct answer_tool *t, struct json object, int depth)
{
    if (!is_plain_object(object))
        return unheld(a);
    return NODE_SEQUENCE(a, node_literal(S("{")), gemma_members(a, t, object, depth), node_literal(S("}")));
}

static answer_node gemma_list(struct answer *a, const struct answer_tool *t, struct json list, int depth)
{
    static const char *const held[] = {"type", "items", "minItems", "maxItems"};
    uint64_t min = 0, max = SLUICE_GRAMMAR_NO_MAX;
    if (has_others(list, held, sizeof held / sizeof *held))
        return unheld(a);
    json_u64(json_get(list, "minItems"), &min);
    json_u64(json_get(list, "maxItems"), &max);
    if (min > max || min >= SLUICE_GRAMMAR_NO_MAX)
        return unheld(a);
    max = max > SLUICE_GRAMMAR_NO_MAX ? SLUICE_GRAMMAR_NO_MAX : max;
    struct json items = json_get(list, "items");
    answer_node item =
        json_is(items, JSON_OBJECT) ? gemma_value(a, t, items, depth) : gemma_loose(a, LOOSE_DEPTH);
    answer_node more = NODE_SEQUENCE(a, node_literal(S(",")), item);
    uint32_t least = min > 1 ? (uint32_t)min - 1 : 0;
    uint32_t most = max == SLUICE_GRAMMAR_NO_MAX ? SLUICE_GRAMMAR_NO_MAX : max > 1 ? (uint32_t)max - 1 : 0;
    answer_node some = NODE_SEQUENCE(a, item, node_repeat(a, more, least, most));
    answer_node inner = max == 0 ? node_nothing() : node_repeat(a, some, min > 0, 1);
    return NODE_SEQUENCE(a, node_literal(S("[")), inner, node_literal(S("]")));
}

static answer_node gemma_branches(struct answer *a, const struct answer_tool *t, struct json branches,
                                  int depth)
{
    answer_node *ways = node_room(a, json_count(branches));
    size_t n = 0;
    struct json_iter it = json_iter(branches);
    while (ways && json_next(&it))
        ways[n++] = gemma_value(a, t, it.value, depth);
    return (answer_node){.kind = SLUICE_GRAMMAR_ANY_OF, .parts = ways, .n_parts = n};
}

/* Follows the schema into lists and objects, at most GEMMA_DEPTH deep. */
static answer_node gemma_value(struct answer *a, const struct answer_tool *t, struct json given, int depth)
{
    struct json param = param_resolve(given, t->params);
    static const char *const any_of[] = {"anyOf"}, *const types_only[] = {"type"};
    unsigned types = param_types(param, t->params);
    answer_node ways[4];
    size_t n = 0;
    if (t->is_loose)
        return gemma_loose(a, LOOSE_DEPTH);
    if (depth == 0)
        return unheld(a);
    if (types & (PARAM_LIST | PARAM_OBJECT)) {
        if (json_exists(json_get(param, "anyOf")) && !has_others(param, any_of, 1))
            return gemma_branches(a, t, json_get(param, "anyOf"), depth - 1);
        if (!json_exists(json_get(param, "type")))
            return has_others(param, types_only, 1) ? unheld(a) : gemma_loose(a, LOOSE_DEPTH);
    }
    if (types & PARAM_TEXT)
        ways[n++] = gemma_text(a, text_value(a, t, param, GEMMA_QUOTE, ""));
    if (types & PARAM_SCALAR)
        ways[n++] = json_value(a, t, param, "[\"null\",\"boolean\",\"number\"]");
    if (types & PARAM_LIST)
        ways[n++] = gemma_list(a, t, param, depth - 1);
    if (types & PARAM_OBJECT) {
        bool says_nothing =
            json_count(json_get(param, "properties")) == 0 && !has_others(param, types_only, 1);
        ways[n++] = says_nothing ? gemma_loose(a, LOOSE_DEPTH) : gemma_object(a, t, param, depth - 1);
    }
    return node_many(a, SLUICE_GRAMMAR_ANY_OF, ways, n);
}

static answer_node gemma_args(struct answer *a, const struct answer_tool *t)
{
    if (!is_open(t))
        return gemma_members(a, t, t->params, GEMMA_DEPTH);
    answer_node name = node_text(SLUICE_GRAMMAR_REGEX, S(NAME_REGEX));
    return any_number(a, NODE_SEQUENCE(a, name, node_literal(S(":")), gemma_loose(a, LOOSE_DEPTH)), ",");
}

/* ---- all families ---- */

/* The arguments as one JSON object. */
static answer_node object_args(const struct answer_tool *t)
{
    if (!t->schema.p || t->is_loose)
        return (answer_node){.kind = SLUICE_GRAMMAR_JSON_OBJECT};
    return node_text(SLUICE_GRAMMAR_SCHEMA, t->schema);
}

answer_node answer_spec_args(struct answer *a, const struct answer_tool *t)
{
    bool is_apart = a->format->shape == TOOLCALL_TAGS || a->format->shape == TOOLCALL_PYTHON;
    if (!is_apart)
        return object_args(t);
    a->is_unheld |= !t->is_loose && !is_plain_object(t->params);
    if (a->format->shape == TOOLCALL_PYTHON)
        return python_args(a, t);
    return strcmp(a->format->name, "gemma4") == 0 ? gemma_args(a, t) : tag_args(a, t);
}
