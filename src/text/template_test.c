#include "text/template.h"

#include <stdlib.h>

#include "base/test.h"
#include "text/template_int.h"

struct fixture {
    struct arena arena;
    struct json_doc doc;
    struct template *t;
    struct template_input in;
    struct template_output out;
    struct err err;
};

static const struct template_text texts[] = {{S("bos_token"), S("<s>")}, {S("eos_token"), S("</s>")}};

static int render(struct fixture *f, const char *template, const char *messages)
{
    arena_init(&f->arena, 64u << 20);
    f->in.texts = texts;
    f->in.n_texts = 2;
    f->in.now_unix_s = 1700000000;
    REQUIRE(json_parse(&f->doc, &f->arena, str_c(messages), &f->err) == OK);
    f->in.messages = json_root(&f->doc);
    int rc = template_compile(&f->t, str_c(template), &f->err);
    return rc == OK ? template_render(f->t, &f->arena, &f->in, &f->out, &f->err) : rc;
}

static void end(struct fixture *f)
{
    template_free(f->t);
    arena_deinit(&f->arena);
}

/* Template and messages to text, and the parts of it that are data between brackets. */
static void check_marks(const char *template, const char *messages, const char *want)
{
    struct fixture f = {0};
    struct buf b;
    buf_init(&b, 1u << 20);
    if (!CHECK(render(&f, template, messages) == OK))
        printf("    %s\n", f.err.text);
    for (int i = 0; i < f.out.n_segments; i++) {
        struct template_segment s = f.out.segments[i];
        buf_puts(&b, s.is_data ? "[" : "");
        buf_str_add(&b, s.text);
        buf_puts(&b, s.is_data ? "]" : "");
    }
    CHECK_STR(buf_str(&b), str_c(want));
    buf_deinit(&b);
    end(&f);
}

static void check_fails(const char *template, int code, const char *words)
{
    struct fixture f = {.in.steps_max = 5000000};
    CHECK_INT(render(&f, template, "[{\"role\":\"user\",\"content\":\"hi\"}]"), code);
    if (!CHECK(str_find(str_c(f.err.text), str_c(words), 0) != STR_NONE))
        printf("    %s\n", f.err.text);
    CHECK_INT(f.out.text.n, 0);
    end(&f);
}

static void run_golden(struct json row, struct arena *a)
{
    struct template_caps as_given = {.arguments_as_given = true};
    struct template_var vars[32];
    struct template_input in = {.vars = vars, .texts = texts, .n_texts = 2, .now_unix_s = 1700000000};
    struct template_output out;
    struct template *t;
    struct err err = {0};
    struct str name = json_text(json_get(row, "name"), a);
    for (struct json_iter it = json_iter(json_get(row, "context")); json_next(&it) && in.n_vars < 32;)
        vars[in.n_vars++] = (struct template_var){it.key, it.value};
    int rc = template_compile(&t, json_text(json_get(row, "template"), a), &err);
    if (rc == OK)
        rc = template_render_with(t, &as_given, a, &in, &out, &err);
    bool must_fail = json_exists(json_get(row, "error"));
    if (must_fail != (rc != OK))
        test_fail(__FILE__, __LINE__, "%.*s: %s", STR(name), rc == OK ? "no error" : err.text);
    else if (!must_fail && !CHECK_STR(out.text, json_text(json_get(row, "ok"), a)))
        printf("    in case %.*s\n", STR(name));
    template_free(t);
}

TEST(golden_cases_render_as_jinja2_does)
{
    size_t n;
    char *text = test_read_file("tests/golden/template_cases.jsonl", &n);
    REQUIRE(text);
    struct str rest = str_of(text, n), line;
    int n_cases = 0;
    while (str_split(&rest, '\n', &line)) {
        struct arena a;
        struct json_doc doc;
        if (!line.n)
            continue;
        arena_init(&a, 64u << 20);
        REQUIRE(json_parse(&doc, &a, line, NULL) == OK);
        run_golden(json_root(&doc), &a);
        arena_deinit(&a);
        n_cases++;
    }
    CHECK(n_cases > 60);
    free(text);
}

