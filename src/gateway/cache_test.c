#include "gateway/cache.h"

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
    cache_put(c, key, S("chat"), 10000, 1000, answer_of(text), (int64_t)strlen(text), S("p"), S("m"), now);
}

static const struct cached *get(struct cache *c, int n, int64_t now)
{
    uint8_t key[CACHE_KEY_BYTES];
    const struct cached *hit = NULL;
    struct cache_waiter w = {0};
    key_of(n, key);
    if (cache_ask(c, key, now, &hit, &w) == CACHE_LEAD)
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
    CHECK_INT(cache_ask(c, key, 0, &hit, &a), CACHE_LEAD);
    CHECK(!cache_has_waiters(c, key));
    CHECK_INT(cache_ask(c, key, 0, &hit, &b), CACHE_WAIT);
    CHECK_INT(cache_ask(c, key, 0, &hit, &d), CACHE_WAIT);
    CHECK(cache_has_waiters(c, key));
    CHECK(cache_stop_waiting(c, key, &d)); /* its client left */
    put(c, 7, "one answer", 0);
    loop_run_once(loop, 10);
    CHECK_INT(n_woken, 1);
    CHECK(!cache_stop_waiting(c, key, &b));
    CHECK_INT(cache_ask(c, key, 0, &hit, &b), CACHE_HIT);
    cache_release(c, hit);
    loop_free(loop);
    cache_free(c);
}
