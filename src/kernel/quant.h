/* quant.h - The tensor types of GGUF files: layout, dequantisation, quantisation, reference dot.
 *
 * A row of n elements is stored as n / block_elems blocks of block_bytes each.  Every type has one
 * row in quant.c and one file that states its layout; a new type is one such file and one row.
 * All functions are pure and may run on any thread.  Blocks may lie at any address (files align
 * tensors, not rows); floats and activation blocks are aligned as their types ask.
 *
 * NUMERICS.  This header is the definition that every instruction-set level matches bit for bit.
 * Arithmetic is IEEE f32, round to nearest even, one rounding per operation; fmaf is one rounding.
 * f16, bf16, E8M0 and UE4M3 scales widen to f32 exactly.  int32 sums never overflow for any bytes.
 *
 * Activations, row by row, in blocks of L = 32 (ACT_Q8_32) or L = 256 (ACT_Q8_256):
 *     amax = max |x_i|
 *     amax < 2^-100:  d = 0, all q_i = 0
 *     otherwise:      d = amax / 127;  id = 127 / amax;  q_i = round_half_even(x_i * id)
 * so that x_i ~ d * q_i and -127 <= q_i <= 127.  d stays f32.  x must be finite; otherwise q and
 * d are unspecified (but nothing outside the output is touched).
 *
 * Dot product of a weight row with an activation row: one accumulator, starting at +0, weight
 * blocks in ascending order (a panel over K starts from the accumulator of the panel before):
 *
 *   F32 F16 BF16 (activations stay f32), element by element:
 *     acc = fmaf(w_i, x_i, acc)
 *   Q4_0 Q5_0 Q8_0 IQ4_NL MXFP4 (ACT_Q8_32), s = sum_32 v_i q_i, v_i the stored integer
 *   (q-8, q-16, q, T[q], M[q]):
 *     acc = fmaf(dw * da, (float)s, acc)
 *   NVFP4 (ACT_Q8_32): the same per 16 elements, dw = scale/2 of the sixteen.
 *   Q4_1 Q5_1 (ACT_Q8_32), also t = sum_32 q_i:
 *     acc = fmaf(dw * da, (float)s, acc);  acc = fmaf(m * da, (float)t, acc)
 *   Q8_1: as Q8_0 (its own sum is not used).
 *   Q3_K Q6_K IQ4_XS (ACT_Q8_256), s = sum_groups sc_g sum_g v_i q_i in int32 with sc_g the signed
 *   group scale (sc-32, sc, ls-32):
 *     acc = fmaf(d * da, (float)s, acc)
 *   Q8_K (ACT_Q8_256): the same without groups.
 *   Q2_K Q4_K Q5_K (ACT_Q8_256), also t = sum_groups m_g sum_g q_i in int32:
 *     acc = fmaf(d * da, (float)s, acc);  acc = fmaf(-(dmin * da), (float)t, acc)
 *
 * (float)s rounds to nearest even where |s| > 2^24 (Q6_K and IQ4_XS can get there). */
#ifndef KERNEL_QUANT_H
#define KERNEL_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The ids of GGUF tensor infos.  Gaps are ids that the format has retired. */
enum quant_type {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q8_1 = 9,
    QUANT_Q2_K = 10,
    QUANT_Q3_K = 11,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_Q8_K = 15,
    QUANT_IQ2_XXS = 16,
    QUANT_IQ2_XS = 17,
    QUANT_IQ3_XXS = 18,
    QUANT_IQ1_S = 19,
    QUANT_IQ4_NL = 20,
    QUANT_IQ3_S = 21,
    QUANT_IQ2_S = 22,
    QUANT_IQ4_XS = 23,
    QUANT_I8 = 24,
    QUANT_I16 = 25,
    QUANT_I32 = 26,
    QUANT_I64 = 27,
    QUANT_F64 = 28,
    QUANT_IQ1_M = 29,
    QUANT_BF16 = 30,
    QUANT_TQ1_0 = 34,
    QUANT_TQ2_0 = 35,
    QUANT_MXFP4 = 39,
    QUANT_NVFP4 = 40,
    QUANT_Q1_0 = 41,
    QUANT_Q2_0 = 42,
    QUANT_TYPES_END = 43
};

/* In which form a type's dot product wants the activations. */
enum quant_act { QUANT_ACT_NONE, QUANT_ACT_F32, QUANT_ACT_Q8_32, QUANT_ACT_Q8_256 };

struct quant_act32 {
    float d;
    int32_t sum; /* of q */
    int8_t q[32];
};

struct quant_act256 {
    float d;
    int16_t sums[16]; /* of each 16 q in turn */
    int8_t q[256];
};

struct quant_block32;
struct quant_super;

struct quant_info {
    const char *name; /* as users write it, upper case: "Q4_K" */
    uint16_t block_elems;
    uint16_t block_bytes;
    enum quant_act act;
    /* y[n] f32 = the exact values that the blocks stand for (one f32 rounding per operation of
     * the formula in the type's file).  n is a multiple of block_elems.  NULL: the type is known
     * by name and size only, and nothing can be computed from it. */
    void (*dequantize)(float *y, const void *blocks, size_t n);
    /* The blocks that stand for x[n] best.  `importance` is NULL or n weights >= 0 of the squared
     * errors.  x must be finite.  NULL: the type is only read. */
    void (*quantize)(void *blocks, const float *x, size_t n, const float *importance);
    /* The dot product defined above.  `act` is const float *, struct quant_act32 * or
     * struct quant_act256 *, n elements.  NULL exactly where dequantize is. */
    float (*dot)(const void *blocks, const void *act, size_t n);
    /* One block as integers and scales (quant_int.h), for the packers of fast layouts: one of the
     * two for types of 32 and of 256 elements, NULL for all others. */
    void (*unpack32)(struct quant_block32 *b, const uint8_t *p);
    void (*unpack256)(struct quant_super *b, const uint8_t *p);
};

/* The row of a type id, or NULL for an id that no GGUF version defines. */
const struct quant_info *quant_info(uint32_t type);

/* "Q4_K", or "type 99" style text is the caller's: NULL for an unknown id. */
const char *quant_name(uint32_t type);

/* The type with this name (case does not matter), or -1. */
int quant_by_name(const char *name, size_t n);

/* Bytes of one row of n elements.  False if the type is unknown, n is not a whole number of
 * blocks, or the size overflows; *bytes is then unchanged. */
bool quant_row_bytes(uint32_t type, uint64_t n_elems, uint64_t *bytes);

/* The reference of activation quantisation; n is a multiple of 32 or 256. */
void quantize_act_32(struct quant_act32 *y, const float *x, size_t n);
void quantize_act_256(struct quant_act256 *y, const float *x, size_t n);

/* Bytes of one activation row of n elements in the given form (reference layout). */
size_t quant_act_bytes(enum quant_act act, size_t n);

/* x[n] in the form `act`, reference layout (QUANT_ACT_F32: a copy). */
void quantize_act(enum quant_act act, void *y, const float *x, size_t n);

#endif
