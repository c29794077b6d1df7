/* gemini_read.c - generateContent: a provider's answer or stream as events.
 *
 * Every event of a stream is a whole response with the new parts only, so one function reads
 * both.  Calls come whole and often without an id; usage comes with every event; a blocked
 * prompt has no candidates at all.  Start reading at read_response(). */
#include <stdlib.h>

#include "api/gemini_int.h"

enum { KEEP_BYTES = 1 << 20, SCRATCH_BYTES = 256 << 20 };

enum last { LAST_NONE, LAST_TEXT, LAST_THOUGHT, LAST_OTHER };

struct candidate {
    bool is_finished;
    enum last last;
    int n_blocks, n_tools;
};

struct reader {
    struct dialect_reader base;
    const struct chat_request *req;
    struct arena scratch, keep;
    const struct chat_sink *sink;
    struct candidate *candidates[CHAT_CHOICES_MAX];
    bool is_started, is_failed, is_opaque;
    struct str answer_id;
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

static struct candidate *get_candidate(struct reader *r, int64_t i)
{
    if (i < 0 || i >= CHAT_CHOICES_MAX)
        return NULL;
    if (!r->candidates[i])
        r->candidates[i] = arena_new(&r->keep, struct candidate);
    return r->candidates[i];
}

static int64_t get_i64(struct json obj, const char *key, int64_t otherwise)
{
    int64_t v;
    return json_i64(json_get(obj, key), &v) ? v : otherwise;
}

/* ---- parts ---- */

static int send_block(struct reader *r, int i, enum last kind, struct chat_event *ev)
{
    struct candidate *c = r->candidates[i];
    if (c->last != kind)
        c->n_blocks++;
    c->last = kind;
    ev->choice = i;
    ev->block = c->n_blocks - 1;
    r->base.has_content = true;
    return chat_send(r->sink, ev);
}

static int read_text(struct reader *r, int i, struct json part, struct str text, struct str proof)
{
    bool is_thought = false;
    json_bool(json_get(part, "thought"), &is_thought);
    struct chat_event ev = {.type = is_thought ? CHAT_EV_REASONING : CHAT_EV_TEXT, .text = text};
    if (is_thought || proof.p)
        ev.signature_from = DIALECT_GEMINI;
    if (!text.n && !proof.p)
        return OK;
    /* A thought's text and its signature are two events, as everywhere. */
    if (!is_thought || !text.n)
        ev.signature = proof;
    int rc = send_block(r, i, is_thought ? LAST_THOUGHT : LAST_TEXT, &ev);
    if (rc == OK && is_thought && text.n && proof.p) {
        ev.text = S("");
        ev.signature = proof;
        rc = send_block(r, i, LAST_THOUGHT, &ev);
    }
    if (proof.p)
        r->candidates[i]->last = LAST_OTHER;
    return rc;
}

static int read_call(struct reader *r, int i, struct json call, struct str proof)
{
    struct candidate *c = r->candidates[i];
    struct json args = json_get(call, "args");
    if (json_exists(json_get(call, "partialArgs"))) {
        /* Arguments in pieces come only to clients of this dialect that asked for them. */
        r->is_opaque = true;
        r->base.has_content = true;
        return OK;
    }
    if (c->n_tools >= CHAT_STREAM_TOOLS_MAX)
        return bad_answer(r, "sent more calls than are possible");
    struct chat_event ev = {.type = CHAT_EV_TOOL_CALL,
                            .choice = i,
                            .tool_idx = c->n_tools++,
                            .id = json_text(json_get(call, "id"), &r->scratch),
                            .name = json_text(json_get(call, "name"), &r->scratch),
                            .text = json_is(args, JSON_OBJECT) ? json_span(args) : S("{}"),
                            .signature = proof};
    if (!ev.name.p)
        return bad_answer(r, "sent a call without a name");
    if (!ev.id.n)
        ev.id = call_id_make(&r->scratch, GEMINI_ID_MARK, r->answer_id, r->req, i, ev.tool_idx);
    if (proof.p)
        ev.signature_from = DIALECT_GEMINI;
    c->last = LAST_OTHER;
    r->base.has_content = true;
    return chat_send(r->sink, &ev);
}

static int read_blob(struct reader *r, int i, struct json blob)
{
    struct chat_media m = {.mime = json_text(json_get(blob, "mimeType"), &r->scratch),
                           .data = json_text(json_get(blob, "data"), &r->scratch)};
    if (!m.data.p)
        return OK;
    bool is_audio = m.mime.p && str_starts(m.mime, S("audio/"));
    struct chat_event ev = {.type = CHAT_EV_MEDIA,
                            .choice = i,
                            .media = &m,
                            .media_type = is_audio ? CHAT_PART_AUDIO : CHAT_PART_IMAGE};
    r->candidates[i]->last = LAST_OTHER;
    r->base.has_content = true;
    return chat_send(r->sink, &ev);
}

static int read_part(struct reader *r, int i, struct json part)
{
    struct json text = json_get(part, "text");
    struct json call = json_get(part, "functionCall");
    struct json blob = json_get(part, "inlineData");
    struct str proof = json_text(json_get(part, "thoughtSignature"), &r->scratch);
    if (!proof.n)
        proof = (struct str){0};
    if (json_is(call, JSON_OBJECT))
        return read_call(r, i, call, proof);
    if (json_is(blob, JSON_OBJECT))
        return read_blob(r, i, blob);
    if (json_is(text, JSON_STRING))
        return read_text(r, i, part, json_text(text, &r->scratch), proof);
    if (proof.p)
        return read_text(r, i, part, S(""), proof);
    if (json_count(part) > 0) { /* code that the provider ran, and kinds to come */
        r->is_opaque = true;
        r->base.has_content = true;
    }
    return OK;
}

/* ---- citations and logprobs ---- */

static int send_citation(struct reader *r, int i, struct chat_citation *c)
{
    struct candidate *k = r->candidates[i];
    struct chat_event ev = {
        .type = CHAT_EV_CITATION, .choice = i, .block = k->n_blocks ? k->n_blocks - 1 : 0, .citation = c};
    return chat_send(r->sink, &ev);
}

static void init_citation(struct chat_citation *c, struct json v)
{
    /* The provider's positions count bytes of the answer; ours are characters: left unknown. */
    *c = (struct chat_citation){.from = DIALECT_GEMINI,
                                .raw_json = json_span(v),
                                .source_idx = -1,
                                .start = -1,
                                .end = -1,
                                .answer_start = -1,
                                .answer_end = -1};
}

static int read_citations(struct reader *r, int i, struct json candidate)
{
    struct json meta = json_get(candidate, "citationMetadata");
    struct json list = json_get(meta, "citations");
    int rc = OK;
    if (!json_exists(list))
        list = json_get(meta, "citationSources");
    for (struct json_iter it = json_iter(list); rc == OK && json_next(&it);) {
        struct chat_citation c;
        init_citation(&c, it.value);
        c.url = json_text(json_get(it.value, "uri"), &r->scratch);
        c.title = json_text(json_get(it.value, "title"), &r->scratch);
        rc = send_citation(r, i, &c);
    }
    struct json grounding = json_get(candidate, "groundingMetadata");
    for (struct json_iter it = json_iter(json_get(grounding, "groundingChunks"));
         rc == OK && json_next(&it);) {
        struct json web = json_get(it.value, "web");
        struct chat_citation c;
        init_citation(&c, it.value);
        c.url = json_text(json_get(web, "uri"), &r->scratch);
        c.title = json_text(json_get(web, "title"), &r->scratch);
        if (c.url.p)
            rc = send_citation(r, i, &c);
    }
    return rc;
}

static void read_token(struct reader *r, struct json v, struct chat_top_logprob *t)
{
    t->token = json_text(json_get(v, "token"), &r->scratch);
    t->token_id = get_i64(v, "tokenId", -1);
    json_f64(json_get(v, "logProbability"), &t->logprob);
}

static int read_logprobs(struct reader *r, int i, struct json v)
{
    struct json chosen = json_get(v, "chosenCandidates");
    struct json_iter tops = json_iter(json_get(v, "topCandidates"));
    uint32_t n = json_count(chosen);
    if (n == 0)
        return OK;
    struct chat_logprob *lp = arena_new_array(&r->scratch, struct chat_logprob, n);
    if (!lp)
        return bad_answer(r, "sent more than one event may hold");
    for (struct json_iter it = json_iter(chosen); json_next(&it);) {
        read_token(r, it.value, &lp[it.i].chosen);
        lp[it.i].text_offset = -1;
        if (!json_next(&tops))
            continue;
        struct json list = json_get(tops.value, "candidates");
        struct chat_top_logprob *top =
            arena_new_array(&r->scratch, struct chat_top_logprob, json_count(list) + 1);
        if (!top)
            return bad_answer(r, "sent more than one event may hold");
        lp[it.i].top = top;
        for (struct json_iter t = json_iter(list); json_next(&t);)
            read_token(r, t.value, &top[lp[it.i].n_top++]);
    }
    struct chat_event ev = {.type = CHAT_EV_LOGPROBS, .choice = i, .logprobs = lp, .n_logprobs = n};
    return chat_send(r->sink, &ev);
}

/* ---- finish and usage ---- */

static enum chat_finish finish_by_name(struct str s, bool has_calls)
{
    if (str_eq(s, S("STOP")))
        return has_calls ? CHAT_FINISH_TOOL_CALLS : CHAT_FINISH_STOP;
    if (str_eq(s, S("MAX_TOKENS")))
        return CHAT_FINISH_LENGTH;
    if (str_eq(s, S("MALFORMED_FUNCTION_CALL")) || str_eq(s, S("UNEXPECTED_TOOL_CALL")) ||
        str_eq(s, S("TOO_MANY_TOOL_CALLS")))
        return CHAT_FINISH_BAD_TOOL_CALL;
    /* SAFETY, RECITATION, BLOCKLIST, ..., OTHER: the provider cut the answer. */
    return CHAT_FINISH_CONTENT_FILTER;
}

static int send_finish(struct reader *r, int i, enum chat_finish f)
{
    struct candidate *c = r->candidates[i];
    struct chat_event ev = {.type = CHAT_EV_FINISH, .is_opaque = r->is_opaque, .choice = i, .finish = f};
    if (c->is_finished)
        return OK;
    c->is_finished = true;
    /* A refused prompt or answer is an answer: it must not look like an empty one. */
    if (f == CHAT_FINISH_CONTENT_FILTER)
        r->base.has_content = true;
    return chat_send(r->sink, &ev);
}

static int read_usage(struct reader *r, struct json u)
{
    struct chat_event ev = {.type = CHAT_EV_USAGE};
    if (!json_is(u, JSON_OBJECT))
        return OK;
    int64_t prompt = get_i64(u, "promptTokenCount", 0);
    int64_t cached = get_i64(u, "cachedContentTokenCount", 0);
    int64_t thoughts = get_i64(u, "thoughtsTokenCount", 0);
    int64_t tool_use = get_i64(u, "toolUsePromptTokenCount", 0);
    int64_t said = get_i64(u, "candidatesTokenCount", 0);
    if (prompt < 0 || thoughts < 0 || tool_use < 0 || said < 0)
        return OK;
    if (cached < 0 || cached > prompt)
        cached = 0;
    ev.usage = (struct token_account){.input_fresh = prompt - cached + tool_use,
                                      .cache_read = cached,
                                      .output = said + thoughts,
                                      .reasoning = thoughts,
                                      .is_known = true};
    return chat_send(r->sink, &ev);
}

/* ---- a response ---- */

static int read_candidate(struct reader *r, struct json v, uint32_t place)
{
    int64_t i = get_i64(v, "index", place);
    struct candidate *c = get_candidate(r, i);
    int rc = OK;
    if (!c)
        return bad_answer(r, "sent a candidate index that cannot be");
    struct json parts = json_get(json_get(v, "content"), "parts");
    for (struct json_iter it = json_iter(parts); rc == OK && !r->is_failed && json_next(&it);)
        rc = read_part(r, (int)i, it.value);
    if (rc == OK && !r->is_failed)
        rc = read_citations(r, (int)i, v);
    if (rc == OK && !r->is_failed)
        rc = read_logprobs(r, (int)i, json_get(v, "logprobsResult"));
    return rc;
}

static int finish_candidates(struct reader *r, struct json list)
{
    int rc = OK;
    for (struct json_iter it = json_iter(list); rc == OK && json_next(&it);) {
        int64_t i = get_i64(it.value, "index", it.i);
        struct str reason = json_text(json_get(it.value, "finishReason"), &r->scratch);
        if (!reason.n || str_eq(reason, S("FINISH_REASON_UNSPECIFIED")))
            continue;
        rc = send_finish(r, (int)i, finish_by_name(reason, r->candidates[i]->n_tools > 0));
        r->base.is_done = true;
    }
    return rc;
}

static int start(struct reader *r, struct json root)
{
    struct chat_event ev = {.type = CHAT_EV_START};
    if (r->is_started)
        return OK;
    r->is_started = true;
    ev.id = json_text(json_get(root, "responseId"), &r->scratch);
    ev.model = json_text(json_get(root, "modelVersion"), &r->scratch);
    if (ev.id.n)
        r->answer_id = arena_str(&r->keep, ev.id);
    return chat_send(r->sink, &ev);
}

static int read_response(struct reader *r, struct json root)
{
    struct json error = json_get(root, "error");
    struct json candidates = json_get(root, "candidates");
    struct json block = json_get(json_get(root, "promptFeedback"), "blockReason");
    if (json_is(error, JSON_OBJECT)) {
        struct chat_error e;
        gemini_read_error_value(200, error, &e);
        return emit_error(r, &e);
    }
    int rc = start(r, root);
    for (struct json_iter it = json_iter(candidates); rc == OK && !r->is_failed && json_next(&it);)
        rc = read_candidate(r, it.value, it.i);
    if (rc == OK && !r->is_failed)
        rc = read_usage(r, json_get(root, "usageMetadata"));
    if (rc == OK && !r->is_failed)
        rc = finish_candidates(r, candidates);
    if (rc == OK && !r->is_failed && json_count(candidates) == 0 && json_is(block, JSON_STRING) &&
        get_candidate(r, 0)) {
        rc = send_finish(r, 0, CHAT_FINISH_CONTENT_FILTER);
        r->base.is_done = true;
    }
    return rc;
}

struct dialect_reader *gemini_reader_new(const struct chat_request *req)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->req = req;
    arena_init(&r->scratch, SCRATCH_BYTES);
    arena_init(&r->keep, KEEP_BYTES);
    return &r->base;
}

