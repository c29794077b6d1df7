/* openai_read.c - Chat and legacy completions: a provider's answer or stream as events.
 *
 * One state machine for both: a whole answer is one chunk whose `message` is read as the delta.
 * Written against the worst real hosts: an empty first chunk (Azure), all calls at index 0
 * (Gemini's compatible host), no [DONE], no finish_reason, usage in every chunk or never, thinking
 * in reasoning_content, reasoning, reasoning_details or content parts, an error inside a 200.
 * Start reading at read_chunk(). */
#include <math.h>
#include <stdlib.h>

#include "api/openai_int.h"

enum { KEEP_BYTES = 1 << 20, SCRATCH_BYTES = 256 << 20 };

struct tool {
    int64_t wire_idx;
    struct str id;
    bool has_args;
};

enum last { LAST_NONE, LAST_TEXT, LAST_REASONING, LAST_OTHER };

struct choice {
    bool is_seen, is_finished, has_refusal;
    enum last last;
    int n_blocks; /* begun so far, of text and reasoning together */
    struct tool *tools;
    int n_tools, tools_cap;
};

struct reader {
    struct dialect_reader base;
    const struct chat_request *req;
    struct arena scratch; /* of one event */
    struct arena keep;    /* ids of calls */
    struct choice *choices[CHAT_CHOICES_MAX];
    bool is_started, is_failed, is_opaque;
    struct str answer_id;
    const struct chat_sink *sink; /* during a call */
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

static int no_memory(struct reader *r)
{
    return bad_answer(r, "sent more than one answer may hold");
}

static struct choice *get_choice(struct reader *r, int64_t i)
{
    if (i < 0 || i >= CHAT_CHOICES_MAX)
        return NULL;
    if (!r->choices[i])
        r->choices[i] = arena_new(&r->keep, struct choice);
    if (r->choices[i])
        r->choices[i]->is_seen = true;
    return r->choices[i];
}

/* ---- pieces of a delta ---- */

static int send_text(struct reader *r, int i, enum chat_event_type type, struct chat_event *ev)
{
    struct choice *c = r->choices[i];
    enum last kind = type == CHAT_EV_TEXT        ? LAST_TEXT
                     : type == CHAT_EV_REASONING ? LAST_REASONING
                                                 : LAST_OTHER;
    if (c->last != kind)
        c->n_blocks++;
    c->last = kind;
    c->has_refusal |= type == CHAT_EV_REFUSAL;
    ev->type = type;
    ev->choice = i;
    ev->block = c->n_blocks - 1;
    r->base.has_content = true;
    return chat_send(r->sink, ev);
}

static int read_plain(struct reader *r, int i, struct json v, enum chat_event_type type)
{
    struct chat_event ev = {.text = json_text(v, &r->scratch)};
    if (!json_is(v, JSON_STRING))
        return OK;
    if (!ev.text.p)
        return no_memory(r);
    return ev.text.n ? send_text(r, i, type, &ev) : OK;
}

static enum dialect_id signer(struct json detail, struct arena *a)
{
    struct str format = json_text(json_get(detail, "format"), a);
    if (format.p && str_starts(format, S("anthropic")))
        return DIALECT_ANTHROPIC;
    if (format.p && str_starts(format, S("google")))
        return DIALECT_GEMINI;
    return DIALECT_OPENAI_CHAT;
}

static int read_details(struct reader *r, int i, struct json list)
{
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct json d = it.value;
        struct chat_event ev = {.signature_from = signer(d, &r->scratch)};
        ev.is_redacted = json_text_is(json_get(d, "type"), "reasoning.encrypted");
        struct json text = json_get(d, "text");
        if (json_is_none(text))
            text = json_get(d, "summary");
        ev.text = json_text(text, &r->scratch);
        ev.signature = json_text(json_get(d, ev.is_redacted ? "data" : "signature"), &r->scratch);
        if (!ev.text.p)
            ev.text = S("");
        if (!ev.text.n && !ev.signature.n)
            continue;
        if (!ev.signature.n)
            ev.signature = (struct str){0};
        int rc = send_text(r, i, CHAT_EV_REASONING, &ev);
        if (rc != OK)
            return rc;
        if (ev.signature.p) /* this block is closed: the next thought is another */
            r->choices[i]->last = LAST_OTHER;
    }
    return OK;
}

