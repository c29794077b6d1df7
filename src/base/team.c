/* team.c - A team of worker threads that computes one step at a time.
 *
 * One 64-bit word is the gate of the current loop: generation, an open bit, and the number of
 * workers inside.  Worker 0 writes the loop's description while the gate is closed and empty,
 * opens it under a new generation, works, closes it when no items are left, and waits until it
 * is empty.  A worker that wakes up late finds the gate closed and touches nothing; its items
 * were taken by the others.
 *
 * Each worker's items are a range [lo, hi) in one atomic word: the owner takes from lo, thieves
 * take from hi.
 *
 * Start reading at team_run(). */
#include "base/team.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc_guard.h"
#include "base/sys.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define GATE_OPEN       (1ull << 15)
#define GATE_INSIDE     (GATE_OPEN - 1)
#define GATE_GENERATION 16  /* shift */
#define LINE            128 /* two cache lines: neighbours are prefetched in pairs */
#define FETCH_PORTION   512 /* bytes fetched between two looks at the gate */

struct range {
    _Alignas(LINE) _Atomic uint64_t span; /* lo << 32 | hi */
    /* What the worker fetches while it waits.  Both may change at any time, and a pair that does not belong
     * together does no harm. */
    _Alignas(LINE) _Atomic(const char *) expected;
    _Atomic size_t n_expected;
};

struct worker {
    struct team *team;
    pthread_t thread;
    int idx;
};

struct team {
    /* The loop: written by worker 0 while the gate is closed and empty. */
    team_work *work;
    void *arg;
    int grain;
    bool is_guarded; /* alloc_guard.h */

    _Alignas(LINE) _Atomic uint64_t gate;
    _Alignas(LINE) _Atomic uint32_t generation; /* what sleeping workers wait on */
    _Atomic uint32_t sleepers;
    _Alignas(LINE) _Atomic uint32_t drained; /* what worker 0 waits on when the gate is not empty */
    _Atomic uint32_t boss_sleeps;
    _Atomic bool stop;
    bool spins; /* false where there are more threads than cores: spinning would only steal time */

    struct range *ranges;
    struct worker *workers;
    int n_threads;
    int n_started;
    pthread_mutex_t lease;
    unsigned saved_fp;
};

/* --- waiting ------------------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A spin that may go on while this is true. */
struct spin {
    int64_t until;
    int turns;
    const char *expected; /* fetched already: n_fetched bytes of it */
    size_t n_fetched;
};

/* Fetch a portion of what worker `self` expects; false if there is none. */
static bool fetch_expected(struct spin *s, const struct team *t, int self)
{
    const char *p = atomic_load_explicit(&t->ranges[self].expected, memory_order_relaxed);
    size_t n = atomic_load_explicit(&t->ranges[self].n_expected, memory_order_relaxed);
    if (p != s->expected) {
        s->expected = p;
        s->n_fetched = 0;
    }
    if (!p || s->n_fetched >= n)
        return false;
    for (size_t at = 0; at < FETCH_PORTION; at += 64)
        __builtin_prefetch(p + s->n_fetched + at);
    s->n_fetched += FETCH_PORTION;
    return true;
}

static bool spin_on(struct spin *s, const struct team *t, int self)
{
    if (!t->spins)
        return false;
    if (!fetch_expected(s, t, self))
        relax();
    if (++s->turns % 32)
        return true;
    int64_t now = now_ns();
    if (!s->until)
        s->until = now + TEAM_SPIN_US * 1000;
    return now < s->until;
}

/* --- floating-point state ------------------------------------------------------------------ */

static unsigned fp_set(void)
{
#if defined(__x86_64__)
    unsigned old = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return old;
#elif defined(__aarch64__)
    uint64_t old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
    return (unsigned)old;
#else
    return 0;
#endif
}

static void fp_restore(unsigned old)
{
#if defined(__x86_64__)
    _mm_setcsr(old);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)old));
