/* model.c - The face of this folder: open, describe, check a batch, step. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/quant.h"
#include "model/backend.h"
#include "model/forward.h"
#include "model/plan.h"

/* Part of the fingerprint: changes with every change of the arithmetic or of the KV layout. */
#define NUMERICS_VERSION 2

struct model {
    struct plan plan;
    struct model_facts facts;
    const struct backend_ops *ops;
    struct backend *backend;
    struct team *team;
    enum kv_type kv_type;
    uint32_t n_ctx, page_tokens, n_pages, rows_max, outputs_max, hidden_max;
    uint64_t fingerprint;
};

const char *kv_type_name(enum kv_type t)
{
    static const char *const names[KV_TYPES_END] = {"i16", "f16", "bf16", "q8_0"};
    return t < KV_TYPES_END ? names[t] : "?";
}

int kv_type_by_name(struct str name, enum kv_type *t)
{
    for (int i = 0; i < KV_TYPES_END; i++)
        if (str_eq_nocase(name, str_c(kv_type_name((enum kv_type)i)))) {
            *t = (enum kv_type)i;
            return OK;
        }
    return ERR_ARG;
}

/* --- facts ----------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t cap, struct str s)
{
    size_t n = s.n < cap - 1 ? s.n : cap - 1;
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--; /* not inside a character */
    memcpy(to, s.p, n);
    to[n] = 0;
}

static void count_matrix(struct model_facts *f, const struct gguf_tensor *t, uint64_t used, uint64_t of)
{
    if (!t)
        return;
    f->step_bytes += t->n_bytes / of * used;
    if (t->ne[1] > 1)
        f->step_macs += t->n_elems / of * used;
}

static void count_work(struct model_facts *f, const struct plan *p)
{
    uint64_t e = p->n_experts, k = p->n_experts_used;
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct plan_layer *l = &p->layers[i];
        const struct gguf_tensor *all[] = {l->attn_norm,
                                           l->q,
                                           l->k,
                                           l->v,
                                           l->o,
                                           l->attn_post_norm,
                                           l->ffn_norm,
                                           l->gate,
                                           l->up,
                                           l->down,
                                           l->ffn_post_norm,
                                           l->router,
                                           l->shared_router,
                                           l->gate_shared,
                                           l->up_shared,
                                           l->down_shared,
                                           l->q_a,
                                           l->q_a_norm,
                                           l->kv_a,
                                           l->kv_a_norm,
                                           l->k_b,
                                           l->v_b,
                                           l->kv_b};
        const struct gguf_tensor *some[] = {l->gate_exps, l->up_exps, l->down_exps};
        for (size_t t = 0; t < sizeof all / sizeof *all; t++)
            count_matrix(f, all[t], 1, 1);
        for (size_t t = 0; e && t < sizeof some / sizeof *some; t++)
            count_matrix(f, some[t], k, e);
    }
    count_matrix(f, p->output, 1, 1);
    f->head_macs = p->output->n_elems;
}

static int read_pooling(struct model_facts *f, const struct gguf *g, struct err *err)
{
    struct gguf_arch_key key;
    uint32_t pooling = MODEL_POOL_LAST;
    const char *name = gguf_arch_key(&key, g, "pooling_type");
    int rc = gguf_opt_u32(g, name, &pooling, err);
    if (rc == OK && pooling > MODEL_POOL_RANK)
        rc = fail(err, ERR_UNSUPPORTED, "key '%s' is %u; poolings 0 to %d are known", name, pooling,
                  MODEL_POOL_RANK);
    f->pooling = (enum model_pooling)pooling;
    return rc;
}

