/* face_context.c - Contexts and requests at the library's door. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/face_context.h"
#include "engine/grammar_constraint.h"

#define QUEUE_DEFAULT  512
#define QUEUE_MAX      65536
#define BUDGET_DEFAULT 50000
#define DRAFT_DEFAULT  5
#define CACHE_DEFAULT  (UINT64_C(4) << 30)

int face_check_alive(const struct sluice_context *ctx, struct err *err)
{
    if (ctx->model->pid != getpid())
        return fail(err, SLUICE_ERR_FORK,
                    "this context belongs to the process before fork(): it has no threads here");
    return OK;
}

static int check_options(const struct sluice_context_options *o, struct err *err)
{
    if (o->max_queue < 0 || o->max_queue > QUEUE_MAX)
        return fail(err, ERR_ARG, "max_queue is %d; it must be between 1 and %d, or 0 for %d", o->max_queue,
                    QUEUE_MAX, QUEUE_DEFAULT);
    if (o->step_budget_us < 0)
        return fail(err, ERR_ARG, "step_budget_us is %d; it must be positive, or 0 for %d", o->step_budget_us,
                    BUDGET_DEFAULT);
    if (o->draft_max > SEQ_DRAFT_MAX)
        return fail(err, ERR_ARG, "draft_max is %d; at most %d are possible", o->draft_max, SEQ_DRAFT_MAX);
    if (o->kv_cache_dir && o->no_prefix_cache)
        return fail(err, ERR_ARG, "kv_cache_dir keeps prompts, no_prefix_cache forgets them: one of both");
    return OK;
}

/* A draft model must mean the same by every token. */
static int check_draft(const struct sluice_model *m, const struct sluice_model *draft, struct err *err)
{
    int32_t n = tokenizer_n_vocab(m->tokenizer), n_draft = tokenizer_n_vocab(draft->tokenizer);
    if (!draft->model)
        return fail(err, ERR_ARG,
                    "the draft model was opened with vocab_only: it has no weights to compute with");
    if (n != n_draft || m->facts.n_vocab != draft->facts.n_vocab)
        return fail(err, ERR_ARG,
                    "the draft model has %d tokens, the model %d: they must have one vocabulary", n_draft, n);
    for (int32_t i = 0; i < n; i++)
        if (!str_eq(tokenizer_token_text(m->tokenizer, i), tokenizer_token_text(draft->tokenizer, i)))
            return fail(
                err, ERR_ARG,
                "token %d of the draft model is another than the model's: they must have one vocabulary", i);
    return OK;
}

/* A model is used by one thread at a time. */
static int take_model(struct sluice_model *m, const char *what, struct err *err)
{
    if (atomic_exchange(&m->has_context, true))
        return fail(err, ERR_STATE, "%s has a context already, and one is all that it can have", what);
    return OK;
}

static int create(struct sluice_context *ctx, const struct sluice_context_options *o, struct err *err)
{
    struct compute draft = {.self = NULL};
    if (ctx->draft)
        draft = compute_of_model(ctx->draft->model);
    struct engine_options eo = {
        .draft = ctx->draft ? &draft : NULL,
        .compute = compute_of_model(ctx->model->model),
        .tokenizer = ctx->model->tokenizer,
        .max_batch = ctx->model->max_batch,
        .max_queue = o->max_queue ? o->max_queue : QUEUE_DEFAULT,
        .step_budget_us = o->step_budget_us ? o->step_budget_us : BUDGET_DEFAULT,
        .use_prefix = !o->no_prefix_cache,
        .kv_cache_dir = o->kv_cache_dir,
        .kv_cache_bytes = o->kv_cache_bytes ? o->kv_cache_bytes : CACHE_DEFAULT,
        .draft_max = o->draft_max < 0 ? 0
                     : o->draft_max   ? o->draft_max
                                      : DRAFT_DEFAULT,
    };
    return engine_create(&ctx->engine, &eo, err);
}

