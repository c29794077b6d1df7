#include "gateway/breaker.h"

#include "base/clock.h"
#include "base/test.h"

#define S_ NS_PER_S
static const struct config_breaker rule = {.failures = 3, .window_ns = 10 * S_, .cooldown_ns = 5 * S_};

static bool try_once(struct health *h, bool success, bool failure, int64_t now)
{
    int64_t wait;
    enum health_leave leave = health_begin(h, &rule, 0, now, &wait);
    if (leave)
        health_end(h, &rule, leave == HEALTH_PROBE, success, failure, now);
    return leave != HEALTH_NO;
}

TEST(breaker_opens_probes_once_and_closes)
{
    struct health_table *t = health_table_create();
    struct health *h = health_of(t, S("p"), S("m"));
    CHECK(h == health_of(t, S("p"), S("m")));
    CHECK(h != health_of(t, S("p"), S("n")));
    CHECK(try_once(h, false, true, 1 * S_) && try_once(h, false, true, 2 * S_));
    CHECK_INT(h->state, BREAKER_CLOSED);
    CHECK(try_once(h, false, true, 3 * S_));
    CHECK_INT(h->state, BREAKER_OPEN);
    int64_t wait;
    CHECK(!health_begin(h, &rule, 0, 7 * S_, &wait));
    CHECK_INT(wait, 1000);
    CHECK_INT(health_begin(h, &rule, 0, 8 * S_, &wait), HEALTH_PROBE);
    CHECK(!health_begin(h, &rule, 0, 8 * S_, &wait));
    health_end(h, &rule, true, false, true, 9 * S_);
    CHECK_INT(h->state, BREAKER_OPEN);
    CHECK(!health_begin(h, &rule, 0, 10 * S_, &wait));
    CHECK(try_once(h, true, false, 15 * S_));
    CHECK_INT(h->state, BREAKER_CLOSED);
    CHECK(try_once(h, false, true, 16 * S_) && try_once(h, true, false, 16 * S_));
    CHECK_INT(h->state, BREAKER_CLOSED);
    health_table_free(t);
}

TEST(failures_far_apart_do_not_open_it)
{
    struct health_table *t = health_table_create();
    struct health *h = health_of(t, S("p"), S("m"));
    for (int64_t i = 0; i < 20; i++)
        CHECK(try_once(h, false, true, i * 6 * S_));
    CHECK_INT(h->state, BREAKER_CLOSED);
    health_table_free(t);
}

TEST(a_probe_that_ends_without_verdict_lets_the_next_one_through)
{
    struct health_table *t = health_table_create();
    struct health *h = health_of(t, S("p"), S("m"));
    for (int i = 0; i < 3; i++)
        try_once(h, false, true, S_);
    CHECK(try_once(h, false, false, 10 * S_)); /* the client left */
    CHECK(try_once(h, true, false, 10 * S_));
    CHECK_INT(h->state, BREAKER_CLOSED);
    health_table_free(t);
}

TEST(an_old_request_does_not_free_the_probe_nor_decide_for_it)
{
    struct health_table *t = health_table_create();
    struct health *h = health_of(t, S("p"), S("m"));
    int64_t wait;
    CHECK_INT(health_begin(h, &rule, 0, S_, &wait), HEALTH_GO);
    CHECK_INT(health_begin(h, &rule, 0, S_, &wait), HEALTH_GO);
    for (int i = 0; i < 3; i++)
        try_once(h, false, true, S_);
    CHECK_INT(health_begin(h, &rule, 0, 7 * S_, &wait), HEALTH_PROBE);
    health_end(h, &rule, false, true, false, 8 * S_);
    CHECK_INT(h->state, BREAKER_HALF_OPEN);
    CHECK_INT(health_begin(h, &rule, 0, 8 * S_, &wait), HEALTH_NO);
    health_end(h, &rule, false, false, true, 8 * S_);
    CHECK_INT(h->state, BREAKER_HALF_OPEN);
    health_end(h, &rule, true, true, false, 9 * S_);
    CHECK_INT(h->state, BREAKER_CLOSED);
    health_table_free(t);
}

