/* matmul_avx2_impl.h - Matrix products with registers of 32 bytes, from the same packed strips as AVX-512.
 *
 * Included by matmul_avx2.c and matmul_avxvnni.c, which define STRIPS, the name of what fills the table.
 *
 * A unit is 8 outputs: one register, half a line of codes.  A strip has four.  A tile is some units
 * times some activation rows: four units for one row, so that memory is read in order, fewer
 * units for more rows, whose sums then fill the registers.
 *
 * With AVX-VNNI the byte dot product (vpdpbusd) sums a quad into 32 bits; codes are unsigned as stored, as
 * with AVX-512, and the zero point is paid at the end of a block.
 *
 * AVX2 has no such instruction: vpmaddubsw adds two products into 16 bits, where as many quads are
 * summed as cannot overflow (codes up to 15: eight, up to 31: four, up to 63: two), and vpmaddwd
 * brings them to 32 bits.  Codes of a full byte would saturate even once: there the weight's sign is moved to
 * the activation (vpsignb).  With groups of K the vpmaddwd multiplies by the group's scale at the
 * same time, and the zero point is subtracted at the end as zero * sum of scale_g * sum_g.
 *
 * Start reading at tile32(). */
#ifndef KERNEL_MATMUL_AVX2_IMPL_H
#define KERNEL_MATMUL_AVX2_IMPL_H

#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/kern_int.h"
#include "kernel/quant_int.h"

/* See matmul_avx512.c. */
#define NO_SANITIZE no_sanitize("address", "undefined", "thread")
#define INLINE      static inline __attribute__((always_inline, NO_SANITIZE))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

enum { LINE = 64, TILE_ROWS = 6, UNITS = 4, AHEAD = 8192 };

/* Keeps the compiler from regrouping and spreading sums, which needs more registers than there are
 * (a third of a tile's instructions were spills: 90 instead of 138 GMAC/s a core). */
#define IN_ORDER(v) __asm__("" : "+x"(v))

#if defined(__AVXVNNI__)
enum { HAS_BYTE_DOT = 1 };
#else
enum { HAS_BYTE_DOT = 0 };
#endif

/* sum += the four products of every lane; codes are unsigned.  Without the instruction two products must fit
 * into 16 bits. */
INLINE __m256i add_dot(__m256i sum, __m256i codes, __m256i act)
{
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sum, codes, act);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, act), _mm256_set1_epi16(1)));
#endif
}

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_load_si256((const __m256i *)p);
}

INLINE __m256i broadcast32(const void *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

INLINE __m256 f16_unit(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)p));
}

INLINE __m256 bf16_unit(const uint8_t *p)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)p)), 16));
}

INLINE __m256i low_nibbles(__m256i v)
{
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

INLINE __m256i high_nibbles(__m256i v)
{
    return low_nibbles(_mm256_srli_epi16(v, 4));
}

INLINE __m256i with_bits(__m256i nib, __m256i v, int from, int mask)
{
    v = from < 4 ? _mm256_slli_epi16(v, 4 - from) : _mm256_srli_epi16(v, from - 4);
    return _mm256_or_si256(nib, _mm256_and_si256(v, _mm256_set1_epi8((char)(mask << 4))));
}

INLINE __m256i lookup(const int8_t *table, int zero, __m256i indices)
{
    __m128i t = _mm_add_epi8(_mm_loadu_si128((const __m128i *)table), _mm_set1_epi8((char)zero));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), indices);
}

/* Does the code fill a byte?  Such codes are taken as signed where their products would not fit unsigned. */
INLINE bool is_full_byte(enum quant_type t)
{
    return t == QUANT_Q8_0 || t == QUANT_IQ4_NL || t == QUANT_IQ4_XS;
}

INLINE bool is_signed(enum quant_type t)
{
    return is_full_byte(t) && !HAS_BYTE_DOT;
}

/* Quads whose products fit into 16 bits together. */
INLINE int quads16(enum quant_type t)
{
    switch (t) {
    case QUANT_Q8_0:
    case QUANT_IQ4_NL:
    case QUANT_IQ4_XS: return 1;
    case QUANT_Q6_K: return 2;
    case QUANT_Q5_0:
    case QUANT_Q5_1:
    case QUANT_Q5_K:
    case QUANT_MXFP4:
    case QUANT_NVFP4: return 4;
    default: return 8;
    }
}

