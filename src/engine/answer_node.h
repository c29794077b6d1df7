/* answer_node.h - Nodes of the spec of an answer, in the arena of struct answer.
 *
 * Building goes on without memory: is_full is looked at once, at the end. */
#ifndef ENGINE_ANSWER_NODE_H
#define ENGINE_ANSWER_NODE_H

#include "engine/answer_spec.h"

typedef struct sluice_grammar_spec answer_node;

answer_node node_text(enum sluice_grammar_kind kind, struct str text);
answer_node node_mark(const char *text);
answer_node node_literal(struct str text);
answer_node node_nothing(void);
answer_node node_many(struct answer *a, enum sluice_grammar_kind kind, const answer_node *parts, size_t n);
answer_node node_repeat(struct answer *a, answer_node part, uint32_t min, uint32_t max);
/* Any text without these; `without` must live as long as the arena. */
answer_node node_free_text(struct answer *a, const char *const *without, size_t n);
/* items[i], joined by `separator`: those with is_needed[i] always, the others if the model likes. */
answer_node node_list(struct answer *a, const answer_node *items, const bool *is_needed, size_t n,
                      answer_node separator);
/* Room for n nodes; NULL without memory. */
answer_node *node_room(struct answer *a, size_t n);

#define NODE_SEQUENCE(a, ...)                                                                                \
    node_many((a), SLUICE_GRAMMAR_SEQUENCE, (const answer_node[]){__VA_ARGS__},                              \
              sizeof((const answer_node[]){__VA_ARGS__}) / sizeof(answer_node))
#define NODE_ANY_OF(a, ...)                                                                                  \
    node_many((a), SLUICE_GRAMMAR_ANY_OF, (const answer_node[]){__VA_ARGS__},                                \
              sizeof((const answer_node[]){__VA_ARGS__}) / sizeof(answer_node))

#endif