/* Thinking under whichever of its names comes; details carry the same text with signatures. */
static int read_thinking(struct reader *r, int i, struct json delta)
{
    struct json details = json_get(delta, "reasoning_details");
    if (json_count(details) > 0)
        return read_details(r, i, details);
    struct json v = json_get(delta, "reasoning_content");
    if (json_is_none(v))
        v = json_get(delta, "reasoning");
    return read_plain(r, i, v, CHAT_EV_REASONING);
}

static int read_content_parts(struct reader *r, int i, struct json list)
{
    int rc = OK;
    for (struct json_iter it = json_iter(list); rc == OK && json_next(&it);) {
        struct json thinking = json_get(it.value, "thinking");
        if (json_is(thinking, JSON_STRING))
            rc = read_plain(r, i, thinking, CHAT_EV_REASONING);
        for (struct json_iter t = json_iter(thinking); rc == OK && json_next(&t);)
            rc = read_plain(r, i, json_get(t.value, "text"), CHAT_EV_REASONING);
        if (rc == OK && json_text_is(json_get(it.value, "type"), "text"))
            rc = read_plain(r, i, json_get(it.value, "text"), CHAT_EV_TEXT);
    }
    return rc;
}

static int64_t get_i64(struct json obj, const char *key, int64_t otherwise)
{
    int64_t v;
    return json_i64(json_get(obj, key), &v) ? v : otherwise;
}

static int read_annotations(struct reader *r, int i, struct json list)
{
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct json url = json_get(it.value, "url_citation");
        struct json file = json_get(it.value, "file_citation");
        struct json v = json_exists(url) ? url : file;
        if (!json_is(v, JSON_OBJECT))
            continue;
        struct chat_citation c = {.from = DIALECT_OPENAI_CHAT,
                                  .raw_json = json_span(it.value),
                                  .source_idx = (int)get_i64(file, "index", -1),
                                  .start = -1,
                                  .end = -1};
        c.url = json_text(json_get(v, "url"), &r->scratch);
        c.title = json_text(json_get(v, json_exists(url) ? "title" : "filename"), &r->scratch);
        c.cited_text = json_text(json_get(v, "quote"), &r->scratch);
        c.answer_start = get_i64(v, "start_index", -1);
        c.answer_end = get_i64(v, "end_index", -1);
        struct chat_event ev = {.type = CHAT_EV_CITATION, .choice = i, .citation = &c};
        ev.block = r->choices[i]->n_blocks ? r->choices[i]->n_blocks - 1 : 0;
        int rc = chat_send(r->sink, &ev);
        if (rc != OK)
            return rc;
    }
    return OK;
}

static int send_media(struct reader *r, int i, struct chat_media *m, enum chat_part_type type)
{
    struct chat_event ev = {.type = CHAT_EV_MEDIA, .choice = i, .media = m, .media_type = type};
    r->choices[i]->last = LAST_OTHER;
    r->base.has_content = true;
    return chat_send(r->sink, &ev);
}

static int read_media(struct reader *r, int i, struct json delta)
{
    struct json audio = json_get(delta, "audio");
    int rc = OK;
    if (json_is(audio, JSON_OBJECT)) {
        struct chat_media m = {.data = json_text(json_get(audio, "data"), &r->scratch),
                               .text = json_text(json_get(audio, "transcript"), &r->scratch),
                               .file_id = json_text(json_get(audio, "id"), &r->scratch)};
        rc = send_media(r, i, &m, CHAT_PART_AUDIO);
    }
    for (struct json_iter it = json_iter(json_get(delta, "images")); rc == OK && json_next(&it);) {
        struct json url = json_get(json_get(it.value, "image_url"), "url");
        struct chat_media m = {.url = json_text(url, &r->scratch)};
        if (m.url.p && rd_data_url(m.url, &m))
            m.url = (struct str){0};
        if (m.url.p || m.data.p)
            rc = send_media(r, i, &m, CHAT_PART_IMAGE);
    }
    return rc;
}

