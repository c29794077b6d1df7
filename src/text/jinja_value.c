/* jinja_value.c - Lists, dicts, truth, equality and order of template values.
 *
 * The rules are Python's: 1 == 1.0 == True, tuples and lists differ, dicts keep the order of
 * insertion.  Recursion into nested values is bounded by JJ_VALUE_DEPTH_MAX. */
#include "text/jinja_value.h"

#include <math.h>
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

#define DICT_SMALL 8

/* ---- lists ---- */

struct jj_list *jj_list_new(struct jj *j, uint32_t cap)
{
    struct jj_list *l = arena_new(j->arena, struct jj_list);
    if (l && cap) {
        l->v = arena_new_array(j->arena, struct jj_value, cap);
        l->cap = cap;
    }
    if (!l || (cap && !l->v)) {
        jj_no_memory(j);
        return NULL;
    }
    return l;
}

bool jj_list_push(struct jj *j, struct jj_list *l, struct jj_value v)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 4;
        struct jj_value *grown = cap > l->cap ? arena_new_array(j->arena, struct jj_value, cap) : NULL;
        if (!grown)
            return jj_no_memory(j);
        if (l->n)
            memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return true;
}

struct jj_value jj_of_list(struct jj_list *l, enum jj_type type)
{
    return (struct jj_value){.type = (uint8_t)type, .list = l};
}

bool jj_pair(struct jj *j, struct jj_value a, struct jj_value b, struct jj_value *tuple)
{
    struct jj_list *l = jj_list_new(j, 2);
    if (!l)
        return false;
    l->v[0] = a;
    l->v[1] = b;
    l->n = 2;
    *tuple = jj_of_list(l, JJ_TUPLE);
    return true;
}

bool jj_of_iter(struct jj *j, struct jj_list *l, enum jj_iter_kind kind, struct jj_value *out)
{
    struct jj_iter *it = arena_new(j->arena, struct jj_iter);
    if (!it)
        return jj_no_memory(j);
    *it = (struct jj_iter){.kind = kind, .list = l};
    *out = (struct jj_value){.type = JJ_ITER, .iter = it};
    return true;
}

/* ---- dicts ---- */

struct jj_dict *jj_dict_new(struct jj *j)
{
    struct jj_dict *d = arena_new(j->arena, struct jj_dict);
    if (!d)
        jj_no_memory(j);
    return d;
}

/* Equal keys have equal hashes: numbers hash by their value as a double. */
static bool hash_of(struct jj *j, struct jj_value v, uint64_t *out)
{
    double f;
    switch (v.type) {
    case JJ_STR:
    case JJ_BIGINT: *out = str_hash(v.s); return true;
    case JJ_BOOL:
    case JJ_INT:
    case JJ_FLOAT:
        jj_as_float(v, &f);
        f = f == 0 ? 0 : f; /* -0.0 equals 0 */
        *out = str_hash_seeded(str_of((const char *)&f, sizeof f), 1);
        return true;
    case JJ_NONE: *out = 1; return true;
    case JJ_UNDEFINED: *out = 2; return true;
    case JJ_TUPLE:
        *out = 3;
        for (uint32_t i = 0; i < v.list->n; i++) {
            uint64_t h;
            /* Only one level of tuples inside tuples is walked: deeper ones share a hash. */
            if (jj_is(v.list->v[i], JJ_TUPLE))
                h = 4;
            else if (!hash_of(j, v.list->v[i], &h))
                return false;
            *out = *out * 1000003 + h;
        }
        return true;
    case JJ_LIST:
    case JJ_DICT: return jj_fail(j, "a %s cannot be the key of a dict", jj_type_name(v));
    default:
        *out = 5; /* rare: equality alone tells them apart */
        return true;
    }
}

static bool same_key(struct jj *j, const struct jj_entry *e, struct jj_value key, uint64_t hash)
{
    bool is_equal = false;
    if (e->hash != hash)
        return false;
    if (jj_is(e->key, JJ_STR) && jj_is(key, JJ_STR))
        return str_eq(e->key.s, key.s);
    return j && jj_equal(j, e->key, key, &is_equal) && is_equal;
}

static struct jj_entry *find_entry(struct jj *j, struct jj_dict *d, struct jj_value key, uint64_t hash)
{
    if (!d->table) {
        for (uint32_t i = 0; i < d->n; i++)
            if (same_key(j, &d->e[i], key, hash))
                return &d->e[i];
        return NULL;
    }
    for (uint32_t at = (uint32_t)hash & (d->table_cap - 1); d->table[at];
         at = (at + 1) & (d->table_cap - 1)) {
        struct jj_entry *e = &d->e[d->table[at] - 1];
        if (same_key(j, e, key, hash))
            return e;
    }
    return NULL;
}

