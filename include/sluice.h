/* sluice.h - Run open-weight language models inside a C program.
 *
 * Four nouns:
 *   struct sluice_model    weights, KV pool, vocabulary and chat template of one GGUF file
 *   struct sluice_context  one engine thread with its scheduler and prefix cache, working for many streams
 *   struct sluice_request  what you ask: a prompt, how to sample, when to stop
 *   struct sluice_stream   one request being answered: events come out, sluice_stream_cancel goes in
 *
 * The shortest useful program:
 *
 *     struct sluice_error err;
 *     struct sluice_model *model;
 *     struct sluice_context *ctx;
 *     struct sluice_stream *stream;
 *     struct sluice_request rq;
 *     struct sluice_event ev;
 *
 *     sluice_model_open("model.gguf", NULL, &model, &err);
 *     sluice_context_create(model, NULL, &ctx, &err);
 *     sluice_request_init(&rq, sizeof rq);
 *     rq.text = "Once upon a time";
 *     sluice_submit(ctx, &rq, &stream, &err);
 *     while (sluice_stream_next(stream, -1, &ev, &err) > 0 && ev.kind != SLUICE_EVENT_DONE)
 *         fwrite(ev.text, 1, ev.text_bytes, stdout);
 *     sluice_stream_free(stream);
 *     sluice_context_free(ctx);
 *     sluice_model_free(model);
 *
 * (examples/hello.c is the same with every error looked at.)
 *
 * Promises.  No global state, no exit(), no printing, no signal handlers.  What can fail returns
 * SLUICE_OK (0) or a negative code and puts one sentence into *err, which may be NULL.  Equal seed
 * and equal request give equal tokens (same build, model file, instruction-set level and KV type),
 * whatever else the context computes at that moment and however many threads it uses.  A prompt is
 * never shortened: what does not fit is refused, with both numbers.  A fault of the library itself
 * poisons the context: every later call on it returns SLUICE_ERR_STATE, your process goes on.
 *
 * Threads.  A model is immutable after it was opened and may be used by any number of threads.
 * Calls on a context may come from any thread.  A stream belongs to one thread at a time, except
 * sluice_stream_cancel, which any thread may call while the stream is not yet freed.
 *
 * fork().  A child has no engine thread and no workers: there, every call that would need them
 * returns SLUICE_ERR_FORK.  Open models after forking.
 *
 * Structs that you fill begin with `struct_bytes`, their size as you compiled it, so that a
 * program keeps working with a later library.  Their _init function sets it, and every default.
 *
 * Text is UTF-8, given as pointer and length; a length of SLUICE_Z means "up to the NUL".  Text that
 * comes out as char ** is NUL-terminated memory that you release with sluice_free. */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

/* Length of text that ends with a NUL. */
#define SLUICE_Z ((size_t)-1)

/* ---- errors ------------------------------------------------------------------------------- */

enum {
    SLUICE_OK = 0,
    SLUICE_ERR_NOMEM = -1,       /* no memory */
    SLUICE_ERR_FORMAT = -2,      /* a file, template or JSON text that does not follow its format */
    SLUICE_ERR_IO = -3,          /* the operating system refused */
    SLUICE_ERR_ARG = -4,         /* a value that is not possible */
    SLUICE_ERR_LIMIT = -5,       /* more than fits: prompt longer than the context, ... */
    SLUICE_ERR_UNSUPPORTED = -6, /* understood, but not possible with this model or build */
    SLUICE_ERR_NOT_FOUND = -7,   /* no such file, type or name */
    SLUICE_ERR_BUSY = -8,        /* the request queue is full: try again later */
    SLUICE_ERR_CANCELLED = -9,
    SLUICE_ERR_TIMEOUT = -10,
    SLUICE_ERR_STATE = -11,  /* the context is poisoned or being freed; or a stream used after its end */
    SLUICE_ERR_CLOSED = -12, /* reserved for programs built on this header */
    SLUICE_ERR_FORK = -13    /* called in a child process after fork() */
};

struct sluice_error {
    int code;
    char text[512]; /* one sentence, NUL-terminated */
};

SLUICE_API const char *sluice_version(void);
/* Release text that this library gave out.  NULL is fine. */
SLUICE_API void sluice_free(void *p);

/* ---- models ------------------------------------------------------------------------------- */

