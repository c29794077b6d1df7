/* schema.c - JSON Schema text into nodes.  See schema.h.
 *
 * The nodes are their own queue: a keyword that holds a schema makes a node for it (or finds the
 * one that this place of the document has already) and goes on; the loop in read_all() fills the
 * nodes one after the other, so nothing here is recursive.  References are kept until the queue is
 * empty, because an anchor may stand behind them; a reference to a place that was not a schema so
 * far puts it into the queue again.
 *
 * A new keyword is a row in `keywords`, a field in schema.h, and its part in schema_check*.c and in
 * the automaton.  Start reading at schema_read(). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "grammar/schema_int.h"

struct reading {
    struct schema *s;
    struct schema_node *node;
    struct err *err;
};

struct keyword;
typedef int keyword_fn(struct reading *r, const struct keyword *k, struct json v);

struct keyword {
    const char *name;
    keyword_fn *read;
    size_t at; /* offset of the field in struct schema_node */
    uint32_t has;
};

static void *field(const struct reading *r, const struct keyword *k)
{
    return (char *)r->node + k->at;
}

int schema_fail(struct err *err, int code, const struct schema_node *node, const char *keyword,
                const char *fmt, ...)
{
    char reason[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    /* A long pointer must not push the reason out of the message. */
    struct str pointer = str_sub(node->pointer, 0, 240);
    return fail(err, code, "the schema at %.*s%s%s%s %s", STR(pointer),
                pointer.n < node->pointer.n ? "..." : "", keyword ? "/" : "", keyword ? keyword : "", reason);
}

int schema_no_memory(struct err *err)
{
    return fail(err, ERR_NOMEM, "the schema needs more than the %u MiB of memory that one may have",
                SCHEMA_BYTES_MAX >> 20);
}

static int bad(struct reading *r, const struct keyword *k, const char *what)
{
    return schema_fail(r->err, ERR_FORMAT, r->node, k->name, "must be %s", what);
}

/* ---- growing lists, pointers, nodes ---- */

void *schema_grow(struct schema *s, void *list, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return list;
    uint32_t more = *cap ? *cap * 2 : 16;
    if (more < *cap)
        return NULL;
    char *grown = arena_array(&s->arena, more, size);
    if (!grown)
        return NULL;
    if (n)
        memcpy(grown, list, n * size);
    *cap = more;
    return grown;
}

struct str schema_pointer_add(struct schema *s, struct str pointer, struct str token)
{
    size_t escapes = 0;
    for (size_t i = 0; i < token.n; i++)
        escapes += token.p[i] == '~' || token.p[i] == '/';
    char *p = arena_alloc(&s->arena, pointer.n + 1 + token.n + escapes + 1);
    if (!p)
        return (struct str){NULL, 0};
    memcpy(p, pointer.p, pointer.n);
    size_t n = pointer.n;
    p[n++] = '/';
    for (size_t i = 0; i < token.n; i++) {
        char c = token.p[i];
        if (c == '~' || c == '/') {
            p[n++] = '~';
            c = c == '~' ? '0' : '1';
        }
        p[n++] = c;
    }
    return str_of(p, n);
}

static struct str pointer_add_idx(struct schema *s, struct str pointer, uint32_t idx)
{
    struct str token = arena_printf(&s->arena, "%u", idx);
    return token.p ? schema_pointer_add(s, pointer, token) : token;
}

static int room_for_node(struct schema *s, struct err *err)
{
    if (s->n_nodes == SCHEMA_NODES_MAX)
        return fail(err, ERR_LIMIT, "the schema has more than %d parts", SCHEMA_NODES_MAX);
    uint32_t cap = s->nodes_cap;
    struct schema_node **nodes = schema_grow(s, s->nodes, s->n_nodes, &s->nodes_cap, sizeof *nodes);
    uint32_t *resources = schema_grow(s, s->resource_of, s->n_nodes, &cap, sizeof *resources);
    if (!nodes || !resources)
        return schema_no_memory(err);
    s->nodes = nodes;
    s->resource_of = resources;
    return OK;
}

struct schema_node *schema_node_for(struct schema *s, struct json v, struct str pointer, uint32_t resource,
                                    struct err *err)
{
    if (s->at[v.idx])
        return s->at[v.idx];
    if (!pointer.p) {
        schema_no_memory(err);
        return NULL;
    }
    if (!json_is(v, JSON_OBJECT) && !json_is(v, JSON_TRUE) && !json_is(v, JSON_FALSE)) {
        fail(err, ERR_FORMAT, "the schema at %.*s must be an object or a boolean",
             STR(str_sub(pointer, 0, 240)));
        return NULL;
    }
    if (room_for_node(s, err) != OK)
        return NULL;
    struct schema_node *node = arena_new(&s->arena, struct schema_node);
    if (!node) {
        schema_no_memory(err);
        return NULL;
    }
    node->kind = json_is(v, JSON_TRUE)    ? SCHEMA_KIND_TRUE
                 : json_is(v, JSON_FALSE) ? SCHEMA_KIND_FALSE
                                          : SCHEMA_KIND_OBJECT;
    node->id = s->n_nodes;
    node->pointer = pointer;
    node->source = v;
    node->types = SCHEMA_ANY;
    node->max_length = node->max_items = node->max_contains = node->max_properties = SCHEMA_NO_MAX;
    node->min_contains = 1;
    s->resource_of[s->n_nodes] = resource;
    s->nodes[s->n_nodes++] = node;
    s->at[v.idx] = node;
    return node;
}

/* The node below the current one, at /keyword or /keyword/token. */
static struct schema_node *child(struct reading *r, const struct keyword *k, struct json v,
                                 const struct str *token)
{
    struct schema *s = r->s;
    struct str pointer = schema_pointer_add(s, r->node->pointer, str_c(k->name));
    if (pointer.p && token)
        pointer = schema_pointer_add(s, pointer, *token);
    return schema_node_for(s, v, pointer, s->resource_of[r->node->id], r->err);
}

/* ---- readers of keywords ---- */

static int read_nothing(struct reading *r, const struct keyword *k, struct json v)
{
    (void)r, (void)k, (void)v;
    return OK;
}

static int type_bit(struct str name)
{
    static const struct {
        const char *name;
        int bits;
    } types[] = {{"null", SCHEMA_NULL},       {"boolean", SCHEMA_BOOLEAN},
                 {"integer", SCHEMA_INTEGER}, {"number", SCHEMA_NUMBER | SCHEMA_INTEGER},
                 {"string", SCHEMA_STRING},   {"array", SCHEMA_ARRAY},
                 {"object", SCHEMA_OBJECT}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_eq(name, str_c(types[i].name)))
            return types[i].bits;
    return 0;
}

static int read_type(struct reading *r, const struct keyword *k, struct json v)
{
    static const char want[] =
        "one of null, boolean, integer, number, string, array, object, or a list of them";
    int bits = 0;
    if (json_is(v, JSON_ARRAY)) {
        struct json_iter it = json_iter(v);
        while (json_next(&it)) {
            int bit = type_bit(json_text(it.value, &r->s->arena));
            if (!bit)
                return bad(r, k, want);
            bits |= bit;
        }
    } else {
        bits = type_bit(json_text(v, &r->s->arena));
    }
    if (!bits)
        return bad(r, k, want);
    bool nullable = false;
    if (json_bool(json_get(r->node->source, "nullable"), &nullable) && nullable)
        bits |= SCHEMA_NULL;
    r->node->types = (uint8_t)bits;
    return OK;
}

static int read_flag(struct reading *r, const struct keyword *k, struct json v)
{
    bool flag;
    if (!json_bool(v, &flag))
        return bad(r, k, "true or false");
    if (k->at)
        *(bool *)field(r, k) = flag;
    return OK;
}

static int read_const(struct reading *r, const struct keyword *k, struct json v)
{
    *(struct json *)field(r, k) = v;
    return OK;
}

static int read_enum(struct reading *r, const struct keyword *k, struct json v)
{
    if (!json_is(v, JSON_ARRAY))
        return bad(r, k, "a list of values");
    return read_const(r, k, v);
}

static int read_number(struct reading *r, const struct keyword *k, struct json v)
{
    if (!json_is(v, JSON_NUMBER))
        return bad(r, k, "a number");
    struct str text = json_span(v);
    char *digits = arena_alloc(&r->s->arena, text.n);
    if (!digits)
        return schema_no_memory(r->err);
    if (!schema_number_parse(field(r, k), text, digits))
        return schema_fail(r->err, ERR_LIMIT, r->node, k->name, "has an exponent that is too large");
    return OK;
}

static int read_multiple(struct reading *r, const struct keyword *k, struct json v)
{
    int rc = read_number(r, k, v);
    if (rc != OK)
        return rc;
    const struct schema_number *n = field(r, k);
    if (n->is_negative || n->n_digits == 0)
        return bad(r, k, "above zero");
    if (n->n_digits > SCHEMA_MULTIPLE_DIGITS_MAX)
        return schema_fail(r->err, ERR_UNSUPPORTED, r->node, k->name, "has more than %d significant digits",
                           SCHEMA_MULTIPLE_DIGITS_MAX);
    return OK;
}

static int read_count(struct reading *r, const struct keyword *k, struct json v)
{
    uint64_t n;
    if (!json_u64(v, &n) || n == SCHEMA_NO_MAX)
        return bad(r, k, "an integer of zero or more");
    *(uint64_t *)field(r, k) = n;
    return OK;
}

static int read_text(struct reading *r, const struct keyword *k, struct json v)
{
    if (!json_is(v, JSON_STRING))
        return bad(r, k, "a string");
    struct str text = json_text(v, &r->s->arena);
    if (!text.p)
        return schema_no_memory(r->err);
    *(struct str *)field(r, k) = text;
    return OK;
}

static int read_format(struct reading *r, const struct keyword *k, struct json v)
{
    int rc = read_text(r, k, v);
    if (rc == OK)
        r->node->format = schema_format_find(r->node->format_name);
    return rc;
}

static int read_schema(struct reading *r, const struct keyword *k, struct json v)
{
    struct schema_node *node = child(r, k, v, NULL);
    *(const struct schema_node **)field(r, k) = node;
    return node ? OK : ERR_FORMAT;
}

static int read_schemas(struct reading *r, const struct keyword *k, struct json v)
{
    if (!json_is(v, JSON_ARRAY) || json_count(v) == 0)
        return bad(r, k, "a list of at least one schema");
    struct schema_list *list = field(r, k);
    list->items = arena_new_array(&r->s->arena, const struct schema_node *, json_count(v));
    struct str base = schema_pointer_add(r->s, r->node->pointer, str_c(k->name));
    if (!list->items || !base.p)
        return schema_no_memory(r->err);
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        struct schema_node *node = schema_node_for(r->s, it.value, pointer_add_idx(r->s, base, it.i),
                                                   r->s->resource_of[r->node->id], r->err);
        if (!node)
            return ERR_FORMAT;
        list->items[list->n++] = node;
    }
    return OK;
}

