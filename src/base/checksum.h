/* checksum.h - Has a large piece of memory changed?  A 64-bit sum at the speed of reading it.
 *
 * Finds accidents (torn writes, flipped bits, another file), not attackers: whoever may write the
 * bytes can also write a fitting sum.  For names that strangers influence there is sha256.h. */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Depends on every bit of p[n], on n and on the seed; the same on every little-endian machine. */
uint64_t checksum(const void *p, size_t n, uint64_t seed);

#endif