struct jj_entry *jj_dict_find_str(struct jj_dict *d, struct str key)
{
    return find_entry(NULL, d, jj_str(key), str_hash(key));
}

bool jj_dict_find(struct jj *j, struct jj_dict *d, struct jj_value key, struct jj_entry **out)
{
    uint64_t hash;
    *out = NULL;
    if (!hash_of(j, key, &hash))
        return false;
    *out = find_entry(j, d, key, hash);
    return !j->has_failed;
}

static void table_add(struct jj_dict *d, uint32_t place)
{
    uint32_t at = (uint32_t)d->e[place].hash & (d->table_cap - 1);
    while (d->table[at])
        at = (at + 1) & (d->table_cap - 1);
    d->table[at] = place + 1;
}

/* The table has at least twice as many slots as the dict has entries. */
static bool table_build(struct jj *j, struct jj_dict *d)
{
    if (d->cap <= DICT_SMALL)
        return true;
    if (d->table_cap < d->cap * 2) {
        uint32_t cap = 32;
        while (cap < d->cap * 2)
            cap *= 2;
        d->table = arena_new_array(j->arena, uint32_t, cap);
        if (!d->table)
            return jj_no_memory(j);
        d->table_cap = cap;
    } else {
        memset(d->table, 0, d->table_cap * sizeof *d->table);
    }
    for (uint32_t i = 0; i < d->n; i++)
        table_add(d, i);
    return true;
}

static bool dict_grow(struct jj *j, struct jj_dict *d)
{
    uint32_t cap = d->cap ? d->cap * 2 : 4;
    if (cap > UINT32_MAX / 4)
        return jj_no_memory(j);
    struct jj_entry *e = arena_new_array(j->arena, struct jj_entry, cap);
    if (!e)
        return jj_no_memory(j);
    if (d->n)
        memcpy(e, d->e, d->n * sizeof *e);
    d->e = e;
    d->cap = cap;
    return table_build(j, d);
}

bool jj_dict_set(struct jj *j, struct jj_dict *d, struct jj_value key, struct jj_value value)
{
    uint64_t hash;
    if (!hash_of(j, key, &hash))
        return false;
    struct jj_entry *e = find_entry(j, d, key, hash);
    if (j->has_failed)
        return false;
    if (e) {
        e->value = value;
        return true;
    }
    if (d->n == d->cap && !dict_grow(j, d))
        return false;
    d->e[d->n++] = (struct jj_entry){key, value, hash};
    if (d->table)
        table_add(d, d->n - 1);
    return true;
}

bool jj_dict_remove(struct jj *j, struct jj_dict *d, struct jj_entry *e)
{
    uint32_t at = (uint32_t)(e - d->e);
    if (!jj_spend(j, d->n / 4 + 1))
        return false;
    memmove(e, e + 1, (d->n - at - 1) * sizeof *e);
    d->n--;
    return table_build(j, d);
}

bool jj_dict_keys(struct jj *j, struct jj_dict *d, enum jj_iter_kind what, struct jj_list **out)
{
    if (!jj_spend(j, d->n / 4))
        return false;
    struct jj_list *l = *out = jj_list_new(j, d->n);
    if (!l)
        return false;
    for (uint32_t i = 0; i < d->n; i++) {
        struct jj_value v = what == JJ_KEYS ? d->e[i].key : d->e[i].value;
        if (what == JJ_ITEMS && !jj_pair(j, d->e[i].key, d->e[i].value, &v))
            return false;
        l->v[l->n++] = v;
    }
    return true;
}

/* ---- from JSON ---- */

static bool number_from_json(struct jj *j, struct json v, struct jj_value *out)
{
    struct str s = json_span(v);
    bool is_float = false;
    for (size_t i = 0; i < s.n; i++)
        is_float |= s.p[i] == '.' || s.p[i] == 'e' || s.p[i] == 'E';
    if (is_float) {
        double f;
        if (!json_f64(v, &f))
            f = s.p[0] == '-' ? -INFINITY : INFINITY;
        *out = jj_float(f);
    } else {
        int64_t i;
        if (str_to_i64(s, &i)) {
            *out = jj_int(i);
        } else {
            s = arena_str(j->arena, s);
            if (!s.p)
                return jj_no_memory(j);
            *out = (struct jj_value){.type = JJ_BIGINT, .s = s};
        }
    }
    out->mark = JJ_DATA;
    return true;
}

