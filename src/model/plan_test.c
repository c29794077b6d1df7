/* Files whose numbers do not fit together are refused with a sentence that names the part at fault.  The
 * golden models serve as good files, in which one number is changed. */
#include "model/plan.h"

#include <math.h>
#include <stdlib.h>

#include "base/test.h"

struct file {
    char *bytes;
    size_t n;
};

static struct file read_model(const char *name)
{
    char path[128];
    struct file f;
    snprintf(path, sizeof path, "tests/golden/models/%s.gguf", name);
    f.bytes = test_read_file(path, &f.n);
    REQUIRE(f.bytes != NULL);
    return f;
}

/* What stands behind a name: of a key its type and value, of a tensor the number of dimensions and these. */
static char *behind(struct file f, const char *name)
{
    uint64_t n = strlen(name), length;
    for (size_t at = 8; at + n < f.n; at++) {
        memcpy(&length, f.bytes + at - 8, 8);
        if (length == n && memcmp(f.bytes + at, name, n) == 0)
            return f.bytes + at + n;
    }
    test_fail(__FILE__, __LINE__, "the file has no %s", name);
    return f.bytes;
}

static void set_u32(struct file f, const char *key, uint32_t v)
{
    memcpy(behind(f, key) + 4, &v, 4);
}

/* The file must go on where the tensor ends: so only its shape changes, not its size. */
static void set_dim(struct file f, const char *tensor, int i, uint64_t v)
{
    memcpy(behind(f, tensor) + 4 + 8 * i, &v, 8);
}

static void rename_to(struct file f, const char *name, const char *to)
{
    REQUIRE(strlen(name) == strlen(to));
    memcpy(behind(f, name) - strlen(name), to, strlen(to));
}

static void set_f32_data(struct file f, const char *tensor, float v)
{
    struct gguf *g;
    struct err err;
    REQUIRE(gguf_open_memory(&g, f.bytes, f.n, &err) == OK);
    const struct gguf_tensor *t = gguf_tensor_find(g, str_c(tensor));
    REQUIRE(t != NULL);
    memcpy(f.bytes + t->offset, &v, 4);
    gguf_close(g);
}

/* The plan of the changed file fails, and its sentence contains `says`.  Frees the file. */
static void check_refused(struct file f, int code, const char *says)
{
    struct gguf *g = NULL;
    struct plan p;
    struct err err = {0};
    int rc = gguf_open_memory(&g, f.bytes, f.n, &err);
    if (rc == OK && (rc = plan_init(&p, g, 0, &err)) == OK)
        plan_deinit(&p);
    if (rc != code || !strstr(err.text, says))
        test_fail(__FILE__, __LINE__, "code %d, expected %d with \"%s\": %s", rc, code, says, err.text);
    gguf_close(g);
    free(f.bytes);
}

/* A golden model with one number of it changed. */
static void refuse_u32(const char *model, const char *key, uint32_t v, int rc, const char *says)
{
    struct file f = read_model(model);
    set_u32(f, key, v);
    check_refused(f, rc, says);
}

TEST(fused_tensors_of_the_wrong_height_are_refused)
{
    struct file f = read_model("phi3");
    set_dim(f, "blk.1.attn_qkv.weight", 0, 64);
    set_dim(f, "blk.1.attn_qkv.weight", 1, 64);
    check_refused(f, ERR_FORMAT, "tensor 'blk.1.attn_qkv.weight' is 64 x 64 x 1, expected 32 x 128 x 1");
    refuse_u32("phi3", "phi3.feed_forward_length", 63, ERR_FORMAT,
               "tensor 'blk.0.ffn_up.weight' is 32 x 128 x 1, expected 32 x 126 x 1");
    f = read_model("phi3");
    rename_to(f, "blk.1.attn_qkv.weight", "blk.1.attn_qqq.weight");
    check_refused(f, ERR_FORMAT, "tensor 'blk.1.attn_q.weight' is missing");
}

TEST(absurd_rope_factors_are_refused)
{
    static const float bad[] = {0, -1, NAN};
    struct file f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f = read_model("phi3-longrope");
        set_f32_data(f, "rope_factors_long.weight", bad[i]);
        check_refused(f, ERR_FORMAT, "expected positive numbers");
    }
    f = read_model("phi3-longrope");
    set_f32_data(f, "rope_factors_long.weight", 1e-30f);
    check_refused(f, ERR_FORMAT, "rope turns pair 0");
    f = read_model("phi3-longrope");
    set_dim(f, "rope_factors_long.weight", 0, 5);
    check_refused(f, ERR_FORMAT, "has 5 elements, expected 6");
    f = read_model("phi3-longrope");
    rename_to(f, "rope_factors_short.weight", "rope_factors_sh0rt.weight");
    check_refused(f, ERR_FORMAT, "belong together");
    refuse_u32("phi3-longrope", "phi3.rope.dimension_count", 18, ERR_FORMAT,
               "phi3.rope.dimension_count is 18, expected 2 to 16");
}

