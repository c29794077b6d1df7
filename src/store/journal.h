/* journal.h - The append-only files behind the ledger: one per loop thread, in segments.
 *
 * The writer (a loop thread) gathers records and writes them with one system call per turn.  What
 * is written is in the operating system and survives the end of this process; journal_sync puts
 * it on disk.  The reader (the store thread) follows behind, and removes a segment when all of it
 * is in the database.
 *
 * Files: FOLDER/journal-THREAD-NUMBER.log, preallocated with zeros, so that the file's length
 * need not change while it is written. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "store/record.h"

#define JOURNAL_SEGMENT_BYTES ((uint64_t)16 << 20)

struct journal;

/* Continues behind the highest segment number that exists.  NULL and *err on failure. */
struct journal *journal_open(const char *folder, int thread, struct err *err);
void journal_close(struct journal *j); /* accepts NULL; what was not flushed is lost */

/* ---- the writer's thread ---- */

/* Gather a record for the next flush.  False without memory. */
bool journal_add(struct journal *j, const struct record *r);
/* One write of everything gathered.  ERR_IO: it was not written (and stays gathered, to be tried
 * again with the next flush); journal_is_broken says so from any thread. */
int journal_flush(struct journal *j, struct err *err);
bool journal_has_unflushed(const struct journal *j);

/* ---- any thread ---- */

bool journal_is_broken(const struct journal *j);
/* Number of bytes ever flushed; and put them on disk (fdatasync; blocks). */
uint64_t journal_flushed(const struct journal *j);
int journal_sync(struct journal *j, struct err *err);

/* ---- the reader ---- */

struct journal_file {
    char name[64];
    int thread;
    uint64_t number;
};

/* All segments of a folder, in order.  Returns their number (at most cap), or an error. */
int journal_list(const char *folder, struct journal_file *files, int cap, struct err *err);
/* Bytes [from, end) of a segment, as far as they are there. */
int journal_read(const char *folder, const char *name, uint64_t from, struct buf *out, struct err *err);
int journal_remove(const char *folder, const char *name);
/* The segment that is being written now: never to be removed. */
uint64_t journal_current(const struct journal *j);

#endif
