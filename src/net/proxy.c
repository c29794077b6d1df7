/* proxy.c - Which proxy stands before a host.  See proxy.h. */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"
#include "net/http.h"
#include "net/openssl_int.h"

struct proxy_rules {
    struct proxy_server https, http;
    char *https_url, *http_url, *no_proxy; /* owned text that the rest borrows from */
    char *https_auth, *http_auth;
};

/* "user:password", percent-encoded in the URL, as "Basic ..." on the heap; NULL without memory
 * or with a wrong encoding. */
static char *basic_authorization(struct str userinfo)
{
    static const char scheme[] = "Basic ";
    if (userinfo.n > 4096)
        return NULL;
    char *plain = malloc(userinfo.n + 1);
    size_t cap = sizeof scheme + 4 * (userinfo.n / 3 + 1) + 1;
    char *out = plain ? malloc(cap) : NULL;
    ptrdiff_t n = out ? http_percent_decode(userinfo, false, plain, userinfo.n) : -1;
    if (n < 0) {
        free(plain);
        free(out);
        return NULL;
    }
    memcpy(out, scheme, sizeof scheme - 1);
    EVP_EncodeBlock((unsigned char *)out + sizeof scheme - 1, (unsigned char *)plain, (int)n);
    free(plain);
    return out;
}

static int read_proxy(struct str text, char **url_owned, char **auth_owned, struct proxy_server *proxy,
                      struct err *err)
{
    text = str_trim(text);
    if (text.n == 0)
        return OK;
    struct buf b;
    buf_init(&b, 8192);
    if (str_find(text, S("://"), 0) == STR_NONE)
        buf_puts(&b, "http://");
    buf_str_add(&b, text);
    size_t n;
    *url_owned = buf_take(&b, &n);
    if (!*url_owned)
        return fail(err, ERR_ARG, "the proxy's URL is longer than 8192 bytes");
    struct str whole = str_of(*url_owned, n);
    struct url url;
    if (!str_eq_nocase(str_sub(whole, 0, 7), S("http://")))
        return fail(err, ERR_UNSUPPORTED, "proxy '%.*s': only http:// proxies are possible",
                    STR(str_sub(whole, 0, str_find(whole, S("://"), 0))));
    /* url_parse's own message would repeat the text, which may have a password. */
    if (url_parse(whole, &url, NULL) < 0)
        return fail(err, ERR_ARG, "the proxy's address is not a URL like http://host:port");
    proxy->host = url.host;
    proxy->port = url.port;
    if (url.userinfo.n) {
        *auth_owned = basic_authorization(url.userinfo);
        if (!*auth_owned)
            return fail(err, ERR_ARG, "the proxy's user and password are not properly encoded");
        proxy->authorization = str_c(*auth_owned);
    }
    return OK;
}

struct proxy_rules *proxy_rules_create(struct str https_proxy, struct str http_proxy, struct str no_proxy,
                                       struct err *err)
{
    struct proxy_rules *r = calloc(1, sizeof *r);
    if (!r || !(r->no_proxy = str_dup_z(no_proxy))) {
        fail(err, ERR_NOMEM, "no memory for the proxy settings");
        free(r);
        return NULL;
    }
    if (read_proxy(https_proxy, &r->https_url, &r->https_auth, &r->https, err) < 0 ||
        read_proxy(http_proxy, &r->http_url, &r->http_auth, &r->http, err) < 0) {
        proxy_rules_free(r);
        return NULL;
    }
    return r;
}

void proxy_rules_free(struct proxy_rules *rules)
{
    if (!rules)
        return;
    free(rules->https_url);
    free(rules->http_url);
    free(rules->https_auth);
    free(rules->http_auth);
    free(rules->no_proxy);
    free(rules);
}

/* --------------------------------------------------------------- exceptions */

/* An address in 16 bytes, IPv4 mapped into IPv6; false if the text is not one. */
static bool read_address(struct str text, uint8_t addr[16], bool *is_v4)
{
    char z[INET6_ADDRSTRLEN];
    if (!text.p || text.n == 0 || text.n >= sizeof z)
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    memset(addr, 0, 10);
    memset(addr + 10, 0xff, 2);
    *is_v4 = inet_pton(AF_INET, z, addr + 12) == 1;
    return *is_v4 || inet_pton(AF_INET6, z, addr) == 1;
}

static bool matches_range(struct str entry, struct str host)
{
    size_t slash = str_find_char(entry, '/', 0);
    uint8_t net[16], addr[16];
    bool net_is_v4, addr_is_v4;
    uint64_t bits;
    if (slash == STR_NONE || !read_address(str_sub(entry, 0, slash), net, &net_is_v4) ||
        !str_to_u64(str_sub(entry, slash + 1, entry.n), &bits) || !read_address(host, addr, &addr_is_v4) ||
        net_is_v4 != addr_is_v4)
        return false;
    if (bits > (net_is_v4 ? 32u : 128u))
        return false;
    bits += net_is_v4 ? 96 : 0;
    size_t whole = (size_t)bits / 8;
    unsigned rest = (unsigned)bits % 8;
    if (memcmp(net, addr, whole) != 0)
        return false;
    return rest == 0 || ((net[whole] ^ addr[whole]) >> (8 - rest)) == 0;
}

static bool matches_name(struct str entry, struct str host)
{
    if (str_starts(entry, S("*.")))
        entry = str_sub(entry, 1, entry.n);
    if (str_starts(entry, S(".")))
        entry = str_sub(entry, 1, entry.n);
    if (entry.n == 0 || host.n < entry.n)
        return false;
    if (!str_eq_nocase(str_sub(host, host.n - entry.n, host.n), entry))
        return false;
    return host.n == entry.n || host.p[host.n - entry.n - 1] == '.';
}

static bool matches(struct str entry, struct str host, uint16_t port)
{
    entry = str_trim(entry);
    if (str_eq(entry, S("*")))
        return true;
    if (matches_range(entry, host))
        return true;
    if (str_starts(entry, S("["))) { /* "[::1]" or "[::1]:443" */
        size_t close = str_find_char(entry, ']', 0);
        struct str rest = close == STR_NONE ? S("") : str_sub(entry, close + 1, entry.n);
        uint64_t n = port;
        if (rest.n && (rest.p[0] != ':' || !str_to_u64(str_sub(rest, 1, rest.n), &n)))
            return false;
        return close != STR_NONE && n == port && str_eq_nocase(str_sub(entry, 1, close), host);
    }
    size_t colon = str_find_char(entry, ':', 0);
    if (colon != STR_NONE && str_find_char(entry, ':', colon + 1) == STR_NONE) {
        uint64_t n;
        if (!str_to_u64(str_sub(entry, colon + 1, entry.n), &n) || n != port)
            return false;
        entry = str_sub(entry, 0, colon);
    }
    return matches_name(entry, host);
}

const struct proxy_server *proxy_find(const struct proxy_rules *rules, bool is_tls, struct str host,
                                      uint16_t port)
{
    if (!rules)
        return NULL;
    const struct proxy_server *proxy = is_tls ? &rules->https : &rules->http;
    if (proxy->host.n == 0 || addr_host_is_loopback(host))
        return NULL;
    struct str rest = str_c(rules->no_proxy), entry;
    while (str_split(&rest, ',', &entry))
        if (matches(entry, host, port))
            return NULL;
    return proxy;
}
