/* fetch.c - Waiting for a URL, from redirect to redirect.  See fetch.h; start reading at fetch_get(). */
#include "net/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/client.h"
#include "net/loop.h"

#define URL_BYTES_MAX      32768 /* signed addresses of file stores are long */
#define CONNECT_TIMEOUT_MS 20000
#define IDLE_TIMEOUT_MS    30000

struct fetch {
    struct loop *loop;
    struct tls_client *tls;
    struct http_client *client;
    /* the running one */
    const struct fetch_request *rq;
    struct err *err;
    struct http_call *call;
    struct buf url, next; /* where we are, where the answer sends us */
    struct url at;
    bool is_same_origin, is_redirected;
    int rc;
};

struct fetch *fetch_create(const struct proxy_rules *proxies, struct err *err)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f) {
        fail(err, ERR_NOMEM, "no memory for a download");
        return NULL;
    }
    buf_init(&f->url, URL_BYTES_MAX);
    buf_init(&f->next, URL_BYTES_MAX);
    f->loop = loop_create(err);
    f->tls = f->loop ? tls_client_create(NULL, err) : NULL;
    struct http_client_options o = {.tls = f->tls, .proxies = proxies};
    bool ok = f->tls && tls_client_load(f->tls, err) == OK;
    f->client = ok ? http_client_create(f->loop, &o, err) : NULL;
    if (f->client)
        return f;
    fetch_free(f);
    return NULL;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    http_client_free(f->client);
    if (f->loop)
        loop_run_once(f->loop, 0);
    loop_free(f->loop);
    tls_client_free(f->tls);
    buf_deinit(&f->url);
    buf_deinit(&f->next);
    free(f);
}

/* ---- redirects ---- */

static void add_origin(const struct url *u, struct buf *out)
{
    bool v6 = str_find_char(u->host, ':', 0) != STR_NONE;
    buf_printf(out, "%s://%s%.*s%s:%u", u->is_tls ? "https" : "http", v6 ? "[" : "", STR(u->host),
               v6 ? "]" : "", u->port);
}

bool fetch_resolve(const struct url *base, struct str location, struct buf *out)
{
    location = str_sub(location, 0, str_find_char(location, '#', 0));
    size_t scheme = str_find(location, S("://"), 0), slash = str_find_char(location, '/', 0);
    if (scheme != STR_NONE && scheme < slash)
        return buf_str_add(out, location);
    if (str_starts(location, S("//"))) {
        buf_puts(out, base->is_tls ? "https:" : "http:");
        return buf_str_add(out, location);
    }
    add_origin(base, out);
    if (slash != 0) { /* beside the last part of the path that we came from */
        size_t n = base->path.n;
        while (n > 0 && base->path.p[n - 1] != '/')
            n--;
        buf_str_add(out, n ? str_sub(base->path, 0, n) : S("/"));
    }
    return buf_str_add(out, location);
}

