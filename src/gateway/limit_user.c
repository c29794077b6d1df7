/* limit_user.c - See limit_user.h. */
#include "gateway/limit_user.h"

#include <stdlib.h>
#include <string.h>

#define HEADS 1024 /* a power of two */

struct limit_users {
    struct limit_user *heads[HEADS];
    struct limit_user *newest, *oldest;
    int n;
};

static struct limit_user **head_of(struct limit_users *u, uint64_t hash)
{
    return &u->heads[hash & (HEADS - 1)];
}

struct limit_user *limit_user_find(struct limit_users *u, uint64_t hash)
{
    struct limit_user *x = u ? *head_of(u, hash) : NULL;
    while (x && x->hash != hash)
        x = x->chain;
    return x;
}

static void unlink_age(struct limit_users *u, struct limit_user *x)
{
    *(x->newer ? &x->newer->older : &u->newest) = x->older;
    *(x->older ? &x->older->newer : &u->oldest) = x->newer;
}

static void make_newest(struct limit_users *u, struct limit_user *x)
{
    x->newer = NULL;
    x->older = u->newest;
    *(u->newest ? &u->newest->newer : &u->oldest) = x;
    u->newest = x;
}

static void forget(struct limit_users *u, struct limit_user *x)
{
    struct limit_user **at = head_of(u, x->hash);
    while (*at != x)
        at = &(*at)->chain;
    *at = x->chain;
    unlink_age(u, x);
    u->n--;
    free(x);
}

/* Makes room for one more; false if nobody is idle. */
static bool make_room(struct limit_users *u)
{
    if (u->n < LIMIT_USERS_MAX)
        return true;
    struct limit_user *x = u->oldest;
    while (x && x->counts.n_running > 0)
        x = x->newer;
    if (x)
        forget(u, x);
    return x != NULL;
}

struct limit_user *limit_user_take(struct limit_users **users, uint64_t hash)
{
    if (!*users && !(*users = calloc(1, sizeof **users)))
        return NULL;
    struct limit_users *u = *users;
    struct limit_user *x = limit_user_find(u, hash);
    if (x) {
        unlink_age(u, x);
        make_newest(u, x);
        return x;
    }
    if (!make_room(u) || !(x = calloc(1, sizeof *x)))
        return NULL;
    x->hash = hash;
    x->chain = *head_of(u, hash);
    *head_of(u, hash) = x;
    make_newest(u, x);
    u->n++;
    return x;
}

void limit_users_free(struct limit_users *u)
{
    while (u && u->oldest)
        forget(u, u->oldest); /* NOLINT: the oldest is another one each time */
    free(u);
}

int limit_users_count(const struct limit_users *u)
{
    return u ? u->n : 0;
}
