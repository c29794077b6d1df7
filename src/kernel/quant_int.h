/* quant_int.h - What the files of the quantisation types share.
 *
 * A type file says how its bytes unpack into integers and scales (struct quant_block32 or
 * struct quant_super); dequantisation and the reference dot product are then the same few lines
 * for all of them, below.  A new type also needs its line in the list at the end and its row in
 * quant.c. */
#ifndef KERNEL_QUANT_INT_H
#define KERNEL_QUANT_INT_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/f16.h"
#include "kernel/quant.h"

/* Values are d * v + m. */
struct quant_block32 {
    float d, m;
    bool has_min;
    int8_t v[32];
};

/* The k-th 16 values of an NVFP4 block (nvfp4.c): d * v. */
struct quant_block16 {
    float d;
    int8_t v[16];
};
void nvfp4_unpack(struct quant_block16 *g, const uint8_t *p, int k);

/* 256 values in 16 groups: d * sc * v - dmin * m. */
struct quant_super {
    float d, dmin;
    bool has_min;
    int16_t sc[16];
    uint8_t m[16];
    int8_t v[256];
};

static inline float load_f16(const uint8_t *p)
{
    return f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* f as the nearest finite f16, which is what a stored scale will be. */
static inline float round_f16(float f)
{
    f = f < -65504 ? -65504 : f > 65504 ? 65504 : f;
    return f16_to_f32(f32_to_f16(f));
}

static inline void store_f16(uint8_t *p, float f)
{
    uint16_t h = f32_to_f16(f < -65504 ? -65504 : f > 65504 ? 65504 : f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

static inline uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void store_u32(uint8_t *p, uint32_t u)
{
    p[0] = (uint8_t)u;
    p[1] = (uint8_t)(u >> 8);
    p[2] = (uint8_t)(u >> 16);
    p[3] = (uint8_t)(u >> 24);
}

/* Nearest integer, halves to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bits below one.
 * Larger and non-finite x give some int. */
static inline int quant_round(float x)
{
    return (int)(f32_bits(x + 12582912.0f) & 0x7fffff) - 0x400000;
}

static inline int quant_clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Low nibbles are values 0..n/2-1, high nibbles n/2..n-1 of p[n/2]. */
static inline void unpack_nibbles(uint8_t *q, const uint8_t *p, int n)
{
    for (int j = 0; j < n / 2; j++) {
        q[j] = p[j] & 15;
        q[j + n / 2] = p[j] >> 4;
    }
}

static inline void pack_nibbles(uint8_t *p, const uint8_t *q, int n)
{
    for (int j = 0; j < n / 2; j++)
        p[j] = (uint8_t)(q[j] | q[j + n / 2] << 4);
}

/* --- types of 32 elements ------------------------------------------------------------------ */

typedef void unpack32_fn(struct quant_block32 *b, const uint8_t *p);

static inline void block32_dequantize(float *y, const uint8_t *p, size_t n, size_t bytes, unpack32_fn *unpack)
{
    assert(n % 32 == 0);
    struct quant_block32 b = {0};
    for (size_t i = 0; i < n; i += 32, p += bytes) {
        unpack(&b, p);
        for (int j = 0; j < 32; j++) {
            float prod = (float)b.v[j] * b.d;
            y[i + (size_t)j] = b.has_min ? prod + b.m : prod;
        }
    }
}

static inline float block32_dot(const uint8_t *p, const struct quant_act32 *a, size_t n, size_t bytes,
                                unpack32_fn *unpack)
{
    assert(n % 32 == 0);
    float acc = 0;
    struct quant_block32 b = {0};
    for (size_t i = 0; i < n; i += 32, p += bytes, a++) {
        unpack(&b, p);
        int32_t s = 0, t = 0;
        for (int j = 0; j < 32; j++) {
            s += b.v[j] * a->q[j];
            t += a->q[j];
        }
        acc = fmaf(b.d * a->d, (float)s, acc);
        if (b.has_min)
            acc = fmaf(b.m * a->d, (float)t, acc);
    }
    return acc;
}

/* --- types of 256 elements ----------------------------------------------------------------- */

typedef void unpack_super_fn(struct quant_super *b, const uint8_t *p);

static inline void super_dequantize(float *y, const uint8_t *p, size_t n, size_t bytes,
                                    unpack_super_fn *unpack)
{
    assert(n % 256 == 0);
    struct quant_super b = {0};
    for (size_t i = 0; i < n; i += 256, p += bytes) {
        unpack(&b, p);
        for (int j = 0; j < 256; j++) {
            int g = j / 16;
            float prod = b.d * (float)b.sc[g] * (float)b.v[j];
            y[i + (size_t)j] = b.has_min ? prod - b.dmin * (float)b.m[g] : prod;
        }
    }
}

static inline float super_dot(const uint8_t *p, const struct quant_act256 *a, size_t n, size_t bytes,
                              unpack_super_fn *unpack)
{
    assert(n % 256 == 0);
    float acc = 0;
    struct quant_super b = {0};
    for (size_t i = 0; i < n; i += 256, p += bytes, a++) {
        unpack(&b, p);
        int32_t s = 0, t = 0;
        for (int g = 0; g < 16; g++) {
            int32_t sum = 0;
            for (int j = 16 * g; j < 16 * g + 16; j++)
                sum += b.v[j] * a->q[j];
            s += b.sc[g] * sum;
            t += b.m[g] * a->sums[g];
        }
        acc = fmaf(b.d * a->d, (float)s, acc);
        if (b.has_min)
            acc = fmaf(-(b.dmin * a->d), (float)t, acc);
    }
    return acc;
}

/* --- scale searches (quant_search.c) -------------------------------------------------------- */

/* A grid of integers lo..hi. */
struct quant_range {
    int lo, hi;
};

/* Choose d and q_i in range so that sum w_i (x_i - d q_i)^2 is small; returns d (either sign), an
 * f16 value.  n is 16 or 32.  All x zero: d = 0, q = 0. */
float search_scale(int8_t *q, const float *x, const float *w, int n, struct quant_range range);

/* The same for x ~ d q + m with q in 0..q_max and d >= 0, both f16 values.  max_m: m is at most
 * that (INFINITY: any). */
struct quant_affine {
    float d, m;
};
struct quant_affine search_affine(uint8_t *q, const float *x, const float *w, int n, int q_max, float max_m);

/* The same as search_scale for a table of 16 increasing values: x ~ d table[q]. */
float search_table(uint8_t *q, const float *x, const float *w, int n, const int8_t table[16]);

/* Its two halves: the best real-valued d, and the codes for a given d (returns the weighted
 * squared error). */
float search_table_real(const float *x, const float *w, int n, const int8_t table[16]);
float encode_table(uint8_t *q, const float *x, const float *w, int n, float d, const int8_t table[16]);

/* Nearest entry of the increasing table. */
uint8_t table_nearest(const int8_t table[16], float v);

/* Superblocks without minimums: x[256] ~ d sc_g v_i.  Groups of group_n elements, sc in `sc`,
 * v in `v`.  b->sc gets 16 entries (repeated for groups of 32).  d is an f16 value. */
void search_super(struct quant_super *b, const float *x, const float *w, int group_n, struct quant_range sc,
                  struct quant_range v);

/* Superblocks with minimums: x ~ d sc_g q_i - dmin m_g, q in 0..q_max, sc and m in 0..sc_max. */
void search_super_min(struct quant_super *b, const float *x, const float *w, int group_n, int sc_max,
                      int q_max);

/* The 12 bytes of 6-bit scales and minimums of Q4_K and Q5_K (q4_k.c). */
void k4_unpack_scales(struct quant_super *b, const uint8_t *s);
void k4_pack_scales(uint8_t *s, const struct quant_super *b);

/* `importance` or 256 ones. */
const float *quant_weights(const float *importance);

/* --- the types ------------------------------------------------------------------------------ */

extern const int8_t quant_iq4_table[16];
extern const int8_t quant_fp4_table[16]; /* E2M1 doubled, by code */

extern const struct quant_info quant_f32, quant_f16, quant_bf16, quant_q4_0, quant_q4_1, quant_q5_0,
    quant_q5_1, quant_q8_0, quant_q8_1, quant_q2_k, quant_q3_k, quant_q4_k, quant_q5_k, quant_q6_k,
    quant_q8_k, quant_iq4_nl, quant_iq4_xs, quant_mxfp4, quant_nvfp4;

#endif
