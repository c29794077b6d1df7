/* face_int.h - What the files that implement include/sluice.h share. */
#ifndef ENGINE_FACE_INT_H
#define ENGINE_FACE_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "base/team.h"
#include "engine/engine.h"
#include "engine/face_grammar_cache.h"
#include "grammar/grammar.h"
#include "model/gguf.h"
#include "model/model.h"
#include "sluice.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "text/toolcall.h"

/* The public error is struct err with other names (stream.c asserts it). */
static inline struct err *face_err(struct sluice_error *e)
{
    return (struct err *)e;
}

/* A caller's options struct of from_bytes, as compiled by him, over the defaults in `to`, which begins
 * with struct_bytes as well.  ERR_UNSUPPORTED if he knows more fields than we do. */
int face_copy_options(void *to, size_t to_bytes, const void *from, size_t from_bytes, const char *name,
                      struct err *err);

/* Text that the caller gave, with SLUICE_Z understood; NULL is empty. */
struct str face_text(const char *p, size_t n);

struct sluice_model {
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct template *chat_template; /* the file's own or a built-in one; NULL: see template_error */
    struct model *model;            /* NULL: vocab_only */
    struct team *team;
    struct model_facts facts;
    bool has_own_template;
    char *template_error; /* why the model's template cannot be used, or NULL */
    char *name, *architecture;
    int32_t max_batch;
    pid_t pid;
    _Atomic bool has_context;
    pthread_mutex_t vocab_lock;          /* for making: */
    struct grammar_vocab *grammar_vocab; /* NULL until a grammar is wanted */
    struct grammar_cache grammars;
};

#define FACE_OUT_OF_MEMORY(err) fail((err), ERR_NOMEM, "no memory")

/* The tokens of a conversation as the model's template writes it.  The caller frees *list. */
int face_chat_encode(const struct sluice_model *m, const struct sluice_chat *chat, struct token_list *list,
                     struct err *err);
/* The markup in which the model writes its tool calls (face_parser.c). */
const struct toolcall_format *face_tool_format(const struct sluice_model *m);
/* The messages (`text` is theirs) with ids of calls as Mistral's templates want them; `text` itself if they
 * are so already, p == NULL without memory.  face_call_ids.c */
struct str face_short_call_ids(struct json messages, struct str text, struct arena *a);
/* A public spec as the inside has it; texts stay the caller's, the tree is in the arena. */
int face_copy_spec(struct arena *arena, struct grammar_spec *to, const struct sluice_grammar_spec *from,
                   int depth, struct err *err);
/* Is there a token that is written so?  ctx: the tokenizer. */
bool face_has_token(void *ctx, struct str text);
/* The end of the prompt that the template makes of a conversation, into `end` (at most end_cap bytes). */
int face_chat_prompt_end(const struct sluice_model *m, const struct sluice_chat *chat, char *end,
                         size_t end_cap, size_t *n, struct err *err);
/* The tokens of plain text. */
int face_text_encode(const struct sluice_model *m, struct str text, int flags, struct token_list *list,
                     struct err *err);

#endif
