/* jinja_methods.c - Methods of str, list, tuple and dict, as Python's.
 *
 * Lists and dicts can be changed (append, pop, update): Python's own sandbox for templates
 * refuses that, but real templates that run elsewhere use it. */
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

struct jj_method {
    struct jj_value self;
    const struct jj_builtin *f;
};

#define METHOD(fn)                                                                                           \
    static bool fn(struct jj *j, struct jj_value self, struct jj_value *a, struct jj_value *out)
#define UNUSED_ARGS (void)j, (void)a

/* ---- str ---- */

METHOD(str_upper)
{
    UNUSED_ARGS;
    return jj_str_case(j, self, JJ_UPPER, out);
}
METHOD(str_lower)
{
    UNUSED_ARGS;
    return jj_str_case(j, self, JJ_LOWER, out);
}
METHOD(str_capitalize)
{
    UNUSED_ARGS;
    return jj_str_case(j, self, JJ_CAPITALIZE, out);
}
METHOD(str_title)
{
    UNUSED_ARGS;
    return jj_str_case(j, self, JJ_TITLE, out);
}
METHOD(str_swapcase)
{
    UNUSED_ARGS;
    return jj_str_case(j, self, JJ_SWAP, out);
}
METHOD(str_strip)
{
    return jj_str_strip(j, self, a[0], true, true, out);
}
METHOD(str_lstrip)
{
    return jj_str_strip(j, self, a[0], true, false, out);
}
METHOD(str_rstrip)
{
    return jj_str_strip(j, self, a[0], false, true, out);
}

static bool split_space(struct jj *j, struct jj_value s, int64_t max, struct jj_list *l)
{
    size_t at = 0, n;
    while (at < s.s.n) {
        while (at < s.s.n && (n = jj_space_at(s.s, at)) > 0)
            at += n;
        if (at == s.s.n)
            break;
        size_t start = at;
        if (max-- == 0) /* the rest, as it is */
            return jj_list_push(j, l, jj_sub(s, start, s.s.n));
        while (at < s.s.n && !jj_space_at(s.s, at))
            at += jj_char_bytes(s.s, at);
        if (!jj_list_push(j, l, jj_sub(s, start, at)))
            return false;
    }
    return true;
}

