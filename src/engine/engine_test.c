/* engine_test.c - Equal tokens whatever happens around a request, on the fake model. */
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"
#include "engine/engine_int.h"
#include "engine/fake_test.h"

#define PROMPT_MAX 256

struct asked {
    struct sluice_request rq;
    int32_t prompt[PROMPT_MAX];
    size_t n_prompt;
    struct heard heard;
};

static void ask_init(struct asked *a, struct rng *r, int prompt_max, int answer_max)
{
    memset(a, 0, sizeof *a);
    sluice_request_init(&a->rq, sizeof a->rq);
    a->n_prompt = 1 + rng_below(r, (uint64_t)prompt_max);
    /* Few different beginnings, so that prefixes are shared. */
    uint64_t family = rng_below(r, 3);
    size_t n_shared = rng_below(r, a->n_prompt + 1);
    for (size_t i = 0; i < a->n_prompt; i++)
        a->prompt[i] = FAKE_BYTE + (int32_t)(i < n_shared ? rand_at(family, 0, i) % 256 : rng_below(r, 256));
    struct sluice_sampling *s = &a->rq.sampling;
    s->max_tokens = (int32_t)rng_below(r, (uint64_t)answer_max + 1);
    s->has_seed = true;
    s->seed = rng_next(r);
    s->temperature = rng_below(r, 3) ? 1.0f : 0.0f;
    s->top_k = rng_below(r, 2) ? 40 : 0;
    s->top_p = rng_below(r, 2) ? 0.9f : 1.0f;
    s->frequency_penalty = rng_below(r, 2) ? 0.5f : 0.0f;
    s->repeat_penalty = rng_below(r, 2) ? 1.2f : 1.0f;
    s->repeat_last_n = rng_below(r, 2) ? 16 : -1;
    s->logprobs = rng_below(r, 2) ? 3 : -1;
    a->rq.priority = (enum sluice_priority)rng_below(r, 3);
    a->rq.on_event = heard_event;
    a->rq.user = &a->heard;
}

static void submit(struct engine *e, struct asked *a)
{
    fake_submit(e, &a->rq, a->prompt, a->n_prompt, &a->heard);
}

static void check_as_solo(const struct asked *a, const struct heard *solo)
{
    CHECK_INT(a->heard.n_done, 1);
    CHECK_INT(a->heard.n_start, 1);
    CHECK_INT(a->heard.finish, solo->finish);
    CHECK_INT(a->heard.n_tokens, solo->n_tokens);
    CHECK(!memcmp(a->heard.tokens, solo->tokens, sizeof solo->tokens));
    CHECK(!memcmp(a->heard.logprobs, solo->logprobs, (size_t)solo->n_tokens * sizeof(float)));
    CHECK_STR(str_of(a->heard.text, a->heard.n_text), str_of(solo->text, solo->n_text));
    CHECK(!a->heard.is_text_broken);
}

static void run_until_quiet(struct engine *e)
{
    int guard = 0;
    while (engine_turn(e))
        REQUIRE(++guard < 200000);
}

static void free_all(struct asked *a, int n)
{
    for (int i = 0; i < n; i++)
        sluice_stream_free(a[i].heard.stream);
}

TEST(a_request_among_31_others_says_what_it_says_alone)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = 1024, .end_pull = 3};
    struct rng r = rng_seeded(1);
    struct asked *a = calloc(32, sizeof *a);
    struct heard *solo = calloc(1, sizeof *solo);

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 32, 1e6, 0, false);
    for (int i = 0; i < 32; i++) {
        ask_init(&a[i], &r, PROMPT_MAX, 60);
        submit(e, &a[i]);
    }
    run_until_quiet(e);
    for (int i = 0; i < 32; i++) {
        fake_solo(&m, t, &a[i].rq, a[i].prompt, a[i].n_prompt, solo);
        check_as_solo(&a[i], solo);
    }
    CHECK(!m.is_corrupt);
    CHECK(engine_pages_are_whole(e));
    free_all(a, 32);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
    free(solo);
}

