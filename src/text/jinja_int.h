/* jinja_int.h - The interpreter's state, and what its files need of each other.
 *
 * One struct jj lives for one render and belongs to one thread.  Everything that can fail
 * returns bool and has set j->err when false; the first error ends the render. */
#ifndef TEXT_JINJA_INT_H
#define TEXT_JINJA_INT_H

#include "text/jinja_ast.h"
#include "text/jinja_value.h"

/* Nested evaluations: bounds the C stack (some 300 bytes each). */
#define JJ_DEPTH_MAX 900
/* Nested lists and dicts in a value that is printed or compared. */
#define JJ_VALUE_DEPTH_MAX 200
#define JJ_RANGE_MAX       100000 /* as Jinja's sandbox */
#define JJ_SLICE_STEP_MAX  (1 << 30)
#define JJ_ARGS_MAX        8 /* of a built-in with named parameters */

/* Names that the interpreter sets itself: the first ones of every template, in this order. */
enum { JJ_ID_LOOP, JJ_ID_CALLER, JJ_ID_VARARGS, JJ_ID_KWARGS, JJ_ID_FIRST_FREE };

struct jj_variable {
    uint32_t id;
    struct jj_value value;
};

/* Variables of a block that keeps its own.  Looked up from the inside outwards. */
struct jj_scope {
    struct jj_scope *parent;
    struct jj_variable *v;
    uint32_t n, cap;
    bool is_captured; /* a macro was defined here: must stay as it is */
};

struct jj {
    struct arena *arena;
    struct err *err;
    bool has_failed;
    bool input_has_changed; /* then no dict prints as it was written any more */
    uint64_t steps_left;
    uint32_t depth;
    uint32_t line; /* of the node under evaluation */
    const struct jj_names *names;
    struct jj_scope *scope;
    struct jj_value block_text; /* what the innermost filter of a block works on */
    struct jj_text *out;        /* where output goes: the page, or a capture */
    size_t out_bytes_max;
    int64_t now_unix_s;
    int32_t utc_offset_s;
};

struct jj_macro {
    const struct jj_node *node; /* JJN_MACRO or JJN_CALL_BLOCK */
    struct jj_scope *scope;     /* where it was defined */
};

struct jj_args {
    struct jj_value *v;
    uint32_t n;
    struct jj_named {
        struct str name;
        struct jj_value value;
    } * kw;
    uint32_t n_kw;
};

/* ---- errors and bounds ---- */

/* Always return false.  jj_fail: the template or its input is wrong (ERR_ARG, "line N: ..."). */
bool jj_fail(struct jj *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool jj_fail_code(struct jj *j, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool jj_no_memory(struct jj *j);
/* Use n steps; false when there are none left. */
bool jj_spend(struct jj *j, uint64_t n);

/* ---- evaluation (jinja_eval.c, jinja_exec.c) ---- */

bool jj_eval(struct jj *j, const struct jj_node *n, struct jj_value *out);
bool jj_eval_args(struct jj *j, const struct jj_call_args *a, struct jj_args *out);
bool jj_call(struct jj *j, struct jj_value callee, const struct jj_args *args, struct jj_value *out);
bool jj_get_attr(struct jj *j, struct jj_value v, struct str name, struct jj_value *out);
bool jj_get_item(struct jj *j, struct jj_value v, struct jj_value key, struct jj_value *out);
bool jj_binary(struct jj *j, enum jj_token_type op, struct jj_value a, struct jj_value b,
               struct jj_value *out);

bool jj_exec_page(struct jj *j, const struct jj_nodes *body);
bool jj_call_macro(struct jj *j, struct jj_macro *m, const struct jj_args *args, struct jj_value *out);
bool jj_call_loop(struct jj *j, struct jj_loop *loop, struct jj_value items, struct jj_value *out);
bool jj_loop_attr(struct jj *j, struct jj_loop *loop, struct str name, struct jj_value *out);
bool jj_loop_cycle(struct jj *j, struct jj_loop *loop, const struct jj_args *args, struct jj_value *out);
bool jj_loop_changed(struct jj *j, struct jj_loop *loop, const struct jj_args *args, struct jj_value *out);

struct jj_scope *jj_scope_new(struct jj *j, struct jj_scope *parent);
bool jj_scope_set(struct jj *j, struct jj_scope *s, uint32_t id, struct jj_value v);

/* ---- built-ins ---- */

/* `spec` names the parameters, "old new count?": '?' marks those that may be absent, which are
 * then JJ_MISSING.  NULL: `raw` is used and the function takes its arguments apart itself. */
struct jj_builtin {
    const char *name;
    const char *spec;
    bool (*bound)(struct jj *j, struct jj_value self, struct jj_value *args, struct jj_value *out);
    bool (*raw)(struct jj *j, struct jj_value self, const struct jj_args *args, struct jj_value *out);
};

bool jj_run_builtin(struct jj *j, const struct jj_builtin *f, struct jj_value self,
                    const struct jj_args *args, struct jj_value *out);

extern const struct jj_builtin jj_text_filters[], jj_sequence_filters[], jj_number_filters[];
const struct jj_builtin *jj_find_filter(struct str name);
bool jj_apply_filter(struct jj *j, struct str name, struct jj_value v, const struct jj_args *args,
                     struct jj_value *out);
bool jj_apply_test(struct jj *j, struct str name, struct jj_value v, const struct jj_args *args, bool *out);
bool jj_is_test_name(struct str name);

/* A method of str, list, dict, ...; false (without an error) if the type has none of that name. */
bool jj_find_method(struct jj *j, struct jj_value self, struct str name, struct jj_value *out,
                    bool *is_found);
bool jj_call_method(struct jj *j, struct jj_method *m, const struct jj_args *args, struct jj_value *out);
bool jj_find_global(struct str name, struct jj_value *out);
bool jj_call_global(struct jj *j, uint16_t which, const struct jj_args *args, struct jj_value *out);

/* Helpers of several built-ins. */
bool jj_need_str(struct jj *j, struct jj_value v, const char *what, struct jj_value *out);
bool jj_need_int(struct jj *j, struct jj_value v, const char *what, int64_t *out);
bool jj_percent_format(struct jj *j, struct jj_value format, struct jj_value args, struct jj_value *out);
bool jj_brace_format(struct jj *j, struct jj_value format, const struct jj_args *args, struct jj_value *out);
bool jj_strftime(struct jj *j, struct jj_value format, struct jj_value *out);
/* For HTML; markup is left as it is.  The result is markup. */
bool jj_escape(struct jj *j, struct jj_value s, struct jj_value *out);
bool jj_str_replace(struct jj *j, struct jj_value s, struct jj_value old, struct jj_value new_text,
                    int64_t count, struct jj_value *out);
bool jj_str_strip(struct jj *j, struct jj_value s, struct jj_value chars, bool left, bool right,
                  struct jj_value *out);
enum jj_case { JJ_UPPER, JJ_LOWER, JJ_CAPITALIZE, JJ_TITLE, JJ_SWAP };
bool jj_str_case(struct jj *j, struct jj_value s, enum jj_case how, struct jj_value *out);
bool jj_str_is_case(struct str s, bool upper);
bool jj_str_lines(struct jj *j, struct jj_value s, bool keep_ends, struct jj_list **out);
bool jj_str_center(struct jj *j, struct jj_value s, int64_t width, struct jj_value fill, int where,
                   struct jj_value *out);
bool jj_sort(struct jj *j, struct jj_list *l, struct jj_value *keys, bool reverse);

#endif
