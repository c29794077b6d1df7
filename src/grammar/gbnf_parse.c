/* gbnf_parse.c - The syntax of GBNF.  Groups are kept on a stack of their own. */
#include <stdarg.h>
#include <stdio.h>

#include "grammar/charset.h"
#include "grammar/gbnf.h"
#include "grammar/vocab_int.h"

#define GROUPS_MAX 100
#define RULES_MAX  10000
#define REPEAT_MAX 1000000

struct group {
    const struct gbnf_node *alt, *cat, *last;
    size_t at;
};

struct parser {
    struct compiler *c;
    struct gbnf *out;
    struct str s;
    size_t at;
    struct group groups[GROUPS_MAX];
    int n_groups;
};

void gbnf_fail(struct compiler *c, int code, size_t at, const char *fmt, ...)
{
    char why[300], where[40];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    snprintf(where, sizeof where, "offset %zu", at);
    compile_fail(c, code, str_c(where), "the grammar at %s %s", where, why);
}

static bool refuse(struct parser *p, size_t at, const char *what)
{
    gbnf_fail(p->c, ERR_FORMAT, at, "%s", what);
    return false;
}

static const struct gbnf_node *new_node(struct parser *p, struct gbnf_node n)
{
    struct gbnf_node *node = arena_new(&p->c->arena, struct gbnf_node);
    if (!node) {
        gbnf_fail(p->c, ERR_LIMIT, p->at, "is too large");
        return NULL;
    }
    *node = n;
    return node;
}

static const struct gbnf_node *join(struct parser *p, enum gbnf_op op, const struct gbnf_node *a,
                                    const struct gbnf_node *b)
{
    if (!a || !b)
        return a ? a : b;
    return new_node(p, (struct gbnf_node){.op = op, .a = a, .b = b});
}

static struct group *top(struct parser *p)
{
    return &p->groups[p->n_groups - 1];
}

static bool append(struct parser *p, const struct gbnf_node *n)
{
    struct group *g = top(p);
    g->cat = join(p, GBNF_CAT, g->cat, g->last);
    g->last = n;
    return !p->c->has_failed;
}

static bool eat(struct parser *p, struct str what)
{
    if (!str_starts(str_sub(p->s, p->at, p->s.n), what))
        return false;
    p->at += what.n;
    return true;
}

static bool is_over(const struct parser *p)
{
    return p->at >= p->s.n;
}