TEST(a_repeated_prompt_is_taken_from_the_cache_and_answers_the_same)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {0};
    struct rng r = rng_seeded(2);
    struct asked *a = calloc(2, sizeof *a);

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    ask_init(&a[0], &r, 1, 20);
    a[0].n_prompt = 100;
    for (int i = 0; i < 100; i++)
        a[0].prompt[i] = FAKE_BYTE + i;
    a[0].rq.sampling.max_tokens = 20;
    a[1] = a[0];
    a[1].rq.user = &a[1].heard;
    submit(e, &a[0]);
    run_until_quiet(e);
    submit(e, &a[1]);
    run_until_quiet(e);
    CHECK_INT(a[0].heard.usage.cached_tokens, 0);
    CHECK_INT(a[1].heard.usage.cached_tokens, 96); /* 12 full pages of 8 */
    CHECK_INT(a[1].heard.usage.prompt_tokens, 100);
    CHECK_INT(a[0].heard.n_tokens, a[1].heard.n_tokens);
    CHECK(!memcmp(a[0].heard.tokens, a[1].heard.tokens, sizeof a[0].heard.tokens));
    CHECK(!m.is_corrupt);
    free_all(a, 2);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}

TEST(a_prompt_that_leaves_a_known_one_inside_a_page_takes_the_common_part_along)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {0}, other = {0};
    struct rng r = rng_seeded(3);
    struct asked *a = calloc(3, sizeof *a);

    fake_model_init(&m);
    fake_model_init(&other);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false),
                  *alone = fake_engine(&other, t, 4, 1e6, 0, false);
    ask_init(&a[0], &r, 1, 20);
    a[0].n_prompt = 100;
    for (int i = 0; i < 100; i++)
        a[0].prompt[i] = FAKE_BYTE + i;
    a[0].rq.sampling.max_tokens = 20;
    a[1] = a[0];
    a[1].prompt[86] = FAKE_BYTE + 200; /* 10 full pages of 8 and 6 tokens are the same */
    a[2] = a[1];
    for (int i = 1; i < 3; i++)
        a[i].rq.user = &a[i].heard;
    submit(e, &a[0]);
    run_until_quiet(e);
    submit(e, &a[1]);
    run_until_quiet(e);
    submit(alone, &a[2]);
    run_until_quiet(alone);
    CHECK_INT(a[1].heard.usage.cached_tokens, 86);
    CHECK_INT(a[2].heard.usage.cached_tokens, 0);
    CHECK_INT(a[1].heard.n_tokens, a[2].heard.n_tokens);
    CHECK(!memcmp(a[1].heard.tokens, a[2].heard.tokens, sizeof a[1].heard.tokens));
    CHECK(!m.is_corrupt);
    free_all(a, 3);
    engine_free(e);
    engine_free(alone);
    fake_model_deinit(&m);
    fake_model_deinit(&other);
    tokenizer_free(t);
    free(a);
}

TEST(equal_prompts_that_arrive_together_are_computed_once)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {0};
    struct rng r = rng_seeded(3);
    struct asked *a = calloc(4, sizeof *a);

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    for (int i = 0; i < 4; i++) {
        ask_init(&a[i], &r, 1, 20);
        a[i].n_prompt = 130;
        for (int k = 0; k < 130; k++)
            a[i].prompt[k] = FAKE_BYTE + k;
        a[i].rq.priority = SLUICE_PRIORITY_NORMAL;
        a[i].rq.sampling.choice = (uint32_t)i;
        submit(e, &a[i]);
    }
    run_until_quiet(e);
    CHECK_INT(a[0].heard.usage.cached_tokens, 0);
    for (int i = 1; i < 4; i++)
        CHECK_INT(a[i].heard.usage.cached_tokens, 128);
    free_all(a, 4);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}

/* Arrive, cancel, run out of pages: whatever was not cancelled says what it says alone. */
struct fuzz_of {
    int32_t n_pages, max_batch, draft_max, copy_distance;
    bool has_draft_model;
    const char *disk; /* folder of KV pages, or NULL */
};

static bool all_done(const struct asked *a, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i].heard.n_done == 0)
            return false;
    return true;
}

