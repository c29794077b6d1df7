/* engine.c - The life of an engine: its thread, the inbox of requests, numbers for others.
 *
 * Start reading at engine_turn(). */
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc_guard.h"
#include "base/sys.h"
#include "engine/engine_int.h"
#include "engine/ensure.h"

/* ---- requests come in ---- */

int engine_submit(struct engine *e, const struct sluice_request *rq, const int32_t *tokens, size_t n_tokens,
                  struct sluice_stream **stream, struct err *err)
{
    struct seq *s;

    if (atomic_load(&e->is_poisoned))
        return fail(err, ERR_STATE, "the engine has stopped because of a fault of its own");
    if (atomic_load(&e->is_stopping))
        return fail(err, ERR_STATE, "the engine is being closed");
    int rc = seq_create(&s, &e->limits, e->home, rq, tokens, n_tokens, err);
    if (rc != OK)
        return rc;
    if (atomic_fetch_add(&e->n_requests, 1) >= e->options.max_queue) {
        atomic_fetch_sub(&e->n_requests, 1);
        stream_release(s->stream); /* the asker's share, who never sees it */
        seq_free(s);
        return fail(err, ERR_BUSY, "%d requests are waiting or running, which is the limit",
                    e->options.max_queue);
    }
    *stream = s->stream; /* before the engine can say anything on it */
    s->next = atomic_load(&e->inbox);
    while (!atomic_compare_exchange_weak(&e->inbox, &s->next, s))
        ;
    gate_open(&e->home->work);
    return OK;
}

static bool ranks_before(const struct seq *a, const struct seq *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->arrival < b->arrival;
}

static void add_in_rank(struct engine *e, struct seq *s)
{
    int32_t at = e->n_seqs++;
    ensure(e->n_seqs <= e->options.max_queue);
    for (; at > 0 && ranks_before(s, e->seqs[at - 1]); at--)
        e->seqs[at] = e->seqs[at - 1];
    e->seqs[at] = s;
}

static bool take_inbox(struct engine *e)
{
    struct seq *newest = atomic_exchange(&e->inbox, NULL), *oldest = NULL;
    while (newest) { /* turn the list round */
        struct seq *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    for (struct seq *next; oldest; oldest = next) {
        next = oldest->next;
        oldest->arrival = ++e->n_arrivals;
        add_in_rank(e, oldest);
    }
    return any;
}

static bool drop_cancelled(struct engine *e)
{
    bool any = false;
    for (int32_t i = e->n_seqs - 1; i >= 0; i--)
        if (atomic_load(&e->seqs[i]->stream->is_cancelled)) {
            engine_finish(e, e->seqs[i], (struct engine_end){SLUICE_FINISH_CANCELLED, -1, -1, 0, NULL});
            any = true;
        }
    return any;
}

static void end_all(struct engine *e, struct engine_end end)
{
    while (e->n_seqs > 0)
        engine_finish(e, e->seqs[e->n_seqs - 1], end);
}

/* ---- the thread ---- */

static bool turn(struct engine *e)
{
    bool any = take_inbox(e);
    any |= drop_cancelled(e);
    if (atomic_load(&e->is_poisoned))
        end_all(e, (struct engine_end){SLUICE_FINISH_ERROR, -1, -1, ERR_STATE,
                                       "the engine has stopped because of a fault of its own"});
    if (!atomic_load(&e->is_poisoned))
        any |= disk_turn(e->disk);
    any |= engine_step(e);
    engine_count_seqs(e);
    return any;
}

bool engine_turn(struct engine *e)
{
    jmp_buf here;
    volatile bool any = true;
    bool was_guarded = alloc_guard_set(true); /* the token loop allocates nothing */

    if (setjmp(here) == 0) {
        ensure_catch(&here);
        any = turn(e);
    } else {
        atomic_store(&e->is_poisoned, true);
    }
    ensure_catch(NULL);
    alloc_guard_set(was_guarded);
    return any;
}

/* Whoever is still there is told that it is over; if that fails, without looking at pages. */
static void last_turn(struct engine *e)
{
    jmp_buf here;

    if (setjmp(here) != 0)
        atomic_store(&e->is_poisoned, true);
    ensure_catch(atomic_load(&e->is_poisoned) ? NULL : &here);
    take_inbox(e);
    end_all(e, (struct engine_end){SLUICE_FINISH_CANCELLED, -1, -1, 0, NULL});
    if (!atomic_load(&e->is_poisoned))
        disk_flush(e->disk);
    ensure_catch(NULL);
}

static void *engine_main(void *arg)
{
    struct engine *e = arg;
    stream_home_enter(e->home);
    while (!atomic_load(&e->is_stopping)) {
        uint32_t ticket = gate_ticket(&e->home->work);
        if (!engine_turn(e))
            gate_wait(&e->home->work, ticket, -1);
    }
    last_turn(e);
    return NULL;
}

static int start_thread(struct engine *e, struct err *err)
{
    int rc = sys_start_thread(&e->thread, engine_main, e);
    if (rc != 0)
        return fail_errno(err, rc, "the engine thread cannot be started");
    e->has_thread = true;
    return OK;
}

/* ---- life ---- */

static int take_memory(struct engine *e, struct err *err)
{
    const struct compute *c = &e->options.compute;
    int rc;

    if ((rc = kv_init(&e->kv, c->n_pages, c->page_tokens, err)) != OK ||
        (rc = prefix_init(&e->prefix, &e->kv, err)) != OK ||
        (rc = sample_work_init(&e->work, logits_ops_for(c->isa), c->n_vocab, err)) != OK)
        return rc;
    size_t n_queue = (size_t)e->options.max_queue, n_batch = (size_t)e->options.max_batch;
    e->seqs = calloc(n_queue, sizeof(struct seq *));
    e->view = calloc(n_queue, sizeof *e->view);
    e->plan.preempt = calloc(n_queue, sizeof *e->plan.preempt);
    e->plan.items = calloc(n_batch, sizeof *e->plan.items);
    e->batch_seqs = calloc(n_batch, sizeof *e->batch_seqs);
    e->rows = calloc((size_t)c->rows_max, sizeof *e->rows);
    e->home = stream_home_create();
    if (!e->seqs || !e->view || !e->plan.preempt || !e->plan.items || !e->batch_seqs || !e->rows || !e->home)
        return fail(err, ERR_NOMEM, "no memory for the engine's tables");
    if (e->options.kv_cache_dir && e->options.use_prefix &&
        (rc = disk_create(&e->disk, c, &e->prefix, e->options.kv_cache_dir, e->options.kv_cache_bytes,
                          &e->home->work, err)) != OK)
        return rc;
    if (e->options.draft && e->options.draft_max > 0)
        return spec_model_create(&e->draft, e->options.draft, e->options.max_batch, err);
    return OK;
}

int engine_create(struct engine **out, const struct engine_options *o, struct err *err)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return fail(err, ERR_NOMEM, "no memory for the engine");
    ensure(o->max_batch > 0 && o->max_batch <= o->compute.outputs_max && o->max_queue > 0);
    ensure(o->max_batch <= o->compute.rows_max && o->draft_max <= SEQ_DRAFT_MAX);
    e->options = *o;
    e->is_drafting = true;
    e->limits = (struct seq_limits){
        .tokenizer = o->tokenizer,
        .token_bytes_max = emit_token_bytes_max(o->tokenizer),
        .n_vocab = o->compute.n_vocab,
        .n_ctx = o->compute.n_ctx,
        .kv_tokens = (int64_t)o->compute.n_pages * o->compute.page_tokens,
        .page_tokens = o->compute.page_tokens,
        .use_prefix = o->use_prefix,
        .n_embd = o->compute.n_embd,
        .pooling = o->compute.pooling,
    };
    int rc = take_memory(e, err);
    if (rc == OK && !o->hold)
        rc = start_thread(e, err);
    if (rc != OK) {
        engine_free(e);
        return rc;
    }
    *out = e;
    return OK;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    if (e->home) {
        atomic_store(&e->is_stopping, true);
        gate_open(&e->home->work);
        /* In a forked child the thread does not exist, and its memory is in an unknown state. */
        if (e->has_thread && e->home->pid != getpid())
            return;
        if (e->has_thread)
            pthread_join(e->thread, NULL);
        else
            engine_main(e);
    }
    disk_free(e->disk);
    spec_model_free(e->draft);
    sample_work_deinit(&e->work);
    prefix_deinit(&e->prefix);
    kv_deinit(&e->kv);
    free(e->seqs);
    free(e->view);
    free(e->plan.preempt);
    free(e->plan.items);
    free(e->batch_seqs);
    free(e->rows);
    stream_home_release(e->home);
    free(e);
}

