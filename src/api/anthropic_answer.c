/* anthropic_answer.c - Messages: answers and streams to clients.
 *
 * On this wire blocks never interleave, but fragments of parallel calls may come interleaved
 * from other providers.  So while a call's arguments are not yet a complete JSON value, what
 * belongs elsewhere is held; a small scanner knows when they are complete.  message_start waits
 * for the first content, message_delta for the end, since usage may come as early or as late.
 * Start reading at anthropic_writer_event(). */
#include <stdlib.h>

#include "api/anthropic_int.h"

enum { HELD_BYTES = 32 << 20 };

enum open_block { OPEN_NONE, OPEN_TEXT, OPEN_THINKING, OPEN_TOOL };

/* Counts brackets outside strings: complete when the outermost value has closed. */
struct json_scan {
    int depth;
    bool in_string, is_escaped, is_begun;
};

struct held {
    struct chat_event ev;
    struct held *next;
};

struct writer {
    const struct chat_request *req;
    const struct dialect_reply *reply;
    struct arena keep; /* id, model, held events */
    struct str id, model;
    bool is_started, is_failed, is_finished;
    struct token_account usage;
    bool has_usage;
    enum open_block open;
    int open_key;
    int next_index;
    struct json_scan scan;
    struct held *held, **held_tail;
    enum chat_finish finish;
    struct str stop;
};

/* ---- shared by answers and streams ---- */

static const char *stop_reason(enum chat_finish f)
{
    switch (f) {
    case CHAT_FINISH_LENGTH: return "max_tokens";
    case CHAT_FINISH_STOP_SEQUENCE: return "stop_sequence";
    case CHAT_FINISH_TOOL_CALLS: return "tool_use";
    case CHAT_FINISH_CONTENT_FILTER:
    case CHAT_FINISH_REFUSAL: return "refusal";
    case CHAT_FINISH_PAUSE: return "pause_turn";
    case CHAT_FINISH_NONE:
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_BAD_TOOL_CALL: break;
    }
    return "end_turn";
}

static void write_stop(struct json_writer *w, enum chat_finish f, struct str stop)
{
    /* A stop sequence that nobody names is the end of the turn to these clients. */
    bool is_named = f == CHAT_FINISH_STOP_SEQUENCE && stop.n;
    if (f == CHAT_FINISH_STOP_SEQUENCE && !is_named)
        f = CHAT_FINISH_STOP;
    jw_kv_z(w, "stop_reason", stop_reason(f));
    jw_key(w, "stop_sequence");
    if (is_named)
        jw_str(w, stop);
    else
        jw_null(w);
}

