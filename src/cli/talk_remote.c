/* talk_remote.c - A model of a running server, asked through its OpenAI endpoint. */
#include <stdio.h>
#include <stdlib.h>

#include "api/dialect.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/talk.h"
#include "net/addr.h"
#include "net/client.h"
#include "net/sse.h"

#define ERROR_BODY_MAX 65536
#define ASK_AGAIN_MS   100 /* how often Ctrl-C is looked at */

struct talk_remote {
    const struct talk_options *o;
    struct loop *loop;
    struct tls_client *tls;
    struct http_client *client;
    struct url url;
    char *text; /* what url borrows from */
    struct str model;
    struct timer watch;
    /* the running answer */
    struct http_call *call;
    struct sse_reader sse;
    struct buf *answer, error;
    struct arena arena;
    volatile sig_atomic_t *stop;
    struct talk_stats *stats;
    int64_t began_ns, first_ns;
    int status, rc;
};

static struct str api_key(void)
{
    const char *key = config_env("SLUICE_API_KEY");
    if (!key || !key[0])
        key = config_env("OPENAI_API_KEY");
    return str_c(key);
}

/* http://host:port/NAME: the name is the rest of the path, with a /v1/ in front allowed. */
struct talk_remote *talk_remote_open(const char *url, const struct talk_options *o, int *status)
{
    struct err err = {0};
    struct talk_remote *r = calloc(1, sizeof *r);
    if (!r || !(r->text = str_dup_z(str_c(url)))) {
        free(r);
        *status = cli_fail(EXIT_FAIL, "no memory");
        return NULL;
    }
    r->o = o;
    int rc = url_parse(str_c(r->text), &r->url, &err);
    r->model = str_sub(r->url.path, 1, r->url.path.n);
    if (str_starts(r->model, S("v1/")))
        r->model = str_sub(r->model, 3, r->model.n);
    if (rc == OK && r->model.n == 0)
        rc = fail(&err, ERR_ARG, "'%s' names no model: write %s/NAME", url, url);
    if (rc == OK && !(r->loop = loop_create(&err)))
        rc = err.code;
    if (rc == OK && r->url.is_tls &&
        (!(r->tls = tls_client_create(NULL, &err)) || tls_client_load(r->tls, &err) != OK))
        rc = err.code;
    struct http_client_options co = {.tls = r->tls};
    if (rc == OK && !(r->client = http_client_create(r->loop, &co, &err)))
        rc = err.code;
    if (rc == OK)
        return r;
    *status = cli_fail(EXIT_FAIL, "%s", err.text);
    talk_remote_close(r);
    return NULL;
}

void talk_remote_close(struct talk_remote *r)
{
    if (!r)
        return;
    http_client_free(r->client);
    if (r->loop)
        loop_run_once(r->loop, 0);
    loop_free(r->loop);
    tls_client_free(r->tls);
    free(r->text);
    free(r);
}

static void write_request(const struct talk_remote *r, struct str messages, struct buf *body)
{
    const struct talk_options *o = r->o;
    struct json_writer w = json_writer(body);
    jw_begin_object(&w);
    jw_kv_str(&w, "model", r->model);
    jw_kv_bool(&w, "stream", true);
    if (o->is_raw) {
        jw_kv_str(&w, "prompt", messages);
        if (o->max_tokens < 0)
            jw_kv_i64(&w, "max_tokens", 1024);
    } else {
        jw_kv_raw(&w, "messages", messages);
    }
    jw_key(&w, "stream_options");
    jw_raw(&w, S("{\"include_usage\":true}"));
    if (o->temperature >= 0)
        jw_kv_f64(&w, "temperature", o->temperature);
    if (o->top_p >= 0)
        jw_kv_f64(&w, "top_p", o->top_p);
    if (o->min_p >= 0)
        jw_kv_f64(&w, "min_p", o->min_p);
    if (o->repeat_penalty >= 0)
        jw_kv_f64(&w, "repeat_penalty", o->repeat_penalty);
    if (o->top_k >= 0)
        jw_kv_i64(&w, "top_k", o->top_k);
    if (o->max_tokens >= 0)
        jw_kv_i64(&w, "max_tokens", o->max_tokens);
    if (o->seed >= 0)
        jw_kv_i64(&w, "seed", o->seed);
    if (o->n_stops) {
        jw_key(&w, "stop");
        jw_begin_array(&w);
        for (int i = 0; i < o->n_stops; i++)
            jw_z(&w, o->stops[i]);
        jw_end_array(&w);
    }
    jw_end_object(&w);
}

static void stop_with(struct talk_remote *r, struct json error)
{
    struct str message = json_text(json_get(error, "message"), &r->arena);
    r->rc = cli_fail(EXIT_FAIL, "%.*s", STR(message.p ? message : S("the server answered with an error")));
}

