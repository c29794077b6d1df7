/* attempt.c - One target after the other, each several times, until one answers.
 *
 * What a failure means decides what follows (wire facts, section 8):
 *   the client's fault             answered as it is, nobody else is asked
 *   a dead or limited key          the next key of the provider, at once
 *   server error, broken, timeout  the same target again after a pause, then the next one
 *   overloaded provider, 403, 404  the next target at once
 *   prompt too long                a target with a larger context
 * Pauses are exponential with full jitter and never shorter than what Retry-After says.  Once
 * content was shown, nothing is tried again. */
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/account.h"
#include "gateway/observe.h"
#include "gateway/resume.h"
#include "gateway/validate.h"

#define BACKOFF_FIRST_MS    200
#define BACKOFF_MAX_MS      8000
#define RETRY_AFTER_MAX_MS  20000 /* a longer wait is not worth holding a client for */
#define KEY_UNPARK_SLACK_MS 5     /* behind the moment at which a limited key may be used again */
#define BUSY_POLL_MS        20
#define OVERLOAD_PAUSE_NS   (2 * NS_PER_S)

static const struct config_provider *provider_of(const struct gw_request *r, const struct config_target *t)
{
    return &r->config->providers[t->provider_idx];
}

static void next_target(struct gw_request *r)
{
    r->at_route++;
    r->n_tried = r->n_keys_tried = 0;
    r->keys_refused = 0;
}

/* ---- starting ---- */

static void prepare(struct gw_request *r, const struct config_target *t)
{
    r->target = t;
    r->has_error = false;
    r->is_invalid = false;
    r->is_held = validate_begin(r);
    r->is_withheld = false;
    r->has_lost_collection = r->is_resumed; /* not what one target would have said: never kept */
    r->has_start = false;
    r->is_raw = false;
    r->n_finished = 0;
    r->first_content_ms = 0;
    chat_collector_free(r->collector); /* of a whole answer that broke */
    r->collector = NULL;
    r->usage = (struct token_account){0};
    r->produced_bytes = r->checkpointed_bytes = 0;
    buf_clear(&r->raw);
    buf_clear(&r->dropped);
    r->attempt_ms = loop_now_ms(r->thread->loop);
}

enum begin { BEGUN, PASSED_OVER, BUSY, REFUSED };

static enum begin begin_target(struct gw_request *r, const struct config_target *t, int64_t *wait_ms)
{
    const struct config_provider *p = provider_of(r, t);
    bool is_local = str_eq(p->kind, S("local"));
    struct health *h = health_of(r->gw->health, t->provider, t->model);
    if (!h)
        return BUSY;
    enum health_leave leave = health_begin(h, &p->breaker, p->max_concurrency, clock_now_ns(), wait_ms);
    if (!leave)
        return BUSY;
    prepare(r, t);
    r->target_health = h;
    const struct upstream *up = is_local ? &upstream_local : &upstream_hosted;
    struct chat_error e = {.retry_after_ms = -1};
    r->upstream = up;
    if (up->start(r, t, &e) == OK) {
        r->health = h;
        r->is_probe = leave == HEALTH_PROBE;
        r->n_attempts++;
        r->n_tried++;
        return BEGUN;
    }
    r->upstream = NULL;
    health_end(h, &p->breaker, leave == HEALTH_PROBE, false, false, clock_now_ns());
    if (e.kind == CHAT_ERR_RATE_LIMIT) { /* all keys are parked */
        *wait_ms = e.retry_after_ms;
        r->n_rate_limited++;
        r->n_failed++;
        if (e.retry_after_ms >= 0 && (r->retry_after_ms < 0 || e.retry_after_ms < r->retry_after_ms))
            r->retry_after_ms = e.retry_after_ms;
        r->error = e;
        return PASSED_OVER;
    }
    r->lack = e;
    return e.kind == CHAT_ERR_INVALID ? REFUSED : PASSED_OVER;
}

/* ---- nobody is left ---- */

static void final_error(struct gw_request *r, struct chat_error *e)
{
    if (r->n_failed > 0 && r->n_rate_limited == r->n_failed) {
        chat_error_set(e, CHAT_ERR_RATE_LIMIT, NULL, "every target of '%.*s' is rate-limited",
                       STR(r->model->name));
        e->retry_after_ms = r->retry_after_ms >= 0 ? r->retry_after_ms : 1000;
    } else if (r->n_failed > 0) {
        *e = r->error;
        enum chat_error_kind kind =
            r->error.kind == CHAT_ERR_TIMEOUT ? CHAT_ERR_TIMEOUT : CHAT_ERR_BAD_ANSWER;
        const char *what = r->n_route == 1         ? ""
                           : r->has_stopped_asking ? ", and no other target was to be asked"
                                                   : " as the last of all targets";
        chat_error_set(e, kind, NULL, "%.*s/%.*s failed%s: %s", STR(r->target->provider),
                       STR(r->target->model), what, r->error.message);
        e->retry_after_ms = -1;
    } else if (r->lack.kind) {
        *e = r->lack;
    } else {
        chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "every target of '%.*s' is busy or out of service",
                       STR(r->model->name));
        e->retry_after_ms = 1000;
    }
}

