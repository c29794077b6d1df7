/* words.c - See the header.  The words become a trie, and its nodes those of the net, children first. */
#include "grammar/words.h"

#include <stdlib.h>

#include "grammar/trie.h"

static int compare(const void *a, const void *b, void *words)
{
    const struct str *w = words;
    return str_cmp(w[*(const int32_t *)a], w[*(const int32_t *)b]);
}

static struct str key_of(const void *words, int32_t id)
{
    return ((const struct str *)words)[id];
}

static uint32_t lower(struct net *net, const struct trie *t, uint32_t *nodes, uint32_t next)
{
    struct net_edge edges[256];
    for (uint32_t i = t->n; i-- > 0 && !net->is_bad;) {
        const struct trie_node *n = &t->nodes[i];
        for (uint32_t c = 0; c < n->n_children; c++) {
            uint8_t byte = t->nodes[n->child + c].byte;
            edges[c] = (struct net_edge){byte, byte, nodes[n->child + c]};
        }
        nodes[i] = net_bytes(net, edges, n->n_children);
        if (trie_n_own(t, n) > 0)
            nodes[i] = net_either(net, next, nodes[i]);
    }
    return net->is_bad ? NET_NOTHING : nodes[TRIE_ROOT];
}

uint32_t words_to_net(struct dfa_room *room, const struct str *words, uint32_t n, uint32_t next)
{
    struct trie trie = {0};
    uint32_t node = NET_NOTHING, *nodes = NULL;
    int32_t *ids = n > 0 && next != NET_NOTHING ? malloc(n * sizeof *ids) : NULL;
    if (n == 0 || next == NET_NOTHING)
        return NET_NOTHING;
    for (uint32_t i = 0; ids && i < n; i++)
        ids[i] = (int32_t)i;
    if (ids)
        qsort_r(ids, n, sizeof *ids, compare, (void *)words);
    int rc = ids ? trie_make(&trie, ids, n, key_of, words) : ERR_NOMEM;
    if (rc == OK && (nodes = calloc(trie.n, sizeof *nodes)))
        node = lower(room->net, &trie, nodes, next);
    else
        room->code = rc == OK ? ERR_NOMEM : rc;
    free(nodes);
    free(ids);
    trie_deinit(&trie);
    return node;
}