/* ---- tool calls ---- */

static int add_tool(struct reader *r, struct choice *c, int64_t wire_idx, struct str id)
{
    if (c->n_tools >= CHAT_STREAM_TOOLS_MAX)
        return -1;
    if (c->n_tools == c->tools_cap) {
        int cap = c->tools_cap ? c->tools_cap * 2 : 4;
        struct tool *more = arena_new_array(&r->keep, struct tool, (size_t)cap);
        if (!more)
            return -1;
        if (c->n_tools)
            memcpy(more, c->tools, (size_t)c->n_tools * sizeof(*more));
        c->tools = more;
        c->tools_cap = cap;
    }
    struct str kept = arena_str(&r->keep, id);
    if (!kept.p)
        return -1;
    c->tools[c->n_tools] = (struct tool){wire_idx, kept, false};
    return c->n_tools++;
}

/* Which call a fragment belongs to; *is_new when it begins one.  The index decides, unless the
 * fragment brings an id that the call at this index does not have: some hosts number every call
 * 0.  Without any index, an id or a name begins a call and everything else continues the last. */
static int find_tool(struct reader *r, struct choice *c, struct json call, struct str id, bool has_name,
                     bool *is_new)
{
    int64_t idx = get_i64(call, "index", -1);
    *is_new = false;
    for (int k = c->n_tools - 1; k >= 0; k--) {
        const struct tool *t = &c->tools[k];
        bool same_place = idx >= 0 ? t->wire_idx == idx : k == c->n_tools - 1;
        if (idx < 0 && !id.n && has_name)
            break;
        if (same_place && (!id.n || str_eq(id, t->id)))
            return k;
        if (id.n && str_eq(id, t->id) && idx < 0)
            return k;
    }
    *is_new = true;
    return add_tool(r, c, idx, id);
}

static struct str made_id(struct reader *r, int choice, int tool)
{
    /* The same answer read twice has the same ids. */
    return call_id_make(&r->scratch, "call_", r->answer_id, r->req, choice, tool);
}

static int send_call(struct reader *r, int i, int tool, bool is_new, struct str id, struct json fn,
                     struct json google)
{
    struct chat_event ev = {.type = CHAT_EV_TOOL_CALL, .choice = i, .tool_idx = tool};
    struct json args = json_get(fn, "arguments");
    if (json_is_none(args))
        args = json_get(fn, "input"); /* custom tools: any text */
    if (json_is(args, JSON_OBJECT))   /* some hosts forget to make it a string */
        ev.text = json_span(args);
    else
        ev.text = json_text(args, &r->scratch);
    if (!ev.text.p)
        ev.text = S("");
    if (is_new) {
        ev.id = id.n ? id : made_id(r, i, tool);
        ev.name = json_text(json_get(fn, "name"), &r->scratch);
        if (!ev.name.p)
            return bad_answer(r, "sent a tool call without a name");
        ev.signature = json_text(json_get(google, "thought_signature"), &r->scratch);
        if (ev.signature.p)
            ev.signature_from = DIALECT_GEMINI;
    } else if (!ev.text.n) {
        return OK;
    }
    r->choices[i]->last = LAST_OTHER;
    r->choices[i]->tools[tool].has_args |= ev.text.n > 0;
    r->base.has_content = true;
    return chat_send(r->sink, &ev);
}

/* A call without any argument is an empty object: clients parse what they joined. */
static int complete_calls(struct reader *r, int i)
{
    struct choice *c = r->choices[i];
    int rc = OK;
    for (int k = 0; k < c->n_tools && rc == OK; k++) {
        struct chat_event ev = {.type = CHAT_EV_TOOL_CALL, .choice = i, .tool_idx = k, .text = S("{}")};
        if (!c->tools[k].has_args)
            rc = chat_send(r->sink, &ev);
    }
    return rc;
}

