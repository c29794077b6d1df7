#include "store/answers.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/test.h"

static char dir[] = "/tmp/sluice-answers-XXXXXX", path[64];

static struct answers *open_at(const char *name)
{
    struct answers *a = NULL;
    struct err err = {0};
    static bool is_made;
    if (!is_made)
        REQUIRE(mkdtemp(dir) != NULL);
    is_made = true;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (answers_open(path, &a, &err) != OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    REQUIRE(a != NULL);
    return a;
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    REQUIRE(system(command) == 0);
}

static void key_of(int n, uint8_t key[ANSWERS_KEY_BYTES])
{
    memset(key, 7, ANSWERS_KEY_BYTES);
    memcpy(key, &n, sizeof n);
}

static void put(struct answers *a, int n, const char *model, size_t bytes, int64_t max, int64_t now)
{
    uint8_t key[ANSWERS_KEY_BYTES];
    struct err err = {0};
    char *body = malloc(bytes);
    key_of(n, key);
    memset(body, 'a' + n % 26, bytes);
    CHECK_INT(answers_put(a, key, str_c(model), str_of(body, bytes), now + 100, max, now, &err), OK);
    free(body);
}

/* Its first letter; 0: not there. */
static char found(struct answers *a, int n, int64_t now)
{
    uint8_t key[ANSWERS_KEY_BYTES];
    struct err err = {0};
    struct buf b;
    int64_t expires;
    key_of(n, key);
    buf_init(&b, 1 << 20);
    int rc = answers_get(a, key, now, &b, &expires, &err);
    char first = rc == OK ? b.p[0] : 0;
    CHECK(rc == OK || rc == ERR_NOT_FOUND);
    buf_deinit(&b);
    return first;
}

TEST(answers_outlive_the_process_until_they_expire)
{
    struct answers *a = open_at("deep/cache.db");
    struct stat st;
    put(a, 1, "m", 100, 1 << 20, 1000);
    put(a, 2, "m", 100, 1 << 20, 1050);
    CHECK_INT(found(a, 1, 1001), 'b'); /* before it is committed */
    answers_close(a);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    a = open_at("deep/cache.db");
    CHECK_INT(found(a, 1, 1099), 'b');
    CHECK_INT(found(a, 1, 1100), 0);
    CHECK_INT(found(a, 2, 1100), 'c');
    CHECK_INT(found(a, 3, 1100), 0);
    answers_close(a);
    remove_all();
}

TEST(what_was_used_longest_ago_goes_first_and_only_of_its_model)
{
    struct answers *a = open_at("cache.db");
    int64_t max = 10 * (1000 + ANSWER_ROW_BYTES);
    put(a, 100, "other", 1000, max, 1);
    for (int i = 0; i < 10; i++)
        put(a, i, "m", 1000, max, 10 + i);
    CHECK_INT(found(a, 0, 30), 'a'); /* read: the newest now */
    put(a, 10, "m", 1000, max, 31);
    put(a, 11, "m", 1000, max, 32);
    CHECK_INT(found(a, 0, 33), 'a');
    CHECK_INT(found(a, 1, 33), 0);
    CHECK_INT(found(a, 2, 33), 0);
    CHECK_INT(found(a, 3, 33), 'd');
    CHECK_INT(found(a, 100, 33), 'w');
    put(a, 12, "m", 20000, max, 34); /* larger than all of it: not kept, nothing goes for it */
    CHECK_INT(found(a, 12, 35), 0);
    CHECK_INT(found(a, 3, 35), 'd');
    answers_close(a);
    remove_all();
}

TEST(a_damaged_answer_is_a_miss)
{
    struct answers *a = open_at("cache.db");
    sqlite3 *db;
    put(a, 1, "m", 100, 1 << 20, 1);
    answers_close(a);
    REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "UPDATE answers SET body = zeroblob(100)", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    a = open_at("cache.db");
    CHECK_INT(found(a, 1, 2), 0);
    CHECK_INT(found(a, 1, 2), 0);
    answers_close(a);
    remove_all();
}

TEST(a_damaged_file_is_set_aside_and_a_strangers_is_left_alone)
{
    struct answers *a = open_at("cache.db");
    struct err err = {0};
    struct buf b;
    char other[96];
    for (int i = 0; i < 200; i++)
        put(a, i, "m", 500, 1 << 20, 1);
    answers_close(a);
    int fd = open(path, O_RDWR);
    static const char noise[4000] = {1, 2, 3};
    REQUIRE(fd >= 0 && pwrite(fd, noise, sizeof noise, 100) == sizeof noise); /* the table of tables */
    close(fd);
    a = open_at("cache.db");
    CHECK_INT(found(a, 1, 2), 0);
    put(a, 1, "m", 100, 1 << 20, 1);
    CHECK_INT(found(a, 1, 2), 'b');
    answers_close(a);
    snprintf(other, sizeof other, "%s.damaged", path);
    CHECK(access(other, F_OK) == 0);

    snprintf(other, sizeof other, "%s/letter.txt", dir);
    REQUIRE(sys_write_file(other,
                           S("Dear reader, this is no database and shall stay as it is, whatever the size."),
                           0600, &err) == OK);
    CHECK(answers_open(other, &a, &err) != OK);
    buf_init(&b, 1000);
    CHECK_INT(sys_read_file(other, &b, &err), OK);
    CHECK(str_starts(buf_str(&b), S("Dear reader")));
    buf_deinit(&b);
    remove_all();
}
