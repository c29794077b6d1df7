#include "obs/prometheus.h"

#include "base/metric.h"
#include "base/test.h"

static const double bounds[] = {0.5, 2, 0};
static struct metric seen = METRIC_COUNTER("test_seen_total", "Seen \\ things.", "what");
static struct metric took = METRIC_HISTOGRAM("test_took_seconds", "Took.", bounds);

TEST(metrics_are_written_as_prometheus_reads_them)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metric_add(metric_cell(&seen, "a\"b\nc"), 2);
    struct metric_cell *c = metric_cell(&took, NULL);
    metric_observe(c, 0.25);
    metric_observe(c, 1);
    metric_observe(c, 50);
    prometheus_write(&out);
    struct str text = buf_str(&out);
    CHECK(str_find(text,
                   S("# HELP test_seen_total Seen \\\\ things.\n# TYPE test_seen_total counter\n"
                     "test_seen_total{what=\"a\\\"b\\nc\"} 2\n"),
                   0) != STR_NONE);
    CHECK(str_find(text,
                   S("test_took_seconds_bucket{le=\"0.5\"} 1\ntest_took_seconds_bucket{le=\"2\"} 2\n"
                     "test_took_seconds_bucket{le=\"+Inf\"} 3\ntest_took_seconds_sum 51.25\n"
                     "test_took_seconds_count 3\n"),
                   0) != STR_NONE);
    buf_deinit(&out);
}
