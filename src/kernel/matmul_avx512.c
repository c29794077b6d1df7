/* matmul_avx512.c - Matrix products with AVX-512 and VNNI, straight from the packed strips.
 *
 * A tile is 32 outputs (two halves of 16, a lane each) times up to six activation rows.  For each
 * quad of K the codes of both halves are unpacked into two registers and multiplied with four
 * activation bytes of every row, which one broadcast load brings (vpdpbusd: four products per
 * lane, exact in int32).  With six rows that is 12 int32 and 12 f32 accumulators, 2 code
 * registers and a broadcast: all 32 registers hold, and neither memory nor the loads limit.
 *
 * The zero point costs nothing per element: the int32 accumulators start at
 * -(zero * sum of the activations).
 *
 * The dot product is inline assembly because gcc 12 spills half of the accumulators of a tile
 * written with the intrinsic (175 instead of 475 GMAC/s).
 *
 * Start reading at tile32(). */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/kern_int.h"
#include "kernel/quant_int.h"

/* Not instrumented by the sanitizers: these functions unroll into thousands of loads, whose checks take
 * minutes to compile; the agreement test runs them on buffers of exact size instead. */
#define NO_SANITIZE no_sanitize("address", "undefined", "thread")
#define INLINE      static inline __attribute__((always_inline, NO_SANITIZE))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

enum { LINE = 64, TILE_ROWS = 6, AHEAD = 10240 };

/* What a tile fetches while it computes: the first one of a strip what it will need itself, AHEAD bytes
 * on; the last one of several the next strip, so that memory does not rest while rows share one.
 * The requests are spread over the quads: in bunches they fill the core's queue of outstanding lines, and
 * behind them waits the arithmetic that should run meanwhile. */
enum { FETCH_NOTHING, FETCH_OWN, FETCH_NEXT };

#define DOT_BYTES(acc, codes, act) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(act))
#define DOT_WORDS(acc, a, b)       __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))

/* What was loaded before must be loaded again: keeps the compiler from holding lines in registers. */
#define FORGET_MEMORY() __asm__ volatile("" ::: "memory")

INLINE __m512i line_at(const uint8_t *p, int line)
{
    return _mm512_load_si512(p + LINE * line);
}

/* Quad q's share of fetching `lines` lines from p on. */
INLINE void fetch_share(const uint8_t *p, int lines, int q)
{
    UNROLL for (int i = q * lines / 8; i < (q + 1) * lines / 8; i++)
        _mm_prefetch((const char *)p + LINE * i, _MM_HINT_T0);
}

INLINE __m512i broadcast32(const void *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

INLINE __m512 broadcast_f32(const void *p)
{
    float v;
    memcpy(&v, p, 4);
    return _mm512_set1_ps(v);
}

INLINE __m512 f16_line(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)p));
}

INLINE __m512 bf16_line(const uint8_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)p)), 16));
}

INLINE __m512i low_nibbles(__m512i v)
{
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

INLINE __m512i high_nibbles(__m512i v)
{
    return low_nibbles(_mm512_srli_epi16(v, 4));
}

/* nib | (bits of v at `from` .. moved to bit 4, `mask` wide) */
INLINE __m512i with_bits(__m512i nib, __m512i v, int from, int mask)
{
    v = from < 4 ? _mm512_slli_epi16(v, 4 - from) : _mm512_srli_epi16(v, from - 4);
    return _mm512_ternarylogic_epi32(nib, v, _mm512_set1_epi8((char)(mask << 4)), 0xf8); /* a | (b & c) */
}

INLINE __m512i lookup(const int8_t *table, int zero, __m512i indices)
{
    __m128i t = _mm_add_epi8(_mm_loadu_si128((const __m128i *)table), _mm_set1_epi8((char)zero));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), indices);
}

/* --- blocks of 32 ---------------------------------------------------------------------------- */

/* Bytes of a half's codes. */
INLINE int half32(enum quant_type t)
{
    return t == QUANT_Q8_0 ? 512 : t == QUANT_Q5_0 || t == QUANT_Q5_1 ? 320 : 256;
}

