/* schema_check.c - The validator: scalars, combinations, and what is said about a fault.
 *
 * check_node() calls itself for each schema inside a schema; the instance's depth is bounded by the
 * JSON reader and the chain of schemas at one value by NESTED_MAX, so the stack is too.  Where a
 * fault is no fault of the whole (a branch of anyOf) the check is quiet: then nothing is written,
 * only the depth of the fault is kept, by which anyOf finds the branch that came closest and runs
 * it once more aloud. */
#include "grammar/schema_check_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define NESTED_MAX      1500
#define SCRATCH_MAX     (32u << 20)
#define MATCH_STEPS     100  /* what a match of a pattern counts for, at least */
#define STEPS_PER_CLOCK 4096 /* the clock is read so often */

/* ---- steps, faults, small helpers ---- */

void check_set_bounds(struct check *c)
{
    bool is_brief = c->checker->is_brief;
    c->steps_max = is_brief ? SCHEMA_BRIEF_STEPS_MAX : SCHEMA_CHECK_STEPS_MAX;
    c->deadline_ns = clock_now_ns() + (is_brief ? SCHEMA_BRIEF_MS_MAX : SCHEMA_CHECK_MS_MAX) * NS_PER_MS;
}

bool check_spend(struct check *c, uint64_t n)
{
    uint64_t before = c->n_steps;
    c->n_steps += n;
    if (c->rc == OK && c->n_steps > c->steps_max)
        c->rc = ERR_LIMIT;
    if (c->rc == OK && c->n_steps / STEPS_PER_CLOCK != before / STEPS_PER_CLOCK &&
        clock_now_ns() > c->deadline_ns)
        c->rc = ERR_LIMIT;
    return c->rc == OK;
}

/* The pointer of a place, from its end, so that a long one loses its beginning. */
static void write_place(struct check *c, const struct place *at, char *out, size_t room)
{
    char text[sizeof c->fault->instance];
    size_t n = sizeof text;
    text[--n] = 0;
    for (; at->up; at = at->up) {
        char token[80];
        if (json_exists(at->key)) {
            struct str key = check_text(c, at->key);
            snprintf(token, sizeof token, "/%.*s", STR(str_sub(key, 0, 60)));
        } else {
            snprintf(token, sizeof token, "/%u", at->idx);
        }
        size_t n_token = strlen(token);
        if (n_token + 4 > n) {
            n -= 3;
            memcpy(text + n, "...", 3);
            break;
        }
        n -= n_token;
        memcpy(text + n, token, n_token);
    }
    snprintf(out, room, "%s", text + n);
}

bool check_fault(struct check *c, const struct schema_node *node, const char *keyword, const struct place *at,
                 const char *fmt, ...)
{
    c->fail_depth = at->depth;
    if (c->n_quiet || !c->fault || c->rc != OK)
        return false;
    char what[240];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    struct schema_fault *f = c->fault;
    write_place(c, at, f->instance, sizeof f->instance);
    snprintf(f->schema, sizeof f->schema, "%.*s%s%s", STR(str_sub(node->pointer, 0, 200)), keyword ? "/" : "",
             keyword ? keyword : "");
    char subject[sizeof f->instance + 16];
    snprintf(subject, sizeof subject, f->instance[0] ? "the value at %s" : "the value", f->instance);
    snprintf(f->text, sizeof f->text, "%s %s", subject, what);
    return false;
}

struct str check_text(struct check *c, struct json v)
{
    struct str s = json_text(v, &c->arena);
    if (!s.p)
        c->rc = ERR_NOMEM;
    return s.p ? s : str_of("", 0);
}

bool check_match(struct check *c, const pcre2_code *re, struct str text, bool *matches)
{
    if (!check_spend(c, MATCH_STEPS + text.n / 8))
        return false;
    struct schema_pattern_bounds bounds = {c->deadline_ns, c->checker->is_brief};
    int m = schema_pattern_match(re, text, c->checker->match, c->checker->context, &bounds);
    if (clock_now_ns() > c->deadline_ns || m < 0)
        c->rc = ERR_LIMIT;
    *matches = m == 1;
    return c->rc == OK;
}

