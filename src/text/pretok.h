/* pretok.h - Cut text into the pieces that byte-level BPE works on.
 *
 * A family of models cuts by one or more regular expressions in a row; each cuts the pieces that
 * the one before it left, and what lies between two matches is a piece too.  Here each
 * expression is a rule matched by hand: linear in the text and with real Unicode classes.
 *
 * To add a family: a row in pretok.c, and a rule in pretok_rules.c if none fits. */
#ifndef TEXT_PRETOK_H
#define TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define PRETOK_RULES_MAX 6

struct pretok_rule;

struct pretok_family {
    const char *names;                                 /* values of tokenizer.ggml.pre, space-separated */
    const struct pretok_rule *rules[PRETOK_RULES_MAX]; /* ended by NULL if fewer */
    bool ignore_merges; /* a piece that is in the vocabulary is one token, whatever the merges say */
    bool nfc;           /* the text is brought into normal form C first */
    bool add_bos;       /* where the file does not say */
    bool add_sep;       /* where the file does not say */
};

/* The family of this name, or NULL. */
const struct pretok_family *pretok_find(struct str name);
/* All names, for an error message. */
void pretok_list(struct buf *out);

/* Walks over the pieces of a text; they cover it without gaps. */
struct pretok_iter {
    const struct pretok_rule *const *rules;
    int n_rules;
    int level; /* the rule at work */
    struct {
        const uint8_t *at, *end;
        size_t match_len; /* a match at `at` that is already known, or 0 */
    } range[PRETOK_RULES_MAX];
};

void pretok_begin(struct pretok_iter *it, const struct pretok_family *family, struct str text);
/* The next piece (never empty); false at the end. */
bool pretok_next(struct pretok_iter *it, struct str *piece);

#endif
