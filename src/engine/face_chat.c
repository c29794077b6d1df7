/* face_chat.c - From a conversation to the text and the tokens that the model was trained on. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "engine/face_int.h"

#define CHAT_ARENA_MAX  ((size_t)1 << 30)
#define CHAT_TOKENS_MAX ((size_t)1 << 26)
#define VARIABLES_MAX   64

/* A conversation being rendered; everything lives in the arena. */
struct rendering {
    struct arena arena;
    struct json_doc messages, tools, variables;
    struct template_var vars[VARIABLES_MAX];
    struct template_text texts[N_TOKEN_ROLES];
    struct template_output out;
};

static int parse(struct rendering *r, struct json_doc *doc, const char *what, struct str text,
                 enum json_type type, struct json *v, struct err *err)
{
    int rc = json_parse(doc, &r->arena, text, err);
    if (rc != OK) {
        err_prefix(err, "%s", what);
        return rc;
    }
    *v = json_root(doc);
    if (!json_is(*v, type))
        return fail(err, ERR_ARG, "%s must be a JSON %s", what, type == JSON_ARRAY ? "array" : "object");
    return OK;
}

static int read_variables(struct rendering *r, struct str text, struct template_input *in, struct err *err)
{
    struct json object;
    int rc = parse(r, &r->variables, "template variables", text, JSON_OBJECT, &object, err);
    if (rc != OK)
        return rc;
    if (json_count(object) > VARIABLES_MAX)
        return fail(err, ERR_LIMIT, "%u template variables; at most %d are possible", json_count(object),
                    VARIABLES_MAX);
    struct json_iter it = json_iter(object);
    while (json_next(&it))
        r->vars[in->n_vars++] = (struct template_var){json_text(it.key_value, &r->arena), it.value};
    in->vars = r->vars;
    return OK;
}

/* bos_token and its like, as the template's own text. */
static void add_token_texts(const struct sluice_model *m, struct rendering *r, struct template_input *in)
{
    static const struct {
        const char *name;
        enum token_role role;
    } names[] = {{"bos_token", ROLE_BOS}, {"eos_token", ROLE_EOS}, {"unk_token", ROLE_UNK},
                 {"pad_token", ROLE_PAD}, {"sep_token", ROLE_SEP}, {"cls_token", ROLE_CLS}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int32_t id = tokenizer_role(m->tokenizer, names[i].role);
        if (id >= 0)
            r->texts[in->n_texts++] =
                (struct template_text){str_c(names[i].name), tokenizer_token_text(m->tokenizer, id)};
    }
    in->texts = r->texts;
}

static void set_time(struct template_input *in)
{
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    struct tm local;
    in->now_unix_s = now;
    in->utc_offset_s = localtime_r(&now, &local) ? (int32_t)local.tm_gmtoff : 0;
}

/* The answer goes on with the last message: cut the text behind that message's own. */
static int cut_after_last(struct rendering *r, struct json messages, struct err *err)
{
    struct json last = json_at(messages, json_count(messages) - 1);
    struct str content = str_trim(json_text(json_get(last, "content"), &r->arena));
    size_t at = STR_NONE;

    if (content.n == 0)
        return fail(err, ERR_ARG, "the last message has no text that the answer could continue");
    for (size_t from = 0; (from = str_find(r->out.text, content, from)) != STR_NONE; from++)
        at = from;
    if (at == STR_NONE)
        return fail(err, ERR_ARG,
                    "the template does not show the last message as it is, so it cannot be continued");
    r->out.text.n = at + content.n;
    struct template_segment *segments =
        arena_new_array(&r->arena, struct template_segment, (size_t)r->out.n_segments + 1);
    if (!segments)
        return FACE_OUT_OF_MEMORY(err);
    const char *end = r->out.text.p + r->out.text.n;
    int n = 0;
    for (int i = 0; i < r->out.n_segments && r->out.segments[i].text.p < end; i++, n++) {
        segments[n] = r->out.segments[i];
        if (segments[n].text.p + segments[n].text.n > end)
            segments[n].text.n = (size_t)(end - segments[n].text.p);
    }
    r->out.segments = segments;
    r->out.n_segments = n;
    return OK;
}

static int shorten_ids(struct rendering *r, struct json *messages, struct err *err)
{
    struct str text = face_short_call_ids(*messages, json_span(*messages), &r->arena);
    if (!text.p)
        return FACE_OUT_OF_MEMORY(err);
    if (text.p == json_span(*messages).p)
        return OK;
    return parse(r, &r->messages, "messages", text, JSON_ARRAY, messages, err);
}

