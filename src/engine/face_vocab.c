/* face_vocab.c - From the tokenizer.ggml.* keys of a GGUF file to a tokenizer. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/face_vocab.h"

static int add_flag(const struct gguf *g, const char *key, int8_t *flag, struct err *err)
{
    bool b = false;
    int rc = gguf_get_bool(g, key, &b, err);
    if (rc == OK)
        *flag = b;
    return rc == ERR_NOT_FOUND ? OK : rc;
}

static int add_flags(const struct gguf *g, struct vocab_def *def, struct err *err)
{
    int rc;
    if ((rc = add_flag(g, "tokenizer.ggml.add_bos_token", &def->add_bos, err)) != OK ||
        (rc = add_flag(g, "tokenizer.ggml.add_eos_token", &def->add_eos, err)) != OK ||
        (rc = add_flag(g, "tokenizer.ggml.add_sep_token", &def->add_sep, err)) != OK ||
        (rc = add_flag(g, "tokenizer.ggml.add_space_prefix", &def->add_space_prefix, err)) != OK ||
        (rc = add_flag(g, "tokenizer.ggml.remove_extra_whitespaces", &def->remove_extra_whitespaces, err)) !=
            OK ||
        (rc = add_flag(g, "tokenizer.ggml.normalizer.lowercase", &def->lowercase, err)) != OK)
        return rc;
    return add_flag(g, "tokenizer.ggml.normalizer.strip_accents", &def->strip_accents, err);
}

static int add_roles(const struct gguf *g, struct vocab_def *def, struct err *err)
{
    for (int r = 0; r < N_TOKEN_ROLES; r++) {
        char key[96];
        uint32_t id;
        snprintf(key, sizeof key, "tokenizer.ggml.%s", token_role_key((enum token_role)r));
        int rc = gguf_get_u32(g, key, &id, err);
        if (rc == OK)
            def->role[r] = id;
        else if (rc != ERR_NOT_FOUND)
            return rc;
    }
    return OK;
}

/* An array that must have one entry per token if it is there. */
static int check_length(const char *key, uint64_t n, size_t n_tokens, struct err *err)
{
    if (n != n_tokens)
        return fail(err, ERR_FORMAT, "%s has %llu entries for %zu tokens", key, (unsigned long long)n,
                    n_tokens);
    return OK;
}

static int add_arrays(const struct gguf *g, struct vocab_def *def, struct err *err)
{
    uint64_t n = 0;
    int rc = gguf_get_strs(g, "tokenizer.ggml.tokens", &def->tokens, &n, err);
    if (rc != OK)
        return rc;
    def->n_tokens = (size_t)n;
    rc = gguf_get_f32s(g, "tokenizer.ggml.scores", &def->scores, &n, err);
    if (rc == OK)
        rc = check_length("tokenizer.ggml.scores", n, def->n_tokens, err);
    else if (rc == ERR_NOT_FOUND)
        rc = OK;
    if (rc != OK)
        return rc;
    rc = gguf_get_i32s(g, "tokenizer.ggml.token_type", &def->kinds, &n, err);
    if (rc == OK)
        rc = check_length("tokenizer.ggml.token_type", n, def->n_tokens, err);
    else if (rc == ERR_NOT_FOUND)
        rc = OK;
    if (rc != OK)
        return rc;
    n = 0;
    rc = gguf_get_strs(g, "tokenizer.ggml.merges", &def->merges, &n, err);
    def->n_merges = (size_t)n;
    return rc == ERR_NOT_FOUND ? OK : rc;
}

int face_vocab_read(struct tokenizer **t, const struct gguf *g, struct err *err)
{
    struct vocab_def def;
    struct str pre = {NULL, 0}, name = {NULL, 0};
    int rc;

    vocab_def_init(&def);
    if ((rc = gguf_get_str(g, "tokenizer.ggml.model", &def.model, err)) != OK ||
        (rc = gguf_opt_str(g, "tokenizer.ggml.pre", &pre, err)) != OK ||
        (rc = gguf_opt_str(g, "general.name", &name, err)) != OK || (rc = add_arrays(g, &def, err)) != OK ||
        (rc = add_roles(g, &def, err)) != OK || (rc = add_flags(g, &def, err)) != OK)
        return rc;
    def.pre = pre;
    def.name = name;
    return tokenizer_create(t, &def, err);
}
