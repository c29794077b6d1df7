/* attempt_sim_test.c - Random scenarios of the attempt loop, and what must hold in each of them.
 *
 * The rules are those of the contract, kept in books of their own (struct sim_target): they are
 * not taken from attempt.c.  A broken rule prints its seed; SLUICE_SIM_SEED=SEED plays that one
 * scenario again, SLUICE_SIM_COUNT says how many are played from seed 1 on.
 *
 * Start reading at play(). */
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/sim_int.h"

#define SCENARIOS        1200
#define VIOLATIONS_SHOWN 3
#define SCENARIO_MS_MAX  (2000 * 1000)
#define SLOWEST_NS       (60 * NS_PER_S) /* no answer without a fault takes longer */
#define OVERLOAD_MS      2000
#define DEAD_KEY_MS      600000
#define START_NS         (1000000 * NS_PER_S)
#define START_WALL_NS    (INT64_C(1800000000) * NS_PER_S + 123456789)

/* What the ledger has to say of one request when all is over. */
struct expected {
    char id[REQUEST_ID_BYTES];
    int n_calls, n_succeeded;
    int64_t first_seed;
};

struct batch {
    struct gateway *gw;
    struct gw_thread *thread;
    struct loop *loop;
    struct expected *expected;
    int n_expected;
    int64_t spent_nano[SCENARIOS + 1];
    char path[128];
};

static struct sim sim; /* large */

/* For a replay: all that happened. */
static void show(const struct sim *s)
{
    uint64_t zero = (uint64_t)(START_NS / NS_PER_MS);
    for (int i = 0; i < s->n_targets; i++) {
        const struct config_provider *p = &s->config->providers[s->targets[i].provider];
        printf("target %d of p%d (%.*s): %d keys, opens at %lld for %lld s, at most %lld at a time\n", i,
               s->targets[i].provider, STR(p->kind), p->api_keys.n, (long long)p->breaker.failures,
               (long long)(p->breaker.cooldown_ns / NS_PER_S), (long long)p->max_concurrency);
    }
    printf("strategy %d, retries %d, timeout %lld s\n", (int)s->model->strategy, (int)s->model->retries,
           (long long)(s->model->timeout_ns / NS_PER_S));
    for (int i = 0; i < s->n_calls; i++) {
        const struct sim_call *c = &s->calls[i];
        printf("call %d: client %d, target %d, key %d, %llu to %llu ms, fault %d at %d, end %d%s\n", i,
               c->client, c->target, c->key, (unsigned long long)(c->began_ms - zero),
               (unsigned long long)(c->call ? 0 : c->ended_ms - zero), c->fault, c->fault_at, c->end,
               c->is_probe ? ", probe" : "");
    }
    for (int i = 0; i < s->n_clients; i++)
        printf("client %d: from %llu ms, status %d%s%s\n", i,
               (unsigned long long)(s->clients[i].has_come ? s->clients[i].began_ms - zero : 0),
               s->clients[i].status, s->clients[i].is_stream ? ", stream" : "",
               s->clients[i].is_hung_up ? ", hung up" : "");
}

void sim_broken(struct sim *s, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (s->n_violations++ < VIOLATIONS_SHOWN)
        test_fail(__FILE__, __LINE__, "at %llu ms: %s (replay: SLUICE_SIM_SEED=%llu)",
                  (unsigned long long)(loop_now_ms(s->loop) - (uint64_t)(START_NS / NS_PER_MS)), text,
                  (unsigned long long)s->seed);
    if (getenv("SLUICE_SIM_SEED"))
        show(s);
}

static const struct config_provider *provider_of(const struct sim *s, int target)
{
    return &s->config->providers[s->targets[target].provider];
}

bool sim_has_content(const struct sim *s, int client)
{
    for (int i = 0; i < s->n_calls; i++)
        if (s->calls[i].client == client && s->calls[i].has_content)
            return true;
    return false;
}

/* ---- a call begins ---- */