static void write_usage(struct json_writer *w, const struct token_account *t, bool is_start)
{
    int64_t written = t->cache_write_5m + t->cache_write_1h;
    jw_begin_object(w);
    jw_kv_i64(w, "input_tokens", t->input_fresh);
    jw_kv_i64(w, "cache_creation_input_tokens", written);
    jw_kv_i64(w, "cache_read_input_tokens", t->cache_read);
    if (written) {
        jw_key(w, "cache_creation");
        jw_begin_object(w);
        jw_kv_i64(w, "ephemeral_5m_input_tokens", t->cache_write_5m);
        jw_kv_i64(w, "ephemeral_1h_input_tokens", t->cache_write_1h);
        jw_end_object(w);
    }
    jw_kv_i64(w, "output_tokens", is_start && t->output == 0 ? 1 : t->output);
    if (t->reasoning) {
        jw_key(w, "output_tokens_details");
        jw_begin_object(w);
        jw_kv_i64(w, "thinking_tokens", t->reasoning);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void write_citation(struct json_writer *w, const struct chat_citation *c)
{
    if (c->from == DIALECT_ANTHROPIC && c->raw_json.p) {
        jw_raw(w, c->raw_json);
        return;
    }
    jw_begin_object(w);
    jw_kv_z(w, "type", "web_search_result_location");
    jw_kv_str(w, "cited_text", c->cited_text.p ? c->cited_text : S(""));
    jw_kv_str(w, "url", c->url.p ? c->url : S(""));
    jw_key(w, "title");
    if (c->title.p)
        jw_str(w, c->title);
    else
        jw_null(w);
    jw_kv_z(w, "encrypted_index", "");
    jw_end_object(w);
}

/* Signature of any provider as a string value. */
static void write_signature(struct json_writer *w, struct str signature, enum dialect_id from,
                            bool is_redacted)
{
    struct buf wrapped;
    buf_init(&wrapped, signature.n + 64);
    signature_wrap(&wrapped, signature, from, is_redacted, DIALECT_ANTHROPIC);
    jw_str(w, buf_str(&wrapped));
    buf_deinit(&wrapped);
}

static void write_redacted(struct json_writer *w, struct str signature, enum dialect_id from)
{
    jw_begin_object(w);
    jw_kv_z(w, "type", "redacted_thinking");
    jw_key(w, "data");
    write_signature(w, signature, from, true);
    jw_end_object(w);
}

static void message_id(struct json_writer *w, struct str given, struct str request_id)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct str id = given.n ? given : request_id;
    if (!str_starts(id, S("msg_")))
        id = arena_printf(&a, "msg_%.*s", STR(id));
    jw_kv_str(w, "id", id.p ? id : S("msg_"));
    arena_deinit(&a);
}

/* ---- whole answers ---- */

static bool write_part(struct json_writer *w, const struct chat_part *p, struct arena *a,
                       struct chat_error *e)
{
    struct str args = {0};
    switch (p->type) {
    case CHAT_PART_TEXT:
    case CHAT_PART_REFUSAL:
        if (p->text.n) {
            jw_begin_object(w);
            jw_kv_z(w, "type", "text");
            jw_kv_str(w, "text", p->text);
            if (p->n_citations) {
                jw_key(w, "citations");
                jw_begin_array(w);
                for (size_t i = 0; i < p->n_citations; i++)
                    write_citation(w, &p->citations[i]);
                jw_end_array(w);
            } else {
                jw_kv_null(w, "citations");
            }
            jw_end_object(w);
        }
        if (p->signature.p)
            write_redacted(w, p->signature, p->signature_from);
        return true;
    case CHAT_PART_REASONING:
        if (p->is_redacted) {
            write_redacted(w, p->signature, p->signature_from);
            return true;
        }
        jw_begin_object(w);
        jw_kv_z(w, "type", "thinking");
        jw_kv_str(w, "thinking", p->text);
        jw_key(w, "signature");
        write_signature(w, p->signature.p ? p->signature : S(""),
                        p->signature.p ? p->signature_from : DIALECT_ANTHROPIC, false);
        jw_end_object(w);
        return true;
    case CHAT_PART_TOOL_CALL:
        if (!args_object(p, a, &args)) {
            chat_error_set(e, CHAT_ERR_BAD_ANSWER, "",
                           "the model called '%.*s' with arguments that are not a JSON object",
                           p->name.n > 100 ? 100 : (int)p->name.n, p->name.p);
            return false;
        }
        if (p->signature.p)
            write_redacted(w, p->signature, p->signature_from);
        jw_begin_object(w);
        jw_kv_z(w, "type", "tool_use");
        jw_key(w, "id");
        anthropic_id_write(w, p->id);
        jw_kv_str(w, "name", p->name);
        jw_kv_raw(w, "input", args);
        jw_end_object(w);
        return true;
    default:
        chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the answer holds media, which this API cannot carry");
        return false;
    }
}

/* A call that the length has cut in its arguments, which cannot be told: max_tokens says it. */
static bool is_cut_call(const struct chat_choice *c, const struct chat_part *p, struct arena *a)
{
    struct str args;
    return c->finish == CHAT_FINISH_LENGTH && p->type == CHAT_PART_TOOL_CALL && !args_object(p, a, &args);
}

int anthropic_write_answer(const struct chat_request *req, const struct dialect_reply *reply,
                           const struct chat_answer *answer, struct buf *out, struct chat_error *e)
{
    struct json_writer w = json_writer(out);
    size_t before = out->n;
    static const struct chat_choice none;
    const struct chat_choice *c = answer->n_choices ? &answer->choices[0] : &none;
    struct arena scratch;
    bool ok = true;
    (void)req;
    if (c->finish == CHAT_FINISH_BAD_TOOL_CALL)
        return chat_error_bad_call(e);
    arena_init(&scratch, 64 << 20);
    jw_begin_object(&w);
    message_id(&w, answer->id, reply->request_id);
    jw_kv_z(&w, "type", "message");
    jw_kv_z(&w, "role", "assistant");
    jw_kv_str(&w, "model", answer->model.n ? answer->model : reply->model);
    jw_key(&w, "content");
    jw_begin_array(&w);
    for (size_t i = 0; i < c->n_parts && ok; i++)
        if (!is_cut_call(c, &c->parts[i], &scratch))
            ok = write_part(&w, &c->parts[i], &scratch, e);
    jw_end_array(&w);
    write_stop(&w, c->finish, c->stop);
    jw_key(&w, "usage");
    struct token_account usage = answer->usage;
    if (!usage.is_known && !usage.is_estimated)
        usage.input_fresh = reply->input_estimate;
    write_usage(&w, &usage, false);
    jw_end_object(&w);
    arena_deinit(&scratch);
    if (!ok && buf_ok(out))
        out->n = before; /* nothing of a refused answer stays behind */
    if (!ok)
        return ERR_FORMAT;
    return buf_ok(out) ? OK : ERR_LIMIT;
}

/* ---- streams ---- */

struct dialect_writer *anthropic_writer_new(const struct chat_request *req, const struct dialect_reply *reply)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->req = req;
    w->reply = reply;
    w->held_tail = &w->held;
    arena_init(&w->keep, HELD_BYTES);
    return (struct dialect_writer *)w;
}