static int fill_facts(struct model_facts *f, const struct plan *p, const struct gguf *g, enum kv_type kv_type,
                      struct err *err)
{
    struct str s = {"", 0};
    int rc;
    memset(f, 0, sizeof *f);
    copy_text(f->arch, sizeof f->arch, str_c(p->arch->name));
    if ((rc = gguf_opt_str(g, "general.name", &s, err)) != OK)
        return rc;
    copy_text(f->name, sizeof f->name, s);
    s = (struct str){"", 0};
    if ((rc = gguf_opt_str(g, "general.size_label", &s, err)) != OK)
        return rc;
    copy_text(f->size_label, sizeof f->size_label, s);
    f->n_vocab = p->n_vocab;
    f->n_ctx_train = p->n_ctx_train;
    f->n_embd = p->n_embd;
    f->n_layers = p->n_layers;
    f->n_heads = p->n_heads;
    f->n_kv_heads = p->n_kv_heads;
    f->n_experts = p->n_experts;
    f->n_experts_used = p->n_experts_used;
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        f->n_params += gguf_tensor_at(g, i)->n_elems;
        f->file_bytes += gguf_tensor_at(g, i)->n_bytes;
    }
    count_work(f, p);
    f->kv_token_bytes = backend_cpu_kv_token_bytes(p, kv_type);
    return read_pooling(f, g, err);
}

int model_describe(const struct gguf *g, enum kv_type kv_type, struct model_facts *facts, struct err *err)
{
    struct plan p;
    int rc = plan_init(&p, g, 0, err);
    if (rc != OK)
        return rc;
    rc = fill_facts(facts, &p, g, kv_type, err);
    plan_deinit(&p);
    return rc;
}

/* --- opening --------------------------------------------------------------------------------- */

static int check_options(struct model_options *o, const struct plan *p, struct err *err)
{
    if (!o->team)
        return fail(err, ERR_ARG, "a model needs a team of threads");
    if (o->kv_type >= KV_TYPES_END)
        return fail(err, ERR_ARG, "KV type %d is not known", (int)o->kv_type);
    if (o->kv_type == KV_Q8_0 && p->head_dim % 32 != 0)
        return fail(err, ERR_UNSUPPORTED, "KV type q8_0 needs heads of a multiple of 32, this model has %u",
                    p->head_dim);
    if (o->n_ctx == 0)
        o->n_ctx = p->n_ctx_train;
    if (o->page_tokens == 0)
        o->page_tokens = 32;
    if (o->page_tokens % 16 != 0 || o->page_tokens > 512 || 512 % o->page_tokens != 0)
        return fail(err, ERR_ARG, "a page of %u tokens: 16, 32, 64, 128, 256 and 512 are possible",
                    o->page_tokens);
    if (o->rows_max == 0)
        o->rows_max = 512;
    if (o->rows_max > MODEL_ROWS_MAX)
        return fail(err, ERR_ARG, "%u rows in a step, at most %d are possible", o->rows_max, MODEL_ROWS_MAX);
    if (o->outputs_max == 0)
        o->outputs_max = 64;
    if (o->outputs_max > o->rows_max)
        o->outputs_max = o->rows_max;
    if (o->hidden_max == 0)
        o->hidden_max = o->outputs_max;
    if (o->hidden_max > o->rows_max)
        o->hidden_max = o->rows_max;
    if (o->n_pages == 0)
        return fail(err, ERR_ARG, "a KV pool needs at least one page");
    return OK;
}

/* Everything that the numbers in a KV page depend on. */
static uint64_t fingerprint(const struct model *m, const struct gguf *g)
{
    const struct plan *p = &m->plan;
    uint64_t h = str_hash_seeded(str_c(m->ops->isa(m->backend)), NUMERICS_VERSION);
    uint32_t layout[] = {(uint32_t)m->kv_type, m->page_tokens,   p->n_heads,           p->n_kv_heads,
                         p->head_dim,          p->n_rot,         p->n_experts,         p->n_experts_used,
                         p->n_groups,          p->n_groups_used, p->router_is_sigmoid, p->experts_sum_to_1,
                         p->mla.nope,          p->mla.value};
    float scales[] = {p->rms_eps,     p->expert_scale, p->embd_scale,
                      p->score_scale, p->attn_softcap, p->logit_softcap};
    h = str_hash_seeded(str_c(p->arch->name), h);
    h = str_hash_seeded(str_of((const char *)scales, sizeof scales), h);
    h = str_hash_seeded(str_of((const char *)layout, sizeof layout), h);
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        h = str_hash_seeded(t->name, h ^ t->type);
        h = str_hash_seeded(str_of((const char *)t->ne, sizeof t->ne), h);
    }
    for (uint32_t i = 0; i < p->n_ropes; i++) {
        h = str_hash_seeded(str_of((const char *)p->ropes[i].freq, p->n_rot / 2 * sizeof(double)), h);
        h = str_hash_seeded(str_of((const char *)&p->ropes[i].magnitude, sizeof(float)), h);
    }
    for (uint32_t i = 0; i < p->n_layers; i++) {
        uint32_t own[] = {p->layers[i].window, p->layers[i].rope};
        h = str_hash_seeded(str_of((const char *)own, sizeof own), h);
    }
    return h;
}

