/* safetensors.h - Read the tensors of a Hugging Face model folder.
 *
 * The folder has model.safetensors, or model.safetensors.index.json and the files that it names.
 * Headers are checked strictly (sizes, no holes, no overlaps, no name twice); data is read on
 * demand with pread.  Constant after opening; any number of threads may read. */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define SAFETENSORS_DIMS_MAX   8
#define SAFETENSORS_HEADER_MAX 100000000u /* bytes of one file's header */
#define SAFETENSORS_FILES_MAX  1024

enum safetensors_dtype {
    ST_F64,
    ST_F32,
    ST_F16,
    ST_BF16,
    ST_OTHER /* integers, bools, 8-bit floats: listed, not converted */
};

struct safetensors_tensor {
    struct str name;
    struct str dtype_name; /* as the file says it */
    enum safetensors_dtype dtype;
    uint32_t n_dims, file;
    uint64_t shape[SAFETENSORS_DIMS_MAX]; /* shape[n_dims - 1] is contiguous */
    uint64_t n_elems;
    uint64_t offset, n_bytes; /* in the file */
};

struct safetensors;

int safetensors_open(struct safetensors **out, const char *folder, struct err *err);
void safetensors_close(struct safetensors *st); /* NULL is fine */

uint32_t safetensors_n(const struct safetensors *st);
const struct safetensors_tensor *safetensors_at(const struct safetensors *st, uint32_t i);
const struct safetensors_tensor *safetensors_find(const struct safetensors *st, struct str name);

/* Elements [first, first + n) of a tensor as f32. */
int safetensors_read_f32(const struct safetensors *st, const struct safetensors_tensor *t, uint64_t first,
                         size_t n, float *y, struct err *err);

/* Parse one file's header (the JSON after the length), for a file of n_bytes bytes whose data
 * begins at `data_start`.  For the fuzz target; safetensors_open does the same. */
int safetensors_check_header(struct str json, uint64_t data_start, uint64_t n_bytes, struct err *err);

#endif
