/* shape.c - Shapes: sets of schemas, made into rules one after the other.
 *
 * Start reading at compile_schema(), then make_shape(). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "grammar/shape_int.h"

/* ---- errors ---- */

void shape_fail(struct shaper *s, int code, const struct schema_node *node, const char *keyword,
                const char *fmt, ...)
{
    char why[300], where[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    snprintf(where, sizeof where, "%.*s%s%s", STR(node->pointer), keyword ? "/" : "", keyword ? keyword : "");
    compile_fail(s->c, code, str_c(where), "the schema at %s %s", where, why);
}

void shape_check_room(struct shaper *s, const struct plain *p, const char *what)
{
    struct dfa_room *room = &s->c->room;
    if (s->c->has_failed || (room->code == OK && net_is_good(s->net)))
        return;
    int code = room->code != OK ? room->code : s->net->bad_code;
    if (code == ERR_NOMEM || p->n_nodes == 0)
        compile_fail(s->c, code, S("#"),
                     code == ERR_NOMEM ? "no memory for a grammar" : "the schema is too large");
    else
        shape_fail(s, code, p->nodes[0], NULL, "needs too large an automaton for its %s", what);
}

/* ---- sets ---- */

void shape_set_add_part(struct shape_set *set, struct shape_part part)
{
    if (part.node->kind == SCHEMA_KIND_TRUE)
        return;
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->parts[i].node != part.node)
            continue;
        set->parts[i].done |= part.done;
        if (part.n_dependents_done > set->parts[i].n_dependents_done)
            set->parts[i].n_dependents_done = part.n_dependents_done;
        return;
    }
    if (set->n == set->cap) {
        uint32_t cap = set->cap ? set->cap * 2 : 8;
        struct shape_part *grown =
            cap <= SHAPE_PARTS_MAX * 2 ? arena_new_array(set->s->arena, struct shape_part, cap) : NULL;
        if (!grown) {
            shape_fail(set->s, ERR_LIMIT, part.node, NULL, "is combined with too many others");
            return;
        }
        if (set->n > 0)
            memcpy(grown, set->parts, set->n * sizeof *grown);
        set->parts = grown;
        set->cap = cap;
    }
    set->parts[set->n++] = part;
}

void shape_set_add(struct shape_set *set, const struct schema_node *node)
{
    shape_set_add_part(set, (struct shape_part){.node = node});
}

static int compare_parts(const void *a, const void *b)
{
    const struct shape_part *x = a, *y = b;
    return (x->node->id > y->node->id) - (x->node->id < y->node->id);
}

static uint32_t set_hash(const struct shape_set *set)
{
    uint64_t h = set->n;
    for (uint32_t i = 0; i < set->n; i++)
        h = (h ^ set->parts[i].node->id ^ (uint64_t)set->parts[i].done << 32 ^
             (uint64_t)set->parts[i].n_dependents_done << 40) *
            UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 40) % SHAPE_BUCKETS;
}

static bool is_same(const struct shape *a, const struct shape_set *b)
{
    if (a->n_parts != b->n)
        return false;
    for (uint32_t i = 0; i < b->n; i++)
        if (a->parts[i].node != b->parts[i].node || a->parts[i].done != b->parts[i].done ||
            a->parts[i].n_dependents_done != b->parts[i].n_dependents_done)
            return false;
    return true;
}

uint32_t shape_rule(struct shape_set *set)
{
    struct shaper *s = set->s;
    if (s->c->has_failed)
        return NET_NOTHING;
    for (uint32_t i = 0; i < set->n; i++)
        if (set->parts[i].node->kind == SCHEMA_KIND_FALSE)
            return NET_NOTHING;
    if (set->n > 1)
        qsort(set->parts, set->n, sizeof *set->parts, compare_parts);
    struct shape **bucket = &s->buckets[set_hash(set)];
    for (struct shape *old = *bucket; old; old = old->same_bucket)
        if (is_same(old, set))
            return old->rule;
    struct shape *shape = arena_new(s->arena, struct shape);
    if (!shape || ++s->n_shapes > SHAPES_MAX) {
        compile_fail(s->c, ERR_LIMIT, S("#"), "the schema at # has too many combinations of subschemas");
        return NET_NOTHING;
    }
    *shape = (struct shape){set->parts, set->n, net_jump(s->net), *bucket, NULL};
    *bucket = shape;
    *s->last = shape;
    s->last = &shape->next;
    return shape->rule;
}

