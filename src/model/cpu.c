/* cpu.c - The processor as backend: memory, the step's bookkeeping, embedding and head.
 *
 * Everything is reserved in cpu_open: packed weights (cpu_load.c), the KV pool, and work memory
 * for the largest step.  An operation is one to three parallel loops on the leased team; the
 * caller is worker 0 and does the small serial parts itself.
 *
 * Where the rest is: matrix products cpu_matmul.c, attention attn_gqa.c, feed-forward ffn_dense.c
 * and ffn_moe.c.  All arithmetic is in kernel/. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "kernel/pack.h"
#include "model/cpu_int.h"

enum { ALIGN = 128 };

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* --- memory ---------------------------------------------------------------------------------- */

/* Hands out parts of one mapping: first run with base NULL to learn the size, then again. */
struct layout {
    uint8_t *base;
    size_t used;
    bool overflow;
};

static void *take(struct layout *a, size_t n, size_t size)
{
    size_t bytes, at = a->used;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 4 || a->used > SIZE_MAX / 4) {
        a->overflow = true;
        return NULL;
    }
    a->used += round_up(bytes, ALIGN);
    return a->base ? a->base + at : NULL;
}

/* The forms of activations that these matrices ask for. */
static unsigned acts_of(const struct cpu_matrix *m)
{
    return m->tensor ? 1u << m->act : 0;
}

static void take_acts(struct backend *b, struct layout *a, struct cpu_acts *acts, unsigned forms, size_t rows,
                      int n)
{
    for (int act = QUANT_ACT_F32; act <= QUANT_ACT_Q8_256; act++) {
        if (!(forms >> act & 1))
            continue;
        acts->stride[act] = round_up(kern_act_bytes(b->ops, (enum quant_act)act, n), 64);
        acts->rows[act] = take(a, rows, acts->stride[act]);
    }
}

static void take_mla(struct backend *b, struct layout *a, size_t rows)
{
    const struct plan *p = b->plan;
    const struct plan_mla *m = &p->mla;
    size_t heads = rows * p->n_heads;
    unsigned q = 0, k_b = 0, v_b = 0;
    for (uint32_t i = 0; i < p->n_layers; i++) {
        q |= m->q_lora ? acts_of(&b->layers[i].q) : 0;
        k_b |= acts_of(&b->layers[i].k_b);
        v_b |= acts_of(&b->layers[i].v_b);
    }
    b->mla.q_a = take(a, rows * m->q_lora + KERN_STRIP, sizeof(float));
    b->mla.q = take(a, heads * (m->nope + p->n_rot) + KERN_STRIP, sizeof(float));
    b->mla.kv_a = take(a, rows * p->head_dim + KERN_STRIP, sizeof(float));
    b->mla.o = take(a, heads * m->value + KERN_STRIP, sizeof(float));
    take_acts(b, a, &b->mla.q_lora, q, rows, (int)m->q_lora);
    take_acts(b, a, &b->mla.nope, k_b, heads, (int)m->nope);
    take_acts(b, a, &b->mla.kv_lora, v_b, heads, (int)m->kv_lora);
}

static void take_experts(struct backend *b, struct layout *a, unsigned down_forms, size_t rows)
{
    const struct plan *p = b->plan;
    size_t embd = round_up(p->n_embd, KERN_STRIP);
    size_t slots = rows * p->n_experts_used;
    b->router_logits = take(a, rows * round_up(p->n_experts, KERN_STRIP), sizeof(float));
    b->slot_expert = take(a, slots, sizeof(int));
    b->slot_weight = take(a, slots, sizeof(float));
    b->expert_slots = take(a, 2 * slots, sizeof(int));
    b->expert_start = take(a, p->n_experts + 1, sizeof(int));
    b->slot_out = take(a, slots * embd, sizeof(float));
    take_acts(b, a, &b->slot_h, down_forms, slots, (int)p->n_ff_exp);
    if (p->n_ff_shared) {
        b->shared_out = take(a, rows * embd, sizeof(float));
        b->shared_weight = take(a, rows + KERN_STRIP, sizeof(float));
    }
}