static int read_calls(struct reader *r, int i, struct json list)
{
    struct choice *c = r->choices[i];
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct json fn = json_get(it.value, "function");
        if (json_is_none(fn)) {
            fn = json_get(it.value, "custom");
            r->is_opaque = true;
        }
        if (json_is_none(fn)) { /* a kind to come: content that only its own dialect can carry */
            r->base.has_content = true;
            continue;
        }
        struct str id = json_text(json_get(it.value, "id"), &r->scratch);
        bool has_name = json_is(json_get(fn, "name"), JSON_STRING) && json_span(json_get(fn, "name")).n > 2;
        bool is_new;
        int tool = find_tool(r, c, it.value, id, has_name, &is_new);
        if (tool < 0)
            return no_memory(r);
        struct json google = json_get(json_get(it.value, "extra_content"), "google");
        int rc = send_call(r, i, tool, is_new, id, fn, google);
        if (rc != OK || r->is_failed)
            return rc;
    }
    return OK;
}

static int read_function_call(struct reader *r, int i, struct json fn)
{
    struct choice *c = r->choices[i];
    if (!json_is(fn, JSON_OBJECT))
        return OK;
    bool is_new = c->n_tools == 0;
    if (is_new && add_tool(r, c, 0, S("")) < 0)
        return no_memory(r);
    struct str name = json_text(json_get(fn, "name"), &r->scratch);
    struct str id = is_new && name.p ? arena_printf(&r->scratch, "call_%.*s", STR(name)) : S("");
    return send_call(r, i, 0, is_new, id, fn, json_absent());
}

/* ---- logprobs ---- */

static void read_token(struct reader *r, struct json v, struct chat_top_logprob *t)
{
    struct json bytes = json_get(v, "bytes");
    t->token_id = -1;
    t->token = json_text(json_get(v, "token"), &r->scratch);
    if (!json_f64(json_get(v, "logprob"), &t->logprob))
        t->logprob = 0;
    if (str_starts(t->token.p ? t->token : S(""), S("token_id:"))) {
        str_to_i64(str_sub(t->token, 9, t->token.n), &t->token_id);
        return;
    }
    /* bytes are exact where the token is a piece of a character. */
    if (!json_is(bytes, JSON_ARRAY))
        return;
    char *p = arena_alloc(&r->scratch, json_count(bytes) + 1);
    if (!p)
        return;
    for (struct json_iter it = json_iter(bytes); json_next(&it);) {
        int64_t b = 0;
        json_i64(it.value, &b);
        p[it.i] = (char)(b & 0xff);
    }
    t->token = str_of(p, json_count(bytes));
}

static int send_logprobs(struct reader *r, int i, struct json list, bool is_refusal)
{
    uint32_t n = json_count(list);
    if (!json_is(list, JSON_ARRAY) || n == 0)
        return OK;
    struct chat_logprob *lp = arena_new_array(&r->scratch, struct chat_logprob, n);
    if (!lp)
        return no_memory(r);
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct json top = json_get(it.value, "top_logprobs");
        struct chat_logprob *one = &lp[it.i];
        struct chat_top_logprob *alts =
            arena_new_array(&r->scratch, struct chat_top_logprob, json_count(top) + 1);
        if (!alts)
            return no_memory(r);
        read_token(r, it.value, &one->chosen);
        one->text_offset = -1;
        one->is_refusal = is_refusal;
        one->top = alts;
        for (struct json_iter t = json_iter(top); json_next(&t);)
            read_token(r, t.value, &alts[one->n_top++]);
    }
    struct chat_event ev = {.type = CHAT_EV_LOGPROBS, .choice = i, .logprobs = lp, .n_logprobs = n};
    return chat_send(r->sink, &ev);
}

