/* quant_mix.c - See quant_mix.h.  Start reading at the table; quant_mix_type() applies it. */
#include "model/quant_mix.h"

#include <strings.h>

#include "kernel/quant.h"

enum role {
    ROLE_OTHER,
    ROLE_HEAD,   /* output, or token_embd where that is the output too */
    ROLE_ATTN_V, /* also fused qkv: the part of attention that suffers most */
    ROLE_ATTN_K,
    ROLE_ATTN_OUTPUT,
    ROLE_FFN_DOWN,
    ROLE_EXPERTS /* only in mixes with a rule for it; else experts are as their dense role */
};

enum where {
    EVERYWHERE = 0,
    FIRST_TWO,
    FIRST_FOUR,
    FIRST_16TH,
    FIRST_8TH,
    SPREAD, /* the first and last eighth, and every third layer between */
    GQA_4,  /* everywhere in models with 4 or more query heads per key head */
    EIGHT_EXPERTS
};

struct rule {
    enum role role;
    enum where where;
    enum quant_type type;
};

enum { RULES_MAX = 6 };

struct quant_mix {
    const char *name;
    uint32_t file_type;
    enum quant_type base;
    struct rule rules[RULES_MAX]; /* the first that fits wins; ROLE_OTHER ends the list */
};

/* clang-format off */
static const struct quant_mix mixes[] = {
    {"F32", 0, QUANT_F32, {{0}}},
    {"F16", 1, QUANT_F16, {{0}}},
    {"BF16", 32, QUANT_BF16, {{0}}},
    {"Q8_0", 7, QUANT_Q8_0, {{0}}},
    {"Q4_0", 2, QUANT_Q4_0, {{0}}},
    {"Q4_1", 3, QUANT_Q4_1, {{0}}},
    {"Q5_0", 8, QUANT_Q5_0, {{0}}},
    {"Q5_1", 9, QUANT_Q5_1, {{0}}},
    {"Q2_K", 10, QUANT_Q2_K, {
        {ROLE_ATTN_V, GQA_4, QUANT_Q4_K}, {ROLE_ATTN_V, EVERYWHERE, QUANT_Q3_K},
        {ROLE_FFN_DOWN, EVERYWHERE, QUANT_Q3_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}, {ROLE_ATTN_OUTPUT, EVERYWHERE, QUANT_Q3_K}}},
    {"Q2_K_S", 21, QUANT_Q2_K, {
        {ROLE_ATTN_V, GQA_4, QUANT_Q4_K}, {ROLE_FFN_DOWN, FIRST_8TH, QUANT_Q4_K}}},
    {"Q3_K_S", 11, QUANT_Q3_K, {{ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}}},
    {"Q3_K_M", 12, QUANT_Q3_K, {
        {ROLE_ATTN_V, FIRST_TWO, QUANT_Q5_K}, {ROLE_ATTN_V, EVERYWHERE, QUANT_Q4_K},
        {ROLE_FFN_DOWN, FIRST_16TH, QUANT_Q5_K}, {ROLE_FFN_DOWN, EVERYWHERE, QUANT_Q4_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}, {ROLE_ATTN_OUTPUT, EVERYWHERE, QUANT_Q4_K}}},
    {"Q3_K_L", 13, QUANT_Q3_K, {
        {ROLE_ATTN_V, EVERYWHERE, QUANT_Q5_K}, {ROLE_FFN_DOWN, EVERYWHERE, QUANT_Q5_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q3_K}, {ROLE_ATTN_OUTPUT, EVERYWHERE, QUANT_Q5_K}}},
    {"Q4_K_S", 14, QUANT_Q4_K, {
        {ROLE_ATTN_V, FIRST_FOUR, QUANT_Q5_K}, {ROLE_FFN_DOWN, FIRST_8TH, QUANT_Q5_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}}},
    {"Q4_K_M", 15, QUANT_Q4_K, {
        {ROLE_ATTN_V, SPREAD, QUANT_Q6_K}, {ROLE_FFN_DOWN, SPREAD, QUANT_Q6_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}}},
    {"Q5_K_S", 16, QUANT_Q5_K, {{0}}},
    {"Q5_K_M", 17, QUANT_Q5_K, {
        {ROLE_ATTN_V, SPREAD, QUANT_Q6_K}, {ROLE_FFN_DOWN, SPREAD, QUANT_Q6_K}}},
    {"Q6_K", 18, QUANT_Q6_K, {{0}}},
    {"IQ4_NL", 25, QUANT_IQ4_NL, {
        {ROLE_ATTN_V, GQA_4, QUANT_Q5_K}, {ROLE_FFN_DOWN, FIRST_8TH, QUANT_Q5_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}}},
    {"IQ4_XS", 30, QUANT_IQ4_XS, {
        {ROLE_ATTN_V, GQA_4, QUANT_Q5_K}, {ROLE_FFN_DOWN, FIRST_8TH, QUANT_Q5_K},
        {ROLE_ATTN_OUTPUT, EIGHT_EXPERTS, QUANT_Q5_K}}},
    {"MXFP4_MOE", 38, QUANT_Q8_0, {{ROLE_EXPERTS, EVERYWHERE, QUANT_MXFP4}}},
};
/* clang-format on */

