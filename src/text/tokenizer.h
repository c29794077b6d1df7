/* tokenizer.h - Text to token ids and back.
 *
 * A tokenizer is made once from a vocabulary (the caller reads the tokenizer.ggml.* keys of a
 * model file into a struct vocab_def) and is then constant: any number of threads may use one
 * at the same time.  Its reference in all that follows is the Hugging Face `tokenizers`
 * library with the model's own tokenizer.json; tokenizer.md names the exceptions.
 *
 * The rule that must never break: only text that the caller marks `allow_special` (what a
 * chat template wrote) can become a control token.  Text that came from people cannot,
 * whatever it contains. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define TOKEN_NONE (-1)

/* tokenizer.ggml.token_type; the numbers are the file format's. */
enum token_kind {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4, /* an added token that is text: matched wherever it stands */
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6
};

/* The tokens with a role. */
enum token_role {
    ROLE_BOS,
    ROLE_EOS,
    ROLE_EOT, /* end of turn */
    ROLE_EOM, /* end of message, the turn goes on */
    ROLE_UNK,
    ROLE_SEP,
    ROLE_PAD,
    ROLE_CLS,
    ROLE_MASK,
    ROLE_FIM_PRE,
    ROLE_FIM_SUF,
    ROLE_FIM_MID,
    ROLE_FIM_PAD,
    ROLE_FIM_REP,
    ROLE_FIM_SEP,
    N_TOKEN_ROLES
};

/* The key of each role below "tokenizer.ggml.", for example "bos_token_id" ("seperator_token_id"
 * is how the format spells it). */
const char *token_role_key(enum token_role role);

/* A vocabulary as its file describes it.  Start with vocab_def_init (all absent), then fill in
 * what the file has.  Everything is borrowed for the call of tokenizer_create only. */
struct vocab_def {
    struct str model; /* "gpt2", "llama", "bert", "gemma4" */
    struct str pre;   /* pre-tokenizer of byte-level BPE; p == NULL: absent */
    struct str name;  /* general.name: a few families carry token attributes by name; may be absent */

    const struct str *tokens;
    size_t n_tokens;
    const float *scores;      /* NULL: absent, else n_tokens of them */
    const int32_t *kinds;     /* enum token_kind; NULL: absent, else n_tokens of them */
    const struct str *merges; /* "left right" each, best first */
    size_t n_merges;

    int64_t role[N_TOKEN_ROLES]; /* id, or TOKEN_NONE: absent */

    /* -1: absent (the model's default), 0: no, 1: yes */
    int8_t add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;
    int8_t lowercase, strip_accents; /* tokenizer.ggml.normalizer.*, WordPiece only */
};

void vocab_def_init(struct vocab_def *def);

struct tokenizer;

/* Make a tokenizer; it copies what it keeps.  ERR_UNSUPPORTED with the list of what there is
 * for an unknown `model` or `pre`; ERR_FORMAT for a vocabulary that cannot be right.  A `pre` that is
 * absent selects "default", which fits hardly any model well: see tokenizer_pre_is_guess. */
int tokenizer_create(struct tokenizer **t, const struct vocab_def *def, struct err *err);
void tokenizer_free(struct tokenizer *t);

/* True if the file did not say how text is cut before BPE: worth a warning to the operator. */
bool tokenizer_pre_is_guess(const struct tokenizer *t);

/* ---- text to tokens ---- */

/* One stretch of the text to encode.  The texts of all segments form ONE string, and that string
 * is encoded: a border between segments is no border between tokens.  A control token is
 * matched only where all its bytes lie in segments that allow it (a match may span two
 * neighbours which both do).  User-defined tokens are matched everywhere.  Any bytes are
 * accepted; invalid UTF-8 is kept byte for byte where the vocabulary can say it. */
struct text_segment {
    struct str text;
    bool allow_special;
};

#define TEXT_BYTES_MAX ((size_t)1 << 30) /* all segments of one call together */

enum encode_add {
    ENCODE_ADD_AS_MODEL, /* what the vocabulary says */
    ENCODE_ADD_NO,
    ENCODE_ADD_YES /* ERR_ARG if the vocabulary has no such token */
};

