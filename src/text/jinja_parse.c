/* jinja_parse.c - Tokens to syntax tree: names, targets and statements.
 *
 * Recursive descent; expressions are in jinja_parse_expr.c.  Start reading at jj_parse(). */
#include <string.h>

#include "text/jinja_parse_int.h"

static bool body_until(struct parser *p, struct jj_nodes *out, const char *const *ends);

/* ---- names ---- */

static uint32_t name_slot(const struct jj_names *names, struct str name)
{
    uint32_t at = (uint32_t)str_hash(name) & (names->table_cap - 1);
    while (names->table[at] && !str_eq(names->v[names->table[at] - 1], name))
        at = (at + 1) & (names->table_cap - 1);
    return at;
}

uint32_t jj_name_find(const struct jj_names *names, struct str name)
{
    if (!names->table_cap)
        return UINT32_MAX;
    uint32_t found = names->table[name_slot(names, name)];
    return found ? found - 1 : UINT32_MAX;
}

static bool names_grow(struct jj_names *names, struct arena *arena)
{
    uint32_t cap = names->cap ? names->cap * 2 : 64;
    struct str *v = arena_new_array(arena, struct str, cap);
    uint32_t *table = arena_new_array(arena, uint32_t, (size_t)cap * 2);
    if (!v || !table)
        return false;
    if (names->n)
        memcpy(v, names->v, names->n * sizeof *v);
    names->v = v;
    names->cap = cap;
    names->table = table;
    names->table_cap = cap * 2;
    for (uint32_t i = 0; i < names->n; i++)
        table[name_slot(names, v[i])] = i + 1;
    return true;
}

uint32_t jj_name_id(struct jj_names *names, struct arena *arena, struct str name)
{
    uint32_t id = jj_name_find(names, name);
    if (id != UINT32_MAX)
        return id;
    if (names->n == names->cap && !names_grow(names, arena))
        return UINT32_MAX;
    names->v[names->n] = name;
    names->table[name_slot(names, name)] = names->n + 1;
    return names->n++;
}

static bool expect_word(struct parser *p, const char *word)
{
    if (jj_p_skip_word(p, word))
        return true;
    fail(p->err, ERR_FORMAT, "line %u: expected '%s', found '%.*s'", p->at->line, word, STR(p->at->text));
    return false;
}

/* ---- targets of assignments ---- */

static struct jj_node *target_name(struct parser *p, bool with_namespace)
{
    struct jj_node *n = jj_p_node_new(p, JJN_NAME);
    struct str name;
    if (!n || !jj_p_take_name(p, &name) || !jj_p_set_name(p, n, name))
        return NULL;
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (str_eq(name, str_c(reserved[i])))
            return jj_p_wrong(p, "cannot assign to a constant");
    if (with_namespace && jj_p_skip_type(p, JJT_DOT)) {
        n->kind = JJN_NSREF;
        if (!jj_p_take_name(p, &n->attr))
            return NULL;
    }
    return n;
}

static struct jj_node *parse_target(struct parser *p, bool with_namespace, const char *end_word);

static struct jj_node *target_item(struct parser *p, bool with_namespace)
{
    if (p->at->type != JJT_LPAREN)
        return target_name(p, with_namespace);
    jj_p_advance(p);
    struct jj_node *n = jj_p_deeper(p) ? parse_target(p, with_namespace, NULL) : NULL;
    p->depth--;
    return n && jj_p_expect(p, JJT_RPAREN, "')'") ? n : NULL;
}

/* A name, `ns.attr`, or a tuple of them. */
static struct jj_node *parse_target(struct parser *p, bool with_namespace, const char *end_word)
{
    struct jj_node *first = target_item(p, with_namespace);
    if (!first || p->at->type != JJT_COMMA)
        return first;
    struct jj_node *n = jj_p_node_new(p, JJN_TUPLE);
    if (!n || !jj_p_nodes_add(p, &n->list, first))
        return NULL;
    while (jj_p_skip_type(p, JJT_COMMA)) {
        if (jj_p_is_tuple_end(p, end_word) || p->at->type == JJT_ASSIGN)
            break;
        if (!jj_p_nodes_add(p, &n->list, target_item(p, with_namespace)))
            return NULL;
    }
    return n;
}

/* ---- statements ---- */

static const char *const ends_for[] = {"endfor", "else", NULL};
static const char *const ends_for_else[] = {"endfor", NULL};
static const char *const ends_if[] = {"elif", "else", "endif", NULL};
static const char *const ends_else[] = {"endif", NULL};

/* "%}" and the body up to one of `ends`, whose word is then the current token. */
static bool block_body(struct parser *p, struct jj_nodes *out, const char *const *ends)
{
    jj_p_skip_type(p, JJT_COLON);
    return jj_p_expect(p, JJT_BLOCK_END, "'%}'") && body_until(p, out, ends);
}

/* The body of a block that only `end` closes. */
static bool whole_body(struct parser *p, struct jj_nodes *out, const char *end)
{
    const char *const ends[] = {end, NULL};
    if (!block_body(p, out, ends))
        return false;
    jj_p_advance(p);
    return true;
}

