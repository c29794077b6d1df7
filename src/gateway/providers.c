/* providers.c - See providers.h.  Addresses are those of the vendors' own documentation. */
#include "gateway/providers.h"

#include "net/addr.h"

#define COMPATIBLE (QUIRK_MAX_TOKENS_OLD | QUIRK_NO_DEVELOPER | QUIRK_NO_EFFORT)

const struct provider_kind provider_kinds[] = {
    {.name = "openai",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.openai.com/v1",
     .base_path = "/v1",
     .otel_name = "openai"},
    {.name = "anthropic",
     .dialect = DIALECT_ANTHROPIC,
     .base_url = "https://api.anthropic.com/v1",
     .base_path = "/v1",
     .otel_name = "anthropic"},
    {.name = "gemini",
     .dialect = DIALECT_GEMINI,
     .base_url = "https://generativelanguage.googleapis.com/v1beta",
     .base_path = "/v1beta",
     .otel_name = "gcp.gemini"},
    {.name = "local", .dialect = DIALECT_NONE, .base_path = "", .needs_no_key = true, .otel_name = "sluice"},
    {.name = "azure",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_path = "/openai/v1",
     .auth_header = "api-key",
     .auth_prefix = "",
     .has_deployments = true,
     .otel_name = "azure.ai.openai"},
    {.name = "mistral",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.mistral.ai/v1",
     .base_path = "/v1",
     .quirks = COMPATIBLE | QUIRK_NO_LOGPROBS | QUIRK_SHORT_IDS | QUIRK_CONTINUE_PREFIX,
     .otel_name = "mistral_ai"},
    {.name = "deepseek",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.deepseek.com/v1",
     .base_path = "/v1",
     .continue_url = "https://api.deepseek.com/beta",
     .quirks = COMPATIBLE | QUIRK_NO_SCHEMA | QUIRK_NO_IMAGES | QUIRK_NO_N | QUIRK_REASONING_BACK |
               QUIRK_CONTINUE_PREFIX,
     .otel_name = "deepseek"},
    {.name = "qwen",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
     .base_path = "/compatible-mode/v1",
     .quirks = COMPATIBLE | QUIRK_CONTINUE_PARTIAL,
     .otel_name = "alibaba.qwen"},
    {.name = "dashscope",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://dashscope.aliyuncs.com/compatible-mode/v1",
     .base_path = "/compatible-mode/v1",
     .quirks = COMPATIBLE | QUIRK_CONTINUE_PARTIAL,
     .otel_name = "alibaba.qwen"},
    {.name = "xai",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.x.ai/v1",
     .base_path = "/v1",
     .quirks = QUIRK_NO_DEVELOPER,
     .otel_name = "x_ai"},
    {.name = "perplexity",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.perplexity.ai",
     .base_path = "",
     .quirks = COMPATIBLE | QUIRK_NO_TOOLS | QUIRK_NO_N | QUIRK_NO_LOGPROBS,
     .otel_name = "perplexity"},
    {.name = "groq",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.groq.com/openai/v1",
     .base_path = "/openai/v1",
     .quirks = QUIRK_NO_DEVELOPER | QUIRK_NO_N | QUIRK_NO_LOGPROBS,
     .otel_name = "groq"},
    {.name = "together",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.together.xyz/v1",
     .base_path = "/v1",
     .quirks = COMPATIBLE | QUIRK_ENGINE_FIELDS,
     .otel_name = "together_ai"},
    {.name = "fireworks",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://api.fireworks.ai/inference/v1",
     .base_path = "/inference/v1",
     .quirks = COMPATIBLE | QUIRK_ENGINE_FIELDS,
     .otel_name = "fireworks_ai"},
    {.name = "openrouter",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "https://openrouter.ai/api/v1",
     .base_path = "/api/v1",
     .quirks = COMPATIBLE | QUIRK_ENGINE_FIELDS,
     .otel_name = "openrouter"},
    {.name = "ollama",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "http://127.0.0.1:11434/v1",
     .base_path = "/v1",
     .quirks = COMPATIBLE | QUIRK_NO_N | QUIRK_NO_LOGPROBS,
     .needs_no_key = true,
     .otel_name = "ollama"},
    {.name = "vllm",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "http://127.0.0.1:8000/v1",
     .base_path = "/v1",
     .quirks = COMPATIBLE | QUIRK_ENGINE_FIELDS | QUIRK_CONTINUE_FINAL,
     .needs_no_key = true,
     .otel_name = "vllm"},
    {.name = "llama-server",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "http://127.0.0.1:8080/v1",
     .base_path = "/v1",
     .quirks = COMPATIBLE | QUIRK_ENGINE_FIELDS | QUIRK_NO_N,
     .needs_no_key = true,
     .otel_name = "llama_cpp"},
    {.name = "lmstudio",
     .dialect = DIALECT_OPENAI_CHAT,
     .base_url = "http://127.0.0.1:1234/v1",
     .base_path = "/v1",
     .quirks = COMPATIBLE,
     .needs_no_key = true,
     .otel_name = "lmstudio"},
    {0},
};

const struct provider_kind *provider_kind_find(struct str name)
{
    for (const struct provider_kind *k = provider_kinds; k->name; k++)
        if (str_eq(str_c(k->name), name))
            return k;
    return NULL;
}

void provider_kinds_list(struct buf *out)
{
    for (const struct provider_kind *k = provider_kinds; k->name; k++)
        buf_printf(out, "%s%s", k == provider_kinds ? "" : ", ", k->name);
}

const struct dialect *provider_dialect(const struct provider_kind *kind, enum chat_op op)
{
    if (kind->dialect != DIALECT_OPENAI_CHAT) {
        const struct dialect *d = dialect_get(kind->dialect);
        return op == CHAT_OP_COMPLETE ? NULL : d;
    }
    switch (op) {
    case CHAT_OP_COMPLETE: return dialect_get(DIALECT_OPENAI_COMPLETIONS);
    case CHAT_OP_EMBED: return dialect_get(DIALECT_OPENAI_EMBEDDINGS);
    case CHAT_OP_COUNT_TOKENS: return NULL;
    default: return dialect_get(DIALECT_OPENAI_CHAT);
    }
}

void provider_url(const struct provider_kind *kind, const struct config_provider *p, struct str model,
                  bool is_continued, struct str path, struct buf *out)
{
    bool is_own = p->base_url.n && !str_eq(p->base_url, str_c(kind->base_url));
    struct str base = is_own ? p->base_url : str_c(kind->base_url);
    if (is_continued && kind->continue_url && !is_own)
        base = str_c(kind->continue_url);
    struct url url;
    while (base.n && base.p[base.n - 1] == '/')
        base = str_sub(base, 0, base.n - 1);
    buf_str_add(out, base);
    bool with_deployment = kind->has_deployments && p->api_version.n;
    if (url_parse(base, &url, NULL) == OK && url.path.n == 0)
        buf_puts(out, with_deployment ? "/openai" : kind->base_path);
    if (with_deployment)
        buf_printf(out, "/deployments/%.*s", STR(model));
    buf_str_add(out, path);
    if (p->api_version.n)
        buf_printf(out, "%sapi-version=%.*s", str_find_char(path, '?', 0) == STR_NONE ? "?" : "&",
                   STR(p->api_version));
}
