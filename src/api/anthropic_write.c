/* anthropic_write.c - Messages and count_tokens: writing a request to a provider.
 *
 * The dialect wants: system prompts apart, strictly user and assistant, every tool result of a
 * turn in one user message and first in it, ids of [A-Za-z0-9_-], arguments as objects, no empty
 * text, thinking with its own signatures only.  Start reading at anthropic_write_request(). */
#include <stdio.h>

#include "api/anthropic_int.h"

struct wr {
    struct json_writer w;
    const struct chat_request *req;
    const struct dialect_target *t;
    struct arena *a;
    struct dialect_lacks *lacks;
    bool is_native;
};

/* ---- ids ---- */

static const char id_mark[] = "sxid_";

static bool id_is_plain(struct str id)
{
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '-';
        if (!ok)
            return false;
    }
    return id.n > 0 && !str_starts(id, str_c(id_mark));
}

void anthropic_id_write(struct json_writer *w, struct str id)
{
    if (id_is_plain(id)) {
        jw_str(w, id);
        return;
    }
    jw_raw(w, S("\""));
    buf_puts(w->out, id_mark);
    for (size_t i = 0; i < id.n; i++) {
        unsigned char c = (unsigned char)id.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        if (plain)
            buf_putc(w->out, (char)c);
        else
            buf_printf(w->out, "_%02x", c);
    }
    buf_putc(w->out, '"');
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct str anthropic_id_read(struct str id, struct arena *a)
{
    if (!str_starts(id, str_c(id_mark)))
        return id;
    char *p = arena_alloc(a, id.n + 1);
    size_t n = 0;
    if (!p)
        return (struct str){0};
    for (size_t i = sizeof(id_mark) - 1; i < id.n; i++) {
        if (id.p[i] != '_') {
            p[n++] = id.p[i];
            continue;
        }
        int hi = i + 2 < id.n ? hex(id.p[i + 1]) : -1;
        int lo = i + 2 < id.n ? hex(id.p[i + 2]) : -1;
        if (hi < 0 || lo < 0)
            return id; /* not one of ours after all */
        p[n++] = (char)(hi << 4 | lo);
        i += 2;
    }
    struct str back = str_of(p, n);
    return str_is_utf8(back) ? back : id;
}

bool anthropic_uses_json_tool(const struct chat_request *req)
{
    const struct chat_reasoning *g = &req->reasoning;
    return req->from != DIALECT_ANTHROPIC && req->format.type == CHAT_FORMAT_JSON && req->n_tools == 0 &&
           g->effort <= CHAT_EFFORT_MINIMAL && !g->budget_tokens.is_set;
}

/* ---- parts ---- */

static void write_cache_control(struct wr *x, enum chat_cache_mark mark)
{
    if (mark == CHAT_CACHE_5M)
        jw_kv_raw(&x->w, "cache_control", S("{\"type\":\"ephemeral\"}"));
    else if (mark == CHAT_CACHE_1H)
        jw_kv_raw(&x->w, "cache_control", S("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"));
}

static void begin_block(struct wr *x, const char *type)
{
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", type);
}

static void write_text(struct wr *x, struct str text, enum chat_cache_mark mark)
{
    if (text.n == 0)
        return; /* empty text blocks are refused by the provider and say nothing */
    begin_block(x, "text");
    jw_kv_str(&x->w, "text", text);
    write_cache_control(x, mark);
    jw_end_object(&x->w);
}

/* base64, url or file; false if the media has none of them. */
static bool write_source(struct wr *x, const struct chat_media *m, const char *mime_default)
{
    bool is_web = str_starts(m->url, S("http://")) || str_starts(m->url, S("https://"));
    if (!m->data.p && !m->file_id.p && !is_web)
        return false;
    jw_key(&x->w, "source");
    jw_begin_object(&x->w);
    if (m->data.p) {
        jw_kv_z(&x->w, "type", "base64");
        jw_kv_str(&x->w, "media_type", m->mime.p ? m->mime : str_c(mime_default));
        jw_kv_str(&x->w, "data", m->data);
    } else if (m->file_id.p) {
        jw_kv_z(&x->w, "type", "file");
        jw_kv_str(&x->w, "file_id", m->file_id);
    } else {
        jw_kv_z(&x->w, "type", "url");
        jw_kv_str(&x->w, "url", m->url);
    }
    jw_end_object(&x->w);
    return true;
}

static void write_image(struct wr *x, const struct chat_part *p, const char *path)
{
    /* A file id of another provider's store means nothing here. */
    if ((p->media.file_id.p && !x->is_native) || (x->t->quirks & QUIRK_NO_IMAGES)) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    begin_block(x, "image");
    if (!write_source(x, &p->media, "image/png"))
        lack_refuse(x->lacks, "%s", path);
    write_cache_control(x, p->cache);
    jw_end_object(&x->w);
    if (p->media.detail.p && !str_eq(p->media.detail, S("auto")))
        lack_hint(x->lacks, "messages.image_url.detail");
}

static void write_leaves(struct wr *x, const struct chat_part *parts, size_t n, const char *path);

static void write_text_source(struct wr *x, const struct chat_part *p, const char *path)
{
    jw_key(&x->w, "source");
    jw_begin_object(&x->w);
    if (p->media.text.p) {
        jw_kv_z(&x->w, "type", "text");
        jw_kv_z(&x->w, "media_type", "text/plain");
        jw_kv_str(&x->w, "data", p->media.text);
    } else {
        jw_kv_z(&x->w, "type", "content");
        jw_key(&x->w, "content");
        jw_begin_array(&x->w);
        write_leaves(x, p->parts, p->n_parts, path);
        jw_end_array(&x->w);
    }
    jw_end_object(&x->w);
}

/* Base64 of a text document becomes the text: this dialect's base64 source is for PDF only. */
static bool write_decoded_text(struct wr *x, const struct chat_media *m)
{
    struct str text = base64_read(m->data, x->a);
    if (!text.p || !str_is_utf8(text))
        return false;
    jw_key(&x->w, "source");
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", "text");
    jw_kv_z(&x->w, "media_type", "text/plain");
    jw_kv_str(&x->w, "data", text);
    jw_end_object(&x->w);
    return true;
}

static void write_document(struct wr *x, const struct chat_part *p, const char *path)
{
    bool ok = !(p->media.file_id.p && !x->is_native);
    begin_block(x, "document");
    if (p->media.text.p || p->n_parts)
        write_text_source(x, p, path);
    else if (ok && p->media.data.p && str_starts(p->media.mime, S("text/")))
        ok = write_decoded_text(x, &p->media);
    else if (ok && p->media.data.p && !str_eq(p->media.mime, S("application/pdf")))
        ok = false;
    else
        ok = ok && write_source(x, &p->media, "application/pdf");
    if (!ok)
        lack_refuse(x->lacks, "%s", path);
    if (p->media.name.p)
        jw_kv_str(&x->w, "title", p->media.name);
    if (p->media.context.p)
        jw_kv_str(&x->w, "context", p->media.context);
    if (p->is_cited)
        jw_kv_raw(&x->w, "citations", S("{\"enabled\":true}"));
    write_cache_control(x, p->cache);
    jw_end_object(&x->w);
}

static void write_search_result(struct wr *x, const struct chat_part *p, const char *path)
{
    begin_block(x, "search_result");
    jw_kv_str(&x->w, "source", p->source.p ? p->source : S(""));
    jw_kv_str(&x->w, "title", p->media.name.p ? p->media.name : S(""));
    jw_key(&x->w, "content");
    jw_begin_array(&x->w);
    write_leaves(x, p->parts, p->n_parts, path);
    jw_end_array(&x->w);
    if (p->is_cited)
        jw_kv_raw(&x->w, "citations", S("{\"enabled\":true}"));
    write_cache_control(x, p->cache);
    jw_end_object(&x->w);
}

static void write_leaf(struct wr *x, const struct chat_part *p, const char *path)
{
    switch (p->type) {
    case CHAT_PART_TEXT:
    case CHAT_PART_REFUSAL: write_text(x, p->text, p->cache); return;
    case CHAT_PART_IMAGE: write_image(x, p, path); return;
    case CHAT_PART_DOCUMENT: write_document(x, p, path); return;
    case CHAT_PART_SEARCH_RESULT: write_search_result(x, p, path); return;
    case CHAT_PART_OTHER:
        if (p->from == DIALECT_ANTHROPIC)
            jw_raw(&x->w, p->raw_json);
        else
            lack_refuse(x->lacks, "%s", path);
        return;
    case CHAT_PART_AUDIO:
    case CHAT_PART_VIDEO:
    case CHAT_PART_REASONING:
    case CHAT_PART_TOOL_CALL:
    case CHAT_PART_TOOL_RESULT: lack_refuse(x->lacks, "%s", path); return;
    }
}

static void write_leaves(struct wr *x, const struct chat_part *parts, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        write_leaf(x, &parts[i], path);
}

static void write_tool_result(struct wr *x, const struct chat_part *p, const char *path)
{
    begin_block(x, "tool_result");
    jw_key(&x->w, "tool_use_id");
    anthropic_id_write(&x->w, p->id);
    if (p->n_parts == 1 && p->parts[0].type == CHAT_PART_TEXT && !p->parts[0].cache) {
        jw_kv_str(&x->w, "content", p->parts[0].text);
    } else if (p->n_parts) {
        jw_key(&x->w, "content");
        jw_begin_array(&x->w);
        write_leaves(x, p->parts, p->n_parts, path);
        jw_end_array(&x->w);
    }
    if (p->is_error)
        jw_kv_bool(&x->w, "is_error", true);
    write_cache_control(x, p->cache);
    jw_end_object(&x->w);
}

static void write_tool_use(struct wr *x, const struct chat_part *p, const char *path)
{
    struct str args = {0};
    if (!args_object(p, x->a, &args)) {
        lack_refuse(x->lacks, "%s", path);
        return;
    }
    begin_block(x, "tool_use");
    jw_key(&x->w, "id");
    anthropic_id_write(&x->w, p->id);
    jw_kv_str(&x->w, "name", p->name);
    jw_kv_raw(&x->w, "input", args);
    write_cache_control(x, p->cache);
    jw_end_object(&x->w);
}

/* Thinking goes back only where it came from: a foreign signature would be refused. */
static void write_reasoning(struct wr *x, const struct chat_part *p)
{
    if (p->signature_from != DIALECT_ANTHROPIC || !p->signature.p) {
        lack_hint(x->lacks, "%s", wire_field(x->req, "messages.reasoning"));
        return;
    }
    begin_block(x, p->is_redacted ? "redacted_thinking" : "thinking");
    if (p->is_redacted) {
        jw_kv_str(&x->w, "data", p->signature);
    } else {
        jw_kv_str(&x->w, "thinking", p->text);
        jw_kv_str(&x->w, "signature", p->signature);
    }
    jw_end_object(&x->w);
}

static void write_citations(struct wr *x, const struct chat_part *p)
{
    jw_key(&x->w, "citations");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < p->n_citations; i++)
        jw_raw(&x->w, p->citations[i].raw_json);
    jw_end_array(&x->w);
}

