/* fake_test.c - A model for tests that is fast, deterministic and finds every mistake with pages. */
#include "engine/fake_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"

struct fake_cell {
    int32_t token, pos; /* pos -1: never written */
};

void fake_model_init(struct fake_model *m)
{
    m->page_tokens = m->page_tokens ? m->page_tokens : 8;
    m->n_pages = m->n_pages ? m->n_pages : 256;
    m->rows_max = m->rows_max ? m->rows_max : 128;
    m->outputs_max = m->outputs_max ? m->outputs_max : 64;
    m->n_ctx = m->n_ctx ? m->n_ctx : 1024;
    size_t n = (size_t)m->n_pages * (size_t)m->page_tokens;
    m->cells = calloc(n, sizeof *m->cells);
    m->logits = calloc((size_t)m->outputs_max * FAKE_VOCAB, sizeof *m->logits);
    m->states = calloc((size_t)m->rows_max * FAKE_EMBD, sizeof *m->states);
    REQUIRE(m->cells && m->logits && m->states);
    for (size_t i = 0; i < n; i++)
        m->cells[i].pos = -1;
}

void fake_model_deinit(struct fake_model *m)
{
    free(m->cells);
    free(m->logits);
    free(m->states);
}

static struct fake_cell *cell_at(struct fake_model *m, const struct model_seq *s, uint32_t pos)
{
    uint32_t page = pos / (uint32_t)m->page_tokens;
    if (page >= s->n_pages || s->pages[page] >= (uint32_t)m->n_pages) {
        m->is_corrupt = true;
        return &m->cells[0];
    }
    return &m->cells[s->pages[page] * (uint32_t)m->page_tokens + pos % (uint32_t)m->page_tokens];
}

static uint64_t fake_hash(struct fake_model *m, const struct model_seq *s, uint32_t pos)
{
    uint64_t h = 0;
    for (uint32_t p = 0; p <= pos; p++) {
        const struct fake_cell *c = cell_at(m, s, p);
        m->is_corrupt |= c->pos != (int32_t)p;
        h = rand_at(h, (uint64_t)c->token, p);
    }
    return h;
}

/* Of very different sizes: in another order their sum would be another. */
static void state_of_hash(uint64_t h, float *x)
{
    for (int32_t i = 0; i < FAKE_EMBD; i++)
        x[i] = (float)((rand_at_unit(h, 9, (uint64_t)i) - 0.5) * pow(10, (double)(h % 19)));
}

void fake_state_of(const int32_t *tokens, size_t n, float *x)
{
    uint64_t h = 0;
    for (size_t p = 0; p < n; p++)
        h = rand_at(h, (uint64_t)tokens[p], p);
    state_of_hash(h, x);
}

static void fake_logits(struct fake_model *m, const struct model_seq *s, uint32_t pos, float *x)
{
    uint64_t h = fake_hash(m, s, pos);
    for (int32_t i = 0; i < FAKE_VOCAB; i++) {
        double u = rand_at_unit(h, 7, (uint64_t)i);
        x[i] = (float)(u * u * u * 9);
    }
    x[FAKE_EOS] += (float)m->end_pull;
    if (m->copy_distance > 0 && pos + 1 >= (uint32_t)m->copy_distance)
        x[cell_at(m, s, pos + 1 - (uint32_t)m->copy_distance)->token] += 20;
}

static int fake_step(void *self, const struct model_batch *b, struct err *err)
{
    struct fake_model *m = self;
    uint32_t out = 0, states = 0;

    if (++m->n_steps == m->fail_step)
        return fail(err, ERR_IO, "step %d was told to fail", m->n_steps);
    REQUIRE(b->n_rows > 0 && b->n_rows <= (uint32_t)m->rows_max);
    for (uint32_t r = 0; r < b->n_rows; r++) {
        const struct model_row *row = &b->rows[r];
        if (r > 0 && row->seq == row[-1].seq)
            CHECK(row->pos == row[-1].pos + 1);
        CHECK(row->pos < (uint32_t)m->n_ctx && row->token >= 0 && row->token < FAKE_VOCAB);
        *cell_at(m, &b->seqs[row->seq], row->pos) = (struct fake_cell){row->token, (int32_t)row->pos};
        if (row->want & MODEL_WANT_HIDDEN)
            state_of_hash(fake_hash(m, &b->seqs[row->seq], row->pos),
                          m->states + (size_t)states++ * FAKE_EMBD);
        if (row->want & MODEL_WANT_LOGITS) {
            REQUIRE(out < (uint32_t)m->outputs_max);
            fake_logits(m, &b->seqs[row->seq], row->pos, m->logits + (size_t)out++ * FAKE_VOCAB);
        }
    }
    if (m->step_ns > 0)
        clock_fake_advance(m->step_ns + m->row_ns * b->n_rows);
    return OK;
}

