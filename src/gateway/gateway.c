/* gateway.c - The life of a request.
 *
 * Start reading at the table of phases.  Each phase does one thing for a request and says what
 * comes next: the following phase now (GW_NEXT), later when somebody calls gw_advance (GW_WAIT),
 * or the end (GW_END).  Nothing is shown to the client before the first real content, so that
 * until then another target can take over without the client noticing. */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rand.h"
#include "gateway/account.h"
#include "gateway/auth.h"
#include "gateway/cache_disk.h"
#include "gateway/cache_near.h"
#include "gateway/cache_phase.h"
#include "gateway/observe.h"
#include "gateway/resume.h"
#include "gateway/validate.h"
#include "net/worker.h"

#define REQUEST_ARENA_FACTOR 6                  /* parsed forms are larger than the body they came from */
#define REQUEST_ARENA_MIN    ((size_t)16 << 20) /* short texts and numbers in lists: more than six times */
#define LOG_BYTES_MAX        ((size_t)1 << 20)  /* of one turn */
#define ANSWER_BYTES_MAX     ((size_t)64 << 20)
#define VECTORS_BYTES_MAX    ((size_t)512 << 20) /* an answer of ANSWER_BYTES_MAX and where its numbers are */

static enum gw_step phase_read(struct gw_request *r);
static enum gw_step phase_deliver(struct gw_request *r);
static enum gw_step phase_finish(struct gw_request *r);

static const struct {
    const char *name;
    enum gw_step (*run)(struct gw_request *r);
} phases[] = {
    {"auth", phase_auth},         /* the key, and who holds it */
    {"read", phase_read},         /* body -> chat_request */
    {"model", phase_model},       /* name -> configured model, and may this key use it */
    {"validate", phase_validate}, /* what its answer must follow, where answers are checked */
    {"admit", phase_admit},       /* rates, concurrency, budgets: reserved as a whole or refused */
    {"cache", phase_cache},       /* an equal request may have been answered, or be under way */
    {"route", phase_route},       /* its targets in the order in which they are tried */
    {"open", phase_open},         /* the journal knows of it before anybody upstream does */
    {"near", phase_near},         /* a request that is nearly equal may have been answered */
    {"attempt", phase_attempt},   /* ask them, one after the other */
    {"settle", phase_settle},     /* what it used is in the journal before the last byte is out */
    {"deliver", phase_deliver},   /* the end of the answer, or the error */
    {"finish", phase_finish},     /* log, free */
};
enum {
    PHASE_FINISH = sizeof phases / sizeof *phases - 1,
    PHASE_SETTLE = PHASE_FINISH - 2,
};

/* ---- life ---- */

/* The authorities are read only where a provider needs them: without, an idle process is smaller
 * by a third. */
static int load_authorities(struct gateway *gw, const struct config *c, struct err *err)
{
    for (int i = 0; i < c->n_providers; i++) {
        const struct provider_kind *kind = provider_kind_find(c->providers[i].kind);
        struct str base = c->providers[i].base_url;
        if (!base.n && kind)
            base = str_c(kind->base_url);
        if (str_starts(base, S("https:")))
            return tls_client_load(gw->tls, err);
    }
    return OK;
}

struct gateway *gateway_create(const struct gateway_options *options, struct err *err)
{
    struct gateway *gw = calloc(1, sizeof *gw);
    if (!gw) {
        fail(err, ERR_NOMEM, "no memory for the gateway");
        return NULL;
    }
    pthread_mutex_init(&gw->config_lock, NULL);
    gw->config = config_hold(options->config);
    gw->local = options->local;
    gw->proxies = options->proxies;
    gw->health = health_table_create();
    gw->tls = tls_client_create(NULL, err);
    gw->cache = cache_create();
    gw->drift = drift_table_create();
    gw->cache_disk = cache_disk_create();
    gw->worker = worker_create();
    gw->scanner = worker_create();
    bool has_memory = gw->health && gw->cache && gw->drift && gw->cache_disk && gw->worker && gw->scanner;
    bool ok = gw->tls && has_memory;
    if (!has_memory)
        fail(err, ERR_NOMEM, "no memory for the gateway");
    ok = ok && load_authorities(gw, options->config, err) == OK;
    if (ok && options->config->prices_file.n) {
        char *path = str_dup_z(options->config->prices_file);
        gw->prices = path ? price_table_load(path, err) : NULL;
        free(path);
        ok = gw->prices != NULL;
    }
    if (ok && (gw->ledger = ledger_create(options->config, options->n_threads, err)))
        return gw;
    gateway_free(gw);
    return NULL;
}

