/* local.c - The registry of local models: names, loading, unloading.  See local.h. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "server/hub.h"
#include "server/local_int.h"

#define QUEUE_CAP       4096
#define RETRY_FAILED_NS (5 * NS_PER_S) /* a file that could not be loaded is tried again after this */
#define IDLE_CHECK_NS   NS_PER_S

/* Defined by the assembler file that holds the demo model's bytes; absent in a build without it. */
extern const char sluice_demo_gguf[] __attribute__((weak));
extern const char sluice_demo_gguf_end[] __attribute__((weak));

static struct metric batch_size =
    METRIC_GAUGE("sluice_engine_batch_size", "Sequences in the last step.", "model");
static struct metric queue_depth =
    METRIC_GAUGE("sluice_engine_queue_depth", "Requests waiting for their first step.", "model");
static struct metric kv_used =
    METRIC_GAUGE("sluice_engine_kv_blocks_used", "KV blocks of running sequences.", "model");
static struct metric kv_cached =
    METRIC_GAUGE("sluice_engine_kv_blocks_cached", "KV blocks kept for later prompts.", "model");
static struct metric kv_total = METRIC_GAUGE("sluice_engine_kv_blocks", "KV blocks of the pool.", "model");
static struct metric prompt_tokens =
    METRIC_GAUGE("sluice_engine_prompt_tokens_total", "Prompt tokens computed or reused.", "model");
static struct metric cached_tokens =
    METRIC_GAUGE("sluice_engine_cached_tokens_total", "Prompt tokens reused.", "model");
static struct metric generated_tokens =
    METRIC_GAUGE("sluice_engine_generated_tokens_total", "Tokens generated.", "model");
static struct metric draft_tokens =
    METRIC_GAUGE("sluice_engine_draft_tokens_total", "Tokens guessed ahead.", "model");
static struct metric draft_accepted =
    METRIC_GAUGE("sluice_engine_draft_accepted_total", "Tokens guessed right.", "model");
static struct metric draft_saved =
    METRIC_GAUGE("sluice_engine_draft_saved_seconds",
                 "Time that guessing ahead saved, estimated; negative: lost.", "model");
static struct metric disk_bytes =
    METRIC_GAUGE("sluice_engine_kv_disk_bytes", "Bytes of the folder of kept prompts.", "model");
static struct metric disk_loaded =
    METRIC_GAUGE("sluice_engine_kv_disk_loaded_total", "KV blocks loaded from disk.", "model");
static struct metric disk_saved =
    METRIC_GAUGE("sluice_engine_kv_disk_saved_total", "KV blocks saved to disk.", "model");
static struct metric disk_damaged =
    METRIC_GAUGE("sluice_engine_kv_disk_damaged_total", "Damaged files found and removed.", "model");
static struct metric disk_failed =
    METRIC_GAUGE("sluice_engine_kv_disk_failed_total", "KV blocks that could not be saved.", "model");
static struct metric preempted =
    METRIC_GAUGE("sluice_engine_preemptions_total", "Sequences that had to step aside.", "model");

struct str local_demo_gguf(void)
{
    if (!sluice_demo_gguf || !sluice_demo_gguf_end)
        return S("");
    return str_of(sluice_demo_gguf, (size_t)(sluice_demo_gguf_end - sluice_demo_gguf));
}

/* ---- loading and unloading (the loader's thread) ---- */

static void model_options(const struct local *l, struct sluice_model_options *o)
{
    sluice_model_options_init(o, sizeof *o);
    o->threads = (int)l->engine.threads;
    o->isa = l->isa;
    o->context = (int32_t)l->engine.context;
    o->kv_bytes = (uint64_t)l->engine.kv_bytes;
    o->kv_type = l->kv_type;
    o->max_batch = (int32_t)l->engine.max_batch;
}

static void context_options(const struct local *l, struct sluice_context_options *o)
{
    sluice_context_options_init(o, sizeof *o);
    o->step_budget_us = (int32_t)(l->engine.step_budget_ns / NS_PER_US);
    o->kv_cache_dir = l->kv_cache_dir;
    o->kv_cache_bytes = (uint64_t)l->engine.kv_cache_max_bytes;
}

