/* addr.c - Addresses as text, and listening sockets.  See addr.h. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static int parse_port(struct str text, uint16_t *port, struct err *err)
{
    uint64_t n;
    if (!str_to_u64(text, &n) || n > 65535)
        return fail(err, ERR_ARG, "'%.*s' is not a port (0 to 65535)", STR(text));
    *port = (uint16_t)n;
    return OK;
}

int addr_parse(struct str text, struct str *host, uint16_t *port, struct err *err)
{
    if (str_starts(text, S("["))) {
        size_t close = str_find_char(text, ']', 0);
        if (close == STR_NONE || close + 1 >= text.n || text.p[close + 1] != ':')
            return fail(err, ERR_ARG, "'%.*s' is not an address like [::1]:8080", STR(text));
        *host = str_sub(text, 1, close);
        return parse_port(str_sub(text, close + 2, text.n), port, err);
    }
    size_t colon = str_find_char(text, ':', 0);
    if (colon == STR_NONE) {
        *host = S("");
        return parse_port(text, port, err);
    }
    if (str_find_char(text, ':', colon + 1) != STR_NONE)
        return fail(err, ERR_ARG, "'%.*s': write an IPv6 address in brackets, like [::1]:8080", STR(text));
    *host = str_sub(text, 0, colon);
    return parse_port(str_sub(text, colon + 1, text.n), port, err);
}

bool addr_host_is_loopback(struct str host)
{
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_sub(host, 1, host.n - 1);
    char text[INET6_ADDRSTRLEN];
    if (host.n < sizeof text) {
        memcpy(text, host.p, host.n);
        text[host.n] = 0;
        struct in_addr v4;
        struct in6_addr v6;
        if (inet_pton(AF_INET, text, &v4) == 1)
            return (ntohl(v4.s_addr) >> 24) == 127;
        if (inet_pton(AF_INET6, text, &v6) == 1)
            return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    }
    if (str_ends(host, S(".")))
        host.n--;
    if (str_eq_nocase(host, S("localhost")))
        return true;
    const size_t suffix_n = sizeof ".localhost" - 1;
    return host.n > suffix_n && str_eq_nocase(str_sub(host, host.n - suffix_n, host.n), S(".localhost"));
}

void addr_to_text(const struct sockaddr *addr, char text[ADDR_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN];
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(text, ADDR_TEXT_MAX, "%s:%u", ip, ntohs(in->sin_port));
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)addr;
        inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof ip);
        snprintf(text, ADDR_TEXT_MAX, "[%s]:%u", ip, ntohs(in->sin6_port));
    } else {
        snprintf(text, ADDR_TEXT_MAX, "unknown");
    }
}

/* ---------------------------------------------------------------------- URL */

static bool has_only_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] <= 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

/* "user@host:port", "[v6]:port", "host". */
static int parse_authority(struct str text, struct str authority, struct url *url, struct err *err)
{
    size_t at = STR_NONE;
    for (size_t i = 0; i < authority.n; i++)
        if (authority.p[i] == '@')
            at = i;
    if (at != STR_NONE) {
        url->userinfo = str_sub(authority, 0, at);
        authority = str_sub(authority, at + 1, authority.n);
    }
    struct str port = S("");
    if (str_starts(authority, S("["))) {
        size_t close = str_find_char(authority, ']', 0);
        struct str rest = close == STR_NONE ? S("") : str_sub(authority, close + 1, authority.n);
        if (close == STR_NONE || (rest.n && rest.p[0] != ':'))
            return fail(err, ERR_ARG, "'%.*s' has a malformed IPv6 address", STR(text));
        url->host = str_sub(authority, 1, close);
        port = str_sub(rest, 1, rest.n);
    } else {
        size_t colon = str_find_char(authority, ':', 0);
        url->host = str_sub(authority, 0, colon);
        if (colon != STR_NONE)
            port = str_sub(authority, colon + 1, authority.n);
    }
    if (url->host.n == 0 || url->host.n > HOST_NAME_MAX_BYTES)
        return fail(err, ERR_ARG, "'%.*s' has no host", STR(text));
    url->port = url->is_tls ? 443 : 80;
    return port.n ? parse_port(port, &url->port, err) : OK;
}

