/* jinja_parse.c - Tokens to syntax tree.
 *
 * Recursive descent with Jinja's own precedence, which is not Python's: '~' binds tighter than
 * '+', filters and tests bind tighter than any operator but not than unary minus.  Nesting is
 * bounded by JJ_PARSE_DEPTH_MAX, which also bounds the C stack.  Start reading at jj_parse(). */
#include <string.h>

#include "text/jinja_ast.h"

struct parser {
    const struct jj_token *at; /* the current token; the last is JJT_EOF and is never passed */
    struct arena *arena;
    struct jj_names *names;
    struct err *err;
    int depth;
    int loop_depth;         /* break and continue need one */
    struct jj_node *macro;  /* the innermost macro or call block: learns what its body uses */
};

static bool body_until(struct parser *p, struct jj_nodes *out, const char *const *ends);
static struct jj_node *parse_expression(struct parser *p);
static struct jj_node *parse_tuple(struct parser *p, bool with_condition, const char *end_word);
static struct jj_node *parse_or(struct parser *p);
static struct jj_node *parse_unary(struct parser *p, bool with_filter);
static struct jj_node *parse_primary(struct parser *p);
static struct jj_node *parse_postfix(struct parser *p, struct jj_node *node);

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

/* ---- helpers ---- */

/* Always NULL, so that a node function can return it. */
static void *wrong(struct parser *p, const char *what)
{
    fail(p->err, ERR_FORMAT, "line %u: %s", p->at->line, what);
    return NULL;
}

static void *too_large(struct parser *p)
{
    fail(p->err, ERR_LIMIT, "line %u: the template is too large", p->at->line);
    return NULL;
}

static struct jj_node *node_new(struct parser *p, enum jj_node_kind kind)
{
    struct jj_node *n = arena_new(p->arena, struct jj_node);
    if (!n)
        return too_large(p);
    n->kind = kind;
    n->line = p->at->line;
    return n;
}

static bool nodes_add(struct parser *p, struct jj_nodes *l, struct jj_node *n)
{
    if (!n)
        return false;
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 4;
        struct jj_node **v = arena_new_array(p->arena, struct jj_node *, cap);
        if (!v)
            return too_large(p) != NULL;
        if (l->n)
            memcpy(v, l->v, l->n * sizeof(struct jj_node *));
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = n;
    return true;
}

static void advance(struct parser *p)
{
    if (p->at->type != JJT_EOF)
        p->at++;
}

static bool at_word(const struct parser *p, const char *word)
{
    return p->at->type == JJT_NAME && str_eq(p->at->text, str_c(word));
}

static bool skip_word(struct parser *p, const char *word)
{
    if (!at_word(p, word))
        return false;
    advance(p);
    return true;
}

static bool skip_type(struct parser *p, enum jj_token_type type)
{
    if (p->at->type != type)
        return false;
    advance(p);
    return true;
}

static bool expect(struct parser *p, enum jj_token_type type, const char *what)
{
    if (skip_type(p, type))
        return true;
    fail(p->err, ERR_FORMAT, "line %u: expected %s, found '%.*s'", p->at->line, what,
         STR(p->at->text));
    return false;
}

static bool expect_word(struct parser *p, const char *word)
{
    if (skip_word(p, word))
        return true;
    fail(p->err, ERR_FORMAT, "line %u: expected '%s', found '%.*s'", p->at->line, word,
         STR(p->at->text));
    return false;
}

static bool take_name(struct parser *p, struct str *name)
{
    *name = p->at->text;
    return expect(p, JJT_NAME, "a name");
}

static bool deeper(struct parser *p)
{
    if (++p->depth <= JJ_PARSE_DEPTH_MAX)
        return true;
    fail(p->err, ERR_LIMIT, "line %u: nested more than %d deep", p->at->line, JJ_PARSE_DEPTH_MAX);
    return false;
}

static bool set_name(struct parser *p, struct jj_node *n, struct str name)
{
    n->name = name;
    n->id = jj_name_id(p->names, p->arena, name);
    return n->id != UINT32_MAX || too_large(p) != NULL;
}

