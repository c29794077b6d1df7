/* openai_answer.c - Chat and legacy completions: answers and streams to clients.
 *
 * A chunk is written by hand around a prefix made once ({"id":...,"created":...,"model":...), as
 * a stream has thousands of them.  The first chunk of a choice carries the role; without
 * include_usage no chunk names usage; after an error nothing follows, not even [DONE].
 * Start reading at openai_writer_event(). */
#include <stdio.h>
#include <stdlib.h>

#include "api/openai_int.h"

enum { PREFIX_MAX = 256 * 1024 };

struct writer {
    const struct chat_request *req;
    const struct dialect_reply *reply;
    struct buf prefix; /* data: {"id":...,"model":"...", */
    bool is_started, is_failed, has_usage;
    bool is_completion; /* legacy shape: text, not delta */
    struct token_account usage;
    int n_finished;
    bool has_role[CHAT_CHOICES_MAX], is_finished[CHAT_CHOICES_MAX], has_refusal[CHAT_CHOICES_MAX];
};

const char *openai_finish_name(enum chat_finish f, bool has_refusal)
{
    /* Here a refusal in words ends like any answer; without words it looks like a filter's cut. */
    if (f == CHAT_FINISH_REFUSAL && has_refusal)
        return "stop";
    switch (f) {
    case CHAT_FINISH_LENGTH: return "length";
    case CHAT_FINISH_TOOL_CALLS: return "tool_calls";
    case CHAT_FINISH_CONTENT_FILTER:
    case CHAT_FINISH_REFUSAL: return "content_filter";
    case CHAT_FINISH_NONE:
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_STOP_SEQUENCE:
    case CHAT_FINISH_PAUSE:
    case CHAT_FINISH_BAD_TOOL_CALL: break;
    }
    return "stop";
}

struct str openai_answer_id(struct arena *a, const char *prefix, struct str given, struct str request_id)
{
    if (given.n && str_starts(given, str_c(prefix)))
        return given;
    struct str id = given.n ? given : request_id;
    return arena_printf(a, "%s%.*s", prefix, STR(id));
}

void openai_write_usage(struct json_writer *w, const struct token_account *t)
{
    jw_begin_object(w);
    jw_kv_i64(w, "prompt_tokens", tokens_input(t));
    jw_kv_i64(w, "completion_tokens", t->output);
    jw_kv_i64(w, "total_tokens", tokens_total(t));
    jw_key(w, "prompt_tokens_details");
    jw_begin_object(w);
    jw_kv_i64(w, "cached_tokens", t->cache_read);
    if (t->cache_write_5m + t->cache_write_1h > 0)
        jw_kv_i64(w, "cache_write_tokens", t->cache_write_5m + t->cache_write_1h);
    jw_end_object(w);
    jw_key(w, "completion_tokens_details");
    jw_begin_object(w);
    jw_kv_i64(w, "reasoning_tokens", t->reasoning);
    jw_end_object(w);
    jw_end_object(w);
}

/* ---- pieces that answers and chunks share ---- */

static const char *signer_format(enum dialect_id from)
{
    return from == DIALECT_ANTHROPIC ? "anthropic-claude-v1"
           : from == DIALECT_GEMINI  ? "google-gemini-v1"
                                     : "openai-responses-v1";
}

/* One entry of reasoning_details: the form in which OpenRouter's clients carry signatures. */
static void write_detail(struct json_writer *w, struct str text, struct str signature, enum dialect_id from,
                         bool is_encrypted, int index)
{
    jw_begin_object(w);
    jw_kv_z(w, "type", is_encrypted ? "reasoning.encrypted" : "reasoning.text");
    if (is_encrypted)
        jw_kv_str(w, "data", signature);
    else
        jw_kv_str(w, "text", text);
    if (!is_encrypted && signature.p)
        jw_kv_str(w, "signature", signature);
    jw_kv_z(w, "format", signer_format(from));
    jw_kv_i64(w, "index", index);
    jw_end_object(w);
}

