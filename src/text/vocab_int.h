/* vocab_int.h - The tokens of a vocabulary: texts, bytes, kinds, roles.
 *
 * Filled by vocab_init and by the tokenizer kind that knows how texts spell bytes
 * (vocab_set_bytes); constant afterwards. */
#ifndef TEXT_VOCAB_INT_H
#define TEXT_VOCAB_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

#define VOCAB_TOKENS_MAX ((size_t)1 << 24)
#define VOCAB_BYTES_MAX  ((size_t)1 << 30)

enum token_flag { TOKEN_IS_EOG = 1, TOKEN_LSTRIP = 2, TOKEN_RSTRIP = 4 };

/* Of a hash table of texts: a text is compared only where the tag is the same. */
struct vocab_slot {
    uint32_t tag; /* high bits of the hash */
    int32_t id;   /* TOKEN_NONE where empty */
};

struct vocab {
    int32_t n;
    char *texts; /* all texts behind each other; text i is [text_at[i], text_at[i + 1]) */
    uint32_t *text_at;
    char *bytes; /* what the tokens stand for, likewise */
    uint32_t *bytes_at;
    uint8_t *kind;            /* enum token_kind */
    uint8_t *flags;           /* enum token_flag */
    struct vocab_slot *slots; /* hash table: text to id */
    uint32_t slots_mask;
    int32_t role[N_TOKEN_ROLES];
    int32_t *eog;
    size_t n_eog;
};

int vocab_init(struct vocab *v, const struct vocab_def *def, struct err *err);
void vocab_deinit(struct vocab *v);

/* Write what token `id` stands for to `out`; called once for each token that has bytes. */
typedef void vocab_spell(const struct vocab *v, int32_t id, struct buf *out);
int vocab_set_bytes(struct vocab *v, vocab_spell *spell, struct err *err);

static inline struct str vocab_text(const struct vocab *v, int32_t id)
{
    return str_of(v->texts + v->text_at[id], v->text_at[id + 1] - v->text_at[id]);
}

static inline struct str vocab_bytes(const struct vocab *v, int32_t id)
{
    return str_of(v->bytes + v->bytes_at[id], v->bytes_at[id + 1] - v->bytes_at[id]);
}

int32_t vocab_find(const struct vocab *v, struct str text);

/* As vocab_find, but only for tokens that plain text may become: normal and user-defined ones. */
int32_t vocab_find_plain(const struct vocab *v, struct str text);

static inline bool vocab_is_plain(const struct vocab *v, int32_t id)
{
    return v->kind[id] == TOKEN_NORMAL || v->kind[id] == TOKEN_USER_DEFINED;
}

/* The byte that a text of the form "<0x0A>" spells, or -1. */
int vocab_byte_of(struct str text);

/* A hash for tables that only the operator's files fill. */
uint64_t vocab_hash(const void *p, size_t n);

#endif
