/* pack.c - Weights from rows as files have them into strips (pack.h has the layout).
 *
 * Every type goes the same way: unpack the block of each of 16 rows into codes (one array of
 * bytes per row), then lay out the lines.  The few types that most files consist of have a short
 * cut that moves the nibbles as they are.
 *
 * Start reading at pack_strip(). */
#include "kernel/pack.h"

#include <assert.h>
#include <string.h>

#include "kernel/f16.h"
#include "kernel/quant_int.h"

enum {
    LINE = 64,
    HALF = 16, /* rows of a half strip */
    ROWS = 32,
};

/* How a type's block lies in a strip, in lines. */
struct shape {
    uint8_t zero;                       /* code = stored value + zero */
    uint8_t nibbles, bits, twos, bytes; /* lines of codes of a half */
    uint8_t scales;                     /* lines of group scales of a half */
    uint8_t tail;                       /* lines behind both halves */
};

static const struct shape shapes[QUANT_TYPES_END] = {
    [QUANT_Q4_0] = {.zero = 8, .nibbles = 4, .tail = 1},
    [QUANT_Q4_1] = {.zero = 0, .nibbles = 4, .tail = 2},
    [QUANT_Q5_0] = {.zero = 16, .nibbles = 4, .bits = 1, .tail = 1},
    [QUANT_Q5_1] = {.zero = 0, .nibbles = 4, .bits = 1, .tail = 2},
    [QUANT_Q8_0] = {.zero = 128, .bytes = 8, .tail = 1},
    [QUANT_Q8_1] = {.zero = 128, .bytes = 8, .tail = 1},
    [QUANT_IQ4_NL] = {.nibbles = 4, .tail = 1},
    [QUANT_MXFP4] = {.nibbles = 4, .tail = 1},
    [QUANT_NVFP4] = {.nibbles = 4, .tail = 2},
    [QUANT_Q2_K] = {.twos = 16, .scales = 8, .tail = 2},
    [QUANT_Q3_K] = {.zero = 4, .nibbles = 32, .scales = 4, .tail = 1},
    [QUANT_Q4_K] = {.nibbles = 32, .scales = 3, .tail = 2},
    [QUANT_Q5_K] = {.nibbles = 32, .bits = 8, .scales = 3, .tail = 2},
    [QUANT_Q6_K] = {.zero = 32, .nibbles = 32, .twos = 16, .scales = 4, .tail = 1},
    [QUANT_IQ4_XS] = {.nibbles = 32, .scales = 2, .tail = 1},
};

static int half_lines(const struct shape *s)
{
    return s->nibbles + s->bits + s->twos + s->bytes + s->scales;
}

static bool is_float(enum quant_type type)
{
    return type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16;
}

/* Elements of a block in a strip (NVFP4's 64 are two of 32). */
static int strip_block(enum quant_type type)
{
    const struct quant_info *info = quant_info(type);
    return type == QUANT_NVFP4 ? 32 : info->block_elems;
}

int pack_n_blocks(enum quant_type type, int n_in)
{
    return n_in / strip_block(type);
}

size_t pack_strip_bytes(enum quant_type type, uint64_t n_in)
{
    const struct quant_info *info = quant_info(type);
    if (!info || !info->dot || n_in % info->block_elems != 0 || n_in > (1u << 30))
        return 0;
    if (type == QUANT_Q8_K) /* a form of activations: no file has weights of it */
        return 0;
    if (is_float(type))
        return n_in * ROWS * info->block_bytes;
    const struct shape *s = &shapes[type];
    return n_in / (unsigned)strip_block(type) * LINE * (unsigned)(2 * half_lines(s) + s->tail);
}

/* --- one block of a half strip -------------------------------------------------------------- */

/* Codes and scales of one row's block, from the file's bytes. */
struct row_block {
    uint8_t codes[256];
    uint8_t scales[32]; /* bytes 4j .. 4j + 3 go into line j */
    uint16_t tail[4];   /* d, then dmin or m; 16 bits each */
};

