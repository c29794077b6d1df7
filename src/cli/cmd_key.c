/* cmd_key.c - sluice key create|list|revoke, sluice usage: the state on the command line.
 *
 * They open the database themselves, also while a server runs on it; that one looks for changes
 * twice a second. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "gateway/ledger.h"
#include "gateway/report.h"

#define OUT_BYTES_MAX   ((size_t)256 << 20)
#define METADATA_MAX    32
#define USAGE_DEFAULT_S (30 * 24 * 3600)

/* ---- the state ---- */

/* The state of -c FILE, else SLUICE_CONFIG, else the default one. */
static int open_state(const char *path, struct store **s)
{
    if (!path)
        path = config_env("SLUICE_CONFIG");
    struct config_source source = {.path = path && path[0] ? path : NULL, .env = config_env};
    struct config_faults faults;
    config_faults_init(&faults);
    struct config *c = config_load(&source, &faults);
    fputs(buf_z(&faults.text), stderr);
    config_faults_deinit(&faults);
    if (!c)
        return EXIT_USAGE;
    struct err err = {0};
    int rc = ledger_open_store(c, s, &err);
    config_drop(c);
    return rc == OK ? EXIT_OK : cli_fail(EXIT_FAIL, "%s", err.text);
}

static void print(struct buf *out)
{
    fwrite(out->p, 1, out->n, stdout);
}

/* ---- key create ---- */

struct create {
    struct store_key key;
    const char *path;
    bool is_json;
    const char *metadata[METADATA_MAX];
    int n_metadata;
};

static int bad_value(const char *flag, const char *value, const char *expected)
{
    return cli_fail(EXIT_USAGE, "'--%s' must be %s, not '%s'", flag, expected, value);
}

