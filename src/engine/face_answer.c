/* face_answer.c - The grammar of a whole answer: reasoning, content, calls of tools.
 *
 * A family's markup is data (text/toolcall_formats.c); here it becomes a tree of grammar specs around
 * the schemas of the tools.  Everything is built in one arena and compiled at the end.
 *
 * Start reading at build_answer(). */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "engine/face_int.h"

#define ARENA_MAX        ((size_t)64 << 20)
#define PROMPT_END_BYTES 256
#define TOOLS_MAX        512
#define MARKS_MAX        8

typedef struct sluice_grammar_spec spec;

struct tool {
    struct str name, schema; /* schema: the JSON text; p == NULL: none */
    struct json params;
    bool is_strict;
    bool is_loose; /* its schema cannot be held: any object will do */
};

struct answer {
    struct sluice_model *model;
    const struct toolcall_format *format;
    struct arena arena;
    struct json_doc tools_doc;
    struct tool *tools; /* those that may be called */
    size_t n_tools;
    struct sluice_answer_options o;
    bool is_full; /* the arena was */
};

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
static spec object_args(const struct tool *t)
{
    if (!t->schema.p || t->is_loose)
        return (spec){.kind = SLUICE_GRAMMAR_JSON_OBJECT};
    return text_node(SLUICE_GRAMMAR_SCHEMA, t->schema);
}

/* One parameter's schema on its own, with the definitions that it may refer to. */
static struct str param_schema(struct answer *a, const struct tool *t, struct json param)
{
    struct str defs = json_span(json_get(t->params, "$defs"));
    struct str old = json_span(json_get(t->params, "definitions"));
    return arena_printf(&a->arena, "{\"allOf\":[%.*s]%s%.*s%s%.*s}", STR(json_span(param)),
                        defs.n ? ",\"$defs\":" : "", STR(defs), old.n ? ",\"definitions\":" : "", STR(old));
}

static spec json_value(struct answer *a, const struct tool *t, struct json param)
{
    if (t->is_loose)
        return (spec){.kind = SLUICE_GRAMMAR_JSON_VALUE};
    struct str schema = param_schema(a, t, param);
    a->is_full |= schema.p == NULL;
    return text_node(SLUICE_GRAMMAR_SCHEMA, schema);
}

/* In tags a text stands without quotes: one of its enum, or anything up to the closing tag. */
static spec tag_value(struct answer *a, const struct tool *t, struct json param)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    if (!json_text_is(json_get(param, "type"), "string") || strstr(s->after_key, "string=\"false\""))
        return json_value(a, t, param);
    struct json values = json_get(param, "enum");
    if (json_count(values) == 0) {
        struct str end = str_trim(str_c(s->after_value));
        const char *without = arena_str_z(&a->arena, end);
        a->is_full |= without == NULL;
        return free_text(a, &without, without ? 1 : 0);
    }
    spec *choices = arena_new_array(&a->arena, spec, json_count(values));
    if (!choices) {
        a->is_full = true;
        return nothing();
    }
    struct json_iter it = json_iter(values);
    size_t n = 0;
    while (json_next(&it)) {
        struct str text = json_text(it.value, &a->arena);
        if (text.p)
            choices[n++] = text_node(SLUICE_GRAMMAR_LITERAL, text);
    }
    return (spec){.kind = SLUICE_GRAMMAR_ANY_OF, .parts = choices, .n_parts = n};
}

static bool is_required(const struct tool *t, struct str name)
{
    struct json_iter it = json_iter(json_get(t->params, "required"));
    while (json_next(&it)) {
        struct str text = json_span(it.value);
        if (text.n == name.n + 2 && memcmp(text.p + 1, name.p, name.n) == 0)
            return true;
    }
    return false;
}

static spec parameter(struct answer *a, const struct tool *t, struct str key, struct json param, bool is_tag)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    return SEQUENCE(a, mark(s->before_key), text_node(SLUICE_GRAMMAR_LITERAL, key), mark(s->after_key),
                    is_tag ? tag_value(a, t, param) : json_value(a, t, param),
                    mark(is_tag ? s->after_value : ""));
}

/* Each parameter in its tags: those that are required, others if the model likes. */
static spec tag_args(struct answer *a, const struct tool *t)
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
static spec python_args(struct answer *a, const struct tool *t)
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

static spec arguments(struct answer *a, const struct tool *t)
{
    switch (a->format->shape) {
    case TOOLCALL_TAGS: return tag_args(a, t);
    case TOOLCALL_PYTHON: return python_args(a, t);
    default: return object_args(t);
    }
}

/* ---- calls ---- */