static void reverse_list(struct jj_list *l)
{
    for (uint32_t i = 0; i < l->n / 2; i++) {
        struct jj_value v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

/* Start of the word that ends at `end`. */
static size_t word_start(struct str s, size_t end)
{
    size_t start = end;
    for (size_t at = 0; at < end; at += jj_char_bytes(s, at)) {
        if (jj_space_at(s, at))
            start = end;
        else if (start == end)
            start = at;
    }
    return start;
}

static bool rsplit_space(struct jj *j, struct jj_value s, int64_t max, struct jj_list *l)
{
    struct jj_value rest = s;
    for (;;) {
        if (!jj_spend(j, rest.s.n / 8 + 1) || !jj_str_strip(j, rest, jj_none(), false, true, &rest))
            return false;
        if (rest.s.n == 0)
            break;
        size_t start = max-- == 0 ? 0 : word_start(rest.s, rest.s.n);
        if (!jj_list_push(j, l, jj_sub(rest, start, rest.s.n)))
            return false;
        if (max < 0 && start == 0)
            break;
        rest = jj_sub(rest, 0, start);
    }
    reverse_list(l);
    return true;
}

static size_t find_last(struct str s, struct str needle)
{
    for (size_t at = s.n >= needle.n ? s.n - needle.n + 1 : 0; at-- > 0;)
        if (memcmp(s.p + at, needle.p, needle.n) == 0)
            return at;
    return STR_NONE;
}

static bool split_by(struct jj *j, struct jj_value s, struct str sep, int64_t max, bool from_right,
                     struct jj_list *l)
{
    size_t from = 0, to = s.s.n;
    while (max-- != 0) {
        size_t hit = from_right ? find_last(str_sub(s.s, 0, to), sep) : str_find(s.s, sep, from);
        if (hit == STR_NONE)
            break;
        struct jj_value part = from_right ? jj_sub(s, hit + sep.n, to) : jj_sub(s, from, hit);
        if (!jj_spend(j, 1) || !jj_list_push(j, l, part))
            return false;
        if (from_right)
            to = hit;
        else
            from = hit + sep.n;
    }
    if (!jj_list_push(j, l, jj_sub(s, from, to)))
        return false;
    if (from_right)
        reverse_list(l);
    return true;
}

static bool split(struct jj *j, struct jj_value self, struct jj_value *a, bool from_right,
                  struct jj_value *out)
{
    int64_t max = -1;
    struct jj_value sep = a[0];
    struct jj_list *l = jj_list_new(j, 0);
    if (!l || !jj_spend(j, self.s.n / 8))
        return false;
    *out = jj_of_list(l, JJ_LIST);
    if (!jj_is(a[1], JJ_MISSING) && !jj_need_int(j, a[1], "maxsplit", &max))
        return false;
    if (max < 0)
        max = -1;
    if (jj_is(sep, JJ_MISSING) || jj_is(sep, JJ_NONE))
        return from_right ? rsplit_space(j, self, max, l) : split_space(j, self, max, l);
    if (!jj_need_str(j, sep, "a separator", &sep))
        return false;
    if (sep.s.n == 0)
        return jj_fail(j, "a separator cannot be empty");
    return split_by(j, self, sep.s, max, from_right, l);
}

METHOD(str_split_)
{
    return split(j, self, a, false, out);
}
METHOD(str_rsplit)
{
    return split(j, self, a, true, out);
}
METHOD(str_splitlines)
{
    struct jj_list *l;
    if (!jj_str_lines(j, self, jj_truth(a[0]), &l))
        return false;
    *out = jj_of_list(l, JJ_LIST);
    return true;
}

/* Bytes [*from, *to) of `s` for the optional character positions a[0] and a[1]. */
static bool sub_range(struct jj *j, struct str s, const struct jj_value *a, size_t *from, size_t *to)
{
    int64_t n = (int64_t)jj_char_count(s), v[2] = {0, n};
    for (int i = 0; i < 2; i++) {
        if (jj_is(a[i], JJ_MISSING) || jj_is(a[i], JJ_NONE))
            continue;
        if (!jj_need_int(j, a[i], "a position", &v[i]))
            return false;
        if (v[i] < 0)
            v[i] = v[i] < -n ? 0 : v[i] + n;
    }
    *from = jj_char_offset(s, (size_t)v[0]);
    *to = jj_char_offset(s, (size_t)v[1]);
    if (v[0] > n || *to < *from)
        *from = *to = STR_NONE; /* nothing, not even the empty text, lies there */
    return jj_spend(j, s.n / 32);
}

static bool has_affix(struct jj *j, struct jj_value self, struct jj_value *a, bool at_end,
                      struct jj_value *out)
{
    size_t from, to;
    struct jj_list one = {.v = a, .n = 1}, *all = &one;
    *out = jj_bool(false);
    if (!sub_range(j, self.s, a + 1, &from, &to))
        return false;
    if (jj_is(a[0], JJ_TUPLE))
        all = a[0].list;
    for (uint32_t i = 0; i < all->n; i++) {
        struct jj_value affix;
        if (!jj_need_str(j, all->v[i], "what is compared with", &affix))
            return false;
        struct str s = str_sub(self.s, from, to);
        if (from != STR_NONE && (at_end ? str_ends(s, affix.s) : str_starts(s, affix.s)))
            *out = jj_bool(true);
    }
    return true;
}

METHOD(str_startswith)
{
    return has_affix(j, self, a, false, out);
}
METHOD(str_endswith)
{
    return has_affix(j, self, a, true, out);
}

METHOD(str_replace)
{
    int64_t count = -1;
    struct jj_value old, new_text;
    if (!jj_need_str(j, a[0], "what is replaced", &old) ||
        !jj_need_str(j, a[1], "the replacement", &new_text) ||
        (!jj_is(a[2], JJ_MISSING) && !jj_need_int(j, a[2], "count", &count)))
        return false;
    return jj_str_replace(j, self, old, new_text, count, out);
}

/* The character position of a[0] in self, or -1. */
static bool find_in(struct jj *j, struct jj_value self, struct jj_value *a, bool last, int64_t *pos)
{
    size_t from, to;
    struct jj_value needle;
    *pos = -1;
    if (!jj_need_str(j, a[0], "what is looked for", &needle) || !sub_range(j, self.s, a + 1, &from, &to))
        return false;
    if (from == STR_NONE)
        return true;
    struct str s = str_sub(self.s, from, to);
    size_t hit = last ? find_last(s, needle.s) : str_find(s, needle.s, 0);
    if (hit != STR_NONE)
        *pos = (int64_t)jj_char_count(str_sub(self.s, 0, from + hit));
    return true;
}

static bool find_method(struct jj *j, struct jj_value self, struct jj_value *a, bool last, bool must,
                        struct jj_value *out)
{
    int64_t pos;
    if (!find_in(j, self, a, last, &pos))
        return false;
    if (pos < 0 && must)
        return jj_fail(j, "substring not found");
    *out = jj_int(pos);
    return true;
}

METHOD(str_find_)
{
    return find_method(j, self, a, false, false, out);
}
METHOD(str_rfind)
{
    return find_method(j, self, a, true, false, out);
}
METHOD(str_index)
{
    return find_method(j, self, a, false, true, out);
}
METHOD(str_rindex)
{
    return find_method(j, self, a, true, true, out);
}

METHOD(str_count)
{
    size_t from, to;
    int64_t n = 0;
    struct jj_value needle;
    if (!jj_need_str(j, a[0], "what is counted", &needle) || !sub_range(j, self.s, a + 1, &from, &to))
        return false;
    struct str s = str_sub(self.s, from, to);
    if (from != STR_NONE && needle.s.n == 0)
        n = (int64_t)jj_char_count(s) + 1;
    else if (from != STR_NONE)
        for (size_t at = 0; (at = str_find(s, needle.s, at)) != STR_NONE; at += needle.s.n)
            n++;
    *out = jj_int(n);
    return true;
}

METHOD(str_join)
{
    struct jj_list *l;
    struct jj_text t = {0};
    if (!jj_items_of(j, a[0], &l))
        return false;
    for (uint32_t i = 0; i < l->n; i++) {
        struct jj_value item;
        if (!jj_need_str(j, l->v[i], "what is joined", &item) || (i && !jj_text_add_str(j, &t, self)) ||
            !jj_text_add_str(j, &t, item))
            return false;
    }
    *out = jj_text_value(&t);
    return true;
}

static bool str_format(struct jj *j, struct jj_value self, const struct jj_args *args, struct jj_value *out)
{
    return jj_brace_format(j, self, args, out);
}

static bool all_chars(struct str s, bool (*is)(uint32_t code))
{
    for (size_t at = 0; at < s.n; at += jj_char_bytes(s, at))
        if (!is(jj_code_at(s, at)))
            return false;
    return s.n > 0;
}

METHOD(str_isdigit)
{
    UNUSED_ARGS;
    *out = jj_bool(all_chars(self.s, jj_is_digit));
    return true;
}
METHOD(str_isalpha)
{
    UNUSED_ARGS;
    *out = jj_bool(all_chars(self.s, jj_is_alpha));
    return true;
}
METHOD(str_isalnum)
{
    UNUSED_ARGS;
    *out = jj_bool(all_chars(self.s, jj_is_alnum));
    return true;
}
METHOD(str_isspace)
{
    UNUSED_ARGS;
    size_t at = 0, n;
    while (at < self.s.n && (n = jj_space_at(self.s, at)) > 0)
        at += n;
    *out = jj_bool(self.s.n > 0 && at == self.s.n);
    return true;
}
METHOD(str_isascii)
{
    UNUSED_ARGS;
    bool is_ascii = true;
    for (size_t i = 0; i < self.s.n; i++)
        is_ascii &= (unsigned char)self.s.p[i] < 0x80;
    *out = jj_bool(is_ascii);
    return true;
}
METHOD(str_isupper)
{
    UNUSED_ARGS;
    *out = jj_bool(jj_str_is_case(self.s, true));
    return true;
}
METHOD(str_islower)
{
    UNUSED_ARGS;
    *out = jj_bool(jj_str_is_case(self.s, false));
    return true;
}

static bool pad(struct jj *j, struct jj_value self, struct jj_value *a, int where, struct jj_value *out)
{
    int64_t width;
    return jj_need_int(j, a[0], "the width", &width) && jj_str_center(j, self, width, a[1], where, out);
}
METHOD(str_center)
{
    return pad(j, self, a, 0, out);
}
METHOD(str_ljust)
{
    return pad(j, self, a, -1, out);
}
METHOD(str_rjust)
{
    return pad(j, self, a, 1, out);
}

METHOD(str_zfill)
{
    int64_t width;
    size_t sign = self.s.n && (self.s.p[0] == '-' || self.s.p[0] == '+');
    struct jj_text t = {0};
    struct jj_value digits;
    if (!jj_need_int(j, a[0], "the width", &width) ||
        !jj_str_center(j, jj_sub(self, sign, self.s.n), width - (int64_t)sign, jj_str(S("0")), 1, &digits) ||
        !jj_text_add_sub(j, &t, self, 0, sign) || !jj_text_add_str(j, &t, digits))
        return false;
    *out = jj_text_value(&t);
    return true;
}

static bool partition(struct jj *j, struct jj_value self, struct jj_value *a, bool last, struct jj_value *out)
{
    struct jj_value sep, empty = jj_str(S(""));
    struct jj_list *l = jj_list_new(j, 3);
    if (!l || !jj_need_str(j, a[0], "a separator", &sep))
        return false;
    if (sep.s.n == 0)
        return jj_fail(j, "a separator cannot be empty");
    size_t hit = last ? find_last(self.s, sep.s) : str_find(self.s, sep.s, 0);
    l->n = 3;
    *out = jj_of_list(l, JJ_TUPLE);
    if (hit == STR_NONE) {
        l->v[0] = last ? empty : self;
        l->v[1] = empty;
        l->v[2] = last ? self : empty;
        return true;
    }
    l->v[0] = jj_sub(self, 0, hit);
    l->v[1] = sep;
    l->v[2] = jj_sub(self, hit + sep.s.n, self.s.n);
    return true;
}
METHOD(str_partition)
{
    return partition(j, self, a, false, out);
}
METHOD(str_rpartition)
{
    return partition(j, self, a, true, out);
}

METHOD(str_removeprefix)
{
    struct jj_value affix;
    if (!jj_need_str(j, a[0], "the prefix", &affix))
        return false;
    *out = str_starts(self.s, affix.s) ? jj_sub(self, affix.s.n, self.s.n) : self;
    return true;
}
METHOD(str_removesuffix)
{
    struct jj_value affix;
    if (!jj_need_str(j, a[0], "the suffix", &affix))
        return false;
    *out = affix.s.n && str_ends(self.s, affix.s) ? jj_sub(self, 0, self.s.n - affix.s.n) : self;
    return true;
}

static const struct jj_builtin str_methods[] = {{"split", "sep? maxsplit?", str_split_, NULL},
                                                {"strip", "chars?", str_strip, NULL},
                                                {"lstrip", "chars?", str_lstrip, NULL},
                                                {"rstrip", "chars?", str_rstrip, NULL},
                                                {"startswith", "prefix start? end?", str_startswith, NULL},
                                                {"endswith", "suffix start? end?", str_endswith, NULL},
                                                {"replace", "old new count?", str_replace, NULL},
                                                {"upper", "", str_upper, NULL},
                                                {"lower", "", str_lower, NULL},
                                                {"casefold", "", str_lower, NULL},
                                                {"capitalize", "", str_capitalize, NULL},
                                                {"title", "", str_title, NULL},
                                                {"swapcase", "", str_swapcase, NULL},
                                                {"join", "iterable", str_join, NULL},
                                                {"format", NULL, NULL, str_format},
                                                {"rsplit", "sep? maxsplit?", str_rsplit, NULL},
                                                {"splitlines", "keepends?", str_splitlines, NULL},
                                                {"find", "sub start? end?", str_find_, NULL},
                                                {"rfind", "sub start? end?", str_rfind, NULL},
                                                {"index", "sub start? end?", str_index, NULL},
                                                {"rindex", "sub start? end?", str_rindex, NULL},
                                                {"count", "sub start? end?", str_count, NULL},
                                                {"isdigit", "", str_isdigit, NULL},
                                                {"isdecimal", "", str_isdigit, NULL},
                                                {"isnumeric", "", str_isdigit, NULL},
                                                {"isalpha", "", str_isalpha, NULL},
                                                {"isalnum", "", str_isalnum, NULL},
                                                {"isspace", "", str_isspace, NULL},
                                                {"isascii", "", str_isascii, NULL},
                                                {"isupper", "", str_isupper, NULL},
                                                {"islower", "", str_islower, NULL},
                                                {"center", "width fill?", str_center, NULL},
                                                {"ljust", "width fill?", str_ljust, NULL},
                                                {"rjust", "width fill?", str_rjust, NULL},
                                                {"zfill", "width", str_zfill, NULL},
                                                {"partition", "sep", str_partition, NULL},
                                                {"rpartition", "sep", str_rpartition, NULL},
                                                {"removeprefix", "prefix", str_removeprefix, NULL},
                                                {"removesuffix", "suffix", str_removesuffix, NULL},
                                                {0}};

/* ---- list and tuple ---- */

METHOD(list_append)
{
    *out = jj_none();
    return jj_list_push(j, self.list, a[0]);
}

METHOD(list_extend)
{
    struct jj_list *l;
    *out = jj_none();
    if (!jj_items_of(j, a[0], &l))
        return false;
    for (uint32_t i = 0, n = l->n; i < n; i++)
        if (!jj_spend(j, 1) || !jj_list_push(j, self.list, l->v[i]))
            return false;
    return true;
}

/* A position for insert or pop; -1 counts from the end. */
static bool list_place(struct jj *j, struct jj_value v, uint32_t n, int64_t fallback, int64_t *at)
{
    *at = fallback;
    if (!jj_is(v, JJ_MISSING) && !jj_need_int(j, v, "the position", at))
        return false;
    if (*at < 0)
        *at += n;
    return true;
}

METHOD(list_insert)
{
    int64_t at;
    struct jj_list *l = self.list;
    *out = jj_none();
    if (!list_place(j, a[0], l->n, 0, &at) || !jj_spend(j, l->n / 4) || !jj_list_push(j, l, a[1]))
        return false;
    uint32_t place = at < 0 ? 0 : at > l->n - 1 ? l->n - 1 : (uint32_t)at;
    memmove(l->v + place + 1, l->v + place, (l->n - 1 - place) * sizeof *l->v);
    l->v[place] = a[1];
    return true;
}

METHOD(list_pop)
{
    int64_t at;
    struct jj_list *l = self.list;
    if (!list_place(j, a[0], l->n, -1, &at) || !jj_spend(j, l->n / 4))
        return false;
    if (at < 0 || at >= l->n)
        return jj_fail(j, l->n ? "pop index out of range" : "pop from an empty list");
    *out = l->v[at];
    memmove(l->v + at, l->v + at + 1, (l->n - (uint32_t)at - 1) * sizeof *l->v);
    l->n--;
    return true;
}

METHOD(list_clear)
{
    UNUSED_ARGS;
    self.list->n = 0;
    *out = jj_none();
    return true;
}

METHOD(list_copy)
{
    (void)a;
    struct jj_list *l = jj_list_new(j, self.list->n);
    if (!l || !jj_spend(j, self.list->n / 4))
        return false;
    l->n = self.list->n;
    l->mark = self.list->mark;
    if (l->n)
        memcpy(l->v, self.list->v, l->n * sizeof *l->v);
    *out = jj_of_list(l, JJ_LIST);
    return true;
}

METHOD(list_reverse)
{
    (void)a;
    reverse_list(self.list);
    *out = jj_none();
    return jj_spend(j, self.list->n / 4);
}

METHOD(list_index)
{
    bool is_equal = false;
    for (uint32_t i = 0; i < self.list->n; i++) {
        if (!jj_equal(j, self.list->v[i], a[0], &is_equal))
            return false;
        *out = jj_int(i);
        if (is_equal)
            return true;
    }
    return jj_fail(j, "the value is not in the list");
}

METHOD(list_count)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < self.list->n; i++) {
        bool is_equal;
        if (!jj_equal(j, self.list->v[i], a[0], &is_equal))
            return false;
        n += is_equal;
    }
    *out = jj_int(n);
    return true;
}

