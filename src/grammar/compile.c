/* compile.c - From a spec to a grammar.  Start reading at grammar_compile(). */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "grammar/compile_int.h"
#include "grammar/grammar_int.h"
#include "grammar/json_net.h"
#include "grammar/regex.h"
#include "grammar/words.h"

#define NODES_MAX_DEFAULT 200000
#define TIME_MS_DEFAULT   300 /* the asker may be a thread that serves others too */
#define ARENA_BYTES_MAX   ((size_t)192 << 20)
#define SPEC_DEPTH_MAX    48

void compile_fail(struct compiler *c, int code, struct str where, const char *fmt, ...)
{
    if (c->has_failed)
        return;
    c->has_failed = true;
    struct grammar_error *e = c->error;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->err.text, sizeof e->err.text, fmt, args);
    va_end(args);
    e->code = e->err.code = code;
    snprintf(e->where, sizeof e->where, "%.*s", STR(where));
}

static uint32_t compile_part(struct compiler *c, const struct grammar_spec *spec, uint32_t next, int depth);

/* ---- the kinds ---- */

static uint32_t compile_regex(struct compiler *c, const struct grammar_spec *spec, uint32_t next)
{
    size_t offset = 0;
    struct err err = {0};
    struct dfa *d = regex_compile(&c->room, spec->text, true, &offset, &err);
    if (!d) {
        char where[32];
        snprintf(where, sizeof where, "offset %zu", offset);
        compile_fail(c, err.code, str_c(where), "%s", err.text);
        return NET_NOTHING;
    }
    return dfa_to_net(&c->room, d, DFA_PLAIN, next);
}

static uint32_t compile_choice(struct compiler *c, const struct grammar_spec *spec, uint32_t next)
{
    if (spec->n_choices == 0)
        compile_fail(c, ERR_ARG, S(""), "a choice needs at least one text");
    for (size_t i = 0; i < spec->n_choices; i++)
        if (!str_is_utf8(spec->choices[i]))
            compile_fail(c, ERR_FORMAT, S(""), "text %zu of the choice is not UTF-8", i);
    if (c->has_failed)
        return NET_NOTHING;
    return words_to_net(&c->room, spec->choices, (uint32_t)spec->n_choices, next);
}

/* Where the vocabulary has a control token for a piece of the text, the model says that token. */
static uint32_t compile_mark(struct compiler *c, struct str s, uint32_t next)
{
    uint32_t *from = arena_new_array(&c->arena, uint32_t, s.n + 1);
    if (!from) {
        compile_fail(c, ERR_LIMIT, S(""), "the grammar is too large");
        return NET_NOTHING;
    }
    from[s.n] = next;
    for (size_t i = s.n; i > 0; i--) {
        struct str rest = str_sub(s, i - 1, s.n);
        size_t n = c->vocab ? vocab_match_control(c->vocab, rest) : 0;
        if (n == 0) {
            from[i - 1] = net_text(&c->net, str_sub(rest, 0, 1), from[i]);
            continue;
        }
        uint32_t end = net_byte(&c->net, VOCAB_MARK_END, VOCAB_MARK_END, from[i - 1 + n]);
        uint32_t spelling = net_text(&c->net, str_sub(rest, 0, n), end);
        from[i - 1] = net_byte(&c->net, VOCAB_MARK_BEGIN, VOCAB_MARK_BEGIN, spelling);
    }
    return from[0];
}

static uint32_t compile_json(struct compiler *c, const struct grammar_spec *spec, uint32_t next)
{
    struct json_net j = json_net(&c->net, spec->space);
    uint32_t from = c->net.n_nodes;
    uint32_t node =
        spec->kind == GRAMMAR_JSON_VALUE ? json_net_value(&j, false, next) : json_net_object(&j, next);
    net_mark_json(&c->net, from);
    return node;
}

static uint32_t compile_repeat(struct compiler *c, const struct grammar_spec *spec, uint32_t next, int depth)
{
    if (spec->n_parts != 1 || spec->min > spec->max) {
        compile_fail(c, ERR_ARG, S(""), "a repetition needs one part, and a minimum not above the maximum");
        return NET_NOTHING;
    }
    uint32_t body = compile_part(c, &spec->parts[0], NET_RET, depth + 1);
    return net_loop(&c->net, body, spec->min, spec->max, false, next);
}

static uint32_t compile_part(struct compiler *c, const struct grammar_spec *spec, uint32_t next, int depth)
{
    uint32_t node = NET_NOTHING;
    if (depth > SPEC_DEPTH_MAX)
        compile_fail(c, ERR_LIMIT, S(""), "the parts of a grammar are nested deeper than %d", SPEC_DEPTH_MAX);
    if (c->has_failed)
        return NET_NOTHING;
    switch (spec->kind) {
    case GRAMMAR_SCHEMA:
    case GRAMMAR_SCHEMA_TEXT: return compile_schema(c, spec, next);
    case GRAMMAR_JSON_OBJECT:
    case GRAMMAR_JSON_VALUE: return compile_json(c, spec, next);
    case GRAMMAR_REGEX: return compile_regex(c, spec, next);
    case GRAMMAR_CHOICE: return compile_choice(c, spec, next);
    case GRAMMAR_GBNF: return compile_gbnf(c, spec->text, next);
    case GRAMMAR_LITERAL: return net_text(&c->net, spec->text, next);
    case GRAMMAR_MARK: return compile_mark(c, spec->text, next);
    case GRAMMAR_FREE: return compile_free_text(c, spec->choices, spec->n_choices, next);
    case GRAMMAR_SEQUENCE:
        for (size_t i = spec->n_parts; i > 0; i--)
            next = compile_part(c, &spec->parts[i - 1], next, depth + 1);
        return next;
    case GRAMMAR_ANY_OF:
        for (size_t i = spec->n_parts; i > 0; i--)
            node = net_either(&c->net, compile_part(c, &spec->parts[i - 1], next, depth + 1), node);
        return node;
    case GRAMMAR_REPEAT: return compile_repeat(c, spec, next, depth);
    }
    compile_fail(c, ERR_ARG, S(""), "a grammar of unknown kind %d", (int)spec->kind);
    return NET_NOTHING;
}

