/* prefix.h - Find pages that earlier prompts filled with the tokens of this one.
 *
 * A radix tree over token ids whose edges are full pages: a node is one page, its key is its
 * parent and its page_tokens tokens, so a path from the root is a prompt.  What a page holds
 * depends on nothing but the tokens on its path (the numerics promise), therefore any sequence may
 * read it.  Pages in the tree are never written again.
 *
 * The tree is one holder (kv.h) of each of its pages.  A page that only the tree holds is idle; idle
 * pages without children are given up least recently used first, by prefix_evict.
 *
 * Memory: all of it is taken by prefix_init.  Owner: the engine thread. */
#ifndef ENGINE_PREFIX_H
#define ENGINE_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/kv.h"

struct prefix {
    struct kv *kv;
    int32_t *tokens; /* [n_pages][page_tokens]: a node has the number of its page */
    int32_t *parent; /* page, or KV_NONE below the root */
    int32_t *n_children;
    uint64_t *used;           /* when it was last let go, by `clock` */
    uint64_t *born;           /* when it became a node, by `clock`: tells it from what the page was before */
    int32_t *hash_next;       /* chain of a hash bucket */
    int32_t *child;           /* the youngest, or KV_NONE; [n_pages]: the youngest below the root */
    int32_t *older, *younger; /* its siblings */
    int32_t *buckets;
    int32_t *heap;    /* idle leaves, least recently used on top */
    int32_t *heap_at; /* place in the heap, -1: not there */
    bool *is_node;
    int32_t n_buckets; /* power of two */
    int32_t n_heap;
    int32_t n_idle; /* pages that only the tree holds: what eviction can give in the end */
    int32_t n_nodes;
    uint64_t clock;
    uint64_t seed; /* of the hash: strangers choose the tokens */
};

int prefix_init(struct prefix *p, struct kv *kv, struct err *err);
void prefix_deinit(struct prefix *p);

/* The longest known path for tokens[n_tokens], in whole pages, written to pages[] (room for
 * n_tokens / page_tokens).  Returns their number and, in *n_idle (may be NULL), how many of them
 * are idle now.  Changes nothing. */
int32_t prefix_find(const struct prefix *p, const int32_t *tokens, int64_t n_tokens, int32_t *pages,
                    int32_t *n_idle);

/* Of the pages that follow `parent` (a node, or KV_NONE), the one that begins with most of tokens[n_tokens],
 * which *n_common says; KV_NONE if there is none.  Only the youngest PREFIX_LOOK are looked at.  The
 * caller may copy that part into a page of his own. */
#define PREFIX_LOOK 16
int32_t prefix_find_part(const struct prefix *p, int32_t parent, const int32_t *tokens, int64_t n_tokens,
                         int32_t *n_common);

/* Become a holder of a page of the tree, or stop being a holder of any page. */
void prefix_hold(struct prefix *p, int32_t page);
void prefix_release(struct prefix *p, int32_t page);

/* The caller holds `page`, which is full with tokens[page_tokens] and follows `parent` (a node, or
 * KV_NONE for the first page of a prompt).  Make it a node.  If that node exists already, the caller
 * now holds its page instead and `page` is released.  Returns the page to go on with. */
int32_t prefix_insert(struct prefix *p, int32_t parent, const int32_t *tokens, int32_t page);

/* Give up idle pages until at least n_free pages of the pool are free.  False if there are too few
 * (then all idle ones are gone). */
bool prefix_evict(struct prefix *p, int32_t n_free);

/* Pages that can be had: free ones and idle ones. */
static inline int32_t prefix_available(const struct prefix *p)
{
    return p->kv->n_free + p->n_idle;
}

#endif
