/* vocab.c - Make the tries and masks of a vocabulary. */
#include "grammar/vocab_int.h"

#include <stdlib.h>

#include "grammar/net.h"

static bool is_plain_token(struct str s, uint32_t *n_chars)
{
    *n_chars = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!net_byte_is_plain((uint8_t)s.p[i]))
            return false;
        *n_chars += ((uint8_t)s.p[i] & 0xc0) != 0x80;
    }
    bool has_separator =
        str_find(s, S("\xe2\x80\xa8"), 0) != STR_NONE || str_find(s, S("\xe2\x80\xa9"), 0) != STR_NONE;
    return s.n > 0 && *n_chars <= VOCAB_PLAIN_CHARS && !has_separator && str_is_utf8(s);
}

/* ---- keys ---- */

static size_t key_bytes(const struct grammar_token *t)
{
    if (t->bytes.n == 0 || t->bytes.n > VOCAB_TOKEN_BYTES_MAX)
        return 0;
    if (t->kind == GRAMMAR_TOKEN_TEXT)
        return t->bytes.n;
    return t->kind == GRAMMAR_TOKEN_CONTROL || t->kind == GRAMMAR_TOKEN_END ? t->bytes.n + 2 : 0;
}

static int make_keys(struct grammar_vocab *v, const struct grammar_token *tokens)
{
    size_t n_bytes = 0;
    for (int32_t i = 0; i < v->n_tokens; i++)
        n_bytes += key_bytes(&tokens[i]);
    v->bytes = malloc(n_bytes + 1);
    v->at = calloc((size_t)v->n_tokens + 1, sizeof *v->at);
    v->kinds = calloc((size_t)v->n_tokens, 1);
    v->quoted = calloc((size_t)v->n_tokens, sizeof *v->quoted);
    v->ends = calloc((size_t)v->n_tokens, sizeof *v->ends);
    if (!v->bytes || !v->at || !v->kinds || !v->quoted || !v->ends)
        return ERR_NOMEM;
    size_t at = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        size_t n = key_bytes(&tokens[i]);
        bool is_mark = n > tokens[i].bytes.n;
        v->at[i] = at;
        v->kinds[i] = (uint8_t)tokens[i].kind;
        if (tokens[i].kind == GRAMMAR_TOKEN_END)
            v->ends[v->n_ends++] = i;
        if (n > 0)
            memcpy(v->bytes + at + is_mark, tokens[i].bytes.p, tokens[i].bytes.n);
        if (is_mark) {
            v->bytes[at] = (char)VOCAB_MARK_BEGIN;
            v->bytes[at + n - 1] = (char)VOCAB_MARK_END;
        }
        size_t quote = str_find_char(tokens[i].bytes, '"', 0);
        if (n > 0 && !is_mark && quote != STR_NONE &&
            str_find_char(tokens[i].bytes, '"', quote + 1) != STR_NONE)
            v->quoted[v->n_quoted++] = i;
        at += n;
    }
    v->at[v->n_tokens] = at;
    return OK;
}

/* ---- tries ---- */

static int compare_keys(const void *a, const void *b, void *vocab)
{
    const struct grammar_vocab *v = vocab;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    int c = str_cmp(vocab_key(v, x), vocab_key(v, y));
    return c ? c : (x > y) - (x < y);
}

static struct str key_of(const void *vocab, int32_t id)
{
    return vocab_key(vocab, id);
}

/* ---- groups ---- */

enum group_place { GROUP_BARE, GROUP_LED };

/* The group of a token; ALPHABETS: none. */
static enum alphabet find_group(struct str key, enum group_place *place)
{
    struct str first = str_sub(key, 0, 1);
    bool is_led = key.n > 1 && (uint8_t)*first.p < 0x80 && !alphabet_has(ALPHABET_LETTERS, first);
    for (int a = 0; a < ALPHABETS && key.n <= VOCAB_GROUP_BYTES; a++) {
        *place = GROUP_BARE;
        if (alphabet_has((enum alphabet)a, key))
            return (enum alphabet)a;
        *place = GROUP_LED;
        if (is_led && alphabet_has((enum alphabet)a, str_of(key.p + 1, key.n - 1)))
            return (enum alphabet)a;
    }
    return ALPHABETS;
}

static int finish_group(struct grammar_vocab *v, struct vocab_group *g)
{
    g->bare_bits = calloc((size_t)v->n_words * 2, sizeof *g->bare_bits);
    if (!g->bare_bits)
        return ERR_NOMEM;
    g->spaced_bits = g->bare_bits + v->n_words;
    const struct trie_node *bare = &g->bare.nodes[TRIE_ROOT], *spaced;
    trie_allow(&g->bare, bare, bare->n_tokens, g->bare_bits);
    g->space = trie_find_child(&g->led, TRIE_ROOT, ' ');
    spaced = &g->led.nodes[g->space];
    if (g->space != TRIE_NONE)
        trie_allow(&g->led, spaced, spaced->n_tokens, g->spaced_bits);
    return OK;
}

