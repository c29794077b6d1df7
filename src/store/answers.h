/* answers.h - Cached answers in a file that outlives the process.
 *
 * A SQLite database of its own (WAL, so a crash loses at most the last moments and never damages it); each
 * row also carries a checksum of its key and body, and one that does not fit is a miss. Bodies are opaque
 * here.  The size is bounded per model name: what was written or read longest ago goes first.  The file has
 * mode 0600.
 *
 * Every call blocks.  A struct belongs to one thread; several processes may have the file open. */
#ifndef STORE_ANSWERS_H
#define STORE_ANSWERS_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define ANSWERS_KEY_BYTES 32
#define ANSWER_ROW_BYTES  256 /* of an answer besides its body, as counted against the bound */

struct answers;

/* Made with its folders if absent.  A file that is something else is refused and left alone; one of ours that
 * is damaged is moved to FILE.damaged, and a new one begun. */
int answers_open(const char *path, struct answers **out, struct err *err);
void answers_close(struct answers *a); /* accepts NULL; commits */

/* The body, appended to *out.  ERR_NOT_FOUND: not there, expired, or damaged. */
int answers_get(struct answers *a, const uint8_t key[ANSWERS_KEY_BYTES], int64_t now_s, struct buf *out,
                int64_t *expires_s, struct err *err);
/* Keeps or replaces one; then the model's answers fit into max_bytes again.  Written for good by the next
 * answers_flush. */
int answers_put(struct answers *a, const uint8_t key[ANSWERS_KEY_BYTES], struct str model, struct str body,
                int64_t expires_s, int64_t max_bytes, int64_t now_s, struct err *err);
int answers_flush(struct answers *a, struct err *err);

#endif
