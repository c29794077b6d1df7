/* q5_k.c - Q5_K: 256 elements in 176 bytes, w = d sc q - dmin m, groups of 32.
 *
 *   0   f16 d
 *   2   f16 dmin
 *   4   12 bytes of 6-bit sc and m, as in q4_k.c
 *   16  32 bytes: bit g of byte l is bit 4 of element l of group g
 *   48  4 x 32 bytes of bits 0..3, as in q4_k.c */
#include "kernel/quant_int.h"

enum { BYTES = 176 };

static void unpack(struct quant_super *b, const uint8_t *p)
{
    b->d = load_f16(p);
    b->dmin = load_f16(p + 2);
    b->has_min = true;
    k4_unpack_scales(b, p + 4);
    for (int i = 0; i < 256; i++) {
        int low = p[48 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
        b->v[i] = (int8_t)(low | (p[16 + i % 32] >> (i / 32) & 1) << 4);
    }
}

static void q5_k_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 256, p += BYTES) {
        struct quant_super b;
        const float *w = quant_weights(importance ? importance + i : NULL);
        search_super_min(&b, x + i, w, 32, 63, 31);
        memset(p, 0, BYTES);
        store_f16(p, b.d);
        store_f16(p + 2, b.dmin);
        k4_pack_scales(p + 4, &b);
        for (int k = 0; k < 256; k++) {
            unsigned q = (unsigned)b.v[k];
            p[16 + k % 32] |= (uint8_t)((q >> 4) << (k / 32));
            p[48 + k / 64 * 32 + k % 32] |= (uint8_t)((q & 15) << (k / 32 % 2 * 4));
        }
    }
}

static void q5_k_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float q5_k_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q5_k = {
    "Q5_K", 256, BYTES, QUANT_ACT_Q8_256, q5_k_dequantize, q5_k_quantize, q5_k_dot, .unpack256 = unpack,
};