static void write_annotation(struct json_writer *w, const struct chat_citation *c)
{
    if (openai_is_family(c->from) && c->raw_json.p) {
        jw_raw(w, c->raw_json);
        return;
    }
    const char *type = c->url.n ? "url_citation" : "file_citation";
    jw_begin_object(w);
    jw_kv_z(w, "type", type);
    jw_key(w, type);
    jw_begin_object(w);
    if (c->url.n) {
        jw_kv_str(w, "url", c->url);
        jw_kv_str(w, "title", c->title.p ? c->title : S(""));
        jw_kv_i64(w, "start_index", c->answer_start < 0 ? 0 : c->answer_start);
        jw_kv_i64(w, "end_index", c->answer_end < 0 ? 0 : c->answer_end);
    } else {
        jw_kv_str(w, "filename", c->title.p ? c->title : S(""));
        jw_kv_i64(w, "index", c->source_idx < 0 ? 0 : c->source_idx);
    }
    if (c->cited_text.n)
        jw_kv_str(w, "quote", c->cited_text);
    jw_end_object(w);
    jw_end_object(w);
}

static void write_bytes(struct json_writer *w, struct str s)
{
    jw_begin_array(w);
    for (size_t i = 0; i < s.n; i++)
        jw_i64(w, (unsigned char)s.p[i]);
    jw_end_array(w);
}

static void write_token_name(struct json_writer *w, const struct chat_top_logprob *t, bool as_id)
{
    char name[40];
    if (as_id && t->token_id >= 0) {
        snprintf(name, sizeof(name), "token_id:%lld", (long long)t->token_id);
        jw_z(w, name);
    } else {
        jw_str(w, t->token.p ? t->token : S(""));
    }
}

static void write_token(struct json_writer *w, const struct chat_top_logprob *t, bool as_id)
{
    jw_key(w, "token");
    write_token_name(w, t, as_id);
    jw_key(w, "bytes");
    write_bytes(w, t->token);
    jw_kv_f64(w, "logprob", t->logprob);
}

