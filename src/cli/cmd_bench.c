/* cmd_bench.c - sluice bench: how fast a model is here, and what guessing is worth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sys.h"
#include "cli/cli.h"

#define PROMPT_MAX ((size_t)16 << 20)

struct bench_args {
    struct sluice_bench_options o;
    struct sluice_model_options model;
    struct sluice_context_options context;
    const char *name, *draft, *prompt_file;
    bool as_json;
};

static bool read_number(struct args *a, struct sluice_bench_options *o, int *status)
{
    static const char *const names[] = {"p", "n", "b", "d", "depth", "r", "repetitions"};
    int32_t *const to[] = {&o->prompt_tokens, &o->generate_tokens, &o->n_streams,  &o->depth,
                           &o->depth,         &o->repetitions,     &o->repetitions};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t v = 0;
        if (!args_is(a, names[i]))
            continue;
        bool is_some = to[i] == &o->n_streams || to[i] == &o->repetitions;
        *status = args_i64(a, is_some ? 1 : 0, 1 << 20, &v) ? EXIT_OK : EXIT_USAGE;
        *to[i] = (int32_t)v;
        return true;
    }
    return false;
}

static int read_args(struct args *a, struct bench_args *b)
{
    while (args_next(a)) {
        int status = EXIT_OK;
        if (a->word && !b->name)
            b->name = a->word;
        else if (a->word)
            return args_unknown(a);
        else if (args_is(a, "json"))
            b->as_json = true;
        else if (args_is(a, "draft"))
            status = (b->draft = args_value(a)) ? EXIT_OK : EXIT_USAGE;
        else if (args_is(a, "prompt-file"))
            status = (b->prompt_file = args_value(a)) ? EXIT_OK : EXIT_USAGE;
        else if (!cli_engine_flag(a, &b->model, &status) && !read_number(a, &b->o, &status))
            return args_unknown(a);
        if (status != EXIT_OK)
            return status;
    }
    return b->name ? EXIT_OK : cli_fail(EXIT_USAGE, "which model? (sluice bench MODEL)");
}

static void print_speed(const char *what, struct json part, const char *share)
{
    double median = 0, min = 0, max = 0, of = 0;
    int64_t tokens = 0;
    struct json speed = json_get(part, "tokens_per_second");
    if (!json_exists(part) || !json_f64(json_get(speed, "median"), &median))
        return;
    json_f64(json_get(speed, "min"), &min);
    json_f64(json_get(speed, "max"), &max);
    json_i64(json_get(part, "tokens"), &tokens);
    json_f64(json_get(part, share), &of);
    printf("%-9s %6lld tokens  %9.2f tokens/s  (%.2f to %.2f)  %5.1f%% of %s\n", what, (long long)tokens,
           median, min, max, of * 100,
           strcmp(share, "share_of_bandwidth") == 0 ? "read bandwidth" : "int8 peak");
}

static void print_sampling(struct json part)
{
    static const char *const names[][2] = {{"greedy_us", "greedy"},
                                           {"top_k_us", "top_k"},
                                           {"top_p_us", "top_p"},
                                           {"top_p_flat_us", "top_p, flat"}};
    int64_t n = 0;
    json_i64(json_get(part, "vocabulary"), &n);
    printf("sampling  %6lld tokens ", (long long)n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double us = 0;
        json_f64(json_get(part, names[i][0]), &us);
        printf("%s %s %.0f us", i ? "," : "", names[i][1], us);
    }
    printf("\n");
}

static void print_draft(struct json part)
{
    double median = 0, min = 0, max = 0, acceptance = 0, with = 0, without = 0;
    int64_t guessed = 0;
    struct json gain = json_get(part, "gain");
    if (!json_exists(part) || !json_f64(json_get(gain, "median"), &median))
        return;
    json_f64(json_get(gain, "min"), &min);
    json_f64(json_get(gain, "max"), &max);
    json_f64(json_get(part, "acceptance"), &acceptance);
    json_f64(json_get(json_get(part, "with"), "median"), &with);
    json_f64(json_get(json_get(part, "without"), "median"), &without);
    json_i64(json_get(part, "guessed"), &guessed);
    bool is_ngram = json_text_is(json_get(part, "kind"), "ngram");
    printf("draft     %s: %.1f%% of %lld guesses were right, %.2f tokens/s without, %.2f with, gain %.2f  "
           "(%.2f to "
           "%.2f)\n",
           is_ngram ? "ngram" : "model", acceptance * 100, (long long)guessed, without, with, median, min,
           max);
}

static int print_result(const char *json, bool as_json)
{
    struct arena arena;
    struct json_doc doc;
    if (as_json) {
        puts(json);
        return EXIT_OK;
    }
    arena_init(&arena, 1 << 20);
    int rc = json_parse(&doc, &arena, str_c(json), NULL) == OK ? EXIT_OK : EXIT_FAIL;
    if (rc == EXIT_OK) {
        print_speed("prompt", json_get(json_root(&doc), "prompt"), "share_of_int8_peak");
        print_speed("generate", json_get(json_root(&doc), "generate"), "share_of_bandwidth");
        print_sampling(json_get(json_root(&doc), "sampling"));
        print_draft(json_get(json_root(&doc), "draft"));
    }
    arena_deinit(&arena);
    return rc;
}

static int measure(struct bench_args *b, struct sluice_model *model, struct sluice_model **draft)
{
    struct sluice_context *ctx = NULL;
    struct sluice_error err = {0};
    char *json = NULL;
    int rc = cli_open_draft(b->draft, &b->model, &b->context, draft);

    if (rc == EXIT_OK && (sluice_context_create(model, &b->context, &ctx, &err) != SLUICE_OK ||
                          sluice_bench(ctx, &b->o, &json, &err) != SLUICE_OK))
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    if (rc == EXIT_OK)
        rc = print_result(json, b->as_json);
    sluice_free(json);
    sluice_context_free(ctx);
    return rc;
}

int cmd_bench(struct args *a)
{
    struct bench_args b = {.as_json = false};
    struct sluice_model *model = NULL, *draft = NULL;
    struct buf prompt;
    struct err err;

    sluice_bench_options_init(&b.o, sizeof b.o);
    sluice_model_options_init(&b.model, sizeof b.model);
    sluice_context_options_init(&b.context, sizeof b.context);
    buf_init(&prompt, PROMPT_MAX);
    int rc = read_args(a, &b);
    b.o.draft = b.draft && strcmp(b.draft, "off") != 0;
    if (rc == EXIT_OK && b.prompt_file && sys_read_file(b.prompt_file, &prompt, &err) != OK)
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    if (b.prompt_file) {
        b.o.prompt = buf_z(&prompt);
        b.o.prompt_bytes = prompt.n;
    }
    if (rc == EXIT_OK)
        rc = cli_open_model(b.name, &b.model, &model);
    if (rc == EXIT_OK)
        rc = measure(&b, model, &draft);
    sluice_model_free(draft);
    sluice_model_free(model);
    buf_deinit(&prompt);
    return rc;
}
