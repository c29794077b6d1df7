/* fuzz_sse.c - Event streams.  The first byte chooses the split.
 *
 * Oracle: the events are the same whatever way the bytes are cut, and what is written from them
 * is read back as the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/sse.h"

#define EVENT_MAX 512

static int read_stream(struct str in, size_t step, struct buf *seen, struct buf *rewritten)
{
    struct sse_reader r;
    struct sse_event e;
    sse_reader_init(&r, EVENT_MAX);
    int rc = 0;
    for (size_t at = 0; at < in.n && rc >= 0; at += step) {
        size_t n = in.n - at < step ? in.n - at : step;
        char *copy = malloc(n);
        if (!copy)
            abort();
        memcpy(copy, in.p + at, n);
        sse_feed(&r, str_of(copy, n));
        while ((rc = sse_next(&r, &e)) == 1) {
            buf_printf(seen, "%zu ", e.type.n);
            buf_str_add(seen, e.type);
            buf_printf(seen, " %zu ", e.data.n);
            buf_str_add(seen, e.data);
            if (rewritten)
                sse_write(rewritten, e.type, e.data);
        }
        free(copy);
    }
    sse_reader_deinit(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct str in = {(const char *)data + 1, n - 1};
    struct buf whole, cut, written, again;
    buf_init(&whole, 1u << 24);
    buf_init(&cut, 1u << 24);
    buf_init(&written, 1u << 24);
    buf_init(&again, 1u << 24);
    int rc = read_stream(in, in.n ? in.n : 1, &whole, &written);
    int rc_cut = read_stream(in, 1 + data[0] % 31, &cut, NULL);
    assert(rc == rc_cut && str_eq(buf_str(&whole), buf_str(&cut)));
    /* The written form may be longer (a space after each colon), so only whole streams of small
     * events are compared. */
    if (in.n < EVENT_MAX / 8) {
        read_stream(buf_str(&written), 7, &again, NULL);
        assert(str_eq(buf_str(&whole), buf_str(&again)));
    }
    buf_deinit(&whole);
    buf_deinit(&cut);
    buf_deinit(&written);
    buf_deinit(&again);
    return 0;
}
