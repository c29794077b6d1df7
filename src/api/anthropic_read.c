/* anthropic_read.c - Messages: a provider's answer or stream as events.
 *
 * Blocks never interleave on this wire, so one current block is all the state.  Usage comes with
 * message_start (input) and message_delta (cumulative, inputs perhaps null): what is said last
 * wins, what is not said stays.  Start reading at anthropic_reader_event(). */
#include <stdlib.h>

#include "api/anthropic_int.h"

enum { SCRATCH_BYTES = 256 << 20 };

enum block_type { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL, BLOCK_JSON_TOOL };

struct reader {
    struct dialect_reader base;
    const struct chat_request *req;
    struct arena scratch;
    const struct chat_sink *sink;
    struct token_account usage;
    bool is_started, is_finished, is_failed, is_opaque;
    enum block_type type;
    int n_blocks; /* of text and thinking, begun */
    int n_tools;
    bool has_args;         /* the current call has sent arguments */
    struct buf start_args; /* arguments that came with content_block_start */
};

static int emit_error(struct reader *r, struct chat_error *e)
{
    struct chat_event ev = {.type = CHAT_EV_ERROR, .error = e};
    r->is_failed = true;
    r->base.is_done = true;
    return chat_send(r->sink, &ev);
}

static int bad_answer(struct reader *r, const char *what)
{
    struct chat_error e;
    chat_error_set(&e, CHAT_ERR_BAD_ANSWER, "", "the provider %s", what);
    return emit_error(r, &e);
}

static int send_content(struct reader *r, struct chat_event *ev)
{
    ev->block = r->n_blocks ? r->n_blocks - 1 : 0;
    r->base.has_content = true;
    return chat_send(r->sink, ev);
}

static struct str text_of(struct reader *r, struct json obj, const char *key)
{
    struct str s = json_text(json_get(obj, key), &r->scratch);
    return s.p ? s : S("");
}

/* ---- usage ---- */

static void take(struct json usage, const char *key, int64_t *to)
{
    int64_t v;
    if (json_i64(json_get(usage, key), &v) && v >= 0)
        *to = v;
}

static bool read_usage(struct json u, struct token_account *t)
{
    if (!json_is(u, JSON_OBJECT))
        return false;
    int64_t written = t->cache_write_5m + t->cache_write_1h;
    int64_t before = written;
    take(u, "input_tokens", &t->input_fresh);
    take(u, "cache_read_input_tokens", &t->cache_read);
    take(u, "cache_creation_input_tokens", &written);
    struct json split = json_get(u, "cache_creation");
    if (json_is(split, JSON_OBJECT)) {
        take(split, "ephemeral_5m_input_tokens", &t->cache_write_5m);
        take(split, "ephemeral_1h_input_tokens", &t->cache_write_1h);
    } else if (written != before) {
        /* The flat field alone: the default lifetime is 5 minutes. */
        t->cache_write_5m = written >= t->cache_write_1h ? written - t->cache_write_1h : written;
    }
    take(u, "output_tokens", &t->output);
    take(json_get(u, "output_tokens_details"), "thinking_tokens", &t->reasoning);
    if (t->reasoning > t->output)
        t->reasoning = t->output;
    t->is_known = true;
    return true;
}

static int send_usage(struct reader *r, struct json usage)
{
    if (!read_usage(usage, &r->usage))
        return OK;
    struct chat_event ev = {.type = CHAT_EV_USAGE, .usage = r->usage};
    return chat_send(r->sink, &ev);
}

/* ---- blocks ---- */

static int send_text(struct reader *r, struct str text)
{
    struct chat_event ev = {.type = CHAT_EV_TEXT, .text = text};
    return text.n ? send_content(r, &ev) : OK;
}

static int send_thinking(struct reader *r, struct str text, struct str signature, bool is_redacted)
{
    struct chat_event ev = {.type = CHAT_EV_REASONING,
                            .text = text,
                            .signature = signature.n ? signature : (struct str){0},
                            .signature_from = DIALECT_ANTHROPIC,
                            .is_redacted = is_redacted};
    return text.n || signature.n ? send_content(r, &ev) : OK;
}

static int send_args(struct reader *r, struct str args)
{
    struct chat_event ev = {.type = CHAT_EV_TOOL_CALL, .tool_idx = r->n_tools - 1, .text = args};
    if (args.n == 0)
        return OK;
    r->has_args = true;
    if (r->type == BLOCK_JSON_TOOL)
        return send_text(r, args);
    return send_content(r, &ev);
}

static int send_citation(struct reader *r, struct json v)
{
    struct chat_citation c;
    if (!json_is(v, JSON_OBJECT))
        return OK;
    anthropic_read_citation(v, &r->scratch, &c);
    struct chat_event ev = {.type = CHAT_EV_CITATION, .citation = &c};
    ev.block = r->n_blocks ? r->n_blocks - 1 : 0;
    return chat_send(r->sink, &ev);
}

