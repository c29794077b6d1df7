/* read.c - Reading a request's JSON with the path of the field in every error.
 *
 * Shared by all dialects' request readers; see read_int.h.  Start reading at rd_fields(). */
#include <stdio.h>

#include "api/read_int.h"

static const char *type_words(enum json_type t)
{
    static const char *const words[] = {"missing",  "null",     "a boolean", "a boolean",
                                        "a number", "a string", "an array",  "an object"};
    return words[t];
}

static size_t path_add(struct rd *r, const char *fmt, int n, const char *p)
{
    size_t mark = r->path_n;
    size_t room = sizeof(r->path) - r->path_n;
    int got = snprintf(r->path + r->path_n, room, fmt, n, p);
    if (got > 0)
        r->path_n += (size_t)got < room ? (size_t)got : room - 1;
    return mark;
}

size_t rd_key(struct rd *r, struct str key)
{
    /* Keys come from strangers: the path shows at most 64 bytes of each. */
    return path_add(r, r->path_n ? ".%.*s" : "%.*s", key.n > 64 ? 64 : (int)key.n, key.p);
}

size_t rd_idx(struct rd *r, uint32_t i)
{
    return path_add(r, "[%d]%.0s", (int)i, "");
}

void rd_up(struct rd *r, size_t mark)
{
    r->path_n = mark;
    r->path[mark] = 0;
}

/* Cut a path at a character border, so that the error stays valid UTF-8. */
static void copy_path(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
    size_t n = strlen(to);
    while (n > 0 && !str_is_utf8(str_of(to, n)))
        n--;
    to[n] = 0;
}

int rd_fail(struct rd *r, const char *key, const char *fmt, ...)
{
    size_t mark = key ? rd_key(r, str_c(key)) : r->path_n;
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    char path[sizeof(r->e->param)];
    copy_path(path, sizeof(path), r->path);
    chat_error_set(r->e, CHAT_ERR_INVALID, path, "%s%s%s", path[0] ? path : "the request", text[0] ? " " : "",
                   text);
    rd_up(r, mark);
    return ERR_ARG;
}

int rd_nomem(struct rd *r)
{
    chat_error_set(r->e, CHAT_ERR_TOO_LARGE, "", "the request needs more memory than one request may have");
    return ERR_NOMEM;
}

int rd_wrong_type(struct rd *r, const char *key, struct json v, const char *wanted)
{
    enum json_type t = json_type(v);
    if (t == JSON_ABSENT)
        return rd_fail(r, key, "is missing: it must be %s", wanted);
    return rd_fail(r, key, "must be %s, not %s", wanted, type_words(t));
}

int rd_text(struct rd *r, const char *key, struct json v, struct str *out)
{
    if (json_is_none(v))
        return OK;
    if (!json_is(v, JSON_STRING))
        return rd_wrong_type(r, key, v, "a string");
    struct str s = json_text(v, r->a);
    if (!s.p)
        return rd_nomem(r);
    *out = s;
    return OK;
}

int rd_f64(struct rd *r, const char *key, struct json v, double lo, double hi, struct chat_f64 *out)
{
    if (json_is_none(v))
        return OK;
    double x;
    if (!json_f64(v, &x))
        return rd_wrong_type(r, key, v, "a number");
    if (!(x >= lo && x <= hi))
        return rd_fail(r, key, "is %g, and must be between %g and %g", x, lo, hi);
    *out = (struct chat_f64){x, true};
    return OK;
}

int rd_i64(struct rd *r, const char *key, struct json v, int64_t lo, int64_t hi, struct chat_i64 *out)
{
    if (json_is_none(v))
        return OK;
    int64_t x;
    if (!json_i64(v, &x))
        return json_is(v, JSON_NUMBER) ? rd_fail(r, key, "must be a whole number")
                                       : rd_wrong_type(r, key, v, "a whole number");
    if (x < lo || x > hi)
        return rd_fail(r, key, "is %lld, and must be between %lld and %lld", (long long)x, (long long)lo,
                       (long long)hi);
    *out = (struct chat_i64){x, true};
    return OK;
}

int rd_bool(struct rd *r, const char *key, struct json v, bool *out)
{
    if (json_is_none(v))
        return OK;
    if (!json_bool(v, out))
        return rd_wrong_type(r, key, v, "true or false");
    return OK;
}

int rd_tri(struct rd *r, const char *key, struct json v, enum chat_tri *out)
{
    bool b = false;
    if (json_is_none(v))
        return OK;
    int rc = rd_bool(r, key, v, &b);
    if (rc == OK)
        *out = b ? CHAT_YES : CHAT_NO;
    return rc;
}

int rd_get_text(struct rd *r, struct json obj, const char *key, bool need, struct str *out)
{
    struct json v = json_get(obj, key);
    if (need && !json_is(v, JSON_STRING))
        return rd_wrong_type(r, key, v, "a string");
    return rd_text(r, key, v, out);
}

