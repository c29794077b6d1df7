/* q6_k.c - Q6_K: 256 elements in 210 bytes, w = d sc (q - 32), groups of 16.
 *
 *   0    128 bytes of bits 0..3: half h (128 elements) has bytes 64h..64h+63; of element 32j + l
 *        of the half they are in byte 32 (j % 2) + l, in the low nibble for j < 2, else the high
 *   128  64 bytes: bits 2j..2j+1 of byte 32h + l are bits 4..5 of element 32j + l of half h
 *   192  16 int8 sc
 *   208  f16 d */
#include "kernel/quant_int.h"

enum { BYTES = 210 };

static void unpack(struct quant_super *b, const uint8_t *p)
{
    b->d = load_f16(p + 208);
    for (int g = 0; g < 16; g++)
        b->sc[g] = (int16_t)((p[192 + g] ^ 128) - 128); /* sign-extended */
    for (int i = 0; i < 256; i++) {
        int h = i / 128, j = i / 32 % 4, l = i % 32;
        int low = p[64 * h + 32 * (j % 2) + l] >> (j / 2 * 4) & 15;
        b->v[i] = (int8_t)((low | (p[128 + 32 * h + l] >> (2 * j) & 3) << 4) - 32);
    }
}

static void q6_k_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 256, p += BYTES) {
        struct quant_super b;
        const float *w = quant_weights(importance ? importance + i : NULL);
        search_super(&b, x + i, w, 16, (struct quant_range){-128, 127}, (struct quant_range){-32, 31});
        memset(p, 0, BYTES);
        for (int k = 0; k < 256; k++) {
            int h = k / 128, j = k / 32 % 4, l = k % 32;
            unsigned q = (unsigned)(b.v[k] + 32);
            p[64 * h + 32 * (j % 2) + l] |= (uint8_t)((q & 15) << (j / 2 * 4));
            p[128 + 32 * h + l] |= (uint8_t)((q >> 4) << (2 * j));
        }
        for (int g = 0; g < 16; g++)
            p[192 + g] = (uint8_t)b.sc[g];
        store_f16(p + 208, b.d);
    }
}

static void q6_k_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float q6_k_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q6_k = {
    "Q6_K", 256, BYTES, QUANT_ACT_Q8_256, q6_k_dequantize, q6_k_quantize, q6_k_dot, .unpack256 = unpack,
};
