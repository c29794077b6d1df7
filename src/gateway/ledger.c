/* ledger.c - See ledger.h. */
#include "gateway/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"

#define TICK_NS          (100 * NS_PER_MS)
#define KEYS_EVERY_NS    (500 * NS_PER_MS)
#define FILES_MAX        4096
#define FILES_FIRST      16
#define OPENS_MAX        1024
#define OPEN_TRIES_MAX   32
#define KEYS_MAX         1000000
#define SLOTS_MAX        64
#define SEGMENT_READ_MAX ((size_t)128 << 20)
#define STORE_NICE       5

struct sync_wish {
    struct loop *loop;
    struct loop_task *task;
};

struct waiting_open {
    uint64_t hash;         /* 0: free */
    struct str id, record; /* borrow from ledger.text */
    bool is_closed;
};

struct ledger {
    struct waiting_open opens[OPENS_MAX]; /* of the read that is under way */
    struct store *store;
    struct config_limits defaults;
    char folder[PATH_MAX];
    int lock_fd; /* -1: none */
    int n_threads;
    struct journal **journals;
    uint64_t *synced; /* bytes of each journal that are on disk */
    struct sync_wish *wishes;
    struct key_table *keys;
    int64_t keys_version, keys_seen_ns;
    uint64_t drained; /* what has_news saw last */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;                    /* under lock */
    struct ledger_job *jobs, **jobs_end; /* under lock */
    _Atomic bool is_broken;
    struct record record; /* of the reader: large */
    struct buf text;
};

/* ---- draining ---- */

/* Most requests begin and end within one read of the journal: their open records never need to
 * be in the database.  So open records (and checkpoints, which replace them) wait here until
 * the end of the read, by their request's id. */
static struct waiting_open *find_waiting(struct ledger *l, struct str id)
{
    uint64_t hash = str_hash(id) | 1;
    for (uint64_t at = hash % OPENS_MAX, tries = 0; tries < OPEN_TRIES_MAX;
         at = (at + 1) % OPENS_MAX, tries++) {
        struct waiting_open *w = &l->opens[at];
        if (w->hash == hash && str_eq(w->id, id))
            return w;
    }
    return NULL;
}

static struct waiting_open *free_place(struct ledger *l, struct str id)
{
    uint64_t hash = str_hash(id) | 1;
    for (uint64_t at = hash % OPENS_MAX, tries = 0; tries < OPEN_TRIES_MAX;
         at = (at + 1) % OPENS_MAX, tries++)
        if (l->opens[at].hash == 0 || l->opens[at].is_closed)
            return &l->opens[at];
    return NULL;
}

/* `at`: the record's bytes, which stay where they are until the end of the read. */
static int put_open(struct ledger *l, const struct record *r, struct str at, struct err *err)
{
    struct waiting_open *w = find_waiting(l, r->id);
    if (!w && r->type == RECORD_OPEN)
        w = free_place(l, r->id);
    if (!w) /* no place, or begun in an earlier read */
        return r->type == RECORD_OPEN ? store_add_open(l->store, r, err)
                                      : store_add_checkpoint(l->store, r, err);
    *w = (struct waiting_open){.hash = str_hash(r->id) | 1, .id = r->id, .record = at};
    return OK;
}

static int put_close(struct ledger *l, const struct record *r, struct err *err)
{
    struct waiting_open *w = find_waiting(l, r->id);
    if (w)
        w->is_closed = true;
    return store_add_close(l->store, r, w == NULL, err);
}

static int put_waiting(struct ledger *l, struct err *err)
{
    int rc = OK;
    for (int i = 0; i < OPENS_MAX && rc == OK; i++) {
        struct waiting_open *w = &l->opens[i];
        if (w->hash && !w->is_closed && record_read(&w->record, &l->record) == 1)
            rc = store_add_open(l->store, &l->record, err);
    }
    memset(l->opens, 0, sizeof l->opens);
    return rc;
}

