/* fuzz_safetensors.c - Any text as the header of a safetensors file: read or refused.
 *
 * The first byte chooses how many bytes the file's data has. */
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err err;
    if (n == 0)
        return 0;
    safetensors_check_header(str_of((const char *)data + 1, n - 1), 8 + n, 8 + n + data[0], &err);
    return 0;
}
