/* gemini_request.c - generateContent, countTokens and embedContent: reading a client's request.
 *
 * The model and the operation stand in the path.  Calls may have no ids: one is made from their
 * place, and a response without id answers the next open call of its name.  Streamed answers
 * come back as many contents of a few characters each; contents of one role in a row are one
 * message, and the model's texts in a row one part.  Start reading at gemini_read_request(). */
#include "api/gemini_int.h"

struct json gemini_get(struct json obj, const char *camel, const char *snake)
{
    struct json v = json_get(obj, camel);
    return json_exists(v) ? v : json_get(obj, snake);
}

struct str gemini_signature_read(struct str s, struct arena *a, enum dialect_id *from, bool *is_redacted)
{
    static const char mark[] = "c2x1aWNlL"; /* base64 of "sluice." */
    *from = DIALECT_GEMINI;
    if (!str_starts(s, str_c(mark)))
        return s;
    struct str plain = base64_read(s, a);
    return plain.p && str_is_utf8(plain) ? signature_unwrap(plain, DIALECT_GEMINI, from, is_redacted) : s;
}

/* ---- parts ---- */

static int read_blob(struct rd *r, struct json v, struct chat_part *p)
{
    struct chat_media *m = &p->media;
    int rc = rd_text(r, "mimeType", gemini_get(v, "mimeType", "mime_type"), &m->mime);
    if (rc == OK)
        rc = rd_get_text(r, v, "data", true, &m->data);
    if (rc == OK && !m->mime.n)
        rc = rd_fail(r, "mimeType", "is missing");
    return rc;
}

static int read_file(struct rd *r, struct json v, struct chat_part *p)
{
    struct chat_media *m = &p->media;
    struct str uri = {0};
    int rc = rd_text(r, "mimeType", gemini_get(v, "mimeType", "mime_type"), &m->mime);
    if (rc == OK)
        rc = rd_text(r, "fileUri", gemini_get(v, "fileUri", "file_uri"), &uri);
    if (rc == OK && !uri.n)
        return rd_fail(r, "fileUri", "is missing");
    /* The file store's own addresses are open to its owner only. */
    if (str_starts(uri, S("https://generativelanguage.googleapis.com/")))
        m->file_id = uri;
    else
        m->url = uri;
    return rc;
}

static enum chat_part_type type_of_mime(struct str mime)
{
    if (str_starts(mime, S("image/")))
        return CHAT_PART_IMAGE;
    if (str_starts(mime, S("audio/")))
        return CHAT_PART_AUDIO;
    return str_starts(mime, S("video/")) ? CHAT_PART_VIDEO : CHAT_PART_DOCUMENT;
}

static int read_call(struct rd *r, struct json v, struct chat_part *p)
{
    struct json args = json_get(v, "args");
    p->type = CHAT_PART_TOOL_CALL;
    int rc = rd_get_text(r, v, "name", true, &p->name);
    if (rc == OK)
        rc = rd_get_text(r, v, "id", false, &p->id);
    if (rc == OK && !json_is_none(args) && !json_is(args, JSON_OBJECT))
        rc = rd_wrong_type(r, "args", args, "an object");
    p->args_json = json_is(args, JSON_OBJECT) ? json_span(args) : S("{}");
    p->args_is_object = true;
    return rc;
}

/* {"output": text} and {"result": text} are the text; {"error": ...} is a failure; anything else
 * is shown as the JSON it is. */
static int read_response(struct rd *r, struct json v, struct chat_part *p)
{
    struct json response = json_get(v, "response");
    p->type = CHAT_PART_TOOL_RESULT;
    int rc = rd_get_text(r, v, "name", true, &p->name);
    if (rc == OK)
        rc = rd_get_text(r, v, "id", false, &p->id);
    if (rc == OK && !json_is(response, JSON_OBJECT))
        rc = rd_wrong_type(r, "response", response, "an object");
    if (rc != OK)
        return rc;
    if (!(p->parts = arena_new(r->a, struct chat_part)))
        return rd_nomem(r);
    p->n_parts = 1;
    p->parts[0].type = CHAT_PART_TEXT;
    struct str *text = &p->parts[0].text;
    *text = json_span(response);
    if (json_count(response) != 1)
        return OK;
    struct json_iter it = json_iter(response);
    json_next(&it);
    p->is_error = str_eq(it.key, S("error"));
    if (!p->is_error && !str_eq(it.key, S("output")) && !str_eq(it.key, S("result")))
        return OK;
    if (json_is(it.value, JSON_STRING))
        return rd_text(r, "response", it.value, text);
    *text = json_span(it.value);
    return OK;
}

