/* jinja_format.c - "%s" % x and "{}".format(x), as Python's. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

#define WIDTH_MAX     10000
#define PRECISION_MAX 200
#define DIGITS_MAX    640 /* of a double with PRECISION_MAX decimals */

/* One conversion, of either style. */
struct conversion {
    char type;
    char align; /* '<', '>', '^', '=' or 0 */
    char sign;  /* '+', ' ' or 0 */
    char group; /* ',' or '_' or 0 */
    bool alternate;
    struct str fill;
    int64_t width;
    int precision; /* -1: none */
};

/* What was made by a format that is data is data: padding and signs are the format's choice. */
static struct jj_value formatted(const struct jj_text *t, struct jj_value format)
{
    struct jj_value v = jj_text_value(t);
    if (format.mark != JJ_TEMPLATE) {
        v.mark = JJ_DATA;
        v.marks = NULL;
    }
    return v;
}

/* Text made by snprintf, whose decimal point may be the locale's. */
static void fix_point(char *p)
{
    for (; *p; p++)
        if (*p == ',')
            *p = '.';
}

/* Digits of |f| as C prints them with %f, %e, %g and relatives. */
static void float_digits(const struct conversion *c, double f, char out[DIGITS_MAX])
{
    char format[16];
    int precision = c->precision < 0 ? 6 : c->precision;
    snprintf(format, sizeof format, "%%%s.*%c", c->alternate ? "#" : "", c->type);
    snprintf(out, DIGITS_MAX, format, precision, fabs(f));
    fix_point(out);
}

static void int_digits(const struct conversion *c, uint64_t v, char out[DIGITS_MAX])
{
    char reverse[80];
    unsigned base = c->type == 'x' || c->type == 'X' ? 16 : c->type == 'o' ? 8 : c->type == 'b' ? 2 : 10;
    const char *digits = c->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    int n = 0, at = 0;
    do {
        reverse[n++] = digits[v % base];
        v /= base;
    } while (v);
    while (n < c->precision && n < 70)
        reverse[n++] = '0';
    if (c->alternate && base != 10) {
        out[at++] = '0';
        out[at++] = c->type;
    }
    while (n)
        out[at++] = reverse[--n];
    out[at] = 0;
}

/* Put separators between groups of three digits before the point. */
static void group_digits(char out[DIGITS_MAX], char separator)
{
    char copy[DIGITS_MAX];
    size_t n = strlen(out), whole = 0, at = 0;
    memcpy(copy, out, n + 1);
    while (copy[whole] >= '0' && copy[whole] <= '9')
        whole++;
    if (n + whole / 3 + 1 > DIGITS_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        if (i && i < whole && (whole - i) % 3 == 0)
            out[at++] = separator;
        out[at++] = copy[i];
    }
    out[at] = 0;
}

static bool pad_to(struct jj *j, struct jj_text *t, const struct conversion *c, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!jj_text_add(j, t, c->fill, JJ_TEMPLATE))
            return false;
    return true;
}

/* sign and body of a number, or text alone, in its field. */
static bool add_field(struct jj *j, struct jj_text *t, const struct conversion *c, struct str sign,
                      struct jj_value body, char align)
{
    int64_t n = (int64_t)(sign.n + jj_char_count(body.s)), pad = c->width > n ? c->width - n : 0;
    int64_t left = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
    if (!jj_spend(j, (uint64_t)pad + 1))
        return false;
    if (align == '=')
        return jj_text_add(j, t, sign, body.mark) && pad_to(j, t, c, pad) && jj_text_add_str(j, t, body);
    return pad_to(j, t, c, left) && jj_text_add(j, t, sign, body.mark ? JJ_DATA : JJ_TEMPLATE) &&
           jj_text_add_str(j, t, body) && pad_to(j, t, c, pad - left);
}

