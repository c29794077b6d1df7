#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/answer_spec.h"
#include "engine/face_int.h"
#include "engine/param_types.h"
#include "grammar/schema_check.h"

/* Random walks through what the grammar of an answer allows, read back by the parser of the same
 * family: whatever is let through must come out as calls of known tools with valid arguments. */

#define TOOLS                                                                                                \
    "[{\"type\":\"function\",\"function\":{\"name\":\"move\",\"parameters\":" MOVE "}},"                     \
    "{\"type\":\"function\",\"function\":{\"name\":\"stop\",\"parameters\":{\"type\":\"object\","            \
    "\"properties\":{},\"additionalProperties\":false}}}]"
#define MOVE                                                                                                 \
    "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\",\"minimum\":-99,\"maximum\":99},"      \
    "\"to\":{\"type\":\"string\",\"enum\":[\"left\",\"up\"]},\"note\":{\"type\":\"string\",\"maxLength\":9}" \
    ","                                                                                                      \
    "\"code\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-[0-9]{1,3}$\"},"                                  \
    "\"day\":{\"type\":\"string\",\"format\":\"date\"},\"tag\":{\"enum\":[\"1\",\"two\",\"null\"]},"         \
    "\"maybe\":{\"anyOf\":[{\"type\":\"string\",\"minLength\":1,\"maxLength\":4},{\"type\":\"null\"}]},"     \
    "\"list\":{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"integer\"],\"maxLength\":3,"             \
    "\"minimum\":0,\"maximum\":99},\"minItems\":1,\"maxItems\":3},\"spot\":{\"$ref\":\"#/$defs/spot\"}},"    \
    "\"required\":[\"x\",\"to\",\"code\"],\"additionalProperties\":false,"                                   \
    "\"$defs\":{\"spot\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\",\"minimum\":0,"     \
    "\"maximum\":9},\"b\":{\"type\":\"string\",\"maxLength\":3}},\"additionalProperties\":false}}}"
#define TEXT_MAX 6000

struct walk {
    char text[TEXT_MAX];
    size_t n;
};

struct read_calls {
    const char *family;
    int n_calls, n_wrong;
    char name[64];
    struct buf args, content;
    struct schema_checker *move;
    struct json params; /* of move */
};

static bool is_text_param(void *ctx, struct str tool, struct str param)
{
    const struct read_calls *s = ctx;
    struct json property = json_get_str(json_get(s->params, "properties"), param);
    return str_eq(tool, S("move")) && json_exists(property) && param_types(property, s->params) == PARAM_TEXT;
}

static void end_call(struct read_calls *s)
{
    struct schema_fault fault = {0};
    if (!s->name[0])
        return;
    bool is_move = strcmp(s->name, "move") == 0;
    bool ok = is_move || strcmp(s->name, "stop") == 0;
    struct str args = s->args.n ? buf_str(&s->args) : S("{}");
    if (is_move)
        ok = schema_check_text(s->move, args, &fault) == OK;
    s->n_wrong += !ok;
    if (!ok)
        test_fail(__FILE__, __LINE__, "%s: %s(%.*s): %s", s->family, s->name, STR(args), fault.text);
    s->name[0] = 0;
    buf_clear(&s->args);
}

static void on_event(void *ctx, const struct toolcall_event *ev)
{
    struct read_calls *s = ctx;
    if (ev->kind == TOOLCALL_START) {
        end_call(s);
        s->n_calls++;
        snprintf(s->name, sizeof s->name, "%.*s", STR(ev->name));
    } else if (ev->kind == TOOLCALL_ARGS) {
        buf_str_add(&s->args, ev->text);
    } else if (ev->kind == TOOLCALL_TEXT) {
        buf_str_add(&s->content, ev->text);
    }
}