struct sluice_model;

struct sluice_model_options {
    size_t struct_bytes;
    int threads;         /* computing threads, the engine thread included; 0: what affinity and cgroup allow,
                          * which is also the most: more would only wait for each other */
    const char *isa;     /* "ref", "avx2", "avx512", ...; NULL or "auto": the best this machine has.
                          * An unknown or impossible level is an error that lists the possible ones. */
    bool vocab_only;     /* no weights: enough to tokenize, render templates and describe */
    int32_t context;     /* tokens of one sequence, prompt and answer; 0: what the model was trained
                          * for, at most 32768 and what 2 GiB or kv_bytes can hold */
    uint64_t kv_bytes;   /* memory of the KV pool, shared by all sequences; 0: room for four
                          * sequences of full length, but at most 1 GiB (more if one needs it) and a
                          * quarter of the memory that is free */
    const char *kv_type; /* "i16" (default), "f16", "bf16", "q8_0" */
    int32_t max_batch;   /* sequences computed together; 0: 32, at most 256 */
};
SLUICE_API void sluice_model_options_init(struct sluice_model_options *o, size_t struct_bytes);

/* Load a GGUF file (for a split model: its first file).  Weights are read in parallel into this
 * machine's own layout, and the KV pool is reserved: nothing is allocated later while computing.  `o` may be
 * NULL: defaults.  *model is set only on success. */
SLUICE_API int sluice_model_open(const char *path, const struct sluice_model_options *o,
                                 struct sluice_model **model, struct sluice_error *err);
/* The same from memory, which must stay unchanged and in place until the call returns. */
SLUICE_API int sluice_model_open_memory(const void *gguf, size_t gguf_bytes,
                                        const struct sluice_model_options *o, struct sluice_model **model,
                                        struct sluice_error *err);
/* Free a model that no context uses any more.  NULL is fine. */
SLUICE_API void sluice_model_free(struct sluice_model *model);

/* What programs ask most often; sluice_model_describe has all of it as text. */
struct sluice_model_info {
    size_t struct_bytes;
    const char *name; /* from the file, else its architecture; lives as long as the model */
    const char *architecture;
    const char *isa; /* level in use */
    int threads;
    int32_t n_vocab;
    int32_t context_trained; /* tokens the model was trained for */
    int32_t context;         /* tokens of one sequence, as opened */
    uint64_t n_params;
    uint64_t file_bytes;
    bool has_weights;
    bool has_chat_template;
    bool has_infill;      /* fill-in-the-middle tokens are there */
    bool has_tool_format; /* a known tool-call markup: sluice_chat_parser understands it */
    int32_t bos, eos;     /* -1: none */
    int32_t n_embd;       /* numbers of the vector of a request to embed */
};
SLUICE_API void sluice_model_get_info(const struct sluice_model *model, struct sluice_model_info *info,
                                      size_t struct_bytes);

/* A JSON object: "model", as sluice_inspect has it, and "loaded": level, threads, memory, and what else
 * was found out while opening. */
SLUICE_API int sluice_model_describe(const struct sluice_model *model, char **json, struct sluice_error *err);
/* What a file holds, from its head alone (cheap, whatever its size): architecture, sizes, bytes by
 * tensor type, tokenizer, chat template; with `tensors` also every tensor's name, shape and type. */
SLUICE_API int sluice_inspect(const char *path, bool tensors, char **json, struct sluice_error *err);

/* ---- text and tokens ----------------------------------------------------------------------- */

enum {
    SLUICE_ADD_BOS = 1,    /* put the model's begin-of-text token in front, if its file asks for one */
    SLUICE_SPECIAL = 2,    /* tokenize: control tokens written in the text count (trusted text only!);
                            * detokenize: show control tokens */
    SLUICE_TEXT_START = 4, /* detokenize: the tokens are a text from its start, so the space that some
                            * tokenizers put in front of it is removed again */
    SLUICE_ADD_EOS = 8     /* put the model's end-of-text token behind, if its file asks for one */
};

/* Text to tokens.  Returns their number; at most `tokens_cap` are written, so a call with capacity
 * 0 counts.  Negative: an error. */
SLUICE_API int64_t sluice_tokenize(const struct sluice_model *model, const char *text, size_t text_bytes,
                                   int flags, int32_t *tokens, size_t tokens_cap, struct sluice_error *err);