static uint8_t index_in(const int8_t *table, int8_t v)
{
    for (uint8_t i = 0; i < 16; i++)
        if (table[i] == v)
            return i;
    return 0;
}

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* The index of an FP4 value: zero has two codes, of which the plain one is found. */
static void unpack_indices(uint8_t *codes, const int8_t *v, int n, const int8_t *table)
{
    for (int i = 0; i < n; i++)
        codes[i] = index_in(table, v[i]);
}

static void read_block32(enum quant_type type, struct row_block *b, const uint8_t *p)
{
    struct quant_block32 u = {0};
    quant_info(type)->unpack32(&u, p);
    if (type == QUANT_MXFP4) {
        unpack_indices(b->codes, u.v, 32, quant_fp4_table);
        b->tail[0] = (uint16_t)(f32_bits(u.d) >> 16); /* a power of two: exact as bf16 */
        return;
    }
    if (type == QUANT_IQ4_NL)
        unpack_indices(b->codes, u.v, 32, quant_iq4_table);
    else
        for (int i = 0; i < 32; i++)
            b->codes[i] = (uint8_t)(u.v[i] + shapes[type].zero);
    b->tail[0] = read_u16(p);
    b->tail[1] = u.has_min ? read_u16(p + 2) : 0;
}

/* Half k (0, 1) of an NVFP4 block.  UE4M3 / 2 is exact as f16. */
static void read_nvfp4(struct row_block *b, const uint8_t *p, int k)
{
    for (int h = 0; h < 2; h++) {
        struct quant_block16 u;
        nvfp4_unpack(&u, p, 2 * k + h);
        unpack_indices(b->codes + 16 * h, u.v, 16, quant_fp4_table);
        b->tail[h] = f32_to_f16(u.d);
    }
}

static void read_block256(enum quant_type type, struct row_block *b, const uint8_t *p)
{
    struct quant_super u = {0};
    quant_info(type)->unpack256(&u, p);
    if (type == QUANT_IQ4_XS)
        unpack_indices(b->codes, u.v, 256, quant_iq4_table);
    else
        for (int i = 0; i < 256; i++)
            b->codes[i] = (uint8_t)(u.v[i] + shapes[type].zero);
    switch (type) {
    case QUANT_Q4_K:
    case QUANT_Q5_K: memcpy(b->scales, p + 4, 12); break;
    case QUANT_IQ4_XS:
        for (int g = 0; g < 8; g++)
            b->scales[g] = (uint8_t)u.sc[2 * g];
        break;
    default:
        for (int g = 0; g < 16; g++) {
            b->scales[g] = (uint8_t)u.sc[g];
            b->scales[16 + g] = u.m[g];
        }
    }
    b->tail[0] = f32_to_f16(u.d); /* exact: it was an f16 */
    b->tail[1] = f32_to_f16(u.dmin);
}

static void read_row_block(enum quant_type type, struct row_block *b, const uint8_t *row, int block)
{
    const struct quant_info *info = quant_info(type);
    memset(b->scales, 0, sizeof b->scales);
    b->tail[1] = 0;
    if (type == QUANT_NVFP4)
        read_nvfp4(b, row + (size_t)(block / 2) * info->block_bytes, block % 2);
    else if (info->block_elems == 32)
        read_block32(type, b, row + (size_t)block * info->block_bytes);
    else
        read_block256(type, b, row + (size_t)block * info->block_bytes);
}

/* A row that is not there: codes that stand for zero with d = 0. */
static void empty_row_block(struct row_block *b)
{
    memset(b, 0, sizeof *b);
}

/* Quad of the low (h = 0) or high (h = 1) nibbles of line j: quads j and j + 4 of a block of 32,
 * and quad j % 8 of groups 2p and 2p + 1 of a block of 256. */
static int nibble_element(int block_elems, int j, int h)
{
    if (block_elems == 32)
        return 4 * (j + 4 * h);
    return 64 * (j / 8) + 32 * h + 4 * (j % 8);
}

