/* matmul_arm_impl.h - Matrix products for ARM, from the same packed strips as on x86.
 *
 * Included by matmul_neon.c and matmul_i8mm.c, which name the function that fills the table by STRIPS.
 *
 * A line of a strip is four consecutive codes of each of 16 rows (pack.h), which is what the dot product of
 * these processors wants as well: a unit is one register, 4 output rows, and SDOT by element multiplies
 * it with a quad of activations without a broadcast.  Codes that fit seven bits stay as they are, and
 * their zero point is where the sum begins: zero * minus the sum of the activations.
 *
 * With the matrix product (SMMLA) two rows of activations share what is loaded: two lines of quads are
 * zipped into eight codes of two rows each, and the 2 x 2 results are sorted into rows at the end
 * of a group.  A single row has no use for it.
 *
 * A strip has eight units.  A tile is some units times some rows: all eight for one row, so that memory
 * is read in order, fewer for more rows, whose sums then fill the 32 registers.
 *
 * Start reading at tile32(). */
#include <arm_neon.h>
#include <string.h>

#include "kernel/kern_int.h"
#include "kernel/quant_int.h"

/* See matmul_avx512.c. */
#define NO_SANITIZE no_sanitize("address", "undefined", "thread")
#define INLINE      static inline __attribute__((always_inline, unused, NO_SANITIZE))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

enum { LINE = 64, UNITS = 8, TILE_ROWS = 4, AHEAD = 2048 };

/* --- small things ---------------------------------------------------------------------------- */

INLINE float32x4_t f16_unit(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

INLINE float32x4_t bf16_unit(const uint8_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}

INLINE uint8x16_t low_nibbles(uint8x16_t v)
{
    return vandq_u8(v, vdupq_n_u8(15));
}

INLINE uint8x16_t high_nibbles(uint8x16_t v)
{
    return vshrq_n_u8(v, 4);
}

/* nib | (v >> from & mask) << 4 */
INLINE uint8x16_t with_bits(uint8x16_t nib, uint8x16_t v, int from, int mask)
{
    v = vshlq_u8(v, vdupq_n_s8((int8_t)(4 - from)));
    return vorrq_u8(nib, vandq_u8(v, vdupq_n_u8((uint8_t)(mask << 4))));
}

INLINE int8x16_t lookup(const int8_t *table, uint8x16_t indices)
{
    return vqtbl1q_s8(vld1q_s8(table), indices);
}

INLINE int8x16_t as_signed(uint8x16_t v)
{
    return vreinterpretq_s8_u8(v);
}

INLINE int32x4_t dot_lane(int32x4_t c, int8x16_t codes, int8x16_t act, int lane)
{
    switch (lane) {
    case 0: return vdotq_laneq_s32(c, codes, act, 0);
    case 1: return vdotq_laneq_s32(c, codes, act, 1);
    case 2: return vdotq_laneq_s32(c, codes, act, 2);
    default: return vdotq_laneq_s32(c, codes, act, 3);
    }
}

/* Where unit u's part of a half's lines begins. */
INLINE const uint8_t *unit_at(const uint8_t *strip, int u, int half)
{
    return strip + u / 4 * half + u % 4 * 16;
}

INLINE void fetch(const uint8_t *p, int bytes)
{
    for (int at = 0; at < bytes; at += LINE)
        __builtin_prefetch(p + AHEAD + at);
}

INLINE void finish(float32x4_t f[UNITS][TILE_ROWS], int units, int n, const struct kern_row *rows, int col,
                   bool add)
{
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++)
    {
        float *y = rows[i].y + col + 4 * u;
        vst1q_f32(y, add ? vaddq_f32(vld1q_f32(y), f[u][i]) : f[u][i]);
    }
}

/* --- codes ----------------------------------------------------------------------------------- */

INLINE int half32(enum quant_type t)
{
    return t == QUANT_Q8_0 ? 512 : t == QUANT_Q5_0 || t == QUANT_Q5_1 ? 320 : 256;
}

INLINE bool is_block32(enum quant_type t)
{
    switch (t) {
    case QUANT_Q4_0:
    case QUANT_Q4_1:
    case QUANT_Q5_0:
    case QUANT_Q5_1:
    case QUANT_Q8_0:
    case QUANT_IQ4_NL:
    case QUANT_MXFP4:
    case QUANT_NVFP4: return true;
    default: return false;
    }
}

