/* compile_int.h - What the makers of the automaton's parts share during one compilation. */
#ifndef GRAMMAR_COMPILE_INT_H
#define GRAMMAR_COMPILE_INT_H

#include "base/arena.h"
#include "grammar/dfa.h"
#include "grammar/grammar.h"
#include "grammar/net.h"

struct schema;
struct disjoint_check;

struct compiler {
    struct arena arena; /* trees, automata: gone when the grammar is made */
    struct net net;
    struct dfa_room room;
    const struct grammar_vocab *vocab;
    struct grammar_error *error; /* never NULL */
    bool has_failed;
    struct kept_schema { /* schemas, and what must prove true of them when all nodes are made */
        struct schema *schema;
        const struct disjoint_check *checks;
        struct kept_schema *next;
    } * schemas;
    /* A node where a text would begin with itself is told by this one, if it knows it. */
    void (*tell_cycle)(struct compiler *c, uint32_t node);
    void *cycle_ctx;
};

/* Remember the first error; `where` may be NULL.  The sentence is "WHAT at WHERE: REASON" already. */
void compile_fail(struct compiler *c, int code, struct str where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Each maker returns the node of its texts followed by `next`, or NET_NOTHING after an error, or
 * where no text is possible. */

/* free_text.c: any text in which none of words[] occurs. */
uint32_t compile_free_text(struct compiler *c, const struct str *words, size_t n_words, uint32_t next);
/* gbnf.c */
uint32_t compile_gbnf(struct compiler *c, struct str text, uint32_t next);
/* from_schema.c */
uint32_t compile_schema(struct compiler *c, const struct grammar_spec *spec, uint32_t next);
/* Once heights are known: were the branches of every oneOf disjoint?  Tells an error if not. */
void compile_check_schema(struct compiler *c, const struct disjoint_check *checks);
void compile_free_schema(struct schema *schema);

#endif
