/* convert.h - A Hugging Face model folder as one GGUF file. */
#ifndef MODEL_CONVERT_H
#define MODEL_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct convert_options {
    const char *type; /* "f16", "bf16", "f32" for matrices; NULL: bf16 for a bf16 model, else f16 */
    /* Called from the calling thread with bytes of weights written so far; false stops the work
     * with ERR_CANCELLED.  May be NULL. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
};

/* Read config.json, *.safetensors and tokenizer.json of `folder` and write `out`.  Architectures:
 * Llama, Mistral, Mixtral, Qwen2, Qwen3, Qwen3-MoE.  Vectors and routers stay f32; a tensor or a
 * setting that would be lost is an error.  A model with a sliding window gets the window as its
 * context length.  `out` appears complete or not at all. */
int convert_folder(const char *folder, const char *out, const struct convert_options *o, struct err *err);

#endif
