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

/* From ids[n], sorted by key.  Tokens with the same key are chained when the first trie is made;
 * for the second all of a chain are there or none, so the chains stay right. */
static int make_trie(struct grammar_vocab *v, struct trie *t, const int32_t *ids, int32_t n)
{
    size_t n_nodes = 0;
    struct str last = S("");
    for (int32_t i = 0; i < n; i++) {
        struct str key = vocab_key(v, ids[i]);
        size_t same = 0;
        while (same < key.n && same < last.n && key.p[same] == last.p[same])
            same++;
        n_nodes += key.n - same;
        last = key;
    }
    if (n_nodes > UINT32_MAX / 2)
        return ERR_LIMIT;
    uint32_t *path = calloc(VOCAB_TOKEN_BYTES_MAX + 3, sizeof *path), depth = 0;
    t->nodes = calloc(n_nodes + 1, sizeof *t->nodes);
    if (!path || !t->nodes) {
        free(path);
        return ERR_NOMEM;
    }
    for (int32_t i = 0; i < n; i++) {
        struct str key = vocab_key(v, ids[i]);
        uint32_t same = 0;
        while (same < depth && same < key.n && t->nodes[path[same]].byte == (uint8_t)key.p[same])
            same++;
        while (depth > same)
            t->nodes[path[--depth]].next = t->n;
        for (; depth < key.n; depth++) {
            path[depth] = t->n;
            t->nodes[t->n++] = (struct trie_node){
                .token = -1, .depth = (uint16_t)(depth + 1), .byte = (uint8_t)key.p[depth]};
        }
        struct trie_node *end = &t->nodes[path[depth - 1]];
        v->same[ids[i]] = end->token;
        end->token = ids[i];
        if (depth > v->depth_max)
            v->depth_max = depth;
    }
    while (depth > 0)
        t->nodes[path[--depth]].next = t->n;
    free(path);
    return OK;
}

static int make_tries(struct grammar_vocab *v)
{
    int32_t *ids = calloc((size_t)v->n_tokens, sizeof *ids), n = 0, n_rest = 0;
    v->same = calloc((size_t)v->n_tokens, sizeof *v->same);
    if (!ids || !v->same) {
        free(ids);
        return ERR_NOMEM;
    }
    for (int32_t i = 0; i < v->n_tokens; i++) {
        v->same[i] = -1;
        if (vocab_key(v, i).n > 0)
            ids[n++] = i;
    }
    qsort_r(ids, (size_t)n, sizeof *ids, compare_keys, v);
    int rc = make_trie(v, &v->all, ids, n);
    for (int32_t i = 0; i < n; i++) {
        uint32_t n_chars;
        bool is_plain = is_plain_token(vocab_key(v, ids[i]), &n_chars);
        for (uint32_t k = n_chars; is_plain && k <= VOCAB_PLAIN_CHARS; k++)
            v->plain[k - 1][ids[i] / 32] |= UINT32_C(1) << (ids[i] % 32);
        if (!is_plain)
            ids[n_rest++] = ids[i];
    }
    if (rc == OK)
        rc = make_trie(v, &v->rest, ids, n_rest);
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
    free(v->all.nodes);
    free(v->rest.nodes);
    free(v->plain[0]);
    free(v->same);
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

/* The child of a node with this byte; parent == UINT32_MAX: the root.  n: none. */
static uint32_t find_child(const struct trie *t, uint32_t parent, uint8_t byte)
{
    uint32_t i = parent == UINT32_MAX ? 0 : parent + 1;
    uint32_t end = parent == UINT32_MAX ? t->n : t->nodes[parent].next;
    while (i < end && t->nodes[i].byte != byte)
        i = t->nodes[i].next;
    return i < end ? i : t->n;
}

uint32_t trie_find(const struct trie *t, struct str bytes)
{
    uint32_t at = UINT32_MAX;
    for (size_t i = 0; i < bytes.n; i++) {
        at = find_child(t, at, (uint8_t)bytes.p[i]);
        if (at == t->n)
            return at;
    }
    return bytes.n > 0 ? at : t->n;
}

size_t vocab_match_control(const struct grammar_vocab *v, struct str s)
{
    const struct trie *t = &v->all;
    size_t longest = 0;
    uint32_t at = find_child(t, UINT32_MAX, VOCAB_MARK_BEGIN);
    for (size_t i = 0; at < t->n; i++) {
        uint32_t end = find_child(t, at, VOCAB_MARK_END);
        if (end < t->n && t->nodes[end].token >= 0)
            longest = i;
        at = i < s.n ? find_child(t, at, (uint8_t)s.p[i]) : t->n;
    }
    return longest;
}
