/* chat.h - The canonical forms: what was asked (chat_request), what comes back (chat_event),
 * and the whole of an answer (chat_answer).
 *
 * The gateway knows no other form.  Every dialect reads its own text into these and writes its
 * own text from them, so N client dialects and M provider dialects need N + M files.
 *
 * Rules that hold for all of it:
 *   - Texts are `struct str`: escapes undone, valid UTF-8, borrowed from the request's body or
 *     made in its arena.  p == NULL means "not given"; n == 0 with a p means "given, empty".
 *   - JSON that Sluice does not look into (schemas, tool arguments, metadata) stays the text
 *     that came, as a span: numbers and order survive.  Such fields are named `..._json`.
 *   - A request is read-only once it is read, and belongs to the thread that owns its arena. */
#ifndef API_CHAT_H
#define API_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct json_doc; /* base/json.h */

/* Bounds of one request; past one: 400 with the field's name. */
enum {
    CHAT_MESSAGES_MAX = 10000,
    CHAT_PARTS_MAX = 10000, /* of one message or one tool result */
    CHAT_TOOLS_MAX = 2048,
    CHAT_STOPS_MAX = 64,
    CHAT_CHOICES_MAX = 128, /* n */
    CHAT_PROMPTS_MAX = 2048,
    CHAT_BIAS_MAX = 8192,
    CHAT_INPUTS_MAX = 50000,     /* texts of one embeddings request */
    CHAT_FIELDS_MAX = 256,       /* fields kept as spans */
    CHAT_NESTED_FIELDS_MAX = 64, /* ...of them unknown ones inside lists; more are not named */
    CHAT_STREAM_TOOLS_MAX = 1024
};

/* The dialects; a row of dialects.c each.  Also says whose signature a reasoning part carries. */
enum dialect_id {
    DIALECT_NONE,
    DIALECT_OPENAI_CHAT,
    DIALECT_OPENAI_COMPLETIONS,
    DIALECT_OPENAI_EMBEDDINGS,
    DIALECT_ANTHROPIC,
    DIALECT_GEMINI,
    DIALECT_COUNT
};

enum chat_op {
    CHAT_OP_GENERATE,     /* messages in, an answer out */
    CHAT_OP_COMPLETE,     /* prompts in (legacy completions), n answers for each */
    CHAT_OP_EMBED,        /* inputs in, vectors out */
    CHAT_OP_COUNT_TOKENS, /* messages in, a number out */
};

/* ---- small optional values ---- */

struct chat_f64 {
    double v;
    bool is_set;
};
struct chat_i64 {
    int64_t v;
    bool is_set;
};
enum chat_tri { CHAT_UNSET, CHAT_NO, CHAT_YES };

/* A mark that says: the prompt up to here is worth caching. */
enum chat_cache_mark { CHAT_CACHE_NONE, CHAT_CACHE_5M, CHAT_CACHE_1H };

/* ---- content ---- */

enum chat_role { CHAT_SYSTEM, CHAT_DEVELOPER, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };

enum chat_part_type {
    CHAT_PART_TEXT,
    CHAT_PART_IMAGE,
    CHAT_PART_AUDIO,
    CHAT_PART_VIDEO,
    CHAT_PART_DOCUMENT,      /* PDF or text to be read by the model, perhaps cited */
    CHAT_PART_SEARCH_RESULT, /* text with a source, to be cited */
    CHAT_PART_REFUSAL,       /* assistant: it declined, in these words */
    CHAT_PART_REASONING,     /* assistant: thinking, perhaps signed, perhaps redacted */
    CHAT_PART_TOOL_CALL,     /* assistant */
    CHAT_PART_TOOL_RESULT,   /* role CHAT_TOOL only */
    CHAT_PART_OTHER          /* of one dialect only: `raw_json` is all we know */
};

/* Where in which source a piece of the answer comes from. */
struct chat_citation {
    struct str cited_text;
    struct str title;
    struct str url;      /* search results: the source as the request names it, or a web address */
    struct str kind;     /* Anthropic's type: char_location, page_location, ... */
    struct str raw_json; /* as the provider wrote it; its dialect is `from` */
    enum dialect_id from;
    int source_idx; /* 0-based document or search-result number in the request; -1 unknown */
    int64_t start;  /* in the source, in the unit of `kind` (characters, pages, blocks); -1 unknown */
    int64_t end;
    int64_t answer_start; /* span in the answer's text, in characters; -1 unknown */
    int64_t answer_end;
};

