/* config_check.c - Checks that look at several options at once, and values that follow from others. */
#include <string.h>

#include "gateway/providers.h"

#include "server/config_int.h"

#define DEFAULT_DB "sluice.db"

static void fault_name(struct loader *ld, int line, const char *what, struct str name)
{
    config_fault(ld->faults, ld->file, line, "there are two %s named '%.*s'", what, STR(name));
}

/* The provider `local` exists without being declared: arrays have room for one more. */
static void add_local(struct loader *ld)
{
    struct config *c = ld->config;
    if (config_find_provider(c, S("local")))
        return;
    if (!c->providers)
        c->providers = arena_new_array(&c->arena, struct config_provider, 1);
    if (!c->providers)
        return;
    c->providers[c->n_providers++] = (struct config_provider){
        .name = S("local"),
        .kind = S("local"),
        .base_url = S(""),
        .region = S("local"),
        .api_version = S(""),
        .connect_timeout_ns = INT64_C(2000000000),
        .first_token_timeout_ns = INT64_C(120000000000),
        .timeout_ns = INT64_C(3600000000000),
        .idle_timeout_ns = INT64_C(120000000000),
        .breaker = {.failures = 5, .window_ns = INT64_C(30000000000), .cooldown_ns = INT64_C(15000000000)},
    };
}

static void check_providers(struct loader *ld)
{
    struct config *c = ld->config;
    for (int i = 0; i < c->n_providers; i++) {
        const struct config_provider *p = &c->providers[i];
        if (str_find_char(p->name, '/', 0) != STR_NONE)
            config_fault(ld->faults, ld->file, p->line, "a provider's name has no '/': '%.*s'", STR(p->name));
        for (int j = 0; j < i; j++)
            if (str_eq(c->providers[j].name, p->name))
                fault_name(ld, p->line, "providers", p->name);
        if (p->base_url.n && !str_starts(p->base_url, S("http://")) &&
            !str_starts(p->base_url, S("https://")))
            config_fault(ld->faults, ld->file, p->line,
                         "the base_url of '%.*s' must begin with https:// or http://", STR(p->name));
    }
}

static void suggest_provider(struct loader *ld, const struct config_target *t)
{
    const struct config *c = ld->config;
    struct str best = S("");
    int best_distance = 4;
    for (int i = 0; i < c->n_providers; i++) {
        int d = str_distance(c->providers[i].name, t->provider);
        if (d < best_distance) {
            best_distance = d;
            best = c->providers[i].name;
        }
    }
    config_fault(ld->faults, ld->file, t->line, "there is no provider '%.*s'%s%.*s%s", STR(t->provider),
                 best.n ? ": did you mean '" : "", STR(best), best.n ? "'?" : "");
}

static void check_target(struct loader *ld, struct config_target *t)
{
    struct config *c = ld->config;
    const struct config_provider *p = config_find_provider(c, t->provider);
    if (!p) {
        suggest_provider(ld, t);
        return;
    }
    t->provider_idx = (int)(p - c->providers);
    if (!t->region.n)
        t->region = p->region;
    const struct config_price *price = &t->price;
    bool any = price->input >= 0 || price->output >= 0 || price->cached_input >= 0 ||
               price->cache_write >= 0 || price->cache_write_1h >= 0;
    if (any && !config_price_is_known(price))
        config_fault(ld->faults, ld->file, t->line, "a price needs both 'input' and 'output'");
    if (t->price.input < 0 && str_eq(p->kind, S("local")))
        t->price = (struct config_price){0, 0, 0, 0, 0}; /* our own machine: nothing is billed */
}

static void check_models(struct loader *ld)
{
    struct config *c = ld->config;
    for (int i = 0; i < c->n_models; i++) {
        struct config_model *m = &c->models[i];
        for (int j = 0; j < i; j++)
            if (str_eq(c->models[j].name, m->name))
                fault_name(ld, m->line, "models", m->name);
        if (m->n_targets == 0)
            config_fault(ld->faults, ld->file, m->line, "model '%.*s' has no targets", STR(m->name));
        int64_t weights = 0, n_prefill = 0;
        for (int t = 0; t < m->n_targets; t++) {
            check_target(ld, &m->targets[t]);
            weights += m->targets[t].weight;
            n_prefill += m->targets[t].prefill;
        }
        if (m->resume && (n_prefill == 0 || m->n_targets < 2))
            config_fault(ld->faults, ld->file, m->line,
                         "model '%.*s' has 'resume', which needs at least two targets, one of them with "
                         "'prefill: true'",
                         STR(m->name));
        if (m->strategy == STRATEGY_WEIGHTED && weights == 0 && m->n_targets)
            config_fault(ld->faults, ld->file, m->line, "model '%.*s' is weighted, but all weights are 0",
                         STR(m->name));
    }
}

