/* grammar_testkit.h - For tests: a small vocabulary, and texts that follow a spec. */
#ifndef GRAMMAR_GRAMMAR_TESTKIT_H
#define GRAMMAR_GRAMMAR_TESTKIT_H

#include "grammar/grammar.h"

/* Is the text, all of it, in the language?  A spec that does not compile fails the test. */
bool kit_accepts(const struct grammar_spec *spec, struct str text);

/* A vocabulary with every byte, short words, pieces of JSON and parts of characters. */
struct grammar_vocab *kit_vocab(void);

/* Compile the spec and walk n_texts times at random through its masks, to an end.  Checks on the way
 * that mask, allows, accept_token and accept by bytes agree, and that the text is accepted as a whole.
 * on_text (may be NULL) gets every text. */
void kit_wander_to(const struct grammar_spec *spec, int n_texts, void (*on_text)(void *ctx, struct str text),
                   void *ctx);
void kit_wander(const struct grammar_spec *spec, int n_texts);

#endif
