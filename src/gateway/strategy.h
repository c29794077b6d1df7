/* strategy.h - In which order the targets of a model are tried.  Pure.
 *
 * `prefix` is a hash of the beginning of the prompt: equal beginnings go to the same target where
 * the strategy leaves a choice, so that the provider's own prompt cache keeps hitting. */
#ifndef GATEWAY_STRATEGY_H
#define GATEWAY_STRATEGY_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/config.h"

struct strategy_target {
    uint64_t name_hash; /* the same in every process with the same configuration */
    int64_t weight;
    struct config_price price;                  /* complete, see price.h */
    double first_ms, per_token_ms, error_share; /* learned; 0: not yet */
    int n_running;
    bool is_warm; /* it served this prefix a moment ago: most of the input will be a cache hit */
};

struct strategy_request {
    enum config_strategy strategy;
    bool is_sticky;
    uint64_t prefix;
    uint64_t random;                     /* used where it is not sticky */
    int64_t input_tokens, output_tokens; /* expected */
};

/* Writes the order of n targets (indices) into order[n]. */
void strategy_order(const struct strategy_request *r, const struct strategy_target *targets, int n,
                    int *order);

#endif
