/* sim_int.h - A world for simulating the attempt loop: clock, providers and clients are fake.
 *
 * Everything between the client's request and the provider's call is the real thing, journal and
 * database included.  One seed makes one scenario: which targets and keys there are, what each
 * call meets, when clients come, read slowly and hang up.  The same seed plays the same again.
 *
 *   sim_world_test.c    the providers (a struct http_script) and the clients (a struct request_sink)
 *   attempt_sim_test.c  the scenarios, and what must hold in every one of them
 */
#ifndef GATEWAY_SIM_INT_H
#define GATEWAY_SIM_INT_H

#include "base/rand.h"
#include "base/test.h"
#include "gateway/gateway_int.h"

#define SIM_PROVIDERS_MAX 3
#define SIM_TARGETS_MAX   4
#define SIM_KEYS_MAX      3
#define SIM_CLIENTS_MAX   8
#define SIM_CALLS_MAX     512
#define SIM_FAILS_MAX     512
#define SIM_FAULTS_MAX    4
#define SIM_PIECES_MAX    12
#define SIM_HEARTBEAT_MS  15000

enum sim_fault {
    SIM_FINE,
    SIM_CONNECT,         /* no connection */
    SIM_CONNECT_TIMEOUT, /* none in time */
    SIM_RESET,           /* the connection ends before a head */
    SIM_SILENT,          /* nothing ever comes */
    SIM_SERVER_ERROR,    /* 500, 502, 503 */
    SIM_OVERLOADED,      /* 529 */
    SIM_LIMITED,         /* 429, with Retry-After in one of its forms or without */
    SIM_BILLING,         /* 429 or 400 that says the money is gone */
    SIM_BAD_KEY,         /* 401 */
    SIM_FORBIDDEN,       /* 403, 404 */
    SIM_INVALID,         /* 400, 413, 422: the client's fault */
    SIM_CONTEXT,         /* 400: the prompt is too long */
    SIM_EMPTY,           /* 200 and no body */
    SIM_HTML,            /* 200 and a page */
    SIM_ERROR_INSIDE,    /* 200 and an error in the body, perhaps after some content */
    SIM_GARBAGE,         /* JSON that is none, perhaps after some content */
    SIM_CUT,             /* the connection breaks, perhaps after some content */
    SIM_END_EARLY,       /* a clean end without the dialect's own */
    SIM_STALL,           /* nothing more, perhaps after some content */
    SIM_FAULTS
};

enum sim_end { SIM_RUNNING, SIM_SUCCEEDED, SIM_FAILED, SIM_NEUTRAL, SIM_CANCELLED };

struct sim;

struct sim_call {
    struct sim *sim;
    struct http_call *call; /* NULL: over */
    struct timer timer;
    int id, client, target, key;
    enum sim_fault fault;
    int status;
    int64_t retry_ms; /* as said by Retry-After; -1: not said */
    int n_pieces, fault_at, at;
    bool is_stream, is_anthropic;
    bool has_head, has_content, is_complete; /* as given to the gateway */
    bool is_probe;
    enum sim_end end;
    uint64_t began_ms, ended_ms;
};

struct sim_client {
    struct request req; /* first */
    struct http_head head;
    struct sim *sim;
    int idx;
    struct timer arrival, hang_up, drain;
    uint64_t began_ms, ended_ms, patience_ms; /* patience 0: never hangs up */
    bool is_stream, is_anthropic, is_slow;
    bool has_come, is_over, is_hung_up, is_started, is_aborted, is_clean;
    bool is_refused; /* by a limit of its key: not in the ledger */
    int status;
    char id[REQUEST_ID_BYTES];
    char body[256];
    struct buf got;
};

/* What must be true of a target, kept beside the gateway's own books. */
struct sim_target {
    const struct config_target *def;
    int provider;
    enum sim_fault faults[SIM_FAULTS_MAX]; /* one of them is drawn for each call */
    int n_faults;
    bool is_open, is_half_open, is_probing;
    uint64_t opened_ms, failed_ms[SIM_FAILS_MAX];
    int n_failed;
    int n_running;
    uint64_t limited_until_ms[SIM_KEYS_MAX];
};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct gateway *gw;
    struct gw_thread *thread;
    struct loop *loop;
    struct http_script script; /* its address leads back here */
    struct config *config;
    const struct config_model *model;
    struct sim_target targets[SIM_TARGETS_MAX];
    int n_targets, n_providers;
    uint64_t dead_until_ms[SIM_PROVIDERS_MAX][SIM_KEYS_MAX];
    uint64_t overloaded_until_ms[SIM_PROVIDERS_MAX];
    struct config_limits limits;
    struct sim_client clients[SIM_CLIENTS_MAX];
    int n_clients;
    struct sim_call calls[SIM_CALLS_MAX];
    int n_calls, n_running;
    int hanging_up; /* the client that leaves at this moment; -1 */
    int n_violations;
};

/* sim_world_test.c */
void sim_script_init(struct sim *s);
void sim_client_init(struct sim *s, int idx, uint64_t arrival_ms);
void sim_client_deinit(struct sim_client *c);

/* attempt_sim_test.c: what the world tells as it happens */
void sim_broken(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_on_call(struct sim *s, struct sim_call *c);
void sim_on_call_end(struct sim *s, struct sim_call *c);
/* Has a call of this client given content to the gateway? */
bool sim_has_content(const struct sim *s, int client);

#endif
