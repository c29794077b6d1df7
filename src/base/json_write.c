/* json_write.c - The append writer of json.h. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

struct json_writer json_writer(struct buf *out)
{
    return (struct json_writer){.out = out};
}

static bool has_item(const struct json_writer *w)
{
    return w->has_item[w->depth / 64] >> (w->depth % 64) & 1;
}

static void set_item(struct json_writer *w, bool on)
{
    uint64_t bit = (uint64_t)1 << (w->depth % 64);
    if (on)
        w->has_item[w->depth / 64] |= bit;
    else
        w->has_item[w->depth / 64] &= ~bit;
}

static void before_value(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth > 0 && has_item(w))
        buf_putc(w->out, ',');
    set_item(w, true);
}

static void begin(struct json_writer *w, char c)
{
    before_value(w);
    buf_putc(w->out, c);
    assert(w->depth + 1 < JSON_DEPTH_MAX);
    w->depth++;
    set_item(w, false);
}

static void end(struct json_writer *w, char c)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    buf_putc(w->out, c);
}

void jw_begin_object(struct json_writer *w)
{
    begin(w, '{');
}

void jw_end_object(struct json_writer *w)
{
    end(w, '}');
}

void jw_begin_array(struct json_writer *w)
{
    begin(w, '[');
}

void jw_end_array(struct json_writer *w)
{
    end(w, ']');
}

void jw_key_str(struct json_writer *w, struct str key)
{
    assert(w->depth > 0 && !w->after_key);
    if (has_item(w))
        buf_putc(w->out, ',');
    set_item(w, true);
    json_quote(w->out, key);
    buf_putc(w->out, ':');
    w->after_key = true;
}

void jw_key(struct json_writer *w, const char *key)
{
    jw_key_str(w, str_c(key));
}

/* 1: must be escaped or checked; everything else in ASCII goes through as it is. */
static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_escape(struct buf *out, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    const char *short_form = NULL;
    switch (c) {
    case '"': short_form = "\\\""; break;
    case '\\': short_form = "\\\\"; break;
    case '\n': short_form = "\\n"; break;
    case '\r': short_form = "\\r"; break;
    case '\t': short_form = "\\t"; break;
    case '\b': short_form = "\\b"; break;
    case '\f': short_form = "\\f"; break;
    default: break;
    }
    if (short_form) {
        buf_add(out, short_form, 2);
        return;
    }
    char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    buf_add(out, u, 6);
}

/* Length of the well-formed UTF-8 character at s.p + i, or 0. */
static size_t utf8_len(struct str s, size_t i)
{
    uint8_t c = (uint8_t)s.p[i];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return n <= s.n - i && str_is_utf8(str_of(s.p + i, n)) ? n : 0;
}

bool json_escape(struct buf *out, struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && is_plain((uint8_t)s.p[i]))
            i++;
        buf_add(out, s.p + from, i - from);
        if (i >= s.n)
            break;
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x80) {
            put_escape(out, c);
            i++;
            continue;
        }
        size_t n = utf8_len(s, i);
        if (n)
            buf_add(out, s.p + i, n);
        else
            buf_add(out, "\xef\xbf\xbd", 3);
        i += n ? n : 1;
    }
    return buf_ok(out);
}

bool json_quote(struct buf *out, struct str s)
{
    buf_putc(out, '"');
    json_escape(out, s);
    return buf_putc(out, '"');
}

void jw_str(struct json_writer *w, struct str s)
{
    before_value(w);
    json_quote(w->out, s);
}

void jw_z(struct json_writer *w, const char *z)
{
    if (z)
        jw_str(w, str_c(z));
    else
        jw_null(w);
}

void jw_raw(struct json_writer *w, struct str json)
{
    before_value(w);
    buf_str_add(w->out, json);
}

void jw_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    buf_i64(w->out, v);
}

void jw_u64(struct json_writer *w, uint64_t v)
{
    before_value(w);
    buf_printf(w->out, "%llu", (unsigned long long)v);
}

void jw_f64(struct json_writer *w, double v)
{
    if (!isfinite(v)) {
        jw_null(w);
        return;
    }
    char text[40];
    double back = NAN;
    for (int precision = 6; precision <= 17; precision += precision == 6 ? 9 : 1) {
        snprintf(text, sizeof text, "%.*g", precision, v);
        for (char *c = text; *c; c++) /* an embedding program's locale may have a decimal comma */
            if (*c == ',')
                *c = '.';
        if (str_to_f64(str_c(text), &back) && back == v)
            break;
    }
    jw_raw(w, str_c(text));
}

void jw_bool(struct json_writer *w, bool v)
{
    jw_raw(w, v ? S("true") : S("false"));
}

void jw_null(struct json_writer *w)
{
    jw_raw(w, S("null"));
}

void jw_kv_str(struct json_writer *w, const char *key, struct str s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_kv_z(struct json_writer *w, const char *key, const char *z)
{
    jw_key(w, key);
    jw_z(w, z);
}

void jw_kv_i64(struct json_writer *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_i64(w, v);
}

void jw_kv_u64(struct json_writer *w, const char *key, uint64_t v)
{
    jw_key(w, key);
    jw_u64(w, v);
}

void jw_kv_f64(struct json_writer *w, const char *key, double v)
{
    jw_key(w, key);
    jw_f64(w, v);
}

void jw_kv_bool(struct json_writer *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_kv_raw(struct json_writer *w, const char *key, struct str json)
{
    jw_key(w, key);
    jw_raw(w, json);
}

void jw_kv_null(struct json_writer *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}
