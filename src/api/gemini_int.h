/* gemini_int.h - What the files of the Gemini dialect share. */
#ifndef API_GEMINI_INT_H
#define API_GEMINI_INT_H

#include "api/read_int.h"
#include "api/write_int.h"

/* Ids that we make for calls which Gemini gave none; they do not go back to it. */
#define GEMINI_ID_MARK "gcall_"

/* Google's JSON accepts lowerCamelCase and snake_case for every field. */
struct json gemini_get(struct json obj, const char *camel, const char *snake);

/* Google's schema dialect (types in capitals, nullable, counts as strings, propertyOrdering) as
 * JSON Schema; is_closed: objects have no properties but the declared ones.  p == NULL without memory. */
struct str gemini_schema_to_json(struct json schema, bool is_closed, struct arena *a);

/* thoughtSignature must be base64: a foreign signature is wrapped and encoded. */
void gemini_signature_write(struct json_writer *w, struct str signature, enum dialect_id from,
                            bool is_redacted);
struct str gemini_signature_read(struct str s, struct arena *a, enum dialect_id *from, bool *is_redacted);

int gemini_read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e);
int gemini_write_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out);
int gemini_pass_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                        struct dialect_out *out);

int gemini_write_answer(const struct chat_request *req, const struct dialect_reply *reply,
                        const struct chat_answer *answer, struct buf *out, struct chat_error *e);
struct dialect_writer *gemini_writer_new(const struct chat_request *req, const struct dialect_reply *reply);
void gemini_writer_free(struct dialect_writer *w);
int gemini_writer_event(struct dialect_writer *w, const struct chat_event *ev, struct buf *out);
int gemini_writer_end(struct dialect_writer *w, struct buf *out);
void gemini_writer_heartbeat(struct dialect_writer *w, struct buf *out);

int gemini_read_answer(const struct chat_request *req, struct str body, struct arena *a,
                       const struct chat_sink *sink);
struct dialect_reader *gemini_reader_new(const struct chat_request *req);
void gemini_reader_free(struct dialect_reader *r);
int gemini_reader_event(struct dialect_reader *r, struct str name, struct str data,
                        const struct chat_sink *sink);
int gemini_reader_end(struct dialect_reader *r, const struct chat_sink *sink);

void gemini_write_error(const struct chat_error *e, struct str request_id, struct buf *out);
void gemini_read_error_value(int status, struct json error, struct chat_error *e);

extern const struct dialect dialect_gemini;

#endif