uint32_t shape_value(struct shape_set *set, uint32_t next)
{
    if (set->n == 0) /* anything */
        return json_net_value(&set->s->json, true, next);
    return net_call(set->s->net, shape_rule(set), NET_WEIGHT_JSON, next);
}

/* ---- splitting ---- */

/* A copy of the set, in which part i is done with `done`. */
static struct shape_set copy_set(const struct shape_set *set, uint32_t i, uint32_t done)
{
    struct shape_set copy = {.s = set->s};
    for (uint32_t k = 0; k < set->n; k++)
        shape_set_add_part(&copy, set->parts[k]);
    if (copy.n == set->n)
        copy.parts[i].done |= done;
    return copy;
}

/* $ref and allOf: more of the same set. */
static void expand(struct shape_set *set)
{
    for (uint32_t i = 0; i < set->n && !set->s->c->has_failed; i++) {
        const struct schema_node *n = set->parts[i].node;
        if (set->parts[i].done & SHAPE_REF_DONE || n->kind != SCHEMA_KIND_OBJECT)
            continue;
        set->parts[i].done |= SHAPE_REF_DONE;
        if (n->ref)
            shape_set_add(set, n->ref);
        for (uint32_t k = 0; k < n->all_of.n; k++)
            shape_set_add(set, n->all_of.items[k]);
    }
}

static uint32_t alternative(struct shape_set *set, uint32_t others)
{
    struct net *net = set->s->net;
    return net_either(net, others, net_call(net, shape_rule(set), 0, NET_RET));
}

static uint32_t split_any_of(const struct shape_set *set, uint32_t i)
{
    const struct schema_node *n = set->parts[i].node;
    uint32_t rule = NET_NOTHING;
    for (uint32_t k = 0; k < n->any_of.n; k++) {
        struct shape_set one = copy_set(set, i, SHAPE_ANY_DONE);
        shape_set_add(&one, n->any_of.items[k]);
        rule = alternative(&one, rule);
    }
    return rule;
}

/* No value has both types, as far as the schemas themselves say it. */
static bool have_no_type_in_common(const struct schema_node *a, const struct schema_node *b)
{
    uint32_t x = a->types, y = b->types;
    x |= x & SCHEMA_NUMBER ? SCHEMA_INTEGER : 0;
    y |= y & SCHEMA_NUMBER ? SCHEMA_INTEGER : 0;
    return (x & y) == 0;
}

/* Each value is for one branch only: there must be nothing that is for two of them. */
static uint32_t split_one_of(const struct shape_set *set, uint32_t i)
{
    struct shaper *s = set->s;
    const struct schema_node *n = set->parts[i].node;
    uint32_t rule = NET_NOTHING;
    for (uint32_t k = 0; k < n->one_of.n; k++) {
        struct shape_set one = copy_set(set, i, SHAPE_ONE_DONE);
        shape_set_add(&one, n->one_of.items[k]);
        rule = alternative(&one, rule);
        for (uint32_t other = 0; other < k && !s->c->has_failed; other++) {
            if (n->one_of.items[k] != n->one_of.items[other] &&
                have_no_type_in_common(n->one_of.items[k], n->one_of.items[other]))
                continue;
            struct shape_set two = copy_set(set, i, SHAPE_ONE_DONE);
            shape_set_add(&two, n->one_of.items[k]);
            shape_set_add(&two, n->one_of.items[other]);
            struct disjoint_check *check = arena_new(s->arena, struct disjoint_check);
            if (!check) {
                shape_fail(s, ERR_LIMIT, n, "oneOf", "is too large");
                return NET_NOTHING;
            }
            *check = (struct disjoint_check){shape_rule(&two), n, other, k, s->checks};
            s->checks = check;
        }
    }
    return rule;
}

static uint32_t split_not(const struct shape_set *set, uint32_t i, const struct schema_node * not,
                          uint32_t done, const struct schema_node *beside, uint32_t rule)
{
    struct shape_nodes nots = {0};
    if (!shape_negate(set->s, not, &nots))
        return NET_NOTHING;
    for (uint32_t k = 0; k < nots.n; k++) {
        struct shape_set one = copy_set(set, i, done);
        shape_set_add(&one, nots.nodes[k]);
        if (beside)
            shape_set_add(&one, beside);
        rule = alternative(&one, rule);
    }
    return rule;
}

static uint32_t split_if(const struct shape_set *set, uint32_t i)
{
    const struct schema_node *n = set->parts[i].node;
    struct shape_set yes = copy_set(set, i, SHAPE_IF_DONE);
    shape_set_add(&yes, n->if_);
    if (n->then_)
        shape_set_add(&yes, n->then_);
    return split_not(set, i, n->if_, SHAPE_IF_DONE, n->else_, alternative(&yes, NET_NOTHING));
}