TEST(experts_that_do_not_fit_together_are_refused)
{
    refuse_u32("qwen2moe", "qwen2moe.expert_count", 0, ERR_FORMAT,
               "qwen2moe.expert_count is 0, expected 1 to 1024");
    refuse_u32("qwen2moe", "qwen2moe.expert_used_count", 7, ERR_FORMAT,
               "qwen2moe.expert_used_count is 7, expected 1 to 6");
    refuse_u32("qwen2moe", "qwen2moe.expert_shared_feed_forward_length", 32, ERR_FORMAT,
               "tensor 'blk.0.ffn_gate_shexp.weight' is 32 x 48 x 1, expected 32 x 32 x 1");
    struct file f = read_model("qwen2moe");
    rename_to(f, "blk.1.ffn_gate_inp_shexp.weight", "blk.1.ffn_gate_inp_shexq.weight");
    check_refused(f, ERR_FORMAT, "tensor 'blk.1.ffn_gate_inp_shexp.weight' is missing");
}

static void set_f32(struct file f, const char *key, float v)
{
    memcpy(behind(f, key) + 4, &v, 4);
}

TEST(absurd_caps_windows_and_missing_norms_are_refused)
{
    static const float bad[] = {-1, NAN, INFINITY, 1e-20f};
    static const char *const keys[] = {"gemma2.attn_logit_softcapping", "gemma2.final_logit_softcapping"};
    static const char *const norms[] = {"blk.2.post_attention_norm.weight", "blk.2.post_ffw_norm.weight"};
    struct file f;
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            f = read_model("gemma2");
            set_f32(f, keys[k], bad[i]);
            check_refused(f, ERR_FORMAT, keys[k]);
        }
        f = read_model("gemma2");
        char renamed[64];
        snprintf(renamed, sizeof renamed, "%s", norms[k]);
        renamed[strlen(renamed) - 1] = 'x';
        rename_to(f, norms[k], renamed);
        char says[96];
        snprintf(says, sizeof says, "tensor '%s' is missing", norms[k]);
        check_refused(f, ERR_FORMAT, says);
        f = read_model("gemma2");
        set_dim(f, norms[k], 0, 31);
        check_refused(f, ERR_FORMAT, "is 31 x 1 x 1, expected 32 x 1 x 1");
    }
    f = read_model("gemma2");
    *(behind(f, "gemma2.attention.sliding_window")) = GGUF_F32;
    check_refused(f, ERR_FORMAT, "gemma2.attention.sliding_window");
}

/* The windows and ropes of a file's layers, with one number of it changed. */
static void check_windows(struct file f, const char *want)
{
    struct gguf *g = NULL;
    struct plan p;
    struct err err = {0};
    char got[16] = "";
    REQUIRE(gguf_open_memory(&g, f.bytes, f.n, &err) == OK && plan_init(&p, g, 0, &err) == OK);
    for (uint32_t i = 0; i < p.n_layers && i < 15; i++)
        got[i] = (char)(p.layers[i].window ? p.layers[i].rope ? 'l' : 'w' : p.layers[i].rope ? '?' : '.');
    CHECK_STR(str_c(got), str_c(want));
    plan_deinit(&p);
    gguf_close(g);
    free(f.bytes);
}

/* l: a window and a rope base of its own, w: a window, dot: neither */
TEST(layers_have_the_windows_of_their_architecture)
{
    check_windows(read_model("gemma"), "..");
    check_windows(read_model("gemma2"), "w.w");
    check_windows(read_model("gemma3"), "lllll.l");
    check_windows(read_model("gemma3-q8_0"), ".l"); /* by its own list */
    struct file f = read_model("gemma3");
    set_u32(f, "gemma3.attention.sliding_window", 0);
    check_windows(f, ".......");
    f = read_model("gemma3");
    set_u32(f, "gemma3.attention.sliding_window", UINT32_MAX);
    check_windows(f, "lllll.l");
}

