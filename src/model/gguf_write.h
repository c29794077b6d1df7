/* gguf_write.h - Write GGUF v3 files.
 *
 * Order of use: create, keys and tensors (which only collect), then either gguf_write_header into
 * memory, or gguf_write_begin, gguf_write_data for every byte of every tensor in any order, and
 * gguf_write_commit.  The file is made under a temporary name beside its target and renamed at the
 * end: the target is complete or untouched.  A failure while collecting (no memory, a name that
 * is too long) is remembered and told by the next call that takes an err.
 *
 * Owned by one thread, except gguf_write_data, which many may call at once. */
#ifndef MODEL_GGUF_WRITE_H
#define MODEL_GGUF_WRITE_H

#include "model/gguf.h"

struct gguf_writer;

struct gguf_writer *gguf_writer_create(void); /* NULL without memory */
/* Also removes the temporary file of a writer that was not committed.  NULL is fine. */
void gguf_writer_free(struct gguf_writer *w);

/* Keys, in the order in which they shall stand.  Setting `general.alignment` is not possible:
 * files are written with 32. */
void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_write_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_write_i32(struct gguf_writer *w, const char *key, int32_t v);
void gguf_write_f32(struct gguf_writer *w, const char *key, float v);
void gguf_write_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_write_str(struct gguf_writer *w, const char *key, struct str v);
void gguf_write_strs(struct gguf_writer *w, const char *key, const struct str *v, size_t n);
void gguf_write_i32s(struct gguf_writer *w, const char *key, const int32_t *v, size_t n);
void gguf_write_f32s(struct gguf_writer *w, const char *key, const float *v, size_t n);
/* A pair that was read from another file. */
void gguf_write_kv(struct gguf_writer *w, const struct gguf_kv *kv);

/* A tensor; the name is copied.  Returns its number (0, 1, ...), which gguf_write_data takes. */
uint32_t gguf_write_tensor(struct gguf_writer *w, struct str name, uint32_t type, uint32_t n_dims,
                           const uint64_t *ne);

/* Append everything before the tensor data, padding included; tensor i's data then belongs at
 * gguf_write_offset(w, i) after that. */
int gguf_write_header(struct gguf_writer *w, struct buf *out, struct err *err);
uint64_t gguf_write_offset(const struct gguf_writer *w, uint32_t tensor);

int gguf_write_begin(struct gguf_writer *w, const char *path, struct err *err);
/* Bytes [at, at + n) of a tensor. */
int gguf_write_data(struct gguf_writer *w, uint32_t tensor, uint64_t at, const void *p, size_t n,
                    struct err *err);
/* Everything is on the disk under the final name when this returns OK. */
int gguf_write_commit(struct gguf_writer *w, struct err *err);

#endif
