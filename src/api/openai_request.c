/* openai_request.c - Chat completions: reading a client's request.
 *
 * The table `rows` is the list of the top-level fields; a field not in it is kept as unknown.
 * Besides OpenAI's own it knows the additions of vLLM, llama-server, SGLang and OpenRouter that
 * clients really send.  Start reading at openai_read_request(). */
#include "api/openai_int.h"

/* ---- content parts ---- */

static int read_image(struct rd *r, struct json v, struct chat_part *p)
{
    struct json image = json_get(v, "image_url");
    struct str url = {0};
    int rc;
    p->type = CHAT_PART_IMAGE;
    if (json_is(image, JSON_STRING)) { /* a common short form */
        rc = rd_text(r, "image_url", image, &url);
    } else {
        if (!json_is(image, JSON_OBJECT))
            return rd_wrong_type(r, "image_url", image, "an object with a url");
        size_t mark = rd_key(r, S("image_url"));
        if ((rc = rd_get_text(r, image, "url", true, &url)) == OK)
            rc = rd_get_text(r, image, "detail", false, &p->media.detail);
        rd_up(r, mark);
    }
    if (rc != OK)
        return rc;
    if (str_starts(url, S("data:")) && !rd_data_url(url, &p->media))
        return rd_fail(r, "image_url", "is a data URL, but not of the form data:TYPE;base64,DATA");
    if (!p->media.data.p)
        p->media.url = url;
    return OK;
}

static int read_audio(struct rd *r, struct json v, struct chat_part *p)
{
    struct json audio = json_get(v, "input_audio");
    struct str format = {0};
    p->type = CHAT_PART_AUDIO;
    if (!json_is(audio, JSON_OBJECT))
        return rd_wrong_type(r, "input_audio", audio, "an object with data and format");
    size_t mark = rd_key(r, S("input_audio"));
    int rc = rd_get_text(r, audio, "data", true, &p->media.data);
    if (rc == OK)
        rc = rd_get_text(r, audio, "format", true, &format);
    rd_up(r, mark);
    if (rc != OK)
        return rc;
    p->media.mime = arena_printf(r->a, "audio/%.*s", STR(format));
    return p->media.mime.p ? OK : rd_nomem(r);
}

static int read_file(struct rd *r, struct json v, struct chat_part *p)
{
    struct json file = json_get(v, "file");
    struct str data = {0};
    p->type = CHAT_PART_DOCUMENT;
    if (!json_is(file, JSON_OBJECT))
        return rd_wrong_type(r, "file", file, "an object with file_id or file_data");
    size_t mark = rd_key(r, S("file"));
    int rc = rd_get_text(r, file, "file_id", false, &p->media.file_id);
    if (rc == OK)
        rc = rd_get_text(r, file, "filename", false, &p->media.name);
    if (rc == OK)
        rc = rd_get_text(r, file, "file_data", false, &data);
    if (rc == OK && !data.p == !p->media.file_id.p)
        rc = rd_fail(r, NULL, "must have file_id or file_data");
    if (rc == OK && data.p && !rd_data_url(data, &p->media)) {
        p->media.data = data; /* plain base64, as some SDK examples show it */
        p->media.mime = S("application/pdf");
    }
    rd_up(r, mark);
    return rc;
}

static int read_video(struct rd *r, struct json v, struct chat_part *p)
{
    struct json video = json_get(v, "video_url");
    struct str url = {0};
    p->type = CHAT_PART_VIDEO;
    if (!json_is(video, JSON_OBJECT))
        return rd_wrong_type(r, "video_url", video, "an object with a url");
    size_t mark = rd_key(r, S("video_url"));
    int rc = rd_get_text(r, video, "url", true, &url);
    rd_up(r, mark);
    if (rc == OK && !rd_data_url(url, &p->media))
        p->media.url = url;
    return rc;
}

static int read_text_part(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_TEXT;
    return rd_get_text(r, v, "text", true, &p->text);
}

static int read_refusal_part(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_REFUSAL;
    return rd_get_text(r, v, "refusal", true, &p->text);
}

static int read_other_part(struct rd *r, struct json v, struct chat_part *p)
{
    (void)r;
    p->type = CHAT_PART_OTHER;
    p->raw_json = json_span(v);
    p->from = DIALECT_OPENAI_CHAT;
    return OK;
}

static const struct {
    const char *type;
    int (*read)(struct rd *r, struct json v, struct chat_part *p);
} part_types[] = {
    {"text", read_text_part}, {"image_url", read_image}, {"input_audio", read_audio},
    {"file", read_file},      {"video_url", read_video}, {"refusal", read_refusal_part},
};

static int read_part(struct rd *r, struct json v, struct chat_part *p)
{
    struct str type = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc == OK)
        rc = rd_cache_control(r, v, &p->cache);
    if (rc != OK)
        return rc;
    static const char *const known[] = {"type",      "text",    "image_url",     "input_audio", "file",
                                        "video_url", "refusal", "cache_control", NULL};
    for (size_t i = 0; i < sizeof(part_types) / sizeof(part_types[0]); i++)
        if (str_eq(type, str_c(part_types[i].type))) {
            rc = part_types[i].read(r, v, p);
            return rc == OK ? rd_keep_unknown(r, v, known) : rc;
        }
    return read_other_part(r, v, p);
}

