/* toolcall_formats.c - The families' markups for calls and reasoning, and which a model has.
 *
 * A new family of one of the shapes is a row here, and a line in `signs`. */
#include "text/toolcall.h"

#define THINK .reasoning_begin = "<think>", .reasoning_end = "</think>"
#define NO_REASONING .reasoning_begin = "", .reasoning_end = ""
#define NO_OUTER .outer_begin = "", .outer_end = ""
#define NO_KEYS .name_key = "", .args_key = ""
#define NO_NAME .name_prefix = "", .separator = "", .id_separator = "", .args_fence = ""
#define JSON_KEYS .name_key = "name", .args_key = "arguments"
#define NO_PARAMS "", "", ""

static const struct toolcall_format formats[] = {
    {.name = "none", .shape = TOOLCALL_NONE, .begin = {""}, .end = "", NO_OUTER, NO_KEYS, NO_NAME,
     THINK, .syntax = {"", "", "", "", "", "", NO_PARAMS}},
    {.name = "hermes", .shape = TOOLCALL_JSON, .begin = {"<tool_call>", ""}, .end = "</tool_call>",
     NO_OUTER, JSON_KEYS, NO_NAME, THINK,
     .syntax = {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", "",
                NO_PARAMS}},
    {.name = "llama3", .shape = TOOLCALL_JSON, .begin = {"<|python_tag|>", ""}, .end = "",
     .is_bare = true, NO_OUTER, .name_key = "name", .args_key = "parameters", NO_NAME, NO_REASONING,
     .syntax = {"", "{\"name\": \"", "\", \"parameters\": ", "}", "; ", "", NO_PARAMS}},
    {.name = "pythonic", .shape = TOOLCALL_PYTHON, .begin = {"<|python_start|>", ""},
     .end = "<|python_end|>", .is_bare = true, .is_list = true, NO_OUTER, NO_KEYS, NO_NAME,
     NO_REASONING, .syntax = {"[", "", "(", ")", ", ", "]", "", "=", ", "}},
    {.name = "lfm2", .shape = TOOLCALL_PYTHON, .begin = {"<|tool_call_start|>", ""},
     .end = "<|tool_call_end|>", .is_list = true, NO_OUTER, NO_KEYS, NO_NAME, THINK,
     .syntax = {"<|tool_call_start|>[", "", "(", ")", ", ", "]<|tool_call_end|>", "", "=", ", "}},
    {.name = "mistral", .shape = TOOLCALL_JSON, .begin = {"[TOOL_CALLS]", ""}, .end = "",
     .is_list = true, NO_OUTER, JSON_KEYS, NO_NAME, .reasoning_begin = "[THINK]",
     .reasoning_end = "[/THINK]",
     .syntax = {"[TOOL_CALLS][", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]", NO_PARAMS}},
    {.name = "mistral_v11", .shape = TOOLCALL_NAME_JSON, .begin = {"[TOOL_CALLS]", ""}, .end = "",
     NO_OUTER, NO_KEYS, .name_prefix = "", .separator = "[ARGS]", .id_separator = "[CALL_ID]",
     .args_fence = "", .reasoning_begin = "[THINK]", .reasoning_end = "[/THINK]",
     .syntax = {"", "[TOOL_CALLS]", "[ARGS]", "", "", "", NO_PARAMS}},
    {.name = "deepseek_v3", .shape = TOOLCALL_NAME_JSON, .begin = {"<｜tool▁call▁begin｜>", ""},
     .end = "<｜tool▁call▁end｜>", .outer_begin = "<｜tool▁calls▁begin｜>",
     .outer_end = "<｜tool▁calls▁end｜>", NO_KEYS, .name_prefix = "function<｜tool▁sep｜>",
     .separator = "\n```json\n", .id_separator = "", .args_fence = "\n```", THINK,
     .syntax = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
                "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>", NO_PARAMS}},
    {.name = "deepseek_v31", .shape = TOOLCALL_NAME_JSON, .begin = {"<｜tool▁call▁begin｜>", ""},
     .end = "<｜tool▁call▁end｜>", .outer_begin = "<｜tool▁calls▁begin｜>",
     .outer_end = "<｜tool▁calls▁end｜>", NO_KEYS, .name_prefix = "", .separator = "<｜tool▁sep｜>",
     .id_separator = "", .args_fence = "", THINK,
     .syntax = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
                "<｜tool▁call▁end｜>", "", "<｜tool▁calls▁end｜>", NO_PARAMS}},
    /* The id is "functions.NAME:COUNT"; a grammar that forces several calls counts up. */
    {.name = "kimi_k2", .shape = TOOLCALL_NAME_JSON, .begin = {"<|tool_call_begin|>", ""},
     .end = "<|tool_call_end|>", .outer_begin = "<|tool_calls_section_begin|>",
     .outer_end = "<|tool_calls_section_end|>", NO_KEYS, .name_prefix = "functions.",
     .separator = "<|tool_call_argument_begin|>", .id_separator = ":", .args_fence = "", THINK,
     .syntax = {"<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.",
                ":0<|tool_call_argument_begin|>", "<|tool_call_end|>", "",
                "<|tool_calls_section_end|>", NO_PARAMS}},
    {.name = "phi4_mini", .shape = TOOLCALL_JSON, .begin = {"<|tool_call|>", "functools", ""},
     .end = "<|/tool_call|>", .is_list = true, NO_OUTER, JSON_KEYS, NO_NAME, NO_REASONING,
     .syntax = {"<|tool_call|>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ",
                "]<|/tool_call|>", NO_PARAMS}},
    {.name = "granite", .shape = TOOLCALL_JSON, .begin = {"<|tool_call|>", ""}, .end = "",
     .is_list = true, NO_OUTER, JSON_KEYS, NO_NAME, THINK,
     .syntax = {"<|tool_call|>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]", NO_PARAMS}},
    {.name = "command_r", .shape = TOOLCALL_JSON, .begin = {"<|START_ACTION|>", ""},
     .end = "<|END_ACTION|>", .is_list = true, NO_OUTER, .name_key = "tool_name",
     .args_key = "parameters", NO_NAME, .reasoning_begin = "<|START_THINKING|>",
     .reasoning_end = "<|END_THINKING|>",
     .syntax = {"<|START_ACTION|>[\n", "    {\"tool_call_id\": \"0\", \"tool_name\": \"",
                "\", \"parameters\": ", "}", ",\n", "\n]<|END_ACTION|>", NO_PARAMS}},
    {.name = "functionary", .shape = TOOLCALL_NAME_JSON, .begin = {"<function=", ""},
     .end = "</function>", NO_OUTER, NO_KEYS, .name_prefix = "", .separator = ">",
     .id_separator = "", .args_fence = "", NO_REASONING,
     .syntax = {"", "<function=", ">", "</function>", "", "", NO_PARAMS}},
    {.name = "qwen3_coder", .shape = TOOLCALL_TAGS, .begin = {"<tool_call>", "<function=", ""},
     .end = "</tool_call>", NO_OUTER, NO_KEYS, NO_NAME, THINK,
     .syntax = {"", "<tool_call>\n<function=", ">\n", "</function>\n</tool_call>", "\n", "",
                "<parameter=", ">\n", "\n</parameter>\n"}},
    {.name = "glm45", .shape = TOOLCALL_TAGS, .begin = {"<tool_call>", ""}, .end = "</tool_call>",
     NO_OUTER, NO_KEYS, NO_NAME, THINK,
     .syntax = {"", "<tool_call>", "\n", "</tool_call>", "\n", "", "<arg_key>",
                "</arg_key>\n<arg_value>", "</arg_value>\n"}},
    {.name = "minimax_m2", .shape = TOOLCALL_TAGS, .begin = {"<invoke name=\"", ""},
     .end = "</invoke>", .outer_begin = "<minimax:tool_call>", .outer_end = "</minimax:tool_call>",
     NO_KEYS, NO_NAME, THINK,
     .syntax = {"<minimax:tool_call>\n", "<invoke name=\"", "\">\n", "</invoke>\n", "",
                "</minimax:tool_call>", "<parameter name=\"", "\">", "</parameter>\n"}},
    {.name = "seed_oss", .shape = TOOLCALL_TAGS, .begin = {"<seed:tool_call>", ""},
     .end = "</seed:tool_call>", NO_OUTER, NO_KEYS, NO_NAME, .reasoning_begin = "<seed:think>",
     .reasoning_end = "</seed:think>",
     .syntax = {"", "<seed:tool_call>\n<function=", ">\n", "</function>\n</seed:tool_call>", "\n", "",
                "<parameter=", ">", "</parameter>\n"}},
    {.name = "deepseek_v32", .shape = TOOLCALL_TAGS, .begin = {"<｜DSML｜invoke name=\"", ""},
     .end = "</｜DSML｜invoke>", .outer_begin = "<｜DSML｜function_calls>",
     .outer_end = "</｜DSML｜function_calls>", NO_KEYS, NO_NAME, THINK,
     .syntax = {"<｜DSML｜function_calls>\n", "<｜DSML｜invoke name=\"", "\">\n", "</｜DSML｜invoke>", "\n",
                "\n</｜DSML｜function_calls>", "<｜DSML｜parameter name=\"", "\" string=\"false\">",
                "</｜DSML｜parameter>\n"}},
    {.name = "nemotron_v2", .shape = TOOLCALL_JSON, .begin = {"<TOOLCALL>", ""},
     .end = "</TOOLCALL>", .is_list = true, NO_OUTER, JSON_KEYS, NO_NAME, THINK,
     .syntax = {"<TOOLCALL>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]</TOOLCALL>",
                NO_PARAMS}},
    {.name = "tool_calls_list", .shape = TOOLCALL_JSON, .begin = {"<tool_calls>", ""},
     .end = "</tool_calls>", .is_list = true, NO_OUTER, JSON_KEYS, NO_NAME, THINK,
     .syntax = {"<tool_calls>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]</tool_calls>",
                NO_PARAMS}},
    /* In the prompt "<|start|>assistant" has been said. */
    {.name = "harmony", .shape = TOOLCALL_HARMONY, .begin = {""}, .end = "", NO_OUTER, NO_KEYS,
     NO_NAME, NO_REASONING,
     .syntax = {"", "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>",
                "<|call|>", "", "", NO_PARAMS}}};