/* Everything new of one segment, in one transaction.  Returns the number of records. */
static int drain_segment(struct ledger *l, const struct journal_file *f, struct err *err)
{
    int64_t from = store_get_position(l->store, str_c(f->name));
    buf_clear(&l->text);
    int rc = journal_read(l->folder, f->name, (uint64_t)from, &l->text, err);
    struct str in = buf_str(&l->text);
    int n = 0;
    if (rc != OK || in.n == 0 || record_read(&in, &l->record) != 1)
        return rc;
    in = buf_str(&l->text);
    rc = store_begin(l->store, err);
    for (struct str at = in; rc == OK && record_read(&in, &l->record) == 1; at = in, n++)
        rc =
            l->record.type == RECORD_CLOSE ? put_close(l, &l->record, err) : put_open(l, &l->record, at, err);
    if (rc == OK)
        rc = put_waiting(l, err);
    else
        memset(l->opens, 0, sizeof l->opens);
    if (rc == OK)
        rc = store_set_position(l->store, str_c(f->name), from + (int64_t)(l->text.n - in.n), err);
    if (rc == OK)
        rc = store_commit(l->store, err);
    if (rc != OK)
        store_rollback(l->store);
    return rc ? rc : n;
}

static bool is_current(const struct ledger *l, const struct journal_file *f)
{
    return l->journals && f->thread < l->n_threads && l->journals[f->thread] &&
           f->number >= journal_current(l->journals[f->thread]);
}

static int drain(struct ledger *l, struct err *err)
{
    struct journal_file few[FILES_FIRST], *files = few, *many = NULL;
    int n = journal_list(l->folder, few, FILES_FIRST, err);
    if (n == FILES_FIRST) { /* a long backlog */
        files = many = calloc(FILES_MAX, sizeof *many);
        if (!many)
            return fail(err, ERR_NOMEM, "no memory for the journals");
        n = journal_list(l->folder, many, FILES_MAX, err);
    }
    int rc = n < 0 ? n : OK;
    for (int i = 0; i < n && rc >= 0; i++) {
        bool current =
            is_current(l, &files[i]); /* asked before reading: what is not current now never grows again */
        rc = drain_segment(l, &files[i], err);
        if (rc >= 0 && !current)
            journal_remove(l->folder, files[i].name);
    }
    free(many);
    return rc < 0 ? rc : OK;
}

/* Has anything been written since the last look?  An idle process does not touch its files. */
static bool has_news(struct ledger *l)
{
    uint64_t flushed = 1; /* the first look is always worth it */
    bool broken = l->is_broken;
    for (int i = 0; i < l->n_threads; i++) {
        flushed += journal_flushed(l->journals[i]);
        broken = broken || journal_is_broken(l->journals[i]);
    }
    bool news = broken || flushed != l->drained;
    l->drained = flushed;
    return news;
}

static void drain_and_say(struct ledger *l)
{
    struct err err = {0};
    if (!has_news(l))
        return;
    bool broken = drain(l, &err) != OK;
    for (int i = 0; i < l->n_threads; i++)
        broken = broken || journal_is_broken(l->journals[i]);
    if (broken && !l->is_broken)
        log_error("ledger", "%s; no new requests are taken until it can be written",
                  err.text[0] ? err.text : "the journal cannot be written");
    if (!broken && l->is_broken)
        log_info("ledger", "can be written again");
    l->is_broken = broken;
}

/* ---- disk ---- */

static void sync_journals(struct ledger *l)
{
    for (int i = 0; i < l->n_threads; i++) {
        uint64_t flushed = journal_flushed(l->journals[i]);
        pthread_mutex_lock(&l->lock);
        struct sync_wish wish = l->wishes[i];
        l->wishes[i] = (struct sync_wish){0};
        pthread_mutex_unlock(&l->lock);
        if (flushed != l->synced[i] && journal_sync(l->journals[i], NULL) == OK)
            l->synced[i] = flushed;
        if (wish.task)
            loop_post(wish.loop, wish.task);
    }
}

