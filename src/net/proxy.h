/* proxy.h - Which HTTP proxy, if any, stands before a host.  Pure.
 *
 * The usual variables: https_proxy for TLS upstreams (by CONNECT), http_proxy for plain ones
 * (absolute-form requests), no_proxy a list of "host", ".domain" (and what is below "domain"),
 * "host:port", addresses, CIDR ranges, or "*".
 * Loopback hosts never go through a proxy.  Reading the environment is the caller's. */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct proxy_server {
    struct str host; /* empty: no proxy */
    uint16_t port;
    struct str authorization; /* "Basic ..." or empty */
};

struct proxy_rules;

/* Each may be empty.  Only http:// proxies (or without a scheme) are possible; another scheme is
 * an error that says so. */
struct proxy_rules *proxy_rules_create(struct str https_proxy, struct str http_proxy, struct str no_proxy,
                                       struct err *err);
void proxy_rules_free(struct proxy_rules *rules); /* accepts NULL */

/* The proxy for host:port, or NULL for a direct connection.  rules may be NULL. */
const struct proxy_server *proxy_find(const struct proxy_rules *rules, bool is_tls, struct str host,
                                      uint16_t port);

#endif
