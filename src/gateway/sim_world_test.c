/* sim_world_test.c - Fake providers and clients, moved by the timers of a simulated loop.
 *
 * Every piece of text that a provider gives is a mark, "~CALL.PIECE~", so that what a client got
 * says from which call it came and whether something is missing. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "gateway/sim_int.h"

#define ANSWER_BYTES_MAX 8192
#define PACE_MS_MAX      150

static uint64_t now_ms(const struct sim *s)
{
    return loop_now_ms(s->loop);
}

/* ---- what providers say ---- */

static void add_event(struct buf *out, bool is_anthropic, const char *name, const char *json)
{
    if (is_anthropic)
        buf_printf(out, "event: %s\n", name);
    buf_printf(out, "data: %s\n\n", json);
}

static void write_start(struct sim_call *c, struct buf *out)
{
    if (c->is_anthropic) {
        add_event(out, true, "message_start",
                  "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":"
                  "\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{"
                  "\"input_tokens\":10,\"output_tokens\":1}}}");
        add_event(out, true, "content_block_start",
                  "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
                  "\"text\":\"\"}}");
    } else {
        add_event(out, false, "",
                  "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
                  "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                  "\"finish_reason\":null}]}");
    }
}

static void write_piece(struct sim_call *c, int piece, struct buf *out)
{
    char json[256];
    if (c->is_anthropic)
        snprintf(json, sizeof json,
                 "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"
                 "\"~%d.%d~\"}}",
                 c->id, piece);
    else
        snprintf(json, sizeof json,
                 "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
                 "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"~%d.%d~\"},\"finish_reason\":null}]}",
                 c->id, piece);
    add_event(out, c->is_anthropic, "content_block_delta", json);
}

static void write_finish(struct sim_call *c, struct buf *out)
{
    char json[256];
    if (c->is_anthropic) {
        add_event(out, true, "content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}");
        snprintf(
            json, sizeof json,
            "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
            "\"usage\":{\"output_tokens\":%d}}",
            c->n_pieces);
        add_event(out, true, "message_delta", json);
        add_event(out, true, "message_stop", "{\"type\":\"message_stop\"}");
        return;
    }
    add_event(
        out, false, "",
        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{"
        "\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    snprintf(
        json, sizeof json,
        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],"
        "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":%d,\"total_tokens\":%d}}",
        c->n_pieces, c->n_pieces + 10);
    add_event(out, false, "", json);
    add_event(out, false, "", "[DONE]");
}

static void write_whole(struct sim_call *c, struct buf *out)
{
    buf_puts(out,
             c->is_anthropic
                 ? "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
                   "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"content\":[{\"type\":\"text\","
                   "\"text\":\""
                 : "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":"
                   "[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\","
                   "\"content\":\"");
    for (int i = 0; i < c->n_pieces; i++)
        buf_printf(out, "~%d.%d~", c->id, i);
    if (c->is_anthropic)
        buf_printf(out, "\"}],\"usage\":{\"input_tokens\":10,\"output_tokens\":%d}}", c->n_pieces);
    else
        buf_printf(out,
                   "\"}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":%d,\"total_tokens\":%d}}",
                   c->n_pieces, c->n_pieces + 10);
}

static void write_error(struct sim_call *c, const char *type, const char *message, struct buf *out)
{
    if (c->is_anthropic)
        buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"}}", type, message);
    else
        buf_printf(out, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
                   message, type, type);
}

/* ---- giving it to the gateway ---- */

static void give_head(struct sim_call *c, int status, struct str type, struct str retry_name,
                      struct str retry_value)
{
    static struct http_head head;
    head = (struct http_head){.is_response = true, .minor = 1, .status = status, .framing = HTTP_CHUNKED};
    head.fields[head.n_fields++] = (struct http_field){S("content-type"), type};
    if (retry_name.n)
        head.fields[head.n_fields++] = (struct http_field){retry_name, retry_value};
    c->has_head = true;
    http_script_head(c->call, &head);
}

/* In up to three parts, cut anywhere; stops where the gateway has had enough. */
static void give_data(struct sim_call *c, struct str data)
{
    for (int parts = 3; data.n && c->call; parts--) {
        size_t n = parts > 1 ? 1 + (size_t)rng_below(&c->sim->rng, data.n) : data.n;
        http_script_data(c->call, str_sub(data, 0, n));
        data = str_sub(data, n, data.n);
    }
}

