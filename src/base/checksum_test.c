/* checksum_test.c - Sums that notice every changed bit, and SHA-256 against its published vectors. */
#include "base/checksum.h"

#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "base/sha256.h"
#include "base/test.h"

TEST(a_checksum_notices_every_bit_and_every_length)
{
    uint8_t bytes[333];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand_at(1, 2, i);
    uint64_t sum = checksum(bytes, sizeof bytes, 5);
    CHECK(sum == checksum(bytes, sizeof bytes, 5));
    CHECK(sum != checksum(bytes, sizeof bytes, 6));
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(checksum(bytes, sizeof bytes, 5) != sum);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(bytes, 0, sizeof bytes);
    for (size_t n = 1; n < sizeof bytes; n++)
        CHECK(checksum(bytes, n, 5) != checksum(bytes, n - 1, 5));
}

static void check_sha(const char *text, size_t n, size_t piece, const char *want)
{
    struct sha256 s;
    uint8_t sum[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    sha256_init(&s);
    for (size_t at = 0; at < n; at += piece)
        sha256_add(&s, text + at, n - at < piece ? n - at : piece);
    sha256_end(&s, sum);
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    CHECK_STR(str_c(hex), str_c(want));
}

TEST(sha256_of_the_published_vectors)
{
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *many = malloc(1000000);
    REQUIRE(many);
    memset(many, 'a', 1000000);
    check_sha("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t piece = 1; piece < 60; piece += 7)
        check_sha(two, 56, piece, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha(many, 1000000, 997, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(many);
}