enum { N_MIXES = sizeof mixes / sizeof mixes[0] };

/* Short names for the mixes that people mean by them. */
static const struct {
    const char *short_name, *name;
} aliases[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

const struct quant_mix *quant_mix_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcasecmp(name, aliases[i].short_name) == 0)
            name = aliases[i].name;
    for (int i = 0; i < N_MIXES; i++)
        if (strcasecmp(name, mixes[i].name) == 0)
            return &mixes[i];
    return NULL;
}

void quant_mix_names(struct buf *out)
{
    for (int i = 0; i < N_MIXES; i++)
        buf_printf(out, "%s%s", i ? " " : "", mixes[i].name);
}

uint32_t quant_mix_file_type(const struct quant_mix *m)
{
    return m->file_type;
}

int quant_mix_model_init(struct quant_mix_model *model, const struct gguf *g, struct err *err)
{
    struct gguf_arch_key k;
    uint32_t heads = 0, kv_heads = 0;
    *model = (struct quant_mix_model){.gqa = 1};
    int rc = gguf_opt_u32(g, gguf_arch_key(&k, g, "block_count"), &model->n_layers, err);
    if (rc == OK)
        rc = gguf_opt_u32(g, gguf_arch_key(&k, g, "expert_count"), &model->n_experts, err);
    if (rc != OK)
        return rc;
    /* Arrays per layer tell by their first element; absent keys leave gqa at 1. */
    gguf_get_u32_per_layer(g, gguf_arch_key(&k, g, "attention.head_count"), &heads, 1, NULL);
    gguf_get_u32_per_layer(g, gguf_arch_key(&k, g, "attention.head_count_kv"), &kv_heads, 1, NULL);
    if (kv_heads)
        model->gqa = heads / kv_heads;
    model->is_tied = !gguf_tensor_find(g, S("output.weight"));
    return OK;
}

static bool contains(struct str s, struct str part)
{
    return str_find(s, part, 0) != STR_NONE;
}

/* Norms, routers, biases, positions and vectors keep their type. */
static bool may_change(const struct gguf_tensor *t)
{
    const struct quant_info *info = quant_info(t->type);
    return t->n_dims >= 2 && t->ne[1] > 1 && info->dequantize && str_ends(t->name, S("weight")) &&
           !contains(t->name, S("_norm.weight")) && !contains(t->name, S("ffn_gate_inp")) &&
           !str_eq(t->name, S("position_embd.weight")) && !str_eq(t->name, S("token_types.weight")) &&
           !contains(t->name, S("rope_f"));
}