static void give_done(struct sim_call *c, enum call_result result)
{
    if (c->call)
        http_script_done(c->call, result, result == CALL_OK ? NULL : call_result_name(result));
}

/* One of the forms of Retry-After, also wrong ones; c->retry_ms is what it means. */
static void make_retry_after(struct sim_call *c, struct str *name, char text[64])
{
    static const int64_t waits_ms[] = {0, 1000, 2000, 4000, 8000, 30000, 3600000};
    int64_t wait = waits_ms[rng_below(&c->sim->rng, sizeof waits_ms / sizeof *waits_ms)];
    *name = S("retry-after");
    c->retry_ms = wait;
    switch (rng_below(&c->sim->rng, 6)) {
    case 0:
        *name = S("");
        c->retry_ms = -1;
        break;
    case 1:
        *name = S("retry-after-ms");
        c->retry_ms = wait + 7;
        snprintf(text, 64, "%lld", (long long)c->retry_ms);
        break;
    case 2: {
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        int64_t wall = clock_wall_ns(), at = (wall / NS_PER_S + wait / 1000) * NS_PER_S;
        struct clock_date d = clock_date_utc(at);
        snprintf(text, 64, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[d.weekday], d.day, months[d.month - 1],
                 d.year, d.hour, d.minute, d.second);
        c->retry_ms = at / NS_PER_MS - wall / NS_PER_MS;
        c->retry_ms = c->retry_ms < 0 ? 0 : c->retry_ms;
        break;
    }
    case 3:
        snprintf(text, 64, "soon");
        c->retry_ms = -1;
        break;
    default: snprintf(text, 64, "%lld", (long long)(wait / 1000)); break;
    }
}

static void give_failure(struct sim_call *c)
{
    static const struct {
        enum sim_fault fault;
        int status[3];
        const char *type, *message;
    } rows[] = {
        {SIM_SERVER_ERROR, {500, 502, 503}, "server_error", "broken"},
        {SIM_OVERLOADED, {529, 529, 529}, "overloaded_error", "Overloaded"},
        {SIM_LIMITED, {429, 429, 429}, "rate_limit_error", "too fast"},
        {SIM_BILLING, {429, 429, 400}, "insufficient_quota", "Your credit balance is too low"},
        {SIM_BAD_KEY, {401, 401, 401}, "authentication_error", "who are you"},
        {SIM_FORBIDDEN, {403, 404, 403}, "permission_error", "not here"},
        {SIM_INVALID, {400, 422, 413}, "invalid_request_error", "max_tokens is strange"},
        {SIM_CONTEXT, {400, 400, 400}, "context_length_exceeded", "prompt is too long"},
    };
    struct buf body;
    char retry[64] = "";
    struct str retry_name = S("");
    buf_init(&body, ANSWER_BYTES_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].fault != c->fault)
            continue;
        c->status = rows[i].status[rng_below(&c->sim->rng, 3)];
        const char *type = rows[i].type;
        if (c->is_anthropic && c->fault == SIM_BILLING && c->status == 429) {
            c->status = 400; /* that dialect says it so */
            type = "invalid_request_error";
        }
        write_error(c, c->is_anthropic && c->fault == SIM_CONTEXT ? "invalid_request_error" : type,
                    rows[i].message, &body);
    }
    if (c->fault == SIM_LIMITED)
        make_retry_after(c, &retry_name, retry);
    c->is_complete = true;
    give_head(c, c->status, S("application/json"), retry_name, str_c(retry));
    if (c->call)
        give_data(c, buf_str(&body));
    buf_deinit(&body);
    give_done(c, CALL_OK);
}