TEST(an_overload_pauses_the_whole_provider)
{
    struct health_table *t = health_table_create();
    struct health *a = health_of(t, S("p"), S("a")), *b = health_of(t, S("p"), S("b"));
    struct health *other = health_of(t, S("q"), S("a"));
    int64_t wait;
    health_pause_provider(a, 2 * S_);
    health_pause_provider(a, 1 * S_);
    CHECK_INT(health_begin(b, &rule, 0, 1 * S_, &wait), HEALTH_NO);
    CHECK_INT(wait, 1000);
    CHECK_INT(health_begin(health_of(t, S("p"), S("new")), &rule, 0, 1 * S_, &wait), HEALTH_NO);
    CHECK_INT(health_begin(other, &rule, 0, 1 * S_, &wait), HEALTH_GO);
    CHECK_INT(health_begin(b, &rule, 0, 2 * S_, &wait), HEALTH_GO);
    health_table_free(t);
}

TEST(concurrency_is_a_limit)
{
    struct health_table *t = health_table_create();
    struct health *h = health_of(t, S("p"), S("m"));
    int64_t wait;
    CHECK(health_begin(h, &rule, 2, 0, &wait) && health_begin(h, &rule, 2, 0, &wait));
    CHECK(!health_begin(h, &rule, 2, 0, &wait));
    CHECK_INT(wait, -1);
    health_end(h, &rule, false, true, false, 0);
    CHECK(health_is_open_for_traffic(h, &rule, 2, 0));
    CHECK(health_begin(h, &rule, 2, 0, &wait));
    health_table_free(t);
}

TEST(keys_rotate_and_parked_ones_are_passed_over)
{
    struct health_table *t = health_table_create();
    struct key_ring *k = key_ring_of(t, S("p"));
    struct str items[] = {S("a"), S("b"), S("c")};
    struct config_list keys = {items, 3};
    int64_t when;
    CHECK_INT(key_ring_pick(k, &keys, 0, &when), 0);
    CHECK_INT(key_ring_pick(k, &keys, 0, &when), 1);
    key_ring_park(k, &keys, 2, 100);
    CHECK_INT(key_ring_pick(k, &keys, 50, &when), 0);
    key_ring_park(k, &keys, 0, INT64_MAX);
    key_ring_park(k, &keys, 1, 200);
    CHECK_INT(key_ring_pick(k, &keys, 50, &when), -1);
    CHECK_INT(when, 100);
    CHECK_INT(key_ring_pick(k, &keys, 100, &when), 2);
    items[0] = S("a2"); /* a reload brought another key */
    key_ring_park(k, &keys, 2, 1000);
    CHECK_INT(key_ring_pick(k, &keys, 100, &when), 0);
    health_table_free(t);
}

TEST(a_parked_key_says_how_long)
{
    struct health_table *t = health_table_create();
    REQUIRE(t != NULL);
    struct key_ring *dead = key_ring_of(t, S("p")), *limited = key_ring_of(t, S("p/m"));
    struct str texts[2] = {S("one"), S("two")};
    struct config_list keys = {texts, 2};
    REQUIRE(dead && limited && dead != limited);
    key_ring_park(dead, &keys, 1, 500);
    CHECK_INT(key_ring_parked_ns(dead, &keys, 1, 100), 400);
    CHECK_INT(key_ring_parked_ns(dead, &keys, 1, 500), 0);
    CHECK_INT(key_ring_parked_ns(dead, &keys, 0, 100), 0);
    CHECK_INT(key_ring_parked_ns(limited, &keys, 1, 100), 0);
    key_ring_park(dead, &keys, 0, INT64_MAX);
    CHECK(key_ring_parked_ns(dead, &keys, 0, 100) == INT64_MAX);
    texts[0] = S("another"); /* a reload brought a new key */
    CHECK_INT(key_ring_parked_ns(dead, &keys, 0, 100), 0);
    health_table_free(t);
}
