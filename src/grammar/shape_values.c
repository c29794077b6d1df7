/* shape_values.c - enum and const: a few values, of which each is a text.
 *
 * A value stays if every schema of the shape takes it, which the validator of instances says. */
#include <stdio.h>

#include "grammar/schema_check_int.h"
#include "grammar/shape_int.h"
#include "grammar/words.h"

#define VALUE_TEXT_MAX ((size_t)1 << 20)
#define INTEGERS_MAX   64 /* between two bounds, to be listed */
#define UNLISTED       UINT32_MAX

bool shape_has_values(const struct plain *p)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->nodes[i]->has & (SCHEMA_HAS_CONST | SCHEMA_HAS_ENUM))
            return true;
    return false;
}

static bool is_excluded(struct shaper *s, const struct plain *p, struct json v)
{
    for (uint32_t i = 0; i < p->n_excluded; i++) {
        const struct schema_node *n = p->excluded[i];
        struct json_iter it = json_iter(n->enum_values);
        if (n->has & SCHEMA_HAS_CONST && schema_values_equal(n->const_value, v))
            return true;
        while (n->has & SCHEMA_HAS_ENUM && json_next(&it))
            if (schema_values_equal(it.value, v))
                return true;
        if (!n->pattern.p || !json_is(v, JSON_STRING))
            continue;
        struct dfa *d = shape_pattern_dfa(s, n, "pattern", n->pattern);
        if (d && dfa_accepts(d, json_text(v, s->arena)))
            return true;
    }
    return false;
}

/* One more text; false without room. */
struct texts {
    struct shaper *s;
    bool may_repeat; /* the same text may be there twice */
    struct str *items;
    uint32_t n, cap;
};

static bool add_text(struct texts *t, struct str text)
{
    for (uint32_t i = 0; i < t->n && !t->may_repeat; i++)
        if (str_eq(t->items[i], text))
            return true;
    if (t->n == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 8;
        struct str *grown = arena_new_array(t->s->arena, struct str, cap);
        if (!grown)
            return false;
        if (t->n > 0)
            memcpy(grown, t->items, t->n * sizeof *grown);
        t->items = grown;
        t->cap = cap;
    }
    t->items[t->n] = arena_str(t->s->arena, text);
    return t->items[t->n++].p != NULL;
}

/* Numbers are also taken as JSON.stringify writes them: 1 for 1.0. */
static bool add_value(struct texts *t, struct json v, bool all_spellings)
{
    struct buf b;
    double d;
    if (t->s->is_text)
        return !json_is(v, JSON_STRING) || add_text(t, json_text(v, t->s->arena));
    buf_init(&b, VALUE_TEXT_MAX);
    bool ok = schema_write_compact(&b, v) && add_text(t, buf_str(&b));
    if (ok && all_spellings && json_f64(v, &d)) {
        struct json_doc doc;
        buf_clear(&b);
        struct json_writer w = json_writer(&b);
        jw_f64(&w, d);
        if (buf_ok(&b) && json_parse(&doc, t->s->arena, buf_str(&b), NULL) == OK &&
            schema_values_equal(json_root(&doc), v))
            ok = add_text(t, buf_str(&b));
    }
    buf_deinit(&b);
    return ok;
}

/* v is of the list of p->nodes[from], which is not searched for it again (UNLISTED: of none). */
static bool is_taken_by_all(struct shaper *s, struct schema_checker *k, const struct plain *p, uint32_t from,
                            struct json v)
{
    struct schema_node unlisted = *p->nodes[from == UNLISTED ? 0 : from];
    unlisted.has &= ~(uint32_t)(unlisted.has & SCHEMA_HAS_CONST ? SCHEMA_HAS_CONST : SCHEMA_HAS_ENUM);
    struct check c = {.checker = k};
    struct place root = {0};
    bool ok = true;
    check_set_bounds(&c);
    arena_init(&c.arena, 1 << 24);
    for (uint32_t i = 0; i < p->n_nodes && ok; i++) {
        const struct schema_node *n = p->nodes[i];
        bool is_made_here = n->id >= schema_n_nodes(s->schema);
        if (is_made_here && n->not_) /* it is among the excluded */
            continue;
        ok = check_quietly(&c, i == from ? &unlisted : n, v, &root, NULL);
    }
    arena_deinit(&c.arena);
    if (c.rc != OK)
        shape_fail(s, ERR_LIMIT, p->nodes[0], NULL, "has values that cannot be checked within bounds");
    return ok && !is_excluded(s, p, v);
}

