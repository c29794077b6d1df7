/* matrix_test.c - Random answers through every writer and back through its reader.
 *
 * The oracle is the answer itself: what a client of a dialect parses must be what the provider
 * said, whichever dialect stands between, as a stream (fragments of calls interleaved) and as
 * one body.  Text is random Unicode, cut between any two characters. */
#include <stdlib.h>

#include "api/dialect.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/test.h"

enum { BYTES = 32 << 20, EVENTS_MAX = 256, ROUNDS = 120 };

static const struct dialect_reply reply = {
    .request_id = {"req_1", 5}, .model = {"m", 1}, .created_s = 1, .input_estimate = 3};

/* ---- a random answer as events ---- */

struct script {
    struct arena a;
    struct chat_event events[EVENTS_MAX];
    size_t n;
    struct rng rng;
};

static struct str random_text(struct script *s, int max_chars)
{
    static const char *const chars[] = {"a", "Z", " ", "\n", "\"", "\\", "ä", "€", "𝄞", "{", "}", "\t", "0"};
    struct buf b;
    buf_init(&b, 4096);
    int n = 1 + (int)rng_below(&s->rng, (uint64_t)max_chars);
    for (int i = 0; i < n; i++)
        buf_puts(&b, chars[rng_below(&s->rng, sizeof(chars) / sizeof(chars[0]))]);
    struct str t = arena_str(&s->a, buf_str(&b));
    buf_deinit(&b);
    return t;
}

static void add(struct script *s, struct chat_event ev)
{
    if (s->n < EVENTS_MAX)
        s->events[s->n++] = ev;
}

static void add_calls(struct script *s)
{
    struct str args[3];
    size_t at[3] = {0};
    int n = (int)rng_below(&s->rng, 4), n_open = n;
    for (int i = 0; i < n; i++) {
        struct buf b;
        buf_init(&b, 4096);
        buf_puts(&b, "{\"k\":");
        json_quote(&b, random_text(s, 8));
        buf_puts(&b, ",\"n\":[1,{\"x\":null}]}");
        args[i] = arena_str(&s->a, buf_str(&b));
        buf_deinit(&b);
        add(s, (struct chat_event){.type = CHAT_EV_TOOL_CALL,
                                   .tool_idx = i,
                                   .id = arena_printf(&s->a, "call.%d", i),
                                   .name = arena_printf(&s->a, "fn%d", i),
                                   .text = S("")});
    }
    /* The fragments of the calls, interleaved at random; JSON texts are cut between bytes of
     * whole characters because the reader of a provider sees whole strings. */
    while (n_open > 0) {
        int i = (int)rng_below(&s->rng, (uint64_t)n);
        if (at[i] == args[i].n)
            continue;
        size_t end = at[i] + 1 + rng_below(&s->rng, args[i].n - at[i]);
        while (end < args[i].n && ((unsigned char)args[i].p[end] & 0xc0) == 0x80)
            end++;
        add(s, (struct chat_event){
                   .type = CHAT_EV_TOOL_CALL, .tool_idx = i, .text = str_sub(args[i], at[i], end)});
        at[i] = end;
        n_open -= end == args[i].n;
    }
}

static void write_script(struct script *s, uint64_t seed)
{
    int block = 0;
    s->rng = rng_seeded(seed);
    s->n = 0;
    add(s, (struct chat_event){.type = CHAT_EV_START, .id = S("answer-1"), .model = S("model-1")});
    for (uint64_t k = rng_below(&s->rng, 3); k > 0; k--) {
        add(s, (struct chat_event){.type = CHAT_EV_REASONING,
                                   .block = block,
                                   .text = random_text(s, 10),
                                   .signature_from = DIALECT_ANTHROPIC});
        add(s, (struct chat_event){.type = CHAT_EV_REASONING,
                                   .block = block++,
                                   .text = S(""),
                                   .signature = S("c2ln"),
                                   .signature_from = DIALECT_ANTHROPIC});
    }
    for (uint64_t k = rng_below(&s->rng, 5); k > 0; k--)
        add(s, (struct chat_event){.type = CHAT_EV_TEXT, .block = block, .text = random_text(s, 10)});
    bool has_text = s->n && s->events[s->n - 1].type == CHAT_EV_TEXT;
    size_t before = s->n;
    add_calls(s);
    bool has_calls = s->n > before;
    if (!has_text && !has_calls)
        add(s, (struct chat_event){.type = CHAT_EV_TEXT, .block = block, .text = S("x")});
    struct token_account usage = {.input_fresh = (int64_t)rng_below(&s->rng, 100),
                                  .cache_read = (int64_t)rng_below(&s->rng, 100),
                                  .output = 10 + (int64_t)rng_below(&s->rng, 100),
                                  .reasoning = (int64_t)rng_below(&s->rng, 10),
                                  .is_known = true};
    add(s, (struct chat_event){.type = CHAT_EV_USAGE, .usage = usage});
    bool is_long = !has_calls && rng_below(&s->rng, 2);
    add(s, (struct chat_event){.type = CHAT_EV_FINISH,
                               .finish = has_calls ? CHAT_FINISH_TOOL_CALLS
                                         : is_long ? CHAT_FINISH_LENGTH
                                                   : CHAT_FINISH_STOP});
}