void evaluated_init(struct check *c, struct evaluated *s, uint32_t n)
{
    s->n = (n + 63) / 64;
    s->bits = arena_new_array(&c->arena, uint64_t, s->n + 1);
    if (!s->bits)
        c->rc = ERR_NOMEM;
}

void evaluated_merge(struct evaluated *into, const struct evaluated *from)
{
    for (uint32_t i = 0; into && i < from->n; i++)
        into->bits[i] |= from->bits[i];
}

/* ---- types and values ---- */

static bool is_integer(struct json v)
{
    struct schema_number n;
    struct schema_number_room room;
    bool yes = schema_number_of(&n, v, &room) && schema_number_is_integer(&n);
    schema_number_done(&room);
    return yes;
}

static bool has_type(const struct check *c, const struct schema_node *node, struct json v)
{
    switch (json_type(v)) {
    case JSON_NULL: return node->types & SCHEMA_NULL;
    case JSON_TRUE:
    case JSON_FALSE: return node->types & SCHEMA_BOOLEAN;
    case JSON_NUMBER:
        return node->types & SCHEMA_NUMBER ||
               (node->types & SCHEMA_INTEGER && (check_is_open(c, v) || is_integer(v)));
    case JSON_STRING: return node->types & SCHEMA_STRING;
    case JSON_ARRAY: return node->types & SCHEMA_ARRAY;
    case JSON_OBJECT: return node->types & SCHEMA_OBJECT;
    default: return false;
    }
}

static const char *type_name(struct json v)
{
    static const char *const names[] = {"nothing",  "null",     "a boolean", "a boolean",
                                        "a number", "a string", "an array",  "an object"};
    return names[json_type(v)];
}

static bool check_type(struct check *c, const struct schema_node *node, struct json v, const struct place *at)
{
    if (has_type(c, node, v))
        return true;
    static const char *const names[] = {"null",     "a boolean", "an integer", "a number",
                                        "a string", "an array",  "an object"};
    char want[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool implied = i == 2 && node->types & SCHEMA_NUMBER;
        if (node->types >> i & 1 && !implied)
            n += (size_t)snprintf(want + n, sizeof want - n, "%s%s", n ? " or " : "", names[i]);
    }
    return check_fault(c, node, "type", at, "must be %s, not %s", want, type_name(v));
}

/* A text that is begun: does `value` begin so? */
static bool begins(struct check *c, struct json value, struct json begun)
{
    return json_is(value, JSON_STRING) && str_starts(check_text(c, value), check_text(c, begun));
}

/* What is not whole yet can still become anything, but a text only what begins like it. */
static bool check_begun_values(struct check *c, const struct schema_node *node, struct json v,
                               const struct place *at)
{
    if (!json_is(v, JSON_STRING))
        return true;
    if (node->has & SCHEMA_HAS_CONST && !begins(c, node->const_value, v))
        return check_fault(c, node, "const", at, "must be %.*s",
                           STR(str_sub(json_span(node->const_value), 0, 160)));
    bool any = !(node->has & SCHEMA_HAS_ENUM);
    struct json_iter it = json_iter(node->enum_values);
    while (!any && json_next(&it))
        any = begins(c, it.value, v);
    return any || check_fault(c, node, "enum", at, "must be one of %.*s",
                              STR(str_sub(json_span(node->enum_values), 0, 160)));
}

static bool check_values(struct check *c, const struct schema_node *node, struct json v,
                         const struct place *at)
{
    if (check_is_open(c, v))
        return check_begun_values(c, node, v, at);
    if (node->has & SCHEMA_HAS_CONST) {
        if (!check_spend(c, 1 + json_span(node->const_value).n / 16))
            return false;
        if (!schema_values_equal(v, node->const_value))
            return check_fault(c, node, "const", at, "must be %.*s",
                               STR(str_sub(json_span(node->const_value), 0, 160)));
    }
    if (node->has & SCHEMA_HAS_ENUM) {
        if (!check_spend(c, 1 + json_span(node->enum_values).n / 16))
            return false;
        struct json_iter it = json_iter(node->enum_values);
        while (json_next(&it))
            if (schema_values_equal(v, it.value))
                return true;
        return check_fault(c, node, "enum", at, "must be one of %.*s",
                           STR(str_sub(json_span(node->enum_values), 0, 160)));
    }
    return true;
}

