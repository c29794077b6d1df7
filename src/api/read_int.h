/* read_int.h - Reading a request's JSON with the path of the field in every error.
 *
 * A `struct rd` walks the document and keeps the path ("messages[2].content[0]") of where it
 * is.  Helpers answer OK, or a negative code with r->e filled.  An absent member and a null one
 * mean the same: not given. */
#ifndef API_READ_INT_H
#define API_READ_INT_H

#include "api/chat.h"
#include "base/json.h"

struct rd {
    struct arena *a;
    struct chat_error *e;
    struct chat_request *req;
    char path[160];
    size_t path_n;
    size_t fields_cap;
};

/* Go one step down; returns the mark for rd_up. */
size_t rd_key(struct rd *r, struct str key);
size_t rd_idx(struct rd *r, uint32_t i);
void rd_up(struct rd *r, size_t mark);

/* Errors at the current path, or at its member `key` (NULL: here). */
int rd_fail(struct rd *r, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int rd_nomem(struct rd *r);
/* "must be WANTED, not a number" */
int rd_wrong_type(struct rd *r, const char *key, struct json v, const char *wanted);

/* Values at the current path.  `v` absent or null: *out unchanged, OK. */
int rd_text(struct rd *r, const char *key, struct json v, struct str *out);
int rd_f64(struct rd *r, const char *key, struct json v, double lo, double hi, struct chat_f64 *out);
int rd_i64(struct rd *r, const char *key, struct json v, int64_t lo, int64_t hi, struct chat_i64 *out);
int rd_bool(struct rd *r, const char *key, struct json v, bool *out);
int rd_tri(struct rd *r, const char *key, struct json v, enum chat_tri *out);
/* Members of the object `obj`; `need` makes an absent one an error. */
int rd_get_text(struct rd *r, struct json obj, const char *key, bool need, struct str *out);
/* A JSON object or absent; the span of it in *out. */
int rd_get_object_span(struct rd *r, struct json obj, const char *key, struct str *out);
/* OK when v is an array with at most max items; else the error. */
int rd_check_array(struct rd *r, const char *key, struct json v, uint32_t max);
/* A list of texts in the arena. */
int rd_texts(struct rd *r, const char *key, struct json v, uint32_t max, struct str **out, size_t *n);

/* Keep a field that the canonical form does not know. */
int rd_keep(struct rd *r, struct str key, struct json v, enum chat_field_kind kind);
/* Keep members of `obj` that are not in the NULL-ended list `known` as unknown fields. */
int rd_keep_unknown(struct rd *r, struct json obj, const char *const *known);

enum field_type {
    FIELD_F64,
    FIELD_I64,
    FIELD_TRI,
    FIELD_BOOL,
    FIELD_STR,
    FIELD_CALL,   /* call(r, v) reads it; the path already names it */
    FIELD_SPAN,   /* an object, kept as its span at `offset` */
    FIELD_HINT,   /* kept, enum chat_field_kind */
    FIELD_MEANING /* kept, unless null */
};

struct field_row {
    const char *key;
    enum field_type type;
    size_t offset; /* in struct chat_request */
    double lo, hi;
    int (*call)(struct rd *r, struct json v);
};

/* Read an object's members by table in one pass; members without a row are kept as unknown. */
int rd_fields(struct rd *r, struct json obj, const struct field_row *rows, size_t n_rows);

/* Start: parse `body`, which must hold an object.  On OK *root is set and r->req is a new
 * request with defaults. */
int rd_begin(struct rd *r, struct arena *a, struct chat_error *e, struct str body, struct json *root);

/* "data:image/png;base64,AAAA" -> mime and data; false if it is not of that form. */
bool rd_data_url(struct str url, struct chat_media *m);
/* The mark {"type":"ephemeral","ttl":"5m"|"1h"}, absent: none. */
int rd_cache_control(struct rd *r, struct json obj, enum chat_cache_mark *out);

/* Fill names of tool results from the calls they answer (Gemini needs them). */
void rd_name_results(struct chat_request *req);

/* Effort by name; false if unknown. */
bool effort_by_name(struct str s, enum chat_effort *out);

#endif