static void write_logprob_list(struct json_writer *w, const char *key, const struct chat_logprob *lp,
                               size_t n, bool refusals, bool as_id)
{
    jw_key(w, key);
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        if (lp[i].is_refusal != refusals)
            continue;
        jw_begin_object(w);
        write_token(w, &lp[i].chosen, as_id);
        jw_key(w, "top_logprobs");
        jw_begin_array(w);
        for (size_t k = 0; k < lp[i].n_top; k++) {
            jw_begin_object(w);
            write_token(w, &lp[i].top[k], as_id);
            jw_end_object(w);
        }
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void write_chat_logprobs(struct json_writer *w, const struct chat_logprob *lp, size_t n, bool as_id)
{
    bool has_refusal = false;
    for (size_t i = 0; i < n; i++)
        has_refusal |= lp[i].is_refusal;
    jw_begin_object(w);
    write_logprob_list(w, "content", lp, n, false, as_id);
    if (has_refusal)
        write_logprob_list(w, "refusal", lp, n, true, as_id);
    else
        jw_kv_null(w, "refusal");
    jw_end_object(w);
}

/* Legacy completions: parallel lists, the alternatives as one object per token. */
static void write_old_logprobs(struct json_writer *w, const struct chat_logprob *lp, size_t n, bool as_id)
{
    jw_begin_object(w);
    jw_key(w, "text_offset");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        jw_i64(w, lp[i].text_offset < 0 ? 0 : lp[i].text_offset);
    jw_end_array(w);
    jw_key(w, "token_logprobs");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        jw_f64(w, lp[i].chosen.logprob);
    jw_end_array(w);
    jw_key(w, "tokens");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        write_token_name(w, &lp[i].chosen, as_id);
    jw_end_array(w);
    jw_key(w, "top_logprobs");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        if (lp[i].n_top == 0) {
            jw_null(w);
            continue;
        }
        jw_begin_object(w);
        for (size_t k = 0; k < lp[i].n_top; k++) {
            const struct chat_top_logprob *t = &lp[i].top[k];
            char name[40];
            snprintf(name, sizeof(name), "token_id:%lld", (long long)t->token_id);
            jw_key_str(w, as_id && t->token_id >= 0 ? str_c(name) : t->token);
            jw_f64(w, t->logprob);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void write_call(struct json_writer *w, int index, struct str id, struct str name, struct str args,
                       struct str signature)
{
    jw_begin_object(w);
    if (index >= 0)
        jw_kv_i64(w, "index", index);
    if (id.p)
        jw_kv_str(w, "id", id);
    if (id.p)
        jw_kv_z(w, "type", "function");
    jw_key(w, "function");
    jw_begin_object(w);
    if (name.p)
        jw_kv_str(w, "name", name);
    jw_kv_str(w, "arguments", args.p ? args : S(""));
    jw_end_object(w);
    if (signature.p) {
        jw_key(w, "extra_content");
        jw_begin_object(w);
        jw_key(w, "google");
        jw_begin_object(w);
        jw_kv_str(w, "thought_signature", signature);
        jw_end_object(w);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void write_image_part(struct json_writer *w, const struct chat_media *m)
{
    jw_begin_object(w);
    jw_kv_z(w, "type", "image_url");
    jw_key(w, "image_url");
    jw_begin_object(w);
    jw_key(w, "url");
    if (m->data.p) {
        jw_raw(w, S("\"data:"));
        json_escape(w->out, m->mime.p ? m->mime : S("image/png"));
        buf_puts(w->out, ";base64,");
        json_escape(w->out, m->data);
        buf_putc(w->out, '"');
    } else {
        jw_str(w, m->url.p ? m->url : S(""));
    }
    jw_end_object(w);
    jw_end_object(w);
}

static void write_audio(struct json_writer *w, const struct chat_media *m)
{
    jw_key(w, "audio");
    jw_begin_object(w);
    if (m->file_id.p)
        jw_kv_str(w, "id", m->file_id);
    if (m->data.p)
        jw_kv_str(w, "data", m->data);
    if (m->text.p)
        jw_kv_str(w, "transcript", m->text);
    jw_end_object(w);
}

/* ---- whole answers ---- */

static bool has_type(const struct chat_choice *c, enum chat_part_type type)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == type)
            return true;
    return false;
}

/* All texts of one type as one string, or null. */
static void write_joined(struct json_writer *w, const char *key, const struct chat_choice *c,
                         enum chat_part_type type)
{
    jw_key(w, key);
    if (!has_type(c, type)) {
        jw_null(w);
        return;
    }
    jw_raw(w, S("\""));
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == type)
            json_escape(w->out, c->parts[i].text);
    buf_putc(w->out, '"');
}

static void write_reasoning(struct json_writer *w, const struct chat_choice *c)
{
    bool has_details = false;
    int index = 0;
    if (has_type(c, CHAT_PART_REASONING))
        write_joined(w, "reasoning_content", c, CHAT_PART_REASONING);
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct chat_part *p = &c->parts[i];
        bool is_reasoning = p->type == CHAT_PART_REASONING;
        bool is_signed_text = p->type == CHAT_PART_TEXT && p->signature.p;
        if ((!is_reasoning || p->signature_from == DIALECT_NONE) && !is_signed_text)
            continue;
        if (!has_details) {
            jw_key(w, "reasoning_details");
            jw_begin_array(w);
        }
        has_details = true;
        write_detail(w, p->text, p->signature, p->signature_from, p->is_redacted || is_signed_text, index++);
    }
    if (has_details)
        jw_end_array(w);
}

static void write_annotations(struct json_writer *w, const struct chat_choice *c)
{
    bool is_open = false;
    for (size_t i = 0; i < c->n_parts; i++)
        for (size_t k = 0; k < c->parts[i].n_citations; k++) {
            if (!is_open) {
                jw_key(w, "annotations");
                jw_begin_array(w);
            }
            is_open = true;
            write_annotation(w, &c->parts[i].citations[k]);
        }
    if (is_open)
        jw_end_array(w);
}

static void write_calls(struct json_writer *w, const struct chat_choice *c)
{
    if (!has_type(c, CHAT_PART_TOOL_CALL))
        return;
    jw_key(w, "tool_calls");
    jw_begin_array(w);
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct chat_part *p = &c->parts[i];
        if (p->type == CHAT_PART_TOOL_CALL)
            write_call(w, -1, p->id, p->name, p->args_json.n ? p->args_json : S("{}"), p->signature);
    }
    jw_end_array(w);
}