static void check_budgets(struct sim *s, const struct sim_call *c)
{
    const struct sim_client *client = &s->clients[c->client];
    int keys = provider_of(s, c->target)->api_keys.n;
    int here = 0, most = (int)s->model->retries + (keys > 1 ? keys : 1);
    for (int i = 0; i < c->id; i++) {
        const struct sim_call *other = &s->calls[i];
        if (other->client != c->client)
            continue;
        if (other->call)
            sim_broken(s, "client %d has two calls at a time", c->client);
        if (other->has_content)
            sim_broken(s, "call %d follows call %d, whose content was shown", c->id, i);
        here += other->target == c->target;
    }
    if (here + 1 > most)
        sim_broken(s, "call %d is number %d at target %d, %d are allowed", c->id, here + 1, c->target, most);
    if (client->is_over)
        sim_broken(s, "call %d is for a client that has gone", c->id);
    if (s->model->timeout_ns && c->began_ms > client->began_ms + (uint64_t)(s->model->timeout_ns / NS_PER_MS))
        sim_broken(s, "call %d begins after the time of its model is over", c->id);
}

static void check_key(struct sim *s, const struct sim_call *c)
{
    const struct sim_target *t = &s->targets[c->target];
    int n = provider_of(s, c->target)->api_keys.n;
    if (t->limited_until_ms[c->key] > c->began_ms)
        sim_broken(s, "call %d uses key %d of target %d, which is limited", c->id, c->key, c->target);
    if (s->dead_until_ms[t->provider][c->key] > c->began_ms)
        for (int k = 0; k < n; k++)
            if (s->dead_until_ms[t->provider][k] <= c->began_ms && t->limited_until_ms[k] <= c->began_ms)
                sim_broken(s, "call %d uses dead key %d although key %d is alive", c->id, c->key, k);
    for (int i = 0; i < c->id; i++) {
        const struct sim_call *o = &s->calls[i];
        bool was_dead = o->fault == SIM_BILLING || o->fault == SIM_BAD_KEY;
        if (o->client == c->client && o->target == c->target && o->key == c->key && was_dead &&
            o->is_complete)
            sim_broken(s, "call %d tries a refused key again", c->id);
    }
}

static void check_breaker(struct sim *s, struct sim_call *c)
{
    struct sim_target *t = &s->targets[c->target];
    const struct config_provider *p = provider_of(s, c->target);
    uint64_t cooldown_ms = (uint64_t)(p->breaker.cooldown_ns / NS_PER_MS);
    if (t->is_open && c->began_ms - t->opened_ms < cooldown_ms)
        sim_broken(s, "call %d goes to target %d, which is open", c->id, c->target);
    if ((t->is_open || t->is_half_open) && t->is_probing)
        sim_broken(s, "call %d is a second probe of target %d", c->id, c->target);
    if (t->is_open || t->is_half_open) {
        t->is_open = false;
        t->is_half_open = t->is_probing = c->is_probe = true;
    }
    if (s->overloaded_until_ms[t->provider] > c->began_ms)
        sim_broken(s, "call %d goes to provider %d, which is overloaded", c->id, t->provider);
    t->n_running++;
    if (p->max_concurrency && t->n_running > p->max_concurrency)
        sim_broken(s, "target %d has %d calls at a time", c->target, t->n_running);
}

static void check_concurrency(struct sim *s)
{
    int n = 0;
    for (int i = 0; i < s->n_clients; i++) {
        bool runs = false;
        for (int k = 0; k < s->n_calls; k++)
            runs = runs || (s->calls[k].client == i && !s->clients[i].is_over);
        n += runs;
    }
    if (s->limits.concurrency && n > s->limits.concurrency)
        sim_broken(s, "%d requests of the key run at a time", n);
}

void sim_on_call(struct sim *s, struct sim_call *c)
{
    check_budgets(s, c);
    check_key(s, c);
    check_breaker(s, c);
    check_concurrency(s);
}

/* ---- a call ends ---- */

static enum sim_end judge(const struct sim *s, const struct sim_call *c)
{
    if (s->hanging_up == c->client)
        return SIM_CANCELLED;
    uint64_t timeout_ms = (uint64_t)(s->model->timeout_ns / NS_PER_MS);
    if (!c->is_complete && timeout_ms && c->ended_ms >= s->clients[c->client].began_ms + timeout_ms)
        return SIM_NEUTRAL;
    if (!c->is_complete)
        return SIM_FAILED;
    switch (c->fault) {
    case SIM_SERVER_ERROR:
    case SIM_OVERLOADED: return SIM_FAILED;
    case SIM_LIMITED:
    case SIM_BILLING:
    case SIM_BAD_KEY:
    case SIM_FORBIDDEN:
    case SIM_INVALID:
    case SIM_CONTEXT: return SIM_NEUTRAL;
    default: return SIM_SUCCEEDED;
    }
}