int url_parse(struct str text, struct url *url, struct err *err)
{
    *url = (struct url){0};
    if (!text.p || !has_only_visible(text) || str_find_char(text, '#', 0) != STR_NONE)
        return fail(err, ERR_ARG, "'%.*s' has a byte that a URL here cannot have", STR(text));
    size_t colon = str_find(text, S("://"), 0);
    url->scheme = str_sub(text, 0, colon == STR_NONE ? 0 : colon);
    url->is_tls = str_eq_nocase(url->scheme, S("https"));
    if (!url->is_tls && !str_eq_nocase(url->scheme, S("http")))
        return fail(err, ERR_ARG, "'%.*s' does not begin with http:// or https://", STR(text));
    struct str rest = str_sub(text, colon + 3, text.n);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    struct str authority = str_sub(rest, 0, end);
    rest = str_sub(rest, end, rest.n);
    size_t mark = str_find_char(rest, '?', 0);
    url->path = str_sub(rest, 0, mark);
    url->query = mark == STR_NONE ? S("") : str_sub(rest, mark + 1, rest.n);
    return parse_authority(text, authority, url, err);
}

/* ---------------------------------------------------------------- listening */

/* A bound socket that is not listening yet, or -1 with errno. */
static int open_bound(const struct addrinfo *a, uint16_t port, bool shares_port)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    struct sockaddr_storage addr;
    memcpy(&addr, a->ai_addr, a->ai_addrlen);
    if (a->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&addr)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&addr)->sin_port = htons(port);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) /* IPv4 has a socket of its own in the list of addresses */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if ((shares_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, (struct sockaddr *)&addr, a->ai_addrlen) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } addr = {0};
    socklen_t n = sizeof addr;
    if (getsockname(fd, &addr.any, &n) < 0)
        return 0;
    return ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
}

/* Accepted sockets inherit these, which saves a system call per connection for each. */
static void set_inherited_options(int fd)
{
    int on = 1, idle_s = 60, interval_s = 15, n_probes = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n_probes, sizeof n_probes);
}

static int open_listening(const struct addrinfo *a, uint16_t port)
{
    int fd = open_bound(a, port, true);
    if (fd < 0)
        return -1;
    set_inherited_options(fd);
    if (listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* n sockets on one address.  On failure none is open.  *port is in and out. */
static int listen_on(const struct addrinfo *a, uint16_t *port, int n_sockets, int *fds)
{
    /* A socket that shares its port would be given one even if another process has it, as long
     * as that one shares, too.  So first see whether the port can be had alone. */
    int probe = open_bound(a, *port, false);
    if (probe < 0)
        return -1;
    *port = *port ? *port : port_of(probe);
    close(probe);
    for (int n = 0; n < n_sockets; n++) {
        fds[n] = open_listening(a, *port);
        if (fds[n] < 0) {
            int saved = errno;
            while (n-- > 0)
                close(fds[n]);
            errno = saved;
            return -1;
        }
    }
    return 0;
}

/* An address of a family that this machine does not have is passed over if there is another. */
static bool is_family_missing(int errnum)
{
    return errnum == EAFNOSUPPORT || errnum == EADDRNOTAVAIL;
}

int addr_listen(struct str host, uint16_t port, int n_sockets, int *fds, size_t fds_cap, uint16_t *bound_port,
                struct err *err)
{
    assert(n_sockets > 0);
    char name[HOST_NAME_MAX_BYTES + 1], service[8];
    if (host.n > HOST_NAME_MAX_BYTES)
        return fail(err, ERR_ARG, "the host name to listen on is longer than 253 bytes");
    memcpy(name, host.n ? host.p : "", host.n);
    name[host.n] = 0;
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int rc = getaddrinfo(host.n ? name : NULL, service, &hints, &list);
    if (rc != 0)
        return fail(err, ERR_IO, "'%s' has no address to listen on: %s", name, gai_strerror(rc));
    size_t n_addrs = 0;
    int missing = 0, failed = 0;
    for (struct addrinfo *a = list; a && !failed; a = a->ai_next) {
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) ||
            (n_addrs + 1) * (size_t)n_sockets > fds_cap)
            continue;
        if (listen_on(a, &port, n_sockets, fds + n_addrs * (size_t)n_sockets) == 0)
            n_addrs++;
        else if (is_family_missing(errno))
            missing = errno;
        else
            failed = errno;
    }
    freeaddrinfo(list);
    if (failed || n_addrs == 0) {
        for (size_t i = 0; i < n_addrs * (size_t)n_sockets; i++)
            close(fds[i]);
        return fail_errno(err,
                          failed    ? failed
                          : missing ? missing
                                    : EADDRNOTAVAIL,
                          "port %u of '%s' cannot be listened on", port, host.n ? name : "*");
    }
    *bound_port = port;
    return (int)n_addrs;
}
