/* step.c - One step of continuous batching: view, plan, pages, compute, results.
 *
 * Start reading at engine_step().  Nothing here allocates. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine_int.h"
#include "engine/ensure.h"

#define WAITING_LOOKED_AT 8 /* waiting sequences that a step considers for admission */
#define PART_MIN          4 /* tokens of a page that are worth copying it */

/* ---- telling ---- */

static struct sluice_event new_event(enum sluice_event_kind kind)
{
    return (struct sluice_event){.struct_bytes = sizeof(struct sluice_event),
                                 .kind = kind,
                                 .text = "",
                                 .stop_idx = -1,
                                 .stop_token = -1};
}

static void tell_start(struct seq *s)
{
    struct sluice_event ev = new_event(SLUICE_EVENT_START);
    ev.usage = s->usage;
    stream_send(s->stream, &ev);
}

static void tell_piece(struct seq *s, const struct emit_piece *piece)
{
    if (piece->text.n == 0 && piece->n_tokens == 0)
        return;
    struct sluice_event ev = new_event(SLUICE_EVENT_TEXT);
    ev.text = piece->text.p;
    ev.text_bytes = piece->text.n;
    ev.tokens = piece->tokens;
    ev.n_tokens = (size_t)piece->n_tokens;
    stream_send(s->stream, &ev);
}

static uint64_t us_between(int64_t from_ns, int64_t to_ns)
{
    return from_ns > 0 && to_ns > from_ns ? (uint64_t)((to_ns - from_ns) / NS_PER_US) : 0;
}

static void tell_done(struct seq *s, const struct engine_end *end)
{
    struct sluice_event ev = new_event(SLUICE_EVENT_DONE);
    ev.usage = s->usage;
    int64_t now_ns = clock_now_ns();
    ev.timings.queue_us = us_between(s->submitted_ns, s->started_ns ? s->started_ns : now_ns);
    ev.timings.prompt_us = us_between(s->started_ns, s->first_ns ? s->first_ns : now_ns);
    ev.timings.generate_us = us_between(s->first_ns, s->last_ns);
    ev.finish = end->finish;
    ev.stop_idx = end->stop_idx;
    ev.stop = end->stop_idx >= 0 ? s->stops[end->stop_idx].p : NULL;
    ev.stop_token = end->stop_token;
    ev.error_code = end->error_code;
    ev.error_text = end->error_text;
    stream_send(s->stream, &ev);
}

static void tell_vector(struct seq *s, const float *vector)
{
    struct sluice_event ev = new_event(SLUICE_EVENT_VECTOR);
    ev.vector = vector;
    ev.n_vector = (size_t)s->pool.n_out;
    stream_send(s->stream, &ev);
}

/* ---- pages ---- */

/* Texts whose vectors cannot begin with pages of the tree leave none there: many of them would push out what
 * conversations will want again. */
static bool leaves_pages(const struct engine *e, const struct seq *s)
{
    return e->options.use_prefix && (s->use_prefix || !s->wants_vector);
}

/* Give full pages to the prefix tree, which may hand back equal ones that it knows already. */
static void keep_full_pages(struct engine *e, struct seq *s)
{
    if (!leaves_pages(e, s))
        return;
    int32_t page_tokens = e->kv.page_tokens, n_full = (int32_t)(s->n_ctx / page_tokens);
    for (; s->n_kept < n_full; s->n_kept++) {
        int32_t i = s->n_kept, n_nodes = e->prefix.n_nodes;
        s->pages[i] = prefix_insert(&e->prefix, i > 0 ? s->pages[i - 1] : KV_NONE,
                                    s->tokens + (int64_t)i * page_tokens, s->pages[i]);
        if (e->prefix.n_nodes > n_nodes)
            disk_note(e->disk, s->pages[i]);
    }
}

static void release_pages(struct engine *e, struct seq *s)
{
    /* Last page first: a page is idle only after those behind it. */
    for (int32_t i = s->n_pages - 1; i >= 0; i--)
        prefix_release(&e->prefix, s->pages[i]);
    s->n_pages = s->n_kept = 0;
    s->n_ctx = 0;
    s->n_draft = 0;
    s->is_running = false;
    s->disk = SEQ_DISK_UNASKED;
    if (e->draft)
        spec_model_forget(e->draft, s);
}

