/* gateway_int.h - struct gw_request and what the files of this folder do for it.
 *
 * A request lives on one loop thread, in memory of its own (body included), because it may
 * outlive its HTTP side: a client that left is still accounted for.  It moves through the table
 * of phases in gateway.c; a phase that has to wait returns GW_WAIT, and whoever it waited for
 * calls gw_advance. */
#ifndef GATEWAY_GATEWAY_INT_H
#define GATEWAY_GATEWAY_INT_H

#include "api/chat.h"
#include "api/dialect.h"
#include <pthread.h>

#include "base/rand.h"
#include "gateway/breaker.h"
#include "gateway/cache.h"
#include "gateway/drift.h"
#include "gateway/gateway.h"
#include "gateway/ledger.h"
#include "gateway/price.h"
#include "gateway/providers.h"

#define REQUEST_ID_BYTES 40
#define TARGETS_MAX      64 /* of one request's route */
#define HEARTBEAT_MS     15000

struct gateway {
    struct config *config; /* swapped under config_lock */
    pthread_mutex_t config_lock;
    struct health_table *health;
    struct ledger *ledger;
    struct cache *cache;
    struct drift_table *drift;
    struct cache_disk *cache_disk;
    struct worker *worker;      /* checks of answers that take long */
    struct worker *scanner;     /* searches among near requests */
    struct price_table *prices; /* NULL: none configured; replaced only at start */
    struct tls_client *tls;
    const struct local_engine *local;
    const struct proxy_rules *proxies;
    _Atomic bool is_draining;
};

struct gw_thread {
    struct gateway *gw;
    struct loop *loop;
    struct http_client *client; /* connections to hosted providers */
    int idx;
    int n_running;
    int n_looking; /* questions to the cache's files and vectors */
    uint64_t next_id;
    struct rng rng;             /* jitter of back-off */
    struct gw_request *running; /* all of this thread */
    struct journal *journal;
    struct record record;   /* scratch: large */
    struct loop_task flush; /* the turn's one write */
    struct buf log;         /* lines of this turn */
    struct loop_task log_flush;
    struct gw_request *flushing; /* wait for it */
    struct timer checkpoint;
    /* durability power: requests that wait for the disk, now and next time */
    struct gw_request *syncing, *to_sync;
    struct loop_task synced;
    bool is_syncing;
};

enum gw_step { GW_NEXT, GW_WAIT, GW_END };

enum gw_cache_state { GW_CACHE_OFF, GW_CACHE_MISS, GW_CACHE_HIT, GW_CACHE_NEAR };

/* The values are those of enum record_outcome. */
enum gw_outcome { GW_OK, GW_FAILED, GW_CANCELLED, GW_INTERRUPTED, GW_CACHED };

struct gw_request;
struct near;       /* cache_near.c */
struct validation; /* validate.c */

/* How one kind of target is asked; a row for hosted providers and one for the engine. */
struct upstream {
    /* Begin.  OK, or a negative code with *e: this target cannot take it (nothing was sent).
     * Events then go to gw_on_event, the end to gw_on_done. */
    int (*start)(struct gw_request *r, const struct config_target *t, struct chat_error *e);
    void (*cancel)(struct gw_request *r); /* no event or end follows */
    void (*pause)(struct gw_request *r);
    void (*resume)(struct gw_request *r);
};

struct gw_request {
    struct gw_thread *thread;
    struct gateway *gw;
    struct config *config;
    struct request *http; /* NULL: the client is gone, or answered */
    struct arena arena;
    char id[REQUEST_ID_BYTES];
    int phase;
    uint64_t began_ms; /* loop time */

    const struct dialect *client;
    struct dialect_in in; /* what req was read from; in the arena */
    struct chat_request *req;
    const struct chat_request *asked; /* what targets are asked: req, with a fault quoted, or continued */
    struct dialect_reply reply;

    struct gw_request *next_running, **prev_running;
    struct gw_request *parent; /* asks for this one: it has no client, journal record or limits of its own */

    /* who asks */
    struct gw_key *key; /* NULL: auth none */
    struct config_limits limits;
    struct reservation held;
    struct limit_answer limit_told;
    bool has_limit_told;

    /* route */
    struct config_model direct; /* made for PROVIDER/MODEL and for served local names */
    struct config_target direct_target;
    const struct config_model *model;
    const struct config_target *route[TARGETS_MAX];
    int n_route, at_route;
    uint64_t prefix; /* hash of the prompt's beginning; 0: not needed */

