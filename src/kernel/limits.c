/* limits.c - What this machine can do at most, measured: any machine, and the choice of a level. */
#include "kernel/limits.h"

#include <string.h>

typedef uint64_t word4 __attribute__((vector_size(32)));

uint64_t limits_read(const void *p, size_t n)
{
    const word4 *w = p;
    word4 a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 8 <= n / sizeof *w; i += 8) {
        a ^= w[i] ^ w[i + 4];
        b ^= w[i + 1] ^ w[i + 5];
        c ^= w[i + 2] ^ w[i + 6];
        d ^= w[i + 3] ^ w[i + 7];
    }
    a ^= b ^ c ^ d;
    return a[0] ^ a[1] ^ a[2] ^ a[3];
}

int64_t limits_int8_plain(int64_t rounds)
{
    int8_t x[64], w[64];
    int32_t sum[64] = {0};
    for (int i = 0; i < 64; i++) {
        x[i] = (int8_t)i;
        w[i] = (int8_t)(3 * i);
    }
    for (int64_t r = 0; r < rounds; r++) {
        for (int k = 0; k < LIMITS_INT8_MACS / 64; k++)
            for (int i = 0; i < 64; i++)
                sum[i] += x[i] * w[(i + k) % 64];
        __asm__ volatile("" : "+m"(sum), "+m"(x));
    }
    return sum[0] + sum[63];
}

limits_int8_fn *limits_int8_for(const char *isa)
{
#if defined(__x86_64__)
    if (isa && !strcmp(isa, "avx512"))
        return limits_int8_avx512;
    if (isa && !strcmp(isa, "avx2"))
        return limits_int8_avx2;
#endif
    (void)isa;
    return limits_int8_plain;
}
