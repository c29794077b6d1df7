/* anthropic_request.c - Messages and count_tokens: reading a client's request.
 *
 * A user message of this dialect mixes tool results and other blocks; the canonical form has a
 * message of role "tool" for each run of results.  Writing joins neighbours again, so the order
 * survives.  Start reading at anthropic_read_request(). */
#include "api/anthropic_int.h"

/* ---- blocks ---- */

/* source: {"type":"base64"|"url"|"file"|"text"|"content", ...} */
static int read_source(struct rd *r, struct json block, struct chat_part *p, bool is_document)
{
    struct json v = json_get(block, "source");
    struct str type = {0};
    struct chat_media *m = &p->media;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, "source", v, "an object");
    size_t mark = rd_key(r, S("source"));
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc != OK)
        return rc;
    if (str_eq(type, S("base64"))) {
        if ((rc = rd_get_text(r, v, "media_type", true, &m->mime)) == OK)
            rc = rd_get_text(r, v, "data", true, &m->data);
    } else if (str_eq(type, S("url"))) {
        rc = rd_get_text(r, v, "url", true, &m->url);
    } else if (str_eq(type, S("file"))) {
        rc = rd_get_text(r, v, "file_id", true, &m->file_id);
    } else if (is_document && str_eq(type, S("text"))) {
        m->mime = S("text/plain");
        rc = rd_get_text(r, v, "data", true, &m->text);
    } else if (is_document && str_eq(type, S("content"))) {
        struct json content = json_get(v, "content");
        if (json_is(content, JSON_STRING))
            rc = rd_text(r, "content", content, &m->text);
        else
            rc = anthropic_read_blocks(r, v, "content", &p->parts, &p->n_parts);
    } else {
        rc = rd_fail(r, "type", "is '%.*s', which is not a source that is known",
                     type.n > 40 ? 40 : (int)type.n, type.p);
    }
    rd_up(r, mark);
    return rc;
}

static int read_citations_config(struct rd *r, struct json block, struct chat_part *p)
{
    struct json v = json_get(block, "citations");
    if (json_is_none(v))
        return OK;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, "citations", v, "an object");
    return rd_bool(r, "citations.enabled", json_get(v, "enabled"), &p->is_cited);
}

static int read_citations(struct rd *r, struct json block, struct chat_part *p)
{
    struct json v = json_get(block, "citations");
    if (json_is_none(v))
        return OK;
    int rc = rd_check_array(r, "citations", v, CHAT_PARTS_MAX);
    if (rc != OK)
        return rc;
    p->citations = arena_new_array(r->a, struct chat_citation, json_count(v) + 1);
    if (!p->citations)
        return rd_nomem(r);
    for (struct json_iter it = json_iter(v); json_next(&it);)
        anthropic_read_citation(it.value, r->a, &p->citations[p->n_citations++]);
    return OK;
}

static int read_text(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_TEXT;
    int rc = rd_get_text(r, v, "text", true, &p->text);
    return rc == OK ? read_citations(r, v, p) : rc;
}

static int read_image(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_IMAGE;
    return read_source(r, v, p, false);
}

static int read_document(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_DOCUMENT;
    int rc = read_source(r, v, p, true);
    if (rc == OK)
        rc = rd_get_text(r, v, "title", false, &p->media.name);
    if (rc == OK)
        rc = rd_get_text(r, v, "context", false, &p->media.context);
    return rc == OK ? read_citations_config(r, v, p) : rc;
}

static int read_search_result(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_SEARCH_RESULT;
    int rc = rd_get_text(r, v, "source", true, &p->source);
    if (rc == OK)
        rc = rd_get_text(r, v, "title", true, &p->media.name);
    if (rc == OK)
        rc = anthropic_read_blocks(r, v, "content", &p->parts, &p->n_parts);
    return rc == OK ? read_citations_config(r, v, p) : rc;
}

