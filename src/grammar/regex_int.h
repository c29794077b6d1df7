/* regex_int.h - A parsed regular expression: what regex_parse.c makes for regex.c. */
#ifndef GRAMMAR_REGEX_INT_H
#define GRAMMAR_REGEX_INT_H

#include "grammar/regex.h"

enum re_op { RE_EMPTY, RE_SET, RE_CAT, RE_ALT, RE_REPEAT, RE_BEGIN, RE_END };

struct re_node {
    enum re_op op;
    struct charset set;
    const struct re_node *a, *b;
    uint32_t min, max; /* REPEAT; NET_NO_MAX */
};

/* The tree of `pattern` in `arena`; NULL: err, *offset. */
const struct re_node *regex_parse(struct arena *arena, struct str pattern, size_t *offset, struct err *err);

#endif