INLINE int zero_shift(enum quant_type t)
{
    switch (t) {
    case QUANT_Q4_0: return 3;
    case QUANT_Q5_0: return 4;
    case QUANT_MXFP4:
    case QUANT_NVFP4: return 4;
    default: return 7; /* Q8_0, IQ4_NL */
    }
}

INLINE bool has_min32(enum quant_type t)
{
    return t == QUANT_Q4_1 || t == QUANT_Q5_1;
}

INLINE __m512i codes32(enum quant_type t, const uint8_t *half, int q)
{
    if (t == QUANT_Q8_0)
        return line_at(half, q);
    __m512i nib = q < 4 ? low_nibbles(line_at(half, q)) : high_nibbles(line_at(half, q - 4));
    if (t == QUANT_Q5_0 || t == QUANT_Q5_1)
        return with_bits(nib, line_at(half, 4), q, 1);
    if (t == QUANT_IQ4_NL)
        return lookup(quant_iq4_table, 128, nib);
    if (t == QUANT_MXFP4 || t == QUANT_NVFP4)
        return lookup(quant_fp4_table, 16, nib);
    return nib;
}

INLINE __m512 scale32(enum quant_type t, const uint8_t *p)
{
    return t == QUANT_MXFP4 ? bf16_line(p) : f16_line(p);
}

INLINE void finish(const __m512 f[][2], const struct kern_row *rows, int n, int col, bool add)
{
    UNROLL for (int i = 0; i < n; i++) UNROLL for (int h = 0; h < 2; h++)
    {
        float *y = rows[i].y + col + 16 * h;
        _mm512_storeu_ps(y, add ? _mm512_add_ps(_mm512_loadu_ps(y), f[i][h]) : f[i][h]);
    }
}

INLINE void tile32(enum quant_type t, int n, const uint8_t *w, int n_blocks, const struct kern_row *rows,
                   int col, bool add, int ahead)
{
    const int half = half32(t), groups = t == QUANT_NVFP4 ? 2 : 1;
    const int bytes = 2 * half + LINE * (groups == 2 || has_min32(t) ? 2 : 1);
    const size_t fetch = ahead == FETCH_NEXT ? (size_t)bytes * (size_t)n_blocks : AHEAD;
    const uint8_t *x[TILE_ROWS];
    __m512 f[TILE_ROWS][2];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        f[i][0] = f[i][1] = _mm512_setzero_ps();
    }
    size_t end = (size_t)n_blocks * sizeof(struct kern_act32);
    for (size_t at = 0; at < end; at += sizeof(struct kern_act32), w += bytes) {
        UNROLL for (int g = 0; g < groups; g++)
        {
            __m512i c[TILE_ROWS][2];
            UNROLL for (int i = 0; i < n; i++)
            {
                const struct kern_act32 *a = (const struct kern_act32 *)(x[i] + at);
                if (has_min32(t))
                    c[i][0] = _mm512_setzero_si512();
                else
                    c[i][0] =
                        _mm512_slli_epi32(broadcast32(groups == 2 ? &a->neg16[g] : &a->neg), zero_shift(t));
                c[i][1] = c[i][0];
            }
            UNROLL for (int q = 8 / groups * g; q < 8 / groups * (g + 1); q++)
            {
                if (ahead)
                    fetch_share(w + fetch, bytes / LINE, q);
                __m512i w0 = codes32(t, w, q), w1 = codes32(t, w + half, q);
                UNROLL for (int i = 0; i < n; i++)
                {
                    __m512i v = broadcast32(x[i] + at + 4 * q);
                    DOT_BYTES(c[i][0], w0, v);
                    DOT_BYTES(c[i][1], w1, v);
                }
            }
            const uint8_t *tail = w + 2 * half + LINE * g;
            __m512 s0 = scale32(t, tail), s1 = scale32(t, tail + 32);
            UNROLL for (int i = 0; i < n; i++)
            {
                __m512 d = broadcast_f32(x[i] + at + offsetof(struct kern_act32, d));
                f[i][0] = _mm512_fmadd_ps(_mm512_mul_ps(s0, d), _mm512_cvtepi32_ps(c[i][0]), f[i][0]);
                f[i][1] = _mm512_fmadd_ps(_mm512_mul_ps(s1, d), _mm512_cvtepi32_ps(c[i][1]), f[i][1]);
            }
        }
        if (has_min32(t)) {
            __m512 m0 = f16_line(w + 2 * half + LINE), m1 = f16_line(w + 2 * half + LINE + 32);
            UNROLL for (int i = 0; i < n; i++)
            {
                const struct kern_act32 *a = (const struct kern_act32 *)(x[i] + at);
                __m512 d = _mm512_set1_ps(a->d), sum = _mm512_set1_ps((float)-a->neg);
                f[i][0] = _mm512_fmadd_ps(_mm512_mul_ps(m0, d), sum, f[i][0]);
                f[i][1] = _mm512_fmadd_ps(_mm512_mul_ps(m1, d), sum, f[i][1]);
            }
        }
    }
    finish(f, rows, n, col, add);
}

