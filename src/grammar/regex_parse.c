/* regex_parse.c - The syntax of regular expressions (ECMA-262 with the u flag).
 *
 * Groups are kept on a stack of their own, so nesting costs no stack of the machine. */
#include "grammar/charset.h"
#include "grammar/property.h"
#include "grammar/regex_int.h"

#define GROUPS_MAX     200
#define PROPERTIES_MAX 16

struct group {
    const struct re_node *alt;  /* alternatives before this one; NULL: none */
    const struct re_node *cat;  /* of this alternative, without its last part */
    const struct re_node *last; /* to which a quantifier applies; NULL: none */
    bool can_repeat;            /* last is no anchor */
    size_t at;                  /* where the group began */
};

struct parser {
    struct arena *arena;
    struct str s;
    size_t at;
    struct group groups[GROUPS_MAX];
    int n_groups, n_properties;
    struct err *err;
    size_t *offset;
    bool failed;
};

static bool refuse(struct parser *p, int code, size_t at, const char *what)
{
    if (!p->failed) {
        *p->offset = at;
        fail(p->err, code, "the pattern at offset %zu %s", at, what);
    }
    p->failed = true;
    return false;
}

static const struct re_node *new_node(struct parser *p, struct re_node n)
{
    struct re_node *node = arena_new(p->arena, struct re_node);
    if (!node) {
        refuse(p, ERR_LIMIT, p->at, "is too large");
        return NULL;
    }
    *node = n;
    return node;
}

static const struct re_node *join(struct parser *p, enum re_op op, const struct re_node *a,
                                  const struct re_node *b)
{
    if (!a || !b)
        return a ? a : b;
    return new_node(p, (struct re_node){.op = op, .a = a, .b = b});
}

static struct group *top(struct parser *p)
{
    return &p->groups[p->n_groups - 1];
}

static void append(struct parser *p, const struct re_node *n, bool can_repeat)
{
    struct group *g = top(p);
    g->cat = join(p, RE_CAT, g->cat, g->last);
    g->last = n;
    g->can_repeat = can_repeat;
}

static bool peek(const struct parser *p, char c)
{
    return p->at < p->s.n && p->s.p[p->at] == c;
}

static bool eat(struct parser *p, struct str what)
{
    if (!str_starts(str_sub(p->s, p->at, p->s.n), what))
        return false;
    p->at += what.n;
    return true;
}

/* ---- escapes ---- */

static bool read_hex(struct parser *p, int n_digits, uint32_t *c)
{
    *c = 0;
    for (int i = 0; i < n_digits; i++) {
        int v = p->at < p->s.n ? hex_digit(p->s.p[p->at]) : -1;
        if (v < 0)
            return refuse(p, ERR_FORMAT, p->at, "needs a hexadecimal digit");
        *c = *c * 16 + (uint32_t)v;
        p->at++;
    }
    return true;
}

/* Behind "\u". */
static bool read_unicode(struct parser *p, uint32_t *c)
{
    if (eat(p, S("{"))) {
        *c = 0;
        size_t from = p->at;
        while (p->at < p->s.n && hex_digit(p->s.p[p->at]) >= 0 && *c <= DFA_CHAR_MAX)
            *c = *c * 16 + (uint32_t)hex_digit(p->s.p[p->at++]);
        if (p->at == from || *c > DFA_CHAR_MAX || !eat(p, S("}")))
            return refuse(p, ERR_FORMAT, from, "has no code point between \\u{ and }");
        return true;
    }
    uint32_t low;
    if (!read_hex(p, 4, c))
        return false;
    if (*c < 0xd800 || *c > 0xdbff || !str_starts(str_sub(p->s, p->at, p->s.n), S("\\u")))
        return true;
    size_t back = p->at;
    p->at += 2;
    if (peek(p, '{') || !read_hex(p, 4, &low))
        return !p->failed && ((p->at = back), true);
    if (low >= 0xdc00 && low <= 0xdfff)
        *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    else
        p->at = back;
    return true;
}

/* Behind "\\p" or "\\P", which began at `from`. */
static bool read_property(struct parser *p, struct charset_builder *b, size_t from)
{
    char why[200];
    size_t end = str_find_char(p->s, '}', p->at);
    if (!peek(p, '{') || end == STR_NONE)
        return refuse(p, ERR_FORMAT, from, "has a \\p without {Name}");
    if (++p->n_properties > PROPERTIES_MAX)
        return refuse(p, ERR_LIMIT, from, "has more Unicode properties than can be looked up");
    p->at = end + 1;
    int rc = property_add(b, str_sub(p->s, from, p->at), why, sizeof why);
    return rc == OK || refuse(p, rc, from, rc == ERR_NOMEM ? "finds no memory" : why);
}

