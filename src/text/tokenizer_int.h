/* tokenizer_int.h - What the kinds of tokenizer share.
 *
 * A kind is one file (tok_*.c) and one row in tokenizer.c. */
#ifndef TEXT_TOKENIZER_INT_H
#define TEXT_TOKENIZER_INT_H

#include "text/bpe_int.h"
#include "text/pretok.h"
#include "text/special.h"
#include "text/tokenizer.h"
#include "text/vocab_int.h"

/* What one call of tokenizer_encode owns. */
struct encode_run {
    struct token_list *out;
    struct err *err;
    struct bpe_scratch scratch;
    struct buf memory; /* one section, normalised */
};

struct tok_model {
    const char *name; /* tokenizer.ggml.model */
    /* Fill in the kind's own part of *t; vocab is ready but for its bytes. */
    int (*create)(struct tokenizer *t, const struct vocab_def *def, struct err *err);
    /* Encode a stretch without special tokens (not empty).  `is_start`: it begins the text or
     * follows a special token. */
    int (*encode)(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start);
};

struct tokenizer {
    struct vocab vocab;
    const struct tok_model *model;
    struct special_set *specials;
    int32_t bos, eos; /* what add_bos and add_eos add, or TOKEN_NONE */
    bool add_bos, add_eos;
    bool pre_is_guess;
    bool add_space_prefix;

    struct bpe bpe;                     /* all but WordPiece */
    const struct pretok_family *family; /* byte-level BPE */
    bool remove_extra_whitespaces;      /* SentencePiece */
    bool splits_lines;                  /* gemma4: runs of line ends are pieces of their own */
    bool can_cut_before_space;          /* SentencePiece: see cut_table */
    bool joins_space[256];              /* byte b is followed by U+2581 inside some token */
    bool lowercase, strip_accents;      /* WordPiece */
};

int tok_bpe_create(struct tokenizer *t, const struct vocab_def *def, struct err *err);
int tok_bpe_encode(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start);
int tok_spm_create(struct tokenizer *t, const struct vocab_def *def, struct err *err);
int tok_gemma4_create(struct tokenizer *t, const struct vocab_def *def, struct err *err);
int tok_spm_encode(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start);
int tok_wordpiece_create(struct tokenizer *t, const struct vocab_def *def, struct err *err);
int tok_wordpiece_encode(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start);

/* Merges as the file lists them ("left right"), as ids.  Those that name tokens which are not there,
 * or which plain text must not become, are left out.  The caller frees *merges. */
int merges_from_list(const struct vocab *v, const struct str *list, size_t n_list, struct bpe_merge **merges,
                     size_t *n_merges, struct err *err);

/* Put the words for what bpe_encode returned; OK stays OK. */
int encode_failed(struct encode_run *run, int rc);

/* U+2581, which stands for a space in SentencePiece vocabularies. */
#define SPACE_MARK     "\xE2\x96\x81"
#define SPACE_MARK_LEN 3

#endif
