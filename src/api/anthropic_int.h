/* anthropic_int.h - What the files of the Anthropic dialect share. */
#ifndef API_ANTHROPIC_INT_H
#define API_ANTHROPIC_INT_H

#include "api/read_int.h"
#include "api/write_int.h"

/* The tool through which a plain "any JSON object" answer is forced: the dialect has no JSON
 * mode without a schema.  Its input is the answer's text. */
#define ANTHROPIC_JSON_TOOL "json_answer"
bool anthropic_uses_json_tool(const struct chat_request *req);

/* Tool ids may hold [A-Za-z0-9_-] only.  Any id becomes one that does, and the way back finds
 * the original without a table. */
void anthropic_id_write(struct json_writer *w, struct str id);
struct str anthropic_id_read(struct str id, struct arena *a);

/* The blocks in the list `key` of obj. */
int anthropic_read_blocks(struct rd *r, struct json obj, const char *key, struct chat_part **parts,
                          size_t *n);
void anthropic_read_citation(struct json v, struct arena *a, struct chat_citation *c);

int anthropic_read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                           struct chat_error *e);
int anthropic_write_request(const struct chat_request *req, const struct dialect_target *target,
                            struct arena *a, struct dialect_out *out);
int anthropic_pass_request(const struct chat_request *req, const struct dialect_target *target,
                           struct arena *a, struct dialect_out *out);

int anthropic_write_answer(const struct chat_request *req, const struct dialect_reply *reply,
                           const struct chat_answer *answer, struct buf *out, struct chat_error *e);
struct dialect_writer *anthropic_writer_new(const struct chat_request *req,
                                            const struct dialect_reply *reply);
void anthropic_writer_free(struct dialect_writer *w);
int anthropic_writer_event(struct dialect_writer *w, const struct chat_event *ev, struct buf *out);
int anthropic_writer_end(struct dialect_writer *w, struct buf *out);
void anthropic_writer_heartbeat(struct dialect_writer *w, struct buf *out);

int anthropic_read_answer(const struct chat_request *req, struct str body, struct arena *a,
                          const struct chat_sink *sink);
struct dialect_reader *anthropic_reader_new(const struct chat_request *req);
void anthropic_reader_free(struct dialect_reader *r);
int anthropic_reader_event(struct dialect_reader *r, struct str name, struct str data,
                           const struct chat_sink *sink);
int anthropic_reader_end(struct dialect_reader *r, const struct chat_sink *sink);

void anthropic_write_error(const struct chat_error *e, struct str request_id, struct buf *out);
void anthropic_read_error_value(int status, struct json error, struct chat_error *e);

extern const struct dialect dialect_anthropic;

#endif
