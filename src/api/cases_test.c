/* cases_test.c - Recorded exchanges: tests/cases/api/NAME.txt.
 *
 * A file is a list of sections, each a line ">> VERB ARGS" and the lines below it:
 *   >> from DIALECT [PATH?QUERY]       a client's request
 *   >> rejected                        it is refused in these words (param in brackets)
 *   >> request                         its canonical form
 *   >> to DIALECT MODEL [quirks=N cap=N auto]   what goes to a provider (its pass-through form
 *                                      when the line says `pass`), path first, lacks last
 *   >> answer DIALECT  / >> stream DIALECT      what came back (a body / SSE)
 *   >> events                          canonical events of it
 *   >> client                          the body, or >> client-stream the bytes, for the client
 *   >> error DIALECT STATUS [retry-after=V]     an error that came back
 *   >> class                           how it is understood
 *   >> client-error                    how the client sees it
 * Sections that state results are compared; SLUICE_CASES_WRITE=1 writes them instead, to be
 * read before they are committed.  How bytes become SSE events is another folder's test. */
#include <dirent.h>
#include <stdlib.h>

#include "api/dialect.h"
#include "base/json.h"
#include "base/test.h"

enum { BYTES = 64 << 20 };

struct scene {
    struct arena a;
    struct chat_request *req;
    bool is_rejected;
    struct chat_error error; /* of the request or of the provider */
    const struct dialect *client, *provider;
    struct str answer;
    bool is_stream;
    struct buf *result; /* of the section being checked */
};

static const struct dialect_reply reply = {
    .request_id = {"req_7", 5}, .model = {"asked", 5}, .created_s = 1700000000, .input_estimate = 11};

/* ---- what happens in a section ---- */

static struct str word(struct str *rest)
{
    struct str w = {0};
    while (str_split(rest, ' ', &w))
        if (w.n)
            return w;
    return S("");
}

static void read_client(struct scene *x, struct str args, struct str body)
{
    struct dialect_in in = {.body = body};
    struct str name = word(&args), path = word(&args), query = S("");
    size_t mark = str_find_char(path, '?', 0);
    if (mark != STR_NONE) {
        query = str_sub(path, mark + 1, path.n);
        path = str_sub(path, 0, mark);
    }
    in.path = path;
    in.query = query;
    x->client = dialect_find(name);
    if (!CHECK(x->client != NULL))
        return;
    x->is_rejected = x->client->read_request(&in, &x->a, &x->req, &x->error) != OK;
}

static void write_provider(struct scene *x, struct str args)
{
    const struct dialect *d = dialect_find(word(&args));
    struct dialect_target t = {.model = word(&args)};
    struct dialect_out out = {0};
    struct buf body;
    bool pass = false;
    struct str option;
    buf_init(&body, BYTES);
    out.body = &body;
    while ((option = word(&args)).n) {
        int64_t v = 0;
        if (str_starts(option, S("quirks=")) && str_to_i64(str_sub(option, 7, option.n), &v))
            t.quirks = (uint32_t)v;
        else if (str_starts(option, S("cap=")) && str_to_i64(str_sub(option, 4, option.n), &v))
            t.max_tokens_cap = v;
        else if (str_eq(option, S("auto")))
            t.is_auto_cache = true;
        else if (str_eq(option, S("pass")))
            pass = true;
        else
            test_fail(__FILE__, __LINE__, "unknown option %.*s", STR(option));
    }
    CHECK(d && (pass ? d->pass_request : d->write_request)(x->req, &t, &x->a, &out) == OK);
    buf_printf(x->result, "%s\n", out.path);
    for (size_t i = 0; i < out.n_headers; i++)
        buf_printf(x->result, "%.*s: %.*s\n", STR(out.headers[i].name), STR(out.headers[i].value));
    if (out.lacks.n_refused == 0) {
        struct json_doc doc;
        struct err err;
        if (json_parse(&doc, &x->a, buf_str(&body), &err) != OK)
            test_fail(__FILE__, __LINE__, "the body is not JSON: %s", err.text);
        buf_str_add(x->result, buf_str(&body));
        buf_putc(x->result, '\n');
    }
    for (size_t i = 0; i < out.lacks.n; i++)
        buf_printf(x->result, "%s %s\n", out.lacks.items[i].is_hint ? "drops" : "REFUSES",
                   out.lacks.items[i].field);
    buf_deinit(&body);
}

