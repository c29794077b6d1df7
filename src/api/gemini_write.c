/* gemini_write.c - generateContent, countTokens, embedContent: writing a request to a provider.
 *
 * Roles are user and model, neighbours joined; the arguments of calls are objects; a call's
 * proof (thoughtSignature) stands on its own part again; images in tool results follow the
 * results in the same content.  Start reading at gemini_write_request(). */
#include <stdio.h>

#include "api/gemini_int.h"

struct wr {
    struct json_writer w;
    const struct chat_request *req;
    const struct dialect_target *t;
    struct arena *a;
    struct dialect_lacks *lacks;
    bool is_native;
    struct str carried; /* a signature whose part follows */
};

void gemini_signature_write(struct json_writer *w, struct str signature, enum dialect_id from,
                            bool is_redacted)
{
    if (from == DIALECT_GEMINI) {
        jw_str(w, signature);
        return;
    }
    struct buf wrapped;
    buf_init(&wrapped, signature.n + 64);
    signature_wrap(&wrapped, signature, from, is_redacted, DIALECT_GEMINI);
    jw_raw(w, S("\""));
    base64_write(w->out, buf_str(&wrapped));
    buf_putc(w->out, '"');
    buf_deinit(&wrapped);
}

/* ---- parts ---- */

/* The proof that belongs to this part: its own, or one that came before it. */
static void write_proof(struct wr *x, const struct chat_part *p)
{
    if (p->signature.p && p->signature_from == DIALECT_GEMINI && !p->is_redacted)
        jw_kv_str(&x->w, "thoughtSignature", p->signature);
    else if (x->carried.p)
        jw_kv_str(&x->w, "thoughtSignature", x->carried);
    else if (p->type == CHAT_PART_TOOL_CALL && str_starts(x->t->model, S("gemini-3")))
        /* These models refuse calls without a proof; this word of Google's stands for calls
         * that another model made. */
        jw_kv_z(&x->w, "thoughtSignature", "skip_thought_signature_validator");
    x->carried = (struct str){0};
}

static void write_text(struct wr *x, const struct chat_part *p)
{
    if (p->text.n == 0 && !p->signature.p && !x->carried.p)
        return;
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "text", p->text);
    write_proof(x, p);
    jw_end_object(&x->w);
    if (p->n_citations)
        lack_hint(x->lacks, "messages.citations");
}

/* The provider wants a type; an address often ends in it.  p == NULL if it does not. */
static struct str mime_of_url(struct str url)
{
    static const struct {
        const char *end, *mime;
    } rows[] = {{".png", "image/png"},   {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"},
                {".webp", "image/webp"}, {".gif", "image/gif"},  {".pdf", "application/pdf"},
                {".mp4", "video/mp4"},   {".mp3", "audio/mp3"},  {".wav", "audio/wav"}};
    size_t query = str_find_char(url, '?', 0);
    if (query != STR_NONE)
        url = str_sub(url, 0, query);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str end = str_c(rows[i].end);
        if (url.n > end.n && str_eq_nocase(str_sub(url, url.n - end.n, url.n), end))
            return str_c(rows[i].mime);
    }
    return (struct str){0};
}

static void write_media(struct wr *x, const struct chat_part *p, const char *path)
{
    const struct chat_media *m = &p->media;
    struct str known = m->mime.p ? m->mime : m->url.p ? mime_of_url(m->url) : (struct str){0};
    const char *mime = p->type == CHAT_PART_IMAGE ? "image/png" : "application/pdf";
    if (m->file_id.p && !x->is_native) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    if (!m->data.p && !m->url.p && !m->file_id.p) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    jw_begin_object(&x->w);
    jw_key(&x->w, m->data.p ? "inlineData" : "fileData");
    jw_begin_object(&x->w);
    if (known.p || m->data.p)
        jw_kv_str(&x->w, "mimeType", known.p ? known : str_c(mime));
    if (m->data.p)
        jw_kv_str(&x->w, "data", m->data);
    else
        jw_kv_str(&x->w, "fileUri", m->url.p ? m->url : m->file_id);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
    if (m->detail.p && !str_eq(m->detail, S("auto")))
        lack_hint(x->lacks, "messages.image_url.detail");
}

static void append_texts(struct buf *out, const struct chat_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (parts[i].type == CHAT_PART_TEXT)
            json_escape(out, parts[i].text);
}

