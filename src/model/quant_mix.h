/* quant_mix.h - Which type each tensor gets when a model is quantised "to Q4_K_M".
 *
 * A mix is a row of data: a base type and a few rules (role of the tensor, which layers, type).
 * The mixes are those that users of GGUF files know; a file that we write has the same types
 * as one of that name from elsewhere. */
#ifndef MODEL_QUANT_MIX_H
#define MODEL_QUANT_MIX_H

#include "model/gguf.h"

struct quant_mix;

/* The mix of that name (case does not matter), or NULL. */
const struct quant_mix *quant_mix_find(const char *name);
/* All names, with spaces between. */
void quant_mix_names(struct buf *out);
uint32_t quant_mix_file_type(const struct quant_mix *m); /* for general.file_type */

/* What the rules ask of the model. */
struct quant_mix_model {
    uint32_t n_layers, n_experts;
    uint32_t gqa; /* query heads per key head; 1 if unknown */
    bool is_tied; /* no output tensor of its own */
};
int quant_mix_model_init(struct quant_mix_model *model, const struct gguf *g, struct err *err);

/* The type for tensor t (its own, where it is not to be changed). */
uint32_t quant_mix_type(const struct quant_mix *m, const struct quant_mix_model *model,
                        const struct gguf_tensor *t);

#endif
