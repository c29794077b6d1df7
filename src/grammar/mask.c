/* mask.c - Which tokens may follow: walk the trie of the vocabulary with the automaton.
 *
 * A subtree whose first byte cannot follow is skipped as a whole.  Inside a JSON string nearly
 * everything may follow, so there the mask begins with the tokens that are plain characters, which
 * need no walk, and only the trie of the others is walked. */
#include "grammar/grammar_int.h"

static void allow(const struct grammar_vocab *v, uint32_t *mask, int32_t token)
{
    for (; token >= 0; token = v->same[token])
        mask[token / 32] |= UINT32_C(1) << (token % 32);
}

/* False when the pools became full on the way. */
static bool walk(struct run *run, uint32_t place, const struct trie *t, uint32_t *mask)
{
    run->path[0] = place;
    for (uint32_t i = 0; i < t->n;) {
        const struct trie_node *n = &t->nodes[i];
        uint32_t to = run_step(run, run->path[n->depth - 1], n->byte);
        if (to == PLACE_DEAD) {
            if (run->is_full)
                return false;
            i = n->next;
            continue;
        }
        run->path[n->depth] = to;
        if (n->token >= 0)
            allow(run->vocab, mask, n->token);
        i++;
    }
    return !run->is_full;
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
    return walk(run, place, n_plain == VOCAB_PLAIN_CHARS ? &v->rest : &v->all, mask);
}

static void count(const struct grammar_vocab *v, const uint32_t *mask, struct mask_slot *slot)
{
    slot->n_allowed = 0;
    slot->only = -1;
    for (uint32_t w = 0; w < v->n_words; w++) {
        if (mask[w] && slot->only < 0)
            slot->only = (int32_t)(w * 32) + __builtin_ctz(mask[w]);
        slot->n_allowed += __builtin_popcount(mask[w]);
    }
    if (slot->n_allowed != 1)
        slot->only = -1;
}

uint32_t mask_of_place(struct run *run, uint32_t *place)
{
    if (run->places[*place].mask)
        return run->places[*place].mask - 1;

    uint32_t slot = run->next_mask;
    run->next_mask = (slot + 1) % run->n_masks;
    if (run->mask_slots[slot].place != PLACE_DEAD)
        run->places[run->mask_slots[slot].place].mask = 0;
    uint32_t *mask = run->masks + (size_t)slot * run->vocab->n_words;
    if (!compute(run, *place, mask)) {
        *place = run_collect(run, *place);
        compute(run, *place, mask); /* if that is not enough, the mask is smaller than it could be */
        run->is_full = false;
    }
    run->mask_slots[slot].place = *place;
    run->places[*place].mask = slot + 1;
    count(run->vocab, mask, &run->mask_slots[slot]);
    return slot;
}