/* A text source in words: the dialect has no documents of text. */
static void write_source(struct wr *x, const struct chat_part *p)
{
    struct buf *out = x->w.out;
    bool is_result = p->type == CHAT_PART_SEARCH_RESULT;
    const char *tag = is_result ? "search_result" : "document";
    jw_begin_object(&x->w);
    jw_key(&x->w, "text");
    jw_raw(&x->w, S("\"<"));
    buf_puts(out, tag);
    if (p->media.name.n) {
        buf_puts(out, " title=\\\"");
        json_escape(out, p->media.name);
        buf_puts(out, "\\\"");
    }
    if (p->source.n) {
        buf_puts(out, " source=\\\"");
        json_escape(out, p->source);
        buf_puts(out, "\\\"");
    }
    buf_puts(out, ">\\n");
    if (p->media.text.p)
        json_escape(out, p->media.text);
    append_texts(out, p->parts, p->n_parts);
    buf_printf(out, "\\n</%s>\"", tag);
    jw_end_object(&x->w);
}

static void write_document(struct wr *x, const struct chat_part *p, const char *path)
{
    if (p->is_cited) {
        lack_refuse(x->lacks, "%s.citations", path);
        return;
    }
    if (p->media.context.n)
        lack_hint(x->lacks, "%s.context", path);
    if (p->type == CHAT_PART_SEARCH_RESULT || p->media.text.p || p->n_parts)
        write_source(x, p);
    else
        write_media(x, p, path);
}

static void write_call(struct wr *x, const struct chat_part *p, const char *path)
{
    struct str args = {0};
    if (!args_object(p, x->a, &args)) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    jw_begin_object(&x->w);
    jw_key(&x->w, "functionCall");
    jw_begin_object(&x->w);
    if (p->id.n && !str_starts(p->id, S(GEMINI_ID_MARK)))
        jw_kv_str(&x->w, "id", p->id);
    jw_kv_str(&x->w, "name", p->name);
    jw_kv_raw(&x->w, "args", args);
    jw_end_object(&x->w);
    write_proof(x, p);
    jw_end_object(&x->w);
}

/* One text as {"output": text}, or as the object that it is. */
static void write_response_value(struct wr *x, const struct chat_part *p)
{
    struct json_doc doc;
    bool is_one = p->n_parts == 1 && p->parts[0].type == CHAT_PART_TEXT;
    struct str only = is_one ? str_trim(p->parts[0].text) : S("");
    if (is_one && !p->is_error && only.n && only.p[0] == '{' && json_parse(&doc, x->a, only, NULL) == OK) {
        jw_kv_raw(&x->w, "response", only);
        return;
    }
    jw_key(&x->w, "response");
    jw_begin_object(&x->w);
    jw_key(&x->w, p->is_error ? "error" : "output");
    jw_raw(&x->w, S("\""));
    for (size_t i = 0, n = 0; i < p->n_parts; i++) {
        const struct chat_part *q = &p->parts[i];
        bool is_text = q->type == CHAT_PART_TEXT || q->media.text.p;
        if (!is_text && q->type != CHAT_PART_SEARCH_RESULT)
            continue;
        if (n++)
            buf_puts(x->w.out, "\\n");
        if (q->type == CHAT_PART_SEARCH_RESULT)
            append_texts(x->w.out, q->parts, q->n_parts);
        else
            json_escape(x->w.out, q->type == CHAT_PART_TEXT ? q->text : q->media.text);
    }
    buf_putc(x->w.out, '"');
    jw_end_object(&x->w);
}

