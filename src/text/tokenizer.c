/* tokenizer.c - Making a tokenizer, and the path from segments to tokens.
 *
 * The segments are put together into one string; special tokens are found in it (only where they
 * are allowed); what lies between them goes to the kind of tokenizer that the vocabulary
 * names.  Start reading at tokenizer_encode(). */
#include "text/tokenizer.h"

#include <assert.h>
#include <stdlib.h>

#include "text/tokenizer_int.h"
#include "text/unicode.h"

static const struct tok_model models[] = {
    {"gpt2", tok_bpe_create, tok_bpe_encode},
    {"llama", tok_spm_create, tok_spm_encode},
    {"gemma4", tok_gemma4_create, tok_spm_encode},
    {"bert", tok_wordpiece_create, tok_wordpiece_encode},
};
#define N_MODELS (sizeof models / sizeof models[0])

/* ---- making ---- */

static const struct tok_model *find_model(struct str name)
{
    for (size_t i = 0; i < N_MODELS; i++)
        if (str_eq(name, str_c(models[i].name)))
            return &models[i];
    return NULL;
}

static int unknown_model(struct str name, struct err *err)
{
    struct buf names;
    buf_init(&names, 256);
    for (size_t i = 0; i < N_MODELS; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", models[i].name);
    int rc = fail(err, ERR_UNSUPPORTED, "unknown tokenizer model '%.*s'; known are: %s",
                  STR(str_sub(name, 0, 60)), buf_z(&names));
    buf_deinit(&names);
    return rc;
}

/* Control and unknown tokens are matched where it is allowed, user-defined ones everywhere. */
static int collect_specials(struct tokenizer *t, struct err *err)
{
    const struct vocab *v = &t->vocab;
    size_t n = 0;
    struct special_pattern *patterns = malloc((size_t)v->n * sizeof *patterns);
    if (!patterns)
        return fail(err, ERR_NOMEM, "no memory for the special tokens");
    for (int32_t id = 0; id < v->n; id++) {
        bool is_control = v->kind[id] == TOKEN_CONTROL || v->kind[id] == TOKEN_UNKNOWN;
        if ((is_control || v->kind[id] == TOKEN_USER_DEFINED) && vocab_text(v, id).n > 0)
            patterns[n++] = (struct special_pattern){vocab_text(v, id), id, is_control};
    }
    int rc = special_create(&t->specials, patterns, n, err);
    free(patterns);
    return rc;
}

int tokenizer_create(struct tokenizer **out, const struct vocab_def *def, struct err *err)
{
    *out = NULL;
    const struct tok_model *model = find_model(def->model);
    if (!model)
        return unknown_model(def->model, err);
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, ERR_NOMEM, "no memory for a tokenizer");
    unicode_init();
    t->model = model;
    t->bos = t->eos = TOKEN_NONE;
    int rc = vocab_init(&t->vocab, def, err);
    if (rc == OK)
        rc = model->create(t, def, err);
    if (rc == OK)
        rc = collect_specials(t, err);
    if (rc != OK) {
        tokenizer_free(t);
        return rc;
    }
    *out = t;
    return OK;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    special_free(t->specials);
    bpe_deinit(&t->bpe);
    vocab_deinit(&t->vocab);
    free(t);
}

/* ---- lists of tokens ---- */

void token_list_init(struct token_list *list, size_t tokens_max)
{
    *list = (struct token_list){.max = tokens_max};
}

void token_list_init_array(struct token_list *list, int32_t *ids, size_t cap)
{
    *list = (struct token_list){.ids = ids, .cap = cap, .max = cap, .is_borrowed = true};
}

void token_list_deinit(struct token_list *list)
{
    if (!list->is_borrowed)
        free(list->ids);
    *list = (struct token_list){0};
}

int token_list_grow(struct token_list *list)
{
    assert(!list->is_borrowed && list->cap < list->max);
    size_t cap = list->cap < 256 ? 256 : list->cap > SIZE_MAX / 16 ? list->max : list->cap * 2;
    if (cap > list->max)
        cap = list->max;
    int32_t *ids = realloc(list->ids, cap * sizeof *ids);
    if (!ids)
        return ERR_NOMEM;
    list->ids = ids;
    list->cap = cap;
    return OK;
}

/* ---- encoding ---- */

