/* chat_pack.c - See chat_pack.h.
 *
 * An event is its type and then all members in the order of struct chat_event; writer and reader below are
 * mirror images of each other: a new member goes into both, and VERSION up. */
#include "api/chat_pack.h"

#define VERSION  1
#define ABSENT   UINT32_MAX /* length of a text that is not given */
#define TYPE_END 255

/* ---- writing ---- */

static void put_u8(struct buf *out, unsigned v)
{
    buf_putc(out, (char)v);
}

static void put_u32(struct buf *out, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    buf_add(out, b, sizeof b);
}

static void put_i64(struct buf *out, int64_t v)
{
    put_u32(out, (uint32_t)((uint64_t)v & 0xffffffff));
    put_u32(out, (uint32_t)((uint64_t)v >> 32));
}

static void put_f64(struct buf *out, double v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_i64(out, bits);
}

static void put_str(struct buf *out, struct str s)
{
    if (s.p && s.n >= ABSENT)
        out->failed = true;
    put_u32(out, s.p ? (uint32_t)s.n : ABSENT);
    if (s.p)
        buf_str_add(out, s);
}

static void put_citation(struct buf *out, const struct chat_citation *c)
{
    const struct str texts[] = {c->cited_text, c->title, c->url, c->kind, c->raw_json};
    const int64_t numbers[] = {(int64_t)c->from, c->source_idx,   c->start,
                               c->end,           c->answer_start, c->answer_end};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_str(out, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put_i64(out, numbers[i]);
}

static void put_top(struct buf *out, const struct chat_top_logprob *t)
{
    put_str(out, t->token);
    put_i64(out, t->token_id);
    put_f64(out, t->logprob);
}

static void put_logprobs(struct buf *out, const struct chat_logprob *list, size_t n)
{
    put_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        put_top(out, &list[i].chosen);
        put_i64(out, list[i].text_offset);
        put_u8(out, list[i].is_refusal);
        put_u32(out, (uint32_t)list[i].n_top);
        for (size_t k = 0; k < list[i].n_top; k++)
            put_top(out, &list[i].top[k]);
    }
}

static void put_media(struct buf *out, const struct chat_media *m)
{
    const struct str texts[] = {m->mime, m->url,  m->data,    m->file_id,
                                m->text, m->name, m->context, m->detail};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_str(out, texts[i]);
}

static void put_usage(struct buf *out, const struct token_account *t)
{
    const int64_t counts[] = {t->input_fresh,    t->cache_read, t->cache_write_5m,
                              t->cache_write_1h, t->output,     t->reasoning};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        put_i64(out, counts[i]);
    put_u8(out, (unsigned)t->is_known | (unsigned)t->is_estimated << 1);
}