void gateway_free(struct gateway *gw)
{
    if (!gw)
        return;
    ledger_free(gw->ledger);
    worker_free(gw->worker);
    worker_free(gw->scanner);
    cache_disk_free(gw->cache_disk);
    cache_free(gw->cache);
    drift_table_free(gw->drift);
    price_table_free(gw->prices);
    config_drop(gw->config);
    health_table_free(gw->health);
    tls_client_free(gw->tls);
    pthread_mutex_destroy(&gw->config_lock);
    free(gw);
}

struct config *gateway_config(struct gateway *gw)
{
    pthread_mutex_lock(&gw->config_lock);
    struct config *c = config_hold(gw->config);
    pthread_mutex_unlock(&gw->config_lock);
    return c;
}

void gateway_set_config(struct gateway *gw, struct config *config)
{
    struct err err = {0};
    if (load_authorities(gw, config, &err) != OK)
        log_error("gateway", "%s", err.text);
    config_hold(config);
    pthread_mutex_lock(&gw->config_lock);
    struct config *old = gw->config;
    gw->config = config;
    pthread_mutex_unlock(&gw->config_lock);
    config_drop(old);
}

const char *gateway_not_ready(struct gateway *gw)
{
    if (ledger_is_broken(gw->ledger))
        return "the ledger cannot be written";
    return gw->is_draining ? "draining" : NULL;
}

struct ledger *gateway_ledger(struct gateway *gw)
{
    return gw->ledger;
}

void gateway_set_draining(struct gateway *gw)
{
    gw->is_draining = true;
}

struct gw_thread *gw_thread_create(struct gateway *gw, struct loop *loop, int idx, struct err *err)
{
    struct gw_thread *t = calloc(1, sizeof *t);
    if (!t) {
        fail(err, ERR_NOMEM, "no memory for a gateway thread");
        return NULL;
    }
    t->gw = gw;
    t->loop = loop;
    t->idx = idx;
    rand_secure(&t->next_id, sizeof t->next_id);
    t->rng = rng_seeded(t->next_id);
    struct http_client_options o = {.tls = gw->tls, .proxies = gw->proxies};
    t->client = http_client_create(loop, &o, err);
    if (!t->client) {
        free(t);
        return NULL;
    }
    t->journal = ledger_journal(gw->ledger, idx);
    t->flush.run = account_flush;
    t->log_flush.run = observe_flush;
    buf_init(&t->log, LOG_BYTES_MAX);
    timer_init(&t->checkpoint, loop, account_checkpoint);
    timer_start(&t->checkpoint, 1000);
    return t;
}

void gw_thread_free(struct gw_thread *t)
{
    if (!t)
        return;
    assert(t->n_running == 0 && t->n_looking == 0);
    timer_stop(&t->checkpoint);
    loop_withdraw(t->loop, LOOP_FIRST, &t->flush);
    loop_withdraw(t->loop, LOOP_FLUSH, &t->log_flush);
    observe_flush(&t->log_flush);
    buf_deinit(&t->log);
    http_client_free(t->client);
    free(t);
}

int gw_thread_n_running(const struct gw_thread *t)
{
    return t->n_running + t->n_looking; /* both come back to its loop */
}

/* Milliseconds, then 52 random bits: ids ascend, so that the ledger's tables, which are sorted by
 * them, grow at their end. */
