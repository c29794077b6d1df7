#include "gateway/limit.h"

#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"

#define WALL INT64_C(1795262400) * NS_PER_S /* 2026-11-21T12:00:00Z */

static const struct config_limits none = {.budget_nano = -1};

TEST(of_a_thousand_exactly_the_limit_gets_in)
{
    struct limit_state s;
    struct config_limits l = none;
    l.rpm = 100;
    limit_init(&s);
    int admitted = 0;
    for (int i = 0; i < 1000; i++) {
        struct reservation r;
        struct limit_answer a = limit_reserve(&s, &l, 10, 0, 5 * NS_PER_S, WALL, &r);
        admitted += a.refusal == LIMIT_NONE;
        if (a.refusal != LIMIT_NONE) {
            CHECK_INT(a.refusal, LIMIT_RPM);
            CHECK_INT(a.retry_after_ms, 60000);
            CHECK_INT(a.requests_left, 0);
        }
    }
    CHECK_INT(admitted, 100);
    struct reservation r;
    CHECK(limit_reserve(&s, &l, 10, 0, 64 * NS_PER_S, WALL, &r).refusal == LIMIT_RPM);
    CHECK(limit_reserve(&s, &l, 10, 0, 65 * NS_PER_S, WALL, &r).refusal == LIMIT_NONE);
    limit_deinit(&s);
}

static struct limit_state shared;
static _Atomic int n_admitted;

static void *storm(void *arg)
{
    struct config_limits l = none;
    l.concurrency = 100;
    (void)arg;
    for (int i = 0; i < 250; i++) {
        struct reservation r;
        n_admitted += limit_reserve(&shared, &l, 1, 0, NS_PER_S, WALL, &r).refusal == LIMIT_NONE;
    }
    return NULL;
}

TEST(threads_cannot_squeeze_in_more)
{
    limit_init(&shared);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&t[i], NULL, storm, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK_INT(n_admitted, 100);
    limit_deinit(&shared);
}

TEST(tokens_are_reserved_and_given_back)
{
    struct limit_state s;
    struct config_limits l = none;
    l.tpm = 1000;
    limit_init(&s);
    struct reservation a, b;
    CHECK(limit_reserve(&s, &l, 800, 0, NS_PER_S, WALL, &a).refusal == LIMIT_NONE);
    CHECK(limit_reserve(&s, &l, 300, 0, NS_PER_S, WALL, &b).refusal == LIMIT_TPM);
    CHECK(!b.is_held);
    limit_settle(&s, &l, &a, 100, 0, 2 * NS_PER_S, WALL);
    struct limit_answer x = limit_reserve(&s, &l, 300, 0, 2 * NS_PER_S, WALL, &b);
    CHECK(x.refusal == LIMIT_NONE);
    CHECK_INT(x.tokens_left, 600);
    limit_settle(&s, &l, &b, 300, 0, 200 * NS_PER_S, WALL); /* long after its window */
    CHECK_INT(s.sum_tokens, 0);
    CHECK_INT(s.n_running, 0);
    limit_deinit(&s);
}

TEST(a_budget_is_never_overdrawn_and_ends_with_its_window)
{
    struct limit_state s;
    struct config_limits l = none;
    l.budget_nano = 1000;
    l.budget_per = PERIOD_HOUR;
    limit_init(&s);
    struct reservation a, b;
    CHECK(limit_reserve(&s, &l, 1, 700, NS_PER_S, WALL, &a).refusal == LIMIT_NONE);
    struct limit_answer x = limit_reserve(&s, &l, 1, 400, NS_PER_S, WALL, &b);
    CHECK_INT(x.refusal, LIMIT_BUDGET);
    CHECK_INT(x.retry_after_ms, 3600 * 1000);
    limit_settle(&s, &l, &a, 1, 500, NS_PER_S, WALL);
    CHECK(limit_reserve(&s, &l, 1, 501, NS_PER_S, WALL, &b).refusal == LIMIT_BUDGET);
    CHECK(limit_reserve(&s, &l, 1, 500, NS_PER_S, WALL, &b).refusal == LIMIT_NONE);
    CHECK(limit_reserve(&s, &l, 1, 1000, NS_PER_S, WALL + 3600 * NS_PER_S, &a).refusal == LIMIT_NONE);
    limit_settle(&s, &l, &b, 1, 500, NS_PER_S,
                 WALL + 3600 * NS_PER_S); /* began before, ended after the border */
    CHECK_INT(s.reserved_nano, 1000);
    CHECK_INT(s.spent_nano, 500);
    limit_deinit(&s);
}

TEST(months_begin_on_the_first)
{
    CHECK_INT(limit_window_start(PERIOD_MONTH, WALL), 1793491200);
    CHECK_INT(limit_window_end(PERIOD_MONTH, WALL), 1796083200);
    CHECK_INT(limit_window_start(PERIOD_DAY, WALL), 1795219200);
    CHECK_INT(limit_window_end(PERIOD_DAY, WALL), 1795305600);
}

TEST(a_random_life_never_breaks_a_limit)
{
    struct limit_state s;
    struct config_limits l = {
        .rpm = 20, .tpm = 500, .concurrency = 5, .budget_nano = 100000, .budget_per = PERIOD_HOUR};
    struct reservation held[8];
    bool used[8] = {0};
    struct rng rng = rng_seeded(3);
    int64_t now = 0, log_s[20000], log_tokens[20000];
    int n_log = 0;
    limit_init(&s);
    for (int step = 0; step < 20000; step++) {
        now += (int64_t)rng_below(&rng, 2 * NS_PER_S);
        int i = (int)rng_below(&rng, 8);
        if (used[i]) {
            limit_settle(&s, &l, &held[i], held[i].tokens, held[i].nano, now, WALL + now);
            used[i] = false;
            continue;
        }
        int64_t tokens = (int64_t)rng_below(&rng, 60);
        used[i] = limit_reserve(&s, &l, tokens, 100, now, WALL + now, &held[i]).refusal == LIMIT_NONE;
        if (!used[i])
            continue;
        log_s[n_log] = now / NS_PER_S;
        log_tokens[n_log++] = tokens;
        int64_t sum = 0, count = 0;
        for (int k = n_log - 1; k >= 0 && log_s[k] > now / NS_PER_S - LIMIT_SECONDS; k--, count++)
            sum += log_tokens[k];
        CHECK(count <= l.rpm && sum <= l.tpm && s.n_running <= l.concurrency);
        CHECK(s.spent_nano + s.reserved_nano <= l.budget_nano);
    }
    CHECK(n_log > 1000);
    limit_deinit(&s);
}
