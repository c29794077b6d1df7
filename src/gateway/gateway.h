/* gateway.h - The life of an inference request, from bytes to bytes.
 *
 * One struct gateway per process; one struct gw_thread per loop thread, where requests live.  The
 * server routes a request here when its path belongs to a dialect; from then on the gateway owns
 * the answer.  Read gateway.c from its table of phases.
 *
 * Threads: gateway_... may be called from any thread, gw_thread_... on the loop's thread only. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/err.h"
#include "gateway/config.h"
#include "gateway/local.h"
#include "net/client.h"
#include "net/loop.h"
#include "net/server.h"

struct gateway;
struct gw_thread;

struct gateway_options {
    struct config *config;             /* held by the gateway */
    const struct local_engine *local;  /* must outlive it */
    const struct proxy_rules *proxies; /* of the environment; may be NULL */
    int n_threads;
};

struct gateway *gateway_create(const struct gateway_options *options, struct err *err);
void gateway_free(struct gateway *gw); /* after all its threads; accepts NULL */

/* The configuration in force, with a reference of the caller's own (config_drop it). */
struct config *gateway_config(struct gateway *gw);
/* Requests that come from now on use this one. */
void gateway_set_config(struct gateway *gw, struct config *config);

/* Why no traffic should come now (draining, a journal that cannot be written), or NULL. */
const char *gateway_not_ready(struct gateway *gw);
void gateway_set_draining(struct gateway *gw);

/* For the operator's paths: the store thread, and {"providers": [...]} with the health of each target. */
struct ledger;
struct ledger *gateway_ledger(struct gateway *gw);
void gateway_write_providers(struct gateway *gw, struct buf *out);

struct gw_thread *gw_thread_create(struct gateway *gw, struct loop *loop, int idx, struct err *err);
/* No request of it is running any more.  Accepts NULL. */
void gw_thread_free(struct gw_thread *t);

/* Take over a complete HTTP request whose path is a dialect's. */
void gw_thread_handle(struct gw_thread *t, struct request *http);
/* GET /v1/models and /v1/models/ID: what this client may ask for. */
void gw_thread_models(struct gw_thread *t, struct request *http);
int gw_thread_n_running(const struct gw_thread *t);

#endif
