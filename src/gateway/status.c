/* status.c - What operators see of providers: the health of each target that was asked so far. */
#include "base/clock.h"
#include "base/json.h"
#include "gateway/gateway_int.h"

struct look {
    struct json_writer w;
    struct str provider;
    int64_t now_ns;
};

static void see_target(void *arg, const struct health *h)
{
    static const char *const states[] = {"closed", "half_open", "open"};
    struct look *l = arg;
    struct str name = str_c(h->name);
    size_t n = l->provider.n;
    if (name.n <= n || name.p[n] != '/' || !str_starts(name, l->provider))
        return;
    jw_begin_object(&l->w);
    jw_kv_str(&l->w, "model", str_sub(name, n + 1, name.n));
    jw_kv_z(&l->w, "breaker", states[h->state]);
    jw_kv_bool(&l->w, "overloaded", h->provider->until_ns > l->now_ns);
    jw_kv_i64(&l->w, "running", h->n_running);
    jw_kv_f64(&l->w, "error_share", h->error_share);
    jw_kv_f64(&l->w, "first_token_ms", h->first_ms);
    jw_kv_f64(&l->w, "per_token_ms", h->per_token_ms);
    jw_end_object(&l->w);
}

/* How many of its API keys may be used now. */
static int n_usable_keys(struct gateway *gw, const struct config_provider *p, int64_t now_ns)
{
    struct key_ring *ring = key_ring_of(gw->health, p->name);
    int n = 0;
    if (!ring)
        return 0;
    pthread_mutex_lock(&ring->lock);
    for (int i = 0; i < p->api_keys.n; i++)
        n += i >= HEALTH_KEYS_MAX || ring->parked_until_ns[i] <= now_ns;
    pthread_mutex_unlock(&ring->lock);
    return n;
}

void gateway_write_providers(struct gateway *gw, struct buf *out)
{
    struct config *c = gateway_config(gw);
    struct look l = {.w = json_writer(out), .now_ns = clock_now_ns()};
    jw_begin_object(&l.w);
    jw_key(&l.w, "providers");
    jw_begin_array(&l.w);
    for (int i = 0; i < c->n_providers; i++) {
        const struct config_provider *p = &c->providers[i];
        l.provider = p->name;
        jw_begin_object(&l.w);
        jw_kv_str(&l.w, "name", p->name);
        jw_kv_str(&l.w, "kind", p->kind);
        jw_kv_i64(&l.w, "api_keys", p->api_keys.n);
        jw_kv_i64(&l.w, "api_keys_usable", n_usable_keys(gw, p, l.now_ns));
        jw_key(&l.w, "targets");
        jw_begin_array(&l.w);
        health_each(gw->health, see_target, &l);
        jw_end_array(&l.w);
        jw_end_object(&l.w);
    }
    jw_end_array(&l.w);
    jw_end_object(&l.w);
    config_drop(c);
}