static spec name_of(struct answer *a, const struct tool *t)
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
                            arguments(a, &a->tools[i]), mark(after));
    return (spec){.kind = SLUICE_GRAMMAR_ANY_OF, .parts = calls, .n_parts = a->n_tools};
}

/* Formats that number their calls have the number of the first in their syntax. */
static bool is_single(const struct answer *a)
{
    return a->o.one_call || a->format->shape == TOOLCALL_HARMONY ||
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
    bool has_content = a->o.content != NULL;
    spec content = has_content ? *a->o.content : free_answer(a);
    if (a->n_tools == 0)
        return content;
    spec calls = all_calls(a);
    if (a->o.tool_choice == SLUICE_TOOLS_REQUIRED)
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
    spec content = a->o.content ? *a->o.content : free_text(a, NULL, 0);
    spec final = SEQUENCE(a, mark("<|channel|>final<|message|>"), content);
    spec rest = final;
    if (a->n_tools)
        rest = a->o.tool_choice == SLUICE_TOOLS_REQUIRED ? all_calls(a) : ANY_OF(a, final, all_calls(a));
    return SEQUENCE(a, repeat(a, analysis, 0, 1), rest);
}

static spec with_reasoning(struct answer *a, spec rest, bool is_open)
{
    const char *end = a->format->reasoning_end;
    bool may_begin =
        has_reasoning_marks(a) && face_has_token(a->model->tokenizer, str_c(a->format->reasoning_begin));
    if (!is_open && !may_begin)
        return rest;
    spec thought =
        SEQUENCE(a, free_text(a, &end, 1), mark(end), text_node(SLUICE_GRAMMAR_REGEX, S("\\n{0,2}")), rest);
    if (is_open)
        return thought;
    return ANY_OF(a, rest, SEQUENCE(a, mark(a->format->reasoning_begin), thought));
}

static spec build_answer(struct answer *a, bool in_reasoning)
{
    if (a->format->shape == TOOLCALL_HARMONY)
        return harmony(a);
    return with_reasoning(a, body(a), in_reasoning);
}

/* ---- tools ---- */