/* Four products of every lane, as two 16-bit sums. */
INLINE __m256i dot16(enum quant_type t, __m256i codes, __m256i act)
{
    if (is_signed(t))
        return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(act, codes));
    return _mm256_maddubs_epi16(codes, act);
}

/* Where unit u's part of a half's lines begins. */
INLINE const uint8_t *unit_at(const uint8_t *strip, int u, int half)
{
    return strip + u / 2 * half + u % 2 * 32;
}

INLINE void finish(__m256 f[UNITS][TILE_ROWS], int units, int n, const struct kern_row *rows, int col,
                   bool add)
{
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++)
    {
        float *y = rows[i].y + col + 8 * u;
        _mm256_storeu_ps(y, add ? _mm256_add_ps(_mm256_loadu_ps(y), f[u][i]) : f[u][i]);
    }
}

/* --- blocks of 32 ---------------------------------------------------------------------------- */

INLINE int half32(enum quant_type t)
{
    return t == QUANT_Q8_0 ? 512 : t == QUANT_Q5_0 || t == QUANT_Q5_1 ? 320 : 256;
}

/* log2 of the zero point; -1: none, or codes are signed. */
INLINE int zero_shift32(enum quant_type t)
{
    if (is_full_byte(t))
        return is_signed(t) ? -1 : 7;
    return t == QUANT_Q4_0 ? 3 : t == QUANT_Q5_0 || t == QUANT_MXFP4 || t == QUANT_NVFP4 ? 4 : -1;
}

INLINE bool has_min32(enum quant_type t)
{
    return t == QUANT_Q4_1 || t == QUANT_Q5_1;
}

INLINE __m256i codes32(enum quant_type t, const uint8_t *p, int q)
{
    if (t == QUANT_Q8_0 && is_signed(t))
        return _mm256_xor_si256(load(p + LINE * q), _mm256_set1_epi8((char)128));
    if (t == QUANT_Q8_0)
        return load(p + LINE * q);
    __m256i nib = q < 4 ? low_nibbles(load(p + LINE * q)) : high_nibbles(load(p + LINE * (q - 4)));
    if (t == QUANT_Q5_0 || t == QUANT_Q5_1)
        return with_bits(nib, load(p + LINE * 4), q, 1);
    if (t == QUANT_IQ4_NL)
        return lookup(quant_iq4_table, is_signed(t) ? 0 : 128, nib);
    if (t == QUANT_MXFP4 || t == QUANT_NVFP4)
        return lookup(quant_fp4_table, 16, nib);
    return nib;
}

/* Quad q's share of fetching `lines` lines from p on: spread, because in bunches the requests hold up the
 * arithmetic that should run meanwhile. */
INLINE void fetch_share(const uint8_t *p, int lines, int q)
{
    UNROLL for (int i = q * lines / 8; i < (q + 1) * lines / 8; i++)
        _mm_prefetch((const char *)p + LINE * i, _MM_HINT_T0);
}

/* c = the products of quads [from, from + count), by byte dot products. */
INLINE void dot_quads32(enum quant_type t, int units, int n, __m256i c[UNITS][TILE_ROWS], const uint8_t *w,
                        int first_unit, const uint8_t *const *x, size_t at, int from, int count, size_t ahead,
                        int bytes)
{
    const int half = half32(t);
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) c[u][i] =
        _mm256_setzero_si256();
    UNROLL for (int q = from; q < from + count; q++)
    {
        __m256i codes[UNITS];
        if (ahead)
            fetch_share(w + ahead, bytes / LINE, q);
        UNROLL for (int u = 0; u < units; u++) codes[u] = codes32(t, unit_at(w, first_unit + u, half), q);
        UNROLL for (int i = 0; i < n; i++)
        {
            __m256i v = broadcast32(x[i] + at + 4 * q);
            UNROLL for (int u = 0; u < units; u++)
            {
                c[u][i] = add_dot(c[u][i], codes[u], v);
                IN_ORDER(c[u][i]);
            }
        }
    }
}

/* c = the products of quads [from, from + count); meanwhile fetches what lies `ahead` (0: nothing) of the
 * block of `bytes`. */