static enum gw_step give_up(struct gw_request *r)
{
    r->failure = (struct chat_error){.retry_after_ms = -1};
    final_error(r, &r->failure);
    r->failure.is_final = r->failure.kind != CHAT_ERR_UNAVAILABLE; /* nobody was asked: a later try may do */
    r->has_failure = true;
    r->outcome = r->is_resumed ? GW_INTERRUPTED : GW_FAILED;
    resume_end(r);
    return GW_END;
}

/* Every target is busy: ask again in a while, until queue_timeout. */
static bool queue_up(struct gw_request *r, int64_t wait_ms)
{
    uint64_t now = loop_now_ms(r->thread->loop);
    if (!r->queued_ms)
        r->queued_ms = now;
    int64_t left = r->model->queue_timeout_ns / NS_PER_MS - (int64_t)(now - r->queued_ms);
    if (left <= 0 || wait_ms > left)
        return false;
    int64_t pause = wait_ms > BUSY_POLL_MS ? wait_ms : BUSY_POLL_MS;
    r->at_route = 0;
    r->n_tried = r->n_keys_tried = 0;
    r->keys_refused = 0;
    timer_start(&r->wait, (uint64_t)(pause < left ? pause : left));
    return true;
}

enum gw_step phase_attempt(struct gw_request *r)
{
    int64_t shortest = -1;
    bool any_busy = false;
    if (r->model->timeout_ns && !r->budget.is_running && !r->is_out_of_time)
        timer_start(&r->budget, (uint64_t)(r->model->timeout_ns / NS_PER_MS));
    if (r->is_out_of_time)
        return give_up(r);
    while (r->at_route < r->n_route) {
        const struct config_target *t = r->route[r->at_route];
        if (r->n_tried > r->model->retries) {
            next_target(r);
            continue;
        }
        int64_t wait_ms = 0;
        switch (begin_target(r, t, &wait_ms)) {
        case BEGUN: return GW_WAIT;
        case BUSY:
            any_busy = true;
            if (wait_ms >= 0 && (shortest < 0 || wait_ms < shortest))
                shortest = wait_ms;
            break;
        case PASSED_OVER:
        case REFUSED: break;
        }
        next_target(r);
    }
    if (any_busy && r->n_failed == 0 && queue_up(r, shortest))
        return GW_WAIT;
    return give_up(r);
}

void attempt_waited(struct timer *timer)
{
    struct gw_request *r = (struct gw_request *)((char *)timer - offsetof(struct gw_request, wait));
    gw_advance(r);
}

void attempt_time_is_over(struct timer *timer)
{
    struct gw_request *r = (struct gw_request *)((char *)timer - offsetof(struct gw_request, budget));
    if (!r->upstream && !r->wait.is_running && !r->is_judging)
        return; /* it ends already */
    r->is_out_of_time = true;
    if (r->is_judging)
        return; /* there is an answer: it counts if it is good */
    timer_stop(&r->wait);
    if (!r->upstream) {
        gw_advance(r);
        return;
    }
    r->upstream->cancel(r);
    r->has_error = true;
    chat_error_set(&r->error, CHAT_ERR_TIMEOUT, NULL,
                   "no whole answer came within the %.1f s of model '%.*s'",
                   (double)r->model->timeout_ns / 1e9, STR(r->model->name));
    r->error.retry_after_ms = -1;
    gw_on_done(r);
}

/* ---- ending ---- */

static bool is_targets_fault(enum chat_error_kind kind)
{
    return kind == CHAT_ERR_SERVER || kind == CHAT_ERR_BAD_ANSWER || kind == CHAT_ERR_UNAVAILABLE ||
           kind == CHAT_ERR_TIMEOUT || kind == CHAT_ERR_OVERLOADED;
}

