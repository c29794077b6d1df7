/* toolcall_int.h - Parts of the tool-call parser that look at whole texts, without state. */
#ifndef TEXT_TOOLCALL_INT_H
#define TEXT_TOOLCALL_INT_H

#include "text/toolcall.h"

enum toolcall_scan { SCAN_MORE, SCAN_BAD, SCAN_ARGS, SCAN_WHOLE };

/* {"name": ..., "arguments": ... as far as it is there. */
struct toolcall_head {
    struct str name, id; /* between the quotes */
    struct str args;     /* the arguments' text if they came before the name or are text */
    bool args_are_text;  /* a JSON string that holds JSON */
    size_t at;           /* SCAN_ARGS: where '{' of the arguments is; SCAN_WHOLE: behind '}' */
    int nested;
};
/* SCAN_ARGS: the name is known and the arguments begin.  SCAN_WHOLE: the object is complete. */
enum toolcall_scan toolcall_scan_head(struct str s, const struct toolcall_format *f,
                                      struct toolcall_head *head);
/* Behind the arguments: the rest of the object and of the one around it.  SCAN_WHOLE: *at is
 * behind it, *id set if there was one. */
enum toolcall_scan toolcall_scan_tail(struct str s, int nested, size_t *at, struct str *id);

/* Offset behind the JSON value at `at`, or STR_NONE if it is not complete.  Brackets and strings
 * are matched, no more. */
size_t toolcall_json_end(struct str s, size_t at);
size_t toolcall_skip_space(struct str s, size_t at);

/* One call of a buffered text.  `args` is filled with JSON. */
struct toolcall_parsed {
    struct str name;
    struct buf args;
};
/* Parse name and parameters of a TAGS call; `s` is without begin and end marker. */
bool toolcall_parse_tags(const struct toolcall_parser *p, struct str s, struct toolcall_parsed *out);
/* The Python call at *at (f(a=1, b='x')), with `.call` dropped behind the name. */
bool toolcall_parse_python(struct str s, size_t *at, struct toolcall_parsed *out);
/* May `s` still become "[name(" (or "name(")?  SCAN_WHOLE: it is. */
enum toolcall_scan toolcall_scan_python_start(struct str s, bool is_list);
/* Offset behind the ']' or ')' that closes the first bracket of `s`, or STR_NONE. */
size_t toolcall_python_end(struct str s);

#endif