void gemini_reader_free(struct dialect_reader *base)
{
    struct reader *r = (struct reader *)base;
    if (!r)
        return;
    arena_deinit(&r->scratch);
    arena_deinit(&r->keep);
    free(r);
}

static int feed(struct reader *r, struct str data)
{
    struct json_doc doc;
    arena_reset(&r->scratch);
    int rc = json_parse(&doc, &r->scratch, data, NULL);
    struct json root = rc == OK ? json_root(&doc) : json_absent();
    /* A refused stream request is answered with a list that holds the error. */
    if (json_is(root, JSON_ARRAY))
        root = json_at(root, 0);
    if (json_is(root, JSON_OBJECT))
        return read_response(r, root);
    struct str head = str_trim(data);
    return bad_answer(r, rc == ERR_NOMEM              ? "sent more than one event may hold"
                         : head.n && head.p[0] == '<' ? "answered with an HTML page instead of JSON"
                                                      : "sent malformed JSON");
}

int gemini_reader_event(struct dialect_reader *base, struct str name, struct str data,
                        const struct chat_sink *sink)
{
    struct reader *r = (struct reader *)base;
    (void)name;
    if (r->is_failed || str_trim(data).n == 0 || str_starts(data, S("[DONE]")))
        return OK;
    r->sink = sink;
    return feed(r, data);
}

int gemini_reader_end(struct dialect_reader *base, const struct chat_sink *sink)
{
    struct reader *r = (struct reader *)base;
    bool any = false, all = true;
    r->sink = sink;
    if (r->is_failed)
        return OK;
    for (int i = 0; i < CHAT_CHOICES_MAX; i++)
        if (r->candidates[i]) {
            any = true;
            all &= r->candidates[i]->is_finished;
        }
    if (any && all)
        return OK;
    return bad_answer(r,
                      any ? "closed the stream before the answer was complete" : "ended without an answer");
}

int gemini_read_answer(const struct chat_request *req, struct str body, struct arena *a,
                       const struct chat_sink *sink)
{
    struct dialect_reader *base = gemini_reader_new(req);
    struct reader *r = (struct reader *)base;
    (void)a;
    if (!base)
        return ERR_NOMEM;
    r->sink = sink;
    int rc = str_trim(body).n ? feed(r, body) : bad_answer(r, "answered 200 with an empty body");
    if (rc == OK)
        rc = gemini_reader_end(base, sink);
    gemini_reader_free(base);
    return rc;
}