/* content: a string, a list of parts, or nothing.  Writes behind *n parts. */
static int read_content(struct rd *r, struct json v, struct chat_part *parts, size_t *n)
{
    int rc;
    if (json_is_none(v))
        return OK;
    if (json_is(v, JSON_STRING)) {
        parts[*n].type = CHAT_PART_TEXT;
        if ((rc = rd_text(r, "content", v, &parts[*n].text)) == OK)
            (*n)++;
        return rc;
    }
    if (!json_is(v, JSON_ARRAY))
        return rd_wrong_type(r, "content", v, "a string or an array of parts");
    size_t mark = rd_key(r, S("content"));
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        if ((rc = read_part(r, it.value, &parts[*n])) != OK)
            return rc;
        parts[(*n)++].at = (int)it.i;
        rd_up(r, at);
    }
    rd_up(r, mark);
    return OK;
}

static size_t content_count(struct json v)
{
    return json_is(v, JSON_ARRAY) ? json_count(v) : 1;
}

/* ---- assistant messages ---- */

static int read_tool_call(struct rd *r, struct json v, struct chat_part *p)
{
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    struct json type = json_get(v, "type");
    if (json_exists(type) && !json_text_is(type, "function"))
        return read_other_part(r, v, p);
    struct json fn = json_get(v, "function");
    if (!json_is(fn, JSON_OBJECT))
        return rd_wrong_type(r, "function", fn, "an object");
    p->type = CHAT_PART_TOOL_CALL;
    int rc = rd_get_text(r, v, "id", true, &p->id);
    size_t mark = rd_key(r, S("function"));
    if (rc == OK)
        rc = rd_get_text(r, fn, "name", true, &p->name);
    if (rc == OK)
        rc = rd_get_text(r, fn, "arguments", true, &p->args_json);
    rd_up(r, mark);
    /* Google's form for the proof that its models want back. */
    struct json google = json_get(json_get(v, "extra_content"), "google");
    if (rc == OK)
        rc = rd_get_text(r, google, "thought_signature", false, &p->signature);
    if (p->signature.p)
        p->signature_from = DIALECT_GEMINI;
    return rc;
}

/* OpenRouter's reasoning_details: text with a signature, or encrypted content. */
static int read_reasoning_detail(struct rd *r, struct json v, struct chat_part *p)
{
    struct str type = {0}, format = {0};
    p->type = CHAT_PART_REASONING;
    p->text = S("");
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc == OK)
        rc = rd_get_text(r, v, "format", false, &format);
    if (rc == OK)
        rc = rd_get_text(r, v, "text", false, &p->text);
    if (rc == OK)
        rc = rd_get_text(r, v, "summary", false, &p->text);
    if (rc == OK)
        rc = rd_get_text(r, v, "signature", false, &p->signature);
    if (str_eq(type, S("reasoning.encrypted"))) {
        p->is_redacted = true;
        if (rc == OK)
            rc = rd_get_text(r, v, "data", true, &p->signature);
    }
    if (str_starts(format, S("anthropic")))
        p->signature_from = DIALECT_ANTHROPIC;
    else if (str_starts(format, S("google")))
        p->signature_from = DIALECT_GEMINI;
    else
        p->signature_from = DIALECT_OPENAI_CHAT;
    return rc;
}

/* LiteLLM's thinking_blocks are Anthropic's blocks as they are. */
static int read_thinking_block(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_REASONING;
    p->text = S("");
    p->signature_from = DIALECT_ANTHROPIC;
    int rc;
    if (json_text_is(json_get(v, "type"), "redacted_thinking")) {
        p->is_redacted = true;
        return rd_get_text(r, v, "data", true, &p->signature);
    }
    if ((rc = rd_get_text(r, v, "thinking", true, &p->text)) == OK)
        rc = rd_get_text(r, v, "signature", false, &p->signature);
    return rc;
}

typedef int part_reader(struct rd *r, struct json v, struct chat_part *p);

static int read_list(struct rd *r, struct json obj, const char *key, part_reader *read,
                     struct chat_part *parts, size_t *n)
{
    struct json v = json_get(obj, key);
    if (json_is_none(v))
        return OK;
    size_t mark = rd_key(r, str_c(key));
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        int rc = read(r, it.value, &parts[*n]);
        if (rc != OK)
            return rc;
        parts[(*n)++].at = (int)it.i;
        rd_up(r, at);
    }
    rd_up(r, mark);
    return OK;
}

/* Chunks of one block of thinking, as a stream gave them, are one part: the block ends with its
 * signature.  Returns the number of chunks in the block that begins at parts[0]. */
static size_t reasoning_run(const struct chat_part *parts, size_t n)
{
    size_t run = 1;
    while (run < n && !parts[run - 1].signature.p && !parts[run].is_redacted &&
           parts[run].signature_from == parts[0].signature_from)
        run++;
    return run;
}