static void fuzz(uint64_t seed, struct fuzz_of f)
{
    static const char *const stops[] = {"z", "\xc3\xa4w"};
    enum { N = 40 };
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = f.n_pages,
                           .page_tokens = 4,
                           .rows_max = 48,
                           .outputs_max = 24,
                           .n_ctx = 160,
                           .end_pull = 2,
                           .copy_distance = f.copy_distance,
                           .step_ns = 1000000,
                           .row_ns = 10000};
    struct fake_model draft = {
        .n_pages = 60, .n_ctx = 120, .end_pull = 3, .copy_distance = f.copy_distance, .step_ns = 50000};
    struct rng r = rng_seeded(seed);
    struct asked *a = calloc(N, sizeof *a);
    struct heard *solo = calloc(1, sizeof *solo);
    bool *cancelled = calloc(N, sizeof *cancelled);
    uint64_t n_preempted = 0, n_accepted = 0;
    int n_asked = 0;

    clock_fake(1000, 0);
    fake_model_init(&m);
    fake_model_init(&draft);
    struct engine *e = f.disk ? fake_engine_on_disk(&m, t, f.max_batch, f.draft_max, f.disk, 40000)
                              : fake_engine_drafted(&m, f.has_draft_model ? &draft : NULL, t, f.max_batch,
                                                    5000, f.draft_max);
    for (int turn = 0; turn < (f.disk ? 50000 : 5000); turn++) {
        if (n_asked < N && rng_below(&r, 3) == 0) {
            ask_init(&a[n_asked], &r, 60, 80);
            if (rng_below(&r, 4) == 0) {
                a[n_asked].rq.sampling.stop = stops;
                a[n_asked].rq.sampling.n_stop = 2;
            }
            a[n_asked].rq.sampling.presence_penalty = rng_below(&r, 4) ? 0 : 0.7f;
            submit(e, &a[n_asked++]);
        }
        if (n_asked > 0 && rng_below(&r, 40) == 0) {
            int k = (int)rng_below(&r, (uint64_t)n_asked);
            cancelled[k] |= a[k].heard.n_done == 0;
            sluice_stream_cancel(a[k].heard.stream);
        }
        if (engine_turn(e) || n_asked < N)
            continue;
        if (all_done(a, N) && (!f.disk || engine_pages_are_whole(e)))
            break;
        REQUIRE(f.disk);
        usleep(100); /* for the threads that load and save */
    }
    CHECK(!m.is_corrupt && !draft.is_corrupt);
    CHECK(engine_pages_are_whole(e));
    for (int i = 0; i < N; i++) {
        n_accepted += a[i].heard.usage.draft_accepted;
        n_preempted += a[i].heard.usage.n_preempted;
        if (cancelled[i]) {
            CHECK_INT(a[i].heard.finish, SLUICE_FINISH_CANCELLED);
            continue;
        }
        fake_solo(&m, t, &a[i].rq, a[i].prompt, a[i].n_prompt, solo);
        check_as_solo(&a[i], solo);
    }
    if (f.n_pages < 100 && !f.disk) /* with files, who meets whom depends on when they are read */
        CHECK(n_preempted > 0);
    if (f.draft_max > 0)
        CHECK(n_accepted > 0);
    free_all(a, N);
    engine_free(e);
    fake_model_deinit(&m);
    fake_model_deinit(&draft);
    tokenizer_free(t);
    clock_real();
    free(a);
    free(solo);
    free(cancelled);
}

TEST(any_order_of_arrivals_and_cancels_gives_the_same_tokens)
{
    for (uint64_t seed = 0; seed < 12; seed++)
        fuzz(seed, (struct fuzz_of){.n_pages = 600, .max_batch = 8});
}

TEST(a_tiny_pool_preempts_and_loses_nothing)
{
    for (uint64_t seed = 100; seed < 120; seed++)
        fuzz(seed, (struct fuzz_of){.n_pages = 40, .max_batch = 8});
}

TEST(guesses_from_the_text_change_nothing)
{
    for (uint64_t seed = 200; seed < 210; seed++)
        fuzz(seed, (struct fuzz_of){
                       .n_pages = seed % 2 ? 600 : 40, .max_batch = 6, .draft_max = 5, .copy_distance = 7});
}

TEST(guesses_of_a_draft_model_change_nothing)
{
    for (uint64_t seed = 300; seed < 310; seed++)
        fuzz(seed,
             (struct fuzz_of){
                 .n_pages = seed % 2 ? 600 : 40, .max_batch = 6, .draft_max = 5, .has_draft_model = true});
}

TEST(pages_on_disk_change_nothing)
{
    for (uint64_t seed = 400; seed < 403; seed++) {
        char dir[] = "/tmp/sluice-test-XXXXXX";
        REQUIRE(mkdtemp(dir) != NULL);
        for (int again = 0; again < 2; again++)
            fuzz(seed, (struct fuzz_of){.n_pages = seed % 2 ? 600 : 40,
                                        .max_batch = 6,
                                        .draft_max = seed % 4 == 0 ? 5 : 0,
                                        .copy_distance = seed % 4 == 0 ? 7 : 0,
                                        .disk = dir});
        test_remove_folder(dir);
    }
}

