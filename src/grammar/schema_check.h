/* schema_check.h - Does this JSON text follow this schema?  Exact JSON Schema 2020-12.
 *
 * Numbers are compared digit by digit (never through a double), lengths count code points,
 * patterns are ECMA-262 with the flag u, matched by PCRE2 within bounds; the formats named in
 * enum schema_format are asserted, others are annotations, and so are unknown keywords.
 *
 * A checker holds what is compiled once (the patterns).  It is not thread-safe: one user at a time.
 * The schema must outlive it. */
#ifndef GRAMMAR_SCHEMA_CHECK_H
#define GRAMMAR_SCHEMA_CHECK_H

#include "grammar/schema.h"

/* One check may do so many elementary steps and take so long; past either it ends with ERR_LIMIT. */
#define SCHEMA_CHECK_STEPS_MAX 4000000
#define SCHEMA_CHECK_MS_MAX    500

/* A brief check has these bounds instead, and none for a text of more bytes. */
#define SCHEMA_BRIEF_STEPS_MAX 100000
#define SCHEMA_BRIEF_MS_MAX    1
#define SCHEMA_BRIEF_BYTES_MAX 131072

struct schema_checker;

/* What is wrong first, in the order of the schema. */
struct schema_fault {
    char instance[200]; /* JSON pointer of the value, "" for the whole; cut at the end if longer */
    char schema[300];   /* JSON pointer of the keyword that it breaks; "" when it is no JSON at all */
    char text[400];     /* one sentence, without a dot: "the value at /a must be a string, not a number" */
};

/* Fails with ERR_UNSUPPORTED for a pattern that is no regular expression of ECMA-262 (or that PCRE2
 * cannot match), naming its place in the schema. */
int schema_checker_create(struct schema_checker **out, const struct schema *s, struct err *err);
void schema_checker_free(struct schema_checker *k);

/* Checks from now on are brief, or not (as in the beginning): for a thread that serves others too.  What
 * is ERR_LIMIT then is checked again where there is time. */
void schema_checker_set_brief(struct schema_checker *k, bool is_brief);

/* OK; ERR_FORMAT: it does not follow the schema, and *fault (may be NULL) says why; ERR_LIMIT or
 * ERR_NOMEM: it could not be decided within bounds, and *fault says so. */
int schema_check(struct schema_checker *k, struct json value, struct schema_fault *fault);
/* The beginning of a text, made whole: `text` is JSON, of which only the first n_real bytes were said;
 * what reaches beyond them may still grow, what begins beyond them is a hole of which nothing is known.
 * With is_number_open a number that ends at n_real may have more digits to come.  ERR_FORMAT: no text
 * that begins so follows the schema.  (OK promises nothing: not all that is wrong shows at once.) */
int schema_check_begun(struct schema_checker *k, struct str text, size_t n_real, bool is_number_open,
                       struct schema_fault *fault);
/* As schema_check, for a text that may be no JSON (ERR_FORMAT too). */
int schema_check_text(struct schema_checker *k, struct str text, struct schema_fault *fault);

#endif
