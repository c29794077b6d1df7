/* openai_write.c - Chat completions: writing a request to a provider.
 *
 * What the dialect cannot say is noted in `lacks` under the path the client knows.  Tool results
 * that hold images become a tool message with the text and, behind the results of that turn, a
 * user message with the images: the dialect allows only text in a tool message. */
#include <stdio.h>

#include "api/openai_int.h"

struct wr {
    struct json_writer w;
    const struct chat_request *req;
    const struct dialect_target *t;
    struct arena *a;
    struct dialect_lacks *lacks;
    bool is_native; /* request is of the OpenAI family: kept fields go out as they came */
};

bool openai_is_family(enum dialect_id id)
{
    return id == DIALECT_OPENAI_CHAT || id == DIALECT_OPENAI_COMPLETIONS || id == DIALECT_OPENAI_EMBEDDINGS;
}

static bool has_quirk(const struct wr *x, enum dialect_quirk q)
{
    return (x->t->quirks & q) != 0;
}

/* ---- parts ---- */

static void begin_part(struct wr *x, const char *type)
{
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", type);
}

static void write_data_url(struct wr *x, const char *key, const struct chat_media *m)
{
    struct buf *out = x->w.out;
    jw_key(&x->w, key);
    /* Base64 and media types need no JSON escapes, but they came from a stranger. */
    jw_raw(&x->w, S("\"data:"));
    json_escape(out, m->mime.p ? m->mime : S("application/octet-stream"));
    buf_puts(out, ";base64,");
    json_escape(out, m->data);
    buf_putc(out, '"');
}

