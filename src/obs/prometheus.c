/* prometheus.c - See prometheus.h.  Format: "Exposition formats", text version 0.0.4. */
#include "obs/prometheus.h"

#include "base/json.h"
#include "base/metric.h"

static void write_escaped(struct buf *out, const char *s, bool quotes)
{
    for (; *s; s++) {
        if (*s == '\\')
            buf_puts(out, "\\\\");
        else if (*s == '\n')
            buf_puts(out, "\\n");
        else if (*s == '"' && quotes)
            buf_puts(out, "\\\"");
        else
            buf_putc(out, *s);
    }
}

static void write_number(struct buf *out, double v)
{
    struct json_writer w = json_writer(out);
    jw_f64(&w, v);
}

/* {a="x",le="0.1"}; le may be NULL. */
static void write_labels(struct buf *out, const struct metric *m, const struct metric_cell *c, const char *le)
{
    bool any = false;
    for (int i = 0; i < METRIC_LABELS_MAX && m->labels[i]; i++) {
        buf_printf(out, "%s%s=\"", any ? "," : "{", m->labels[i]);
        write_escaped(out, c->labels[i], true);
        buf_putc(out, '"');
        any = true;
    }
    if (le)
        buf_printf(out, "%sle=\"%s\"", any ? "," : "{", le);
    if (any || le)
        buf_putc(out, '}');
}

static void write_histogram(struct buf *out, const struct metric *m, const struct metric_cell *c)
{
    uint64_t sum = 0;
    for (int i = 0; i < METRIC_BUCKETS_MAX; i++) {
        bool last = !m->bounds || m->bounds[i] <= 0;
        sum += c->buckets[i];
        struct buf le;
        buf_init(&le, 64);
        if (last)
            buf_puts(&le, "+Inf");
        else
            write_number(&le, m->bounds[i]);
        buf_printf(out, "%s_bucket", m->name);
        write_labels(out, m, c, buf_z(&le));
        buf_printf(out, " %llu\n", (unsigned long long)sum);
        buf_deinit(&le);
        if (last)
            break;
    }
    buf_printf(out, "%s_sum", m->name);
    write_labels(out, m, c, NULL);
    buf_putc(out, ' ');
    write_number(out, c->value);
    buf_printf(out, "\n%s_count", m->name);
    write_labels(out, m, c, NULL);
    buf_printf(out, " %llu\n", (unsigned long long)sum);
}

static void write_metric(const struct metric *m, void *arg)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct buf *out = arg;
    buf_printf(out, "# HELP %s ", m->name);
    write_escaped(out, m->help, false);
    buf_printf(out, "\n# TYPE %s %s\n", m->name, types[m->type]);
    for (const struct metric_cell *c = m->cells; c; c = c->next) {
        if (m->type == METRIC_TYPE_HISTOGRAM) {
            write_histogram(out, m, c);
            continue;
        }
        buf_puts(out, m->name);
        write_labels(out, m, c, NULL);
        buf_putc(out, ' ');
        write_number(out, c->value);
        buf_putc(out, '\n');
    }
}

void prometheus_write(struct buf *out)
{
    metric_for_each(write_metric, out);
}
