/* cli.h - The command line: one table of commands, one cmd_X.c each.
 *
 * Exit status: 0 success, 1 failure (bad model file, port in use, ...), 2 usage or configuration. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "server/config_load.h"
#include "sluice.h"

enum { EXIT_OK = 0, EXIT_FAIL = 1, EXIT_USAGE = 2 };

/* Walks over the arguments: "--name value", "--name=value", "-x value", "-xvalue", words.
 * After "--" everything is a word. */
struct args {
    int n, at;
    char **v;
    bool only_words;
    const char *command;
    /* the current one */
    struct str flag;  /* without dashes; p == NULL for a word */
    struct str value; /* of --name=value or -xvalue; p == NULL if not joined */
    const char *word;
};
/* False at the end. */
bool args_next(struct args *a);
/* The current flag's value, taking the next argument if needed; NULL (and a message) if there is none. */
const char *args_value(struct args *a);
bool args_is(const struct args *a, const char *name); /* "m" or "model" */
/* "unknown option"; returns EXIT_USAGE. */
int args_unknown(const struct args *a);
/* A whole number within bounds, else a message and false. */
bool args_i64(struct args *a, int64_t min, int64_t max, int64_t *out);
bool args_f64(struct args *a, double min, double max, double *out);

/* "sluice: sentence" to stderr; returns `status`. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct command {
    const char *name;
    int (*run)(struct args *a);
    const char *usage;   /* after "sluice NAME " */
    const char *summary; /* one line */
    const char *help;    /* the rest of its page; may be NULL */
};
extern const struct command commands[]; /* ended by a row without a name */
int cli_help(const struct command *c);  /* its page to stdout; EXIT_OK */

int cmd_serve(struct args *a);
int cmd_run(struct args *a);
int cmd_bench(struct args *a);
int cmd_inspect(struct args *a);
int cmd_quantize(struct args *a);
int cmd_convert(struct args *a);
int cmd_check(struct args *a);
int cmd_config(struct args *a);
int cmd_key(struct args *a);
int cmd_usage(struct args *a);
int cmd_pull(struct args *a);

/* Progress of long work: a bar on a terminal, a line every ten per cent elsewhere. */
struct progress {
    const char *what;
    int last;
    bool is_terminal;
    /* of progress_bytes */
    int64_t began_ns, shown_ns;
    uint64_t began_at;
};
void progress_begin(struct progress *p, const char *what);
bool progress_step(void *progress, uint64_t done, uint64_t total); /* sluice_progress_fn */
/* The same for a download, with amount, speed and time left.  total 0: not known. */
void progress_bytes(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p);
/* "1.23 GB" */
void cli_print_bytes(char *out, size_t cap, uint64_t bytes);

/* Opens a model named on the command line: "demo" or a GGUF file.  On failure says why and
 * returns EXIT_FAIL. */
int cli_open_model(const char *name, struct sluice_model_options *o, struct sluice_model **model);

/* hf:OWNER/REPO[:FILE] becomes the path of a pulled file (which is pulled first if it is missing and
 * may_pull); any other name stays as it is.  On failure says why and returns an exit status. */
int cli_find_model(const char *name, bool may_pull, struct buf *path);

/* What --draft says: "ngram" (guesses from the text itself, the default), "off", or a GGUF file of the same
 * vocabulary, which is opened into *draft (free it after the context).  Fills co; an exit status. */
int cli_open_draft(const char *what, const struct sluice_model_options *o, struct sluice_context_options *co,
                   struct sluice_model **draft);

/* Options of the engine that several commands share: --threads, --isa, --context, --kv-type.
 * True if the current flag is one of them (then *status says how it went). */
bool cli_engine_flag(struct args *a, struct sluice_model_options *o, int *status);

#endif
