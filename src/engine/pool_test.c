/* pool_test.c - Vectors of texts: exact, however a text was cut and whatever was beside it. */
#include "engine/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/engine_int.h"
#include "engine/fake_test.h"

#define TEXT_MAX 200

/* ---- on the fake model ---- */

struct asked {
    struct sluice_request rq;
    int32_t tokens[TEXT_MAX];
    size_t n;
    struct heard heard;
};

/* The vector by definition. */
static void vector_of(const struct asked *a, enum model_pooling pooling, float *vector)
{
    double sum[FAKE_EMBD] = {0}, squares = 0;
    int32_t n_out = a->rq.dimensions ? a->rq.dimensions : FAKE_EMBD;
    float x[FAKE_EMBD];
    for (size_t n = 1; n <= a->n; n++) {
        if ((pooling == MODEL_POOL_CLS && n != 1) || (pooling == MODEL_POOL_LAST && n != a->n))
            continue;
        fake_state_of(a->tokens, n, x);
        for (int32_t i = 0; i < FAKE_EMBD; i++)
            sum[i] += (double)x[i];
    }
    for (int32_t i = 0; i < n_out; i++)
        squares += sum[i] * sum[i];
    for (int32_t i = 0; i < n_out; i++)
        vector[i] = (float)(sum[i] / sqrt(squares));
}

/* Every fourth writes an answer instead.  Beginnings are shared. */
static void ask_init(struct asked *a, struct rng *r, int i)
{
    memset(a, 0, sizeof *a);
    sluice_request_init(&a->rq, sizeof a->rq);
    a->n = 1 + rng_below(r, TEXT_MAX);
    size_t n_shared = rng_below(r, a->n + 1);
    for (size_t k = 0; k < a->n; k++)
        a->tokens[k] = FAKE_BYTE + (int32_t)(k < n_shared ? rand_at(3, 0, k) % 256 : rng_below(r, 256));
    a->rq.embed = i % 4 != 3;
    a->rq.dimensions = a->rq.embed && i % 3 == 0 ? 1 + (int32_t)rng_below(r, FAKE_EMBD) : 0;
    a->rq.sampling.max_tokens = 20;
    a->rq.sampling.has_seed = true;
    a->rq.priority = (enum sluice_priority)rng_below(r, 3);
    a->rq.on_event = heard_event;
    a->rq.user = &a->heard;
}

/* The longest text, of so many different tokens in turn. */
static void ask_long(struct asked *a, struct rng *r, size_t n_different)
{
    ask_init(a, r, 0);
    a->n = TEXT_MAX;
    for (size_t k = 0; k < a->n; k++)
        a->tokens[k] = FAKE_BYTE + (int32_t)(k % n_different);
}

static void submit(struct engine *e, struct asked *a)
{
    fake_submit(e, &a->rq, a->tokens, a->n, &a->heard);
}

static void run_until_quiet(struct engine *e)
{
    int guard = 0;
    while (engine_turn(e))
        REQUIRE(++guard < 200000);
}

static void check_vector(const struct asked *a, enum model_pooling pooling)
{
    float want[FAKE_EMBD];
    vector_of(a, pooling, want);
    CHECK_INT(a->heard.finish, SLUICE_FINISH_END);
    CHECK_INT(a->heard.n_vector, a->rq.dimensions ? a->rq.dimensions : FAKE_EMBD);
    CHECK(!memcmp(a->heard.vector, want, (size_t)a->heard.n_vector * sizeof *want));
    CHECK_INT(a->heard.usage.prompt_tokens, a->n);
    CHECK_INT(a->heard.usage.generated_tokens, 0);
    CHECK_INT(a->heard.n_tokens, 0);
}

