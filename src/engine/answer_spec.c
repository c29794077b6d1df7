/* answer_spec.c - What a whole answer may be.  See answer_spec.h; start reading at answer_spec(). */
#include "engine/answer_spec.h"

#include <stdio.h>

#define MARKS_MAX 8

typedef struct sluice_grammar_spec spec;

/* ---- nodes ---- */

static spec *nodes(struct answer *a, size_t n)
{
    spec *s = arena_new_array(&a->arena, spec, n ? n : 1);
    a->is_full |= s == NULL; /* building goes on: one check at its end is enough */
    return s;
}

static spec text_node(enum sluice_grammar_kind kind, struct str text)
{
    return (spec){.kind = kind, .text = text.p, .text_bytes = text.n};
}

static spec mark(const char *text)
{
    return text_node(SLUICE_GRAMMAR_MARK, str_c(text));
}

static spec nothing(void)
{
    return text_node(SLUICE_GRAMMAR_LITERAL, S(""));
}

static spec many(struct answer *a, enum sluice_grammar_kind kind, const spec *parts, size_t n)
{
    spec *copy = nodes(a, n);
    if (!copy)
        return nothing();
    for (size_t i = 0; i < n; i++)
        copy[i] = parts[i];
    return (spec){.kind = kind, .parts = copy, .n_parts = n};
}

#define SEQUENCE(a, ...)                                                                                     \
    many((a), SLUICE_GRAMMAR_SEQUENCE, (const spec[]){__VA_ARGS__},                                          \
         sizeof((const spec[]){__VA_ARGS__}) / sizeof(spec))
#define ANY_OF(a, ...)                                                                                       \
    many((a), SLUICE_GRAMMAR_ANY_OF, (const spec[]){__VA_ARGS__},                                            \
         sizeof((const spec[]){__VA_ARGS__}) / sizeof(spec))

static spec repeat(struct answer *a, spec part, uint32_t min, uint32_t max)
{
    spec s = many(a, SLUICE_GRAMMAR_REPEAT, &part, 1);
    s.min = min;
    s.max = max;
    return s;
}

static spec free_text(struct answer *a, const char *const *without, size_t n)
{
    const char **copy = arena_new_array(&a->arena, const char *, n + 1);
    if (!copy) {
        a->is_full = true;
        return nothing();
    }
    for (size_t i = 0; i < n; i++)
        copy[i] = without[i];
    return (spec){.kind = SLUICE_GRAMMAR_FREE, .choices = copy, .n_choices = n};
}

/* ---- values of arguments ---- */

/* The arguments as one JSON object. */
static spec object_args(const struct answer_tool *t)
{
    if (!t->schema.p || t->is_loose)
        return (spec){.kind = SLUICE_GRAMMAR_JSON_OBJECT};
    return text_node(SLUICE_GRAMMAR_SCHEMA, t->schema);
}

/* One parameter's schema on its own, with the definitions that it may refer to. */
static struct str param_schema(struct answer *a, const struct answer_tool *t, struct json param)
{
    struct str defs = json_span(json_get(t->params, "$defs"));
    struct str old = json_span(json_get(t->params, "definitions"));
    return arena_printf(&a->arena, "{\"allOf\":[%.*s]%s%.*s%s%.*s}", STR(json_span(param)),
                        defs.n ? ",\"$defs\":" : "", STR(defs), old.n ? ",\"definitions\":" : "", STR(old));
}

static spec json_value(struct answer *a, const struct answer_tool *t, struct json param)
{
    if (t->is_loose)
        return (spec){.kind = SLUICE_GRAMMAR_JSON_VALUE};
    struct str schema = param_schema(a, t, param);
    a->is_full |= schema.p == NULL;
    return text_node(SLUICE_GRAMMAR_SCHEMA, schema);
}

/* Any text up to the closing tag. */
static spec tag_text(struct answer *a)
{
    const char *without = arena_str_z(&a->arena, str_trim(str_c(a->format->syntax.after_value)));
    a->is_full |= without == NULL;
    return free_text(a, &without, without ? 1 : 0);
}

