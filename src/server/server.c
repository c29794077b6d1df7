/* server.c - Threads, sockets, signals.  See server.h.
 *
 * Thread 0 is the caller's own; it also takes the signals.  Each loop thread has its own
 * listening sockets (SO_REUSEPORT), HTTP server and gateway thread, and shares nothing with the
 * others but what gateway.h says. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "net/addr.h"
#include "server/server_int.h"

#define DRAIN_WATCH_MS           20
#define LOOP_THREADS_DEFAULT_MAX 4

/* ---- start ---- */

static int make_thread(struct server *s, int idx, struct err *err)
{
    struct server_thread *t = &s->threads[idx];
    t->server = s;
    t->idx = idx;
    t->loop = loop_create(err);
    if (!t->loop)
        return err->code;
    struct http_server_options o = {
        .handler = {routes_on_head, routes_on_request, routes_write_refusal},
        .arg = t,
        .body_bytes_max = (uint64_t)s->config->max_body,
        .arena_bytes_max = (size_t)s->config->max_body * 2 + ((size_t)1 << 20),
    };
    t->http = http_server_create(t->loop, &o, err);
    if (!t->http)
        return err->code;
    t->gw = gw_thread_create(s->gw, t->loop, idx, err);
    return t->gw ? OK : err->code;
}

static int listen_at(struct server *s, struct str at, struct err *err)
{
    struct str host;
    uint16_t port, bound = 0;
    int fds[LISTEN_MAX * 4];
    int cap = (int)(sizeof fds / sizeof *fds);
    if (addr_parse(at, &host, &port, err) != OK)
        return err->code;
    int n = addr_listen(host, port, s->n_threads, fds, (size_t)cap, &bound, err);
    if (n < 0)
        return n;
    int rc = OK;
    for (int i = 0; i < n * s->n_threads; i++) {
        if (rc == OK)
            rc = http_server_listen(s->threads[i % s->n_threads].http, fds[i], s->tls, err);
        else
            close(fds[i]);
    }
    if (rc != OK)
        return rc;
    const char *scheme = s->tls ? "https" : "http";
    bool v6 = str_find_char(host, ':', 0) != STR_NONE;
    log_info("server", "listening on %s://%s%.*s%s:%u", scheme, v6 ? "[" : "", STR(host), v6 ? "]" : "",
             bound);
    if (s->options->ready_fd >= 0)
        dprintf(s->options->ready_fd, "%s://%s%.*s%s:%u\n", scheme, v6 ? "[" : "", STR(host), v6 ? "]" : "",
                bound);
    return OK;
}

static int start_tls(struct server *s, struct err *err)
{
    if (s->config->tls_cert.n == 0)
        return OK;
    char *cert = str_dup_z(s->config->tls_cert), *key = str_dup_z(s->config->tls_key);
    if (cert && key)
        s->tls = tls_server_create(cert, key, err);
    free(cert);
    free(key);
    return s->tls ? OK : err->code;
}

static int start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    int n = (int)c->threads;
    if (n == 0) {
        n = sys_n_cpus();
        n = n > LOOP_THREADS_DEFAULT_MAX ? LOOP_THREADS_DEFAULT_MAX : n;
    }
    s->n_threads = n > LISTEN_MAX ? LISTEN_MAX : n;
    sys_raise_nofile();
    int rc = config_proxies(s->options->source->env, &s->proxies, err);
    rc = rc ? rc : start_tls(s, err);
    if (rc != OK)
        return rc;
    s->local = local_create(c, err);
    if (!s->local)
        return err->code;
    struct gateway_options go = {.config = s->config,
                                 .local = local_engine_of(s->local),
                                 .proxies = s->proxies,
                                 .n_threads = s->n_threads};
    s->gw = gateway_create(&go, err);
    if (!s->gw)
        return err->code;
    for (int i = 0; i < s->n_threads && rc == OK; i++)
        rc = make_thread(s, i, err);
    for (int i = 0; i < c->listen.n && rc == OK; i++)
        rc = listen_at(s, c->listen.items[i], err);
    if (rc == OK && s->options->preload)
        local_preload(s->local);
    return rc;
}

/* ---- stop ---- */

static void on_http_drained(struct http_server *http, void *arg)
{
    (void)http;
    (void)arg;
}

/* Requests outlive their connections by what they still have to account for. */
static void on_watch(struct timer *timer)
{
    struct server_thread *t = (struct server_thread *)((char *)timer - offsetof(struct server_thread, watch));
    struct http_server_stats stats = http_server_get_stats(t->http);
    if (gw_thread_n_running(t->gw) == 0 && t->n_admin_jobs == 0 && stats.n_requests == 0)
        loop_stop(t->loop);
    else
        timer_start(&t->watch, DRAIN_WATCH_MS);
}

