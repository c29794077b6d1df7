/* kv_tile.c - Size and clearing of the tiles that hold keys and values (layouts: kernel.h). */
#include <string.h>

#include "kernel/kern_int.h"

size_t kern_kv_tile_bytes(enum kern_kv kv, int head_dim)
{
    size_t n = (size_t)head_dim;
    return kv == KERN_KV_Q8_0 ? 17 * n : kv == KERN_KV_I16 ? 32 * n + 4 * KERN_KV_TILE : 32 * n;
}

/* Zero what belongs to tokens `from` and later in n_lines lines of 16 tokens with `bytes` each. */
static void clear_lines(uint8_t *p, size_t n_lines, size_t bytes, size_t from)
{
    for (size_t i = 0; i < n_lines; i++)
        memset(p + (KERN_KV_TILE * i + from) * bytes, 0, (KERN_KV_TILE - from) * bytes);
}

/* The same in rows of n pairs of codes. */
static void clear_pair_rows(uint8_t *p, size_t n, size_t bytes, size_t from)
{
    size_t row = 2 * n * bytes;
    if (from % 2) {
        for (size_t d = 0; d < n; d++)
            memset(p + from / 2 * row + (2 * d + 1) * bytes, 0, bytes);
        from++;
    }
    memset(p + from / 2 * row, 0, (KERN_KV_TILE - from) / 2 * row);
}

void kern_kv_clear(enum kern_kv kv, uint8_t *k_tile, uint8_t *v_tile, int from_slot, int head_dim)
{
    size_t n = (size_t)head_dim, from = (size_t)from_slot;
    switch (kv) {
    case KERN_KV_Q8_0:
        for (size_t b = 0; b < n / 32; b++) { /* 16 lines of codes and one of scales */
            clear_lines(k_tile + KV_Q8_BLOCK * b, 17, 2, from);
        }
        clear_pair_rows(v_tile, n, 1, from);
        clear_lines(v_tile + KERN_KV_TILE * n, n / 32, 2, from);
        return;
    case KERN_KV_I16:
        clear_lines(k_tile, n / 2 + 1, 4, from); /* scales are as wide as a pair of codes */
        clear_pair_rows(v_tile, n, 2, from);
        clear_lines(v_tile + 2 * KERN_KV_TILE * n, 1, 4, from);
        return;
    case KERN_KV_F16:
    case KERN_KV_BF16:
    case KERN_KV_END:
        clear_lines(k_tile, n, 2, from);
        memset(v_tile + 2 * n * from, 0, 2 * n * (KERN_KV_TILE - from));
        return;
    }
}
