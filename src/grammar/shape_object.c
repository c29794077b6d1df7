/* shape_object.c - Objects: the named properties in their order, then those that the schema does not name.
 *
 * Two rows of nodes, from the last property to the first.  choose[i][c]: a member must come now, and it is
 * one of the properties from number i on; c members were written before.  after[i][c]: a member was
 * just written, and what may come is a comma and a member from number i on, or the end.
 * c is counted only as far as minProperties and maxProperties need it.
 *
 * Start reading at shape_object(). */
#include "grammar/shape_int.h"

#define CELLS_MAX    200000 /* properties times counts */
#define LISTED_MAX   64
#define PATTERNS_MAX 4 /* patterns of one object: their subsets are classes of names */

struct property {
    struct str name;
    bool is_required;
    bool is_possible;
    struct shape_set value;
};

struct object {
    struct shaper *s;
    const struct plain *p;
    struct property *properties;
    uint32_t n_properties;
    uint32_t min, max;     /* members */
    uint32_t count_max;    /* counts above are as this one */
    uint32_t close, empty; /* the end, behind members and without any */
    const struct str *patterns[PATTERNS_MAX];
    struct dfa *matches[PATTERNS_MAX];
    uint32_t n_patterns;
    struct dfa *names;        /* what propertyNames leaves; NULL: all */
    const struct str *listed; /* these, if they are few */
    uint32_t n_listed;
    uint32_t extra; /* rule: a member that the schema does not name; NET_NOTHING: there are none */
    uint32_t *choose, *after;
};

/* ---- what holds for a name ---- */

static bool pattern_matches(const struct object *o, struct str pattern, struct str name)
{
    for (uint32_t i = 0; i < o->n_patterns; i++)
        if (str_eq(*o->patterns[i], pattern))
            return dfa_accepts(o->matches[i], name);
    return false;
}

/* All that the schemas say about the value of a property of this name. */
static struct shape_set value_of_name(const struct object *o, struct str name)
{
    struct shape_set set = {.s = o->s};
    for (uint32_t k = 0; k < o->p->n_nodes; k++) {
        const struct schema_node *n = o->p->nodes[k];
        const struct schema_property *own = schema_property_find(n, name);
        bool is_known = own != NULL;
        if (own)
            shape_set_add(&set, own->schema);
        for (uint32_t i = 0; i < n->n_pattern_properties; i++) {
            if (!pattern_matches(o, n->pattern_properties[i].pattern, name))
                continue;
            is_known = true;
            shape_set_add(&set, n->pattern_properties[i].schema);
        }
        if (!is_known && n->additional_properties)
            shape_set_add(&set, n->additional_properties);
    }
    return set;
}

/* The same for names that are in no `properties`, and match just the patterns in `which`. */
static struct shape_set value_of_class(const struct object *o, uint32_t which)
{
    struct shape_set set = {.s = o->s};
    for (uint32_t k = 0; k < o->p->n_nodes; k++) {
        const struct schema_node *n = o->p->nodes[k];
        bool is_known = false;
        for (uint32_t i = 0; i < n->n_pattern_properties; i++) {
            uint32_t at = 0;
            while (!str_eq(*o->patterns[at], n->pattern_properties[i].pattern))
                at++;
            if (!(which >> at & 1))
                continue;
            is_known = true;
            shape_set_add(&set, n->pattern_properties[i].schema);
        }
        if (!is_known && n->additional_properties)
            shape_set_add(&set, n->additional_properties);
    }
    return set;
}

static bool is_false(const struct shape_set *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (set->parts[i].node->kind == SCHEMA_KIND_FALSE)
            return true;
    return false;
}

/* ---- names ---- */

static bool find_patterns(struct object *o)
{
    for (uint32_t k = 0; k < o->p->n_nodes; k++) {
        const struct schema_node *n = o->p->nodes[k];
        for (uint32_t i = 0; i < n->n_pattern_properties; i++) {
            uint32_t at = 0;
            while (at < o->n_patterns && !str_eq(*o->patterns[at], n->pattern_properties[i].pattern))
                at++;
            if (at < o->n_patterns)
                continue;
            if (at == PATTERNS_MAX) {
                shape_fail(o->s, ERR_LIMIT, n, "patternProperties", "has more than %d patterns",
                           PATTERNS_MAX);
                return false;
            }
            o->patterns[at] = &n->pattern_properties[i].pattern;
            o->matches[at] = shape_pattern_dfa(o->s, n, "patternProperties", *o->patterns[at]);
            if (!o->matches[at])
                return false;
            o->n_patterns++;
        }
    }
    return true;
}