static struct grammar *compile(struct answer *a)
{
    struct grammar_spec inner;
    struct grammar *g = NULL;
    struct grammar_error e = {0};
    struct sluice_grammar_spec root = answer_spec(a);
    REQUIRE(!a->is_full && !a->is_unheld);
    REQUIRE(face_copy_spec(&a->arena, &inner, &root, 0, &e.err) == OK);
    if (grammar_compile(&g, &inner, NULL, NULL, &e) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", a->format->name, e.err.text);
    REQUIRE(g != NULL);
    return g;
}

/* Until it may end and a coin says so: any byte that is allowed, quotes and brackets more often. */
static bool walk(struct walk *w, struct grammar *g, struct rng *rng)
{
    static const char likely[] = "\"}],<{";
    struct grammar_state *s = NULL;
    REQUIRE(grammar_state_create(&s, g, NULL) == OK);
    w->n = 0;
    bool is_over = false;
    while (!is_over && w->n < TEXT_MAX) {
        if (grammar_state_may_end(s) && (grammar_state_is_done(s) || rng_below(rng, 3) == 0)) {
            is_over = true;
            break;
        }
        bool taken = false;
        for (int i = 0; i < 4000 && !taken; i++) {
            char c =
                rng_below(rng, 3) ? (char)rng_below(rng, 256) : likely[rng_below(rng, sizeof likely - 1)];
            taken = grammar_state_accept(s, str_of(&c, 1));
            if (taken)
                w->text[w->n++] = c;
        }
        if (!taken)
            break;
    }
    grammar_state_free(s);
    return is_over;
}

static void read_back(const struct walk *w, const struct toolcall_format *f, struct read_calls *s)
{
    struct toolcall_parser p;
    s->family = f->name;
    s->n_calls = s->n_wrong = 0;
    s->name[0] = 0;
    buf_init(&s->args, TEXT_MAX * 8);
    buf_init(&s->content, TEXT_MAX * 8);
    toolcall_init(&p, f, true, false, on_event, s);
    p.is_text_param = is_text_param;
    toolcall_feed(&p, str_of(w->text, w->n));
    toolcall_finish(&p);
    end_call(s);
    bool has_text = str_trim(buf_str(&s->content)).n > 0;
    if (s->n_calls < 1 || s->n_wrong || has_text)
        test_fail(__FILE__, __LINE__, "%s: %d calls and text '%.*s' in: %.*s", f->name, s->n_calls,
                  STR(buf_str(&s->content)), (int)w->n, w->text);
    toolcall_deinit(&p);
    buf_deinit(&s->args);
    buf_deinit(&s->content);
}

static void walk_format(const struct toolcall_format *f, struct read_calls *seen, bool one_call)
{
    struct answer *a = calloc(1, sizeof *a);
    struct rng rng = rng_seeded(11);
    static struct walk w;
    int n_whole = 0;
    REQUIRE(a != NULL);
    arena_init(&a->arena, 1 << 24);
    a->format = f;
    a->is_call_required = true;
    a->one_call = one_call;
    REQUIRE(answer_read_tools(a, S(TOOLS), NULL, 0, NULL) == OK && a->n_tools == 2);
    struct grammar *g = compile(a);
    for (int i = 0; i < 5; i++)
        if (walk(&w, g, &rng)) {
            read_back(&w, f, seen);
            CHECK(!one_call || seen->n_calls == 1);
            n_whole++;
        }
    if (n_whole == 0)
        test_fail(__FILE__, __LINE__, "%s: no walk came to an end", f->name);
    grammar_release(g);
    arena_deinit(&a->arena);
    free(a);
}

TEST(forced_calls_of_every_family_are_read_back_by_its_parser)
{
    struct read_calls seen = {0};
    struct schema *schema = NULL;
    struct arena arena;
    struct json_doc doc;
    arena_init(&arena, 1 << 20);
    REQUIRE(json_parse(&doc, &arena, S(MOVE), NULL) == OK);
    seen.params = json_root(&doc);
    REQUIRE(schema_read(&schema, S(MOVE), NULL) == OK);
    REQUIRE(schema_checker_create(&seen.move, schema, NULL) == OK);
    const struct toolcall_format *f;
    for (int i = 0; (f = toolcall_format_at(i)); i++)
        if (f->shape != TOOLCALL_NONE)
            for (int one = 0; one < 2; one++)
                walk_format(f, &seen, one == 1);
    schema_checker_free(seen.move);
    schema_free(schema);
    arena_deinit(&arena);
}

static bool holds(struct answer *a, const char *text)
{
    struct grammar *g = compile(a);
    struct grammar_state *s = NULL;
    REQUIRE(grammar_state_create(&s, g, NULL) == OK);
    bool ok = grammar_state_accept(s, str_c(text)) && grammar_state_may_end(s);
    grammar_state_free(s);
    grammar_release(g);
    return ok;
}

TEST(where_the_model_decides_text_is_free_up_to_a_call)
{
    struct answer *a = calloc(1, sizeof *a);
    REQUIRE(a != NULL);
    arena_init(&a->arena, 1 << 24);
    a->format = toolcall_format_named("hermes");
    REQUIRE(answer_read_tools(a, S(TOOLS), NULL, 0, NULL) == OK);
    CHECK(holds(a, "Nothing to do."));
    CHECK(holds(a, "Going: <tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>"));
    CHECK(!holds(a, "Going: <tool_call>\n{\"name\": \"fly\", \"arguments\": {}}\n</tool_call>"));
    CHECK(!holds(a, "Going: <tool_call>"));
    a->may_reason = true;
    CHECK(holds(a, "<think>perhaps <tool_call>?</think>\n\nNothing."));
    a->in_reasoning = true;
    CHECK(!holds(a, "Nothing."));
    CHECK(holds(a, "so be it</think>Nothing."));
    arena_deinit(&a->arena);
    free(a);
}

TEST(content_has_its_form_behind_the_reasoning_or_gives_way_to_a_call)
{
    struct sluice_grammar_spec content = {.kind = SLUICE_GRAMMAR_JSON_OBJECT};
    struct answer *a = calloc(1, sizeof *a);
    REQUIRE(a != NULL);
    arena_init(&a->arena, 1 << 24);
    a->format = toolcall_format_named("hermes");
    a->content = &content;
    CHECK(holds(a, "{\"a\": 1}") && !holds(a, "text"));
    REQUIRE(answer_read_tools(a, S(TOOLS), (const char *const[]){"stop"}, 1, NULL) == OK && a->n_tools == 1);
    CHECK(holds(a, "{\"a\": 1}"));
    CHECK(holds(a, "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>"));
    CHECK(!holds(a, "<tool_call>\n{\"name\": \"move\", \"arguments\": {}}\n</tool_call>"));
    a->may_reason = true;
    CHECK(holds(a, "<think>so</think>\n{\"a\": 1}") && !holds(a, "<think>so</think>text"));
    a->format = toolcall_format_named("harmony");
    a->n_tools = 0;
    CHECK(holds(a, "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>{}"));
    arena_deinit(&a->arena);
    free(a);
}
