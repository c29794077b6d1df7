/* attn_mla.c - Latent attention (DeepSeek), absorbed: what lies before and behind attn_gqa.c's cpu_attn().
 *
 * A token has one vector c of kv_lora numbers, from which each head h would make its keys and values as
 * k_b[h] c and v_b[h] c, and one rotated part r that all heads share.  A head's score is then
 *
 *   q . [k_b[h] c | r]  =  [k_b[h]^T q_nope | q_rope] . [c | r]
 *
 * so the matrices move to the queries and to the results, and what is kept is [c | r], of one head for all.
 *
 * mla_in     n = norm(x); q = W n, or W norm(W' n); c, r = W n; c = norm(c); rope of r and of q's last part;
 *            key [c | r] and value [c | 0] into the pool; queries [k_b[h] q_nope | q_rope]
 * mla_out    x += Wo (v_b[h] a[h] of all heads)
 *
 * The tensor k_b is transposed in the file.  A value has zeros behind c, so that keys and values have the
 * same size, as the kernels want it. */
#include <string.h>

#include "model/cpu_int.h"

struct mla_job {
    struct backend *b;
    uint32_t layer;
};

/* --- a matrix for each head ------------------------------------------------------------------ */

struct heads_job {
    const struct cpu_matrix *m;
    const struct kern_row *pairs; /* [heads][n_rows] */
    int n_rows;
};

/* Items are (head, strip). */
static void head_strips(void *arg, int begin, int end, int worker)
{
    const struct heads_job *j = arg;
    const struct cpu_matrix *m = j->m;
    (void)worker;
    while (begin < end) {
        int head = begin / m->n_strips, base = head * m->n_strips;
        int stop = base + m->n_strips < end ? base + m->n_strips : end;
        cpu_strips(m, m->data + (size_t)base * m->strip_bytes, j->pairs + (size_t)head * (size_t)j->n_rows,
                   j->n_rows, begin - base, stop - base, false);
        begin = stop;
    }
}

/* y[row][head], `stride` apart, = m[head] acts[row][head]. */
static void head_products(struct backend *b, const struct cpu_matrix *m, const struct cpu_acts *acts,
                          float *y, size_t stride)
{
    int heads = (int)b->plan->n_heads;
    struct kern_row *pair = b->pairs;
    for (int h = 0; h < heads; h++)
        for (int row = 0; row < b->n_rows; row++) {
            int at = row * heads + h;
            *pair++ = (struct kern_row){cpu_act_row(acts, m->act, at), y + (size_t)at * stride};
        }
    struct heads_job j = {m, b->pairs, b->n_rows};
    team_run(b->team, head_strips, &j, heads * m->n_strips, 1);
}

/* --- mla_in ---------------------------------------------------------------------------------- */

static const struct cpu_run *run_of(const struct backend *b, int row)
{
    int lo = 0, hi = b->n_runs;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        *(b->runs[mid].row <= row ? &lo : &hi) = mid;
    }
    return &b->runs[lo];
}

/* Key and value of a row into the pool. */
static void finish_key(struct backend *b, uint32_t layer, int row)
{
    const struct plan *p = b->plan;
    size_t hd = p->head_dim, lora = p->mla.kv_lora, n_rot = p->n_rot;
    const float *from = b->mla.kv_a + (size_t)row * hd;
    float *k = b->k + (size_t)row * hd, *v = b->v + (size_t)row * hd;
    b->ops->rmsnorm(v, from, b->layers[layer].kv_a_norm, (int)lora, p->rms_eps);
    memset(v + lora, 0, n_rot * sizeof *v);
    memcpy(k, v, lora * sizeof *k);
    memcpy(k + lora, from + lora, n_rot * sizeof *k);
    cpu_rotate(b, layer, k + lora, row);
    cpu_store_kv(b, layer, row, run_of(b, row));
}

static void finish_rows(void *arg, int begin, int end, int worker)
{
    const struct mla_job *j = arg;
    struct backend *b = j->b;
    const struct plan *p = b->plan;
    size_t hd = p->head_dim, nope = p->mla.nope, key = nope + p->n_rot, heads = p->n_heads;
    (void)worker;
    for (int row = begin; row < end; row++) {
        finish_key(b, j->layer, row);
        for (size_t at = (size_t)row * heads; at < ((size_t)row + 1) * heads; at++) {
            float *q = b->mla.q + at * key;
            cpu_rotate(b, j->layer, q + nope, row);
            memcpy(b->q + at * hd + p->mla.kv_lora, q + nope, p->n_rot * sizeof *q);
            cpu_quantize_row(b, &b->mla.nope, q, (int)nope, (int)at);
        }
    }
}

static void finish_queries(void *arg, int begin, int end, int worker)
{
    const struct mla_job *j = arg;
    (void)worker;
    for (int row = begin; row < end; row++)
        cpu_finish_queries(j->b, j->b->q + (size_t)row * j->b->plan->n_heads * j->b->plan->head_dim);
}

void cpu_mla_in(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    const struct plan *p = b->plan;
    size_t q = (size_t)p->n_heads * (p->mla.nope + p->n_rot), lora = p->mla.q_lora;
    struct cpu_product kv = {&l->kv_a, b->mla.kv_a, p->head_dim, false},
                       queries = {&l->q, b->mla.q, q, false};
    struct cpu_product first[] = {kv, queries};
    if (lora)
        first[1] = (struct cpu_product){&l->q_a, b->mla.q_a, lora, false};
    cpu_norm_quantize(b, &b->in, b->x, l->attn_norm, (int)p->n_embd, b->n_rows);
    cpu_products(b, first, 2, &b->in, b->n_rows);
    if (lora) {
        cpu_norm_quantize(b, &b->mla.q_lora, b->mla.q_a, l->q_a_norm, (int)lora, b->n_rows);
        cpu_products(b, &queries, 1, &b->mla.q_lora, b->n_rows);
    }
    struct mla_job j = {b, layer};
    cpu_run_rows(b, finish_rows, &j, b->n_rows);
    head_products(b, &l->k_b, &b->mla.nope, b->q, p->head_dim);
    cpu_run_rows(b, finish_queries, &j, b->n_rows);
}

/* --- mla_out --------------------------------------------------------------------------------- */

void cpu_mla_out(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    const struct plan *p = b->plan;
    size_t o = (size_t)p->n_heads * p->mla.value;
    cpu_quantize(b, &b->mla.kv_lora, b->a, p->head_dim, (int)p->mla.kv_lora, b->n_rows * (int)p->n_heads);
    cpu_expect(b, &l->o, l->o.n_strips);
    head_products(b, &l->v_b, &b->mla.kv_lora, b->mla.o, p->mla.value);
    cpu_quantize(b, &b->mid, b->mla.o, o, (int)o, b->n_rows);
    if (!l->router.tensor)
        cpu_expect(b, &l->gate, l->gate.n_strips);
    cpu_add_branch(b, &l->o, &b->mid, NULL, NULL);
}