/* Names are strings, so the schema for them is merged and made into an automaton at once. */
static bool find_name_rule(struct object *o)
{
    struct shaper *s = o->s;
    struct shape_set set = {.s = s};
    const struct schema_node *by = NULL;
    struct plain p;
    for (uint32_t k = 0; k < o->p->n_nodes; k++) {
        if (!o->p->nodes[k]->property_names)
            continue;
        by = o->p->nodes[k];
        shape_set_add(&set, by->property_names);
    }
    if (set.n == 0)
        return true;
    if (!shape_set_is_plain(&set, &p)) {
        shape_fail(s, ERR_UNSUPPORTED, by, "propertyNames",
                   "combines schemas in a way that cannot be held for names");
        return false;
    }
    if (!(p.types & SCHEMA_STRING)) {
        o->names = dfa_words(&s->c->room, NULL, 0);
        return o->names != NULL;
    }
    if (!shape_has_values(&p)) {
        bool is_any;
        o->names = shape_string_dfa(s, &p, &is_any);
        shape_check_room(s, o->p, "names of properties");
        return is_any || o->names;
    }
    struct str *texts;
    uint32_t n;
    if (!shape_list_values(s, &p, &texts, &n))
        return false;
    struct str *words = arena_new_array(s->arena, struct str, (size_t)n + 1);
    uint32_t n_words = 0;
    for (uint32_t i = 0; words && i < n; i++) {
        struct json_doc doc;
        if (json_parse(&doc, s->arena, texts[i], NULL) == OK && json_is(json_root(&doc), JSON_STRING))
            words[n_words++] = json_text(json_root(&doc), s->arena);
    }
    o->names = words ? dfa_words(&s->c->room, words, n_words) : NULL;
    o->max = n_words < o->max ? n_words : o->max; /* there are no more names, and none comes twice */
    if (n_words <= LISTED_MAX) {
        o->listed = words;
        o->n_listed = n_words;
    }
    return o->names != NULL && o->min <= o->max;
}

static bool add_property(struct object *o, struct str name, uint32_t cap)
{
    for (uint32_t i = 0; i < o->n_properties; i++)
        if (str_eq(o->properties[i].name, name))
            return true;
    if (o->n_properties == cap)
        return false;
    struct property *p = &o->properties[o->n_properties++];
    p->name = name;
    p->value = value_of_name(o, name);
    p->is_possible = !is_false(&p->value) && (!o->names || dfa_accepts(o->names, name));
    for (uint32_t k = 0; k < o->p->n_nodes; k++)
        for (uint32_t i = 0; i < o->p->nodes[k]->n_required; i++)
            p->is_required |= str_eq(o->p->nodes[k]->required[i], name);
    return true;
}

/* In the order of the schemas; required names that no schema describes come behind, and then, where only a
 * few names are allowed at all, those (a name that is begun and can only end as one that was used would be
 * a trap). */
static bool find_properties(struct object *o)
{
    uint32_t cap = o->n_listed;
    for (uint32_t k = 0; k < o->p->n_nodes; k++)
        cap += o->p->nodes[k]->n_properties + o->p->nodes[k]->n_required;
    o->properties = arena_new_array(o->s->arena, struct property, (size_t)cap + 1);
    if (!o->properties)
        return false;
    for (uint32_t k = 0; k < o->p->n_nodes; k++)
        for (uint32_t i = 0; i < o->p->nodes[k]->n_properties; i++)
            add_property(o, o->p->nodes[k]->properties[i].name, cap);
    for (uint32_t k = 0; k < o->p->n_nodes; k++)
        for (uint32_t i = 0; i < o->p->nodes[k]->n_required; i++)
            add_property(o, o->p->nodes[k]->required[i], cap);
    for (uint32_t i = 0; i < o->n_listed; i++)
        add_property(o, o->listed[i], cap);
    return true;
}

/* ---- members ---- */

static uint32_t colon(struct object *o, struct shape_set *value, uint32_t next)
{
    struct shaper *s = o->s;
    return net_byte(s->net, ':', ':', json_net_blank_after(&s->json, shape_value(value, next)));
}

static uint32_t member(struct object *o, uint32_t i, uint32_t next)
{
    struct shaper *s = o->s;
    struct buf b;
    if (!o->properties[i].is_possible || next == NET_NOTHING)
        return NET_NOTHING;
    buf_init(&b, 6 * o->properties[i].name.n + 2);
    json_quote(&b, o->properties[i].name);
    uint32_t node = net_text(s->net, buf_str(&b), colon(o, &o->properties[i].value, next));
    if (!buf_ok(&b))
        shape_fail(s, ERR_NOMEM, o->p->nodes[0], "properties", "has a name that is too long");
    buf_deinit(&b);
    return node;
}