/* A text with bounds on its length: then without '<', so that its end is where it is counted. */
static spec bounded_text(struct answer *a, struct json param)
{
    uint64_t min = 0, max = 0;
    bool has_max = json_u64(json_get(param, "maxLength"), &max);
    json_u64(json_get(param, "minLength"), &min);
    struct str pattern =
        has_max ? arena_printf(&a->arena, "[^<]{%llu,%llu}", (unsigned long long)min, (unsigned long long)max)
                : arena_printf(&a->arena, "[^<]{%llu,}", (unsigned long long)min);
    a->is_full |= pattern.p == NULL;
    return text_node(SLUICE_GRAMMAR_REGEX, pattern);
}

/* Is it one of the types that a value in tags is read as JSON for? */
static bool is_json_type(struct json param)
{
    static const char *const types[] = {"integer", "number", "boolean", "object", "array", "null"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (json_text_is(json_get(param, "type"), types[i]))
            return true;
    return false;
}

/* In tags a text stands without quotes.  What more a schema says of it than its length or an enum cannot
 * be held there, nor what may be text or something else. */
static spec tag_value(struct answer *a, const struct answer_tool *t, struct json param)
{
    if (t->is_loose)
        return tag_text(a);
    if (is_json_type(param))
        return json_value(a, t, param);
    struct json_iter it = json_iter(param);
    static const char *const held[] = {"type",        "enum",  "minLength", "maxLength",
                                       "description", "title", "default",   "examples"};
    bool is_held = json_text_is(json_get(param, "type"), "string");
    while (is_held && json_next(&it)) {
        bool known = false;
        for (size_t i = 0; i < sizeof held / sizeof *held; i++)
            known |= json_text_is(it.key_value, held[i]);
        is_held = known;
    }
    a->is_unheld |= !is_held;
    if (!is_held || !json_exists(json_get(param, "enum"))) {
        bool is_bounded =
            json_exists(json_get(param, "maxLength")) || json_exists(json_get(param, "minLength"));
        return is_held && is_bounded ? bounded_text(a, param) : tag_text(a);
    }
    struct json values = json_get(param, "enum");
    spec *choices = arena_new_array(&a->arena, spec, (size_t)json_count(values) + 1);
    if (!choices) {
        a->is_full = true;
        return nothing();
    }
    it = json_iter(values);
    size_t n = 0;
    while (json_next(&it)) {
        struct str text = json_text(it.value, &a->arena);
        if (text.p)
            choices[n++] = text_node(SLUICE_GRAMMAR_LITERAL, text);
    }
    return (spec){.kind = SLUICE_GRAMMAR_ANY_OF, .parts = choices, .n_parts = n};
}

static bool is_required(const struct answer_tool *t, struct str name)
{
    struct json_iter it = json_iter(json_get(t->params, "required"));
    while (json_next(&it)) {
        struct str text = json_span(it.value);
        if (text.n == name.n + 2 && memcmp(text.p + 1, name.p, name.n) == 0)
            return true;
    }
    return false;
}

/* What stands behind a key.  DeepSeek's newer tags say whether the value is text or JSON. */
static const char *after_key(const struct answer *a, struct json param, bool is_tag)
{
    const char *text = a->format->syntax.after_key;
    bool is_text = is_tag && json_text_is(json_get(param, "type"), "string");
    return is_text && strcmp(text, "\" string=\"false\">") == 0 ? "\" string=\"true\">" : text;
}

static spec parameter(struct answer *a, const struct answer_tool *t, struct str key, struct json param,
                      bool is_tag)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    return SEQUENCE(
        a, mark(s->before_key), text_node(SLUICE_GRAMMAR_LITERAL, key), mark(after_key(a, param, is_tag)),
        is_tag ? tag_value(a, t, param) : json_value(a, t, param), mark(is_tag ? s->after_value : ""));
}

/* Each parameter in its tags: those that are required, others if the model likes. */
static spec tag_args(struct answer *a, const struct answer_tool *t)
{
    struct json properties = json_get(t->params, "properties");
    spec *parts = arena_new_array(&a->arena, spec, (size_t)json_count(properties) + 1);
    size_t n = 0;
    struct json_iter it = json_iter(properties);
    while (parts && json_next(&it)) {
        struct str key = json_text(it.key_value, &a->arena);
        spec one = parameter(a, t, key, it.value, true);
        parts[n++] = is_required(t, it.key) ? one : repeat(a, one, 0, 1);
    }
    a->is_full |= parts == NULL;
    return (spec){.kind = SLUICE_GRAMMAR_SEQUENCE, .parts = parts, .n_parts = n};
}

