/* gguf.c - Open GGUF files, find the parts of split ones, and read their bytes.  What the bytes
 * mean is in gguf_parse.c, how they are asked for in gguf_get.c. */
#include "model/gguf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/gguf_int.h"

enum { PART_NAME_BYTES = sizeof "-00001-of-00002.gguf" - 1 };

/* --- bytes ------------------------------------------------------------------------------------ */

int gguf_read(const struct gguf *g, uint32_t part, uint64_t offset, void *dst, size_t n, struct err *err)
{
    assert(part < g->n_parts);
    const struct gguf_part *p = &g->parts[part];
    if (offset > p->n_bytes || n > p->n_bytes - offset)
        return fail(err, ERR_FORMAT, "%zu bytes at byte %llu are past the end of the file (%llu bytes)", n,
                    (unsigned long long)offset, (unsigned long long)p->n_bytes);
    if (g->memory) {
        if (n)
            memcpy(dst, g->memory + offset, n);
        return OK;
    }
    for (size_t done = 0; done < n;) {
        size_t want = n - done;
#ifdef SLUICE_HOSTILE
        want = want > 1 ? want / 2 : 1;
#endif
        ssize_t got = pread(p->fd, (char *)dst + done, want, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(err, errno, "cannot read at byte %llu", (unsigned long long)offset + done);
        if (got == 0)
            return fail(err, ERR_IO, "the file ends at byte %llu, it was longer when it was opened",
                        (unsigned long long)offset + done);
        done += (size_t)got;
    }
    return OK;
}

/* --- opening ----------------------------------------------------------------------------------- */

static int open_part(struct gguf *g, uint32_t part, const char *path, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "cannot open the file");
    g->parts[part].fd = fd;
    if (fstat(fd, &st) < 0)
        return fail_errno(err, errno, "cannot look at the file");
    if (!S_ISREG(st.st_mode))
        return fail(err, ERR_ARG, "not an ordinary file");
    g->parts[part].n_bytes = (uint64_t)st.st_size;
    return OK;
}

/* Opens and parses one file; its errors begin with its path. */
static int add_part(struct gguf *g, uint32_t part, const char *path, uint32_t *n_parts, struct err *err)
{
    int rc = open_part(g, part, path, err);
    if (rc == OK)
        rc = gguf_parse_part(g, part, n_parts, err);
    if (rc != OK && err)
        err_prefix(err, "%s", path);
    return rc;
}

/* The parts after the first, whose name must be "...-00001-of-0000N.gguf". */
static int add_other_parts(struct gguf *g, uint32_t n_parts, struct err *err)
{
    char end[PART_NAME_BYTES + 1];
    struct str path = str_c(g->path);
    snprintf(end, sizeof end, "-00001-of-%05u.gguf", n_parts);
    if (!str_ends(path, str_c(end)))
        return fail(err, ERR_ARG,
                    "%s: the first of %u parts, its name must end in '%s' so that the others are found",
                    g->path, n_parts, end);
    struct gguf_part *parts = arena_new_array(&g->arena, struct gguf_part, n_parts);
    char *name = malloc(path.n + 1);
    if (!parts || !name) {
        free(name);
        return fail(err, ERR_NOMEM, "no memory for %u parts", n_parts);
    }
    parts[0] = g->parts[0];
    for (uint32_t i = 1; i < n_parts; i++)
        parts[i].fd = -1;
    g->parts = parts;
    g->n_parts = n_parts;
    int rc = OK;
    memcpy(name, path.p, path.n + 1);
    for (uint32_t i = 1; rc == OK && i < n_parts; i++) {
        snprintf(name + path.n - PART_NAME_BYTES, PART_NAME_BYTES + 1, "-%05u-of-%05u.gguf", i + 1, n_parts);
        rc = add_part(g, i, name, &n_parts, err);
    }
    free(name);
    return rc;
}

static int check_tensor_count(const struct gguf *g, struct err *err)
{
    int32_t n = -1;
    int rc = gguf_opt_i32(g, "split.tensors.count", &n, err);
    if (rc == OK && g->n_parts > 1 && n >= 0 && (uint32_t)n != g->n_tensors)
        return fail(err, ERR_FORMAT, "the parts have %u tensors together, the first says %d", g->n_tensors,
                    n);
    return rc;
}

static struct gguf *create(struct err *err)
{
    struct gguf *g = calloc(1, sizeof *g);
    if (g) {
        arena_init(&g->arena, 64 * 1024);
        g->parts = arena_new_array(&g->arena, struct gguf_part, 1);
        g->n_parts = 1;
    }
    if (!g || !g->parts) {
        free(g);
        fail(err, ERR_NOMEM, "no memory to open a model file");
        return NULL;
    }
    g->parts[0].fd = -1;
    return g;
}

int gguf_open(struct gguf **out, const char *path, struct err *err)
{
    uint32_t n_parts = 1;
    *out = NULL;
    struct gguf *g = create(err);
    if (!g)
        return ERR_NOMEM;
    int rc = OK;
    g->path = str_dup_z(str_c(path));
    if (!g->path)
        rc = fail(err, ERR_NOMEM, "no memory to open a model file");
    if (rc == OK)
        rc = add_part(g, 0, path, &n_parts, err);
    if (rc == OK && n_parts > 1)
        rc = add_other_parts(g, n_parts, err);
    if (rc == OK) {
        rc = check_tensor_count(g, err);
        if (rc != OK && err)
            err_prefix(err, "%s", path);
    }
    if (rc != OK) {
        gguf_close(g);
        return rc;
    }
    *out = g;
    return OK;
}

int gguf_open_memory(struct gguf **out, const void *bytes, size_t n, struct err *err)
{
    uint32_t n_parts = 1;
    *out = NULL;
    struct gguf *g = create(err);
    if (!g)
        return ERR_NOMEM;
    g->memory = bytes;
    g->parts[0].n_bytes = n;
    int rc = gguf_parse_part(g, 0, &n_parts, err);
    if (rc == OK && n_parts > 1)
        rc = fail(err, ERR_ARG, "a split model cannot be read from memory");
    if (rc != OK) {
        gguf_close(g);
        return rc;
    }
    *out = g;
    return OK;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    for (uint32_t i = 0; i < g->n_parts; i++)
        if (g->parts[i].fd >= 0)
            close(g->parts[i].fd);
    arena_deinit(&g->arena);
    free(g->path);
    free(g);
}
