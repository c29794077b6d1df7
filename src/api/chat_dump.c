/* chat_dump.c - The canonical forms as text for tests and debug logs: one line per fact.
 *
 * Texts are shown as JSON strings.  What is not set is not shown. */
#include "api/chat.h"
#include "base/json.h"

static void dump_str(struct buf *out, const char *name, struct str s)
{
    if (!s.p)
        return;
    buf_printf(out, " %s=", name);
    json_quote(out, s);
}

static void dump_i64(struct buf *out, const char *name, int64_t v)
{
    buf_printf(out, " %s=%lld", name, (long long)v);
}

static const char *signer_name(enum dialect_id id)
{
    static const char *const names[DIALECT_COUNT] = {"none",   "openai",    "openai",
                                                     "openai", "anthropic", "gemini"};
    return id < DIALECT_COUNT ? names[id] : "none";
}

static const char *part_name(enum chat_part_type t)
{
    static const char *const names[] = {"text",      "image",         "audio",   "video",
                                        "document",  "search_result", "refusal", "reasoning",
                                        "tool_call", "tool_result",   "other"};
    return names[t];
}

static void dump_media(const struct chat_media *m, struct buf *out)
{
    dump_str(out, "mime", m->mime);
    dump_str(out, "url", m->url);
    dump_str(out, "data", m->data);
    dump_str(out, "file", m->file_id);
    dump_str(out, "words", m->text);
    dump_str(out, "title", m->name);
    dump_str(out, "context", m->context);
}

static void dump_citation(const struct chat_citation *c, struct buf *out)
{
    dump_str(out, "kind", c->kind);
    dump_str(out, "cited", c->cited_text);
    dump_str(out, "title", c->title);
    dump_str(out, "url", c->url);
    if (c->source_idx >= 0)
        dump_i64(out, "source", c->source_idx);
    if (c->start >= 0)
        buf_printf(out, " at=%lld..%lld", (long long)c->start, (long long)c->end);
}

static void dump_part(const struct chat_part *p, int depth, struct buf *out)
{
    for (int i = 0; i < depth; i++)
        buf_puts(out, "  ");
    buf_puts(out, part_name(p->type));
    dump_str(out, "id", p->id);
    dump_str(out, "name", p->name);
    dump_str(out, "args", p->args_json);
    dump_str(out, "text", p->text);
    dump_str(out, "source", p->source);
    dump_media(&p->media, out);
    if (p->signature.p) {
        dump_str(out, "signature", p->signature);
        buf_printf(out, " of=%s", signer_name(p->signature_from));
    }
    if (p->is_redacted)
        buf_puts(out, " redacted");
    if (p->is_error)
        buf_puts(out, " error");
    if (p->is_cited)
        buf_puts(out, " cited");
    if (p->cache)
        buf_puts(out, p->cache == CHAT_CACHE_1H ? " cache=1h" : " cache=5m");
    if (p->type == CHAT_PART_OTHER)
        dump_str(out, "raw", p->raw_json);
    buf_putc(out, '\n');
    for (size_t i = 0; i < p->n_citations; i++) {
        buf_puts(out, "    cites");
        dump_citation(&p->citations[i], out);
        buf_putc(out, '\n');
    }
    /* Sources hold texts, results hold sources: no part is deeper than that in practice. */
    for (size_t i = 0; i < p->n_parts && depth < 8; i++)
        dump_part(&p->parts[i], depth + 1, out);
}

static void dump_f64(struct buf *out, const char *name, const struct chat_f64 *v)
{
    if (v->is_set)
        buf_printf(out, " %s=%g", name, v->v);
}

static void dump_opt(struct buf *out, const char *name, const struct chat_i64 *v)
{
    if (v->is_set)
        dump_i64(out, name, v->v);
}

static void dump_settings(const struct chat_request *r, struct buf *out)
{
    const struct chat_sampling *s = &r->sampling;
    buf_puts(out, "settings");
    dump_f64(out, "temperature", &s->temperature);
    dump_f64(out, "top_p", &s->top_p);
    dump_opt(out, "top_k", &s->top_k);
    dump_f64(out, "min_p", &s->min_p);
    dump_f64(out, "typical_p", &s->typical_p);
    dump_f64(out, "repeat_penalty", &s->repeat_penalty);
    dump_f64(out, "presence_penalty", &s->presence_penalty);
    dump_f64(out, "frequency_penalty", &s->frequency_penalty);
    dump_opt(out, "seed", &s->seed);
    dump_opt(out, "min_tokens", &s->min_tokens);
    if (s->ignore_eos == CHAT_YES)
        buf_puts(out, " ignore_eos");
    for (size_t i = 0; i < s->n_bias; i++)
        buf_printf(out, " bias[%lld]=%g", (long long)s->bias[i].token, s->bias[i].bias);
    dump_opt(out, "max_tokens", &r->max_tokens);
    if (r->n != 1)
        dump_i64(out, "n", r->n);
    if (r->logprobs)
        dump_i64(out, "logprobs", r->top_logprobs);
    for (size_t i = 0; i < r->n_stops; i++)
        dump_str(out, "stop", r->stops[i]);
    if (r->is_stream)
        buf_puts(out, r->is_array_stream ? " array_stream" : " stream");
    if (r->reasoning.effort)
        buf_printf(out, " effort=%s", chat_effort_name(r->reasoning.effort));
    dump_opt(out, "budget", &r->reasoning.budget_tokens);
    if (r->reasoning.show)
        buf_puts(out, r->reasoning.show == CHAT_YES ? " show" : " hide");
    dump_str(out, "user", r->user);
    buf_putc(out, '\n');
}

