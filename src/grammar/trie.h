/* trie.h - Tokens as a trie over their bytes, laid out for walks that leave most of it out.
 *
 * The children of a node lie side by side, so that looking at all of them is one run through memory, and
 * the tokens of a subtree lie side by side as well, so that a subtree all of which may follow needs no
 * walk.  Constant once it is made. */
#ifndef GRAMMAR_TRIE_H
#define GRAMMAR_TRIE_H

#include <stdint.h>

#include "base/str.h"

#define TRIE_ROOT 0u
#define TRIE_NONE 0u /* no node's child */

struct trie_node {
    uint32_t child;           /* the first of n_children */
    uint32_t token, n_tokens; /* of the subtree: index into trie->tokens; those that end here come first */
    uint16_t n_children;
    uint8_t byte;
    uint8_t n_below; /* the most bytes that follow in the subtree, 255 also for more */
};

struct trie {
    struct trie_node *nodes; /* parents before their children; [0] is the root, which has no byte */
    uint32_t n;
    int32_t *tokens; /* sorted by their bytes */
    uint32_t depth;  /* of the deepest node */
};

/* Of ids[n], sorted by their keys; key_of(self, id) is the key.  ERR_NOMEM, ERR_LIMIT. */
int trie_make(struct trie *t, const int32_t *ids, uint32_t n,
              struct str (*key_of)(const void *self, int32_t id), const void *self);
void trie_deinit(struct trie *t);

/* How many tokens end at the node itself. */
static inline uint32_t trie_n_own(const struct trie *t, const struct trie_node *n)
{
    return n->n_children ? t->nodes[n->child].token - n->token : n->n_tokens;
}

/* Set the bits of a node's first n_tokens: n->n_tokens are the whole subtree's, trie_n_own its own. */
static inline void trie_allow(const struct trie *t, const struct trie_node *n, uint32_t n_tokens,
                              uint32_t *mask)
{
    for (uint32_t i = n->token; i < n->token + n_tokens; i++)
        mask[t->tokens[i] / 32] |= UINT32_C(1) << (t->tokens[i] % 32);
}

/* The child of a node with this byte; TRIE_NONE: it has none. */
uint32_t trie_find_child(const struct trie *t, uint32_t node, uint8_t byte);
/* The node at the end of these bytes; TRIE_NONE: there is none, or no bytes. */
uint32_t trie_find(const struct trie *t, struct str bytes);

#endif
