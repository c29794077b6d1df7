/* inspect.h - Say what is in a model file. */
#ifndef MODEL_INSPECT_H
#define MODEL_INSPECT_H

#include "model/gguf.h"

/* A JSON object: "file" (path, bytes, GGUF version, parts), "architecture", "name", "params",
 * "bits_per_weight", "sizes" (context, embedding, layers, heads, ...: those that the file states),
 * "rope", "types" (per tensor type: tensors, params, bytes), "tokenizer", "chat_template" (null if
 * there is none), and with `tensors` each one's name, type, shape and bytes in "tensors".
 * Appends to `out`; check buf_ok. */
void inspect_json(const struct gguf *g, bool tensors, struct buf *out);

#endif
