/* limits_impl.h - Reading and multiplying as fast as a level can; compiled once per level.
 *
 * The including file defines LIMITS_OPS. */
#include "kernel/limits.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
enum { WIDTH = 64 };
#elif defined(__AVX2__)
enum { WIDTH = 32 };
#else
enum { WIDTH = 16 };
#endif
typedef uint64_t vector __attribute__((vector_size(WIDTH), may_alias));

static uint64_t read_all(const void *p, size_t n)
{
    const char *at = p;
    vector a = {0}, b = a, c = a, d = a;
    uint64_t words[4][WIDTH / 8], all = 0;
    for (const char *end = at + n; at < end; at += 4 * WIDTH) {
        const vector *v = (const vector *)at;
        for (int i = 0; i < 4 * WIDTH; i += 64)
            __builtin_prefetch(at + 4096 + i);
        a ^= v[0];
        b ^= v[1];
        c ^= v[2];
        d ^= v[3];
    }
    memcpy(words[0], &a, WIDTH);
    memcpy(words[1], &b, WIDTH);
    memcpy(words[2], &c, WIDTH);
    memcpy(words[3], &d, WIDTH);
    for (int i = 0; i < 4 * WIDTH / 8; i++)
        all ^= words[i / (WIDTH / 8)][i % (WIDTH / 8)];
    return all;
}

/* Twelve independent chains hide the latency of the instruction. */
#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { N_CHAINS = 12, STEPS = 1000 };

static uint64_t multiply(int rounds, uint64_t *sink)
{
    uint64_t per_step;
    int32_t out[16] = {0};
#if defined(__AVX512VNNI__)
    __m512i u = _mm512_set1_epi8(3), s = _mm512_set1_epi8(5);
    per_step = 64;
#define DECLARE(i) __m512i c##i = _mm512_setzero_si512();
#define STEP(i)    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(c##i) : "v"(u), "v"(s));
#define COLLECT(i) c0 = _mm512_add_epi32(c0, c##i);
#define STORE()    _mm512_storeu_si512(out, c0)
#elif defined(__AVXVNNI__)
    __m256i u = _mm256_set1_epi8(3), s = _mm256_set1_epi8(5);
    per_step = 32;
#define DECLARE(i) __m256i c##i = _mm256_setzero_si256();
#define STEP(i)    __asm__ volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(c##i) : "x"(u), "x"(s));
#define COLLECT(i) c0 = _mm256_add_epi32(c0, c##i);
#define STORE()    _mm256_storeu_si256((__m256i *)out, c0)
#elif defined(__AVX2__)
    __m256i u = _mm256_set1_epi8(3), s = _mm256_set1_epi8(5), one = _mm256_set1_epi16(1);
    per_step = 32;
#define DECLARE(i) __m256i c##i = _mm256_setzero_si256();
#define STEP(i)                                                                                              \
    {                                                                                                        \
        __m256i p;                                                                                           \
        __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(p) : "x"(u), "x"(s));                                \
        c##i = _mm256_add_epi32(c##i, _mm256_madd_epi16(p, one));                                            \
    }
#define COLLECT(i) c0 = _mm256_add_epi32(c0, c##i);
#define STORE()    _mm256_storeu_si256((__m256i *)out, c0)
#elif defined(__ARM_FEATURE_MATMUL_INT8)
    int8x16_t u = vdupq_n_s8(3), s = vdupq_n_s8(5);
    per_step = 32;
#define DECLARE(i) int32x4_t c##i = vdupq_n_s32(0);
#define STEP(i)    __asm__ volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(c##i) : "w"(u), "w"(s));
#define COLLECT(i) c0 = vaddq_s32(c0, c##i);
#define STORE()    vst1q_s32(out, c0)
#elif defined(__ARM_FEATURE_DOTPROD)
    int8x16_t u = vdupq_n_s8(3), s = vdupq_n_s8(5);
    per_step = 16;
#define DECLARE(i) int32x4_t c##i = vdupq_n_s32(0);
#define STEP(i)    __asm__ volatile("sdot %0.4s, %1.16b, %2.16b" : "+w"(c##i) : "w"(u), "w"(s));
#define COLLECT(i) c0 = vaddq_s32(c0, c##i);
#define STORE()    vst1q_s32(out, c0)
#else
    volatile int8_t u = 3, s = 5;
    per_step = 1;
#define DECLARE(i) int32_t c##i = 0;
#define STEP(i)    c##i += u * s;
#define COLLECT(i) c0 += c##i;
#define STORE()    out[0] = c0
#endif
    CHAINS(DECLARE)
    for (int r = 0; r < rounds * STEPS; r++) {
        CHAINS(STEP)
    }
    CHAINS(COLLECT)
    STORE();
    *sink += (uint64_t)(uint32_t)out[0];
    return (uint64_t)rounds * STEPS * N_CHAINS * per_step;
}

const struct limits_ops LIMITS_OPS = {read_all, multiply};