METHOD(list_remove)
{
    struct jj_value at, gone;
    return list_index(j, self, a, &at) && list_pop(j, self, &at, &gone) && ((*out = jj_none()), true);
}

static const struct jj_builtin list_methods[] = {{"append", "item", list_append, NULL},
                                                 {"pop", "index?", list_pop, NULL},
                                                 {"extend", "items", list_extend, NULL},
                                                 {"insert", "index item", list_insert, NULL},
                                                 {"remove", "item", list_remove, NULL},
                                                 {"index", "item", list_index, NULL},
                                                 {"count", "item", list_count, NULL},
                                                 {"copy", "", list_copy, NULL},
                                                 {"reverse", "", list_reverse, NULL},
                                                 {"clear", "", list_clear, NULL},
                                                 {0}};
static const struct jj_builtin tuple_methods[] = {
    {"index", "item", list_index, NULL}, {"count", "item", list_count, NULL}, {0}};

/* ---- dict ---- */

static bool dict_view(struct jj *j, struct jj_value self, enum jj_iter_kind kind, struct jj_value *out)
{
    struct jj_list *l;
    return jj_dict_keys(j, self.dict, kind, &l) && jj_of_iter(j, l, kind, out);
}
METHOD(dict_items)
{
    (void)a;
    return dict_view(j, self, JJ_ITEMS, out);
}
METHOD(dict_keys)
{
    (void)a;
    return dict_view(j, self, JJ_KEYS, out);
}
METHOD(dict_values)
{
    (void)a;
    return dict_view(j, self, JJ_VALUES, out);
}

