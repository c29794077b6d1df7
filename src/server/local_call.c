/* local_call.c - One request being computed by a local model.
 *
 * A call has n answers ("choices"), each a polled stream of the engine.  When a stream has
 * something to say, the engine thread posts the choice's task to the loop, which reads the
 * stream until it is empty: so a client that reads slowly simply stops the reading, and the
 * engine's own bounded queue holds the sequence back.  Of an embeddings request the choices are places: each
 * computes one input after the other, so that many inputs are computed together and few wait in the engine.
 *
 * Life: start -> (wait for the model) -> (prepare: compile the form, tokenize, submit) -> events -> on_done.
 * The waits happen on other threads; `state` says who may touch the call: only the loop thread
 * frees it, and never while a task of it is posted (n_posted). */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/rand.h"
#include "server/local_int.h"

#define CALL_ARENA_MAX     ((size_t)1 << 30)
#define INLINE_PREPARE_MAX 16384 /* bytes of a request that is tokenized on the loop itself */
#define TOOL_ID_BYTES      40
#define FORMS_WAITING_MAX                                                                                    \
    256 /* past it a request with a form is refused: each may take a good part of a second */
#define FORMS_RETRY_MS 1000
#define EMBED_PLACES   32 /* inputs of one request that the engine is asked for at a time */

struct choice {
    struct local_call *call;
    int idx, prompt_idx;
    struct sluice_stream *stream;
    struct sluice_chat_parser *parser;
    struct loop_task task; /* posted by the engine thread: the stream can be read */
    _Atomic bool is_posted;
    bool is_done;
    bool has_tool_call;
    int block;
    enum sluice_part_kind block_kind;
    int tool_idx;
    struct sluice_usage usage;
    int64_t text_offset; /* characters so far, for legacy completions */
    /* while a piece of text is being parsed */
    int n_parts;
    const struct chat_logprob *logprobs;
    size_t n_logprobs;
    int rc;
};

enum call_state { CALL_WAITING, CALL_PREPARING, CALL_RUNNING, CALL_ENDED };

/* What a legacy completion asks for, in the call's own memory. */
struct completion {
    struct chat_prompt *prompts;
    struct str suffix;
    bool echo;
};

struct local_call {
    struct local *local;
    struct local_ask ask;
    struct served *served;
    bool is_using; /* holds a use of `served` */
    struct served_waiter waiter;
    struct loop_task task; /* posted by the loader */
    struct work work;      /* preparing */
    _Atomic int n_posted;  /* tasks under way */
    enum call_state state;
    enum chat_op op;
    _Atomic bool is_cancelled; /* also read by who prepares */
    bool is_paused, is_in_callback;
    struct arena arena, step_arena;
    struct local_prompt prompt;   /* of a conversation */
    struct completion completion; /* of a legacy completion */
    struct local_texts texts;     /* of an embeddings request */
    struct local_form form;
    struct sluice_grammar *grammar; /* while it is being submitted */
    struct sluice_sampling sampling;
    struct choice *choices;
    int n_choices, n_done;
    struct chat_error error; /* of preparing */
    bool has_error;
    int64_t n_tokens; /* of a count */
};

static void advance(struct local_call *c);
static void pump(struct choice *ch);
static int submit_choice(struct choice *ch);

/* ---- end ---- */

static void free_call(struct local_call *c)
{
    if (atomic_load(&c->n_posted) > 0)
        return; /* the last task that runs frees it */
    arena_deinit(&c->arena);
    arena_deinit(&c->step_arena);
    free(c->choices);
    free(c);
}

static void close_streams(struct local_call *c)
{
    for (int i = 0; i < c->n_choices; i++) {
        sluice_stream_free(c->choices[i].stream);
        sluice_chat_parser_free(c->choices[i].parser);
        c->choices[i].stream = NULL;
        c->choices[i].parser = NULL;
    }
    if (c->is_using)
        local_release(c->served);
    c->is_using = false;
}