static const struct keyword prefix_items_keyword = {"items", read_schemas,
                                                    offsetof(struct schema_node, prefix_items), 0};
static const struct keyword additional_items_keyword = {"additionalItems", read_schema,
                                                        offsetof(struct schema_node, items), 0};

/* A list was the prefix in older drafts, and additionalItems what items is now. */
static int read_items(struct reading *r, const struct keyword *k, struct json v)
{
    if (!json_is(v, JSON_ARRAY))
        return read_schema(r, k, v);
    if (json_exists(json_get(r->node->source, "prefixItems")))
        return schema_fail(r->err, ERR_FORMAT, r->node, k->name, "must not be a list beside prefixItems");
    struct json more = json_get(r->node->source, "additionalItems");
    int rc = json_count(v) ? read_schemas(r, &prefix_items_keyword, v) : OK;
    if (rc == OK && json_exists(more))
        rc = read_schema(r, &additional_items_keyword, more);
    return rc;
}

static int need_object(struct reading *r, const struct keyword *k, struct json v)
{
    return json_is(v, JSON_OBJECT) ? OK : bad(r, k, "an object");
}

static int compare_property(const void *a, const void *b, void *properties)
{
    const struct schema_property *list = properties;
    return str_cmp(list[*(const uint32_t *)a].name, list[*(const uint32_t *)b].name);
}

