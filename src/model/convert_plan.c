/* convert_plan.c - Which GGUF tensor comes from which tensors of a Hugging Face folder.
 *
 * Every source must be used exactly once: a name that is not in the maps below is an error, never
 * dropped.  Start reading at convert_make_plan(). */
#include <stdio.h>
#include <stdlib.h>

#include "model/convert_int.h"

static struct planned *add_planned(struct converter *c, uint32_t n_parts, struct err *err)
{
    if (c->n_planned == c->plan_cap) {
        uint32_t cap = c->plan_cap ? 2 * c->plan_cap : 256;
        struct planned *more = realloc(c->plan, cap * sizeof *more);
        if (!more) {
            fail(err, ERR_NOMEM, "no memory for the list of tensors");
            return NULL;
        }
        c->plan = more;
        c->plan_cap = cap;
    }
    struct planned *p = &c->plan[c->n_planned];
    *p = (struct planned){.n_parts = n_parts};
    p->parts = arena_array(&c->arena, n_parts, sizeof(const struct safetensors_tensor *));
    if (!p->parts) {
        fail(err, ERR_NOMEM, "no memory for the list of tensors");
        return NULL;
    }
    c->n_planned++;
    return p;
}

/* The source of that name, marked as used. */
static const struct safetensors_tensor *use(struct converter *c, const char *name)
{
    const struct safetensors_tensor *t = safetensors_find(c->st, str_c(name));
    if (t)
        c->used[t - safetensors_at(c->st, 0)] = true;
    return t;
}

/* Plans one tensor from one source.  A missing source is an error only if `required`. */
static int plan_one(struct converter *c, const char *from, const char *to, uint32_t permute_heads,
                    bool required, struct err *err)
{
    const struct safetensors_tensor *t = use(c, from);
    if (!t && required)
        return fail(err, ERR_FORMAT, "the folder has no tensor '%s'", from);
    if (!t)
        return OK;
    if (t->n_dims < 1 || t->n_dims > 2 || t->n_elems == 0)
        return fail(err, ERR_FORMAT, "tensor '%s' has %u dimensions, expected one or two", from, t->n_dims);
    if (permute_heads && t->shape[0] != (uint64_t)permute_heads * c->head_dim)
        return fail(err, ERR_FORMAT, "tensor '%s' has %llu rows, expected %u heads of %u", from,
                    (unsigned long long)t->shape[0], permute_heads, c->head_dim);
    struct planned *p = add_planned(c, 1, err);
    if (!p)
        return ERR_NOMEM;
    snprintf(p->name, sizeof p->name, "%s", to);
    p->parts[0] = t;
    p->permute_heads = permute_heads;
    p->add_one = c->family->is_gemma && str_ends(str_c(to), S("norm.weight"));
    bool is_router = str_find(str_c(to), S("ffn_gate_inp"), 0) != STR_NONE; /* of the shared expert, too */
    p->type = t->n_dims == 1 || is_router ? QUANT_F32 : c->matrix_type;
    return OK;
}

/* Plans the stack of one matrix of all experts of a layer. */
static int plan_experts(struct converter *c, uint32_t layer, const char *from, const char *to,
                        struct err *err)
{
    struct planned *p = add_planned(c, c->n_experts, err);
    if (!p)
        return ERR_NOMEM;
    snprintf(p->name, sizeof p->name, "blk.%u.%s", layer, to);
    p->type = c->matrix_type;
    for (uint32_t e = 0; e < c->n_experts; e++) {
        char name[192];
        snprintf(name, sizeof name, from, layer, e);
        const struct safetensors_tensor *t = use(c, name);
        if (!t || t->n_dims != 2 || t->n_elems == 0)
            return fail(err, ERR_FORMAT, "the folder has no matrix '%s'", name);
        if (e && (t->shape[0] != p->parts[0]->shape[0] || t->shape[1] != p->parts[0]->shape[1]))
            return fail(err, ERR_FORMAT, "matrix '%s' has another shape than the expert before", name);
        p->parts[e] = t;
    }
    return OK;
}

