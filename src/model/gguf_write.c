/* gguf_write.c - See gguf_write.h.  Keys are serialised as they come; tensors are a list whose
 * offsets are known once all are there. */
#include "model/gguf_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/quant.h"

enum { ALIGNMENT = 32 };

#define HEADER_MAX ((size_t)4 << 30)

struct out_tensor {
    char name[GGUF_NAME_MAX + 1];
    uint32_t type, n_dims;
    uint64_t ne[GGUF_DIMS_MAX];
    uint64_t offset, n_bytes; /* in the tensor data */
};

struct gguf_writer {
    struct buf kvs;
    uint32_t n_kvs;
    struct out_tensor *tensors;
    uint32_t n_tensors, tensors_cap;
    uint64_t data_bytes; /* of all tensors, each padded */
    uint64_t data_start; /* in the file */
    struct err err;      /* the first failure while collecting */
    int fd;              /* -1: none */
    char *path, *temp_path;
};

struct gguf_writer *gguf_writer_create(void)
{
    struct gguf_writer *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    buf_init(&w->kvs, HEADER_MAX);
    w->fd = -1;
    return w;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->temp_path);
    }
    buf_deinit(&w->kvs);
    free(w->tensors);
    free(w->path);
    free(w->temp_path);
    free(w);
}

/* --- keys --------------------------------------------------------------------------------------- */

static void put(struct gguf_writer *w, const void *p, size_t n)
{
    buf_add(&w->kvs, p, n);
}

static void put_u32(struct gguf_writer *w, uint32_t v)
{
    put(w, &v, sizeof v);
}

static void put_u64(struct gguf_writer *w, uint64_t v)
{
    put(w, &v, sizeof v);
}

static void put_str(struct gguf_writer *w, struct str s)
{
    put_u64(w, s.n);
    put(w, s.p, s.n);
}

static void put_key(struct gguf_writer *w, struct str key, enum gguf_type type)
{
    assert(!str_eq(key, S("general.alignment")));
    put_str(w, key);
    put_u32(w, type);
    w->n_kvs++;
}

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_key(w, str_c(key), GGUF_U32);
    put_u32(w, v);
}

void gguf_write_u64(struct gguf_writer *w, const char *key, uint64_t v)
{
    put_key(w, str_c(key), GGUF_U64);
    put_u64(w, v);
}

void gguf_write_i32(struct gguf_writer *w, const char *key, int32_t v)
{
    put_key(w, str_c(key), GGUF_I32);
    put_u32(w, (uint32_t)v);
}

void gguf_write_f32(struct gguf_writer *w, const char *key, float v)
{
    put_key(w, str_c(key), GGUF_F32);
    put(w, &v, sizeof v);
}

void gguf_write_bool(struct gguf_writer *w, const char *key, bool v)
{
    uint8_t byte = v;
    put_key(w, str_c(key), GGUF_BOOL);
    put(w, &byte, 1);
}

void gguf_write_str(struct gguf_writer *w, const char *key, struct str v)
{
    put_key(w, str_c(key), GGUF_STR);
    put_str(w, v);
}

static void put_array(struct gguf_writer *w, struct str key, enum gguf_type elem_type, uint64_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(w, elem_type);
    put_u64(w, n);
}

void gguf_write_strs(struct gguf_writer *w, const char *key, const struct str *v, size_t n)
{
    put_array(w, str_c(key), GGUF_STR, n);
    for (size_t i = 0; i < n; i++)
        put_str(w, v[i]);
}

void gguf_write_i32s(struct gguf_writer *w, const char *key, const int32_t *v, size_t n)
{
    put_array(w, str_c(key), GGUF_I32, n);
    put(w, v, n * sizeof *v);
}

void gguf_write_f32s(struct gguf_writer *w, const char *key, const float *v, size_t n)
{
    put_array(w, str_c(key), GGUF_F32, n);
    put(w, v, n * sizeof *v);
}

static size_t scalar_bytes(enum gguf_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL: return 1;
    case GGUF_U16:
    case GGUF_I16: return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32: return 4;
    default: return 8;
    }
}

