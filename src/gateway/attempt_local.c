/* attempt_local.c - Asking the engine of this process, through the seam of local.h. */
#include "base/rand.h"
#include "gateway/account.h"

#define VECTOR_TEXT_MAX ((size_t)32 << 20)

static void on_done(void *ctx, struct local_call *call)
{
    struct gw_request *r = ctx;
    (void)call;
    if (r->embeddings && !r->has_error) {
        r->embeddings->usage = r->usage;
        r->has_content = true;
    }
    gw_on_done(r);
}

static struct embed_answer *new_embeddings(struct gw_request *r)
{
    struct embed_answer *answer = arena_new(&r->vectors, struct embed_answer);
    size_t n = r->req->n_inputs;
    if (!answer)
        return NULL;
    *answer = (struct embed_answer){.n_vectors = n};
    answer->vectors = arena_new_array(&r->vectors, struct embed_vector, n);
    if (!answer->vectors)
        return NULL;
    memset(answer->vectors, 0, n * sizeof *answer->vectors);
    return answer;
}

/* Written here and now, as the client wants it: all vectors of an answer at once would hold up the loop. */
static int on_vector(void *ctx, size_t input, const float *values, size_t n)
{
    struct gw_request *r = ctx;
    struct embed_vector v = {.values = values, .n_values = n};
    struct buf text;
    if (!r->embeddings)
        r->embeddings = new_embeddings(r);
    if (!r->embeddings)
        return ERR_NOMEM;
    buf_init(&text, VECTOR_TEXT_MAX);
    int rc = embed_write_vector(&text, &v, r->req->is_base64);
    struct str copy = rc == OK ? arena_str(&r->vectors, buf_str(&text)) : S("");
    buf_deinit(&text);
    if (!copy.p || !copy.n)
        return ERR_NOMEM;
    if (r->req->is_base64)
        r->embeddings->vectors[input].base64 = str_sub(copy, 1, copy.n - 1); /* without the quotes */
    else
        r->embeddings->vectors[input].json = copy;
    return OK;
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
        .on_vector = on_vector,
        .dropped = &r->dropped,
        .on_done = on_done,
        .ctx = r,
    };
    r->embeddings = NULL; /* an earlier attempt's */
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