/* Steps for one answer of 200 tokens. */
static int steps_for(int32_t draft_max, int32_t copy_distance, int64_t row_ns, struct sluice_usage *usage)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.copy_distance = copy_distance, .step_ns = 20000000, .row_ns = row_ns};
    struct rng r = rng_seeded(9);
    struct asked *a = calloc(1, sizeof *a);

    clock_fake(1000, 0);
    fake_model_init(&m);
    struct engine *e = fake_engine_drafted(&m, NULL, t, 4, 50000, draft_max);
    ask_init(a, &r, 1, 1);
    a->n_prompt = 30;
    for (int i = 0; i < 30; i++)
        a->prompt[i] = FAKE_BYTE + i;
    a->rq.sampling.max_tokens = 200;
    a->rq.sampling.ignore_eos = true;
    a->rq.sampling.frequency_penalty = 0;
    a->rq.sampling.repeat_penalty = 1;
    submit(e, a);
    run_until_quiet(e);
    CHECK_INT(a->heard.usage.generated_tokens, 200);
    *usage = a->heard.usage;
    free_all(a, 1);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    clock_real();
    free(a);
    return m.n_steps;
}

TEST(guessing_pays_on_copies_and_stops_by_itself_elsewhere)
{
    struct sluice_usage usage;
    CHECK_INT(steps_for(0, 11, 100000, &usage), 200);
    CHECK(steps_for(5, 11, 100000, &usage) < 80);
    CHECK(usage.draft_accepted > 100);
    steps_for(5, 0, 100000, &usage); /* nothing repeats: few guesses, after the first tries hardly any */
    CHECK(usage.draft_tokens < 60);
    steps_for(5, 0, 30000000, &usage); /* rows cost more than steps */
    CHECK(usage.draft_tokens < 40);
}

/* One answer of 300 tokens; the draft model is the model itself (always right) or another (never right). */
static void draft_of_cost(bool is_right, int64_t draft_step_ns, int n_streams, struct sluice_stats *stats)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.step_ns = 20000000, .row_ns = 200000};
    struct fake_model draft = {.step_ns = draft_step_ns, .end_pull = is_right ? 0 : 20};
    struct rng r = rng_seeded(10);
    struct asked *a = calloc(8, sizeof *a);

    clock_fake(1000, 0);
    fake_model_init(&m);
    fake_model_init(&draft);
    struct engine *e = fake_engine_drafted(&m, &draft, t, 8, 50000, 5);
    for (int i = 0; i < n_streams; i++) {
        ask_init(&a[i], &r, 30, 1);
        a[i].rq.sampling = (struct sluice_sampling){.max_tokens = 300,
                                                    .ignore_eos = true,
                                                    .logprobs = -1,
                                                    .top_p = 1,
                                                    .repeat_penalty = 1,
                                                    .temperature = (float)(i % 2),
                                                    .has_seed = true,
                                                    .seed = (uint64_t)i};
        submit(e, &a[i]);
    }
    run_until_quiet(e);
    for (int i = 0; i < n_streams; i++)
        CHECK_INT(a[i].heard.usage.generated_tokens, 300);
    engine_get_stats(e, stats);
    free_all(a, n_streams);
    engine_free(e);
    fake_model_deinit(&m);
    fake_model_deinit(&draft);
    tokenizer_free(t);
    clock_real();
    free(a);
}

TEST(a_draft_model_that_does_not_pay_is_left_alone_and_the_gain_is_told)
{
    struct sluice_stats s;
    draft_of_cost(true, 2000000, 1, &s); /* cheap and right */
    CHECK(s.n_steps < 120);
    CHECK(s.draft_saved_us > 2000000); /* of 300 steps of 20 ms */
    CHECK(s.draft_accepted > 200);
    draft_of_cost(true, 2000000, 4, &s); /* drawn tokens are guessed with the same random number */
    CHECK(s.draft_accepted > 800);
    draft_of_cost(false, 2000000, 1, &s); /* cheap and wrong */
    CHECK(s.draft_tokens < 60);
    CHECK(s.draft_saved_us <= 0 && s.draft_saved_us > -600000);
    draft_of_cost(true, 40000000, 1, &s); /* right, and dearer than the model itself */
    CHECK(s.draft_tokens > 0 && s.draft_tokens < 20);
    CHECK(s.draft_saved_us < 0 && s.draft_saved_us > -1000000);
}

