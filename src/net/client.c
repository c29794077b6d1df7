/* client.c - Calls: start, connect, time out, end.  See client.h, client_int.h.
 *
 * Start reading at http_call_start(); what happens on the connection is in upstream.c. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/client_int.h"

const char *call_result_name(enum call_result result)
{
    switch (result) {
    case CALL_OK: return "ok";
    case CALL_DNS: return "dns";
    case CALL_CONNECT: return "connect";
    case CALL_CONNECT_TIMEOUT: return "connect_timeout";
    case CALL_TLS: return "tls";
    case CALL_PROXY: return "proxy";
    case CALL_FIRST_BYTE_TIMEOUT: return "first_byte_timeout";
    case CALL_BROKEN: return "broken";
    case CALL_IDLE_TIMEOUT: return "idle_timeout";
    case CALL_TRUNCATED: return "truncated";
    case CALL_TOTAL_TIMEOUT: return "total_timeout";
    case CALL_PROTOCOL: return "protocol";
    case CALL_NO_MEMORY: return "no_memory";
    }
    return "unknown";
}

/* -------------------------------------------------------------------- pools */

static void free_call(struct http_call *call)
{
    buf_deinit(&call->head);
    free(call);
}

static void recycle_calls(struct loop_task *task)
{
    struct http_client *client = (struct http_client *)((char *)task - offsetof(struct http_client, recycle));
    while (client->ended_calls) {
        struct http_call *call = client->ended_calls;
        client->ended_calls = call->next;
#ifndef SLUICE_DEBUG
        if (client->n_free_calls < CALLS_POOL_MAX && call->head.cap <= 16384) {
            call->next = client->free_calls;
            client->free_calls = call;
            client->n_free_calls++;
            continue;
        }
#endif
        free_call(call);
    }
}

static struct http_call *take_call(struct http_client *client)
{
    struct http_call *call = client->free_calls;
    struct buf head;
    if (call) {
        client->free_calls = call->next;
        client->n_free_calls--;
        head = call->head;
        buf_clear(&head);
    } else {
        call = malloc(sizeof *call);
        if (!call)
            return NULL;
        buf_init(&head, CALL_HEAD_BYTES_MAX);
    }
    memset(call, 0, sizeof *call);
    call->head = head;
    return call;
}

/* Lets go of all that the call holds, without a callback. */
static void end_call(struct http_call *call, bool is_complete)
{
    struct http_client *client = call->client;
    if (client->opt.script && call->phase != CALL_OVER)
        client->opt.script->end(client->opt.script, call);
    if (call->phase == CALL_LOOKUP)
        origin_stop_waiting(call->origin, call);
    if (call->dial)
        dial_cancel(call->dial);
    call->dial = NULL;
    if (call->up)
        upstream_release(call->up, is_complete);
    if (call->inflater) {
        inflateEnd(call->inflater);
        free(call->inflater);
        call->inflater = NULL;
    }
    timer_stop(&call->phase_timer);
    timer_stop(&call->total_timer);
    loop_withdraw(client->loop, LOOP_FLUSH, &call->turn_end);
    call->phase = CALL_OVER;
}

static void bury_call(struct http_call *call)
{
    struct http_client *client = call->client;
    if (call->prev)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    client->stats.n_calls--;
    origin_release(call->origin);
    call->next = client->ended_calls;
    client->ended_calls = call;
    if (!client->is_freed)
        loop_at_turn_end(client->loop, LOOP_FLUSH, &client->recycle);
}

void call_finish(struct http_call *call, enum call_result result, const char *why)
{
    /* The sentence may lie in the call, the connection or the parser: keep a copy. */
    char sentence[sizeof call->why] = "";
    if (why)
        snprintf(sentence, sizeof sentence, "%s", why);
    end_call(call, result == CALL_OK);
    call->is_in_done = true;
    call->on.on_done(call, result, sentence);
    bury_call(call);
}

void call_fail_later(struct http_call *call, enum call_result result, const char *why)
{
    if (why != call->why)
        snprintf(call->why, sizeof call->why, "%s", why);
    call->pending = result;
    call->phase = CALL_SETUP;
    loop_at_turn_end(call->client->loop, LOOP_FLUSH, &call->turn_end);
}

static void on_turn_end(struct loop_task *task)
{
    struct http_call *call = (struct http_call *)((char *)task - offsetof(struct http_call, turn_end));
    if (call->pending != CALL_OK)
        call_finish(call, call->pending, call->why);
    else if (call->up && !call->is_paused)
        upstream_go_on(call->up);
}

/* ----------------------------------------------------------------- timeouts */

