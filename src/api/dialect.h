/* dialect.h - One wire dialect: text to canonical forms and back, no I/O.
 *
 * A dialect has two faces.  Facing clients it reads requests and writes answers, streams and
 * errors.  Facing providers it writes requests and reads answers, streams and errors.  A row of
 * dialects.c each; a member that a dialect does not have is NULL (embeddings have no stream).
 *
 * Translating, in order:
 *   client side   read_request                      body -> chat_request
 *   provider side write_request                     chat_request -> body, path, headers, lacks
 *   provider side read_answer | reader_*            body | SSE events -> chat_event...
 *   client side   write_answer | writer_*           chat_answer | chat_event... -> bytes
 * Same dialect on both sides: pass_request instead of write_request; the answer's bytes travel
 * as they are while reader_* or read_answer only watches for usage, content and finish.
 *
 * Threads: the table is constant; every reader and writer belongs to one thread. */
#ifndef API_DIALECT_H
#define API_DIALECT_H

#include "api/chat.h"

struct chat_header {
    struct str name; /* any case */
    struct str value;
};

/* A request as the HTTP layer gives it.  All borrowed, to outlive the chat_request. */
struct dialect_in {
    struct str path;  /* decoded, without query: /v1beta/models/gemini-2.5-pro:generateContent */
    struct str query; /* without '?' */
    const struct chat_header *headers;
    size_t n_headers;
    struct str body;
};

/* What a provider of this dialect cannot do or does otherwise; a preset's row sets these. */
enum dialect_quirk {
    QUIRK_MAX_TOKENS_OLD = 1 << 0,    /* OpenAI: `max_tokens`, not `max_completion_tokens` */
    QUIRK_NO_STREAM_OPTIONS = 1 << 1, /* OpenAI: refuses stream_options */
    QUIRK_ENGINE_FIELDS = 1 << 2,     /* OpenAI: takes top_k, min_p, repeat_penalty, guided_* ... */
    QUIRK_NO_DEVELOPER = 1 << 3,      /* OpenAI: role developer unknown, use system */
    QUIRK_NO_SCHEMA = 1 << 4,         /* no json_schema output */
    QUIRK_NO_JSON_MODE = 1 << 5,      /* no json_object output */
    QUIRK_NO_TOOLS = 1 << 6,          /* no tools at all */
    QUIRK_NO_IMAGES = 1 << 7,         /* text only */
    QUIRK_REASONING_BACK = 1 << 8,    /* OpenAI: wants reasoning_content of past turns back */
    QUIRK_NO_MODEL_FIELD = 1 << 9,    /* model is in the address (Azure deployments, Vertex) */
    QUIRK_NO_LOGPROBS = 1 << 10,
    QUIRK_NO_N = 1 << 11,              /* one answer only */
    QUIRK_NO_EFFORT = 1 << 12,         /* OpenAI: refuses reasoning_effort */
    QUIRK_ADAPTIVE_THINKING = 1 << 13, /* Anthropic: thinking adaptive + effort, no budgets */
    QUIRK_SHORT_IDS = 1 << 14,         /* OpenAI: ids of calls are 9 letters or digits (Mistral) */
    /* OpenAI: how a begun answer is continued; without one of these by a last message of the assistant */
    QUIRK_CONTINUE_FINAL = 1 << 15,  /* continue_final_message, no generation prompt (vLLM) */
    QUIRK_CONTINUE_PREFIX = 1 << 16, /* "prefix": true on that message (Mistral, DeepSeek) */
    QUIRK_CONTINUE_PARTIAL = 1 << 17 /* "partial": true on it (Qwen) */
};

struct dialect_target {
    struct str model;           /* the provider's name for it */
    uint32_t quirks;            /* enum dialect_quirk, or-ed */
    int64_t max_tokens_default; /* for dialects that demand one; 0: 4096 */
    int64_t max_tokens_cap;     /* 0: none; lowers the request's own */
    bool is_auto_cache;         /* set the provider's cache marks on stable prefixes */
};

enum { LACKS_MAX = 48, LACK_FIELD_MAX = 96 };