static void write_media(struct json_writer *w, const struct chat_choice *c)
{
    if (has_type(c, CHAT_PART_IMAGE)) {
        jw_key(w, "images");
        jw_begin_array(w);
        for (size_t i = 0; i < c->n_parts; i++)
            if (c->parts[i].type == CHAT_PART_IMAGE)
                write_image_part(w, &c->parts[i].media);
        jw_end_array(w);
    }
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].type == CHAT_PART_AUDIO) {
            write_audio(w, &c->parts[i].media);
            break;
        }
}

static void write_message(struct json_writer *w, const struct chat_choice *c)
{
    jw_begin_object(w);
    jw_kv_z(w, "role", "assistant");
    if (c->n_parts == 0 && c->finish != CHAT_FINISH_CONTENT_FILTER) /* nothing was said: a text too */
        jw_kv_z(w, "content", "");
    else
        write_joined(w, "content", c, CHAT_PART_TEXT);
    write_joined(w, "refusal", c, CHAT_PART_REFUSAL);
    write_reasoning(w, c);
    write_annotations(w, c);
    write_calls(w, c);
    write_media(w, c);
    jw_end_object(w);
}

static void write_choice(struct json_writer *w, const struct chat_request *req, const struct chat_choice *c,
                         size_t i, bool is_completion)
{
    jw_begin_object(w);
    jw_kv_i64(w, "index", (int64_t)i);
    if (is_completion && !has_type(c, CHAT_PART_TEXT)) {
        jw_kv_z(w, "text", "");
    } else if (is_completion) {
        write_joined(w, "text", c, CHAT_PART_TEXT);
    } else {
        jw_key(w, "message");
        write_message(w, c);
    }
    jw_key(w, "logprobs");
    if (c->n_logprobs == 0)
        jw_null(w);
    else if (is_completion)
        write_old_logprobs(w, c->logprobs, c->n_logprobs, req->return_tokens_as_ids);
    else
        write_chat_logprobs(w, c->logprobs, c->n_logprobs, req->return_tokens_as_ids);
    jw_kv_z(w, "finish_reason", openai_finish_name(c->finish, has_type(c, CHAT_PART_REFUSAL)));
    jw_end_object(w);
}

int openai_write_answer(const struct chat_request *req, const struct dialect_reply *reply,
                        const struct chat_answer *answer, struct buf *out, struct chat_error *e)
{
    bool is_completion = req->op == CHAT_OP_COMPLETE;
    for (size_t i = 0; i < answer->n_choices; i++)
        if (answer->choices[i].finish == CHAT_FINISH_BAD_TOOL_CALL)
            return chat_error_bad_call(e);
    const char *prefix = is_completion ? "cmpl-" : "chatcmpl-";
    struct arena scratch;
    arena_init(&scratch, 64 * 1024);
    struct str id = openai_answer_id(&scratch, prefix, answer->id, reply->request_id);
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_kv_str(&w, "id", id.p ? id : reply->request_id);
    jw_kv_z(&w, "object", is_completion ? "text_completion" : "chat.completion");
    jw_kv_i64(&w, "created", answer->created_s ? answer->created_s : reply->created_s);
    jw_kv_str(&w, "model", answer->model.n ? answer->model : reply->model);
    jw_key(&w, "choices");
    jw_begin_array(&w);
    for (size_t i = 0; i < answer->n_choices; i++)
        write_choice(&w, req, &answer->choices[i], i, is_completion);
    jw_end_array(&w);
    if (answer->usage.is_known || answer->usage.is_estimated) {
        jw_key(&w, "usage");
        openai_write_usage(&w, &answer->usage);
    }
    jw_end_object(&w);
    arena_deinit(&scratch);
    return buf_ok(out) ? OK : ERR_LIMIT;
}

/* ---- streams ---- */

struct dialect_writer *openai_writer_new(const struct chat_request *req, const struct dialect_reply *reply)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->req = req;
    w->reply = reply;
    w->is_completion = req->op == CHAT_OP_COMPLETE;
    buf_init(&w->prefix, PREFIX_MAX);
    return (struct dialect_writer *)w;
}

void openai_writer_free(struct dialect_writer *base)
{
    struct writer *w = (struct writer *)base;
    if (!w)
        return;
    buf_deinit(&w->prefix);
    free(w);
}

