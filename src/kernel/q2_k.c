/* q2_k.c - Q2_K: 256 elements in 84 bytes, w = d sc q - dmin m, groups of 16.
 *
 *   0   16 bytes: sc of group g in the low nibble, m in the high
 *   16  64 bytes of 2-bit q: half h (128 elements) has bytes 32h..32h+31; bits 2j..2j+1 of byte l
 *       are element 128h + 32j + l
 *   80  f16 d
 *   82  f16 dmin */
#include "kernel/quant_int.h"

enum { BYTES = 84 };

static void unpack(struct quant_super *b, const uint8_t *p)
{
    b->d = load_f16(p + 80);
    b->dmin = load_f16(p + 82);
    b->has_min = true;
    for (int g = 0; g < 16; g++) {
        b->sc[g] = p[g] & 15;
        b->m[g] = p[g] >> 4;
    }
    for (int i = 0; i < 256; i++)
        b->v[i] = p[16 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

static void q2_k_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 256, p += BYTES) {
        struct quant_super b;
        const float *w = quant_weights(importance ? importance + i : NULL);
        search_super_min(&b, x + i, w, 16, 15, 3);
        memset(p, 0, BYTES);
        for (int g = 0; g < 16; g++)
            p[g] = (uint8_t)(b.sc[g] | b.m[g] << 4);
        for (int k = 0; k < 256; k++)
            p[16 + k / 128 * 32 + k % 32] |= (uint8_t)(b.v[k] << (k / 32 % 4 * 2));
        store_f16(p + 80, b.d);
        store_f16(p + 82, b.dmin);
    }
}

static void q2_k_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float q2_k_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q2_k = {
    "Q2_K", 256, BYTES, QUANT_ACT_Q8_256, q2_k_dequantize, q2_k_quantize, q2_k_dot, .unpack256 = unpack,
};
