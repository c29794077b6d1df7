/* template_probe.c - What a template can do, by rendering small conversations with it.
 *
 * A template says nowhere whether it takes a call's arguments as text or as an object, or
 * whether it shows tools.  So it is asked: a word that occurs nowhere else is put in one place
 * of a conversation, and the question is whether it comes out, and how. */
#include "text/jinja_int.h"
#include "text/template_int.h"

#define PROBE_BYTES_MAX (16u << 20)
#define PROBE_STEPS_MAX 200000
#define PROBE_TIME_S    1700000000

#define USER "{\"role\":\"user\",\"content\":\"hello\"}"
#define TOOLS                                                                                                \
    "[{\"type\":\"function\",\"function\":{\"name\":\"QZtool\",\"description\":\"d\","                       \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"QZarg\":{\"type\":\"string\","                    \
    "\"description\":\"d\"}},\"required\":[\"QZarg\"]}}}]"
#define CALL(id, name, args)                                                                                 \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":" args "}}"
#define CALLER(calls) "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" calls "]}"
#define RESULT                                                                                               \
    "{\"role\":\"tool\",\"tool_call_id\":\"abcdefgh1\",\"name\":\"QZtool\",\"content\":\"QZresult\"}"

struct probe {
    const struct template *t;
    struct template_caps caps; /* how messages are prepared */
    struct arena arena;        /* reset for each question */
    bool with_prompt;
};

/* The page for these messages, NULL text if the template refuses them. */
static struct str page_of(struct probe *p, const char *messages, const char *tools)
{
    struct json_doc doc, tools_doc;
    struct template_output out;
    struct template_input in = {
        .add_generation_prompt = p->with_prompt, .now_unix_s = PROBE_TIME_S, .steps_max = PROBE_STEPS_MAX};
    const struct template_text texts[] = {{S("bos_token"), S("")}, {S("eos_token"), S("")}};
    struct str none = {NULL, 0};
    arena_reset(&p->arena);
    if (json_parse(&doc, &p->arena, str_c(messages), NULL) != OK)
        return none;
    in.messages = json_root(&doc);
    if (tools && json_parse(&tools_doc, &p->arena, str_c(tools), NULL) == OK)
        in.tools = json_root(&tools_doc);
    in.texts = texts;
    in.n_texts = 2;
    if (template_render_with(p->t, &p->caps, &p->arena, &in, &out, NULL) != OK)
        return none;
    return out.text;
}

static bool shows(struct probe *p, const char *messages, const char *tools, struct str word)
{
    struct str page = page_of(p, messages, tools);
    return page.p && str_find(page, word, 0) != STR_NONE;
}

/* Does the page show the arguments, as JSON or as parameters, and not as Python or quoted twice? */
static bool shows_arguments(struct probe *p, const char *messages)
{
    struct str page = page_of(p, messages, TOOLS);
    return page.p && str_find(page, S("QZkey"), 0) != STR_NONE &&
           str_find(page, S("QZvalue"), 0) != STR_NONE && str_find(page, S("'QZkey'"), 0) == STR_NONE &&
           str_find(page, S("\\\"QZkey"), 0) == STR_NONE;
}

static void ask_about_arguments(struct probe *p, struct template_caps *caps)
{
    static const char object[] =
        "[" USER "," CALLER(CALL("abcdefgh1", "QZtool", "{\"QZkey\":\"QZvalue\"}")) "," RESULT "]";
    static const char text[] =
        "[" USER "," CALLER(CALL("abcdefgh1", "QZtool", "\"{\\\"QZkey\\\": \\\"QZvalue\\\"}\"")) "," RESULT
                                                                                                 "]";
    bool takes_object = shows_arguments(p, object), takes_text = shows_arguments(p, text);
    caps->arguments_must_be_text = takes_text && !takes_object;
}

static void ask_about_content(struct probe *p, struct template_caps *caps)
{
    static const char parts[] = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"QZtext\"}]}]";
    static const char text[] = "[{\"role\":\"user\",\"content\":\"QZtext\"}]";
    struct str page = page_of(p, parts, NULL);
    bool takes_parts = page.p && str_find(page, S("QZtext"), 0) != STR_NONE &&
                       str_find(page, S("'QZtext'"), 0) == STR_NONE &&
                       str_find(page, S("\"QZtext\""), 0) == STR_NONE;
    bool takes_text = shows(p, text, NULL, S("QZtext"));
    caps->content_must_be_text = !takes_parts;
    caps->content_must_be_parts = takes_parts && !takes_text;
}

static void ask_about_tools(struct probe *p, struct template_caps *caps)
{
    static const char one[] =
        "[" USER "," CALLER(CALL("abcdefgh1", "QZtool", "{\"QZkey\":\"QZvalue\"}")) "," RESULT "]";
    static const char two[] =
        "[" USER "," CALLER(CALL("abcdefgh1", "QZone", "{\"QZkey\":\"QZvalue\"}") "," CALL(
            "abcdefgh2", "QZtwo", "{\"QZkey\":\"QZvalue\"}")) "," RESULT "]";
    caps->has_tools = shows(p, "[" USER "]", TOOLS, S("QZtool"));
    caps->has_tool_calls = shows(p, one, TOOLS, S("QZvalue"));
    caps->has_tool_results = shows(p, one, TOOLS, S("QZresult"));
    caps->has_parallel_calls = shows(p, two, TOOLS, S("QZone")) && shows(p, two, TOOLS, S("QZtwo"));
}

static void ask_the_rest(struct probe *p, struct template_caps *caps)
{
    static const char system[] = "[{\"role\":\"system\",\"content\":\"QZsystem\"}," USER "]";
    static const char reasoning[] =
        "[" USER ",{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"QZwhy\","
        "\"tool_calls\":[" CALL("abcdefgh1", "QZtool", "{}") "]}," RESULT "]";
    caps->has_system = shows(p, system, NULL, S("QZsystem")) || shows(p, system, TOOLS, S("QZsystem"));
    caps->has_reasoning = shows(p, reasoning, TOOLS, S("QZwhy"));
    size_t without = page_of(p, "[" USER "]", NULL).n;
    p->with_prompt = true;
    caps->has_generation_prompt = page_of(p, "[" USER "]", NULL).n > without;
    p->with_prompt = false;
}

void template_probe(struct template *t)
{
    struct probe p = {.t = t, .caps = {.arguments_as_given = true}};
    struct template_caps caps = {0};
    arena_init(&p.arena, PROBE_BYTES_MAX);
    ask_about_content(&p, &caps);
    p.caps.content_must_be_text = caps.content_must_be_text;
    p.caps.content_must_be_parts = caps.content_must_be_parts;
    ask_about_arguments(&p, &caps);
    p.caps = caps;
    ask_about_tools(&p, &caps);
    ask_the_rest(&p, &caps);
    t->caps = caps;
    arena_deinit(&p.arena);
}