void anthropic_writer_free(struct dialect_writer *base)
{
    struct writer *w = (struct writer *)base;
    if (!w)
        return;
    arena_deinit(&w->keep);
    free(w);
}

static void begin_event(struct buf *out, const char *name)
{
    buf_puts(out, "event: ");
    buf_puts(out, name);
    buf_puts(out, "\ndata: {\"type\":\"");
    buf_puts(out, name);
    buf_putc(out, '"');
}

static void end_event(struct buf *out)
{
    buf_puts(out, "}\n\n");
}

static void write_message_start(struct writer *w, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    struct token_account t = w->usage;
    if (w->is_started)
        return;
    w->is_started = true;
    /* Not known yet: our own count, which message_delta corrects.  Zero would be a lie. */
    if (!w->has_usage)
        t.input_fresh = w->reply->input_estimate;
    begin_event(out, "message_start");
    buf_puts(out, ",\"message\":");
    jw_begin_object(&jw);
    message_id(&jw, w->id, w->reply->request_id);
    jw_kv_z(&jw, "type", "message");
    jw_kv_z(&jw, "role", "assistant");
    jw_kv_str(&jw, "model", w->model.n ? w->model : w->reply->model);
    jw_kv_raw(&jw, "content", S("[]"));
    jw_kv_null(&jw, "stop_reason");
    jw_kv_null(&jw, "stop_sequence");
    jw_key(&jw, "usage");
    write_usage(&jw, &t, true);
    jw_end_object(&jw);
    end_event(out);
}

static void close_block(struct writer *w, struct buf *out)
{
    if (w->open == OPEN_NONE)
        return;
    begin_event(out, "content_block_stop");
    buf_printf(out, ",\"index\":%d", w->next_index - 1);
    end_event(out);
    w->open = OPEN_NONE;
}

/* Up to and with "content_block": */
static void begin_block(struct writer *w, enum open_block type, int key, struct buf *out)
{
    close_block(w, out);
    write_message_start(w, out);
    begin_event(out, "content_block_start");
    buf_printf(out, ",\"index\":%d,\"content_block\":", w->next_index++);
    w->open = type;
    w->open_key = key;
}

static void begin_delta(struct writer *w, const char *type, struct buf *out)
{
    begin_event(out, "content_block_delta");
    buf_printf(out, ",\"index\":%d,\"delta\":{\"type\":\"%s\",", w->next_index - 1, type);
}

static void end_delta(struct buf *out)
{
    buf_putc(out, '}');
    end_event(out);
}

static void text_delta(struct writer *w, const char *type, const char *key, struct str text, struct buf *out)
{
    if (text.n == 0)
        return;
    begin_delta(w, type, out);
    buf_printf(out, "\"%s\":", key);
    json_quote(out, text);
    end_delta(out);
}

static void write_redacted_block(struct writer *w, struct str signature, enum dialect_id from,
                                 struct buf *out)
{
    struct json_writer jw = json_writer(out);
    begin_block(w, OPEN_THINKING, -1, out);
    write_redacted(&jw, signature, from);
    end_event(out);
    close_block(w, out);
}

static void write_text(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    /* A refusal is text of its own. */
    int key = ev->type == CHAT_EV_REFUSAL ? -1 : ev->block;
    bool is_new = w->open != OPEN_TEXT || w->open_key != key;
    if (is_new && ev->text.n) {
        begin_block(w, OPEN_TEXT, key, out);
        buf_puts(out, "{\"type\":\"text\",\"text\":\"\"}");
        end_event(out);
    }
    text_delta(w, "text_delta", "text", ev->text, out);
    if (ev->signature.p)
        write_redacted_block(w, ev->signature, ev->signature_from, out);
}