/* --- blocks of 256 --------------------------------------------------------------------------- */

/* A half's parts, in lines. */
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

/* Elements that share a scale. */
INLINE int group_elems(enum quant_type t)
{
    return t == QUANT_Q4_K || t == QUANT_Q5_K || t == QUANT_IQ4_XS ? 32 : 16;
}

/* log2 of the zero point; -1: none. */
INLINE int zero_shift256(enum quant_type t)
{
    return t == QUANT_Q3_K ? 2 : t == QUANT_Q6_K ? 5 : t == QUANT_IQ4_XS ? 7 : -1;
}

/* Codes of quad q (0..7) of the 32 elements pair + odd (pair is even). */
INLINE __m512i codes256(enum quant_type t, const uint8_t *half, int pair, int odd, int q)
{
    int g = pair + odd;
    if (t == QUANT_Q2_K) {
        __m512i v = line_at(half, 2 * g + q / 4);
        return _mm512_and_si512(_mm512_srli_epi16(v, 2 * (q % 4)), _mm512_set1_epi8(3));
    }
    __m512i line = line_at(half, 4 * pair + q), nib = odd ? high_nibbles(line) : low_nibbles(line);
    if (t == QUANT_Q5_K)
        return with_bits(nib, line_at(half, 32 + g), q, 1);
    if (t == QUANT_Q6_K)
        return with_bits(nib, line_at(half, 32 + 2 * g + q / 4), 2 * (q % 4), 3);
    if (t == QUANT_IQ4_XS)
        return lookup(quant_iq4_table, 128, nib);
    return nib;
}

/* Byte b of each lane, sign extended. */
INLINE __m512i signed_byte(__m512i v, int b)
{
    return _mm512_srai_epi32(_mm512_slli_epi32(v, 24 - 8 * b), 24);
}

/* The scale of group k, of 16 or of 32 elements, as int32. */
INLINE __m512i scale256(enum quant_type t, const uint8_t *half, int k)
{
    const uint8_t *s = half + LINE * code_lines(t);
    if (t != QUANT_Q4_K && t != QUANT_Q5_K)
        return signed_byte(line_at(s, k / 4), k % 4);
    int shift = 8 * (k % 4);
    if (k < 4)
        return _mm512_and_si512(_mm512_srli_epi32(line_at(s, 0), shift), _mm512_set1_epi32(63));
    __m512i low = _mm512_and_si512(_mm512_srli_epi32(line_at(s, 2), shift), _mm512_set1_epi32(15));
    __m512i high = _mm512_srli_epi32(line_at(s, 0), shift + 2);
    return _mm512_ternarylogic_epi32(low, high, _mm512_set1_epi32(48), 0xf8);
}

/* Four minimums, those of groups 4j .. 4j + 3, as bytes of each lane. */
INLINE __m512i mins256(enum quant_type t, const uint8_t *half, int j)
{
    const uint8_t *s = half + LINE * code_lines(t);
    if (t == QUANT_Q2_K)
        return line_at(s, 4 + j);
    if (j == 0)
        return _mm512_and_si512(line_at(s, 1), _mm512_set1_epi8(63));
    __m512i low = high_nibbles(line_at(s, 2));
    return _mm512_ternarylogic_epi32(low, _mm512_srli_epi16(line_at(s, 1), 2), _mm512_set1_epi8(48), 0xf8);
}

