/* jinja_text.c - Text with marks: building it, and str(), repr() and json.dumps() of values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

/* ---- building ---- */

static bool text_reserve(struct jj *j, struct jj_text *t, size_t n)
{
    if (n <= t->cap - t->n)
        return true;
    if (n > j->out_bytes_max || t->n > j->out_bytes_max - n)
        return jj_fail_code(j, ERR_LIMIT, "the template makes a text of more than %zu bytes",
                            j->out_bytes_max);
    size_t cap = t->cap ? t->cap : 64;
    while (cap - t->n < n)
        cap *= 2;
    char *p = arena_alloc(j->arena, cap);
    uint8_t *marks = t->marks ? arena_alloc(j->arena, cap) : NULL;
    if (!p || (t->marks && !marks))
        return jj_no_memory(j);
    if (t->n)
        memcpy(p, t->p, t->n);
    if (marks)
        memcpy(marks, t->marks, t->n);
    t->p = p;
    t->marks = marks;
    t->cap = cap;
    return true;
}

/* From now on each byte has a mark of its own. */
static bool text_mix(struct jj *j, struct jj_text *t)
{
    if (t->marks)
        return true;
    t->marks = arena_alloc(j->arena, t->cap);
    if (!t->marks)
        return jj_no_memory(j);
    memset(t->marks, t->mark, t->n);
    return true;
}

bool jj_text_add(struct jj *j, struct jj_text *t, struct str s, uint8_t mark)
{
    if (s.n == 0)
        return true;
    if (!jj_spend(j, s.n / 16) || !text_reserve(j, t, s.n))
        return false;
    if (t->n == 0 && !t->marks)
        t->mark = mark;
    if (mark != t->mark && !text_mix(j, t))
        return false;
    memcpy(t->p + t->n, s.p, s.n);
    if (t->marks)
        memset(t->marks + t->n, mark, s.n);
    t->n += s.n;
    return true;
}

bool jj_text_add_sub(struct jj *j, struct jj_text *t, struct jj_value v, size_t from, size_t to)
{
    if (v.mark != JJ_MIXED)
        return jj_text_add(j, t, str_sub(v.s, from, to), v.mark);
    while (from < to) {
        size_t end = from + 1;
        while (end < to && v.marks[end] == v.marks[from])
            end++;
        if (!jj_text_add(j, t, str_sub(v.s, from, end), v.marks[from]))
            return false;
        from = end;
    }
    return true;
}

bool jj_text_add_str(struct jj *j, struct jj_text *t, struct jj_value v)
{
    return jj_text_add_sub(j, t, v, 0, v.s.n);
}

bool jj_text_add_code(struct jj *j, struct jj_text *t, uint32_t code, uint8_t mark)
{
    char bytes[4];
    return jj_text_add(j, t, str_of(bytes, jj_utf8_write(bytes, code)), mark);
}

struct jj_value jj_text_value(const struct jj_text *t)
{
    struct jj_value v = jj_str(str_of(t->p ? t->p : "", t->n));
    v.mark = t->marks ? JJ_MIXED : t->mark;
    v.marks = t->marks;
    return v;
}

struct jj_value jj_sub(struct jj_value v, size_t from, size_t to)
{
    if (v.mark == JJ_MIXED)
        v.marks += from < v.s.n ? from : 0;
    v.s = str_sub(v.s, from, to);
    return v;
}

size_t jj_char_count(struct str s)
{
    size_t n = 0;
    for (size_t at = 0; at < s.n; at += jj_char_bytes(s, at))
        n++;
    return n;
}

size_t jj_char_offset(struct str s, size_t i)
{
    size_t at = 0;
    while (i > 0 && at < s.n) {
        at += jj_char_bytes(s, at);
        i--;
    }
    return at;
}

/* ---- numbers ---- */

