/* account.c - From admission to settlement: limits, journal records, cost.
 *
 * Order of things, for every admitted request:
 *   admit    everything it may use at most is reserved, as a whole, or it is refused
 *   open     its open record is written to the operating system before the first upstream byte
 *   (it runs; once a second its checkpoint is written)
 *   settle   its close record is written before the last byte goes to the client
 * Records are gathered and written once per turn of the loop; requests wait for that write. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "gateway/account.h"
#include "gateway/cache_near.h"

#define OUTPUT_CAP_DEFAULT 4096
#define BYTES_PER_TOKEN    4    /* of an estimate: text of the languages that models are trained on most */
#define MEDIA_TOKENS       1000 /* of an image or document whose size in tokens nobody knows yet */

static struct metric refusals_total =
    METRIC_COUNTER("sluice_refusals_total", "Requests refused before an attempt.", "reason");

/* ---- estimates ---- */

static int64_t part_tokens(const struct chat_part *p)
{
    int64_t n = (int64_t)((p->text.n + p->args_json.n + p->name.n + p->media.text.n) / BYTES_PER_TOKEN) + 1;
    if (p->media.data.n || p->media.url.n || p->media.file_id.n)
        n += MEDIA_TOKENS;
    for (size_t i = 0; i < p->n_parts; i++)
        n += (int64_t)(p->parts[i].text.n / BYTES_PER_TOKEN) +
             (p->parts[i].media.data.n || p->parts[i].media.url.n ? MEDIA_TOKENS : 1);
    return n;
}

int64_t account_estimate_input(const struct chat_request *req)
{
    int64_t n = 8;
    for (size_t i = 0; i < req->n_messages; i++) {
        n += 4;
        for (size_t k = 0; k < req->messages[i].n_parts; k++)
            n += part_tokens(&req->messages[i].parts[k]);
    }
    for (size_t i = 0; i < req->n_tools; i++)
        n += (int64_t)((req->tools[i].name.n + req->tools[i].description.n + req->tools[i].schema_json.n) /
                       BYTES_PER_TOKEN) +
             8;
    for (size_t i = 0; i < req->n_prompts; i++)
        n += (int64_t)(req->prompts[i].text.n / BYTES_PER_TOKEN + req->prompts[i].n_tokens) + 1;
    for (size_t i = 0; i < req->n_inputs; i++)
        n += (int64_t)(req->inputs[i].text.n / BYTES_PER_TOKEN + req->inputs[i].n_tokens) + 1;
    return n;
}

static int64_t smaller_cap(int64_t a, int64_t b)
{
    return b > 0 && (a == 0 || b < a) ? b : a;
}

int64_t account_output_cap(const struct gw_request *r)
{
    int64_t cap = smaller_cap(r->model->max_output_tokens, r->limits.max_output_tokens);
    return cap;
}

/* What a request may produce at most: its own wish, capped; without a wish the cap, at most 4096. */
int64_t account_output_reserved(const struct gw_request *r)
{
    int64_t cap = account_output_cap(r);
    const struct chat_request *q = r->asked ? r->asked : r->req;
    if (q->op == CHAT_OP_EMBED || q->op == CHAT_OP_COUNT_TOKENS)
        return 0;
    int64_t one =
        q->max_tokens.is_set ? smaller_cap(q->max_tokens.v, cap) : smaller_cap(OUTPUT_CAP_DEFAULT, cap);
    if (q->max_tokens.is_set && q->max_tokens.v == 0)
        one = 0;
    return one * (q->n > 0 ? q->n : 1);
}

/* ---- prices ---- */

struct config_price account_price(const struct gw_request *r, const struct config_target *t)
{
    const struct config_provider *p = &r->config->providers[t->provider_idx];
    struct config_price price = t->price;
    if (!config_price_is_known(&price))
        price_table_find(r->gw->prices, t->provider, t->model, &price, NULL);
    return price_complete(price, str_eq(p->kind, S("anthropic")));
}

/* ---- admit ---- */

