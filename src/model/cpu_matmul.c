/* cpu_matmul.c - Matrix products on the team: strips are the items, all rows go over each strip.
 *
 * Products that read the same activations (q, k, v) are one loop: one quantisation, one barrier.
 * With many rows, the rows are taken in portions that stay in the second-level cache while all
 * strips of an item range pass over them. */
#include <assert.h>

#include "model/cpu_int.h"

enum { PORTION_ROWS = 96, EXPECT_BYTES = 96 << 10 };

/* --- quantising rows ------------------------------------------------------------------------- */

struct quantize_job {
    struct backend *b;
    struct cpu_acts *acts;
    const float *x, *w;
    size_t x_stride;
    int n;
};

void cpu_quantize_row(const struct backend *b, struct cpu_acts *acts, const float *x, int n, int row)
{
    for (int act = QUANT_ACT_F32; act <= QUANT_ACT_Q8_256; act++)
        if (acts->rows[act])
            b->ops->quantize((enum quant_act)act, acts->rows[act] + (size_t)row * acts->stride[act], x, n);
}

static void quantize_rows(void *arg, int begin, int end, int worker)
{
    const struct quantize_job *j = arg;
    for (int row = begin; row < end; row++) {
        const float *x = j->x + (size_t)row * j->x_stride;
        if (j->w) {
            float *y = (float *)j->b->scratch[worker];
            j->b->ops->rmsnorm(y, x, j->w, j->n, j->b->plan->rms_eps);
            x = y;
        }
        cpu_quantize_row(j->b, j->acts, x, j->n, row);
    }
}

void cpu_run_rows(struct backend *b, team_work *work, void *job, int n_rows)
{
    if (n_rows <= CPU_FEW_ROWS)
        work(job, 0, n_rows, 0);
    else
        team_run(b->team, work, job, n_rows, 1);
}

void cpu_quantize(struct backend *b, struct cpu_acts *acts, const float *x, size_t x_stride, int n,
                  int n_rows)
{
    struct quantize_job j = {.b = b, .acts = acts, .x = x, .x_stride = x_stride, .n = n};
    cpu_run_rows(b, quantize_rows, &j, n_rows);
}

void cpu_norm_quantize(struct backend *b, struct cpu_acts *acts, const float *x, const float *w, int n,
                       int n_rows)
{
    struct quantize_job j = {.b = b, .acts = acts, .x = x, .w = w, .x_stride = (size_t)n, .n = n};
    cpu_run_rows(b, quantize_rows, &j, n_rows);
}

/* --- products -------------------------------------------------------------------------------- */

/* The last strip of a matrix whose outputs are not a multiple of 32: what hangs over the end of a
 * row would be the beginning of the next. */
static void cut_strip(const struct cpu_matrix *m, const uint8_t *strip, const struct kern_row *pairs, int n,
                      int s, bool add)
{
    float y[PORTION_ROWS][KERN_STRIP];
    struct kern_row rows[PORTION_ROWS] = {{0}};
    int valid = m->n_out - s * KERN_STRIP;
    for (int i = 0; i < n; i++)
        rows[i] = (struct kern_row){pairs[i].act, y[i]};
    m->strip(strip, m->n_blocks, rows, n, 0, false);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < valid; k++) {
            float *out = &pairs[i].y[s * KERN_STRIP + k];
            *out = add ? *out + y[i][k] : y[i][k];
        }
}

void cpu_strips(const struct cpu_matrix *m, const uint8_t *data, const struct kern_row *pairs, int n_pairs,
                int begin, int end, bool add)
{
    for (int first = 0; first < n_pairs; first += PORTION_ROWS) {
        int n = n_pairs - first < PORTION_ROWS ? n_pairs - first : PORTION_ROWS;
        for (int s = begin; s < end; s++) {
            const uint8_t *strip = data + (size_t)s * m->strip_bytes;
            if (m->n_out - s * KERN_STRIP < KERN_STRIP)
                cut_strip(m, strip, pairs + first, n, s, add);
            else
                m->strip(strip, m->n_blocks, pairs + first, n, s * KERN_STRIP, add);
        }
    }
}