static void learn(struct gw_request *r)
{
    uint64_t now = loop_now_ms(r->thread->loop);
    double first = r->first_content_ms > r->attempt_ms ? (double)(r->first_content_ms - r->attempt_ms) : 0;
    double per = 0;
    if (r->req->is_stream && r->usage.output > 1 && r->first_content_ms)
        per = (double)(now - r->first_content_ms) / (double)(r->usage.output - 1);
    if (!r->req->is_stream && r->usage.output > 0) { /* a whole answer shows only its total */
        per = (double)(now - r->attempt_ms) / (double)r->usage.output;
        first = 0;
    }
    health_learn(r->health, first, per);
    if (r->prefix)
        health_warm(r->health, r->prefix, clock_now_ns());
}

static int64_t backoff_ms(struct gw_request *r)
{
    int64_t cap = BACKOFF_FIRST_MS;
    for (int i = 1; i < r->n_tried && cap < BACKOFF_MAX_MS; i++)
        cap *= 2;
    int64_t jittered = (int64_t)rng_below(&r->thread->rng, (uint64_t)cap + 1);
    return r->error.retry_after_ms > jittered ? r->error.retry_after_ms : jittered;
}

static bool time_is_left(const struct gw_request *r, int64_t pause_ms)
{
    if (pause_ms > RETRY_AFTER_MAX_MS)
        return false;
    if (r->model->timeout_ns == 0)
        return true;
    int64_t used = (int64_t)(loop_now_ms(r->thread->loop) - r->began_ms);
    return (used + pause_ms) * NS_PER_MS < r->model->timeout_ns;
}

static void again_after(struct gw_request *r, int64_t pause_ms)
{
    if (r->n_tried > r->model->retries || !time_is_left(r, pause_ms))
        next_target(r);
    else
        timer_start(&r->wait, (uint64_t)(pause_ms > 0 ? pause_ms : 1));
}

/* Only a target that is known to hold more can help. */
static void skip_small_contexts(struct gw_request *r)
{
    int64_t too_small = r->target->context;
    next_target(r);
    while (r->at_route < r->n_route && r->route[r->at_route]->context != 0 &&
           r->route[r->at_route]->context <= too_small)
        next_target(r);
}

static void answer_as_it_is(struct gw_request *r)
{
    r->outcome = GW_FAILED;
    r->failure = r->error;
    r->failure.is_final = true;
    r->has_failure = true;
    r->phase++; /* behind the attempts */
    gw_advance(r);
}

/* Another target at once rather than a wait; the last one is waited for, if that is not longer than
 * a request may queue. */
static void after_rate_limit(struct gw_request *r, bool is_last)
{
    int64_t asked_ms = r->error.retry_after_ms;
    bool too_long = asked_ms > r->model->queue_timeout_ns / NS_PER_MS;
    if (too_long || (asked_ms > 0 && !is_last))
        next_target(r);
    else
        again_after(r, backoff_ms(r) + KEY_UNPARK_SLACK_MS);
}

/* The whole provider has too much to do: another one at once, for everybody.  Where none is left,
 * patience is all that helps. */
static void after_overload(struct gw_request *r)
{
    int other = r->at_route + 1;
    while (other < r->n_route && r->route[other]->provider_idx == r->target->provider_idx)
        other++;
    if (other == r->n_route) {
        again_after(r, backoff_ms(r));
        return;
    }
    health_pause_provider(r->health, clock_now_ns() + OVERLOAD_PAUSE_NS);
    next_target(r);
}

/* A dead or limited key gives way to the provider's next one, which is no retry. */
static bool try_next_key(struct gw_request *r)
{
    if (++r->n_keys_tried >= provider_of(r, r->target)->api_keys.n)
        return false;
    r->n_tried--;
    return true;
}

/* It answered, and not what was asked for: a matter of the model, not of the target's health. */
static void after_invalid(struct gw_request *r)
{
    r->n_failed++;
    switch (validate_next(r)) {
    case VALIDATE_ASK_AGAIN: r->n_tried--; break; /* not a retry of this target */
    case VALIDATE_NEXT_TARGET: next_target(r); break;
    case VALIDATE_GIVE_UP:
        r->has_stopped_asking = r->at_route + 1 < r->n_route;
        r->at_route = r->n_route;
        break;
    }
    gw_advance(r);
}