/* Everything of a loaded model. */
struct loaded {
    struct sluice_model *model, *draft;
    struct sluice_context *ctx;
};

static void close_loaded(struct loaded *m)
{
    sluice_context_free(m->ctx);
    sluice_model_free(m->draft);
    sluice_model_free(m->model);
    *m = (struct loaded){NULL, NULL, NULL};
}

static int open_draft(const struct local *l, const char *draft, struct sluice_context_options *co,
                      struct loaded *m, struct sluice_error *err)
{
    struct sluice_model_options mo;
    if (!draft || strcmp(draft, "ngram") == 0)
        return SLUICE_OK;
    if (strcmp(draft, "off") == 0) {
        co->draft_max = -1;
        return SLUICE_OK;
    }
    model_options(l, &mo);
    mo.kv_bytes = 0; /* that was for the model itself */
    int rc = sluice_model_open(draft, &mo, &m->draft, err);
    co->draft = m->draft;
    return rc;
}

static int open_model(struct local *l, const struct served *s, struct loaded *m, struct sluice_error *err)
{
    struct sluice_model_options mo;
    struct sluice_context_options co;
    model_options(l, &mo);
    context_options(l, &co);
    struct str demo = local_demo_gguf();
    int rc = s->path ? sluice_model_open(s->path, &mo, &m->model, err)
                     : sluice_model_open_memory(demo.p, demo.n, &mo, &m->model, err);
    pthread_mutex_lock(&l->lock); /* a reload may name another */
    char *draft = s->draft ? str_dup_z(str_c(s->draft)) : NULL;
    pthread_mutex_unlock(&l->lock);
    if (rc == SLUICE_OK)
        rc = open_draft(l, draft, &co, m, err);
    free(draft);
    if (rc == SLUICE_OK)
        rc = sluice_context_create(m->model, &co, &m->ctx, err);
    if (rc != SLUICE_OK)
        close_loaded(m);
    return rc;
}

static void wake_waiters(struct served_waiter *w)
{
    for (struct served_waiter *next; w; w = next) {
        next = w->next;
        w->on_ready(w);
    }
}

static void load(struct local *l, struct served *s)
{
    struct loaded m = {NULL, NULL, NULL};
    struct sluice_error error = {0};
    struct sluice_stats stats = {0};
    int64_t start = clock_now_ns();
    int rc = open_model(l, s, &m, &error);
    if (rc == SLUICE_OK)
        sluice_context_get_stats(m.ctx, &stats, sizeof stats);
    pthread_mutex_lock(&l->lock);
    s->state = rc == SLUICE_OK ? SERVED_READY : SERVED_FAILED;
    s->model = m.model;
    s->draft_model = m.draft;
    s->ctx = m.ctx;
    s->error = error;
    s->context = stats.context;
    s->failed_ns = s->last_used_ns = clock_now_ns();
    struct served_waiter *waiters = s->waiters;
    s->waiters = NULL;
    pthread_mutex_unlock(&l->lock);
    if (rc == SLUICE_OK)
        log_info("engine", "model '%s' is ready after %lld ms", s->name,
                 (long long)((clock_now_ns() - start) / NS_PER_MS));
    else
        log_error("engine", "model '%s' cannot be loaded: %s", s->name, error.text);
    wake_waiters(waiters);
}

static void unload_idle(struct local *l)
{
    if (l->engine.idle_unload_ns == 0)
        return;
    int64_t now = clock_now_ns();
    for (struct served *s = l->models; s; s = s->next) {
        struct loaded m = {NULL, NULL, NULL};
        pthread_mutex_lock(&l->lock);
        if (s->state == SERVED_READY && s->n_users == 0 && now - s->last_used_ns > l->engine.idle_unload_ns) {
            m = (struct loaded){s->model, s->draft_model, s->ctx};
            s->model = s->draft_model = NULL;
            s->ctx = NULL;
            s->state = SERVED_UNLOADED;
        }
        pthread_mutex_unlock(&l->lock);
        if (!m.ctx)
            continue;
        close_loaded(&m);
        log_info("engine", "model '%s' was idle and is unloaded", s->name);
    }
}