/* The fewest digits that read back as the same double; *exp10 is that of the first digit. */
static int shortest_digits(double f, char digits[24], int *exp10)
{
    char text[40];
    for (int precision = 0;; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, f);
        if (precision == 16 || strtod(text, NULL) == f)
            break;
    }
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++) /* whatever the locale puts between the digits is skipped */
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    int sign = p[1] == '-' ? -1 : 1, exp = 0;
    for (p += 2; *p >= '0' && *p <= '9'; p++)
        exp = exp * 10 + (*p - '0');
    *exp10 = sign * exp;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

size_t jj_float_repr(char out[JJ_FLOAT_TEXT_MAX], double f)
{
    if (isnan(f))
        return (size_t)snprintf(out, JJ_FLOAT_TEXT_MAX, "nan");
    if (isinf(f))
        return (size_t)snprintf(out, JJ_FLOAT_TEXT_MAX, f < 0 ? "-inf" : "inf");
    char digits[24];
    int exp = 0;
    size_t n = 0;
    if (signbit(f)) {
        out[n++] = '-';
        f = -f;
    }
    int n_digits = shortest_digits(f, digits, &exp);
    if (exp < -4 || exp >= 16) {
        out[n++] = digits[0];
        if (n_digits > 1)
            out[n++] = '.';
        for (int i = 1; i < n_digits; i++)
            out[n++] = digits[i];
        return n + (size_t)snprintf(out + n, JJ_FLOAT_TEXT_MAX - n, "e%c%02d", exp < 0 ? '-' : '+',
                                    exp < 0 ? -exp : exp);
    }
    if (exp < 0) {
        out[n++] = '0';
        out[n++] = '.';
        for (int i = -1; i > exp; i--)
            out[n++] = '0';
    }
    for (int i = 0; i < n_digits || i <= exp; i++) {
        if (exp >= 0 && i == exp + 1)
            out[n++] = '.';
        out[n++] = i < n_digits ? digits[i] : '0';
    }
    if (exp >= 0 && n_digits <= exp + 1) {
        out[n++] = '.';
        out[n++] = '0';
    }
    return n;
}

/* ---- str() and repr() ---- */

static bool add_z(struct jj *j, struct jj_text *t, const char *z, uint8_t mark)
{
    return jj_text_add(j, t, str_c(z), mark);
}

static bool add_repr_at(struct jj *j, struct jj_text *t, struct jj_value v, int depth);

static bool add_repr_of_str(struct jj *j, struct jj_text *t, struct jj_value v)
{
    bool has_single = str_find_char(v.s, '\'', 0) != STR_NONE;
    char quote = has_single && str_find_char(v.s, '"', 0) == STR_NONE ? '"' : '\'';
    uint8_t outer = v.mark == JJ_MIXED ? JJ_DATA : v.mark;
    if (!jj_text_add(j, t, v.is_markup ? S("Markup(") : S(""), JJ_TEMPLATE) ||
        !jj_text_add(j, t, str_of(&quote, 1), outer))
        return false;
    for (size_t at = 0, n; at < v.s.n; at += n) {
        n = jj_char_bytes(v.s, at);
        uint32_t code = jj_code_at(v.s, at);
        char escape[16] = {0};
        if (code == (uint32_t)quote || code == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)code);
        else if (code == '\n' || code == '\r' || code == '\t')
            snprintf(escape, sizeof escape, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
        else if (code < 0x20 || code == 0x7f || (code >= 0x80 && !jj_is_printable(code)))
            snprintf(escape, sizeof escape,
                     code < 0x100     ? "\\x%02x"
                     : code < 0x10000 ? "\\u%04x"
                                      : "\\U%08x",
                     code);
        if (escape[0] ? !add_z(j, t, escape, jj_mark_at(v, at)) : !jj_text_add_sub(j, t, v, at, at + n))
            return false;
    }
    return jj_text_add(j, t, str_of(&quote, 1), outer) &&
           jj_text_add(j, t, v.is_markup ? S(")") : S(""), JJ_TEMPLATE);
}