/* name=value with separators: the required ones first, so that the rest can each have one in front. */
static spec python_args(struct answer *a, const struct answer_tool *t)
{
    struct json properties = json_get(t->params, "properties");
    spec *parts = arena_new_array(&a->arena, spec, (size_t)json_count(properties) + 1);
    spec separator = text_node(SLUICE_GRAMMAR_LITERAL, str_c(a->format->syntax.after_value));
    size_t n = 0;
    for (int pass = 0; parts && pass < 2; pass++) {
        struct json_iter it = json_iter(properties);
        while (json_next(&it)) {
            bool needed = is_required(t, it.key);
            if (needed != (pass == 0))
                continue;
            struct str key = json_text(it.key_value, &a->arena);
            spec one = parameter(a, t, key, it.value, false);
            if (n > 0)
                one = SEQUENCE(a, separator, one);
            else if (!needed) /* nothing is required: at most the first one, since what follows needs it */
                return repeat(a, one, 0, 1);
            parts[n++] = needed ? one : repeat(a, one, 0, 1);
        }
    }
    a->is_full |= parts == NULL;
    return (spec){.kind = SLUICE_GRAMMAR_SEQUENCE, .parts = parts, .n_parts = n};
}

struct sluice_grammar_spec answer_spec_args(struct answer *a, const struct answer_tool *t)
{
    switch (a->format->shape) {
    case TOOLCALL_TAGS: return tag_args(a, t);
    case TOOLCALL_PYTHON: return python_args(a, t);
    default: return object_args(t);
    }
}

/* ---- calls ---- */

static spec name_of(struct answer *a, const struct answer_tool *t)
{
    if (a->format->shape != TOOLCALL_JSON)
        return text_node(SLUICE_GRAMMAR_LITERAL, t->name);
    struct buf b;
    buf_init(&b, TOOLCALL_NAME_MAX * 8);
    json_escape(&b, t->name);
    struct str quoted = arena_str(&a->arena, buf_str(&b));
    a->is_full |= !buf_ok(&b) || !quoted.p;
    buf_deinit(&b);
    return text_node(SLUICE_GRAMMAR_LITERAL, quoted);
}

static spec one_call(struct answer *a)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    /* In harmony <|call|> ends the answer, so it is no part of its text. */
    const char *after = a->format->shape == TOOLCALL_HARMONY ? "" : s->after_args;
    spec *calls = arena_new_array(&a->arena, spec, a->n_tools);
    if (!calls) {
        a->is_full = true;
        return nothing();
    }
    for (size_t i = 0; i < a->n_tools; i++)
        calls[i] = SEQUENCE(a, mark(s->before_name), name_of(a, &a->tools[i]), mark(s->after_name),
                            answer_spec_args(a, &a->tools[i]), mark(after));
    return (spec){.kind = SLUICE_GRAMMAR_ANY_OF, .parts = calls, .n_parts = a->n_tools};
}

/* Formats that number their calls have the number of the first in their syntax. */
static bool is_single(const struct answer *a)
{
    return a->one_call || a->format->shape == TOOLCALL_HARMONY ||
           strstr(a->format->syntax.after_name, ":0") || strstr(a->format->syntax.before_name, "\"0\"");
}

static spec all_calls(struct answer *a)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    spec call = one_call(a);
    spec more =
        is_single(a) ? nothing() : repeat(a, SEQUENCE(a, mark(s->between), call), 0, SLUICE_GRAMMAR_NO_MAX);
    return SEQUENCE(a, mark(s->first), call, more, mark(s->last));
}

/* ---- the answer ---- */

static bool has_reasoning_marks(const struct answer *a)
{
    return a->format->reasoning_begin[0] && a->format->reasoning_end[0];
}

/* What free text must not hold, since it begins something else. */
static size_t begin_marks(const struct answer *a, const char *marks[MARKS_MAX])
{
    size_t n = 0;
    for (int i = 0; i < 3 && a->format->begin[i] && a->format->begin[i][0]; i++)
        marks[n++] = a->format->begin[i];
    if (a->format->outer_begin[0])
        marks[n++] = a->format->outer_begin;
    if (has_reasoning_marks(a))
        marks[n++] = a->format->reasoning_begin;
    return n;
}

