/* origin.c - Whom we call: addresses, kept connections, TLS session.  See client_int.h.
 *
 * An origin is (host, port, TLS, proxy).  It lives as long as a call or a connection uses it;
 * its kept connections are such uses, so a host that is not called any more is forgotten when
 * they have timed out. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"
#include "net/client_int.h"

struct lookup {
    uv_getaddrinfo_t req;
    struct http_client *client;
    struct origin *origin; /* NULL: nobody is interested any more */
};

static char *authority_of(struct str host, uint16_t port, bool is_tls)
{
    struct buf b;
    buf_init(&b, host.n + 16);
    bool is_v6 = str_find_char(host, ':', 0) != STR_NONE;
    buf_printf(&b, is_v6 ? "[%.*s]" : "%.*s", STR(host));
    if (port != (is_tls ? 443 : 80))
        buf_printf(&b, ":%u", port);
    return buf_take(&b, NULL);
}

static uint64_t hash_of(struct str host, uint16_t port, bool is_tls)
{
    return str_hash(host) ^ ((uint64_t)port << 1 | is_tls);
}

struct origin *origin_get(struct http_client *client, struct str host, uint16_t port, bool is_tls)
{
    uint64_t hash = hash_of(host, port, is_tls);
    struct origin **bucket = &client->origins[hash % ORIGIN_BUCKETS];
    for (struct origin *o = *bucket; o; o = o->next) {
        if (o->hash == hash && o->port == port && o->is_tls == is_tls && str_eq(str_c(o->host), host)) {
            o->n_uses++;
            return o;
        }
    }
    struct origin *o = calloc(1, sizeof *o);
    if (!o || !(o->host = str_dup_z(host)) || !(o->authority = authority_of(host, port, is_tls))) {
        if (o)
            free(o->host);
        free(o);
        return NULL;
    }
    o->client = client;
    o->hash = hash;
    o->port = port;
    o->is_tls = is_tls;
    o->proxy = proxy_find(client->opt.proxies, is_tls, host, port);
    o->n_uses = 1;
    o->next = *bucket;
    *bucket = o;
    return o;
}

void origin_release(struct origin *o)
{
    if (--o->n_uses > 0)
        return;
    assert(!o->idle && !o->waiting);
    struct origin **at = &o->client->origins[o->hash % ORIGIN_BUCKETS];
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    if (o->lookup) {
        o->lookup->origin = NULL;
        uv_cancel((uv_req_t *)&o->lookup->req); /* on_addresses comes either way */
    }
    SSL_SESSION_free(o->session);
    free(o->host);
    free(o->authority);
    free(o);
}

void origin_new_session(void *origin, SSL_SESSION *session)
{
    struct origin *o = origin;
    SSL_SESSION_free(o->session);
    o->session = session;
}

/* ---------------------------------------------------------------- addresses */

static void add_address(struct origin *o, const struct sockaddr *addr, uint16_t port)
{
    if (o->n_addrs == DIAL_ADDRS_MAX)
        return;
    union dial_addr *to = &o->addrs[o->n_addrs];
    if (addr->sa_family == AF_INET) {
        to->v4 = *(const struct sockaddr_in *)addr;
        to->v4.sin_port = htons(port);
    } else if (addr->sa_family == AF_INET6) {
        to->v6 = *(const struct sockaddr_in6 *)addr;
        to->v6.sin6_port = htons(port);
    } else {
        return;
    }
    o->n_addrs++;
}

static void add_v4(struct origin *o, struct in_addr ip, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = ip};
    add_address(o, (struct sockaddr *)&a, port);
}

static void add_v6(struct origin *o, struct in6_addr ip, uint16_t port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = ip};
    add_address(o, (struct sockaddr *)&a, port);
}

