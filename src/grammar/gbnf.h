/* gbnf.h - The grammar language of llama.cpp.
 *
 * Understood: rules `name ::= alternatives`, "texts", [classes] and [^classes], `.` (any character), names,
 * ( groups ), | and the repetitions * + ? {m} {m,} {m,n}; the escapes \t \r \n \\ \" \[ \] \xHH \uHHHH
 * \UHHHHHHHH; # comments; <token> (a control token by its spelling, else that text) and <[id]>.  A rule
 * ends with its line, except inside parentheses, behind ::= and behind |.  Names may have '_' too.
 * ERR_UNSUPPORTED: !<token>.  ERR_FORMAT: a rule that begins with itself (left recursion). */
#ifndef GRAMMAR_GBNF_H
#define GRAMMAR_GBNF_H

#include "grammar/compile_int.h"

enum gbnf_op { GBNF_EMPTY, GBNF_TEXT, GBNF_SET, GBNF_CAT, GBNF_ALT, GBNF_REPEAT, GBNF_RULE };

struct gbnf_node {
    enum gbnf_op op;
    struct str text; /* TEXT: bytes, as they are in the trie of a vocabulary; RULE: name */
    struct charset set;
    const struct gbnf_node *a, *b;
    uint32_t min, max; /* REPEAT */
    uint32_t rule;     /* RULE: index */
    size_t at;         /* in the source */
};

struct gbnf_rule {
    struct str name;
    const struct gbnf_node *body; /* NULL: only called so far */
    size_t at;                    /* where it is defined, or first called */
    uint32_t jump, first_node, end_node;
};

struct gbnf {
    struct gbnf_rule *rules;
    uint32_t n_rules, rules_cap;
};

/* Parse `text`; false: an error was told. */
bool gbnf_parse(struct compiler *c, struct str text, struct gbnf *out);
/* "the grammar at offset N WHAT". */
void gbnf_fail(struct compiler *c, int code, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
