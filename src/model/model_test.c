/* The promise of model.h: a row's logits depend on its own sequence and on nothing else, bit for
 * bit.  Tiny models with random weights, made here. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "kernel/kernel.h"
#include "kernel/quant.h"
#include "model/gguf_write.h"

enum {
    VOCAB = 300,
    EMBD = 256,
    HEADS = 8,
    KV_HEADS = 2,
    HEAD_DIM = 32,
    FF = 512,
    LAYERS = 2,
    CTX = 2048,
    TOKENS = 700
};

struct recipe {
    const char *arch;
    enum quant_type type, head; /* of the layers' matrices; of the tied head */
    int n_experts;              /* 0: dense */
    bool untied;
    int head_dim; /* 0: HEAD_DIM */
    int window;   /* of every other layer; 0: none */
    bool is_old;  /* deepseek2: queries made directly, attn_kv_b in one */
};

/* Latent attention. */
enum { Q_LORA = 96, KV_LORA = 64, N_ROT = 32, NOPE = 32, VALUE = 64, DENSE_LAYERS = 1 };

static bool is_deepseek(const struct recipe *r)
{
    return strcmp(r->arch, "deepseek2") == 0;
}

static int head_dim_of(const struct recipe *r)
{
    return r->head_dim ? r->head_dim : HEAD_DIM;
}

/* --- making a model -------------------------------------------------------------------------- */

struct tensor {
    char name[64];
    enum quant_type type;
    uint64_t ne[3];
    float mean, spread;
};

struct maker {
    struct tensor list[96];
    int n;
};