/* Blanks and comments; line breaks too if they mean nothing here. */
static void skip(struct parser *p, bool lines)
{
    while (!is_over(p)) {
        char c = p->s.p[p->at];
        if (c == '#')
            while (!is_over(p) && p->s.p[p->at] != '\n' && p->s.p[p->at] != '\r')
                p->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            p->at++;
        else
            return;
    }
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static struct str read_name(struct parser *p)
{
    size_t from = p->at;
    while (!is_over(p) && is_name_char(p->s.p[p->at]))
        p->at++;
    return str_sub(p->s, from, p->at);
}

/* The index of a rule, new if need be; UINT32_MAX: an error was told. */
static uint32_t find_rule(struct parser *p, struct str name, size_t at)
{
    struct gbnf *g = p->out;
    for (uint32_t i = 0; i < g->n_rules; i++)
        if (str_eq(g->rules[i].name, name))
            return i;
    if (g->n_rules == g->rules_cap) {
        uint32_t cap = g->rules_cap ? g->rules_cap * 2 : 32;
        struct gbnf_rule *grown =
            cap <= RULES_MAX * 2 ? arena_new_array(&p->c->arena, struct gbnf_rule, cap) : NULL;
        if (!grown) {
            gbnf_fail(p->c, ERR_LIMIT, at, "has more than %d rules", RULES_MAX);
            return UINT32_MAX;
        }
        if (g->n_rules > 0)
            memcpy(grown, g->rules, g->n_rules * sizeof *grown);
        g->rules = grown;
        g->rules_cap = cap;
    }
    g->rules[g->n_rules] = (struct gbnf_rule){.name = name, .at = at};
    return g->n_rules++;
}

/* ---- characters ---- */

static bool read_hex(struct parser *p, int n_digits, uint32_t *c)
{
    *c = 0;
    for (int i = 0; i < n_digits; i++) {
        char d = is_over(p) ? 0 : p->s.p[p->at];
        int v = d >= '0' && d <= '9'                 ? d - '0'
                : (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10
                                                     : -1;
        if (v < 0)
            return refuse(p, p->at, "needs a hexadecimal digit");
        *c = *c * 16 + (uint32_t)v;
        p->at++;
    }
    if (*c > DFA_CHAR_MAX || (*c >= 0xd800 && *c <= 0xdfff))
        return refuse(p, p->at, "has an escape that is no character");
    return true;
}

static bool read_char(struct parser *p, uint32_t *c)
{
    static const char names[] = "trn", values[] = "\t\r\n";
    size_t from = p->at;
    if (!eat(p, S("\\"))) {
        *c = dfa_next_char(p->s, &p->at);
        return true;
    }
    if (is_over(p))
        return refuse(p, from, "ends with a backslash");
    char e = p->s.p[p->at++];
    const char *known = e ? strchr(names, e) : NULL;
    if (e == 'x' || e == 'u' || e == 'U')
        return read_hex(p, e == 'x' ? 2 : e == 'u' ? 4 : 8, c);
    if (!known && (is_name_char(e) || (uint8_t)e >= 0x80) && e != '-' && e != '_')
        return refuse(p, from, "has an unknown escape");
    *c = known ? (uint8_t)values[known - names] : (uint8_t)e;
    return true;
}

static void put_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(b, (char)c);
        return;
    }
    int more = c >= 0x10000 ? 3 : c >= 0x800 ? 2 : 1;
    uint32_t lead = more == 3 ? 0xf0 : more == 2 ? 0xe0 : 0xc0;
    buf_putc(b, (char)(lead | c >> (6 * more)));
    while (more-- > 0)
        buf_putc(b, (char)(0x80 | (c >> (6 * more) & 0x3f)));
}

static bool read_text(struct parser *p)
{
    size_t from = p->at - 1;
    struct buf b;
    buf_init(&b, p->s.n + 1);
    bool ok = true;
    while (ok && !is_over(p) && p->s.p[p->at] != '"') {
        uint32_t c;
        ok = read_char(p, &c);
        if (ok)
            put_utf8(&b, c);
    }
    ok = ok && (eat(p, S("\"")) || refuse(p, from, "opens a text that is not closed"));
    struct str text = arena_str(&p->c->arena, buf_str(&b));
    buf_deinit(&b);
    if (ok && !text.p)
        gbnf_fail(p->c, ERR_LIMIT, from, "is too large");
    return ok && append(p, new_node(p, (struct gbnf_node){.op = GBNF_TEXT, .text = text, .at = from}));
}

static bool append_set(struct parser *p, struct charset_builder *b, bool is_complement, size_t from)
{
    struct charset set = charset_finish(b, is_complement);
    if (b->failed)
        gbnf_fail(p->c, ERR_LIMIT, from, "is too large");
    return append(p, new_node(p, (struct gbnf_node){.op = GBNF_SET, .set = set, .at = from}));
}

static bool read_class(struct parser *p)
{
    size_t from = p->at - 1;
    bool is_complement = eat(p, S("^"));
    struct charset_builder b = {.arena = &p->c->arena};
    while (!is_over(p) && p->s.p[p->at] != ']') {
        uint32_t lo, hi;
        if (!read_char(p, &lo))
            return false;
        hi = lo;
        if (p->at + 1 < p->s.n && p->s.p[p->at] == '-' && p->s.p[p->at + 1] != ']') {
            p->at++;
            if (!read_char(p, &hi))
                return false;
        }
        if (hi < lo)
            return refuse(p, from, "has a range whose end comes before its begin");
        charset_add(&b, lo, hi);
    }
    if (!eat(p, S("]")))
        return refuse(p, from, "opens a class that is not closed");
    return append_set(p, &b, is_complement, from);
}