INLINE void quads32(enum quant_type t, int units, int n, __m256i c[UNITS][TILE_ROWS], const uint8_t *w,
                    int first_unit, const uint8_t *const *x, size_t at, int from, int count, size_t ahead,
                    int bytes)
{
    const int half = half32(t), step = quads16(t) < count ? quads16(t) : count;
    if (HAS_BYTE_DOT) {
        dot_quads32(t, units, n, c, w, first_unit, x, at, from, count, ahead, bytes);
        return;
    }
    UNROLL for (int q0 = from; q0 < from + count; q0 += step)
    {
        __m256i c16[UNITS][TILE_ROWS];
        UNROLL for (int q = q0; q < q0 + step; q++)
        {
            __m256i codes[UNITS];
            if (ahead)
                fetch_share(w + ahead, bytes / LINE, q);
            UNROLL for (int u = 0; u < units; u++) codes[u] = codes32(t, unit_at(w, first_unit + u, half), q);
            UNROLL for (int i = 0; i < n; i++)
            {
                __m256i v = broadcast32(x[i] + at + 4 * q);
                UNROLL for (int u = 0; u < units; u++)
                {
                    __m256i p = dot16(t, codes[u], v);
                    c16[u][i] = q == q0 ? p : _mm256_add_epi16(c16[u][i], p);
                    IN_ORDER(c16[u][i]);
                }
            }
        }
        UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++)
        {
            __m256i sum = _mm256_madd_epi16(c16[u][i], _mm256_set1_epi16(1));
            c[u][i] = q0 == from ? sum : _mm256_add_epi32(c[u][i], sum);
            IN_ORDER(c[u][i]);
        }
    }
}

INLINE void tile32(enum quant_type t, int units, int n, const uint8_t *w, int n_blocks,
                   const struct kern_row *rows, int col, int first_unit, bool add)
{
    const int half = half32(t), groups = t == QUANT_NVFP4 ? 2 : 1, shift = zero_shift32(t);
    const int bytes = 2 * half + LINE * (groups == 2 || has_min32(t) ? 2 : 1);
    const size_t ahead = first_unit == 0 ? AHEAD : 0; /* the other units find the strip in the cache */
    const uint8_t *x[TILE_ROWS];
    __m256 f[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        UNROLL for (int u = 0; u < units; u++) f[u][i] = _mm256_setzero_ps();
    }
    size_t end = (size_t)n_blocks * sizeof(struct kern_act32);
    for (size_t at = 0; at < end; at += sizeof(struct kern_act32), w += bytes) {
        UNROLL for (int g = 0; g < groups; g++)
        {
            __m256i c[UNITS][TILE_ROWS];
            quads32(t, units, n, c, w, first_unit, x, at, 8 / groups * g, 8 / groups, ahead, bytes);
            UNROLL for (int i = 0; i < n && shift >= 0; i++)
            {
                const struct kern_act32 *a = (const struct kern_act32 *)(x[i] + at);
                __m256i zero =
                    _mm256_slli_epi32(broadcast32(groups == 2 ? &a->neg16[g] : &a->neg), shift & 31);
                UNROLL for (int u = 0; u < units; u++) c[u][i] = _mm256_add_epi32(c[u][i], zero);
            }
            UNROLL for (int u = 0; u < units; u++)
            {
                const uint8_t *tail = w + 2 * half + LINE * g + 16 * (first_unit + u);
                __m256 s = t == QUANT_MXFP4 ? bf16_unit(tail) : f16_unit(tail);
                UNROLL for (int i = 0; i < n; i++)
                {
                    __m256 d =
                        _mm256_broadcast_ss((const float *)(x[i] + at + offsetof(struct kern_act32, d)));
                    f[u][i] = _mm256_fmadd_ps(_mm256_mul_ps(s, d), _mm256_cvtepi32_ps(c[u][i]), f[u][i]);
                }
            }
        }
        if (!has_min32(t))
            continue;
        UNROLL for (int u = 0; u < units; u++)
        {
            __m256 m = f16_unit(w + 2 * half + LINE + 16 * (first_unit + u));
            UNROLL for (int i = 0; i < n; i++)
            {
                const struct kern_act32 *a = (const struct kern_act32 *)(x[i] + at);
                f[u][i] = _mm256_fmadd_ps(_mm256_mul_ps(m, _mm256_set1_ps(a->d)),
                                          _mm256_set1_ps((float)-a->neg), f[u][i]);
            }
        }
    }
    finish(f, units, n, rows, col + 8 * first_unit, add);
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

INLINE int zero_shift256(enum quant_type t)
{
    if (is_full_byte(t))
        return is_signed(t) ? -1 : 7;
    return t == QUANT_Q3_K ? 2 : t == QUANT_Q6_K ? 5 : -1;
}

/* Codes of quad q (0..7) of the 32 elements pair + odd (pair is even); p: a unit's lines. */
INLINE __m256i codes256(enum quant_type t, const uint8_t *p, int pair, int odd, int q)
{
    int g = pair + odd;
    if (t == QUANT_Q2_K) {
        __m256i v = load(p + LINE * (2 * g + q / 4));
        return _mm256_and_si256(_mm256_srli_epi16(v, 2 * (q % 4)), _mm256_set1_epi8(3));
    }
    __m256i line = load(p + LINE * (4 * pair + q)), nib = odd ? high_nibbles(line) : low_nibbles(line);
    if (t == QUANT_Q5_K)
        return with_bits(nib, load(p + LINE * (32 + g)), q, 1);
    if (t == QUANT_Q6_K)
        return with_bits(nib, load(p + LINE * (32 + 2 * g + q / 4)), 2 * (q % 4), 3);
    if (t == QUANT_IQ4_XS)
        return lookup(quant_iq4_table, is_signed(t) ? 0 : 128, nib);
    return nib;
}

/* The scales of groups 4j .. 4j + 3 as the bytes of each lane. */
INLINE __m256i scale_bytes(enum quant_type t, const uint8_t *p, int j)
{
    const uint8_t *s = p + LINE * code_lines(t);
    if (t != QUANT_Q4_K && t != QUANT_Q5_K)
        return load(s + LINE * j);
    if (j == 0)
        return _mm256_and_si256(load(s), _mm256_set1_epi8(63));
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(load(s), 2), _mm256_set1_epi8(48));
    return _mm256_or_si256(low_nibbles(load(s + LINE * 2)), high);
}

