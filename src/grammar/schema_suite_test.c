/* Files in the form of the official JSON-Schema-Test-Suite: [{schema, tests: [{data, valid}]}].
 * The folder tests/cases/schema is always run; tests/oracle/schema.sh runs the official suite and a
 * generated corpus, whose answers are ajv's, by naming their folder in SLUICE_SCHEMA_SUITE. */
#include <dirent.h>
#include <stdlib.h>

#include "base/test.h"
#include "grammar/schema_check.h"

struct tally {
    int n_right, n_wrong, n_refused;
};

static void run_group(struct tally *t, const char *file, struct json group)
{
    struct schema *s = NULL;
    struct schema_checker *k = NULL;
    struct err err = {0};
    struct str schema = json_span(json_get(group, "schema"));
    struct str what = json_span(json_get(group, "description"));
    int rc = schema_read(&s, schema, &err);
    if (rc == OK)
        rc = schema_checker_create(&k, s, &err);
    if (rc != OK) {
        /* A reference out of the document is refused, never misunderstood. */
        if (rc != ERR_UNSUPPORTED || !json_is(json_get(group, "may_be_refused"), JSON_TRUE))
            test_fail(__FILE__, __LINE__, "%s %.*s: %s", file, STR(what), err.text);
        t->n_refused++;
        schema_free(s);
        return;
    }
    struct json_iter it = json_iter(json_get(group, "tests"));
    while (json_next(&it)) {
        struct schema_fault fault = {0};
        bool want = json_is(json_get(it.value, "valid"), JSON_TRUE);
        rc = schema_check(k, json_get(it.value, "data"), &fault);
        bool right = want ? rc == OK : rc == ERR_FORMAT;
        *(right ? &t->n_right : &t->n_wrong) += 1;
        if (!right)
            test_fail(__FILE__, __LINE__, "%s %.*s: %.*s with %.*s: %s %s", file, STR(what), STR(schema),
                      STR(json_span(json_get(it.value, "data"))), rc == OK ? "valid" : err_name(rc),
                      fault.text);
        if (rc == ERR_FORMAT && (!fault.text[0] || !fault.schema[0]))
            test_fail(__FILE__, __LINE__, "%s %.*s: a fault without a place", file, STR(what));
    }
    schema_checker_free(k);
    schema_free(s);
}

static void run_file(struct tally *t, const char *dir, const char *name)
{
    char path[512];
    size_t n = 0;
    struct arena arena;
    struct json_doc doc;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *text = test_read_file(path, &n);
    arena_init(&arena, 256u << 20);
    if (json_parse(&doc, &arena, str_of(text, n), &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s: %s", path, err.text);
    } else {
        struct json_iter it = json_iter(json_root(&doc));
        while (json_next(&it))
            run_group(t, name, it.value);
    }
    arena_deinit(&arena);
    free(text);
}

static void run_dir(const char *dir)
{
    struct tally t = {0};
    int n_files = 0;
    DIR *d = opendir(dir);
    REQUIRE(d != NULL);
    for (struct dirent *e; (e = readdir(d));)
        if (str_ends(str_c(e->d_name), S(".json"))) {
            run_file(&t, dir, e->d_name);
            n_files++;
        }
    closedir(d);
    printf("schema suite %s: %d files, %d right, %d wrong, %d schemas refused\n", dir, n_files, t.n_right,
           t.n_wrong, t.n_refused);
    CHECK(n_files > 0 && t.n_right > 0);
}

TEST(our_own_cases_are_judged_rightly)
{
    run_dir("tests/cases/schema");
}

TEST(a_foreign_suite_is_judged_rightly)
{
    const char *dir = getenv("SLUICE_SCHEMA_SUITE");
    if (!dir)
        test_skip("SLUICE_SCHEMA_SUITE does not name a folder with a suite");
    run_dir(dir);
}
