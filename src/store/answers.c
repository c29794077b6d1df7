/* answers.c - See answers.h. */
#include "store/answers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/log.h"
#include "base/sys.h"

#define APPLICATION_ID 0x534c4341 /* "SLCA" */
#define BUSY_MS        500
#define EXPIRE_EVERY   256 /* writes between two looks for expired answers */
#define FILE_FLAGS     (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX)

static const char schema[] = "CREATE TABLE answers (key BLOB PRIMARY KEY, model TEXT NOT NULL, used_s "
                             "INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
                             " bytes INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);"
                             "CREATE INDEX by_use ON answers (model, used_s, bytes);"
                             "CREATE INDEX by_end ON answers (expires_s);"
                             "PRAGMA application_id = 1397506881;";

enum statement { GET, TOUCH, DROP, PUT, EXPIRE, TOTAL, OLDEST, N_STATEMENTS };

static const char *const sql[N_STATEMENTS] = {
    [GET] = "SELECT body, crc, expires_s FROM answers WHERE key = ?1 AND expires_s > ?2",
    [TOUCH] = "UPDATE answers SET used_s = ?2 WHERE key = ?1",
    [DROP] = "DELETE FROM answers WHERE key = ?1",
    [PUT] = "INSERT OR REPLACE INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [EXPIRE] = "DELETE FROM answers WHERE expires_s <= ?1",
    [TOTAL] = "SELECT coalesce(sum(bytes), 0) FROM answers WHERE model = ?1",
    [OLDEST] = "SELECT key, bytes FROM answers WHERE model = ?1 ORDER BY used_s LIMIT 64",
};

struct answers {
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    bool in_transaction;
    int n_puts;
    char path[PATH_MAX];
};

static int sql_fail(struct answers *a, struct err *err, const char *what)
{
    return fail(err, ERR_IO, "the cache file '%s' cannot %s: %s", a->path, what, sqlite3_errmsg(a->db));
}