static spec free_answer(struct answer *a)
{
    const char *marks[MARKS_MAX];
    size_t n = begin_marks(a, marks);
    return free_text(a, marks, n);
}

/* Content or calls, behind the reasoning. */
static spec body(struct answer *a)
{
    bool has_content = a->content != NULL;
    spec content = has_content ? *a->content : free_answer(a);
    if (a->n_tools == 0)
        return content;
    spec calls = all_calls(a);
    if (a->is_call_required)
        return calls;
    if (has_content || a->format->is_bare) /* bare: nothing but its place tells a call from text */
        return ANY_OF(a, content, calls);
    return SEQUENCE(a, content, repeat(a, calls, 0, 1));
}

static spec harmony(struct answer *a)
{
    static const char *const end = "<|end|>";
    spec analysis = SEQUENCE(a, mark("<|channel|>analysis<|message|>"), free_text(a, &end, 1),
                             mark("<|end|><|start|>assistant"));
    spec content = a->content ? *a->content : free_text(a, NULL, 0);
    spec final = SEQUENCE(a, mark("<|channel|>final<|message|>"), content);
    spec rest = final;
    if (a->n_tools)
        rest = a->is_call_required ? all_calls(a) : ANY_OF(a, final, all_calls(a));
    return SEQUENCE(a, repeat(a, analysis, 0, 1), rest);
}

static spec with_reasoning(struct answer *a, spec rest)
{
    const char *end = a->format->reasoning_end;
    if (!a->in_reasoning && !(a->may_reason && has_reasoning_marks(a)))
        return rest;
    spec thought =
        SEQUENCE(a, free_text(a, &end, 1), mark(end), text_node(SLUICE_GRAMMAR_REGEX, S("\\n{0,2}")), rest);
    if (a->in_reasoning)
        return thought;
    return ANY_OF(a, rest, SEQUENCE(a, mark(a->format->reasoning_begin), thought));
}

struct sluice_grammar_spec answer_spec(struct answer *a)
{
    if (a->format->shape == TOOLCALL_HARMONY)
        return harmony(a);
    return with_reasoning(a, body(a));
}

/* ---- tools ---- */

static bool is_wanted(const char *const *names, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(str_c(names[i]), name))
            return true;
    return names == NULL;
}

/* A schema that does not say so must still be one of objects. */
static struct str object_schema(struct answer *a, struct json params)
{
    struct str text = json_span(params);
    if (json_exists(json_get(params, "type")) || text.n < 2)
        return text;
    struct str rest = str_sub(text, 1, text.n);
    return arena_printf(&a->arena, "{\"type\":\"object\"%s%.*s", json_count(params) ? "," : "", STR(rest));
}

int answer_read_tools(struct answer *a, struct str text, const char *const *names, size_t n, struct err *err)
{
    int rc = text.n ? json_parse(&a->tools_doc, &a->arena, text, err) : OK;
    if (rc != OK || !text.n) {
        err_prefix(rc == OK ? NULL : err, "tools");
        return rc;
    }
    struct json list = json_root(&a->tools_doc);
    if (json_count(list) > ANSWER_TOOLS_MAX)
        return fail(err, ERR_LIMIT, "%u tools; at most %d can be held", json_count(list), ANSWER_TOOLS_MAX);
    a->tools = arena_new_array(&a->arena, struct answer_tool, (size_t)json_count(list) + 1);
    if (!a->tools)
        return fail(err, ERR_NOMEM, "no memory");
    struct json_iter it = json_iter(list);
    while (json_next(&it)) {
        struct json function = json_get(it.value, "function");
        struct json f = json_exists(function) ? function : it.value;
        struct str name = json_text(json_get(f, "name"), &a->arena);
        if (!name.n || name.n > TOOLCALL_NAME_MAX || !is_wanted(names, n, name))
            continue;
        struct answer_tool *t = &a->tools[a->n_tools++];
        t->name = name;
        t->params = json_get(f, "parameters");
        if (json_is(t->params, JSON_OBJECT))
            t->schema = object_schema(a, t->params);
        json_bool(json_get(f, "strict"), &t->is_strict);
    }
    return OK;
}