/* ---- numbers and strings ---- */

static bool check_range(struct check *c, const struct schema_node *node, const struct schema_number *n,
                        const struct place *at)
{
    const struct {
        const char *keyword, *words;
        const struct schema_number *bound;
        int lo, hi; /* what schema_number_cmp may answer */
    } bounds[] = {
        {"minimum", "at least", &node->minimum, 0, 1},
        {"exclusiveMinimum", "more than", &node->exclusive_minimum, 1, 1},
        {"maximum", "at most", &node->maximum, -1, 0},
        {"exclusiveMaximum", "less than", &node->exclusive_maximum, -1, -1},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        if (!schema_number_exists(bounds[i].bound))
            continue;
        int cmp = schema_number_cmp(n, bounds[i].bound);
        if (cmp < bounds[i].lo || cmp > bounds[i].hi)
            return check_fault(c, node, bounds[i].keyword, at, "must be %s %.*s, not %.*s", bounds[i].words,
                               STR(str_sub(bounds[i].bound->text, 0, 40)), STR(str_sub(n->text, 0, 40)));
    }
    if (schema_number_exists(&node->multiple_of) && !schema_number_is_multiple(n, &node->multiple_of))
        return check_fault(c, node, "multipleOf", at, "must be a multiple of %.*s, which %.*s is not",
                           STR(node->multiple_of.text), STR(str_sub(n->text, 0, 40)));
    return true;
}

static bool check_int_format(struct check *c, const struct schema_node *node, const struct schema_number *n,
                             const struct place *at)
{
    int64_t i;
    bool fits = schema_number_i64(n, &i) &&
                (node->format == SCHEMA_FORMAT_INT64 || (i >= INT32_MIN && i <= INT32_MAX));
    return fits || check_fault(c, node, "format", at, "must be an integer of %d bits",
                               node->format == SCHEMA_FORMAT_INT64 ? 64 : 32);
}

static bool check_number(struct check *c, const struct schema_node *node, struct json v,
                         const struct place *at)
{
    struct schema_number n;
    struct schema_number_room room;
    if (!check_spend(c, 1 + json_span(v).n / 16))
        return false;
    bool ok;
    if (!schema_number_of(&n, v, &room))
        ok = check_fault(c, node, NULL, at, "is a number whose exponent is too large to be looked at");
    else
        ok = check_range(c, node, &n, at) &&
             ((node->format != SCHEMA_FORMAT_INT32 && node->format != SCHEMA_FORMAT_INT64) ||
              check_int_format(c, node, &n, at));
    schema_number_done(&room);
    return ok;
}

static bool check_string(struct check *c, const struct schema_node *node, struct json v,
                         const struct place *at)
{
    if (!check_spend(c, 1 + json_span(v).n / 16))
        return false;
    if (node->min_length || node->max_length != SCHEMA_NO_MAX) {
        uint64_t n = schema_string_length(v);
        if (n < node->min_length && !check_is_open(c, v))
            return check_fault(c, node, "minLength", at, "must have at least %llu characters, not %llu",
                               (unsigned long long)node->min_length, (unsigned long long)n);
        if (n > node->max_length)
            return check_fault(c, node, "maxLength", at, "must have at most %llu characters, not %llu",
                               (unsigned long long)node->max_length, (unsigned long long)n);
    }
    if ((!node->pattern.p && !node->format) || check_is_open(c, v))
        return true;
    struct str text = check_text(c, v);
    bool matches = true;
    if (node->pattern.p && !check_match(c, c->checker->patterns[node->id].pattern, text, &matches))
        return false;
    if (!matches)
        return check_fault(c, node, "pattern", at, "must match the pattern %.*s",
                           STR(str_sub(node->pattern, 0, 160)));
    if (!schema_format_check(node->format, text))
        return check_fault(c, node, "format", at, "must be a text of the format %.*s",
                           STR(str_sub(node->format_name, 0, 60)));
    return c->rc == OK;
}

