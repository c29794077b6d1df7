/* cmd_files.c - sluice inspect, quantize, convert: commands that read and write model files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/cli.h"
#include "server/local.h"

#define JSON_ARENA_MAX ((size_t)512 << 20)

/* A file's texts are a stranger's: control characters must not reach the terminal. */
static void print_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool keep = c >= 0x20 ? c != 0x7f : c == '\n' || c == '\t';
        putchar(keep ? c : '?');
    }
}

static void print_value(const char *indent, struct str key, struct json v, struct arena *a);

static void print_object(const char *indent, struct json object, struct arena *a)
{
    struct json_iter it = json_iter(object);
    while (json_next(&it))
        print_value(indent, it.key, it.value, a);
}

/* A readable form of the library's JSON: one line per fact, long texts at their end. */
static void print_value(const char *indent, struct str key, struct json v, struct arena *a)
{
    char deeper[64];
    snprintf(deeper, sizeof deeper, "%s  ", indent);
    if (json_is(v, JSON_OBJECT)) {
        printf("%s%.*s:\n", indent, STR(key));
        if (strlen(deeper) < 40)
            print_object(deeper, v, a);
    } else if (json_is(v, JSON_STRING)) {
        struct str text = json_text(v, a);
        printf("%s%-22.*s ", indent, STR(key));
        print_text(text);
        printf("\n");
    } else if (json_is(v, JSON_ARRAY)) {
        printf("%s%.*s:\n", indent, STR(key));
        struct json_iter it = json_iter(v);
        while (json_next(&it)) {
            printf("%s", deeper);
            struct json_iter field = json_iter(it.value);
            bool first = true;
            while (json_is(it.value, JSON_OBJECT) && json_next(&field)) {
                struct str text =
                    json_is(field.value, JSON_STRING) ? json_text(field.value, a) : json_span(field.value);
                printf("%s", first ? "" : "  ");
                print_text(text);
                first = false;
            }
            if (first)
                printf("%.*s", STR(json_span(it.value)));
            printf("\n");
        }
    } else {
        printf("%s%-22.*s %.*s\n", indent, STR(key), STR(json_span(v)));
    }
}

static int print_readable(struct str text)
{
    struct arena a;
    struct json_doc doc;
    arena_init(&a, JSON_ARENA_MAX);
    struct err err = {0};
    int rc = json_parse(&doc, &a, text, &err);
    if (rc == OK)
        print_object("", json_root(&doc), &a);
    arena_deinit(&a);
    return rc == OK ? EXIT_OK : cli_fail(EXIT_FAIL, "%s", err.text);
}

static int describe_demo(char **json)
{
    struct sluice_model_options o;
    struct sluice_model *model;
    struct sluice_error err = {0};
    sluice_model_options_init(&o, sizeof o);
    o.vocab_only = true;
    int rc = cli_open_model("demo", &o, &model);
    if (rc != EXIT_OK)
        return rc;
    if (sluice_model_describe(model, json, &err) != SLUICE_OK)
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    sluice_model_free(model);
    return rc;
}

int cmd_inspect(struct args *a)
{
    const char *model = NULL;
    bool as_json = false, tensors = false;
    while (args_next(a)) {
        if (args_is(a, "json"))
            as_json = true;
        else if (args_is(a, "tensors"))
            tensors = true;
        else if (a->word && !model)
            model = a->word;
        else
            return args_unknown(a);
    }
    if (!model)
        return cli_fail(EXIT_USAGE, "which model? (sluice inspect MODEL)");
    char *json = NULL;
    struct sluice_error err = {0};
    int rc = EXIT_OK;
    struct buf path;
    buf_init(&path, 8192);
    if (strcmp(model, "demo") == 0 && local_demo_gguf().n)
        rc = describe_demo(&json);
    else if ((rc = cli_find_model(model, false, &path)) == EXIT_OK &&
             sluice_inspect(buf_z(&path), tensors, &json, &err) != SLUICE_OK)
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    buf_deinit(&path);
    if (rc == EXIT_OK && as_json)
        puts(json);
    else if (rc == EXIT_OK)
        rc = print_readable(str_c(json));
    sluice_free(json);
    return rc;
}

static int two_or_three_words(struct args *a, const char **words, int n, const char *usage)
{
    int have = 0;
    while (args_next(a)) {
        if (!a->word || have == n)
            return args_unknown(a);
        words[have++] = a->word;
    }
    return have == n ? EXIT_OK : cli_fail(EXIT_USAGE, "%s", usage);
}

int cmd_quantize(struct args *a)
{
    const char *w[3] = {0};
    int rc = two_or_three_words(a, w, 3, "usage: sluice quantize IN OUT TYPE");
    if (rc != EXIT_OK)
        return rc;
    struct progress p;
    struct sluice_file_options o;
    struct sluice_error err = {0};
    progress_begin(&p, "quantize");
    sluice_file_options_init(&o, sizeof o);
    o.progress = progress_step;
    o.progress_user = &p;
    rc = sluice_quantize(w[0], w[1], w[2], &o, &err);
    progress_end(&p);
    int status =
        rc == SLUICE_ERR_NOT_FOUND || rc == SLUICE_ERR_ARG ? EXIT_USAGE : EXIT_FAIL; /* an unknown type */
    return rc == SLUICE_OK ? EXIT_OK : cli_fail(status, "%s", err.text);
}

int cmd_convert(struct args *a)
{
    const char *w[2] = {0};
    int rc = two_or_three_words(a, w, 2, "usage: sluice convert HF_DIR OUT");
    if (rc != EXIT_OK)
        return rc;
    struct progress p;
    struct sluice_file_options o;
    struct sluice_error err = {0};
    progress_begin(&p, "convert");
    sluice_file_options_init(&o, sizeof o);
    o.progress = progress_step;
    o.progress_user = &p;
    rc = sluice_convert(w[0], w[1], &o, &err);
    progress_end(&p);
    return rc == SLUICE_OK ? EXIT_OK : cli_fail(EXIT_FAIL, "%s", err.text);
}
