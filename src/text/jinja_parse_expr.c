/* jinja_parse_expr.c - Expressions of the template language to syntax tree.
 *
 * Jinja's own precedence, which is not Python's: '~' binds tighter than '+', filters and tests
 * bind tighter than any operator but not than unary minus.  Nesting is bounded by
 * JJ_PARSE_DEPTH_MAX, which also bounds the C stack.  Start reading at jj_p_expression(). */
#include <string.h>

#include "text/jinja_parse_int.h"

static struct jj_node *parse_or(struct parser *p);
static struct jj_node *parse_unary(struct parser *p, bool with_filter);
static struct jj_node *parse_primary(struct parser *p);
static struct jj_node *parse_postfix(struct parser *p, struct jj_node *node);

/* ---- helpers ---- */

/* Always NULL, so that a node function can return it. */
void *jj_p_wrong(struct parser *p, const char *what)
{
    fail(p->err, ERR_FORMAT, "line %u: %s", p->at->line, what);
    return NULL;
}

void *jj_p_too_large(struct parser *p)
{
    fail(p->err, ERR_LIMIT, "line %u: the template is too large", p->at->line);
    return NULL;
}

struct jj_node *jj_p_node_new(struct parser *p, enum jj_node_kind kind)
{
    struct jj_node *n = arena_new(p->arena, struct jj_node);
    if (!n)
        return jj_p_too_large(p);
    n->kind = kind;
    n->line = p->at->line;
    return n;
}

bool jj_p_nodes_add(struct parser *p, struct jj_nodes *l, struct jj_node *n)
{
    if (!n)
        return false;
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 4;
        struct jj_node **v = arena_new_array(p->arena, struct jj_node *, cap);
        if (!v)
            return jj_p_too_large(p) != NULL;
        if (l->n)
            memcpy(v, l->v, l->n * sizeof(struct jj_node *));
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = n;
    return true;
}

void jj_p_advance(struct parser *p)
{
    if (p->at->type != JJT_EOF)
        p->at++;
}

bool jj_p_at_word(const struct parser *p, const char *word)
{
    return p->at->type == JJT_NAME && str_eq(p->at->text, str_c(word));
}

bool jj_p_skip_word(struct parser *p, const char *word)
{
    if (!jj_p_at_word(p, word))
        return false;
    jj_p_advance(p);
    return true;
}

bool jj_p_skip_type(struct parser *p, enum jj_token_type type)
{
    if (p->at->type != type)
        return false;
    jj_p_advance(p);
    return true;
}

bool jj_p_expect(struct parser *p, enum jj_token_type type, const char *what)
{
    if (jj_p_skip_type(p, type))
        return true;
    fail(p->err, ERR_FORMAT, "line %u: expected %s, found '%.*s'", p->at->line, what, STR(p->at->text));
    return false;
}

bool jj_p_take_name(struct parser *p, struct str *name)
{
    *name = p->at->text;
    return jj_p_expect(p, JJT_NAME, "a name");
}

bool jj_p_deeper(struct parser *p)
{
    if (++p->depth <= JJ_PARSE_DEPTH_MAX)
        return true;
    fail(p->err, ERR_LIMIT, "line %u: nested more than %d deep", p->at->line, JJ_PARSE_DEPTH_MAX);
    return false;
}

bool jj_p_set_name(struct parser *p, struct jj_node *n, struct str name)
{
    n->name = name;
    n->id = jj_name_id(p->names, p->arena, name);
    return n->id != UINT32_MAX || jj_p_too_large(p) != NULL;
}

struct jj_node *jj_p_constant_new(struct parser *p, struct jj_value v)
{
    struct jj_node *n = jj_p_node_new(p, JJN_CONST);
    if (n)
        n->constant = v;
    return n;
}

