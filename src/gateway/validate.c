/* validate.c - What an answer must follow, and what happens when it does not.  See validate.h. */
#include "gateway/validate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "gateway/validate_int.h"

#define STREAM_TEXT_MAX     ((size_t)64 << 20)
#define STREAM_ALWAYS_BYTES 16384             /* up to here a text is checked with every piece */
#define ARENA_MORE          ((size_t)4 << 20) /* beside what a request takes: the quoted answer, read again */

static struct metric failures_total =
    METRIC_COUNTER("sluice_validate_failures_total", "Answers that were not valid, by what was wrong.",
                   "model", "provider", "what");
static struct metric checked_total =
    METRIC_COUNTER("sluice_validate_checked_total", "Answers that were checked.", "model", "provider");

/* ---- preparing ---- */

static void free_schema(struct checked_schema *s)
{
    schema_checker_free(s->checker);
    schema_free(s->schema);
    *s = (struct checked_schema){0};
}

void validate_free(struct validation *v)
{
    if (!v)
        return;
    free_schema(&v->answer);
    for (size_t i = 0; i < v->n_tools; i++)
        free_schema(&v->tools[i]);
    free(v->tools);
    free(v->sources);
    for (int i = 0; i < v->n_streams; i++)
        buf_deinit(&v->streams[i].text);
    free(v->streams);
    arena_deinit(&v->arena);
    free(v);
}

static int read_schema(struct checked_schema *out, struct str text, const char *field, struct chat_error *e)
{
    struct err err = {0};
    int rc = schema_read(&out->schema, text, &err);
    if (rc == OK)
        rc = schema_checker_create(&out->checker, out->schema, &err);
    if (rc == OK)
        return OK;
    return chat_error_set(e, rc == ERR_NOMEM ? CHAT_ERR_UNAVAILABLE : CHAT_ERR_INVALID, field, "%s: %s",
                          field, err.text);
}

static int prepare_format(struct validation *v, const struct chat_request *req, struct chat_error *e)
{
    char field[128];
    snprintf(field, sizeof field, "%.*s",
             STR(req->format.field.p ? req->format.field : S("response_format")));
    v->wants_json = req->format.type == CHAT_FORMAT_JSON || req->format.type == CHAT_FORMAT_SCHEMA;
    v->wants_object = req->format.type == CHAT_FORMAT_JSON;
    if (req->format.type != CHAT_FORMAT_SCHEMA)
        return OK;
    return read_schema(&v->answer, req->format.schema_json, field, e);
}

static int prepare_tools(struct validation *v, const struct chat_request *req, struct chat_error *e)
{
    v->tools = calloc(req->n_tools, sizeof *v->tools);
    if (!v->tools)
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    v->n_tools = req->n_tools;
    v->checks_tools = true;
    for (size_t i = 0; i < req->n_tools; i++) {
        const struct chat_tool *t = &req->tools[i];
        char field[64];
        snprintf(field, sizeof field, "tools[%zu]", i);
        v->has_foreign_tools |= t->name.p == NULL;
        int rc = t->name.p && t->schema_json.p ? read_schema(&v->tools[i], t->schema_json, field, e) : OK;
        if (rc != OK)
            return rc;
    }
    return OK;
}

/* ---- sources ---- */

static bool add_text(struct buf *b, const struct chat_part *p)
{
    if (p->type == CHAT_PART_TEXT)
        buf_str_add(b, p->text);
    else if (p->media.text.p)
        buf_str_add(b, p->media.text);
    else if (p->media.data.p || p->media.url.p || p->media.file_id.p)
        return false; /* a PDF, or something behind an address */
    bool known = true;
    for (size_t i = 0; i < p->n_parts; i++) {
        if (i > 0)
            buf_putc(b, ' ');
        known = add_text(b, &p->parts[i]) && known;
    }
    return known;
}

static int add_source(struct validation *v, const struct chat_part *p, struct arena *a)
{
    struct source *more = realloc(v->sources, (v->n_sources + 1) * sizeof *more);
    if (!more)
        return ERR_NOMEM;
    v->sources = more;
    struct source *s = &v->sources[v->n_sources++];
    *s = (struct source){.is_search = p->type == CHAT_PART_SEARCH_RESULT, .name = p->source};
    struct buf text;
    buf_init(&text, (size_t)64 << 20);
    s->is_known = add_text(&text, p);
    s->folded = validate_fold(buf_str(&text), a);
    bool ok = buf_ok(&text) && s->folded.p;
    buf_deinit(&text);
    return ok ? OK : ERR_NOMEM;
}

