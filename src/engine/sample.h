/* sample.h - The next token of one sequence: from logits to a token with its log-probability.
 *
 * In this order: log-probabilities of the raw row; constraint mask; end tokens forbidden before
 * min_tokens; logit_bias; repetition, frequency and presence penalties; then pick.h (temperature,
 * top_k, top_p, min_p, draw).  The random number is a function of (seed, choice, position) only.
 *
 *     repetition r:  logit > 0 ? logit / r : logit * r   for tokens in the window
 *     frequency f, presence p:  logit - n f - (n > 0) p  with n occurrences in the answer
 *
 * Owner: the engine thread.  Nothing here allocates after init. */
#ifndef ENGINE_SAMPLE_H
#define ENGINE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/constraint.h"
#include "engine/pick.h"
#include "engine/seen.h"
#include "sluice.h"

/* Work memory, shared by all samplers of an engine. */
struct sample_work {
    struct pick pick;
    float *raw;        /* the row as it came, where log-probabilities are wanted */
    uint32_t *allowed; /* bits of the constraint's mask */
};

int sample_work_init(struct sample_work *w, const struct logits_ops *ops, int32_t n_vocab, struct err *err);
void sample_work_deinit(struct sample_work *w);

struct sampler {
    struct pick_params pick;
    uint64_t seed;
    uint32_t choice;
    float repeat_penalty, presence_penalty, frequency_penalty;
    int32_t repeat_last_n; /* negative: all */
    bool has_penalties;
    struct seen seen; /* with has_penalties */
    const struct sluice_logit_bias *bias;
    size_t n_bias;
    int32_t n_logprobs;                   /* negative: none */
    struct engine_constraint *constraint; /* or NULL; the sequence's own */
};

/* `bias` is copied into the arena.  ERR_ARG for a value out of its range (sluice.h) or a biased
 * token outside the vocabulary; ERR_NOMEM. */
int sampler_init(struct sampler *s, struct arena *arena, const struct sluice_sampling *sampling,
                 int32_t n_vocab, int64_t n_tokens_max, struct err *err);

/* tokens[n_tokens - 1] has been added to the sequence; is_answer: it was sampled. */
void sampler_add(struct sampler *s, const int32_t *tokens, int64_t n_tokens, bool is_answer);

struct sampled {
    int32_t token; /* PICK_NONE: no token is possible */
    float logprob;
    int32_t n_top;
    struct sluice_top top[SLUICE_TOP_LOGPROBS_MAX];
};

/* The token at `position` of the sequence.  x[n_vocab] is changed.  `forbidden`: tokens that must
 * not come now. */
void sampler_choose(const struct sampler *s, struct sample_work *w, float *x, int32_t n_vocab,
                    int64_t position, const int32_t *forbidden, size_t n_forbidden, struct sampled *out);

/* What a smaller model's row x[n_vocab] would give at `position`, with the same random number, bias and
 * penalties (as they stand): where both models agree nearly, they then mostly draw the same token. */
int32_t sampler_guess(const struct sampler *s, struct pick *p, float *x, int32_t n_vocab, int64_t position);

/* Log-probabilities of a row for a token that is known (prompt_logprobs). */
void sample_logprobs(struct sample_work *w, const float *x, int32_t n_vocab, int32_t token, int32_t n_top,
                     struct sampled *out);

#endif
