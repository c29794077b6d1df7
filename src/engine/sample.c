/* sample.c - The next token of one sequence: from logits to a token with its log-probability. */
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

#define BIAS_FORBIDS (-100.0f)

int sample_work_init(struct sample_work *w, const struct logits_ops *ops, int32_t n_vocab, struct err *err)
{
    *w = (struct sample_work){0};
    int rc = pick_init(&w->pick, ops, n_vocab, err);
    if (rc != OK)
        return rc;
    w->raw = calloc((size_t)n_vocab, sizeof *w->raw);
    w->allowed = calloc((size_t)n_vocab / 32 + 1, sizeof *w->allowed);
    if (w->raw && w->allowed)
        return OK;
    sample_work_deinit(w);
    return fail(err, ERR_NOMEM, "no memory for sampling from %d tokens", n_vocab);
}

void sample_work_deinit(struct sample_work *w)
{
    pick_deinit(&w->pick);
    free(w->raw);
    free(w->allowed);
    *w = (struct sample_work){0};
}

/* ---- making a sampler ---- */

static int out_of_range(struct err *err, const char *name, double value, const char *range)
{
    return fail(err, ERR_ARG, "%s is %g; it must be %s", name, value, range);
}

static int check_ranges(const struct sluice_sampling *s, struct err *err)
{
    if (!(s->temperature >= 0 && s->temperature <= 100))
        return out_of_range(err, "temperature", (double)s->temperature, "between 0 and 100");
    if (s->top_k < 0)
        return out_of_range(err, "top_k", s->top_k, "0 (off) or more");
    if (!(s->top_p > 0 && s->top_p <= 1))
        return out_of_range(err, "top_p", (double)s->top_p, "above 0 and at most 1");
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return out_of_range(err, "min_p", (double)s->min_p, "between 0 and 1");
    if (!(s->repeat_penalty > 0 && s->repeat_penalty <= 100))
        return out_of_range(err, "repeat_penalty", (double)s->repeat_penalty, "above 0 and at most 100");
    if (!(s->presence_penalty >= -2 && s->presence_penalty <= 2))
        return out_of_range(err, "presence_penalty", (double)s->presence_penalty, "between -2 and 2");
    if (!(s->frequency_penalty >= -2 && s->frequency_penalty <= 2))
        return out_of_range(err, "frequency_penalty", (double)s->frequency_penalty, "between -2 and 2");
    if (s->order != SLUICE_ORDER_HF && s->order != SLUICE_ORDER_LLAMA)
        return out_of_range(err, "order", s->order, "SLUICE_ORDER_HF or SLUICE_ORDER_LLAMA");
    if (s->logprobs > SLUICE_TOP_LOGPROBS_MAX)
        return fail(err, ERR_ARG, "logprobs is %d; at most %d are possible", s->logprobs,
                    SLUICE_TOP_LOGPROBS_MAX);
    return OK;
}

static int copy_bias(struct sampler *s, struct arena *arena, const struct sluice_sampling *o, int32_t n_vocab,
                     struct err *err)
{
    if (o->n_logit_bias > SLUICE_LOGIT_BIAS_MAX)
        return fail(err, ERR_ARG, "logit_bias has %zu entries; at most %d are possible", o->n_logit_bias,
                    SLUICE_LOGIT_BIAS_MAX);
    struct sluice_logit_bias *bias = arena_new_array(arena, struct sluice_logit_bias, o->n_logit_bias + 1);
    if (!bias)
        return fail(err, ERR_NOMEM, "no memory for logit_bias");
    for (size_t i = 0; i < o->n_logit_bias; i++) {
        bias[i] = o->logit_bias[i];
        if (bias[i].token < 0 || bias[i].token >= n_vocab)
            return fail(err, ERR_ARG, "logit_bias names token %d; the model has tokens 0 to %d",
                        bias[i].token, n_vocab - 1);
        if (!isfinite(bias[i].bias))
            return fail(err, ERR_ARG, "logit_bias of token %d is not a finite number", bias[i].token);
    }
    s->bias = bias;
    s->n_bias = o->n_logit_bias;
    return OK;
}

int sampler_init(struct sampler *s, struct arena *arena, const struct sluice_sampling *o, int32_t n_vocab,
                 int64_t n_tokens_max, struct err *err)
{
    int rc = check_ranges(o, err);
    if (rc != OK)
        return rc;
    *s = (struct sampler){
        .pick = {o->temperature, o->top_k, o->top_p, o->min_p, o->order == SLUICE_ORDER_LLAMA},
        .seed = o->seed,
        .choice = o->choice,
        .repeat_penalty = o->repeat_penalty,
        .presence_penalty = o->presence_penalty,
        .frequency_penalty = o->frequency_penalty,
        .repeat_last_n = o->repeat_last_n,
        .n_logprobs = o->logprobs,
    };
    s->has_penalties = (o->repeat_penalty != 1 && o->repeat_last_n != 0) || o->presence_penalty != 0 ||
                       o->frequency_penalty != 0;
    if (s->has_penalties) {
        int64_t distinct = n_tokens_max < n_vocab ? n_tokens_max : n_vocab;
        if (seen_init(&s->seen, arena, (int32_t)(distinct > 0 ? distinct : 1)) != OK)
            return fail(err, ERR_NOMEM, "no memory for the penalties' counts");
    }
    return copy_bias(s, arena, o, n_vocab, err);
}

