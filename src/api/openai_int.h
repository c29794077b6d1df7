/* openai_int.h - What the three OpenAI dialects share among each other. */
#ifndef API_OPENAI_INT_H
#define API_OPENAI_INT_H

#include "api/read_int.h"
#include "api/write_int.h"

int openai_read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e);
int openai_write_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out);
/* Chat's table of top-level fields; completions shares it. */
size_t openai_common_rows(const struct field_row **rows);
/* A prompt or the inputs of embeddings: text or token ids, one or many. */
int openai_read_prompts(struct rd *r, struct json v, uint32_t max, struct chat_prompt **out, size_t *n,
                        bool *is_array);
void openai_write_prompts(struct json_writer *w, const char *key, const struct chat_prompt *list, size_t n,
                          bool is_array);
/* True if the target's quirks touch what the request uses: its body cannot travel as it is. */
bool openai_needs_rewrite(const struct chat_request *req, uint32_t quirks);
/* model, cap and usage spliced into the client's body; path is the caller's. */
int openai_pass_body(const struct chat_request *req, const struct dialect_target *target, const char *cap_key,
                     struct arena *a, struct dialect_out *out);
/* Sampling and output-format fields, the same in chat and completions. */
void openai_write_sampling(struct json_writer *w, const struct chat_request *req,
                           const struct dialect_target *t, struct dialect_lacks *l);
void openai_write_format(struct json_writer *w, const struct chat_request *req,
                         const struct dialect_target *t, struct dialect_lacks *l);
void openai_write_stream_fields(struct json_writer *w, const struct chat_request *req,
                                const struct dialect_target *t);
bool openai_is_family(enum dialect_id id);

int openai_write_answer(const struct chat_request *req, const struct dialect_reply *reply,
                        const struct chat_answer *answer, struct buf *out, struct chat_error *e);
struct dialect_writer *openai_writer_new(const struct chat_request *req, const struct dialect_reply *reply);
void openai_writer_free(struct dialect_writer *w);
int openai_writer_event(struct dialect_writer *w, const struct chat_event *ev, struct buf *out);
int openai_writer_end(struct dialect_writer *w, struct buf *out);
void openai_writer_heartbeat(struct dialect_writer *w, struct buf *out);
const char *openai_stream_content_type(const struct chat_request *req);

int openai_read_answer(const struct chat_request *req, struct str body, struct arena *a,
                       const struct chat_sink *sink);
struct dialect_reader *openai_reader_new(const struct chat_request *req);
void openai_reader_free(struct dialect_reader *r);
int openai_reader_event(struct dialect_reader *r, struct str name, struct str data,
                        const struct chat_sink *sink);
int openai_reader_end(struct dialect_reader *r, const struct chat_sink *sink);

void openai_write_error(const struct chat_error *e, struct str request_id, struct buf *out);
int openai_error_status(const struct chat_error *e);
void openai_read_error(int status, const struct chat_header *headers, size_t n_headers, struct str body,
                       int64_t now_ms, struct chat_error *e);
/* {"error":...} inside a 200. */
void openai_read_error_value(int status, struct json error, struct chat_error *e);
void openai_read_limits(const struct chat_header *headers, size_t n_headers, int64_t now_ms,
                        struct rate_limits *l);
bool openai_read_usage(struct json usage, struct token_account *t);
void openai_write_usage(struct json_writer *w, const struct token_account *t);
const char *openai_finish_name(enum chat_finish f, bool has_refusal);
enum chat_finish openai_finish_by_name(struct str s);
/* "chatcmpl-" + what identifies the answer. */
struct str openai_answer_id(struct arena *a, const char *prefix, struct str given, struct str request_id);
void openai_write_models(const struct model_entry *models, size_t n_models, struct buf *out);
void openai_write_model(const struct model_entry *model, struct buf *out);

extern const struct dialect dialect_openai_chat, dialect_openai_completions, dialect_openai_embeddings,
    dialect_anthropic, dialect_gemini;

#endif
