/* words.h - A set of texts as nodes of the net: enum, const, choices. */
#ifndef GRAMMAR_WORDS_H
#define GRAMMAR_WORDS_H

#include "grammar/dfa.h"

/* One of words[n] (any of them may be there twice), then next.  NET_NOTHING if n is 0, after an error
 * (room->code says which), or when the net is full. */
uint32_t words_to_net(struct dfa_room *room, const struct str *words, uint32_t n, uint32_t next);

#endif