/* SSE into (name, data) events; lines end with \n in case files. */
static int feed_stream(struct scene *x, struct dialect_reader *r, const struct chat_sink *sink)
{
    struct str rest = x->answer, line, name = S("");
    struct buf data;
    bool has_data = false;
    int rc = OK;
    buf_init(&data, BYTES);
    while (rc == OK && str_split(&rest, '\n', &line)) {
        if (str_starts(line, S("event: "))) {
            name = str_sub(line, 7, line.n);
        } else if (str_starts(line, S("data: "))) {
            if (has_data)
                buf_putc(&data, '\n');
            buf_str_add(&data, str_sub(line, 6, line.n));
            has_data = true;
        } else if (line.n == 0 && has_data) {
            rc = x->provider->reader_event(r, name, buf_str(&data), sink);
            buf_clear(&data);
            has_data = false;
            name = S("");
        }
    }
    if (rc == OK && has_data)
        rc = x->provider->reader_event(r, name, buf_str(&data), sink);
    buf_deinit(&data);
    return rc == OK ? x->provider->reader_end(r, sink) : rc;
}

static int play(struct scene *x, const struct chat_sink *sink)
{
    if (!x->is_stream)
        return x->provider->read_answer(x->req, x->answer, &x->a, sink);
    struct dialect_reader *r = x->provider->reader_new(x->req);
    int rc = feed_stream(x, r, sink);
    x->provider->reader_free(r);
    return rc;
}

static int on_dump(void *ctx, const struct chat_event *ev)
{
    chat_dump_event(ev, ctx);
    return OK;
}

struct relay {
    const struct dialect *d;
    struct dialect_writer *w;
    struct buf *out;
};

static int on_relay(void *ctx, const struct chat_event *ev)
{
    struct relay *x = ctx;
    return x->d->writer_event(x->w, ev, x->out);
}

static void write_stream(struct scene *x)
{
    struct relay relay = {x->client, x->client->writer_new(x->req, &reply), x->result};
    CHECK_INT(play(x, &(struct chat_sink){on_relay, &relay}), OK);
    CHECK_INT(x->client->writer_end(relay.w, x->result), OK);
    x->client->writer_free(relay.w);
}

static void write_whole(struct scene *x)
{
    struct chat_collector *c = chat_collector_new(BYTES);
    struct chat_error e = {0};
    CHECK_INT(play(x, &(struct chat_sink){chat_collect, c}), OK);
    const struct chat_answer *answer = chat_collected(c);
    if (answer->has_error)
        x->client->write_error(&answer->error, reply.request_id, x->result);
    else if (x->client->write_answer(x->req, &reply, answer, x->result, &e) != OK)
        buf_printf(x->result, "refused: %s", e.message);
    buf_putc(x->result, '\n');
    chat_collector_free(c);
}

static void read_provider_error(struct scene *x, struct str args, struct str body)
{
    struct str option;
    int64_t status = 0;
    struct chat_header headers[8];
    size_t n = 0;
    x->provider = dialect_find(word(&args));
    CHECK(str_to_i64(word(&args), &status));
    while ((option = word(&args)).n && n < 8) {
        size_t eq = str_find_char(option, '=', 0);
        headers[n++] = (struct chat_header){str_sub(option, 0, eq), str_sub(option, eq + 1, option.n)};
    }
    x->provider->read_error((int)status, headers, n, body, 1700000000000, &x->error);
}

static void show_class(struct scene *x)
{
    static const char *const kinds[] = {
        "none",       "invalid",    "context_length", "content_filter", "too_large",  "auth",
        "billing",    "permission", "not_found",      "conflict",       "rate_limit", "quota",
        "overloaded", "server",     "bad_answer",     "unavailable",    "timeout",    "cancelled"};
    buf_printf(x->result, "%s status=%d%s", kinds[x->error.kind], x->error.status,
               chat_error_is_retryable(x->error.kind) ? " retryable" : "");
    if (x->error.retry_after_ms >= 0)
        buf_printf(x->result, " after=%lldms", (long long)x->error.retry_after_ms);
    if (x->error.param[0])
        buf_printf(x->result, " param=%s", x->error.param);
    buf_printf(x->result, " code=%s: %s\n", x->error.code, x->error.message);
}

