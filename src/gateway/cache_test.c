#include "gateway/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/test.h"

static struct chat_collector *answer_of(const char *text)
{
    struct chat_collector *c = chat_collector_new(1 << 20);
    struct chat_event start = {.type = CHAT_EV_START, .id = S("x")},
                      say = {.type = CHAT_EV_TEXT, .text = str_c(text)},
                      end = {.type = CHAT_EV_FINISH, .finish = CHAT_FINISH_STOP};
    REQUIRE(c && chat_collect(c, &start) == OK && chat_collect(c, &say) == OK && chat_collect(c, &end) == OK);
    return c;
}

static void key_of(int n, uint8_t key[CACHE_KEY_BYTES])
{
    memset(key, 0, CACHE_KEY_BYTES);
    memcpy(key, &n, sizeof n);
}

static void put(struct cache *c, int n, const char *text, int64_t now)
{
    uint8_t key[CACHE_KEY_BYTES];
    key_of(n, key);
    cache_put(c, key, S("chat"), 10000, 1000, answer_of(text), (int64_t)strlen(text), S("p"), S("m"), NULL,
              now);
}

static const struct cached *get(struct cache *c, int n, int64_t now)
{
    uint8_t key[CACHE_KEY_BYTES];
    const struct cached *hit = NULL;
    struct cache_waiter w = {0};
    key_of(n, key);
    if (cache_ask(c, key, 0, now, &hit, &w) == CACHE_LEAD)
        cache_abandon(c, key);
    return hit;
}

TEST(what_was_put_is_got_until_it_expires)
{
    struct cache *c = cache_create();
    CHECK(get(c, 1, 0) == NULL);
    put(c, 1, "hello", 0);
    const struct cached *hit = get(c, 1, 999);
    REQUIRE(hit != NULL);
    CHECK_STR(hit->answer->choices[0].parts[0].text, S("hello"));
    CHECK_STR(hit->provider, S("p"));
    CHECK(get(c, 2, 0) == NULL);
    CHECK(get(c, 1, 1000) == NULL); /* expired: dropped, but still held by us */
    CHECK_STR(hit->answer->choices[0].parts[0].text, S("hello"));
    cache_release(c, hit);
    cache_free(c);
}

TEST(memory_is_bounded_and_the_oldest_goes)
{
    struct cache *c = cache_create();
    for (int i = 0; i < 9; i++)
        put(c, i, "text", 0);
    CHECK(get(c, 0, 0) != NULL); /* used again: not the oldest any more */
    put(c, 9, "text", 0);
    CHECK(get(c, 1, 0) == NULL);
    const struct cached *first = get(c, 0, 0);
    CHECK(first != NULL);
    cache_release(c, first);
    cache_release(c, first);
    char large[11000];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = 0;
    put(c, 50, large, 0); /* more than all: not kept */
    CHECK(get(c, 50, 0) == NULL);
    cache_free(c);
}

static int n_woken;
static void on_task(struct loop_task *task)
{
    (void)task;
    n_woken++;
}

TEST(equal_requests_ask_once)
{
    struct cache *c = cache_create();
    struct err err;
    struct loop *loop = loop_create(&err);
    REQUIRE(loop != NULL);
    uint8_t key[CACHE_KEY_BYTES];
    key_of(7, key);
    const struct cached *hit = NULL;
    struct cache_waiter a = {.loop = loop, .task = {.run = on_task}}, b = a, d = a;
    CHECK_INT(cache_ask(c, key, 0, 0, &hit, &a), CACHE_LEAD);
    CHECK(!cache_has_waiters(c, key));
    CHECK_INT(cache_ask(c, key, 0, 0, &hit, &b), CACHE_WAIT);
    CHECK_INT(cache_ask(c, key, 0, 0, &hit, &d), CACHE_WAIT);
    CHECK(cache_has_waiters(c, key));
    CHECK(cache_stop_waiting(c, key, &d)); /* its client left */
    put(c, 7, "one answer", 0);
    loop_run_once(loop, 10);
    CHECK_INT(n_woken, 1);
    CHECK(!cache_stop_waiting(c, key, &b));
    CHECK_INT(cache_ask(c, key, 0, 0, &hit, &b), CACHE_HIT);
    cache_release(c, hit);
    loop_free(loop);
    cache_free(c);
}

/* ---- near ones ---- */

static void put_near(struct cache *c, int n, int scope, const float *vector, int dims, const char *text,
                     int64_t now, int64_t max_bytes)
{
    uint8_t key[CACHE_KEY_BYTES];
    struct cache_near near = {.vector = vector, .n = dims};
    key_of(n, key);
    key_of(scope, near.scope);
    cache_put(c, key, S("chat"), max_bytes, 1000, answer_of(text), (int64_t)strlen(text), S("p"), S("m"),
              &near, now);
}

/* What the nearest entry says; "" if none is near enough. */
static const char *nearest(struct cache *c, int scope, const float *vector, int dims, float least,
                           int64_t now)
{
    static char text[64];
    struct cache_near near = {.vector = vector, .n = dims};
    float similarity;
    key_of(scope, near.scope);
    const struct cached *hit = cache_scan(c, &near, least, now, &similarity);
    snprintf(text, sizeof text, "%.*s", hit ? (int)hit->answer->choices[0].parts[0].text.n : 0,
             hit ? hit->answer->choices[0].parts[0].text.p : "");
    cache_release(c, hit);
    return text;
}

