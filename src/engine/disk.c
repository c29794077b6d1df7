/* disk.c - Between the prefix tree and the KV pages on disk.
 *
 * Saving: nodes are noted in a ring in the order in which they entered the tree, parents first.  A node
 * that was given up before its turn is passed over (its birth number tells).  A few at a time are copied
 * and handed to the saving thread.
 *
 * Loading: a job is looked up, gets pages for what was found, is loaded, and its pages enter the tree
 * as if they had been computed, idle.  Meanwhile the job holds the pages in front of them.
 *
 * Start reading at disk_turn(). */
#include "engine/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/ensure.h"

#define FLUSH_NS      (2 * NS_PER_S)
#define FLUSH_WAIT_NS (20 * NS_PER_MS)

struct note {
    int32_t page;
    uint64_t born;
};

struct disk {
    struct snapshot *snapshot;
    struct compute compute;
    struct prefix *prefix;
    struct gate *engine;
    struct snapshot_key *keys; /* of each page that is a node */
    struct note *notes;        /* ring of n_pages */
    uint64_t n_noted, n_taken; /* ever */
    uint64_t n_orders;
};

/* ---- saving ---- */

static const struct snapshot_key *key_of(const struct disk *d, int32_t page)
{
    return page == KV_NONE ? &d->snapshot->root : &d->keys[page];
}

static void make_key(struct disk *d, int32_t page)
{
    const struct prefix *p = d->prefix;
    const int32_t *tokens = p->tokens + (size_t)page * (size_t)p->kv->page_tokens;
    snapshot_key_next(&d->keys[page], key_of(d, p->parent[page]), tokens, p->kv->page_tokens);
}

void disk_note(struct disk *d, int32_t page)
{
    if (!d)
        return;
    uint64_t cap = (uint64_t)d->prefix->kv->n_pages;
    make_key(d, page);
    if (d->n_noted - d->n_taken == cap)
        d->n_taken++; /* the oldest note is of a page that has had another use since */
    d->notes[d->n_noted++ % cap] = (struct note){page, d->prefix->born[page]};
}

static bool collect_saves(struct disk *d)
{
    bool any = false;
    for (int i = 0; i < SNAPSHOT_SAVES; i++) {
        struct snapshot_save *job = &d->snapshot->saves[i];
        if (atomic_load(&job->state) != SNAPSHOT_DONE)
            continue;
        atomic_store(&job->state, SNAPSHOT_FREE);
        any = true;
    }
    return any;
}

static bool is_saving(const struct disk *d)
{
    for (int i = 0; i < SNAPSHOT_SAVES; i++)
        if (atomic_load(&d->snapshot->saves[i].state) != SNAPSHOT_FREE)
            return true;
    return false;
}

/* The next noted page that is still in the tree, or KV_NONE. */
static int32_t next_noted(struct disk *d)
{
    const struct prefix *p = d->prefix;
    while (d->n_taken < d->n_noted) {
        struct note n = d->notes[d->n_taken++ % (uint64_t)p->kv->n_pages];
        if (p->is_node[n.page] && p->born[n.page] == n.born)
            return n.page;
    }
    return KV_NONE;
}

static void start_saves(struct disk *d)
{
    for (int i = 0; i < SNAPSHOT_SAVES; i++) {
        struct snapshot_save *job = &d->snapshot->saves[i];
        if (atomic_load(&job->state) != SNAPSHOT_FREE)
            continue;
        int32_t page = next_noted(d);
        if (page == KV_NONE)
            return;
        d->compute.kv_export(d->compute.self, (uint32_t)page, job->record + 1);
        job->key = d->keys[page];
        job->parent = *key_of(d, d->prefix->parent[page]);
        job->order = ++d->n_orders;
        snapshot_save_go(d->snapshot, job);
    }
}

/* ---- loading ---- */

static int32_t n_full_pages(const struct disk *d, const struct seq *s)
{
    return (int32_t)((s->n_tokens - 1) / d->prefix->kv->page_tokens); /* one token is left to compute */
}

static struct snapshot_load *find_load(const struct disk *d, const void *owner)
{
    for (int i = 0; i < SNAPSHOT_LOADS; i++)
        if (d->snapshot->loads[i].owner == owner &&
            (owner || atomic_load(&d->snapshot->loads[i].state) == SNAPSHOT_FREE))
            return &d->snapshot->loads[i];
    return NULL;
}

static void ask(struct disk *d, struct snapshot_load *job, struct seq *s, int32_t n_match)
{
    int32_t page_tokens = d->prefix->kv->page_tokens;
    const struct snapshot_key *parent = &d->snapshot->root;

    job->owner = s;
    job->n_first = n_match;
    job->n_keys = n_full_pages(d, s);
    job->n_path = 0;
    for (int32_t i = 0; i < job->n_keys; i++) {
        snapshot_key_next(&job->keys[i], parent, s->tokens + (int64_t)i * page_tokens, page_tokens);
        parent = &job->keys[i];
    }
    atomic_store(&job->is_cancelled, false);
    s->disk = SEQ_DISK_ASKED;
    snapshot_load_go(d->snapshot, job, SNAPSHOT_LOOK);
}

bool disk_must_wait(struct disk *d, struct seq *s, int32_t n_match)
{
    if (!d || !s->use_prefix || s->disk == SEQ_DISK_DONE || n_full_pages(d, s) <= n_match)
        return false;
    if (s->disk == SEQ_DISK_ASKED)
        return true;
    /* What could not be admitted now is looked up later, lest it pushes others' pages out for nothing. */
    if (kv_pages_for(d->prefix->kv, s->n_tokens) + 1 - n_match > prefix_available(d->prefix))
        return false;
    struct snapshot_load *job = find_load(d, NULL);
    if (job)
        ask(d, job, s, n_match);
    return true;
}

