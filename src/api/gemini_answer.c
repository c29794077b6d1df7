/* gemini_answer.c - generateContent: answers and streams to clients.
 *
 * Calls are whole on this wire: a candidate's calls are gathered and written with its finish.
 * The last event holds every finish reason and the usage.  A stream is SSE or, without alt=sse,
 * one growing JSON array of the same objects.  Start reading at gemini_writer_event(). */
#include <stdlib.h>

#include "api/gemini_int.h"

enum { KEEP_BYTES = 1 << 20, ARGS_BYTES = 64 << 20 };

struct call {
    struct str id, name, signature;
    enum dialect_id signature_from;
    struct buf args;
};

struct candidate {
    struct call *calls;
    int n_calls, calls_cap;
    enum chat_finish finish;
    bool is_bad; /* arguments of a call are not a JSON object */
};

struct writer {
    const struct chat_request *req;
    const struct dialect_reply *reply;
    struct arena keep;
    struct str id, model;
    struct token_account usage;
    bool has_usage, is_failed;
    int n_events;
    struct candidate *candidates[CHAT_CHOICES_MAX];
};

static const char *finish_name(enum chat_finish f)
{
    switch (f) {
    case CHAT_FINISH_LENGTH: return "MAX_TOKENS";
    case CHAT_FINISH_CONTENT_FILTER:
    case CHAT_FINISH_REFUSAL: return "SAFETY";
    case CHAT_FINISH_BAD_TOOL_CALL: return "MALFORMED_FUNCTION_CALL";
    case CHAT_FINISH_NONE:
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_STOP_SEQUENCE:
    case CHAT_FINISH_TOOL_CALLS:
    case CHAT_FINISH_PAUSE: break;
    }
    return "STOP";
}

static void write_usage(struct json_writer *w, const struct token_account *t)
{
    jw_key(w, "usageMetadata");
    jw_begin_object(w);
    jw_kv_i64(w, "promptTokenCount", tokens_input(t));
    if (t->cache_read)
        jw_kv_i64(w, "cachedContentTokenCount", t->cache_read);
    jw_kv_i64(w, "candidatesTokenCount", t->output - t->reasoning);
    if (t->reasoning)
        jw_kv_i64(w, "thoughtsTokenCount", t->reasoning);
    jw_kv_i64(w, "totalTokenCount", tokens_total(t));
    jw_end_object(w);
}

/* ---- parts ---- */

static void write_signature(struct json_writer *w, struct str signature, enum dialect_id from,
                            bool is_redacted)
{
    if (!signature.p)
        return;
    jw_key(w, "thoughtSignature");
    gemini_signature_write(w, signature, from, is_redacted);
}

static void write_text_part(struct json_writer *w, struct str text, bool is_thought, struct str signature,
                            enum dialect_id from, bool is_redacted)
{
    jw_begin_object(w);
    jw_kv_str(w, "text", text.p ? text : S(""));
    if (is_thought)
        jw_kv_bool(w, "thought", true);
    write_signature(w, signature, from, is_redacted);
    jw_end_object(w);
}

/* The id goes along: the answer to the call must find its way back to another provider. */
static void write_call_part(struct json_writer *w, struct str id, struct str name, struct str args,
                            struct str signature, enum dialect_id from)
{
    jw_begin_object(w);
    jw_key(w, "functionCall");
    jw_begin_object(w);
    if (id.n)
        jw_kv_str(w, "id", id);
    jw_kv_str(w, "name", name.p ? name : S(""));
    jw_kv_raw(w, "args", args);
    jw_end_object(w);
    write_signature(w, signature, from, false);
    jw_end_object(w);
}

static void write_media_part(struct json_writer *w, const struct chat_media *m, enum chat_part_type type)
{
    const char *mime = type == CHAT_PART_AUDIO ? "audio/wav" : "image/png";
    jw_begin_object(w);
    jw_key(w, m->data.p ? "inlineData" : "fileData");
    jw_begin_object(w);
    jw_kv_str(w, "mimeType", m->mime.p ? m->mime : str_c(mime));
    if (m->data.p)
        jw_kv_str(w, "data", m->data);
    else
        jw_kv_str(w, "fileUri", m->url.p ? m->url : S(""));
    jw_end_object(w);
    jw_end_object(w);
}

static void write_citation(struct json_writer *w, const struct chat_citation *c)
{
    jw_begin_object(w);
    if (c->url.n)
        jw_kv_str(w, "uri", c->url);
    if (c->title.n)
        jw_kv_str(w, "title", c->title);
    if (c->answer_start >= 0)
        jw_kv_i64(w, "startIndex", c->answer_start);
    if (c->answer_end >= 0)
        jw_kv_i64(w, "endIndex", c->answer_end);
    jw_end_object(w);
}