/* Returns how often somebody had to step aside. */
static uint64_t check_crowd(enum model_pooling pooling, int32_t n_pages, double budget_us)
{
    enum { CROWD = 32 };
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = n_pages, .n_ctx = 256, .pooling = pooling};
    struct rng r = rng_seeded(n_pages);
    struct asked *a = calloc(CROWD, sizeof *a);
    struct heard *solo = calloc(1, sizeof *solo);
    uint64_t n_preempted = 0;

    REQUIRE(a && solo);
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 8, budget_us, 3, false);
    for (int i = 0; i < CROWD; i++) {
        ask_init(&a[i], &r, i);
        submit(e, &a[i]);
        for (uint64_t turns = rng_below(&r, 12); turns > 0; turns--)
            engine_turn(e);
    }
    run_until_quiet(e);
    for (int i = 0; i < CROWD; i++) {
        CHECK_INT(a[i].heard.n_done, 1);
        n_preempted += a[i].heard.usage.n_preempted;
        if (a[i].rq.embed) {
            check_vector(&a[i], pooling);
            continue;
        }
        fake_solo(&m, t, &a[i].rq, a[i].tokens, a[i].n, solo);
        CHECK_INT(a[i].heard.n_tokens, solo->n_tokens);
        CHECK(!memcmp(a[i].heard.tokens, solo->tokens, sizeof solo->tokens));
    }
    CHECK(!m.is_corrupt);
    CHECK(engine_pages_are_whole(e));
    for (int i = 0; i < CROWD; i++)
        sluice_stream_free(a[i].heard.stream);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
    free(solo);
    return n_preempted;
}

TEST(a_vector_is_the_same_in_a_crowd_cut_and_pushed_out)
{
    static const enum model_pooling all[] = {MODEL_POOL_MEAN, MODEL_POOL_CLS, MODEL_POOL_LAST};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        check_crowd(all[i], 1024, 1e6);
        check_crowd(all[i], 1024, 1); /* a few rows a step */
        CHECK(check_crowd(all[i], 34, 1) > 0);
    }
}

TEST(only_the_last_tokens_vector_takes_pages_of_earlier_prompts)
{
    static const enum model_pooling all[] = {MODEL_POOL_MEAN, MODEL_POOL_CLS, MODEL_POOL_LAST};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tokenizer *t = fake_tokenizer();
        struct fake_model m = {.pooling = all[i]};
        struct rng r = rng_seeded(5);
        struct asked *a = calloc(1, sizeof *a);
        REQUIRE(a != NULL);
        fake_model_init(&m);
        struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
        ask_long(a, &r, 200);
        for (int again = 0; again < 2; again++) {
            submit(e, a);
            run_until_quiet(e);
            check_vector(a, all[i]);
            CHECK(all[i] == MODEL_POOL_LAST && again ? a->heard.usage.cached_tokens > 100
                                                     : a->heard.usage.cached_tokens == 0);
            sluice_stream_free(a->heard.stream);
        }
        struct sluice_stats stats = {0};
        engine_get_stats(e, &stats);
        CHECK((stats.kv_pages_cached > 0) == (all[i] == MODEL_POOL_LAST));
        engine_free(e);
        fake_model_deinit(&m);
        tokenizer_free(t);
        free(a);
    }
}

static void check_refused(struct engine *e, const struct asked *a, int code, const char *words)
{
    struct sluice_stream *stream = NULL;
    struct err err = {0};
    CHECK_INT(engine_submit(e, &a->rq, a->tokens, a->n, &stream, &err), code);
    if (!strstr(err.text, words))
        test_fail(__FILE__, __LINE__, "'%s' does not say '%s'", err.text, words);
}