static int join_reasoning(struct rd *r, struct chat_part *parts, size_t *n)
{
    size_t to = 0;
    for (size_t i = 0, run; i < *n; i += run) {
        run = reasoning_run(parts + i, *n - i);
        struct chat_part joined = parts[i];
        size_t total = 0;
        for (size_t k = 0; k < run; k++)
            total += parts[i + k].text.n;
        char *p = run > 1 ? arena_alloc(r->a, total + 1) : NULL;
        if (run > 1 && !p)
            return rd_nomem(r);
        for (size_t k = 0, at = 0; run > 1 && k < run; at += parts[i + k++].text.n)
            if (parts[i + k].text.n)
                memcpy(p + at, parts[i + k].text.p, parts[i + k].text.n);
        if (run > 1)
            joined.text = str_of(p, total);
        joined.signature = parts[i + run - 1].signature;
        parts[to++] = joined;
    }
    memset(parts + to, 0, (*n - to) * sizeof(*parts)); /* the next parts expect clean slots */
    *n = to;
    return OK;
}

static int read_reasoning(struct rd *r, struct json msg, struct chat_part *parts, size_t *n)
{
    int rc = read_list(r, msg, "reasoning_details", read_reasoning_detail, parts, n);
    if (rc == OK && *n == 0)
        rc = read_list(r, msg, "thinking_blocks", read_thinking_block, parts, n);
    if (rc == OK)
        rc = join_reasoning(r, parts, n);
    if (rc != OK || *n)
        return rc;
    struct str text = {0};
    rc = rd_get_text(r, msg, "reasoning_content", false, &text);
    if (rc == OK && !text.p && json_is(json_get(msg, "reasoning"), JSON_STRING))
        rc = rd_get_text(r, msg, "reasoning", false, &text);
    if (rc == OK && text.n)
        parts[(*n)++] = (struct chat_part){.type = CHAT_PART_REASONING, .text = text};
    return rc;
}

/* The form before tools: one function_call {name, arguments}, answered by role "function". */
static int read_function_call(struct rd *r, struct json msg, struct chat_part *parts, size_t *n)
{
    struct json fn = json_get(msg, "function_call");
    if (json_is_none(fn))
        return OK;
    struct chat_part *p = &parts[*n];
    p->type = CHAT_PART_TOOL_CALL;
    size_t mark = rd_key(r, S("function_call"));
    int rc = rd_get_text(r, fn, "name", true, &p->name);
    if (rc == OK)
        rc = rd_get_text(r, fn, "arguments", true, &p->args_json);
    rd_up(r, mark);
    if (rc != OK)
        return rc;
    p->id = arena_printf(r->a, "call_%.*s", STR(p->name));
    (*n)++;
    return p->id.p ? OK : rd_nomem(r);
}

static int check_list(struct rd *r, struct json msg, const char *key, size_t *n)
{
    struct json v = json_get(msg, key);
    if (json_is_none(v))
        return OK;
    *n += json_count(v);
    return rd_check_array(r, key, v, CHAT_PARTS_MAX);
}

static int read_assistant(struct rd *r, struct json msg, struct chat_message *m)
{
    struct json content = json_get(msg, "content");
    size_t n = content_count(content) + 3; /* + refusal, reasoning_content, function_call */
    int rc = check_list(r, msg, "tool_calls", &n);
    if (rc == OK)
        rc = check_list(r, msg, "reasoning_details", &n);
    if (rc == OK)
        rc = check_list(r, msg, "thinking_blocks", &n);
    if (rc != OK)
        return rc;
    m->parts = arena_new_array(r->a, struct chat_part, n);
    if (!m->parts)
        return rd_nomem(r);
    struct str refusal = {0};
    if ((rc = read_reasoning(r, msg, m->parts, &m->n_parts)) != OK ||
        (rc = read_content(r, content, m->parts, &m->n_parts)) != OK ||
        (rc = rd_get_text(r, msg, "refusal", false, &refusal)) != OK)
        return rc;
    if (refusal.n)
        m->parts[m->n_parts++] = (struct chat_part){.type = CHAT_PART_REFUSAL, .text = refusal};
    if ((rc = read_list(r, msg, "tool_calls", read_tool_call, m->parts, &m->n_parts)) != OK)
        return rc;
    return read_function_call(r, msg, m->parts, &m->n_parts);
}

/* ---- messages ---- */

static int read_tool_message(struct rd *r, struct json msg, struct chat_message *m, bool is_legacy)
{
    struct json content = json_get(msg, "content");
    struct chat_part *p = m->parts = arena_new(r->a, struct chat_part);
    if (!p || !(p->parts = arena_new_array(r->a, struct chat_part, content_count(content))))
        return rd_nomem(r);
    m->n_parts = 1;
    p->type = CHAT_PART_TOOL_RESULT;
    int rc = rd_get_text(r, msg, "name", is_legacy, &p->name);
    if (rc == OK && is_legacy) {
        p->id = arena_printf(r->a, "call_%.*s", STR(p->name));
        rc = p->id.p ? OK : rd_nomem(r);
    } else if (rc == OK) {
        rc = rd_get_text(r, msg, "tool_call_id", true, &p->id);
    }
    return rc == OK ? read_content(r, content, p->parts, &p->n_parts) : rc;
}

