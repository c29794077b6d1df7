/* Attention gives the same bits on every level, whatever else is in the call, and stays close to float64. */
#include <math.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "kernel/kernel.h"

enum { TILES = KERN_SEGMENT / KERN_KV_TILE, HEAD_MAX = 256 };

enum input { GAUSSIAN, OUTLIERS, NASTY, INPUTS_END };

static const char *const kv_names[KERN_KV_END] = {"f16", "bf16", "q8_0", "i16"};

static float normal(struct rng *r)
{
    float s = 0;
    for (int i = 0; i < 12; i++)
        s += (float)rng_unit(r);
    return s - 6;
}

static void fill(float *x, int n, enum input kind, struct rng *r)
{
    for (int i = 0; i < n; i++) {
        x[i] = normal(r);
        if (kind == OUTLIERS && i == 5) /* one dimension far above the others, as trained keys have */
            x[i] = 20 + x[i];
        if (kind == NASTY)
            switch (rng_below(r, 8)) {
            case 0: x[i] = 0; break;
            case 1: x[i] = -0.0f; break;
            case 2: x[i] *= 1e-38f; break;
            case 3: x[i] *= 1e4f; break;
            default: break;
            }
    }
}

/* Keys and values of a segment, as floats and as stored by a level. */
struct segment {
    enum kern_kv kv;
    int hd;
    float *k, *v;
    uint8_t *tiles;
    size_t tile_bytes;
};

static void make_segment(struct segment *s, const struct kern_ops *ops, enum kern_kv kv, int hd,
                         enum input kind)
{
    struct rng r = rng_seeded(11);
    size_t n = KERN_SEGMENT * (size_t)hd;
    *s = (struct segment){.kv = kv, .hd = hd, .tile_bytes = kern_kv_tile_bytes(kv, hd)};
    s->k = malloc(n * sizeof *s->k);
    s->v = malloc(n * sizeof *s->v);
    s->tiles = malloc(2 * TILES * s->tile_bytes);
    REQUIRE(s->k && s->v && s->tiles);
    memset(s->tiles, 0xa5, 2 * TILES * s->tile_bytes);
    for (int i = 0; i < KERN_SEGMENT; i++) {
        float *k = s->k + i * hd, *v = s->v + i * hd;
        uint8_t *k_tile = s->tiles + (size_t)(i / KERN_KV_TILE) * s->tile_bytes,
                *v_tile = k_tile + TILES * s->tile_bytes;
        fill(k, hd, kind, &r);
        fill(v, hd, kind == OUTLIERS ? GAUSSIAN : kind, &r);
        if (kind == NASTY && i % 7 == 0)
            memset(k, 0, (size_t)hd * sizeof *k);
        ops->kv_put(kv, k_tile, v_tile, i % KERN_KV_TILE, k, v, hd);
    }
}

static void free_segment(struct segment *s)
{
    free(s->k);
    free(s->v);
    free(s->tiles);
}

struct result {
    float out[KERN_QUERIES][HEAD_MAX], max[KERN_QUERIES], sum[KERN_QUERIES];
};

/* What a query sees of the segment. */
struct view {
    int first, n_keys;
};

struct question {
    const float *q; /* [n][hd], unscaled; the score has the usual scale */
    const struct view *views;
    int n;
    float softcap;
    bool is_cold;
};

