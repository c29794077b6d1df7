/* cache.c - See cache.h. */
#include "gateway/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/metric.h"

#define BUCKETS     4096
#define ENTRY_BYTES 1024 /* of an entry besides its texts, roughly */

static struct metric hits_total =
    METRIC_COUNTER("sluice_cache_hits_total", "Answers from the cache.", "model");
static struct metric cache_bytes = METRIC_GAUGE("sluice_cache_bytes", "Memory of cached answers.", "model");

struct pool { /* the entries of one model name */
    struct pool *next;
    char *name;
    int64_t bytes;
};

struct entry {
    struct cached face; /* first: a `hit` is its entry */
    uint8_t key[CACHE_KEY_BYTES];
    struct entry *next;          /* of its bucket */
    struct entry *newer, *older; /* by last use */
    struct pool *pool;
    struct chat_collector *owner;
    char *texts;
    int64_t bytes, expires_ns;
    int n_held;
    bool is_dropped; /* out of the table; freed by the last release */
};

struct flight { /* a request that is under way */
    struct flight *next;
    uint8_t key[CACHE_KEY_BYTES];
    struct cache_waiter *waiters;
};

struct cache {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
    struct pool *pools;
    struct flight *flights;
};

struct cache *cache_create(void)
{
    struct cache *c = calloc(1, sizeof *c);
    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void free_entry(struct entry *e)
{
    chat_collector_free(e->owner);
    free(e->texts);
    free(e);
}

static struct entry **bucket_of(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    uint32_t h;
    memcpy(&h, key, sizeof h);
    return &c->buckets[h % BUCKETS];
}

static void unlink_age(struct cache *c, struct entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void make_newest(struct cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop(struct cache *c, struct entry *e)
{
    struct entry **at = bucket_of(c, e->key);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    unlink_age(c, e);
    e->pool->bytes -= e->bytes;
    metric_set(metric_cell(&cache_bytes, e->pool->name), (double)e->pool->bytes);
    e->is_dropped = true;
    if (e->n_held == 0)
        free_entry(e);
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    while (c->newest)
        drop(c, c->newest);
    for (struct pool *p = c->pools, *next; p; p = next) {
        next = p->next;
        free(p->name);
        free(p);
    }
    for (struct flight *f = c->flights, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct entry *find(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    struct entry *e = *bucket_of(c, key);
    while (e && memcmp(e->key, key, CACHE_KEY_BYTES) != 0)
        e = e->next;
    return e;
}

static struct flight **find_flight(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    struct flight **f = &c->flights;
    while (*f && memcmp((*f)->key, key, CACHE_KEY_BYTES) != 0)
        f = &(*f)->next;
    return f;
}

static enum cache_answer ask_locked(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], int64_t now_ns,
                                    const struct cached **hit, struct cache_waiter *w)
{
    struct entry *e = find(c, key);
    if (e && e->expires_ns <= now_ns) {
        drop(c, e);
        e = NULL;
    }
    if (e) {
        unlink_age(c, e);
        make_newest(c, e);
        e->n_held++;
        *hit = &e->face;
        return CACHE_HIT;
    }
    struct flight *f = *find_flight(c, key);
    if (f) {
        w->next = f->waiters;
        w->is_waiting = true;
        f->waiters = w;
        return CACHE_WAIT;
    }
    f = calloc(1, sizeof *f);
    if (f) { /* without memory everybody asks for himself */
        memcpy(f->key, key, CACHE_KEY_BYTES);
        f->next = c->flights;
        c->flights = f;
    }
    return CACHE_LEAD;
}

enum cache_answer cache_ask(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], int64_t now_ns,
                            const struct cached **hit, struct cache_waiter *w)
{
    pthread_mutex_lock(&c->lock);
    enum cache_answer a = ask_locked(c, key, now_ns, hit, w);
    if (a == CACHE_HIT)
        metric_add(metric_cell(&hits_total, ((const struct entry *)*hit)->pool->name), 1);
    pthread_mutex_unlock(&c->lock);
    return a;
}

void cache_release(struct cache *c, const struct cached *hit)
{
    if (!hit)
        return;
    struct entry *e = (struct entry *)hit;
    pthread_mutex_lock(&c->lock);
    assert(e->n_held > 0);
    e->n_held--;
    if (e->is_dropped && e->n_held == 0)
        free_entry(e);
    pthread_mutex_unlock(&c->lock);
}

static void land_locked(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    struct flight **at = find_flight(c, key), *f = *at;
    if (!f)
        return;
    *at = f->next;
    for (struct cache_waiter *w = f->waiters, *next; w; w = next) {
        next = w->next;
        w->is_waiting = false;
        loop_post(w->loop, &w->task);
    }
    free(f);
}

void cache_abandon(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    pthread_mutex_lock(&c->lock);
    land_locked(c, key);
    pthread_mutex_unlock(&c->lock);
}

bool cache_stop_waiting(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct cache_waiter *w)
{
    pthread_mutex_lock(&c->lock);
    bool stopped = w->is_waiting;
    struct flight *f = *find_flight(c, key);
    for (struct cache_waiter **at = f ? &f->waiters : NULL; at && *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    w->is_waiting = false;
    pthread_mutex_unlock(&c->lock);
    return stopped;
}

bool cache_has_waiters(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    pthread_mutex_lock(&c->lock);
    struct flight *f = *find_flight(c, key);
    bool any = f && f->waiters;
    pthread_mutex_unlock(&c->lock);
    return any;
}

/* ---- putting ---- */

static struct pool *pool_of(struct cache *c, struct str name)
{
    for (struct pool *p = c->pools; p; p = p->next)
        if (str_eq(str_c(p->name), name))
            return p;
    struct pool *p = calloc(1, sizeof *p);
    if (!p || !(p->name = str_dup_z(name))) {
        free(p);
        return NULL;
    }
    p->next = c->pools;
    c->pools = p;
    return p;
}

static struct entry *new_entry(struct chat_collector *owner, int64_t bytes, struct str provider,
                               struct str model)
{
    const struct chat_answer *answer = chat_collected(owner);
    struct entry *e = answer ? calloc(1, sizeof *e) : NULL;
    char *texts = e ? malloc(provider.n + model.n + 1) : NULL;
    if (!texts) {
        free(e);
        return NULL;
    }
    memcpy(texts, provider.p, provider.n);
    memcpy(texts + provider.n, model.p, model.n);
    *e = (struct entry){.face = {answer, {texts, provider.n}, {texts + provider.n, model.n}},
                        .owner = owner,
                        .texts = texts,
                        .bytes = bytes + ENTRY_BYTES};
    return e;
}

/* Make room in a pool: its entries used longest ago go. */
static void shrink(struct cache *c, struct pool *p, int64_t max_bytes)
{
    for (struct entry *e = c->oldest, *newer; e && p->bytes > max_bytes; e = newer) {
        newer = e->newer;
        if (e->pool == p)
            drop(c, e);
    }
}

void cache_put(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct str model_name, int64_t max_bytes,
               int64_t ttl_ns, struct chat_collector *answer, int64_t bytes, struct str provider,
               struct str model, int64_t now_ns)
{
    struct entry *e = bytes + ENTRY_BYTES <= max_bytes ? new_entry(answer, bytes, provider, model) : NULL;
    if (!e)
        chat_collector_free(answer);
    pthread_mutex_lock(&c->lock);
    struct pool *p = e ? pool_of(c, model_name) : NULL;
    if (e && !p) {
        free_entry(e);
        e = NULL;
    }
    if (e) {
        struct entry *old = find(c, key);
        if (old)
            drop(c, old);
        memcpy(e->key, key, CACHE_KEY_BYTES);
        e->expires_ns = now_ns + ttl_ns;
        e->pool = p;
        e->next = *bucket_of(c, key);
        *bucket_of(c, key) = e;
        make_newest(c, e);
        p->bytes += e->bytes;
        shrink(c, p, max_bytes);
        metric_set(metric_cell(&cache_bytes, p->name), (double)p->bytes);
    }
    land_locked(c, key);
    pthread_mutex_unlock(&c->lock);
}
