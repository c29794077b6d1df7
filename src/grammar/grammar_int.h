/* grammar_int.h - A compiled grammar, and the machine that follows it.
 *
 * A position in a text is a set of readings.  A reading is a node of the net and a stack of calls
 * and loops under way.  Stacks are lists from the top down that share their tails; equal ones are one
 * and have one number, and so have equal sets of readings ("places").  What a place becomes by a
 * byte is found once and kept in a row of its own, and so is its mask.
 *
 * All this lies in pools of a fixed size.  When one is full, run_collect forgets every place that
 * no state is at.  Owner of the pools: the thread that works with the grammar's states. */
#ifndef GRAMMAR_GRAMMAR_INT_H
#define GRAMMAR_GRAMMAR_INT_H

#include <stdatomic.h>

#include "grammar/grammar.h"
#include "grammar/names.h"
#include "grammar/net.h"
#include "grammar/vocab_int.h"

#define PLACE_DEAD    0u /* no reading: the text cannot go on */
#define PLACE_UNKNOWN UINT32_MAX

#define PLAIN_ALL UINT32_MAX

#define OPEN_ENDLESS 255

#define FEW_MAX 32         /* tokens of a mask that is kept as a list */
#define FEW_CAP (1u << 15) /* of all lists */

/* A call (node: where to go on) or a loop (node: the loop, count > 0) under way. */
struct frame {
    uint32_t below; /* 0: bottom */
    uint32_t node;
    uint32_t count;
    uint32_t weight; /* of all frames down to the bottom */
};

struct reading {
    uint32_t node; /* BYTES or ACCEPT */
    uint32_t stack;
};

struct place {
    uint32_t first, n; /* readings */
    uint32_t row;      /* 0: none yet */
    uint32_t mask;     /* slot + 1; 0: none */
    uint32_t few;      /* instead of a mask its tokens, if they are few: index into run->few; 0: none */
    uint32_t hash;
    uint32_t n_plain; /* so many characters of net_byte_is_plain may follow, at least */
    bool may_end;
    bool is_json; /* the next byte belongs to JSON, by all readings */
    /* All texts of so many bytes over an alphabet may follow (OPEN_ENDLESS: of any length), or beginnings of
     * them; not all of so many bytes (0: not known). */
    uint8_t open[ALPHABETS], shut[ALPHABETS];
};

/* The edges of the alphabets by classes of bytes: those of state s are [first[a][s], first[a][s + 1]). */
struct alphabet_moves {
    uint16_t first[ALPHABETS][ALPHABET_STATES + 1];
    struct alphabet_move {
        uint8_t class, to;
    } * moves;
};

/* Open addressing; 0: empty, else index + 1. */
struct table {
    uint32_t *slots;
    uint32_t n_slots; /* a power of two */
};

struct mask_slot {
    uint32_t place; /* PLACE_DEAD: free */
    int32_t n_allowed;
};

struct visit {
    uint32_t node, stack, stamp;
};

struct pending {
    uint32_t node, stack, n_fresh;
};

/* Nodes side by side that are left to look at, and the place before them. */
struct level {
    uint32_t at, end, place;
};

struct run {
    const struct net *net;
    const struct grammar_vocab *vocab; /* or NULL */
    struct grammar_state *states;      /* those that have begun */

    struct frame *frames;
    uint32_t n_frames, frames_cap;
    struct table frame_table;
    struct reading *readings;
    uint32_t n_readings, readings_cap;
    struct place *places;
    uint32_t n_places, places_cap;
    struct table place_table;
    uint32_t *rows; /* n_classes places each */
    uint32_t n_rows, rows_cap;
    uint32_t *masks;
    struct mask_slot *mask_slots;
    uint32_t n_masks, next_mask;
    int32_t *few; /* lists of tokens, each behind its length */
    uint32_t n_few;

    uint32_t start; /* place, or PLACE_UNKNOWN */
    bool is_full;   /* something found no room */

    struct alphabet_moves moves;

    /* Work memory. */
    struct opening *opening; /* open.c */
    struct visit *visits;
    uint32_t stamp;
    struct pending *pending;
    struct reading *found;
    uint32_t n_found, found_plain;
    bool found_end;
    struct level *levels; /* of a walk through a trie */
    uint32_t *remap;
    size_t bytes; /* of all of this */
};

struct grammar {
    _Atomic int n_holds;
    struct net net;
    const struct grammar_vocab *vocab;
    struct run run;
};

struct grammar_state {
    struct grammar *grammar;
    struct grammar_state *prev, *next; /* among run.states, once it has begun */
    uint32_t place;                    /* PLACE_UNKNOWN: not begun */
    bool has_ended;                    /* an end token was accepted */
    struct names *names;               /* NULL: the grammar has no free names */
    struct names *ahead;               /* work memory beside it */
};

int run_init(struct run *run, const struct net *net, const struct grammar_vocab *vocab); /* ERR_NOMEM */
void run_deinit(struct run *run);

/* The place at the beginning of a text. */
uint32_t run_start(struct run *run);
/* The place behind one more byte; PLACE_DEAD if it cannot follow. */
uint32_t run_find_next(struct run *run, uint32_t place, uint8_t class);
static inline uint32_t run_step(struct run *run, uint32_t place, uint8_t byte)
{
    uint8_t class = run->net->class_of[byte];
    uint32_t row = run->places[place].row;
    if (row) {
        uint32_t to = run->rows[(size_t)row * run->net->n_classes + class];
        if (to != PLACE_UNKNOWN)
            return to;
    }
    return run_find_next(run, place, class);
}

/* Forget all places but those of states and `keep`; returns the new number of `keep`. */
uint32_t run_collect(struct run *run, uint32_t keep);

/* open.c.  ERR_NOMEM; *bytes grows by what it took. */
int open_init(struct run *run);
void open_deinit(struct run *run);
/* May all texts of n_bytes over the alphabet follow?  False also where that is not found out. */
bool open_is_to(struct run *run, uint32_t place, enum alphabet a, uint32_t n_bytes);

/* mask.c.  The mask of a place, computed if it is not kept; valid until the next call. */
struct mask_view {
    const uint32_t *bits; /* n_words; or NULL: */
    const int32_t *few;   /* the allowed tokens */
    int32_t n_allowed;
    int32_t only; /* the token, if n_allowed is 1, else -1 */
};
struct mask_view mask_of_place(struct run *run, uint32_t *place);
/* Write it out. */
void mask_write(const struct run *run, struct mask_view m, uint32_t *allowed);

#endif