/* s += scale * (codes - zero) . activations for the quads k .. k + per_scale of group `pair + g`;
 * meanwhile fetches its share of what `ahead` (may be NULL) points to, an eighth of a block of `bytes`. */
INLINE void group256(enum quant_type t, int n, __m512i (*s)[2], const uint8_t *w, int half,
                     const uint8_t *const *x, size_t at, int pair, int g, int k, __m512i (*sc)[2],
                     const uint8_t *ahead, int bytes)
{
    const int per_scale = group_elems(t) / 4, shift = zero_shift256(t);
    int group = (pair + g) * (8 / per_scale) + k / per_scale;
    __m512i c[TILE_ROWS][2];
    UNROLL for (int i = 0; i < n; i++)
    {
        const struct kern_act256 *a = (const struct kern_act256 *)(x[i] + at);
        c[i][0] = _mm512_setzero_si512();
        if (shift >= 0)
            c[i][0] = _mm512_slli_epi32(broadcast32(per_scale == 8 ? &a->neg32[group] : &a->neg16[group]),
                                        (unsigned)(shift & 31));
        c[i][1] = c[i][0];
    }
    UNROLL for (int q = k; q < k + per_scale; q++)
    {
        if (ahead)
            fetch_share(ahead, (bytes / 8 + LINE - 1) / LINE, q);
        __m512i w0 = codes256(t, w, pair, g, q), w1 = codes256(t, w + half, pair, g, q);
        UNROLL for (int i = 0; i < n; i++)
        {
            __m512i v = broadcast32(x[i] + at + offsetof(struct kern_act256, q) + 32 * (pair + g) + 4 * q);
            DOT_BYTES(c[i][0], w0, v);
            DOT_BYTES(c[i][1], w1, v);
        }
    }
    UNROLL for (int i = 0; i < n; i++)
    {
        s[i][0] = _mm512_add_epi32(s[i][0], _mm512_mullo_epi32(c[i][0], sc[group][0]));
        s[i][1] = _mm512_add_epi32(s[i][1], _mm512_mullo_epi32(c[i][1], sc[group][1]));
    }
}

