/* jinja_filters.c - Finding and calling built-ins; the filters that work on text and numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

/* ---- calling with named parameters ---- */

struct spec_param {
    struct str name;
    bool is_optional;
};

static int read_spec(const char *spec, struct spec_param params[JJ_ARGS_MAX])
{
    struct str rest = str_c(spec), part;
    int n = 0;
    while (rest.n && str_split(&rest, ' ', &part)) {
        bool is_optional = part.n && part.p[part.n - 1] == '?';
        params[n++] = (struct spec_param){str_sub(part, 0, part.n - is_optional), is_optional};
    }
    return n;
}

static bool bind(struct jj *j, const struct jj_builtin *f, const struct jj_args *args,
                 struct jj_value bound[JJ_ARGS_MAX])
{
    struct spec_param params[JJ_ARGS_MAX];
    int n = read_spec(f->spec, params);
    for (int i = 0; i < JJ_ARGS_MAX; i++)
        bound[i] = (struct jj_value){.type = JJ_MISSING};
    if (args->n > (uint32_t)n)
        return jj_fail(j, "'%s' takes at most %d arguments, got %u", f->name, n, args->n);
    for (uint32_t i = 0; i < args->n; i++)
        bound[i] = args->v[i];
    for (uint32_t k = 0; k < args->n_kw; k++) {
        int i = 0;
        while (i < n && !str_eq(params[i].name, args->kw[k].name))
            i++;
        if (i == n || !jj_is(bound[i], JJ_MISSING))
            return jj_fail(j, "'%s' cannot take the argument '%.*s'", f->name, STR(args->kw[k].name));
        bound[i] = args->kw[k].value;
    }
    for (int i = 0; i < n; i++)
        if (jj_is(bound[i], JJ_MISSING) && !params[i].is_optional)
            return jj_fail(j, "'%s' needs its argument '%.*s'", f->name, STR(params[i].name));
    return true;
}

bool jj_run_builtin(struct jj *j, const struct jj_builtin *f, struct jj_value self,
                    const struct jj_args *args, struct jj_value *out)
{
    struct jj_value bound[JJ_ARGS_MAX];
    if (!f->spec)
        return f->raw(j, self, args, out);
    return bind(j, f, args, bound) && f->bound(j, self, bound, out);
}

const struct jj_builtin *jj_find_filter(struct str name)
{
    const struct jj_builtin *const tables[] = {jj_text_filters, jj_sequence_filters};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct jj_builtin *f = tables[t]; f->name; f++)
            if (str_eq(name, str_c(f->name)))
                return f;
    return NULL;
}

bool jj_apply_filter(struct jj *j, struct str name, struct jj_value v, const struct jj_args *args,
                     struct jj_value *out)
{
    const struct jj_builtin *f = jj_find_filter(name);
    if (!f)
        return jj_fail(j, "there is no filter '%.*s'", STR(name));
    return jj_run_builtin(j, f, v, args, out);
}

#define FILTER(fn) static bool fn(struct jj *j, struct jj_value v, struct jj_value *a, struct jj_value *out)

/* ---- text ---- */

static bool case_filter(struct jj *j, struct jj_value v, enum jj_case how, struct jj_value *out)
{
    return jj_str_of(j, v, &v) && jj_str_case(j, v, how, out);
}
FILTER(do_upper)
{
    (void)a;
    return case_filter(j, v, JJ_UPPER, out);
}
FILTER(do_lower)
{
    (void)a;
    return case_filter(j, v, JJ_LOWER, out);
}

/* str.capitalize and this filter agree except for title-case letters, where both title. */
FILTER(do_capitalize)
{
    (void)a;
    return case_filter(j, v, JJ_CAPITALIZE, out);
}

static size_t title_border(struct str s, size_t at)
{
    char c = s.p[at];
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' ? 1 : jj_space_at(s, at);
}

/* Jinja's own idea of words: they begin after runs of white space, '-' and opening brackets. */
FILTER(do_title)
{
    (void)a;
    struct jj_text t = {0};
    struct jj_value part;
    if (!jj_str_of(j, v, &v))
        return false;
    for (size_t at = 0, end; at < v.s.n; at = end) {
        size_t first = jj_char_bytes(v.s, at);
        bool is_border = title_border(v.s, at) > 0;
        for (end = at + first; end < v.s.n && (title_border(v.s, end) > 0) == is_border;)
            end += jj_char_bytes(v.s, end);
        if (!jj_str_case(j, jj_sub(v, at, at + first), JJ_UPPER, &part) || !jj_text_add_str(j, &t, part) ||
            !jj_str_case(j, jj_sub(v, at + first, end), JJ_LOWER, &part) || !jj_text_add_str(j, &t, part))
            return false;
    }
    *out = jj_text_value(&t);
    return true;
}