/* Pages for the first n_tokens positions.  The plan has seen to it that there are enough. */
static void reserve_pages(struct engine *e, struct seq *s, int64_t n_tokens)
{
    int32_t wanted = kv_pages_for(&e->kv, n_tokens);
    if (wanted <= s->n_pages)
        return;
    ensure(prefix_evict(&e->prefix, wanted - s->n_pages));
    while (s->n_pages < wanted)
        s->pages[s->n_pages++] = kv_take(&e->kv);
}

void engine_finish(struct engine *e, struct seq *s, struct engine_end end)
{
    if (end.stop_idx < 0) {
        struct emit_piece rest = emit_finish(&s->emit);
        tell_piece(s, &rest);
    }
    if (!atomic_load(&e->is_poisoned)) { /* else nobody knows what the tables mean */
        keep_full_pages(e, s);
        release_pages(e, s);
    }
    disk_forget(e->disk, s);
    int32_t at = 0;
    while (e->seqs[at] != s)
        at++;
    memmove(e->seqs + at, e->seqs + at + 1, (size_t)(e->n_seqs - at - 1) * sizeof(struct seq *));
    e->n_seqs--;
    atomic_fetch_add_explicit(&e->counts.n_requests, 1, memory_order_relaxed);
    atomic_fetch_sub(&e->n_requests, 1);
    engine_count_seqs(e); /* whoever hears of the end finds the pages given back */
    tell_done(s, &end);
    seq_free(s);
}

/* ---- the view ---- */

/* Pages that become available when a sequence gives its own back. */
static int32_t pages_given(const struct engine *e, const struct seq *s)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_pages; i++)
        n += e->kv.holders[s->pages[i]] - e->prefix.is_node[s->pages[i]] == 1;
    return n;
}

/* Is the page behind the first n_match pages of `s` being computed for somebody else, or going to be for
 * somebody in front?  Then waiting for it is cheaper than computing it twice. */
static bool is_computed_elsewhere(const struct engine *e, int32_t idx, int32_t n_match)
{
    const struct seq *s = e->seqs[idx];
    int64_t n_common = (int64_t)(n_match + 1) * e->kv.page_tokens;

    if (!s->use_prefix || n_common > s->n_tokens - 1)
        return false;
    for (int32_t i = 0; i < e->n_seqs; i++) {
        const struct seq *o = e->seqs[i];
        bool will_compute = o->is_running ? o->n_ctx < n_common : i < idx;
        if (i != idx && will_compute && leaves_pages(e, o) && o->n_tokens >= n_common &&
            stream_has_room(o->stream) && !memcmp(o->tokens, s->tokens, (size_t)n_common * sizeof *s->tokens))
            return true;
    }
    return false;
}

/* What a page of the tree shares with the first page that `s` did not find. */
static void find_part(const struct engine *e, struct seq *s, int32_t n_match)
{
    int64_t from = (int64_t)n_match * e->kv.page_tokens;
    s->part_page = prefix_find_part(&e->prefix, n_match > 0 ? s->pages[n_match - 1] : KV_NONE,
                                    s->tokens + from, s->n_tokens - 1 - from, &s->n_part);
    if (s->n_part < PART_MIN)
        s->n_part = 0;
    else
        s->part_born = e->prefix.born[s->part_page];
}

static struct sched_seq view_waiting(const struct engine *e, int32_t idx, bool is_looked_at)
{
    struct seq *s = e->seqs[idx];
    struct sched_seq v = {.priority = s->priority, .n_pending = 1, .must_wait = true};

