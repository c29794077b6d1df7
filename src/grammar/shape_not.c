/* shape_not.c - What holds where a schema does not: for `if` and `not`.
 *
 * A schema says several things together; it fails where at least one of them does.  So its negation
 * is a list of schemas, made here, of which at least one holds. */
#include <stdlib.h>

#include "grammar/shape_int.h"

#define NOT_DEPTH_MAX 16

static bool push(struct shaper *s, struct shape_nodes *out, const struct schema_node *n)
{
    if (!n)
        return false;
    if (out->n == out->cap) {
        uint32_t cap = out->cap ? out->cap * 2 : 8;
        const struct schema_node **grown = arena_new_array(s->arena, const struct schema_node *, cap);
        if (!grown) {
            compile_fail(s->c, ERR_LIMIT, S("#"), "the schema is too large");
            return false;
        }
        if (out->n > 0)
            memcpy(grown, out->nodes, out->n * sizeof *grown);
        out->nodes = grown;
        out->cap = cap;
    }
    out->nodes[out->n++] = n;
    return true;
}

struct schema_node *shape_new_node(struct shaper *s, const struct schema_node *like)
{
    struct schema_node *n = arena_new(s->arena, struct schema_node);
    if (!n) {
        compile_fail(s->c, ERR_LIMIT, S("#"), "the schema is too large");
        return NULL;
    }
    n->kind = SCHEMA_KIND_OBJECT;
    n->id = s->next_id++;
    n->pointer = like->pointer;
    n->types = SCHEMA_ANY;
    n->max_length = n->max_items = n->max_properties = n->max_contains = SCHEMA_NO_MAX;
    return n;
}

struct schema_node *shape_new_member(struct shaper *s, const struct schema_node *like, struct str name,
                                     const struct schema_node *schema, bool is_required)
{
    struct schema_node *n = shape_new_node(s, like), *none = schema ? NULL : shape_new_node(s, like);
    struct schema_property *p = arena_new(s->arena, struct schema_property);
    uint32_t *by_name = arena_new(s->arena, uint32_t);
    struct str *required = arena_new(s->arena, struct str);
    if (!n || (!schema && !none) || !p || !by_name || !required) {
        compile_fail(s->c, ERR_LIMIT, S("#"), "the schema is too large");
        return NULL;
    }
    if (none)
        none->kind = SCHEMA_KIND_FALSE;
    *p = (struct schema_property){name, schema ? schema : none, is_required};
    *required = name;
    n->types = SCHEMA_OBJECT;
    n->properties = p;
    n->n_properties = 1;
    n->properties_by_name = by_name;
    n->required = required;
    n->n_required = is_required;
    return n;
}

static bool refuse(struct shaper *s, const struct schema_node *n, const char *keyword)
{
    shape_fail(s, ERR_UNSUPPORTED, n, keyword,
               "stands where its contrary must be held (if, not), which cannot be");
    return false;
}

static const struct schema_node *new_not(struct shaper *s, const struct schema_node *of)
{
    struct schema_node *n = shape_new_node(s, of);
    if (n)
        n->not_ = of;
    return n;
}

/* ---- the keywords ---- */

static bool negate_types(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    uint32_t types = n->types | (n->types & SCHEMA_NUMBER ? SCHEMA_INTEGER : 0), others = SCHEMA_ANY & ~types;
    if (!(n->has & SCHEMA_HAS_TYPE) || others == 0)
        return true;
    if ((types & SCHEMA_INTEGER) && !(types & SCHEMA_NUMBER))
        return refuse(s, n, "type");
    struct schema_node *other = shape_new_node(s, n);
    if (other)
        other->types = (uint8_t)others;
    return push(s, out, other);
}

/* A schema that has only the const or the enum of n. */
static const struct schema_node *values_of(struct shaper *s, const struct schema_node *n, uint32_t which)
{
    struct schema_node *v = shape_new_node(s, n);
    if (!v)
        return NULL;
    v->has = which;
    v->const_value = n->const_value;
    v->enum_values = n->enum_values;
    return v;
}

static bool negate_values(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    for (uint32_t which = SCHEMA_HAS_CONST; which <= SCHEMA_HAS_ENUM; which *= 2) {
        const struct schema_node *v = n->has & which ? values_of(s, n, which) : NULL;
        if (n->has & which && (!v || !push(s, out, new_not(s, v))))
            return false;
    }
    return true;
}

static bool negate_bound(struct shaper *s, const struct schema_node *n, const struct schema_number *bound,
                         size_t to_offset, struct shape_nodes *out)
{
    if (!schema_number_exists(bound))
        return true;
    struct schema_node *other = shape_new_node(s, n);
    if (!other)
        return false;
    other->types = SCHEMA_NUMBER;
    *(struct schema_number *)((char *)other + to_offset) = *bound;
    return push(s, out, other);
}

static bool negate_number(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    if (schema_number_exists(&n->multiple_of))
        return refuse(s, n, "multipleOf");
    return negate_bound(s, n, &n->minimum, offsetof(struct schema_node, exclusive_maximum), out) &&
           negate_bound(s, n, &n->maximum, offsetof(struct schema_node, exclusive_minimum), out) &&
           negate_bound(s, n, &n->exclusive_minimum, offsetof(struct schema_node, maximum), out) &&
           negate_bound(s, n, &n->exclusive_maximum, offsetof(struct schema_node, minimum), out);
}

