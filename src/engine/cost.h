/* cost.h - How long will a step take?  A model of step time, learned from the steps before.
 *
 *     time(rows, logits, keys) = T(rows) + c_logit * logits + c_key * keys
 *
 * rows: token rows of the batch; logits: rows whose logits are wanted; keys: (row, key) pairs that
 * attention visits.  T is a table at powers of two, straight between them: on a CPU it is flat
 * while reading the weights takes longest and steep beyond, which no line fits.  Everything is
 * learned by normalised least mean squares, so there is nothing to configure and a machine that
 * becomes slower is noticed within some steps. */
#ifndef ENGINE_COST_H
#define ENGINE_COST_H

#include <stdbool.h>
#include <stdint.h>

#define COST_KNOTS 14 /* 1, 2, 4 ... 8192 rows */

struct cost {
    double row_us[COST_KNOTS]; /* T */
    bool known[COST_KNOTS];
    double logit_us;
    double key_us;
};

struct cost_step {
    int64_t n_rows, n_logits, n_keys;
};

/* All zero is a model that knows nothing yet. */
double cost_predict_us(const struct cost *c, struct cost_step step);
void cost_learn(struct cost *c, struct cost_step step, double measured_us);

/* How many rows of a prompt, the first at position `pos`, can join the step `base` so that it
 * takes at most budget_us longer: 1 to rows_max. */
int32_t cost_rows_for(const struct cost *c, struct cost_step base, int64_t pos, double budget_us,
                      int32_t rows_max);

/* Was a step of about so many rows ever measured?  Else a prediction is only what steps of quite
 * other sizes suggest. */
bool cost_knows(const struct cost *c, int64_t n_rows);

/* How many rows can join base_rows without leaving what is known by more than a doubling (16 at
 * least): beside running streams a wrong guess then costs little and is corrected by its own
 * measurement. */
int32_t cost_rows_known(const struct cost *c, int64_t base_rows);

#endif