static struct jj_node *constant_new(struct parser *p, struct jj_value v)
{
    struct jj_node *n = node_new(p, JJN_CONST);
    if (n)
        n->constant = v;
    return n;
}

static struct jj_node *binary_new(struct parser *p, enum jj_node_kind kind, enum jj_token_type op,
                                  struct jj_node *a, struct jj_node *b)
{
    struct jj_node *n = a && b ? node_new(p, kind) : NULL;
    if (n) {
        n->op = op;
        n->a = a;
        n->b = b;
        n->line = a->line;
    }
    return n;
}

/* ---- expressions, from the loosest to the tightest ---- */

static struct jj_node *parse_condition(struct parser *p)
{
    struct jj_node *then = parse_or(p);
    while (then && skip_word(p, "if")) {
        struct jj_node *n = node_new(p, JJN_COND);
        if (!n || !(n->a = parse_or(p)))
            return NULL;
        n->b = then;
        if (skip_word(p, "else") && !(n->c = parse_expression(p)))
            return NULL;
        then = n;
    }
    return then;
}

static struct jj_node *parse_expression(struct parser *p)
{
    struct jj_node *n = deeper(p) ? parse_condition(p) : NULL;
    p->depth--;
    return n;
}

static struct jj_node *parse_math(struct parser *p, int level);

static bool parse_operand(struct parser *p, struct jj_node *compare, enum jj_token_type op)
{
    struct jj_node *n = node_new(p, JJN_OPERAND);
    if (!n)
        return false;
    n->op = op;
    n->a = parse_math(p, 0);
    return n->a && nodes_add(p, &compare->list, n);
}

static struct jj_node *parse_compare(struct parser *p)
{
    struct jj_node *first = parse_math(p, 0), *n = NULL;
    while (first) {
        enum jj_token_type op = p->at->type;
        if (op == JJT_NAME && at_word(p, "in")) {
            op = JJT_IN;
        } else if (at_word(p, "not") && p->at[1].type == JJT_NAME && str_eq(p->at[1].text, S("in"))) {
            op = JJT_NOT_IN;
            advance(p);
        } else if (op < JJT_EQ || op > JJT_LE) {
            return n ? n : first;
        }
        advance(p);
        if (!n) {
            if (!(n = node_new(p, JJN_COMPARE)))
                return NULL;
            n->a = first;
        }
        if (!parse_operand(p, n, op))
            return NULL;
    }
    return NULL;
}

static struct jj_node *parse_not(struct parser *p)
{
    if (!at_word(p, "not"))
        return parse_compare(p);
    struct jj_node *n = node_new(p, JJN_NOT);
    advance(p);
    if (n && deeper(p))
        n->a = parse_not(p);
    p->depth -= n != NULL;
    return n && n->a ? n : NULL;
}

static struct jj_node *parse_and(struct parser *p)
{
    struct jj_node *n = parse_not(p);
    while (n && skip_word(p, "and"))
        n = binary_new(p, JJN_AND, JJT_EOF, n, parse_not(p));
    return n;
}

static struct jj_node *parse_or(struct parser *p)
{
    struct jj_node *n = parse_and(p);
    while (n && skip_word(p, "or"))
        n = binary_new(p, JJN_OR, JJT_EOF, n, parse_and(p));
    return n;
}

static struct jj_node *parse_concat(struct parser *p)
{
    struct jj_node *first = parse_math(p, 1);
    if (!first || p->at->type != JJT_TILDE)
        return first;
    struct jj_node *n = node_new(p, JJN_CONCAT);
    if (!n || !nodes_add(p, &n->list, first))
        return NULL;
    while (skip_type(p, JJT_TILDE))
        if (!nodes_add(p, &n->list, parse_math(p, 1)))
            return NULL;
    return n;
}

