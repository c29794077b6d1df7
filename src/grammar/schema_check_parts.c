/* schema_check_parts.c - The keywords of arrays and of objects. */
#include <stdlib.h>

#include "grammar/schema_check_int.h"

static struct place inside(const struct place *at, struct json key, uint32_t idx)
{
    return (struct place){.up = at, .key = key, .idx = idx, .depth = at->depth + 1};
}

/* ---- arrays ---- */

struct hashed {
    uint64_t hash;
    uint32_t i;
    struct json value;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : x->i < y->i ? -1 : x->i > y->i;
}

static bool check_unique(struct check *c, const struct schema_node *node, struct json v,
                         const struct place *at)
{
    uint32_t n = json_count(v);
    struct hashed *items = arena_new_array(&c->arena, struct hashed, n ? n : 1);
    if (!items)
        c->rc = ERR_NOMEM;
    if (!items || !check_spend(c, n + json_span(v).n / 16))
        return false;
    struct json_iter it = json_iter(v);
    while (json_next(&it))
        items[it.i] = (struct hashed){schema_value_hash(it.value), it.i, it.value};
    if (n)
        qsort(items, n, sizeof *items, by_hash);
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && items[j - 1].hash == items[i].hash; j--) {
            if (!check_spend(c, 1))
                return false;
            if (schema_values_equal(items[j - 1].value, items[i].value))
                return check_fault(c, node, "uniqueItems", at,
                                   "must have no equal elements, and %u and %u are equal", items[j - 1].i,
                                   items[i].i);
        }
    return true;
}

static bool check_contains(struct check *c, const struct schema_node *node, struct json v,
                           const struct place *at, struct evaluated *seen)
{
    uint64_t n = 0;
    struct json_iter it = json_iter(v);
    while (json_next(&it) && c->rc == OK) {
        struct place here = inside(at, json_absent(), it.i);
        if (check_quietly(c, node->contains, it.value, &here, NULL)) {
            n++;
            evaluated_add(seen, it.i);
        }
    }
    if (c->rc != OK)
        return false;
    if (n < node->min_contains)
        return check_fault(c, node, node->min_contains == 1 ? "contains" : "minContains", at,
                           "must have at least %llu elements that match contains, not %llu",
                           (unsigned long long)node->min_contains, (unsigned long long)n);
    if (n > node->max_contains)
        return check_fault(c, node, "maxContains", at,
                           "must have at most %llu elements that match contains, not %llu",
                           (unsigned long long)node->max_contains, (unsigned long long)n);
    return true;
}

bool check_array(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                 struct evaluated *seen)
{
    uint64_t n = json_count(v);
    bool is_open = check_is_open(c, v);
    if (n < node->min_items && !is_open)
        return check_fault(c, node, "minItems", at, "must have at least %llu elements, not %llu",
                           (unsigned long long)node->min_items, (unsigned long long)n);
    if (n > node->max_items)
        return check_fault(c, node, "maxItems", at, "must have at most %llu elements, not %llu",
                           (unsigned long long)node->max_items, (unsigned long long)n);
    struct json_iter it = json_iter(v);
    while ((node->prefix_items.n || node->items) && json_next(&it)) {
        const struct schema_node *item =
            it.i < node->prefix_items.n ? node->prefix_items.items[it.i] : node->items;
        if (!item)
            break;
        struct place here = inside(at, json_absent(), it.i);
        if (!check_node(c, item, it.value, &here, NULL))
            return false;
        evaluated_add(seen, it.i);
    }
    if (is_open)
        return true;
    if (node->contains && !check_contains(c, node, v, at, seen))
        return false;
    return !node->unique_items || check_unique(c, node, v, at);
}

/* ---- objects ---- */