static int read_part(struct rd *r, struct json v, struct chat_part *p)
{
    static const char *const known[] = {"text",
                                        "thought",
                                        "thoughtSignature",
                                        "thought_signature",
                                        "inlineData",
                                        "inline_data",
                                        "fileData",
                                        "file_data",
                                        "functionCall",
                                        "function_call",
                                        "functionResponse",
                                        "function_response",
                                        "executableCode",
                                        "codeExecutionResult",
                                        NULL};
    bool is_thought = false;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    p->raw_json = json_span(v);
    p->from = DIALECT_GEMINI;
    struct json text = json_get(v, "text");
    struct json blob = gemini_get(v, "inlineData", "inline_data");
    struct json file = gemini_get(v, "fileData", "file_data");
    struct json call = gemini_get(v, "functionCall", "function_call");
    struct json response = gemini_get(v, "functionResponse", "function_response");
    int rc = rd_bool(r, "thought", json_get(v, "thought"), &is_thought);
    if (rc == OK)
        rc = rd_text(r, "thoughtSignature", gemini_get(v, "thoughtSignature", "thought_signature"),
                     &p->signature);
    if (rc != OK)
        return rc;
    if (p->signature.p)
        p->signature = gemini_signature_read(p->signature, r->a, &p->signature_from, &p->is_redacted);
    if (json_is(text, JSON_STRING)) {
        p->type = is_thought ? CHAT_PART_REASONING : CHAT_PART_TEXT;
        if (is_thought && !p->signature.p)
            p->signature_from = DIALECT_GEMINI;
        rc = rd_text(r, "text", text, &p->text);
    } else if (json_exists(text)) {
        rc = rd_wrong_type(r, "text", text, "a string");
    } else if (json_is(blob, JSON_OBJECT)) {
        size_t mark = rd_key(r, S("inlineData"));
        rc = read_blob(r, blob, p);
        rd_up(r, mark);
        p->type = type_of_mime(p->media.mime);
    } else if (json_is(file, JSON_OBJECT)) {
        size_t mark = rd_key(r, S("fileData"));
        rc = read_file(r, file, p);
        rd_up(r, mark);
        p->type = type_of_mime(p->media.mime);
    } else if (json_is(call, JSON_OBJECT)) {
        size_t mark = rd_key(r, S("functionCall"));
        rc = read_call(r, call, p);
        rd_up(r, mark);
    } else if (json_is(response, JSON_OBJECT)) {
        size_t mark = rd_key(r, S("functionResponse"));
        rc = read_response(r, response, p);
        rd_up(r, mark);
    } else if (p->signature.p && !json_exists(gemini_get(v, "executableCode", "executable_code"))) {
        p->type = CHAT_PART_TEXT; /* a signature alone */
        p->text = S("");
    } else {
        p->type = CHAT_PART_OTHER;
        return OK;
    }
    return rc == OK ? rd_keep_unknown(r, v, known) : rc;
}

/* ---- contents ---- */

struct pending {
    struct str name, id;
    bool is_answered;
};

struct builder {
    struct chat_message *list;
    size_t n, cap;
    struct pending *calls; /* of the last turn of the model */
    size_t n_calls, calls_cap;
};

/* The message that a part of this role goes to: the last one, or a new one. */
static struct chat_message *message_for(struct rd *r, struct builder *b, enum chat_role role, int at)
{
    if (b->n && b->list[b->n - 1].role == role)
        return &b->list[b->n - 1];
    if (b->n == b->cap) {
        size_t cap = b->cap * 2 + 8;
        struct chat_message *more = arena_new_array(r->a, struct chat_message, cap);
        if (!more)
            return NULL;
        if (b->n)
            memcpy(more, b->list, b->n * sizeof(*more));
        b->list = more;
        b->cap = cap;
    }
    struct chat_message *m = &b->list[b->n++];
    *m = (struct chat_message){.role = role, .at = at};
    return m;
}