static void write_assistant_text(struct wr *x, const struct chat_part *p, bool is_last)
{
    struct str text = p->text;
    /* The provider refuses a prefill that ends in white space. */
    while (is_last && text.n && strchr(" \t\r\n", text.p[text.n - 1]))
        text.n--;
    if (!p->n_citations || p->citations[0].from != DIALECT_ANTHROPIC) {
        if (p->n_citations)
            lack_hint(x->lacks, "messages.annotations");
        write_text(x, text, p->cache);
        return;
    }
    begin_block(x, "text");
    jw_kv_str(&x->w, "text", text);
    write_citations(x, p);
    write_cache_control(x, p->cache);
    jw_end_object(&x->w);
}

static void write_part(struct wr *x, const struct chat_message *m, const struct chat_part *p, bool is_last)
{
    char path[PART_PATH_MAX];
    part_path(path, x->req, m, p);
    if (p->signature.p && p->type != CHAT_PART_REASONING)
        lack_hint(x->lacks, "%s",
                  wire_field(x->req, "messages.reasoning")); /* Gemini's proof on a text or call */
    switch (p->type) {
    case CHAT_PART_TOOL_RESULT: write_tool_result(x, p, path); return;
    case CHAT_PART_TOOL_CALL: write_tool_use(x, p, path); return;
    case CHAT_PART_REASONING: write_reasoning(x, p); return;
    case CHAT_PART_TEXT:
        if (m->role == CHAT_ASSISTANT) {
            write_assistant_text(x, p, is_last);
            return;
        }
        break;
    default: break;
    }
    write_leaf(x, p, path);
}

