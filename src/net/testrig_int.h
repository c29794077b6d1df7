/* testrig_int.h - What the loopback tests of server and client share: a loop turned by hand and
 * raw sockets that speak exactly the bytes that a test wants. */
#ifndef NET_TESTRIG_INT_H
#define NET_TESTRIG_INT_H

#include "base/test.h"
#include "net/addr.h"
#include "net/loop.h"

#define RIG_PATIENCE_MS 8000

/* Turns the loop until *counter >= want; false after RIG_PATIENCE_MS. */
bool rig_until(struct loop *loop, const int *counter, int want);
/* Turns it for about ms. */
void rig_turn(struct loop *loop, int ms);

/* A listening socket on 127.0.0.1; *port says where. */
int raw_listen(uint16_t *port);
/* Turns the loop until somebody connects; -1 if nobody does. */
int raw_accept(struct loop *loop, int listener);
int raw_connect(uint16_t port);
/* All of it, turning the loop while the socket is full. */
void raw_send(struct loop *loop, int fd, struct str bytes);
/* Reads to `got` until it contains `needle` (or, with NULL, until the other side has ended).
 * False after RIG_PATIENCE_MS, or at an end before the needle. */
bool raw_read(struct loop *loop, int fd, struct buf *got, const char *needle);
/* True if nothing is there to read and the connection is open. */
bool raw_is_quiet(int fd);

/* A self-made authority's certificate for "localhost", "sluice.test" and 127.0.0.1 (or, with
 * `name`, for that alone) as PEM files in a new folder. */
struct rig_cert {
    char dir[64], cert[80], key[80];
};
void rig_cert_make(struct rig_cert *c, const char *name);
void rig_cert_remove(struct rig_cert *c);

#endif
