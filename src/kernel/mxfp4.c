/* mxfp4.c - MXFP4 (OCP microscaling): 32 elements in 17 bytes, w = 2^(e - 128) M[q].
 *
 *   0  u8 e: E8M0 scale
 *   1  16 bytes: low nibble of byte j is element j, high nibble element j + 16
 *
 * M is the E2M1 number doubled, so that it is an integer; hence 128 instead of the format's 127.
 * e = 0 and 1 give subnormal f32 scales. */
#include "kernel/quant_int.h"

enum { BYTES = 17 };

const int8_t quant_fp4_table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static float scale_of(unsigned e)
{
    return f32_of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    uint8_t q[32];
    b->d = scale_of(p[0]);
    unpack_nibbles(q, p + 1, 32);
    for (int j = 0; j < 32; j++)
        b->v[j] = quant_fp4_table[q[j]];
}

/* Nearest code for v; ties to the smaller magnitude. */
static uint8_t nearest(float v)
{
    static const float border[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
    float a = fabsf(v);
    unsigned q = 0;
    for (int k = 0; k < 7; k++)
        q += a > border[k];
    return (uint8_t)(v < 0 && q ? q | 8 : q);
}

static float encode(uint8_t q[32], const float *x, const float *w, float d)
{
    float err = 0;
    for (int j = 0; j < 32; j++) {
        q[j] = nearest(x[j] / d);
        float diff = x[j] - d * (float)quant_fp4_table[q[j]];
        err += w[j] * diff * diff;
    }
    return err;
}

/* The scale is a power of two: the one that just holds the largest value, or its neighbours. */
static void mxfp4_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks, q[32];
    for (size_t i = 0; i < n; i += 32, p += BYTES) {
        const float *w = quant_weights(importance ? importance + i : NULL);
        float amax = 0, best = INFINITY;
        for (int j = 0; j < 32; j++)
            amax = fmaxf(amax, fabsf(x[i + (size_t)j]));
        memset(p, 0, BYTES);
        int fit = (int)(f32_bits(amax / 12) >> 23) + 1; /* d = 2^k holds amax at k or k + 1 */
        for (int e = fit - 1; amax > 0 && e <= fit + 2; e++) {
            if (e < 0 || e > 254)
                continue;
            float err = encode(q, x + i, w, scale_of((unsigned)e));
            if (err < best) {
                best = err;
                p[0] = (uint8_t)e;
                pack_nibbles(p + 1, q, 32);
            }
        }
    }
}

static void mxfp4_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float mxfp4_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_mxfp4 = {
    "MXFP4", 32, BYTES, QUANT_ACT_Q8_32, mxfp4_dequantize, mxfp4_quantize, mxfp4_dot, .unpack32 = unpack,
};
