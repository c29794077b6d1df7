/* vec16.h - Sixteen floats as one value, on every level with the same results.
 *
 * A file that includes this is compiled for one level (its suffix selects the compiler's flags):
 * with AVX-512 a value is one register, with AVX2 two, with NEON four, otherwise an array.  Each operation is
 * one IEEE operation per lane, so code written with these gives equal bits on all levels. Loads and stores
 * take any alignment. */
#ifndef KERNEL_VEC16_H
#define KERNEL_VEC16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernel/f16.h"

/* The sanitizers' checks of every lane would take half a minute to compile, per level. */
#define NO_SANITIZE no_sanitize("address", "undefined", "thread")

/* A file of an ARM level is known by its dot product: every aarch64 compiler has NEON itself. */
#if !defined(__AVX2__) &&                                                                                    \
    !defined(__ARM_FEATURE_DOTPROD) /* plain C is for comparison: small code, not fast code */
#define VEC static inline __attribute__((unused, NO_SANITIZE))
#define UNROLL
#else
#define VEC static inline __attribute__((always_inline, unused, NO_SANITIZE))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#endif

/* What vmaxps and vminps do: the second operand where the comparison is false. */
VEC float max_f32(float a, float b)
{
    return a > b ? a : b;
}
VEC float min_f32(float a, float b)
{
    return a < b ? a : b;
}

#if defined(__AVX512F__)
#include <immintrin.h>

typedef __m512 vf;
VEC vf vf_set1(float a)
{
    return _mm512_set1_ps(a);
}
VEC vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
VEC vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
VEC void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
VEC vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
VEC void vf_store_n(float *p, vf a, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}
VEC vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
VEC vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
VEC vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
VEC vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
VEC vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
VEC vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
VEC vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
VEC vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
VEC vf vf_of_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
VEC void vf_to_f16(void *p, vf a)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
VEC vf vf_of_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
VEC vf vf_of_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
/* Nearest integers, halves to even, as bytes; |a| < 128. */
VEC void vf_to_i8(int8_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a)));
}
VEC __m256 vf_low(vf a)
{
    return _mm512_castps512_ps256(a);
}
VEC __m256 vf_high(vf a)
{
    return _mm512_extractf32x8_ps(a, 1);
}
/* Lanes < n of a, the others of b. */
VEC vf vf_first(int n, vf a, vf b)
{
    return _mm512_mask_mov_ps(b, (__mmask16)((1u << n) - 1), a);
}
/* p where a >= b, else 0 */
VEC vf vf_if_ge(vf a, vf b, vf p)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), p);
}
/* a 2^n for t = 1.5 * 2^23 + n, result normal. */
VEC vf vf_shift_exp(vf a, vf t)
{
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

#elif defined(__AVX2__)
#include <immintrin.h>

typedef struct {
    __m256 a, b;
} vf;
VEC vf vf_both(__m256 a, __m256 b)
{
    vf r = {a, b};
    return r;
}
VEC vf vf_set1(float a)
{
    return vf_both(_mm256_set1_ps(a), _mm256_set1_ps(a));
}
VEC vf vf_zero(void)
{
    return vf_both(_mm256_setzero_ps(), _mm256_setzero_ps());
}
VEC vf vf_load(const float *p)
{
    return vf_both(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
VEC void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a.a);
    _mm256_storeu_ps(p + 8, a.b);
}
VEC vf vf_load_n(const float *p, int n)
{
    float t[16] = {0};
    memcpy(t, p, (size_t)n * sizeof *p);
    return vf_load(t);
}
VEC void vf_store_n(float *p, vf a, int n)
{
    float t[16];
    vf_store(t, a);
    memcpy(p, t, (size_t)n * sizeof *p);
}
VEC vf vf_add(vf a, vf b)
{
    return vf_both(_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b));
}
VEC vf vf_sub(vf a, vf b)
{
    return vf_both(_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b));
}
VEC vf vf_mul(vf a, vf b)
{
    return vf_both(_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b));
}
VEC vf vf_div(vf a, vf b)
{
    return vf_both(_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b));
}
VEC vf vf_fma(vf a, vf b, vf c)
{
    return vf_both(_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b));
}
VEC vf vf_max(vf a, vf b)
{
    return vf_both(_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b));
}
VEC vf vf_min(vf a, vf b)
{
    return vf_both(_mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b));
}
VEC vf vf_abs(vf a)
{
    __m256 m = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return vf_both(_mm256_and_ps(a.a, m), _mm256_and_ps(a.b, m));
}
VEC vf vf_of_f16(const void *p)
{
    const __m128i *h = p;
    return vf_both(_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1)));
}
VEC void vf_to_f16(void *p, vf a)
{
    __m128i *h = p;
    _mm_storeu_si128(h, _mm256_cvtps_ph(a.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(h + 1, _mm256_cvtps_ph(a.b, _MM_FROUND_TO_NEAREST_INT));
}
VEC __m256 bf16x8(const __m128i *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
VEC vf vf_of_bf16(const void *p)
{
    const __m128i *h = p;
    return vf_both(bf16x8(h), bf16x8(h + 1));
}
VEC vf vf_of_i8(const void *p)
{
    __m128i q = _mm_loadu_si128(p);
    return vf_both(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)),
                   _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8))));
}
VEC void vf_to_i8(int8_t *p, vf v)
{
    __m256i w = _mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
    w = _mm256_permute4x64_epi64(w, 0xd8);
    _mm_storeu_si128((__m128i *)p,
                     _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}
VEC __m256 vf_low(vf a)
{
    return a.a;
}
VEC __m256 vf_high(vf a)
{
    return a.b;
}
VEC __m256 lanes_below(int n)
{
    __m256i i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), i));
}
VEC vf vf_first(int n, vf a, vf b)
{
    return vf_both(_mm256_blendv_ps(b.a, a.a, lanes_below(n)),
                   _mm256_blendv_ps(b.b, a.b, lanes_below(n - 8)));
}
VEC vf vf_if_ge(vf a, vf b, vf p)
{
    return vf_both(_mm256_and_ps(_mm256_cmp_ps(a.a, b.a, _CMP_GE_OQ), p.a),
                   _mm256_and_ps(_mm256_cmp_ps(a.b, b.b, _CMP_GE_OQ), p.b));
}
VEC __m256 shift_exp8(__m256 a, __m256 t)
{
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}
VEC vf vf_shift_exp(vf a, vf t)
{
    return vf_both(shift_exp8(a.a, t.a), shift_exp8(a.b, t.b));
}