static int read_thinking(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_REASONING;
    int rc = rd_get_text(r, v, "thinking", true, &p->text);
    if (rc == OK)
        rc = rd_get_text(r, v, "signature", false, &p->signature);
    if (p->signature.n)
        p->signature = signature_unwrap(p->signature, DIALECT_ANTHROPIC, &p->signature_from, &p->is_redacted);
    else
        p->signature = (struct str){0};
    return rc;
}

static int read_redacted(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_REASONING;
    p->text = S("");
    p->is_redacted = true;
    int rc = rd_get_text(r, v, "data", true, &p->signature);
    if (rc == OK)
        p->signature = signature_unwrap(p->signature, DIALECT_ANTHROPIC, &p->signature_from, &p->is_redacted);
    return rc;
}

static int read_tool_use(struct rd *r, struct json v, struct chat_part *p)
{
    p->type = CHAT_PART_TOOL_CALL;
    int rc = rd_get_text(r, v, "id", true, &p->id);
    if (rc == OK)
        rc = rd_get_text(r, v, "name", true, &p->name);
    if (rc == OK && !json_is(json_get(v, "input"), JSON_OBJECT))
        rc = rd_wrong_type(r, "input", json_get(v, "input"), "an object");
    if (rc != OK)
        return rc;
    p->args_json = json_span(json_get(v, "input"));
    p->args_is_object = true;
    p->id = anthropic_id_read(p->id, r->a);
    return p->id.p ? OK : rd_nomem(r);
}

static int read_tool_result(struct rd *r, struct json v, struct chat_part *p)
{
    struct json content = json_get(v, "content");
    p->type = CHAT_PART_TOOL_RESULT;
    int rc = rd_get_text(r, v, "tool_use_id", true, &p->id);
    if (rc == OK)
        rc = rd_bool(r, "is_error", json_get(v, "is_error"), &p->is_error);
    if (rc != OK)
        return rc;
    p->id = anthropic_id_read(p->id, r->a);
    if (!p->id.p)
        return rd_nomem(r);
    if (json_is_none(content))
        return OK;
    if (!json_is(content, JSON_STRING))
        return anthropic_read_blocks(r, v, "content", &p->parts, &p->n_parts);
    p->parts = arena_new(r->a, struct chat_part);
    if (!p->parts)
        return rd_nomem(r);
    p->n_parts = 1;
    p->parts[0].type = CHAT_PART_TEXT;
    return rd_text(r, "content", content, &p->parts[0].text);
}

static const struct {
    const char *type;
    int (*read)(struct rd *r, struct json v, struct chat_part *p);
    bool is_leaf; /* may stand inside a tool result, document or search result */
} block_types[] = {
    {"text", read_text, true},          {"image", read_image, true},
    {"document", read_document, true},  {"search_result", read_search_result, true},
    {"thinking", read_thinking, false}, {"redacted_thinking", read_redacted, false},
    {"tool_use", read_tool_use, false}, {"tool_result", read_tool_result, false},
};

static int read_block(struct rd *r, struct json v, struct chat_part *p, bool is_leaf)
{
    struct str type = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc == OK)
        rc = rd_cache_control(r, v, &p->cache);
    if (rc != OK)
        return rc;
    static const char *const known[] = {
        "type", "text", "citations", "cache_control", "source",  "title",    "context",   "thinking", "data",
        "id",   "name", "input",     "tool_use_id",   "content", "is_error", "signature", NULL};
    p->raw_json = json_span(v);
    p->from = DIALECT_ANTHROPIC;
    for (size_t i = 0; i < sizeof(block_types) / sizeof(block_types[0]); i++) {
        if (!str_eq(type, str_c(block_types[i].type)))
            continue;
        if (is_leaf && !block_types[i].is_leaf)
            return rd_fail(r, "type", "is '%.*s', which cannot stand here", STR(type));
        rc = block_types[i].read(r, v, p);
        return rc == OK ? rd_keep_unknown(r, v, known) : rc;
    }
    p->type = CHAT_PART_OTHER; /* the provider's own tools and what is to come */
    return OK;
}

