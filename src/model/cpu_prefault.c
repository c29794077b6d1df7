/* cpu_prefault.c - Put the KV pool into memory, without making anybody wait for it.
 *
 * Untouched memory costs a fault when a step first writes it, and on a fresh virtual machine a slow one: a
 * pool of 2 GiB took 0.3 to 6 s to touch.  So only the first part is touched before the model is
 * open, and a thread does the rest, from the low pages up, in which order they are also taken into use.  It
 * populates without writing, so it cannot destroy what a step has stored meanwhile; a system that cannot do
 * that (Linux before 5.14) gives memory when it is needed.
 *
 * Finding a huge page can hold a core for milliseconds, whatever the thread's priority, and slows the other
 * cores while it lasts: 25 pages a second cost steps a quarter of their speed.  So while steps are computed,
 * only what they will write to soon is populated.  The priority is the usual one: populating holds the lock
 * of the address space, and as long as an idle thread that has it is kept off the cores by steps, every other
 * thread waits that asks the system for memory (streams stood still for a second). */
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/sys.h"
#include "model/cpu_int.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PIECE = 2 << 20, REST_MS = 40 };

/* Has a step been computed since the last call? */
static bool is_busy(struct cpu_prefault *f, unsigned *seen)
{
    unsigned now = atomic_load_explicit(&f->steps, memory_order_relaxed), before = *seen;
    *seen = now;
    return now != before;
}

static void *populate(void *arg)
{
    struct cpu_prefault *f = arg;
    const struct timespec rest = {0, REST_MS * 1000000};
    unsigned seen = 0;
    for (size_t at = 0; at < f->n && !atomic_load(&f->stop);) {
        if (!atomic_load(&f->hurry) && is_busy(f, &seen)) {
            nanosleep(&rest, NULL);
            if (at >= atomic_load_explicit(&f->near, memory_order_relaxed))
                continue;
        }
        if (madvise(f->p + at, f->n - at < PIECE ? f->n - at : PIECE, MADV_POPULATE_WRITE) != 0)
            break;
        at += PIECE;
    }
    return NULL;
}

void cpu_prefault_start(struct cpu_prefault *f, void *p, size_t n)
{
    f->p = p;
    f->n = n;
    if (n == 0)
        return;
    f->is_running = sys_start_thread(&f->thread, populate, f) == 0;
}

void cpu_prefault_finish(struct cpu_prefault *f)
{
    atomic_store(&f->hurry, true);
    if (f->is_running)
        pthread_join(f->thread, NULL);
    f->is_running = false;
}

void cpu_prefault_stop(struct cpu_prefault *f)
{
    atomic_store(&f->stop, true);
    if (f->is_running)
        pthread_join(f->thread, NULL);
    f->is_running = false;
}
