/* routes.c - The table of paths.  Inference goes to the gateway; the rest is answered here. */
#include <stdio.h>

#include "api/dialect.h"
#include "base/json.h"
#include "gateway/cors.h"
#include "net/addr.h"
#include "obs/prometheus.h"
#include "server/server_int.h"

/* web/index.html, put into the program by the build. */
extern const char sluice_page_html[] __attribute__((weak));
extern const char sluice_page_html_end[] __attribute__((weak));

#define METRICS_BYTES_MAX ((size_t)64 << 20)

/* ---- small answers ---- */

static void respond(struct server_thread *t, struct request *req, int status, const char *type,
                    struct str body)
{
    struct config *c = gateway_config(t->server->gw);
    struct str origin = cors_origin(c, req->head);
    struct http_header headers[4] = {{S("content-type"), str_c(type)}, {S("cache-control"), S("no-store")}};
    int n = 2;
    if (origin.n) {
        headers[n++] = (struct http_header){S("access-control-allow-origin"), origin};
        headers[n++] = (struct http_header){S("vary"), S("origin")};
    }
    request_respond(req, status, headers, n, body);
    config_drop(c);
}

/* An error outside of inference, in the dialect that the path suggests. */
static void respond_error(struct server_thread *t, struct request *req, enum chat_error_kind kind, int status,
                          const char *text)
{
    const struct dialect *d = dialect_of_path(req->head->path);
    if (!d)
        d = dialect_get(DIALECT_OPENAI_CHAT);
    struct chat_error e;
    struct buf body;
    chat_error_set(&e, kind, NULL, "%s", text);
    buf_init(&body, 1 << 16);
    d->write_error(&e, S(""), &body);
    respond(t, req, status, "application/json", buf_str(&body));
    buf_deinit(&body);
}

/* ---- operators' paths ---- */

static void get_health(struct server_thread *t, struct request *req)
{
    respond(t, req, 200, "application/json", S("{\"status\":\"ok\",\"version\":\"" SLUICE_VERSION "\"}"));
}

static void get_ready(struct server_thread *t, struct request *req)
{
    const char *why = gateway_not_ready(t->server->gw);
    struct buf body;
    buf_init(&body, 1024);
    struct json_writer w = json_writer(&body);
    jw_begin_object(&w);
    jw_kv_bool(&w, "ready", why == NULL);
    if (why)
        jw_kv_z(&w, "reason", why);
    jw_end_object(&w);
    respond(t, req, why ? 503 : 200, "application/json", buf_str(&body));
    buf_deinit(&body);
}

static bool peer_is_loopback(const struct request *req)
{
    struct str host;
    uint16_t port;
    return addr_parse(req->peer, &host, &port, NULL) == OK && addr_host_is_loopback(host);
}

static void get_metrics(struct server_thread *t, struct request *req)
{
    struct config *c = gateway_config(t->server->gw);
    bool open = c->metrics == METRICS_PUBLIC || peer_is_loopback(req) || admin_key_given(c, req);
    config_drop(c);
    if (!open) {
        respond_error(t, req, CHAT_ERR_AUTH, 401, "/metrics needs the admin key here");
        return;
    }
    struct buf body;
    buf_init(&body, METRICS_BYTES_MAX);
    local_observe(t->server->local);
    prometheus_write(&body);
    respond(t, req, buf_ok(&body) ? 200 : 500, PROMETHEUS_CONTENT_TYPE, buf_str(&body));
    buf_deinit(&body);
}

static void get_page(struct server_thread *t, struct request *req)
{
    struct str page = S("<!doctype html><title>Sluice</title><p>Sluice " SLUICE_VERSION " is running.");
    if (sluice_page_html && sluice_page_html_end)
        page = str_of(sluice_page_html, (size_t)(sluice_page_html_end - sluice_page_html));
    struct http_header headers[] = {
        {S("content-type"), S("text/html; charset=utf-8")},
        {S("content-security-policy"), S("default-src 'self'; img-src 'self' data:; style-src 'self' "
                                         "'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
                                         "frame-ancestors 'none'")},
        {S("x-content-type-options"), S("nosniff")},
    };
    (void)t;
    request_respond(req, 200, headers, sizeof headers / sizeof *headers, page);
}