static void end_call(struct local_call *c)
{
    c->state = CALL_ENDED;
    close_streams(c);
    if (!c->is_cancelled)
        c->ask.on_done(c->ask.ctx, c);
    c->is_cancelled = true;
    free_call(c);
}

static int send(struct local_call *c, const struct chat_event *ev)
{
    return c->is_cancelled ? ERR_CANCELLED : c->ask.sink.on_event(c->ask.sink.ctx, ev);
}

static void end_with_error(struct local_call *c, const struct chat_error *e)
{
    struct chat_event ev = {.type = CHAT_EV_ERROR, .error = e};
    send(c, &ev);
    end_call(c);
}

static enum chat_error_kind kind_of(int code)
{
    switch (code) {
    case SLUICE_ERR_LIMIT: return CHAT_ERR_CONTEXT_LENGTH;
    case SLUICE_ERR_ARG:
    case SLUICE_ERR_FORMAT:
    case SLUICE_ERR_UNSUPPORTED: return CHAT_ERR_INVALID;
    case SLUICE_ERR_BUSY: return CHAT_ERR_UNAVAILABLE;
    default: return CHAT_ERR_SERVER;
    }
}

static void set_error(struct local_call *c, enum chat_error_kind kind, const char *text)
{
    chat_error_set(&c->error, kind, NULL, "%s", text);
    if (kind == CHAT_ERR_CONTEXT_LENGTH)
        snprintf(c->error.code, sizeof c->error.code, "context_length_exceeded");
    c->has_error = true;
}

/* ---- events of a stream ---- */

static enum chat_finish finish_of(const struct choice *ch, const struct sluice_event *ev)
{
    switch (ev->finish) {
    case SLUICE_FINISH_LENGTH: return CHAT_FINISH_LENGTH;
    case SLUICE_FINISH_STOP: return CHAT_FINISH_STOP_SEQUENCE;
    default: return ch->has_tool_call ? CHAT_FINISH_TOOL_CALLS : CHAT_FINISH_STOP;
    }
}

static const struct chat_logprob *logprobs_of(struct choice *ch, const struct sluice_event *ev)
{
    struct arena *a = &ch->call->step_arena;
    struct chat_logprob *lp = arena_new_array(a, struct chat_logprob, ev->n_tokens + 1);
    for (size_t i = 0; lp && i < ev->n_tokens; i++) {
        const struct sluice_token *t = &ev->tokens[i];
        struct chat_top_logprob *top = arena_new_array(a, struct chat_top_logprob, t->n_top + 1);
        if (!top)
            return NULL;
        for (size_t k = 0; k < t->n_top; k++) {
            char piece[256];
            struct str text = S("");
            int64_t n = sluice_detokenize(ch->call->served->model, &t->top[k].id, 1, SLUICE_SPECIAL, piece,
                                          sizeof piece, NULL);
            if (n > 0)
                text = arena_str(a, str_of(piece, n > (int64_t)sizeof piece ? sizeof piece : (size_t)n));
            top[k] = (struct chat_top_logprob){text, t->top[k].id, (double)t->top[k].logprob};
        }
        lp[i] = (struct chat_logprob){.chosen = {str_of(t->bytes, t->n_bytes), t->id, (double)t->logprob},
                                      .top = top,
                                      .n_top = t->n_top,
                                      .text_offset = ch->text_offset};
        for (size_t b = 0; b < t->n_bytes; b++)
            ch->text_offset += ((unsigned char)t->bytes[b] & 0xc0) != 0x80;
    }
    return lp;
}

static int send_tool_name(struct choice *ch, const struct sluice_part *part)
{
    char id[TOOL_ID_BYTES];
    struct str rid = ch->call->ask.request_id;
    uint64_t a = str_hash_seeded(rid, (uint64_t)ch->idx * 1000 + (uint64_t)part->tool_idx);
    snprintf(id, sizeof id, "call_%016llx%08llx", (unsigned long long)a,
             (unsigned long long)(rand_at(a, 1, 1) >> 32));
    ch->has_tool_call = true;
    struct chat_event ev = {.type = CHAT_EV_TOOL_CALL,
                            .choice = ch->idx,
                            .tool_idx = part->tool_idx,
                            .id = str_c(id),
                            .name = str_of(part->text, part->text_bytes),
                            .text = S("")};
    return send(ch->call, &ev);
}

