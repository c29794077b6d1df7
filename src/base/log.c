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

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (!log_wants(level) || level >= LOG_OFF)
        return;
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *c = text; *c; c++) /* one event is one line, whatever a stranger put into a name */
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    char time[CLOCK_ISO_BYTES];
    clock_iso(clock_wall_ns(), time);
    struct buf b;
    buf_init(&b, (size_t)8 * LOG_LINE_MAX);
    if (json_lines) {
        struct json_writer w = json_writer(&b);
        jw_begin_object(&w);
        jw_kv_z(&w, "time", time);
        jw_kv_z(&w, "level", names[level]);
        jw_kv_z(&w, "area", area);
        jw_kv_z(&w, "message", text);
        jw_end_object(&w);
    } else {
        buf_printf(&b, "%s %-5s %s: %s", time, names[level], area, text);
    }
    buf_putc(&b, '\n');
    if (buf_ok(&b))
        write_line(b.p, b.n);
    buf_deinit(&b);
}