static void write_image(struct wr *x, const struct chat_part *p, const char *path)
{
    if (has_quirk(x, QUIRK_NO_IMAGES) || (!p->media.url.p && !p->media.data.p)) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    begin_part(x, "image_url");
    jw_key(&x->w, "image_url");
    jw_begin_object(&x->w);
    if (p->media.data.p)
        write_data_url(x, "url", &p->media);
    else
        jw_kv_str(&x->w, "url", p->media.url);
    if (p->media.detail.p)
        jw_kv_str(&x->w, "detail", p->media.detail);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_audio(struct wr *x, const struct chat_part *p, const char *path)
{
    struct str format = p->media.mime;
    if (!p->media.data.p || !str_starts(format, S("audio/"))) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    format = str_sub(format, 6, format.n);
    if (str_eq(format, S("mpeg")))
        format = S("mp3");
    else if (str_eq(format, S("x-wav")) || str_eq(format, S("wave")))
        format = S("wav");
    begin_part(x, "input_audio");
    jw_key(&x->w, "input_audio");
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "data", p->media.data);
    jw_kv_str(&x->w, "format", format);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_file(struct wr *x, const struct chat_part *p)
{
    begin_part(x, "file");
    jw_key(&x->w, "file");
    jw_begin_object(&x->w);
    if (p->media.file_id.p)
        jw_kv_str(&x->w, "file_id", p->media.file_id);
    if (p->media.name.p)
        jw_kv_str(&x->w, "filename", p->media.name);
    else if (p->media.data.p)
        jw_kv_z(&x->w, "filename", "document.pdf");
    if (p->media.data.p)
        write_data_url(x, "file_data", &p->media);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

/* A text source in words, for a dialect without documents. */
static void write_source_text(struct wr *x, const char *tag, struct str title, struct str source,
                              struct str text, const struct chat_part *parts, size_t n_parts)
{
    struct buf *out = x->w.out;
    begin_part(x, "text");
    jw_key(&x->w, "text");
    jw_raw(&x->w, S("\"<"));
    buf_puts(out, tag);
    if (title.n) {
        buf_puts(out, " title=\\\"");
        json_escape(out, title);
        buf_puts(out, "\\\"");
    }
    if (source.n) {
        buf_puts(out, " source=\\\"");
        json_escape(out, source);
        buf_puts(out, "\\\"");
    }
    buf_puts(out, ">\\n");
    json_escape(out, text);
    for (size_t i = 0; i < n_parts; i++)
        json_escape(out, parts[i].text);
    buf_puts(out, "\\n</");
    buf_puts(out, tag);
    buf_puts(out, ">\"");
    jw_end_object(&x->w);
}

static bool all_text(const struct chat_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (parts[i].type != CHAT_PART_TEXT)
            return false;
    return true;
}

static void write_document(struct wr *x, const struct chat_part *p, const char *path)
{
    if (p->is_cited) {
        lack_refuse(x->lacks, "%s.citations", path);
        return;
    }
    if (p->media.context.n)
        lack_hint(x->lacks, "%s.context", path);
    if (p->type == CHAT_PART_SEARCH_RESULT)
        write_source_text(x, "search_result", p->media.name, p->source, S(""), p->parts, p->n_parts);
    else if (p->media.text.p || (p->n_parts && all_text(p->parts, p->n_parts)))
        write_source_text(x, "document", p->media.name, S(""), p->media.text.p ? p->media.text : S(""),
                          p->parts, p->n_parts);
    else if (p->media.data.p || (p->media.file_id.p && x->is_native))
        write_file(x, p);
    else
        lack_refuse(x->lacks, "%s", path);
}

static void write_cache(struct wr *x, const struct chat_part *p)
{
    if (p->cache != CHAT_CACHE_NONE)
        lack_hint(x->lacks, "cache_control");
}

static void write_part(struct wr *x, const struct chat_part *p, const char *path)
{
    write_cache(x, p);
    switch (p->type) {
    case CHAT_PART_TEXT:
        begin_part(x, "text");
        jw_kv_str(&x->w, "text", p->text);
        jw_end_object(&x->w);
        return;
    case CHAT_PART_REFUSAL:
        begin_part(x, "refusal");
        jw_kv_str(&x->w, "refusal", p->text);
        jw_end_object(&x->w);
        return;
    case CHAT_PART_IMAGE: write_image(x, p, path); return;
    case CHAT_PART_AUDIO: write_audio(x, p, path); return;
    case CHAT_PART_DOCUMENT:
    case CHAT_PART_SEARCH_RESULT: write_document(x, p, path); return;
    case CHAT_PART_OTHER:
        if (openai_is_family(p->from))
            jw_raw(&x->w, p->raw_json);
        else
            lack_refuse(x->lacks, "%s", path);
        return;
    case CHAT_PART_VIDEO:
    case CHAT_PART_REASONING:
    case CHAT_PART_TOOL_CALL:
    case CHAT_PART_TOOL_RESULT: lack_refuse(x->lacks, "%s", path); return;
    }
}

/* One text as a string, anything else as a list of parts. */
static void write_content(struct wr *x, const struct chat_message *m)
{
    char at[PART_PATH_MAX];
    jw_key(&x->w, "content");
    if (m->n_parts == 0) {
        jw_z(&x->w, "");
        return;
    }
    if (m->n_parts == 1 && m->parts[0].type == CHAT_PART_TEXT) {
        write_cache(x, &m->parts[0]);
        jw_str(&x->w, m->parts[0].text);
        return;
    }
    jw_begin_array(&x->w);
    for (size_t i = 0; i < m->n_parts; i++) {
        part_path(at, x->req, m, &m->parts[i]);
        write_part(x, &m->parts[i], at);
    }
    jw_end_array(&x->w);
}

/* ---- assistant ---- */

enum { SHORT_ID = 9 };

static bool is_short_id(struct str id)
{
    for (size_t i = 0; i < id.n; i++)
        if (!((id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'a' && id.p[i] <= 'z') ||
              (id.p[i] >= 'A' && id.p[i] <= 'Z')))
            return false;
    return id.n == SHORT_ID;
}

/* The id of a call, in the call and in its result.  An id that came from elsewhere becomes a
 * short one by its hash: it only has to be the same in both places. */
static void write_call_id(struct wr *x, const char *key, struct str id)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char made[SHORT_ID];
    if (!has_quirk(x, QUIRK_SHORT_IDS) || is_short_id(id)) {
        jw_kv_str(&x->w, key, id);
        return;
    }
    uint64_t h = str_hash_seeded(id, 9);
    for (int i = 0; i < SHORT_ID; i++, h /= 62)
        made[i] = digits[h % 62];
    jw_kv_str(&x->w, key, str_of(made, SHORT_ID));
}

static void write_tool_call(struct wr *x, const struct chat_part *p)
{
    jw_begin_object(&x->w);
    write_call_id(x, "id", p->id);
    jw_kv_z(&x->w, "type", "function");
    jw_key(&x->w, "function");
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "name", p->name);
    jw_kv_str(&x->w, "arguments", p->args_json.n ? p->args_json : S("{}"));
    jw_end_object(&x->w);
    if (p->signature.p)
        lack_hint(x->lacks, "%s", wire_field(x->req, "messages.reasoning"));
    jw_end_object(&x->w);
}