/* Plus a sample of the weights themselves: the first bytes of every tensor. */
static int add_weights(uint64_t *h, const struct gguf *g, struct err *err)
{
    char bytes[256];
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        size_t n = t->n_bytes < sizeof bytes ? (size_t)t->n_bytes : sizeof bytes;
        int rc = gguf_read(g, t->part, t->offset + (t->n_bytes - n) / 2, bytes, n, err);
        if (rc != OK)
            return rc;
        *h = str_hash_seeded(str_of(bytes, n), *h);
    }
    return OK;
}

int model_open(struct model **out, const struct gguf *g, const struct model_options *options, struct err *err)
{
    struct model_options o = *options;
    struct model *m = calloc(1, sizeof *m);
    int rc;
    *out = NULL;
    if (!m)
        return fail(err, ERR_NOMEM, "no memory for a model");
    if ((rc = plan_init(&m->plan, g, o.n_ctx, err)) != OK || (rc = check_options(&o, &m->plan, err)) != OK ||
        (rc = fill_facts(&m->facts, &m->plan, g, o.kv_type, err)) != OK)
        goto out;
    m->ops = &backend_cpu;
    m->team = o.team;
    m->kv_type = o.kv_type;
    m->n_ctx = o.n_ctx;
    m->page_tokens = o.page_tokens;
    m->n_pages = o.n_pages;
    m->rows_max = o.rows_max;
    m->outputs_max = o.outputs_max;
    m->hidden_max = o.hidden_max;
    team_lease(m->team);
    rc = m->ops->open(&m->backend, &m->plan, g, &o, err);
    team_release(m->team);
    if (rc != OK)
        goto out;
    m->fingerprint = fingerprint(m, g);
    if ((rc = add_weights(&m->fingerprint, g, err)) != OK)
        goto out;
    *out = m;
    return OK;
out:
    model_close(m);
    return rc;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    if (m->backend)
        m->ops->close(m->backend);
    plan_deinit(&m->plan);
    free(m);
}

void model_settle(struct model *m)
{
    m->ops->settle(m->backend);
}

const void *model_weights(const struct model *m, size_t *n)
{
    *n = 0;
    return m->ops->weights(m->backend, n);
}

const struct model_facts *model_facts(const struct model *m)
{
    return &m->facts;
}
void model_memory(const struct model *m, struct model_memory *memory)
{
    m->ops->memory(m->backend, memory);
}
const char *model_isa(const struct model *m)
{
    return m->ops->isa(m->backend);
}
uint32_t model_page_tokens(const struct model *m)
{
    return m->page_tokens;
}
uint32_t model_n_pages(const struct model *m)
{
    return m->n_pages;
}
uint32_t model_n_ctx(const struct model *m)
{
    return m->n_ctx;
}
uint32_t model_rows_max(const struct model *m)
{
    return m->rows_max;
}
uint32_t model_outputs_max(const struct model *m)
{
    return m->outputs_max;
}
uint32_t model_hidden_max(const struct model *m)
{
    return m->hidden_max;
}
uint64_t model_kv_page_bytes(const struct model *m)
{
    return m->ops->kv_page_bytes(m->backend);
}
uint64_t model_fingerprint(const struct model *m)
{
    return m->fingerprint;
}

