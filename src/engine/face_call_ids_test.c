#include "base/json.h"
#include "base/test.h"
#include "engine/face_int.h"

static struct str shortened(const char *text, struct arena *a)
{
    static struct json_doc doc;
    REQUIRE(json_parse(&doc, a, str_c(text), NULL) == OK);
    return face_short_call_ids(json_root(&doc), json_span(json_root(&doc)), a);
}

TEST(long_ids_of_calls_become_nine_letters_and_results_still_find_their_calls)
{
    struct arena a;
    struct json_doc doc;
    arena_init(&a, 1 << 20);
    struct str s =
        shortened("[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\"},"
                  "{\"id\":\"abcdefgh9\"}]},{\"tool_call_id\":\"call_1\",\"content\":\"call_1\"},"
                  "{\"tool_call_id\":\"abcdefgh9\"}]",
                  &a);
    REQUIRE(json_parse(&doc, &a, s, NULL) == OK);
    struct json list = json_root(&doc);
    struct json calls = json_get(json_at(list, 0), "tool_calls");
    struct str id = json_text(json_get(json_at(calls, 0), "id"), &a);
    CHECK_INT(id.n, 9);
    CHECK_STR(json_text(json_get(json_at(list, 1), "tool_call_id"), &a), id);
    CHECK_STR(json_text(json_get(json_at(list, 1), "content"), &a), S("call_1"));
    CHECK_STR(json_text(json_get(json_at(calls, 1), "id"), &a), S("abcdefgh9"));
    CHECK_STR(json_text(json_get(json_at(list, 2), "tool_call_id"), &a), S("abcdefgh9"));
    const char *plain = "[{\"role\":\"user\",\"content\":\"x\"}]";
    CHECK(shortened(plain, &a).p == plain);
    arena_deinit(&a);
}
