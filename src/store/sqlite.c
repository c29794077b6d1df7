/* sqlite.c - store.h on SQLite: WAL, prepared statements only, one schema version number.
 *
 * Tables: keys; requests (one row per request) and attempts (one per billed attempt); open_requests
 * (running now, by the last commit); journal (how far each segment was read). */
#include <assert.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sys.h"
#include "store/store.h"

#define SCHEMA_VERSION 2
#define BUSY_MS        5000

static const char schema[] =
    "CREATE TABLE keys (id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, user TEXT NOT "
    "NULL,"
    " grp TEXT NOT NULL, models TEXT NOT NULL, regions TEXT NOT NULL, metadata TEXT NOT NULL, priority TEXT "
    "NOT NULL,"
    " rpm INTEGER NOT NULL, tpm INTEGER NOT NULL, concurrency INTEGER NOT NULL, max_output INTEGER NOT NULL,"
    " budget_nano INTEGER NOT NULL, budget_per TEXT NOT NULL, token_budget INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL, revoked_s INTEGER NOT NULL DEFAULT 0);"
    "CREATE UNIQUE INDEX live_names ON keys (name) WHERE revoked_s = 0;"
    "CREATE TABLE requests (id TEXT PRIMARY KEY, end_s INTEGER NOT NULL, key_id TEXT NOT NULL, user TEXT NOT "
    "NULL,"
    " model TEXT NOT NULL, endpoint TEXT NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL, first_ms "
    "INTEGER NOT NULL,"
    " total_ms INTEGER NOT NULL, resumed INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX requests_by_time ON requests (end_s);"
    "CREATE TABLE attempts (request_id TEXT NOT NULL, idx INTEGER NOT NULL, end_s INTEGER NOT NULL, key_id "
    "TEXT NOT NULL,"
    " provider TEXT NOT NULL, model TEXT NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL, "
    "input_fresh INTEGER NOT NULL,"
    " cache_read INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, output "
    "INTEGER NOT NULL,"
    " reasoning INTEGER NOT NULL, cost_nano INTEGER NOT NULL, estimated INTEGER NOT NULL, first_ms INTEGER "
    "NOT NULL,"
    " total_ms INTEGER NOT NULL, PRIMARY KEY (request_id, idx)) WITHOUT ROWID;"
    "CREATE INDEX attempts_by_key ON attempts (key_id, end_s);"
    "CREATE TABLE open_requests (id TEXT PRIMARY KEY, slot INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT "
    "ROWID;"
    "CREATE TABLE journal (slot INTEGER NOT NULL, segment TEXT NOT NULL, offset INTEGER NOT NULL, PRIMARY "
    "KEY (slot, segment)) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

/* From each version to the next: upgrades[v] turns v into v + 1. */
static const char *const upgrades[SCHEMA_VERSION] = {
    schema,
    /* limits of each user of a key */
    "ALTER TABLE keys ADD COLUMN user_rpm INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN user_tpm INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN user_concurrency INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN user_budget_nano INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN user_budget_per TEXT NOT NULL DEFAULT 'day';"
    "ALTER TABLE keys ADD COLUMN user_token_budget INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version = 2;",
};

enum statement {
    ADD_KEY,
    REVOKE_KEY,
    EACH_KEY,
    VERSION,
    ADD_REQUEST,
    ADD_ATTEMPT,
    ADD_OPEN,
    DROP_OPEN,
    EACH_OPEN,
    SET_POSITION,
    GET_POSITION,
    SPENT,
    SPENT_BY_USER,
    N_STATEMENTS
};

