#include "gateway/providers.h"

#include <stdlib.h>

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

TEST(the_table_in_the_docs_is_the_table_of_kinds)
{
    struct buf b;
    size_t n;
    char *docs = test_read_file("docs/providers.md", &n);
    buf_init(&b, 1 << 16);
    provider_kinds_write_docs(&b);
    CHECK(docs && str_find(str_of(docs, n), buf_str(&b), 0) != STR_NONE);
    buf_deinit(&b);
    free(docs);
}
