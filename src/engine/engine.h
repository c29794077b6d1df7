/* engine.h - The engine thread: takes requests, plans steps, computes, samples, tells.
 *
 * This is the inside of struct sluice_context, free of files and templates, so that tests can run
 * it on a fake model.  Everything in struct engine that is not marked is the engine thread's. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/compute.h"
#include "engine/seq.h"
#include "engine/stream.h"

struct engine;

struct engine_options {
    struct compute compute;
    const struct tokenizer *tokenizer; /* borrowed */
    int32_t max_batch;                 /* at most compute.outputs_max */
    int32_t max_queue;
    double step_budget_us;
    bool use_prefix;
    const struct compute *draft; /* a model that guesses, or NULL; copied */
    int32_t draft_max;           /* guesses of one sequence and step; 0: never guess */
    const char *kv_cache_dir;    /* folder of KV pages (disk.h), or NULL; used by engine_create only */
    uint64_t kv_cache_bytes;     /* its size at most */
    bool hold;                   /* for tests: do not start the thread; engine_turn does what it would do */
};

int engine_create(struct engine **out, const struct engine_options *o, struct err *err);
void engine_free(struct engine *e);

/* Any thread.  As sluice_submit, with the prompt as tokens. */
int engine_submit(struct engine *e, const struct sluice_request *rq, const int32_t *tokens, size_t n_tokens,
                  struct sluice_stream **stream, struct err *err);
/* Any thread. */
void engine_get_stats(struct engine *e, struct sluice_stats *stats);

/* Any thread: guess (as options.draft_max allows, the default) or do not, from the next step on. */
void engine_set_drafting(struct engine *e, bool is_on);

/* With `hold`: one turn of the engine thread.  False when there was nothing to do. */
bool engine_turn(struct engine *e);
/* For tests, while the engine has nothing to do: every page is either free or cached and held
 * only by the prefix tree. */
bool engine_pages_are_whole(const struct engine *e);

#endif