/* Tokens to bytes, the same way.  The bytes of a part of a text need not be whole characters. */
SLUICE_API int64_t sluice_detokenize(const struct sluice_model *model, const int32_t *tokens, size_t n_tokens,
                                     int flags, char *text, size_t text_cap, struct sluice_error *err);
/* The tokens of a fill-in-the-middle prompt: what stands before and after the gap. */
SLUICE_API int64_t sluice_tokenize_infill(const struct sluice_model *model, const char *prefix,
                                          size_t prefix_bytes, const char *suffix, size_t suffix_bytes,
                                          int32_t *tokens, size_t tokens_cap, struct sluice_error *err);

/* A conversation as JSON text, in the shape of OpenAI's chat API. */
struct sluice_chat {
    size_t struct_bytes;
    const char *messages; /* JSON array */
    size_t messages_bytes;
    const char *tools; /* JSON array, or NULL */
    size_t tools_bytes;
    const char *variables; /* JSON object: more variables for the template
                            * ({"enable_thinking": false}), or NULL */
    size_t variables_bytes;
    bool continue_last; /* the last message is the beginning of the answer, to be continued */
};
SLUICE_API void sluice_chat_init(struct sluice_chat *chat, size_t struct_bytes);

/* Apply the model's chat template.  Text out of messages never becomes a control token here; the
 * rendered text of sluice_chat_render alone does not carry that distinction, so use it for reading. */
SLUICE_API int64_t sluice_chat_tokenize(const struct sluice_model *model, const struct sluice_chat *chat,
                                        int32_t *tokens, size_t tokens_cap, struct sluice_error *err);
SLUICE_API int sluice_chat_render(const struct sluice_model *model, const struct sluice_chat *chat,
                                  char **text, struct sluice_error *err);

/* ---- grammars ------------------------------------------------------------------------------ */

/* What an answer may be.  The model can then say nothing else: before every token, all those that
 * cannot follow are taken out. */
enum sluice_grammar_kind {
    SLUICE_GRAMMAR_SCHEMA, /* text: a JSON Schema (2020-12).  What cannot be held is refused, never left out
                            */
    SLUICE_GRAMMAR_JSON_OBJECT, /* any JSON object */
    SLUICE_GRAMMAR_JSON_VALUE,  /* any JSON value */
    SLUICE_GRAMMAR_REGEX,       /* text: a regular expression (ECMA-262) that the whole answer matches */
    SLUICE_GRAMMAR_CHOICE,      /* choices: one of these texts */
    SLUICE_GRAMMAR_GBNF,        /* text: a grammar in llama.cpp's GBNF */
    SLUICE_GRAMMAR_LITERAL,     /* text: just this */
    SLUICE_GRAMMAR_MARK,       /* text: markup of the model's family: just this, its control tokens as such */
    SLUICE_GRAMMAR_FREE,       /* any text, in which none of choices occurs (none given: any text) */
    SLUICE_GRAMMAR_SEQUENCE,   /* parts, one after the other */
    SLUICE_GRAMMAR_ANY_OF,     /* one of parts */
    SLUICE_GRAMMAR_REPEAT,     /* the one part, min to max times */
    SLUICE_GRAMMAR_SCHEMA_TEXT /* text: a JSON Schema.  Of its values the strings, without quotes and escapes
                                */
};

#define SLUICE_GRAMMAR_NO_MAX UINT32_MAX

enum sluice_grammar_space {
    SLUICE_GRAMMAR_SPACE_FREE, /* a little white space where JSON allows some: what models like to write */
    SLUICE_GRAMMAR_SPACE_NONE, /* compact, as JSON.stringify writes */
    SLUICE_GRAMMAR_SPACE_ONE   /* one space behind ':' and ',', as Python's json.dumps writes */
};

/* Zero what you do not use.  Tool calls in <call>...</call> inside free text, for example:
 *     SEQUENCE[ FREE{"<call>"}, REPEAT{0..}( SEQUENCE[ MARK "<call>", ANY_OF[ SCHEMA... ], MARK "</call>",
 *                                                      FREE{"<call>"} ] ) ] */