TEST(latent_attention_that_does_not_fit_is_refused)
{
    refuse_u32("deepseek2", "deepseek2.attention.kv_lora_rank", 24, ERR_UNSUPPORTED, "a head size of 40");
    refuse_u32("deepseek2", "deepseek2.attention.kv_lora_rank", 2000, ERR_FORMAT,
               "deepseek2.attention.kv_lora_rank is 2000, expected 1 to 1024");
    refuse_u32("deepseek2", "deepseek2.attention.key_length_mla", 16, ERR_FORMAT,
               "a key of 16 dimensions cannot have 16 that are rotated");
    refuse_u32("deepseek2", "deepseek2.attention.value_length_mla", 25, ERR_FORMAT,
               "tensor 'blk.0.attn_output.weight' is 72 x 32 x 1, expected 75 x 32 x 1");
    struct file f = read_model("deepseek2");
    rename_to(f, "blk.0.attn_k_b.weight", "blk.0.attn_x_b.weight");
    check_refused(f, ERR_FORMAT, "tensor 'blk.0.attn_k_b.weight' is missing");
    f = read_model("deepseek2");
    rename_to(f, "blk.0.attn_q_a.weight", "blk.0.attn_x_a.weight");
    check_refused(f, ERR_FORMAT, "tensor 'blk.0.attn_q.weight' is missing");
    refuse_u32("deepseek2-old", "deepseek2.attention.value_length", 16, ERR_FORMAT,
               "tensor 'blk.0.attn_output.weight' is 48 x 32 x 1, expected 32 x 32 x 1");
}

TEST(a_magnitude_of_yarn_that_is_none_is_refused)
{
    static const float bad[] = {1e30f, -1e30f, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct file f = read_model("deepseek2");
        uint32_t bits;
        memcpy(&bits, &bad[i], 4);
        set_u32(f, "deepseek2.rope.scaling.yarn_log_multiplier", bits);
        check_refused(f, ERR_FORMAT, i < 2 ? "multiplies scores by" : "not a finite");
    }
}

TEST(groups_of_experts_that_do_not_fit_are_refused)
{
    refuse_u32("deepseek2", "deepseek2.expert_group_count", 3, ERR_FORMAT,
               "8 experts cannot be 3 groups of the same size");
    refuse_u32("deepseek2", "deepseek2.expert_group_count", 9, ERR_FORMAT,
               "deepseek2.expert_group_count is 9, expected 0 to 8");
    refuse_u32("deepseek2", "deepseek2.expert_group_used_count", 1, ERR_FORMAT,
               "3 experts cannot be chosen from 1 of 4 groups of 2");
    refuse_u32("deepseek2", "deepseek2.expert_group_used_count", 0, ERR_FORMAT,
               "deepseek2.expert_group_used_count is 0, expected 1 to 4");
    refuse_u32("deepseek2", "deepseek2.expert_gating_func", 3, ERR_UNSUPPORTED,
               "deepseek2.expert_gating_func is 3");
    refuse_u32("deepseek2", "deepseek2.expert_shared_count", 1024, ERR_FORMAT,
               "tensor 'blk.1.ffn_gate_shexp.weight'");
    refuse_u32("deepseek2", "deepseek2.leading_dense_block_count", 2, ERR_FORMAT,
               "tensor 'blk.1.ffn_gate.weight' is missing");
}

TEST(gpt_oss_without_one_of_its_parts_is_refused)
{
    static const char *const parts[] = {"blk.1.attn_sinks.weight",   "blk.1.post_attention_norm.weight",
                                        "blk.1.ffn_gate_inp.bias",   "blk.1.ffn_gate_exps.bias",
                                        "blk.1.ffn_up_exps.bias",    "blk.1.ffn_down_exps.bias",
                                        "blk.1.ffn_down_exps.weight"};
    struct file f;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char renamed[64], says[96];
        f = read_model("gpt-oss");
        snprintf(renamed, sizeof renamed, "%s", parts[i]);
        renamed[strlen(renamed) - 1] = 'x';
        rename_to(f, parts[i], renamed);
        snprintf(says, sizeof says, "tensor '%s' is missing", parts[i]);
        check_refused(f, ERR_FORMAT, says);
    }
    f = read_model("gpt-oss");
    set_dim(f, "blk.1.attn_sinks.weight", 0, 3);
    check_refused(f, ERR_FORMAT, "tensor 'blk.1.attn_sinks.weight' is 3 x 1 x 1, expected 4 x 1 x 1");
    f = read_model("gpt-oss");
    set_dim(f, "blk.1.ffn_up_exps.bias", 0, 40);
    set_dim(f, "blk.1.ffn_up_exps.bias", 1, 4);
    check_refused(f, ERR_FORMAT, "tensor 'blk.1.ffn_up_exps.bias' is 40 x 4 x 1, expected 32 x 5 x 1");
    check_windows(read_model("gpt-oss"), "w.w");
}
