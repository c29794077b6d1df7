/* sched_test.c - The planner's rules, one by one and under random views; the cost model's learning. */
#include "engine/sched.h"

#include <math.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/spec.h"

enum { SEQS = 24 };

static struct sched_item items[SEQS];
static int32_t preempted[SEQS];

static const struct sched_limits usual = {.page_tokens = 8,
                                          .pages_available = 100,
                                          .batch_max = 8,
                                          .rows_max = 256,
                                          .outputs_max = 64,
                                          .budget_us = 50000};

/* 20 ms, and 1 ms for each row above 16. */
static double true_us(struct cost_step s)
{
    return 20000 + (s.n_rows > 16 ? 1000.0 * (double)(s.n_rows - 16) : 0) + 50 * (double)s.n_logits;
}

static struct cost learned(void)
{
    struct cost c = {0};
    for (int round = 0; round < 40; round++)
        for (int64_t rows = 1; rows <= 512; rows *= 2) {
            struct cost_step s = {rows, 1, 0};
            cost_learn(&c, s, true_us(s));
        }
    return c;
}

static struct sched_plan plan_of(const struct sched_seq *seqs, int32_t n, struct sched_limits limits)
{
    struct cost cost = learned();
    struct sched_plan plan = {.items = items, .preempt = preempted};
    sched_plan_step(&plan, seqs, n, &limits, &cost);
    return plan;
}

static struct sched_seq running(int64_t n_ctx, int32_t n_pending)
{
    return (struct sched_seq){.priority = 1,
                              .is_running = true,
                              .n_ctx = n_ctx,
                              .n_pending = n_pending,
                              .n_pages = (int32_t)((n_ctx + 7) / 8),
                              .n_given = (int32_t)((n_ctx + 7) / 8)};
}

static struct sched_seq waiting(int32_t n_pending)
{
    return (struct sched_seq){.priority = 1, .n_pending = n_pending};
}

TEST(every_decoding_sequence_gets_its_row)
{
    struct sched_seq s[3] = {running(10, 1), running(20, 1), running(30, 1)};
    struct sched_plan p = plan_of(s, 3, usual);
    CHECK_INT(p.n_items, 3);
    CHECK_INT(p.cost.n_rows, 3);
    CHECK_INT(p.cost.n_logits, 3);
}

TEST(a_prompt_beside_a_stream_is_cut_to_the_budget)
{
    struct sched_seq s[2] = {running(10, 1), waiting(400)};
    struct sched_plan p = plan_of(s, 2, usual);
    CHECK_INT(p.n_items, 2);
    CHECK_INT(items[1].seq, 1);
    CHECK(items[1].is_admitted);
    struct cost_step with = {1 + items[1].n_rows, 1, 0}, without = {1, 1, 0};
    CHECK(true_us(with) - true_us(without) <= SCHED_AIM * 50000 + 1000);
    CHECK(true_us(with) - true_us(without) >= 0.7 * SCHED_AIM * 50000); /* and uses it */
}

TEST(a_prompt_alone_takes_the_whole_step_and_the_next_waits)
{
    struct sched_seq s[2] = {waiting(100), waiting(100)};
    struct sched_plan p = plan_of(s, 2, usual);
    CHECK_INT(p.n_items, 1);
    CHECK_INT(items[0].n_rows, 100);
    s[0].n_pending = 10; /* a short one leaves the step inefficient: the next may join */
    p = plan_of(s, 2, usual);
    CHECK_INT(p.n_items, 2);
}

TEST(nobody_overtakes_a_sequence_that_waits_for_room)
{
    struct sched_limits l = usual;
    l.pages_available = 5;
    struct sched_seq s[2] = {waiting(80), waiting(8)};
    struct sched_plan p = plan_of(s, 2, l);
    CHECK_INT(p.n_items, 0);
    s[0].must_wait = true; /* but one that waits for its own good may be passed */
    p = plan_of(s, 2, l);
    CHECK_INT(p.n_items, 1);
    CHECK_INT(items[0].seq, 1);
}

TEST(without_pages_the_last_in_rank_steps_aside)
{
    struct sched_limits l = usual;
    l.pages_available = 0;
    struct sched_seq s[3] = {running(16, 1), running(20, 1), running(20, 1)};
    struct sched_plan p = plan_of(s, 3, l);
    CHECK_INT(p.n_preempt, 1);
    CHECK_INT(preempted[0], 2);
    CHECK_INT(p.n_items, 2);
    s[1].is_paused = true; /* a paused one goes first */
    p = plan_of(s, 3, l);
    CHECK_INT(preempted[0], 1);
}

