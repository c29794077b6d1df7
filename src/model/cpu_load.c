/* cpu_load.c - Weights from the file into packed strips: once, in parallel, straight to their place.
 *
 * First every matrix gets its place in one large mapping; then all workers take strips of any
 * matrix, read the rows of a strip (pread) and pack them.  What is touched first by a worker is
 * also put into memory by it.  Norms and biases are read as floats.
 *
 * Start reading at cpu_load(). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/sys.h"
#include "kernel/pack.h"
#include "model/cpu_int.h"

enum { ALIGN = 64, LAYER_MATRICES = 16 };

struct load {
    struct backend *b;
    const struct gguf *g;
    struct cpu_matrix **list;
    int64_t *first_strip; /* of each matrix, in one count over all */
    int n;
    uint8_t **buffers; /* of each worker: the rows of a strip as in the file */
    size_t buffer_bytes;
    atomic_int rc; /* the first failure */
    pthread_mutex_t lock;
    struct err err;
};

/* --- matrices -------------------------------------------------------------------------------- */

/* A matrix that is to be `type` in memory, from anywhere in tensor t. */
static int describe_as(struct backend *b, struct cpu_matrix *m, const struct gguf_tensor *t,
                       enum quant_type type, const uint64_t ne[3], struct err *err)
{
    uint64_t row_bytes = 0;
    *m = (struct cpu_matrix){.tensor = t,
                             .type = type,
                             .act = quant_info(type)->act,
                             .n_in = (int)ne[0],
                             .n_out = (int)ne[1],
                             .n_experts = (int)ne[2],
                             .expert_rows = (int)ne[1]};
    if ((m->act == QUANT_ACT_Q8_32 && m->n_in % 32 != 0) || !quant_row_bytes(type, ne[0], &row_bytes))
        return fail(err, ERR_FORMAT, "tensor '%.*s' has rows of %d", STR(t->name), m->n_in);
    m->row_bytes = (size_t)row_bytes;
    m->strip = b->ops->strip[type];
    m->n_strips = (m->n_out + KERN_STRIP - 1) / KERN_STRIP;
    m->n_blocks = pack_n_blocks(type, m->n_in);
    m->strip_bytes = b->ops->packed ? pack_strip_bytes(type, ne[0]) : KERN_STRIP * m->row_bytes;
    if (!m->strip || m->strip_bytes == 0)
        return fail(err, ERR_UNSUPPORTED, "tensor '%.*s' has type %s, which level %s cannot compute with",
                    STR(t->name), quant_name(type), b->ops->name);
    return OK;
}

static int describe(struct backend *b, struct cpu_matrix *m, const struct gguf_tensor *t, struct err *err)
{
    return describe_as(b, m, t, (enum quant_type)t->type, t->ne, err);
}

/* k_b and v_b of older files: of each head first the rows that make keys, then those that make values.  k_b
 * is wanted transposed, so its blocks would run across; F16 keeps what a quantised type says to 11 bits. */
static int describe_kv_b(struct backend *b, struct cpu_layer *l, const struct gguf_tensor *t, struct err *err)
{
    const struct plan_mla *m = &b->plan->mla;
    bool is_exact = t->type == QUANT_F32 || t->type == QUANT_BF16; /* what F16 may not hold */
    const uint64_t k[3] = {m->nope, m->kv_lora, b->plan->n_heads}, v[3] = {m->kv_lora, m->value, k[2]};
    int rc = describe_as(b, &l->k_b, t, is_exact ? QUANT_F32 : QUANT_F16, k, err);
    if (rc == OK)
        rc = describe_as(b, &l->v_b, t, (enum quant_type)t->type, v, err);
    l->k_b.is_transposed = true;
    l->v_b.first_row = (int)m->nope;
    l->k_b.expert_rows = l->v_b.expert_rows = (int)(m->nope + m->value);
    return rc;
}

static int describe_layer(struct backend *b, uint32_t il, struct err *err)
{
    const struct plan_layer *p = &b->plan->layers[il];
    struct cpu_layer *l = &b->layers[il];
    const struct {
        struct cpu_matrix *m;
        const struct gguf_tensor *t;
    } all[] = {{&l->q, p->q},
               {&l->k, p->k},
               {&l->v, p->v},
               {&l->o, p->o},
               {&l->gate, p->gate ? p->gate : p->gate_exps},
               {&l->up, p->up ? p->up : p->up_exps},
               {&l->down, p->down ? p->down : p->down_exps},
               {&l->router, p->router},
               {&l->shared_router, p->shared_router},
               {&l->gate_shared, p->gate_shared},
               {&l->up_shared, p->up_shared},
               {&l->down_shared, p->down_shared},
               {&l->q_a, p->q_a},
               {&l->kv_a, p->kv_a},
               {&l->k_b, p->k_b},
               {&l->v_b, p->v_b}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int rc = all[i].t ? describe(b, all[i].m, all[i].t, err) : OK;
        if (rc != OK)
            return rc;
    }
    return p->kv_b ? describe_kv_b(b, l, p->kv_b, err) : OK;
}

