/* observe.c - See observe.h. */
#include "gateway/observe.h"

#include <stdio.h>

#include "base/log.h"
#include "base/metric.h"

#define STATUS_MAX      600
#define LOG_MODEL_BYTES 128
#define LOG_TURN_BYTES  65536 /* more than this is written before the turn's end */

static const double duration_bounds[] = {0.01, 0.02, 0.04,  0.08,  0.16,  0.32,  0.64, 1.28,
                                         2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 0};
static const double first_token_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25,
                                            0.5,   0.75,  1,    2.5,  5,    7.5,  10,   0};
static const double token_bounds[] = {1,     4,      16,      64,      256,      1024,     4096, 16384,
                                      65536, 262144, 1048576, 4194304, 16777216, 67108864, 0};
static const double per_token_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                          0.3,  0.4,   0.5,  0.75,  1,   2.5,  0};

static struct metric requests_total =
    METRIC_COUNTER("sluice_requests_total", "Inference requests by answered status.", "status");
static struct metric attempts_total =
    METRIC_COUNTER("sluice_provider_attempts_total", "Attempts by provider, model and outcome.", "provider",
                   "model", "outcome");
static struct metric cost_total =
    METRIC_COUNTER("sluice_cost_usd_total", "US dollars by model and provider.", "model", "provider");
static struct metric duration =
    METRIC_HISTOGRAM("gen_ai_server_request_duration_seconds", "Time from request to last byte.",
                     duration_bounds, "gen_ai_request_model", "gen_ai_provider_name");
static struct metric first_token =
    METRIC_HISTOGRAM("gen_ai_server_time_to_first_token_seconds", "Time to the first content.",
                     first_token_bounds, "gen_ai_request_model", "gen_ai_provider_name");
static struct metric per_token =
    METRIC_HISTOGRAM("gen_ai_server_time_per_output_token_seconds", "Time per output token after the first.",
                     per_token_bounds, "gen_ai_request_model", "gen_ai_provider_name");
static struct metric token_usage =
    METRIC_HISTOGRAM("gen_ai_client_token_usage", "Tokens of a request.", token_bounds, "gen_ai_token_type",
                     "gen_ai_request_model", "gen_ai_provider_name");

enum target_cell { DURATION, FIRST_TOKEN, PER_TOKEN, INPUT, OUTPUT, COST, ATTEMPTS_OK, ATTEMPTS_FAILED };
_Static_assert(ATTEMPTS_FAILED < HEALTH_CELLS_MAX, "struct health has a place for each");

static struct metric_cell *look_up(const struct gw_request *r, enum target_cell which, const char *outcome)
{
    char model[128], provider[64];
    snprintf(model, sizeof model, "%.*s", STR(r->target->model));
    snprintf(provider, sizeof provider, "%.*s", STR(r->target->provider));
    switch (which) {
    case DURATION: return metric_cell(&duration, model, provider);
    case FIRST_TOKEN: return metric_cell(&first_token, model, provider);
    case PER_TOKEN: return metric_cell(&per_token, model, provider);
    case INPUT: return metric_cell(&token_usage, "input", model, provider);
    case OUTPUT: return metric_cell(&token_usage, "output", model, provider);
    case COST: return metric_cell(&cost_total, model, provider);
    default: return metric_cell(&attempts_total, provider, model, outcome);
    }
}

static struct metric_cell *cell(const struct gw_request *r, enum target_cell which, const char *outcome)
{
    struct health *h = r->target_health;
    if (!h)
        return look_up(r, which, outcome);
    struct metric_cell *c = atomic_load_explicit(&h->cells[which], memory_order_acquire);
    if (!c) {
        c = look_up(r, which, outcome);
        atomic_store_explicit(&h->cells[which], c, memory_order_release);
    }
    return c;
}

