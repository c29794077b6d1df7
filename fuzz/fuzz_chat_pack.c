/* fuzz_chat_pack.c - Any bytes as a packed answer, gathered and packed again. */
#include "api/chat_pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;
    struct buf again;
    struct chat_collector *c = chat_collector_new(1 << 20);
    arena_init(&a, 1 << 20);
    buf_init(&again, 4 << 20);
    if (c && chat_unpack(str_of((const char *)data, n), &a, &(struct chat_sink){chat_collect, c}) == OK) {
        const struct chat_answer *answer = chat_collected(c);
        if (answer)
            chat_pack(answer, &again);
    }
    buf_deinit(&again);
    arena_deinit(&a);
    chat_collector_free(c);
    return 0;
}