FILTER(do_trim)
{
    return jj_str_of(j, v, &v) && jj_str_strip(j, v, a[0], true, true, out);
}

FILTER(do_replace)
{
    int64_t count = -1;
    struct jj_value old, new_text;
    if (!jj_str_of(j, v, &v) || !jj_str_of(j, a[0], &old) || !jj_str_of(j, a[1], &new_text))
        return false;
    if (!jj_is(a[2], JJ_MISSING) && !jj_is(a[2], JJ_NONE) && !jj_need_int(j, a[2], "count", &count))
        return false;
    return jj_str_replace(j, v, old, new_text, count, out);
}

FILTER(do_string)
{
    (void)a;
    return jj_str_of(j, v, out);
}

static bool spaces(struct jj *j, int64_t n, struct jj_value *out)
{
    return jj_binary(j, JJT_MUL, jj_str(S(" ")), jj_int(n), out);
}

FILTER(do_indent)
{
    struct jj_value by = jj_str(S("    "));
    struct jj_list *lines;
    struct jj_text t = {0};
    if (!jj_need_str(j, v, "what is indented", &v))
        return false;
    if (jj_is(a[0], JJ_STR))
        by = a[0];
    else if (!jj_is(a[0], JJ_MISSING)) {
        int64_t n;
        if (!jj_need_int(j, a[0], "the width", &n) || !spaces(j, n, &by))
            return false;
    }
    /* A newline is added first, so that a last line that is empty is seen as one. */
    if (!jj_text_add_str(j, &t, v) || !jj_text_add(j, &t, S("\n"), JJ_TEMPLATE) ||
        !jj_str_lines(j, jj_text_value(&t), false, &lines))
        return false;
    t = (struct jj_text){0};
    bool first = jj_truth(a[1]), blank = jj_truth(a[2]);
    for (uint32_t i = 0; i < lines->n; i++) {
        bool is_indented = i ? blank || lines->v[i].s.n : first;
        if ((i && !jj_text_add(j, &t, S("\n"), JJ_TEMPLATE)) ||
            (is_indented && !jj_text_add_str(j, &t, by)) || !jj_text_add_str(j, &t, lines->v[i]))
            return false;
    }
    *out = jj_text_value(&t);
    return true;
}

FILTER(do_truncate)
{
    int64_t length = 255, leeway = 5;
    struct jj_value end = jj_is(a[2], JJ_MISSING) ? jj_str(S("...")) : a[2];
    int64_t n;
    if (!jj_length(j, v, &n) || !jj_need_str(j, end, "the end", &end) ||
        (!jj_is(a[0], JJ_MISSING) && !jj_need_int(j, a[0], "length", &length)) ||
        (!jj_is(a[3], JJ_MISSING) && !jj_is(a[3], JJ_NONE) && !jj_need_int(j, a[3], "leeway", &leeway)))
        return false;
    int64_t keep = length - (int64_t)jj_char_count(end.s);
    if (keep < 0 || leeway < 0)
        return jj_fail(j, "truncate: the length is less than that of the end mark");
    *out = v;
    if (n <= length + leeway)
        return true;
    if (!jj_need_str(j, v, "what is truncated", &v))
        return false;
    size_t cut = jj_char_offset(v.s, (size_t)keep);
    if (!jj_truth(a[1]))
        for (size_t i = cut; i-- > 0;)
            if (v.s.p[i] == ' ') {
                cut = i;
                break;
            }
    return jj_binary(j, JJT_ADD, jj_sub(v, 0, cut), end, out);
}

FILTER(do_center)
{
    int64_t width = 80;
    if (!jj_is(a[0], JJ_MISSING) && !jj_need_int(j, a[0], "the width", &width))
        return false;
    struct jj_value fill = {.type = JJ_MISSING};
    return jj_str_of(j, v, &v) && jj_str_center(j, v, width, fill, 0, out);
}

FILTER(do_wordcount)
{
    (void)a;
    int64_t n = 0;
    bool is_inside = false;
    if (!jj_str_of(j, v, &v))
        return false;
    for (size_t at = 0; at < v.s.n; at += jj_char_bytes(v.s, at)) {
        uint32_t code = jj_code_at(v.s, at);
        bool is_word = code == '_' || jj_is_alnum(code);
        n += is_word && !is_inside;
        is_inside = is_word;
    }
    *out = jj_int(n);
    return jj_spend(j, v.s.n / 8);
}

