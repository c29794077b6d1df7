/* tokenizer_golden_test.c - Small vocabularies and hard texts, against what the reference made of
 * them (tests/golden/tokenizer_*.json, written by tools/tokenizer/golden.py). */
#include <stdlib.h>

#include "base/json.h"
#include "base/test.h"
#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#define ITEMS_MAX 4096

struct golden {
    struct arena arena;
    struct json_doc doc;
    struct vocab_def def;
    struct tokenizer *t;
    char *file;
};

static struct str *read_strs(struct arena *arena, struct json v, size_t *n)
{
    struct str *items = arena_new_array(arena, struct str, json_count(v) + 1);
    REQUIRE(items != NULL);
    struct json_iter it = json_iter(v);
    *n = 0;
    while (json_next(&it))
        items[(*n)++] = json_text(it.value, arena);
    return items;
}

static int32_t *read_ints(struct arena *arena, struct json v, size_t *n)
{
    int32_t *items = arena_new_array(arena, int32_t, json_count(v) + 1);
    REQUIRE(items != NULL);
    struct json_iter it = json_iter(v);
    *n = 0;
    while (json_next(&it)) {
        int64_t value = 0;
        CHECK(json_i64(it.value, &value));
        items[(*n)++] = (int32_t)value;
    }
    return items;
}

static void read_vocab(struct golden *g, struct json vocab)
{
    static const struct {
        const char *key;
        enum token_role role;
    } roles[] = {{"unknown", ROLE_UNK},   {"bos", ROLE_BOS},   {"eos", ROLE_EOS},    {"cls", ROLE_CLS},
                 {"seperator", ROLE_SEP}, {"mask", ROLE_MASK}, {"padding", ROLE_PAD}};
    size_t n;
    vocab_def_init(&g->def);
    g->def.model = json_text(json_get(vocab, "model"), &g->arena);
    g->def.pre = json_text(json_get(vocab, "pre"), &g->arena);
    g->def.tokens = read_strs(&g->arena, json_get(vocab, "tokens"), &g->def.n_tokens);
    g->def.kinds = read_ints(&g->arena, json_get(vocab, "kinds"), &n);
    REQUIRE(n == g->def.n_tokens);
    g->def.merges = read_strs(&g->arena, json_get(vocab, "merges"), &g->def.n_merges);
    float *scores = arena_new_array(&g->arena, float, n);
    struct json_iter it = json_iter(json_get(vocab, "scores"));
    while (json_next(&it)) {
        double value = 0;
        CHECK(it.i < n && json_f64(it.value, &value));
        scores[it.i] = (float)value;
        g->def.scores = scores;
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        json_i64(json_get(vocab, roles[i].key), &g->def.role[roles[i].role]);
}

static void open_golden(struct golden *g, const char *path)
{
    size_t n;
    struct err err = {0};
    g->file = test_read_file(path, &n);
    arena_init(&g->arena, 1 << 24);
    REQUIRE(json_parse(&g->doc, &g->arena, str_of(g->file, n), &err) == OK);
    read_vocab(g, json_get(json_root(&g->doc), "vocab"));
    int rc = tokenizer_create(&g->t, &g->def, &err);
    if (rc != OK)
        test_fail(path, 0, "%s", err.text);
    REQUIRE(rc == OK);
}

static void close_golden(struct golden *g)
{
    tokenizer_free(g->t);
    arena_deinit(&g->arena);
    free(g->file);
}

static void check_ids(struct golden *g, struct str text, bool allow_special, struct json want,
                      const char *path)
{
    struct text_segment segment = {text, allow_special};
    struct encode_opts opts = {.bos = ENCODE_ADD_NO, .eos = ENCODE_ADD_NO};
    struct token_list got;
    struct err err = {0};
    size_t n;
    int32_t *ids = read_ints(&g->arena, want, &n);
    token_list_init(&got, ITEMS_MAX);
    int rc = tokenizer_encode(g->t, &segment, 1, opts, &got, &err);
    if (rc != OK || got.n != n || (n && memcmp(got.ids, ids, n * sizeof *ids) != 0))
        test_fail(path, 0, "text '%.*s' (special %d): %zu tokens, expected %zu %s", STR(text), allow_special,
                  got.n, n, err.text);
    token_list_deinit(&got);
}

static void check_pieces(struct golden *g, struct str text, struct json want, const char *path)
{
    const struct pretok_family *family = pretok_find(g->def.pre);
    struct pretok_iter it;
    struct str piece;
    struct buf memory;
    size_t n, i = 0;
    int32_t *lens = read_ints(&g->arena, want, &n);
    REQUIRE(family != NULL);
    buf_init(&memory, 1 << 20);
    if (family->nfc)
        CHECK(unicode_nfc(text, &memory, &text) == OK);
    pretok_begin(&it, family, text);
    for (; pretok_next(&it, &piece); i++)
        if (i >= n || (size_t)lens[i] != piece.n) {
            test_fail(path, 0, "piece %zu of '%.*s' is '%.*s'", i, STR(text), STR(piece));
            break;
        }
    CHECK_INT(i, n);
    buf_deinit(&memory);
}

static void check_file(const char *path)
{
    struct golden g = {0};
    open_golden(&g, path);
    struct json_iter it = json_iter(json_get(json_root(&g.doc), "cases"));
    int n_cases = 0;
    while (json_next(&it)) {
        struct str text = json_text(json_get(it.value, "text"), &g.arena);
        check_ids(&g, text, true, json_get(it.value, "ids"), path);
        check_ids(&g, text, false, json_get(it.value, "plain"), path);
        if (json_exists(json_get(it.value, "pieces")))
            check_pieces(&g, text, json_get(it.value, "pieces"), path);
        n_cases++;
    }
    CHECK(n_cases > 40);
    close_golden(&g);
}

#define GOLDEN(name)                                                                                         \
    TEST(name##_gives_the_reference_tokens)                                                                  \
    {                                                                                                        \
        check_file("tests/golden/tokenizer_" #name ".json");                                                 \
    }

GOLDEN(llama_bpe)
GOLDEN(qwen2)
GOLDEN(qwen35)
GOLDEN(gpt_4o)
GOLDEN(tekken)
GOLDEN(deepseek_v3)
GOLDEN(deepseek_llm)
GOLDEN(deepseek_coder)
GOLDEN(gpt_2)
GOLDEN(starcoder)
GOLDEN(falcon)
GOLDEN(default)
GOLDEN(youtu)
GOLDEN(bloom)
GOLDEN(llama)
GOLDEN(gemma4)
GOLDEN(bert)