/* Level 0: + -, over '~', over level 1: * / // %, over level 2: **, over unary. */
static struct jj_node *parse_math(struct parser *p, int level)
{
    struct jj_node *n = level == 0   ? parse_concat(p)
                        : level == 1 ? parse_math(p, 2)
                                     : parse_unary(p, true);
    while (n) {
        enum jj_token_type op = p->at->type;
        bool is_here = level == 0   ? op == JJT_ADD || op == JJT_SUB
                       : level == 1 ? op == JJT_MUL || op == JJT_DIV || op == JJT_FLOORDIV || op == JJT_MOD
                                    : op == JJT_POW;
        if (!is_here)
            break;
        advance(p);
        struct jj_node *right = level == 0   ? parse_concat(p)
                                : level == 1 ? parse_math(p, 2)
                                             : parse_unary(p, true);
        n = binary_new(p, JJN_BINARY, op, n, right);
    }
    return n;
}

static bool add_keyword(struct parser *p, struct jj_call_args *args)
{
    if (args->n_kw == args->kw_cap) {
        uint32_t cap = args->kw_cap ? args->kw_cap * 2 : 4;
        struct jj_keyword *kw = arena_new_array(p->arena, struct jj_keyword, cap);
        if (!kw)
            return too_large(p) != NULL;
        if (args->n_kw)
            memcpy(kw, args->kw, args->n_kw * sizeof *kw);
        args->kw = kw;
        args->kw_cap = cap;
    }
    struct jj_keyword *k = &args->kw[args->n_kw++];
    k->name = p->at->text;
    advance(p);
    advance(p);
    return (k->value = parse_expression(p)) != NULL;
}

static bool parse_one_arg(struct parser *p, struct jj_call_args *args)
{
    if (skip_type(p, JJT_MUL)) {
        if (args->star || args->star_star)
            return wrong(p, "only one *argument is possible, before **") != NULL;
        return (args->star = parse_expression(p)) != NULL;
    }
    if (skip_type(p, JJT_POW)) {
        if (args->star_star)
            return wrong(p, "only one **argument is possible") != NULL;
        return (args->star_star = parse_expression(p)) != NULL;
    }
    if (args->star_star)
        return wrong(p, "nothing may follow a **argument") != NULL;
    if (p->at->type == JJT_NAME && p->at[1].type == JJT_ASSIGN)
        return add_keyword(p, args);
    if (args->star || args->n_kw)
        return wrong(p, "a positional argument follows a named one") != NULL;
    return nodes_add(p, &args->pos, parse_expression(p));
}

static struct jj_call_args *parse_call_args(struct parser *p)
{
    struct jj_call_args *args = arena_new(p->arena, struct jj_call_args);
    if (!args)
        return too_large(p);
    if (!expect(p, JJT_LPAREN, "'('"))
        return NULL;
    for (bool is_first = true; p->at->type != JJT_RPAREN; is_first = false) {
        if (!is_first && !expect(p, JJT_COMMA, "',' or ')'"))
            return NULL;
        if (!is_first && p->at->type == JJT_RPAREN)
            break;
        if (!parse_one_arg(p, args))
            return NULL;
    }
    advance(p);
    return args;
}

/* One of start:stop:step, or an ordinary subscript. */
static struct jj_node *parse_subscript_item(struct parser *p)
{
    struct jj_node *first = NULL;
    if (p->at->type != JJT_COLON) {
        first = parse_expression(p);
        if (!first || p->at->type != JJT_COLON)
            return first;
    }
    struct jj_node *n = node_new(p, JJN_SLICE);
    if (!n)
        return NULL;
    n->a = first;
    advance(p);
    enum jj_token_type t = p->at->type;
    if (t != JJT_COLON && t != JJT_RBRACKET && t != JJT_COMMA && !(n->b = parse_expression(p)))
        return NULL;
    if (skip_type(p, JJT_COLON)) {
        t = p->at->type;
        if (t != JJT_RBRACKET && t != JJT_COMMA && !(n->c = parse_expression(p)))
            return NULL;
    }
    return n;
}

