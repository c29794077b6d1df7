/* answer_spec.h - What a whole answer of a chat may be, as a tree of grammar specs: free reasoning, then
 * content or calls of tools in the markup of the model's family.
 *
 * A family's markup is data (text/toolcall_formats.c); here it stands around the schemas of the tools.
 * Everything is built in the arena of struct answer, without any model: tests compile it for bytes. */
#ifndef ENGINE_ANSWER_SPEC_H
#define ENGINE_ANSWER_SPEC_H

#include "base/json.h"
#include "sluice.h"
#include "text/toolcall.h"

#define ANSWER_TOOLS_MAX 512

struct answer_tool {
    struct str name, schema; /* schema: the JSON text; p == NULL: none */
    struct json params;
    bool is_strict;
    bool is_loose; /* its schema cannot be held: any object will do */
};

struct answer {
    struct arena arena;
    const struct toolcall_format *format;
    struct json_doc tools_doc;
    struct answer_tool *tools; /* those that may be called */
    size_t n_tools;
    const struct sluice_grammar_spec *content; /* NULL: any text */
    bool is_call_required, one_call;
    bool is_begun;     /* the prompt ends inside the content: what comes is held together with that */
    bool in_reasoning; /* the prompt ends inside it */
    bool may_reason;   /* the model has a token that begins it */
    bool is_unheld;    /* some parameter's schema cannot be held in the family's markup */
    bool is_full;      /* the arena was: what was built is not to be used */
};

/* The tools of `text` (a JSON array in OpenAI's shape) that `names` has; NULL: all. */
int answer_read_tools(struct answer *a, struct str text, const char *const *names, size_t n, struct err *err);
/* The whole answer; look at is_full afterwards. */
struct sluice_grammar_spec answer_spec(struct answer *a);
/* The arguments of one tool alone. */
struct sluice_grammar_spec answer_spec_args(struct answer *a, const struct answer_tool *t);

#endif