static void write_citation_delta(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    if (w->open != OPEN_TEXT) {
        begin_block(w, OPEN_TEXT, ev->block, out);
        buf_puts(out, "{\"type\":\"text\",\"text\":\"\"}");
        end_event(out);
    }
    begin_delta(w, "citations_delta", out);
    buf_puts(out, "\"citation\":");
    write_citation(&jw, ev->citation);
    end_delta(out);
}

static void write_thinking(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    if (ev->is_redacted) {
        write_redacted_block(w, ev->signature, ev->signature_from, out);
        return;
    }
    if (w->open != OPEN_THINKING || w->open_key != ev->block) {
        begin_block(w, OPEN_THINKING, ev->block, out);
        buf_puts(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        end_event(out);
    }
    text_delta(w, "thinking_delta", "thinking", ev->text, out);
    if (!ev->signature.p)
        return;
    begin_delta(w, "signature_delta", out);
    buf_puts(out, "\"signature\":");
    write_signature(&jw, ev->signature, ev->signature_from, false);
    end_delta(out);
}

static void scan(struct json_scan *s, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (s->is_escaped)
            s->is_escaped = false;
        else if (s->in_string && c == '\\')
            s->is_escaped = true;
        else if (c == '"')
            s->in_string = !s->in_string;
        else if (!s->in_string && (c == '{' || c == '['))
            s->depth++;
        else if (!s->in_string && (c == '}' || c == ']'))
            s->depth--;
        if (!strchr(" \t\r\n", c))
            s->is_begun = true;
    }
}

static bool is_complete(const struct json_scan *s)
{
    return s->is_begun && s->depth <= 0 && !s->in_string;
}

static void write_tool(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    struct json_writer jw = json_writer(out);
    if (w->open != OPEN_TOOL || w->open_key != ev->tool_idx) {
        if (!ev->id.p)
            return; /* the rest of a call that was complete: white space */
        if (ev->signature.p)
            write_redacted_block(w, ev->signature, ev->signature_from, out);
        begin_block(w, OPEN_TOOL, ev->tool_idx, out);
        w->scan = (struct json_scan){0};
        jw_begin_object(&jw);
        jw_kv_z(&jw, "type", "tool_use");
        jw_key(&jw, "id");
        anthropic_id_write(&jw, ev->id);
        jw_kv_str(&jw, "name", ev->name.p ? ev->name : S(""));
        jw_kv_raw(&jw, "input", S("{}"));
        jw_end_object(&jw);
        end_event(out);
    }
    text_delta(w, "input_json_delta", "partial_json", ev->text, out);
    scan(&w->scan, ev->text);
}

static void write_stream_error(struct writer *w, const struct chat_error *e, struct buf *out)
{
    buf_puts(out, "event: error\ndata: ");
    anthropic_write_error(e, w->reply->request_id, out);
    buf_puts(out, "\n\n");
    w->is_failed = true;
}

static void write_content(struct writer *w, const struct chat_event *ev, struct buf *out)
{
    struct chat_error e;
    switch (ev->type) {
    case CHAT_EV_TEXT:
    case CHAT_EV_REFUSAL: write_text(w, ev, out); return;
    case CHAT_EV_REASONING: write_thinking(w, ev, out); return;
    case CHAT_EV_CITATION: write_citation_delta(w, ev, out); return;
    case CHAT_EV_TOOL_CALL: write_tool(w, ev, out); return;
    default:
        chat_error_set(&e, CHAT_ERR_BAD_ANSWER, "", "the answer holds media, which this API cannot carry");
        write_stream_error(w, &e, out);
        return;
    }
}

/* ---- holding back ---- */

static bool must_wait(const struct writer *w, const struct chat_event *ev)
{
    bool same_call = ev->type == CHAT_EV_TOOL_CALL && ev->tool_idx == w->open_key;
    return w->open == OPEN_TOOL && !same_call && !is_complete(&w->scan);
}

static bool keep(struct writer *w, struct str *s)
{
    if (s->p)
        *s = arena_str(&w->keep, *s);
    return s->p != NULL;
}

