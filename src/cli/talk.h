/* talk.h - Somebody who answers: a model of this process, or one of a running server. */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include <signal.h>

#include "cli/cli.h"

/* What `run` was told; shared by both ways. */
struct talk_options {
    const char *system;
    double temperature, top_p, min_p, repeat_penalty; /* < 0: not said */
    int64_t top_k, max_tokens, seed;                  /* -1: not said */
    const char *stops[16];
    int n_stops;
    bool is_raw; /* continue the text, no chat template */
    struct sluice_model_options model;
    struct sluice_context_options context;
    const char *draft; /* as cli_open_draft; NULL: the default */
};

struct talk_stats {
    int64_t prompt_tokens, cached_tokens, answer_tokens, guessed_tokens, accepted_tokens;
    double queue_s, prompt_s, answer_s; /* queue_s: until computing began, pages loaded from disk included */
};

struct talk;
/* MODEL as on the command line.  NULL after saying why (then *status). */
struct talk *talk_open(const char *model, const struct talk_options *o, int *status);
void talk_close(struct talk *t);

/* Answers `messages` (a JSON array; or plain text if is_raw) piece by piece to stdout.  The whole
 * answer is appended to `answer`.  When *stop becomes non-zero the answer ends where it is.
 * Returns EXIT_OK, or says why not. */
int talk_answer(struct talk *t, struct str messages, struct buf *answer, volatile sig_atomic_t *stop,
                struct talk_stats *stats);

/* talk_remote.c */
struct talk_remote;
struct talk_remote *talk_remote_open(const char *url, const struct talk_options *o, int *status);
void talk_remote_close(struct talk_remote *r);
int talk_remote_answer(struct talk_remote *r, struct str messages, struct buf *answer,
                       volatile sig_atomic_t *stop, struct talk_stats *stats);

/* chat.c: a conversation on a terminal; returns the exit status. */
int chat_run(struct talk *t, const char *name, const struct talk_options *o, bool show_stats);

#endif