static sqlite3_stmt *get(struct answers *a, enum statement which)
{
    sqlite3_stmt **st = &a->statements[which];
    if (!*st && sqlite3_prepare_v3(a->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_reset(*st);
    sqlite3_clear_bindings(*st);
    return *st;
}

static int exec(struct answers *a, const char *text)
{
    return sqlite3_exec(a->db, text, NULL, NULL, NULL);
}

static int64_t pragma(struct answers *a, const char *text)
{
    sqlite3_stmt *st;
    int64_t v = -1;
    if (sqlite3_prepare_v2(a->db, text, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

/* ---- open ---- */

static void close_db(struct answers *a)
{
    for (int i = 0; i < N_STATEMENTS; i++) {
        sqlite3_finalize(a->statements[i]);
        a->statements[i] = NULL;
    }
    sqlite3_close(a->db);
    a->db = NULL;
}

static int make_folder_of(const char *path, struct err *err)
{
    char *folder = str_dup_z(str_c(path)), *slash = folder ? strrchr(folder, '/') : NULL;
    int rc = OK;
    if (slash && slash != folder) {
        *slash = 0;
        rc = sys_make_folders(folder, err);
    }
    free(folder);
    return rc;
}

/* ERR_FORMAT: it is ours and damaged. */
static int try_open(struct answers *a, struct err *err)
{
    int fd =
        open(a->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* people's words; SQLite's own files follow it */
    if (fd < 0)
        return fail_errno(err, errno, "the cache file '%s' cannot be opened", a->path);
    close(fd);
    if (sqlite3_open_v2(a->path, &a->db, FILE_FLAGS, NULL) != SQLITE_OK)
        return sql_fail(a, err, "be opened");
    sqlite3_busy_timeout(a->db, BUSY_MS);
    int64_t id = pragma(a, "PRAGMA application_id");
    int64_t n_tables = pragma(a, "SELECT count(*) FROM sqlite_master");
    if (id == APPLICATION_ID && n_tables < 0)
        return fail(err, ERR_FORMAT, "the cache file '%s' is damaged", a->path);
    if (id < 0)
        return sql_fail(a, err, "be read");
    if (id != APPLICATION_ID && n_tables != 0)
        return fail(err, ERR_ARG, "'%s' is a database of something else, not a cache file", a->path);
    if (exec(
            a,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304;") !=
        SQLITE_OK)
        return sql_fail(a, err, "be opened");
    if (exec(a, "BEGIN IMMEDIATE") != SQLITE_OK)
        return sql_fail(a, err, "be locked");
    int rc = OK; /* looked at again under the lock: another process may have made them meanwhile */
    if (pragma(a, "PRAGMA application_id") != APPLICATION_ID && exec(a, schema) != SQLITE_OK)
        rc = sql_fail(a, err, "make its tables");
    if (exec(a, "COMMIT") != SQLITE_OK && rc == OK)
        rc = sql_fail(a, err, "make its tables");
    if (rc == OK && (!get(a, GET) || !get(a, PUT)))
        rc = fail(err, ERR_FORMAT, "the cache file '%s' is damaged", a->path);
    return rc;
}

static void set_aside(struct answers *a)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    char from[PATH_MAX + 8], to[PATH_MAX + 24];
    close_db(a);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(from, sizeof from, "%s%s", a->path, parts[i]);
        snprintf(to, sizeof to, "%s.damaged%s", a->path, parts[i]);
        rename(from, to);
    }
    log_warn("cache", "the cache file '%s' was damaged and is now '%s.damaged'; a new one begins", a->path,
             a->path);
}

int answers_open(const char *path, struct answers **out, struct err *err)
{
    struct answers *a = calloc(1, sizeof *a);
    if (!a)
        return fail(err, ERR_NOMEM, "no memory for the cache file");
    int rc = strlen(path) < sizeof a->path ? make_folder_of(path, err)
                                           : fail(err, ERR_LIMIT, "the path of the cache file is too long");
    snprintf(a->path, sizeof a->path, "%s", path);
    if (rc == OK)
        rc = try_open(a, err);
    if (rc == ERR_FORMAT) {
        set_aside(a);
        rc = try_open(a, err);
    }
    if (rc == OK) {
        *out = a;
        return OK;
    }
    answers_close(a);
    return rc;
}

void answers_close(struct answers *a)
{
    if (!a)
        return;
    if (a->db)
        answers_flush(a, NULL);
    close_db(a);
    free(a);
}

/* ---- reading ---- */

static uint32_t checksum(const uint8_t key[ANSWERS_KEY_BYTES], struct str body)
{
    uLong crc = crc32_z(crc32(0, NULL, 0), key, ANSWERS_KEY_BYTES);
    return (uint32_t)crc32_z(crc, (const unsigned char *)body.p, body.n);
}

static int run_key(struct answers *a, enum statement which, const uint8_t key[ANSWERS_KEY_BYTES],
                   int64_t number)
{
    sqlite3_stmt *st = get(a, which);
    if (!st)
        return SQLITE_ERROR;
    sqlite3_bind_blob(st, 1, key, ANSWERS_KEY_BYTES, SQLITE_STATIC);
    if (which != DROP)
        sqlite3_bind_int64(st, 2, number);
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc;
}

static int begin(struct answers *a, struct err *err)
{
    if (a->in_transaction)
        return OK;
    if (exec(a, "BEGIN IMMEDIATE") != SQLITE_OK)
        return sql_fail(a, err, "be locked");
    a->in_transaction = true;
    return OK;
}

int answers_get(struct answers *a, const uint8_t key[ANSWERS_KEY_BYTES], int64_t now_s, struct buf *out,
                int64_t *expires_s, struct err *err)
{
    sqlite3_stmt *st = get(a, GET);
    if (!st)
        return sql_fail(a, err, "be read");
    sqlite3_bind_blob(st, 1, key, ANSWERS_KEY_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, now_s);
    int rc = sqlite3_step(st), result = rc == SQLITE_DONE ? ERR_NOT_FOUND : OK;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        result = sql_fail(a, err, "be read");
    bool is_damaged = false;
    if (rc == SQLITE_ROW) {
        const char *p = sqlite3_column_blob(st, 0);
        struct str body = str_of(p ? p : "", (size_t)sqlite3_column_bytes(st, 0));
        is_damaged = checksum(key, body) != (uint32_t)sqlite3_column_int64(st, 1);
        *expires_s = sqlite3_column_int64(st, 2);
        if (!is_damaged && !buf_str_add(out, body))
            result = fail(err, ERR_NOMEM, "no memory for a cached answer");
    }
    sqlite3_reset(st);
    if (is_damaged) {
        log_warn("cache", "an answer in '%s' is damaged and dropped", a->path);
        result = fail(err, ERR_NOT_FOUND, "damaged");
    }
    if (rc == SQLITE_ROW && begin(a, err) == OK)
        run_key(a, is_damaged ? DROP : TOUCH, key, now_s);
    return result;
}

/* ---- writing ---- */

static int64_t total_of(struct answers *a, struct str model)
{
    sqlite3_stmt *st = get(a, TOTAL);
    if (!st)
        return 0;
    sqlite3_bind_text(st, 1, model.p, (int)model.n, SQLITE_STATIC);
    int64_t n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_reset(st);
    return n;
}

/* Drops the oldest few; returns their bytes, 0 if there are none. */
static int64_t drop_oldest(struct answers *a, struct str model, int64_t excess)
{
    uint8_t keys[64][ANSWERS_KEY_BYTES];
    int n = 0;
    int64_t bytes = 0;
    sqlite3_stmt *st = get(a, OLDEST);
    if (!st)
        return 0;
    sqlite3_bind_text(st, 1, model.p, (int)model.n, SQLITE_STATIC);
    while (n < 64 && bytes < excess && sqlite3_step(st) == SQLITE_ROW) {
        if (sqlite3_column_bytes(st, 0) == ANSWERS_KEY_BYTES)
            memcpy(keys[n++], sqlite3_column_blob(st, 0), ANSWERS_KEY_BYTES);
        bytes += sqlite3_column_int64(st, 1);
    }
    sqlite3_reset(st);
    for (int i = 0; i < n; i++)
        if (run_key(a, DROP, keys[i], 0) != SQLITE_DONE)
            return 0;
    return n ? bytes : 0;
}

static void shrink(struct answers *a, struct str model, int64_t max_bytes)
{
    int64_t excess = total_of(a, model) - max_bytes, dropped;
    while (excess > 0 && (dropped = drop_oldest(a, model, excess)) > 0)
        excess -= dropped;
}

static void expire(struct answers *a, int64_t now_s)
{
    sqlite3_stmt *st = get(a, EXPIRE);
    if (!st)
        return;
    sqlite3_bind_int64(st, 1, now_s);
    sqlite3_step(st);
    sqlite3_reset(st);
}

int answers_put(struct answers *a, const uint8_t key[ANSWERS_KEY_BYTES], struct str model, struct str body,
                int64_t expires_s, int64_t max_bytes, int64_t now_s, struct err *err)
{
    int64_t bytes = (int64_t)body.n + ANSWER_ROW_BYTES;
    if (bytes > max_bytes || body.n > INT_MAX || model.n > INT_MAX)
        return OK;
    int rc = begin(a, err);
    if (rc != OK)
        return rc;
    sqlite3_stmt *st = get(a, PUT);
    if (!st)
        return sql_fail(a, err, "be written");
    sqlite3_bind_blob(st, 1, key, ANSWERS_KEY_BYTES, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, model.p, (int)model.n, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, now_s);
    sqlite3_bind_int64(st, 4, expires_s);
    sqlite3_bind_int64(st, 5, bytes);
    sqlite3_bind_int64(st, 6, checksum(key, body));
    sqlite3_bind_blob(st, 7, body.p, (int)body.n, SQLITE_STATIC);
    rc = sqlite3_step(st) == SQLITE_DONE ? OK : sql_fail(a, err, "be written");
    sqlite3_reset(st);
    if (a->n_puts++ % EXPIRE_EVERY == 0)
        expire(a, now_s);
    if (rc == OK)
        shrink(a, model, max_bytes);
    return rc;
}

int answers_flush(struct answers *a, struct err *err)
{
    if (!a->in_transaction)
        return OK;
    a->in_transaction = false;
    if (exec(a, "COMMIT") == SQLITE_OK)
        return OK;
    int rc = sql_fail(a, err, "be written");
    exec(a, "ROLLBACK");
    return rc;
}
