/* answer_node.c - See answer_node.h. */
#include "engine/answer_node.h"

/* Items of a list that it may begin with: what is behind them is written once for each. */
#define STARTS_MAX 32

answer_node *node_room(struct answer *a, size_t n)
{
    answer_node *s = arena_new_array(&a->arena, answer_node, n ? n : 1);
    a->is_full |= s == NULL;
    return s;
}

answer_node node_text(enum sluice_grammar_kind kind, struct str text)
{
    return (answer_node){.kind = kind, .text = text.p, .text_bytes = text.n};
}

answer_node node_mark(const char *text)
{
    return node_text(SLUICE_GRAMMAR_MARK, str_c(text));
}

answer_node node_literal(struct str text)
{
    return node_text(SLUICE_GRAMMAR_LITERAL, text);
}

answer_node node_nothing(void)
{
    return node_literal(S(""));
}

answer_node node_many(struct answer *a, enum sluice_grammar_kind kind, const answer_node *parts, size_t n)
{
    answer_node *copy = node_room(a, n);
    if (!copy)
        return node_nothing();
    for (size_t i = 0; i < n; i++)
        copy[i] = parts[i];
    return (answer_node){.kind = kind, .parts = copy, .n_parts = n};
}

answer_node node_repeat(struct answer *a, answer_node part, uint32_t min, uint32_t max)
{
    answer_node s = node_many(a, SLUICE_GRAMMAR_REPEAT, &part, 1);
    s.min = min;
    s.max = max;
    return s;
}

answer_node node_free_text(struct answer *a, const char *const *without, size_t n)
{
    const char **copy = arena_new_array(&a->arena, const char *, n + 1);
    if (!copy) {
        a->is_full = true;
        return node_nothing();
    }
    for (size_t i = 0; i < n; i++)
        copy[i] = without[i];
    return (answer_node){.kind = SLUICE_GRAMMAR_FREE, .choices = copy, .n_choices = n};
}

/* The item that comes first has no separator, so there is one alternative for each that may be it. */
answer_node node_list(struct answer *a, const answer_node *items, const bool *is_needed, size_t n,
                      answer_node separator)
{
    answer_node *rest = node_room(a, n), *ways = node_room(a, n + 1);
    size_t n_ways = 0;
    bool may_be_empty = true;
    if (!rest || !ways)
        return node_nothing();
    for (size_t i = 0; i < n; i++) {
        answer_node more = NODE_SEQUENCE(a, separator, items[i]);
        rest[i] = is_needed[i] ? more : node_repeat(a, more, 0, 1);
    }
    for (size_t i = 0; i < n && may_be_empty && n_ways < STARTS_MAX; i++) {
        answer_node behind = node_many(a, SLUICE_GRAMMAR_SEQUENCE, rest + i + 1, n - i - 1);
        ways[n_ways++] = NODE_SEQUENCE(a, items[i], behind);
        may_be_empty = !is_needed[i];
    }
    if (may_be_empty)
        ways[n_ways++] = node_nothing();
    return node_many(a, SLUICE_GRAMMAR_ANY_OF, ways, n_ways);
}
