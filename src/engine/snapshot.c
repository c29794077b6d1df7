/* snapshot.c - The two threads that load and save KV pages, and the keys that name them.
 *
 * Start reading at load_main() and save_main(). */
#include "engine/snapshot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"
#include "engine/ensure.h"

#define FORMAT    "sluice kv 1"
#define SAVE_NICE 10              /* saving gives way to computing */
#define PAUSE_NS  (30 * NS_PER_S) /* after a page could not be written: the disk may be full */

struct snapshot_threads {
    struct compute compute;
    struct gate *engine;
    struct gate loading, saving;
    _Atomic bool is_stopping;
    pthread_t loader, saver;
    bool has_loader, has_saver;
    struct snapshot_head *record; /* the loader's: a head and room for a page */
};

/* ---- keys ---- */

static void make_root(struct snapshot_key *root, const struct compute *c)
{
    uint64_t id[2];
    struct sha256 h;
    uint64_t layout[] = {(uint64_t)c->page_tokens, c->kv_page_bytes};

    c->kv_identity(c->self, id);
    sha256_init(&h);
    sha256_add(&h, FORMAT, sizeof FORMAT);
    sha256_add(&h, SLUICE_VERSION, sizeof SLUICE_VERSION);
    sha256_add(&h, c->isa, strlen(c->isa) + 1);
    sha256_add(&h, id, sizeof id);
    sha256_add(&h, layout, sizeof layout);
    sha256_end(&h, root->b);
}

void snapshot_key_next(struct snapshot_key *key, const struct snapshot_key *parent, const int32_t *tokens,
                       int32_t n_tokens)
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, parent, sizeof *parent);
    sha256_add(&h, tokens, (size_t)n_tokens * sizeof *tokens);
    sha256_end(&h, key->b);
}

static const struct snapshot_key *parent_of(const struct snapshot *s, const struct snapshot_load *job,
                                            int32_t i)
{
    return i > 0 ? &job->keys[i - 1] : &s->root;
}

/* ---- loading ---- */

static void look(struct snapshot *s, struct snapshot_load *job)
{
    int32_t i = job->n_first;
    while (i < job->n_keys && !atomic_load(&job->is_cancelled) &&
           snapshot_dir_has(&s->dir, &job->keys[i], parent_of(s, job, i)))
        i++;
    job->n_found = i - job->n_first;
    atomic_store(&job->state, SNAPSHOT_FOUND);
    gate_open(s->threads->engine);
}

/* To ask is quick, so nobody who asks waits for somebody who loads. */
static bool look_for_all(struct snapshot *s)
{
    bool any = false;
    for (int i = 0; i < SNAPSHOT_LOADS; i++)
        if (atomic_load(&s->loads[i].state) == SNAPSHOT_LOOK) {
            look(s, &s->loads[i]);
            any = true;
        }
    return any;
}

static bool read_page(struct snapshot *s, const struct snapshot_load *job, int32_t n)
{
    int32_t i = job->n_first + n;
    int rc = snapshot_dir_read(&s->dir, &job->keys[i], parent_of(s, job, i), s->threads->record);
    if (rc == ERR_FORMAT)
        atomic_fetch_add(&s->counts.n_damaged, 1);
    return rc == OK;
}

static bool is_wanted(const struct snapshot *s, const struct snapshot_load *job)
{
    return !atomic_load(&job->is_cancelled) && !atomic_load(&s->threads->is_stopping);
}

static void load(struct snapshot *s, struct snapshot_load *job)
{
    struct snapshot_threads *t = s->threads;
    int32_t n = 0;
    while (n < job->n_found && is_wanted(s, job) && read_page(s, job, n)) {
        t->compute.kv_import(t->compute.self, (uint32_t)job->pages[n++], t->record + 1);
        atomic_fetch_add(&s->counts.n_loaded, 1);
        look_for_all(s);
    }
    job->n_done = n;
    /* What lies behind a bad page is computed and saved again, except where a file is there: look at these
     * too, since damage seldom comes alone. */
    while (++n < job->n_found && is_wanted(s, job))
        read_page(s, job, n);
    int32_t n_used = job->n_first + job->n_done;
    for (int32_t i = n_used - 1; i >= 0 && job->n_done > 0; i--)
        snapshot_dir_touch(&s->dir, &job->keys[i], parent_of(s, job, i));
    atomic_store(&job->state, SNAPSHOT_DONE);
    gate_open(t->engine);
}

static void *load_main(void *arg)
{
    struct snapshot *s = arg;
    struct snapshot_threads *t = s->threads;
    while (!atomic_load(&t->is_stopping)) {
        uint32_t ticket = gate_ticket(&t->loading);
        bool any = look_for_all(s);
        for (int i = 0; i < SNAPSHOT_LOADS; i++)
            if (atomic_load(&s->loads[i].state) == SNAPSHOT_GO) {
                load(s, &s->loads[i]);
                any = true;
            }
        if (!any)
            gate_wait(&t->loading, ticket, -1);
    }
    return NULL;
}

/* ---- saving ---- */

