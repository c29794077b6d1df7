/* validate_check.c - One choice of an answer beside what it must follow. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "gateway/validate_int.h"

#define ANSWER_TEXT_MAX ((size_t)64 << 20)

static bool wrong(struct validation *v, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool wrong(struct validation *v, const char *what, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->why, sizeof v->why, fmt, args);
    va_end(args);
    v->what = what;
    return false;
}

/* Is there time to look at n more bytes, of which a brief check may see n_brief_max? */
static bool may_go_on(const struct validation *v, size_t n, size_t n_brief_max)
{
    return clock_now_ns() < v->deadline_ns && (!v->is_brief || n <= n_brief_max);
}

bool validate_choice_is_cut(const struct chat_choice *c)
{
    return c->finish == CHAT_FINISH_LENGTH || c->finish == CHAT_FINISH_CONTENT_FILTER ||
           c->finish == CHAT_FINISH_REFUSAL || c->finish == CHAT_FINISH_PAUSE;
}

/* ---- JSON ---- */

static bool check_schema(struct validation *v, struct checked_schema *s, struct str text, bool wants_object,
                         const char *what, const char *subject)
{
    struct schema_fault fault = {0};
    int rc = OK;
    if (!may_go_on(v, s->checker ? 0 : text.n, SCHEMA_BRIEF_BYTES_MAX)) {
        rc = ERR_LIMIT;
        snprintf(fault.text, sizeof fault.text,
                 "the answer cannot be checked within the bounds of one check");
    } else if (s->checker) {
        rc = schema_check_text(s->checker, text, &fault);
    } else {
        struct arena arena;
        struct json_doc doc;
        struct err err = {0};
        arena_init(&arena, text.n * 32 + (1u << 16));
        rc = json_parse(&doc, &arena, text, &err);
        snprintf(fault.text, sizeof fault.text, "%.390s", err.text);
        if (rc == OK && wants_object && !json_is(json_root(&doc), JSON_OBJECT)) {
            rc = ERR_FORMAT;
            snprintf(fault.text, sizeof fault.text, "the value must be an object");
        }
        arena_deinit(&arena);
    }
    if (rc == OK)
        return true;
    v->is_undecided |= rc == ERR_LIMIT && v->is_brief;
    if (fault.schema[0])
        return wrong(v, what, "%s: %s (schema %s)", subject, fault.text, fault.schema);
    return wrong(v, what, "%s: %s", subject, fault.text);
}

static bool check_text(struct validation *v, const struct chat_choice *c)
{
    struct buf text;
    buf_init(&text, ANSWER_TEXT_MAX);
    buf_str_add(&text, v->begun);
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == CHAT_PART_TEXT)
            buf_str_add(&text, c->parts[i].text);
    bool ok = buf_ok(&text)
                  ? check_schema(v, &v->answer, buf_str(&text), v->wants_object, "schema", "the answer")
                  : wrong(v, "schema", "the answer is too large to be checked");
    buf_deinit(&text);
    return ok;
}

/* ---- tool calls ---- */

static bool check_call(struct validation *v, const struct chat_request *req, const struct chat_part *call)
{
    for (size_t i = 0; i < req->n_tools; i++) {
        if (!req->tools[i].name.p || !str_eq(req->tools[i].name, call->name))
            continue;
        char subject[160];
        snprintf(subject, sizeof subject, "the arguments of the tool '%.*s'",
                 STR(str_sub(call->name, 0, 100)));
        struct str args = call->args_json.n ? call->args_json : S("{}");
        return check_schema(v, &v->tools[i], args, true, "tool", subject);
    }
    return v->has_foreign_tools ||
           wrong(v, "tool", "there is no tool '%.*s'", STR(str_sub(call->name, 0, 100)));
}

static bool is_allowed(const struct chat_request *req, struct str name)
{
    if (req->tool_choice == CHAT_TOOLS_NONE)
        return false;
    if (req->tool_choice != CHAT_TOOLS_NAMED && req->tool_choice != CHAT_TOOLS_REQUIRED)
        return true;
    for (size_t i = 0; i < req->n_tool_names; i++)
        if (str_eq(req->tool_names[i], name))
            return true;
    return req->n_tool_names == 0;
}