static void on_phase_timeout(struct timer *timer)
{
    struct http_call *call = (struct http_call *)((char *)timer - offsetof(struct http_call, phase_timer));
    char why[128];
    if (call->phase <= CALL_SETUP) {
        snprintf(why, sizeof why, "no connection within %d ms", call->connect_ms);
        call_finish(call, CALL_CONNECT_TIMEOUT, why);
    } else if (!call->stats.first_byte_ms) {
        snprintf(why, sizeof why, "no answer within %d ms", call->first_byte_ms);
        call_finish(call, CALL_FIRST_BYTE_TIMEOUT, why);
    } else {
        snprintf(why, sizeof why, "nothing more came for %d ms", call->idle_ms);
        call_finish(call, CALL_IDLE_TIMEOUT, why);
    }
}

static void on_total_timeout(struct timer *timer)
{
    struct http_call *call = (struct http_call *)((char *)timer - offsetof(struct http_call, total_timer));
    call_finish(call, CALL_TOTAL_TIMEOUT, "the whole call took longer than allowed");
}

static void start_or_stop(struct timer *timer, int ms)
{
    if (ms > 0)
        timer_start(timer, (uint64_t)ms);
    else
        timer_stop(timer);
}

void call_start_first_byte_timer(struct http_call *call)
{
    start_or_stop(&call->phase_timer, call->first_byte_ms);
}

void call_start_idle_timer(struct http_call *call)
{
    if (call->stats.first_byte_ms)
        start_or_stop(&call->phase_timer, call->is_paused ? 0 : call->idle_ms);
}

/* --------------------------------------------------------------- connecting */

static void dial_is_freed(void *arg)
{
    struct http_client *client = arg;
    client->n_pending--;
    client_free_if_last(client);
}

static void dial_is_done(void *arg, int fd, const char *why)
{
    struct http_call *call = arg;
    call->dial = NULL;
    if (fd < 0) {
        origin_forget_addresses(call->origin); /* they may have changed */
        char sentence[320];
        snprintf(sentence, sizeof sentence, "no connection to '%.64s': %s", call->origin->host, why);
        call_finish(call, CALL_CONNECT, sentence);
        return;
    }
    if (!upstream_open(call->origin, fd, call))
        call_finish(call, CALL_NO_MEMORY, "no memory for a connection");
}

void call_got_addresses(struct http_call *call)
{
    struct origin *o = call->origin;
    struct http_client *client = call->client;
    call->phase = CALL_DIAL;
    call->dial = dial_start(client->loop, o->addrs, o->n_addrs, dial_is_done, call, dial_is_freed, client);
    if (call->dial)
        client->n_pending++;
    else
        call_fail_later(call, CALL_NO_MEMORY, "no memory for a connection");
}

static void connect_call(struct http_call *call)
{
    struct http_client *client = call->client;
    start_or_stop(&call->phase_timer, call->connect_ms);
    if (call->origin->is_tls && !client->opt.tls) {
        call_fail_later(call, CALL_TLS, "this client has no TLS");
        return;
    }
    call->phase = CALL_LOOKUP;
    int rc = origin_lookup(call->origin, call);
    if (rc == 1)
        call_got_addresses(call);
    else if (rc < 0)
        call_fail_later(call, CALL_DNS, call->why);
}

bool call_try_again(struct http_call *call)
{
    if (call->stats.is_resent)
        return false;
    call->stats.is_resent = true;
    call->stats.is_reused = false;
    call->client->stats.resent++;
    upstream_close(call->up); /* leaves the call */
    connect_call(call);
    return true;
}

/* --------------------------------------------------------------------- start */

/* An HTTP proxy without a tunnel wants the whole URL as target. */
static void write_absolute_line(struct buf *out, const struct origin *origin,
                                const struct http_call_options *o)
{
    struct buf target;
    buf_init(&target, CALL_HEAD_BYTES_MAX);
    buf_puts(&target, "http://");
    buf_puts(&target, origin->authority);
    buf_str_add(&target, o->target);
    if (!buf_ok(&target))
        out->failed = true;
    http_write_request_line(out, o->method, buf_str(&target));
    buf_deinit(&target);
}

static bool write_head(struct http_call *call, const struct http_call_options *o)
{
    struct buf *out = &call->head;
    const struct proxy_server *proxy = o->is_tls ? NULL : call->origin->proxy;
    if (proxy)
        write_absolute_line(out, call->origin, o);
    else
        http_write_request_line(out, o->method, o->target);
    http_write_field(out, S("host"), str_c(call->origin->authority));
    if (proxy && proxy->authorization.n)
        http_write_field(out, S("proxy-authorization"), proxy->authorization);
    for (int i = 0; i < o->n_headers; i++)
        http_write_field(out, o->headers[i].name, o->headers[i].value);
    buf_str_add(out, o->accept_gzip ? S("accept-encoding: gzip\r\n") : S("accept-encoding: identity\r\n"));
    if (o->body.n || o->has_body)
        http_write_field_u64(out, S("content-length"), o->body.n);
    http_write_end(out);
    return buf_ok(out);
}

