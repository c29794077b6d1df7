/* breaker.h - Circuit breakers, parked keys and learned speeds: what all requests know of a target.
 *
 * One struct per (provider, model), found by name and kept across reloads of the configuration,
 * shared by all loop threads under one short lock per target.
 *
 * A breaker opens after `failures` failures within `window`; after `cooldown` one probe is let
 * through: its success closes the breaker, its failure opens it again.  Requests that began
 * before it opened and end later change nothing. */
#ifndef GATEWAY_BREAKER_H
#define GATEWAY_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/chat.h"
#include "gateway/config.h"

struct metric_cell;
struct key_ring;

#define BREAKER_FAILURES_MAX 64 /* remembered; a larger `failures` counts as this */
#define HEALTH_WARM_MAX      512
#define HEALTH_WARM_NS       (300 * INT64_C(1000000000)) /* as long as providers keep a prompt at least */
#define HEALTH_CELLS_MAX     8
#define HEALTH_KEYS_MAX      64 /* API keys per provider whose state is kept */

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

/* An overload is the whole provider's, whichever of its models said so. */
struct provider_pause {
    struct provider_pause *next;
    char *name;
    _Atomic int64_t until_ns;
    _Atomic(struct key_ring *) dead_keys; /* of its API keys; looked up at first use */
};

/* What is known of one target.  Everything under `lock`. */
struct health {
    pthread_mutex_t lock;
    struct health *next;
    char *name; /* "provider/model" */
    size_t name_n;
    enum breaker_state state;
    int64_t failed_ns[BREAKER_FAILURES_MAX]; /* ring of failure times */
    int n_failed, at_failed;
    int64_t opened_ns;
    bool is_probing;
    struct provider_pause *provider;
    _Atomic(struct key_ring *) limited_keys; /* as dead_keys */
    int n_running;
    _Atomic(struct metric_cell *) cells[HEALTH_CELLS_MAX]; /* observe.c's */
    /* learned, exponentially weighted: 0 until first seen */
    double first_ms, per_token_ms, error_share;
    /* prompt beginnings that were here lately, by their hash: the provider's cache holds them */
    uint64_t warm_prefix[HEALTH_WARM_MAX];
    int64_t warm_ns[HEALTH_WARM_MAX];
};

/* When each of a provider's API keys may be used again: one ring per provider for keys that are
 * dead, one per target for limits, which providers count by model. */
struct key_ring {
    pthread_mutex_t lock;
    struct key_ring *next;
    char *name; /* provider, or "provider/model" */
    uint32_t turn;
    uint64_t fingerprint[HEALTH_KEYS_MAX];
    int64_t parked_until_ns[HEALTH_KEYS_MAX]; /* INT64_MAX: dead until a reload brings another */
};

struct health_table;
struct health_table *health_table_create(void); /* NULL without memory */
void health_table_free(struct health_table *t);

/* Calls `each` with every target under its lock: it only looks. */
void health_each(struct health_table *t, void (*each)(void *arg, const struct health *h), void *arg);

/* Never freed before the table.  NULL without memory. */
struct health *health_of(struct health_table *t, struct str provider, struct str model);
struct key_ring *key_ring_of(struct health_table *t, struct str name);

/* May a request go to this target now?  Counts a running request (and takes the probe) if so:
 * then exactly one health_end must follow, which is told whether it was the probe.  *wait_ms says
 * when to ask again if not (-1: a slot must become free). */
enum health_leave { HEALTH_NO, HEALTH_GO, HEALTH_PROBE };
enum health_leave health_begin(struct health *h, const struct config_breaker *b, int64_t max_concurrency,
                               int64_t now_ns, int64_t *wait_ms);
/* How the request went.  `is_failure`: of the target, not of the client or the key. */
void health_end(struct health *h, const struct config_breaker *b, bool was_probe, bool is_success,
                bool is_failure, int64_t now_ns);
/* The provider is overloaded: none of its targets is asked before. */
void health_pause_provider(struct health *h, int64_t until_ns);
/* A prompt that begins so was answered here. */
void health_warm(struct health *h, uint64_t prefix, int64_t now_ns);
bool health_is_warm_locked(const struct health *h, uint64_t prefix, int64_t now_ns);
void health_learn(struct health *h, double first_ms, double per_token_ms);
/* Would health_begin say yes?  Takes nothing. */
bool health_is_open_for_traffic(struct health *h, const struct config_breaker *b, int64_t max_concurrency,
                                int64_t now_ns);

/* Index of a usable API key, rotating; -1 if all are parked (*free_ns: when the first one is
 * free again, INT64_MAX if never).  A provider without keys gives 0. */
int key_ring_pick(struct key_ring *k, const struct config_list *keys, int64_t now_ns, int64_t *free_ns);
/* How long this key is still parked: 0 if it may be used, INT64_MAX for ever. */
int64_t key_ring_parked_ns(struct key_ring *k, const struct config_list *keys, int idx, int64_t now_ns);
void key_ring_park(struct key_ring *k, const struct config_list *keys, int idx, int64_t until_ns);

#endif
