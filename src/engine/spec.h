/* spec.h - Guess the next tokens of sequences, so that one step can check several of each.
 *
 * Guessing never changes an answer: the target samples at every position as it would have, and
 * guesses only decide whether the next position was computed in the same step already.  So
 * penalties, stop strings, log-probabilities and grammars need nothing special.
 *
 * Two drafters: the text itself (spec_lookup: what followed the last tokens when they occurred
 * before), and a smaller model of the same vocabulary (spec_model.c).  How many guesses are made
 * is decided by what they cost (cost.h) and how often they were right lately: where guessing
 * does not pay it stops by itself, and tries again from time to time.
 *
 * Owner: the engine thread. */
#ifndef ENGINE_SPEC_H
#define ENGINE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/compute.h"
#include "engine/cost.h"
#include "engine/seq.h"

/* What followed the longest earlier occurrence of the end of tokens[n]; the latest of equally long
 * ones.  Writes at most draft_max guesses, returns their number. */
int32_t spec_lookup(const int32_t *tokens, int64_t n, int32_t *draft, int32_t draft_max);

/* How many of `most` guesses of one sequence pay in a step of `base`, in which n_streams
 * sequences get a token each anyway.  `luck` is the share of guesses that are right;
 * guess_us what making one costs. */
int32_t spec_worth(const struct cost *cost, struct cost_step base, int32_t n_streams, double luck,
                   double guess_us, int32_t most);

/* Microseconds that guessing saved in a step `with` n_drafts guesses for n_streams decoding sequences, of
 * which n_right were right, when making them took guess_us: the steps that would have given the same
 * tokens, less what the guesses cost.  Negative: it lost.  An estimate of the cost model. */
double spec_saved_us(const struct cost *cost, struct cost_step with, int32_t n_streams, int64_t n_drafts,
                     int64_t n_right, double guess_us);

/* A guess was checked. */
void spec_learn(struct seq *s, bool is_right);

/* ---- a draft model ---- */

struct spec_model;

/* `draft` is copied.  At most n_slots sequences are followed at a time. */
int spec_model_create(struct spec_model **out, const struct compute *draft, int32_t n_slots, struct err *err);
void spec_model_free(struct spec_model *m);
/* The sequence is gone or has lost its place in the batch. */
void spec_model_forget(struct spec_model *m, const struct seq *s);
/* Guess for each of seqs[n] up to wanted[i] tokens into its draft.  A sequence whose text the draft
 * model has not read yet is read on a little and gets no guesses.  False: the draft model failed, and
 * nothing was guessed. */
bool spec_model_guess(struct spec_model *m, struct seq **seqs, const int32_t *wanted, int32_t n);
/* Microseconds that one round of guesses takes. */
double spec_model_round_us(const struct spec_model *m);

/* ---- all together ---- */

/* Set draft and n_draft of the decoding sequences seqs[n].  `model` may be NULL. */
void spec_draft(struct spec_model *model, const struct cost *cost, struct seq **seqs, int32_t n,
                int32_t draft_max);

#endif
