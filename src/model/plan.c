/* plan.c - What a file's model is: read the keys, find the tensors, check every shape.
 *
 * Start reading at plan_init(). */
#include "model/plan_int.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/quant.h"

/* --- keys ------------------------------------------------------------------------------------ */

int plan_key_u32(const struct gguf *g, const char *suffix, uint32_t *v, uint32_t lo, uint32_t hi,
                 bool required, struct err *err)
{
    struct gguf_arch_key k;
    const char *key = gguf_arch_key(&k, g, suffix);
    int rc = required ? gguf_get_u32(g, key, v, err) : gguf_opt_u32(g, key, v, err);
    if (rc != OK)
        return rc;
    if (*v < lo || *v > hi)
        return fail(err, ERR_FORMAT, "%s is %u, expected %u to %u", key, *v, lo, hi);
    return OK;
}

int plan_key_f32(const struct gguf *g, const char *suffix, float *v, float lo, float hi, bool required,
                 struct err *err)
{
    struct gguf_arch_key k;
    const char *key = gguf_arch_key(&k, g, suffix);
    int rc = required ? gguf_get_f32(g, key, v, err) : gguf_opt_f32(g, key, v, err);
    if (rc != OK)
        return rc;
    if (!(*v >= lo && *v <= hi))
        return fail(err, ERR_FORMAT, "%s is %g, expected %g to %g", key, (double)*v, (double)lo, (double)hi);
    return OK;
}

int plan_key_same_per_layer(const struct gguf *g, const char *suffix, uint32_t n_layers, uint32_t *v,
                            uint32_t hi, struct err *err)
{
    struct gguf_arch_key k;
    const char *key = gguf_arch_key(&k, g, suffix);
    uint32_t *each = malloc(n_layers * sizeof *each);
    if (!each)
        return fail(err, ERR_NOMEM, "no memory for %u layers", n_layers);
    int rc = gguf_get_u32_per_layer(g, key, each, n_layers, err);
    for (uint32_t i = 0; rc == OK && i < n_layers; i++)
        if (each[i] != each[0])
            rc = fail(err, ERR_UNSUPPORTED,
                      "%s differs between layers (%u and %u), which this version cannot compute", key,
                      each[0], each[i]);
    if (rc == OK && (each[0] < 1 || each[0] > hi))
        rc = fail(err, ERR_FORMAT, "%s is %u, expected 1 to %u", key, each[0], hi);
    if (rc == OK)
        *v = each[0];
    free(each);
    return rc;
}

int plan_key_refuse(const struct gguf *g, const char *suffix, const char *what, struct err *err)
{
    struct gguf_arch_key k;
    const char *key = gguf_arch_key(&k, g, suffix);
    const struct gguf_value *v = gguf_find(g, str_c(key));
    bool off = !v || (v->type == GGUF_F32 && (v->f == 0 || v->f == 1)) || (v->type == GGUF_U32 && v->u == 0);
    return off ? OK
               : fail(err, ERR_UNSUPPORTED, "%s asks for %s, which this architecture does not have here", key,
                      what);
}

static int read_heads(struct plan *p, const struct gguf *g, struct err *err)
{
    p->n_kv_heads = p->n_heads;
    int rc = plan_key_same_per_layer(g, "attention.head_count_kv", p->n_layers, &p->n_kv_heads, 4096, err);
    if (rc != OK && rc != ERR_NOT_FOUND)
        return rc;
    if (p->n_heads % p->n_kv_heads != 0)
        return fail(err, ERR_FORMAT, "%u heads cannot share %u key-value heads", p->n_heads, p->n_kv_heads);
    p->head_dim = p->n_embd / p->n_heads;
    uint32_t value_dim;
    if ((rc = plan_key_u32(g, "attention.key_length", &p->head_dim, 1, PLAN_HEAD_DIM_MAX, false, err)) != OK)
        return rc;
    value_dim = p->head_dim;
    if ((rc = plan_key_u32(g, "attention.value_length", &value_dim, 1, PLAN_HEAD_DIM_MAX, false, err)) != OK)
        return rc;
    if (value_dim != p->head_dim)
        return fail(err, ERR_UNSUPPORTED,
                    "keys of %u and values of %u dimensions: different sizes are not supported", p->head_dim,
                    value_dim);
    p->n_rot = p->head_dim;
    if ((rc = plan_key_u32(g, "rope.dimension_count", &p->n_rot, 2, p->head_dim, false, err)) != OK)
        return rc;
    if (p->n_rot % 2 != 0)
        return fail(err, ERR_FORMAT, "rope.dimension_count is %u, an even number is needed", p->n_rot);
    return OK;
}