static void write_past_reasoning(struct wr *x, const struct chat_message *m)
{
    struct buf *out = x->w.out;
    bool is_open = false;
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *p = &m->parts[i];
        if (p->type != CHAT_PART_REASONING)
            continue;
        if (!has_quirk(x, QUIRK_REASONING_BACK) || p->is_redacted) {
            lack_hint(x->lacks, "%s", wire_field(x->req, "messages.reasoning"));
            continue;
        }
        if (!is_open) {
            jw_key(&x->w, "reasoning_content");
            jw_raw(&x->w, S("\""));
            is_open = true;
        }
        json_escape(out, p->text);
    }
    if (is_open)
        buf_putc(out, '"');
}

static bool has_part(const struct chat_message *m, enum chat_part_type type)
{
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].type == type)
            return true;
    return false;
}

/* Text and refusals as content; NULL when the turn is calls only. */
static void write_assistant_content(struct wr *x, const struct chat_message *m)
{
    struct str text = {0}, refusal = {0};
    size_t n_content = 0, n_texts = 0;
    char at[PART_PATH_MAX];
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *p = &m->parts[i];
        if (p->type == CHAT_PART_REFUSAL) {
            refusal = p->text;
            continue;
        }
        if (p->type == CHAT_PART_REASONING || p->type == CHAT_PART_TOOL_CALL)
            continue;
        n_content++;
        n_texts += p->type == CHAT_PART_TEXT;
        if (p->type == CHAT_PART_TEXT)
            text = p->text;
        if (p->n_citations)
            lack_hint(x->lacks, "messages.citations");
    }
    jw_key(&x->w, "content");
    if (n_content == 0 && (refusal.p || has_part(m, CHAT_PART_TOOL_CALL)))
        jw_null(&x->w);
    else if (n_content == 0) /* an empty turn: null is for those that have something else */
        jw_z(&x->w, "");
    else if (n_content == 1 && n_texts == 1)
        jw_str(&x->w, text);
    else {
        jw_begin_array(&x->w);
        for (size_t i = 0; i < m->n_parts; i++) {
            enum chat_part_type t = m->parts[i].type;
            part_path(at, x->req, m, &m->parts[i]);
            if (t != CHAT_PART_REASONING && t != CHAT_PART_TOOL_CALL && t != CHAT_PART_REFUSAL)
                write_part(x, &m->parts[i], at);
        }
        jw_end_array(&x->w);
    }
    if (refusal.p)
        jw_kv_str(&x->w, "refusal", refusal);
}

static void write_assistant(struct wr *x, const struct chat_message *m)
{
    write_assistant_content(x, m);
    write_past_reasoning(x, m);
    if (!has_part(m, CHAT_PART_TOOL_CALL))
        return;
    jw_key(&x->w, "tool_calls");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].type == CHAT_PART_TOOL_CALL)
            write_tool_call(x, &m->parts[i]);
    jw_end_array(&x->w);
}

/* ---- tool results ---- */

static void write_tool_result(struct wr *x, const struct chat_part *p)
{
    struct buf *out = x->w.out;
    bool is_first = true;
    write_cache(x, p);
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "role", "tool");
    write_call_id(x, "tool_call_id", p->id);
    jw_key(&x->w, "content");
    jw_raw(&x->w, S("\""));
    if (p->is_error)
        buf_puts(out, "Error: ");
    for (size_t i = 0; i < p->n_parts; i++) {
        const struct chat_part *q = &p->parts[i];
        struct str text = q->type == CHAT_PART_TEXT ? q->text : q->media.text;
        if (q->type == CHAT_PART_SEARCH_RESULT)
            text = q->n_parts ? q->parts[0].text : S("");
        if (!text.p)
            continue;
        if (!is_first)
            buf_puts(out, "\\n");
        json_escape(out, text);
        is_first = false;
    }
    buf_putc(out, '"');
    jw_end_object(&x->w);
}

static bool is_media(const struct chat_part *p)
{
    return p->type == CHAT_PART_IMAGE || p->type == CHAT_PART_AUDIO ||
           (p->type == CHAT_PART_DOCUMENT && !p->media.text.p);
}