static void start(struct writer *w, struct str id, struct str model, int64_t created_s)
{
    struct arena scratch;
    const char *prefix = w->is_completion ? "cmpl-" : "chatcmpl-";
    arena_init(&scratch, 64 * 1024);
    struct str full = openai_answer_id(&scratch, prefix, id, w->reply->request_id);
    buf_puts(&w->prefix, "data: {\"id\":");
    json_quote(&w->prefix, full.p ? full : w->reply->request_id);
    buf_printf(&w->prefix, ",\"object\":\"%s\",\"created\":%lld,\"model\":",
               w->is_completion ? "text_completion" : "chat.completion.chunk",
               (long long)(created_s ? created_s : w->reply->created_s));
    json_quote(&w->prefix, model.n ? model : w->reply->model);
    buf_putc(&w->prefix, ',');
    arena_deinit(&scratch);
    w->is_started = true;
}

static void begin_chunk(struct writer *w, int choice, struct buf *out)
{
    if (!w->is_started)
        start(w, (struct str){0}, (struct str){0}, 0);
    buf_str_add(out, buf_str(&w->prefix));
    buf_printf(out, "\"choices\":[{\"index\":%d,", choice);
}

/* Everything behind the delta. */
static void end_chunk(struct writer *w, const struct chat_event *ev, const char *finish, struct buf *out)
{
    buf_puts(out, ",\"logprobs\":");
    if (ev->n_logprobs == 0) {
        buf_puts(out, "null");
    } else {
        struct json_writer jw = json_writer(out);
        if (w->is_completion)
            write_old_logprobs(&jw, ev->logprobs, ev->n_logprobs, w->req->return_tokens_as_ids);
        else
            write_chat_logprobs(&jw, ev->logprobs, ev->n_logprobs, w->req->return_tokens_as_ids);
    }
    if (finish)
        buf_printf(out, ",\"finish_reason\":\"%s\"}]", finish);
    else
        buf_puts(out, ",\"finish_reason\":null}]");
    if (w->req->include_usage)
        buf_puts(out, ",\"usage\":null");
    buf_puts(out, "}\n\n");
}

/* The first delta of a choice says who speaks. */
static void begin_delta(struct writer *w, struct json_writer *jw, int choice)
{
    buf_puts(jw->out, "\"delta\":");
    jw_begin_object(jw);
    if (!w->has_role[choice])
        jw_kv_z(jw, "role", "assistant");
    w->has_role[choice] = true;
}

static void write_reasoning_delta(struct json_writer *jw, const struct chat_event *ev)
{
    if (ev->text.n)
        jw_kv_str(jw, "reasoning_content", ev->text);
    if (ev->signature_from == DIALECT_NONE)
        return;
    jw_key(jw, "reasoning_details");
    jw_begin_array(jw);
    write_detail(jw, ev->text.p ? ev->text : S(""), ev->signature, ev->signature_from, ev->is_redacted,
                 ev->block);
    jw_end_array(jw);
}

static void write_text_delta(struct json_writer *jw, const struct chat_event *ev)
{
    jw_kv_str(jw, "content", ev->text);
    if (!ev->signature.p)
        return;
    jw_key(jw, "reasoning_details");
    jw_begin_array(jw);
    write_detail(jw, S(""), ev->signature, ev->signature_from, true, ev->block);
    jw_end_array(jw);
}

static void write_delta(struct json_writer *jw, const struct chat_event *ev)
{
    switch (ev->type) {
    case CHAT_EV_TEXT: write_text_delta(jw, ev); return;
    case CHAT_EV_REASONING: write_reasoning_delta(jw, ev); return;
    case CHAT_EV_REFUSAL: jw_kv_str(jw, "refusal", ev->text); return;
    case CHAT_EV_CITATION:
        jw_key(jw, "annotations");
        jw_begin_array(jw);
        write_annotation(jw, ev->citation);
        jw_end_array(jw);
        return;
    case CHAT_EV_TOOL_CALL:
        jw_key(jw, "tool_calls");
        jw_begin_array(jw);
        write_call(jw, ev->tool_idx, ev->id, ev->name, ev->text, ev->signature);
        jw_end_array(jw);
        return;
    case CHAT_EV_MEDIA:
        if (ev->media_type == CHAT_PART_AUDIO) {
            write_audio(jw, ev->media);
            return;
        }
        jw_key(jw, "images");
        jw_begin_array(jw);
        write_image_part(jw, ev->media);
        jw_end_array(jw);
        return;
    default: return;
    }
}