static void add(struct maker *m, const char *name, enum quant_type type, int n0, int n1, int n2, float mean,
                float spread)
{
    struct tensor *t = &m->list[m->n++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->type = type;
    t->ne[0] = (uint64_t)n0;
    t->ne[1] = (uint64_t)n1;
    t->ne[2] = (uint64_t)n2;
    t->mean = mean;
    t->spread = spread;
}

#define NAME(suffix) (snprintf(n, sizeof n, "blk.%d.%s", il, suffix), n)

static void add_latent_attention(struct maker *m, const struct recipe *r, int il)
{
    char n[64];
    int q = HEADS * (NOPE + N_ROT);
    if (r->is_old) {
        add(m, NAME("attn_q.weight"), r->type, EMBD, q, 1, 0, .1f);
        add(m, NAME("attn_kv_b.weight"), r->type, KV_LORA, HEADS * (NOPE + VALUE), 1, 0, .1f);
    } else {
        add(m, NAME("attn_q_a.weight"), r->type, EMBD, Q_LORA, 1, 0, .1f);
        add(m, NAME("attn_q_a_norm.weight"), QUANT_F32, Q_LORA, 1, 1, 1, .3f);
        add(m, NAME("attn_q_b.weight"), r->type, Q_LORA, q, 1, 0, .1f);
        add(m, NAME("attn_k_b.weight"), r->type, NOPE, KV_LORA, HEADS, 0, .1f);
        add(m, NAME("attn_v_b.weight"), r->head, KV_LORA, VALUE, HEADS, 0, .1f);
    }
    add(m, NAME("attn_kv_a_mqa.weight"), r->head, EMBD, KV_LORA + N_ROT, 1, 0, .1f);
    add(m, NAME("attn_kv_a_norm.weight"), QUANT_F32, KV_LORA, 1, 1, 1, .3f);
    add(m, NAME("attn_output.weight"), r->type, HEADS * VALUE, EMBD, 1, 0, .1f);
}

static bool is_gpt_oss(const struct recipe *r)
{
    return strcmp(r->arch, "gpt-oss") == 0;
}

static void add_attention(struct maker *m, const struct recipe *r, int il)
{
    char n[64];
    int hd = head_dim_of(r), q = HEADS * hd, kv = KV_HEADS * hd;
    if (strcmp(r->arch, "phi3") == 0) {
        add(m, NAME("attn_qkv.weight"), r->type, EMBD, q + 2 * kv, 1, 0, .1f);
    } else {
        add(m, NAME("attn_q.weight"), r->type, EMBD, q, 1, 0, .1f);
        add(m, NAME("attn_k.weight"), r->type, EMBD, kv, 1, 0, .1f);
        add(m, NAME("attn_v.weight"), r->head, EMBD, kv, 1, 0, .1f);
    }
    add(m, NAME("attn_output.weight"), r->type, q, EMBD, 1, 0, .1f);
    if (is_gpt_oss(r)) {
        add(m, NAME("attn_output.bias"), QUANT_F32, EMBD, 1, 1, 0, .5f);
        add(m, NAME("attn_sinks.weight"), QUANT_F32, HEADS, 1, 1, 1, 1);
    }
    if (strncmp(r->arch, "qwen2", 5) == 0 || is_gpt_oss(r)) {
        add(m, NAME("attn_q.bias"), QUANT_F32, q, 1, 1, 0, .5f);
        add(m, NAME("attn_k.bias"), QUANT_F32, kv, 1, 1, 0, .5f);
        add(m, NAME("attn_v.bias"), QUANT_F32, kv, 1, 1, 0, .5f);
    }
    if (strncmp(r->arch, "qwen3", 5) == 0 || strcmp(r->arch, "gemma3") == 0) {
        add(m, NAME("attn_q_norm.weight"), QUANT_F32, hd, 1, 1, 1, .3f);
        add(m, NAME("attn_k_norm.weight"), QUANT_F32, hd, 1, 1, 1, .3f);
    }
    if (strcmp(r->arch, "gemma2") == 0 || strcmp(r->arch, "gemma3") == 0) {
        add(m, NAME("post_attention_norm.weight"), QUANT_F32, EMBD, 1, 1, 1, .3f);
        add(m, NAME("post_ffw_norm.weight"), QUANT_F32, EMBD, 1, 1, 1, .3f);
    }
}

static void add_ffn(struct maker *m, const struct recipe *r, int il)
{
    char n[64];
    bool is_phi = strcmp(r->arch, "phi3") == 0;
    if (r->n_experts && !(is_deepseek(r) && il < DENSE_LAYERS)) {
        add(m, NAME("ffn_gate_inp.weight"), QUANT_F32, EMBD, r->n_experts, 1, 0, .1f);
        add(m, NAME("ffn_gate_exps.weight"), r->type, EMBD, FF, r->n_experts, 0, .1f);
        add(m, NAME("ffn_up_exps.weight"), r->type, EMBD, FF, r->n_experts, 0, .1f);
        add(m, NAME("ffn_down_exps.weight"), r->head, FF, EMBD, r->n_experts, 0, .1f);
        if (is_gpt_oss(r)) {
            add(m, NAME("ffn_gate_inp.bias"), QUANT_F32, r->n_experts, 1, 1, 0, .5f);
            add(m, NAME("ffn_gate_exps.bias"), QUANT_F32, FF, r->n_experts, 1, 0, .5f);
            add(m, NAME("ffn_up_exps.bias"), QUANT_F32, FF, r->n_experts, 1, 0, .5f);
            add(m, NAME("ffn_down_exps.bias"), QUANT_F32, EMBD, r->n_experts, 1, 0, .5f);
        }
        if (strcmp(r->arch, "qwen2moe") == 0)
            add(m, NAME("ffn_gate_inp_shexp.weight"), QUANT_F32, EMBD, 1, 1, 0, .1f);
        if (is_deepseek(r))
            add(m, NAME("exp_probs_b.bias"), QUANT_F32, r->n_experts, 1, 1, 0, .1f);
        if (strcmp(r->arch, "qwen2moe") == 0 || is_deepseek(r)) {
            add(m, NAME("ffn_gate_shexp.weight"), r->type, EMBD, FF, 1, 0, .1f);
            add(m, NAME("ffn_up_shexp.weight"), r->type, EMBD, FF, 1, 0, .1f);
            add(m, NAME("ffn_down_shexp.weight"), r->head, FF, EMBD, 1, 0, .1f);
        }
    } else {
        if (!is_phi)
            add(m, NAME("ffn_gate.weight"), r->type, EMBD, FF, 1, 0, .1f);
        add(m, NAME("ffn_up.weight"), r->type, EMBD, is_phi ? 2 * FF : FF, 1, 0, .1f);
        add(m, NAME("ffn_down.weight"), r->head, FF, EMBD, 1, 0, .1f);
    }
}

static void add_layer(struct maker *m, const struct recipe *r, int il)
{
    char n[64];
    add(m, NAME("attn_norm.weight"), QUANT_F32, EMBD, 1, 1, 1, .3f);
    add(m, is_gpt_oss(r) ? NAME("post_attention_norm.weight") : NAME("ffn_norm.weight"), QUANT_F32, EMBD, 1,
        1, 1, .3f);
    is_deepseek(r) ? add_latent_attention(m, r, il) : add_attention(m, r, il);
    add_ffn(m, r, il);
}
#undef NAME

/* Sizes of a head, groups of experts and a bias for choosing among them. */
static void add_deepseek_keys(struct gguf_writer *w, const struct recipe *r)
{
    const struct {
        const char *key;
        uint32_t v;
        bool is_new;
    } list[] = {{"attention.kv_lora_rank", KV_LORA, false},
                {"rope.dimension_count", N_ROT, false},
                {"attention.key_length_mla", NOPE + N_ROT, true},
                {"attention.value_length_mla", VALUE, true},
                {"leading_dense_block_count", DENSE_LAYERS, false},
                {"expert_shared_count", 1, false},
                {"expert_gating_func", 2, false},
                {"expert_group_count", 4, false},
                {"expert_group_used_count", 2, false}};
    char k[96];
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        snprintf(k, sizeof k, "deepseek2.%s", list[i].key);
        if (!list[i].is_new || !r->is_old)
            gguf_write_u32(w, k, list[i].v);
    }
}