void observe_attempt(const struct gw_request *r, const char *outcome, int64_t cost_nano)
{
    struct metric_cell *c = strcmp(outcome, "ok") == 0       ? cell(r, ATTEMPTS_OK, outcome)
                            : strcmp(outcome, "failed") == 0 ? cell(r, ATTEMPTS_FAILED, outcome)
                                                             : look_up(r, ATTEMPTS_FAILED, outcome);
    metric_add(c, 1);
    if (cost_nano > 0)
        metric_add(cell(r, COST, NULL), (double)cost_nano / 1e9);
}

static void count_status(int status)
{
    static _Atomic(struct metric_cell *) cells[STATUS_MAX];
    int at = status > 0 && status < STATUS_MAX ? status : 0;
    struct metric_cell *c = atomic_load_explicit(&cells[at], memory_order_acquire);
    if (!c) {
        char text[16];
        snprintf(text, sizeof text, "%d", status);
        c = metric_cell(&requests_total, text);
        atomic_store_explicit(&cells[at], c, memory_order_release);
    }
    metric_add(c, 1);
}

static void observe_target(const struct gw_request *r, uint64_t now_ms)
{
    metric_observe(cell(r, DURATION, NULL), (double)(now_ms - r->began_ms) / 1000);
    if (r->first_content_ms)
        metric_observe(cell(r, FIRST_TOKEN, NULL), (double)(r->first_content_ms - r->began_ms) / 1000);
    if (r->first_content_ms && r->usage.output > 1)
        metric_observe(cell(r, PER_TOKEN, NULL),
                       (double)(now_ms - r->first_content_ms) / 1000 / (double)(r->usage.output - 1));
    if (r->usage.is_known) {
        metric_observe(cell(r, INPUT, NULL), (double)tokens_input(&r->usage));
        metric_observe(cell(r, OUTPUT, NULL), (double)r->usage.output);
    }
}

static void put_number(struct buf *out, struct str name, int64_t v)
{
    buf_str_add(out, name);
    buf_i64(out, v);
}

static void log_access(struct gw_request *r, uint64_t now_ms)
{
    struct gw_thread *t = r->thread;
    struct buf line;
    buf_init(&line, LOG_LINE_MAX);
    buf_puts(&line, r->id);
    put_number(&line, S(" status="), r->status);
    buf_puts(&line, " dialect=");
    buf_puts(&line, r->client->name);
    buf_puts(&line, " model=");
    buf_str_add(&line, r->req ? str_sub(r->req->model, 0, LOG_MODEL_BYTES) : S(""));
    buf_puts(&line, " provider=");
    buf_str_add(&line, r->target ? r->target->provider : S("-"));
    put_number(&line, S(" attempts="), r->n_attempts);
    if (r->is_resumed)
        buf_puts(&line, " resumed=1");
    if (r->similarity > 0)
        buf_printf(&line, " similarity=%.4f", (double)r->similarity);
    put_number(&line, S(" in="), tokens_input(&r->usage));
    put_number(&line, S(" cached="), r->usage.cache_read);
    put_number(&line, S(" out="), r->usage.output);
    put_number(&line, S(" first_ms="),
               r->first_content_ms ? (int64_t)(r->first_content_ms - r->began_ms) : 0);
    put_number(&line, S(" total_ms="), (int64_t)(now_ms - r->began_ms));
    if (!buf_ok(&line) || !log_line(&t->log, LOG_INFO, "request", buf_str(&line)))
        log_error("request", "%s: no memory for its line", r->id);
    buf_deinit(&line);
    if (t->log.n > LOG_TURN_BYTES)
        observe_flush(&t->log_flush);
    else
        loop_at_turn_end(t->loop, LOOP_FLUSH, &t->log_flush);
}

void observe_flush(struct loop_task *task)
{
    struct gw_thread *t = (struct gw_thread *)((char *)task - offsetof(struct gw_thread, log_flush));
    log_lines(buf_str(&t->log));
    buf_clear(&t->log);
}

void observe_request(struct gw_request *r, uint64_t now_ms)
{
    count_status(r->status);
    if (r->target)
        observe_target(r, now_ms);
    if (log_wants(LOG_INFO))
        log_access(r, now_ms);
}
