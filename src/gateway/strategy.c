/* strategy.c - See strategy.h.
 *
 * Every strategy but `ordered` gives each target a score, and the lowest goes first.  Ties, and the
 * choice of `weighted`, are decided by rendezvous hashing (Thaler and Ravishankar, 1998): each
 * (prefix, target) has a fixed random number, so that a prefix stays where it is when other
 * targets come and go. */
#include "gateway/strategy.h"

#include <math.h>

#include "base/rand.h"

#define WARM_SHARE   0.9 /* of the input, expected to be read from a warm target's cache */
#define STICK_FASTER 0.8 /* another target must be this much faster to be worth a cold cache */
#define ORDER_MAX    64

static double unit_of(const struct strategy_request *r, const struct strategy_target *t)
{
    double u = rand_at_unit(r->is_sticky ? r->prefix : r->random, t->name_hash, 0);
    return u > 0 ? u : 0x1p-53;
}

/* An exponential variate with rate `weight`: the smallest of several wins in proportion to its weight. */
static double weighted(const struct strategy_request *r, const struct strategy_target *t)
{
    return t->weight > 0 ? -log(unit_of(r, t)) / (double)t->weight : INFINITY;
}

static double price_of(const struct strategy_request *r, const struct strategy_target *t)
{
    if (!config_price_is_known(&t->price))
        return INFINITY;
    double cached = t->is_warm ? WARM_SHARE * (double)r->input_tokens : 0;
    double fresh = (double)r->input_tokens - cached;
    return fresh * (double)t->price.input + cached * (double)t->price.cached_input +
           (double)r->output_tokens * (double)t->price.output;
}

/* What is not known yet counts as instant, so that it gets known; failures cost their share. */
static double time_of(const struct strategy_request *r, const struct strategy_target *t)
{
    double ms = t->first_ms + t->per_token_ms * (double)r->output_tokens;
    double share = t->error_share > 0.95 ? 0.95 : t->error_share;
    ms /= 1 - share;
    return r->is_sticky && t->is_warm ? ms * STICK_FASTER : ms;
}

static double score(const struct strategy_request *r, const struct strategy_target *t)
{
    switch (r->strategy) {
    case STRATEGY_WEIGHTED: return weighted(r, t);
    case STRATEGY_CHEAPEST: return price_of(r, t);
    case STRATEGY_FASTEST: return time_of(r, t);
    case STRATEGY_LEAST_BUSY: return t->n_running;
    default: return 0;
    }
}

void strategy_order(const struct strategy_request *r, const struct strategy_target *targets, int n,
                    int *order)
{
    double scores[ORDER_MAX], ties[ORDER_MAX];
    n = n > ORDER_MAX ? ORDER_MAX : n;
    for (int i = 0; i < n; i++) {
        scores[i] = score(r, &targets[i]);
        ties[i] = r->strategy == STRATEGY_ORDERED || targets[i].weight == 0 ? 1 + i : unit_of(r, &targets[i]);
        /* weight 0 is never a first choice, whatever the strategy but the written order. */
        if (r->strategy != STRATEGY_ORDERED && targets[i].weight == 0)
            scores[i] = INFINITY;
    }
    for (int i = 0; i < n; i++) { /* insertion sort: n is small, and equal scores keep their order */
        int at = i;
        for (; at > 0; at--) {
            int before = order[at - 1];
            bool smaller =
                scores[i] < scores[before] || (scores[i] == scores[before] && ties[i] < ties[before]);
            if (!smaller)
                break;
            order[at] = before;
        }
        order[at] = i;
    }
}
