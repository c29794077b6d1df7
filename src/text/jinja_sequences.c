/* jinja_sequences.c - Filters over lists and dicts.
 *
 * Python makes generators where we make lists at once: what a template can see of that is only
 * when an error comes, and that a generator is used up after one pass (kept, JJ_GENERATOR). */
#include <string.h>

#include "text/jinja_int.h"

#define FILTER(fn) static bool fn(struct jj *j, struct jj_value v, struct jj_value *a, struct jj_value *out)
#define RAW_FILTER(fn)                                                                                       \
    static bool fn(struct jj *j, struct jj_value v, const struct jj_args *args, struct jj_value *out)

/* ---- attributes by path ---- */

/* item.a.b.0 for the path "a.b.0"; a number is an index.  `fallback` may be JJ_MISSING. */
static bool by_path(struct jj *j, struct jj_value item, struct jj_value path, struct jj_value fallback,
                    struct jj_value *out)
{
    struct str rest, part;
    *out = item;
    if (jj_is(path, JJ_MISSING) || jj_is(path, JJ_NONE))
        return true;
    if (!jj_is(path, JJ_STR))
        return jj_get_item(j, item, path, out);
    for (rest = path.s; str_split(&rest, '.', &part);) {
        int64_t i;
        struct jj_value key = str_to_i64(part, &i) && part.p[0] != '-' ? jj_int(i) : jj_str(part);
        if (!jj_get_item(j, *out, key, out))
            return false;
        bool has_fallback = !jj_is(fallback, JJ_MISSING) && !jj_is(fallback, JJ_NONE);
        if (jj_is(*out, JJ_UNDEFINED) && has_fallback)
            *out = fallback;
    }
    return true;
}

static bool fold_case(struct jj *j, bool is_sensitive, struct jj_value *key)
{
    return is_sensitive || !jj_is(*key, JJ_STR) || jj_str_case(j, *key, JJ_LOWER, key);
}

/* ---- sorting ---- */

struct merge {
    struct jj *j;
    struct jj_value *items, *keys, *items_to, *keys_to;
    bool reverse;
};

/* Merge [low, mid) and [mid, high); equal ones keep their order. */
static bool merge_runs(struct merge *m, uint32_t low, uint32_t mid, uint32_t high)
{
    uint32_t a = low, b = mid;
    for (uint32_t to = low; to < high; to++) {
        int order = 0;
        bool take_right = a == mid;
        if (a < mid && b < high) {
            if (!jj_order(m->j, m->keys[b], m->keys[a], &order))
                return false;
            take_right = m->reverse ? order == 1 : order == -1;
        }
        uint32_t from = take_right ? b++ : a++;
        m->items_to[to] = m->items[from];
        m->keys_to[to] = m->keys[from];
    }
    return true;
}

bool jj_sort(struct jj *j, struct jj_list *l, struct jj_value *keys, bool reverse)
{
    struct merge m = {j,
                      l->v,
                      keys,
                      arena_new_array(j->arena, struct jj_value, l->n),
                      arena_new_array(j->arena, struct jj_value, l->n),
                      reverse};
    if (!m.items_to || !m.keys_to)
        return jj_no_memory(j);
    for (uint32_t width = 1; width < l->n; width *= 2) {
        if (!jj_spend(j, l->n))
            return false;
        for (uint32_t low = 0; low < l->n; low += 2 * width) {
            uint32_t mid = l->n - low > width ? low + width : l->n;
            uint32_t high = l->n - mid > width ? mid + width : l->n;
            if (!merge_runs(&m, low, mid, high))
                return false;
        }
        struct jj_value *items = m.items, *old_keys = m.keys;
        m.items = m.items_to;
        m.keys = m.keys_to;
        m.items_to = items;
        m.keys_to = old_keys;
    }
    l->v = m.items;
    l->cap = l->n;
    return true;
}

static bool copy_of(struct jj *j, struct jj_value v, struct jj_list **out)
{
    struct jj_list *from;
    if (!jj_items_of(j, v, &from) || !jj_spend(j, from->n / 4))
        return false;
    struct jj_list *to = *out = jj_list_new(j, from->n);
    if (!to)
        return false;
    to->n = from->n;
    if (to->n)
        memcpy(to->v, from->v, to->n * sizeof *to->v);
    return true;
}

