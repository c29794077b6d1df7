/* account.h - Admission, journal and settlement of a request.  Internal to this folder. */
#ifndef GATEWAY_ACCOUNT_H
#define GATEWAY_ACCOUNT_H

#include "gateway/gateway_int.h"

enum gw_step phase_admit(struct gw_request *r);
enum gw_step phase_open(struct gw_request *r);
enum gw_step phase_settle(struct gw_request *r);

/* The running attempt is over: its tokens and cost, estimated where nobody counted. */
void account_attempt(struct gw_request *r, enum record_outcome outcome, int status);

int64_t account_estimate_input(const struct chat_request *req);
int64_t account_output_cap(const struct gw_request *r); /* 0: none */
/* What a request may produce at most: its own wish, capped; without a wish the cap, at most 4096. */
int64_t account_output_reserved(const struct gw_request *r);
struct config_price account_price(const struct gw_request *r, const struct config_target *t);

/* Tasks and timers of a thread. */
void account_flush(struct loop_task *task);
void account_checkpoint(struct timer *timer);
void account_start_sync(struct gw_thread *t);
/* A request that waits for the flush goes away. */
void account_forget(struct gw_request *r);

#endif
