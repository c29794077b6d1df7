/* fuzz_gbnf.c - Any bytes as a grammar in GBNF: what compiles is never stuck. */
#include "grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return grammar_walk(GRAMMAR_GBNF, data, n);
}