static bool add_text(struct jj *j, struct jj_text *t, const struct conversion *c, struct jj_value v,
                     char align)
{
    if (c->precision >= 0)
        v = jj_sub(v, 0, jj_char_offset(v.s, (size_t)c->precision));
    return add_field(j, t, c, S(""), v, align);
}

static bool add_number(struct jj *j, struct jj_text *t, const struct conversion *c, struct jj_value v,
                       char align)
{
    char digits[DIGITS_MAX];
    int64_t i;
    double f;
    bool is_negative, is_int = strchr("dixXobu", c->type) != NULL;
    if (is_int && jj_as_int(v, &i)) {
        is_negative = i < 0;
        int_digits(c, is_negative ? 0 - (uint64_t)i : (uint64_t)i, digits);
    } else if (is_int && jj_is(v, JJ_BIGINT)) {
        is_negative = v.s.p[0] == '-';
        snprintf(digits, sizeof digits, "%.*s", (int)(v.s.n - is_negative), v.s.p + is_negative);
    } else if (jj_as_float(v, &f)) {
        is_negative = signbit(f);
        if (isfinite(f))
            float_digits(c, f, digits);
        else
            snprintf(digits, sizeof digits, "%s",
                     c->type >= 'a' ? (isnan(f) ? "nan" : "inf")
                     : isnan(f)     ? "NAN"
                                    : "INF");
    } else {
        return jj_fail(j, "'%c' formats a number, not a %s", c->type, jj_type_name(v));
    }
    if (c->group)
        group_digits(digits, c->group);
    struct str sign = is_negative ? S("-") : c->sign == '+' ? S("+") : c->sign == ' ' ? S(" ") : S("");
    struct jj_value body = jj_str(str_c(digits));
    body.mark = v.mark ? JJ_DATA : JJ_TEMPLATE;
    return add_field(j, t, c, sign, body, align);
}

/* ---- % ---- */

struct percent {
    struct jj *j;
    struct jj_value format, args;
    size_t at;
    uint32_t next; /* the next of a tuple's values */
    bool has_used; /* a value that is not a tuple was taken */
};

static bool next_value(struct percent *p, struct jj_value *out)
{
    bool is_tuple = jj_is(p->args, JJ_TUPLE);
    if (is_tuple ? p->next >= p->args.list->n : p->has_used)
        return jj_fail(p->j, "not enough values for the format");
    *out = is_tuple ? p->args.list->v[p->next++] : p->args;
    p->has_used = true;
    return true;
}

static bool named_value(struct percent *p, struct jj_value *out)
{
    size_t end = str_find_char(p->format.s, ')', p->at);
    struct jj_entry *e;
    if (!jj_is(p->args, JJ_DICT) || end == STR_NONE)
        return jj_fail(p->j, "the format needs a dict");
    e = jj_dict_find_str(p->args.dict, str_sub(p->format.s, p->at, end));
    if (!e)
        return jj_fail(p->j, "the format names a key that is not there");
    *out = e->value;
    p->at = end + 1;
    p->has_used = true;
    return true;
}

/* A number or '*' at p->at. */
static bool percent_number(struct percent *p, int64_t max, int64_t *out)
{
    struct jj_value v;
    struct str s = p->format.s;
    if (p->at < s.n && s.p[p->at] == '*') {
        p->at++;
        if (!next_value(p, &v) || !jj_need_int(p->j, v, "a width", out))
            return false;
    } else {
        for (; p->at < s.n && s.p[p->at] >= '0' && s.p[p->at] <= '9' && *out <= max; p->at++)
            *out = *out * 10 + (s.p[p->at] - '0');
    }
    return (*out <= max && *out >= -max) ||
           jj_fail_code(p->j, ERR_LIMIT, "a width or precision is too large");
}