/* ---- what counts as the same answer ---- */

/* Texts joined by kind: how a dialect cuts them into blocks is its own business. */
static void describe(const struct chat_answer *a, struct buf *out)
{
    static const enum chat_part_type kinds[] = {CHAT_PART_REASONING, CHAT_PART_TEXT};
    const struct chat_choice *c = &a->choices[0];
    for (int k = 0; k < 2; k++) {
        buf_printf(out, "%d:", k);
        for (size_t i = 0; i < c->n_parts; i++)
            if (c->parts[i].type == kinds[k])
                buf_str_add(out, c->parts[i].text);
    }
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == CHAT_PART_TOOL_CALL)
            buf_printf(out, "\ncall %.*s %.*s", STR(c->parts[i].name), STR(c->parts[i].args_json));
    buf_printf(out, "\nfinish %d usage %lld %lld %lld %lld", c->finish, (long long)a->usage.input_fresh,
               (long long)a->usage.cache_read, (long long)a->usage.output, (long long)a->usage.reasoning);
}

static void play(const struct script *s, const struct chat_sink *sink)
{
    for (size_t i = 0; i < s->n; i++)
        CHECK_INT(chat_send(sink, &s->events[i]), OK);
}

static void read_sse(const struct dialect *d, struct str sse, const struct chat_request *req,
                     const struct chat_sink *sink)
{
    struct dialect_reader *r = d->reader_new(req);
    struct str line, name = S("");
    while (str_split(&sse, '\n', &line)) {
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (str_starts(line, S("event: ")))
            name = str_sub(line, 7, line.n);
        if (str_starts(line, S("data: ")))
            CHECK_INT(d->reader_event(r, name, str_sub(line, 6, line.n), sink), OK);
    }
    CHECK_INT(d->reader_end(r, sink), OK);
    d->reader_free(r);
}

struct to_writer {
    const struct dialect *d;
    struct dialect_writer *w;
    struct buf *out;
};

static int on_write(void *ctx, const struct chat_event *ev)
{
    struct to_writer *x = ctx;
    return x->d->writer_event(x->w, ev, x->out);
}

static void compare(const struct dialect *d, const char *how, const struct chat_answer *got, struct str want,
                    uint64_t seed)
{
    struct buf b;
    buf_init(&b, BYTES);
    if (got->has_error)
        test_fail(__FILE__, __LINE__, "%s %s seed %llu: %s", d->name, how, (unsigned long long)seed,
                  got->error.message);
    else
        describe(got, &b);
    if (!got->has_error && !CHECK_STR(buf_str(&b), want))
        printf("  in %s %s, seed %llu\n", d->name, how, (unsigned long long)seed);
    buf_deinit(&b);
}

