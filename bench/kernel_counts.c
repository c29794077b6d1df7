/* kernel_counts.c - Run every tile of the AVX2 level once, to be counted by callgrind (bench/kernels.py).
 *
 * A strip of 2,048 inputs for 1, 2, 3 and 6 rows per type; the tile functions are not inlined, so
 * the profile tells them apart by name.  What is computed does not matter. */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/kernel.h"
#include "kernel/pack.h"

enum { N_IN = 2048, ROWS = 6, SLACK = 1 << 16 };

/* Types that share a tile would have it counted twice. */
static bool is_shared(const struct kern_ops *ops, int t)
{
    for (int i = 0; i < t; i++)
        if (ops->strip[i] == ops->strip[t])
            return true;
    return false;
}

int main(void)
{
    static const int heights[] = {1, 2, 3, 6};
    const struct kern_ops *ops;
    struct err err = {0};
    if (kern_choose(&ops, "avx2", &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    float *y = calloc(ROWS * KERN_STRIP, sizeof *y);
    for (int t = 0; t < QUANT_TYPES_END; t++) {
        const struct quant_info *info = quant_info((uint32_t)t);
        if (!info || !info->dot || !ops->strip[t] || is_shared(ops, t))
            continue;
        size_t strip = pack_strip_bytes((enum quant_type)t, N_IN), act = kern_act_bytes(ops, info->act, N_IN);
        void *w = aligned_alloc(64, (strip + SLACK + 63) / 64 * 64),
             *x = aligned_alloc(64, (act + 63) / 64 * 64);
        if (!y || !w || !x)
            return 1;
        for (size_t i = 0; i < strip; i++)
            ((unsigned char *)w)[i] = 0;
        for (size_t i = 0; i < act; i++)
            ((unsigned char *)x)[i] = 0;
        struct kern_row rows[ROWS];
        for (int r = 0; r < ROWS; r++)
            rows[r] = (struct kern_row){x, y + r * KERN_STRIP};
        for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
            ops->strip[t](w, pack_n_blocks((enum quant_type)t, N_IN), rows, heights[h], 0, false);
        free(w);
        free(x);
    }
    free(y);
    return 0;
}
