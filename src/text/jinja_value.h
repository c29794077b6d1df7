/* jinja_value.h - The values of the template language, as Python has them.
 *
 * A value is 32 bytes and passed by copy; lists, dicts and the like are shared by pointer and
 * live in the render's arena.  Text knows where each byte came from (mark): see template.h.
 * A function that returns bool has, when false, put an error into the interpreter. */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/str.h"

struct jj;

enum jj_type {
    JJ_MISSING, /* no value at all: an argument that was not given */
    JJ_UNDEFINED,
    JJ_NONE,
    JJ_BOOL,
    JJ_INT,
    JJ_BIGINT, /* an integer beyond 64 bits: kept as its digits, no arithmetic */
    JJ_FLOAT,
    JJ_STR,
    JJ_LIST,
    JJ_TUPLE,
    JJ_DICT,
    JJ_ITER, /* a generator, dict view or range: see struct jj_iter */
    JJ_NAMESPACE,
    JJ_MACRO,
    JJ_FUNCTION,
    JJ_METHOD,
    JJ_LOOP,
    JJ_CYCLER,
    JJ_JOINER
};

enum jj_mark {
    JJ_TEMPLATE, /* all bytes are the template's */
    JJ_DATA,     /* all bytes are from messages and other input */
    JJ_MIXED     /* marks[] says it for each byte */
};

struct jj_value {
    uint8_t type;   /* enum jj_type */
    uint8_t mark;   /* enum jj_mark; of numbers: where their digits came from */
    uint16_t aux;   /* JJ_FUNCTION: which */
    bool is_markup; /* STR: from `safe` or `escape`; what is added to it by '+' is escaped */
    union {
        bool b;
        int64_t i;
        double f;
        struct str s; /* STR, BIGINT; UNDEFINED: what is undefined, as a sentence */
        struct jj_list *list;
        struct jj_dict *dict; /* DICT, NAMESPACE */
        struct jj_iter *iter;
        struct jj_macro *macro;
        struct jj_method *method;
        struct jj_loop *loop;
        struct jj_cycler *cycler; /* CYCLER, JOINER */
    };
    const uint8_t *marks; /* JJ_MIXED: enum jj_mark of each byte */
};

struct jj_list {
    struct jj_value *v;
    uint32_t n, cap;
    uint8_t mark; /* JJ_DATA if it came as input: then its brackets print as data */
};

struct jj_entry {
    struct jj_value key, value;
    uint64_t hash;
};

/* In order of insertion.  A table of places is kept from 9 entries on. */
struct jj_dict {
    struct jj_entry *e;
    uint32_t n, cap;
    uint32_t *table; /* place + 1, 0 = free; NULL while small */
    uint32_t table_cap;
    uint8_t mark;
    struct str as_written; /* n > 0: the JSON it was read from, which tojson repeats; see template.h */
};

enum jj_iter_kind { JJ_GENERATOR, JJ_KEYS, JJ_VALUES, JJ_ITEMS, JJ_RANGE };

/* A generator is consumed by iteration; the others are not. */
struct jj_iter {
    enum jj_iter_kind kind;
    struct jj_list *list;
    uint32_t at;               /* generator: the next item */
    int64_t start, stop, step; /* range */
};

struct jj_cycler {
    struct jj_list *items;
    uint32_t at;
    bool is_used;
};

/* ---- making ---- */

static inline struct jj_value jj_none(void)
{
    return (struct jj_value){.type = JJ_NONE};
}
static inline struct jj_value jj_bool(bool b)
{
    return (struct jj_value){.type = JJ_BOOL, .b = b};
}
static inline struct jj_value jj_int(int64_t i)
{
    return (struct jj_value){.type = JJ_INT, .i = i};
}
static inline struct jj_value jj_float(double f)
{
    return (struct jj_value){.type = JJ_FLOAT, .f = f};
}
static inline struct jj_value jj_str(struct str s)
{
    return (struct jj_value){.type = JJ_STR, .s = s};
}
static inline struct jj_value jj_undefined(struct str why)
{
    return (struct jj_value){.type = JJ_UNDEFINED, .s = why};
}
static inline bool jj_is(struct jj_value v, enum jj_type t)
{
    return v.type == t;
}
/* Text made from others: data as soon as one of them has data in it. */
static inline uint8_t jj_mark_either(struct jj_value a, struct jj_value b)
{
    return a.mark || b.mark ? JJ_DATA : JJ_TEMPLATE;
}

