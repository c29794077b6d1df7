#include "base/sys.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"

TEST(quota_is_rounded_up_to_whole_cpus)
{
    CHECK_INT(sys_cpus_of_quota(S("max 100000")), 0);
    CHECK_INT(sys_cpus_of_quota(S("150000 100000\n")), 2);
    CHECK_INT(sys_cpus_of_quota(S("50000 100000")), 1);
    CHECK_INT(sys_cpus_of_quota(S("400000 100000")), 4);
    CHECK_INT(sys_cpus_of_quota(S("-1 100000")), 0);
    CHECK_INT(sys_cpus_of_quota(S("1 0")), 0);
    CHECK_INT(sys_cpus_of_quota(S("")), 0);
}

TEST(the_machine_says_something_possible)
{
    CHECK(sys_n_cpus() >= 1 && sys_n_cpus() <= 4096);
    CHECK(sys_memory_bytes() > (1u << 26));
    CHECK(sys_memory_available_bytes() <= sys_memory_bytes());
    CHECK(sys_rss_bytes() > 4096);
    CHECK(sys_raise_nofile() >= 256);
}

TEST(a_file_is_replaced_whole)
{
    char dir[] = "/tmp/sluice-test-XXXXXX";
    REQUIRE(mkdtemp(dir) != NULL);
    char path[128], deep[128];
    snprintf(deep, sizeof deep, "%s/a/b", dir);
    snprintf(path, sizeof path, "%s/a/b/file", dir);
    CHECK(sys_make_folders(deep, NULL) == OK);
    CHECK(sys_write_file(path, S("one"), 0600, NULL) == OK);
    CHECK(sys_write_file(path, S("two!"), 0600, NULL) == OK);
    struct buf b;
    buf_init(&b, 100);
    CHECK(sys_read_file(path, &b, NULL) == OK);
    CHECK_STR(buf_str(&b), S("two!"));
    buf_deinit(&b);
    buf_init(&b, 2);
    struct err err;
    CHECK_INT(sys_read_file(path, &b, &err), ERR_LIMIT);
    buf_deinit(&b);
    CHECK_INT(sys_read_file("/nonexistent", &b, &err), ERR_NOT_FOUND);
    unlink(path);
    rmdir(deep);
    snprintf(deep, sizeof deep, "%s/a", dir);
    rmdir(deep);
    rmdir(dir);
}

TEST(pages_are_aligned_and_zero)
{
    size_t n = ((size_t)3 << 20) + 5;
    char *p = sys_alloc_pages(n);
    REQUIRE(p != NULL);
    CHECK(((uintptr_t)p & 4095) == 0);
    CHECK(p[0] == 0 && p[n - 1] == 0);
    p[n - 1] = 1;
    sys_free_pages(p, n);
    CHECK(sys_alloc_pages(0) == NULL);
}
