/* face_parser.c - Reasoning, content and tool calls of an answer, at the library's door. */
#include <stdlib.h>

#include "base/json.h"
#include "engine/face_int.h"
#include "engine/param_types.h"

#define TOOLS_ARENA_MAX  ((size_t)64 << 20)
#define PROMPT_END_BYTES 256

struct sluice_chat_parser {
    struct toolcall_parser parser;
    struct arena arena; /* the tools, for the types of their parameters */
    struct json_doc tools;
    bool has_tools;
    sluice_part_fn *on_part; /* of the call of feed that is going on */
    void *user;
    bool is_stopped; /* on_part said so */
    char id[TOOLCALL_NAME_MAX + 1];
};

bool face_has_token(void *ctx, struct str text)
{
    return tokenizer_find(ctx, text) != TOKEN_NONE;
}

const struct toolcall_format *face_tool_format(const struct sluice_model *m)
{
    struct str source = m->has_own_template && m->chat_template ? template_source(m->chat_template) : S("");
    return toolcall_detect(source, face_has_token, m->tokenizer);
}

static void give_part(struct sluice_chat_parser *p, enum sluice_part_kind kind, int tool_idx, struct str text,
                      const char *id)
{
    struct sluice_part part = {kind, tool_idx, text.p ? text.p : "", text.n, id};
    if (!p->is_stopped && p->on_part && !p->on_part(p->user, &part))
        p->is_stopped = true;
}

static void on_toolcall_event(void *ctx, const struct toolcall_event *ev)
{
    struct sluice_chat_parser *p = ctx;
    switch (ev->kind) {
    case TOOLCALL_TEXT: give_part(p, SLUICE_PART_CONTENT, -1, ev->text, NULL); break;
    case TOOLCALL_REASONING: give_part(p, SLUICE_PART_REASONING, -1, ev->text, NULL); break;
    case TOOLCALL_START: {
        size_t n = ev->id.n < TOOLCALL_NAME_MAX ? ev->id.n : TOOLCALL_NAME_MAX;
        if (n > 0)
            memcpy(p->id, ev->id.p, n);
        p->id[n] = 0;
        give_part(p, SLUICE_PART_TOOL_NAME, ev->call, ev->name, n > 0 ? p->id : NULL);
        break;
    }
    case TOOLCALL_ARGS: give_part(p, SLUICE_PART_TOOL_ARGUMENTS, ev->call, ev->text, NULL); break;
    case TOOLCALL_END: break; /* the next part, or the end, says it */
    }
}

/* Is this parameter always a string by the tool's schema?  For formats that write all values alike. */
static bool is_text_param(void *ctx, struct str tool, struct str param)
{
    struct sluice_chat_parser *p = ctx;
    struct json_iter it = json_iter(json_root(&p->tools));
    while (json_next(&it)) {
        struct json function = json_get(it.value, "function");
        struct json f = json_exists(function) ? function : it.value;
        char name[TOOLCALL_NAME_MAX + 1];
        if (tool.n > TOOLCALL_NAME_MAX)
            return false;
        memcpy(name, tool.p, tool.n);
        name[tool.n] = 0;
        if (!json_text_is(json_get(f, "name"), name))
            continue;
        struct json parameters = json_get(f, "parameters");
        struct json property = json_get_str(json_get(parameters, "properties"), param);
        return json_exists(property) && param_types(property, parameters) == PARAM_TEXT;
    }
    return false;
}

static int read_tools(struct sluice_chat_parser *p, const struct sluice_chat *chat, struct err *err)
{
    struct str tools = face_text(chat->tools, chat->tools_bytes);
    if (!chat->tools || tools.n == 0)
        return OK;
    struct str copy = arena_str(&p->arena, tools);
    if (!copy.p)
        return FACE_OUT_OF_MEMORY(err);
    int rc = json_parse(&p->tools, &p->arena, copy, err);
    if (rc != OK) {
        err_prefix(err, "tools");
        return rc;
    }
    p->has_tools = json_count(json_root(&p->tools)) > 0;
    return OK;
}

SLUICE_API int sluice_chat_parser_create(const struct sluice_model *m, const struct sluice_chat *given,
                                         struct sluice_chat_parser **parser, struct sluice_error *error)
{
    struct err *err = face_err(error);
    const struct toolcall_format *format = face_tool_format(m);
    struct sluice_chat chat;
    bool in_reasoning = false;
    int rc = OK;

    sluice_chat_init(&chat, sizeof chat);
    if (given &&
        (rc = face_copy_options(&chat, sizeof chat, given, given->struct_bytes, "sluice_chat", err)) != OK)
        return rc;
    struct sluice_chat_parser *p = calloc(1, sizeof *p);
    if (!p)
        return FACE_OUT_OF_MEMORY(err);
    arena_init(&p->arena, TOOLS_ARENA_MAX);
    rc = read_tools(p, &chat, err);
    if (rc == OK && given) {
        char end[PROMPT_END_BYTES];
        size_t n = 0;
        rc = face_chat_prompt_end(m, &chat, end, sizeof end, &n, err);
        in_reasoning = rc == OK && toolcall_prompt_opens_reasoning(format, str_of(end, n));
    }
    if (rc != OK) {
        arena_deinit(&p->arena);
        free(p);
        return rc;
    }
    toolcall_init(&p->parser, format, p->has_tools, in_reasoning, on_toolcall_event, p);
    if (p->has_tools)
        p->parser.is_text_param = is_text_param;
    *parser = p;
    return OK;
}

SLUICE_API int sluice_chat_parser_feed(struct sluice_chat_parser *p, const char *text, size_t text_bytes,
                                       bool is_end, sluice_part_fn *on_part, void *user,
                                       struct sluice_error *error)
{
    p->on_part = on_part;
    p->user = user;
    struct str s = face_text(text, text_bytes);
    if (s.n > 0)
        toolcall_feed(&p->parser, s);
    if (is_end)
        toolcall_finish(&p->parser);
    p->on_part = NULL;
    return p->is_stopped ? fail(face_err(error), ERR_CANCELLED, "the caller stopped reading the answer") : OK;
}

SLUICE_API void sluice_chat_parser_free(struct sluice_chat_parser *p)
{
    if (!p)
        return;
    toolcall_deinit(&p->parser);
    arena_deinit(&p->arena);
    free(p);
}
