/* face_answer.c - Grammars of whole answers, at the library's door.  What an answer may be is built in
 * answer_spec.c; here is what the model has to say about it, and which tools must be let loose. */
#include <stdlib.h>

#include "base/clock.h"
#include "engine/answer_spec.h"
#include "engine/face_int.h"
#include "engine/grammar_constraint.h"

#define ARENA_MAX        ((size_t)64 << 20)
#define PROMPT_END_BYTES 256
#define LOOSEN_NS_MAX    (NS_PER_S / 2) /* for all tools together; what is not tried by then cannot be held */

static const char unheld[] =
    "the model's family writes each argument on its own, where only the schemas of the properties and "
    "which of them are required can be held";

/* Some schema cannot be held: find whose.  OK when those of the tools that are not strict were let
 * loose, so that it may be tried again. */
static int loosen(struct sluice_model *model, struct answer *a, char *where, size_t where_cap,
                  struct sluice_error *err)
{
    int n_loosened = 0;
    int64_t deadline_ns = clock_thread_cpu_ns() + LOOSEN_NS_MAX;
    for (size_t i = 0; i < a->n_tools; i++) {
        struct answer_tool *t = &a->tools[i];
        struct sluice_grammar *g = NULL;
        a->is_unheld = false;
        struct sluice_grammar_spec args = answer_spec_args(a, t);
        int rc;
        if (a->is_unheld)
            rc = fail(face_err(err), ERR_UNSUPPORTED, "%s", unheld);
        else if (clock_thread_cpu_ns() > deadline_ns)
            rc = fail(face_err(err), ERR_LIMIT, "the tools take too long to compile");
        else
            rc = sluice_grammar_compile(model, &args, &g, where, where_cap, err);
        sluice_grammar_free(g);
        if (rc == OK)
            continue;
        if (t->is_strict) {
            err_prefix(face_err(err), "the arguments of the tool '%.*s'", STR(t->name));
            return rc;
        }
        t->is_loose = true;
        n_loosened++;
    }
    return n_loosened ? OK : ERR_NOT_FOUND;
}

static bool any_strict(const struct answer *a)
{
    for (size_t i = 0; i < a->n_tools; i++)
        if (a->tools[i].is_strict)
            return true;
    return false;
}

/* Is there nothing to hold? */
static bool is_free(const struct answer *a)
{
    if (a->content || a->is_call_required)
        return false;
    return a->n_tools == 0 || a->format->shape == TOOLCALL_NONE || (a->format->is_bare && !any_strict(a));
}

static int compile(struct sluice_model *model, struct answer *a, struct sluice_grammar **grammar, char *where,
                   size_t where_cap, struct sluice_error *err)
{
    a->is_unheld = false;
    struct sluice_grammar_spec root = answer_spec(a);
    if (a->is_unheld)
        return fail(face_err(err), ERR_UNSUPPORTED, "%s", unheld);
    if (a->is_full)
        return fail(face_err(err), ERR_LIMIT, "the tools are too large to be held");
    return sluice_grammar_compile(model, &root, grammar, where, where_cap, err);
}

/* The whole mark is a token, or begins with one ("<|channel>thought"). */
static bool has_reasoning_token(const struct sluice_model *model, struct str mark)
{
    size_t end = str_find_char(mark, '>', 0);
    return mark.n && (face_has_token(model->tokenizer, mark) ||
                      (end != STR_NONE && face_has_token(model->tokenizer, str_sub(mark, 0, end + 1))));
}

static int prepare(const struct sluice_model *model, struct answer *a, const struct sluice_chat *chat,
                   const struct sluice_answer_options *o, struct err *err)
{
    char end[PROMPT_END_BYTES];
    size_t n = 0;
    int rc = o->tool_choice == SLUICE_TOOLS_NONE || !chat->tools
                 ? OK
                 : answer_read_tools(a, face_text(chat->tools, chat->tools_bytes), o->tool_names,
                                     o->n_tool_names, err);
    if (rc == OK && a->is_call_required && a->n_tools == 0)
        return fail(err, ERR_ARG, "a tool call is required and there is no tool that may be called");
    bool no_markup = a->format->shape == TOOLCALL_NONE;
    if (rc == OK && no_markup && (a->is_call_required || any_strict(a)))
        return fail(err, ERR_UNSUPPORTED,
                    "tool calls cannot be forced: the model has no known markup for them");
    if (rc == OK && chat->continue_last && a->is_call_required && a->format->shape == TOOLCALL_HARMONY)
        return fail(err, ERR_UNSUPPORTED, "an answer that is begun as text cannot be a tool call here");
    bool is_loose = chat->continue_last && !a->content && !a->is_call_required && !any_strict(a);
    if (no_markup || is_loose) /* is_loose: what is begun goes on as it likes */
        a->n_tools = 0;
    a->is_begun = chat->continue_last;
    if (a->is_begun)
        return rc;
    if (rc == OK && !is_free(a))
        rc = face_chat_prompt_end(model, chat, end, sizeof end, &n, err);
    a->in_reasoning = rc == OK && toolcall_prompt_opens_reasoning(a->format, str_of(end, n));
    a->may_reason = has_reasoning_token(model, str_c(a->format->reasoning_begin));
    return rc;
}