struct http_call *http_call_start(struct http_client *client, const struct http_call_options *o)
{
    assert(o->callbacks.on_done && o->host.n && o->target.n);
    struct origin *origin = origin_get(client, o->host, o->port, o->is_tls);
    struct http_call *call = origin ? take_call(client) : NULL;
    if (!call) {
        if (origin)
            origin_release(origin);
        return NULL;
    }
    call->client = client;
    call->origin = origin;
    call->on = o->callbacks;
    call->user = o->user;
    call->body = o->body;
    call->connect_ms = o->connect_ms;
    call->first_byte_ms = o->first_byte_ms;
    call->idle_ms = o->idle_ms;
    call->is_to_head = str_eq(o->method, S("HEAD"));
    call->accepts_gzip = o->accept_gzip;
    call->turn_end.run = on_turn_end;
    call->stats.began_ms = loop_now_ms(client->loop);
    timer_init(&call->phase_timer, client->loop, on_phase_timeout);
    timer_init(&call->total_timer, client->loop, on_total_timeout);
    call->next = client->calls;
    if (client->calls)
        client->calls->prev = call;
    client->calls = call;
    client->stats.n_calls++;
    start_or_stop(&call->total_timer, o->total_ms);
    if (!write_head(call, o)) {
        call_fail_later(call, CALL_NO_MEMORY, "the request's head is too large");
        return call;
    }
    if (client->opt.script) {
        call->phase = CALL_SETUP;
        client->opt.script->start(client->opt.script, call, o);
        return call;
    }
    struct upstream *up = origin_take_idle(origin);
    if (up) {
        call->stats.is_reused = true;
        client->stats.reused++;
        upstream_begin_call(up, call);
    } else {
        connect_call(call);
    }
    return call;
}

void http_call_cancel(struct http_call *call)
{
    if (call->is_in_done) /* from inside on_done: it ends anyway */
        return;
    end_call(call, false);
    bury_call(call);
}

void http_call_pause(struct http_call *call)
{
    if (call->is_paused || call->phase == CALL_OVER)
        return;
    call->is_paused = true;
    if (!call->up)
        return;
    call_start_idle_timer(call);
    if (call->up->phase == UP_ACTIVE)
        upstream_watch(call->up);
}

void http_call_resume(struct http_call *call)
{
    if (!call->is_paused || call->phase == CALL_OVER)
        return;
    call->is_paused = false;
    if (!call->up)
        return;
    call_start_idle_timer(call);
    upstream_watch(call->up);
    if (conn_has_pending(&call->up->io))
        loop_at_turn_end(call->client->loop, LOOP_FLUSH, &call->turn_end);
}

void *http_call_user(const struct http_call *call)
{
    return call->user;
}

void http_script_head(struct http_call *call, const struct http_head *head)
{
    call->phase = CALL_HEAD;
    if (call->on.on_response)
        call->on.on_response(call, head);
}

void http_script_data(struct http_call *call, struct str data)
{
    assert(data.n);
    call->phase = CALL_BODY;
    if (call->on.on_data)
        call->on.on_data(call, data);
}

void http_script_done(struct http_call *call, enum call_result result, const char *why)
{
    call_finish(call, result, why);
}

bool http_script_is_paused(const struct http_call *call)
{
    return call->is_paused;
}

struct http_call_stats http_call_get_stats(const struct http_call *call)
{
    return call->stats;
}

/* ------------------------------------------------------------------- client */

struct http_client *http_client_create(struct loop *loop, const struct http_client_options *options,
                                       struct err *err)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (!client) {
        fail(err, ERR_NOMEM, "no memory for an HTTP client");
        return NULL;
    }
    client->loop = loop;
    if (options)
        client->opt = *options;
    struct http_client_options *o = &client->opt;
    if (o->idle_per_origin_max <= 0)
        o->idle_per_origin_max = 256;
    if (o->idle_timeout_ms <= 0)
        o->idle_timeout_ms = 60000;
    if (o->dns_ttl_ms <= 0)
        o->dns_ttl_ms = 60000;
    if (!o->head_bytes_max || o->head_bytes_max > HTTP_HEAD_BYTES_MAX)
        o->head_bytes_max = HTTP_HEAD_BYTES_MAX;
    client->recycle.run = recycle_calls;
    return client;
}

void client_free_if_last(struct http_client *client)
{
    if (!client->is_freed || client->n_pending > 0)
        return;
    recycle_calls(&client->recycle);
    while (client->free_calls)
        free_call(take_call(client));
    free(client);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    client->is_freed = true;
    loop_withdraw(client->loop, LOOP_FLUSH, &client->recycle);
    while (client->calls) {
        assert(!client->calls->is_in_done);
        http_call_cancel(client->calls);
    }
    while (client->open)
        upstream_close(client->open);
    client_free_if_last(client);
}

struct http_client_stats http_client_get_stats(const struct http_client *client)
{
    return client->stats;
}
