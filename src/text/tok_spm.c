/* tok_spm.c - SentencePiece vocabularies ("llama") and their later form with explicit merges ("gemma4").
 *
 * Spaces become U+2581, a text may get one in front, and the whole text is one piece of characters to
 * merge; characters without a token become byte tokens.  Without explicit merges, any two tokens
 * whose texts make up a third are a merge, ranked by the score of the third: the list is written
 * out when the tokenizer is made, in the order of Hugging Face's conversion, and from
 * then on this is the same BPE as any other.
 *
 * A whole text as one piece would be slow.  Where no token has a certain character before a U+2581, no
 * merge ever reaches across that border, and the text can be cut there: nearly always, that is between
 * words.
 *
 * Start reading at tok_spm_encode(). */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "text/tokenizer_int.h"
#include "text/unicode.h"

static void spell_bytes(const struct vocab *v, int32_t id, struct buf *out)
{
    struct str text = vocab_text(v, id);
    int byte = vocab_byte_of(text);
    if (v->kind[id] == TOKEN_BYTE && byte >= 0) {
        buf_putc(out, (char)byte);
        return;
    }
    for (size_t i = 0; i < text.n;) {
        if (str_starts(str_sub(text, i, text.n), S(SPACE_MARK))) {
            buf_putc(out, ' ');
            i += SPACE_MARK_LEN;
        } else {
            buf_putc(out, text.p[i++]);
        }
    }
}

/* ---- merges out of scores ---- */

struct scored_merge {
    struct bpe_merge merge;
    float score;
};

static int compare_merges(const void *pa, const void *pb)
{
    const struct scored_merge *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->merge.result != b->merge.result)
        return a->merge.result < b->merge.result ? -1 : 1;
    if (a->merge.left != b->merge.left)
        return a->merge.left < b->merge.left ? -1 : 1;
    return a->merge.right < b->merge.right ? -1 : a->merge.right > b->merge.right;
}

struct merge_list {
    struct scored_merge *items;
    size_t n, cap;
};

static int add_merge(struct merge_list *list, struct bpe_merge merge, float score)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4096;
        struct scored_merge *items =
            cap < SIZE_MAX / sizeof *items ? realloc(list->items, cap * sizeof *items) : NULL;
        if (!items)
            return ERR_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = (struct scored_merge){merge, score};
    return OK;
}

#define SPLIT_TEXT_MAX 512 /* longer tokens are only found whole: their splits would be many */

/* All ways to make up token `id` of two tokens. */
static int split_token(const struct vocab *v, int32_t id, float score, struct merge_list *list)
{
    struct str text = vocab_text(v, id);
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
    if (text.n > SPLIT_TEXT_MAX)
        return OK;
    unsigned n;
    for (size_t at = 0; at < text.n; at += n) {
        unicode_decode(p + at, end, &n);
        if (at == 0)
            continue;
        int32_t left = vocab_find_plain(v, str_sub(text, 0, at));
        int32_t right = left < 0 ? TOKEN_NONE : vocab_find_plain(v, str_sub(text, at, text.n));
        if (right >= 0 && add_merge(list, (struct bpe_merge){left, right, id}, score) != OK)
            return ERR_NOMEM;
    }
    return OK;
}

static int merges_from_scores(const struct vocab *v, const float *scores, struct bpe_merge **merges,
                              size_t *n_merges, struct err *err)
{
    struct merge_list list = {0};
    int rc = OK;
    for (int32_t id = 0; id < v->n && rc == OK; id++) {
        if (isnan(scores[id]))
            rc = fail(err, ERR_FORMAT, "the score of token %d is not a number", id);
        else if (vocab_is_plain(v, id) && vocab_find(v, vocab_text(v, id)) == id)
            rc = split_token(v, id, scores[id], &list) == OK
                     ? OK
                     : fail(err, ERR_NOMEM, "no memory for the merges of %d tokens", v->n);
    }
    *merges = rc == OK ? malloc((list.n + 1) * sizeof **merges) : NULL;
    if (rc == OK && !*merges)
        rc = fail(err, ERR_NOMEM, "no memory for %zu merges", list.n);
    if (rc == OK) {
        if (list.n)
            qsort(list.items, list.n, sizeof *list.items, compare_merges);
        for (size_t i = 0; i < list.n; i++)
            (*merges)[i] = list.items[i].merge;
        *n_merges = list.n;
    }
    free(list.items);
    return rc;
}