static void on_chunk(struct talk_remote *r, struct str data)
{
    struct json_doc doc;
    arena_reset(&r->arena);
    if (str_eq(data, S("[DONE]")) || json_parse(&doc, &r->arena, data, NULL) != OK)
        return;
    struct json root = json_root(&doc), choice = json_at(json_get(root, "choices"), 0);
    if (json_exists(json_get(root, "error"))) {
        stop_with(r, json_get(root, "error"));
        return;
    }
    struct json content =
        r->o->is_raw ? json_get(choice, "text") : json_get(json_get(choice, "delta"), "content");
    struct str text = json_text(content, &r->arena);
    if (text.n) {
        if (!r->first_ns)
            r->first_ns = clock_now_ns();
        fwrite(text.p, 1, text.n, stdout);
        fflush(stdout);
        buf_str_add(r->answer, text);
    }
    struct json usage = json_get(root, "usage");
    json_i64(json_get(usage, "prompt_tokens"), &r->stats->prompt_tokens);
    json_i64(json_get(usage, "completion_tokens"), &r->stats->answer_tokens);
    json_i64(json_get(json_get(usage, "prompt_tokens_details"), "cached_tokens"), &r->stats->cached_tokens);
}

static void on_response(struct http_call *call, const struct http_head *head)
{
    struct talk_remote *r = http_call_user(call);
    r->status = head->status;
}

static void on_data(struct http_call *call, struct str data)
{
    struct talk_remote *r = http_call_user(call);
    struct sse_event ev;
    if (r->status != 200) {
        buf_str_add(&r->error, data);
        return;
    }
    sse_feed(&r->sse, data);
    while (sse_next(&r->sse, &ev) == 1)
        if (ev.data.n)
            on_chunk(r, ev.data);
}

static void on_done(struct http_call *call, enum call_result result, const char *why)
{
    struct talk_remote *r = http_call_user(call);
    r->call = NULL;
    if (result != CALL_OK) {
        r->rc = cli_fail(EXIT_FAIL, "%s", why);
    } else if (r->status != 200) {
        struct json_doc doc;
        arena_reset(&r->arena);
        struct json error = json_absent();
        if (json_parse(&doc, &r->arena, buf_str(&r->error), NULL) == OK)
            error = json_get(json_root(&doc), "error");
        stop_with(r, error);
    }
    loop_stop(r->loop);
}

static void on_watch(struct timer *timer)
{
    struct talk_remote *r = (struct talk_remote *)((char *)timer - offsetof(struct talk_remote, watch));
    if (*r->stop && r->call) {
        http_call_cancel(r->call);
        r->call = NULL;
        loop_stop(r->loop);
        return;
    }
    timer_start(&r->watch, ASK_AGAIN_MS);
}

int talk_remote_answer(struct talk_remote *r, struct str messages, struct buf *answer,
                       volatile sig_atomic_t *stop, struct talk_stats *stats)
{
    struct buf body;
    char auth[512];
    struct str key = api_key();
    buf_init(&body, (size_t)64 << 20);
    write_request(r, messages, &body);
    snprintf(auth, sizeof auth, "Bearer %.*s", STR(key));
    struct http_header headers[] = {{S("content-type"), S("application/json")},
                                    {S("authorization"), str_c(auth)}};
    struct http_call_options co = {
        .host = r->url.host,
        .port = r->url.port,
        .is_tls = r->url.is_tls,
        .method = S("POST"),
        .target = r->o->is_raw ? S("/v1/completions") : S("/v1/chat/completions"),
        .headers = headers,
        .n_headers = key.n ? 2 : 1,
        .body = buf_str(&body),
        .callbacks = {on_response, on_data, on_done},
        .user = r,
        .connect_ms = 5000,
    };
    *stats = (struct talk_stats){0};
    r->answer = answer;
    r->stats = stats;
    r->stop = stop;
    r->rc = EXIT_OK;
    r->status = 0;
    r->began_ns = clock_now_ns();
    r->first_ns = 0;
    sse_reader_init(&r->sse, (size_t)16 << 20);
    buf_init(&r->error, ERROR_BODY_MAX);
    arena_init(&r->arena, (size_t)64 << 20);
    timer_init(&r->watch, r->loop, on_watch);
    timer_start(&r->watch, ASK_AGAIN_MS);
    r->call = http_call_start(r->client, &co);
    if (r->call)
        loop_run(r->loop);
    else
        r->rc = cli_fail(EXIT_FAIL, "no memory");
    timer_stop(&r->watch);
    if (r->first_ns) {
        stats->prompt_s = (double)(r->first_ns - r->began_ns) / 1e9;
        stats->answer_s = (double)(clock_now_ns() - r->first_ns) / 1e9;
    }
    sse_reader_deinit(&r->sse);
    buf_deinit(&r->error);
    buf_deinit(&body);
    arena_deinit(&r->arena);
    return r->rc;
}
