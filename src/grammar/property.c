/* property.c - See the header.
 *
 * PCRE2 has the tables of Unicode but tells them by matching only.  So all characters are written one behind
 * the other, and what one or more of the property match in a row are its ranges.  Planes in which nothing is
 * assigned, or all is private use, are asked for one character each. */
#include "grammar/property.h"

#include <stdio.h>
#include <stdlib.h>

#include "grammar/schema_pattern.h"

#define ESCAPE_BYTES_MAX 100

struct property {
    struct charset_builder *b;
    pcre2_code *code;
    pcre2_match_data *data;
    char *text; /* SCANNED_MAX characters of four bytes */
};

/* Characters that are asked for one by one: all of these have the same number of bytes in UTF-8. */
static const struct range scanned[] = {{0, 0x7f},         {0x80, 0x7ff},      {0x800, 0xd7ff},
                                       {0xe000, 0xffff},  {0x10000, 0x1ffff}, {0x20000, 0x3ffff},
                                       {0xe0000, 0xe0fff}};
#define SCANNED_MAX 0x20000

static size_t put_char(char *p, uint32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        p[i] = (char)(0x80 | (c & 0x3f));
    p[0] = (char)(leads[n] | c);
    return n;
}

static void scan(struct property *p, struct range r)
{
    size_t n = 0, n_each = put_char(p->text, r.lo);
    for (uint32_t c = r.lo; c <= r.hi; c++)
        n += put_char(p->text + n, c);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->data);
    for (size_t from = 0; from < n; from = at[1]) {
        if (pcre2_match(p->code, (PCRE2_SPTR)p->text, n, from, PCRE2_NO_UTF_CHECK, p->data, NULL) < 0)
            break;
        charset_add(p->b, r.lo + (uint32_t)(at[0] / n_each), r.lo + (uint32_t)(at[1] / n_each) - 1);
    }
}

/* All characters of r are as its first one. */
static void sample(struct property *p, struct range r)
{
    size_t n = put_char(p->text, r.lo);
    if (pcre2_match(p->code, (PCRE2_SPTR)p->text, n, 0, PCRE2_NO_UTF_CHECK, p->data, NULL) >= 0)
        charset_add(p->b, r.lo, r.hi);
}

static void find_ranges(struct property *p)
{
    for (size_t i = 0; i < sizeof scanned / sizeof *scanned; i++)
        scan(p, scanned[i]);
    for (uint32_t plane = 4; plane <= 16; plane++) { /* the last two characters of each are none */
        sample(p, (struct range){plane << 16 | (plane == 14 ? 0x1000 : 0), plane << 16 | 0xfffd});
        sample(p, (struct range){plane << 16 | 0xfffe, plane << 16 | 0xffff});
    }
}

int property_add(struct charset_builder *b, struct str escape, char *why, size_t why_bytes)
{
    struct property p = {.b = b};
    char pattern[ESCAPE_BYTES_MAX + 1];
    if (escape.n > ESCAPE_BYTES_MAX) {
        snprintf(why, why_bytes, "has a \\p{Name} that is not known");
        return ERR_UNSUPPORTED;
    }
    memcpy(pattern, escape.p, escape.n);
    pattern[escape.n] = '+';
    int rc = schema_pattern_compile(&p.code, str_of(pattern, escape.n + 1), why, why_bytes);
    if (rc != OK)
        return rc;
    p.data = pcre2_match_data_create(1, NULL);
    p.text = malloc((size_t)SCANNED_MAX * 4);
    if (p.data && p.text)
        find_ranges(&p);
    else
        rc = ERR_NOMEM;
    pcre2_match_data_free(p.data);
    pcre2_code_free(p.code);
    free(p.text);
    return rc;
}
