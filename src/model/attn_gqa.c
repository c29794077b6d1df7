/* attn_gqa.c - Grouped-query attention over KV pages.
 *
 * attn_in    n = norm(x); q, k, v = W n (+ bias); q and k normalised per head where the
 *            architecture says so; rope; k and v into the pool, q scaled by log2(e) / sqrt(d)
 * attn       for each KV head and block of rows: the queries of the group share every read of K
 *            and V; segments of KERN_SEGMENT keys at absolute positions, merged in ascending order
 * attn_out   x += Wo a (+ bias)
 *
 * A prompt chunk reads its own keys and values back from the pool, so a row sees the same bytes
 * however the prompt was cut. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/cpu_int.h"

enum { BLOCK_QUERIES = 48 }; /* queries that pass over a segment while it is in the cache */

/* --- attn_in --------------------------------------------------------------------------------- */

struct in_job {
    struct backend *b;
    uint32_t layer;
};

static void rotate(const struct backend *b, float *x, int row)
{
    const float *c = b->cosines + (size_t)row * (b->plan->n_rot / 2), *s = b->sines + (size_t)row * (b->plan->n_rot / 2);
    if (b->plan->arch->rope == ARCH_ROPE_NEOX)
        b->ops->rope_neox(x, c, s, (int)b->plan->n_rot);
    else
        b->ops->rope_norm(x, c, s, (int)b->plan->n_rot);
}

/* Bias, norm, rope and scale of the heads of one row. */
static void finish_heads(const struct backend *b, float *x, int n_heads, const float *bias, const float *norm, int row,
                         float scale)
{
    int hd = (int)b->plan->head_dim;
    if (bias)
        b->ops->add(x, bias, n_heads * hd);
    for (int h = 0; h < n_heads; h++) {
        float *head = x + h * hd;
        if (norm)
            b->ops->rmsnorm(head, head, norm, hd, b->plan->rms_eps);
        rotate(b, head, row);
    }
    if (scale != 1)
        b->ops->scale(x, x, scale, n_heads * hd);
}

void cpu_clear_tail(const struct backend *b, uint8_t *k, uint8_t *v, int slot)
{
    size_t n = b->plan->head_dim, from = (size_t)slot + 1, left = KERN_KV_TILE - from;
    if (b->kv_type != KERN_KV_Q8_0) {
        for (size_t d = 0; d < n; d++)
            memset(k + 2 * (KERN_KV_TILE * d + from), 0, 2 * left);
        memset(v + 2 * n * from, 0, 2 * n * left);
        return;
    }
    for (size_t block = 0; block < n / 32; block++) {
        uint8_t *p = k + b->kv_tile_bytes / (n / 32) * block;
        for (size_t d = 0; d <= 32; d++) { /* codes, then the scales in two bytes each */
            size_t bytes = d < 32 ? 1 : 2;
            memset(p + KERN_KV_TILE * d + bytes * from, 0, bytes * left);
        }
    }
    memset(v + n * from, 0, n * left);
    memset(v + KERN_KV_TILE * n + n / 16 * from, 0, n / 16 * left);
}

/* Rows of one tile may be stored by several workers at once: each touches its own slot, and the
 * last row of a run that began the tile also clears the slots behind it. */
static void store_kv(struct backend *b, uint32_t layer, int row, const struct cpu_run *run)
{
    uint32_t pos = run->pos + (uint32_t)(row - run->row);
    const uint32_t *pages = run->pages;
    int hd = (int)b->plan->head_dim, n_kv = (int)b->plan->n_kv_heads, in_page = (int)(pos % (uint32_t)b->page_tokens);
    int tile = in_page / KERN_KV_TILE, slot = in_page % KERN_KV_TILE, tiles = b->page_tokens / KERN_KV_TILE;
    for (int h = 0; h < n_kv; h++) {
        uint8_t *head = cpu_kv_at(b, layer, (uint32_t)h, pages[pos / (uint32_t)b->page_tokens]);
        uint8_t *k = head + (size_t)tile * b->kv_tile_bytes, *v = head + (size_t)(tiles + tile) * b->kv_tile_bytes;
        if (row == run->row + run->n_rows - 1 && run->n_rows > slot)
            cpu_clear_tail(b, k, v, slot);
        size_t at = ((size_t)row * (size_t)n_kv + (size_t)h) * (size_t)hd;
        b->ops->kv_put(b->kv_type, k, v, slot, b->k + at, b->v + at, hd);
    }
}

