/* json.h - A strict JSON reader that keeps spans of its source, and an append writer.
 *
 * Reader: one pass over the text makes a tape of nodes in an arena; every value knows its span
 * in the source, so numbers, order and unknown fields stay exactly as they came.  RFC 8259
 * strictly, UTF-8 checked, depth at most JSON_DEPTH_MAX.  One rule for duplicate keys: a
 * document that has them in one object is refused, so that no two readers can disagree.
 *
 * A `struct json` is a small value (document + position) to be passed by copy; a missing value
 * is one whose doc is NULL, and every function below takes it and answers "absent", so chains
 * like json_get(json_get(root, "a"), "b") need one check at their end.
 *
 * Lifetime: source text and arena must outlive the document.  Threads: a finished document is
 * read-only. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_MAX 128

enum json_type {
    JSON_ABSENT, /* no such value */
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_node {
    uint32_t at;    /* offset of the value's first byte in the source */
    uint32_t n;     /* its length in bytes, quotes and brackets included */
    uint32_t next;  /* tape index behind this value and all that it holds */
    uint32_t count; /* array: elements; object: members; string: 1 if it has escapes */
    uint8_t type;
};

struct json_doc {
    struct str source;
    struct json_node *nodes; /* object members lie as key, value, key, value */
    uint32_t n_nodes;
};

struct json {
    const struct json_doc *doc;
    uint32_t idx;
};

/* Parse all of `source` (at most 4 GiB - 1).  On failure: ERR_FORMAT with the byte offset and
 * what was expected, ERR_LIMIT for depth, ERR_NOMEM when the arena is full.  *doc may be used
 * only after OK. */
int json_parse(struct json_doc *doc, struct arena *arena, struct str source, struct err *err);

struct json json_root(const struct json_doc *doc);
static inline struct json json_absent(void)
{
    return (struct json){0, 0};
}
enum json_type json_type(struct json v);
static inline bool json_exists(struct json v)
{
    return v.doc != 0;
}
static inline bool json_is(struct json v, enum json_type t)
{
    return json_type(v) == t;
}
/* Absent or null. */
static inline bool json_is_none(struct json v)
{
    return json_type(v) <= JSON_NULL;
}

struct str json_span(struct json v); /* the value as it stands in the source */
uint32_t json_count(struct json v);  /* elements or members; 0 for others */

/* Member of an object / element of an array; absent if there is none or v is another type. */
struct json json_get(struct json v, const char *key);
struct json json_get_str(struct json v, struct str key);
struct json json_at(struct json v, uint32_t i); /* O(i): iterate instead of indexing long arrays */

/* Iteration:  struct json_iter it = json_iter(v); while (json_next(&it)) ... it.key, it.value
 * (it.key is the raw text between the quotes; use json_key_text when it may hold escapes). */
struct json_iter {
    struct json value;
    struct json key_value; /* the key as a value (objects only) */
    struct str key;        /* between the quotes, escapes not undone */
    uint32_t i;            /* 0-based position of the current item */
    uint32_t end_, at_;
    const struct json_doc *doc_;
    bool is_object_;
};
struct json_iter json_iter(struct json v);
bool json_next(struct json_iter *it);

/* Texts.  json_text: the string with escapes undone; borrowed from the source when it has none,
 * else made in `arena` (p == NULL when that is full).  For another type: p == NULL.
 * A lone surrogate escape becomes U+FFFD. */
struct str json_text(struct json v, struct arena *arena);
bool json_text_is(struct json v, const char *z); /* compares after undoing escapes */
/* Undo escapes of the raw text between two quotes into `out`. */
bool json_unescape(struct buf *out, struct str raw);

/* Numbers: false unless v is a number which fits exactly (for u64/i64: no fraction after the
 * exponent is applied, e.g. 1e3 and 2.0 are integers). */
bool json_i64(struct json v, int64_t *out);
bool json_u64(struct json v, uint64_t *out);
bool json_f64(struct json v, double *out); /* false if it overflows to infinity */
bool json_bool(struct json v, bool *out);

/* ---- writer ---- */

/* Appends to a buf with commas and colons where they belong.  Nothing is checked except depth
 * and pairing (asserted): what the caller says is what is written. */
struct json_writer {
    struct buf *out;
    uint64_t has_item[JSON_DEPTH_MAX / 64]; /* bit d: something was written at depth d */
    int depth;
    bool after_key;
};

struct json_writer json_writer(struct buf *out);
void jw_begin_object(struct json_writer *w);
void jw_end_object(struct json_writer *w);
void jw_begin_array(struct json_writer *w);
void jw_end_array(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key);
void jw_key_str(struct json_writer *w, struct str key);
void jw_str(struct json_writer *w, struct str s); /* invalid UTF-8 becomes U+FFFD */
void jw_z(struct json_writer *w, const char *z);  /* NULL writes null */
void jw_i64(struct json_writer *w, int64_t v);
void jw_u64(struct json_writer *w, uint64_t v);
void jw_f64(struct json_writer *w, double v); /* shortest form that reads back equal; not finite: null */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
void jw_raw(struct json_writer *w, struct str json); /* already JSON */

/* key + value in one call */
void jw_kv_str(struct json_writer *w, const char *key, struct str s);
void jw_kv_z(struct json_writer *w, const char *key, const char *z);
void jw_kv_i64(struct json_writer *w, const char *key, int64_t v);
void jw_kv_u64(struct json_writer *w, const char *key, uint64_t v);
void jw_kv_f64(struct json_writer *w, const char *key, double v);
void jw_kv_bool(struct json_writer *w, const char *key, bool v);
void jw_kv_raw(struct json_writer *w, const char *key, struct str json);
void jw_kv_null(struct json_writer *w, const char *key);

/* The text with quotes and escapes, straight into a buf. */
bool json_quote(struct buf *out, struct str s);
/* The inside of the quotes only (for values built from several pieces). */
bool json_escape(struct buf *out, struct str s);

#endif
