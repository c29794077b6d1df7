/* matmul_tiles.h - From tiles of some outputs and rows to the table of a level: what matmul_avx2_impl.h and
 * matmul_arm_impl.h share.
 *
 * The including file has INLINE, NO_SANITIZE, UNITS and N_TILES.  It makes a type's tiles by TILE and its
 * function by STRIP, for each list of types, and the level's table by FILL_STRIPS. */
#ifndef KERNEL_MATMUL_TILES_H
#define KERNEL_MATMUL_TILES_H

#include "kernel/kern_int.h"

typedef void tile_fn(const uint8_t *w, int n_blocks, const struct kern_row *rows, int col, int first_unit,
                     bool add);

struct tile {
    int units, rows;
    tile_fn *run;
};

/* n rows as tiles; `tiles` ascends in rows. */
INLINE void all_rows(const struct tile tiles[N_TILES], const void *strip, int n_blocks,
                     const struct kern_row *rows, int n, int col, bool add)
{
    while (n > 0) {
        const struct tile *t = &tiles[N_TILES - 1];
        while (t->rows > n)
            t--;
        for (int unit = 0; unit < UNITS; unit += t->units)
            t->run(strip, n_blocks, rows, col, unit, add);
        rows += t->rows;
        n -= t->rows;
    }
}

#define TILE(KIND, TYPE, UNITS_, N)                                                                          \
    static __attribute__((noinline, NO_SANITIZE)) void TYPE##_##N(                                           \
        const uint8_t *w, int nb, const struct kern_row *rows, int col, int first_unit, bool add)            \
    {                                                                                                        \
        KIND(QUANT_##TYPE, UNITS_, N, w, nb, rows, col, UNITS_ == UNITS ? 0 : first_unit, add);              \
    }

/* ...: its N_TILES tiles, as {units, rows, function}. */
#define STRIP(TYPE, ...)                                                                                     \
    static void strip_##TYPE(const void *strip, int n_blocks, const struct kern_row *rows, int n, int col,   \
                             bool add)                                                                       \
    {                                                                                                        \
        static const struct tile tiles[N_TILES] = {__VA_ARGS__};                                             \
        all_rows(tiles, strip, n_blocks, rows, n, col, add);                                                 \
    }

/* clang-format off */
#define TYPES32(X)     X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(IQ4_NL) X(MXFP4) X(NVFP4)
#define TYPES256(X)    X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_XS)
#define TYPES_FLOAT(X) X(F32) X(F16) X(BF16)
/* clang-format on */

#define SLOT(TYPE) ops->strip[QUANT_##TYPE] = strip_##TYPE;

#define FILL_STRIPS(NAME)                                                                                    \
    void NAME(struct kern_ops *ops)                                                                          \
    {                                                                                                        \
        ops->packed = true;                                                                                  \
        TYPES32(SLOT)                                                                                        \
        TYPES256(SLOT)                                                                                       \
        TYPES_FLOAT(SLOT)                                                                                    \
        ops->strip[QUANT_Q8_1] = strip_Q8_0;                                                                 \
    }

#endif