static bool percent_convert(struct percent *p, struct jj_text *t, struct conversion *c, struct jj_value v,
                            bool zero_pad)
{
    struct jj_text text = {0};
    char align = c->align == '<' ? '<' : '>';
    if (c->type == 's' || c->type == 'r' || c->type == 'a') {
        bool is_good = c->type == 's' ? jj_text_add_of(p->j, &text, v) : jj_text_add_repr(p->j, &text, v);
        return is_good && add_text(p->j, t, c, jj_text_value(&text), align);
    }
    if (c->type == 'c') {
        int64_t code;
        if (jj_is(v, JJ_STR) && jj_char_count(v.s) == 1)
            return add_text(p->j, t, c, v, align);
        return jj_need_int(p->j, v, "%c", &code) && jj_text_add_code(p->j, &text, (uint32_t)code, v.mark) &&
               add_text(p->j, t, c, jj_text_value(&text), align);
    }
    if (!strchr("diuxXoeEfFgG", c->type))
        return jj_fail(p->j, "unsupported format character '%c'", c->type);
    if (strchr("diu", c->type) && jj_is(v, JJ_FLOAT)) {
        if (!isfinite(v.f) || fabs(v.f) >= 9.2e18)
            return jj_fail(p->j, "a number cannot be formatted as an integer");
        v = jj_int((int64_t)v.f);
    }
    if (strchr("xXo", c->type) && !jj_is(v, JJ_INT) && !jj_is(v, JJ_BOOL))
        return jj_fail(p->j, "'%%%c' needs an integer, not a %s", c->type, jj_type_name(v));
    if (zero_pad && align != '<')
        c->fill = S("0");
    return add_number(p->j, t, c, v, zero_pad && align != '<' ? '=' : align);
}

/* Behind a '%' that is not doubled. */
static bool percent_one(struct percent *p, struct jj_text *t)
{
    struct conversion c = {.fill = S(" "), .precision = -1};
    struct jj_value v = {.type = JJ_MISSING};
    struct str s = p->format.s;
    bool zero_pad = false;
    if (p->at < s.n && s.p[p->at] == '(' && (p->at++, !named_value(p, &v)))
        return false;
    for (; p->at < s.n && s.p[p->at] && strchr("-+ #0", s.p[p->at]); p->at++) {
        char flag = s.p[p->at];
        zero_pad |= flag == '0';
        c.alternate |= flag == '#';
        if (flag == '-')
            c.align = '<';
        else if (flag == '+' || (flag == ' ' && !c.sign))
            c.sign = flag;
    }
    if (!percent_number(p, WIDTH_MAX, &c.width))
        return false;
    if (c.width < 0) {
        c.align = '<';
        c.width = -c.width;
    }
    if (p->at < s.n && s.p[p->at] == '.') {
        int64_t precision = 0;
        p->at++;
        if (!percent_number(p, PRECISION_MAX, &precision))
            return false;
        c.precision = precision < 0 ? 0 : (int)precision;
    }
    while (p->at < s.n && s.p[p->at] && strchr("hlL", s.p[p->at]))
        p->at++;
    if (p->at >= s.n)
        return jj_fail(p->j, "incomplete format");
    c.type = s.p[p->at++];
    if (c.type == '%')
        return jj_text_add(p->j, t, S("%"), JJ_TEMPLATE);
    if (jj_is(v, JJ_MISSING) && !next_value(p, &v))
        return false;
    return percent_convert(p, t, &c, v, zero_pad);
}

bool jj_percent_format(struct jj *j, struct jj_value format, struct jj_value args, struct jj_value *out)
{
    struct percent p = {.j = j, .format = format, .args = args};
    struct jj_text t = {0};
    while (p.at < format.s.n) {
        size_t next = str_find_char(format.s, '%', p.at);
        size_t end = next == STR_NONE ? format.s.n : next;
        if (!jj_text_add_sub(j, &t, format, p.at, end))
            return false;
        p.at = end;
        if (next != STR_NONE && (p.at++, !percent_one(&p, &t)))
            return false;
    }
    bool is_left_over = jj_is(args, JJ_TUPLE)
                            ? p.next < args.list->n
                            : !p.has_used && !jj_is(args, JJ_DICT) && !jj_is(args, JJ_LIST) &&
                                  !jj_is(args, JJ_ITER) && !jj_is(args, JJ_UNDEFINED);
    if (is_left_over)
        return jj_fail(j, "not all values were used by the format");
    *out = formatted(&t, format);
    return true;
}

