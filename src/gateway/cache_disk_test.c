#include "gateway/cache_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"

struct asked {
    struct cache_lookup lookup;
    bool is_done;
};

static void on_done(struct loop_task *task)
{
    ((struct asked *)((char *)task - offsetof(struct asked, lookup.done)))->is_done = true;
}

/* What the file has for key n: its length, 0 if nothing. */
static size_t look(struct cache_disk *d, struct loop *loop, const char *path, int n)
{
    struct asked a = {.lookup = {.loop = loop, .done.run = on_done, .path = str_c(path)}};
    memcpy(a.lookup.key, &n, sizeof n);
    buf_init(&a.lookup.packed, 1 << 20);
    REQUIRE(cache_disk_look(d, &a.lookup));
    for (int i = 0; i < 1000 && !a.is_done; i++)
        loop_run_once(loop, 10);
    REQUIRE(a.is_done);
    size_t got = a.lookup.packed.n;
    buf_deinit(&a.lookup.packed);
    return got;
}

static void put(struct cache_disk *d, const char *path, int n, const char *body)
{
    uint8_t key[CACHE_KEY_BYTES] = {0};
    memcpy(key, &n, sizeof n);
    cache_disk_put(d, str_c(path), key, S("m"), str_c(body), clock_wall_ns() / NS_PER_S + 100, 1 << 20);
}

TEST(what_was_put_is_on_disk_when_the_thread_ends)
{
    char dir[] = "/tmp/sluice-cache-XXXXXX", one[64], two[64], command[64];
    struct err err = {0};
    struct loop *loop = loop_create(&err);
    REQUIRE(loop && mkdtemp(dir));
    snprintf(one, sizeof one, "%s/one", dir);
    snprintf(two, sizeof two, "%s/two", dir);
    struct cache_disk *d = cache_disk_create();
    put(d, one, 1, "first");
    put(d, two, 2, "second!");
    for (int i = 0; i < 100 && look(d, loop, two, 2) == 0;
         i++) /* questions overtake what waits to be written */
        usleep(1000);
    CHECK_INT(look(d, loop, two, 2), 7);
    put(d, one, 3, "last words");
    cache_disk_free(d);
    d = cache_disk_create();
    CHECK_INT(look(d, loop, one, 1), 5);
    CHECK_INT(look(d, loop, one, 2), 0); /* files are apart */
    CHECK_INT(look(d, loop, one, 3), 10);
    CHECK_INT(look(d, loop, "/proc/nobody/may/write/here", 1), 0);
    cache_disk_free(d);
    cache_disk_free(cache_disk_create()); /* a thread that never began */
    loop_free(loop);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_INT(system(command), 0);
}
