/* alloc_test.c - The token loop allocates nothing: on the fake model with everything that can happen to a
 * request, and on the demo model with all its threads. */
#include "base/alloc_guard.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"
#include "engine/engine_int.h"
#include "engine/face_int.h"
#include "engine/fake_test.h"

extern const char sluice_demo_gguf[] __attribute__((weak));
extern const char sluice_demo_gguf_end[] __attribute__((weak));

static void need_guard(void)
{
    if (!alloc_guard_is_built())
        test_skip("this build does not count allocations");
}

static void check_none(void)
{
    if (alloc_guard_count() > 0)
        test_fail(__FILE__, __LINE__, "%llu allocations in the token loop, the last one from %p",
                  (unsigned long long)alloc_guard_count(), alloc_guard_place());
}

TEST(the_guard_sees_what_is_allocated_while_it_is_on)
{
    need_guard();
    free(malloc(10));
    CHECK_INT(alloc_guard_count(), 0);
    bool before = alloc_guard_set(true);
    void *volatile p = malloc(10);
    char *volatile text = strdup("text");
    CHECK(alloc_guard_set(before));
    CHECK_INT(alloc_guard_count(), 2);
    CHECK(alloc_guard_place() != NULL);
    free(p);
    free(text);
}

/* ---- the fake model ---- */

enum { N = 24, TURNS = 4000 };

struct asked {
    struct sluice_stream *stream;
    int n_done;
};

static void hear(void *user, struct sluice_stream *s, const struct sluice_event *ev)
{
    struct asked *a = user;
    (void)s;
    a->n_done += ev->kind == SLUICE_EVENT_DONE;
    free(malloc(100)); /* hosts may */
}

static void ask(struct engine *e, struct asked *a, struct rng *r)
{
    static const char *const stops[] = {"zz"};
    struct sluice_request rq;
    int32_t prompt[64];
    struct err err;
    size_t n = 1 + rng_below(r, 60);

    for (size_t i = 0; i < n; i++)
        prompt[i] = FAKE_BYTE + (int32_t)(i < 20 ? i : rng_below(r, 200));
    sluice_request_init(&rq, sizeof rq);
    rq.sampling.max_tokens = (int32_t)rng_below(r, 90);
    rq.sampling.temperature = (float)rng_below(r, 2);
    rq.sampling.logprobs = (int32_t)rng_below(r, 5) - 1;
    rq.sampling.top_p = 0.9f;
    rq.sampling.frequency_penalty = 0.5f;
    rq.sampling.repeat_penalty = 1.1f;
    rq.sampling.stop = stops;
    rq.sampling.n_stop = 1;
    rq.prompt_logprobs = rng_below(r, 6) == 0;
    rq.priority = (enum sluice_priority)rng_below(r, 3);
    if (rng_below(r, 2)) { /* else it is polled, and pauses when nobody reads */
        rq.on_event = hear;
        rq.user = a;
    }
    REQUIRE(engine_submit(e, &rq, prompt, n, &a->stream, &err) == OK);
}

static void run_all(struct engine_options o, struct fake_model *m, struct tokenizer *t, uint64_t *n_preempted)
{
    struct engine *e;
    struct err err;
    struct rng r = rng_seeded(77);
    struct asked *a = calloc(N, sizeof *a);
    int n_asked = 0;

    clock_fake(1000, 0);
    m->step_ns = 1000000;
    m->row_ns = 10000;
    fake_model_init(m);
    o.compute = fake_compute(m);
    o.tokenizer = t;
    o.max_batch = 6;
    o.max_queue = 64;
    o.step_budget_us = 5000;
    o.use_prefix = true;
    o.hold = true;
    REQUIRE(a && engine_create(&e, &o, &err) == OK);
    for (int turn = 0; turn < TURNS; turn++) {
        struct sluice_event ev;
        if (n_asked < N && rng_below(&r, 4) == 0)
            ask(e, &a[n_asked++], &r);
        int k = n_asked > 0 ? (int)rng_below(&r, (uint64_t)n_asked) : -1;
        if (k >= 0 && rng_below(&r, 30) == 0)
            sluice_stream_cancel(a[k].stream);
        else if (k >= 0 && !a[k].n_done)
            sluice_stream_next(a[k].stream, 0, &ev, NULL);
        if (!engine_turn(e) && o.kv_cache_dir)
            usleep(20);
    }
    check_none();
    struct sluice_stats stats;
    engine_get_stats(e, &stats);
    *n_preempted += stats.n_preempted;
    CHECK(stats.cached_tokens > 0 && stats.n_steps > 100);
    for (int i = 0; i < n_asked; i++)
        sluice_stream_free(a[i].stream);
    engine_free(e);
    check_none();
    fake_model_deinit(m);
    clock_real();
    free(a);
}

