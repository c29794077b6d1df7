/* cache_near.c - See cache_near.h; start reading at phase_near(), at the end. */
#include "gateway/cache_near.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/dialect.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/metric.h"
#include "gateway/account.h"
#include "gateway/cache_phase.h"
#include "gateway/cosine.h"
#include "gateway/near_guard.h"
#include "net/worker.h"

#define DIMENSIONS_MAX   16384
#define GUARD_BYTES_MAX  ((size_t)16 * NEAR_TEXT_MAX)
#define SCAN_HERE_MAX    (64 * 1024) /* numbers that are compared on the loop's own thread: some 30 us */
#define ROUNDING         1e-6F       /* of a cosine of equal vectors */
#define TOKENS_OF_A_TEXT 16          /* besides a quarter of its bytes */
#define FLOATS_BYTES_MAX ((size_t)4 << 20)

static struct metric semantic_total = METRIC_COUNTER(
    "sluice_cache_semantic_total", "Searches for a near request by what they found.", "model", "result");

enum near_stage { NEAR_EMBEDDING, NEAR_EMBEDDED, NEAR_LOOKED };

struct near { /* in the request's arena */
    enum near_stage stage;
    uint8_t rest[SHA256_BYTES]; /* all that must be equal */
    struct str text;
    struct gw_request *embedder; /* under way */
    bool is_starting;
    struct scan *scan; /* under way */
    struct cache_near place;
    bool has_place;
};

struct scan {
    struct work work;
    struct gw_request *r; /* NULL: its client left */
    struct gw_thread *thread;
    struct cache *cache;
    struct cache_near near;
    float least, similarity;
    const struct cached *hit;
    float vector[]; /* then the text */
};

/* ---- what may differ ---- */

/* The last text of the last turn, as it stands in the body, if that turn is the user's; p == NULL: there is
 * none.  The parsed form must agree. */
static struct str find_text(const struct gw_request *r, struct str *span)
{
    const struct chat_request *q = r->req;
    if (q->op != CHAT_OP_GENERATE || !q->doc || q->n_messages == 0)
        return S("");
    const struct chat_message *m = &q->messages[q->n_messages - 1];
    if (m->role != CHAT_USER || m->n_parts == 0 || m->parts[m->n_parts - 1].type != CHAT_PART_TEXT)
        return S("");
    struct json root = json_root(q->doc), list = json_get(root, "messages");
    list = json_exists(list) ? list : json_get(root, "contents");
    struct json turn = json_at(list, json_count(list) - 1), content = json_get(turn, "content");
    content = json_exists(content) ? content : json_get(turn, "parts");
    if (json_is(content, JSON_ARRAY)) {
        struct json part = json_at(content, json_count(content) - 1);
        content = json_is(part, JSON_STRING) ? part : json_get(part, "text");
    }
    struct str text = json_is(content, JSON_STRING) ? json_text(content, (struct arena *)&r->arena) : S("");
    if (text.n == 0 || !str_eq(text, m->parts[m->n_parts - 1].text))
        return S("");
    *span = json_span(content);
    return text;
}

static void add(struct digest *d, struct str s)
{
    uint64_t n = s.n;
    digest_add(d, &n, sizeof n);
    digest_add(d, s.p, s.n);
}

/* NULL: this request is not to be compared with others. */
static struct near *prepare(struct gw_request *r)
{
    struct str span = S(""), text = find_text(r, &span);
    struct buf guard;
    buf_init(&guard, GUARD_BYTES_MAX);
    struct near *n = NULL;
    struct digest *d = text.n && near_guard(text, &guard) ? digest_create() : NULL;
    if (d) {
        add(d, S("near"));
        add(d, buf_str(&guard));
        add(d, r->req->beta.p ? r->req->beta : S(""));
        cache_phase_digest(r, span, d);
        uint8_t rest[SHA256_BYTES];
        digest_finish(d, rest);
        n = arena_new(&r->arena, struct near);
        if (n) {
            *n = (struct near){.text = text};
            memcpy(n->rest, rest, sizeof rest);
        }
    }
    buf_deinit(&guard);
    return n;
}

float cache_near_least(const struct config_cache *c)
{
    return c->mode == CACHE_SEMANTIC ? (float)((double)c->threshold / 1e9) - ROUNDING : 2;
}

/* ---- the vector ---- */

