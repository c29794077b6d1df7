/* corpus_test.c - A corpus of schemas and instances, made and judged elsewhere (tests/grammar/corpus.sh).
 *
 * SLUICE_GRAMMAR_CORPUS names a file of lines {"schema": text, "good": [texts], "bad": [texts]}.  Good ones
 * must be accepted and bad ones not; what masks lead to goes to the file SLUICE_GRAMMAR_OUT. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/test.h"
#include "grammar/grammar_testkit.h"

#define TEXTS_EACH 3

struct corpus {
    FILE *out;
    int line;
    int n_right, n_wrong, n_refused, n_schemas, n_texts;
};

static void on_text(void *ctx, struct str text)
{
    struct corpus *k = ctx;
    struct buf b;
    buf_init(&b, 1 << 22);
    struct json_writer w = json_writer(&b);
    jw_begin_object(&w);
    jw_kv_i64(&w, "i", k->line);
    jw_kv_str(&w, "text", text);
    jw_end_object(&w);
    fprintf(k->out, "%.*s\n", STR(buf_str(&b)));
    buf_deinit(&b);
    k->n_texts++;
}

static void check_instances(struct corpus *k, struct grammar *g, struct str schema, struct json list,
                            bool is_good, struct arena *arena)
{
    struct json_iter it = json_iter(list);
    while (json_next(&it)) {
        struct str text = json_text(it.value, arena);
        struct grammar_state *s;
        REQUIRE(grammar_state_create(&s, g, NULL) == OK);
        bool is_taken = grammar_state_accept(s, text) && grammar_state_may_end(s);
        grammar_state_free(s);
        k->n_right += is_taken == is_good;
        k->n_wrong += is_taken != is_good;
        if (is_taken != is_good)
            test_fail(__FILE__, __LINE__, "schema %d %.*s\n  %s %.*s", k->line, STR(schema),
                      is_taken ? "takes" : "refuses", STR(text));
    }
}

static void check_line(struct corpus *k, struct str line)
{
    struct arena arena;
    struct json_doc doc;
    arena_init(&arena, 1 << 24);
    REQUIRE(json_parse(&doc, &arena, line, NULL) == OK);
    struct json root = json_root(&doc);
    struct str schema = json_text(json_get(root, "schema"), &arena);
    struct grammar_spec spec = {
        .kind = GRAMMAR_SCHEMA, .text = schema, .space = (enum grammar_space)(k->line % 3)};
    struct grammar_error e;
    struct grammar *g;
    spec.space = GRAMMAR_SPACE_FREE;
    int rc = grammar_compile(&g, &spec, NULL, NULL, &e);
    if (rc == OK) {
        check_instances(k, g, schema, json_get(root, "good"), true, &arena);
        check_instances(k, g, schema, json_get(root, "bad"), false, &arena);
        spec.space = (enum grammar_space)(k->line % 3);
        kit_wander_to(&spec, TEXTS_EACH, on_text, k);
    } else if (rc == ERR_ARG && json_count(json_get(root, "good")) == 0) {
        k->n_right++; /* nothing can fulfil it, says the grammar; nothing was found that does */
    } else {
        k->n_refused++;
        printf("schema %d %.*s\n  refused: %s\n", k->line, STR(schema), e.err.text);
    }
    grammar_release(g);
    arena_deinit(&arena);
    k->n_schemas++;
}

TEST(a_corpus_is_followed_as_its_judge_says)
{
    const char *path = getenv("SLUICE_GRAMMAR_CORPUS"), *out = getenv("SLUICE_GRAMMAR_OUT");
    struct corpus k = {0};
    size_t n;
    if (!path || !out)
        test_skip("SLUICE_GRAMMAR_CORPUS and SLUICE_GRAMMAR_OUT do not name files");
    FILE *in = fopen(path, "r");
    k.out = fopen(out, "w");
    REQUIRE(in && k.out);
    char *line = NULL;
    while (getline(&line, &n, in) > 0) {
        check_line(&k, str_trim(str_c(line)));
        k.line++;
    }
    free(line);
    fclose(in);
    fclose(k.out);
    printf("corpus: %d schemas, %d refused, %d texts, %d right, %d wrong\n", k.n_schemas, k.n_refused,
           k.n_texts, k.n_right, k.n_wrong);
    CHECK(k.n_schemas > 0 && k.n_refused * 10 < k.n_schemas);
}