static int read_message(struct rd *r, struct json msg, struct chat_message *m)
{
    static const char *const known[] = {"role",
                                        "content",
                                        "name",
                                        "tool_calls",
                                        "tool_call_id",
                                        "function_call",
                                        "refusal",
                                        "audio",
                                        "reasoning_content",
                                        "reasoning",
                                        "reasoning_details",
                                        "thinking_blocks",
                                        "annotations",
                                        "cache_control",
                                        NULL};
    static const struct {
        const char *name;
        enum chat_role role;
    } roles[] = {{"system", CHAT_SYSTEM},       {"developer", CHAT_DEVELOPER}, {"user", CHAT_USER},
                 {"assistant", CHAT_ASSISTANT}, {"tool", CHAT_TOOL},           {"function", CHAT_TOOL}};
    struct str role = {0};
    if (!json_is(msg, JSON_OBJECT))
        return rd_wrong_type(r, NULL, msg, "an object");
    int rc = rd_get_text(r, msg, "role", true, &role);
    if (rc != OK)
        return rc;
    size_t k = 0, n_roles = sizeof(roles) / sizeof(roles[0]);
    while (k < n_roles && !str_eq(role, str_c(roles[k].name)))
        k++;
    if (k == n_roles)
        return rd_fail(r, "role", "is '%.*s', and must be system, developer, user, assistant or tool",
                       role.n > 40 ? 40 : (int)role.n, role.p);
    m->role = roles[k].role;
    struct json content = json_get(msg, "content");
    if (json_is(content, JSON_ARRAY) && (rc = rd_check_array(r, "content", content, CHAT_PARTS_MAX)) != OK)
        return rc;
    if (json_is_none(content) && m->role != CHAT_ASSISTANT)
        return rd_wrong_type(r, "content", content, "a string or an array of parts");
    if (!json_is_none(json_get(msg, "audio")) &&
        (rc = rd_keep(r, S("audio"), json_get(msg, "audio"), CHAT_FIELD_MEANING)) != OK)
        return rc;
    if ((rc = rd_keep_unknown(r, msg, known)) != OK)
        return rc;
    if (m->role == CHAT_TOOL)
        return read_tool_message(r, msg, m, k == n_roles - 1);
    if ((rc = rd_get_text(r, msg, "name", false, &m->name)) != OK)
        return rc;
    if (m->role == CHAT_ASSISTANT)
        return read_assistant(r, msg, m);
    m->parts = arena_new_array(r->a, struct chat_part, content_count(content));
    if (!m->parts)
        return rd_nomem(r);
    if ((rc = read_content(r, content, m->parts, &m->n_parts)) != OK)
        return rc;
    enum chat_cache_mark mark = CHAT_CACHE_NONE;
    rc = rd_cache_control(r, msg, &mark);
    if (mark && m->n_parts)
        m->parts[m->n_parts - 1].cache = mark;
    return rc;
}

static int read_messages(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    int rc = rd_check_array(r, NULL, v, CHAT_MESSAGES_MAX);
    if (rc != OK)
        return rc;
    if (json_count(v) == 0)
        return rd_fail(r, NULL, "must hold at least one message");
    q->messages = arena_new_array(r->a, struct chat_message, json_count(v));
    if (!q->messages)
        return rd_nomem(r);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        q->messages[it.i].at = (int)it.i;
        if ((rc = read_message(r, it.value, &q->messages[it.i])) != OK)
            return rc;
        rd_up(r, at);
    }
    q->n_messages = json_count(v);
    return OK;
}

/* ---- tools ---- */

static int read_tool(struct rd *r, struct json v, struct chat_tool *t)
{
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    t->raw_json = json_span(v);
    t->from = DIALECT_OPENAI_CHAT;
    struct json type = json_get(v, "type");
    if (!json_is(type, JSON_STRING))
        return rd_wrong_type(r, "type", type, "a string");
    if (!json_text_is(type, "function"))
        return OK; /* the provider's own tool */
    struct json fn = json_get(v, "function");
    if (!json_is(fn, JSON_OBJECT))
        return rd_wrong_type(r, "function", fn, "an object");
    size_t mark = rd_key(r, S("function"));
    int rc = rd_get_text(r, fn, "name", true, &t->name);
    if (rc == OK && t->name.n == 0)
        rc = rd_fail(r, "name", "must not be empty");
    if (rc == OK)
        rc = rd_get_text(r, fn, "description", false, &t->description);
    if (rc == OK)
        rc = rd_get_object_span(r, fn, "parameters", &t->schema_json);
    if (rc == OK)
        rc = rd_tri(r, "strict", json_get(fn, "strict"), &t->strict);
    static const char *const known_fn[] = {"name", "description", "parameters", "strict", NULL};
    static const char *const known[] = {"type", "function", "cache_control", NULL};
    if (rc == OK)
        rc = rd_keep_unknown(r, fn, known_fn);
    rd_up(r, mark);
    if (rc == OK)
        rc = rd_keep_unknown(r, v, known);
    return rc == OK ? rd_cache_control(r, v, &t->cache) : rc;
}

static int read_tools(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    int rc = rd_check_array(r, NULL, v, CHAT_TOOLS_MAX);
    if (rc != OK)
        return rc;
    q->tools = arena_new_array(r->a, struct chat_tool, json_count(v) + 1);
    if (!q->tools)
        return rd_nomem(r);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        if ((rc = read_tool(r, it.value, &q->tools[it.i])) != OK)
            return rc;
        rd_up(r, at);
    }
    q->n_tools = json_count(v);
    return OK;
}