static void attend(const struct kern_ops *ops, const struct segment *s, const struct question *ask,
                   struct result *res)
{
    int n = ask->n;
    static float queries[KERN_QUERIES][HEAD_MAX];
    struct kern_attn a = {.n_queries = n,
                          .head_dim = s->hd,
                          .softcap = ask->softcap,
                          .is_cold = ask->is_cold,
                          .n_next = ask->is_cold,
                          .next = {s->tiles}};
    memset(res, 0, sizeof *res);
    a.scores = aligned_alloc(64, KERN_ATTN_SCRATCH);
    REQUIRE(a.scores);
    memset(a.scores, 0xff, KERN_ATTN_SCRATCH);
    for (int t = 0; t < TILES; t++) {
        a.k_tiles[t] = s->tiles + (size_t)t * s->tile_bytes;
        a.v_tiles[t] = s->tiles + (size_t)(TILES + t) * s->tile_bytes;
    }
    for (int i = 0; i < n; i++) {
        memcpy(queries[i], ask->q + i * s->hd, (size_t)s->hd * sizeof(float));
        ops->scale(queries[i], queries[i], KERN_LOG2E / sqrtf((float)s->hd), s->hd);
        ops->attn_query(s->kv, queries[i], s->hd);
        a.q[i] = queries[i];
        a.first_key[i] = ask->views[i].first;
        a.n_keys[i] = ask->views[i].n_keys;
        a.out[i] = res->out[i];
    }
    ops->attn[s->kv](&a);
    memcpy(res->max, a.max, sizeof a.max[0] * (size_t)n);
    memcpy(res->sum, a.sum, sizeof a.sum[0] * (size_t)n);
    free(a.scores);
}

static const int heads[] = {32, 64, 96, 128, 256};
enum { N_HEADS = sizeof heads / sizeof *heads };

/* All, one, none, and parts of tiles; with a window: to the end, within a tile, whole tiles, across. */
static const struct view whole[KERN_QUERIES] = {{0, KERN_SEGMENT}, {0, 1},   {0, 0},
                                                {0, 37},           {0, 300}, {0, 129}};
static const struct view windows[KERN_QUERIES] = {{437, KERN_SEGMENT}, {419, 423}, {400, 416},
                                                  {384, 511},          {0, 0},     {415, 449}};

static void check_level(const char *name)
{
    static struct result a, b;
    static float q[KERN_QUERIES * HEAD_MAX];
    const struct kern_ops *ref, *ops;
    struct segment x, y;
    struct rng r = rng_seeded(5);
    REQUIRE(kern_choose(&ref, "ref", NULL) == OK);
    if (kern_choose(&ops, name, NULL) != OK)
        test_skip("this processor does not have the level");
    for (int kv = 0; kv < KERN_KV_END; kv++)
        for (int h = 0; h < N_HEADS; h++)
            for (int kind = 0; kind < INPUTS_END; kind++) {
                make_segment(&x, ref, (enum kern_kv)kv, heads[h], (enum input)kind);
                make_segment(&y, ops, (enum kern_kv)kv, heads[h], (enum input)kind);
                fill(q, KERN_QUERIES * heads[h], (enum input)kind, &r);
                struct question ask = {.q = q,
                                       .views = (h + kind + kv) % 2 ? windows : whole,
                                       .n = 1 + (h + kind) % KERN_QUERIES,
                                       .softcap = kind == OUTLIERS ? 3.0f : 0};
                attend(ref, &x, &ask, &a);
                if (memcmp(x.tiles, y.tiles, 2 * TILES * x.tile_bytes) != 0)
                    test_fail(__FILE__, __LINE__, "%s %s, head of %d, input %d: stored differently", name,
                              kv_names[kv], heads[h], kind);
                for (int cold = 0; cold < 2; cold++) {
                    ask.is_cold = cold;
                    attend(ops, &y, &ask, &b);
                    if (memcmp(&a, &b, sizeof a) != 0)
                        test_fail(__FILE__, __LINE__, "%s %s, head of %d, input %d, cold %d: %s differs",
                                  name, kv_names[kv], heads[h], kind, cold,
                                  memcmp(a.max, b.max, sizeof a.max)   ? "max"
                                  : memcmp(a.sum, b.sum, sizeof a.sum) ? "sum"
                                                                       : "out");
                }
                free_segment(&x);
                free_segment(&y);
            }
}

TEST(avx512_attention_equals_the_reference)
{
    check_level("avx512");
}

TEST(avx2_attention_equals_the_reference)
{
    check_level("avx2");
}

TEST(neon_attention_equals_the_reference)
{
    check_level("neon");
}