/* Everything that a step writes. */
static void lay_out_work(struct backend *b, struct layout *a)
{
    const struct plan *p = b->plan;
    size_t rows = (size_t)b->rows_max, outputs = (size_t)b->outputs_max, embd = p->n_embd;
    size_t hidden = (size_t)b->hidden_max;
    size_t q = round_up((size_t)p->n_heads * p->head_dim, KERN_STRIP),
           kv = round_up((size_t)p->n_kv_heads * p->head_dim, KERN_STRIP);
    unsigned in = acts_of(&b->head), mid = 0, down_exps = 0;
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct cpu_layer *l = &b->layers[i];
        in |= acts_of(&l->kv_a) | acts_of(l->q_a.tensor ? &l->q_a : &l->q) | acts_of(&l->k) | acts_of(&l->v) |
              acts_of(&l->gate) | acts_of(&l->up) | acts_of(&l->router) | acts_of(&l->shared_router) |
              acts_of(&l->gate_shared) | acts_of(&l->up_shared);
        mid |= acts_of(&l->o) | acts_of(&l->down_shared);
        *(l->router.tensor ? &down_exps : &mid) |= acts_of(&l->down);
    }
    /* A strip writes whole 32 outputs: one row more than needed takes what hangs over. */
    b->x = take(a, rows * embd + KERN_STRIP, sizeof(float));
    b->q = take(a, rows * q + KERN_STRIP, sizeof(float));
    b->k = take(a, rows * kv + KERN_STRIP, sizeof(float));
    b->v = take(a, rows * kv + KERN_STRIP, sizeof(float));
    b->a = take(a, rows * q, sizeof(float));
    b->cosines = take(a, p->n_ropes * rows * (p->n_rot / 2), sizeof(float));
    b->sines = take(a, p->n_ropes * rows * (p->n_rot / 2), sizeof(float));
    if (p->arch->post_norms)
        b->branch = take(a, rows * embd + KERN_STRIP, sizeof(float));
    take_acts(b, a, &b->in, in, rows, (int)embd);
    size_t wide = p->n_ff > p->n_ff_shared ? p->n_ff : p->n_ff_shared;
    bool is_mla = p->arch->attn == ARCH_ATTN_MLA;
    size_t out = (size_t)p->n_heads * (is_mla ? p->mla.value : p->head_dim);
    if (wide < out)
        wide = out;
    take_acts(b, a, &b->mid, mid, rows, (int)round_up(wide, 256));
    b->logits_stride = round_up(p->n_vocab, KERN_STRIP);
    b->logits = take(a, outputs * b->logits_stride, sizeof(float));
    b->hidden = take(a, (hidden + outputs) * embd, sizeof(float));
    size_t pairs = CPU_PRODUCTS_MAX * rows;
    if (p->n_experts) {
        take_experts(b, a, down_exps, rows);
        if (pairs < rows * (p->n_experts_used + 1))
            pairs = rows * (p->n_experts_used + 1);
    }
    if (is_mla) {
        take_mla(b, a, rows);
        if (pairs < rows * p->n_heads)
            pairs = rows * p->n_heads;
    }
    b->pairs = take(a, pairs, sizeof *b->pairs);
    b->runs = take(a, rows, sizeof *b->runs);
    b->parts = take(a, b->parts_max, p->head_dim * sizeof(float));
    b->part_states = take(a, b->parts_max, sizeof *b->part_states);
    int workers = team_size(b->team);
    b->scratch = take(a, (size_t)workers, sizeof *b->scratch);
    for (int i = 0; i < workers; i++) {
        uint8_t *p1 = take(a, 1, b->scratch_bytes);
        if (a->base)
            b->scratch[i] = p1;
    }
}

/* Touch every page of a region, so that no step waits for the system to find memory. */
struct touch {
    uint8_t *p;
    size_t n;
};