static int read_named_choice(struct rd *r, struct json v, struct str *name)
{
    struct json fn = json_get(v, "function");
    size_t mark = rd_key(r, S("function"));
    if (!json_is(fn, JSON_OBJECT))
        return rd_wrong_type(r, NULL, fn, "an object with a name");
    int rc = rd_get_text(r, fn, "name", true, name);
    rd_up(r, mark);
    return rc;
}

/* {"type":"allowed_tools","allowed_tools":{"mode":"auto"|"required","tools":[...]}} */
static int read_allowed_tools(struct rd *r, struct json v)
{
    struct json allowed = json_get(v, "allowed_tools");
    struct json tools = json_get(allowed, "tools");
    size_t mark = rd_key(r, S("allowed_tools"));
    int rc = rd_check_array(r, "tools", tools, CHAT_TOOLS_MAX);
    if (rc != OK)
        return rc;
    if (!json_text_is(json_get(allowed, "mode"), "required"))
        return rd_keep(r, S("mode"), v, CHAT_FIELD_MEANING); /* auto among some: OpenAI only */
    struct chat_request *q = r->req;
    q->tool_names = arena_new_array(r->a, struct str, json_count(tools) + 1);
    if (!q->tool_names)
        return rd_nomem(r);
    for (struct json_iter it = json_iter(tools); json_next(&it);) {
        size_t at = rd_key(r, S("tools"));
        rd_idx(r, it.i);
        if ((rc = read_named_choice(r, it.value, &q->tool_names[it.i])) != OK)
            return rc;
        rd_up(r, at);
    }
    q->n_tool_names = json_count(tools);
    q->tool_choice = CHAT_TOOLS_REQUIRED;
    rd_up(r, mark);
    return OK;
}

static int read_tool_choice(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    if (json_is(v, JSON_STRING)) {
        if (json_text_is(v, "auto"))
            q->tool_choice = CHAT_TOOLS_AUTO;
        else if (json_text_is(v, "none"))
            q->tool_choice = CHAT_TOOLS_NONE;
        else if (json_text_is(v, "required") || json_text_is(v, "any"))
            q->tool_choice = CHAT_TOOLS_REQUIRED;
        else
            return rd_fail(r, NULL, "must be none, auto, required or an object naming a function");
        return OK;
    }
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "a string or an object");
    if (json_text_is(json_get(v, "type"), "allowed_tools"))
        return read_allowed_tools(r, v);
    if (!json_text_is(json_get(v, "type"), "function"))
        return rd_keep(r, S("type"), v, CHAT_FIELD_MEANING);
    q->tool_names = arena_new(r->a, struct str);
    if (!q->tool_names)
        return rd_nomem(r);
    q->tool_choice = CHAT_TOOLS_NAMED;
    q->n_tool_names = 1;
    return read_named_choice(r, v, &q->tool_names[0]);
}

/* ---- output format ---- */

static int set_format(struct rd *r, const char *field, enum chat_format_type type)
{
    struct chat_format *f = &r->req->format;
    if (f->type != CHAT_FORMAT_TEXT)
        return rd_fail(r, NULL, "and %.*s cannot be given together", STR(f->field));
    f->type = type;
    f->field = str_c(field);
    return OK;
}

static int read_response_format(struct rd *r, struct json v)
{
    struct chat_format *f = &r->req->format;
    struct str type = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc != OK || str_eq(type, S("text")))
        return rc;
    if (str_eq(type, S("json_object"))) {
        rc = set_format(r, "response_format", CHAT_FORMAT_JSON);
        /* llama-server and Together take the schema right here. */
        if (rc == OK && json_is(json_get(v, "schema"), JSON_OBJECT)) {
            f->type = CHAT_FORMAT_SCHEMA;
            f->schema_json = json_span(json_get(v, "schema"));
        }
        return rc;
    }
    if (!str_eq(type, S("json_schema")))
        return rd_fail(r, "type", "is '%.*s', and must be text, json_object or json_schema",
                       type.n > 40 ? 40 : (int)type.n, type.p);
    struct json s = json_get(v, "json_schema");
    if (!json_is(s, JSON_OBJECT))
        return rd_wrong_type(r, "json_schema", s, "an object");
    if ((rc = set_format(r, "response_format", CHAT_FORMAT_SCHEMA)) != OK)
        return rc;
    size_t mark = rd_key(r, S("json_schema"));
    if ((rc = rd_get_text(r, s, "name", false, &f->name)) == OK &&
        (rc = rd_get_text(r, s, "description", false, &f->description)) == OK &&
        (rc = rd_get_object_span(r, s, "schema", &f->schema_json)) == OK)
        rc = rd_tri(r, "strict", json_get(s, "strict"), &f->strict);
    if (rc == OK && !f->schema_json.p)
        rc = rd_wrong_type(r, "schema", json_get(s, "schema"), "an object");
    rd_up(r, mark);
    return rc;
}