void gguf_write_kv(struct gguf_writer *w, const struct gguf_kv *kv)
{
    const struct gguf_value *v = &kv->value;
    if (v->type == GGUF_ARRAY) {
        put_array(w, kv->key, v->elem_type, v->n);
        if (v->elem_type != GGUF_STR)
            put(w, v->elems, (size_t)v->n * scalar_bytes(v->elem_type));
        for (uint64_t i = 0; v->elem_type == GGUF_STR && i < v->n; i++)
            put_str(w, v->strs[i]);
        return;
    }
    put_key(w, kv->key, v->type);
    if (v->type == GGUF_STR) {
        put_str(w, v->str);
    } else if (v->type == GGUF_F32) {
        float f = (float)v->f;
        put(w, &f, sizeof f);
    } else { /* the low bytes of u, i and f are the value's own */
        put(w, &v->u, scalar_bytes(v->type));
    }
}

/* --- tensors ------------------------------------------------------------------------------------ */

static uint64_t padded(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void collect_fail(struct gguf_writer *w, int code, const char *what, struct str name)
{
    if (w->err.code == OK)
        fail(&w->err, code, "tensor '%.*s' %s", STR(name), what);
}

static bool tensor_bytes(const struct out_tensor *t, uint64_t *n_bytes)
{
    uint64_t bytes;
    if (!quant_row_bytes(t->type, t->ne[0], &bytes))
        return false;
    for (uint32_t d = 1; d < t->n_dims; d++)
        if (__builtin_mul_overflow(bytes, t->ne[d], &bytes))
            return false;
    *n_bytes = bytes;
    return bytes <= INT64_MAX - ALIGNMENT;
}

uint32_t gguf_write_tensor(struct gguf_writer *w, struct str name, uint32_t type, uint32_t n_dims,
                           const uint64_t *ne)
{
    if (w->n_tensors == w->tensors_cap) {
        uint32_t cap = w->tensors_cap ? 2 * w->tensors_cap : 64;
        struct out_tensor *more = realloc(w->tensors, cap * sizeof *more);
        if (!more) {
            collect_fail(w, ERR_NOMEM, "finds no memory", name);
            return 0;
        }
        w->tensors = more;
        w->tensors_cap = cap;
    }
    struct out_tensor *t = &w->tensors[w->n_tensors];
    *t = (struct out_tensor){.type = type, .n_dims = n_dims, .ne = {1, 1, 1, 1}};
    assert(n_dims <= GGUF_DIMS_MAX);
    for (uint32_t d = 0; d < n_dims; d++)
        t->ne[d] = ne[d];
    if (name.n > GGUF_NAME_MAX)
        collect_fail(w, ERR_LIMIT, "has a name of more than 63 bytes", name);
    else if (name.n)
        memcpy(t->name, name.p, name.n);
    if (!tensor_bytes(t, &t->n_bytes))
        collect_fail(w, ERR_ARG, "has rows that are no whole blocks of its type", name);
    t->offset = w->data_bytes;
    if (__builtin_add_overflow(w->data_bytes, padded(t->n_bytes), &w->data_bytes) ||
        w->data_bytes > INT64_MAX / 2)
        collect_fail(w, ERR_LIMIT, "makes the file larger than 2^62 bytes", name);
    return w->n_tensors++;
}

uint64_t gguf_write_offset(const struct gguf_writer *w, uint32_t tensor)
{
    assert(tensor < w->n_tensors);
    return w->tensors[tensor].offset;
}

/* --- output ------------------------------------------------------------------------------------- */

int gguf_write_header(struct gguf_writer *w, struct buf *out, struct err *err)
{
    static const char zeros[ALIGNMENT];
    uint32_t start[2] = {0x46554747, 3};
    uint64_t counts[2] = {w->n_tensors, w->n_kvs};
    if (w->err.code != OK)
        return fail(err, w->err.code, "%s", w->err.text);
    if (!buf_ok(&w->kvs))
        return fail(err, ERR_NOMEM, "no memory for the keys of the file");
    size_t before = out->n;
    buf_add(out, start, sizeof start);
    buf_add(out, counts, sizeof counts);
    buf_add(out, w->kvs.p, w->kvs.n);
    for (uint32_t i = 0; i < w->n_tensors; i++) {
        const struct out_tensor *t = &w->tensors[i];
        struct str name = str_c(t->name);
        uint64_t name_bytes = name.n;
        buf_add(out, &name_bytes, sizeof name_bytes);
        buf_str_add(out, name);
        buf_add(out, &t->n_dims, sizeof t->n_dims);
        buf_add(out, t->ne, t->n_dims * sizeof t->ne[0]);
        buf_add(out, &t->type, sizeof t->type);
        buf_add(out, &t->offset, sizeof t->offset);
    }
    buf_add(out, zeros, padded(out->n - before) - (out->n - before));
    if (!buf_ok(out))
        return fail(err, ERR_NOMEM, "no memory for the header of the file");
    w->data_start = out->n - before;
    return OK;
}

static int write_at(const struct gguf_writer *w, uint64_t offset, const void *p, size_t n, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pwrite(w->fd, (const char *)p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail_errno(err, got < 0 ? errno : EIO, "%s: cannot write", w->temp_path);
        done += (size_t)got;
    }
    return OK;
}

/* The temporary file lies beside the target, so that the rename stays on one file system. */
static int open_temp(struct gguf_writer *w, const char *path, struct err *err)
{
    size_t n = strlen(path) + sizeof ".XXXXXX";
    w->path = str_dup_z(str_c(path));
    w->temp_path = malloc(n);
    if (!w->path || !w->temp_path)
        return fail(err, ERR_NOMEM, "no memory to write a file");
    snprintf(w->temp_path, n, "%s.XXXXXX", path);
    w->fd = mkostemp(w->temp_path, O_CLOEXEC);
    if (w->fd < 0)
        return fail_errno(err, errno, "%s: cannot make a file beside it", path);
    mode_t mask = umask(0);
    umask(mask);
    fchmod(w->fd, 0666 & ~mask);
    return OK;
}

int gguf_write_begin(struct gguf_writer *w, const char *path, struct err *err)
{
    struct buf header;
    assert(w->fd < 0);
    buf_init(&header, HEADER_MAX);
    int rc = gguf_write_header(w, &header, err);
    if (rc == OK)
        rc = open_temp(w, path, err);
    if (rc == OK)
        rc = write_at(w, 0, header.p, header.n, err);
    /* The file gets its full length at once: padding reads as zeros, and a full disk shows early
     * where the file system can reserve. */
    if (rc == OK && w->data_bytes) {
        int e = posix_fallocate(w->fd, 0, (off_t)(w->data_start + w->data_bytes));
        if (e != 0 && ftruncate(w->fd, (off_t)(w->data_start + w->data_bytes)) < 0)
            rc = fail_errno(err, errno, "%s: cannot reserve %llu bytes", w->temp_path,
                            (unsigned long long)w->data_start + w->data_bytes);
        if (rc == OK && e == ENOSPC)
            rc = fail_errno(err, e, "%s: cannot reserve %llu bytes", w->temp_path,
                            (unsigned long long)w->data_start + w->data_bytes);
    }
    buf_deinit(&header);
    return rc;
}

int gguf_write_data(struct gguf_writer *w, uint32_t tensor, uint64_t at, const void *p, size_t n,
                    struct err *err)
{
    assert(tensor < w->n_tensors && w->fd >= 0);
    const struct out_tensor *t = &w->tensors[tensor];
    assert(at <= t->n_bytes && n <= t->n_bytes - at);
    return write_at(w, w->data_start + t->offset + at, p, n, err);
}

int gguf_write_commit(struct gguf_writer *w, struct err *err)
{
    assert(w->fd >= 0);
    int fd = w->fd;
    if (fsync(fd) < 0)
        return fail_errno(err, errno, "%s: cannot write", w->temp_path);
    if (rename(w->temp_path, w->path) < 0)
        return fail_errno(err, errno, "%s: cannot give the file its name", w->path);
    w->fd = -1;
    close(fd);
    return OK;
}