/* Images of all results of one turn, in a user message behind them. */
static void write_result_media(struct wr *x, const struct chat_message *m)
{
    bool is_open = false;
    char at[PART_PATH_MAX];
    for (size_t i = 0; i < m->n_parts; i++)
        for (size_t k = 0; k < m->parts[i].n_parts; k++) {
            const struct chat_part *q = &m->parts[i].parts[k];
            part_path(at, x->req, m, &m->parts[i]);
            if (q->type == CHAT_PART_VIDEO || q->type == CHAT_PART_OTHER)
                lack_refuse(x->lacks, "%s", at);
            if (!is_media(q))
                continue;
            if (!is_open) {
                jw_begin_object(&x->w);
                jw_kv_z(&x->w, "role", "user");
                jw_key(&x->w, "content");
                jw_begin_array(&x->w);
                is_open = true;
            }
            struct str says = arena_printf(x->a, "Result of tool call %.*s:", STR(m->parts[i].id));
            begin_part(x, "text");
            jw_kv_str(&x->w, "text", says.p ? says : S("Result of the tool call:"));
            jw_end_object(&x->w);
            write_part(x, q, at);
        }
    if (!is_open)
        return;
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

/* The mark of a last message that begins the answer. */
static void write_begun(const struct dialect_target *t, struct json_writer *w)
{
    if (t->quirks & QUIRK_CONTINUE_PREFIX)
        jw_kv_bool(w, "prefix", true);
    if (t->quirks & QUIRK_CONTINUE_PARTIAL)
        jw_kv_bool(w, "partial", true);
}

static void write_messages(struct wr *x)
{
    const struct chat_request *req = x->req;
    jw_key(&x->w, "messages");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_messages; i++) {
        const struct chat_message *m = &req->messages[i];
        enum chat_role role = m->role;
        if (role == CHAT_TOOL) {
            for (size_t k = 0; k < m->n_parts; k++)
                write_tool_result(x, &m->parts[k]);
            write_result_media(x, m);
            continue;
        }
        if (role == CHAT_DEVELOPER && has_quirk(x, QUIRK_NO_DEVELOPER))
            role = CHAT_SYSTEM;
        jw_begin_object(&x->w);
        jw_kv_z(&x->w, "role", chat_role_name(role));
        if (m->name.p)
            jw_kv_str(&x->w, "name", m->name);
        if (role == CHAT_ASSISTANT)
            write_assistant(x, m);
        else
            write_content(x, m);
        if (req->is_continued && i + 1 == req->n_messages)
            write_begun(x->t, &x->w);
        jw_end_object(&x->w);
    }
    jw_end_array(&x->w);
}

/* ---- tools and format ---- */

static void write_tool(struct wr *x, const struct chat_tool *t, size_t i)
{
    if (t->cache != CHAT_CACHE_NONE)
        lack_hint(x->lacks, "cache_control");
    if (!t->name.p) {
        if (openai_is_family(t->from))
            jw_raw(&x->w, t->raw_json);
        else
            lack_refuse(x->lacks, "tools[%zu]", i);
        return;
    }
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", "function");
    jw_key(&x->w, "function");
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "name", t->name);
    if (t->description.p)
        jw_kv_str(&x->w, "description", t->description);
    if (t->schema_json.p)
        jw_kv_raw(&x->w, "parameters", t->schema_json);
    if (t->strict != CHAT_UNSET)
        jw_kv_bool(&x->w, "strict", t->strict == CHAT_YES);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_function_ref(struct wr *x, struct str name)
{
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", "function");
    jw_key(&x->w, "function");
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "name", name);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_tool_choice(struct wr *x)
{
    const struct chat_request *req = x->req;
    if (req->tool_choice == CHAT_TOOLS_DEFAULT)
        return;
    jw_key(&x->w, "tool_choice");
    if (req->n_tool_names == 1) {
        write_function_ref(x, req->tool_names[0]);
        return;
    }
    if (req->n_tool_names == 0) {
        jw_z(&x->w, req->tool_choice == CHAT_TOOLS_AUTO   ? "auto"
                    : req->tool_choice == CHAT_TOOLS_NONE ? "none"
                                                          : "required");
        return;
    }
    begin_part(x, "allowed_tools");
    jw_key(&x->w, "allowed_tools");
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "mode", "required");
    jw_key(&x->w, "tools");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_tool_names; i++)
        write_function_ref(x, req->tool_names[i]);
    jw_end_array(&x->w);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_tools(struct wr *x)
{
    const struct chat_request *req = x->req;
    if (req->n_tools == 0)
        return;
    if (has_quirk(x, QUIRK_NO_TOOLS)) {
        lack_refuse(x->lacks, "tools");
        return;
    }
    jw_key(&x->w, "tools");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_tools; i++)
        write_tool(x, &req->tools[i], i);
    jw_end_array(&x->w);
    write_tool_choice(x);
    if (req->parallel_tool_calls != CHAT_UNSET)
        jw_kv_bool(&x->w, "parallel_tool_calls", req->parallel_tool_calls == CHAT_YES);
}

