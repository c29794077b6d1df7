/* shape_int.h - From a JSON Schema to nodes of the net.
 *
 * A shape is a set of schemas that hold together for one value (allOf, $ref, and all that different
 * keywords say about the same property end up in one set).  Every shape becomes one rule, made once:
 * so recursion is a call, and equal subschemas cost nothing.  Alternatives (anyOf, oneOf, if, not)
 * split a shape into others; what is left has plain keywords only, and they are merged by type. */
#ifndef GRAMMAR_SHAPE_INT_H
#define GRAMMAR_SHAPE_INT_H

#include "grammar/compile_int.h"
#include "grammar/json_net.h"
#include "grammar/schema.h"

#define SHAPES_MAX       20000
#define SHAPE_PARTS_MAX  2000 /* schemas that hold together */
#define SHAPE_UNIQUE_MAX 12   /* values of an array of unique items */
#define SHAPE_ORDER_MAX  8    /* properties of an object with any_order */

/* Which combinations of a schema have been followed. */
enum {
    SHAPE_REF_DONE = 1, /* $ref and allOf */
    SHAPE_ANY_DONE = 2,
    SHAPE_ONE_DONE = 4,
    SHAPE_IF_DONE = 8,
    SHAPE_NOT_DONE = 16
};

struct shape_part {
    const struct schema_node *node;
    uint32_t done;
    uint32_t n_dependents_done;
};

struct shape {
    struct shape_part *parts; /* sorted by id */
    uint32_t n_parts;
    uint32_t rule; /* a jump */
    struct shape *same_bucket;
    struct shape *next; /* to be made */
};

struct disjoint_check {
    uint32_t rule; /* which must be hopeless */
    const struct schema_node *node;
    uint32_t i, j;
    struct disjoint_check *next;
};

#define SHAPE_BUCKETS 1024

struct shaper {
    struct compiler *c;
    struct arena *arena;
    struct net *net;
    struct json_net json;
    const struct schema *schema;
    bool any_order;
    bool is_text; /* only strings, and those bare */
    struct shape *buckets[SHAPE_BUCKETS];
    struct shape *first, **last; /* to be made */
    uint32_t n_shapes;
    uint32_t next_id; /* of schemas that are made here */
    struct disjoint_check *checks;
    uint32_t integer_rule; /* any integer; NET_NOTHING: not made yet */
    struct dfa *texts;     /* any text; NULL: not made yet */
};

/* A set being put together. */
struct shape_set {
    struct shaper *s;
    struct shape_part *parts;
    uint32_t n, cap;
};
void shape_set_add(struct shape_set *set, const struct schema_node *node);
void shape_set_add_part(struct shape_set *set, struct shape_part part);
/* The rule of the set; NET_NOTHING if it is known that nothing fulfils it. */
uint32_t shape_rule(struct shape_set *set);
/* A value inside another one, then next. */
uint32_t shape_value(struct shape_set *set, uint32_t next);

/* A shape of plain keywords. */
struct plain {
    const struct schema_node **nodes;
    uint32_t n_nodes;
    const struct schema_node **excluded; /* with const, enum or pattern: what the value must not be */
    uint32_t n_excluded;
    uint32_t types; /* SCHEMA_* ; SCHEMA_INTEGER is set where SCHEMA_NUMBER is */
};

/* shape.c: "the schema at POINTER/KEYWORD REASON". */
void shape_fail(struct shaper *s, int code, const struct schema_node *node, const char *keyword,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* An automaton could not be made: told with the place. */
void shape_check_room(struct shaper *s, const struct plain *p, const char *what);

/* Each: the node of the values of one type, then next. */
uint32_t shape_values(struct shaper *s, const struct plain *p, uint32_t next); /* enum and const */
uint32_t shape_string(struct shaper *s, const struct plain *p, uint32_t next);
uint32_t shape_number(struct shaper *s, const struct plain *p, uint32_t next);
uint32_t shape_array(struct shaper *s, const struct plain *p, uint32_t next);
uint32_t shape_object(struct shaper *s, const struct plain *p, uint32_t next);

/* shape_values.c */
bool shape_has_values(const struct plain *p);
/* The compact texts of the values that a plain shape with enum, const, of null and booleans only, or of
 * integers between near bounds has.  False: it is not one of a few values. */
bool shape_list_values(struct shaper *s, const struct plain *p, struct str **texts, uint32_t *n);
/* The plain shape of a set that has nothing to split; false: it has. */
bool shape_set_is_plain(struct shape_set *set, struct plain *p);

/* shape_string.c: all strings of a plain shape, without quotes; NULL after an error.  is_any (may be
 * NULL): every string, then the automaton is not made. */
struct dfa *shape_string_dfa(struct shaper *s, const struct plain *p, bool *is_any);
struct dfa *shape_pattern_dfa(struct shaper *s, const struct schema_node *node, const char *keyword,
                              struct str pattern);
/* shape_format.c: NULL with room.code OK: this format cannot be held. */
struct dfa *shape_format_dfa(struct dfa_room *room, enum schema_format format);

/* shape_not.c: schemas of which at least one holds where `node` does not.  False after an error. */
struct shape_nodes {
    const struct schema_node **nodes;
    uint32_t n, cap;
};
bool shape_negate(struct shaper *s, const struct schema_node *node, struct shape_nodes *out);
/* A new schema that says nothing yet. */
struct schema_node *shape_new_node(struct shaper *s, const struct schema_node *like);
/* {"properties": {name: schema}}, with it required or not; schema NULL: not allowed at all. */
struct schema_node *shape_new_member(struct shaper *s, const struct schema_node *like, struct str name,
                                     const struct schema_node *schema, bool is_required);

#endif
