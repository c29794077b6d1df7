/* fetch.h - GET a URL and wait for it: for commands of one thread, never inside the server.
 *
 * The only place that follows redirects, because a hub of model files answers with them.  What
 * keeps that safe: the authorization goes to the URL's own origin alone (scheme, host and port) and
 * is not sent again once another one was reached; https never falls back to http; the server side of the
 * program does not come here. */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/addr.h"
#include "net/http.h"
#include "net/proxy.h"

#define FETCH_REDIRECTS_MAX 10

struct fetch;

/* Owns a loop and a client.  proxies: borrowed, may be NULL. */
struct fetch *fetch_create(const struct proxy_rules *proxies, struct err *err);
void fetch_free(struct fetch *f); /* accepts NULL */

/* A head on the way. */
struct fetch_hop {
    const struct http_head *head;
    bool is_redirect;    /* followed next, unless on_head stops it */
    bool is_same_origin; /* nobody else was asked yet: what it says may be trusted like the URL's own host */
};

struct fetch_request {
    struct str url;
    struct str authorization; /* "Bearer ..."; empty: none */
    uint64_t from;            /* > 0: only the bytes from here on are asked for (Range) */
    bool is_head;             /* HEAD instead of GET */
    /* Either may stop the transfer by returning something else than OK, with *err set. */
    int (*on_head)(void *user, const struct fetch_hop *hop, struct err *err);
    int (*on_data)(void *user, struct str data, struct err *err); /* of the last answer's body */
    void *user;
};

/* OK: an answer came to its end, whatever its status was.  ERR_CLOSED: the network failed, a later try may
 * do; ERR_IO: it would not (TLS, the proxy's refusal, no HTTP).  ERR_FORMAT, ERR_LIMIT: a redirect that is
 * not followed.  Else what a callback returned. */
int fetch_get(struct fetch *f, const struct fetch_request *rq, struct err *err);

/* Where `location` leads, seen from `base`: absolute, "//host/path", "/path" or relative; without its
 * fragment.  Pure.  False if it does not fit. */
bool fetch_resolve(const struct url *base, struct str location, struct buf *out);

#endif
