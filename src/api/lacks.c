/* lacks.c - What a target cannot express, and what of it matters. */
#include <stdio.h>

#include "api/openai_int.h"

static void add(struct dialect_lacks *l, bool is_hint, const char *fmt, va_list args)
{
    char field[LACK_FIELD_MAX];
    vsnprintf(field, sizeof(field), fmt, args);
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].field, field) == 0 && l->items[i].is_hint == is_hint)
            return;
    l->n_total++;
    if (!is_hint)
        l->n_refused++;
    if (l->n == LACKS_MAX)
        return;
    snprintf(l->items[l->n].field, sizeof(l->items[l->n].field), "%s", field);
    l->items[l->n++].is_hint = is_hint;
}

void lack_refuse(struct dialect_lacks *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(l, false, fmt, args);
    va_end(args);
}

void lack_hint(struct dialect_lacks *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(l, true, fmt, args);
    va_end(args);
}

void part_path(char path[PART_PATH_MAX], const struct chat_request *req, const struct chat_message *m,
               const struct chat_part *p)
{
    bool is_gemini = req->from == DIALECT_GEMINI;
    if (m->at < 0)
        snprintf(path, PART_PATH_MAX, is_gemini ? "systemInstruction.parts[%d]" : "system[%d]", p->at);
    else
        snprintf(path, PART_PATH_MAX,
                 is_gemini ? "contents[%d].parts[%d]"
                 : p->type == CHAT_PART_TOOL_CALL && openai_is_family(req->from)
                     ? "messages[%d].tool_calls[%d]"
                     : "messages[%d].content[%d]",
                 m->at, p->at);
}

const char *wire_field(const struct chat_request *req, const char *name)
{
    static const struct {
        const char *openai, *anthropic, *gemini;
    } rows[] = {
        {"temperature", "temperature", "generationConfig.temperature"},
        {"top_k", "top_k", "generationConfig.topK"},
        {"presence_penalty", "presence_penalty", "generationConfig.presencePenalty"},
        {"frequency_penalty", "frequency_penalty", "generationConfig.frequencyPenalty"},
        {"n", "n", "generationConfig.candidateCount"},
        {"logprobs", "logprobs", "generationConfig.responseLogprobs"},
        {"seed", "seed", "generationConfig.seed"},
        {"stop", "stop_sequences", "generationConfig.stopSequences"},
        {"reasoning_effort", "thinking", "generationConfig.thinkingConfig"},
        {"parallel_tool_calls", "tool_choice.disable_parallel_tool_use", "toolConfig"},
        {"tool_choice", "tool_choice", "toolConfig.functionCallingConfig"},
        {"user", "metadata.user_id", "user"},
        {"messages.reasoning", "messages.thinking", "contents.thoughtSignature"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(name, rows[i].openai) == 0)
            return req->from == DIALECT_GEMINI      ? rows[i].gemini
                   : req->from == DIALECT_ANTHROPIC ? rows[i].anthropic
                                                    : name;
    return name;
}

void lack_fields(struct dialect_lacks *l, const struct chat_request *req)
{
    for (size_t i = 0; i < req->n_fields; i++) {
        const struct chat_field *f = &req->fields[i];
        if (f->kind == CHAT_FIELD_MEANING)
            lack_refuse(l, "%.*s", STR(f->name));
        else
            lack_hint(l, "%.*s", STR(f->name));
    }
}

const char *lacks_first_refused(const struct dialect_lacks *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!l->items[i].is_hint)
            return l->items[i].field;
    return "";
}

void lacks_write_dropped(const struct dialect_lacks *l, struct buf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < l->n; i++) {
        if (!l->items[i].is_hint)
            continue;
        buf_puts(out, comma);
        comma = ", ";
        /* Field names come from clients: a header value holds printable ASCII only. */
        for (const char *p = l->items[i].field; *p; p++)
            buf_putc(out, *p > 0x20 && *p < 0x7f && *p != ',' ? *p : '?');
    }
    if (l->n_total > l->n)
        buf_printf(out, "%s%zu more", comma, l->n_total - l->n);
}

bool args_object(const struct chat_part *call, struct arena *a, struct str *span)
{
    struct str s = str_trim(call->args_json);
    if (s.n == 0) {
        *span = S("{}");
        return true;
    }
    *span = s;
    if (call->args_is_object)
        return true;
    struct json_doc doc;
    return json_parse(&doc, a, s, NULL) == OK && json_is(json_root(&doc), JSON_OBJECT);
}

int64_t capped_max_tokens(const struct chat_request *req, const struct dialect_target *target)
{
    int64_t v = req->max_tokens.is_set ? req->max_tokens.v : 0;
    if (target->max_tokens_cap > 0 && (v == 0 || v > target->max_tokens_cap))
        v = target->max_tokens_cap;
    return v;
}
