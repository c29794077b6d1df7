/* grammar_constraint.h - A compiled grammar as the constraint of a sequence. */
#ifndef ENGINE_GRAMMAR_CONSTRAINT_H
#define ENGINE_GRAMMAR_CONSTRAINT_H

#include "base/err.h"
#include "engine/constraint.h"
#include "grammar/grammar.h"
#include "sluice.h"
#include "text/tokenizer.h"

struct sluice_grammar {
    struct grammar *grammar;
    const struct sluice_model *model;
    char *begun; /* of the answer, as it stands in the prompt; NULL: nothing.  Known to follow the grammar */
};

/* At the beginning of an answer, behind what is begun; ops->free frees it.  Any thread.  ERR_NOMEM. */
int grammar_constraint_create(struct engine_constraint **out, const struct sluice_grammar *g,
                              struct err *err);

/* The vocabulary of a tokenizer for grammars, n_vocab tokens (those that the tokenizer does not know are
 * never allowed).  ERR_NOMEM. */
int grammar_constraint_vocab(struct grammar_vocab **out, const struct tokenizer *t, int32_t n_vocab,
                             struct err *err);

#endif
