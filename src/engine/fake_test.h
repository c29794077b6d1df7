/* fake_test.h - A model for tests that is fast, deterministic and finds every mistake with pages.
 *
 * Its logits are a hash of all tokens of the sequence up to the row, which it reads back through the
 * page table: a page that is missing, stale, shared wrongly or written twice changes them. */
#ifndef ENGINE_FAKE_TEST_H
#define ENGINE_FAKE_TEST_H

#include "engine/engine.h"

struct fake_model {
    int32_t page_tokens, n_pages, rows_max, outputs_max, n_ctx;
    int32_t copy_distance;      /* > 0: the token that stood so far back is nearly certain */
    double end_pull;            /* added to the logit of the end token */
    int64_t step_ns, row_ns;    /* > 0: how far a step moves the fake clock */
    enum model_pooling pooling; /* none: of last */
    uint64_t weights;           /* what tells it from another model, for pages on disk */
    int fail_step;              /* this step fails (counted from 1); 0: none */
    /* What it saw. */
    int n_steps;
    bool is_corrupt;          /* a row read a position that was never written */
    int32_t longest_gap_rows; /* most rows in a step that also decoded */
    struct fake_cell *cells;
    float *logits, *states;
};

#define FAKE_VOCAB 320
#define FAKE_EMBD  24
#define FAKE_BOS   1
#define FAKE_EOS   2
#define FAKE_BYTE  3 /* token of byte b is FAKE_BYTE + b */
#define FAKE_WORDS 259

/* Zero fields get usual values. */
void fake_model_init(struct fake_model *m);
void fake_model_deinit(struct fake_model *m);
struct compute fake_compute(struct fake_model *m);
/* The hidden state [FAKE_EMBD] of the last of these tokens. */
void fake_state_of(const int32_t *tokens, size_t n, float *x);
/* 256 byte tokens, <s>, </s>, <unk>, and some words. */
struct tokenizer *fake_tokenizer(void);

/* An engine on the fake model, held (engine_turn is called by the test) unless `threaded`. */
struct engine *fake_engine(struct fake_model *m, struct tokenizer *t, int32_t max_batch, double budget_us,
                           int32_t draft_max, bool threaded);
/* The same with a model that guesses (NULL: the text itself). */
struct engine *fake_engine_drafted(struct fake_model *m, struct fake_model *draft, struct tokenizer *t,
                                   int32_t max_batch, double budget_us, int32_t draft_max);

/* The same with a folder of KV pages. */
struct engine *fake_engine_on_disk(struct fake_model *m, struct tokenizer *t, int32_t max_batch,
                                   int32_t draft_max, const char *dir, uint64_t dir_bytes);

/* All that a stream said. */
struct heard {
    struct sluice_stream *stream;
    int32_t tokens[4096];
    float logprobs[4096];
    int32_t n_tokens;
    char text[16384];
    size_t n_text;
    int n_start, n_done;
    bool is_text_broken; /* a piece was not UTF-8 */
    int32_t stop_idx, stop_token;
    enum sluice_finish finish;
    struct sluice_usage usage;
    int error_code;
    char error_text[256];
    float prompt_logprobs[4096];
    int32_t n_prompt_logprobs;
    float vector[FAKE_EMBD];
    int32_t n_vector;
    double top_mass; /* largest sum of exp(top logprobs) of a token */
};
/* For sluice_request.on_event, with user a struct heard. */
void heard_event(void *user, struct sluice_stream *s, const struct sluice_event *ev);
/* Give the engine a request whose on_event is heard_event for h; the test ends if it is refused. */
void fake_submit(struct engine *e, const struct sluice_request *rq, const int32_t *tokens, size_t n,
                 struct heard *h);

/* Run one request alone on a fresh engine until it is done. */
void fake_solo(const struct fake_model *like, struct tokenizer *t, const struct sluice_request *rq,
               const int32_t *tokens, size_t n_tokens, struct heard *out);

#endif
