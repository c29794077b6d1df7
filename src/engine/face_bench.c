/* face_bench.c - How fast is this model here, and which share of what the machine can do?
 *
 * Speeds are measured through the engine, as a user gets them, with scheduling and sampling.  The
 * machine's limits are measured by the same team before and after every repetition, because shared
 * machines drift within seconds: bytes read per second from memory, and int8 multiply-adds per
 * second from registers.  All memory is not equally fast on a virtual machine, so it is the weights
 * that are read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "engine/face_bench_int.h"
#include "engine/pick.h"
#include "kernel/limits.h"

#define GENERATION_PROMPTS ((uint64_t)1 << 62) /* numbers of prompts that others do not get to */
#define WEIGHTS_MIN        ((size_t)256 << 20) /* fewer would stay in the caches */

/* ---- requests ---- */

static int submit(struct bench *b, int32_t n_prompt, int32_t n_answer, struct sluice_stream **s,
                  struct err *err)
{
    struct sluice_request rq;
    struct sluice_model *m = b->ctx->model;

    b->n_prompts++;
    for (int32_t i = 0; i < n_prompt; i++)
        b->tokens[i] =
            (int32_t)(rand_at(b->n_prompts, 1, (uint64_t)i) % (uint64_t)tokenizer_n_vocab(m->tokenizer));
    sluice_request_init(&rq, sizeof rq);
    rq.tokens = b->tokens;
    rq.n_tokens = (size_t)n_prompt;
    rq.sampling.temperature = 0;
    rq.sampling.max_tokens = n_answer;
    rq.sampling.ignore_eos = true;
    return sluice_submit(b->ctx, &rq, s, (struct sluice_error *)err);
}

/* Read to the end. */
static int finish(struct sluice_stream *s, struct sluice_event *done, struct err *err)
{
    int rc;
    while ((rc = sluice_stream_next(s, -1, done, (struct sluice_error *)err)) == 1 &&
           done->kind != SLUICE_EVENT_DONE)
        ;
    if (rc != 1)
        return rc;
    if (done->finish == SLUICE_FINISH_ERROR)
        return fail(err, done->error_code, "%s", done->error_text);
    return OK;
}

static int prompt_speed(struct bench *b, double *per_s, struct err *err)
{
    struct sluice_stream *s;
    struct sluice_event done;
    int64_t begin_ns = clock_now_ns();
    int rc = submit(b, b->o.prompt_tokens, 0, &s, err);
    if (rc != OK)
        return rc;
    rc = finish(s, &done, err);
    sluice_stream_free(s);
    *per_s = b->o.prompt_tokens / ((double)(clock_now_ns() - begin_ns) / NS_PER_S);
    return rc;
}

/* The prompts are the same every time, so that after the first run what lies before the last token is in the
 * KV cache and all streams begin in one step. */
static int generate_speed(struct bench *b, double *per_s, struct err *err)
{
    struct sluice_stream *s[BENCH_STREAMS_MAX];
    int32_t n = 0, n_prompt = b->o.depth + 1;
    int rc = OK;

    *per_s = 0;
    b->n_prompts = GENERATION_PROMPTS;
    while (n < b->o.n_streams && (rc = submit(b, n_prompt, b->o.generate_tokens + 1, &s[n], err)) == OK)
        n++;
    for (int32_t i = 0; i < n; i++) {
        struct sluice_event done;
        if (rc == OK && (rc = finish(s[i], &done, err)) == OK)
            *per_s += (double)(done.usage.generated_tokens - 1) / ((double)done.timings.generate_us / 1e6);
        sluice_stream_free(s[i]);
    }
    return rc;
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_spread bench_spread_of(double *v, int n)
{
    double mean = 0, var = 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    for (int i = 0; i < n; i++)
        mean += v[i] / n;
    for (int i = 0; i < n; i++)
        var += (v[i] - mean) * (v[i] - mean) / (n > 1 ? n - 1 : 1);
    return (struct bench_spread){n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n - 1], sqrt(var)};
}

/* Tokens per second, the limit per second, and which share of it they were, each with its neighbour in time.
 */
struct figure {
    struct bench_spread speed, limit, share;
};

/* What a token asks of the machine: so much of what `limit` measures. */
struct work {
    double (*limit)(struct limits *l);
    double per_token;
};

typedef int speed_fn(struct bench *b, double *per_s, struct err *err);

/* One run to warm up, then the repetitions. */
static int repeat(struct bench *b, struct limits *l, speed_fn *speed, struct work work, struct figure *out,
                  struct err *err)
{
    double v[BENCH_REPETITIONS_MAX], limit[BENCH_REPETITIONS_MAX], share[BENCH_REPETITIONS_MAX], warm;
    int rc = speed(b, &warm, err);
    double before = work.limit(l);
    for (int i = 0; rc == OK && i < b->o.repetitions; i++) {
        rc = speed(b, &v[i], err);
        double after = work.limit(l);
        limit[i] = (before + after) / 2;
        share[i] = v[i] * work.per_token / limit[i];
        before = after;
    }
    if (rc == OK)
        *out = (struct figure){bench_spread_of(v, b->o.repetitions), bench_spread_of(limit, b->o.repetitions),
                               bench_spread_of(share, b->o.repetitions)};
    return rc;
}

