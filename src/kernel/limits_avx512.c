/* limits_avx512.c - The rate of int8 multiply-adds with AVX-512 VNNI: dpbusd. */
#include <immintrin.h>

#include "kernel/limits.h"

#define CHAINS 16 /* independent sums: more than latency times ports */

int64_t limits_int8_avx512(int64_t rounds)
{
    __m512i sum[CHAINS], x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(2);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm512_setzero_si512();
    for (int64_t r = 0; r < rounds; r++)
        for (int k = 0; k < LIMITS_INT8_MACS / 64 / CHAINS; k++) {
#pragma GCC unroll 16
            for (int c = 0; c < CHAINS; c++)
                sum[c] = _mm512_dpbusd_epi32(sum[c], x, w);
            __asm__ volatile("" : "+v"(x));
        }
    __m512i all = sum[0];
    for (int c = 1; c < CHAINS; c++)
        all = _mm512_add_epi32(all, sum[c]);
    return _mm512_reduce_add_epi32(all);
}
