/* snapshot_dir.h - A folder of KV pages: one file per page, named by what it holds.
 *
 *     DIR/ab/abcd....-parent....kv       128 bytes of head, then the page's bytes
 *
 * A file appears whole (written beside its place and renamed) or not at all; what a crash or a bad
 * disk made of it is found by its checksum, and such a file is removed.  So nothing is synced, any
 * number of processes may share a folder, and losing any file costs time only.
 *
 * The name also tells the page before it, so that one look at the names shows all paths: when
 * the folder is full, the paths that were used longest ago go first, from their ends.
 *
 * KV pages tell what people wrote: the folder is made with mode 0700, files with 0600. */
#ifndef ENGINE_SNAPSHOT_DIR_H
#define ENGINE_SNAPSHOT_DIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"

/* Names a page: a hash of the model, the layout and all tokens from the start to the page's end. */
struct snapshot_key {
    uint8_t b[SHA256_BYTES];
};

/* A page as a file: the caller's buffer begins with room for the head. */
struct snapshot_head {
    char magic[8];
    uint32_t version, reserved;
    uint64_t page_bytes;
    uint64_t sum; /* of the page's bytes */
    struct snapshot_key key, parent;
    uint8_t unused[32];
};
_Static_assert(sizeof(struct snapshot_head) == 128, "the head has no holes");

struct snapshot_dir {
    int fd, lock_fd;
    uint64_t max_bytes;
    uint64_t page_bytes;      /* of this model's pages */
    _Atomic uint64_t n_bytes; /* of all files, as far as known */
    uint64_t n_written;       /* since the last look at all files (one thread) */
    uint64_t n_temporary;     /* names of temporary files (one thread) */
};

/* Makes the folder if it is missing.  ERR_IO with a sentence. */
int snapshot_dir_open(struct snapshot_dir *d, const char *path, uint64_t max_bytes, uint64_t page_bytes,
                      struct err *err);
void snapshot_dir_close(struct snapshot_dir *d);

bool snapshot_dir_has(const struct snapshot_dir *d, const struct snapshot_key *key,
                      const struct snapshot_key *parent);
/* Read and verify a page into *record, page_bytes behind its head.  ERR_NOT_FOUND; ERR_FORMAT: it was
 * damaged, and is gone now. */
int snapshot_dir_read(struct snapshot_dir *d, const struct snapshot_key *key,
                      const struct snapshot_key *parent, struct snapshot_head *record);
/* Write a page; the head is filled in here.  ERR_IO: nothing is there. */
int snapshot_dir_write(struct snapshot_dir *d, const struct snapshot_key *key,
                       const struct snapshot_key *parent, struct snapshot_head *record, struct err *err);
/* It was of use now. */
void snapshot_dir_touch(const struct snapshot_dir *d, const struct snapshot_key *key,
                        const struct snapshot_key *parent);

/* Before a page is written: look at all files and remove some if there would be too many bytes. */
void snapshot_dir_make_room(struct snapshot_dir *d);
/* Look at all files now: count them, remove what is too much and what crashes left behind. */
void snapshot_dir_trim(struct snapshot_dir *d);

#endif
