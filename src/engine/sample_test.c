/* sample_test.c - Sampling against its definition in double precision. */
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "base/test.h"

static double gauss(struct rng *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += rng_unit(r);
    return sum - 6;
}

struct bench_row {
    struct pick pick;
    float *x, *copy;
    int32_t n;
};

static struct bench_row make_row(int32_t n, double spread, uint64_t seed)
{
    struct bench_row b = {.n = n};
    struct rng r = rng_seeded(seed);
    REQUIRE(pick_init(&b.pick, logits_ops_for(NULL), n, NULL) == OK);
    b.x = calloc((size_t)n, sizeof(float));
    b.copy = calloc((size_t)n, sizeof(float));
    for (int32_t i = 0; i < n; i++)
        b.x[i] = (float)(gauss(&r) * spread);
    return b;
}

static void drop_row(struct bench_row *b)
{
    pick_deinit(&b->pick);
    free(b->x);
    free(b->copy);
}

static int32_t pick_of(struct bench_row *b, struct pick_params s, double unit)
{
    memcpy(b->copy, b->x, (size_t)b->n * sizeof(float));
    return pick_token(&b->pick, b->copy, b->n, &s, unit);
}

/* ---- the definition ---- */

struct ranked {
    double x, p;
    int32_t id;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    return p->x != q->x ? (p->x < q->x) - (p->x > q->x) : p->id - q->id;
}

/* Probability of every token after the filters; *edge tells how close a filter's border was. */
static void define(const float *x, int32_t n, struct pick_params s, double *p, double *edge)
{
    struct ranked *r = calloc((size_t)n, sizeof *r);
    double t = s.is_temperature_last ? 1 : (double)s.temperature, total = 0, sum = 0, kept = 0;
    int32_t k = s.top_k > 0 && s.top_k < n ? s.top_k : n, i;

    for (i = 0; i < n; i++)
        r[i] = (struct ranked){(double)x[i], 0, i};
    qsort(r, (size_t)n, sizeof *r, by_rank);
    for (i = 0; i < k; i++)
        total += r[i].p = exp((r[i].x - r[0].x) / t);
    *edge = 1;
    for (i = 0; i < k; i++) {
        double before = sum / total - (double)s.top_p;
        *edge = s.top_p < 1 ? fmin(*edge, fabs(before)) : *edge;
        if (i > 0 && s.top_p < 1 && before >= 0)
            break;
        *edge = s.min_p > 0 ? fmin(*edge, fabs(r[i].p / (double)s.min_p - 1)) : *edge;
        if (r[i].p < (double)s.min_p)
            break;
        sum += r[i].p;
    }
    memset(p, 0, (size_t)n * sizeof *p);
    for (int32_t j = 0; j < i; j++)
        kept += p[r[j].id] = exp((r[j].x - r[0].x) / (double)s.temperature);
    for (int32_t j = 0; j < i; j++)
        p[r[j].id] /= kept;
    free(r);
}

/* Draw at evenly spread numbers: the share of each token must be its probability, and what the
 * filters cut must never come. */
static void check_distribution(struct bench_row *b, struct pick_params s)
{
    enum { DRAWS = 700 };
    double *p = calloc((size_t)b->n, sizeof *p), edge;
    int *count = calloc((size_t)b->n, sizeof *count);

    define(b->x, b->n, s, p, &edge);
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = pick_of(b, s, (i + 0.5) / DRAWS);
        REQUIRE(id >= 0 && id < b->n);
        count[id]++;
        if (edge > 1e-5)
            CHECK(p[id] > 0);
    }
    for (int32_t i = 0; i < b->n; i++)
        CHECK_NEAR((double)count[i] / DRAWS, p[i], 1.0 / DRAWS + 1e-4);
    free(p);
    free(count);
}