TEST(what_cannot_be_embedded_is_refused)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_ctx = 64, .n_pages = 16};
    struct rng r = rng_seeded(6);
    struct asked *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);

    REQUIRE(a && b);
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    do
        ask_init(a, &r, 0);
    while (a->n < 65);
    a->n = 64; /* fits: nothing follows */
    submit(e, a);
    run_until_quiet(e);
    check_vector(a, MODEL_POOL_LAST);
    sluice_stream_free(a->heard.stream);
    *b = *a, b->n = 65;
    check_refused(e, b, ERR_LIMIT, "the text has 65 tokens; at most 64");
    b->n = 0;
    check_refused(e, b, ERR_ARG, "empty");
    *b = *a, b->tokens[5] = FAKE_VOCAB;
    check_refused(e, b, ERR_ARG, "token 5");
    *b = *a, b->rq.dimensions = FAKE_EMBD + 1;
    check_refused(e, b, ERR_ARG, "have 24 numbers");
    b->rq.dimensions = -1;
    check_refused(e, b, ERR_ARG, "dimensions is -1");
    *b = *a, b->rq.prompt_logprobs = true;
    check_refused(e, b, ERR_ARG, "prompt_logprobs");
    *b = *a, b->rq.embed = false, b->rq.dimensions = 3, b->n = 10;
    check_refused(e, b, ERR_ARG, "embed is not set");
    engine_free(e);
    m.pooling = MODEL_POOL_RANK;
    e = fake_engine(&m, t, 4, 1e6, 0, false);
    check_refused(e, a, ERR_UNSUPPORTED, "rank");
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
    free(b);
}

TEST(a_cancelled_text_gives_its_pages_back)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.pooling = MODEL_POOL_MEAN, .rows_max = 16};
    struct rng r = rng_seeded(7);
    struct asked *a = calloc(1, sizeof *a);

    REQUIRE(a != NULL);
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 1e6, 0, false);
    ask_long(a, &r, 1);
    submit(e, a);
    engine_turn(e);
    CHECK(a->heard.n_start == 1 && a->heard.n_done == 0);
    sluice_stream_cancel(a->heard.stream);
    run_until_quiet(e);
    CHECK_INT(a->heard.finish, SLUICE_FINISH_CANCELLED);
    CHECK_INT(a->heard.n_vector, 0);
    CHECK(engine_pages_are_whole(e));
    sluice_stream_free(a->heard.stream);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(a);
}

TEST(a_vector_has_length_one_or_no_direction)
{
    struct arena arena;
    struct pool p;
    const float x[] = {3, 0, 4, 12}, none[4] = {0}, bad[] = {1, NAN, 0, 0};

    arena_init(&arena, 4096);
    REQUIRE(pool_init(&p, &arena, MODEL_POOL_LAST, 4, 3, 1, NULL) == OK);
    pool_add(&p, 0, x);
    const float *v = pool_finish(&p);
    CHECK(v && v[0] == 0.6f && v[1] == 0 && v[2] == 0.8f);
    REQUIRE(pool_init(&p, &arena, MODEL_POOL_MEAN, 4, 0, 1, NULL) == OK);
    pool_add(&p, 0, none);
    v = pool_finish(&p);
    CHECK(v && v[0] == 0 && v[3] == 0);
    REQUIRE(pool_init(&p, &arena, MODEL_POOL_MEAN, 4, 0, 1, NULL) == OK);
    pool_add(&p, 0, bad);
    CHECK(pool_finish(&p) == NULL);
    arena_deinit(&arena);
}

/* ---- on real (tiny) models ---- */

enum { EMBD = 32 };

static void must(int rc, const struct sluice_error *err)
{
    if (rc >= 0)
        return;
    test_fail(__FILE__, __LINE__, "%s", err->text);
    test_stop();
}

static struct sluice_context *open_golden(const char *name, int threads, struct sluice_model **m)
{
    struct sluice_model_options o;
    struct sluice_context *ctx;
    struct sluice_error err;
    char path[256];
    snprintf(path, sizeof path, "tests/golden/models/%s.gguf", name);
    sluice_model_options_init(&o, sizeof o);
    o.threads = threads;
    o.context = 160;
    must(sluice_model_open(path, &o, m, &err), &err);
    must(sluice_context_create(*m, NULL, &ctx, &err), &err);
    return ctx;
}

static struct sluice_stream *ask_golden(struct sluice_context *ctx, const int32_t *tokens, size_t n)
{
    struct sluice_request rq;
    struct sluice_stream *s;
    struct sluice_error err;
    sluice_request_init(&rq, sizeof rq);
    rq.tokens = tokens;
    rq.n_tokens = n;
    rq.embed = true;
    must(sluice_submit(ctx, &rq, &s, &err), &err);
    return s;
}