static int render(const struct sluice_model *m, const struct sluice_chat *given, struct rendering *r,
                  struct err *err)
{
    struct sluice_chat chat;
    struct template_input in = {.add_generation_prompt = true, .exact_arguments = true};
    int rc;

    sluice_chat_init(&chat, sizeof chat);
    if ((rc = face_copy_options(&chat, sizeof chat, given, given->struct_bytes, "sluice_chat", err)) != OK)
        return rc;
    if (!m->chat_template)
        return fail(err, ERR_UNSUPPORTED, "the model's chat template cannot be used: %s",
                    m->template_error ? m->template_error : "no memory");
    if ((rc = parse(r, &r->messages, "messages", face_text(chat.messages, chat.messages_bytes), JSON_ARRAY,
                    &in.messages, err)) != OK)
        return rc;
    if (json_count(in.messages) == 0)
        return fail(err, ERR_ARG, "there is no message");
    if (str_starts(str_c(face_tool_format(m)->name), S("mistral")) &&
        (rc = shorten_ids(r, &in.messages, err)) != OK)
        return rc;
    struct str tools = face_text(chat.tools, chat.tools_bytes);
    if (chat.tools && tools.n > 0 &&
        (rc = parse(r, &r->tools, "tools", tools, JSON_ARRAY, &in.tools, err)) != OK)
        return rc;
    struct str variables = face_text(chat.variables, chat.variables_bytes);
    if (chat.variables && variables.n > 0 && (rc = read_variables(r, variables, &in, err)) != OK)
        return rc;
    in.add_generation_prompt = !chat.continue_last;
    add_token_texts(m, r, &in);
    set_time(&in);
    rc = template_render(m->chat_template, &r->arena, &in, &r->out, err);
    if (rc == OK && chat.continue_last)
        rc = cut_after_last(r, in.messages, err);
    return rc;
}

static int encode(const struct sluice_model *m, struct rendering *r, struct token_list *list, struct err *err)
{
    size_t n = (size_t)r->out.n_segments;
    struct text_segment *segments = arena_new_array(&r->arena, struct text_segment, n + 1);
    if (!segments)
        return FACE_OUT_OF_MEMORY(err);
    for (size_t i = 0; i < n; i++)
        segments[i] = (struct text_segment){r->out.segments[i].text, !r->out.segments[i].is_data};
    /* The template writes every control token itself, BOS included, as Hugging Face has it. */
    struct encode_opts opts = {ENCODE_ADD_NO, ENCODE_ADD_NO, false};
    return tokenizer_encode(m->tokenizer, segments, n, opts, list, err);
}

int face_chat_encode(const struct sluice_model *m, const struct sluice_chat *chat, struct token_list *list,
                     struct err *err)
{
    struct rendering *r = calloc(1, sizeof *r);
    if (!r)
        return FACE_OUT_OF_MEMORY(err);
    arena_init(&r->arena, CHAT_ARENA_MAX);
    token_list_init(list, CHAT_TOKENS_MAX);
    int rc = render(m, chat, r, err);
    if (rc == OK)
        rc = encode(m, r, list, err);
    if (rc != OK)
        token_list_deinit(list);
    arena_deinit(&r->arena);
    free(r);
    return rc;
}

SLUICE_API int sluice_chat_render(const struct sluice_model *m, const struct sluice_chat *chat, char **text,
                                  struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct rendering *r = calloc(1, sizeof *r);
    if (!r)
        return FACE_OUT_OF_MEMORY(err);
    arena_init(&r->arena, CHAT_ARENA_MAX);
    int rc = render(m, chat, r, err);
    if (rc == OK && !(*text = str_dup_z(r->out.text)))
        rc = FACE_OUT_OF_MEMORY(err);
    arena_deinit(&r->arena);
    free(r);
    return rc;
}

int face_chat_prompt_end(const struct sluice_model *m, const struct sluice_chat *chat, char *end,
                         size_t end_cap, size_t *n, struct err *err)
{
    struct rendering *r = calloc(1, sizeof *r);
    if (!r)
        return FACE_OUT_OF_MEMORY(err);
    arena_init(&r->arena, CHAT_ARENA_MAX);
    int rc = render(m, chat, r, err);
    if (rc == OK) {
        *n = r->out.text.n < end_cap ? r->out.text.n : end_cap;
        memcpy(end, r->out.text.p + r->out.text.n - *n, *n);
    }
    arena_deinit(&r->arena);
    free(r);
    return rc;
}
