/* schema_check_int.h - What the files of the validator share: one running check. */
#ifndef GRAMMAR_SCHEMA_CHECK_INT_H
#define GRAMMAR_SCHEMA_CHECK_INT_H

#include "grammar/schema_check.h"
#include "grammar/schema_pattern.h"

struct schema_node_patterns {
    pcre2_code *pattern;
    pcre2_code **properties; /* as node->pattern_properties */
};

struct schema_checker {
    const struct schema *schema;
    struct schema_node_patterns *patterns; /* by node id */
    pcre2_match_data *match;
    pcre2_match_context *context;
    bool is_brief;
};

/* Where in the instance: a chain through the callers' frames up to the root (up == NULL). */
struct place {
    const struct place *up;
    struct json key; /* in an object; absent in an array */
    uint32_t idx;
    int depth;
};

/* Which members or elements of one value some keyword has spoken of, for unevaluated*. */
struct evaluated {
    uint64_t *bits;
    uint32_t n;
};

struct check {
    struct schema_checker *checker;
    struct arena arena; /* bits and unescaped keys */
    uint64_t n_steps, steps_max;
    int64_t deadline_ns;
    int n_nested;   /* nodes that are being checked, one inside the other */
    int rc;         /* ERR_LIMIT or ERR_NOMEM: it cannot be decided, and everything ends */
    int n_quiet;    /* > 0: a fault is only counted (some branch may fail), not written down */
    int fail_depth; /* depth in the instance of the last fault */
    struct schema_fault *fault;
    /* a text that is only begun */
    bool is_begun, is_number_open;
    uint32_t n_real;
};

/* More of v may come. */
static inline bool check_is_open(const struct check *c, struct json v)
{
    if (!c->is_begun)
        return false;
    const struct json_node *n = &v.doc->nodes[v.idx];
    uint32_t end = n->at + n->n;
    return end > c->n_real || (end == c->n_real && n->type == JSON_NUMBER && c->is_number_open);
}
/* Nothing of v was said yet. */
static inline bool check_is_hole(const struct check *c, struct json v)
{
    return c->is_begun && v.doc->nodes[v.idx].at >= c->n_real;
}

/* How much may be done from now on: as c->checker says. */
void check_set_bounds(struct check *c);
/* Does v follow node?  False too when c->rc says that it cannot be decided.  `seen` may be NULL:
 * nobody asks. */
bool check_node(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                struct evaluated *seen);
/* As check_node, but a fault is no fault of the whole. */
bool check_quietly(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                   struct evaluated *seen);
/* Count n elementary steps; false when there are none left. */
bool check_spend(struct check *c, uint64_t n);
/* Write down what is wrong; returns false. */
bool check_fault(struct check *c, const struct schema_node *node, const char *keyword, const struct place *at,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
bool check_match(struct check *c, const pcre2_code *re, struct str text, bool *matches);
/* The text of a string or key; p == NULL: c->rc is set. */
struct str check_text(struct check *c, struct json v);

void evaluated_init(struct check *c, struct evaluated *s, uint32_t n);
static inline void evaluated_add(struct evaluated *s, uint32_t i)
{
    if (s)
        s->bits[i / 64] |= UINT64_C(1) << i % 64;
}
static inline bool evaluated_has(const struct evaluated *s, uint32_t i)
{
    return s->bits[i / 64] >> i % 64 & 1;
}
void evaluated_merge(struct evaluated *into, const struct evaluated *from);

/* schema_check_parts.c: the keywords of arrays and of objects. */
bool check_array(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                 struct evaluated *seen);
bool check_object(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                  struct evaluated *seen);
bool check_unevaluated(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                       struct evaluated *seen);

#endif
