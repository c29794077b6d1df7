/* limit.h - Rates, concurrency and budgets of a key: reserve before, settle after, as a whole.
 *
 * A request is admitted or refused under one lock for all limits together, so that of 1000
 * simultaneous requests against a limit of 100 exactly 100 get in.  What it may use at most is
 * reserved; when it is over, the difference is given back.
 *
 * A key may also have limits for each of its users: such a request is admitted by both or by
 * neither, under the same lock.
 *
 * rpm and tpm count the last 60 seconds (in steps of one second).  Budgets count UTC calendar
 * windows.  No I/O here.  Threads: any. */
#ifndef GATEWAY_LIMIT_H
#define GATEWAY_LIMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/config.h"

#define LIMIT_SECONDS 60

#define LIMIT_USERS_MAX 4096 /* counted per key (limit_user.h) */

struct limit_counts {
    int64_t second; /* of the newest bucket */
    int64_t requests[LIMIT_SECONDS], tokens[LIMIT_SECONDS];
    int64_t sum_requests, sum_tokens;
    int64_t n_running;
    int64_t window_start_s; /* of the budget */
    int64_t spent_nano, reserved_nano;
    int64_t spent_tokens, reserved_tokens;
};

struct limit_users;

struct limit_state {
    pthread_mutex_t lock;
    struct limit_counts counts;
    struct limit_users *users; /* NULL: none was counted yet */
};

enum limit_refusal { LIMIT_NONE, LIMIT_RPM, LIMIT_TPM, LIMIT_CONCURRENCY, LIMIT_BUDGET, LIMIT_TOKEN_BUDGET };

/* What a request holds until it is settled. */
struct reservation {
    int64_t second; /* bucket that counts it */
    int64_t tokens, nano;
    int64_t window_start_s;
    uint64_t user; /* hash */
    int64_t user_window_start_s;
    bool has_user, is_held;
};

struct limit_answer {
    enum limit_refusal refusal;
    bool is_user;           /* refused by the user's limits, not by the key's */
    int64_t retry_after_ms; /* when refused */
    /* for x-ratelimit-..., of the tighter one of key and user; -1: no such limit */
    int64_t requests_limit, tokens_limit;
    int64_t requests_left, requests_reset_ms, tokens_left, tokens_reset_ms;
};

void limit_init(struct limit_state *s);
void limit_deinit(struct limit_state *s);

/* Try to admit a request of `user` that may use so many tokens and nano-dollars.  Admitted: *r is held. */
struct limit_answer limit_reserve(struct limit_state *s, const struct config_limits *l, struct str user,
                                  int64_t tokens, int64_t nano, int64_t now_ns, int64_t wall_ns,
                                  struct reservation *r);
/* Reserve more for a request that is admitted: true if the budgets (of key and user) allow it; rates do not
 * count it again.  Also true if *r is not held: nothing limits it then. */
bool limit_extend(struct limit_state *s, const struct config_limits *l, int64_t tokens, int64_t nano,
                  int64_t now_ns, int64_t wall_ns, struct reservation *r);
/* What it really used.  Nothing happens if *r is not held. */
void limit_settle(struct limit_state *s, const struct config_limits *l, struct reservation *r, int64_t tokens,
                  int64_t nano, int64_t now_ns, int64_t wall_ns);
/* What was spent in the present budget window before this process began (from the ledger). */
void limit_restore(struct limit_state *s, int64_t window_start_s, int64_t nano, int64_t tokens);
void limit_restore_user(struct limit_state *s, struct str user, int64_t window_start_s, int64_t nano,
                        int64_t tokens);
/* True if users of a key have limits of their own. */
bool limit_has_users(const struct config_limits *l);

/* Start of the calendar window that holds this moment, and of the next one (UTC, seconds). */
int64_t limit_window_start(enum config_period per, int64_t wall_ns);
int64_t limit_window_end(enum config_period per, int64_t wall_ns);

#endif
