/* snapshot_trim.c - Keep the folder of KV pages below its limit: the paths used longest ago go first.
 *
 * A page is of use only with all pages before it, so a file counts as used when any file behind it
 * was, and a path is removed from its end.  All of it is told by names and times: no file is opened.
 * A lock on the folder keeps two processes from removing the same amount twice.
 *
 * Start reading at snapshot_dir_trim(). */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/snapshot_dir.h"
#include "engine/snapshot_name.h"

#define PART_OLD_S 60         /* a file that is being written is never so old: its writer is dead */
#define FILES_MAX  (4u << 20) /* looked at; more are counted by the next trim */

struct file {
    uint8_t key[SNAPSHOT_NAME_KEY], parent[SNAPSHOT_NAME_KEY];
    uint64_t n_bytes;
    int64_t used_ns;
    int32_t n_behind; /* pages from here to the one that was used then */
};

struct files {
    struct file *list;
    size_t n, cap;
    uint64_t n_bytes;
};

/* ---- looking ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t *to)
{
    for (int i = 0; i < SNAPSHOT_NAME_KEY; i++) {
        int high = hex_value(text[2 * i]), low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
        if (low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_name(const char *name, struct file *f)
{
    return strlen(name) == SNAPSHOT_NAME_BYTES - 1 && name[2 * SNAPSHOT_NAME_KEY] == '-' &&
           !strcmp(name + 4 * SNAPSHOT_NAME_KEY + 1, SNAPSHOT_ENDING) && read_hex(name, f->key) &&
           read_hex(name + 2 * SNAPSHOT_NAME_KEY + 1, f->parent);
}

static void add_file(struct files *all, struct file f, const struct stat *st)
{
    uint64_t on_disk = (uint64_t)st->st_blocks * 512;
    f.n_bytes = on_disk > (uint64_t)st->st_size ? on_disk : (uint64_t)st->st_size;
    f.used_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    if (all->n == all->cap && all->cap < FILES_MAX) {
        size_t cap = all->cap ? 2 * all->cap : 1024;
        struct file *list = realloc(all->list, cap * sizeof *list);
        if (list) {
            all->list = list;
            all->cap = cap;
        }
    }
    all->n_bytes += f.n_bytes;
    if (all->n < all->cap)
        all->list[all->n++] = f;
}

static void look_at(struct files *all, int folder, const char *name, int64_t now_s)
{
    struct stat st;
    struct file f = {.n_behind = 0};
    bool is_part = !strncmp(name, SNAPSHOT_PART, strlen(SNAPSHOT_PART));

    if ((!is_part && !read_name(name, &f)) || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(st.st_mode))
        return; /* not ours */
    if (!is_part)
        add_file(all, f, &st);
    else if (now_s - st.st_mtim.tv_sec > PART_OLD_S)
        unlinkat(folder, name, 0);
}

static void look_at_all(const struct snapshot_dir *d, struct files *all)
{
    int64_t now_s = time(NULL);
    for (int i = 0; i < 256; i++) {
        char name[3];
        snprintf(name, sizeof name, "%02x", i);
        int fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (!dir) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        for (struct dirent *e; (e = readdir(dir));)
            look_at(all, fd, e->d_name, now_s);
        closedir(dir);
    }
}

/* ---- ordering ---- */

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct file *)a)->key, ((const struct file *)b)->key, SNAPSHOT_NAME_KEY);
}

static int latest_first(const void *a, const void *b)
{
    const struct file *x = *(struct file *const *)a, *y = *(struct file *const *)b;
    return (x->used_ns < y->used_ns) - (x->used_ns > y->used_ns);
}

/* The order of removal: unused for longest, and of one path its end first. */
static int oldest_first(const void *a, const void *b)
{
    const struct file *x = *(struct file *const *)a, *y = *(struct file *const *)b;
    if (x->used_ns != y->used_ns)
        return x->used_ns < y->used_ns ? -1 : 1;
    return (x->n_behind > y->n_behind) - (x->n_behind < y->n_behind);
}

static struct file *find_parent(const struct files *all, const struct file *f)
{
    struct file wanted;
    memcpy(wanted.key, f->parent, sizeof wanted.key);
    return bsearch(&wanted, all->list, all->n, sizeof *all->list, by_key);
}

/* Every file is used as lately as what lies behind it.  From the latest on, so each is set once. */
static void spread_use(const struct files *all, struct file **order)
{
    qsort(order, all->n, sizeof *order, latest_first);
    for (size_t i = 0; i < all->n; i++) {
        const struct file *f = order[i];
        for (struct file *p = find_parent(all, f); p; f = p, p = find_parent(all, f)) {
            if (p->used_ns > f->used_ns || (p->used_ns == f->used_ns && p->n_behind > f->n_behind))
                break;
            if (f->n_behind >= (int32_t)all->n) /* names that go in a circle: nobody honest made them */
                break;
            p->used_ns = f->used_ns;
            p->n_behind = f->n_behind + 1;
        }
    }
}

/* ---- removing ---- */

static void remove_file(const struct snapshot_dir *d, const struct file *f)
{
    char name[SNAPSHOT_PATH_BYTES];
    int at = snprintf(name, sizeof name, "%02x/", f->key[0]);
    for (int i = 0; i < 2 * SNAPSHOT_NAME_KEY; i++) {
        uint8_t b = i < SNAPSHOT_NAME_KEY ? f->key[i] : f->parent[i - SNAPSHOT_NAME_KEY];
        at += snprintf(name + at, sizeof name - (size_t)at, "%s%02x", i == SNAPSHOT_NAME_KEY ? "-" : "", b);
    }
    snprintf(name + at, sizeof name - (size_t)at, SNAPSHOT_ENDING);
    unlinkat(d->fd, name, 0);
}

static void remove_oldest(const struct snapshot_dir *d, struct files *all, uint64_t limit)
{
    struct file **order = calloc(all->n + 1, sizeof *order);
    if (!order)
        return; /* the next trim tries again */
    qsort(all->list, all->n, sizeof *all->list, by_key);
    for (size_t i = 0; i < all->n; i++)
        order[i] = &all->list[i];
    spread_use(all, order);
    qsort(order, all->n, sizeof *order, oldest_first);
    for (size_t i = 0; i < all->n && all->n_bytes > limit; i++) {
        remove_file(d, order[i]);
        all->n_bytes -= order[i]->n_bytes;
    }
    free(order);
}

void snapshot_dir_trim(struct snapshot_dir *d)
{
    uint64_t page = d->page_bytes + sizeof(struct snapshot_head);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        d->n_written = 0; /* another process is at it */
        return;
    }
    struct files all = {0};
    look_at_all(d, &all);
    if (all.n_bytes + page > d->max_bytes) {
        uint64_t spare = d->max_bytes / 16 > page ? d->max_bytes / 16 : page;
        remove_oldest(d, &all, d->max_bytes - spare);
    }
    flock(d->lock_fd, LOCK_UN);
    free(all.list);
    atomic_store(&d->n_bytes, all.n_bytes);
    d->n_written = 0;
}

void snapshot_dir_make_room(struct snapshot_dir *d)
{
    uint64_t page = d->page_bytes + sizeof(struct snapshot_head);
    /* Others write as well: a look now and then tells how much. */
    if (atomic_load(&d->n_bytes) + page > d->max_bytes || d->n_written > d->max_bytes / 16)
        snapshot_dir_trim(d);
}