static void note_failure(struct sim_target *t, const struct config_breaker *b, const struct sim_call *c)
{
    if (t->is_open || (t->is_half_open && !c->is_probe))
        return; /* an old call tells nothing new */
    uint64_t window_ms = (uint64_t)(b->window_ns / NS_PER_MS);
    bool opens = c->is_probe;
    if (t->n_failed < SIM_FAILS_MAX)
        t->failed_ms[t->n_failed++] = c->ended_ms;
    if (t->n_failed >= b->failures && c->ended_ms - t->failed_ms[t->n_failed - b->failures] <= window_ms)
        opens = true;
    if (opens) {
        t->is_open = true;
        t->is_half_open = false;
        t->opened_ms = c->ended_ms;
    }
}

static bool has_other_provider_behind(const struct sim *s, int target)
{
    for (int i = target + 1; i < s->n_targets; i++)
        if (s->targets[i].provider != s->targets[target].provider)
            return true;
    return false;
}

void sim_on_call_end(struct sim *s, struct sim_call *c)
{
    struct sim_target *t = &s->targets[c->target];
    t->n_running--;
    c->end = judge(s, c);
    if (c->end == SIM_FAILED)
        note_failure(t, &provider_of(s, c->target)->breaker, c);
    if (c->end == SIM_SUCCEEDED && c->is_probe) {
        t->is_half_open = false;
        t->n_failed = 0;
    }
    if (c->is_probe)
        t->is_probing = false;
    if (c->end == SIM_CANCELLED || !c->is_complete)
        return;
    if (c->fault == SIM_LIMITED && c->retry_ms > 0 &&
        t->limited_until_ms[c->key] < c->ended_ms + (uint64_t)c->retry_ms)
        t->limited_until_ms[c->key] = c->ended_ms + (uint64_t)c->retry_ms;
    if (c->fault == SIM_BILLING || c->fault == SIM_BAD_KEY)
        s->dead_until_ms[t->provider][c->key] = c->ended_ms + DEAD_KEY_MS;
    if (c->fault == SIM_OVERLOADED && s->model->strategy == STRATEGY_ORDERED &&
        has_other_provider_behind(s, c->target))
        s->overloaded_until_ms[t->provider] = c->ended_ms + OVERLOAD_MS;
}

/* ---- what the client got ---- */

/* The marks of an answer, in order: all of one call.  Returns how many, *call says of which. */
static int read_marks(struct sim *s, struct sim_client *c, int *call)
{
    struct str text = buf_str(&c->got);
    int n = 0;
    *call = -1;
    for (size_t at = 0; (at = str_find_char(text, '~', at)) != STR_NONE; n++) {
        int id, piece;
        size_t end = str_find_char(text, '~', at + 1);
        char mark[32];
        snprintf(mark, sizeof mark, "%.*s", STR(str_sub(text, at + 1, end)));
        if (end == STR_NONE || sscanf(mark, "%d.%d", &id, &piece) != 2) {
            sim_broken(s, "client %d got half a mark", c->idx);
            return n;
        }
        if (*call >= 0 && id != *call)
            sim_broken(s, "client %d got a mixture of calls %d and %d", c->idx, *call, id);
        if (piece != n)
            sim_broken(s, "client %d got piece %d of call %d as number %d", c->idx, piece, id, n);
        *call = id;
        at = end + 1;
    }
    return n;
}

static bool got(const struct sim_client *c, const char *word)
{
    return c->got.n && memmem(c->got.p, c->got.n, word, strlen(word));
}

static void check_stream(struct sim *s, struct sim_client *c)
{
    int call, n = read_marks(s, c, &call);
    bool is_ended = got(c, c->is_anthropic ? "\"message_stop\"" : "data: [DONE]");
    bool has_error = got(c, "\"error\"");
    bool is_whole = call >= 0 && s->calls[call].end == SIM_SUCCEEDED && n == s->calls[call].n_pieces;
    if (c->is_hung_up)
        return;
    if (is_ended && has_error)
        sim_broken(s, "client %d got an error and a clean end", c->idx);
    if (is_ended && !is_whole)
        sim_broken(s, "client %d got a clean end of a broken stream (call %d, %d pieces)", c->idx, call, n);
    if (!is_ended && !has_error && !c->is_aborted)
        sim_broken(s, "client %d was left without an end", c->idx);
    if (is_whole && has_error)
        sim_broken(s, "client %d got an error behind a whole answer", c->idx);
}

