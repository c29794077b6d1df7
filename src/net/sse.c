/* sse.c - Server-sent events, read and written.  See sse.h.
 *
 * The common event arrives whole within one read and has one data line: its parts then point into
 * the fed bytes and nothing is copied.  What a feed leaves unfinished is copied when the feed
 * is used up (keep_values), not before.
 *
 * Start reading at sse_next(). */
#include "net/sse.h"

#include <assert.h>

#include "base/err.h"

void sse_reader_init(struct sse_reader *r, size_t event_bytes_max)
{
    *r = (struct sse_reader){.event_max = event_bytes_max, .at_start = true};
    buf_init(&r->held, event_bytes_max);
    buf_init(&r->type.copy, event_bytes_max);
    buf_init(&r->data.copy, event_bytes_max);
    buf_init(&r->id.copy, event_bytes_max);
}

void sse_reader_deinit(struct sse_reader *r)
{
    buf_deinit(&r->held);
    buf_deinit(&r->type.copy);
    buf_deinit(&r->data.copy);
    buf_deinit(&r->id.copy);
}

void sse_feed(struct sse_reader *r, struct str bytes)
{
    assert(r->in.n == 0 || r->error);
    r->in = bytes;
}

static void forget_event(struct sse_reader *r)
{
    r->type.now = r->data.now = r->id.now = S("");
    buf_clear(&r->type.copy);
    buf_clear(&r->data.copy);
    buf_clear(&r->id.copy);
    r->n_data_lines = 0;
    r->event_bytes = 0;
    r->was_given = false;
}

/* Makes a value independent of the fed bytes. */
static bool keep(struct sse_value *v)
{
    if (v->now.n == 0 || v->now.p == v->copy.p)
        return true;
    buf_clear(&v->copy);
    if (!buf_str_add(&v->copy, v->now))
        return false;
    v->now = buf_str(&v->copy);
    return true;
}

static int keep_values(struct sse_reader *r)
{
    return keep(&r->type) && keep(&r->data) && keep(&r->id) ? 0 : ERR_NOMEM;
}

/* The next complete line without its end.  1, 0 (not complete: it is in r->held), or an error.
 * *is_held says that the line lies in r->held and must be copied from there. */
static int take_line(struct sse_reader *r, struct str *line, bool *is_held)
{
    if (r->skip_lf && r->in.n) {
        if (r->in.p[0] == '\n')
            r->in = str_sub(r->in, 1, r->in.n);
        r->skip_lf = false;
    }
    size_t lf = str_find_char(r->in, '\n', 0);
    size_t end = str_find_char(str_sub(r->in, 0, lf), '\r', 0);
    if (end == STR_NONE)
        end = lf;
    bool is_complete = end != STR_NONE;
    *line = str_sub(r->in, 0, end); /* STR_NONE takes all */
    r->event_bytes += line->n;
    if (r->event_bytes > r->event_max)
        return ERR_LIMIT;
    *is_held = r->held.n > 0;
    if (*is_held || !is_complete) {
        if (!buf_str_add(&r->held, *line))
            return ERR_NOMEM;
        *line = buf_str(&r->held);
    }
    if (!is_complete) {
        r->in.n = 0;
        return 0;
    }
    r->skip_lf = r->in.p[end] == '\r';
    r->in = str_sub(r->in, end + 1, r->in.n);
    return 1;
}

static int add_data(struct sse_reader *r, struct str value)
{
    if (r->n_data_lines++ == 0) {
        r->data.now = value;
        return 0;
    }
    if (!keep(&r->data) || !buf_putc(&r->data.copy, '\n') || !buf_str_add(&r->data.copy, value))
        return ERR_NOMEM;
    r->data.now = buf_str(&r->data.copy);
    return 0;
}