/* ---- messages ---- */

static bool is_system(const struct chat_message *m)
{
    return m->role == CHAT_SYSTEM || m->role == CHAT_DEVELOPER;
}

/* All system prompts, wherever they stood, before the first message.  A client of this dialect
 * that put one between messages gets it there. */
static bool goes_first(const struct wr *x, const struct chat_message *m)
{
    return is_system(m) && (!x->is_native || m->at < 0);
}

static void write_system(struct wr *x)
{
    const struct chat_request *req = x->req;
    size_t last_m = 0;
    bool any = false;
    for (size_t i = 0; i < req->n_messages; i++)
        for (size_t k = 0; goes_first(x, &req->messages[i]) && k < req->messages[i].n_parts; k++)
            if (req->messages[i].parts[k].text.n) {
                any = true;
                last_m = i;
            }
    if (!any)
        return;
    jw_key(&x->w, "system");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_messages; i++) {
        const struct chat_message *m = &req->messages[i];
        for (size_t k = 0; goes_first(x, m) && k < m->n_parts; k++) {
            enum chat_cache_mark mark = m->parts[k].cache;
            bool is_end = i == last_m && k + 1 == m->n_parts;
            char path[PART_PATH_MAX];
            part_path(path, req, m, &m->parts[k]);
            if (m->parts[k].type != CHAT_PART_TEXT) {
                lack_refuse(x->lacks, "%s", path);
                continue;
            }
            if (is_end && mark == CHAT_CACHE_NONE && x->t->is_auto_cache && !x->is_native)
                mark = CHAT_CACHE_5M;
            write_text(x, m->parts[k].text, mark);
        }
    }
    jw_end_array(&x->w);
}

