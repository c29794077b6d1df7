#include "gateway/limit_user.h"

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
        struct limit_answer a = limit_reserve(&s, &l, S(""), 10, 0, 5 * NS_PER_S, WALL, &r);
        admitted += a.refusal == LIMIT_NONE;
        if (a.refusal != LIMIT_NONE) {
            CHECK_INT(a.refusal, LIMIT_RPM);
            CHECK_INT(a.retry_after_ms, 60000);
            CHECK_INT(a.requests_left, 0);
        }
    }
    CHECK_INT(admitted, 100);
    struct reservation r;
    CHECK(limit_reserve(&s, &l, S(""), 10, 0, 64 * NS_PER_S, WALL, &r).refusal == LIMIT_RPM);
    CHECK(limit_reserve(&s, &l, S(""), 10, 0, 65 * NS_PER_S, WALL, &r).refusal == LIMIT_NONE);
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
        n_admitted += limit_reserve(&shared, &l, S(""), 1, 0, NS_PER_S, WALL, &r).refusal == LIMIT_NONE;
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
    CHECK(limit_reserve(&s, &l, S(""), 800, 0, NS_PER_S, WALL, &a).refusal == LIMIT_NONE);
    CHECK(limit_reserve(&s, &l, S(""), 300, 0, NS_PER_S, WALL, &b).refusal == LIMIT_TPM);
    CHECK(!b.is_held);
    limit_settle(&s, &l, &a, 100, 0, 2 * NS_PER_S, WALL);
    struct limit_answer x = limit_reserve(&s, &l, S(""), 300, 0, 2 * NS_PER_S, WALL, &b);
    CHECK(x.refusal == LIMIT_NONE);
    CHECK_INT(x.tokens_left, 600);
    limit_settle(&s, &l, &b, 300, 0, 200 * NS_PER_S, WALL); /* long after its window */
    CHECK_INT(s.counts.sum_tokens, 0);
    CHECK_INT(s.counts.n_running, 0);
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
    CHECK(limit_reserve(&s, &l, S(""), 1, 700, NS_PER_S, WALL, &a).refusal == LIMIT_NONE);
    struct limit_answer x = limit_reserve(&s, &l, S(""), 1, 400, NS_PER_S, WALL, &b);
    CHECK_INT(x.refusal, LIMIT_BUDGET);
    CHECK_INT(x.retry_after_ms, 3600 * 1000);
    limit_settle(&s, &l, &a, 1, 500, NS_PER_S, WALL);
    CHECK(limit_reserve(&s, &l, S(""), 1, 501, NS_PER_S, WALL, &b).refusal == LIMIT_BUDGET);
    CHECK(limit_reserve(&s, &l, S(""), 1, 500, NS_PER_S, WALL, &b).refusal == LIMIT_NONE);
    CHECK(limit_reserve(&s, &l, S(""), 1, 1000, NS_PER_S, WALL + 3600 * NS_PER_S, &a).refusal == LIMIT_NONE);
    limit_settle(&s, &l, &b, 1, 500, NS_PER_S,
                 WALL + 3600 * NS_PER_S); /* began before, ended after the border */
    CHECK_INT(s.counts.reserved_nano, 1000);
    CHECK_INT(s.counts.spent_nano, 500);
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
        used[i] = limit_reserve(&s, &l, S(""), tokens, 100, now, WALL + now, &held[i]).refusal == LIMIT_NONE;
        if (!used[i])
            continue;
        log_s[n_log] = now / NS_PER_S;
        log_tokens[n_log++] = tokens;
        int64_t sum = 0, count = 0;
        for (int k = n_log - 1; k >= 0 && log_s[k] > now / NS_PER_S - LIMIT_SECONDS; k--, count++)
            sum += log_tokens[k];
        CHECK(count <= l.rpm && sum <= l.tpm && s.counts.n_running <= l.concurrency);
        CHECK(s.counts.spent_nano + s.counts.reserved_nano <= l.budget_nano);
    }
    CHECK(n_log > 1000);
    limit_deinit(&s);
}

/* ---- users of a key ---- */

static enum limit_refusal ask(struct limit_state *s, const struct config_limits *l, const char *user,
                              struct reservation *r, int64_t now)
{
    struct reservation unused;
    return limit_reserve(s, l, str_c(user), 10, 100, now, WALL + now, r ? r : &unused).refusal;
}

TEST(each_user_has_its_share_within_the_keys)
{
    struct limit_state s;
    struct config_limits l = {.rpm = 5, .budget_nano = -1, .per_user = {.rpm = 2}};
    struct reservation r;
    limit_init(&s);
    CHECK(ask(&s, &l, "ann", NULL, 0) == LIMIT_NONE);
    CHECK(ask(&s, &l, "ann", NULL, 0) == LIMIT_NONE);
    struct limit_answer a = limit_reserve(&s, &l, S("ann"), 10, 100, 0, WALL, &r);
    CHECK(a.refusal == LIMIT_RPM && a.is_user && !r.is_held);
    CHECK_INT(a.requests_limit, 2);
    CHECK_INT(a.requests_left, 0);
    CHECK_INT(s.counts.sum_requests, 2); /* refused by one: counted by neither */
    CHECK(ask(&s, &l, "bob", NULL, 0) == LIMIT_NONE);
    CHECK(ask(&s, &l, "", NULL, 0) == LIMIT_NONE); /* those without a name are one */
    a = limit_reserve(&s, &l, S("eve"), 10, 100, 0, WALL, &r);
    CHECK(a.refusal == LIMIT_NONE && !a.is_user);
    CHECK_INT(a.requests_left, 0); /* of the key: the tighter one */
    a = limit_reserve(&s, &l, S("kim"), 10, 100, 0, WALL, &r);
    CHECK(a.refusal == LIMIT_RPM && !a.is_user);
    CHECK(ask(&s, &l, "ann", NULL, 61 * NS_PER_S) == LIMIT_NONE);
    limit_deinit(&s);
}