TEST(filters_and_draws_follow_their_definition)
{
    static const struct pick_params cases[] = {
        {1, 0, 1, 0, false},
        {0.7f, 0, 1, 0, false},
        {1, 40, 1, 0, false},
        {1, 0, 0.9f, 0, false},
        {1, 0, 0.3f, 0, false},
        {1, 0, 1, 0.05f, false},
        {1.3f, 20, 0.8f, 0.02f, false},
        {0.5f, 0, 0.9f, 0, true},
        {2, 30, 0.9f, 0.01f, true},
        {2, 0, 0.95f, 0.01f, true},
        {1, 2000, 0.99f, 0, false},
        {1, 5, 0.999f, 0, false},
    };
    static const double spreads[] = {0.1, 1, 4};
    for (size_t k = 0; k < 3; k++) {
        struct bench_row b = make_row(1501, spreads[k], 40 + k); /* not a multiple of the block */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_distribution(&b, cases[i]);
        drop_row(&b);
    }
}

TEST(top_p_of_a_flat_large_vocabulary_is_cut_exactly)
{
    struct bench_row b = make_row(40000, 0.5, 9); /* far more candidates than are looked at one by one */
    struct pick_params s = {1, 0, 0.6f, 0, false};
    double *p = calloc((size_t)b.n, sizeof *p), edge;
    int met = 0;

    define(b.x, b.n, s, p, &edge);
    for (int i = 0; i < 150; i++) /* draws run in the order of ids: they meet the whole kept set */
        met += p[pick_of(&b, s, (i + 0.5) / 150)] > 0;
    CHECK_INT(met, 150);
    free(p);
    drop_row(&b);
}

TEST(greedy_takes_the_first_of_equal_best_tokens)
{
    struct bench_row b = make_row(1000, 1, 5);
    struct pick_params greedy = {0, 0, 1, 0, false};
    b.x[700] = b.x[300] = b.x[301] = 50;
    CHECK_INT(pick_of(&b, greedy, 0.99), 300);
    b.x[300] = -INFINITY;
    CHECK_INT(pick_of(&b, greedy, 0), 301);
    for (int i = 0; i < 1000; i++)
        b.x[i] = -INFINITY;
    CHECK_INT(pick_of(&b, greedy, 0), PICK_NONE);
    CHECK_INT(pick_of(&b, (struct pick_params){1, 0, 1, 0, false}, 0.5), PICK_NONE);
    b.x[999] = -3;
    CHECK_INT(pick_of(&b, (struct pick_params){1, 0, 0.9f, 0, false}, 0.999999), 999);
    b.x[5] = NAN;
    CHECK_INT(pick_of(&b, greedy, 0), 999);
    drop_row(&b);
}

TEST(ties_at_a_filters_border_are_kept_by_lower_id)
{
    struct bench_row b = make_row(256, 0, 1); /* all equal */
    for (int i = 0; i < 256; i++)
        b.x[i] = 1;
    for (int i = 0; i < 100; i++) {
        CHECK(pick_of(&b, (struct pick_params){1, 10, 1, 0, false}, i / 100.0) < 10);
        CHECK(pick_of(&b, (struct pick_params){1, 0, 0.25f, 0, false}, i / 100.0) < 64);
    }
    drop_row(&b);
}

TEST(every_level_picks_the_same)
{
#if defined(__x86_64__)
    struct bench_row b = make_row(50001, 2, 6);
    for (int i = 0; i < 200; i++) {
        struct pick_params s = {1, i % 3 ? 0 : 50, i % 2 ? 0.95f : 1, 0, false};
        double unit = rand_at_unit(1, 2, (uint64_t)i);
        b.pick.ops = &logits_ops_plain;
        int32_t plain = pick_of(&b, s, unit);
        if (__builtin_cpu_supports("avx2")) {
            b.pick.ops = &logits_ops_avx2;
            CHECK_INT(pick_of(&b, s, unit), plain);
        }
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
            b.pick.ops = &logits_ops_avx512;
            CHECK_INT(pick_of(&b, s, unit), plain);
        }
    }
    drop_row(&b);
