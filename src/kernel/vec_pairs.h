/* vec_pairs.h - Exact sums of products of 16-bit integers, on every level with the same results.
 *
 * `vh` is 32 numbers of 16 bits, sixteen pairs; `vi` is sixteen sums of 32 bits.  Where a sum cannot leave 32
 * bits, neither order nor level changes it.
 *
 *   vh_load    64 bytes                     vh_of_i8   32 bytes with sign
 *   vh_set1    the pair at p, in all lanes  vi_dot     sum + a0 b0 + a1 b1 of each pair
 *   vi_add     sums of both
 *   vf_to_i16  nearest integers, halves to even, as 16 bits; |a| <= 32767 */
#ifndef KERNEL_VEC_PAIRS_H
#define KERNEL_VEC_PAIRS_H

#include "kernel/vec16.h"

#if defined(__AVX512F__)

VEC void vf_to_i16(int16_t *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a)));
}
typedef __m512i vi;
typedef __m512i vh;
VEC vi vi_zero(void)
{
    return _mm512_setzero_si512();
}
VEC vh vh_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
VEC vh vh_of_i8(const void *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(p));
}
VEC vh vh_set1(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}
VEC vi vi_dot(vi sum, vh a, vh b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); /* gcc copies the sums of the intrinsic */
    return sum;
}
VEC vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
VEC vf vf_of_vi(vi a)
{
    return _mm512_cvtepi32_ps(a);
}

#elif defined(__AVX2__)

VEC void vf_to_i16(int16_t *p, vf v)
{
    __m256i w = _mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(w, 0xd8));
}
typedef struct {
    __m256i a, b;
} vi;
typedef vi vh;
VEC vi vi_both(__m256i a, __m256i b)
{
    vi r = {a, b};
    return r;
}
VEC vi vi_zero(void)
{
    return vi_both(_mm256_setzero_si256(), _mm256_setzero_si256());
}
VEC vh vh_load(const void *p)
{
    const __m256i *h = p;
    return vi_both(_mm256_loadu_si256(h), _mm256_loadu_si256(h + 1));
}
VEC vh vh_of_i8(const void *p)
{
    const __m128i *q = p;
    return vi_both(_mm256_cvtepi8_epi16(_mm_loadu_si128(q)), _mm256_cvtepi8_epi16(_mm_loadu_si128(q + 1)));
}
VEC vh vh_set1(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return vi_both(_mm256_set1_epi32(pair), _mm256_set1_epi32(pair));
}
VEC vi vi_dot(vi sum, vh a, vh b)
{
    return vi_both(_mm256_add_epi32(sum.a, _mm256_madd_epi16(a.a, b.a)),
                   _mm256_add_epi32(sum.b, _mm256_madd_epi16(a.b, b.b)));
}
VEC vi vi_add(vi a, vi b)
{
    return vi_both(_mm256_add_epi32(a.a, b.a), _mm256_add_epi32(a.b, b.b));
}
VEC vf vf_of_vi(vi a)
{
    return vf_both(_mm256_cvtepi32_ps(a.a), _mm256_cvtepi32_ps(a.b));
}

#elif defined(__ARM_FEATURE_DOTPROD)

VEC void vf_to_i16(int16_t *p, vf x)
{
    vst1q_s16(p, vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(x.a)), vqmovn_s32(vcvtnq_s32_f32(x.b))));
    vst1q_s16(p + 8, vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(x.c)), vqmovn_s32(vcvtnq_s32_f32(x.d))));
}
typedef struct {
    int32x4_t a, b, c, d;
} vi;
typedef struct {
    int16x8_t a, b, c, d;
} vh;
VEC vi vi_zero(void)
{
    int32x4_t z = vdupq_n_s32(0);
    vi r = {z, z, z, z};
    return r;
}
VEC int16x8_t i16x8(const void *p)
{
    int16x8_t h;
    memcpy(&h, p, sizeof h);
    return h;
}
VEC vh vh_load(const void *p)
{
    const uint8_t *h = p;
    vh r = {i16x8(h), i16x8(h + 16), i16x8(h + 32), i16x8(h + 48)};
    return r;
}
VEC vh vh_of_i8(const void *p)
{
    int8x16_t lo = vld1q_s8(p), hi = vld1q_s8((const int8_t *)p + 16);
    vh r = {vmovl_s8(vget_low_s8(lo)), vmovl_s8(vget_high_s8(lo)), vmovl_s8(vget_low_s8(hi)),
            vmovl_s8(vget_high_s8(hi))};
    return r;
}
VEC vh vh_set1(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    int16x8_t h = vreinterpretq_s16_s32(vdupq_n_s32(pair));
    vh r = {h, h, h, h};
    return r;
}
VEC int32x4_t dot4(int32x4_t sum, int16x8_t a, int16x8_t b)
{
    return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)));
}
VEC vi vi_dot(vi sum, vh a, vh b)
{
    vi r = {dot4(sum.a, a.a, b.a), dot4(sum.b, a.b, b.b), dot4(sum.c, a.c, b.c), dot4(sum.d, a.d, b.d)};
    return r;
}
VEC vi vi_add(vi a, vi b)
{
    vi r = {vaddq_s32(a.a, b.a), vaddq_s32(a.b, b.b), vaddq_s32(a.c, b.c), vaddq_s32(a.d, b.d)};
    return r;
}
VEC vf vf_of_vi(vi x)
{
    vf r = {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
    return r;
}

#else

VEC void vf_to_i16(int16_t *p, vf a)
{
    for (int i = 0; i < 16; i++)
        p[i] = (int16_t)((int)(f32_bits(a.x[i] + 12582912.0f) & 0x7fffff) - 0x400000);
}
typedef struct {
    uint32_t x[16]; /* two's complement: sums may pass through any value */
} vi;
typedef struct {
    int16_t x[32];
} vh;
VEC vi vi_zero(void)
{
    vi r = {{0}};
    return r;
}
VEC vh vh_load(const void *p)
{
    vh r;
    memcpy(r.x, p, sizeof r.x);
    return r;
}
VEC vh vh_of_i8(const void *p)
{
    vh r;
    for (int i = 0; i < 32; i++)
        r.x[i] = ((const int8_t *)p)[i];
    return r;
}
VEC vh vh_set1(const int16_t *p)
{
    vh r;
    for (int i = 0; i < 32; i++)
        r.x[i] = p[i % 2];
    return r;
}
VEC vi vi_dot(vi sum, vh a, vh b)
{
    for (int i = 0; i < 32; i++)
        sum.x[i / 2] += (uint32_t)(a.x[i] * b.x[i]);
    return sum;
}
VEC vi vi_add(vi a, vi b)
{
    for (int i = 0; i < 16; i++)
        a.x[i] += b.x[i];
    return a;
}
VEC vf vf_of_vi(vi a)
{
    vf r;
    for (int i = 0; i < 16; i++)
        r.x[i] = (float)(int32_t)a.x[i];
    return r;
}
#endif

/* The sum of 16 bytes with sign. */
VEC int sum16_i8(const int8_t *q)
{
#if defined(__AVX2__)
    __m128i v = _mm_xor_si128(_mm_loadu_si128((const __m128i *)q), _mm_set1_epi8(-128));
    v = _mm_sad_epu8(v, _mm_setzero_si128());
    return _mm_cvtsi128_si32(v) + _mm_extract_epi16(v, 4) - 16 * 128;
#elif defined(__ARM_FEATURE_DOTPROD)
    return vaddlvq_s8(vld1q_s8(q));
#else
    int s = 0;
    for (int i = 0; i < 16; i++)
        s += q[i];
    return s;
#endif
}

#endif
