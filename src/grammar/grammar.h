/* grammar.h - What a generated text may be: compiled once, followed byte by byte, asked for masks.
 *
 *     struct grammar_spec      what is wanted: a tree of schemas, patterns, literals and free text
 *     struct grammar           that, compiled for one vocabulary; shared by all sequences that follow it
 *     struct grammar_state     how far one text has come
 *     struct grammar_vocab     the tokens of a model as a trie over bytes, made once per model
 *
 * Promises.  A text that the masks led to is in the language of the spec, whole or as a beginning of
 * one; a state is never stuck: some end of the text is always possible within the limits below (as
 * far as the vocabulary can say its bytes).  What cannot be held is refused by grammar_compile with
 * its place, never left out.
 *
 * JSON that a schema describes is written with its properties in the order of the schema (a short enum of
 * propertyNames included), then those that the schema does not name; no name comes twice in an object (unless
 * only used ones are left).  Names, and strings that are constrained (enum, const, pattern, format), are
 * spelled with the fewest escapes, as JSON.stringify does; free strings with any escape but lone surrogates.
 * White space: see grammar_space. Every valid instance in compact serialisation and schema order is in the
 * language, with these bounds: nesting GRAMMAR_DEPTH_MAX; numbers of at most 21 digits before and 24 behind
 * the point, integers without an exponent; host names of at most 3 labels, or 8 of up to 30 characters; URIs
 * with something behind the scheme; a leap second in UTC only.
 *
 * Where a text has very many readings at once (an ambiguous GBNF) only the first
 * GRAMMAR_READINGS_MAX are followed: the language becomes smaller there, never larger.
 *
 * Threads.  grammar_compile, grammar_vocab_create: any.  A vocabulary is constant.  A grammar is held
 * and released by any thread (atomic count), but its states work on its caches: all calls on
 * states of one grammar, except grammar_state_create and the free of a state that was never used,
 * are made by one thread (the engine's) at a time.  States allocate nothing after their creation. */
#ifndef GRAMMAR_GRAMMAR_H
#define GRAMMAR_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define GRAMMAR_DEPTH_MAX    120 /* values inside values; below what base/json.h reads */
#define GRAMMAR_READINGS_MAX 512
#define GRAMMAR_TEXT_MAX     ((size_t)1 << 20) /* bytes of all texts of a spec */

/* ---- what is wanted ---- */

enum grammar_kind {
    GRAMMAR_SCHEMA,      /* text: a JSON Schema (2020-12) */
    GRAMMAR_JSON_OBJECT, /* any JSON object */
    GRAMMAR_JSON_VALUE,  /* any JSON value */
    GRAMMAR_REGEX,       /* text: a regular expression that the whole text matches (see regex.h) */
    GRAMMAR_CHOICE,      /* choices[]: one of these texts */
    GRAMMAR_GBNF,        /* text: a grammar in llama.cpp's GBNF (see gbnf.h); its rule "root" */
    GRAMMAR_LITERAL,     /* text: these bytes */
    GRAMMAR_MARK,        /* text: markup of the model's family: these bytes, in which a control token may
                          * stand for its spelling */
    GRAMMAR_FREE,        /* any text, in which none of choices[] occurs (0 of them: any text) */
    GRAMMAR_SEQUENCE,    /* parts[], one after the other */
    GRAMMAR_ANY_OF,      /* one of parts[] */
    GRAMMAR_REPEAT,      /* parts[0], min to max times */
    GRAMMAR_SCHEMA_TEXT  /* text: a JSON Schema.  Of its values the strings, as they are: without quotes
                          * and escapes (for families that write texts between tags) */
};

#define GRAMMAR_NO_MAX UINT32_MAX

/* Where JSON may have white space; it is bounded everywhere, because models can get lost in it. */
enum grammar_space {
    GRAMMAR_SPACE_FREE, /* nothing, a space, or a line break and up to 20 spaces or tabs: inside of braces and
                         * brackets, and behind ':' and ',' */
    GRAMMAR_SPACE_NONE, /* compact: as JSON.stringify writes */
    GRAMMAR_SPACE_ONE   /* exactly one space behind ':' and ',': as Python's json.dumps writes */
};

/* Plain data: everything is borrowed for the call of grammar_compile only.
 *
 * Tool calls ("lazy" grammars), for a family that writes <tool_call>{...}</tool_call>:
 *     SEQUENCE[ FREE{"<tool_call>"}, REPEAT{0..}( SEQUENCE[ MARK "<tool_call>", LITERAL "\n",
 *         ANY_OF[ one SCHEMA per tool ], LITERAL "\n", MARK "</tool_call>", FREE{"<tool_call>"} ]) ] */
