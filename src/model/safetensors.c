/* safetensors.c - See safetensors.h.  Start reading at open_all(). */
#include "model/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/sys.h"
#include "kernel/f16.h"

enum { INDEX_BYTES_MAX = 64 << 20, NAME_BYTES_MAX = 4096 };

#define TENSORS_MAX (1u << 20)

struct safetensors {
    struct arena arena;
    int *fds;
    uint32_t n_files;
    struct safetensors_tensor *tensors; /* sorted by name once all are there */
    uint32_t n_tensors, tensors_cap;
};

static const struct {
    const char *name;
    enum safetensors_dtype dtype;
    uint8_t bytes;
} dtypes[] = {
    {"F64", ST_F64, 8},    {"F32", ST_F32, 4},       {"F16", ST_F16, 2},       {"BF16", ST_BF16, 2},
    {"I64", ST_OTHER, 8},  {"I32", ST_OTHER, 4},     {"I16", ST_OTHER, 2},     {"I8", ST_OTHER, 1},
    {"U64", ST_OTHER, 8},  {"U32", ST_OTHER, 4},     {"U16", ST_OTHER, 2},     {"U8", ST_OTHER, 1},
    {"BOOL", ST_OTHER, 1}, {"F8_E4M3", ST_OTHER, 1}, {"F8_E5M2", ST_OTHER, 1},
};

static int find_dtype(struct str name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (str_eq(name, str_c(dtypes[i].name)))
            return (int)i;
    return -1;
}

/* --- a header ----------------------------------------------------------------------------------- */

static int parse_shape(struct safetensors_tensor *t, struct json shape, struct err *err)
{
    if (!json_is(shape, JSON_ARRAY) || json_count(shape) > SAFETENSORS_DIMS_MAX)
        return fail(err, ERR_FORMAT, "tensor '%.*s' has no shape of at most %d dimensions", STR(t->name),
                    SAFETENSORS_DIMS_MAX);
    t->n_elems = 1;
    struct json_iter it = json_iter(shape);
    while (json_next(&it)) {
        uint64_t n;
        if (!json_u64(it.value, &n) || __builtin_mul_overflow(t->n_elems, n, &t->n_elems))
            return fail(err, ERR_FORMAT, "tensor '%.*s' has an impossible shape", STR(t->name));
        t->shape[t->n_dims++] = n;
    }
    return OK;
}

static int parse_tensor(struct safetensors_tensor *t, struct json v, uint64_t data_start, uint64_t n_bytes,
                        struct arena *arena, struct err *err)
{
    uint64_t begin, end, bytes;
    t->dtype_name = json_text(json_get(v, "dtype"), arena);
    int d = t->dtype_name.p ? find_dtype(t->dtype_name) : -1;
    if (d < 0)
        return fail(err, ERR_FORMAT, "tensor '%.*s' has the unknown dtype '%.*s'", STR(t->name),
                    STR(t->dtype_name));
    t->dtype = dtypes[d].dtype;
    int rc = parse_shape(t, json_get(v, "shape"), err);
    if (rc != OK)
        return rc;
    struct json offsets = json_get(v, "data_offsets");
    if (json_count(offsets) != 2 || !json_u64(json_at(offsets, 0), &begin) ||
        !json_u64(json_at(offsets, 1), &end))
        return fail(err, ERR_FORMAT, "tensor '%.*s' has no data_offsets", STR(t->name));
    if (begin > end || end > n_bytes - data_start)
        return fail(err, ERR_FORMAT, "tensor '%.*s' ends past the file of %llu bytes; is it complete?",
                    STR(t->name), (unsigned long long)n_bytes);
    if (__builtin_mul_overflow(t->n_elems, dtypes[d].bytes, &bytes) || bytes != end - begin)
        return fail(err, ERR_FORMAT, "tensor '%.*s' has %llu bytes, its shape asks for another number",
                    STR(t->name), (unsigned long long)(end - begin));
    t->offset = data_start + begin;
    t->n_bytes = bytes;
    return OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct safetensors_tensor *)a)->name,
                   ((const struct safetensors_tensor *)b)->name);
}

static bool add_room(struct safetensors *st)
{
    if (st->n_tensors < st->tensors_cap)
        return true;
    uint32_t cap = st->tensors_cap ? 2 * st->tensors_cap : 256;
    struct safetensors_tensor *more = realloc(st->tensors, cap * sizeof *more);
    if (!more)
        return false;
    st->tensors = more;
    st->tensors_cap = cap;
    return true;
}

/* The data must be the tensors one after the other, without holes. */
static int check_cover(struct safetensors_tensor *t, uint32_t n, uint64_t data_start, uint64_t n_bytes,
                       struct err *err)
{
    uint64_t at = data_start;
    if (n)
        qsort(t, n, sizeof *t, by_offset);
    for (uint32_t i = 0; i < n; i++) {
        if (t[i].offset != at)
            return fail(err, ERR_FORMAT, "tensor '%.*s' begins at byte %llu, expected %llu", STR(t[i].name),
                        (unsigned long long)t[i].offset, (unsigned long long)at);
        at += t[i].n_bytes;
    }
    if (at != n_bytes)
        return fail(err, ERR_FORMAT, "the tensors end at byte %llu, the file at %llu", (unsigned long long)at,
                    (unsigned long long)n_bytes);
    return OK;
}