static int compile_loosening(struct sluice_model *model, struct answer *a, struct sluice_grammar **grammar,
                             char *where, size_t where_cap, struct sluice_error *error)
{
    int rc = compile(model, a, grammar, where, where_cap, error);
    if (rc == ERR_NOMEM || rc == OK || a->n_tools == 0)
        return rc;
    struct sluice_error first = *error;
    int loosened = loosen(model, a, where, where_cap, error);
    if (loosened == OK)
        return compile(model, a, grammar, where, where_cap, error);
    if (loosened == ERR_NOT_FOUND)
        *error = first;
    return loosened == ERR_NOT_FOUND ? rc : loosened;
}

/* The grammar is followed from behind the last message on.  White space at its end counts, though the
 * model does not see it: the client puts both texts together. */
static int add_begun(struct answer *a, const struct sluice_chat *chat, struct sluice_grammar *g,
                     struct err *err)
{
    struct json_doc doc;
    struct grammar_state *state = NULL;
    int rc = json_parse(&doc, &a->arena, face_text(chat->messages, chat->messages_bytes), err);
    struct json list = rc == OK ? json_root(&doc) : json_absent();
    struct str text = json_count(list)
                          ? json_text(json_get(json_at(list, json_count(list) - 1), "content"), &a->arena)
                          : S("");
    while (text.n && strchr(" \t\r\n", text.p[0]))
        text = str_sub(text, 1, text.n);
    if (rc == OK)
        rc = grammar_state_create(&state, g->grammar, err);
    if (rc != OK)
        return rc;
    size_t n = 0;
    while (n < text.n && text.p[n] && grammar_state_accept(state, str_sub(text, n, n + 1)))
        n++;
    grammar_state_free(state);
    if (n < text.n)
        return fail(err, ERR_ARG, "what is begun of the answer does not follow its form from byte %zu on", n);
    g->begun = str_dup_z(text);
    return g->begun ? OK : FACE_OUT_OF_MEMORY(err);
}

static int make(struct sluice_model *model, struct answer *a, const struct sluice_chat *given,
                const struct sluice_answer_options *given_o, struct sluice_grammar **grammar, char *where,
                size_t where_cap, struct sluice_error *error)
{
    struct sluice_chat chat;
    struct sluice_answer_options o;
    struct err *err = face_err(error);
    sluice_chat_init(&chat, sizeof chat);
    sluice_answer_options_init(&o, sizeof o);
    int rc = face_copy_options(&chat, sizeof chat, given, given->struct_bytes, "sluice_chat", err);
    if (rc == OK && given_o)
        rc = face_copy_options(&o, sizeof o, given_o, given_o->struct_bytes, "sluice_answer_options", err);
    if (rc != OK)
        return rc;
    a->content = o.content;
    a->one_call = o.one_call;
    a->is_call_required = o.tool_choice == SLUICE_TOOLS_REQUIRED;
    rc = prepare(model, a, &chat, &o, err);
    if (rc != OK || is_free(a))
        return rc;
    rc = compile_loosening(model, a, grammar, where, where_cap, error);
    return rc == OK && a->is_begun ? add_begun(a, &chat, *grammar, err) : rc;
}

SLUICE_API int sluice_answer_grammar(struct sluice_model *model, const struct sluice_chat *chat,
                                     const struct sluice_answer_options *o, struct sluice_grammar **grammar,
                                     char *where, size_t where_cap, struct sluice_error *err)
{
    struct sluice_error own = {0};
    *grammar = NULL;
    if (where && where_cap)
        where[0] = 0;
    struct answer *a = calloc(1, sizeof *a);
    if (!a)
        return FACE_OUT_OF_MEMORY(face_err(err));
    a->format = face_tool_format(model);
    arena_init(&a->arena, ARENA_MAX);
    int rc = make(model, a, chat, o, grammar, where, where_cap, err ? err : &own);
    if (rc != OK) {
        sluice_grammar_free(*grammar);
        *grammar = NULL;
    }
    arena_deinit(&a->arena);
    free(a);
    return rc;
}
