/* seq.h - One request inside the engine: its tokens, pages, sampler and text.
 *
 * Made by the asker's thread (seq_create takes all the memory that it will ever need), handed to
 * the engine thread through the inbox, and owned by it from then on. */
#ifndef ENGINE_SEQ_H
#define ENGINE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/compute.h"
#include "engine/emit.h"
#include "engine/pool.h"
#include "engine/sample.h"
#include "engine/stream.h"
#include "sluice.h"
#include "text/tokenizer.h"

#define SEQ_DRAFT_MAX 16

/* Has the KV cache on disk been asked for the sequence's pages? */
enum seq_disk { SEQ_DISK_UNASKED, SEQ_DISK_ASKED, SEQ_DISK_DONE };

struct seq {
    struct arena arena;
    struct sluice_stream *stream; /* one owner is this */
    struct seq *next;             /* in the inbox */
    int32_t priority;
    uint64_t arrival;

    int32_t *tokens; /* prompt and answer */
    int64_t n_tokens, n_prompt;
    int64_t tokens_max; /* the answer ends here (`length`) */
    int64_t n_ctx;      /* tokens whose keys and values are in pages */
    int32_t *pages;
    int32_t n_pages;
    int32_t n_kept; /* pages that the prefix tree knows */
    /* While it waits: a page of the tree that begins like the first one that is missing. */
    int32_t part_page, n_part; /* n_part tokens of it are the same */
    uint64_t part_born;        /* by prefix.born: tells whether it is still that page */
    bool is_running, has_started;
    enum seq_disk disk; /* while it waits */

    int32_t draft[SEQ_DRAFT_MAX]; /* guesses behind tokens[n_tokens - 1] */
    int32_t n_draft;
    double draft_luck; /* share of guesses that were right lately */

    bool ignore_eos, use_prefix;
    int32_t min_tokens;
    const int32_t *stop_tokens;
    size_t n_stop_tokens;
    const int32_t *ends; /* what min_tokens forbids: end tokens and stop_tokens */
    size_t n_ends;
    struct str *stops;
    int32_t n_stops;
    bool show_special;
    struct sampler sampler;
    struct emit emit;

    bool wants_prompt_logprobs;
    int64_t n_prompt_told;
    struct sampled *prompt_logprobs; /* of one event */

    bool wants_vector; /* and no answer */
    struct pool pool;

    struct sluice_usage usage;
    int64_t submitted_ns, started_ns, first_ns, last_ns; /* 0: not yet */
};

#define SEQ_PROMPT_EVENT_TOKENS 32 /* tokens of one SLUICE_EVENT_PROMPT */

/* What seq_create must know of the engine. */
struct seq_limits {
    const struct tokenizer *tokenizer;
    size_t token_bytes_max;
    int32_t n_vocab;
    int32_t n_ctx;     /* tokens of one sequence */
    int64_t kv_tokens; /* tokens that all pages hold */
    int32_t page_tokens;
    bool use_prefix;
    int32_t n_embd;
    enum model_pooling pooling;
};

/* A sequence for `rq`, whose prompt is tokens[n_tokens]; nothing of either is kept.  Errors as
 * sluice_submit says. */
int seq_create(struct seq **out, const struct seq_limits *limits, struct stream_home *home,
               const struct sluice_request *rq, const int32_t *tokens, size_t n_tokens, struct err *err);
/* Lets the stream go.  Pages must have been released. */
void seq_free(struct seq *s);

static inline int64_t seq_n_answer(const struct seq *s)
{
    return s->n_tokens - s->n_prompt;
}

/* Add a sampled token. */
void seq_add(struct seq *s, int32_t token);

bool seq_is_end(const struct seq *s, const struct tokenizer *t, int32_t token);
bool seq_is_stop_token(const struct seq *s, int32_t token);

#endif