/* Adds the tensors of one file. */
static int parse_header(struct safetensors *st, uint32_t file, struct str json, uint64_t data_start,
                        uint64_t n_bytes, struct err *err)
{
    struct json_doc doc;
    uint32_t first = st->n_tensors;
    if (json.n == 0 || json.p[0] != '{')
        return fail(err, ERR_FORMAT, "at byte 8: the header does not begin with '{'");
    int rc = json_parse(&doc, &st->arena, json, err);
    if (rc != OK)
        return rc;
    struct json_iter it = json_iter(json_root(&doc));
    while (json_next(&it)) {
        struct str name = json_text(it.key_value, &st->arena);
        if (str_eq(name, S("__metadata__")))
            continue;
        if (!name.p || name.n > NAME_BYTES_MAX)
            return fail(err, ERR_LIMIT, "a tensor name of more than %d bytes", NAME_BYTES_MAX);
        if (st->n_tensors >= TENSORS_MAX || !add_room(st))
            return fail(err, ERR_LIMIT, "more than %u tensors", TENSORS_MAX);
        struct safetensors_tensor *t = &st->tensors[st->n_tensors];
        *t = (struct safetensors_tensor){.name = name, .file = file};
        rc = parse_tensor(t, it.value, data_start, n_bytes, &st->arena, err);
        if (rc != OK)
            return rc;
        st->n_tensors++;
    }
    if (st->n_tensors == 0) /* nothing has been allocated yet */
        return check_cover(NULL, 0, data_start, n_bytes, err);
    return check_cover(st->tensors + first, st->n_tensors - first, data_start, n_bytes, err);
}

int safetensors_check_header(struct str json, uint64_t data_start, uint64_t n_bytes, struct err *err)
{
    struct safetensors st = {0};
    assert(data_start <= n_bytes);
    arena_init(&st.arena, 64 * json.n + 65536);
    int rc = parse_header(&st, 0, json, data_start, n_bytes, err);
    arena_deinit(&st.arena);
    free(st.tensors);
    return rc;
}

/* --- files -------------------------------------------------------------------------------------- */

static int read_at(int fd, uint64_t offset, void *p, size_t n, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(err, errno, "cannot read at byte %llu", (unsigned long long)offset + done);
        if (got == 0)
            return fail(err, ERR_FORMAT, "the file ends at byte %llu", (unsigned long long)offset + done);
        done += (size_t)got;
    }
    return OK;
}

static int open_file(struct safetensors *st, uint32_t file, const char *path, struct err *err)
{
    struct stat info;
    uint64_t header_bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "cannot open the file");
    st->fds[file] = fd;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return fail(err, ERR_ARG, "not an ordinary file");
    uint64_t n_bytes = (uint64_t)info.st_size;
    int rc = read_at(fd, 0, &header_bytes, sizeof header_bytes, err);
    if (rc != OK)
        return rc;
    if (header_bytes > SAFETENSORS_HEADER_MAX || header_bytes > n_bytes - 8)
        return fail(err, ERR_FORMAT, "at byte 0: a header of %llu bytes in a file of %llu",
                    (unsigned long long)header_bytes, (unsigned long long)n_bytes);
    /* The tape of the JSON reader is at most some 20 bytes per byte of source. */
    st->arena.max += 64 * header_bytes + 65536;
    char *json = arena_alloc(&st->arena, header_bytes + 1);
    if (!json)
        return fail(err, ERR_NOMEM, "no memory for a header of %llu bytes", (unsigned long long)header_bytes);
    rc = read_at(fd, 8, json, header_bytes, err);
    if (rc != OK)
        return rc;
    return parse_header(st, file, str_of(json, header_bytes), 8 + header_bytes, n_bytes, err);
}

static int add_file(struct safetensors *st, const char *folder, struct str name, struct err *err)
{
    char path[4096];
    if (st->n_files == SAFETENSORS_FILES_MAX)
        return fail(err, ERR_LIMIT, "%s: more than %d files", folder, SAFETENSORS_FILES_MAX);
    if (str_find_char(name, '/', 0) != STR_NONE || str_find_char(name, '\0', 0) != STR_NONE)
        return fail(err, ERR_FORMAT, "%s: the index names the file '%.*s' outside its folder", folder,
                    STR(name));
    if ((size_t)snprintf(path, sizeof path, "%s/%.*s", folder, STR(name)) >= sizeof path)
        return fail(err, ERR_ARG, "%s: the path is too long", folder);
    int rc = open_file(st, st->n_files++, path, err);
    if (rc != OK && err)
        err_prefix(err, "%s", path);
    return rc;
}

