/* server_int.h - What server.c (threads) and routes.c (paths) share. */
#ifndef SERVER_SERVER_INT_H
#define SERVER_SERVER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/gateway.h"
#include "net/server.h"
#include "server/local.h"
#include "server/server.h"

#define THREADS_MAX 256
#define LISTEN_MAX  64 /* sockets per thread */

struct server;

/* One loop thread.  Everything but `drain` belongs to it. */
struct server_thread {
    struct server *server;
    int idx;
    pthread_t thread;
    struct loop *loop;
    struct http_server *http;
    struct gw_thread *gw;
    struct loop_task drain; /* posted by thread 0 */
    struct timer watch;     /* while draining: is everything done? */
    bool is_draining;
    int n_admin_jobs;         /* under way at the store thread */
    _Atomic int drains_asked; /* 2: at once */
};

struct server {
    const struct server_options *options;
    struct config *config; /* of the start: addresses, threads, TLS */
    struct gateway *gw;
    struct local *local;
    struct tls_server *tls;
    struct proxy_rules *proxies;
    struct server_thread threads[THREADS_MAX];
    int n_threads;
};

/* routes.c: the handler of net/server.h; arg is a struct server_thread. */
void routes_on_head(struct request *req, void *arg);
void routes_on_request(struct request *req, void *arg);
void routes_write_refusal(struct buf *out, struct str *content_type, const struct http_head *head, int status,
                          struct str message, void *arg);

/* admin.c */
bool admin_key_given(const struct config *c, const struct request *req);
void admin_get_keys(struct server_thread *t, struct request *req);
void admin_post_key(struct server_thread *t, struct request *req);
void admin_delete_key(struct server_thread *t, struct request *req);
void admin_get_usage(struct server_thread *t, struct request *req);
void admin_get_providers(struct server_thread *t, struct request *req);

#endif
