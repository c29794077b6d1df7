/* gate.h - Sleep until somebody says that there is something to do.
 *
 * An event count: the waiter reads gate_ticket, looks for work, and if there is none sleeps by
 * gate_wait with that ticket; a gate_open in between makes it return at once.  Opening a gate that
 * nobody waits at is one atomic addition. */
#ifndef ENGINE_GATE_H
#define ENGINE_GATE_H

#include <stdatomic.h>
#include <stdint.h>

struct gate {
    _Atomic uint32_t n_opened;
    _Atomic uint32_t n_waiting;
};

uint32_t gate_ticket(struct gate *g);
/* timeout_ns negative: no limit.  May also return for no reason. */
void gate_wait(struct gate *g, uint32_t ticket, int64_t timeout_ns);
void gate_open(struct gate *g);

#endif