/* One key per item: its attribute, in lower case unless `is_sensitive`.  With `as_list` the key
 * is a list of one, or of several for a path with commas: lists are first asked for equality,
 * so that items without order can be equal. */
static bool sort_keys(struct jj *j, struct jj_list *l, struct jj_value path, bool is_sensitive, bool as_list,
                      struct jj_value **out)
{
    struct jj_value *keys = *out = arena_new_array(j->arena, struct jj_value, l->n);
    struct jj_value none = {.type = JJ_MISSING};
    if (!keys)
        return jj_no_memory(j);
    for (uint32_t i = 0; i < l->n; i++) {
        if (!as_list) {
            if (!by_path(j, l->v[i], path, none, &keys[i]) || !fold_case(j, is_sensitive, &keys[i]))
                return false;
            continue;
        }
        struct jj_list *several = jj_list_new(j, 0);
        struct str rest = jj_is(path, JJ_STR) ? path.s : S(" "), part;
        if (!several)
            return false;
        while (str_split(&rest, ',', &part)) {
            struct jj_value key, name = jj_is(path, JJ_STR) ? jj_str(part) : path;
            if (!by_path(j, l->v[i], name, none, &key) || !fold_case(j, is_sensitive, &key) ||
                !jj_list_push(j, several, key))
                return false;
        }
        keys[i] = jj_of_list(several, JJ_LIST);
    }
    return true;
}

FILTER(do_sort)
{
    struct jj_list *l;
    struct jj_value *keys;
    if (!copy_of(j, v, &l) || !sort_keys(j, l, a[2], jj_truth(a[1]), true, &keys) ||
        !jj_sort(j, l, keys, jj_truth(a[0])))
        return false;
    *out = jj_of_list(l, JJ_LIST);
    return true;
}

FILTER(do_dictsort)
{
    struct jj_list *l;
    struct jj_value *keys, which = jj_int(0);
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    if (!jj_is(v, JJ_DICT))
        return jj_fail(j, "dictsort needs a dict, not a %s", jj_type_name(v));
    if (jj_is(a[1], JJ_STR) && str_eq(a[1].s, S("value")))
        which = jj_int(1);
    else if (!jj_is(a[1], JJ_MISSING) && !(jj_is(a[1], JJ_STR) && str_eq(a[1].s, S("key"))))
        return jj_fail(j, "dictsort sorts by 'key' or 'value'");
    if (!jj_dict_keys(j, v.dict, JJ_ITEMS, &l) || !sort_keys(j, l, which, jj_truth(a[0]), false, &keys) ||
        !jj_sort(j, l, keys, jj_truth(a[2])))
        return false;
    *out = jj_of_list(l, JJ_LIST);
    return true;
}

static bool extreme(struct jj *j, struct jj_value v, struct jj_value *a, int wanted, struct jj_value *out)
{
    struct jj_list *l;
    struct jj_value *keys;
    uint32_t best = 0;
    if (!jj_items_of(j, v, &l) || !sort_keys(j, l, a[1], jj_truth(a[0]), false, &keys))
        return false;
    *out = jj_undefined(S("the sequence is empty"));
    for (uint32_t i = 1; i < l->n; i++) {
        int order;
        if (!jj_order(j, keys[i], keys[best], &order))
            return false;
        if (order == wanted)
            best = i;
    }
    if (l->n)
        *out = l->v[best];
    return true;
}
FILTER(do_min)
{
    return extreme(j, v, a, -1, out);
}
FILTER(do_max)
{
    return extreme(j, v, a, 1, out);
}

FILTER(do_unique)
{
    struct jj_list *l, *to = jj_list_new(j, 0);
    struct jj_value *keys;
    struct jj_dict *seen = jj_dict_new(j);
    if (!to || !seen || !jj_items_of(j, v, &l) || !sort_keys(j, l, a[1], jj_truth(a[0]), false, &keys))
        return false;
    for (uint32_t i = 0; i < l->n; i++) {
        struct jj_entry *e;
        if (!jj_dict_find(j, seen, keys[i], &e))
            return false;
        if (!e && (!jj_dict_set(j, seen, keys[i], jj_none()) || !jj_list_push(j, to, l->v[i])))
            return false;
    }
    return jj_of_iter(j, to, JJ_GENERATOR, out);
}