/* The rows of a head, a strip of them as floats, and that as rows of the wanted type. */
static size_t transpose_bytes(const struct cpu_matrix *m)
{
    return (size_t)m->n_in * (m->tensor->row_bytes + KERN_STRIP * sizeof(float)) + KERN_STRIP * m->row_bytes +
           3 * ALIGN;
}

static void add_matrix(struct load *ld, struct cpu_matrix *m)
{
    if (!m->tensor)
        return;
    ld->list[ld->n] = m;
    ld->first_strip[ld->n + 1] = ld->first_strip[ld->n] + (int64_t)m->n_strips * m->n_experts;
    ld->n++;
    size_t bytes = m->is_transposed ? transpose_bytes(m) : KERN_STRIP * m->row_bytes;
    if (bytes > ld->buffer_bytes)
        ld->buffer_bytes = bytes;
}

/* All matrices in the order in which a step reads them. */
static void list_matrices(struct load *ld)
{
    struct backend *b = ld->b;
    for (uint32_t i = 0; i < b->plan->n_layers; i++) {
        struct cpu_layer *l = &b->layers[i];
        struct cpu_matrix *all[LAYER_MATRICES] = {
            &l->kv_a, &l->q_a,         &l->q,         &l->k_b,           &l->k,    &l->v,
            &l->v_b,  &l->o,           &l->router,    &l->shared_router, &l->gate, &l->up,
            &l->down, &l->gate_shared, &l->up_shared, &l->down_shared};
        for (int k = 0; k < LAYER_MATRICES; k++)
            add_matrix(ld, all[k]);
    }
    add_matrix(ld, &b->head);
    if (!b->is_tied)
        add_matrix(ld, &b->token_embd);
}

static int place_matrices(struct load *ld, struct err *err)
{
    size_t total = 0;
    for (int i = 0; i < ld->n; i++) {
        const struct cpu_matrix *m = ld->list[i];
        size_t n, strips = (size_t)m->n_strips * (size_t)m->n_experts;
        if (__builtin_mul_overflow(m->strip_bytes, strips, &n) ||
            __builtin_add_overflow(total, n + ALIGN, &total))
            return fail(err, ERR_LIMIT, "the weights are larger than memory can be addressed");
        total = (total + ALIGN - 1) / ALIGN * ALIGN;
    }
    ld->b->weights = sys_alloc_pages(total);
    if (!ld->b->weights)
        return fail(err, ERR_NOMEM, "no memory for %zu MB of weights", total >> 20);
    ld->b->weights_bytes = total;
    uint8_t *p = ld->b->weights;
    for (int i = 0; i < ld->n; i++) {
        struct cpu_matrix *m = ld->list[i];
        m->data = p;
        p += (m->strip_bytes * (size_t)m->n_strips * (size_t)m->n_experts + ALIGN - 1) / ALIGN * ALIGN;
    }
    return OK;
}

/* --- reading --------------------------------------------------------------------------------- */

static void *align(uint8_t *p)
{
    return p + (ALIGN - (uintptr_t)p % ALIGN) % ALIGN;
}

/* Columns [first, first + n) of the n_in rows of a head, as rows. */
static int read_columns(struct load *ld, const struct cpu_matrix *m, int64_t row, int first, int n,
                        uint8_t *buffer, const uint8_t **rows, struct err *err)
{
    enum { COLUMNS_MAX = KERN_STRIP + 2 * 256 }; /* with what else is in the blocks of the first and last */
    const struct gguf_tensor *t = m->tensor;
    const struct quant_info *from = quant_info(t->type), *to = quant_info(m->type);
    float *x = align(buffer + (size_t)m->n_in * t->row_bytes), part[COLUMNS_MAX];
    uint8_t *out = align((uint8_t *)(x + (size_t)m->n_in * KERN_STRIP));
    int block = (int)from->block_elems, begin = first / block * block,
        end = (first + n + block - 1) / block * block;
    int rc = gguf_read(ld->g, t->part, t->offset + (uint64_t)row * t->row_bytes, buffer,
                       (size_t)m->n_in * t->row_bytes, err);
    if (rc != OK)
        return rc;
    for (int i = 0; i < m->n_in; i++) {
        const uint8_t *at = buffer + (size_t)i * t->row_bytes + (size_t)(begin / block) * from->block_bytes;
        from->dequantize(part, at, (size_t)(end - begin));
        for (int c = 0; c < n; c++)
            x[(size_t)c * (size_t)m->n_in + (size_t)i] = part[first - begin + c];
    }
    for (int c = 0; c < n; c++)
        to->quantize(out + (size_t)c * m->row_bytes, x + (size_t)c * (size_t)m->n_in, (size_t)m->n_in, NULL);
    *rows = out;
    return OK;
}

