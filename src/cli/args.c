/* args.c - Arguments, messages and progress for all commands. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "server/local.h"

#define PROGRESS_PAUSE_NS (100 * NS_PER_MS)

bool args_next(struct args *a)
{
    a->flag = a->value = (struct str){NULL, 0};
    a->word = NULL;
    if (a->at >= a->n)
        return false;
    const char *arg = a->v[a->at++];
    if (a->only_words || arg[0] != '-' || arg[1] == 0) {
        a->word = arg;
        return true;
    }
    if (strcmp(arg, "--") == 0) {
        a->only_words = true;
        return args_next(a);
    }
    if (arg[1] != '-') { /* -x or -xvalue */
        a->flag = str_of(arg + 1, 1);
        if (arg[2])
            a->value = str_c(arg[2] == '=' ? arg + 3 : arg + 2);
        return true;
    }
    struct str full = str_c(arg + 2);
    size_t eq = str_find_char(full, '=', 0);
    a->flag = eq == STR_NONE ? full : str_sub(full, 0, eq);
    if (eq != STR_NONE)
        a->value = str_sub(full, eq + 1, full.n);
    return true;
}

const char *args_value(struct args *a)
{
    if (a->value.p)
        return a->value.p; /* the rest of its argument: NUL-terminated */
    if (a->at < a->n)
        return a->v[a->at++];
    cli_fail(EXIT_USAGE, "the option %s%.*s needs a value", a->flag.n > 1 ? "--" : "-", STR(a->flag));
    return NULL;
}

bool args_is(const struct args *a, const char *name)
{
    return a->flag.p && str_eq(a->flag, str_c(name));
}

int args_unknown(const struct args *a)
{
    if (a->flag.p)
        return cli_fail(EXIT_USAGE, "unknown option '%s%.*s' (see sluice %s --help)",
                        a->flag.n > 1 ? "--" : "-", STR(a->flag), a->command);
    return cli_fail(EXIT_USAGE, "unexpected '%s' (see sluice %s --help)", a->word, a->command);
}

bool args_i64(struct args *a, int64_t min, int64_t max, int64_t *out)
{
    struct str flag = a->flag;
    const char *value = args_value(a);
    if (!value)
        return false;
    int64_t v;
    if (!str_to_i64(str_c(value), &v) || v < min || v > max) {
        cli_fail(EXIT_USAGE, "'%.*s' must be a whole number from %lld to %lld, not '%s'", STR(flag),
                 (long long)min, (long long)max, value);
        return false;
    }
    *out = v;
    return true;
}

bool args_f64(struct args *a, double min, double max, double *out)
{
    struct str flag = a->flag;
    const char *value = args_value(a);
    if (!value)
        return false;
    double v;
    if (!str_to_f64(str_c(value), &v) || v < min || v > max) {
        cli_fail(EXIT_USAGE, "'%.*s' must be a number from %g to %g, not '%s'", STR(flag), min, max, value);
        return false;
    }
    *out = v;
    return true;
}