static bool on_part(void *user, const struct sluice_part *part)
{
    struct choice *ch = user;
    if (part->kind != ch->block_kind || part->tool_idx != ch->tool_idx) {
        ch->block += part->kind != SLUICE_PART_TOOL_ARGUMENTS;
        ch->block_kind = part->kind == SLUICE_PART_TOOL_NAME ? SLUICE_PART_TOOL_ARGUMENTS : part->kind;
        ch->tool_idx = part->tool_idx;
    }
    if (part->kind == SLUICE_PART_TOOL_NAME) {
        ch->rc = send_tool_name(ch, part);
        return ch->rc == OK;
    }
    struct chat_event ev = {.type = part->kind == SLUICE_PART_CONTENT     ? CHAT_EV_TEXT
                                    : part->kind == SLUICE_PART_REASONING ? CHAT_EV_REASONING
                                                                          : CHAT_EV_TOOL_CALL,
                            .choice = ch->idx,
                            .block = ch->block,
                            .tool_idx = part->tool_idx < 0 ? 0 : part->tool_idx,
                            .text = str_of(part->text, part->text_bytes)};
    if (ev.type == CHAT_EV_TEXT && ch->n_parts++ == 0) {
        ev.logprobs = ch->logprobs;
        ev.n_logprobs = ch->n_logprobs;
        ch->n_logprobs = 0;
    }
    ch->rc = send(ch->call, &ev);
    return ch->rc == OK;
}

static int send_text(struct choice *ch, const struct sluice_event *ev, bool is_end)
{
    struct local_call *c = ch->call;
    ch->n_parts = 0;
    ch->rc = OK;
    ch->logprobs = c->ask.req->logprobs && ev->n_tokens ? logprobs_of(ch, ev) : NULL;
    ch->n_logprobs = ch->logprobs ? ev->n_tokens : 0;
    if (ch->parser) {
        sluice_chat_parser_feed(ch->parser, ev->text, ev->text_bytes, is_end, on_part, ch, NULL);
    } else if (ev->text_bytes || ch->n_logprobs) {
        struct sluice_part part = {SLUICE_PART_CONTENT, -1, ev->text, ev->text_bytes};
        on_part(ch, &part);
    }
    if (ch->rc == OK && ch->n_logprobs) { /* no text to carry them, perhaps a part of a character */
        struct chat_event lp = {.type = CHAT_EV_LOGPROBS,
                                .choice = ch->idx,
                                .logprobs = ch->logprobs,
                                .n_logprobs = ch->n_logprobs};
        ch->rc = send(c, &lp);
    }
    return ch->rc;
}

/* Prompt tokens count once for all answers to one prompt. */
static int send_usage(struct local_call *c)
{
    struct chat_event ev = {.type = CHAT_EV_USAGE, .usage = {.is_known = true}};
    for (int i = 0; i < c->n_choices; i++) {
        const struct choice *ch = &c->choices[i];
        ev.usage.output += (int64_t)ch->usage.generated_tokens;
        if (i > 0 && ch->prompt_idx == c->choices[i - 1].prompt_idx)
            continue;
        ev.usage.cache_read += (int64_t)ch->usage.cached_tokens;
        ev.usage.input_fresh += (int64_t)(ch->usage.prompt_tokens - ch->usage.cached_tokens);
    }
    return send(c, &ev);
}