TEST(a_higher_priority_pushes_out_a_lower_one_only_if_that_helps)
{
    struct sched_limits l = usual;
    l.batch_max = 1;
    struct sched_seq s[2] = {waiting(20), running(20, 1)};
    s[0].priority = 0;
    struct sched_plan p = plan_of(s, 2, l);
    CHECK_INT(p.n_preempt, 1);
    CHECK_INT(p.n_items, 1);
    CHECK(items[0].is_admitted);
    s[0].n_pending = 2000; /* more than all pages together */
    p = plan_of(s, 2, l);
    CHECK_INT(p.n_preempt, 0);
    CHECK_INT(p.n_items, 1);
    CHECK_INT(items[0].seq, 1);
}

TEST(drafts_are_given_up_before_anybody_is_preempted)
{
    struct sched_limits l = usual;
    l.pages_available = 0;
    struct sched_seq s[2] = {running(17, 1), running(9, 1)};
    s[0].n_draft = 10; /* 17 + 1 + 10 tokens need a fourth page */
    struct sched_plan p = plan_of(s, 2, l);
    CHECK_INT(p.n_preempt, 0);
    CHECK_INT(items[0].n_draft, 0);
    s[0].n_draft = 5; /* these fit into the page that is there */
    p = plan_of(s, 2, l);
    CHECK_INT(items[0].n_draft, 5);
}

TEST(random_views_never_break_a_limit_and_always_make_progress)
{
    struct rng r = rng_seeded(3);
    for (int round = 0; round < 20000; round++) {
        struct sched_seq s[SEQS];
        struct sched_limits l = {.page_tokens = 8,
                                 .pages_available = (int32_t)rng_below(&r, 60),
                                 .batch_max = 1 + (int32_t)rng_below(&r, 8),
                                 .rows_max = 8 + (int32_t)rng_below(&r, 200),
                                 .outputs_max = 8 + (int32_t)rng_below(&r, 20),
                                 .budget_us = 50000};
        int32_t n = 1 + (int32_t)rng_below(&r, SEQS), n_running = 0, pages = l.pages_available, first = -1;
        for (int32_t i = 0; i < n; i++) {
            bool runs = n_running < l.batch_max && rng_below(&r, 2);
            s[i] =
                runs ? running(1 + (int64_t)rng_below(&r, 60), 1) : waiting(1 + (int32_t)rng_below(&r, 90));
            s[i].priority = i * 3 / n;
            if (runs && rng_below(&r, 3) == 0) { /* in the middle of its prompt: its pages are there */
                s[i].n_pending = 2 + (int32_t)rng_below(&r, 50);
                s[i].n_pages = s[i].n_given = (int32_t)((s[i].n_ctx + s[i].n_pending + 7) / 8);
            }
            s[i].n_draft = runs && s[i].n_pending == 1 ? (int32_t)rng_below(&r, 5) : 0;
            s[i].wants_all_logits = rng_below(&r, 8) == 0 && s[i].n_draft == 0;
            n_running += runs;
            pages += s[i].n_given;
            if (first < 0)
                first = i;
        }
        struct sched_plan p = plan_of(s, n, l);
        int32_t available = l.pages_available, batch = n_running - p.n_preempt;
        int64_t rows = 0, outputs = 0;
        for (int32_t i = 0; i < p.n_preempt; i++) {
            CHECK(s[p.preempt[i]].is_running);
            available += s[p.preempt[i]].n_given;
            for (int32_t k = 0; k < p.n_items; k++)
                CHECK(p.items[k].seq != p.preempt[i]);
        }
        for (int32_t i = 0; i < p.n_items; i++) {
            const struct sched_item *it = &p.items[i];
            const struct sched_seq *q = &s[it->seq];
            int64_t reach = q->is_running ? q->n_ctx + it->n_rows + it->n_draft : q->n_ctx + q->n_pending;
            int64_t need = (reach + 7) / 8 - q->n_pages;
            CHECK(it->n_rows > 0 && it->n_rows <= q->n_pending && it->n_draft <= q->n_draft);
            available -= need > 0 ? (int32_t)need : 0;
            batch += !q->is_running;
            rows += it->n_rows + it->n_draft;
            outputs += q->wants_all_logits          ? it->n_rows + it->n_draft
                       : it->n_rows == q->n_pending ? 1 + it->n_draft
                                                    : 0;
        }
        CHECK(available >= 0);
        CHECK(batch <= l.batch_max);
        CHECK(rows <= l.rows_max);
        CHECK(outputs <= l.outputs_max);
        /* The first in rank moves on if the whole pool can hold it. */
        bool fits = (s[first].n_ctx + s[first].n_pending + 7) / 8 + l.batch_max <= pages;
        if (fits && (s[first].is_running || n_running < l.batch_max))
            CHECK(p.n_items > 0 || p.n_preempt > 0);
    }
}

