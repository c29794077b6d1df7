/* observe.h - What a request leaves in the metrics and in the access log.
 *
 * The cells of a target's metrics are looked up by their labels once and kept in its struct
 * health: seven look-ups by text for each request cost more than everything else here. */
#ifndef GATEWAY_OBSERVE_H
#define GATEWAY_OBSERVE_H

#include "gateway/gateway_int.h"

/* An attempt at r->target is over. */
void observe_attempt(const struct gw_request *r, const char *outcome, int64_t cost_nano);
/* The request is over: metrics and its line in the log. */
void observe_request(struct gw_request *r, uint64_t now_ms);
/* The lines of this turn go out; the thread's loop calls it at the turn's end. */
void observe_flush(struct loop_task *task);

#endif