static const char *const sql[N_STATEMENTS] = {
    [ADD_KEY] = "INSERT INTO keys (id, hash, name, user, grp, models, regions, metadata, priority, rpm, tpm, "
                "concurrency,"
                " max_output, budget_nano, budget_per, token_budget, created_s, expires_s,"
                " user_rpm, user_tpm, user_concurrency, user_budget_nano, user_budget_per, user_token_budget)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [REVOKE_KEY] = "UPDATE keys SET revoked_s = ?1 WHERE (name = ?2 OR id = ?2) AND revoked_s = 0",
    [EACH_KEY] = "SELECT id, hash, name, user, grp, models, regions, metadata, priority, rpm, tpm, "
                 "concurrency, max_output,"
                 " budget_nano, budget_per, token_budget, created_s, expires_s, revoked_s,"
                 " user_rpm, user_tpm, user_concurrency, user_budget_nano, user_budget_per, user_token_budget"
                 " FROM keys ORDER BY created_s, id",
    [VERSION] = "PRAGMA data_version",
    [ADD_REQUEST] = "INSERT OR IGNORE INTO requests VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    [ADD_ATTEMPT] = "INSERT OR IGNORE INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [ADD_OPEN] = "INSERT OR REPLACE INTO open_requests VALUES (?,?,?)",
    [DROP_OPEN] = "DELETE FROM open_requests WHERE id = ?",
    [EACH_OPEN] = "SELECT record FROM open_requests WHERE slot = ?",
    [SET_POSITION] = "INSERT OR REPLACE INTO journal VALUES (?,?,?)",
    [GET_POSITION] = "SELECT offset FROM journal WHERE slot = ? AND segment = ?",
    [SPENT] = "SELECT coalesce(sum(cost_nano), 0), coalesce(sum(input_fresh + cache_read + cache_write_5m + "
              "cache_write_1h + output), 0)"
              " FROM attempts WHERE key_id = ? AND end_s >= ?",
    [SPENT_BY_USER] =
        "SELECT * FROM (SELECT r.user, sum(a.cost_nano) AS nano, sum(a.input_fresh + a.cache_read +"
        " a.cache_write_5m + a.cache_write_1h + a.output) AS tokens FROM attempts a"
        " JOIN requests r ON r.id = a.request_id WHERE a.key_id = ? AND a.end_s >= ?"
        " GROUP BY r.user ORDER BY nano DESC, tokens DESC LIMIT ?) ORDER BY nano, tokens",
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    int slot;
};

/* ---- helpers ---- */

static int sql_fail(struct store *s, struct err *err, const char *what)
{
    return fail(err, ERR_IO, "the state database cannot %s: %s", what, sqlite3_errmsg(s->db));
}

/* The prepared statement, ready to bind.  NULL on failure. */
static sqlite3_stmt *get(struct store *s, enum statement which)
{
    sqlite3_stmt **st = &s->statements[which];
    if (!*st && sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_reset(*st);
    sqlite3_clear_bindings(*st);
    return *st;
}

static void bind_text(sqlite3_stmt *st, int i, struct str t)
{
    sqlite3_bind_text(st, i, t.p ? t.p : "", t.n > INT_MAX ? INT_MAX : (int)t.n, SQLITE_STATIC);
}

static struct str column(sqlite3_stmt *st, int i)
{
    const char *p = (const char *)sqlite3_column_text(st, i);
    return p ? str_of(p, (size_t)sqlite3_column_bytes(st, i)) : S("");
}

static int run(struct store *s, sqlite3_stmt *st, struct err *err, const char *what)
{
    int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
    int result = rc == SQLITE_DONE || rc == SQLITE_ROW ? OK : sql_fail(s, err, what);
    if (st)
        sqlite3_reset(st);
    return result;
}

static int exec(struct store *s, const char *text, struct err *err, const char *what)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? OK : sql_fail(s, err, what);
}

/* ---- open ---- */

static int user_version(struct store *s)
{
    sqlite3_stmt *st;
    int v = -1;
    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return v;
}

