/* dialect_drive.h - Drives one dialect's readers with any bytes, for the fuzz_dialect_* targets.
 *
 * The first byte says which reader the rest goes to: a request, a whole answer, a stream (one
 * event per line) or an error.  What is read is written again in every dialect, and what is
 * written must be JSON: a reader that lets something impossible through shows there. */
#ifndef FUZZ_DIALECT_DRIVE_H
#define FUZZ_DIALECT_DRIVE_H

#include <stdlib.h>

#include "api/dialect.h"
#include "base/json.h"

static const enum dialect_id drive_all[] = {DIALECT_OPENAI_CHAT, DIALECT_OPENAI_COMPLETIONS,
                                            DIALECT_OPENAI_EMBEDDINGS, DIALECT_ANTHROPIC, DIALECT_GEMINI};
enum { DRIVE_N = sizeof(drive_all) / sizeof(drive_all[0]), DRIVE_BYTES = 16 << 20 };

static void must_be_json(struct str s, struct arena *a)
{
    struct json_doc doc;
    int rc = json_parse(&doc, a, s, NULL);
    /* Raw spans go one or two levels deeper than they came; the limit is the reader's. */
    if (rc != OK && rc != ERR_LIMIT && rc != ERR_NOMEM)
        abort();
}

static void drive_request(const struct dialect *d, struct dialect_in in)
{
    struct arena a;
    struct chat_request *req;
    struct chat_error e;
    struct buf out;
    arena_init(&a, DRIVE_BYTES);
    buf_init(&out, DRIVE_BYTES);
    if (d->read_request(&in, &a, &req, &e) != OK) {
        if (!e.message[0] || !str_is_utf8(str_c(e.message)) || !str_is_utf8(str_c(e.param)))
            abort();
        arena_deinit(&a);
        buf_deinit(&out);
        return;
    }
    chat_dump_request(req, &out);
    struct dialect_target t = {.model = S("target/\"model\"")};
    for (int quirks = 0; quirks < 2; quirks++)
        for (int i = 0; i < DRIVE_N; i++) {
            const struct dialect *to = dialect_get(drive_all[i]);
            struct dialect_out o = {.body = &out};
            buf_clear(&out);
            t.quirks = quirks ? QUIRK_ENGINE_FIELDS | QUIRK_REASONING_BACK | QUIRK_MAX_TOKENS_OLD : 0;
            t.max_tokens_cap = quirks ? 100 : 0;
            t.is_auto_cache = quirks;
            bool pass = to->id == req->from && quirks;
            int rc = (pass ? to->pass_request : to->write_request)(req, &t, &a, &o);
            if (rc == OK && o.lacks.n_refused == 0)
                must_be_json(buf_str(&out), &a);
        }
    arena_deinit(&a);
    buf_deinit(&out);
}

struct drive {
    struct chat_collector *all;
    struct dialect_writer *writers[DRIVE_N];
    struct chat_request *requests[DRIVE_N];
    struct buf out[DRIVE_N];
    struct buf dump;
};

static int drive_event(void *ctx, const struct chat_event *ev)
{
    struct drive *x = ctx;
    buf_clear(&x->dump);
    chat_dump_event(ev, &x->dump);
    chat_collect(x->all, ev);
    for (int i = 0; i < DRIVE_N; i++)
        if (x->writers[i])
            dialect_get(drive_all[i])->writer_event(x->writers[i], ev, &x->out[i]);
    return OK;
}

static void must_be_sse(struct str s, struct arena *a)
{
    struct str line;
    while (str_split(&s, '\n', &line))
        if (str_starts(line, S("data: ")) && !str_starts(line, S("data: [DONE]")))
            must_be_json(str_sub(line, 6, line.n), a);
}

/* One answer or stream, read by `d`, written by all. */
static void drive_answer(const struct dialect *d, struct str data, bool is_stream)
{
    static const struct dialect_reply reply = {.request_id = {"req_1", 5}, .model = {"m", 1}};
    struct chat_request req = {.n = 1, .is_stream = true, .include_usage = true};
    struct drive x = {.all = chat_collector_new(DRIVE_BYTES)};
    struct chat_sink sink = {drive_event, &x};
    struct arena a;
    struct chat_error e;
    arena_init(&a, 4 * DRIVE_BYTES);
    buf_init(&x.dump, DRIVE_BYTES);
    for (int i = 0; i < DRIVE_N; i++) {
        buf_init(&x.out[i], DRIVE_BYTES);
        if (dialect_get(drive_all[i])->writer_new)
            x.writers[i] = dialect_get(drive_all[i])->writer_new(&req, &reply);
    }
    if (is_stream) {
        struct dialect_reader *r = d->reader_new(&req);
        struct str line;
        while (str_split(&data, '\n', &line))
            d->reader_event(r, S(""), line, &sink);
        d->reader_end(r, &sink);
        d->reader_free(r);
    } else {
        d->read_answer(&req, data, &a, &sink);
    }
    const struct chat_answer *answer = chat_collected(x.all);
    for (int i = 0; i < DRIVE_N; i++) {
        const struct dialect *to = dialect_get(drive_all[i]);
        if (!x.writers[i])
            continue;
        to->writer_end(x.writers[i], &x.out[i]);
        if (buf_ok(&x.out[i]))
            must_be_sse(buf_str(&x.out[i]), &a);
        to->writer_free(x.writers[i]);
        buf_clear(&x.out[i]);
        if (answer && to->write_answer(&req, &reply, answer, &x.out[i], &e) == OK)
            must_be_json(buf_str(&x.out[i]), &a);
        buf_deinit(&x.out[i]);
        arena_reset(&a);
    }
    chat_collector_free(x.all);
    buf_deinit(&x.dump);
    arena_deinit(&a);
}

static void drive_error(const struct dialect *d, struct str body, int status)
{
    struct chat_header headers[] = {{S("retry-after"), str_sub(body, 0, 40)},
                                    {S("x-ratelimit-reset-tokens"), str_sub(body, 0, 20)}};
    struct chat_error e;
    struct rate_limits l;
    struct buf out;
    struct arena a;
    arena_init(&a, DRIVE_BYTES);
    buf_init(&out, DRIVE_BYTES);
    d->read_error(status, headers, 2, body, 1700000000000, &e);
    d->read_limits(headers, 2, 1700000000000, &l);
    for (int i = 0; i < DRIVE_N; i++) {
        buf_clear(&out);
        dialect_get(drive_all[i])->write_error(&e, S("req_1"), &out);
        must_be_json(buf_str(&out), &a);
    }
    buf_deinit(&out);
    arena_deinit(&a);
}

static void drive(const struct dialect *d, struct dialect_in in, const uint8_t *data, size_t n)
{
    static const int statuses[] = {200, 400, 401, 429, 500, 503, 529};
    if (n < 1)
        return;
    struct str rest = str_of((const char *)data + 1, n - 1);
    in.body = rest;
    switch (data[0] % 4) {
    case 0: drive_request(d, in); return;
    case 1:
        if (d->read_answer)
            drive_answer(d, rest, false);
        return;
    case 2:
        if (d->reader_new)
            drive_answer(d, rest, true);
        return;
    default: drive_error(d, rest, statuses[data[0] / 4 % 7]);
    }
}

#endif
