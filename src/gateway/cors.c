/* cors.c - See cors.h. */
#include "gateway/cors.h"

#include "net/addr.h"

static bool origin_is_loopback(struct str origin)
{
    struct url url;
    return url_parse(origin, &url, NULL) == OK && addr_host_is_loopback(url.host);
}

struct str cors_origin(const struct config *c, const struct http_head *head)
{
    struct str origin = http_value(head, S("origin"));
    if (origin.n == 0)
        return S("");
    if (origin_is_loopback(origin))
        return origin;
    for (int i = 0; i < c->cors.n; i++)
        if (str_eq(c->cors.items[i], origin) || (str_eq(c->cors.items[i], S("*")) && c->auth == AUTH_KEYS))
            return origin;
    return S("");
}

static struct str host_of(struct str authority)
{
    struct str host;
    uint16_t port;
    if (authority.n && authority.p[0] != ':' && addr_parse(authority, &host, &port, NULL) == OK)
        return host;
    return authority; /* without a port */
}

const char *cors_refusal(const struct config *c, const struct http_head *head)
{
    if (c->auth != AUTH_NONE)
        return NULL;
    struct str host = host_of(head->host);
    if (head->host.n && !addr_host_is_loopback(head->host) && !addr_host_is_loopback(host))
        return "without keys this server answers to loopback names only; the Host header names another one";
    if (http_value(head, S("origin")).n && cors_origin(c, head).n == 0)
        return "without keys this server answers to pages of this machine only (see the option cors)";
    return NULL;
}