static bool is_wanted(const struct answer *a, struct str name)
{
    for (size_t i = 0; i < a->o.n_tool_names; i++)
        if (str_eq(str_c(a->o.tool_names[i]), name))
            return true;
    return a->o.tool_names == NULL;
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

static int read_tools(struct answer *a, struct str text, struct err *err)
{
    int rc = text.n ? json_parse(&a->tools_doc, &a->arena, text, err) : OK;
    if (rc != OK || !text.n) {
        err_prefix(rc == OK ? NULL : err, "tools");
        return rc;
    }
    struct json list = json_root(&a->tools_doc);
    if (json_count(list) > TOOLS_MAX)
        return fail(err, ERR_LIMIT, "%u tools; at most %d can be held", json_count(list), TOOLS_MAX);
    a->tools = arena_new_array(&a->arena, struct tool, (size_t)json_count(list) + 1);
    if (!a->tools)
        return FACE_OUT_OF_MEMORY(err);
    struct json_iter it = json_iter(list);
    while (json_next(&it)) {
        struct json function = json_get(it.value, "function");
        struct json f = json_exists(function) ? function : it.value;
        struct str name = json_text(json_get(f, "name"), &a->arena);
        if (!name.n || name.n > TOOLCALL_NAME_MAX || !is_wanted(a, name))
            continue;
        struct tool *t = &a->tools[a->n_tools++];
        t->name = name;
        t->params = json_get(f, "parameters");
        if (json_is(t->params, JSON_OBJECT))
            t->schema = object_schema(a, t->params);
        json_bool(json_get(f, "strict"), &t->is_strict);
    }
    return OK;
}

/* Some schema cannot be held: find whose.  OK when those of the tools that are not strict were let
 * loose, so that it may be tried again. */
static int loosen(struct answer *a, char *where, size_t where_cap, struct sluice_error *err)
{
    int n_loosened = 0;
    for (size_t i = 0; i < a->n_tools; i++) {
        struct tool *t = &a->tools[i];
        struct sluice_grammar *g = NULL;
        spec args = arguments(a, t);
        int rc = sluice_grammar_compile(a->model, &args, &g, where, where_cap, err);
        sluice_grammar_free(g);
        if (rc == OK)
            continue;
        if (t->is_strict) {
            err_prefix(face_err(err), "the arguments of the tool '%.*s'", STR(t->name));
            return rc;
        }
        t->is_loose = true;
        n_loosened++;
    }
    return n_loosened ? OK : ERR_NOT_FOUND;
}

static bool any_strict(const struct answer *a)
{
    for (size_t i = 0; i < a->n_tools; i++)
        if (a->tools[i].is_strict)
            return true;
    return false;
}

/* Is there nothing to hold? */
static bool is_free(const struct answer *a)
{
    if (a->o.content || a->o.tool_choice == SLUICE_TOOLS_REQUIRED)
        return false;
    return a->n_tools == 0 || a->format->shape == TOOLCALL_NONE || (a->format->is_bare && !any_strict(a));
}

static int compile(struct answer *a, bool in_reasoning, struct sluice_grammar **grammar, char *where,
                   size_t where_cap, struct sluice_error *err)
{
    spec root = build_answer(a, in_reasoning);
    if (a->is_full)
        return fail(face_err(err), ERR_LIMIT, "the tools are too large to be held");
    return sluice_grammar_compile(a->model, &root, grammar, where, where_cap, err);
}

static int prepare(struct answer *a, const struct sluice_chat *chat, bool *in_reasoning, struct err *err)
{
    char end[PROMPT_END_BYTES];
    size_t n = 0;
    if (chat->continue_last)
        return fail(err, ERR_UNSUPPORTED, "an answer that is begun already cannot be held to a form");
    int rc = a->o.tool_choice == SLUICE_TOOLS_NONE || !chat->tools
                 ? OK
                 : read_tools(a, face_text(chat->tools, chat->tools_bytes), err);
    if (rc == OK && a->o.tool_choice == SLUICE_TOOLS_REQUIRED && a->n_tools == 0)
        return fail(err, ERR_ARG, "a tool call is required and there is no tool that may be called");
    bool no_markup = a->format->shape == TOOLCALL_NONE || strcmp(a->format->name, "gemma4") == 0;
    if (rc == OK && no_markup && (a->o.tool_choice == SLUICE_TOOLS_REQUIRED || any_strict(a)))
        return fail(err, ERR_UNSUPPORTED,
                    "tool calls cannot be forced: the model has no known markup for them");
    if (no_markup)
        a->n_tools = 0;
    if (rc == OK && !is_free(a))
        rc = face_chat_prompt_end(a->model, chat, end, sizeof end, &n, err);
    *in_reasoning = rc == OK && toolcall_prompt_opens_reasoning(a->format, str_of(end, n));
    return rc;
}

static int make(struct answer *a, const struct sluice_chat *given, const struct sluice_answer_options *o,
                struct sluice_grammar **grammar, char *where, size_t where_cap, struct sluice_error *error)
{
    struct sluice_chat chat;
    bool in_reasoning = false;
    struct err *err = face_err(error);
    sluice_chat_init(&chat, sizeof chat);
    int rc = face_copy_options(&chat, sizeof chat, given, given->struct_bytes, "sluice_chat", err);
    if (rc == OK && o)
        rc = face_copy_options(&a->o, sizeof a->o, o, o->struct_bytes, "sluice_answer_options", err);
    if (rc == OK)
        rc = chat.continue_last && !a->o.content && a->o.tool_choice != SLUICE_TOOLS_REQUIRED
                 ? ERR_CANCELLED /* nothing is held: what is begun goes on as it likes */
                 : prepare(a, &chat, &in_reasoning, err);
    if (rc == ERR_CANCELLED)
        return OK;
    if (rc != OK || is_free(a))
        return rc;
    rc = compile(a, in_reasoning, grammar, where, where_cap, error);
    if (rc == ERR_NOMEM || rc == OK || a->n_tools == 0)
        return rc;
    struct sluice_error first = {0};
    if (error)
        first = *error;
    int loosened = loosen(a, where, where_cap, error);
    if (loosened == OK)
        return compile(a, in_reasoning, grammar, where, where_cap, error);
    if (loosened == ERR_NOT_FOUND && error)
        *error = first;
    return loosened == ERR_NOT_FOUND ? rc : loosened;
}

SLUICE_API int sluice_answer_grammar(struct sluice_model *model, const struct sluice_chat *chat,
                                     const struct sluice_answer_options *o, struct sluice_grammar **grammar,
                                     char *where, size_t where_cap, struct sluice_error *err)
{
    struct sluice_error own = {0};
    *grammar = NULL;
    if (where && where_cap)
        where[0] = 0;
    struct answer *a = calloc(1, sizeof *a);
    if (!a)
        return FACE_OUT_OF_MEMORY(face_err(err));
    a->model = model;
    a->format = face_tool_format(model);
    arena_init(&a->arena, ARENA_MAX);
    sluice_answer_options_init(&a->o, sizeof a->o);
    int rc = make(a, chat, o, grammar, where, where_cap, err ? err : &own);
    arena_deinit(&a->arena);
    free(a);
    return rc;
}
