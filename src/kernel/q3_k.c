/* q3_k.c - Q3_K: 256 elements in 110 bytes, w = d (sc - 32) (q - 4), groups of 16.
 *
 *   0    32 bytes: bit k of byte l is bit 2 of element 32k + l
 *   32   64 bytes: bits 0..1, placed as in q2_k.c
 *   96   12 bytes of 6-bit sc: byte g (g < 8) has bits 0..3 of group g in its low nibble and of
 *        group g + 8 in its high one; bits 2k..2k+1 of byte 8 + r are bits 4..5 of group 4k + r
 *   108  f16 d */
#include "kernel/quant_int.h"

enum { BYTES = 110 };

static void unpack(struct quant_super *b, const uint8_t *p)
{
    const uint8_t *s = p + 96;
    b->d = load_f16(p + 108);
    for (int g = 0; g < 16; g++) {
        int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
        b->sc[g] = (int16_t)((low | (s[8 + g % 4] >> (g / 4 * 2) & 3) << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        int low = p[32 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        b->v[i] = (int8_t)(low + (p[i % 32] >> (i / 32) & 1) * 4 - 4);
    }
}

static void q3_k_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 256, p += BYTES) {
        struct quant_super b;
        const float *w = quant_weights(importance ? importance + i : NULL);
        search_super(&b, x + i, w, 16, (struct quant_range){-32, 31}, (struct quant_range){-4, 3});
        memset(p, 0, BYTES);
        for (int k = 0; k < 256; k++) {
            unsigned q = (unsigned)(b.v[k] + 4);
            p[k % 32] |= (uint8_t)((q >> 2) << (k / 32));
            p[32 + k / 128 * 32 + k % 32] |= (uint8_t)((q & 3) << (k / 32 % 4 * 2));
        }
        for (int g = 0; g < 16; g++) {
            unsigned sc = (unsigned)(b.sc[g] + 32);
            p[96 + g % 8] |= (uint8_t)((sc & 15) << (g / 8 * 4));
            p[104 + g % 4] |= (uint8_t)((sc >> 4) << (g / 4 * 2));
        }
        store_f16(p + 108, b.d);
    }
}

static void q3_k_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float q3_k_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q3_k = {
    "Q3_K", 256, BYTES, QUANT_ACT_Q8_256, q3_k_dequantize, q3_k_quantize, q3_k_dot, .unpack256 = unpack,
};
