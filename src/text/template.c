/* template.c - The face of chat templates: compile, prepare the context, render, cut segments.
 *
 * Start reading at template_render(). */
#include "text/template.h"

#include <stdlib.h>
#include <string.h>

#include "text/jinja_int.h"
#include "text/template_int.h"

#define COMPILED_BYTES_MAX (64u << 20)

/* ---- compiling ---- */

/* As Jinja does: all line ends become '\n', and one at the very end goes. */
static struct str normalised(struct arena *a, struct str source)
{
    char *p = arena_alloc(a, source.n + 1);
    size_t n = 0;
    if (!p)
        return (struct str){0};
    for (size_t i = 0; i < source.n; i++) {
        char c = source.p[i];
        if (c == '\r' && i + 1 < source.n && source.p[i + 1] == '\n')
            continue;
        p[n++] = c == '\r' ? '\n' : c;
    }
    if (n && p[n - 1] == '\n')
        n--;
    return str_of(p, n);
}

static bool reserve_names(struct template *t)
{
    static const char *const reserved[] = {"loop", "caller", "varargs", "kwargs"};
    for (uint32_t i = 0; i < JJ_ID_FIRST_FREE; i++)
        if (jj_name_id(&t->names, &t->arena, str_c(reserved[i])) != i)
            return false;
    return true;
}

static int compile(struct template *t, struct str source, struct err *err)
{
    struct jj_tokens tokens;
    t->source = arena_str(&t->arena, source);
    struct str text = normalised(&t->arena, source);
    if (!t->source.p || !text.p || !reserve_names(t))
        return fail(err, ERR_NOMEM, "no memory for a template of %zu bytes", source.n);
    int rc = jj_lex(&tokens, &t->arena, text, err);
    if (rc == OK)
        rc = jj_parse(&t->body, &t->names, &t->arena, &tokens, err);
    return rc;
}

int template_compile(struct template **out, struct str source, struct err *err)
{
    *out = NULL;
    if (source.n > TEMPLATE_SOURCE_MAX)
        return fail(err, ERR_LIMIT, "the template has %zu bytes, at most %u are possible", source.n,
                    TEMPLATE_SOURCE_MAX);
    struct template *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, ERR_NOMEM, "no memory for a template of %zu bytes", source.n);
    arena_init(&t->arena, COMPILED_BYTES_MAX);
    int rc = compile(t, source, err);
    if (rc != OK) {
        template_free(t);
        return rc;
    }
    template_probe(t);
    *out = t;
    return OK;
}

void template_free(struct template *t)
{
    if (!t)
        return;
    arena_deinit(&t->arena);
    free(t);
}

struct str template_source(const struct template *t)
{
    return t->source;
}

bool template_reads(const struct template *t, const char *name)
{
    return jj_name_find(&t->names, str_c(name)) != UINT32_MAX;
}

const struct template_caps *template_caps(const struct template *t)
{
    return &t->caps;
}

/* ---- the context ---- */

static bool set_variable(struct jj *j, struct jj_scope *s, struct str name, struct jj_value v)
{
    uint32_t id = jj_name_find(j->names, name);
    return id == UINT32_MAX || jj_scope_set(j, s, id, v); /* a name that no one reads is not kept */
}

static bool is_usual_role(struct str role)
{
    static const char *const usual[] = {"system", "user",     "assistant", "tool",       "developer",
                                        "model",  "function", "ipython",   "observation"};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (str_eq(role, str_c(usual[i])))
            return true;
    return false;
}

/* The value of object[key] if that is a dict with it, else NULL. */
static struct jj_value *member(struct jj_value v, const char *key)
{
    struct jj_entry *e = jj_is(v, JJ_DICT) ? jj_dict_find_str(v.dict, str_c(key)) : NULL;
    return e ? &e->value : NULL;
}

static bool arguments_to_object(struct jj *j, struct jj_value *arguments, bool exact)
{
    struct json_doc doc;
    struct str text = arguments->s;
    if (!jj_spend(j, text.n))
        return false;
    if (text.n == 0)
        text = S("{}");
    if (json_parse(&doc, j->arena, text, NULL) != OK || !json_is(json_root(&doc), JSON_OBJECT))
        return true; /* what is no object stays the text that it is */
    if (!jj_from_json(j, json_root(&doc), arguments))
        return false;
    if (exact)
        arguments->dict->as_written = str_trim(text);
    return true;
}

static bool arguments_to_text(struct jj *j, struct jj_value *arguments)
{
    struct jj_dumps how = {.item_separator = jj_str(S(", ")), .key_separator = jj_str(S(": "))};
    struct jj_text text = {0};
    if (!jj_to_json(j, &text, *arguments, &how))
        return false;
    *arguments = jj_text_value(&text);
    return true;
}

/* The OpenAI dialect has a call's arguments as text, most templates want an object. */
static bool convert_arguments(struct jj *j, struct jj_value message, bool as_text, bool exact)
{
    struct jj_value *calls = member(message, "tool_calls");
    if (!calls || !jj_is(*calls, JJ_LIST))
        return true;
    for (uint32_t i = 0; i < calls->list->n; i++) {
        struct jj_value *function = member(calls->list->v[i], "function");
        struct jj_value *arguments = function ? member(*function, "arguments") : NULL;
        if (!arguments)
            continue;
        if (!as_text && jj_is(*arguments, JJ_STR) && !arguments_to_object(j, arguments, exact))
            return false;
        if (as_text && jj_is(*arguments, JJ_DICT) && !arguments_to_text(j, arguments))
            return false;
    }
    return true;
}