struct sluice_grammar_spec {
    enum sluice_grammar_kind kind;
    const char *text;
    size_t text_bytes;          /* or SLUICE_Z */
    const char *const *choices; /* NUL-terminated */
    size_t n_choices;
    const struct sluice_grammar_spec *parts;
    size_t n_parts;
    uint32_t min, max;
    enum sluice_grammar_space space; /* SCHEMA, JSON_OBJECT, JSON_VALUE */
    bool any_order; /* SCHEMA: properties in any order (at most 8 of one object) instead of the schema's */
    uint64_t reserved[4];
};

struct sluice_grammar;

/* Compile for this model, which must stay open as long as the grammar.  A grammar is constant and may be
 * used by any number of requests at a time.  Errors: SLUICE_ERR_FORMAT (no schema, pattern or grammar),
 * SLUICE_ERR_UNSUPPORTED (it is one, but says what cannot be held), SLUICE_ERR_LIMIT (too large),
 * SLUICE_ERR_ARG (nothing can fulfil it); `where` (may be NULL) gets the place, NUL-terminated and cut
 * at where_cap: a JSON pointer into the schema, or "offset 12". */
SLUICE_API int sluice_grammar_compile(struct sluice_model *model, const struct sluice_grammar_spec *spec,
                                      struct sluice_grammar **grammar, char *where, size_t where_cap,
                                      struct sluice_error *err);
/* Let go: requests that use it keep what they need.  NULL is fine. */
SLUICE_API void sluice_grammar_free(struct sluice_grammar *grammar);
/* The most memory it may take, for a cache of grammars. */
SLUICE_API size_t sluice_grammar_bytes(const struct sluice_grammar *grammar);

/* Whether and which tools of a chat may be called. */
enum sluice_tool_choice {
    SLUICE_TOOLS_AUTO,     /* the model decides */
    SLUICE_TOOLS_REQUIRED, /* it answers with a call, or several, and nothing else */
    SLUICE_TOOLS_NONE
};

struct sluice_answer_options {
    size_t struct_bytes;
    const struct sluice_grammar_spec *content; /* what the text of the answer must be; NULL: any text */
    enum sluice_tool_choice tool_choice;
    const char *const *tool_names; /* only these tools; NULL: all of the chat's */
    size_t n_tool_names;
    bool one_call; /* at most one call in an answer */
};
SLUICE_API void sluice_answer_options_init(struct sluice_answer_options *o, size_t struct_bytes);

/* The grammar of an answer to `chat`: reasoning, if the model's family has it, stays free; then comes what
 * `o` says, calls in the markup of the model's family with arguments that follow the tool's schema.  A
 * tool whose schema cannot be held is free in its arguments (some JSON object), unless its definition
 * says "strict": true: then it is an error.  *grammar is NULL where nothing has to be held: free text
 * without tools, or tools of a family that writes calls without any mark, none of them strict and none
 * required.  With chat->continue_last the last message and what comes must follow it together:
 * SLUICE_ERR_ARG if the message cannot begin so.  Errors and `where` as for sluice_grammar_compile;
 * SLUICE_ERR_UNSUPPORTED also where a call is required of a model that has no markup for calls. */
SLUICE_API int sluice_answer_grammar(struct sluice_model *model, const struct sluice_chat *chat,
                                     const struct sluice_answer_options *o, struct sluice_grammar **grammar,
                                     char *where, size_t where_cap, struct sluice_error *err);

/* ---- contexts ------------------------------------------------------------------------------ */

struct sluice_context;

struct sluice_context_options {
    size_t struct_bytes;
    int32_t max_queue; /* requests waiting or running; 0: 512.  Beyond it sluice_submit is SLUICE_ERR_BUSY */
    int32_t step_budget_us;     /* predicted time that prompts may add to one step; 0: 50000 */
    bool no_prefix_cache;       /* forget prompts at once instead of reusing them */
    struct sluice_model *draft; /* a smaller model of the same vocabulary that guesses ahead, or NULL.
                                 * It must stay open as long as the context. */
    int32_t draft_max;          /* tokens guessed at once, by `draft` or from the text so far; 0: default,
                                 * negative: never guess.  Guessing never changes an answer. */
    const char *kv_cache_dir; /* folder in which computed prompts outlive the process, made if it is missing;
                               * NULL: none.  It may be shared by models and processes; equal tokens stay
                               * equal.  What is in it tells what people wrote. */
    uint64_t kv_cache_bytes;  /* its size at most; 0: 4 GiB */
};
SLUICE_API void sluice_context_options_init(struct sluice_context_options *o, size_t struct_bytes);

