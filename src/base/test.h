/* test.h - Tests that register themselves, beside the file that they test.
 *
 *     #include "base/test.h"
 *     TEST(reserve_changes_nothing_when_full) { ... CHECK(kv_reserve(...) == KV_FULL); }
 *
 * All *_test.c files are linked into one runner, `sluice-tests [FILTER...]`, which runs each
 * test in a process of its own (a crash or a hang fails that test alone).  A check that fails
 * prints its place and the test goes on; REQUIRE ends the test. */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"

struct test_case {
    const char *name;
    const char *file;
    void (*run)(void);
    struct test_case *next;
};

void test_register(struct test_case *t);
void test_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The test cannot run here; says why, is counted as skipped, and does not return. */
void test_skip(const char *why) __attribute__((noreturn));
void test_stop(void) __attribute__((noreturn)); /* end this test as it stands */
bool test_check_str(const char *file, int line, struct str got, struct str want);
/* Remove a folder of /tmp with all that is in it. */
void test_remove_folder(const char *path);
/* A file of the source tree ("tests/golden/x.txt") as the caller's memory; fails the test if absent. */
char *test_read_file(const char *path, size_t *n);

#define TEST(name_)                                                                                          \
    static void test_##name_(void);                                                                          \
    static struct test_case case_##name_ = {#name_, __FILE__, test_##name_, NULL};                           \
    __attribute__((constructor)) static void register_##name_(void)                                          \
    {                                                                                                        \
        test_register(&case_##name_);                                                                        \
    }                                                                                                        \
    static void test_##name_(void)

#define CHECK(cond) ((cond) ? true : (test_fail(__FILE__, __LINE__, "CHECK(%s)", #cond), false))
#define REQUIRE(cond)                                                                                        \
    do {                                                                                                     \
        if (!CHECK(cond))                                                                                    \
            test_stop();                                                                                     \
    } while (0)
#define CHECK_INT(got, want)                                                                                 \
    do {                                                                                                     \
        long long got_ = (long long)(got), want_ = (long long)(want);                                        \
        if (got_ != want_)                                                                                   \
            test_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #got, got_, want_);                   \
    } while (0)
#define CHECK_STR(got, want) test_check_str(__FILE__, __LINE__, (got), (want))
#define CHECK_NEAR(got, want, tolerance)                                                                     \
    do {                                                                                                     \
        double got_ = (got), want_ = (want), tol_ = (tolerance);                                             \
        if (!(got_ - want_ <= tol_ && want_ - got_ <= tol_))                                                 \
            test_fail(__FILE__, __LINE__, "%s is %.9g, expected %.9g within %.3g", #got, got_, want_, tol_); \
    } while (0)

#endif
