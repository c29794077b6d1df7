/* cache_phase.c - The exact cache in the life of a request; of near requests see cache_near.h.
 *
 * Whole, successful answers of deterministic requests are kept; a whole answer serves a stream and
 * the other way round.  Keys never share entries unless they share a group.  Of equal requests at
 * the same moment one asks, and the others wait for its answer; if its client leaves while others
 * wait, it goes on for them. */
#include "gateway/cache_phase.h"
#include "base/clock.h"
#include "base/json.h"
#include "gateway/account.h"
#include "gateway/cache_keep.h"
#include "gateway/cache_near.h"

/* Members of a body that do not decide what the answer says. */
static bool is_irrelevant(struct str key)
{
    static const char *const names[] = {"stream", "stream_options", "user", "metadata", "safety_identifier",
                                        "store",  "service_tier"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(key, str_c(names[i])))
            return true;
    return false;
}

static void add(struct digest *d, struct str s)
{
    uint64_t n = s.n; /* with its length, so that no two lists of texts look alike */
    digest_add(d, &n, sizeof n);
    digest_add(d, s.p ? s.p : "", s.n);
}

/* A value but for the text that near requests may have otherwise. */
static void add_around(struct digest *d, struct str value, struct str cut)
{
    if (cut.n == 0 || cut.p < value.p || cut.p + cut.n > value.p + value.n) {
        add(d, value);
        return;
    }
    size_t at = (size_t)(cut.p - value.p);
    add(d, str_sub(value, 0, at));
    add(d, str_sub(value, at + cut.n, value.n));
}

/* Values count as they were written: another spelling of an equal request is a miss, never a
 * wrong hit. */
void cache_phase_digest(struct gw_request *r, struct str cut, struct digest *d)
{
    struct str owner = !r->key ? S("") : r->key->def.group.n ? r->key->def.group : str_c(r->key->def.id);
    digest_add(d, r->key && r->key->def.group.n ? "g" : "k", 1);
    add(d, owner);
    add(d, str_c(r->client->name));
    add(d, r->model->name);
    for (int i = 0; i < r->model->n_targets; i++) { /* another model behind the name answers otherwise */
        add(d, r->model->targets[i].provider);
        add(d, r->model->targets[i].model);
    }
    int64_t cap = account_output_cap(r);
    digest_add(d, &cap, sizeof cap);
    struct json_iter it = json_iter(json_root(r->req->doc));
    while (json_next(&it)) {
        if (is_irrelevant(it.key))
            continue;
        add(d, it.key);
        add_around(d, json_span(it.value), cut);
    }
}

static bool make_key(struct gw_request *r)
{
    struct digest *d = digest_create();
    if (!d)
        return false;
    cache_phase_digest(r, S(""), d);
    digest_finish(d, r->cache_key);
    return true;
}

static bool is_deterministic(const struct chat_request *q)
{
    return (q->sampling.temperature.is_set && q->sampling.temperature.v == 0) || q->sampling.seed.is_set;
}

static void on_woken(struct loop_task *task)
{
    struct gw_request *r = (struct gw_request *)((char *)task - offsetof(struct cache_waiter, task) -
                                                 offsetof(struct gw_request, waiter));
    gw_advance(r); /* phase cache again, or the end if the client left meanwhile */
}

enum gw_step cache_phase_serve(struct gw_request *r)
{
    struct chat_sink sink = {gw_on_event, r};
    r->is_open = true; /* without an open record it has a close record only: nobody upstream was asked */
    r->outcome = GW_CACHED;
    r->cache_state = r->similarity > 0 ? GW_CACHE_NEAR : GW_CACHE_HIT;
    r->hit_provider = arena_str(&r->arena, r->hit->provider);
    if (chat_replay(r->hit->answer, &sink) != OK) {
        chat_error_set(&r->failure, CHAT_ERR_SERVER, NULL, "the cached answer cannot be told");
        r->has_failure = true;
        r->outcome = GW_FAILED;
    }
    cache_release(r->gw->cache, r->hit);
    r->hit = NULL;
    return GW_END; /* to settle and deliver */
}

enum gw_step phase_cache(struct gw_request *r)
{
    const struct config_cache *c = &r->model->cache;
    if (!r->http)
        return GW_END;
    if (r->is_leader) /* the file has it neither */
        return GW_NEXT;
    bool can_be_kept = r->req->op == CHAT_OP_GENERATE || r->req->op == CHAT_OP_COMPLETE;
    if (c->mode == CACHE_OFF || !can_be_kept || !r->req->doc ||
        (!c->any_temperature && !is_deterministic(r->req)))
        return GW_NEXT;
    if (r->cache_state == GW_CACHE_OFF && !make_key(r))
        return GW_NEXT;
    r->cache_state = GW_CACHE_MISS;
    r->waiter.loop = r->thread->loop;
    r->waiter.task.run = on_woken;
    switch (cache_ask(r->gw->cache, r->cache_key, cache_near_least(c), clock_now_ns(), &r->hit, &r->waiter)) {
    case CACHE_HIT: r->similarity = r->hit->similarity; return cache_phase_serve(r);
    case CACHE_WAIT: r->is_waiting = true; return GW_WAIT;
    default: r->is_leader = true; return cache_keep_look(r) ? GW_WAIT : GW_NEXT;
    }
}

static bool is_whole(const struct gw_request *r)
{
    if (r->outcome != GW_OK || r->has_failure || !r->collector || r->has_lost_collection)
        return false;
    const struct chat_answer *a = chat_collected(r->collector);
    if (!a || a->has_error || a->is_opaque || a->n_choices == 0)
        return false;
    for (size_t i = 0; i < a->n_choices; i++)
        if (a->choices[i].finish == CHAT_FINISH_NONE || a->choices[i].finish == CHAT_FINISH_BAD_TOOL_CALL)
            return false;
    return true;
}

void cache_phase_end(struct gw_request *r)
{
    if (!r->is_leader)
        return;
    r->is_leader = false;
    if (!is_whole(r)) {
        cache_abandon(r->gw->cache, r->cache_key);
        return;
    }
    cache_keep_write(r, chat_collected(r->collector));
    cache_put(r->gw->cache, r->cache_key, r->model->name, r->model->cache.max_bytes, r->model->cache.ttl_ns,
              r->collector, r->produced_bytes, r->target->provider, r->target->model, cache_near_place(r),
              clock_now_ns());
    r->collector = NULL;
}

bool cache_phase_leave(struct gw_request *r)
{
    if (r->is_waiting) {
        r->is_waiting = false;
        return !cache_stop_waiting(r->gw->cache, r->cache_key,
                                   &r->waiter); /* woken already: it ends itself */
    }
    cache_keep_forget(r);
    cache_near_leave(r);
    bool is_running = r->upstream || r->is_judging;
    if (!r->is_leader || !is_running || !cache_has_waiters(r->gw->cache, r->cache_key))
        return false;
    r->is_detached = true;
    if (r->is_paused && r->upstream) {
        r->is_paused = false;
        r->upstream->resume(r);
    }
    return true;
}