/* Start the engine thread.  The model must have weights, must outlive the context and can
 * have one context at a time (SLUICE_ERR_STATE otherwise).  `o` may be NULL: defaults. */
SLUICE_API int sluice_context_create(struct sluice_model *model, const struct sluice_context_options *o,
                                     struct sluice_context **ctx, struct sluice_error *err);
/* End every stream (finish `cancelled`), stop the thread, free.  Streams that were not freed yet
 * stay readable and must still be freed.  Not from a callback.  NULL is fine. */
SLUICE_API void sluice_context_free(struct sluice_context *ctx);

/* A snapshot of the context's state, for metrics. */
struct sluice_stats {
    size_t struct_bytes;
    int32_t context;         /* tokens of one sequence */
    int32_t n_waiting;       /* requests not yet in the batch */
    int32_t n_running;       /* sequences in the last step */
    int32_t kv_page_tokens;  /* tokens a page holds */
    int32_t kv_pages;        /* pages of the pool */
    int32_t kv_pages_used;   /* by running sequences */
    int32_t kv_pages_cached; /* kept for later prompts, given up when needed */
    uint64_t kv_bytes;       /* memory of the pool */
    uint64_t n_steps;
    uint64_t n_requests;    /* finished, however */
    uint64_t prompt_tokens; /* computed or reused */
    uint64_t cached_tokens; /* reused */
    uint64_t generated_tokens;
    uint64_t draft_tokens;    /* guessed */
    uint64_t draft_accepted;  /* guessed right */
    uint64_t n_preempted;     /* times a sequence had to give its pages away for a while */
    uint64_t busy_us;         /* time spent in steps */
    uint64_t kv_disk_bytes;   /* in the folder of kv_cache_dir, as far as known */
    uint64_t kv_disk_loaded;  /* pages of it that were used */
    uint64_t kv_disk_saved;   /* pages that were written to it */
    uint64_t kv_disk_damaged; /* files that were found damaged, and removed */
    uint64_t kv_disk_failed;  /* pages that could not be written */
    int64_t draft_saved_us;   /* time that guessing saved, estimated; negative: lost */
};
SLUICE_API int sluice_context_get_stats(struct sluice_context *ctx, struct sluice_stats *stats,
                                        size_t struct_bytes);

/* ---- requests ------------------------------------------------------------------------------ */

enum sluice_order {
    SLUICE_ORDER_HF,   /* penalties, temperature, then top_k, top_p, min_p (as Hugging Face) */
    SLUICE_ORDER_LLAMA /* penalties, top_k, top_p, min_p, then temperature (as llama.cpp) */
};

struct sluice_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -100 or less forbids the token */
};

#define SLUICE_STOP_MAX         64  /* stop strings of one request */
#define SLUICE_STOP_BYTES_MAX   512 /* bytes of one stop string */
#define SLUICE_TOP_LOGPROBS_MAX 20
#define SLUICE_LOGIT_BIAS_MAX   1024

/* How to choose the next token.  Values outside the stated range are SLUICE_ERR_ARG. */
struct sluice_sampling {
    float temperature;       /* 0: always the most likely token; default 1; at most 100 */
    int32_t top_k;           /* 0: off (default) */
    float top_p;             /* (0, 1]; default 1 */
    float min_p;             /* [0, 1]; default 0 */
    float repeat_penalty;    /* > 0; default 1; over prompt and answer */
    int32_t repeat_last_n;   /* how far it looks back; negative: over everything (default) */
    float presence_penalty;  /* [-2, 2]; default 0; over the answer */
    float frequency_penalty; /* [-2, 2]; default 0; over the answer */
    enum sluice_order order;
    bool has_seed;
    uint64_t seed;   /* without has_seed: a random one, told at the end in the usage */
    uint32_t choice; /* which of several answers to one prompt this is: same seed, other numbers */
    const struct sluice_logit_bias *logit_bias;
    size_t n_logit_bias;
    bool ignore_eos;    /* go on after an end token */
    int32_t min_tokens; /* no end token and no stop string before so many */
    int32_t max_tokens; /* at most so many (finish `length`); negative: until the context is full (default);
                         * 0: compute the prompt only */
    const char *const *stop; /* NUL-terminated strings that end the answer and are not part of it */
    size_t n_stop;
    const int32_t *stop_tokens; /* tokens that end the answer, besides the model's own */
    size_t n_stop_tokens;
    int32_t logprobs;     /* negative: none (default); n: of each token, and of the n likeliest
                           * (at most SLUICE_TOP_LOGPROBS_MAX); natural logarithms of the model's own
                           * distribution, before anything above */
    uint64_t reserved[8]; /* 0; room for what comes, since this struct lies inside another */
};