static void check_whole(struct sim *s, struct sim_client *c)
{
    int call, n = read_marks(s, c, &call);
    if (c->is_hung_up)
        return;
    bool is_whole = call >= 0 && s->calls[call].end == SIM_SUCCEEDED && n == s->calls[call].n_pieces;
    if ((c->status == 200) != is_whole)
        sim_broken(s, "client %d got status %d with %d pieces of call %d", c->idx, c->status, n, call);
    if (c->status != 200 && !got(c, "\"error\""))
        sim_broken(s, "client %d got status %d without an error", c->idx, c->status);
}

static void check_status(struct sim *s, struct sim_client *c, const struct sim_call *last, int n_limited,
                         int n)
{
    if (c->is_hung_up || c->is_started || c->status == 200)
        return;
    int want = 502;
    if (n == 0 && !c->is_refused && c->status != 429)
        want = 503;
    else if (n_limited == n)
        want = 429;
    else if (last->is_complete && (last->fault == SIM_INVALID || last->fault == SIM_CONTEXT))
        want = c->status == 413 ? last->status : 400; /* the type that it names says so */
    if (want == 502 && (c->status == 504 || c->status == 429))
        want = c->status; /* a timeout, or nothing but limits that were seen before */
    if (last && last->fault == SIM_CONTEXT && c->status == 502)
        want = 502; /* who might have had a larger one could not be asked */
    if (c->status != want)
        sim_broken(s, "client %d got status %d, not %d", c->idx, c->status, want);
}

/* A target that never fails is always found. */
static bool has_healthy_target(const struct sim *s)
{
    for (int i = 0; i < s->n_targets; i++) {
        const struct sim_target *t = &s->targets[i];
        bool ok = t->n_faults == 1 && t->faults[0] == SIM_FINE && !provider_of(s, i)->max_concurrency &&
                  provider_of(s, i)->timeout_ns > SLOWEST_NS;
        for (int k = 0; k < s->n_targets && ok; k++)
            for (int f = 0; f < s->targets[k].n_faults; f++) {
                enum sim_fault fault = s->targets[k].faults[f];
                if (s->targets[k].provider == t->provider &&
                    (fault == SIM_OVERLOADED || fault == SIM_BILLING || fault == SIM_BAD_KEY))
                    ok = false;
            }
        if (ok)
            return true;
    }
    return false;
}

static void check_success(struct sim *s, struct sim_client *c)
{
    if (c->is_hung_up || c->is_refused || s->model->timeout_ns || !has_healthy_target(s))
        return;
    bool is_good = false;
    for (int i = 0; i < s->n_calls; i++) {
        const struct sim_call *k = &s->calls[i];
        if (k->client != c->idx)
            continue;
        if ((k->fault == SIM_INVALID && k->is_complete) || (k->has_content && k->end == SIM_FAILED))
            return;
        is_good = k->end == SIM_SUCCEEDED;
    }
    if (!is_good)
        sim_broken(s, "client %d got no answer although a target is healthy", c->idx);
}

static void check_client(struct sim *s, struct sim_client *c, struct batch *b)
{
    int n = 0, n_limited = 0, n_succeeded = 0;
    const struct sim_call *last = NULL;
    for (int i = 0; i < s->n_calls; i++)
        if (s->calls[i].client == c->idx) {
            last = &s->calls[i];
            n++;
            n_limited += last->fault == SIM_LIMITED && last->is_complete;
            n_succeeded += last->end == SIM_SUCCEEDED;
        }
    c->is_refused = n == 0 && got(c, "requests running");
    if (c->is_stream && c->is_started)
        check_stream(s, c);
    else
        check_whole(s, c);
    if (!c->is_refused)
        check_status(s, c, last, n_limited, n);
    check_success(s, c);
    if (c->is_refused)
        return;
    struct expected *e = &b->expected[b->n_expected++];
    *e = (struct expected){.n_calls = n, .n_succeeded = n_succeeded, .first_seed = (int64_t)s->seed};
    snprintf(e->id, sizeof e->id, "%s", c->id);
}

/* ---- making a scenario ---- */

