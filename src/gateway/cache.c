/* cache.c - See cache.h.  Vectors are kept beside the answers, in one list a scope. */
#include "gateway/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/metric.h"
#include "gateway/cosine.h"

#define BUCKETS     4096
#define SCAN_TURN   256  /* entries that are held at a time while they are compared */
#define ENTRY_BYTES 1024 /* of an entry besides its texts, roughly */

static struct metric hits_total =
    METRIC_COUNTER("sluice_cache_hits_total", "Answers from the cache.", "model", "kind");
static struct metric cache_bytes = METRIC_GAUGE("sluice_cache_bytes", "Memory of cached answers.", "model");

struct pool { /* the entries of one model name */
    struct pool *next;
    char *name;
    int64_t bytes;
};

struct scope { /* the entries that differ in one text only */
    struct scope *next;
    uint8_t key[CACHE_KEY_BYTES];
    struct entry **entries; /* newer ones towards the end, roughly: a gap is closed with the last one */
    int n, cap;
};

struct entry {
    struct cached face; /* first: a `hit` is its entry */
    uint8_t key[CACHE_KEY_BYTES];
    struct entry *next;          /* of its bucket */
    struct entry *newer, *older; /* by last use */
    struct pool *pool;
    struct chat_collector *owner;
    struct entry *of; /* whose answer this is: held */
    char *texts;
    int64_t bytes, expires_ns;
    struct scope *scope; /* NULL: not among near ones */
    int at_scope;
    float *vector;
    int n_vector;
    struct str near_text; /* behind the vector, in its memory */
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
    struct scope *scopes[BUCKETS];
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
    struct entry *of = e->of;
    chat_collector_free(e->owner);
    free(e->texts);
    free(e->vector);
    free(e);
    if (of && --of->n_held == 0 && of->is_dropped) /* which has no `of` itself */
        free_entry(of);
}

static void release_locked(struct entry *e)
{
    assert(e->n_held > 0);
    e->n_held--;
    if (e->is_dropped && e->n_held == 0)
        free_entry(e);
}

static uint32_t bucket_idx(const uint8_t key[CACHE_KEY_BYTES])
{
    uint32_t h;
    memcpy(&h, key, sizeof h);
    return h % BUCKETS;
}

static struct entry **bucket_of(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    return &c->buckets[bucket_idx(key)];
}

static struct scope **find_scope(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    struct scope **s = &c->scopes[bucket_idx(key)];
    while (*s && memcmp((*s)->key, key, CACHE_KEY_BYTES) != 0)
        s = &(*s)->next;
    return s;
}