static void write_response(struct wr *x, const struct chat_part *p, const char *path)
{
    if (!p->name.n) { /* the call is not in the history, and its name is needed */
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    jw_begin_object(&x->w);
    jw_key(&x->w, "functionResponse");
    jw_begin_object(&x->w);
    if (p->id.n && !str_starts(p->id, S(GEMINI_ID_MARK)))
        jw_kv_str(&x->w, "id", p->id);
    jw_kv_str(&x->w, "name", p->name);
    write_response_value(x, p);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_result_media(struct wr *x, const struct chat_part *p, const char *path)
{
    for (size_t i = 0; i < p->n_parts; i++) {
        const struct chat_part *q = &p->parts[i];
        bool is_text = q->type == CHAT_PART_TEXT || q->type == CHAT_PART_SEARCH_RESULT || q->media.text.p;
        if (q->type == CHAT_PART_OTHER)
            lack_refuse(x->lacks, "%s", path);
        else if (!is_text)
            write_media(x, q, path);
    }
}

static void write_reasoning(struct wr *x, const struct chat_part *p)
{
    if (p->signature_from != DIALECT_GEMINI) {
        lack_hint(x->lacks, "%s", wire_field(x->req, "messages.reasoning"));
        return;
    }
    if (p->is_redacted) { /* the proof of the part behind it */
        x->carried = p->signature;
        return;
    }
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "text", p->text);
    jw_kv_bool(&x->w, "thought", true);
    if (p->signature.p)
        jw_kv_str(&x->w, "thoughtSignature", p->signature);
    jw_end_object(&x->w);
}

static void write_part(struct wr *x, const struct chat_message *m, const struct chat_part *p)
{
    char path[PART_PATH_MAX];
    part_path(path, x->req, m, p);
    if (p->cache != CHAT_CACHE_NONE)
        lack_hint(x->lacks, "cache_control");
    switch (p->type) {
    case CHAT_PART_TEXT:
    case CHAT_PART_REFUSAL: write_text(x, p); return;
    case CHAT_PART_IMAGE:
    case CHAT_PART_AUDIO:
    case CHAT_PART_VIDEO: write_media(x, p, path); return;
    case CHAT_PART_DOCUMENT:
    case CHAT_PART_SEARCH_RESULT: write_document(x, p, path); return;
    case CHAT_PART_REASONING: write_reasoning(x, p); return;
    case CHAT_PART_TOOL_CALL: write_call(x, p, path); return;
    case CHAT_PART_TOOL_RESULT: write_response(x, p, path); return;
    case CHAT_PART_OTHER:
        if (p->from == DIALECT_GEMINI)
            jw_raw(&x->w, p->raw_json);
        else
            lack_refuse(x->lacks, "%s", path);
        return;
    }
}

/* ---- contents ---- */

static bool is_system(const struct chat_message *m)
{
    return m->role == CHAT_SYSTEM || m->role == CHAT_DEVELOPER;
}

static void write_system(struct wr *x)
{
    const struct chat_request *req = x->req;
    bool is_open = false;
    for (size_t i = 0; i < req->n_messages; i++) {
        const struct chat_message *m = &req->messages[i];
        for (size_t k = 0; is_system(m) && k < m->n_parts; k++) {
            if (!is_open) {
                jw_key(&x->w, "systemInstruction");
                jw_begin_object(&x->w);
                jw_key(&x->w, "parts");
                jw_begin_array(&x->w);
            }
            is_open = true;
            write_part(x, m, &m->parts[k]);
        }
    }
    if (!is_open)
        return;
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

static void close_content(struct wr *x, const char **open_role)
{
    if (!*open_role)
        return;
    if (x->carried.p) { /* its part was the end of the turn: an empty text carries it */
        jw_begin_object(&x->w);
        jw_kv_z(&x->w, "text", "");
        jw_kv_str(&x->w, "thoughtSignature", x->carried);
        jw_end_object(&x->w);
        x->carried = (struct str){0};
    }
    jw_end_array(&x->w);
    jw_end_object(&x->w);
    *open_role = NULL;
}

static bool has_content(struct wr *x, const struct chat_message *m)
{
    for (size_t k = 0; k < m->n_parts; k++) {
        const struct chat_part *p = &m->parts[k];
        bool empty = p->type == CHAT_PART_TEXT && !p->text.n && !p->signature.p;
        bool foreign = p->type == CHAT_PART_REASONING && p->signature_from != DIALECT_GEMINI;
        if (!empty && !foreign)
            return true;
        if (foreign)
            lack_hint(x->lacks, "%s", wire_field(x->req, "messages.reasoning"));
    }
    return false;
}

static void write_contents(struct wr *x)
{
    const struct chat_request *req = x->req;
    const char *open_role = NULL;
    jw_key(&x->w, "contents");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_messages; i++) {
        const struct chat_message *m = &req->messages[i];
        const char *role = m->role == CHAT_ASSISTANT ? "model" : "user";
        if (is_system(m))
            continue;
        if (m->name.p)
            lack_hint(x->lacks, "messages.name");
        if (!has_content(x, m)) {
            if (m->role == CHAT_USER)
                lack_refuse(x->lacks, "messages[%d].content", m->at);
            continue;
        }
        if (open_role && strcmp(open_role, role) != 0)
            close_content(x, &open_role);
        if (!open_role) {
            jw_begin_object(&x->w);
            jw_kv_z(&x->w, "role", role);
            jw_key(&x->w, "parts");
            jw_begin_array(&x->w);
            open_role = role;
        }
        for (size_t k = 0; k < m->n_parts; k++)
            write_part(x, m, &m->parts[k]);
        for (size_t k = 0; m->role == CHAT_TOOL && k < m->n_parts; k++) {
            char path[PART_PATH_MAX];
            part_path(path, req, m, &m->parts[k]);
            write_result_media(x, &m->parts[k], path);
        }
    }
    close_content(x, &open_role);
    jw_end_array(&x->w);
}

/* ---- tools ---- */

static void write_declaration(struct wr *x, const struct chat_tool *t)
{
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "name", t->name);
    if (t->description.p)
        jw_kv_str(&x->w, "description", t->description);
    if (t->schema_json.p)
        jw_kv_raw(&x->w, "parametersJsonSchema", t->schema_json);
    jw_end_object(&x->w);
    if (t->strict == CHAT_YES)
        lack_hint(x->lacks, "tools.strict");
    if (t->cache != CHAT_CACHE_NONE)
        lack_hint(x->lacks, "cache_control");
}