TEST(a_prompt_that_does_not_fit_is_refused_with_both_numbers)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_ctx = 100, .n_pages = 10, .page_tokens = 8};
    struct rng r = rng_seeded(5);
    struct asked *a = calloc(1, sizeof *a);
    struct err err;

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    ask_init(a, &r, 1, 20);
    a->rq.sampling.max_tokens = 5;
    for (int i = 0; i < 200; i++)
        a->prompt[i] = 5;
    CHECK_INT(engine_submit(e, &a->rq, a->prompt, 100, &a->heard.stream, &err), ERR_LIMIT);
    CHECK(strstr(err.text, "100 tokens") && strstr(err.text, "context of 100"));
    CHECK_INT(engine_submit(e, &a->rq, a->prompt, 80, &a->heard.stream, &err), ERR_LIMIT);
    CHECK(strstr(err.text, "80 tokens") && strstr(err.text, "KV pool of 80"));
    CHECK_INT(engine_submit(e, &a->rq, a->prompt, 0, &a->heard.stream, &err), ERR_ARG);
    a->prompt[3] = FAKE_VOCAB;
    CHECK_INT(engine_submit(e, &a->rq, a->prompt, 5, &a->heard.stream, &err), ERR_ARG);
    /* One that just fits ends with `length` when the pool is full. */
    a->prompt[3] = 5;
    a->n_prompt = 79;
    submit(e, a);
    run_until_quiet(e);
    CHECK_INT(a->heard.finish, SLUICE_FINISH_LENGTH);
    CHECK_INT(a->heard.usage.generated_tokens, 1);
    free_all(a, 1);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}

TEST(a_failed_step_fails_its_requests_and_no_others)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.fail_step = 3};
    struct rng r = rng_seeded(6);
    struct asked *a = calloc(2, sizeof *a);

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    ask_init(&a[0], &r, 30, 1);
    a[0].rq.sampling.max_tokens = 30;
    a[1] = a[0];
    a[1].rq.user = &a[1].heard;
    submit(e, &a[0]);
    run_until_quiet(e);
    CHECK_INT(a[0].heard.finish, SLUICE_FINISH_ERROR);
    CHECK_INT(a[0].heard.error_code, ERR_IO);
    CHECK(strstr(a[0].heard.error_text, "told to fail"));
    submit(e, &a[1]);
    run_until_quiet(e);
    CHECK(a[1].heard.finish != SLUICE_FINISH_ERROR);
    CHECK(engine_pages_are_whole(e));
    free_all(a, 2);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}

TEST(a_fault_of_our_own_poisons_the_engine_and_not_the_process)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {0};
    struct rng r = rng_seeded(16);
    struct asked *a = calloc(2, sizeof *a);
    struct err err;

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    for (int i = 0; i < 2; i++) {
        ask_init(&a[i], &r, 30, 1);
        a[i].rq.sampling.max_tokens = 30;
        a[i].rq.sampling.ignore_eos = true;
        submit(e, &a[i]);
    }
    for (int i = 0; i < 4; i++)
        CHECK(engine_turn(e));
    memset(e->kv.holders, 0, (size_t)e->kv.n_pages * sizeof *e->kv.holders); /* what could never be */
    run_until_quiet(e);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(a[i].heard.finish, SLUICE_FINISH_ERROR);
        CHECK_INT(a[i].heard.error_code, ERR_STATE);
    }
    CHECK_INT(engine_submit(e, &a[0].rq, a[0].prompt, a[0].n_prompt, &a[0].heard.stream, &err), ERR_STATE);
    free_all(a, 2);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}

