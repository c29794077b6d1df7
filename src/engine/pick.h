/* pick.h - Choose a token from a row of logits: temperature, top_k, top_p, min_p, and a number.
 *
 * Every filter keeps the most likely tokens and cuts off the rest, so together they are one cut.
 *     top_k: the k most likely
 *     top_p: the shortest list of most likely tokens with a probability of at least top_p in all
 *     min_p: those with at least min_p times the probability of the most likely
 * top_p counts on what top_k left; ties are kept by lower id.  Temperature acts before the
 * filters (is_temperature_last false, as Hugging Face) or behind them (as llama.cpp).
 *
 * The result is a function of the logits, the parameters and `unit`, nothing else. */
#ifndef ENGINE_PICK_H
#define ENGINE_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kernel/logits.h"

struct pick_params {
    float temperature; /* 0: the most likely token */
    int32_t top_k;     /* 0: off */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    bool is_temperature_last;
};

/* Work memory for rows of up to n tokens.  Owner: one thread at a time. */
struct pick {
    const struct logits_ops *ops;
    int32_t n_max;
    float *e;
    float *block_max;
    double *block_sum;
    uint64_t *keys;
    int32_t *ids;
};

int pick_init(struct pick *p, const struct logits_ops *ops, int32_t n_max, struct err *err);
void pick_deinit(struct pick *p);

#define PICK_NONE (-1)

/* The token, or PICK_NONE if no logit is a number above -inf.  `unit` is in [0, 1).
 * x[n] may be changed. */
int32_t pick_token(struct pick *p, float *x, int32_t n, const struct pick_params *params, double unit);

/* The k most likely tokens, best first; returns their number (fewer where logits are -inf). */
int32_t pick_top(struct pick *p, const float *x, int32_t n, int32_t k, int32_t *ids);

/* ln sum exp(x[i]); -inf for a row without numbers. */
double pick_log_sum(struct pick *p, const float *x, int32_t n);

#endif
