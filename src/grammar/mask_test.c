/* mask_test.c - Masks of a vocabulary that is large enough for its groups, beside asking token by token. */
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "grammar/grammar.h"

enum { N_WORDS = 2000, N_TOKENS = 256 + N_WORDS + 1, WORD_MAX = 40, STEPS = 60 };

/* Bytes alone, words of all alphabets with and without something before them, and the end. */
static struct grammar_vocab *make_vocab(void)
{
    static const char *const letters[] = {"e", "r", "o", "er", "ror", "a", "x", "T", "Q", "ing"};
    static const char *const wide[] = {"é", "я",  "日",     "本",     "ß",      "\xf0\x9f\x98\x80",
                                       "n", "、", "\u3000", "\u2028", "\u00a0", "“"};
    static const char *const symbols[] = {"0", "7", ".", "-", "@", "_", "/", "%", "+", "f"};
    static const char *const leads[] = {"", "", " ", " ", "(", ".", "\"", "1", "\n", "é"};
    static const char *const *const alphabets[] = {letters, letters, wide, symbols};
    static const uint64_t sizes[] = {10, 10, 12, 10};
    static struct grammar_token t[N_TOKENS];
    static char bytes[256], words[N_WORDS][WORD_MAX];
    struct rng r = rng_seeded(3);
    struct grammar_vocab *v;
    for (int b = 0; b < 256; b++) {
        bytes[b] = (char)b;
        t[b] = (struct grammar_token){str_of(&bytes[b], 1), GRAMMAR_TOKEN_TEXT};
    }
    for (int w = 0; w < N_WORDS; w++) {
        uint64_t a = rng_below(&r, 4), n_parts = 1 + rng_below(&r, 5);
        int n = snprintf(words[w], WORD_MAX, "%s", leads[rng_below(&r, 10)]);
        for (uint64_t i = 0; i < n_parts; i++)
            n += snprintf(words[w] + n, (size_t)(WORD_MAX - n), "%s", alphabets[a][rng_below(&r, sizes[a])]);
        n -= rng_below(&r, 40) == 0; /* some end within a character */
        t[256 + w] = (struct grammar_token){str_of(words[w], (size_t)n), GRAMMAR_TOKEN_TEXT};
    }
    t[N_TOKENS - 1] = (struct grammar_token){S(""), GRAMMAR_TOKEN_END};
    REQUIRE(grammar_vocab_create(&v, t, N_TOKENS, NULL) == OK);
    return v;
}

static bool has(const uint32_t *mask, int32_t t)
{
    return mask[t / 32] >> (t % 32) & 1;
}

/* Walk at random, long words first, and compare every token of every mask. */
static void compare_masks(const struct grammar_vocab *v, const struct grammar_spec *spec, struct rng *r)
{
    uint32_t mask[N_TOKENS / 32 + 1];
    struct grammar_error e;
    struct grammar_state *s;
    struct grammar *g;
    struct grammar_limits limits = {.time_ms = 60000}; /* sanitizers take their time */
    if (grammar_compile(&g, spec, v, &limits, &e) != OK) {
        test_fail(__FILE__, __LINE__, "%s", e.err.text);
        return;
    }
    REQUIRE(grammar_state_create(&s, g, NULL) == OK);
    for (int step = 0; step < STEPS; step++) {
        int32_t n = grammar_state_mask(s, mask), n_true = 0, token = -1;
        for (int32_t t = 0; t < N_TOKENS; t++) {
            bool is_allowed = grammar_state_allows(s, t);
            n_true += is_allowed;
            if (has(mask, t) != is_allowed) {
                test_fail(__FILE__, __LINE__, "%.*s, step %d: token %d is %s", STR(spec->text), step, t,
                          is_allowed ? "missing" : "too many");
                break;
            }
        }
        CHECK_INT(n, n_true);
        if (n == 0)
            break;
        for (uint64_t k = rng_below(r, (uint64_t)n) + 1, i = 0; k > 0; i++) {
            token = (int32_t)((i + 256) % N_TOKENS);
            k -= has(mask, token);
        }
        CHECK(grammar_state_accept_token(s, token));
        if (token == N_TOKENS - 1)
            break;
    }
    grammar_state_free(s);
    grammar_release(g);
}

TEST(masks_of_groups_are_those_of_single_tokens)
{
    static const char *const schemas[] = {
        "{\"type\":\"string\",\"pattern\":\"^.*error.*$\"}",
        "{\"type\":\"string\",\"pattern\":\"^\\\\S+( \\\\S+)*$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[a-zA-Z]+$\",\"minLength\":7,\"maxLength\":31}",
        "{\"type\":\"string\",\"pattern\":\"^[^x]*$\",\"maxLength\":23}",
        "{\"type\":\"string\",\"pattern\":\"^[^日]+$\"}",
        "{\"type\":\"string\",\"pattern\":\"^(?:[\\u00a1-\\uffff]|ing| )+$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[а-яёa-z ]{4,40}$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[!-~]*$\"}",
        "{\"type\":\"string\",\"maxLength\":40}",
        "{\"type\":\"string\",\"minLength\":30,\"maxLength\":30}",
        "{\"type\":\"string\",\"format\":\"email\"}",
        "{\"type\":\"string\",\"format\":\"uri\"}",
        "{\"type\":\"string\",\"format\":\"uuid\"}",
        "{\"enum\":[\"error\",\"error er\",\"erroring ééé\",\"Qx\"]}",
        "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":9},\"minItems\":5,\"maxItems\":60}",
        "{}",
    };
    static const char *const patterns[] = {"[a-z]{3,90}", "(?:[a-zA-Z]{2,5} ?){1,50}", "[^\"]*\"[^\"]*", ".*",
                                           "\\w+(?:[ .]\\w+)*"};
    struct grammar_vocab *v = make_vocab();
    struct rng r = rng_seeded(5);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
            compare_masks(v, &(struct grammar_spec){.kind = GRAMMAR_SCHEMA, .text = str_c(schemas[i])}, &r);
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
            compare_masks(v, &(struct grammar_spec){.kind = GRAMMAR_REGEX, .text = str_c(patterns[i])}, &r);
    }
    grammar_vocab_free(v);
}