/* ---- the tokenizer ---- */

/* joins_space[b]: some token has U+2581 behind a character that ends in byte b. */
static void cut_table(struct tokenizer *t)
{
    for (int32_t id = 0; id < t->vocab.n; id++) {
        struct str text = vocab_text(&t->vocab, id);
        if (!vocab_is_plain(&t->vocab, id))
            continue;
        for (size_t at = str_find(text, S(SPACE_MARK), 1); at != STR_NONE;
             at = str_find(text, S(SPACE_MARK), at + 1))
            t->joins_space[(uint8_t)text.p[at - 1]] = true;
    }
    t->can_cut_before_space = vocab_find_plain(&t->vocab, S(SPACE_MARK)) >= 0;
}

/* Before anything else is built: a byte token must not be made of its spelling "<0x0A>". */
static void mark_byte_tokens(struct vocab *v, bool has_kinds)
{
    for (int32_t id = 0; id < v->n && !has_kinds; id++)
        if (vocab_byte_of(vocab_text(v, id)) >= 0)
            v->kind[id] = TOKEN_BYTE;
}

static void set_byte_ids(struct tokenizer *t)
{
    for (int32_t id = 0; id < t->vocab.n; id++) {
        int byte = vocab_byte_of(vocab_text(&t->vocab, id));
        if (t->vocab.kind[id] == TOKEN_BYTE && byte >= 0 && t->bpe.byte_id[byte] < 0)
            t->bpe.byte_id[byte] = id;
    }
}

/* The ids that SentencePiece gives these tokens unless told otherwise. */
static void set_default_roles(struct vocab *v)
{
    static const struct {
        enum token_role role;
        const char *text;
    } usual[] = {{ROLE_UNK, "<unk>"}, {ROLE_BOS, "<s>"}, {ROLE_EOS, "</s>"}};
    for (int32_t id = 0; id < 3 && id < v->n; id++)
        if (v->role[usual[id].role] < 0 && str_eq(vocab_text(v, id), str_c(usual[id].text)))
            v->role[usual[id].role] = id;
}

static int finish(struct tokenizer *t, const struct vocab_def *def, const struct bpe_merge *merges,
                  size_t n_merges, struct err *err)
{
    struct vocab *v = &t->vocab;
    int rc = bpe_init(&t->bpe, v, v->texts, v->text_at, merges, n_merges, err);
    if (rc != OK)
        return rc;
    t->bpe.by_char = true;
    set_byte_ids(t);
    set_default_roles(v);
    int32_t unk = v->role[ROLE_UNK];
    t->bpe.unk = unk >= 0 && v->kind[unk] != TOKEN_CONTROL ? unk : TOKEN_NONE;
    cut_table(t);
    t->bos = v->role[ROLE_BOS];
    t->eos = v->role[ROLE_EOS];
    t->add_bos = def->add_bos != 0;
    t->add_eos = def->add_eos > 0;
    t->remove_extra_whitespaces = def->remove_extra_whitespaces > 0;
    return vocab_set_bytes(v, spell_bytes, err);
}

int tok_spm_create(struct tokenizer *t, const struct vocab_def *def, struct err *err)
{
    if (!def->scores)
        return fail(err, ERR_FORMAT, "a 'llama' vocabulary needs tokenizer.ggml.scores, which are absent");
    mark_byte_tokens(&t->vocab, def->kinds != NULL);
    struct bpe_merge *merges;
    size_t n_merges = 0;
    int rc = merges_from_scores(&t->vocab, def->scores, &merges, &n_merges, err);
    if (rc != OK)
        return rc;
    t->add_space_prefix = def->add_space_prefix != 0;
    rc = finish(t, def, merges, n_merges, err);
    free(merges);
    return rc;
}

