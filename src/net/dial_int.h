/* dial_int.h - Connect to one of several addresses, for client.c.
 *
 * The addresses are tried in their order; the next one begins when one fails or has not answered
 * in DIAL_STAGGER_MS, while the earlier ones go on: the first that connects wins. */
#ifndef NET_DIAL_INT_H
#define NET_DIAL_INT_H

#include <netinet/in.h>
#include <stddef.h>

#include "net/loop.h"

#define DIAL_ADDRS_MAX  8
#define DIAL_STAGGER_MS 250

union dial_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct dial;

/* Calls on_done(arg, fd, NULL) with a connected socket that is now the receiver's, or
 * on_done(arg, -1, why), never from inside dial_start.  on_freed follows when the memory is
 * gone, also after dial_cancel.  Returns NULL without memory: then neither is called. */
struct dial *dial_start(struct loop *loop, const union dial_addr *addrs, int n_addrs,
                        void (*on_done)(void *arg, int fd, const char *why), void *arg,
                        void (*on_freed)(void *free_arg), void *free_arg);

/* on_done is not called any more. */
void dial_cancel(struct dial *dial);

#endif
