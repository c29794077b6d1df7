/* schema.h - JSON Schema 2020-12, read once into nodes that are easy to walk.
 *
 * schema_read() turns the text of a schema into a graph of nodes: every keyword that says what a
 * value must be is a field, $ref is a pointer to another node (so the graph may have cycles), and
 * annotations (title, description, default, examples ...) are gone.  Two readers use it: the
 * automaton that constrains a generation, and schema_check(), which validates a finished text.
 *
 * Nothing is ignored in silence: a keyword with a value of the wrong kind is an error of
 * schema_read(), and a keyword that is unknown here stays in `unknown` of its node: whoever
 * promises that the output follows the schema must refuse such a node (JSON Schema itself takes an
 * unknown keyword for an annotation, which is what schema_check() does).
 *
 * Also understood, because schemas in use have them: `definitions`, an array as `items` with
 * `additionalItems` and `dependencies` of the older drafts, and `nullable` of OpenAPI beside `type`.
 *
 * References go to this document only: "#", "#/json/pointer", "#anchor", and the same behind a URI
 * that is the $id of the document or of a part of it, letter by letter (URIs are compared, never
 * resolved against each other).  $dynamicRef is possible where one $dynamicAnchor has its name.
 *
 * Memory: a schema owns everything that hangs on it, up to SCHEMA_BYTES_MAX.  Threads: after
 * schema_read it is read-only. */
#ifndef GRAMMAR_SCHEMA_H
#define GRAMMAR_SCHEMA_H

#include "base/json.h"

#define SCHEMA_TEXT_MAX  (1u << 20)  /* bytes of a schema's text */
#define SCHEMA_BYTES_MAX (24u << 20) /* memory of a schema that was read */
#define SCHEMA_NODES_MAX 20000

/* Types as a set.  SCHEMA_NUMBER means every number, integers included; SCHEMA_INTEGER alone means
 * numbers without a fraction (2.0 is one). */
enum {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_NUMBER = 8,
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
    SCHEMA_ANY = 127
};

enum schema_format {
    SCHEMA_FORMAT_NONE,
    SCHEMA_FORMAT_UNKNOWN, /* there is a format, named in format_name, of which nothing is known */
    SCHEMA_FORMAT_DATE,
    SCHEMA_FORMAT_TIME,
    SCHEMA_FORMAT_DATE_TIME,
    SCHEMA_FORMAT_DURATION,
    SCHEMA_FORMAT_EMAIL,
    SCHEMA_FORMAT_UUID,
    SCHEMA_FORMAT_URI,
    SCHEMA_FORMAT_URI_REFERENCE,
    SCHEMA_FORMAT_HOSTNAME,
    SCHEMA_FORMAT_IPV4,
    SCHEMA_FORMAT_IPV6,
    SCHEMA_FORMAT_REGEX,
    SCHEMA_FORMAT_JSON_POINTER,
    SCHEMA_FORMAT_RELATIVE_JSON_POINTER,
    SCHEMA_FORMAT_INT32, /* of OpenAPI: an integer of 32 bits with sign */
    SCHEMA_FORMAT_INT64
};

/* No upper bound given (max_length, max_items, max_properties, max_contains). */
#define SCHEMA_NO_MAX UINT64_MAX

/* A number of the schema, exact: sign * digits * 10^exp, with neither a leading nor a trailing
 * zero digit.  Zero has n_digits == 0.  digits == NULL: the keyword is not there. */
struct schema_number {
    const char *digits; /* '0'..'9' */
    uint32_t n_digits;
    bool is_negative;
    int64_t exp;
    struct str text; /* as it stood in the schema */
};

static inline bool schema_number_exists(const struct schema_number *n)
{
    return n->digits != NULL;
}
/* False unless it is an integer that fits. */
bool schema_number_i64(const struct schema_number *n, int64_t *out);
/* -1, 0 or 1. */
int schema_number_cmp(const struct schema_number *a, const struct schema_number *b);

struct schema_node;

struct schema_property {
    struct str name; /* escapes undone */
    const struct schema_node *schema;
    bool is_required;
};

struct schema_pattern_property {
    struct str pattern; /* not anchored, ECMA-262 */
    const struct schema_node *schema;
};

struct schema_dependent {
    struct str name;
    const struct schema_node *schema; /* dependentSchemas; or NULL: */
    const struct str *required;       /* dependentRequired */
    uint32_t n_required;
};

struct schema_list {
    const struct schema_node **items;
    uint32_t n;
};

enum schema_kind {
    SCHEMA_KIND_OBJECT, /* the fields below speak; without any of them everything is valid */
    SCHEMA_KIND_TRUE,   /* everything is valid */
    SCHEMA_KIND_FALSE   /* nothing is valid */
};