/* ---- tokens ---- */

static bool read_token(struct parser *p)
{
    size_t from = p->at - 1, end = str_find_char(p->s, '>', p->at);
    const struct grammar_vocab *v = p->c->vocab;
    struct str text = str_sub(p->s, from, end == STR_NONE ? p->s.n : end + 1);
    uint64_t id;
    if (end == STR_NONE)
        return refuse(p, from, "opens a token that is not closed");
    p->at = end + 1;
    if (str_starts(text, S("<[")) && str_ends(text, S("]>"))) {
        if (!str_to_u64(str_sub(text, 2, text.n - 2), &id) || !v || id >= (uint64_t)v->n_tokens ||
            vocab_key(v, (int32_t)id).n == 0)
            return refuse(p, from, "names a token that the model does not have");
        text = vocab_key(v, (int32_t)id);
    } else if (v && vocab_match_control(v, text) == text.n) {
        text = arena_printf(&p->c->arena, "%c%.*s%c", VOCAB_MARK_BEGIN, STR(text), VOCAB_MARK_END);
        if (!text.p)
            gbnf_fail(p->c, ERR_LIMIT, from, "is too large");
    }
    return append(p, new_node(p, (struct gbnf_node){.op = GBNF_TEXT, .text = text, .at = from}));
}

/* ---- sequences ---- */

static const struct gbnf_node *alternative(struct parser *p, const struct group *g)
{
    const struct gbnf_node *n = join(p, GBNF_CAT, g->cat, g->last);
    return n ? n : new_node(p, (struct gbnf_node){.op = GBNF_EMPTY});
}

static bool repeat(struct parser *p, size_t from, uint32_t min, uint32_t max)
{
    struct group *g = top(p);
    if (!g->last)
        return refuse(p, from, "repeats nothing");
    g->last =
        new_node(p, (struct gbnf_node){.op = GBNF_REPEAT, .a = g->last, .min = min, .max = max, .at = from});
    return !p->c->has_failed;
}

static bool read_count(struct parser *p, uint32_t *n)
{
    uint64_t v = 0;
    size_t from = p->at;
    for (; !is_over(p) && p->s.p[p->at] >= '0' && p->s.p[p->at] <= '9'; p->at++)
        v = v < REPEAT_MAX * 10ull ? v * 10 + (uint64_t)(p->s.p[p->at] - '0') : v;
    *n = v > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)v;
    return p->at > from;
}

static bool read_braces(struct parser *p, size_t from)
{
    uint32_t min, max;
    skip(p, false);
    if (!read_count(p, &min))
        return refuse(p, from, "has a brace without a number");
    max = min;
    skip(p, false);
    if (eat(p, S(","))) {
        skip(p, false);
        if (!read_count(p, &max))
            max = NET_NO_MAX;
        skip(p, false);
    }
    if (!eat(p, S("}")))
        return refuse(p, from, "has a brace that is not closed");
    if (min > max)
        return refuse(p, from, "repeats with a minimum above the maximum");
    if (min > REPEAT_MAX || (max != NET_NO_MAX && max > REPEAT_MAX)) {
        gbnf_fail(p->c, ERR_LIMIT, from, "repeats more than %d times", REPEAT_MAX);
        return false;
    }
    return repeat(p, from, min, max);
}

static bool close_group(struct parser *p)
{
    if (p->n_groups == 1)
        return refuse(p, p->at - 1, "closes a group that is not open");
    struct group *g = top(p);
    const struct gbnf_node *n = join(p, GBNF_ALT, g->alt, alternative(p, g));
    p->n_groups--;
    return append(p, n);
}