static int find_sources(struct validation *v, const struct chat_part *parts, size_t n, struct arena *a)
{
    int rc = OK;
    for (size_t i = 0; i < n && rc == OK; i++) {
        const struct chat_part *p = &parts[i];
        if (p->type == CHAT_PART_DOCUMENT || p->type == CHAT_PART_SEARCH_RESULT)
            rc = add_source(v, p, a);
        else if (p->type == CHAT_PART_TOOL_RESULT) /* holds parts of its own, no further results */
            rc = find_sources(v, p->parts, p->n_parts, a);
    }
    return rc;
}

static int prepare_citations(struct validation *v, struct gw_request *r, struct chat_error *e)
{
    int rc = OK;
    for (size_t i = 0; i < r->req->n_messages && rc == OK; i++)
        rc = find_sources(v, r->req->messages[i].parts, r->req->messages[i].n_parts, &v->arena);
    v->checks_citations = v->n_sources > 0;
    if (rc == OK)
        return OK;
    return chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                          "the request needs more memory than one request may have");
}

/* A stream that is checked as it goes has a checker for each of its choices. */
static int prepare_streams(struct validation *v, const struct gw_request *r, struct chat_error *e)
{
    if (!r->req->is_stream || r->model->validate.buffer || !v->wants_json)
        return OK;
    v->n_streams = (int)r->req->n;
    v->streams = calloc((size_t)v->n_streams, sizeof *v->streams);
    if (!v->streams)
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    for (int i = 0; i < v->n_streams; i++)
        buf_init(&v->streams[i].text, STREAM_TEXT_MAX);
    return OK;
}

