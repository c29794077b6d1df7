/* team.h - A team of worker threads that computes one step at a time.
 *
 * Whoever wants to compute leases the team (one lease at a time; others wait), becomes its
 * worker 0, runs any number of parallel loops, and releases it.  Between two loops the other
 * workers spin for at most TEAM_SPIN_US, then sleep on a futex, so that a leased team starts a
 * loop within a microsecond and an idle team costs nothing.
 *
 * A loop of n items is cut into equal ranges, one per worker, in order of the items; a worker that has
 * finished its own takes items from the end of the range of another, so that a worker that the system has
 * taken off its core does not hold up all others.  Which worker computes an item is therefore not fixed: an
 * item must write only its own outputs and must not depend on other items.
 *
 * Every worker computes with the same floating-point state: round to nearest, no flush to zero,
 * all exceptions masked.  team_lease sets it for the caller and team_release restores it. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include <stddef.h>

#include "base/err.h"

#define TEAM_THREADS_MAX 256
#define TEAM_SPIN_US     20

struct team;

/* n_threads counts the caller: 1 starts no thread, 0 means sys_n_cpus().  More than
 * TEAM_THREADS_MAX is cut.  Signals are blocked in the threads. */
int team_create(struct team **out, int n_threads, struct err *err);

/* Nobody may hold a lease.  NULL is fine. */
void team_free(struct team *team);

int team_size(const struct team *team);

/* Become worker 0.  Blocks while somebody else has the lease.  No nesting. */
void team_lease(struct team *team);
void team_release(struct team *team);

/* One item range of a loop: do items [begin, end).  worker is in [0, team_size). */
typedef void team_work(void *arg, int begin, int end, int worker);

/* Do items [0, n_items), and return when all are done; what the items wrote is then visible to
 * the caller.  Called by the leaseholder only, never from inside an item.  Ranges are handed out
 * in pieces of at least `grain` items (>= 1). */
void team_run(struct team *team, team_work *work, void *arg, int n_items, int grain);

/* A hint: what `worker` will read first in a loop to come.  While it waits, it fetches these bytes into its
 * caches, so that memory does not rest meanwhile.  Any address will do.  Called by the leaseholder only. */
void team_expect(struct team *team, int worker, const void *p, size_t n);

#endif