static bool add_repr_of_items(struct jj *j, struct jj_text *t, const struct jj_list *l, const char *open,
                              const char *close, int depth)
{
    if (!add_z(j, t, open, l->mark))
        return false;
    for (uint32_t i = 0; i < l->n; i++)
        if ((i && !add_z(j, t, ", ", l->mark)) || !add_repr_at(j, t, l->v[i], depth + 1))
            return false;
    return add_z(j, t, close, l->mark);
}

static bool add_repr_of_dict(struct jj *j, struct jj_text *t, const struct jj_dict *d, int depth)
{
    if (!add_z(j, t, "{", d->mark))
        return false;
    for (uint32_t i = 0; i < d->n; i++)
        if ((i && !add_z(j, t, ", ", d->mark)) || !add_repr_at(j, t, d->e[i].key, depth + 1) ||
            !add_z(j, t, ": ", d->mark) || !add_repr_at(j, t, d->e[i].value, depth + 1))
            return false;
    return add_z(j, t, "}", d->mark);
}

static bool add_repr_of_iter(struct jj *j, struct jj_text *t, const struct jj_iter *it, int depth)
{
    char text[80];
    switch (it->kind) {
    case JJ_RANGE:
        snprintf(text, sizeof text, it->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                 (long long)it->start, (long long)it->stop, (long long)it->step);
        return add_z(j, t, text, JJ_TEMPLATE);
    case JJ_KEYS: return add_repr_of_items(j, t, it->list, "dict_keys([", "])", depth);
    case JJ_VALUES: return add_repr_of_items(j, t, it->list, "dict_values([", "])", depth);
    case JJ_ITEMS: return add_repr_of_items(j, t, it->list, "dict_items([", "])", depth);
    default: return add_z(j, t, "<generator object>", JJ_TEMPLATE);
    }
}

static bool add_repr_at(struct jj *j, struct jj_text *t, struct jj_value v, int depth)
{
    char number[JJ_FLOAT_TEXT_MAX];
    if (depth > JJ_VALUE_DEPTH_MAX)
        return jj_fail_code(j, ERR_LIMIT, "values are nested too deeply to print");
    if (!jj_spend(j, 1))
        return false;
    switch (v.type) {
    case JJ_MISSING: return true;
    case JJ_UNDEFINED: return depth == 0 || add_z(j, t, "Undefined", JJ_TEMPLATE);
    case JJ_NONE: return add_z(j, t, "None", v.mark);
    case JJ_BOOL: return add_z(j, t, v.b ? "True" : "False", v.mark);
    case JJ_INT: snprintf(number, sizeof number, "%lld", (long long)v.i); return add_z(j, t, number, v.mark);
    case JJ_BIGINT: return jj_text_add(j, t, v.s, v.mark);
    case JJ_FLOAT: return jj_text_add(j, t, str_of(number, jj_float_repr(number, v.f)), v.mark);
    case JJ_STR: return add_repr_of_str(j, t, v);
    case JJ_LIST: return add_repr_of_items(j, t, v.list, "[", "]", depth);
    case JJ_TUPLE: return add_repr_of_items(j, t, v.list, "(", v.list->n == 1 ? ",)" : ")", depth);
    case JJ_DICT: return add_repr_of_dict(j, t, v.dict, depth);
    case JJ_NAMESPACE:
        return add_z(j, t, "<Namespace ", JJ_TEMPLATE) && add_repr_of_dict(j, t, v.dict, depth) &&
               add_z(j, t, ">", JJ_TEMPLATE);
    case JJ_ITER: return add_repr_of_iter(j, t, v.iter, depth);
    default:
        return add_z(j, t, "<", JJ_TEMPLATE) && add_z(j, t, jj_type_name(v), JJ_TEMPLATE) &&
               add_z(j, t, ">", JJ_TEMPLATE);
    }
}

