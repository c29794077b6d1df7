/* cmd_serve.c - sluice serve, sluice check, sluice config. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "gateway/providers.h"
#include "server/hub.h"
#include "server/options.h"
#include "server/server.h"

enum { FLAGS_MAX = 128, MODELS_MAX = 256 };

struct serve {
    const char *path;
    struct config_flag flags[FLAGS_MAX];
    int n_flags;
    struct config_pair models[MODELS_MAX];
    struct buf pulled[MODELS_MAX]; /* the files of those given as hf:... */
    int n_models;
    bool preload;
};

static int add_model(struct serve *s, const char *value)
{
    if (s->n_models == MODELS_MAX)
        return cli_fail(EXIT_USAGE, "more than %d models", MODELS_MAX);
    struct str v = str_c(value);
    size_t eq = str_find_char(v, '=', 0);
    struct config_pair pair = {S(""), v};
    /* A '/' before the '=' means that the '=' belongs to a path. */
    if (eq != STR_NONE && eq > 0 && str_find_char(str_sub(v, 0, eq), '/', 0) == STR_NONE)
        pair = (struct config_pair){str_sub(v, 0, eq), str_sub(v, eq + 1, v.n)};
    if (hub_is_name(pair.value)) {
        struct buf *path = &s->pulled[s->n_models];
        buf_init(path, 8192);
        int rc = cli_find_model(pair.value.p, false, path);
        if (rc != EXIT_OK)
            return rc;
        pair.value = str_c(buf_z(path));
    }
    if (access(pair.value.p, R_OK) != 0)
        return cli_fail(EXIT_FAIL, "the model file '%.*s' cannot be read", STR(pair.value));
    s->models[s->n_models++] = pair;
    return EXIT_OK;
}

static int read_args(struct args *a, struct serve *s)
{
    while (args_next(a)) {
        const char *value = NULL;
        if (a->word)
            return args_unknown(a);
        if (args_is(a, "c") || args_is(a, "config")) {
            if (!(s->path = args_value(a)))
                return EXIT_USAGE;
        } else if (args_is(a, "m") || args_is(a, "model")) {
            int rc = (value = args_value(a)) ? add_model(s, value) : EXIT_USAGE;
            if (rc != EXIT_OK)
                return rc;
        } else if (args_is(a, "preload")) {
            s->preload = true;
        } else if (options_find_flag(a->flag) && s->n_flags < FLAGS_MAX) {
            struct str name = a->flag;
            if (!(value = args_value(a)))
                return EXIT_USAGE;
            s->flags[s->n_flags++] = (struct config_flag){name, str_c(value)};
        } else {
            return args_unknown(a);
        }
    }
    return EXIT_OK;
}

static struct config *load(const struct config_source *source)
{
    struct config_faults faults;
    config_faults_init(&faults);
    struct config *c = config_load(source, &faults);
    fputs(buf_z(&faults.text), stderr);
    config_faults_deinit(&faults);
    return c;
}

int cmd_serve(struct args *a)
{
    static struct serve s; /* large: not on the stack */
    int rc = read_args(a, &s);
    if (rc != EXIT_OK)
        return rc;
    if (!s.path && s.n_models == 0)
        s.path = config_env("SLUICE_CONFIG");
    struct config_source source = {.path = s.path && s.path[0] ? s.path : NULL,
                                   .flags = s.flags,
                                   .n_flags = s.n_flags,
                                   .serve_models = s.models,
                                   .n_serve_models = s.n_models,
                                   .env = config_env};
    struct config *c = load(&source);
    if (!c)
        return EXIT_USAGE;
    log_open(STDERR_FILENO, (enum log_level)c->log_level, c->log_json != 0);
    struct server_options options = {.config = c, .source = &source, .preload = s.preload, .ready_fd = -1};
    struct err err = {0};
    rc = server_run(&options, &err);
    config_drop(c);
    return rc == OK ? EXIT_OK : cli_fail(EXIT_FAIL, "%s", err.text);
}

int cmd_check(struct args *a)
{
    const char *path = config_env("SLUICE_CONFIG");
    while (args_next(a)) {
        if (args_is(a, "c") || args_is(a, "config"))
            path = args_value(a);
        else
            return args_unknown(a);
        if (!path)
            return EXIT_USAGE;
    }
    if (!path || !path[0])
        return cli_fail(EXIT_USAGE, "which file? (sluice check -c FILE)");
    struct config_source source = {.path = path, .env = config_env};
    struct config *c = load(&source);
    if (!c)
        return EXIT_USAGE;
    printf("%s: %d provider%s, %d model%s, nothing at fault\n", path, c->n_providers,
           c->n_providers == 1 ? "" : "s", c->n_models, c->n_models == 1 ? "" : "s");
    config_drop(c);
    return EXIT_OK;
}

int cmd_config(struct args *a)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    while (args_next(a)) {
        if (args_is(a, "docs"))
            options_write_docs(&out);
        else if (args_is(a, "example"))
            options_write_example(&out);
        else if (args_is(a, "providers"))
            provider_kinds_write_docs(&out);
        else
            return args_unknown(a);
    }
    if (!out.n)
        return cli_fail(EXIT_USAGE, "say --docs, --example or --providers");
    fwrite(out.p, 1, out.n, stdout);
    buf_deinit(&out);
    return EXIT_OK;
}