int encode_failed(struct encode_run *run, int rc)
{
    switch (rc) {
    case OK: return OK;
    case BPE_NO_TOKEN:
        return fail(run->err, ERR_ARG,
                    "the vocabulary has no token for byte 0x%02X of the text, and no unknown token",
                    run->scratch.bad_byte);
    case ERR_LIMIT: return fail(run->err, ERR_LIMIT, "a stretch of the text is too long to encode");
    default: return fail(run->err, ERR_NOMEM, "no memory to encode the text");
    }
}

/* The segments as one string, and where in it special tokens are allowed. */
struct joined_text {
    struct str text;
    struct special_span *spans;
    size_t n_spans;
    char *memory; /* NULL if the text is the one segment's own */
};

static int join_segments(struct joined_text *joined, const struct text_segment *segments, size_t n_segments,
                         struct err *err)
{
    *joined = (struct joined_text){0};
    size_t n_bytes = 0;
    for (size_t i = 0; i < n_segments; i++) {
        if (segments[i].text.n > TEXT_BYTES_MAX - n_bytes)
            return fail(err, ERR_LIMIT, "the text has more than %zu bytes", TEXT_BYTES_MAX);
        n_bytes += segments[i].text.n;
    }
    joined->spans = malloc((n_segments + 1) * sizeof *joined->spans);
    if (n_segments != 1)
        joined->memory = malloc(n_bytes + 1);
    if (!joined->spans || (n_segments != 1 && !joined->memory))
        return fail(err, ERR_NOMEM, "no memory for a text of %zu bytes", n_bytes);
    joined->text = n_segments == 1 ? segments[0].text : str_of(joined->memory, n_bytes);
    size_t at = 0;
    for (size_t i = 0; i < n_segments; i++) {
        size_t n = segments[i].text.n;
        if (joined->memory && n)
            memcpy(joined->memory + at, segments[i].text.p, n);
        struct special_span *last = joined->n_spans ? &joined->spans[joined->n_spans - 1] : NULL;
        if (n && segments[i].allow_special && last && last->end == at)
            last->end += n;
        else if (n && segments[i].allow_special)
            joined->spans[joined->n_spans++] = (struct special_span){at, at + n};
        at += n;
    }
    return OK;
}

static void joined_deinit(struct joined_text *joined)
{
    free(joined->spans);
    free(joined->memory);
}

/* End of the white space that begins at `from`. */
static size_t skip_space(struct str text, size_t from)
{
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
    unsigned n;
    while (from < text.n && (unicode_class_of(unicode_decode(p + from, end, &n)) & UC_SPACE))
        from += n;
    return from;
}

/* Where the white space begins that ends at `to`, not before `from`. */
static size_t skip_space_back(struct str text, size_t from, size_t to)
{
    const uint8_t *p = (const uint8_t *)text.p;
    while (to > from) {
        size_t at = to - 1;
        while (at > from && to - at < 4 && (p[at] & 0xC0) == 0x80)
            at--;
        unsigned n;
        if (!(unicode_class_of(unicode_decode(p + at, p + to, &n)) & UC_SPACE) || at + n != to)
            break;
        to = at;
    }
    return to;
}

static int encode_plain(const struct tokenizer *t, struct encode_run *run, struct str text, bool is_start)
{
    return text.n == 0 ? OK : t->model->encode(t, run, text, is_start);
}

/* Everything between the BOS and the EOS that are added.  *last is the special token with which the
 * text itself ends, or TOKEN_NONE. */
static int encode_text(const struct tokenizer *t, struct encode_run *run, const struct joined_text *joined,
                       bool is_continuation, int32_t *last)
{
    struct special_search search;
    struct special_match match;
    struct str text = joined->text;
    size_t at = 0;
    bool is_start = !is_continuation;
    int rc = OK;
    *last = TOKEN_NONE;
    special_begin(&search, t->specials, text, joined->spans, joined->n_spans);
    while (rc == OK && special_next(&search, &match)) {
        uint8_t flags = t->vocab.flags[match.id];
        size_t end = match.begin;
        if (end < at) /* white space that a token before has eaten was part of this one */
            continue;
        if (flags & TOKEN_LSTRIP)
            end = skip_space_back(text, at, end);
        rc = encode_plain(t, run, str_sub(text, at, end), is_start);
        if (rc == OK && token_list_push(run->out, match.id) != OK)
            rc = encode_failed(run, ERR_NOMEM);
        at = flags & TOKEN_RSTRIP ? skip_space(text, match.end) : match.end;
        is_start = true;
        *last = match.id;
    }
    if (rc == OK && at < text.n) {
        *last = TOKEN_NONE;
        rc = encode_plain(t, run, str_sub(text, at, text.n), is_start);
    }
    return rc;
}

