#include "gateway/price.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/test.h"

TEST(cost_is_exact_and_rounded_once)
{
    struct config_price p = price_complete((struct config_price){150000, 75000, 600000, -1, -1}, false);
    struct token_account t = {.input_fresh = 1000, .cache_read = 500, .output = 100};
    /* 1000 x 0.15 + 500 x 0.075 + 100 x 0.60 dollars per million = 0.0002475 dollars */
    CHECK_INT(price_cost_nano(&p, &t), 247500);
    struct config_price tiny = {1, 1, 1, 1, 1};
    struct token_account some = {.input_fresh = 499};
    CHECK_INT(price_cost_nano(&tiny, &some), 0);
    some.input_fresh = 500;
    CHECK_INT(price_cost_nano(&tiny, &some), 1);
}

TEST(what_is_not_priced_follows_the_vendors_rules)
{
    struct config_price a = price_complete((struct config_price){3000000, -1, 15000000, -1, -1}, true);
    CHECK(a.cached_input == 3000000 && a.cache_write == 3750000 && a.cache_write_1h == 6000000);
    struct config_price unknown = price_complete((struct config_price){-1, -1, -1, -1, -1}, true);
    CHECK(!config_price_is_known(&unknown));
    struct token_account t = {.input_fresh = 5};
    CHECK_INT(price_cost_nano(&unknown, &t), 0);
    CHECK(price_most_nano(&a, 1000, 10) >=
          price_cost_nano(&a, &(struct token_account){.cache_write_1h = 1000, .output = 10}));
}

TEST(the_communitys_file_is_read)
{
    char path[] = "/tmp/sluice-prices-XXXXXX";
    REQUIRE(mkstemp(path) >= 0);
    REQUIRE(
        sys_write_file(path,
                       S("{\"gpt-4o-mini\":{\"input_cost_per_token\":1.5e-07,\"output_cost_per_token\":6e-07,"
                         "\"cache_read_input_token_cost\":7.5e-08,\"max_input_tokens\":128000},"
                         "\"groq/x\":{\"input_cost_per_token\":1e-06,\"output_cost_per_token\":2e-06},"
                         "\"sample_spec\":{\"input_cost_per_token\":\"text\"}}"),
                       0600, NULL) == OK);
    struct err err = {0};
    struct price_table *t = price_table_load(path, &err);
    REQUIRE(t != NULL);
    struct config_price p;
    int64_t context;
    CHECK(price_table_find(t, S("openai"), S("gpt-4o-mini"), &p, &context));
    CHECK(p.input == 150000 && p.cached_input == 75000 && p.output == 600000 && p.cache_write == -1 &&
          context == 128000);
    CHECK(price_table_find(t, S("groq"), S("x"), &p, NULL) && p.output == 2000000);
    CHECK(!price_table_find(t, S("openai"), S("x"), &p, NULL));
    CHECK(!price_table_find(t, S("openai"), S("sample_spec"), &p, NULL));
    price_table_free(t);
    unlink(path);
}