/* Put row r's part of all lines of a half. */
static void put_row(const struct shape *s, int block_elems, uint8_t *half, int r, const struct row_block *b)
{
    const uint8_t *c = b->codes;
    uint8_t *line = half + 4 * r;
    for (int j = 0; j < s->nibbles; j++, line += LINE) {
        const uint8_t *lo = c + nibble_element(block_elems, j, 0),
                      *hi = c + nibble_element(block_elems, j, 1);
        for (int i = 0; i < 4; i++)
            line[i] = (uint8_t)((lo[i] & 15) | hi[i] << 4);
    }
    for (int j = 0; j < s->bits; j++, line += LINE)
        for (int i = 0; i < 4; i++) {
            unsigned bits = 0;
            for (int q = 0; q < 8; q++)
                bits |= (c[32 * j + 4 * q + i] >> 4 & 1u) << q;
            line[i] = (uint8_t)bits;
        }
    int shift = s->nibbles ? 4 : 0;
    for (int j = 0; j < s->twos; j++, line += LINE)
        for (int i = 0; i < 4; i++) {
            unsigned bits = 0;
            for (int f = 0; f < 4; f++)
                bits |= (c[16 * j + 4 * f + i] >> shift & 3u) << (2 * f);
            line[i] = (uint8_t)bits;
        }
    for (int j = 0; j < s->bytes; j++, line += LINE)
        memcpy(line, c + 4 * j, 4);
    for (int j = 0; j < s->scales; j++, line += LINE)
        memcpy(line, b->scales + 4 * j, 4);
}

/* --- short cuts ------------------------------------------------------------------------------ */

/* Dword j of every row into line j: how the nibbles of Q4_0 and Q4_K lie already. */
static void put_dwords(uint8_t *half, int r, const uint8_t *p, int n)
{
    for (int j = 0; j < n; j++)
        memcpy(half + LINE * j + 4 * r, p + 4 * j, 4);
}

static uint32_t read_dword(const uint8_t *p)
{
    uint32_t u;
    memcpy(&u, p, 4);
    return u;
}

static void put_dword(uint8_t *half, int line, int r, uint32_t u)
{
    memcpy(half + LINE * line + 4 * r, &u, 4);
}

/* Q6_K, four elements at a time.  In the file a half of 128 elements has the low four bits of its
 * groups 0 and 2 in the nibbles of 32 bytes, of groups 1 and 3 in the next 32, and two high bits of
 * all four groups in one byte. */
static void put_q6_k(uint8_t *half, int r, const uint8_t *p)
{
    for (int h = 0; h < 2; h++, p += 64) {
        for (int q = 0; q < 8; q++) {
            uint32_t a = read_dword(p + 4 * q), b = read_dword(p + 32 + 4 * q);
            put_dword(half, 16 * h + q, r, (a & 0x0f0f0f0fu) | (b & 0x0f0f0f0fu) << 4);
            put_dword(half, 16 * h + 8 + q, r, (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u));
        }
        const uint8_t *high = p + 128 - 32 * h; /* behind both halves' low bits */
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 2; k++) {
                uint32_t u = 0;
                for (int f = 0; f < 4; f++)
                    u |= (read_dword(high + 16 * k + 4 * f) >> (2 * j) & 0x03030303u) << (2 * f);
                put_dword(half, 32 + 2 * (4 * h + j) + k, r, u);
            }
    }
    put_dwords(half + 48 * LINE, r, p + 64, 4); /* 16 scales at 192 */
}

