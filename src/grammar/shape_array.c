/* shape_array.c - Arrays: elements with a place of their own, then a counted loop of the others. */
#include "grammar/shape_int.h"

#define PLACES_MAX 2000

struct array {
    struct shaper *s;
    const struct plain *p;
    uint32_t n_places;     /* elements with a schema of their own */
    uint32_t min, max;     /* elements */
    uint32_t close, empty; /* nodes: the end behind elements, and without any */
};

/* What holds for element i. */
static struct shape_set element(const struct array *a, uint32_t i)
{
    struct shape_set set = {.s = a->s};
    for (uint32_t k = 0; k < a->p->n_nodes; k++) {
        const struct schema_node *n = a->p->nodes[k];
        if (i < n->prefix_items.n)
            shape_set_add(&set, n->prefix_items.items[i]);
        else if (n->items)
            shape_set_add(&set, n->items);
    }
    return set;
}

static uint32_t after_comma(const struct array *a, uint32_t next)
{
    return net_byte(a->s->net, ',', ',', json_net_blank_after(&a->s->json, next));
}

/* All elements from number i on, the first without a comma if i is 0; at least min in all. */
static uint32_t others(const struct array *a, uint32_t i)
{
    struct net *net = a->s->net;
    if (i >= a->max)
        return i > a->max || a->min > i ? NET_NOTHING : i == 0 ? a->empty : a->close;
    uint32_t max = a->max == NET_NO_MAX ? NET_NO_MAX : a->max - i, min = a->min > i ? a->min - i : 0;
    struct shape_set one = element(a, a->n_places);
    uint32_t body = after_comma(a, shape_value(&one, NET_RET));
    if (i > 0)
        return net_loop(net, body, min, max, false, a->close);
    uint32_t more = max == NET_NO_MAX ? NET_NO_MAX : max - 1;
    struct shape_set first = element(a, a->n_places);
    uint32_t loop = net_loop(net, body, min > 0 ? min - 1 : 0, more, false, a->close);
    uint32_t some = shape_value(&first, loop);
    return min == 0 ? net_either(net, some, a->empty) : some;
}

static uint32_t elements(const struct array *a)
{
    struct net *net = a->s->net;
    uint32_t rest = others(a, a->n_places);
    for (uint32_t i = a->n_places; i > 0; i--) { /* rest: what follows element i - 1 */
        struct shape_set set = element(a, i - 1);
        uint32_t with = i - 1 < a->max ? shape_value(&set, rest) : NET_NOTHING;
        if (i > 1)
            with = after_comma(a, with);
        rest = i - 1 >= a->min ? net_either(net, with, i > 1 ? a->close : a->empty) : with;
    }
    return rest;
}

/* ---- unique elements ---- */

struct unique {
    const struct array *a;
    uint32_t rules[SHAPE_UNIQUE_MAX]; /* of each value */
    uint32_t n;
};

/* For every set of values that may have been said, the node before the next. */
static uint32_t unique_elements(const struct unique *u)
{
    const struct array *a = u->a;
    struct net *net = a->s->net;
    uint32_t n_sets = 1u << u->n;
    uint32_t *at = arena_new_array(a->s->arena, uint32_t, n_sets);
    if (!at)
        return NET_NOTHING;
    for (uint32_t set = n_sets; set-- > 0 && net_is_good(net);) {
        uint32_t said = (uint32_t)__builtin_popcount(set), more = NET_NOTHING;
        for (uint32_t i = 0; i < u->n && said < a->max; i++)
            if (!(set >> i & 1))
                more = net_either(net, more, net_call(net, u->rules[i], 0, at[set | 1u << i]));
        if (set != 0)
            more = after_comma(a, more);
        at[set] = said >= a->min ? net_either(net, more, set ? a->close : a->empty) : more;
    }
    return at[0];
}

static uint32_t make_unique(const struct array *a, const struct schema_node *by)
{
    struct shaper *s = a->s;
    struct unique u = {.a = a};
    struct shape_set set = element(a, a->n_places);
    struct plain p;
    struct str *texts = NULL;
    uint32_t n = 0;
    if (a->max <= 1)
        return elements(a);
    if (a->n_places > 0 || !shape_set_is_plain(&set, &p) || !shape_list_values(s, &p, &texts, &n)) {
        shape_fail(s, ERR_UNSUPPORTED, by, "uniqueItems",
                   "can be held only over items of enum, const, boolean, null or a few integers");
        return NET_NOTHING;
    }
    if (n > SHAPE_UNIQUE_MAX) {
        shape_fail(s, ERR_LIMIT, by, "uniqueItems", "can be held over at most %d values; there are %u",
                   SHAPE_UNIQUE_MAX, n);
        return NET_NOTHING;
    }
    for (uint32_t i = 0; i < n; i++)
        u.rules[u.n++] = net_text(s->net, texts[i], NET_RET);
    return unique_elements(&u);
}

/* ---- all of it ---- */

static bool read_bounds(struct array *a)
{
    uint64_t min = 0, max = SCHEMA_NO_MAX;
    for (uint32_t i = 0; i < a->p->n_nodes; i++) {
        const struct schema_node *n = a->p->nodes[i];
        min = n->min_items > min ? n->min_items : min;
        max = n->max_items < max ? n->max_items : max;
        a->n_places = n->prefix_items.n > a->n_places ? n->prefix_items.n : a->n_places;
        if (n->contains || n->unevaluated_items) {
            shape_fail(a->s, ERR_UNSUPPORTED, n, n->contains ? "contains" : "unevaluatedItems",
                       "cannot be held");
            return false;
        }
        if (a->n_places > PLACES_MAX) {
            shape_fail(a->s, ERR_LIMIT, n, "prefixItems", "has more than %d items", PLACES_MAX);
            return false;
        }
    }
    a->min = min < NET_NO_MAX ? (uint32_t)min : NET_NO_MAX - 1;
    a->max = max < NET_NO_MAX ? (uint32_t)max : NET_NO_MAX;
    return a->min <= a->max;
}

static bool excludes_arrays(struct shaper *s, const struct plain *p)
{
    for (uint32_t i = 0; i < p->n_excluded; i++) {
        const struct schema_node *n = p->excluded[i];
        struct json_iter it = json_iter(n->enum_values);
        bool is_hit = n->has & SCHEMA_HAS_CONST && json_is(n->const_value, JSON_ARRAY);
        while (n->has & SCHEMA_HAS_ENUM && json_next(&it))
            is_hit |= json_is(it.value, JSON_ARRAY);
        if (is_hit) {
            shape_fail(s, ERR_UNSUPPORTED, n, NULL, "excludes an array, which cannot be held");
            return true;
        }
    }
    return false;
}

uint32_t shape_array(struct shaper *s, const struct plain *p, uint32_t next)
{
    struct array a = {.s = s, .p = p};
    if (excludes_arrays(s, p) || !read_bounds(&a))
        return NET_NOTHING;
    a.empty = net_byte(s->net, ']', ']', next);
    a.close = json_net_blank(&s->json, a.empty);
    const struct schema_node *unique = NULL;
    for (uint32_t i = 0; i < p->n_nodes && !unique; i++)
        unique = p->nodes[i]->unique_items ? p->nodes[i] : NULL;
    uint32_t inside = unique ? make_unique(&a, unique) : elements(&a);
    return net_byte(s->net, '[', '[', json_net_blank(&s->json, inside));
}
