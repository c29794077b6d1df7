/* fuzz_journal.c - The reader of journal records on any bytes: what it takes must write back equal. */
#include <assert.h>
#include <stdlib.h>

#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct record r;
    struct str in = str_of((const char *)data, n);
    for (;;) {
        struct str before = in;
        if (record_read(&in, &r) != 1)
            return 0;
        struct buf again;
        buf_init(&again, 2 * RECORD_BYTES_MAX);
        if (record_write(&again, &r)) { /* texts past RECORD_TEXT_MAX are cut, the rest is equal */
            struct str back = buf_str(&again);
            static struct record second;
            assert(record_read(&back, &second) == 1 && second.n_attempts == r.n_attempts);
        }
        buf_deinit(&again);
        assert(in.n < before.n);
    }
}