static bool text_from_json(struct jj *j, struct json v, struct jj_value *out)
{
    struct str s = json_text(v, j->arena); /* borrowed: the document outlives the render */
    if (!s.p)
        return jj_no_memory(j);
    *out = jj_str(s);
    out->mark = JJ_DATA;
    return true;
}

bool jj_from_json(struct jj *j, struct json v, struct jj_value *out)
{
    struct json_iter it;
    if (!jj_spend(j, 1))
        return false;
    switch (json_type(v)) {
    case JSON_TRUE:
    case JSON_FALSE:
        *out = jj_bool(json_type(v) == JSON_TRUE);
        out->mark = JJ_DATA;
        return true;
    case JSON_NUMBER: return number_from_json(j, v, out);
    case JSON_STRING: return text_from_json(j, v, out);
    case JSON_ARRAY: {
        struct jj_list *l = jj_list_new(j, json_count(v));
        if (!l)
            return false;
        l->mark = JJ_DATA;
        for (it = json_iter(v); json_next(&it);)
            if (!jj_from_json(j, it.value, &l->v[l->n++])) /* at most JSON_DEPTH_MAX deep */
                return false;
        *out = jj_of_list(l, JJ_LIST);
        return true;
    }
    case JSON_OBJECT: {
        struct jj_dict *d = jj_dict_new(j);
        if (!d)
            return false;
        d->mark = JJ_DATA;
        for (it = json_iter(v); json_next(&it);) {
            struct jj_value key, value;
            if (!text_from_json(j, it.key_value, &key) || !jj_from_json(j, it.value, &value) ||
                !jj_dict_set(j, d, key, value))
                return false;
        }
        *out = (struct jj_value){.type = JJ_DICT, .dict = d};
        return true;
    }
    default: *out = jj_none(); return true;
    }
}

/* ---- asking ---- */

const char *jj_type_name(struct jj_value v)
{
    static const char *const names[] = {[JJ_MISSING] = "missing value",
                                        [JJ_UNDEFINED] = "undefined value",
                                        [JJ_NONE] = "None",
                                        [JJ_BOOL] = "bool",
                                        [JJ_INT] = "int",
                                        [JJ_BIGINT] = "int",
                                        [JJ_FLOAT] = "float",
                                        [JJ_STR] = "str",
                                        [JJ_LIST] = "list",
                                        [JJ_TUPLE] = "tuple",
                                        [JJ_DICT] = "dict",
                                        [JJ_ITER] = "iterator",
                                        [JJ_NAMESPACE] = "namespace",
                                        [JJ_MACRO] = "macro",
                                        [JJ_FUNCTION] = "function",
                                        [JJ_METHOD] = "method",
                                        [JJ_LOOP] = "loop",
                                        [JJ_CYCLER] = "cycler",
                                        [JJ_JOINER] = "joiner"};
    return names[v.type];
}

bool jj_truth(struct jj_value v)
{
    switch (v.type) {
    case JJ_MISSING:
    case JJ_UNDEFINED:
    case JJ_NONE: return false;
    case JJ_BOOL: return v.b;
    case JJ_INT: return v.i != 0;
    case JJ_FLOAT: return v.f != 0;
    case JJ_STR: return v.s.n > 0;
    case JJ_LIST:
    case JJ_TUPLE: return v.list->n > 0;
    case JJ_DICT: return v.dict->n > 0;
    case JJ_ITER: return v.iter->kind == JJ_GENERATOR || v.iter->list->n > 0;
    default: return true;
    }
}

bool jj_is_number(struct jj_value v)
{
    return v.type == JJ_BOOL || v.type == JJ_INT || v.type == JJ_FLOAT;
}

bool jj_as_int(struct jj_value v, int64_t *out)
{
    if (v.type != JJ_BOOL && v.type != JJ_INT)
        return false;
    *out = v.type == JJ_BOOL ? v.b : v.i;
    return true;
}

bool jj_as_float(struct jj_value v, double *out)
{
    if (!jj_is_number(v))
        return false;
    *out = v.type == JJ_FLOAT ? v.f : v.type == JJ_INT ? (double)v.i : v.b;
    return true;
}

/* Exact also between integers and floats; 2: a NaN is among them. */
static int order_numbers(struct jj_value a, struct jj_value b)
{
    int64_t x, y;
    double f, g;
    if (jj_as_int(a, &x) && jj_as_int(b, &y))
        return (x > y) - (x < y);
    jj_as_float(a, &f);
    jj_as_float(b, &g);
    if (isnan(f) || isnan(g))
        return 2;
    if (f != g || (a.type == JJ_FLOAT) == (b.type == JJ_FLOAT))
        return (f > g) - (f < g);
    /* Equal as doubles, one of them an integer: compare as integers, where 2^63 is beyond. */
    bool a_is_int = a.type != JJ_FLOAT;
    jj_as_int(a_is_int ? a : b, &x);
    double other = a_is_int ? g : f;
    if (other >= 9223372036854775808.0)
        return a_is_int ? -1 : 1;
    y = (int64_t)other;
    int order = (x > y) - (x < y);
    return a_is_int ? order : -order;
}

