/* test_main.c - Runs the registered tests: each in a child process, in order of their names.
 *
 * sluice-tests [--list] [FILTER...]   runs the tests whose "file/name" contains a FILTER
 * sluice-tests --in-process NAME      runs one here, for a debugger
 *
 * The last line is "N passed, N failed, N skipped", and the exit status is 1 if any failed. */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/test.h"

enum { EXIT_FAILED = 1, EXIT_SKIPPED = 77, SECONDS_MAX = 300, TESTS_MAX = 8192 };

static struct test_case *tests;
static bool failed;

void test_register(struct test_case *t)
{
    t->next = tests;
    tests = t;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("    %s:%d: ", file, line);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
    failed = true;
}

void test_stop(void)
{
    fflush(NULL);
    exit(failed ? EXIT_FAILED : 0);
}

void test_skip(const char *why)
{
    printf("    skipped: %s\n", why);
    fflush(NULL);
    _exit(EXIT_SKIPPED);
}

bool test_check_str(const char *file, int line, struct str got, struct str want)
{
    if (str_eq(got, want))
        return true;
    size_t at = 0;
    while (at < got.n && at < want.n && got.p[at] == want.p[at])
        at++;
    test_fail(file, line, "texts differ at byte %zu (%zu and %zu bytes)\n      got:  %.*s\n      want: %.*s",
              at, got.n, want.n, STR(str_sub(got, 0, 4000)), STR(str_sub(want, 0, 4000)));
    return false;
}

char *test_read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        test_fail(__FILE__, __LINE__, "cannot open %s (tests run from the source root)", path);
        test_stop();
    }
    struct buf b;
    buf_init(&b, (size_t)1 << 30);
    char part[65536];
    size_t got;
    while ((got = fread(part, 1, sizeof part, f)) > 0)
        buf_add(&b, part, got);
    fclose(f);
    return buf_take(&b, n);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st, (void)flag, (void)at;
    return remove(path);
}

void test_remove_folder(const char *path)
{
    if (!strncmp(path, "/tmp/", 5))
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *short_file(const char *file)
{
    const char *at = strstr(file, "src/");
    return at ? at + 4 : file;
}

static int by_name(const void *a, const void *b)
{
    const struct test_case *x = *(struct test_case *const *)a, *y = *(struct test_case *const *)b;
    int c = strcmp(short_file(x->file), short_file(y->file));
    return c ? c : strcmp(x->name, y->name);
}

static bool wanted(const struct test_case *t, int n_filters, char **filters)
{
    if (n_filters == 0)
        return true;
    char full[512];
    snprintf(full, sizeof full, "%s/%s", short_file(t->file), t->name);
    for (int i = 0; i < n_filters; i++)
        if (strstr(full, filters[i]))
            return true;
    return false;
}

static int run_in_child(struct test_case *t)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        alarm(SECONDS_MAX); /* SIGALRM's default ends a test that hangs */
        t->run();
        fflush(NULL);
        exit(failed ? EXIT_FAILED : 0); /* exit, not _exit: leak checkers report here */
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_FAILED;
    if (WIFSIGNALED(status)) {
        printf("    ended by signal %d (%s)\n", WTERMSIG(status),
               WTERMSIG(status) == SIGALRM ? "it took too long" : strsignal(WTERMSIG(status)));
        return EXIT_FAILED;
    }
    return WEXITSTATUS(status);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    static struct test_case *list[TESTS_MAX];
    int n = 0, passed = 0, bad = 0, skipped = 0;
    for (struct test_case *t = tests; t && n < TESTS_MAX; t = t->next)
        list[n++] = t;
    qsort(list, (size_t)n, sizeof *list, by_name);
    if (argc == 3 && strcmp(argv[1], "--in-process") == 0) {
        for (int i = 0; i < n; i++)
            if (strcmp(list[i]->name, argv[2]) == 0)
                list[i]->run();
        return failed;
    }
    bool only_list = argc > 1 && strcmp(argv[1], "--list") == 0;
    for (int i = 0; i < n; i++) {
        if (!wanted(list[i], argc - 1 - only_list, argv + 1 + only_list))
            continue;
        if (only_list) {
            printf("%s/%s\n", short_file(list[i]->file), list[i]->name);
            continue;
        }
        double start = now_s();
        int code = run_in_child(list[i]);
        double took = now_s() - start;
        const char *word = code == 0 ? "ok" : code == EXIT_SKIPPED ? "skip" : "FAIL";
        if (code != 0 || took > 2.0)
            printf("%-4s %s/%s  (%.1f s)\n", word, short_file(list[i]->file), list[i]->name, took);
        passed += code == 0;
        skipped += code == EXIT_SKIPPED;
        bad += code != 0 && code != EXIT_SKIPPED;
    }
    if (!only_list)
        printf("%d passed, %d failed, %d skipped\n", passed, bad, skipped);
    return bad > 0;
}