static void write_json_schema(struct json_writer *w, const struct chat_format *f)
{
    jw_key(w, "response_format");
    jw_begin_object(w);
    jw_kv_z(w, "type", "json_schema");
    jw_key(w, "json_schema");
    jw_begin_object(w);
    jw_kv_str(w, "name", f->name.n ? f->name : S("answer"));
    if (f->description.p)
        jw_kv_str(w, "description", f->description);
    jw_kv_raw(w, "schema", f->schema_json);
    if (f->strict != CHAT_UNSET)
        jw_kv_bool(w, "strict", f->strict == CHAT_YES);
    jw_end_object(w);
    jw_end_object(w);
}

/* vLLM's form of the constraints that OpenAI does not have; `grammar` is llama-server's. */
static void write_guided(struct json_writer *w, const struct chat_format *f)
{
    if (str_eq(f->field, S("grammar"))) {
        jw_kv_str(w, "grammar", f->text);
        return;
    }
    jw_key(w, "structured_outputs");
    jw_begin_object(w);
    if (f->type == CHAT_FORMAT_REGEX)
        jw_kv_str(w, "regex", f->text);
    else if (f->type == CHAT_FORMAT_GRAMMAR)
        jw_kv_str(w, "grammar", f->text);
    else {
        jw_key(w, "choice");
        jw_begin_array(w);
        for (size_t i = 0; i < f->n_choices; i++)
            jw_str(w, f->choices[i]);
        jw_end_array(w);
    }
    jw_end_object(w);
}

void openai_write_format(struct json_writer *w, const struct chat_request *req,
                         const struct dialect_target *t, struct dialect_lacks *l)
{
    const struct chat_format *f = &req->format;
    switch (f->type) {
    case CHAT_FORMAT_TEXT: return;
    case CHAT_FORMAT_JSON:
        if (t->quirks & QUIRK_NO_JSON_MODE)
            lack_refuse(l, "%.*s", STR(f->field));
        else
            jw_kv_raw(w, "response_format", S("{\"type\":\"json_object\"}"));
        return;
    case CHAT_FORMAT_SCHEMA:
        if (t->quirks & QUIRK_NO_SCHEMA)
            lack_refuse(l, "%.*s", STR(f->field));
        else
            write_json_schema(w, f);
        return;
    case CHAT_FORMAT_REGEX:
    case CHAT_FORMAT_CHOICE:
    case CHAT_FORMAT_GRAMMAR:
        if (t->quirks & QUIRK_ENGINE_FIELDS)
            write_guided(w, f);
        else
            lack_refuse(l, "%.*s", STR(f->field));
        return;
    }
}

/* ---- sampling ---- */

static void write_f64(struct json_writer *w, const char *key, const struct chat_f64 *v)
{
    if (v->is_set)
        jw_kv_f64(w, key, v->v);
}

static void write_bias(struct json_writer *w, const struct chat_sampling *s)
{
    char key[32];
    if (!s->n_bias)
        return;
    jw_key(w, "logit_bias");
    jw_begin_object(w);
    for (size_t i = 0; i < s->n_bias; i++) {
        snprintf(key, sizeof(key), "%lld", (long long)s->bias[i].token);
        jw_kv_f64(w, key, s->bias[i].bias);
    }
    jw_end_object(w);
}

