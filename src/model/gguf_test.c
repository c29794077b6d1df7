/* gguf_test.c - Reading what the writer wrote, and refusing what breaks a rule. */
#include "model/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/test.h"
#include "kernel/quant.h"
#include "model/gguf_write.h"

#define FILE_MAX (1u << 20)

/* A small file with every kind of value and three tensors, as bytes that the tests then damage. */
static void make_file(struct buf *out)
{
    static const struct str words[] = {{"a", 1}, {"", 0}, {"three", 5}};
    static const int32_t ints[] = {1, -2, 3, 4};
    static const float floats[] = {0.5f, -1};
    uint64_t shape[] = {64, 3, 2};
    float row[64];
    struct gguf_writer *w = gguf_writer_create();
    REQUIRE(w);
    buf_init(out, FILE_MAX);
    gguf_write_str(w, "general.architecture", S("llama"));
    gguf_write_u32(w, "llama.block_count", 4);
    gguf_write_i32(w, "minus", -5);
    gguf_write_u64(w, "big", 1ull << 40);
    gguf_write_f32(w, "eps", 0.25f);
    gguf_write_bool(w, "yes", true);
    gguf_write_strs(w, "words", words, 3);
    gguf_write_i32s(w, "ints", ints, 4);
    gguf_write_f32s(w, "floats", floats, 2);
    gguf_write_tensor(w, S("norm"), QUANT_F32, 1, shape);
    gguf_write_tensor(w, S("scalar"), QUANT_F32, 0, shape);
    gguf_write_tensor(w, S("blk.0.w"), QUANT_Q4_0, 3, shape);
    struct err err;
    if (gguf_write_header(w, out, &err) != OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    size_t start = out->n;
    for (int i = 0; i < 64; i++)
        row[i] = (float)(i - 32) / 4;
    buf_add(out, row, sizeof row);
    CHECK_INT(gguf_write_offset(w, 1), out->n - start);
    row[0] = 7;
    buf_add(out, row, sizeof row[0]);
    CHECK(buf_reserve(out, 28) != NULL);
    memset(out->p + out->n, 0, 28);
    buf_commit(out, 28);
    CHECK_INT(gguf_write_offset(w, 2), out->n - start);
    row[0] = -8;
    for (int i = 0; i < 6; i++) {
        uint8_t blocks[36];
        quant_info(QUANT_Q4_0)->quantize(blocks, row, 64, NULL);
        buf_add(out, blocks, sizeof blocks);
    }
    gguf_writer_free(w);
    REQUIRE(buf_ok(out));
}

static struct gguf *open_bytes(const struct buf *b)
{
    struct err err;
    struct gguf *g = NULL;
    if (gguf_open_memory(&g, b->p, b->n, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
    return g;
}

TEST(values_come_back_with_their_types)
{
    struct buf file;
    struct err err;
    make_file(&file);
    struct gguf *g = open_bytes(&file);
    uint32_t u = 9;
    int32_t i;
    uint64_t n, big;
    float f;
    bool yes = false;
    struct str s;
    const struct str *strs;
    const int32_t *ints;
    const float *floats;
    struct gguf_arch_key k;
    CHECK_INT(gguf_version(g), 3);
    CHECK_INT(gguf_n_keys(g), 9);
    CHECK(gguf_get_str(g, "general.architecture", &s, &err) == OK);
    CHECK_STR(s, S("llama"));
    CHECK(gguf_get_u32(g, gguf_arch_key(&k, g, "block_count"), &u, &err) == OK && u == 4);
    CHECK(gguf_get_i32(g, "minus", &i, &err) == OK && i == -5);
    CHECK(gguf_get_u64(g, "big", &big, &err) == OK && big == 1ull << 40);
    CHECK(gguf_get_f32(g, "eps", &f, &err) == OK && f == 0.25f);
    CHECK(gguf_get_bool(g, "yes", &yes, &err) == OK && yes);
    CHECK(gguf_get_strs(g, "words", &strs, &n, &err) == OK && n == 3);
    CHECK_STR(strs[2], S("three"));
    CHECK(gguf_get_i32s(g, "ints", &ints, &n, &err) == OK && n == 4 && ints[1] == -2);
    CHECK(gguf_get_f32s(g, "floats", &floats, &n, &err) == OK && n == 2 && floats[0] == 0.5f);
    gguf_close(g);
    buf_deinit(&file);
}

TEST(getters_tell_absent_from_wrong)
{
    struct buf file;
    struct err err;
    make_file(&file);
    struct gguf *g = open_bytes(&file);
    uint32_t u = 9, layers[4];
    float f = 1;
    CHECK_INT(gguf_get_u32(g, "nothing", &u, &err), ERR_NOT_FOUND);
    CHECK_STR(str_c(err.text), S("the file has no key 'nothing'"));
    CHECK_INT(gguf_opt_u32(g, "nothing", &u, &err), OK);
    CHECK_INT(u, 9);
    CHECK_INT(gguf_get_u32(g, "minus", &u, &err), ERR_FORMAT);
    CHECK_STR(str_c(err.text), S("key 'minus' is -5, which is out of range"));
    CHECK_INT(gguf_get_u32(g, "big", &u, &err), ERR_FORMAT);
    CHECK_INT(gguf_opt_f32(g, "yes", &f, &err), ERR_FORMAT);
    CHECK_STR(str_c(err.text), S("key 'yes' is of type bool, expected a float"));
    CHECK(u == 9 && f == 1);
    CHECK_INT(gguf_get_u32_per_layer(g, "llama.block_count", layers, 4, &err), OK);
    CHECK(layers[0] == 4 && layers[3] == 4);
    CHECK_INT(gguf_get_u32_per_layer(g, "ints", layers, 4, &err), ERR_FORMAT);
    CHECK_INT(gguf_get_u32_per_layer(g, "words", layers, 3, &err), ERR_FORMAT);
    CHECK_INT(gguf_get_u32_per_layer(g, "floats", layers, 4, &err), ERR_FORMAT);
    CHECK_STR(str_c(err.text), S("key 'floats' has 2 elements for 4 layers"));
    gguf_close(g);
    buf_deinit(&file);
}

TEST(tensors_say_where_they_lie)
{
    struct buf file;
    struct err err;
    make_file(&file);
    struct gguf *g = open_bytes(&file);
    float y[64 * 6];
    CHECK_INT(gguf_n_tensors(g), 3);
    const struct gguf_tensor *t = gguf_tensor_findf(g, "blk.%d.w", 0);
    REQUIRE(t);
    CHECK(t->n_dims == 3 && t->ne[1] == 3 && t->ne[3] == 1 && t->n_bytes == 216);
    CHECK(gguf_read_rows_f32(g, t, 0, 6, y, &err) == OK);
    for (int i = 1; i < 64; i++) /* as near as four bits are */
        CHECK_NEAR(y[i], (i - 32) / 4.0, 0.6);
    t = gguf_tensor_find(g, S("scalar"));
    REQUIRE(t);
    CHECK(t->n_dims == 0 && t->n_elems == 1 && t->offset % 32 == 0);
    CHECK(gguf_read_rows_f32(g, t, 0, 1, y, &err) == OK && y[0] == 7);
    CHECK(gguf_tensor_find(g, S("blk.1.w")) == NULL);
    CHECK_INT(gguf_read(g, 0, file.n - 3, y, 4, &err), ERR_FORMAT);
    gguf_close(g);
    buf_deinit(&file);
}

/* Where `needle` stands in the file. */
static size_t place_of(const struct buf *b, const char *needle)
{
    size_t at = str_find(buf_str(b), str_c(needle), 0);
    REQUIRE(at != STR_NONE);
    return at;
}

/* The file with n bytes replaced at `at` must be refused with a sentence that holds `words`. */
static void refused(size_t at, const void *bytes, size_t n, const char *words)
{
    struct buf file;
    struct err err = {0};
    struct gguf *g;
    make_file(&file);
    memcpy(file.p + at, bytes, n);
    int rc = gguf_open_memory(&g, file.p, file.n, &err);
    CHECK(g == NULL || rc == OK);
    if (rc == OK || str_find(str_c(err.text), str_c(words), 0) == STR_NONE)
        test_fail(__FILE__, __LINE__, "expected '%s', got '%s'", words, rc == OK ? "OK" : err.text);
    gguf_close(g);
    buf_deinit(&file);
}

TEST(broken_rules_are_named)
{
    struct buf f;
    const uint64_t huge = UINT64_MAX, many = 1ull << 62, one = 1, zero = 0, odd = 33, moved = 64;
    const uint32_t v1 = 1, v_big_endian = 3u << 24, five = 5, type_dead = 4, t99 = 99;
    make_file(&f);
    refused(0, "GGML", 4, "does not begin with 'GGUF'");
    refused(4, &v1, 4, "version 1");
    refused(4, &v_big_endian, 4, "big-endian");
    refused(8, &huge, 8, "tensors, at most");
    refused(16, &huge, 8, "keys, at most");
    refused(24, &huge, 8, "a key of");
    refused(24, &zero, 8, "an empty key");
    size_t words = place_of(&f, "words") + 5;
    refused(words + 4, &t99, 4, "an array of unknown type 99");
    refused(words + 4, (const uint32_t[]){GGUF_ARRAY}, 4, "array of arrays");
    refused(words + 8, &many, 8, "strings, but only");
    refused(words + 16, &many, 8, "a string in an array of");
    refused(place_of(&f, "ints") + 12, &many, 8, "more than 1 GiB");
    refused(place_of(&f, "ints") + 12, (const uint64_t[]){1 << 20}, 8, "but only");
    refused(place_of(&f, "yes") + 7, "\2", 1, "a bool is 2");
    size_t w = place_of(&f, "blk.0.w");
    refused(w - 8, &(uint64_t){64}, 8, "a tensor name of 64 bytes");
    refused(w + 7, &five, 4, "5 dimensions");
    refused(w + 11, &odd, 8, "no whole Q4_0 blocks");
    refused(w + 11, &zero, 8, "dimension 0");
    refused(w + 19, &huge, 8, "more than 2^63");
    refused(w + 19, &(uint64_t){1 << 20}, 8, "is it complete?");
    refused(w + 35, &type_dead, 4, "unknown type 4");
    refused(w + 39, &moved, 8, "but the one before ends at");
    refused(w + 39, &one, 8, "but the one before ends at");
    buf_deinit(&f);
}

TEST(names_must_be_unique)
{
    struct gguf_writer *w = gguf_writer_create();
    struct buf b;
    struct err err;
    struct gguf *g;
    uint64_t ne[] = {32};
    float zeros[64] = {0};
    buf_init(&b, FILE_MAX);
    gguf_write_u32(w, "k", 1);
    gguf_write_u32(w, "k", 2);
    REQUIRE(gguf_write_header(w, &b, &err) == OK);
    CHECK_INT(gguf_open_memory(&g, b.p, b.n, &err), ERR_FORMAT);
    CHECK(str_ends(str_c(err.text), S("key 'k' is there twice")));
    gguf_writer_free(w);
    buf_clear(&b);
    w = gguf_writer_create();
    gguf_write_tensor(w, S("t"), QUANT_F32, 1, ne);
    gguf_write_tensor(w, S("t"), QUANT_F32, 1, ne);
    REQUIRE(gguf_write_header(w, &b, &err) == OK);
    buf_add(&b, zeros, sizeof zeros);
    CHECK_INT(gguf_open_memory(&g, b.p, b.n, &err), ERR_FORMAT);
    CHECK(str_ends(str_c(err.text), S("tensor 't' is there twice")));
    gguf_writer_free(w);
    buf_deinit(&b);
}

TEST(a_file_cut_anywhere_is_refused)
{
    struct buf file;
    make_file(&file);
    for (size_t n = 0; n < file.n; n++) {
        struct err err = {0};
        struct gguf *g;
        char *exact = malloc(n ? n : 1); /* so that sanitizers see a read past the end */
        memcpy(exact, file.p, n);
        int rc = gguf_open_memory(&g, exact, n, &err);
        if (rc == OK)
            test_fail(__FILE__, __LINE__, "cut at %zu of %zu is accepted", n, file.n);
        CHECK(rc == OK || err.text[0]);
        gguf_close(g);
        free(exact);
    }
    buf_deinit(&file);
}

TEST(damaged_bytes_never_crash)
{
    struct buf file;
    struct rng r = rng_seeded(11);
    make_file(&file);
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(file.n);
        struct gguf *g;
        memcpy(copy, file.p, file.n);
        for (int k = 0; k < 1 + i % 3; k++)
            copy[rng_below(&r, 700)] = (char)(rng_below(&r, 4) ? rng_next(&r) : 0xff);
        if (gguf_open_memory(&g, copy, file.n, NULL) == OK) {
            float y[64];
            for (uint32_t t = 0; t < gguf_n_tensors(g); t++)
                if (gguf_tensor_at(g, t)->ne[0] <= 64)
                    gguf_read_rows_f32(g, gguf_tensor_at(g, t), 0, 1, y, NULL);
        }
        gguf_close(g);
        free(copy);
    }
    buf_deinit(&file);
}

static void write_part(const char *path, int no, int count, const char *tensor, bool wrong_total)
{
    struct gguf_writer *w = gguf_writer_create();
    struct err err;
    uint64_t ne[] = {32};
    float x[32];
    for (int i = 0; i < 32; i++)
        x[i] = (float)(100 * no + i);
    gguf_write_u32(w, "split.no", (uint32_t)no);
    gguf_write_u32(w, "split.count", (uint32_t)count);
    gguf_write_i32(w, "split.tensors.count", wrong_total ? 7 : count);
    if (no == 0)
        gguf_write_str(w, "general.architecture", S("llama"));
    uint32_t t = gguf_write_tensor(w, str_c(tensor), QUANT_F32, 1, ne);
    if (gguf_write_begin(w, path, &err) != OK || gguf_write_data(w, t, 0, x, sizeof x, &err) != OK ||
        gguf_write_commit(w, &err) != OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    gguf_writer_free(w);
}

TEST(split_files_are_one_model)
{
    char dir[] = "/tmp/sluice-gguf-XXXXXX", name[2][128];
    struct err err;
    struct gguf *g;
    float y[32];
    REQUIRE(mkdtemp(dir));
    for (int i = 0; i < 2; i++)
        snprintf(name[i], sizeof name[i], "%s/m-%05d-of-00002.gguf", dir, i + 1);
    write_part(name[0], 0, 2, "a", false);
    CHECK_INT(gguf_open(&g, name[0], &err), ERR_IO);
    CHECK(str_find(str_c(err.text), S("m-00002-of-00002.gguf: cannot open"), 0) != STR_NONE);
    write_part(name[1], 1, 2, "b", false);
    if (gguf_open(&g, name[0], &err) != OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    REQUIRE(g);
    CHECK(gguf_n_parts(g) == 2 && gguf_n_tensors(g) == 2);
    const struct gguf_tensor *t = gguf_tensor_find(g, S("b"));
    REQUIRE(t && t->part == 1);
    CHECK(gguf_read_rows_f32(g, t, 0, 1, y, &err) == OK && y[3] == 103);
    gguf_close(g);
    CHECK_INT(gguf_open(&g, name[1], &err), ERR_ARG);
    CHECK(str_find(str_c(err.text), S("open its first part"), 0) != STR_NONE);
    write_part(name[1], 1, 2, "a", false);
    CHECK_INT(gguf_open(&g, name[0], &err), ERR_FORMAT);
    write_part(name[0], 0, 2, "b", true);
    CHECK_INT(gguf_open(&g, name[0], &err), ERR_FORMAT);
    CHECK(str_ends(str_c(err.text), S("the parts have 2 tensors together, the first says 7")));
    unlink(name[0]);
    unlink(name[1]);
    CHECK(rmdir(dir) == 0); /* no temporary file is left */
}

TEST(open_says_what_is_wrong_with_a_path)
{
    struct err err;
    struct gguf *g;
    CHECK_INT(gguf_open(&g, "/nonexistent/m.gguf", &err), ERR_IO);
    CHECK_STR(str_c(err.text), S("/nonexistent/m.gguf: cannot open the file: No such file or directory"));
    CHECK_INT(gguf_open(&g, "/", &err), ERR_ARG);
    CHECK_STR(str_c(err.text), S("/: not an ordinary file"));
}