static void write_tool_config(struct wr *x)
{
    const struct chat_request *req = x->req;
    if (req->tool_choice == CHAT_TOOLS_DEFAULT)
        return;
    jw_key(&x->w, "toolConfig");
    jw_begin_object(&x->w);
    jw_key(&x->w, "functionCallingConfig");
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "mode",
            req->tool_choice == CHAT_TOOLS_AUTO   ? "AUTO"
            : req->tool_choice == CHAT_TOOLS_NONE ? "NONE"
                                                  : "ANY");
    if (req->n_tool_names) {
        jw_key(&x->w, "allowedFunctionNames");
        jw_begin_array(&x->w);
        for (size_t i = 0; i < req->n_tool_names; i++)
            jw_str(&x->w, req->tool_names[i]);
        jw_end_array(&x->w);
    }
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

static void write_tools(struct wr *x)
{
    const struct chat_request *req = x->req;
    size_t n_functions = 0;
    if (req->n_tools == 0)
        return;
    if (x->t->quirks & QUIRK_NO_TOOLS) {
        lack_refuse(x->lacks, "tools");
        return;
    }
    if (req->parallel_tool_calls == CHAT_NO)
        lack_refuse(x->lacks, "%s", wire_field(req, "parallel_tool_calls"));
    for (size_t i = 0; i < req->n_tools; i++)
        n_functions += req->tools[i].name.p != NULL;
    jw_key(&x->w, "tools");
    jw_begin_array(&x->w);
    if (n_functions) {
        jw_begin_object(&x->w);
        jw_key(&x->w, "functionDeclarations");
        jw_begin_array(&x->w);
        for (size_t i = 0; i < req->n_tools; i++)
            if (req->tools[i].name.p)
                write_declaration(x, &req->tools[i]);
        jw_end_array(&x->w);
        jw_end_object(&x->w);
    }
    for (size_t i = 0; i < req->n_tools; i++) {
        if (req->tools[i].name.p)
            continue;
        if (req->tools[i].from == DIALECT_GEMINI)
            jw_raw(&x->w, req->tools[i].raw_json);
        else
            lack_refuse(x->lacks, "tools[%zu]", i);
    }
    jw_end_array(&x->w);
    write_tool_config(x);
}

/* ---- generationConfig ---- */

static void write_f64(struct wr *x, const char *key, const struct chat_f64 *v)
{
    if (v->is_set)
        jw_kv_f64(&x->w, key, v->v);
}

static void refuse_f64(struct wr *x, const char *field, const struct chat_f64 *v, double neutral)
{
    if (v->is_set && v->v != neutral)
        lack_refuse(x->lacks, "%s", wire_field(x->req, field));
}

