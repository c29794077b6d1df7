/* route.c - From the name that a client asks for to the targets that are tried, in order. */
#include <stdio.h>

#include "gateway/gateway_int.h"

static enum gw_step unknown_model(struct gw_request *r)
{
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_NOT_FOUND, "model",
                   "the model '%.*s' does not exist or may not be used with this key",
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

/* A configured model, a served local one by its bare name, or PROVIDER/MODEL. */
enum gw_step phase_model(struct gw_request *r)
{
    struct str name = r->req->model;
    if (!route_may_use(r, name))
        return unknown_model(r);
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

static bool is_in_region(const struct gw_request *r, const struct config_target *t)
{
    return !r->key || r->key->def.regions.n == 0 || key_list_has(r->key->def.regions, t->region);
}

enum gw_step phase_route(struct gw_request *r)
{
    for (int i = 0; i < r->model->n_targets && r->n_route < TARGETS_MAX; i++)
        if (is_in_region(r, &r->model->targets[i]))
            r->route[r->n_route++] = &r->model->targets[i];
    if (r->n_route)
        return GW_NEXT;
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_PERMISSION, "model", "'%.*s' has no target in the regions of this key (%.*s)",
                   STR(r->model->name), STR(r->key ? r->key->def.regions : S("")));
    answer_error(r, &e);
    return GW_END;
}
