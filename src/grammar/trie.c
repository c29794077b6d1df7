/* trie.c - See the header. */
#include "grammar/trie.h"

#include <stdlib.h>

#include "base/err.h"

struct maker {
    struct trie *t;
    struct str (*key_of)(const void *self, int32_t id);
    const void *self;
    struct pending {
        uint32_t node, depth;
    } * pending; /* nodes without their children yet */
    uint32_t n_pending;
};

static size_t count_nodes(const struct maker *m, const int32_t *ids, uint32_t n)
{
    size_t n_nodes = 1;
    struct str last = S("");
    for (uint32_t i = 0; i < n; i++) {
        struct str key = m->key_of(m->self, ids[i]);
        size_t same = 0;
        while (same < key.n && same < last.n && key.p[same] == last.p[same])
            same++;
        n_nodes += key.n - same;
        last = key;
    }
    return n_nodes;
}

/* The tokens of a node's subtree that are longer than its depth, cut where their next byte changes. */
static void make_children(struct maker *m, struct pending at)
{
    struct trie *t = m->t;
    struct trie_node *node = &t->nodes[at.node];
    uint32_t i = node->token, end = node->token + node->n_tokens;
    while (i < end && m->key_of(m->self, t->tokens[i]).n == at.depth)
        i++;
    node->child = t->n;
    while (i < end) {
        uint8_t byte = (uint8_t)m->key_of(m->self, t->tokens[i]).p[at.depth];
        struct trie_node *child = &t->nodes[t->n++];
        *child = (struct trie_node){.token = i, .byte = byte};
        while (i < end && (uint8_t)m->key_of(m->self, t->tokens[i]).p[at.depth] == byte)
            i++;
        child->n_tokens = i - child->token;
        node->n_children++;
    }
    for (uint32_t c = node->n_children; c-- > 0;) /* the first child's children come next in memory */
        m->pending[m->n_pending++] = (struct pending){node->child + c, at.depth + 1};
    if (at.depth > t->depth)
        t->depth = at.depth;
}

int trie_make(struct trie *t, const int32_t *ids, uint32_t n,
              struct str (*key_of)(const void *self, int32_t id), const void *self)
{
    struct maker m = {.t = t, .key_of = key_of, .self = self};
    size_t n_nodes = count_nodes(&m, ids, n);
    *t = (struct trie){0};
    if (n_nodes > UINT32_MAX / 2)
        return ERR_LIMIT;
    t->nodes = calloc(n_nodes, sizeof *t->nodes);
    t->tokens = malloc(((size_t)n + 1) * sizeof *t->tokens);
    m.pending = malloc(n_nodes * sizeof *m.pending);
    if (!t->nodes || !t->tokens || !m.pending) {
        free(m.pending);
        trie_deinit(t);
        return ERR_NOMEM;
    }
    memcpy(t->tokens, ids, n * sizeof *ids);
    t->nodes[TRIE_ROOT].n_tokens = n;
    t->n = 1;
    m.pending[m.n_pending++] = (struct pending){TRIE_ROOT, 0};
    while (m.n_pending > 0)
        make_children(&m, m.pending[--m.n_pending]);
    free(m.pending);
    for (uint32_t i = t->n; i-- > 0;)
        for (uint32_t c = 0; c < t->nodes[i].n_children; c++) {
            uint8_t below = t->nodes[t->nodes[i].child + c].n_below;
            if (t->nodes[i].n_below <= below)
                t->nodes[i].n_below = below < 255 ? below + 1 : 255;
        }
    return OK;
}

void trie_deinit(struct trie *t)
{
    free(t->nodes);
    free(t->tokens);
    *t = (struct trie){0};
}

uint32_t trie_find_child(const struct trie *t, uint32_t node, uint8_t byte)
{
    const struct trie_node *n = &t->nodes[node];
    for (uint32_t c = n->child; c < n->child + n->n_children; c++)
        if (t->nodes[c].byte == byte)
            return c;
    return TRIE_NONE;
}

uint32_t trie_find(const struct trie *t, struct str bytes)
{
    uint32_t at = TRIE_ROOT;
    for (size_t i = 0; i < bytes.n; i++) {
        at = trie_find_child(t, at, (uint8_t)bytes.p[i]);
        if (at == TRIE_NONE)
            return TRIE_NONE;
    }
    return at;
}