struct product_job {
    const struct cpu_product *list;
    int n;
    const struct kern_row *pairs[CPU_PRODUCTS_MAX];
    int n_rows;
};

static void product_strips(void *arg, int begin, int end, int worker)
{
    const struct product_job *j = arg;
    (void)worker;
    for (int i = 0, first = 0; i < j->n && first < end; i++) {
        const struct cpu_matrix *m = j->list[i].m;
        int from = begin > first ? begin - first : 0,
            to = end - first < m->n_strips ? end - first : m->n_strips;
        if (from < to)
            cpu_strips(m, m->data, j->pairs[i], j->n_rows, from, to, j->list[i].add);
        first += m->n_strips;
    }
}

void cpu_products(struct backend *b, const struct cpu_product *list, int n, const struct cpu_acts *acts,
                  int n_rows)
{
    struct product_job j = {.list = list, .n = n, .n_rows = n_rows};
    struct kern_row *pair = b->pairs;
    int n_strips = 0;
    assert(n <= CPU_PRODUCTS_MAX);
    for (int i = 0; i < n; i++) {
        j.pairs[i] = pair;
        for (int r = 0; r < n_rows; r++)
            *pair++ = (struct kern_row){cpu_act_row(acts, list[i].m->act, r),
                                        list[i].y + (size_t)r * list[i].y_stride};
        n_strips += list[i].m->n_strips;
    }
    team_run(b->team, product_strips, &j, n_strips, 1);
}

struct branch_job {
    struct backend *b;
    const float *bias, *norm;
};

static void finish_branch(void *arg, int begin, int end, int worker)
{
    const struct branch_job *j = arg;
    const struct backend *b = j->b;
    int n = (int)b->plan->n_embd;
    (void)worker;
    for (int row = begin; row < end; row++) {
        float *x = b->x + (size_t)row * (size_t)n, *y = j->norm ? b->branch + (size_t)row * (size_t)n : x;
        if (j->bias)
            b->ops->add(y, j->bias, n);
        if (!j->norm)
            continue;
        b->ops->rmsnorm(y, y, j->norm, n, b->plan->rms_eps);
        b->ops->add(x, y, n);
    }
}

void cpu_add_branch(struct backend *b, const struct cpu_matrix *m, const struct cpu_acts *acts,
                    const float *bias, const float *norm)
{
    struct cpu_product p = {m, norm ? b->branch : b->x, b->plan->n_embd, !norm};
    struct branch_job j = {b, bias, norm};
    cpu_products(b, &p, 1, acts, b->n_rows);
    if (bias || norm)
        cpu_run_rows(b, finish_branch, &j, b->n_rows);
}

void cpu_expect(struct backend *b, const struct cpu_matrix *m, int n_strips)
{
    int workers = team_size(b->team);
    for (int i = 0; i < workers; i++) {
        size_t first = (size_t)((int64_t)n_strips * i / workers);
        team_expect(b->team, i, m->data + first * m->strip_bytes, EXPECT_BYTES);
    }
}

void cpu_expect_layer(struct backend *b, uint32_t layer)
{
    if (layer == b->plan->n_layers) {
        cpu_expect(b, &b->head, b->head.n_strips);
        return;
    }
    const struct cpu_layer *l = &b->layers[layer];
    if (l->kv_a.tensor) {
        const struct cpu_matrix *q = l->q_a.tensor ? &l->q_a : &l->q; /* behind kv_a */
        cpu_expect(b, &l->kv_a, l->kv_a.n_strips + q->n_strips);
        return;
    }
    cpu_expect(b, &l->q, l->q.n_strips + l->k.n_strips + l->v.n_strips);
}