#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

typedef struct {
    float32x4_t a, b, c, d;
} vf;
/* OP(r): an operation on the registers r of its operands. */
#define QUARTERS(A, B, C, D)                                                                                 \
    do {                                                                                                     \
        vf r_ = {A, B, C, D};                                                                                \
        return r_;                                                                                           \
    } while (0)
#define EACH(OP) QUARTERS(OP(a), OP(b), OP(c), OP(d))
VEC vf vf_set1(float x)
{
#define OP(r)    vdupq_n_f32(x)
    EACH(OP);
#undef OP
}
VEC vf vf_zero(void)
{
    return vf_set1(0);
}
VEC vf vf_load(const float *p)
{
    QUARTERS(vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12));
}
VEC void vf_store(float *p, vf x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}
VEC vf vf_load_n(const float *p, int n)
{
    if (n == 16)
        return vf_load(p);
    float t[16] = {0};
    memcpy(t, p, (size_t)n * sizeof *p);
    return vf_load(t);
}
VEC void vf_store_n(float *p, vf x, int n)
{
    if (n == 16) {
        vf_store(p, x);
        return;
    }
    float t[16];
    vf_store(t, x);
    memcpy(p, t, (size_t)n * sizeof *p);
}
VEC vf vf_add(vf x, vf y)
{
#define OP(r) vaddq_f32(x.r, y.r)
    EACH(OP);
#undef OP
}
VEC vf vf_sub(vf x, vf y)
{
#define OP(r) vsubq_f32(x.r, y.r)
    EACH(OP);
#undef OP
}
VEC vf vf_mul(vf x, vf y)
{
#define OP(r) vmulq_f32(x.r, y.r)
    EACH(OP);
#undef OP
}
VEC vf vf_div(vf x, vf y)
{
#define OP(r) vdivq_f32(x.r, y.r)
    EACH(OP);
#undef OP
}
VEC vf vf_fma(vf x, vf y, vf z)
{
#define OP(r) vfmaq_f32(z.r, x.r, y.r)
    EACH(OP);
#undef OP
}
/* Not vmaxq and vminq, which have another opinion of NaN and of zeros. */
VEC vf vf_max(vf x, vf y)
{
#define OP(r) vbslq_f32(vcgtq_f32(x.r, y.r), x.r, y.r)
    EACH(OP);
#undef OP
}
VEC vf vf_min(vf x, vf y)
{
#define OP(r) vbslq_f32(vcltq_f32(x.r, y.r), x.r, y.r)
    EACH(OP);
#undef OP
}
VEC vf vf_abs(vf x)
{
#define OP(r) vabsq_f32(x.r)
    EACH(OP);
#undef OP
}
VEC float32x4_t f16x4(const void *p)
{
    uint16x4_t h;
    memcpy(&h, p, sizeof h);
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
}
VEC vf vf_of_f16(const void *p)
{
    const uint8_t *h = p;
    QUARTERS(f16x4(h), f16x4(h + 8), f16x4(h + 16), f16x4(h + 24));
}
VEC void vf_to_f16(void *p, vf x)
{
    uint16x4_t h[4] = {vreinterpret_u16_f16(vcvt_f16_f32(x.a)), vreinterpret_u16_f16(vcvt_f16_f32(x.b)),
                       vreinterpret_u16_f16(vcvt_f16_f32(x.c)), vreinterpret_u16_f16(vcvt_f16_f32(x.d))};
    memcpy(p, h, sizeof h);
}
VEC float32x4_t bf16x4(const void *p)
{
    uint16x4_t h;
    memcpy(&h, p, sizeof h);
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}
VEC vf vf_of_bf16(const void *p)
{
    const uint8_t *h = p;
    QUARTERS(bf16x4(h), bf16x4(h + 8), bf16x4(h + 16), bf16x4(h + 24));
}
VEC vf vf_of_i8(const void *p)
{
    int8x16_t q = vld1q_s8(p);
    int16x8_t lo = vmovl_s8(vget_low_s8(q)), hi = vmovl_s8(vget_high_s8(q));
    QUARTERS(vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi))));
}
VEC void vf_to_i8(int8_t *p, vf x)
{
    int16x8_t lo = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x.a)), vmovn_s32(vcvtnq_s32_f32(x.b)));
    int16x8_t hi = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x.c)), vmovn_s32(vcvtnq_s32_f32(x.d)));
    vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
}
VEC uint32x4_t lanes_below(int n)
{
    static const int32_t lane[4] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lane), vdupq_n_s32(n));
}
VEC vf vf_first(int n, vf x, vf y)
{
    QUARTERS(vbslq_f32(lanes_below(n), x.a, y.a), vbslq_f32(lanes_below(n - 4), x.b, y.b),
             vbslq_f32(lanes_below(n - 8), x.c, y.c), vbslq_f32(lanes_below(n - 12), x.d, y.d));
}
VEC float32x4_t if_ge4(float32x4_t x, float32x4_t y, float32x4_t p)
{
    return vreinterpretq_f32_u32(vandq_u32(vcgeq_f32(x, y), vreinterpretq_u32_f32(p)));
}
VEC vf vf_if_ge(vf x, vf y, vf p)
{
#define OP(r) if_ge4(x.r, y.r, p.r)
    EACH(OP);
#undef OP
}
VEC float32x4_t shift_exp4(float32x4_t x, float32x4_t t)
{
    return vreinterpretq_f32_s32(
        vaddq_s32(vreinterpretq_s32_f32(x), vshlq_n_s32(vreinterpretq_s32_f32(t), 23)));
}
VEC vf vf_shift_exp(vf x, vf t)
{
#define OP(r) shift_exp4(x.r, t.r)
    EACH(OP);
#undef OP
}
#undef EACH
#undef QUARTERS