struct grammar_spec {
    enum grammar_kind kind;
    struct str text;
    const struct str *choices;
    size_t n_choices;
    const struct grammar_spec *parts;
    size_t n_parts;
    uint32_t min, max;        /* REPEAT */
    enum grammar_space space; /* SCHEMA, JSON_* */
    bool any_order;           /* SCHEMA: properties in any order (at most 8 of one object, else ERR_LIMIT) */
};

/* ---- vocabularies ---- */

enum grammar_token_kind {
    GRAMMAR_TOKEN_TEXT,    /* bytes: what it stands for in text */
    GRAMMAR_TOKEN_CONTROL, /* bytes: how it is spelled; only a MARK can let it through */
    GRAMMAR_TOKEN_NEVER,
    GRAMMAR_TOKEN_END /* ends the text: allowed where the text may end.  bytes: its spelling, or empty */
};

struct grammar_token {
    struct str bytes; /* borrowed for the call of grammar_vocab_create */
    enum grammar_token_kind kind;
};

struct grammar_vocab;

/* Token ids are the indices.  A TEXT token without bytes is never allowed.  ERR_ARG, ERR_NOMEM. */
int grammar_vocab_create(struct grammar_vocab **out, const struct grammar_token *tokens, int32_t n_tokens,
                         struct err *err);
void grammar_vocab_free(struct grammar_vocab *v);
int32_t grammar_vocab_n_tokens(const struct grammar_vocab *v);

/* ---- compiling ---- */

/* 0: the default, which suits a request of a stranger. */
struct grammar_limits {
    uint32_t nodes_max; /* nodes of the automaton, also of its parts while they are made */
    uint32_t time_ms;   /* of compiling, CPU time */
};

struct grammar_error {
    int code;        /* ERR_FORMAT: no schema, regex or grammar; ERR_UNSUPPORTED: it is one, but it
                      * says what cannot be held; ERR_LIMIT: too large; ERR_ARG: nothing can fulfil it;
                      * ERR_NOMEM */
    char where[256]; /* schema: the JSON pointer ("#/properties/a/pattern"); regex, GBNF: "offset 12" */
    struct err err;  /* the same code, and one sentence that also names the place */
};

struct grammar;

/* Compile for `vocab`, which must outlive the grammar (NULL: for bytes only, without masks).
 * *out comes with one hold.  `limits` and `error` may be NULL. */
int grammar_compile(struct grammar **out, const struct grammar_spec *spec, const struct grammar_vocab *vocab,
                    const struct grammar_limits *limits, struct grammar_error *error);
struct grammar *grammar_hold(struct grammar *g);
void grammar_release(struct grammar *g);       /* the last one frees; NULL is fine */
size_t grammar_bytes(const struct grammar *g); /* memory, for a cache of compiled grammars */

/* ---- following a text ---- */

struct grammar_state;

/* At the beginning of a text.  Holds `g`.  ERR_NOMEM. */
int grammar_state_create(struct grammar_state **out, struct grammar *g, struct err *err);
struct grammar_state *grammar_state_clone(const struct grammar_state *s); /* NULL: no memory */
void grammar_state_free(struct grammar_state *s);
/* Make `s` equal to `from`, a state of the same grammar: for looking ahead without memory. */
void grammar_state_copy(struct grammar_state *s, const struct grammar_state *from);

/* The bytes follow.  False: they cannot (the state is as before). */
bool grammar_state_accept(struct grammar_state *s, struct str bytes);
/* The token follows; an end token leaves a state after which nothing is allowed. */
bool grammar_state_accept_token(struct grammar_state *s, int32_t token);
/* Write the mask: bit t of allowed[] is set if token t may follow, end tokens included.
 * allowed[] has (n_tokens + 31) / 32 words.  Returns the number of allowed tokens. */
int32_t grammar_state_mask(struct grammar_state *s, uint32_t *allowed);
/* The one token that may follow, or -1 if there are several (or none). */
int32_t grammar_state_only_token(struct grammar_state *s);
/* May the token follow?  Cheaper than a mask. */
bool grammar_state_allows(struct grammar_state *s, int32_t token);
/* May the text end here? */
bool grammar_state_may_end(struct grammar_state *s);
/* Nothing may follow (but an end token). */
bool grammar_state_is_done(struct grammar_state *s);

#endif