static void write_token(struct json_writer *w, const struct chat_top_logprob *t)
{
    jw_begin_object(w);
    jw_kv_str(w, "token", t->token.p ? t->token : S(""));
    if (t->token_id >= 0)
        jw_kv_i64(w, "tokenId", t->token_id);
    jw_kv_f64(w, "logProbability", t->logprob);
    jw_end_object(w);
}

static void write_logprobs(struct json_writer *w, const struct chat_logprob *lp, size_t n)
{
    jw_key(w, "logprobsResult");
    jw_begin_object(w);
    jw_key(w, "topCandidates");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        jw_begin_object(w);
        jw_key(w, "candidates");
        jw_begin_array(w);
        for (size_t k = 0; k < lp[i].n_top; k++)
            write_token(w, &lp[i].top[k]);
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_key(w, "chosenCandidates");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        write_token(w, &lp[i].chosen);
    jw_end_array(w);
    jw_end_object(w);
}

/* ---- whole answers ---- */

static bool args_are_object(struct str args, struct arena *a, struct str *span)
{
    struct chat_part p = {.args_json = args};
    return args_object(&p, a, span);
}

/* False: the arguments of a call are no object, and it was left out. */
static bool write_part(struct json_writer *w, const struct chat_part *p, struct arena *a)
{
    struct str args = {0};
    switch (p->type) {
    case CHAT_PART_TEXT:
    case CHAT_PART_REFUSAL:
        write_text_part(w, p->text, false, p->signature, p->signature_from, p->is_redacted);
        return true;
    case CHAT_PART_REASONING:
        write_text_part(w, p->text, true, p->signature, p->signature_from, p->is_redacted);
        return true;
    case CHAT_PART_TOOL_CALL:
        if (!args_are_object(p->args_json, a, &args))
            return false;
        write_call_part(w, p->id, p->name, args, p->signature, p->signature_from);
        return true;
    default: write_media_part(w, &p->media, p->type); return true;
    }
}

static void write_citations(struct json_writer *w, const struct chat_choice *c)
{
    bool is_open = false;
    for (size_t i = 0; i < c->n_parts; i++)
        for (size_t k = 0; k < c->parts[i].n_citations; k++) {
            if (!is_open) {
                jw_key(w, "citationMetadata");
                jw_begin_object(w);
                jw_key(w, "citations");
                jw_begin_array(w);
            }
            is_open = true;
            write_citation(w, &c->parts[i].citations[k]);
        }
    if (!is_open)
        return;
    jw_end_array(w);
    jw_end_object(w);
}

/* A call that was cut by the length is left out, and the answer is marked as cut. */
static const char *finish_name_of(enum chat_finish finish, bool has_bad_call)
{
    return has_bad_call && finish != CHAT_FINISH_LENGTH ? "MALFORMED_FUNCTION_CALL" : finish_name(finish);
}

static void write_candidate(struct json_writer *w, const struct chat_choice *c, size_t i, struct arena *a)
{
    bool ok = true;
    jw_begin_object(w);
    jw_key(w, "content");
    jw_begin_object(w);
    jw_key(w, "parts");
    jw_begin_array(w);
    for (size_t k = 0; k < c->n_parts; k++)
        ok &= write_part(w, &c->parts[k], a);
    jw_end_array(w);
    jw_kv_z(w, "role", "model");
    jw_end_object(w);
    jw_kv_z(w, "finishReason", finish_name_of(c->finish, !ok));
    jw_kv_i64(w, "index", (int64_t)i);
    write_citations(w, c);
    if (c->n_logprobs)
        write_logprobs(w, c->logprobs, c->n_logprobs);
    jw_end_object(w);
}

int gemini_write_answer(const struct chat_request *req, const struct dialect_reply *reply,
                        const struct chat_answer *answer, struct buf *out, struct chat_error *e)
{
    struct json_writer w = json_writer(out);
    struct arena scratch;
    (void)req;
    (void)e;
    arena_init(&scratch, 64 << 20);
    jw_begin_object(&w);
    jw_key(&w, "candidates");
    jw_begin_array(&w);
    for (size_t i = 0; i < answer->n_choices; i++)
        write_candidate(&w, &answer->choices[i], i, &scratch);
    jw_end_array(&w);
    if (answer->usage.is_known || answer->usage.is_estimated)
        write_usage(&w, &answer->usage);
    jw_kv_str(&w, "modelVersion", answer->model.n ? answer->model : reply->model);
    jw_kv_str(&w, "responseId", answer->id.n ? answer->id : reply->request_id);
    jw_end_object(&w);
    arena_deinit(&scratch);
    return buf_ok(out) ? OK : ERR_LIMIT;
}

