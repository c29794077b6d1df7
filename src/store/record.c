/* record.c - See record.h.
 *
 * Frame: u32 payload length, u32 CRC-32 of the payload, payload.  Numbers are little-endian; a
 * text is a u16 length and its bytes.  A length of zero is the preallocated rest of a file. */
#include "store/record.h"

#include <zlib.h>

#define FRAME_BYTES 8

const char *record_outcome_name(enum record_outcome o)
{
    static const char *const names[] = {"ok", "failed", "cancelled", "interrupted", "cached"};
    return (unsigned)o < sizeof names / sizeof *names ? names[o] : "unknown";
}

/* ---- writing ---- */

struct out {
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t n;
    bool full;
};

static void put(struct out *o, const void *p, size_t n)
{
    if (n > sizeof o->bytes - o->n) {
        o->full = true;
        return;
    }
    memcpy(o->bytes + o->n, p, n);
    o->n += n;
}

static void put_u8(struct out *o, unsigned v)
{
    uint8_t b = (uint8_t)v;
    put(o, &b, 1);
}

static void put_i32(struct out *o, int32_t v)
{
    uint8_t b[4];
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)((uint32_t)v >> (8 * i));
    put(o, b, sizeof b);
}

static void put_i64(struct out *o, int64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)((uint64_t)v >> (8 * i));
    put(o, b, sizeof b);
}

static void put_text(struct out *o, struct str s)
{
    s = str_sub(s, 0, RECORD_TEXT_MAX);
    put_u8(o, (unsigned)(s.n & 0xff));
    put_u8(o, (unsigned)(s.n >> 8));
    put(o, s.p ? s.p : "", s.n);
}

static void put_attempt(struct out *o, const struct record_attempt *a)
{
    put_text(o, a->provider);
    put_text(o, a->model);
    put_u8(o, a->outcome);
    put_i64(o, a->tokens.input_fresh);
    put_i64(o, a->tokens.cache_read);
    put_i64(o, a->tokens.cache_write_5m);
    put_i64(o, a->tokens.cache_write_1h);
    put_i64(o, a->tokens.output);
    put_i64(o, a->tokens.reasoning);
    put_i64(o, a->cost_nano);
    put_u8(o, a->is_estimated);
    put_i32(o, a->first_ms);
    put_i32(o, a->total_ms);
    put_i32(o, a->status);
}

bool record_write(struct buf *out, const struct record *r)
{
    struct out o;
    o.n = 0;
    o.full = false;
    put_u8(&o, r->type);
    put_text(&o, r->id);
    put_i64(&o, r->wall_ns);
    put_text(&o, r->key_id);
    put_text(&o, r->user);
    put_text(&o, r->model);
    put_text(&o, r->endpoint);
    put_i64(&o, r->reserved_nano);
    put_u8(&o, r->outcome);
    put_i32(&o, r->status);
    put_i32(&o, r->first_ms);
    put_i32(&o, r->total_ms);
    put_u8(&o, r->is_resumed);
    put_u8(&o, (unsigned)r->n_attempts);
    for (int i = 0; i < r->n_attempts; i++)
        put_attempt(&o, &r->attempts[i]);
    if (o.full)
        return false;
    uint32_t crc = (uint32_t)crc32(0, o.bytes, (unsigned)o.n);
    uint8_t frame[FRAME_BYTES];
    for (int i = 0; i < 4; i++) {
        frame[i] = (uint8_t)(o.n >> (8 * i));
        frame[4 + i] = (uint8_t)(crc >> (8 * i));
    }
    return buf_add(out, frame, sizeof frame) && buf_add(out, o.bytes, o.n);
}

/* ---- reading ---- */

struct in {
    const uint8_t *p, *end;
    bool bad;
};

static const uint8_t *take(struct in *in, size_t n)
{
    if (in->bad || n > (size_t)(in->end - in->p)) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *at = in->p;
    in->p += n;
    return at;
}

static uint64_t take_number(struct in *in, size_t n)
{
    const uint8_t *p = take(in, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static struct str take_text(struct in *in)
{
    size_t n = (size_t)take_number(in, 2);
    const uint8_t *p = take(in, n);
    return p ? str_of((const char *)p, n) : S("");
}

static void take_attempt(struct in *in, struct record_attempt *a)
{
    a->provider = take_text(in);
    a->model = take_text(in);
    a->outcome = (enum record_outcome)take_number(in, 1);
    a->tokens.input_fresh = (int64_t)take_number(in, 8);
    a->tokens.cache_read = (int64_t)take_number(in, 8);
    a->tokens.cache_write_5m = (int64_t)take_number(in, 8);
    a->tokens.cache_write_1h = (int64_t)take_number(in, 8);
    a->tokens.output = (int64_t)take_number(in, 8);
    a->tokens.reasoning = (int64_t)take_number(in, 8);
    a->cost_nano = (int64_t)take_number(in, 8);
    a->is_estimated = take_number(in, 1) != 0;
    a->first_ms = (int32_t)take_number(in, 4);
    a->total_ms = (int32_t)take_number(in, 4);
    a->status = (int32_t)take_number(in, 4);
}

static bool read_payload(struct in *in, struct record *r)
{
    r->type = (enum record_type)take_number(in, 1);
    r->id = take_text(in);
    r->wall_ns = (int64_t)take_number(in, 8);
    r->key_id = take_text(in);
    r->user = take_text(in);
    r->model = take_text(in);
    r->endpoint = take_text(in);
    r->reserved_nano = (int64_t)take_number(in, 8);
    r->outcome = (enum record_outcome)take_number(in, 1);
    r->status = (int32_t)take_number(in, 4);
    r->first_ms = (int32_t)take_number(in, 4);
    r->total_ms = (int32_t)take_number(in, 4);
    r->is_resumed = take_number(in, 1) != 0;
    r->n_attempts = (int)take_number(in, 1);
    if (in->bad || r->n_attempts > RECORD_ATTEMPTS_MAX || r->type < RECORD_OPEN || r->type > RECORD_CLOSE)
        return false;
    for (int i = 0; i < r->n_attempts; i++)
        take_attempt(in, &r->attempts[i]);
    return !in->bad && in->p == in->end;
}

int record_read(struct str *from, struct record *r)
{
    struct in frame = {(const uint8_t *)from->p, (const uint8_t *)from->p + from->n, false};
    uint64_t n = take_number(&frame, 4), crc = take_number(&frame, 4);
    const uint8_t *payload = frame.bad || n == 0 || n > RECORD_BYTES_MAX ? NULL : take(&frame, (size_t)n);
    if (!payload || crc32(0, payload, (unsigned)n) != crc)
        return 0;
    struct in in = {payload, payload + n, false};
    if (!read_payload(&in, r))
        return 0;
    *from = str_sub(*from, FRAME_BYTES + (size_t)n, from->n);
    return 1;
}