static int load_strip(struct load *ld, const struct cpu_matrix *m, int64_t strip, uint8_t *buffer,
                      struct err *err)
{
    const struct gguf_tensor *t = m->tensor;
    int64_t expert = strip / m->n_strips;
    int first = (int)(strip % m->n_strips) * KERN_STRIP;
    int n = m->n_out - first < KERN_STRIP ? m->n_out - first : KERN_STRIP;
    int64_t row = expert * m->expert_rows + m->first_row;
    bool is_packed = ld->b->ops->packed;
    uint8_t *to = m->data + (size_t)strip * m->strip_bytes;
    const uint8_t *rows = is_packed ? buffer : to; /* not packed: straight to their place */
    int rc = m->is_transposed ? read_columns(ld, m, row, first, n, buffer, &rows, err)
                              : gguf_read(ld->g, t->part, t->offset + (uint64_t)(row + first) * t->row_bytes,
                                          is_packed ? buffer : to, (size_t)n * t->row_bytes, err);
    if (rc != OK)
        return rc;
    if (is_packed) {
        pack_strip(m->type, to, rows, m->row_bytes, n, m->n_in);
        return OK;
    }
    if (rows != to)
        memcpy(to, rows, (size_t)n * m->row_bytes);
    memset(to + (size_t)n * m->row_bytes, 0, (size_t)(KERN_STRIP - n) * m->row_bytes);
    return OK;
}