static bool do_format(struct jj *j, struct jj_value v, const struct jj_args *args, struct jj_value *out)
{
    struct jj_value with;
    if (!jj_str_of(j, v, &v))
        return false;
    if (args->n && args->n_kw)
        return jj_fail(j, "format takes either positional or named arguments");
    if (args->n_kw) {
        struct jj_dict *d = jj_dict_new(j);
        for (uint32_t i = 0; d && i < args->n_kw; i++)
            if (!jj_dict_set(j, d, jj_str(args->kw[i].name), args->kw[i].value))
                return false;
        with = (struct jj_value){.type = JJ_DICT, .dict = d};
        return d && jj_percent_format(j, v, with, out);
    }
    struct jj_list *l = jj_list_new(j, args->n);
    for (uint32_t i = 0; l && i < args->n; i++)
        l->v[l->n++] = args->v[i];
    return l && jj_percent_format(j, v, jj_of_list(l, JJ_TUPLE), out);
}

static bool escape_all(struct jj *j, struct jj_value v, struct jj_value *out)
{
    struct jj_text t = {0};
    static const struct {
        char c;
        const char *to;
    } pairs[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    for (size_t at = 0; at < v.s.n; at++) {
        const char *to = NULL;
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if (pairs[i].c == v.s.p[at])
                to = pairs[i].to;
        if (to ? !jj_text_add(j, &t, str_c(to), jj_mark_at(v, at)) : !jj_text_add_sub(j, &t, v, at, at + 1))
            return false;
    }
    *out = jj_text_value(&t);
    out->is_markup = true;
    return true;
}

bool jj_escape(struct jj *j, struct jj_value s, struct jj_value *out)
{
    *out = s;
    return s.is_markup || escape_all(j, s, out);
}

FILTER(do_escape)
{
    (void)a;
    return jj_str_of(j, v, &v) && jj_escape(j, v, out);
}

FILTER(do_forceescape)
{
    (void)a;
    return jj_str_of(j, v, &v) && escape_all(j, v, out);
}

FILTER(do_safe)
{
    (void)a;
    if (!jj_str_of(j, v, out))
        return false;
    out->is_markup = true;
    return true;
}

FILTER(do_tojson)
{
    struct jj_dumps how = {.ensure_ascii = jj_truth(a[0]),
                           .sort_keys = jj_truth(a[3]),
                           .item_separator = jj_str(S(", ")),
                           .key_separator = jj_str(S(": "))};
    struct jj_value indent = a[1];
    struct jj_text t = {0};
    if (!jj_is(indent, JJ_MISSING) && !jj_is(indent, JJ_NONE)) {
        int64_t n;
        how.has_indent = true;
        how.item_separator = jj_str(S(","));
        if (!jj_is(indent, JJ_STR) && (!jj_need_int(j, indent, "indent", &n) || !spaces(j, n, &indent)))
            return false;
        how.indent = indent;
    }
    if (!jj_is(a[2], JJ_MISSING) && !jj_is(a[2], JJ_NONE)) {
        struct jj_list *l;
        if (!jj_items_of(j, a[2], &l))
            return false;
        if (l->n != 2 || !jj_is(l->v[0], JJ_STR) || !jj_is(l->v[1], JJ_STR))
            return jj_fail(j, "separators must be two texts");
        how.item_separator = l->v[0];
        how.key_separator = l->v[1];
    }
    how.is_plain = !how.ensure_ascii && !how.sort_keys && !how.has_indent &&
                   str_eq(how.item_separator.s, S(", ")) && str_eq(how.key_separator.s, S(": "));
    if (!jj_to_json(j, &t, v, &how))
        return false;
    *out = jj_text_value(&t);
    return true;
}

/* Not Jinja's, but some templates expect it: JSON text to a value. */
FILTER(do_from_json)
{
    (void)a;
    struct json_doc doc;
    struct err why = {0};
    if (!jj_need_str(j, v, "JSON", &v) || !jj_spend(j, v.s.n))
        return false;
    if (json_parse(&doc, j->arena, v.s, &why) != OK)
        return why.code == ERR_NOMEM ? jj_no_memory(j) : jj_fail(j, "from_json: %s", why.text);
    return jj_from_json(j, json_root(&doc), out);
}

/* ---- numbers ---- */

/* Python's int(text, base), without white space around it; digits beyond 64 bits stay text. */
static bool int_from_text(struct jj *j, struct str s, int base, struct jj_value *out, bool *is_good)
{
    struct str digits = s;
    bool is_negative = false;
    char clean[512];
    size_t n = 0;
    *is_good = false;
    if (digits.n && (digits.p[0] == '-' || digits.p[0] == '+')) {
        is_negative = digits.p[0] == '-';
        digits = str_sub(digits, 1, digits.n);
    }
    if (digits.n > 2 && digits.p[0] == '0') {
        char c = (char)(digits.p[1] | 0x20);
        int of = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (of && (base == of || base == 0)) {
            base = of;
            digits = str_sub(digits, 2, digits.n);
        }
    }
    if (base == 0)
        base = 10;
    uint64_t value = 0;
    bool has_overflow = false;
    for (size_t i = 0; i < digits.n; i++) {
        char c = digits.p[i];
        int d = c >= '0' && c <= '9'                     ? c - '0'
                : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                         : 99;
        if (c == '_' && i > 0 && i + 1 < digits.n && digits.p[i - 1] != '_')
            continue;
        if (d >= base || n == sizeof clean)
            return true;
        clean[n++] = c;
        has_overflow |= __builtin_mul_overflow(value, (uint64_t)base, &value) ||
                        __builtin_add_overflow(value, (uint64_t)d, &value);
    }
    if (n == 0)
        return true;
    *is_good = true;
    if (!has_overflow && value <= (uint64_t)INT64_MAX + is_negative) {
        *out = jj_int(is_negative ? (int64_t)(0 - value) : (int64_t)value);
        return true;
    }
    if (base != 10)
        return jj_fail(j, "an integer is beyond 64 bits");
    size_t zeros = 0;
    while (zeros + 1 < n && clean[zeros] == '0')
        zeros++;
    struct str text =
        arena_printf(j->arena, "%s%.*s", is_negative ? "-" : "", (int)(n - zeros), clean + zeros);
    *out = (struct jj_value){.type = JJ_BIGINT, .s = text};
    return text.p || jj_no_memory(j);
}

/* Python's float(text). */
static bool float_from_text(struct str s, double *out)
{
    s = str_trim(s);
    struct str word = s;
    bool is_negative = word.n && word.p[0] == '-';
    if (word.n && (word.p[0] == '-' || word.p[0] == '+'))
        word = str_sub(word, 1, word.n);
    if (str_eq_nocase(word, S("inf")) || str_eq_nocase(word, S("infinity"))) {
        *out = is_negative ? -INFINITY : INFINITY;
        return true;
    }
    if (str_eq_nocase(word, S("nan"))) {
        *out = NAN;
        return true;
    }
    if (!word.n || word.p[0] == '-' || word.p[0] == '+' || !str_to_f64(word, out))
        return false;
    *out = is_negative ? -*out : *out;
    return true;
}

static bool int_of_float(double f, struct jj_value *out)
{
    if (!(f > -9223372036854775808.0 && f < 9223372036854775808.0))
        return false;
    *out = jj_int((int64_t)f);
    return true;
}

FILTER(do_int)
{
    struct jj_value fallback = jj_is(a[0], JJ_MISSING) ? jj_int(0) : a[0];
    int64_t base = 10, i;
    double f;
    bool is_good;
    uint8_t mark = v.mark ? JJ_DATA : JJ_TEMPLATE;
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    if (!jj_is(a[1], JJ_MISSING) && !jj_need_int(j, a[1], "base", &base))
        return false;
    if (jj_as_int(v, &i)) {
        *out = jj_int(i);
    } else if (jj_is(v, JJ_BIGINT)) {
        *out = v;
    } else if (jj_is(v, JJ_STR)) {
        if (!int_from_text(j, str_trim(v.s), (int)base, out, &is_good))
            return false;
        if (!is_good && !(float_from_text(v.s, &f) && int_of_float(f, out))) {
            *out = fallback;
            return true;
        }
    } else if (jj_is(v, JJ_FLOAT) && isfinite(v.f) && !int_of_float(v.f, out)) {
        struct str digits = arena_printf(j->arena, "%.0f", v.f);
        if (!digits.p)
            return jj_no_memory(j);
        *out = (struct jj_value){.type = JJ_BIGINT, .s = digits};
    } else if (!jj_is(v, JJ_FLOAT) || !int_of_float(v.f, out)) {
        *out = fallback;
        return true;
    }
    out->mark = mark;
    return true;
}

FILTER(do_float)
{
    double f;
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    bool is_good = jj_is(v, JJ_STR) || jj_is(v, JJ_BIGINT) ? float_from_text(v.s, &f) : jj_as_float(v, &f);
    *out = is_good ? jj_float(f) : jj_is(a[0], JJ_MISSING) ? jj_float(0) : a[0];
    if (is_good)
        out->mark = v.mark ? JJ_DATA : JJ_TEMPLATE;
    return true;
}

FILTER(do_abs)
{
    (void)a;
    int64_t i;
    *out = v;
    if (jj_as_int(v, &i)) {
        if (i == INT64_MIN)
            return jj_fail(j, "a result is beyond 64 bits");
        *out = jj_int(i < 0 ? -i : i);
        out->mark = v.mark;
        return true;
    }
    if (!jj_is(v, JJ_FLOAT))
        return jj_is(v, JJ_UNDEFINED) ? jj_fail(j, "%.*s", STR(v.s))
                                      : jj_fail(j, "abs needs a number, not a %s", jj_type_name(v));
    out->f = fabs(v.f);
    return true;
}

/* round() to `precision` decimals, halves to even on the exact binary value, as Python. */
static double round_to(double f, int64_t precision)
{
    char text[400];
    if (!isfinite(f) || precision > 300)
        return f;
    if (precision < 0) {
        double scale = pow(10, (double)-precision);
        return isfinite(scale) ? rint(f / scale) * scale : copysign(0, f);
    }
    int n = snprintf(text, sizeof text, "%.*f", (int)precision, f);
    return n > 0 && (size_t)n < sizeof text ? strtod(text, NULL) : f;
}

FILTER(do_round)
{
    int64_t precision = 0, i;
    double f;
    struct str method = jj_is(a[1], JJ_STR) ? a[1].s : S("common");
    if (!jj_is(a[0], JJ_MISSING) && !jj_need_int(j, a[0], "precision", &precision))
        return false;
    if (!jj_as_float(v, &f))
        return jj_is(v, JJ_UNDEFINED) ? jj_fail(j, "%.*s", STR(v.s))
                                      : jj_fail(j, "round needs a number, not a %s", jj_type_name(v));
    if (str_eq(method, S("common"))) {
        if (jj_as_int(v, &i) && precision >= 0)
            *out = jj_int(i);
        else if (jj_as_int(v, &i))
            *out = jj_int((int64_t)round_to(f, precision));
        else
            *out = jj_float(round_to(f, precision));
        out->mark = v.mark;
        return true;
    }
    bool is_ceil = str_eq(method, S("ceil"));
    if (!is_ceil && !str_eq(method, S("floor")))
        return jj_fail(j, "the method of round must be common, ceil or floor");
    double scale = pow(10, (double)precision);
    *out = jj_float((is_ceil ? ceil(f * scale) : floor(f * scale)) / scale);
    return true;
}

FILTER(do_default)
{
    bool is_absent = jj_is(v, JJ_UNDEFINED) || (jj_truth(a[1]) && !jj_truth(v));
    (void)j;
    *out = !is_absent ? v : jj_is(a[0], JJ_MISSING) ? jj_str(S("")) : a[0];
    return true;
}

const struct jj_builtin jj_text_filters[] = {
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", do_tojson, NULL},
    {"trim", "chars?", do_trim, NULL},
    {"string", "", do_string, NULL},
    {"safe", "", do_safe, NULL},
    {"default", "default_value? boolean?", do_default, NULL},
    {"d", "default_value? boolean?", do_default, NULL},
    {"upper", "", do_upper, NULL},
    {"lower", "", do_lower, NULL},
    {"capitalize", "", do_capitalize, NULL},
    {"title", "", do_title, NULL},
    {"replace", "old new count?", do_replace, NULL},
    {"indent", "width? first? blank?", do_indent, NULL},
    {"truncate", "length? killwords? end? leeway?", do_truncate, NULL},
    {"center", "width?", do_center, NULL},
    {"wordcount", "", do_wordcount, NULL},
    {"format", NULL, NULL, do_format},
    {"escape", "", do_escape, NULL},
    {"e", "", do_escape, NULL},
    {"forceescape", "", do_forceescape, NULL},
    {"from_json", "", do_from_json, NULL},
    {"fromjson", "", do_from_json, NULL},
    {"int", "default? base?", do_int, NULL},
    {"float", "default?", do_float, NULL},
    {"abs", "", do_abs, NULL},
    {"round", "precision? method?", do_round, NULL},
    {0}};
