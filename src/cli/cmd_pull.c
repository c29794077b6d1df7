/* cmd_pull.c - sluice pull: a model from a hub into the folder of models. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/pull.h"
#include "server/hub.h"

/* The folder that the server would use: --models-dir, else -c FILE or SLUICE_CONFIG, else the default. */
static int open_config(const char *path, const char *models_dir, struct config **c)
{
    if (!path)
        path = config_env("SLUICE_CONFIG");
    struct config_flag flag = {S("models-dir"), str_c(models_dir)};
    struct config_source source = {.path = path && path[0] ? path : NULL,
                                   .flags = &flag,
                                   .n_flags = models_dir ? 1 : 0,
                                   .env = config_env};
    struct config_faults faults;
    config_faults_init(&faults);
    *c = config_load(&source, &faults);
    fputs(buf_z(&faults.text), stderr);
    config_faults_deinit(&faults);
    return *c ? EXIT_OK : EXIT_USAGE;
}

int cmd_pull(struct args *a)
{
    const char *name = NULL, *path = NULL, *dir = NULL, *revision = "main";
    while (args_next(a)) {
        bool ok = true;
        if (a->word && !name)
            name = a->word;
        else if (args_is(a, "c") || args_is(a, "config"))
            ok = (path = args_value(a)) != NULL;
        else if (args_is(a, "models-dir"))
            ok = (dir = args_value(a)) != NULL;
        else if (args_is(a, "revision"))
            ok = (revision = args_value(a)) != NULL;
        else
            return args_unknown(a);
        if (!ok)
            return EXIT_USAGE;
    }
    if (!name)
        return cli_fail(EXIT_USAGE, "which model? (sluice pull hf:OWNER/REPO[:FILE])");
    struct config *c;
    int rc = open_config(path, dir, &c);
    if (rc != EXIT_OK)
        return rc;
    struct buf file;
    buf_init(&file, 8192);
    struct pull_options o = {str_c(name), str_c(revision), c->models_dir};
    rc = pull_model(&o, &file);
    if (rc == EXIT_OK)
        printf("%s\n", buf_z(&file));
    buf_deinit(&file);
    config_drop(c);
    return rc;
}

int cli_find_model(const char *name, bool may_pull, struct buf *path)
{
    struct config *c;
    struct err err = {0};
    if (!hub_is_name(str_c(name)))
        return buf_puts(path, name) ? EXIT_OK : cli_fail(EXIT_FAIL, "the path of the model is too long");
    int rc = open_config(NULL, NULL, &c);
    if (rc != EXIT_OK)
        return rc;
    int found = hub_find_pulled(c->models_dir, str_c(name), path, &err);
    if (found == ERR_NOT_FOUND && may_pull) {
        struct pull_options o = {str_c(name), S("main"), c->models_dir};
        rc = pull_model(&o, path);
    } else if (found != OK) {
        rc = cli_fail(found == ERR_ARG ? EXIT_USAGE : EXIT_FAIL, "%s", err.text);
    }
    config_drop(c);
    return rc;
}
