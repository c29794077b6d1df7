/* snapshot_dir.c - Files of KV pages: names, reading, writing.  (snapshot_trim.c keeps the folder small.) */
#include "engine/snapshot_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/sys.h"
#include "engine/snapshot_name.h"

#define VERSION 1

static const char magic[8] = {'S', 'L', 'U', 'I', 'C', 'E', 'K', 'V'};

/* ---- names ---- */

static void put_hex(char *to, const uint8_t *from, int n)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < n; i++) {
        to[2 * i] = digits[from[i] >> 4];
        to[2 * i + 1] = digits[from[i] & 15];
    }
}

/* "ab/KEY-PARENT.kv", each 16 bytes of the keys as hexadecimal digits. */
static void make_name(char name[SNAPSHOT_PATH_BYTES], const struct snapshot_key *key,
                      const struct snapshot_key *parent)
{
    put_hex(name, key->b, 1);
    name[2] = '/';
    put_hex(name + 3, key->b, SNAPSHOT_NAME_KEY);
    name[3 + 2 * SNAPSHOT_NAME_KEY] = '-';
    put_hex(name + 4 + 2 * SNAPSHOT_NAME_KEY, parent->b, SNAPSHOT_NAME_KEY);
    memcpy(name + 4 + 4 * SNAPSHOT_NAME_KEY, SNAPSHOT_ENDING, sizeof SNAPSHOT_ENDING);
}

/* ---- open ---- */

int snapshot_dir_open(struct snapshot_dir *d, const char *path, uint64_t max_bytes, uint64_t page_bytes,
                      struct err *err)
{
    *d = (struct snapshot_dir){.fd = -1, .lock_fd = -1, .max_bytes = max_bytes, .page_bytes = page_bytes};
    if (max_bytes < page_bytes + sizeof(struct snapshot_head))
        return fail(
            err, ERR_ARG, "the KV cache on disk may have %llu bytes, one page of this model needs %llu",
            (unsigned long long)max_bytes, (unsigned long long)(page_bytes + sizeof(struct snapshot_head)));
    int rc = sys_make_folders(path, err);
    if (rc != OK)
        return rc;
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return fail_errno(err, errno, "the folder '%s' of the KV cache cannot be opened", path);
    d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0) {
        rc = fail_errno(err, errno, "nothing can be written to the folder '%s' of the KV cache", path);
        snapshot_dir_close(d);
    }
    return rc;
}

void snapshot_dir_close(struct snapshot_dir *d)
{
    if (d->fd >= 0)
        close(d->fd);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->fd = d->lock_fd = -1;
}

/* ---- reading ---- */

bool snapshot_dir_has(const struct snapshot_dir *d, const struct snapshot_key *key,
                      const struct snapshot_key *parent)
{
    char name[SNAPSHOT_PATH_BYTES];
    make_name(name, key, parent);
    return faccessat(d->fd, name, R_OK, 0) == 0;
}

static bool read_whole(int fd, void *to, size_t n)
{
    char *p = to;
    size_t at = 0;
    while (at < n) {
        ssize_t got = pread(fd, p + at, n - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static bool is_whole(const struct snapshot_dir *d, const struct snapshot_key *key,
                     const struct snapshot_key *parent, const struct snapshot_head *r)
{
    return !memcmp(r->magic, magic, sizeof magic) && r->version == VERSION &&
           r->page_bytes == d->page_bytes && !memcmp(&r->key, key, sizeof *key) &&
           !memcmp(&r->parent, parent, sizeof *parent) && r->sum == checksum(r + 1, d->page_bytes, VERSION);
}

int snapshot_dir_read(struct snapshot_dir *d, const struct snapshot_key *key,
                      const struct snapshot_key *parent, struct snapshot_head *record)
{
    char name[SNAPSHOT_PATH_BYTES];
    struct stat st;
    size_t n = sizeof *record + d->page_bytes;

    make_name(name, key, parent);
    int fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return ERR_NOT_FOUND;
    bool is_good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == (off_t)n &&
                   read_whole(fd, record, n) && is_whole(d, key, parent, record);
    close(fd);
    if (is_good)
        return OK;
    unlinkat(d->fd, name, 0);
    return ERR_FORMAT;
}

void snapshot_dir_touch(const struct snapshot_dir *d, const struct snapshot_key *key,
                        const struct snapshot_key *parent)
{
    char name[SNAPSHOT_PATH_BYTES];
    make_name(name, key, parent);
    utimensat(d->fd, name, NULL, 0); /* of a folder that may only be read, the order of use is not ours */
}

/* ---- writing ---- */

static int write_whole(int fd, const void *from, size_t n)
{
    const char *p = from;
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

int snapshot_dir_write(struct snapshot_dir *d, const struct snapshot_key *key,
                       const struct snapshot_key *parent, struct snapshot_head *record, struct err *err)
{
    char name[SNAPSHOT_PATH_BYTES], part[SNAPSHOT_PATH_BYTES], folder[3];
    size_t n = sizeof *record + d->page_bytes;

    *record = (struct snapshot_head){
        .version = VERSION, .page_bytes = d->page_bytes, .key = *key, .parent = *parent};
    memcpy(record->magic, magic, sizeof magic);
    record->sum = checksum(record + 1, d->page_bytes, VERSION);
    make_name(name, key, parent);
    snprintf(folder, sizeof folder, "%.2s", name);
    snprintf(part, sizeof part, "%s/" SNAPSHOT_PART "%d-%llu", folder, (int)getpid(),
             (unsigned long long)++d->n_temporary);

    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(d->fd, part, flags, 0600);
    if (fd < 0 && errno == ENOENT && mkdirat(d->fd, folder, 0700) == 0)
        fd = openat(d->fd, part, flags, 0600);
    else if (fd < 0 && errno == EEXIST) { /* of an earlier process with our number */
        unlinkat(d->fd, part, 0);
        fd = openat(d->fd, part, flags, 0600);
    }
    if (fd < 0)
        return fail_errno(err, errno, "a KV page cannot be stored");
    int why = write_whole(fd, record, n);
    if (close(fd) != 0 && !why)
        why = errno;
    if (!why && renameat(d->fd, part, d->fd, name) != 0)
        why = errno;
    if (why) {
        unlinkat(d->fd, part, 0);
        return fail_errno(err, why, "a KV page cannot be stored");
    }
    atomic_fetch_add(&d->n_bytes, n);
    d->n_written += n;
    return OK;
}
