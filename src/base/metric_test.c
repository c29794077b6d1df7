#include "base/metric.h"

#include <string.h>

#include "base/test.h"

static const double bounds[] = {0.1, 1, 10, 0};
static struct metric hits = METRIC_COUNTER("test_hits_total", "Hits.", "who", "what");
static struct metric waits = METRIC_HISTOGRAM("test_wait_seconds", "Waits.", bounds, "who");

TEST(equal_labels_are_one_cell)
{
    metric_add(metric_cell(&hits, "a", "b"), 1);
    metric_add(metric_cell(&hits, "a", "b"), 2);
    metric_add(metric_cell(&hits, "a", "c"), 5);
    CHECK(metric_cell(&hits, "a", "b")->value == 3);
    CHECK(metric_cell(&hits, "a", "c")->value == 5);
    CHECK_INT(hits.n_cells, 2);
}

TEST(histogram_puts_each_value_in_one_bucket)
{
    struct metric_cell *c = metric_cell(&waits, "x");
    metric_observe(c, 0.1);
    metric_observe(c, 0.5);
    metric_observe(c, 100);
    CHECK(c->buckets[0] == 1 && c->buckets[1] == 1 && c->buckets[2] == 0 && c->buckets[3] == 1);
    CHECK(c->count == 3);
    CHECK_NEAR(c->value, 100.6, 1e-9);
}

TEST(strangers_labels_cannot_fill_the_memory)
{
    char name[16];
    for (int i = 0; i < METRIC_CELLS_MAX + 100; i++) {
        snprintf(name, sizeof name, "n%d", i);
        metric_add(metric_cell(&hits, name, "x"), 1);
    }
    CHECK_INT(hits.n_cells, METRIC_CELLS_MAX + 1);
    CHECK(metric_cell(&hits, "brand new", "x")->value >= 100);
}