bool jj_text_add_repr(struct jj *j, struct jj_text *t, struct jj_value v)
{
    if (jj_is(v, JJ_UNDEFINED))
        return add_z(j, t, "Undefined", JJ_TEMPLATE);
    return add_repr_at(j, t, v, 0);
}

bool jj_text_add_of(struct jj *j, struct jj_text *t, struct jj_value v)
{
    return jj_is(v, JJ_STR) ? jj_text_add_str(j, t, v) : add_repr_at(j, t, v, 0);
}

bool jj_str_of(struct jj *j, struct jj_value v, struct jj_value *out)
{
    struct jj_text t = {0};
    *out = v;
    if (jj_is(v, JJ_STR))
        return true;
    if (!jj_text_add_of(j, &t, v))
        return false;
    *out = jj_text_value(&t);
    return true;
}

/* ---- json.dumps() ---- */

static bool add_json_str(struct jj *j, struct jj_text *t, struct jj_value v, bool ensure_ascii)
{
    uint8_t outer = v.mark == JJ_MIXED ? JJ_DATA : v.mark;
    size_t run = 0; /* bytes from here on need no escape and are not yet added */
    if (!add_z(j, t, "\"", outer))
        return false;
    for (size_t at = 0, n; at < v.s.n; at += n) {
        static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
        unsigned char c = (unsigned char)v.s.p[at];
        char escape[16] = {0};
        n = 1;
        const char *known = c && c < 0x80 ? strchr(plain, c) : NULL;
        if (known) {
            snprintf(escape, sizeof escape, "\\%c", letters[known - plain]);
        } else if (c < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", c);
        } else if (c >= 0x80 && ensure_ascii) {
            uint32_t code = jj_code_at(v.s, at);
            n = jj_char_bytes(v.s, at);
            if (code < 0x10000)
                snprintf(escape, sizeof escape, "\\u%04x", code);
            else
                snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
                         0xdc00 + ((code - 0x10000) & 0x3ff));
        }
        if (!escape[0])
            continue;
        if (!jj_text_add_sub(j, t, v, run, at) || !add_z(j, t, escape, jj_mark_at(v, at)))
            return false;
        run = at + n;
    }
    return jj_text_add_sub(j, t, v, run, v.s.n) && add_z(j, t, "\"", outer);
}

/* The separator between items.  White space and commas of a list that came as input are data
 * like the rest of it, so that the whole stays one segment. */
static bool add_separator(struct jj *j, struct jj_text *t, struct jj_value separator, uint8_t mark)
{
    return mark ? jj_text_add(j, t, separator.s, mark) : jj_text_add_str(j, t, separator);
}

static bool add_json_line(struct jj *j, struct jj_text *t, const struct jj_dumps *how, int depth,
                          uint8_t mark)
{
    if (!how->has_indent)
        return true;
    if (!add_z(j, t, "\n", mark))
        return false;
    for (int i = 0; i < depth; i++)
        if (!add_separator(j, t, how->indent, mark))
            return false;
    return true;
}

static bool add_json_at(struct jj *j, struct jj_text *t, struct jj_value v, const struct jj_dumps *how,
                        int depth);

static bool add_json_list(struct jj *j, struct jj_text *t, const struct jj_list *l,
                          const struct jj_dumps *how, int depth)
{
    if (l->n == 0)
        return add_z(j, t, "[]", l->mark);
    if (!add_z(j, t, "[", l->mark) || !add_json_line(j, t, how, depth + 1, l->mark))
        return false;
    for (uint32_t i = 0; i < l->n; i++) {
        if (i && (!add_separator(j, t, how->item_separator, l->mark) ||
                  !add_json_line(j, t, how, depth + 1, l->mark)))
            return false;
        if (!add_json_at(j, t, l->v[i], how, depth + 1))
            return false;
    }
    return add_json_line(j, t, how, depth, l->mark) && add_z(j, t, "]", l->mark);
}