static int note_call(struct rd *r, struct builder *b, struct chat_part *p, int content_idx)
{
    if (!p->id.n)
        p->id = arena_printf(r->a, GEMINI_ID_MARK "%d_%d", content_idx, p->at);
    if (!p->id.p)
        return rd_nomem(r);
    if (b->n_calls == b->calls_cap) {
        size_t cap = b->calls_cap * 2 + 8;
        struct pending *more = arena_new_array(r->a, struct pending, cap);
        if (!more)
            return rd_nomem(r);
        if (b->n_calls)
            memcpy(more, b->calls, b->n_calls * sizeof(*more));
        b->calls = more;
        b->calls_cap = cap;
    }
    b->calls[b->n_calls++] = (struct pending){p->name, p->id, false};
    return OK;
}

static int match_response(struct rd *r, struct builder *b, struct chat_part *p)
{
    for (size_t i = 0; i < b->n_calls; i++) {
        struct pending *c = &b->calls[i];
        bool fits = p->id.n ? str_eq(p->id, c->id) : str_eq(p->name, c->name);
        if (c->is_answered || !fits)
            continue;
        c->is_answered = true;
        p->id = c->id;
        return OK;
    }
    if (p->id.n)
        return OK;
    return rd_fail(r, "functionResponse", "answers '%.*s', which the model has not called in the turn before",
                   p->name.n > 100 ? 100 : (int)p->name.n, p->name.p);
}

