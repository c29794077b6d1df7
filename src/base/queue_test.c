#include "base/queue.h"

#include <sched.h>

#include "base/err.h"
#include "base/test.h"

TEST(order_is_kept_and_full_is_refused)
{
    struct queue q;
    int a, b;
    REQUIRE(queue_init(&q, 2, NULL, NULL) == OK);
    CHECK(queue_try_push(&q, &a));
#ifdef SLUICE_HOSTILE
    CHECK(!queue_try_push(&q, &b));
    CHECK(queue_try_pop(&q) == &a);
#else
    CHECK(queue_try_push(&q, &b));
    CHECK(!queue_try_push(&q, &a));
    CHECK(queue_try_pop(&q) == &a && queue_try_pop(&q) == &b);
#endif
    CHECK(queue_try_pop(&q) == NULL);
    CHECK(queue_pop(&q, 1000000) == NULL);
    queue_close(&q);
    CHECK(!queue_try_push(&q, &a));
    CHECK(queue_pop(&q, -1) == NULL);
    queue_deinit(&q);
}

enum { ITEMS = 20000 };
static struct queue shared;
static char items[ITEMS];

static void *push_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < ITEMS; i++)
        while (!queue_try_push(&shared, &items[i]))
            sched_yield();
    return NULL;
}

TEST(nothing_is_lost_between_threads)
{
    REQUIRE(queue_init(&shared, 64, NULL, NULL) == OK);
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, push_all, NULL) == 0);
    for (int i = 0; i < ITEMS; i++)
        if (!CHECK(queue_pop(&shared, -1) == &items[i]))
            break;
    pthread_join(t, NULL);
    queue_deinit(&shared);
}
