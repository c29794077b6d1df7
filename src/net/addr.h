/* addr.h - Addresses as text: "host:port", URLs, listening sockets, who is loopback. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sockaddr;

#define ADDR_TEXT_MAX       64 /* of a numeric address with port and NUL */
#define HOST_NAME_MAX_BYTES 253

/* "127.0.0.1:8080", "[::1]:8080", "host:8080", ":8080" (every interface), "8080" (the same).
 * `host` borrows from `text`, without brackets; empty means every interface. */
int addr_parse(struct str text, struct str *host, uint16_t *port, struct err *err);

/* 127.0.0.0/8, ::1, "localhost" and names under ".localhost" (any case, brackets allowed, no
 * port).  Used for the Host and Origin guard: a name that merely resolves to loopback is not. */
bool addr_host_is_loopback(struct str host);

/* "1.2.3.4:5" or "[::1]:5". */
void addr_to_text(const struct sockaddr *addr, char text[ADDR_TEXT_MAX]);

/* A URL taken apart; every part borrows from the text. */
struct url {
    struct str scheme;   /* "http" or "https" as written */
    struct str userinfo; /* without '@'; empty if absent; still percent-encoded */
    struct str host;     /* without brackets */
    struct str path;     /* from the first '/', before '?'; may be empty */
    struct str query;    /* after '?'; may be empty */
    uint16_t port;       /* 80 or 443 if absent */
    bool is_tls;         /* https */
};

/* Only http and https; no fragment; no control bytes or spaces. */
int url_parse(struct str text, struct url *url, struct err *err);

/* Open n_sockets listening sockets for `host`:`port` that share the port (SO_REUSEPORT), so
 * that each loop thread accepts on its own.  fds[address * n_sockets + i]; returns the number
 * of addresses (a name may have more than one: localhost has two), or an error.  With port 0
 * the system chooses one; *bound_port says which.  A port that another process has is an
 * error, also if that process shares its port. */
int addr_listen(struct str host, uint16_t port, int n_sockets, int *fds, size_t fds_cap, uint16_t *bound_port,
                struct err *err);

#endif