static void one_round(struct script *s, const struct dialect *d, uint64_t seed)
{
    struct chat_request req = {.op = CHAT_OP_GENERATE, .n = 1, .is_stream = true, .include_usage = true};
    struct chat_collector *direct = chat_collector_new(BYTES);
    struct chat_collector *streamed = chat_collector_new(BYTES), *whole = chat_collector_new(BYTES);
    struct buf out, want;
    struct chat_error e;
    struct arena a;
    arena_init(&a, BYTES);
    buf_init(&out, BYTES);
    buf_init(&want, BYTES);
    play(s, &(struct chat_sink){chat_collect, direct});
    const struct chat_answer *answer = chat_collected(direct);
    describe(answer, &want);

    struct to_writer x = {d, d->writer_new(&req, &reply), &out};
    play(s, &(struct chat_sink){on_write, &x});
    CHECK_INT(d->writer_end(x.w, &out), OK);
    d->writer_free(x.w);
    read_sse(d, buf_str(&out), &req, &(struct chat_sink){chat_collect, streamed});
    compare(d, "stream", chat_collected(streamed), buf_str(&want), seed);

    buf_clear(&out);
    CHECK_INT(d->write_answer(&req, &reply, answer, &out, &e), OK);
    CHECK_INT(d->read_answer(&req, buf_str(&out), &a, &(struct chat_sink){chat_collect, whole}), OK);
    compare(d, "body", chat_collected(whole), buf_str(&want), seed);

    chat_collector_free(direct);
    chat_collector_free(streamed);
    chat_collector_free(whole);
    buf_deinit(&out);
    buf_deinit(&want);
    arena_deinit(&a);
}

TEST(every_dialect_says_what_was_said)
{
    static const enum dialect_id ids[] = {DIALECT_OPENAI_CHAT, DIALECT_ANTHROPIC, DIALECT_GEMINI};
    struct script s = {0};
    arena_init(&s.a, BYTES);
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        arena_reset(&s.a);
        write_script(&s, seed);
        for (int i = 0; i < 3; i++)
            one_round(&s, dialect_get(ids[i]), seed);
    }
    arena_deinit(&s.a);
}

/* A whole answer kept in a cache serves a stream: replayed events are the same answer. */
TEST(a_replayed_answer_is_the_answer)
{
    struct script s = {0};
    arena_init(&s.a, BYTES);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct chat_collector *first = chat_collector_new(BYTES), *second = chat_collector_new(BYTES);
        struct buf a, b;
        buf_init(&a, BYTES);
        buf_init(&b, BYTES);
        write_script(&s, seed);
        play(&s, &(struct chat_sink){chat_collect, first});
        const struct chat_answer *answer = chat_collected(first);
        CHECK_INT(chat_replay(answer, &(struct chat_sink){chat_collect, second}), OK);
        describe(answer, &a);
        describe(chat_collected(second), &b);
        CHECK_STR(buf_str(&b), buf_str(&a));
        buf_deinit(&a);
        buf_deinit(&b);
        chat_collector_free(first);
        chat_collector_free(second);
    }
    arena_deinit(&s.a);
}

/* What nothing may do: end a stream cleanly that has not finished. */
TEST(a_stream_that_stops_anywhere_ends_in_an_error)
{
    static const enum dialect_id ids[] = {DIALECT_OPENAI_CHAT, DIALECT_ANTHROPIC, DIALECT_GEMINI};
    struct chat_request req = {.n = 1, .is_stream = true};
    struct script s = {0};
    arena_init(&s.a, BYTES);
    write_script(&s, 7);
    for (int i = 0; i < 3; i++)
        for (size_t cut = 0; cut + 1 < s.n; cut++) {
            const struct dialect *d = dialect_get(ids[i]);
            struct buf out;
            buf_init(&out, BYTES);
            struct dialect_writer *w = d->writer_new(&req, &reply);
            for (size_t k = 0; k < cut; k++)
                d->writer_event(w, &s.events[k], &out);
            d->writer_end(w, &out);
            CHECK(str_find(buf_str(&out), S("\"error\":{"), 0) != STR_NONE);
            CHECK(str_find(buf_str(&out), S("[DONE]"), 0) == STR_NONE);
            CHECK(str_find(buf_str(&out), S("message_stop"), 0) == STR_NONE);
            d->writer_free(w);
            buf_deinit(&out);
        }
    arena_deinit(&s.a);
}

TEST(a_collector_stops_at_its_maximum)
{
    struct chat_collector *c = chat_collector_new(1000);
    struct chat_event ev = {.type = CHAT_EV_TEXT, .text = S("0123456789")};
    int rc = OK, n = 0;
    while (rc == OK && n++ < 1000)
        rc = chat_collect(c, &ev);
    CHECK_INT(rc, ERR_LIMIT);
    CHECK(n < 101);
    chat_collector_free(c);
}
