/* cache.h - Complete answers of deterministic requests, and requests that wait for an equal one.
 *
 * One per process, all models; entries are found by a 256-bit digest of everything that decides
 * the answer (the canonical request, the model's name) and of who may share it (the key's group,
 * else the key).  Memory is bounded per model name; the entry used longest ago goes first.
 *
 * An entry may also have a place among near ones: a scope (the digest of all that must be equal) and a
 * vector of unit length for the rest.  cache_scan finds the nearest entry of a scope.
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
    float similarity;           /* 0: to this very request; else how near that one was */
};

#define CACHE_SCAN_MAX 20000 /* entries that one scan looks at: the newest of the scope */

/* Where an answer stands among near ones. */
struct cache_near {
    uint8_t scope[CACHE_KEY_BYTES];
    const float *vector; /* of unit length, borrowed */
    int n;
    struct str text; /* which has this vector, borrowed */
    /* Scans: the answer to `kept` is not to be given to `text`, however near it is; NULL: none is barred. */
    bool (*is_barred)(struct str kept, struct str text);
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

/* least: what was kept as the answer to a near request counts only if it was as near as this. */
enum cache_answer cache_ask(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], float least, int64_t now_ns,
                            const struct cached **hit, struct cache_waiter *w);
void cache_release(struct cache *c, const struct cached *hit);

/* The leader's answer, whole and successful: takes the collector.  Wakes the waiters.  near may be NULL. */
void cache_put(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct str model_name, int64_t max_bytes,
               int64_t ttl_ns, struct chat_collector *answer, int64_t bytes, struct str provider,
               struct str model, const struct cache_near *near, int64_t now_ns);

/* The entry of a scope whose vector is nearest (cosine), at least `least`; NULL if there is none.  It is
 * held. The lock is never held for longer than a few microseconds: any thread, but long scans on a worker's.
 */
const struct cached *cache_scan(struct cache *c, const struct cache_near *near, float least, int64_t now_ns,
                                float *similarity);
/* How many entries a scan would look at. */
int cache_scope_count(struct cache *c, const uint8_t scope[CACHE_KEY_BYTES]);
/* The leader is answered with `hit` (held, of cache_scan): equal requests find it under their own key from
 * now on, for as long as it would have lived.  Wakes the waiters. */
void cache_put_near(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], const struct cached *hit,
                    float similarity, int64_t max_bytes);
/* The leader has nothing to give.  Wakes the waiters: the first of them leads. */
void cache_abandon(struct cache *c, const uint8_t key[CACHE_KEY_BYTES]);
/* The waiter gives up (its client left).  True if its task will not run any more. */
bool cache_stop_waiting(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct cache_waiter *w);
/* Does anybody wait for this leader? */
bool cache_has_waiters(struct cache *c, const uint8_t key[CACHE_KEY_BYTES]);

#endif