/* ---- combinations ---- */

bool check_quietly(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                   struct evaluated *seen)
{
    c->n_quiet++;
    bool ok = check_node(c, node, v, at, seen);
    c->n_quiet--;
    return ok && c->rc == OK;
}

/* Quietly, and what the branch has seen counts only if it holds. */
static bool try_branch(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                       struct evaluated *seen)
{
    if (!seen)
        return check_quietly(c, node, v, at, NULL);
    struct evaluated own;
    evaluated_init(c, &own, json_count(v));
    if (c->rc != OK || !check_quietly(c, node, v, at, &own))
        return false;
    evaluated_merge(seen, &own);
    return true;
}

/* The branch that came furthest before it failed, and how many came as far. */
struct nearest {
    int depth, n;
    uint32_t branch;
};

static void note_miss(struct nearest *near, int fail_depth, uint32_t branch)
{
    if (fail_depth < near->depth)
        return;
    near->n = fail_depth == near->depth ? near->n + 1 : 1;
    near->depth = fail_depth;
    near->branch = branch;
}

/* No branch holds.  If one came further than the others, what is wrong there helps most; but
 * quietly nothing is run twice: what was nested in branches would be run 2^depth times. */
static bool no_branch(struct check *c, const struct schema_node *node, const char *keyword,
                      const struct schema_list *branches, struct json v, const struct place *at,
                      const struct nearest *near)
{
    if (!c->n_quiet && near->n == 1)
        return check_node(c, branches->items[near->branch], v, at, NULL);
    check_fault(c, node, keyword, at, "matches none of the %u schemas of %s", branches->n, keyword);
    c->fail_depth = near->depth;
    return false;
}

static bool check_any(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                      struct evaluated *seen)
{
    bool any = false;
    struct nearest near = {.depth = at->depth};
    for (uint32_t i = 0; i < node->any_of.n && c->rc == OK; i++) {
        if (try_branch(c, node->any_of.items[i], v, at, seen)) {
            any = true;
            if (!seen)
                break;
        } else {
            note_miss(&near, c->fail_depth, i);
        }
    }
    if (any || c->rc != OK)
        return c->rc == OK;
    return no_branch(c, node, "anyOf", &node->any_of, v, at, &near);
}

static bool check_one(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                      struct evaluated *seen)
{
    uint32_t n = 0, first = 0, second = 0;
    struct nearest near = {.depth = at->depth};
    for (uint32_t i = 0; i < node->one_of.n && c->rc == OK && n < 2; i++) {
        if (try_branch(c, node->one_of.items[i], v, at, seen)) {
            *(n ? &second : &first) = i;
            n++;
        } else {
            note_miss(&near, c->fail_depth, i);
        }
    }
    if (c->rc != OK || n == 1 || (n == 2 && check_is_open(c, v)))
        return c->rc == OK;
    if (n == 2)
        return check_fault(c, node, "oneOf", at,
                           "matches schemas %u and %u of oneOf, and must match only one", first, second);
    return no_branch(c, node, "oneOf", &node->one_of, v, at, &near);
}

static bool check_combined(struct check *c, const struct schema_node *node, struct json v,
                           const struct place *at, struct evaluated *seen)
{
    if (node->ref && !check_node(c, node->ref, v, at, seen))
        return false;
    for (uint32_t i = 0; i < node->all_of.n; i++)
        if (!check_node(c, node->all_of.items[i], v, at, seen))
            return false;
    if (node->any_of.n && !check_any(c, node, v, at, seen))
        return false;
    if (node->one_of.n && !check_one(c, node, v, at, seen))
        return false;
    if (check_is_open(c, v)) /* what holds of the beginning may not hold of the whole */
        return c->rc == OK;
    if (node->not_ && check_quietly(c, node->not_, v, at, NULL))
        return check_fault(c, node, "not", at, "must not match the schema of not");
    if (node->if_ && c->rc == OK) {
        bool holds = try_branch(c, node->if_, v, at, seen);
        const struct schema_node *next = holds ? node->then_ : node->else_;
        if (next && c->rc == OK)
            return check_node(c, next, v, at, seen);
    }
    return c->rc == OK;
}