static void end_load(struct snapshot_load *job)
{
    struct seq *s = job->owner;
    if (s)
        s->disk = SEQ_DISK_DONE;
    job->owner = NULL;
    job->n_path = 0;
    atomic_store(&job->state, SNAPSHOT_FREE);
}

/* Some of the prompt is there: hold what the tree has in front of it, and take pages for it. */
static void begin_load(struct disk *d, struct snapshot_load *job)
{
    struct prefix *p = d->prefix;
    struct seq *s = job->owner;
    int32_t n_match = s ? prefix_find(p, s->tokens, s->n_tokens - 1, job->path, NULL) : 0;
    int32_t n = job->n_first + job->n_found - n_match;

    if (!s || n_match < job->n_first || n <= 0) {
        end_load(job);
        return;
    }
    for (; job->n_path < n_match; job->n_path++)
        prefix_hold(p, job->path[job->n_path]);
    n = n < prefix_available(p) ? n : prefix_available(p);
    ensure(prefix_evict(p, n));
    for (int32_t i = 0; i < n; i++)
        job->pages[i] = kv_take(p->kv);
    job->n_first = n_match;
    job->n_found = n;
    snapshot_load_go(d->snapshot, job, SNAPSHOT_GO);
}

/* What was loaded enters the tree; the rest of the pages goes back. */
static void finish_load(struct disk *d, struct snapshot_load *job)
{
    struct prefix *p = d->prefix;
    const struct seq *s = job->owner;
    int32_t page_tokens = p->kv->page_tokens, n_in = s ? job->n_done : 0;

    for (int32_t i = n_in; i < job->n_found; i++)
        kv_release(p->kv, job->pages[i]);
    for (int32_t i = 0; i < n_in; i++) {
        int32_t at = job->n_first + i, parent = at > 0 ? job->path[at - 1] : KV_NONE;
        job->path[at] = prefix_insert(p, parent, s->tokens + (int64_t)at * page_tokens, job->pages[i]);
        d->keys[job->path[at]] = job->keys[at];
    }
    for (int32_t i = job->n_path + n_in - 1; i >= 0; i--) /* last page first, see step.c */
        prefix_release(p, job->path[i]);
    end_load(job);
}

void disk_forget(struct disk *d, const struct seq *s)
{
    struct snapshot_load *job = d ? find_load(d, s) : NULL;
    if (!job)
        return;
    job->owner = NULL;
    atomic_store(&job->is_cancelled, true);
}

static bool collect_loads(struct disk *d)
{
    bool any = false;
    for (int i = 0; i < SNAPSHOT_LOADS; i++) {
        struct snapshot_load *job = &d->snapshot->loads[i];
        int state = atomic_load(&job->state);
        if (state == SNAPSHOT_FOUND)
            begin_load(d, job);
        else if (state == SNAPSHOT_DONE)
            finish_load(d, job);
        any |= state == SNAPSHOT_FOUND || state == SNAPSHOT_DONE;
    }
    return any;
}

/* ---- turns ---- */

bool disk_turn(struct disk *d)
{
    if (!d)
        return false;
    bool any = collect_saves(d);
    any |= collect_loads(d);
    start_saves(d);
    return any;
}

void disk_flush(struct disk *d)
{
    int64_t end_ns = clock_now_ns() + FLUSH_NS;
    while (d) {
        uint32_t ticket = gate_ticket(d->engine);
        disk_turn(d);
        if ((d->n_taken == d->n_noted && !is_saving(d)) || clock_now_ns() > end_ns)
            return;
        gate_wait(d->engine, ticket, FLUSH_WAIT_NS);
    }
}

/* ---- life ---- */

int disk_create(struct disk **out, const struct compute *c, struct prefix *prefix, const char *dir,
                uint64_t max_bytes, struct gate *engine, struct err *err)
{
    struct disk *d = calloc(1, sizeof *d);
    size_t n_pages = (size_t)prefix->kv->n_pages;
    int rc = OK;

    if (d) {
        d->compute = *c;
        d->prefix = prefix;
        d->engine = engine;
        d->keys = calloc(n_pages, sizeof *d->keys);
        d->notes = calloc(n_pages, sizeof *d->notes);
    }
    if (!d || !d->keys || !d->notes)
        rc = fail(err, ERR_NOMEM, "no memory for the KV cache on disk");
    if (rc == OK)
        rc = snapshot_create(&d->snapshot, c, dir, max_bytes, engine, err);
    if (rc != OK) {
        disk_free(d);
        return rc;
    }
    *out = d;
    return OK;
}

void disk_free(struct disk *d)
{
    if (!d)
        return;
    snapshot_free(d->snapshot);
    free(d->keys);
    free(d->notes);
    free(d);
}

void disk_get_stats(const struct disk *d, struct sluice_stats *stats)
{
    if (!d)
        return;
    stats->kv_disk_bytes = d->snapshot->dir.n_bytes;
    stats->kv_disk_loaded = d->snapshot->counts.n_loaded;
    stats->kv_disk_saved = d->snapshot->counts.n_saved;
    stats->kv_disk_damaged = d->snapshot->counts.n_damaged;
    stats->kv_disk_failed = d->snapshot->counts.n_failed;
}
