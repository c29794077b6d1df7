/* shape_string.c - Strings: lengths alone are a counted loop, everything else is one automaton. */
#include <stdio.h>

#include "grammar/regex.h"
#include "grammar/shape_int.h"

struct dfa *shape_pattern_dfa(struct shaper *s, const struct schema_node *node, const char *keyword,
                              struct str pattern)
{
    size_t offset = 0;
    struct err err = {0};
    struct dfa *d = regex_compile(&s->c->room, pattern, false, &offset, &err);
    if (!d)
        shape_fail(s, err.code, node, keyword, "cannot be held: %s", err.text);
    return d;
}

static struct dfa *any_text(struct shaper *s)
{
    if (!s->texts)
        s->texts = dfa_lengths(&s->c->room, 0, NET_NO_MAX);
    return s->texts;
}

static struct dfa * and (struct shaper * s, struct dfa *a, struct dfa *b)
{
    if (!b || s->c->has_failed)
        return NULL;
    return a ? dfa_and(&s->c->room, a, b) : b;
}

/* Patterns and formats of all schemas; *d stays NULL where there are none. */
static bool intersect_patterns(struct shaper *s, const struct plain *p, struct dfa **d)
{
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct schema_node *n = p->nodes[i];
        if (n->pattern.p && !(*d = and(s, *d, shape_pattern_dfa(s, n, "pattern", n->pattern))))
            return false;
        if (n->format == SCHEMA_FORMAT_NONE || n->format == SCHEMA_FORMAT_INT32 ||
            n->format == SCHEMA_FORMAT_INT64)
            continue;
        struct dfa *f = shape_format_dfa(&s->c->room, n->format);
        if (!f && s->c->room.code == OK) {
            shape_fail(s, ERR_UNSUPPORTED, n, "format", "names '%.*s', which cannot be held",
                       STR(n->format_name));
            return false;
        }
        if (!(*d = and(s, *d, f)))
            return false;
    }
    return true;
}

static struct dfa *subtract_values(struct shaper *s, struct dfa *d, const struct schema_node *n)
{
    uint32_t n_words = 0, n_most = 1 + (n->has & SCHEMA_HAS_ENUM ? json_count(n->enum_values) : 0);
    struct str *words = arena_new_array(s->arena, struct str, n_most);
    struct json_iter it = json_iter(n->enum_values);
    if (!words)
        return NULL;
    if (n->has & SCHEMA_HAS_CONST && json_is(n->const_value, JSON_STRING))
        words[n_words++] = json_text(n->const_value, s->arena);
    while (n->has & SCHEMA_HAS_ENUM && json_next(&it))
        if (json_is(it.value, JSON_STRING))
            words[n_words++] = json_text(it.value, s->arena);
    if (n_words == 0)
        return d;
    return dfa_minus(&s->c->room, d ? d : any_text(s), dfa_words(&s->c->room, words, n_words));
}

static bool subtract_excluded(struct shaper *s, const struct plain *p, struct dfa **d)
{
    for (uint32_t i = 0; i < p->n_excluded; i++) {
        const struct schema_node *n = p->excluded[i];
        if (n->pattern.p) {
            struct dfa *not = shape_pattern_dfa(s, n, "pattern", n->pattern);
            *d = not ? dfa_minus(&s->c->room, *d ? *d : any_text(s), not ) : NULL;
        } else {
            *d = subtract_values(s, *d, n);
        }
        if (s->c->room.code != OK || s->c->has_failed)
            return false;
    }
    return true;
}

static void find_lengths(const struct plain *p, uint32_t *min, uint32_t *max)
{
    uint64_t least = 0, most = SCHEMA_NO_MAX;
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        least = p->nodes[i]->min_length > least ? p->nodes[i]->min_length : least;
        most = p->nodes[i]->max_length < most ? p->nodes[i]->max_length : most;
    }
    *min = least < NET_NO_MAX ? (uint32_t)least : NET_NO_MAX - 1;
    *max = most < NET_NO_MAX ? (uint32_t)most : NET_NO_MAX;
}

/* All but the lengths, which *min and *max tell; *d is NULL if there is nothing but them. */
static bool merge(struct shaper *s, const struct plain *p, struct dfa **d, uint32_t *min, uint32_t *max)
{
    *d = NULL;
    find_lengths(p, min, max);
    return intersect_patterns(s, p, d) && subtract_excluded(s, p, d);
}

/* Does the automaton keep the lengths by itself? */
static bool keeps_lengths(struct shaper *s, const struct dfa *d, uint32_t min, uint32_t max)
{
    uint32_t *least = arena_new_array(s->arena, uint32_t, d->n_states);
    uint32_t *most = arena_new_array(s->arena, uint32_t, d->n_states);
    if ((min == 0 && max == NET_NO_MAX) || dfa_is_nothing(d))
        return true;
    return least && most && dfa_find_rests(&s->c->room, d, least, most) && least[0] >= min && most[0] <= max;
}

struct dfa *shape_string_dfa(struct shaper *s, const struct plain *p, bool *is_any)
{
    struct dfa *d;
    uint32_t min, max;
    *is_any = false;
    if (!merge(s, p, &d, &min, &max))
        return NULL;
    *is_any = !d && min == 0 && max == NET_NO_MAX;
    if (*is_any)
        return NULL;
    if (!d)
        return dfa_lengths(&s->c->room, min, max);
    return keeps_lengths(s, d, min, max) ? d : dfa_and(&s->c->room, d, dfa_lengths(&s->c->room, min, max));
}

uint32_t shape_string(struct shaper *s, const struct plain *p, uint32_t next)
{
    uint32_t min, max, node;
    struct dfa *d;
    if (!merge(s, p, &d, &min, &max)) {
        shape_check_room(s, p, "strings");
        return NET_NOTHING;
    }
    if (!d && !s->is_text)
        return min > max ? NET_NOTHING : json_net_string(&s->json, min, max, next);
    enum dfa_spelling spelling = s->is_text ? DFA_PLAIN : DFA_JSON;
    uint32_t end = s->is_text ? next : net_byte(s->net, '"', '"', next);
    if (!d)
        d = any_text(s);
    if (keeps_lengths(s, d, min, max))
        node = dfa_to_net(&s->c->room, d, spelling, end);
    else if (!dfa_to_net_counted(&s->c->room, d, spelling, min, max, end, &node))
        node = dfa_to_net(&s->c->room, dfa_and(&s->c->room, d, dfa_lengths(&s->c->room, min, max)), spelling,
                          end);
    shape_check_room(s, p, "strings");
    return s->is_text ? node : net_byte(s->net, '"', '"', node);
}