#else
    (void)old;
#endif
}

/* --- items --------------------------------------------------------------------------------- */

/* Take a piece of a range, from its start (own) or its end; false if it is empty. */
static bool take_piece(struct range *r, int grain, bool own, int *begin, int *end)
{
    uint64_t span = atomic_load_explicit(&r->span, memory_order_relaxed);
    for (;;) {
        uint32_t lo = (uint32_t)(span >> 32), hi = (uint32_t)span;
        if (lo >= hi)
            return false;
        uint32_t n = (hi - lo) / 4;
        if (n < (uint32_t)grain)
            n = (uint32_t)grain;
        if (n > hi - lo)
            n = hi - lo;
        uint64_t rest = own ? (uint64_t)(lo + n) << 32 | hi : (uint64_t)lo << 32 | (hi - n);
        if (atomic_compare_exchange_weak_explicit(&r->span, &span, rest, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *begin = (int)(own ? lo : hi - n);
            *end = (int)(own ? lo + n : hi);
            return true;
        }
    }
}

static void do_items(struct team *t, int self)
{
    int begin, end;
    for (int k = 0; k < t->n_threads; k++) {
        int victim = self + k < t->n_threads ? self + k : self + k - t->n_threads;
        while (take_piece(&t->ranges[victim], t->grain, k == 0, &begin, &end))
            t->work(t->arg, begin, end, self);
    }
}

/* --- workers ------------------------------------------------------------------------------- */

static void leave_gate(struct team *t)
{
    uint64_t before = atomic_fetch_sub(&t->gate, 1);
    if (before & GATE_OPEN || (before & GATE_INSIDE) != 1)
        return;
    atomic_fetch_add(&t->drained, 1);
    if (atomic_load(&t->boss_sleeps))
        futex_wake(&t->drained, 1);
}

/* Wait for a gate that is open under another generation than `last`, and enter it.  False: stop. */
static bool enter_gate(struct team *t, int self, uint64_t *last)
{
    struct spin spin = {0};
    for (;;) {
        uint32_t seen = atomic_load(&t->generation);
        uint64_t gate = atomic_load(&t->gate);
        while (gate & GATE_OPEN && gate >> GATE_GENERATION != *last)
            if (atomic_compare_exchange_weak(&t->gate, &gate, gate + 1)) {
                *last = gate >> GATE_GENERATION;
                return true;
            }
        if (atomic_load(&t->stop))
            return false;
        if (spin_on(&spin, t, self))
            continue;
        atomic_fetch_add(&t->sleepers, 1);
        futex_wait(&t->generation, seen); /* returns at once if a loop was opened meanwhile */
        atomic_fetch_sub(&t->sleepers, 1);
        spin = (struct spin){0};
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    uint64_t last = 0;
    fp_set();
    while (enter_gate(w->team, w->idx, &last)) {
        bool before = alloc_guard_set(w->team->is_guarded);
        do_items(w->team, w->idx);
        alloc_guard_set(before);
        leave_gate(w->team);
    }
    return NULL;
}

/* --- the boss ------------------------------------------------------------------------------ */

static void wait_until_empty(struct team *t)
{
    struct spin spin = {0};
    for (;;) {
        uint32_t seen = atomic_load(&t->drained);
        if (!(atomic_load(&t->gate) & GATE_INSIDE))
            return;
        if (spin_on(&spin, t, 0))
            continue;
        atomic_store(&t->boss_sleeps, 1);
        if (atomic_load(&t->gate) & GATE_INSIDE)
            futex_wait(&t->drained, seen);
        atomic_store(&t->boss_sleeps, 0);
    }
}

void team_run(struct team *t, team_work *work, void *arg, int n_items, int grain)
{
    assert(n_items >= 0 && grain >= 1);
    if (t->n_threads == 1 || n_items <= grain) {
        if (n_items > 0)
            work(arg, 0, n_items, 0);
        return;
    }
    t->work = work;
    t->arg = arg;
    t->grain = grain;
    t->is_guarded = alloc_guard_set(false);
    alloc_guard_set(t->is_guarded);
    for (int i = 0; i < t->n_threads; i++) {
        uint64_t lo = (uint64_t)n_items * (uint64_t)i / (uint64_t)t->n_threads;
        uint64_t hi = (uint64_t)n_items * (uint64_t)(i + 1) / (uint64_t)t->n_threads;
        atomic_store_explicit(&t->ranges[i].span, lo << 32 | hi, memory_order_relaxed);
    }
    uint64_t next = (atomic_load(&t->gate) >> GATE_GENERATION) + 1;
    atomic_store(&t->gate, next << GATE_GENERATION | GATE_OPEN);
    atomic_fetch_add(&t->generation, 1);
    if (atomic_load(&t->sleepers))
        futex_wake(&t->generation, TEAM_THREADS_MAX);
    do_items(t, 0);
    atomic_fetch_and(&t->gate, ~GATE_OPEN);
    wait_until_empty(t);
}

void team_expect(struct team *t, int worker, const void *p, size_t n)
{
    assert(worker >= 0 && worker < t->n_threads);
    atomic_store_explicit(&t->ranges[worker].n_expected, n, memory_order_relaxed);
    atomic_store_explicit(&t->ranges[worker].expected, p, memory_order_relaxed);
}

void team_lease(struct team *t)
{
    pthread_mutex_lock(&t->lease);
    t->saved_fp = fp_set();
}

void team_release(struct team *t)
{
    fp_restore(t->saved_fp);
    pthread_mutex_unlock(&t->lease);
}

int team_size(const struct team *t)
{
    return t->n_threads;
}

static int start_workers(struct team *t, struct err *err)
{
    int rc = 0;
    for (int i = 1; i < t->n_threads && rc == 0; i++) {
        t->workers[i] = (struct worker){.team = t, .idx = i};
        rc = sys_start_thread(&t->workers[i].thread, worker_main, &t->workers[i]);
        if (rc == 0)
            t->n_started++;
    }
    if (rc != 0)
        return fail_errno(err, rc, "cannot start %d worker threads", t->n_threads - 1);
    return OK;
}

int team_create(struct team **out, int n_threads, struct err *err)
{
    *out = NULL;
    if (n_threads <= 0)
        n_threads = sys_n_cpus();
    if (n_threads > TEAM_THREADS_MAX)
        n_threads = TEAM_THREADS_MAX;
    struct team *t = aligned_alloc(LINE, (sizeof *t + LINE - 1) / LINE * LINE);
    if (!t)
        return fail(err, ERR_NOMEM, "no memory for a team of %d threads", n_threads);
    memset(t, 0, sizeof *t);
    t->n_threads = n_threads;
    t->spins = n_threads <= sys_n_cpus();
    pthread_mutex_init(&t->lease, NULL);
    t->ranges = aligned_alloc(LINE, sizeof *t->ranges * (size_t)n_threads);
    t->workers = calloc((size_t)n_threads, sizeof *t->workers);
    int rc = ERR_NOMEM;
    if (!t->ranges || !t->workers) {
        fail(err, ERR_NOMEM, "no memory for a team of %d threads", n_threads);
        goto out;
    }
    memset(t->ranges, 0, sizeof *t->ranges * (size_t)n_threads);
    rc = start_workers(t, err);
    if (rc != OK)
        goto out;
    *out = t;
    return OK;
out:
    team_free(t);
    return rc;
}

void team_free(struct team *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    atomic_fetch_add(&t->generation, 1);
    futex_wake(&t->generation, TEAM_THREADS_MAX);
    for (int i = 1; i <= t->n_started; i++)
        pthread_join(t->workers[i].thread, NULL);
    pthread_mutex_destroy(&t->lease);
    free(t->ranges);
    free(t->workers);
    free(t);
}
