/* attempt_local.c - Asking the engine of this process, through the seam of local.h. */
#include "base/rand.h"
#include "gateway/account.h"

static void on_done(void *ctx, struct local_call *call)
{
    (void)call;
    gw_on_done(ctx);
}

static void on_count(void *ctx, int64_t n_tokens)
{
    struct gw_request *r = ctx;
    r->n_counted = n_tokens;
    r->has_content = true;
}

static enum local_priority priority_of(const struct gw_request *r)
{
    return r->key ? (enum local_priority)r->key->def.priority : LOCAL_NORMAL;
}

static int start(struct gw_request *r, const struct config_target *t, struct chat_error *e)
{
    struct local_ask ask = {
        .req = r->asked,
        .model = t->model,
        .max_tokens_cap = account_output_cap(r),
        .priority = priority_of(r),
        .seed = str_hash(str_c(r->id)),
        .loop = r->thread->loop,
        .request_id = str_c(r->id),
        .sink = {gw_on_event, r},
        .on_count = on_count,
        .on_done = on_done,
        .ctx = r,
    };
    r->call = r->gw->local->start(r->gw->local->arg, &ask, e);
    return r->call ? OK : ERR_STATE;
}

static void cancel(struct gw_request *r)
{
    r->gw->local->cancel(r->call);
    r->call = NULL;
}

static void pause_events(struct gw_request *r)
{
    r->gw->local->pause(r->call);
}

static void resume_events(struct gw_request *r)
{
    r->gw->local->resume(r->call);
}

const struct upstream upstream_local = {start, cancel, pause_events, resume_events};