static const char *const reasons[] = {"", "rpm", "tpm", "concurrency", "budget", "token_budget"};
static const char *const user_reasons[] = {
    "", "user_rpm", "user_tpm", "user_concurrency", "user_budget", "user_token_budget"};

static struct str user_of(const struct gw_request *r)
{
    return r->req->user.n ? r->req->user : r->key ? r->key->def.user : S("");
}

static enum gw_step refuse(struct gw_request *r, const struct limit_answer *a)
{
    static const char *const periods[] = {"hour", "day", "month"};
    const struct config_user_limits *u = &r->limits.per_user;
    struct str name = r->key->def.name, user = str_sub(user_of(r), 0, 64);
    char who[256];
    struct chat_error e;
    if (a->is_user)
        snprintf(who, sizeof who, "user '%.*s' of key '%.*s'", STR(user), STR(str_sub(name, 0, 128)));
    else
        snprintf(who, sizeof who, "key '%.*s'", STR(str_sub(name, 0, 128)));
    switch (a->refusal) {
    case LIMIT_BUDGET:
    case LIMIT_TOKEN_BUDGET:
        chat_error_set(&e, CHAT_ERR_QUOTA, NULL, "the %sbudget of %s for this %s is used up",
                       a->refusal == LIMIT_BUDGET ? "" : "token ", who,
                       periods[a->is_user ? u->budget_per : r->limits.budget_per]);
        e.is_final = true;
        break;
    case LIMIT_CONCURRENCY:
        chat_error_set(&e, CHAT_ERR_RATE_LIMIT, NULL,
                       "%s has %lld requests running, more are not allowed at a time", who,
                       (long long)(a->is_user ? u->concurrency : r->limits.concurrency));
        break;
    case LIMIT_RPM:
        chat_error_set(&e, CHAT_ERR_RATE_LIMIT, NULL, "%s has used its %lld requests per minute", who,
                       (long long)(a->is_user ? u->rpm : r->limits.rpm));
        break;
    default:
        chat_error_set(&e, CHAT_ERR_RATE_LIMIT, NULL, "%s has used its %lld tokens per minute", who,
                       (long long)(a->is_user ? u->tpm : r->limits.tpm));
        break;
    }
    e.retry_after_ms = a->retry_after_ms;
    metric_add(metric_cell(&refusals_total, (a->is_user ? user_reasons : reasons)[a->refusal]), 1);
    answer_error(r, &e);
    return GW_END;
}

enum gw_step phase_admit(struct gw_request *r)
{
    if (ledger_is_broken(r->gw->ledger)) {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_UNAVAILABLE, NULL, "the ledger cannot be written at the moment");
        e.retry_after_ms = 5000;
        answer_error(r, &e);
        return GW_END;
    }
    if (!r->key)
        return GW_NEXT;
    int64_t input = account_estimate_input(r->req), output = account_output_reserved(r), nano = 0;
    for (int i = 0; i < r->model->n_targets; i++) {
        struct config_price p = account_price(r, &r->model->targets[i]);
        if (!config_price_is_known(&p) &&
            (r->limits.budget_nano >= 0 || r->limits.per_user.budget_nano > 0)) {
            struct chat_error e;
            chat_error_set(&e, CHAT_ERR_PERMISSION, "model",
                           "the price of '%.*s' is not known, and key '%.*s' has a budget in dollars",
                           STR(r->model->targets[i].model), STR(r->key->def.name));
            answer_error(r, &e);
            return GW_END;
        }
        int64_t most = price_most_nano(&p, input, output);
        nano = most > nano ? most : nano;
    }
    cache_near_reserve(r, &input, &nano);
    struct limit_answer a = limit_reserve(r->key->limit, &r->limits, user_of(r), input + output, nano,
                                          clock_now_ns(), clock_wall_ns(), &r->held);
    r->limit_told = a;
    r->has_limit_told = true;
    return a.refusal == LIMIT_NONE ? GW_NEXT : refuse(r, &a);
}

/* ---- the journal ---- */

