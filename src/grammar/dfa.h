/* dfa.h - Deterministic automata over characters (code points), made whole before they are used.
 *
 * Patterns, formats, lengths, numbers in a range and sets of words all become one of these; they can be
 * intersected and subtracted, and end as nodes of the net, where characters become bytes.
 *
 * Characters that an automaton treats alike form one symbol, an interval of code points.  Every
 * state of a finished automaton lies on a way to an accepting one, except state 0, the start, of
 * an automaton that accepts nothing.  Functions return NULL when a limit is passed; dfa_room.code
 * says which. */
#ifndef GRAMMAR_DFA_H
#define GRAMMAR_DFA_H

#include "base/arena.h"
#include "grammar/net.h"

#define DFA_NONE     UINT32_MAX
#define DFA_CHAR_MAX 0x10ffffu

/* Where automata are made: memory and limits of one compilation. */
struct dfa_room {
    struct arena *arena;
    struct net *net;     /* for its deadline */
    uint32_t states_max; /* of one automaton */
    int code;            /* OK, ERR_LIMIT or ERR_NOMEM */
};

struct dfa {
    uint32_t n_states, n_symbols;
    uint32_t *first;  /* [n_symbols] the first character of each symbol; first[0] is 0 */
    uint32_t *next;   /* [n_states][n_symbols], DFA_NONE: no way */
    uint8_t *accepts; /* [n_states] */
};

/* A set of characters: sorted, disjoint and not adjacent. */
struct range {
    uint32_t lo, hi;
};
struct charset {
    struct range *ranges;
    uint32_t n;
};

/* A machine that is explored from its start state: every state it comes to becomes one of the
 * automaton. */
struct dfa_key {
    uint32_t v[6];
};
struct dfa_machine {
    const void *self;
    struct dfa_key start;
    const uint32_t *first;
    uint32_t n_symbols;
    bool (*step)(const void *self, const struct dfa_key *from, uint32_t symbol, struct dfa_key *to);
    bool (*accepts)(const void *self, const struct dfa_key *at);
};
struct dfa *dfa_explore(struct dfa_room *room, const struct dfa_machine *m);

struct dfa *dfa_and(struct dfa_room *room, const struct dfa *a, const struct dfa *b);
struct dfa *dfa_minus(struct dfa_room *room, const struct dfa *a, const struct dfa *b);
/* All texts of min to max (NET_NO_MAX) characters. */
struct dfa *dfa_lengths(struct dfa_room *room, uint32_t min, uint32_t max);
/* Exactly these texts (UTF-8). */
struct dfa *dfa_words(struct dfa_room *room, const struct str *words, uint32_t n_words);

bool dfa_is_nothing(const struct dfa *d);
bool dfa_accepts(const struct dfa *d, struct str text);
/* For every state the fewest and the most characters that can follow it (NET_NO_MAX: without end), in
 * arrays of n_states.  False without memory. */
bool dfa_find_rests(struct dfa_room *room, const struct dfa *d, uint32_t *least, uint32_t *most);

/* Forget states that lead nowhere. */
struct dfa *dfa_trim(struct dfa_room *room, struct dfa *d);

enum dfa_spelling {
    DFA_PLAIN, /* UTF-8 */
    DFA_JSON   /* inside a JSON string, with the fewest escapes, as JSON.stringify writes */
};
/* The automaton as nodes: its texts, then next. */
uint32_t dfa_to_net(struct dfa_room *room, const struct dfa *d, enum dfa_spelling spelling, uint32_t next);
/* Of its texts those with min to max characters, counted while they are followed, so that no product of
 * the automaton with the lengths is made.  False: *node is not set, because from some state on the
 * possible lengths have gaps as large as max - min (or a limit was passed: see room->code); then dfa_and with
 * dfa_lengths helps. */
bool dfa_to_net_counted(struct dfa_room *room, const struct dfa *d, enum dfa_spelling spelling, uint32_t min,
                        uint32_t max, uint32_t next, uint32_t *node);

/* Next character of UTF-8 text at *at (which must be well-formed). */
uint32_t dfa_next_char(struct str s, size_t *at);

#endif
