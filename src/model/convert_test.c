/* convert_test.c - Hugging Face folders made from golden models come back as those models. */
#include "model/convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/test.h"
#include "kernel/quant.h"
#include "model/gguf.h"
#include "model/safetensors.h"

static struct gguf *open_ok(const char *path)
{
    struct err err;
    struct gguf *g;
    if (gguf_open(&g, path, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
    return g;
}

static struct gguf *convert_ok(const char *folder, const char *type)
{
    char path[] = "/tmp/sluice-convert-XXXXXX";
    struct convert_options o = {.type = type};
    struct err err;
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    close(fd);
    if (convert_folder(folder, path, &o, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        unlink(path);
        test_stop();
    }
    struct gguf *g = open_ok(path);
    unlink(path);
    return g;
}

static uint32_t number(const struct gguf *g, const char *suffix)
{
    struct gguf_arch_key k;
    uint32_t v = UINT32_MAX;
    gguf_get_u32(g, gguf_arch_key(&k, g, suffix), &v, NULL);
    return v;
}

static void same_strings(const struct gguf *a, const struct gguf *b, const char *key)
{
    const struct str *x, *y;
    uint64_t n, m;
    REQUIRE(gguf_get_strs(a, key, &x, &n, NULL) == OK && gguf_get_strs(b, key, &y, &m, NULL) == OK);
    CHECK_INT(n, m);
    for (uint64_t i = 0; i < n && i < m; i++)
        if (!CHECK_STR(x[i], y[i]))
            return;
}

/* Largest difference between the tensors of two models, relative to the value. */
static double difference(const struct gguf *a, const struct gguf *b)
{
    double worst = 0;
    CHECK_INT(gguf_n_tensors(a), gguf_n_tensors(b));
    for (uint32_t i = 0; i < gguf_n_tensors(b); i++) {
        const struct gguf_tensor *u = gguf_tensor_at(b, i), *t = gguf_tensor_find(a, u->name);
        if (!t || t->n_dims != u->n_dims || memcmp(t->ne, u->ne, sizeof t->ne) != 0) {
            test_fail(__FILE__, __LINE__, "tensor '%.*s' is absent or has another shape", STR(u->name));
            continue;
        }
        float *x = malloc(t->n_elems * sizeof *x), *y = malloc(t->n_elems * sizeof *y);
        CHECK(gguf_read_rows_f32(a, t, 0, t->n_elems / t->ne[0], x, NULL) == OK);
        CHECK(gguf_read_rows_f32(b, u, 0, t->n_elems / t->ne[0], y, NULL) == OK);
        for (uint64_t k = 0; k < t->n_elems; k++)
            worst = fmax(worst, fabs((double)x[k] - (double)y[k]) / (fabs((double)y[k]) + 1e-3));
        free(x);
        free(y);
    }
    return worst;
}

TEST(a_llama_folder_becomes_the_model_it_was)
{
    struct gguf *want = open_ok("tests/golden/models/llama3-rope.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/llama", NULL);
    static const char *const numbers[] = {
        "context_length",          "embedding_length",     "block_count",
        "feed_forward_length",     "vocab_size",           "attention.head_count",
        "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "rope.dimension_count"};
    struct str a, b;
    float x = 0, y = 1;
    uint32_t bos, bos_want;
    bool add_bos = false;
    CHECK(difference(got, want) == 0); /* rope_freqs and the order of q and k rows included */
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        CHECK_INT(number(got, numbers[i]), number(want, numbers[i]));
    CHECK(gguf_get_f32(got, "llama.rope.freq_base", &x, NULL) == OK);
    CHECK(gguf_get_f32(want, "llama.rope.freq_base", &y, NULL) == OK && x == y);
    CHECK(gguf_get_f32(got, "llama.attention.layer_norm_rms_epsilon", &x, NULL) == OK && x == 1e-5f);
    same_strings(got, want, "tokenizer.ggml.tokens");
    same_strings(got, want, "tokenizer.ggml.merges");
    CHECK(gguf_get_str(got, "tokenizer.ggml.pre", &a, NULL) == OK);
    CHECK_STR(a, S("llama-bpe"));
    CHECK(gguf_get_str(got, "tokenizer.chat_template", &a, NULL) == OK);
    CHECK(gguf_get_str(want, "tokenizer.chat_template", &b, NULL) == OK);
    CHECK_STR(a, b);
    CHECK(gguf_get_u32(got, "tokenizer.ggml.bos_token_id", &bos, NULL) == OK);
    CHECK(gguf_get_u32(want, "tokenizer.ggml.bos_token_id", &bos_want, NULL) == OK && bos == bos_want);
    CHECK(gguf_get_bool(got, "tokenizer.ggml.add_bos_token", &add_bos, NULL) == OK && add_bos);
    gguf_close(got);
    gguf_close(want);
}

TEST(a_sharded_mixtral_folder_with_a_spm_tokenizer_is_read)
{
    struct gguf *want = open_ok("tests/golden/models/mixtral.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/mixtral", NULL);
    const struct str *tokens;
    const float *scores;
    const int32_t *types;
    uint64_t n;
    struct str model;
    bool space = false;
    CHECK(difference(got, want) < 0x1p-10); /* the router was rounded to f16 on the way */
    CHECK_INT(number(got, "expert_count"), 4);
    CHECK_INT(number(got, "expert_used_count"), 2);
    CHECK_INT(gguf_tensor_find(got, S("blk.0.ffn_gate_inp.weight"))->type, QUANT_F32);
    REQUIRE(gguf_get_str(got, "tokenizer.ggml.model", &model, NULL) == OK);
    CHECK_STR(model, S("llama"));
    CHECK(gguf_get_bool(got, "tokenizer.ggml.add_space_prefix", &space, NULL) == OK && space);
    REQUIRE(gguf_get_strs(got, "tokenizer.ggml.tokens", &tokens, &n, NULL) == OK && n == 288);
    REQUIRE(gguf_get_f32s(got, "tokenizer.ggml.scores", &scores, &n, NULL) == OK && n == 288);
    REQUIRE(gguf_get_i32s(got, "tokenizer.ggml.token_type", &types, &n, NULL) == OK && n == 288);
    CHECK(types[0] == 2 && types[1] == 3 && types[3] == 6 && types[259] == 1 && types[287] == 5);
    CHECK_STR(tokens[261], S("\xe2\x96\x81the"));
    CHECK(scores[259] == 0 && scores[261] == -2 && scores[270] == -5 && scores[287] == -10000);
    CHECK_STR(tokens[287], S("[PAD287]"));
    CHECK(gguf_get_str(got, "tokenizer.chat_template", &model, NULL) == OK); /* from its own file */
    gguf_close(got);
    gguf_close(want);
}

TEST(a_qwen3_moe_folder_keeps_bf16)
{
    struct gguf *want = open_ok("tests/golden/models/qwen3moe.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/qwen3moe", NULL);
    struct str pre;
    bool norm = false;
    CHECK(difference(got, want) < 0x1p-8);
    CHECK_INT(gguf_tensor_find(got, S("blk.0.attn_q.weight"))->type, QUANT_BF16);
    CHECK_INT(gguf_tensor_find(got, S("blk.0.attn_q_norm.weight"))->type, QUANT_F32);
    CHECK_INT(number(got, "expert_feed_forward_length"), 32);
    CHECK(gguf_get_bool(got, "qwen3moe.expert_weights_norm", &norm, NULL) == OK && norm);
    CHECK(gguf_get_str(got, "tokenizer.ggml.pre", &pre, NULL) == OK);
    CHECK_STR(pre, S("qwen2"));
    gguf_close(got);
    got = convert_ok("tests/golden/hf/qwen3moe", "f32");
    CHECK_INT(gguf_tensor_find(got, S("blk.1.ffn_up_exps.weight"))->type, QUANT_F32);
    CHECK(difference(got, want) < 0x1p-8);
    gguf_close(got);
    gguf_close(want);
}

TEST(a_phi3_folder_stays_fused_and_keeps_its_rope_factors)
{
    struct gguf *want = open_ok("tests/golden/models/phi3-longrope.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/phi3", NULL);
    static const char *const numbers[] = {"context_length", "rope.dimension_count", "attention.key_length",
                                          "feed_forward_length", "rope.scaling.original_context_length"};
    float x = 0, y = 1;
    CHECK(difference(got, want) == 0);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        CHECK_INT(number(got, numbers[i]), number(want, numbers[i]));
    CHECK(gguf_get_f32(got, "phi3.rope.scaling.attn_factor", &x, NULL) == OK);
    CHECK(gguf_get_f32(want, "phi3.rope.scaling.attn_factor", &y, NULL) == OK && x == y);
    gguf_close(got);
    gguf_close(want);
}

TEST(a_qwen2_moe_folder_has_its_shared_expert)
{
    struct gguf *want = open_ok("tests/golden/models/qwen2moe.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/qwen2moe", NULL);
    bool norm = true;
    CHECK(difference(got, want) < 0x1p-10); /* router and gate were rounded to f16 on the way */
    CHECK_INT(number(got, "expert_shared_feed_forward_length"), 48);
    CHECK_INT(number(got, "expert_feed_forward_length"), 32);
    CHECK_INT(gguf_tensor_find(got, S("blk.0.ffn_gate_inp_shexp.weight"))->type, QUANT_F32);
    CHECK(gguf_get_bool(got, "qwen2moe.expert_weights_norm", &norm, NULL) == OK && !norm);
    gguf_close(got);
    gguf_close(want);
}

/* --- folders that are refused -------------------------------------------------------------------- */

static const char *const file_names[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                         "model.safetensors"};
enum { N_FILES = sizeof file_names / sizeof file_names[0] };

/* A folder with `from` replaced by `to` (of any length) in one file; NULL removes it. */
static void refused_in(const char *folder, const char *file, const char *from, const char *to,
                       const char *words)
{
    char dir[] = "/tmp/sluice-convert-XXXXXX", path[256], out[256];
    struct err err = {0};
    REQUIRE(mkdtemp(dir));
    for (int i = 0; i < N_FILES; i++) {
        struct buf in, changed;
        buf_init(&in, 1 << 20);
        buf_init(&changed, 1 << 21);
        snprintf(path, sizeof path, "tests/golden/hf/%s/%s", folder, file_names[i]);
        REQUIRE(sys_read_file(path, &in, &err) == OK);
        bool here = strcmp(file, file_names[i]) == 0;
        size_t at = here && from ? str_find(buf_str(&in), str_c(from), 0) : STR_NONE;
        REQUIRE(!here || !from || at != STR_NONE);
        if (at != STR_NONE) {
            buf_add(&changed, in.p, at);
            buf_puts(&changed, to);
            buf_add(&changed, in.p + at + strlen(from), in.n - at - strlen(from));
        } else {
            buf_str_add(&changed, buf_str(&in));
        }
        snprintf(path, sizeof path, "%s/%s", dir, file_names[i]);
        if (!here || from)
            REQUIRE(sys_write_file(path, buf_str(&changed), 0600, &err) == OK);
        buf_deinit(&in);
        buf_deinit(&changed);
    }
    snprintf(out, sizeof out, "%s/out.gguf", dir);
    int rc = convert_folder(dir, out, NULL, &err);
    if (rc == OK || str_find(str_c(err.text), str_c(words), 0) == STR_NONE)
        test_fail(__FILE__, __LINE__, "expected '%s', got '%s'", words, rc == OK ? "OK" : err.text);
    unlink(out);
    for (int i = 0; i < N_FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, file_names[i]);
        unlink(path);
    }
    CHECK(rmdir(dir) == 0);
}

static void refused(const char *file, const char *from, const char *to, const char *words)
{
    refused_in("llama", file, from, to, words);
}

static float float_of(const struct gguf *g, const char *key)
{
    float x = NAN;
    gguf_get_f32(g, key, &x, NULL);
    return x;
}

TEST(a_gemma2_folder_becomes_the_model_it_was)
{
    struct gguf *want = open_ok("tests/golden/models/gemma2.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/gemma2", NULL);
    static const char *const caps[] = {"gemma2.attn_logit_softcapping", "gemma2.final_logit_softcapping"};
    CHECK(difference(got, want) < 1e-6); /* norms lack 1 in the folder */
    CHECK_INT(number(got, "attention.sliding_window"), 12);
    CHECK_INT(number(got, "attention.sliding_window_pattern"), UINT32_MAX); /* the usual one */
    CHECK_INT(number(got, "context_length"), number(want, "context_length"));
    for (int i = 0; i < 2; i++)
        CHECK(float_of(got, caps[i]) == float_of(want, caps[i]));
    CHECK(float_of(got, "gemma2.attention.scale") != float_of(got, "gemma2.attention.scale"));
    gguf_close(got);
    gguf_close(want);
}

/* The part of a model that sees which is a language model, with a list of layers that is no period. */
TEST(the_text_of_a_gemma3_folder_becomes_the_model_it_was)
{
    struct gguf *want = open_ok("tests/golden/models/gemma3-q8_0.gguf");
    struct gguf *got = convert_ok("tests/golden/hf/gemma3", NULL);
    uint32_t layers[2] = {7, 7}, eos = 0;
    const struct str *tokens;
    uint64_t n;
    bool space = true;
    struct str model;
    CHECK(difference(got, want) < 0x1p-10); /* rounded to f16 on the way */
    CHECK_INT(number(got, "attention.sliding_window"), 9);
    CHECK(gguf_get_u32_per_layer(got, "gemma3.attention.sliding_window_pattern", layers, 2, NULL) == OK);
    CHECK(layers[0] == 0 && layers[1] == 1);
    CHECK(float_of(got, "gemma3.rope.freq_base") == 1e6f &&
          float_of(got, "gemma3.rope.freq_base_swa") == 1e4f);
    CHECK(float_of(got, "gemma3.final_logit_softcapping") == 20);
    REQUIRE(gguf_get_str(got, "tokenizer.ggml.model", &model, NULL) == OK);
    CHECK_STR(model, S("llama"));
    CHECK(gguf_get_bool(got, "tokenizer.ggml.add_space_prefix", &space, NULL) == OK && !space);
    REQUIRE(gguf_get_strs(got, "tokenizer.ggml.tokens", &tokens, &n, NULL) == OK && n == 288);
    CHECK_STR(tokens[261], S("\xe2\x96\x81the"));
    CHECK_STR(tokens[276], S("  "));
    CHECK(gguf_get_u32(got, "tokenizer.ggml.eos_token_id", &eos, NULL) == OK && eos == 2);
    gguf_close(got);
    gguf_close(want);
}

TEST(what_gemma_cannot_be_is_refused)
{
    refused_in("gemma2", "config.json", "\"gelu_pytorch_tanh\"", "\"gelu\"", "only gelu_pytorch_tanh");
    refused_in("gemma2", "config.json", "\"sliding_window\": 12", "\"sliding_window\": 0",
               "'sliding_window' is no positive number");
    refused_in("gemma3", "config.json", "full_attention", "linear_attention",
               "\"linear_attention\" are not known");
    refused_in("gemma3", "config.json", "sliding_attention\"", "full_attention\", \"full_attention\"",
               "layer_types has 3 entries for 2 layers");
    refused_in("gemma3", "model.safetensors", "vision_tower", "audio_towers",
               "'audio_towers.head.weight' has no place");
}
TEST(what_would_be_lost_or_is_broken_is_refused)
{
    refused("config.json", NULL, NULL, "config.json");
    refused("config.json", "\"llama\"", "\"mamba\"",
            "model_type 'mamba' cannot be converted; these can: gemma");
    refused("config.json", "\"silu\"", "\"gelu\"", "only silu");
    refused("config.json", "\"llama3\"", "\"dynamic\"", "rope scaling of type \"dynamic\"");
    refused("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "tensor 'model.layers.1.");
    refused("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
            "no tensor 'model.layers.2.");
    refused("config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 8",
            "expected 8 heads of 16");
    refused("tokenizer.json", "\\\\p{L}+", "\\\\p{Lu}+", "unknown pre-tokenizer");
    refused("tokenizer.json", "\"BPE\"", "\"Unigram\"", "not BPE");
    refused("tokenizer.json", "\"id\": 287", "\"id\": 288", "has id 288, but the embedding has 288 rows");
    refused("model.safetensors", "model.norm.weight", "model.xnor.weight", "model.norm.weight");
    refused("model.safetensors", "\"F32\"", "\"I32\"", "is I32, which cannot be converted");
    refused("model.safetensors", "\"shape\": [32]", "\"shape\": [31]", "its shape asks for another number");
    refused("model.safetensors", "{\"__meta", "[\"__meta", "does not begin with '{'");
    refused("model.safetensors", NULL, NULL, "cannot open");
}

TEST(rope_factors_that_do_not_fit_are_refused)
{
    refused_in("phi3", "config.json", "\"partial_rotary_factor\": 0.75", "\"partial_rotary_factor\": 0.5",
               "'long_factor' has 6 numbers, expected 4");
    refused_in("phi3", "config.json", "\"partial_rotary_factor\": 0.75", "\"partial_rotary_factor\": 2",
               "partial_rotary_factor of 2");
    refused_in("phi3", "config.json", "\"longrope\"", "\"yarn\"", "rope scaling of type \"yarn\"");
    refused_in("phi3", "config.json", "8.0", "-8.0", "'long_factor' holds what is no positive number");
}

TEST(safetensors_headers_are_checked)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},\"__metadata__\":{\"x\":\"y\"}}",
         NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":["
         "4],\"data_offsets\":[4,8]}}",
         NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "the tensors end at"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "begins at byte"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "is it complete?"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "is it complete?"},
        {"{\"a\":{\"dtype\":\"X\",\"shape\":[2],\"data_offsets\":[0,8]}}", "unknown dtype 'X'"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,4],\"data_offsets\":[0,8]}}",
         "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "no data_offsets"},
        {"{}", "the tensors end at byte 100"},
        {"[]", "does not begin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        int rc = safetensors_check_header(str_c(cases[i].json), 100, 108, &err);
        const char *words = cases[i].words;
        if ((rc == OK) != !words || (words && str_find(str_c(err.text), str_c(words), 0) == STR_NONE))
            test_fail(__FILE__, __LINE__, "%s: expected '%s', got '%s'", cases[i].json, words ? words : "OK",
                      rc == OK ? "OK" : err.text);
    }
}
