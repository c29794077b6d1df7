/* regex_int.h - A parsed regular expression: what regex_parse.c makes for regex.c. */
#ifndef GRAMMAR_REGEX_INT_H
#define GRAMMAR_REGEX_INT_H

#include "grammar/regex.h"

/* EDGE, INSIDE: \b and \B, between characters of which one is of a word, or both or none. */
enum re_op { RE_EMPTY, RE_SET, RE_CAT, RE_ALT, RE_REPEAT, RE_BEGIN, RE_END, RE_EDGE, RE_INSIDE };

struct re_node {
    enum re_op op;
    struct charset set;
    const struct re_node *a, *b;
    uint32_t min, max; /* REPEAT; NET_NO_MAX */
};

/* The tree of `pattern` in `arena`; NULL: err, *offset. */
const struct re_node *regex_parse(struct arena *arena, struct str pattern, size_t *offset, struct err *err);

#endif