FILTER(do_groupby)
{
    struct jj_list *l, *groups = jj_list_new(j, 0), *group = NULL;
    struct jj_value *keys, *sorted_keys, pair;
    bool is_sensitive = jj_truth(a[2]), is_same = false;
    if (!groups || !copy_of(j, v, &l))
        return false;
    struct jj_value missing = jj_is(a[1], JJ_NONE) ? (struct jj_value){.type = JJ_MISSING} : a[1];
    keys = arena_new_array(j->arena, struct jj_value, l->n);
    sorted_keys = arena_new_array(j->arena, struct jj_value, l->n);
    if (!keys || !sorted_keys)
        return jj_no_memory(j);
    for (uint32_t i = 0; i < l->n; i++)
        if (!by_path(j, l->v[i], a[0], missing, &keys[i]) || !fold_case(j, is_sensitive, &keys[i]))
            return false;
    if (!jj_sort(j, l, keys, false))
        return false;
    for (uint32_t i = 0; i < l->n; i++) {
        struct jj_value real;
        if (!by_path(j, l->v[i], a[0], missing, &real))
            return false;
        sorted_keys[i] = real;
        if (!fold_case(j, is_sensitive, &sorted_keys[i]))
            return false;
        if (i && !jj_equal(j, sorted_keys[i], sorted_keys[i - 1], &is_same))
            return false;
        if (!i || !is_same) {
            group = jj_list_new(j, 0);
            if (!group || !jj_pair(j, real, jj_of_list(group, JJ_LIST), &pair) ||
                !jj_list_push(j, groups, pair))
                return false;
        }
        if (!jj_list_push(j, group, l->v[i]))
            return false;
    }
    *out = jj_of_list(groups, JJ_LIST);
    return true;
}

/* ---- simple ones ---- */

FILTER(do_join)
{
    struct jj_list *l;
    struct jj_text t = {0};
    struct jj_value separator = jj_str(S("")), item, missing = {.type = JJ_MISSING};
    if ((!jj_is(a[0], JJ_MISSING) && !jj_str_of(j, a[0], &separator)) || !jj_items_of(j, v, &l))
        return false;
    for (uint32_t i = 0; i < l->n; i++)
        if (!by_path(j, l->v[i], a[1], missing, &item) || (i && !jj_text_add_str(j, &t, separator)) ||
            !jj_text_add_of(j, &t, item))
            return false;
    *out = jj_text_value(&t);
    return true;
}

FILTER(do_first)
{
    (void)a;
    struct jj_list *l;
    if (!jj_items_of(j, v, &l))
        return false;
    *out = l->n ? l->v[0] : jj_undefined(S("the sequence is empty"));
    return true;
}

FILTER(do_last)
{
    (void)a;
    struct jj_list *l;
    if (jj_is(v, JJ_ITER) && v.iter->kind == JJ_GENERATOR)
        return jj_fail(j, "a generator has no last item");
    if (!jj_items_of(j, v, &l))
        return false;
    *out = l->n ? l->v[l->n - 1] : jj_undefined(S("the sequence is empty"));
    return true;
}

FILTER(do_length)
{
    (void)a;
    int64_t n;
    if (!jj_length(j, v, &n))
        return false;
    *out = jj_int(n);
    return true;
}

FILTER(do_list)
{
    (void)a;
    struct jj_list *l;
    if (!copy_of(j, v, &l))
        return false;
    *out = jj_of_list(l, JJ_LIST);
    return true;
}

FILTER(do_items)
{
    (void)a;
    struct jj_list *l;
    if (jj_is(v, JJ_UNDEFINED))
        return (l = jj_list_new(j, 0)) != NULL && jj_of_iter(j, l, JJ_GENERATOR, out);
    if (!jj_is(v, JJ_DICT))
        return jj_fail(j, "items needs a dict, not a %s", jj_type_name(v));
    return jj_dict_keys(j, v.dict, JJ_ITEMS, &l) && jj_of_iter(j, l, JJ_GENERATOR, out);
}

FILTER(do_reverse)
{
    (void)a;
    struct jj_list *l;
    struct jj_text t = {0};
    bool is_text = jj_is(v, JJ_STR);
    if (!copy_of(j, v, &l))
        return false;
    for (uint32_t i = 0; i < l->n / 2; i++) {
        struct jj_value item = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = item;
    }
    for (uint32_t i = 0; is_text && i < l->n; i++)
        if (!jj_text_add_str(j, &t, l->v[i]))
            return false;
    if (!is_text)
        return jj_of_iter(j, l, JJ_GENERATOR, out);
    *out = jj_text_value(&t);
    return true;
}