/* Exactly one of url, data, file_id, text is given. */
struct chat_media {
    struct str mime;    /* "image/png"; p == NULL if not said */
    struct str url;     /* https:// or gs:// */
    struct str data;    /* base64, as it came */
    struct str file_id; /* of the provider's file store */
    struct str text;    /* documents that are plain text */
    struct str name;    /* file name or title */
    struct str context; /* documents: what the model is told about it */
    struct str detail;  /* images: low, high, auto */
};

struct chat_part {
    enum chat_part_type type;
    enum chat_cache_mark cache;
    int at;          /* its place in the client's own list, for error messages */
    struct str text; /* text, refusal, reasoning */
    struct chat_media media;
    /* Tool calls and results.  A call from a dialect without ids has one made by us. */
    struct str id;
    struct str name;      /* results: name of the called function, found by id if not said */
    struct str args_json; /* the arguments as the model wrote them: normally an object, but the
                             OpenAI dialect may carry text that is not JSON */
    bool args_is_object;  /* args_json was checked and is a JSON object */
    bool is_error;        /* result: the tool failed */
    bool is_redacted;     /* reasoning: `signature` is encrypted content, text is empty */
    bool is_cited;        /* document, search result: the model shall cite it */
    /* Opaque proof that must return to its provider unchanged.  On reasoning; in Gemini's case
     * also on text and calls. */
    struct str signature;
    enum dialect_id signature_from;
    struct chat_part *parts; /* tool result, search result, document: what it holds */
    size_t n_parts;
    struct chat_citation *citations; /* text of the assistant */
    size_t n_citations;
    struct str source;    /* search result: its address or name */
    struct str raw_json;  /* the part as it came */
    enum dialect_id from; /* whose raw_json it is */
};

struct chat_message {
    enum chat_role role;
    int at;          /* its place in the client's own list; -1: the separate system prompt */
    struct str name; /* OpenAI: who speaks */
    struct chat_part *parts;
    size_t n_parts;
};

/* ---- tools and output format ---- */

struct chat_tool {
    struct str name; /* p == NULL: a tool that the provider runs itself, known by raw_json only */
    struct str description;
    struct str schema_json; /* JSON Schema of the arguments; p == NULL: none given */
    enum chat_tri strict;
    enum chat_cache_mark cache;
    struct str raw_json; /* the definition as it came */
    enum dialect_id from;
};

enum chat_tool_choice {
    CHAT_TOOLS_DEFAULT, /* not said: auto when there are tools */
    CHAT_TOOLS_AUTO,
    CHAT_TOOLS_NONE,
    CHAT_TOOLS_REQUIRED, /* at least one call, of one of tool_names if there are any */
    CHAT_TOOLS_NAMED     /* exactly tool_names[0] */
};

enum chat_format_type {
    CHAT_FORMAT_TEXT,
    CHAT_FORMAT_JSON,   /* any JSON object */
    CHAT_FORMAT_SCHEMA, /* schema_json */
    CHAT_FORMAT_REGEX,  /* text */
    CHAT_FORMAT_CHOICE, /* choices */
    CHAT_FORMAT_GRAMMAR /* text: GBNF (llama.cpp), or EBNF as vLLM's clients send it */
};

struct chat_format {
    enum chat_format_type type;
    struct str field; /* the request field that said so, for error messages */
    struct str name;  /* schema: its name and description */
    struct str description;
    struct str schema_json;
    enum chat_tri strict;
    struct str text;
    struct str *choices;
    size_t n_choices;
    bool any_order;  /* schema: properties may come in any order (our own extension) */
    bool is_compact; /* JSON without white space (vLLM's disable_any_whitespace) */
};

/* ---- sampling: unset means "the model's default" ---- */

struct chat_bias {
    int64_t token;
    double bias;
};

struct chat_sampling {
    struct chat_f64 temperature, top_p, min_p, typical_p;
    struct chat_f64 presence_penalty, frequency_penalty, repeat_penalty;
    struct chat_i64 top_k, seed, min_tokens, repeat_last_n;
    enum chat_tri ignore_eos;
    struct chat_bias *bias;
    size_t n_bias;
};

/* ---- reasoning ---- */