static void make_providers(struct sim *s)
{
    struct config *c = s->config;
    static const int64_t cooldowns_s[] = {1, 5, 15};
    c->n_providers = s->n_providers = 1 + (int)rng_below(&s->rng, SIM_PROVIDERS_MAX);
    c->providers = arena_new_array(&c->arena, struct config_provider, (size_t)c->n_providers);
    for (int i = 0; i < c->n_providers; i++) {
        struct config_provider *p = &c->providers[i];
        *p = (struct config_provider){.name = arena_printf(&c->arena, "p%d", i),
                                      .kind = rng_below(&s->rng, 2) ? S("anthropic") : S("openai"),
                                      .base_url = arena_printf(&c->arena, "http://p%d.test/v1", i),
                                      .connect_timeout_ns = 2 * NS_PER_S,
                                      .first_token_timeout_ns = 20 * NS_PER_S,
                                      .timeout_ns = (rng_below(&s->rng, 4) ? 120 : 3) * NS_PER_S,
                                      .idle_timeout_ns = 5 * NS_PER_S,
                                      .max_concurrency =
                                          rng_below(&s->rng, 4) ? 0 : 1 + (int64_t)rng_below(&s->rng, 2),
                                      .breaker = {1 + (int64_t)rng_below(&s->rng, 5), 30 * NS_PER_S,
                                                  cooldowns_s[rng_below(&s->rng, 3)] * NS_PER_S}};
        p->api_keys.n = 1 + (int)rng_below(&s->rng, SIM_KEYS_MAX);
        p->api_keys.items = arena_new_array(&c->arena, struct str, SIM_KEYS_MAX);
        for (int k = 0; k < p->api_keys.n; k++)
            p->api_keys.items[k] = arena_printf(&c->arena, "secret-%d-of-p%d", k, i);
    }
}

static void make_target(struct sim *s, struct config_target *def, int idx)
{
    struct sim_target *t = &s->targets[idx];
    t->provider = (int)rng_below(&s->rng, (uint64_t)s->n_providers);
    *def = (struct config_target){.provider = s->config->providers[t->provider].name,
                                  .provider_idx = t->provider,
                                  .model = arena_printf(&s->config->arena, "t%d", idx),
                                  .weight = (int64_t)rng_below(&s->rng, 4),
                                  .price = {1000000, 500000, 2000000, 1000000, 1000000}};
    t->def = def;
    t->n_faults = 1 + (int)rng_below(&s->rng, SIM_FAULTS_MAX);
    for (int i = 0; i < t->n_faults; i++)
        t->faults[i] = rng_below(&s->rng, 3) ? (enum sim_fault)rng_below(&s->rng, SIM_FAULTS) : SIM_FINE;
}

static void make_config(struct sim *s, const struct config *base)
{
    struct config *c = s->config = calloc(1, sizeof *c);
    arena_init(&c->arena, (size_t)1 << 20);
    c->refs = 1;
    c->auth = AUTH_KEYS;
    c->state = base->state;
    c->limits = (struct config_limits){.budget_nano = -1};
    make_providers(s);
    struct config_model *m = c->models = arena_new(&c->arena, struct config_model);
    s->model = m;
    c->n_models = 1;
    *m = (struct config_model){
        .name = S("chat"),
        .strategy = rng_below(&s->rng, 3) ? STRATEGY_ORDERED : (int64_t)rng_below(&s->rng, 5),
        .retries = (int64_t)rng_below(&s->rng, 4),
        .queue_timeout_ns = (int64_t)rng_below(&s->rng, 6) * NS_PER_S,
        .timeout_ns = rng_below(&s->rng, 3) ? 0 : (1 + (int64_t)rng_below(&s->rng, 8)) * NS_PER_S,
        .sticky = rng_below(&s->rng, 2)};
    m->n_targets = s->n_targets = 1 + (int)rng_below(&s->rng, SIM_TARGETS_MAX);
    m->targets = arena_new_array(&c->arena, struct config_target, (size_t)m->n_targets);
    for (int i = 0; i < m->n_targets; i++)
        make_target(s, &m->targets[i], i);
}

static struct key_def make_key(struct sim *s)
{
    struct key_def d = {.name = S("k"), .user = S("u"), .priority = KEY_NORMAL};
    snprintf(d.id, sizeof d.id, "key_%d", (int)s->seed);
    key_hash(S("sk-sluice-sim"), d.hash);
    s->limits =
        (struct config_limits){.budget_nano = 1000 * NANO_PER_USD,
                               .tpm = 1000000,
                               .concurrency = rng_below(&s->rng, 3) ? 0 : 1 + (int64_t)rng_below(&s->rng, 3)};
    d.limits = s->limits;
    return d;
}