METHOD(dict_get)
{
    struct jj_entry *e;
    if (!jj_dict_find(j, self.dict, a[0], &e))
        return false;
    *out = e ? e->value : jj_is(a[1], JJ_MISSING) ? jj_none() : a[1];
    return true;
}

METHOD(dict_setdefault)
{
    struct jj_entry *e;
    struct jj_value fallback = jj_is(a[1], JJ_MISSING) ? jj_none() : a[1];
    if (!jj_dict_find(j, self.dict, a[0], &e))
        return false;
    *out = e ? e->value : fallback;
    return e || jj_dict_set(j, self.dict, a[0], fallback);
}

METHOD(dict_pop)
{
    struct jj_entry *e;
    if (!jj_dict_find(j, self.dict, a[0], &e))
        return false;
    if (!e && jj_is(a[1], JJ_MISSING))
        return jj_fail(j, "pop: the dict has no such key");
    *out = e ? e->value : a[1];
    return !e || jj_dict_remove(j, self.dict, e);
}

METHOD(dict_copy)
{
    (void)a;
    struct jj_dict *d = jj_dict_new(j);
    if (!d)
        return false;
    d->mark = self.dict->mark;
    for (uint32_t i = 0; i < self.dict->n; i++)
        if (!jj_spend(j, 1) || !jj_dict_set(j, d, self.dict->e[i].key, self.dict->e[i].value))
            return false;
    *out = (struct jj_value){.type = JJ_DICT, .dict = d};
    return true;
}