/* A JSON Schema as an object, or as a string that holds one (vLLM's clients do both). */
static int read_schema_field(struct rd *r, struct json v, const char *field)
{
    struct chat_format *f = &r->req->format;
    int rc = set_format(r, field, CHAT_FORMAT_SCHEMA);
    if (rc != OK)
        return rc;
    if (json_is(v, JSON_OBJECT)) {
        f->schema_json = json_span(v);
        return OK;
    }
    struct json_doc doc;
    if ((rc = rd_text(r, NULL, v, &f->schema_json)) != OK)
        return rc;
    struct err err;
    if (json_parse(&doc, r->a, f->schema_json, &err) != OK)
        return rd_fail(r, NULL, "is a string that is not valid JSON: %s", err.text);
    if (!json_is(json_root(&doc), JSON_OBJECT))
        return rd_fail(r, NULL, "must be a JSON Schema object");
    return OK;
}

static int read_text_format(struct rd *r, struct json v, const char *field, enum chat_format_type type)
{
    int rc = set_format(r, field, type);
    if (rc == OK && !json_is(v, JSON_STRING))
        return rd_wrong_type(r, NULL, v, "a string");
    return rc == OK ? rd_text(r, NULL, v, &r->req->format.text) : rc;
}

static int read_choice_format(struct rd *r, struct json v, const char *field)
{
    int rc = set_format(r, field, CHAT_FORMAT_CHOICE);
    if (rc == OK)
        rc = rd_texts(r, NULL, v, CHAT_TOOLS_MAX, &r->req->format.choices, &r->req->format.n_choices);
    if (rc == OK && r->req->format.n_choices == 0)
        return rd_fail(r, NULL, "must hold at least one choice");
    return rc;
}

static int read_guided_json(struct rd *r, struct json v)
{
    return read_schema_field(r, v, "guided_json");
}
static int read_json_schema(struct rd *r, struct json v)
{
    return read_schema_field(r, v, "json_schema");
}
static int read_guided_regex(struct rd *r, struct json v)
{
    return read_text_format(r, v, "guided_regex", CHAT_FORMAT_REGEX);
}
static int read_guided_grammar(struct rd *r, struct json v)
{
    return read_text_format(r, v, "guided_grammar", CHAT_FORMAT_GRAMMAR);
}
static int read_grammar(struct rd *r, struct json v)
{
    return read_text_format(r, v, "grammar", CHAT_FORMAT_GRAMMAR);
}
static int read_guided_choice(struct rd *r, struct json v)
{
    return read_choice_format(r, v, "guided_choice");
}

/* vLLM's newer form: {"json": ...} | {"regex": ...} | {"choice": [...]} | {"grammar": ...} |
 * {"json_object": true} */
static int read_structured_outputs(struct rd *r, struct json v)
{
    static const char field[] = "structured_outputs";
    int rc = OK;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    for (struct json_iter it = json_iter(v); rc == OK && json_next(&it);) {
        bool yes = false;
        if (json_is_none(it.value))
            continue;
        size_t mark = rd_key(r, it.key);
        if (str_eq(it.key, S("json")))
            rc = read_schema_field(r, it.value, field);
        else if (str_eq(it.key, S("regex")))
            rc = read_text_format(r, it.value, field, CHAT_FORMAT_REGEX);
        else if (str_eq(it.key, S("choice")))
            rc = read_choice_format(r, it.value, field);
        else if (str_eq(it.key, S("grammar")))
            rc = read_text_format(r, it.value, field, CHAT_FORMAT_GRAMMAR);
        else if (str_eq(it.key, S("json_object"))) {
            if ((rc = rd_bool(r, NULL, it.value, &yes)) == OK && yes)
                rc = set_format(r, field, CHAT_FORMAT_JSON);
        } else if (str_eq(it.key, S("any_order"))) {
            rc = rd_bool(r, NULL, it.value, &r->req->format.any_order);
        } else if (str_eq(it.key, S("disable_any_whitespace"))) {
            rc = rd_bool(r, NULL, it.value, &r->req->format.is_compact);
        } else {
            rd_up(r, mark);
            rc = rd_keep(r, it.key, it.value, CHAT_FIELD_MEANING);
            continue;
        }
        rd_up(r, mark);
    }
    return rc;
}

/* ---- the rest ---- */

static int read_stop(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    if (!json_is(v, JSON_STRING))
        return rd_texts(r, NULL, v, CHAT_STOPS_MAX, &q->stops, &q->n_stops);
    q->stops = arena_new(r->a, struct str);
    if (!q->stops)
        return rd_nomem(r);
    q->n_stops = 1;
    return rd_text(r, NULL, v, &q->stops[0]);
}

static int read_n(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    int rc = rd_i64(r, NULL, v, 1, CHAT_CHOICES_MAX, &n);
    if (rc == OK)
        r->req->n = n.v;
    return rc;
}

static int read_stream_options(struct rd *r, struct json v)
{
    static const char *const known[] = {"include_usage", NULL};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_bool(r, "include_usage", json_get(v, "include_usage"), &r->req->include_usage);
    return rc == OK ? rd_keep_unknown(r, v, known) : rc;
}

static int read_max_tokens(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    int rc = rd_i64(r, NULL, v, 1, INT32_MAX, &n);
    /* max_completion_tokens supersedes it, wherever it stands. */
    if (rc == OK && !r->req->max_tokens.is_set)
        r->req->max_tokens = n;
    return rc;
}

static int read_top_logprobs(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    int rc = rd_i64(r, NULL, v, 0, 20, &n);
    if (rc == OK)
        r->req->top_logprobs = n.v;
    return rc;
}

