/* plan_mla.c - Latent attention of a file (DeepSeek): its numbers and tensors.
 *
 * Keys and values of all heads are made from one vector c of kv_lora numbers a token, and one rotated part
 * that all heads share.  In the absorbed form, which is computed here, what makes them is applied to queries
 * and results instead: so the model is one with a single KV head of kv_lora + n_rot dimensions.
 *
 * Older files have keys and values of that form in one tensor, attn_kv_b, and say the sizes of a head as if
 * nothing had been absorbed. */
#include "model/plan_int.h"

enum { LORA_MAX = 1 << 16 };

int plan_mla_init(struct plan *p, const struct gguf *g, struct err *err)
{
    struct plan_mla *m = &p->mla;
    uint32_t key = 0;
    int rc;
    if ((rc = plan_key_u32(g, "attention.kv_lora_rank", &m->kv_lora, 1, PLAN_HEAD_DIM_MAX, true, err)) !=
            OK ||
        (rc = plan_key_u32(g, "rope.dimension_count", &p->n_rot, 2, PLAN_HEAD_DIM_MAX, true, err)) != OK ||
        (rc = plan_key_u32(g, "attention.key_length_mla", &key, 0, LORA_MAX, false, err)) != OK ||
        (rc = plan_key_u32(g, "attention.value_length_mla", &m->value, 0, LORA_MAX, false, err)) != OK)
        return rc;
    if (key == 0)
        rc = plan_key_u32(g, "attention.key_length", &key, 1, LORA_MAX, true, err);
    if (rc == OK && m->value == 0)
        rc = plan_key_u32(g, "attention.value_length", &m->value, 1, LORA_MAX, true, err);
    if (rc != OK)
        return rc;
    if (p->n_rot % 2 != 0 || key <= p->n_rot)
        return fail(err, ERR_FORMAT, "a key of %u dimensions cannot have %u that are rotated", key, p->n_rot);
    m->nope = key - p->n_rot;
    const struct gguf_tensor *q_a = gguf_tensor_find(g, S("blk.0.attn_q_a.weight"));
    if (q_a && (q_a->ne[1] < 1 || q_a->ne[1] > LORA_MAX))
        return fail(err, ERR_FORMAT, "tensor 'blk.0.attn_q_a.weight' has %llu rows",
                    (unsigned long long)q_a->ne[1]);
    m->q_lora = q_a ? (uint32_t)q_a->ne[1] : 0;
    p->n_kv_heads = 1;
    p->head_dim = m->kv_lora + p->n_rot;
    return plan_key_refuse(g, "attention.temperature_scale", "scores scaled by the position", err);
}

/* What makes keys and values: apart, or in one tensor of older files. */
static int find_kv_b(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    const struct plan_mla *m = &p->mla;
    uint64_t heads = p->n_heads;
    bool apart = !plan_has_tensor(g, il, "attn_kv_b.weight") || plan_has_tensor(g, il, "attn_k_b.weight");
    const struct plan_part two[] = {
        {"attn_k_b.weight", {&l->k_b, m->nope, m->kv_lora, heads, true}},
        {"attn_v_b.weight", {&l->v_b, m->kv_lora, m->value, heads, true}},
    };
    const struct plan_part one = {"attn_kv_b.weight",
                                  {&l->kv_b, m->kv_lora, heads * (m->nope + m->value), 1, true}};
    return apart ? plan_find_parts(g, il, two, 2, err) : plan_find_parts(g, il, &one, 1, err);
}

int plan_mla_find(struct plan *p, const struct gguf *g, uint32_t il, struct err *err)
{
    struct plan_layer *l = &p->layers[il];
    const struct plan_mla *m = &p->mla;
    uint64_t embd = p->n_embd, lora = m->q_lora, q = (uint64_t)p->n_heads * (m->nope + p->n_rot);
    const struct plan_part direct = {"attn_q.weight", {&l->q, embd, q, 1, true}};
    const struct plan_part twice[] = {
        {"attn_q_a.weight", {&l->q_a, embd, lora, 1, true}},
        {"attn_q_a_norm.weight", {&l->q_a_norm, lora, 1, 1, true}},
        {"attn_q_b.weight", {&l->q, lora, q, 1, true}},
    };
    const struct plan_part list[] = {
        {"attn_norm.weight", {&l->attn_norm, embd, 1, 1, true}},
        {"attn_kv_a_mqa.weight", {&l->kv_a, embd, p->head_dim, 1, true}},
        {"attn_kv_a_norm.weight", {&l->kv_a_norm, m->kv_lora, 1, 1, true}},
        {"attn_output.weight", {&l->o, (uint64_t)p->n_heads * m->value, embd, 1, true}},
        {"ffn_norm.weight", {&l->ffn_norm, embd, 1, 1, true}},
    };
    int rc = plan_find_parts(g, il, list, sizeof list / sizeof *list, err);
    if (rc == OK)
        rc = lora ? plan_find_parts(g, il, twice, 3, err) : plan_find_parts(g, il, &direct, 1, err);
    return rc == OK ? find_kv_b(p, g, il, err) : rc;
}