static int hold(struct writer *w, const struct chat_event *ev)
{
    struct held *h = arena_new(&w->keep, struct held);
    if (!h)
        return ERR_LIMIT;
    h->ev = *ev;
    if ((ev->text.p && !keep(w, &h->ev.text)) || (ev->id.p && !keep(w, &h->ev.id)) ||
        (ev->name.p && !keep(w, &h->ev.name)) || (ev->signature.p && !keep(w, &h->ev.signature)))
        return ERR_LIMIT;
    if (ev->citation) {
        struct chat_citation *c = arena_new(&w->keep, struct chat_citation);
        if (!c)
            return ERR_LIMIT;
        *c = *ev->citation;
        keep(w, &c->cited_text);
        keep(w, &c->title);
        keep(w, &c->url);
        keep(w, &c->raw_json);
        h->ev.citation = c;
    }
    *w->held_tail = h;
    w->held_tail = &h->next;
    return OK;
}

/* Write what may be written of the held events, in order.  With `all`, a call whose arguments
 * never became complete is closed as it is. */
static void drain(struct writer *w, bool all, struct buf *out)
{
    bool moved = true;
    while (w->held && (moved || all)) {
        if (!moved)
            close_block(w, out);
        moved = false;
        struct held **at = &w->held;
        while (*at) {
            struct held *h = *at;
            if (must_wait(w, &h->ev)) {
                at = &h->next;
                continue;
            }
            write_content(w, &h->ev, out);
            *at = h->next;
            moved = true;
            /* The way is free for any call now: begin again with the one held longest, so that
             * no fragment overtakes the beginning of its own call. */
            if (w->open != OPEN_TOOL || is_complete(&w->scan))
                break;
        }
    }
    w->held_tail = &w->held;
    while (*w->held_tail)
        w->held_tail = &(*w->held_tail)->next;
}

/* A fragment of a call that has held fragments comes behind them. */
static bool is_held(const struct writer *w, const struct chat_event *ev)
{
    for (const struct held *h = w->held; h; h = h->next)
        if (ev->type == CHAT_EV_TOOL_CALL && h->ev.type == ev->type && h->ev.tool_idx == ev->tool_idx)
            return true;
    return false;
}

int anthropic_writer_event(struct dialect_writer *base, const struct chat_event *ev, struct buf *out)
{
    struct writer *w = (struct writer *)base;
    int rc = OK;
    if (w->is_failed || ev->choice != 0)
        return OK;
    switch (ev->type) {
    case CHAT_EV_START:
        w->id = ev->id;
        w->model = ev->model;
        if ((ev->id.p && !keep(w, &w->id)) || (ev->model.p && !keep(w, &w->model)))
            return ERR_LIMIT;
        return OK;
    case CHAT_EV_USAGE:
        w->usage = ev->usage;
        w->has_usage = true;
        return OK;
    case CHAT_EV_LOGPROBS: return OK; /* no client of this dialect can ask for them */
    case CHAT_EV_ERROR: write_stream_error(w, ev->error, out); break;
    case CHAT_EV_FINISH:
        if (ev->finish == CHAT_FINISH_BAD_TOOL_CALL) {
            struct chat_error e;
            chat_error_bad_call(&e);
            write_stream_error(w, &e, out);
            break;
        }
        w->is_finished = true;
        w->finish = ev->finish;
        w->stop = ev->text;
        if (ev->text.p && !keep(w, &w->stop))
            return ERR_LIMIT;
        drain(w, true, out);
        break;
    default:
        if (must_wait(w, ev) || is_held(w, ev))
            rc = hold(w, ev);
        else
            write_content(w, ev, out);
        if (rc == OK && w->held)
            drain(w, false, out);
    }
    return rc == OK && !buf_ok(out) ? ERR_LIMIT : rc;
}

int anthropic_writer_end(struct dialect_writer *base, struct buf *out)
{
    struct writer *w = (struct writer *)base;
    struct json_writer jw = json_writer(out);
    if (w->is_failed)
        return OK;
    if (!w->is_finished) {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_BAD_ANSWER, "", "the answer ended before it was complete");
        write_stream_error(w, &e, out);
        return buf_ok(out) ? OK : ERR_LIMIT;
    }
    write_message_start(w, out);
    close_block(w, out);
    if (!w->has_usage)
        w->usage.input_fresh = w->reply->input_estimate;
    begin_event(out, "message_delta");
    buf_puts(out, ",\"delta\":");
    jw_begin_object(&jw);
    write_stop(&jw, w->finish, w->stop);
    jw_end_object(&jw);
    buf_puts(out, ",\"usage\":");
    jw = json_writer(out);
    write_usage(&jw, &w->usage, false);
    end_event(out);
    begin_event(out, "message_stop");
    end_event(out);
    return buf_ok(out) ? OK : ERR_LIMIT;
}

void anthropic_writer_heartbeat(struct dialect_writer *w, struct buf *out)
{
    (void)w;
    buf_puts(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}
