/* attn_gqa.c - Grouped-query attention over KV pages.
 *
 * attn_in    n = norm(x); q, k, v = W n (+ bias); q and k normalised per head where the
 *            architecture says so; rope; k and v into the pool, q scaled
 * attn       for each KV head and block of rows: the queries of the group share every read of K
 *            and V; segments of KERN_SEGMENT keys at absolute positions, merged in ascending order; those
 *            wholly outside the layer's window are passed over
 * attn_out   x += Wo a (+ bias), normalised before where the architecture says so
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

void cpu_rotate(const struct backend *b, uint32_t layer, float *x, int row)
{
    size_t at = cpu_angles_at(b, b->plan->layers[layer].rope, row);
    const float *c = b->cosines + at, *s = b->sines + at;
    if (b->plan->arch->rope == ARCH_ROPE_NEOX)
        b->ops->rope_neox(x, c, s, (int)b->plan->n_rot);
    else
        b->ops->rope_norm(x, c, s, (int)b->plan->n_rot);
}

/* Bias, norm and rope of the heads of one row. */
static void finish_heads(const struct backend *b, uint32_t layer, float *x, int n_heads, const float *bias,
                         const float *norm, int row)
{
    int hd = (int)b->plan->head_dim;
    if (bias)
        b->ops->add(x, bias, n_heads * hd);
    for (int h = 0; h < n_heads; h++) {
        float *head = x + h * hd;
        if (norm)
            b->ops->rmsnorm(head, head, norm, hd, b->plan->rms_eps);
        cpu_rotate(b, layer, head, row);
    }
}

void cpu_finish_queries(const struct backend *b, float *q)
{
    int hd = (int)b->plan->head_dim, n = (int)b->plan->n_heads * hd;
    b->ops->scale(q, q, b->plan->score_scale, n);
    for (int at = 0; at < n; at += hd)
        b->ops->attn_query(b->kv_type, q + at, hd);
}

/* Rows of one tile may be stored by several workers at once: each touches its own slot, and the
 * last row of a run that began the tile also clears the slots behind it. */
