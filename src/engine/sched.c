/* sched.c - Which tokens of which sequences are computed in the next step?
 *
 * Start reading at sched_plan_step(). */
#include "engine/sched.h"

#include "engine/ensure.h"

struct planner {
    struct sched_plan *plan;
    const struct sched_seq *seqs;
    int32_t n_seqs;
    const struct sched_limits *limits;
    const struct cost *cost;
    int32_t available; /* pages, as the plan so far leaves them */
    int32_t n_running; /* sequences that hold pages, as the plan leaves them */
    int32_t n_decoding;
    struct cost_step step;
};

static int32_t pages_for(const struct planner *p, int64_t n_tokens)
{
    return (int32_t)((n_tokens + p->limits->page_tokens - 1) / p->limits->page_tokens);
}

/* Pages that a running sequence must be given to hold n_tokens. */
static int32_t pages_missing(const struct planner *p, const struct sched_seq *s, int64_t n_tokens)
{
    int32_t n = pages_for(p, n_tokens) - s->n_pages;
    return n > 0 ? n : 0;
}

static bool is_preempted(const struct planner *p, int32_t seq)
{
    for (int32_t i = 0; i < p->plan->n_preempt; i++)
        if (p->plan->preempt[i] == seq)
            return true;
    return false;
}

static bool is_planned(const struct planner *p, int32_t seq)
{
    for (int32_t i = 0; i < p->plan->n_items; i++)
        if (p->plan->items[i].seq == seq)
            return true;
    return false;
}

static void preempt(struct planner *p, int32_t seq)
{
    p->plan->preempt[p->plan->n_preempt++] = seq;
    p->available += p->seqs[seq].n_given;
    p->n_running--;
}

static void add_item(struct planner *p, int32_t seq, int32_t n_rows, int32_t n_draft)
{
    const struct sched_seq *s = &p->seqs[seq];
    int64_t rows = n_rows + n_draft;
    bool is_last = n_rows == s->n_pending;
    ensure(p->plan->n_items < p->limits->batch_max && rows > 0);
    p->plan->items[p->plan->n_items++] = (struct sched_item){seq, n_rows, n_draft, !s->is_running};
    p->step.n_rows += rows;
    if (!s->wants_no_logits)
        p->step.n_logits += s->wants_all_logits ? rows : is_last ? 1 + n_draft : 0;
    p->step.n_keys += rows * s->n_ctx + rows * (rows + 1) / 2;
}

/* ---- decoding ---- */

/* Who gives its pages to sequence `seq`: a paused one of any rank, else the last in rank behind it. */
static int32_t find_victim(const struct planner *p, int32_t seq)
{
    for (int32_t i = p->n_seqs - 1; i >= 0; i--)
        if (p->seqs[i].is_running && p->seqs[i].is_paused && i != seq && !is_preempted(p, i))
            return i;
    for (int32_t i = p->n_seqs - 1; i > seq; i--)
        if (p->seqs[i].is_running && !is_preempted(p, i))
            return i;
    return -1;
}

static bool is_decoding(const struct sched_seq *s)
{
    return s->is_running && !s->is_paused && s->n_pending == 1;
}

/* Sequences that can still join the step, besides the one that asks: each needs a row and an output. */
static int32_t others_left(const struct planner *p)
{
    return p->limits->batch_max - p->plan->n_items - 1;
}

static int32_t outputs_left(const struct planner *p)
{
    return p->limits->outputs_max - (int32_t)p->step.n_logits - others_left(p);
}

static void plan_decode(struct planner *p, int32_t seq)
{
    const struct sched_seq *s = &p->seqs[seq];
    int32_t n_draft = s->n_draft;
    int32_t room = p->limits->rows_max - (int32_t)p->step.n_rows - others_left(p) - 1;
    int32_t outputs = outputs_left(p) - 1;

    n_draft = n_draft < room ? n_draft : room;
    n_draft = n_draft < outputs ? n_draft : outputs;
    int32_t missing = pages_missing(p, s, s->n_ctx + 1 + n_draft);
    if (missing > p->available && n_draft > 0) { /* guesses are not worth anybody's pages */
        n_draft = 0;
        missing = pages_missing(p, s, s->n_ctx + 1);
    }
    while (missing > p->available) {
        int32_t victim = find_victim(p, seq);
        if (victim < 0) {
            preempt(p, seq);
            return;
        }
        preempt(p, victim);
    }
    p->available -= missing;
    p->n_decoding++;
    add_item(p, seq, 1, n_draft);
}

/* ---- prompts ---- */

/* Rows of a prompt that the step still takes; 0: it is full. */
static int32_t prompt_rows(const struct planner *p, const struct sched_seq *s, double budget_us)
{
    int32_t room = p->limits->rows_max - (int32_t)p->step.n_rows;
    int32_t rows = s->n_pending < room ? s->n_pending : room;

    if (s->wants_all_logits && rows > outputs_left(p))
        rows = outputs_left(p);

    if (rows <= 0 || p->plan->n_items == p->limits->batch_max)
        return 0;
    if (p->n_decoding == 0) {
        if (p->step.n_rows >= SCHED_ROWS_EFFICIENT)
            return 0;
        int32_t fit = cost_rows_for(p->cost, p->step, s->n_ctx, SCHED_IDLE_BUDGETS * budget_us, rows);
        return fit > SCHED_ROWS_EFFICIENT || fit == rows ? fit
               : rows < SCHED_ROWS_EFFICIENT             ? rows
                                                         : SCHED_ROWS_EFFICIENT;
    }
    if (budget_us <= 0)
        return 0;
    int32_t known = cost_rows_known(p->cost, p->step.n_rows);
    return cost_rows_for(p->cost, p->step, s->n_ctx, budget_us, rows < known ? rows : known);
}

