/* answer_spec.c - What a whole answer may be.  See answer_spec.h; start reading at answer_spec(). */
#include "engine/answer_spec.h"

#include <stdio.h>

#include "engine/answer_node.h"

#define MARKS_MAX 8

/* ---- calls ---- */

static answer_node name_of(struct answer *a, const struct answer_tool *t)
{
    if (a->format->shape != TOOLCALL_JSON)
        return node_text(SLUICE_GRAMMAR_LITERAL, t->name);
    struct buf b;
    buf_init(&b, TOOLCALL_NAME_MAX * 8);
    json_escape(&b, t->name);
    struct str quoted = arena_str(&a->arena, buf_str(&b));
    a->is_full |= !buf_ok(&b) || !quoted.p;
    buf_deinit(&b);
    return node_text(SLUICE_GRAMMAR_LITERAL, quoted);
}

/* Markup in which some families number their calls: with the number of the first in their syntax. */
static answer_node numbered(struct answer *a, const char *markup)
{
    static const char *const numbers[] = {":0", "\"0\""};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *at = strstr(markup, numbers[i]);
        if (!at)
            continue;
        at++;
        const char *before = arena_str_z(&a->arena, str_of(markup, (size_t)(at - markup)));
        a->is_full |= !before;
        return NODE_SEQUENCE(a, node_mark(before ? before : ""),
                             node_text(SLUICE_GRAMMAR_REGEX, S("0|[1-9][0-9]{0,2}")), node_mark(at + 1));
    }
    return node_mark(markup);
}

static answer_node one_call(struct answer *a)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    /* In harmony <|call|> ends the answer, so it is no part of its text. */
    const char *after = a->format->shape == TOOLCALL_HARMONY ? "" : s->after_args;
    answer_node *calls = node_room(a, a->n_tools);
    if (!calls)
        return node_nothing();
    for (size_t i = 0; i < a->n_tools; i++)
        calls[i] =
            NODE_SEQUENCE(a, numbered(a, s->before_name), name_of(a, &a->tools[i]),
                          numbered(a, s->after_name), answer_spec_args(a, &a->tools[i]), node_mark(after));
    return (answer_node){.kind = SLUICE_GRAMMAR_ANY_OF, .parts = calls, .n_parts = a->n_tools};
}

static answer_node all_calls(struct answer *a)
{
    const struct toolcall_syntax *s = &a->format->syntax;
    answer_node call = one_call(a);
    bool is_single = a->one_call || a->format->shape == TOOLCALL_HARMONY;
    answer_node more =
        is_single ? node_nothing()
                  : node_repeat(a, NODE_SEQUENCE(a, node_mark(s->between), call), 0, SLUICE_GRAMMAR_NO_MAX);
    return NODE_SEQUENCE(a, node_mark(s->first), call, more, node_mark(s->last));
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

static answer_node free_answer(struct answer *a)
{
    const char *marks[MARKS_MAX];
    size_t n = begin_marks(a, marks);
    return node_free_text(a, marks, n);
}

/* Content or calls, behind the reasoning. */
static answer_node body(struct answer *a)
{
    bool has_content = a->content != NULL;
    answer_node content = has_content ? *a->content : free_answer(a);
    if (a->n_tools == 0)
        return content;
    answer_node calls = all_calls(a);
    if (a->is_call_required)
        return calls;
    if (has_content || a->format->is_bare) /* bare: nothing but its place tells a call from text */
        return NODE_ANY_OF(a, content, calls);
    return NODE_SEQUENCE(a, content, node_repeat(a, calls, 0, 1));
}

static answer_node harmony(struct answer *a)
{
    static const char *const end = "<|end|>";
    answer_node analysis = NODE_SEQUENCE(a, node_mark("<|channel|>analysis<|message|>"),
                                         node_free_text(a, &end, 1), node_mark("<|end|><|start|>assistant"));
    answer_node content = a->content ? *a->content : node_free_text(a, NULL, 0);
    answer_node final = NODE_SEQUENCE(a, node_mark("<|channel|>final<|message|>"), content);
    answer_node rest = final;
    if (a->n_tools)
        rest = a->is_call_required ? all_calls(a) : NODE_ANY_OF(a, final, all_calls(a));
    return NODE_SEQUENCE(a, node_repeat(a, analysis, 0, 1), rest);
}

static answer_node with_reasoning(struct answer *a, answer_node rest)
{
    const char *end = a->format->reasoning_end;
    if (!a->in_reasoning && !(a->may_reason && has_reasoning_marks(a)))
        return rest;
    answer_node thought = NODE_SEQUENCE(a, node_free_text(a, &end, 1), node_mark(end),
                                        node_text(SLUICE_GRAMMAR_REGEX, S("\\n{0,2}")), rest);
    if (a->in_reasoning)
        return thought;
    return NODE_ANY_OF(a, rest, NODE_SEQUENCE(a, node_mark(a->format->reasoning_begin), thought));
}

struct sluice_grammar_spec answer_spec(struct answer *a)
{
    if (a->is_begun && a->format->shape == TOOLCALL_HARMONY)
        return a->content ? *a->content : node_free_text(a, NULL, 0); /* of the final channel */
    if (a->is_begun)
        return body(a);
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