static void check_neighbours(const struct kern_ops *ops, const struct segment *s, const struct view *views,
                             float softcap)
{
    static struct result all, one;
    static float q[KERN_QUERIES * HEAD_MAX];
    struct rng r = rng_seeded(6);
    fill(q, KERN_QUERIES * s->hd, GAUSSIAN, &r);
    struct question ask = {.q = q, .views = views, .n = KERN_QUERIES, .softcap = softcap, .is_cold = true};
    attend(ops, s, &ask, &all);
    for (int i = 0; i < KERN_QUERIES; i++) {
        ask = (struct question){.q = q + s->hd * i, .views = views + i, .n = 1, .softcap = softcap};
        attend(ops, s, &ask, &one);
        CHECK(memcmp(all.out[i], one.out[0], (size_t)s->hd * sizeof(float)) == 0);
        CHECK(memcmp(&all.max[i], &one.max[0], sizeof(float)) == 0);
        CHECK(memcmp(&all.sum[i], &one.sum[0], sizeof(float)) == 0);
    }
}

TEST(neighbours_in_a_call_do_not_change_a_query)
{
    const struct kern_ops *ops;
    struct segment s;
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    for (int kv = 0; kv < KERN_KV_END; kv++) {
        make_segment(&s, ops, (enum kern_kv)kv, 96, GAUSSIAN);
        check_neighbours(ops, &s, whole, 0);
        check_neighbours(ops, &s, windows, 0);
        check_neighbours(ops, &s, windows, 2);
        free_segment(&s);
    }
}

/* Whatever lies before a window or behind the last key, no bit of the result is from there. */
TEST(keys_that_are_not_seen_add_nothing)
{
    static struct result a, b;
    static float q[HEAD_MAX], k[HEAD_MAX], v[HEAD_MAX];
    enum { HD = 256 };
    const struct kern_ops *ops;
    struct segment s;
    struct rng r = rng_seeded(7);
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    fill(q, HD, GAUSSIAN, &r);
    for (int kv = 0; kv < KERN_KV_END; kv++)
        for (int w = 0; w < KERN_QUERIES; w++) {
            struct question ask = {.q = q, .views = &windows[w], .n = 1, .softcap = w % 2 ? 5.0f : 0};
            make_segment(&s, ops, (enum kern_kv)kv, HD, GAUSSIAN);
            attend(ops, &s, &ask, &a);
            for (int i = 0; i < KERN_SEGMENT; i++) {
                if (i >= windows[w].first && i < windows[w].n_keys)
                    continue;
                uint8_t *k_tile = s.tiles + (size_t)(i / KERN_KV_TILE) * s.tile_bytes;
                fill(k, HD, OUTLIERS, &r);
                fill(v, HD, OUTLIERS, &r);
                ops->scale(k, k, 300, HD);
                ops->kv_put((enum kern_kv)kv, k_tile, k_tile + TILES * s.tile_bytes, i % KERN_KV_TILE, k, v,
                            HD);
            }
            attend(ops, &s, &ask, &b);
            CHECK(memcmp(&a, &b, sizeof a) == 0);
            free_segment(&s);
        }
}

/* Slots cleared are as if they had never been used, and the others are as they were. */
TEST(cleared_slots_are_zero_and_the_others_stay)
{
    const struct kern_ops *ops;
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    for (int kv = 0; kv < KERN_KV_END; kv++)
        for (int from = 0; from <= KERN_KV_TILE; from++) {
            enum { HD = 64 };
            struct segment s;
            size_t n = kern_kv_tile_bytes((enum kern_kv)kv, HD);
            uint8_t *want = calloc(2, n);
            REQUIRE(want);
            make_segment(&s, ops, (enum kern_kv)kv, HD, GAUSSIAN);
            for (int i = 0; i < from; i++)
                ops->kv_put((enum kern_kv)kv, want, want + n, i, s.k + i * HD, s.v + i * HD, HD);
            kern_kv_clear((enum kern_kv)kv, s.tiles, s.tiles + TILES * n, from, HD);
            CHECK(memcmp(s.tiles, want, n) == 0);
            CHECK(memcmp(s.tiles + TILES * n, want + n, n) == 0);
            free(want);
            free_segment(&s);
        }
}

