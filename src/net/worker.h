/* worker.h - Work that would hold a loop thread, done on a thread of its own, in turn.
 *
 * The thread starts with the first piece of work.  A piece lies in the asker's memory, which stays until
 * `done` has run on the asker's loop; nothing of it may be touched there before.  How many wait is bounded
 * by how many requests there are: each has one at most. */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include "net/loop.h"

struct worker;

struct work {
    void (*run)(struct work *w); /* on the worker's thread */
    struct loop *loop;
    struct loop_task done; /* posted to the loop when run has returned */
    struct work *next;     /* the worker's */
};

struct worker *worker_create(void); /* NULL without memory */
/* No work is under way any more.  Accepts NULL. */
void worker_free(struct worker *k);

/* Any thread.  Where the system gives no thread, the work is done here and now. */
void worker_give(struct worker *k, struct work *w);

#endif
