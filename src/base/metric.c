/* metric.c - See metric.h. */
#include "base/metric.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *registry, **registry_end = &registry;

static bool same_labels(const struct metric_cell *c, const char *const values[METRIC_LABELS_MAX])
{
    for (int i = 0; i < METRIC_LABELS_MAX && c->metric->labels[i]; i++)
        if (strcmp(c->labels[i], values[i] ? values[i] : "") != 0)
            return false;
    return true;
}

static struct metric_cell *new_cell(struct metric *m, const char *const values[METRIC_LABELS_MAX])
{
    struct metric_cell *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->metric = m;
    for (int i = 0; i < METRIC_LABELS_MAX && m->labels[i]; i++) {
        c->labels[i] = strdup(values[i] ? values[i] : "");
        if (!c->labels[i]) {
            while (i-- > 0)
                free(c->labels[i]);
            free(c);
            return NULL;
        }
    }
    struct metric_cell **end = &m->cells;
    while (*end)
        end = &(*end)->next;
    *end = c;
    m->n_cells++;
    return c;
}

static struct metric_cell *find_locked(struct metric *m, const char *const values[METRIC_LABELS_MAX])
{
    for (struct metric_cell *c = m->cells; c; c = c->next)
        if (same_labels(c, values))
            return c;
    return NULL;
}

struct metric_cell *metric_cell_of(struct metric *m, const char *const values[METRIC_LABELS_MAX])
{
    static const char *const other[METRIC_LABELS_MAX] = {"other", "other", "other", "other"};
    static struct metric unexported = METRIC_COUNTER("", "");
    static struct metric_cell nowhere = {.metric = &unexported};
    pthread_mutex_lock(&lock);
    if (!m->is_registered) {
        m->is_registered = true;
        *registry_end = m;
        registry_end = &m->next;
    }
    struct metric_cell *c = find_locked(m, values);
    if (!c && m->n_cells >= METRIC_CELLS_MAX) {
        values = other;
        c = find_locked(m, values);
    }
    if (!c)
        c = new_cell(m, values);
    pthread_mutex_unlock(&lock);
    return c ? c : &nowhere;
}

void metric_add(struct metric_cell *c, double by)
{
    double old = atomic_load_explicit(&c->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&c->value, &old, old + by, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void metric_set(struct metric_cell *c, double value)
{
    atomic_store_explicit(&c->value, value, memory_order_relaxed);
}

void metric_observe(struct metric_cell *c, double value)
{
    const double *bounds = c->metric->bounds;
    int i = 0;
    while (bounds && bounds[i] > 0 && value > bounds[i] && i < METRIC_BUCKETS_MAX - 1)
        i++;
    atomic_fetch_add_explicit(&c->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->count, 1, memory_order_relaxed);
    metric_add(c, value);
}

void metric_for_each(void (*each)(const struct metric *m, void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    for (struct metric *m = registry; m; m = m->next)
        each(m, arg);
    pthread_mutex_unlock(&lock);
}
