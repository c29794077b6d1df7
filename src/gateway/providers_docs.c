/* providers_docs.c - The table of provider kinds in words, for docs/providers.md. */
#include "gateway/providers.h"

static const struct {
    uint32_t quirk;
    const char *words;
} quirk_words[] = {
    {QUIRK_MAX_TOKENS_OLD, "`max_tokens`, not `max_completion_tokens`"},
    {QUIRK_NO_STREAM_OPTIONS, "no `stream_options`"},
    {QUIRK_ENGINE_FIELDS, "takes `top_k`, `min_p`, `repeat_penalty`, `guided_*` and their kin"},
    {QUIRK_NO_DEVELOPER, "role `developer` becomes `system`"},
    {QUIRK_NO_SCHEMA, "no JSON Schema output"},
    {QUIRK_NO_JSON_MODE, "no JSON output"},
    {QUIRK_NO_TOOLS, "no tools"},
    {QUIRK_NO_IMAGES, "no images"},
    {QUIRK_REASONING_BACK, "gets `reasoning_content` of past turns back"},
    {QUIRK_NO_LOGPROBS, "no `logprobs`"},
    {QUIRK_NO_N, "no `n` above 1"},
    {QUIRK_NO_EFFORT, "`reasoning_effort` is dropped"},
    {QUIRK_SHORT_IDS, "ids of tool calls are made 9 letters or digits"},
};

static const char *continues_by(const struct provider_kind *k)
{
    if (k->dialect == DIALECT_NONE)
        return "the template is cut behind it";
    if (k->quirks & QUIRK_CONTINUE_FINAL)
        return "`continue_final_message`";
    if (k->quirks & QUIRK_CONTINUE_PREFIX)
        return k->continue_url ? "`prefix: true`, at `/beta`" : "`prefix: true`";
    if (k->quirks & QUIRK_CONTINUE_PARTIAL)
        return "`partial: true`";
    return k->dialect == DIALECT_GEMINI ? "a last turn of the model" : "a last assistant message";
}

static void write_row(const struct provider_kind *k, struct buf *out)
{
    const struct dialect *d = dialect_get(k->dialect);
    const char *names[DIALECT_COUNT] = {
        [DIALECT_OPENAI_CHAT] = "OpenAI", [DIALECT_ANTHROPIC] = "Anthropic", [DIALECT_GEMINI] = "Gemini"};
    buf_printf(out, "| `%s` | %s | %s | ", k->name, d ? names[k->dialect] : "the engine",
               k->base_url ? k->base_url
               : d         ? "your `base_url`"
                           : "this process");
    struct str name = str_c(k->auth_header ? k->auth_header : d ? d->auth_header : "");
    struct str prefix = str_trim(str_c(k->auth_header ? k->auth_prefix : d ? d->auth_prefix : ""));
    if (!d || k->needs_no_key)
        buf_puts(out, "none needed");
    else
        buf_printf(out, "`%.*s%s%.*s`", STR(name), prefix.n ? ": " : "", STR(prefix));
    buf_puts(out, " | ");
    int n = 0;
    for (size_t i = 0; i < sizeof quirk_words / sizeof *quirk_words; i++)
        if (k->quirks & quirk_words[i].quirk)
            buf_printf(out, "%s%s", n++ ? "; " : "", quirk_words[i].words);
    buf_printf(out, "%s | %s |\n", n ? "" : "–", continues_by(k));
}

void provider_kinds_write_docs(struct buf *out)
{
    buf_puts(out, "| kind | dialect | address | key | what differs | a begun answer is continued by |\n"
                  "|---|---|---|---|---|---|\n");
    for (const struct provider_kind *k = provider_kinds; k->name; k++)
        write_row(k, out);
}