static const char *wire_role(const struct chat_message *m)
{
    if (m->role == CHAT_ASSISTANT)
        return "assistant";
    return is_system(m) ? "system" : "user";
}

static bool has_content(const struct wr *x, const struct chat_message *m)
{
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *p = &m->parts[i];
        bool empty = (p->type == CHAT_PART_TEXT || p->type == CHAT_PART_REFUSAL) && !p->text.n;
        bool foreign = p->type == CHAT_PART_REASONING && p->signature_from != DIALECT_ANTHROPIC;
        if (!empty && !foreign)
            return true;
        if (foreign)
            lack_hint(x->lacks, "%s", wire_field(x->req, "messages.reasoning"));
    }
    return false;
}

static void write_messages(struct wr *x)
{
    const struct chat_request *req = x->req;
    const char *open_role = NULL;
    jw_key(&x->w, "messages");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_messages; i++) {
        const struct chat_message *m = &req->messages[i];
        if (goes_first(x, m))
            continue;
        if (m->name.p)
            lack_hint(x->lacks, "messages.name");
        if (!has_content(x, m)) {
            if (m->role == CHAT_USER)
                lack_refuse(x->lacks, "messages[%d].content", m->at);
            continue;
        }
        const char *role = wire_role(m);
        if (open_role && strcmp(open_role, role) != 0) {
            jw_end_array(&x->w);
            jw_end_object(&x->w);
            open_role = NULL;
        }
        if (!open_role) {
            jw_begin_object(&x->w);
            jw_kv_z(&x->w, "role", role);
            jw_key(&x->w, "content");
            jw_begin_array(&x->w);
            open_role = role;
        }
        bool is_last = i + 1 == req->n_messages;
        for (size_t k = 0; k < m->n_parts; k++)
            write_part(x, m, &m->parts[k], is_last && k + 1 == m->n_parts);
    }
    if (open_role) {
        jw_end_array(&x->w);
        jw_end_object(&x->w);
    }
    jw_end_array(&x->w);
}

/* ---- tools ---- */

