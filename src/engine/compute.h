/* compute.h - What the engine needs of a model, so that tests can put a fake one in its place.
 *
 * The rules are those of model/model.h; compute_of_model is the real thing. */
#ifndef ENGINE_COMPUTE_H
#define ENGINE_COMPUTE_H

#include <stdint.h>

#include "base/err.h"
#include "model/model.h"

struct compute {
    void *self;
    /* Compute a batch and wait for it. */
    int (*step)(void *self, const struct model_batch *batch, struct err *err);
    /* Logits of the i-th row of the last step that wanted them, to be changed at will. */
    float *(*logits)(void *self, uint32_t i);
    /* Hidden state [n_embd] of the i-th row of the last step that wanted it. */
    const float *(*hidden)(void *self, uint32_t i);
    /* The first n_tokens tokens of page dst become those of page src. */
    void (*kv_copy)(void *self, uint32_t dst, uint32_t src, uint32_t n_tokens);
    const char *isa;
    int32_t n_vocab;
    int32_t n_ctx; /* largest position + 1 */
    int32_t page_tokens, n_pages;
    int32_t rows_max,
        outputs_max; /* of one step; as many may want hidden state, with mean pooling all rows */
    int32_t n_embd;
    enum model_pooling pooling;

    /* For pages on disk; kv_import also beside a step, as model_kv_import says.  The bytes of a page mean the
     * same wherever `isa` and identity (of weights, arithmetic and layout) are the same. */
    void (*kv_export)(void *self, uint32_t page, void *bytes);
    void (*kv_import)(void *self, uint32_t page, const void *bytes);
    void (*kv_identity)(void *self, uint64_t id[2]);
    uint64_t kv_page_bytes;
};

struct compute compute_of_model(struct model *m);

#endif
