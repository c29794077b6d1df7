/* cache.h - Complete answers of deterministic requests, and requests that wait for an equal one.
 *
 * One per process, all models; entries are found by a 256-bit digest of everything that decides
 * the answer (the canonical request, the model's name) and of who may share it (the key's group,
 * else the key).  Memory is bounded per model name; the entry used longest ago goes first.
 *
 * Threads: any; one lock, no I/O under it.  Answers are read-only and counted. */
#ifndef GATEWAY_CACHE_H
#define GATEWAY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/chat.h"
#include "net/loop.h"

#define CACHE_KEY_BYTES 32

struct cache;
struct cache *cache_create(void); /* NULL without memory */
void cache_free(struct cache *c); /* accepts NULL */

/* An answer in the cache, held by whoever got it. */
struct cached {
    const struct chat_answer *answer;
    struct str provider, model; /* who gave it */
};

/* A request that waits for an equal one.  In the waiter's memory; `task` is posted to its loop when
 * the other one has ended, however. */
struct cache_waiter {
    struct cache_waiter *next;
    struct loop *loop;
    struct loop_task task;
    bool is_waiting;
};

enum cache_answer {
    CACHE_HIT,  /* *hit is held: cache_release it */
    CACHE_LEAD, /* nobody has it: ask, then cache_put or cache_abandon */
    CACHE_WAIT  /* an equal request is under way: `w` is told when it has ended, then ask again */
};

enum cache_answer cache_ask(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], int64_t now_ns,
                            const struct cached **hit, struct cache_waiter *w);
void cache_release(struct cache *c, const struct cached *hit);

/* The leader's answer, whole and successful: takes the collector.  Wakes the waiters. */
void cache_put(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct str model_name, int64_t max_bytes,
               int64_t ttl_ns, struct chat_collector *answer, int64_t bytes, struct str provider,
               struct str model, int64_t now_ns);
/* The leader has nothing to give.  Wakes the waiters: the first of them leads. */
void cache_abandon(struct cache *c, const uint8_t key[CACHE_KEY_BYTES]);
/* The waiter gives up (its client left).  True if its task will not run any more. */
bool cache_stop_waiting(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct cache_waiter *w);
/* Does anybody wait for this leader? */
bool cache_has_waiters(struct cache *c, const uint8_t key[CACHE_KEY_BYTES]);

#endif