static int read_sizes(struct plan *p, const struct gguf *g, struct err *err)
{
    int rc;
    if ((rc = plan_key_u32(g, "block_count", &p->n_layers, 1, PLAN_LAYERS_MAX, true, err)) != OK ||
        (rc = plan_key_u32(g, "embedding_length", &p->n_embd, 16, PLAN_EMBD_MAX, true, err)) != OK ||
        (rc = plan_key_u32(g, "context_length", &p->n_ctx_train, 1, 1u << 30, true, err)) != OK ||
        (rc = plan_key_same_per_layer(g, "attention.head_count", p->n_layers, &p->n_heads, 4096, err)) != OK)
        return rc;
    uint32_t n_ahead = 0; /* blocks behind the model that guess further tokens: not used */
    if ((rc = p->arch->attn == ARCH_ATTN_MLA ? plan_mla_init(p, g, err) : read_heads(p, g, err)) != OK ||
        (rc = plan_key_u32(g, "nextn_predict_layers", &n_ahead, 0, p->n_layers - 1, false, err)) != OK)
        return rc;
    p->n_layers -= n_ahead;
    if (p->head_dim == 0 || p->head_dim % 16 != 0 || p->head_dim > PLAN_HEAD_DIM_MAX)
        return fail(err, ERR_UNSUPPORTED, "a head size of %u: only multiples of 16 up to %d are supported",
                    p->head_dim, PLAN_HEAD_DIM_MAX);
    return plan_key_f32(g, "attention.layer_norm_rms_epsilon", &p->rms_eps, 0, 1, true, err);
}

/* --- tensors --------------------------------------------------------------------------------- */

