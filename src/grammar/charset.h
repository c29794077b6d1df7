/* charset.h - Sets of characters for patterns: built range by range, then put in order.
 *
 * All memory is an arena's; a set that found no room is `failed`, which the user asks once. */
#ifndef GRAMMAR_CHARSET_H
#define GRAMMAR_CHARSET_H

#include "base/arena.h"
#include "grammar/dfa.h"

struct charset_builder {
    struct arena *arena;
    struct range *ranges;
    uint32_t n, cap;
    bool failed;
};

void charset_add(struct charset_builder *b, uint32_t lo, uint32_t hi);
/* The set named by ECMA-262's \d \w \s (capital letters: all others) or '.'; false: no such name. */
bool charset_add_named(struct charset_builder *b, char name);
/* In order and joined; complemented if asked for. */
struct charset charset_finish(struct charset_builder *b, bool is_complement);

#endif