/* Relative RMS error of the normalised output against float64 on the numbers before they were stored. */
static double error_of(const struct kern_ops *ops, enum kern_kv kv, int hd, enum input kind, float sharpness,
                       struct view view, double cap)
{
    static struct result got;
    static float q[HEAD_MAX];
    static double p[KERN_SEGMENT];
    struct segment s;
    struct rng r = rng_seeded(8);
    double error = 0, power = 0;
    make_segment(&s, ops, kv, hd, kind);
    for (int trial = 0; trial < 8; trial++) {
        fill(q, hd, GAUSSIAN, &r);
        for (int d = 0; d < hd; d++)
            q[d] *= sharpness;
        attend(ops, &s, &(struct question){.q = q, .views = &view, .n = 1, .softcap = (float)(cap / log(2))},
               &got);
        double max = -INFINITY, sum = 0;
        for (int k = view.first; k < view.n_keys; k++) {
            p[k] = 0;
            for (int d = 0; d < hd; d++)
                p[k] += (double)q[d] * (double)s.k[k * hd + d] / sqrt(hd);
            p[k] = cap > 0 ? cap * tanh(p[k] / cap) : p[k];
            max = fmax(max, p[k]);
        }
        for (int k = view.first; k < view.n_keys; k++)
            sum += p[k] = exp(p[k] - max);
        for (int d = 0; d < hd; d++) {
            double want = 0;
            for (int k = view.first; k < view.n_keys; k++)
                want += p[k] * (double)s.v[k * hd + d] / sum;
            double diff = (double)got.out[0][d] / (double)got.sum[0] - want;
            error += diff * diff;
            power += want * want;
        }
    }
    free_segment(&s);
    return sqrt(error / power);
}

/* From attention that looks at everything alike to such that looks at one key. */
TEST(attention_is_that_of_float64)
{
    static const float sharpness[] = {0.01f, 1, 4, 16};
    static const double bound[KERN_KV_END] = {3e-3, 2e-2, 0.16, 2e-3};
    const struct kern_ops *ops;
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    for (int kv = 0; kv < KERN_KV_END; kv++)
        for (int h = 1; h < N_HEADS; h += 2)
            for (int kind = GAUSSIAN; kind <= OUTLIERS; kind++)
                for (size_t i = 0; i < sizeof sharpness / sizeof *sharpness; i++) {
                    double e = error_of(ops, (enum kern_kv)kv, heads[h], (enum input)kind, sharpness[i],
                                        (struct view){0, 500}, 0);
                    if (getenv("SHOW_ERRORS"))
                        printf("%-4s head %3d input %d sharpness %5.2f: %.2e\n", kv_names[kv], heads[h], kind,
                               (double)sharpness[i], e);
                    if (!(e <= bound[kv]))
                        test_fail(__FILE__, __LINE__, "%s, head of %d, input %d, sharpness %g: error %.3g",
                                  kv_names[kv], heads[h], kind, (double)sharpness[i], e);
                }
}

TEST(attention_through_a_window_and_under_a_cap_is_that_of_float64)
{
    static const double bound[KERN_KV_END] = {3e-3, 2e-2, 0.16, 2e-3};
    const struct kern_ops *ops;
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    for (int kv = 0; kv < KERN_KV_END; kv++)
        for (size_t i = 0; i < 3; i++) {
            static const double caps[] = {0, 2, 50};
            double e = error_of(ops, (enum kern_kv)kv, 256, GAUSSIAN, 4, (struct view){205, 411}, caps[i]);
            if (getenv("SHOW_ERRORS"))
                printf("%-4s head 256 cap %g: %.2e\n", kv_names[kv], caps[i], e);
            CHECK(e <= bound[kv]);
        }
}