static void on_drain(struct loop_task *task)
{
    struct server_thread *t = (struct server_thread *)((char *)task - offsetof(struct server_thread, drain));
    int64_t timeout_ms = t->server->config->drain_timeout_ns / NS_PER_MS;
    uint64_t deadline = t->drains_asked > 1 ? 0 : loop_now_ms(t->loop) + (uint64_t)timeout_ms;
    http_server_drain(t->http, deadline, on_http_drained, t);
    if (!t->is_draining) {
        t->is_draining = true;
        timer_init(&t->watch, t->loop, on_watch);
        timer_start(&t->watch, 1);
    }
}

static void on_stop_signal(void *arg, int signum)
{
    struct server *s = arg;
    bool again = s->threads[0].drains_asked > 0;
    log_info("server", "signal %d: %s", signum, again ? "ending at once" : "draining");
    gateway_set_draining(s->gw);
    for (int i = 0; i < s->n_threads; i++) {
        struct server_thread *t = &s->threads[i];
        if (t->drains_asked >= 2)
            continue;
        t->drains_asked = again ? 2 : 1;
        t->drain.run = on_drain;
        loop_post(t->loop, &t->drain);
    }
}

static void on_reload_signal(void *arg, int signum)
{
    struct server *s = arg;
    (void)signum;
    struct config_faults faults;
    struct err err = {0};
    config_faults_init(&faults);
    struct config *c = config_load(s->options->source, &faults);
    if (c && local_update(s->local, c, &err) != OK)
        config_fault(&faults, S(""), 0, "%s", err.text);
    if (faults.n == 0) {
        gateway_set_config(s->gw, c);
        if (s->tls && c->tls_cert.n) {
            char *cert = str_dup_z(c->tls_cert), *key = str_dup_z(c->tls_key);
            if (!cert || !key || tls_server_reload(s->tls, cert, key, &err) != OK)
                log_error("server", "the certificate was not reloaded: %s", err.text);
            free(cert);
            free(key);
        }
        log_info("server", "the configuration was reloaded");
    } else {
        struct str rest = buf_str(&faults.text), line;
        while (str_split(&rest, '\n', &line) && line.n)
            log_error("server", "the configuration was not reloaded: %.*s", STR(line));
    }
    config_drop(c);
    config_faults_deinit(&faults);
}

/* ---- run ---- */

static void *run_thread(void *arg)
{
    struct server_thread *t = arg;
    loop_run(t->loop);
    return NULL;
}

static int run(struct server *s, struct err *err)
{
    struct loop *main_loop = s->threads[0].loop;
    struct loop_signal *signals[3] = {
        loop_signal_open(main_loop, SIGTERM, on_stop_signal, s, err),
        loop_signal_open(main_loop, SIGINT, on_stop_signal, s, err),
        loop_signal_open(main_loop, SIGHUP, on_reload_signal, s, err),
    };
    int n_started = 1, rc = signals[0] && signals[1] && signals[2] ? OK : err->code;
    for (; rc == OK && n_started < s->n_threads; n_started++) {
        int e = pthread_create(&s->threads[n_started].thread, NULL, run_thread, &s->threads[n_started]);
        if (e != 0) {
            rc = fail_errno(err, e, "cannot start a thread");
            break;
        }
    }
    if (rc == OK)
        loop_run(main_loop);
    for (int i = 1; i < n_started; i++) {
        if (rc != OK)
            loop_stop(s->threads[i].loop);
        pthread_join(s->threads[i].thread, NULL);
    }
    for (int i = 0; i < 3; i++)
        loop_signal_close(signals[i]);
    return rc;
}

int server_run(const struct server_options *options, struct err *err)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, ERR_NOMEM, "no memory for the server");
    signal(SIGPIPE, SIG_IGN);
    s->options = options;
    s->config = options->config;
    int rc = start(s, err);
    if (rc == OK)
        rc = run(s, err);
    for (int i = 0; i < s->n_threads; i++) {
        http_server_free(s->threads[i].http);
        if (s->threads[i].loop)
            loop_run_once(s->threads[i].loop, 0);
        gw_thread_free(s->threads[i].gw);
    }
    local_free(s->local);
    for (int i = 0; i < s->n_threads; i++)
        loop_free(s->threads[i].loop);
    gateway_free(s->gw);
    tls_server_free(s->tls);
    proxy_rules_free(s->proxies);
    free(s);
    return rc;
}
