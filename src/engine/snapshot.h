/* snapshot.h - KV pages on disk, so that what was computed once is found again after a restart.
 *
 * Two threads of its own do all that touches files: one loads what waiting requests ask for, one of
 * low priority saves what the engine computed.  The engine thread hands them jobs and collects the
 * results; no call of it waits, locks or allocates.  A page is copied out of the pool before it is saved:
 * to hold it instead would hold its whole path, and a tight pool needs its idle pages.  A page of the
 * pool that is loaded into belongs to the job.
 *
 * Owner of a job: the engine thread in the states FREE, FOUND and DONE, else a thread of this file.
 * The whole is used by disk.c only. */
#ifndef ENGINE_SNAPSHOT_H
#define ENGINE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/compute.h"
#include "engine/gate.h"
#include "engine/snapshot_dir.h"

#define SNAPSHOT_LOADS 4 /* requests that are looked up or loaded at a time */
#define SNAPSHOT_SAVES 2 /* pages that are on their way to the disk at a time */

enum snapshot_state {
    SNAPSHOT_FREE,
    SNAPSHOT_LOOK,  /* load: how many of keys[n_first...] are there? */
    SNAPSHOT_FOUND, /* load: n_found of them */
    SNAPSHOT_GO,    /* load: n_found of them into pages[]; save: the record */
    SNAPSHOT_DONE   /* load: n_done are there now */
};

/* A prompt's pages: keys[0 ... n_keys) from its start; keys[-1] is the model's own. */
struct snapshot_load {
    _Atomic int state;
    _Atomic bool is_cancelled; /* nobody waits for it any more */
    struct snapshot_key *keys;
    int32_t n_first, n_keys;
    int32_t n_found, n_done;
    int32_t *pages; /* [n_found] of the pool, to be loaded into */
    /* The engine thread's own notes. */
    void *owner;
    int32_t *path; /* pages held while it runs: those before n_first */
    int32_t n_path;
};

struct snapshot_save {
    _Atomic int state;
    uint64_t order; /* the lower one first */
    struct snapshot_key key, parent;
    struct snapshot_head *record; /* a head, and the page's bytes */
};

struct snapshot_counts {
    _Atomic uint64_t n_loaded, n_saved; /* pages */
    _Atomic uint64_t n_damaged;         /* files that were found bad, and removed */
    _Atomic uint64_t n_failed;          /* pages that could not be written */
};

struct snapshot {
    struct snapshot_key root; /* of this model, build and layout */
    struct snapshot_dir dir;
    struct snapshot_counts counts;
    struct snapshot_load loads[SNAPSHOT_LOADS];
    struct snapshot_save saves[SNAPSHOT_SAVES];
    struct snapshot_threads *threads;
};

/* `engine` is opened whenever a job is FOUND or DONE.  Reads the weights once, for the root. */
int snapshot_create(struct snapshot **out, const struct compute *c, const char *dir, uint64_t max_bytes,
                    struct gate *engine, struct err *err);
/* Ends the threads after the jobs that they are at. */
void snapshot_free(struct snapshot *s);

/* The key of a page from that of the page before it (root: of the first page) and its tokens. */
void snapshot_key_next(struct snapshot_key *key, const struct snapshot_key *parent, const int32_t *tokens,
                       int32_t n_tokens);

/* Give a job to its thread: state becomes LOOK or GO. */
void snapshot_load_go(struct snapshot *s, struct snapshot_load *job, enum snapshot_state state);
void snapshot_save_go(struct snapshot *s, struct snapshot_save *job);

#endif
