/* gguf.h - Read GGUF model files (v2 and v3, one file or split into parts).
 *
 * The header is parsed into memory of our own, strictly: a file that breaks a rule of the format
 * is refused with one sentence and the byte offset where it happened, whatever its bytes are.  No
 * allocation is larger than what the file's own size justifies.  Tensor data is not touched here:
 * every tensor says where its bytes lie, and gguf_read fetches them (pread, so that many threads
 * may read at once; nothing is mapped, a truncated file is an error and not a signal).
 *
 * A struct gguf does not change after opening: any number of threads may use it.  All strings and
 * arrays that it gives out are its own and live until gguf_close. */
#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define GGUF_DIMS_MAX      4
#define GGUF_NAME_MAX      63         /* bytes of a tensor name */
#define GGUF_KEY_MAX       65535      /* bytes of a key */
#define GGUF_TENSORS_MAX   (1u << 18) /* in all parts together */
#define GGUF_KEYS_MAX      (1u << 16)
#define GGUF_VALUE_MAX     (1ull << 30) /* bytes of one string or array */
#define GGUF_PARTS_MAX     1024
#define GGUF_ALIGNMENT_MAX (1u << 20)

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STR,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES_END
};

struct gguf_value {
    enum gguf_type type;      /* never GGUF_ARRAY for elements */
    enum gguf_type elem_type; /* of an array */
    uint64_t n;               /* elements of an array, else 1 */
    union {
        uint64_t u;             /* U8 U16 U32 U64, BOOL as 0 or 1 */
        int64_t i;              /* I8 I16 I32 I64 */
        double f;               /* F32 F64 */
        struct str str;         /* STR */
        const void *elems;      /* array of scalars: n little-endian elements, 16-byte aligned */
        const struct str *strs; /* array of strings */
    };
};

struct gguf_kv {
    struct str key;
    struct gguf_value value;
};

struct gguf_tensor {
    struct str name;
    uint32_t type;              /* enum quant_type; always one that quant_info knows */
    uint32_t n_dims;            /* 0 (a scalar) to GGUF_DIMS_MAX */
    uint64_t ne[GGUF_DIMS_MAX]; /* ne[0] is the contiguous row; 1 beyond n_dims */
    uint64_t n_elems;           /* product of ne, fits in int64 */
    uint64_t row_bytes;         /* of one row of ne[0] elements */
    uint64_t n_bytes;           /* of the whole tensor; lies inside its part */
    uint32_t part;              /* which file, from 0 */
    uint64_t offset;            /* of its first byte in that file */
};

struct gguf;

/* Open `path`; of a split file its first part, the others are found by their names.  On failure
 * *out is NULL and `err` has a sentence that begins with the path. */
int gguf_open(struct gguf **out, const char *path, struct err *err);

/* The same for a file that is already in memory.  The bytes are borrowed until gguf_close. */
int gguf_open_memory(struct gguf **out, const void *bytes, size_t n, struct err *err);

void gguf_close(struct gguf *g); /* NULL is fine */

/* Read n bytes at `offset` of a part.  All of them or an error. */
int gguf_read(const struct gguf *g, uint32_t part, uint64_t offset, void *dst, size_t n, struct err *err);

uint32_t gguf_version(const struct gguf *g);
uint32_t gguf_n_parts(const struct gguf *g);
uint64_t gguf_part_bytes(const struct gguf *g, uint32_t part); /* size of that file */
const char *gguf_path(const struct gguf *g);                   /* "" for memory */

/* --- metadata ---------------------------------------------------------------------------- */

uint32_t gguf_n_keys(const struct gguf *g);
const struct gguf_kv *gguf_key_at(const struct gguf *g, uint32_t i); /* in file order */

/* The value of a key, or NULL. */
const struct gguf_value *gguf_find(const struct gguf *g, struct str key);

/* Typed access.  OK and *v set; or ERR_NOT_FOUND (the key is absent, *v unchanged) or ERR_FORMAT
 * (another type, or out of range) with a sentence that names the key.  Integers of any width and
 * sign are accepted for an integer that holds them, any float for a float. */
int gguf_get_u32(const struct gguf *g, const char *key, uint32_t *v, struct err *err);
int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *v, struct err *err);
int gguf_get_i32(const struct gguf *g, const char *key, int32_t *v, struct err *err);
int gguf_get_f32(const struct gguf *g, const char *key, float *v, struct err *err);
int gguf_get_bool(const struct gguf *g, const char *key, bool *v, struct err *err);
int gguf_get_str(const struct gguf *g, const char *key, struct str *v, struct err *err);

/* The same for a key that may be absent: then OK and *v is left as the caller set it (the
 * default).  A key that is there with a wrong type is still an error. */
int gguf_opt_u32(const struct gguf *g, const char *key, uint32_t *v, struct err *err);
int gguf_opt_i32(const struct gguf *g, const char *key, int32_t *v, struct err *err);
int gguf_opt_f32(const struct gguf *g, const char *key, float *v, struct err *err);
int gguf_opt_bool(const struct gguf *g, const char *key, bool *v, struct err *err);
int gguf_opt_str(const struct gguf *g, const char *key, struct str *v, struct err *err);

/* An array of strings, of i32/u32 (v: n * 4 bytes) or of f32.  Elements borrowed from g. */
int gguf_get_strs(const struct gguf *g, const char *key, const struct str **v, uint64_t *n, struct err *err);
int gguf_get_i32s(const struct gguf *g, const char *key, const int32_t **v, uint64_t *n, struct err *err);
int gguf_get_f32s(const struct gguf *g, const char *key, const float **v, uint64_t *n, struct err *err);

/* A number per layer: v[n_layers] from an array with at least that many integers, or from one
 * integer (or bool) that holds for all.  ERR_NOT_FOUND if the key is absent. */
int gguf_get_u32_per_layer(const struct gguf *g, const char *key, uint32_t *v, uint32_t n_layers,
                           struct err *err);

/* Keys of the architecture: "{general.architecture}.{suffix}" put into a fixed buffer, so that
 * a call reads gguf_get_u32(g, gguf_arch_key(&k, g, "block_count"), &n, err). */
struct gguf_arch_key {
    char z[192];
};
const char *gguf_arch_key(struct gguf_arch_key *k, const struct gguf *g, const char *suffix);

const char *gguf_type_name(enum gguf_type type); /* "u32", "array", ... */

/* --- tensors ----------------------------------------------------------------------------- */

uint32_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, uint32_t i); /* in file order */
/* By name, or NULL. */
const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, struct str name);
/* By a formatted name ("blk.%u.attn_q.weight"), or NULL. */
const struct gguf_tensor *gguf_tensor_findf(const struct gguf *g, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Dequantise n_rows whole rows of a tensor, from row `row` on, into y[n_rows * ne[0]].
 * For small tensors and for tools; the loader has faster ways. */
int gguf_read_rows_f32(const struct gguf *g, const struct gguf_tensor *t, uint64_t row, uint64_t n_rows,
                       float *y, struct err *err);

#endif
