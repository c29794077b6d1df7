/* disk.h - Between the prefix tree and the KV pages on disk: what is saved, and who waits for what.
 *
 * A page that enters the tree is noted and saved soon.  A waiting sequence whose pages are not all in
 * the tree asks once for the rest, and is admitted when they are there or are known not to be.
 *
 * All calls are the engine thread's and none of them waits or allocates; with no disk (struct disk
 * NULL) they may be called and do nothing. */
#ifndef ENGINE_DISK_H
#define ENGINE_DISK_H

#include "engine/compute.h"
#include "engine/gate.h"
#include "engine/prefix.h"
#include "engine/seq.h"
#include "engine/snapshot.h"

struct disk;

int disk_create(struct disk **out, const struct compute *c, struct prefix *prefix, const char *dir,
                uint64_t max_bytes, struct gate *engine, struct err *err);
/* Before the last pages are gone: save what was noted, for at most two seconds. */
void disk_flush(struct disk *d);
void disk_free(struct disk *d);

/* A page has become a node of the tree. */
void disk_note(struct disk *d, int32_t page);

/* Must a waiting sequence, of which the tree has n_match pages, wait for more from the disk?  Asks for
 * them when called for the first time and there is room. */
bool disk_must_wait(struct disk *d, struct seq *s, int32_t n_match);
/* The sequence is gone. */
void disk_forget(struct disk *d, const struct seq *s);

/* Collect what the threads have done, give them more.  True if anything was collected. */
bool disk_turn(struct disk *d);

struct sluice_stats;
void disk_get_stats(const struct disk *d, struct sluice_stats *stats); /* any thread */

#endif