static bool dict_update(struct jj *j, struct jj_value self, const struct jj_args *args, struct jj_value *out)
{
    *out = jj_none();
    if (args->n > 1 || (args->n == 1 && !jj_is(args->v[0], JJ_DICT)))
        return jj_fail(j, "update needs a dict");
    for (uint32_t i = 0; args->n && i < args->v[0].dict->n; i++)
        if (!jj_spend(j, 1) ||
            !jj_dict_set(j, self.dict, args->v[0].dict->e[i].key, args->v[0].dict->e[i].value))
            return false;
    for (uint32_t i = 0; i < args->n_kw; i++)
        if (!jj_dict_set(j, self.dict, jj_str(args->kw[i].name), args->kw[i].value))
            return false;
    return true;
}

static const struct jj_builtin dict_methods[] = {{"items", "", dict_items, NULL},
                                                 {"keys", "", dict_keys, NULL},
                                                 {"values", "", dict_values, NULL},
                                                 {"get", "key default?", dict_get, NULL},
                                                 {"copy", "", dict_copy, NULL},
                                                 {"pop", "key default?", dict_pop, NULL},
                                                 {"setdefault", "key default?", dict_setdefault, NULL},
                                                 {"update", NULL, NULL, dict_update},
                                                 {0}};

/* ---- loop and cycler ---- */