/* dependentRequired, dependentSchemas: the property is not there, or it is and more holds. */
static uint32_t split_dependent(const struct shape_set *set, uint32_t i)
{
    struct shaper *s = set->s;
    const struct schema_node *n = set->parts[i].node;
    const struct schema_dependent *d = &n->dependents[set->parts[i].n_dependents_done];
    struct shape_set with = copy_set(set, i, 0), without = copy_set(set, i, 0), other = copy_set(set, i, 0);
    if (s->c->has_failed)
        return NET_NOTHING;
    with.parts[i].n_dependents_done++;
    without.parts[i].n_dependents_done++;
    other.parts[i].n_dependents_done++;
    struct schema_node *absent = shape_new_member(s, n, d->name, NULL, false);
    struct schema_node *present = shape_new_node(s, n), *no_object = shape_new_node(s, n);
    struct str *required = arena_new_array(s->arena, struct str, (size_t)d->n_required + 1);
    if (!absent || !present || !no_object || !required)
        return NET_NOTHING;
    required[0] = d->name;
    for (uint32_t k = 0; k < d->n_required; k++)
        required[k + 1] = d->required[k];
    present->types = SCHEMA_OBJECT;
    present->required = required;
    present->n_required = d->n_required + 1;
    no_object->types = SCHEMA_ANY & ~SCHEMA_OBJECT;
    shape_set_add(&with, present);
    if (d->schema)
        shape_set_add(&with, d->schema);
    shape_set_add(&without, absent);
    shape_set_add(&other, no_object);
    return alternative(&with, alternative(&without, alternative(&other, NET_NOTHING)));
}

/* A schema of const, enum or pattern, and nothing else: "not" of it is plain. */
static bool is_excludable(const struct schema_node *n)
{
    bool has_values = n->has & (SCHEMA_HAS_CONST | SCHEMA_HAS_ENUM);
    uint32_t others = n->has & ~(uint32_t)(SCHEMA_HAS_CONST | SCHEMA_HAS_ENUM);
    if (n->kind != SCHEMA_KIND_OBJECT || n->unknown.p)
        return false;
    if (has_values)
        return others == 0 && (n->has & SCHEMA_HAS_CONST) != (n->has & SCHEMA_HAS_ENUM);
    return n->has == (SCHEMA_HAS_STRING | SCHEMA_HAS_TYPE) && n->types == SCHEMA_STRING && n->pattern.p &&
           n->format == SCHEMA_FORMAT_NONE && n->min_length == 0 && n->max_length == SCHEMA_NO_MAX;
}

/* The first combination that is not followed yet: its alternatives.  False: there is none. */
static bool split(const struct shape_set *set, uint32_t *rule)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const struct shape_part *part = &set->parts[i];
        const struct schema_node *n = part->node;
        if (n->any_of.n > 0 && !(part->done & SHAPE_ANY_DONE))
            return *rule = split_any_of(set, i), true;
        if (n->one_of.n > 0 && !(part->done & SHAPE_ONE_DONE))
            return *rule = split_one_of(set, i), true;
        if (n->if_ && (n->then_ || n->else_) && !(part->done & SHAPE_IF_DONE))
            return *rule = split_if(set, i), true;
        if (n->not_ && !is_excludable(n->not_) && !(part->done & SHAPE_NOT_DONE))
            return *rule = split_not(set, i, n->not_, SHAPE_NOT_DONE, NULL, NET_NOTHING), true;
        if (part->n_dependents_done < n->n_dependents)
            return *rule = split_dependent(set, i), true;
    }
    return false;
}

/* ---- plain shapes ---- */

static bool merge(struct shape_set *set, struct plain *p)
{
    struct shaper *s = set->s;
    p->nodes = arena_new_array(s->arena, const struct schema_node *, set->n + 1);
    p->excluded = arena_new_array(s->arena, const struct schema_node *, set->n + 1);
    if (!p->nodes || !p->excluded) {
        compile_fail(s->c, ERR_LIMIT, S("#"), "the schema is too large");
        return false;
    }
    p->types = SCHEMA_ANY;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct schema_node *n = set->parts[i].node;
        if (n->unknown.p) {
            char keyword[64];
            snprintf(keyword, sizeof keyword, "%.*s", STR(n->unknown));
            shape_fail(s, ERR_UNSUPPORTED, n, keyword, "is a keyword that is not known here");
            return false;
        }
        p->nodes[p->n_nodes++] = n;
        p->types &= n->types | (n->types & SCHEMA_NUMBER ? SCHEMA_INTEGER : 0);
        if (n->not_ && is_excludable(n->not_))
            p->excluded[p->n_excluded++] = n->not_;
    }
    return true;
}