void bench_put_spread(struct json_writer *w, const char *name, struct bench_spread s)
{
    jw_key(w, name);
    jw_begin_object(w);
    jw_kv_f64(w, "median", s.median);
    jw_kv_f64(w, "min", s.min);
    jw_kv_f64(w, "max", s.max);
    jw_kv_f64(w, "stddev", s.stddev);
    jw_end_object(w);
}

static void put_figure(struct json_writer *w, const char *name, int32_t n_tokens, const struct figure *f,
                       const char *share_name)
{
    jw_key(w, name);
    jw_begin_object(w);
    jw_kv_i64(w, "tokens", n_tokens);
    bench_put_spread(w, "tokens_per_second", f->speed);
    jw_kv_f64(w, share_name, f->share.median);
    bench_put_spread(w, "share", f->share);
    jw_end_object(w);
}

/* Bytes that one step of n_streams sequences must read: the weights once, and every sequence's KV. */
static double step_bytes(const struct bench *b)
{
    const struct model_facts *f = &b->ctx->model->facts;
    double keys = b->o.depth + b->o.generate_tokens / 2.0;
    return (double)f->step_bytes + b->o.n_streams * keys * (double)f->kv_token_bytes;
}

/* ---- sampling ---- */

enum { SAMPLINGS = 15 };

/* A row of nearly normal numbers, as models make them. */
static void make_logits(float *row, int32_t n, float deviation, uint64_t which)
{
    for (int32_t k = 0; k < n; k++) {
        float sum = -4; /* of eight uniform numbers: variance 8 / 12 */
        for (uint64_t half = 0; half < 2; half++) {
            uint64_t bits = rand_at(which, half, (uint64_t)k);
            for (int part = 0; part < 4; part++)
                sum += (float)(bits >> (16 * part) & 0xffff) / 65536;
        }
        row[k] = 1.2247449f * deviation * sum;
    }
}

/* Microseconds to choose a token. */
static int sampling_us(struct pick *p, float *row, int32_t n, float deviation, struct pick_params how,
                       double *us, struct err *err)
{
    double v[SAMPLINGS];
    for (int i = 0; i < SAMPLINGS; i++) {
        make_logits(row, n, deviation, (uint64_t)i);
        int64_t begin_ns = clock_now_ns();
        if (pick_token(p, row, n, &how, (double)i / SAMPLINGS) < 0)
            return fail(err, ERR_STATE, "no token was chosen from a row of numbers");
        v[i] = (double)(clock_now_ns() - begin_ns) / NS_PER_US;
    }
    *us = bench_spread_of(v, SAMPLINGS).median;
    return OK;
}

static int put_sampling(const struct bench *b, struct json_writer *w, struct err *err)
{
    const struct sluice_model *m = b->ctx->model;
    static const struct {
        const char *name;
        float deviation;
        struct pick_params how;
    } cases[] = {
        {"greedy_us", 3, {.temperature = 0, .top_p = 1}},
        {"top_k_us", 3, {.temperature = 0.8f, .top_k = 40, .top_p = 1}},
        {"top_p_us", 3, {.temperature = 0.8f, .top_p = 0.95f}},
        {"top_p_flat_us", 1, {.temperature = 1, .top_p = 0.95f}},
    };
    int32_t n = tokenizer_n_vocab(m->tokenizer);
    struct pick p;
    int rc = pick_init(&p, logits_ops_for(model_isa(m->model)), n, err);
    if (rc != OK)
        return rc;
    float *row = calloc((size_t)n, sizeof *row);
    if (!row)
        rc = FACE_OUT_OF_MEMORY(err);
    jw_key(w, "sampling");
    jw_begin_object(w);
    jw_kv_i64(w, "vocabulary", n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases && rc == OK; i++) {
        double us = 0;
        rc = sampling_us(&p, row, n, cases[i].deviation, cases[i].how, &us, err);
        jw_kv_f64(w, cases[i].name, us);
    }
    jw_end_object(w);
    free(row);
    pick_deinit(&p);
    return rc;
}

/* ---- all of it ---- */

static void put_memory(const struct bench *b, struct json_writer *w)
{
    struct model_memory memory;
    model_memory(b->ctx->model->model, &memory);
    jw_key(w, "memory");
    jw_begin_object(w);
    jw_kv_i64(w, "weights_bytes", (int64_t)memory.weights_bytes);
    jw_kv_i64(w, "kv_bytes", (int64_t)memory.kv_bytes);
    jw_kv_i64(w, "work_bytes", (int64_t)memory.work_bytes);
    jw_kv_bool(w, "huge_pages", memory.huge_pages);
    jw_end_object(w);
}