/* Fewer than min, or more than max: `at` are the offsets of the two fields. */
static bool negate_count(struct shaper *s, const struct schema_node *n, uint32_t type, size_t min_at,
                         size_t max_at, struct shape_nodes *out)
{
    uint64_t min = *(const uint64_t *)((const char *)n + min_at);
    uint64_t max = *(const uint64_t *)((const char *)n + max_at);
    struct schema_node *fewer = min > 0 ? shape_new_node(s, n) : NULL;
    struct schema_node *more = max != SCHEMA_NO_MAX ? shape_new_node(s, n) : NULL;
    if (fewer) {
        fewer->types = (uint8_t)type;
        *(uint64_t *)((char *)fewer + max_at) = min - 1;
    }
    if (more) {
        more->types = (uint8_t)type;
        *(uint64_t *)((char *)more + min_at) = max + 1;
    }
    return (min == 0 || push(s, out, fewer)) && (max == SCHEMA_NO_MAX || push(s, out, more));
}

static bool negate_string(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    if (n->format != SCHEMA_FORMAT_NONE)
        return refuse(s, n, "format");
    if (n->pattern.p) {
        struct schema_node *p = shape_new_node(s, n), *other = shape_new_node(s, n);
        if (!p || !other)
            return false;
        p->has = SCHEMA_HAS_STRING | SCHEMA_HAS_TYPE;
        p->types = SCHEMA_STRING;
        p->pattern = n->pattern;
        other->types = SCHEMA_STRING;
        other->not_ = p;
        if (!push(s, out, other))
            return false;
    }
    return negate_count(s, n, SCHEMA_STRING, offsetof(struct schema_node, min_length),
                        offsetof(struct schema_node, max_length), out);
}

static bool negate_array(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    if (n->items || n->prefix_items.n > 0)
        return refuse(s, n, n->items ? "items" : "prefixItems");
    if (n->unique_items || n->contains || n->unevaluated_items)
        return refuse(s, n, n->unique_items ? "uniqueItems" : n->contains ? "contains" : "unevaluatedItems");
    return negate_count(s, n, SCHEMA_ARRAY, offsetof(struct schema_node, min_items),
                        offsetof(struct schema_node, max_items), out);
}

static bool negate_object(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    if (n->n_pattern_properties > 0 || n->additional_properties)
        return refuse(s, n, n->additional_properties ? "additionalProperties" : "patternProperties");
    if (n->property_names || n->n_dependents > 0 || n->unevaluated_properties)
        return refuse(s, n, n->property_names ? "propertyNames" : "unevaluatedProperties");
    for (uint32_t i = 0; i < n->n_required; i++)
        if (!push(s, out, shape_new_member(s, n, n->required[i], NULL, false)))
            return false;
    for (uint32_t i = 0; i < n->n_properties; i++) {
        const struct schema_node *other = new_not(s, n->properties[i].schema);
        if (!other || !push(s, out, shape_new_member(s, n, n->properties[i].name, other, true)))
            return false;
    }
    return negate_count(s, n, SCHEMA_OBJECT, offsetof(struct schema_node, min_properties),
                        offsetof(struct schema_node, max_properties), out);
}

/* anyOf fails where every branch does. */
static bool negate_any_of(struct shaper *s, const struct schema_node *n, struct shape_nodes *out)
{
    if (n->any_of.n == 0)
        return true;
    struct schema_node *all = shape_new_node(s, n);
    const struct schema_node **nots = arena_new_array(s->arena, const struct schema_node *, n->any_of.n);
    if (!all || !nots) {
        compile_fail(s->c, ERR_LIMIT, S("#"), "the schema is too large");
        return false;
    }
    for (uint32_t i = 0; i < n->any_of.n; i++)
        if (!(nots[i] = new_not(s, n->any_of.items[i])))
            return false;
    all->all_of = (struct schema_list){nots, n->any_of.n};
    return push(s, out, all);
}

static bool negate_one(struct shaper *s, const struct schema_node *n, struct shape_nodes *out,
                       struct shape_nodes *pending)
{
    if (n->kind == SCHEMA_KIND_TRUE)
        return true;
    if (n->kind == SCHEMA_KIND_FALSE)
        return push(s, out, shape_new_node(s, n));
    if (n->unknown.p)
        return refuse(s, n, NULL);
    if (n->one_of.n > 0 || (n->if_ && (n->then_ || n->else_)))
        return refuse(s, n, n->one_of.n > 0 ? "oneOf" : "if");
    if ((n->ref && !push(s, pending, n->ref)) || (n->not_ && !push(s, out, n->not_)))
        return false;
    for (uint32_t i = 0; i < n->all_of.n; i++)
        if (!push(s, pending, n->all_of.items[i]))
            return false;
    return negate_any_of(s, n, out) && negate_types(s, n, out) && negate_values(s, n, out) &&
           negate_number(s, n, out) && negate_string(s, n, out) && negate_array(s, n, out) &&
           negate_object(s, n, out);
}

bool shape_negate(struct shaper *s, const struct schema_node *node, struct shape_nodes *out)
{
    struct shape_nodes pending = {0};
    if (!push(s, &pending, node))
        return false;
    for (uint32_t i = 0; i < pending.n; i++) {
        if (i == NOT_DEPTH_MAX)
            return refuse(s, node, NULL);
        if (!negate_one(s, pending.nodes[i], out, &pending))
            return false;
    }
    return true;
}