static int read_logit_bias(struct rd *r, struct json v)
{
    struct chat_sampling *s = &r->req->sampling;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object of token id to bias");
    if (json_count(v) > CHAT_BIAS_MAX)
        return rd_fail(r, NULL, "has %u tokens, at most %d are possible", json_count(v), (int)CHAT_BIAS_MAX);
    s->bias = arena_new_array(r->a, struct chat_bias, json_count(v) + 1);
    if (!s->bias)
        return rd_nomem(r);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct chat_bias *b = &s->bias[s->n_bias];
        struct chat_f64 bias = {0};
        size_t mark = rd_key(r, it.key);
        if (!str_to_i64(it.key, &b->token) || b->token < 0)
            return rd_fail(r, NULL, "is not a token id");
        if (!json_is(it.value, JSON_NUMBER))
            return rd_wrong_type(r, NULL, it.value, "a number");
        int rc = rd_f64(r, NULL, it.value, -100, 100, &bias);
        if (rc != OK)
            return rc;
        b->bias = bias.v;
        s->n_bias++;
        rd_up(r, mark);
    }
    return OK;
}

static int set_effort(struct rd *r, const char *key, struct json v)
{
    struct chat_reasoning *g = &r->req->reasoning;
    struct str s = {0};
    int rc = rd_text(r, key, v, &s);
    if (rc != OK || !s.p)
        return rc;
    if (!effort_by_name(s, &g->effort))
        return rd_fail(r, key, "is '%.*s', and must be none, minimal, low, medium, high, xhigh or max",
                       s.n > 40 ? 40 : (int)s.n, s.p);
    g->is_off = g->effort == CHAT_EFFORT_NONE;
    return OK;
}

static int read_effort(struct rd *r, struct json v)
{
    return set_effort(r, NULL, v);
}

/* OpenRouter: {"effort","max_tokens","exclude","enabled"} */
static int read_reasoning_field(struct rd *r, struct json v)
{
    static const char *const known[] = {"effort", "max_tokens", "exclude", "enabled", NULL};
    struct chat_reasoning *g = &r->req->reasoning;
    enum chat_tri exclude = CHAT_UNSET, enabled = CHAT_UNSET;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc;
    if ((rc = set_effort(r, "effort", json_get(v, "effort"))) != OK ||
        (rc = rd_i64(r, "max_tokens", json_get(v, "max_tokens"), 0, INT32_MAX, &g->budget_tokens)) != OK ||
        (rc = rd_tri(r, "exclude", json_get(v, "exclude"), &exclude)) != OK ||
        (rc = rd_tri(r, "enabled", json_get(v, "enabled"), &enabled)) != OK)
        return rc;
    if (exclude != CHAT_UNSET)
        g->show = exclude == CHAT_YES ? CHAT_NO : CHAT_YES;
    if (enabled == CHAT_NO)
        g->is_off = true;
    return rd_keep_unknown(r, v, known);
}

/* Text is every model's; anything more is a wish that only some fulfil. */
static int read_modalities(struct rd *r, struct json v)
{
    struct str *list = NULL;
    size_t n = 0;
    int rc = rd_texts(r, NULL, v, 8, &list, &n);
    r->path_n = 0;
    if (rc == OK && !(n == 1 && str_eq(list[0], S("text"))))
        rc = rd_keep(r, S("modalities"), v, CHAT_FIELD_MEANING);
    return rc;
}

static int read_safety_identifier(struct rd *r, struct json v)
{
    struct str s = {0};
    int rc = rd_text(r, NULL, v, &s);
    if (rc == OK && !r->req->user.p)
        r->req->user = s;
    r->path_n = 0;
    return rc == OK ? rd_keep(r, S("safety_identifier"), v, CHAT_FIELD_HINT) : rc;
}

#define AT(member) offsetof(struct chat_request, member)

