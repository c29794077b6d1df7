/* store.h - The state that outlives the process: keys and ledger, behind one table of functions.
 *
 * Every call blocks (disk): never on a loop thread.  A store belongs to one thread at a time;
 * several processes may have the same one open.  Money is nano-dollars, times are UTC. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include "base/str.h"
#include "store/record.h"

struct store;

/* "sqlite:FILE": made with its folders and tables if absent; an older version's tables are
 * brought up to date; a newer one's are refused. */
int store_open(struct str url, struct store **store, struct err *err);
void store_close(struct store *s); /* accepts NULL */

/* ---- keys ---- */

/* What each user of a key may use; 0: no such limit. */
struct store_user_limits {
    int64_t rpm, tpm, concurrency, budget_nano, token_budget;
    struct str budget_per;
};

struct store_key {
    struct str id, name, user, group, models, regions, metadata_json, priority;
    uint8_t hash[32];
    int64_t rpm, tpm, concurrency, max_output_tokens, token_budget; /* 0: not its own */
    int64_t budget_nano;                                            /* -1: none */
    struct str budget_per;                                          /* hour, day, month */
    struct store_user_limits per_user;
    int64_t created_s, expires_s; /* expires 0: never */
    bool is_revoked;
};

/* ERR_ARG if a live key has the same name. */
int store_add_key(struct store *s, const struct store_key *k, struct err *err);
/* By name or id; ERR_NOT_FOUND if no live key has it. */
int store_revoke_key(struct store *s, struct str name_or_id, struct err *err);
/* Calls `each` for every key, oldest first; texts live for that call. */
int store_each_key(struct store *s, void (*each)(void *arg, const struct store_key *k), void *arg,
                   struct err *err);
/* Changes whenever another process or connection changed anything. */
int64_t store_version(struct store *s);

/* ---- ledger ---- */

/* Several processes may share one state, each with a slot of its own (and journals of its own):
 * open requests and positions belong to the slot. */
void store_set_slot(struct store *s, int slot);
/* Where the reader of the journals stands; kept in the same transaction as what it wrote. */
int store_begin(struct store *s, struct err *err);
int store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);
/* A second time: ignored.  was_open: store_add_open may have been called for it. */
int store_add_close(struct store *s, const struct record *r, bool was_open, struct err *err);
int store_add_open(struct store *s, const struct record *r, struct err *err); /* still running */
int store_add_checkpoint(struct store *s, const struct record *r, struct err *err);
int store_set_position(struct store *s, struct str segment, int64_t offset, struct err *err);
int64_t store_get_position(struct store *s, struct str segment); /* 0 if unknown */
/* Requests that a former process of this slot left open become `interrupted`, with what their last checkpoint
 * said.  Returns how many, or an error. */
int store_settle_orphans(struct store *s, struct err *err);

/* ---- questions ---- */

enum usage_by {
    USAGE_KEY = 1,
    USAGE_USER = 2,
    USAGE_MODEL = 4,
    USAGE_PROVIDER = 8,
    USAGE_ENDPOINT = 16,
    USAGE_HOUR = 32,
    USAGE_DAY = 64
};

struct usage_row {
    struct str key, user, model, provider, endpoint, time; /* those asked for, else n == 0 */
    int64_t requests, input_tokens, cached_input_tokens, output_tokens, cost_nano;
};

/* "key,user" -> flags; false and *bad for an unknown word. */
bool usage_parse_by(struct str text, unsigned *by, struct str *bad);
int store_usage(struct store *s, unsigned by, int64_t from_s, int64_t to_s,
                void (*each)(void *arg, const struct usage_row *row), void *arg, struct err *err);
/* What a key has used since a moment. */
int store_spent(struct store *s, struct str key_id, int64_t from_s, int64_t *nano, int64_t *tokens,
                struct err *err);
/* The same for each of its users, the cheapest first (who is told last is remembered longest), of at most
 * users_max who spent most. */
int store_spent_by_user(struct store *s, struct str key_id, int64_t from_s, int users_max,
                        void (*each)(void *arg, struct str user, int64_t nano, int64_t tokens), void *arg,
                        struct err *err);

#endif