static void plan_prompt(struct planner *p, int32_t seq, int32_t n_rows, double *budget_us)
{
    double before_us = cost_predict_us(p->cost, p->step);
    add_item(p, seq, n_rows, 0);
    *budget_us -= cost_predict_us(p->cost, p->step) - before_us;
    /* What did not fit whole ends the step's room, however little time the rest would take. */
    if (n_rows < p->seqs[seq].n_pending)
        *budget_us = 0;
}

/* ---- admission ---- */

/* Pages that admitting a waiting sequence takes from those available: new ones, and idle ones
 * that it found.  Of what it found, a preempted sequence may have been the only holder: after
 * a preemption all of it is counted. */
static int32_t pages_to_admit(const struct planner *p, const struct sched_seq *s, bool is_after_preemption)
{
    int32_t all = pages_for(p, s->n_ctx + s->n_pending);
    return is_after_preemption ? all : all - s->n_pages + s->n_given;
}

static bool has_room(const struct planner *p, const struct sched_seq *s, int32_t n_spare)
{
    return p->n_running < p->limits->batch_max &&
           pages_to_admit(p, s, p->plan->n_preempt > 0) + n_spare <= p->available;
}

static bool yields_to(const struct planner *p, int32_t seq, const struct sched_seq *asking)
{
    const struct sched_seq *s = &p->seqs[seq];
    return s->is_running && !is_preempted(p, seq) && (s->priority > asking->priority || s->is_paused);
}

/* Push out, from the last in rank on, who must yield to the first that waits; nobody if even all
 * of them would not make room. */
static void make_room(struct planner *p, const struct sched_seq *s, int32_t n_spare)
{
    int32_t pages = p->available, places = p->limits->batch_max - p->n_running;
    for (int32_t i = 0; i < p->n_seqs; i++)
        if (yields_to(p, i, s)) {
            pages += p->seqs[i].n_given;
            places++;
        }
    if (places < 1 || pages_to_admit(p, s, true) + n_spare > pages)
        return;
    for (int32_t i = p->n_seqs - 1; i >= 0 && !has_room(p, s, n_spare); i--)
        if (yields_to(p, i, s))
            preempt(p, i);
}

static void plan_priorities(struct planner *p)
{
    int32_t n_decoding = 0;
    for (int32_t i = 0; i < p->n_seqs; i++)
        n_decoding += is_decoding(&p->seqs[i]);
    for (int32_t i = 0; i < p->n_seqs; i++)
        if (!p->seqs[i].is_running && !p->seqs[i].must_wait) {
            make_room(p, &p->seqs[i], n_decoding);
            return;
        }
}

static bool try_admit(struct planner *p, int32_t seq, double *budget_us)
{
    const struct sched_seq *s = &p->seqs[seq];
    int32_t n_rows = prompt_rows(p, s, *budget_us);

    if (n_rows == 0 || !has_room(p, s, p->n_decoding))
        return false;
    p->available -= pages_to_admit(p, s, p->plan->n_preempt > 0);
    p->n_running++;
    plan_prompt(p, seq, n_rows, budget_us);
    return true;
}

void sched_plan_step(struct sched_plan *plan, const struct sched_seq *seqs, int32_t n_seqs,
                     const struct sched_limits *limits, const struct cost *cost)
{
    struct planner p = {.plan = plan,
                        .seqs = seqs,
                        .n_seqs = n_seqs,
                        .limits = limits,
                        .cost = cost,
                        .available = limits->pages_available};
    double budget_us = limits->budget_us;

    plan->n_items = plan->n_preempt = 0;
    for (int32_t i = 0; i < n_seqs; i++)
        p.n_running += seqs[i].is_running;

    plan_priorities(&p);
    for (int32_t i = 0; i < n_seqs; i++)
        if (is_decoding(&seqs[i]) && !is_preempted(&p, i))
            plan_decode(&p, i);

    if (p.n_decoding > 0)
        budget_us *= SCHED_AIM;

    /* Prompts that have begun and those that wait, in one order: rank. */
    bool is_open = true; /* nobody in front waits for room */
    for (int32_t i = 0; i < n_seqs; i++) {
        const struct sched_seq *s = &seqs[i];
        if (is_preempted(&p, i) || is_planned(&p, i))
            continue;
        if (s->is_running && !s->is_paused) {
            int32_t n_rows = prompt_rows(&p, s, budget_us);
            if (n_rows > 0)
                plan_prompt(&p, i, n_rows, &budget_us);
        } else if (!s->is_running && is_open && !s->must_wait) {
            is_open = try_admit(&p, i, &budget_us);
        }
    }
    plan->cost = p.step;
}
