/* journal.c - See journal.h. */
#include "store/journal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GATHERED_MAX ((size_t)64 << 20)
/* No record has so many zeros in a row: between the numbers of its attempts are names. */
#define ZEROS_IN_RECORD_MAX 1024
#define READ_PART           ((size_t)1 << 16)

struct journal {
    char folder[PATH_MAX];
    int thread;
    int fd;
    pthread_mutex_t fd_lock; /* held to change fd and to sync it */
    _Atomic uint64_t number;
    uint64_t offset; /* in the current segment */
    _Atomic uint64_t flushed;
    _Atomic bool is_broken;
    struct buf gathered;
};

static int open_segment(struct journal *j, struct err *err)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/journal-%03d-%012llu.log", j->folder, j->thread,
             (unsigned long long)j->number + 1);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "cannot create the journal '%s'", path);
    int e = posix_fallocate(fd, 0, (off_t)JOURNAL_SEGMENT_BYTES);
    if (e != 0 && e != EOPNOTSUPP && e != EINVAL) {
        close(fd);
        unlink(path);
        return fail_errno(err, e, "there is no room for the journal '%s'", path);
    }
    pthread_mutex_lock(&j->fd_lock);
    if (j->fd >= 0) {
        fdatasync(j->fd);
        close(j->fd);
    }
    j->fd = fd;
    j->number++;
    j->offset = 0;
    pthread_mutex_unlock(&j->fd_lock);
    return OK;
}

struct journal *journal_open(const char *folder, int thread, struct err *err)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j || strlen(folder) >= sizeof j->folder) {
        fail(err, ERR_NOMEM, "no memory for the journal");
        free(j);
        return NULL;
    }
    memcpy(j->folder, folder, strlen(folder) + 1);
    j->thread = thread;
    j->fd = -1;
    pthread_mutex_init(&j->fd_lock, NULL);
    buf_init(&j->gathered, GATHERED_MAX);
    struct journal_file *files = calloc(4096, sizeof *files);
    int n =
        files ? journal_list(folder, files, 4096, err) : fail(err, ERR_NOMEM, "no memory for the journal");
    for (int i = 0; i < n; i++)
        if (files[i].thread == thread && files[i].number > j->number)
            j->number = files[i].number;
    free(files);
    if (n >= 0 && open_segment(j, err) == OK)
        return j;
    journal_close(j);
    return NULL;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0) {
        fdatasync(j->fd);
        close(j->fd);
    }
    pthread_mutex_destroy(&j->fd_lock);
    buf_deinit(&j->gathered);
    free(j);
}

bool journal_add(struct journal *j, const struct record *r)
{
    struct buf one;
    buf_init(&one, RECORD_BYTES_MAX + 64);
    /* Through a buffer of its own: a full j->gathered would otherwise lose what it has. */
    bool ok = record_write(&one, r) && one.n <= j->gathered.max - j->gathered.n &&
              buf_str_add(&j->gathered, buf_str(&one));
    buf_deinit(&one);
    return ok;
}

bool journal_has_unflushed(const struct journal *j)
{
    return j->gathered.n > 0;
}

static int write_at(int fd, struct str s, uint64_t offset)
{
    while (s.n) {
        ssize_t n = pwrite(fd, s.p, s.n, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        s = str_sub(s, (size_t)n, s.n);
        offset += (uint64_t)n;
    }
    return 0;
}

int journal_flush(struct journal *j, struct err *err)
{
    if (j->gathered.n == 0)
        return OK;
    int rc = OK;
    if (j->offset > 0 && j->offset + j->gathered.n > JOURNAL_SEGMENT_BYTES)
        rc = open_segment(j, err);
    if (rc == OK) {
        int e = write_at(j->fd, buf_str(&j->gathered), j->offset);
        if (e)
            rc = fail_errno(err, e, "the journal cannot be written");
    }
    j->is_broken = rc != OK;
    if (rc != OK)
        return rc;
    j->offset += j->gathered.n;
    j->flushed += j->gathered.n;
    buf_clear(&j->gathered);
    return OK;
}

bool journal_is_broken(const struct journal *j)
{
    return j->is_broken;
}

uint64_t journal_flushed(const struct journal *j)
{
    return j->flushed;
}

uint64_t journal_current(const struct journal *j)
{
    return j->number;
}

int journal_sync(struct journal *j, struct err *err)
{
    pthread_mutex_lock(&j->fd_lock);
    int e = fdatasync(j->fd) == 0 ? 0 : errno;
    pthread_mutex_unlock(&j->fd_lock);
    return e ? fail_errno(err, e, "the journal cannot be put on disk") : OK;
}

/* ---- reading ---- */

static bool parse_name(const char *name, struct journal_file *f)
{
    struct str s = str_c(name);
    uint64_t thread, number;
    if (s.n >= sizeof f->name || !str_starts(s, S("journal-")) || !str_ends(s, S(".log")))
        return false;
    s = str_sub(s, 8, s.n - 4);
    size_t dash = str_find_char(s, '-', 0);
    if (dash == STR_NONE || !str_to_u64(str_sub(s, 0, dash), &thread) ||
        !str_to_u64(str_sub(s, dash + 1, s.n), &number) || thread > INT_MAX)
        return false;
    memcpy(f->name, name, strlen(name) + 1);
    f->thread = (int)thread;
    f->number = number;
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct journal_file *x = a, *y = b;
    if (x->thread != y->thread)
        return x->thread < y->thread ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

int journal_list(const char *folder, struct journal_file *files, int cap, struct err *err)
{
    DIR *d = opendir(folder);
    if (!d)
        return fail_errno(err, errno, "cannot read the folder '%s'", folder);
    int n = 0;
    for (struct dirent *e; n < cap && (e = readdir(d));)
        n += parse_name(e->d_name, &files[n]);
    closedir(d);
    qsort(files, (size_t)n, sizeof *files, by_place);
    return n;
}

int journal_read(const char *folder, const char *name, uint64_t from, struct buf *out, struct err *err)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "cannot open the journal '%s'", path);
    int rc = OK;
    for (;;) {
        char *to = buf_reserve(out, READ_PART);
        ssize_t n = to ? pread(fd, to, READ_PART, (off_t)from) : -1;
        if (n < 0 && to && errno == EINTR)
            continue;
        if (n < 0)
            rc = to ? fail_errno(err, errno, "cannot read the journal '%s'", path)
                    : fail(err, ERR_NOMEM, "no memory for a journal");
        if (n <= 0)
            break;
        buf_commit(out, (size_t)n);
        from += (uint64_t)n;
        bool rest_is_empty = true; /* the preallocated zeros need not be read to their end */
        for (ssize_t i = n > ZEROS_IN_RECORD_MAX ? n - ZEROS_IN_RECORD_MAX : 0; i < n; i++)
            rest_is_empty = rest_is_empty && to[i] == 0;
        if (rest_is_empty)
            break;
    }
    close(fd);
    return rc;
}

int journal_remove(const char *folder, const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return unlink(path) == 0 ? OK : ERR_IO;
}
