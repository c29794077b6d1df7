/* emit_test.c - Text out of tokens: whole characters, stop strings, and which token is told when. */
#include "engine/emit.h"

#include <string.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/fake_test.h"

struct told {
    char text[8192];
    size_t n;
    int32_t tokens[4096];
    int n_tokens, stop;
    bool is_over;
};

static void take(struct told *t, struct emit_piece p)
{
    CHECK(str_is_utf8(p.text));
    memcpy(t->text + t->n, p.text.p, p.text.n);
    t->n += p.text.n;
    for (int32_t i = 0; i < p.n_tokens; i++)
        t->tokens[t->n_tokens++] = p.tokens[i].id;
    t->stop = p.stop;
    t->is_over |= p.stop >= 0;
}

/* Feed bytes as single-byte tokens until a stop string ends it. */
static struct told run(const char *text, size_t n, const struct str *stops, int n_stops)
{
    static struct tokenizer *t;
    struct told out = {.stop = -1};
    struct emit e;

    if (!t)
        t = fake_tokenizer();
    REQUIRE(emit_init(&e, t, stops, n_stops, false, emit_token_bytes_max(t), NULL) == OK);
    for (size_t i = 0; i < n && !out.is_over; i++) {
        struct sampled s = {.token = FAKE_BYTE + (uint8_t)text[i]};
        take(&out, emit_push(&e, &s, true));
    }
    if (!out.is_over)
        take(&out, emit_finish(&e));
    emit_deinit(&e);
    return out;
}

static void check(const char *text, const char *stop1, const char *stop2, const char *want, int want_stop)
{
    struct str stops[2] = {str_c(stop1), str_c(stop2)};
    struct told t = run(text, strlen(text), stops, stop2 ? 2 : stop1 ? 1 : 0);
    CHECK_STR(str_of(t.text, t.n), str_c(want));
    CHECK_INT(t.stop, want_stop);
}

TEST(a_stop_string_ends_the_text_in_front_of_it)
{
    check("hello world", NULL, NULL, "hello world", -1);
    check("hello world", "wo", NULL, "hello ", 0);
    check("hello world", "xx", "lo", "hel", 1);
    check("hello wor", "world", NULL, "hello wor", -1);
    check("aaab", "aab", NULL, "a", 0);
    check("abcabd", "abd", NULL, "abc", 0);
    check("one two", "two", "one", "", 1);
    check("stop", "stop", "st", "", 1); /* the one that is complete first */
    check("gr\xc3\xbc\xc3\x9f", "\xc3\x9f", NULL, "gr\xc3\xbc", 0);
}

TEST(text_is_told_as_soon_as_it_cannot_become_a_stop_string)
{
    struct tokenizer *t = fake_tokenizer();
    struct str stop = S("END");
    struct emit e;
    REQUIRE(emit_init(&e, t, &stop, 1, false, emit_token_bytes_max(t), NULL) == OK);
    const char *in = "xENyE";
    const char *want[] = {"x", "", "", "ENy", ""};
    for (int i = 0; i < 5; i++) {
        struct sampled s = {.token = FAKE_BYTE + in[i]};
        struct emit_piece p = emit_push(&e, &s, true);
        CHECK_STR(p.text, str_c(want[i]));
        CHECK_INT(p.n_tokens, (int)strlen(want[i]));
    }
    CHECK_STR(emit_finish(&e).text, S("E"));
    emit_deinit(&e);
    tokenizer_free(t);
}

TEST(characters_are_never_broken_and_bad_bytes_are_replaced)
{
    check("\xf0\x9f\x98\x80!", NULL, NULL, "\xf0\x9f\x98\x80!", -1);
    check("a\xf0\x9f\x98", NULL, NULL, "a\xef\xbf\xbd", -1);
    check("a\xff"
          "b",
          NULL, NULL,
          "a\xef\xbf\xbd"
          "b",
          -1);
}

TEST(every_token_is_told_exactly_once_with_its_text)
{
    struct str stops[] = {S("\xc3\xa4q"), S("zz")};
    struct rng r = rng_seeded(21);
    for (int round = 0; round < 300; round++) {
        char text[200];
        int n = (int)rng_below(&r, 120);
        for (int i = 0; i < n; i++) {
            static const char pool[] = "azq\xc3\xa4\xf0\x9f\x98\x80z";
            text[i] = pool[rng_below(&r, sizeof pool - 1)];
        }
        struct told t = run(text, (size_t)n, stops, 2);
        if (t.stop < 0)
            CHECK_INT(t.n_tokens, n);
        CHECK(t.n_tokens <= n);
        for (int i = 0; i < t.n_tokens; i++)
            CHECK_INT(t.tokens[i], FAKE_BYTE + (uint8_t)text[i]);
        CHECK(str_find(str_of(t.text, t.n), S("zz"), 0) == STR_NONE);
    }
}

TEST(control_tokens_have_text_only_if_asked)
{
    struct tokenizer *t = fake_tokenizer();
    for (int show = 0; show < 2; show++) {
        struct emit e;
        struct sampled s = {.token = FAKE_EOS};
        REQUIRE(emit_init(&e, t, NULL, 0, show, emit_token_bytes_max(t), NULL) == OK);
        struct emit_piece p = emit_push(&e, &s, true);
        CHECK_STR(p.text, show ? S("</s>") : S(""));
        CHECK_INT(p.n_tokens, 1);
        emit_deinit(&e);
    }
    tokenizer_free(t);
}