/* One member: properties, patternProperties, and additionalProperties when neither spoke of it. */
static bool check_member(struct check *c, const struct schema_node *node, const struct json_iter *it,
                         const struct place *at, struct evaluated *seen)
{
    struct str name = check_text(c, it->key_value);
    struct place here = inside(at, it->key_value, it->i);
    const struct schema_property *p = schema_property_find(node, name);
    bool is_known = p != NULL;
    if (p && !check_node(c, p->schema, it->value, &here, NULL))
        return false;
    for (uint32_t i = 0; i < node->n_pattern_properties; i++) {
        bool matches = false;
        if (!check_match(c, c->checker->patterns[node->id].properties[i], name, &matches))
            return false;
        if (!matches)
            continue;
        is_known = true;
        if (!check_node(c, node->pattern_properties[i].schema, it->value, &here, NULL))
            return false;
    }
    if (!is_known && node->additional_properties) {
        is_known = true;
        if (node->additional_properties->kind == SCHEMA_KIND_FALSE)
            return check_fault(c, node, "additionalProperties", at, "must not have the property '%.*s'",
                               STR(str_sub(name, 0, 100)));
        if (!check_node(c, node->additional_properties, it->value, &here, NULL))
            return false;
    }
    if (is_known)
        evaluated_add(seen, it->i);
    if (!node->property_names)
        return true;
    return check_node(c, node->property_names, it->key_value, &here, NULL);
}

static bool check_counts(struct check *c, const struct schema_node *node, struct json v,
                         const struct place *at)
{
    uint64_t n = json_count(v);
    if (n < node->min_properties && !check_is_open(c, v))
        return check_fault(c, node, "minProperties", at, "must have at least %llu properties, not %llu",
                           (unsigned long long)node->min_properties, (unsigned long long)n);
    if (n > node->max_properties)
        return check_fault(c, node, "maxProperties", at, "must have at most %llu properties, not %llu",
                           (unsigned long long)node->max_properties, (unsigned long long)n);
    return true;
}

static bool has_member(struct check *c, struct json v, struct str name)
{
    check_spend(c, 1 + json_count(v));
    return json_exists(json_get_str(v, name));
}

static bool check_names(struct check *c, const struct schema_node *node, const char *keyword,
                        const struct str *names, uint32_t n, struct json v, const struct place *at)
{
    for (uint32_t i = 0; i < n && c->rc == OK; i++)
        if (!has_member(c, v, names[i]))
            return check_fault(c, node, keyword, at, "must have the property '%.*s'",
                               STR(str_sub(names[i], 0, 100)));
    return c->rc == OK;
}

static bool check_dependents(struct check *c, const struct schema_node *node, struct json v,
                             const struct place *at, struct evaluated *seen)
{
    for (uint32_t i = 0; i < node->n_dependents && c->rc == OK; i++) {
        const struct schema_dependent *d = &node->dependents[i];
        if (!has_member(c, v, d->name))
            continue;
        if (d->schema && !check_node(c, d->schema, v, at, seen))
            return false;
        if (!d->schema && !check_names(c, node, "dependentRequired", d->required, d->n_required, v, at))
            return false;
    }
    return c->rc == OK;
}

bool check_object(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                  struct evaluated *seen)
{
    bool is_open = check_is_open(c, v);
    if (!check_counts(c, node, v, at) ||
        (!is_open && !check_names(c, node, "required", node->required, node->n_required, v, at)))
        return false;
    bool looks_inside = node->n_properties || node->n_pattern_properties || node->additional_properties ||
                        node->property_names;
    struct json_iter it = json_iter(v);
    while (looks_inside && json_next(&it))
        if (!check_member(c, node, &it, at, seen))
            return false;
    return is_open || check_dependents(c, node, v, at, seen);
}

/* ---- what nobody has spoken of ---- */

bool check_unevaluated(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                       struct evaluated *seen)
{
    bool is_object = json_is(v, JSON_OBJECT);
    const struct schema_node *rest = is_object ? node->unevaluated_properties : node->unevaluated_items;
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        if (evaluated_has(seen, it.i))
            continue;
        struct place here = inside(at, is_object ? it.key_value : json_absent(), it.i);
        if (!check_node(c, rest, it.value, &here, NULL))
            return false;
        evaluated_add(seen, it.i);
    }
    return true;
}
