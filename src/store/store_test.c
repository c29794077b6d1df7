#include "store/store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"
#include "store/journal.h"

static char dir[] = "/tmp/sluice-store-XXXXXX";

static struct store *open_new(void)
{
    char url[128];
    struct store *s = NULL;
    struct err err = {0};
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(url, sizeof url, "sqlite:%s/deeper/state.db", dir);
    if (store_open(str_c(url), &s, &err) != OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    REQUIRE(s != NULL);
    return s;
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    REQUIRE(system(command) == 0);
}

static struct record sample(const char *id)
{
    struct record r = {.type = RECORD_CLOSE,
                       .id = str_c(id),
                       .wall_ns = INT64_C(1795262400) * NS_PER_S,
                       .key_id = S("key_1"),
                       .user = S("ann"),
                       .model = S("chat"),
                       .endpoint = S("/v1/chat/completions"),
                       .status = 200,
                       .first_ms = 5,
                       .total_ms = 50,
                       .n_attempts = 1};
    r.attempts[0] = (struct record_attempt){.provider = S("openai"),
                                            .model = S("gpt"),
                                            .tokens = {10, 20, 3, 4, 50, 6},
                                            .cost_nano = 777,
                                            .status = 200};
    return r;
}

TEST(a_record_comes_back_as_it_went)
{
    struct record r = sample("req_1"), *back = calloc(1, sizeof *back);
    struct buf b;
    buf_init(&b, 1 << 20);
    CHECK(record_write(&b, &r));
    r.type = RECORD_OPEN;
    r.n_attempts = 0;
    CHECK(record_write(&b, &r));
    buf_add(&b, "\0\0\0\0\0\0\0\0\0", 9);
    struct str in = buf_str(&b);
    REQUIRE(record_read(&in, back) == 1);
    CHECK_STR(back->attempts[0].provider, S("openai"));
    CHECK(back->attempts[0].tokens.cache_write_1h == 4 && back->attempts[0].cost_nano == 777 &&
          back->total_ms == 50);
    REQUIRE(record_read(&in, back) == 1);
    CHECK_INT(back->type, RECORD_OPEN);
    CHECK_INT(record_read(&in, back), 0);
    /* A record that is cut or damaged anywhere is not taken. */
    for (size_t n = 0; n < 60; n++) {
        struct str cut = str_sub(buf_str(&b), 0, n);
        CHECK_INT(record_read(&cut, back), 0);
    }
    b.p[30] ^= 1;
    in = buf_str(&b);
    CHECK_INT(record_read(&in, back), 0);
    buf_deinit(&b);
    free(back);
}

TEST(the_journal_goes_on_behind_a_crash)
{
    REQUIRE(mkdtemp(dir) != NULL);
    struct err err = {0};
    struct journal *j = journal_open(dir, 3, &err);
    REQUIRE(j != NULL);
    struct record r = sample("req_1"), *back = calloc(1, sizeof *back);
    CHECK(journal_add(j, &r) && journal_has_unflushed(j));
    CHECK(journal_flush(j, &err) == OK && journal_sync(j, &err) == OK);
    CHECK(!journal_has_unflushed(j));
    journal_close(j);
    j = journal_open(dir, 3, &err); /* a new process: a new segment */
    REQUIRE(j != NULL);
    struct journal_file files[8];
    CHECK_INT(journal_list(dir, files, 8, &err), 2);
    CHECK_INT(files[1].number, journal_current(j));
    struct buf b;
    buf_init(&b, 64 << 20);
    CHECK(journal_read(dir, files[0].name, 0, &b, &err) == OK);
    struct str in = buf_str(&b);
    REQUIRE(record_read(&in, back) == 1);
    CHECK_STR(back->id, S("req_1"));
    CHECK_INT(record_read(&in, back), 0);
    buf_deinit(&b);
    journal_close(j);
    free(back);
    remove_all();
}

static int n_keys;
static void see_key(void *arg, const struct store_key *k)
{
    struct store_key *last = arg;
    last->rpm = k->rpm;
    last->is_revoked = k->is_revoked;
    n_keys++;
}

/* A record is full of zeros: where one of the reader's parts ends among them, it must read on. */
TEST(the_journal_is_read_to_its_last_record)
{
    enum { RECORDS = 8000 };
    REQUIRE(mkdtemp(dir) != NULL);
    struct err err = {0};
    struct journal *j = journal_open(dir, 0, &err);
    REQUIRE(j != NULL);
    struct record r = sample("req_1"), *back = calloc(1, sizeof *back);
    REQUIRE(back != NULL);
    memset(&r.attempts[0].tokens, 0, sizeof r.attempts[0].tokens);
    r.attempts[0].provider = S("open-ai"); /* a length with which the parts end everywhere */
    for (int i = 0; i < RECORDS; i++)
        REQUIRE(journal_add(j, &r) && journal_flush(j, &err) == OK);
    struct journal_file file;
    struct buf b;
    buf_init(&b, 64 << 20);
    REQUIRE(journal_list(dir, &file, 1, &err) == 1 && journal_read(dir, file.name, 0, &b, &err) == OK);
    struct str in = buf_str(&b);
    int n = 0;
    while (record_read(&in, back) == 1)
        n++;
    CHECK_INT(n, RECORDS);
    buf_deinit(&b);
    journal_close(j);
    free(back);
    remove_all();
}

TEST(keys_are_kept_by_hash_and_revoked_by_name)
{
    struct store *s = open_new();
    struct err err = {0};
    struct store_key k = {.id = S("key_1"),
                          .name = S("team"),
                          .rpm = 7,
                          .budget_nano = -1,
                          .hash = {1, 2, 3}},
                     last = {0};
    CHECK(store_add_key(s, &k, &err) == OK);
    k.id = S("key_2");
    k.hash[0] = 9;
    CHECK_INT(store_add_key(s, &k, &err), ERR_ARG);
    CHECK(store_revoke_key(s, S("team"), &err) == OK);
    CHECK_INT(store_revoke_key(s, S("team"), &err), ERR_NOT_FOUND);
    CHECK(store_add_key(s, &k, &err) == OK); /* the name is free again */
    n_keys = 0;
    CHECK(store_each_key(s, see_key, &last, &err) == OK);
    CHECK(n_keys == 2 && last.rpm == 7);
    store_close(s);
    remove_all();
}

static struct usage_row sum;
static int n_rows;
static void see_row(void *arg, const struct usage_row *row)
{
    (void)arg;
    sum.requests += row->requests;
    sum.input_tokens += row->input_tokens;
    sum.cost_nano += row->cost_nano;
    n_rows++;
}

TEST(nothing_is_counted_twice_and_orphans_are_settled)
{
    struct store *s = open_new();
    struct err err = {0};
    struct record a = sample("req_1"), b = sample("req_2"), open = sample("req_3");
    b.key_id = S("key_2");
    b.attempts[1] = b.attempts[0];
    b.n_attempts = 2;
    open.type = RECORD_OPEN;
    open.n_attempts = 0;
    CHECK(store_begin(s, &err) == OK);
    CHECK(store_add_open(s, &a, &err) == OK && store_add_close(s, &a, true, &err) == OK &&
          store_add_close(s, &a, true, &err) == OK);
    CHECK(store_add_close(s, &b, false, &err) == OK && store_add_open(s, &open, &err) == OK);
    CHECK(store_set_position(s, S("journal-1"), 99, &err) == OK);
    CHECK(store_commit(s, &err) == OK);
    CHECK_INT(store_get_position(s, S("journal-1")), 99);
    sum = (struct usage_row){0};
    n_rows = 0;
    CHECK(store_usage(s, USAGE_KEY, 0, INT64_MAX, see_row, NULL, &err) == OK);
    CHECK(n_rows == 2 && sum.requests == 2 && sum.input_tokens == 3 * 37 && sum.cost_nano == 3 * 777);
    open.type = RECORD_CHECKPOINT;
    open.n_attempts = 1;
    CHECK(store_add_checkpoint(s, &open, &err) == OK);
    CHECK_INT(store_settle_orphans(s, &err), 1);
    CHECK_INT(store_settle_orphans(s, &err), 0);
    sum = (struct usage_row){0};
    CHECK(store_usage(s, 0, 0, INT64_MAX, see_row, NULL, &err) == OK);
    CHECK(sum.requests == 3 && sum.cost_nano == 4 * 777);
    int64_t nano = 0, tokens = 0;
    CHECK(store_spent(s, S("key_2"), 0, &nano, &tokens, &err) == OK);
    CHECK(nano == 2 * 777 && tokens == 2 * 87);
    store_close(s);
    remove_all();
}

TEST(usage_is_grouped_by_known_words_only)
{
    unsigned by;
    struct str bad;
    CHECK(usage_parse_by(S("key,user,day"), &by, &bad) && by == (USAGE_KEY | USAGE_USER | USAGE_DAY));
    CHECK(!usage_parse_by(S("key,1;DROP TABLE keys"), &by, &bad));
    CHECK(usage_parse_by(S(""), &by, &bad) && by == 0);
}

static void see_user_limits(void *arg, const struct store_key *k)
{
    *(struct store_user_limits *)arg = k->per_user;
    CHECK_STR(k->per_user.budget_per, S("day"));
}

/* The tables of version 1, with a key in them. */
static const char version_1[] =
    "CREATE TABLE keys (id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, user TEXT NOT "
    "NULL,"
    " grp TEXT NOT NULL, models TEXT NOT NULL, regions TEXT NOT NULL, metadata TEXT NOT NULL, priority TEXT "
    "NOT NULL,"
    " rpm INTEGER NOT NULL, tpm INTEGER NOT NULL, concurrency INTEGER NOT NULL, max_output INTEGER NOT NULL,"
    " budget_nano INTEGER NOT NULL, budget_per TEXT NOT NULL, token_budget INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL, revoked_s INTEGER NOT NULL DEFAULT 0);"
    "INSERT INTO keys VALUES ('key_1', zeroblob(32), 'old', '', '', '', '', '{}', 'normal', 7, 0, 0, 0, -1, "
    "'day',"
    " 0, 1, 0, 0); PRAGMA user_version = 1;";

TEST(an_older_state_is_brought_up_to_date)
{
    char path[128], url[160];
    sqlite3 *db;
    struct store *s = NULL;
    struct err err = {0};
    struct store_user_limits u = {.rpm = 99};
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/old.db", dir);
    snprintf(url, sizeof url, "sqlite:%s", path);
    REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, version_1, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    for (int i = 0; i < 2; i++) { /* the second time nothing is to be done */
        REQUIRE(store_open(str_c(url), &s, &err) == OK);
        CHECK_INT(store_each_key(s, see_user_limits, &u, &err), OK);
        CHECK_INT(u.rpm, 0);
        store_close(s);
    }
    remove_all();
}

static void see_spent(void *arg, struct str user, int64_t nano, int64_t tokens)
{
    buf_printf(arg, "%.*s:%lld:%lld ", STR(user), (long long)nano, (long long)tokens);
}

TEST(what_users_spent_is_told_cheapest_first)
{
    struct store *s = open_new();
    struct err err = {0};
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < 6; i++) {
        char id[16];
        snprintf(id, sizeof id, "req_%d", i);
        struct record r = sample(id);
        r.user = i == 0 ? S("ann") : i < 3 ? S("bob") : S("kim");
        CHECK_INT(store_add_close(s, &r, false, &err), OK);
    }
    CHECK_INT(store_spent_by_user(s, S("key_1"), 0, 2, see_spent, &b, &err), OK);
    CHECK_STR(buf_str(&b), S("bob:1554:174 kim:2331:261 "));
    buf_deinit(&b);
    store_close(s);
    remove_all();
}