#endif
}

/* ---- samplers ---- */

enum { VOCAB = 300 };

static void make_sampler(struct sampler *s, struct arena *a, const struct sluice_sampling *o)
{
    struct err err;
    arena_init(a, 1 << 22);
    if (sampler_init(s, a, o, VOCAB, 1000, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
}

static struct sluice_sampling usual(void)
{
    struct sluice_request rq;
    sluice_request_init(&rq, sizeof rq);
    return rq.sampling;
}

TEST(penalties_and_bias_follow_their_definition)
{
    struct sluice_logit_bias bias[2] = {{7, 3.5f}, {8, -100}};
    struct rng r = rng_seeded(12);
    struct sample_work w;
    struct sampler s;
    struct arena a;
    int32_t tokens[200];
    float x[VOCAB];

    REQUIRE(sample_work_init(&w, logits_ops_for(NULL), VOCAB, NULL) == OK);
    for (int round = 0; round < 50; round++) {
        struct sluice_sampling o = usual();
        o.temperature = 0;
        o.repeat_penalty = 1.3f;
        o.repeat_last_n = round % 2 ? 20 : -1;
        o.presence_penalty = 0.4f;
        o.frequency_penalty = 0.2f;
        o.logit_bias = bias;
        o.n_logit_bias = 2;
        make_sampler(&s, &a, &o);
        int n_prompt = (int)rng_below(&r, 60), n = n_prompt + (int)rng_below(&r, 100);
        for (int i = 0; i < n; i++) {
            tokens[i] = (int32_t)rng_below(&r, 40);
            sampler_add(&s, tokens, i + 1, i >= n_prompt);
        }
        int32_t best = -1;
        double best_x = -1e9;
        for (int32_t t = 0; t < VOCAB; t++) {
            x[t] = (float)gauss(&r);
            double v = (double)x[t] + (t == 7 ? 3.5 : 0);
            int window = 0, answer = 0;
            for (int i = 0; i < n; i++) {
                window += tokens[i] == t && (o.repeat_last_n < 0 || i >= n - o.repeat_last_n);
                answer += tokens[i] == t && i >= n_prompt;
            }
            if (window)
                v = v > 0 ? v / (double)1.3f : v * (double)1.3f;
            v -= answer * (double)0.2f + (answer > 0) * (double)0.4f;
            if (t != 8 && v > best_x) {
                best_x = v;
                best = t;
            }
        }
        struct sampled out;
        sampler_choose(&s, &w, x, VOCAB, n, NULL, 0, &out);
        CHECK_INT(out.token, best);
        arena_deinit(&a);
    }
    sample_work_deinit(&w);
}

TEST(logprobs_are_those_of_the_raw_distribution)
{
    struct sluice_logit_bias bias = {9, 50};
    struct sluice_sampling o = usual();
    struct rng r = rng_seeded(13);
    struct sample_work w;
    struct sampler s;
    struct sampled out;
    struct arena a;
    float x[VOCAB];
    double total = 0, sum = 0, raw9;

    o.temperature = 0.3f;
    o.top_k = 3;
    o.logprobs = 20;
    o.logit_bias = &bias;
    o.n_logit_bias = 1;
    make_sampler(&s, &a, &o);
    REQUIRE(sample_work_init(&w, logits_ops_for(NULL), VOCAB, NULL) == OK);
    for (int i = 0; i < VOCAB; i++) {
        x[i] = (float)gauss(&r);
        total += exp((double)x[i]);
    }
    raw9 = (double)x[9];
    sampler_choose(&s, &w, x, VOCAB, 0, NULL, 0, &out);
    CHECK_INT(out.token, 9);
    CHECK_NEAR((double)out.logprob, raw9 - log(total), 1e-5);
    CHECK_INT(out.n_top, 20);
    for (int i = 0; i < 20; i++) {
        sum += exp((double)out.top[i].logprob);
        CHECK(i == 0 || out.top[i].logprob <= out.top[i - 1].logprob);
    }
    CHECK(sum > 0 && sum < 1);
    sample_work_deinit(&w);
    arena_deinit(&a);
}

TEST(the_draw_depends_on_seed_choice_and_position_only)
{
    struct sluice_sampling o = usual();
    struct sample_work w;
    struct sampler s[3];
    struct arena a[3];
    float x[VOCAB] = {0};
    int32_t drawn[3][50];

    REQUIRE(sample_work_init(&w, logits_ops_for(NULL), VOCAB, NULL) == OK);
    for (int k = 0; k < 3; k++) {
        o.seed = 5;
        o.choice = k == 2;
        make_sampler(&s[k], &a[k], &o);
    }
    for (int i = 49; i >= 0; i--) /* any order */
        for (int k = 0; k < 3; k++) {
            struct sampled out;
            memset(x, 0, sizeof x);
            sampler_choose(&s[k], &w, x, VOCAB, i, NULL, 0, &out);
            drawn[k][i] = out.token;
        }
    CHECK(!memcmp(drawn[0], drawn[1], sizeof drawn[0]));
    CHECK(memcmp(drawn[0], drawn[2], sizeof drawn[0]) != 0);
    for (int k = 0; k < 3; k++)
        arena_deinit(&a[k]);
    sample_work_deinit(&w);
}

TEST(values_out_of_range_are_refused_by_name)
{
    static const char *const names[] = {
        "temperature",       "top_k",    "top_p",     "min_p", "repeat_penalty", "presence_penalty",
        "frequency_penalty", "logprobs", "logit_bias"};
    struct sluice_logit_bias bias = {VOCAB, 1};
    for (int i = 0; i < 9; i++) {
        struct sluice_sampling o = usual();
        struct sampler s;
        struct arena a;
        struct err err;
        o.temperature = i == 0 ? NAN : 1;
        o.top_k = i == 1 ? -1 : 0;
        o.top_p = i == 2 ? 0 : 1;
        o.min_p = i == 3 ? 1.5f : 0;
        o.repeat_penalty = i == 4 ? 0 : 1;
        o.presence_penalty = i == 5 ? 3 : 0;
        o.frequency_penalty = i == 6 ? -3 : 0;
        o.logprobs = i == 7 ? 21 : -1;
        o.logit_bias = &bias;
        o.n_logit_bias = i == 8;
        arena_init(&a, 1 << 20);
        CHECK_INT(sampler_init(&s, &a, &o, VOCAB, 10, &err), ERR_ARG);
        CHECK(strncmp(err.text, names[i], strlen(names[i])) == 0);
        arena_deinit(&a);
    }
}

/* A constraint that allows even tokens. */
static bool even_mask(struct engine_constraint *c, uint32_t *allowed, int32_t n_vocab)
{
    (void)c;
    for (int32_t i = 0; i < n_vocab; i += 2)
        allowed[i / 32] |= 1u << i % 32;
    return true;
}

TEST(a_constraint_and_forbidden_tokens_leave_only_the_rest)
{
    static const struct engine_constraint_ops ops = {.mask = even_mask};
    struct engine_constraint even = {&ops};
    struct sluice_sampling o = usual();
    struct sample_work w;
    struct sampler s;
    struct arena a;
    int32_t forbidden[] = {4, 8};
    float x[VOCAB];

    make_sampler(&s, &a, &o);
    s.constraint = &even;
    REQUIRE(sample_work_init(&w, logits_ops_for(NULL), VOCAB, NULL) == OK);
    for (int i = 0; i < 500; i++) {
        struct sampled out;
        memset(x, 0, sizeof x);
        sampler_choose(&s, &w, x, VOCAB, i, forbidden, 2, &out);
        CHECK(out.token % 2 == 0 && out.token != 4 && out.token != 8);
    }
    sample_work_deinit(&w);
    arena_deinit(&a);
}
