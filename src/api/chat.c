/* chat.c - Names, errors and small helpers of the canonical forms. */
#include "api/chat.h"

#include <stdio.h>

const char *chat_role_name(enum chat_role role)
{
    static const char *const names[] = {"system", "developer", "user", "assistant", "tool"};
    return names[role];
}

const char *chat_effort_name(enum chat_effort effort)
{
    static const char *const names[] = {"unset", "none", "minimal", "low", "medium", "high", "xhigh", "max"};
    return names[effort];
}

struct str chat_message_text(const struct chat_message *m, struct arena *a)
{
    size_t total = 0, n_texts = 0;
    struct str only = S("");
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].type == CHAT_PART_TEXT) {
            only = m->parts[i].text;
            total += only.n;
            n_texts++;
        }
    if (n_texts <= 1)
        return only;
    char *p = arena_alloc(a, total + 1);
    if (!p)
        return (struct str){0};
    size_t at = 0;
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].type == CHAT_PART_TEXT && m->parts[i].text.n) {
            memcpy(p + at, m->parts[i].text.p, m->parts[i].text.n);
            at += m->parts[i].text.n;
        }
    return str_of(p, total);
}

int chat_error_set(struct chat_error *e, enum chat_error_kind kind, const char *param, const char *fmt, ...)
{
    *e = (struct chat_error){.kind = kind, .status = chat_error_status(kind), .retry_after_ms = -1};
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, args);
    va_end(args);
    snprintf(e->param, sizeof(e->param), "%s", param ? param : "");
    /* A cut may fall inside a character: the text must stay UTF-8 for every writer. */
    size_t n = strlen(e->message);
    for (size_t cut = n; cut > 0 && n - cut < 4; cut--)
        if (str_is_utf8(str_of(e->message, cut))) {
            e->message[cut] = 0;
            break;
        }
    return ERR_ARG;
}

int chat_error_bad_call(struct chat_error *e)
{
    chat_error_set(e, CHAT_ERR_BAD_ANSWER, "", "the model made a tool call that could not be parsed");
    return ERR_FORMAT;
}

int chat_error_status(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_ERR_NONE: return 200;
    case CHAT_ERR_INVALID:
    case CHAT_ERR_CONTEXT_LENGTH:
    case CHAT_ERR_CONTENT_FILTER: return 400;
    case CHAT_ERR_TOO_LARGE: return 413;
    case CHAT_ERR_AUTH: return 401;
    case CHAT_ERR_BILLING: return 402;
    case CHAT_ERR_PERMISSION: return 403;
    case CHAT_ERR_NOT_FOUND: return 404;
    case CHAT_ERR_CONFLICT: return 409;
    case CHAT_ERR_RATE_LIMIT:
    case CHAT_ERR_QUOTA: return 429;
    case CHAT_ERR_OVERLOADED:
    case CHAT_ERR_UNAVAILABLE: return 503;
    case CHAT_ERR_SERVER: return 500;
    case CHAT_ERR_BAD_ANSWER: return 502;
    case CHAT_ERR_TIMEOUT: return 504;
    case CHAT_ERR_CANCELLED: return 499;
    }
    return 500;
}

bool chat_error_is_retryable(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_ERR_CONFLICT:
    case CHAT_ERR_RATE_LIMIT:
    case CHAT_ERR_OVERLOADED:
    case CHAT_ERR_SERVER:
    case CHAT_ERR_BAD_ANSWER:
    case CHAT_ERR_UNAVAILABLE:
    case CHAT_ERR_TIMEOUT: return true;
    default: return false;
    }
}

static bool has_true(const struct chat_request *req, const char *field)
{
    for (size_t i = 0; i < req->n_fields; i++)
        if (str_eq(req->fields[i].name, str_c(field)))
            return str_eq(req->fields[i].json, S("true"));
    return false;
}

struct str chat_begun(const struct chat_request *req)
{
    const struct chat_message *last = req->n_messages ? &req->messages[req->n_messages - 1] : NULL;
    bool is_text = last && last->role == CHAT_ASSISTANT && last->n_parts == 1 &&
                   last->parts[0].type == CHAT_PART_TEXT && last->parts[0].text.n;
    bool is_asked =
        req->is_continued || req->from == DIALECT_ANTHROPIC || has_true(req, "continue_final_message");
    return is_text && is_asked ? last->parts[0].text : str_of(NULL, 0);
}