/* The shape of legacy completions: parallel lists. */
static int read_old_logprobs(struct reader *r, int i, struct json v)
{
    struct json tokens = json_get(v, "tokens");
    uint32_t n = json_count(tokens);
    if (n == 0)
        return OK;
    struct chat_logprob *lp = arena_new_array(&r->scratch, struct chat_logprob, n);
    if (!lp)
        return no_memory(r);
    struct json_iter t = json_iter(tokens), p = json_iter(json_get(v, "token_logprobs"));
    struct json_iter o = json_iter(json_get(v, "text_offset"));
    struct json_iter tops = json_iter(json_get(v, "top_logprobs"));
    while (json_next(&t)) {
        struct chat_logprob *one = &lp[t.i];
        one->chosen.token = json_text(t.value, &r->scratch);
        one->chosen.token_id = -1;
        one->text_offset = -1;
        one->chosen.logprob = NAN; /* the first token of an echoed prompt has none */
        if (json_next(&p))
            json_f64(p.value, &one->chosen.logprob);
        if (json_next(&o))
            json_i64(o.value, &one->text_offset);
        if (!json_next(&tops))
            continue;
        struct chat_top_logprob *alts =
            arena_new_array(&r->scratch, struct chat_top_logprob, json_count(tops.value) + 1);
        if (!alts)
            return no_memory(r);
        one->top = alts;
        for (struct json_iter m = json_iter(tops.value); json_next(&m);) {
            alts[one->n_top].token = json_text(m.key_value, &r->scratch);
            alts[one->n_top].token_id = -1;
            json_f64(m.value, &alts[one->n_top++].logprob);
        }
    }
    struct chat_event ev = {.type = CHAT_EV_LOGPROBS, .choice = i, .logprobs = lp, .n_logprobs = n};
    return chat_send(r->sink, &ev);
}

static int read_logprobs(struct reader *r, int i, struct json v)
{
    if (!json_is(v, JSON_OBJECT))
        return OK;
    if (json_is(json_get(v, "tokens"), JSON_ARRAY))
        return read_old_logprobs(r, i, v);
    int rc = send_logprobs(r, i, json_get(v, "content"), false);
    return rc == OK ? send_logprobs(r, i, json_get(v, "refusal"), true) : rc;
}

/* ---- usage and finish ---- */

bool openai_read_usage(struct json u, struct token_account *t)
{
    if (!json_is(u, JSON_OBJECT))
        return false;
    int64_t prompt = get_i64(u, "prompt_tokens", -1);
    int64_t output = get_i64(u, "completion_tokens", 0);
    if (prompt < 0)
        return false;
    struct json in = json_get(u, "prompt_tokens_details");
    struct json details = json_get(u, "completion_tokens_details");
    /* DeepSeek and Moonshot have their own names for cached tokens. */
    int64_t cached = get_i64(in, "cached_tokens", -1);
    if (cached < 0)
        cached = get_i64(u, "prompt_cache_hit_tokens", -1);
    if (cached < 0)
        cached = get_i64(u, "cached_tokens", 0);
    int64_t written = get_i64(in, "cache_write_tokens", 0);
    int64_t reasoning = get_i64(details, "reasoning_tokens", 0);
    int64_t total = get_i64(u, "total_tokens", 0);
    if (cached < 0 || cached > prompt)
        cached = 0;
    if (written < 0 || written > prompt - cached)
        written = 0;
    if (output < 0)
        output = 0;
    if (reasoning < 0)
        reasoning = 0;
    /* xAI counts reasoning beside the completion; the total betrays it. */
    if (reasoning > 0 && reasoning <= INT32_MAX && total == prompt + output + reasoning)
        output += reasoning;
    *t = (struct token_account){.input_fresh = prompt - cached - written,
                                .cache_read = cached,
                                .cache_write_5m = written,
                                .output = output,
                                .reasoning = reasoning < output ? reasoning : output,
                                .is_known = true};
    return true;
}

static int read_usage(struct reader *r, struct json root, bool *found)
{
    struct chat_event ev = {.type = CHAT_EV_USAGE};
    *found = openai_read_usage(json_get(root, "usage"), &ev.usage) ||
             openai_read_usage(json_get(json_get(root, "x_groq"), "usage"), &ev.usage);
    return *found ? chat_send(r->sink, &ev) : OK;
}

enum chat_finish openai_finish_by_name(struct str s)
{
    if (str_eq(s, S("length")) || str_eq(s, S("max_tokens")))
        return CHAT_FINISH_LENGTH;
    if (str_eq(s, S("tool_calls")) || str_eq(s, S("function_call")))
        return CHAT_FINISH_TOOL_CALLS;
    if (str_eq(s, S("content_filter")))
        return CHAT_FINISH_CONTENT_FILTER;
    return CHAT_FINISH_STOP;
}

