#include "text/toolcall.h"

#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "text/template.h"

/* Events as one line: neighbours joined, "T(..)" text, "R(..)" reasoning, "C(name#id:args)". */
struct record {
    struct buf out;
    int last; /* kind under way, or -1 */
    struct buf id;
};

static void close_last(struct record *r)
{
    if (r->last == TOOLCALL_TEXT || r->last == TOOLCALL_REASONING)
        buf_puts(&r->out, ")");
    r->last = -1;
}

static void on_event(void *ctx, const struct toolcall_event *e)
{
    struct record *r = ctx;
    if (e->kind == TOOLCALL_TEXT || e->kind == TOOLCALL_REASONING) {
        if (r->last != (int)e->kind) {
            close_last(r);
            buf_puts(&r->out, e->kind == TOOLCALL_TEXT ? "T(" : "R(");
        }
        r->last = (int)e->kind;
        buf_str_add(&r->out, e->text);
        return;
    }
    close_last(r);
    if (e->kind == TOOLCALL_START)
        buf_printf(&r->out, "C%d(%.*s:", e->call, STR(e->name));
    else if (e->kind == TOOLCALL_ARGS)
        buf_str_add(&r->out, e->text);
    else
        buf_printf(&r->out, "%s%.*s%s)", e->id.n ? "#" : "", STR(e->id), e->is_complete ? "" : "...");
}

/* Feed `input` cut at `cut`; step 1 feeds byte by byte. */
static void feed(struct record *r, const char *format, struct str input, size_t cut, bool bytewise,
                 bool in_reasoning)
{
    struct toolcall_parser p;
    const struct toolcall_format *f = toolcall_format_named(format);
    REQUIRE(f);
    buf_init(&r->out, 1u << 22);
    r->last = -1;
    toolcall_init(&p, f, true, in_reasoning, on_event, r);
    if (bytewise) {
        for (size_t i = 0; i < input.n; i++)
            toolcall_feed(&p, str_sub(input, i, i + 1));
    } else {
        toolcall_feed(&p, str_sub(input, 0, cut));
        toolcall_feed(&p, str_sub(input, cut, input.n));
    }
    toolcall_finish(&p);
    close_last(r);
    toolcall_deinit(&p);
}

static void check_as(const char *format, const char *input, const char *want, bool in_reasoning)
{
    struct record whole, part;
    struct str s = str_c(input);
    feed(&whole, format, s, s.n, false, in_reasoning);
    if (!CHECK_STR(buf_str(&whole.out), str_c(want)))
        printf("    for %s: %s\n", format, input);
    for (size_t cut = 0; cut <= s.n; cut++) {
        feed(&part, format, s, cut, cut == 0, in_reasoning);
        if (!CHECK_STR(buf_str(&part.out), buf_str(&whole.out)))
            printf("    %s cut at %zu: %s\n", format, cut, input);
        buf_deinit(&part.out);
    }
    buf_deinit(&whole.out);
}

static void check(const char *format, const char *input, const char *want)
{
    check_as(format, input, want, false);
}

TEST(text_and_reasoning_are_told_apart)
{
    check("none", "Hello <b>world</b> \n", "T(Hello <b>world</b> \n)");
    check("none", "<think>\nhm, 1 < 2\n</think>\n\nYes.", "R(hm, 1 < 2)T(Yes.)");
    check("none", "I say <think> here", "T(I say <think> here)");
    check("none", "<think>never closed ", "R(never closed )");
    check_as("none", "opened by the prompt</think>\nA", "R(opened by the prompt)T(A)", true);
    check("mistral", "[THINK]a[/THINK]b", "R(a)T(b)");
    check("command_r", "<|START_THINKING|>plan<|END_THINKING|>x", "R(plan)T(x)");
    check("none", "", "");
    check("none", "</thin", "T(</thin)");
}

