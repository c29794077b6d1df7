/* cost.c - How long will a step take?  A model of step time, learned from the steps before. */
#include "engine/cost.h"

#include <math.h>

#define LEARN_RATE     0.25
#define KEYS_UNIT      8192.0 /* scales the features of the fit to about 1 */
#define LOGITS_UNIT    4.0
#define OUTLIER_FACTOR 3.0 /* a step that took longer than this was interrupted: learn less of it */
#define ROWS_FIRST     16  /* rows to try when nothing is known */

/* Position of `rows` in the table: knots k and k + 1 with the weight of the second. */
static int knot_of(int64_t rows, double *weight)
{
    int k = 0;
    while (k + 2 < COST_KNOTS && rows >= (int64_t)2 << k)
        k++;
    double low = (double)((int64_t)1 << k);
    *weight = ((double)rows - low) / low;
    if (*weight < 0)
        *weight = 0;
    return k;
}

/* T at a knot; where nothing was measured, what the neighbours say: proportional to the rows
 * above all experience, flat below it, straight between. */
static double row_us_at(const struct cost *c, int k)
{
    if (c->known[k])
        return c->row_us[k];
    int low = k, high = k;
    while (low >= 0 && !c->known[low])
        low--;
    while (high < COST_KNOTS && !c->known[high])
        high++;
    if (low < 0 && high == COST_KNOTS)
        return 0;
    if (low < 0)
        return c->row_us[high];
    if (high == COST_KNOTS)
        return c->row_us[low] * (double)((int64_t)1 << (k - low));
    double span = (double)(((int64_t)1 << high) - ((int64_t)1 << low));
    double part = (double)(((int64_t)1 << k) - ((int64_t)1 << low)) / span;
    return c->row_us[low] + part * (c->row_us[high] - c->row_us[low]);
}

double cost_predict_us(const struct cost *c, struct cost_step s)
{
    double w;
    int k = knot_of(s.n_rows, &w);
    double t = (1 - w) * row_us_at(c, k) + w * row_us_at(c, k + 1);
    return t + c->logit_us * (double)s.n_logits + c->key_us * (double)s.n_keys;
}

static double at_least_zero(double x)
{
    return x > 0 ? x : 0;
}

/* A first measurement of t at `rows`: knots that nobody has seen yet lie on the line from there through
 * nothing, since time grows at most like the rows, but not below what fewer rows take or above what more rows
 * take. */
static void learn_first(struct cost *c, int k, int64_t rows, double t)
{
    if (c->known[k])
        return;
    int low = k, high = k;
    while (low >= 0 && !c->known[low])
        low--;
    while (high < COST_KNOTS && !c->known[high])
        high++;
    t = t * (double)((int64_t)1 << k) / (double)rows;
    if (high < COST_KNOTS && t > c->row_us[high])
        t = c->row_us[high];
    if (low >= 0 && t < c->row_us[low])
        t = c->row_us[low];
    c->row_us[k] = t;
    c->known[k] = true;
}

void cost_learn(struct cost *c, struct cost_step s, double measured_us)
{
    double w;
    int k = knot_of(s.n_rows, &w);
    double linear_us = c->logit_us * (double)s.n_logits + c->key_us * (double)s.n_keys;
    bool is_new = !c->known[k] || (w > 0 && !c->known[k + 1]);

    if (w < 1)
        learn_first(c, k, s.n_rows, at_least_zero(measured_us - linear_us));
    if (w > 0)
        learn_first(c, k + 1, s.n_rows, at_least_zero(measured_us - linear_us));

    double predicted = cost_predict_us(c, s);
    double wrong = measured_us - predicted;
    if (!is_new && predicted > 0 && wrong > (OUTLIER_FACTOR - 1) * predicted)
        wrong = (OUTLIER_FACTOR - 1) * predicted;

    double f_low = 1 - w, f_high = w;
    double f_logit = (double)s.n_logits / LOGITS_UNIT, f_key = (double)s.n_keys / KEYS_UNIT;
    /* A new knot has no experience to protect: it takes the whole difference at once. */
    if (is_new)
        f_logit = f_key = 0;
    double norm = f_low * f_low + f_high * f_high + f_logit * f_logit + f_key * f_key;
    double step = (is_new ? 1 : LEARN_RATE) * wrong / norm;
    c->row_us[k] = at_least_zero(c->row_us[k] + step * f_low);
    c->row_us[k + 1] = at_least_zero(c->row_us[k + 1] + step * f_high);
    c->logit_us = at_least_zero(c->logit_us + step * f_logit / LOGITS_UNIT);
    c->key_us = at_least_zero(c->key_us + step * f_key / KEYS_UNIT);
}

/* Keys that rows at positions pos .. pos + n - 1 see. */
static int64_t keys_of(int64_t pos, int64_t n)
{
    return n * pos + n * (n + 1) / 2;
}

bool cost_knows(const struct cost *c, int64_t n_rows)
{
    double w;
    int k = knot_of(n_rows, &w);
    return c->known[k] || c->known[k + 1];
}

int32_t cost_rows_known(const struct cost *c, int64_t base_rows)
{
    double w;
    int k = knot_of(base_rows > 0 ? base_rows : 1, &w);
    for (int i = k + 1; i < COST_KNOTS;
         i++) /* between two known sizes the straight line is rather too high */
        k = c->known[i] ? i : k;
    int64_t rows = ((int64_t)2 << k) - base_rows;
    return rows > ROWS_FIRST ? (int32_t)rows : ROWS_FIRST;
}

int32_t cost_rows_for(const struct cost *c, struct cost_step base, int64_t pos, double budget_us,
                      int32_t rows_max)
{
    double limit = cost_predict_us(c, base) + budget_us;
    int32_t low = 1, high = rows_max;

    while (low < high) { /* the largest count that stays below the limit; time grows with rows */
        int32_t n = low + (high - low + 1) / 2;
        struct cost_step s = {base.n_rows + n, base.n_logits, base.n_keys + keys_of(pos, n)};
        if (cost_predict_us(c, s) <= limit)
            low = n;
        else
            high = n - 1;
    }
    return low;
}