    if (!is_looked_at || !stream_has_room(s->stream))
        return v;
    int32_t n_match = 0, n_idle = 0;
    if (s->use_prefix) /* at least one token is left to compute: its logits are wanted */
        n_match = prefix_find(&e->prefix, s->tokens, s->n_tokens - 1, s->pages, &n_idle);
    v.must_wait = is_computed_elsewhere(e, idx, n_match) || disk_must_wait(e->disk, s, n_match);
    s->n_part = 0;
    if (s->use_prefix)
        find_part(e, s, n_match);
    v.n_pages = n_match;
    v.n_given = n_idle;
    v.n_ctx = (int64_t)n_match * e->kv.page_tokens + s->n_part;
    v.n_pending = (int32_t)(s->n_tokens - v.n_ctx);
    return v;
}

static struct sched_seq view_running(const struct engine *e, int32_t idx, bool is_tight)
{
    struct seq *s = e->seqs[idx];
    return (struct sched_seq){
        .priority = s->priority,
        .is_running = true,
        .is_paused = !stream_has_room(s->stream),
        .n_ctx = s->n_ctx,
        .n_pending = (int32_t)(s->n_tokens - s->n_ctx),
        .n_draft = s->n_draft,
        .n_pages = s->n_pages,
        .n_given = is_tight ? pages_given(e, s) : 0,
    };
}

static bool wants_all_logits(const struct seq *s)
{
    return s->wants_prompt_logprobs && s->n_prompt_told < s->n_prompt;
}

static void make_view(struct engine *e)
{
    int32_t n_looked = 0, wanted = 0;

    /* What would be free after a preemption takes time to count: only when it may come to that. */
    for (int32_t i = 0; i < e->n_seqs; i++) {
        const struct seq *s = e->seqs[i];
        if (s->is_running)
            wanted += kv_pages_for(&e->kv, s->n_tokens + s->n_draft) - s->n_pages;
        else if (n_looked++ < WAITING_LOOKED_AT)
            wanted += kv_pages_for(&e->kv, s->n_tokens) + 1;
    }
    bool is_tight = wanted > prefix_available(&e->prefix) || n_looked > 0;
    n_looked = 0;
    for (int32_t i = 0; i < e->n_seqs; i++) {
        e->view[i] = e->seqs[i]->is_running ? view_running(e, i, is_tight)
                                            : view_waiting(e, i, n_looked++ < WAITING_LOOKED_AT);
        e->view[i].wants_all_logits = wants_all_logits(e->seqs[i]);
        e->view[i].wants_no_logits = e->seqs[i]->wants_vector;
    }
}

static void make_drafts(struct engine *e)
{
    struct seq *decoding[SCHED_BATCH_MAX];
    int32_t n = 0;

    if (e->options.draft_max == 0)
        return;
    bool is_on = atomic_load_explicit(&e->is_drafting, memory_order_relaxed);
    for (int32_t i = 0; i < e->n_seqs; i++) {
        struct seq *s = e->seqs[i];
        s->n_draft = 0;
        if (is_on && !s->wants_vector && s->is_running && s->n_tokens - s->n_ctx == 1 &&
            stream_has_room(s->stream))
            decoding[n++] = s;
    }
    if (n == 0)
        return;
    spec_draft(e->draft, &e->cost, decoding, n, e->options.draft_max);
    for (int32_t i = 0; i < n; i++) { /* what the grammar refuses need not be computed */
        struct seq *s = decoding[i];
        struct engine_constraint *c = s->sampler.constraint;
        if (c && s->n_draft > 0)
            s->n_draft = c->ops->follow(c, s->draft, s->n_draft);
    }
}

/* ---- carrying the plan out ---- */

static void preempt(struct engine *e, struct seq *s)
{
    keep_full_pages(e, s);
    release_pages(e, s);
    s->usage.n_preempted++;
    atomic_fetch_add_explicit(&e->counts.n_preempted, 1, memory_order_relaxed);
}

static void admit(struct engine *e, struct seq *s, int32_t n_match)
{
    for (int32_t i = 0; i < n_match; i++) /* view_waiting wrote them */
        prefix_hold(&e->prefix, s->pages[i]);
    s->n_pages = s->n_kept = n_match;
    s->n_ctx = (int64_t)n_match * e->kv.page_tokens;
    s->is_running = true;
}

