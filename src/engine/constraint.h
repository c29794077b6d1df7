/* constraint.h - What a grammar must offer so that only its tokens are sampled.
 *
 * The engine asks for a mask before it samples, and tells every token that it then takes.  Where
 * only one may follow it is taken without asking the model.  A constraint belongs to one sequence
 * and is called by the engine thread only, except clone of an unused one and free; none of these calls
 * may allocate without bound or block.  Drafts are never told before they are accepted, so
 * nothing must be taken back. */
#ifndef ENGINE_CONSTRAINT_H
#define ENGINE_CONSTRAINT_H

#include <stdbool.h>
#include <stdint.h>

struct engine_constraint;

struct engine_constraint_ops {
    /* Set bit t of allowed[] (n_vocab bits, zeroed before) for every token t that may follow, the
     * end tokens included where the text may end.  False: everything may follow, and allowed[]
     * is not looked at. */
    bool (*mask)(struct engine_constraint *c, uint32_t *allowed, int32_t n_vocab);
    /* The token follows.  False: it may not (our own mistake, since the mask was asked). */
    bool (*accept)(struct engine_constraint *c, int32_t token);
    /* Nothing but an end token may follow: the answer is complete. */
    bool (*is_done)(struct engine_constraint *c);
    /* The one token that may follow, or -1 if there are several. */
    int32_t (*only)(struct engine_constraint *c);
    /* How many of tokens[n] could follow, one after the other.  Nothing is taken. */
    int32_t (*follow)(struct engine_constraint *c, const int32_t *tokens, int32_t n);
    /* An equal constraint in the same state (another choice of the same request), or NULL. */
    struct engine_constraint *(*clone)(struct engine_constraint *c);
    void (*free)(struct engine_constraint *c);
};

/* An implementation begins with this struct. */
struct engine_constraint {
    const struct engine_constraint_ops *ops;
};

#endif