/* The names of one class as an automaton; NULL with *is_any: all names. */
static struct dfa *class_names(struct object *o, uint32_t which, bool *is_any)
{
    struct dfa_room *room = &o->s->c->room;
    struct str *words = arena_new_array(o->s->arena, struct str, (size_t)o->n_properties + 1);
    struct dfa *d = o->names;
    *is_any = !d && o->n_patterns == 0 && o->n_properties == 0;
    if (*is_any || !words)
        return NULL;
    if (!d)
        d = dfa_lengths(room, 0, NET_NO_MAX);
    for (uint32_t i = 0; i < o->n_patterns; i++)
        d = which >> i & 1 ? dfa_and(room, d, o->matches[i]) : dfa_minus(room, d, o->matches[i]);
    for (uint32_t i = 0; i < o->n_properties; i++)
        words[i] = o->properties[i].name;
    if (o->n_properties > 0)
        d = dfa_minus(room, d, dfa_words(room, words, o->n_properties));
    return d;
}

/* The rule of a member whose name the schema does not say. */
static uint32_t extra_member(struct object *o)
{
    struct shaper *s = o->s;
    uint32_t rule = NET_NOTHING;
    for (uint32_t which = 0; which < 1u << o->n_patterns && !s->c->has_failed; which++) {
        bool is_any;
        struct shape_set value = value_of_class(o, which);
        if (is_false(&value))
            continue;
        struct dfa *names = class_names(o, which, &is_any);
        shape_check_room(s, o->p, "names of properties");
        if (s->c->has_failed || (!is_any && (!names || dfa_is_nothing(names))))
            continue;
        uint32_t rest = colon(o, &value, NET_RET);
        if (is_any) {
            rule = net_either(s->net, rule, json_net_name(&s->json, rest));
            continue;
        }
        uint32_t end = net_byte(s->net, '"', '"', rest);
        uint32_t name = dfa_to_net(&s->c->room, names, DFA_JSON, end);
        s->net->has_free_names = true;
        rule = net_either(s->net, rule, net_byte(s->net, '"', '"', name));
    }
    return rule;
}

/* ---- the rows ---- */

static uint32_t comma(struct object *o, uint32_t next)
{
    return net_byte(o->s->net, ',', ',', json_net_blank_after(&o->s->json, next));
}

static bool has_required_from(const struct object *o, uint32_t i)
{
    for (; i < o->n_properties; i++)
        if (o->properties[i].is_required)
            return true;
    return false;
}

/* Members that the schema does not name, after c others: at least one of them. */
static uint32_t extras(struct object *o, uint32_t c)
{
    uint32_t min = o->min > c + 1 ? o->min - c - 1 : 0,
             max = o->max == NET_NO_MAX ? NET_NO_MAX : o->max - c - 1;
    uint32_t body = comma(o, net_call(o->s->net, o->extra, 0, NET_RET));
    return net_call(o->s->net, o->extra, 0, net_loop(o->s->net, body, min, max, false, o->close));
}

static void make_rows(struct object *o)
{
    struct net *net = o->s->net;
    uint32_t n_counts = o->count_max + 1, n = o->n_properties;
    for (uint32_t i = n + 1; i-- > 0 && net_is_good(net) && !o->s->c->has_failed;) {
        bool must_go_on = has_required_from(o, i);
        for (uint32_t c = 0; c < n_counts; c++) {
            uint32_t more = c < o->count_max ? c + 1 : c, *choose = &o->choose[i * n_counts + c];
            bool is_over = o->max != NET_NO_MAX && c >= o->max;
            if (is_over) {
                *choose = NET_NOTHING;
            } else if (i == n) {
                *choose = o->extra == NET_NOTHING ? NET_NOTHING : extras(o, c);
            } else {
                *choose = member(o, i, o->after[(i + 1) * n_counts + more]);
                if (!o->properties[i].is_required)
                    *choose = net_either(net, *choose, o->choose[(i + 1) * n_counts + c]);
            }
            uint32_t end = must_go_on || c < o->min ? NET_NOTHING : o->close;
            o->after[i * n_counts + c] = net_either(net, comma(o, *choose), end);
        }
    }
}

static uint32_t in_order(struct object *o)
{
    struct shaper *s = o->s;
    bool is_counted = o->max != NET_NO_MAX || o->min > 1;
    o->count_max = is_counted ? (o->max != NET_NO_MAX && o->max > o->min ? o->max : o->min) : 1;
    if (o->count_max > o->n_properties + 1) /* those that come behind count for themselves */
        o->count_max = o->n_properties + 1;
    uint64_t n_cells = ((uint64_t)o->n_properties + 1) * (o->count_max + 1);
    if (n_cells > CELLS_MAX) {
        shape_fail(s, ERR_LIMIT, o->p->nodes[0], NULL, "has too many properties to count them");
        return NET_NOTHING;
    }
    o->choose = arena_new_array(s->arena, uint32_t, (size_t)n_cells);
    o->after = arena_new_array(s->arena, uint32_t, (size_t)n_cells);
    if (!o->choose || !o->after) {
        shape_fail(s, ERR_LIMIT, o->p->nodes[0], NULL, "is too large");
        return NET_NOTHING;
    }
    make_rows(o);
    bool may_be_empty = o->min == 0 && !has_required_from(o, 0);
    return net_either(s->net, o->choose[0], may_be_empty ? o->empty : NET_NOTHING);
}