static int send_echo(struct choice *ch, const struct sluice_event *ev)
{
    struct local_call *c = ch->call;
    struct buf text;
    buf_init(&text, CALL_ARENA_MAX);
    for (size_t i = 0; i < ev->n_tokens; i++)
        buf_add(&text, ev->tokens[i].bytes, ev->tokens[i].n_bytes);
    struct chat_event out = {.type = CHAT_EV_TEXT, .choice = ch->idx, .text = buf_str(&text)};
    if (c->ask.req->logprobs) {
        out.logprobs = logprobs_of(ch, ev);
        out.n_logprobs = out.logprobs ? ev->n_tokens : 0;
    }
    int rc = buf_ok(&text) ? send(c, &out) : ERR_NOMEM;
    buf_deinit(&text);
    return rc;
}

static int check_end(struct local_call *c, const struct sluice_event *ev)
{
    if (ev->finish == SLUICE_FINISH_ERROR || ev->finish == SLUICE_FINISH_CANCELLED) {
        set_error(c, ev->finish == SLUICE_FINISH_ERROR ? kind_of(ev->error_code) : CHAT_ERR_UNAVAILABLE,
                  ev->error_text ? ev->error_text : "the engine stopped before the answer was complete");
        return ERR_STATE;
    }
    return OK;
}

static int on_stream_done(struct choice *ch, const struct sluice_event *ev)
{
    struct local_call *c = ch->call;
    ch->usage = ev->usage;
    if (check_end(c, ev) != OK)
        return ERR_STATE;
    struct sluice_event nothing = {.text = ""};
    int rc = ch->parser ? send_text(ch, &nothing, true) : OK;
    struct chat_event fin = {.type = CHAT_EV_FINISH, .choice = ch->idx, .finish = finish_of(ch, ev)};
    if (ev->stop)
        fin.text = str_c(ev->stop);
    ch->is_done = true;
    c->n_done++;
    if (rc == OK && c->n_done == c->n_choices)
        rc = send_usage(c);
    return rc == OK ? send(c, &fin) : rc;
}

/* ---- events of a stream that makes a vector ---- */

static int on_vector(struct choice *ch, const struct sluice_event *ev)
{
    struct local_call *c = ch->call;
    if (c->is_cancelled)
        return ERR_CANCELLED;
    int rc = c->ask.on_vector(c->ask.ctx, (size_t)ch->prompt_idx, ev->vector, ev->n_vector);
    if (rc != OK)
        set_error(c, CHAT_ERR_SERVER, "the server is out of memory");
    return rc;
}

/* The place takes the next input.  When the engine's queue is full just then, those in front of it will. */
static int take_next_text(struct choice *ch)
{
    struct local_call *c = ch->call;
    sluice_stream_free(ch->stream);
    ch->stream = NULL;
    if (c->texts.next < c->texts.n) {
        ch->prompt_idx = (int)c->texts.next++;
        int rc = submit_choice(ch);
        if (rc == OK)
            return OK;
        if (rc != SLUICE_ERR_BUSY || c->n_choices - c->n_done < 2)
            return ERR_STATE;
        c->texts.next--;
        c->has_error = false;
    }
    ch->is_done = true;
    c->n_done++;
    return OK;
}

static int on_text_done(struct choice *ch, const struct sluice_event *ev)
{
    struct local_call *c = ch->call;
    if (check_end(c, ev) != OK)
        return ERR_STATE;
    c->texts.usage.prompt_tokens += ev->usage.prompt_tokens;
    c->texts.usage.cached_tokens += ev->usage.cached_tokens;
    /* So far: a client that leaves has used as much. */
    struct chat_event usage = {.type = CHAT_EV_USAGE, .usage = {.is_known = true}};
    usage.usage.cache_read = (int64_t)c->texts.usage.cached_tokens;
    usage.usage.input_fresh = (int64_t)(c->texts.usage.prompt_tokens - c->texts.usage.cached_tokens);
    int rc = send(c, &usage);
    return rc == OK ? take_next_text(ch) : rc;
}