void ledger_sync(struct ledger *l, int thread, struct loop *loop, struct loop_task *task)
{
    pthread_mutex_lock(&l->lock);
    assert(!l->wishes[thread].task);
    l->wishes[thread] = (struct sync_wish){loop, task};
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

/* ---- keys ---- */

struct key_list {
    struct arena arena;
    struct key_def *defs;
    int n, cap;
    bool failed;
};

static enum config_period period_of(struct str s)
{
    return str_eq(s, S("hour")) ? PERIOD_HOUR : str_eq(s, S("month")) ? PERIOD_MONTH : PERIOD_DAY;
}

static void see_key(void *arg, const struct store_key *k)
{
    struct key_list *list = arg;
    if (k->is_revoked)
        return;
    if (list->n == list->cap) {
        int cap = list->cap ? list->cap * 2 : 64;
        struct key_def *defs = cap > KEYS_MAX ? NULL : realloc(list->defs, (size_t)cap * sizeof *defs);
        if (!defs) {
            list->failed = true;
            return;
        }
        list->defs = defs;
        list->cap = cap;
    }
    const struct store_user_limits *u = &k->per_user;
    struct key_def d = {.limits = {k->rpm,
                                   k->tpm,
                                   k->concurrency,
                                   k->budget_nano,
                                   period_of(k->budget_per),
                                   k->token_budget,
                                   k->max_output_tokens,
                                   {u->rpm, u->tpm, u->concurrency, u->budget_nano, period_of(u->budget_per),
                                    u->token_budget}},
                        .priority = str_eq(k->priority, S("high"))  ? KEY_HIGH
                                    : str_eq(k->priority, S("low")) ? KEY_LOW
                                                                    : KEY_NORMAL,
                        .created_s = k->created_s,
                        .expires_s = k->expires_s};
    snprintf(d.id, sizeof d.id, "%.*s", STR(k->id));
    memcpy(d.hash, k->hash, sizeof d.hash);
    d.name = arena_str(&list->arena, k->name);
    d.user = arena_str(&list->arena, k->user);
    d.group = arena_str(&list->arena, k->group);
    d.models = arena_str(&list->arena, k->models);
    d.regions = arena_str(&list->arena, k->regions);
    d.metadata_json = arena_str(&list->arena, k->metadata_json);
    list->defs[list->n++] = d;
}

struct user_budgets {
    struct limit_state *limit;
    int64_t start;
};

static void see_user(void *arg, struct str user, int64_t nano, int64_t tokens)
{
    struct user_budgets *b = arg;
    limit_restore_user(b->limit, user, b->start, nano, tokens);
}

static void restore_users(struct ledger *l, struct gw_key *k, const struct config_user_limits *u)
{
    struct err err = {0};
    struct user_budgets b = {k->limit,
                             limit_window_start((enum config_period)u->budget_per, clock_wall_ns())};
    if (store_spent_by_user(l->store, str_c(k->def.id), b.start, LIMIT_USERS_MAX, see_user, &b, &err) != OK)
        log_error("ledger", "%s", err.text);
}

/* A key seen for the first time brings what it and its users spent in the present window. */
static void restore_budget(struct ledger *l, const struct key_def *d)
{
    struct gw_key *k = key_find_id(l->keys, str_c(d->id));
    if (!k)
        return;
    struct config c = {.limits = l->defaults};
    struct config_limits limits = key_limits(k, &c);
    bool has_budget = limits.budget_nano >= 0 || limits.token_budget > 0;
    if (has_budget && k->limit->counts.window_start_s == 0) {
        int64_t start = limit_window_start((enum config_period)limits.budget_per, clock_wall_ns()), nano = 0,
                tokens = 0;
        struct err err = {0};
        if (store_spent(l->store, str_c(d->id), start, &nano, &tokens, &err) == OK)
            limit_restore(k->limit, start, nano, tokens);
        else
            log_error("ledger", "%s", err.text);
    }
    bool users_have_budgets = limits.per_user.budget_nano > 0 || limits.per_user.token_budget > 0;
    if (users_have_budgets && !k->limit->users)
        restore_users(l, k, &limits.per_user);
    key_release(l->keys, k);
}

void ledger_reload_keys(struct ledger *l)
{
    struct key_list list = {0};
    struct err err = {0};
    arena_init(&list.arena, (size_t)1 << 30);
    int rc = store_each_key(l->store, see_key, &list, &err);
    if (rc == OK && !list.failed)
        rc = key_table_load(l->keys, list.defs, list.n);
    if (rc == OK && !list.failed)
        for (int i = 0; i < list.n; i++)
            restore_budget(l, &list.defs[i]);
    else
        log_error("ledger", "the keys were not loaded: %s", err.text[0] ? err.text : "no memory");
    free(list.defs);
    arena_deinit(&list.arena);
}

static void look_for_new_keys(struct ledger *l)
{
    int64_t now = clock_now_ns();
    if (now - l->keys_seen_ns < KEYS_EVERY_NS)
        return;
    l->keys_seen_ns = now;
    int64_t version = store_version(l->store);
    if (version == l->keys_version)
        return;
    l->keys_version = version;
    ledger_reload_keys(l);
}

/* ---- the thread ---- */

static struct ledger_job *wait_for_work(struct ledger *l, bool *stop)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + TICK_NS;
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    pthread_mutex_lock(&l->lock);
    bool wished = false;
    for (int i = 0; i < l->n_threads; i++)
        wished = wished || l->wishes[i].task;
    if (!l->jobs && !l->is_stopping && !wished)
        pthread_cond_timedwait(&l->wake, &l->lock, &until);
    struct ledger_job *jobs = l->jobs;
    l->jobs = NULL;
    l->jobs_end = &l->jobs;
    *stop = l->is_stopping;
    pthread_mutex_unlock(&l->lock);
    return jobs;
}

