#include "gateway/providers.h"

#include "base/test.h"

static void leads(const char *kind, const char *base, bool is_continued, struct str want)
{
    struct config_provider p = {.kind = str_c(kind), .base_url = str_c(base)};
    struct buf b;
    buf_init(&b, 4096);
    provider_url(provider_kind_find(p.kind), &p, S("m"), is_continued, S("/chat/completions"), &b);
    CHECK_STR(buf_str(&b), want);
    buf_deinit(&b);
}

TEST(deepseek_continues_at_its_beta_address)
{
    leads("deepseek", "", false, S("https://api.deepseek.com/v1/chat/completions"));
    leads("deepseek", "", true, S("https://api.deepseek.com/beta/chat/completions"));
    leads("deepseek", "https://api.deepseek.com/v1", true,
          S("https://api.deepseek.com/beta/chat/completions"));
    leads("deepseek", "https://mirror.example/v1", true, S("https://mirror.example/v1/chat/completions"));
    leads("mistral", "", true, S("https://api.mistral.ai/v1/chat/completions"));
}