/* Depth is bounded: a leaf block may hold blocks once more (a document in a tool result holds
 * text), and JSON's own depth limit ends the rest. */
int anthropic_read_blocks(struct rd *r, struct json obj, const char *key, struct chat_part **parts, size_t *n)
{
    struct json v = json_get(obj, key);
    int rc = rd_check_array(r, key, v, CHAT_PARTS_MAX);
    if (rc != OK)
        return rc;
    *parts = arena_new_array(r->a, struct chat_part, json_count(v) + 1);
    if (!*parts)
        return rd_nomem(r);
    size_t mark = rd_key(r, str_c(key));
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        if ((rc = read_block(r, it.value, &(*parts)[it.i], true)) != OK)
            return rc;
        (*parts)[it.i].at = (int)it.i;
        rd_up(r, at);
    }
    rd_up(r, mark);
    *n = json_count(v);
    return OK;
}

static int64_t get_i64(struct json obj, const char *key, int64_t otherwise)
{
    int64_t v;
    return json_i64(json_get(obj, key), &v) ? v : otherwise;
}

void anthropic_read_citation(struct json v, struct arena *a, struct chat_citation *c)
{
    static const char *const starts[] = {"start_char_index", "start_page_number", "start_block_index", NULL};
    static const char *const ends[] = {"end_char_index", "end_page_number", "end_block_index", NULL};
    *c = (struct chat_citation){.from = DIALECT_ANTHROPIC,
                                .raw_json = json_span(v),
                                .start = -1,
                                .end = -1,
                                .answer_start = -1,
                                .answer_end = -1};
    c->kind = json_text(json_get(v, "type"), a);
    c->cited_text = json_text(json_get(v, "cited_text"), a);
    c->title = json_text(json_get(v, "document_title"), a);
    if (!c->title.p)
        c->title = json_text(json_get(v, "title"), a);
    c->url = json_text(json_get(v, "url"), a);
    if (!c->url.p)
        c->url = json_text(json_get(v, "source"), a);
    c->source_idx = (int)get_i64(v, "document_index", get_i64(v, "search_result_index", -1));
    for (int i = 0; starts[i]; i++) {
        c->start = get_i64(v, starts[i], c->start);
        c->end = get_i64(v, ends[i], c->end);
    }
}

/* ---- messages ---- */

struct builder {
    struct chat_message *list;
    size_t n, cap;
};

static struct chat_message *add_message(struct rd *r, struct builder *b, enum chat_role role, int at)
{
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

/* A string, or blocks; of a user, runs of tool results become messages of their own. */
static int read_content(struct rd *r, struct json v, struct builder *b, enum chat_role role, int at)
{
    struct chat_part *parts;
    int rc;
    if (json_is(v, JSON_STRING)) {
        struct chat_message *m = add_message(r, b, role, at);
        if (!m || !(m->parts = arena_new(r->a, struct chat_part)))
            return rd_nomem(r);
        m->n_parts = 1;
        m->parts[0].type = CHAT_PART_TEXT;
        return rd_text(r, NULL, v, &m->parts[0].text);
    }
    if (!json_is(v, JSON_ARRAY))
        return rd_wrong_type(r, NULL, v, "a string or an array of blocks");
    if ((rc = rd_check_array(r, NULL, v, CHAT_PARTS_MAX)) != OK)
        return rc;
    if (!(parts = arena_new_array(r->a, struct chat_part, json_count(v) + 1)))
        return rd_nomem(r);
    struct chat_message *m = NULL;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t mark = rd_idx(r, it.i);
        struct chat_part *p = &parts[it.i];
        if ((rc = read_block(r, it.value, p, false)) != OK)
            return rc;
        p->at = (int)it.i;
        bool is_result = p->type == CHAT_PART_TOOL_RESULT;
        bool is_said = p->type == CHAT_PART_TOOL_CALL || p->type == CHAT_PART_REASONING;
        if ((is_result && role != CHAT_USER) || (is_said && role != CHAT_ASSISTANT))
            return rd_fail(r, "type", "is '%.*s', which cannot stand in a message of role %s",
                           STR(json_text(json_get(it.value, "type"), r->a)), chat_role_name(role));
        enum chat_role as = is_result ? CHAT_TOOL : role;
        if (!m || m->role != as) {
            if (!(m = add_message(r, b, as, at)))
                return rd_nomem(r);
            m->parts = p;
        }
        m->n_parts++;
        rd_up(r, mark);
    }
    if (role == CHAT_SYSTEM) /* an empty list says nothing */
        return OK;
    return m || add_message(r, b, role, at) ? OK : rd_nomem(r);
}

