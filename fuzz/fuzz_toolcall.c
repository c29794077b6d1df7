/* fuzz_toolcall.c - Any bytes as a model's answer, in any format: the same events at any split.
 *
 * Input: one byte for the format, one for where to cut, then the answer. */
#include <stdlib.h>

#include "text/toolcall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct record {
    struct buf out;
    int last, n_open;
};

/* What came out, with neighbours joined. */
static void on_event(void *ctx, const struct toolcall_event *e)
{
    struct record *r = ctx;
    bool is_call = e->kind == TOOLCALL_START;
    r->n_open += is_call - (e->kind == TOOLCALL_END);
    if (r->n_open < 0 || r->n_open > 1 || (is_call && e->name.n == 0))
        abort();
    if (r->last != (int)e->kind)
        buf_printf(&r->out, "\n%d %d:", (int)e->kind, e->call);
    r->last = (int)e->kind;
    buf_str_add(&r->out, e->text);
    buf_str_add(&r->out, e->name);
    buf_str_add(&r->out, e->id);
}

static void run(struct record *r, const struct toolcall_format *f, struct str s, size_t step)
{
    struct toolcall_parser p;
    buf_init(&r->out, 1u << 24);
    r->last = -1;
    r->n_open = 0;
    toolcall_init(&p, f, true, false, on_event, r);
    for (size_t at = 0; at < s.n; at += step)
        toolcall_feed(&p, str_sub(s, at, at + step));
    toolcall_finish(&p);
    if (r->n_open)
        abort();
    toolcall_deinit(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct record a, b;
    int n_formats = 0;
    if (n < 2)
        return 0;
    while (toolcall_format_at(n_formats))
        n_formats++;
    const struct toolcall_format *f = toolcall_format_at(data[0] % n_formats);
    struct str s = str_of((const char *)data + 2, n - 2);
    run(&a, f, s, s.n + 1);
    run(&b, f, s, (size_t)data[1] % 16 + 1);
    if (!str_eq(buf_str(&a.out), buf_str(&b.out)))
        abort();
    buf_deinit(&a.out);
    buf_deinit(&b.out);
    return 0;
}