void cpu_store_kv(struct backend *b, uint32_t layer, int row, const struct cpu_run *run)
{
    uint32_t pos = run->pos + (uint32_t)(row - run->row);
    const uint32_t *pages = run->pages;
    int hd = (int)b->plan->head_dim, n_kv = (int)b->plan->n_kv_heads,
        in_page = (int)(pos % (uint32_t)b->page_tokens);
    int tile = in_page / KERN_KV_TILE, slot = in_page % KERN_KV_TILE;
    for (int h = 0; h < n_kv; h++) {
        struct cpu_kv page = cpu_kv_at(b, layer, (uint32_t)h, pages[pos / (uint32_t)b->page_tokens]);
        uint8_t *k = page.k + (size_t)tile * b->kv_tile_bytes, *v = page.v + (size_t)tile * b->kv_tile_bytes;
        if (row == run->row + run->n_rows - 1 && run->n_rows > slot)
            kern_kv_clear(b->kv_type, k, v, slot + 1, hd);
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
    size_t q = (size_t)p->n_heads * p->head_dim, kv = (size_t)p->n_kv_heads * p->head_dim;
    (void)worker;
    for (int i = 0; i < b->n_runs; i++) {
        const struct cpu_run *run = &b->runs[i];
        int from = begin > run->row ? begin : run->row;
        int to = end < run->row + run->n_rows ? end : run->row + run->n_rows;
        for (int row = from; row < to; row++) {
            finish_heads(b, j->layer, b->q + (size_t)row * q, (int)p->n_heads, l->q_bias, l->q_norm, row);
            cpu_finish_queries(b, b->q + (size_t)row * q);
            finish_heads(b, j->layer, b->k + (size_t)row * kv, (int)p->n_kv_heads, l->k_bias, l->k_norm, row);
            if (l->v_bias)
                b->ops->add(b->v + (size_t)row * kv, l->v_bias, (int)kv);
            cpu_store_kv(b, j->layer, row, run);
        }
    }
}

void cpu_attn_in(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    size_t q = (size_t)b->plan->n_heads * b->plan->head_dim,
           kv = (size_t)b->plan->n_kv_heads * b->plan->head_dim;
    cpu_norm_quantize(b, &b->in, b->x, l->attn_norm, (int)b->plan->n_embd, b->n_rows);
    struct cpu_product list[] = {{&l->q, b->q, q, false}, {&l->k, b->k, kv, false}, {&l->v, b->v, kv, false}};
    cpu_expect(b, &l->o, l->o.n_strips);
    cpu_products(b, list, 3, &b->in, b->n_rows);
    struct in_job j = {b, layer};
    if (b->n_rows <= CPU_FEW_ROWS)
        finish_rows(&j, 0, b->n_rows, 0);
    else
        team_run(b->team, finish_rows, &j, b->n_rows, 1);
}

/* --- attn ------------------------------------------------------------------------------------ */

/* A block: the queries of a KV head's group, or of a part of it, for some neighbouring rows of a run. */
struct attn_block {
    const struct cpu_run *run;
    int row, n_rows, which, group; /* first row in the batch, which group of it, query heads of that */
    uint32_t pos;                  /* of the first row */
};

struct attn_job {
    struct backend *b;
    uint32_t layer;
    int block_rows;        /* rows of a block, at most */
    int group, n_groups;   /* query heads of a block; groups of a row */
    int n_blocks, n_items; /* of all runs together, per group and of all groups */
    int segments, queries; /* most of any block, where segments are items of their own */
};

static int block_rows(const struct backend *b)
{
    int group = (int)(b->plan->n_heads / b->plan->n_kv_heads);
    return group >= BLOCK_QUERIES ? 1 : BLOCK_QUERIES / group;
}

size_t cpu_attn_scratch_bytes(const struct backend *b)
{
    size_t group = b->plan->n_heads / b->plan->n_kv_heads, queries = group * (size_t)block_rows(b);
    return KERN_ATTN_SCRATCH + KERN_QUERIES * b->plan->head_dim * sizeof(float) +
           queries * sizeof(struct kern_attn_state) + 64;
}

/* Four sequences decoding at the full context. */
size_t cpu_attn_parts(const struct backend *b, uint32_t n_ctx)
{
    size_t segments = ((size_t)n_ctx + KERN_SEGMENT - 1) / KERN_SEGMENT;
    return 4 * segments * b->plan->n_heads;
}

/* Item -> block.  Items are ordered by block, then group: neighbours share pages. */
static struct attn_block find_block(const struct attn_job *j, int item)
{
    const struct backend *b = j->b;
    int block = item / j->n_groups, i = 0;
    for (;; i++) {
        int blocks = (b->runs[i].n_rows + j->block_rows - 1) / j->block_rows;
        if (block < blocks)
            break;
        block -= blocks;
    }
    const struct cpu_run *run = &b->runs[i];
    int first = block * j->block_rows, left = run->n_rows - first;
    return (struct attn_block){.run = run,
                               .row = run->row + first,
                               .n_rows = left < j->block_rows ? left : j->block_rows,
                               .which = item % j->n_groups,
                               .group = j->group,
                               .pos = run->pos + (uint32_t)first};
}

/* The first key that a row at this position sees. */
static uint32_t first_key(const struct attn_job *j, uint32_t pos)
{
    uint32_t window = j->b->plan->layers[j->layer].window;
    return window > 0 && pos >= window ? pos - window + 1 : 0;
}

/* Segments of a block: from the first with a key that its first row sees, to that of its last row's own. */
static int first_segment(const struct attn_job *j, const struct attn_block *blk)
{
    return (int)(first_key(j, blk->pos) / KERN_SEGMENT);
}

static int end_segment(const struct attn_block *blk)
{
    return (int)((blk->pos + (uint32_t)blk->n_rows - 1) / KERN_SEGMENT) + 1;
}

/* Offset of query i of a block in the floats of q and a. */
static size_t query_at(const struct backend *b, const struct attn_block *blk, int i)
{
    int r = i / blk->group, g = i % blk->group;
    return ((size_t)(blk->row + r) * b->plan->n_heads + (size_t)(blk->which * blk->group + g)) *
           b->plan->head_dim;
}

/* Pointers to the tiles of a segment, as far as the last key in use.  Returns how many.  v may be NULL. */
static int find_tiles(const struct attn_job *j, const struct attn_block *blk, int segment, const uint8_t **k,
                      const uint8_t **v)
{
    const struct backend *b = j->b;
    uint32_t pos = (uint32_t)segment * KERN_SEGMENT, last = blk->pos + (uint32_t)blk->n_rows - 1;
    uint32_t shared = b->plan->n_heads / b->plan->n_kv_heads, /* query heads of a KV head */
        head = (uint32_t)(blk->which * blk->group) / shared;
    int n = 0;
    for (; n < KERN_SEGMENT / KERN_KV_TILE && pos <= last; n++, pos += KERN_KV_TILE) {
        struct cpu_kv page = cpu_kv_at(b, j->layer, head, blk->run->pages[pos / (uint32_t)b->page_tokens]);
        size_t at = (size_t)(pos % (uint32_t)b->page_tokens) / KERN_KV_TILE * b->kv_tile_bytes;
        k[n] = page.k + at;
        if (v)
            v[n] = page.v + at;
    }
    return n;
}

/* Position as an offset into a segment, 0 before it and KERN_SEGMENT behind it. */
static int in_segment(uint32_t pos, int segment)
{
    int64_t at = (int64_t)pos - (int64_t)segment * KERN_SEGMENT;
    return at < 0 ? 0 : at > KERN_SEGMENT ? KERN_SEGMENT : (int)at;
}

/* Queries [first, first + n) over one segment: into a->max, sum, out. */
static void attend_queries(const struct attn_job *j, const struct attn_block *blk, struct kern_attn *a,
                           int first, int n, int segment)
{
    const struct backend *b = j->b;
    a->n_queries = n;
    for (int i = 0; i < n; i++) {
        uint32_t pos = blk->pos + (uint32_t)((first + i) / blk->group);
        int begin = in_segment(first_key(j, pos), segment), end = in_segment(pos + 1, segment);
        a->q[i] = b->q + query_at(b, blk, first + i);
        a->first_key[i] = begin < end ? begin : 0;
        a->n_keys[i] = begin < end ? end : 0;
    }
    b->ops->attn[b->kv_type](a);
    a->is_cold = false;
}

/* One segment for all queries of a block, some at a time; what to do with each result is `then`.  What
 * follows may be requested meanwhile: the block's own next one, another block's first (`next`), or nothing.
 */
typedef void attn_then(const struct attn_job *j, const struct attn_block *blk, const struct kern_attn *a,
                       int first, int n, void *arg);

static void attend_segment(const struct attn_job *j, const struct attn_block *blk, int segment,
                           uint8_t *scratch, const struct attn_block *next, attn_then *then, void *arg)
{
    const struct backend *b = j->b;
    struct kern_attn a = {.head_dim = (int)b->plan->head_dim,
                          .is_cold = true,
                          .softcap = KERN_LOG2E * b->plan->attn_softcap,
                          .scores = (float *)scratch};
    float *part = (float *)(scratch + KERN_ATTN_SCRATCH);
    int n = blk->n_rows * blk->group;
    for (int i = 0; i < KERN_QUERIES; i++)
        a.out[i] = part + i * a.head_dim;
    find_tiles(j, blk, segment, a.k_tiles, a.v_tiles);
    if (next)
        a.n_next = find_tiles(j, next, next == blk ? segment + 1 : first_segment(j, next), a.next, NULL);
    for (int left = (n + KERN_QUERIES - 1) / KERN_QUERIES, first = 0; left > 0; left--) {
        int now = (n - first + left - 1) / left;
        attend_queries(j, blk, &a, first, now, segment);
        then(j, blk, &a, first, now, arg);
        first += now;
    }
}

static void merge_part(const struct attn_job *j, const struct attn_block *blk, struct kern_attn_state *state,
                       int query, float max, float sum, const float *part)
{
    struct backend *b = j->b;
    b->ops->attn_merge(state, b->a + query_at(b, blk, query), max, sum, part, (int)b->plan->head_dim);
}

static void begin_query(const struct attn_job *j, const struct attn_block *blk, struct kern_attn_state *state,
                        int query)
{
    const float *sinks = j->b->layers[j->layer].sinks;
    *state = (struct kern_attn_state){-INFINITY, 0};
    if (sinks) /* as if a key with a value of zeros had been seen */
        *state = (struct kern_attn_state){sinks[blk->which * blk->group + query % blk->group], 1};
    memset(j->b->a + query_at(j->b, blk, query), 0, j->b->plan->head_dim * sizeof(float));
}

static void finish_query(const struct attn_job *j, const struct attn_block *blk,
                         const struct kern_attn_state *state, int query)
{
    j->b->ops->attn_finish(state, j->b->a + query_at(j->b, blk, query), (int)j->b->plan->head_dim);
}

/* Way 1: an item is a block; its segments are merged as they come. */

static void then_merge(const struct attn_job *j, const struct attn_block *blk, const struct kern_attn *a,
                       int first, int n, void *arg)
{
    struct kern_attn_state *states = arg;
    for (int i = 0; i < n; i++)
        merge_part(j, blk, &states[first + i], first + i, a->max[i], a->sum[i], a->out[i]);
}

static void attend_blocks(void *arg, int begin, int end, int worker)
{
    const struct attn_job *j = arg;
    uint8_t *scratch = j->b->scratch[worker];
    struct kern_attn_state *states =
        (struct kern_attn_state *)(scratch + KERN_ATTN_SCRATCH +
                                   KERN_QUERIES * j->b->plan->head_dim * sizeof(float));
    for (int item = begin; item < end; item++) {
        struct attn_block blk = find_block(j, item);
        int n = blk.n_rows * blk.group, end_s = end_segment(&blk);
        for (int i = 0; i < n; i++)
            begin_query(j, &blk, &states[i], i);
        struct attn_block following = item + 1 < j->n_items ? find_block(j, item + 1) : blk;
        const struct attn_block *last = item + 1 < j->n_items ? &following : NULL;
        for (int s = first_segment(j, &blk); s < end_s; s++)
            attend_segment(j, &blk, s, scratch, s + 1 < end_s ? &blk : last, then_merge, states);
        for (int i = 0; i < n; i++)
            finish_query(j, &blk, &states[i], i);
    }
}

/* Way 2, where there are fewer blocks than would keep all workers busy: an item is a segment of a
 * block; the parts are kept and merged afterwards, in the same order. */

static size_t part_at(const struct attn_job *j, int item, int part, int query)
{
    return ((size_t)item * (size_t)j->segments + (size_t)part) * (size_t)j->queries + (size_t)query;
}

static void then_keep(const struct attn_job *j, const struct attn_block *blk, const struct kern_attn *a,
                      int first, int n, void *arg)
{
    struct backend *b = j->b;
    size_t hd = b->plan->head_dim, at = *(const size_t *)arg + (size_t)first;
    (void)blk;
    for (int i = 0; i < n; i++, at++) {
        b->part_states[at] = (struct kern_attn_state){a->max[i], a->sum[i]};
        memcpy(b->parts + at * hd, a->out[i], hd * sizeof(float));
    }
}

static void attend_parts(void *arg, int begin, int end, int worker)
{
    const struct attn_job *j = arg;
    for (int i = begin; i < end; i++) {
        int item = i / j->segments, part = i % j->segments;
        struct attn_block blk = find_block(j, item);
        size_t at = part_at(j, item, part, 0);
        int segment = first_segment(j, &blk) + part, end_s = end_segment(&blk);
        if (segment < end_s)
            attend_segment(j, &blk, segment, j->b->scratch[worker], segment + 1 < end_s ? &blk : NULL,
                           then_keep, &at);
    }
}

static void merge_parts(void *arg, int begin, int end, int worker)
{
    const struct attn_job *j = arg;
    const struct backend *b = j->b;
    (void)worker;
    for (int item = begin; item < end; item++) {
        struct attn_block blk = find_block(j, item);
        int parts = end_segment(&blk) - first_segment(j, &blk);
        for (int i = 0; i < blk.n_rows * blk.group; i++) {
            struct kern_attn_state state;
            begin_query(j, &blk, &state, i);
            for (int part = 0; part < parts; part++) {
                size_t at = part_at(j, item, part, i);
                merge_part(j, &blk, &state, i, b->part_states[at].max, b->part_states[at].sum,
                           b->parts + at * b->plan->head_dim);
            }
            finish_query(j, &blk, &state, i);
        }
    }
}

/* Halves groups while there are workers without an item: with one KV head for all, as in latent attention, a
 * single row would be the work of one.  What a query gives does not depend on its group. */
static void choose_groups(struct attn_job *j, int segments)
{
    while (j->n_blocks * j->n_groups * segments < team_size(j->b->team) && j->group > KERN_QUERIES &&
           j->group % 2 == 0) {
        j->group /= 2;
        j->n_groups *= 2;
    }
}

void cpu_attn(struct backend *b, uint32_t layer)
{
    int n_kv = (int)b->plan->n_kv_heads;
    struct attn_job j = {.b = b,
                         .layer = layer,
                         .block_rows = block_rows(b),
                         .group = (int)b->plan->n_heads / n_kv,
                         .n_groups = n_kv};
    for (int i = 0; i < b->n_runs; i++)
        j.n_blocks += (b->runs[i].n_rows + j.block_rows - 1) / j.block_rows;
    for (int i = 0; i < j.n_blocks; i++) {
        struct attn_block blk = find_block(&j, i * j.n_groups);
        int segments = end_segment(&blk) - first_segment(&j, &blk);
        j.segments = segments > j.segments ? segments : j.segments;
        j.queries = blk.n_rows > j.queries ? blk.n_rows : j.queries;
    }
    choose_groups(&j, j.segments);
    j.queries *= j.group;
    int items = j.n_items = j.n_blocks * j.n_groups;
    bool few = team_size(b->team) > 1 && items < 3 * team_size(b->team) && j.segments > 1;
    if (!few || part_at(&j, items, 0, 0) > b->parts_max) {
        team_run(b->team, attend_blocks, &j, items, 1);
        return;
    }
    team_run(b->team, attend_parts, &j, items * j.segments, 1);
    team_run(b->team, merge_parts, &j, items, 1);
}

/* --- attn_out -------------------------------------------------------------------------------- */

void cpu_attn_out(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    int n = (int)(b->plan->n_heads * b->plan->head_dim);
    cpu_quantize(b, &b->mid, b->a, (size_t)n, n, b->n_rows);
    if (!l->router.tensor)
        cpu_expect(b, &l->gate, l->gate.n_strips);
    cpu_add_branch(b, &l->o, &b->mid, l->o_bias, l->attn_post_norm);
}
