/* face_bench_draft.c - What is guessing worth on this model and text?
 *
 * The same greedy answers are generated with and without guesses, in pairs whose order alternates, so
 * that a machine that becomes slower meanwhile does not look like a gain.  The answers are compared:
 * guessing must not change a token. */
#include <stdlib.h>
#include <string.h>

#include "engine/face_bench_int.h"

/* Much of what models write repeats what they read: a list that is to be copied stands for that. */
static const char copying[] =
    "Names, towns and years:\n"
    "1. Anna Berg, Lisbon, 1987\n2. Omar Haddad, Bergen, 1992\n3. Julia Novak, Porto, 1979\n"
    "4. Peter Lind, Vienna, 2001\n5. Maria Costa, Dublin, 1968\n6. Jonas Weber, Athens, 1995\n"
    "7. Clara Rossi, Geneva, 1983\n8. Yusuf Kaya, Riga, 1990\n\n"
    "The same list again, unchanged:\n\n"
    "Names, towns and years:\n"
    "1. Anna Berg, Lisbon, 1987\n2. Omar Haddad, Bergen, 1992\n3. Julia";

/* The streams of one measurement. */
struct run {
    struct sluice_stream *s[BENCH_STREAMS_MAX];
    int32_t n;
    int32_t *tokens; /* [n_streams][generate_tokens] that came */
    int64_t n_tokens;
    double per_s;
};

static int submit(struct bench *b, const struct token_list *prompt, struct run *r, struct err *err)
{
    struct sluice_request rq;
    sluice_request_init(&rq, sizeof rq);
    rq.tokens = prompt->ids;
    rq.n_tokens = prompt->n;
    rq.sampling.temperature = 0;
    rq.sampling.max_tokens = b->o.generate_tokens + 1;
    rq.sampling.ignore_eos = true;
    int rc = sluice_submit(b->ctx, &rq, &r->s[r->n], (struct sluice_error *)err);
    r->n += rc == OK;
    return rc;
}

static int read_stream(struct sluice_stream *s, struct run *r, int64_t room, struct err *err)
{
    struct sluice_event ev;
    int rc;
    while ((rc = sluice_stream_next(s, -1, &ev, (struct sluice_error *)err)) == 1 &&
           ev.kind != SLUICE_EVENT_DONE)
        for (size_t i = 0; i < ev.n_tokens && r->n_tokens < room; i++)
            r->tokens[r->n_tokens++] = ev.tokens[i].id;
    if (rc != 1)
        return rc;
    if (ev.finish == SLUICE_FINISH_ERROR)
        return fail(err, ev.error_code, "%s", ev.error_text);
    r->per_s += (double)(ev.usage.generated_tokens - 1) / ((double)ev.timings.generate_us / 1e6);
    return OK;
}

static int generate(struct bench *b, const struct token_list *prompt, bool is_drafting, struct run *r,
                    struct err *err)
{
    int rc = OK;
    engine_set_drafting(b->ctx->engine, is_drafting);
    r->n = 0;
    r->n_tokens = 0;
    r->per_s = 0;
    for (int32_t i = 0; rc == OK && i < b->o.n_streams; i++)
        rc = submit(b, prompt, r, err);
    for (int32_t i = 0; i < r->n; i++) {
        if (rc == OK)
            rc = read_stream(r->s[i], r, (int64_t)(i + 1) * b->o.generate_tokens, err);
        sluice_stream_free(r->s[i]);
    }
    return rc;
}

/* One after the other, the second one first in every second pair. */
static int pair(struct bench *b, const struct token_list *prompt, int i, struct run *with,
                struct run *without, struct err *err)
{
    int rc = generate(b, prompt, i % 2 == 0, i % 2 == 0 ? with : without, err);
    if (rc == OK)
        rc = generate(b, prompt, i % 2 != 0, i % 2 == 0 ? without : with, err);
    if (rc == OK &&
        (with->n_tokens != without->n_tokens ||
         memcmp(with->tokens, without->tokens, (size_t)with->n_tokens * sizeof *with->tokens) != 0))
        rc = fail(err, ERR_STATE, "guessing has changed an answer, which must not happen: please report it");
    return rc;
}

static int measure(struct bench *b, const struct token_list *prompt, struct run *with, struct run *without,
                   struct json_writer *w, struct err *err)
{
    double gain[BENCH_REPETITIONS_MAX], on[BENCH_REPETITIONS_MAX], off[BENCH_REPETITIONS_MAX];
    struct sluice_stats before, after;
    int rc = pair(b, prompt, 0, with, without, err); /* to warm up */

    sluice_context_get_stats(b->ctx, &before, sizeof before);
    for (int i = 0; rc == OK && i < b->o.repetitions; i++) {
        rc = pair(b, prompt, i, with, without, err);
        on[i] = with->per_s;
        off[i] = without->per_s;
        gain[i] = off[i] > 0 ? on[i] / off[i] : 0;
    }
    if (rc != OK)
        return rc;
    sluice_context_get_stats(b->ctx, &after, sizeof after);
    uint64_t guessed = after.draft_tokens - before.draft_tokens;
    uint64_t accepted = after.draft_accepted - before.draft_accepted;
    jw_key(w, "draft");
    jw_begin_object(w);
    jw_kv_z(w, "kind", b->ctx->draft ? "model" : "ngram");
    jw_kv_i64(w, "tokens", (int64_t)b->o.repetitions * b->o.n_streams * b->o.generate_tokens);
    jw_kv_i64(w, "guessed", (int64_t)guessed);
    jw_kv_i64(w, "accepted", (int64_t)accepted);
    jw_kv_f64(w, "acceptance", guessed ? (double)accepted / (double)guessed : 0);
    bench_put_spread(w, "gain", bench_spread_of(gain, b->o.repetitions));
    bench_put_spread(w, "with", bench_spread_of(on, b->o.repetitions));
    bench_put_spread(w, "without", bench_spread_of(off, b->o.repetitions));
    jw_end_object(w);
    return OK;
}

int bench_drafts(struct bench *b, struct json_writer *w, struct err *err)
{
    struct str text = b->o.prompt ? face_text(b->o.prompt, b->o.prompt_bytes) : str_c(copying);
    size_t n = (size_t)b->o.n_streams * (size_t)b->o.generate_tokens + 1;
    struct run with = {.tokens = calloc(n, sizeof(int32_t))},
               without = {.tokens = calloc(n, sizeof(int32_t))};
    struct token_list prompt;
    int rc = face_text_encode(b->ctx->model, text, SLUICE_ADD_BOS, &prompt, err);

    if (rc == OK) {
        rc = with.tokens && without.tokens ? measure(b, &prompt, &with, &without, w, err)
                                           : FACE_OUT_OF_MEMORY(err);
        token_list_deinit(&prompt);
    }
    free(with.tokens);
    free(without.tokens);
    return rc;
}