static int read_message(struct rd *r, struct json v, struct builder *b, int at)
{
    static const char *const known[] = {"role", "content", NULL};
    struct str role = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "role", true, &role);
    if (rc != OK)
        return rc;
    enum chat_role as;
    if (str_eq(role, S("user")))
        as = CHAT_USER;
    else if (str_eq(role, S("assistant")))
        as = CHAT_ASSISTANT;
    else if (str_eq(role, S("system")))
        as = CHAT_SYSTEM;
    else
        return rd_fail(r, "role", "is '%.*s', and must be user or assistant", role.n > 40 ? 40 : (int)role.n,
                       role.p);
    if ((rc = rd_keep_unknown(r, v, known)) != OK)
        return rc;
    size_t mark = rd_key(r, S("content"));
    rc = read_content(r, json_get(v, "content"), b, as, at);
    rd_up(r, mark);
    return rc;
}

static int read_messages(struct rd *r, struct json root)
{
    struct json system = json_get(root, "system");
    struct json v = json_get(root, "messages");
    struct builder b = {0};
    int rc = OK;
    if (!json_is_none(system)) {
        size_t mark = rd_key(r, S("system"));
        rc = read_content(r, system, &b, CHAT_SYSTEM, -1);
        rd_up(r, mark);
    }
    if (rc == OK)
        rc = rd_check_array(r, "messages", v, CHAT_MESSAGES_MAX);
    if (rc != OK)
        return rc;
    if (json_count(v) == 0)
        return rd_fail(r, "messages", "must hold at least one message");
    size_t mark = rd_key(r, S("messages"));
    for (struct json_iter it = json_iter(v); rc == OK && json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        rc = read_message(r, it.value, &b, (int)it.i);
        rd_up(r, at);
    }
    rd_up(r, mark);
    r->req->messages = b.list;
    r->req->n_messages = b.n;
    return rc;
}

static int skip(struct rd *r, struct json v)
{
    (void)r;
    (void)v;
    return OK; /* read by read_messages */
}

/* ---- tools ---- */