enum { TOUCH_PIECE = 2 << 20, FIRST_PART = 64 << 20 /* of the KV pool, touched before the model is open */ };

static void touch_pieces(void *arg, int begin, int end, int worker)
{
    const struct touch *t = arg;
    (void)worker;
    for (size_t at = (size_t)begin * TOUCH_PIECE; at < (size_t)end * TOUCH_PIECE && at < t->n; at += 4096)
        *(volatile uint8_t *)(t->p + at) = 0;
}

static void touch_all(struct backend *b, void *p, size_t n)
{
    struct touch t = {p, n};
    team_run(b->team, touch_pieces, &t, (int)((n + TOUCH_PIECE - 1) / TOUCH_PIECE), 1);
}

static size_t scratch_bytes(const struct backend *b)
{
    const struct plan *p = b->plan;
    size_t row = p->n_embd > p->mla.q_lora ? p->n_embd : p->mla.q_lora; /* that is normalised */
    size_t most = round_up(row * sizeof(float), 64);
    size_t ffn = cpu_ffn_scratch_bytes(b), attn = cpu_attn_scratch_bytes(b);
    most = ffn > most ? ffn : most;
    return attn > most ? attn : most;
}

static int reserve_work(struct backend *b, struct err *err)
{
    struct layout a = {0};
    b->scratch_bytes = scratch_bytes(b);
    lay_out_work(b, &a);
    if (!a.overflow)
        b->work = sys_alloc_pages(a.used);
    if (!b->work)
        return fail(err, ERR_NOMEM, "no memory for steps of %d rows", b->rows_max);
    b->work_bytes = a.used;
    touch_all(b, b->work, b->work_bytes);
    a = (struct layout){.base = b->work};
    lay_out_work(b, &a);
    return OK;
}

static enum kern_kv kern_kv_of(enum kv_type t)
{
    static const enum kern_kv of[KV_TYPES_END] = {
        [KV_I16] = KERN_KV_I16, [KV_F16] = KERN_KV_F16, [KV_BF16] = KERN_KV_BF16, [KV_Q8_0] = KERN_KV_Q8_0};
    return of[t];
}

uint64_t backend_cpu_kv_token_bytes(const struct plan *plan, enum kv_type type)
{
    uint64_t tile = kern_kv_tile_bytes(kern_kv_of(type), (int)plan->head_dim);
    return 2 * tile * plan->n_kv_heads * plan->n_layers / KERN_KV_TILE;
}

static int reserve_kv(struct backend *b, const struct model_options *o, struct err *err)
{
    b->kv_type = kern_kv_of(o->kv_type);
    b->page_tokens = (int)o->page_tokens;
    b->n_pages = o->n_pages;
    b->kv_tile_bytes = kern_kv_tile_bytes(b->kv_type, (int)b->plan->head_dim);
    b->kv_page_bytes = b->kv_tile_bytes * (size_t)(b->page_tokens / KERN_KV_TILE);
    size_t heads = (size_t)b->plan->n_kv_heads * b->plan->n_layers;
    if (__builtin_mul_overflow(2 * b->kv_page_bytes * heads, round_up(o->n_pages, CPU_KV_GROUP),
                               &b->kv_bytes))
        return fail(err, ERR_LIMIT, "a KV pool of %u pages is larger than memory can be addressed",
                    o->n_pages);
    b->kv = sys_alloc_pages(b->kv_bytes);
    if (!b->kv)
        return fail(err, ERR_NOMEM, "no memory for a KV pool of %zu MB", b->kv_bytes >> 20);
    return OK;
}

static uint64_t cpu_kv_page_bytes(const struct backend *b)
{
    return (uint64_t)2 * b->kv_page_bytes * b->plan->n_kv_heads * b->plan->n_layers;
}

static void cpu_close(struct backend *b)
{
    if (!b)
        return;
    cpu_prefault_stop(&b->prefault);
    cpu_unload(b);
    sys_free_pages(b->kv, b->kv_bytes);
    sys_free_pages(b->work, b->work_bytes);
    free(b);
}

