/* quant.c - The table of tensor types, and the reference of activation quantisation.
 *
 * To add a type: its id in quant.h, its file, its name in quant_int.h's list, its row here.  The
 * agreement test (quant_test.c) and the golden vectors then ask for it. */
#include "kernel/quant_int.h"

#include <strings.h>

/* Types that files may contain and that can be listed, but not computed with. */
#define SIZE_ONLY(name, elems, bytes)                                                                        \
    &(const struct quant_info)                                                                               \
    {                                                                                                        \
        name, elems, bytes, QUANT_ACT_NONE, NULL, NULL, NULL                                                 \
    }

static const struct quant_info *const table[QUANT_TYPES_END] = {
    [QUANT_F32] = &quant_f32,
    [QUANT_F16] = &quant_f16,
    [QUANT_BF16] = &quant_bf16,
    [QUANT_Q4_0] = &quant_q4_0,
    [QUANT_Q4_1] = &quant_q4_1,
    [QUANT_Q5_0] = &quant_q5_0,
    [QUANT_Q5_1] = &quant_q5_1,
    [QUANT_Q8_0] = &quant_q8_0,
    [QUANT_Q8_1] = &quant_q8_1,
    [QUANT_Q2_K] = &quant_q2_k,
    [QUANT_Q3_K] = &quant_q3_k,
    [QUANT_Q4_K] = &quant_q4_k,
    [QUANT_Q5_K] = &quant_q5_k,
    [QUANT_Q6_K] = &quant_q6_k,
    [QUANT_Q8_K] = &quant_q8_k,
    [QUANT_IQ4_NL] = &quant_iq4_nl,
    [QUANT_IQ4_XS] = &quant_iq4_xs,
    [QUANT_MXFP4] = &quant_mxfp4,
    [QUANT_NVFP4] = &quant_nvfp4,
    [QUANT_IQ2_XXS] = SIZE_ONLY("IQ2_XXS", 256, 66),
    [QUANT_IQ2_XS] = SIZE_ONLY("IQ2_XS", 256, 74),
    [QUANT_IQ3_XXS] = SIZE_ONLY("IQ3_XXS", 256, 98),
    [QUANT_IQ1_S] = SIZE_ONLY("IQ1_S", 256, 50),
    [QUANT_IQ3_S] = SIZE_ONLY("IQ3_S", 256, 110),
    [QUANT_IQ2_S] = SIZE_ONLY("IQ2_S", 256, 82),
    [QUANT_IQ1_M] = SIZE_ONLY("IQ1_M", 256, 56),
    [QUANT_I8] = SIZE_ONLY("I8", 1, 1),
    [QUANT_I16] = SIZE_ONLY("I16", 1, 2),
    [QUANT_I32] = SIZE_ONLY("I32", 1, 4),
    [QUANT_I64] = SIZE_ONLY("I64", 1, 8),
    [QUANT_F64] = SIZE_ONLY("F64", 1, 8),
    [QUANT_TQ1_0] = SIZE_ONLY("TQ1_0", 256, 54),
    [QUANT_TQ2_0] = SIZE_ONLY("TQ2_0", 256, 66),
    [QUANT_Q1_0] = SIZE_ONLY("Q1_0", 128, 18),
    [QUANT_Q2_0] = SIZE_ONLY("Q2_0", 64, 18),
};

const struct quant_info *quant_info(uint32_t type)
{
    return type < QUANT_TYPES_END ? table[type] : NULL;
}

const char *quant_name(uint32_t type)
{
    const struct quant_info *info = quant_info(type);
    return info ? info->name : NULL;
}

int quant_by_name(const char *name, size_t n)
{
    for (int t = 0; t < QUANT_TYPES_END; t++)
        if (table[t] && strlen(table[t]->name) == n && strncasecmp(table[t]->name, name, n) == 0)
            return t;
    return -1;
}

bool quant_row_bytes(uint32_t type, uint64_t n_elems, uint64_t *bytes)
{
    const struct quant_info *info = quant_info(type);
    uint64_t product;
    if (!info || n_elems % info->block_elems != 0)
        return false;
    if (__builtin_mul_overflow(n_elems / info->block_elems, info->block_bytes, &product))
        return false;
    *bytes = product;
    return true;
}

/* One block of activations: returns d, writes q. */
static float quantize_act_block(int8_t *q, const float *x, int n)
{
    float amax = 0;
    for (int i = 0; i < n; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    if (amax < 0x1p-100f) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    float id = 127 / amax;
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)quant_round(x[i] * id);
    return amax / 127;
}

void quantize_act_32(struct quant_act32 *y, const float *x, size_t n)
{
    assert(n % 32 == 0);
    for (; n; n -= 32, x += 32, y++) {
        y->d = quantize_act_block(y->q, x, 32);
        y->sum = 0;
        for (int i = 0; i < 32; i++)
            y->sum += y->q[i];
    }
}

void quantize_act_256(struct quant_act256 *y, const float *x, size_t n)
{
    assert(n % 256 == 0);
    for (; n; n -= 256, x += 256, y++) {
        y->d = quantize_act_block(y->q, x, 256);
        for (int g = 0; g < 16; g++) {
            int sum = 0;
            for (int i = 16 * g; i < 16 * g + 16; i++)
                sum += y->q[i];
            y->sums[g] = (int16_t)sum;
        }
    }
}

size_t quant_act_bytes(enum quant_act act, size_t n)
{
    switch (act) {
    case QUANT_ACT_F32: return n * sizeof(float);
    case QUANT_ACT_Q8_32: return n / 32 * sizeof(struct quant_act32);
    case QUANT_ACT_Q8_256: return n / 256 * sizeof(struct quant_act256);
    case QUANT_ACT_NONE: break;
    }
    return 0;
}

void quantize_act(enum quant_act act, void *y, const float *x, size_t n)
{
    switch (act) {
    case QUANT_ACT_F32: memcpy(y, x, n * sizeof *x); break;
    case QUANT_ACT_Q8_32: quantize_act_32(y, x, n); break;
    case QUANT_ACT_Q8_256: quantize_act_256(y, x, n); break;
    case QUANT_ACT_NONE: break;
    }
}