TEST(high_priority_overtakes_and_may_push_out_lower_ones)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = 12, .page_tokens = 8, .n_ctx = 96};
    struct rng r = rng_seeded(7);
    struct asked *a = calloc(3, sizeof *a);
    struct heard *solo = calloc(1, sizeof *solo);

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 1, 1e6, 0, false);
    for (int i = 0; i < 3; i++) {
        ask_init(&a[i], &r, 40, 1);
        a[i].rq.sampling.max_tokens = 30;
        a[i].rq.sampling.ignore_eos = true;
        a[i].rq.priority = i == 2 ? SLUICE_PRIORITY_HIGH : SLUICE_PRIORITY_LOW;
    }
    submit(e, &a[0]);
    submit(e, &a[1]);
    for (int i = 0; i < 5; i++)
        engine_turn(e);
    submit(e, &a[2]);
    while (a[2].heard.n_done == 0)
        REQUIRE(engine_turn(e));
    CHECK_INT(a[0].heard.n_done, 0);
    run_until_quiet(e);
    CHECK(a[0].heard.usage.n_preempted > 0);
    for (int i = 0; i < 3; i++) {
        fake_solo(&m, t, &a[i].rq, a[i].prompt, a[i].n_prompt, solo);
        check_as_solo(&a[i], solo);
    }
    free_all(a, 3);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
    free(solo);
}

TEST(long_prompts_delay_a_running_stream_by_the_budget_at_most)
{
    enum { OTHERS = 6 };
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {
        .n_pages = 1000, .rows_max = 512, .n_ctx = 1024, .step_ns = 20000000, .row_ns = 1000000};
    struct rng r = rng_seeded(10);
    struct asked *a = calloc(OTHERS + 1, sizeof *a);
    int64_t longest_ns = 0;

    clock_fake(1000, 0);
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 8, 50000, 0, false);
    ask_init(&a[0], &r, 4, 1);
    a[0].rq.sampling.max_tokens = 300;
    a[0].rq.sampling.ignore_eos = true;
    submit(e, &a[0]);
    for (int i = 0; i < 15; i++)
        engine_turn(e);
    for (int i = 1; i <= OTHERS; i++) {
        ask_init(&a[i], &r, 1, 1);
        a[i].n_prompt = PROMPT_MAX;
        for (int k = 0; k < PROMPT_MAX; k++)
            a[i].prompt[k] = FAKE_BYTE + (int32_t)rng_below(&r, 256);
        a[i].rq.sampling.max_tokens = 2;
        submit(e, &a[i]);
    }
    /* The running stream gets a token in every step, so its gaps are the steps. */
    for (int n_before = 0; a[0].heard.n_done == 0; n_before++) {
        int64_t begin_ns = clock_now_ns();
        uint64_t n_steps = (uint64_t)m.n_steps;
        REQUIRE(engine_turn(e) && (uint64_t)m.n_steps == n_steps + 1);
        int64_t took_ns = clock_now_ns() - begin_ns;
        if (n_before > 5) /* the model of time has to learn first */
            longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    }
    for (int i = 1; i <= OTHERS; i++)
        CHECK_INT(a[i].heard.n_done, 1);
    /* Its own step of 20 ms and a row of 1 ms for each that decodes, and the budget. */
    CHECK(longest_ns <= 20000000 + OTHERS * 1000000 + 50000000);
    CHECK(longest_ns > 45000000); /* half of which was made use of */
    free_all(a, OTHERS + 1);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    clock_real();
    free(a);
}

TEST(prompt_logprobs_tell_every_token_of_the_prompt)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.outputs_max = 16};
    struct rng r = rng_seeded(8);
    struct asked *a = calloc(2, sizeof *a);

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    for (int i = 0; i < 2; i++) {
        ask_init(&a[i], &r, 1, 1);
        a[i].n_prompt = 90;
        for (int k = 0; k < 90; k++)
            a[i].prompt[k] = FAKE_BYTE + k;
        a[i].rq.prompt_logprobs = true;
        a[i].rq.sampling.max_tokens = i ? 0 : 4;
        a[i].rq.sampling.logprobs = 0;
        submit(e, &a[i]);
        run_until_quiet(e);
        CHECK_INT(a[i].heard.n_prompt_logprobs, 90);
        CHECK(isnan(a[i].heard.prompt_logprobs[0]));
        for (int k = 1; k < 90; k++)
            CHECK(a[i].heard.prompt_logprobs[k] < 0);
        CHECK_INT(a[i].heard.usage.cached_tokens, 0);
    }
    CHECK(!memcmp(a[0].heard.prompt_logprobs + 1, a[1].heard.prompt_logprobs + 1, 89 * sizeof(float)));
    CHECK_INT(a[1].heard.usage.generated_tokens, 0);
    CHECK_INT(a[1].heard.finish, SLUICE_FINISH_LENGTH);
    free_all(a, 2);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}
