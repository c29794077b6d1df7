/* record.h - What the ledger knows of a request, and its form in the journal.
 *
 * A request has an `open` record before the first upstream byte, perhaps checkpoints while it
 * runs, and a `close` record before the client's last byte.  A record that was cut by a crash is
 * recognised by its checksum, and everything behind it is ignored.
 *
 * Money is nano-dollars.  Texts are borrowed. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define RECORD_ATTEMPTS_MAX 64
#define RECORD_BYTES_MAX    65536
#define RECORD_TEXT_MAX     512 /* longer texts are cut */

enum record_type { RECORD_OPEN = 1, RECORD_CHECKPOINT = 2, RECORD_CLOSE = 3 };

enum record_outcome { OUTCOME_OK, OUTCOME_FAILED, OUTCOME_CANCELLED, OUTCOME_INTERRUPTED, OUTCOME_CACHED };
const char *record_outcome_name(enum record_outcome o);

struct record_tokens {
    int64_t input_fresh, cache_read, cache_write_5m, cache_write_1h, output, reasoning;
};

struct record_attempt {
    struct str provider, model;
    enum record_outcome outcome;
    struct record_tokens tokens;
    int64_t cost_nano;
    bool is_estimated;
    int32_t first_ms, total_ms, status;
};

struct record {
    enum record_type type;
    struct str id; /* of the request */
    int64_t wall_ns;
    /* open and close */
    struct str key_id, user, model, endpoint;
    int64_t reserved_nano; /* open */
    /* close; a checkpoint has attempts only */
    enum record_outcome outcome;
    int32_t status, first_ms, total_ms;
    bool is_resumed; /* an answer that went on at another target */
    struct record_attempt attempts[RECORD_ATTEMPTS_MAX];
    int n_attempts;
};

/* Append the framed record.  False if it does not fit into the buffer. */
bool record_write(struct buf *out, const struct record *r);

/* Read one from the front of *in and move behind it.  1: *r is filled, its texts borrow from the
 * input.  0: nothing more (the end, zeros, or a record that is cut or damaged). */
int record_read(struct str *in, struct record *r);

#endif