static int read_properties(struct reading *r, const struct keyword *k, struct json v)
{
    struct schema_node *node = r->node;
    int rc = need_object(r, k, v);
    if (rc != OK)
        return rc;
    node->properties = arena_new_array(&r->s->arena, struct schema_property, json_count(v));
    node->properties_by_name = arena_new_array(&r->s->arena, uint32_t, json_count(v));
    if (json_count(v) && (!node->properties || !node->properties_by_name))
        return schema_no_memory(r->err);
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        struct schema_property *p = &node->properties[node->n_properties];
        p->name = json_text(it.key_value, &r->s->arena);
        if (!p->name.p)
            return schema_no_memory(r->err);
        p->schema = child(r, k, it.value, &p->name);
        if (!p->schema)
            return ERR_FORMAT;
        node->properties_by_name[node->n_properties] = node->n_properties;
        node->n_properties++;
    }
    if (node->n_properties)
        qsort_r(node->properties_by_name, node->n_properties, sizeof(uint32_t), compare_property,
                node->properties);
    return OK;
}

static int read_pattern_properties(struct reading *r, const struct keyword *k, struct json v)
{
    struct schema_node *node = r->node;
    int rc = need_object(r, k, v);
    if (rc != OK)
        return rc;
    node->pattern_properties = arena_new_array(&r->s->arena, struct schema_pattern_property, json_count(v));
    if (json_count(v) && !node->pattern_properties)
        return schema_no_memory(r->err);
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        struct schema_pattern_property *p = &node->pattern_properties[node->n_pattern_properties++];
        p->pattern = json_text(it.key_value, &r->s->arena);
        if (!p->pattern.p)
            return schema_no_memory(r->err);
        p->schema = child(r, k, it.value, &p->pattern);
        if (!p->schema)
            return ERR_FORMAT;
    }
    return OK;
}

