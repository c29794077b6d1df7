#include "gateway/strategy.h"

#include "base/rand.h"
#include "base/test.h"

static const struct config_price cheap = {100, 10, 400, 100, 100}, dear = {1000, 100, 4000, 1000, 1000},
                                 unknown = {-1, -1, -1, -1, -1};

TEST(ordered_is_as_written)
{
    struct strategy_target t[3] = {{.weight = 1}, {.weight = 0}, {.weight = 9}};
    struct strategy_request r = {.strategy = STRATEGY_ORDERED};
    int order[3];
    strategy_order(&r, t, 3, order);
    CHECK(order[0] == 0 && order[1] == 1 && order[2] == 2);
}

TEST(weighted_follows_its_weights_and_zero_is_last)
{
    struct strategy_target t[3] = {
        {.name_hash = 1, .weight = 3}, {.name_hash = 2, .weight = 1}, {.name_hash = 3, .weight = 0}};
    struct rng rng = rng_seeded(1);
    int first[3] = {0}, order[3];
    for (int i = 0; i < 4000; i++) {
        struct strategy_request r = {.strategy = STRATEGY_WEIGHTED, .random = rng_next(&rng)};
        strategy_order(&r, t, 3, order);
        first[order[0]]++;
        CHECK(order[2] == 2);
    }
    CHECK(first[0] > 2850 && first[0] < 3150 && first[2] == 0);
}

TEST(a_prefix_stays_where_it_is_when_others_leave)
{
    struct strategy_target t[4] = {{.name_hash = 1, .weight = 1},
                                   {.name_hash = 2, .weight = 1},
                                   {.name_hash = 3, .weight = 1},
                                   {.name_hash = 4, .weight = 1}};
    for (uint64_t prefix = 0; prefix < 200; prefix++) {
        struct strategy_request r = {.strategy = STRATEGY_WEIGHTED, .is_sticky = true, .prefix = prefix};
        int a[4], b[4];
        strategy_order(&r, t, 4, a);
        r.random = prefix * 77; /* must not matter */
        strategy_order(&r, t, 4, b);
        CHECK(a[0] == b[0]);
        strategy_order(&r, t, 3, b); /* the last target is gone */
        if (a[0] != 3)
            CHECK(a[0] == b[0]);
    }
}

TEST(cheapest_counts_the_cache_hit_that_it_expects)
{
    struct config_price middle = {300, 30, 400, 300, 300};
    struct strategy_target t[3] = {{.name_hash = 1, .weight = 1, .price = middle},
                                   {.name_hash = 2, .weight = 1, .price = cheap},
                                   {.name_hash = 3, .weight = 1, .price = unknown}};
    struct strategy_request r = {.strategy = STRATEGY_CHEAPEST, .input_tokens = 1000, .output_tokens = 10};
    int order[3];
    strategy_order(&r, t, 3, order);
    CHECK(order[0] == 1 && order[1] == 0 && order[2] == 2);
    t[0].is_warm = true; /* 100 x 300 + 900 x 30 < 1000 x 100 */
    strategy_order(&r, t, 3, order);
    CHECK_INT(order[0], 0);
    t[0].price = dear;
    strategy_order(&r, t, 3, order);
    CHECK_INT(order[0], 1);
}

TEST(fastest_explores_learns_and_shuns_failures)
{
    struct strategy_target t[3] = {{.name_hash = 1, .weight = 1, .first_ms = 100, .per_token_ms = 10},
                                   {.name_hash = 2, .weight = 1, .first_ms = 300, .per_token_ms = 1},
                                   {.name_hash = 3, .weight = 1}};
    struct strategy_request r = {.strategy = STRATEGY_FASTEST, .output_tokens = 10};
    int order[3];
    strategy_order(&r, t, 3, order);
    CHECK(order[0] == 2 && order[1] == 0);
    t[2].first_ms = 5000;
    r.output_tokens = 1000;
    strategy_order(&r, t, 3, order);
    CHECK_INT(order[0], 1);
    t[1].error_share = 0.9;
    strategy_order(&r, t, 3, order);
    CHECK(order[0] != 1);
}

TEST(least_busy_takes_the_emptiest)
{
    struct strategy_target t[2] = {{.name_hash = 1, .weight = 1, .n_running = 3},
                                   {.name_hash = 2, .weight = 1, .n_running = 1}};
    struct strategy_request r = {.strategy = STRATEGY_LEAST_BUSY};
    int order[2];
    strategy_order(&r, t, 2, order);
    CHECK_INT(order[0], 1);
}
