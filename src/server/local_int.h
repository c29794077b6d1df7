/* local_int.h - What local.c (models) and local_call.c (requests) share. */
#ifndef SERVER_LOCAL_INT_H
#define SERVER_LOCAL_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"
#include "net/worker.h"
#include "server/local.h"
#include "sluice.h"

enum served_state { SERVED_UNLOADED, SERVED_LOADING, SERVED_READY, SERVED_FAILED };

/* Somebody who waits for a model; `on_ready` is called on the loading thread, once. */
struct served_waiter {
    struct served_waiter *next;
    void (*on_ready)(struct served_waiter *w);
};

/* One model.  Everything is under local.lock; model and ctx stay while n_users > 0. */
struct served {
    struct served *next;
    struct local *local;
    char *name;  /* what the configuration or a client calls it */
    char *path;  /* NULL: the built-in demo model */
    char *draft; /* a GGUF file, "ngram" or "off"; NULL: as the library does by itself */
    bool is_public;
    enum served_state state;
    int n_users;
    int64_t last_used_ns, created_s;
    struct sluice_model *model, *draft_model;
    struct sluice_context *ctx;
    struct sluice_error error; /* of a failed load */
    int64_t failed_ns;
    int32_t context;
    struct served_waiter *waiters;
};

struct local {
    pthread_mutex_t lock;
    struct served *models;
    struct config_engine engine;        /* texts are copies below */
    char *isa, *kv_type, *kv_cache_dir; /* kv_cache_dir NULL: off */
    pthread_t loader;
    bool has_loader;
    struct queue loads; /* of struct served */
    /* What would hold a loop: long prompts are tokenized, forms are compiled.  Forms have a thread of their
     * own, since a hostile one takes long. */
    struct worker *prompts, *forms;
    _Atomic int n_forms; /* calls that wait for theirs */
    _Atomic bool is_stopping;
    struct local_engine face;
};

/* Use a model: OK and it is ready (release it later); ERR_BUSY and `w` is called when it is ready
 * or has failed, then ask again; or an error. */
int local_use(struct served *s, struct served_waiter *w, struct sluice_error *err);
void local_release(struct served *s);
struct served *local_find(struct local *l, struct str model);

/* local_call.c */
struct local_call *local_call_start(void *arg, const struct local_ask *ask, struct chat_error *e);
void local_call_cancel(struct local_call *call);
void local_call_pause(struct local_call *call);
void local_call_resume(struct local_call *call);

/* local_embed.c: the inputs of an embeddings request. */
struct local_tokens {
    const int32_t *ids;
    size_t n;
};
struct local_texts { /* everything in the call's arena */
    const struct chat_prompt *inputs;
    struct local_tokens *tokens;
    size_t n, next;     /* next: the first that the engine was not asked for yet */
    int64_t dimensions; /* 0: all */
    bool is_base64;
    struct sluice_usage usage; /* of those that are done */
};
/* What the loop's thread must copy; *e names what a local model cannot do, `dropped` gets the names of fields
 * that mean nothing to it. */
int local_texts_of(const struct chat_request *req, struct buf *dropped, struct arena *a,
                   struct local_texts *t, struct chat_error *e);
/* Fill t->tokens, on the preparing thread.  *e says which input cannot be embedded and why. */
int local_texts_tokenize(struct local_texts *t, const struct served *s, const _Atomic bool *is_cancelled,
                         struct arena *a, struct chat_error *e);

/* local_request.c: a canonical request as the engine takes it. */
struct local_prompt {
    struct sluice_chat chat;
    struct str messages, tools, variables; /* JSON, in the arena */
};

/* What the answer is held to (local_grammar.c); texts in the call's arena. */
struct local_form {
    bool is_any; /* nothing is */
    bool has_content;
    struct sluice_grammar_spec content;
    struct sluice_answer_options options;
    char field[128]; /* of the request, for error messages */
};
void local_form_of(const struct chat_request *req, struct arena *a, struct local_form *f);
/* The grammar for it, or NULL where nothing is to be held; `chat` is NULL for plain completions.  May
 * take milliseconds: on the preparing thread. */
int local_form_compile(const struct local_form *f, struct sluice_model *model, const struct sluice_chat *chat,
                       struct sluice_grammar **grammar, struct chat_error *e);
/* A copy in the arena, texts and ids too; NULL without memory. */
struct chat_prompt *local_copy_prompts(const struct chat_prompt *prompts, size_t n, struct arena *a);
/* Fills the conversation of a GENERATE or COUNT request; *e names what the engine cannot do. */
int local_prompt_of(const struct chat_request *req, struct arena *a, struct local_prompt *p,
                    struct chat_error *e);
/* Sampling, limits and stops; pointers into the arena and the request. */
int local_sampling_of(const struct chat_request *req, struct arena *a, int64_t max_tokens_cap, uint64_t seed,
                      struct sluice_sampling *s, struct chat_error *e);

#endif
