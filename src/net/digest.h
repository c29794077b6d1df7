/* digest.h - SHA-256 and HMAC-SHA-256, by OpenSSL.  Pure.  Any thread. */
#ifndef NET_DIGEST_H
#define NET_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

void digest_sha256(const void *data, size_t n, uint8_t out[SHA256_BYTES]);
void digest_hmac_sha256(const void *key, size_t key_n, const void *data, size_t n, uint8_t out[SHA256_BYTES]);

/* In pieces: create, add..., finish (which frees).  NULL without memory. */
struct digest;
struct digest *digest_create(void);
void digest_add(struct digest *d, const void *data, size_t n);
void digest_finish(struct digest *d, uint8_t out[SHA256_BYTES]);

#endif
