/* validate.c - What an answer must follow, and what happens when it does not.  See validate.h. */
#include "gateway/validate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "gateway/validate_int.h"

#define STREAM_TEXT_MAX     ((size_t)64 << 20)
#define STREAM_ALWAYS_BYTES 16384             /* up to here a text is checked with every piece */
#define ARENA_MORE          ((size_t)4 << 20) /* beside what a request takes: the quoted answer, read again */
#define INLINE_SCHEMA_BYTES 16384             /* a request with more of schemas is prepared by the worker */
#define INLINE_SOURCE_BYTES 65536
#define BRIEF_SOURCE_BYTES  ((size_t)1 << 20) /* searched for citations in a brief check */
#define BRIEF_NS_MAX        NS_PER_MS
#define JUDGE_NS_MAX        (2 * NS_PER_S) /* for all parts of an answer together */

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
    v->begun = v->wants_json ? chat_begun(req) : str_of(NULL, 0);
    struct stream_check syntax;
    stream_check_init(&syntax, v->wants_object);
    if (stream_check_feed(&syntax, v->begun) < v->begun.n)
        return chat_error_set(
            e, CHAT_ERR_INVALID, "messages",
            "messages: the last one is the beginning of the answer, which %s asks to be JSON: %s", field,
            syntax.why);
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

static int prepare_citations(struct validation *v, const struct gw_request *r, struct chat_error *e)
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

static int prepare(struct validation *v)
{
    const struct gw_request *r = v->r;
    const struct config_validate *c = &r->model->validate;
    int rc = c->schema ? prepare_format(v, r->req, &v->refusal) : OK;
    if (rc == OK && c->tools && r->req->n_tools)
        rc = prepare_tools(v, r->req, &v->refusal);
    if (rc == OK && c->citations)
        rc = prepare_citations(v, r, &v->refusal);
    return rc == OK ? prepare_streams(v, r, &v->refusal) : rc;
}

static enum gw_step prepared(struct gw_request *r)
{
    struct validation *v = r->validation;
    bool has_refused = v->rc != OK;
    if (!has_refused && (v->wants_json || v->checks_tools || v->checks_citations))
        return GW_NEXT;
    if (has_refused)
        answer_error(r, &v->refusal);
    validate_free(v); /* or this request asks for nothing that could be checked */
    r->validation = NULL;
    return has_refused ? GW_END : GW_NEXT;
}

/* ---- what would hold the loop ---- */

static void hand_over(struct validation *v, void (*run)(struct work *), void (*done)(struct loop_task *))
{
    v->work = (struct work){.run = run, .loop = v->r->thread->loop, .done = {.run = done}};
    v->r->is_judging = true;
    worker_give(v->r->gw->worker, &v->work);
}

static struct validation *of_work(struct work *w)
{
    return (struct validation *)((char *)w - offsetof(struct validation, work));
}

static void run_prepare(struct work *w)
{
    struct validation *v = of_work(w);
    v->rc = prepare(v);
}

static void on_prepared(struct loop_task *task)
{
    struct gw_request *r = of_work((struct work *)((char *)task - offsetof(struct work, done)))->r;
    r->is_judging = false;
    gw_advance(r);
}

/* Patterns are programs: even short ones may take long to compile.  (A key may be written by escapes.) */
static size_t schema_weight(struct str schema)
{
    bool has_patterns = schema.n && (str_find(schema, S("pattern"), 0) != STR_NONE ||
                                     str_find(schema, S("\\u"), 0) != STR_NONE);
    return has_patterns ? INLINE_SCHEMA_BYTES : schema.n;
}

static bool is_heavy(const struct gw_request *r)
{
    const struct config_validate *c = &r->model->validate;
    size_t n = c->schema && r->req->format.type == CHAT_FORMAT_SCHEMA
                   ? schema_weight(r->req->format.schema_json)
                   : 0;
    for (size_t i = 0; c->tools && i < r->req->n_tools; i++)
        n += schema_weight(r->req->tools[i].schema_json);
    return n >= INLINE_SCHEMA_BYTES || (c->citations && r->req->body.n > INLINE_SOURCE_BYTES);
}