static struct jj_node *parse_subscript(struct parser *p, struct jj_node *of)
{
    struct jj_node *n = node_new(p, JJN_GETITEM);
    if (!n)
        return NULL;
    n->a = of;
    if (skip_type(p, JJT_DOT)) {
        const struct jj_token *t = p->at;
        advance(p);
        if (t->type == JJT_NAME) {
            n->kind = JJN_GETATTR;
            n->name = t->text;
            return n;
        }
        if (t->type != JJT_INT)
            return wrong(p, "expected a name or a number after '.'");
        n->b = constant_new(p, jj_int(t->i));
        return n->b ? n : NULL;
    }
    advance(p); /* '[' */
    struct jj_nodes items = {0};
    while (p->at->type != JJT_RBRACKET) {
        if (items.n && !expect(p, JJT_COMMA, "']'"))
            return NULL;
        if (!nodes_add(p, &items, parse_subscript_item(p)))
            return NULL;
    }
    advance(p);
    if (items.n == 1) {
        n->b = items.v[0];
        return n;
    }
    for (uint32_t i = 0; i < items.n; i++)
        if (items.v[i]->kind == JJN_SLICE)
            return wrong(p, "a slice must be the only subscript");
    n->b = node_new(p, JJN_TUPLE);
    if (n->b)
        n->b->list = items;
    return n->b ? n : NULL;
}

static struct jj_node *parse_call(struct parser *p, struct jj_node *of)
{
    struct jj_node *n = node_new(p, JJN_CALL);
    if (!n)
        return NULL;
    n->a = of;
    n->args = parse_call_args(p);
    return n->args ? n : NULL;
}