static bool add_json_key(struct jj *j, struct jj_text *t, struct jj_value key, const struct jj_dumps *how)
{
    struct jj_text text = {0};
    if (jj_is(key, JJ_STR))
        return add_json_str(j, t, key, how->ensure_ascii);
    if (!jj_is_number(key) && !jj_is(key, JJ_BIGINT) && !jj_is(key, JJ_NONE))
        return jj_fail(j, "a %s cannot be a key in JSON", jj_type_name(key));
    return add_json_at(j, &text, key, how, 0) && add_json_str(j, t, jj_text_value(&text), how->ensure_ascii);
}

static bool sorted_entries(struct jj *j, struct jj_dict *d, struct jj_list **out)
{
    struct jj_list *l, *keys;
    if (!jj_dict_keys(j, d, JJ_ITEMS, &l) || !jj_dict_keys(j, d, JJ_KEYS, &keys))
        return false;
    *out = l;
    return jj_sort(j, l, keys->v, false);
}

static bool add_json_dict(struct jj *j, struct jj_text *t, struct jj_dict *d, const struct jj_dumps *how,
                          int depth)
{
    struct jj_list *sorted = NULL;
    if (how->is_plain && d->as_written.n && !j->input_has_changed)
        return jj_text_add(j, t, d->as_written, d->mark);
    if (d->n == 0)
        return add_z(j, t, "{}", d->mark);
    if (how->sort_keys && !sorted_entries(j, d, &sorted))
        return false;
    if (!add_z(j, t, "{", d->mark) || !add_json_line(j, t, how, depth + 1, d->mark))
        return false;
    for (uint32_t i = 0; i < d->n; i++) {
        struct jj_value key = sorted ? sorted->v[i].list->v[0] : d->e[i].key;
        struct jj_value value = sorted ? sorted->v[i].list->v[1] : d->e[i].value;
        if (i && (!add_separator(j, t, how->item_separator, d->mark) ||
                  !add_json_line(j, t, how, depth + 1, d->mark)))
            return false;
        if (!add_json_key(j, t, key, how) || !add_separator(j, t, how->key_separator, d->mark) ||
            !add_json_at(j, t, value, how, depth + 1))
            return false;
    }
    return add_json_line(j, t, how, depth, d->mark) && add_z(j, t, "}", d->mark);
}

static bool add_json_at(struct jj *j, struct jj_text *t, struct jj_value v, const struct jj_dumps *how,
                        int depth)
{
    if (depth > JJ_VALUE_DEPTH_MAX)
        return jj_fail_code(j, ERR_LIMIT, "values are nested too deeply for tojson");
    if (!jj_spend(j, 1))
        return false;
    switch (v.type) {
    case JJ_NONE: return add_z(j, t, "null", v.mark);
    case JJ_BOOL: return add_z(j, t, v.b ? "true" : "false", v.mark);
    case JJ_FLOAT:
        if (isnan(v.f))
            return add_z(j, t, "NaN", v.mark);
        if (isinf(v.f))
            return add_z(j, t, v.f < 0 ? "-Infinity" : "Infinity", v.mark);
        return add_repr_at(j, t, v, 0);
    case JJ_INT:
    case JJ_BIGINT: return add_repr_at(j, t, v, 0);
    case JJ_STR: return add_json_str(j, t, v, how->ensure_ascii);
    case JJ_LIST:
    case JJ_TUPLE: return add_json_list(j, t, v.list, how, depth);
    case JJ_DICT: return add_json_dict(j, t, v.dict, how, depth);
    case JJ_UNDEFINED: return jj_fail(j, "tojson: %.*s", STR(v.s));
    default: return jj_fail(j, "a %s cannot be written as JSON", jj_type_name(v));
    }
}

bool jj_to_json(struct jj *j, struct jj_text *t, struct jj_value v, const struct jj_dumps *how)
{
    return add_json_at(j, t, v, how, 0);
}