/* ---- all of it ---- */

static size_t text_bytes(const struct grammar_spec *spec, int depth)
{
    size_t n = spec->text.n;
    for (size_t i = 0; i < spec->n_choices; i++)
        n += spec->choices[i].n;
    for (size_t i = 0; i < spec->n_parts && depth < SPEC_DEPTH_MAX && n <= GRAMMAR_TEXT_MAX; i++)
        n += text_bytes(&spec->parts[i], depth + 1);
    return n;
}

static void finish(struct compiler *c, uint32_t start)
{
    uint32_t cycle;
    if (c->has_failed)
        return;
    if (c->room.code != OK) {
        compile_fail(c, c->room.code, S(""),
                     c->room.code == ERR_NOMEM ? "no memory for a grammar"
                                               : "the grammar needs too large an automaton");
        return;
    }
    int rc = net_finish(&c->net, start, &cycle);
    if (rc == ERR_FORMAT && c->tell_cycle)
        c->tell_cycle(c, cycle);
    switch (rc) {
    case OK:
        for (struct kept_schema *k = c->schemas; k; k = k->next)
            compile_check_schema(c, k->checks);
        return;
    case ERR_FORMAT:
        compile_fail(c, rc, S(""), "the grammar begins with itself somewhere, so that it would never end");
        return;
    case ERR_ARG: compile_fail(c, rc, S(""), "no text can fulfil the grammar"); return;
    case ERR_LIMIT:
        compile_fail(c, rc, S(""), "the grammar needs too large an automaton, or too much time");
        return;
    default: compile_fail(c, rc, S(""), "no memory for a grammar");
    }
}

static struct grammar *make_grammar(struct compiler *c)
{
    struct grammar *g = calloc(1, sizeof *g);
    if (g)
        g->net = c->net;
    if (g && run_init(&g->run, &g->net, c->vocab) != OK) {
        free(g);
        g = NULL;
    }
    if (!g) {
        compile_fail(c, ERR_NOMEM, S(""), "no memory for a grammar");
        return NULL;
    }
    atomic_init(&g->n_holds, 1);
    g->vocab = c->vocab;
    return g;
}

int grammar_compile(struct grammar **out, const struct grammar_spec *spec, const struct grammar_vocab *vocab,
                    const struct grammar_limits *limits, struct grammar_error *error)
{
    struct grammar_error own;
    struct compiler c = {.vocab = vocab, .error = error ? error : &own};
    uint32_t nodes_max = limits && limits->nodes_max ? limits->nodes_max : NODES_MAX_DEFAULT;
    uint32_t time_ms = limits && limits->time_ms ? limits->time_ms : TIME_MS_DEFAULT;

    *out = NULL;
    *c.error = (struct grammar_error){0};
    if (text_bytes(spec, 0) > GRAMMAR_TEXT_MAX)
        compile_fail(&c, ERR_LIMIT, S(""), "the texts of the grammar have more than %zu bytes",
                     GRAMMAR_TEXT_MAX);
    arena_init(&c.arena, ARENA_BYTES_MAX);
    if (!c.has_failed &&
        net_init(&c.net, nodes_max, clock_thread_cpu_ns() + (int64_t)time_ms * NS_PER_MS) != OK)
        compile_fail(&c, ERR_NOMEM, S(""), "no memory for a grammar");
    c.room = (struct dfa_room){.arena = &c.arena, .net = &c.net, .states_max = nodes_max / 4};
    if (!c.has_failed)
        finish(&c, compile_part(&c, spec, NET_ACCEPT, 0));
    struct grammar *g = NULL;
    if (!c.has_failed)
        g = make_grammar(&c);
    for (struct kept_schema *k = c.schemas; k; k = k->next)
        compile_free_schema(k->schema);
    arena_deinit(&c.arena);
    if (!g)
        net_deinit(&c.net);
    *out = g;
    return c.error->code;
}

struct grammar *grammar_hold(struct grammar *g)
{
    atomic_fetch_add(&g->n_holds, 1);
    return g;
}

void grammar_release(struct grammar *g)
{
    if (!g || atomic_fetch_sub(&g->n_holds, 1) != 1)
        return;
    assert(g->run.states == NULL);
    run_deinit(&g->run);
    net_deinit(&g->net);
    free(g);
}

size_t grammar_bytes(const struct grammar *g)
{
    return sizeof *g + g->run.bytes + g->net.nodes_cap * sizeof *g->net.nodes +
           g->net.edges_cap * sizeof *g->net.edges;
}