static bool next_alternative(struct parser *p)
{
    struct group *g = top(p);
    g->alt = join(p, GBNF_ALT, g->alt, alternative(p, g));
    g->cat = g->last = NULL;
    skip(p, true);
    return !p->c->has_failed;
}

static bool read_reference(struct parser *p)
{
    size_t from = p->at;
    struct str name = read_name(p);
    if (name.n == 0)
        return refuse(p, from, "has a character that means nothing here");
    uint32_t rule = find_rule(p, name, from);
    if (rule == UINT32_MAX)
        return false;
    return append(p,
                  new_node(p, (struct gbnf_node){.op = GBNF_RULE, .text = name, .rule = rule, .at = from}));
}

static bool read_term(struct parser *p)
{
    size_t from = p->at;
    struct charset_builder any = {.arena = &p->c->arena};
    switch (p->s.p[p->at++]) {
    case '"': return read_text(p);
    case '[': return read_class(p);
    case '.': return append_set(p, &any, true, from);
    case '<': return read_token(p);
    case '!': gbnf_fail(p->c, ERR_UNSUPPORTED, from, "forbids a token, which cannot be held"); return false;
    case '(':
        if (p->n_groups == GROUPS_MAX)
            return refuse(p, from, "nests groups too deep");
        p->groups[p->n_groups++] = (struct group){.at = from};
        return true;
    case ')': return close_group(p);
    case '|': return next_alternative(p);
    case '*': return repeat(p, from, 0, NET_NO_MAX);
    case '+': return repeat(p, from, 1, NET_NO_MAX);
    case '?': return repeat(p, from, 0, 1);
    case '{': return read_braces(p, from);
    default: p->at--; return read_reference(p);
    }
}

static bool at_rule_end(struct parser *p)
{
    skip(p, p->n_groups > 1);
    return is_over(p) || (p->n_groups == 1 && (p->s.p[p->at] == '\n' || p->s.p[p->at] == '\r'));
}

static bool read_rule(struct parser *p)
{
    size_t from = p->at;
    struct str name = read_name(p);
    skip(p, false);
    if (name.n == 0 || !eat(p, S("::=")))
        return refuse(p, from, "needs a rule: a name and ::=");
    uint32_t rule = find_rule(p, name, from);
    if (rule == UINT32_MAX)
        return false;
    if (p->out->rules[rule].body)
        return refuse(p, from, "defines a rule a second time");
    skip(p, true);
    p->n_groups = 1;
    p->groups[0] = (struct group){.at = from};
    while (!at_rule_end(p))
        if (!read_term(p))
            return false;
    if (p->n_groups > 1)
        return refuse(p, top(p)->at, "opens a group that is not closed");
    const struct gbnf_node *body = join(p, GBNF_ALT, p->groups[0].alt, alternative(p, &p->groups[0]));
    p->out->rules[rule].body = body;
    p->out->rules[rule].at = from;
    return !p->c->has_failed;
}

bool gbnf_parse(struct compiler *c, struct str text, struct gbnf *out)
{
    struct parser *p = arena_new(&c->arena, struct parser);
    *out = (struct gbnf){0};
    if (!p) {
        gbnf_fail(c, ERR_LIMIT, 0, "is too large");
        return false;
    }
    *p = (struct parser){.c = c, .out = out, .s = text};
    if (!str_is_utf8(text))
        return refuse(p, 0, "is not UTF-8");
    skip(p, true);
    while (!is_over(p)) {
        if (!read_rule(p))
            return false;
        skip(p, true);
    }
    for (uint32_t i = 0; i < out->n_rules; i++)
        if (!out->rules[i].body) {
            gbnf_fail(c, ERR_FORMAT, out->rules[i].at, "names the rule %.*s, which is not defined",
                      STR(out->rules[i].name));
            return false;
        }
    return true;
}