static void finish_rows(void *arg, int begin, int end, int worker)
{
    struct in_job *j = arg;
    struct backend *b = j->b;
    const struct cpu_layer *l = &b->layers[j->layer];
    const struct plan *p = b->plan;
    float scale = 1.44269504f / sqrtf((float)p->head_dim);
    size_t q = (size_t)p->n_heads * p->head_dim, kv = (size_t)p->n_kv_heads * p->head_dim;
    (void)worker;
    for (int i = 0; i < b->n_runs; i++) {
        const struct cpu_run *run = &b->runs[i];
        int from = begin > run->row ? begin : run->row;
        int to = end < run->row + run->n_rows ? end : run->row + run->n_rows;
        for (int row = from; row < to; row++) {
            finish_heads(b, b->q + (size_t)row * q, (int)p->n_heads, l->q_bias, l->q_norm, row, scale);
            finish_heads(b, b->k + (size_t)row * kv, (int)p->n_kv_heads, l->k_bias, l->k_norm, row, 1);
            if (l->v_bias)
                b->ops->add(b->v + (size_t)row * kv, l->v_bias, (int)kv);
            store_kv(b, j->layer, row, run);
        }
    }
}

void cpu_attn_in(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    size_t q = (size_t)b->plan->n_heads * b->plan->head_dim, kv = (size_t)b->plan->n_kv_heads * b->plan->head_dim;
    cpu_norm_quantize(b, &b->in, b->x, l->attn_norm, NULL, b->n_rows);
    struct cpu_product list[] = {{&l->q, b->q, q, false}, {&l->k, b->k, kv, false}, {&l->v, b->v, kv, false}};
    cpu_products(b, list, 3, &b->in, b->n_rows);
    struct in_job j = {b, layer};
    if (b->n_rows <= CPU_FEW_ROWS)
        finish_rows(&j, 0, b->n_rows, 0);
    else
        team_run(b->team, finish_rows, &j, b->n_rows, 1);
}

/* --- attn ------------------------------------------------------------------------------------ */

/* Work of one item: all queries of a KV head's group for a block of neighbouring rows. */
struct attn_job {
    struct backend *b;
    uint32_t layer;
    int block_rows;  /* rows of a block */
    int n_blocks;    /* of all runs together */
};

/* Scratch of a worker. */
struct attn_scratch {
    float *scores;                  /* for the kernel */
    float *part;                    /* [KERN_QUERIES][head_dim] */
    struct kern_attn_state *states; /* [BLOCK_QUERIES + group] */
    float **outs;
};

static int block_rows(const struct backend *b)
{
    int group = (int)(b->plan->n_heads / b->plan->n_kv_heads);
    return group >= BLOCK_QUERIES ? 1 : BLOCK_QUERIES / group;
}

static size_t scores_bytes(void)
{
    return KERN_QUERIES * KERN_SEGMENT * sizeof(float);
}

size_t cpu_attn_scratch_bytes(const struct backend *b)
{
    size_t group = b->plan->n_heads / b->plan->n_kv_heads, queries = group * (size_t)block_rows(b);
    return scores_bytes() + KERN_QUERIES * b->plan->head_dim * sizeof(float) +
           queries * sizeof(struct kern_attn_state) + 64;
}

/* Queries [first, first + n) of a block over one segment. */
struct attn_block {
    const struct cpu_run *run;
    int row, n_rows, head, group; /* first row in the batch, KV head, query heads of it */
    uint32_t pos;                 /* of the first row */
};

static void attend_queries(const struct attn_job *j, const struct attn_block *blk, struct kern_attn *a,
                           struct kern_attn_state *states, int first, int n, uint32_t segment)
{
    const struct backend *b = j->b;
    int hd = (int)b->plan->head_dim, n_heads = (int)b->plan->n_heads;
    float *outs[KERN_QUERIES];
    a->n_queries = n;
    for (int i = 0; i < n; i++) {
        int r = (first + i) / blk->group, g = (first + i) % blk->group;
        size_t at = ((size_t)(blk->row + r) * (size_t)n_heads + (size_t)(blk->head * blk->group + g)) * (size_t)hd;
        int64_t keys = (int64_t)blk->pos + r + 1 - (int64_t)segment * KERN_SEGMENT;
        a->q[i] = b->q + at;
        a->n_keys[i] = keys < 0 ? 0 : keys > KERN_SEGMENT ? KERN_SEGMENT : (int)keys;
        outs[i] = b->a + at;
    }
    b->ops->attn[b->kv_type](a);
    for (int i = 0; i < n; i++)
        b->ops->attn_merge(&states[first + i], outs[i], a->max[i], a->sum[i], a->out[i], hd);
}

/* Pointers to the tiles of a segment, as far as the last key in use; returns their number.
 * v_tiles may be NULL. */
