/* seq.c - One request inside the engine: its tokens, pages, sampler and text. */
#include "engine/seq.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "engine/grammar_constraint.h"

#define SEQ_BYTES_MAX       ((size_t)256 << 20)
#define SEQ_STOP_TOKENS_MAX 1024

static int out_of_memory(struct err *err)
{
    return fail(err, ERR_NOMEM, "no memory for the request");
}

/* The prompt must fit into a sequence and into the pool. */
static int check_length(const struct seq_limits *l, const struct sluice_request *rq, size_t n_tokens,
                        struct err *err)
{
    int64_t answer = rq->sampling.max_tokens == 0 || rq->embed ? 0 : 1;
    if (n_tokens == 0)
        return fail(err, ERR_ARG, "the prompt is empty");
    if (rq->embed && ((int64_t)n_tokens > l->n_ctx || (int64_t)n_tokens > l->kv_tokens))
        return fail(err, ERR_LIMIT, "the text has %zu tokens; at most %lld can be embedded together",
                    n_tokens, (long long)(l->n_ctx < l->kv_tokens ? l->n_ctx : l->kv_tokens));
    if (n_tokens > INT32_MAX || (int64_t)n_tokens + answer > l->n_ctx)
        return fail(err, ERR_LIMIT,
                    "the prompt has %zu tokens; with at least %d for the answer it does not fit into the "
                    "context of %d tokens",
                    n_tokens, (int)answer, l->n_ctx);
    if ((int64_t)n_tokens + answer > l->kv_tokens)
        return fail(err, ERR_LIMIT,
                    "the prompt has %zu tokens; with at least %d for the answer it does not fit into the "
                    "KV pool of %lld tokens (raise kv_bytes)",
                    n_tokens, (int)answer, (long long)l->kv_tokens);
    return OK;
}

static int copy_tokens(struct seq *s, const struct seq_limits *l, const struct sluice_request *rq,
                       const int32_t *tokens, size_t n_tokens, struct err *err)
{
    int64_t most = l->n_ctx < l->kv_tokens ? l->n_ctx : l->kv_tokens;
    int64_t wanted = rq->embed                     ? (int64_t)n_tokens
                     : rq->sampling.max_tokens < 0 ? most
                                                   : (int64_t)n_tokens + rq->sampling.max_tokens;

    s->n_prompt = s->n_tokens = (int64_t)n_tokens;
    s->tokens_max = wanted < most ? wanted : most;
    s->tokens = arena_new_array(&s->arena, int32_t, (size_t)s->tokens_max + 1);
    s->pages =
        arena_new_array(&s->arena, int32_t, (size_t)((s->tokens_max + SEQ_DRAFT_MAX) / l->page_tokens) + 2);
    if (!s->tokens || !s->pages)
        return out_of_memory(err);
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || tokens[i] >= l->n_vocab)
            return fail(err, ERR_ARG, "token %zu of the prompt is %d; the model has tokens 0 to %d", i,
                        tokens[i], l->n_vocab - 1);
        s->tokens[i] = tokens[i];
    }
    return OK;
}

static int copy_stops(struct seq *s, const struct sluice_sampling *o, struct err *err)
{
    if (o->n_stop > SLUICE_STOP_MAX)
        return fail(err, ERR_ARG, "%zu stop strings; at most %d are possible", o->n_stop, SLUICE_STOP_MAX);
    s->stops = arena_new_array(&s->arena, struct str, o->n_stop + 1);
    if (!s->stops)
        return out_of_memory(err);
    for (size_t i = 0; i < o->n_stop; i++) {
        struct str stop = str_c(o->stop[i]);
        if (stop.n == 0)
            return fail(err, ERR_ARG, "stop string %zu is empty", i);
        if (stop.n > SLUICE_STOP_BYTES_MAX)
            return fail(err, ERR_ARG, "stop string %zu has %zu bytes; at most %d are possible", i, stop.n,
                        SLUICE_STOP_BYTES_MAX);
        if (!str_is_utf8(stop))
            return fail(err, ERR_ARG, "stop string %zu is not UTF-8", i);
        char *z = arena_str_z(&s->arena, stop);
        if (!z)
            return out_of_memory(err);
        s->stops[i] = str_of(z, stop.n);
    }
    s->n_stops = (int32_t)o->n_stop;
    return OK;
}

static int copy_ends(struct seq *s, const struct seq_limits *l, const struct sluice_sampling *o,
                     struct err *err)
{
    size_t n_eog;
    const int32_t *eog = tokenizer_eog(l->tokenizer, &n_eog);

    if (o->n_stop_tokens > SEQ_STOP_TOKENS_MAX)
        return fail(err, ERR_ARG, "%zu stop tokens; at most %d are possible", o->n_stop_tokens,
                    SEQ_STOP_TOKENS_MAX);
    int32_t *ends = arena_new_array(&s->arena, int32_t, o->n_stop_tokens + n_eog + 1);
    if (!ends)
        return out_of_memory(err);
    memcpy(ends, o->stop_tokens ? o->stop_tokens : ends, o->n_stop_tokens * sizeof *ends);
    if (n_eog > 0)
        memcpy(ends + o->n_stop_tokens, eog, n_eog * sizeof *ends);
    s->stop_tokens = s->ends = ends;
    s->n_stop_tokens = o->n_stop_tokens;
    s->n_ends = o->n_stop_tokens + n_eog;
    s->min_tokens = o->min_tokens;
    s->ignore_eos = o->ignore_eos;
    return OK;
}