static struct jj_node *parse_postfix(struct parser *p, struct jj_node *node)
{
    while (node) {
        if (p->at->type == JJT_DOT || p->at->type == JJT_LBRACKET)
            node = parse_subscript(p, node);
        else if (p->at->type == JJT_LPAREN)
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* The name of a filter or test, with dots in it. */
static bool dotted_name(struct parser *p, struct str *name)
{
    if (!take_name(p, name))
        return false;
    while (skip_type(p, JJT_DOT)) {
        struct str part;
        if (!take_name(p, &part))
            return false;
        *name = arena_printf(p->arena, "%.*s.%.*s", STR(*name), STR(part));
        if (!name->p)
            return too_large(p) != NULL;
    }
    return true;
}

/* At the filter's name.  `of` is NULL in blocks. */
static struct jj_node *parse_filter(struct parser *p, struct jj_node *of)
{
    struct jj_node *n = node_new(p, JJN_FILTER);
    if (!n || !dotted_name(p, &n->name))
        return NULL;
    n->a = of;
    if (p->at->type == JJT_LPAREN && !(n->args = parse_call_args(p)))
        return NULL;
    return n;
}

static bool starts_test_argument(const struct parser *p)
{
    enum jj_token_type t = p->at->type;
    if (t == JJT_NAME)
        return !at_word(p, "else") && !at_word(p, "or") && !at_word(p, "and");
    return t == JJT_STRING || t == JJT_INT || t == JJT_BIGINT || t == JJT_FLOAT ||
           t == JJT_LBRACKET || t == JJT_LBRACE;
}

/* Behind `is`. */
static struct jj_node *parse_test(struct parser *p, struct jj_node *of)
{
    bool is_negated = skip_word(p, "not");
    struct jj_node *n = node_new(p, JJN_TEST);
    if (!n || !dotted_name(p, &n->name))
        return NULL;
    n->a = of;
    if (p->at->type == JJT_LPAREN) {
        if (!(n->args = parse_call_args(p)))
            return NULL;
    } else if (starts_test_argument(p)) {
        if (at_word(p, "is"))
            return wrong(p, "tests with 'is' cannot be chained");
        n->args = arena_new(p->arena, struct jj_call_args);
        if (!n->args)
            return too_large(p);
        if (!nodes_add(p, &n->args->pos, parse_postfix(p, parse_primary(p))))
            return NULL;
    }
    if (!is_negated)
        return n;
    struct jj_node *negated = node_new(p, JJN_NOT);
    if (negated)
        negated->a = n;
    return negated;
}

static struct jj_node *parse_filters(struct parser *p, struct jj_node *node)
{
    while (node) {
        if (skip_type(p, JJT_PIPE))
            node = parse_filter(p, node);
        else if (skip_word(p, "is"))
            node = parse_test(p, node);
        else if (p->at->type == JJT_LPAREN)
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static struct jj_node *parse_unary(struct parser *p, bool with_filter)
{
    struct jj_node *n;
    if (p->at->type == JJT_SUB || p->at->type == JJT_ADD) {
        n = node_new(p, p->at->type == JJT_SUB ? JJN_NEGATE : JJN_POSITIVE);
        if (!n)
            return NULL;
        advance(p);
        n->a = deeper(p) ? parse_unary(p, false) : NULL;
        p->depth--;
        if (!n->a)
            return NULL;
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    return n && with_filter ? parse_filters(p, n) : n;
}

/* ---- primaries ---- */

static struct jj_node *parse_strings(struct parser *p)
{
    struct str text = p->at->text;
    struct jj_node *n = constant_new(p, jj_str(text));
    for (advance(p); n && p->at->type == JJT_STRING; advance(p)) { /* neighbours are one */
        size_t total = text.n + p->at->text.n;
        char *joined = total <= UINT32_MAX ? arena_alloc(p->arena, total + 1) : NULL;
        if (!joined)
            return too_large(p);
        if (text.n)
            memcpy(joined, text.p, text.n);
        if (p->at->text.n)
            memcpy(joined + text.n, p->at->text.p, p->at->text.n);
        text = str_of(joined, total);
        n->constant = jj_str(text);
    }
    return n;
}

static struct jj_node *parse_list(struct parser *p)
{
    struct jj_node *n = node_new(p, JJN_LIST);
    advance(p);
    while (n && p->at->type != JJT_RBRACKET) {
        if (n->list.n && !expect(p, JJT_COMMA, "',' or ']'"))
            return NULL;
        if (p->at->type == JJT_RBRACKET)
            break;
        if (!nodes_add(p, &n->list, parse_expression(p)))
            return NULL;
    }
    advance(p);
    return n;
}

static struct jj_node *parse_dict(struct parser *p)
{
    struct jj_node *n = node_new(p, JJN_DICT);
    advance(p);
    while (n && p->at->type != JJT_RBRACE) {
        if (n->list.n && !expect(p, JJT_COMMA, "',' or '}'"))
            return NULL;
        if (p->at->type == JJT_RBRACE)
            break;
        if (!nodes_add(p, &n->list, parse_expression(p)) || !expect(p, JJT_COLON, "':'") ||
            !nodes_add(p, &n->list, parse_expression(p)))
            return NULL;
    }
    advance(p);
    return n;
}

static struct jj_node *parse_name(struct parser *p)
{
    struct str name = p->at->text;
    struct jj_node *n = node_new(p, JJN_NAME);
    if (!n)
        return NULL;
    advance(p);
    if (str_eq(name, S("true")) || str_eq(name, S("True")) || str_eq(name, S("false")) ||
        str_eq(name, S("False"))) {
        n->kind = JJN_CONST;
        n->constant = jj_bool((name.p[0] | 0x20) == 't');
        return n;
    }
    if (str_eq(name, S("none")) || str_eq(name, S("None"))) {
        n->kind = JJN_CONST;
        n->constant = jj_none();
        return n;
    }
    if (p->macro) {
        p->macro->uses_varargs |= str_eq(name, S("varargs"));
        p->macro->uses_kwargs |= str_eq(name, S("kwargs"));
        p->macro->uses_caller |= str_eq(name, S("caller"));
    }
    return set_name(p, n, name) ? n : NULL;
}

static struct jj_node *parse_parenthesis(struct parser *p)
{
    advance(p);
    struct jj_node *n;
    if (p->at->type == JJT_RPAREN)
        n = node_new(p, JJN_TUPLE);
    else
        n = parse_tuple(p, true, NULL);
    return n && expect(p, JJT_RPAREN, "')'") ? n : NULL;
}

static struct jj_node *parse_primary_here(struct parser *p)
{
    const struct jj_token *t = p->at;
    struct jj_value v;
    switch (t->type) {
    case JJT_NAME:
        return parse_name(p);
    case JJT_STRING:
        return parse_strings(p);
    case JJT_LPAREN:
        return parse_parenthesis(p);
    case JJT_LBRACKET:
        return parse_list(p);
    case JJT_LBRACE:
        return parse_dict(p);
    case JJT_INT:
        v = jj_int(t->i);
        break;
    case JJT_BIGINT:
        v = (struct jj_value){.type = JJ_BIGINT, .s = t->text};
        break;
    case JJT_FLOAT:
        v = jj_float(t->f);
        break;
    case JJT_EOF:
        return wrong(p, "the template ends inside a tag");
    default:
        fail(p->err, ERR_FORMAT, "line %u: expected an expression, found '%.*s'", t->line,
             STR(t->text));
        return NULL;
    }
    advance(p);
    return constant_new(p, v);
}

static struct jj_node *parse_primary(struct parser *p)
{
    struct jj_node *n = deeper(p) ? parse_primary_here(p) : NULL;
    p->depth--;
    return n;
}

static bool is_tuple_end(const struct parser *p, const char *end_word)
{
    enum jj_token_type t = p->at->type;
    return t == JJT_VAR_END || t == JJT_BLOCK_END || t == JJT_RPAREN ||
           (end_word && at_word(p, end_word));
}

/* An expression, or several with commas between them as a tuple. */
static struct jj_node *parse_tuple(struct parser *p, bool with_condition, const char *end_word)
{
    struct jj_nodes items = {0};
    bool is_tuple = false;
    for (;;) {
        if (items.n && !expect(p, JJT_COMMA, "','"))
            return NULL;
        if (is_tuple_end(p, end_word))
            break;
        struct jj_node *item = NULL;
        if (with_condition)
            item = parse_expression(p);
        else if (deeper(p))
            item = parse_or(p);
        p->depth -= !with_condition;
        if (!nodes_add(p, &items, item))
            return NULL;
        if (p->at->type != JJT_COMMA)
            break;
        is_tuple = true;
    }
    if (!is_tuple)
        return items.n ? items.v[0] : wrong(p, "expected an expression");
    struct jj_node *n = node_new(p, JJN_TUPLE);
    if (n)
        n->list = items;
    return n;
}

/* ---- targets of assignments ---- */

static struct jj_node *target_name(struct parser *p, bool with_namespace)
{
    struct jj_node *n = node_new(p, JJN_NAME);
    struct str name;
    if (!n || !take_name(p, &name) || !set_name(p, n, name))
        return NULL;
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (str_eq(name, str_c(reserved[i])))
            return wrong(p, "cannot assign to a constant");
    if (with_namespace && skip_type(p, JJT_DOT)) {
        n->kind = JJN_NSREF;
        if (!take_name(p, &n->attr))
            return NULL;
    }
    return n;
}

static struct jj_node *parse_target(struct parser *p, bool with_namespace, const char *end_word);

static struct jj_node *target_item(struct parser *p, bool with_namespace)
{
    if (p->at->type != JJT_LPAREN)
        return target_name(p, with_namespace);
    advance(p);
    struct jj_node *n = deeper(p) ? parse_target(p, with_namespace, NULL) : NULL;
    p->depth--;
    return n && expect(p, JJT_RPAREN, "')'") ? n : NULL;
}

/* A name, `ns.attr`, or a tuple of them. */
static struct jj_node *parse_target(struct parser *p, bool with_namespace, const char *end_word)
{
    struct jj_node *first = target_item(p, with_namespace);
    if (!first || p->at->type != JJT_COMMA)
        return first;
    struct jj_node *n = node_new(p, JJN_TUPLE);
    if (!n || !nodes_add(p, &n->list, first))
        return NULL;
    while (skip_type(p, JJT_COMMA)) {
        if (is_tuple_end(p, end_word) || p->at->type == JJT_ASSIGN)
            break;
        if (!nodes_add(p, &n->list, target_item(p, with_namespace)))
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
    skip_type(p, JJT_COLON);
    return expect(p, JJT_BLOCK_END, "'%}'") && body_until(p, out, ends);
}

/* The body of a block that only `end` closes. */
static bool whole_body(struct parser *p, struct jj_nodes *out, const char *end)
{
    const char *const ends[] = {end, NULL};
    if (!block_body(p, out, ends))
        return false;
    advance(p);
    return true;
}

static bool parse_for(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_FOR;
    if (!(n->a = parse_target(p, false, "in")) || !expect_word(p, "in") ||
        !(n->b = parse_tuple(p, false, "recursive")))
        return false;
    if (skip_word(p, "if") && !(n->c = parse_expression(p)))
        return false;
    n->flag = skip_word(p, "recursive");
    p->loop_depth++;
    bool is_good = block_body(p, &n->list, ends_for);
    p->loop_depth--;
    if (!is_good)
        return false;
    if (skip_word(p, "endfor"))
        return true;
    advance(p); /* else */
    if (!block_body(p, &n->list2, ends_for_else))
        return false;
    advance(p);
    return true;
}

static bool parse_if(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_IF;
    for (;;) {
        struct jj_node *branch = node_new(p, JJN_BRANCH);
        if (!branch || !(branch->a = parse_tuple(p, false, NULL)) ||
            !block_body(p, &branch->list, ends_if) || !nodes_add(p, &n->list, branch))
            return false;
        if (skip_word(p, "endif"))
            return true;
        if (skip_word(p, "elif"))
            continue;
        advance(p); /* else */
        branch = node_new(p, JJN_BRANCH);
        if (!branch || !block_body(p, &branch->list, ends_else) || !nodes_add(p, &n->list, branch))
            return false;
        advance(p);
        return true;
    }
}

static bool parse_set(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_SET;
    if (!(n->a = parse_target(p, true, NULL)))
        return false;
    if (skip_type(p, JJT_ASSIGN))
        return (n->b = parse_tuple(p, true, NULL)) != NULL;
    n->kind = JJN_SET_BLOCK;
    while (skip_type(p, JJT_PIPE))
        if (!(n->b = parse_filter(p, n->b)))
            return false;
    return whole_body(p, &n->list, "endset");
}

static bool add_param(struct parser *p, struct jj_node *n, uint32_t *cap)
{
    if (n->n_params == *cap) {
        uint32_t grown = *cap ? *cap * 2 : 4;
        struct jj_param *v = arena_new_array(p->arena, struct jj_param, grown);
        if (!v)
            return too_large(p) != NULL;
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
    if (skip_type(p, JJT_ASSIGN))
        return (param->fallback = parse_expression(p)) != NULL;
    if (n->n_params > 1 && n->params[n->n_params - 2].fallback)
        return wrong(p, "a parameter without default follows one with a default") != NULL;
    return true;
}

static bool parse_signature(struct parser *p, struct jj_node *n)
{
    uint32_t cap = 0;
    if (!expect(p, JJT_LPAREN, "'('"))
        return false;
    while (p->at->type != JJT_RPAREN)
        if ((n->n_params && !expect(p, JJT_COMMA, "',' or ')'")) || !add_param(p, n, &cap))
            return false;
    advance(p);
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
    return take_name(p, &name) && set_name(p, n, name) && parse_signature(p, n) &&
           macro_body(p, n, "endmacro");
}

static bool parse_call_block(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_CALL_BLOCK;
    n->name = S("caller");
    if (p->at->type == JJT_LPAREN && !parse_signature(p, n))
        return false;
    if (!(n->a = parse_expression(p)))
        return false;
    if (n->a->kind != JJN_CALL)
        return wrong(p, "a call block needs a call") != NULL;
    return macro_body(p, n, "endcall");
}

static bool parse_filter_block(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_FILTER_BLOCK;
    if (!(n->a = parse_filter(p, NULL)))
        return false;
    while (skip_type(p, JJT_PIPE))
        if (!(n->a = parse_filter(p, n->a)))
            return false;
    return whole_body(p, &n->list, "endfilter");
}

static bool parse_with(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_WITH;
    while (p->at->type != JJT_BLOCK_END) {
        if (n->list2.n && !expect(p, JJT_COMMA, "','"))
            return false;
        if (!nodes_add(p, &n->list2, target_item(p, false)) || !expect(p, JJT_ASSIGN, "'='") ||
            !nodes_add(p, &n->list2, parse_expression(p)))
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
        if ((n->list.n && !expect(p, JJT_COMMA, "','")) ||
            !nodes_add(p, &n->list, parse_expression(p)))
            return false;
    return true;
}

static bool parse_do(struct parser *p, struct jj_node *n)
{
    n->kind = JJN_DO;
    return (n->a = parse_tuple(p, true, NULL)) != NULL;
}

static bool parse_jump(struct parser *p, struct jj_node *n, enum jj_node_kind kind)
{
    n->kind = kind;
    return p->loop_depth > 0 || wrong(p, "break or continue outside of a loop") != NULL;
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
} statements[] = {{"if", parse_if},
                  {"for", parse_for},
                  {"set", parse_set},
                  {"macro", parse_macro},
                  {"call", parse_call_block},
                  {"filter", parse_filter_block},
                  {"with", parse_with},
                  {"generation", parse_generation},
                  {"break", parse_break},
                  {"continue", parse_continue},
                  {"print", parse_print},
                  {"do", parse_do}};

/* Behind "{%", at the statement's word. */
static bool parse_statement(struct parser *p, struct jj_nodes *out)
{
    struct str word = p->at->text;
    for (size_t i = 0; p->at->type == JJT_NAME && i < sizeof statements / sizeof *statements; i++) {
        if (!at_word(p, statements[i].word))
            continue;
        struct jj_node *n = node_new(p, JJN_OUTPUT);
        advance(p);
        bool is_good = n && deeper(p) && statements[i].parse(p, n);
        p->depth--;
        return is_good && expect(p, JJT_BLOCK_END, "'%}'") && nodes_add(p, out, n);
    }
    fail(p->err, ERR_FORMAT, "line %u: unknown statement '%.*s'", p->at->line, STR(word));
    return false;
}

static bool at_end_word(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (at_word(p, *ends))
            return true;
    return false;
}

static bool add_output(struct parser *p, struct jj_nodes *out, struct jj_node *what)
{
    struct jj_node *n = what ? node_new(p, JJN_OUTPUT) : NULL;
    if (!n || !nodes_add(p, &n->list, what))
        return false;
    n->line = what->line;
    return nodes_add(p, out, n);
}

/* Text, outputs and statements until "{% WORD" with one of `ends` (NULL: the end of all). */
static bool body_until(struct parser *p, struct jj_nodes *out, const char *const *ends)
{
    for (;;) {
        switch (p->at->type) {
        case JJT_DATA:
            if (!add_output(p, out, constant_new(p, jj_str(p->at->text))))
                return false;
            advance(p);
            break;
        case JJT_VAR_BEGIN:
            advance(p);
            if (!add_output(p, out, parse_tuple(p, true, NULL)) ||
                !expect(p, JJT_VAR_END, "'}}'"))
                return false;
            break;
        case JJT_BLOCK_BEGIN:
            advance(p);
            if (at_end_word(p, ends))
                return true;
            if (!parse_statement(p, out))
                return false;
            break;
        default:
            if (!ends)
                return true;
            fail(p->err, ERR_FORMAT, "line %u: the template ends, but '%s' is still expected",
                 p->at->line, ends[0]);
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
