/* unicode.c - UTF-8 decoding, the class table, normal form C.
 *
 * The classes are generated data (unicode_data.c); decomposition and composition are libutf8proc's.
 * Start reading at unicode_init(). */
#include "text/unicode.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "text/unicode_int.h"

uint16_t unicode_table[UNICODE_TABLE_LEN];

/* True if c written alone is not in normal form C. */
static bool changes_alone(uint32_t c, const utf8proc_int32_t *parts, int n_parts)
{
    utf8proc_int32_t copy[32];
    if (n_parts > 32)
        return true;
    for (int i = 0; i < n_parts; i++)
        copy[i] = parts[i];
    utf8proc_ssize_t n = utf8proc_normalize_utf32(copy, n_parts, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return n != 1 || copy[0] != (utf8proc_int32_t)c;
}

/* Mark what normal form C may touch: marks with a combining class, characters that change when
 * alone, and characters that may join the one before them (the last part of some
 * composed character).  Everything below U+0300 is left alone by NFC. */
static void mark_nfc(void)
{
    for (uint32_t c = 0x300; c < 0x30000; c++) { /* nothing decomposes in later planes */
        const utf8proc_property_t *prop = utf8proc_get_property((utf8proc_int32_t)c);
        if (prop->combining_class != 0)
            unicode_table[c] |= UC_NFC_MAYBE;
        bool is_hangul = c >= 0xAC00 && c <= 0xD7A3;
        if (is_hangul || prop->decomp_type != 0 || prop->decomp_seqindex == UINT16_MAX)
            continue;
        utf8proc_int32_t parts[32];
        int boundclass = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, 32,
                                                     UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundclass);
        if (n < 1 || n > 32)
            continue;
        if (changes_alone(c, parts, (int)n))
            unicode_table[c] |= UC_NFC_MAYBE;
        else
            unicode_table[parts[n - 1]] |= UC_NFC_MAYBE;
    }
    for (uint32_t c = 0x1161; c <= 0x1175; c++) /* Hangul vowels and tails join by arithmetic */
        unicode_table[c] |= UC_NFC_MAYBE;
    for (uint32_t c = 0x11A8; c <= 0x11C2; c++)
        unicode_table[c] |= UC_NFC_MAYBE;
}

static void fill_table(void)
{
    for (int i = 0; i < unicode_runs_n; i++) {
        uint32_t end = i + 1 < unicode_runs_n ? unicode_runs[i + 1].first : UNICODE_LAST + 1;
        if (unicode_runs[i].bits == 0) /* pages of nothing stay untouched */
            continue;
        for (uint32_t c = unicode_runs[i].first; c < end; c++)
            unicode_table[c] = unicode_runs[i].bits;
    }
    mark_nfc();
}

void unicode_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
}

/* Well-formed UTF-8 as of Unicode table 3-7: no overlong forms, no surrogates, at most U+10FFFF. */
uint32_t unicode_decode_long(const uint8_t *p, const uint8_t *end, unsigned *n)
{
    size_t left = (size_t)(end - p);
    uint8_t b = p[0];
    *n = 1;
    if (b < 0x80)
        return b;
    if (b >= 0xC2 && b <= 0xDF && left >= 2 && (p[1] & 0xC0) == 0x80) {
        *n = 2;
        return (uint32_t)(b & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (b >= 0xE0 && b <= 0xEF && left >= 3 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80) {
        uint32_t c = (uint32_t)(b & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
        if (c >= 0x800 && (c < 0xD800 || c > 0xDFFF)) {
            *n = 3;
            return c;
        }
    }
    if (b >= 0xF0 && b <= 0xF4 && left >= 4 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80 &&
        (p[3] & 0xC0) == 0x80) {
        uint32_t c = (uint32_t)(b & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
                     (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
        if (c >= 0x10000 && c <= UNICODE_LAST) {
            *n = 4;
            return c;
        }
    }
    return UNICODE_INVALID | b;
}

unsigned unicode_encode(uint32_t c, uint8_t out[4])
{
    assert(c <= UNICODE_LAST);
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* Offset of the first character at or after `from` which NFC may touch, or in.n.  *last_start is
 * the beginning of the character before it (`from` if there is none, or if it is an invalid byte). */
static size_t find_maybe(struct str in, size_t from, size_t *last_start)
{
    const uint8_t *p = (const uint8_t *)in.p, *end = p + in.n;
    size_t i = from;
    *last_start = from;
    while (i < in.n) {
        unsigned n;
        uint32_t c = unicode_decode(p + i, end, &n);
        if (unicode_class_of(c) & UC_NFC_MAYBE)
            return i;
        *last_start = c >= UNICODE_INVALID ? i + n : i;
        i += n;
    }
    return in.n;
}

/* End of the stretch that must be normalised together: the next character that neither
 * changes nor joins what is before it. */
static size_t find_stretch_end(struct str in, size_t from)
{
    const uint8_t *p = (const uint8_t *)in.p, *end = p + in.n;
    size_t i = from;
    while (i < in.n) {
        unsigned n;
        if (!(unicode_class_of(unicode_decode(p + i, end, &n)) & UC_NFC_MAYBE))
            break;
        i += n;
    }
    return i;
}

int unicode_nfc(struct str in, struct buf *memory, struct str *out)
{
    size_t last_start;
    size_t maybe = find_maybe(in, 0, &last_start);
    *out = in;
    if (maybe == in.n)
        return OK;
    buf_clear(memory);
    size_t done = 0;
    while (maybe < in.n) {
        size_t stop = find_stretch_end(in, maybe);
        utf8proc_uint8_t *composed = NULL;
        utf8proc_ssize_t n =
            utf8proc_map((const utf8proc_uint8_t *)in.p + last_start, (utf8proc_ssize_t)(stop - last_start),
                         &composed, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        if (n < 0)
            return ERR_NOMEM; /* the stretch is valid UTF-8 by construction: nothing else can fail */
        buf_add(memory, in.p + done, last_start - done);
        buf_add(memory, composed, (size_t)n);
        free(composed);
        done = stop;
        maybe = find_maybe(in, done, &last_start);
    }
    buf_add(memory, in.p + done, in.n - done);
    if (!buf_ok(memory))
        return ERR_NOMEM;
    *out = buf_str(memory);
    return OK;
}
