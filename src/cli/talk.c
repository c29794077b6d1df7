/* talk.c - A model of this process that answers.  See talk.h. */
#include "cli/talk.h"

#include <stdio.h>
#include <stdlib.h>

struct talk {
    const struct talk_options *o;
    struct talk_remote *remote;
    struct sluice_model *model, *draft;
    struct sluice_context *ctx;
};

static bool is_url(const char *name)
{
    return strncmp(name, "http://", 7) == 0 || strncmp(name, "https://", 8) == 0;
}

static int open_local(struct talk *t, const char *name)
{
    struct sluice_model_options mo = t->o->model;
    struct sluice_context_options co = t->o->context;
    struct sluice_error err = {0};
    struct buf path;
    buf_init(&path, 8192);
    int rc = cli_find_model(name, true, &path);
    rc = rc ? rc : cli_open_model(buf_z(&path), &mo, &t->model);
    buf_deinit(&path);
    if (rc == EXIT_OK)
        rc = cli_open_draft(t->o->draft, &mo, &co, &t->draft);
    if (rc == EXIT_OK && sluice_context_create(t->model, &co, &t->ctx, &err) != SLUICE_OK)
        rc = cli_fail(EXIT_FAIL, "%s", err.text);
    return rc;
}

struct talk *talk_open(const char *model, const struct talk_options *o, int *status)
{
    struct talk *t = calloc(1, sizeof *t);
    if (!t) {
        *status = cli_fail(EXIT_FAIL, "no memory");
        return NULL;
    }
    t->o = o;
    *status = EXIT_OK;
    if (is_url(model))
        t->remote = talk_remote_open(model, o, status);
    else
        *status = open_local(t, model);
    if (*status == EXIT_OK)
        return t;
    talk_close(t);
    return NULL;
}

void talk_close(struct talk *t)
{
    if (!t)
        return;
    talk_remote_close(t->remote);
    sluice_context_free(t->ctx);
    sluice_model_free(t->draft);
    sluice_model_free(t->model);
    free(t);
}

static void set_sampling(const struct talk_options *o, struct sluice_sampling *s)
{
    if (o->temperature >= 0)
        s->temperature = (float)o->temperature;
    if (o->top_p >= 0)
        s->top_p = (float)o->top_p;
    if (o->min_p >= 0)
        s->min_p = (float)o->min_p;
    if (o->repeat_penalty >= 0)
        s->repeat_penalty = (float)o->repeat_penalty;
    if (o->top_k >= 0)
        s->top_k = (int32_t)o->top_k;
    if (o->max_tokens >= 0)
        s->max_tokens = (int32_t)o->max_tokens;
    s->has_seed = o->seed >= 0;
    s->seed = (uint64_t)o->seed;
    s->stop = o->stops;
    s->n_stop = (size_t)o->n_stops;
}

static void show(struct str text, struct buf *answer)
{
    fwrite(text.p, 1, text.n, stdout);
    fflush(stdout);
    buf_str_add(answer, text);
}

static int read_stream(struct sluice_stream *stream, struct buf *answer, volatile sig_atomic_t *stop,
                       struct talk_stats *stats)
{
    struct sluice_event ev;
    struct sluice_error err = {0};
    for (;;) {
        int got = sluice_stream_next(stream, 200, &ev, &err);
        if (got < 0)
            return cli_fail(EXIT_FAIL, "%s", err.text);
        if (*stop)
            sluice_stream_cancel(stream);
        if (got == 0)
            continue;
        if (ev.kind == SLUICE_EVENT_TEXT)
            show(str_of(ev.text, ev.text_bytes), answer);
        if (ev.kind != SLUICE_EVENT_DONE)
            continue;
        *stats =
            (struct talk_stats){(int64_t)ev.usage.prompt_tokens,    (int64_t)ev.usage.cached_tokens,
                                (int64_t)ev.usage.generated_tokens, (int64_t)ev.usage.draft_tokens,
                                (int64_t)ev.usage.draft_accepted,   (double)ev.timings.queue_us / 1e6,
                                (double)ev.timings.prompt_us / 1e6, (double)ev.timings.generate_us / 1e6};
        return ev.finish == SLUICE_FINISH_ERROR ? cli_fail(EXIT_FAIL, "%s", ev.error_text) : EXIT_OK;
    }
}

int talk_answer(struct talk *t, struct str messages, struct buf *answer, volatile sig_atomic_t *stop,
                struct talk_stats *stats)
{
    if (t->remote)
        return talk_remote_answer(t->remote, messages, answer, stop, stats);
    struct sluice_request rq;
    struct sluice_chat chat;
    struct sluice_stream *stream;
    struct sluice_error err = {0};
    sluice_request_init(&rq, sizeof rq);
    sluice_chat_init(&chat, sizeof chat);
    set_sampling(t->o, &rq.sampling);
    if (t->o->is_raw) {
        rq.text = messages.p;
        rq.text_bytes = messages.n;
    } else {
        chat.messages = messages.p;
        chat.messages_bytes = messages.n;
        rq.chat = &chat;
    }
    if (sluice_submit(t->ctx, &rq, &stream, &err) != SLUICE_OK)
        return cli_fail(EXIT_FAIL, "%s", err.text);
    int rc = read_stream(stream, answer, stop, stats);
    sluice_stream_free(stream);
    return rc;
}