/* ---- playing it ---- */

static void has_no_runner(void *arg, const struct health *h)
{
    if (h->n_running != 0 || h->is_probing)
        sim_broken(arg, "%s keeps %d requests for ever", h->name, h->n_running);
}

static void check_end(struct sim *s, struct batch *b)
{
    for (int i = 0; i < s->n_clients; i++)
        check_client(s, &s->clients[i], b);
    if (s->n_running || gw_thread_n_running(s->thread))
        sim_broken(s, "%d calls and %d requests are left over", s->n_running, gw_thread_n_running(s->thread));
    health_each(s->gw->health, has_no_runner, s);
    struct gw_key *key = key_find(ledger_keys(s->gw->ledger), S("sk-sluice-sim"));
    if (!key)
        return;
    const struct limit_counts *l = &key->limit->counts;
    if (l->n_running || l->reserved_nano || l->reserved_tokens)
        sim_broken(s, "the key keeps %lld requests, %lld nano, %lld tokens reserved", (long long)l->n_running,
                   (long long)l->reserved_nano, (long long)l->reserved_tokens);
    b->spent_nano[s->seed <= SCENARIOS ? s->seed : 0] = l->spent_nano;
    key_release(ledger_keys(s->gw->ledger), key);
}

static bool has_unfinished(const struct sim *s)
{
    for (int i = 0; i < s->n_clients; i++)
        if (!s->clients[i].is_over)
            return true;
    return gw_thread_n_running(s->thread) > 0;
}

static bool play(struct batch *b, const struct config *base, uint64_t seed)
{
    struct sim *s = &sim;
    *s = (struct sim){.seed = seed,
                      .rng = rng_seeded(seed * UINT64_C(0x9e3779b97f4a7c15)),
                      .gw = b->gw,
                      .thread = b->thread,
                      .loop = b->loop,
                      .hanging_up = -1};
    clock_fake(START_NS, START_WALL_NS);
    sim_script_init(s);
    make_config(s, base);
    gateway_set_config(b->gw, s->config);
    struct key_def key = make_key(s);
    key_table_load(ledger_keys(b->gw->ledger), &key, 1);
    b->gw->health = health_table_create();
    struct http_client_options o = {.script = &s->script};
    b->thread->client = http_client_create(b->loop, &o, NULL);
    b->thread->rng = rng_seeded(seed);
    b->thread->next_id = seed << 20;
    timer_start(&b->thread->checkpoint, 1000);
    s->n_clients = 1 + (int)rng_below(&s->rng, SIM_CLIENTS_MAX);
    for (int i = 0; i < s->n_clients; i++)
        sim_client_init(s, i, 1 + rng_below(&s->rng, rng_below(&s->rng, 8) ? 20000 : 650000));
    uint64_t end_ms = loop_now_ms(s->loop) + SCENARIO_MS_MAX;
    while (has_unfinished(s) && loop_now_ms(s->loop) < end_ms && s->n_violations == 0)
        loop_simulate(s->loop);
    if (loop_now_ms(s->loop) >= end_ms)
        sim_broken(s, "it does not come to an end");
    if (s->n_violations == 0)
        check_end(s, b);
    if (s->n_violations)
        return false;
    for (int i = 0; i < s->n_clients; i++)
        sim_client_deinit(&s->clients[i]);
    http_client_free(b->thread->client);
    timer_stop(&b->thread->checkpoint);
    loop_simulate(s->loop);
    health_table_free(b->gw->health);
    b->gw->health = NULL;
    config_drop(s->config);
    return true;
}

/* ---- the ledger, when all is over ---- */