static void write_tool(struct wr *x, const struct chat_tool *t, size_t i)
{
    if (!t->name.p) {
        if (t->from == DIALECT_ANTHROPIC)
            jw_raw(&x->w, t->raw_json);
        else
            lack_refuse(x->lacks, "tools[%zu]", i);
        return;
    }
    jw_begin_object(&x->w);
    jw_kv_str(&x->w, "name", t->name);
    if (t->description.p)
        jw_kv_str(&x->w, "description", t->description);
    jw_kv_raw(&x->w, "input_schema",
              t->schema_json.p ? t->schema_json : S("{\"type\":\"object\",\"properties\":{}}"));
    if (t->strict == CHAT_YES)
        jw_kv_bool(&x->w, "strict", true);
    write_cache_control(x, t->cache);
    jw_end_object(&x->w);
}

static void write_tool_choice(struct wr *x)
{
    const struct chat_request *req = x->req;
    if (req->tool_choice == CHAT_TOOLS_DEFAULT && req->parallel_tool_calls == CHAT_UNSET)
        return;
    bool is_named = req->n_tool_names == 1;
    if (req->n_tool_names > 1) {
        lack_refuse(x->lacks, "%s", wire_field(x->req, "tool_choice"));
        return;
    }
    jw_key(&x->w, "tool_choice");
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type",
            req->tool_choice == CHAT_TOOLS_NONE       ? "none"
            : is_named                                ? "tool"
            : req->tool_choice == CHAT_TOOLS_REQUIRED ? "any"
                                                      : "auto");
    if (is_named)
        jw_kv_str(&x->w, "name", req->tool_names[0]);
    if (req->parallel_tool_calls != CHAT_UNSET && req->tool_choice != CHAT_TOOLS_NONE)
        jw_kv_bool(&x->w, "disable_parallel_tool_use", req->parallel_tool_calls == CHAT_NO);
    jw_end_object(&x->w);
}

static void write_tools(struct wr *x)
{
    const struct chat_request *req = x->req;
    if (anthropic_uses_json_tool(req)) {
        jw_kv_raw(&x->w, "tools",
                  S("[{\"name\":\"" ANTHROPIC_JSON_TOOL "\",\"description\":\"Gives the answer as one JSON "
                    "object.\",\"input_schema\":{\"type\":\"object\"}}]"));
        jw_kv_raw(&x->w, "tool_choice", S("{\"type\":\"tool\",\"name\":\"" ANTHROPIC_JSON_TOOL "\"}"));
        return;
    }
    if (req->n_tools == 0)
        return;
    if (x->t->quirks & QUIRK_NO_TOOLS) {
        lack_refuse(x->lacks, "tools");
        return;
    }
    jw_key(&x->w, "tools");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_tools; i++)
        write_tool(x, &req->tools[i], i);
    jw_end_array(&x->w);
    write_tool_choice(x);
}

/* ---- thinking, format, sampling ---- */

static bool forces_call(const struct chat_request *req)
{
    return req->tool_choice >= CHAT_TOOLS_REQUIRED;
}

/* With thinking on, the provider wants the last turn's calls to follow their signed thinking. */
static bool history_allows_thinking(const struct chat_request *req)
{
    for (size_t i = req->n_messages; i-- > 0;) {
        const struct chat_message *m = &req->messages[i];
        bool has_call = false, has_signed = false;
        if (m->role != CHAT_ASSISTANT)
            continue;
        for (size_t k = 0; k < m->n_parts; k++) {
            has_call |= m->parts[k].type == CHAT_PART_TOOL_CALL;
            has_signed |= m->parts[k].type == CHAT_PART_REASONING && m->parts[k].signature.p &&
                          m->parts[k].signature_from == DIALECT_ANTHROPIC;
        }
        return !has_call || has_signed;
    }
    return true;
}

static int64_t wanted_budget(const struct chat_reasoning *g)
{
    if (g->budget_tokens.is_set && g->budget_tokens.v >= 0)
        return g->budget_tokens.v;
    switch (g->effort) {
    case CHAT_EFFORT_LOW: return 2048;
    case CHAT_EFFORT_MEDIUM: return 8192;
    case CHAT_EFFORT_HIGH: return 16384;
    case CHAT_EFFORT_XHIGH:
    case CHAT_EFFORT_MAX: return 32768;
    default: return g->budget_tokens.is_set ? 8192 : 0; /* -1: as much as it likes */
    }
}