/* The attempt failed before the client saw anything: what now? */
static void after_failure(struct gw_request *r)
{
    enum chat_error_kind kind = r->error.kind;
    bool is_last = r->at_route + 1 >= r->n_route;
    if (r->error.is_lack) { /* it was never asked */
        r->lack = r->error;
        next_target(r);
        gw_advance(r);
        return;
    }
    r->n_failed++;
    r->n_rate_limited += kind == CHAT_ERR_RATE_LIMIT;
    if (r->error.retry_after_ms >= 0 &&
        (r->retry_after_ms < 0 || r->error.retry_after_ms < r->retry_after_ms))
        r->retry_after_ms = r->error.retry_after_ms;
    log_info("attempt", "%s %.*s/%.*s failed (%d): %s", r->id, STR(r->target->provider),
             STR(r->target->model), r->error.status, r->error.message);
    bool is_ours = r->is_resumed && (kind == CHAT_ERR_INVALID || kind == CHAT_ERR_TOO_LARGE ||
                                     kind == CHAT_ERR_CONTENT_FILTER || kind == CHAT_ERR_CONTEXT_LENGTH);
    if (is_ours) { /* what it refuses is the begun answer, which the client did not send */
        next_target(r);
        gw_advance(r);
        return;
    }
    switch (kind) {
    case CHAT_ERR_INVALID:
    case CHAT_ERR_TOO_LARGE:
    case CHAT_ERR_CONTENT_FILTER: answer_as_it_is(r); return;
    case CHAT_ERR_CONTEXT_LENGTH:
        if (is_last) {
            answer_as_it_is(r);
            return;
        }
        skip_small_contexts(r);
        if (r->at_route >= r->n_route) {
            answer_as_it_is(r);
            return;
        }
        break;
    case CHAT_ERR_AUTH:
    case CHAT_ERR_BILLING: /* the key was parked: another one may do, without counting as a retry */
        if (try_next_key(r))
            break;
        next_target(r);
        break;
    case CHAT_ERR_RATE_LIMIT:
        if (try_next_key(r))
            break;
        after_rate_limit(r, is_last);
        break;
    case CHAT_ERR_PERMISSION:
    case CHAT_ERR_NOT_FOUND: next_target(r); break;
    case CHAT_ERR_OVERLOADED: after_overload(r); break;
    default: again_after(r, backoff_ms(r)); break;
    }
    if (!r->wait.is_running)
        gw_advance(r);
}

/* For the regression watch: only what is the model's own doing, not the client's or a limit's. */
static void watch(struct gw_request *r, bool failed, bool their_fault)
{
    bool is_text = r->req->op == CHAT_OP_GENERATE || r->req->op == CHAT_OP_COMPLETE;
    const struct record_attempt *a = &r->recorded[r->n_recorded - 1];
    struct drift_sample s = {{-1, -1, failed, -1}};
    struct str target = arena_printf(&r->arena, "%.*s/%.*s", STR(a->provider), STR(a->model));
    if ((failed && !their_fault) || !target.p)
        return;
    if (!failed && is_text) {
        s.values[DRIFT_OUTPUT_TOKENS] = (double)r->usage.output;
        s.values[DRIFT_FIRST_TOKEN] = r->req->is_stream && !r->is_held ? (double)a->first_ms / 1000 : -1;
    }
    struct config_price price = account_price(r, r->target);
    if (!failed && config_price_is_known(&price))
        s.values[DRIFT_COST] = (double)a->cost_nano / 1e9;
    drift_add(r->gw->drift, r->model->name, target, &s, clock_now_ns());
}

void attempt_ended(struct gw_request *r)
{
    bool failed = r->has_error;
    bool their_fault =
        failed && is_targets_fault(r->error.kind) && (!r->is_out_of_time || r->parent) && !r->is_invalid;
    if (!failed)
        learn(r);
    struct health *h = r->health;
    health_end(h, &provider_of(r, r->target)->breaker, r->is_probe, !failed || r->is_invalid, their_fault,
               clock_now_ns());
    account_attempt(r,
                    !failed          ? OUTCOME_OK
                    : r->has_content ? OUTCOME_INTERRUPTED
                                     : OUTCOME_FAILED,
                    failed ? r->error.status : 200);
    observe_attempt(r,
                    !failed          ? "ok"
                    : r->is_invalid  ? "invalid"
                    : r->has_content ? "broken"
                                     : "failed",
                    r->recorded[r->n_recorded - 1].cost_nano);
    watch(r, failed, their_fault || r->is_invalid);
    if (failed && !r->has_content && r->is_invalid)
        after_invalid(r);
    else if (failed && !r->has_content)
        after_failure(r);
    else
        r->health = NULL;
}

void attempt_cancel(struct gw_request *r)
{
    timer_stop(&r->wait);
    if (!r->upstream && !r->is_left)
        return;
    if (r->upstream)
        r->upstream->cancel(r);
    r->upstream = NULL;
    health_end(r->health, &provider_of(r, r->target)->breaker, r->is_probe, false, false, clock_now_ns());
    r->health = NULL;
    account_attempt(r, OUTCOME_CANCELLED, 499);
    observe_attempt(r, "cancelled", r->recorded[r->n_recorded - 1].cost_nano);
}
