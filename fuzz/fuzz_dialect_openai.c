/* fuzz_dialect_openai.c - Any bytes to the three OpenAI dialects' readers. */
#include "dialect_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum dialect_id ids[] = {DIALECT_OPENAI_CHAT, DIALECT_OPENAI_COMPLETIONS,
                                          DIALECT_OPENAI_EMBEDDINGS, DIALECT_OPENAI_CHAT};
    if (n)
        drive(dialect_get(ids[data[0] >> 6]), (struct dialect_in){.path = S("/v1/x")}, data, n);
    return 0;
}