static void get_models(struct server_thread *t, struct request *req)
{
    gw_thread_models(t->gw, req);
}

/* ---- browsers ---- */

static void preflight(struct server_thread *t, struct request *req)
{
    struct config *c = gateway_config(t->server->gw);
    struct str origin = cors_origin(c, req->head);
    struct str wanted = http_value(req->head, S("access-control-request-headers"));
    struct http_header headers[] = {
        {S("access-control-allow-origin"), origin},
        {S("access-control-allow-methods"), S("GET, POST, DELETE, OPTIONS")},
        {S("access-control-allow-headers"), wanted.n ? wanted : S("authorization, content-type, x-api-key")},
        {S("access-control-max-age"), S("600")},
        {S("vary"), S("origin")},
    };
    if (origin.n)
        request_respond(req, 204, headers, sizeof headers / sizeof *headers, S(""));
    else
        respond(t, req, 403, "application/json",
                S("{\"error\":{\"message\":\"this origin is not allowed (option cors)\"}}"));
    config_drop(c);
}

/* ---- the table ---- */

static const struct route {
    enum http_method method;
    const char *path; /* "*" at the end: any rest */
    void (*run)(struct server_thread *t, struct request *req);
} routes[] = {
    {HTTP_GET, "/", get_page},
    {HTTP_GET, "/health", get_health},
    {HTTP_GET, "/ready", get_ready},
    {HTTP_GET, "/metrics", get_metrics},
    {HTTP_GET, "/v1/models", get_models},
    {HTTP_GET, "/v1/models/*", get_models},
    {HTTP_GET, "/admin/keys", admin_get_keys},
    {HTTP_POST, "/admin/keys", admin_post_key},
    {HTTP_DELETE, "/admin/keys/*", admin_delete_key},
    {HTTP_GET, "/admin/usage", admin_get_usage},
    {HTTP_GET, "/admin/providers", admin_get_providers},
};

static bool path_matches(const char *pattern, struct str path)
{
    struct str p = str_c(pattern);
    if (str_ends(p, S("*")))
        return str_starts(path, str_sub(p, 0, p.n - 1)) && path.n > p.n - 1;
    return str_eq(p, path);
}

static bool guard(struct server_thread *t, struct request *req)
{
    struct config *c = gateway_config(t->server->gw);
    const char *why = cors_refusal(c, req->head);
    config_drop(c);
    if (why)
        respond_error(t, req, CHAT_ERR_PERMISSION, 403, why);
    return why == NULL;
}

/* Refuse before a body is read. */
void routes_on_head(struct request *req, void *arg)
{
    guard(arg, req);
}

void routes_on_request(struct request *req, void *arg)
{
    struct server_thread *t = arg;
    const struct http_head *head = req->head;
    if (head->method == HTTP_OPTIONS) {
        preflight(t, req);
        return;
    }
    enum http_method method = head->method == HTTP_HEAD ? HTTP_GET : head->method;
    bool path_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!path_matches(routes[i].path, head->path))
            continue;
        path_known = true;
        if (routes[i].method == method) {
            routes[i].run(t, req);
            return;
        }
    }
    if (dialect_of_path(head->path)) {
        if (method == HTTP_POST) {
            gw_thread_handle(t->gw, req);
            return;
        }
        path_known = true;
    }
    if (path_known)
        respond_error(t, req, CHAT_ERR_INVALID, 405, "this path does not take that method");
    else
        respond_error(t, req, CHAT_ERR_NOT_FOUND, 404, "there is nothing at this path");
}

void routes_write_refusal(struct buf *out, struct str *content_type, const struct http_head *head, int status,
                          struct str message, void *arg)
{
    (void)arg;
    const struct dialect *d = head ? dialect_of_path(head->path) : NULL;
    if (!d)
        d = dialect_get(DIALECT_OPENAI_CHAT);
    struct chat_error e;
    chat_error_set(&e,
                   status == 413   ? CHAT_ERR_TOO_LARGE
                   : status == 408 ? CHAT_ERR_TIMEOUT
                                   : CHAT_ERR_INVALID,
                   NULL, "%.*s", STR(message));
    *content_type = S("application/json");
    d->write_error(&e, S(""), out);
}