bool shape_set_is_plain(struct shape_set *set, struct plain *p)
{
    *p = (struct plain){0};
    expand(set);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct schema_node *n = set->parts[i].node;
        uint32_t done = set->parts[i].done;
        if (n->kind == SCHEMA_KIND_FALSE || (n->any_of.n > 0 && !(done & SHAPE_ANY_DONE)) ||
            (n->one_of.n > 0 && !(done & SHAPE_ONE_DONE)) || (n->if_ && !(done & SHAPE_IF_DONE)) ||
            (n->not_ && !is_excludable(n->not_) && !(done & SHAPE_NOT_DONE)) || n->n_dependents > 0)
            return false;
    }
    return !set->s->c->has_failed && merge(set, p);
}

static bool excludes(const struct plain *p, const char *text)
{
    for (uint32_t i = 0; i < p->n_excluded; i++) {
        const struct schema_node *n = p->excluded[i];
        struct json_iter it = json_iter(n->enum_values);
        if (n->has & SCHEMA_HAS_CONST && str_eq(json_span(n->const_value), str_c(text)))
            return true;
        while (n->has & SCHEMA_HAS_ENUM && json_next(&it))
            if (str_eq(json_span(it.value), str_c(text)))
                return true;
    }
    return false;
}

static uint32_t word(struct shaper *s, const struct plain *p, const char *text, uint32_t others)
{
    return excludes(p, text) ? others : net_either(s->net, others, net_text(s->net, str_c(text), NET_RET));
}

/* The rule of a plain shape: its types, one beside the other. */
static uint32_t make_plain(struct shaper *s, const struct plain *p)
{
    struct net *net = s->net;
    uint32_t rule = NET_NOTHING;
    if (shape_has_values(p))
        return shape_values(s, p, NET_RET);
    if (s->is_text)
        return p->types & SCHEMA_STRING ? shape_string(s, p, NET_RET) : NET_NOTHING;
    if (p->types & SCHEMA_NULL)
        rule = word(s, p, "null", rule);
    if (p->types & SCHEMA_BOOLEAN) {
        rule = word(s, p, "true", rule);
        rule = word(s, p, "false", rule);
    }
    if (p->types & SCHEMA_INTEGER)
        rule = net_either(net, rule, shape_number(s, p, NET_RET));
    if (p->types & SCHEMA_STRING && !s->c->has_failed)
        rule = net_either(net, rule, shape_string(s, p, NET_RET));
    if (p->types & SCHEMA_ARRAY && !s->c->has_failed)
        rule = net_either(net, rule, shape_array(s, p, NET_RET));
    if (p->types & SCHEMA_OBJECT && !s->c->has_failed)
        rule = net_either(net, rule, shape_object(s, p, NET_RET));
    shape_check_room(s, p, "values");
    return rule;
}

static void make_shape(struct shaper *s, const struct shape *shape)
{
    struct shape_set set = {.s = s};
    uint32_t rule = NET_NOTHING;
    struct plain p = {0};
    for (uint32_t i = 0; i < shape->n_parts; i++)
        shape_set_add_part(&set, shape->parts[i]);
    expand(&set);
    for (uint32_t i = 0; i < set.n; i++)
        if (set.parts[i].node->kind == SCHEMA_KIND_FALSE)
            return;
    if (s->c->has_failed)
        return;
    if (set.n == 0)
        rule = json_net_value(&s->json, false, NET_RET);
    else if (!split(&set, &rule) && merge(&set, &p))
        rule = make_plain(s, &p);
    if (!s->c->has_failed)
        net_set_jump(s->net, shape->rule, rule);
}

/* ---- a whole schema ---- */

static void make_all(struct shaper *s)
{
    while (s->first && !s->c->has_failed) {
        struct shape *shape = s->first;
        s->first = shape->next;
        if (!s->first)
            s->last = &s->first;
        make_shape(s, shape);
        shape_check_room(s, &(struct plain){0}, "");
    }
}

void compile_check_schema(struct compiler *c, const struct disjoint_check *check)
{
    for (; check; check = check->next) {
        if (c->net.nodes[check->rule].height == NET_HOPELESS)
            continue;
        char where[256];
        snprintf(where, sizeof where, "%.*s/oneOf", STR(check->node->pointer));
        compile_fail(
            c, ERR_UNSUPPORTED, str_c(where),
            "the schema at %s has branches %u and %u that a value may fulfil both, so that it cannot be held "
            "that only one is",
            where, check->i, check->j);
        return;
    }
}

