/* quantize.h - Write a GGUF file again with its weights in other types. */
#ifndef MODEL_QUANTIZE_H
#define MODEL_QUANTIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct quantize_options {
    int n_threads; /* 0: sys_n_cpus() */
    /* Called from the calling thread with bytes of weights read so far; false stops the work
     * with ERR_CANCELLED.  May be NULL. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
};

/* Write `in` (one file or split) to `out` as the mix `type` ("Q4_K_M", "q8_0", ...; an unknown name
 * is an error that lists them).  Metadata is kept, the file type changed; a split model becomes
 * one file.  Tensors whose type stays are copied bit for bit.  Memory: a few MB per thread,
 * whatever the model.  `out` appears complete or not at all, and may be `in` itself. */
int quantize_file(const char *in, const char *out, const char *type, const struct quantize_options *o,
                  struct err *err);

#endif