TEST(a_users_budget_tokens_and_concurrency_are_settled)
{
    struct limit_state s;
    struct config_limits l = {
        .budget_nano = -1,
        .per_user = {.tpm = 25, .concurrency = 2, .budget_nano = 250, .budget_per = PERIOD_HOUR}};
    struct reservation a, b, c;
    limit_init(&s);
    CHECK(ask(&s, &l, "ann", &a, 0) == LIMIT_NONE);
    CHECK(ask(&s, &l, "ann", &b, 0) == LIMIT_NONE);
    CHECK(ask(&s, &l, "ann", &c, 0) == LIMIT_BUDGET);
    limit_settle(&s, &l, &a, 1, 10, NS_PER_S, WALL + NS_PER_S); /* it cost a tenth */
    CHECK(ask(&s, &l, "ann", &c, NS_PER_S) == LIMIT_NONE);
    limit_settle(&s, &l, &b, 10, 100, NS_PER_S, WALL + NS_PER_S);
    limit_settle(&s, &l, &c, 10, 100, NS_PER_S, WALL + NS_PER_S);
    CHECK(ask(&s, &l, "ann", &c, 2 * NS_PER_S) == LIMIT_BUDGET); /* 210 of 250 */
    CHECK(ask(&s, &l, "bob", &a, 2 * NS_PER_S) == LIMIT_NONE);
    CHECK(ask(&s, &l, "ann", &c, 3600 * NS_PER_S) == LIMIT_NONE);
    limit_settle(&s, &l, &a, 1, 1, 3600 * NS_PER_S, WALL + 3600 * NS_PER_S);
    CHECK_INT(s.counts.n_running, 1);
    limit_deinit(&s);
}

TEST(more_is_reserved_only_within_the_budgets)
{
    struct limit_state s;
    struct config_limits l = {.tpm = 100,
                              .budget_nano = 250,
                              .budget_per = PERIOD_HOUR,
                              .per_user = {.budget_nano = 220, .budget_per = PERIOD_HOUR}};
    struct reservation a, none_held = {0};
    limit_init(&s);
    CHECK(limit_extend(&s, &l, 10, 1000, 0, WALL, &none_held));
    CHECK(ask(&s, &l, "ann", &a, 0) == LIMIT_NONE);
    CHECK(!limit_extend(&s, &l, 10, 130, 0, WALL, &a)); /* the user's */
    CHECK(limit_extend(&s, &l, 10, 120, 0, WALL, &a));
    CHECK_INT(s.counts.reserved_nano, 220);
    CHECK_INT(s.counts.sum_tokens, 20);
    CHECK(!limit_extend(&s, &l, 10, 31, 0, WALL, &a));
    limit_settle(&s, &l, &a, 15, 150, 0, WALL);
    CHECK_INT(s.counts.reserved_nano, 0);
    CHECK_INT(s.counts.spent_nano, 150);
    CHECK_INT(s.counts.sum_tokens, 15);
    limit_deinit(&s);
}

TEST(of_a_thousand_of_one_user_exactly_its_share_gets_in)
{
    struct limit_state s;
    struct config_limits l = {.rpm = 500, .budget_nano = -1, .per_user = {.concurrency = 100}};
    limit_init(&s);
    int admitted = 0;
    for (int i = 0; i < 1000; i++)
        admitted += ask(&s, &l, "ann", NULL, 0) == LIMIT_NONE;
    CHECK_INT(admitted, 100);
    limit_deinit(&s);
}

TEST(the_table_of_users_is_bounded_and_keeps_those_that_run)
{
    struct limit_state s;
    struct config_limits l = {.budget_nano = -1, .per_user = {.budget_nano = 100, .budget_per = PERIOD_DAY}};
    struct reservation held, r;
    limit_init(&s);
    CHECK(ask(&s, &l, "runs", &held, 0) == LIMIT_NONE);
    limit_restore_user(&s, S("spent"), limit_window_start(PERIOD_DAY, WALL), 100, 5);
    CHECK(ask(&s, &l, "spent", &r, 0) == LIMIT_BUDGET);
    for (int i = 0; i < LIMIT_USERS_MAX + 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "user-%d", i);
        CHECK(ask(&s, &l, name, &r, 0) == LIMIT_NONE);
        limit_settle(&s, &l, &r, 1, 100, 0, WALL);
    }
    CHECK_INT(limit_users_count(s.users), LIMIT_USERS_MAX);
    CHECK(ask(&s, &l, "runs", &r, 0) == LIMIT_BUDGET);      /* not forgotten */
    CHECK(ask(&s, &l, "spent", &r, 0) == LIMIT_NONE);       /* idle for longest: forgotten */
    CHECK(ask(&s, &l, "user-4000", &r, 0) == LIMIT_BUDGET); /* a recent one */
    limit_settle(&s, &l, &held, 1, 100, 0, WALL);
    limit_deinit(&s);
}
