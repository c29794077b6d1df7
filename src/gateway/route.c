/* route.c - From the name that a client asks for to the targets that are tried, in order. */
#include <stdio.h>

#include "base/clock.h"
#include "gateway/account.h"
#include "gateway/resume.h"
#include "gateway/strategy.h"

#define PREFIX_BYTES_MAX 4096
#define PREFIX_TOOLS_MAX 64
#define OUTPUT_EXPECTED  256 /* tokens of an answer whose length nobody said */

static enum gw_step unknown_model(struct gw_request *r)
{
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_NOT_FOUND, "model", "the model '%.*s' does not exist",
                   STR(str_sub(r->req->model, 0, 100)));
    snprintf(e.code, sizeof e.code, "model_not_found");
    answer_error(r, &e);
    return GW_END;
}

static void use_direct(struct gw_request *r, int provider_idx, struct str model)
{
    const struct config_provider *p = &r->config->providers[provider_idx];
    bool is_local = str_eq(p->kind, S("local"));
    int64_t price = is_local ? 0 : -1;
    r->direct_target = (struct config_target){.provider = p->name,
                                              .provider_idx = provider_idx,
                                              .model = model,
                                              .weight = 1,
                                              .price = {price, price, price, price, price},
                                              .region = p->region};
    r->direct = (struct config_model){.name = r->req->model,
                                      .retries = 2,
                                      .queue_timeout_ns = INT64_C(5000000000),
                                      .targets = &r->direct_target,
                                      .n_targets = 1,
                                      .sticky = true};
    r->model = &r->direct;
}

static int provider_idx(const struct config *c, struct str name)
{
    const struct config_provider *p = config_find_provider(c, name);
    return p ? (int)(p - c->providers) : -1;
}

static enum gw_step forbidden_model(struct gw_request *r)
{
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_PERMISSION, "model", "the key '%.*s' may not use the model '%.*s'",
                   STR(r->key->def.name), STR(str_sub(r->req->model, 0, 100)));
    answer_error(r, &e);
    return GW_END;
}

/* Is there such a model, for keys that may use it? */
static bool is_known(const struct gw_request *r, struct str name)
{
    if (config_find_model(r->config, name) || r->gw->local->has_model(r->gw->local->arg, name))
        return true;
    size_t slash = str_find_char(name, '/', 0);
    return slash != STR_NONE && provider_idx(r->config, str_sub(name, 0, slash)) >= 0;
}

/* A configured model, a served local one by its bare name, or PROVIDER/MODEL. */
enum gw_step phase_model(struct gw_request *r)
{
    struct str name = r->req->model;
    if (!route_may_use(r, name))
        return is_known(r, name) ? forbidden_model(r) : unknown_model(r);
    r->model = config_find_model(r->config, name);
    if (r->model)
        return GW_NEXT;
    int local = provider_idx(r->config, S("local"));
    if (local >= 0 && r->gw->local->has_model(r->gw->local->arg, name)) {
        use_direct(r, local, name);
        return GW_NEXT;
    }
    size_t slash = str_find_char(name, '/', 0);
    if (slash == STR_NONE)
        return unknown_model(r);
    int provider = provider_idx(r->config, str_sub(name, 0, slash));
    struct str model = str_sub(name, slash + 1, name.n);
    if (provider < 0 || model.n == 0)
        return unknown_model(r);
    if (provider == local && !r->gw->local->has_model(r->gw->local->arg, model))
        return unknown_model(r);
    use_direct(r, provider, model);
    return GW_NEXT;
}

/* Without a list a key may use every configured model and every served one; PROVIDER/MODEL only if
 * its list names it. */
bool route_may_use(const struct gw_request *r, struct str model)
{
    if (!r->key)
        return true;
    if (r->key->def.models.n)
        return key_list_has(r->key->def.models, model);
    return config_find_model(r->config, model) || r->gw->local->has_model(r->gw->local->arg, model);
}

