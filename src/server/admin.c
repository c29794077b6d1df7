/* admin.c - /admin/keys, /admin/usage, /admin/providers, for who has the admin key.
 *
 * What needs the database is done by the store thread: a job carries the question there and the
 * answer back to this loop.  The client may be gone by then; the job is freed all the same. */
#include <stdio.h>
#include <stdlib.h>

#include "api/dialect.h"
#include "base/clock.h"
#include "base/json.h"
#include "gateway/ledger.h"
#include "gateway/report.h"
#include "server/config_load.h"
#include "server/server_int.h"

#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define BODY_BYTES_MAX   ((size_t)1 << 20)
#define USAGE_DEFAULT_S  (30 * 24 * 3600)

struct admin_job {
    struct ledger_job job;
    struct server_thread *thread;
    struct request *req; /* NULL: the client is gone */
    struct ledger *ledger;
    struct arena arena; /* texts of the question */
    int (*ask)(struct admin_job *j, struct store *s, struct buf *out, struct err *err);
    struct store_key key; /* POST */
    struct str name;      /* DELETE */
    unsigned by;          /* usage */
    int64_t from_s, to_s;
    struct buf out; /* the answer */
    int status;
};

/* ---- answers ---- */

static void write_error(int status, const char *text, struct buf *out)
{
    struct chat_error e;
    chat_error_set(&e,
                   status == 401   ? CHAT_ERR_AUTH
                   : status == 404 ? CHAT_ERR_NOT_FOUND
                   : status == 500 ? CHAT_ERR_SERVER
                                   : CHAT_ERR_INVALID,
                   NULL, "%s", text);
    buf_clear(out);
    dialect_get(DIALECT_OPENAI_CHAT)->write_error(&e, S(""), out);
}

static void answer(struct request *req, int status, struct str body)
{
    const struct http_header headers[] = {{S("content-type"), S("application/json")},
                                          {S("cache-control"), S("no-store")}};
    request_respond(req, status, headers, 2, body);
}

static void refuse(struct request *req, int status, const char *text)
{
    struct buf body;
    buf_init(&body, 1 << 16);
    write_error(status, text, &body);
    answer(req, status, buf_str(&body));
    buf_deinit(&body);
}

/* ---- jobs ---- */

static int status_of(int code)
{
    switch (code) {
    case ERR_NOT_FOUND: return 404;
    case ERR_ARG: return 400;
    default: return 500;
    }
}

/* On the store thread. */
static void run(struct ledger_job *job, struct store *s)
{
    struct admin_job *j = (struct admin_job *)job;
    struct err err = {0};
    int rc = j->ask(j, s, &j->out, &err);
    if (rc == OK)
        return;
    j->status = status_of(rc);
    write_error(j->status, err.text, &j->out);
}

static void free_job(struct admin_job *j)
{
    buf_deinit(&j->out);
    arena_deinit(&j->arena);
    free(j);
}

static void on_done(struct loop_task *task)
{
    struct admin_job *j = (struct admin_job *)((char *)task - offsetof(struct admin_job, job.done));
    if (j->req)
        answer(j->req, j->status, buf_str(&j->out));
    j->thread->n_admin_jobs--;
    free_job(j);
}

static void on_closed(struct request *req)
{
    ((struct admin_job *)req->user)->req = NULL;
}

static struct admin_job *new_job(struct server_thread *t, struct request *req,
                                 int (*ask)(struct admin_job *, struct store *, struct buf *, struct err *))
{
    struct admin_job *j = calloc(1, sizeof *j);
    if (!j) {
        refuse(req, 500, "the server is out of memory");
        return NULL;
    }
    j->thread = t;
    j->req = req;
    j->ask = ask;
    j->status = 200;
    j->ledger = gateway_ledger(t->server->gw);
    j->job.run = run;
    j->job.loop = t->loop;
    j->job.done.run = on_done;
    arena_init(&j->arena, BODY_BYTES_MAX * 4);
    buf_init(&j->out, ANSWER_BYTES_MAX);
    return j;
}

static void post(struct admin_job *j)
{
    j->req->user = j;
    j->req->on_closed = on_closed;
    j->thread->n_admin_jobs++;
    ledger_post(j->ledger, &j->job);
}

static void refuse_job(struct admin_job *j, const char *text)
{
    refuse(j->req, 400, text);
    free_job(j);
}

/* ---- who asks ---- */

bool admin_key_given(const struct config *c, const struct request *req)
{
    struct str given = http_value(req->head, S("authorization")), key = c->admin_key;
    if (key.n == 0 || given.n <= 7 || !str_eq_nocase(str_sub(given, 0, 7), S("Bearer ")))
        return false;
    given = str_trim(str_sub(given, 7, given.n));
    /* Every byte is looked at, so that the time does not tell how many were right. */
    unsigned differ = given.n != key.n;
    for (size_t i = 0; i < given.n; i++)
        differ |= (unsigned char)given.p[i] ^ (unsigned char)key.p[i % key.n];
    return !differ;
}