#define FORMATS ((int)(sizeof formats / sizeof *formats))

/* What in a template's text, or among the special tokens, gives a family away; the first sign
 * that is found decides, so the more special ones come first. */
static const struct {
    const char *sign, *also, *format; /* `also` must be there too, unless it is "" */
} signs[] = {{"<|channel|>", "<|message|>", "harmony"},
             {"<minimax:tool_call>", "", "minimax_m2"},
             {"minimax:tool_call", "<invoke", "minimax_m2"},
             {"<|tool_calls_section_begin|>", "", "kimi_k2"},
             {"tool▁calls▁begin", "```json", "deepseek_v3"},
             {"tool▁calls▁begin", "", "deepseek_v31"},
             {"｜DSML｜", "invoke name=", "deepseek_v32"},
             {"[TOOL_CALLS]", "[ARGS]", "mistral_v11"},
             {"[TOOL_CALLS]", "", "mistral"},
             {"<arg_key>", "<arg_value>", "glm45"},
             {"<seed:tool_call>", "", "seed_oss"},
             {"<function=", "<parameter=", "qwen3_coder"},
             {"<TOOLCALL>", "", "nemotron_v2"},
             {"<tool_calls>[", "", "tool_calls_list"},
             {"<tool_calls></tool_calls>", "", "tool_calls_list"},
             {"<|tool_list_start|>", "", "lfm2"},
             {">>>all", "", "none"},
             {"<|tool_call_start|>", "", "lfm2"},
             {"<|START_ACTION|>", "", "command_r"},
             {"<|/tool_call|>", "", "phi4_mini"},
             {"functools[", "", "phi4_mini"},
             {"<|tool_call|>", "", "granite"},
             {"<tool_call>", "", "hermes"},
             {"<|python_start|>", "", "pythonic"},
             {"<function=", "", "functionary"},
             {"<|python_tag|>", "", "llama3"},
             {"<|start_header_id|>", "tool_call", "llama3"},
             {"[func_name1(", "", "pythonic"}};