static bool put_row_fast(enum quant_type type, uint8_t *half, int r, const uint8_t *p)
{
    switch (type) {
    case QUANT_Q4_0:
    case QUANT_IQ4_NL: put_dwords(half, r, p + 2, 4); return true;
    case QUANT_MXFP4: put_dwords(half, r, p + 1, 4); return true;
    case QUANT_Q8_0:
        for (int j = 0; j < 8; j++) {
            uint32_t u;
            memcpy(&u, p + 2 + 4 * j, 4);
            u ^= 0x80808080u; /* + 128 in each byte */
            memcpy(half + LINE * j + 4 * r, &u, 4);
        }
        return true;
    case QUANT_Q4_K:
        put_dwords(half, r, p + 16, 32);
        put_dwords(half + 32 * LINE, r, p + 4, 3);
        return true;
    case QUANT_Q6_K: put_q6_k(half, r, p); return true;
    default: return false;
    }
}

static void fast_tail(enum quant_type type, uint16_t *tail, const uint8_t *p)
{
    struct quant_block32 u = {0};
    switch (type) {
    case QUANT_MXFP4:
        quant_info(type)->unpack32(&u, p);
        tail[0] = (uint16_t)(f32_bits(u.d) >> 16);
        break;
    case QUANT_Q4_K:
        tail[0] = read_u16(p);
        tail[1] = read_u16(p + 2);
        break;
    case QUANT_Q6_K: tail[0] = read_u16(p + 208); break;
    default: tail[0] = read_u16(p);
    }
}

/* --- strips ---------------------------------------------------------------------------------- */

static void put_tail(enum quant_type type, uint8_t *tail, int row, const uint16_t *v)
{
    memcpy(tail + 2 * row, &v[0], 2);
    if (shapes[type].tail == 2)
        memcpy(tail + LINE + 2 * row, &v[1], 2);
}

static void pack_floats(uint8_t *strip, const uint8_t *rows, size_t row_bytes, int n_rows, int n_in, int size)
{
    memset(strip, 0, (size_t)n_in * ROWS * (size_t)size);
    for (int k0 = 0; k0 < n_in; k0 += 64) /* a few lines at a time, so that they stay in the cache */
        for (int r = 0; r < n_rows; r++)
            for (int k = k0; k < n_in && k < k0 + 64; k++)
                memcpy(strip + ((size_t)k * ROWS + (size_t)r) * (size_t)size,
                       rows + (size_t)r * row_bytes + (size_t)k * (size_t)size, (size_t)size);
}

void pack_strip(enum quant_type type, void *strip, const void *rows, size_t row_bytes, int n_rows, int n_in)
{
    const struct quant_info *info = quant_info(type);
    assert(info && info->dot && n_rows >= 0 && n_rows <= ROWS && n_in % info->block_elems == 0);
    if (is_float(type)) {
        pack_floats(strip, rows, row_bytes, n_rows, n_in, info->block_bytes);
        return;
    }
    const struct shape *s = &shapes[type];
    int lines = half_lines(s), elems = strip_block(type), n_blocks = n_in / elems;
    uint8_t *out = strip;
    for (int k = 0; k < n_blocks; k++, out += LINE * (2 * lines + s->tail))
        for (int r = 0; r < ROWS; r++) {
            const uint8_t *row = (const uint8_t *)rows + (size_t)r * row_bytes;
            const uint8_t *block = row + (size_t)k * info->block_bytes;
            uint8_t *half = out + r / HALF * lines * LINE;
            struct row_block b;
            if (r < n_rows && put_row_fast(type, half, r % HALF, block)) {
                b.tail[1] = 0;
                fast_tail(type, b.tail, block);
            } else {
                if (r < n_rows)
                    read_row_block(type, &b, row, k);
                else
                    empty_row_block(&b);
                put_row(s, elems, half, r % HALF, &b);
            }
            put_tail(type, out + 2 * lines * LINE, r, b.tail);
        }
}

/* --- back ------------------------------------------------------------------------------------ */

