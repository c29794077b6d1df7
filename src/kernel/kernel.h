/* kernel.h - The arithmetic of one instruction-set level, chosen once.
 *
 * A level is a table of functions.  Everything but `name` and speed is the same in all levels:
 * matrix products agree bit for bit with the reference dot products of quant.h, and the vector functions
 * below with their formulas (vec_impl.h and attn_impl.h are compiled once per level).
 *
 * MATRICES are packed at load into strips of 32 output rows (pack.h).  A strip function computes 32
 * outputs for any number of activation rows; the result of a row does not depend on the others.
 *
 * Threads: all functions are pure. */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernel/quant.h"

enum kern_level {
    KERN_REF,
    KERN_AVX2,
    KERN_AVXVNNI, /* and the byte dot product, in registers of 32 bytes */
    KERN_AVX512,  /* with VNNI */
    KERN_NEON,    /* with the dot product of ARMv8.2 */
    KERN_I8MM,    /* and the 8-bit matrix product of ARMv8.6 */
    KERN_LEVELS_END
};

#define KERN_STRIP 32 /* output rows of a strip */

/* Activations as the fast levels read them: the numbers of quant_act32 and quant_act256, with
 * the sums in the forms that the tiles want. */
struct kern_act32 {
    int8_t q[32];
    float d;
    int32_t neg;      /* minus the sum of q */
    int32_t neg16[2]; /* the same of each half */
};

struct kern_act256 {
    float d;
    int32_t unused[3];
    int16_t pair32[8];  /* sums of 32 q, in the order 0 2 1 3 4 6 5 7 */
    int16_t pair16[16]; /* sums of 16 q, in the order 0 2 1 3, 4 6 5 7, ... */
    int32_t neg32[8];   /* minus the sum of each 32 q */
    int32_t neg16[16];
    int8_t q[256];
};

/* One row of a matrix product: its quantised activations and where its outputs go (y[0] is
 * output 0 of the matrix). */
struct kern_row {
    const void *act;
    float *y;
};

/* Outputs [col, col + 32) for n rows from one packed strip of n_blocks blocks along K:
 * y = W x, or y += W x (one addition after the sum) if `add`. */
typedef void kern_strip(const void *strip, int n_blocks, const struct kern_row *rows, int n_rows, int col,
                        bool add);

/* y[n] = gate(g) * up:  SILU  g / (1 + e^-g);  GELU  g / (1 + e^-2u), u = sqrt(2 / pi) (g + 0.044715 g^3),
 * which is its approximation with tanh.  OAI, of gpt-oss:  c / (1 + e^-1.702c) (up within +-7, + 1), c =
 * min(g, 7). Error below 1e-6 of the gate's value or of |g| / 1000. */
enum kern_gate { KERN_GATE_SILU, KERN_GATE_GELU, KERN_GATE_OAI, KERN_GATE_END };
typedef void kern_gate_mul(float *y, const float *gate, const float *up, int n);

/* Keys and values of 16 tokens of one KV head, n = head_dim:
 *   F16, BF16:  K tile [n][16], V tile [16][n]
 *   Q8_0:       blocks of 32 dimensions with a scale of their own, |code| <= 127.
 *               K tile: for each block [16 pairs of dimensions][16][2] codes, [16] f16 scales;
 *               V tile: [8 pairs of tokens][n][2] codes, [n / 32][16] f16 scales
 *   I16:        one scale per token, |code| <= 16383.
 *               K tile: [n / 2][16][2] 16-bit codes, [16] f32 scales;
 *               V tile: [8][n][2] 16-bit codes, [16] f32 scales
 * Both tiles have kern_kv_tile_bytes bytes. */
enum kern_kv { KERN_KV_F16, KERN_KV_BF16, KERN_KV_Q8_0, KERN_KV_I16, KERN_KV_END };

#define KERN_KV_TILE 16  /* tokens of a tile */
#define KERN_SEGMENT 512 /* keys of a segment of attention */
#define KERN_LOG2E   1.44269504f
#define KERN_QUERIES 6 /* queries that share one pass over the keys */

/* Attention of up to KERN_QUERIES queries over one segment.  For query i, keys from first_key[i] to
 * before n_keys[i] count (none gives max -inf, sum 0, out 0), and the others not at all;  s_k becomes
 * softcap tanh(s_k / softcap) if that is not 0;  max = max_k s_k;  p_k = exp2(s_k - max) (one fma), at least
 * 2^-126;  sum = 16 partial sums by k mod 16, then pairwise.
 *   F16, BF16:  s_k = sum_d q_d K_kd (fma, ascending d);  out_d = sum_k p_k V_kd (fma, ascending k)
 *   Q8_0, I16:  s_k / q_step = sum_b K_step_kb (exact sum over the block's d of q_code_d K_code_kd)
 *               (fma, ascending blocks);  w_k = p_k V_step_kb as codes with a step for each 128 keys g:
 *               out_d = sum_g w_step_g (exact sum over k of w_code_k V_code_kd)  (fma, ascending g)
 * Queries are already scaled by KERN_LOG2E / sqrt(head_dim), and are in the form that attn_query makes. */