enum chat_effort {
    CHAT_EFFORT_UNSET,
    CHAT_EFFORT_NONE, /* do not think */
    CHAT_EFFORT_MINIMAL,
    CHAT_EFFORT_LOW,
    CHAT_EFFORT_MEDIUM,
    CHAT_EFFORT_HIGH,
    CHAT_EFFORT_XHIGH,
    CHAT_EFFORT_MAX
};

struct chat_reasoning {
    enum chat_effort effort;
    struct chat_i64 budget_tokens; /* -1: the model decides (Gemini, Anthropic adaptive) */
    bool is_off;                   /* said to be off: thinking disabled, budget 0, effort none */
    enum chat_tri show;            /* include the thoughts in the answer */
    struct str mode;               /* Anthropic: enabled, adaptive, disabled, ... as said */
};

/* ---- fields that are kept, not understood ---- */

enum chat_field_kind {
    CHAT_FIELD_HINT,    /* known, does not change the answer's meaning: a foreign target drops it */
    CHAT_FIELD_MEANING, /* known, changes the meaning: a foreign target must refuse it */
    CHAT_FIELD_UNKNOWN  /* dropped on foreign targets, and named */
};

struct chat_field {
    struct str name; /* as the client wrote it: top-level key, or path such as thinking.display or,
                        for unknown ones, messages[].content[].x */
    struct str json;
    enum chat_field_kind kind;
};

/* A prompt of legacy completions: text or token ids. */
struct chat_prompt {
    struct str text; /* p == NULL: tokens */
    int64_t *tokens;
    size_t n_tokens;
};

/* ---- the request ---- */

struct chat_request {
    enum chat_op op;
    enum dialect_id from;
    struct str body;            /* as it came */
    const struct json_doc *doc; /* body, parsed */
    struct str model;

    struct chat_message *messages; /* system and developer messages stand where they came */
    size_t n_messages;
    bool is_continued; /* the last message is the beginning of the answer; it is not in `body` */

    struct chat_tool *tools;
    size_t n_tools;
    enum chat_tool_choice tool_choice;
    struct str *tool_names; /* see enum chat_tool_choice */
    size_t n_tool_names;
    enum chat_tri parallel_tool_calls;

    struct chat_format format;
    struct chat_sampling sampling;
    struct chat_reasoning reasoning;
    struct str *stops;
    size_t n_stops;
    int64_t n; /* answers wanted, >= 1 */
    struct chat_i64 max_tokens;
    bool logprobs;
    int64_t top_logprobs;
    bool return_tokens_as_ids; /* "token_id:123" in logprobs */

    bool is_stream;
    bool include_usage;   /* OpenAI stream_options.include_usage */
    bool is_array_stream; /* Gemini without alt=sse: one growing JSON array */

    struct str user;            /* `user`, metadata.user_id or safety_identifier: whom to charge */
    struct str metadata_json;   /* OpenAI metadata object */
    struct str beta;            /* Anthropic: the header anthropic-beta */
    enum chat_cache_mark cache; /* Anthropic: cache_control on the whole request */

    struct chat_field *fields; /* everything else that came */
    size_t n_fields;

    /* CHAT_OP_COMPLETE */
    struct chat_prompt *prompts;
    size_t n_prompts;
    struct str suffix;
    bool echo;
    bool is_prompt_array; /* prompt was a list */

    /* CHAT_OP_EMBED */
    struct chat_prompt *inputs;
    size_t n_inputs;
    struct chat_i64 dimensions;
    bool is_base64;       /* OpenAI encoding_format base64 */
    bool is_batch;        /* Gemini batchEmbedContents: answer as a list */
    struct str task_type; /* Gemini embedding hints */
    struct str embed_title;
};

/* The text of all text parts of a message, in order, joined without separator; borrowed when it
 * is one part.  p == NULL without memory. */
struct str chat_message_text(const struct chat_message *m, struct arena *a);

/* Names for messages and dumps; never NULL. */
const char *chat_role_name(enum chat_role role);
const char *chat_effort_name(enum chat_effort effort);
/* The last message if the answer goes on with it (is_continued, continue_final_message, or as in Anthropic's
 * dialect any text of the assistant's that comes last); p == NULL: the answer begins anew. */
struct str chat_begun(const struct chat_request *req);

/* ---- tokens ---- */

/* Disjoint counts: input is fresh + read + both writes.  `reasoning` is part of `output`.  Every
 * dialect's usage is derived from this, and prices multiply it field by field. */