/* All zero is the ordinary use: BOS (EOS) as the model wants it.  A BOS is never doubled: if the
 * text already begins with that token (templates often print it) none is added; so for EOS. */
struct encode_opts {
    enum encode_add bos, eos;
    bool is_continuation; /* no space prefix: the text goes on where other tokens ended */
};

/* Token ids, growing up to a maximum, or in the caller's array.  Past the maximum encode still
 * counts, so that an error can name both numbers: n_wanted is the number of tokens that the
 * last encode would have needed in all. */
struct token_list {
    int32_t *ids;
    size_t n, cap, max;
    size_t n_wanted;
    bool is_borrowed;
};

void token_list_init(struct token_list *list, size_t tokens_max);
void token_list_init_array(struct token_list *list, int32_t *ids, size_t cap);
void token_list_deinit(struct token_list *list);

/* Append the tokens of the segments to `out`.  On failure `out->n` is as before: ERR_LIMIT past
 * out->max tokens (n_wanted is set) or TEXT_BYTES_MAX, ERR_NOMEM, and ERR_ARG if the vocabulary has
 * neither tokens for some bytes of the text nor an unknown token.
 * Takes O(n log n) time and, for the longest run without a cut, about 30 bytes of memory per
 * byte of text. */
int tokenizer_encode(const struct tokenizer *t, const struct text_segment *segments, size_t n_segments,
                     struct encode_opts opts, struct token_list *out, struct err *err);

/* ---- tokens to text ---- */

/* The bytes that `id` stands for in text; empty for control, unknown and unused tokens and for ids
 * outside the vocabulary.  Not always whole characters.  Lives as long as the tokenizer. */
struct str tokenizer_token_bytes(const struct tokenizer *t, int32_t id);

/* The token as the vocabulary file spells it (readable, escaped); empty outside the vocabulary. */
struct str tokenizer_token_text(const struct tokenizer *t, int32_t id);

/* Turns a stream of tokens into a stream of well-formed UTF-8: bytes of an unfinished character
 * are held back until the next token; what can no longer become a character is replaced by
 * U+FFFD (one per maximal part, as Unicode recommends). */
struct detok {
    const struct tokenizer *t;
    bool show_special; /* print control tokens as the vocabulary spells them */
    bool strip_space;  /* drop the next token's leading space (start of a text, not of an answer) */
    uint8_t held[4];
    uint8_t n_held;
};

/* `at_text_start`: the tokens begin a text that was encoded with a space prefix, which is then
 * removed again.  False when the tokens go on after a prompt. */
void detok_init(struct detok *d, const struct tokenizer *t, bool at_text_start, bool show_special);
/* Append to `out` what `id` completes; possibly nothing.  False only if `out` failed. */
bool detok_push(struct detok *d, int32_t id, struct buf *out);
/* The stream is over: what is held becomes U+FFFD. */
bool detok_finish(struct detok *d, struct buf *out);

/* Append n bytes to a stream of UTF-8 through the same hold-back (`held` has room for 4). */
bool utf8_stream_push(uint8_t held[4], uint8_t *n_held, struct str bytes, struct buf *out);

/* ---- about the vocabulary ---- */

int32_t tokenizer_n_vocab(const struct tokenizer *t);
enum token_kind tokenizer_token_kind(const struct tokenizer *t, int32_t id);
/* True for tokens that have no text of their own: control and unknown ones. */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
/* The id whose text in the vocabulary is exactly `text`, or TOKEN_NONE. */
int32_t tokenizer_find(const struct tokenizer *t, struct str text);
/* The id with this role, or TOKEN_NONE.  Fill-in-the-middle and end-of-turn tokens are also found
 * by their well-known names when the file does not name them. */
int32_t tokenizer_role(const struct tokenizer *t, enum token_role role);
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_adds_eos(const struct tokenizer *t);
/* The tokens at which generation ends, ascending. */
bool tokenizer_is_eog(const struct tokenizer *t, int32_t id);
const int32_t *tokenizer_eog(const struct tokenizer *t, size_t *n);

#endif
