/* fuzz_dialect_anthropic.c - Any bytes to the Anthropic dialect's readers. */
#include "dialect_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    bool is_count = n && data[0] >= 128;
    struct dialect_in in = {.path = is_count ? S("/v1/messages/count_tokens") : S("/v1/messages")};
    drive(dialect_get(DIALECT_ANTHROPIC), in, data, n);
    return 0;
}
