/* names.h - The names of the objects that are open in a JSON text, so that none comes twice.
 *
 * Names that a schema does not say are free, and no automaton of a bounded size knows which of them were
 * used.  So this follows the text beside the automaton, as far as it is JSON: which objects are open, their
 * names so far, and the one that is being written.  Names are compared as they are spelled, which the
 * automaton keeps unique.  Past NAMES_BYTES_MAX, or deeper than NAMES_DEPTH_MAX, it goes blind and refuses
 * nothing more.  Owner: a state. */
#ifndef GRAMMAR_NAMES_H
#define GRAMMAR_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define NAMES_BYTES_MAX 8192
#define NAMES_DEPTH_MAX 128

enum names_mode { NAMES_OUTSIDE, NAMES_BETWEEN, NAMES_IN_NAME, NAMES_IN_TEXT };

struct names {
    uint8_t mode;
    bool is_escaped; /* the byte before was a backslash that counts */
    bool wants_name; /* the next string is a name */
    bool is_blind;
    uint16_t depth;
    uint16_t n_used; /* bytes of finished names: each is its length in two bytes, then itself */
    uint16_t n_open; /* bytes behind them: the name being written */
    uint16_t first[NAMES_DEPTH_MAX]; /* where the names of each open container begin */
    uint16_t is_object[NAMES_DEPTH_MAX];
    char bytes[NAMES_BYTES_MAX];
};

void names_init(struct names *n);
/* The byte follows; is_json: it belongs to JSON.  False: it ends a name that was there already. */
bool names_step(struct names *n, uint8_t byte, bool is_json);
void names_copy(struct names *to, const struct names *from);

#define NAMES_FIRST UINT32_MAX
/* The names of the innermost object: start with *at = NAMES_FIRST; false: no more. */
bool names_next(const struct names *n, uint32_t *at, struct str *name);
/* The part of a name that was written; p == NULL: none is being written. */
struct str names_open(const struct names *n);

#endif
