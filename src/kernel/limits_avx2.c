/* limits_avx2.c - The rate of int8 multiply-adds with AVX2: maddubs, madd, add. */
#include <immintrin.h>

#include "kernel/limits.h"

#define CHAINS 8 /* independent sums: more than latency times ports */

int64_t limits_int8_avx2(int64_t rounds)
{
    __m256i sum[CHAINS], x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm256_setzero_si256();
    for (int64_t r = 0; r < rounds; r++)
        for (int k = 0; k < LIMITS_INT8_MACS / 32 / CHAINS; k++) {
#pragma GCC unroll 8
            for (int c = 0; c < CHAINS; c++) {
                __asm__ volatile("" : "+x"(x)); /* the product must not be taken out of the loop */
                sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
            }
        }
    __m256i all = sum[0];
    for (int c = 1; c < CHAINS; c++)
        all = _mm256_add_epi32(all, sum[c]);
    return _mm256_extract_epi32(all, 0);
}