static int on_event(struct choice *ch, const struct sluice_event *ev)
{
    if (ch->call->op == CHAT_OP_EMBED)
        return ev->kind == SLUICE_EVENT_VECTOR ? on_vector(ch, ev)
               : ev->kind == SLUICE_EVENT_DONE ? on_text_done(ch, ev)
                                               : OK;
    switch (ev->kind) {
    case SLUICE_EVENT_PROMPT: return send_echo(ch, ev);
    case SLUICE_EVENT_TEXT: return send_text(ch, ev, false);
    case SLUICE_EVENT_DONE: return on_stream_done(ch, ev);
    default: ch->usage = ev->usage; return OK;
    }
}

/* Reads the stream until it is empty, the client is full, or the call is over. */
static void pump(struct choice *ch)
{
    struct local_call *c = ch->call;
    struct sluice_event ev;
    int rc = OK;
    while (rc == OK && !c->is_cancelled && !c->is_paused && !ch->is_done) {
        int got = sluice_stream_next(ch->stream, 0, &ev, NULL);
        if (got <= 0)
            break;
        c->is_in_callback = true;
        rc = on_event(ch, &ev);
        c->is_in_callback = false;
        arena_reset(&c->step_arena);
    }
    if (c->is_cancelled) {
        end_call(c);
    } else if (rc != OK && c->has_error) {
        end_with_error(c, &c->error);
    } else if (rc != OK || c->n_done == c->n_choices) {
        end_call(c);
    }
}

static void on_readable(struct loop_task *task)
{
    struct choice *ch = (struct choice *)((char *)task - offsetof(struct choice, task));
    struct local_call *c = ch->call;
    atomic_store(&ch->is_posted, false); /* before reading: what comes later posts again */
    atomic_fetch_sub(&c->n_posted, 1);
    if (c->state == CALL_RUNNING)
        pump(ch);
    else if (c->state == CALL_ENDED)
        free_call(c);
}

static void post_choice(struct choice *ch)
{
    if (atomic_exchange(&ch->is_posted, true))
        return;
    atomic_fetch_add(&ch->call->n_posted, 1);
    loop_post(ch->call->ask.loop, &ch->task);
}

/* On the engine's thread. */
static void on_stream_ready(void *user, struct sluice_stream *stream)
{
    (void)stream;
    post_choice(user);
}

/* ---- preparing: tokenize and submit ---- */

/* The prompt of a legacy completion.  *tokens is the caller's to free. */
static int completion_prompt(struct choice *ch, struct sluice_request *rq, int32_t **tokens,
                             struct sluice_error *err)
{
    const struct completion *q = &ch->call->completion;
    const struct sluice_model *model = ch->call->served->model;
    const struct chat_prompt *p = &q->prompts[ch->prompt_idx];
    rq->prompt_logprobs = q->echo;
    if (p->text.p && !q->suffix.n) {
        rq->text = p->text.p;
        rq->text_bytes = p->text.n;
        return OK;
    }
    int64_t n = (int64_t)p->n_tokens;
    if (p->text.p)
        n = sluice_tokenize_infill(model, p->text.p, p->text.n, q->suffix.p, q->suffix.n, NULL, 0, err);
    if (n < 0)
        return (int)n;
    *tokens = calloc((size_t)n + 1, sizeof **tokens);
    if (!*tokens)
        return SLUICE_ERR_NOMEM;
    if (p->text.p)
        sluice_tokenize_infill(model, p->text.p, p->text.n, q->suffix.p, q->suffix.n, *tokens, (size_t)n,
                               err);
    for (int64_t i = 0; !p->text.p && i < n; i++)
        (*tokens)[i] = p->tokens[i] < 0 || p->tokens[i] > INT32_MAX ? -1 : (int32_t)p->tokens[i];
    rq->tokens = *tokens;
    rq->n_tokens = (size_t)n;
    return OK;
}

