/* inspect_test.c - What is said about the golden models. */
#include "model/inspect.h"

#include "base/json.h"
#include "base/test.h"
#include "model/gguf_write.h"

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

TEST(json_has_what_programs_ask_for)
{
    struct gguf *g = open_ok("tests/golden/models/qwen3-q4_k_m.gguf");
    struct buf out;
    struct arena arena;
    struct json_doc doc;
    struct err err;
    uint64_t n = 0, total = 0;
    buf_init(&out, 1 << 20);
    arena_init(&arena, 1 << 20);
    inspect_json(g, true, &out);
    REQUIRE(buf_ok(&out) && json_parse(&doc, &arena, buf_str(&out), &err) == OK);
    struct json r = json_root(&doc);
    CHECK(json_text_is(json_get(r, "architecture"), "qwen3"));
    CHECK(json_u64(json_get(json_get(r, "sizes"), "embedding"), &n) && n == 256);
    CHECK(json_u64(json_get(json_get(r, "sizes"), "kv_heads"), &n) && n == 2);
    CHECK(json_text_is(json_get(json_get(r, "tokenizer"), "pre"), "qwen2"));
    CHECK(json_u64(json_get(json_get(r, "tokenizer"), "tokens"), &n) && n == 288);
    CHECK(json_is(json_get(r, "chat_template"), JSON_STRING));
    CHECK_INT(json_count(json_get(r, "tensors")), gguf_n_tensors(g));
    struct json_iter it = json_iter(json_get(r, "types"));
    while (json_next(&it))
        if (CHECK(json_u64(json_get(it.value, "params"), &n)))
            total += n;
    CHECK(json_u64(json_get(r, "params"), &n) && n == total);
    buf_deinit(&out);
    arena_deinit(&arena);
    gguf_close(g);
}

/* Nothing that a file says can break the JSON. */
TEST(strange_text_is_made_harmless)
{
    struct gguf_writer *w = gguf_writer_create();
    struct buf file, out;
    struct err err;
    struct gguf *g;
    struct arena arena;
    struct json_doc doc;
    buf_init(&file, 1 << 16);
    buf_init(&out, 1 << 16);
    arena_init(&arena, 1 << 16);
    gguf_write_str(w, "general.name", S("a\x1b[2J\xff\"b"));
    gguf_write_u32(w, "general.architecture", 3);
    REQUIRE(gguf_write_header(w, &file, &err) == OK);
    REQUIRE(gguf_open_memory(&g, file.p, file.n, &err) == OK);
    inspect_json(g, true, &out);
    CHECK(buf_ok(&out) && json_parse(&doc, &arena, buf_str(&out), &err) == OK);
    gguf_close(g);
    gguf_writer_free(w);
    buf_deinit(&file);
    buf_deinit(&out);
    arena_deinit(&arena);
}
