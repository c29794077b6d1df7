/* Every level gives the same bits as the reference, for every type, shape and kind of input. */
#include "kernel/kernel.h"

#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "kernel/pack.h"
#include "kernel/quant.h"

static float normal(struct rng *r)
{
    float s = 0;
    for (int i = 0; i < 12; i++)
        s += (float)rng_unit(r);
    return s - 6;
}

enum input { GAUSSIAN, OUTLIERS, NASTY, INPUTS_END };

static void fill(float *x, int n, enum input kind, struct rng *r)
{
    for (int i = 0; i < n; i++) {
        x[i] = normal(r);
        if (kind == OUTLIERS && rng_below(r, 64) == 0)
            x[i] *= 1000;
        if (kind == NASTY)
            switch (rng_below(r, 6)) {
            case 0: x[i] = 0; break;
            case 1: x[i] = -0.0f; break;
            case 2: x[i] *= 1e-35f; break;
            case 3: x[i] *= 1e20f; break;
            case 4: x[i] = 1; break;
            default: break;
            }
    }
    if (kind == NASTY && n >= 512) /* whole blocks of zeros and of tiny numbers */
        for (int i = 0; i < 256; i++) {
            x[i] = 0;
            x[256 + i] *= 1e-38f;
        }
}

/* Rows of a weight type: quantised numbers, or (for the fast levels must take any) random bytes
 * with finite scales. */
static void fill_weights(enum quant_type type, uint8_t *w, int n_rows, int n_in, enum input kind,
                         struct rng *r)
{
    const struct quant_info *info = quant_info(type);
    uint64_t row_bytes = 0;
    quant_row_bytes(type, (uint64_t)n_in, &row_bytes);
    float *x = malloc((size_t)n_in * sizeof *x);
    for (int i = 0; i < n_rows; i++) {
        uint8_t *row = w + (uint64_t)i * row_bytes;
        fill(x, n_in, kind == NASTY ? OUTLIERS : kind, r);
        if (info->quantize && !(kind == NASTY && info->block_elems > 1)) {
            info->quantize(row, x, (size_t)n_in, NULL);
            continue;
        }
        for (uint64_t b = 0; b < row_bytes; b++)
            row[b] = (uint8_t)rng_next(r);
        float y[256];
        for (uint64_t b = 0; b < row_bytes; b += info->block_bytes) /* no NaN, no infinity */
            for (;;) {
                bool finite = true;
                info->dequantize(y, row + b, info->block_elems);
                for (int k = 0; k < info->block_elems; k++)
                    finite = finite && y[k] - y[k] == 0;
                if (finite)
                    break;
                for (int k = 0; k < info->block_bytes; k++)
                    row[b + (uint64_t)k] = (uint8_t)rng_next(r);
            }
    }
    free(x);
}

struct product {
    enum quant_type type;
    int n_in, n_out, n_rows;
    bool add;
};

/* y[n_rows][n_out rounded up to strips] */
static void compute(const struct kern_ops *ops, const struct product *p, const uint8_t *w, const float *x,
                    float *y)
{
    uint64_t row_bytes = 0;
    enum quant_act act = quant_info(p->type)->act;
    quant_row_bytes(p->type, (uint64_t)p->n_in, &row_bytes);
    size_t strip_bytes = ops->packed ? pack_strip_bytes(p->type, (uint64_t)p->n_in) : KERN_STRIP * row_bytes;
    size_t act_bytes = (kern_act_bytes(ops, act, p->n_in) + 63) / 64 * 64;
    int n_strips = (p->n_out + KERN_STRIP - 1) / KERN_STRIP;
    uint8_t *strip = aligned_alloc(64, (strip_bytes + 63) / 64 * 64),
            *acts = aligned_alloc(64, act_bytes * (size_t)p->n_rows);
    struct kern_row rows[64];
    for (int i = 0; i < p->n_rows; i++) {
        ops->quantize(act, acts + (size_t)i * act_bytes, x + (size_t)i * (size_t)p->n_in, p->n_in);
        rows[i] =
            (struct kern_row){acts + (size_t)i * act_bytes, y + (size_t)i * (size_t)n_strips * KERN_STRIP};
    }
    for (int s = 0; s < n_strips; s++) {
        int n = p->n_out - s * KERN_STRIP < KERN_STRIP ? p->n_out - s * KERN_STRIP : KERN_STRIP;
        const uint8_t *from = w + (uint64_t)s * KERN_STRIP * row_bytes;
        if (ops->packed) {
            pack_strip(p->type, strip, from, row_bytes, n, p->n_in);
        } else {
            memset(strip, 0, strip_bytes);
            memcpy(strip, from, (size_t)n * row_bytes);
        }
        ops->strip[p->type](strip, pack_n_blocks(p->type, p->n_in), rows, p->n_rows, s * KERN_STRIP, p->add);
    }
    free(strip);
    free(acts);
}

static void check_product(const struct kern_ops *ref, const struct kern_ops *ops, const struct product *p,
                          enum input kind, struct rng *r)
{
    uint64_t row_bytes = 0;
    quant_row_bytes(p->type, (uint64_t)p->n_in, &row_bytes);
    size_t width = (size_t)(p->n_out + KERN_STRIP - 1) / KERN_STRIP * KERN_STRIP,
           n = width * (size_t)p->n_rows;
    uint8_t *w = malloc((size_t)p->n_out * row_bytes);
    float *x = malloc((size_t)p->n_rows * (size_t)p->n_in * sizeof *x);
    float *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
    fill_weights(p->type, w, p->n_out, p->n_in, kind, r);
    fill(x, p->n_rows * p->n_in, kind == NASTY && quant_info(p->type)->act == QUANT_ACT_F32 ? OUTLIERS : kind,
         r);
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] = normal(r);
    compute(ref, p, w, x, a);
    compute(ops, p, w, x, b);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
            test_fail(__FILE__, __LINE__,
                      "%s %s, %d in, %d rows, input %d: output %zu is %.9g, reference %.9g", ops->name,
                      quant_name(p->type), p->n_in, p->n_rows, (int)kind, i, (double)b[i], (double)a[i]);
            break;
        }
    free(w);
    free(x);
    free(a);
    free(b);
}

static void check_level(const char *name)
{
    const struct kern_ops *ref, *ops;
    struct rng r = rng_seeded(7);
    REQUIRE(kern_choose(&ref, "ref", NULL) == OK);
    if (kern_choose(&ops, name, NULL) != OK)
        test_skip("this processor does not have the level");
    for (int t = 0; t < QUANT_TYPES_END; t++) {
        if (!ref->strip[t])
            continue;
        if (!CHECK(ops->strip[t] != NULL))
            continue;
        for (int kind = 0; kind < INPUTS_END; kind++)
            for (int n = 1; n <= 14; n = n < 7 ? n + 1 : 2 * n) {
                struct product p = {.type = (enum quant_type)t,
                                    .n_in = kind == NASTY ? 768 : 256,
                                    .n_out = 45,
                                    .n_rows = n,
                                    .add = n % 2 == 0};
                check_product(ref, ops, &p, (enum input)kind, &r);
            }
    }
}

TEST(avx512_matrix_products_equal_the_reference)
{
    check_level("avx512");
}

TEST(avx2_matrix_products_equal_the_reference)
{
    check_level("avx2");
}

TEST(avxvnni_matrix_products_equal_the_reference)
{
    check_level("avxvnni");
}

TEST(neon_matrix_products_equal_the_reference)
{
    check_level("neon");
}

TEST(i8mm_matrix_products_equal_the_reference)
{
    check_level("i8mm");
}
