/* schema_pattern.h - Patterns of JSON Schema, matched by PCRE2.  Of this folder only. */
#ifndef GRAMMAR_SCHEMA_PATTERN_H
#define GRAMMAR_SCHEMA_PATTERN_H

#include "grammar/schema_int.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Compile `pattern` (ECMA-262, flag u, valid UTF-8, not anchored).  On failure *out is NULL and `why`
 * holds what is wrong, as the end of a sentence.  pcre2_code_free is the caller's. */
int schema_pattern_compile(pcre2_code **out, struct str pattern, char *why, size_t why_bytes);
/* What matches are run with; NULL without memory. */
pcre2_match_context *schema_pattern_context(void);

/* How much one match may do. */
struct schema_pattern_bounds {
    int64_t deadline_ns; /* of clock_now_ns; looked at every few beginnings */
    bool is_brief;       /* much less work before each look, so that it is over within a millisecond of it */
};
/* 1 it matches somewhere in text, 0 nowhere, -1 it would take more than the bounds allow. */
int schema_pattern_match(const pcre2_code *re, struct str text, pcre2_match_data *data,
                         pcre2_match_context *context, const struct schema_pattern_bounds *bounds);

#endif