void cache_near_reserve(struct gw_request *r, int64_t *tokens, int64_t *nano)
{
    const struct config_cache *c = &r->model->cache;
    struct str span, text = c->mode == CACHE_SEMANTIC ? find_text(r, &span) : S("");
    bool has_budget = r->limits.budget_nano >= 0 || r->limits.per_user.budget_nano > 0;
    if (text.n == 0 || text.n > NEAR_TEXT_MAX)
        return;
    int64_t n = (int64_t)text.n / 4 + TOKENS_OF_A_TEXT, most = 0;
    for (int i = 0; i < c->embedder->n_targets; i++) {
        struct config_price p = account_price(r, &c->embedder->targets[i]);
        if (!config_price_is_known(&p) && has_budget) {
            r->is_near_unpaid = true;
            return;
        }
        int64_t cost = price_most_nano(&p, n, 0);
        most = cost > most ? cost : most;
    }
    *tokens += n;
    *nano += most;
}

/* The body that a client would send: from here on it is a request for embeddings like any other. */
static bool write_request(struct gw_request *child, const struct near *n)
{
    struct buf body;
    struct chat_error e = {0};
    buf_init(&body, (size_t)8 * NEAR_TEXT_MAX + 1024);
    struct json_writer w = json_writer(&body);
    jw_begin_object(&w);
    jw_kv_str(&w, "model", child->model->name);
    jw_kv_str(&w, "input", n->text);
    jw_end_object(&w);
    child->client = dialect_of_path(S("/v1/embeddings"));
    child->in = (struct dialect_in){.path = S("/v1/embeddings"),
                                    .query = S(""),
                                    .body = buf_ok(&body) ? arena_str(&child->arena, buf_str(&body)) : S("")};
    buf_deinit(&body);
    bool ok =
        child->in.body.p && child->client->read_request(&child->in, &child->arena, &child->req, &e) == OK;
    child->asked = child->req;
    return ok;
}

/* True: cache_near_embedded will go on with r. */
static bool embed(struct gw_request *r)
{
    const struct config_cache *c = &r->model->cache;
    struct near *n = r->near;
    struct gw_request *child = gw_child_new(r);
    if (!child)
        return false;
    child->direct = *c->embedder;
    child->model = &child->direct;
    child->direct.queue_timeout_ns = 0;
    if (child->direct.timeout_ns == 0 || child->direct.timeout_ns > c->embedding_timeout_ns)
        child->direct.timeout_ns = c->embedding_timeout_ns;
    if (!write_request(child, n)) {
        gw_child_free(child);
        return false;
    }
    n->embedder = child;
    n->is_starting = true;
    gw_child_begin(child);
    n->is_starting = false;
    return n->embedder != NULL;
}

static void take_costs(struct gw_request *r, const struct gw_request *child)
{
    for (int i = 0; i < child->n_recorded; i++) {
        if (r->n_recorded == RECORD_ATTEMPTS_MAX)
            r->n_recorded--; /* the last place shows the latest one */
        r->recorded[r->n_recorded++] = child->recorded[i];
    }
    r->cost_nano += child->cost_nano;
    r->billed_tokens += child->billed_tokens;
}

/* Vectors of different models cannot be compared, whatever name stands before them. */
static bool set_scope(struct near *n, const struct config_target *maker)
{
    struct digest *d = digest_create();
    if (!d)
        return false;
    digest_add(d, n->rest, sizeof n->rest);
    add(d, maker->provider);
    add(d, maker->model);
    digest_add(d, &n->place.n, sizeof n->place.n);
    digest_finish(d, n->place.scope);
    return true;
}

static bool take_vector(struct gw_request *r, const struct gw_request *child)
{
    struct near *n = r->near;
    const struct embed_answer *e = child->embeddings;
    const float *values = NULL;
    size_t count = 0;
    if (child->has_failure || child->has_error || !e || e->n_vectors != 1)
        return false;
    struct arena a;
    arena_init(&a, FLOATS_BYTES_MAX);
    float *v = NULL;
    if (embed_vector_floats(&e->vectors[0], &a, &values, &count) == OK && count && count <= DIMENSIONS_MAX)
        v = arena_new_array(&r->arena, float, count);
    if (v)
        memcpy(v, values, count * sizeof *v);
    arena_deinit(&a);
    if (!v || !cosine_make_unit(v, (int)count))
        return false;
    n->place.vector = v;
    n->place.text = n->text;
    n->place.is_barred = near_is_a_word_apart;
    n->place.n = (int)count;
    return set_scope(n, child->target);
}

