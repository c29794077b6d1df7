/* drift.c - Tallies of the last hour by minute and of the last week by hour.  See drift.h.
 *
 * A minute that becomes older than an hour is added to its hour of the week, so the two never overlap.  Start
 * reading at judge(). */
#include "gateway/drift.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#define MINUTES     60
#define HOURS       168
#define MINUTE_NS   (60 * NS_PER_S)
#define DEVIATIONS  3
#define SHARE_FLOOR 0.01 /* of the mean: less is no news, however steady the week was */

static const char *const names[DRIFT_KINDS] = {"output_tokens", "first_token", "errors", "cost"};

static struct metric drift =
    METRIC_GAUGE("sluice_drift", "1 when the last hour leaves three deviations of the last week.", "model",
                 "target", "what");
static struct metric average =
    METRIC_GAUGE("sluice_drift_average", "Mean over the last hour, and over the week before.", "model",
                 "target", "what", "window");
static struct metric deviation = METRIC_GAUGE(
    "sluice_drift_deviation", "One deviation, as sluice_drift counts them.", "model", "target", "what");

struct tally {
    double n, sum, squares;
};

struct series {
    struct tally minutes[MINUTES], hours[HOURS];
};

struct watch {
    uint64_t hash;
    char *model, *target;
    int64_t minute; /* the newest; minutes[minute % MINUTES] is its tally */
    int64_t used_minute;
    bool was_drift[DRIFT_KINDS];
    struct series series[DRIFT_KINDS];
};

struct drift_table {
    pthread_mutex_t lock;
    struct watch *watches[DRIFT_WATCHES_MAX];
    int n;
    int64_t ticked_minute;
};

