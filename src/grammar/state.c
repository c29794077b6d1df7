/* state.c - One text that follows a grammar. */
#include <assert.h>
#include <stdlib.h>

#include "grammar/grammar_int.h"

/* ---- life ---- */

int grammar_state_create(struct grammar_state **out, struct grammar *g, struct err *err)
{
    struct grammar_state *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return fail(err, ERR_NOMEM, "no memory for the state of a grammar");
    s->grammar = grammar_hold(g);
    s->place = PLACE_UNKNOWN;
    return OK;
}

/* From its first use on a state is known to the pools, which may renumber its place. */
static struct run *begin(struct grammar_state *s)
{
    struct run *run = &s->grammar->run;
    if (s->place != PLACE_UNKNOWN)
        return run;
    s->place = run_start(run);
    s->next = run->states;
    if (s->next)
        s->next->prev = s;
    run->states = s;
    return run;
}

void grammar_state_free(struct grammar_state *s)
{
    if (!s)
        return;
    if (s->place != PLACE_UNKNOWN) {
        struct run *run = &s->grammar->run;
        if (s->prev)
            s->prev->next = s->next;
        else
            run->states = s->next;
        if (s->next)
            s->next->prev = s->prev;
    }
    grammar_release(s->grammar);
    free(s);
}

void grammar_state_copy(struct grammar_state *s, const struct grammar_state *from)
{
    assert(s->grammar == from->grammar);
    struct run *run = begin(s);
    s->place = from->place == PLACE_UNKNOWN ? run_start(run) : from->place;
    s->has_ended = from->has_ended;
}

struct grammar_state *grammar_state_clone(const struct grammar_state *s)
{
    struct grammar_state *copy;
    if (grammar_state_create(&copy, s->grammar, NULL) != OK)
        return NULL;
    if (s->place != PLACE_UNKNOWN)
        grammar_state_copy(copy, s);
    return copy;
}

/* ---- what may follow ---- */

static uint32_t place_behind(struct run *run, uint32_t place, struct str bytes)
{
    for (size_t i = 0; i < bytes.n && place != PLACE_DEAD; i++)
        place = run_step(run, place, (uint8_t)bytes.p[i]);
    return place;
}

/* The place behind the bytes; PLACE_DEAD: they cannot follow. */
static uint32_t look(struct grammar_state *s, struct str bytes)
{
    struct run *run = begin(s);
    if (s->has_ended)
        return PLACE_DEAD;
    uint32_t to = place_behind(run, s->place, bytes);
    if (run->is_full) {
        run_collect(run, PLACE_UNKNOWN);
        to = place_behind(run, s->place, bytes);
        run->is_full = false;
    }
    return to;
}

bool grammar_state_accept(struct grammar_state *s, struct str bytes)
{
    uint32_t to = look(s, bytes);
    if (to == PLACE_DEAD)
        return false;
    s->place = to;
    return true;
}

bool grammar_state_accept_token(struct grammar_state *s, int32_t token)
{
    const struct grammar_vocab *v = s->grammar->vocab;
    assert(v);
    if (token < 0 || token >= v->n_tokens)
        return false;
    struct str key = vocab_key(v, token);
    if (key.n > 0 && grammar_state_accept(s, key))
        return true;
    if (v->kinds[token] != GRAMMAR_TOKEN_END || !grammar_state_may_end(s))
        return false;
    s->has_ended = true;
    return true;
}

bool grammar_state_allows(struct grammar_state *s, int32_t token)
{
    const struct grammar_vocab *v = s->grammar->vocab;
    assert(v);
    if (token < 0 || token >= v->n_tokens)
        return false;
    struct str key = vocab_key(v, token);
    if (key.n > 0 && look(s, key) != PLACE_DEAD)
        return true;
    return v->kinds[token] == GRAMMAR_TOKEN_END && grammar_state_may_end(s);
}

int32_t grammar_state_mask(struct grammar_state *s, uint32_t *allowed)
{
    struct run *run = begin(s);
    const struct grammar_vocab *v = run->vocab;
    assert(v);
    if (s->has_ended || s->place == PLACE_DEAD) {
        memset(allowed, 0, v->n_words * sizeof *allowed);
        return 0;
    }
    uint32_t slot = mask_of_place(run, &s->place);
    memcpy(allowed, run->masks + (size_t)slot * v->n_words, v->n_words * sizeof *allowed);
    return run->mask_slots[slot].n_allowed;
}

int32_t grammar_state_only_token(struct grammar_state *s)
{
    struct run *run = begin(s);
    assert(run->vocab);
    if (s->has_ended || s->place == PLACE_DEAD)
        return -1;
    return run->mask_slots[mask_of_place(run, &s->place)].only;
}

bool grammar_state_may_end(struct grammar_state *s)
{
    struct run *run = begin(s);
    return !s->has_ended && run->places[s->place].may_end;
}

bool grammar_state_is_done(struct grammar_state *s)
{
    struct run *run = begin(s);
    if (s->has_ended)
        return true;
    const struct place *p = &run->places[s->place];
    return p->may_end && p->n == 1;
}