/* Schemas that are only there to be referred to. */
static int read_defs(struct reading *r, const struct keyword *k, struct json v)
{
    int rc = need_object(r, k, v);
    if (rc != OK)
        return rc;
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        struct str name = json_text(it.key_value, &r->s->arena);
        if (!name.p)
            return schema_no_memory(r->err);
        if (!child(r, k, it.value, &name))
            return ERR_FORMAT;
    }
    return OK;
}

/* ---- lists of names ---- */

struct name_place {
    struct str name;
    uint32_t i;
};

static int compare_name(const void *a, const void *b)
{
    const struct name_place *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c ? c : x->i < y->i ? -1 : x->i > y->i;
}

/* Leave each name once, at its first place.  Sorted, because the list is a stranger's and long
 * lists must not cost their square. */
static uint32_t drop_doubles(struct str *names, uint32_t n, struct name_place *room)
{
    for (uint32_t i = 0; i < n; i++)
        room[i] = (struct name_place){names[i], i};
    qsort(room, n, sizeof *room, compare_name);
    for (uint32_t i = 1; i < n; i++)
        if (str_eq(room[i].name, room[i - 1].name))
            names[room[i].i].p = NULL;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (names[i].p)
            names[kept++] = names[i];
    return kept;
}

static int read_names(struct reading *r, const struct keyword *k, struct json v, struct str **out,
                      uint32_t *n_out)
{
    if (!json_is(v, JSON_ARRAY))
        return bad(r, k, "a list of names");
    uint32_t n = json_count(v);
    struct str *names = arena_new_array(&r->s->arena, struct str, n ? n : 1);
    struct name_place *room = arena_new_array(&r->s->arena, struct name_place, n ? n : 1);
    if (!names || !room)
        return schema_no_memory(r->err);
    struct json_iter it = json_iter(v);
    while (json_next(&it)) {
        if (!json_is(it.value, JSON_STRING))
            return bad(r, k, "a list of names");
        names[it.i] = json_text(it.value, &r->s->arena);
        if (!names[it.i].p)
            return schema_no_memory(r->err);
    }
    *out = names;
    *n_out = drop_doubles(names, n, room);
    return OK;
}