struct drift_table *drift_table_create(void)
{
    struct drift_table *t = calloc(1, sizeof *t);
    if (t)
        pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void free_watch(struct watch *w)
{
    if (!w)
        return;
    free(w->model);
    free(w->target);
    free(w);
}

void drift_table_free(struct drift_table *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n; i++)
        free_watch(t->watches[i]);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- time ---- */

static void add_tally(struct tally *to, const struct tally *t)
{
    to->n += t->n;
    to->sum += t->sum;
    to->squares += t->squares;
}

/* Brings every tally to `minute`: what left the last hour joins the week, what left the week is forgotten. */
static void move_to(struct watch *w, int64_t minute)
{
    if (minute - w->minute > (HOURS + 1) * MINUTES) { /* nothing of it counts any more */
        memset(w->series, 0, sizeof w->series);
        w->minute = minute;
    }
    while (w->minute < minute) {
        int64_t leaving = ++w->minute - MINUTES, hour = leaving / MINUTES;
        for (int k = 0; k < DRIFT_KINDS && leaving >= 0; k++) {
            struct series *s = &w->series[k];
            struct tally *old = &s->minutes[leaving % MINUTES], *into = &s->hours[hour % HOURS];
            if (leaving % MINUTES == 0)
                *into = (struct tally){0}; /* the hour of a week ago */
            add_tally(into, old);
            *old = (struct tally){0};
        }
    }
}

/* ---- pairs ---- */

static struct watch *find(struct drift_table *t, struct str model, struct str target)
{
    uint64_t hash = str_hash_seeded(target, str_hash_seeded(model, 1));
    for (int i = 0; i < t->n; i++)
        if (t->watches[i]->hash == hash && str_eq(str_c(t->watches[i]->model), model) &&
            str_eq(str_c(t->watches[i]->target), target))
            return t->watches[i];
    return NULL;
}

static void clear_metrics(struct watch *w)
{
    for (int k = 0; k < DRIFT_KINDS; k++)
        metric_set(metric_cell(&drift, w->model, w->target, names[k]), 0);
}

/* A place for a new one: a free one, or that of the one unused for longest. */
static int take_place(struct drift_table *t)
{
    if (t->n < DRIFT_WATCHES_MAX)
        return t->n++;
    int oldest = 0;
    for (int i = 1; i < t->n; i++)
        if (t->watches[i]->used_minute < t->watches[oldest]->used_minute)
            oldest = i;
    clear_metrics(t->watches[oldest]);
    free_watch(t->watches[oldest]);
    return oldest;
}

static struct watch *add(struct drift_table *t, struct str model, struct str target, int64_t minute)
{
    struct watch *w = calloc(1, sizeof *w);
    if (w) {
        w->hash = str_hash_seeded(target, str_hash_seeded(model, 1));
        w->model = str_dup_z(model);
        w->target = str_dup_z(target);
        w->minute = minute;
    }
    if (!w || !w->model || !w->target) {
        free_watch(w);
        return NULL;
    }
    t->watches[take_place(t)] = w;
    clear_metrics(w);
    return w;
}

void drift_add(struct drift_table *t, struct str model, struct str target, const struct drift_sample *s,
               int64_t now_ns)
{
    int64_t minute = now_ns / MINUTE_NS;
    pthread_mutex_lock(&t->lock);
    struct watch *w = find(t, model, target);
    if (!w && s->values[DRIFT_ERRORS] == 0)
        w = add(t, model, target, minute);
    if (w && minute >= w->minute) {
        move_to(w, minute);
        w->used_minute = minute;
        for (int k = 0; k < DRIFT_KINDS; k++) {
            double v = s->values[k];
            if (v >= 0)
                add_tally(&w->series[k].minutes[minute % MINUTES], &(struct tally){1, v, v * v});
        }
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- judging ---- */

static double variance(const struct tally *t)
{
    double mean = t->sum / t->n, v = t->squares / t->n - mean * mean;
    return v > 0 ? v : 0;
}

static void judge(const struct series *s, enum drift_what what, struct drift_view *out)
{
    struct tally hour = {0}, week = {0}, means = {0};
    for (int i = 0; i < MINUTES; i++)
        add_tally(&hour, &s->minutes[i]);
    for (int i = 0; i < HOURS; i++) {
        const struct tally *h = &s->hours[i];
        add_tally(&week, h);
        if (h->n >= DRIFT_HOUR_MIN)
            add_tally(&means, &(struct tally){1, h->sum / h->n, h->sum / h->n * (h->sum / h->n)});
    }
    *out = (struct drift_view){.hour_n = (uint64_t)hour.n, .week_n = (uint64_t)week.n};
    if (hour.n > 0)
        out->hour_mean = hour.sum / hour.n;
    if (week.n > 0)
        out->week_mean = week.sum / week.n;
    if (hour.n < DRIFT_HOUR_MIN || means.n < DRIFT_HOURS_MIN)
        return;
    double single = variance(&week);
    if (what == DRIFT_ERRORS) { /* a share of 0 in the sample is not certainty */
        double share = (week.sum + 1) / (week.n + 2);
        single = share * (1 - share);
    }
    double between = sqrt(variance(&means)), chance = sqrt(single / hour.n);
    double floor = SHARE_FLOOR * fabs(out->week_mean);
    out->deviation = fmax(between, fmax(chance, floor));
    bool is_rare = what == DRIFT_ERRORS && out->hour_mean > out->week_mean && hour.sum < DRIFT_ERRORS_MIN;
    out->is_drift = !is_rare && fabs(out->hour_mean - out->week_mean) > DEVIATIONS * out->deviation;
}

static void tell(struct watch *w, enum drift_what what)
{
    struct drift_view v;
    judge(&w->series[what], what, &v);
    metric_set(metric_cell(&drift, w->model, w->target, names[what]), v.is_drift);
    if (v.hour_n)
        metric_set(metric_cell(&average, w->model, w->target, names[what], "hour"), v.hour_mean);
    if (v.week_n)
        metric_set(metric_cell(&average, w->model, w->target, names[what], "week"), v.week_mean);
    if (v.deviation > 0)
        metric_set(metric_cell(&deviation, w->model, w->target, names[what]), v.deviation);
    if (v.is_drift && !w->was_drift[what])
        log_warn("drift",
                 "%s at %s: %s is %.4g in the last hour and was %.4g in the week before (deviation %.4g)",
                 w->model, w->target, names[what], v.hour_mean, v.week_mean, v.deviation);
    w->was_drift[what] = v.is_drift;
}

void drift_tick(struct drift_table *t, int64_t now_ns)
{
    int64_t minute = now_ns / MINUTE_NS;
    pthread_mutex_lock(&t->lock);
    bool is_due = minute != t->ticked_minute;
    t->ticked_minute = minute;
    for (int i = 0; is_due && i < t->n; i++) {
        struct watch *w = t->watches[i];
        if (minute > w->minute)
            move_to(w, minute);
        for (int k = 0; k < DRIFT_KINDS; k++)
            tell(w, (enum drift_what)k);
    }
    pthread_mutex_unlock(&t->lock);
}

bool drift_view(struct drift_table *t, struct str model, struct str target, enum drift_what what,
                int64_t now_ns, struct drift_view *out)
{
    pthread_mutex_lock(&t->lock);
    struct watch *w = find(t, model, target);
    if (w) {
        if (now_ns / MINUTE_NS > w->minute)
            move_to(w, now_ns / MINUTE_NS);
        judge(&w->series[what], what, out);
    }
    pthread_mutex_unlock(&t->lock);
    return w != NULL;
}