static void write_chunk(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    begin_chunk(w, ev->choice, out);
    if (w->is_completion) {
        buf_puts(out, "\"text\":");
        json_quote(out, ev->type == CHAT_EV_TEXT ? ev->text : S(""));
    } else {
        begin_delta(w, &jw, ev->choice);
        write_delta(&jw, ev);
        jw_end_object(&jw);
    }
    const char *finish = NULL;
    w->has_refusal[ev->choice] |= ev->type == CHAT_EV_REFUSAL;
    if (ev->type == CHAT_EV_FINISH)
        finish = openai_finish_name(ev->finish, w->has_refusal[ev->choice]);
    end_chunk(w, ev, finish, out);
}

static void write_stream_error(struct writer *w, const struct chat_error *e, struct buf *out)
{
    buf_puts(out, "data: ");
    openai_write_error(e, w->reply->request_id, out);
    buf_puts(out, "\n\n");
    w->is_failed = true;
}

int openai_writer_event(struct dialect_writer *base, const struct chat_event *ev, struct buf *out)
{
    struct writer *w = (struct writer *)base;
    if (w->is_failed || ev->choice < 0 || ev->choice >= CHAT_CHOICES_MAX)
        return OK;
    switch (ev->type) {
    case CHAT_EV_START:
        if (!w->is_started)
            start(w, ev->id, ev->model, ev->created_s);
        return OK;
    case CHAT_EV_USAGE:
        w->usage = ev->usage;
        w->has_usage = true;
        return OK;
    case CHAT_EV_ERROR: write_stream_error(w, ev->error, out); break;
    case CHAT_EV_FINISH:
        if (w->is_finished[ev->choice])
            return OK;
        w->is_finished[ev->choice] = true;
        w->n_finished++;
        if (ev->finish == CHAT_FINISH_BAD_TOOL_CALL) {
            struct chat_error e;
            chat_error_bad_call(&e);
            write_stream_error(w, &e, out);
            break;
        }
        write_chunk(w, ev, out);
        break;
    case CHAT_EV_REASONING:
    case CHAT_EV_TOOL_CALL:
    case CHAT_EV_CITATION:
    case CHAT_EV_MEDIA:
        if (w->is_completion) /* nothing of these exists there */
            return OK;
        write_chunk(w, ev, out);
        break;
    case CHAT_EV_TEXT:
    case CHAT_EV_REFUSAL:
    case CHAT_EV_LOGPROBS: write_chunk(w, ev, out); break;
    }
    return buf_ok(out) && buf_ok(&w->prefix) ? OK : ERR_LIMIT;
}

int openai_writer_end(struct dialect_writer *base, struct buf *out)
{
    struct writer *w = (struct writer *)base;
    if (w->is_failed)
        return OK;
    bool is_open = w->n_finished == 0;
    for (int i = 0; i < CHAT_CHOICES_MAX; i++)
        is_open |= w->has_role[i] && !w->is_finished[i];
    if (is_open) {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_BAD_ANSWER, "", "the answer ended before it was complete");
        write_stream_error(w, &e, out);
        return buf_ok(out) ? OK : ERR_LIMIT;
    }
    if (w->req->include_usage && w->has_usage) {
        struct json_writer jw = json_writer(out);
        buf_str_add(out, buf_str(&w->prefix));
        buf_puts(out, "\"choices\":[],\"usage\":");
        openai_write_usage(&jw, &w->usage);
        buf_puts(out, "}\n\n");
    }
    buf_puts(out, "data: [DONE]\n\n");
    return buf_ok(out) ? OK : ERR_LIMIT;
}

void openai_writer_heartbeat(struct dialect_writer *w, struct buf *out)
{
    (void)w;
    buf_puts(out, ": waiting\n\n");
}

const char *openai_stream_content_type(const struct chat_request *req)
{
    (void)req;
    return "text/event-stream";
}