static int make_schema(struct store *s, struct err *err)
{
    if (exec(s, "BEGIN IMMEDIATE", err, "be locked") != OK)
        return ERR_IO;
    int version = user_version(s);
    int rc = OK;
    if (version > SCHEMA_VERSION)
        rc = fail(err, ERR_UNSUPPORTED,
                  "the state was written by a newer version of Sluice (schema %d, this one knows %d)",
                  version, SCHEMA_VERSION);
    else if (version < 0)
        rc = sql_fail(s, err, "be read");
    for (int v = version; rc == OK && v < SCHEMA_VERSION; v++)
        rc = exec(s, upgrades[v], err, "make its tables");
    if (rc == OK)
        rc = exec(s, "COMMIT", err, "be written");
    else
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int make_folder_of(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return OK;
    size_t n = (size_t)(slash - path);
    if (n >= sizeof folder)
        return fail(err, ERR_LIMIT, "the path '%s' is too long", path);
    memcpy(folder, path, n);
    folder[n] = 0;
    return sys_make_folders(folder, err);
}

int store_open(struct str url, struct store **out, struct err *err)
{
    if (!str_starts(url, S("sqlite:")))
        return fail(err, ERR_UNSUPPORTED,
                    "the state '%.*s' is of a kind that this version does not have (sqlite:FILE)", STR(url));
    char *path = str_dup_z(str_sub(url, 7, url.n));
    struct store *s = calloc(1, sizeof *s);
    int rc = path && s ? make_folder_of(path, err) : fail(err, ERR_NOMEM, "no memory for the state");
    if (rc == OK &&
        sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        rc = fail(err, ERR_IO, "cannot open the state '%s': %s", path, sqlite3_errmsg(s->db));
    if (rc == OK) {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        rc = exec(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;", err,
                  "be opened");
    }
    rc = rc ? rc : make_schema(s, err);
    free(path);
    if (rc == OK)
        *out = s;
    else
        store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s);
}

/* ---- keys ---- */

int store_add_key(struct store *s, const struct store_key *k, struct err *err)
{
    sqlite3_stmt *st = get(s, ADD_KEY);
    if (!st)
        return sql_fail(s, err, "add a key");
    bind_text(st, 1, k->id);
    sqlite3_bind_blob(st, 2, k->hash, sizeof k->hash, SQLITE_TRANSIENT);
    const struct str texts[] = {k->name,    k->user,          k->group,   k->models,
                                k->regions, k->metadata_json, k->priority};
    for (int i = 0; i < 7; i++)
        bind_text(st, 3 + i, texts[i]);
    sqlite3_bind_int64(st, 10, k->rpm);
    sqlite3_bind_int64(st, 11, k->tpm);
    sqlite3_bind_int64(st, 12, k->concurrency);
    sqlite3_bind_int64(st, 13, k->max_output_tokens);
    sqlite3_bind_int64(st, 14, k->budget_nano);
    bind_text(st, 15, k->budget_per);
    sqlite3_bind_int64(st, 16, k->token_budget);
    sqlite3_bind_int64(st, 17, k->created_s);
    sqlite3_bind_int64(st, 18, k->expires_s);
    sqlite3_bind_int64(st, 19, k->per_user.rpm);
    sqlite3_bind_int64(st, 20, k->per_user.tpm);
    sqlite3_bind_int64(st, 21, k->per_user.concurrency);
    sqlite3_bind_int64(st, 22, k->per_user.budget_nano);
    bind_text(st, 23, k->per_user.budget_per.n ? k->per_user.budget_per : S("day"));
    sqlite3_bind_int64(st, 24, k->per_user.token_budget);
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    if (rc == SQLITE_CONSTRAINT)
        return fail(err, ERR_ARG, "there is a key named '%.*s' already", STR(k->name));
    return rc == SQLITE_DONE ? OK : sql_fail(s, err, "add a key");
}

int store_revoke_key(struct store *s, struct str name_or_id, struct err *err)
{
    sqlite3_stmt *st = get(s, REVOKE_KEY);
    if (!st)
        return sql_fail(s, err, "revoke a key");
    sqlite3_bind_int64(st, 1, clock_wall_ns() / NS_PER_S);
    bind_text(st, 2, name_or_id);
    int rc = run(s, st, err, "revoke a key");
    if (rc == OK && sqlite3_changes(s->db) == 0)
        return fail(err, ERR_NOT_FOUND, "there is no live key '%.*s'", STR(name_or_id));
    return rc;
}

int store_each_key(struct store *s, void (*each)(void *arg, const struct store_key *k), void *arg,
                   struct err *err)
{
    sqlite3_stmt *st = get(s, EACH_KEY);
    int rc = st ? SQLITE_OK : SQLITE_ERROR;
    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_key k = {
            .id = column(st, 0),
            .name = column(st, 2),
            .user = column(st, 3),
            .group = column(st, 4),
            .models = column(st, 5),
            .regions = column(st, 6),
            .metadata_json = column(st, 7),
            .priority = column(st, 8),
            .rpm = sqlite3_column_int64(st, 9),
            .tpm = sqlite3_column_int64(st, 10),
            .concurrency = sqlite3_column_int64(st, 11),
            .max_output_tokens = sqlite3_column_int64(st, 12),
            .budget_nano = sqlite3_column_int64(st, 13),
            .budget_per = column(st, 14),
            .token_budget = sqlite3_column_int64(st, 15),
            .created_s = sqlite3_column_int64(st, 16),
            .expires_s = sqlite3_column_int64(st, 17),
            .is_revoked = sqlite3_column_int64(st, 18) != 0,
            .per_user = {.rpm = sqlite3_column_int64(st, 19),
                         .tpm = sqlite3_column_int64(st, 20),
                         .concurrency = sqlite3_column_int64(st, 21),
                         .budget_nano = sqlite3_column_int64(st, 22),
                         .budget_per = column(st, 23),
                         .token_budget = sqlite3_column_int64(st, 24)},
        };
        if (sqlite3_column_bytes(st, 1) == (int)sizeof k.hash)
            memcpy(k.hash, sqlite3_column_blob(st, 1), sizeof k.hash);
        each(arg, &k);
    }
    if (st)
        sqlite3_reset(st);
    return rc == SQLITE_DONE ? OK : sql_fail(s, err, "list keys");
}