/* A model made of PROVIDER/MODEL; NULL if there is no such provider. */
static const struct config_model *direct_model(struct loader *ld, struct str name)
{
    struct config *c = ld->config;
    size_t slash = str_find_char(name, '/', 0);
    const struct config_provider *p =
        slash == STR_NONE ? NULL : config_find_provider(c, str_sub(name, 0, slash));
    struct config_model *m = p && slash + 1 < name.n ? arena_new(&c->arena, struct config_model) : NULL;
    struct config_target *t = m ? arena_new(&c->arena, struct config_target) : NULL;
    if (!t)
        return NULL;
    int64_t price = str_eq(p->kind, S("local")) ? 0 : -1;
    *t = (struct config_target){.provider = p->name,
                                .provider_idx = (int)(p - c->providers),
                                .model = str_sub(name, slash + 1, name.n),
                                .weight = 1,
                                .price = {price, price, price, price, price},
                                .region = p->region};
    *m = (struct config_model){.name = name, .retries = 2, .targets = t, .n_targets = 1, .sticky = true};
    return m;
}

static void check_embedder(struct loader *ld, struct config_model *m)
{
    const struct config *c = ld->config;
    struct str name = m->cache.embedding_model;
    const struct config_model *e = config_find_model(c, name);
    e = e ? e : direct_model(ld, name);
    m->cache.embedder = e;
    if (!e) {
        config_fault(ld->faults, ld->file, m->line,
                     "model '%.*s' has the embedding_model '%.*s', which is no model of this file and no "
                     "PROVIDER/MODEL",
                     STR(m->name), STR(name));
        return;
    }
    for (int i = 0; i < e->n_targets; i++) {
        const struct config_provider *p = config_find_provider(c, e->targets[i].provider);
        const struct provider_kind *kind = p ? provider_kind_find(p->kind) : NULL;
        if (kind && kind->dialect != DIALECT_NONE &&
            !dialect_for_op(dialect_get(kind->dialect), CHAT_OP_EMBED))
            config_fault(ld->faults, ld->file, m->line,
                         "model '%.*s' has the embedding_model '%.*s', but provider '%.*s' (%.*s) makes no "
                         "embeddings",
                         STR(m->name), STR(name), STR(p->name), STR(p->kind));
    }
}

static void check_cache(struct loader *ld, struct config_model *m)
{
    bool is_semantic = m->cache.mode == CACHE_SEMANTIC, has_embedder = m->cache.embedding_model.n > 0;
    if (is_semantic && !has_embedder)
        config_fault(ld->faults, ld->file, m->line,
                     "model '%.*s' has 'cache: {mode: semantic}', which needs an embedding_model",
                     STR(m->name));
    else if (has_embedder && !is_semantic)
        config_fault(ld->faults, ld->file, m->line,
                     "model '%.*s' has an embedding_model, which needs 'mode: semantic'", STR(m->name));
    else if (is_semantic)
        check_embedder(ld, m);
}

static void check_listen(struct loader *ld)
{
    struct config *c = ld->config;
    bool all_loopback = true;
    for (int i = 0; i < c->listen.n; i++) {
        struct str at = c->listen.items[i];
        uint64_t port = 0;
        size_t colon = STR_NONE;
        for (size_t k = 0; k < at.n; k++)
            if (at.p[k] == ':')
                colon = k;
        if (colon == STR_NONE || colon == 0 || !str_to_u64(str_sub(at, colon + 1, at.n), &port) ||
            port > 65535)
            config_fault(ld->faults, ld->file, 0, "'listen' needs ADDRESS:PORT, not '%.*s'", STR(at));
        if (!config_is_loopback(at))
            all_loopback = false;
    }
    if (c->auth == AUTH_DEFAULT)
        c->auth = all_loopback ? AUTH_NONE : AUTH_KEYS;
    if (c->auth == AUTH_NONE && !all_loopback)
        config_fault(
            ld->faults, ld->file, 0,
            "'auth: none' is possible on loopback addresses only; use 'auth: keys' or listen on 127.0.0.1");
    if ((c->tls_cert.n > 0) != (c->tls_key.n > 0))
        config_fault(ld->faults, ld->file, 0, "'tls' needs both 'cert' and 'key'");
}

static void check_limits(struct loader *ld)
{
    if (ld->config->limits.per_user.budget_nano == 0)
        config_fault(ld->faults, ld->file, 0,
                     "the budget of 'limits: {per_user: ...}' must be above 0 dollars");
}

static void set_folders(struct loader *ld)
{
    struct config *c = ld->config;
    struct buf path;
    buf_init(&path, 8192);
    if (c->state.n == 0) {
        config_state_folder(ld->source->env, &path);
        c->state = arena_printf(&c->arena, "sqlite:%s/" DEFAULT_DB, buf_z(&path));
    } else if (str_starts(c->state, S("postgresql:")) || str_starts(c->state, S("postgres:"))) {
        config_fault(ld->faults, ld->file, 0, "'state: postgresql://...' is not in this version");
    } else if (!str_starts(c->state, S("sqlite:")) || c->state.n == 7) {
        config_fault(ld->faults, ld->file, 0, "'state' must be sqlite:FILE, not '%.*s'", STR(c->state));
    }
    if (c->models_dir.n == 0) {
        config_models_folder(ld->source->env, &path);
        c->models_dir = arena_str(&c->arena, buf_str(&path));
    }
    buf_deinit(&path);
}

void config_check(struct loader *ld)
{
    add_local(ld);
    check_providers(ld);
    check_models(ld);
    for (int i = 0; i < ld->config->n_models; i++)
        check_cache(ld, &ld->config->models[i]);
    check_listen(ld);
    check_limits(ld);
    set_folders(ld);
}
