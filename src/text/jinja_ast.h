/* jinja_ast.h - Tokens and syntax tree of a template.
 *
 * The lexer turns the whole source into an array of tokens, the parser that into nodes; both
 * live in the template's arena and never change afterwards.  One struct serves every kind of
 * node: which of its fields a kind uses is listed at the kind. */
#ifndef TEXT_JINJA_AST_H
#define TEXT_JINJA_AST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "text/jinja_value.h"

enum jj_token_type {
    JJT_EOF,
    JJT_DATA, /* text outside of tags */
    JJT_VAR_BEGIN,
    JJT_VAR_END,
    JJT_BLOCK_BEGIN,
    JJT_BLOCK_END,
    JJT_NAME,
    JJT_STRING, /* text: escapes undone */
    JJT_INT,
    JJT_BIGINT, /* text: the digits */
    JJT_FLOAT,
    JJT_ADD,
    JJT_SUB,
    JJT_DIV,
    JJT_FLOORDIV,
    JJT_MUL,
    JJT_POW,
    JJT_MOD,
    JJT_TILDE,
    JJT_LBRACKET,
    JJT_RBRACKET,
    JJT_LPAREN,
    JJT_RPAREN,
    JJT_LBRACE,
    JJT_RBRACE,
    JJT_EQ,
    JJT_NE,
    JJT_GT,
    JJT_GE,
    JJT_LT,
    JJT_LE,
    JJT_ASSIGN,
    JJT_DOT,
    JJT_COLON,
    JJT_PIPE,
    JJT_COMMA,
    JJT_SEMICOLON,
    JJT_IN, /* never from the lexer: comparison operators in the tree */
    JJT_NOT_IN
};

struct jj_token {
    enum jj_token_type type;
    uint32_t line; /* 1-based */
    struct str text;
    int64_t i;
    double f;
};

struct jj_tokens {
    struct jj_token *v; /* ends with JJT_EOF */
    uint32_t n, cap;
};

/* Lex `source`, which must outlive the tokens.  Line ends are expected as '\n' alone. */
int jj_lex(struct jj_tokens *out, struct arena *arena, struct str source, struct err *err);

enum jj_node_kind {
    /* expressions */
    JJN_CONST,    /* constant */
    JJN_NAME,     /* name, id */
    JJN_TUPLE,    /* list */
    JJN_LIST,     /* list */
    JJN_DICT,     /* list: key, value, key, value, ... */
    JJN_COND,     /* a: test, b: then, c: else or NULL */
    JJN_OR,       /* a, b */
    JJN_AND,      /* a, b */
    JJN_NOT,      /* a */
    JJN_COMPARE,  /* a, list of JJN_OPERAND */
    JJN_OPERAND,  /* op, a */
    JJN_BINARY,   /* op, a, b */
    JJN_NEGATE,   /* a */
    JJN_POSITIVE, /* a */
    JJN_CONCAT,   /* list */
    JJN_GETATTR,  /* a, name */
    JJN_GETITEM,  /* a, b */
    JJN_SLICE,    /* a: start, b: stop, c: step; each may be NULL; only inside GETITEM */
    JJN_CALL,     /* a, args */
    JJN_FILTER,   /* a (NULL: the text of a block), name, args */
    JJN_TEST,     /* a, name, args */
    JJN_NSREF,    /* name, id, attr: a target `ns.attr` */
    /* statements */
    JJN_OUTPUT,     /* list of expressions */
    JJN_FOR,        /* a: target, b: sequence, c: filter or NULL, list: body, list2: else, flag: recursive */
    JJN_IF,         /* list of JJN_BRANCH */
    JJN_BRANCH,     /* a: test or NULL (else), list: body */
    JJN_SET,        /* a: target, b: value */
    JJN_SET_BLOCK,  /* a: target, b: filters or NULL, list: body */
    JJN_MACRO,      /* name, id, params, list: body, uses_* */
    JJN_CALL_BLOCK, /* a: call, params, list: body, uses_* */
    JJN_FILTER_BLOCK, /* a: filters, list: body */
    JJN_WITH,         /* list2: target, value, target, value ..., list: body */
    JJN_SCOPE,        /* list: body (a generation block) */
    JJN_BREAK,
    JJN_CONTINUE,
    JJN_DO /* a */
};

struct jj_node;

struct jj_nodes {
    struct jj_node **v;
    uint32_t n, cap;
};

struct jj_keyword {
    struct str name;
    struct jj_node *value;
};

struct jj_call_args {
    struct jj_nodes pos;
    struct jj_keyword *kw;
    uint32_t n_kw, kw_cap;
    struct jj_node *star, *star_star; /* *args, **kwargs; NULL if absent */
};

struct jj_param {
    struct str name;
    uint32_t id;
    struct jj_node *fallback; /* NULL: none */
};

struct jj_node {
    enum jj_node_kind kind;
    enum jj_token_type op;
    uint32_t line;
    uint32_t id; /* of `name` among the template's names, for variables */
    struct str name, attr;
    struct jj_node *a, *b, *c;
    struct jj_nodes list, list2;
    struct jj_call_args *args;
    struct jj_param *params;
    uint32_t n_params;
    bool flag;
    bool uses_varargs, uses_kwargs, uses_caller;
    struct jj_value constant;
};

/* The variables' names, each once: its place is its id. */
struct jj_names {
    struct str *v;
    uint32_t n, cap;
    uint32_t *table; /* open addressing: id + 1, 0 = free */
    uint32_t table_cap;
};

/* The id of `name`, made if new; UINT32_MAX without memory. */
uint32_t jj_name_id(struct jj_names *names, struct arena *arena, struct str name);
/* The id, or UINT32_MAX if there is none. */
uint32_t jj_name_find(const struct jj_names *names, struct str name);

#define JJ_PARSE_DEPTH_MAX 100

int jj_parse(struct jj_nodes *body, struct jj_names *names, struct arena *arena,
             const struct jj_tokens *tokens, struct err *err);

#endif