static void leave_scope(struct cache *c, struct entry *e)
{
    struct scope *s = e->scope;
    if (!s)
        return;
    s->entries[e->at_scope] = s->entries[--s->n];
    s->entries[e->at_scope]->at_scope = e->at_scope;
    e->scope = NULL;
    if (s->n)
        return;
    *find_scope(c, s->key) = s->next;
    free(s->entries);
    free(s);
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
    leave_scope(c, e);
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

static enum cache_answer ask_locked(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], float least,
                                    int64_t now_ns, const struct cached **hit, struct cache_waiter *w)
{
    struct entry *e = find(c, key);
    bool is_too_far = e && e->face.similarity > 0 && e->face.similarity < least;
    if (e && (e->expires_ns <= now_ns || is_too_far)) {
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

enum cache_answer cache_ask(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], float least, int64_t now_ns,
                            const struct cached **hit, struct cache_waiter *w)
{
    pthread_mutex_lock(&c->lock);
    enum cache_answer a = ask_locked(c, key, least, now_ns, hit, w);
    if (a == CACHE_HIT)
        metric_add(metric_cell(&hits_total, ((const struct entry *)*hit)->pool->name,
                               (*hit)->similarity > 0 ? "semantic" : "exact"),
                   1);
    pthread_mutex_unlock(&c->lock);
    return a;
}

void cache_release(struct cache *c, const struct cached *hit)
{
    if (!hit)
        return;
    pthread_mutex_lock(&c->lock);
    release_locked((struct entry *)hit);
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
    *e = (struct entry){.face = {answer, {texts, provider.n}, {texts + provider.n, model.n}, 0},
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

/* Its place in the table: e->pool, e->bytes and e->expires_ns are set. */
static void enter(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct entry *e, int64_t max_bytes)
{
    struct entry *old = find(c, key);
    struct pool *p = e->pool;
    if (old)
        drop(c, old);
    memcpy(e->key, key, CACHE_KEY_BYTES);
    e->next = *bucket_of(c, key);
    *bucket_of(c, key) = e;
    make_newest(c, e);
    p->bytes += e->bytes;
    shrink(c, p, max_bytes); /* perhaps e itself */
    metric_set(metric_cell(&cache_bytes, p->name), (double)p->bytes);
}

/* Among near ones; without memory it is found exactly only. */
static void enter_scope(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct entry *e)
{
    struct scope **at = find_scope(c, key), *s = *at;
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return;
        memcpy(s->key, key, CACHE_KEY_BYTES);
        *at = s;
    }
    if (s->n == s->cap) {
        int cap = s->cap ? s->cap * 2 : 4;
        struct entry **more = realloc(s->entries, (size_t)cap * sizeof *more);
        if (more) {
            s->entries = more;
            s->cap = cap;
        }
    }
    if (s->n < s->cap) {
        e->scope = s;
        e->at_scope = s->n;
        s->entries[s->n++] = e;
    } else if (s->n == 0) {
        *at = s->next; /* new, at the end of its bucket */
        free(s);
    }
}

static void copy_vector(struct entry *e, const struct cache_near *near)
{
    size_t bytes = (size_t)near->n * sizeof *near->vector;
    e->vector = malloc(bytes + near->text.n);
    if (!e->vector)
        return;
    memcpy(e->vector, near->vector, bytes);
    e->n_vector = near->n;
    if (near->text.n)
        memcpy((char *)e->vector + bytes, near->text.p, near->text.n);
    e->near_text = str_of((char *)e->vector + bytes, near->text.n);
    e->bytes += (int64_t)(bytes + near->text.n);
}

void cache_put(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct str model_name, int64_t max_bytes,
               int64_t ttl_ns, struct chat_collector *answer, int64_t bytes, struct str provider,
               struct str model, const struct cache_near *near, int64_t now_ns)
{
    struct entry *e = bytes + ENTRY_BYTES <= max_bytes ? new_entry(answer, bytes, provider, model) : NULL;
    if (!e)
        chat_collector_free(answer);
    else if (near)
        copy_vector(e, near);
    pthread_mutex_lock(&c->lock);
    struct pool *p = e ? pool_of(c, model_name) : NULL;
    if (e && !p) {
        free_entry(e);
        e = NULL;
    }
    if (e) {
        e->expires_ns = now_ns + ttl_ns;
        e->pool = p;
        if (e->vector)
            enter_scope(c, near->scope, e);
        enter(c, key, e, max_bytes);
    }
    land_locked(c, key);
    pthread_mutex_unlock(&c->lock);
}

/* The bytes of the other entry count here as well: they stay for as long as either entry does. */
void cache_put_near(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], const struct cached *hit,
                    float similarity, int64_t max_bytes)
{
    struct entry *of = (struct entry *)hit, *e = calloc(1, sizeof *e);
    pthread_mutex_lock(&c->lock);
    metric_add(metric_cell(&hits_total, of->pool->name, "semantic"), 1);
    if (e) {
        assert(!of->of);
        of->n_held++;
        *e = (struct entry){
            .face = *hit, .of = of, .pool = of->pool, .bytes = of->bytes, .expires_ns = of->expires_ns};
        e->face.similarity = similarity;
        enter(c, key, e, max_bytes);
    }
    land_locked(c, key);
    pthread_mutex_unlock(&c->lock);
}

/* ---- near ones ---- */

int cache_scope_count(struct cache *c, const uint8_t scope[CACHE_KEY_BYTES])
{
    pthread_mutex_lock(&c->lock);
    const struct scope *s = *find_scope(c, scope);
    int n = s ? s->n : 0;
    pthread_mutex_unlock(&c->lock);
    return n < CACHE_SCAN_MAX ? n : CACHE_SCAN_MAX;
}

/* Hold the entries below *at, the last ones first.  An entry that goes meanwhile gives its place to the last
 * one, which was seen already: none is passed over. */
static int hold_some(struct cache *c, const struct cache_near *near, int64_t now_ns, int *at,
                     struct entry *held[SCAN_TURN])
{
    const struct scope *s = *find_scope(c, near->scope);
    int n = 0, looked = 0;
    if (!s || s->n < *at)
        *at = s ? s->n : 0;
    for (; *at > 0 && looked < SCAN_TURN; looked++) {
        struct entry *e = s->entries[--*at];
        if (e->expires_ns <= now_ns || e->n_vector != near->n)
            continue;
        e->n_held++;
        held[n++] = e;
    }
    return n;
}

const struct cached *cache_scan(struct cache *c, const struct cache_near *near, float least, int64_t now_ns,
                                float *similarity)
{
    struct entry *held[SCAN_TURN], *best = NULL;
    int at, n_looked = 0;
    float most = least;
    pthread_mutex_lock(&c->lock);
    const struct scope *s = *find_scope(c, near->scope);
    at = s ? s->n : 0;
    while (at > 0 && n_looked < CACHE_SCAN_MAX) {
        int n = hold_some(c, near, now_ns, &at, held);
        n_looked += SCAN_TURN;
        pthread_mutex_unlock(&c->lock);
        int at_best = -1;
        for (int i = 0; i < n; i++) {
            float cosine = cosine_of_units(held[i]->vector, near->vector, near->n);
            bool is_nearest = cosine > most || (!best && at_best < 0 && cosine >= most);
            if (is_nearest && !(near->is_barred && near->is_barred(held[i]->near_text, near->text))) {
                most = cosine;
                at_best = i;
            }
        }
        pthread_mutex_lock(&c->lock);
        if (at_best >= 0 && best)
            release_locked(best);
        for (int i = 0; i < n; i++)
            if (i != at_best)
                release_locked(held[i]);
        best = at_best >= 0 ? held[at_best] : best;
    }
    if (best && !best->is_dropped) {
        unlink_age(c, best);
        make_newest(c, best);
    }
    pthread_mutex_unlock(&c->lock);
    *similarity = most;
    return best ? &best->face : NULL;
}