int rd_get_object_span(struct rd *r, struct json obj, const char *key, struct str *out)
{
    struct json v = json_get(obj, key);
    if (json_is_none(v))
        return OK;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, key, v, "an object");
    *out = json_span(v);
    return OK;
}

int rd_check_array(struct rd *r, const char *key, struct json v, uint32_t max)
{
    if (!json_is(v, JSON_ARRAY))
        return rd_wrong_type(r, key, v, "an array");
    if (json_count(v) > max)
        return rd_fail(r, key, "has %u items, at most %u are possible", json_count(v), max);
    return OK;
}

int rd_texts(struct rd *r, const char *key, struct json v, uint32_t max, struct str **out, size_t *n)
{
    int rc = rd_check_array(r, key, v, max);
    if (rc != OK)
        return rc;
    struct str *list = arena_new_array(r->a, struct str, json_count(v) + 1);
    if (!list)
        return rd_nomem(r);
    size_t mark = key ? rd_key(r, str_c(key)) : r->path_n;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        if (!json_is(it.value, JSON_STRING))
            return rd_wrong_type(r, NULL, it.value, "a string");
        if ((rc = rd_text(r, NULL, it.value, &list[it.i])) != OK)
            return rc;
        rd_up(r, at);
    }
    rd_up(r, mark);
    *out = list;
    *n = json_count(v);
    return OK;
}

/* "messages[3].content[0]" + "x" -> "messages[].content[].x": an unknown field inside a list is one
 * fact, however often it stands there. */
static struct str collapsed_name(struct rd *r, struct str key)
{
    char name[sizeof(r->path) + 72];
    size_t n = 0;
    for (size_t i = 0; i < r->path_n; i++) {
        bool is_digit = r->path[i] >= '0' && r->path[i] <= '9';
        if (!is_digit || n == 0 || name[n - 1] != '[')
            name[n++] = r->path[i];
    }
    name[n++] = '.';
    size_t key_n = key.n > 64 ? 64 : key.n;
    memcpy(name + n, key.p, key_n);
    return arena_str(r->a, str_of(name, n + key_n));
}

static bool is_kept(const struct chat_request *q, struct str name)
{
    for (size_t i = 0; i < q->n_fields; i++)
        if (str_eq(q->fields[i].name, name))
            return true;
    return false;
}

static int add_field(struct rd *r, struct str name, struct json v, enum chat_field_kind kind)
{
    struct chat_request *q = r->req;
    if (q->n_fields == r->fields_cap) {
        size_t cap = r->fields_cap ? r->fields_cap * 2 : 8;
        struct chat_field *more = arena_new_array(r->a, struct chat_field, cap);
        if (!more)
            return rd_nomem(r);
        if (q->n_fields)
            memcpy(more, q->fields, q->n_fields * sizeof(*more));
        q->fields = more;
        r->fields_cap = cap;
    }
    q->fields[q->n_fields++] = (struct chat_field){name, json_span(v), kind};
    return OK;
}

int rd_keep(struct rd *r, struct str key, struct json v, enum chat_field_kind kind)
{
    struct str name = key;
    bool is_nested = r->path_n > 0;
    if (is_nested && kind == CHAT_FIELD_UNKNOWN) {
        if (r->req->n_fields >= CHAT_NESTED_FIELDS_MAX)
            return OK;
        name = collapsed_name(r, key);
    } else if (is_nested) {
        name = arena_printf(r->a, "%.*s.%.*s", (int)r->path_n, r->path, STR(key));
    }
    if (!name.p)
        return rd_nomem(r);
    if (is_nested && kind == CHAT_FIELD_UNKNOWN && is_kept(r->req, name))
        return OK;
    if (r->req->n_fields >= CHAT_FIELDS_MAX)
        return chat_error_set(r->e, CHAT_ERR_INVALID, "",
                              "the request has more than %d fields that are not known", (int)CHAT_FIELDS_MAX);
    return add_field(r, name, v, kind);
}

int rd_keep_unknown(struct rd *r, struct json obj, const char *const *known)
{
    for (struct json_iter it = json_iter(obj); json_next(&it);) {
        bool found = json_is_none(it.value);
        for (const char *const *k = known; *k && !found; k++)
            found = strlen(*k) == it.key.n && memcmp(*k, it.key.p, it.key.n) == 0;
        int rc = found ? OK : rd_keep(r, it.key, it.value, CHAT_FIELD_UNKNOWN);
        if (rc != OK)
            return rc;
    }
    return OK;
}

static const struct field_row *find_row(struct str key, const struct field_row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++)
        if (key.n && rows[i].key[0] == key.p[0] && strlen(rows[i].key) == key.n &&
            memcmp(rows[i].key, key.p, key.n) == 0)
            return &rows[i];
    return NULL;
}

