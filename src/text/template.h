/* template.h - Chat templates: from messages to the text that a model was trained on.
 *
 * A template is Jinja as Hugging Face renders it (trim_blocks, lstrip_blocks, loop controls,
 * `tojson` as Python's json.dumps without ASCII escapes, raise_exception, strftime_now).  It is
 * compiled once per model and rendered once per request.
 *
 * Input marking: the output comes in segments, and every byte says where it is from.  A byte of
 * a message, tool, document or other variable stays data through every filter, slice and
 * concatenation; the template's own text, bos_token and the other special texts are not data.
 * The tokenizer may recognise a special token only where each of its bytes is template text, so
 * that no user can write one.  A segment's border is not a token's border: ordinary text is
 * tokenised as if the segments were one string.
 * One exception, because templates build tokens from it ('<|' + message.role + '|>'): a
 * message's `role`, where it is one of the usual words (system, user, assistant, tool, ...).
 *
 * Both the template and its data may be hostile.  Rendering is bounded in steps, depth, output
 * and memory; past a bound, or for any mistake in the template, there is an error with the
 * template's line, never a crash. */
#ifndef TEXT_TEMPLATE_H
#define TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

/* A compiled template: immutable, so that any thread may render from it. */
struct template;

#define TEMPLATE_SOURCE_MAX (1u << 20) /* bytes of template text */

/* Compile `source`, which is copied.  ERR_FORMAT with "line N: ..." if it is not a template,
 * ERR_LIMIT if it is too large or too deep.  The caller frees *out with template_free. */
int template_compile(struct template **out, struct str source, struct err *err);
void template_free(struct template *t);

/* The text that template_compile was given. */
struct str template_source(const struct template *t);

/* True if the template reads the variable `name` anywhere ("tools", "enable_thinking"): how the
 * engine knows what a model's template can do. */
bool template_reads(const struct template *t, const char *name);

/* What a template can do, found out when it is compiled by rendering small conversations.
 * template_render uses the first four to hand over messages in the form that this template
 * takes, whichever form they came in. */
struct template_caps {
    bool arguments_must_be_text; /* tool-call arguments as JSON text, not as an object */
    bool arguments_as_given;     /* arguments are never converted */
    bool content_must_be_text;   /* content parts that are all text are joined to one text */
    bool content_must_be_parts;  /* a text is wrapped into one part */
    bool has_system;             /* a system message is shown and not refused */
    bool has_tools;              /* `tools` is shown */
    bool has_tool_calls;         /* past tool calls are shown */
    bool has_parallel_calls;     /* more than one call in a message is shown */
    bool has_tool_results;       /* messages of role "tool" are shown */
    bool has_reasoning;          /* `reasoning_content` of a past message may be shown */
    bool has_generation_prompt;  /* add_generation_prompt adds something */
};
const struct template_caps *template_caps(const struct template *t);

/* A named value that is data (marked), for example one of chat_template_kwargs. */
struct template_var {
    struct str name;
    struct json value;
};

/* A named text that counts as the template's own, for example {"bos_token", "<s>"}. */
struct template_text {
    struct str name, text;
};

struct template_input {
    struct json messages;  /* array of objects */
    struct json tools;     /* absent or null: the template sees `none` */
    struct json documents; /* the same */
    bool add_generation_prompt;
    const struct template_var *vars; /* the caller's chat_template_kwargs; may override the above */
    int n_vars;
    const struct template_text *texts; /* bos_token, eos_token, ... */
    int n_texts;
    bool exact_arguments;    /* tool-call arguments that came as text print by `tojson` as they came,
                              * not re-spaced: a past call is then what the model wrote, and the
                              * prefix cache hits.  False: as Python's json.dumps, always. */
    int64_t now_unix_s;      /* what strftime_now tells, */
    int32_t utc_offset_s;    /* as local time: seconds east of Greenwich */
    uint64_t steps_max;      /* 0: TEMPLATE_STEPS_MAX */
    size_t output_bytes_max; /* 0: TEMPLATE_OUTPUT_MAX */
};

#define TEMPLATE_STEPS_MAX  50000000u   /* a step is about one evaluated node or 16 bytes copied */
#define TEMPLATE_OUTPUT_MAX (64u << 20) /* bytes */

/* Neighbours differ in is_data; no segment is empty. */
struct template_segment {
    struct str text;
    bool is_data;
};

struct template_output {
    const struct template_segment *segments;
    int n_segments;
    struct str text; /* all segments as one string; each segment's text points into it */
};

/* Render into memory of `arena`, whose maximum bounds everything that rendering needs (some
 * hundred bytes per value of the input and a few times the output).  Nothing of *in is kept.
 * ERR_ARG when the template itself refuses (raise_exception; the text is its message) or the
 * messages do not fit it (with the template's line): the client's mistake, a 400.
 * ERR_LIMIT past a bound, ERR_NOMEM when the arena is full.  On error *out is empty. */
int template_render(const struct template *t, struct arena *arena, const struct template_input *in,
                    struct template_output *out, struct err *err);

/* Templates for models that bring none, by family name ("chatml", "llama3", "mistral", "gemma",
 * "phi3", ...); the empty str if there is none of that name. */
struct str template_builtin(const char *family);

/* A guess which built-in fits a vocabulary: asks `has_token` for telling special tokens.
 * Never NULL; "chatml" when nothing is recognised, as the field does. */
const char *template_builtin_for(bool (*has_token)(void *ctx, struct str text), void *ctx);

#endif