static int read_required(struct reading *r, const struct keyword *k, struct json v)
{
    return read_names(r, k, v, &r->node->required, &r->node->n_required);
}

/* Room for the dependents of v behind those that another keyword brought. */
static struct schema_dependent *add_dependents(struct reading *r, struct json v)
{
    struct schema_node *node = r->node;
    struct schema_dependent *list = arena_new_array(&r->s->arena, struct schema_dependent,
                                                    (size_t)node->n_dependents + json_count(v) + 1);
    if (list && node->n_dependents)
        memcpy(list, node->dependents, node->n_dependents * sizeof *list);
    if (list)
        node->dependents = list;
    return list;
}

/* dependentRequired (lists of names), dependentSchemas (schemas), and dependencies (both). */
static int read_dependents(struct reading *r, const struct keyword *k, struct json v)
{
    int rc = need_object(r, k, v);
    if (rc != OK)
        return rc;
    if (!add_dependents(r, v))
        return schema_no_memory(r->err);
    bool is_required = strcmp(k->name, "dependentRequired") == 0,
         is_both = strcmp(k->name, "dependencies") == 0;
    struct json_iter it = json_iter(v);
    while (rc == OK && json_next(&it)) {
        struct schema_dependent *d = &r->node->dependents[r->node->n_dependents++];
        d->name = json_text(it.key_value, &r->s->arena);
        if (!d->name.p)
            return schema_no_memory(r->err);
        if (is_required || (is_both && json_is(it.value, JSON_ARRAY))) {
            struct str *names = NULL;
            rc = read_names(r, k, it.value, &names, &d->n_required);
            d->required = names;
        } else {
            d->schema = child(r, k, it.value, &d->name);
            rc = d->schema ? OK : ERR_FORMAT;
        }
    }
    return rc;
}

/* ---- identity and references ---- */

static int read_ref(struct reading *r, const struct keyword *k, struct json v)
{
    struct schema *s = r->s;
    if (!json_is(v, JSON_STRING))
        return bad(r, k, "a string");
    struct schema_ref *refs = schema_grow(s, s->refs, s->n_refs, &s->refs_cap, sizeof *refs);
    if (!refs)
        return schema_no_memory(r->err);
    s->refs = refs;
    struct str target = json_text(v, &s->arena);
    if (!target.p)
        return schema_no_memory(r->err);
    bool is_dynamic = k->name[1] == 'd';
    if (is_dynamic && json_exists(json_get(r->node->source, "$ref")))
        return schema_fail(r->err, ERR_UNSUPPORTED, r->node, k->name, "is not possible beside $ref");
    s->refs[s->n_refs++] = (struct schema_ref){r->node, target, s->resource_of[r->node->id], is_dynamic};
    return OK;
}