/* log2 of the zero point; -1: none, or codes are signed. */
INLINE int zero_shift(enum quant_type t)
{
    switch (t) {
    case QUANT_Q3_K: return 2;
    case QUANT_Q4_0: return 3;
    case QUANT_Q5_0: return 4;
    case QUANT_Q6_K: return 5;
    default: return -1;
    }
}

INLINE int8x16_t codes32(enum quant_type t, const uint8_t *p, int q)
{
    if (t == QUANT_Q8_0)
        return as_signed(veorq_u8(vld1q_u8(p + LINE * q), vdupq_n_u8(128)));
    uint8x16_t nib = q < 4 ? low_nibbles(vld1q_u8(p + LINE * q)) : high_nibbles(vld1q_u8(p + LINE * (q - 4)));
    if (t == QUANT_Q5_0 || t == QUANT_Q5_1)
        return as_signed(with_bits(nib, vld1q_u8(p + LINE * 4), q, 1));
    if (t == QUANT_IQ4_NL)
        return lookup(quant_iq4_table, nib);
    if (t == QUANT_MXFP4 || t == QUANT_NVFP4)
        return lookup(quant_fp4_table, nib);
    return as_signed(nib);
}

/* Quad q (0..7) of group g of 32 elements. */
INLINE int8x16_t codes256(enum quant_type t, const uint8_t *p, int g, int q)
{
    if (t == QUANT_Q2_K) {
        uint8x16_t v = vld1q_u8(p + LINE * (2 * g + q / 4));
        v = vshlq_u8(v, vdupq_n_s8((int8_t)(-2 * (q % 4))));
        return as_signed(vandq_u8(v, vdupq_n_u8(3)));
    }
    uint8x16_t line = vld1q_u8(p + LINE * (8 * (g / 2) + q));
    uint8x16_t nib = g % 2 ? high_nibbles(line) : low_nibbles(line);
    if (t == QUANT_Q5_K)
        return as_signed(with_bits(nib, vld1q_u8(p + LINE * (32 + g)), q, 1));
    if (t == QUANT_Q6_K)
        return as_signed(with_bits(nib, vld1q_u8(p + LINE * (32 + 2 * g + q / 4)), 2 * (q % 4), 3));
    if (t == QUANT_IQ4_XS)
        return lookup(quant_iq4_table, nib);
    return as_signed(nib);
}

INLINE int8x16_t codes_of(enum quant_type t, const uint8_t *p, int g, int q)
{
    return is_block32(t) ? codes32(t, p, q) : codes256(t, p, g, q);
}

/* --- sums of products ------------------------------------------------------------------------ */

/* What one call of dots() multiplies: quads [from, from + count) of 32 elements, those of group g. */
struct quads {
    const uint8_t *w; /* the block */
    int half, first_unit;
    int g, from, count;
};