static int begin_tool(struct reader *r, struct json block)
{
    struct chat_event ev = {.type = CHAT_EV_TOOL_CALL, .text = S("")};
    struct json input = json_get(block, "input");
    ev.id = text_of(r, block, "id");
    ev.name = text_of(r, block, "name");
    r->has_args = false;
    buf_clear(&r->start_args);
    /* Some compatible hosts give all arguments here and no deltas. */
    if (json_is(input, JSON_OBJECT) && json_count(input) > 0)
        buf_str_add(&r->start_args, json_span(input));
    if (r->req && anthropic_uses_json_tool(r->req) && str_eq(ev.name, S(ANTHROPIC_JSON_TOOL))) {
        r->type = BLOCK_JSON_TOOL;
        r->n_blocks++;
        return OK;
    }
    if (r->n_tools >= CHAT_STREAM_TOOLS_MAX)
        return bad_answer(r, "sent more tool calls than are possible");
    r->type = BLOCK_TOOL;
    ev.tool_idx = r->n_tools++;
    return send_content(r, &ev);
}

static int begin_block(struct reader *r, struct json block)
{
    struct str type = text_of(r, block, "type");
    int rc = OK;
    r->type = BLOCK_NONE;
    r->base.is_between_blocks = false;
    if (str_eq(type, S("text"))) {
        r->type = BLOCK_TEXT;
        r->n_blocks++;
        rc = send_text(r, text_of(r, block, "text"));
        for (struct json_iter it = json_iter(json_get(block, "citations")); rc == OK && json_next(&it);)
            rc = send_citation(r, it.value);
    } else if (str_eq(type, S("thinking"))) {
        r->type = BLOCK_THINKING;
        r->n_blocks++;
        rc = send_thinking(r, text_of(r, block, "thinking"), S(""), false);
        if (rc == OK)
            rc = send_thinking(r, S(""), text_of(r, block, "signature"), false);
    } else if (str_eq(type, S("redacted_thinking"))) {
        r->n_blocks++;
        rc = send_thinking(r, S(""), text_of(r, block, "data"), true);
    } else if (str_eq(type, S("tool_use"))) {
        rc = begin_tool(r, block);
    } else {
        r->base.has_content = true;
        r->is_opaque = true;
    }
    /* Others are of the provider's own tools, which only a client of this dialect can have
     * asked for, and it gets the bytes themselves. */
    return rc;
}

static int end_block(struct reader *r)
{
    int rc = OK;
    bool is_call = r->type == BLOCK_TOOL || r->type == BLOCK_JSON_TOOL;
    /* A call without any argument is an empty object, not an empty text. */
    if (is_call && !r->has_args)
        rc = send_args(r, r->start_args.n ? buf_str(&r->start_args) : S("{}"));
    r->type = BLOCK_NONE;
    r->base.is_between_blocks = true;
    return rc;
}

static int read_delta(struct reader *r, struct json d)
{
    struct str type = text_of(r, d, "type");
    if (str_eq(type, S("text_delta")))
        return send_text(r, text_of(r, d, "text"));
    if (str_eq(type, S("input_json_delta")))
        return r->type == BLOCK_NONE ? OK : send_args(r, text_of(r, d, "partial_json"));
    if (str_eq(type, S("thinking_delta")))
        return send_thinking(r, text_of(r, d, "thinking"), S(""), false);
    if (str_eq(type, S("signature_delta")))
        return send_thinking(r, S(""), text_of(r, d, "signature"), false);
    if (str_eq(type, S("citations_delta")))
        return send_citation(r, json_get(d, "citation"));
    return OK;
}

/* ---- message ---- */

static int start(struct reader *r, struct json message)
{
    struct chat_event ev = {.type = CHAT_EV_START};
    if (r->is_started) /* some gateways in between send it twice */
        return OK;
    r->is_started = true;
    ev.id = text_of(r, message, "id");
    ev.model = text_of(r, message, "model");
    int rc = chat_send(r->sink, &ev);
    return rc == OK ? send_usage(r, json_get(message, "usage")) : rc;
}

static enum chat_finish finish_by_name(struct str s)
{
    if (str_eq(s, S("max_tokens")) || str_eq(s, S("model_context_window_exceeded")))
        return CHAT_FINISH_LENGTH;
    if (str_eq(s, S("stop_sequence")))
        return CHAT_FINISH_STOP_SEQUENCE;
    if (str_eq(s, S("tool_use")))
        return CHAT_FINISH_TOOL_CALLS;
    if (str_eq(s, S("refusal")))
        return CHAT_FINISH_REFUSAL;
    return str_eq(s, S("pause_turn")) ? CHAT_FINISH_PAUSE : CHAT_FINISH_STOP;
}

static int finish(struct reader *r, struct json v)
{
    struct json reason = json_get(v, "stop_reason");
    if (!json_is(reason, JSON_STRING) || r->is_finished)
        return OK;
    r->is_finished = true;
    struct chat_event ev = {.type = CHAT_EV_FINISH,
                            .is_opaque = r->is_opaque,
                            .finish = finish_by_name(text_of(r, v, "stop_reason")),
                            .text = text_of(r, v, "stop_sequence")};
    /* The tool that carried a JSON answer is no call to the client. */
    if (ev.finish == CHAT_FINISH_TOOL_CALLS && r->n_tools == 0)
        ev.finish = CHAT_FINISH_STOP;
    return chat_send(r->sink, &ev);
}