/* ids[n], sorted by key, becomes the groups and the others. */
static int make_groups(struct grammar_vocab *v, const int32_t *ids, int32_t n)
{
    enum { PARTS = ALPHABETS * 2 + 1 };
    int32_t *part = calloc((size_t)n + 1, sizeof *part), *of = calloc((size_t)n + 1, sizeof *of);
    int rc = part && of ? OK : ERR_NOMEM;
    for (int32_t i = 0; rc == OK && i < n; i++) {
        enum group_place place = GROUP_BARE;
        of[i] = (int32_t)find_group(vocab_key(v, ids[i]), &place) * 2;
        of[i] += of[i] < PARTS - 1 && place == GROUP_LED;
    }
    for (int32_t k = 0; rc == OK && k < PARTS; k++) {
        int32_t n_part = 0;
        for (int32_t i = 0; i < n; i++)
            if (of[i] == k)
                part[n_part++] = ids[i];
        struct vocab_group *g = &v->groups[k < PARTS - 1 ? k / 2 : 0];
        rc = trie_make(k == PARTS - 1 ? &v->others
                       : k % 2        ? &g->led
                                      : &g->bare,
                       part, (uint32_t)n_part, key_of, v);
    }
    for (int a = 0; rc == OK && a < ALPHABETS; a++)
        rc = finish_group(v, &v->groups[a]);
    free(part);
    free(of);
    return rc;
}

static int make_tries(struct grammar_vocab *v)
{
    int32_t *ids = calloc((size_t)v->n_tokens, sizeof *ids), n = 0, n_rest = 0;
    if (!ids)
        return ERR_NOMEM;
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (vocab_key(v, i).n > 0)
            ids[n++] = i;
    qsort_r(ids, (size_t)n, sizeof *ids, compare_keys, v);
    int rc = trie_make(&v->all, ids, (uint32_t)n, key_of, v);
    if (rc == OK)
        rc = make_groups(v, ids, n);
    for (int32_t i = 0; i < n; i++) {
        uint32_t n_chars;
        bool is_plain = is_plain_token(vocab_key(v, ids[i]), &n_chars);
        for (uint32_t k = n_chars; is_plain && k <= VOCAB_PLAIN_CHARS; k++)
            v->plain[k - 1][ids[i] / 32] |= UINT32_C(1) << (ids[i] % 32);
        if (!is_plain)
            ids[n_rest++] = ids[i];
    }
    if (rc == OK)
        rc = trie_make(&v->rest, ids, (uint32_t)n_rest, key_of, v);
    free(ids);
    return rc;
}

int grammar_vocab_create(struct grammar_vocab **out, const struct grammar_token *tokens, int32_t n_tokens,
                         struct err *err)
{
    *out = NULL;
    if (n_tokens <= 0)
        return fail(err, ERR_ARG, "a vocabulary needs tokens");
    struct grammar_vocab *v = calloc(1, sizeof *v);
    if (!v)
        return fail(err, ERR_NOMEM, "no memory for the vocabulary of grammars");
    v->n_tokens = n_tokens;
    v->n_words = ((uint32_t)n_tokens + 31) / 32;
    int rc = make_keys(v, tokens);
    v->plain[0] = calloc((size_t)v->n_words * VOCAB_PLAIN_CHARS, sizeof **v->plain);
    if (!v->plain[0])
        rc = ERR_NOMEM;
    for (int k = 1; k < VOCAB_PLAIN_CHARS && v->plain[0]; k++)
        v->plain[k] = v->plain[0] + (size_t)k * v->n_words;
    if (rc == OK)
        rc = make_tries(v);
    if (rc != OK) {
        grammar_vocab_free(v);
        return fail(err, rc, "no memory for the vocabulary of grammars");
    }
    *out = v;
    return OK;
}

void grammar_vocab_free(struct grammar_vocab *v)
{
    if (!v)
        return;
    trie_deinit(&v->all);
    trie_deinit(&v->rest);
    trie_deinit(&v->others);
    for (int a = 0; a < ALPHABETS; a++) {
        trie_deinit(&v->groups[a].bare);
        trie_deinit(&v->groups[a].led);
        free(v->groups[a].bare_bits);
    }
    free(v->plain[0]);
    free(v->quoted);
    free(v->ends);
    free(v->kinds);
    free(v->bytes);
    free(v->at);
    free(v);
}

int32_t grammar_vocab_n_tokens(const struct grammar_vocab *v)
{
    return v->n_tokens;
}

size_t vocab_match_control(const struct grammar_vocab *v, struct str s)
{
    const struct trie *t = &v->all;
    size_t longest = 0;
    uint32_t at = trie_find_child(t, TRIE_ROOT, VOCAB_MARK_BEGIN);
    for (size_t i = 0; at != TRIE_NONE; i++) {
        uint32_t end = trie_find_child(t, at, VOCAB_MARK_END);
        if (end != TRIE_NONE && trie_n_own(t, &t->nodes[end]) > 0)
            longest = i;
        at = i < s.n ? trie_find_child(t, at, (uint8_t)s.p[i]) : TRIE_NONE;
    }
    return longest;
}