/* c[u][i] = begin[i] + codes . x[i], with x[i] the 32 activations. */
INLINE void dots_by_element(enum quant_type t, int units, int n, int32x4_t c[UNITS][TILE_ROWS],
                            const int32_t *begin, const int8_t *const *x, struct quads s)
{
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) c[u][i] = vdupq_n_s32(begin[i]);
    UNROLL for (int k = 0; k < s.count; k++)
    {
        /* The two quads that share a line of nibbles one after the other. */
        int q = s.from + (is_block32(t) && t != QUANT_Q8_0 && s.count == 8 ? k / 2 + k % 2 * 4 : k);
        int8x16_t act[TILE_ROWS];
        UNROLL for (int i = 0; i < n; i++) act[i] = vld1q_s8(x[i] + 16 * (q / 4));
        UNROLL for (int u = 0; u < units; u++)
        {
            int8x16_t codes = codes_of(t, unit_at(s.w, s.first_unit + u, s.half), s.g, q);
            UNROLL for (int i = 0; i < n; i++) c[u][i] = dot_lane(c[u][i], codes, act[i], q % 4);
        }
    }
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/* The same for an even number of rows, two at a time. */
INLINE void dots_by_matrix(enum quant_type t, int units, int n, int32x4_t c[UNITS][TILE_ROWS],
                           const int32_t *begin, const int8_t *const *x, struct quads s)
{
    int32x4_t sums[UNITS]
                  [TILE_ROWS]; /* of unit u and rows i, i + 1: outputs 0, 1 at i, outputs 2, 3 at i + 1 */
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) sums[u][i] = vdupq_n_s32(0);
    UNROLL for (int q = s.from; q < s.from + s.count; q += 2)
    {
        int8x16_t act[TILE_ROWS / 2];
        UNROLL for (int i = 0; i < n; i += 2) act[i / 2] =
            vcombine_s8(vld1_s8(x[i] + 4 * q), vld1_s8(x[i + 1] + 4 * q));
        UNROLL for (int u = 0; u < units; u++)
        {
            const uint8_t *p = unit_at(s.w, s.first_unit + u, s.half);
            int32x4_t a = vreinterpretq_s32_s8(codes_of(t, p, s.g, q)),
                      b = vreinterpretq_s32_s8(codes_of(t, p, s.g, q + 1));
            int8x16_t rows01 = vreinterpretq_s8_s32(vzip1q_s32(a, b)),
                      rows23 = vreinterpretq_s8_s32(vzip2q_s32(a, b));
            UNROLL for (int i = 0; i < n; i += 2)
            {
                sums[u][i] = vmmlaq_s32(sums[u][i], rows01, act[i / 2]);
                sums[u][i + 1] = vmmlaq_s32(sums[u][i + 1], rows23, act[i / 2]);
            }
        }
    }
    UNROLL for (int i = 0; i < n; i += 2) UNROLL for (int u = 0; u < units; u++)
    {
        c[u][i] = vaddq_s32(vuzp1q_s32(sums[u][i], sums[u][i + 1]), vdupq_n_s32(begin[i]));
        c[u][i + 1] = vaddq_s32(vuzp2q_s32(sums[u][i], sums[u][i + 1]), vdupq_n_s32(begin[i + 1]));
    }
}
#endif

INLINE void dots(enum quant_type t, int units, int n, int32x4_t c[UNITS][TILE_ROWS], const int32_t *begin,
                 const int8_t *const *x, struct quads s)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    if (n % 2 == 0) {
        dots_by_matrix(t, units, n, c, begin, x, s);
        return;
    }
#endif
    dots_by_element(t, units, n, c, begin, x, s);
}

/* --- blocks of 32 ---------------------------------------------------------------------------- */

INLINE bool has_min32(enum quant_type t)
{
    return t == QUANT_Q4_1 || t == QUANT_Q5_1;
}

INLINE void tile32(enum quant_type t, int units, int n, const uint8_t *w, int n_blocks,
                   const struct kern_row *rows, int col, int first_unit, bool add)
{
    const int half = half32(t), groups = t == QUANT_NVFP4 ? 2 : 1, shift = zero_shift(t);
    const int bytes = 2 * half + LINE * (groups == 2 || has_min32(t) ? 2 : 1);
    float32x4_t f[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) f[u][i] = vdupq_n_f32(0);
    for (int k = 0; k < n_blocks; k++, w += bytes) {
        const struct kern_act32 *a[TILE_ROWS];
        const int8_t *x[TILE_ROWS];
        if (units == UNITS)
            fetch(w, bytes);
        UNROLL for (int i = 0; i < n; i++)
        {
            a[i] = (const struct kern_act32 *)rows[i].act + k;
            x[i] = a[i]->q;
        }
        UNROLL for (int g = 0; g < groups; g++)
        {
            int32x4_t c[UNITS][TILE_ROWS];
            int32_t begin[TILE_ROWS] = {0};
            UNROLL for (int i = 0; i < n && shift >= 0; i++) begin[i] = a[i]->neg * (1 << (shift & 31));
            struct quads s = {w, half, first_unit, 0, 8 / groups * g, 8 / groups};
            dots(t, units, n, c, begin, x, s);
            UNROLL for (int u = 0; u < units; u++)
            {
                const uint8_t *tail = w + 2 * half + LINE * g + 8 * (first_unit + u);
                float32x4_t d = t == QUANT_MXFP4 ? bf16_unit(tail) : f16_unit(tail);
                UNROLL for (int i = 0; i < n; i++) f[u][i] =
                    vfmaq_f32(f[u][i], vmulq_n_f32(d, a[i]->d), vcvtq_f32_s32(c[u][i]));
            }
        }
        if (!has_min32(t))
            continue;
        UNROLL for (int u = 0; u < units; u++)
        {
            float32x4_t m = f16_unit(w + 2 * half + LINE + 8 * (first_unit + u));
            UNROLL for (int i = 0; i < n; i++) f[u][i] =
                vfmaq_f32(f[u][i], vmulq_n_f32(m, a[i]->d), vdupq_n_f32((float)-a[i]->neg));
        }
    }
    finish(f, units, n, rows, col + 4 * first_unit, add);
}