static void save(struct snapshot *s, struct snapshot_save *job, int64_t *paused_until_ns)
{
    if (snapshot_dir_has(&s->dir, &job->key, &job->parent)) {
        snapshot_dir_touch(&s->dir, &job->key, &job->parent);
        return;
    }
    if (clock_now_ns() < *paused_until_ns) {
        atomic_fetch_add(&s->counts.n_failed, 1);
        return;
    }
    snapshot_dir_make_room(&s->dir);
    if (snapshot_dir_write(&s->dir, &job->key, &job->parent, job->record, NULL) == OK) {
        atomic_fetch_add(&s->counts.n_saved, 1);
    } else {
        atomic_fetch_add(&s->counts.n_failed, 1);
        *paused_until_ns = clock_now_ns() + PAUSE_NS;
    }
}

static struct snapshot_save *next_save(struct snapshot *s)
{
    struct snapshot_save *next = NULL;
    for (int i = 0; i < SNAPSHOT_SAVES; i++)
        if (atomic_load(&s->saves[i].state) == SNAPSHOT_GO && (!next || s->saves[i].order < next->order))
            next = &s->saves[i];
    return next;
}

static void *save_main(void *arg)
{
    struct snapshot *s = arg;
    struct snapshot_threads *t = s->threads;
    int64_t paused_until_ns = INT64_MIN;

    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), SAVE_NICE); /* of this thread alone, on Linux */
    snapshot_dir_trim(&s->dir);
    while (!atomic_load(&t->is_stopping)) {
        uint32_t ticket = gate_ticket(&t->saving);
        struct snapshot_save *job = next_save(s);
        if (!job) {
            gate_wait(&t->saving, ticket, -1);
            continue;
        }
        save(s, job, &paused_until_ns);
        atomic_store(&job->state, SNAPSHOT_DONE);
        gate_open(t->engine);
    }
    return NULL;
}

/* ---- jobs ---- */

void snapshot_load_go(struct snapshot *s, struct snapshot_load *job, enum snapshot_state state)
{
    ensure(state == SNAPSHOT_LOOK || state == SNAPSHOT_GO);
    atomic_store(&job->state, state);
    gate_open(&s->threads->loading);
}

void snapshot_save_go(struct snapshot *s, struct snapshot_save *job)
{
    atomic_store(&job->state, SNAPSHOT_GO);
    gate_open(&s->threads->saving);
}

/* ---- life ---- */

static int take_memory(struct snapshot *s, const struct compute *c, struct err *err)
{
    size_t n_keys = (size_t)c->n_ctx / (size_t)c->page_tokens + 1;
    size_t record = sizeof(struct snapshot_head) + c->kv_page_bytes;
    bool is_whole = (s->threads = calloc(1, sizeof *s->threads)) != NULL;

    for (int i = 0; is_whole && i < SNAPSHOT_LOADS; i++) {
        struct snapshot_load *job = &s->loads[i];
        job->keys = calloc(n_keys, sizeof *job->keys);
        job->pages = calloc(n_keys, sizeof *job->pages);
        job->path = calloc(n_keys, sizeof *job->path);
        is_whole = job->keys && job->pages && job->path;
    }
    for (int i = 0; is_whole && i < SNAPSHOT_SAVES; i++)
        is_whole = (s->saves[i].record = malloc(record)) != NULL;
    if (is_whole)
        is_whole = (s->threads->record = malloc(record)) != NULL;
    return is_whole ? OK : fail(err, ERR_NOMEM, "no memory for the KV cache on disk");
}

static int start_threads(struct snapshot *s, struct err *err)
{
    struct snapshot_threads *t = s->threads;
    t->has_loader = sys_start_thread(&t->loader, load_main, s) == 0;
    t->has_saver = sys_start_thread(&t->saver, save_main, s) == 0;
    return t->has_loader && t->has_saver
               ? OK
               : fail(err, ERR_IO, "the threads of the KV cache on disk cannot be started");
}

int snapshot_create(struct snapshot **out, const struct compute *c, const char *dir, uint64_t max_bytes,
                    struct gate *engine, struct err *err)
{
    struct snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, ERR_NOMEM, "no memory for the KV cache on disk");
    s->dir.fd = s->dir.lock_fd = -1;
    int rc = take_memory(s, c, err);
    if (rc == OK)
        rc = snapshot_dir_open(&s->dir, dir, max_bytes, c->kv_page_bytes, err);
    if (rc == OK) {
        s->threads->compute = *c;
        s->threads->engine = engine;
        make_root(&s->root, c);
        rc = start_threads(s, err);
    }
    if (rc != OK) {
        snapshot_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    struct snapshot_threads *t = s->threads;
    if (t) {
        atomic_store(&t->is_stopping, true);
        gate_open(&t->loading);
        gate_open(&t->saving);
        if (t->has_loader)
            pthread_join(t->loader, NULL);
        if (t->has_saver)
            pthread_join(t->saver, NULL);
        free(t->record);
    }
    free(t);
    for (int i = 0; i < SNAPSHOT_SAVES; i++)
        free(s->saves[i].record);
    for (int i = 0; i < SNAPSHOT_LOADS; i++) {
        free(s->loads[i].keys);
        free(s->loads[i].pages);
        free(s->loads[i].path);
    }
    snapshot_dir_close(&s->dir);
    free(s);
}