TEST(the_cost_model_learns_a_bent_curve)
{
    struct cost c = learned();
    for (int64_t rows = 1; rows <= 512; rows = rows * 3 / 2 + 1) {
        struct cost_step s = {rows, 1, 0};
        CHECK_NEAR(cost_predict_us(&c, s) / true_us(s), 1, 0.25);
    }
}

TEST(the_cost_model_learns_what_keys_cost)
{
    struct cost c = {0};
    struct rng r = rng_seeded(4);
    for (int i = 0; i < 4000; i++) {
        struct cost_step s = {1 + (int64_t)rng_below(&r, 8), 1, (int64_t)rng_below(&r, 30000)};
        cost_learn(&c, s, true_us(s) + 0.5 * (double)s.n_keys);
    }
    struct cost_step deep = {4, 1, 28000}, flat = {4, 1, 0};
    CHECK_NEAR(cost_predict_us(&c, deep) - cost_predict_us(&c, flat), 14000, 2500);
}

TEST(an_interrupted_step_does_not_spoil_the_model)
{
    struct cost c = learned();
    struct cost_step s = {1, 1, 0};
    cost_learn(&c, s, 5e6);
    CHECK(cost_predict_us(&c, s) < 60000);
}

TEST(beside_streams_unknown_sizes_are_explored_by_doubling)
{
    struct cost c = {0};
    struct cost_step s = {1, 1, 0};
    cost_learn(&c, s, 20000);
    CHECK_INT(cost_rows_known(&c, 1), 16);
    for (int64_t rows = 2; rows <= 32; rows *= 2)
        cost_learn(&c, (struct cost_step){rows, 1, 0}, 21000);
    CHECK_INT(cost_rows_known(&c, 1), 63);
}

TEST(what_one_prompt_took_tells_how_many_rows_fit_beside_streams)
{
    struct cost c = {0};
    struct cost_step one = {1, 1, 0}, base = {1, 1, 0};
    cost_learn(&c, one, true_us(one));
    struct cost_step prompt = {170, 1, 0};
    cost_learn(&c, prompt, true_us(prompt));
    for (int i = 0; i < 3; i++) {
        int32_t n = cost_rows_for(&c, base, 0, 40000, cost_rows_known(&c, 1));
        struct cost_step with = {1 + n, 1, 0};
        double more_us = true_us(with) - true_us(one);
        CHECK(more_us > 20000 && more_us < 44000);
        cost_learn(&c, with, true_us(with));
        CHECK_NEAR(cost_predict_us(&c, with) / true_us(with), 1, 0.05);
    }
}

/* How many guesses a repetitive text gets from spec_draft. */
static int32_t guesses_by(const struct cost *c, struct seq *s)
{
    spec_draft(NULL, c, &s, 1, SEQ_DRAFT_MAX);
    return s->n_draft;
}

TEST(guesses_are_tried_where_their_cost_was_never_seen_and_dropped_where_it_is_too_high)
{
    int32_t tokens[64];
    struct seq s = {.tokens = tokens, .n_tokens = 48, .n_prompt = 40, .tokens_max = 64, .draft_luck = 1};
    for (int i = 0; i < 64; i++)
        tokens[i] = i % 4;
    /* A prompt that was slow suggests that a second row costs more than a whole step. */
    struct cost c = {0};
    cost_learn(&c, (struct cost_step){1, 1, 0}, 60);
    cost_learn(&c, (struct cost_step){128, 1, 0}, 128 * 100);
    CHECK(!cost_knows(&c, 3) && cost_knows(&c, 1));
    CHECK(guesses_by(&c, &s) > 0);
    struct cost cheap = c, dear = c;
    cost_learn(&cheap, (struct cost_step){3, 3, 0}, 70);
    CHECK(cost_knows(&cheap, 3));
    CHECK(guesses_by(&cheap, &s) > 0);
    cost_learn(&dear, (struct cost_step){3, 3, 0}, 250);
    CHECK_INT(guesses_by(&dear, &s), 0);
}