/* ---- {} ---- */

static bool read_spec(struct jj *j, struct str s, struct conversion *c)
{
    size_t at = 0;
    *c = (struct conversion){.fill = S(" "), .precision = -1};
    size_t first = s.n ? jj_char_bytes(s, 0) : 0;
    if (s.n > first && strchr("<>^=", s.p[first])) {
        c->fill = str_sub(s, 0, first);
        c->align = s.p[first];
        at = first + 1;
    } else if (s.n && strchr("<>^=", s.p[0])) {
        c->align = s.p[at++];
    }
    if (at < s.n && s.p[at] && strchr("+- ", s.p[at])) {
        c->sign = s.p[at] == '-' ? 0 : s.p[at];
        at++;
    }
    if (at < s.n && s.p[at] == '#') {
        c->alternate = true;
        at++;
    }
    if (at < s.n && s.p[at] == '0') {
        if (!c->align) {
            c->align = '=';
            c->fill = S("0");
        }
        at++;
    }
    for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9' && c->width <= WIDTH_MAX; at++)
        c->width = c->width * 10 + (s.p[at] - '0');
    if (at < s.n && (s.p[at] == ',' || s.p[at] == '_'))
        c->group = s.p[at++];
    if (at < s.n && s.p[at] == '.') {
        c->precision = 0;
        for (at++; at < s.n && s.p[at] >= '0' && s.p[at] <= '9' && c->precision <= PRECISION_MAX; at++)
            c->precision = c->precision * 10 + (s.p[at] - '0');
    }
    if (at < s.n)
        c->type = s.p[at++];
    if (at < s.n || c->width > WIDTH_MAX || c->precision > PRECISION_MAX)
        return jj_fail(j, "a format specification is not valid: '%.*s'", STR(s));
    return true;
}

static bool format_value(struct jj *j, struct jj_text *t, struct jj_value v, struct str spec)
{
    struct conversion c;
    if (spec.n == 0)
        return jj_text_add_of(j, t, v);
    if (!read_spec(j, spec, &c))
        return false;
    if (jj_is(v, JJ_STR) && (!c.type || c.type == 's'))
        return c.align == '=' && !str_eq(c.fill, S("0")) ? jj_fail(j, "'=' cannot align text")
                                                         : add_text(j, t, &c, v,
                                                                    c.align == '=' ? '<'
                                                                    : c.align      ? c.align
                                                                                   : '<');
    if (!jj_is_number(v) && !jj_is(v, JJ_BIGINT))
        return jj_fail(j, "a %s cannot be formatted with '%.*s'", jj_type_name(v), STR(spec));
    char align = c.align ? c.align : '>';
    if (c.type == '%') {
        double f = 0;
        struct jj_text number = {0};
        struct conversion plain = c;
        jj_as_float(v, &f);
        plain.type = 'f';
        plain.width = 0;
        return add_number(j, &number, &plain, jj_float(f * 100), '>') &&
               jj_text_add(j, &number, S("%"), JJ_TEMPLATE) &&
               add_field(j, t, &c, S(""), jj_text_value(&number), align);
    }
    if (!c.type && jj_is(v, JJ_FLOAT)) {
        if (c.precision < 0) {
            struct jj_text text = {0};
            return jj_text_add_of(j, &text, v) && add_field(j, t, &c, S(""), jj_text_value(&text), align);
        }
        c.type = 'g';
    }
    if (!c.type || c.type == 'n')
        c.type = jj_is(v, JJ_FLOAT) ? 'g' : 'd';
    if (!strchr("dbxXoeEfFgG", c.type) || (strchr("dbxXo", c.type) && jj_is(v, JJ_FLOAT)))
        return jj_fail(j, "a %s cannot be formatted with '%.*s'", jj_type_name(v), STR(spec));
    if (strchr("dbxXo", c.type))
        c.precision = -1;
    return add_number(j, t, &c, v, align);
}