/* The values of the first schema that lists some, as far as all others take them too. */
static bool list_enum(struct texts *t, const struct plain *p, bool all_spellings)
{
    struct shaper *s = t->s;
    struct schema_checker *checker;
    struct err err = {0};
    uint32_t i = 0;
    while (!(p->nodes[i]->has & (SCHEMA_HAS_CONST | SCHEMA_HAS_ENUM)))
        i++;
    const struct schema_node *n = p->nodes[i];
    if (schema_checker_create(&checker, s->schema, &err) != OK) {
        shape_fail(s, err.code, n, NULL, "cannot be checked: %s", err.text);
        return false;
    }
    bool ok = true;
    struct json_iter it = json_iter(n->enum_values);
    if (n->has & SCHEMA_HAS_CONST) {
        if (is_taken_by_all(s, checker, p, i, n->const_value))
            ok = add_value(t, n->const_value, all_spellings);
    } else {
        while (ok && json_next(&it))
            if (is_taken_by_all(s, checker, p, i, it.value))
                ok = add_value(t, it.value, all_spellings);
    }
    schema_checker_free(checker);
    if (!ok)
        shape_fail(s, ERR_LIMIT, n, NULL, "has too many values");
    return ok && !s->c->has_failed;
}

static bool is_whole(const struct schema_number *n, int64_t *v)
{
    return schema_number_exists(n) && schema_number_i64(n, v);
}

static void narrow(int64_t *lo, int64_t *hi, const struct schema_node *n)
{
    int64_t v;
    if (is_whole(&n->minimum, &v) && v > *lo)
        *lo = v;
    if (is_whole(&n->exclusive_minimum, &v) && v >= *lo)
        *lo = v + (v < INT64_MAX);
    if (is_whole(&n->maximum, &v) && v < *hi)
        *hi = v;
    if (is_whole(&n->exclusive_maximum, &v) && v <= *hi)
        *hi = v - (v > INT64_MIN);
}

/* Integers, if whole bounds say that they are few. */
static bool list_integers(struct texts *t, const struct plain *p)
{
    struct shaper *s = t->s;
    struct schema_checker *checker;
    struct err err = {0};
    int64_t lo = INT64_MIN, hi = INT64_MAX;
    for (uint32_t i = 0; i < p->n_nodes; i++)
        narrow(&lo, &hi, p->nodes[i]);
    bool are_few = lo > hi || (uint64_t)hi - (uint64_t)lo < INTEGERS_MAX;
    if (!are_few || schema_checker_create(&checker, s->schema, &err) != OK)
        return false;
    bool ok = true;
    for (uint64_t i = 0; lo <= hi && i <= (uint64_t)hi - (uint64_t)lo && ok; i++) {
        char digits[24];
        struct json_doc doc;
        snprintf(digits, sizeof digits, "%lld", (long long)(lo + (int64_t)i));
        struct str text = arena_str(s->arena, str_c(digits));
        ok = text.p && json_parse(&doc, s->arena, text, NULL) == OK;
        if (ok && is_taken_by_all(s, checker, p, UNLISTED, json_root(&doc)))
            ok = add_text(t, text);
    }
    schema_checker_free(checker);
    return ok && !s->c->has_failed;
}

bool shape_list_values(struct shaper *s, const struct plain *p, struct str **texts, uint32_t *n)
{
    struct texts t = {.s = s};
    if (shape_has_values(p)) {
        if (!list_enum(&t, p, false))
            return false;
    } else if (p->types == SCHEMA_INTEGER) {
        if (!list_integers(&t, p))
            return false;
    } else {
        static const char *const words[] = {"null", "true", "false"};
        if (p->types & ~(uint32_t)(SCHEMA_NULL | SCHEMA_BOOLEAN) || p->n_excluded > 0)
            return false;
        for (int i = 0; i < 3; i++)
            if (p->types & (i == 0 ? SCHEMA_NULL : SCHEMA_BOOLEAN) && !add_text(&t, str_c(words[i])))
                return false;
    }
    *texts = t.items;
    *n = t.n;
    return true;
}

uint32_t shape_values(struct shaper *s, const struct plain *p, uint32_t next)
{
    struct texts t = {.s = s, .may_repeat = true};
    if (!list_enum(&t, p, true) || t.n == 0)
        return NET_NOTHING;
    return words_to_net(&s->c->room, t.items, t.n, next);
}
