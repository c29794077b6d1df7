/* pool.h - The vector of a text, gathered from the hidden states of its tokens.
 *
 * Hidden states come step by step, however the text was cut.  Sums are float64 and taken in the order of the
 * tokens, so the vector depends on the text alone, bit for bit.
 *
 * Memory is the request's arena; pool_add and pool_finish allocate nothing.  Engine thread only. */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/model.h"

struct pool {
    enum model_pooling pooling;
    int32_t n_embd, n_out; /* numbers of a hidden state; of the vector, at most as many */
    int64_t n_tokens;      /* of the text */
    int64_t n_seen;        /* hidden states of its first tokens that need not come (again) */
    double *sum;           /* [n_embd] */
    float *vector;         /* [n_out] */
};

/* For a text of n_tokens.  `dimensions` 0: all of n_embd; fewer: the first ones, of length one by themselves
 * (Matryoshka).  ERR_ARG for more than there are, ERR_UNSUPPORTED for a model that is not pooled into one
 * vector, ERR_NOMEM. */
int pool_init(struct pool *p, struct arena *a, enum model_pooling pooling, int32_t n_embd, int32_t dimensions,
              int64_t n_tokens, struct err *err);

/* Can the vector be had without the hidden states of the text's beginning? */
bool pool_skips_beginning(enum model_pooling pooling);
/* Is the hidden state of the token at `pos` needed (still)? */
bool pool_wants(const struct pool *p, int64_t pos);
/* Hidden state [n_embd] of the token at `pos`, in ascending order, of those that are wanted. */
void pool_add(struct pool *p, int64_t pos, const float *hidden);
/* All were added: the vector of length one, or NULL where the model computed no numbers.  The vector of
 * zeros, which has no direction, stays as it is. */
const float *pool_finish(struct pool *p);

#endif