static void *run(void *arg)
{
    struct ledger *l = arg;
    /* On a CPU that is shared with a loop, its answers come first: what is written here is in the journal
     * already.  The share that is left (a quarter) is twice what the ledger takes under full load. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), STORE_NICE);
    for (bool stop = false; !stop;) {
        struct ledger_job *jobs = wait_for_work(l, &stop);
        sync_journals(l);
        drain_and_say(l);
        for (struct ledger_job *next; jobs; jobs = next) {
            next = jobs->next;
            jobs->run(jobs, l->store);
            loop_post(jobs->loop, &jobs->done);
        }
        look_for_new_keys(l);
    }
    return NULL;
}

void ledger_post(struct ledger *l, struct ledger_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->jobs_end = job;
    l->jobs_end = &job->next;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

/* ---- life ---- */

int ledger_open_store(const struct config *c, struct store **s, struct err *err)
{
    return store_open(c->state, s, err);
}

/* The journals of a process lie beside the database, in a slot of their own: FILE.journal/SLOT/.
 * The lock on a slot says that its process lives. */
static int lock_slot(struct ledger *l, struct str path, int slot, struct err *err)
{
    char lock[PATH_MAX + 16];
    int n = snprintf(l->folder, sizeof l->folder, "%.*s.journal/%d", STR(path), slot);
    if (n < 0 || n >= (int)sizeof l->folder)
        return fail(err, ERR_LIMIT, "the path of the state is too long");
    if (sys_make_folders(l->folder, err) != OK)
        return ERR_IO;
    snprintf(lock, sizeof lock, "%s/lock", l->folder);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "cannot open '%s'", lock);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return ERR_BUSY;
}

/* What a former process of this slot left: its journals first, then what it had not closed. */
static int recover(struct ledger *l, int slot, struct err *err)
{
    store_set_slot(l->store, slot);
    int rc = drain(l, err);
    int n = rc == OK ? store_settle_orphans(l->store, err) : rc;
    if (n > 0)
        log_warn("ledger", "%d request%s of a former process settled as interrupted", n,
                 n == 1 ? " was" : "s were");
    return n < 0 ? n : OK;
}