static void write_sampling(struct wr *x)
{
    const struct chat_request *req = x->req;
    const struct chat_sampling *s = &req->sampling;
    write_f64(x, "temperature", &s->temperature);
    write_f64(x, "topP", &s->top_p);
    if (s->top_k.is_set && s->top_k.v > 0)
        jw_kv_i64(&x->w, "topK", s->top_k.v);
    write_f64(x, "presencePenalty", &s->presence_penalty);
    write_f64(x, "frequencyPenalty", &s->frequency_penalty);
    /* Its seeds have 32 bits. */
    if (s->seed.is_set && s->seed.v >= INT32_MIN && s->seed.v <= INT32_MAX)
        jw_kv_i64(&x->w, "seed", s->seed.v);
    else if (s->seed.is_set)
        lack_hint(x->lacks, "%s", wire_field(x->req, "seed"));
    refuse_f64(x, "repeat_penalty", &s->repeat_penalty, 1);
    refuse_f64(x, "min_p", &s->min_p, 0);
    refuse_f64(x, "typical_p", &s->typical_p, 1);
    if (s->min_tokens.is_set && s->min_tokens.v > 0)
        lack_refuse(x->lacks, "min_tokens");
    if (s->ignore_eos == CHAT_YES)
        lack_refuse(x->lacks, "ignore_eos");
    if (s->n_bias)
        lack_refuse(x->lacks, "logit_bias");
    if (req->n > 1 && (x->t->quirks & QUIRK_NO_N))
        lack_refuse(x->lacks, "%s", wire_field(x->req, "n"));
    else if (req->n > 1)
        jw_kv_i64(&x->w, "candidateCount", req->n);
    if (req->logprobs && (x->t->quirks & QUIRK_NO_LOGPROBS)) {
        lack_refuse(x->lacks, "%s", wire_field(x->req, "logprobs"));
    } else if (req->logprobs) {
        jw_kv_bool(&x->w, "responseLogprobs", true);
        if (req->top_logprobs)
            jw_kv_i64(&x->w, "logprobs", req->top_logprobs);
    }
    if (req->return_tokens_as_ids)
        lack_refuse(x->lacks, "return_tokens_as_token_ids");
    if (req->n_stops > 5 && !x->is_native) {
        lack_refuse(x->lacks, "%s", wire_field(x->req, "stop"));
    } else if (req->n_stops) {
        jw_key(&x->w, "stopSequences");
        jw_begin_array(&x->w);
        for (size_t i = 0; i < req->n_stops; i++)
            jw_str(&x->w, req->stops[i]);
        jw_end_array(&x->w);
    }
}

static void write_choice_format(struct wr *x)
{
    const struct chat_format *f = &x->req->format;
    jw_kv_z(&x->w, "responseMimeType", "text/x.enum");
    jw_key(&x->w, "responseSchema");
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", "STRING");
    jw_key(&x->w, "enum");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < f->n_choices; i++)
        jw_str(&x->w, f->choices[i]);
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

static void write_format(struct wr *x)
{
    const struct chat_format *f = &x->req->format;
    switch (f->type) {
    case CHAT_FORMAT_TEXT: return;
    case CHAT_FORMAT_CHOICE: write_choice_format(x); return;
    case CHAT_FORMAT_JSON: jw_kv_z(&x->w, "responseMimeType", "application/json"); return;
    case CHAT_FORMAT_SCHEMA:
        if (x->t->quirks & QUIRK_NO_SCHEMA) {
            lack_refuse(x->lacks, "%.*s", STR(f->field));
            return;
        }
        jw_kv_z(&x->w, "responseMimeType", "application/json");
        jw_kv_raw(&x->w, "responseJsonSchema", f->schema_json);
        return;
    case CHAT_FORMAT_REGEX:
    case CHAT_FORMAT_GRAMMAR: lack_refuse(x->lacks, "%.*s", STR(f->field)); return;
    }
}

static const char *thinking_level(enum chat_effort e)
{
    if (e <= CHAT_EFFORT_MINIMAL)
        return "minimal";
    if (e == CHAT_EFFORT_LOW)
        return "low";
    return e == CHAT_EFFORT_MEDIUM ? "medium" : "high";
}

static int64_t thinking_budget(enum chat_effort e)
{
    if (e == CHAT_EFFORT_NONE)
        return 0;
    if (e <= CHAT_EFFORT_LOW)
        return 1024;
    return e == CHAT_EFFORT_MEDIUM ? 8192 : 24576;
}