static int send_finish(struct reader *r, int i, enum chat_finish finish, struct str stop)
{
    struct choice *c = r->choices[i];
    if (c->is_finished)
        return OK;
    c->is_finished = true;
    /* A forced call ends with "stop" at OpenAI, and some hosts always say so. */
    if (finish == CHAT_FINISH_STOP && c->n_tools > 0)
        finish = CHAT_FINISH_TOOL_CALLS;
    else if (finish == CHAT_FINISH_STOP && c->has_refusal)
        finish = CHAT_FINISH_REFUSAL;
    int rc = complete_calls(r, i);
    if (rc != OK)
        return rc;
    struct chat_event ev = {
        .type = CHAT_EV_FINISH, .is_opaque = r->is_opaque, .choice = i, .finish = finish, .text = stop};
    return chat_send(r->sink, &ev);
}

static int read_finish(struct reader *r, int i, struct json choice)
{
    struct str s = json_text(json_get(choice, "finish_reason"), &r->scratch);
    if (!s.p)
        return OK;
    if (str_eq(s, S("error")))
        return bad_answer(r, "broke off the answer with finish_reason error");
    enum chat_finish f = openai_finish_by_name(s);
    /* vLLM and SGLang tell which stop string it was. */
    struct str stop = json_text(json_get(choice, "stop_reason"), &r->scratch);
    if (!stop.p)
        stop = json_text(json_get(choice, "matched_stop"), &r->scratch);
    if (f == CHAT_FINISH_STOP && stop.n)
        f = CHAT_FINISH_STOP_SEQUENCE;
    return send_finish(r, i, f, stop);
}

/* ---- a chunk ---- */

static int read_delta(struct reader *r, int i, struct json delta)
{
    struct json content = json_get(delta, "content");
    int rc = read_thinking(r, i, delta);
    if (rc == OK && json_is(content, JSON_ARRAY))
        rc = read_content_parts(r, i, content);
    else if (rc == OK)
        rc = read_plain(r, i, content, CHAT_EV_TEXT);
    if (rc == OK)
        rc = read_plain(r, i, json_get(delta, "refusal"), CHAT_EV_REFUSAL);
    if (rc == OK)
        rc = read_annotations(r, i, json_get(delta, "annotations"));
    if (rc == OK)
        rc = read_media(r, i, delta);
    if (rc == OK)
        rc = read_calls(r, i, json_get(delta, "tool_calls"));
    if (rc == OK && !r->is_failed)
        rc = read_function_call(r, i, json_get(delta, "function_call"));
    return rc;
}

static int read_choice(struct reader *r, struct json v, uint32_t place)
{
    int64_t i = get_i64(v, "index", place);
    struct choice *c = get_choice(r, i);
    if (!c)
        return bad_answer(r, "sent a choice index that cannot be");
    struct json error = json_get(v, "error");
    if (json_is(error, JSON_OBJECT)) {
        struct chat_error e;
        openai_read_error_value(200, error, &e);
        return emit_error(r, &e);
    }
    struct json delta = json_get(v, "delta");
    if (json_is_none(delta))
        delta = json_get(v, "message");
    int rc = read_delta(r, (int)i, delta);
    if (rc == OK && !r->is_failed)
        rc = read_plain(r, (int)i, json_get(v, "text"), CHAT_EV_TEXT);
    if (rc == OK && !r->is_failed)
        rc = read_logprobs(r, (int)i, json_get(v, "logprobs"));
    return rc == OK && !r->is_failed ? read_finish(r, (int)i, v) : rc;
}

static int start(struct reader *r, struct json root)
{
    struct chat_event ev = {.type = CHAT_EV_START};
    if (r->is_started)
        return OK;
    r->is_started = true;
    ev.id = json_text(json_get(root, "id"), &r->scratch);
    ev.model = json_text(json_get(root, "model"), &r->scratch);
    ev.created_s = get_i64(root, "created", 0);
    if (ev.id.n)
        r->answer_id = arena_str(&r->keep, ev.id);
    return chat_send(r->sink, &ev);
}