static int use_line(struct sse_reader *r, struct str line)
{
    if (r->at_start) {
        if (str_starts(line, S("\xef\xbb\xbf")))
            line = str_sub(line, 3, line.n);
        r->at_start = false;
    }
    size_t colon = str_find_char(line, ':', 0);
    if (colon == 0) { /* a comment: heartbeats without a blank line must not add up */
        r->event_bytes -= line.n < r->event_bytes ? line.n : r->event_bytes;
        return 0;
    }
    struct str name = str_sub(line, 0, colon);
    struct str value = colon == STR_NONE ? S("") : str_sub(line, colon + 1, line.n);
    if (str_starts(value, S(" ")))
        value = str_sub(value, 1, value.n);
    if (str_eq(name, S("data")))
        return add_data(r, value);
    if (str_eq(name, S("event")))
        r->type.now = value;
    else if (str_eq(name, S("id")) && str_find_char(value, 0, 0) == STR_NONE)
        r->id.now = value;
    return 0; /* retry and unknown fields */
}

static int give(struct sse_reader *r, struct sse_event *event)
{
    *event = (struct sse_event){r->type.now, r->data.now, r->id.now};
    r->was_given = true;
    return 1;
}

/* True for the blank line that ends an event (a byte order mark alone is one, too). */
static bool is_blank(const struct sse_reader *r, struct str line)
{
    return line.n == 0 || (r->at_start && str_eq(line, S("\xef\xbb\xbf")));
}

int sse_next(struct sse_reader *r, struct sse_event *event)
{
    if (r->was_given)
        forget_event(r);
    while (!r->error && r->in.n) {
        struct str line;
        bool is_held;
        int rc = take_line(r, &line, &is_held);
        if (rc == 1) {
            if (is_blank(r, line)) {
                r->at_start = false;
                buf_clear(&r->held);
                if (r->n_data_lines)
                    return give(r, event);
                forget_event(r);
                continue;
            }
            rc = use_line(r, line);
            if (rc == 0 && is_held)
                rc = keep_values(r);
            buf_clear(&r->held);
        }
        if (rc < 0)
            r->error = rc;
    }
    if (!r->error)
        r->error = keep_values(r);
    return r->error;
}

bool sse_is_inside_event(const struct sse_reader *r)
{
    return !r->was_given && (r->held.n || r->n_data_lines || r->type.now.n || r->id.now.n);
}

int sse_finish(struct sse_reader *r, struct sse_event *event)
{
    if (r->was_given)
        forget_event(r);
    if (r->error)
        return r->error;
    if (r->held.n) {
        int rc = use_line(r, buf_str(&r->held));
        if (rc == 0)
            rc = keep_values(r);
        buf_clear(&r->held);
        if (rc < 0)
            return r->error = rc;
    }
    return r->n_data_lines ? give(r, event) : 0;
}

void sse_write(struct buf *out, struct str type, struct str data)
{
    if (type.n) {
        buf_str_add(out, S("event: "));
        for (size_t i = 0; i < type.n; i++)
            if (type.p[i] != '\r' && type.p[i] != '\n')
                buf_putc(out, type.p[i]);
        buf_putc(out, '\n');
    }
    for (;;) {
        size_t lf = str_find_char(data, '\n', 0);
        size_t end = str_find_char(str_sub(data, 0, lf), '\r', 0);
        if (end == STR_NONE)
            end = lf;
        buf_str_add(out, S("data: "));
        buf_str_add(out, str_sub(data, 0, end));
        buf_putc(out, '\n');
        if (end == STR_NONE)
            break;
        bool is_crlf = data.p[end] == '\r' && end + 1 < data.n && data.p[end + 1] == '\n';
        data = str_sub(data, end + 1 + is_crlf, data.n);
    }
    buf_putc(out, '\n');
}

void sse_write_comment(struct buf *out, struct str text)
{
    buf_str_add(out, S(": "));
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\r' && text.p[i] != '\n')
            buf_putc(out, text.p[i]);
    buf_str_add(out, S("\n\n"));
}