struct token_account {
    int64_t input_fresh;
    int64_t cache_read;
    int64_t cache_write_5m;
    int64_t cache_write_1h;
    int64_t output;
    int64_t reasoning;
    bool is_known;     /* the provider (or engine) counted */
    bool is_estimated; /* counted by us instead */
};

static inline int64_t tokens_input(const struct token_account *t)
{
    return t->input_fresh + t->cache_read + t->cache_write_5m + t->cache_write_1h;
}
static inline int64_t tokens_total(const struct token_account *t)
{
    return tokens_input(t) + t->output;
}

/* ---- errors ---- */

enum chat_error_kind {
    CHAT_ERR_NONE,
    CHAT_ERR_INVALID,        /* 400, 413, 422: the client's fault; trying elsewhere is of no use */
    CHAT_ERR_CONTEXT_LENGTH, /* 400: prompt too long; a target with a larger context may do */
    CHAT_ERR_CONTENT_FILTER, /* 400: the provider's policy refused the prompt */
    CHAT_ERR_TOO_LARGE,      /* 413 */
    CHAT_ERR_AUTH,           /* 401 */
    CHAT_ERR_BILLING,        /* no credit, spend limit: this key is dead until a person acts */
    CHAT_ERR_PERMISSION,     /* 403 */
    CHAT_ERR_NOT_FOUND,      /* 404: model or path */
    CHAT_ERR_CONFLICT,       /* 409 */
    CHAT_ERR_RATE_LIMIT,     /* 429 of this key */
    CHAT_ERR_QUOTA,          /* 429: budget of the client's own key at this gateway */
    CHAT_ERR_OVERLOADED,     /* 529, slow_down: all of the provider, another one at once */
    CHAT_ERR_SERVER,         /* 500 */
    CHAT_ERR_BAD_ANSWER,     /* 502: not the dialect: HTML, cut, empty, malformed */
    CHAT_ERR_UNAVAILABLE,    /* 503 */
    CHAT_ERR_TIMEOUT,        /* 408, 504 */
    CHAT_ERR_CANCELLED       /* the client left */
};

struct chat_error {
    enum chat_error_kind kind;
    int status;             /* HTTP status: the provider's own, or the one to answer */
    int64_t retry_after_ms; /* -1: not said */
    bool is_final;          /* all targets were tried: clients shall not repeat (x-should-retry: false) */
    bool is_lack;           /* INVALID at this target only: it cannot say this, another one may */
    char message[ERR_TEXT_MAX];
    char param[128]; /* field at fault, such as messages[2].content[0].type; "" if none */
    char code[64];   /* the provider's own code or type; "" if none */
};