const struct toolcall_format *toolcall_format_at(int i)
{
    return i >= 0 && i < FORMATS ? &formats[i] : NULL;
}

const struct toolcall_format *toolcall_format_named(const char *name)
{
    for (int i = 0; i < FORMATS; i++)
        if (str_eq(str_c(name), str_c(formats[i].name)))
            return &formats[i];
    return NULL;
}

const struct toolcall_format *toolcall_detect(struct str template_source,
                                              bool (*has_token)(void *ctx, struct str text),
                                              void *ctx)
{
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (str_find(template_source, str_c(signs[i].sign), 0) != STR_NONE &&
            str_find(template_source, str_c(signs[i].also), 0) != STR_NONE)
            return toolcall_format_named(signs[i].format);
    for (size_t i = 0; has_token && template_source.n == 0 && i < sizeof signs / sizeof *signs; i++)
        if (has_token(ctx, str_c(signs[i].sign)) &&
            (!signs[i].also[0] || has_token(ctx, str_c(signs[i].also))))
            return toolcall_format_named(signs[i].format);
    if (str_find(template_source, S("[THINK]"), 0) != STR_NONE)
        return toolcall_format_named("mistral");
    return &formats[0];
}

bool toolcall_prompt_opens_reasoning(const struct toolcall_format *f, struct str prompt)
{
    struct str open = str_c(f->reasoning_begin);
    return open.n && str_ends(str_trim(prompt), open);
}