static void make_id(struct gw_thread *t, char id[REQUEST_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t a = rand_at(t->next_id, (uint64_t)t->idx, 1), b = rand_at(t->next_id, (uint64_t)t->idx, 2);
    t->next_id++;
    a = (uint64_t)(clock_wall_ns() / NS_PER_MS) << 20 | a >> 44;
    memcpy(id, "req_", 4);
    for (int i = 0; i < 16; i++)
        id[4 + i] = digits[a >> (60 - 4 * i) & 15];
    for (int i = 0; i < 8; i++)
        id[20 + i] = digits[b >> (60 - 4 * i) & 15];
    id[28] = 0;
}

static void on_client_gone(struct request *http)
{
    struct gw_request *r = http->user;
    r->http = NULL;
    r->outcome = GW_CANCELLED;
    r->status = 499;
    if (cache_phase_leave(r))
        return;
    if (r->is_judging) {
        r->is_left = true;
        return; /* its answer is being looked at; who does that goes on */
    }
    attempt_cancel(r);
    if (r->is_flushing) {
        if (r->is_settled)
            return; /* its record is on the way; who wrote it goes on */
        account_forget(r);
    }
    r->phase = r->is_open && !r->is_settled ? PHASE_SETTLE : PHASE_FINISH;
    gw_advance(r);
}

static void on_client_drained(struct request *http)
{
    struct gw_request *r = http->user;
    if (r->is_paused && r->upstream) {
        r->is_paused = false;
        r->upstream->resume(r);
    }
}

/* Takes `config`. */
static struct gw_request *new_request(struct gw_thread *t, struct config *config, size_t body_bytes)
{
    struct gw_request *r = calloc(1, sizeof *r);
    if (!r) {
        config_drop(config);
        return NULL;
    }
    r->thread = t;
    r->gw = t->gw;
    r->config = config;
    size_t arena_max = body_bytes * REQUEST_ARENA_FACTOR;
    arena_init(&r->arena, arena_max < REQUEST_ARENA_MIN ? REQUEST_ARENA_MIN : arena_max);
    arena_init(&r->vectors, VECTORS_BYTES_MAX);
    buf_init(&r->out, ANSWER_BYTES_MAX);
    buf_init(&r->dropped, 4096);
    buf_init(&r->raw, ANSWER_BYTES_MAX);
    r->retry_after_ms = -1;
    r->n_counted = -1;
    r->began_ms = loop_now_ms(t->loop);
    timer_init(&r->heartbeat, t->loop, answer_heartbeat);
    timer_init(&r->wait, t->loop, attempt_waited);
    timer_init(&r->budget, t->loop, attempt_time_is_over);
    t->n_running++;
    r->next_running = t->running;
    r->prev_running = &t->running;
    if (t->running)
        t->running->prev_running = &r->next_running;
    t->running = r;
    return r;
}

static void free_request(struct gw_request *r)
{
    assert(!r->upstream);
    timer_stop(&r->heartbeat);
    timer_stop(&r->wait);
    timer_stop(&r->budget);
    if (r->writer)
        r->client->writer_free(r->writer);
    chat_collector_free(r->collector);
    validate_free(r->validation);
    resume_free(r);
    buf_deinit(&r->out);
    buf_deinit(&r->dropped);
    buf_deinit(&r->raw);
    key_release(ledger_keys(r->gw->ledger), r->key);
    config_drop(r->config);
    arena_deinit(&r->vectors);
    arena_deinit(&r->arena);
    r->thread->n_running--;
    *r->prev_running = r->next_running;
    if (r->next_running)
        r->next_running->prev_running = r->prev_running;
    free(r);
}

void gw_thread_handle(struct gw_thread *t, struct request *http)
{
    const struct dialect *d = dialect_of_path(http->head->path);
    struct gw_request *r = new_request(t, gateway_config(t->gw), http->body.n);
    if (!r) {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
        answer_refusal(http, d, "", &e);
        return;
    }
    make_id(t, r->id);
    r->http = http;
    http->user = r;
    http->on_closed = on_client_gone;
    http->on_drain = on_client_drained;
    r->client = d;
    gw_advance(r);
}

/* ---- requests of our own ---- */

struct gw_request *gw_child_new(struct gw_request *parent)
{
    struct gw_request *r = new_request(parent->thread, config_hold(parent->config), 0);
    if (!r)
        return NULL;
    r->parent = parent;
    r->key = parent->key; /* borrowed: its regions and its priority hold */
    memcpy(r->id, parent->id, sizeof r->id);
    return r;
}

void gw_child_begin(struct gw_request *child)
{
    while (phases[child->phase].run != phase_route)
        child->phase++;
    gw_advance(child);
}

void gw_child_free(struct gw_request *child)
{
    child->key = NULL;
    free_request(child);
}

void gw_advance(struct gw_request *r)
{
    for (;;) {
        bool last = r->phase == PHASE_FINISH;
        enum gw_step step = phases[r->phase].run(r);
        if (last || step == GW_WAIT)
            return;
        /* What was opened must be settled, however it ends. */
        r->phase = step != GW_END ? r->phase + 1 : r->is_open && !r->is_settled ? PHASE_SETTLE : PHASE_FINISH;
    }
}

/* ---- phase read ---- */

static enum gw_step no_memory(struct gw_request *r)
{
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_TOO_LARGE, NULL, "the request needs more memory than one request may have");
    answer_error(r, &e);
    return GW_END;
}