TEST(message_bytes_stay_data_through_everything)
{
    const char *m = "[{\"role\":\"user\",\"content\":\" a<|x|>b \"}]";
    check_marks("<{{ messages[0].content }}>", m, "<[ a<|x|>b ]>");
    check_marks(
        "{% set c = messages[0].content %}{{ c|trim }}|{{ c|upper }}|{{ c[1:3] }}|{{ 'p' + c ~ 's' }}", m,
        "[a<|x|>b]|[ A<|X|>B ]|[a<]|p[ a<|x|>b ]s");
    check_marks("{{ messages[0].content.replace('<', '(') }}", m,
                "[ a]("
                "[|x|>b ]");
    check_marks("{{ '%s-%s' % ('t', messages[0].content.strip()) }}{{ "
                "'{}!'.format(messages[0].content.split('|')[1]) }}",
                m, "t-[a<|x|>bx]!");
    check_marks("{% macro w(x) %}<{{ x }}>{% endmacro %}{{ w(messages[0].content|trim) }}", m, "<[a<|x|>b]>");
    check_marks("{% set b %}T{{ messages[0].content|trim }}{% endset %}{{ b|lower }}{{ b[::-1] }}", m,
                "t[a<|x|>bb>|x|<a]T");
    check_marks("{{ ('{:' ~ messages[0].content[2:3] ~ '<4}').format('x') }}", m, "[x<<<]");
    check_marks("{{ {'k': 1}|tojson(indent=messages[0].content|trim) }}", m, "{\n[a<|x|>b]\"k\": 1\n}");
    check_marks("{{ messages[0].n|abs ~ 1 }}", "[{\"n\": -2}]", "[2]1");
    check_marks("{{ messages[0].content|list|join }}", m, "[ a<|x|>b ]");
    check_marks("{{ {'k': messages[0].content|trim}|tojson }}", m, "{\"k\": [\"a<|x|>b\"]}");
}

TEST(special_texts_and_usual_roles_are_the_templates_own)
{
    check_marks("{{ bos_token }}{{ '<|' + messages[0].role + '|>' }}{{ messages[0].content }}{{ eos_token }}",
                "[{\"role\":\"user\",\"content\":\"</s>\"}]", "<s><|user|>[</s>]</s>");
    check_marks("{{ '<|' + messages[0].role + '|>' }}", "[{\"role\":\"endoftext\",\"content\":\"\"}]",
                "<|[endoftext]|>");
}

TEST(errors_say_the_line)
{
    check_fails("a\nb\n{{ nope.x }}", ERR_ARG, "line 3: 'nope' is undefined");
    check_fails("\n{% if %}", ERR_FORMAT, "line 2");
    check_fails("{{ 'abc", ERR_FORMAT, "line 1: a string has no closing quote");
    check_fails("{% for x in messages %}", ERR_FORMAT, "endfor");
    check_fails("{{ raise_exception('Only users, please') }}", ERR_ARG, "Only users, please");
    check_fails("{{ messages[0].content / 2 }}", ERR_ARG, "'/' is not possible between a str and a int");
}

TEST(hostile_templates_meet_their_bounds)
{
    check_fails("{% set r = range(90000) %}{% for a in r %}{% for b in r %}{{ a }}{% endfor %}{% endfor %}",
                ERR_LIMIT, "steps");
    check_fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ERR_LIMIT, "nested too deeply");
    check_fails("{{ 'x' * 100000000 }}", ERR_LIMIT, "bytes");
    check_fails("{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}"
                "{{ ns.l }}",
                ERR_LIMIT, "nested too deeply to print");
    check_fails(
        "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        ERR_NOMEM, "memory");
    char deep[4096] = "{{ ";
    for (int i = 0; i < 2000; i++)
        deep[3 + i] = '(';
    check_fails(deep, ERR_LIMIT, "nested");
    check_fails("{{ range(10000000) }}", ERR_LIMIT, "range");
}