static int submit_choice(struct choice *ch)
{
    struct local_call *c = ch->call;
    struct sluice_request rq;
    struct sluice_error err = {0};
    int32_t *tokens = NULL;
    int rc = OK;
    sluice_request_init(&rq, sizeof rq);
    rq.sampling = c->sampling;
    rq.sampling.choice = (uint32_t)ch->idx;
    rq.priority = (enum sluice_priority)c->ask.priority;
    rq.on_ready = on_stream_ready;
    rq.user = ch;
    rq.grammar = c->grammar;
    if (c->op == CHAT_OP_GENERATE) {
        rq.chat = &c->prompt.chat;
        rq.show_special = true; /* the parser knows the family's markup */
    } else if (c->op == CHAT_OP_EMBED) {
        rq.embed = true;
        rq.dimensions = (int32_t)c->texts.dimensions;
        rq.tokens = c->texts.tokens[ch->prompt_idx].ids;
        rq.n_tokens = c->texts.tokens[ch->prompt_idx].n;
    } else {
        rc = completion_prompt(ch, &rq, &tokens, &err);
    }
    if (rc == OK)
        rc = sluice_submit(c->served->ctx, &rq, &ch->stream, &err);
    if (rc != SLUICE_OK)
        set_error(c, kind_of(rc), err.text[0] ? err.text : "the server is out of memory");
    free(tokens);
    return rc;
}

/* As many places as the engine has room for now. */
static void prepare_texts(struct local_call *c)
{
    c->has_error = local_texts_tokenize(&c->texts, c->served, &c->is_cancelled, &c->arena, &c->error) != OK;
    for (int i = 0; i < c->n_choices && !c->has_error && !c->is_cancelled; i++) {
        c->choices[i].prompt_idx = i;
        if (submit_choice(&c->choices[i]) == SLUICE_ERR_BUSY && i > 0) {
            c->has_error = false;
            c->n_choices = i;
        }
        c->texts.next = (size_t)c->n_choices;
    }
}

static void prepare(struct local_call *c)
{
    struct sluice_error err = {0};
    if (c->op == CHAT_OP_COUNT_TOKENS) {
        c->n_tokens = sluice_chat_tokenize(c->served->model, &c->prompt.chat, NULL, 0, &err);
        if (c->n_tokens < 0)
            set_error(c, kind_of(err.code), err.text);
        return;
    }
    if (c->op == CHAT_OP_EMBED) {
        prepare_texts(c);
        return;
    }
    if (!c->form.is_any)
        c->has_error =
            local_form_compile(&c->form, c->served->model, c->op == CHAT_OP_GENERATE ? &c->prompt.chat : NULL,
                               &c->grammar, &c->error) != OK;
    for (int i = 0; i < c->n_choices && !c->has_error; i++) {
        struct choice *ch = &c->choices[i];
        if (c->op == CHAT_OP_GENERATE &&
            sluice_chat_parser_create(c->served->model, &c->prompt.chat, &ch->parser, &err) != SLUICE_OK) {
            set_error(c, kind_of(err.code), err.text);
            break;
        }
        submit_choice(ch);
    }
    sluice_grammar_free(c->grammar); /* the streams keep what they need */
    c->grammar = NULL;
}

/* On a worker's thread: touches nothing that the loop thread touches meanwhile.  Whose client has left is
 * not prepared any more. */
static void run_prepare(struct work *w)
{
    struct local_call *c = (struct local_call *)((char *)w - offsetof(struct local_call, work));
    if (!c->is_cancelled)
        prepare(c);
    if (!c->form.is_any)
        atomic_fetch_sub(&c->local->n_forms, 1);
}

/* ---- the way from start to running (loop thread) ---- */

static void begin(struct local_call *c)
{
    struct chat_event ev = {.type = CHAT_EV_START, .model = c->ask.req->model};
    c->state = CALL_RUNNING;
    send(c, &ev);
    /* What came while we were preparing was not read: look at each stream once. */
    for (int i = 0; i < c->n_choices; i++)
        post_choice(&c->choices[i]);
}