static bool check_calls(struct validation *v, const struct chat_request *req, const struct chat_choice *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct chat_part *p = &c->parts[i];
        if (p->type != CHAT_PART_TOOL_CALL)
            continue;
        n++;
        if (!check_call(v, req, p))
            return false;
        if (!is_allowed(req, p->name))
            return wrong(v, "tool", "the tool '%.*s' was called, and tool_choice does not allow it",
                         STR(str_sub(p->name, 0, 100)));
    }
    if (n > 1 && req->parallel_tool_calls == CHAT_NO)
        return wrong(v, "tool", "there are %zu tool calls, and parallel_tool_calls allows one", n);
    if (c->finish == CHAT_FINISH_BAD_TOOL_CALL)
        return wrong(v, "tool", "a tool call could not be read");
    bool is_forced = req->tool_choice == CHAT_TOOLS_REQUIRED || req->tool_choice == CHAT_TOOLS_NAMED;
    return n > 0 || !is_forced || v->has_foreign_tools ||
           wrong(v, "tool", "no tool was called, and tool_choice asks for a call");
}

static bool has_calls(const struct chat_choice *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == CHAT_PART_TOOL_CALL)
            return true;
    return false;
}

static bool has_refusal(const struct chat_choice *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == CHAT_PART_REFUSAL)
            return true;
    return false;
}

/* ---- citations ---- */

/* Bytes of a white-space character at p, or 0: ASCII and the no-break space. */
static size_t space_at(const char *p, size_t n)
{
    if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
        return 1;
    return n >= 2 && (uint8_t)p[0] == 0xc2 && (uint8_t)p[1] == 0xa0 ? 2 : 0;
}

struct str validate_fold(struct str text, struct arena *a)
{
    char *p = arena_alloc(a, text.n + 1);
    if (!p)
        return (struct str){NULL, 0};
    size_t n = 0;
    bool is_pending = false;
    for (size_t i = 0; i < text.n;) {
        size_t space = space_at(text.p + i, text.n - i);
        if (space) {
            is_pending = n > 0;
            i += space;
            continue;
        }
        if (is_pending)
            p[n++] = ' ';
        is_pending = false;
        p[n++] = text.p[i++];
    }
    return str_of(p, n);
}

static const struct source *find_source(const struct validation *v, const struct chat_citation *c)
{
    bool is_search = str_starts(c->kind, S("search_result"));
    int64_t idx = 0;
    for (size_t i = 0; i < v->n_sources; i++) {
        const struct source *s = &v->sources[i];
        if (c->source_idx >= 0 ? s->is_search == is_search && idx++ == c->source_idx
                               : c->url.n && str_eq(s->name, c->url))
            return s;
    }
    return NULL;
}

static bool check_citation(struct validation *v, const struct chat_citation *c)
{
    if (!c->cited_text.n || str_starts(c->kind, S("web_search")))
        return true; /* nothing is quoted, or from a source that the provider found itself */
    const struct source *s = find_source(v, c);
    if (!s && c->source_idx >= 0)
        return wrong(v, "citation", "it cites source %lld, which the request does not have",
                     (long long)c->source_idx);
    if (!s && !v->has_foreign_tools && c->url.n)
        return wrong(v, "citation", "it cites '%.*s', which the request does not have",
                     STR(str_sub(c->url, 0, 200)));
    if (!s || !s->is_known)
        return true;
    if (!may_go_on(v, s->folded.n, v->brief_bytes_left)) {
        v->is_undecided = v->is_brief;
        return wrong(v, "citation", "its citations cannot be checked within the bounds of one check");
    }
    v->brief_bytes_left -= v->is_brief ? s->folded.n : 0;
    struct arena arena;
    arena_init(&arena, c->cited_text.n + (1u << 16));
    struct str folded = validate_fold(c->cited_text, &arena);
    bool is_there = folded.p && str_find(s->folded, folded, 0) != STR_NONE;
    arena_deinit(&arena);
    return is_there ||
           wrong(v, "citation", "it cites \"%.*s\", which does not stand in the source that it names",
                 STR(str_sub(c->cited_text, 0, 200)));
}

static bool check_citations(struct validation *v, const struct chat_choice *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        for (size_t k = 0; k < c->parts[i].n_citations; k++)
            if (!check_citation(v, &c->parts[i].citations[k]))
                return false;
    return true;
}

bool validate_choice(struct validation *v, const struct chat_request *req, const struct chat_choice *c)
{
    v->is_call = false;
    if (v->checks_citations && !check_citations(v, c))
        return false;
    if (validate_choice_is_cut(c) || has_refusal(c))
        return true;
    if (v->checks_tools && !check_calls(v, req, c)) {
        v->is_call = has_calls(c);
        return false;
    }
    return !v->wants_json || has_calls(c) || check_text(v, c);
}
