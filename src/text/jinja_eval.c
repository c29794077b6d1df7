/* jinja_eval.c - Expressions to values.
 *
 * A walk over the tree.  Each nested evaluation counts against JJ_DEPTH_MAX and each node
 * against the steps, so that neither template nor data can hold the thread or its stack. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

/* ---- errors and bounds ---- */

bool jj_fail_code(struct jj *j, int code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    if (j->has_failed)
        return false;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    j->has_failed = true;
    fail(j->err, code, "line %u: %s", j->line, text);
    return false;
}

bool jj_fail(struct jj *j, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return jj_fail_code(j, ERR_ARG, "%s", text);
}

bool jj_no_memory(struct jj *j)
{
    return jj_fail_code(j, ERR_NOMEM, "the template needs more memory than a request may have");
}

bool jj_spend(struct jj *j, uint64_t n)
{
    if (n <= j->steps_left) {
        j->steps_left -= n;
        return true;
    }
    j->steps_left = 0;
    return jj_fail_code(j, ERR_LIMIT, "the template takes too many steps");
}

static bool undefined(struct jj *j, struct jj_value *out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool undefined(struct jj *j, struct jj_value *out, const char *fmt, ...)
{
    char text[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct str s = arena_str(j->arena, str_c(text));
    if (!s.p)
        return jj_no_memory(j);
    *out = jj_undefined(s);
    return true;
}

/* ---- variables, attributes, items ---- */

static bool eval_name(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    for (struct jj_scope *s = j->scope; s; s = s->parent) {
        if (!jj_spend(j, s->n / 16 + 1))
            return false;
        for (uint32_t i = 0; i < s->n; i++) {
            if (s->v[i].id == n->id) {
                *out = s->v[i].value;
                return true;
            }
        }
    }
    if (jj_find_global(n->name, out))
        return true;
    return undefined(j, out, "'%.*s' is undefined", STR(n->name));
}

bool jj_get_attr(struct jj *j, struct jj_value v, struct str name, struct jj_value *out)
{
    struct jj_entry *e = NULL;
    bool is_found = false;
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    if (!jj_find_method(j, v, name, out, &is_found))
        return false;
    if (is_found)
        return true;
    if (jj_is(v, JJ_DICT) || jj_is(v, JJ_NAMESPACE))
        e = jj_dict_find_str(v.dict, name);
    if (e) {
        *out = e->value;
        return true;
    }
    if (jj_is(v, JJ_LOOP))
        return jj_loop_attr(j, v.loop, name, out);
    if (jj_is(v, JJ_MACRO) && str_eq(name, S("name"))) {
        *out = jj_str(v.macro->node->name);
        return true;
    }
    if (jj_is(v, JJ_CYCLER) && str_eq(name, S("current"))) {
        *out = v.cycler->items->v[v.cycler->at];
        return true;
    }
    return undefined(j, out, "a %s has no attribute '%.*s'", jj_type_name(v), STR(name));
}

static bool item_by_index(struct jj *j, struct jj_value v, int64_t i, struct jj_value *out)
{
    int64_t n;
    if (!jj_length(j, v, &n))
        return false;
    int64_t at = i < 0 ? i + n : i;
    if (at < 0 || at >= n)
        return undefined(j, out, "a %s of length %lld has no element %lld", jj_type_name(v), (long long)n,
                         (long long)i);
    if (jj_is(v, JJ_STR)) {
        size_t from = jj_char_offset(v.s, (size_t)at);
        *out = jj_sub(v, from, from + jj_char_bytes(v.s, from));
        return jj_spend(j, v.s.n / 64);
    }
    *out = jj_is(v, JJ_ITER) ? v.iter->list->v[at] : v.list->v[at];
    return true;
}

bool jj_get_item(struct jj *j, struct jj_value v, struct jj_value key, struct jj_value *out)
{
    struct jj_entry *e;
    int64_t i;
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    if (jj_is(v, JJ_DICT)) {
        if (!jj_dict_find(j, v.dict, key, &e))
            return false;
        if (e) {
            *out = e->value;
            return true;
        }
    }
    bool is_sequence = jj_is(v, JJ_STR) || jj_is(v, JJ_LIST) || jj_is(v, JJ_TUPLE) ||
                       (jj_is(v, JJ_ITER) && v.iter->kind == JJ_RANGE);
    if (is_sequence && jj_as_int(key, &i))
        return item_by_index(j, v, i, out);
    if (jj_is(key, JJ_STR))
        return jj_get_attr(j, v, key.s, out);
    return undefined(j, out, "a %s has no such element", jj_type_name(v));
}

/* ---- slices ---- */

static bool slice_bound(struct jj *j, const struct jj_node *n, int64_t fallback, int64_t *out)
{
    struct jj_value v;
    *out = fallback;
    if (!n)
        return true;
    if (!jj_eval(j, n, &v))
        return false;
    if (jj_is(v, JJ_NONE))
        return true;
    return jj_as_int(v, out) || jj_fail(j, "a slice needs integers, not a %s", jj_type_name(v));
}

static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high)
{
    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static bool slice_items(struct jj *j, struct jj_value v, int64_t start, int64_t stop, int64_t step,
                        struct jj_value *out)
{
    struct jj_list *from, *to = jj_list_new(j, 0);
    if (!to || !jj_items_of(j, v, &from))
        return false;
    to->mark = from->mark;
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
        if (!jj_spend(j, 1) || !jj_list_push(j, to, from->v[i]))
            return false;
    *out = jj_of_list(to, jj_is(v, JJ_TUPLE) ? JJ_TUPLE : JJ_LIST);
    return true;
}

static bool slice_range(struct jj *j, struct jj_value v, int64_t start, int64_t stop, int64_t step,
                        struct jj_value *out)
{
    const struct jj_iter *of = v.iter;
    if (!slice_items(j, v, start, stop, step, out) || !jj_of_iter(j, out->list, JJ_RANGE, out))
        return false;
    out->iter->start = of->start + start * of->step;
    out->iter->stop = of->start + stop * of->step;
    out->iter->step = of->step * step;
    return true;
}

static bool slice_str(struct jj *j, struct jj_value v, int64_t start, int64_t stop, int64_t step,
                      struct jj_value *out)
{
    if (!jj_spend(j, v.s.n / 32 + 1))
        return false;
    if (step == 1) {
        size_t from = jj_char_offset(v.s, (size_t)start);
        size_t n = stop > start ? (size_t)(stop - start) : 0;
        size_t to = from + jj_char_offset(str_sub(v.s, from, v.s.n), n);
        *out = jj_sub(v, from, to);
        return true;
    }
    struct jj_value chars;
    struct jj_text t = {0};
    if (!slice_items(j, v, start, stop, step, &chars))
        return false;
    for (uint32_t i = 0; i < chars.list->n; i++)
        if (!jj_text_add_str(j, &t, chars.list->v[i]))
            return false;
    *out = jj_text_value(&t);
    return true;
}

static bool eval_slice(struct jj *j, struct jj_value v, const struct jj_node *n, struct jj_value *out)
{
    int64_t start, stop, step, len;
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    bool is_range = jj_is(v, JJ_ITER) && v.iter->kind == JJ_RANGE;
    if (!jj_is(v, JJ_STR) && !jj_is(v, JJ_LIST) && !jj_is(v, JJ_TUPLE) && !is_range)
        return jj_fail(j, "a %s cannot be sliced", jj_type_name(v));
    if (!jj_length(j, v, &len) || !slice_bound(j, n->c, 1, &step))
        return false;
    if (step == 0)
        return jj_fail(j, "the step of a slice cannot be zero");
    if (step > JJ_SLICE_STEP_MAX || step < -JJ_SLICE_STEP_MAX)
        return jj_fail_code(j, ERR_LIMIT, "the step of a slice is too large");
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? len : len - 1;
    if (!slice_bound(j, n->a, step > 0 ? 0 : INT64_MAX, &start) ||
        !slice_bound(j, n->b, step > 0 ? INT64_MAX : INT64_MIN, &stop))
        return false;
    start = clamp(start, len, low, high);
    stop = clamp(stop, len, low, high);
    if (is_range)
        return slice_range(j, v, start, stop, step, out);
    return jj_is(v, JJ_STR) ? slice_str(j, v, start, stop, step, out)
                            : slice_items(j, v, start, stop, step, out);
}

static bool eval_getitem(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value v, key;
    if (!jj_eval(j, n->a, &v))
        return false;
    if (n->b->kind == JJN_SLICE)
        return eval_slice(j, v, n->b, out);
    return jj_eval(j, n->b, &key) && jj_get_item(j, v, key, out);
}

/* ---- arithmetic ---- */

static bool need_defined(struct jj *j, struct jj_value a, struct jj_value b)
{
    if (jj_is(a, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(a.s));
    return !jj_is(b, JJ_UNDEFINED) || jj_fail(j, "%.*s", STR(b.s));
}

static bool int_power(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t result = 1;
    bool has_overflow = false;
    while (exponent > 0 && !has_overflow) {
        if (exponent & 1)
            has_overflow |= __builtin_mul_overflow(result, base, &result);
        exponent >>= 1;
        if (exponent)
            has_overflow |= __builtin_mul_overflow(base, base, &base);
    }
    *out = result;
    return !has_overflow;
}

static bool int_math(struct jj *j, enum jj_token_type op, int64_t a, int64_t b, struct jj_value *out)
{
    int64_t r = 0;
    bool has_overflow = false;
    if ((op == JJT_FLOORDIV || op == JJT_MOD) && b == 0)
        return jj_fail(j, "division by zero");
    switch (op) {
    case JJT_ADD: has_overflow = __builtin_add_overflow(a, b, &r); break;
    case JJT_SUB: has_overflow = __builtin_sub_overflow(a, b, &r); break;
    case JJT_MUL: has_overflow = __builtin_mul_overflow(a, b, &r); break;
    case JJT_FLOORDIV:
        has_overflow = a == INT64_MIN && b == -1;
        r = has_overflow ? 0 : a / b - (a % b != 0 && (a % b < 0) != (b < 0));
        break;
    case JJT_MOD:
        r = b == -1 ? 0 : a % b;
        r += r != 0 && (r < 0) != (b < 0) ? b : 0;
        break;
    default: has_overflow = !int_power(a, b, &r);
    }
    if (has_overflow)
        return jj_fail(j, "a result is beyond 64 bits");
    *out = jj_int(r);
    return true;
}

static double floor_mod(double a, double b, double *quotient)
{
    double mod = fmod(a, b), div = (a - mod) / b;
    if (mod != 0 && (b < 0) != (mod < 0)) {
        mod += b;
        div -= 1;
    } else if (mod == 0) {
        mod = copysign(0, b);
    }
    *quotient = div != 0 ? floor(div) : copysign(0, a / b);
    if (div - *quotient > 0.5)
        *quotient += 1;
    return mod;
}

static bool float_math(struct jj *j, enum jj_token_type op, double a, double b, struct jj_value *out)
{
    double r, quotient;
    if ((op == JJT_DIV || op == JJT_FLOORDIV || op == JJT_MOD) && b == 0)
        return jj_fail(j, "division by zero");
    switch (op) {
    case JJT_ADD: r = a + b; break;
    case JJT_SUB: r = a - b; break;
    case JJT_MUL: r = a * b; break;
    case JJT_DIV: r = a / b; break;
    case JJT_MOD: r = floor_mod(a, b, &quotient); break;
    case JJT_FLOORDIV:
        floor_mod(a, b, &quotient);
        r = quotient;
        break;
    default:
        if ((a == 0 && b < 0) || (a < 0 && b != floor(b)))
            return jj_fail(j, "a power has no real value");
        r = pow(a, b);
        if (isinf(r) && isfinite(a) && isfinite(b))
            return jj_fail(j, "a power is too large");
    }
    *out = jj_float(r);
    return true;
}

static bool repeat(struct jj *j, struct jj_value v, int64_t times, struct jj_value *out)
{
    struct jj_text t = {0};
    if (jj_is(v, JJ_STR)) {
        if (v.s.n && times > (int64_t)(j->out_bytes_max / v.s.n))
            return jj_fail_code(j, ERR_LIMIT, "the template makes a text of more than %zu bytes",
                                j->out_bytes_max);
        for (int64_t i = 0; i < times && v.s.n; i++)
            if (!jj_spend(j, 1) || !jj_text_add_str(j, &t, v))
                return false;
        *out = jj_text_value(&t);
        return true;
    }
    struct jj_list *l = jj_list_new(j, 0);
    for (int64_t i = 0; l && i < times && v.list->n; i++)
        for (uint32_t k = 0; k < v.list->n; k++)
            if (!jj_spend(j, 1) || !jj_list_push(j, l, v.list->v[k]))
                return false;
    *out = jj_of_list(l, v.type);
    return l != NULL;
}

static bool add_sequences(struct jj *j, struct jj_value a, struct jj_value b, struct jj_value *out)
{
    struct jj_text t = {0};
    if (jj_is(a, JJ_STR)) {
        bool is_markup = a.is_markup || b.is_markup;
        if (is_markup && (!jj_escape(j, a, &a) || !jj_escape(j, b, &b)))
            return false;
        if (!jj_text_add_str(j, &t, a) || !jj_text_add_str(j, &t, b))
            return false;
        *out = jj_text_value(&t);
        out->is_markup = is_markup;
        return true;
    }
    if ((uint64_t)a.list->n + b.list->n > UINT32_MAX / 2)
        return jj_no_memory(j);
    struct jj_list *l = jj_list_new(j, a.list->n + b.list->n);
    if (!l || !jj_spend(j, ((uint64_t)a.list->n + b.list->n) / 4))
        return false;
    if (a.list->n)
        memcpy(l->v, a.list->v, a.list->n * sizeof *l->v);
    if (b.list->n)
        memcpy(l->v + a.list->n, b.list->v, b.list->n * sizeof *l->v);
    l->n = a.list->n + b.list->n;
    l->mark = a.list->mark & b.list->mark;
    *out = jj_of_list(l, a.type);
    return true;
}

static bool is_sequence(struct jj_value v)
{
    return jj_is(v, JJ_STR) || jj_is(v, JJ_LIST) || jj_is(v, JJ_TUPLE);
}

static bool number_math(struct jj *j, enum jj_token_type op, struct jj_value a, struct jj_value b,
                        struct jj_value *out)
{
    int64_t x, y;
    double f = 0, g = 0;
    bool is_good;
    if (op != JJT_DIV && jj_as_int(a, &x) && jj_as_int(b, &y) && !(op == JJT_POW && y < 0)) {
        is_good = int_math(j, op, x, y, out);
    } else {
        jj_as_float(a, &f);
        jj_as_float(b, &g);
        is_good = float_math(j, op, f, g, out);
    }
    if (is_good)
        out->mark = jj_mark_either(a, b);
    return is_good;
}

bool jj_binary(struct jj *j, enum jj_token_type op, struct jj_value a, struct jj_value b,
               struct jj_value *out)
{
    static const char *const words[] = {
        [JJT_ADD] = "+", [JJT_SUB] = "-",  [JJT_MUL] = "*",      [JJT_DIV] = "/",
        [JJT_MOD] = "%", [JJT_POW] = "**", [JJT_FLOORDIV] = "//"};
    int64_t times;
    if (op == JJT_MOD && jj_is(a, JJ_STR))
        return jj_percent_format(j, a, b, out);
    if (!need_defined(j, a, b))
        return false;
    if (jj_is_number(a) && jj_is_number(b))
        return number_math(j, op, a, b, out);
    if (op == JJT_ADD && is_sequence(a) && a.type == b.type)
        return add_sequences(j, a, b, out);
    if (op == JJT_MUL && is_sequence(a) && jj_as_int(b, &times))
        return repeat(j, a, times, out);
    if (op == JJT_MUL && is_sequence(b) && jj_as_int(a, &times))
        return repeat(j, b, times, out);
    return jj_fail(j, "'%s' is not possible between a %s and a %s", words[op], jj_type_name(a),
                   jj_type_name(b));
}

static bool eval_sign(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value v;
    if (!jj_eval(j, n->a, &v))
        return false;
    if (!jj_is_number(v))
        return jj_is(v, JJ_UNDEFINED) ? jj_fail(j, "%.*s", STR(v.s))
                                      : jj_fail(j, "a %s has no sign", jj_type_name(v));
    if (n->kind == JJN_POSITIVE)
        return number_math(j, JJT_ADD, jj_int(0), v, out);
    if (jj_is(v, JJ_FLOAT)) {
        *out = v;
        out->f = -v.f;
        return true;
    }
    return number_math(j, JJT_SUB, jj_int(0), v, out);
}

/* ---- comparisons ---- */

static bool compare(struct jj *j, enum jj_token_type op, struct jj_value a, struct jj_value b, bool *out)
{
    int order;
    switch (op) {
    case JJT_EQ:
    case JJT_NE:
        if (!jj_equal(j, a, b, out))
            return false;
        *out ^= op == JJT_NE;
        return true;
    case JJT_IN:
    case JJT_NOT_IN:
        if (!jj_contains(j, b, a, out))
            return false;
        *out ^= op == JJT_NOT_IN;
        return true;
    default:
        if (!jj_order(j, a, b, &order))
            return false;
        *out = order != 2 && (op == JJT_LT   ? order < 0
                              : op == JJT_LE ? order <= 0
                              : op == JJT_GT ? order > 0
                                             : order >= 0);
        return true;
    }
}

static bool eval_compare(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value left, right;
    bool is_true = true;
    if (!jj_eval(j, n->a, &left))
        return false;
    for (uint32_t i = 0; is_true && i < n->list.n; i++) {
        const struct jj_node *operand = n->list.v[i];
        if (!jj_eval(j, operand->a, &right) || !compare(j, operand->op, left, right, &is_true))
            return false;
        left = right;
    }
    *out = jj_bool(is_true);
    return true;
}

/* ---- calls ---- */

static bool add_kw(struct jj *j, struct jj_args *args, uint32_t *cap, struct str name, struct jj_value v)
{
    if (args->n_kw == *cap) {
        uint32_t grown = *cap ? *cap * 2 : 4;
        struct jj_named *kw = arena_new_array(j->arena, struct jj_named, grown);
        if (!kw)
            return jj_no_memory(j);
        if (args->n_kw)
            memcpy(kw, args->kw, args->n_kw * sizeof *kw);
        args->kw = kw;
        *cap = grown;
    }
    args->kw[args->n_kw].name = name;
    args->kw[args->n_kw++].value = v;
    return true;
}

static bool eval_star_star(struct jj *j, const struct jj_node *n, struct jj_args *out, uint32_t *cap)
{
    struct jj_value v;
    if (!jj_eval(j, n, &v))
        return false;
    if (!jj_is(v, JJ_DICT))
        return jj_fail(j, "** needs a dict, not a %s", jj_type_name(v));
    for (uint32_t i = 0; i < v.dict->n; i++) {
        if (!jj_is(v.dict->e[i].key, JJ_STR))
            return jj_fail(j, "the names of arguments must be text");
        if (!add_kw(j, out, cap, v.dict->e[i].key.s, v.dict->e[i].value))
            return false;
    }
    return true;
}

bool jj_eval_args(struct jj *j, const struct jj_call_args *a, struct jj_args *out)
{
    struct jj_value v;
    struct jj_list *star;
    *out = (struct jj_args){0};
    if (!a)
        return true;
    struct jj_list *pos = jj_list_new(j, a->pos.n);
    if (!pos)
        return false;
    for (uint32_t i = 0; i < a->pos.n; i++)
        if (!jj_eval(j, a->pos.v[i], &v) || !jj_list_push(j, pos, v))
            return false;
    uint32_t kw_cap = 0;
    for (uint32_t i = 0; i < a->n_kw; i++)
        if (!jj_eval(j, a->kw[i].value, &v) || !add_kw(j, out, &kw_cap, a->kw[i].name, v))
            return false;
    if (a->star) {
        if (!jj_eval(j, a->star, &v) || !jj_items_of(j, v, &star))
            return false;
        for (uint32_t i = 0; i < star->n; i++)
            if (!jj_spend(j, 1) || !jj_list_push(j, pos, star->v[i]))
                return false;
    }
    if (a->star_star && !eval_star_star(j, a->star_star, out, &kw_cap))
        return false;
    out->v = pos->v;
    out->n = pos->n;
    return true;
}

bool jj_call(struct jj *j, struct jj_value callee, const struct jj_args *args, struct jj_value *out)
{
    switch (callee.type) {
    case JJ_MACRO: return jj_call_macro(j, callee.macro, args, out);
    case JJ_METHOD: return jj_call_method(j, callee.method, args, out);
    case JJ_FUNCTION: return jj_call_global(j, callee.aux, args, out);
    case JJ_LOOP:
        if (args->n != 1 || args->n_kw)
            return jj_fail(j, "loop() needs one argument, the items of the next level");
        return jj_call_loop(j, callee.loop, args->v[0], out);
    case JJ_JOINER:
        *out = callee.cycler->is_used ? callee.cycler->items->v[0] : jj_str(S(""));
        callee.cycler->is_used = true;
        return true;
    case JJ_UNDEFINED: return jj_fail(j, "%.*s", STR(callee.s));
    default: return jj_fail(j, "a %s cannot be called", jj_type_name(callee));
    }
}

static bool eval_call(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value callee;
    struct jj_args args;
    if (!jj_eval(j, n->a, &callee) || !jj_eval_args(j, n->args, &args))
        return false;
    j->line = n->line;
    return jj_call(j, callee, &args, out);
}

static bool eval_filter(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value v = j->block_text;
    struct jj_args args;
    if ((n->a && !jj_eval(j, n->a, &v)) || !jj_eval_args(j, n->args, &args))
        return false;
    j->line = n->line;
    return jj_apply_filter(j, n->name, v, &args, out);
}

static bool eval_test(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value v;
    struct jj_args args;
    bool is_true;
    if (!jj_eval(j, n->a, &v) || !jj_eval_args(j, n->args, &args))
        return false;
    j->line = n->line;
    if (!jj_apply_test(j, n->name, v, &args, &is_true))
        return false;
    *out = jj_bool(is_true);
    return true;
}

/* ---- literals ---- */

static bool eval_list(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_list *l = jj_list_new(j, n->list.n);
    if (!l)
        return false;
    for (uint32_t i = 0; i < n->list.n; i++)
        if (!jj_eval(j, n->list.v[i], &l->v[l->n++]))
            return false;
    *out = jj_of_list(l, n->kind == JJN_TUPLE ? JJ_TUPLE : JJ_LIST);
    return true;
}

static bool eval_dict(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_dict *d = jj_dict_new(j);
    struct jj_value key, value;
    if (!d)
        return false;
    for (uint32_t i = 0; i + 1 < n->list.n; i += 2)
        if (!jj_eval(j, n->list.v[i], &key) || !jj_eval(j, n->list.v[i + 1], &value) ||
            !jj_dict_set(j, d, key, value))
            return false;
    *out = (struct jj_value){.type = JJ_DICT, .dict = d};
    return true;
}

static bool eval_concat(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_text t = {0};
    struct jj_value v;
    for (uint32_t i = 0; i < n->list.n; i++)
        if (!jj_eval(j, n->list.v[i], &v) || !jj_text_add_of(j, &t, v))
            return false;
    *out = jj_text_value(&t);
    return true;
}

static bool eval_condition(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value test;
    if (!jj_eval(j, n->a, &test))
        return false;
    if (jj_truth(test))
        return jj_eval(j, n->b, out);
    if (n->c)
        return jj_eval(j, n->c, out);
    *out = jj_undefined(S("an inline if was false and has no else"));
    return true;
}

static bool eval_node(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    struct jj_value a, b;
    switch (n->kind) {
    case JJN_CONST: *out = n->constant; return true;
    case JJN_NAME: return eval_name(j, n, out);
    case JJN_TUPLE:
    case JJN_LIST: return eval_list(j, n, out);
    case JJN_DICT: return eval_dict(j, n, out);
    case JJN_COND: return eval_condition(j, n, out);
    case JJN_OR:
    case JJN_AND:
        if (!jj_eval(j, n->a, out))
            return false;
        return jj_truth(*out) == (n->kind == JJN_OR) || jj_eval(j, n->b, out);
    case JJN_NOT:
        if (!jj_eval(j, n->a, &a))
            return false;
        *out = jj_bool(!jj_truth(a));
        return true;
    case JJN_COMPARE: return eval_compare(j, n, out);
    case JJN_BINARY:
        if (!jj_eval(j, n->a, &a) || !jj_eval(j, n->b, &b))
            return false;
        j->line = n->line;
        return jj_binary(j, n->op, a, b, out);
    case JJN_NEGATE:
    case JJN_POSITIVE: return eval_sign(j, n, out);
    case JJN_CONCAT: return eval_concat(j, n, out);
    case JJN_GETATTR:
        if (!jj_eval(j, n->a, &a))
            return false;
        j->line = n->line;
        return jj_get_attr(j, a, n->name, out);
    case JJN_GETITEM: return eval_getitem(j, n, out);
    case JJN_CALL: return eval_call(j, n, out);
    case JJN_FILTER: return eval_filter(j, n, out);
    case JJN_TEST: return eval_test(j, n, out);
    default: return jj_fail(j, "this cannot be evaluated");
    }
}

bool jj_eval(struct jj *j, const struct jj_node *n, struct jj_value *out)
{
    j->line = n->line;
    if (!jj_spend(j, 1))
        return false;
    if (j->depth >= JJ_DEPTH_MAX)
        return jj_fail_code(j, ERR_LIMIT, "the template is nested too deeply");
    j->depth++;
    bool is_good = eval_node(j, n, out);
    j->depth--;
    return is_good;
}
