/* iq4_nl.c - IQ4_NL: 32 elements in 18 bytes, w = d T[q] with a table denser around zero.
 *
 *   0  f16 d
 *   2  16 bytes: low nibble of byte j is element j, high nibble element j + 16 */
#include "kernel/quant_int.h"

enum { BYTES = 18 };

const int8_t quant_iq4_table[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

static void unpack(struct quant_block32 *b, const uint8_t *p)
{
    uint8_t q[32];
    b->d = load_f16(p);
    unpack_nibbles(q, p + 2, 32);
    for (int j = 0; j < 32; j++)
        b->v[j] = quant_iq4_table[q[j]];
}

static void iq4_nl_quantize(void *blocks, const float *x, size_t n, const float *importance)
{
    uint8_t *p = blocks, q[32];
    for (size_t i = 0; i < n; i += 32, p += BYTES) {
        const float *w = quant_weights(importance ? importance + i : NULL);
        store_f16(p, search_table(q, x + i, w, 32, quant_iq4_table));
        pack_nibbles(p + 2, q, 32);
    }
}

static void iq4_nl_dequantize(float *y, const void *blocks, size_t n)
{
    block32_dequantize(y, blocks, n, BYTES, unpack);
}

static float iq4_nl_dot(const void *blocks, const void *act, size_t n)
{
    return block32_dot(blocks, act, n, BYTES, unpack);
}

const struct quant_info quant_iq4_nl = {
    "IQ4_NL", 32, BYTES, QUANT_ACT_Q8_32, iq4_nl_dequantize, iq4_nl_quantize, iq4_nl_dot, .unpack32 = unpack,
};
