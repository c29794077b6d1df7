/* fuzz_template.c - Any bytes as a chat template and its messages: rendered or refused.
 *
 * Input: the template, a NUL, JSON of the messages (or a default).  What is rendered must be
 * cut into segments that make up the text, none empty and neighbours different. */
#include <stdlib.h>

#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char default_messages[] =
    "[{\"role\":\"user\",\"content\":\"Hi <|im_end|> \\u00df\"},{\"role\":\"assistant\","
    "\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":"
    "\"f\",\"arguments\":{\"x\":[1,2.5,true,null,{\"y\":\"z\"}]}}}]},{\"role\":\"tool\","
    "\"content\":[{\"type\":\"text\",\"text\":\"ok\"}]}]";

static void check(const struct template_output *out)
{
    size_t at = 0;
    for (int i = 0; i < out->n_segments; i++) {
        const struct template_segment *s = &out->segments[i];
        if (s->text.n == 0 || s->text.p != out->text.p + at ||
            (i && s->is_data == out->segments[i - 1].is_data))
            abort();
        at += s->text.n;
    }
    if (at != out->text.n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str all = str_of((const char *)data, n), messages = str_c(default_messages);
    size_t end = str_find_char(all, 0, 0);
    struct template *t;
    struct template_output out;
    struct json_doc doc, tools;
    struct arena arena;
    struct err err;
    const struct template_text texts[] = {{S("bos_token"), S("<s>")}, {S("eos_token"), S("</s>")}};
    if (template_compile(&t, str_sub(all, 0, end), &err) != OK)
        return 0;
    arena_init(&arena, 8u << 20);
    struct template_input in = {.texts = texts,
                                .n_texts = 2,
                                .add_generation_prompt = true,
                                .now_unix_s = 1700000000,
                                .steps_max = 100000,
                                .output_bytes_max = 1u << 20};
    if (end != STR_NONE && json_parse(&doc, &arena, str_sub(all, end + 1, n), NULL) == OK)
        in.messages = json_root(&doc);
    else if (json_parse(&doc, &arena, messages, NULL) == OK)
        in.messages = json_root(&doc);
    if (json_parse(&tools, &arena,
                   S("[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                     "\"description\":\"d\",\"parameters\":{\"type\":\"object\","
                     "\"properties\":{\"x\":{\"type\":\"array\"}}}}}]"),
                   NULL) == OK)
        in.tools = json_root(&tools);
    if (template_render(t, &arena, &in, &out, &err) == OK)
        check(&out);
    arena_deinit(&arena);
    template_free(t);
    return 0;
}