static bool equal_at(struct jj *j, struct jj_value a, struct jj_value b, int depth, bool *out);

static bool equal_lists(struct jj *j, const struct jj_list *a, const struct jj_list *b, int depth, bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++)
        if (!equal_at(j, a->v[i], b->v[i], depth + 1, out))
            return false;
    return true;
}

static bool equal_dicts(struct jj *j, struct jj_dict *a, struct jj_dict *b, int depth, bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        struct jj_entry *e;
        if (!jj_dict_find(j, b, a->e[i].key, &e))
            return false;
        *out = e != NULL;
        if (e && !equal_at(j, a->e[i].value, e->value, depth + 1, out))
            return false;
    }
    return true;
}

static bool equal_at(struct jj *j, struct jj_value a, struct jj_value b, int depth, bool *out)
{
    if (depth > JJ_VALUE_DEPTH_MAX)
        return jj_fail_code(j, ERR_LIMIT, "values are nested too deeply to compare");
    if (!jj_spend(j, 1))
        return false;
    if (jj_is_number(a) && jj_is_number(b)) {
        *out = order_numbers(a, b) == 0;
        return true;
    }
    *out = false;
    if (a.type != b.type)
        return true;
    switch (a.type) {
    case JJ_UNDEFINED:
    case JJ_NONE: *out = true; return true;
    case JJ_STR:
    case JJ_BIGINT: *out = str_eq(a.s, b.s); return jj_spend(j, a.s.n / 64);
    case JJ_LIST:
    case JJ_TUPLE: return equal_lists(j, a.list, b.list, depth, out);
    case JJ_DICT: return equal_dicts(j, a.dict, b.dict, depth, out);
    case JJ_ITER:
        if (a.iter->kind == JJ_RANGE && b.iter->kind == JJ_RANGE)
            return equal_lists(j, a.iter->list, b.iter->list, depth, out);
        *out = a.iter == b.iter;
        return true;
    case JJ_FUNCTION: *out = a.aux == b.aux; return true;
    default:
        *out = a.list == b.list; /* the same object, whatever it is */
        return true;
    }
}

bool jj_equal(struct jj *j, struct jj_value a, struct jj_value b, bool *out)
{
    return equal_at(j, a, b, 0, out);
}

static int order_bigints(struct jj_value a, struct jj_value b)
{
    double f = 0, g = 0;
    if (jj_is(a, JJ_BIGINT) ? !str_to_f64(a.s, &f) : !jj_as_float(a, &f))
        f = a.s.n && a.s.p[0] == '-' ? -INFINITY : INFINITY;
    if (jj_is(b, JJ_BIGINT) ? !str_to_f64(b.s, &g) : !jj_as_float(b, &g))
        g = b.s.n && b.s.p[0] == '-' ? -INFINITY : INFINITY;
    if (f != g || !jj_is(a, JJ_BIGINT) || !jj_is(b, JJ_BIGINT))
        return (f > g) - (f < g);
    int order = a.s.n != b.s.n ? (a.s.n > b.s.n) - (a.s.n < b.s.n) : str_cmp(a.s, b.s);
    order = (order > 0) - (order < 0);
    return f < 0 ? -order : order;
}

