/* q4_0.c - Q4_0: 32 elements in 18 bytes, w = d (q - 8).
 *
 *   0  f16 d
 *   2  16 bytes: low nibble of byte j is element j, high nibble element j + 16 */
#include "kernel/quant_int.h"

enum { BYTES = 18 };

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    uint8_t q[32];
    b->d = load_f16(p);
    unpack_nibbles(q, p + 2, 32);
    for (int j = 0; j < 32; j++)
        b->v[j] = (int8_t)(q[j] - 8);
}

static void q4_0_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks, u[32];
    int8_t q[32];
    for (size_t i = 0; i < n; i += 32, p += BYTES) {
        const float *w = quant_weights(importance ? importance + i : NULL);
        store_f16(p, search_scale(q, x + i, w, 32, (struct quant_range){-8, 7}));
        for (int j = 0; j < 32; j++)
            u[j] = (uint8_t)(q[j] + 8);
        pack_nibbles(p + 2, u, 32);
    }
}

static void q4_0_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float q4_0_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q4_0 = {
    "Q4_0", 32, BYTES, QUANT_ACT_Q8_32, q4_0_dequantize, q4_0_quantize, q4_0_dot, .unpack32 = unpack,
};