static struct jj_node *binary_new(struct parser *p, enum jj_node_kind kind, enum jj_token_type op,
                                  struct jj_node *a, struct jj_node *b)
{
    struct jj_node *n = a && b ? jj_p_node_new(p, kind) : NULL;
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
    while (then && jj_p_skip_word(p, "if")) {
        struct jj_node *n = jj_p_node_new(p, JJN_COND);
        if (!n || !(n->a = parse_or(p)))
            return NULL;
        n->b = then;
        if (jj_p_skip_word(p, "else") && !(n->c = jj_p_expression(p)))
            return NULL;
        then = n;
    }
    return then;
}

struct jj_node *jj_p_expression(struct parser *p)
{
    struct jj_node *n = jj_p_deeper(p) ? parse_condition(p) : NULL;
    p->depth--;
    return n;
}

static struct jj_node *parse_math(struct parser *p, int level);

static bool parse_operand(struct parser *p, struct jj_node *compare, enum jj_token_type op)
{
    struct jj_node *n = jj_p_node_new(p, JJN_OPERAND);
    if (!n)
        return false;
    n->op = op;
    n->a = parse_math(p, 0);
    return n->a && jj_p_nodes_add(p, &compare->list, n);
}

static struct jj_node *parse_compare(struct parser *p)
{
    struct jj_node *first = parse_math(p, 0), *n = NULL;
    while (first) {
        enum jj_token_type op = p->at->type;
        if (op == JJT_NAME && jj_p_at_word(p, "in")) {
            op = JJT_IN;
        } else if (jj_p_at_word(p, "not") && p->at[1].type == JJT_NAME && str_eq(p->at[1].text, S("in"))) {
            op = JJT_NOT_IN;
            jj_p_advance(p);
        } else if (op < JJT_EQ || op > JJT_LE) {
            return n ? n : first;
        }
        jj_p_advance(p);
        if (!n) {
            if (!(n = jj_p_node_new(p, JJN_COMPARE)))
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
    if (!jj_p_at_word(p, "not"))
        return parse_compare(p);
    struct jj_node *n = jj_p_node_new(p, JJN_NOT);
    jj_p_advance(p);
    if (n && jj_p_deeper(p))
        n->a = parse_not(p);
    p->depth -= n != NULL;
    return n && n->a ? n : NULL;
}

static struct jj_node *parse_and(struct parser *p)
{
    struct jj_node *n = parse_not(p);
    while (n && jj_p_skip_word(p, "and"))
        n = binary_new(p, JJN_AND, JJT_EOF, n, parse_not(p));
    return n;
}

static struct jj_node *parse_or(struct parser *p)
{
    struct jj_node *n = parse_and(p);
    while (n && jj_p_skip_word(p, "or"))
        n = binary_new(p, JJN_OR, JJT_EOF, n, parse_and(p));
    return n;
}

static struct jj_node *parse_concat(struct parser *p)
{
    struct jj_node *first = parse_math(p, 1);
    if (!first || p->at->type != JJT_TILDE)
        return first;
    struct jj_node *n = jj_p_node_new(p, JJN_CONCAT);
    if (!n || !jj_p_nodes_add(p, &n->list, first))
        return NULL;
    while (jj_p_skip_type(p, JJT_TILDE))
        if (!jj_p_nodes_add(p, &n->list, parse_math(p, 1)))
            return NULL;
    return n;
}

/* Level 0: + -, over '~', over level 1: * / // %, over level 2: **, over unary. */
static struct jj_node *parse_math(struct parser *p, int level)
{
    struct jj_node *n = level == 0 ? parse_concat(p) : level == 1 ? parse_math(p, 2) : parse_unary(p, true);
    while (n) {
        enum jj_token_type op = p->at->type;
        bool is_here = level == 0   ? op == JJT_ADD || op == JJT_SUB
                       : level == 1 ? op == JJT_MUL || op == JJT_DIV || op == JJT_FLOORDIV || op == JJT_MOD
                                    : op == JJT_POW;
        if (!is_here)
            break;
        jj_p_advance(p);
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
            return jj_p_too_large(p) != NULL;
        if (args->n_kw)
            memcpy(kw, args->kw, args->n_kw * sizeof *kw);
        args->kw = kw;
        args->kw_cap = cap;
    }
    struct jj_keyword *k = &args->kw[args->n_kw++];
    k->name = p->at->text;
    jj_p_advance(p);
    jj_p_advance(p);
    return (k->value = jj_p_expression(p)) != NULL;
}

static bool parse_one_arg(struct parser *p, struct jj_call_args *args)
{
    if (jj_p_skip_type(p, JJT_MUL)) {
        if (args->star || args->star_star)
            return jj_p_wrong(p, "only one *argument is possible, before **") != NULL;
        return (args->star = jj_p_expression(p)) != NULL;
    }
    if (jj_p_skip_type(p, JJT_POW)) {
        if (args->star_star)
            return jj_p_wrong(p, "only one **argument is possible") != NULL;
        return (args->star_star = jj_p_expression(p)) != NULL;
    }
    if (args->star_star)
        return jj_p_wrong(p, "nothing may follow a **argument") != NULL;
    if (p->at->type == JJT_NAME && p->at[1].type == JJT_ASSIGN)
        return add_keyword(p, args);
    if (args->star || args->n_kw)
        return jj_p_wrong(p, "a positional argument follows a named one") != NULL;
    return jj_p_nodes_add(p, &args->pos, jj_p_expression(p));
}

static struct jj_call_args *parse_call_args(struct parser *p)
{
    struct jj_call_args *args = arena_new(p->arena, struct jj_call_args);
    if (!args)
        return jj_p_too_large(p);
    if (!jj_p_expect(p, JJT_LPAREN, "'('"))
        return NULL;
    for (bool is_first = true; p->at->type != JJT_RPAREN; is_first = false) {
        if (!is_first && !jj_p_expect(p, JJT_COMMA, "',' or ')'"))
            return NULL;
        if (!is_first && p->at->type == JJT_RPAREN)
            break;
        if (!parse_one_arg(p, args))
            return NULL;
    }
    jj_p_advance(p);
    return args;
}

/* One of start:stop:step, or an ordinary subscript. */
static struct jj_node *parse_subscript_item(struct parser *p)
{
    struct jj_node *first = NULL;
    if (p->at->type != JJT_COLON) {
        first = jj_p_expression(p);
        if (!first || p->at->type != JJT_COLON)
            return first;
    }
    struct jj_node *n = jj_p_node_new(p, JJN_SLICE);
    if (!n)
        return NULL;
    n->a = first;
    jj_p_advance(p);
    enum jj_token_type t = p->at->type;
    if (t != JJT_COLON && t != JJT_RBRACKET && t != JJT_COMMA && !(n->b = jj_p_expression(p)))
        return NULL;
    if (jj_p_skip_type(p, JJT_COLON)) {
        t = p->at->type;
        if (t != JJT_RBRACKET && t != JJT_COMMA && !(n->c = jj_p_expression(p)))
            return NULL;
    }
    return n;
}

static struct jj_node *parse_subscript(struct parser *p, struct jj_node *of)
{
    struct jj_node *n = jj_p_node_new(p, JJN_GETITEM);
    if (!n)
        return NULL;
    n->a = of;
    if (jj_p_skip_type(p, JJT_DOT)) {
        const struct jj_token *t = p->at;
        jj_p_advance(p);
        if (t->type == JJT_NAME) {
            n->kind = JJN_GETATTR;
            n->name = t->text;
            return n;
        }
        if (t->type != JJT_INT)
            return jj_p_wrong(p, "expected a name or a number after '.'");
        n->b = jj_p_constant_new(p, jj_int(t->i));
        return n->b ? n : NULL;
    }
    jj_p_advance(p); /* '[' */
    struct jj_nodes items = {0};
    while (p->at->type != JJT_RBRACKET) {
        if (items.n && !jj_p_expect(p, JJT_COMMA, "']'"))
            return NULL;
        if (!jj_p_nodes_add(p, &items, parse_subscript_item(p)))
            return NULL;
    }
    jj_p_advance(p);
    if (items.n == 1) {
        n->b = items.v[0];
        return n;
    }
    for (uint32_t i = 0; i < items.n; i++)
        if (items.v[i]->kind == JJN_SLICE)
            return jj_p_wrong(p, "a slice must be the only subscript");
    n->b = jj_p_node_new(p, JJN_TUPLE);
    if (n->b)
        n->b->list = items;
    return n->b ? n : NULL;
}

static struct jj_node *parse_call(struct parser *p, struct jj_node *of)
{
    struct jj_node *n = jj_p_node_new(p, JJN_CALL);
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
    if (!jj_p_take_name(p, name))
        return false;
    while (jj_p_skip_type(p, JJT_DOT)) {
        struct str part;
        if (!jj_p_take_name(p, &part))
            return false;
        *name = arena_printf(p->arena, "%.*s.%.*s", STR(*name), STR(part));
        if (!name->p)
            return jj_p_too_large(p) != NULL;
    }
    return true;
}

/* At the filter's name.  `of` is NULL in blocks. */
struct jj_node *jj_p_filter(struct parser *p, struct jj_node *of)
{
    struct jj_node *n = jj_p_node_new(p, JJN_FILTER);
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
        return !jj_p_at_word(p, "else") && !jj_p_at_word(p, "or") && !jj_p_at_word(p, "and");
    return t == JJT_STRING || t == JJT_INT || t == JJT_BIGINT || t == JJT_FLOAT || t == JJT_LBRACKET ||
           t == JJT_LBRACE;
}

/* Behind `is`. */
static struct jj_node *parse_test(struct parser *p, struct jj_node *of)
{
    bool is_negated = jj_p_skip_word(p, "not");
    struct jj_node *n = jj_p_node_new(p, JJN_TEST);
    if (!n || !dotted_name(p, &n->name))
        return NULL;
    n->a = of;
    if (p->at->type == JJT_LPAREN) {
        if (!(n->args = parse_call_args(p)))
            return NULL;
    } else if (starts_test_argument(p)) {
        if (jj_p_at_word(p, "is"))
            return jj_p_wrong(p, "tests with 'is' cannot be chained");
        n->args = arena_new(p->arena, struct jj_call_args);
        if (!n->args)
            return jj_p_too_large(p);
        if (!jj_p_nodes_add(p, &n->args->pos, parse_postfix(p, parse_primary(p))))
            return NULL;
    }
    if (!is_negated)
        return n;
    struct jj_node *negated = jj_p_node_new(p, JJN_NOT);
    if (negated)
        negated->a = n;
    return negated;
}

static struct jj_node *parse_filters(struct parser *p, struct jj_node *node)
{
    while (node) {
        if (jj_p_skip_type(p, JJT_PIPE))
            node = jj_p_filter(p, node);
        else if (jj_p_skip_word(p, "is"))
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
        n = jj_p_node_new(p, p->at->type == JJT_SUB ? JJN_NEGATE : JJN_POSITIVE);
        if (!n)
            return NULL;
        jj_p_advance(p);
        n->a = jj_p_deeper(p) ? parse_unary(p, false) : NULL;
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
    struct jj_node *n = jj_p_constant_new(p, jj_str(text));
    for (jj_p_advance(p); n && p->at->type == JJT_STRING; jj_p_advance(p)) { /* neighbours are one */
        size_t total = text.n + p->at->text.n;
        char *joined = total <= UINT32_MAX ? arena_alloc(p->arena, total + 1) : NULL;
        if (!joined)
            return jj_p_too_large(p);
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
    struct jj_node *n = jj_p_node_new(p, JJN_LIST);
    jj_p_advance(p);
    while (n && p->at->type != JJT_RBRACKET) {
        if (n->list.n && !jj_p_expect(p, JJT_COMMA, "',' or ']'"))
            return NULL;
        if (p->at->type == JJT_RBRACKET)
            break;
        if (!jj_p_nodes_add(p, &n->list, jj_p_expression(p)))
            return NULL;
    }
    jj_p_advance(p);
    return n;
}

static struct jj_node *parse_dict(struct parser *p)
{
    struct jj_node *n = jj_p_node_new(p, JJN_DICT);
    jj_p_advance(p);
    while (n && p->at->type != JJT_RBRACE) {
        if (n->list.n && !jj_p_expect(p, JJT_COMMA, "',' or '}'"))
            return NULL;
        if (p->at->type == JJT_RBRACE)
            break;
        if (!jj_p_nodes_add(p, &n->list, jj_p_expression(p)) || !jj_p_expect(p, JJT_COLON, "':'") ||
            !jj_p_nodes_add(p, &n->list, jj_p_expression(p)))
            return NULL;
    }
    jj_p_advance(p);
    return n;
}

static struct jj_node *parse_name(struct parser *p)
{
    struct str name = p->at->text;
    struct jj_node *n = jj_p_node_new(p, JJN_NAME);
    if (!n)
        return NULL;
    jj_p_advance(p);
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
    return jj_p_set_name(p, n, name) ? n : NULL;
}

static struct jj_node *parse_parenthesis(struct parser *p)
{
    jj_p_advance(p);
    struct jj_node *n;
    if (p->at->type == JJT_RPAREN)
        n = jj_p_node_new(p, JJN_TUPLE);
    else
        n = jj_p_tuple(p, true, NULL);
    return n && jj_p_expect(p, JJT_RPAREN, "')'") ? n : NULL;
}

static struct jj_node *parse_primary_here(struct parser *p)
{
    const struct jj_token *t = p->at;
    struct jj_value v;
    switch (t->type) {
    case JJT_NAME: return parse_name(p);
    case JJT_STRING: return parse_strings(p);
    case JJT_LPAREN: return parse_parenthesis(p);
    case JJT_LBRACKET: return parse_list(p);
    case JJT_LBRACE: return parse_dict(p);
    case JJT_INT: v = jj_int(t->i); break;
    case JJT_BIGINT: v = (struct jj_value){.type = JJ_BIGINT, .s = t->text}; break;
    case JJT_FLOAT: v = jj_float(t->f); break;
    case JJT_EOF: return jj_p_wrong(p, "the template ends inside a tag");
    default:
        fail(p->err, ERR_FORMAT, "line %u: expected an expression, found '%.*s'", t->line, STR(t->text));
        return NULL;
    }
    jj_p_advance(p);
    return jj_p_constant_new(p, v);
}

static struct jj_node *parse_primary(struct parser *p)
{
    struct jj_node *n = jj_p_deeper(p) ? parse_primary_here(p) : NULL;
    p->depth--;
    return n;
}

bool jj_p_is_tuple_end(const struct parser *p, const char *end_word)
{
    enum jj_token_type t = p->at->type;
    return t == JJT_VAR_END || t == JJT_BLOCK_END || t == JJT_RPAREN ||
           (end_word && jj_p_at_word(p, end_word));
}

/* An expression, or several with commas between them as a tuple. */
struct jj_node *jj_p_tuple(struct parser *p, bool with_condition, const char *end_word)
{
    struct jj_nodes items = {0};
    bool is_tuple = false;
    for (;;) {
        if (items.n && !jj_p_expect(p, JJT_COMMA, "','"))
            return NULL;
        if (jj_p_is_tuple_end(p, end_word))
            break;
        struct jj_node *item = NULL;
        if (with_condition)
            item = jj_p_expression(p);
        else if (jj_p_deeper(p))
            item = parse_or(p);
        p->depth -= !with_condition;
        if (!jj_p_nodes_add(p, &items, item))
            return NULL;
        if (p->at->type != JJT_COMMA)
            break;
        is_tuple = true;
    }
    if (!is_tuple)
        return items.n ? items.v[0] : jj_p_wrong(p, "expected an expression");
    struct jj_node *n = jj_p_node_new(p, JJN_TUPLE);
    if (n)
        n->list = items;
    return n;
}