struct brace {
    struct jj *j;
    const struct jj_args *args;
    uint32_t next;
};

static bool first_value(struct brace *b, struct str name, struct jj_value *out)
{
    int64_t i = -1;
    if (name.n == 0)
        i = b->next++;
    else if (!str_to_i64(name, &i))
        i = -1;
    if (i >= 0) {
        if (i >= b->args->n)
            return jj_fail(b->j, "format has no argument %lld", (long long)i);
        *out = b->args->v[i];
        return true;
    }
    for (uint32_t k = 0; k < b->args->n_kw; k++) {
        if (str_eq(b->args->kw[k].name, name)) {
            *out = b->args->kw[k].value;
            return true;
        }
    }
    return jj_fail(b->j, "format has no argument '%.*s'", STR(name));
}

/* name.attr[item]... */
static bool field_value(struct brace *b, struct str field, struct jj_value *out)
{
    size_t at = 0;
    while (at < field.n && field.p[at] != '.' && field.p[at] != '[')
        at++;
    if (!first_value(b, str_sub(field, 0, at), out))
        return false;
    while (at < field.n) {
        bool is_item = field.p[at] == '[';
        size_t end = ++at;
        int64_t i;
        while (end < field.n && (is_item ? field.p[end] != ']' : field.p[end] != '.' && field.p[end] != '['))
            end++;
        struct str part = str_sub(field, at, end);
        struct jj_value key = is_item && str_to_i64(part, &i) ? jj_int(i) : jj_str(part);
        bool is_good = is_item ? jj_get_item(b->j, *out, key, out) : jj_get_attr(b->j, *out, part, out);
        if (!is_good)
            return false;
        at = end + is_item;
    }
    return true;
}

static bool brace_field(struct brace *b, struct jj_text *t, struct str inside)
{
    struct str field = inside, spec = S("");
    struct jj_value v, plain;
    size_t colon = str_find_char(inside, ':', 0);
    char convert = 0;
    if (colon != STR_NONE) {
        field = str_sub(inside, 0, colon);
        spec = str_sub(inside, colon + 1, inside.n);
    }
    if (field.n >= 2 && field.p[field.n - 2] == '!') {
        convert = field.p[field.n - 1];
        field.n -= 2;
    }
    if (!field_value(b, field, &v))
        return false;
    if (convert) {
        struct jj_text text = {0};
        if (!(convert == 's' ? jj_text_add_of(b->j, &text, v) : jj_text_add_repr(b->j, &text, v)))
            return false;
        v = jj_text_value(&text);
    }
    plain = v;
    return format_value(b->j, t, plain, spec);
}

bool jj_brace_format(struct jj *j, struct jj_value format, const struct jj_args *args, struct jj_value *out)
{
    struct brace b = {.j = j, .args = args};
    struct jj_text t = {0};
    struct str s = format.s;
    for (size_t at = 0; at < s.n;) {
        char c = s.p[at];
        bool is_brace = c == '{' || c == '}';
        if (is_brace && at + 1 < s.n && s.p[at + 1] == c) {
            if (!jj_text_add_sub(j, &t, format, at, at + 1))
                return false;
            at += 2;
        } else if (c == '{') {
            size_t end = str_find_char(s, '}', at);
            if (end == STR_NONE)
                return jj_fail(j, "a '{' in a format has no '}'");
            if (!brace_field(&b, &t, str_sub(s, at + 1, end)))
                return false;
            at = end + 1;
        } else if (c == '}') {
            return jj_fail(j, "a '}' in a format stands alone");
        } else {
            if (!jj_text_add_sub(j, &t, format, at, at + 1))
                return false;
            at++;
        }
    }
    *out = formatted(&t, format);
    return true;
}