int64_t store_version(struct store *s)
{
    sqlite3_stmt *st = get(s, VERSION);
    int64_t v = st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    if (st)
        sqlite3_reset(st);
    return v;
}

/* ---- ledger ---- */

void store_set_slot(struct store *s, int slot)
{
    s->slot = slot;
}

int store_begin(struct store *s, struct err *err)
{
    return exec(s, "BEGIN IMMEDIATE", err, "begin a transaction");
}

int store_commit(struct store *s, struct err *err)
{
    return exec(s, "COMMIT", err, "commit");
}

void store_rollback(struct store *s)
{
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static int add_attempt(struct store *s, const struct record *r, int idx, struct err *err)
{
    const struct record_attempt *a = &r->attempts[idx];
    sqlite3_stmt *st = get(s, ADD_ATTEMPT);
    if (!st)
        return sql_fail(s, err, "add to the ledger");
    bind_text(st, 1, r->id);
    sqlite3_bind_int(st, 2, idx);
    sqlite3_bind_int64(st, 3, r->wall_ns / NS_PER_S);
    bind_text(st, 4, r->key_id);
    bind_text(st, 5, a->provider);
    bind_text(st, 6, a->model);
    bind_text(st, 7, str_c(record_outcome_name(a->outcome)));
    const int64_t numbers[] = {a->status,
                               a->tokens.input_fresh,
                               a->tokens.cache_read,
                               a->tokens.cache_write_5m,
                               a->tokens.cache_write_1h,
                               a->tokens.output,
                               a->tokens.reasoning,
                               a->cost_nano,
                               a->is_estimated,
                               a->first_ms,
                               a->total_ms};
    for (int i = 0; i < 11; i++)
        sqlite3_bind_int64(st, 8 + i, numbers[i]);
    return run(s, st, err, "add to the ledger");
}

static int drop_open(struct store *s, struct str id, struct err *err)
{
    sqlite3_stmt *st = get(s, DROP_OPEN);
    if (!st)
        return sql_fail(s, err, "add to the ledger");
    bind_text(st, 1, id);
    return run(s, st, err, "add to the ledger");
}

int store_add_close(struct store *s, const struct record *r, bool was_open, struct err *err)
{
    sqlite3_stmt *st = get(s, ADD_REQUEST);
    if (!st)
        return sql_fail(s, err, "add to the ledger");
    bind_text(st, 1, r->id);
    sqlite3_bind_int64(st, 2, r->wall_ns / NS_PER_S);
    bind_text(st, 3, r->key_id);
    bind_text(st, 4, r->user);
    bind_text(st, 5, r->model);
    bind_text(st, 6, r->endpoint);
    bind_text(st, 7, str_c(record_outcome_name(r->outcome)));
    sqlite3_bind_int(st, 8, r->status);
    sqlite3_bind_int(st, 9, r->first_ms);
    sqlite3_bind_int(st, 10, r->total_ms);
    sqlite3_bind_int(st, 11, r->is_resumed);
    int rc = run(s, st, err, "add to the ledger");
    bool is_new = sqlite3_changes(s->db) > 0;
    for (int i = 0; rc == OK && is_new && i < r->n_attempts; i++)
        rc = add_attempt(s, r, i, err);
    return rc || !was_open ? rc : drop_open(s, r->id, err);
}

static int put_open(struct store *s, struct str id, struct str record, struct err *err)
{
    sqlite3_stmt *st = get(s, ADD_OPEN);
    if (!st)
        return sql_fail(s, err, "add to the ledger");
    bind_text(st, 1, id);
    sqlite3_bind_int(st, 2, s->slot);
    sqlite3_bind_blob64(st, 3, record.p, record.n, SQLITE_STATIC);
    return run(s, st, err, "add to the ledger");
}

int store_add_open(struct store *s, const struct record *r, struct err *err)
{
    struct buf b;
    buf_init(&b, RECORD_BYTES_MAX + 64);
    int rc = record_write(&b, r) ? put_open(s, r->id, buf_str(&b), err)
                                 : fail(err, ERR_LIMIT, "a record is too large");
    buf_deinit(&b);
    return rc;
}

int store_add_checkpoint(struct store *s, const struct record *r, struct err *err)
{
    return store_add_open(s, r, err); /* it carries everything that the open record did */
}

int store_set_position(struct store *s, struct str segment, int64_t offset, struct err *err)
{
    sqlite3_stmt *st = get(s, SET_POSITION);
    if (!st)
        return sql_fail(s, err, "keep the journal's position");
    sqlite3_bind_int(st, 1, s->slot);
    bind_text(st, 2, segment);
    sqlite3_bind_int64(st, 3, offset);
    return run(s, st, err, "keep the journal's position");
}

int64_t store_get_position(struct store *s, struct str segment)
{
    sqlite3_stmt *st = get(s, GET_POSITION);
    int64_t at = 0;
    if (st) {
        sqlite3_bind_int(st, 1, s->slot);
        bind_text(st, 2, segment);
        if (sqlite3_step(st) == SQLITE_ROW)
            at = sqlite3_column_int64(st, 0);
        sqlite3_reset(st);
    }
    return at;
}

/* The records of all open requests, one behind the other. */
static int read_open(struct store *s, struct buf *all, struct err *err)
{
    sqlite3_stmt *st = get(s, EACH_OPEN);
    int rc = st ? sqlite3_bind_int(st, 1, s->slot) : SQLITE_ERROR;
    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW)
        buf_add(all, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
    if (st)
        sqlite3_reset(st);
    return rc == SQLITE_DONE && buf_ok(all) ? OK : sql_fail(s, err, "read open requests");
}

int store_settle_orphans(struct store *s, struct err *err)
{
    struct buf all;
    int n = 0;
    buf_init(&all, (size_t)1 << 30);
    int rc = store_begin(s, err);
    if (rc == OK)
        rc = read_open(s, &all, err);
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        rc = ERR_NOMEM;
    for (struct str rest = buf_str(&all); rc == OK && record_read(&rest, r) == 1; n++) {
        r->outcome = OUTCOME_INTERRUPTED;
        for (int i = 0; i < r->n_attempts; i++)
            if (r->attempts[i].status == 0)
                r->attempts[i].outcome = OUTCOME_INTERRUPTED;
        rc = store_add_close(s, r, true, err);
    }
    free(r);
    buf_deinit(&all);
    rc = rc ? rc : store_commit(s, err);
    if (rc != OK)
        store_rollback(s);
    return rc ? rc : n;
}

/* ---- questions ---- */

static const struct {
    const char *word;
    enum usage_by by;
    const char *sql;
} groups[] = {
    {"key", USAGE_KEY, "coalesce((SELECT name FROM keys WHERE id = r.key_id), r.key_id)"},
    {"user", USAGE_USER, "r.user"},
    {"model", USAGE_MODEL, "r.model"},
    {"provider", USAGE_PROVIDER, "coalesce(a.provider, '')"},
    {"endpoint", USAGE_ENDPOINT, "r.endpoint"},
    {"hour", USAGE_HOUR, "strftime('%Y-%m-%dT%H:00:00Z', r.end_s, 'unixepoch')"},
    {"day", USAGE_DAY, "strftime('%Y-%m-%d', r.end_s, 'unixepoch')"},
};
enum { N_GROUPS = sizeof groups / sizeof *groups };

bool usage_parse_by(struct str text, unsigned *by, struct str *bad)
{
    *by = 0;
    struct str word;
    while (text.n && str_split(&text, ',', &word)) {
        int i = 0;
        while (i < N_GROUPS && !str_eq(str_c(groups[i].word), str_trim(word)))
            i++;
        if (i == N_GROUPS) {
            *bad = word;
            return false;
        }
        *by |= groups[i].by;
    }
    return true;
}

/* Only words of the table above go into the text: nothing from outside. */
static void write_usage_sql(unsigned by, struct buf *q)
{
    buf_puts(q, "SELECT count(DISTINCT r.id), coalesce(sum(a.input_fresh + a.cache_read + a.cache_write_5m + "
                "a.cache_write_1h), 0),"
                " coalesce(sum(a.cache_read), 0), coalesce(sum(a.output), 0), coalesce(sum(a.cost_nano), 0)");
    for (int i = 0; i < N_GROUPS; i++)
        if (by & groups[i].by)
            buf_printf(q, ", %s AS g%d", groups[i].sql, i);
    buf_puts(
        q, " FROM requests r LEFT JOIN attempts a ON a.request_id = r.id WHERE r.end_s >= ? AND r.end_s < ?");
    const char *word = " GROUP BY";
    for (int i = 0; i < N_GROUPS; i++)
        if (by & groups[i].by) {
            buf_printf(q, "%s g%d", word, i);
            word = ",";
        }
    buf_puts(q, by ? " ORDER BY 5 DESC, 1 DESC LIMIT 10000" : "");
}

int store_usage(struct store *s, unsigned by, int64_t from_s, int64_t to_s,
                void (*each)(void *arg, const struct usage_row *row), void *arg, struct err *err)
{
    struct buf q;
    sqlite3_stmt *st = NULL;
    buf_init(&q, 8192);
    write_usage_sql(by, &q);
    int rc = sqlite3_prepare_v2(s->db, buf_z(&q), -1, &st, NULL);
    buf_deinit(&q);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(st, 1, from_s);
        sqlite3_bind_int64(st, 2, to_s);
    }
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        struct usage_row row = {.requests = sqlite3_column_int64(st, 0),
                                .input_tokens = sqlite3_column_int64(st, 1),
                                .cached_input_tokens = sqlite3_column_int64(st, 2),
                                .output_tokens = sqlite3_column_int64(st, 3),
                                .cost_nano = sqlite3_column_int64(st, 4)};
        struct str *to[N_GROUPS] = {&row.key,      &row.user, &row.model, &row.provider,
                                    &row.endpoint, &row.time, &row.time};
        int at = 5;
        for (int i = 0; i < N_GROUPS; i++)
            if (by & groups[i].by)
                *to[i] = column(st, at++);
        if (by || row.requests)
            each(arg, &row);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? OK : sql_fail(s, err, "sum up usage");
}

