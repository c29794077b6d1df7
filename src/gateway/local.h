/* local.h - The seam to the engine: how the gateway asks a model of this process.
 *
 * server/local.c implements it; the gateway knows nothing of the engine.  All functions are
 * called on loop threads and none blocks.  Events come on the thread of the loop that was given
 * at the start: never from inside local_start, and never after on_done or cancel. */
#ifndef GATEWAY_LOCAL_H
#define GATEWAY_LOCAL_H

#include "api/chat.h"
#include "api/dialect.h"
#include "net/loop.h"

struct local_call; /* one request being computed */

enum local_priority { LOCAL_HIGH, LOCAL_NORMAL, LOCAL_LOW };

struct local_ask {
    const struct chat_request *req; /* must outlive the call */
    struct str model;               /* a served name, or a file that the configuration names */
    int64_t max_tokens_cap;         /* 0: none */
    enum local_priority priority;
    uint64_t seed;     /* for a request without a seed of its own */
    struct loop *loop; /* events come here */
    struct str request_id;
    /* Events in order: START, content, USAGE, FINISH per choice; or an ERROR at any time.  A
     * return other than OK cancels the call (on_done still comes, on this thread). */
    struct chat_sink sink;
    /* A request of op COUNT_TOKENS: its prompt tokens, by the model's own template and tokenizer;
     * instead of events, before on_done. */
    void (*on_count)(void *ctx, int64_t n_tokens);
    /* A request of op EMBED: the vector of one of its inputs, in any order, before on_done; no content comes
     * by events.  Borrowed.  A return other than OK ends the call with an error. */
    int (*on_vector)(void *ctx, size_t input, const float *values, size_t n);
    /* Gets the names of fields that mean nothing to the engine and change no answer (op EMBED). */
    struct buf *dropped;
    /* After the last event, once.  `call` is gone when it returns. */
    void (*on_done)(void *ctx, struct local_call *call);
    void *ctx;
};

struct local_model {
    struct str name;
    int64_t context; /* 0: not loaded yet, not known */
    bool is_loaded;
    int64_t created_s;
};

struct local_engine {
    void *arg;
    /* NULL and *e if it is refused at once; otherwise everything else comes by events. */
    struct local_call *(*start)(void *arg, const struct local_ask *ask, struct chat_error *e);
    /* Stop; on_done does not come any more.  The engine's slot is free at the next step. */
    void (*cancel)(struct local_call *call);
    /* The client reads slowly: produce no more events until resumed (tokens are then held by the
     * engine, which steps aside). */
    void (*pause)(struct local_call *call);
    void (*resume)(struct local_call *call);
    bool (*has_model)(void *arg, struct str model);
    /* The i-th model; false behind the last. */
    bool (*get_model)(void *arg, int i, struct local_model *out);
    /* How many requests run or wait for this model, for least_busy. */
    int (*n_busy)(void *arg, struct str model);
};

#endif