static void hear_vector(struct sluice_stream *s, float *vector)
{
    struct sluice_event ev;
    int n = 0;
    do {
        must(sluice_stream_next(s, -1, &ev, NULL), NULL);
        if (ev.kind == SLUICE_EVENT_VECTOR) {
            REQUIRE(ev.n_vector == EMBD && n++ == 0);
            memcpy(vector, ev.vector, EMBD * sizeof *vector);
        }
    } while (ev.kind != SLUICE_EVENT_DONE);
    CHECK_INT(n, 1);
    CHECK_INT(ev.finish, SLUICE_FINISH_END);
    sluice_stream_free(s);
}

static void check_golden(const char *name)
{
    enum { CROWD = 12 };
    char path[256];
    size_t size = 0;
    snprintf(path, sizeof path, "tests/golden/models/%s.vector", name);
    char *file = test_read_file(path, &size);
    REQUIRE(file != NULL && size > 8);
    uint32_t head[2];
    memcpy(head, file, sizeof head);
    REQUIRE(head[1] == EMBD && size == 8 + 4 * (head[0] + EMBD));
    const int32_t *tokens = (const int32_t *)(file + 8);
    const float *want = (const float *)(tokens + head[0]);
    struct sluice_model *one, *three;
    struct sluice_context *alone = open_golden(name, 1, &one), *crowd = open_golden(name, 3, &three);
    struct sluice_stream *s[CROWD];
    float got[EMBD], other[EMBD];

    hear_vector(ask_golden(alone, tokens, head[0]), got);
    double product = 0, squares = 0;
    for (int i = 0; i < EMBD; i++) {
        product += (double)got[i] * (double)want[i];
        squares += (double)got[i] * (double)got[i];
    }
    CHECK(fabs(squares - 1) < 1e-6);
    if (getenv("SHOW_GOLDEN"))
        printf("%-12s 1 - cosine %.2e\n", name, 1 - product / sqrt(squares));
    if (product < 0.999999) /* measured: 1 - 3e-8 and nearer */
        test_fail(__FILE__, __LINE__, "%s: cosine %.9f", name, product);
    for (int turn = 0; turn < 2; turn++) { /* the second time pages are there */
        for (int i = 0; i < CROWD; i++)
            s[i] = ask_golden(crowd, tokens, head[0] - (uint32_t)(i / 2));
        for (int i = 0; i < CROWD; i++) {
            hear_vector(s[i], other);
            CHECK((memcmp(got, other, sizeof got) == 0) == (i < 2 || strstr(name, "cls")));
        }
    }
    sluice_context_free(alone);
    sluice_context_free(crowd);
    sluice_model_free(one);
    sluice_model_free(three);
    free(file);
}

TEST(vectors_are_those_of_the_float64_reference)
{
    check_golden("qwen3-embed");
    check_golden("llama-mean");
    check_golden("qwen2-cls");
}

TEST(a_text_ends_with_the_end_token_where_the_file_says_so)
{
    struct sluice_model *m;
    struct sluice_context *ctx = open_golden("qwen3-embed", 1, &m);
    struct sluice_request rq;
    struct sluice_model_info info;
    struct sluice_stream *s;
    int32_t tokens[16];
    float got[EMBD], want[EMBD];

    sluice_model_get_info(m, &info, sizeof info);
    CHECK_INT(info.n_embd, EMBD);
    int64_t n = sluice_tokenize(m, "abc", SLUICE_Z, SLUICE_ADD_BOS | SLUICE_ADD_EOS, tokens, 16, NULL);
    REQUIRE(n > 1 && n <= 16);
    CHECK_INT(tokens[n - 1], info.eos);
    hear_vector(ask_golden(ctx, tokens, (size_t)n), want);
    sluice_request_init(&rq, sizeof rq);
    rq.text = "abc";
    rq.embed = true;
    must(sluice_submit(ctx, &rq, &s, NULL), NULL);
    hear_vector(s, got);
    CHECK(!memcmp(got, want, sizeof got));
    sluice_context_free(ctx);
    sluice_model_free(m);
}