/* Its pages are reserved: the part of one more page that was found is copied, if that page is still there. If
 * not, the step computes so many tokens less of this prompt. */
static void start(struct engine *e, struct seq *s)
{
    if (s->n_part > 0 && e->prefix.is_node[s->part_page] && e->prefix.born[s->part_page] == s->part_born) {
        const struct compute *c = &e->options.compute;
        c->kv_copy(c->self, (uint32_t)s->pages[s->n_kept], (uint32_t)s->part_page, (uint32_t)s->n_part);
        s->n_ctx += s->n_part;
    }
    s->n_part = 0;
    if (s->has_started)
        return;
    s->has_started = true;
    s->started_ns = clock_now_ns();
    s->usage.cached_tokens = (uint64_t)s->n_ctx;
    atomic_fetch_add_explicit(&e->counts.prompt_tokens, s->usage.prompt_tokens, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->counts.cached_tokens, s->usage.cached_tokens, memory_order_relaxed);
    tell_start(s);
}

/* The sequences of the plan's items; their places in e->seqs change while results are told. */
static struct seq *item_seq(const struct engine *e, int32_t item)
{
    return e->seqs[e->plan.items[item].seq];
}

static void take_pages(struct engine *e)
{
    for (int32_t i = 0; i < e->plan.n_preempt; i++)
        preempt(e, e->seqs[e->plan.preempt[i]]);
    /* All admitted sequences hold what they found before anybody's need can evict it. */
    for (int32_t i = 0; i < e->plan.n_items; i++)
        if (e->plan.items[i].is_admitted)
            admit(e, item_seq(e, i), e->view[e->plan.items[i].seq].n_pages);
    for (int32_t i = 0; i < e->plan.n_items; i++) {
        const struct sched_item *item = &e->plan.items[i];
        struct seq *s = item_seq(e, i);
        int64_t n_tokens = item->is_admitted ? s->n_tokens : s->n_ctx + item->n_rows + item->n_draft;
        reserve_pages(e, s, n_tokens);
        if (item->is_admitted)
            start(e, s);
    }
}

/* Does the item compute the last known token, so that the next can be sampled? */
static bool is_sampling(const struct seq *s, const struct sched_item *item)
{
    return s->n_ctx + item->n_rows == s->n_tokens && s->n_tokens < s->tokens_max;
}

static uint32_t wanted_of(const struct seq *s, const struct sched_item *item, int32_t row)
{
    if (s->wants_vector)
        return pool_wants(&s->pool, s->n_ctx + row) ? MODEL_WANT_HIDDEN : MODEL_WANT_NOTHING;
    bool is_wanted = wants_all_logits(s) || (is_sampling(s, item) && row >= item->n_rows - 1);
    return is_wanted ? MODEL_WANT_LOGITS : MODEL_WANT_NOTHING;
}

static struct model_batch make_batch(struct engine *e)
{
    uint32_t n_rows = 0;

    for (int32_t i = 0; i < e->plan.n_items; i++) {
        const struct sched_item *item = &e->plan.items[i];
        const struct seq *s = item_seq(e, i);
        int32_t n = item->n_rows + item->n_draft;
        for (int32_t r = 0; r < n; r++) {
            e->rows[n_rows++] = (struct model_row){
                .token = r < item->n_rows ? s->tokens[s->n_ctx + r] : s->draft[r - item->n_rows],
                .pos = (uint32_t)(s->n_ctx + r),
                .seq = (uint32_t)i,
                .want = wanted_of(s, item, r),
            };
        }
        e->batch_seqs[i] = (struct model_seq){(const uint32_t *)s->pages, (uint32_t)s->n_pages};
    }
    return (struct model_batch){e->rows, n_rows, e->batch_seqs, (uint32_t)e->plan.n_items};
}

/* ---- results ---- */