static int find_tiles(const struct attn_job *j, const struct attn_block *blk, const uint8_t **k_tiles,
                      const uint8_t **v_tiles, uint32_t segment)
{
    const struct backend *b = j->b;
    uint32_t first = segment * KERN_SEGMENT, last = blk->pos + (uint32_t)blk->n_rows - 1;
    int tiles = b->page_tokens / KERN_KV_TILE, t = 0;
    for (; t < KERN_SEGMENT / KERN_KV_TILE && first + (uint32_t)t * KERN_KV_TILE <= last; t++) {
        uint32_t pos = first + (uint32_t)t * KERN_KV_TILE;
        const uint8_t *head = cpu_kv_at(b, j->layer, (uint32_t)blk->head, blk->run->pages[pos / (uint32_t)b->page_tokens]);
        int tile = (int)(pos % (uint32_t)b->page_tokens) / KERN_KV_TILE;
        k_tiles[t] = head + (size_t)tile * b->kv_tile_bytes;
        if (v_tiles)
            v_tiles[t] = head + (size_t)(tiles + tile) * b->kv_tile_bytes;
    }
    return t;
}

static void attend_block(const struct attn_job *j, const struct attn_block *blk, uint8_t *scratch)
{
    const struct backend *b = j->b;
    int hd = (int)b->plan->head_dim, n = blk->n_rows * blk->group;
    struct kern_attn a = {.head_dim = hd, .scores = (float *)scratch};
    float *part = (float *)(scratch + scores_bytes());
    struct kern_attn_state *states = (struct kern_attn_state *)(part + KERN_QUERIES * hd);
    for (int i = 0; i < KERN_QUERIES; i++)
        a.out[i] = part + i * hd;
    for (int i = 0; i < n; i++)
        states[i] = (struct kern_attn_state){-INFINITY, 0};
    for (int r = 0; r < blk->n_rows; r++)
        memset(b->a + ((size_t)(blk->row + r) * b->plan->n_heads + (size_t)(blk->head * blk->group)) * (size_t)hd, 0,
               (size_t)(blk->group * hd) * sizeof(float));
    uint32_t last = blk->pos + (uint32_t)blk->n_rows - 1;
    for (uint32_t segment = 0; segment * KERN_SEGMENT <= last; segment++) {
        find_tiles(j, blk, a.k_tiles, a.v_tiles, segment);
        a.n_next = find_tiles(j, blk, a.next_k_tiles, NULL, segment + 1);
        a.fetch = true;
        for (int left = (n + KERN_QUERIES - 1) / KERN_QUERIES, first = 0; left > 0; left--) {
            int now = (n - first + left - 1) / left;
            attend_queries(j, blk, &a, states, first, now, segment);
            a.n_next = 0;
            a.fetch = false;
            first += now;
        }
    }
    for (int i = 0; i < n; i++) {
        int r = i / blk->group, g = i % blk->group;
        size_t head = (size_t)(blk->row + r) * b->plan->n_heads + (size_t)(blk->head * blk->group + g);
        b->ops->attn_finish(&states[i], b->a + head * (size_t)hd, hd);
    }
}

/* Items are ordered by block, then head: neighbours share pages, and long contexts end up
 * everywhere. */
static void attend_items(void *arg, int begin, int end, int worker)
{
    const struct attn_job *j = arg;
    struct backend *b = j->b;
    int n_kv = (int)b->plan->n_kv_heads, group = (int)b->plan->n_heads / n_kv;
    for (int item = begin; item < end; item++) {
        int block = item / n_kv;
        for (int i = 0; i < b->n_runs; i++) {
            const struct cpu_run *run = &b->runs[i];
            int blocks = (run->n_rows + j->block_rows - 1) / j->block_rows;
            if (block >= blocks) {
                block -= blocks;
                continue;
            }
            int first = block * j->block_rows, left = run->n_rows - first;
            struct attn_block blk = {.run = run, .row = run->row + first, .head = item % n_kv, .group = group,
                                     .n_rows = left < j->block_rows ? left : j->block_rows,
                                     .pos = run->pos + (uint32_t)first};
            attend_block(j, &blk, b->scratch[worker]);
            break;
        }
    }
}

void cpu_attn(struct backend *b, uint32_t layer)
{
    struct attn_job j = {.b = b, .layer = layer, .block_rows = block_rows(b)};
    for (int i = 0; i < b->n_runs; i++)
        j.n_blocks += (b->runs[i].n_rows + j.block_rows - 1) / j.block_rows;
    team_run(b->team, attend_items, &j, j.n_blocks * (int)b->plan->n_kv_heads, 1);
}

/* --- attn_out -------------------------------------------------------------------------------- */

void cpu_attn_out(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    int n = (int)(b->plan->n_heads * b->plan->head_dim);
    cpu_quantize(b, &b->mid, b->a, (size_t)n, n, b->n_rows);
    struct cpu_product p = {&l->o, b->x, b->plan->n_embd, true};
    cpu_products(b, &p, 1, &b->mid, b->n_rows);
    for (int r = 0; l->o_bias && r < b->n_rows; r++)
        b->ops->add(b->x + (size_t)r * b->plan->n_embd, l->o_bias, (int)b->plan->n_embd);
}
