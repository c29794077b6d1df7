/* schema_int.h - What the files of the schema reader and of the validator share. */
#ifndef GRAMMAR_SCHEMA_INT_H
#define GRAMMAR_SCHEMA_INT_H

#include "grammar/schema.h"

/* ---- schema_number.c ---- */

/* Numbers with an exponent past this are refused in a schema and are never equal in an instance. */
#define SCHEMA_EXP_MAX 1000000000000
/* Significant digits of multipleOf: the remainder is computed in 128 bits. */
#define SCHEMA_MULTIPLE_DIGITS_MAX 18

/* The number that stands in `text` (a JSON number).  `digits` has room for text.n bytes and must
 * outlive *out.  False: its exponent is past SCHEMA_EXP_MAX. */
bool schema_number_parse(struct schema_number *out, struct str text, char *digits);
/* True if a = k * b with an integer k.  b is above zero with at most SCHEMA_MULTIPLE_DIGITS_MAX digits. */
bool schema_number_is_multiple(const struct schema_number *a, const struct schema_number *b);
static inline bool schema_number_is_integer(const struct schema_number *n)
{
    return n->n_digits == 0 || n->exp >= 0;
}
/* Parse the number value v; short ones use `room`, longer ones memory of the heap, to be given back
 * with schema_number_done. */
#define SCHEMA_NUMBER_ROOM 64
struct schema_number_room {
    char digits[SCHEMA_NUMBER_ROOM];
    char *heap;
};
bool schema_number_of(struct schema_number *out, struct json v, struct schema_number_room *room);
void schema_number_done(struct schema_number_room *room);

/* ---- schema_value.c ---- */

/* Equal values have equal hashes. */
uint64_t schema_value_hash(struct json v);
/* Code points of the text between the quotes of a string value. */
uint64_t schema_string_length(struct json v);

/* ---- schema_format.c ---- */

enum schema_format schema_format_find(struct str name);
bool schema_format_check(enum schema_format f, struct str text);

/* ---- the reader: schema.c and schema_ref.c ---- */

struct schema_ref {
    struct schema_node *node; /* the one that has the $ref */
    struct str target;
    uint32_t resource; /* tape index of the part of the document that it stands in */
    bool is_dynamic;
};

struct schema_anchor {
    struct str name;
    uint32_t resource; /* tape index of the part with its own $id, 0 for the document */
    uint32_t at;       /* tape index of the schema */
    bool is_dynamic;
};

struct schema_id {
    struct str uri;
    uint32_t at;
};

struct schema {
    struct arena arena;
    struct json_doc doc;
    struct schema_node **nodes; /* by id; also the queue of those to be read */
    uint32_t n_nodes, nodes_cap, n_read;
    struct schema_node **at; /* by tape index: the node of this value, or NULL */
    uint32_t *resource_of;   /* by node id: tape index of its resource */
    struct schema_ref *refs;
    uint32_t n_refs, refs_cap, n_resolved;
    struct schema_anchor *anchors;
    uint32_t n_anchors, anchors_cap;
    struct schema_id *ids;
    uint32_t n_ids, ids_cap;
};

/* The node of the schema at value v, made and put into the queue if it is new.  NULL: *err is set. */
struct schema_node *schema_node_for(struct schema *s, struct json v, struct str pointer, uint32_t resource,
                                    struct err *err);
/* Room for one more in a growing list of the arena; the new item is zeroed.  NULL without memory. */
void *schema_grow(struct schema *s, void *list, uint32_t n, uint32_t *cap, size_t size);
int schema_no_memory(struct err *err);
/* "pointer/escaped token" in the arena; p == NULL without memory. */
struct str schema_pointer_add(struct schema *s, struct str pointer, struct str token);
/* Point node->ref of the reference where it belongs. */
int schema_ref_resolve(struct schema *s, const struct schema_ref *ref, struct err *err);

#endif