/* Fields of a request that a target cannot express. */
struct dialect_lacks {
    struct {
        char field[LACK_FIELD_MAX]; /* path as the client would write it */
        bool is_hint;               /* dropped, and to be named in x-sluice-dropped */
    } items[LACKS_MAX];
    size_t n; /* kept in items; more are only counted */
    size_t n_total;
    size_t n_refused; /* > 0: this target must be passed over; the body is not to be sent */
};

/* First refused field, or "". */
const char *lacks_first_refused(const struct dialect_lacks *l);
/* The dropped hints as one header value: "a, b, c". */
void lacks_write_dropped(const struct dialect_lacks *l, struct buf *out);

/* A request to a provider. */
struct dialect_out {
    struct buf *body;              /* appended to */
    char path[512];                /* behind the base URL (which ends in /v1, /v1beta ...): "/messages" */
    struct chat_header headers[4]; /* besides content-type and credentials; static or arena */
    size_t n_headers;
    struct dialect_lacks lacks;
};

/* What an answer shows besides its events. */
struct dialect_reply {
    struct str request_id; /* ours; also the seed of ids which the provider did not give */
    struct str model;      /* shown where the provider did not say one */
    int64_t created_s;
    int64_t input_estimate; /* tokens, for dialects that name them before the provider does; 0: unknown */
};

/* Facts of a stream being read, first member of every reader. */
struct dialect_reader {
    bool is_done;           /* the dialect's own end was seen ([DONE], message_stop, finishReason) */
    bool has_content;       /* real content was seen: text, reasoning, a call, a refusal, media */
    bool is_between_blocks; /* the content block that ran was closed, none is open (Anthropic) */
    bool is_usage_only;     /* the last event held nothing but usage: pass-through drops it unless
                               the client asked for it */
};
struct dialect_writer; /* a stream being written */

/* What a provider says of its limits; -1: not said. */
struct rate_limits {
    int64_t limit_requests, remaining_requests, reset_requests_ms;
    int64_t limit_tokens, remaining_tokens, reset_tokens_ms;
    int64_t retry_after_ms;
};

struct embed_vector {
    struct str json;     /* the numbers as a JSON array, as they came; or */
    struct str base64;   /* little-endian f32, as they came; or */
    const float *values; /* computed here */
    size_t n_values;
};
struct embed_answer {
    struct str model;
    struct embed_vector *vectors; /* in the order of the inputs */
    size_t n_vectors;
    struct token_account usage;
};
/* A vector as a JSON array or as a base64 string. */
int embed_write_vector(struct buf *out, const struct embed_vector *v, bool as_base64);

struct model_entry {
    struct str id;
    struct str owned_by;
    int64_t created_s;
    int64_t context_tokens; /* 0: unknown */
    int64_t output_tokens;  /* 0: unknown */
};

struct dialect {
    enum dialect_id id;
    const char *name;              /* "openai", "anthropic", ...: in logs, metrics, recorded exchanges */
    const char *auth_header;       /* provider side: carries the key... */
    const char *auth_prefix;       /* ...after this */
    const char *request_id_header; /* where this dialect's SDKs look for it */

    /* ---- facing clients ---- */