static int read_chunk(struct reader *r, struct json root)
{
    struct json error = json_get(root, "error");
    struct json choices = json_get(root, "choices");
    if (json_is(error, JSON_OBJECT) || (json_is(error, JSON_STRING) && json_span(error).n > 2)) {
        struct chat_error e;
        openai_read_error_value(200, error, &e);
        return emit_error(r, &e);
    }
    bool has_usage = json_is(json_get(root, "usage"), JSON_OBJECT);
    if (json_count(choices) == 0 && !has_usage && !json_exists(json_get(root, "x_groq")))
        return OK; /* Azure's first chunk: filter results only, ids still empty */
    int rc = start(r, root);
    for (struct json_iter it = json_iter(choices); rc == OK && !r->is_failed && json_next(&it);)
        rc = read_choice(r, it.value, it.i);
    bool found = false;
    if (rc == OK && !r->is_failed)
        rc = read_usage(r, root, &found);
    r->base.is_usage_only = found && json_count(choices) == 0;
    return rc;
}

struct dialect_reader *openai_reader_new(const struct chat_request *req)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->req = req;
    arena_init(&r->scratch, SCRATCH_BYTES);
    arena_init(&r->keep, KEEP_BYTES);
    return &r->base;
}

void openai_reader_free(struct dialect_reader *base)
{
    struct reader *r = (struct reader *)base;
    if (!r)
        return;
    arena_deinit(&r->scratch);
    arena_deinit(&r->keep);
    free(r);
}

static int feed(struct reader *r, struct str data, const struct chat_sink *sink)
{
    struct json_doc doc;
    struct err err;
    r->sink = sink;
    arena_reset(&r->scratch);
    int rc = json_parse(&doc, &r->scratch, data, &err);
    if (rc == ERR_NOMEM)
        return no_memory(r);
    if (rc != OK || !json_is(json_root(&doc), JSON_OBJECT))
        return bad_answer(r, data.n && str_trim(data).p[0] == '<'
                                 ? "answered with an HTML page instead of JSON"
                                 : "sent malformed JSON");
    return read_chunk(r, json_root(&doc));
}

int openai_reader_event(struct dialect_reader *base, struct str name, struct str data,
                        const struct chat_sink *sink)
{
    struct reader *r = (struct reader *)base;
    (void)name;
    r->base.is_usage_only = false;
    if (r->base.is_done || str_trim(data).n == 0)
        return OK;
    if (str_starts(data, S("[DONE]"))) {
        r->base.is_done = true;
        return OK;
    }
    return feed(r, data, sink);
}

int openai_reader_end(struct dialect_reader *base, const struct chat_sink *sink)
{
    struct reader *r = (struct reader *)base;
    int rc = OK, n_seen = 0;
    r->sink = sink;
    if (r->is_failed)
        return OK;
    for (int i = 0; i < CHAT_CHOICES_MAX && rc == OK; i++) {
        if (!r->choices[i])
            continue;
        n_seen++;
        if (r->choices[i]->is_finished)
            continue;
        /* [DONE] without a finish_reason: some hosts never send one. */
        if (!r->base.is_done)
            return bad_answer(r, "closed the stream before the answer was complete");
        rc = send_finish(r, i, CHAT_FINISH_STOP, S(""));
    }
    if (n_seen == 0)
        return bad_answer(r, "ended the stream without an answer");
    r->base.is_done = true;
    return rc;
}

int openai_read_answer(const struct chat_request *req, struct str body, struct arena *a,
                       const struct chat_sink *sink)
{
    (void)a;
    struct dialect_reader *base = openai_reader_new(req);
    struct reader *r = (struct reader *)base;
    if (!base)
        return ERR_NOMEM;
    r->sink = sink;
    int rc = str_trim(body).n ? feed(r, body, sink) : bad_answer(r, "answered 200 with an empty body");
    if (rc == OK && !r->is_failed && !r->is_started)
        rc = bad_answer(r, "answered 200 without choices");
    if (rc == OK && !r->is_failed) {
        r->base.is_done = true; /* a whole body is whole, also without finish_reason */
        rc = openai_reader_end(base, sink);
    }
    openai_reader_free(base);
    return rc;
}
