/* engine_int.h - The state of an engine, shared by engine.c (life, requests) and step.c (steps). */
#ifndef ENGINE_ENGINE_INT_H
#define ENGINE_ENGINE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/cost.h"
#include "engine/disk.h"
#include "engine/engine.h"
#include "engine/kv.h"
#include "engine/prefix.h"
#include "engine/sched.h"
#include "engine/spec.h"

/* What engine_get_stats tells, written by the engine thread after each step. */
struct engine_counts {
    _Atomic int32_t n_waiting, n_running, pages_used, pages_cached;
    _Atomic uint64_t n_steps, n_requests, prompt_tokens, cached_tokens, generated_tokens;
    _Atomic uint64_t draft_tokens, draft_accepted, n_preempted, busy_us;
    _Atomic int64_t draft_saved_us;
};

struct engine {
    struct engine_options options; /* constant */
    struct seq_limits limits;      /* constant */
    struct stream_home *home;      /* any thread: its gate */
    _Atomic(struct seq *) inbox;   /* any thread: newest first */
    _Atomic int32_t n_requests;    /* any thread: in the inbox or in seqs */
    _Atomic bool is_stopping, is_poisoned, is_drafting;
    struct engine_counts counts;
    pthread_t thread;
    bool has_thread;

    struct kv kv;
    struct prefix prefix;
    struct disk *disk; /* NULL: off */
    struct cost cost;
    struct sample_work work;
    struct spec_model *draft; /* NULL: guesses come from the text itself */
    uint64_t n_arrivals;

    struct seq **seqs; /* in rank order: priority, then arrival */
    int32_t n_seqs;    /* at most max_queue */

    /* Work memory of a step. */
    struct sched_seq *view;
    struct sched_plan plan;
    struct model_row *rows;
    struct model_seq *batch_seqs;
};

/* Bring the counts of sequences and pages up to date. */
void engine_count_seqs(struct engine *e);

/* step.c */

/* One step, if there is anything to compute. */
bool engine_step(struct engine *e);
/* Tell the end of a request and forget it: it leaves e->seqs. */
struct engine_end {
    enum sluice_finish finish;
    int32_t stop_idx;   /* -1: none */
    int32_t stop_token; /* -1: none */
    int error_code;
    const char *error_text;
};
void engine_finish(struct engine *e, struct seq *s, struct engine_end end);

#endif