#else

typedef struct {
    float x[16];
} vf;
#define LANES(expr)                                                                                          \
    do {                                                                                                     \
        vf r_;                                                                                               \
        for (int i = 0; i < 16; i++)                                                                         \
            r_.x[i] = (expr);                                                                                \
        return r_;                                                                                           \
    } while (0)
VEC vf vf_set1(float a)
{
    LANES(a);
}
VEC vf vf_zero(void)
{
    LANES(0.0f);
}
VEC vf vf_load(const float *p)
{
    LANES(p[i]);
}
VEC void vf_store(float *p, vf a)
{
    memcpy(p, a.x, sizeof a.x);
}
VEC vf vf_load_n(const float *p, int n)
{
    LANES(i < n ? p[i] : 0);
}
VEC void vf_store_n(float *p, vf a, int n)
{
    memcpy(p, a.x, (size_t)n * sizeof *p);
}
VEC vf vf_add(vf a, vf b)
{
    LANES(a.x[i] + b.x[i]);
}
VEC vf vf_sub(vf a, vf b)
{
    LANES(a.x[i] - b.x[i]);
}
VEC vf vf_mul(vf a, vf b)
{
    LANES(a.x[i] * b.x[i]);
}
VEC vf vf_div(vf a, vf b)
{
    LANES(a.x[i] / b.x[i]);
}
VEC vf vf_fma(vf a, vf b, vf c)
{
    LANES(fmaf(a.x[i], b.x[i], c.x[i]));
}
VEC vf vf_max(vf a, vf b)
{
    LANES(max_f32(a.x[i], b.x[i]));
}
VEC vf vf_min(vf a, vf b)
{
    LANES(min_f32(a.x[i], b.x[i]));
}
VEC vf vf_abs(vf a)
{
    LANES(fabsf(a.x[i]));
}
VEC uint16_t load_u16(const void *p, int i)
{
    uint16_t u;
    memcpy(&u, (const char *)p + 2 * i, 2);
    return u;
}
VEC vf vf_of_f16(const void *p)
{
    LANES(f16_to_f32(load_u16(p, i)));
}
VEC void vf_to_f16(void *p, vf a)
{
    for (int i = 0; i < 16; i++) {
        uint16_t u = f32_to_f16(a.x[i]);
        memcpy((char *)p + 2 * i, &u, 2);
    }
}
VEC vf vf_of_bf16(const void *p)
{
    LANES(bf16_to_f32(load_u16(p, i)));
}
VEC vf vf_of_i8(const void *p)
{
    LANES((float)((const int8_t *)p)[i]);
}
VEC void vf_to_i8(int8_t *p, vf a)
{
    for (int i = 0; i < 16; i++) /* only non-finite input gets beyond 127 */
        p[i] = (int8_t)((int)(f32_bits(a.x[i] + 12582912.0f) & 0x7fffff) - 0x400000);
}
VEC vf vf_first(int n, vf a, vf b)
{
    LANES(i < n ? a.x[i] : b.x[i]);
}
VEC vf vf_if_ge(vf a, vf b, vf p)
{
    LANES(a.x[i] >= b.x[i] ? p.x[i] : 0);
}
VEC vf vf_shift_exp(vf a, vf t)
{
    LANES(f32_of_bits(f32_bits(a.x[i]) + (f32_bits(t.x[i]) << 23)));
}
#undef LANES
#endif