/* Behind a backslash: one character into *c, or a named set into b (*is_set). */
static bool read_escape(struct parser *p, struct charset_builder *b, uint32_t *c, bool *is_set, bool in_class)
{
    static const char names[] = "tnrvf", values[] = "\t\n\r\v\f";
    size_t from = p->at - 1;
    *is_set = false;
    if (p->at == p->s.n)
        return refuse(p, ERR_FORMAT, from, "ends with a backslash");
    char e = p->s.p[p->at++];
    const char *known = strchr(names, e);
    if (known && e) {
        *c = (uint8_t)values[known - names];
        return true;
    }
    if (e != '.' && charset_add_named(b, e))
        return *is_set = true;
    if (e == '0' && !(p->at < p->s.n && p->s.p[p->at] >= '0' && p->s.p[p->at] <= '9')) {
        *c = 0;
        return true;
    }
    if (e == 'x')
        return read_hex(p, 2, c);
    if (e == 'u')
        return read_unicode(p, c);
    if (e == 'c' && p->at < p->s.n && ((p->s.p[p->at] | 32) >= 'a' && (p->s.p[p->at] | 32) <= 'z')) {
        *c = (uint32_t)p->s.p[p->at++] & 31;
        return true;
    }
    if (e == 'b' && in_class) {
        *c = 8;
        return true;
    }
    if (e == 'B' && in_class)
        return refuse(p, ERR_FORMAT, from, "has an unknown escape");
    if (e == 'p' || e == 'P')
        return *is_set = read_property(p, b, from);
    if ((e >= '1' && e <= '9') || e == 'k')
        return refuse(p, ERR_UNSUPPORTED, from, "has a back-reference, which cannot be held");
    if ((e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z') || e == '0' || (uint8_t)e >= 0x80)
        return refuse(p, ERR_FORMAT, from, "has an unknown escape");
    *c = (uint8_t)e;
    return true;
}

/* ---- classes ---- */

/* One character or named set of a class; *is_set: it was added already. */
static bool read_class_atom(struct parser *p, struct charset_builder *b, uint32_t *c, bool *is_set)
{
    *is_set = false;
    if (eat(p, S("\\")))
        return read_escape(p, b, c, is_set, true);
    *c = dfa_next_char(p->s, &p->at);
    return true;
}

static bool read_class(struct parser *p)
{
    size_t from = p->at - 1;
    bool is_complement = eat(p, S("^"));
    struct charset_builder b = {.arena = p->arena};

    while (p->at < p->s.n && !peek(p, ']')) {
        uint32_t lo, hi;
        bool is_set, is_end_set;
        size_t at = p->at;
        if (!read_class_atom(p, &b, &lo, &is_set))
            return false;
        hi = lo;
        if (peek(p, '-') && p->at + 1 < p->s.n && p->s.p[p->at + 1] != ']') {
            p->at++;
            if (!read_class_atom(p, &b, &hi, &is_end_set))
                return false;
            if (is_set || is_end_set)
                return refuse(p, ERR_FORMAT, at, "has a range that begins or ends with a set");
            if (hi < lo)
                return refuse(p, ERR_FORMAT, at, "has a range whose end comes before its begin");
        }
        if (!is_set)
            charset_add(&b, lo, hi);
    }
    if (!eat(p, S("]")))
        return refuse(p, ERR_FORMAT, from, "opens a class that is not closed");
    struct charset set = charset_finish(&b, is_complement);
    if (b.failed)
        return refuse(p, ERR_LIMIT, from, "is too large");
    append(p, new_node(p, (struct re_node){.op = RE_SET, .set = set}), true);
    return !p->failed;
}

/* ---- groups and quantifiers ---- */

static bool open_group(struct parser *p)
{
    size_t from = p->at - 1;
    if (eat(p, S("?=")) || eat(p, S("?!")) || eat(p, S("?<=")) || eat(p, S("?<!")))
        return refuse(p, ERR_UNSUPPORTED, from, "looks ahead or behind, which cannot be held");
    if (eat(p, S("?<"))) {
        size_t end = str_find_char(p->s, '>', p->at);
        if (end == STR_NONE || end == p->at)
            return refuse(p, ERR_FORMAT, from, "opens a group whose name does not end");
        p->at = end + 1;
    } else if (peek(p, '?') && !eat(p, S("?:"))) {
        return refuse(p, ERR_FORMAT, from, "opens a group of an unknown kind");
    }
    if (p->n_groups == GROUPS_MAX)
        return refuse(p, ERR_LIMIT, from, "nests groups too deep");
    p->groups[p->n_groups++] = (struct group){.at = from};
    return true;
}

static const struct re_node *alternative(struct parser *p, const struct group *g)
{
    const struct re_node *n = join(p, RE_CAT, g->cat, g->last);
    return n ? n : new_node(p, (struct re_node){.op = RE_EMPTY});
}

static bool close_group(struct parser *p)
{
    if (p->n_groups == 1)
        return refuse(p, ERR_FORMAT, p->at - 1, "closes a group that is not open");
    struct group *g = top(p);
    const struct re_node *n = join(p, RE_ALT, g->alt, alternative(p, g));
    p->n_groups--;
    append(p, n, true);
    return !p->failed;
}

static bool next_alternative(struct parser *p)
{
    struct group *g = top(p);
    g->alt = join(p, RE_ALT, g->alt, alternative(p, g));
    g->cat = g->last = NULL;
    g->can_repeat = false;
    return !p->failed;
}

static bool read_count(struct parser *p, uint32_t *n)
{
    uint64_t v = 0;
    size_t from = p->at;
    while (p->at < p->s.n && p->s.p[p->at] >= '0' && p->s.p[p->at] <= '9') {
        v = v * 10 + (uint64_t)(p->s.p[p->at++] - '0');
        v = v > UINT32_MAX ? UINT32_MAX : v;
    }
    *n = (uint32_t)v;
    return p->at > from;
}

/* {m}, {m,} or {m,n} behind its brace. */
static bool read_braces(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t from = p->at - 1;
    if (!read_count(p, min))
        return refuse(p, ERR_FORMAT, from, "has a brace that is no quantifier");
    *max = *min;
    if (eat(p, S(",")) && !read_count(p, max))
        *max = NET_NO_MAX;
    if (!eat(p, S("}")))
        return refuse(p, ERR_FORMAT, from, "has a brace that is no quantifier");
    if (*min > *max)
        return refuse(p, ERR_FORMAT, from, "repeats with a minimum above the maximum");
    if (*min > REGEX_REPEAT_MAX || (*max != NET_NO_MAX && *max > REGEX_REPEAT_MAX))
        return refuse(p, ERR_LIMIT, from, "repeats more than 10000 times");
    return true;
}

static bool quantify(struct parser *p, size_t from, uint32_t min, uint32_t max)
{
    struct group *g = top(p);
    if (!g->last || !g->can_repeat)
        return refuse(p, ERR_FORMAT, from, "repeats nothing");
    eat(p, S("?")); /* lazy: the same texts */
    g->last = new_node(p, (struct re_node){.op = RE_REPEAT, .a = g->last, .min = min, .max = max});
    g->can_repeat = false;
    return !p->failed;
}

static bool read_char(struct parser *p, char c)
{
    struct charset_builder b = {.arena = p->arena};
    uint32_t one;
    bool is_set = false;
    if (c == '.') {
        charset_add_named(&b, '.');
        is_set = true;
    } else if (c == '\\' && (peek(p, 'b') || peek(p, 'B'))) {
        bool is_edge = p->s.p[p->at++] == 'b';
        append(p, new_node(p, (struct re_node){.op = is_edge ? RE_EDGE : RE_INSIDE}), false);
        return !p->failed;
    } else if (c == '\\') {
        if (!read_escape(p, &b, &one, &is_set, false))
            return false;
    } else {
        p->at--;
        one = dfa_next_char(p->s, &p->at);
    }
    if (!is_set)
        charset_add(&b, one, one);
    struct charset set = charset_finish(&b, false);
    if (b.failed)
        return refuse(p, ERR_LIMIT, p->at, "is too large");
    append(p, new_node(p, (struct re_node){.op = RE_SET, .set = set}), true);
    return !p->failed;
}

static bool read_term(struct parser *p)
{
    size_t from = p->at;
    uint32_t min = 0, max = 0;
    char c = p->s.p[p->at++];
    switch (c) {
    case '|': return next_alternative(p);
    case '(': return open_group(p);
    case ')': return close_group(p);
    case '[': return read_class(p);
    case '^':
    case '$':
        append(p, new_node(p, (struct re_node){.op = c == '^' ? RE_BEGIN : RE_END}), false);
        return !p->failed;
    case '*': return quantify(p, from, 0, NET_NO_MAX);
    case '+': return quantify(p, from, 1, NET_NO_MAX);
    case '?': return quantify(p, from, 0, 1);
    case '{': return read_braces(p, &min, &max) && quantify(p, from, min, max);
    case ']':
    case '}': return refuse(p, ERR_FORMAT, from, "closes a bracket that is not open");
    default: return read_char(p, c);
    }
}

const struct re_node *regex_parse(struct arena *arena, struct str pattern, size_t *offset, struct err *err)
{
    struct parser *p = arena_new(arena, struct parser);
    *offset = 0;
    if (!p) {
        fail(err, ERR_LIMIT, "the pattern at offset 0 is too large");
        return NULL;
    }
    *p = (struct parser){.arena = arena, .s = pattern, .n_groups = 1, .err = err, .offset = offset};
    if (!str_is_utf8(pattern)) {
        fail(err, ERR_FORMAT, "the pattern at offset 0 is not UTF-8");
        return NULL;
    }
    while (p->at < pattern.n)
        if (!read_term(p))
            return NULL;
    if (p->n_groups > 1) {
        refuse(p, ERR_FORMAT, top(p)->at, "opens a group that is not closed");
        return NULL;
    }
    const struct re_node *n = join(p, RE_ALT, p->groups[0].alt, alternative(p, &p->groups[0]));
    return p->failed ? NULL : n;
}