static bool is_admin(struct server_thread *t, struct request *req)
{
    struct config *c = gateway_config(t->server->gw);
    bool has_key = c->admin_key.n > 0, given = admin_key_given(c, req);
    config_drop(c);
    if (!has_key)
        refuse(req, 403, "/admin is closed: the configuration has no admin_key");
    else if (!given)
        refuse(req, 401, "/admin needs the admin key (Authorization: Bearer ...)");
    return given;
}

/* ---- keys ---- */

static int ask_keys(struct admin_job *j, struct store *s, struct buf *out, struct err *err)
{
    (void)j;
    return report_write_keys(s, out, err);
}

void admin_get_keys(struct server_thread *t, struct request *req)
{
    struct admin_job *j = is_admin(t, req) ? new_job(t, req, ask_keys) : NULL;
    if (j)
        post(j);
}

static int ask_new_key(struct admin_job *j, struct store *s, struct buf *out, struct err *err)
{
    char text[KEY_TEXT_BYTES], id[KEY_ID_BYTES];
    int rc = report_make_key(s, &j->key, text, id, err);
    if (rc != OK)
        return rc;
    ledger_reload_keys(j->ledger);
    return report_write_key(s, str_c(id), str_c(text), out, err);
}

/* "a,b" or ["a", "b"]; false if it is something else. */
static bool read_list(struct json v, struct arena *a, struct str *out)
{
    if (json_is(v, JSON_STRING)) {
        *out = json_text(v, a);
        return out->p != NULL;
    }
    if (!json_is(v, JSON_ARRAY))
        return false;
    struct buf all;
    buf_init(&all, BODY_BYTES_MAX);
    bool ok = true;
    for (struct json_iter it = json_iter(v); ok && json_next(&it);) {
        ok = json_is(it.value, JSON_STRING);
        if (it.i)
            buf_puts(&all, ",");
        if (ok)
            buf_str_add(&all, json_text(it.value, a));
    }
    *out = arena_str(a, buf_str(&all));
    buf_deinit(&all);
    return ok && out->p;
}

/* 20, "20", or {"usd": 20, "per": "day"}. */
static bool read_budget(struct json v, struct arena *a, struct store_key *k)
{
    if (json_is(v, JSON_OBJECT)) {
        struct json per = json_get(v, "per");
        if (json_exists(per))
            k->budget_per = json_text(per, a);
        v = json_get(v, "usd");
    }
    struct str text = json_is(v, JSON_STRING) ? json_text(v, a) : json_span(v);
    return text.p && config_parse_nano(text, &k->budget_nano) && k->budget_nano >= 0;
}

static bool read_expires(struct json v, struct arena *a, int64_t *seconds)
{
    struct str text = json_text(v, a);
    int64_t ns;
    if (!text.p || !config_parse_duration(text, &ns) || ns < NS_PER_S)
        return false;
    *seconds = ns / NS_PER_S;
    return true;
}

/* {"rpm":..., "tpm":..., "concurrency":..., "budget":..., "token_budget":..., "per":...} */
static bool read_per_user(struct json v, struct arena *a, struct store_user_limits *u)
{
    const struct {
        const char *name;
        int64_t *number;
    } numbers[] = {{"rpm", &u->rpm},
                   {"tpm", &u->tpm},
                   {"concurrency", &u->concurrency},
                   {"token_budget", &u->token_budget}};
    struct store_key budget = {0};
    if (!json_is(v, JSON_OBJECT))
        return false;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t i = 0;
        while (i < sizeof numbers / sizeof *numbers && !str_eq(it.key, str_c(numbers[i].name)))
            i++;
        bool is_number = i < sizeof numbers / sizeof *numbers;
        if (json_is_none(it.value))
            continue;
        if (is_number ? !json_i64(it.value, numbers[i].number) || *numbers[i].number <= 0
            : str_eq(it.key, S("budget"))
                ? !read_budget(it.value, a, &budget) || budget.budget_nano <= 0
                : !str_eq(it.key, S("per")) || !(budget.budget_per = json_text(it.value, a)).p)
            return false;
    }
    u->budget_nano = budget.budget_nano;
    u->budget_per = budget.budget_per;
    return true;
}

