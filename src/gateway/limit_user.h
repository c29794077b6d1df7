/* limit_user.h - The counters of a key's users: a bounded table inside the key's own.
 *
 * At most LIMIT_USERS_MAX users per key are counted; past that, the one idle for longest is forgotten and
 * begins anew when it comes back.  One with a running request is never forgotten.  Users are told apart by a
 * keyed 64-bit hash of their names.  Under the lock of the key's limit_state. */
#ifndef GATEWAY_LIMIT_USER_H
#define GATEWAY_LIMIT_USER_H

#include "gateway/limit.h"

struct limit_user {
    uint64_t hash;
    struct limit_counts counts;
    struct limit_user *chain, *newer, *older;
};

/* NULL: not counted so far. */
struct limit_user *limit_user_find(struct limit_users *u, uint64_t hash);
/* Found or made, and now the newest.  *u is made on first use.  NULL: no memory, or all have requests
 * running. */
struct limit_user *limit_user_take(struct limit_users **u, uint64_t hash);
void limit_users_free(struct limit_users *u); /* accepts NULL */
int limit_users_count(const struct limit_users *u);

#endif