static int read_event(struct reader *r, struct json root)
{
    struct str type = text_of(r, root, "type");
    if (str_eq(type, S("content_block_delta")))
        return read_delta(r, json_get(root, "delta"));
    if (str_eq(type, S("content_block_start"))) {
        int rc = start(r, json_absent());
        return rc == OK ? begin_block(r, json_get(root, "content_block")) : rc;
    }
    if (str_eq(type, S("content_block_stop")))
        return end_block(r);
    if (str_eq(type, S("message_start")))
        return start(r, json_get(root, "message"));
    if (str_eq(type, S("message_delta"))) {
        int rc = send_usage(r, json_get(root, "usage"));
        return rc == OK ? finish(r, json_get(root, "delta")) : rc;
    }
    if (str_eq(type, S("message_stop"))) {
        r->base.is_done = true;
        return OK;
    }
    if (str_eq(type, S("error"))) {
        struct chat_error e;
        anthropic_read_error_value(200, json_get(root, "error"), &e);
        return emit_error(r, &e);
    }
    return OK; /* ping, and kinds to come */
}

struct dialect_reader *anthropic_reader_new(const struct chat_request *req)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->req = req;
    arena_init(&r->scratch, SCRATCH_BYTES);
    buf_init(&r->start_args, SCRATCH_BYTES);
    return &r->base;
}

void anthropic_reader_free(struct dialect_reader *base)
{
    struct reader *r = (struct reader *)base;
    if (!r)
        return;
    arena_deinit(&r->scratch);
    buf_deinit(&r->start_args);
    free(r);
}

/* Parse one JSON object into the scratch arena; absent after an error event. */
static struct json parse(struct reader *r, struct json_doc *doc, struct str data, int *rc)
{
    arena_reset(&r->scratch);
    *rc = OK;
    int parsed = json_parse(doc, &r->scratch, data, NULL);
    if (parsed == OK && json_is(json_root(doc), JSON_OBJECT))
        return json_root(doc);
    struct str head = str_trim(data);
    *rc = bad_answer(r, parsed == ERR_NOMEM          ? "sent more than one event may hold"
                        : head.n && head.p[0] == '<' ? "answered with an HTML page instead of JSON"
                                                     : "sent malformed JSON");
    return json_absent();
}

int anthropic_reader_event(struct dialect_reader *base, struct str name, struct str data,
                           const struct chat_sink *sink)
{
    struct reader *r = (struct reader *)base;
    struct json_doc doc;
    int rc;
    (void)name; /* the data's own type says the same and is never missing */
    if (r->base.is_done || str_trim(data).n == 0)
        return OK;
    r->sink = sink;
    struct json root = parse(r, &doc, data, &rc);
    return json_exists(root) ? read_event(r, root) : rc;
}

int anthropic_reader_end(struct dialect_reader *base, const struct chat_sink *sink)
{
    struct reader *r = (struct reader *)base;
    r->sink = sink;
    if (r->is_failed || r->is_finished)
        return OK;
    if (r->base.is_done && r->base.has_content) { /* message_stop, but nobody said why */
        struct chat_event ev = {.type = CHAT_EV_FINISH,
                                .is_opaque = r->is_opaque,
                                .finish = r->n_tools ? CHAT_FINISH_TOOL_CALLS : CHAT_FINISH_STOP};
        return chat_send(sink, &ev);
    }
    return bad_answer(r, r->is_started ? "closed the stream before the answer was complete"
                                       : "ended the stream without an answer");
}

int anthropic_read_answer(const struct chat_request *req, struct str body, struct arena *a,
                          const struct chat_sink *sink)
{
    struct dialect_reader *base = anthropic_reader_new(req);
    struct reader *r = (struct reader *)base;
    struct json_doc doc;
    int rc = OK;
    (void)a;
    if (!base)
        return ERR_NOMEM;
    r->sink = sink;
    struct json root = json_absent();
    if (str_trim(body).n == 0)
        rc = bad_answer(r, "answered 200 with an empty body");
    else
        root = parse(r, &doc, body, &rc);
    struct json content = json_get(root, "content");
    if (json_exists(root) && json_is(json_get(root, "error"), JSON_OBJECT)) {
        struct chat_error e;
        anthropic_read_error_value(200, json_get(root, "error"), &e);
        rc = emit_error(r, &e);
    } else if (json_exists(root) && !json_is(content, JSON_ARRAY)) {
        rc = bad_answer(r, "answered 200 without content");
    } else if (json_exists(root)) {
        rc = start(r, root);
        for (struct json_iter it = json_iter(content); rc == OK && !r->is_failed && json_next(&it);) {
            rc = begin_block(r, it.value);
            if (rc == OK && !r->is_failed)
                rc = end_block(r);
        }
        if (rc == OK && !r->is_failed)
            rc = finish(r, root);
        if (rc == OK && !r->is_failed && !r->is_finished)
            rc = bad_answer(r, "answered without a stop_reason");
    }
    anthropic_reader_free(base);
    return rc;
}