/* --- blocks of 256 --------------------------------------------------------------------------- */

INLINE int code_lines(enum quant_type t)
{
    return t == QUANT_Q2_K ? 16 : t == QUANT_Q5_K ? 40 : t == QUANT_Q6_K ? 48 : 32;
}

INLINE int scale_lines(enum quant_type t)
{
    return t == QUANT_Q2_K ? 8 : t == QUANT_IQ4_XS ? 2 : t == QUANT_Q4_K || t == QUANT_Q5_K ? 3 : 4;
}

INLINE bool has_min256(enum quant_type t)
{
    return t == QUANT_Q2_K || t == QUANT_Q4_K || t == QUANT_Q5_K;
}

INLINE int group_elems(enum quant_type t)
{
    return t == QUANT_Q4_K || t == QUANT_Q5_K || t == QUANT_IQ4_XS ? 32 : 16;
}

/* The scales (or minimums) of groups 4j .. 4j + 3 as the bytes of each lane. */
INLINE uint8x16_t scale_bytes(enum quant_type t, const uint8_t *p, int j, bool mins)
{
    const uint8_t *s = p + LINE * code_lines(t);
    if (t != QUANT_Q4_K && t != QUANT_Q5_K)
        return vld1q_u8(s + LINE * (mins ? 4 + j : j));
    uint8x16_t own = vld1q_u8(mins ? s + LINE : s);
    if (j == 0)
        return vandq_u8(own, vdupq_n_u8(63));
    uint8x16_t low = vld1q_u8(s + LINE * 2), high = vandq_u8(vshrq_n_u8(own, 2), vdupq_n_u8(48));
    return vorrq_u8(mins ? high_nibbles(low) : low_nibbles(low), high);
}

/* Byte k % 4 of each lane as a signed number. */
INLINE int32x4_t scale_lanes(enum quant_type t, const uint8_t *p, int k, bool mins)
{
    int32x4_t v = vreinterpretq_s32_u8(scale_bytes(t, p, k / 4, mins));
    return vshrq_n_s32(vshlq_s32(v, vdupq_n_s32(24 - 8 * (k % 4))), 24);
}

/* s += scale * (codes . activations), m -= minimum * minus their sum, for group g of 32 elements. */
INLINE void group256(enum quant_type t, int units, int n, int32x4_t s[UNITS][TILE_ROWS],
                     int32x4_t m[UNITS][TILE_ROWS], const uint8_t *w, int half, int first_unit,
                     const struct kern_act256 *const *a, int g)
{
    const int parts = 32 / group_elems(t), shift = zero_shift(t);
    const int8_t *x[TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++) x[i] = a[i]->q + 32 * g;
    UNROLL for (int part = 0; part < parts; part++)
    {
        int32x4_t c[UNITS][TILE_ROWS];
        int32_t begin[TILE_ROWS] = {0};
        int k = parts * g + part;
        UNROLL for (int i = 0; i < n && shift >= 0; i++) begin[i] = a[i]->neg16[k] * (1 << (shift & 31));
        struct quads quads = {w, half, first_unit, g, 8 / parts * part, 8 / parts};
        dots(t, units, n, c, begin, x, quads);
        UNROLL for (int u = 0; u < units; u++)
        {
            const uint8_t *p = unit_at(w, first_unit + u, half);
            int32x4_t scale = scale_lanes(t, p, k, false);
            UNROLL for (int i = 0; i < n; i++) s[u][i] = vmlaq_s32(s[u][i], c[u][i], scale);
            if (!has_min256(t))
                continue;
            int32x4_t min = scale_lanes(t, p, k, true);
            UNROLL for (int i = 0; i < n; i++) m[u][i] =
                vmlsq_s32(m[u][i], min, vdupq_n_s32(parts == 1 ? a[i]->neg32[k] : a[i]->neg16[k]));
        }
    }
}

