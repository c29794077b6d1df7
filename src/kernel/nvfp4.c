/* nvfp4.c - NVFP4: 64 elements in 36 bytes, four groups of 16 with a scale each, w = s/2 M[q].
 *
 *   0  4 bytes: s of each group as UE4M3
 *   4  4 x 8 bytes: low nibble of byte j is element j of the group, high nibble element j + 8
 *
 * M is the table of mxfp4.c (E2M1 doubled), hence s/2.  UE4M3 has bias 7 and subnormals below
 * 2^-6; 0x7f is its NaN, which files use for zero.  The type is only read. */
#include "kernel/quant_int.h"

enum { BYTES = 36 };

static float scale_of(uint8_t u)
{
    unsigned e = u >> 3 & 15, m = u & 7;
    if (u == 0 || u == 0x7f)
        return 0;
    if (e == 0)
        return (float)m * 0x1p-10f;
    return (1 + (float)m / 8) * f32_of_bits((e + 127 - 8) << 23);
}

void nvfp4_unpack(struct quant_block16 *g, const uint8_t *p, int k)
{
    uint8_t q[16];
    g->d = scale_of(p[k]);
    unpack_nibbles(q, p + 4 + 8 * k, 16);
    for (int j = 0; j < 16; j++)
        g->v[j] = quant_fp4_table[q[j]];
}

static void nvfp4_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *p = blocks;
    struct quant_block16 g;
    assert(n % 64 == 0);
    for (; n; n -= 64, p += BYTES) {
        for (int k = 0; k < 4; k++) {
            nvfp4_unpack(&g, p, k);
            for (int j = 0; j < 16; j++)
                *y++ = (float)g.v[j] * g.d;
        }
    }
}

static float nvfp4_dot(const void *blocks, const void *act, size_t n)
{
    const uint8_t *p = blocks;
    const struct quant_act32 *a = act;
    struct quant_block16 g;
    float acc = 0;
    assert(n % 64 == 0);
    for (; n; n -= 64, p += BYTES, a += 2) {
        for (int k = 0; k < 4; k++) {
            const int8_t *q = a[k / 2].q + 16 * (k % 2);
            int32_t s = 0;
            nvfp4_unpack(&g, p, k);
            for (int j = 0; j < 16; j++)
                s += g.v[j] * q[j];
            acc = fmaf(g.d * a[k / 2].d, (float)s, acc);
        }
    }
    return acc;
}

const struct quant_info quant_nvfp4 = {
    "NVFP4", 64, BYTES, QUANT_ACT_Q8_32, nvfp4_dequantize, NULL, nvfp4_dot,
};