INLINE __m256i min_bytes(enum quant_type t, const uint8_t *p, int j)
{
    const uint8_t *s = p + LINE * code_lines(t);
    if (t == QUANT_Q2_K)
        return load(s + LINE * (4 + j));
    if (j == 0)
        return _mm256_and_si256(load(s + LINE), _mm256_set1_epi8(63));
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(load(s + LINE), 2), _mm256_set1_epi8(48));
    return _mm256_or_si256(high_nibbles(load(s + LINE * 2)), high);
}

/* The scale of group k twice in each lane, as 16-bit numbers. */
INLINE __m256i scale_words(enum quant_type t, const uint8_t *p, int k)
{
    const char b = (char)(k % 4);
    __m256i lanes = _mm256_setr_epi8(-1, 0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1, 0, -1, 0,
                                     -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12);
    __m256i odd_bytes = _mm256_set1_epi16((short)(b << 8)); /* the filler -1 stays negative: zero */
    return _mm256_srai_epi16(_mm256_shuffle_epi8(scale_bytes(t, p, k / 4), _mm256_add_epi8(lanes, odd_bytes)),
                             8);
}

/* The scale of group k in each lane. */
INLINE __m256i scale_dwords(enum quant_type t, const uint8_t *p, int k)
{
    const int b = k % 4; /* a scale of six bits is not negative */
    return _mm256_srai_epi32(_mm256_slli_epi32(scale_bytes(t, p, k / 4), 24 - 8 * b), 24);
}

/* As group256, by byte dot products. */
INLINE void dot_group256(enum quant_type t, int units, int n, __m256i s[UNITS][TILE_ROWS], const uint8_t *w,
                         int half, int first_unit, const uint8_t *const *x, size_t at, int pair, int odd,
                         int k, const uint8_t *ahead, int lines)
{
    const int per_scale = group_elems(t) / 4;
    int group = (pair + odd) * (8 / per_scale) + k / per_scale;
    __m256i c[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) c[u][i] =
        _mm256_setzero_si256();
    UNROLL for (int q = k; q < k + per_scale; q++)
    {
        __m256i codes[UNITS];
        if (ahead)
            fetch_share(ahead, lines, q);
        UNROLL for (int u = 0; u < units; u++) codes[u] =
            codes256(t, unit_at(w, first_unit + u, half), pair, odd, q);
        UNROLL for (int i = 0; i < n; i++)
        {
            __m256i v = broadcast32(x[i] + at + offsetof(struct kern_act256, q) + 32 * (pair + odd) + 4 * q);
            UNROLL for (int u = 0; u < units; u++)
            {
                c[u][i] = add_dot(c[u][i], codes[u], v);
                IN_ORDER(c[u][i]);
            }
        }
    }
    UNROLL for (int u = 0; u < units; u++)
    {
        __m256i scale = scale_dwords(t, unit_at(w, first_unit + u, half), group);
        UNROLL for (int i = 0; i < n; i++)
        {
            s[u][i] = _mm256_add_epi32(s[u][i], _mm256_mullo_epi32(c[u][i], scale));
            IN_ORDER(s[u][i]);
        }
    }
}

