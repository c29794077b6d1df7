/* cache_disk.h - The exact cache's files: one thread that reads and writes them for all loops.
 *
 * The thread starts with the first request for a model with a `path`, and opens a file when it is
 * first needed, so a start is not delayed by what is in them.  What cannot be read or written is said once in
 * the log and costs nothing but hits.  Writes that wait are bounded; past that they are dropped.
 *
 * Threads: any, but a lookup belongs to the thread of its loop. */
#ifndef GATEWAY_CACHE_DISK_H
#define GATEWAY_CACHE_DISK_H

#include "gateway/cache.h"

struct cache_disk;

struct cache_disk *cache_disk_create(void); /* NULL without memory */
/* Writes what waits.  No lookup is under way any more.  Accepts NULL. */
void cache_disk_free(struct cache_disk *d);

/* A question.  In the asker's memory until `done` has run on its loop; `packed` is the asker's. */
struct cache_lookup {
    struct loop *loop;
    struct loop_task done;
    struct str path; /* borrowed until done */
    uint8_t key[CACHE_KEY_BYTES];
    struct buf packed; /* the answer; empty: not there */
    int64_t expires_s;
    struct cache_lookup *next;
};
/* False if there is no thread: nothing will come. */
bool cache_disk_look(struct cache_disk *d, struct cache_lookup *l);

/* Keep an answer (copied) until a wall time. */
void cache_disk_put(struct cache_disk *d, struct str path, const uint8_t key[CACHE_KEY_BYTES],
                    struct str model, struct str packed, int64_t expires_s, int64_t max_bytes);

#endif
