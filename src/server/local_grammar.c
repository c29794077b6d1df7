/* local_grammar.c - What an answer of the engine is held to: the request's format and its tools, as the
 * library's grammars. */
#include <stdio.h>

#include "server/local_int.h"

static const char *text_of(struct arena *a, struct str s)
{
    struct str copy = arena_str(a, s);
    return copy.p ? copy.p : "";
}

static void set_text(struct local_form *f, struct arena *a, enum sluice_grammar_kind kind, struct str text)
{
    f->content.kind = kind;
    f->content.text = text_of(a, text);
    f->content.text_bytes = text.n;
}

static const char **names_of(struct arena *a, const struct str *names, size_t n)
{
    const char **list = arena_new_array(a, const char *, n + 1);
    for (size_t i = 0; list && i < n; i++) {
        list[i] = arena_str_z(a, names[i]);
        if (!list[i])
            return NULL;
    }
    return list;
}

static void set_content(const struct chat_format *format, struct arena *a, struct local_form *f)
{
    f->has_content = format->type != CHAT_FORMAT_TEXT;
    f->content.space = format->is_compact ? SLUICE_GRAMMAR_SPACE_NONE : SLUICE_GRAMMAR_SPACE_FREE;
    f->content.any_order = format->any_order;
    switch (format->type) {
    case CHAT_FORMAT_TEXT: break;
    case CHAT_FORMAT_JSON: f->content.kind = SLUICE_GRAMMAR_JSON_OBJECT; break;
    case CHAT_FORMAT_SCHEMA: set_text(f, a, SLUICE_GRAMMAR_SCHEMA, format->schema_json); break;
    case CHAT_FORMAT_REGEX: set_text(f, a, SLUICE_GRAMMAR_REGEX, format->text); break;
    case CHAT_FORMAT_GRAMMAR: set_text(f, a, SLUICE_GRAMMAR_GBNF, format->text); break;
    case CHAT_FORMAT_CHOICE:
        f->content.kind = SLUICE_GRAMMAR_CHOICE;
        f->content.choices = names_of(a, format->choices, format->n_choices);
        f->content.n_choices = f->content.choices ? format->n_choices : 0;
        break;
    }
}

void local_form_of(const struct chat_request *req, struct arena *a, struct local_form *f)
{
    sluice_answer_options_init(&f->options, sizeof f->options);
    set_content(&req->format, a, f);
    bool is_forced = req->tool_choice == CHAT_TOOLS_REQUIRED || req->tool_choice == CHAT_TOOLS_NAMED;
    bool has_tools = req->op == CHAT_OP_GENERATE && req->n_tools > 0;
    f->options.tool_choice = !has_tools || req->tool_choice == CHAT_TOOLS_NONE ? SLUICE_TOOLS_NONE
                             : is_forced                                       ? SLUICE_TOOLS_REQUIRED
                                                                               : SLUICE_TOOLS_AUTO;
    f->options.one_call = req->parallel_tool_calls == CHAT_NO || req->tool_choice == CHAT_TOOLS_NAMED;
    if (has_tools && is_forced && req->n_tool_names > 0) {
        f->options.tool_names = names_of(a, req->tool_names, req->n_tool_names);
        f->options.n_tool_names = f->options.tool_names ? req->n_tool_names : 0;
    }
    f->is_any = !f->has_content && f->options.tool_choice == SLUICE_TOOLS_NONE;
    snprintf(f->field, sizeof f->field, "%.*s",
             STR(!f->has_content       ? S("tools")
                 : req->format.field.p ? req->format.field
                                       : S("response_format")));
}

int local_form_compile(const struct local_form *f, struct sluice_model *model, const struct sluice_chat *chat,
                       struct sluice_grammar **grammar, struct chat_error *e)
{
    struct sluice_error err = {0};
    struct sluice_answer_options o = f->options;
    char where[256] = "";
    o.content = f->has_content ? &f->content : NULL;
    int rc = chat ? sluice_answer_grammar(model, chat, &o, grammar, where, sizeof where, &err)
                  : sluice_grammar_compile(model, &f->content, grammar, where, sizeof where, &err);
    if (rc == SLUICE_OK)
        return OK;
    if (rc == SLUICE_ERR_NOMEM)
        return chat_error_set(e, CHAT_ERR_UNAVAILABLE, NULL, "the server is out of memory");
    chat_error_set(e, CHAT_ERR_INVALID, f->field, "%s: %s", f->field, err.text);
    e->is_lack = true;
    return ERR_ARG;
}
