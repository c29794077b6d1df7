/* tok_bpe.c - Byte-level BPE ("gpt2"): text is cut into pieces, pieces are merged from bytes.
 *
 * Vocabularies of this kind spell each byte as a printable character: 33-126, 161-172 and 174-255 as
 * themselves, the other 68 in order as U+0100 and following.  That spelling is undone once, when the
 * tokenizer is made; encoding works on the bytes.
 *
 * Start reading at tok_bpe_encode(). */
#include <stdlib.h>

#include "text/tokenizer_int.h"
#include "text/unicode.h"

/* The byte that a character of the spelling stands for, or -1. */
static int byte_of_char(uint32_t c)
{
    if (c < 256)
        return (c >= 33 && c <= 126) || (c >= 161 && c != 173) ? (int)c : -1;
    c -= 256;
    if (c < 33)
        return (int)c;
    if (c < 33 + 34)
        return (int)(c - 33 + 127);
    return c == 33 + 34 ? 173 : -1;
}

/* A text with a character that spells no byte stands for itself as a whole. */
static void spell_bytes(const struct vocab *v, int32_t id, struct buf *out)
{
    struct str text = vocab_text(v, id);
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
    size_t start = out->n;
    while (p < end && v->kind[id] != TOKEN_USER_DEFINED) {
        unsigned n;
        int byte = byte_of_char(unicode_decode(p, end, &n));
        if (byte < 0)
            break;
        buf_putc(out, (char)byte);
        p += n;
    }
    if (p == end || !buf_ok(out))
        return;
    out->n = start;
    buf_str_add(out, text);
}

/* ---- merges ---- */

/* The token of left and right behind each other. */
static int32_t find_joined(const struct vocab *v, struct str left, struct str right, struct buf *joined)
{
    buf_clear(joined);
    buf_str_add(joined, left);
    buf_str_add(joined, right);
    return buf_ok(joined) ? vocab_find_plain(v, buf_str(joined)) : TOKEN_NONE;
}

/* All three tokens are there, and the bytes of the result are those of its parts: a file in which they
 * are not could make text into other text. */
static bool is_sound(const struct vocab *v, const struct bpe_merge *m)
{
    if (m->left < 0 || m->right < 0 || m->result < 0)
        return false;
    if (!v->bytes) /* texts are bytes in this kind of vocabulary */
        return true;
    struct str left = vocab_bytes(v, m->left), right = vocab_bytes(v, m->right);
    struct str result = vocab_bytes(v, m->result);
    return result.n == left.n + right.n && str_starts(result, left) && str_ends(result, right);
}

int merges_from_list(const struct vocab *v, const struct str *list, size_t n_list, struct bpe_merge **merges,
                     size_t *n_merges, struct err *err)
{
    *n_merges = 0;
    *merges = n_list < SIZE_MAX / sizeof **merges ? malloc((n_list + 1) * sizeof **merges) : NULL;
    if (!*merges)
        return fail(err, ERR_NOMEM, "no memory for %zu merges", n_list);
    struct buf joined;
    buf_init(&joined, VOCAB_BYTES_MAX);
    for (size_t i = 0; i < n_list; i++) {
        size_t space = str_find_char(list[i], ' ', 1); /* a token may begin with a space */
        if (space == STR_NONE) {
            buf_deinit(&joined);
            free(*merges);
            *merges = NULL;
            return fail(err, ERR_FORMAT, "merge %zu ('%.*s') has no space between two tokens", i,
                        STR(str_sub(list[i], 0, 100)));
        }
        struct str left = str_sub(list[i], 0, space), right = str_sub(list[i], space + 1, list[i].n);
        struct bpe_merge merge = {vocab_find_plain(v, left), vocab_find_plain(v, right),
                                  find_joined(v, left, right, &joined)};
        if (is_sound(v, &merge))
            (*merges)[(*n_merges)++] = merge;
    }
    buf_deinit(&joined);
    return OK;
}

/* ---- the tokenizer ---- */

static int choose_family(struct tokenizer *t, const struct vocab_def *def, struct err *err)
{
    t->pre_is_guess = !def->pre.p || def->pre.n == 0;
    t->family = pretok_find(t->pre_is_guess ? S("default") : def->pre);
    if (t->family)
        return OK;
    struct buf names;
    buf_init(&names, ERR_TEXT_MAX * 8);
    pretok_list(&names);
    int rc = fail(err, ERR_UNSUPPORTED, "unknown pre-tokenizer '%.*s'; known are: %s",
                  STR(str_sub(def->pre, 0, 60)), buf_z(&names));
    buf_deinit(&names);
    return rc;
}

static void set_byte_ids(struct tokenizer *t)
{
    for (int32_t id = 0; id < t->vocab.n; id++) {
        struct str bytes = vocab_bytes(&t->vocab, id);
        if (t->vocab.kind[id] == TOKEN_NORMAL && bytes.n == 1 && t->bpe.byte_id[(uint8_t)bytes.p[0]] < 0)
            t->bpe.byte_id[(uint8_t)bytes.p[0]] = id;
    }
}

int tok_bpe_create(struct tokenizer *t, const struct vocab_def *def, struct err *err)
{
    int rc = choose_family(t, def, err);
    if (rc == OK)
        rc = vocab_set_bytes(&t->vocab, spell_bytes, err);
    if (rc != OK)
        return rc;
    if (def->n_merges == 0)
        return fail(err, ERR_FORMAT, "a '%.*s' vocabulary needs tokenizer.ggml.merges, which are absent",
                    STR(def->model));
    struct bpe_merge *merges;
    size_t n_merges;
    rc = merges_from_list(&t->vocab, def->merges, def->n_merges, &merges, &n_merges, err);
    if (rc != OK)
        return rc;
    rc = bpe_init(&t->bpe, &t->vocab, t->vocab.bytes, t->vocab.bytes_at, merges, n_merges, err);
    free(merges);
    if (rc != OK)
        return rc;
    set_byte_ids(t);
    /* Many files name <|endoftext|> as unknown token; text must not become that. */
    int32_t unk = t->vocab.role[ROLE_UNK];
    t->bpe.unk = unk >= 0 && t->vocab.kind[unk] != TOKEN_CONTROL ? unk : TOKEN_NONE;
    t->bpe.ignore_merges = t->family->ignore_merges;
    t->bos = t->vocab.role[ROLE_BOS];
    t->eos = t->vocab.role[ROLE_EOS];
    t->add_bos = def->add_bos >= 0 ? def->add_bos > 0 : t->family->add_bos;
    t->add_eos = def->add_eos > 0;
    if (!t->add_eos && (def->add_sep >= 0 ? def->add_sep > 0 : t->family->add_sep)) {
        t->add_eos = true; /* one separator closes the text, whichever name it goes by */
        if (t->vocab.role[ROLE_SEP] >= 0)
            t->eos = t->vocab.role[ROLE_SEP];
    }
    return OK;
}

int tok_bpe_encode(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start)
{
    (void)is_start;
    if (t->family->nfc && unicode_nfc(text, &run->memory, &text) != OK)
        return fail(run->err, ERR_NOMEM, "no memory to normalise %zu bytes of text", text.n);
    struct pretok_iter it;
    struct str piece;
    int rc = OK;
    pretok_begin(&it, t->family, text);
    while (rc == OK && pretok_next(&it, &piece))
        rc = bpe_encode(&t->bpe, &run->scratch, (const uint8_t *)piece.p, piece.n, run->out);
    return encode_failed(run, rc);
}