static int add_anchor(struct reading *r, struct str name, bool is_dynamic)
{
    struct schema *s = r->s;
    struct schema_anchor *anchors =
        schema_grow(s, s->anchors, s->n_anchors, &s->anchors_cap, sizeof *anchors);
    if (!name.p || !anchors)
        return schema_no_memory(r->err);
    s->anchors = anchors;
    s->anchors[s->n_anchors++] =
        (struct schema_anchor){name, s->resource_of[r->node->id], r->node->source.idx, is_dynamic};
    return OK;
}

static int read_anchor(struct reading *r, const struct keyword *k, struct json v)
{
    if (!json_is(v, JSON_STRING))
        return bad(r, k, "a string");
    return add_anchor(r, json_text(v, &r->s->arena), k->name[1] == 'd');
}

/* Read before everything else of its node: what follows belongs to the new resource. */
static int read_id(struct reading *r, struct json v)
{
    static const struct keyword id = {.name = "$id"};
    struct schema *s = r->s;
    if (!json_is(v, JSON_STRING))
        return bad(r, &id, "a string");
    struct str uri = json_text(v, &s->arena);
    if (!uri.p)
        return schema_no_memory(r->err);
    if (uri.n && uri.p[0] == '#') /* an anchor, as older drafts wrote it */
        return add_anchor(r, str_sub(uri, 1, uri.n), false);
    if (uri.n && uri.p[uri.n - 1] == '#')
        uri.n--;
    struct schema_id *ids = schema_grow(s, s->ids, s->n_ids, &s->ids_cap, sizeof *ids);
    if (!ids)
        return schema_no_memory(r->err);
    s->ids = ids;
    s->ids[s->n_ids++] = (struct schema_id){uri, r->node->source.idx};
    s->resource_of[r->node->id] = r->node->source.idx;
    return OK;
}

/* ---- the table ---- */

#define AT(name_) offsetof(struct schema_node, name_)

