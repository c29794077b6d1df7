/* sha256.h - Names for content: SHA-256 (FIPS 180-4), for those who must not link a TLS library.
 *
 * A few hundred bytes at a time; what hashes gigabytes uses checksum.h.  Any thread. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 {
    uint32_t state[8];
    uint64_t n; /* bytes so far */
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, uint8_t out[SHA256_BYTES]); /* s must be set up again */

#endif