static int measure(struct bench *b, struct limits *l, struct json_writer *w, struct err *err)
{
    struct sluice_model *m = b->ctx->model;
    double read_rate = 0, int8_rate = 0;
    struct figure f;
    int rc;

    model_settle(m->model);
    jw_kv_z(w, "model", m->name);
    jw_kv_z(w, "isa", model_isa(m->model));
    jw_kv_i64(w, "threads", team_size(m->team));
    jw_kv_i64(w, "depth", b->o.depth);
    jw_kv_i64(w, "streams", b->o.n_streams);
    jw_kv_i64(w, "repetitions", b->o.repetitions);
    put_memory(b, w);
    if (b->o.prompt_tokens > 0) {
        struct work work = {limits_multiply, (double)(m->facts.step_macs - m->facts.head_macs)};
        if ((rc = repeat(b, l, prompt_speed, work, &f, err)) != OK)
            return rc;
        put_figure(w, "prompt", b->o.prompt_tokens, &f, "share_of_int8_peak");
        int8_rate = f.limit.median;
    }
    if (b->o.generate_tokens > 0) {
        struct work work = {limits_read, step_bytes(b) / b->o.n_streams};
        if ((rc = repeat(b, l, generate_speed, work, &f, err)) != OK)
            return rc;
        put_figure(w, "generate", b->o.generate_tokens, &f, "share_of_bandwidth");
        read_rate = f.limit.median;
    }
    if (b->o.draft) {
        rc = bench_drafts(b, w, err);
        if (rc != OK)
            return rc;
    }
    if ((rc = put_sampling(b, w, err)) != OK)
        return rc;
    jw_key(w, "machine");
    jw_begin_object(w);
    jw_kv_f64(w, "read_bytes_per_second", read_rate > 0 ? read_rate : limits_read(l));
    jw_kv_f64(w, "int8_ops_per_second", 2 * (int8_rate > 0 ? int8_rate : limits_multiply(l)));
    jw_end_object(w);
    return OK;
}

/* The speed of memory is measured on the weights where they are many. */
static int measure_with_limits(struct bench *b, struct json_writer *w, struct err *err)
{
    struct sluice_model *m = b->ctx->model;
    const struct kern_ops *ops = NULL;
    struct limits *l = NULL;
    size_t n = 0;
    const void *weights = model_weights(m->model, &n);
    if (n < WEIGHTS_MIN)
        weights = NULL;
    int rc = kern_choose(&ops, model_isa(m->model), err);
    if (rc == OK)
        rc = limits_create(&l, m->team, ops, weights, n, err);
    if (rc == OK)
        rc = measure(b, l, w, err);
    limits_free(l);
    return rc;
}

static int check_options(const struct sluice_bench_options *o, const struct sluice_model *m, struct err *err)
{
    int64_t most = model_n_ctx(m->model), prompt = (int64_t)o->depth + 1;
    if (o->prompt_tokens < 0 || o->generate_tokens < 0 || o->depth < 0)
        return fail(err, ERR_ARG, "numbers of tokens must not be negative");
    if (o->repetitions < 1 || o->repetitions > BENCH_REPETITIONS_MAX)
        return fail(err, ERR_ARG, "repetitions is %d; it must be between 1 and %d", o->repetitions,
                    BENCH_REPETITIONS_MAX);
    if (o->n_streams < 1 || o->n_streams > BENCH_STREAMS_MAX || o->n_streams > m->max_batch)
        return fail(err, ERR_ARG, "n_streams is %d; it must be between 1 and max_batch, %d", o->n_streams,
                    m->max_batch);
    if (o->prompt_tokens > most || prompt + o->generate_tokens + 1 > most)
        return fail(err, ERR_LIMIT, "the context has %lld tokens; the benchmark needs %lld", (long long)most,
                    (long long)(o->prompt_tokens > prompt + o->generate_tokens + 1
                                    ? o->prompt_tokens
                                    : prompt + o->generate_tokens + 1));
    return OK;
}

SLUICE_API int sluice_bench(struct sluice_context *ctx, const struct sluice_bench_options *options,
                            char **json, struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct bench b = {.ctx = ctx};
    struct buf out;
    int rc;

    sluice_bench_options_init(&b.o, sizeof b.o);
    if ((options && (rc = face_copy_options(&b.o, sizeof b.o, options, options->struct_bytes,
                                            "sluice_bench_options", err)) != OK) ||
        (rc = face_check_alive(ctx, err)) != OK || (rc = check_options(&b.o, ctx->model, err)) != OK)
        return rc;
    size_t n_tokens = (size_t)(b.o.prompt_tokens > b.o.depth ? b.o.prompt_tokens : b.o.depth) + 1;
    b.tokens = calloc(n_tokens, sizeof *b.tokens);
    if (!b.tokens)
        return FACE_OUT_OF_MEMORY(err);
    rand_secure(&b.n_prompts, sizeof b.n_prompts);
    buf_init(&out, 1 << 16);
    struct json_writer w = json_writer(&out);
    jw_begin_object(&w);
    /* What the weights can do: guessed tokens would count as speed of the machine. */
    engine_set_drafting(ctx->engine, false);
    rc = measure_with_limits(&b, &w, err);
    engine_set_drafting(ctx->engine, true);
    if (rc == OK) {
        jw_end_object(&w);
        *json = buf_take(&out, NULL);
        if (!*json)
            rc = FACE_OUT_OF_MEMORY(err);
    }
    buf_deinit(&out);
    free(b.tokens);
    return rc;
}
