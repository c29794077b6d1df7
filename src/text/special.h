/* special.h - Find the tokens that are matched in the text itself, before any cutting.
 *
 * An Aho-Corasick automaton over the patterns; matches do not overlap, the leftmost comes first, and of
 * those which begin together the longest.  A pattern that needs permission counts only where all
 * its bytes lie in one permitted stretch.
 *
 * The set is constant after special_create: any number of threads may search at once. */
#ifndef TEXT_SPECIAL_H
#define TEXT_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct special_pattern {
    struct str text; /* not empty; of equal texts the first is kept */
    int32_t id;
    bool needs_permission;
};

/* Permitted bytes [begin, end) of the text; stretches ascend and neither overlap nor touch. */
struct special_span {
    size_t begin, end;
};

struct special_match {
    size_t begin, end;
    int32_t id;
};

struct special_set;

/* An empty set is allowed.  The texts are not kept. */
int special_create(struct special_set **set, const struct special_pattern *patterns, size_t n,
                   struct err *err);
void special_free(struct special_set *set);

struct special_search {
    const struct special_set *set;
    struct str text;
    const struct special_span *spans;
    size_t n_spans;
    size_t at; /* everything before is done */
};

void special_begin(struct special_search *search, const struct special_set *set, struct str text,
                   const struct special_span *spans, size_t n_spans);
/* The next match, or false if there is none. */
bool special_next(struct special_search *search, struct special_match *match);

#endif
