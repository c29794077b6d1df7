/* free_text.c - Any text in which none of some words occurs (Aho and Corasick's automaton).
 *
 * Its states are the beginnings of the words: the longest one that the text so far ends with.  A byte
 * that would complete a word has no way. */
#include <stdlib.h>

#include "grammar/compile_int.h"

#define WORD_BYTES_MAX 4096 /* of all words */
#define BYTE_MAX       0xf7 /* above: no UTF-8, and the marks of control tokens */

struct words {
    uint16_t (*to)[256]; /* by byte; 0: the root */
    uint16_t *fail;
    bool *is_word; /* a word ends here, or at a state of its fail chain */
    uint16_t *queue;
    uint32_t n;
};

static void add_word(struct words *w, struct str s)
{
    uint16_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint16_t *to = &w->to[at][(uint8_t)s.p[i]];
        if (*to == 0)
            *to = (uint16_t)w->n++;
        at = *to;
    }
    w->is_word[at] = true;
}

/* Breadth first: the fail state of a state is one whose ways are complete already. */
static void link_words(struct words *w)
{
    uint32_t n_queue = 0;
    for (int b = 0; b < 256; b++)
        if (w->to[0][b])
            w->queue[n_queue++] = w->to[0][b];
    for (uint32_t i = 0; i < n_queue; i++) {
        uint16_t s = w->queue[i], f = w->fail[s];
        w->is_word[s] |= w->is_word[f];
        for (int b = 0; b < 256; b++) {
            uint16_t to = w->to[s][b];
            if (to) {
                w->fail[to] = w->to[f][b];
                w->queue[n_queue++] = to;
            } else {
                w->to[s][b] = w->to[f][b];
            }
        }
    }
}

static uint32_t make_nodes(struct net *net, const struct words *w, uint32_t next)
{
    uint32_t first = net->n_nodes;
    for (uint32_t s = 0; s < w->n; s++)
        net_jump(net); /* the jump of state s is node first + s */
    for (uint32_t s = 0; s < w->n && net_is_good(net); s++) {
        struct net_edge edges[BYTE_MAX + 1];
        for (uint32_t b = 0; b <= BYTE_MAX; b++) {
            uint32_t to = w->to[s][b];
            edges[b] = (struct net_edge){(uint8_t)b, (uint8_t)b, w->is_word[to] ? NET_NOTHING : first + to};
        }
        net_set_jump(net, first + s, net_either(net, next, net_bytes(net, edges, BYTE_MAX + 1)));
    }
    return net->is_bad ? NET_NOTHING : first;
}

uint32_t compile_free_text(struct compiler *c, const struct str *words, size_t n_words, uint32_t next)
{
    size_t n = 1;
    for (size_t i = 0; i < n_words; i++) {
        n += words[i].n;
        if (words[i].n == 0) {
            compile_fail(c, ERR_ARG, S(""), "free text cannot be without the empty word");
            return NET_NOTHING;
        }
        if (n > WORD_BYTES_MAX) {
            compile_fail(c, ERR_LIMIT, S(""),
                         "the words that free text must not have are longer than %d bytes", WORD_BYTES_MAX);
            return NET_NOTHING;
        }
    }
    struct words w = {.n = 1};
    w.to = calloc(n, sizeof *w.to);
    w.fail = calloc(n, sizeof *w.fail);
    w.is_word = calloc(n, sizeof *w.is_word);
    w.queue = calloc(n, sizeof *w.queue);
    uint32_t node = NET_NOTHING;
    if (w.to && w.fail && w.is_word && w.queue) {
        for (size_t i = 0; i < n_words; i++)
            add_word(&w, words[i]);
        link_words(&w);
        node = make_nodes(&c->net, &w, next);
    } else {
        compile_fail(c, ERR_NOMEM, S(""), "no memory for a grammar");
    }
    free(w.to);
    free(w.fail);
    free(w.is_word);
    free(w.queue);
    return node;
}