enum sluice_priority { SLUICE_PRIORITY_HIGH, SLUICE_PRIORITY_NORMAL, SLUICE_PRIORITY_LOW };

struct sluice_stream;
struct sluice_event;

/* Called by the engine thread, one event at a time and in order; the last is SLUICE_EVENT_DONE.
 * It must not block: all streams of the context wait for it.  The event and what it points to live
 * until the callback returns.  It may call sluice_stream_cancel and sluice_submit, and after
 * SLUICE_EVENT_DONE sluice_stream_free; no other call of this library on the same context. */
typedef void sluice_event_fn(void *user, struct sluice_stream *stream, const struct sluice_event *ev);
/* Called by the engine thread when a polled stream, which had nothing to say, has an event again. */
typedef void sluice_ready_fn(void *user, struct sluice_stream *stream);

/* Exactly one of tokens, text and chat is the prompt. */
struct sluice_request {
    size_t struct_bytes;
    const int32_t *tokens;
    size_t n_tokens;
    const char *text;  /* tokenized with SLUICE_ADD_BOS; control tokens in it stay text */
    size_t text_bytes; /* default SLUICE_Z */
    const struct sluice_chat *chat;
    struct sluice_sampling sampling; /* set up by sluice_request_init */
    enum sluice_priority priority;
    bool show_special;              /* control tokens in the answer appear in its text (needed by
                                     * sluice_chat_parser); the end token never does */
    bool prompt_logprobs;           /* SLUICE_EVENT_PROMPT tells the log-probability of every prompt token;
                                     * the prompt is then computed in full */
    sluice_event_fn *on_event;      /* NULL: the stream is polled with sluice_stream_next */
    sluice_ready_fn *on_ready;      /* polled streams: may be NULL */
    void *user;                     /* for both */
    int notify_fd;                  /* polled streams: an eventfd of yours, told 1 whenever on_ready would be
                                     * called (many streams may share one); -1: none (default) */
    struct sluice_grammar *grammar; /* what the answer may be; of this context's model; NULL: anything.  The
                                     * end of the answer comes with the end of what the grammar describes,
                                     * whatever min_tokens and ignore_eos say. */
    /* A vector that says what the prompt is about, instead of an answer: SLUICE_EVENT_VECTOR, then the end.
     * It has length one and depends on the prompt alone, bit for bit.  `text` gets the end token too, if the
     * model's file asks for one (tokens are taken as they are).  The hidden states of the tokens are pooled
     * as the file says, where it says nothing by taking the last one; a file of a model that is not pooled
     * into one vector is SLUICE_ERR_UNSUPPORTED.  `sampling` means nothing then; grammar and prompt_logprobs
     * are SLUICE_ERR_ARG. */
    bool embed;
    int32_t dimensions; /* of the vector: the first so many numbers, again of length one, as models trained
                         * for it allow; 0: all.  More than the model's n_embd is SLUICE_ERR_ARG */
};
SLUICE_API void sluice_request_init(struct sluice_request *rq, size_t struct_bytes);

/* Put a request into the queue.  Everything it points to is copied before the call returns.  A
 * prompt that can never fit is refused here with SLUICE_ERR_LIMIT and both numbers; with any error
 * no callback is ever called.  A polled stream that is not read pauses (and may give its pages
 * away) when its queue of 64 KiB of events is full, and goes on when it is read. */
SLUICE_API int sluice_submit(struct sluice_context *ctx, const struct sluice_request *rq,
                             struct sluice_stream **stream, struct sluice_error *err);

/* ---- events -------------------------------------------------------------------------------- */