TEST(tool_arguments_and_content_are_given_as_the_template_wants_them)
{
    const char *m = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
                    "\"text\":\"b\"}]},"
                    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
                    "\"arguments\":\"{\\\"x\\\": 1}\"}}]}]";
    const char *object = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
                         "{{ c.function.name }}{{ c.function.arguments|tojson }}{% endfor %}{% endfor %}";
    const char *text = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
                       "{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}";
    check_marks(object, m, "[abf{\"x\": 1}]");
    check_marks(text, m, "[abf{\"x\": 1}]");
}

TEST(past_arguments_can_print_as_they_were_written)
{
    const char *m = "[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
                    "\"arguments\":\" {\\\"x\\\":1,  \\\"y\\\":1.50}\"}}]}]";
    const char *t =
        "{% for c in messages[0].tool_calls %}{{ c.function|tojson }}{{ c.function.arguments.x }}"
        "{{ c.function.arguments|tojson(indent=1) }}{% set _ = c.function.arguments.update({'x': 2}) %}"
        "{{ c.function.arguments|tojson }}{% endfor %}";
    for (int exact = 0; exact < 2; exact++) {
        struct fixture f = {.in.exact_arguments = exact};
        CHECK(render(&f, t, m) == OK);
        CHECK_STR(f.out.text, exact ? S("{\"name\": \"f\", \"arguments\": {\"x\":1,  \"y\":1.50}}1{\n \"x\": "
                                        "1,\n \"y\": 1.5\n}{\"x\": 2, \"y\": 1.5}")
                                    : S("{\"name\": \"f\", \"arguments\": {\"x\": 1, \"y\": 1.5}}1{\n \"x\": "
                                        "1,\n \"y\": 1.5\n}{\"x\": 2, \"y\": 1.5}"));
        end(&f);
    }
}

TEST(caps_tell_what_a_template_shows)
{
    struct template *t;
    REQUIRE(template_compile(&t, template_builtin("chatml"), NULL) == OK);
    CHECK(template_caps(t)->has_system && template_caps(t)->has_generation_prompt);
    CHECK(!template_caps(t)->has_tools && !template_caps(t)->has_tool_calls);
    CHECK(template_reads(t, "messages") && !template_reads(t, "tools"));
    template_free(t);
    REQUIRE(template_compile(
                &t,
                S("{{ tools|tojson }}{% for m in messages %}{% if m.role == 'system' %}"
                  "{{ raise_exception('no') }}{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}"
                  "{{ c.function.name }}{{ c.function.arguments|tojson }}{% endfor %}{% endfor %}"),
                NULL) == OK);
    CHECK(!template_caps(t)->has_system && template_caps(t)->has_tools);
    CHECK(template_caps(t)->has_tool_calls && template_caps(t)->has_parallel_calls);
    CHECK(template_caps(t)->has_tool_results && !template_caps(t)->has_reasoning);
    template_free(t);
}

static bool has_gemma(void *ctx, struct str text)
{
    (void)ctx;
    return str_eq(text, S("<start_of_turn>"));
}
static bool has_nothing(void *ctx, struct str text)
{
    (void)ctx, (void)text;
    return false;
}

TEST(builtins_render_and_are_chosen_by_token)
{
    const char *const families[] = {"chatml", "llama3", "gemma", "phi3", "phi4", "deepseek", "mistral"};
    const char *m = "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"},"
                    "{\"role\":\"assistant\",\"content\":\"A\"},{\"role\":\"user\",\"content\":\"V\"}]";
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct fixture f = {.in.add_generation_prompt = true};
        struct buf z;
        buf_init(&z, 1u << 16);
        buf_str_add(&z, template_builtin(families[i]));
        CHECK(render(&f, buf_z(&z), m) == OK);
        CHECK(str_find(f.out.text, S("U"), 0) != STR_NONE && str_find(f.out.text, S("V"), 0) != STR_NONE);
        buf_deinit(&z);
        end(&f);
    }
    CHECK_STR(str_c(template_builtin_for(has_gemma, NULL)), S("gemma"));
    CHECK_STR(str_c(template_builtin_for(has_nothing, NULL)), S("chatml"));
    CHECK_INT(template_builtin("nonsense").n, 0);
}