static bool parse_for(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_FOR;
    if (!(n->a = parse_target(p, false, "in")) || !expect_word(p, "in") ||
        !(n->b = jj_p_tuple(p, false, "recursive")))
        return false;
    if (jj_p_skip_word(p, "if") && !(n->c = jj_p_expression(p)))
        return false;
    n->flag = jj_p_skip_word(p, "recursive");
    p->loop_depth++;
    bool is_good = block_body(p, &n->list, ends_for);
    p->loop_depth--;
    if (!is_good)
        return false;
    if (jj_p_skip_word(p, "endfor"))
        return true;
    jj_p_advance(p); /* else */
    if (!block_body(p, &n->list2, ends_for_else))
        return false;
    jj_p_advance(p);
    return true;
}

static bool parse_if(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_IF;
    for (;;) {
        struct jj_node *branch = jj_p_node_new(p, JJN_BRANCH);
        if (!branch || !(branch->a = jj_p_tuple(p, false, NULL)) || !block_body(p, &branch->list, ends_if) ||
            !jj_p_nodes_add(p, &n->list, branch))
            return false;
        if (jj_p_skip_word(p, "endif"))
            return true;
        if (jj_p_skip_word(p, "elif"))
            continue;
        jj_p_advance(p); /* else */
        branch = jj_p_node_new(p, JJN_BRANCH);
        if (!branch || !block_body(p, &branch->list, ends_else) || !jj_p_nodes_add(p, &n->list, branch))
            return false;
        jj_p_advance(p);
        return true;
    }
}

static bool parse_set(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_SET;
    if (!(n->a = parse_target(p, true, NULL)))
        return false;
    if (jj_p_skip_type(p, JJT_ASSIGN))
        return (n->b = jj_p_tuple(p, true, NULL)) != NULL;
    n->kind = JJN_SET_BLOCK;
    while (jj_p_skip_type(p, JJT_PIPE))
        if (!(n->b = jj_p_filter(p, n->b)))
            return false;
    return whole_body(p, &n->list, "endset");
}

static bool add_param(struct parser *p, struct jj_node *n, uint32_t *cap)
{
    if (n->n_params == *cap) {
        uint32_t grown = *cap ? *cap * 2 : 4;
        struct jj_param *v = arena_new_array(p->arena, struct jj_param, grown);
        if (!v)
            return jj_p_too_large(p) != NULL;
        if (n->n_params)
            memcpy(v, n->params, n->n_params * sizeof *v);
        n->params = v;
        *cap = grown;
    }
    struct jj_node *name = target_name(p, false);
    if (!name)
        return false;
    struct jj_param *param = &n->params[n->n_params++];
    *param = (struct jj_param){.name = name->name, .id = name->id};
    if (jj_p_skip_type(p, JJT_ASSIGN))
        return (param->fallback = jj_p_expression(p)) != NULL;
    if (n->n_params > 1 && n->params[n->n_params - 2].fallback)
        return jj_p_wrong(p, "a parameter without default follows one with a default") != NULL;
    return true;
}

static bool parse_signature(struct parser *p, struct jj_node *n)
{
    uint32_t cap = 0;
    if (!jj_p_expect(p, JJT_LPAREN, "'('"))
        return false;
    while (p->at->type != JJT_RPAREN)
        if ((n->n_params && !jj_p_expect(p, JJT_COMMA, "',' or ')'")) || !add_param(p, n, &cap))
            return false;
    jj_p_advance(p);
    return true;
}

/* The body of a macro or call block: its own world for loops and special names. */
static bool macro_body(struct parser *p, struct jj_node *n, const char *end)
{
    struct jj_node *outer = p->macro;
    int loop_depth = p->loop_depth;
    p->macro = n;
    p->loop_depth = 0;
    bool is_good = whole_body(p, &n->list, end);
    p->macro = outer;
    p->loop_depth = loop_depth;
    if (outer) { /* what an inner macro uses may be the outer one's */
        outer->uses_varargs |= n->uses_varargs;
        outer->uses_kwargs |= n->uses_kwargs;
        outer->uses_caller |= n->uses_caller;
    }
    return is_good;
}

static bool parse_macro(struct parser *p, struct jj_node *n)
{
    struct str name;
    n->kind = JJN_MACRO;
    return jj_p_take_name(p, &name) && jj_p_set_name(p, n, name) && parse_signature(p, n) &&
           macro_body(p, n, "endmacro");
}

static bool parse_call_block(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_CALL_BLOCK;
    n->name = S("caller");
    if (p->at->type == JJT_LPAREN && !parse_signature(p, n))
        return false;
    if (!(n->a = jj_p_expression(p)))
        return false;
    if (n->a->kind != JJN_CALL)
        return jj_p_wrong(p, "a call block needs a call") != NULL;
    return macro_body(p, n, "endcall");
}