/* Fields of local engines: to hosts that take them, refused elsewhere. */
static void write_engine_fields(struct json_writer *w, const struct chat_request *req,
                                const struct dialect_target *t, struct dialect_lacks *l)
{
    const struct chat_sampling *s = &req->sampling;
    bool ok = (t->quirks & QUIRK_ENGINE_FIELDS) != 0;
    const struct {
        const char *key;
        const struct chat_f64 *v;
    } reals[] = {
        {"min_p", &s->min_p}, {"typical_p", &s->typical_p}, {"repetition_penalty", &s->repeat_penalty}};
    const struct {
        const char *key;
        const struct chat_i64 *v;
    } ints[] = {{"top_k", &s->top_k}, {"min_tokens", &s->min_tokens}, {"repeat_last_n", &s->repeat_last_n}};
    for (size_t i = 0; i < 3; i++) {
        if (reals[i].v->is_set && ok)
            jw_kv_f64(w, reals[i].key, reals[i].v->v);
        else if (reals[i].v->is_set)
            lack_refuse(l, "%s", wire_field(req, reals[i].key));
        if (ints[i].v->is_set && ok)
            jw_kv_i64(w, ints[i].key, ints[i].v->v);
        else if (ints[i].v->is_set)
            lack_refuse(l, "%s", wire_field(req, ints[i].key));
    }
    if (s->repeat_penalty.is_set && ok) /* llama-server's name for the same */
        jw_kv_f64(w, "repeat_penalty", s->repeat_penalty.v);
    if (s->ignore_eos == CHAT_YES && ok)
        jw_kv_bool(w, "ignore_eos", true);
    else if (s->ignore_eos == CHAT_YES)
        lack_refuse(l, "ignore_eos");
    if (req->return_tokens_as_ids && ok)
        jw_kv_bool(w, "return_tokens_as_token_ids", true);
    else if (req->return_tokens_as_ids)
        lack_refuse(l, "return_tokens_as_token_ids");
}

void openai_write_sampling(struct json_writer *w, const struct chat_request *req,
                           const struct dialect_target *t, struct dialect_lacks *l)
{
    const struct chat_sampling *s = &req->sampling;
    write_f64(w, "temperature", &s->temperature);
    write_f64(w, "top_p", &s->top_p);
    write_f64(w, "presence_penalty", &s->presence_penalty);
    write_f64(w, "frequency_penalty", &s->frequency_penalty);
    if (s->seed.is_set)
        jw_kv_i64(w, "seed", s->seed.v);
    write_bias(w, s);
    if (req->n > 1 && (t->quirks & QUIRK_NO_N))
        lack_refuse(l, "%s", wire_field(req, "n"));
    else if (req->n > 1)
        jw_kv_i64(w, "n", req->n);
    if (req->n_stops > 4 && !(t->quirks & QUIRK_ENGINE_FIELDS)) {
        lack_refuse(l, "%s", wire_field(req, "stop"));
    } else if (req->n_stops) {
        jw_key(w, "stop");
        jw_begin_array(w);
        for (size_t i = 0; i < req->n_stops; i++)
            jw_str(w, req->stops[i]);
        jw_end_array(w);
    }
    write_engine_fields(w, req, t, l);
}

void openai_write_stream_fields(struct json_writer *w, const struct chat_request *req,
                                const struct dialect_target *t)
{
    if (!req->is_stream)
        return;
    jw_kv_bool(w, "stream", true);
    /* Without it a stream has no usage at all, and we could not account. */
    if (!(t->quirks & QUIRK_NO_STREAM_OPTIONS))
        jw_kv_raw(w, "stream_options", S("{\"include_usage\":true}"));
}

/* A budget of thinking tokens in the dialect's words. */
static enum chat_effort effort_of(const struct chat_reasoning *g)
{
    if (g->effort != CHAT_EFFORT_UNSET)
        return g->effort;
    if (!g->budget_tokens.is_set || g->budget_tokens.v < 0)
        return CHAT_EFFORT_UNSET;
    if (g->budget_tokens.v <= 2048)
        return CHAT_EFFORT_LOW;
    return g->budget_tokens.v <= 8192 ? CHAT_EFFORT_MEDIUM : CHAT_EFFORT_HIGH;
}

static void write_reasoning(struct wr *x)
{
    const struct chat_reasoning *g = &x->req->reasoning;
    /* "Off" is the default of models that can be without; only OpenAI's own word for it is sent. */
    enum chat_effort effort = g->is_off && g->effort == CHAT_EFFORT_UNSET ? CHAT_EFFORT_UNSET : effort_of(g);
    if (effort == CHAT_EFFORT_UNSET)
        return;
    if (has_quirk(x, QUIRK_NO_EFFORT)) {
        lack_hint(x->lacks, "%s", wire_field(x->req, "reasoning_effort"));
        return;
    }
    if (effort == CHAT_EFFORT_MAX && !x->is_native)
        effort = CHAT_EFFORT_XHIGH;
    jw_kv_z(&x->w, "reasoning_effort", chat_effort_name(effort));
}

