/* cache_disk.c - See cache_disk.h; the thread is run(). */
#include "gateway/cache_disk.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "store/answers.h"

#define WAITING_BYTES_MAX ((size_t)64 << 20)
#define RETRY_NS          (60 * NS_PER_S) /* a file that cannot be opened is tried again after this */

static struct metric dropped_total =
    METRIC_COUNTER("sluice_cache_disk_errors_total", "Cached answers that were not read or written.", "what");

struct file {
    struct file *next;
    char *path;
    struct answers *answers; /* NULL: it could not be opened */
    int64_t tried_ns;
    bool has_complained;
};

struct put {
    struct put *next;
    char *path, *model;
    uint8_t key[CACHE_KEY_BYTES];
    char *body;
    size_t n;
    int64_t expires_s, max_bytes;
};

struct cache_disk {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread, is_stopping;
    struct cache_lookup *lookups, **lookups_end;
    struct put *puts, **puts_end;
    size_t waiting_bytes;
    struct file *files; /* the thread's own */
};

struct cache_disk *cache_disk_create(void)
{
    struct cache_disk *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    d->lookups_end = &d->lookups;
    d->puts_end = &d->puts;
    return d;
}

/* ---- the thread ---- */

static struct answers *file_of(struct cache_disk *d, const char *path)
{
    struct file *f = d->files;
    struct err err = {0};
    while (f && strcmp(f->path, path) != 0)
        f = f->next;
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f || !(f->path = str_dup_z(str_c(path)))) {
            free(f);
            return NULL;
        }
        f->next = d->files;
        f->tried_ns = -RETRY_NS;
        d->files = f;
    }
    if (f->answers || clock_now_ns() - f->tried_ns < RETRY_NS)
        return f->answers;
    f->tried_ns = clock_now_ns();
    if (answers_open(path, &f->answers, &err) != OK) {
        f->answers = NULL;
        if (!f->has_complained)
            log_error("cache", "%s; answers are kept in memory only", err.text);
        f->has_complained = true;
    }
    return f->answers;
}

static void complain(const char *what, const struct err *err)
{
    metric_add(metric_cell(&dropped_total, what), 1);
    log_debug("cache", "%s", err->text);
}

static void answer(struct cache_disk *d, struct cache_lookup *l)
{
    struct err err = {0};
    char *path = str_dup_z(l->path);
    struct answers *a = path ? file_of(d, path) : NULL;
    int rc = a ? answers_get(a, l->key, clock_wall_ns() / NS_PER_S, &l->packed, &l->expires_s, &err)
               : ERR_NOT_FOUND;
    free(path);
    if (rc != OK)
        buf_clear(&l->packed);
    if (rc != OK && rc != ERR_NOT_FOUND)
        complain("read", &err);
    loop_post(l->loop, &l->done);
}

static void free_put(struct put *p)
{
    free(p->path);
    free(p->model);
    free(p->body);
    free(p);
}

static void write_one(struct cache_disk *d, struct put *p)
{
    struct err err = {0};
    struct answers *a = file_of(d, p->path);
    if (a && answers_put(a, p->key, str_c(p->model), str_of(p->body, p->n), p->expires_s, p->max_bytes,
                         clock_wall_ns() / NS_PER_S, &err) != OK)
        complain("write", &err);
    pthread_mutex_lock(&d->lock);
    d->waiting_bytes -= p->n;
    pthread_mutex_unlock(&d->lock);
    free_put(p);
}

static void flush_files(struct cache_disk *d)
{
    struct err err = {0};
    for (struct file *f = d->files; f; f = f->next)
        if (f->answers && answers_flush(f->answers, &err) != OK)
            complain("write", &err);
}

/* One piece of work; false: none was left and everything is to end. */
static bool work(struct cache_disk *d)
{
    pthread_mutex_lock(&d->lock);
    if (!d->lookups && !d->puts && !d->is_stopping) {
        pthread_mutex_unlock(&d->lock);
        flush_files(d);
        pthread_mutex_lock(&d->lock);
        while (!d->lookups && !d->puts && !d->is_stopping)
            pthread_cond_wait(&d->wake, &d->lock);
    }
    struct cache_lookup *l = d->lookups;
    struct put *p = l ? NULL : d->puts; /* who waits for an answer comes first */
    if (l && !(d->lookups = l->next))
        d->lookups_end = &d->lookups;
    if (p && !(d->puts = p->next))
        d->puts_end = &d->puts;
    bool goes_on = l || p || !d->is_stopping;
    pthread_mutex_unlock(&d->lock);
    if (l)
        answer(d, l);
    if (p)
        write_one(d, p);
    return goes_on;
}

static void *run(void *arg)
{
    struct cache_disk *d = arg;
    while (work(d))
        ;
    flush_files(d);
    return NULL;
}

/* With the lock. */
static bool start_locked(struct cache_disk *d)
{
    if (!d->has_thread)
        d->has_thread = pthread_create(&d->thread, NULL, run, d) == 0;
    return d->has_thread;
}

/* ---- from outside ---- */

void cache_disk_free(struct cache_disk *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->is_stopping = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    if (d->has_thread)
        pthread_join(d->thread, NULL);
    for (struct file *f = d->files, *next; f; f = next) {
        next = f->next;
        answers_close(f->answers);
        free(f->path);
        free(f);
    }
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

bool cache_disk_look(struct cache_disk *d, struct cache_lookup *l)
{
    l->next = NULL;
    pthread_mutex_lock(&d->lock);
    bool started = start_locked(d);
    if (started) {
        *d->lookups_end = l;
        d->lookups_end = &l->next;
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
    return started;
}

void cache_disk_put(struct cache_disk *d, struct str path, const uint8_t key[CACHE_KEY_BYTES],
                    struct str model, struct str packed, int64_t expires_s, int64_t max_bytes)
{
    struct put *p = calloc(1, sizeof *p);
    if (!p)
        return;
    *p = (struct put){.path = str_dup_z(path),
                      .model = str_dup_z(model),
                      .body = malloc(packed.n + 1),
                      .n = packed.n,
                      .expires_s = expires_s,
                      .max_bytes = max_bytes};
    memcpy(p->key, key, CACHE_KEY_BYTES);
    if (p->body && packed.n)
        memcpy(p->body, packed.p, packed.n);
    pthread_mutex_lock(&d->lock);
    bool taken =
        p->path && p->model && p->body && d->waiting_bytes + p->n <= WAITING_BYTES_MAX && start_locked(d);
    if (taken) {
        d->waiting_bytes += p->n;
        *d->puts_end = p;
        d->puts_end = &p->next;
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
    if (!taken) {
        metric_add(metric_cell(&dropped_total, "write"), 1);
        free_put(p);
    }
}
