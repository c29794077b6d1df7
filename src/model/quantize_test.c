/* quantize_test.c - Files written in other types: which types, which bytes, and nothing on failure. */
#include "model/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/test.h"
#include "kernel/quant.h"
#include "model/gguf_write.h"
#include "model/quant_mix.h"

#define MODEL "tests/golden/models/qwen3-q4_k_m.gguf" /* 256 wide, Q6_K embedding */

struct folder {
    char dir[64], out[128], other[128];
};

static void make_folder(struct folder *f)
{
    snprintf(f->dir, sizeof f->dir, "/tmp/sluice-quantize-XXXXXX");
    REQUIRE(mkdtemp(f->dir));
    snprintf(f->out, sizeof f->out, "%s/out.gguf", f->dir);
    snprintf(f->other, sizeof f->other, "%s/other.gguf", f->dir);
}

/* Also sees that no temporary file is left. */
static void remove_folder(struct folder *f)
{
    unlink(f->out);
    unlink(f->other);
    CHECK(rmdir(f->dir) == 0);
}

static void quantize_ok(const char *in, const char *out, const char *type, int n_threads)
{
    struct err err;
    struct quantize_options o = {.n_threads = n_threads};
    if (quantize_file(in, out, type, &o, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
}

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

static const char *type_of(const struct gguf *g, const char *name)
{
    const struct gguf_tensor *t = gguf_tensor_find(g, str_c(name));
    return t ? quant_name(t->type) : "absent";
}

TEST(a_mix_gives_the_types_that_its_name_promises)
{
    struct quant_mix_model m = {.n_layers = 32, .gqa = 4};
    static const struct {
        const char *mix, *tensor, *type;
    } cases[] = {
        {"Q4_K_M", "blk.0.attn_v.weight", "Q6_K"},
        {"Q4_K_M", "blk.4.attn_v.weight", "Q4_K"},
        {"Q4_K_M", "blk.6.ffn_down.weight", "Q6_K"},
        {"q4_k_m", "blk.31.ffn_down.weight", "Q6_K"},
        {"Q4_K_M", "blk.0.ffn_up.weight", "Q4_K"},
        {"Q4_K_M", "output.weight", "Q6_K"},
        {"Q4_K_M", "token_embd.weight", "Q4_K"},
        {"Q4_K_S", "blk.3.attn_v.weight", "Q5_K"},
        {"Q4_K_S", "blk.4.attn_v.weight", "Q4_K"},
        {"Q2_K", "blk.9.attn_v.weight", "Q4_K"},
        {"Q2_K", "blk.9.attn_output.weight", "Q3_K"},
        {"Q8_0", "output.weight", "Q8_0"},
        {"Q4_0", "output.weight", "Q6_K"},
        {"F16", "output.weight", "F16"},
        {"Q4_K_M", "blk.0.attn_norm.weight", "F32"},
        {"Q4_K_M", "blk.0.ffn_gate_inp.weight", "F32"},
        {"Q4_K_M", "blk.0.attn_q.bias", "F32"},
        {"IQ4_XS", "blk.0.ffn_down.weight", "Q5_K"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gguf_tensor t = {
            .name = str_c(cases[i].tensor), .type = QUANT_F32, .n_dims = 2, .ne = {256, 8, 1, 1}};
        const char *got = quant_name(quant_mix_type(quant_mix_find(cases[i].mix), &m, &t));
        if (strcmp(got, cases[i].type) != 0)
            test_fail(__FILE__, __LINE__, "%s %s: %s, expected %s", cases[i].mix, cases[i].tensor, got,
                      cases[i].type);
    }
    struct gguf_tensor narrow = {.name = S("blk.0.ffn_up.weight"), .n_dims = 2, .ne = {96, 8, 1, 1}};
    CHECK_INT(quant_mix_type(quant_mix_find("Q4_K_M"), &m, &narrow), QUANT_Q5_0);
    narrow.ne[0] = 40;
    CHECK_INT(quant_mix_type(quant_mix_find("Q4_K_M"), &m, &narrow), QUANT_F16);
    m.is_tied = true;
    struct gguf_tensor embd = {.name = S("token_embd.weight"), .n_dims = 2, .ne = {256, 8, 1, 1}};
    CHECK_INT(quant_mix_type(quant_mix_find("Q4_K_M"), &m, &embd), QUANT_Q6_K);
    CHECK(quant_mix_find("Q9") == NULL);
}

TEST(a_quantized_file_keeps_keys_and_values)
{
    struct folder f;
    struct err err;
    struct str a, b;
    uint32_t file_type = 0;
    make_folder(&f);
    quantize_ok(MODEL, f.out, "q8_0", 2);
    struct gguf *in = open_ok(MODEL), *out = open_ok(f.out);
    CHECK_INT(gguf_n_tensors(out), gguf_n_tensors(in));
    CHECK_INT(gguf_n_keys(out), gguf_n_keys(in));
    CHECK(gguf_get_u32(out, "general.file_type", &file_type, &err) == OK && file_type == 7);
    CHECK(gguf_get_str(in, "tokenizer.chat_template", &a, &err) == OK);
    CHECK(gguf_get_str(out, "tokenizer.chat_template", &b, &err) == OK);
    CHECK_STR(b, a);
    for (uint32_t i = 0; i < gguf_n_tensors(in); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(in, i), *u = gguf_tensor_find(out, t->name);
        float x[256], y[256], top = 0;
        REQUIRE(u && u->ne[0] == t->ne[0] && u->n_elems == t->n_elems);
        CHECK_INT(u->type, t->n_dims == 1 ? QUANT_F32 : QUANT_Q8_0);
        if (t->ne[0] > 256)
            continue;
        CHECK(gguf_read_rows_f32(in, t, t->n_elems / t->ne[0] - 1, 1, x, &err) == OK);
        CHECK(gguf_read_rows_f32(out, u, t->n_elems / t->ne[0] - 1, 1, y, &err) == OK);
        for (uint64_t k = 0; k < t->ne[0]; k++)
            top = fmaxf(top, fabsf(x[k]));
        for (uint64_t k = 0; k < t->ne[0]; k++)
            CHECK(fabsf(x[k] - y[k]) <= top / 127 * 0.51f);
    }
    gguf_close(in);
    gguf_close(out);
    remove_folder(&f);
}

TEST(threads_do_not_change_a_byte)
{
    struct folder f;
    struct buf a, b;
    make_folder(&f);
    quantize_ok(MODEL, f.out, "Q4_K_M", 1);
    quantize_ok(MODEL, f.other, "Q4_K_M", 3);
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    CHECK(sys_read_file(f.out, &a, NULL) == OK && sys_read_file(f.other, &b, NULL) == OK);
    CHECK(a.n > 200000 && str_eq(buf_str(&a), buf_str(&b)));
    buf_deinit(&a);
    buf_deinit(&b);
    remove_folder(&f);
}

TEST(a_file_can_replace_itself)
{
    struct folder f;
    make_folder(&f);
    quantize_ok(MODEL, f.out, "f16", 0);
    quantize_ok(f.out, f.out, "q5_k_m", 0);
    struct gguf *g = open_ok(f.out);
    CHECK(strcmp(type_of(g, "blk.0.attn_q.weight"), "Q5_K") == 0);
    CHECK(strcmp(type_of(g, "token_embd.weight"), "Q6_K") == 0);
    gguf_close(g);
    remove_folder(&f);
}

static bool stop_at_once(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    return done > total;
}

TEST(a_failure_leaves_no_file)
{
    struct folder f;
    struct err err;
    make_folder(&f);
    CHECK_INT(quantize_file(MODEL, f.out, "Q9", NULL, &err), ERR_ARG);
    CHECK(str_starts(str_c(err.text), S("'Q9' is no type to quantise to; there are: F32 F16")));
    CHECK_INT(quantize_file("/nonexistent", f.out, "Q8_0", NULL, &err), ERR_IO);
    struct quantize_options o = {.progress = stop_at_once};
    CHECK_INT(quantize_file(MODEL, f.out, "Q8_0", &o, &err), ERR_CANCELLED);
    CHECK_INT(quantize_file(MODEL, "/nonexistent/x.gguf", "Q8_0", NULL, &err), ERR_IO);

    struct gguf_writer *w = gguf_writer_create();
    float x[64] = {0};
    x[40] = NAN;
    gguf_write_str(w, "general.architecture", S("llama"));
    gguf_write_tensor(w, S("blk.0.ffn_up.weight"), QUANT_F32, 2, (const uint64_t[]){32, 2});
    CHECK(gguf_write_begin(w, f.other, &err) == OK);
    CHECK(gguf_write_data(w, 0, 0, x, sizeof x, &err) == OK && gguf_write_commit(w, &err) == OK);
    gguf_writer_free(w);
    CHECK_INT(quantize_file(f.other, f.out, "Q8_0", NULL, &err), ERR_FORMAT);
    CHECK_STR(str_c(err.text),
              S("element 40 of tensor 'blk.0.ffn_up.weight' is nan and cannot be quantised"));
    CHECK(access(f.out, F_OK) != 0);
    remove_folder(&f);
}