static bool parse_filter_block(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_FILTER_BLOCK;
    if (!(n->a = jj_p_filter(p, NULL)))
        return false;
    while (jj_p_skip_type(p, JJT_PIPE))
        if (!(n->a = jj_p_filter(p, n->a)))
            return false;
    return whole_body(p, &n->list, "endfilter");
}

static bool parse_with(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_WITH;
    while (p->at->type != JJT_BLOCK_END) {
        if (n->list2.n && !jj_p_expect(p, JJT_COMMA, "','"))
            return false;
        if (!jj_p_nodes_add(p, &n->list2, target_item(p, false)) || !jj_p_expect(p, JJT_ASSIGN, "'='") ||
            !jj_p_nodes_add(p, &n->list2, jj_p_expression(p)))
            return false;
    }
    return whole_body(p, &n->list, "endwith");
}

static bool parse_generation(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_SCOPE;
    return whole_body(p, &n->list, "endgeneration");
}

static bool parse_print(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_OUTPUT;
    while (p->at->type != JJT_BLOCK_END)
        if ((n->list.n && !jj_p_expect(p, JJT_COMMA, "','")) ||
            !jj_p_nodes_add(p, &n->list, jj_p_expression(p)))
            return false;
    return true;
}

static bool parse_do(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_DO;
    return (n->a = jj_p_tuple(p, true, NULL)) != NULL;
}

static bool parse_jump(struct parser *p, struct jj_node *n, enum jj_node_kind kind)
{
    n->kind = kind;
    return p->loop_depth > 0 || jj_p_wrong(p, "break or continue outside of a loop") != NULL;
}

static bool parse_break(struct parser *p, struct jj_node *n)
{
    return parse_jump(p, n, JJN_BREAK);
}

static bool parse_continue(struct parser *p, struct jj_node *n)
{
    return parse_jump(p, n, JJN_CONTINUE);
}

static const struct {
    const char *word;
    bool (*parse)(struct parser *p, struct jj_node *n);
} statements[] = {{"if", parse_if},           {"for", parse_for},
                  {"set", parse_set},         {"macro", parse_macro},
                  {"call", parse_call_block}, {"filter", parse_filter_block},
                  {"with", parse_with},       {"generation", parse_generation},
                  {"break", parse_break},     {"continue", parse_continue},
                  {"print", parse_print},     {"do", parse_do}};

/* Behind "{%", at the statement's word. */
static bool parse_statement(struct parser *p, struct jj_nodes *out)
{
    struct str word = p->at->text;
    for (size_t i = 0; p->at->type == JJT_NAME && i < sizeof statements / sizeof *statements; i++) {
        if (!jj_p_at_word(p, statements[i].word))
            continue;
        struct jj_node *n = jj_p_node_new(p, JJN_OUTPUT);
        jj_p_advance(p);
        bool is_good = n && jj_p_deeper(p) && statements[i].parse(p, n);
        p->depth--;
        return is_good && jj_p_expect(p, JJT_BLOCK_END, "'%}'") && jj_p_nodes_add(p, out, n);
    }
    fail(p->err, ERR_FORMAT, "line %u: unknown statement '%.*s'", p->at->line, STR(word));
    return false;
}

static bool at_end_word(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (jj_p_at_word(p, *ends))
            return true;
    return false;
}

static bool add_output(struct parser *p, struct jj_nodes *out, struct jj_node *what)
{
    struct jj_node *n = what ? jj_p_node_new(p, JJN_OUTPUT) : NULL;
    if (!n || !jj_p_nodes_add(p, &n->list, what))
        return false;
    n->line = what->line;
    return jj_p_nodes_add(p, out, n);
}

/* Text, outputs and statements until "{% WORD" with one of `ends` (NULL: the end of all). */
static bool body_until(struct parser *p, struct jj_nodes *out, const char *const *ends)
{
    for (;;) {
        switch (p->at->type) {
        case JJT_DATA:
            if (!add_output(p, out, jj_p_constant_new(p, jj_str(p->at->text))))
                return false;
            jj_p_advance(p);
            break;
        case JJT_VAR_BEGIN:
            jj_p_advance(p);
            if (!add_output(p, out, jj_p_tuple(p, true, NULL)) || !jj_p_expect(p, JJT_VAR_END, "'}}'"))
                return false;
            break;
        case JJT_BLOCK_BEGIN:
            jj_p_advance(p);
            if (at_end_word(p, ends))
                return true;
            if (!parse_statement(p, out))
                return false;
            break;
        default:
            if (!ends)
                return true;
            fail(p->err, ERR_FORMAT, "line %u: the template ends, but '%s' is still expected", p->at->line,
                 ends[0]);
            return false;
        }
    }
}

int jj_parse(struct jj_nodes *body, struct jj_names *names, struct arena *arena,
             const struct jj_tokens *tokens, struct err *err)
{
    struct err own = {0};
    struct parser p = {.at = tokens->v, .arena = arena, .names = names, .err = err ? err : &own};
    *body = (struct jj_nodes){0};
    p.err->code = OK;
    return body_until(&p, body, NULL) ? OK : p.err->code;
}