static void *run_loader(void *arg)
{
    struct local *l = arg;
    while (!l->is_stopping) {
        struct served *s = queue_pop(&l->loads, IDLE_CHECK_NS);
        if (s && !l->is_stopping)
            load(l, s);
        unload_idle(l);
    }
    return NULL;
}

/* ---- using ---- */

struct served *local_find(struct local *l, struct str model)
{
    pthread_mutex_lock(&l->lock);
    struct served *s = l->models;
    while (s && !str_eq(str_c(s->name), model))
        s = s->next;
    pthread_mutex_unlock(&l->lock);
    return s;
}

static int begin_load_locked(struct served *s, struct sluice_error *err)
{
    if (s->state == SERVED_LOADING)
        return ERR_BUSY;
    if (s->state == SERVED_FAILED && clock_now_ns() - s->failed_ns < RETRY_FAILED_NS) {
        *err = s->error;
        return s->error.code;
    }
    s->state = SERVED_LOADING;
    if (queue_try_push(&s->local->loads, s))
        return ERR_BUSY;
    s->state = SERVED_UNLOADED;
    snprintf(err->text, sizeof err->text, "too many models are being loaded");
    return SLUICE_ERR_LIMIT;
}

int local_use(struct served *s, struct served_waiter *w, struct sluice_error *err)
{
    pthread_mutex_lock(&s->local->lock);
    int rc = OK;
    if (s->state == SERVED_READY)
        s->n_users++;
    else
        rc = begin_load_locked(s, err);
    if (rc == ERR_BUSY && w) {
        w->next = s->waiters;
        s->waiters = w;
    }
    pthread_mutex_unlock(&s->local->lock);
    return rc;
}

void local_release(struct served *s)
{
    pthread_mutex_lock(&s->local->lock);
    assert(s->n_users > 0);
    s->n_users--;
    s->last_used_ns = clock_now_ns();
    pthread_mutex_unlock(&s->local->lock);
}

/* ---- registry ---- */

static int add(struct local *l, struct str name, struct str path, bool is_public, struct err *err)
{
    struct served *old = local_find(l, name);
    if (old) {
        bool same = old->path ? str_eq(str_c(old->path), path) : path.n == 0;
        old->is_public = old->is_public || is_public;
        return same ? OK : fail(err, ERR_ARG, "two local models are named '%.*s'", STR(name));
    }
    struct served *s = calloc(1, sizeof *s);
    if (s) {
        s->name = str_dup_z(name);
        s->path = path.n ? str_dup_z(path) : NULL;
    }
    if (!s || !s->name || (path.n && !s->path)) {
        if (s)
            free(s->name);
        free(s);
        return fail(err, ERR_NOMEM, "no memory for a model's name");
    }
    s->local = l;
    s->is_public = is_public;
    s->created_s = clock_wall_ns() / NS_PER_S;
    pthread_mutex_lock(&l->lock);
    struct served **end = &l->models;
    while (*end)
        end = &(*end)->next;
    *end = s;
    pthread_mutex_unlock(&l->lock);
    return OK;
}

/* "models/qwen2.5-0.5b-q8_0.gguf" -> "qwen2.5-0.5b-q8_0" */
static struct str stem(struct str path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '/') {
            path = str_sub(path, i, path.n);
            break;
        }
    return str_ends(path, S(".gguf")) ? str_sub(path, 0, path.n - 5) : path;
}

/* Where a file of the configuration is: a name of the hub, as it is written, or below the folder of models.
 */
static int find_file(const struct config *c, struct str model, struct buf *path, struct err *err)
{
    buf_str_add(path, model);
    if (hub_is_name(model)) {
        buf_clear(path);
        int found = hub_find_pulled(c->models_dir, model, path, err);
        if (found != OK)
            return found;
    } else if (access(buf_z(path), R_OK) != 0 && model.n && model.p[0] != '/') {
        struct buf other;
        buf_init(&other, 8192);
        buf_printf(&other, "%.*s/%.*s", STR(c->models_dir), STR(model));
        if (access(buf_z(&other), R_OK) == 0) {
            buf_clear(path);
            buf_str_add(path, buf_str(&other));
        }
        buf_deinit(&other);
    }
    return buf_ok(path) ? OK : fail(err, ERR_LIMIT, "the path of a model is too long");
}

