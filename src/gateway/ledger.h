/* ledger.h - The store thread: journals into the database, keys out of it, nothing lost.
 *
 * Loop threads write journals and look at keys in memory; only this thread touches the database,
 * and nobody waits for it but administrators.  At start the journals of a former process are
 * read to their end, its open requests are settled as `interrupted`, and budgets are rebuilt. */
#ifndef GATEWAY_LEDGER_H
#define GATEWAY_LEDGER_H

#include "base/err.h"
#include "gateway/config.h"
#include "gateway/key.h"
#include "net/loop.h"
#include "store/journal.h"
#include "store/store.h"

struct ledger;

struct ledger *ledger_create(const struct config *c, int n_threads, struct err *err);
/* Everything flushed is in the database when it returns.  Loop threads have ended. */
void ledger_free(struct ledger *l); /* accepts NULL */

struct journal *ledger_journal(struct ledger *l, int thread);
struct key_table *ledger_keys(struct ledger *l);
/* A journal or the database cannot be written: no new requests. */
bool ledger_is_broken(const struct ledger *l);

/* Put this thread's journal on disk soon, then post `task` to the loop (durability power).  One
 * task of a thread at a time. */
void ledger_sync(struct ledger *l, int thread, struct loop *loop, struct loop_task *task);

/* Work for the store thread: `run` gets the database there; then `done` is posted to the loop.
 * Both live in the caller's memory until done has run. */
struct ledger_job {
    void (*run)(struct ledger_job *job, struct store *s);
    struct loop *loop;
    struct loop_task done;
    struct ledger_job *next;
};
void ledger_post(struct ledger *l, struct ledger_job *job);
/* Load the keys again now (on the store thread, inside a job's run). */
void ledger_reload_keys(struct ledger *l);

/* For the command line, without a running server: opens the state of a configuration. */
int ledger_open_store(const struct config *c, struct store **s, struct err *err);

#endif