    /* Returns OK and *req in arena `a`, or a negative code and *e (kind INVALID or TOO_LARGE,
     * the sentence names the field).  in->body must outlive the request. */
    int (*read_request)(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e);
    /* One JSON body.  Refuses (ERR_FORMAT, *e) an answer that the dialect cannot say. */
    int (*write_answer)(const struct chat_request *req, const struct dialect_reply *reply,
                        const struct chat_answer *answer, struct buf *out, struct chat_error *e);
    /* A stream.  `req` and `reply` must outlive the writer.  NULL without memory. */
    struct dialect_writer *(*writer_new)(const struct chat_request *req, const struct dialect_reply *reply);
    void (*writer_free)(struct dialect_writer *w); /* accepts NULL */
    /* Append the bytes of one event (perhaps none).  After an error event nothing more is
     * written.  ERR_NOMEM / ERR_LIMIT only. */
    int (*writer_event)(struct dialect_writer *w, const struct chat_event *ev, struct buf *out);
    /* The end.  If not every choice has finished, an in-band error is written instead: a
     * stream never ends cleanly by accident. */
    int (*writer_end)(struct dialect_writer *w, struct buf *out);
    /* Keeps a silent connection alive; valid before the first event as well. */
    void (*writer_heartbeat)(struct dialect_writer *w, struct buf *out);
    const char *(*stream_content_type)(const struct chat_request *req);
    /* The body of an error response, and its status (e->status is not used here). */
    void (*write_error)(const struct chat_error *e, struct str request_id, struct buf *out);
    int (*error_status)(const struct chat_error *e);
    /* Lines "name: value\r\n" telling the client of its own limits and of retry_after. */
    void (*write_limits)(const struct rate_limits *l, int64_t now_ms, struct buf *out);
    void (*write_count)(const struct chat_request *req, int64_t n_tokens, struct buf *out);
    int (*write_embeddings)(const struct chat_request *req, const struct embed_answer *answer,
                            struct buf *out);
    void (*write_models)(const struct model_entry *models, size_t n_models, struct buf *out);
    void (*write_model)(const struct model_entry *model, struct buf *out);

    /* ---- facing providers ---- */

    /* Returns OK with out->lacks filled (look at n_refused), or ERR_NOMEM / ERR_LIMIT.
     * `a` holds what out points at. */
    int (*write_request)(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out);
    /* Same dialect: req->body with the model replaced, the output cap lowered, usage asked for
     * and the begun answer of a continued request added; everything else byte for byte.  Where the target's
     * quirks touch what the request uses, it is written anew instead, with lacks as from write_request. */
    int (*pass_request)(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                        struct dialect_out *out);
    /* A whole 200 body as events.  A body that is an error, empty or malformed gives one error
     * event.  Returns what the sink returned, or OK. */
    int (*read_answer)(const struct chat_request *req, struct str body, struct arena *a,
                       const struct chat_sink *sink);
    /* A stream.  `req` must outlive the reader.  NULL without memory. */
    struct dialect_reader *(*reader_new)(const struct chat_request *req);
    void (*reader_free)(struct dialect_reader *r); /* accepts NULL */
    /* One SSE event: its name ("" if none) and its data lines joined by \n. */
    int (*reader_event)(struct dialect_reader *r, struct str name, struct str data,
                        const struct chat_sink *sink);
    /* The body ended.  Sends an error event if the answer was not complete. */
    int (*reader_end)(struct dialect_reader *r, const struct chat_sink *sink);
    /* An answer with status >= 400 (or any other than 200). */
    void (*read_error)(int status, const struct chat_header *headers, size_t n_headers, struct str body,
                       int64_t now_ms, struct chat_error *e);
    void (*read_limits)(const struct chat_header *headers, size_t n_headers, int64_t now_ms,
                        struct rate_limits *l);
    int (*read_count)(struct str body, struct arena *a, int64_t *n_tokens, struct chat_error *e);
    int (*read_embeddings)(struct str body, struct arena *a, struct embed_answer *answer,
                           struct chat_error *e);
};

/* The row of a dialect; NULL for DIALECT_NONE. */
const struct dialect *dialect_get(enum dialect_id id);
/* By name; NULL if there is none. */
const struct dialect *dialect_find(struct str name);
/* A provider of the OpenAI family has a dialect for each operation: the row that carries `op` at
 * a provider whose kind is `provider`.  NULL if it cannot do that at all. */
const struct dialect *dialect_for_op(const struct dialect *provider, enum chat_op op);
/* Which dialect and operation a client's path means (decoded path, without query); NULL if it is
 * none of ours.  GET /v1/models is for the caller. */
const struct dialect *dialect_of_path(struct str path);

/* The numbers of a vector, whichever form it came in: borrowed, or in the arena.  OK or a negative code. */
int embed_vector_floats(const struct embed_vector *v, struct arena *a, const float **out, size_t *n);

#endif
