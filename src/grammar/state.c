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
    if (!g->net.has_free_names)
        return OK;
    s->names = malloc(sizeof *s->names);
    s->ahead = malloc(sizeof *s->ahead);
    if (!s->names || !s->ahead) {
        grammar_state_free(s);
        *out = NULL;
        return fail(err, ERR_NOMEM, "no memory for the state of a grammar");
    }
    names_init(s->names);
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
    free(s->names);
    free(s->ahead);
    free(s);
}

void grammar_state_copy(struct grammar_state *s, const struct grammar_state *from)
{
    assert(s->grammar == from->grammar);
    struct run *run = begin(s);
    s->place = from->place == PLACE_UNKNOWN ? run_start(run) : from->place;
    s->has_ended = from->has_ended;
    if (s->names)
        names_copy(s->names, from->names);
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

/* The place behind the bytes; s->ahead gets the names behind them. */
static uint32_t place_behind(struct grammar_state *s, struct str bytes)
{
    struct run *run = &s->grammar->run;
    uint32_t place = s->place;
    if (s->names)
        names_copy(s->ahead, s->names);
    for (size_t i = 0; i < bytes.n && place != PLACE_DEAD; i++) {
        uint8_t byte = (uint8_t)bytes.p[i];
        if (s->names && !names_step(s->ahead, byte, run->places[place].is_json))
            return PLACE_DEAD;
        place = run_step(run, place, byte);
    }
    return place;
}

/* The place behind the bytes; PLACE_DEAD: they cannot follow. */
static uint32_t look(struct grammar_state *s, struct str bytes)
{
    struct run *run = begin(s);
    if (s->has_ended)
        return PLACE_DEAD;
    uint32_t to = place_behind(s, bytes);
    if (run->is_full) {
        run_collect(run, PLACE_UNKNOWN);
        to = place_behind(s, bytes);
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
    if (s->names)
        names_copy(s->names, s->ahead);
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

/* ---- masks ---- */

static bool take_out(uint32_t *allowed, int32_t token)
{
    uint32_t bit = UINT32_C(1) << (token % 32);
    bool was_in = allowed[token / 32] & bit;
    allowed[token / 32] &= ~bit;
    return was_in;
}

/* Take out the tokens whose bytes begin with these.  Returns how many there were. */
static int32_t take_out_subtree(const struct grammar_vocab *v, uint32_t *allowed, struct str bytes)
{
    int32_t n = 0;
    uint32_t at = trie_find(&v->all, bytes);
    const struct trie_node *node = &v->all.nodes[at];
    for (uint32_t i = 0; at != TRIE_NONE && i < node->n_tokens; i++)
        n += take_out(allowed, v->all.tokens[node->token + i]);
    return n;
}

/* Take out the tokens that would write a name a second time: those that end the name being written, and
 * those that hold a whole one.  Returns how many. */
static int32_t take_out_names(struct grammar_state *s, uint32_t *allowed)
{
    const struct grammar_vocab *v = s->grammar->vocab;
    struct str open = names_open(s->names), name;
    int32_t n = 0;
    uint32_t at = NAMES_FIRST;
    bool has_names = false;
    while (names_next(s->names, &at, &name)) {
        has_names = true;
        if (!open.p || !str_starts(name, open) || name.n - open.n > VOCAB_TOKEN_BYTES_MAX)
            continue;
        char rest[VOCAB_TOKEN_BYTES_MAX + 1];
        size_t n_rest = name.n - open.n;
        memcpy(rest, name.p + open.n, n_rest);
        rest[n_rest] = '"';
        n += take_out_subtree(v, allowed, str_of(rest, n_rest + 1));
    }
    for (int32_t i = 0; has_names && i < v->n_quoted; i++) {
        int32_t t = v->quoted[i];
        if (allowed[t / 32] >> (t % 32) & 1 && look(s, vocab_key(v, t)) == PLACE_DEAD)
            n += take_out(allowed, t);
    }
    return n;
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
    struct mask_view m = mask_of_place(run, &s->place);
    mask_write(run, m, allowed);
    int32_t n_out = s->names && s->names->mode != NAMES_OUTSIDE ? take_out_names(s, allowed) : 0;
    if (n_out == 0 || n_out < m.n_allowed)
        return m.n_allowed - n_out;
    s->names->is_blind = true; /* only used names are left: rather one of them twice than no way on */
    m = mask_of_place(run, &s->place);
    mask_write(run, m, allowed);
    return m.n_allowed;
}

int32_t grammar_state_only_token(struct grammar_state *s)
{
    struct run *run = begin(s);
    assert(run->vocab);
    if (s->has_ended || s->place == PLACE_DEAD)
        return -1;
    int32_t only = mask_of_place(run, &s->place).only;
    if (only >= 0 && !grammar_state_allows(s, only))
        s->names->is_blind = true; /* as above */
    return only;
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
