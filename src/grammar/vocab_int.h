/* vocab_int.h - A vocabulary as a byte trie, for walking and for masks. */
#ifndef GRAMMAR_VOCAB_INT_H
#define GRAMMAR_VOCAB_INT_H

#include "grammar/alphabet.h"
#include "grammar/grammar.h"
#include "grammar/trie.h"

/* The key of a control token is its spelling between these bytes, which no UTF-8 text has. */
#define VOCAB_MARK_BEGIN 0xff
#define VOCAB_MARK_END   0xfe

#define VOCAB_TOKEN_BYTES_MAX 4096 /* longer tokens are never allowed */
#define VOCAB_PLAIN_CHARS     16
#define VOCAB_GROUP_BYTES     20 /* longer tokens are in no group */

/* The tokens over an alphabet: bare ones, and those with one ASCII character before it that is no
 * letter, in most cases a space. */
struct vocab_group {
    struct trie bare, led;
    uint32_t *bare_bits, *spaced_bits; /* masks: all bare ones, all behind a space */
    uint32_t space;                    /* its node in `led`, or TRIE_NONE */
};

struct grammar_vocab {
    int32_t n_tokens;
    uint32_t n_words; /* of a mask */
    struct trie all;
    /* Tokens that are whole characters as they stand inside a JSON string are most of a vocabulary
     * and all that most masks have in common: plain[k] is the mask of those with 1 to k + 1 of them,
     * and `rest` the trie of all other tokens. */
    struct trie rest;
    /* All tokens in another way: by their alphabets, and the few others. */
    struct vocab_group groups[ALPHABETS];
    struct trie others;
    uint32_t *plain[VOCAB_PLAIN_CHARS];
    int32_t *quoted; /* tokens that may hold a whole name: with two quotes or more */
    int32_t n_quoted;
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

/* The length of the longest spelling of a control token at the start of s; 0: none. */
size_t vocab_match_control(const struct grammar_vocab *v, struct str s);

#endif
