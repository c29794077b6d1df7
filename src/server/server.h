/* server.h - The running server: threads, listening sockets, start and graceful stop. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/err.h"
#include "gateway/config.h"
#include "server/config_load.h"

struct server_options {
    struct config *config;              /* borrowed */
    const struct config_source *source; /* for SIGHUP: how the configuration was made */
    bool preload;                       /* load served models at once */
    int ready_fd;                       /* told the bound address in one line when listening; -1: none */
};

/* Serves until SIGTERM or SIGINT, then drains: running requests may end until drain_timeout, a
 * second signal ends at once.  SIGHUP reads the configuration again.  Returns OK after a
 * graceful stop. */
int server_run(const struct server_options *options, struct err *err);

#endif