static void fake_copy(void *self, uint32_t dst, uint32_t src, uint32_t n_tokens)
{
    struct fake_model *m = self;
    size_t page = (size_t)m->page_tokens;
    REQUIRE(dst != src && n_tokens < page);
    memcpy(m->cells + dst * page, m->cells + src * page, n_tokens * sizeof *m->cells);
    for (size_t i = n_tokens; i < page; i++)
        m->cells[dst * page + i].pos = -1;
}

static void fake_export(void *self, uint32_t page, void *bytes)
{
    struct fake_model *m = self;
    memcpy(bytes, m->cells + (size_t)page * (size_t)m->page_tokens,
           (size_t)m->page_tokens * sizeof *m->cells);
}

static void fake_import(void *self, uint32_t page, const void *bytes)
{
    struct fake_model *m = self;
    memcpy(m->cells + (size_t)page * (size_t)m->page_tokens, bytes,
           (size_t)m->page_tokens * sizeof *m->cells);
}

static void fake_identity(void *self, uint64_t id[2])
{
    const struct fake_model *m = self;
    id[0] = m->weights;
    id[1] = 0;
}

static float *fake_row(void *self, uint32_t i)
{
    struct fake_model *m = self;
    return m->logits + (size_t)i * FAKE_VOCAB;
}

static const float *fake_hidden(void *self, uint32_t i)
{
    struct fake_model *m = self;
    return m->states + (size_t)i * FAKE_EMBD;
}

struct compute fake_compute(struct fake_model *m)
{
    return (struct compute){.self = m,
                            .step = fake_step,
                            .logits = fake_row,
                            .hidden = fake_hidden,
                            .n_embd = FAKE_EMBD,
                            .pooling = m->pooling ? m->pooling : MODEL_POOL_LAST,
                            .kv_copy = fake_copy,
                            .isa = "ref",
                            .n_vocab = FAKE_VOCAB,
                            .n_ctx = m->n_ctx,
                            .page_tokens = m->page_tokens,
                            .n_pages = m->n_pages,
                            .rows_max = m->rows_max,
                            .outputs_max = m->outputs_max,
                            .kv_export = fake_export,
                            .kv_import = fake_import,
                            .kv_identity = fake_identity,
                            .kv_page_bytes = (uint64_t)m->page_tokens * sizeof *m->cells};
}

struct tokenizer *fake_tokenizer(void)
{
    static char names[FAKE_VOCAB][16];
    static struct str texts[FAKE_VOCAB];
    static int32_t kinds[FAKE_VOCAB];
    static float scores[FAKE_VOCAB];
    struct vocab_def def;
    struct tokenizer *t;
    struct err err;