TEST(the_nearest_of_a_scope_is_found_if_it_is_near_enough)
{
    struct cache *c = cache_create();
    const float east[] = {1, 0}, north[] = {0, 1}, nearly_north[] = {0.6F, 0.8F}, three[] = {1, 0, 0};
    CHECK_STR(str_c(nearest(c, 1, east, 2, 0, 0)), S(""));
    put_near(c, 1, 1, east, 2, "east", 0, 100000);
    put_near(c, 2, 1, north, 2, "north", 0, 100000);
    CHECK_STR(str_c(nearest(c, 1, nearly_north, 2, 0.7F, 0)), S("north"));
    CHECK_STR(str_c(nearest(c, 1, nearly_north, 2, 0.81F, 0)), S(""));
    CHECK_STR(str_c(nearest(c, 1, east, 2, 1, 0)), S("east"));
    CHECK_STR(str_c(nearest(c, 2, east, 2, 0, 0)), S(""));    /* another scope */
    CHECK_STR(str_c(nearest(c, 1, three, 3, 0, 0)), S(""));   /* another length */
    CHECK_STR(str_c(nearest(c, 1, east, 2, 0, 1000)), S("")); /* expired */
    uint8_t scope[CACHE_KEY_BYTES];
    key_of(1, scope);
    CHECK_INT(cache_scope_count(c, scope), 2);
    put(c, 1, "not near any more", 0);
    CHECK_INT(cache_scope_count(c, scope), 1);
    CHECK_STR(str_c(nearest(c, 1, east, 2, -1, 0)), S("north"));
    cache_free(c);
}

TEST(vectors_count_as_memory_and_go_with_their_entries)
{
    struct cache *c = cache_create();
    float v[256] = {1};
    uint8_t scope[CACHE_KEY_BYTES];
    key_of(1, scope);
    for (int i = 0; i < 12; i++)
        put_near(c, i, 1, v, 256, "text", 0, 10000); /* 2 KB each */
    CHECK_INT(cache_scope_count(c, scope), 4);
    CHECK(get(c, 7, 0) == NULL);
    const struct cached *hit = get(c, 11, 0);
    CHECK(hit != NULL);
    cache_release(c, hit);
    put_near(c, 50, 1, v, 256, "more than all", 0, 1500);
    CHECK_INT(cache_scope_count(c, scope), 0);
    cache_free(c);
}

TEST(a_near_answer_is_found_under_the_own_key_as_long_as_it_lives)
{
    struct cache *c = cache_create();
    const float east[] = {1, 0};
    struct cache_waiter w = {0};
    struct cache_near near = {.vector = east, .n = 2};
    uint8_t key[CACHE_KEY_BYTES];
    float similarity = 0;
    put_near(c, 1, 1, east, 2, "east", 0, 100000);
    key_of(1, near.scope);
    key_of(2, key);
    const struct cached *hit = NULL, *again = NULL;
    CHECK_INT(cache_ask(c, key, 0.9F, 0, &hit, &w), CACHE_LEAD);
    hit = cache_scan(c, &near, 0.9F, 0, &similarity);
    REQUIRE(hit != NULL);
    cache_put_near(c, key, hit, 0.95F, 100000);
    cache_release(c, hit);
    CHECK_INT(cache_ask(c, key, 0.9F, 999, &again, &w), CACHE_HIT);
    CHECK(again && again->similarity > 0.94F && again->answer == hit->answer);
    put(c, 1, "newer", 0); /* the older answer stays, held by the near entry and by us */
    CHECK_STR(again->answer->choices[0].parts[0].text, S("east"));
    cache_release(c, again);
    CHECK_INT(cache_ask(c, key, 0.9F, 999, &again, &w), CACHE_HIT);
    cache_release(c, again);
    CHECK_INT(cache_ask(c, key, 0.96F, 999, &again, &w), CACHE_LEAD); /* a stricter threshold now */
    cache_abandon(c, key);
    CHECK_INT(cache_ask(c, key, 0.9F, 999, &again, &w), CACHE_LEAD); /* so it is gone */
    cache_abandon(c, key);
    cache_free(c);
}

struct churn {
    struct cache *c;
    float *vectors;
    _Atomic bool is_over;
};

#define CHURN_DIMS    64
#define CHURN_ENTRIES 600

static void *put_and_drop(void *arg)
{
    struct churn *k = arg;
    for (int i = 0; !k->is_over; i++) /* memory for some 460 of them */
        put_near(k->c, 1 + i % CHURN_ENTRIES, 1,
                 k->vectors + (size_t)CHURN_DIMS * (size_t)(i % CHURN_ENTRIES), CHURN_DIMS, "x", 0, 600000);
    return NULL;
}

/* One entry is always there: a search finds it while others come and go. */
TEST(a_scan_misses_nothing_while_entries_come_and_go)
{
    struct churn k = {.c = cache_create(),
                      .vectors = calloc((size_t)CHURN_DIMS * CHURN_ENTRIES, sizeof(float))};
    float mine[CHURN_DIMS] = {1};
    pthread_t other;
    REQUIRE(k.c && k.vectors);
    for (int i = 0; i < CHURN_ENTRIES; i++)
        k.vectors[i * CHURN_DIMS + 1 + i % (CHURN_DIMS - 1)] = 1;
    put_near(k.c, 0, 1, mine, CHURN_DIMS, "mine", 0, 600000);
    REQUIRE(pthread_create(&other, NULL, put_and_drop, &k) == 0);
    int n_found = 0;
    for (int i = 0; i < 200; i++)
        n_found += strcmp(nearest(k.c, 1, mine, CHURN_DIMS, 0.9F, 0), "mine") == 0;
    k.is_over = true;
    pthread_join(other, NULL);
    CHECK_INT(n_found, 200);
    cache_free(k.c);
    free(k.vectors);
}