/* --- steps ----------------------------------------------------------------------------------- */

static int check_row(const struct model *m, const struct model_batch *b, uint32_t i, struct err *err)
{
    const struct model_row *r = &b->rows[i], *before = i ? r - 1 : NULL;
    if (r->token < 0 || (uint32_t)r->token >= m->plan.n_vocab)
        return fail(err, ERR_ARG, "row %u: token %d is not in the vocabulary of %u", i, r->token,
                    m->plan.n_vocab);
    if (r->pos >= m->n_ctx)
        return fail(err, ERR_ARG, "row %u: position %u is beyond the context of %u", i, r->pos, m->n_ctx);
    if (r->seq >= b->n_seqs)
        return fail(err, ERR_ARG, "row %u: sequence %u of %u", i, r->seq, b->n_seqs);
    if (before && before->seq == r->seq && r->pos != before->pos + 1)
        return fail(err, ERR_ARG, "row %u: position %u follows %u", i, r->pos, before->pos);
    if (before && before->seq > r->seq)
        return fail(err, ERR_ARG, "row %u: sequence %u stands behind sequence %u", i, r->seq, before->seq);
    const struct model_seq *s = &b->seqs[r->seq];
    if (r->pos / m->page_tokens >= s->n_pages)
        return fail(err, ERR_ARG, "row %u: position %u needs more than %u pages", i, r->pos, s->n_pages);
    return OK;
}

static int check_batch(const struct model *m, const struct model_batch *b, struct err *err)
{
    uint32_t logits = 0, hidden = 0;
    if (b->n_rows < 1 || b->n_rows > m->rows_max)
        return fail(err, ERR_ARG, "a step of %u rows, 1 to %u are possible", b->n_rows, m->rows_max);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        int rc = check_row(m, b, i, err);
        if (rc != OK)
            return rc;
        logits += b->rows[i].want & MODEL_WANT_LOGITS ? 1 : 0;
        hidden += b->rows[i].want & MODEL_WANT_HIDDEN ? 1 : 0;
    }
    if (logits > m->outputs_max)
        return fail(err, ERR_ARG, "%u rows want logits, at most %u are possible", logits, m->outputs_max);
    if (hidden > m->hidden_max)
        return fail(err, ERR_ARG, "%u rows want hidden state, at most %u are possible", hidden,
                    m->hidden_max);
    for (uint32_t s = 0; s < b->n_seqs; s++)
        for (uint32_t i = 0; i < b->seqs[s].n_pages; i++)
            if (b->seqs[s].pages[i] >= m->n_pages)
                return fail(err, ERR_ARG, "sequence %u: page %u of a pool of %u", s, b->seqs[s].pages[i],
                            m->n_pages);
    return OK;
}

int model_step_submit(struct model *m, const struct model_batch *batch, struct err *err)
{
    int rc = check_batch(m, batch, err);
    if (rc != OK)
        return rc;
    team_lease(m->team);
    rc = forward_step(m->ops, m->backend, &m->plan, batch, err);
    team_release(m->team);
    return rc;
}

int model_step_wait(struct model *m, struct err *err)
{
    return m->ops->step_wait(m->backend, err);
}
float *model_logits(struct model *m, uint32_t i)
{
    return m->ops->logits(m->backend, i);
}
const float *model_hidden(struct model *m, uint32_t i)
{
    return m->ops->hidden(m->backend, i);
}

uint64_t model_weights_sum(struct model *m)
{
    team_lease(m->team);
    uint64_t sum = m->ops->weights_sum(m->backend);
    team_release(m->team);
    return sum;
}

void model_kv_copy(struct model *m, uint32_t dst, uint32_t src, uint32_t n_tokens)
{
    m->ops->kv_copy(m->backend, dst, src, n_tokens);
}

void model_kv_export(const struct model *m, uint32_t page, void *bytes)
{
    m->ops->kv_export(m->backend, page, bytes);
}
void model_kv_import(struct model *m, uint32_t page, const void *bytes)
{
    m->ops->kv_import(m->backend, page, bytes);
}