static void write_logprobs(struct wr *x)
{
    if (!x->req->logprobs)
        return;
    if (has_quirk(x, QUIRK_NO_LOGPROBS)) {
        lack_refuse(x->lacks, "%s", wire_field(x->req, "logprobs"));
        return;
    }
    jw_kv_bool(&x->w, "logprobs", true);
    if (x->req->top_logprobs)
        jw_kv_i64(&x->w, "top_logprobs", x->req->top_logprobs);
}

/* Top-level fields that we keep as spans; nested ones ("messages[0].x") cannot go back in. */
static void write_kept(struct wr *x)
{
    for (size_t i = 0; i < x->req->n_fields; i++) {
        const struct chat_field *f = &x->req->fields[i];
        struct json top = json_get_str(json_root(x->req->doc), f->name);
        if (json_span(top).p == f->json.p) {
            jw_key_str(&x->w, f->name);
            jw_raw(&x->w, f->json);
        } else if (f->kind == CHAT_FIELD_MEANING) {
            lack_refuse(x->lacks, "%.*s", STR(f->name));
        } else {
            lack_hint(x->lacks, "%.*s", STR(f->name));
        }
    }
    if (x->req->metadata_json.p)
        jw_kv_raw(&x->w, "metadata", x->req->metadata_json);
}

int openai_write_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out)
{
    struct wr x = {.w = json_writer(out->body),
                   .req = req,
                   .t = target,
                   .a = a,
                   .lacks = &out->lacks,
                   .is_native = openai_is_family(req->from)};
    snprintf(out->path, sizeof(out->path), "/chat/completions");
    if (req->op != CHAT_OP_GENERATE) {
        lack_refuse(&out->lacks, "%s",
                    req->op == CHAT_OP_COUNT_TOKENS ? "count_tokens"
                    : req->op == CHAT_OP_COMPLETE   ? "prompt"
                                                    : "input");
        return OK;
    }
    jw_begin_object(&x.w);
    if (!has_quirk(&x, QUIRK_NO_MODEL_FIELD))
        jw_kv_str(&x.w, "model", target->model);
    write_messages(&x);
    write_tools(&x);
    openai_write_format(&x.w, req, target, &out->lacks);
    openai_write_sampling(&x.w, req, target, &out->lacks);
    write_logprobs(&x);
    int64_t max_tokens = capped_max_tokens(req, target);
    if (max_tokens > 0)
        jw_kv_i64(&x.w, has_quirk(&x, QUIRK_MAX_TOKENS_OLD) ? "max_tokens" : "max_completion_tokens",
                  max_tokens);
    write_reasoning(&x);
    if (req->user.p)
        jw_kv_str(&x.w, "user", req->user);
    if (req->cache != CHAT_CACHE_NONE)
        lack_hint(&out->lacks, "cache_control");
    if (x.is_native)
        write_kept(&x);
    else
        lack_fields(&out->lacks, req);
    if (req->is_continued && has_quirk(&x, QUIRK_CONTINUE_FINAL)) {
        jw_kv_bool(&x.w, "continue_final_message", true);
        jw_kv_bool(&x.w, "add_generation_prompt", false);
    }
    openai_write_stream_fields(&x.w, req, target);
    jw_end_object(&x.w);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}

/* True if the request has parts or messages that the quirks forbid as they are. */
static bool history_needs_rewrite(const struct chat_request *req, uint32_t quirks)
{
    for (size_t i = 0; i < req->n_messages; i++) {
        const struct chat_message *m = &req->messages[i];
        if (m->role == CHAT_DEVELOPER && (quirks & QUIRK_NO_DEVELOPER))
            return true;
        for (size_t k = 0; k < m->n_parts; k++) {
            const struct chat_part *p = &m->parts[k];
            bool has_id = p->type == CHAT_PART_TOOL_CALL || p->type == CHAT_PART_TOOL_RESULT;
            if (p->type == CHAT_PART_IMAGE && (quirks & QUIRK_NO_IMAGES))
                return true;
            if (has_id && (quirks & QUIRK_SHORT_IDS) && !is_short_id(p->id))
                return true;
        }
    }
    return false;
}

