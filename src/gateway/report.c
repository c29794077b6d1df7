/* report.c - See report.h. */
#include "gateway/report.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

/* ---- keys ---- */

/* Or not given. */
static bool is_period(struct str s)
{
    return s.n == 0 || str_eq(s, S("hour")) || str_eq(s, S("day")) || str_eq(s, S("month"));
}

static int check_wish(const struct store_key *k, struct err *err)
{
    if (k->name.n == 0 || k->name.n > REPORT_NAME_MAX)
        return fail(err, ERR_ARG, "'name' must have 1 to %d bytes", REPORT_NAME_MAX);
    for (size_t i = 0; i < k->name.n; i++)
        if ((unsigned char)k->name.p[i] < ' ' || k->name.p[i] == '/' || k->name.p[i] == 0x7f)
            return fail(err, ERR_ARG, "'name' must not contain '/' or control characters");
    if (k->priority.n && !str_eq(k->priority, S("high")) && !str_eq(k->priority, S("normal")) &&
        !str_eq(k->priority, S("low")))
        return fail(err, ERR_ARG, "'priority' must be high, normal or low, not '%.*s'", STR(k->priority));
    const struct store_user_limits *u = &k->per_user;
    if (!is_period(k->budget_per) || !is_period(u->budget_per))
        return fail(err, ERR_ARG, "'per' must be hour, day or month, not '%.*s'",
                    STR(is_period(k->budget_per) ? u->budget_per : k->budget_per));
    if (u->budget_per.n && u->budget_nano <= 0 && u->token_budget == 0)
        return fail(err, ERR_ARG, "'per' is the window of a user's budget: say that too");
    if (k->budget_per.n && k->budget_nano < 0 && k->token_budget == 0)
        return fail(err, ERR_ARG, "'per' is the window of a budget: say 'budget' or 'token_budget' too");
    return OK;
}

int report_make_key(struct store *s, const struct store_key *wanted, char text[KEY_TEXT_BYTES],
                    char id[KEY_ID_BYTES], struct err *err)
{
    struct store_key k = *wanted;
    int rc = check_wish(&k, err);
    if (rc != OK)
        return rc;
    key_make(text, k.hash, id);
    k.id = str_c(id);
    k.created_s = clock_wall_ns() / NS_PER_S;
    if (k.expires_s)
        k.expires_s += k.created_s;
    if (!k.priority.n)
        k.priority = S("normal");
    if (!k.budget_per.n)
        k.budget_per = S("day");
    if (!k.per_user.budget_per.n)
        k.per_user.budget_per = S("day");
    if (!k.metadata_json.n)
        k.metadata_json = S("{}");
    return store_add_key(s, &k, err);
}

static void write_list(struct json_writer *w, const char *name, struct str list)
{
    struct str item;
    jw_key(w, name);
    jw_begin_array(w);
    while (list.n && str_split(&list, ',', &item))
        jw_str(w, str_trim(item));
    jw_end_array(w);
}

static void write_time(struct json_writer *w, const char *name, int64_t s)
{
    char iso[CLOCK_ISO_BYTES];
    if (s == 0) {
        jw_kv_null(w, name);
        return;
    }
    clock_iso(s * NS_PER_S, iso);
    jw_kv_z(w, name, iso);
}

static void write_limit(struct json_writer *w, const char *name, int64_t v)
{
    if (v > 0)
        jw_kv_i64(w, name, v);
    else
        jw_kv_null(w, name);
}

static void write_usd(struct json_writer *w, const char *name, int64_t nano)
{
    struct buf text;
    buf_init(&text, 64);
    report_write_usd(nano, &text);
    jw_kv_raw(w, name, buf_str(&text));
    buf_deinit(&text);
}

static void write_user_limits(struct json_writer *w, const struct store_user_limits *u)
{
    bool has_budget = u->budget_nano > 0 || u->token_budget > 0;
    jw_key(w, "per_user");
    if (!has_budget && !u->rpm && !u->tpm && !u->concurrency) {
        jw_null(w);
        return;
    }
    jw_begin_object(w);
    write_limit(w, "rpm", u->rpm);
    write_limit(w, "tpm", u->tpm);
    write_limit(w, "concurrency", u->concurrency);
    if (u->budget_nano > 0)
        write_usd(w, "budget", u->budget_nano);
    else
        jw_kv_null(w, "budget");
    write_limit(w, "token_budget", u->token_budget);
    if (has_budget)
        jw_kv_str(w, "per", u->budget_per);
    else
        jw_kv_null(w, "per");
    jw_end_object(w);
}