FILTER(do_sum)
{
    struct jj_list *l;
    struct jj_value item, missing = {.type = JJ_MISSING};
    *out = jj_is(a[1], JJ_MISSING) ? jj_int(0) : a[1];
    if (!jj_items_of(j, v, &l))
        return false;
    if (jj_is(*out, JJ_STR))
        return jj_fail(j, "sum cannot add text");
    for (uint32_t i = 0; i < l->n; i++)
        if (!by_path(j, l->v[i], a[0], missing, &item) || !jj_binary(j, JJT_ADD, *out, item, out))
            return false;
    return true;
}

static bool push_part(struct jj *j, struct jj_list *to, const struct jj_list *from, uint32_t start,
                      uint32_t end, struct jj_list **part)
{
    struct jj_list *l = *part = jj_list_new(j, end - start);
    for (uint32_t i = start; l && i < end; i++)
        l->v[l->n++] = from->v[i];
    return l && jj_spend(j, end - start + 1) && jj_list_push(j, to, jj_of_list(l, JJ_LIST));
}

FILTER(do_batch)
{
    struct jj_list *l, *to = jj_list_new(j, 0), *part;
    int64_t size;
    if (!to || !jj_items_of(j, v, &l) || !jj_need_int(j, a[0], "the batch size", &size))
        return false;
    bool has_fill = !jj_is(a[1], JJ_MISSING) && !jj_is(a[1], JJ_NONE);
    uint32_t step = size < 1 ? (l->n ? l->n : 1) : size > l->n ? l->n + 1 : (uint32_t)size;
    for (uint32_t at = 0; at < l->n; at += step) {
        if (!push_part(j, to, l, at, l->n - at > step ? at + step : l->n, &part))
            return false;
        while (has_fill && part->n < size)
            if (!jj_spend(j, 1) || !jj_list_push(j, part, a[1]))
                return false;
    }
    return jj_of_iter(j, to, JJ_GENERATOR, out);
}

FILTER(do_slice)
{
    struct jj_list *l, *to = jj_list_new(j, 0), *part;
    int64_t slices;
    if (!to || !jj_items_of(j, v, &l) || !jj_need_int(j, a[0], "the number of slices", &slices))
        return false;
    if (slices == 0)
        return jj_fail(j, "division by zero");
    bool has_fill = !jj_is(a[1], JJ_MISSING) && !jj_is(a[1], JJ_NONE);
    uint32_t at = 0;
    for (int64_t i = 0; i < slices; i++) {
        bool is_longer = i < l->n % slices;
        uint32_t end = at + (uint32_t)(l->n / slices) + is_longer;
        if (!push_part(j, to, l, at, end, &part) || (has_fill && !is_longer && !jj_list_push(j, part, a[1])))
            return false;
        at = end;
    }
    return jj_of_iter(j, to, JJ_GENERATOR, out);
}

FILTER(do_attr)
{
    if (!jj_is(a[0], JJ_STR))
        return jj_fail(j, "attr needs a name");
    if (jj_is(v, JJ_DICT)) { /* attributes only: not the items of a dict */
        bool is_found;
        if (!jj_find_method(j, v, a[0].s, out, &is_found))
            return false;
        if (!is_found)
            *out = jj_undefined(S("a dict has no such attribute"));
        return true;
    }
    return jj_get_attr(j, v, a[0].s, out);
}

/* ---- map, select, reject ---- */

/* The arguments from the n-th on. */
static struct jj_args rest_of(const struct jj_args *args, uint32_t n)
{
    return (struct jj_args){args->v + n, args->n - n, args->kw, args->n_kw};
}

static bool map_by_attribute(struct jj *j, const struct jj_list *l, const struct jj_args *args,
                             struct jj_list *to)
{
    struct jj_value path = {.type = JJ_MISSING}, fallback = {.type = JJ_MISSING}, item;
    for (uint32_t i = 0; i < args->n_kw; i++) {
        if (str_eq(args->kw[i].name, S("attribute")))
            path = args->kw[i].value;
        else if (str_eq(args->kw[i].name, S("default")))
            fallback = args->kw[i].value;
        else
            return jj_fail(j, "map cannot take the argument '%.*s'", STR(args->kw[i].name));
    }
    if (jj_is(path, JJ_MISSING))
        return jj_fail(j, "map needs a filter or an attribute");
    for (uint32_t i = 0; i < l->n; i++)
        if (!by_path(j, l->v[i], path, fallback, &item) || !jj_list_push(j, to, item))
            return false;
    return true;
}