static void on_prepared(struct local_call *c)
{
    if (c->has_error) {
        end_with_error(c, &c->error);
    } else if (c->op == CHAT_OP_COUNT_TOKENS) {
        c->ask.on_count(c->ask.ctx, c->n_tokens);
        end_call(c);
    } else {
        begin(c);
    }
}

/* A task of the call itself has come.  False: the client has left, and the call with it. */
static bool has_come(struct local_call *c)
{
    atomic_fetch_sub(&c->n_posted, 1);
    if (!c->is_cancelled)
        return true;
    c->state = CALL_ENDED;
    close_streams(c);
    free_call(c);
    return false;
}

static void on_work_done(struct loop_task *task)
{
    struct local_call *c = (struct local_call *)((char *)task - offsetof(struct local_call, work.done));
    if (has_come(c))
        on_prepared(c);
}

static void on_task(struct loop_task *task)
{
    struct local_call *c = (struct local_call *)((char *)task - offsetof(struct local_call, task));
    if (has_come(c))
        advance(c);
}

static void on_model_ready(struct served_waiter *w)
{
    struct local_call *c = (struct local_call *)((char *)w - offsetof(struct local_call, waiter));
    loop_post(c->ask.loop, &c->task);
}

/* The model is there, or has to be waited for, or cannot be loaded. */
static void advance(struct local_call *c)
{
    struct sluice_error err = {0};
    atomic_fetch_add(&c->n_posted, 1); /* whoever is waited for will post the task */
    int rc = local_use(c->served, &c->waiter, &err);
    if (rc == ERR_BUSY)
        return;
    if (rc != OK) {
        atomic_fetch_sub(&c->n_posted, 1);
        char text[ERR_TEXT_MAX];
        snprintf(text, sizeof text, "the model '%s' cannot be loaded: %.300s", c->served->name, err.text);
        set_error(c, CHAT_ERR_UNAVAILABLE, text);
        end_with_error(c, &c->error);
        return;
    }
    c->is_using = true;
    c->state = CALL_PREPARING;
    if (c->form.is_any && c->ask.req->body.n <= INLINE_PREPARE_MAX) {
        prepare(c);
        loop_post(c->ask.loop, &c->work.done);
        return;
    }
    /* The request itself may be gone before the other thread is through (a client that leaves),
     * so only what lives in this call's arena is prepared there. */
    if (!c->form.is_any)
        atomic_fetch_add(&c->local->n_forms, 1);
    worker_give(c->form.is_any ? c->local->prompts : c->local->forms, &c->work);
}

/* ---- the seam ---- */

static struct local_call *new_call(struct local *l, struct str model, struct loop *loop,
                                   const struct chat_request *req, struct chat_error *e)
{
    struct served *s = local_find(l, model);
    if (!s) {
        chat_error_set(e, CHAT_ERR_NOT_FOUND, "model", "there is no local model '%.*s'",
                       STR(str_sub(model, 0, 100)));
        return NULL;
    }
    struct local_call *c = calloc(1, sizeof *c);
    if (!c) {
        chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
        return NULL;
    }
    c->local = l;
    c->served = s;
    c->ask.loop = loop;
    c->ask.req = req;
    c->op = req->op;
    c->waiter.on_ready = on_model_ready;
    c->task.run = on_task;
    c->work = (struct work){.run = run_prepare, .loop = loop, .done = {.run = on_work_done}};
    arena_init(&c->arena, CALL_ARENA_MAX);
    arena_init(&c->step_arena, (size_t)64 << 20);
    return c;
}

static int make_choices(struct local_call *c, int64_t n_each, struct chat_error *e)
{
    c->choices = calloc((size_t)c->n_choices, sizeof *c->choices);
    if (!c->choices)
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    for (int i = 0; i < c->n_choices; i++)
        c->choices[i] = (struct choice){.call = c,
                                        .idx = i,
                                        .prompt_idx = (int)(i / n_each),
                                        .tool_idx = -1,
                                        .block = 0,
                                        .block_kind = SLUICE_PART_CONTENT,
                                        .task = {.run = on_readable}};
    return OK;
}

