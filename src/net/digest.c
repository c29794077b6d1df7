/* digest.c - See digest.h.  Apart from everything else, because OpenSSL's headers claim names that
 * base/err.h has. */
#include "net/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

static EVP_MD *fetched;

static void fetch(void)
{
    fetched = EVP_MD_fetch(NULL, "SHA256", NULL); /* by name it would be looked for at each call */
}

static const EVP_MD *sha256(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch);
    return fetched ? fetched : EVP_sha256();
}

void digest_sha256(const void *data, size_t n, uint8_t out[SHA256_BYTES])
{
    unsigned got = 0;
    int ok = EVP_Digest(data ? data : "", n, out, &got, sha256(), NULL);
    assert(ok == 1 && got == SHA256_BYTES);
    (void)ok;
}

void digest_hmac_sha256(const void *key, size_t key_n, const void *data, size_t n, uint8_t out[SHA256_BYTES])
{
    unsigned got = 0;
    const void *ok = HMAC(EVP_sha256(), key, (int)key_n, data, n, out, &got);
    assert(ok && got == SHA256_BYTES);
    (void)ok;
}

struct digest *digest_create(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(c);
        c = NULL;
    }
    return (struct digest *)c;
}

void digest_add(struct digest *d, const void *data, size_t n)
{
    EVP_DigestUpdate((EVP_MD_CTX *)d, data, n);
}

void digest_finish(struct digest *d, uint8_t out[SHA256_BYTES])
{
    unsigned got = 0;
    EVP_DigestFinal_ex((EVP_MD_CTX *)d, out, &got);
    EVP_MD_CTX_free((EVP_MD_CTX *)d);
}