static const struct field_row rows[] = {
    {"model", FIELD_STR, AT(model), 0, 0, 0},
    {"messages", FIELD_CALL, 0, 0, 0, read_messages},
    {"stream", FIELD_BOOL, AT(is_stream), 0, 0, 0},
    {"temperature", FIELD_F64, AT(sampling.temperature), 0, 2, 0},
    {"max_completion_tokens", FIELD_I64, AT(max_tokens), 1, INT32_MAX, 0},
    {"max_tokens", FIELD_CALL, 0, 0, 0, read_max_tokens},
    {"top_p", FIELD_F64, AT(sampling.top_p), 0, 1, 0},
    {"stop", FIELD_CALL, 0, 0, 0, read_stop},
    {"seed", FIELD_I64, AT(sampling.seed), -9.2e18, 9.2e18, 0},
    {"n", FIELD_CALL, 0, 0, 0, read_n},
    {"stream_options", FIELD_CALL, 0, 0, 0, read_stream_options},
    {"tools", FIELD_CALL, 0, 0, 0, read_tools},
    {"tool_choice", FIELD_CALL, 0, 0, 0, read_tool_choice},
    {"parallel_tool_calls", FIELD_TRI, AT(parallel_tool_calls), 0, 0, 0},
    {"response_format", FIELD_CALL, 0, 0, 0, read_response_format},
    {"presence_penalty", FIELD_F64, AT(sampling.presence_penalty), -2, 2, 0},
    {"frequency_penalty", FIELD_F64, AT(sampling.frequency_penalty), -2, 2, 0},
    {"logprobs", FIELD_BOOL, AT(logprobs), 0, 0, 0},
    {"top_logprobs", FIELD_CALL, 0, 0, 0, read_top_logprobs},
    {"logit_bias", FIELD_CALL, 0, 0, 0, read_logit_bias},
    {"user", FIELD_STR, AT(user), 0, 0, 0},
    {"metadata", FIELD_SPAN, AT(metadata_json), 0, 0, 0},
    {"reasoning_effort", FIELD_CALL, 0, 0, 0, read_effort},
    {"reasoning", FIELD_CALL, 0, 0, 0, read_reasoning_field},
    /* hints: the answer means the same without them */
    {"service_tier", FIELD_HINT, 0, 0, 0, 0},
    {"store", FIELD_HINT, 0, 0, 0, 0},
    {"verbosity", FIELD_HINT, 0, 0, 0, 0},
    {"prompt_cache_key", FIELD_HINT, 0, 0, 0, 0},
    {"prompt_cache_retention", FIELD_HINT, 0, 0, 0, 0},
    {"prompt_cache_options", FIELD_HINT, 0, 0, 0, 0},
    {"prediction", FIELD_HINT, 0, 0, 0, 0},
    {"cache_prompt", FIELD_HINT, 0, 0, 0, 0},
    {"safety_identifier", FIELD_CALL, 0, 0, 0, read_safety_identifier},
    /* other meaning without them */
    {"modalities", FIELD_CALL, 0, 0, 0, read_modalities},
    {"audio", FIELD_MEANING, 0, 0, 0, 0},
    {"web_search_options", FIELD_MEANING, 0, 0, 0, 0},
    {"functions", FIELD_MEANING, 0, 0, 0, 0},
    {"function_call", FIELD_MEANING, 0, 0, 0, 0},
    {"chat_template_kwargs", FIELD_MEANING, 0, 0, 0, 0},
    /* the engine field's additions */
    {"top_k", FIELD_I64, AT(sampling.top_k), -1, INT32_MAX, 0},
    {"min_p", FIELD_F64, AT(sampling.min_p), 0, 1, 0},
    {"typical_p", FIELD_F64, AT(sampling.typical_p), 0, 1, 0},
    {"repeat_penalty", FIELD_F64, AT(sampling.repeat_penalty), 0.01, 100, 0},
    {"repetition_penalty", FIELD_F64, AT(sampling.repeat_penalty), 0.01, 100, 0},
    {"repeat_last_n", FIELD_I64, AT(sampling.repeat_last_n), -1, INT32_MAX, 0},
    {"ignore_eos", FIELD_TRI, AT(sampling.ignore_eos), 0, 0, 0},
    {"min_tokens", FIELD_I64, AT(sampling.min_tokens), 0, INT32_MAX, 0},
    {"return_tokens_as_token_ids", FIELD_BOOL, AT(return_tokens_as_ids), 0, 0, 0},
    {"guided_json", FIELD_CALL, 0, 0, 0, read_guided_json},
    {"guided_regex", FIELD_CALL, 0, 0, 0, read_guided_regex},
    {"guided_choice", FIELD_CALL, 0, 0, 0, read_guided_choice},
    {"guided_grammar", FIELD_CALL, 0, 0, 0, read_guided_grammar},
    {"structured_outputs", FIELD_CALL, 0, 0, 0, read_structured_outputs},
    {"grammar", FIELD_CALL, 0, 0, 0, read_grammar},
    {"json_schema", FIELD_CALL, 0, 0, 0, read_json_schema},
};

size_t openai_common_rows(const struct field_row **out)
{
    *out = rows;
    return sizeof(rows) / sizeof(rows[0]);
}

static int check_whole(struct rd *r)
{
    struct chat_request *q = r->req;
    if (!q->model.p || q->model.n == 0)
        return rd_fail(r, "model", "is missing: name a model");
    if (!q->messages)
        return rd_fail(r, "messages", "is missing: it must be an array of messages");
    if (q->top_logprobs > 0 && !q->logprobs)
        return rd_fail(r, "top_logprobs", "needs logprobs to be true");
    if (q->tool_choice >= CHAT_TOOLS_REQUIRED && q->n_tools == 0)
        return rd_fail(r, "tool_choice", "asks for a call, but there are no tools");
    if (!q->is_stream)
        q->include_usage = false;
    if (!q->user.p && q->metadata_json.p) {
        struct json md = json_get(json_root(q->doc), "metadata");
        if (json_is(json_get(md, "user_id"), JSON_STRING))
            return rd_text(r, "metadata.user_id", json_get(md, "user_id"), &q->user);
    }
    return OK;
}

int openai_read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e)
{
    struct rd r;
    struct json root;
    int rc = rd_begin(&r, a, e, in->body, &root);
    if (rc != OK)
        return rc;
    r.req->op = CHAT_OP_GENERATE;
    r.req->from = DIALECT_OPENAI_CHAT;
    if ((rc = rd_fields(&r, root, rows, sizeof(rows) / sizeof(rows[0]))) != OK)
        return rc;
    r.path_n = 0;
    if ((rc = check_whole(&r)) != OK)
        return rc;
    rd_name_results(r.req);
    *req = r.req;
    return OK;
}