enum sluice_event_kind {
    SLUICE_EVENT_START,  /* computing begins: usage tells prompt_tokens and cached_tokens */
    SLUICE_EVENT_PROMPT, /* tokens: the next prompt tokens with their logprobs (if asked for) */
    SLUICE_EVENT_TEXT,   /* text: the next piece of the answer; tokens: those that it ends */
    SLUICE_EVENT_DONE,   /* the last one: finish, usage, timings */
    SLUICE_EVENT_VECTOR  /* vector: of a request to embed; once, before the last one */
};

enum sluice_finish {
    SLUICE_FINISH_NONE,
    SLUICE_FINISH_END,       /* the model ended its answer (token: stop_token) */
    SLUICE_FINISH_STOP,      /* a stop string (stop_idx, stop) or one of stop_tokens (stop_token) */
    SLUICE_FINISH_LENGTH,    /* max_tokens reached, or the context is full */
    SLUICE_FINISH_CANCELLED, /* sluice_stream_cancel or sluice_context_free */
    SLUICE_FINISH_ERROR      /* error_code, error_text */
};

struct sluice_top {
    int32_t id;
    float logprob;
};

struct sluice_token {
    int32_t id;
    float logprob;     /* NaN if not asked for, and for the first token of a prompt */
    const char *bytes; /* the token's own text, possibly a part of a character */
    size_t n_bytes;
    const struct sluice_top *top; /* likeliest first */
    size_t n_top;
};

struct sluice_usage {
    uint64_t prompt_tokens;                /* cached ones included */
    uint64_t cached_tokens;                /* of them, reused from earlier prompts */
    uint64_t generated_tokens;             /* the end token included */
    uint64_t draft_tokens, draft_accepted; /* guessed ahead, and of them right */
    uint64_t n_preempted;                  /* times the request had to step aside */
    uint64_t seed;
};

struct sluice_timings {   /* microseconds */
    uint64_t queue_us;    /* submitted until first computed */
    uint64_t prompt_us;   /* from then until the first token */
    uint64_t generate_us; /* from the first token to the last */
};

struct sluice_event {
    size_t struct_bytes; /* as the library knows it: fields may be added at the end */
    enum sluice_event_kind kind;
    const char *text; /* whole characters of well-formed UTF-8; never NULL, not NUL-terminated */
    size_t text_bytes;
    const struct sluice_token *tokens;
    size_t n_tokens;
    struct sluice_usage usage;     /* START, DONE */
    struct sluice_timings timings; /* DONE */
    enum sluice_finish finish;     /* DONE; others NONE */
    int32_t stop_idx;              /* index of the stop string that matched, else -1 */
    const char *stop;              /* that string, else NULL */
    int32_t stop_token;            /* the token that ended the answer, else -1 */
    int error_code;                /* finish ERROR */
    const char *error_text;        /* then one sentence, else NULL */
    const float *vector;           /* VECTOR, else NULL */
    size_t n_vector;
};

/* ---- streams ------------------------------------------------------------------------------- */

/* Next event of a polled stream.  Returns 1 and fills *ev (its pointers live until the next call
 * on this stream), 0 if there was none within timeout_ms (0: do not wait, negative: for ever), or
 * a negative code, SLUICE_ERR_STATE after the last event. */
SLUICE_API int sluice_stream_next(struct sluice_stream *stream, int timeout_ms, struct sluice_event *ev,
                                  struct sluice_error *err);
/* Stop computing as soon as the current step is over.  What was computed before is still told,
 * then SLUICE_EVENT_DONE.  Never blocks; harmless when repeated or late. */
SLUICE_API void sluice_stream_cancel(struct sluice_stream *stream);
/* Cancel if it still runs, and let go.  When it returns (it may wait for the end of one callback),
 * no callback of this stream runs or comes any more.  NULL is fine. */
SLUICE_API void sluice_stream_free(struct sluice_stream *stream);

/* ---- answers with structure ---------------------------------------------------------------- */

/* Takes the text of an answer piece by piece and tells reasoning, content and tool calls apart, by
 * the markup of the model's family.  What cannot be parsed becomes content, never an error. */
struct sluice_chat_parser;

enum sluice_part_kind {
    SLUICE_PART_CONTENT,
    SLUICE_PART_REASONING,
    SLUICE_PART_TOOL_NAME,     /* a call begins: text is the function's name, whole */
    SLUICE_PART_TOOL_ARGUMENTS /* text: the next fragment of the call's arguments, JSON */
};

