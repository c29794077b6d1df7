/* q5_1.c - Q5_1: 32 elements in 24 bytes, w = d q + m.
 *
 *   0  f16 d
 *   2  f16 m
 *   4  u32: bit j is bit 4 of element j
 *   8  16 bytes: low nibble of byte j is bits 0..3 of element j, high nibble of element j + 16 */
#include "kernel/quant_int.h"

enum { BYTES = 24 };

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    uint8_t q[32];
    b->d = load_f16(p);
    b->m = load_f16(p + 2);
    b->has_min = true;
    uint32_t high = load_u32(p + 4);
    unpack_nibbles(q, p + 8, 32);
    for (int j = 0; j < 32; j++)
        b->v[j] = (int8_t)(q[j] | (high >> j & 1) << 4);
}

static void q5_1_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks, q[32];
    for (size_t i = 0; i < n; i += 32, p += BYTES) {
        const float *w = quant_weights(importance ? importance + i : NULL);
        struct quant_affine a = search_affine(q, x + i, w, 32, 31, INFINITY);
        store_f16(p, a.d);
        store_f16(p + 2, a.m);
        uint32_t high = 0;
        for (int j = 0; j < 32; j++) {
            high |= (uint32_t)(q[j] >> 4) << j;
            q[j] &= 15;
        }
        store_u32(p + 4, high);
        pack_nibbles(p + 8, q, 32);
    }
}

static void q5_1_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float q5_1_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q5_1 = {
    "Q5_1", 32, BYTES, QUANT_ACT_Q8_32, q5_1_dequantize, q5_1_quantize, q5_1_dot, .unpack32 = unpack,
};
