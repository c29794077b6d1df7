#include "base/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/test.h"

#define ITEMS 1000

struct tally {
    atomic_int done[ITEMS];
    atomic_int worker_bad;
    int size;
};

static void count_items(void *arg, int begin, int end, int worker)
{
    struct tally *t = arg;
    if (worker < 0 || worker >= t->size)
        atomic_store(&t->worker_bad, 1);
    for (int i = begin; i < end; i++)
        atomic_fetch_add(&t->done[i], 1);
}

static void check_every_item_once(int n_threads, int n_items, int grain, int rounds)
{
    struct team *team;
    REQUIRE(team_create(&team, n_threads, NULL) == OK);
    static struct tally t;
    for (int i = 0; i < ITEMS; i++)
        atomic_store(&t.done[i], 0);
    t.size = team_size(team);
    team_lease(team);
    for (int r = 0; r < rounds; r++)
        team_run(team, count_items, &t, n_items, grain);
    team_release(team);
    for (int i = 0; i < ITEMS; i++)
        if (atomic_load(&t.done[i]) != (i < n_items ? rounds : 0)) {
            CHECK_INT(i, -1);
            break;
        }
    CHECK(!atomic_load(&t.worker_bad));
    team_free(team);
}

TEST(every_item_is_done_exactly_once)
{
    check_every_item_once(1, 1000, 1, 3);
    check_every_item_once(2, 1000, 1, 300);
    check_every_item_once(2, 7, 1, 2000);
    check_every_item_once(5, 64, 3, 200);
    check_every_item_once(13, 3, 1, 50);
    check_every_item_once(2, 0, 1, 5);
}

static void nap(void *arg, int begin, int end, int worker)
{
    (void)worker;
    struct timespec t = {0, 3000000};
    for (int i = begin; i < end; i++) {
        if (i == 0)
            nanosleep(&t, NULL);
        atomic_fetch_add((atomic_int *)arg, 1);
    }
}

/* Workers fall asleep between these loops, and worker 0 has to wait for the one that naps. */
TEST(sleeping_workers_wake_and_a_slow_one_is_waited_for)
{
    struct team *team;
    REQUIRE(team_create(&team, 3, NULL) == OK);
    struct timespec t = {0, 1000000};
    atomic_int n = 0;
    team_lease(team);
    for (int r = 1; r <= 20; r++) {
        nanosleep(&t, NULL);
        team_run(team, nap, &n, 30, 1);
        CHECK_INT(atomic_load(&n), 30 * r);
    }
    team_release(team);
    team_free(team);
}

/* Waiting workers fetch what they are told; a wild address must do no harm. */
TEST(any_address_may_be_expected)
{
    struct team *team;
    REQUIRE(team_create(&team, 3, NULL) == OK);
    atomic_int n = 0;
    team_lease(team);
    for (int r = 1; r <= 50; r++) {
        for (int w = 0; w < 3; w++)
            team_expect(team, w, r % 3 ? (const void *)((uintptr_t)r << 40) : &n, (size_t)r << 12);
        team_run(team, nap, &n, 3, 1);
        CHECK_INT(atomic_load(&n), 3 * r);
    }
    team_release(team);
    team_free(team);
}

static void *lease_and_work(void *arg)
{
    static struct tally t;
    struct team *team = arg;
    for (int i = 0; i < 200; i++) {
        team_lease(team);
        t.size = team_size(team);
        team_run(team, count_items, &t, 100, 1);
        team_release(team);
    }
    return (void *)(intptr_t)atomic_load(&t.done[99]);
}

TEST(leases_exclude_each_other)
{
    struct team *team;
    REQUIRE(team_create(&team, 2, NULL) == OK);
    pthread_t a, b;
    REQUIRE(pthread_create(&a, NULL, lease_and_work, team) == 0);
    REQUIRE(pthread_create(&b, NULL, lease_and_work, team) == 0);
    void *ra, *rb;
    pthread_join(a, &ra);
    pthread_join(b, &rb);
    int last = (int)(intptr_t)(ra > rb ? ra : rb);
    CHECK_INT(last, 400);
    team_free(team);
}
