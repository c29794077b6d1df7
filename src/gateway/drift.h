/* drift.h - Regression watch: does a model at a target still behave as it did last week?
 *
 * Per configured model and target four things are watched: the length of answers, the time to the
 * first token of streams, the share of failed attempts, and the cost of an attempt.  For each, sluice_drift
 * is 1 when
 *
 *     |mean of the last hour - mean of the week before it| > 3 deviations
 *
 * where the deviation is the largest of: that of the week's hourly means; what an hour with so few
 * attempts scatters by chance (the week's deviation of single attempts / sqrt(n)); 1 % of the week's mean.
 * It speaks only when there is enough to say: the last hour has DRIFT_HOUR_MIN attempts, and the
 * week DRIFT_HOURS_MIN hours that each have as many; a rise of the errors needs DRIFT_ERRORS_MIN of them.
 *
 * Kept in memory, at most DRIFT_WATCHES_MAX pairs of about 23 KB; past that the one unused for longest
 * gives way.  It begins anew with the process.  Any thread; one short lock. */
#ifndef GATEWAY_DRIFT_H
#define GATEWAY_DRIFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define DRIFT_HOUR_MIN    10
#define DRIFT_HOURS_MIN   24
#define DRIFT_ERRORS_MIN  3
#define DRIFT_WATCHES_MAX 256

enum drift_what { DRIFT_OUTPUT_TOKENS, DRIFT_FIRST_TOKEN, DRIFT_ERRORS, DRIFT_COST, DRIFT_KINDS };

/* One attempt; a negative value was not seen in it. */
struct drift_sample {
    double values[DRIFT_KINDS]; /* tokens; seconds; 0 or 1; US dollars */
};

struct drift_table;

struct drift_table *drift_table_create(void); /* NULL without memory */
void drift_table_free(struct drift_table *t); /* accepts NULL */

/* An attempt at `target` ("provider/model") for clients' `model` is over.  A pair is watched from its first
 * success on, so that names which nobody has do not fill the table.  Without memory it is not watched. */
void drift_add(struct drift_table *t, struct str model, struct str target, const struct drift_sample *s,
               int64_t now_ns);

/* Looks at all pairs and sets the metrics, at most once a minute; call it about once a second. */
void drift_tick(struct drift_table *t, int64_t now_ns);

/* For tests: what is known of a pair now; false if it is not watched. */
struct drift_view {
    bool is_drift;
    double hour_mean, week_mean, deviation;
    uint64_t hour_n, week_n;
};
bool drift_view(struct drift_table *t, struct str model, struct str target, enum drift_what what,
                int64_t now_ns, struct drift_view *out);

#endif
