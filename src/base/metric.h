/* metric.h - Counters, gauges and histograms that anybody may touch; only obs/ exports them.
 *
 *     static struct metric requests = METRIC_COUNTER("sluice_requests_total", "Requests by status.",
 * "status"); metric_add(metric_cell(&requests, "200"), 1);
 *
 * A metric with label names has one cell per combination of label values, made on first use and
 * never freed; at most METRIC_CELLS_MAX, after which new combinations share the cell whose
 * labels are all "other" (a stranger's model names must not fill the memory).  Finding a cell
 * takes a lock: keep the pointer where it matters.  Touching a cell is an atomic operation. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define METRIC_LABELS_MAX  4
#define METRIC_BUCKETS_MAX 24
#define METRIC_CELLS_MAX   2000

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_cell {
    char *labels[METRIC_LABELS_MAX];
    _Atomic double value;                         /* counter, gauge; histogram: sum */
    _Atomic uint64_t count;                       /* histogram */
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX]; /* histogram: not cumulative */
    const struct metric *metric;
    struct metric_cell *next;
};

struct metric {
    const char *name, *help;
    enum metric_type type;
    const char *labels[METRIC_LABELS_MAX]; /* names; unused ones are NULL */
    const double *bounds;                  /* histogram: upper bounds, ascending, ended by 0 */
    struct metric_cell *cells;
    int n_cells;
    struct metric *next;
    bool is_registered;
};

#define METRIC_COUNTER(name_, help_, ...)                                                                    \
    {                                                                                                        \
        .name = (name_), .help = (help_), .type = METRIC_TYPE_COUNTER, .labels = { __VA_ARGS__ }             \
    }
#define METRIC_GAUGE(name_, help_, ...)                                                                      \
    {                                                                                                        \
        .name = (name_), .help = (help_), .type = METRIC_TYPE_GAUGE, .labels = { __VA_ARGS__ }               \
    }
#define METRIC_HISTOGRAM(name_, help_, bounds_, ...)                                                         \
    {                                                                                                        \
        .name = (name_), .help = (help_), .type = METRIC_TYPE_HISTOGRAM, .bounds = (bounds_), .labels = {    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

/* The cell for these label values (as many as the metric has names; NULL counts as "").  Never
 * NULL: without memory it is a cell that is counted but not exported. */
struct metric_cell *metric_cell_of(struct metric *m, const char *const values[METRIC_LABELS_MAX]);
#define metric_cell(m, ...) metric_cell_of((m), (const char *const[METRIC_LABELS_MAX]){__VA_ARGS__})

void metric_add(struct metric_cell *c, double by);
void metric_set(struct metric_cell *c, double value);
void metric_observe(struct metric_cell *c, double value);

/* Calls `each` for every registered metric and its cells, in order of registration, under the
 * registry's lock (do not touch metric_cell inside). */
void metric_for_each(void (*each)(const struct metric *m, void *arg), void *arg);

#endif