static void tell_prompt_tokens(struct seq *s, int32_t n)
{
    struct sluice_token tokens[SEQ_PROMPT_EVENT_TOKENS];
    struct sluice_event ev = new_event(SLUICE_EVENT_PROMPT);

    for (int32_t i = 0; i < n; i++) {
        struct sampled *p = &s->prompt_logprobs[i];
        struct str bytes = emit_token_text(s->emit.tokenizer, p->token, true);
        tokens[i] = (struct sluice_token){p->token, p->logprob, bytes.n ? bytes.p : "",
                                          bytes.n,  p->top,     (size_t)p->n_top};
    }
    ev.tokens = tokens;
    ev.n_tokens = (size_t)n;
    if (n > 0)
        stream_send(s->stream, &ev);
}

/* Logits of prompt rows n_ctx .. n_ctx + n_rows - 1, from output `out` on: row p tells about token p + 1. */
static void tell_prompt(struct engine *e, struct seq *s, int32_t n_rows, uint32_t out)
{
    int32_t n = 0;
    if (s->n_prompt_told == 0) {
        s->prompt_logprobs[n++] = (struct sampled){.token = s->tokens[0], .logprob = NAN};
        s->n_prompt_told = 1;
    }
    for (int32_t r = 0; r < n_rows; r++) {
        int64_t p = s->n_ctx + r + 1;
        if (p < s->n_prompt_told || p >= s->n_prompt)
            continue;
        sample_logprobs(&e->work, e->options.compute.logits(e->options.compute.self, out + (uint32_t)r),
                        e->limits.n_vocab, s->tokens[p], s->sampler.n_logprobs, &s->prompt_logprobs[n++]);
        s->n_prompt_told = p + 1;
        if (n == SEQ_PROMPT_EVENT_TOKENS) {
            tell_prompt_tokens(s, n);
            n = 0;
        }
    }
    tell_prompt_tokens(s, n);
}

/* A sampled token joins the sequence.  False: that was the end, and the sequence is gone. */
static bool take_token(struct engine *e, struct seq *s, const struct sampled *sampled)
{
    int32_t token = sampled->token;
    struct engine_constraint *c = s->sampler.constraint;

    if (c && !c->ops->accept(c, token)) {
        engine_finish(e, s,
                      (struct engine_end){SLUICE_FINISH_ERROR, -1, -1, ERR_LIMIT,
                                          "the grammar has too many readings to be followed"});
        return false;
    }
    seq_add(s, token);
    s->last_ns = clock_now_ns();
    if (s->first_ns == 0)
        s->first_ns = s->last_ns;
    atomic_fetch_add_explicit(&e->counts.generated_tokens, 1, memory_order_relaxed);

    if (seq_is_stop_token(s, token)) {
        engine_finish(e, s, (struct engine_end){SLUICE_FINISH_STOP, -1, token, 0, NULL});
        return false;
    }
    if (seq_is_end(s, e->options.tokenizer, token) || (c && tokenizer_is_eog(e->options.tokenizer, token))) {
        engine_finish(e, s, (struct engine_end){SLUICE_FINISH_END, -1, token, 0, NULL});
        return false;
    }
    struct emit_piece piece = emit_push(&s->emit, sampled, seq_n_answer(s) >= s->min_tokens);
    tell_piece(s, &piece);
    if (piece.stop >= 0) {
        engine_finish(e, s, (struct engine_end){SLUICE_FINISH_STOP, piece.stop, -1, 0, NULL});
        return false;
    }
    if (s->n_tokens == s->tokens_max) {
        engine_finish(e, s, (struct engine_end){SLUICE_FINISH_LENGTH, -1, -1, 0, NULL});
        return false;
    }
    if (c && c->ops->is_done(c)) { /* the end token would say nothing more */
        engine_finish(e, s, (struct engine_end){SLUICE_FINISH_END, -1, -1, 0, NULL});
        return false;
    }
    return true;
}

/* Take tokens that are the only ones possible, without asking the model: the next step computes
 * them together.  False: the sequence is gone. */