/* A whole answer, with its fault. */
static void give_whole(struct sim_call *c)
{
    struct buf body;
    buf_init(&body, ANSWER_BYTES_MAX);
    struct str type = c->fault == SIM_HTML ? S("text/html") : S("application/json");
    enum call_result result = CALL_OK;
    if (c->fault == SIM_HTML)
        buf_puts(&body, "<html>Welcome</html>");
    else if (c->fault == SIM_ERROR_INSIDE)
        write_error(c, "server_error", "broken inside", &body);
    else if (c->fault != SIM_EMPTY)
        write_whole(c, &body);
    size_t whole = body.n;
    if (c->fault == SIM_GARBAGE || c->fault == SIM_END_EARLY || c->fault == SIM_CUT || c->fault == SIM_STALL)
        whole = body.n / 2;
    if (c->fault == SIM_CUT)
        result = CALL_TRUNCATED;
    c->has_content = c->is_complete = c->fault == SIM_FINE;
    give_head(c, 200, type, S(""), S(""));
    if (c->call && whole)
        give_data(c, str_of(body.p, whole));
    buf_deinit(&body);
    if (c->fault != SIM_STALL)
        give_done(c, result);
}

static void give_bytes(struct sim_call *c, struct buf *b)
{
    if (c->call)
        give_data(c, buf_str(b));
    buf_deinit(b);
}

/* The next event of a stream; false when there is none any more. */
static bool give_event(struct sim_call *c)
{
    struct buf b;
    buf_init(&b, ANSWER_BYTES_MAX);
    int at = c->at++;
    if (at == 0 && c->fault != SIM_EMPTY)
        write_start(c, &b);
    bool is_fault = c->fault != SIM_FINE && at >= c->fault_at;
    if (is_fault) {
        if (c->fault == SIM_ERROR_INSIDE) {
            struct buf e;
            buf_init(&e, ANSWER_BYTES_MAX);
            write_error(c, "server_error", "broken inside", &e);
            buf_putc(&e, 0);
            add_event(&b, c->is_anthropic, "error", e.p);
            buf_deinit(&e);
        } else if (c->fault == SIM_GARBAGE) {
            add_event(&b, c->is_anthropic, "content_block_delta", "{\"choices\":[{\"del");
        }
        if (b.n)
            give_bytes(c, &b);
        if (c->fault != SIM_STALL)
            give_done(c, c->fault == SIM_CUT ? CALL_TRUNCATED : CALL_OK);
        return false;
    }
    if (at < c->n_pieces) {
        write_piece(c, at, &b);
        c->has_content = true;
        give_bytes(c, &b);
        return c->call != NULL;
    }
    write_finish(c, &b);
    c->is_complete = true;
    give_bytes(c, &b);
    give_done(c, CALL_OK);
    return false;
}

static void on_timer(struct timer *timer)
{
    struct sim_call *c = (struct sim_call *)((char *)timer - offsetof(struct sim_call, timer));
    if (http_script_is_paused(c->call)) {
        timer_start(&c->timer, 20);
        return;
    }
    switch (c->fault) {
    case SIM_CONNECT: give_done(c, CALL_CONNECT); return;
    case SIM_CONNECT_TIMEOUT: give_done(c, CALL_CONNECT_TIMEOUT); return;
    case SIM_RESET: give_done(c, CALL_BROKEN); return;
    case SIM_SILENT: return;
    case SIM_SERVER_ERROR:
    case SIM_OVERLOADED:
    case SIM_LIMITED:
    case SIM_BILLING:
    case SIM_BAD_KEY:
    case SIM_FORBIDDEN:
    case SIM_INVALID:
    case SIM_CONTEXT: give_failure(c); return;
    default: break;
    }
    if (!c->is_stream || c->fault == SIM_HTML) {
        give_whole(c);
        return;
    }
    if (!c->has_head)
        give_head(c, 200, S("text/event-stream"), S(""), S(""));
    if (c->call && give_event(c))
        timer_start(&c->timer, 1 + rng_below(&c->sim->rng, PACE_MS_MAX));
}

/* ---- the script ---- */

static bool body_has(const struct http_call_options *o, const char *fmt, int n)
{
    char word[32];
    snprintf(word, sizeof word, fmt, n);
    return memmem(o->body.p, o->body.n, word, strlen(word)) != NULL;
}

static int key_of(const struct http_call_options *o)
{
    for (int i = 0; i < o->n_headers; i++) {
        struct str v = o->headers[i].value;
        const char *at = memmem(v.p, v.n, "secret-", 7);
        if (at)
            return at[7] - '0';
    }
    return -1;
}