/* ---- numbers ---- */

void engine_count_seqs(struct engine *e)
{
    int32_t n_running = 0;
    for (int32_t i = 0; i < e->n_seqs; i++)
        n_running += e->seqs[i]->is_running;
    atomic_store_explicit(&e->counts.n_running, n_running, memory_order_relaxed);
    atomic_store_explicit(&e->counts.n_waiting, e->n_seqs - n_running, memory_order_relaxed);
    atomic_store_explicit(&e->counts.pages_cached, e->prefix.n_idle, memory_order_relaxed);
    atomic_store_explicit(&e->counts.pages_used, e->kv.n_pages - e->kv.n_free - e->prefix.n_idle,
                          memory_order_relaxed);
}

void engine_get_stats(struct engine *e, struct sluice_stats *s)
{
    struct engine_counts *c = &e->counts;
    s->context = e->limits.n_ctx;
    s->n_waiting = c->n_waiting;
    s->n_running = c->n_running;
    s->kv_page_tokens = e->limits.page_tokens;
    s->kv_pages = e->options.compute.n_pages;
    s->kv_pages_used = c->pages_used;
    s->kv_pages_cached = c->pages_cached;
    s->n_steps = c->n_steps;
    s->n_requests = c->n_requests;
    s->prompt_tokens = c->prompt_tokens;
    s->cached_tokens = c->cached_tokens;
    s->generated_tokens = c->generated_tokens;
    s->draft_tokens = c->draft_tokens;
    s->draft_accepted = c->draft_accepted;
    s->n_preempted = c->n_preempted;
    s->busy_us = c->busy_us;
    s->draft_saved_us = c->draft_saved_us;
    disk_get_stats(e->disk, s);
}

void engine_set_drafting(struct engine *e, bool is_on)
{
    atomic_store(&e->is_drafting, is_on);
}

bool engine_pages_are_whole(const struct engine *e)
{
    int32_t n_held = 0;
    for (int32_t i = 0; i < e->kv.n_pages; i++)
        n_held += e->kv.holders[i];
    return n_held == e->prefix.n_idle && e->prefix.n_nodes == e->prefix.n_idle &&
           e->kv.n_free + e->prefix.n_idle == e->kv.n_pages;
}
