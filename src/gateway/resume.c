/* resume.c - Continuing a broken answer.  See resume.h; start reading at resume_begin(). */
#include "gateway/resume.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "gateway/account.h"

#define TEXT_BYTES_MAX  ((size_t)4 << 20) /* a longer answer is not continued */
#define BYTES_PER_TOKEN 4

struct resume {
    struct buf text;    /* all that was shown */
    struct str overlap; /* white space that was shown but not sent back: not to be shown again */
    bool is_impossible;
    bool has_block;
    int block; /* of the text, as the client knows it */
    uint64_t first_content_ms;
    struct token_account before; /* of the attempts that broke */
    struct chat_request ask;
    struct chat_part part;
};

static struct metric resumed_total = METRIC_COUNTER(
    "sluice_resumed_total", "Broken answers that went on at another target.", "provider", "model");

/* Fields of the engine field's servers that say where the answer begins: the client does that itself. */
static bool has_own_continuation(const struct chat_request *q)
{
    for (size_t i = 0; i < q->n_fields; i++)
        if (str_eq(q->fields[i].name, S("continue_final_message")) ||
            str_eq(q->fields[i].name, S("add_generation_prompt")))
            return true;
    return q->n_messages == 0 || q->messages[q->n_messages - 1].role == CHAT_ASSISTANT;
}

static bool asks_for_reasoning(const struct chat_request *q)
{
    const struct chat_reasoning *g = &q->reasoning;
    return !g->is_off && (g->effort > CHAT_EFFORT_NONE || g->budget_tokens.is_set);
}

void resume_prepare(struct gw_request *r)
{
    const struct chat_request *q = r->req;
    if (!r->model->resume || r->validation || q->op != CHAT_OP_GENERATE || !q->is_stream || q->n > 1 ||
        q->logprobs || q->format.type != CHAT_FORMAT_TEXT || q->tool_choice >= CHAT_TOOLS_REQUIRED ||
        asks_for_reasoning(q) || has_own_continuation(q))
        return;
    r->resume = arena_new(&r->arena, struct resume);
    if (r->resume)
        buf_init(&r->resume->text, TEXT_BYTES_MAX);
}

void resume_free(struct gw_request *r)
{
    if (r->resume)
        buf_deinit(&r->resume->text);
}

void resume_forbid(struct gw_request *r)
{
    if (r->resume)
        r->resume->is_impossible = true;
}

static void add_tokens(struct token_account *sum, const struct token_account *t)
{
    sum->input_fresh += t->input_fresh;
    sum->cache_read += t->cache_read;
    sum->cache_write_5m += t->cache_write_5m;
    sum->cache_write_1h += t->cache_write_1h;
    sum->output += t->output;
    sum->reasoning += t->reasoning;
    sum->is_known |= t->is_known;
    sum->is_estimated |= t->is_estimated;
}

/* White space at the seam: what the client has is not told twice. */
static void skip_overlap(struct resume *s, struct str *text)
{
    while (s->overlap.n && text->n) {
        if (text->p[0] != s->overlap.p[0]) {
            s->overlap.n = 0;
            return;
        }
        *text = str_sub(*text, 1, text->n);
        s->overlap = str_sub(s->overlap, 1, s->overlap.n);
    }
}

bool resume_on_event(struct gw_request *r, struct chat_event *ev)
{
    struct resume *s = r->resume;
    switch (ev->type) {
    case CHAT_EV_START: return !r->is_resumed;
    case CHAT_EV_ERROR: return true;
    case CHAT_EV_USAGE:
        if (r->is_resumed)
            add_tokens(&ev->usage, &s->before);
        return true;
    case CHAT_EV_REASONING: /* of a target that thinks before it continues: nothing that the answer had */
        s->is_impossible |= !r->is_resumed;
        return !r->is_resumed;
    case CHAT_EV_TEXT: break;
    default: s->is_impossible = true; return true;
    }
    if (r->is_resumed) {
        skip_overlap(s, &ev->text);
        ev->block = s->block;
    }
    s->is_impossible |=
        ev->choice != 0 || ev->signature.p || ev->n_logprobs || (s->has_block && ev->block != s->block);
    s->has_block = true;
    s->block = ev->block;
    if (!s->is_impossible && !buf_str_add(&s->text, ev->text))
        s->is_impossible = true;
    return true;
}

/* ---- the seam ---- */

/* Of the bytes that travelled as they came there is no writer yet: make one that stands where they stopped.
 */
