/* fuzz_regex.c - Any bytes as a pattern: what compiles is never stuck. */
#include "grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return grammar_walk(GRAMMAR_REGEX, data, n);
}