TEST(steps_with_arrivals_cancels_preemptions_and_guesses_allocate_nothing)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = 41, .page_tokens = 4, .n_ctx = 160, .copy_distance = 9};
    struct fake_model again = m, draft = {.n_pages = 60, .n_ctx = 120};
    uint64_t n_preempted = 0;
    need_guard();
    run_all((struct engine_options){.draft_max = 5}, &m, t, &n_preempted);
    fake_model_init(&draft);
    struct compute c = fake_compute(&draft);
    run_all((struct engine_options){.draft_max = 5, .draft = &c}, &again, t, &n_preempted);
    CHECK(n_preempted > 0);
    fake_model_deinit(&draft);
    tokenizer_free(t);
}

TEST(steps_with_pages_on_disk_allocate_nothing)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = 41, .page_tokens = 4, .n_ctx = 160}, again = m;
    char dir[] = "/tmp/sluice-test-XXXXXX";
    uint64_t n_preempted = 0;
    need_guard();
    REQUIRE(mkdtemp(dir) != NULL);
    run_all((struct engine_options){.kv_cache_dir = dir, .kv_cache_bytes = 1 << 20}, &m, t, &n_preempted);
    run_all((struct engine_options){.kv_cache_dir = dir, .kv_cache_bytes = 1 << 20}, &again, t, &n_preempted);
    CHECK(n_preempted > 0);
    test_remove_folder(dir);
    tokenizer_free(t);
}

/* ---- a real model ---- */

TEST(steps_of_a_real_model_allocate_nothing)
{
    struct sluice_model_options mo;
    struct sluice_context *ctx;
    struct sluice_model *m;
    struct sluice_error err;
    struct sluice_stream *s[4];
    struct sluice_event ev;

    need_guard();
    if (!sluice_demo_gguf)
        test_skip("this build has no demo model");
    sluice_model_options_init(&mo, sizeof mo);
    mo.context = 400;
    mo.threads = 3;
    REQUIRE(sluice_model_open_memory(sluice_demo_gguf, (size_t)(sluice_demo_gguf_end - sluice_demo_gguf), &mo,
                                     &m, &err) == SLUICE_OK);
    REQUIRE(sluice_context_create(m, NULL, &ctx, &err) == SLUICE_OK);
    for (int i = 0; i < 4; i++) {
        struct sluice_request rq;
        sluice_request_init(&rq, sizeof rq);
        rq.text = "Once upon a time there was a house by the river, and in the house there lived";
        rq.sampling.max_tokens = 120;
        rq.sampling.ignore_eos = true;
        rq.sampling.logprobs = i;
        rq.sampling.top_k = i % 2 ? 20 : 0;
        REQUIRE(sluice_submit(ctx, &rq, &s[i], &err) == SLUICE_OK);
    }
    for (int i = 0; i < 4; i++) {
        while (sluice_stream_next(s[i], -1, &ev, &err) == 1 && ev.kind != SLUICE_EVENT_DONE)
            ;
        CHECK_INT(ev.usage.generated_tokens, 120);
        sluice_stream_free(s[i]);
    }
    sluice_context_free(ctx);
    sluice_model_free(m);
    check_none();
}