/* The files that the index names, each once. */
static int add_indexed(struct safetensors *st, const char *folder, struct str index, struct err *err)
{
    struct json_doc doc;
    struct str *names = calloc(SAFETENSORS_FILES_MAX, sizeof *names);
    uint32_t n = 0;
    st->arena.max += 64 * index.n + 65536;
    if (!names)
        return fail(err, ERR_NOMEM, "%s: no memory for the index", folder);
    int rc = json_parse(&doc, &st->arena, index, err);
    if (rc != OK && err)
        err_prefix(err, "%s/model.safetensors.index.json", folder);
    struct json_iter it = json_iter(rc == OK ? json_get(json_root(&doc), "weight_map") : json_absent());
    while (rc == OK && json_next(&it)) {
        struct str name = json_text(it.value, &st->arena);
        uint32_t i = 0;
        while (i < n && !str_eq(names[i], name))
            i++;
        if (!name.p)
            rc = fail(err, ERR_FORMAT, "%s: the index names no file for '%.*s'", folder, STR(it.key));
        else if (i == n && n == SAFETENSORS_FILES_MAX)
            rc = fail(err, ERR_LIMIT, "%s: more than %d files", folder, SAFETENSORS_FILES_MAX);
        else if (i == n)
            names[n++] = name;
    }
    for (uint32_t i = 0; rc == OK && i < n; i++)
        rc = add_file(st, folder, names[i], err);
    free(names);
    return rc;
}

static int open_all(struct safetensors *st, const char *folder, struct err *err)
{
    char path[4096];
    struct buf index;
    if ((size_t)snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder) >= sizeof path)
        return fail(err, ERR_ARG, "%s: the path is too long", folder);
    buf_init(&index, INDEX_BYTES_MAX);
    int rc = sys_read_file(path, &index, err);
    if (rc == OK) {
        rc = add_indexed(st, folder, buf_str(&index), err);
        /* names are borrowed from the arena or this buffer only while opening */
    } else if (rc == ERR_NOT_FOUND) {
        rc = add_file(st, folder, S("model.safetensors"), err);
    }
    buf_deinit(&index);
    if (rc != OK)
        return rc;
    if (st->n_tensors)
        qsort(st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
    for (uint32_t i = 1; i < st->n_tensors; i++)
        if (str_eq(st->tensors[i].name, st->tensors[i - 1].name))
            return fail(err, ERR_FORMAT, "%s: tensor '%.*s' is in two files", folder,
                        STR(st->tensors[i].name));
    return OK;
}

int safetensors_open(struct safetensors **out, const char *folder, struct err *err)
{
    *out = NULL;
    struct safetensors *st = calloc(1, sizeof *st);
    if (st)
        st->fds = malloc(SAFETENSORS_FILES_MAX * sizeof *st->fds);
    if (!st || !st->fds) {
        free(st);
        return fail(err, ERR_NOMEM, "no memory to open a model folder");
    }
    for (int i = 0; i < SAFETENSORS_FILES_MAX; i++)
        st->fds[i] = -1;
    arena_init(&st->arena, 65536);
    int rc = open_all(st, folder, err);
    if (rc != OK) {
        safetensors_close(st);
        return rc;
    }
    *out = st;
    return OK;
}

void safetensors_close(struct safetensors *st)
{
    if (!st)
        return;
    for (uint32_t i = 0; i < st->n_files; i++)
        if (st->fds[i] >= 0)
            close(st->fds[i]);
    arena_deinit(&st->arena);
    free(st->fds);
    free(st->tensors);
    free(st);
}

/* --- tensors ------------------------------------------------------------------------------------ */

uint32_t safetensors_n(const struct safetensors *st)
{
    return st->n_tensors;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *st, uint32_t i)
{
    assert(i < st->n_tensors);
    return &st->tensors[i];
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *st, struct str name)
{
    struct safetensors_tensor key = {.name = name};
    if (st->n_tensors == 0)
        return NULL;
    return bsearch(&key, st->tensors, st->n_tensors, sizeof key, by_name);
}

int safetensors_read_f32(const struct safetensors *st, const struct safetensors_tensor *t, uint64_t first,
                         size_t n, float *y, struct err *err)
{
    assert(first <= t->n_elems && n <= t->n_elems - first);
    if (t->dtype == ST_OTHER)
        return fail(err, ERR_UNSUPPORTED, "tensor '%.*s' is %.*s, which cannot be converted", STR(t->name),
                    STR(t->dtype_name));
    int fd = st->fds[t->file];
    if (t->dtype == ST_F32)
        return read_at(fd, t->offset + 4 * first, y, 4 * n, err);
    uint8_t piece[4096];
    size_t size = t->dtype == ST_F64 ? 8 : 2, per = sizeof piece / size;
    for (size_t done = 0; done < n; done += per) {
        size_t now = n - done < per ? n - done : per;
        int rc = read_at(fd, t->offset + size * (first + done), piece, size * now, err);
        if (rc != OK)
            return rc;
        for (size_t i = 0; i < now; i++) {
            uint16_t half;
            double wide;
            if (size == 8) {
                memcpy(&wide, piece + 8 * i, 8);
                y[done + i] = (float)wide;
                continue;
            }
            memcpy(&half, piece + 2 * i, 2);
            y[done + i] = t->dtype == ST_F16 ? f16_to_f32(half) : bf16_to_f32(half);
        }
    }
    return OK;
}