/* Whether the text itself begins with special token `id`. */
static bool begins_with(const struct tokenizer *t, const struct joined_text *joined, int32_t id)
{
    struct special_search search;
    struct special_match match;
    if (!str_starts(joined->text, vocab_text(&t->vocab, id)))
        return false;
    special_begin(&search, t->specials, joined->text, joined->spans, joined->n_spans);
    return special_next(&search, &match) && match.begin == 0 && match.id == id;
}

/* Whether to add `id`, which is absent if TOKEN_NONE. */
static int decide_add(enum encode_add wish, bool model_adds, int32_t id, const char *what, bool *adds,
                      struct err *err)
{
    *adds = id >= 0 && (wish == ENCODE_ADD_YES || (wish == ENCODE_ADD_AS_MODEL && model_adds));
    if (wish == ENCODE_ADD_YES && id < 0)
        return fail(err, ERR_ARG, "this vocabulary has no %s token", what);
    return OK;
}

static int encode_all(const struct tokenizer *t, struct encode_run *run, const struct joined_text *joined,
                      struct encode_opts opts)
{
    bool adds_bos, adds_eos;
    int rc = decide_add(opts.bos, t->add_bos, t->bos, "BOS", &adds_bos, run->err);
    if (rc == OK)
        rc = decide_add(opts.eos, t->add_eos, t->eos, "EOS", &adds_eos, run->err);
    if (rc != OK)
        return rc;
    if (adds_bos && !begins_with(t, joined, t->bos) && token_list_push(run->out, t->bos) != OK)
        return encode_failed(run, ERR_NOMEM);
    int32_t last;
    rc = encode_text(t, run, joined, opts.is_continuation, &last);
    if (rc == OK && adds_eos && last != t->eos && token_list_push(run->out, t->eos) != OK)
        return encode_failed(run, ERR_NOMEM);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const struct text_segment *segments, size_t n_segments,
                     struct encode_opts opts, struct token_list *out, struct err *err)
{
    struct joined_text joined;
    struct encode_run run = {.out = out, .err = err};
    size_t n_before = out->n;
    int rc = join_segments(&joined, segments, n_segments, err);
    if (rc == OK) {
        out->n_wanted = n_before;
        run.scratch.wants_cache = joined.text.n >= 4096;
        buf_init(&run.memory, TEXT_BYTES_MAX * 4); /* every byte may become U+2581 */
        rc = encode_all(t, &run, &joined, opts);
        buf_deinit(&run.memory);
        bpe_scratch_deinit(&run.scratch);
    }
    joined_deinit(&joined);
    if (rc == OK && out->n_wanted > out->n)
        rc = fail(err, ERR_LIMIT, "the text has %zu tokens, at most %zu are possible here",
                  out->n_wanted - n_before, out->max - n_before);
    if (rc != OK)
        out->n = n_before;
    return rc;
}

/* ---- questions ---- */

static bool is_id(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n;
}

bool tokenizer_pre_is_guess(const struct tokenizer *t)
{
    return t->pre_is_guess;
}

struct str tokenizer_token_bytes(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) ? vocab_bytes(&t->vocab, id) : S("");
}

struct str tokenizer_token_text(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) ? vocab_text(&t->vocab, id) : S("");
}

int32_t tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->vocab.n;
}

enum token_kind tokenizer_token_kind(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) ? (enum token_kind)t->vocab.kind[id] : TOKEN_UNUSED;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    enum token_kind kind = tokenizer_token_kind(t, id);
    return kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN;
}

int32_t tokenizer_find(const struct tokenizer *t, struct str text)
{
    return vocab_find(&t->vocab, text);
}

int32_t tokenizer_role(const struct tokenizer *t, enum token_role role)
{
    assert(role >= 0 && role < N_TOKEN_ROLES);
    return t->vocab.role[role];
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->add_bos && t->bos >= 0;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->add_eos && t->eos >= 0;
}

bool tokenizer_is_eog(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) && (t->vocab.flags[id] & TOKEN_IS_EOG);
}

const int32_t *tokenizer_eog(const struct tokenizer *t, size_t *n)
{
    *n = t->vocab.n_eog;
    return t->vocab.eog;
}
