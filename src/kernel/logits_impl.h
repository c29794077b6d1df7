/* logits_impl.h - Passes over a row of logits, written with the compilers' vector types.
 *
 * Included by logits.c, logits_avx2.c and logits_avx512.c, which are compiled for their level and
 * name the table by LOGITS_OPS.  A block is always worked on as LOGITS_LANES lanes, which are
 * VECS vectors of the level's own width W, and lanes are added in a fixed order at the end: every
 * level gives the same bits. */
#include <math.h>
#include <string.h>

#include "kernel/logits.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define W 16
#elif defined(__AVX2__)
#define W 8
#else
#define W 4
#endif
#define VECS (LOGITS_LANES / W)

typedef float vec __attribute__((vector_size(4 * W)));
typedef int32_t ivec __attribute__((vector_size(4 * W)));

static inline vec vec_of(float f)
{
    return (vec){0} + f;
}

static inline vec vec_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* a where the mask (from a comparison) is set, else b. */
static inline vec vec_select(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

static inline vec vec_max(vec a, vec b)
{
    return vec_select(a > b, a, b);
}

/* e^x for x <= 0 as 2^k e^r: k = round(x / ln 2) by the rounding of an addition, r = x - k ln 2 in
 * two parts (Cody and Waite), e^r by its Taylor polynomial of degree 7 on |r| <= 0.35.  Relative
 * error below 2^-22.  Below -86 the result is 0, so that no subnormal number and no trace of
 * a forbidden token remains. */
static inline vec exp_vec(vec x)
{
    const vec round = vec_of(12582912.0f); /* 1.5 * 2^23: its low bits become k */
    ivec is_there = x > vec_of(-86.0f);
    vec c = vec_select(is_there, x, vec_of(-86.0f));
    vec base = c * vec_of(1.44269504f) + round;
    vec k = base - round;
    vec r = (c - k * vec_of(0.693359375f)) - k * vec_of(-2.12194440e-4f);
    vec p = vec_of(1.98412698e-4f);
    p = p * r + vec_of(1.38888889e-3f);
    p = p * r + vec_of(8.33333333e-3f);
    p = p * r + vec_of(4.16666667e-2f);
    p = p * r + vec_of(1.66666667e-1f);
    p = p * r + vec_of(0.5f);
    p = p * r + vec_of(1.0f);
    p = p * r + vec_of(1.0f);
    vec scale = (vec)(((ivec)base - (0x4b400000 - 127)) << 23);
    return vec_select(is_there, p * scale, vec_of(0.0f));
}

typedef float vec8 __attribute__((vector_size(32)));
typedef float vec4 __attribute__((vector_size(16)));

/* Lane j + lane j + 8, then + 4, then + 2, and the last two as double. */
static inline double lanes_sum(const vec s[VECS])
{
    vec8 h[2];
    vec4 q[2];
    memcpy(h, s, sizeof h);
    h[0] += h[1];
    memcpy(q, h, sizeof q);
    q[0] += q[1];
    return (double)(q[0][0] + q[0][2]) + (double)(q[0][1] + q[0][3]);
}

/* Bit j: lane j of a mask (from a comparison) is set. */
static inline uint32_t lanes_bits(ivec mask)
{
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
    uint32_t bits = 0;
    for (int j = 0; j < W; j++)
        bits |= (uint32_t)(mask[j] & 1) << j;
    return bits;
#endif
}

/* A block that ends before LOGITS_BLOCK elements, filled up. */
static inline const float *whole_block(const float *x, int32_t n, float fill, float room[LOGITS_BLOCK])
{
    if (n >= LOGITS_BLOCK)
        return x;
    for (int32_t i = 0; i < LOGITS_BLOCK; i++)
        room[i] = i < n ? x[i] : fill;
    return room;
}

static float ops_block_max(const float *x, int32_t n, float *block_max)
{
    float all = -INFINITY, room[LOGITS_BLOCK];

    for (int32_t b = 0; b * LOGITS_BLOCK < n; b++) {
        const float *p = whole_block(x + b * LOGITS_BLOCK, n - b * LOGITS_BLOCK, -INFINITY, room);
        vec m = vec_of(-INFINITY);
        for (int i = 0; i < LOGITS_BLOCK; i += W)
            m = vec_max(vec_load(p + i), m);
        float l[W], best = -INFINITY;
        memcpy(l, &m, sizeof l);
        for (int half = W / 2; half > 0; half /= 2)
            for (int j = 0; j < half; j++)
                l[j] = l[j] > l[j + half] ? l[j] : l[j + half];
        best = l[0];
        block_max[b] = best;
        all = best > all ? best : all;
    }
    return all;
}

static double ops_exp_sum(const float *x, int32_t n, float max, float scale, float *e, double *block_sum)
{
    double all = 0;
    float room[LOGITS_BLOCK], last[LOGITS_BLOCK];

    for (int32_t b = 0; b * LOGITS_BLOCK < n; b++) {
        int32_t left = n - b * LOGITS_BLOCK;
        const float *p = whole_block(x + b * LOGITS_BLOCK, left, -INFINITY, room);
        float *to = left < LOGITS_BLOCK ? last : e + b * LOGITS_BLOCK;
        vec s[VECS] = {0};
        for (int i = 0; i < LOGITS_BLOCK; i += LOGITS_LANES)
            for (int v = 0; v < VECS; v++) {
                vec y = exp_vec((vec_load(p + i + v * W) - vec_of(max)) * vec_of(scale));
                memcpy(to + i + v * W, &y, sizeof y);
                s[v] += y;
            }
        if (to == last)
            memcpy(e + b * LOGITS_BLOCK, last, sizeof last[0] * (size_t)left);
        block_sum[b] = lanes_sum(s);
        all += block_sum[b];
    }
    return all;
}

static void ops_mass_above(const float *e, int32_t n, const float cut[LOGITS_CUTS], double mass[LOGITS_CUTS],
                           int32_t count[LOGITS_CUTS])
{
    float room[LOGITS_BLOCK];
    ivec k[LOGITS_CUTS] = {0};

    for (int c = 0; c < LOGITS_CUTS; c++)
        mass[c] = 0;
    for (int32_t run = 0; run < n; run += LOGITS_RUN) {
        vec s[LOGITS_CUTS][VECS] = {0};
        for (int32_t at = run; at < n && at < run + LOGITS_RUN; at += LOGITS_BLOCK) {
            const float *p = whole_block(e + at, n - at, -1, room);
            for (int i = 0; i < LOGITS_BLOCK; i += LOGITS_LANES)
                for (int v = 0; v < VECS; v++) {
                    vec y = vec_load(p + i + v * W);
                    for (int c = 0; c < LOGITS_CUTS; c++) {
                        ivec is_in = y >= vec_of(cut[c]);
                        s[c][v] += (vec)((ivec)y & is_in);
                        k[c] -= is_in;
                    }
                }
        }
        for (int c = 0; c < LOGITS_CUTS; c++)
            mass[c] += lanes_sum(s[c]);
    }
    for (int c = 0; c < LOGITS_CUTS; c++) {
        count[c] = 0;
        for (int j = 0; j < W; j++)
            count[c] += k[c][j];
    }
}

static int32_t ops_between(const float *e, int32_t n, float low, float high, int32_t *ids, int32_t ids_max)
{
    float room[LOGITS_BLOCK];
    int32_t found = 0;

    for (int32_t at = 0; at < n; at += LOGITS_BLOCK) {
        const float *p = whole_block(e + at, n - at, -1, room); /* low is positive */
        for (int i = 0; i < LOGITS_BLOCK; i += W) {
            vec y = vec_load(p + i);
            uint32_t bits = lanes_bits((y >= vec_of(low)) & (y < vec_of(high)));
            for (; bits; bits &= bits - 1)
                ids[found++] = at + i + __builtin_ctz(bits);
        }
        if (found > ids_max)
            return -1;
    }
    return found;
}

static double ops_block_mass(const float *e, int32_t n, float cut, double *block_sum)
{
    double all = 0;
    float room[LOGITS_BLOCK];

    for (int32_t b = 0; b * LOGITS_BLOCK < n; b++) {
        const float *p = whole_block(e + b * LOGITS_BLOCK, n - b * LOGITS_BLOCK, -1, room);
        vec s[VECS] = {0};
        for (int i = 0; i < LOGITS_BLOCK; i += LOGITS_LANES)
            for (int v = 0; v < VECS; v++) {
                vec y = vec_load(p + i + v * W);
                s[v] += (vec)((ivec)y & (ivec)(y >= vec_of(cut)));
            }
        block_sum[b] = lanes_sum(s);
        all += block_sum[b];
    }
    return all;
}

const struct logits_ops LOGITS_OPS = {
    .block_max = ops_block_max,
    .exp_sum = ops_exp_sum,
    .mass_above = ops_mass_above,
    .between = ops_between,
    .block_mass = ops_block_mass,
};
