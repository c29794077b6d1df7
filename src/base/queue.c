/* queue.c - See queue.h. */
#include "base/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"

int queue_init(struct queue *q, uint32_t cap, void (*wake)(void *arg), void *wake_arg)
{
#ifdef SLUICE_HOSTILE
    cap = 1;
#endif
    *q = (struct queue){.cap = cap, .wake = wake, .wake_arg = wake_arg};
    q->items = calloc(cap, sizeof *q->items);
    if (!q->items)
        return ERR_NOMEM;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->not_empty, &attr);
    pthread_condattr_destroy(&attr);
    return OK;
}

void queue_deinit(struct queue *q)
{
    if (!q->items)
        return;
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->not_empty);
    free(q->items);
    *q = (struct queue){0};
}

bool queue_try_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    bool ok = !q->is_closed && q->n < q->cap;
    bool was_empty = q->n == 0;
    if (ok) {
        q->items[(q->head + q->n) % q->cap] = item;
        q->n++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    if (ok && was_empty && q->wake)
        q->wake(q->wake_arg);
    return ok;
}

static void *pop_locked(struct queue *q)
{
    if (q->n == 0)
        return NULL;
    void *item = q->items[q->head];
    q->head = (q->head + 1) % q->cap;
    q->n--;
    return item;
}

void *queue_try_pop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = pop_locked(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *queue_pop(struct queue *q, int64_t timeout_ns)
{
    struct timespec until;
    if (timeout_ns >= 0) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)(timeout_ns / 1000000000);
        until.tv_nsec += (long)(timeout_ns % 1000000000);
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
    }
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->is_closed) {
        if (timeout_ns < 0)
            pthread_cond_wait(&q->not_empty, &q->lock);
        else if (pthread_cond_timedwait(&q->not_empty, &q->lock, &until) == ETIMEDOUT)
            break;
    }
    void *item = pop_locked(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->is_closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

uint32_t queue_n(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    uint32_t n = q->n;
    pthread_mutex_unlock(&q->lock);
    return n;
}