static bool make_writer(struct gw_request *r)
{
    struct resume *s = r->resume;
    struct chat_event start = {.type = CHAT_EV_START,
                               .id = str_c(r->start_id),
                               .model = str_c(r->start_model),
                               .created_s = r->start_created_s};
    struct chat_event usage = {.type = CHAT_EV_USAGE, .usage = s->before};
    struct chat_event text = {.type = CHAT_EV_TEXT, .text = buf_str(&s->text), .block = s->block};
    if (answer_raw(r) != OK)
        return false;
    r->is_raw = false;
    if (!r->writer)
        r->writer = r->client->writer_new(r->req, &r->reply);
    if (!r->writer || r->client->writer_event(r->writer, &start, &r->out) != OK ||
        r->client->writer_event(r->writer, &usage, &r->out) != OK ||
        r->client->writer_event(r->writer, &text, &r->out) != OK)
        return false;
    buf_clear(&r->out); /* the client has it */
    return true;
}

/* The same request, with the text so far as the answer's beginning. */
static bool make_ask(struct gw_request *r)
{
    struct resume *s = r->resume;
    size_t n = s->text.n;
    while (n && strchr(" \t\r\n", s->text.p[n - 1]))
        n--;
    struct str said = arena_str(&r->arena, buf_str(&s->text));
    struct chat_message *messages = arena_new_array(&r->arena, struct chat_message, r->req->n_messages + 1);
    if (n == 0 || !said.p || !messages)
        return false;
    s->overlap = str_sub(said, n, said.n);
    s->part = (struct chat_part){.type = CHAT_PART_TEXT, .text = str_sub(said, 0, n)};
    memcpy(messages, r->req->messages, r->req->n_messages * sizeof *messages);
    messages[r->req->n_messages] = (struct chat_message){
        .role = CHAT_ASSISTANT, .at = (int)r->req->n_messages, .parts = &s->part, .n_parts = 1};
    s->ask = *r->req;
    s->ask.messages = messages;
    s->ask.n_messages = r->req->n_messages + 1;
    s->ask.is_continued = true;
    if (s->ask.max_tokens.is_set) {
        int64_t left = s->ask.max_tokens.v - s->before.output;
        s->ask.max_tokens.v = left > 1 ? left : 1;
    }
    r->asked = &s->ask;
    return true;
}

/* The continuation is paid for in full, its input included: that must fit into the budgets too. */
static bool is_affordable(struct gw_request *r, int n_targets)
{
    int64_t input = account_estimate_input(r->asked), output = account_output_reserved(r), most = 0;
    if (!r->key)
        return true;
    for (int i = 0; i < n_targets; i++) {
        struct config_price p = account_price(r, r->route[i]);
        int64_t nano = price_most_nano(&p, input, output);
        most = nano > most ? nano : most;
    }
    return limit_extend(r->key->limit, &r->limits, input + output, most, clock_now_ns(), clock_wall_ns(),
                        &r->held);
}

/* Those that can continue, without the one that broke. */
static int take_targets(struct gw_request *r)
{
    int n = 0;
    for (int i = 0; i < r->n_route; i++)
        if (r->route[i]->prefill && r->route[i] != r->target)
            r->route[n++] = r->route[i];
    return n;
}

bool resume_begin(struct gw_request *r)
{
    struct resume *s = r->resume;
    bool is_theirs = r->error.kind != CHAT_ERR_INVALID && r->error.kind != CHAT_ERR_CONTENT_FILTER;
    if (!s || s->is_impossible || !is_theirs || r->n_finished || r->is_detached || !r->http)
        return false;
    int n = take_targets(r);
    struct token_account before = s->before;
    add_tokens(&s->before, &r->usage);
    if (n == 0 || !make_ask(r) || !is_affordable(r, n) || (r->is_raw && !make_writer(r))) {
        s->before = before;
        return false;
    }
    log_info("attempt", "%s %.*s/%.*s broke after %zu bytes of text, going on elsewhere: %s", r->id,
             STR(r->target->provider), STR(r->target->model), s->text.n, r->error.message);
    if (!r->is_resumed)
        s->first_content_ms = r->first_content_ms;
    r->is_resumed = true;
    r->has_content = false;
    r->has_error = false;
    r->usage = (struct token_account){0};
    r->is_paused = false;
    r->n_route = n;
    r->at_route = r->n_tried = r->n_keys_tried = 0;
    r->n_failed = r->n_rate_limited = 0;
    r->queued_ms = 0;
    timer_start(&r->heartbeat, HEARTBEAT_MS);
    return true;
}

void resume_end(struct gw_request *r)
{
    if (!r->is_resumed)
        return;
    if (r->has_content) {
        char provider[64], model[128];
        snprintf(provider, sizeof provider, "%.*s", STR(r->target->provider));
        snprintf(model, sizeof model, "%.*s", STR(r->target->model));
        metric_add(metric_cell(&resumed_total, provider, model), 1);
    }
    add_tokens(&r->usage, &r->resume->before);
    r->first_content_ms = r->resume->first_content_ms;
}