/* NULL (and an error) without memory. */
struct jj_list *jj_list_new(struct jj *j, uint32_t cap);
bool jj_list_push(struct jj *j, struct jj_list *l, struct jj_value v);
struct jj_value jj_of_list(struct jj_list *l, enum jj_type type); /* LIST or TUPLE */
bool jj_pair(struct jj *j, struct jj_value a, struct jj_value b, struct jj_value *tuple);
bool jj_of_iter(struct jj *j, struct jj_list *l, enum jj_iter_kind kind, struct jj_value *out);

struct jj_dict *jj_dict_new(struct jj *j);
bool jj_dict_set(struct jj *j, struct jj_dict *d, struct jj_value key, struct jj_value value);
/* *out is the entry or NULL; false if the key cannot be a key. */
bool jj_dict_find(struct jj *j, struct jj_dict *d, struct jj_value key, struct jj_entry **out);
struct jj_entry *jj_dict_find_str(struct jj_dict *d, struct str key);
bool jj_dict_remove(struct jj *j, struct jj_dict *d, struct jj_entry *e);
bool jj_dict_keys(struct jj *j, struct jj_dict *d, enum jj_iter_kind what, struct jj_list **out);

/* A JSON value as data (mark JJ_DATA throughout). */
bool jj_from_json(struct jj *j, struct json v, struct jj_value *out);

/* ---- asking ---- */

bool jj_truth(struct jj_value v);
bool jj_is_number(struct jj_value v); /* bool, int, float */
/* A bool or int as an integer; false (without an error) for others. */
bool jj_as_int(struct jj_value v, int64_t *out);
bool jj_as_float(struct jj_value v, double *out); /* the same for bool, int, float */
bool jj_equal(struct jj *j, struct jj_value a, struct jj_value b, bool *out);
/* -1, 0, 1 (2: not ordered, a NaN); an error if Python has no order between the two. */
bool jj_order(struct jj *j, struct jj_value a, struct jj_value b, int *out);
bool jj_contains(struct jj *j, struct jj_value container, struct jj_value item, bool *out);
/* len(); an error for what has none. */
bool jj_length(struct jj *j, struct jj_value v, int64_t *out);
bool jj_is_iterable(struct jj_value v);
/* The items of anything iterable; a list itself for a list or tuple, so do not change it. */
bool jj_items_of(struct jj *j, struct jj_value v, struct jj_list **out);
const char *jj_type_name(struct jj_value v); /* Python's name of the type */

/* ---- text ---- */

/* Text under construction, in the render's arena, with its marks. */
struct jj_text {
    char *p;
    uint8_t *marks; /* NULL while all bytes are `mark` */
    size_t n, cap;
    uint8_t mark;
};

bool jj_text_add(struct jj *j, struct jj_text *t, struct str s, uint8_t mark);
/* The characters of a STR value, or bytes [from, to) of it. */
bool jj_text_add_str(struct jj *j, struct jj_text *t, struct jj_value v);
bool jj_text_add_sub(struct jj *j, struct jj_text *t, struct jj_value v, size_t from, size_t to);
bool jj_text_add_code(struct jj *j, struct jj_text *t, uint32_t code, uint8_t mark);
struct jj_value jj_text_value(const struct jj_text *t);

struct jj_value jj_sub(struct jj_value v, size_t from, size_t to); /* bytes [from, to) of a STR */
static inline uint8_t jj_mark_at(struct jj_value v, size_t at)     /* v: a STR */
{
    return v.mark == JJ_MIXED ? v.marks[at] : v.mark;
}
size_t jj_char_count(struct str s);
/* Byte offset of character `i`; s.n if there are not so many. */
size_t jj_char_offset(struct str s, size_t i);

bool jj_str_of(struct jj *j, struct jj_value v, struct jj_value *out);     /* str() */
bool jj_text_add_of(struct jj *j, struct jj_text *t, struct jj_value v);   /* += str() */
bool jj_text_add_repr(struct jj *j, struct jj_text *t, struct jj_value v); /* += repr() */
#define JJ_FLOAT_TEXT_MAX 40
size_t jj_float_repr(char out[JJ_FLOAT_TEXT_MAX], double f); /* shortest that reads back, as Python */

/* Python's json.dumps. */
struct jj_dumps {
    bool ensure_ascii, sort_keys, has_indent;
    bool is_plain; /* all as Python's defaults: as_written may stand for a dict */
    struct jj_value indent, item_separator, key_separator; /* STR */
};
bool jj_to_json(struct jj *j, struct jj_text *t, struct jj_value v, const struct jj_dumps *how);

#endif
