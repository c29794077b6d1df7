#include "gateway/drift.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"

#define MINUTE (60 * NS_PER_S)
#define HOUR   (60 * MINUTE)

struct world {
    struct drift_table *t;
    struct rng rng;
    int64_t now;
};

static struct world new_world(void)
{
    return (struct world){drift_table_create(), rng_seeded(7), 1000 * HOUR};
}

/* So many hours of `per_hour` attempts with these means; values scatter by a quarter of the mean. */
static void live(struct world *w, int hours, int per_hour, double tokens, double first_s, double errors,
                 double usd)
{
    for (int i = 0; i < hours * per_hour; i++) {
        double wave = 0.75 + 0.5 * rng_unit(&w->rng);
        bool failed = rng_unit(&w->rng) < errors;
        struct drift_sample s = {{tokens * wave, first_s * wave, 0, usd * wave}};
        if (failed)
            s = (struct drift_sample){{-1, -1, 1, -1}};
        drift_add(w->t, S("m"), S("p/x"), &s, w->now);
        w->now += HOUR / per_hour;
    }
}

static struct drift_view seen(struct world *w, enum drift_what what)
{
    struct drift_view v = {0};
    CHECK(drift_view(w->t, S("m"), S("p/x"), what, w->now, &v));
    return v;
}

TEST(a_steady_week_is_no_drift)
{
    struct world w = new_world();
    int alarms = 0;
    live(&w, 30, 40, 200, 0.5, 0.02, 0.001);
    for (int hour = 0; hour < 200; hour++) {
        live(&w, 1, 40, 200, 0.5, 0.02, 0.001);
        for (int k = 0; k < DRIFT_KINDS; k++)
            alarms += seen(&w, (enum drift_what)k).is_drift;
    }
    CHECK(alarms <= 8); /* of 800 looks: three deviations are left by chance sometimes */
    CHECK_NEAR(seen(&w, DRIFT_OUTPUT_TOKENS).week_mean, 200, 5);
    drift_table_free(w.t);
}

TEST(each_kind_of_change_is_seen_within_the_hour_and_passes)
{
    for (int what = 0; what < DRIFT_KINDS; what++) {
        struct world w = new_world();
        live(&w, 100, 40, 200, 0.5, 0.02, 0.001);
        live(&w, 1, 40, what == DRIFT_OUTPUT_TOKENS ? 100 : 200, what == DRIFT_FIRST_TOKEN ? 1.5 : 0.5,
             what == DRIFT_ERRORS ? 0.5 : 0.02, what == DRIFT_COST ? 0.003 : 0.001);
        for (int k = 0; k < DRIFT_KINDS; k++)
            if (seen(&w, (enum drift_what)k).is_drift != (k == what))
                test_fail(__FILE__, __LINE__, "change of %d: kind %d says %d", what, k, k != what);
        w.now += 61 * MINUTE; /* silence: nothing can be said */
        CHECK(!seen(&w, (enum drift_what)what).is_drift);
        live(&w, 1, 40, 200, 0.5, 0.02, 0.001);
        CHECK(!seen(&w, (enum drift_what)what).is_drift);
        drift_table_free(w.t);
    }
}

TEST(too_little_says_nothing)
{
    struct world w = new_world();
    live(&w, 23, 40, 200, 0.5, 0, 0.001);
    live(&w, 1, 40, 900, 0.5, 0, 0.001);
    CHECK(!seen(&w, DRIFT_OUTPUT_TOKENS).is_drift); /* 23 hours */
    live(&w, 40, 40, 200, 0.5, 0, 0.001);
    live(&w, 1, 9, 9000, 0.5, 0, 0.001);
    CHECK(seen(&w, DRIFT_OUTPUT_TOKENS).hour_n < DRIFT_HOUR_MIN);
    CHECK(!seen(&w, DRIFT_OUTPUT_TOKENS).is_drift); /* nine attempts */
    live(&w, 1, 12, 9000, 0.5, 0, 0.001);
    CHECK(seen(&w, DRIFT_OUTPUT_TOKENS).is_drift);
    drift_table_free(w.t);
}

TEST(one_error_in_a_week_without_any_is_no_drift)
{
    struct world w = new_world();
    live(&w, 150, 30, 200, 0.5, 0, 0.001);
    live(&w, 1, 29, 200, 0.5, 0, 0.001);
    drift_add(w.t, S("m"), S("p/x"), &(struct drift_sample){{-1, -1, 1, -1}}, w.now);
    CHECK(seen(&w, DRIFT_ERRORS).hour_mean > 0);
    CHECK(!seen(&w, DRIFT_ERRORS).is_drift);
    live(&w, 1, 30, 200, 0.5, 0.3, 0.001);
    CHECK(seen(&w, DRIFT_ERRORS).is_drift);
    drift_table_free(w.t);
}

TEST(what_is_older_than_a_week_is_forgotten)
{
    struct world w = new_world();
    live(&w, 100, 20, 200, 0.5, 0, 0.001);
    live(&w, 175, 20, 800, 0.5, 0, 0.001);
    CHECK_NEAR(seen(&w, DRIFT_OUTPUT_TOKENS).week_mean, 800, 20);
    CHECK(seen(&w, DRIFT_OUTPUT_TOKENS).week_n <= 168 * 20);
    w.now += 400 * HOUR;
    CHECK_INT(seen(&w, DRIFT_OUTPUT_TOKENS).week_n, 0);
    drift_table_free(w.t);
}

TEST(memory_is_bounded_and_failures_alone_are_not_watched)
{
    struct world w = new_world();
    struct drift_view v;
    drift_add(w.t, S("m"), S("p/none"), &(struct drift_sample){{-1, -1, 1, -1}}, w.now);
    CHECK(!drift_view(w.t, S("m"), S("p/none"), DRIFT_ERRORS, w.now, &v));
    for (int i = 0; i < DRIFT_WATCHES_MAX + 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "p/%d", i);
        drift_add(w.t, S("m"), str_c(name), &(struct drift_sample){{1, 1, 0, 1}}, w.now);
        w.now += MINUTE;
    }
    drift_tick(w.t, w.now);
    CHECK(!drift_view(w.t, S("m"), S("p/9"), DRIFT_ERRORS, w.now, &v));
    CHECK(drift_view(w.t, S("m"), S("p/10"), DRIFT_ERRORS, w.now, &v));
    drift_table_free(w.t);
}