/* s += scale * codes . activations for the quads k .. k + per_scale of group pair + odd. */
INLINE void group256(enum quant_type t, int units, int n, __m256i s[UNITS][TILE_ROWS], const uint8_t *w,
                     int half, int first_unit, const uint8_t *const *x, size_t at, int pair, int odd, int k,
                     const uint8_t *ahead, int lines)
{
    const int per_scale = group_elems(t) / 4, step = quads16(t) < per_scale ? quads16(t) : per_scale;
    if (HAS_BYTE_DOT) {
        dot_group256(t, units, n, s, w, half, first_unit, x, at, pair, odd, k, ahead, lines);
        return;
    }
    __m256i scale[UNITS];
    int group = (pair + odd) * (8 / per_scale) + k / per_scale;
    UNROLL for (int u = 0; u < units; u++) scale[u] = scale_words(t, unit_at(w, first_unit + u, half), group);
    UNROLL for (int q0 = k; q0 < k + per_scale; q0 += step)
    {
        __m256i c16[UNITS][TILE_ROWS];
        UNROLL for (int q = q0; q < q0 + step; q++)
        {
            __m256i codes[UNITS];
            if (ahead)
                fetch_share(ahead, lines, q);
            UNROLL for (int u = 0; u < units; u++) codes[u] =
                codes256(t, unit_at(w, first_unit + u, half), pair, odd, q);
            UNROLL for (int i = 0; i < n; i++)
            {
                __m256i v =
                    broadcast32(x[i] + at + offsetof(struct kern_act256, q) + 32 * (pair + odd) + 4 * q);
                UNROLL for (int u = 0; u < units; u++)
                {
                    __m256i p = dot16(t, codes[u], v);
                    c16[u][i] = q == q0 ? p : _mm256_add_epi16(c16[u][i], p);
                    IN_ORDER(c16[u][i]);
                }
            }
        }
        UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++)
        {
            s[u][i] = _mm256_add_epi32(s[u][i], _mm256_madd_epi16(c16[u][i], scale[u]));
            IN_ORDER(s[u][i]);
        }
    }
}

/* Sum over groups of bytes_g * sums_g for lines [0, lines) of four groups each; bytes signed or not. */
INLINE void weigh_sums(enum quant_type t, int units, int n, __m256i s[UNITS][TILE_ROWS], const uint8_t *w,
                       int half, int first_unit, const uint8_t *const *x, size_t at, bool mins)
{
    const int lines = group_elems(t) == 16 ? 4 : 2;
    const size_t sums =
        group_elems(t) == 16 ? offsetof(struct kern_act256, pair16) : offsetof(struct kern_act256, pair32);
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) s[u][i] =
        _mm256_setzero_si256();
    UNROLL for (int j = 0; j < lines; j++) UNROLL for (int odd = 0; odd < 2; odd++)
    {
        UNROLL for (int u = 0; u < units; u++)
        {
            const uint8_t *p = unit_at(w, first_unit + u, half);
            __m256i b = mins ? min_bytes(t, p, j) : scale_bytes(t, p, j);
            b = _mm256_srai_epi16(odd ? b : _mm256_slli_epi16(b, 8), 8); /* minimums are below 64: no sign */
            UNROLL for (int i = 0; i < n; i++) s[u][i] = _mm256_add_epi32(
                s[u][i], _mm256_madd_epi16(b, broadcast32(x[i] + at + sums + 8 * j + 4 * odd)));
        }
    }
}

