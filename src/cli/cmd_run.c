/* cmd_run.c - sluice run: one answer to stdout, or a chat on a terminal. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/talk.h"

#define PROMPT_MAX ((size_t)64 << 20)

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
    (void)signum;
    interrupted = 1;
}

struct run {
    struct talk_options o;
    const char *model;
    struct buf prompt;
    bool has_prompt, stats;
};

static int read_flag(struct args *a, struct run *r)
{
    struct talk_options *o = &r->o;
    int status;
    bool ok = true;
    if (cli_engine_flag(a, &o->model, &status))
        return status;
    if (args_is(a, "system"))
        ok = (o->system = args_value(a)) != NULL;
    else if (args_is(a, "n") || args_is(a, "max-tokens"))
        ok = args_i64(a, 0, 1 << 24, &o->max_tokens);
    else if (args_is(a, "temperature") || args_is(a, "temp"))
        ok = args_f64(a, 0, 100, &o->temperature);
    else if (args_is(a, "top-p"))
        ok = args_f64(a, 0, 1, &o->top_p);
    else if (args_is(a, "min-p"))
        ok = args_f64(a, 0, 1, &o->min_p);
    else if (args_is(a, "repeat-penalty"))
        ok = args_f64(a, 0.01, 100, &o->repeat_penalty);
    else if (args_is(a, "top-k"))
        ok = args_i64(a, 0, 1 << 24, &o->top_k);
    else if (args_is(a, "seed"))
        ok = args_i64(a, 0, INT64_MAX, &o->seed);
    else if (args_is(a, "stop") && o->n_stops < 16)
        ok = (o->stops[o->n_stops++] = args_value(a)) != NULL;
    else if (args_is(a, "kv-cache-dir"))
        ok = (o->context.kv_cache_dir = args_value(a)) != NULL;
    else if (args_is(a, "draft"))
        ok = (o->draft = args_value(a)) != NULL;
    else if (args_is(a, "raw"))
        o->is_raw = true;
    else if (args_is(a, "stats"))
        r->stats = true;
    else
        return args_unknown(a);
    return ok ? EXIT_OK : EXIT_USAGE;
}

static int read_args(struct args *a, struct run *r)
{
    while (args_next(a)) {
        if (a->word && !r->model) {
            r->model = a->word;
        } else if (a->word) { /* several words are one prompt */
            buf_printf(&r->prompt, "%s%s", r->has_prompt ? " " : "", a->word);
            r->has_prompt = true;
        } else {
            int rc = read_flag(a, r);
            if (rc != EXIT_OK)
                return rc;
        }
    }
    return r->model
               ? EXIT_OK
               : cli_fail(EXIT_USAGE, "which model? (sluice run MODEL [PROMPT]; the built-in one is 'demo')");
}

static int read_stdin(struct buf *prompt)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, stdin)) > 0)
        if (!buf_add(prompt, part, n))
            return cli_fail(EXIT_FAIL, "the prompt is longer than %zu bytes", PROMPT_MAX);
    return EXIT_OK;
}

static int answer_once(struct talk *t, struct run *r)
{
    struct buf messages, answer;
    struct talk_stats stats = {0};
    buf_init(&messages, PROMPT_MAX * 2);
    buf_init(&answer, PROMPT_MAX);
    struct str text = buf_str(&r->prompt);
    if (!r->o.is_raw) {
        struct json_writer w = json_writer(&messages);
        jw_begin_array(&w);
        for (int i = r->o.system ? 0 : 1; i < 2; i++) {
            jw_begin_object(&w);
            jw_kv_z(&w, "role", i == 0 ? "system" : "user");
            jw_kv_str(&w, "content", i == 0 ? str_c(r->o.system) : str_trim(text));
            jw_end_object(&w);
        }
        jw_end_array(&w);
        text = buf_str(&messages);
    }
    struct sigaction on_int = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &on_int, NULL);
    int rc = talk_answer(t, text, &answer, &interrupted, &stats);
    if (rc == EXIT_OK && (answer.n == 0 || answer.p[answer.n - 1] != '\n'))
        printf("\n");
    if (rc == EXIT_OK && r->stats)
        fprintf(
            stderr, "prompt: %lld tokens (%lld cached), %.1f tokens/s; answer: %lld tokens, %.1f tokens/s\n",
            (long long)stats.prompt_tokens, (long long)stats.cached_tokens,
            stats.prompt_s > 0 ? (double)(stats.prompt_tokens - stats.cached_tokens) / stats.prompt_s : 0,
            (long long)stats.answer_tokens,
            stats.answer_s > 0 && stats.answer_tokens > 1 ? (double)(stats.answer_tokens - 1) / stats.answer_s
                                                          : 0);
    if (rc == EXIT_OK && r->stats && stats.queue_s >= 0.001)
        fprintf(stderr, "waited %.3f s before the prompt\n", stats.queue_s);
    if (rc == EXIT_OK && r->stats && stats.guessed_tokens > 0)
        fprintf(stderr, "guesses: %lld, of which %lld were right\n", (long long)stats.guessed_tokens,
                (long long)stats.accepted_tokens);
    buf_deinit(&messages);
    buf_deinit(&answer);
    return rc;
}

int cmd_run(struct args *a)
{
    struct run r = {.o = {.temperature = -1,
                          .top_p = -1,
                          .min_p = -1,
                          .repeat_penalty = -1,
                          .top_k = -1,
                          .max_tokens = -1,
                          .seed = -1}};
    sluice_model_options_init(&r.o.model, sizeof r.o.model);
    sluice_context_options_init(&r.o.context, sizeof r.o.context);
    buf_init(&r.prompt, PROMPT_MAX);
    int rc = read_args(a, &r);
    bool is_chat = rc == EXIT_OK && !r.has_prompt && isatty(STDIN_FILENO);
    if (rc == EXIT_OK && !r.has_prompt && !is_chat)
        rc = read_stdin(&r.prompt);
    if (rc == EXIT_OK) {
        struct talk *t = talk_open(r.model, &r.o, &rc);
        if (t && is_chat)
            rc = chat_run(t, r.model, &r.o, r.stats);
        else if (t)
            rc = answer_once(t, &r);
        talk_close(t);
    }
    buf_deinit(&r.prompt);
    return rc;
}
