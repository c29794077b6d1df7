/* convert.c - See convert.h.
 *
 * A plan first (convert_plan.c): every GGUF tensor with the safetensors tensors it comes from.
 * Then keys and data are written.
 *
 * Arch llama rotates neighbouring elements of a head where Hugging Face rotates halves, so the
 * rows of q and k are reordered within each head: row 2i + j of the file is row j d/2 + i of the
 * source.  Start reading at convert_with(). */
#include "model/convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/convert_int.h"
#include "model/hf_tokenizer.h"

enum { LAYERS_MAX = 4096, EXPERTS_MAX = 4096, PIECE_ELEMS = 1 << 18 };

static const struct family families[] = {
    {"gemma", "gemma", .is_gemma = true},
    {"gemma2", "gemma2", .is_gemma = true, .post_norms = true},
    {"gemma3", "gemma3", .is_gemma = true, .post_norms = true}, /* its text_config */
    {"gemma3_text", "gemma3", .is_gemma = true, .post_norms = true},
    {"llama", "llama", .permutes = true},
    {"mistral", "llama", .permutes = true},
    {"mixtral", "llama", .permutes = true},
    {"phi3", "phi3", .fuses = true},
    {"qwen2", "qwen2"},
    {"qwen2_moe", "qwen2moe", .shares = true},
    {"qwen3", "qwen3"},
    {"qwen3_moe", "qwen3moe"},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

/* --- config.json -------------------------------------------------------------------------------- */

int convert_config_u32(struct converter *c, const char *key, uint32_t fallback, uint32_t *v, struct err *err)
{
    uint64_t n;
    struct json j = json_get(c->config, key);
    if (json_is_none(j) && fallback) {
        *v = fallback;
        return OK;
    }
    if (!json_u64(j, &n) || n == 0 || n > INT32_MAX)
        return fail(err, ERR_FORMAT, "config.json: '%s' is no positive number", key);
    *v = (uint32_t)n;
    return OK;
}

double convert_number(struct json v, const char *key, double fallback)
{
    json_f64(json_get(v, key), &fallback);
    return fallback;
}

/* Newer configs have everything under rope_parameters, older ones under rope_scaling. */
static struct json rope_config(const struct converter *c)
{
    struct json v = json_get(c->config, "rope_parameters");
    if (json_exists(json_get(v, "full_attention"))) /* one for each kind of layer */
        return json_get(v, "full_attention");
    return json_is_none(v) ? json_get(c->config, "rope_scaling") : v;
}

static int find_family(struct converter *c, struct err *err)
{
    struct str type = json_text(json_get(c->config, "model_type"), &c->arena);
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (type.p && str_eq(type, str_c(families[i].model_type)))
            c->family = &families[i];
    if (c->family) {
        if (json_is(json_get(c->config, "text_config"), JSON_OBJECT))
            c->config = json_get(c->config, "text_config");
        return OK;
    }
    char known[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_FAMILIES; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", families[i].model_type);
    return fail(err, ERR_UNSUPPORTED, "config.json: model_type '%.*s' cannot be converted; these can: %s",
                STR(type.p ? type : S("")), known);
}

/* The activation by its newer name, else by the older one; Gemma's older "gelu" always meant the other one.
 */
static int check_activation(struct converter *c, struct err *err)
{
    struct str act = json_text(json_get(c->config, "hidden_activation"), &c->arena);
    bool is_old = !act.p;
    if (is_old)
        act = json_text(json_get(c->config, "hidden_act"), &c->arena);
    const char *want = c->family->is_gemma ? "gelu_pytorch_tanh" : "silu";
    bool fits =
        !act.p || str_eq(act, str_c(want)) || (c->family->is_gemma && is_old && str_eq(act, S("gelu")));
    return fits ? OK
                : fail(err, ERR_UNSUPPORTED, "config.json: activation '%.*s', only %s is known in this model",
                       STR(act), want);
}

/* What would change the answer and cannot be said in the file is refused. */
static int check_config(struct converter *c, struct err *err)
{
    uint64_t n;
    int rc = check_activation(c, err);
    if (rc != OK)
        return rc;
    if (json_u64(json_get(c->config, "decoder_sparse_step"), &n) && n != 1)
        return fail(err, ERR_UNSUPPORTED, "config.json: decoder_sparse_step %llu, only 1 is known here",
                    (unsigned long long)n);
    if (json_count(json_get(c->config, "mlp_only_layers")) > 0)
        return fail(err, ERR_UNSUPPORTED, "config.json: mlp_only_layers is not empty");
    if (json_exists(json_get(c->config, "quantization_config")))
        return fail(err, ERR_UNSUPPORTED, "config.json: the model is quantised already");
    return OK;
}

static uint32_t head_dim_default(const struct converter *c, uint32_t dim)
{
    if (c->family->is_gemma)
        return 256;
    return dim / c->n_heads ? dim / c->n_heads : 1;
}

static int read_config(struct converter *c, struct err *err)
{
    uint32_t dim = 0, experts_default = UINT32_MAX, heads = 0, kv_heads = 0;
    int rc = find_family(c, err);
    if (rc == OK)
        rc = check_config(c, err);
    if (rc == OK && strcmp(c->family->arch, "gemma3") == 0) { /* its configs leave out what is usual */
        heads = 8;
        kv_heads = 4;
    }
    if (rc == OK)
        rc = convert_config_u32(c, "num_hidden_layers", 0, &c->n_layers, err);
    if (rc == OK)
        rc = convert_config_u32(c, "hidden_size", 0, &dim, err);
    if (rc == OK)
        rc = convert_config_u32(c, "num_attention_heads", heads, &c->n_heads, err);
    if (rc == OK)
        rc = convert_config_u32(c, "num_key_value_heads", kv_heads ? kv_heads : c->n_heads, &c->n_kv_heads,
                                err);
    if (rc == OK)
        rc = convert_config_u32(c, "head_dim", head_dim_default(c, dim), &c->head_dim, err);
    if (rc == OK)
        rc = convert_config_u32(c, "num_local_experts", experts_default, &c->n_experts, err);
    if (rc == OK && c->n_experts == experts_default)
        rc = convert_config_u32(c, "num_experts", experts_default, &c->n_experts, err);
    if (rc != OK)
        return rc;
    if (c->n_experts == experts_default)
        c->n_experts = 0;
    if (c->n_layers > LAYERS_MAX || c->n_experts > EXPERTS_MAX || c->n_heads % c->n_kv_heads != 0 ||
        c->head_dim % 2 != 0)
        return fail(err, ERR_FORMAT,
                    "config.json: %u layers, %u experts, %u heads on %u, head size %u are not possible",
                    c->n_layers, c->n_experts, c->n_heads, c->n_kv_heads, c->head_dim);
    c->is_tied = c->family->is_gemma;
    json_bool(json_get(c->whole_config, "tie_word_embeddings"), &c->is_tied);
    json_bool(json_get(c->config, "tie_word_embeddings"), &c->is_tied);
    double part = convert_number(c->config, "partial_rotary_factor",
                                 convert_number(rope_config(c), "partial_rotary_factor", 1));
    c->n_rot = part > 0 && part <= 1 ? (uint32_t)(part * c->head_dim) / 2 * 2 : 0;
    if (c->n_rot == 0)
        return fail(err, ERR_FORMAT, "config.json: a partial_rotary_factor of %g is not possible", part);
    return OK;
}

/* --- rope --------------------------------------------------------------------------------------- */

static double rope_base(const struct converter *c)
{
    double base = strcmp(c->family->arch, "gemma3") == 0 ? 1e6 : 10000;
    if (!json_f64(json_get(c->config, "rope_theta"), &base))
        json_f64(json_get(rope_config(c), "rope_theta"), &base);
    return base;
}

/* Room for one more tensor of rope factors. */
static float *take_factors(struct converter *c, const char *name, struct err *err)
{
    int i = c->rope_factors[0] ? 1 : 0;
    c->rope_names[i] = name;
    c->rope_factors[i] = arena_new_array(&c->arena, float, c->n_rot / 2);
    if (!c->rope_factors[i])
        fail(err, ERR_NOMEM, "no memory for %u rope factors", c->n_rot / 2);
    return c->rope_factors[i];
}

/* Llama 3.1: long waves are slowed by `factor`, short ones kept, those between blended. */
static int make_rope_freqs(struct converter *c, struct json v, struct err *err)
{
    double factor = convert_number(v, "factor", 8), low = convert_number(v, "low_freq_factor", 1);
    double high = convert_number(v, "high_freq_factor", 4);
    double original = convert_number(v, "original_max_position_embeddings", 8192);
    uint32_t n = c->n_rot / 2;
    float *f = take_factors(c, "rope_freqs.weight", err);
    if (!f)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        double wave = 2 * 3.14159265358979323846 * pow(rope_base(c), 2.0 * i / c->n_rot);
        double smooth = (original / wave - low) / (high - low);
        double mixed = 1 / ((1 - smooth) / factor + smooth);
        f[i] = (float)(wave < original / high ? 1 : wave > original / low ? factor : mixed);
    }
    return OK;
}

static void key_of(char *out, size_t n, const struct converter *c, const char *suffix)
{
    snprintf(out, n, "%s.%s", c->family->arch, suffix);
}

void convert_put_u32(struct converter *c, const char *suffix, uint32_t v)
{
    char key[96];
    key_of(key, sizeof key, c, suffix);
    gguf_write_u32(c->w, key, v);
}

void convert_put_f32(struct converter *c, const char *suffix, double v)
{
    char key[96];
    key_of(key, sizeof key, c, suffix);
    gguf_write_f32(c->w, key, (float)v);
}

static int copy_factors(struct converter *c, struct json from, const char *key, const char *name,
                        struct err *err)
{
    struct json list = json_get(from, key);
    if (json_count(list) != c->n_rot / 2)
        return fail(err, ERR_FORMAT, "config.json: '%s' has %u numbers, expected %u", key,
                    (unsigned)json_count(list), c->n_rot / 2);
    float *f = take_factors(c, name, err);
    if (!f)
        return ERR_NOMEM;
    struct json_iter it = json_iter(list);
    while (json_next(&it)) {
        double x = 0;
        if (!json_f64(it.value, &x) || !(x > 0))
            return fail(err, ERR_FORMAT, "config.json: '%s' holds what is no positive number", key);
        *f++ = (float)x;
    }
    return OK;
}

/* Phi: factors for contexts up to the original one and for longer ones, and one magnitude for both. */
static int put_long_rope(struct converter *c, struct json v, struct json kind, struct err *err)
{
    if (!json_text_is(kind, "longrope") && !json_text_is(kind, "su"))
        return fail(err, ERR_UNSUPPORTED, "config.json: rope scaling of type %.*s is not known here",
                    STR(json_span(kind)));
    double context = convert_number(c->config, "max_position_embeddings", 0);
    double original = convert_number(c->config, "original_max_position_embeddings",
                                     convert_number(v, "original_max_position_embeddings", context));
    if (!(original > 1 && original <= INT32_MAX))
        return fail(err, ERR_FORMAT, "config.json: long rope without an original context");
    double magnitude = context > original ? sqrt(1 + log(context / original) / log(original)) : 1;
    convert_put_u32(c, "rope.scaling.original_context_length", (uint32_t)original);
    convert_put_f32(c, "rope.scaling.attn_factor", convert_number(v, "attention_factor", magnitude));
    int rc = copy_factors(c, v, "long_factor", "rope_factors_long.weight", err);
    return rc == OK ? copy_factors(c, v, "short_factor", "rope_factors_short.weight", err) : rc;
}

static int put_rope(struct converter *c, struct err *err)
{
    char key[96];
    struct json v = rope_config(c);
    struct json kind = json_exists(json_get(v, "rope_type")) ? json_get(v, "rope_type") : json_get(v, "type");
    convert_put_f32(c, "rope.freq_base", rope_base(c));
    convert_put_u32(c, "rope.dimension_count", c->n_rot);
    if (json_is_none(kind) || json_text_is(kind, "default"))
        return OK;
    if (c->family->fuses)
        return put_long_rope(c, v, kind, err);
    if (json_text_is(kind, "llama3"))
        return make_rope_freqs(c, v, err);
    bool yarn = json_text_is(kind, "yarn");
    if (!yarn && !json_text_is(kind, "linear"))
        return fail(err, ERR_UNSUPPORTED, "config.json: rope scaling of type %.*s is not known here",
                    STR(json_span(kind)));
    key_of(key, sizeof key, c, "rope.scaling.type");
    gguf_write_str(c->w, key, yarn ? S("yarn") : S("linear"));
    convert_put_f32(c, "rope.scaling.factor", convert_number(v, "factor", 1));
    if (!yarn)
        return OK;
    double original = convert_number(v, "original_max_position_embeddings",
                                     convert_number(c->config, "max_position_embeddings", 0));
    if (!(original >= 1 && original <= INT32_MAX))
        return fail(err, ERR_FORMAT, "config.json: yarn without an original context");
    convert_put_u32(c, "rope.scaling.original_context_length", (uint32_t)original);
    convert_put_f32(c, "rope.scaling.yarn_beta_fast", convert_number(v, "beta_fast", 32));
    convert_put_f32(c, "rope.scaling.yarn_beta_slow", convert_number(v, "beta_slow", 1));
    double factor = convert_number(v, "factor", 1), attention = convert_number(v, "attention_factor", 0);
    if (attention > 0) /* readers multiply by 1 + 0.1 ln(factor) */
        convert_put_f32(c, "rope.scaling.attn_factor", attention / (1 + 0.1 * log(factor)));
    return OK;
}

/* --- keys --------------------------------------------------------------------------------------- */

/* Models with a sliding window are written with the window as their context: within it they are
 * exactly what they are in full, beyond it attention would see too much. */
static int put_context(struct converter *c, struct err *err)
{
    uint32_t context = 0, window = 0;
    bool has_window = !json_is_none(json_get(c->config, "sliding_window"));
    bool is_gemma = c->family->is_gemma; /* the file says which layers have it */
    int rc = convert_config_u32(c, "max_position_embeddings", is_gemma ? 131072 : 0, &context, err);
    json_bool(json_get(c->config, "use_sliding_window"), &has_window);
    has_window = has_window && !is_gemma;
    if (rc == OK && has_window)
        rc = convert_config_u32(c, "sliding_window", context, &window, err);
    if (rc != OK)
        return rc;
    convert_put_u32(c, "context_length", has_window && window < context ? window : context);
    return OK;
}

static int put_numbers(struct converter *c, struct err *err)
{
    static const struct {
        const char *from, *to;
        bool for_experts;
    } numbers[] = {{"hidden_size", "embedding_length", false},
                   {"num_hidden_layers", "block_count", false},
                   {"intermediate_size", "feed_forward_length", false},
                   {"num_attention_heads", "attention.head_count", false},
                   {"num_experts_per_tok", "expert_used_count", true}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint32_t v = 0;
        if (numbers[i].for_experts && !c->n_experts)
            continue;
        int rc = convert_config_u32(c, numbers[i].from, 0, &v, err);
        if (rc != OK)
            return rc;
        convert_put_u32(c, numbers[i].to, v);
    }
    int rc = put_context(c, err);
    if (rc != OK)
        return rc;
    convert_put_u32(c, "attention.head_count_kv", c->n_kv_heads);
    convert_put_u32(c, "attention.key_length", c->head_dim);
    convert_put_u32(c, "attention.value_length", c->head_dim);
    convert_put_f32(c, "attention.layer_norm_rms_epsilon", convert_number(c->config, "rms_norm_eps", 1e-6));
    rc = put_rope(c, err);
    return rc == OK && c->family->is_gemma ? convert_put_gemma(c, err) : rc;
}

static int put_experts(struct converter *c, struct err *err)
{
    char key[96];
    uint32_t ff = 0;
    bool norm = !c->family->shares; /* what the families' own code takes for granted */
    if (!c->n_experts)
        return OK;
    convert_put_u32(c, "expert_count", c->n_experts);
    if (strcmp(c->family->arch, "llama") == 0)
        return OK;
    int rc = convert_config_u32(c, "moe_intermediate_size", 0, &ff, err);
    if (rc != OK)
        return rc;
    convert_put_u32(c, "expert_feed_forward_length", ff);
    if (c->family->shares &&
        (rc = convert_config_u32(c, "shared_expert_intermediate_size", 0, &ff, err)) != OK)
        return rc;
    if (c->family->shares)
        convert_put_u32(c, "expert_shared_feed_forward_length", ff);
    json_bool(json_get(c->config, "norm_topk_prob"), &norm);
    key_of(key, sizeof key, c, "expert_weights_norm");
    gguf_write_bool(c->w, key, norm);
    return OK;
}

static const struct safetensors_tensor *find_embd(const struct converter *c)
{
    char name[128];
    snprintf(name, sizeof name, "%sembed_tokens.weight", c->prefix);
    return safetensors_find(c->st, str_c(name));
}

/* The last part of the folder's name. */
static struct str folder_name(const char *folder)
{
    struct str s = str_c(folder), part, last = S("model");
    while (str_split(&s, '/', &part))
        if (part.n && !str_eq(part, S(".")))
            last = part;
    return last;
}

static int put_keys(struct converter *c, const char *folder, struct err *err)
{
    const struct safetensors_tensor *embd = find_embd(c);
    if (!embd || embd->n_dims != 2 || embd->shape[0] > INT32_MAX)
        return fail(err, ERR_FORMAT, "%s: there is no matrix model.embed_tokens.weight", folder);
    gguf_write_str(c->w, "general.architecture", str_c(c->family->arch));
    gguf_write_str(c->w, "general.type", S("model"));
    gguf_write_str(c->w, "general.name", folder_name(folder));
    gguf_write_u32(c->w, "general.file_type",
                   c->matrix_type == QUANT_F32   ? 0
                   : c->matrix_type == QUANT_F16 ? 1
                                                 : 32);
    convert_put_u32(c, "vocab_size", (uint32_t)embd->shape[0]);
    int rc = put_numbers(c, err);
    if (rc == OK)
        rc = put_experts(c, err);
    if (rc == OK)
        rc = hf_tokenizer_write(c->w, folder, c->whole_config, (uint32_t)embd->shape[0], err);
    return rc;
}

/* --- data --------------------------------------------------------------------------------------- */

/* What the rows of one source are read and written through. */
struct pipe {
    float *x;
    void *out;
    size_t elems_cap;
};

static int pipe_grow(struct pipe *p, size_t elems, struct err *err)
{
    if (elems <= p->elems_cap)
        return OK;
    free(p->x);
    free(p->out);
    p->x = malloc(elems * sizeof *p->x);
    p->out = malloc(elems * sizeof *p->x);
    p->elems_cap = p->x && p->out ? elems : 0;
    return p->elems_cap ? OK : fail(err, ERR_NOMEM, "no memory for %zu elements", elems);
}

/* Row of the source that becomes row r of the file, within a head of d rows. */
static uint64_t permuted_row(uint64_t r, uint64_t d)
{
    uint64_t head = r / d, in = r % d;
    return head * d + in % 2 * (d / 2) + in / 2;
}

/* One source into tensor `idx` from element `first` on, in pieces of whole rows. */
static int write_part(struct converter *c, const struct planned *p, uint32_t idx,
                      const struct safetensors_tensor *t, uint64_t first, struct pipe *pipe, struct err *err)
{
    const struct quant_info *info = quant_info(p->type);
    uint64_t row = t->n_dims == 2 ? t->shape[1] : 1, n_rows = t->n_elems / row;
    uint64_t per = PIECE_ELEMS / row ? PIECE_ELEMS / row : 1;
    for (uint64_t r = 0; r < n_rows; r += per) {
        uint64_t n = n_rows - r < per ? n_rows - r : per;
        size_t elems = (size_t)(n * row);
        int rc = pipe_grow(pipe, elems, err);
        if (rc == OK && !p->permute_heads)
            rc = safetensors_read_f32(c->st, t, r * row, elems, pipe->x, err);
        for (uint64_t i = 0; rc == OK && p->permute_heads && i < n; i++)
            rc = safetensors_read_f32(c->st, t, permuted_row(r + i, c->head_dim) * row, (size_t)row,
                                      pipe->x + i * row, err);
        if (rc != OK)
            return rc;
        for (size_t i = 0; p->add_one && i < elems; i++)
            pipe->x[i] += 1;
        info->quantize(pipe->out, pipe->x, elems, NULL);
        rc = gguf_write_data(c->w, idx, (first + r * row) * info->block_bytes, pipe->out,
                             elems * info->block_bytes, err);
        if (rc != OK)
            return rc;
    }
    return OK;
}

static void declare_tensors(struct converter *c)
{
    for (int i = 0; i < 2 && c->rope_factors[i]; i++)
        gguf_write_tensor(c->w, str_c(c->rope_names[i]), QUANT_F32, 1, (const uint64_t[]){c->n_rot / 2});
    for (uint32_t i = 0; i < c->n_planned; i++) {
        const struct planned *p = &c->plan[i];
        const struct safetensors_tensor *t = p->parts[0];
        uint64_t ne[3] = {t->shape[t->n_dims - 1], t->n_dims == 2 ? t->shape[0] : 1, p->n_parts};
        bool is_stack = str_ends(str_c(p->name), S("_exps.weight"));
        bool is_row = t->n_dims == 2 && t->shape[0] == 1;
        gguf_write_tensor(c->w, str_c(p->name), p->type, is_stack ? 3 : is_row ? 1 : t->n_dims, ne);
    }
}

static int write_all(struct converter *c, const struct convert_options *o, struct err *err)
{
    struct pipe pipe = {0};
    uint64_t done = 0, total = 0;
    uint32_t first = 0;
    int rc = OK;
    for (uint32_t i = 0; i < c->n_planned; i++)
        total += c->plan[i].parts[0]->n_bytes * c->plan[i].n_parts;
    for (; rc == OK && first < 2 && c->rope_factors[first]; first++)
        rc = gguf_write_data(c->w, first, 0, c->rope_factors[first], c->n_rot / 2 * sizeof(float), err);
    for (uint32_t i = 0; rc == OK && i < c->n_planned; i++) {
        const struct planned *p = &c->plan[i];
        for (uint32_t k = 0; rc == OK && k < p->n_parts; k++) {
            const struct safetensors_tensor *t = p->parts[k];
            if (o->progress && !o->progress(o->progress_user, done, total))
                rc = fail(err, ERR_CANCELLED, "stopped");
            else
                rc = write_part(c, p, first + i, t, k * t->n_elems, &pipe, err);
            done += t->n_bytes;
        }
    }
    if (rc == OK && o->progress)
        o->progress(o->progress_user, total, total);
    free(pipe.x);
    free(pipe.out);
    return rc;
}

/* --- the whole ---------------------------------------------------------------------------------- */

/* A model that also sees has its language model under another name. */
static void find_prefix(struct converter *c)
{
    static const char *const prefixes[] = {"language_model.model.", "model.language_model.", "model."};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        c->prefix = prefixes[i];
        if (find_embd(c))
            return;
    }
}