INLINE void tile256(enum quant_type t, int n, const uint8_t *w, int n_blocks, const struct kern_row *rows,
                    int col, bool add, int ahead)
{
    const int half = LINE * (code_lines(t) + scale_lines(t)), tail = 2 * half;
    const int bytes = tail + LINE * (has_min256(t) ? 2 : 1);
    const int per_scale = group_elems(t) / 4; /* quads */
    const size_t fetch = ahead == FETCH_NEXT ? (size_t)bytes * (size_t)n_blocks : AHEAD;
    const uint8_t *x[TILE_ROWS];
    __m512 f[TILE_ROWS][2];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        f[i][0] = f[i][1] = _mm512_setzero_ps();
    }
    size_t end = (size_t)n_blocks * sizeof(struct kern_act256);
    for (size_t at = 0; at < end; at += sizeof(struct kern_act256), w += bytes) {
        __m512i s[TILE_ROWS][2], sc[16][2];
        UNROLL for (int i = 0; i < n; i++) s[i][0] = s[i][1] = _mm512_setzero_si512();
        UNROLL for (int k = 0; k < 64 / per_scale; k++)
        {
            sc[k][0] = scale256(t, w, k);
            sc[k][1] = scale256(t, w + half, k);
        }
        /* Two groups of 32 at a time, which share nibble lines.  The scales wait in memory and the
         * lines are read again for the high nibbles: registers are for the sums. */
        for (int pair = 0; pair < 4; pair++)
            UNROLL for (int g = 0; g < 2; g++)
            {
                FORGET_MEMORY();
                const uint8_t *next = ahead ? w + fetch + (2 * pair + g) * (bytes / 8) : NULL;
                UNROLL for (int k = 0; k < 8; k += per_scale)
                    group256(t, n, &s[0], w, half, x, at, 2 * pair, g, k, sc, next, bytes);
            }
        __m512 d0 = f16_line(w + tail), d1 = f16_line(w + tail + 32);
        UNROLL for (int i = 0; i < n; i++)
        {
            __m512 d = broadcast_f32(x[i] + at);
            f[i][0] = _mm512_fmadd_ps(_mm512_mul_ps(d0, d), _mm512_cvtepi32_ps(s[i][0]), f[i][0]);
            f[i][1] = _mm512_fmadd_ps(_mm512_mul_ps(d1, d), _mm512_cvtepi32_ps(s[i][1]), f[i][1]);
        }
        if (!has_min256(t))
            continue;
        const int pairs = t == QUANT_Q2_K ? 4 : 2; /* lines of four minimums */
        UNROLL for (int i = 0; i < n; i++) s[i][0] = s[i][1] = _mm512_setzero_si512();
        UNROLL for (int j = 0; j < pairs; j++)
        {
            __m512i m0 = mins256(t, w, j), m1 = mins256(t, w + half, j), mask = _mm512_set1_epi16(255);
            UNROLL for (int odd = 0; odd < 2; odd++)
            {
                __m512i p0 = odd ? _mm512_srli_epi16(m0, 8) : _mm512_and_si512(m0, mask);
                __m512i p1 = odd ? _mm512_srli_epi16(m1, 8) : _mm512_and_si512(m1, mask);
                UNROLL for (int i = 0; i < n; i++)
                {
                    const struct kern_act256 *a = (const struct kern_act256 *)(x[i] + at);
                    const int16_t *sums = t == QUANT_Q2_K ? a->pair16 : a->pair32;
                    __m512i v = broadcast32(sums + 4 * j + 2 * odd);
                    DOT_WORDS(s[i][0], p0, v);
                    DOT_WORDS(s[i][1], p1, v);
                }
            }
        }
        d0 = f16_line(w + tail + LINE);
        d1 = f16_line(w + tail + LINE + 32);
        UNROLL for (int i = 0; i < n; i++)
        {
            __m512 d =
                broadcast_f32(x[i] + at); /* -(a b) c + f is one rounding of the product, as (-(a b)) c + f */
            f[i][0] = _mm512_fnmadd_ps(_mm512_mul_ps(d0, d), _mm512_cvtepi32_ps(s[i][0]), f[i][0]);
            f[i][1] = _mm512_fnmadd_ps(_mm512_mul_ps(d1, d), _mm512_cvtepi32_ps(s[i][1]), f[i][1]);
        }
    }
    finish(f, rows, n, col, add);
}

/* --- floats ---------------------------------------------------------------------------------- */

INLINE void tile_float(enum quant_type t, int n, const uint8_t *w, int n_blocks, const struct kern_row *rows,
                       int col, bool add, int ahead)
{
    const int bytes = t == QUANT_F32 ? 128 : 64;
    const size_t fetch = ahead == FETCH_NEXT ? (size_t)bytes * (size_t)n_blocks : AHEAD;
    const uint8_t *x[TILE_ROWS];
    __m512 f[TILE_ROWS][2];
    UNROLL for (int i = 0; i < n; i++)
    {
        x[i] = rows[i].act;
        f[i][0] = f[i][1] = _mm512_setzero_ps();
    }
    for (size_t at = 0, end = (size_t)n_blocks * 4; at < end; at += 4, w += bytes) {
        __m512 w0, w1;
        if (ahead)
            _mm_prefetch((const char *)w + fetch, _MM_HINT_T0);
        if (ahead && t == QUANT_F32)
            _mm_prefetch((const char *)w + fetch + LINE, _MM_HINT_T0);
        if (t == QUANT_F32) {
            w0 = _mm512_load_ps((const float *)w);
            w1 = _mm512_load_ps((const float *)w + 16);
        } else {
            w0 = t == QUANT_F16 ? f16_line(w) : bf16_line(w);
            w1 = t == QUANT_F16 ? f16_line(w + 32) : bf16_line(w + 32);
        }
        UNROLL for (int i = 0; i < n; i++)
        {
            __m512 v = broadcast_f32(x[i] + at);
            f[i][0] = _mm512_fmadd_ps(w0, v, f[i][0]);
            f[i][1] = _mm512_fmadd_ps(w1, v, f[i][1]);
        }
    }
    finish(f, rows, n, col, add);
}