int tok_gemma4_create(struct tokenizer *t, const struct vocab_def *def, struct err *err)
{
    if (def->n_merges == 0)
        return fail(err, ERR_FORMAT, "a 'gemma4' vocabulary needs tokenizer.ggml.merges, which are absent");
    mark_byte_tokens(&t->vocab, def->kinds != NULL);
    struct bpe_merge *merges;
    size_t n_merges = 0;
    int rc = merges_from_list(&t->vocab, def->merges, def->n_merges, &merges, &n_merges, err);
    if (rc != OK)
        return rc;
    t->add_space_prefix = def->add_space_prefix > 0;
    t->splits_lines = true;
    rc = finish(t, def, merges, n_merges, err);
    free(merges);
    return rc;
}

/* ---- encoding ---- */

/* The text with its spaces as U+2581. */
static int escape_spaces(const struct tokenizer *t, struct encode_run *run, struct str text, bool has_prefix,
                         struct str *escaped)
{
    struct buf *out = &run->memory;
    bool trims = t->remove_extra_whitespaces;
    buf_clear(out);
    while (trims && text.n > 0 && text.p[text.n - 1] == ' ')
        text.n--;
    size_t at = 0;
    while (trims && at < text.n && text.p[at] == ' ')
        at++;
    if (has_prefix && at < text.n)
        buf_puts(out, SPACE_MARK);
    while (at < text.n) {
        size_t space = str_find_char(text, ' ', at);
        size_t stop = space == STR_NONE ? text.n : space;
        buf_add(out, text.p + at, stop - at);
        at = stop;
        if (stop < text.n) {
            buf_puts(out, SPACE_MARK);
            at++;
        }
        while (trims && at < text.n && text.p[at] == ' ')
            at++;
    }
    *escaped = buf_str(out);
    return buf_ok(out) ? OK : ERR_NOMEM;
}

/* Where the piece that begins at `from` may end: before a U+2581 that no token reaches across. */
static size_t find_cut(const struct tokenizer *t, struct str text, size_t from)
{
    if (!t->can_cut_before_space)
        return text.n;
    for (size_t at = str_find(text, S(SPACE_MARK), from + 1); at != STR_NONE;
         at = str_find(text, S(SPACE_MARK), at + 1))
        if (!t->joins_space[(uint8_t)text.p[at - 1]])
            return at;
    return text.n;
}

static int encode_stretch(const struct tokenizer *t, struct encode_run *run, struct str text)
{
    int rc = OK;
    size_t at = 0;
    while (rc == OK && at < text.n) {
        size_t cut = find_cut(t, text, at);
        rc = bpe_encode(&t->bpe, &run->scratch, (const uint8_t *)text.p + at, cut - at, run->out);
        at = cut;
    }
    return rc;
}

/* Runs of line ends are pieces; one that is a token is taken whole, there being no merges for it. */
static int encode_lines(const struct tokenizer *t, struct encode_run *run, struct str text)
{
    int rc = OK;
    size_t at = 0;
    while (rc == OK && at < text.n) {
        bool is_ends = text.p[at] == '\n';
        size_t stop = at + 1;
        while (stop < text.n && (text.p[stop] == '\n') == is_ends)
            stop++;
        struct str piece = str_sub(text, at, stop);
        int32_t id = is_ends ? vocab_find_plain(&t->vocab, piece) : TOKEN_NONE;
        rc = id >= 0 ? token_list_push(run->out, id) : encode_stretch(t, run, piece);
        at = stop;
    }
    return rc;
}

int tok_spm_encode(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start)
{
    struct str escaped;
    if (escape_spaces(t, run, text, is_start && t->add_space_prefix, &escaped) != OK)
        return fail(run->err, ERR_NOMEM, "no memory to normalise %zu bytes of text", text.n);
    int rc = t->splits_lines ? encode_lines(t, run, escaped) : encode_stretch(t, run, escaped);
    return encode_failed(run, rc);
}
