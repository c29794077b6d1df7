/* mask.c - Which tokens may follow: walk the trie of the vocabulary with the automaton.
 *
 * A subtree whose first byte cannot follow is skipped as a whole.  Inside a free JSON string nearly
 * everything may follow, so there the mask begins with the tokens that are plain characters, which
 * need no walk, and only the trie of the others is walked.  Anywhere else groups of tokens over one alphabet,
 * or subtrees of them, are taken as a whole where open_is_to says that all texts over it may follow. */
#include "grammar/grammar_int.h"

#define SUBTREE_MIN 8 /* tokens: those of smaller subtrees are walked at once */

/* Walk t, tokens over an alphabet (ALPHABETS: any), but the subtree of node `skip`.  False when the pools
 * became full on the way. */
static bool walk(struct run *run, uint32_t place, const struct trie *t, uint32_t skip, enum alphabet a,
                 uint32_t *mask)
{
    struct level *l = run->levels;
    *l = (struct level){t->nodes[TRIE_ROOT].child, t->nodes[TRIE_ROOT].child + t->nodes[TRIE_ROOT].n_children,
                        place};
    for (;;) {
        if (l->at == l->end) {
            if (l == run->levels)
                return !run->is_full;
            l--;
            continue;
        }
        uint32_t at = l->at++;
        const struct trie_node *n = &t->nodes[at];
        uint32_t to = at == skip ? PLACE_DEAD : run_step(run, l->place, n->byte);
        if (to == PLACE_DEAD) {
            if (run->is_full)
                return false;
            continue;
        }
        if (a < ALPHABETS && n->n_tokens >= SUBTREE_MIN && open_is_to(run, to, a, n->n_below)) {
            trie_allow(t, n, n->n_tokens, mask);
            continue;
        }
        trie_allow(t, n, trie_n_own(t, n), mask);
        if (n->n_children > 0)
            *++l = (struct level){n->child, n->child + n->n_children, to};
    }
}

static void allow_bits(const struct run *run, const uint32_t *bits, uint32_t *mask)
{
    for (uint32_t w = 0; w < run->vocab->n_words; w++)
        mask[w] |= bits[w];
}

static bool walk_group(struct run *run, uint32_t place, enum alphabet a, uint32_t *mask)
{
    const struct vocab_group *g = &run->vocab->groups[a];
    uint32_t skip = TRIE_NONE;
    if (open_is_to(run, place, a, g->bare.nodes[TRIE_ROOT].n_below))
        allow_bits(run, g->bare_bits, mask);
    else if (!walk(run, place, &g->bare, TRIE_NONE, a, mask))
        return false;
    if (g->space != TRIE_NONE) {
        uint32_t to = run_step(run, place, ' ');
        if (to == PLACE_DEAD && run->is_full)
            return false;
        if (to != PLACE_DEAD && open_is_to(run, to, a, g->led.nodes[g->space].n_below)) {
            allow_bits(run, g->spaced_bits, mask);
            skip = g->space;
        }
    }
    return walk(run, place, &g->led, skip, a, mask);
}

static bool compute(struct run *run, uint32_t place, uint32_t *mask)
{
    const struct grammar_vocab *v = run->vocab;
    const struct place *p = &run->places[place];
    uint32_t n_plain = p->n_plain < VOCAB_PLAIN_CHARS ? p->n_plain : VOCAB_PLAIN_CHARS;

    if (n_plain > 0)
        memcpy(mask, v->plain[n_plain - 1], v->n_words * sizeof *mask);
    else
        memset(mask, 0, v->n_words * sizeof *mask);
    for (int32_t i = 0; p->may_end && i < v->n_ends; i++)
        mask[v->ends[i] / 32] |= UINT32_C(1) << (v->ends[i] % 32);
    if (n_plain == VOCAB_PLAIN_CHARS)
        return walk(run, place, &v->rest, TRIE_NONE, ALPHABETS, mask);
    bool is_whole = true;
    for (int a = 0; a < ALPHABETS && is_whole; a++)
        is_whole = walk_group(run, place, (enum alphabet)a, mask);
    return is_whole && walk(run, place, &v->others, TRIE_NONE, ALPHABETS, mask);
}

static int32_t count(const struct grammar_vocab *v, const uint32_t *mask)
{
    uint64_t n = 0; /* bits are added up in pairs, fours, eights, then all: most builds have no popcount */
    for (uint32_t w = 0; w < v->n_words; w++) {
        uint32_t x = mask[w] - (mask[w] >> 1 & 0x55555555u);
        x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
        n += ((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
    }
    return (int32_t)n;
}

/* Most places inside of JSON allow very few tokens: a list of them takes no slot. */
static bool keep_few(struct run *run, struct place *p, const uint32_t *mask, int32_t n_allowed)
{
    if (n_allowed > FEW_MAX)
        return false;
    if (run->n_few + (uint32_t)n_allowed + 1 > FEW_CAP) { /* forget the lists: they are made again by need */
        for (uint32_t i = 1; i < run->n_places; i++)
            run->places[i].few = 0;
        run->n_few = 1;
    }
    p->few = run->n_few;
    run->few[run->n_few++] = n_allowed;
    for (uint32_t w = 0; w < run->vocab->n_words; w++)
        for (uint32_t bits = mask[w]; bits; bits &= bits - 1)
            run->few[run->n_few++] = (int32_t)(w * 32) + __builtin_ctz(bits);
    return true;
}

static struct mask_view view(const struct run *run, const struct place *p)
{
    if (p->few) {
        const int32_t *few = run->few + p->few;
        return (struct mask_view){NULL, few + 1, few[0], few[0] == 1 ? few[1] : -1};
    }
    uint32_t slot = p->mask - 1;
    return (struct mask_view){run->masks + (size_t)slot * run->vocab->n_words, NULL,
                              run->mask_slots[slot].n_allowed, -1}; /* a single one is in a list */
}

struct mask_view mask_of_place(struct run *run, uint32_t *place)
{
    if (run->places[*place].mask || run->places[*place].few)
        return view(run, &run->places[*place]);

    uint32_t slot = run->next_mask;
    if (run->mask_slots[slot].place != PLACE_DEAD)
        run->places[run->mask_slots[slot].place].mask = 0;
    run->mask_slots[slot].place = PLACE_DEAD;
    uint32_t *mask = run->masks + (size_t)slot * run->vocab->n_words;
    if (!compute(run, *place, mask)) {
        *place = run_collect(run, *place);
        compute(run, *place, mask); /* if that is not enough, the mask is smaller than it could be */
        run->is_full = false;
    }
    struct place *p = &run->places[*place];
    int32_t n_allowed = count(run->vocab, mask);
    if (!keep_few(run, p, mask, n_allowed)) {
        run->next_mask = (slot + 1) % run->n_masks;
        run->mask_slots[slot] = (struct mask_slot){*place, n_allowed};
        p->mask = slot + 1;
    }
    return view(run, p);
}

void mask_write(const struct run *run, struct mask_view m, uint32_t *allowed)
{
    size_t n_bytes = run->vocab->n_words * sizeof *allowed;
    if (m.bits) {
        memcpy(allowed, m.bits, n_bytes);
        return;
    }
    memset(allowed, 0, n_bytes);
    for (int32_t i = 0; i < m.n_allowed; i++)
        allowed[m.few[i] / 32] |= UINT32_C(1) << (m.few[i] % 32);
}