/* --- the table ------------------------------------------------------------------------------- */

typedef void tile_fn(const uint8_t *w, int n_blocks, const struct kern_row *rows, int col, bool add,
                     int ahead);

/* n rows as tiles of nearly equal height. */
INLINE void all_rows(tile_fn *const tiles[TILE_ROWS], const void *strip, int n_blocks,
                     const struct kern_row *rows, int n, int col, bool add)
{
    int ahead = FETCH_OWN;
    for (int left = (n + TILE_ROWS - 1) / TILE_ROWS; left > 0; left--) {
        int now = (n + left - 1) / left;
        tiles[now - 1](strip, n_blocks, rows, col, add, left == 1 && ahead != FETCH_OWN ? FETCH_NEXT : ahead);
        ahead = FETCH_NOTHING;
        rows += now;
        n -= now;
    }
}

#define TILE(KIND, TYPE, N)                                                                                  \
    static __attribute__((noinline, NO_SANITIZE)) void TYPE##_##N(                                           \
        const uint8_t *w, int nb, const struct kern_row *rows, int col, bool add, int ahead)                 \
    {                                                                                                        \
        KIND(QUANT_##TYPE, N, w, nb, rows, col, add, ahead);                                                 \
    }
#define TILES(KIND, TYPE)                                                                                    \
    TILE(KIND, TYPE, 1)                                                                                      \
    TILE(KIND, TYPE, 2)                                                                                      \
    TILE(KIND, TYPE, 3)                                                                                      \
    TILE(KIND, TYPE, 4)                                                                                      \
    TILE(KIND, TYPE, 5)                                                                                      \
    TILE(KIND, TYPE, 6)                                                                                      \
    static void strip_##TYPE(const void *strip, int n_blocks, const struct kern_row *rows, int n, int col,   \
                             bool add)                                                                       \
    {                                                                                                        \
        static tile_fn *const tiles[TILE_ROWS] = {                                                           \
            TYPE##_1, TYPE##_2, TYPE##_3, TYPE##_4, TYPE##_5, TYPE##_6};                                     \
        all_rows(tiles, strip, n_blocks, rows, n, col, add);                                                 \
    }

TILES(tile32, Q4_0)
TILES(tile32, Q4_1)
TILES(tile32, Q5_0)
TILES(tile32, Q5_1)
TILES(tile32, Q8_0)
TILES(tile32, IQ4_NL)
TILES(tile32, MXFP4)
TILES(tile32, NVFP4)
TILES(tile256, Q2_K)
TILES(tile256, Q3_K)
TILES(tile256, Q4_K)
TILES(tile256, Q5_K)
TILES(tile256, Q6_K)
TILES(tile256, IQ4_XS)
TILES(tile_float, F32)
TILES(tile_float, F16)
TILES(tile_float, BF16)

void kern_strips_avx512(struct kern_ops *ops)
{
    ops->packed = true;
    ops->strip[QUANT_F32] = strip_F32;
    ops->strip[QUANT_F16] = strip_F16;
    ops->strip[QUANT_BF16] = strip_BF16;
    ops->strip[QUANT_Q4_0] = strip_Q4_0;
    ops->strip[QUANT_Q4_1] = strip_Q4_1;
    ops->strip[QUANT_Q5_0] = strip_Q5_0;
    ops->strip[QUANT_Q5_1] = strip_Q5_1;
    ops->strip[QUANT_Q8_0] = strip_Q8_0;
    ops->strip[QUANT_Q8_1] = strip_Q8_0;
    ops->strip[QUANT_IQ4_NL] = strip_IQ4_NL;
    ops->strip[QUANT_MXFP4] = strip_MXFP4;
    ops->strip[QUANT_NVFP4] = strip_NVFP4;
    ops->strip[QUANT_Q2_K] = strip_Q2_K;
    ops->strip[QUANT_Q3_K] = strip_Q3_K;
    ops->strip[QUANT_Q4_K] = strip_Q4_K;
    ops->strip[QUANT_Q5_K] = strip_Q5_K;
    ops->strip[QUANT_Q6_K] = strip_Q6_K;
    ops->strip[QUANT_IQ4_XS] = strip_IQ4_XS;
}
