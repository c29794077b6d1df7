/* q8_1.c - Q8_1: 32 elements in 36 bytes, w = d q.  Other engines' form of activations; read only.
 *
 *   0  f16 d
 *   2  f16 s = d * sum q (not used here)
 *   4  32 int8 */
#include "kernel/quant_int.h"

enum { BYTES = 36 };

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    b->d = load_f16(p);
    memcpy(b->v, p + 4, 32);
}

static void q8_1_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float q8_1_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q8_1 = {
    "Q8_1", 32, BYTES, QUANT_ACT_Q8_32, q8_1_dequantize, NULL, q8_1_dot, .unpack32 = unpack,
};