static void fill_record(const struct gw_request *r, struct record *rec, enum record_type type)
{
    *rec = (struct record){.type = type,
                           .id = str_c(r->id),
                           .wall_ns = clock_wall_ns(),
                           .key_id = r->key ? str_c(r->key->def.id) : S(""),
                           .user = user_of(r),
                           .model = r->req->model,
                           .endpoint = str_c(r->client->name),
                           .reserved_nano = r->held.nano,
                           .outcome = (enum record_outcome)r->outcome,
                           .status = r->status,
                           .is_resumed = r->is_resumed,
                           .n_attempts = r->n_recorded};
    uint64_t now = loop_now_ms(r->thread->loop);
    rec->total_ms = (int32_t)(now - r->began_ms);
    rec->first_ms = r->first_content_ms ? (int32_t)(r->first_content_ms - r->began_ms) : 0;
    memcpy(rec->attempts, r->recorded, (size_t)r->n_recorded * sizeof *r->recorded);
}

/* The one write of this turn.  Requests that waited for it go on; if it failed, those that have
 * not begun are refused. */
void account_flush(struct loop_task *task)
{
    struct gw_thread *t = (struct gw_thread *)((char *)task - offsetof(struct gw_thread, flush));
    struct err err = {0};
    bool ok = journal_flush(t->journal, &err) == OK;
    if (!ok)
        log_error("ledger", "%s", err.text);
    struct gw_request *waiting = t->flushing;
    t->flushing = NULL;
    for (struct gw_request *next; waiting; waiting = next) {
        next = waiting->next_flushing;
        waiting->is_flushing = false;
        waiting->is_journalled = ok;
        gw_advance(waiting);
    }
}

static void write_record(struct gw_request *r, enum record_type type)
{
    struct gw_thread *t = r->thread;
    fill_record(r, &t->record, type);
    if (!journal_add(t->journal, &t->record))
        log_error("ledger", "%s: no memory for a journal record", r->id);
    loop_at_turn_end(t->loop, LOOP_FIRST, &t->flush);
}

static void wait_for_flush(struct gw_request *r)
{
    r->is_flushing = true;
    r->next_flushing = r->thread->flushing;
    r->thread->flushing = r;
}

void account_forget(struct gw_request *r)
{
    for (struct gw_request **at = &r->thread->flushing; *at; at = &(*at)->next_flushing)
        if (*at == r) {
            *at = r->next_flushing;
            break;
        }
    r->is_flushing = false;
}

enum gw_step phase_open(struct gw_request *r)
{
    if (r->parent)
        return GW_NEXT;
    if (!r->is_open) {
        r->is_open = true;
        write_record(r, RECORD_OPEN);
        wait_for_flush(r);
        return GW_WAIT;
    }
    if (r->is_journalled)
        return GW_NEXT;
    chat_error_set(&r->failure, CHAT_ERR_UNAVAILABLE, NULL, "the ledger cannot be written at the moment");
    r->failure.retry_after_ms = 5000;
    r->has_failure = true;
    r->outcome = GW_FAILED;
    return GW_END;
}

/* ---- attempts ---- */

void account_attempt(struct gw_request *r, enum record_outcome outcome, int status)
{
    if (r->n_recorded == RECORD_ATTEMPTS_MAX)
        r->n_recorded--; /* the last place shows the latest one */
    uint64_t now = loop_now_ms(r->thread->loop);
    struct token_account u = r->usage;
    /* Cut off before the provider counted, or after it had counted the beginning only (Anthropic tells of the
     * input and one token first): what was produced is counted here. */
    int64_t produced = r->produced_bytes > 0 ? r->produced_bytes / BYTES_PER_TOKEN + 1 : 0;
    bool is_cut = outcome == OUTCOME_INTERRUPTED || outcome == OUTCOME_CANCELLED;
    if (!u.is_known && produced > 0) {
        u.input_fresh = account_estimate_input(r->asked);
        u.output = produced;
        u.is_estimated = true;
    } else if (is_cut && r->n_finished == 0 && produced > u.output) {
        u.output = produced;
        u.is_estimated = true;
    }
    struct config_price price = account_price(r, r->target);
    int64_t cost = price_cost_nano(&price, &u);
    r->recorded[r->n_recorded++] = (struct record_attempt){
        .provider = r->target->provider,
        .model = r->target->model,
        .outcome = outcome,
        .tokens = {u.input_fresh, u.cache_read, u.cache_write_5m, u.cache_write_1h, u.output, u.reasoning},
        .cost_nano = cost,
        .is_estimated = u.is_estimated,
        .first_ms = r->first_content_ms > r->attempt_ms ? (int32_t)(r->first_content_ms - r->attempt_ms) : 0,
        .total_ms = (int32_t)(now - r->attempt_ms),
        .status = status,
    };
    r->cost_nano += cost;
    r->billed_tokens += tokens_total(&u);
    r->usage = u;
}

