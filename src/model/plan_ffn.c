/* plan_ffn.c - The feed-forward block of a file: dense, or a mixture of experts; its numbers and tensors. */
#include "model/plan_int.h"

enum { FF_MAX = 1 << 22 };

/* --- numbers --------------------------------------------------------------------------------- */

/* The width of the shared expert: its own key, that of so many experts, or that of a dense layer. */
static int read_shared(struct plan *p, const struct gguf *g, struct err *err)
{
    uint32_t count = 0;
    if (p->arch->shared == ARCH_SHARED_NONE)
        return plan_key_refuse(g, "expert_shared_count", "shared experts", err);
    if (p->arch->shared == ARCH_SHARED_PLAIN) {
        int rc = plan_key_u32(g, "expert_shared_count", &count, 0, PLAN_EXPERTS_MAX, false, err);
        if (rc == OK && (uint64_t)count * p->n_ff_exp > FF_MAX)
            return fail(err, ERR_FORMAT, "%u shared experts of %u are too wide", count, p->n_ff_exp);
        p->n_ff_shared = count * p->n_ff_exp;
        return rc;
    }
    int rc = plan_key_u32(g, "expert_shared_feed_forward_length", &p->n_ff_shared, 0, FF_MAX, false, err);
    if (rc == OK && p->n_ff_shared == 0)
        rc = plan_key_same_per_layer(g, "feed_forward_length", p->n_layers, &p->n_ff_shared, FF_MAX, err);
    return rc;
}

/* Groups of experts of which only the best are looked at. */
static int read_groups(struct plan *p, const struct gguf *g, struct err *err)
{
    if (!p->arch->expert_groups)
        return plan_key_refuse(g, "expert_group_count", "groups of experts", err);
    int rc = plan_key_u32(g, "expert_group_count", &p->n_groups, 0, p->n_experts, false, err);
    if (rc != OK || p->n_groups <= 1)
        return rc;
    if (p->n_experts % p->n_groups != 0)
        return fail(err, ERR_FORMAT, "%u experts cannot be %u groups of the same size", p->n_experts,
                    p->n_groups);
    rc = plan_key_u32(g, "expert_group_used_count", &p->n_groups_used, 1, p->n_groups, true, err);
    if (rc == OK && p->n_groups_used * (p->n_experts / p->n_groups) < p->n_experts_used)
        rc = fail(err, ERR_FORMAT, "%u experts cannot be chosen from %u of %u groups of %u",
                  p->n_experts_used, p->n_groups_used, p->n_groups, p->n_experts / p->n_groups);
    return rc;
}

/* What becomes of the router's logits. */
static int read_router(struct plan *p, const struct gguf *g, struct err *err)
{
    struct gguf_arch_key k;
    enum { UNSAID, SOFTMAX, SIGMOID, SOFTMAX_CHOSEN };
    uint32_t gating = UNSAID;
    float scale = 1;
    int rc;
    p->experts_sum_to_1 = p->arch->experts_sum_to_1;
    if ((rc = gguf_opt_u32(g, gguf_arch_key(&k, g, "expert_gating_func"), &gating, err)) != OK)
        return rc;
    if (gating == SOFTMAX_CHOSEN && p->arch->softmax_chosen)
        gating = UNSAID;
    if (gating > SIGMOID || (gating != UNSAID && p->arch->softmax_chosen))
        return fail(err, ERR_UNSUPPORTED, "%s is %u, which architecture '%s' does not do here",
                    gguf_arch_key(&k, g, "expert_gating_func"), gating, p->arch->name);
    if (gating == UNSAID && p->n_dense_layers < p->n_layers &&
        plan_has_tensor(g, p->n_dense_layers, "exp_probs_b.bias"))
        gating = SIGMOID; /* they came together */
    p->router_is_sigmoid = gating == SIGMOID;
    if ((rc = gguf_opt_bool(g, gguf_arch_key(&k, g, "expert_weights_norm"), &p->experts_sum_to_1, err)) !=
            OK ||
        (rc = plan_key_f32(g, "expert_weights_scale", &scale, 0, 1e6f, false, err)) != OK)
        return rc;
    p->expert_scale = scale == 0 ? 1 : scale;
    return OK;
}

static int read_dense(struct plan *p, const struct gguf *g, struct err *err)
{
    return plan_key_same_per_layer(g, "feed_forward_length", p->n_layers, &p->n_ff, FF_MAX, err);
}