static int cpu_open(struct backend **out, const struct plan *plan, const struct gguf *g,
                    const struct model_options *o, struct err *err)
{
    struct backend *b = calloc(1, sizeof *b);
    int rc;
    *out = NULL;
    if (!b)
        return fail(err, ERR_NOMEM, "no memory for a backend");
    b->plan = plan;
    b->team = o->team;
    b->rows_max = (int)o->rows_max;
    b->outputs_max = (int)o->outputs_max;
    b->hidden_max = (int)o->hidden_max;
    b->parts_max = team_size(o->team) > 1 ? cpu_attn_parts(b, o->n_ctx) : 0;
    if ((rc = kern_choose(&b->ops, o->isa, err)) != OK || (rc = cpu_load(b, g, err)) != OK ||
        (rc = reserve_kv(b, o, err)) != OK || (rc = reserve_work(b, err)) != OK) {
        cpu_close(b);
        return rc;
    }
    size_t now = b->kv_bytes < FIRST_PART ? b->kv_bytes : FIRST_PART;
    touch_all(b, b->kv, now);
    cpu_prefault_start(&b->prefault, b->kv + now, b->kv_bytes - now);
    *out = b;
    return OK;
}

/* --- a step ---------------------------------------------------------------------------------- */

struct rope_job {
    struct backend *b;
};

static void rope_rows(void *arg, int begin, int end, int worker)
{
    struct backend *b = ((struct rope_job *)arg)->b;
    (void)worker;
    for (uint32_t r = 0; r < b->plan->n_ropes; r++)
        for (int row = begin; row < end; row++) {
            size_t at = cpu_angles_at(b, r, row);
            plan_rope_at(b->plan, &b->plan->ropes[r], b->rows[row].pos, b->cosines + at, b->sines + at);
        }
}

/* The pool is needed up to the last group of pages that this step writes to, and soon the one behind it. */
static void tell_prefault(struct backend *b)
{
    uint32_t last = 0;
    for (int i = 0; i < b->n_runs; i++) {
        const struct cpu_run *r = &b->runs[i];
        uint32_t page = r->pages[(r->pos + (uint32_t)r->n_rows - 1) / (uint32_t)b->page_tokens];
        last = page > last ? page : last;
    }
    size_t group = CPU_KV_GROUP * cpu_kv_page_bytes(b), near = (last / CPU_KV_GROUP + 2) * group;
    atomic_store_explicit(&b->prefault.near, near > FIRST_PART ? near - FIRST_PART : 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->prefault.steps, 1, memory_order_relaxed);
}

static void cpu_step_begin(struct backend *b, const struct model_batch *batch)
{
    b->rows = batch->rows;
    b->n_rows = (int)batch->n_rows;
    b->n_runs = 0;
    for (int row = 0; row < b->n_rows; row++) {
        if (row == 0 || b->rows[row].seq != b->rows[row - 1].seq)
            b->runs[b->n_runs++] = (struct cpu_run){
                .row = row, .pos = b->rows[row].pos, .pages = batch->seqs[b->rows[row].seq].pages};
        b->runs[b->n_runs - 1].n_rows++;
    }
    tell_prefault(b);
    struct rope_job j = {b};
    team_run(b->team, rope_rows, &j, b->n_rows, 8);
}

static void embed_rows(void *arg, int begin, int end, int worker)
{
    struct backend *b = arg;
    const struct cpu_matrix *m = &b->token_embd;
    (void)worker;
    for (int row = begin; row < end; row++) {
        int token = b->rows[row].token, r = token % KERN_STRIP;
        const uint8_t *strip = m->data + (size_t)(token / KERN_STRIP) * m->strip_bytes;
        float *x = b->x + (size_t)row * b->plan->n_embd;
        if (b->ops->packed)
            pack_row_f32(m->type, strip, r, m->n_in, x);
        else
            quant_info(m->type)->dequantize(x, strip + (size_t)r * m->row_bytes, (size_t)m->n_in);
        if (b->plan->embd_scale != 1)
            b->ops->scale(x, x, b->plan->embd_scale, m->n_in);
    }
}

