/* face_text.c - Text to tokens and back, at the library's door. */
#include <stdlib.h>
#include <string.h>

#include "engine/face_int.h"

#define TOKENS_MAX ((size_t)1 << 26) /* of one call */

/* Write what fits, tell how many there are. */
static int64_t give_tokens(struct token_list *list, int32_t *tokens, size_t tokens_cap)
{
    size_t n = list->n < tokens_cap ? list->n : tokens_cap;
    if (n > 0)
        memcpy(tokens, list->ids, n * sizeof *tokens);
    int64_t all = (int64_t)list->n;
    token_list_deinit(list);
    return all;
}

int face_text_encode(const struct sluice_model *m, struct str text, int flags, struct token_list *list,
                     struct err *err)
{
    struct text_segment segment = {text, (flags & SLUICE_SPECIAL) != 0};
    struct encode_opts opts = {.bos = flags & SLUICE_ADD_BOS ? ENCODE_ADD_AS_MODEL : ENCODE_ADD_NO,
                               .eos = flags & SLUICE_ADD_EOS ? ENCODE_ADD_AS_MODEL : ENCODE_ADD_NO};
    token_list_init(list, TOKENS_MAX);
    int rc = tokenizer_encode(m->tokenizer, &segment, 1, opts, list, err);
    if (rc != OK)
        token_list_deinit(list);
    return rc;
}

SLUICE_API int64_t sluice_tokenize(const struct sluice_model *m, const char *text, size_t text_bytes,
                                   int flags, int32_t *tokens, size_t tokens_cap, struct sluice_error *err)
{
    struct token_list list;
    int rc = face_text_encode(m, face_text(text, text_bytes), flags, &list, face_err(err));
    return rc == OK ? give_tokens(&list, tokens, tokens_cap) : rc;
}

SLUICE_API int64_t sluice_chat_tokenize(const struct sluice_model *m, const struct sluice_chat *chat,
                                        int32_t *tokens, size_t tokens_cap, struct sluice_error *err)
{
    struct token_list list;
    int rc = face_chat_encode(m, chat, &list, face_err(err));
    return rc == OK ? give_tokens(&list, tokens, tokens_cap) : rc;
}

static int64_t give_text(struct str s, int64_t at, char *text, size_t text_cap)
{
    if ((size_t)at < text_cap && s.n > 0) {
        size_t left = text_cap - (size_t)at;
        memcpy(text + at, s.p, s.n < left ? s.n : left);
    }
    return at + (int64_t)s.n;
}

/* A whole text: the tokenizer's space in front of it is removed, and it is well-formed UTF-8. */
static int64_t detokenize_text(const struct sluice_model *m, const int32_t *tokens, size_t n_tokens,
                               int flags, char *text, size_t text_cap, struct err *err)
{
    struct detok d;
    struct buf out;

    buf_init(&out, TEXT_BYTES_MAX);
    detok_init(&d, m->tokenizer, true, (flags & SLUICE_SPECIAL) != 0);
    for (size_t i = 0; i < n_tokens; i++)
        detok_push(&d, tokens[i], &out);
    detok_finish(&d, &out);
    int64_t n = buf_ok(&out) ? give_text(buf_str(&out), 0, text, text_cap) : FACE_OUT_OF_MEMORY(err);
    buf_deinit(&out);
    return n;
}

SLUICE_API int64_t sluice_detokenize(const struct sluice_model *m, const int32_t *tokens, size_t n_tokens,
                                     int flags, char *text, size_t text_cap, struct sluice_error *error)
{
    int64_t all = 0;
    for (size_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= tokenizer_n_vocab(m->tokenizer))
            return fail(face_err(error), ERR_ARG, "token %zu is %d; the model has tokens 0 to %d", i,
                        tokens[i], tokenizer_n_vocab(m->tokenizer) - 1);
    if (flags & SLUICE_TEXT_START)
        return detokenize_text(m, tokens, n_tokens, flags, text, text_cap, face_err(error));
    for (size_t i = 0; i < n_tokens; i++)
        all = give_text(emit_token_text(m->tokenizer, tokens[i], (flags & SLUICE_SPECIAL) != 0), all, text,
                        text_cap);
    return all;
}

/* ---- fill in the middle ---- */

static int add_role(const struct sluice_model *m, enum token_role role, struct token_list *list,
                    struct err *err)
{
    int32_t id = tokenizer_role(m->tokenizer, role);
    if (id < 0)
        return fail(err, ERR_UNSUPPORTED,
                    "this model has no fill-in-the-middle tokens, so it cannot take a suffix");
    struct text_segment marker = {tokenizer_token_text(m->tokenizer, id), true};
    struct encode_opts opts = {ENCODE_ADD_NO, ENCODE_ADD_NO, true};
    size_t before = list->n;
    int rc = tokenizer_encode(m->tokenizer, &marker, 1, opts, list, err);
    if (rc == OK && (list->n != before + 1 || list->ids[before] != id))
        rc =
            fail(err, ERR_UNSUPPORTED, "the fill-in-the-middle token %d of this model cannot be written", id);
    return rc;
}

static int add_text(const struct sluice_model *m, struct str text, struct token_list *list, struct err *err)
{
    struct text_segment segment = {text, false};
    struct encode_opts opts = {ENCODE_ADD_NO, ENCODE_ADD_NO, true};
    return tokenizer_encode(m->tokenizer, &segment, 1, opts, list, err);
}

static int add_bos(const struct sluice_model *m, struct token_list *list, struct err *err)
{
    struct text_segment nothing = {S(""), false};
    struct encode_opts opts = {ENCODE_ADD_AS_MODEL, ENCODE_ADD_NO, true};
    return tokenizer_encode(m->tokenizer, &nothing, 1, opts, list, err);
}

SLUICE_API int64_t sluice_tokenize_infill(const struct sluice_model *m, const char *prefix,
                                          size_t prefix_bytes, const char *suffix, size_t suffix_bytes,
                                          int32_t *tokens, size_t tokens_cap, struct sluice_error *error)
{
    struct err *err = face_err(error);
    struct token_list list;
    int rc;

    token_list_init(&list, TOKENS_MAX);
    if ((rc = add_bos(m, &list, err)) != OK || (rc = add_role(m, ROLE_FIM_PRE, &list, err)) != OK ||
        (rc = add_text(m, face_text(prefix, prefix_bytes), &list, err)) != OK ||
        (rc = add_role(m, ROLE_FIM_SUF, &list, err)) != OK ||
        (rc = add_text(m, face_text(suffix, suffix_bytes), &list, err)) != OK ||
        (rc = add_role(m, ROLE_FIM_MID, &list, err)) != OK) {
        token_list_deinit(&list);
        return rc;
    }
    return give_tokens(&list, tokens, tokens_cap);
}