int plan_ffn_init(struct plan *p, const struct gguf *g, struct err *err)
{
    int rc;
    bool required = p->arch->ffn == ARCH_FFN_MOE;
    if ((rc = plan_key_u32(g, "expert_count", &p->n_experts, required ? 1 : 0, PLAN_EXPERTS_MAX, required,
                           err)) != OK)
        return rc;
    if (p->n_experts > 0 && p->arch->ffn == ARCH_FFN_DENSE)
        return fail(err, ERR_UNSUPPORTED, "architecture '%s' has no experts here, but the file has %u",
                    p->arch->name, p->n_experts);
    p->expert_scale = 1;
    if (p->n_experts == 0)
        return read_dense(p, g, err);
    uint32_t most = p->n_experts < PLAN_EXPERTS_USED_MAX ? p->n_experts : PLAN_EXPERTS_USED_MAX;
    if ((rc = plan_key_u32(g, "expert_used_count", &p->n_experts_used, 1, most, true, err)) != OK ||
        (rc = plan_key_u32(g, "leading_dense_block_count", &p->n_dense_layers, 0, PLAN_LAYERS_MAX, false,
                           err)) != OK ||
        (p->n_dense_layers > 0 && (rc = read_dense(p, g, err)) != OK))
        return rc;
    rc = plan_key_same_per_layer(g, "expert_feed_forward_length", p->n_layers, &p->n_ff_exp, FF_MAX, err);
    if (rc == ERR_NOT_FOUND) /* Mixtral */
        rc = plan_key_same_per_layer(g, "feed_forward_length", p->n_layers, &p->n_ff_exp, FF_MAX, err);
    if (rc != OK || (rc = read_shared(p, g, err)) != OK || (rc = read_groups(p, g, err)) != OK)
        return rc;
    return read_router(p, g, err);
}

/* --- tensors --------------------------------------------------------------------------------- */

/* gate and up from one tensor, where the architecture has them so. */
static int split_gate_up(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    const struct gguf_tensor *t = NULL;
    struct plan_want want = {&t, p->n_embd, 2 * (uint64_t)p->n_ff, 1, true};
    if (plan_has_tensor(g, il, "ffn_gate.weight"))
        return fail(
            err, ERR_UNSUPPORTED,
            "tensor 'blk.%u.ffn_gate.weight' is not part of architecture '%s', where ffn_up holds both", il,
            p->arch->name);
    const struct plan_part part = {"ffn_up.weight", want};
    int rc = plan_find_parts(g, il, &part, 1, err);
    if (rc != OK)
        return rc;
    l->gate = plan_take_rows(p, t, 0, p->n_ff);
    l->up = plan_take_rows(p, t, p->n_ff, p->n_ff);
    return OK;
}

static int find_dense(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    uint64_t embd = p->n_embd, ff = p->n_ff;
    const struct plan_part apart[] = {
        {"ffn_gate.weight", {&l->gate, embd, ff, 1, true}},
        {"ffn_up.weight", {&l->up, embd, ff, 1, true}},
    };
    const struct plan_part down = {"ffn_down.weight", {&l->down, ff, embd, 1, true}};
    int rc = p->arch->gate_in_up ? split_gate_up(p, g, il, err) : plan_find_parts(g, il, apart, 2, err);
    return rc == OK ? plan_find_parts(g, il, &down, 1, err) : rc;
}

static int find_experts(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    uint64_t embd = p->n_embd, ff = p->n_ff_exp, n = p->n_experts, shared = p->n_ff_shared;
    const struct plan_part chosen[] = {
        {"ffn_gate_inp.weight", {&l->router, embd, n, 1, true}},
        {"ffn_gate_exps.weight", {&l->gate_exps, embd, ff, n, true}},
        {"ffn_up_exps.weight", {&l->up_exps, embd, ff, n, true}},
        {"ffn_down_exps.weight", {&l->down_exps, ff, embd, n, true}},
    };
    const struct plan_part beside[] = {
        {"ffn_gate_shexp.weight", {&l->gate_shared, embd, shared, 1, true}},
        {"ffn_up_shexp.weight", {&l->up_shared, embd, shared, 1, true}},
        {"ffn_down_shexp.weight", {&l->down_shared, shared, embd, 1, true}},
        {"ffn_gate_inp_shexp.weight", {&l->shared_router, embd, 1, 1, true}}, /* last: not all have it */
    };
    const struct plan_part biases[] = {
        {"ffn_gate_inp.bias", {&l->router_bias, n, 1, 1, true}},
        {"ffn_gate_exps.bias", {&l->gate_bias, ff, n, 1, true}},
        {"ffn_up_exps.bias", {&l->up_bias, ff, n, 1, true}},
        {"ffn_down_exps.bias", {&l->down_bias, embd, n, 1, true}},
    };
    const struct plan_part bias = {"exp_probs_b.bias", {&l->expert_bias, n, 1, 1, false}};
    int n_beside = !shared ? 0 : p->arch->shared == ARCH_SHARED_GATED ? 4 : 3;
    int rc = plan_find_parts(g, il, chosen, 4, err);
    if (rc == OK)
        rc = plan_find_parts(g, il, beside, (size_t)n_beside, err);
    if (rc == OK)
        rc = plan_find_parts(g, il, biases, p->arch->expert_biases ? 4 : 0, err);
    return rc == OK ? plan_find_parts(g, il, &bias, 1, err) : rc;
}

int plan_ffn_find(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    bool is_dense = p->n_experts == 0 || il < p->n_dense_layers;
    return is_dense ? find_dense(p, g, il, err) : find_experts(p, g, il, err);
}