/* Returns false for a verb that nobody knows.  *is_result: the body is an expectation. */
static bool run_section(struct scene *x, struct str head, struct str body, bool *is_result)
{
    struct str args = head, verb = word(&args);
    *is_result = true;
    if (str_eq(verb, S("from")))
        *is_result = false, read_client(x, args, body);
    else if (str_eq(verb, S("answer")) || str_eq(verb, S("stream"))) {
        *is_result = false;
        x->is_stream = str_eq(verb, S("stream"));
        x->provider = dialect_find(word(&args));
        x->answer = body;
    } else if (str_eq(verb, S("error")))
        *is_result = false, read_provider_error(x, args, body);
    else if (str_eq(verb, S("rejected")))
        buf_printf(x->result, "%s [%s]\n", x->is_rejected ? x->error.message : "accepted", x->error.param);
    else if (x->is_rejected)
        test_fail(__FILE__, __LINE__, "the request was refused: %s", x->error.message);
    else if (str_eq(verb, S("request")))
        chat_dump_request(x->req, x->result);
    else if (str_eq(verb, S("to")))
        write_provider(x, args);
    else if (str_eq(verb, S("events")))
        CHECK_INT(play(x, &(struct chat_sink){on_dump, x->result}), OK);
    else if (str_eq(verb, S("client")))
        write_whole(x);
    else if (str_eq(verb, S("client-stream")))
        write_stream(x);
    else if (str_eq(verb, S("class")))
        show_class(x);
    else if (str_eq(verb, S("client-error"))) {
        buf_printf(x->result, "%d ", x->client->error_status(&x->error));
        x->client->write_error(&x->error, reply.request_id, x->result);
        buf_putc(x->result, '\n');
    } else
        return false;
    return true;
}

/* ---- the file ---- */

/* Section of `text` from *at: its head and body; false at the end. */
static bool next_section(struct str text, size_t *at, struct str *head, struct str *body)
{
    if (*at >= text.n)
        return false;
    size_t line_end = str_find_char(text, '\n', *at);
    size_t body_at = line_end == STR_NONE ? text.n : line_end + 1;
    *head = str_sub(text, *at + 3, body_at ? body_at - 1 : 0);
    size_t end = str_find(text, S("\n>> "), body_at ? body_at - 1 : 0);
    *at = end == STR_NONE ? text.n : end + 1;
    *body = str_sub(text, body_at, *at);
    return true;
}

/* What a body says: without the newline at its end.  CR is invisible, so it stands as \r. */
static void show(struct buf *out, struct str s)
{
    while (s.n && s.p[s.n - 1] == '\n')
        s.n--;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\r')
            buf_puts(out, "\\r");
        else
            buf_putc(out, s.p[i]);
}

static void run_file(const char *path, bool write)
{
    struct scene x = {0};
    struct buf result, shown, wanted, rewritten;
    size_t n = 0, at;
    char *data = test_read_file(path, &n);
    if (!data)
        return;
    struct str text = str_of(data, n), head, body;
    arena_init(&x.a, BYTES);
    buf_init(&result, BYTES);
    buf_init(&shown, BYTES);
    buf_init(&wanted, BYTES);
    buf_init(&rewritten, BYTES);
    x.result = &result;
    at = str_starts(text, S(">> ")) ? 0 : str_find(text, S("\n>> "), 0) + 1;
    buf_add(&rewritten, text.p, at);
    while (next_section(text, &at, &head, &body)) {
        bool is_result;
        buf_clear(&result);
        buf_clear(&shown);
        buf_clear(&wanted);
        while (body.n && body.p[body.n - 1] == '\n')
            body.n--;
        if (!run_section(&x, head, body, &is_result))
            test_fail(__FILE__, __LINE__, "%s: unknown section %.*s", path, STR(head));
        show(&shown, is_result ? buf_str(&result) : body);
        show(&wanted, body);
        buf_printf(&rewritten, ">> %.*s\n%.*s\n\n", STR(head), STR(buf_str(&shown)));
        if (!write && is_result && !test_check_str(__FILE__, __LINE__, buf_str(&shown), buf_str(&wanted)))
            printf("  in %s, section: %.*s\n", path, STR(head));
    }
    if (write) {
        FILE *f = fopen(path, "w");
        if (f) {
            rewritten.n -= rewritten.n ? 1 : 0;
            fwrite(rewritten.p, 1, rewritten.n, f);
            fclose(f);
        }
    }
    buf_deinit(&result);
    buf_deinit(&shown);
    buf_deinit(&wanted);
    buf_deinit(&rewritten);
    arena_deinit(&x.a);
    free(data);
}

TEST(recorded_exchanges_come_out_as_written)
{
    struct dirent **list = NULL;
    int n = scandir("tests/cases/api", &list, NULL, alphasort), n_run = 0;
    bool write = getenv("SLUICE_CASES_WRITE") != NULL;
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof(path), "tests/cases/api/%s", list[i]->d_name);
        if (str_ends(str_c(path), S(".txt"))) {
            run_file(path, write);
            n_run++;
        }
        free(list[i]);
    }
    free(list);
    CHECK(n_run >= 10);
}