static bool take_forced(struct engine *e, struct seq *s, int32_t n_max)
{
    struct engine_constraint *c = s->sampler.constraint;
    if (!c || s->sampler.n_logprobs >= 0 || s->sampler.n_bias > 0)
        return true;
    for (int32_t i = 0; i < n_max; i++) {
        int32_t token = c->ops->only(c);
        if (token < 0 || token >= e->limits.n_vocab)
            return true;
        struct sampled sampled = {.token = token, .logprob = NAN};
        if (!take_token(e, s, &sampled))
            return false;
    }
    return true;
}

static void fail_sampling(struct engine *e, struct seq *s)
{
    const char *why = s->sampler.constraint ? "the grammar, logit_bias and min_tokens together allow no token"
                                            : "no token is possible: the model's logits are not numbers, or "
                                              "logit_bias and min_tokens forbid all";
    engine_finish(e, s, (struct engine_end){SLUICE_FINISH_ERROR, -1, -1, ERR_ARG, why});
}

/* Sample behind the last known token, and go on as long as guesses turn out right. */
static void sample_tokens(struct engine *e, struct seq *s, int32_t n_draft, uint32_t out)
{
    const struct compute *c = &e->options.compute;

    for (int32_t j = 0; j <= n_draft; j++) {
        struct sampled sampled;
        bool is_too_short = seq_n_answer(s) < s->min_tokens;
        sampler_choose(&s->sampler, &e->work, c->logits(c->self, out + (uint32_t)j), e->limits.n_vocab,
                       s->n_tokens, s->ends, is_too_short ? s->n_ends : 0, &sampled);
        if (sampled.token == PICK_NONE) {
            fail_sampling(e, s);
            return;
        }
        bool is_guessed = j < n_draft && s->draft[j] == sampled.token;
        if (j < n_draft)
            spec_learn(s, is_guessed);
        if (is_guessed) {
            s->usage.draft_accepted++;
            atomic_fetch_add_explicit(&e->counts.draft_accepted, 1, memory_order_relaxed);
        }
        if (!take_token(e, s, &sampled))
            return;
        if (!is_guessed) {
            take_forced(e, s, SEQ_DRAFT_MAX - j);
            return;
        }
        s->n_ctx++;
    }
}

/* The hidden states of an item's rows, from the i-th of the step on; returns how many there were. */
static uint32_t take_hidden(struct engine *e, struct seq *s, const struct sched_item *item, uint32_t i)
{
    const struct compute *c = &e->options.compute;
    uint32_t n = 0;
    for (int32_t r = 0; s->wants_vector && r < item->n_rows; r++)
        if (pool_wants(&s->pool, s->n_ctx + r))
            pool_add(&s->pool, s->n_ctx + r, c->hidden(c->self, i + n++));
    return n;
}

static void end_vector(struct engine *e, struct seq *s)
{
    const float *vector = pool_finish(&s->pool);
    if (!vector) {
        engine_finish(e, s,
                      (struct engine_end){SLUICE_FINISH_ERROR, -1, -1, ERR_FORMAT,
                                          "the model's hidden state of this text is not a number"});
        return;
    }
    s->first_ns = s->last_ns = clock_now_ns();
    tell_vector(s, vector);
    engine_finish(e, s, (struct engine_end){SLUICE_FINISH_END, -1, -1, 0, NULL});
}

static void take_result(struct engine *e, struct seq *s, const struct sched_item *item, uint32_t out)
{
    bool samples = is_sampling(s, item), all = wants_all_logits(s);

    if (all)
        tell_prompt(e, s, item->n_rows, out);
    s->n_ctx += item->n_rows;
    keep_full_pages(e, s);
    s->usage.draft_tokens += (uint64_t)item->n_draft;
    atomic_fetch_add_explicit(&e->counts.draft_tokens, (uint64_t)item->n_draft, memory_order_relaxed);
    if (samples)
        sample_tokens(e, s, item->n_draft, all ? out + (uint32_t)item->n_rows - 1 : out);
    else if (s->wants_vector && s->n_ctx == s->n_prompt)
        end_vector(e, s);
    else if (s->n_ctx == s->tokens_max) /* max_tokens 0 */
        engine_finish(e, s, (struct engine_end){SLUICE_FINISH_LENGTH, -1, -1, 0, NULL});
}

