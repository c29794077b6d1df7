/* write_int.h - Writing requests to providers: what they lack, spliced bodies, signatures of
 * one provider carried through the dialect of another.  Shared by all dialects. */
#ifndef API_WRITE_INT_H
#define API_WRITE_INT_H

#include "api/dialect.h"
#include "base/json.h"

/* Note a field the target cannot express.  The same field is noted once. */
void lack_refuse(struct dialect_lacks *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lack_hint(struct dialect_lacks *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Path of a part as the client knows it: "messages[2].content[0]", "contents[2].parts[0]". */
enum { PART_PATH_MAX = 64 };
void part_path(char path[PART_PATH_MAX], const struct chat_request *req, const struct chat_message *m,
               const struct chat_part *p);
/* How the client's dialect calls a field that OpenAI calls `name`. */
const char *wire_field(const struct chat_request *req, const char *name);
/* The request's kept fields towards a target of another dialect. */
void lack_fields(struct dialect_lacks *l, const struct chat_request *req);

/* True if the call's arguments are a JSON object; *span is then its text ("{}" for ""). */
bool args_object(const struct chat_part *call, struct arena *a, struct str *span);

/* max_tokens of the request under the target's cap; 0: none. */
int64_t capped_max_tokens(const struct chat_request *req, const struct dialect_target *target);

/* One change of a JSON object's text: the member at the path (up to two keys) becomes `json`,
 * or is added at the end; json.p == NULL removes it. */
struct splice {
    const char *key;
    const char *key2; /* NULL: one key */
    struct str json;
};
/* doc's source with the edits made, everything else byte for byte, into out.  At most
 * SPLICES_MAX edits, at most one of them a removal. */
enum { SPLICES_MAX = 8 };
void splice_write(const struct json_doc *doc, const struct splice *edits, size_t n, struct buf *out);

/* The list as JSON text with one more item at its end; p == NULL without memory or if it is no list. */
struct str json_list_plus(struct arena *a, struct json list, struct str item);

/* A signature of provider dialect `from` as text that survives a client of another dialect:
 * "sluice.gemini." + signature.  Unchanged when from == shown_in. */
void signature_wrap(struct buf *out, struct str signature, enum dialect_id from, bool is_redacted,
                    enum dialect_id shown_in);
/* Undo it: sets *from (else leaves it at `shown_in`) and *is_redacted; returns the signature. */
struct str signature_unwrap(struct str text, enum dialect_id shown_in, enum dialect_id *from,
                            bool *is_redacted);

/* An id for a call that its provider gave none: the same for the same answer, different in every
 * answer of a conversation. */
struct str call_id_make(struct arena *a, const char *prefix, struct str answer_id,
                        const struct chat_request *req, int choice, int tool);

/* Header lookup, any case; p == NULL if absent. */
struct str header_get(const struct chat_header *headers, size_t n_headers, const char *name);
/* Retry-After in seconds or as an HTTP date, retry-after-ms; -1 if there is none or it is bad. */
int64_t header_retry_after_ms(const struct chat_header *headers, size_t n_headers, int64_t now_ms);
/* "6m0s", "1.5s", "34s", "12ms" in milliseconds; -1 if it is none. */
int64_t duration_ms(struct str s);
/* RFC 3339 time as Unix milliseconds; -1 if it is none. */
int64_t rfc3339_ms(struct str s);
/* Unix milliseconds as RFC 3339 in seconds, UTC. */
void rfc3339_write(int64_t unix_ms, struct buf *out);

void rate_limits_init(struct rate_limits *l);
/* x-ratelimit-* and retry-after lines, as OpenAI's clients read them. */
void limits_write_openai(const struct rate_limits *l, int64_t now_ms, struct buf *out);

/* Known error patterns that providers share: words of a message that mean "no credit" or
 * "prompt too long".  Returns CHAT_ERR_NONE if none fits. */
enum chat_error_kind error_kind_by_words(struct str message);
/* The kind by status alone. */
enum chat_error_kind error_kind_by_status(int status);
/* *e for a body that is not the dialect's error shape (HTML, text, empty). */
void error_from_text(int status, struct str body, struct chat_error *e);
/* Copy provider text into e->message, printable and cut. */
void error_set_text(struct chat_error *e, struct str message);

/* base64 of `s` into out. */
void base64_write(struct buf *out, struct str s);
/* Decoded bytes in the arena (both alphabets, padding optional); p == NULL if it is not base64. */
struct str base64_read(struct str s, struct arena *a);

#endif