/* Append to the message; parts grow by doubling in the arena. */
static int append_part(struct rd *r, struct chat_message *m, const struct chat_part *p)
{
    size_t n = m->n_parts;
    if ((n & (n - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
        struct chat_part *more = arena_new_array(r->a, struct chat_part, n ? n * 2 : 1);
        if (!more)
            return rd_nomem(r);
        if (n)
            memcpy(more, m->parts, n * sizeof(*more));
        m->parts = more;
    }
    m->parts[m->n_parts++] = *p;
    return OK;
}

static int read_parts(struct rd *r, struct json content, struct builder *b, enum chat_role role, int at)
{
    struct json parts = json_get(content, "parts");
    int rc = OK;
    if (json_is_none(parts))
        return message_for(r, b, role, at) ? OK : rd_nomem(r);
    if ((rc = rd_check_array(r, "parts", parts, CHAT_PARTS_MAX)) != OK)
        return rc;
    size_t mark = rd_key(r, S("parts"));
    for (struct json_iter it = json_iter(parts); rc == OK && json_next(&it);) {
        struct chat_part p = {.at = (int)it.i};
        size_t item = rd_idx(r, it.i);
        rc = read_part(r, it.value, &p);
        enum chat_role as = p.type == CHAT_PART_TOOL_RESULT ? CHAT_TOOL : role;
        if (rc == OK && p.type == CHAT_PART_TOOL_CALL)
            rc = note_call(r, b, &p, at);
        if (rc == OK && p.type == CHAT_PART_TOOL_RESULT)
            rc = match_response(r, b, &p);
        if (rc == OK && role == CHAT_USER && (p.type == CHAT_PART_TOOL_CALL || p.type == CHAT_PART_REASONING))
            rc = rd_fail(r, NULL, "is of the model, and its content has the role user");
        struct chat_message *m = rc == OK ? message_for(r, b, as, at) : NULL;
        if (rc == OK)
            rc = m ? append_part(r, m, &p) : rd_nomem(r);
        rd_up(r, item);
    }
    rd_up(r, mark);
    return rc;
}

/* How many parts from here are one text (or one thought) in pieces. */
static size_t run_length(const struct chat_part *parts, size_t n)
{
    enum chat_part_type type = parts[0].type;
    size_t run = 1;
    if (type != CHAT_PART_TEXT && type != CHAT_PART_REASONING)
        return 1;
    while (run < n && parts[run].type == type && !parts[run - 1].signature.p &&
           !(type == CHAT_PART_TEXT && parts[run].signature.p && !parts[run].text.n))
        run++;
    return run;
}

static int join_runs(struct rd *r, struct chat_message *m)
{
    size_t to = 0;
    for (size_t i = 0, run; i < m->n_parts; i += run) {
        run = run_length(m->parts + i, m->n_parts - i);
        struct chat_part joined = m->parts[i];
        size_t total = 0, at = 0;
        for (size_t k = 0; k < run; k++)
            total += m->parts[i + k].text.n;
        if (run > 1) {
            char *p = arena_alloc(r->a, total + 1);
            if (!p)
                return rd_nomem(r);
            for (size_t k = 0; k < run; k++) {
                struct str s = m->parts[i + k].text;
                if (s.n)
                    memcpy(p + at, s.p, s.n);
                at += s.n;
            }
            joined.text = str_of(p, total);
            joined.signature = m->parts[i + run - 1].signature;
            joined.signature_from = m->parts[i + run - 1].signature_from;
            joined.is_redacted = m->parts[i + run - 1].is_redacted;
        }
        m->parts[to++] = joined;
    }
    m->n_parts = to;
    return OK;
}

static int read_content(struct rd *r, struct json v, struct builder *b, int at)
{
    struct str role = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "role", false, &role);
    if (rc != OK)
        return rc;
    bool is_model = str_eq(role, S("model"));
    if (role.n && !is_model && !str_eq(role, S("user")) && !str_eq(role, S("function")))
        return rd_fail(r, "role", "is '%.*s', and must be user or model", role.n > 40 ? 40 : (int)role.n,
                       role.p);
    /* A new turn of the model: what it called before is answered or never will be. */
    if (is_model && b->n && b->list[b->n - 1].role != CHAT_ASSISTANT)
        b->n_calls = 0;
    return read_parts(r, v, b, is_model ? CHAT_ASSISTANT : CHAT_USER, at);
}

static int read_contents(struct rd *r, struct json root)
{
    struct json system = gemini_get(root, "systemInstruction", "system_instruction");
    struct json contents = json_get(root, "contents");
    struct builder b = {0};
    int rc = OK;
    if (json_is(system, JSON_OBJECT)) {
        size_t mark = rd_key(r, S("systemInstruction"));
        rc = read_parts(r, system, &b, CHAT_SYSTEM, -1);
        rd_up(r, mark);
    } else if (!json_is_none(system)) {
        return rd_wrong_type(r, "systemInstruction", system, "an object with parts");
    }
    if (rc == OK)
        rc = rd_check_array(r, "contents", contents, CHAT_MESSAGES_MAX);
    if (rc == OK && json_count(contents) == 0)
        return rd_fail(r, "contents", "must hold at least one content");
    size_t mark = rd_key(r, S("contents"));
    for (struct json_iter it = json_iter(contents); rc == OK && json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        rc = read_content(r, it.value, &b, (int)it.i);
        rd_up(r, at);
    }
    rd_up(r, mark);
    for (size_t i = 0; rc == OK && i < b.n; i++)
        if (b.list[i].role == CHAT_ASSISTANT)
            rc = join_runs(r, &b.list[i]);
    r->req->messages = b.list;
    r->req->n_messages = b.n;
    return rc;
}

static int skip(struct rd *r, struct json v)
{
    (void)r;
    (void)v;
    return OK; /* read elsewhere */
}

/* ---- tools ---- */

static int read_declaration(struct rd *r, struct json v, struct chat_tool *t)
{
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    struct json own = json_get(v, "parameters");
    struct json schema = gemini_get(v, "parametersJsonSchema", "parameters_json_schema");
    t->raw_json = json_span(v);
    t->from = DIALECT_GEMINI;
    int rc = rd_get_text(r, v, "name", true, &t->name);
    if (rc == OK)
        rc = rd_get_text(r, v, "description", false, &t->description);
    if (rc != OK)
        return rc;
    static const char *const known[] = {
        "name", "description", "parameters", "parametersJsonSchema", "parameters_json_schema", NULL};
    if ((rc = rd_keep_unknown(r, v, known)) != OK)
        return rc;
    if (json_is(schema, JSON_OBJECT))
        t->schema_json = json_span(schema);
    else if (json_is(own, JSON_OBJECT)) {
        t->schema_json = gemini_schema_to_json(own, false, r->a);
        if (!t->schema_json.p)
            return rd_nomem(r);
    } else if (!json_is_none(own))
        return rd_wrong_type(r, "parameters", own, "an object");
    return OK;
}

static int read_tools(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    int rc = rd_check_array(r, NULL, v, CHAT_TOOLS_MAX);
    size_t total = 0;
    if (rc != OK)
        return rc;
    for (struct json_iter it = json_iter(v); json_next(&it);)
        total += 1 + json_count(gemini_get(it.value, "functionDeclarations", "function_declarations"));
    if (total > 2 * CHAT_TOOLS_MAX)
        return rd_fail(r, NULL, "declare more than %d functions", (int)CHAT_TOOLS_MAX);
    if (!(q->tools = arena_new_array(r->a, struct chat_tool, total + 1)))
        return rd_nomem(r);
    for (struct json_iter it = json_iter(v); rc == OK && json_next(&it);) {
        struct json list = gemini_get(it.value, "functionDeclarations", "function_declarations");
        size_t at = rd_idx(r, it.i);
        if (!json_is(it.value, JSON_OBJECT))
            return rd_wrong_type(r, NULL, it.value, "an object");
        size_t mark = rd_key(r, S("functionDeclarations"));
        for (struct json_iter f = json_iter(list); rc == OK && json_next(&f);) {
            size_t item = rd_idx(r, f.i);
            rc = read_declaration(r, f.value, &q->tools[q->n_tools++]);
            rd_up(r, item);
        }
        rd_up(r, mark);
        /* googleSearch, codeExecution and the like: of this provider only. */
        if (rc == OK && json_count(it.value) > (json_exists(list) ? 1u : 0u))
            q->tools[q->n_tools++] =
                (struct chat_tool){.raw_json = json_span(it.value), .from = DIALECT_GEMINI};
        rd_up(r, at);
    }
    return rc;
}

static int read_tool_config(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    struct json c = gemini_get(v, "functionCallingConfig", "function_calling_config");
    struct json names = gemini_get(c, "allowedFunctionNames", "allowed_function_names");
    struct json mode = json_get(c, "mode");
    int rc = OK;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    static const char *const known[] = {"functionCallingConfig", "function_calling_config", NULL};
    if ((rc = rd_keep_unknown(r, v, known)) != OK)
        return rc;
    if (json_text_is(mode, "ANY") || json_text_is(mode, "any"))
        q->tool_choice = CHAT_TOOLS_REQUIRED;
    else if (json_text_is(mode, "NONE") || json_text_is(mode, "none"))
        q->tool_choice = CHAT_TOOLS_NONE;
    else if (json_text_is(mode, "AUTO") || json_text_is(mode, "auto") || json_text_is(mode, "VALIDATED"))
        q->tool_choice = CHAT_TOOLS_AUTO;
    else if (!json_is_none(mode) && !json_text_is(mode, "MODE_UNSPECIFIED"))
        return rd_fail(r, "functionCallingConfig.mode", "must be AUTO, ANY, NONE or VALIDATED");
    if (json_is_none(names) || json_count(names) == 0)
        return OK;
    if (q->tool_choice != CHAT_TOOLS_REQUIRED)
        return rd_keep(r, S("functionCallingConfig.allowedFunctionNames"), names, CHAT_FIELD_MEANING);
    rc = rd_texts(r, "functionCallingConfig.allowedFunctionNames", names, CHAT_TOOLS_MAX, &q->tool_names,
                  &q->n_tool_names);
    if (rc == OK && q->n_tool_names == 1)
        q->tool_choice = CHAT_TOOLS_NAMED;
    return rc;
}

/* ---- generationConfig ---- */

static int read_stops(struct rd *r, struct json v)
{
    return rd_texts(r, NULL, v, CHAT_STOPS_MAX, &r->req->stops, &r->req->n_stops);
}

static int read_count(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    int rc = rd_i64(r, NULL, v, 1, CHAT_CHOICES_MAX, &n);
    r->req->n = n.v ? n.v : 1;
    return rc;
}

static int read_logprobs_count(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    int rc = rd_i64(r, NULL, v, 0, 20, &n);
    r->req->top_logprobs = n.v;
    return rc;
}

static int read_thinking(struct rd *r, struct json v)
{
    struct chat_reasoning *g = &r->req->reasoning;
    struct str level = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_i64(r, "thinkingBudget", gemini_get(v, "thinkingBudget", "thinking_budget"), -1, INT32_MAX,
                    &g->budget_tokens);
    if (rc == OK)
        rc = rd_tri(r, "includeThoughts", gemini_get(v, "includeThoughts", "include_thoughts"), &g->show);
    if (rc == OK)
        rc = rd_text(r, "thinkingLevel", gemini_get(v, "thinkingLevel", "thinking_level"), &level);
    if (rc != OK)
        return rc;
    char lower[16];
    size_t n = level.n < sizeof(lower) ? level.n : sizeof(lower);
    for (size_t i = 0; i < n; i++)
        lower[i] = level.p[i] >= 'A' && level.p[i] <= 'Z' ? (char)(level.p[i] + 32) : level.p[i];
    if (level.n && !str_eq(level, S("THINKING_LEVEL_UNSPECIFIED")) &&
        !effort_by_name(str_of(lower, n), &g->effort))
        return rd_fail(r, "thinkingLevel", "must be MINIMAL, LOW, MEDIUM or HIGH");
    g->is_off = g->budget_tokens.is_set && g->budget_tokens.v == 0;
    return OK;
}

static int read_modalities(struct rd *r, struct json v)
{
    struct str *list = NULL;
    size_t n = 0;
    int rc = rd_texts(r, NULL, v, 8, &list, &n);
    for (size_t i = 0; rc == OK && i < n; i++)
        if (!str_eq_nocase(list[i], S("TEXT"))) {
            r->path_n = 0;
            return rd_keep(r, S("generationConfig.responseModalities"), v, CHAT_FIELD_MEANING);
        }
    return rc;
}

#define AT(member) offsetof(struct chat_request, member)

static const struct field_row config_rows[] = {
    {"temperature", FIELD_F64, AT(sampling.temperature), 0, 2, 0},
    {"topP", FIELD_F64, AT(sampling.top_p), 0, 1, 0},
    {"top_p", FIELD_F64, AT(sampling.top_p), 0, 1, 0},
    {"topK", FIELD_I64, AT(sampling.top_k), 0, INT32_MAX, 0},
    {"top_k", FIELD_I64, AT(sampling.top_k), 0, INT32_MAX, 0},
    {"candidateCount", FIELD_CALL, 0, 0, 0, read_count},
    {"candidate_count", FIELD_CALL, 0, 0, 0, read_count},
    {"maxOutputTokens", FIELD_I64, AT(max_tokens), 1, INT32_MAX, 0},
    {"max_output_tokens", FIELD_I64, AT(max_tokens), 1, INT32_MAX, 0},
    {"stopSequences", FIELD_CALL, 0, 0, 0, read_stops},
    {"stop_sequences", FIELD_CALL, 0, 0, 0, read_stops},
    {"presencePenalty", FIELD_F64, AT(sampling.presence_penalty), -2, 2, 0},
    {"presence_penalty", FIELD_F64, AT(sampling.presence_penalty), -2, 2, 0},
    {"frequencyPenalty", FIELD_F64, AT(sampling.frequency_penalty), -2, 2, 0},
    {"frequency_penalty", FIELD_F64, AT(sampling.frequency_penalty), -2, 2, 0},
    {"seed", FIELD_I64, AT(sampling.seed), -9.2e18, 9.2e18, 0},
    {"responseLogprobs", FIELD_BOOL, AT(logprobs), 0, 0, 0},
    {"response_logprobs", FIELD_BOOL, AT(logprobs), 0, 0, 0},
    {"logprobs", FIELD_CALL, 0, 0, 0, read_logprobs_count},
    {"thinkingConfig", FIELD_CALL, 0, 0, 0, read_thinking},
    {"thinking_config", FIELD_CALL, 0, 0, 0, read_thinking},
    {"responseModalities", FIELD_CALL, 0, 0, 0, read_modalities},
    {"response_modalities", FIELD_CALL, 0, 0, 0, read_modalities},
    {"responseMimeType", FIELD_CALL, 0, 0, 0, skip},
    {"response_mime_type", FIELD_CALL, 0, 0, 0, skip},
    {"responseSchema", FIELD_CALL, 0, 0, 0, skip},
    {"response_schema", FIELD_CALL, 0, 0, 0, skip},
    {"responseJsonSchema", FIELD_CALL, 0, 0, 0, skip},
    {"response_json_schema", FIELD_CALL, 0, 0, 0, skip},
    {"_responseJsonSchema", FIELD_CALL, 0, 0, 0, skip},
    {"speechConfig", FIELD_MEANING, 0, 0, 0, 0},
    {"imageConfig", FIELD_MEANING, 0, 0, 0, 0},
    {"mediaResolution", FIELD_HINT, 0, 0, 0, 0},
};

/* text/x.enum: one of the schema's values, bare. */
static int read_enum_format(struct rd *r, struct json schema)
{
    struct chat_format *f = &r->req->format;
    f->type = CHAT_FORMAT_CHOICE;
    f->field = S("generationConfig.responseMimeType");
    return rd_texts(r, "responseSchema.enum", json_get(schema, "enum"), CHAT_TOOLS_MAX, &f->choices,
                    &f->n_choices);
}

static int read_format(struct rd *r, struct json config)
{
    struct chat_format *f = &r->req->format;
    struct json own = gemini_get(config, "responseSchema", "response_schema");
    struct json schema = gemini_get(config, "responseJsonSchema", "response_json_schema");
    struct str mime = {0};
    if (!json_exists(schema))
        schema = json_get(config, "_responseJsonSchema");
    int rc =
        rd_text(r, "responseMimeType", gemini_get(config, "responseMimeType", "response_mime_type"), &mime);
    if (rc != OK)
        return rc;
    if (str_eq(mime, S("text/x.enum")))
        return read_enum_format(r, json_is(own, JSON_OBJECT) ? own : schema);
    if (!str_eq(mime, S("application/json"))) {
        bool is_text = !mime.n || str_eq(mime, S("text/plain"));
        return is_text
                   ? OK
                   : rd_fail(r, "responseMimeType", "must be text/plain, application/json or text/x.enum");
    }
    f->type = CHAT_FORMAT_JSON;
    f->field = S("generationConfig.responseMimeType");
    if (json_is(schema, JSON_OBJECT))
        f->schema_json = json_span(schema);
    else if (json_is(own, JSON_OBJECT))
        f->schema_json = gemini_schema_to_json(own, true, r->a);
    else
        return OK;
    f->type = CHAT_FORMAT_SCHEMA;
    f->field = S("generationConfig.responseSchema");
    return f->schema_json.p ? OK : rd_nomem(r);
}

static int read_config(struct rd *r, struct json v)
{
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_fields(r, v, config_rows, sizeof(config_rows) / sizeof(config_rows[0]));
    return rc == OK ? read_format(r, v) : rc;
}

static const struct field_row rows[] = {
    {"contents", FIELD_CALL, 0, 0, 0, skip},
    {"systemInstruction", FIELD_CALL, 0, 0, 0, skip},
    {"system_instruction", FIELD_CALL, 0, 0, 0, skip},
    {"model", FIELD_CALL, 0, 0, 0, skip}, /* the path says it */
    {"tools", FIELD_CALL, 0, 0, 0, read_tools},
    {"toolConfig", FIELD_CALL, 0, 0, 0, read_tool_config},
    {"tool_config", FIELD_CALL, 0, 0, 0, read_tool_config},
    {"generationConfig", FIELD_CALL, 0, 0, 0, read_config},
    {"generation_config", FIELD_CALL, 0, 0, 0, read_config},
    {"safetySettings", FIELD_HINT, 0, 0, 0, 0},
    {"safety_settings", FIELD_HINT, 0, 0, 0, 0},
    {"labels", FIELD_HINT, 0, 0, 0, 0},
    {"cachedContent", FIELD_MEANING, 0, 0, 0, 0},
    {"cached_content", FIELD_MEANING, 0, 0, 0, 0},
};

/* ---- embeddings ---- */

static int read_embed_one(struct rd *r, struct json v, struct chat_prompt *p)
{
    struct chat_request *q = r->req;
    struct json parts = json_get(json_get(v, "content"), "parts");
    struct str text = {0};
    struct chat_message m = {0};
    if (!json_is(parts, JSON_ARRAY) || json_count(parts) == 0)
        return rd_fail(r, "content.parts", "must be an array with a text");
    for (struct json_iter it = json_iter(parts); json_next(&it);) {
        struct chat_part part = {.type = CHAT_PART_TEXT};
        int rc = rd_get_text(r, it.value, "text", true, &part.text);
        if (rc == OK)
            rc = append_part(r, &m, &part);
        if (rc != OK)
            return rc;
    }
    text = chat_message_text(&m, r->a);
    if (!text.p)
        return rd_nomem(r);
    p->text = text;
    struct chat_i64 size = {0};
    struct str task = {0};
    int rc = rd_i64(r, "outputDimensionality", gemini_get(v, "outputDimensionality", "output_dimensionality"),
                    1, 1 << 20, &size);
    if (rc == OK)
        rc = rd_text(r, "taskType", gemini_get(v, "taskType", "task_type"), &task);
    if (rc == OK)
        rc = rd_get_text(r, v, "title", false, &q->embed_title);
    if (rc == OK && q->n_inputs > 0 && (size.v != q->dimensions.v || !str_eq(task, q->task_type)))
        return rd_fail(r, NULL, "differs from the first one in outputDimensionality or taskType");
    q->dimensions = size;
    q->task_type = task;
    q->n_inputs++;
    return rc;
}

static int read_embed(struct rd *r, struct json root, bool is_batch)
{
    struct chat_request *q = r->req;
    struct json list = json_get(root, "requests");
    int rc = is_batch ? rd_check_array(r, "requests", list, CHAT_INPUTS_MAX) : OK;
    if (rc != OK)
        return rc;
    if (is_batch && json_count(list) == 0)
        return rd_fail(r, "requests", "must hold at least one request");
    q->op = CHAT_OP_EMBED;
    q->is_batch = is_batch;
    q->inputs = arena_new_array(r->a, struct chat_prompt, is_batch ? json_count(list) : 1);
    if (!q->inputs)
        return rd_nomem(r);
    if (!is_batch)
        return read_embed_one(r, root, &q->inputs[0]);
    size_t mark = rd_key(r, S("requests"));
    for (struct json_iter it = json_iter(list); rc == OK && json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        rc = read_embed_one(r, it.value, &q->inputs[it.i]);
        rd_up(r, at);
    }
    rd_up(r, mark);
    return rc;
}

/* ---- the whole ---- */

/* "/v1beta/models/NAME:action" -> name and action; false if it is not of that form. */
static bool split_path(struct str path, struct str *model, struct str *action)
{
    size_t at = str_find(path, S("/models/"), 0);
    if (at == STR_NONE)
        return false;
    struct str rest = str_sub(path, at + 8, path.n);
    size_t colon = STR_NONE;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] == ':')
            colon = i; /* the last: local model names may hold one */
    if (colon == STR_NONE || colon == 0)
        return false;
    *model = str_sub(rest, 0, colon);
    *action = str_sub(rest, colon + 1, rest.n);
    return true;
}

