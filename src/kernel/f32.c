/* f32.c - F32: 4 bytes an element, little endian.  Activations stay f32. */
#include "kernel/quant_int.h"

static void f32_dequantize(float *y, const void *blocks, size_t n)
{
    memcpy(y, blocks, n * sizeof *y);
}

static void f32_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    (void)importance;
    memcpy(blocks, x, n * sizeof *x);
}

static float f32_dot(const void *blocks, const void *act, size_t n)
{
    const uint8_t *p = blocks;
    const float *x = act;
    float acc = 0;
    for (size_t i = 0; i < n; i++)
        acc = fmaf(f32_of_bits(load_u32(p + 4 * i)), x[i], acc);
    return acc;
}

const struct quant_info quant_f32 = {
    "F32", 1, 4, QUANT_ACT_F32, f32_dequantize, f32_quantize, f32_dot,
};
