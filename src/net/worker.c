/* worker.c - See worker.h. */
#include "net/worker.h"

#include <pthread.h>
#include <stdlib.h>

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread, is_stopping;
    struct work *first, **end;
};

static struct work *take(struct worker *k)
{
    pthread_mutex_lock(&k->lock);
    while (!k->first && !k->is_stopping)
        pthread_cond_wait(&k->wake, &k->lock);
    struct work *w = k->first;
    if (w && !(k->first = w->next))
        k->end = &k->first;
    pthread_mutex_unlock(&k->lock);
    return w;
}

static void *run(void *arg)
{
    struct work *w;
    while ((w = take(arg))) {
        w->run(w);
        loop_post(w->loop, &w->done);
    }
    return NULL;
}

struct worker *worker_create(void)
{
    struct worker *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, NULL);
    k->end = &k->first;
    return k;
}

void worker_free(struct worker *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->is_stopping = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    if (k->has_thread)
        pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void worker_give(struct worker *k, struct work *w)
{
    w->next = NULL;
    pthread_mutex_lock(&k->lock);
    if (!k->has_thread)
        k->has_thread = pthread_create(&k->thread, NULL, run, k) == 0;
    bool is_taken = k->has_thread;
    if (is_taken) {
        *k->end = w;
        k->end = &w->next;
        pthread_cond_signal(&k->wake);
    }
    pthread_mutex_unlock(&k->lock);
    if (is_taken)
        return;
    w->run(w);
    loop_post(w->loop, &w->done);
}
