/* config.c - Life and look-up of configurations.  See config.h. */
#include "gateway/config.h"

#include <stdlib.h>

struct config *config_hold(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void config_drop(struct config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_deinit(&c->arena);
    free(c);
}

const struct config_provider *config_find_provider(const struct config *c, struct str name)
{
    for (int i = 0; i < c->n_providers; i++)
        if (str_eq(c->providers[i].name, name))
            return &c->providers[i];
    return NULL;
}

const struct config_model *config_find_model(const struct config *c, struct str name)
{
    for (int i = 0; i < c->n_models; i++)
        if (str_eq(c->models[i].name, name))
            return &c->models[i];
    return NULL;
}
