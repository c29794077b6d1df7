/* sched.h - Which tokens of which sequences are computed in the next step?
 *
 * Pure: a view of all sequences goes in, a plan comes out, nothing is touched.  The caller carries
 * the plan out: it takes pages, runs the step, and tells the cost model how long it took.
 *
 * A sequence is its known tokens (prompt and what was generated), of which the first n_ctx are in
 * the KV cache and n_pending are not.  One that has one left is decoding; it also may have drafts,
 * guesses to be checked in the same step.  That is all there is to continuous batching: a prompt is
 * a sequence with much left, and a preempted sequence is one whose n_ctx went back to zero.
 *
 * Rules, in this order:
 *   1. Rank is (priority, arrival).  It decides everything that is scarce.
 *   2. Every running sequence that decodes gets its row.  If pages run out, paused sequences give
 *      theirs away first, then the last in rank, possibly the asking one itself.
 *   3. Prompts fill the step up to nearly budget_us of predicted time beside decoding sequences, one after
 *      the other in rank.  Without decoding sequences there is nobody to delay: ten budgets then,
 *      but a second prompt joins only a step of less than SCHED_ROWS_EFFICIENT rows, because
 *      together both would answer late, and one after the other the first answers early.
 *   4. A waiting sequence is admitted if there are pages for all its known tokens and one spare
 *      page for each that decodes; nobody overtakes it in the meantime.  It may push out running
 *      sequences of lower priority.
 * The first in rank always makes progress, so everything ends. */
#ifndef ENGINE_SCHED_H
#define ENGINE_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/cost.h"

#define SCHED_ROWS_EFFICIENT 64
#define SCHED_AIM            0.65 /* of the budget: steps scatter, and the longest of them is what a reader notices */
#define SCHED_IDLE_BUDGETS   10
#define SCHED_BATCH_MAX      256 /* upper bound of batch_max */

struct sched_seq {
    int32_t priority;      /* 0 first */
    bool is_running;       /* it holds pages */
    bool is_paused;        /* running, but its reader is behind */
    bool must_wait;        /* waiting, and better off so: what it needs is being computed by another */
    int64_t n_ctx;         /* tokens in the cache; waiting: those the prefix tree would give */
    int32_t n_pending;     /* known tokens that are not; at least 1 */
    int32_t n_draft;       /* guesses behind them (decoding only) */
    int32_t n_pages;       /* pages held; waiting: pages the prefix tree would give */
    int32_t n_given;       /* running: pages that become available when it is preempted;
                            * waiting: pages of n_pages that are available now, and would not be then */
    bool wants_all_logits; /* of every row, not only of the last */
    bool wants_no_logits;  /* hidden state instead */
};

struct sched_limits {
    int32_t page_tokens;
    int32_t pages_available;
    int32_t batch_max;   /* running sequences */
    int32_t rows_max;    /* rows of one step; at least batch_max */
    int32_t outputs_max; /* of them, rows whose logits are wanted; at least batch_max */
    double budget_us;
};

struct sched_item {
    int32_t seq;      /* index into the view */
    int32_t n_rows;   /* tokens computed now, drafts not counted */
    int32_t n_draft;  /* drafts computed now */
    bool is_admitted; /* was waiting */
};

struct sched_plan {
    struct sched_item *items; /* room for batch_max */
    int32_t n_items;
    int32_t *preempt; /* indexes into the view, to be carried out first; room for all */
    int32_t n_preempt;
    struct cost_step cost; /* of the step, for cost_learn */
};

/* seqs[n_seqs] is sorted by rank.  plan->items and plan->preempt are the caller's. */
void sched_plan_step(struct sched_plan *plan, const struct sched_seq *seqs, int32_t n_seqs,
                     const struct sched_limits *limits, const struct cost *cost);

#endif