/* The matrix that strip `at` of all belongs to. */
static int find_matrix(const struct load *ld, int64_t at)
{
    int lo = 0, hi = ld->n;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (ld->first_strip[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void load_strips(void *arg, int begin, int end, int worker)
{
    struct load *ld = arg;
    for (int at = begin; at < end && atomic_load(&ld->rc) == OK; at++) {
        struct err err = {0};
        int i = find_matrix(ld, at);
        int rc = load_strip(ld, ld->list[i], at - ld->first_strip[i], ld->buffers[worker], &err);
        if (rc == OK)
            continue;
        pthread_mutex_lock(&ld->lock);
        if (atomic_load(&ld->rc) == OK) {
            ld->err = err;
            atomic_store(&ld->rc, rc);
        }
        pthread_mutex_unlock(&ld->lock);
    }
}

static int read_matrices(struct load *ld, struct err *err)
{
    int workers = team_size(ld->b->team), rc = OK;
    if (ld->first_strip[ld->n] > INT32_MAX)
        return fail(err, ERR_LIMIT, "the model has too many rows");
    ld->buffers = calloc((size_t)workers, sizeof *ld->buffers);
    for (int i = 0; ld->buffers && i < workers; i++)
        if (!(ld->buffers[i] = malloc(ld->buffer_bytes ? ld->buffer_bytes : 1)))
            rc = ERR_NOMEM;
    if (!ld->buffers || rc != OK) {
        rc = fail(err, ERR_NOMEM, "no memory to read weights");
    } else {
        pthread_mutex_init(&ld->lock, NULL);
        team_run(ld->b->team, load_strips, ld, (int)ld->first_strip[ld->n], 4);
        pthread_mutex_destroy(&ld->lock);
        rc = atomic_load(&ld->rc);
        if (rc != OK && err)
            *err = ld->err;
    }
    for (int i = 0; ld->buffers && i < workers; i++)
        free(ld->buffers[i]);
    free(ld->buffers);
    return rc;
}

/* --- norms and biases ------------------------------------------------------------------------ */

struct vector {
    float **slot;
    const struct gguf_tensor *t;
};

enum { LAYER_VECTORS = 18 };

static void layer_vectors(struct backend *b, uint32_t il, struct vector v[LAYER_VECTORS])
{
    const struct plan_layer *p = &b->plan->layers[il];
    struct cpu_layer *l = &b->layers[il];
    struct vector all[LAYER_VECTORS] = {{&l->attn_norm, p->attn_norm},
                                        {&l->ffn_norm, p->ffn_norm},
                                        {&l->q_bias, p->q_bias},
                                        {&l->k_bias, p->k_bias},
                                        {&l->v_bias, p->v_bias},
                                        {&l->o_bias, p->o_bias},
                                        {&l->q_norm, p->q_norm},
                                        {&l->k_norm, p->k_norm},
                                        {&l->attn_post_norm, p->attn_post_norm},
                                        {&l->ffn_post_norm, p->ffn_post_norm},
                                        {&l->q_a_norm, p->q_a_norm},
                                        {&l->kv_a_norm, p->kv_a_norm},
                                        {&l->expert_bias, p->expert_bias},
                                        {&l->router_bias, p->router_bias},
                                        {&l->gate_bias, p->gate_bias},
                                        {&l->up_bias, p->up_bias},
                                        {&l->down_bias, p->down_bias},
                                        {&l->sinks, p->sinks}};
    memcpy(v, all, sizeof all);
}

static int read_vector(struct backend *b, const struct gguf *g, struct vector v, size_t *used,
                       struct err *err)
{
    if (!v.t)
        return OK;
    *v.slot = b->floats + *used;
    *used += (v.t->n_elems + 15) / 16 * 16;
    return gguf_read_rows_f32(g, v.t, 0, v.t->n_elems / v.t->ne[0], *v.slot, err);
}

static int read_vectors(struct backend *b, const struct gguf *g, struct err *err)
{
    struct vector v[LAYER_VECTORS], norm = {&b->output_norm, b->plan->output_norm};
    const struct plan *p = b->plan;
    size_t n = (p->n_embd + 15) / 16 * 16, used = 0;
    for (uint32_t i = 0; i < b->plan->n_layers; i++) {
        layer_vectors(b, i, v);
        for (int k = 0; k < LAYER_VECTORS; k++)
            n += v[k].t ? (v[k].t->n_elems + 15) / 16 * 16 : 0;
    }
    b->floats_bytes = n * sizeof *b->floats;
    b->floats = sys_alloc_pages(b->floats_bytes);
    if (!b->floats)
        return fail(err, ERR_NOMEM, "no memory for norms and biases");
    int rc = read_vector(b, g, norm, &used, err);
    for (uint32_t i = 0; rc == OK && i < b->plan->n_layers; i++) {
        layer_vectors(b, i, v);
        for (int k = 0; rc == OK && k < LAYER_VECTORS; k++)
            rc = read_vector(b, g, v[k], &used, err);
        for (uint32_t h = 0; rc == OK && p->layers[i].sinks && h < p->n_heads; h++)
            b->layers[i].sinks[h] *= KERN_LOG2E;
    }
    return rc;
}

/* --- all ------------------------------------------------------------------------------------- */

int cpu_load(struct backend *b, const struct gguf *g, struct err *err)
{
    struct load ld = {.b = b, .g = g};
    size_t most = LAYER_MATRICES * (size_t)b->plan->n_layers + 2;
    int rc = OK;
    b->layers = calloc(b->plan->n_layers, sizeof *b->layers);
    ld.list = calloc(most, sizeof *ld.list);
    ld.first_strip = calloc(most + 1, sizeof *ld.first_strip);
    if (!b->layers || !ld.list || !ld.first_strip) {
        rc = fail(err, ERR_NOMEM, "no memory for %u layers", b->plan->n_layers);
        goto out;
    }
    b->is_tied = b->plan->output == b->plan->token_embd;
    for (uint32_t i = 0; rc == OK && i < b->plan->n_layers; i++)
        rc = describe_layer(b, i, err);
    if (rc != OK || (rc = describe(b, &b->head, b->plan->output, err)) != OK ||
        (rc = describe(b, &b->token_embd, b->plan->token_embd, err)) != OK)
        goto out;
    list_matrices(&ld);
    if ((rc = place_matrices(&ld, err)) != OK || (rc = read_matrices(&ld, err)) != OK)
        goto out;
    if (b->is_tied)
        b->token_embd = b->head;
    rc = read_vectors(b, g, err);
out:
    free(ld.list);
    free(ld.first_strip);
    return rc;
}

void cpu_unload(struct backend *b)
{
    sys_free_pages(b->weights, b->weights_bytes);
    sys_free_pages(b->floats, b->floats_bytes);
    free(b->layers);
}

/* --- checksum -------------------------------------------------------------------------------- */

enum { SUM_PIECE = 1 << 20 };

struct sum {
    const uint8_t *p;
    size_t n;
    atomic_uint_fast64_t total;
};

/* Pieces are added, so that it does not matter who sums which and when. */
static void sum_pieces(void *arg, int begin, int end, int worker)
{
    struct sum *s = arg;
    (void)worker;
    for (int i = begin; i < end; i++) {
        size_t at = (size_t)i * SUM_PIECE, n = s->n - at < SUM_PIECE ? s->n - at : SUM_PIECE;
        atomic_fetch_add(&s->total, checksum(s->p + at, n, (uint64_t)i));
    }
}

static uint64_t sum_of(struct backend *b, const void *p, size_t n)
{
    struct sum s = {.p = p, .n = n};
    team_run(b->team, sum_pieces, &s, (int)((n + SUM_PIECE - 1) / SUM_PIECE), 4);
    return s.total;
}

uint64_t cpu_weights_sum(struct backend *b)
{
    uint64_t sums[] = {sum_of(b, b->weights, b->weights_bytes), sum_of(b, b->floats, b->floats_bytes)};
    return checksum(sums, sizeof sums, 0);
}
