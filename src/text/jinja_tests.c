/* jinja_tests.c - What may stand behind `is`. */
#include "text/jinja_int.h"

struct test {
    const char *name;
    int n_args; /* how many it needs */
    bool (*run)(struct jj *j, struct jj_value v, const struct jj_value *a, bool *out);
};

#define TEST_FN(fn) static bool fn(struct jj *j, struct jj_value v, const struct jj_value *a, bool *out)
/* A test that needs only the value. */
#define SIMPLE(fn, expr)                                                                                     \
    TEST_FN(fn)                                                                                              \
    {                                                                                                        \
        (void)j, (void)a;                                                                                    \
        *out = (expr);                                                                                       \
        return true;                                                                                         \
    }

SIMPLE(is_defined, !jj_is(v, JJ_UNDEFINED))
SIMPLE(is_undefined, jj_is(v, JJ_UNDEFINED))
SIMPLE(is_none, jj_is(v, JJ_NONE))
SIMPLE(is_boolean, jj_is(v, JJ_BOOL))
SIMPLE(is_true, jj_is(v, JJ_BOOL) && v.b)
SIMPLE(is_false, jj_is(v, JJ_BOOL) && !v.b)
SIMPLE(is_integer, jj_is(v, JJ_INT) || jj_is(v, JJ_BIGINT))
SIMPLE(is_float, jj_is(v, JJ_FLOAT))
SIMPLE(is_number, jj_is_number(v) || jj_is(v, JJ_BIGINT))
SIMPLE(is_string, jj_is(v, JJ_STR))
SIMPLE(is_mapping, jj_is(v, JJ_DICT))
SIMPLE(is_iterable, jj_is_iterable(v))
SIMPLE(is_sequence, jj_is(v, JJ_STR) || jj_is(v, JJ_LIST) || jj_is(v, JJ_TUPLE) || jj_is(v, JJ_DICT) ||
                        jj_is(v, JJ_UNDEFINED) || (jj_is(v, JJ_ITER) && v.iter->kind == JJ_RANGE))
SIMPLE(is_callable, jj_is(v, JJ_MACRO) || jj_is(v, JJ_FUNCTION) || jj_is(v, JJ_METHOD) || jj_is(v, JJ_LOOP) ||
                        jj_is(v, JJ_JOINER) || jj_is(v, JJ_UNDEFINED))
SIMPLE(is_escaped, v.is_markup)
SIMPLE(is_filter, jj_is(v, JJ_STR) && jj_find_filter(v.s) != NULL)
SIMPLE(is_test, jj_is(v, JJ_STR) && jj_is_test_name(v.s))

static bool remainder_is(struct jj *j, struct jj_value v, struct jj_value by, int64_t wanted, bool *out)
{
    struct jj_value rest;
    return jj_binary(j, JJT_MOD, v, by, &rest) && jj_equal(j, rest, jj_int(wanted), out);
}
TEST_FN(is_odd)
{
    (void)a;
    return remainder_is(j, v, jj_int(2), 1, out);
}
TEST_FN(is_even)
{
    (void)a;
    return remainder_is(j, v, jj_int(2), 0, out);
}
TEST_FN(is_divisible)
{
    return remainder_is(j, v, a[0], 0, out);
}

TEST_FN(is_lower)
{
    (void)a;
    if (!jj_str_of(j, v, &v))
        return false;
    *out = jj_str_is_case(v.s, false);
    return true;
}
TEST_FN(is_upper)
{
    (void)a;
    if (!jj_str_of(j, v, &v))
        return false;
    *out = jj_str_is_case(v.s, true);
    return true;
}

TEST_FN(is_equal)
{
    return jj_equal(j, v, a[0], out);
}
TEST_FN(is_not_equal)
{
    if (!jj_equal(j, v, a[0], out))
        return false;
    *out = !*out;
    return true;
}

static bool ordered(struct jj *j, struct jj_value v, struct jj_value other, bool less, bool or_equal,
                    bool *out)
{
    int order;
    if (!jj_order(j, v, other, &order))
        return false;
    *out = order == (less ? -1 : 1) || (or_equal && order == 0);
    return true;
}
TEST_FN(is_less)
{
    return ordered(j, v, a[0], true, false, out);
}
TEST_FN(is_at_most)
{
    return ordered(j, v, a[0], true, true, out);
}
TEST_FN(is_greater)
{
    return ordered(j, v, a[0], false, false, out);
}
TEST_FN(is_at_least)
{
    return ordered(j, v, a[0], false, true, out);
}

TEST_FN(is_in)
{
    return jj_contains(j, a[0], v, out);
}

/* The same object: for containers the pointer, for plain values type and value. */
TEST_FN(is_same_as)
{
    if (v.type == JJ_LIST || v.type == JJ_TUPLE || v.type == JJ_DICT || v.type == JJ_NAMESPACE)
        *out = v.type == a[0].type && v.list == a[0].list;
    else if (v.type != a[0].type)
        *out = false;
    else
        return jj_equal(j, v, a[0], out);
    return true;
}

static const struct test tests[] = {{"defined", 0, is_defined},   {"undefined", 0, is_undefined},
                                    {"none", 0, is_none},         {"string", 0, is_string},
                                    {"mapping", 0, is_mapping},   {"iterable", 0, is_iterable},
                                    {"sequence", 0, is_sequence}, {"boolean", 0, is_boolean},
                                    {"true", 0, is_true},         {"false", 0, is_false},
                                    {"integer", 0, is_integer},   {"float", 0, is_float},
                                    {"number", 0, is_number},     {"callable", 0, is_callable},
                                    {"escaped", 0, is_escaped},   {"filter", 0, is_filter},
                                    {"test", 0, is_test},         {"odd", 0, is_odd},
                                    {"even", 0, is_even},         {"divisibleby", 1, is_divisible},
                                    {"lower", 0, is_lower},       {"upper", 0, is_upper},
                                    {"equalto", 1, is_equal},     {"eq", 1, is_equal},
                                    {"==", 1, is_equal},          {"ne", 1, is_not_equal},
                                    {"!=", 1, is_not_equal},      {"lt", 1, is_less},
                                    {"lessthan", 1, is_less},     {"<", 1, is_less},
                                    {"le", 1, is_at_most},        {"<=", 1, is_at_most},
                                    {"gt", 1, is_greater},        {"greaterthan", 1, is_greater},
                                    {">", 1, is_greater},         {"ge", 1, is_at_least},
                                    {">=", 1, is_at_least},       {"in", 1, is_in},
                                    {"sameas", 1, is_same_as}};

static const struct test *find_test(struct str name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (str_eq(name, str_c(tests[i].name)))
            return &tests[i];
    return NULL;
}

bool jj_is_test_name(struct str name)
{
    return find_test(name) != NULL;
}

bool jj_apply_test(struct jj *j, struct str name, struct jj_value v, const struct jj_args *args, bool *out)
{
    const struct test *t = find_test(name);
    struct jj_value arg = {.type = JJ_MISSING};
    if (!t)
        return jj_fail(j, "there is no test '%.*s'", STR(name));
    if (args->n + args->n_kw != (uint32_t)t->n_args)
        return jj_fail(j, "the test '%s' takes %d arguments, got %u", t->name, t->n_args,
                       args->n + args->n_kw);
    if (t->n_args)
        arg = args->n ? args->v[0] : args->kw[0].value;
    return t->run(j, v, &arg, out);
}