static enum gw_step phase_read(struct gw_request *r)
{
    const struct http_head *head = r->http->head;
    struct chat_header *headers = arena_new_array(&r->arena, struct chat_header, (size_t)head->n_fields + 1);
    struct str body = arena_str(&r->arena, r->http->body);
    struct str path = arena_str(&r->arena, head->path), query = arena_str(&r->arena, head->query);
    if (!headers || !body.p || !path.p || !query.p)
        return no_memory(r);
    for (int i = 0; i < head->n_fields; i++)
        headers[i] = (struct chat_header){arena_str(&r->arena, head->fields[i].name),
                                          arena_str(&r->arena, head->fields[i].value)};
    r->in = (struct dialect_in){
        .path = path, .query = query, .headers = headers, .n_headers = (size_t)head->n_fields, .body = body};
    struct chat_error e = {0};
    if (r->client->read_request(&r->in, &r->arena, &r->req, &e) != OK) {
        answer_error(r, &e);
        return GW_END;
    }
    r->asked = r->req;
    r->reply = (struct dialect_reply){
        .request_id = str_c(r->id), .model = r->req->model, .created_s = clock_wall_ns() / NS_PER_S};
    if (r->req->is_stream)
        timer_start(&r->heartbeat, HEARTBEAT_MS);
    return GW_NEXT;
}

/* ---- what an attempt brings ---- */

static void hold_start(struct gw_request *r, const struct chat_event *ev)
{
    snprintf(r->start_id, sizeof r->start_id, "%.*s", STR(ev->id));
    snprintf(r->start_model, sizeof r->start_model, "%.*s", STR(ev->model));
    r->start_created_s = ev->created_s;
    r->has_start = true;
}

static bool is_content(enum chat_event_type t)
{
    return t == CHAT_EV_TEXT || t == CHAT_EV_REASONING || t == CHAT_EV_CITATION || t == CHAT_EV_REFUSAL ||
           t == CHAT_EV_TOOL_CALL || t == CHAT_EV_LOGPROBS || t == CHAT_EV_MEDIA || t == CHAT_EV_FINISH;
}

/* The client gets it event by event, or as bytes, and it is gathered beside that all the same. */
static bool is_kept(const struct gw_request *r)
{
    return (r->is_leader || r->validation) && (r->is_raw || (r->req->is_stream && !r->is_held));
}

/* The first content: from here on the client sees this attempt, unless it is held. */
static int commit(struct gw_request *r)
{
    r->has_content = true;
    r->first_content_ms = loop_now_ms(r->thread->loop);
    if (is_kept(r))
        r->collector = chat_collector_new(ANSWER_BYTES_MAX);
    if (r->is_raw || r->is_resumed)
        return OK;
    struct chat_event start = {.type = CHAT_EV_START};
    if (r->has_start) {
        start.id = str_c(r->start_id);
        start.model = str_c(r->start_model);
        start.created_s = r->start_created_s;
    }
    if (!r->req->is_stream || r->is_held) {
        r->collector = chat_collector_new(ANSWER_BYTES_MAX);
        return r->collector ? chat_collect(r->collector, &start) : ERR_NOMEM;
    }
    return answer_event(r, &start);
}

/* Beside showing it: for the cache, and to be checked. */
static void keep(struct gw_request *r, const struct chat_event *ev)
{
    if (is_kept(r) && (!r->collector || chat_collect(r->collector, ev) != OK))
        r->has_lost_collection = true;
}

static int show(struct gw_request *r, const struct chat_event *ev)
{
    keep(r, ev);
    if (r->is_raw)
        return OK;
    return r->req->is_stream && !r->is_held ? answer_event(r, ev) : chat_collect(r->collector, ev);
}

/* Usage that came before the first content (Anthropic's message_start) is told after the start. */
static int show_first(struct gw_request *r, const struct chat_event *ev)
{
    int rc = commit(r);
    if (rc != OK || !r->usage.is_known || r->is_resumed || ev->type == CHAT_EV_USAGE)
        return rc;
    struct chat_event usage = {.type = CHAT_EV_USAGE, .usage = r->usage};
    return show(r, &usage);
}

static bool is_checked_as_it_goes(const struct gw_request *r)
{
    return r->validation && r->upstream && r->req->is_stream && !r->is_held;
}