static void add_keys(struct gguf_writer *w, const struct recipe *r)
{
    char k[96];
    bool is_latent = is_deepseek(r);
    int key = is_latent ? (r->is_old ? NOPE : KV_LORA) + N_ROT : head_dim_of(r),
        value = is_latent ? (r->is_old ? VALUE : KV_LORA) : head_dim_of(r);
    if (is_latent)
        add_deepseek_keys(w, r);
#define KEY(suffix) (snprintf(k, sizeof k, "%s.%s", r->arch, suffix), k)
    gguf_write_str(w, "general.architecture", str_c(r->arch));
    gguf_write_u32(w, KEY("block_count"), LAYERS);
    gguf_write_u32(w, KEY("context_length"), CTX);
    gguf_write_u32(w, KEY("embedding_length"), EMBD);
    gguf_write_u32(w, KEY("feed_forward_length"), FF);
    gguf_write_u32(w, KEY("attention.head_count"), HEADS);
    gguf_write_u32(w, KEY("attention.head_count_kv"), KV_HEADS);
    gguf_write_u32(w, KEY("attention.key_length"), (uint32_t)key);
    gguf_write_u32(w, KEY("attention.value_length"), (uint32_t)value);
    gguf_write_f32(w, KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
    gguf_write_f32(w, KEY("rope.freq_base"), 10000);
    if (r->window) {
        gguf_write_u32(w, KEY("attention.sliding_window"), (uint32_t)r->window);
        gguf_write_u32(w, KEY("attention.sliding_window_pattern"), 2);
    }
    if (r->n_experts) {
        gguf_write_u32(w, KEY("expert_count"), (uint32_t)r->n_experts);
        gguf_write_u32(w, KEY("expert_used_count"), 2);
        gguf_write_u32(w, KEY("expert_feed_forward_length"), FF);
    }
#undef KEY
}

static float gauss(struct rng *r)
{
    return (float)(sqrt(-2 * log(1 - rng_unit(r))) * cos(6.283185307179586 * rng_unit(r)));
}

static void write_tensor(uint8_t *to, const struct tensor *t, struct rng *r)
{
    const struct quant_info *info = quant_info(t->type);
    float x[HEADS * 256]; /* the widest row: that of attn_output */
    for (uint64_t row = 0; row < t->ne[1] * t->ne[2]; row++) {
        for (uint64_t i = 0; i < t->ne[0]; i++)
            x[i] = t->mean + t->spread * gauss(r);
        info->quantize(to, x, t->ne[0], NULL);
        to += t->ne[0] / info->block_elems * info->block_bytes;
    }
}

/* The file's bytes; the caller frees. */
static void *make(const struct recipe *r, size_t *n)
{
    static struct maker m;
    struct rng rng = rng_seeded(3);
    struct gguf_writer *w = gguf_writer_create();
    struct buf b;
    m.n = 0;
    add(&m, "token_embd.weight", r->head, EMBD, VOCAB, 1, 0, 1);
    add(&m, "output_norm.weight", QUANT_F32, EMBD, 1, 1, 1, .3f);
    if (r->untied)
        add(&m, "output.weight", r->type, EMBD, VOCAB, 1, 0, .3f);
    for (int i = 0; i < LAYERS; i++)
        add_layer(&m, r, i);
    add_keys(w, r);
    for (int i = 0; i < m.n; i++) {
        const struct tensor *t = &m.list[i];
        gguf_write_tensor(w, str_c(t->name), t->type, t->ne[2] > 1 ? 3 : t->ne[1] > 1 ? 2 : 1, t->ne);
    }
    buf_init(&b, 64 << 20);
    REQUIRE(gguf_write_header(w, &b, NULL) == OK);
    size_t head = b.n, last = 0;
    for (int i = 0; i < m.n; i++) {
        uint64_t row = 0;
        quant_row_bytes(m.list[i].type, m.list[i].ne[0], &row);
        last = gguf_write_offset(w, (uint32_t)i) + row * m.list[i].ne[1] * m.list[i].ne[2];
    }
    last = (last + 31) / 32 * 32;
    char *p = buf_reserve(&b, last);
    REQUIRE(p != NULL);
    memset(p, 0, last);
    buf_commit(&b, last);
    for (int i = 0; i < m.n; i++)
        write_tensor((uint8_t *)b.p + head + gguf_write_offset(w, (uint32_t)i), &m.list[i], &rng);
    gguf_writer_free(w);
    return buf_take(&b, n);
}

/* --- running it ------------------------------------------------------------------------------ */

struct bench {
    struct gguf *g;
    struct model *m;
    struct team *team;
};

/* The file of a recipe, made once: quantising takes longer than computing. */
static const void *file_of(const struct recipe *r, size_t *n)
{
    static const struct recipe *made;
    static void *bytes;
    static size_t n_bytes;
    if (made != r) {
        free(bytes);
        bytes = make(r, &n_bytes);
        made = r;
    }
    *n = n_bytes;
    return bytes;
}

static bool open_bench(struct bench *b, const struct recipe *r, const char *isa, int threads, enum kv_type kv)
{
    struct err err = {0};
    size_t n;
    const struct kern_ops *ops;
    if (kern_choose(&ops, isa, NULL) != OK)
        test_skip("this processor does not have the level");
    const void *bytes = file_of(r, &n);
    REQUIRE(gguf_open_memory(&b->g, bytes, n, &err) == OK);
    REQUIRE(team_create(&b->team, threads, &err) == OK);
    struct model_options o = {.team = b->team,
                              .isa = isa,
                              .kv_type = kv,
                              .n_pages = 256,
                              .page_tokens = 16,
                              .rows_max = TOKENS,
                              .outputs_max = TOKENS};
    int rc = model_open(&b->m, b->g, &o, &err);
    if (rc != OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    return rc == OK;
}

static void close_bench(struct bench *b)
{
    model_close(b->m);
    team_free(b->team);
    gguf_close(b->g);
}

static int32_t token_at(int seq, int pos)
{
    return (int32_t)(rand_at(9, (uint64_t)seq, (uint64_t)pos) % VOCAB);
}

/* A page table: page i of sequence `seq` in physical order `order`. */
static void pages_of(uint32_t *pages, int n, int base, int order)
{
    for (int i = 0; i < n; i++)
        pages[i] = (uint32_t)(order == 0 ? base + i : order == 1 ? base + n - 1 - i : base + (i * 7) % n);
}

/* Compute tokens [0, n) of sequence 0 in chunks; logits of the rows from `first` on into out. */
static void run_chunks(struct model *m, const uint32_t *pages, int n_pages, int n, const int *chunks,
                       int first, float *out)
{
    static struct model_row rows[TOKENS];
    struct model_seq seq = {pages, (uint32_t)n_pages};
    struct err err = {0};
    for (int at = 0, c = 0; at < n; c++) {
        int now = chunks[c] && at + chunks[c] < n ? chunks[c] : n - at, wanted = 0;
        if (!chunks[c])
            c--;
        for (int i = 0; i < now; i++)
            rows[i] = (struct model_row){token_at(0, at + i), (uint32_t)(at + i), 0, at + i >= first};
        struct model_batch b = {rows, (uint32_t)now, &seq, 1};
        if (model_step_submit(m, &b, &err) != OK || model_step_wait(m, &err) != OK)
            test_fail(__FILE__, __LINE__, "%s", err.text);
        for (int i = 0; i < now; i++)
            if (rows[i].want)
                memcpy(out + (size_t)(at + i - first) * VOCAB, model_logits(m, (uint32_t)wanted++),
                       VOCAB * sizeof *out);
        at += now;
    }
}

/* The windows: within a segment, so that most are passed over, and longer than one. */
static const struct recipe recipes[] = {
    {"llama", QUANT_Q4_0, QUANT_Q6_K, 0, false, 0, 0, false},
    {"llama", QUANT_Q4_K, QUANT_Q6_K, 0, true, 0, 0, false},
    {"qwen2", QUANT_Q8_0, QUANT_F16, 0, false, 0, 0, false},
    {"qwen3", QUANT_Q5_K, QUANT_BF16, 0, true, 0, 0, false},
    {"llama", QUANT_Q8_0, QUANT_Q8_0, 4, false, 0, 0, false},
    {"qwen3moe", QUANT_Q4_K, QUANT_Q6_K, 8, true, 0, 0, false},
    {"phi3", QUANT_Q4_K, QUANT_Q6_K, 0, false, 0, 0, false},
    {"qwen2moe", QUANT_Q5_0, QUANT_Q6_K, 6, false, 0, 0, false},
    {"gemma", QUANT_Q4_0, QUANT_Q6_K, 0, false, 0, 0, false},
    {"gemma2", QUANT_Q4_K, QUANT_Q6_K, 0, false, 0, 12, false},
    {"gemma3", QUANT_Q8_0, QUANT_Q8_0, 0, false, 256, 530, false},
    {"deepseek2", QUANT_Q4_0, QUANT_Q8_0, 8, false, 0, 0, true},
    {"deepseek2", QUANT_Q5_1, QUANT_F16, 8, true, 0, 0, false},
    {"gpt-oss", QUANT_MXFP4, QUANT_Q8_0, 4, true, 64, 14, false},
};

enum {
    N_RECIPES = sizeof recipes / sizeof *recipes,
    LATENT = N_RECIPES - 1,
    WINDOWS = N_RECIPES - 3,
    SHOWN = 40
};

static void check_chunks(const struct recipe *r, const char *isa, enum kv_type kv)
{
    /* A prefix in one go then single tokens; odd pieces; one row at a time; all at once. */
    static const int cuts[][8] = {
        {660, 1, 1, 1, 1, 1, 1, 0}, {1, 2, 3, 5, 17, 129, 500, 0}, {512, 148, 33, 0}, {TOKENS, 0}};
    float *a = malloc(SHOWN * VOCAB * sizeof *a), *b = malloc(SHOWN * VOCAB * sizeof *b);
    struct bench one, two;
    uint32_t pages[64];
    if (!open_bench(&one, r, isa, 1, kv) || !open_bench(&two, r, isa, 3, kv))
        return;
    pages_of(pages, 45, 0, 0);
    static const int singles[TOKENS + 1] = {TOKENS - SHOWN,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            1,
                                            0};
    run_chunks(one.m, pages, 45, TOKENS, singles, TOKENS - SHOWN, a);
    for (int i = 0; i < SHOWN * VOCAB; i++)
        if (!(a[i] - a[i] == 0)) {
            test_fail(__FILE__, __LINE__, "a logit is not finite");
            break;
        }
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        pages_of(pages, 45, 3 * (int)c, (int)c % 3);
        run_chunks(two.m, pages, 45, TOKENS, cuts[c], TOKENS - SHOWN, b);
        if (memcmp(a, b, SHOWN * VOCAB * sizeof *a) != 0)
            test_fail(__FILE__, __LINE__, "%s %s kv %s: cut %zu gives other logits", r->arch, isa,
                      kv_type_name(kv), c);
    }
    close_bench(&one);
    close_bench(&two);
    free(a);
    free(b);
}

TEST(chunks_threads_and_pages_do_not_change_a_bit)
{
    for (int i = 0; i < N_RECIPES; i++)
        check_chunks(&recipes[i], "auto", KV_I16);
    check_chunks(&recipes[2], "auto", KV_F16);
    check_chunks(&recipes[0], "auto", KV_BF16);
    check_chunks(&recipes[1], "auto", KV_Q8_0);
    for (int kv = KV_F16; kv < KV_TYPES_END; kv++) {
        check_chunks(&recipes[WINDOWS], "auto", (enum kv_type)kv);
        check_chunks(&recipes[LATENT], "auto", (enum kv_type)kv);
    }
}

/* A row alone, and the same row among 31 sequences that are doing other things. */
static void check_crowd(const struct recipe *r)
{
    enum { SEQS = 32, PREFIX = 20, PAGES = 4 };
    static struct model_row rows[SEQS * PREFIX];
    static uint32_t pages[SEQS][PAGES];
    static float alone[VOCAB];
    struct model_seq seqs[SEQS];
    struct bench t;
    struct err err = {0};
    if (!open_bench(&t, r, "auto", 2, KV_I16))
        return;
    for (int s = 0; s < SEQS; s++) {
        pages_of(pages[s], PAGES, s * PAGES, s % 3);
        seqs[s] = (struct model_seq){pages[s], PAGES};
    }
    int n = 0;
    for (int s = 0; s < SEQS; s++)
        for (int p = 0; p < PREFIX + s % 5; p++) {
            rows[n++] = (struct model_row){token_at(s, p), (uint32_t)p, (uint32_t)s, 0};
            if (n == SEQS * PREFIX || (s == SEQS - 1 && p == PREFIX + s % 5 - 1)) {
                struct model_batch b = {rows, (uint32_t)n, seqs, SEQS};
                CHECK(model_step_submit(t.m, &b, &err) == OK);
                n = 0;
            }
        }
    struct model_row row = {token_at(13, PREFIX + 3), PREFIX + 3, 0, MODEL_WANT_LOGITS};
    struct model_batch solo = {&row, 1, &seqs[13], 1};
    CHECK(model_step_submit(t.m, &solo, &err) == OK);
    memcpy(alone, model_logits(t.m, 0), sizeof alone);
    for (int s = 0; s < SEQS; s++)
        rows[s] = (struct model_row){token_at(s, PREFIX + s % 5), (uint32_t)(PREFIX + s % 5), (uint32_t)s,
                                     MODEL_WANT_LOGITS};
    struct model_batch crowd = {rows, SEQS, seqs, SEQS};
    CHECK(model_step_submit(t.m, &crowd, &err) == OK);
    CHECK(memcmp(alone, model_logits(t.m, 13), sizeof alone) == 0);
    close_bench(&t);
}

TEST(a_crowd_does_not_change_a_bit)
{
    for (int i = 0; i < N_RECIPES; i++)
        check_crowd(&recipes[i]);
}

/* Matrix products and attention are the same on all levels, so whole models are, too. */
static void check_level(const char *isa)
{
    enum { N = 20 }; /* more than a tile of keys; the reference is slow */
    static const int all[] = {0};
    float *a = malloc(N * VOCAB * sizeof *a), *b = malloc(N * VOCAB * sizeof *b);
    uint32_t pages[8];
    pages_of(pages, 8, 0, 0);
    for (int i = 0; i < N_RECIPES; i++)
        for (int kv = 0; kv < (i == 0 || i == LATENT ? KV_TYPES_END : 1); kv++) {
            struct bench ref, fast;
            if (!open_bench(&fast, &recipes[i], isa, 2, (enum kv_type)kv) ||
                !open_bench(&ref, &recipes[i], "ref", 2, (enum kv_type)kv))
                return;
            run_chunks(ref.m, pages, 8, N, all, 0, a);
            run_chunks(fast.m, pages, 8, N, all, 0, b);
            if (memcmp(a, b, N * VOCAB * sizeof *a) != 0)
                test_fail(__FILE__, __LINE__, "model %d kv %s: %s differs from the reference", i,
                          kv_type_name((enum kv_type)kv), isa);
            close_bench(&ref);
            close_bench(&fast);
        }
    free(a);
    free(b);
}

TEST(avx512_computes_whole_models_as_the_reference)
{
    check_level("avx512");
}

TEST(avx2_computes_whole_models_as_the_reference)
{
    check_level("avx2");
}

TEST(avxvnni_computes_whole_models_as_the_reference)
{
    check_level("avxvnni");
}

TEST(neon_computes_whole_models_as_the_reference)
{
    check_level("neon");
}

TEST(i8mm_computes_whole_models_as_the_reference)
{
    check_level("i8mm");
}

static void check_pages(const struct recipe *r)
{
    static const int all[] = {0};
    enum { N = 40 };
    static float a[VOCAB], b[VOCAB];
    struct bench t;
    struct err err = {0};
    for (int kv = 0; kv < KV_TYPES_END; kv++) {
        uint32_t pages[] = {0, 1, 2}, other[] = {10, 11, 12};
        if (!open_bench(&t, r, "auto", 2, (enum kv_type)kv))
            return;
        run_chunks(t.m, pages, 3, N, all, N - 1, a);
        void *bytes = malloc(model_kv_page_bytes(t.m));
        for (int i = 0; i < 2; i++) {
            model_kv_export(t.m, pages[i], bytes);
            model_kv_import(t.m, other[i], bytes);
        }
        model_kv_copy(t.m, other[2], pages[2], N - 33);
        struct model_row row = {token_at(0, N - 1), N - 1, 0, MODEL_WANT_LOGITS};
        struct model_seq seq = {other, 3};
        struct model_batch batch = {&row, 1, &seq, 1};
        CHECK(model_step_submit(t.m, &batch, &err) == OK);
        memcpy(b, model_logits(t.m, 0), sizeof b);
        CHECK(memcmp(a, b, sizeof a) == 0);
        model_kv_export(t.m, other[2], bytes);
        free(bytes);
        close_bench(&t);
    }
}

TEST(a_copied_and_an_exported_page_mean_the_same)
{
    check_pages(&recipes[0]);
    check_pages(&recipes[LATENT]);
}

TEST(a_batch_that_breaks_a_rule_is_refused)
{
    struct bench t;
    struct err err = {0};
    uint32_t pages[] = {0, 1}, beyond[] = {0, 256};
    if (!open_bench(&t, &recipes[0], "auto", 1, KV_F16))
        return;
    struct model_seq seq = {pages, 2}, bad = {beyond, 2};
    struct model_row rows[] = {{1, 0, 0, 0}, {1, 1, 0, 0}};
    struct model_batch b = {rows, 2, &seq, 1};
    CHECK_INT(model_step_submit(t.m, &b, &err), OK);
    rows[1].pos = 2;
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    rows[1] = (struct model_row){VOCAB, 1, 0, 0};
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    rows[1] = (struct model_row){-1, 1, 0, 0};
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    rows[1] = (struct model_row){1, 1, 1, 0};
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    rows[0] = (struct model_row){1, 32, 0, 0};
    b.n_rows = 1;
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    rows[0].pos = CTX;
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    rows[0].pos = 0;
    b.seqs = &bad;
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    b.n_rows = 0;
    CHECK_INT(model_step_submit(t.m, &b, &err), ERR_ARG);
    close_bench(&t);
}

/* --- against float64 ------------------------------------------------------------------------- */

/* Tiny models of every architecture with logits of a float64 reference on the dequantised weights
 * (tools/golden_logits.py).  What remains is our rounding: f32 sums, KV in 16 bits, and for block types the
 * activations in 8 bits, which is nearly all of it. */
static void check_golden_in(const char *name, const char *logits_name, uint32_t n_ctx, enum kv_type kv,
                            double tolerance)
{
    char path[128];
    size_t n;
    struct err err = {0};
    struct gguf *g;
    struct team *team;
    struct model *m;
    snprintf(path, sizeof path, "tests/golden/models/%s.logits", logits_name);
    char *want = test_read_file(path, &n);
    snprintf(path, sizeof path, "tests/golden/models/%s.gguf", name);
    REQUIRE(want != NULL && n > 8);
    uint32_t size[2];
    memcpy(size, want, 8);
    const int32_t *tokens = (const int32_t *)(want + 8);
    const float *logits = (const float *)(tokens + size[0]);
    if (gguf_open(&g, path, &err) != OK || team_create(&team, 2, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        return;
    }
    struct model_options o = {.team = team, .kv_type = kv, .n_ctx = n_ctx, .n_pages = 8, .rows_max = 64};
    if (model_open(&m, g, &o, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        return;
    }
    struct model_row rows[64];
    uint32_t pages[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct model_seq seq = {pages, 8};
    for (uint32_t i = 0; i < size[0]; i++)
        rows[i] = (struct model_row){tokens[i], i, 0, MODEL_WANT_LOGITS};
    struct model_batch b = {rows, size[0], &seq, 1};
    CHECK(model_step_submit(m, &b, &err) == OK);
    double error = 0, power = 0;
    for (uint32_t i = 0; i < size[0]; i++)
        for (uint32_t k = 0; k < size[1]; k++) {
            double d = (double)model_logits(m, i)[k] - (double)logits[i * size[1] + k];
            error += d * d;
            power += (double)logits[i * size[1] + k] * (double)logits[i * size[1] + k];
        }
    double rms = sqrt(error / power);
    if (getenv("SHOW_GOLDEN"))
        printf("%-14s KV %-4s relative RMS error %.2e\n", name, kv_type_name(kv), rms);
    if (!(rms <= tolerance))
        test_fail(__FILE__, __LINE__, "%s: relative RMS error %.3g, at most %.3g expected", name, rms,
                  tolerance);
    model_close(m);
    team_free(team);
    gguf_close(g);
    free(want);
}

static void check_golden(const char *name, enum kv_type kv, double tolerance)
{
    check_golden_in(name, name, 0, kv, tolerance);
}

TEST(logits_are_those_of_the_float64_reference)
{
    static const char *const floats[] = {
        "llama",     "llama3-rope", "llama-linear", "llama-yarn",     "mixtral",       "qwen2",
        "qwen3",     "qwen3moe",    "llama-odd",    "mixtral-odd",    "phi3",          "phi3-longrope",
        "gemma",     "gemma2",      "gemma3",       "deepseek2-lite", "deepseek2-old", "deepseek2-v2",
        "deepseek2", "qwen2moe",    "gpt-oss"};
    static const char *const blocks[] = {"llama-q8_0", "qwen2-q4_0",  "qwen3-q4_k_m",
                                         "phi3-q8_0",  "gemma3-q8_0", "deepseek2-q8_0"};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        check_golden(floats[i], KV_F16, 1.5e-3); /* measured 0.0004 to 0.0011 */
        check_golden(floats[i], KV_I16, 4e-4);   /* 0.0001 to 0.0002 */
    }
    check_golden("gemma2-wide", KV_F16, 4e-3); /* 46 layers, each with its rounding: 0.002 */
    check_golden("gemma2-wide", KV_I16, 1.2e-3);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        check_golden(blocks[i], KV_F16, 4e-2); /* measured 0.018 to 0.032 */
        check_golden(blocks[i], KV_I16, 4e-2);
    }
}

TEST(rope_factors_follow_the_context)
{
    check_golden_in("phi3-longrope", "phi3-longrope.short", 48, KV_I16, 4e-4);
}