static void dump_tools(const struct chat_request *r, struct buf *out)
{
    static const char *const choices[] = {"default", "auto", "none", "required", "named"};
    for (size_t i = 0; i < r->n_tools; i++) {
        const struct chat_tool *t = &r->tools[i];
        buf_puts(out, "tool");
        dump_str(out, "name", t->name);
        dump_str(out, "description", t->description);
        dump_str(out, "schema", t->schema_json);
        if (t->strict)
            buf_puts(out, t->strict == CHAT_YES ? " strict" : " lax");
        if (!t->name.p)
            dump_str(out, "raw", t->raw_json);
        buf_putc(out, '\n');
    }
    if (r->tool_choice || r->parallel_tool_calls) {
        buf_printf(out, "tool_choice %s", choices[r->tool_choice]);
        for (size_t i = 0; i < r->n_tool_names; i++)
            dump_str(out, "name", r->tool_names[i]);
        if (r->parallel_tool_calls)
            buf_puts(out, r->parallel_tool_calls == CHAT_YES ? " parallel" : " single");
        buf_putc(out, '\n');
    }
}

static void dump_format(const struct chat_format *f, struct buf *out)
{
    static const char *const types[] = {"text", "json", "schema", "regex", "choice", "grammar"};
    if (f->type == CHAT_FORMAT_TEXT)
        return;
    buf_printf(out, "format %s", types[f->type]);
    dump_str(out, "field", f->field);
    dump_str(out, "name", f->name);
    dump_str(out, "schema", f->schema_json);
    dump_str(out, "text", f->text);
    for (size_t i = 0; i < f->n_choices; i++)
        dump_str(out, "choice", f->choices[i]);
    buf_putc(out, '\n');
}

static void dump_prompts(const char *what, const struct chat_prompt *list, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, what);
        dump_str(out, "text", list[i].text);
        for (size_t k = 0; k < list[i].n_tokens; k++)
            buf_printf(out, " %lld", (long long)list[i].tokens[k]);
        buf_putc(out, '\n');
    }
}

void chat_dump_request(const struct chat_request *r, struct buf *out)
{
    static const char *const ops[] = {"generate", "complete", "embed", "count_tokens"};
    static const char *const kinds[] = {"hint", "meaning", "unknown"};
    buf_printf(out, "%s", ops[r->op]);
    dump_str(out, "model", r->model);
    buf_putc(out, '\n');
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        buf_printf(out, "%s", chat_role_name(m->role));
        dump_str(out, "name", m->name);
        buf_putc(out, '\n');
        for (size_t k = 0; k < m->n_parts; k++)
            dump_part(&m->parts[k], 1, out);
    }
    dump_prompts("prompt", r->prompts, r->n_prompts, out);
    dump_prompts("input", r->inputs, r->n_inputs, out);
    dump_tools(r, out);
    dump_format(&r->format, out);
    dump_settings(r, out);
    for (size_t i = 0; i < r->n_fields; i++) {
        buf_printf(out, "%s", kinds[r->fields[i].kind]);
        dump_str(out, "field", r->fields[i].name);
        dump_str(out, "json", r->fields[i].json);
        buf_putc(out, '\n');
    }
}

static const char *finish_name(enum chat_finish f)
{
    static const char *const names[] = {"none",    "stop",       "stop_sequence",
                                        "length",  "tool_calls", "content_filter",
                                        "refusal", "pause",      "bad_tool_call"};
    return names[f];
}

static void dump_usage(const struct token_account *t, struct buf *out)
{
    buf_printf(out, " fresh=%lld read=%lld write5m=%lld write1h=%lld output=%lld reasoning=%lld",
               (long long)t->input_fresh, (long long)t->cache_read, (long long)t->cache_write_5m,
               (long long)t->cache_write_1h, (long long)t->output, (long long)t->reasoning);
}

void chat_dump_event(const struct chat_event *ev, struct buf *out)
{
    static const char *const names[] = {"start",    "text",  "reasoning", "citation", "refusal", "tool_call",
                                        "logprobs", "media", "usage",     "finish",   "error"};
    buf_printf(out, "%s", names[ev->type]);
    if (ev->choice)
        dump_i64(out, "choice", ev->choice);
    if (ev->type == CHAT_EV_TEXT || ev->type == CHAT_EV_REASONING)
        dump_i64(out, "block", ev->block);
    if (ev->type == CHAT_EV_TOOL_CALL)
        dump_i64(out, "tool", ev->tool_idx);
    dump_str(out, "id", ev->id);
    dump_str(out, "name", ev->name);
    dump_str(out, "model", ev->model);
    dump_str(out, "text", ev->text);
    if (ev->signature.p) {
        dump_str(out, "signature", ev->signature);
        buf_printf(out, " of=%s%s", signer_name(ev->signature_from), ev->is_redacted ? " redacted" : "");
    }
    if (ev->citation)
        dump_citation(ev->citation, out);
    if (ev->media) {
        buf_printf(out, " %s", part_name(ev->media_type));
        dump_media(ev->media, out);
    }
    for (size_t i = 0; i < ev->n_logprobs; i++) {
        dump_str(out, "token", ev->logprobs[i].chosen.token);
        buf_printf(out, ":%g/%zu", ev->logprobs[i].chosen.logprob, ev->logprobs[i].n_top);
    }
    if (ev->type == CHAT_EV_USAGE)
        dump_usage(&ev->usage, out);
    if (ev->type == CHAT_EV_FINISH)
        buf_printf(out, " %s%s", finish_name(ev->finish), ev->is_opaque ? " opaque" : "");
    if (ev->error)
        buf_printf(out, " %d/%d %s", ev->error->kind, ev->error->status, ev->error->message);
    buf_putc(out, '\n');
}