enum heads { NO_HEADS, Q_HEADS, K_HEADS };
enum fusing { ALWAYS, APART, FUSED }; /* which families have it */

/* Parts of a layer; what is not required may be absent (biases, norms of some architectures). */
static const struct {
    const char *from, *to;
    enum heads heads;
    bool required;
    enum fusing fusing;
} layer_map[] = {
    {"input_layernorm.weight", "attn_norm.weight", NO_HEADS, true, ALWAYS},
    {"self_attn.qkv_proj.weight", "attn_qkv.weight", NO_HEADS, true, FUSED},
    {"self_attn.q_proj.weight", "attn_q.weight", Q_HEADS, true, APART},
    {"self_attn.k_proj.weight", "attn_k.weight", K_HEADS, true, APART},
    {"self_attn.v_proj.weight", "attn_v.weight", NO_HEADS, true, APART},
    {"self_attn.o_proj.weight", "attn_output.weight", NO_HEADS, true, ALWAYS},
    {"self_attn.q_proj.bias", "attn_q.bias", Q_HEADS, false, ALWAYS},
    {"self_attn.k_proj.bias", "attn_k.bias", K_HEADS, false, ALWAYS},
    {"self_attn.v_proj.bias", "attn_v.bias", NO_HEADS, false, ALWAYS},
    {"self_attn.o_proj.bias", "attn_output.bias", NO_HEADS, false, ALWAYS},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", NO_HEADS, false, ALWAYS},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", NO_HEADS, false, ALWAYS},
};

struct pair {
    const char *from, *to;
};

/* Norms of layers without and with norms behind the blocks. */
static const struct pair norm_map[] = {{"post_attention_layernorm.weight", "ffn_norm.weight"}};

