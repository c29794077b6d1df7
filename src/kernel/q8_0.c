/* q8_0.c - Q8_0: 32 elements in 34 bytes, w = d q.
 *
 *   0  f16 d
 *   2  32 int8 */
#include "kernel/quant_int.h"

enum { BYTES = 34 };

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    b->d = load_f16(p);
    memcpy(b->v, p + 2, 32);
}

/* With 255 steps a search gains nothing; what matters is to divide by the d that is stored, which
 * f16 may have rounded down: hence the clamp. */
static void q8_0_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    (void)importance;
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 32, p += BYTES) {
        float amax = 0;
        for (int j = 0; j < 32; j++)
            amax = fmaxf(amax, fabsf(x[i + (size_t)j]));
        store_f16(p, amax / 127);
        float d = load_f16(p), id = d > 0 ? 1 / d : 0;
        for (int j = 0; j < 32; j++)
            p[2 + j] = (uint8_t)quant_clamp(quant_round(x[i + (size_t)j] * id), -127, 127);
    }
}

static void q8_0_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float q8_0_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q8_0 = {
    "Q8_0", 32, BYTES, QUANT_ACT_Q8_32, q8_0_dequantize, q8_0_quantize, q8_0_dot, .unpack32 = unpack,
};
