/* q8_k.c - Q8_K: 256 elements in 292 bytes, w = d q.  Other engines' form of activations; read
 * only.
 *
 *   0    f32 d
 *   4    256 int8
 *   260  16 int16: sums of 16 (not used here) */
#include "kernel/quant_int.h"

enum { BYTES = 292 };

static void unpack(struct quant_super *b, const uint8_t *p)
{
    b->d = f32_of_bits(load_u32(p));
    for (int g = 0; g < 16; g++)
        b->sc[g] = 1;
    memcpy(b->v, p + 4, 256);
}

static void q8_k_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float q8_k_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q8_k = {
    "Q8_K", 256, BYTES, QUANT_ACT_Q8_256, q8_k_dequantize, NULL, q8_k_dot, .unpack256 = unpack,
};