static bool loop_cycle(struct jj *j, struct jj_value self, const struct jj_args *args, struct jj_value *out)
{
    return jj_loop_cycle(j, self.loop, args, out);
}
static bool loop_changed(struct jj *j, struct jj_value self, const struct jj_args *args, struct jj_value *out)
{
    return jj_loop_changed(j, self.loop, args, out);
}
static const struct jj_builtin loop_methods[] = {
    {"cycle", NULL, NULL, loop_cycle}, {"changed", NULL, NULL, loop_changed}, {0}};

METHOD(cycler_next)
{
    UNUSED_ARGS;
    struct jj_cycler *c = self.cycler;
    *out = c->items->v[c->at];
    c->at = (c->at + 1) % c->items->n;
    return true;
}
METHOD(cycler_reset)
{
    UNUSED_ARGS;
    self.cycler->at = 0;
    *out = jj_none();
    return true;
}
static const struct jj_builtin cycler_methods[] = {
    {"next", "", cycler_next, NULL}, {"reset", "", cycler_reset, NULL}, {0}};

METHOD(float_is_integer)
{
    UNUSED_ARGS;
    *out = jj_bool(self.f - self.f == 0 && self.f == __builtin_floor(self.f));
    return true;
}
static const struct jj_builtin float_methods[] = {{"is_integer", "", float_is_integer, NULL}, {0}};