/* Fill *e; `param` and `code` may be NULL.  Returns ERR_ARG, so that readers can `return` it. */
int chat_error_set(struct chat_error *e, enum chat_error_kind kind, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The error for CHAT_FINISH_BAD_TOOL_CALL in dialects that have no finish for it.  Returns
 * ERR_FORMAT. */
int chat_error_bad_call(struct chat_error *e);
/* Status with which a kind is answered in most dialects. */
int chat_error_status(enum chat_error_kind kind);
/* True if the same target may be asked again after a while. */
bool chat_error_is_retryable(enum chat_error_kind kind);

/* ---- events ---- */

enum chat_finish {
    CHAT_FINISH_NONE,
    CHAT_FINISH_STOP,          /* end of turn */
    CHAT_FINISH_STOP_SEQUENCE, /* a stop string; it is in `text` if known */
    CHAT_FINISH_LENGTH,        /* max_tokens or end of context */
    CHAT_FINISH_TOOL_CALLS,
    CHAT_FINISH_CONTENT_FILTER, /* cut by the provider's policy */
    CHAT_FINISH_REFUSAL,        /* the model declined */
    CHAT_FINISH_PAUSE,          /* Anthropic pause_turn: send it back to continue */
    CHAT_FINISH_BAD_TOOL_CALL   /* Gemini MALFORMED_FUNCTION_CALL and its kin */
};

enum chat_event_type {
    CHAT_EV_START,     /* first, exactly once: id, model, created_s (each may be missing) */
    CHAT_EV_TEXT,      /* text: a fragment, perhaps with logprobs; signature possible (Gemini) */
    CHAT_EV_REASONING, /* text: a fragment; or signature (ends this block of thinking); or
                          is_redacted with signature: a whole redacted block.  signature_from
                          is set on every fragment of a provider that signs its thinking */
    CHAT_EV_CITATION,  /* citation, of the text block that runs */
    CHAT_EV_REFUSAL,   /* text: a fragment */
    CHAT_EV_TOOL_CALL, /* tool_idx; id and name on its first fragment only; text: a fragment of
                          the arguments; fragments of different calls may interleave */
    CHAT_EV_LOGPROBS,  /* logprobs of tokens whose text came before or will come later */
    CHAT_EV_MEDIA,     /* media: an image or audio in the answer, or a piece of audio */
    CHAT_EV_USAGE,     /* usage: the account so far for the whole answer; the last one counts */
    CHAT_EV_FINISH,    /* once per choice: finish (and text: which stop string) */
    CHAT_EV_ERROR      /* error: nothing follows */
};

struct chat_top_logprob {
    struct str token; /* bytes; may be a piece of a UTF-8 character */
    int64_t token_id; /* -1: unknown */
    double logprob;
};

struct chat_logprob {
    struct chat_top_logprob chosen;
    const struct chat_top_logprob *top;
    size_t n_top;
    int64_t text_offset; /* in characters of the answer's text (legacy completions); -1 unknown */
    bool is_refusal;
};

struct chat_event {
    enum chat_event_type type;
    int choice;
    /* The block this belongs to: it changes when a new content block of the same type begins
     * (two texts around a tool call, two blocks of thinking).  Counted per choice from 0. */
    int block;
    struct str text;
    struct str signature;
    enum dialect_id signature_from;
    bool is_redacted;
    int tool_idx; /* per choice, from 0 in order of appearance */
    struct str id;
    struct str name;
    struct str model;
    int64_t created_s; /* 0: not said */
    const struct chat_citation *citation;
    const struct chat_logprob *logprobs;
    size_t n_logprobs;
    const struct chat_media *media;
    enum chat_part_type media_type;
    struct token_account usage;
    enum chat_finish finish;
    /* With the finish: the answer holds things that no event can say (a provider's own tools).
     * A client of the same dialect sees them in the bytes; these events are not the whole. */
    bool is_opaque;
    const struct chat_error *error;
};

/* Whoever wants events.  Everything an event points at lives until on_event returns.  A return
 * value other than OK ends the reading and becomes the reader's own return value. */
struct chat_sink {
    int (*on_event)(void *ctx, const struct chat_event *ev);
    void *ctx;
};

static inline int chat_send(const struct chat_sink *sink, const struct chat_event *ev)
{
    return sink->on_event(sink->ctx, ev);
}

/* ---- the whole answer ---- */

struct chat_choice {
    struct chat_part *parts; /* in order: text, reasoning, tool calls, refusals, media */
    size_t n_parts;
    struct chat_logprob *logprobs;
    size_t n_logprobs;
    enum chat_finish finish;
    struct str stop; /* the stop string met, if known */
};

struct chat_answer {
    struct str id;
    struct str model;
    int64_t created_s;
    struct chat_choice *choices;
    size_t n_choices;
    struct token_account usage;
    bool is_opaque; /* as in chat_event: not to be cached or translated from this form */
    bool has_error; /* an error event came: the answer is not whole */
    struct chat_error error;
};

/* Gathers events into an answer.  Owner: one thread. */
struct chat_collector;

/* NULL without memory.  max_bytes bounds all that is gathered: past it chat_collect answers
 * ERR_LIMIT.  The collector owns its memory; chat_collector_free accepts NULL. */
struct chat_collector *chat_collector_new(size_t max_bytes);
void chat_collector_free(struct chat_collector *c);
/* Sink function: ctx is the collector. */
int chat_collect(void *collector, const struct chat_event *ev);
/* The answer so far; borrowed from the collector, valid until the next event or its end.
 * NULL without memory. */
const struct chat_answer *chat_collected(struct chat_collector *c);

/* The answer as events again: START, the parts choice by choice, USAGE, FINISH (each text in one
 * piece).  A cached whole answer serves a stream this way.  Returns what the sink returned. */
int chat_replay(const struct chat_answer *answer, const struct chat_sink *sink);

/* Text form of requests, events and answers for tests and debug logs: one line per fact, stable.
 * Never shows more than what the request holds; bodies are secrets of the user. */
void chat_dump_request(const struct chat_request *r, struct buf *out);
void chat_dump_event(const struct chat_event *ev, struct buf *out);

#endif