static void on_start(struct http_script *script, struct http_call *call, const struct http_call_options *o)
{
    struct sim *s = (struct sim *)((char *)script - offsetof(struct sim, script));
    if (s->n_calls == SIM_CALLS_MAX) {
        sim_broken(s, "more than %d calls", SIM_CALLS_MAX);
        exit(1);
    }
    struct sim_call *c = &s->calls[s->n_calls];
    *c = (struct sim_call){.sim = s, .call = call, .id = s->n_calls++, .client = -1, .target = -1};
    for (int i = 0; i < s->n_clients; i++)
        if (body_has(o, "REQ%d.", i))
            c->client = i;
    for (int i = 0; i < s->n_targets; i++)
        if (body_has(o, "\"t%d\"", i))
            c->target = i;
    if (c->client < 0 || c->target < 0) {
        sim_broken(s, "a call of nobody's");
        exit(1);
    }
    struct sim_target *t = &s->targets[c->target];
    c->key = key_of(o);
    c->is_stream = s->clients[c->client].is_stream;
    c->is_anthropic = str_eq(s->config->providers[t->provider].kind, S("anthropic"));
    c->fault = t->faults[rng_below(&s->rng, (uint64_t)t->n_faults)];
    c->n_pieces = 1 + (int)rng_below(&s->rng, SIM_PIECES_MAX);
    c->fault_at = (int)rng_below(&s->rng, (uint64_t)c->n_pieces + 1);
    if (c->fault == SIM_EMPTY)
        c->fault_at = 0;
    c->retry_ms = -1;
    c->began_ms = now_ms(s);
    s->n_running++;
    timer_init(&c->timer, s->loop, on_timer);
    bool is_slow = rng_below(&s->rng, 8) == 0;
    timer_start(&c->timer, 1 + rng_below(&s->rng, is_slow ? 19000 : 300));
    sim_on_call(s, c);
}

static void on_end(struct http_script *script, struct http_call *call)
{
    struct sim *s = (struct sim *)((char *)script - offsetof(struct sim, script));
    for (int i = s->n_calls - 1; i >= 0; i--) {
        struct sim_call *c = &s->calls[i];
        if (c->call != call)
            continue;
        c->call = NULL;
        c->ended_ms = now_ms(s);
        s->n_running--;
        timer_stop(&c->timer);
        sim_on_call_end(s, c);
        return;
    }
    sim_broken(s, "a call that never began has ended");
}

void sim_script_init(struct sim *s)
{
    s->script = (struct http_script){on_start, on_end};
}

/* ---- clients ---- */

static struct sim_client *client_of(struct request *req)
{
    struct sim_client *c = (struct sim_client *)req;
    if (c->is_over)
        sim_broken(c->sim, "client %d is answered after its end", c->idx);
    return c;
}

static void client_is_over(struct sim_client *c)
{
    c->is_over = true;
    c->ended_ms = now_ms(c->sim);
    timer_stop(&c->hang_up);
    timer_stop(&c->drain);
}

static void note_id(struct sim_client *c, const struct http_header *headers, int n)
{
    for (int i = 0; i < n; i++)
        if (str_eq(headers[i].name, S("x-request-id")))
            snprintf(c->id, sizeof c->id, "%.*s", STR(headers[i].value));
}

static void on_respond(struct request *req, int status, const struct http_header *headers, int n,
                       struct str body)
{
    struct sim_client *c = client_of(req);
    if (c->is_started)
        sim_broken(c->sim, "client %d gets a second head", c->idx);
    note_id(c, headers, n);
    c->status = status;
    c->is_clean = true;
    buf_str_add(&c->got, body);
    client_is_over(c);
}

static void on_stream(struct request *req, int status, const struct http_header *headers, int n)
{
    struct sim_client *c = client_of(req);
    if (c->is_started)
        sim_broken(c->sim, "client %d gets a second head", c->idx);
    if (!sim_has_content(c->sim, c->idx) && now_ms(c->sim) - c->began_ms < SIM_HEARTBEAT_MS)
        sim_broken(c->sim, "client %d gets a head before any content", c->idx);
    note_id(c, headers, n);
    c->is_started = true;
    c->status = status;
}