/* What there is only where tokens are chosen. */
static int fill_sampling(struct seq *s, const struct seq_limits *l, const struct sluice_request *rq,
                         const struct sluice_sampling *sampling, struct err *err)
{
    int rc;
    if ((rc = copy_stops(s, sampling, err)) != OK || (rc = copy_ends(s, l, sampling, err)) != OK ||
        (rc = sampler_init(&s->sampler, &s->arena, sampling, l->n_vocab, s->tokens_max, err)) != OK)
        return rc;
    if (rq->grammar && (rc = grammar_constraint_create(&s->sampler.constraint, rq->grammar, err)) != OK)
        return rc;
    if (s->wants_prompt_logprobs &&
        !(s->prompt_logprobs = arena_new_array(&s->arena, struct sampled, SEQ_PROMPT_EVENT_TOKENS)))
        return out_of_memory(err);
    for (int64_t i = 0; i < s->n_prompt; i++)
        sampler_add(&s->sampler, s->tokens, i + 1, false);
    return OK;
}

static int fill_vector(struct seq *s, const struct seq_limits *l, const struct sluice_request *rq,
                       struct err *err)
{
    if (rq->grammar || rq->prompt_logprobs)
        return fail(err, ERR_ARG, "a request to embed has no answer, so %s means nothing",
                    rq->grammar ? "a grammar" : "prompt_logprobs");
    s->use_prefix = s->use_prefix && pool_skips_beginning(l->pooling);
    return pool_init(&s->pool, &s->arena, l->pooling, l->n_embd, rq->dimensions, s->n_prompt, err);
}

static int fill(struct seq *s, const struct seq_limits *l, const struct sluice_request *rq,
                const int32_t *tokens, size_t n_tokens, struct err *err)
{
    struct sluice_sampling sampling = rq->sampling;
    int rc;

    if (rq->priority < SLUICE_PRIORITY_HIGH || rq->priority > SLUICE_PRIORITY_LOW)
        return fail(err, ERR_ARG, "priority is %d; it must be high, normal or low", (int)rq->priority);
    if (!sampling.has_seed)
        rand_secure(&sampling.seed, sizeof sampling.seed);
    s->priority = rq->priority;
    s->show_special = rq->show_special;
    s->wants_prompt_logprobs = rq->prompt_logprobs;
    s->use_prefix = l->use_prefix && !rq->prompt_logprobs;
    s->usage.seed = sampling.seed;
    s->wants_vector = rq->embed;
    s->usage.prompt_tokens = n_tokens;
    if (rq->dimensions != 0 && !rq->embed)
        return fail(err, ERR_ARG, "dimensions are those of a vector, and embed is not set");
    if ((rc = copy_tokens(s, l, rq, tokens, n_tokens, err)) != OK ||
        (rc = s->wants_vector ? fill_vector(s, l, rq, err) : fill_sampling(s, l, rq, &sampling, err)) != OK)
        return rc;
    return emit_init(&s->emit, l->tokenizer, s->stops, s->n_stops, s->show_special, l->token_bytes_max, err);
}

/* Ring room for prompt log-probabilities, which are not held back by a slow reader, and for a vector. */
static size_t large_event_bytes(const struct seq *s, const struct sluice_request *rq, size_t n_tokens)
{
    if (s->wants_vector)
        return (size_t)s->pool.n_out * sizeof(float);
    if (!rq->prompt_logprobs)
        return 0;
    size_t tops = rq->sampling.logprobs > 0 ? (size_t)rq->sampling.logprobs : 0;
    size_t events = n_tokens / SEQ_PROMPT_EVENT_TOKENS + 2;
    return n_tokens * (sizeof(struct sluice_token) + tops * sizeof(struct sluice_top)) +
           events * (sizeof(struct sluice_event) + 64);
}

/* Text that one step can say: a token, its guesses, and what was held back. */
static size_t step_text_bytes(const struct seq_limits *l)
{
    return (SEQ_DRAFT_MAX + 2) * 3 * l->token_bytes_max + SLUICE_STOP_BYTES_MAX;
}

int seq_create(struct seq **out, const struct seq_limits *l, struct stream_home *home,
               const struct sluice_request *rq, const int32_t *tokens, size_t n_tokens, struct err *err)
{
    int rc = check_length(l, rq, n_tokens, err);
    if (rc != OK)
        return rc;
    struct seq *s = calloc(1, sizeof *s);
    if (!s)
        return out_of_memory(err);
    arena_init(&s->arena, SEQ_BYTES_MAX);
    rc = fill(s, l, rq, tokens, n_tokens, err);
    if (rc == OK) {
        s->stream = stream_create(home, rq, step_text_bytes(l), large_event_bytes(s, rq, n_tokens));
        if (!s->stream)
            rc = out_of_memory(err);
    }
    if (rc != OK) {
        seq_free(s);
        return rc;
    }
    s->draft_luck = 1;
    s->submitted_ns = clock_now_ns();
    *out = s;
    return OK;
}

void seq_free(struct seq *s)
{
    if (!s)
        return;
    if (s->sampler.constraint)
        s->sampler.constraint->ops->free(s->sampler.constraint);
    stream_release(s->stream);
    emit_deinit(&s->emit);
    arena_deinit(&s->arena);
    free(s);
}

void seq_add(struct seq *s, int32_t token)
{
    s->tokens[s->n_tokens++] = token;
    sampler_add(&s->sampler, s->tokens, s->n_tokens, true);
    s->usage.generated_tokens++;
}

bool seq_is_stop_token(const struct seq *s, int32_t token)
{
    for (size_t i = 0; i < s->n_stop_tokens; i++)
        if (s->stop_tokens[i] == token)
            return true;
    return false;
}

bool seq_is_end(const struct seq *s, const struct tokenizer *t, int32_t token)
{
    return !s->ignore_eos && tokenizer_is_eog(t, token);
}