static int put_event(void *ctx, const struct chat_event *ev)
{
    struct buf *out = ctx;
    const struct str texts[] = {ev->text, ev->signature, ev->id, ev->name, ev->model};
    const int64_t numbers[] = {ev->choice,         ev->block,     (int64_t)ev->signature_from,
                               ev->tool_idx,       ev->created_s, (int64_t)ev->media_type,
                               (int64_t)ev->finish};
    put_u8(out, (unsigned)ev->type);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_str(out, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put_i64(out, numbers[i]);
    put_u8(out, (unsigned)ev->is_redacted | (unsigned)ev->is_opaque << 1 |
                    (unsigned)(ev->citation != NULL) << 2 | (unsigned)(ev->media != NULL) << 3);
    if (ev->citation)
        put_citation(out, ev->citation);
    if (ev->media)
        put_media(out, ev->media);
    put_logprobs(out, ev->logprobs, ev->n_logprobs);
    put_usage(out, &ev->usage);
    return buf_ok(out) ? OK : ERR_LIMIT;
}

int chat_pack(const struct chat_answer *answer, struct buf *out)
{
    struct chat_sink sink = {put_event, out};
    put_u8(out, VERSION);
    int rc = chat_replay(answer, &sink);
    put_u8(out, TYPE_END);
    return rc == OK && !buf_ok(out) ? ERR_LIMIT : rc;
}

/* ---- reading ---- */

struct in {
    struct str left;
    struct arena *a;
    bool is_bad, is_full;
};

static const uint8_t *take(struct in *in, size_t n)
{
    static const uint8_t nothing[8];
    if (n > in->left.n || in->is_bad) {
        in->is_bad = true;
        return nothing;
    }
    const uint8_t *p = (const uint8_t *)in->left.p;
    in->left = str_sub(in->left, n, in->left.n);
    return p;
}

static unsigned get_u8(struct in *in)
{
    return take(in, 1)[0];
}

static uint32_t get_u32(struct in *in)
{
    const uint8_t *p = take(in, 4);
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int64_t get_i64(struct in *in)
{
    uint64_t low = get_u32(in);
    return (int64_t)(low | (uint64_t)get_u32(in) << 32);
}

/* A number that must lie in [lo, hi]. */
static int64_t get_within(struct in *in, int64_t lo, int64_t hi)
{
    int64_t v = get_i64(in);
    if (v < lo || v > hi) {
        in->is_bad = true;
        return lo;
    }
    return v;
}

static double get_f64(struct in *in)
{
    int64_t bits = get_i64(in);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static struct str get_bytes(struct in *in)
{
    uint32_t n = get_u32(in);
    if (n == ABSENT || in->is_bad)
        return (struct str){0};
    if (n > in->left.n) {
        in->is_bad = true;
        return (struct str){0};
    }
    return str_of(n ? (const char *)take(in, n) : "", n);
}

static struct str get_str(struct in *in)
{
    struct str s = get_bytes(in);
    in->is_bad |= s.p && !str_is_utf8(s);
    return s;
}

static struct chat_citation *get_citation(struct in *in)
{
    struct chat_citation *c = arena_new(in->a, struct chat_citation);
    if (!c) {
        in->is_full = true;
        return NULL;
    }
    struct str *const texts[] = {&c->cited_text, &c->title, &c->url, &c->kind, &c->raw_json};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = get_str(in);
    c->from = (enum dialect_id)get_within(in, 0, DIALECT_COUNT - 1);
    c->source_idx = (int)get_within(in, -1, INT32_MAX);
    int64_t *const numbers[] = {&c->start, &c->end, &c->answer_start, &c->answer_end};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = get_within(in, -1, INT64_MAX);
    return c;
}

static void get_top(struct in *in, struct chat_top_logprob *t)
{
    t->token = get_bytes(in); /* may be a piece of a character */
    t->token_id = get_within(in, -1, INT32_MAX);
    t->logprob = get_f64(in);
}

/* A list's length, which cannot be more than the bytes that are left allow. */
static size_t get_count(struct in *in, size_t item_bytes_min)
{
    uint32_t n = get_u32(in);
    if (n > in->left.n / item_bytes_min) {
        in->is_bad = true;
        return 0;
    }
    return n;
}

static void get_logprobs(struct in *in, struct chat_event *ev)
{
    size_t n = get_count(in, 33);
    struct chat_logprob *list = n ? arena_new_array(in->a, struct chat_logprob, n) : NULL;
    in->is_full |= n && !list;
    for (size_t i = 0; list && i < n && !in->is_bad; i++) {
        get_top(in, &list[i].chosen);
        list[i].text_offset = get_within(in, -1, INT64_MAX);
        list[i].is_refusal = get_u8(in) != 0;
        size_t n_top = get_count(in, 20);
        struct chat_top_logprob *top = n_top ? arena_new_array(in->a, struct chat_top_logprob, n_top) : NULL;
        in->is_full |= n_top && !top;
        for (size_t k = 0; top && k < n_top; k++)
            get_top(in, &top[k]);
        list[i].top = top;
        list[i].n_top = top ? n_top : 0;
    }
    ev->logprobs = list;
    ev->n_logprobs = list ? n : 0;
}

static struct chat_media *get_media(struct in *in)
{
    struct chat_media *m = arena_new(in->a, struct chat_media);
    if (!m) {
        in->is_full = true;
        return NULL;
    }
    struct str *const texts[] = {&m->mime, &m->url,  &m->data,    &m->file_id,
                                 &m->text, &m->name, &m->context, &m->detail};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = get_str(in);
    return m;
}

static void get_usage(struct in *in, struct token_account *t)
{
    int64_t *const counts[] = {&t->input_fresh,    &t->cache_read, &t->cache_write_5m,
                               &t->cache_write_1h, &t->output,     &t->reasoning};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        *counts[i] = get_within(in, 0, INT64_MAX / 16);
    unsigned flags = get_u8(in);
    t->is_known = flags & 1;
    t->is_estimated = flags & 2;
}

static void get_event(struct in *in, unsigned type, struct chat_event *ev)
{
    struct str *const texts[] = {&ev->text, &ev->signature, &ev->id, &ev->name, &ev->model};
    *ev = (struct chat_event){.type = (enum chat_event_type)type};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = get_str(in);
    ev->choice = (int)get_within(in, 0, CHAT_CHOICES_MAX - 1);
    ev->block = (int)get_within(in, 0, INT32_MAX);
    ev->signature_from = (enum dialect_id)get_within(in, 0, DIALECT_COUNT - 1);
    ev->tool_idx = (int)get_within(in, 0, CHAT_STREAM_TOOLS_MAX - 1);
    ev->created_s = get_within(in, 0, INT64_MAX);
    ev->media_type = (enum chat_part_type)get_within(in, 0, CHAT_PART_OTHER);
    ev->finish = (enum chat_finish)get_within(in, 0, CHAT_FINISH_BAD_TOOL_CALL);
    unsigned flags = get_u8(in);
    ev->is_redacted = flags & 1;
    ev->is_opaque = flags & 2;
    ev->citation = flags & 4 ? get_citation(in) : NULL;
    ev->media = flags & 8 ? get_media(in) : NULL;
    get_logprobs(in, ev);
    get_usage(in, &ev->usage);
    in->is_bad |=
        (type == CHAT_EV_CITATION) != (ev->citation != NULL) || (type == CHAT_EV_MEDIA && !ev->media);
}

int chat_unpack(struct str packed, struct arena *a, const struct chat_sink *sink)
{
    struct in in = {.left = packed, .a = a};
    if (get_u8(&in) != VERSION)
        return ERR_FORMAT;
    for (;;) {
        struct chat_event ev;
        unsigned type = get_u8(&in);
        if (type == TYPE_END && !in.is_bad)
            return in.left.n ? ERR_FORMAT : OK;
        if (type >= CHAT_EV_ERROR || in.is_bad)
            return ERR_FORMAT;
        get_event(&in, type, &ev);
        if (in.is_full)
            return ERR_NOMEM;
        if (in.is_bad)
            return ERR_FORMAT;
        int rc = chat_send(sink, &ev);
        if (rc != OK)
            return rc;
    }
}