    /* the running attempt */
    const struct config_target *target;
    const struct upstream *upstream; /* NULL: none is running */
    void *call;                      /* of the upstream: struct local_call or struct hosted */
    struct health *health;           /* of the target; held from health_begin to health_end */
    struct health *target_health;    /* the same, until the next attempt; for the metrics */
    bool is_probe;                   /* of its breaker */
    int n_attempts;
    int tries_left;                /* on this target */
    int n_tried;                   /* on this target, without those that only changed the API key */
    int n_keys_tried;              /* on this target */
    uint64_t keys_refused;         /* of this target, by their places */
    struct timer wait;             /* until the next try */
    struct timer budget;           /* the model's time for all attempts together */
    bool is_out_of_time;           /* it is over */
    bool has_stopped_asking;       /* targets are left, but `validate` allows no further try */
    uint64_t queued_ms;            /* loop time when every target was found busy; 0: not */
    int n_failed, n_rate_limited;  /* attempts */
    int64_t retry_after_ms;        /* the smallest that was said; -1 */
    struct chat_error lack;        /* why a target was passed over; kind NONE: none was */
    uint64_t attempt_ms;           /* loop time at which this attempt began */
    bool has_content;              /* the client may see it: no other target can take over silently */
    bool is_held;                  /* a stream that the client sees when it is known to be valid */
    bool is_withheld;              /* ...of which the client has the beginning */
    bool is_judging;               /* the worker looks at it: nothing of it may go */
    bool is_left;                  /* meanwhile the client did */
    bool is_invalid;               /* the attempt's error: its answer is not what was asked for */
    struct validation *validation; /* NULL: nothing is checked */
    bool has_error;
    struct chat_error error; /* of the last attempt, or the one that is answered */
    int n_finished;          /* choices with a FINISH event */
    bool is_paused;

    /* the answer */
    struct dialect_writer *writer;
    struct chat_collector *collector;
    struct buf out;
    bool is_head_sent;
    bool is_answered; /* nothing more goes to the client */
    int status;       /* as answered; 499: the client left */
    struct timer heartbeat;
    char start_id[128], start_model[128]; /* the held START event */
    int64_t start_created_s;
    bool has_start;
    struct buf dropped;   /* x-sluice-dropped */
    bool is_raw;          /* same dialect on both sides: the bytes travel as they came */
    struct buf raw;       /* of them, what the client has not got yet */
    struct arena vectors; /* what embeddings points to: far more than the request itself */
    struct embed_answer *embeddings;
    int64_t n_counted; /* count_tokens; -1 */

    /* the exact cache */
    enum gw_cache_state cache_state;
    uint8_t cache_key[CACHE_KEY_BYTES];
    const struct cached *hit;
    struct str hit_provider;
    struct cache_waiter waiter;
    bool is_waiting, is_leader;
    struct looking *looking; /* in the cache's file (cache_keep.h) */
    bool has_looked;
    bool is_detached;         /* the client left, others wait for the answer */
    bool has_lost_collection; /* the answer is too large to be kept */
    struct near *near;        /* its search among near requests (cache_near.h); NULL: none */
    bool is_near_unpaid;      /* none: nobody knows what it would cost, and the key has a budget */
    float similarity;         /* of the request whose answer this is; 0: not of another one */

    /* an error that the client is told in phase deliver */
    struct chat_error failure;
    bool has_failure;

    /* the account */
    struct token_account usage;
    int64_t produced_bytes, checkpointed_bytes; /* of text, for estimates */
    struct record_attempt recorded[RECORD_ATTEMPTS_MAX];
    int n_recorded;
    int64_t cost_nano, billed_tokens;
    bool is_open, is_settled, is_synced; /* in the journal */
    bool is_flushing, is_journalled;
    struct resume *resume; /* NULL: a broken stream ends in an error */
    bool is_resumed;
    struct gw_request *next_flushing;
    uint64_t first_content_ms; /* 0: none yet */
    enum gw_outcome outcome;
};

/* gateway.c */
void gw_advance(struct gw_request *r);
/* A request of the gateway's own on behalf of another one, to be filled (client, req, asked, model) and begun
 * at the choice of its target.  cache_near_embedded gets it when it has ended, and frees it.  Its attempts
 * are its parent's to pay. */
struct gw_request *gw_child_new(struct gw_request *parent); /* NULL without memory */
void gw_child_begin(struct gw_request *child);
void gw_child_free(struct gw_request *child);
/* From an upstream: an event, and the end of the attempt.  gw_on_event returns OK, or a negative
 * code when the attempt must stop. */
int gw_on_event(void *request, const struct chat_event *ev);
void gw_on_done(struct gw_request *r);
void gw_on_judged(struct gw_request *r); /* what validate_whole could not say at once is known */

/* attempt.c */
enum gw_step phase_attempt(struct gw_request *r);
/* The attempt is over, however; whether another follows is decided here. */
void attempt_ended(struct gw_request *r);
void attempt_cancel(struct gw_request *r);      /* the client left */
void attempt_waited(struct timer *timer);       /* r->wait: the pause before the next try is over */
void attempt_time_is_over(struct timer *timer); /* r->budget */

/* answer.c */
int answer_raw(struct gw_request *r); /* send what r->raw holds */
void answer_error(struct gw_request *r, const struct chat_error *e);
int answer_event(struct gw_request *r, const struct chat_event *ev); /* streams */
int answer_withheld(struct gw_request *r); /* what was withheld is shown after all */
void answer_stream_end(struct gw_request *r);
void answer_whole(struct gw_request *r);
void answer_heartbeat(struct timer *timer);
/* An error before there is a request of ours: bad path, bad key. */
void answer_refusal(struct request *http, const struct dialect *d, const char *id,
                    const struct chat_error *e);

/* route.c */
enum gw_step phase_model(struct gw_request *r);
enum gw_step phase_route(struct gw_request *r);
bool route_may_use(const struct gw_request *r, struct str model);

/* attempt_local.c, attempt_hosted.c */
extern const struct upstream upstream_local, upstream_hosted;

#endif