/* Content parts that are all text, as one text; left alone if there is another kind. */
static bool join_parts(struct jj *j, struct jj_value *content)
{
    struct jj_text text = {0};
    if (!jj_is(*content, JJ_LIST))
        return true;
    for (uint32_t i = 0; i < content->list->n; i++) {
        struct jj_value *type = member(content->list->v[i], "type");
        struct jj_value *part = member(content->list->v[i], "text");
        if (!type || !jj_is(*type, JJ_STR) || !str_eq(type->s, S("text")) || !part || !jj_is(*part, JJ_STR))
            return true;
        if (!jj_text_add_str(j, &text, *part))
            return false;
    }
    *content = jj_text_value(&text);
    return true;
}

static bool split_text(struct jj *j, struct jj_value *content)
{
    struct jj_list *parts = jj_list_new(j, 1);
    struct jj_dict *part = jj_dict_new(j);
    if (!parts || !part || !jj_dict_set(j, part, jj_str(S("type")), jj_str(S("text"))) ||
        !jj_dict_set(j, part, jj_str(S("text")), *content) ||
        !jj_list_push(j, parts, (struct jj_value){.type = JJ_DICT, .dict = part}))
        return false;
    part->mark = parts->mark = JJ_DATA;
    *content = jj_of_list(parts, JJ_LIST);
    return true;
}

static bool prepare_message(struct jj *j, const struct template_caps *caps, bool exact,
                            struct jj_value message)
{
    struct jj_value *role = member(message, "role"), *content = member(message, "content");
    if (role && jj_is(*role, JJ_STR) && is_usual_role(role->s))
        role->mark = JJ_TEMPLATE;
    if (content && caps->content_must_be_text && !join_parts(j, content))
        return false;
    if (content && caps->content_must_be_parts && jj_is(*content, JJ_STR) && !split_text(j, content))
        return false;
    return caps->arguments_as_given || convert_arguments(j, message, caps->arguments_must_be_text, exact);
}

static bool prepare_messages(struct jj *j, const struct template_caps *caps, bool exact,
                             struct jj_value messages)
{
    for (uint32_t i = 0; jj_is(messages, JJ_LIST) && i < messages.list->n; i++)
        if (!prepare_message(j, caps, exact, messages.list->v[i]))
            return false;
    return true;
}

static bool set_context(struct jj *j, const struct template_caps *caps, const struct template_input *in,
                        struct jj_scope *s)
{
    struct jj_value v;
    struct jj_value prompt = jj_bool(in->add_generation_prompt);
    const struct template_var fixed[] = {
        {S("messages"), in->messages}, {S("tools"), in->tools}, {S("documents"), in->documents}};
    for (int i = 0; i < in->n_texts; i++)
        if (!set_variable(j, s, in->texts[i].name, jj_str(in->texts[i].text)))
            return false;
    for (int i = 0; i < 3 + in->n_vars; i++) {
        const struct template_var *var = i < 3 ? &fixed[i] : &in->vars[i - 3];
        if (!jj_from_json(j, var->value, &v) || !set_variable(j, s, var->name, v))
            return false;
        if (i == 0 && !prepare_messages(j, caps, in->exact_arguments, v))
            return false;
        if (i == 2 && !set_variable(j, s, S("add_generation_prompt"), prompt))
            return false;
    }
    return true;
}

/* ---- rendering ---- */

/* Cut the page where the mark changes. */
static bool cut_segments(struct jj *j, struct jj_value page, struct template_output *out)
{
    size_t n = page.s.n > 0;
    for (size_t i = 1; page.mark == JJ_MIXED && i < page.s.n; i++)
        n += page.marks[i] != page.marks[i - 1];
    struct template_segment *v = arena_new_array(j->arena, struct template_segment, n ? n : 1);
    if (!v || n > INT32_MAX)
        return jj_no_memory(j);
    size_t count = 0;
    for (size_t at = 0, end; at < page.s.n; at = end) {
        for (end = at + 1; end < page.s.n && jj_mark_at(page, end) == jj_mark_at(page, at);)
            end = page.mark == JJ_MIXED ? end + 1 : page.s.n;
        v[count++] = (struct template_segment){str_sub(page.s, at, end), jj_mark_at(page, at) != JJ_TEMPLATE};
    }
    *out = (struct template_output){v, (int)count, page.s};
    return true;
}

int template_render_with(const struct template *t, const struct template_caps *caps, struct arena *arena,
                         const struct template_input *in, struct template_output *out, struct err *err)
{
    struct err own = {0};
    struct jj_text page = {0};
    struct jj j = {.arena = arena,
                   .err = err ? err : &own,
                   .steps_left = in->steps_max ? in->steps_max : TEMPLATE_STEPS_MAX,
                   .names = &t->names,
                   .out = &page,
                   .out_bytes_max = in->output_bytes_max ? in->output_bytes_max : TEMPLATE_OUTPUT_MAX,
                   .now_unix_s = in->now_unix_s,
                   .utc_offset_s = in->utc_offset_s};
    *out = (struct template_output){.text = S("")};
    j.err->code = OK;
    struct jj_scope *context = jj_scope_new(&j, NULL);
    j.scope = context ? jj_scope_new(&j, context) : NULL;
    bool is_good = j.scope && set_context(&j, caps, in, context) && jj_exec_page(&j, &t->body) &&
                   cut_segments(&j, jj_text_value(&page), out);
    if (!is_good)
        *out = (struct template_output){.text = S("")};
    return is_good ? OK : j.err->code;
}

int template_render(const struct template *t, struct arena *arena, const struct template_input *in,
                    struct template_output *out, struct err *err)
{
    return template_render_with(t, &t->caps, arena, in, out, err);
}