/* Numeric addresses and localhost need no resolver. */
static bool know_addresses(struct origin *o, const char *host, uint16_t port)
{
    struct in_addr v4;
    struct in6_addr v6;
    o->n_addrs = 0;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        add_v4(o, v4, port);
    } else if (inet_pton(AF_INET6, host, &v6) == 1) {
        add_v6(o, v6, port);
    } else if (str_eq_nocase(str_c(host), S("localhost"))) {
        add_v4(o, (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
        add_v6(o, in6addr_loopback, port);
    }
    return o->n_addrs > 0;
}

/* The resolver's order, but families in turn, so that a broken IPv6 costs one stagger. */
static void take_addresses(struct origin *o, const struct addrinfo *list, uint16_t port)
{
    const struct addrinfo *same = list, *other = list;
    int first = list ? list->ai_family : 0;
    o->n_addrs = 0;
    while (same || other) {
        while (same && same->ai_family != first)
            same = same->ai_next;
        if (same) {
            add_address(o, same->ai_addr, port);
            same = same->ai_next;
        }
        while (other && other->ai_family == first)
            other = other->ai_next;
        if (other) {
            add_address(o, other->ai_addr, port);
            other = other->ai_next;
        }
    }
}

/* Who is connected to: the proxy, if there is one. */
static const char *host_to_dial(const struct origin *o, char proxy_host[256])
{
    if (!o->proxy)
        return o->host;
    snprintf(proxy_host, 256, "%.*s", STR(o->proxy->host));
    return proxy_host;
}

static uint16_t port_to_dial(const struct origin *o)
{
    return o->proxy ? o->proxy->port : o->port;
}

static void on_addresses(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct lookup *lookup = req->data;
    struct http_client *client = lookup->client;
    struct origin *o = lookup->origin;
    free(lookup);
    client->n_pending--;
    if (!o) {
        uv_freeaddrinfo(list);
        client_free_if_last(client);
        return;
    }
    o->lookup = NULL;
    if (status == 0) {
        take_addresses(o, list, port_to_dial(o));
        o->addrs_until_ms = loop_now_ms(client->loop) + (uint64_t)client->opt.dns_ttl_ms;
    }
    uv_freeaddrinfo(list);
    while (o->waiting) {
        struct http_call *call = o->waiting;
        o->waiting = call->next_waiting;
        char proxy_host[256], why[384];
        if (o->n_addrs > 0) {
            call_got_addresses(call);
            continue;
        }
        snprintf(why, sizeof why, "host '%s' has no address: %s", host_to_dial(o, proxy_host),
                 status < 0 ? uv_strerror(status) : "none of a known kind");
        call_fail_later(call, CALL_DNS, why);
    }
}

int origin_lookup(struct origin *o, struct http_call *call)
{
    struct http_client *client = o->client;
    if (o->n_addrs > 0 && loop_now_ms(client->loop) < o->addrs_until_ms)
        return 1;
    char proxy_host[256], service[8];
    const char *host = host_to_dial(o, proxy_host);
    o->addrs_until_ms = UINT64_MAX;
    if (know_addresses(o, host, port_to_dial(o)))
        return 1;
    call->next_waiting = o->waiting;
    o->waiting = call;
    if (o->lookup)
        return 0;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
        snprintf(service, sizeof service, "%u", port_to_dial(o));
        *lookup = (struct lookup){.client = client, .origin = o};
        lookup->req.data = lookup;
        if (uv_getaddrinfo(loop_uv(client->loop), &lookup->req, on_addresses, host, service, &hints) == 0) {
            o->lookup = lookup;
            client->n_pending++;
            return 0;
        }
    }
    free(lookup);
    origin_stop_waiting(o, call);
    snprintf(call->why, sizeof call->why, "host '%.128s' cannot be looked up", host);
    return ERR_IO;
}

void origin_forget_addresses(struct origin *o)
{
    o->n_addrs = 0;
}

void origin_stop_waiting(struct origin *o, struct http_call *call)
{
    for (struct http_call **at = &o->waiting; *at; at = &(*at)->next_waiting) {
        if (*at == call) {
            *at = call->next_waiting;
            return;
        }
    }
}

/* --------------------------------------------------------- kept connections */

void origin_remove_idle(struct origin *o, struct upstream *up)
{
    if (up->prev)
        up->prev->next = up->next;
    else
        o->idle = up->next;
    if (up->next)
        up->next->prev = up->prev;
    else
        o->oldest = up->prev;
    up->next = up->prev = NULL;
    o->n_idle--;
    o->client->stats.n_idle--;
}

struct upstream *origin_take_idle(struct origin *o)
{
    struct upstream *up = o->idle;
    if (up)
        origin_remove_idle(o, up);
    return up;
}

void origin_keep_idle(struct origin *o, struct upstream *up)
{
    up->prev = NULL;
    up->next = o->idle;
    if (o->idle)
        o->idle->prev = up;
    else
        o->oldest = up;
    o->idle = up;
    o->n_idle++;
    o->client->stats.n_idle++;
    if (o->n_idle > o->client->opt.idle_per_origin_max)
        upstream_close(o->oldest);
}