static int choose_type(struct converter *c, const char *type, struct err *err)
{
    const struct safetensors_tensor *t = find_embd(c);
    c->matrix_type = t && t->dtype == ST_BF16 ? QUANT_BF16 : QUANT_F16;
    if (!type)
        return OK;
    int id = quant_by_name(type, strlen(type));
    if (id != QUANT_F16 && id != QUANT_BF16 && id != QUANT_F32)
        return fail(err, ERR_ARG, "'%s' is not f16, bf16 or f32; quantise the converted file afterwards",
                    type);
    c->matrix_type = (uint32_t)id;
    return OK;
}

static int convert_with(struct converter *c, const char *folder, const char *out,
                        const struct convert_options *o, struct err *err)
{
    struct json_doc doc;
    int rc = hf_read_json(&doc, &c->arena, folder, "config.json", err);
    if (rc != OK)
        return rc;
    c->config = c->whole_config = json_root(&doc);
    rc = read_config(c, err);
    if (rc == OK)
        rc = safetensors_open(&c->st, folder, err);
    if (rc == OK)
        find_prefix(c);
    if (rc == OK)
        rc = choose_type(c, o->type, err);
    if (rc == OK)
        rc = convert_make_plan(c, err);
    if (rc == OK)
        rc = put_keys(c, folder, err);
    if (rc != OK)
        return rc;
    declare_tensors(c);
    rc = gguf_write_begin(c->w, out, err);
    if (rc == OK)
        rc = write_all(c, o, err);
    if (rc == OK)
        rc = gguf_write_commit(c->w, err);
    return rc;
}

int convert_folder(const char *folder, const char *out, const struct convert_options *o, struct err *err)
{
    const struct convert_options none = {0};
    struct converter c = {.w = gguf_writer_create()};
    if (!c.w)
        return fail(err, ERR_NOMEM, "no memory to convert a model");
    arena_init(&c.arena, (size_t)1 << 30);
    int rc = convert_with(&c, folder, out, o ? o : &none, err);
    safetensors_close(c.st);
    gguf_writer_free(c.w);
    free(c.plan);
    arena_deinit(&c.arena);
    return rc;
}
