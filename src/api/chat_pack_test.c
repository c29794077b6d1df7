#include "api/chat_pack.h"

#include "base/rand.h"
#include "base/test.h"

/* An answer with one of everything. */
static struct chat_collector *rich(void)
{
    struct chat_collector *c = chat_collector_new(1 << 20);
    struct chat_citation cite = {.cited_text = S("words"),
                                 .url = S("https://x"),
                                 .source_idx = -1,
                                 .start = 3,
                                 .end = -1,
                                 .answer_start = 0,
                                 .answer_end = 5};
    struct chat_top_logprob top[2] = {{S("a"), 5, -0.5}, {S("\xc3"), -1, -2.25}};
    struct chat_logprob lp = {.chosen = {S("a"), 5, -0.5}, .top = top, .n_top = 2, .text_offset = -1};
    struct chat_media image = {.mime = S("image/png"), .data = S("aGk=")};
    const struct chat_event events[] = {
        {.type = CHAT_EV_START, .id = S("id-1"), .model = S("m"), .created_s = 17},
        {.type = CHAT_EV_REASONING,
         .text = S("hm"),
         .signature = S("sig"),
         .signature_from = DIALECT_ANTHROPIC},
        {.type = CHAT_EV_TEXT, .text = S("wörld \"quoted\""), .block = 1, .logprobs = &lp, .n_logprobs = 1},
        {.type = CHAT_EV_CITATION, .citation = &cite, .block = 1},
        {.type = CHAT_EV_TOOL_CALL, .tool_idx = 1, .id = S("call_1"), .name = S("f"), .text = S("{\"a\":1}")},
        {.type = CHAT_EV_MEDIA, .media = &image, .media_type = CHAT_PART_IMAGE, .block = 2},
        {.type = CHAT_EV_TEXT, .choice = 1, .text = S("other")},
        {.type = CHAT_EV_USAGE, .usage = {10, 20, 3, 4, 50, 6, true, false}},
        {.type = CHAT_EV_FINISH, .finish = CHAT_FINISH_TOOL_CALLS},
        {.type = CHAT_EV_FINISH, .choice = 1, .finish = CHAT_FINISH_STOP_SEQUENCE, .text = S("END")},
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        REQUIRE(c && chat_collect(c, &events[i]) == OK);
    return c;
}

static int dump(void *ctx, const struct chat_event *ev)
{
    chat_dump_event(ev, ctx);
    return OK;
}

TEST(an_answer_comes_back_as_it_was_packed)
{
    struct chat_collector *c = rich(), *back = chat_collector_new(1 << 20);
    struct buf packed, before, after;
    struct arena a;
    buf_init(&packed, 1 << 20);
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    arena_init(&a, 1 << 20);
    CHECK_INT(chat_pack(chat_collected(c), &packed), OK);
    CHECK_INT(chat_unpack(buf_str(&packed), &a, &(struct chat_sink){chat_collect, back}), OK);
    chat_replay(chat_collected(c), &(struct chat_sink){dump, &before});
    chat_replay(chat_collected(back), &(struct chat_sink){dump, &after});
    CHECK(before.n > 200);
    CHECK_STR(buf_str(&after), buf_str(&before));
    const struct chat_answer *x = chat_collected(back);
    CHECK_INT(x->n_choices, 2);
    CHECK_INT(x->usage.cache_write_1h, 4);
    CHECK_INT(x->choices[0].logprobs[0].n_top, 2);
    buf_deinit(&packed);
    buf_deinit(&before);
    buf_deinit(&after);
    arena_deinit(&a);
    chat_collector_free(c);
    chat_collector_free(back);
}

static int nothing(void *ctx, const struct chat_event *ev)
{
    (void)ctx, (void)ev;
    return OK;
}

TEST(damaged_bytes_are_refused_or_harmless)
{
    struct chat_collector *c = rich();
    struct buf packed;
    struct arena a;
    struct rng rng = rng_seeded(5);
    int refused = 0;
    buf_init(&packed, 1 << 20);
    CHECK_INT(chat_pack(chat_collected(c), &packed), OK);
    arena_init(&a, 1 << 20);
    for (size_t n = 0; n < packed.n; n++) /* every cut */
        CHECK_INT(chat_unpack(str_of(packed.p, n), &a, &(struct chat_sink){nothing, NULL}), ERR_FORMAT);
    for (int i = 0; i < 3000; i++) {
        size_t at = (size_t)rng_below(&rng, packed.n);
        char was = packed.p[at];
        packed.p[at] = (char)rng_next(&rng);
        struct chat_collector *back = chat_collector_new(1 << 20);
        arena_reset(&a);
        refused += chat_unpack(buf_str(&packed), &a, &(struct chat_sink){chat_collect, back}) != OK;
        chat_collector_free(back);
        packed.p[at] = was;
    }
    CHECK(refused > 500);
    arena_deinit(&a);
    buf_deinit(&packed);
    chat_collector_free(c);
}