/* Regions are names of people's making: eu is EU. */
static bool is_in_region(const struct gw_request *r, const struct config_target *t)
{
    struct str list = r->key ? r->key->def.regions : S(""), entry;
    if (str_trim(list).n == 0)
        return true;
    while (str_split(&list, ',', &entry))
        if (str_eq_nocase(str_trim(entry), t->region))
            return true;
    return false;
}

static uint64_t hash_begin(struct str text, uint64_t h, size_t *room)
{
    struct str begin = str_sub(text, 0, *room);
    *room -= begin.n;
    return str_hash_seeded(begin, h);
}

/* Hash of what a conversation begins with: its tools, instructions and first words, as far as
 * PREFIX_BYTES_MAX goes.  That is about the shortest beginning that providers keep in their prompt caches, so
 * that questions below equal long instructions stay together, short ones are spread, and later turns follow
 * the first. */
static uint64_t prefix_of(const struct gw_request *r)
{
    const struct chat_request *q = r->req;
    uint64_t h = str_hash_seeded(r->model->name, 1);
    size_t room = PREFIX_BYTES_MAX;
    for (size_t i = 0; i < q->n_tools && i < PREFIX_TOOLS_MAX; i++)
        h = str_hash_seeded(q->tools[i].name, h);
    bool user_seen = false;
    for (size_t i = 0; i < q->n_messages && !user_seen && room; i++) {
        user_seen = q->messages[i].role == CHAT_USER;
        for (size_t k = 0; k < q->messages[i].n_parts && room; k++)
            h = hash_begin(q->messages[i].parts[k].text, h, &room);
    }
    if (q->n_prompts && room)
        h = hash_begin(q->prompts[0].text, h, &room);
    return h;
}

static void describe(const struct gw_request *r, const struct config_target *t, struct strategy_target *out)
{
    *out = (struct strategy_target){.weight = t->weight, .price = account_price(r, t)};
    out->name_hash = str_hash_seeded(t->model, str_hash_seeded(t->provider, 2));
    struct health *h = health_of(r->gw->health, t->provider, t->model);
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    out->first_ms = h->first_ms;
    out->per_token_ms = h->per_token_ms;
    out->error_share = h->error_share;
    out->n_running = h->n_running;
    out->is_warm = health_is_warm_locked(h, r->prefix, clock_now_ns());
    pthread_mutex_unlock(&h->lock);
}

static void order_route(struct gw_request *r)
{
    struct strategy_target facts[TARGETS_MAX];
    const struct config_target *unordered[TARGETS_MAX];
    int order[TARGETS_MAX];
    r->prefix = prefix_of(r);
    for (int i = 0; i < r->n_route; i++) {
        describe(r, r->route[i], &facts[i]);
        unordered[i] = r->route[i];
    }
    int64_t output = r->req->max_tokens.is_set && r->req->max_tokens.v < OUTPUT_EXPECTED
                         ? r->req->max_tokens.v
                         : OUTPUT_EXPECTED;
    struct strategy_request q = {.strategy = (enum config_strategy)r->model->strategy,
                                 .is_sticky = r->model->sticky,
                                 .prefix = r->prefix,
                                 .random = rng_next(&r->thread->rng),
                                 .input_tokens = account_estimate_input(r->req),
                                 .output_tokens = output};
    strategy_order(&q, facts, r->n_route, order);
    for (int i = 0; i < r->n_route; i++)
        r->route[i] = unordered[order[i]];
}

enum gw_step phase_route(struct gw_request *r)
{
    for (int i = 0; i < r->model->n_targets && r->n_route < TARGETS_MAX; i++)
        if (is_in_region(r, &r->model->targets[i]))
            r->route[r->n_route++] = &r->model->targets[i];
    if (r->n_route > 1 && r->model->strategy != STRATEGY_ORDERED)
        order_route(r);
    if (r->n_route) {
        resume_prepare(r);
        return GW_NEXT;
    }
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_PERMISSION, "model", "'%.*s' has no target in the regions of this key (%.*s)",
                   STR(r->model->name), STR(r->key ? r->key->def.regions : S("")));
    answer_error(r, &e);
    return GW_END;
}
