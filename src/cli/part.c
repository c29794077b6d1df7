/* part.c - Bytes into FILE.part, checked, then renamed.  See part.h. */
#include "cli/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READ_BYTES  ((size_t)1 << 20)
#define SPARE_BYTES ((uint64_t)64 << 20) /* that a download leaves free on the disk */

int part_begin_again(struct part *t, struct err *err)
{
    uint8_t ignored[SHA256_BYTES];
    if (t->digest)
        digest_finish(t->digest, ignored);
    t->digest = digest_create();
    t->have = 0;
    if (!t->digest)
        return fail(err, ERR_NOMEM, "no memory for a checksum");
    if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) != 0)
        return fail_errno(err, errno, "%s", t->path);
    return OK;
}

int part_write(struct part *t, struct str data, struct err *err)
{
    while (data.n) {
        ssize_t n = write(t->fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno(err, n < 0 ? errno : ENOSPC,
                              "%s cannot be written; what is there stays, make room and pull again", t->path);
        digest_add(t->digest, data.p, (size_t)n);
        t->have += (uint64_t)n;
        data = str_sub(data, (size_t)n, data.n);
    }
    return OK;
}

/* Adds what fd holds to the digest. */
static int digest_fd(int fd, struct part *t, const char *what, uint64_t bytes, struct err *err)
{
    char *block = malloc(READ_BYTES);
    struct progress progress;
    uint64_t done = 0;
    int rc = block ? OK : fail(err, ERR_NOMEM, "no memory for a checksum");
    progress_begin(&progress, what);
    while (rc == OK) {
        ssize_t n = read(fd, block, READ_BYTES);
        if (n < 0)
            rc = fail_errno(err, errno, "%s", t->path);
        if (n <= 0)
            break;
        digest_add(t->digest, block, (size_t)n);
        done += (uint64_t)n;
        if (bytes > READ_BYTES * 64)
            progress_step(&progress, done, bytes);
    }
    progress_end(&progress);
    free(block);
    return rc;
}

static bool is_right(struct part *t)
{
    uint8_t sum[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    digest_finish(t->digest, sum);
    t->digest = NULL;
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return str_eq(str_of(hex, 64), t->sha256);
}

/* True if the file is there already, whole and right. */
bool part_is_pulled(struct part *t)
{
    struct stat st;
    struct err ignored;
    int fd = open(t->final_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool right = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                 (!t->total || (uint64_t)st.st_size == t->total) && (t->digest = digest_create()) != NULL;
    if (right) {
        right = digest_fd(fd, t, "checking what is there", (uint64_t)st.st_size, &ignored) == OK;
        right = is_right(t) && right;
    }
    close(fd);
    return right;
}

static int check_room(const struct part *t, struct err *err)
{
    struct statvfs v;
    if (!t->total || fstatvfs(t->fd, &v) != 0)
        return OK;
    uint64_t space = (uint64_t)v.f_bavail * v.f_frsize, need = t->total - t->have;
    if (need == 0 || space >= need + SPARE_BYTES)
        return OK;
    char have[32], want[32];
    cli_print_bytes(have, sizeof have, space);
    cli_print_bytes(want, sizeof want, need + SPARE_BYTES);
    return fail(err, ERR_IO, "%s: the disk has %s left, %s are needed", t->path, have, want);
}

/* Opens FILE.<sha>.part and takes what an earlier pull left. */
int part_open(struct part *t, struct err *err)
{
    struct stat st;
    t->fd = open(t->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (t->fd < 0)
        return fail_errno(err, errno, "%s cannot be opened", t->path);
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
        return fail(err, ERR_BUSY, "another pull is downloading '%.*s' at the moment", STR(t->file->path));
    t->digest = digest_create();
    if (!t->digest)
        return fail(err, ERR_NOMEM, "no memory for a checksum");
    if (fstat(t->fd, &st) != 0)
        return fail_errno(err, errno, "%s", t->path);
    if (t->total && (uint64_t)st.st_size > t->total)
        return part_begin_again(t, err);
    int rc = digest_fd(t->fd, t, "checking what is there", (uint64_t)st.st_size, err);
    t->have = (uint64_t)st.st_size;
    return rc ? rc : check_room(t, err);
}

/* On disk under its own name, or not at all. */
int part_put_in_place(struct part *t, struct err *err)
{
    char *slash, *folder;
    if (!is_right(t)) {
        unlink(t->path);
        return fail(err, ERR_FORMAT,
                    "'%.*s' does not have the SHA-256 that the hub says (%.*s): what came was discarded",
                    STR(t->file->path), STR(t->sha256));
    }
    if (fsync(t->fd) != 0 || rename(t->path, t->final_path) != 0)
        return fail_errno(err, errno, "%s cannot be put in place", t->final_path);
    folder = str_dup_z(str_c(t->final_path));
    if (folder && (slash = strrchr(folder, '/'))) {
        *slash = 0;
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            fsync(fd);
            close(fd);
        }
    }
    free(folder);
    return OK;
}

void part_close(struct part *t)
{
    uint8_t ignored[SHA256_BYTES];
    if (t->digest)
        digest_finish(t->digest, ignored);
    if (t->fd >= 0)
        close(t->fd);
    t->digest = NULL;
    t->fd = -1;
}
