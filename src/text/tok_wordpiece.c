/* tok_wordpiece.c - BERT's WordPiece ("bert"): words, each cut greedily into the longest known parts.
 *
 * The text is cleaned (control characters go, accents and capitals if the model says so) and
 * falls into words at white space; punctuation and Chinese characters are words of their own.  The file
 * spells a part that begins a word with U+2581 in front, others bare.  If some part of a word
 * is unknown, the whole word is the unknown token.
 *
 * Start reading at tok_wordpiece_encode(). */
#include <utf8proc.h>

#include "text/tokenizer_int.h"
#include "text/unicode.h"

#define WORD_CHARS_MAX 100 /* longer words are unknown */
#define WORD_BYTES_MAX (SPACE_MARK_LEN + 4 * WORD_CHARS_MAX)

static void spell_bytes(const struct vocab *v, int32_t id, struct buf *out)
{
    struct str text = vocab_text(v, id);
    if (str_starts(text, S(SPACE_MARK))) {
        buf_putc(out, ' ');
        text = str_sub(text, SPACE_MARK_LEN, text.n);
    }
    buf_str_add(out, text);
}

static int32_t role_or_name(struct vocab *v, enum token_role role, const char *name)
{
    if (v->role[role] < 0)
        v->role[role] = vocab_find(v, str_c(name));
    return v->role[role];
}

int tok_wordpiece_create(struct tokenizer *t, const struct vocab_def *def, struct err *err)
{
    struct vocab *v = &t->vocab;
    t->bos = v->role[ROLE_CLS] >= 0 || v->role[ROLE_BOS] < 0 ? role_or_name(v, ROLE_CLS, "[CLS]")
                                                             : v->role[ROLE_BOS];
    t->eos = role_or_name(v, ROLE_SEP, "[SEP]");
    if (role_or_name(v, ROLE_UNK, "[UNK]") < 0)
        return fail(err, ERR_FORMAT, "a 'bert' vocabulary needs an unknown token, which is absent");
    t->add_bos = def->add_bos != 0;
    t->add_eos = def->add_sep >= 0 ? def->add_sep > 0 : def->add_eos != 0;
    t->lowercase = def->lowercase != 0;
    t->strip_accents = def->strip_accents >= 0 ? def->strip_accents > 0 : t->lowercase;
    t->add_space_prefix = true; /* what decoding must take away again */
    return vocab_set_bytes(v, spell_bytes, err);
}

/* ---- words ---- */

/* A word under way: U+2581 and its characters.  Longer ones than possible are only counted. */
struct word {
    char text[WORD_BYTES_MAX];
    size_t n;
    uint16_t char_end[WORD_CHARS_MAX]; /* offset behind each character */
    size_t n_chars;
};

static void word_clear(struct word *w)
{
    memcpy(w->text, SPACE_MARK, SPACE_MARK_LEN);
    w->n = SPACE_MARK_LEN;
    w->n_chars = 0;
}

static void word_add(struct word *w, uint32_t c)
{
    if (w->n_chars < WORD_CHARS_MAX) {
        w->n += unicode_encode(c, (uint8_t *)w->text + w->n);
        w->char_end[w->n_chars] = (uint16_t)w->n;
    }
    if (w->n_chars <= WORD_CHARS_MAX)
        w->n_chars++;
}

/* The longest part that begins at text[start] and is known; its last character's index + 1, or 0. */
static size_t longest_part(const struct vocab *v, const struct word *w, size_t start, size_t from_char,
                           int32_t *id)
{
    /* A U+2581 of the text itself must not pass for the mark of a word's beginning. */
    if (from_char > 0 && str_starts(str_of(w->text + start, w->n - start), S(SPACE_MARK)))
        return 0;
    for (size_t end = w->n_chars; end > from_char; end--) {
        *id = vocab_find_plain(v, str_of(w->text + start, w->char_end[end - 1] - start));
        if (*id >= 0)
            return end;
    }
    return 0;
}

/* Push the parts of the word, and begin a new one. */
static int word_flush(const struct tokenizer *t, struct encode_run *run, struct word *w)
{
    int32_t parts[WORD_CHARS_MAX];
    size_t n_parts = 0, start = 0, done = 0;
    bool is_known = w->n_chars <= WORD_CHARS_MAX;
    while (is_known && done < w->n_chars) {
        size_t end = longest_part(&t->vocab, w, start, done, &parts[n_parts]);
        is_known = end > 0;
        if (is_known) {
            n_parts++;
            done = end;
            start = w->char_end[end - 1];
        }
    }
    int rc = OK;
    if (!is_known)
        rc = token_list_push(run->out, t->vocab.role[ROLE_UNK]);
    for (size_t i = 0; is_known && i < n_parts && rc == OK; i++)
        rc = token_list_push(run->out, parts[i]);
    word_clear(w);
    return rc;
}

/* ---- characters ---- */

static bool is_chinese(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* One character of the normalised text. */
static int add_char(const struct tokenizer *t, struct encode_run *run, struct word *w, uint32_t c)
{
    int rc = OK;
    if (unicode_class_of(c) & UC_SPACE)
        return word_flush(t, run, w);
    if (!(unicode_class_of(c) & UC_BERT_PUNCT)) {
        word_add(w, c);
        return OK;
    }
    rc = word_flush(t, run, w);
    word_add(w, c);
    return rc == OK ? word_flush(t, run, w) : rc;
}

static int add_lowered(const struct tokenizer *t, struct encode_run *run, struct word *w, uint32_t c)
{
    if (!t->lowercase)
        return add_char(t, run, w, c);
    if (c != 0x130) /* the one character whose lower case is two: i and a dot above */
        return add_char(t, run, w, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
    int rc = add_char(t, run, w, 'i');
    return rc == OK ? add_char(t, run, w, 0x307) : rc;
}

static int add_normalised(const struct tokenizer *t, struct encode_run *run, struct word *w, uint32_t c)
{
    utf8proc_int32_t parts[32] = {(utf8proc_int32_t)c};
    utf8proc_ssize_t n = 1;
    int boundclass = 0, rc = OK;
    if (t->strip_accents && c >= 0x80)
        n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, 32, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE,
                                    &boundclass);
    for (utf8proc_ssize_t i = 0; i < n && i < 32 && rc == OK; i++) {
        unsigned classes = unicode_class_of((uint32_t)parts[i]);
        if (!t->strip_accents || !(classes & UC_BERT_ACCENT))
            rc = add_lowered(t, run, w, (uint32_t)parts[i]);
    }
    return rc;
}

int tok_wordpiece_encode(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start)
{
    (void)is_start;
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
    struct word word;
    int rc = OK;
    word_clear(&word);
    while (p < end && rc == OK) {
        unsigned n;
        uint32_t c = unicode_decode(p, end, &n);
        p += n;
        if (c >= UNICODE_INVALID || (unicode_class_of(c) & UC_BERT_DROPPED))
            continue;
        bool is_alone = is_chinese(c);
        if (is_alone)
            rc = word_flush(t, run, &word);
        if (rc == OK)
            rc = add_normalised(t, run, &word, c);
        if (rc == OK && is_alone)
            rc = word_flush(t, run, &word);
    }
    if (rc == OK)
        rc = word_flush(t, run, &word);
    return encode_failed(run, rc);
}