static void write_thinking(struct wr *x)
{
    const struct chat_reasoning *g = &x->req->reasoning;
    bool by_level = str_starts(x->t->model, S("gemini-3"));
    bool has_effort = g->effort != CHAT_EFFORT_UNSET;
    bool has_budget = g->budget_tokens.is_set || (g->is_off && !has_effort);
    if (!has_effort && !has_budget && g->show == CHAT_UNSET)
        return;
    if (x->t->quirks & QUIRK_NO_EFFORT) {
        lack_hint(x->lacks, "%s", wire_field(x->req, "reasoning_effort"));
        return;
    }
    jw_key(&x->w, "thinkingConfig");
    jw_begin_object(&x->w);
    if (has_effort && (by_level || x->is_native))
        jw_kv_z(&x->w, "thinkingLevel", thinking_level(g->effort));
    else if (has_effort && !has_budget)
        jw_kv_i64(&x->w, "thinkingBudget", thinking_budget(g->effort));
    else if (has_budget)
        jw_kv_i64(&x->w, "thinkingBudget", g->is_off ? 0 : g->budget_tokens.v);
    if (g->show != CHAT_UNSET)
        jw_kv_bool(&x->w, "includeThoughts", g->show == CHAT_YES);
    jw_end_object(&x->w);
}

/* Fields below generationConfig that are kept as they came; the path says where they stood. */
static void write_kept(struct wr *x, struct str under)
{
    for (size_t i = 0; i < x->req->n_fields; i++) {
        const struct chat_field *f = &x->req->fields[i];
        struct str name = f->name;
        if (under.n && !str_starts(name, under))
            continue;
        name = str_sub(name, under.n, name.n);
        if (str_find_char(name, '.', 0) != STR_NONE || str_find_char(name, '[', 0) != STR_NONE)
            continue;
        jw_key_str(&x->w, name);
        jw_raw(&x->w, f->json);
    }
}

static void write_config(struct wr *x)
{
    jw_key(&x->w, "generationConfig");
    jw_begin_object(&x->w);
    write_sampling(x);
    int64_t max_tokens = capped_max_tokens(x->req, x->t);
    if (max_tokens > 0)
        jw_kv_i64(&x->w, "maxOutputTokens", max_tokens);
    write_format(x);
    write_thinking(x);
    if (x->is_native)
        write_kept(x, S("generationConfig."));
    jw_end_object(&x->w);
}

/* ---- the whole ---- */

/* A model's name in a path: what is not unreserved is percent-encoded. */
static bool write_path(char *to, size_t size, struct str model, const char *action)
{
    size_t n = (size_t)snprintf(to, size, "/models/");
    for (size_t i = 0; i < model.n; i++) {
        unsigned char c = (unsigned char)model.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~' || c == '/';
        if (n + 4 > size)
            return false;
        n += (size_t)snprintf(to + n, size - n, plain ? "%c" : "%%%02X", c);
    }
    size_t need = strlen(action);
    if (n + need + 1 > size)
        return false;
    memcpy(to + n, action, need + 1);
    return true;
}

static const char *action_of(const struct chat_request *req)
{
    switch (req->op) {
    case CHAT_OP_COUNT_TOKENS: return ":countTokens";
    case CHAT_OP_EMBED: return req->n_inputs > 1 || req->is_batch ? ":batchEmbedContents" : ":embedContent";
    default: return req->is_stream ? ":streamGenerateContent?alt=sse" : ":generateContent";
    }
}

static void write_embed_one(struct wr *x, const struct chat_prompt *p, bool is_batch)
{
    const struct chat_request *req = x->req;
    jw_begin_object(&x->w);
    if (is_batch) {
        struct str name = arena_printf(x->a, "models/%.*s", STR(x->t->model));
        jw_kv_str(&x->w, "model", name.p ? name : x->t->model);
    }
    jw_key(&x->w, "content");
    jw_begin_object(&x->w);
    jw_key(&x->w, "parts");
    jw_begin_array(&x->w);
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "text", p->text.p ? p->text : S(""));
    jw_end_object(&x->w);
    jw_end_array(&x->w);
    jw_end_object(&x->w);
    if (req->task_type.p)
        jw_kv_str(&x->w, "taskType", req->task_type);
    if (req->embed_title.p)
        jw_kv_str(&x->w, "title", req->embed_title);
    if (req->dimensions.is_set)
        jw_kv_i64(&x->w, "outputDimensionality", req->dimensions.v);
    jw_end_object(&x->w);
}

