/* matmul_ref.c - Matrix products by the reference dot products: a "strip" is 32 rows as in the file. */
#include "kernel/kern_int.h"

static void strip_rows(enum quant_type type, const uint8_t *strip, int n_blocks, const struct kern_row *rows,
                       int n, int col, bool add)
{
    const struct quant_info *info = quant_info(type);
    size_t elems = (size_t)n_blocks * (type == QUANT_NVFP4 ? 32 : info->block_elems);
    size_t row_bytes = elems / info->block_elems * info->block_bytes;
    for (int i = 0; i < n; i++)
        for (int r = 0; r < KERN_STRIP; r++) {
            float v = info->dot(strip + (size_t)r * row_bytes, rows[i].act, elems);
            float *y = rows[i].y + col + r;
            *y = add ? *y + v : v;
        }
}

/* clang-format off */
#define TYPES(X) \
    X(F32) X(F16) X(BF16) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) \
    X(Q8_1) X(IQ4_NL) X(MXFP4) X(NVFP4) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) \
    X(Q6_K) X(IQ4_XS)
/* clang-format on */

#define STRIP(TYPE)                                                                                          \
    static void strip_##TYPE(const void *strip, int n_blocks, const struct kern_row *rows, int n, int col,   \
                             bool add)                                                                       \
    {                                                                                                        \
        strip_rows(QUANT_##TYPE, strip, n_blocks, rows, n, col, add);                                        \
    }
TYPES(STRIP)

#define SLOT(TYPE) ops->strip[QUANT_##TYPE] = strip_##TYPE;

void kern_strips_ref(struct kern_ops *ops)
{
    ops->packed = false;
    TYPES(SLOT)
}