/* For every set of properties that were written, the nodes before the next; the others come last. */
static uint32_t in_any_order(struct object *o)
{
    struct shaper *s = o->s;
    struct net *net = s->net;
    uint32_t n_sets = 1u << o->n_properties, rules[SHAPE_ORDER_MAX], required = 0;
    uint32_t *after = arena_new_array(s->arena, uint32_t, n_sets), choose = NET_NOTHING;
    if (!after)
        return NET_NOTHING;
    for (uint32_t i = 0; i < o->n_properties; i++) {
        rules[i] = member(o, i, NET_RET);
        required |= o->properties[i].is_required ? 1u << i : 0;
    }
    for (uint32_t set = n_sets; set-- > 0 && net_is_good(net);) {
        uint32_t c = (uint32_t)__builtin_popcount(set);
        bool is_full = o->max != NET_NO_MAX && c >= o->max, is_enough = (set & required) == required;
        choose = o->extra != NET_NOTHING && is_enough && !is_full ? extras(o, c) : NET_NOTHING;
        for (uint32_t i = o->n_properties; i-- > 0 && !is_full;)
            if (!(set >> i & 1))
                choose = net_either(net, net_call(net, rules[i], 0, after[set | 1u << i]), choose);
        after[set] = net_either(net, comma(o, choose), is_enough && c >= o->min ? o->close : NET_NOTHING);
    }
    return net_either(net, choose, required == 0 && o->min == 0 ? o->empty : NET_NOTHING);
}

/* ---- all of it ---- */

static bool excludes_objects(struct shaper *s, const struct plain *p)
{
    for (uint32_t i = 0; i < p->n_excluded; i++) {
        const struct schema_node *n = p->excluded[i];
        struct json_iter it = json_iter(n->enum_values);
        bool is_hit = n->has & SCHEMA_HAS_CONST && json_is(n->const_value, JSON_OBJECT);
        while (n->has & SCHEMA_HAS_ENUM && json_next(&it))
            is_hit |= json_is(it.value, JSON_OBJECT);
        if (is_hit) {
            shape_fail(s, ERR_UNSUPPORTED, n, NULL, "excludes an object, which cannot be held");
            return true;
        }
    }
    return false;
}

static bool read_bounds(struct object *o)
{
    uint64_t min = 0, max = SCHEMA_NO_MAX;
    for (uint32_t i = 0; i < o->p->n_nodes; i++) {
        const struct schema_node *n = o->p->nodes[i];
        min = n->min_properties > min ? n->min_properties : min;
        max = n->max_properties < max ? n->max_properties : max;
        if (n->unevaluated_properties) {
            shape_fail(o->s, ERR_UNSUPPORTED, n, "unevaluatedProperties", "cannot be held");
            return false;
        }
    }
    o->min = min < NET_NO_MAX ? (uint32_t)min : NET_NO_MAX - 1;
    o->max = max < NET_NO_MAX ? (uint32_t)max : NET_NO_MAX;
    return o->min <= o->max;
}

uint32_t shape_object(struct shaper *s, const struct plain *p, uint32_t next)
{
    struct object *o = arena_new(s->arena, struct object);
    if (!o) {
        shape_fail(s, ERR_LIMIT, p->nodes[0], NULL, "is too large");
        return NET_NOTHING;
    }
    o->s = s;
    o->p = p;
    if (excludes_objects(s, p) || !read_bounds(o) || !find_patterns(o) || !find_name_rule(o) ||
        !find_properties(o))
        return NET_NOTHING;
    for (uint32_t i = 0; i < o->n_properties; i++)
        if (o->properties[i].is_required && !o->properties[i].is_possible)
            return NET_NOTHING;
    o->empty = net_byte(s->net, '}', '}', next);
    o->close = json_net_blank(&s->json, o->empty);
    o->extra = extra_member(o);
    if (s->any_order && o->n_properties > SHAPE_ORDER_MAX) {
        shape_fail(s, ERR_LIMIT, p->nodes[0], "properties",
                   "has more than %d properties, which cannot be in any order", SHAPE_ORDER_MAX);
        return NET_NOTHING;
    }
    uint32_t inside = s->any_order ? in_any_order(o) : in_order(o);
    return net_byte(s->net, '{', '{', json_net_blank(&s->json, inside));
}