RAW_FILTER(do_map)
{
    struct jj_list *l, *to = jj_list_new(j, 0);
    struct jj_value name, item;
    if (!to)
        return false;
    if (!jj_truth(v)) /* also for what cannot be iterated over */
        return jj_of_iter(j, to, JJ_GENERATOR, out);
    if (!jj_items_of(j, v, &l))
        return false;
    if (args->n == 0) {
        if (l->n && !map_by_attribute(j, l, args, to))
            return false;
        return jj_of_iter(j, to, JJ_GENERATOR, out);
    }
    struct jj_args rest = rest_of(args, 1);
    if (!jj_need_str(j, args->v[0], "the filter of map", &name))
        return false;
    for (uint32_t i = 0; i < l->n; i++)
        if (!jj_spend(j, 1) || !jj_apply_filter(j, name.s, l->v[i], &rest, &item) ||
            !jj_list_push(j, to, item))
            return false;
    return jj_of_iter(j, to, JJ_GENERATOR, out);
}

static bool choose(struct jj *j, struct jj_value v, const struct jj_args *args, bool by_attribute,
                   bool wanted, struct jj_value *out)
{
    struct jj_list *l, *to = jj_list_new(j, 0);
    struct jj_value path = {.type = JJ_MISSING}, missing = path, subject, name;
    if (!to)
        return false;
    if (!jj_truth(v)) /* also for what cannot be iterated over */
        return jj_of_iter(j, to, JJ_GENERATOR, out);
    if (!jj_items_of(j, v, &l))
        return false;
    if (by_attribute && args->n == 0)
        return jj_fail(j, "selectattr and rejectattr need an attribute");
    if (by_attribute)
        path = args->v[0];
    struct jj_args rest = rest_of(args, by_attribute ? 1 : 0);
    for (uint32_t i = 0; i < l->n; i++) {
        bool is_true;
        if (!jj_spend(j, 1) || !by_path(j, l->v[i], path, missing, &subject))
            return false;
        if (rest.n == 0) {
            is_true = jj_truth(subject);
        } else {
            struct jj_args test_args = rest_of(&rest, 1);
            if (!jj_need_str(j, rest.v[0], "the test", &name) ||
                !jj_apply_test(j, name.s, subject, &test_args, &is_true))
                return false;
        }
        if (is_true == wanted && !jj_list_push(j, to, l->v[i]))
            return false;
    }
    return jj_of_iter(j, to, JJ_GENERATOR, out);
}
RAW_FILTER(do_select)
{
    return choose(j, v, args, false, true, out);
}
RAW_FILTER(do_reject)
{
    return choose(j, v, args, false, false, out);
}
RAW_FILTER(do_selectattr)
{
    return choose(j, v, args, true, true, out);
}
RAW_FILTER(do_rejectattr)
{
    return choose(j, v, args, true, false, out);
}

const struct jj_builtin jj_sequence_filters[] = {
    {"length", "", do_length, NULL},
    {"count", "", do_length, NULL},
    {"join", "d? attribute?", do_join, NULL},
    {"items", "", do_items, NULL},
    {"list", "", do_list, NULL},
    {"first", "", do_first, NULL},
    {"last", "", do_last, NULL},
    {"map", NULL, NULL, do_map},
    {"select", NULL, NULL, do_select},
    {"reject", NULL, NULL, do_reject},
    {"selectattr", NULL, NULL, do_selectattr},
    {"rejectattr", NULL, NULL, do_rejectattr},
    {"sort", "reverse? case_sensitive? attribute?", do_sort, NULL},
    {"dictsort", "case_sensitive? by? reverse?", do_dictsort, NULL},
    {"unique", "case_sensitive? attribute?", do_unique, NULL},
    {"min", "case_sensitive? attribute?", do_min, NULL},
    {"max", "case_sensitive? attribute?", do_max, NULL},
    {"groupby", "attribute default? case_sensitive?", do_groupby, NULL},
    {"reverse", "", do_reverse, NULL},
    {"sum", "attribute? start?", do_sum, NULL},
    {"batch", "linecount fill_with?", do_batch, NULL},
    {"slice", "slices fill_with?", do_slice, NULL},
    {"attr", "name", do_attr, NULL},
    {0}};