void sampler_add(struct sampler *s, const int32_t *tokens, int64_t n_tokens, bool is_answer)
{
    if (!s->has_penalties)
        return;
    struct seen_token *t = seen_get(&s->seen, tokens[n_tokens - 1]);
    t->n_window++;
    t->n_answer += is_answer;
    if (s->repeat_last_n >= 0 && n_tokens > s->repeat_last_n)
        seen_get(&s->seen, tokens[n_tokens - 1 - s->repeat_last_n])->n_window--;
}

/* ---- changing the row ---- */

static void apply_mask(float *x, int32_t n, const uint32_t *allowed)
{
    for (int32_t i = 0; i < n; i += 32) {
        uint32_t word = allowed[i / 32];
        if (word == 0xffffffffu)
            continue;
        int32_t end = i + 32 < n ? i + 32 : n;
        for (int32_t j = i; j < end; j++)
            if (!(word >> (j - i) & 1))
                x[j] = -INFINITY;
    }
}

static void apply_bias(const struct sampler *s, float *x)
{
    for (size_t i = 0; i < s->n_bias; i++) {
        float bias = s->bias[i].bias;
        x[s->bias[i].token] = bias <= BIAS_FORBIDS ? -INFINITY : x[s->bias[i].token] + bias;
    }
}

static void apply_penalties(const struct sampler *s, float *x)
{
    for (int32_t i = 0; i < s->seen.n_tokens; i++) {
        const struct seen_token *t = &s->seen.tokens[i];
        float *logit = &x[t->id];
        if (t->n_window > 0 && s->repeat_penalty != 1)
            *logit = *logit > 0 ? *logit / s->repeat_penalty : *logit * s->repeat_penalty;
        if (t->n_answer > 0)
            *logit -= (float)t->n_answer * s->frequency_penalty + s->presence_penalty;
    }
}

static void change_row(const struct sampler *s, struct sample_work *w, float *x, int32_t n,
                       const int32_t *forbidden, size_t n_forbidden)
{
    if (s->constraint) {
        memset(w->allowed, 0, ((size_t)n / 32 + 1) * sizeof *w->allowed);
        if (s->constraint->ops->mask(s->constraint, w->allowed, n))
            apply_mask(x, n, w->allowed);
    }
    for (size_t i = 0; i < n_forbidden; i++)
        if (forbidden[i] >= 0 && forbidden[i] < n)
            x[forbidden[i]] = -INFINITY;
    apply_bias(s, x);
    if (s->has_penalties)
        apply_penalties(s, x);
}

/* ---- choosing ---- */

static void top_logprobs(struct sample_work *w, const float *x, int32_t n, int32_t n_top, double log_sum,
                         struct sampled *out)
{
    int32_t ids[SLUICE_TOP_LOGPROBS_MAX];
    out->n_top = n_top > 0 ? pick_top(&w->pick, x, n, n_top, ids) : 0;
    for (int32_t i = 0; i < out->n_top; i++)
        out->top[i] = (struct sluice_top){ids[i], (float)((double)x[ids[i]] - log_sum)};
}

void sampler_choose(const struct sampler *s, struct sample_work *w, float *x, int32_t n_vocab,
                    int64_t position, const int32_t *forbidden, size_t n_forbidden, struct sampled *out)
{
    double log_sum = 0;
    *out = (struct sampled){.token = PICK_NONE, .logprob = NAN};
    if (s->n_logprobs >= 0) {
        log_sum = pick_log_sum(&w->pick, x, n_vocab);
        top_logprobs(w, x, n_vocab, s->n_logprobs, log_sum, out);
        memcpy(w->raw, x, (size_t)n_vocab * sizeof *x);
    }
    change_row(s, w, x, n_vocab, forbidden, n_forbidden);
    double unit = rand_at_unit(s->seed, s->choice, (uint64_t)position);
    out->token = pick_token(&w->pick, x, n_vocab, &s->pick, unit);
    if (s->n_logprobs >= 0 && out->token >= 0)
        out->logprob = (float)((double)w->raw[out->token] - log_sum);
}

int32_t sampler_guess(const struct sampler *s, struct pick *p, float *x, int32_t n_vocab, int64_t position)
{
    apply_bias(s, x);
    if (s->has_penalties)
        apply_penalties(s, x);
    return pick_token(p, x, n_vocab, &s->pick, rand_at_unit(s->seed, s->choice, (uint64_t)position));
}

void sample_logprobs(struct sample_work *w, const float *x, int32_t n_vocab, int32_t token, int32_t n_top,
                     struct sampled *out)
{
    double log_sum = pick_log_sum(&w->pick, x, n_vocab);
    *out = (struct sampled){.token = token, .logprob = (float)((double)x[token] - log_sum)};
    top_logprobs(w, x, n_vocab, n_top, log_sum, out);
}