TEST(hermes_calls)
{
    check(
        "hermes",
        "Sure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"}{\\\"\", \"y\": [1]}}\n</tool_call>",
        "T(Sure.)C0(f:{\"x\": \"}{\\\"\", \"y\": [1]})");
    check("hermes",
          "<think>go</think>\n\n<tool_call>\n{\"name\":\"a\",\"arguments\":{}}\n</"
          "tool_call>\n<tool_call>\n{\"name\":\"b\",\"arguments\":{\"k\":1}}\n</tool_call>\n",
          "R(go)C0(a:{})C1(b:{\"k\":1})");
    check("hermes", "<tool_call>{\"arguments\": {\"z\": 0}, \"name\": \"late\"}</tool_call> done",
          "C0(late:{\"z\": 0})T(done)");
    check("hermes", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}\n</tool_call>",
          "C0(f:{\"x\": 1})");
    check("hermes", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"cut of",
          "C0(f:{\"x\": \"cut of...)");
    check("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1}\"}</tool_call>",
          "C0(f:{\"x\": 1})");
    check("hermes",
          "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"a\": "
          "1}}}</tool_call>",
          "C0(f:{\"a\": 1})");
}

TEST(what_is_no_call_stays_text)
{
    check("hermes", "a <tool_call> b", "T(a <tool_call> b)");
    check("hermes", "<tool_call>\n{broken}\n</tool_call>", "T(<tool_call>\n{broken}\n</tool_call>)");
    check("hermes", "x <tool_c", "T(x <tool_c)");
    check("hermes", "<tool_call>\n{\"name\": \"f\"", "T(<tool_call>\n{\"name\": \"f\")");
    check("llama3", "{\"name\": \"Bob\", \"age\": 3}", "T({\"name\": \"Bob\", \"age\": 3})");
    check("llama3", "{\"answer\": 42, \"name\": \"f\", \"parameters\": {}}",
          "T({\"answer\": 42, \"name\": \"f\", \"parameters\": {}})");
    check("llama3", "Use {\"name\": \"f\", \"parameters\": {}}",
          "T(Use {\"name\": \"f\", \"parameters\": {}})");
    check("pythonic", "[1] is a citation", "T([1] is a citation)");
    check("pythonic", "[f(a=, b)]", "T([f(a=, b)])");
    check("qwen3_coder", "<tool_call>\nnonsense\n</tool_call>", "T(<tool_call>\nnonsense\n</tool_call>)");
    check("mistral_v11", "[TOOL_CALLS]f[ARGS] no", "T([TOOL_CALLS]f[ARGS] no)");
    check("harmony", "plain words", "T(plain words)");
}

TEST(calls_without_tools_in_the_request_are_text)
{
    struct record r = {.last = -1};
    struct toolcall_parser p;
    buf_init(&r.out, 1u << 16);
    toolcall_init(&p, toolcall_format_named("hermes"), false, false, on_event, &r);
    toolcall_feed(&p, S("<think>a</think><tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"));
    toolcall_finish(&p);
    close_last(&r);
    CHECK_STR(buf_str(&r.out), S("R(a)T(<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>)"));
    toolcall_deinit(&p);
    buf_deinit(&r.out);
}