static int add_file(struct local *l, const struct config *c, struct str model, struct err *err)
{
    struct buf path;
    buf_init(&path, 8192);
    int rc = find_file(c, model, &path, err);
    if (rc == OK)
        rc = add(l, model, buf_str(&path), false, err);
    buf_deinit(&path);
    return rc;
}

/* What guesses ahead for a model; one that is loaded keeps what it was loaded with. */
static int set_draft(struct local *l, const struct config *c, const struct config_pair *pair, struct err *err)
{
    struct served *s = local_find(l, pair->name);
    struct buf path;
    if (!s)
        return fail(err, ERR_ARG, "'draft' names '%.*s', but no local model is called so", STR(pair->name));
    buf_init(&path, 8192);
    bool is_file = !str_eq(pair->value, S("ngram")) && !str_eq(pair->value, S("off"));
    int rc = OK;
    if (is_file)
        rc = find_file(c, pair->value, &path, err);
    else
        buf_str_add(&path, pair->value);
    char *draft = rc == OK ? str_dup_z(buf_str(&path)) : NULL;
    buf_deinit(&path);
    if (rc != OK)
        return rc;
    if (!draft)
        return fail(err, ERR_NOMEM, "no memory for a model's name");
    pthread_mutex_lock(&l->lock);
    free(s->draft);
    s->draft = draft;
    pthread_mutex_unlock(&l->lock);
    return OK;
}

int local_update(struct local *l, const struct config *c, struct err *err)
{
    for (int i = 0; i < c->serve_models.n; i++) {
        struct str name = c->serve_models.items[i].name, path = c->serve_models.items[i].value;
        int rc = add(l, name.n ? name : stem(path), path, true, err);
        if (rc != OK)
            return rc;
    }
    bool nothing_else = c->serve_models.n == 0 && c->n_models == 0;
    const struct served *named = local_find(l, S("demo"));
    if (local_demo_gguf().n && !(named && named->path)) { /* a user's model of that name takes its place */
        int rc = add(l, S("demo"), S(""), nothing_else, err);
        if (rc != OK)
            return rc;
    }
    for (int i = 0; i < c->n_models; i++)
        for (int t = 0; t < c->models[i].n_targets; t++) {
            const struct config_target *target = &c->models[i].targets[t];
            if (!str_eq(c->providers[target->provider_idx].kind, S("local")) || local_find(l, target->model))
                continue;
            int rc = add_file(l, c, target->model, err);
            if (rc != OK)
                return rc;
        }
    for (int i = 0; i < c->engine.draft.n; i++) {
        int rc = set_draft(l, c, &c->engine.draft.items[i], err);
        if (rc != OK)
            return rc;
    }
    return OK;
}

void local_preload(struct local *l)
{
    struct sluice_error ignored;
    for (struct served *s = l->models; s; s = s->next) {
        pthread_mutex_lock(&l->lock);
        if (s->is_public && s->state == SERVED_UNLOADED)
            begin_load_locked(s, &ignored);
        pthread_mutex_unlock(&l->lock);
    }
}

/* ---- the face for the gateway ---- */

static bool has_model(void *arg, struct str model)
{
    struct served *s = local_find(arg, model);
    return s && s->is_public;
}

static bool get_model(void *arg, int i, struct local_model *out)
{
    struct local *l = arg;
    pthread_mutex_lock(&l->lock);
    struct served *s = l->models;
    while (s && (!s->is_public || i-- > 0))
        s = s->next;
    if (s)
        *out = (struct local_model){str_c(s->name), s->context, s->state == SERVED_READY, s->created_s};
    pthread_mutex_unlock(&l->lock);
    return s != NULL;
}

static int n_busy(void *arg, struct str model)
{
    struct served *s = local_find(arg, model);
    if (!s)
        return 0;
    pthread_mutex_lock(&s->local->lock);
    int n = s->n_users;
    pthread_mutex_unlock(&s->local->lock);
    return n;
}

const struct local_engine *local_engine_of(struct local *l)
{
    return &l->face;
}

