/* gate.c - Sleep until somebody says that there is something to do: a counter and a futex. */
#include "engine/gate.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000

uint32_t gate_ticket(struct gate *g)
{
    return atomic_load(&g->n_opened);
}

void gate_wait(struct gate *g, uint32_t ticket, int64_t timeout_ns)
{
    struct timespec t = {timeout_ns / NS_PER_SECOND, timeout_ns % NS_PER_SECOND};

    atomic_fetch_add(&g->n_waiting, 1);
    syscall(SYS_futex, &g->n_opened, FUTEX_WAIT_PRIVATE, ticket, timeout_ns < 0 ? NULL : &t, NULL, 0);
    atomic_fetch_sub(&g->n_waiting, 1);
}

void gate_open(struct gate *g)
{
    atomic_fetch_add(&g->n_opened, 1);
    if (atomic_load(&g->n_waiting) > 0)
        syscall(SYS_futex, &g->n_opened, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
