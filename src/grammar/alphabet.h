/* alphabet.h - Five sets of characters of which nearly all tokens of a vocabulary consist.
 *
 * Patterns rarely tell such characters apart for long, so that from most places all texts over an alphabet
 * may follow, or only short ones.  Where that is known the tokens of the alphabet need no walk (mask.c).
 * A text over an alphabet is read by a small automaton over bytes, which begins and ends in state 0. */
#ifndef GRAMMAR_ALPHABET_H
#define GRAMMAR_ALPHABET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum alphabet {
    ALPHABET_LOWER,   /* a to z */
    ALPHABET_LETTERS, /* A to Z, a to z */
    ALPHABET_SCRIPTS, /* these, and letters of other scripts: most of Latin, Greek, Cyrillic, Chinese, ... */
    ALPHABET_WIDE,    /* characters of several bytes but spaces and most punctuation, and A to Z, a to z */
    ALPHABET_SYMBOLS, /* all of ASCII but control characters, space, '"' and '\\' */
    ALPHABETS
};

#define ALPHABET_STATES 20

/* In state `from` the bytes lo to hi lead to state `to`. */
struct alphabet_edge {
    uint8_t from, lo, hi, to;
};
/* The edges of an alphabet, sorted by their state and disjoint; *n: how many. */
const struct alphabet_edge *alphabet_edges(enum alphabet a, uint32_t *n);

/* Is it one or more whole characters of the alphabet? */
bool alphabet_has(enum alphabet a, struct str s);

#endif
