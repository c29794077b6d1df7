/* grammar_testkit_test.c - For tests: a small vocabulary, and texts that follow a spec. */
#include "grammar/grammar_testkit.h"

#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"

#define N_TOKENS_MAX 700
#define STEPS_MAX    400 /* after so many tokens the shortest way out is looked for */
#define STEPS_END    3000

static const char *pieces[] = {
    "\"",       "{",  "}",    "[",     "]",     ":",    ",",      "\":",     "\": ",     "\",",    "{\"",
    "\"}",      "},", "],",   "true",  "false", "null", "tru",    "se",      "e",        "name",   "id",
    "value",    " a", " the", "hello", "world", "\\n",  "\\\"",   "\\u",     "00",       "000",    "123",
    "2024",     "-",  "0.",   "1e",    "é",     "ß",    "日本",   "本",      "\xe6\x97", "\xa5",   "\xf0\x9f",
    "\x98\x80", "\n", "\n  ", "  ",    "    ",  "\t",   "T",      "Z",       "\"a\"",    "\"a\":", "}}",
    "]}",       "@",  ".com", "://",   "http",  "www.", "<call>", "</call>", "ab",       "ac"};

struct grammar_vocab *kit_vocab(void)
{
    static struct grammar_token t[N_TOKENS_MAX];
    static char bytes[256];
    int32_t n = 0;
    struct grammar_vocab *v;
    for (int b = 0; b < 256; b++) {
        bytes[b] = (char)b;
        t[n++] = (struct grammar_token){str_of(&bytes[b], 1), GRAMMAR_TOKEN_TEXT};
    }
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        t[n++] = (struct grammar_token){str_c(pieces[i]), GRAMMAR_TOKEN_TEXT};
    t[n++] = (struct grammar_token){S("ab"), GRAMMAR_TOKEN_TEXT}; /* a second one with the same bytes */
    t[n++] = (struct grammar_token){S("<s>"), GRAMMAR_TOKEN_CONTROL};
    t[n++] = (struct grammar_token){S("unused"), GRAMMAR_TOKEN_NEVER};
    t[n++] = (struct grammar_token){S("</s>"), GRAMMAR_TOKEN_END};
    t[n++] = (struct grammar_token){S(""), GRAMMAR_TOKEN_END};
    REQUIRE(grammar_vocab_create(&v, t, n, NULL) == OK);
    return v;
}

static struct grammar *compiled(const struct grammar_spec *spec, const struct grammar_vocab *v)
{
    struct grammar *g;
    struct grammar_error e;
    if (grammar_compile(&g, spec, v, NULL, &e) != OK) {
        test_fail(__FILE__, __LINE__, "%s (at %s)", e.err.text, e.where);
        test_stop();
    }
    return g;
}

static bool takes(struct grammar *g, struct str text)
{
    struct grammar_state *s;
    REQUIRE(grammar_state_create(&s, g, NULL) == OK);
    bool is_taken = grammar_state_accept(s, text) && grammar_state_may_end(s);
    grammar_state_free(s);
    return is_taken;
}

bool kit_accepts(const struct grammar_spec *spec, struct str text)
{
    struct grammar *g = compiled(spec, NULL);
    bool is_taken = takes(g, text);
    grammar_release(g);
    return is_taken;
}

/* The bytes of a token, known to the test alone; end tokens have none. */
static struct str token_bytes(int32_t t)
{
    static char one[256];
    if (t < 256) {
        uint8_t byte = (uint8_t)t;
        one[byte] = (char)byte;
        return str_of(&one[byte], 1);
    }
    size_t i = (size_t)t - 256, n = sizeof pieces / sizeof *pieces;
    return i < n ? str_c(pieces[i]) : i == n ? S("ab") : S("");
}

static bool has(const uint32_t *mask, int32_t t)
{
    return mask[t / 32] >> (t % 32) & 1;
}

/* A random allowed token; late in a text one that leads out of it. */
static int32_t choose(struct rng *r, const uint32_t *mask, int32_t n_tokens, int32_t n_allowed, int step)
{
    static const char out[] = "}]\"0te";
    if (step > STEPS_MAX && has(mask, n_tokens - 1))
        return n_tokens - 1;
    uint64_t first = rng_below(r, sizeof out - 1);
    bool wants_out = step > STEPS_MAX && rng_below(r, 4) > 0;
    for (size_t i = 0; wants_out && i < sizeof out - 1; i++) {
        uint8_t way = (uint8_t)out[(first + i) % (sizeof out - 1)];
        if (has(mask, way))
            return way;
    }
    uint64_t k = rng_below(r, (uint64_t)n_allowed);
    for (int32_t t = 0; t < n_tokens; t++)
        if (has(mask, t) && k-- == 0)
            return t;
    return -1;
}

static void check_mask(struct grammar_state *s, const uint32_t *mask, int32_t n_tokens, int32_t n_allowed)
{
    int32_t n = 0, last = -1;
    for (int32_t t = 0; t < n_tokens; t++) {
        n += has(mask, t);
        last = has(mask, t) ? t : last;
        if (grammar_state_allows(s, t) != has(mask, t))
            test_fail(__FILE__, __LINE__, "token %d: mask says %d", t, (int)has(mask, t));
    }
    CHECK_INT(n_allowed, n);
    CHECK_INT(grammar_state_only_token(s), n == 1 ? last : -1);
}

/* One text; false if it did not come to an end. */
static bool wander(struct grammar *g, struct rng *r, int32_t n_tokens, struct buf *text)
{
    struct grammar_state *s, *by_bytes;
    uint32_t mask[N_TOKENS_MAX / 32 + 1];
    bool is_over = false;
    REQUIRE(grammar_state_create(&s, g, NULL) == OK && grammar_state_create(&by_bytes, g, NULL) == OK);
    for (int step = 0; step < STEPS_END && !is_over; step++) {
        int32_t n = grammar_state_mask(s, mask);
        if (n == 0) {
            test_fail(__FILE__, __LINE__, "stuck behind %.*s", STR(buf_str(text)));
            break;
        }
        if (step < 20)
            check_mask(s, mask, n_tokens, n);
        int32_t t = choose(r, mask, n_tokens, n, step);
        CHECK(grammar_state_accept_token(s, t));
        is_over = t >= n_tokens - 2;
        buf_str_add(text, token_bytes(t));
        if (!is_over)
            CHECK(grammar_state_accept(by_bytes, token_bytes(t)));
    }
    if (is_over)
        CHECK(grammar_state_may_end(by_bytes));
    grammar_state_free(s);
    grammar_state_free(by_bytes);
    return is_over;
}

void kit_wander_to(const struct grammar_spec *spec, int n_texts, void (*on_text)(void *ctx, struct str text),
                   void *ctx)
{
    struct grammar_vocab *v = kit_vocab();
    struct grammar *g = compiled(spec, v);
    struct rng r = rng_seeded(1);
    for (int i = 0; i < n_texts; i++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        bool is_over = wander(g, &r, grammar_vocab_n_tokens(v), &text);
        if (is_over) { /* else chance did not find the end, as of a name that must end in "_id" */
            CHECK(takes(g, buf_str(&text)));
            if (on_text)
                on_text(ctx, buf_str(&text));
        }
        buf_deinit(&text);
    }
    grammar_release(g);
    grammar_vocab_free(v);
}

void kit_wander(const struct grammar_spec *spec, int n_texts)
{
    kit_wander_to(spec, n_texts, NULL, NULL);
}