static int set_choices(struct local_call *c, struct chat_error *e)
{
    const struct chat_request *req = c->ask.req;
    if (req->op == CHAT_OP_EMBED) {
        c->n_choices = (int)(c->texts.n < EMBED_PLACES ? c->texts.n : EMBED_PLACES);
        return make_choices(c, 1, e);
    }
    int64_t n_prompts = req->op == CHAT_OP_COMPLETE ? (int64_t)req->n_prompts : 1;
    int64_t n = n_prompts * req->n;
    if (n < 1 || n > CHAT_CHOICES_MAX)
        return chat_error_set(e, CHAT_ERR_INVALID, "n",
                              "the request asks for %lld answers, at most %d are possible", (long long)n,
                              CHAT_CHOICES_MAX);
    c->n_choices = (int)n;
    return make_choices(c, req->n, e);
}

/* A copy of what the preparing thread needs of a legacy completion. */
static int completion_of(const struct chat_request *req, struct arena *a, struct completion *out,
                         struct chat_error *e)
{
    out->echo = req->echo;
    out->suffix = arena_str(a, req->suffix);
    out->prompts = local_copy_prompts(req->prompts, req->n_prompts, a);
    bool ok = out->prompts && (out->suffix.p || !req->suffix.n);
    return ok ? OK
              : chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                               "the request needs more memory than one request may have");
}

struct local_call *local_call_start(void *arg, const struct local_ask *ask, struct chat_error *e)
{
    struct local_call *c = new_call(arg, ask->model, ask->loop, ask->req, e);
    if (!c)
        return NULL;
    c->ask = *ask;
    struct sluice_request defaults;
    sluice_request_init(&defaults, sizeof defaults);
    c->sampling = defaults.sampling;
    int rc = OK;
    if (ask->req->op == CHAT_OP_EMBED)
        rc = local_texts_of(ask->req, ask->dropped, &c->arena, &c->texts, e);
    if (rc == OK && (ask->req->op == CHAT_OP_GENERATE || ask->req->op == CHAT_OP_COUNT_TOKENS))
        rc = local_prompt_of(ask->req, &c->arena, &c->prompt, e);
    if (rc == OK && ask->req->op == CHAT_OP_COMPLETE)
        rc = completion_of(ask->req, &c->arena, &c->completion, e);
    local_form_of(ask->req, &c->arena, &c->form);
    if (rc == OK && !c->form.is_any && atomic_load(&c->local->n_forms) >= FORMS_WAITING_MAX) {
        rc = chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "too many requests wait for their grammar");
        e->retry_after_ms = FORMS_RETRY_MS;
    }
    if (rc == OK)
        rc = local_sampling_of(ask->req, &c->arena, ask->max_tokens_cap, ask->seed, &c->sampling, e);
    if (rc == OK && ask->req->op != CHAT_OP_COUNT_TOKENS)
        rc = set_choices(c, e);
    if (rc != OK) {
        free_call(c);
        return NULL;
    }
    /* Begin at the end of this turn: no event comes from inside this function. */
    atomic_fetch_add(&c->n_posted, 1);
    loop_post(c->ask.loop, &c->task);
    return c;
}

void local_call_cancel(struct local_call *c)
{
    c->is_cancelled = true;
    if (c->is_in_callback)
        return; /* pump ends it when the sink has returned */
    if (c->state == CALL_RUNNING) {
        c->state = CALL_ENDED;
        close_streams(c);
        free_call(c);
    }
    /* Waiting or preparing: the task that comes ends it. */
}

void local_call_pause(struct local_call *c)
{
    c->is_paused = true;
}

void local_call_resume(struct local_call *c)
{
    c->is_paused = false;
    for (int i = 0; c->state == CALL_RUNNING && i < c->n_choices; i++)
        if (!c->choices[i].is_done)
            post_choice(&c->choices[i]);
}
