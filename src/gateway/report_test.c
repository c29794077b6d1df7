#include "gateway/report.h"

#include "base/test.h"

static void expect_usd(int64_t nano, struct str want)
{
    struct buf out;
    buf_init(&out, 64);
    report_write_usd(nano, &out);
    CHECK_STR(buf_str(&out), want);
    buf_deinit(&out);
}

TEST(dollars_are_exact_to_the_nano)
{
    expect_usd(0, S("0.0"));
    expect_usd(1, S("0.000000001"));
    expect_usd(24750, S("0.00002475"));
    expect_usd(NANO_PER_USD * 20, S("20.0"));
    expect_usd(-1500000000, S("-1.5"));
    expect_usd(INT64_MAX, S("9223372036.854775807"));
}

static struct str text_of(struct store *s, unsigned by, enum report_form form, struct buf *out)
{
    struct err err = {0};
    buf_clear(out);
    CHECK_INT(report_write_usage(s, by, 0, 2000, form, out, &err), OK);
    return buf_str(out);
}

TEST(usage_in_all_forms_and_no_formula_for_spreadsheets)
{
    struct store *s = NULL;
    struct err err = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    REQUIRE(store_open(S("sqlite::memory:"), &s, &err) == OK);
    static struct record r;
    r = (struct record){.type = RECORD_CLOSE,
                        .id = S("req_1"),
                        .wall_ns = INT64_C(1000000000000),
                        .user = S("=cmd(\"x\")"),
                        .model = S("m"),
                        .endpoint = S("openai"),
                        .n_attempts = 1};
    r.attempts[0] = (struct record_attempt){
        .provider = S("p"), .model = S("pm"), .tokens = {10, 5, 0, 0, 3, 0}, .cost_nano = 1500};
    REQUIRE(store_begin(s, &err) == OK && store_add_close(s, &r, true, &err) == OK &&
            store_commit(s, &err) == OK);
    CHECK_STR(text_of(s, USAGE_USER, REPORT_CSV, &out),
              S("user,requests,input_tokens,cached_input_tokens,output_tokens,cost_usd\r\n"
                "\"'=cmd(\"\"x\"\")\",1,15,5,3,0.0000015\r\n"));
    CHECK_STR(
        text_of(s, USAGE_MODEL | USAGE_PROVIDER, REPORT_JSON, &out),
        S("{\"from\":\"1970-01-01T00:00:00.000Z\",\"to\":\"1970-01-01T00:33:20.000Z\",\"by\":[\"model\","
          "\"provider\"],\"rows\":[{\"model\":\"m\",\"provider\":\"p\",\"requests\":1,\"input_tokens\":15,"
          "\"cached_input_tokens\":5,\"output_tokens\":3,\"cost_usd\":0.0000015}],\"total\":{\"requests\":1,"
          "\"input_tokens\":15,\"cached_input_tokens\":5,\"output_tokens\":3,\"cost_usd\":0.0000015}}"));
    buf_deinit(&out);
    store_close(s);
}

TEST(a_wish_with_a_fault_makes_no_key)
{
    struct store *s = NULL;
    struct err err = {0};
    char text[KEY_TEXT_BYTES], id[KEY_ID_BYTES];
    REQUIRE(store_open(S("sqlite::memory:"), &s, &err) == OK);
    const struct store_key bad[] = {{.budget_nano = -1},
                                    {.name = S("a/b"), .budget_nano = -1},
                                    {.name = S("a"), .budget_nano = -1, .priority = S("urgent")},
                                    {.name = S("a"), .budget_nano = 5, .budget_per = S("year")},
                                    {.name = S("a"), .budget_nano = -1, .budget_per = S("day")}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(report_make_key(s, &bad[i], text, id, &err), ERR_ARG);
    struct store_key good = {.name = S("a"), .budget_nano = -1};
    CHECK_INT(report_make_key(s, &good, text, id, &err), OK);
    CHECK_INT(report_make_key(s, &good, text, id, &err), ERR_ARG);
    CHECK(strncmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) == 0 && strncmp(id, "key_", 4) == 0);
    store_close(s);
}