/* A wish for thinking from another dialect: granted where the provider's conditions for it hold
 * (temperature untouched, no forced call, room under max_tokens), else a dropped hint. */
static bool write_foreign_thinking(struct wr *x, int64_t max_tokens)
{
    const struct chat_request *req = x->req;
    const struct chat_reasoning *g = &req->reasoning;
    const struct chat_sampling *s = &req->sampling;
    int64_t budget = g->is_off ? 0 : wanted_budget(g);
    if (budget <= 0)
        return false;
    if (budget > max_tokens / 2)
        budget = max_tokens / 2;
    bool possible = (!s->temperature.is_set || s->temperature.v == 1) && !s->top_k.is_set &&
                    (!s->top_p.is_set || s->top_p.v >= 0.95) && !forces_call(req) &&
                    !anthropic_uses_json_tool(req) && history_allows_thinking(req);
    if (x->t->quirks & QUIRK_ADAPTIVE_THINKING)
        budget = 1024;
    if (!possible || budget < 1024) {
        lack_hint(x->lacks, "%s", wire_field(x->req, "reasoning_effort"));
        return false;
    }
    if (x->t->quirks & QUIRK_ADAPTIVE_THINKING) {
        jw_kv_raw(&x->w, "thinking", S("{\"type\":\"adaptive\"}"));
        return true;
    }
    jw_key(&x->w, "thinking");
    jw_begin_object(&x->w);
    jw_kv_z(&x->w, "type", "enabled");
    jw_kv_i64(&x->w, "budget_tokens", budget);
    jw_end_object(&x->w);
    return true;
}

static void write_native_thinking(struct wr *x)
{
    struct json v = json_get(json_root(x->req->doc), "thinking");
    if (json_is(v, JSON_OBJECT))
        jw_kv_raw(&x->w, "thinking", json_span(v));
}

static void write_output_config(struct wr *x, bool is_thinking)
{
    const struct chat_request *req = x->req;
    const struct chat_format *f = &req->format;
    bool has_schema = false, has_effort;
    switch (f->type) {
    case CHAT_FORMAT_TEXT: break;
    case CHAT_FORMAT_JSON:
        if (!anthropic_uses_json_tool(req))
            lack_refuse(x->lacks, "%.*s", STR(f->field));
        break;
    case CHAT_FORMAT_SCHEMA:
        has_schema = !(x->t->quirks & QUIRK_NO_SCHEMA);
        if (!has_schema)
            lack_refuse(x->lacks, "%.*s", STR(f->field));
        break;
    case CHAT_FORMAT_REGEX:
    case CHAT_FORMAT_CHOICE:
    case CHAT_FORMAT_GRAMMAR: lack_refuse(x->lacks, "%.*s", STR(f->field)); break;
    }
    enum chat_effort effort = req->reasoning.effort;
    /* Effort of a foreign client speaks of thinking; models without it do not know the field. */
    has_effort = effort >= CHAT_EFFORT_LOW &&
                 (x->is_native || (is_thinking && (x->t->quirks & QUIRK_ADAPTIVE_THINKING)));
    if (!has_schema && !has_effort)
        return;
    jw_key(&x->w, "output_config");
    jw_begin_object(&x->w);
    if (has_effort)
        jw_kv_z(&x->w, "effort", chat_effort_name(effort));
    if (has_schema) {
        jw_key(&x->w, "format");
        jw_begin_object(&x->w);
        jw_kv_z(&x->w, "type", "json_schema");
        jw_kv_raw(&x->w, "schema", f->schema_json);
        jw_end_object(&x->w);
    }
    jw_end_object(&x->w);
}

static void refuse_f64(struct wr *x, const char *field, const struct chat_f64 *v, double neutral)
{
    if (v->is_set && v->v != neutral)
        lack_refuse(x->lacks, "%s", wire_field(x->req, field));
}

static void refuse_i64(struct wr *x, const char *field, const struct chat_i64 *v, int64_t neutral)
{
    if (v->is_set && v->v != neutral)
        lack_refuse(x->lacks, "%s", wire_field(x->req, field));
}