/* Which groups of keywords a node has, so that a walker can skip the rest. */
enum {
    SCHEMA_HAS_TYPE = 1,
    SCHEMA_HAS_CONST = 2,
    SCHEMA_HAS_ENUM = 4,
    SCHEMA_HAS_NUMBER = 8,   /* minimum ... multipleOf */
    SCHEMA_HAS_STRING = 16,  /* minLength, maxLength, pattern, format */
    SCHEMA_HAS_ARRAY = 32,   /* prefixItems ... unevaluatedItems */
    SCHEMA_HAS_OBJECT = 64,  /* properties ... unevaluatedProperties */
    SCHEMA_HAS_COMBINE = 128 /* allOf, anyOf, oneOf, not, if, $ref, $dynamicRef */
};

struct schema_node {
    enum schema_kind kind;
    uint32_t id;        /* 0-based, dense: an index for tables beside the schema (root is 0) */
    uint32_t has;       /* SCHEMA_HAS_* */
    struct str pointer; /* where it stands: "#", "#/properties/name"; escaped as JSON pointers are */
    struct json source; /* the schema as it was written */

    struct str unknown; /* the first keyword of which nothing is known; p == NULL: none */

    uint8_t types;           /* what `type` allows; SCHEMA_ANY without the keyword */
    struct json const_value; /* with SCHEMA_HAS_CONST */
    struct json enum_values; /* with SCHEMA_HAS_ENUM: an array */

    /* Numbers. */
    struct schema_number minimum, maximum, exclusive_minimum, exclusive_maximum;
    struct schema_number multiple_of; /* above zero, at most 18 digits */

    /* Strings; lengths in code points. */
    uint64_t min_length, max_length;
    struct str pattern; /* not anchored; p == NULL: none */
    enum schema_format format;
    struct str format_name;

    /* Arrays.  `items` is for elements behind those of prefix_items. */
    struct schema_list prefix_items;
    const struct schema_node *items; /* NULL: no such keyword (for this and all below) */
    uint64_t min_items, max_items;
    bool unique_items;
    const struct schema_node *contains;
    uint64_t min_contains, max_contains; /* 1 and SCHEMA_NO_MAX by default */
    const struct schema_node *unevaluated_items;

    /* Objects. */
    struct schema_property *properties; /* in the order of the schema */
    uint32_t n_properties;
    uint32_t *properties_by_name; /* indices of properties, sorted by str_cmp of their names */
    struct str *required;         /* all of them, those without an entry in properties too; no doubles */
    uint32_t n_required;
    struct schema_pattern_property *pattern_properties;
    uint32_t n_pattern_properties;
    const struct schema_node *additional_properties;
    const struct schema_node *property_names;
    uint64_t min_properties, max_properties;
    struct schema_dependent *dependents;
    uint32_t n_dependents;
    const struct schema_node *unevaluated_properties;

    /* Combinations.  All that a node says holds together, its ref too. */
    const struct schema_node *ref;
    struct schema_list all_of, any_of, one_of;
    const struct schema_node *not_;
    const struct schema_node *if_, *then_, *else_; /* then_ and else_ only beside if_ */
};

struct schema;

/* Read `text`.  On failure *out is NULL and err says where ("the schema at #/properties/a ...") and
 * why: ERR_FORMAT for what is no schema, ERR_UNSUPPORTED for what is one but cannot be followed
 * here (a reference out of the document), ERR_LIMIT, ERR_NOMEM. */
int schema_read(struct schema **out, struct str text, struct err *err);
void schema_free(struct schema *s);

const struct schema_node *schema_root(const struct schema *s);
uint32_t schema_n_nodes(const struct schema *s);
const struct schema_node *schema_node_at(const struct schema *s, uint32_t id);

/* The one form of an error about a place of a schema: "the schema at POINTER[/KEYWORD] REASON".
 * keyword may be NULL.  Returns code. */
int schema_fail(struct err *err, int code, const struct schema_node *node, const char *keyword,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The entry of `name` in node->properties, or NULL. */
const struct schema_property *schema_property_find(const struct schema_node *node, struct str name);

/* ---- values ---- */

/* Equal as JSON Schema has it: 1, 1.0 and 10e-1 are the same number, the order of members is of no
 * meaning, strings are compared with their escapes undone. */
bool schema_values_equal(struct json a, struct json b);
/* The value without blanks: numbers as they stand, strings with the fewest escapes, members in
 * their order.  False when `out` is full. */
bool schema_write_compact(struct buf *out, struct json v);

#endif