static void write_key(struct json_writer *w, const struct store_key *k, struct str text)
{
    jw_begin_object(w);
    if (text.n)
        jw_kv_str(w, "key", text);
    jw_kv_str(w, "id", k->id);
    jw_kv_str(w, "name", k->name);
    jw_kv_str(w, "user", k->user);
    jw_kv_str(w, "group", k->group);
    write_limit(w, "rpm", k->rpm);
    write_limit(w, "tpm", k->tpm);
    write_limit(w, "concurrency", k->concurrency);
    write_limit(w, "max_output_tokens", k->max_output_tokens);
    if (k->budget_nano >= 0)
        write_usd(w, "budget", k->budget_nano);
    else
        jw_kv_null(w, "budget");
    write_limit(w, "token_budget", k->token_budget);
    if (k->budget_nano >= 0 || k->token_budget > 0)
        jw_kv_str(w, "per", k->budget_per);
    else
        jw_kv_null(w, "per");
    write_user_limits(w, &k->per_user);
    write_list(w, "models", k->models);
    write_list(w, "regions", k->regions);
    jw_kv_str(w, "priority", k->priority.n ? k->priority : S("normal"));
    jw_kv_raw(w, "metadata", k->metadata_json.n ? k->metadata_json : S("{}"));
    write_time(w, "created", k->created_s);
    write_time(w, "expires", k->expires_s);
    jw_kv_bool(w, "revoked", k->is_revoked);
    jw_end_object(w);
}

struct wanted {
    struct str id, text;
    struct json_writer *w;
};

static void write_if_wanted(void *arg, const struct store_key *k)
{
    struct wanted *f = arg;
    if (str_eq(k->id, f->id))
        write_key(f->w, k, f->text);
}

int report_write_key(struct store *s, struct str id, struct str text, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    struct wanted f = {id, text, &w};
    return store_each_key(s, write_if_wanted, &f, err);
}

static void see_key(void *arg, const struct store_key *k)
{
    write_key(arg, k, S(""));
}

int report_write_keys(struct store *s, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_key(&w, "keys");
    jw_begin_array(&w);
    int rc = store_each_key(s, see_key, &w, err);
    if (rc != OK)
        return rc;
    jw_end_array(&w);
    jw_end_object(&w);
    return buf_ok(out) ? OK : fail(err, ERR_LIMIT, "the list of keys is too long");
}

/* ---- usage ---- */

void report_write_usd(int64_t nano, struct buf *out)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%s%lld.%09lld", nano < 0 ? "-" : "",
                     (long long)(nano < 0 ? -(nano / 1000000000) : nano / 1000000000),
                     (long long)(nano < 0 ? -(nano % 1000000000) : nano % 1000000000));
    while (n > 2 && text[n - 1] == '0' && text[n - 2] != '.')
        n--;
    buf_add(out, text, (size_t)n);
}

