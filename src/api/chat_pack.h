/* chat_pack.h - Events as bytes for files of ours, and back.
 *
 * Little-endian, of one version; a reader refuses another version, and whatever is not exactly what the
 * writer makes: lengths, ranges and UTF-8 are checked, so that a damaged or foreign file is an error and
 * never more.  Pure. */
#ifndef API_CHAT_PACK_H
#define API_CHAT_PACK_H

#include "api/chat.h"

/* Appends the whole answer (as chat_replay tells it).  OK, or ERR_LIMIT when `out` is full. */
int chat_pack(const struct chat_answer *answer, struct buf *out);

/* The events again.  They point into `packed` and `a`.  OK, what the sink returned, ERR_FORMAT, or
 * ERR_NOMEM when the arena is full. */
int chat_unpack(struct str packed, struct arena *a, const struct chat_sink *sink);

#endif
