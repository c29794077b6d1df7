/* breaker.c - See breaker.h. */
#include "gateway/breaker.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#define LEARN_WEIGHT 0.1 /* of the newest observation */

static struct metric breaker_state =
    METRIC_GAUGE("sluice_breaker_state", "0 closed, 1 half open, 2 open.", "target");

struct health_table {
    pthread_mutex_t lock;
    struct health *targets;
    struct provider_pause *providers;
    struct key_ring *rings;
};

struct health_table *health_table_create(void)
{
    struct health_table *t = calloc(1, sizeof *t);
    if (t)
        pthread_mutex_init(&t->lock, NULL);
    return t;
}

void health_table_free(struct health_table *t)
{
    if (!t)
        return;
    for (struct health *h = t->targets, *next; h; h = next) {
        next = h->next;
        pthread_mutex_destroy(&h->lock);
        free(h->name);
        free(h);
    }
    for (struct provider_pause *p = t->providers, *next; p; p = next) {
        next = p->next;
        free(p->name);
        free(p);
    }
    for (struct key_ring *k = t->rings, *next; k; k = next) {
        next = k->next;
        pthread_mutex_destroy(&k->lock);
        free(k->name);
        free(k);
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static char *join(struct str a, struct str b)
{
    struct buf name;
    buf_init(&name, 4096);
    buf_str_add(&name, a);
    buf_putc(&name, '/');
    buf_str_add(&name, b);
    return buf_take(&name, NULL);
}

static bool is_named(const struct health *h, struct str provider, struct str model)
{
    return h->name_n == provider.n + 1 + model.n && memcmp(h->name, provider.p, provider.n) == 0 &&
           h->name[provider.n] == '/' && memcmp(h->name + provider.n + 1, model.p, model.n) == 0;
}

static struct provider_pause *provider_locked(struct health_table *t, struct str name)
{
    struct provider_pause *p = t->providers;
    while (p && !str_eq(str_c(p->name), name))
        p = p->next;
    if (!p && (p = calloc(1, sizeof *p))) {
        p->name = str_dup_z(name);
        if (!p->name) {
            free(p);
            return NULL;
        }
        p->next = t->providers;
        t->providers = p;
    }
    return p;
}

static struct health *new_health_locked(struct health_table *t, struct str provider, struct str model)
{
    struct provider_pause *p = provider_locked(t, provider);
    struct health *h = p ? calloc(1, sizeof *h) : NULL;
    if (!h || !(h->name = join(provider, model))) {
        free(h);
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    h->name_n = strlen(h->name);
    h->provider = p;
    h->next = t->targets;
    t->targets = h;
    return h;
}

struct health *health_of(struct health_table *t, struct str provider, struct str model)
{
    pthread_mutex_lock(&t->lock);
    struct health *h = t->targets;
    while (h && !is_named(h, provider, model))
        h = h->next;
    if (!h)
        h = new_health_locked(t, provider, model);
    pthread_mutex_unlock(&t->lock);
    return h;
}

void health_each(struct health_table *t, void (*each)(void *arg, const struct health *h), void *arg)
{
    pthread_mutex_lock(&t->lock);
    struct health *h = t->targets; /* new ones come in front, none ever leaves */
    pthread_mutex_unlock(&t->lock);
    for (; h; h = h->next) {
        pthread_mutex_lock(&h->lock);
        each(arg, h);
        pthread_mutex_unlock(&h->lock);
    }
}

struct key_ring *key_ring_of(struct health_table *t, struct str name)
{
    pthread_mutex_lock(&t->lock);
    struct key_ring *k = t->rings;
    while (k && !str_eq(str_c(k->name), name))
        k = k->next;
    if (!k && (k = calloc(1, sizeof *k))) {
        pthread_mutex_init(&k->lock, NULL);
        k->name = str_dup_z(name);
        if (k->name) {
            k->next = t->rings;
            t->rings = k;
        } else {
            free(k);
            k = NULL;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return k;
}

/* ---- breaker ---- */

static void set_state(struct health *h, enum breaker_state state)
{
    if (h->state == state)
        return;
    static const char *const words[] = {"closed", "half open", "open"};
    log_warn("breaker", "%s: %s", h->name, words[state]);
    h->state = state;
    metric_set(metric_cell(&breaker_state, h->name), state);
}

/* How long until it may be tried; 0: now; the probe itself is not taken. */
static int64_t blocked_ns(const struct health *h, const struct config_breaker *b, int64_t now_ns)
{
    int64_t overloaded_ns = h->provider->until_ns - now_ns;
    if (overloaded_ns > 0)
        return overloaded_ns;
    if (h->state == BREAKER_OPEN && now_ns - h->opened_ns < b->cooldown_ns)
        return b->cooldown_ns - (now_ns - h->opened_ns);
    if (h->state != BREAKER_CLOSED && h->is_probing)
        return b->cooldown_ns;
    return 0;
}

enum health_leave health_begin(struct health *h, const struct config_breaker *b, int64_t max_concurrency,
                               int64_t now_ns, int64_t *wait_ms)
{
    pthread_mutex_lock(&h->lock);
    int64_t blocked = blocked_ns(h, b, now_ns);
    bool full = max_concurrency > 0 && h->n_running >= max_concurrency;
    enum health_leave leave = blocked || full ? HEALTH_NO : HEALTH_GO;
    if (leave) {
        h->n_running++;
        if (h->state != BREAKER_CLOSED) {
            leave = HEALTH_PROBE;
            h->is_probing = true;
            set_state(h, BREAKER_HALF_OPEN);
        }
    }
    pthread_mutex_unlock(&h->lock);
    *wait_ms = blocked ? (blocked + NS_PER_MS - 1) / NS_PER_MS : full ? -1 : 0;
    return leave;
}

bool health_is_open_for_traffic(struct health *h, const struct config_breaker *b, int64_t max_concurrency,
                                int64_t now_ns)
{
    pthread_mutex_lock(&h->lock);
    bool ok = blocked_ns(h, b, now_ns) == 0 && (max_concurrency == 0 || h->n_running < max_concurrency);
    pthread_mutex_unlock(&h->lock);
    return ok;
}

static int64_t failures_max(const struct config_breaker *b)
{
    return b->failures > BREAKER_FAILURES_MAX ? BREAKER_FAILURES_MAX : b->failures;
}

/* The oldest of the last `failures` failures lies within the window. */
static bool too_many(const struct health *h, const struct config_breaker *b, int64_t now_ns)
{
    int64_t n = failures_max(b);
    if (h->n_failed < n)
        return false;
    int oldest = (int)((h->at_failed - n + BREAKER_FAILURES_MAX) % BREAKER_FAILURES_MAX);
    return now_ns - h->failed_ns[oldest] <= b->window_ns;
}

static void count_failure(struct health *h, const struct config_breaker *b, bool was_probe, int64_t now_ns)
{
    h->failed_ns[h->at_failed] = now_ns;
    h->at_failed = (h->at_failed + 1) % BREAKER_FAILURES_MAX;
    h->n_failed += h->n_failed < BREAKER_FAILURES_MAX;
    if (was_probe || too_many(h, b, now_ns)) {
        h->opened_ns = now_ns;
        set_state(h, BREAKER_OPEN);
    }
}

void health_end(struct health *h, const struct config_breaker *b, bool was_probe, bool is_success,
                bool is_failure, int64_t now_ns)
{
    pthread_mutex_lock(&h->lock);
    h->n_running--;
    if (is_success || is_failure)
        h->error_share += LEARN_WEIGHT * ((is_failure ? 1.0 : 0.0) - h->error_share);
    if (is_success && was_probe) {
        h->n_failed = 0;
        set_state(h, BREAKER_CLOSED);
    }
    if (is_failure && (was_probe || h->state == BREAKER_CLOSED))
        count_failure(h, b, was_probe, now_ns);
    if (was_probe)
        h->is_probing = false;
    pthread_mutex_unlock(&h->lock);
}

void health_pause_provider(struct health *h, int64_t until_ns)
{
    int64_t now = h->provider->until_ns;
    while (now < until_ns && !atomic_compare_exchange_weak(&h->provider->until_ns, &now, until_ns))
        ;
}

static void learn(double *v, double seen)
{
    if (seen > 0)
        *v = *v == 0 ? seen : *v + LEARN_WEIGHT * (seen - *v);
}

void health_learn(struct health *h, double first_ms, double per_token_ms)
{
    pthread_mutex_lock(&h->lock);
    learn(&h->first_ms, first_ms);
    learn(&h->per_token_ms, per_token_ms);
    pthread_mutex_unlock(&h->lock);
}

void health_warm(struct health *h, uint64_t prefix, int64_t now_ns)
{
    pthread_mutex_lock(&h->lock);
    h->warm_prefix[prefix % HEALTH_WARM_MAX] = prefix;
    h->warm_ns[prefix % HEALTH_WARM_MAX] = now_ns;
    pthread_mutex_unlock(&h->lock);
}

bool health_is_warm_locked(const struct health *h, uint64_t prefix, int64_t now_ns)
{
    uint64_t at = prefix % HEALTH_WARM_MAX;
    return h->warm_prefix[at] == prefix && h->warm_ns[at] && now_ns - h->warm_ns[at] < HEALTH_WARM_NS;
}

/* ---- API keys ---- */

/* A reload may have changed the list: a place whose key is another one starts anew. */
static void match_key(struct key_ring *k, const struct config_list *keys, int idx)
{
    uint64_t f = str_hash(keys->items[idx]);
    if (k->fingerprint[idx] == f)
        return;
    k->fingerprint[idx] = f;
    k->parked_until_ns[idx] = 0;
}

int key_ring_pick(struct key_ring *k, const struct config_list *keys, int64_t now_ns, int64_t *free_ns)
{
    int n = keys->n > HEALTH_KEYS_MAX ? HEALTH_KEYS_MAX : keys->n;
    if (n == 0)
        return 0;
    pthread_mutex_lock(&k->lock);
    int found = -1;
    *free_ns = INT64_MAX;
    for (int i = 0; i < n && found < 0; i++) {
        int idx = (int)((k->turn + (uint32_t)i) % (uint32_t)n);
        match_key(k, keys, idx);
        if (k->parked_until_ns[idx] <= now_ns)
            found = idx;
        else if (k->parked_until_ns[idx] < *free_ns)
            *free_ns = k->parked_until_ns[idx];
    }
    if (found >= 0)
        k->turn = (uint32_t)found + 1;
    pthread_mutex_unlock(&k->lock);
    return found;
}

int64_t key_ring_parked_ns(struct key_ring *k, const struct config_list *keys, int idx, int64_t now_ns)
{
    if (idx < 0 || idx >= keys->n || idx >= HEALTH_KEYS_MAX)
        return 0;
    pthread_mutex_lock(&k->lock);
    match_key(k, keys, idx);
    int64_t until = k->parked_until_ns[idx];
    pthread_mutex_unlock(&k->lock);
    return until == INT64_MAX ? INT64_MAX : until > now_ns ? until - now_ns : 0;
}

void key_ring_park(struct key_ring *k, const struct config_list *keys, int idx, int64_t until_ns)
{
    if (idx < 0 || idx >= keys->n || idx >= HEALTH_KEYS_MAX)
        return;
    pthread_mutex_lock(&k->lock);
    match_key(k, keys, idx);
    if (until_ns > k->parked_until_ns[idx])
        k->parked_until_ns[idx] = until_ns;
    pthread_mutex_unlock(&k->lock);
}