static enum role role_of(const struct quant_mix_model *model, struct str name)
{
    if (str_eq(name, S("output.weight")) || (model->is_tied && str_eq(name, S("token_embd.weight"))))
        return ROLE_HEAD;
    if (contains(name, S("attn_v.weight")) || contains(name, S("attn_qkv.weight")) ||
        contains(name, S("attn_kv_b.weight")))
        return ROLE_ATTN_V;
    if (contains(name, S("attn_k.weight")))
        return ROLE_ATTN_K;
    if (contains(name, S("attn_output.weight")))
        return ROLE_ATTN_OUTPUT;
    if (contains(name, S("ffn_down")))
        return ROLE_FFN_DOWN;
    return ROLE_OTHER;
}

/* The number in "blk.N."; 0 for other names. */
static uint32_t layer_of(struct str name)
{
    uint64_t n;
    struct str part;
    if (!str_split(&name, '.', &part) || !str_eq(part, S("blk")) || !str_split(&name, '.', &part) ||
        !str_to_u64(part, &n) || n > UINT32_MAX)
        return 0;
    return (uint32_t)n;
}

static bool where_fits(enum where where, const struct quant_mix_model *model, uint32_t layer)
{
    uint32_t n = model->n_layers;
    switch (where) {
    case EVERYWHERE: return true;
    case FIRST_TWO: return layer < 2;
    case FIRST_FOUR: return layer < 4;
    case FIRST_16TH: return layer < n / 16;
    case FIRST_8TH: return layer < n / 8;
    case SPREAD: return layer < n / 8 || layer >= 7ull * n / 8 || (layer - n / 8) % 3 == 2;
    case GQA_4: return model->gqa >= 4;
    case EIGHT_EXPERTS: return model->n_experts == 8;
    }
    return false;
}

static enum quant_type mixed_type(const struct quant_mix *m, const struct quant_mix_model *model,
                                  const struct gguf_tensor *t, enum role role)
{
    bool is_experts = contains(t->name, S("_exps."));
    uint32_t layer = layer_of(t->name);
    enum quant_type type = m->base;
    for (const struct rule *r = m->rules; r < m->rules + RULES_MAX && r->role; r++) {
        if ((r->role == role || (r->role == ROLE_EXPERTS && is_experts)) &&
            where_fits(r->where, model, layer)) {
            type = r->type;
            break;
        }
    }
    if (role == ROLE_ATTN_V && model->n_layers == 80 && model->gqa > 1 &&
        (type == QUANT_Q3_K || type == QUANT_Q4_K))
        type = QUANT_Q5_K; /* 70B models: eight heads share it, it is small and matters */
    if ((role == ROLE_ATTN_V || role == ROLE_ATTN_K) && model->n_experts == 8)
        type = QUANT_Q8_0; /* beside eight experts it costs next to nothing */
    return type;
}

/* Where rows are no whole blocks of 256, the type of 32 with about the same precision. */
static enum quant_type fitting(enum quant_type type, uint64_t row)
{
    if (row % quant_info(type)->block_elems == 0)
        return type;
    enum quant_type smaller = QUANT_F16;
    switch (type) {
    case QUANT_Q2_K:
    case QUANT_Q3_K: smaller = QUANT_Q4_0; break;
    case QUANT_Q4_K: smaller = QUANT_Q5_0; break;
    case QUANT_Q5_K: smaller = QUANT_Q5_1; break;
    case QUANT_Q6_K: smaller = QUANT_Q8_0; break;
    case QUANT_IQ4_XS: smaller = QUANT_IQ4_NL; break;
    default: break;
    }
    return row % quant_info(smaller)->block_elems == 0 ? smaller : QUANT_F16;
}

uint32_t quant_mix_type(const struct quant_mix *m, const struct quant_mix_model *model,
                        const struct gguf_tensor *t)
{
    if (!may_change(t))
        return t->type;
    if (quant_info(m->base)->block_elems == 1)
        return m->base;
    enum role role = role_of(model, t->name);
    if (role == ROLE_HEAD) {
        bool plain = m->base == QUANT_Q8_0 || t->ne[0] % quant_info(m->base)->block_elems != 0;
        return fitting(plain ? QUANT_Q8_0 : QUANT_Q6_K, t->ne[0]);
    }
    return fitting(mixed_type(m, model, t, role), t->ne[0]);
}