/* Takes the first free slot; recovers it, and every other one whose process is gone. */
static int take_slot(struct ledger *l, const struct config *c, struct err *err)
{
    struct str path = str_sub(c->state, sizeof "sqlite:" - 1, c->state.n);
    int own = -1;
    for (int slot = 0; slot < SLOTS_MAX; slot++) {
        char folder[PATH_MAX + 32];
        snprintf(folder, sizeof folder, "%.*s.journal/%d", STR(path), slot);
        if (own >= 0 && access(folder, F_OK) != 0)
            break; /* slots are used from the first on */
        int fd = lock_slot(l, path, slot, err);
        if (fd == ERR_BUSY)
            continue;
        int rc = fd < 0 ? fd : recover(l, slot, err);
        if (own < 0 && rc == OK) {
            own = slot;
            l->lock_fd = fd;
        } else if (fd >= 0) {
            close(fd);
        }
        if (rc != OK)
            return rc;
    }
    if (own < 0)
        return fail(err, ERR_BUSY, "more than %d processes use the state '%.*s'", SLOTS_MAX, STR(path));
    store_set_slot(l->store, own);
    snprintf(l->folder, sizeof l->folder, "%.*s.journal/%d", STR(path), own);
    return OK;
}

static int open_journals(struct ledger *l, int n_threads, struct err *err)
{
    l->journals = calloc((size_t)n_threads, sizeof *l->journals);
    l->synced = calloc((size_t)n_threads, sizeof *l->synced);
    l->wishes = calloc((size_t)n_threads, sizeof *l->wishes);
    if (!l->journals || !l->synced || !l->wishes)
        return fail(err, ERR_NOMEM, "no memory for the journals");
    for (; l->n_threads < n_threads; l->n_threads++) {
        l->journals[l->n_threads] = journal_open(l->folder, l->n_threads, err);
        if (!l->journals[l->n_threads])
            return err ? err->code : ERR_IO;
    }
    return OK;
}

struct ledger *ledger_create(const struct config *c, int n_threads, struct err *err)
{
    struct ledger *l = calloc(1, sizeof *l);
    struct err local = {0};
    err = err ? err : &local;
    if (!l) {
        fail(err, ERR_NOMEM, "no memory for the ledger");
        return NULL;
    }
    l->defaults = c->limits;
    l->jobs_end = &l->jobs;
    l->keys_version = -1;
    l->lock_fd = -1;
    buf_init(&l->text, SEGMENT_READ_MAX);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    l->keys = key_table_create();
    int rc = l->keys ? OK : fail(err, ERR_NOMEM, "no memory for the keys");
    rc = rc ? rc : store_open(c->state, &l->store, err);
    rc = rc ? rc : take_slot(l, c, err);
    rc = rc ? rc : open_journals(l, n_threads, err);
    if (rc == OK) {
        l->keys_version = store_version(l->store);
        ledger_reload_keys(l);
        int e = pthread_create(&l->thread, NULL, run, l);
        rc = e ? fail_errno(err, e, "cannot start the store thread") : OK;
        l->has_thread = e == 0;
    }
    if (rc == OK)
        return l;
    ledger_free(l);
    return NULL;
}

void ledger_free(struct ledger *l)
{
    if (!l)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->lock);
        l->is_stopping = true;
        pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    for (int i = 0; i < l->n_threads; i++) {
        journal_flush(l->journals[i], NULL);
        journal_close(l->journals[i]);
        l->journals[i] = NULL;
    }
    struct err err = {0};
    if (l->has_thread && drain(l, &err) != OK) /* no journal is current any more: their files go */
        log_error("ledger", "%s", err.text);
    free(l->journals);
    free(l->synced);
    free(l->wishes);
    key_table_free(l->keys);
    store_close(l->store);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    buf_deinit(&l->text);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    free(l);
}

struct journal *ledger_journal(struct ledger *l, int thread)
{
    return l->journals[thread];
}

struct key_table *ledger_keys(struct ledger *l)
{
    return l->keys;
}

bool ledger_is_broken(const struct ledger *l)
{
    return l->is_broken;
}