static bool is_same_origin(const struct url *a, const struct url *b)
{
    return a->is_tls == b->is_tls && a->port == b->port && str_eq_nocase(a->host, b->host);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Moves to where the last answer sent us. */
static int follow(struct fetch *f, struct err *err)
{
    struct url to;
    struct str text = buf_str(&f->next);
    if (!buf_ok(&f->next) || url_parse(text, &to, NULL) != OK)
        return fail(err, ERR_FORMAT, "'%.*s' redirects to an address that cannot be used", STR(f->at.host));
    if (f->at.is_tls && !to.is_tls)
        return fail(err, ERR_FORMAT, "'%.*s' redirects from https to http, which is not followed",
                    STR(f->at.host));
    f->is_same_origin = f->is_same_origin && is_same_origin(&f->at, &to);
    struct buf swap = f->url;
    f->url = f->next;
    f->next = swap;
    f->at = to; /* borrows from what is f->url now */
    return OK;
}

/* ---- one answer ---- */

static void stop(struct fetch *f, int rc)
{
    f->rc = rc;
    if (f->call)
        http_call_cancel(f->call);
    f->call = NULL;
    loop_stop(f->loop);
}

static void on_response(struct http_call *call, const struct http_head *head)
{
    struct fetch *f = http_call_user(call);
    struct str location = http_value(head, S("location"));
    struct fetch_hop hop = {head, is_redirect(head->status) && location.n, f->is_same_origin};
    int rc = f->rq->on_head ? f->rq->on_head(f->rq->user, &hop, f->err) : OK;
    if (rc != OK) {
        stop(f, rc);
    } else if (hop.is_redirect) {
        buf_clear(&f->next);
        fetch_resolve(&f->at, location, &f->next);
        f->is_redirected = true;
        stop(f, OK);
    }
}

static void on_data(struct http_call *call, struct str data)
{
    struct fetch *f = http_call_user(call);
    int rc = f->rq->on_data ? f->rq->on_data(f->rq->user, data, f->err) : OK;
    if (rc != OK)
        stop(f, rc);
}

static void on_done(struct http_call *call, enum call_result result, const char *why)
{
    struct fetch *f = http_call_user(call);
    f->call = NULL;
    bool is_hopeless = result == CALL_TLS || result == CALL_PROXY || result == CALL_PROTOCOL;
    f->rc = result == CALL_OK
                ? OK
                : fail(f->err, is_hopeless ? ERR_IO : ERR_CLOSED, "'%.*s': %s", STR(f->at.host), why);
    loop_stop(f->loop);
}

static int ask(struct fetch *f, struct err *err)
{
    const struct fetch_request *rq = f->rq;
    struct http_header headers[3];
    char range[64];
    int n = 0;
    headers[n++] = (struct http_header){S("user-agent"), S("sluice/" SLUICE_VERSION)};
    if (rq->authorization.n && f->is_same_origin)
        headers[n++] = (struct http_header){S("authorization"), rq->authorization};
    if (rq->from > 0) {
        snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)rq->from);
        headers[n++] = (struct http_header){S("range"), str_c(range)};
    }
    struct buf target;
    buf_init(&target, URL_BYTES_MAX);
    buf_str_add(&target, f->at.path.n ? f->at.path : S("/"));
    if (f->at.query.n)
        buf_printf(&target, "?%.*s", STR(f->at.query));
    struct http_call_options o = {
        .host = f->at.host,
        .port = f->at.port,
        .is_tls = f->at.is_tls,
        .method = rq->is_head ? S("HEAD") : S("GET"),
        .target = buf_str(&target),
        .headers = headers,
        .n_headers = n,
        .callbacks = {on_response, on_data, on_done},
        .user = f,
        .connect_ms = CONNECT_TIMEOUT_MS,
        .first_byte_ms = IDLE_TIMEOUT_MS,
        .idle_ms = IDLE_TIMEOUT_MS,
    };
    f->is_redirected = false;
    f->rc = OK;
    f->call = buf_ok(&target) ? http_call_start(f->client, &o) : NULL;
    buf_deinit(&target);
    if (!f->call)
        return fail(err, ERR_NOMEM, "no memory for a download");
    loop_run(f->loop);
    return f->rc;
}

int fetch_get(struct fetch *f, const struct fetch_request *rq, struct err *err)
{
    f->rq = rq;
    f->err = err;
    f->is_same_origin = true;
    buf_clear(&f->url);
    buf_str_add(&f->url, rq->url);
    if (!buf_ok(&f->url))
        return fail(err, ERR_LIMIT, "an address is longer than %d bytes", URL_BYTES_MAX);
    int rc = url_parse(buf_str(&f->url), &f->at, err);
    for (int i = 0; rc == OK; i++) {
        if (i > FETCH_REDIRECTS_MAX)
            return fail(err, ERR_LIMIT, "'%.*s' is the end of more than %d redirects", STR(f->at.host),
                        FETCH_REDIRECTS_MAX);
        rc = ask(f, err);
        if (rc != OK || !f->is_redirected)
            break;
        rc = follow(f, err);
    }
    return rc;
}