int cli_fail(int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("sluice: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}

int cli_help(const struct command *c)
{
    printf("sluice %s %s\n\n%s\n", c->name, c->usage, c->summary);
    if (c->help)
        printf("\n%s", c->help);
    return EXIT_OK;
}

void progress_begin(struct progress *p, const char *what)
{
    *p = (struct progress){.what = what, .last = -1, .is_terminal = isatty(STDERR_FILENO)};
}

bool progress_step(void *progress, uint64_t done, uint64_t total)
{
    struct progress *p = progress;
    int percent = total ? (int)((double)done * 100 / (double)total) : 100;
    if (percent == p->last || (!p->is_terminal && percent / 10 == p->last / 10 && p->last >= 0))
        return true;
    p->last = percent;
    if (!p->is_terminal) {
        fprintf(stderr, "%s: %d%%\n", p->what, percent);
        return true;
    }
    char bar[41];
    for (int i = 0; i < 40; i++)
        bar[i] = i < percent * 40 / 100 ? '#' : '.';
    bar[40] = 0;
    fprintf(stderr, "\r%s [%s] %3d%%", p->what, bar, percent);
    return true;
}

void cli_print_bytes(char *out, size_t cap, uint64_t bytes)
{
    double v = (double)bytes;
    const char *unit = "B";
    for (const char *const *u = (const char *const[]){"kB", "MB", "GB", "TB", NULL}; *u && v >= 1000; u++) {
        v /= 1000;
        unit = *u;
    }
    snprintf(out, cap, v < 10 && bytes >= 1000 ? "%.2f %s" : "%.0f %s", v, unit);
}

void progress_bytes(struct progress *p, uint64_t done, uint64_t total)
{
    int64_t now = clock_now_ns();
    if (!p->began_ns) {
        p->began_ns = now;
        p->began_at = done;
    }
    if (!p->is_terminal && total) {
        progress_step(p, done, total);
        return;
    }
    if (!p->is_terminal || (done != total && now - p->shown_ns < PROGRESS_PAUSE_NS))
        return;
    p->shown_ns = now;
    p->last = 0;
    double seconds = (double)(now - p->began_ns) / 1e9;
    double speed = seconds > 0.2 ? (double)(done - p->began_at) / seconds : 0;
    char have[32], all[32], rate[32];
    cli_print_bytes(have, sizeof have, done);
    cli_print_bytes(all, sizeof all, total);
    cli_print_bytes(rate, sizeof rate, (uint64_t)speed);
    fprintf(stderr, "\r\033[K%s  %s", p->what, have);
    if (total)
        fprintf(stderr, " of %s  %d%%", all, (int)((double)done * 100 / (double)total));
    if (speed > 0)
        fprintf(stderr, "  %s/s", rate);
    if (speed > 0 && total > done) {
        uint64_t left = (uint64_t)((double)(total - done) / speed);
        fprintf(stderr, "  %llu:%02llu left", (unsigned long long)(left / 60),
                (unsigned long long)(left % 60));
    }
}

void progress_end(struct progress *p)
{
    if (p->is_terminal && p->last >= 0)
        fprintf(stderr, "\r\033[K");
}

int cli_open_model(const char *name, struct sluice_model_options *o, struct sluice_model **model)
{
    struct sluice_error err = {0};
    struct str demo = local_demo_gguf();
    struct buf path;
    buf_init(&path, 8192);
    int rc = cli_find_model(name, false, &path);
    if (rc != EXIT_OK) {
        buf_deinit(&path);
        return rc;
    }
    if (strcmp(name, "demo") == 0 && demo.n)
        rc = sluice_model_open_memory(demo.p, demo.n, o, model, &err);
    else
        rc = sluice_model_open(buf_z(&path), o, model, &err);
    buf_deinit(&path);
    return rc == SLUICE_OK ? EXIT_OK : cli_fail(EXIT_FAIL, "%s", err.text);
}

int cli_open_draft(const char *what, const struct sluice_model_options *o, struct sluice_context_options *co,
                   struct sluice_model **draft)
{
    struct sluice_model_options mo = *o;
    struct buf path;

    if (!what || strcmp(what, "ngram") == 0 || strcmp(what, "off") == 0) {
        co->draft_max = what && what[0] == 'o' ? -1 : 0;
        return EXIT_OK;
    }
    mo.kv_bytes = 0;
    buf_init(&path, 8192);
    int rc = cli_find_model(what, true, &path);
    rc = rc ? rc : cli_open_model(buf_z(&path), &mo, draft);
    buf_deinit(&path);
    co->draft = *draft;
    return rc;
}

bool cli_engine_flag(struct args *a, struct sluice_model_options *o, int *status)
{
    int64_t v = 0;
    *status = EXIT_OK;
    if (args_is(a, "threads") || args_is(a, "t")) {
        if (!args_i64(a, 0, 1024, &v))
            *status = EXIT_USAGE;
        o->threads = (int)v;
    } else if (args_is(a, "context")) {
        if (!args_i64(a, 0, 1 << 24, &v))
            *status = EXIT_USAGE;
        o->context = (int32_t)v;
    } else if (args_is(a, "isa")) {
        o->isa = args_value(a);
        *status = o->isa ? EXIT_OK : EXIT_USAGE;
    } else if (args_is(a, "kv-type")) {
        o->kv_type = args_value(a);
        *status = o->kv_type ? EXIT_OK : EXIT_USAGE;
    } else {
        return false;
    }
    return true;
}