static void cpu_embed(struct backend *b)
{
    team_run(b->team, embed_rows, b, b->n_rows, 4);
}

struct cap_job {
    struct backend *b;
    int pieces; /* of a row */
};

enum { CAP_PIECE = 4096 };

static void cap_logits(void *arg, int begin, int end, int worker)
{
    const struct cap_job *j = arg;
    const struct backend *b = j->b;
    (void)worker;
    for (int i = begin; i < end; i++) {
        int first = i % j->pieces * CAP_PIECE, left = (int)b->plan->n_vocab - first;
        float *y = b->logits + (size_t)(i / j->pieces) * b->logits_stride + first;
        b->ops->softcap(y, y, b->plan->logit_softcap, left < CAP_PIECE ? left : CAP_PIECE);
    }
}

/* Only the rows that are wanted pass the last norm and the head. */
static void cpu_head(struct backend *b)
{
    size_t n = b->plan->n_embd;
    int logits = 0, hidden = 0;
    float *rows = b->hidden + (size_t)b->hidden_max * n;
    for (int row = 0; row < b->n_rows; row++) {
        const float *x = b->x + (size_t)row * n;
        if (b->rows[row].want & MODEL_WANT_HIDDEN)
            b->ops->rmsnorm(b->hidden + (size_t)hidden++ * n, x, b->output_norm, (int)n, b->plan->rms_eps);
        if (b->rows[row].want & MODEL_WANT_LOGITS)
            memcpy(rows + (size_t)logits++ * n, x, n * sizeof *x);
    }
    if (logits == 0)
        return;
    cpu_norm_quantize(b, &b->in, rows, b->output_norm, (int)n, logits);
    struct cpu_product p = {&b->head, b->logits, b->logits_stride, false};
    cpu_expect_layer(b, 0);
    cpu_products(b, &p, 1, &b->in, logits);
    if (b->plan->logit_softcap > 0) {
        struct cap_job j = {b, ((int)b->plan->n_vocab + CAP_PIECE - 1) / CAP_PIECE};
        team_run(b->team, cap_logits, &j, logits * j.pieces, 1);
    }
}

static int cpu_step_submit(struct backend *b, struct err *err)
{
    (void)b;
    (void)err;
    return OK; /* computed already */
}

static int cpu_step_wait(struct backend *b, struct err *err)
{
    (void)b;
    (void)err;
    return OK;
}

static float *cpu_logits(struct backend *b, uint32_t i)
{
    assert((int)i < b->outputs_max);
    return b->logits + i * b->logits_stride;
}

static const float *cpu_hidden(struct backend *b, uint32_t i)
{
    assert((int)i < b->hidden_max);
    return b->hidden + i * (size_t)b->plan->n_embd;
}

/* --- KV pages -------------------------------------------------------------------------------- */

/* Slots behind the first n of a tile pair become zero. */
static void cut_tiles(const struct backend *b, uint8_t *k, uint8_t *v, int n)
{
    if (n <= 0) {
        memset(k, 0, b->kv_tile_bytes);
        memset(v, 0, b->kv_tile_bytes);
    } else if (n < KERN_KV_TILE) {
        kern_kv_clear(b->kv_type, k, v, n, (int)b->plan->head_dim);
    }
}

static void cpu_kv_copy(struct backend *b, uint32_t dst, uint32_t src, uint32_t n_tokens)
{
    int tiles = b->page_tokens / KERN_KV_TILE;
    assert(dst < b->n_pages && src < b->n_pages);
    for (uint32_t l = 0; l < b->plan->n_layers; l++)
        for (uint32_t h = 0; h < b->plan->n_kv_heads; h++) {
            struct cpu_kv to = cpu_kv_at(b, l, h, dst), from = cpu_kv_at(b, l, h, src);
            memmove(to.k, from.k, b->kv_page_bytes);
            memmove(to.v, from.v, b->kv_page_bytes);
            for (int t = 0; t < tiles; t++) {
                size_t at = (size_t)t * b->kv_tile_bytes;
                cut_tiles(b, to.k + at, to.v + at, (int)n_tokens - t * KERN_KV_TILE);
            }
        }
}