static const struct keyword keywords[] = {
    {"type", read_type, 0, SCHEMA_HAS_TYPE},
    {"properties", read_properties, 0, SCHEMA_HAS_OBJECT},
    {"required", read_required, 0, SCHEMA_HAS_OBJECT},
    {"additionalProperties", read_schema, AT(additional_properties), SCHEMA_HAS_OBJECT},
    {"items", read_items, AT(items), SCHEMA_HAS_ARRAY},
    {"$ref", read_ref, 0, SCHEMA_HAS_COMBINE},
    {"enum", read_enum, AT(enum_values), SCHEMA_HAS_ENUM},
    {"const", read_const, AT(const_value), SCHEMA_HAS_CONST},
    {"anyOf", read_schemas, AT(any_of), SCHEMA_HAS_COMBINE},
    {"oneOf", read_schemas, AT(one_of), SCHEMA_HAS_COMBINE},
    {"allOf", read_schemas, AT(all_of), SCHEMA_HAS_COMBINE},
    {"not", read_schema, AT(not_), SCHEMA_HAS_COMBINE},
    {"if", read_schema, AT(if_), SCHEMA_HAS_COMBINE},
    {"then", read_schema, AT(then_), 0},
    {"else", read_schema, AT(else_), 0},
    {"minimum", read_number, AT(minimum), SCHEMA_HAS_NUMBER},
    {"maximum", read_number, AT(maximum), SCHEMA_HAS_NUMBER},
    {"exclusiveMinimum", read_number, AT(exclusive_minimum), SCHEMA_HAS_NUMBER},
    {"exclusiveMaximum", read_number, AT(exclusive_maximum), SCHEMA_HAS_NUMBER},
    {"multipleOf", read_multiple, AT(multiple_of), SCHEMA_HAS_NUMBER},
    {"minLength", read_count, AT(min_length), SCHEMA_HAS_STRING},
    {"maxLength", read_count, AT(max_length), SCHEMA_HAS_STRING},
    {"pattern", read_text, AT(pattern), SCHEMA_HAS_STRING},
    {"format", read_format, AT(format_name), SCHEMA_HAS_STRING},
    {"prefixItems", read_schemas, AT(prefix_items), SCHEMA_HAS_ARRAY},
    {"minItems", read_count, AT(min_items), SCHEMA_HAS_ARRAY},
    {"maxItems", read_count, AT(max_items), SCHEMA_HAS_ARRAY},
    {"uniqueItems", read_flag, AT(unique_items), SCHEMA_HAS_ARRAY},
    {"contains", read_schema, AT(contains), SCHEMA_HAS_ARRAY},
    {"minContains", read_count, AT(min_contains), SCHEMA_HAS_ARRAY},
    {"maxContains", read_count, AT(max_contains), SCHEMA_HAS_ARRAY},
    {"unevaluatedItems", read_schema, AT(unevaluated_items), SCHEMA_HAS_ARRAY},
    {"patternProperties", read_pattern_properties, 0, SCHEMA_HAS_OBJECT},
    {"propertyNames", read_schema, AT(property_names), SCHEMA_HAS_OBJECT},
    {"minProperties", read_count, AT(min_properties), SCHEMA_HAS_OBJECT},
    {"maxProperties", read_count, AT(max_properties), SCHEMA_HAS_OBJECT},
    {"dependentRequired", read_dependents, 0, SCHEMA_HAS_OBJECT},
    {"dependentSchemas", read_dependents, 0, SCHEMA_HAS_OBJECT},
    {"dependencies", read_dependents, 0, SCHEMA_HAS_OBJECT},
    {"unevaluatedProperties", read_schema, AT(unevaluated_properties), SCHEMA_HAS_OBJECT},
    {"$defs", read_defs, 0, 0},
    {"definitions", read_defs, 0, 0},
    {"$dynamicRef", read_ref, 0, SCHEMA_HAS_COMBINE},
    {"$anchor", read_anchor, 0, 0},
    {"$dynamicAnchor", read_anchor, 0, 0},
    {"nullable", read_flag, 0, 0},
    /* Without effect on what is valid. */
    {"additionalItems", read_nothing, 0, 0}, /* read with items */
    {"$id", read_nothing, 0, 0},             /* read first */
    {"$schema", read_nothing, 0, 0},
    {"$comment", read_nothing, 0, 0},
    {"$vocabulary", read_nothing, 0, 0},
    {"title", read_nothing, 0, 0},
    {"description", read_nothing, 0, 0},
    {"default", read_nothing, 0, 0},
    {"example", read_nothing, 0, 0},
    {"examples", read_nothing, 0, 0},
    {"deprecated", read_nothing, 0, 0},
    {"readOnly", read_nothing, 0, 0},
    {"writeOnly", read_nothing, 0, 0},
    {"contentMediaType", read_nothing, 0, 0},
    {"contentEncoding", read_nothing, 0, 0},
    {"contentSchema", read_nothing, 0, 0},
    {"externalDocs", read_nothing, 0, 0},
    {"discriminator", read_nothing, 0, 0},    /* of OpenAPI: a hint beside oneOf, which decides */
    {"propertyOrdering", read_nothing, 0, 0}, /* of Gemini */
    {"strict", read_nothing, 0, 0},
};

static const struct keyword *find_keyword(struct str name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (str_eq(name, str_c(keywords[i].name)))
            return &keywords[i];
    return NULL;
}

/* Tools and vendors mark their own annotations so. */
static bool is_extension(struct str name)
{
    return str_starts(name, S("x-"));
}

/* ---- a node, and all of them ---- */

static int compare_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int mark_required(struct reading *r)
{
    struct schema_node *node = r->node;
    if (!node->n_required || !node->n_properties)
        return OK;
    struct str *sorted = arena_new_array(&r->s->arena, struct str, node->n_required);
    if (!sorted)
        return schema_no_memory(r->err);
    memcpy(sorted, node->required, node->n_required * sizeof *sorted);
    qsort(sorted, node->n_required, sizeof *sorted, compare_str);
    for (uint32_t i = 0; i < node->n_properties; i++)
        node->properties[i].is_required =
            bsearch(&node->properties[i].name, sorted, node->n_required, sizeof *sorted, compare_str) != NULL;
    return OK;
}

