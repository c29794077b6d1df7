/* iq4_xs.c - IQ4_XS: 256 elements in 136 bytes, w = d (ls - 32) T[q], groups of 32, T as IQ4_NL.
 *
 *   0  f16 d
 *   2  u16: bits 2g..2g+1 are bits 4..5 of ls of group g
 *   4  4 bytes: bits 0..3 of ls, even groups in the low nibble
 *   8  8 x 16 bytes: low nibble of byte j is element j of the group, high nibble element j + 16 */
#include "kernel/quant_int.h"

enum { BYTES = 136 };

static void unpack(struct quant_super *b, const uint8_t *p)
{
    unsigned high = p[2] | (unsigned)p[3] << 8;
    b->d = load_f16(p);
    for (int g = 0; g < 8; g++) {
        uint8_t q[32];
        unsigned ls = (p[4 + g / 2] >> (4 * (g % 2)) & 15u) | (high >> (2 * g) & 3) << 4;
        b->sc[2 * g] = b->sc[2 * g + 1] = (int16_t)((int)ls - 32);
        unpack_nibbles(q, p + 8 + 16 * g, 32);
        for (int j = 0; j < 32; j++)
            b->v[32 * g + j] = quant_iq4_table[q[j]];
    }
}

struct search {
    float d;
    int8_t sc[8];
    uint8_t q[256];
};

/* Scales of the groups alone first; then d so that the largest fits 6 bits, and each group takes
 * the best of the three nearest integers, with codes for the scale it really gets. */
static void search(struct search *s, const float *x, const float *w)
{
    float scale[8], largest = 0;
    *s = (struct search){.d = 0};
    for (int g = 0; g < 8; g++) {
        scale[g] = search_table_real(x + 32 * g, w + 32 * g, 32, quant_iq4_table);
        if (fabsf(scale[g]) > fabsf(largest))
            largest = scale[g];
    }
    s->d = round_f16(largest / -32);
    double num = 0, den = 0;
    for (int g = 0; g < 8; g++) {
        uint8_t q[32];
        float best = INFINITY;
        int mid = s->d != 0 ? quant_clamp(quant_round(scale[g] / s->d), -32, 31) : 0;
        for (int sc = mid - 1; sc <= mid + 1; sc++) {
            if (sc < -32 || sc > 31)
                continue;
            float err = encode_table(q, x + 32 * g, w + 32 * g, 32, s->d * (float)sc, quant_iq4_table);
            if (err < best) {
                best = err;
                s->sc[g] = (int8_t)sc;
                memcpy(s->q + 32 * g, q, 32);
            }
        }
        for (int j = 32 * g; j < 32 * g + 32; j++) {
            double v = (double)s->sc[g] * quant_iq4_table[s->q[j]];
            num += (double)w[j] * (double)x[j] * v;
            den += (double)w[j] * v * v;
        }
    }
    if (den > 0) /* the codes are fixed now: the best d for them, by least squares */
        s->d = round_f16((float)(num / den));
}

static void iq4_xs_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks;
    for (size_t i = 0; i < n; i += 256, p += BYTES) {
        struct search s;
        search(&s, x + i, quant_weights(importance ? importance + i : NULL));
        memset(p, 0, BYTES);
        store_f16(p, s.d);
        for (int g = 0; g < 8; g++) {
            unsigned ls = (unsigned)(s.sc[g] + 32);
            p[2 + g / 4] |= (uint8_t)((ls >> 4) << (g % 4 * 2));
            p[4 + g / 2] |= (uint8_t)((ls & 15) << (g % 2 * 4));
            pack_nibbles(p + 8 + 16 * g, s.q + 32 * g, 32);
        }
    }
}

static void iq4_xs_dequantize(float *y, const void *blocks, size_t n)
{
    super_dequantize(y, blocks, n, BYTES, unpack);
}

static float iq4_xs_dot(const void *blocks, const void *act, size_t n)
{
    return super_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_iq4_xs = {
    "IQ4_XS",
    256,
    BYTES,
    QUANT_ACT_Q8_256,
    iq4_xs_dequantize,
    iq4_xs_quantize,
    iq4_xs_dot,
    .unpack256 = unpack,
};