static int read_tool(struct rd *r, struct json v, struct chat_tool *t)
{
    struct str type = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    t->raw_json = json_span(v);
    t->from = DIALECT_ANTHROPIC;
    int rc = rd_get_text(r, v, "type", false, &type);
    if (rc != OK)
        return rc;
    if (type.p && !str_eq(type, S("custom")))
        return rd_cache_control(r, v, &t->cache); /* the provider's own tool */
    if ((rc = rd_get_text(r, v, "name", true, &t->name)) != OK ||
        (rc = rd_get_text(r, v, "description", false, &t->description)) != OK ||
        (rc = rd_get_object_span(r, v, "input_schema", &t->schema_json)) != OK ||
        (rc = rd_tri(r, "strict", json_get(v, "strict"), &t->strict)) != OK)
        return rc;
    if (t->name.n == 0)
        return rd_fail(r, "name", "must not be empty");
    static const char *const known[] = {"type",          "name",   "description", "input_schema",
                                        "cache_control", "strict", NULL};
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

static int read_tool_choice(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    struct str type = {0};
    enum chat_tri disabled = CHAT_UNSET;
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc == OK)
        rc = rd_tri(r, "disable_parallel_tool_use", json_get(v, "disable_parallel_tool_use"), &disabled);
    if (rc != OK)
        return rc;
    if (disabled != CHAT_UNSET)
        q->parallel_tool_calls = disabled == CHAT_YES ? CHAT_NO : CHAT_YES;
    if (str_eq(type, S("auto")))
        q->tool_choice = CHAT_TOOLS_AUTO;
    else if (str_eq(type, S("none")))
        q->tool_choice = CHAT_TOOLS_NONE;
    else if (str_eq(type, S("any")))
        q->tool_choice = CHAT_TOOLS_REQUIRED;
    else if (str_eq(type, S("tool"))) {
        q->tool_choice = CHAT_TOOLS_NAMED;
        q->n_tool_names = 1;
        if (!(q->tool_names = arena_new(r->a, struct str)))
            return rd_nomem(r);
        return rd_get_text(r, v, "name", true, &q->tool_names[0]);
    } else
        return rd_fail(r, "type", "must be auto, any, tool or none");
    return OK;
}

/* ---- the rest ---- */

static int read_thinking_config(struct rd *r, struct json v)
{
    static const char *const known[] = {"type", "budget_tokens", "display", NULL};
    struct chat_reasoning *g = &r->req->reasoning;
    struct str display = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "type", true, &g->mode);
    if (rc == OK)
        rc = rd_i64(r, "budget_tokens", json_get(v, "budget_tokens"), 0, INT32_MAX, &g->budget_tokens);
    if (rc == OK)
        rc = rd_get_text(r, v, "display", false, &display);
    if (rc != OK)
        return rc;
    if (display.p)
        g->show = str_eq(display, S("omitted")) ? CHAT_NO : CHAT_YES;
    else if (!str_eq(g->mode, S("disabled")))
        g->show = CHAT_YES;
    g->is_off = str_eq(g->mode, S("disabled"));
    if (str_eq(g->mode, S("adaptive")) && !g->budget_tokens.is_set)
        g->budget_tokens = (struct chat_i64){-1, true};
    return rd_keep_unknown(r, v, known);
}

static int read_format(struct rd *r, struct json v)
{
    struct chat_format *f = &r->req->format;
    struct str type = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "type", true, &type);
    if (rc != OK)
        return rc;
    if (!str_eq(type, S("json_schema")))
        return rd_fail(r, "type", "must be json_schema");
    f->type = CHAT_FORMAT_SCHEMA;
    f->field = S("output_config.format");
    f->strict = CHAT_YES;
    rc = rd_get_text(r, v, "name", false, &f->name);
    if (rc == OK)
        rc = rd_get_object_span(r, v, "schema", &f->schema_json);
    if (rc == OK && !f->schema_json.p)
        return rd_wrong_type(r, "schema", json_get(v, "schema"), "an object");
    return rc;
}

static int read_output_config(struct rd *r, struct json v)
{
    static const char *const known[] = {"effort", "format", NULL};
    struct str effort = {0};
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    int rc = rd_get_text(r, v, "effort", false, &effort);
    if (rc != OK)
        return rc;
    if (effort.p && !effort_by_name(effort, &r->req->reasoning.effort))
        return rd_fail(r, "effort", "must be low, medium, high, xhigh or max");
    if (!json_is_none(json_get(v, "format"))) {
        size_t mark = rd_key(r, S("format"));
        rc = read_format(r, json_get(v, "format"));
        rd_up(r, mark);
    }
    return rc == OK ? rd_keep_unknown(r, v, known) : rc;
}

static int read_metadata(struct rd *r, struct json v)
{
    if (!json_is(v, JSON_OBJECT))
        return rd_wrong_type(r, NULL, v, "an object");
    static const char *const known[] = {"user_id", NULL};
    int rc = rd_get_text(r, v, "user_id", false, &r->req->user);
    return rc == OK ? rd_keep_unknown(r, v, known) : rc;
}