/* ---- streams ---- */

struct dialect_writer *gemini_writer_new(const struct chat_request *req, const struct dialect_reply *reply)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->req = req;
    w->reply = reply;
    arena_init(&w->keep, KEEP_BYTES);
    return (struct dialect_writer *)w;
}

void gemini_writer_free(struct dialect_writer *base)
{
    struct writer *w = (struct writer *)base;
    if (!w)
        return;
    for (int i = 0; i < CHAT_CHOICES_MAX; i++)
        for (int k = 0; w->candidates[i] && k < w->candidates[i]->n_calls; k++)
            buf_deinit(&w->candidates[i]->calls[k].args);
    arena_deinit(&w->keep);
    free(w);
}

static void begin_event(struct writer *w, struct buf *out)
{
    if (w->req->is_array_stream)
        buf_puts(out, w->n_events == 0 ? "[" : ",\r\n");
    else
        buf_puts(out, "data: ");
    w->n_events++;
}

static void end_event(struct writer *w, struct buf *out)
{
    if (!w->req->is_array_stream)
        buf_puts(out, "\r\n\r\n");
}

/* Members behind "candidates", and the end of the object. */
static void end_response(struct writer *w, struct json_writer *jw, struct buf *out)
{
    jw_kv_str(jw, "modelVersion", w->model.n ? w->model : w->reply->model);
    jw_kv_str(jw, "responseId", w->id.n ? w->id : w->reply->request_id);
    jw_end_object(jw);
    end_event(w, out);
}

static struct candidate *get_candidate(struct writer *w, int i)
{
    if (!w->candidates[i])
        w->candidates[i] = arena_new(&w->keep, struct candidate);
    return w->candidates[i];
}

static void begin_candidate(struct json_writer *jw)
{
    jw_begin_object(jw);
    jw_key(jw, "content");
    jw_begin_object(jw);
    jw_key(jw, "parts");
    jw_begin_array(jw);
}

static void end_content(struct json_writer *jw)
{
    jw_end_array(jw);
    jw_kv_z(jw, "role", "model");
    jw_end_object(jw);
}

static void write_content_event(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    begin_event(w, out);
    jw_begin_object(&jw);
    jw_key(&jw, "candidates");
    jw_begin_array(&jw);
    begin_candidate(&jw);
    if (ev->type == CHAT_EV_MEDIA)
        write_media_part(&jw, ev->media, ev->media_type);
    else if (ev->type == CHAT_EV_TEXT || ev->type == CHAT_EV_REASONING || ev->type == CHAT_EV_REFUSAL)
        write_text_part(&jw, ev->text, ev->type == CHAT_EV_REASONING, ev->signature, ev->signature_from,
                        ev->is_redacted);
    end_content(&jw);
    jw_kv_i64(&jw, "index", ev->choice);
    if (ev->type == CHAT_EV_CITATION) {
        jw_key(&jw, "citationMetadata");
        jw_begin_object(&jw);
        jw_key(&jw, "citations");
        jw_begin_array(&jw);
        write_citation(&jw, ev->citation);
        jw_end_array(&jw);
        jw_end_object(&jw);
    }
    if (ev->n_logprobs)
        write_logprobs(&jw, ev->logprobs, ev->n_logprobs);
    jw_end_object(&jw);
    jw_end_array(&jw);
    end_response(w, &jw, out);
}

/* ---- calls, gathered ---- */

static bool keep(struct writer *w, struct str *s)
{
    if (!s->p)
        return true;
    *s = arena_str(&w->keep, *s);
    return s->p != NULL;
}

static int gather_call(struct writer *w, const struct chat_event *ev)
{
    struct candidate *c = get_candidate(w, ev->choice);
    if (!c || ev->tool_idx < 0 || ev->tool_idx > c->n_calls)
        return ERR_LIMIT;
    if (c->n_calls == c->calls_cap && ev->tool_idx == c->n_calls) {
        int cap = c->calls_cap ? c->calls_cap * 2 : 4;
        struct call *more = arena_new_array(&w->keep, struct call, (size_t)cap);
        if (!more)
            return ERR_LIMIT;
        if (c->n_calls)
            memcpy(more, c->calls, (size_t)c->n_calls * sizeof(*more));
        c->calls = more;
        c->calls_cap = cap;
    }
    struct call *call = &c->calls[ev->tool_idx];
    if (ev->tool_idx == c->n_calls) {
        *call = (struct call){ev->id, ev->name, ev->signature, ev->signature_from, {0}};
        buf_init(&call->args, ARGS_BYTES);
        c->n_calls++;
        if (!keep(w, &call->id) || !keep(w, &call->name) || !keep(w, &call->signature))
            return ERR_LIMIT;
    }
    return ev->text.n == 0 || buf_str_add(&call->args, ev->text) ? OK : ERR_LIMIT;
}