int store_spent(struct store *s, struct str key_id, int64_t from_s, int64_t *nano, int64_t *tokens,
                struct err *err)
{
    sqlite3_stmt *st = get(s, SPENT);
    if (!st)
        return sql_fail(s, err, "sum up a key's usage");
    bind_text(st, 1, key_id);
    sqlite3_bind_int64(st, 2, from_s);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *nano = sqlite3_column_int64(st, 0);
        *tokens = sqlite3_column_int64(st, 1);
    }
    sqlite3_reset(st);
    return rc == SQLITE_ROW ? OK : sql_fail(s, err, "sum up a key's usage");
}

int store_spent_by_user(struct store *s, struct str key_id, int64_t from_s, int users_max,
                        void (*each)(void *arg, struct str user, int64_t nano, int64_t tokens), void *arg,
                        struct err *err)
{
    sqlite3_stmt *st = get(s, SPENT_BY_USER);
    int rc = SQLITE_ERROR;
    if (st) {
        bind_text(st, 1, key_id);
        sqlite3_bind_int64(st, 2, from_s);
        sqlite3_bind_int(st, 3, users_max);
        while ((rc = sqlite3_step(st)) == SQLITE_ROW)
            each(arg, column(st, 0), sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2));
        sqlite3_reset(st);
    }
    return rc == SQLITE_DONE ? OK : sql_fail(s, err, "add up what users spent");
}