INLINE void tile256(enum quant_type t, int units, int n, const uint8_t *w, int n_blocks,
                    const struct kern_row *rows, int col, int first_unit, bool add)
{
    const int half = LINE * (code_lines(t) + scale_lines(t)), tail = 2 * half, shift = zero_shift256(t);
    const int bytes = tail + LINE * (has_min256(t) ? 2 : 1), per_scale = group_elems(t) / 4;
    const uint8_t *x[TILE_ROWS];
    __m256 f[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        UNROLL for (int u = 0; u < units; u++) f[u][i] = _mm256_setzero_ps();
    }
    size_t end = (size_t)n_blocks * sizeof(struct kern_act256);
    for (size_t at = 0; at < end; at += sizeof(struct kern_act256), w += bytes) {
        __m256i s[UNITS][TILE_ROWS], t2[UNITS][TILE_ROWS];
        UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) s[u][i] =
            _mm256_setzero_si256();
        for (int pair = 0; pair < 8; pair += 2) {
            UNROLL for (int odd = 0; odd < 2; odd++)
            {
                const uint8_t *ahead = first_unit == 0 ? w + AHEAD + (pair + odd) * (bytes / 8) : NULL;
                UNROLL for (int k = 0; k < 8; k += per_scale)
                    group256(t, units, n, s, w, half, first_unit, x, at, pair, odd, k, ahead,
                             (bytes / 8 + LINE - 1) / LINE);
            }
        }
        if (shift >= 0) {
            weigh_sums(t, units, n, t2, w, half, first_unit, x, at, false);
            UNROLL for (int i = 0; i < n; i++) UNROLL for (int u = 0; u < units; u++) s[u][i] =
                _mm256_sub_epi32(s[u][i], _mm256_slli_epi32(t2[u][i], shift & 31));
        }
        if (has_min256(t))
            weigh_sums(t, units, n, t2, w, half, first_unit, x, at, true);
        UNROLL for (int u = 0; u < units; u++)
        {
            const uint8_t *p = w + tail + 16 * (first_unit + u);
            __m256 d = f16_unit(p);
            UNROLL for (int i = 0; i < n; i++)
            {
                __m256 a = _mm256_broadcast_ss((const float *)(x[i] + at));
                f[u][i] = _mm256_fmadd_ps(_mm256_mul_ps(d, a), _mm256_cvtepi32_ps(s[u][i]), f[u][i]);
                if (has_min256(t))
                    f[u][i] = _mm256_fnmadd_ps(_mm256_mul_ps(f16_unit(p + LINE), a),
                                               _mm256_cvtepi32_ps(t2[u][i]), f[u][i]);
            }
        }
    }
    finish(f, units, n, rows, col + 8 * first_unit, add);
}

/* --- floats ---------------------------------------------------------------------------------- */

INLINE __m256 float_unit(enum quant_type t, const uint8_t *w, int u)
{
    if (t == QUANT_F32)
        return _mm256_load_ps((const float *)w + 8 * u);
    return t == QUANT_F16 ? f16_unit(w + 16 * u) : bf16_unit(w + 16 * u);
}

INLINE void tile_float(enum quant_type t, int units, int n, const uint8_t *w, int n_blocks,
                       const struct kern_row *rows, int col, int first_unit, bool add)
{
    const int bytes = t == QUANT_F32 ? 128 : 64;
    const uint8_t *x[TILE_ROWS];
    __m256 f[UNITS][TILE_ROWS];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        UNROLL for (int u = 0; u < units; u++) f[u][i] = _mm256_setzero_ps();
    }
    for (size_t at = 0, end = (size_t)n_blocks * 4; at < end; at += 4, w += bytes) {
        if (first_unit == 0)
            UNROLL for (int p = 0; p < bytes; p += LINE)
                _mm_prefetch((const char *)w + p + AHEAD, _MM_HINT_T0);
        UNROLL for (int u = 0; u < units; u++)
        {
            __m256 v = float_unit(t, w, first_unit + u);
            UNROLL for (int i = 0; i < n; i++) f[u][i] =
                _mm256_fmadd_ps(v, _mm256_broadcast_ss((const float *)(x[i] + at)), f[u][i]);
        }
    }
    finish(f, units, n, rows, col + 8 * first_unit, add);
}

/* --- the table ------------------------------------------------------------------------------- */

#define N_TILES 4
#include "kernel/matmul_tiles.h"

#define TILES(KIND, TYPE, U6)                                                                                \
    TILE(KIND, TYPE, 4, 1)                                                                                   \
    TILE(KIND, TYPE, 2, 2)                                                                                   \
    TILE(KIND, TYPE, 2, 3)                                                                                   \
    TILE(KIND, TYPE, U6, 6)                                                                                  \
    STRIP(TYPE, {4, 1, TYPE##_1}, {2, 2, TYPE##_2}, {2, 3, TYPE##_3}, {U6, 6, TYPE##_6})

#define STRIP32(TYPE)     TILES(tile32, TYPE, 1)
#define STRIP256(TYPE)    TILES(tile256, TYPE, 1)
#define STRIP_FLOAT(TYPE) TILES(tile_float, TYPE, 2)

TYPES32(STRIP32)
TYPES256(STRIP256)
TYPES_FLOAT(STRIP_FLOAT)

FILL_STRIPS(STRIPS)

#endif