TEST(json_families)
{
    check("llama3", "{\"name\": \"f\", \"parameters\": {\"q\": \"é\"}}", "C0(f:{\"q\": \"é\"})");
    check("llama3", " {\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"a\": 1}}",
          "C0(f:{})C1(g:{\"a\": 1})");
    check("llama3", "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"a\": 1}}",
          "C0(f:{\"a\": 1})");
    check("llama3", "<|python_tag|>brave_search.call(query=\"x y\")",
          "C0(brave_search:{\"query\": \"x y\"})");
    check("mistral",
          "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"abcdefgh1\"}, {\"name\": "
          "\"g\", \"arguments\": {}, \"id\": \"abcdefgh2\"}]",
          "C0(f:{\"a\": 1}#abcdefgh1)C1(g:{}#abcdefgh2)");
    check("phi4_mini", "functools[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]", "C0(f:{\"a\": 1})");
    check("phi4_mini", "import functools\nok", "T(import functools\nok)");
    check("phi4_mini", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
          "C0(f:{\"a\": 1})");
    check("granite", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]", "C0(f:{\"a\": 1})");
    check("nemotron_v2", "<TOOLCALL>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]</TOOLCALL>",
          "C0(f:{\"a\": 1})");
    check("tool_calls_list",
          "<tool_calls>\n{\"name\": \"f\", \"arguments\": {}}\n{\"name\": \"g\", \"arguments\": "
          "{}}\n</tool_calls>",
          "C0(f:{})C1(g:{})");
    check("command_r",
          "<|START_THINKING|>p<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
          "\"tool_name\": \"f\", \"parameters\": {\"a\": 1}}\n]<|END_ACTION|>",
          "R(p)C0(f:{\"a\": 1}#0)");
}

TEST(name_then_json_families)
{
    check("mistral_v11", "ok[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]abcdefgh1[ARGS]{}",
          "T(ok)C0(f:{\"a\": 1})C1(g:{}#abcdefgh1)");
    check("mistral_v11",
          "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]",
          "C0(f:{})C1(g:{})");
    check("deepseek_v3",
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": "
          "1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<"
          "｜tool▁call▁end｜><｜tool▁calls▁end｜>",
          "C0(f:{\"a\": 1})C1(g:{})");
    check_as("deepseek_v31",
             "hm</think>t<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": "
             "1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
             "R(hm)T(t)C0(f:{\"a\": 1})", true);
    check("kimi_k2",
          "x<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|"
          ">{\"a\": 1}<|tool_call_end|><|tool_calls_section_end|>",
          "T(x)C0(get_weather:{\"a\": 1}#functions.get_weather:0)");
    check_as("kimi_k2",
             "forgot to close "
             "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|"
             "tool_call_end|>",
             "R(forgot to close)C0(f:{}#functions.f:0)", true);
    check("functionary", "<function=f>{\"a\": 1}</function><function=g>{}</function>",
          "C0(f:{\"a\": 1})C1(g:{})");
}

TEST(tag_families)
{
    check("qwen3_coder",
          "<tool_call>\n<function=f>\n<parameter=path>\na\nb "
          "\"c\"\n</parameter>\n<parameter=n>\n3\n</parameter>\n<parameter=l>\n[1, "
          "2]\n</parameter>\n</function>\n</tool_call>",
          "C0(f:{\"path\": \"a\\nb \\\"c\\\"\", \"n\": 3, \"l\": [1, 2]})");
    check("qwen3_coder", "go\n<function=f>\n</function>\n</tool_call>", "T(go)C0(f:{})");
    check("seed_oss",
          "<seed:think>r</seed:think><seed:tool_call>\n<function=f>\n<parameter=a>x</parameter>\n</"
          "function>\n</seed:tool_call>",
          "R(r)C0(f:{\"a\": \"x\"})");
    check("deepseek_v32",
          "t\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
          "string=\"true\">5</｜DSML｜parameter>\n<｜DSML｜parameter name=\"b\" "
          "string=\"false\">5</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
          "T(t)C0(f:{\"a\": \"5\", \"b\": 5})");
    check("gemma4",
          "<|channel>thought\nhm\n<channel|>ok<|tool_call>call:f{a:<|\"|>x, {y}<|\"|>,b:[1,<|\"|>z<|\"|>],"
          "c:{d:true}}<tool_call|><|tool_call>call:g{}<tool_call|>",
          "R(hm)T(ok)C0(f:{\"a\": \"x, {y}\", \"b\": [1, \"z\"], \"c\": {\"d\": true}})C1(g:{})");
    check("glm45",
          "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n<arg_key>b</"
          "arg_key>\n<arg_value>true</arg_value>\n</tool_call>",
          "C0(f:{\"a\": \"x\", \"b\": true})");
    check("glm45",
          "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call><tool_call>g</tool_call>",
          "C0(f:{\"a\": 1})C1(g:{})");
    check("minimax_m2",
          "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">x</parameter>\n</invoke>\n<invoke "
          "name=\"g\">\n</invoke>\n</minimax:tool_call>",
          "C0(f:{\"a\": \"x\"})C1(g:{})");
}

TEST(python_families)
{
    check("pythonic", "[f(a=1, b='it\\'s \"q\"', c=[True, None, -2.5], d={'k': (1, 2)}), g()]",
          "C0(f:{\"a\": 1, \"b\": \"it's \\\"q\\\"\", \"c\": [true, null, -2.5], \"d\": {\"k\": [1, "
          "2]}})C1(g:{})");
    check("pythonic", "<|python_start|>[f(x=\"é\")]<|python_end|>", "C0(f:{\"x\": \"é\"})");
    check("lfm2", "Let me see.<|tool_call_start|>[f(a=1)]<|tool_call_end|>",
          "T(Let me see.)C0(f:{\"a\": 1})");
}

TEST(harmony_channels)
{
    check("harmony",
          "<|channel|>analysis<|message|>think <|end|><|start|>assistant<|channel|>final<|message|>Hello",
          "R(think)T(Hello)");
    check("harmony",
          "<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>commentary to=functions.f "
          "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
          "R(t)C0(f:{\"a\": 1})");
    check("harmony", "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
          "C0(f:{})");
    check("harmony", " to=functions.f<|channel|>commentary json<|message|>{}<|call|>", "C0(f:{})");
    check("harmony", " to", "T( to)");
    check("harmony", "to be", "T(to be)");
    check("harmony", "<|channel|>commentary<|message|>I will look.<|end|>", "T(I will look.)");
    check("harmony", "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\"",
          "C0(f:{\"a\"...)");
}

static bool zip_is_text(void *ctx, struct str tool, struct str param)
{
    (void)ctx;
    return str_eq(tool, S("f")) && str_eq(param, S("zip"));
}

TEST(schema_decides_whether_a_tag_value_is_text)
{
    const struct str call = S("<tool_call><function=f><parameter=zip>81234</parameter>"
                              "<parameter=n>12</parameter></function></tool_call>");
    for (int with_schema = 0; with_schema < 2; with_schema++) {
        struct record r = {.last = -1};
        struct toolcall_parser p;
        buf_init(&r.out, 1u << 16);
        toolcall_init(&p, toolcall_format_named("qwen3_coder"), true, false, on_event, &r);
        p.is_text_param = with_schema ? zip_is_text : NULL;
        toolcall_feed(&p, call);
        toolcall_finish(&p);
        CHECK_STR(buf_str(&r.out), with_schema ? S("C0(f:{\"zip\": \"81234\", \"n\": 12})")
                                               : S("C0(f:{\"zip\": 81234, \"n\": 12})"));
        toolcall_deinit(&p);
        buf_deinit(&r.out);
    }
}

TEST(random_bytes_give_the_same_events_at_any_split)
{
    static const char *const pieces[] = {"<tool_call>",
                                         "</tool_call>",
                                         "{\"name\": \"f\"",
                                         ", \"arguments\": {",
                                         "}",
                                         "}",
                                         "]",
                                         "[",
                                         "\n",
                                         " ",
                                         "<think>",
                                         "</think>",
                                         "[TOOL_CALLS]",
                                         "[ARGS]",
                                         "<|channel|>",
                                         "<|message|>",
                                         "<|end|>",
                                         "<|call|>",
                                         "<function=f>",
                                         "<parameter=a>",
                                         "</parameter>",
                                         "</function>",
                                         "f(a=1)",
                                         "\"",
                                         "\\",
                                         ";",
                                         ",",
                                         "<|tool_call|>",
                                         "text",
                                         "<",
                                         "<|",
                                         "analysis",
                                         "to=functions.f",
                                         "<｜tool▁call▁begin｜>",
                                         "<｜tool▁sep｜>",
                                         "<arg_key>",
                                         "</arg_key>",
                                         "<arg_value>",
                                         "</arg_value>",
                                         "\xff",
                                         "{}"};
    struct rng r = rng_seeded(7);
    for (int round = 0; round < 1500; round++) {
        struct buf input;
        struct record a, b;
        buf_init(&input, 1u << 16);
        for (uint64_t n = rng_below(&r, 14) + 1; n > 0; n--)
            buf_puts(&input, pieces[rng_below(&r, sizeof pieces / sizeof *pieces)]);
        int n_formats = 0;
        while (toolcall_format_at(n_formats))
            n_formats++;
        const char *format = toolcall_format_at((int)rng_below(&r, (uint64_t)n_formats))->name;
        feed(&a, format, buf_str(&input), rng_below(&r, input.n + 1), false, false);
        feed(&b, format, buf_str(&input), 0, true, false);
        if (!CHECK_STR(buf_str(&a.out), buf_str(&b.out)))
            printf("    %s: %.*s\n", format, STR(buf_str(&input)));
        buf_deinit(&input);
        buf_deinit(&a.out);
        buf_deinit(&b.out);
    }
}

TEST(the_family_is_seen_in_the_template)
{
    CHECK_STR(str_c(toolcall_detect(S("x <tool_call> y"), NULL, NULL)->name), S("hermes"));
    CHECK_STR(str_c(toolcall_detect(S("<tool_call><function=a><parameter=b>"), NULL, NULL)->name),
              S("qwen3_coder"));
    CHECK_STR(str_c(toolcall_detect(S("[TOOL_CALLS] [ARGS]"), NULL, NULL)->name), S("mistral_v11"));
    CHECK_STR(str_c(toolcall_detect(template_builtin("chatml"), NULL, NULL)->name), S("none"));
    CHECK(toolcall_prompt_opens_reasoning(toolcall_format_named("hermes"),
                                          S("<|im_start|>assistant\n<think>\n")));
    CHECK(!toolcall_prompt_opens_reasoning(toolcall_format_named("hermes"), S("<think>\n\n</think>\n\n")));
    CHECK(!toolcall_prompt_opens_reasoning(toolcall_format_named("harmony"), S("<think>")));
}

/* What the grammar is told to force is what the parser reads. */
TEST(each_syntax_is_read_back_as_calls)
{
    const struct toolcall_format *f;
    for (int i = 0; (f = toolcall_format_at(i)) != NULL; i++) {
        const struct toolcall_syntax *x = &f->syntax;
        if (f->shape == TOOLCALL_NONE)
            continue;
        bool is_json = f->shape != TOOLCALL_TAGS && f->shape != TOOLCALL_PYTHON;
        struct record r;
        struct buf s;
        buf_init(&s, 1u << 16);
        buf_puts(&s, x->first);
        for (int call = 0; call < (f->shape == TOOLCALL_HARMONY ? 1 : 2); call++) {
            buf_printf(&s, "%s%sfn%s", call ? x->between : "", x->before_name, x->after_name);
            if (is_json)
                buf_puts(&s, "{\"a\": 1}");
            else
                buf_printf(&s, "%sa%s1%s", x->before_key, x->after_key,
                           f->shape == TOOLCALL_PYTHON ? "" : x->after_value);
            buf_puts(&s, x->after_args);
        }
        buf_puts(&s, x->last);
        feed(&r, f->name, buf_str(&s), s.n, false, false);
        if (!CHECK(str_starts(buf_str(&r.out), S("C0(fn:{\"a\": 1}"))) ||
            !CHECK(f->shape == TOOLCALL_HARMONY ||
                   str_find(buf_str(&r.out), S("C1(fn:{\"a\": 1}"), 0) != STR_NONE) ||
            !CHECK(str_find(buf_str(&r.out), S("T("), 0) == STR_NONE))
            printf("    %s: %.*s -> %.*s\n", f->name, STR(buf_str(&s)), STR(buf_str(&r.out)));
        buf_deinit(&s);
        buf_deinit(&r.out);
    }
}
