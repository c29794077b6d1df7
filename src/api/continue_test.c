/* continue_test.c - A begun answer in the request to each kind of provider, written anew and spliced. */
#include "api/dialect.h"
#include "base/json.h"
#include "base/test.h"

static void check(enum dialect_id client, const char *path, struct str body, enum dialect_id provider,
                  uint32_t quirks, struct str want)
{
    struct arena a;
    struct chat_request *req;
    struct chat_error e = {0};
    struct buf out_body;
    arena_init(&a, 1 << 20);
    buf_init(&out_body, 1 << 20);
    struct dialect_in in = {.path = str_c(path), .query = S("alt=sse"), .body = body};
    REQUIRE(dialect_get(client)->read_request(&in, &a, &req, &e) == OK);
    struct chat_request asked = *req;
    struct chat_part part = {.type = CHAT_PART_TEXT, .text = S("so \"far\"")};
    struct chat_message messages[2] = {req->messages[0],
                                       {.role = CHAT_ASSISTANT, .at = 1, .parts = &part, .n_parts = 1}};
    REQUIRE(req->n_messages == 1);
    asked.messages = messages;
    asked.n_messages = 2;
    asked.is_continued = true;
    asked.max_tokens = (struct chat_i64){90, true};
    struct dialect_target t = {.model = S("m"), .quirks = quirks};
    struct dialect_out out = {.body = &out_body};
    const struct dialect *d = dialect_get(provider);
    int rc =
        client == provider ? d->pass_request(&asked, &t, &a, &out) : d->write_request(&asked, &t, &a, &out);
    CHECK_INT(rc, OK);
    struct json_doc doc;
    struct err err = {0};
    CHECK_INT(json_parse(&doc, &a, buf_str(&out_body), &err), OK);
    if (str_find(buf_str(&out_body), want, 0) == STR_NONE)
        test_fail(__FILE__, __LINE__, "%.*s lacks %.*s", STR(buf_str(&out_body)), STR(want));
    CHECK(str_find(buf_str(&out_body), S("90"), 0) != STR_NONE &&
          str_find(buf_str(&out_body), S("100"), 0) == STR_NONE);
    buf_deinit(&out_body);
    arena_deinit(&a);
}

#define OPENAI                                                                                               \
    DIALECT_OPENAI_CHAT, "/v1/chat/completions",                                                             \
        S("{\"model\":\"x\",\"stream\":true,\"max_tokens\":100,\"messages\":[{\"role\":\"user\","            \
          "\"content\":\"hi\"}]}")
#define ANTHROPIC                                                                                            \
    DIALECT_ANTHROPIC, "/v1/messages",                                                                       \
        S("{\"model\":\"x\",\"stream\":true,\"max_tokens\":100,\"messages\":[{\"role\":\"user\","            \
          "\"content\":\"hi\"} ]}")
#define GEMINI                                                                                               \
    DIALECT_GEMINI, "/v1beta/models/x:streamGenerateContent",                                                \
        S("{\"generationConfig\":{\"maxOutputTokens\":100},\"contents\":[{\"role\":\"user\",\"parts\":[{"    \
          "\"text\":\"hi\"}]}]}")

TEST(a_begun_answer_is_marked_as_the_provider_wants_it)
{
    check(OPENAI, DIALECT_OPENAI_CHAT, QUIRK_MAX_TOKENS_OLD,
          S("{\"role\":\"assistant\",\"content\":\"so \\\"far\\\"\"}]"));
    check(OPENAI, DIALECT_OPENAI_CHAT, QUIRK_CONTINUE_PREFIX, S("\"so \\\"far\\\"\",\"prefix\":true}]"));
    check(OPENAI, DIALECT_OPENAI_CHAT, QUIRK_CONTINUE_FINAL,
          S("\"continue_final_message\":true,\"add_generation_prompt\":false"));
    check(ANTHROPIC, DIALECT_OPENAI_CHAT, QUIRK_CONTINUE_PREFIX, S("\"so \\\"far\\\"\",\"prefix\":true}]"));
    check(GEMINI, DIALECT_OPENAI_CHAT, QUIRK_CONTINUE_PARTIAL, S("\"so \\\"far\\\"\",\"partial\":true}]"));
    check(GEMINI, DIALECT_OPENAI_CHAT, QUIRK_CONTINUE_FINAL,
          S("\"continue_final_message\":true,\"add_generation_prompt\":false"));
    check(ANTHROPIC, DIALECT_ANTHROPIC, 0,
          S("\"hi\"} ,{\"role\":\"assistant\",\"content\":\"so \\\"far\\\"\"}]"));
    check(OPENAI, DIALECT_ANTHROPIC, 0,
          S("{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"so \\\"far\\\"\"}]}]"));
    check(GEMINI, DIALECT_GEMINI, 0, S("{\"role\":\"model\",\"parts\":[{\"text\":\"so \\\"far\\\"\"}]}]"));
    check(OPENAI, DIALECT_GEMINI, 0, S("{\"role\":\"model\",\"parts\":[{\"text\":\"so \\\"far\\\"\"}]}]"));
}