static int on_event(struct gw_request *r, const struct chat_event *ev)
{
    if (ev->type == CHAT_EV_START) {
        hold_start(r, ev);
        return OK;
    }
    if (ev->type == CHAT_EV_ERROR) {
        r->has_error = true;
        r->error = *ev->error;
        return OK;
    }
    if (r->is_invalid)
        return ERR_FORMAT; /* it is over */
    if (ev->type == CHAT_EV_FINISH)
        r->n_finished++;
    if (!r->has_content && !is_content(ev->type))
        return OK;
    size_t n_good = ev->text.n;
    bool is_good = !is_checked_as_it_goes(r) || validate_event(r, ev, &n_good);
    if (!is_good && (n_good == 0 || !r->has_content || r->is_raw))
        return ERR_FORMAT;
    int rc = r->has_content ? OK : show_first(r, ev);
    if (rc != OK)
        return rc;
    struct chat_event shown = *ev;
    shown.text.n = n_good; /* what is good of a wrong piece is shown, then comes the error */
    rc = show(r, &shown);
    return is_good ? rc : ERR_FORMAT;
}

int gw_on_event(void *request, const struct chat_event *ev)
{
    struct gw_request *r = request;
    r->produced_bytes += (int64_t)ev->text.n;
    if (ev->type == CHAT_EV_USAGE)
        r->usage = ev->usage;
    if (!r->resume)
        return on_event(r, ev);
    struct chat_event seen = *ev;
    return resume_on_event(r, &seen) ? on_event(r, &seen) : OK;
}

/* The client has seen nothing of the answer yet. */
static bool is_unseen(const struct gw_request *r)
{
    return !r->req->is_stream || r->is_held;
}

/* What the attempt brought is known to be good, or not. */
static void conclude(struct gw_request *r)
{
    if (r->has_error && is_unseen(r))
        r->has_content = false;
    if (!r->has_error && r->is_withheld && answer_withheld(r) != OK) {
        r->has_error = true;
        chat_error_set(&r->error, CHAT_ERR_SERVER, NULL, "the answer is too large to be held back");
    }
    bool goes_on = r->has_error && !r->has_content; /* attempt.c decides what follows, perhaps the end of r */
    attempt_ended(r);
    if (goes_on)
        return;
    if (r->has_error && resume_begin(r)) {
        gw_advance(r);
        return;
    }
    resume_end(r);
    r->phase = PHASE_SETTLE;
    r->outcome = r->has_error ? GW_INTERRUPTED : GW_OK;
    if (r->has_error) {
        r->failure = r->error;
        r->has_failure = true;
    }
    gw_advance(r);
}

void gw_on_done(struct gw_request *r)
{
    r->upstream = NULL;
    r->call = NULL;
    bool is_open = r->validation && !r->has_error && (is_unseen(r) || r->is_withheld);
    if (!is_open || validate_whole(r))
        conclude(r);
}

void gw_on_judged(struct gw_request *r)
{
    if (!r->is_left) {
        conclude(r);
        return;
    }
    attempt_cancel(r);
    r->phase = PHASE_SETTLE;
    gw_advance(r);
}

/* ---- phase deliver ---- */

static int on_held_event(void *request, const struct chat_event *ev)
{
    return answer_event(request, ev);
}

static void deliver_stream(struct gw_request *r)
{
    struct chat_sink sink = {on_held_event, r};
    const struct chat_answer *answer = r->is_held && !r->is_raw ? chat_collected(r->collector) : NULL;
    if (answer && r->http && chat_replay(answer, &sink) != OK) {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_SERVER, NULL, "the server is out of memory");
        answer_error(r, &e);
        return;
    }
    answer_stream_end(r);
}

static enum gw_step phase_deliver(struct gw_request *r)
{
    if (r->has_failure)
        answer_error(r, &r->failure);
    else if (r->outcome == GW_CANCELLED)
        return GW_NEXT;
    else if (r->req->is_stream)
        deliver_stream(r);
    else
        answer_whole(r);
    return GW_NEXT;
}

/* ---- phase finish ---- */

static enum gw_step phase_finish(struct gw_request *r)
{
    if (r->parent) {
        cache_near_embedded(r);
        return GW_END;
    }
    cache_phase_end(r);
    if (r->key) /* ended between admission and the journal: nothing was used */
        limit_settle(r->key->limit, &r->limits, &r->held, 0, 0, clock_now_ns(), clock_wall_ns());
    uint64_t now_ms = loop_now_ms(r->thread->loop);
    observe_request(r, now_ms);
    free_request(r);
    return GW_END;
}