/* Outside the pool: [layer][kv head][keys, values]. */
static void cpu_kv_export(const struct backend *b, uint32_t page, void *bytes)
{
    uint8_t *to = bytes;
    assert(page < b->n_pages);
    for (uint32_t l = 0; l < b->plan->n_layers; l++)
        for (uint32_t h = 0; h < b->plan->n_kv_heads; h++, to += 2 * b->kv_page_bytes) {
            struct cpu_kv from = cpu_kv_at(b, l, h, page);
            memcpy(to, from.k, b->kv_page_bytes);
            memcpy(to + b->kv_page_bytes, from.v, b->kv_page_bytes);
        }
}

static void cpu_kv_import(struct backend *b, uint32_t page, const void *bytes)
{
    const uint8_t *from = bytes;
    assert(page < b->n_pages);
    for (uint32_t l = 0; l < b->plan->n_layers; l++)
        for (uint32_t h = 0; h < b->plan->n_kv_heads; h++, from += 2 * b->kv_page_bytes) {
            struct cpu_kv to = cpu_kv_at(b, l, h, page);
            memcpy(to.k, from, b->kv_page_bytes);
            memcpy(to.v, from + b->kv_page_bytes, b->kv_page_bytes);
        }
}

/* Does this process have as many huge pages as would hold half of what we reserved? */
static bool has_huge_pages(uint64_t bytes)
{
    struct buf text;
    unsigned long long kb = 0;
    buf_init(&text, 1 << 16);
    if (sys_read_file("/proc/self/smaps_rollup", &text, NULL) == OK) {
        size_t at = str_find(buf_str(&text), S("AnonHugePages:"), 0);
        if (at != STR_NONE)
            kb = strtoull(buf_z(&text) + at + strlen("AnonHugePages:"), NULL, 10);
    }
    buf_deinit(&text);
    return kb * 1024 >= bytes / 2;
}

static void cpu_settle(struct backend *b)
{
    cpu_prefault_finish(&b->prefault);
}

static const void *cpu_weights(const struct backend *b, size_t *n)
{
    *n = b->weights_bytes;
    return b->weights;
}

static void cpu_memory(const struct backend *b, struct model_memory *m)
{
    m->weights_bytes = b->weights_bytes + b->floats_bytes;
    m->kv_bytes = b->kv_bytes;
    m->work_bytes = b->work_bytes;
    m->huge_pages = has_huge_pages(m->weights_bytes + m->kv_bytes);
}

static const char *cpu_isa(const struct backend *b)
{
    return b->ops->name;
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .settle = cpu_settle,
    .step_begin = cpu_step_begin,
    .embed = cpu_embed,
    .attn_in = cpu_attn_in,
    .attn = cpu_attn,
    .attn_out = cpu_attn_out,
    .mla_in = cpu_mla_in,
    .mla_out = cpu_mla_out,
    .ffn_in = cpu_ffn_in,
    .ffn_out = cpu_ffn_out,
    .moe = cpu_moe,
    .head = cpu_head,
    .step_submit = cpu_step_submit,
    .step_wait = cpu_step_wait,
    .logits = cpu_logits,
    .hidden = cpu_hidden,
    .kv_copy = cpu_kv_copy,
    .kv_export = cpu_kv_export,
    .kv_import = cpu_kv_import,
    .kv_page_bytes = cpu_kv_page_bytes,
    .weights_sum = cpu_weights_sum,
    .weights = cpu_weights,
    .memory = cpu_memory,
    .isa = cpu_isa,
};