static int64_t ask_number(sqlite3 *db, const char *question, const char *text)
{
    sqlite3_stmt *q = NULL;
    int64_t n = -1;
    if (sqlite3_prepare_v2(db, question, -1, &q, NULL) == SQLITE_OK) {
        sqlite3_bind_text(q, 1, text, -1, SQLITE_STATIC);
        if (sqlite3_step(q) == SQLITE_ROW)
            n = sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    return n;
}

static void check_ledger(const struct batch *b, uint64_t first, uint64_t last)
{
    sqlite3 *db = NULL;
    int wrong = 0;
    REQUIRE(sqlite3_open(b->path, &db) == SQLITE_OK);
    CHECK_INT(ask_number(db, "SELECT COUNT(*) FROM requests WHERE ?1 = ''", ""), b->n_expected);
    CHECK_INT(ask_number(db, "SELECT COUNT(*) FROM open_requests WHERE ?1 = ''", ""), 0);
    for (int i = 0; i < b->n_expected && wrong < VIOLATIONS_SHOWN; i++) {
        const struct expected *e = &b->expected[i];
        int64_t requests = ask_number(db, "SELECT COUNT(*) FROM requests WHERE id = ?1", e->id);
        int64_t calls = ask_number(db, "SELECT COUNT(*) FROM attempts WHERE request_id = ?1", e->id);
        int64_t ok =
            ask_number(db, "SELECT COUNT(*) FROM attempts WHERE request_id = ?1 AND outcome = 'ok'", e->id);
        if (requests == 1 && calls == e->n_calls && ok == e->n_succeeded)
            continue;
        wrong++;
        test_fail(__FILE__, __LINE__,
                  "seed %lld, %s: %lld rows, %lld attempts, %lld of them ok; there were %d and %d",
                  (long long)e->first_seed, e->id, (long long)requests, (long long)calls, (long long)ok,
                  e->n_calls, e->n_succeeded);
    }
    for (uint64_t seed = first; seed <= last && seed <= SCENARIOS; seed++) {
        char id[KEY_ID_BYTES];
        snprintf(id, sizeof id, "key_%d", (int)seed);
        int64_t cost =
            ask_number(db, "SELECT COALESCE(SUM(cost_nano), 0) FROM attempts WHERE key_id = ?1", id);
        if (cost != b->spent_nano[seed])
            test_fail(__FILE__, __LINE__, "seed %d: the ledger has %lld nano-dollars, the key paid %lld",
                      (int)seed, (long long)cost, (long long)b->spent_nano[seed]);
    }
    sqlite3_close(db);
}

static bool has_no_model(void *arg, struct str model)
{
    (void)arg;
    (void)model;
    return false;
}

static void open_batch(struct batch *b, struct config *base, const struct local_engine *local)
{
    struct err err = {0};
    struct gateway_options o = {.config = base, .local = local, .n_threads = 1};
    b->loop = loop_create(&err);
    loop_simulate(b->loop);
    b->gw = gateway_create(&o, &err);
    REQUIRE(b->gw != NULL);
    b->thread = gw_thread_create(b->gw, b->loop, 0, &err);
    REQUIRE(b->thread != NULL);
    http_client_free(b->thread->client); /* each scenario brings its own, and its own health */
    timer_stop(&b->thread->checkpoint);
    health_table_free(b->gw->health);
    b->gw->health = NULL;
}

TEST(every_scenario_of_the_attempt_loop_keeps_the_rules)
{
    static struct batch b;
    char dir[] = "/tmp/sluice-sim-XXXXXX", command[64];
    const char *one = getenv("SLUICE_SIM_SEED"), *many = getenv("SLUICE_SIM_COUNT");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t last = one ? first : many ? strtoull(many, NULL, 10) : SCENARIOS;
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(b.path, sizeof b.path, "%s/state.db", dir);
    struct config *base = calloc(1, sizeof *base);
    REQUIRE(base != NULL);
    arena_init(&base->arena, 65536);
    base->refs = 1;
    base->state = arena_printf(&base->arena, "sqlite:%s", b.path);
    base->limits.budget_nano = -1;
    b.expected = calloc((size_t)(last - first + 1) * SIM_CLIENTS_MAX, sizeof *b.expected);
    REQUIRE(b.expected != NULL);
    struct local_engine local = {.has_model = has_no_model};
    clock_fake(START_NS, START_WALL_NS);
    open_batch(&b, base, &local);
    for (uint64_t seed = first; seed <= last; seed++)
        if (!play(&b, base, seed))
            test_stop(); /* what is half played cannot be cleared away */
    b.gw->health = health_table_create();
    struct http_client_options o = {0};
    b.thread->client = http_client_create(b.loop, &o, NULL);
    gw_thread_free(b.thread);
    gateway_set_config(b.gw, base);
    gateway_free(b.gw);
    loop_free(b.loop);
    clock_real();
    check_ledger(&b, first, last);
    config_drop(base);
    free(b.expected);
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_INT(system(command), 0);
}