/* ---- finding and calling ---- */

bool jj_find_method(struct jj *j, struct jj_value self, struct str name, struct jj_value *out, bool *is_found)
{
    static const struct jj_builtin *const tables[] = {
        [JJ_STR] = str_methods,     [JJ_LIST] = list_methods, [JJ_TUPLE] = tuple_methods,
        [JJ_DICT] = dict_methods,   [JJ_LOOP] = loop_methods, [JJ_CYCLER] = cycler_methods,
        [JJ_FLOAT] = float_methods, [JJ_JOINER] = NULL};
    *is_found = false;
    if (jj_is(self, JJ_ITER) && self.iter->kind == JJ_RANGE)
        self = jj_of_list(self.iter->list, JJ_TUPLE); /* index and count alone, as a tuple's */
    for (const struct jj_builtin *f = tables[self.type]; f && f->name; f++) {
        if (!str_eq(name, str_c(f->name)))
            continue;
        struct jj_method *m = arena_new(j->arena, struct jj_method);
        if (!m)
            return jj_no_memory(j);
        *m = (struct jj_method){self, f};
        *out = (struct jj_value){.type = JJ_METHOD, .method = m};
        *is_found = true;
        return true;
    }
    return true;
}

/* Does the method change a list or dict that came as input? */
static bool changes_input(const struct jj_method *m)
{
    static const char *const changing[] = {"append", "pop",     "extend", "insert",    "remove",
                                           "clear",  "reverse", "update", "setdefault"};
    bool is_input =
        jj_is(m->self, JJ_LIST) ? m->self.list->mark : jj_is(m->self, JJ_DICT) && m->self.dict->mark;
    for (size_t i = 0; is_input && i < sizeof changing / sizeof *changing; i++)
        if (str_eq(str_c(m->f->name), str_c(changing[i])))
            return true;
    return false;
}

bool jj_call_method(struct jj *j, struct jj_method *m, const struct jj_args *args, struct jj_value *out)
{
    j->input_has_changed |= changes_input(m);
    return jj_run_builtin(j, m->f, m->self, args, out);
}