static int read_stops(struct rd *r, struct json v)
{
    return rd_texts(r, NULL, v, CHAT_STOPS_MAX, &r->req->stops, &r->req->n_stops);
}

static int read_cache_mark(struct rd *r, struct json v)
{
    (void)v;
    r->path_n = 0;
    return rd_cache_control(r, json_root(r->req->doc), &r->req->cache);
}

#define AT(member) offsetof(struct chat_request, member)

static const struct field_row rows[] = {
    {"model", FIELD_STR, AT(model), 0, 0, 0},
    {"messages", FIELD_CALL, 0, 0, 0, skip},
    {"system", FIELD_CALL, 0, 0, 0, skip},
    {"max_tokens", FIELD_I64, AT(max_tokens), 1, INT32_MAX, 0},
    {"stream", FIELD_BOOL, AT(is_stream), 0, 0, 0},
    {"temperature", FIELD_F64, AT(sampling.temperature), 0, 1, 0},
    {"top_p", FIELD_F64, AT(sampling.top_p), 0, 1, 0},
    {"top_k", FIELD_I64, AT(sampling.top_k), 0, INT32_MAX, 0},
    {"stop_sequences", FIELD_CALL, 0, 0, 0, read_stops},
    {"tools", FIELD_CALL, 0, 0, 0, read_tools},
    {"tool_choice", FIELD_CALL, 0, 0, 0, read_tool_choice},
    {"thinking", FIELD_CALL, 0, 0, 0, read_thinking_config},
    {"output_config", FIELD_CALL, 0, 0, 0, read_output_config},
    {"output_format", FIELD_CALL, 0, 0, 0, read_format},
    {"metadata", FIELD_CALL, 0, 0, 0, read_metadata},
    {"cache_control", FIELD_CALL, 0, 0, 0, read_cache_mark},
    {"service_tier", FIELD_HINT, 0, 0, 0, 0},
    {"inference_geo", FIELD_MEANING, 0, 0, 0, 0}, /* where data may go is no hint */
    {"context_management", FIELD_HINT, 0, 0, 0, 0},
    {"container", FIELD_MEANING, 0, 0, 0, 0},
    {"mcp_servers", FIELD_MEANING, 0, 0, 0, 0},
};

static int check_whole(struct rd *r)
{
    struct chat_request *q = r->req;
    if (!q->model.n)
        return rd_fail(r, "model", "is missing: name a model");
    if (q->op == CHAT_OP_GENERATE && !q->max_tokens.is_set)
        return rd_fail(r, "max_tokens", "is missing: it must be a whole number");
    if (q->tool_choice >= CHAT_TOOLS_REQUIRED && q->n_tools == 0)
        return rd_fail(r, "tool_choice", "asks for a call, but there are no tools");
    return OK;
}

int anthropic_read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                           struct chat_error *e)
{
    struct rd r;
    struct json root;
    int rc = rd_begin(&r, a, e, in->body, &root);
    if (rc != OK)
        return rc;
    r.req->from = DIALECT_ANTHROPIC;
    r.req->op = str_ends(in->path, S("/count_tokens")) ? CHAT_OP_COUNT_TOKENS : CHAT_OP_GENERATE;
    r.req->include_usage = true;
    if ((rc = rd_fields(&r, root, rows, sizeof(rows) / sizeof(rows[0]))) != OK)
        return rc;
    r.path_n = 0;
    if ((rc = check_whole(&r)) != OK || (rc = read_messages(&r, root)) != OK)
        return rc;
    /* Betas are hints; the header goes along to a provider of the same dialect. */
    struct str beta = header_get(in->headers, in->n_headers, "anthropic-beta");
    if (beta.n)
        r.req->beta = beta;
    rd_name_results(r.req);
    *req = r.req;
    return OK;
}