static void write_sampling(struct wr *x)
{
    const struct chat_request *req = x->req;
    const struct chat_sampling *s = &req->sampling;
    if (s->temperature.is_set && s->temperature.v > 1)
        lack_refuse(x->lacks, "%s", wire_field(x->req, "temperature"));
    else if (s->temperature.is_set)
        jw_kv_f64(&x->w, "temperature", s->temperature.v);
    if (s->top_p.is_set)
        jw_kv_f64(&x->w, "top_p", s->top_p.v);
    if (s->top_k.is_set && s->top_k.v > 0)
        jw_kv_i64(&x->w, "top_k", s->top_k.v);
    refuse_f64(x, "presence_penalty", &s->presence_penalty, 0);
    refuse_f64(x, "frequency_penalty", &s->frequency_penalty, 0);
    refuse_f64(x, "repeat_penalty", &s->repeat_penalty, 1);
    refuse_f64(x, "min_p", &s->min_p, 0);
    refuse_f64(x, "typical_p", &s->typical_p, 1);
    refuse_i64(x, "min_tokens", &s->min_tokens, 0);
    if (s->seed.is_set)
        lack_hint(x->lacks, "%s", wire_field(x->req, "seed"));
    if (s->n_bias)
        lack_refuse(x->lacks, "logit_bias");
    if (s->ignore_eos == CHAT_YES)
        lack_refuse(x->lacks, "ignore_eos");
    if (req->n > 1)
        lack_refuse(x->lacks, "%s", wire_field(x->req, "n"));
    if (req->logprobs)
        lack_refuse(x->lacks, "%s", wire_field(x->req, "logprobs"));
    if (req->n_stops == 0)
        return;
    for (size_t i = 0; i < req->n_stops; i++)
        if (str_trim(req->stops[i]).n == 0 && !x->is_native) /* the provider wants more than space */
            lack_refuse(x->lacks, "%s", wire_field(x->req, "stop"));
    jw_key(&x->w, "stop_sequences");
    jw_begin_array(&x->w);
    for (size_t i = 0; i < req->n_stops; i++)
        jw_str(&x->w, req->stops[i]);
    jw_end_array(&x->w);
}

/* Fields that only a client of this dialect can have sent. */
static void write_kept(struct wr *x)
{
    for (size_t i = 0; i < x->req->n_fields; i++) {
        const struct chat_field *f = &x->req->fields[i];
        struct json top = json_get_str(json_root(x->req->doc), f->name);
        if (json_span(top).p == f->json.p) {
            jw_key_str(&x->w, f->name);
            jw_raw(&x->w, f->json);
        } else {
            lack_hint(x->lacks, "%.*s", STR(f->name));
        }
    }
}

static bool has_marks(const struct chat_request *req)
{
    bool any = req->cache != CHAT_CACHE_NONE;
    for (size_t i = 0; i < req->n_tools; i++)
        any |= req->tools[i].cache != CHAT_CACHE_NONE;
    for (size_t i = 0; i < req->n_messages; i++)
        for (size_t k = 0; k < req->messages[i].n_parts; k++)
            any |= req->messages[i].parts[k].cache != CHAT_CACHE_NONE;
    return any;
}

/* Marking the whole request lets the provider move its breakpoint along the conversation. */
static void write_request_cache(struct wr *x)
{
    if (x->req->cache != CHAT_CACHE_NONE)
        write_cache_control(x, x->req->cache);
    else if (x->t->is_auto_cache && !has_marks(x->req))
        write_cache_control(x, CHAT_CACHE_5M);
}

static void set_path(struct dialect_out *out, const struct chat_request *req)
{
    snprintf(out->path, sizeof(out->path), "%s",
             req->op == CHAT_OP_COUNT_TOKENS ? "/messages/count_tokens" : "/messages");
    out->headers[out->n_headers++] = (struct chat_header){S("anthropic-version"), S("2023-06-01")};
    if (req->beta.n && req->from == DIALECT_ANTHROPIC)
        out->headers[out->n_headers++] = (struct chat_header){S("anthropic-beta"), req->beta};
}

