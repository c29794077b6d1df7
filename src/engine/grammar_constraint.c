/* grammar_constraint.c - A compiled grammar as the constraint of a sequence. */
#include "engine/grammar_constraint.h"

#include <stdlib.h>

struct grammar_constraint {
    struct engine_constraint base;
    struct grammar_state *state;
    struct grammar_state *ahead; /* for looking at guesses */
};

static struct grammar_constraint *of(struct engine_constraint *c)
{
    return (struct grammar_constraint *)c;
}

static bool mask(struct engine_constraint *c, uint32_t *allowed, int32_t n_vocab)
{
    (void)n_vocab; /* the grammar's vocabulary has as many */
    grammar_state_mask(of(c)->state, allowed);
    return true;
}

static bool accept(struct engine_constraint *c, int32_t token)
{
    return grammar_state_accept_token(of(c)->state, token);
}

static bool is_done(struct engine_constraint *c)
{
    return grammar_state_is_done(of(c)->state);
}

static int32_t only(struct engine_constraint *c)
{
    return grammar_state_only_token(of(c)->state);
}

static int32_t follow(struct engine_constraint *c, const int32_t *tokens, int32_t n)
{
    struct grammar_constraint *g = of(c);
    int32_t n_good = 0;
    grammar_state_copy(g->ahead, g->state);
    while (n_good < n && grammar_state_accept_token(g->ahead, tokens[n_good]))
        n_good++;
    return n_good;
}

static void free_constraint(struct engine_constraint *c)
{
    if (!c)
        return;
    grammar_state_free(of(c)->state);
    grammar_state_free(of(c)->ahead);
    free(c);
}

static struct engine_constraint *clone(struct engine_constraint *c);

static const struct engine_constraint_ops ops = {
    .mask = mask,
    .accept = accept,
    .is_done = is_done,
    .only = only,
    .follow = follow,
    .clone = clone,
    .free = free_constraint,
};

static struct engine_constraint *clone(struct engine_constraint *c)
{
    struct grammar_constraint *copy = calloc(1, sizeof *copy);
    if (!copy)
        return NULL;
    copy->base.ops = &ops;
    copy->state = grammar_state_clone(of(c)->state);
    copy->ahead = grammar_state_clone(of(c)->state);
    if (copy->state && copy->ahead)
        return &copy->base;
    free_constraint(&copy->base);
    return NULL;
}

int grammar_constraint_create(struct engine_constraint **out, const struct sluice_grammar *grammar,
                              struct err *err)
{
    struct grammar_constraint *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return fail(err, ERR_NOMEM, "no memory for the state of a grammar");
    g->base.ops = &ops;
    int rc = grammar_state_create(&g->state, grammar->grammar, err);
    if (rc == OK)
        rc = grammar_state_create(&g->ahead, grammar->grammar, err);
    if (rc == OK && grammar->begun && !grammar_state_accept(g->state, str_c(grammar->begun)))
        rc = fail(err, ERR_ARG, "what is begun of the answer does not follow its form");
    if (rc != OK) {
        if (g->ahead)
            grammar_state_free(g->ahead);
        if (g->state)
            grammar_state_free(g->state);
        free(g);
        return rc;
    }
    *out = &g->base;
    return OK;
}

static struct grammar_token token_of(const struct tokenizer *t, int32_t id)
{
    if (id >= tokenizer_n_vocab(t))
        return (struct grammar_token){.kind = GRAMMAR_TOKEN_NEVER};
    if (tokenizer_is_eog(t, id))
        return (struct grammar_token){tokenizer_token_text(t, id), GRAMMAR_TOKEN_END};
    enum token_kind kind = tokenizer_token_kind(t, id);
    if (kind == TOKEN_CONTROL)
        return (struct grammar_token){tokenizer_token_text(t, id), GRAMMAR_TOKEN_CONTROL};
    if (kind == TOKEN_UNKNOWN || kind == TOKEN_UNUSED)
        return (struct grammar_token){.kind = GRAMMAR_TOKEN_NEVER};
    return (struct grammar_token){tokenizer_token_bytes(t, id), GRAMMAR_TOKEN_TEXT};
}

int grammar_constraint_vocab(struct grammar_vocab **out, const struct tokenizer *t, int32_t n_vocab,
                             struct err *err)
{
    struct grammar_token *tokens = calloc((size_t)n_vocab, sizeof *tokens);
    *out = NULL;
    if (!tokens)
        return fail(err, ERR_NOMEM, "no memory for the vocabulary of grammars");
    for (int32_t id = 0; id < n_vocab; id++)
        tokens[id] = token_of(t, id);
    int rc = grammar_vocab_create(out, tokens, n_vocab, err);
    free(tokens);
    return rc;
}