/* ---- a node ---- */

static bool check_keywords(struct check *c, const struct schema_node *node, struct json v,
                           const struct place *at, struct evaluated *seen)
{
    uint32_t has = node->has;
    if (has & SCHEMA_HAS_TYPE && !check_type(c, node, v, at))
        return false;
    if (has & (SCHEMA_HAS_CONST | SCHEMA_HAS_ENUM) && !check_values(c, node, v, at))
        return false;
    switch (json_type(v)) {
    case JSON_NUMBER:
        if (has & (SCHEMA_HAS_NUMBER | SCHEMA_HAS_STRING) && !check_is_open(c, v) &&
            !check_number(c, node, v, at))
            return false;
        break;
    case JSON_STRING:
        if (has & SCHEMA_HAS_STRING && !check_string(c, node, v, at))
            return false;
        break;
    case JSON_ARRAY:
        if (has & SCHEMA_HAS_ARRAY && !check_array(c, node, v, at, seen))
            return false;
        break;
    case JSON_OBJECT:
        if (has & SCHEMA_HAS_OBJECT && !check_object(c, node, v, at, seen))
            return false;
        break;
    default: break;
    }
    return !(has & SCHEMA_HAS_COMBINE) || check_combined(c, node, v, at, seen);
}

static bool asks_unevaluated(const struct check *c, const struct schema_node *node, struct json v)
{
    if (check_is_open(c, v))
        return false;
    return json_is(v, JSON_OBJECT) ? node->unevaluated_properties != NULL
                                   : json_is(v, JSON_ARRAY) && node->unevaluated_items != NULL;
}

/* With unevaluated*: what this node and those under it have seen is gathered on its own first. */
static bool check_with_rest(struct check *c, const struct schema_node *node, struct json v,
                            const struct place *at, struct evaluated *seen)
{
    struct evaluated own;
    evaluated_init(c, &own, json_count(v));
    if (c->rc != OK || !check_keywords(c, node, v, at, &own) || !check_unevaluated(c, node, v, at, &own))
        return false;
    if (seen)
        evaluated_merge(seen, &own);
    return true;
}

bool check_node(struct check *c, const struct schema_node *node, struct json v, const struct place *at,
                struct evaluated *seen)
{
    if (!check_spend(c, 1) || node->kind == SCHEMA_KIND_TRUE)
        return c->rc == OK;
    if (node->kind != SCHEMA_KIND_FALSE && check_is_hole(c, v))
        return true;
    if (node->kind == SCHEMA_KIND_FALSE)
        return check_fault(c, node, NULL, at, "must not be there");
    if (c->n_nested == NESTED_MAX) {
        c->rc = ERR_LIMIT;
        return false;
    }
    c->n_nested++;
    bool ok = asks_unevaluated(c, node, v) ? check_with_rest(c, node, v, at, seen)
                                           : check_keywords(c, node, v, at, seen);
    c->n_nested--;
    return ok && c->rc == OK;
}

/* ---- the checker ---- */

static int compile_node(struct schema_checker *k, const struct schema_node *node, struct err *err)
{
    struct schema_node_patterns *p = &k->patterns[node->id];
    char why[200];
    if (node->pattern.p && schema_pattern_compile(&p->pattern, node->pattern, why, sizeof why) != OK)
        return schema_fail(err, ERR_UNSUPPORTED, node, "pattern", "%s", why);
    if (!node->n_pattern_properties)
        return OK;
    p->properties = calloc(node->n_pattern_properties, sizeof *p->properties);
    if (!p->properties)
        return fail(err, ERR_NOMEM, "no memory for the patterns of a schema");
    for (uint32_t i = 0; i < node->n_pattern_properties; i++)
        if (schema_pattern_compile(&p->properties[i], node->pattern_properties[i].pattern, why, sizeof why) !=
            OK)
            return schema_fail(err, ERR_UNSUPPORTED, node, "patternProperties",
                               "has the pattern '%.*s', which %s",
                               STR(str_sub(node->pattern_properties[i].pattern, 0, 80)), why);
    return OK;
}