VEC void vf_to_bf16(void *p, vf a)
{
    float t[16];
    uint16_t u[16];
    vf_store(t, a);
    for (int i = 0; i < 16; i++)
        u[i] = f32_to_bf16(t[i]);
    memcpy(p, u, sizeof u);
}

/* The sum of the lanes, pairwise: i and i + 8, then i and i + 4, ...; and their maximum in the same order. */
#if defined(__AVX2__)
VEC float vf_sum(vf a)
{
    __m256 r = _mm256_add_ps(vf_low(a), vf_high(a));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

VEC float vf_hmax(vf a)
{
    __m256 r = _mm256_max_ps(vf_low(a), vf_high(a));
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
#else
VEC float vf_sum(vf a)
{
    float t[16];
    vf_store(t, a);
    for (int n = 8; n >= 1; n /= 2)
        for (int i = 0; i < n; i++)
            t[i] = t[i] + t[i + n];
    return t[0];
}

VEC float vf_hmax(vf a)
{
    float t[16];
    vf_store(t, a);
    for (int n = 8; n >= 1; n /= 2)
        for (int i = 0; i < n; i++)
            t[i] = max_f32(t[i], t[i + n]);
    return t[0];
}
#endif

#define VEC_MAGIC 12582912.0f /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */

/* (2^f - 1) / f for |f| <= 1/2: minimax. */
VEC vf vf_exp2_slope(vf f)
{
    vf p = vf_set1(1.5353362e-4f);
    p = vf_fma(p, f, vf_set1(1.3398874e-3f));
    p = vf_fma(p, f, vf_set1(9.6184373e-3f));
    p = vf_fma(p, f, vf_set1(5.5503324e-2f));
    p = vf_fma(p, f, vf_set1(2.4022648e-1f));
    return vf_fma(p, f, vf_set1(6.9314718e-1f));
}

/* 2^f for |f| <= 1/2: relative error below 3e-8 before rounding. */
VEC vf vf_exp2_frac(vf f)
{
    return vf_fma(vf_exp2_slope(f), f, vf_set1(1.0f));
}

/* 2^x for x <= 0, at least 2^-126. */
VEC vf vf_exp2_above(vf x)
{
    vf c = vf_max(x, vf_set1(-126.0f));
    vf t = vf_add(c, vf_set1(VEC_MAGIC));
    vf f = vf_sub(c, vf_sub(t, vf_set1(VEC_MAGIC)));
    return vf_shift_exp(vf_exp2_frac(f), t);
}

/* 2^x for x <= 0; 0 below -126. */
VEC vf vf_exp2_neg(vf x)
{
    return vf_if_ge(x, vf_set1(-126.0f), vf_exp2_above(x));
}

/* e^x, |x| clamped to 87: log2(e) in two parts keeps the fraction exact to its last bits. */
VEC vf vf_exp(vf x)
{
    vf c = vf_min(vf_max(x, vf_set1(-87.0f)), vf_set1(87.0f));
    vf t = vf_fma(c, vf_set1(1.44269504f), vf_set1(VEC_MAGIC));
    vf n = vf_sub(t, vf_set1(VEC_MAGIC));
    vf f = vf_fma(c, vf_set1(1.4426950216293335f), vf_sub(vf_zero(), n));
    f = vf_fma(c, vf_set1(1.9259629911266175e-8f), f);
    return vf_shift_exp(vf_exp2_frac(f), t);
}

/* tanh x = m / (m + 2), m = e^2x - 1 = 2^n (2^f - 1) + (2^n - 1), so that small x keep their digits (relative
 * error below 4e-7); 1 beyond 10, NaN for NaN. */
VEC vf vf_tanh(vf x)
{
    vf c = vf_max(vf_set1(-10.0f), vf_min(vf_set1(10.0f), x)), one = vf_set1(1.0f);
    vf t = vf_fma(c, vf_set1(2 * 1.44269504f), vf_set1(VEC_MAGIC));
    vf n = vf_sub(t, vf_set1(VEC_MAGIC));
    vf f = vf_fma(c, vf_set1(2 * 1.4426950216293335f), vf_sub(vf_zero(), n));
    f = vf_fma(c, vf_set1(2 * 1.9259629911266175e-8f), f);
    vf power = vf_shift_exp(one, t);
    vf m = vf_fma(power, vf_mul(vf_exp2_slope(f), f), vf_sub(power, one));
    return vf_div(m, vf_add(m, vf_set1(2.0f)));
}

#endif
