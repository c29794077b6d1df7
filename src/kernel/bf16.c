/* bf16.c - BF16: 2 bytes an element, little endian.  Activations stay f32: rounding them to 16 bits
 * would lose more than the weights' own format does. */
#include "kernel/quant_int.h"

static void bf16_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *p = blocks;
    for (size_t i = 0; i < n; i++)
        y[i] = bf16_to_f32((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
}

static void bf16_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    (void)importance;
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = f32_to_bf16(x[i]);
        p[2 * i] = (uint8_t)h;
        p[2 * i + 1] = (uint8_t)(h >> 8);
    }
}

static float bf16_dot(const void *blocks, const void *act, size_t n)
{
    const uint8_t *p = blocks;
    const float *x = act;
    float acc = 0;
    for (size_t i = 0; i < n; i++)
        acc = fmaf(bf16_to_f32((uint16_t)(p[2 * i] | p[2 * i + 1] << 8)), x[i], acc);
    return acc;
}

const struct quant_info quant_bf16 = {
    "BF16", 1, 2, QUANT_ACT_F32, bf16_dequantize, bf16_quantize, bf16_dot,
};