/* Text options; NULL in `to` for those with a form of their own. */
static struct str *text_option(struct create *c, struct str flag)
{
    const struct {
        const char *name;
        struct str *to;
    } options[] = {{"name", &c->key.name},      {"user", &c->key.user},
                   {"models", &c->key.models},  {"regions", &c->key.regions},
                   {"group", &c->key.group},    {"priority", &c->key.priority},
                   {"per", &c->key.budget_per}, {"user-per", &c->key.per_user.budget_per}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (str_eq(flag, str_c(options[i].name)))
            return options[i].to;
    return NULL;
}

static int64_t *number_option(struct create *c, struct str flag)
{
    const struct {
        const char *name;
        int64_t *to;
    } options[] = {{"rpm", &c->key.rpm},
                   {"tpm", &c->key.tpm},
                   {"concurrency", &c->key.concurrency},
                   {"token-budget", &c->key.token_budget},
                   {"max-output-tokens", &c->key.max_output_tokens},
                   {"user-rpm", &c->key.per_user.rpm},
                   {"user-tpm", &c->key.per_user.tpm},
                   {"user-concurrency", &c->key.per_user.concurrency},
                   {"user-token-budget", &c->key.per_user.token_budget}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (str_eq(flag, str_c(options[i].name)))
            return options[i].to;
    return NULL;
}

static int read_special(struct args *a, struct create *c)
{
    struct str flag = a->flag;
    bool user_budget = str_eq(flag, S("user-budget"));
    bool budget = str_eq(flag, S("budget")), expires = str_eq(flag, S("expires")),
         metadata = str_eq(flag, S("metadata"));
    if (!budget && !user_budget && !expires && !metadata)
        return args_unknown(a);
    const char *value = args_value(a);
    if (!value)
        return EXIT_USAGE;
    if (budget && (!config_parse_nano(str_c(value), &c->key.budget_nano) || c->key.budget_nano < 0))
        return bad_value("budget", value, "US dollars, such as 20 or 0.50");
    int64_t *to = &c->key.per_user.budget_nano;
    if (user_budget && (!config_parse_nano(str_c(value), to) || *to <= 0))
        return bad_value("user-budget", value, "US dollars above 0, such as 2 or 0.50");
    if (expires) {
        int64_t ns;
        if (!config_parse_duration(str_c(value), &ns) || ns < NS_PER_S)
            return bad_value("expires", value, "a time of at least 1s, such as 30d");
        c->key.expires_s = ns / NS_PER_S;
    }
    if (metadata) {
        if (str_find_char(str_c(value), '=', 0) == STR_NONE || c->n_metadata == METADATA_MAX)
            return bad_value("metadata", value, "NAME=VALUE, at most 32 times");
        c->metadata[c->n_metadata++] = value;
    }
    return EXIT_OK;
}

static int read_create(struct args *a, struct create *c)
{
    while (args_next(a)) {
        const char *value;
        struct str *text = text_option(c, a->flag);
        int64_t *number = number_option(c, a->flag);
        int rc = EXIT_OK;
        if (args_is(a, "c") || args_is(a, "config"))
            rc = (c->path = args_value(a)) ? EXIT_OK : EXIT_USAGE;
        else if (args_is(a, "json"))
            c->is_json = true;
        else if (text && (value = args_value(a)))
            *text = str_c(value);
        else if (text)
            rc = EXIT_USAGE;
        else if (number)
            rc = args_i64(a, 1, INT64_MAX / 4, number) ? EXIT_OK : EXIT_USAGE;
        else
            rc = read_special(a, c);
        if (rc != EXIT_OK)
            return rc;
    }
    return c->key.name.n ? EXIT_OK : cli_fail(EXIT_USAGE, "a key needs a name (--name NAME)");
}

static void write_metadata(const struct create *c, struct buf *out)
{
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    for (int i = 0; i < c->n_metadata; i++) {
        struct str v = str_c(c->metadata[i]);
        size_t eq = str_find_char(v, '=', 0);
        jw_key_str(&w, str_sub(v, 0, eq));
        jw_str(&w, str_sub(v, eq + 1, v.n));
    }
    jw_end_object(&w);
}

static int key_create(struct args *a)
{
    struct create c = {.key = {.budget_nano = -1}};
    struct store *s;
    int rc = read_create(a, &c);
    rc = rc ? rc : open_state(c.path, &s);
    if (rc != EXIT_OK)
        return rc;
    struct buf metadata, out;
    char text[KEY_TEXT_BYTES], id[KEY_ID_BYTES];
    struct err err = {0};
    buf_init(&metadata, 1 << 16);
    buf_init(&out, 1 << 20);
    write_metadata(&c, &metadata);
    c.key.metadata_json = buf_str(&metadata);
    int made = buf_ok(&metadata) ? report_make_key(s, &c.key, text, id, &err)
                                 : fail(&err, ERR_ARG, "the metadata is too long");
    if (made == OK && c.is_json) {
        made = report_write_key(s, str_c(id), str_c(text), &out, &err);
        buf_puts(&out, "\n");
    } else if (made == OK) {
        buf_printf(&out, "%s\n", text);
    }
    if (made == OK)
        print(&out);
    else
        rc = cli_fail(made == ERR_ARG ? EXIT_USAGE : EXIT_FAIL, "%s", err.text);
    buf_deinit(&metadata);
    buf_deinit(&out);
    store_close(s);
    return rc;
}

/* ---- key list, key revoke ---- */

static void print_key(void *arg, const struct store_key *k)
{
    struct buf *out = arg;
    char made[CLOCK_ISO_BYTES];
    clock_iso(k->created_s * NS_PER_S, made);
    bool expired = k->expires_s && k->expires_s * NS_PER_S <= clock_wall_ns();
    buf_printf(out, "%-20.*s  %-24.*s  %-8s  %.10s  %.*s\n", STR(k->id), STR(k->name),
               k->is_revoked ? "revoked"
               : expired     ? "expired"
                             : "live",
               made, STR(k->user));
}

static int key_list(struct args *a)
{
    const char *path = NULL;
    bool is_json = false;
    while (args_next(a)) {
        if (args_is(a, "json"))
            is_json = true;
        else if (!args_is(a, "c") && !args_is(a, "config"))
            return args_unknown(a);
        else if (!(path = args_value(a)))
            return EXIT_USAGE;
    }
    struct store *s;
    int rc = open_state(path, &s);
    if (rc != EXIT_OK)
        return rc;
    struct buf out;
    struct err err = {0};
    buf_init(&out, OUT_BYTES_MAX);
    if (!is_json)
        buf_printf(&out, "%-20s  %-24s  %-8s  %-10s  %s\n", "ID", "NAME", "STATE", "CREATED", "USER");
    int got = is_json ? report_write_keys(s, &out, &err) : store_each_key(s, print_key, &out, &err);
    if (is_json)
        buf_puts(&out, "\n");
    if (got == OK)
        print(&out);
    else
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    buf_deinit(&out);
    store_close(s);
    return rc;
}

static int key_revoke(struct args *a)
{
    const char *path = NULL, *name = NULL;
    while (args_next(a)) {
        if (a->word && !name)
            name = a->word;
        else if (!args_is(a, "c") && !args_is(a, "config"))
            return args_unknown(a);
        else if (!(path = args_value(a)))
            return EXIT_USAGE;
    }
    if (!name)
        return cli_fail(EXIT_USAGE, "which key? (sluice key revoke NAME|ID)");
    struct store *s;
    int rc = open_state(path, &s);
    if (rc != EXIT_OK)
        return rc;
    struct err err = {0};
    if (store_revoke_key(s, str_c(name), &err) != OK)
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    store_close(s);
    return rc;
}

int cmd_key(struct args *a)
{
    if (!args_next(a) || !a->word)
        return cli_fail(EXIT_USAGE, "say create, list or revoke (see sluice key --help)");
    if (strcmp(a->word, "create") == 0)
        return key_create(a);
    if (strcmp(a->word, "list") == 0)
        return key_list(a);
    if (strcmp(a->word, "revoke") == 0)
        return key_revoke(a);
    return cli_fail(EXIT_USAGE, "'%s' is not create, list or revoke", a->word);
}

/* ---- usage ---- */

int cmd_usage(struct args *a)
{
    const char *path = NULL, *value;
    enum report_form form = REPORT_TABLE;
    unsigned by = USAGE_KEY;
    int64_t since_ns = USAGE_DEFAULT_S * NS_PER_S;
    struct str bad;
    while (args_next(a)) {
        if (args_is(a, "json")) {
            form = REPORT_JSON;
        } else if (args_is(a, "csv")) {
            form = REPORT_CSV;
        } else if (args_is(a, "c") || args_is(a, "config")) {
            if (!(path = args_value(a)))
                return EXIT_USAGE;
        } else if (args_is(a, "by")) {
            if (!(value = args_value(a)))
                return EXIT_USAGE;
            if (!usage_parse_by(str_c(value), &by, &bad))
                return bad_value("by", value, "a list of key, user, model, provider, endpoint, hour, day");
        } else if (args_is(a, "since")) {
            if (!(value = args_value(a)))
                return EXIT_USAGE;
            if (!config_parse_duration(str_c(value), &since_ns) || since_ns <= 0)
                return bad_value("since", value, "a time back from now, such as 24h or 30d");
        } else {
            return args_unknown(a);
        }
    }
    struct store *s;
    int rc = open_state(path, &s);
    if (rc != EXIT_OK)
        return rc;
    struct buf out;
    struct err err = {0};
    int64_t now_s = clock_wall_ns() / NS_PER_S;
    buf_init(&out, OUT_BYTES_MAX);
    if (report_write_usage(s, by, now_s - since_ns / NS_PER_S, now_s + 1, form, &out, &err) != OK)
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    if (form == REPORT_JSON)
        buf_puts(&out, "\n");
    if (rc == EXIT_OK)
        print(&out);
    buf_deinit(&out);
    store_close(s);
    return rc;
}