void local_observe(struct local *l)
{
    for (struct served *s = l->models; s; s = s->next) {
        struct sluice_stats st = {0};
        pthread_mutex_lock(&l->lock);
        if (s->ctx)
            sluice_context_get_stats(s->ctx, &st, sizeof st);
        pthread_mutex_unlock(&l->lock);
        if (!st.kv_pages)
            continue;
        metric_set(metric_cell(&batch_size, s->name), st.n_running);
        metric_set(metric_cell(&queue_depth, s->name), st.n_waiting);
        metric_set(metric_cell(&kv_used, s->name), st.kv_pages_used);
        metric_set(metric_cell(&kv_cached, s->name), st.kv_pages_cached);
        metric_set(metric_cell(&kv_total, s->name), st.kv_pages);
        metric_set(metric_cell(&prompt_tokens, s->name), (double)st.prompt_tokens);
        metric_set(metric_cell(&cached_tokens, s->name), (double)st.cached_tokens);
        metric_set(metric_cell(&generated_tokens, s->name), (double)st.generated_tokens);
        metric_set(metric_cell(&draft_tokens, s->name), (double)st.draft_tokens);
        metric_set(metric_cell(&draft_accepted, s->name), (double)st.draft_accepted);
        metric_set(metric_cell(&draft_saved, s->name), (double)st.draft_saved_us / 1e6);
        metric_set(metric_cell(&preempted, s->name), (double)st.n_preempted);
        if (!l->kv_cache_dir)
            continue;
        metric_set(metric_cell(&disk_bytes, s->name), (double)st.kv_disk_bytes);
        metric_set(metric_cell(&disk_loaded, s->name), (double)st.kv_disk_loaded);
        metric_set(metric_cell(&disk_saved, s->name), (double)st.kv_disk_saved);
        metric_set(metric_cell(&disk_damaged, s->name), (double)st.kv_disk_damaged);
        metric_set(metric_cell(&disk_failed, s->name), (double)st.kv_disk_failed);
    }
}

/* ---- life ---- */

static int start_threads(struct local *l, struct err *err)
{
    l->prompts = worker_create();
    l->forms = worker_create();
    if (queue_init(&l->loads, QUEUE_CAP, NULL, NULL) != OK || !l->prompts || !l->forms)
        return fail(err, ERR_NOMEM, "no memory for the engine's queues");
    l->has_loader = pthread_create(&l->loader, NULL, run_loader, l) == 0;
    if (!l->has_loader)
        return fail(err, ERR_IO, "the system gives no more threads");
    return OK;
}

struct local *local_create(const struct config *c, struct err *err)
{
    struct local *l = calloc(1, sizeof *l);
    if (!l) {
        fail(err, ERR_NOMEM, "no memory for the engine's registry");
        return NULL;
    }
    pthread_mutex_init(&l->lock, NULL);
    l->engine = c->engine;
    l->isa = c->engine.isa.n ? str_dup_z(c->engine.isa) : NULL;
    l->kv_type = str_dup_z(c->engine.kv_type);
    l->kv_cache_dir = c->engine.kv_cache_dir.n ? str_dup_z(c->engine.kv_cache_dir) : NULL;
    l->face = (struct local_engine){
        l,     local_call_start, local_call_cancel, local_call_pause, local_call_resume, has_model, get_model,
        n_busy};
    if (local_update(l, c, err) != OK || start_threads(l, err) != OK) {
        local_free(l);
        return NULL;
    }
    return l;
}

void local_free(struct local *l)
{
    if (!l)
        return;
    l->is_stopping = true;
    if (l->has_loader) {
        queue_close(&l->loads);
        pthread_join(l->loader, NULL);
    }
    worker_free(l->forms);
    worker_free(l->prompts);
    for (struct served *s = l->models, *next; s; s = next) {
        next = s->next;
        sluice_context_free(s->ctx);
        sluice_model_free(s->draft_model);
        sluice_model_free(s->model);
        free(s->name);
        free(s->path);
        free(s->draft);
        free(s);
    }
    queue_deinit(&l->loads);
    pthread_mutex_destroy(&l->lock);
    free(l->isa);
    free(l->kv_cache_dir);
    free(l->kv_type);
    free(l);
}
