/* vocab_int.h - A vocabulary as a byte trie, for walking and for masks. */
#ifndef GRAMMAR_VOCAB_INT_H
#define GRAMMAR_VOCAB_INT_H

#include "grammar/grammar.h"

/* The key of a control token is its spelling between these bytes, which no UTF-8 text has. */
#define VOCAB_MARK_BEGIN 0xff
#define VOCAB_MARK_END   0xfe

#define VOCAB_TOKEN_BYTES_MAX 4096 /* longer tokens are never allowed */
#define VOCAB_PLAIN_CHARS     16

/* Nodes in depth-first order: the subtree of node i is nodes i to next - 1. */
struct trie_node {
    uint32_t next;
    int32_t token;  /* a token that ends here, or -1; others with the same bytes: vocab->same */
    uint16_t depth; /* 1 for nodes below the root, which is no node itself */
    uint8_t byte;
};

struct trie {
    struct trie_node *nodes;
    uint32_t n;
};

struct grammar_vocab {
    int32_t n_tokens;
    uint32_t n_words; /* of a mask */
    uint32_t depth_max;
    struct trie all;
    /* Tokens that are whole characters as they stand inside a JSON string are most of a vocabulary
     * and all that most masks have in common: plain[k] is the mask of those with 1 to k + 1 of them,
     * and `rest` the trie of all other tokens. */
    struct trie rest;
    uint32_t *plain[VOCAB_PLAIN_CHARS];
    int32_t *quoted; /* tokens that may hold a whole name: with two quotes or more */
    int32_t n_quoted;
    int32_t *same;
    int32_t *ends;
    int32_t n_ends;
    uint8_t *kinds;
    char *bytes; /* keys, one behind the other */
    size_t *at;  /* n_tokens + 1 offsets into bytes */
};

static inline struct str vocab_key(const struct grammar_vocab *v, int32_t token)
{
    return str_of(v->bytes + v->at[token], v->at[token + 1] - v->at[token]);
}

/* The node at the end of these bytes in the trie; t->n: there is none. */
uint32_t trie_find(const struct trie *t, struct str bytes);

/* The length of the longest spelling of a control token at the start of s; 0: none. */
size_t vocab_match_control(const struct grammar_vocab *v, struct str s);

#endif
