/* param_types.c - See param_types.h. */
#include "engine/param_types.h"

#define DEPTH_MAX   8 /* of references and combinations */
#define SCHEMAS_MAX 500

static unsigned of_name(struct json type)
{
    static const struct {
        const char *name;
        unsigned types;
    } names[] = {{"string", PARAM_TEXT},    {"integer", PARAM_SCALAR}, {"number", PARAM_SCALAR},
                 {"boolean", PARAM_SCALAR}, {"null", PARAM_SCALAR},    {"array", PARAM_LIST},
                 {"object", PARAM_OBJECT}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_text_is(type, names[i].name))
            return names[i].types;
    return 0;
}

static unsigned of_value(struct json v)
{
    switch (json_type(v)) {
    case JSON_STRING: return PARAM_TEXT;
    case JSON_ARRAY: return PARAM_LIST;
    case JSON_OBJECT: return PARAM_OBJECT;
    default: return PARAM_SCALAR;
    }
}

struct json param_resolve(struct json param, struct json root)
{
    struct str ref = json_span(json_get(param, "$ref"));
    static const struct {
        const char *prefix, *member;
    } places[] = {{"\"#/$defs/", "$defs"}, {"\"#/definitions/", "definitions"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (str_starts(ref, str_c(places[i].prefix))) {
            struct str name = str_sub(ref, strlen(places[i].prefix), ref.n - 1);
            struct json found = json_get_str(json_get(root, places[i].member), name);
            if (json_exists(found))
                return found;
        }
    return param;
}

struct search {
    struct json root;
    int schemas_left;
};

static unsigned find(struct search *s, struct json param, int depth);

static unsigned of_type(struct json type)
{
    if (!json_is(type, JSON_ARRAY))
        return of_name(type);
    unsigned types = 0;
    struct json_iter it = json_iter(type);
    while (json_next(&it))
        types |= of_name(it.value);
    return types;
}

static unsigned of_values(struct json list)
{
    unsigned types = 0;
    struct json_iter it = json_iter(list);
    while (json_next(&it))
        types |= of_value(it.value);
    return types;
}

static unsigned of_branches(struct search *s, struct json branches, bool is_all, int depth)
{
    unsigned any = 0, all = PARAM_ANY;
    struct json_iter it = json_iter(branches);
    while (json_next(&it)) {
        unsigned types = find(s, it.value, depth);
        any |= types;
        all &= types;
    }
    return is_all ? all : any;
}

/* What one keyword leaves. */
static unsigned of_keyword(struct search *s, const struct json_iter *it, int depth)
{
    if (json_text_is(it->key_value, "type"))
        return of_type(it->value);
    if (json_text_is(it->key_value, "const"))
        return of_value(it->value);
    if (json_text_is(it->key_value, "enum"))
        return of_values(it->value);
    if (json_text_is(it->key_value, "anyOf") || json_text_is(it->key_value, "oneOf"))
        return of_branches(s, it->value, false, depth - 1);
    if (json_text_is(it->key_value, "allOf"))
        return of_branches(s, it->value, true, depth - 1);
    return PARAM_ANY;
}

/* Goes as deep as references and combinations do, at most DEPTH_MAX. */
static unsigned find(struct search *s, struct json param, int depth)
{
    unsigned types = PARAM_ANY;
    if (depth == 0 || !json_is(param, JSON_OBJECT) || s->schemas_left-- <= 0)
        return types;
    struct json meant = param_resolve(param, s->root);
    if (json_span(meant).p != json_span(param).p)
        types = find(s, meant, depth - 1);
    struct json_iter it = json_iter(param);
    while (json_next(&it))
        types &= of_keyword(s, &it, depth);
    return types;
}

unsigned param_types(struct json param, struct json root)
{
    struct search s = {root, SCHEMAS_MAX};
    unsigned types = find(&s, param, DEPTH_MAX);
    return types ? types : PARAM_ANY;
}
