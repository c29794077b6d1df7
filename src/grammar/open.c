/* open.c - From which places may all texts over an alphabet follow?
 *
 * All that can be reached by an alphabet is explored, byte by byte, as pairs of a place and a state of the
 * alphabet's automaton.  A step that leads nowhere says no; if nothing new comes, texts of any length may
 * follow, from every place that was met.  What was found out is kept in the places. */
#include "grammar/grammar_int.h"

#include <stdlib.h>

#define PAIRS_MAX  512
#define PAIR_SLOTS (PAIRS_MAX * 2)

struct opening {
    struct pair {
        uint32_t place;
        uint8_t state;
    } pairs[PAIRS_MAX];
    uint32_t n;
    uint16_t slots[PAIR_SLOTS]; /* open addressing: index + 1 */
};

/* Bytes of one class are one move. */
static uint32_t add_moves(const struct net *net, const struct alphabet_edge *e, struct alphabet_move *moves)
{
    bool seen[256] = {false};
    uint32_t n = 0;
    for (uint32_t b = e->lo; b <= e->hi; b++) {
        uint8_t class = net->class_of[b];
        if (!seen[class])
            moves[n++] = (struct alphabet_move){class, e->to};
        seen[class] = true;
    }
    return n;
}

int open_init(struct run *run)
{
    size_t n_most = 0;
    uint16_t n = 0;
    for (int a = 0; a < ALPHABETS; a++) {
        uint32_t n_edges;
        const struct alphabet_edge *e = alphabet_edges((enum alphabet)a, &n_edges);
        for (uint32_t i = 0; i < n_edges; i++)
            n_most += e[i].hi - e[i].lo + 1u;
    }
    run->opening = calloc(1, sizeof *run->opening);
    run->moves.moves = calloc(n_most, sizeof *run->moves.moves);
    run->bytes += sizeof *run->opening + n_most * sizeof *run->moves.moves;
    if (!run->opening || !run->moves.moves)
        return ERR_NOMEM;
    for (int a = 0; a < ALPHABETS; a++) {
        uint32_t n_edges, i = 0;
        const struct alphabet_edge *e = alphabet_edges((enum alphabet)a, &n_edges);
        for (int state = 0; state < ALPHABET_STATES; state++) {
            run->moves.first[a][state] = n;
            for (; i < n_edges && e[i].from == state; i++)
                n += (uint16_t)add_moves(run->net, &e[i], run->moves.moves + n);
        }
        run->moves.first[a][ALPHABET_STATES] = n;
    }
    return OK;
}

void open_deinit(struct run *run)
{
    free(run->opening);
    free(run->moves.moves);
}

/* False: there is no room for one more. */
static bool add_pair(struct opening *o, uint32_t place, uint8_t state)
{
    uint32_t at = (place * ALPHABET_STATES + state) * UINT32_C(2654435761) >> 16 & (PAIR_SLOTS - 1);
    for (; o->slots[at]; at = (at + 1) & (PAIR_SLOTS - 1)) {
        const struct pair *p = &o->pairs[o->slots[at] - 1];
        if (p->place == place && p->state == state)
            return true;
    }
    if (o->n == PAIRS_MAX)
        return false;
    o->pairs[o->n] = (struct pair){place, state};
    o->slots[at] = (uint16_t)++o->n;
    return true;
}

/* One more byte behind pair i.  False: some byte cannot follow, or there is no room to find out. */
static bool move(struct run *run, uint32_t i, enum alphabet a)
{
    struct opening *o = run->opening;
    struct pair from = o->pairs[i];
    uint32_t end = run->moves.first[a][from.state + 1];
    for (uint32_t m = run->moves.first[a][from.state]; m < end; m++) {
        struct alphabet_move move = run->moves.moves[m];
        uint32_t to = run_step(run, from.place, run->net->class_byte[move.class]);
        if (to == PLACE_DEAD || !add_pair(o, to, move.to))
            return false;
    }
    return true;
}

bool open_is_to(struct run *run, uint32_t place, enum alphabet a, uint32_t n_bytes)
{
    struct opening *o = run->opening;
    struct place *p = &run->places[place];
    if (n_bytes <= p->open[a] || p->open[a] == OPEN_ENDLESS)
        return true;
    if ((p->shut[a] && n_bytes >= p->shut[a]) || n_bytes >= OPEN_ENDLESS)
        return false;
    o->n = 0;
    memset(o->slots, 0, sizeof o->slots);
    add_pair(o, place, 0);
    for (uint32_t n = 1, done = 0; n <= n_bytes; n++) {
        uint32_t end = o->n;
        for (; done < end; done++)
            if (!move(run, done, a)) {
                p->open[a] = (uint8_t)(n - 1);
                if (!run->is_full)
                    p->shut[a] = (uint8_t)n;
                return false;
            }
        if (o->n == end) {
            for (uint32_t i = 0; i < end; i++)
                if (o->pairs[i].state == 0)
                    run->places[o->pairs[i].place].open[a] = OPEN_ENDLESS;
            return true;
        }
    }
    p->open[a] = (uint8_t)n_bytes;
    return true;
}
