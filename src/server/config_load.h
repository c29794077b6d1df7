/* config_load.h - Reads a configuration file by the options table, and says every fault in it. */
#ifndef SERVER_CONFIG_LOAD_H
#define SERVER_CONFIG_LOAD_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "gateway/config.h"

/* Faults found: one line each in `text`, "FILE:LINE: sentence". */
struct config_faults {
    struct buf text;
    int n;
};
void config_faults_init(struct config_faults *f);
void config_faults_deinit(struct config_faults *f);
void config_fault(struct config_faults *f, struct str file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A flag of the command line that sets an option: --NAME VALUE. */
struct config_flag {
    struct str name, value;
};

/* What a configuration is made of besides its file. */
struct config_source {
    const char *path; /* NULL: no file, all defaults */
    const struct config_flag *flags;
    int n_flags;
    const struct config_pair *serve_models; /* -m [NAME=]FILE */
    int n_serve_models;
    const char *(*env)(const char *name); /* the environment; tests give their own */
};

/* The environment of the process: the only place that reads it. */
const char *config_env(const char *name);

/* Reads, fills defaults, checks everything.  Returns the configuration with one reference, or
 * NULL with at least one fault in *f.  ${VAR} and ${VAR:-default} in scalars are data: they are
 * put in after YAML was read. */
struct config *config_load(const struct config_source *source, struct config_faults *f);

/* Turn "2s", "50ms", "1h", "30d" into nanoseconds; "256MB", "1GiB" into bytes. */
bool config_parse_duration(struct str s, int64_t *ns);
bool config_parse_bytes(struct str s, int64_t *bytes);
/* A decimal number of at most 9 decimals times 10^9, exact. */
bool config_parse_nano(struct str s, int64_t *nano);

/* True for 127.0.0.0/8, ::1 and localhost, as "HOST:PORT" or "[V6]:PORT". */
bool config_is_loopback(struct str listen);

/* Folders after the XDG rules, made with `env`; false if they do not fit. */
bool config_state_folder(const char *(*env)(const char *), struct buf *out);
bool config_models_folder(const char *(*env)(const char *), struct buf *out);

/* HTTPS_PROXY, HTTP_PROXY, NO_PROXY (or in small letters).  *rules is NULL where none is set. */
struct proxy_rules;
int config_proxies(const char *(*env)(const char *), struct proxy_rules **rules, struct err *err);

#endif