static int check_shape(const struct gguf_tensor *t, uint64_t n0, uint64_t n1, uint64_t n2, struct err *err)
{
    if (t->ne[0] != n0 || t->ne[1] != n1 || t->ne[2] != n2 || t->ne[3] != 1)
        return fail(err, ERR_FORMAT, "tensor '%.*s' is %llu x %llu x %llu, expected %llu x %llu x %llu",
                    STR(t->name), (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                    (unsigned long long)t->ne[2], (unsigned long long)n0, (unsigned long long)n1,
                    (unsigned long long)n2);
    const struct quant_info *info = quant_info(t->type);
    if (!info || !info->dot)
        return fail(err, ERR_UNSUPPORTED,
                    "tensor '%.*s' has type %s, which can be listed but not computed with", STR(t->name),
                    info ? info->name : "?");
    return OK;
}

static int find_tensor(const struct gguf *g, const struct plan_want *w, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int find_tensor(const struct gguf *g, const struct plan_want *w, struct err *err, const char *fmt, ...)
{
    char name[GGUF_NAME_MAX + 1];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    assert(n > 0 && n < (int)sizeof name);
    const struct gguf_tensor *t = gguf_tensor_find(g, str_of(name, (size_t)n));
    if (!t)
        return w->required ? fail(err, ERR_FORMAT, "tensor '%s' is missing", name) : OK;
    *w->slot = t;
    return check_shape(t, w->n0, w->n1, w->n2, err);
}

/* --- fused tensors ---------------------------------------------------------------------------- */

const struct gguf_tensor *plan_take_rows(struct plan *p, const struct gguf_tensor *t, uint64_t first,
                                         uint64_t n)
{
    assert(p->n_parts < PLAN_PARTS_OF_LAYER * p->n_layers && first + n <= t->ne[1] && t->ne[2] == 1);
    struct gguf_tensor *part = &p->parts[p->n_parts++];
    *part = *t;
    part->ne[1] = n;
    part->n_elems = n * t->ne[0];
    part->n_bytes = n * t->row_bytes;
    part->offset = t->offset + first * t->row_bytes;
    return part;
}

int plan_find_parts(const struct gguf *g, uint32_t il, const struct plan_part *list, size_t n,
                    struct err *err)
{
    int rc = OK;
    for (size_t i = 0; rc == OK && i < n; i++)
        rc = find_tensor(g, &list[i].want, err, "blk.%u.%s", il, list[i].name);
    return rc;
}

bool plan_has_tensor(const struct gguf *g, uint32_t il, const char *name)
{
    return gguf_tensor_findf(g, "blk.%u.%s", il, name) != NULL;
}

/* q, k and v from one tensor, if the layer has it. */
static int split_qkv(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    uint64_t q = (uint64_t)p->n_heads * p->head_dim, kv = (uint64_t)p->n_kv_heads * p->head_dim;
    const struct gguf_tensor *t = NULL;
    struct plan_want want = {&t, p->n_embd, q + 2 * kv, 1, false};
    int rc = find_tensor(g, &want, err, "blk.%u.attn_qkv.weight", il);
    if (rc != OK || !t)
        return rc;
    if (plan_has_tensor(g, il, "attn_q.weight") || plan_has_tensor(g, il, "attn_k.weight") ||
        plan_has_tensor(g, il, "attn_v.weight"))
        return fail(err, ERR_FORMAT, "layer %u has attn_qkv beside attn_q, attn_k or attn_v", il);
    l->q = plan_take_rows(p, t, 0, q);
    l->k = plan_take_rows(p, t, q, kv);
    l->v = plan_take_rows(p, t, q + kv, kv);
    return OK;
}

/* --- layers ----------------------------------------------------------------------------------- */

static int find_attention(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    uint64_t embd = p->n_embd, q = (uint64_t)p->n_heads * p->head_dim,
             kv = (uint64_t)p->n_kv_heads * p->head_dim;
    bool norm = p->arch->qk_norm;
    int rc = split_qkv(p, g, il, err);
    if (rc != OK)
        return rc;
    bool apart = l->q == NULL;
    const struct plan_part list[] = {
        {"attn_norm.weight", {&l->attn_norm, embd, 1, 1, true}},
        {"attn_q.weight", {&l->q, embd, q, 1, apart}},
        {"attn_k.weight", {&l->k, embd, kv, 1, apart}},
        {"attn_v.weight", {&l->v, embd, kv, 1, apart}},
        {"attn_output.weight", {&l->o, q, embd, 1, true}},
        {"attn_q.bias", {&l->q_bias, q, 1, 1, false}},
        {"attn_k.bias", {&l->k_bias, kv, 1, 1, false}},
        {"attn_v.bias", {&l->v_bias, kv, 1, 1, false}},
        {"attn_output.bias", {&l->o_bias, embd, 1, 1, false}},
        {"attn_q_norm.weight", {&l->q_norm, p->head_dim, 1, 1, norm}},
        {"attn_k_norm.weight", {&l->k_norm, p->head_dim, 1, 1, norm}},
        {p->arch->ffn_norm ? p->arch->ffn_norm : "ffn_norm.weight", {&l->ffn_norm, embd, 1, 1, true}},
        {"post_attention_norm.weight", {&l->attn_post_norm, embd, 1, 1, true}}, /* these last */
        {"post_ffw_norm.weight", {&l->ffn_post_norm, embd, 1, 1, true}},
    };
    size_t n = sizeof list / sizeof *list - (p->arch->post_norms ? 0 : 2);
    const struct plan_part sinks = {"attn_sinks.weight", {&l->sinks, p->n_heads, 1, 1, true}};
    if ((rc = plan_find_parts(g, il, list, n, err)) != OK ||
        (rc = plan_find_parts(g, il, &sinks, p->arch->sinks, err)) != OK)
        return rc;
    if (!norm && (l->q_norm || l->k_norm))
        return fail(err, ERR_UNSUPPORTED, "layer %u normalises q and k, which architecture '%s' does not do",
                    il, p->arch->name);
    return OK;
}

/* Tensors of a layer that are there but that nothing above asked for would silently change the
 * result if they were ignored. */
static int refuse_unused(const struct plan *p, const struct gguf *g, struct err *err)
{
    bool is_mla = p->arch->attn == ARCH_ATTN_MLA;
    const struct {
        const char *name;
        bool is_known;
    } list[] = {
        {"attn_qkv.bias", false},
        {"attn_sinks.weight", p->arch->sinks},
        {"attn_q_a.weight", is_mla},
        {"attn_q_a.bias", false},
        {"attn_kv_a_mqa.bias", false},
        {"attn_q.bias", !is_mla},
        {"attn_output.bias", !is_mla},
        {"post_attention_norm.weight", p->arch->post_norms || p->arch->ffn_norm},
        {"post_ffw_norm.weight", p->arch->post_norms},
        {"attn_norm.bias", false},
        {"ffn_norm.bias", false},
        {"ffn_gate.bias", false},
        {"ffn_up.bias", false},
        {"ffn_down.bias", false},
        {"ffn_gate.0.weight", false},
        {"ffn_gate_shexp.weight", p->n_ff_shared > 0},
        {"ffn_gate_inp.bias", p->arch->expert_biases},
        {"ffn_gate_exps.bias", p->arch->expert_biases},
        {"ffn_up_exps.bias", p->arch->expert_biases},
        {"ffn_down_exps.bias", p->arch->expert_biases},
    };
    for (uint32_t il = 0; il < p->n_layers; il++)
        for (size_t i = 0; i < sizeof list / sizeof *list; i++)
            if (!list[i].is_known && plan_has_tensor(g, il, list[i].name))
                return fail(err, ERR_UNSUPPORTED,
                            "tensor 'blk.%u.%s' is not part of architecture '%s' as known here", il,
                            list[i].name, p->arch->name);
    return OK;
}

static int find_tensors(struct plan *p, const struct gguf *g, struct err *err)
{
    struct plan_want embd = {&p->token_embd, p->n_embd, 0, 1, true};
    const struct gguf_tensor *t = gguf_tensor_find(g, S("token_embd.weight"));
    if (!t)
        return fail(err, ERR_FORMAT, "tensor 'token_embd.weight' is missing");
    if (t->ne[1] < 1 || t->ne[1] > INT32_MAX / 2)
        return fail(err, ERR_FORMAT, "tensor 'token_embd.weight' has %llu rows",
                    (unsigned long long)t->ne[1]);
    p->n_vocab = (uint32_t)t->ne[1];
    embd.n1 = p->n_vocab;
    int rc = find_tensor(g, &embd, err, "token_embd.weight");
    if (rc != OK)
        return rc;
    struct plan_want norm = {&p->output_norm, p->n_embd, 1, 1, true},
                     head = {&p->output, p->n_embd, p->n_vocab, 1, false};
    p->output = p->token_embd;
    if ((rc = find_tensor(g, &norm, err, "output_norm.weight")) != OK ||
        (rc = find_tensor(g, &head, err, "output.weight")) != OK)
        return rc;
    p->layers = calloc(p->n_layers, sizeof *p->layers);
    p->parts = calloc(PLAN_PARTS_OF_LAYER * (size_t)p->n_layers, sizeof *p->parts);
    if (!p->layers || !p->parts)
        return fail(err, ERR_NOMEM, "no memory for %u layers", p->n_layers);
    for (uint32_t il = 0; il < p->n_layers; il++)
        if ((rc = p->arch->attn == ARCH_ATTN_MLA ? plan_mla_find(p, g, il, err)
                                                 : find_attention(p, g, il, err)) != OK ||
            (rc = plan_ffn_find(p, g, il, err)) != OK)
            return rc;
    return refuse_unused(p, g, err);
}

static int find_arch(struct plan *p, const struct gguf *g, struct err *err)
{
    struct str name;
    char known[256];
    int rc = gguf_get_str(g, "general.architecture", &name, err);
    if (rc != OK)
        return rc;
    p->arch = arch_find(name);
    if (p->arch)
        return OK;
    arch_list(known, sizeof known);
    return fail(err, ERR_UNSUPPORTED, "architecture '%.*s' is not supported; supported are: %s", STR(name),
                known);
}

int plan_init(struct plan *p, const struct gguf *g, uint32_t n_ctx, struct err *err)
{
    int rc;
    memset(p, 0, sizeof *p);
    if ((rc = find_arch(p, g, err)) != OK || (rc = read_sizes(p, g, err)) != OK ||
        (rc = plan_ffn_init(p, g, err)) != OK || (rc = find_tensors(p, g, err)) != OK ||
        (rc = plan_attn_init(p, g, err)) != OK || (rc = plan_rope_init(p, g, n_ctx, err)) != OK ||
        (rc = plan_key_refuse(g, "logit_scale", "scaled logits", err)) != OK ||
        (rc = plan_key_refuse(g, "residual_scale", "scaled residuals", err)) != OK ||
        (rc = plan_key_refuse(g, "embedding_scale", "scaled embeddings", err)) != OK) {
        plan_deinit(p);
        return rc;
    }
    return OK;
}

void plan_deinit(struct plan *p)
{
    free(p->layers);
    free(p->parts);
    for (uint32_t i = 0; i < p->n_ropes; i++)
        free(p->ropes[i].freq);
    memset(p, 0, sizeof *p);
}