static void on_drained(struct timer *timer)
{
    struct sim_client *c = (struct sim_client *)((char *)timer - offsetof(struct sim_client, drain));
    if (c->req.on_drain)
        c->req.on_drain(&c->req);
}

static bool on_write(struct request *req, struct str bytes)
{
    struct sim_client *c = client_of(req);
    if (!c->is_started)
        sim_broken(c->sim, "client %d gets bytes without a head", c->idx);
    if (!sim_has_content(c->sim, c->idx) && memmem(bytes.p, bytes.n, "delta", 5))
        sim_broken(c->sim, "client %d sees an attempt without content", c->idx);
    buf_str_add(&c->got, bytes);
    if (!c->is_slow || c->drain.is_running || rng_below(&c->sim->rng, 3))
        return true;
    timer_start(&c->drain, 1 + rng_below(&c->sim->rng, 3000));
    return false;
}

static void on_stream_end(struct request *req)
{
    struct sim_client *c = client_of(req);
    c->is_clean = true;
    client_is_over(c);
}

static void on_abort(struct request *req)
{
    struct sim_client *c = client_of(req);
    c->is_aborted = true;
    client_is_over(c);
}

static const struct request_sink sink = {on_respond, on_stream, on_write, on_stream_end, on_abort};

static void on_hang_up(struct timer *timer)
{
    struct sim_client *c = (struct sim_client *)((char *)timer - offsetof(struct sim_client, hang_up));
    struct sim *s = c->sim;
    c->is_hung_up = true;
    client_is_over(c);
    s->hanging_up = c->idx;
    if (c->req.on_closed)
        c->req.on_closed(&c->req);
    s->hanging_up = -1;
    for (int i = 0; i < s->n_calls; i++)
        if (s->calls[i].client == c->idx && s->calls[i].call)
            sim_broken(s, "client %d left and call %d goes on", c->idx, i);
}

static void on_arrival(struct timer *timer)
{
    struct sim_client *c = (struct sim_client *)((char *)timer - offsetof(struct sim_client, arrival));
    c->has_come = true;
    c->began_ms = now_ms(c->sim);
    if (c->patience_ms)
        timer_start(&c->hang_up, c->patience_ms);
    gw_thread_handle(c->sim->thread, &c->req);
    if (!c->is_over)
        snprintf(c->id, sizeof c->id, "%s", ((struct gw_request *)c->req.user)->id);
}

void sim_client_init(struct sim *s, int idx, uint64_t arrival_ms)
{
    struct sim_client *c = &s->clients[idx];
    *c = (struct sim_client){.sim = s, .idx = idx};
    c->is_stream = rng_below(&s->rng, 3) > 0;
    c->is_anthropic = rng_below(&s->rng, 2);
    c->is_slow = rng_below(&s->rng, 4) == 0;
    c->patience_ms = rng_below(&s->rng, 4) == 0 ? 1 + rng_below(&s->rng, 6000) : 0;
    buf_init(&c->got, (size_t)1 << 20);
    snprintf(
        c->body, sizeof c->body,
        "{\"model\":\"chat\",\"max_tokens\":64,%s\"messages\":[{\"role\":\"user\",\"content\":\"REQ%d.\"}]}",
        c->is_stream ? "\"stream\":true," : "", idx);
    struct str path = c->is_anthropic ? S("/v1/messages") : S("/v1/chat/completions");
    c->head = (struct http_head){.minor = 1,
                                 .method = HTTP_POST,
                                 .method_name = S("POST"),
                                 .target = path,
                                 .path = path,
                                 .host = S("localhost"),
                                 .n_fields = 1};
    c->head.fields[0] = (struct http_field){S("authorization"), S("Bearer sk-sluice-sim")};
    c->req = (struct request){
        .sink = &sink, .head = &c->head, .body = str_c(c->body), .loop = s->loop, .peer = S("1.2.3.4:5")};
    timer_init(&c->arrival, s->loop, on_arrival);
    timer_init(&c->hang_up, s->loop, on_hang_up);
    timer_init(&c->drain, s->loop, on_drained);
    timer_start(&c->arrival, arrival_ms);
}

void sim_client_deinit(struct sim_client *c)
{
    timer_stop(&c->arrival);
    timer_stop(&c->hang_up);
    timer_stop(&c->drain);
    buf_deinit(&c->got);
}