void compile_free_schema(struct schema *schema)
{
    schema_free(schema);
}

/* The k-th schema that speaks of the same value as n does, or NULL past the last. */
static const struct schema_node *in_place(const struct schema_node *n, uint32_t k)
{
    const struct schema_node *single[] = {n->ref, n->not_, n->if_, n->then_, n->else_};
    const struct schema_list *lists[] = {&n->all_of, &n->any_of, &n->one_of};
    for (int i = 0; i < 5; i++)
        if (single[i] && k-- == 0)
            return single[i];
    for (int i = 0; i < 3; i++) {
        if (k < lists[i]->n)
            return lists[i]->items[k];
        k -= lists[i]->n;
    }
    for (uint32_t i = 0; i < n->n_dependents; i++)
        if (n->dependents[i].schema && k-- == 0)
            return n->dependents[i].schema;
    return NULL;
}

/* A schema that says of a value what it says of that value would never come to an end. */
static bool check_no_circle(struct shaper *s)
{
    uint32_t n = schema_n_nodes(s->schema);
    struct visit {
        const struct schema_node *node;
        uint32_t next;
    } *path = arena_new_array(s->arena, struct visit, (size_t)n + 1);
    uint8_t *seen = arena_new_array(s->arena, uint8_t, (size_t)n + 1); /* 1: on the path, 2: done */
    if (!path || !seen) {
        compile_fail(s->c, ERR_LIMIT, S("#"), "the schema is too large");
        return false;
    }
    for (uint32_t root = 0; root < n; root++) {
        uint32_t depth = 0;
        if (seen[root] == 0)
            path[depth++] = (struct visit){schema_node_at(s->schema, root), 0};
        while (depth > 0) {
            struct visit *v = &path[depth - 1];
            seen[v->node->id] = 1;
            const struct schema_node *to = in_place(v->node, v->next++);
            if (!to) {
                seen[v->node->id] = 2;
                depth--;
            } else if (seen[to->id] == 1) {
                shape_fail(s, ERR_FORMAT, to, NULL, "refers to itself for the same value, without an end");
                return false;
            } else if (seen[to->id] == 0) {
                path[depth++] = (struct visit){to, 0};
            }
        }
    }
    return true;
}

static struct schema *read_schema(struct compiler *c, struct str text)
{
    struct schema *schema;
    struct err err = {0};
    if (schema_read(&schema, text, &err) == OK)
        return schema;
    char where[256] = "#";
    const char *at = strstr(err.text, "the schema at ");
    if (at)
        snprintf(where, sizeof where, "%.*s", (int)strcspn(at + 14, " :"), at + 14);
    compile_fail(c, err.code, str_c(where), "%s", err.text);
    return NULL;
}

uint32_t compile_schema(struct compiler *c, const struct grammar_spec *spec, uint32_t next)
{
    struct kept_schema *kept = arena_new(&c->arena, struct kept_schema);
    struct shaper *s = arena_new(&c->arena, struct shaper);
    struct schema *schema = read_schema(c, spec->text);
    if (!schema)
        return NET_NOTHING;
    if (!kept || !s) {
        compile_fail(c, ERR_LIMIT, S("#"), "the schema is too large");
        schema_free(schema);
        return NET_NOTHING;
    }
    s->c = c;
    s->arena = &c->arena;
    s->net = &c->net;
    s->json = json_net(&c->net, spec->space);
    s->schema = schema;
    s->any_order = spec->any_order;
    s->is_text = spec->kind == GRAMMAR_SCHEMA_TEXT;
    s->last = &s->first;
    s->next_id = schema_n_nodes(schema);

    struct shape_set set = {.s = s};
    uint32_t from = c->net.n_nodes;
    if (check_no_circle(s))
        shape_set_add(&set, schema_root(schema));
    uint32_t root;
    if (set.n == 0)
        root = s->is_text ? shape_string(s, &(struct plain){0}, next) : json_net_value(&s->json, false, next);
    else
        root = net_call(&c->net, shape_rule(&set), 0, next);
    make_all(s);
    if (!s->is_text)
        net_mark_json(&c->net, from);
    *kept = (struct kept_schema){schema, s->checks, c->schemas};
    c->schemas = kept;
    return c->has_failed ? NET_NOTHING : root;
}