enum gw_step phase_validate(struct gw_request *r)
{
    const struct config_validate *c = &r->model->validate;
    if (r->req->op != CHAT_OP_GENERATE || !(c->schema || c->tools || c->citations))
        return GW_NEXT;
    struct validation *v = calloc(1, sizeof *v);
    struct chat_error e = {.retry_after_ms = -1};
    int rc = v ? OK : chat_error_set(&e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    if (v) {
        arena_init(&v->arena, (size_t)(c->retries + 2) * (r->arena.max + ARENA_MORE));
        v->asked_at = -1;
    }
    if (rc == OK && c->schema)
        rc = prepare_format(v, r->req, &e);
    if (rc == OK && c->tools && r->req->n_tools)
        rc = prepare_tools(v, r->req, &e);
    if (rc == OK && c->citations)
        rc = prepare_citations(v, r, &e);
    if (rc == OK)
        rc = prepare_streams(v, r, &e);
    if (rc != OK) {
        validate_free(v);
        answer_error(r, &e);
        return GW_END;
    }
    if (v->wants_json || v->checks_tools || v->checks_citations)
        r->validation = v;
    else
        validate_free(v); /* this request asks for nothing that could be checked */
    return GW_NEXT;
}

bool validate_begin(struct gw_request *r)
{
    struct validation *v = r->validation;
    for (int i = 0; v && i < v->n_streams; i++) {
        stream_check_init(&v->streams[i].syntax, v->wants_object);
        buf_clear(&v->streams[i].text);
        v->streams[i].n_checked = 0;
    }
    return v && r->req->is_stream && r->model->validate.buffer;
}

/* ---- judging ---- */

static void set_fault(struct gw_request *r)
{
    struct validation *v = r->validation;
    char model[128], provider[64];
    snprintf(model, sizeof model, "%.*s", STR(r->target->model));
    snprintf(provider, sizeof provider, "%.*s", STR(r->target->provider));
    metric_add(metric_cell(&failures_total, model, provider, v->what), 1);
    r->has_error = true;
    r->is_invalid = true;
    r->error = (struct chat_error){0};
    chat_error_set(&r->error, CHAT_ERR_BAD_ANSWER, NULL, "the answer is not valid: %s", v->why);
    r->error.retry_after_ms = -1;
}

static void count_checked(struct gw_request *r)
{
    char model[128], provider[64];
    snprintf(model, sizeof model, "%.*s", STR(r->target->model));
    snprintf(provider, sizeof provider, "%.*s", STR(r->target->provider));
    metric_add(metric_cell(&checked_total, model, provider), 1);
}

bool validate_whole(struct gw_request *r)
{
    struct validation *v = r->validation;
    const struct chat_answer *a =
        r->collector && !r->has_lost_collection ? chat_collected(r->collector) : NULL;
    if (!a) {
        v->what = "schema";
        snprintf(v->why, sizeof v->why, "it is too large to be checked");
        set_fault(r);
        return false;
    }
    count_checked(r);
    v->answered = a;
    for (size_t i = 0; i < a->n_choices; i++)
        if (!validate_choice(v, r->req, &a->choices[i])) {
            set_fault(r);
            return false;
        }
    return true;
}

/* Can a text that follows the schema begin with the first n bytes of s->text?  `syntax` has seen them. */
static bool may_begin(struct validation *v, struct stream_text *s, const struct stream_check *syntax,
                      size_t n, struct schema_fault *fault)
{
    struct buf whole;
    size_t n_real = 0;
    bool is_number_open = false;
    buf_init(&whole, n + STREAM_DEPTH_MAX + 64);
    buf_add(&whole, s->text.p, n);
    bool ok =
        !stream_check_close(syntax, &whole, &n_real, &is_number_open) ||
        schema_check_begun(v->answer.checker, buf_str(&whole), n_real, is_number_open, fault) != ERR_FORMAT;
    buf_deinit(&whole);
    return ok;
}

/* The new piece of the text makes it wrong: how much of the piece is good still.  If a piece is wrong,
 * every longer one is. */
static size_t first_wrong(struct validation *v, struct stream_text *s, const struct stream_check *before,
                          struct str piece)
{
    struct schema_fault fault;
    size_t start = s->text.n - piece.n, good = 0, bad = piece.n;
    while (bad - good > 1) {
        size_t mid = good + (bad - good) / 2;
        struct stream_check syntax = *before;
        stream_check_feed(&syntax, str_sub(piece, 0, mid));
        if (may_begin(v, s, &syntax, start + mid, &fault))
            good = mid;
        else
            bad = mid;
    }
    return good;
}

/* Long texts are not checked with every piece, or the work would grow with their square. */
static bool is_due(const struct stream_text *s)
{
    return s->text.n <= STREAM_ALWAYS_BYTES || s->text.n - s->n_checked > s->text.n / 32;
}

/* The text of a choice as it comes: can it be the beginning of a valid one still? */
static bool check_text(struct validation *v, const struct chat_event *ev, size_t *n_good)
{
    if (ev->choice < 0 || ev->choice >= v->n_streams)
        return true;
    struct stream_text *s = &v->streams[ev->choice];
    struct stream_check before = s->syntax;
    struct schema_fault fault = {0};
    *n_good = stream_check_feed(&s->syntax, ev->text);
    if (*n_good < ev->text.n) {
        v->what = "schema";
        snprintf(v->why, sizeof v->why, "the answer is no JSON at byte %llu: %s",
                 (unsigned long long)s->syntax.n_bytes, s->syntax.why);
        return false;
    }
    if (!v->answer.checker || !buf_str_add(&s->text, ev->text) || !is_due(s))
        return true;
    s->n_checked = s->text.n;
    if (may_begin(v, s, &s->syntax, s->text.n, &fault))
        return true;
    *n_good = first_wrong(v, s, &before, ev->text);
    v->what = "schema";
    snprintf(v->why, sizeof v->why, "the answer at byte %zu: %s (schema %s)",
             s->text.n - ev->text.n + *n_good, fault.text, fault.schema);
    return false;
}

bool validate_event(struct gw_request *r, const struct chat_event *ev, size_t *n_good)
{
    struct validation *v = r->validation;
    bool ok = true;
    v->answered = NULL;
    *n_good = ev->text.n;
    if (ev->type == CHAT_EV_TEXT && v->wants_json)
        ok = check_text(v, ev, n_good);
    if (ev->type == CHAT_EV_FINISH) {
        const struct chat_answer *a =
            r->collector && !r->has_lost_collection ? chat_collected(r->collector) : NULL;
        struct chat_choice c = {0};
        if (a && ev->choice >= 0 && (size_t)ev->choice < a->n_choices)
            c = a->choices[ev->choice];
        c.finish = ev->finish;
        count_checked(r);
        ok = validate_choice(v, r->req, &c);
        *n_good = ok ? ev->text.n : 0; /* a finish is shown or not */
    }
    if (!ok)
        set_fault(r);
    return ok;
}

/* ---- what follows ---- */

static bool ask_again(struct gw_request *r)
{
    struct chat_request *again = validate_quote(r);
    if (!again)
        return false;
    r->asked = again;
    r->validation->asked_at = r->at_route;
    return true;
}

enum validate_next validate_next(struct gw_request *r)
{
    struct validation *v = r->validation;
    const struct config_validate *c = &r->model->validate;
    bool has_next = r->at_route + 1 < r->n_route;
    log_info("validate", "%s %.*s/%.*s: %s", r->id, STR(r->target->provider), STR(r->target->model), v->why);
    if (c->on_fail == ON_FAIL_ERROR || v->n_again >= c->retries)
        return VALIDATE_GIVE_UP;
    v->n_again++;
    /* Once with the fault quoted, then somebody else; where nobody else is left, once more. */
    bool first_here = v->asked_at != r->at_route;
    if (c->on_fail == ON_FAIL_RETRY && (first_here || !has_next) && ask_again(r))
        return VALIDATE_ASK_AGAIN;
    r->asked = r->req;
    return has_next ? VALIDATE_NEXT_TARGET : VALIDATE_GIVE_UP;
}
