/* face_vocab.h - From the tokenizer.ggml.* keys of a GGUF file to a tokenizer. */
#ifndef ENGINE_FACE_VOCAB_H
#define ENGINE_FACE_VOCAB_H

#include "model/gguf.h"
#include "text/tokenizer.h"

/* Any error of gguf_get_* (a missing key is ERR_NOT_FOUND) or tokenizer_create. */
int face_vocab_read(struct tokenizer **t, const struct gguf *g, struct err *err);

#endif
