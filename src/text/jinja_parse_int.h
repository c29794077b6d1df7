/* jinja_parse_int.h - The parser's state, shared by its files: expressions and statements. */
#ifndef TEXT_JINJA_PARSE_INT_H
#define TEXT_JINJA_PARSE_INT_H

#include "text/jinja_ast.h"

struct parser {
    const struct jj_token *at; /* the current token; the last is JJT_EOF and is never passed */
    struct arena *arena;
    struct jj_names *names;
    struct err *err;
    int depth;
    int loop_depth;        /* break and continue need one */
    struct jj_node *macro; /* the innermost macro or call block: learns what its body uses */
};

/* Always NULL, with an error set, so that a node function can return them. */
void *jj_p_wrong(struct parser *p, const char *what);
void *jj_p_too_large(struct parser *p);

struct jj_node *jj_p_node_new(struct parser *p, enum jj_node_kind kind);
struct jj_node *jj_p_constant_new(struct parser *p, struct jj_value v);
bool jj_p_nodes_add(struct parser *p, struct jj_nodes *l, struct jj_node *n); /* n NULL: false */
bool jj_p_set_name(struct parser *p, struct jj_node *n, struct str name);
/* Counts a level; the caller takes it off p->depth again, also after false. */
bool jj_p_deeper(struct parser *p);

void jj_p_advance(struct parser *p);
bool jj_p_at_word(const struct parser *p, const char *word);
bool jj_p_skip_word(struct parser *p, const char *word);
bool jj_p_skip_type(struct parser *p, enum jj_token_type type);
bool jj_p_expect(struct parser *p, enum jj_token_type type, const char *what);
bool jj_p_take_name(struct parser *p, struct str *name);

struct jj_node *jj_p_expression(struct parser *p);
/* An expression, or several with commas between them as a tuple. */
struct jj_node *jj_p_tuple(struct parser *p, bool with_condition, const char *end_word);
bool jj_p_is_tuple_end(const struct parser *p, const char *end_word);
/* At the filter's name.  `of` is NULL in blocks. */
struct jj_node *jj_p_filter(struct parser *p, struct jj_node *of);

#endif