struct kern_attn {
    int n_queries;
    int head_dim; /* multiple of 16, at most KERN_HEAD_MAX; of 32 for KERN_KV_Q8_0 */
    const float *q[KERN_QUERIES];
    int n_keys[KERN_QUERIES];    /* at most KERN_SEGMENT */
    int first_key[KERN_QUERIES]; /* below n_keys, or both 0 */
    float softcap;               /* 0: none */
    const uint8_t *k_tiles[KERN_SEGMENT / KERN_KV_TILE];
    const uint8_t *v_tiles[KERN_SEGMENT / KERN_KV_TILE];
    float *out[KERN_QUERIES]; /* [head_dim] each */
    float max[KERN_QUERIES], sum[KERN_QUERIES];
    /* The tiles come from memory, and are requested a little ahead of their use; the first of them were by
     * the call before this one, to which they were `next`.  Those that follow this segment, as far as they
     * are known. */
    bool is_cold;
    int n_next; /* may be 0 */
    const uint8_t *next[KERN_SEGMENT / KERN_KV_TILE];
    float *scores; /* scratch: KERN_ATTN_SCRATCH bytes, 64-byte aligned */
};

#define KERN_HEAD_MAX 1024 /* dimensions of a head */

/* Floats for scores, then 16-bit codes, in whole lines of the cache. */
#define KERN_ATTN_SCRATCH ((size_t)KERN_QUERIES * (4 * KERN_SEGMENT + 2 * KERN_HEAD_MAX))

/* A running result of attention over segments in ascending order. */
struct kern_attn_state {
    float max, sum;
};

struct kern_ops {
    enum kern_level level;
    const char *name;

    bool packed; /* weights are in strips as pack.h says; false: in rows as in the file */
    /* By weight type; NULL where the type cannot be computed with. */
    kern_strip *strip[QUANT_TYPES_END];

    /* x[n] as activations of a form, in this level's layout (kern_act_bytes). */
    void (*quantize)(enum quant_act act, void *y, const float *x, int n);

    /* y = w x / sqrt(mean(x^2) + eps); sum of squares in 16 lanes by index, then pairwise.
     * w may be NULL (all ones).  y may be x. */
    void (*rmsnorm)(float *y, const float *x, const float *w, int n, float eps);
    void (*add)(float *y, const float *x, int n);            /* y += x */
    void (*scale)(float *y, const float *x, float a, int n); /* y = a x */
    void (*axpy)(float *y, float a, const float *x, int n);  /* y = fma(a, x, y) */
    kern_gate_mul *gate_mul[KERN_GATE_END];
    void (*sigmoid)(float *y, const float *x, int n);            /* y = 1 / (1 + exp(-x)) */
    void (*softcap)(float *y, const float *x, float cap, int n); /* y = cap tanh(x / cap) */
    /* p = exp(x - max), returns the sum of p in 16 lanes, then pairwise. */
    float (*softmax_exp)(float *p, const float *x, int n);

    /* Rotate pairs: NORM (2i, 2i+1), NEOX (i, i + n/2), i < n/2, in place, by cos[i] and sin[i]. */
    void (*rope_norm)(float *x, const float *cos, const float *sin, int n);
    void (*rope_neox)(float *x, const float *cos, const float *sin, int n);

    /* Store key k[n] and value v[n] as token `slot` of two tiles: nearest even; f16 saturates at
     * +-65504, and I16 at +-2^100, so that a stored value is never infinite. */
    void (*kv_put)(enum kern_kv kv, uint8_t *k_tile, uint8_t *v_tile, int slot, const float *k,
                   const float *v, int n);
    /* A query q[n] into the form that attention wants, in place: as it is (F16, BF16), or n 16-bit codes and
     * then their step as f32. */
    void (*attn_query)(enum kern_kv kv, float *q, int n);
    void (*attn[KERN_KV_END])(struct kern_attn *a);
    /* Merge a segment into a state: out [n] += scaled, exactly the same for the first one. */
    void (*attn_merge)(struct kern_attn_state *s, float *out, float max, float sum, const float *part, int n);
    /* out /= sum */
    void (*attn_finish)(const struct kern_attn_state *s, float *out, int n);
};

size_t kern_kv_tile_bytes(enum kern_kv kv, int head_dim);
/* Zero the slots from `from` on of a pair of tiles, as if nothing had ever been stored there. */
void kern_kv_clear(enum kern_kv kv, uint8_t *k_tile, uint8_t *v_tile, int from, int head_dim);

/* Bytes of one activation row of n elements in the level's layout. */
size_t kern_act_bytes(const struct kern_ops *ops, enum quant_act act, int n);

/* The level that this processor and operating system support best, or the one asked for by name
 * ("ref", "avx2", "avxvnni", "avx512", "neon", "i8mm"; NULL, "" and "auto": the best).  A name that is
 * unknown or a level that is not possible here is an error that says what is. */
int kern_choose(const struct kern_ops **ops, const char *name, struct err *err);
bool kern_level_possible(enum kern_level level);

#endif