/* Once a second: what each running request has used so far, for the case that we die. */
void account_checkpoint(struct timer *timer)
{
    struct gw_thread *t = (struct gw_thread *)((char *)timer - offsetof(struct gw_thread, checkpoint));
    for (struct gw_request *r = t->running; r; r = r->next_running) {
        if (!r->is_open || r->is_settled || !r->upstream || r->produced_bytes == r->checkpointed_bytes)
            continue;
        r->checkpointed_bytes = r->produced_bytes;
        int n = r->n_recorded;
        struct token_account usage = r->usage;
        int64_t cost = r->cost_nano, billed = r->billed_tokens;
        struct record_attempt last =
            n == RECORD_ATTEMPTS_MAX ? r->recorded[n - 1] : (struct record_attempt){0};
        r->usage.is_known = false; /* so far it is an estimate, whatever came with the first event */
        account_attempt(r, OUTCOME_INTERRUPTED, 0);
        write_record(r, RECORD_CHECKPOINT);
        if (n == RECORD_ATTEMPTS_MAX)
            r->recorded[n - 1] = last;
        r->n_recorded = n;
        r->usage = usage;
        r->cost_nano = cost;
        r->billed_tokens = billed;
    }
    if (t->idx == 0)
        drift_tick(t->gw->drift, clock_now_ns());
    timer_start(&t->checkpoint, 1000);
}

/* ---- settle ---- */

static void on_synced(struct loop_task *task)
{
    struct gw_thread *t = (struct gw_thread *)((char *)task - offsetof(struct gw_thread, synced));
    struct gw_request *r = t->syncing;
    t->syncing = NULL;
    t->is_syncing = false;
    for (struct gw_request *next; r; r = next) {
        next = r->next_flushing;
        r->is_flushing = false;
        gw_advance(r);
    }
    account_start_sync(t);
}

void account_start_sync(struct gw_thread *t)
{
    if (t->is_syncing || !t->to_sync)
        return;
    t->syncing = t->to_sync;
    t->to_sync = NULL;
    t->is_syncing = true;
    t->synced.run = on_synced;
    ledger_sync(t->gw->ledger, t->idx, t->loop, &t->synced);
}

/* The answer's last bytes wait until the close record is in the operating system (which is in this
 * same turn), with durability `power` until it is on disk. */
enum gw_step phase_settle(struct gw_request *r)
{
    if (!r->is_open)
        return GW_NEXT;
    if (!r->is_settled) {
        r->is_settled = true;
        if (r->has_failure)
            r->status = r->client->error_status(&r->failure);
        else if (r->outcome == GW_OK || r->outcome == GW_CACHED)
            r->status = 200;
        write_record(r, RECORD_CLOSE);
        if (r->key)
            limit_settle(r->key->limit, &r->limits, &r->held, r->billed_tokens, r->cost_nano, clock_now_ns(),
                         clock_wall_ns());
        wait_for_flush(r);
        return GW_WAIT;
    }
    if (r->config->durability == DURABLE_POWER && !r->is_synced) {
        r->is_synced = true;
        r->is_flushing = true;
        r->next_flushing = r->thread->to_sync;
        r->thread->to_sync = r;
        account_start_sync(r->thread);
        return GW_WAIT;
    }
    return GW_NEXT;
}
