/* unicode.h - UTF-8 and character classes, as pre-tokenizers need them.
 *
 * Classes come from one flat table, filled by unicode_init.  Bytes that are not UTF-8 are walked
 * over one by one; each counts as a character without a class (like an unassigned one). */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum unicode_class {
    UC_UPPER = 1,           /* Lu, Lt */
    UC_LOWER = 2,           /* Ll */
    UC_OTHER_LETTER = 4,    /* Lm, Lo */
    UC_MARK = 8,            /* M */
    UC_NUMBER = 16,         /* N */
    UC_PUNCT = 32,          /* P */
    UC_SYMBOL = 64,         /* S */
    UC_SPACE = 128,         /* White_Space */
    UC_HAN = 256,           /* script Han */
    UC_NFC_MAYBE = 512,     /* may change under composition (NFC), alone or with its neighbours */
    UC_BERT_PUNCT = 1024,   /* a word of its own for BERT */
    UC_BERT_ACCENT = 2048,  /* what BERT strips as accent, after decomposition */
    UC_BERT_DROPPED = 4096, /* control characters and the like, which BERT does not see */

    UC_LETTER = UC_UPPER | UC_LOWER | UC_OTHER_LETTER
};

#define UNICODE_LAST 0x10FFFF
/* What uc_get gives for a byte that is not part of well-formed UTF-8: 0x110000 | byte. */
#define UNICODE_INVALID   0x110000
#define UNICODE_TABLE_LEN (UNICODE_LAST + 1 + 256)

extern uint16_t unicode_table[UNICODE_TABLE_LEN];

/* Fill the table; any number of times, from any thread, before the first use. */
void unicode_init(void);

static inline unsigned unicode_class_of(uint32_t c)
{
    return unicode_table[c];
}

/* The character at p < end; *n gets its length in bytes, 1 for an invalid byte. */
uint32_t unicode_decode_long(const uint8_t *p, const uint8_t *end, unsigned *n);

static inline uint32_t unicode_decode(const uint8_t *p, const uint8_t *end, unsigned *n)
{
    if (*p < 0x80) {
        *n = 1;
        return *p;
    }
    return unicode_decode_long(p, end, n);
}

/* Write c (a valid code point) as UTF-8; returns its length, 1 to 4. */
unsigned unicode_encode(uint32_t c, uint8_t out[4]);

/* The text in normal form C.  *out is `in` itself where nothing changes (the usual case), else it
 * lies in `memory`, whose previous contents are lost.  ERR_NOMEM past memory->max. */
int unicode_nfc(struct str in, struct buf *memory, struct str *out);

#endif