    for (int i = 0; i < FAKE_VOCAB; i++) {
        kinds[i] = i < FAKE_BYTE    ? (i == 0 ? TOKEN_UNKNOWN : TOKEN_CONTROL)
                   : i < FAKE_WORDS ? TOKEN_BYTE
                                    : TOKEN_NORMAL;
        if (i < FAKE_BYTE)
            snprintf(names[i], sizeof names[i], "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else if (i < FAKE_WORDS)
            snprintf(names[i], sizeof names[i], "<0x%02X>", i - FAKE_BYTE);
        else
            snprintf(names[i], sizeof names[i], "%c%c\xc3\xa4w", 'a' + (i - FAKE_WORDS) % 26,
                     'a' + (i - FAKE_WORDS) / 26);
        texts[i] = str_c(names[i]);
        scores[i] = (float)-i;
    }
    vocab_def_init(&def);
    def.model = S("llama");
    def.tokens = texts;
    def.n_tokens = FAKE_VOCAB;
    def.scores = scores;
    def.kinds = kinds;
    def.role[ROLE_BOS] = FAKE_BOS;
    def.role[ROLE_EOS] = FAKE_EOS;
    def.role[ROLE_UNK] = 0;
    if (tokenizer_create(&t, &def, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
    return t;
}

static struct engine *make_engine(struct engine_options o)
{
    struct engine *e;
    struct err err;
    o.max_queue = 256;
    o.use_prefix = true;
    if (engine_create(&e, &o, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
    return e;
}

struct engine *fake_engine(struct fake_model *m, struct tokenizer *t, int32_t max_batch, double budget_us,
                           int32_t draft_max, bool threaded)
{
    return make_engine((struct engine_options){.compute = fake_compute(m),
                                               .tokenizer = t,
                                               .max_batch = max_batch,
                                               .step_budget_us = budget_us,
                                               .draft_max = draft_max,
                                               .hold = !threaded});
}

struct engine *fake_engine_drafted(struct fake_model *m, struct fake_model *draft, struct tokenizer *t,
                                   int32_t max_batch, double budget_us, int32_t draft_max)
{
    struct compute c = {.self = NULL};
    if (draft)
        c = fake_compute(draft);
    return make_engine((struct engine_options){.compute = fake_compute(m),
                                               .tokenizer = t,
                                               .max_batch = max_batch,
                                               .step_budget_us = budget_us,
                                               .draft_max = draft_max,
                                               .draft = draft ? &c : NULL,
                                               .hold = true});
}

struct engine *fake_engine_on_disk(struct fake_model *m, struct tokenizer *t, int32_t max_batch,
                                   int32_t draft_max, const char *dir, uint64_t dir_bytes)
{
    return make_engine((struct engine_options){.compute = fake_compute(m),
                                               .tokenizer = t,
                                               .max_batch = max_batch,
                                               .step_budget_us = 5000,
                                               .draft_max = draft_max,
                                               .kv_cache_dir = dir,
                                               .kv_cache_bytes = dir_bytes,
                                               .hold = true});
}

static void hear_tokens(struct heard *h, const struct sluice_event *ev)
{
    for (size_t i = 0; i < ev->n_tokens; i++) {
        double mass = 0;
        REQUIRE(h->n_tokens < 4096);
        h->tokens[h->n_tokens] = ev->tokens[i].id;
        h->logprobs[h->n_tokens++] = ev->tokens[i].logprob;
        for (size_t k = 0; k < ev->tokens[i].n_top; k++)
            mass += exp((double)ev->tokens[i].top[k].logprob);
        h->top_mass = mass > h->top_mass ? mass : h->top_mass;
    }
}

void heard_event(void *user, struct sluice_stream *s, const struct sluice_event *ev)
{
    struct heard *h = user;
    (void)s;
    CHECK(h->n_done == 0);
    h->is_text_broken |= !str_is_utf8(str_of(ev->text, ev->text_bytes));
    switch (ev->kind) {
    case SLUICE_EVENT_START: h->n_start++; break;
    case SLUICE_EVENT_PROMPT:
        for (size_t i = 0; i < ev->n_tokens; i++)
            h->prompt_logprobs[h->n_prompt_logprobs++] = ev->tokens[i].logprob;
        break;
    case SLUICE_EVENT_TEXT:
        REQUIRE(h->n_text + ev->text_bytes < sizeof h->text);
        memcpy(h->text + h->n_text, ev->text, ev->text_bytes);
        h->n_text += ev->text_bytes;
        hear_tokens(h, ev);
        break;
    case SLUICE_EVENT_VECTOR:
        REQUIRE(h->n_vector == 0 && ev->n_vector > 0 && ev->n_vector <= FAKE_EMBD);
        memcpy(h->vector, ev->vector, ev->n_vector * sizeof *ev->vector);
        h->n_vector = (int32_t)ev->n_vector;
        break;
    case SLUICE_EVENT_DONE:
        h->n_done++;
        h->finish = ev->finish;
        h->stop_idx = ev->stop_idx;
        h->stop_token = ev->stop_token;
        h->usage = ev->usage;
        h->error_code = ev->error_code;
        snprintf(h->error_text, sizeof h->error_text, "%s", ev->error_text ? ev->error_text : "");
        break;
    }
}

void fake_solo(const struct fake_model *like, struct tokenizer *t, const struct sluice_request *rq,
               const int32_t *tokens, size_t n_tokens, struct heard *out)
{
    struct fake_model m = {.page_tokens = 16,
                           .n_pages = 256,
                           .n_ctx = like->n_ctx,
                           .copy_distance = like->copy_distance,
                           .end_pull = like->end_pull};
    struct sluice_request solo = *rq;
    struct err err;

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 1, 1e6, 0, false);
    *out = (struct heard){0};
    solo.on_event = heard_event;
    solo.user = out;
    REQUIRE(engine_submit(e, &solo, tokens, n_tokens, &out->stream, &err) == OK);
    while (out->n_done == 0)
        REQUIRE(engine_turn(e));
    CHECK(!m.is_corrupt);
    CHECK(engine_pages_are_whole(e));
    sluice_stream_free(out->stream);
    engine_free(e);
    fake_model_deinit(&m);
}

void fake_submit(struct engine *e, const struct sluice_request *rq, const int32_t *tokens, size_t n,
                 struct heard *h)
{
    struct err err;
    *h = (struct heard){0};
    if (engine_submit(e, rq, tokens, n, &h->stream, &err) != OK) {
        test_fail(__FILE__, __LINE__, "%s", err.text);
        test_stop();
    }
}