INLINE void tile256(enum quant_type t, int units, int n, const uint8_t *w, int n_blocks,
                    const struct kern_row *rows, int col, int first_unit, bool add)
{
    const int half = LINE * (code_lines(t) + scale_lines(t)), tail = 2 * half;
    const int bytes = tail + LINE * (has_min256(t) ? 2 : 1);
    float32x4_t f[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) f[u][i] = vdupq_n_f32(0);
    for (int k = 0; k < n_blocks; k++, w += bytes) {
        const struct kern_act256 *a[TILE_ROWS];
        int32x4_t s[UNITS][TILE_ROWS], m[UNITS][TILE_ROWS];
        UNROLL for (int i = 0; i < n; i++)
        {
            a[i] = (const struct kern_act256 *)rows[i].act + k;
            UNROLL for (int u = 0; u < units; u++) s[u][i] = m[u][i] = vdupq_n_s32(0);
        }
        for (int pair = 0; pair < 8; pair += 2) {
            if (units == UNITS)
                fetch(w + pair / 2 * (bytes / 4), bytes / 4);
            UNROLL for (int odd = 0; odd < 2; odd++)
                group256(t, units, n, s, m, w, half, first_unit, a, pair + odd);
        }
        UNROLL for (int u = 0; u < units; u++)
        {
            const uint8_t *p = w + tail + 8 * (first_unit + u);
            float32x4_t d = f16_unit(p);
            UNROLL for (int i = 0; i < n; i++)
            {
                f[u][i] = vfmaq_f32(f[u][i], vmulq_n_f32(d, a[i]->d), vcvtq_f32_s32(s[u][i]));
                if (has_min256(t))
                    f[u][i] =
                        vfmsq_f32(f[u][i], vmulq_n_f32(f16_unit(p + LINE), a[i]->d), vcvtq_f32_s32(m[u][i]));
            }
        }
    }
    finish(f, units, n, rows, col + 4 * first_unit, add);
}

/* --- floats ---------------------------------------------------------------------------------- */

INLINE float32x4_t float_unit(enum quant_type t, const uint8_t *w, int u)
{
    if (t == QUANT_F32)
        return vld1q_f32((const float *)w + 4 * u);
    return t == QUANT_F16 ? f16_unit(w + 8 * u) : bf16_unit(w + 8 * u);
}

INLINE void tile_float(enum quant_type t, int units, int n, const uint8_t *w, int n_blocks,
                       const struct kern_row *rows, int col, int first_unit, bool add)
{
    const int bytes = t == QUANT_F32 ? 128 : 64;
    const float *x[TILE_ROWS];
    float32x4_t f[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        UNROLL for (int u = 0; u < units; u++) f[u][i] = vdupq_n_f32(0);
    }
    for (int k = 0; k < n_blocks; k++, w += bytes) {
        if (units == UNITS)
            fetch(w, bytes);
        UNROLL for (int u = 0; u < units; u++)
        {
            float32x4_t v = float_unit(t, w, first_unit + u);
            UNROLL for (int i = 0; i < n; i++) f[u][i] = vfmaq_n_f32(f[u][i], v, x[i][k]);
        }
    }
    finish(f, units, n, rows, col + 4 * first_unit, add);
}

/* --- the table ------------------------------------------------------------------------------- */

#define N_TILES 3
#include "kernel/matmul_tiles.h"

#define TILES(KIND, TYPE)                                                                                    \
    TILE(KIND, TYPE, 8, 1)                                                                                   \
    TILE(KIND, TYPE, 4, 2)                                                                                   \
    TILE(KIND, TYPE, 2, 4)                                                                                   \
    STRIP(TYPE, {8, 1, TYPE##_1}, {4, 2, TYPE##_2}, {2, 4, TYPE##_4})

#define STRIP32(TYPE)     TILES(tile32, TYPE)
#define STRIP256(TYPE)    TILES(tile256, TYPE)
#define STRIP_FLOAT(TYPE) TILES(tile_float, TYPE)

TYPES32(STRIP32)
TYPES256(STRIP256)
TYPES_FLOAT(STRIP_FLOAT)

FILL_STRIPS(STRIPS)