struct sluice_part {
    enum sluice_part_kind kind;
    int32_t tool_idx; /* which call of this answer, from 0; -1 for content and reasoning */
    const char *text;
    size_t text_bytes;
    const char *tool_id; /* SLUICE_PART_TOOL_NAME: the id that the model gave the call; NULL: none */
};
/* Called inside sluice_chat_parser_feed.  Return false to stop the call (SLUICE_ERR_CANCELLED). */
typedef bool sluice_part_fn(void *user, const struct sluice_part *part);

/* `chat` (may be NULL) is the conversation being answered: its tools, and how the template ended
 * the prompt, decide how the answer is read.  Nothing of it is kept. */
SLUICE_API int sluice_chat_parser_create(const struct sluice_model *model, const struct sluice_chat *chat,
                                         struct sluice_chat_parser **parser, struct sluice_error *err);
/* Feed the next text; `is_end` with the last (possibly empty) one. */
SLUICE_API int sluice_chat_parser_feed(struct sluice_chat_parser *parser, const char *text, size_t text_bytes,
                                       bool is_end, sluice_part_fn *on_part, void *user,
                                       struct sluice_error *err);
SLUICE_API void sluice_chat_parser_free(struct sluice_chat_parser *parser);

/* ---- files --------------------------------------------------------------------------------- */

/* Called while something long runs, from the calling thread; `done` goes up to `total`.
 * Return false to stop: the call then returns SLUICE_ERR_CANCELLED. */
typedef bool sluice_progress_fn(void *user, uint64_t done, uint64_t total);

struct sluice_file_options {
    size_t struct_bytes;
    int threads; /* 0: what affinity and cgroup allow */
    sluice_progress_fn *progress;
    void *progress_user;
};
SLUICE_API void sluice_file_options_init(struct sluice_file_options *o, size_t struct_bytes);

/* Write the GGUF file `in` with its weights in another type ("q4_0", "q4_k_m", "q8_0", "f16", ...;
 * an unknown name is an error that lists them).  `out` appears complete or not at all. */
SLUICE_API int sluice_quantize(const char *in, const char *out, const char *type,
                               const struct sluice_file_options *o, struct sluice_error *err);
/* Write a Hugging Face folder (config.json, *.safetensors, tokenizer.json) as one GGUF file. */
SLUICE_API int sluice_convert(const char *hf_dir, const char *out, const struct sluice_file_options *o,
                              struct sluice_error *err);

/* ---- measuring ----------------------------------------------------------------------------- */

struct sluice_bench_options {
    size_t struct_bytes;
    int32_t prompt_tokens;   /* 512; 0: do not measure prompts */
    int32_t generate_tokens; /* 128; 0: do not measure generation */
    int32_t depth;           /* tokens already in the KV cache before measuring; 0 */
    int32_t n_streams;       /* sequences generating together; 1 */
    int32_t repetitions;     /* 5 */
    bool draft;              /* also compare generation with and without guesses, one after the other */
    const char *prompt;      /* of that comparison; NULL: a list to be copied */
    size_t prompt_bytes;     /* default SLUICE_Z */
};
SLUICE_API void sluice_bench_options_init(struct sluice_bench_options *o, size_t struct_bytes);

/* Measure the model of this context, which must be idle, together with this machine's limits, which are
 * read before and after every repetition.
 * JSON: {"model", "isa", "threads", "depth", "streams", "repetitions", "memory": {"weights_bytes",
 * "kv_bytes", "work_bytes", "huge_pages"}, "prompt": {"tokens", "tokens_per_second": {"median", "min", "max",
 * "stddev"}, "share_of_int8_peak", "share": {"median", ...}}, "generate": {..., "share_of_bandwidth"},
 * "sampling":
 * {"vocabulary", "greedy_us", "top_k_us", "top_p_us", "top_p_flat_us"}, "machine":
 * {"read_bytes_per_second", "int8_ops_per_second"}}; with `draft` also "draft": {"kind"
 * ("model" or "ngram"), "tokens", "guessed", "accepted", "acceptance", "gain": {"median", "min", "max"} of
 * the pairs, "with" and "without": tokens per second}. */
SLUICE_API int sluice_bench(struct sluice_context *ctx, const struct sluice_bench_options *o, char **json,
                            struct sluice_error *err);

#ifdef __cplusplus
}
#endif
#endif
