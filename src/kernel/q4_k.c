/* q4_k.c - Q4_K: 256 elements in 144 bytes, w = d sc q - dmin m, groups of 32.
 *
 *   0   f16 d
 *   2   f16 dmin
 *   4   12 bytes of 6-bit sc and m, shared with q5_k.c (k4_unpack_scales)
 *   16  4 x 32 bytes: low nibbles of the k-th 32 are group 2k, high nibbles group 2k + 1 */
#include "kernel/quant_int.h"

enum { BYTES = 144 };

/* Groups 0..3: sc in the low 6 bits of byte g, m in those of byte g + 4.  Groups 4..7: bits 0..3
 * of sc and m are the nibbles of byte g + 4, bits 4..5 the top bits of bytes g - 4 and g. */
void k4_unpack_scales(struct quant_super *b, const uint8_t *s)
{
    for (int g = 0; g < 8; g++) {
        int sc = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
        int m = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | (s[g] >> 6) << 4;
        b->sc[2 * g] = b->sc[2 * g + 1] = (int16_t)sc;
        b->m[2 * g] = b->m[2 * g + 1] = (uint8_t)m;
    }
}

void k4_pack_scales(uint8_t *s, const struct quant_super *b)
{
    memset(s, 0, 12);
    for (int g = 0; g < 8; g++) {
        unsigned sc = (unsigned)b->sc[2 * g], m = b->m[2 * g];
        if (g < 4) {
            s[g] |= (uint8_t)sc;
            s[g + 4] |= (uint8_t)m;
        } else {
            s[g + 4] |= (uint8_t)((sc & 15) | m << 4);
            s[g - 4] |= (uint8_t)(sc >> 4 << 6);
            s[g] |= (uint8_t)(m >> 4 << 6);
        }
    }
}

static void unpack(struct quant_super *b, const uint8_t *p)
{
    b->d = load_f16(p);
    b->dmin = load_f16(p + 2);
    b->has_min = true;
    k4_unpack_scales(b, p + 4);
    for (int i = 0; i < 256; i++)
        b->v[i] = p[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

static void q4_k_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 256, p += BYTES) {
        struct quant_super b;
        const float *w = quant_weights(importance ? importance + i : NULL);
        search_super_min(&b, x + i, w, 32, 63, 15);
        memset(p, 0, BYTES);
        store_f16(p, b.d);
        store_f16(p + 2, b.dmin);
        k4_pack_scales(p + 4, &b);
        for (int k = 0; k < 256; k++)
            p[16 + k / 64 * 32 + k % 32] |= (uint8_t)(b.v[k] << (k / 32 % 2 * 4));
    }
}

static void q4_k_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float q4_k_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_q4_k = {
    "Q4_K", 256, BYTES, QUANT_ACT_Q8_256, q4_k_dequantize, q4_k_quantize, q4_k_dot, .unpack256 = unpack,
};