static const struct {
    enum usage_by by;
    const char *name;
} fields[] = {
    {USAGE_KEY, "key"},           {USAGE_USER, "user"}, {USAGE_MODEL, "model"}, {USAGE_PROVIDER, "provider"},
    {USAGE_ENDPOINT, "endpoint"}, {USAGE_HOUR, "hour"}, {USAGE_DAY, "day"},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static struct str field_of(const struct usage_row *row, enum usage_by by)
{
    switch (by) {
    case USAGE_KEY: return row->key;
    case USAGE_USER: return row->user;
    case USAGE_MODEL: return row->model;
    case USAGE_PROVIDER: return row->provider;
    case USAGE_ENDPOINT: return row->endpoint;
    default: return row->time;
    }
}

struct usage_out {
    unsigned by;
    enum report_form form;
    struct json_writer w;
    struct buf *out;
};

static void write_row_json(struct json_writer *w, unsigned by, const struct usage_row *row)
{
    jw_begin_object(w);
    for (int i = 0; i < N_FIELDS; i++)
        if (by & fields[i].by)
            jw_kv_str(w, fields[i].name, field_of(row, fields[i].by));
    jw_kv_i64(w, "requests", row->requests);
    jw_kv_i64(w, "input_tokens", row->input_tokens);
    jw_kv_i64(w, "cached_input_tokens", row->cached_input_tokens);
    jw_kv_i64(w, "output_tokens", row->output_tokens);
    write_usd(w, "cost_usd", row->cost_nano);
    jw_end_object(w);
}

/* RFC 4180; a text that a spreadsheet would take for a formula is made harmless. */
static void write_cell(struct buf *out, struct str s)
{
    bool formula = s.n && strchr("=+-@\t\r", s.p[0]);
    buf_puts(out, formula ? "\"'" : "\"");
    for (size_t i = 0; i < s.n; i++)
        buf_add(out, s.p[i] == '"' ? "\"\"" : &s.p[i], s.p[i] == '"' ? 2 : 1);
    buf_puts(out, "\"");
}

static void write_row_text(struct usage_out *o, const struct usage_row *row)
{
    bool csv = o->form == REPORT_CSV;
    for (int i = 0; i < N_FIELDS; i++) {
        if (!(o->by & fields[i].by))
            continue;
        struct str text = field_of(row, fields[i].by);
        if (csv) {
            write_cell(o->out, text);
            buf_puts(o->out, ",");
        } else {
            buf_printf(o->out, "%-24.*s ", STR(text.n ? text : S("-")));
        }
    }
    buf_printf(o->out, csv ? "%lld,%lld,%lld,%lld," : "%9lld %13lld %13lld %13lld  ",
               (long long)row->requests, (long long)row->input_tokens, (long long)row->cached_input_tokens,
               (long long)row->output_tokens);
    report_write_usd(row->cost_nano, o->out);
    buf_puts(o->out, csv ? "\r\n" : "\n");
}

static void write_heading(struct usage_out *o)
{
    bool csv = o->form == REPORT_CSV;
    for (int i = 0; i < N_FIELDS; i++)
        if (o->by & fields[i].by)
            buf_printf(o->out, csv ? "%s," : "%-24s ", fields[i].name);
    buf_puts(o->out, csv ? "requests,input_tokens,cached_input_tokens,output_tokens,cost_usd\r\n"
                         : " requests  input_tokens  cached_input output_tokens  cost_usd\n");
}

static void see_row(void *arg, const struct usage_row *row)
{
    struct usage_out *o = arg;
    if (o->form == REPORT_JSON)
        write_row_json(&o->w, o->by, row);
    else
        write_row_text(o, row);
}

static void take_total(void *arg, const struct usage_row *row)
{
    *(struct usage_row *)arg = *row;
}

static int write_json(struct store *s, struct usage_out *o, int64_t from_s, int64_t to_s, struct err *err)
{
    struct usage_row total = {0};
    jw_begin_object(&o->w);
    char iso[CLOCK_ISO_BYTES];
    clock_iso(from_s * NS_PER_S, iso);
    jw_kv_z(&o->w, "from", iso);
    clock_iso(to_s * NS_PER_S, iso);
    jw_kv_z(&o->w, "to", iso);
    jw_key(&o->w, "by");
    jw_begin_array(&o->w);
    for (int i = 0; i < N_FIELDS; i++)
        if (o->by & fields[i].by)
            jw_z(&o->w, fields[i].name);
    jw_end_array(&o->w);
    jw_key(&o->w, "rows");
    jw_begin_array(&o->w);
    int rc = store_usage(s, o->by, from_s, to_s, see_row, o, err);
    if (rc != OK)
        return rc;
    jw_end_array(&o->w);
    rc = store_usage(s, 0, from_s, to_s, take_total, &total, err);
    jw_key(&o->w, "total");
    write_row_json(&o->w, 0, &total);
    jw_end_object(&o->w);
    return rc;
}

int report_write_usage(struct store *s, unsigned by, int64_t from_s, int64_t to_s, enum report_form form,
                       struct buf *out, struct err *err)
{
    struct usage_out o = {.by = by, .form = form, .w = json_writer(out), .out = out};
    int rc;
    if (form == REPORT_JSON) {
        rc = write_json(s, &o, from_s, to_s, err);
    } else {
        write_heading(&o);
        rc = store_usage(s, by, from_s, to_s, see_row, &o, err);
    }
    if (rc != OK)
        return rc;
    return buf_ok(out) ? OK : fail(err, ERR_LIMIT, "the answer is too long: ask for a shorter time");
}
