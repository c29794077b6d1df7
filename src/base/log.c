/* log.c - See log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

static _Atomic int out_fd = -1;
static _Atomic int min_level = LOG_OFF;
static _Atomic bool json_lines;

void log_open(int fd, enum log_level level, bool as_json)
{
    out_fd = fd;
    json_lines = as_json;
    min_level = fd < 0 ? LOG_OFF : (int)level;
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&min_level, memory_order_relaxed);
}

bool log_is_json(void)
{
    return json_lines;
}

/* A full pipe or a closed terminal must not stop the program: what cannot be written is lost. */
static void write_line(const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(out_fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return;
        p += put;
        n -= (size_t)put;
    }
}

void log_raw(enum log_level level, struct str line)
{
    if (!log_wants(level))
        return;
    struct buf b;
    buf_init(&b, line.n + 1);
    buf_str_add(&b, line);
    buf_putc(&b, '\n');
    write_line(b.p, b.n);
    buf_deinit(&b);
}

/* One event is one line, whatever a stranger put into a name. */
static void put_plain(struct buf *out, struct str s)
{
    char *to = buf_reserve(out, s.n);
    for (size_t i = 0; to && i < s.n; i++)
        to[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i];
    if (to)
        buf_commit(out, s.n);
}

static void put_json(struct buf *out, const char *before, struct str s)
{
    buf_puts(out, before);
    json_escape(out, s);
}

bool log_line(struct buf *out, enum log_level level, const char *area, struct str message)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char time[CLOCK_ISO_BYTES];
    struct buf plain;
    size_t before = out->n;
    buf_init(&plain, LOG_LINE_MAX);
    put_plain(&plain, str_sub(message, 0, LOG_LINE_MAX));
    clock_iso(clock_wall_ns(), time);
    if (json_lines) {
        put_json(out, "{\"time\":\"", str_c(time));
        put_json(out, "\",\"level\":\"", str_c(names[level]));
        put_json(out, "\",\"area\":\"", str_c(area));
        put_json(out, "\",\"message\":\"", buf_str(&plain));
        buf_puts(out, "\"}\n");
    } else {
        static const char blanks[] = "     ";
        buf_puts(out, time);
        buf_putc(out, ' ');
        buf_puts(out, names[level]);
        buf_puts(out, blanks + strlen(names[level]));
        buf_putc(out, ' ');
        buf_puts(out, area);
        buf_puts(out, ": ");
        buf_str_add(out, buf_str(&plain));
        buf_putc(out, '\n');
    }
    bool ok = buf_ok(out) && buf_ok(&plain);
    buf_deinit(&plain);
    if (!ok)
        out->n = before;
    return ok;
}

void log_lines(struct str lines)
{
    if (lines.n && log_level() < LOG_OFF)
        write_line(lines.p, lines.n);
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    if (!log_wants(level) || level >= LOG_OFF)
        return;
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct buf b;
    buf_init(&b, (size_t)8 * LOG_LINE_MAX);
    if (log_line(&b, level, area, str_c(text)))
        log_lines(buf_str(&b));
    buf_deinit(&b);
}