static void write_calls(struct candidate *c, struct json_writer *jw)
{
    struct arena a;
    arena_init(&a, ARGS_BYTES);
    for (int i = 0; i < c->n_calls; i++) {
        struct call *call = &c->calls[i];
        struct str args = {0};
        arena_reset(&a);
        if (!args_are_object(buf_str(&call->args), &a, &args)) {
            c->is_bad = true;
            continue;
        }
        write_call_part(jw, call->id, call->name, args, call->signature, call->signature_from);
    }
    arena_deinit(&a);
}

static void write_stream_error(struct writer *w, const struct chat_error *e, struct buf *out)
{
    begin_event(w, out);
    gemini_write_error(e, w->reply->request_id, out);
    end_event(w, out);
    if (w->req->is_array_stream)
        buf_putc(out, ']');
    w->is_failed = true;
}

int gemini_writer_event(struct dialect_writer *base, const struct chat_event *ev, struct buf *out)
{
    struct writer *w = (struct writer *)base;
    if (w->is_failed || ev->choice < 0 || ev->choice >= CHAT_CHOICES_MAX)
        return OK;
    switch (ev->type) {
    case CHAT_EV_START:
        w->id = ev->id;
        w->model = ev->model;
        return keep(w, &w->id) && keep(w, &w->model) ? OK : ERR_LIMIT;
    case CHAT_EV_USAGE:
        w->usage = ev->usage;
        w->has_usage = true;
        return OK;
    case CHAT_EV_ERROR: write_stream_error(w, ev->error, out); break;
    case CHAT_EV_TOOL_CALL: return gather_call(w, ev);
    case CHAT_EV_FINISH:
        if (!get_candidate(w, ev->choice))
            return ERR_LIMIT;
        w->candidates[ev->choice]->finish = ev->finish;
        break; /* written at the end, with the usage */
    default:
        if (!get_candidate(w, ev->choice))
            return ERR_LIMIT;
        write_content_event(w, ev, out);
    }
    return buf_ok(out) ? OK : ERR_LIMIT;
}

static void write_last(struct writer *w, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    begin_event(w, out);
    jw_begin_object(&jw);
    jw_key(&jw, "candidates");
    jw_begin_array(&jw);
    for (int i = 0; i < CHAT_CHOICES_MAX; i++) {
        struct candidate *c = w->candidates[i];
        if (!c)
            continue;
        begin_candidate(&jw);
        if (c->n_calls)
            write_calls(c, &jw);
        else
            write_text_part(&jw, S(""), false, (struct str){0}, DIALECT_NONE, false);
        end_content(&jw);
        jw_kv_z(&jw, "finishReason", finish_name_of(c->finish, c->is_bad));
        jw_kv_i64(&jw, "index", i);
        jw_end_object(&jw);
    }
    jw_end_array(&jw);
    if (w->has_usage)
        write_usage(&jw, &w->usage);
    end_response(w, &jw, out);
}

int gemini_writer_end(struct dialect_writer *base, struct buf *out)
{
    struct writer *w = (struct writer *)base;
    bool any = false, all = true;
    if (w->is_failed)
        return OK;
    for (int i = 0; i < CHAT_CHOICES_MAX; i++)
        if (w->candidates[i]) {
            any = true;
            all &= w->candidates[i]->finish != CHAT_FINISH_NONE;
        }
    if (!any || !all) {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_BAD_ANSWER, "", "the answer ended before it was complete");
        write_stream_error(w, &e, out);
        return buf_ok(out) ? OK : ERR_LIMIT;
    }
    write_last(w, out);
    if (w->req->is_array_stream)
        buf_putc(out, ']');
    return buf_ok(out) ? OK : ERR_LIMIT;
}

void gemini_writer_heartbeat(struct dialect_writer *w, struct buf *out)
{
    (void)w;
    /* An empty line, in SSE as in an array: Google's Python SDK takes a comment for broken JSON. */
    buf_puts(out, "\r\n\r\n");
}
