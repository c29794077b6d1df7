/* toolcall.h - Reading a model's answer: reasoning, text and tool calls, while it streams.
 *
 * Each family of models writes its calls in a markup of its own (table in toolcall_formats.c).
 * The parser is total: bytes go in, events come out, at any split of the input the same ones
 * once neighbours are joined; nothing is an error, and what does not parse becomes content.
 * Only markup disappears: markers, the white space between text and markers, and the quoting
 * around names.
 *
 * Feed it everything the model says, the text of special tokens included (the markers are often
 * special tokens), except the token that ended the answer. */
#ifndef TEXT_TOOLCALL_H
#define TEXT_TOOLCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum toolcall_shape {
    TOOLCALL_NONE,      /* no calls: text and reasoning only */
    TOOLCALL_JSON,      /* begin, {"name": ..., "arguments": {...}} or a list of them, end */
    TOOLCALL_NAME_JSON, /* begin, name, separator, {...}, end */
    TOOLCALL_TAGS,      /* begin, name and parameters in tags, end */
    TOOLCALL_PYTHON,    /* begin, [name(key=value, ...), ...], end */
    TOOLCALL_HARMONY    /* gpt-oss: channels */
};

/* How a family writes.  Strings are never NULL; "" means that there is none. */
struct toolcall_format {
    const char *name;
    enum toolcall_shape shape;
    /* What marks the start of calls in text: alternatives, "" after the last.  JSON and PYTHON
     * formats with is_bare may also start without a marker, at the first byte of the answer. */
    const char *begin[3];
    const char *end; /* after a call, or after the list of calls; may be missing in reality */
    const char *outer_begin, *outer_end; /* around all calls of a turn */
    bool is_bare;
    bool is_list;                    /* JSON: calls are written as one list */
    const char *name_key, *args_key; /* JSON */
    const char *name_prefix;         /* NAME_JSON: before the name, dropped ("functions.") */
    const char *separator;           /* NAME_JSON: between name and arguments */
    const char *id_separator;        /* NAME_JSON: between name and id, or before the id */
    const char *args_fence;          /* NAME_JSON: markup between separator and arguments */
    const char *reasoning_begin, *reasoning_end;

    /* For grammars that force calls; the text of n calls is
     *   first (before_name NAME after_name ARGS after_args) joined by `between`, then last
     * where ARGS is a JSON object if shape is JSON, NAME_JSON or HARMONY.  For TAGS, ARGS is
     * each parameter as before_key KEY after_key VALUE after_value.  (Harmony and Kimi: see
     * their rows; an id that the format needs is part of after_name.) */
    struct toolcall_syntax {
        const char *first, *before_name, *after_name, *after_args, *between, *last;
        const char *before_key, *after_key, *after_value;
    } syntax;
};

/* The format of a model: from its chat template's text (which names the markers), else from its
 * special tokens.  `has_token` may be NULL.  Never NULL: at least "none" with <think>. */
const struct toolcall_format *toolcall_detect(struct str template_source,
                                              bool (*has_token)(void *ctx, struct str text), void *ctx);
/* By name ("hermes", "llama3", ...); NULL if there is none. */
const struct toolcall_format *toolcall_format_named(const char *name);
const struct toolcall_format *toolcall_format_at(int i); /* NULL past the last */

/* True if a prompt that ends so leaves the model inside its reasoning: some templates open it. */
bool toolcall_prompt_opens_reasoning(const struct toolcall_format *f, struct str prompt);

enum toolcall_event_kind {
    TOOLCALL_TEXT,      /* text: more content */
    TOOLCALL_REASONING, /* text: more reasoning */
    TOOLCALL_START,     /* call, name; id if the model has given one by now, else "" */
    TOOLCALL_ARGS,      /* call, text: more of the arguments, JSON as the model writes it */
    TOOLCALL_END        /* call; id if the model gave one; is_complete: the JSON was closed */
};

struct toolcall_event {
    enum toolcall_event_kind kind;
    int call; /* 0-based in this answer */
    struct str text, name, id;
    bool is_complete;
};

/* Texts of an event are borrowed for the call. */
typedef void toolcall_on_event(void *ctx, const struct toolcall_event *event);

#define TOOLCALL_HELD_MAX (1u << 20) /* bytes of one call that must be held back; past it: text */
#define TOOLCALL_NAME_MAX 256

struct toolcall_parser {
    const struct toolcall_format *format;
    toolcall_on_event *on_event;
    void *ctx;
    bool parse_calls; /* false (no tools in the request): calls are text, reasoning is split */
    /* TAGS write all values alike: is this parameter text by its schema?  NULL: guessed (what is
     * JSON and no string is taken as that).  May be set after toolcall_init; ctx is the same. */
    bool (*is_text_param)(void *ctx, struct str tool, struct str param);
    /* the rest is toolcall.c's own */
    int state;
    int n_calls;
    size_t marker_n;   /* bytes of the begin marker at the front of `held` */
    struct buf held;   /* bytes whose meaning is not yet known */
    struct buf spaces; /* white space that is text unless a marker follows */
    char name[TOOLCALL_NAME_MAX], id[TOOLCALL_NAME_MAX];
    size_t name_n, id_n;
    bool has_text, skip_space, is_final;
    bool has_begun; /* harmony: something has been seen */
    bool in_list;   /* a JSON list of calls is open */
    int nested;     /* 1: the call was written inside {"function": {...}} */
    bool in_string, is_escaped;
    int depth; /* of brackets in the arguments */
    int body;  /* harmony: what the body under way is */
};

/* `in_reasoning`: toolcall_prompt_opens_reasoning said so.  Owner: one thread. */
void toolcall_init(struct toolcall_parser *p, const struct toolcall_format *format, bool parse_calls,
                   bool in_reasoning, toolcall_on_event *on_event, void *ctx);
void toolcall_feed(struct toolcall_parser *p, struct str bytes);
/* The answer is over: everything held back comes out, an open call ends. */
void toolcall_finish(struct toolcall_parser *p);
void toolcall_deinit(struct toolcall_parser *p);

/* Replay.  The next turn's prompt hits the prefix cache only if past calls are rendered as the
 * model wrote them.  Arguments come out of here byte for byte, clients send them back as they
 * got them, and template_render writes them so where a template prints them by `tojson`
 * (template_input.exact_arguments).  A template that prints each parameter (TAGS) does so by
 * itself for text values. */

#endif