static bool read_member(struct store_key *k, struct str name, struct json v, struct arena *a)
{
    const struct {
        const char *name;
        struct str *text;
        int64_t *number;
    } members[] = {{"name", &k->name, NULL},
                   {"user", &k->user, NULL},
                   {"group", &k->group, NULL},
                   {"priority", &k->priority, NULL},
                   {"per", &k->budget_per, NULL},
                   {"rpm", NULL, &k->rpm},
                   {"tpm", NULL, &k->tpm},
                   {"concurrency", NULL, &k->concurrency},
                   {"token_budget", NULL, &k->token_budget},
                   {"max_output_tokens", NULL, &k->max_output_tokens}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!str_eq(name, str_c(members[i].name)))
            continue;
        if (members[i].number)
            return json_i64(v, members[i].number) && *members[i].number > 0;
        *members[i].text = json_text(v, a);
        return members[i].text->p != NULL;
    }
    if (str_eq(name, S("models")))
        return read_list(v, a, &k->models);
    if (str_eq(name, S("regions")))
        return read_list(v, a, &k->regions);
    if (str_eq(name, S("budget")))
        return read_budget(v, a, k);
    if (str_eq(name, S("per_user")))
        return read_per_user(v, a, &k->per_user);
    if (str_eq(name, S("expires")))
        return read_expires(v, a, &k->expires_s);
    if (!str_eq(name, S("metadata")) || !json_is(v, JSON_OBJECT))
        return false;
    k->metadata_json = json_span(v);
    return true;
}

void admin_post_key(struct server_thread *t, struct request *req)
{
    struct admin_job *j = is_admin(t, req) ? new_job(t, req, ask_new_key) : NULL;
    if (!j)
        return;
    struct json_doc doc;
    struct err err = {0};
    struct str body = arena_str(&j->arena, req->body); /* texts outlive the request */
    j->status = 201;
    j->key.budget_nano = -1;
    if (req->body.n > BODY_BYTES_MAX || !body.p || json_parse(&doc, &j->arena, body, &err) != OK ||
        !json_is(json_root(&doc), JSON_OBJECT)) {
        refuse_job(j, err.text[0] ? err.text : "the body must be a JSON object");
        return;
    }
    for (struct json_iter it = json_iter(json_root(&doc)); json_next(&it);)
        if (!json_is_none(it.value) && !read_member(&j->key, it.key, it.value, &j->arena)) {
            fail(&err, ERR_ARG, "'%.*s' is not known here, or its value is not possible",
                 STR(str_sub(it.key, 0, 64)));
            refuse_job(j, err.text);
            return;
        }
    post(j);
}

static int ask_revoke(struct admin_job *j, struct store *s, struct buf *out, struct err *err)
{
    int rc = store_revoke_key(s, j->name, err);
    if (rc != OK)
        return rc;
    ledger_reload_keys(j->ledger);
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_kv_str(&w, "revoked", j->name);
    jw_end_object(&w);
    return OK;
}

void admin_delete_key(struct server_thread *t, struct request *req)
{
    struct admin_job *j = is_admin(t, req) ? new_job(t, req, ask_revoke) : NULL;
    if (!j)
        return;
    char name[REPORT_NAME_MAX + 1];
    struct str path = req->head->path, raw = str_sub(path, sizeof "/admin/keys/" - 1, path.n);
    ptrdiff_t n = http_percent_decode(raw, false, name, sizeof name);
    j->name = n > 0 ? arena_str(&j->arena, str_of(name, (size_t)n)) : S("");
    if (j->name.n)
        post(j);
    else
        refuse_job(j, "which key? (DELETE /admin/keys/NAME)");
}

/* ---- usage ---- */

static int ask_usage(struct admin_job *j, struct store *s, struct buf *out, struct err *err)
{
    return report_write_usage(s, j->by, j->from_s, j->to_s, REPORT_JSON, out, err);
}

static bool query_text(const struct request *req, struct str name, char *text, size_t cap, struct str *out)
{
    struct str raw;
    *out = S("");
    if (!req->head->query.p || !http_query_find(req->head->query, name, &raw))
        return false;
    ptrdiff_t n = http_percent_decode(raw, true, text, cap);
    *out = n > 0 ? str_of(text, (size_t)n) : S("?");
    return true;
}

void admin_get_usage(struct server_thread *t, struct request *req)
{
    struct admin_job *j = is_admin(t, req) ? new_job(t, req, ask_usage) : NULL;
    if (!j)
        return;
    char text[256];
    struct str value, bad;
    int64_t since_ns = USAGE_DEFAULT_S * NS_PER_S;
    j->by = USAGE_KEY;
    if (query_text(req, S("by"), text, sizeof text, &value) && !usage_parse_by(value, &j->by, &bad)) {
        refuse_job(j, "'by' must be a list of key, user, model, provider, endpoint, hour, day");
        return;
    }
    if (query_text(req, S("since"), text, sizeof text, &value) &&
        (!config_parse_duration(value, &since_ns) || since_ns <= 0)) {
        refuse_job(j, "'since' must be a time back from now, such as 24h or 30d");
        return;
    }
    int64_t now_s = clock_wall_ns() / NS_PER_S;
    j->from_s = now_s - since_ns / NS_PER_S;
    j->to_s = now_s + 1;
    post(j);
}

/* ---- providers ---- */

void admin_get_providers(struct server_thread *t, struct request *req)
{
    if (!is_admin(t, req))
        return;
    struct buf out;
    buf_init(&out, ANSWER_BYTES_MAX);
    gateway_write_providers(t->server->gw, &out);
    answer(req, buf_ok(&out) ? 200 : 500, buf_str(&out));
    buf_deinit(&out);
}
