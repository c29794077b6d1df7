/* pack.h - The packed layout of weights on x86: strips of 32 output rows.
 *
 * A strip holds, block after block along K, the same block of 32 rows; so a matrix product reads
 * one sequential stream, and a 64-byte line holds four consecutive codes of each of 16 rows:
 * a dword lane is an output row.  Codes are unsigned (stored value + zero point), as the byte dot
 * product of these processors wants its first operand.
 *
 * "Quad q" below means the elements 4q .. 4q + 3 of a block or group.  A code line of quad q has
 * byte 4r + b = code of row r, element 4q + b.
 *
 *   nibbles   line j of a pair of quads: low nibbles are the first quad's, high the second's
 *   bits      a line of 8 quads: bit q of each byte is the fifth bit of quad q's code
 *   twos      a line of 4 quads: bits 2f, 2f + 1 of each byte belong to quad f
 *
 * Blocks of 32 elements, for rows 0-15, then for rows 16-31, then the scales of all 32 rows:
 *   Q4_0 IQ4_NL MXFP4 NVFP4  4 nibble lines (quads j and j + 4)
 *   Q4_1                     the same, minimums behind the scales
 *   Q5_0, Q5_1               4 nibble lines, 1 bit line
 *   Q8_0 Q8_1                8 code lines
 * Scales are f16, of MXFP4 bf16; NVFP4 has those of the first 16 elements, then of the second.
 *
 * Blocks of 256 elements in 8 groups of 32, for rows 0-15, then for rows 16-31, then d (and dmin)
 * of all 32 rows as f16:
 *   Q4_K    32 nibble lines (line 8p + q: quad q of groups 2p and 2p + 1), 3 lines of 6-bit scales:
 *           dword r of line j = bytes 4j .. 4j + 3 of the row's 12
 *   Q5_K    the same with 8 bit lines (one per group) between
 *   Q6_K    32 nibble lines, 16 lines of twos (line 2g + h: quads 4h .. 4h + 3 of group g),
 *           4 lines of scales of 16 elements: byte 4r + b of line j = scale 4j + b
 *   Q3_K    32 nibble lines, 4 lines of scales
 *   Q2_K    16 lines of twos, 4 lines of scales, 4 lines of minimums
 *   IQ4_XS  32 nibble lines, 2 lines of scales of 32 elements
 *
 * F16, BF16, F32: block = one element, a line (F32: two) of 32 rows. */
#ifndef KERNEL_PACK_H
#define KERNEL_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/quant.h"

/* Of one strip of n_in elements; 0 for a type that cannot be packed, or n_in not a number of blocks. */
size_t pack_strip_bytes(enum quant_type type, uint64_t n_in);

/* Blocks along K of a strip, as kern_strip counts them. */
int pack_n_blocks(enum quant_type type, int n_in);

/* Pack up to 32 rows, `row_bytes` apart, as the file has them; missing rows become zeros.
 * `strip` is 64-byte aligned.  Any bytes are possible as input. */
void pack_strip(enum quant_type type, void *strip, const void *rows, size_t row_bytes, int n_rows, int n_in);

/* Row r (0..31) of a packed strip as floats: the same numbers as dequantising the row of the file. */
void pack_row_f32(enum quant_type type, const void *strip, int r, int n_in, float *y);

#endif