int anthropic_write_request(const struct chat_request *req, const struct dialect_target *target,
                            struct arena *a, struct dialect_out *out)
{
    struct wr x = {.w = json_writer(out->body),
                   .req = req,
                   .t = target,
                   .a = a,
                   .lacks = &out->lacks,
                   .is_native = req->from == DIALECT_ANTHROPIC};
    set_path(out, req);
    if (req->op == CHAT_OP_COMPLETE || req->op == CHAT_OP_EMBED) {
        lack_refuse(&out->lacks, req->op == CHAT_OP_COMPLETE ? "prompt" : "input");
        return OK;
    }
    int64_t max_tokens = capped_max_tokens(req, target);
    if (max_tokens == 0)
        max_tokens = target->max_tokens_default > 0 ? target->max_tokens_default : 4096;
    bool is_count = req->op == CHAT_OP_COUNT_TOKENS;
    jw_begin_object(&x.w);
    if (!(target->quirks & QUIRK_NO_MODEL_FIELD))
        jw_kv_str(&x.w, "model", target->model);
    if (!is_count)
        jw_kv_i64(&x.w, "max_tokens", max_tokens);
    write_system(&x);
    write_messages(&x);
    write_tools(&x);
    bool is_thinking = false;
    if (x.is_native)
        write_native_thinking(&x);
    else
        is_thinking = write_foreign_thinking(&x, max_tokens);
    write_output_config(&x, is_thinking);
    if (!is_count)
        write_sampling(&x);
    if (req->user.p && !is_count) {
        jw_key(&x.w, "metadata");
        jw_begin_object(&x.w);
        jw_kv_str(&x.w, "user_id", req->user);
        jw_end_object(&x.w);
    }
    if (req->metadata_json.p)
        lack_hint(&out->lacks, "metadata");
    write_request_cache(&x);
    if (x.is_native)
        write_kept(&x);
    else
        lack_fields(&out->lacks, req);
    if (req->is_stream)
        jw_kv_bool(&x.w, "stream", true);
    jw_end_object(&x.w);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}

static struct str begun_answer(const struct chat_request *req, struct arena *a)
{
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    buf_puts(&b, "{\"role\":\"assistant\",\"content\":");
    json_quote(&b, req->messages[req->n_messages - 1].parts[0].text);
    buf_putc(&b, '}');
    struct str item = buf_ok(&b) ? arena_str(a, buf_str(&b)) : (struct str){0};
    buf_deinit(&b);
    return item;
}

int anthropic_pass_request(const struct chat_request *req, const struct dialect_target *target,
                           struct arena *a, struct dialect_out *out)
{
    struct splice edits[SPLICES_MAX];
    size_t n = 0;
    struct buf model;
    set_path(out, req);
    buf_init(&model, 64 * 1024);
    json_quote(&model, target->model);
    struct str quoted = arena_str(a, buf_str(&model));
    buf_deinit(&model);
    if (!quoted.p)
        return ERR_NOMEM;
    edits[n++] =
        (struct splice){"model", NULL, target->quirks & QUIRK_NO_MODEL_FIELD ? (struct str){0} : quoted};
    int64_t cap = capped_max_tokens(req, target);
    if (req->is_continued) {
        struct str item = begun_answer(req, a);
        struct str list =
            item.p ? json_list_plus(a, json_get(json_root(req->doc), "messages"), item) : (struct str){0};
        if (!list.p)
            return ERR_NOMEM;
        edits[n++] = (struct splice){"messages", NULL, list};
    }
    if (req->op == CHAT_OP_GENERATE && cap > 0 && (cap < req->max_tokens.v || req->is_continued)) {
        struct str v = arena_printf(a, "%lld", (long long)cap);
        if (!v.p)
            return ERR_NOMEM;
        edits[n++] = (struct splice){"max_tokens", NULL, v};
        /* The budget of thinking must stay below max_tokens. */
        if (req->reasoning.budget_tokens.v >= cap && cap / 2 >= 1024) {
            if (!(v = arena_printf(a, "%lld", (long long)(cap / 2))).p)
                return ERR_NOMEM;
            edits[n++] = (struct splice){"thinking", "budget_tokens", v};
        }
    }
    if (target->is_auto_cache && req->op == CHAT_OP_GENERATE && !has_marks(req))
        edits[n++] = (struct splice){"cache_control", NULL, S("{\"type\":\"ephemeral\"}")};
    splice_write(req->doc, edits, n, out->body);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}