static int read_row(struct rd *r, const struct field_row *row, struct json v)
{
    void *at = (char *)r->req + row->offset;
    switch (row->type) {
    case FIELD_F64: return rd_f64(r, row->key, v, row->lo, row->hi, at);
    case FIELD_I64: return rd_i64(r, row->key, v, (int64_t)row->lo, (int64_t)row->hi, at);
    case FIELD_TRI: return rd_tri(r, row->key, v, at);
    case FIELD_BOOL: return rd_bool(r, row->key, v, at);
    case FIELD_STR: return rd_text(r, row->key, v, at);
    case FIELD_SPAN:
        if (!json_is(v, JSON_OBJECT))
            return rd_wrong_type(r, row->key, v, "an object");
        *(struct str *)at = json_span(v);
        return OK;
    case FIELD_HINT: return rd_keep(r, str_c(row->key), v, CHAT_FIELD_HINT);
    case FIELD_MEANING: return rd_keep(r, str_c(row->key), v, CHAT_FIELD_MEANING);
    case FIELD_CALL: {
        size_t mark = rd_key(r, str_c(row->key));
        int rc = row->call(r, v);
        rd_up(r, mark);
        return rc;
    }
    }
    return OK;
}

int rd_fields(struct rd *r, struct json obj, const struct field_row *rows, size_t n_rows)
{
    for (struct json_iter it = json_iter(obj); json_next(&it);) {
        if (json_is_none(it.value))
            continue;
        const struct field_row *row = find_row(it.key, rows, n_rows);
        int rc = row ? read_row(r, row, it.value) : rd_keep(r, it.key, it.value, CHAT_FIELD_UNKNOWN);
        if (rc != OK)
            return rc;
    }
    return OK;
}

int rd_begin(struct rd *r, struct arena *a, struct chat_error *e, struct str body, struct json *root)
{
    memset(r, 0, sizeof(*r));
    memset(e, 0, sizeof(*e));
    r->a = a;
    r->e = e;
    r->req = arena_new(a, struct chat_request);
    struct json_doc *doc = arena_new(a, struct json_doc);
    if (!r->req || !doc)
        return rd_nomem(r);
    struct err err = {0};
    int rc = json_parse(doc, a, body, &err);
    if (rc == ERR_NOMEM)
        return rd_nomem(r);
    if (rc != OK) {
        chat_error_set(e, CHAT_ERR_INVALID, "", "the request body is not valid JSON: %s", err.text);
        return rc;
    }
    *root = json_root(doc);
    if (!json_is(*root, JSON_OBJECT))
        return chat_error_set(e, CHAT_ERR_INVALID, "", "the request body must be a JSON object, not %s",
                              type_words(json_type(*root)));
    r->req->body = body;
    r->req->doc = doc;
    r->req->n = 1;
    return OK;
}

bool rd_data_url(struct str url, struct chat_media *m)
{
    if (!str_starts(url, S("data:")))
        return false;
    size_t comma = str_find_char(url, ',', 5);
    if (comma == STR_NONE)
        return false;
    struct str head = str_sub(url, 5, comma);
    if (!str_ends(head, S(";base64")))
        return false;
    head = str_sub(head, 0, head.n - 7);
    size_t semi = str_find_char(head, ';', 0); /* drop parameters such as ;charset= */
    m->mime = semi == STR_NONE ? head : str_sub(head, 0, semi);
    m->data = str_sub(url, comma + 1, url.n);
    return m->mime.n > 0;
}

int rd_cache_control(struct rd *r, struct json obj, enum chat_cache_mark *out)
{
    struct json v = json_get(obj, "cache_control");
    if (json_is_none(v))
        return OK;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, "cache_control", v, "an object");
    *out = json_text_is(json_get(v, "ttl"), "1h") ? CHAT_CACHE_1H : CHAT_CACHE_5M;
    return OK;
}

/* The latest call with this id before the result; NULL if there is none. */
static const struct chat_part *find_call(const struct chat_request *req, size_t before, struct str id)
{
    /* Results follow their calls closely; the bounds keep long histories linear. */
    size_t n_turns = 0;
    for (size_t m = before; m-- > 0 && n_turns < 8 && before - m <= 2 * CHAT_STREAM_TOOLS_MAX;) {
        const struct chat_message *msg = &req->messages[m];
        if (msg->role != CHAT_ASSISTANT)
            continue;
        n_turns++;
        for (size_t p = msg->n_parts; p-- > 0;)
            if (msg->parts[p].type == CHAT_PART_TOOL_CALL && str_eq(msg->parts[p].id, id))
                return &msg->parts[p];
    }
    return NULL;
}

void rd_name_results(struct chat_request *req)
{
    for (size_t m = 0; m < req->n_messages; m++)
        for (size_t p = 0; p < req->messages[m].n_parts; p++) {
            struct chat_part *part = &req->messages[m].parts[p];
            if (part->type != CHAT_PART_TOOL_RESULT || part->name.p)
                continue;
            const struct chat_part *call = find_call(req, m, part->id);
            if (call)
                part->name = call->name;
        }
}

bool effort_by_name(struct str s, enum chat_effort *out)
{
    for (int i = CHAT_EFFORT_NONE; i <= CHAT_EFFORT_MAX; i++)
        if (str_eq(s, str_c(chat_effort_name((enum chat_effort)i)))) {
            *out = (enum chat_effort)i;
            return true;
        }
    return false;
}