bool openai_needs_rewrite(const struct chat_request *req, uint32_t quirks)
{
    bool new_max = json_exists(json_get(json_root(req->doc), "max_completion_tokens"));
    enum chat_format_type f = req->format.type;
    return (new_max && (quirks & QUIRK_MAX_TOKENS_OLD)) ||
           (req->reasoning.effort && (quirks & QUIRK_NO_EFFORT)) ||
           (f == CHAT_FORMAT_SCHEMA && (quirks & QUIRK_NO_SCHEMA)) ||
           (f == CHAT_FORMAT_JSON && (quirks & QUIRK_NO_JSON_MODE)) ||
           (req->n_tools && (quirks & QUIRK_NO_TOOLS)) || (req->n > 1 && (quirks & QUIRK_NO_N)) ||
           (req->logprobs && (quirks & QUIRK_NO_LOGPROBS)) ||
           ((quirks & (QUIRK_NO_DEVELOPER | QUIRK_NO_IMAGES | QUIRK_SHORT_IDS)) &&
            history_needs_rewrite(req, quirks));
}

/* The begun answer behind the client's messages, and what says that it is one. */
static size_t continue_edits(const struct chat_request *req, const struct dialect_target *target,
                             struct arena *a, struct splice *edits)
{
    struct buf item;
    size_t n = 0;
    buf_init(&item, (size_t)64 << 20);
    struct json_writer w = json_writer(&item);
    jw_begin_object(&w);
    jw_kv_z(&w, "role", "assistant");
    jw_kv_str(&w, "content", req->messages[req->n_messages - 1].parts[0].text);
    write_begun(target, &w);
    jw_end_object(&w);
    struct str list = buf_ok(&item)
                          ? json_list_plus(a, json_get(json_root(req->doc), "messages"), buf_str(&item))
                          : (struct str){0};
    buf_deinit(&item);
    if (!list.p)
        return 0;
    edits[n++] = (struct splice){"messages", NULL, list};
    if (target->quirks & QUIRK_CONTINUE_FINAL) {
        edits[n++] = (struct splice){"continue_final_message", NULL, S("true")};
        edits[n++] = (struct splice){"add_generation_prompt", NULL, S("false")};
    }
    return n;
}

int openai_pass_body(const struct chat_request *req, const struct dialect_target *target, const char *cap_key,
                     struct arena *a, struct dialect_out *out)
{
    struct splice edits[SPLICES_MAX];
    size_t n = 0;
    struct buf model;
    struct json root = json_root(req->doc);
    buf_init(&model, 64 * 1024);
    json_quote(&model, target->model);
    struct str quoted = arena_str(a, buf_str(&model));
    buf_deinit(&model);
    if (!quoted.p)
        return ERR_NOMEM;
    if (!(target->quirks & QUIRK_NO_MODEL_FIELD))
        edits[n++] = (struct splice){"model", NULL, quoted};
    if (req->is_continued) {
        size_t more = continue_edits(req, target, a, edits + n);
        if (more == 0)
            return ERR_NOMEM;
        n += more;
    }
    int64_t cap = req->op == CHAT_OP_EMBED ? 0 : capped_max_tokens(req, target);
    if (cap > 0 && (!req->max_tokens.is_set || cap < req->max_tokens.v || req->is_continued)) {
        struct str v = arena_printf(a, "%lld", (long long)cap);
        if (!v.p)
            return ERR_NOMEM;
        bool has_old = json_exists(json_get(root, "max_tokens"));
        bool has_new = json_exists(json_get(root, "max_completion_tokens"));
        if (has_old)
            edits[n++] = (struct splice){"max_tokens", NULL, v};
        if (has_new || !has_old)
            edits[n++] = (struct splice){has_new ? "max_completion_tokens" : cap_key, NULL, v};
    }
    if (req->is_stream && !(target->quirks & QUIRK_NO_STREAM_OPTIONS) && !req->include_usage) {
        bool has_options = json_is(json_get(root, "stream_options"), JSON_OBJECT);
        edits[n++] = has_options ? (struct splice){"stream_options", "include_usage", S("true")}
                                 : (struct splice){"stream_options", NULL, S("{\"include_usage\":true}")};
    } else if (req->is_stream && (target->quirks & QUIRK_NO_STREAM_OPTIONS)) {
        edits[n++] = (struct splice){"stream_options", NULL, {0}};
    }
    splice_write(req->doc, edits, n, out->body);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}