static void write_embed(struct wr *x)
{
    const struct chat_request *req = x->req;
    bool is_batch = req->n_inputs > 1 || req->is_batch;
    for (size_t i = 0; i < req->n_inputs; i++)
        if (!req->inputs[i].text.p) { /* token ids of a foreign vocabulary */
            lack_refuse(x->lacks, "input");
            return;
        }
    if (req->user.p)
        lack_hint(x->lacks, "%s", wire_field(x->req, "user"));
    lack_fields(x->lacks, req);
    if (!is_batch) {
        write_embed_one(x, &req->inputs[0], false);
        return;
    }
    jw_begin_object(&x->w);
    jw_key(&x->w, "requests");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_inputs; i++)
        write_embed_one(x, &req->inputs[i], true);
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

static void write_generate(struct wr *x)
{
    const struct chat_request *req = x->req;
    bool is_count = req->op == CHAT_OP_COUNT_TOKENS;
    jw_begin_object(&x->w);
    if (is_count) { /* counting a whole request wants it wrapped, with the model in it */
        struct str name = arena_printf(x->a, "models/%.*s", STR(x->t->model));
        jw_key(&x->w, "generateContentRequest");
        jw_begin_object(&x->w);
        jw_kv_str(&x->w, "model", name.p ? name : x->t->model);
    }
    write_system(x);
    write_contents(x);
    write_tools(x);
    write_config(x);
    if (x->is_native) {
        write_kept(x, S(""));
    } else {
        lack_fields(x->lacks, req);
        if (req->user.p)
            lack_hint(x->lacks, "%s", wire_field(x->req, "user"));
        if (req->metadata_json.p)
            lack_hint(x->lacks, "metadata");
        if (req->cache != CHAT_CACHE_NONE)
            lack_hint(x->lacks, "cache_control");
    }
    jw_end_object(&x->w);
    if (is_count)
        jw_end_object(&x->w);
}

int gemini_write_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out)
{
    struct wr x = {.w = json_writer(out->body),
                   .req = req,
                   .t = target,
                   .a = a,
                   .lacks = &out->lacks,
                   .is_native = req->from == DIALECT_GEMINI};
    if (req->op == CHAT_OP_COMPLETE) {
        lack_refuse(&out->lacks, "prompt");
        return OK;
    }
    if (!write_path(out->path, sizeof(out->path), target->model, action_of(req)))
        return ERR_LIMIT;
    if (req->op == CHAT_OP_EMBED)
        write_embed(&x);
    else
        write_generate(&x);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}

static struct str begun_answer(const struct chat_request *req, struct arena *a)
{
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    buf_puts(&b, "{\"role\":\"model\",\"parts\":[{\"text\":");
    json_quote(&b, req->messages[req->n_messages - 1].parts[0].text);
    buf_puts(&b, "}]}");
    struct str item = buf_ok(&b) ? arena_str(a, buf_str(&b)) : (struct str){0};
    buf_deinit(&b);
    return item;
}

int gemini_pass_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                        struct dialect_out *out)
{
    struct splice edits[2];
    size_t n = 0;
    struct json root = json_root(req->doc);
    if (!write_path(out->path, sizeof(out->path), target->model, action_of(req)))
        return ERR_LIMIT;
    /* In a batch and a count the model stands in the body as well. */
    bool has_inner_model = json_exists(json_get(root, "requests")) ||
                           json_exists(json_get(root, "generateContentRequest")) ||
                           json_exists(json_get(root, "generate_content_request"));
    bool is_one_content = req->is_continued && !json_is(json_get(root, "contents"), JSON_ARRAY);
    if (has_inner_model || is_one_content)
        return gemini_write_request(req, target, a, out);
    if (req->is_continued) {
        struct str item = begun_answer(req, a);
        struct str list = item.p ? json_list_plus(a, json_get(root, "contents"), item) : (struct str){0};
        if (!list.p)
            return ERR_NOMEM;
        edits[n++] = (struct splice){"contents", NULL, list};
    }
    int64_t cap = capped_max_tokens(req, target);
    if (req->op == CHAT_OP_GENERATE && cap > 0 &&
        (!req->max_tokens.is_set || cap < req->max_tokens.v || req->is_continued)) {
        struct str v = arena_printf(a, "%lld", (long long)cap);
        if (!v.p)
            return ERR_NOMEM;
        bool is_snake = json_exists(json_get(root, "generation_config"));
        const char *config = is_snake ? "generation_config" : "generationConfig";
        bool has_snake_key = json_exists(json_get(json_get(root, config), "max_output_tokens"));
        edits[n++] = (struct splice){config, has_snake_key ? "max_output_tokens" : "maxOutputTokens", v};
    }
    splice_write(req->doc, edits, n, out->body);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}