/* The code of a failure that a helper left in *err. */
static int failed(const struct reading *r, int rc)
{
    return r->err && r->err->code ? r->err->code : rc;
}

static int read_node(struct reading *r)
{
    struct schema_node *node = r->node;
    if (node->kind != SCHEMA_KIND_OBJECT)
        return OK;
    struct json id = json_get(node->source, "$id");
    int rc = json_exists(id) ? read_id(r, id) : OK;
    struct json_iter it = json_iter(node->source);
    while (rc == OK && json_next(&it)) {
        struct str name = json_text(it.key_value, &r->s->arena);
        if (!name.p)
            return schema_no_memory(r->err);
        const struct keyword *k = find_keyword(name);
        if (k) {
            rc = k->read(r, k, it.value);
            node->has |= k->has;
        } else if (!node->unknown.p && !is_extension(name)) {
            node->unknown = name;
        }
    }
    if (rc != OK)
        return failed(r, rc);
    if (!node->if_)
        node->then_ = node->else_ = NULL;
    return mark_required(r);
}

static int read_all(struct schema *s, struct err *err)
{
    for (;;) {
        int rc = OK;
        if (s->n_read < s->n_nodes)
            rc = read_node(&(struct reading){s, s->nodes[s->n_read++], err});
        else if (s->n_resolved < s->n_refs)
            rc = schema_ref_resolve(s, &s->refs[s->n_resolved++], err);
        else
            return OK;
        if (rc != OK)
            return rc;
    }
}

static int read_document(struct schema *s, struct str text, struct err *err)
{
    if (text.n > SCHEMA_TEXT_MAX)
        return fail(err, ERR_LIMIT, "the schema has %zu bytes, at most %u are possible", text.n,
                    SCHEMA_TEXT_MAX);
    struct str copy = arena_str(&s->arena, text);
    if (!copy.p)
        return schema_no_memory(err);
    int rc = json_parse(&s->doc, &s->arena, copy, err);
    if (rc != OK)
        return err_prefix(err, "the schema");
    s->at = arena_new_array(&s->arena, struct schema_node *, s->doc.n_nodes);
    if (!s->at)
        return schema_no_memory(err);
    if (!schema_node_for(s, json_root(&s->doc), S("#"), 0, err))
        return err ? err->code : ERR_FORMAT;
    return read_all(s, err);
}

int schema_read(struct schema **out, struct str text, struct err *err)
{
    struct err own = {0};
    struct err *e = err ? err : &own; /* helpers leave their code there */
    e->code = OK;
    *out = NULL;
    struct schema *s = calloc(1, sizeof *s);
    if (!s)
        return schema_no_memory(e);
    arena_init(&s->arena, SCHEMA_BYTES_MAX);
    int rc = read_document(s, text, e);
    if (rc != OK) {
        schema_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

void schema_free(struct schema *s)
{
    if (!s)
        return;
    arena_deinit(&s->arena);
    free(s);
}

const struct schema_node *schema_root(const struct schema *s)
{
    return s->nodes[0];
}

uint32_t schema_n_nodes(const struct schema *s)
{
    return s->n_nodes;
}

const struct schema_node *schema_node_at(const struct schema *s, uint32_t id)
{
    assert(id < s->n_nodes);
    return s->nodes[id];
}

const struct schema_property *schema_property_find(const struct schema_node *node, struct str name)
{
    uint32_t lo = 0, hi = node->n_properties;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct schema_property *p = &node->properties[node->properties_by_name[mid]];
        int c = str_cmp(name, p->name);
        if (c == 0)
            return p;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