static bool has_alt_sse(struct str query)
{
    struct str part;
    while (str_split(&query, '&', &part))
        if (str_eq(part, S("alt=sse")) || str_eq(part, S("$alt=sse")))
            return true;
    return false;
}

static int read_generate(struct rd *r, struct json root)
{
    int rc = rd_fields(r, root, rows, sizeof(rows) / sizeof(rows[0]));
    r->path_n = 0;
    if (rc == OK)
        rc = read_contents(r, root);
    if (rc != OK)
        return rc;
    if (r->req->tool_choice >= CHAT_TOOLS_REQUIRED && r->req->n_tools == 0)
        return rd_fail(r, "toolConfig", "asks for a call, but there are no tools");
    return OK;
}

int gemini_read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e)
{
    struct rd r;
    struct json root;
    struct str model, action;
    int rc = rd_begin(&r, a, e, in->body, &root);
    if (rc != OK)
        return rc;
    struct chat_request *q = r.req;
    q->from = DIALECT_GEMINI;
    if (!split_path(in->path, &model, &action))
        return chat_error_set(e, CHAT_ERR_NOT_FOUND, "", "the path names no model and action");
    q->model = model;
    q->include_usage = true;
    if (str_eq(action, S("embedContent")) || str_eq(action, S("batchEmbedContents"))) {
        rc = read_embed(&r, root, str_eq(action, S("batchEmbedContents")));
    } else {
        struct json inner = gemini_get(root, "generateContentRequest", "generate_content_request");
        bool is_count = str_eq(action, S("countTokens"));
        q->op = is_count ? CHAT_OP_COUNT_TOKENS : CHAT_OP_GENERATE;
        q->is_stream = str_eq(action, S("streamGenerateContent"));
        q->is_array_stream = q->is_stream && !has_alt_sse(in->query);
        rc = read_generate(&r, is_count && json_is(inner, JSON_OBJECT) ? inner : root);
    }
    if (rc != OK)
        return rc;
    *req = q;
    return OK;
}
