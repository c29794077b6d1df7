/* q5_0.c - Q5_0: 32 elements in 22 bytes, w = d (q - 16).
 *
 *   0  f16 d
 *   2  u32: bit j is bit 4 of element j
 *   6  16 bytes: low nibble of byte j is bits 0..3 of element j, high nibble of element j + 16 */
#include "kernel/quant_int.h"

enum { BYTES = 22 };

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    uint8_t q[32];
    b->d = load_f16(p);
    uint32_t high = load_u32(p + 2);
    unpack_nibbles(q, p + 6, 32);
    for (int j = 0; j < 32; j++)
        b->v[j] = (int8_t)((q[j] | (high >> j & 1) << 4) - 16);
}

static void q5_0_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks, low[32];
    int8_t q[32];
    for (size_t i = 0; i < n; i += 32, p += BYTES) {
        const float *w = quant_weights(importance ? importance + i : NULL);
        store_f16(p, search_scale(q, x + i, w, 32, (struct quant_range){-16, 15}));
        uint32_t high = 0;
        for (int j = 0; j < 32; j++) {
            uint32_t u = (uint32_t)(q[j] + 16);
            low[j] = u & 15;
            high |= (u >> 4) << j;
        }
        store_u32(p + 2, high);
        pack_nibbles(p + 6, low, 32);
    }
}

static void q5_0_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float q5_0_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q5_0 = {
    "Q5_0", 32, BYTES, QUANT_ACT_Q8_32, q5_0_dequantize, q5_0_quantize, q5_0_dot, .unpack32 = unpack,
};
