/* local_embed.c - The inputs of an embeddings request, checked and as tokens, before any is computed.
 *
 * A request is refused as a whole: with one input that cannot be embedded nothing is computed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/dialect.h"
#include "server/local_int.h"

#define ANSWER_BYTES    ((size_t)60 << 20) /* of the vectors of one answer, as text */
#define NUMBER_BYTES    16                 /* "-1.23456789e-05," */
#define NUMBER_BYTES_64 6                  /* of base64 */
#define TOKENS_EXTRA    16                 /* more than bytes: begin, end, a space in front */

static int out_of_memory(struct chat_error *e)
{
    return chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                          "the request needs more memory than one request may have");
}

int local_texts_of(const struct chat_request *req, struct buf *dropped, struct arena *a,
                   struct local_texts *t, struct chat_error *e)
{
    struct chat_request ask = *req; /* what it asks for besides its inputs, as a foreign dialect sees it */
    struct dialect_target target = {.model = req->model};
    struct buf body;
    struct dialect_out out = {.body = &body};
    ask.from = DIALECT_GEMINI;
    ask.n_inputs = 0;
    buf_init(&body, 1 << 20);
    int rc = dialect_get(DIALECT_OPENAI_EMBEDDINGS)->write_request(&ask, &target, a, &out);
    buf_deinit(&body);
    if (rc != OK)
        return out_of_memory(e);
    if (out.lacks.n_refused) {
        const char *field = lacks_first_refused(&out.lacks);
        return chat_error_set(e, CHAT_ERR_INVALID, field, "%s is not possible with a local model", field);
    }
    lacks_write_dropped(&out.lacks, dropped);
    *t = (struct local_texts){
        .n = req->n_inputs, .dimensions = req->dimensions.v, .is_base64 = req->is_base64};
    t->inputs = local_copy_prompts(req->inputs, req->n_inputs, a);
    t->tokens = arena_new_array(a, struct local_tokens, req->n_inputs);
    return t->inputs && t->tokens ? OK : out_of_memory(e);
}

/* ---- on the preparing thread ---- */

struct bounds {
    const struct sluice_model *model;
    int32_t n_vocab;
    int64_t n_tokens_max; /* of one input */
};

static int tokenize_text(const struct bounds *b, struct str text, struct arena *a, struct local_tokens *to,
                         struct chat_error *e)
{
    struct sluice_error err = {0};
    size_t cap = text.n + TOKENS_EXTRA;
    int32_t *all = malloc(cap * sizeof *all);
    int flags = SLUICE_ADD_BOS | SLUICE_ADD_EOS;
    if (!all)
        return out_of_memory(e);
    int64_t n = sluice_tokenize(b->model, text.p, text.n, flags, all, cap, &err);
    if (n < 0 || (size_t)n > cap) {
        free(all);
        return chat_error_set(e, CHAT_ERR_INVALID, "input", "%s",
                              n < 0 ? err.text : "an input has more tokens than bytes");
    }
    int32_t *kept = arena_new_array(a, int32_t, (size_t)n + 1);
    if (kept)
        memcpy(kept, all, (size_t)n * sizeof *kept);
    free(all);
    *to = (struct local_tokens){kept, (size_t)n};
    return kept ? OK : out_of_memory(e);
}

static int copy_ids(const struct bounds *b, const struct chat_prompt *p, size_t idx, struct arena *a,
                    struct local_tokens *to, struct chat_error *e)
{
    int32_t *ids = arena_new_array(a, int32_t, p->n_tokens + 1);
    if (!ids)
        return out_of_memory(e);
    for (size_t i = 0; i < p->n_tokens; i++) {
        if (p->tokens[i] < 0 || p->tokens[i] >= b->n_vocab)
            return chat_error_set(e, CHAT_ERR_INVALID, "input",
                                  "token %zu of input %zu is %lld; the model has tokens 0 to %d", i, idx,
                                  (long long)p->tokens[i], b->n_vocab - 1);
        ids[i] = (int32_t)p->tokens[i];
    }
    *to = (struct local_tokens){ids, p->n_tokens};
    return OK;
}

static int tokenize_one(const struct bounds *b, const struct chat_prompt *p, size_t idx, struct arena *a,
                        struct local_tokens *to, struct chat_error *e)
{
    int rc = OK;
    if (p->text.p && p->text.n)
        rc = tokenize_text(b, p->text, a, to, e);
    else if (!p->text.p)
        rc = copy_ids(b, p, idx, a, to, e);
    if (rc != OK)
        return rc;
    if (to->n == 0)
        return chat_error_set(e, CHAT_ERR_INVALID, "input", "input %zu is empty", idx);
    if ((int64_t)to->n <= b->n_tokens_max)
        return OK;
    chat_error_set(e, CHAT_ERR_CONTEXT_LENGTH, "input", "input %zu has %zu tokens; at most %lld are possible",
                   idx, to->n, (long long)b->n_tokens_max);
    snprintf(e->code, sizeof e->code, "context_length_exceeded");
    return ERR_LIMIT;
}

static int check_answer(const struct local_texts *t, int32_t n_embd, struct chat_error *e)
{
    if (t->dimensions > n_embd)
        return chat_error_set(e, CHAT_ERR_INVALID, "dimensions",
                              "dimensions is %lld; the model's vectors have %d numbers",
                              (long long)t->dimensions, n_embd);
    size_t n = (size_t)(t->dimensions ? t->dimensions : n_embd);
    size_t most = ANSWER_BYTES / (n * (t->is_base64 ? NUMBER_BYTES_64 : NUMBER_BYTES));
    if (t->n <= most)
        return OK;
    return chat_error_set(
        e, CHAT_ERR_INVALID, "input",
        "%zu vectors of %zu numbers are more than one answer may hold: send at most %zu inputs at a time%s",
        t->n, n, most, t->is_base64 ? "" : ", or ask for base64");
}

int local_texts_tokenize(struct local_texts *t, const struct served *s, const _Atomic bool *is_cancelled,
                         struct arena *a, struct chat_error *e)
{
    struct sluice_model_info info;
    struct sluice_stats stats;
    sluice_model_get_info(s->model, &info, sizeof info);
    sluice_context_get_stats(s->ctx, &stats, sizeof stats);
    int64_t pool = (int64_t)stats.kv_pages * stats.kv_page_tokens;
    struct bounds b = {s->model, info.n_vocab, stats.context < pool ? stats.context : pool};
    int rc = check_answer(t, info.n_embd, e);
    for (size_t i = 0; rc == OK && i < t->n && !atomic_load(is_cancelled); i++)
        rc = tokenize_one(&b, &t->inputs[i], i, a, &t->tokens[i], e);
    return rc;
}
