/* face_grammar.c - Grammars of the public face. */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "engine/face_int.h"
#include "engine/grammar_constraint.h"

#define SPEC_BYTES_MAX ((size_t)16 << 20)
#define SPEC_DEPTH_MAX 48

/* The kinds are the inside's, in the same order. */
_Static_assert((int)SLUICE_GRAMMAR_SCHEMA_TEXT == (int)GRAMMAR_SCHEMA_TEXT, "kinds of grammars differ");
_Static_assert((int)SLUICE_GRAMMAR_SPACE_ONE == (int)GRAMMAR_SPACE_ONE, "kinds of white space differ");

int face_copy_spec(struct arena *arena, struct grammar_spec *to, const struct sluice_grammar_spec *from,
                   int depth, struct err *err)
{
    struct grammar_spec *parts = arena_new_array(arena, struct grammar_spec, from->n_parts + 1);
    struct str *choices = arena_new_array(arena, struct str, from->n_choices + 1);
    if (depth > SPEC_DEPTH_MAX || !parts || !choices)
        return fail(err, ERR_LIMIT, "the grammar has too many parts");
    for (size_t i = 0; i < from->n_choices; i++)
        choices[i] = str_c(from->choices[i]);
    for (size_t i = 0; i < from->n_parts; i++) {
        int rc = face_copy_spec(arena, &parts[i], &from->parts[i], depth + 1, err);
        if (rc != OK)
            return rc;
    }
    *to = (struct grammar_spec){
        .kind = (enum grammar_kind)from->kind,
        .text = face_text(from->text, from->text_bytes),
        .choices = choices,
        .n_choices = from->n_choices,
        .parts = parts,
        .n_parts = from->n_parts,
        .min = from->min,
        .max = from->max,
        .space = (enum grammar_space)from->space,
        .any_order = from->any_order,
    };
    return OK;
}

/* The trie of the model's tokens: made when the first grammar is, since most models never see one. */
static int model_vocab(struct sluice_model *m, const struct grammar_vocab **out, struct err *err)
{
    int rc = OK;
    int32_t n = m->model ? (int32_t)m->facts.n_vocab : tokenizer_n_vocab(m->tokenizer);
    pthread_mutex_lock(&m->vocab_lock);
    if (!m->grammar_vocab)
        rc = grammar_constraint_vocab(&m->grammar_vocab, m->tokenizer, n, err);
    *out = m->grammar_vocab;
    pthread_mutex_unlock(&m->vocab_lock);
    return rc;
}

static int find_or_compile(struct sluice_model *m, const struct grammar_spec *spec,
                           const struct grammar_vocab *vocab, struct grammar **out, struct grammar_error *e)
{
    struct buf key;
    buf_init(&key, SPEC_BYTES_MAX);
    grammar_cache_key(&key, spec);
    *out = buf_ok(&key) ? grammar_cache_find(&m->grammars, buf_str(&key)) : NULL;
    int rc = *out ? OK : grammar_compile(out, spec, vocab, NULL, e);
    if (rc == OK && buf_ok(&key))
        grammar_cache_put(&m->grammars, buf_str(&key), *out);
    buf_deinit(&key);
    return rc;
}

static int compile(struct sluice_model *m, const struct sluice_grammar_spec *spec,
                   struct sluice_grammar **grammar, struct grammar_error *e)
{
    const struct grammar_vocab *vocab;
    struct grammar_spec inner;
    struct arena arena;
    arena_init(&arena, SPEC_BYTES_MAX);
    int rc = face_copy_spec(&arena, &inner, spec, 0, &e->err);
    if (rc == OK)
        rc = model_vocab(m, &vocab, &e->err);
    struct sluice_grammar *g = calloc(1, sizeof *g);
    if (!g)
        rc = FACE_OUT_OF_MEMORY(&e->err);
    if (rc == OK)
        rc = find_or_compile(m, &inner, vocab, &g->grammar, e);
    arena_deinit(&arena);
    if (rc != OK) {
        free(g);
        return rc;
    }
    g->model = m;
    *grammar = g;
    return OK;
}

SLUICE_API int sluice_grammar_compile(struct sluice_model *model, const struct sluice_grammar_spec *spec,
                                      struct sluice_grammar **grammar, char *where, size_t where_cap,
                                      struct sluice_error *err)
{
    struct grammar_error e = {0};
    int rc = compile(model, spec, grammar, &e);
    if (where && where_cap > 0)
        snprintf(where, where_cap, "%s", rc == OK ? "" : e.where);
    return rc == OK ? OK : fail(face_err(err), rc, "%s", e.err.text);
}

SLUICE_API void sluice_grammar_free(struct sluice_grammar *g)
{
    if (!g)
        return;
    grammar_release(g->grammar);
    free(g->begun);
    free(g);
}

SLUICE_API size_t sluice_grammar_bytes(const struct sluice_grammar *g)
{
    return grammar_bytes(g->grammar);
}
