/* gguf_int.h - The inside of struct gguf, for gguf.c (parsing) and gguf_get.c (asking). */
#ifndef MODEL_GGUF_INT_H
#define MODEL_GGUF_INT_H

#include "base/arena.h"
#include "model/gguf.h"

/* Finds items of an array by the struct str that each begins with.  Open addressing with a random
 * seed per process: a file cannot choose names that collide. */
struct gguf_index {
    const char *items;
    size_t item_bytes;
    uint32_t *slots; /* item number + 1; 0 is empty */
    uint32_t mask;
};

struct gguf_part {
    int fd; /* -1 for memory */
    uint64_t n_bytes;
};

struct gguf {
    struct arena arena;
    char *path; /* NULL for memory */
    const uint8_t *memory;
    struct gguf_part *parts;
    uint32_t n_parts;
    uint32_t version;
    struct gguf_kv *kvs;
    uint32_t n_kvs;
    struct gguf_index kv_index;
    struct gguf_tensor *tensors;
    uint32_t n_tensors;
    struct gguf_index tensor_index;
};

/* The number of the item with that name, or -1. */
int64_t gguf_index_find(const struct gguf_index *ix, struct str name);

/* Parse the header of a part whose descriptor and size are known.  Part 0 fixes the metadata and
 * *n_parts; later parts add their tensors and must fit. */
int gguf_parse_part(struct gguf *g, uint32_t part, uint32_t *n_parts, struct err *err);

#endif
