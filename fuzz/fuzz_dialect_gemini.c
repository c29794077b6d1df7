/* fuzz_dialect_gemini.c - Any bytes to the Gemini dialect's readers. */
#include "dialect_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const paths[] = {
        "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent",
        "/v1beta/models/m:countTokens", "/v1beta/models/m:batchEmbedContents"};
    if (n)
        drive(dialect_get(DIALECT_GEMINI), (struct dialect_in){.path = str_c(paths[data[0] >> 6])}, data, n);
    return 0;
}
