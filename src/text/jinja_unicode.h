/* jinja_unicode.h - What Python's str knows about characters, for the template interpreter.
 *
 * Text is UTF-8.  Broken UTF-8 is never an error here: a stray byte counts as part of the
 * character before it (or as one of its own), so that every function is total. */
#ifndef TEXT_JINJA_UNICODE_H
#define TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Bytes of the character at `at` (at < s.n): its first byte and the continuation bytes behind it. */
static inline size_t jj_char_bytes(struct str s, size_t at)
{
    size_t n = 1;
    while (n < 4 && at + n < s.n && ((unsigned char)s.p[at + n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The code point at `at`; U+FFFD if the bytes there are none. */
uint32_t jj_code_at(struct str s, size_t at);
/* Write a code point (surrogates and more than U+10FFFF: U+FFFD); returns the 1 to 4 bytes. */
size_t jj_utf8_write(char *out, uint32_t code);
/* Bytes of the white-space character at `at` (at < s.n; Python's str.isspace), 0 if it is none. */
size_t jj_space_at(struct str s, size_t at);

/* Upper and lower case of one code point, up to 3 code points; returns how many.  Full mappings
 * as Python's, except the final sigma, which the caller decides. */
int jj_upper(uint32_t code, uint32_t out[3]);
int jj_lower(uint32_t code, uint32_t out[3]);
int jj_title(uint32_t code, uint32_t out[3]);
bool jj_is_upper(uint32_t code); /* Lu, or other upper case */
bool jj_is_lower(uint32_t code);
bool jj_is_cased(uint32_t code);
bool jj_is_alpha(uint32_t code);     /* L* */
bool jj_is_alnum(uint32_t code);     /* str.isalnum: letters and every kind of number */
bool jj_is_digit(uint32_t code);     /* str.isdigit */
bool jj_is_printable(uint32_t code); /* as repr() decides */

#endif
