/* pool.c - The vector of a text, gathered from the hidden states of its tokens. */
#include "engine/pool.h"

#include <math.h>
#include <string.h>

static int check_pooling(enum model_pooling pooling, struct err *err)
{
    if (pooling == MODEL_POOL_NONE)
        return fail(err, ERR_UNSUPPORTED,
                    "this model makes a vector per token and none per text (pooling_type 0, none)");
    if (pooling == MODEL_POOL_RANK)
        return fail(err, ERR_UNSUPPORTED,
                    "this model scores pairs of texts and makes no vectors (pooling_type 4, rank)");
    return OK;
}

int pool_init(struct pool *p, struct arena *a, enum model_pooling pooling, int32_t n_embd, int32_t dimensions,
              int64_t n_tokens, struct err *err)
{
    int rc = check_pooling(pooling, err);
    if (rc != OK)
        return rc;
    if (dimensions < 0 || dimensions > n_embd)
        return fail(err, ERR_ARG, "dimensions is %d; the model's vectors have %d numbers", dimensions,
                    n_embd);
    *p = (struct pool){.pooling = pooling,
                       .n_embd = n_embd,
                       .n_out = dimensions ? dimensions : n_embd,
                       .n_tokens = n_tokens};
    p->sum = arena_new_array(a, double, (size_t)n_embd);
    p->vector = arena_new_array(a, float, (size_t)p->n_out);
    if (!p->sum || !p->vector)
        return fail(err, ERR_NOMEM, "no memory for the request");
    memset(p->sum, 0, (size_t)n_embd * sizeof *p->sum);
    return OK;
}

bool pool_skips_beginning(enum model_pooling pooling)
{
    return pooling == MODEL_POOL_LAST;
}

bool pool_wants(const struct pool *p, int64_t pos)
{
    switch (p->pooling) {
    case MODEL_POOL_MEAN: return pos >= p->n_seen;
    case MODEL_POOL_CLS: return pos == 0 && p->n_seen == 0;
    default: return pos == p->n_tokens - 1;
    }
}

void pool_add(struct pool *p, int64_t pos, const float *hidden)
{
    for (int32_t i = 0; i < p->n_embd; i++)
        p->sum[i] += (double)hidden[i];
    p->n_seen = pos + 1;
}

const float *pool_finish(struct pool *p)
{
    double squares = 0;
    for (int32_t i = 0; i < p->n_out; i++) /* a mean differs from its sum by the length only */
        squares += p->sum[i] * p->sum[i];
    if (!isfinite(squares))
        return NULL;
    double length = squares > 0 ? sqrt(squares) : 1;
    for (int32_t i = 0; i < p->n_out; i++)
        p->vector[i] = (float)(p->sum[i] / length);
    return p->vector;
}