/* Outputs that an item asked for. */
static uint32_t n_outputs(const struct seq *s, const struct sched_item *item)
{
    if (wants_all_logits(s))
        return (uint32_t)(item->n_rows + item->n_draft);
    return is_sampling(s, item) ? 1 + (uint32_t)item->n_draft : 0;
}

static void take_results(struct engine *e)
{
    struct seq *seqs[SCHED_BATCH_MAX];
    uint32_t outs[SCHED_BATCH_MAX], out = 0, hidden = 0;
    const int32_t n = e->plan.n_items;

    for (int32_t i = 0; i < n; i++) {
        seqs[i] = item_seq(e, i);
        outs[i] = out;
        out += n_outputs(seqs[i], &e->plan.items[i]);
        hidden += take_hidden(e, seqs[i], &e->plan.items[i], hidden);
    }
    for (int32_t i = 0; i < n; i++)
        take_result(e, seqs[i], &e->plan.items[i], outs[i]);
}

/* The step could not be computed: its requests fail, the others go on. */
static void fail_batch(struct engine *e, const struct err *err)
{
    struct seq *seqs[SCHED_BATCH_MAX];
    const int32_t n = e->plan.n_items;
    for (int32_t i = 0; i < n; i++)
        seqs[i] = item_seq(e, i);
    for (int32_t i = 0; i < n; i++)
        engine_finish(e, seqs[i], (struct engine_end){SLUICE_FINISH_ERROR, -1, -1, err->code, err->text});
}

/* What the step's guesses were good for. */
static void count_gain(struct engine *e, uint64_t n_right_before, double guess_us)
{
    int64_t n_drafts = 0;
    int32_t n_streams = 0;
    for (int32_t i = 0; i < e->plan.n_items; i++) {
        n_drafts += e->plan.items[i].n_draft;
        n_streams += e->plan.items[i].n_rows == 1;
    }
    if (n_drafts == 0 && guess_us < 1)
        return;
    uint64_t n_right = atomic_load(&e->counts.draft_accepted) - n_right_before;
    double us = spec_saved_us(&e->cost, e->plan.cost, n_streams, n_drafts, (int64_t)n_right, guess_us);
    atomic_fetch_add_explicit(&e->counts.draft_saved_us, (int64_t)us, memory_order_relaxed);
}

bool engine_step(struct engine *e)
{
    if (e->n_seqs == 0 || atomic_load(&e->is_poisoned))
        return false;
    int64_t begin_ns = clock_now_ns();
    const struct compute *c = &e->options.compute;
    struct sched_limits limits = {
        .page_tokens = e->kv.page_tokens,
        .pages_available = prefix_available(&e->prefix),
        .batch_max = e->options.max_batch,
        .rows_max = c->rows_max,
        .outputs_max = c->outputs_max,
        .budget_us = e->options.step_budget_us,
    };
    make_drafts(e);
    int64_t drafted_ns = clock_now_ns();
    make_view(e);
    sched_plan_step(&e->plan, e->view, e->n_seqs, &limits, &e->cost);
    if (e->plan.n_items == 0 && e->plan.n_preempt == 0)
        return false;
    take_pages(e);
    if (e->plan.n_items == 0)
        return true;

    struct err err;
    uint64_t n_right = atomic_load(&e->counts.draft_accepted);
    struct model_batch batch = make_batch(e);
    int rc = c->step(c->self, &batch, &err);
    if (rc == OK)
        take_results(e);
    else
        fail_batch(e, &err);
    /* A step's cost is without its guesses: what these cost is known by itself (spec_model_round_us). */
    double guess_us = (double)(drafted_ns - begin_ns) / NS_PER_US;
    double us = (double)(clock_now_ns() - drafted_ns) / NS_PER_US;
    cost_learn(&e->cost, e->plan.cost, us);
    count_gain(e, n_right, guess_us);
    atomic_fetch_add_explicit(&e->counts.n_steps, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->counts.busy_us, (uint64_t)(us + guess_us), memory_order_relaxed);
    return true;
}