void cache_near_embedded(struct gw_request *child)
{
    struct gw_request *r = child->parent;
    struct near *n = r->near;
    take_costs(r, child);
    n->has_place = take_vector(r, child);
    n->stage = NEAR_EMBEDDED;
    n->embedder = NULL;
    gw_child_free(child);
    if (!n->is_starting)
        gw_advance(r);
}

/* ---- the search ---- */

static void run_scan(struct work *w)
{
    struct scan *k = (struct scan *)((char *)w - offsetof(struct scan, work));
    k->hit = cache_scan(k->cache, &k->near, k->least, clock_now_ns(), &k->similarity);
}

static void on_scanned(struct loop_task *task)
{
    struct scan *k = (struct scan *)((char *)task - offsetof(struct scan, work.done));
    struct gw_request *r = k->r;
    k->thread->n_looking--;
    if (r) {
        r->hit = k->hit;
        r->similarity = k->similarity;
        r->near->scan = NULL;
        r->near->stage = NEAR_LOOKED;
    } else {
        cache_release(k->cache, k->hit);
    }
    free(k);
    if (r)
        gw_advance(r);
}

/* True: the scanner has it, and on_scanned will go on with r.  Few entries are compared here and now. */
static bool scan(struct gw_request *r)
{
    struct near *n = r->near;
    int count = cache_scope_count(r->gw->cache, n->place.scope);
    float least = cache_near_least(&r->model->cache);
    n->stage = NEAR_LOOKED;
    if (count == 0)
        return false;
    struct scan *k = NULL;
    if ((int64_t)count * n->place.n > SCAN_HERE_MAX)
        k = calloc(1, sizeof *k + (size_t)n->place.n * sizeof *k->vector + n->text.n);
    if (!k) {
        r->hit = cache_scan(r->gw->cache, &n->place, least, clock_now_ns(), &r->similarity);
        return false;
    }
    memcpy(k->vector, n->place.vector, (size_t)n->place.n * sizeof *k->vector);
    memcpy(k->vector + n->place.n, n->text.p, n->text.n);
    k->near = n->place;
    k->near.vector = k->vector; /* the request may end before the search */
    k->near.text = str_of((char *)(k->vector + n->place.n), n->text.n);
    k->r = r;
    k->thread = r->thread;
    k->cache = r->gw->cache;
    k->least = least;
    k->work.run = run_scan;
    k->work.loop = r->thread->loop;
    k->work.done.run = on_scanned;
    n->scan = k;
    r->thread->n_looking++;
    worker_give(r->gw->scanner, &k->work);
    return true;
}

static void count(const struct gw_request *r, const char *result)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", STR(r->model->name));
    metric_add(metric_cell(&semantic_total, name, result), 1);
}

static enum gw_step answer(struct gw_request *r)
{
    r->similarity = r->similarity > 1 ? 1 : r->similarity;
    count(r, "hit");
    cache_put_near(r->gw->cache, r->cache_key, r->hit, r->similarity, r->model->cache.max_bytes);
    r->is_leader = false; /* who waits for an equal request has been told */
    return cache_phase_serve(r);
}

/* ---- in the life of a request ---- */

enum gw_step phase_near(struct gw_request *r)
{
    if (r->parent || !r->is_leader || r->model->cache.mode != CACHE_SEMANTIC || r->is_near_unpaid)
        return GW_NEXT;
    if (!r->near) {
        r->near = prepare(r);
        if (!r->near)
            return GW_NEXT;
        if (embed(r))
            return GW_WAIT;
        r->near->stage = NEAR_EMBEDDED;
    }
    struct near *n = r->near;
    if (n->stage == NEAR_EMBEDDED && n->has_place && scan(r))
        return GW_WAIT;
    if (r->hit)
        return answer(r);
    r->similarity = 0;
    count(r, n->has_place ? "miss" : "failed");
    return GW_NEXT;
}

void cache_near_leave(struct gw_request *r)
{
    struct near *n = r->near;
    if (!n)
        return;
    if (n->embedder) {
        attempt_cancel(n->embedder);
        take_costs(r, n->embedder);
        gw_child_free(n->embedder);
        n->embedder = NULL;
    }
    if (n->scan)
        n->scan->r = NULL;
    n->scan = NULL;
}

const struct cache_near *cache_near_place(const struct gw_request *r)
{
    return r->near && r->near->has_place ? &r->near->place : NULL;
}