enum gw_step phase_validate(struct gw_request *r)
{
    const struct config_validate *c = &r->model->validate;
    if (r->validation) /* prepared by the worker */
        return r->is_left ? GW_END : prepared(r);
    if (r->req->op != CHAT_OP_GENERATE || !(c->schema || c->tools || c->citations))
        return GW_NEXT;
    struct validation *v = calloc(1, sizeof *v);
    if (!v) {
        struct chat_error e = {.retry_after_ms = -1};
        chat_error_set(&e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
        answer_error(r, &e);
        return GW_END;
    }
    arena_init(&v->arena, (size_t)(c->retries + 2) * (r->arena.max + ARENA_MORE));
    v->refusal.retry_after_ms = -1;
    v->asked_at = -1;
    v->r = r;
    r->validation = v;
    if (is_heavy(r)) {
        hand_over(v, run_prepare, on_prepared);
        return GW_WAIT;
    }
    v->rc = prepare(v);
    return prepared(r);
}

bool validate_begin(struct gw_request *r)
{
    struct validation *v = r->validation;
    for (int i = 0; v && i < v->n_streams; i++) {
        stream_check_init(&v->streams[i].syntax, v->wants_object);
        buf_clear(&v->streams[i].text);
        v->streams[i].n_checked = 0;
        stream_check_feed(&v->streams[i].syntax, v->begun);
        buf_str_add(&v->streams[i].text, v->begun);
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

void validate_set_brief(struct validation *v, bool is_brief)
{
    v->is_brief = is_brief;
    v->is_undecided = false;
    v->brief_bytes_left = BRIEF_SOURCE_BYTES;
    v->deadline_ns = clock_now_ns() + (is_brief ? BRIEF_NS_MAX : JUDGE_NS_MAX);
    if (v->answer.checker)
        schema_checker_set_brief(v->answer.checker, is_brief);
    for (size_t i = 0; i < v->n_tools; i++)
        if (v->tools[i].checker)
            schema_checker_set_brief(v->tools[i].checker, is_brief);
}

static bool judge(struct validation *v)
{
    bool ok = true;
    for (size_t i = 0; ok && i < v->answered->n_choices; i++)
        ok = validate_choice(v, v->r->req, &v->answered->choices[i]);
    return ok;
}

static void run_judge(struct work *w)
{
    struct validation *v = of_work(w);
    validate_set_brief(v, false);
    v->is_good = judge(v);
}

static void on_judged(struct loop_task *task)
{
    struct validation *v = of_work((struct work *)((char *)task - offsetof(struct work, done)));
    v->r->is_judging = false;
    if (!v->is_good)
        set_fault(v->r);
    gw_on_judged(v->r);
}

bool validate_whole(struct gw_request *r)
{
    struct validation *v = r->validation;
    v->answered = r->collector && !r->has_lost_collection ? chat_collected(r->collector) : NULL;
    if (!v->answered) {
        v->what = "schema";
        snprintf(v->why, sizeof v->why, "it is too large to be checked");
        set_fault(r);
        return true;
    }
    if (!r->is_withheld) /* else that was done at its finish */
        count_checked(r);
    validate_set_brief(v, true);
    bool is_good = judge(v);
    if (v->is_undecided) {
        hand_over(v, run_judge, on_judged);
        return false;
    }
    if (!is_good)
        set_fault(r);
    return true;
}

/* Can a text that follows the schema begin with the first n bytes of s->text?  `syntax` has seen them.
 * ERR_FORMAT: no; ERR_LIMIT: that takes longer than a brief check may. */
static int may_begin(struct validation *v, struct stream_text *s, const struct stream_check *syntax, size_t n,
                     struct schema_fault *fault)
{
    struct buf whole;
    size_t n_real = 0;
    bool is_number_open = false;
    int rc = OK;
    if (n > SCHEMA_BRIEF_BYTES_MAX)
        return ERR_LIMIT;
    buf_init(&whole, n + STREAM_DEPTH_MAX + 64);
    buf_add(&whole, s->text.p, n);
    if (stream_check_close(syntax, &whole, &n_real, &is_number_open))
        rc = schema_check_begun(v->answer.checker, buf_str(&whole), n_real, is_number_open, fault);
    buf_deinit(&whole);
    return rc;
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
        if (may_begin(v, s, &syntax, start + mid, &fault) == OK)
            good = mid;
        else
            bad = mid;
    }
    return good;
}

/* The rest of the stream is judged when it is whole. */
static void withhold(struct gw_request *r)
{
    if (!r->is_withheld)
        buf_clear(&r->out); /* what is in it was sent */
    r->is_withheld = true;
}

/* Long texts are not checked with every piece, or the work would grow with their square. */
static bool is_due(const struct stream_text *s)
{
    return s->text.n <= STREAM_ALWAYS_BYTES || s->text.n - s->n_checked > s->text.n / 32;
}

/* The text of a choice as it comes: can it be the beginning of a valid one still? */
static bool check_text(struct gw_request *r, const struct chat_event *ev, size_t *n_good)
{
    struct validation *v = r->validation;
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
    if (!v->answer.checker || r->is_withheld || !buf_str_add(&s->text, ev->text) || !is_due(s))
        return true;
    s->n_checked = s->text.n;
    validate_set_brief(v, true);
    int rc = may_begin(v, s, &s->syntax, s->text.n, &fault);
    if (rc == ERR_LIMIT)
        withhold(r);
    if (rc != ERR_FORMAT)
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
        ok = check_text(r, ev, n_good);
    if (ev->type == CHAT_EV_FINISH) {
        const struct chat_answer *a =
            r->collector && !r->has_lost_collection ? chat_collected(r->collector) : NULL;
        struct chat_choice c = {0};
        if (a && ev->choice >= 0 && (size_t)ev->choice < a->n_choices)
            c = a->choices[ev->choice];
        c.finish = ev->finish;
        count_checked(r);
        validate_set_brief(v, true);
        ok = validate_choice(v, r->req, &c);
        if (v->is_undecided) {
            withhold(r);
            return true;
        }
        *n_good = ok ? ev->text.n : 0; /* a finish is shown or not */
    }
    if (!ok)
        set_fault(r);
    return ok;
}

/* ---- what follows ---- */

static bool ask_again(struct gw_request *r)
{
    /* Behind what is begun no turn can be put. */
    struct chat_request *again = r->validation->begun.p ? NULL : validate_quote(r);
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