static bool order_at(struct jj *j, struct jj_value a, struct jj_value b, int depth, int *out)
{
    if (depth > JJ_VALUE_DEPTH_MAX)
        return jj_fail_code(j, ERR_LIMIT, "values are nested too deeply to compare");
    if (jj_is_number(a) && jj_is_number(b)) {
        *out = order_numbers(a, b);
        return jj_spend(j, 1);
    }
    if ((jj_is(a, JJ_BIGINT) || jj_is_number(a)) && (jj_is(b, JJ_BIGINT) || jj_is_number(b))) {
        *out = order_bigints(a, b);
        return jj_spend(j, 1);
    }
    if (jj_is(a, JJ_STR) && jj_is(b, JJ_STR)) {
        int c = str_cmp(a.s, b.s); /* UTF-8 sorts as its code points do */
        *out = (c > 0) - (c < 0);
        return jj_spend(j, 1 + (a.s.n < b.s.n ? a.s.n : b.s.n) / 64);
    }
    if (a.type == b.type && (jj_is(a, JJ_LIST) || jj_is(a, JJ_TUPLE))) {
        for (uint32_t i = 0; i < a.list->n && i < b.list->n; i++) {
            bool is_equal;
            if (!equal_at(j, a.list->v[i], b.list->v[i], depth + 1, &is_equal))
                return false;
            if (!is_equal)
                return order_at(j, a.list->v[i], b.list->v[i], depth + 1, out);
        }
        *out = (a.list->n > b.list->n) - (a.list->n < b.list->n);
        return true;
    }
    if (jj_is(a, JJ_UNDEFINED) || jj_is(b, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(jj_is(a, JJ_UNDEFINED) ? a.s : b.s));
    return jj_fail(j, "a %s and a %s have no order", jj_type_name(a), jj_type_name(b));
}

bool jj_order(struct jj *j, struct jj_value a, struct jj_value b, int *out)
{
    return order_at(j, a, b, 0, out);
}

bool jj_contains(struct jj *j, struct jj_value container, struct jj_value item, bool *out)
{
    struct jj_entry *e;
    struct jj_list *l;
    *out = false;
    if (jj_is(container, JJ_STR)) {
        if (!jj_is(item, JJ_STR))
            return jj_fail(j, "'in' a str needs a str on its left, not a %s", jj_type_name(item));
        *out = str_find(container.s, item.s, 0) != STR_NONE;
        return jj_spend(j, container.s.n / 16);
    }
    if (jj_is(container, JJ_DICT)) {
        if (!jj_dict_find(j, container.dict, item, &e))
            return false;
        *out = e != NULL;
        return true;
    }
    if (!jj_items_of(j, container, &l))
        return false;
    for (uint32_t i = 0; i < l->n && !*out; i++)
        if (!jj_equal(j, l->v[i], item, out))
            return false;
    return true;
}

bool jj_length(struct jj *j, struct jj_value v, int64_t *out)
{
    switch (v.type) {
    case JJ_UNDEFINED: *out = 0; return true;
    case JJ_STR: *out = (int64_t)jj_char_count(v.s); return jj_spend(j, v.s.n / 64);
    case JJ_LIST:
    case JJ_TUPLE: *out = v.list->n; return true;
    case JJ_DICT: *out = v.dict->n; return true;
    case JJ_ITER:
        if (v.iter->kind == JJ_GENERATOR)
            break;
        *out = v.iter->list->n;
        return true;
    case JJ_LOOP: {
        struct jj_value n;
        return jj_loop_attr(j, v.loop, S("length"), &n) && jj_as_int(n, out);
    }
    default: break;
    }
    return jj_fail(j, "a %s has no length", jj_type_name(v));
}

bool jj_is_iterable(struct jj_value v)
{
    return v.type == JJ_UNDEFINED || v.type == JJ_STR || v.type == JJ_LIST || v.type == JJ_TUPLE ||
           v.type == JJ_DICT || v.type == JJ_ITER || v.type == JJ_LOOP;
}

static bool characters_of(struct jj *j, struct jj_value v, struct jj_list **out)
{
    if (!jj_spend(j, v.s.n))
        return false;
    struct jj_list *l = *out = jj_list_new(j, (uint32_t)jj_char_count(v.s));
    if (!l)
        return false;
    for (size_t at = 0, n; at < v.s.n; at += n) {
        n = jj_char_bytes(v.s, at);
        if (!jj_list_push(j, l, jj_sub(v, at, at + n)))
            return false;
    }
    return true;
}

bool jj_items_of(struct jj *j, struct jj_value v, struct jj_list **out)
{
    switch (v.type) {
    case JJ_UNDEFINED: return (*out = jj_list_new(j, 0)) != NULL;
    case JJ_STR: return characters_of(j, v, out);
    case JJ_LIST:
    case JJ_TUPLE: *out = v.list; return true;
    case JJ_DICT: return jj_dict_keys(j, v.dict, JJ_KEYS, out);
    case JJ_ITER:
        *out = v.iter->list;
        if (v.iter->kind == JJ_GENERATOR) { /* what is left of it, once */
            struct jj_list *rest = *out = jj_list_new(j, 0);
            if (!rest)
                return false;
            if (v.iter->at < v.iter->list->n) {
                rest->v = v.iter->list->v + v.iter->at;
                rest->n = rest->cap = v.iter->list->n - v.iter->at;
            }
            v.iter->at = v.iter->list->n;
        }
        return true;
    default: return jj_fail(j, "a %s cannot be iterated over", jj_type_name(v));
    }
}
