/* queue.h - A bounded queue of pointers between threads.
 *
 * Many may push, many may pop.  `wake` (if given) is called by the pushing thread, outside the
 * lock, when the queue was empty before: an event loop's way to learn of it.  A queue never
 * owns what its pointers point to. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    void **items;
    uint32_t head, n, cap;
    bool is_closed;
    void (*wake)(void *arg);
    void *wake_arg;
};

/* OK or ERR_NOMEM.  cap > 0. */
int queue_init(struct queue *q, uint32_t cap, void (*wake)(void *arg), void *wake_arg);
void queue_deinit(struct queue *q);

bool queue_try_push(struct queue *q, void *item); /* false when full or closed */
void *queue_try_pop(struct queue *q);             /* NULL when empty */
/* Waits until there is an item, the queue is closed and empty, or timeout_ns is over (< 0: no
 * limit; real time).  NULL in the last two cases. */
void *queue_pop(struct queue *q, int64_t timeout_ns);
void queue_close(struct queue *q); /* pushes fail from now on; poppers drain what is left */
uint32_t queue_n(struct queue *q);

#endif