static const struct pair post_norm_map[] = {{"post_attention_layernorm.weight", "post_attention_norm.weight"},
                                            {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
                                            {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"}};

static const struct pair dense_map[] = {{"mlp.gate_proj.weight", "ffn_gate.weight"},
                                        {"mlp.up_proj.weight", "ffn_up.weight"},
                                        {"mlp.down_proj.weight", "ffn_down.weight"}};

static const struct pair fused_map[] = {{"mlp.gate_up_proj.weight", "ffn_up.weight"},
                                        {"mlp.down_proj.weight", "ffn_down.weight"}};

static const struct pair shared_map[] = {{"mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight"},
                                         {"mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight"},
                                         {"mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight"},
                                         {"mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight"}};

/* Experts under the two names that the field uses: Mixtral's and Qwen's. */
static const struct {
    const char *mixtral, *qwen, *to;
} expert_map[] = {
    {"model.layers.%u.block_sparse_moe.experts.%u.w1.weight",
     "model.layers.%u.mlp.experts.%u.gate_proj.weight", "ffn_gate_exps.weight"},
    {"model.layers.%u.block_sparse_moe.experts.%u.w3.weight", "model.layers.%u.mlp.experts.%u.up_proj.weight",
     "ffn_up_exps.weight"},
    {"model.layers.%u.block_sparse_moe.experts.%u.w2.weight",
     "model.layers.%u.mlp.experts.%u.down_proj.weight", "ffn_down_exps.weight"},
};

static int plan_layer_tensor(struct converter *c, uint32_t layer, const char *from, const char *to,
                             uint32_t permute_heads, bool required, struct err *err)
{
    char source[160], target[GGUF_NAME_MAX + 1];
    snprintf(source, sizeof source, "%slayers.%u.%s", c->prefix, layer, from);
    snprintf(target, sizeof target, "blk.%u.%s", layer, to);
    return plan_one(c, source, target, permute_heads, required, err);
}

static int plan_pairs(struct converter *c, uint32_t layer, const struct pair *list, size_t n, struct err *err)
{
    int rc = OK;
    for (size_t i = 0; rc == OK && i < n; i++)
        rc = plan_layer_tensor(c, layer, list[i].from, list[i].to, 0, true, err);
    return rc;
}

static int plan_ffn(struct converter *c, uint32_t layer, struct err *err)
{
    int rc = OK;
    if (!c->n_experts)
        return c->family->fuses ? plan_pairs(c, layer, fused_map, sizeof fused_map / sizeof *fused_map, err)
                                : plan_pairs(c, layer, dense_map, sizeof dense_map / sizeof *dense_map, err);
    bool mixtral = strcmp(c->family->arch, "llama") == 0;
    rc = plan_layer_tensor(c, layer, mixtral ? "block_sparse_moe.gate.weight" : "mlp.gate.weight",
                           "ffn_gate_inp.weight", 0, true, err);
    for (size_t i = 0; rc == OK && i < sizeof expert_map / sizeof expert_map[0]; i++)
        rc = plan_experts(c, layer, mixtral ? expert_map[i].mixtral : expert_map[i].qwen, expert_map[i].to,
                          err);
    if (rc == OK && c->family->shares)
        rc = plan_pairs(c, layer, shared_map, sizeof shared_map / sizeof *shared_map, err);
    return rc;
}

static int plan_layer(struct converter *c, uint32_t layer, struct err *err)
{
    int rc = OK;
    for (size_t i = 0; rc == OK && i < sizeof layer_map / sizeof layer_map[0]; i++) {
        uint32_t heads = layer_map[i].heads == Q_HEADS   ? c->n_heads
                         : layer_map[i].heads == K_HEADS ? c->n_kv_heads
                                                         : 0;
        if (layer_map[i].fusing == (c->family->fuses ? APART : FUSED))
            continue;
        rc = plan_layer_tensor(c, layer, layer_map[i].from, layer_map[i].to, c->family->permutes ? heads : 0,
                               layer_map[i].required, err);
    }
    bool post = c->family->post_norms;
    if (rc == OK)
        rc = plan_pairs(c, layer, post ? post_norm_map : norm_map, post ? 3 : 1, err);
    return rc == OK ? plan_ffn(c, layer, err) : rc;
}

/* Of a model that also sees: what is no part of its language model. */
static bool is_vision(struct str name)
{
    static const char *const parts[] = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                                        "model.multi_modal_projector."};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (str_starts(name, str_c(parts[i])))
            return true;
    return false;
}

/* Every source must have a place, except those that say nothing of their own. */
static int check_all_used(struct converter *c, struct err *err)
{
    for (uint32_t i = 0; i < safetensors_n(c->st); i++) {
        struct str name = safetensors_at(c->st, i)->name;
        bool says_nothing = str_ends(name, S("rotary_emb.inv_freq")) ||
                            (c->is_tied && str_ends(name, S("lm_head.weight"))) ||
                            (strcmp(c->family->model_type, "gemma3") == 0 && is_vision(name));
        if (!c->used[i] && !says_nothing)
            return fail(err, ERR_UNSUPPORTED, "tensor '%.*s' has no place in a model of type %s", STR(name),
                        c->family->model_type);
    }
    return OK;
}

int convert_make_plan(struct converter *c, struct err *err)
{
    c->used = arena_new_array(&c->arena, bool, safetensors_n(c->st));
    if (!c->used)
        return fail(err, ERR_NOMEM, "no memory for the list of tensors");
    char embd[128], norm[128];
    snprintf(embd, sizeof embd, "%sembed_tokens.weight", c->prefix);
    snprintf(norm, sizeof norm, "%snorm.weight", c->prefix);
    int rc = plan_one(c, embd, "token_embd.weight", 0, true, err);
    for (uint32_t i = 0; rc == OK && i < c->n_layers; i++)
        rc = plan_layer(c, i, err);
    if (rc == OK)
        rc = plan_one(c, norm, "output_norm.weight", 0, true, err);
    if (rc == OK && !c->is_tied)
        rc = plan_one(c, "lm_head.weight", "output.weight", 0, true, err);
    return rc == OK ? check_all_used(c, err) : rc;
}