SLUICE_API int sluice_context_create(struct sluice_model *model, const struct sluice_context_options *options,
                                     struct sluice_context **out, struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct sluice_context_options o;
    int rc;

    sluice_context_options_init(&o, sizeof o);
    if (options && (rc = face_copy_options(&o, sizeof o, options, options->struct_bytes,
                                           "sluice_context_options", err)) != OK)
        return rc;
    if ((rc = check_options(&o, err)) != OK)
        return rc;
    if (model->pid != getpid())
        return fail(err, SLUICE_ERR_FORK, "this model was opened before fork(): it has no threads here");
    if (!model->model)
        return fail(err, ERR_ARG, "the model was opened with vocab_only: it has no weights to compute with");
    if (o.draft == model)
        return fail(err, ERR_ARG, "the draft model is the model itself: open a smaller one");
    if ((o.draft && (rc = check_draft(model, o.draft, err)) != OK) ||
        (rc = take_model(model, "the model", err)) != OK)
        return rc;
    if (o.draft && (rc = take_model(o.draft, "the draft model", err)) != OK) {
        atomic_store(&model->has_context, false);
        return rc;
    }
    struct sluice_context *ctx = calloc(1, sizeof *ctx);
    if (!ctx) {
        rc = FACE_OUT_OF_MEMORY(err);
    } else {
        ctx->model = model;
        ctx->draft = o.draft;
        rc = create(ctx, &o, err);
    }
    if (rc != OK) {
        atomic_store(&model->has_context, false);
        if (o.draft)
            atomic_store(&o.draft->has_context, false);
        free(ctx);
        return rc;
    }
    *out = ctx;
    return OK;
}

SLUICE_API void sluice_context_free(struct sluice_context *ctx)
{
    if (!ctx)
        return;
    engine_free(ctx->engine);
    atomic_store(&ctx->model->has_context, false);
    if (ctx->draft)
        atomic_store(&ctx->draft->has_context, false);
    free(ctx);
}

SLUICE_API int sluice_context_get_stats(struct sluice_context *ctx, struct sluice_stats *stats,
                                        size_t struct_bytes)
{
    struct sluice_stats s = {.struct_bytes = struct_bytes};
    engine_get_stats(ctx->engine, &s);
    struct model_memory memory;
    model_memory(ctx->model->model, &memory);
    s.kv_bytes = memory.kv_bytes;
    memcpy(stats, &s, struct_bytes < sizeof s ? struct_bytes : sizeof s);
    return OK;
}

/* ---- requests ---- */

static int encode_prompt(const struct sluice_model *m, const struct sluice_request *rq,
                         struct token_list *list, struct err *err)
{
    int n_given = (rq->tokens != NULL) + (rq->text != NULL) + (rq->chat != NULL);
    if (n_given != 1)
        return fail(err, ERR_ARG, "the request must have exactly one of tokens, text and chat; it has %d",
                    n_given);
    if (rq->chat)
        return face_chat_encode(m, rq->chat, list, err);
    if (rq->text)
        return face_text_encode(m, face_text(rq->text, rq->text_bytes),
                                rq->embed ? SLUICE_ADD_BOS | SLUICE_ADD_EOS : SLUICE_ADD_BOS, list, err);
    token_list_init_array(list, (int32_t *)(uintptr_t)rq->tokens, rq->n_tokens); /* only read */
    list->n = rq->n_tokens;
    return OK;
}

SLUICE_API int sluice_submit(struct sluice_context *ctx, const struct sluice_request *given,
                             struct sluice_stream **stream, struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct sluice_request rq;
    struct token_list list = {0};
    int rc;

    sluice_request_init(&rq, sizeof rq);
    if ((rc = face_check_alive(ctx, err)) != OK ||
        (rc = face_copy_options(&rq, sizeof rq, given, given->struct_bytes, "sluice_request", err)) != OK ||
        (rc = encode_prompt(ctx->model, &rq, &list, err)) != OK)
        return rc;
    if (rq.grammar && rq.grammar->model != ctx->model) {
        token_list_deinit(&list);
        return fail(err, ERR_ARG, "the grammar was compiled for another model");
    }
    rc = engine_submit(ctx->engine, &rq, list.ids, list.n, stream, err);
    token_list_deinit(&list);
    return rc;
}