int schema_checker_create(struct schema_checker **out, const struct schema *s, struct err *err)
{
    *out = NULL;
    struct schema_checker *k = calloc(1, sizeof *k);
    if (!k)
        return fail(err, ERR_NOMEM, "no memory to check against a schema");
    k->schema = s;
    k->patterns = calloc(schema_n_nodes(s), sizeof *k->patterns);
    k->match = pcre2_match_data_create(1, NULL);
    k->context = schema_pattern_context();
    int rc = k->patterns && k->match && k->context
                 ? OK
                 : fail(err, ERR_NOMEM, "no memory to check against a schema");
    for (uint32_t i = 0; rc == OK && i < schema_n_nodes(s); i++)
        rc = compile_node(k, schema_node_at(s, i), err);
    if (rc != OK) {
        schema_checker_free(k);
        return rc;
    }
    *out = k;
    return OK;
}

void schema_checker_free(struct schema_checker *k)
{
    if (!k)
        return;
    for (uint32_t i = 0; k->patterns && i < schema_n_nodes(k->schema); i++) {
        const struct schema_node *node = schema_node_at(k->schema, i);
        pcre2_code_free(k->patterns[i].pattern);
        for (uint32_t j = 0; k->patterns[i].properties && j < node->n_pattern_properties; j++)
            pcre2_code_free(k->patterns[i].properties[j]);
        free(k->patterns[i].properties);
    }
    free(k->patterns);
    pcre2_match_data_free(k->match);
    pcre2_match_context_free(k->context);
    free(k);
}

static const struct schema_fault undecided = {
    .text = "the value cannot be checked within the bounds of one check"};

void schema_checker_set_brief(struct schema_checker *k, bool is_brief)
{
    k->is_brief = is_brief;
}

static bool is_too_long(const struct schema_checker *k, struct str text, struct schema_fault *fault)
{
    bool is = k->is_brief && text.n > SCHEMA_BRIEF_BYTES_MAX;
    if (is && fault)
        *fault = undecided;
    return is;
}

static int run_check(struct check *c, struct json value)
{
    struct place root = {0};
    check_set_bounds(c);
    arena_init(&c->arena, SCRATCH_MAX);
    bool ok = check_node(c, schema_root(c->checker->schema), value, &root, NULL);
    arena_deinit(&c->arena);
    if (c->rc != OK && c->fault)
        *c->fault = undecided;
    return c->rc != OK ? c->rc : ok ? OK : ERR_FORMAT;
}

int schema_check(struct schema_checker *k, struct json value, struct schema_fault *fault)
{
    return run_check(&(struct check){.checker = k, .fault = fault}, value);
}

int schema_check_begun(struct schema_checker *k, struct str text, size_t n_real, bool is_number_open,
                       struct schema_fault *fault)
{
    struct arena arena;
    struct json_doc doc;
    struct check c = {.checker = k,
                      .fault = fault,
                      .is_begun = true,
                      .is_number_open = is_number_open,
                      .n_real = (uint32_t)n_real};
    if (is_too_long(k, text, fault))
        return ERR_LIMIT;
    arena_init(&arena, text.n * 32 + (1u << 16));
    int rc = OK; /* a key that comes twice, say, is found at the end */
    if (json_parse(&doc, &arena, text, NULL) == OK)
        rc = run_check(&c, json_root(&doc));
    arena_deinit(&arena);
    return rc;
}

int schema_check_text(struct schema_checker *k, struct str text, struct schema_fault *fault)
{
    struct arena arena;
    struct json_doc doc;
    struct err err = {0};
    if (is_too_long(k, text, fault))
        return ERR_LIMIT;
    arena_init(&arena, text.n * 32 + (1u << 16));
    int rc = json_parse(&doc, &arena, text, &err);
    if (rc == OK) {
        rc = schema_check(k, json_root(&doc), fault);
    } else if (fault) {
        *fault = (struct schema_fault){0};
        snprintf(fault->text, sizeof fault->text, "%.390s", err.text);
        rc = rc == ERR_NOMEM ? ERR_NOMEM : ERR_FORMAT;
    }
    arena_deinit(&arena);
    return rc;
}