/* The code of element e of row r of a half's block. */
static unsigned code_of(const struct shape *s, int block_elems, const uint8_t *half, int r, int e)
{
    int q = e % 32 / 4, g = e / 32, at = 4 * r + e % 4;
    unsigned code = 0;
    if (s->bytes)
        return half[LINE * (e / 4) + at];
    if (s->nibbles) {
        int line = block_elems == 32 ? q % 4 : 8 * (g / 2) + q;
        bool high = block_elems == 32 ? q >= 4 : g % 2;
        code = half[LINE * line + at] >> (high ? 4 : 0) & 15u;
    }
    if (s->bits)
        code |= (half[LINE * (s->nibbles + g) + at] >> q & 1u) << 4;
    if (s->twos)
        code |= (half[LINE * (s->nibbles + 2 * g + q / 4) + at] >> (2 * (q % 4)) & 3u)
                << (s->nibbles ? 4 : 0);
    return code;
}

static float tail_f16(const uint8_t *tail, int line, int row)
{
    return f16_to_f32(read_u16(tail + LINE * line + 2 * row));
}

static void row_block32(enum quant_type type, const uint8_t *half, const uint8_t *tail, int row, float *y)
{
    const struct shape *s = &shapes[type];
    for (int e = 0; e < 32; e++) {
        unsigned c = code_of(s, 32, half, row % HALF, e);
        float d = type == QUANT_MXFP4 ? bf16_to_f32(read_u16(tail + 2 * row))
                                      : tail_f16(tail, type == QUANT_NVFP4 ? e / 16 : 0, row);
        int v = type == QUANT_IQ4_NL                         ? quant_iq4_table[c]
                : type == QUANT_MXFP4 || type == QUANT_NVFP4 ? quant_fp4_table[c]
                                                             : (int)c - s->zero;
        y[e] = (float)v * d;
        if (type == QUANT_Q4_1 || type == QUANT_Q5_1)
            y[e] += tail_f16(tail, 1, row);
    }
}

static void row_scales(enum quant_type type, const uint8_t *lines, int r, struct quant_super *u)
{
    uint8_t b[32] = {0};
    for (int j = 0; j < shapes[type].scales; j++)
        memcpy(b + 4 * j, lines + LINE * j + 4 * r, 4);
    if (type == QUANT_Q4_K || type == QUANT_Q5_K) {
        k4_unpack_scales(u, b);
        return;
    }
    for (int g = 0; g < 16; g++) {
        u->sc[g] = (int8_t)b[type == QUANT_IQ4_XS ? g / 2 : g];
        u->m[g] = type == QUANT_Q2_K ? b[16 + g] : 0;
    }
}

static void row_block256(enum quant_type type, const uint8_t *half, const uint8_t *tail, int row, float *y)
{
    const struct shape *s = &shapes[type];
    struct quant_super u;
    row_scales(type, half + LINE * (half_lines(s) - s->scales), row % HALF, &u);
    u.d = tail_f16(tail, 0, row);
    u.dmin = s->tail == 2 ? tail_f16(tail, 1, row) : 0;
    for (int e = 0; e < 256; e++) {
        unsigned c = code_of(s, 256, half, row % HALF, e);
        int v = type == QUANT_IQ4_XS ? quant_iq4_table[c] : (int)c - s->zero;
        y[e] = u.d * (float)u.sc[e / 16] * (float)v;
        if (s->tail == 2)
            y[e] -= u.dmin * (float)u.m[e / 16];
    }
}

void pack_row_f32(enum quant_type type, const void *strip, int row, int n_in, float *y)
{
    const uint8_t *p = strip;
    assert(row >= 0 && row < ROWS);
    if (is_float(type)) {
        size_t size = quant_info(type)->block_bytes;
        for (int k = 0; k < n_in; k++)
            quant_info(type)->dequantize(y + k, p + ((size_t)k * ROWS + (size_t)row) * size, 1);
        return;
    }
    const struct shape *s = &shapes[type];
    int lines = half_lines(s), elems = strip_block(type);
    for (int k = 0; k < n_in; k += elems, p += LINE * (2 * lines + s->tail)) {
        const uint8_t *half = p + row / HALF * lines * LINE, *tail = p + 2 * lines * LINE;
        if (elems == 32)
            row_block32(type, half, tail, row, y + k);
        else
            row_block256(type, half, tail, row, y + k);
    }
}
