/* fuzz_tokenizer.c - Any vocabulary and any text: refused or encoded, and what is encoded keeps the
 * promises of text/tokenizer.h.
 *
 * The input is: model, pre-tokenizer, flags, number of tokens, the tokens (kind and length,
 * bytes), number of merges, the merges (two token numbers), then the text.  A flag adds the alphabet of
 * byte-level vocabularies (or the byte tokens of SentencePiece), without which little can be
 * encoded. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *p;
    size_t n;
};

static uint8_t next_byte(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static struct str next_bytes(struct input *in, size_t n)
{
    if (n > in->n)
        n = in->n;
    struct str s = str_of((const char *)in->p, n);
    in->p += n;
    in->n -= n;
    return s;
}

#define TOKENS_MAX (256 + 64)
#define MERGES_MAX 64

struct case_memory {
    struct str tokens[TOKENS_MAX], merges[MERGES_MAX];
    int32_t kinds[TOKENS_MAX];
    float scores[TOKENS_MAX];
    char spelled[256][8];
    struct buf merge_text;
};

/* The spelling of byte b, as GPT-2 has it, or as SentencePiece has it. */
static struct str spell(char out[8], int b, bool bytewise)
{
    if (!bytewise) {
        int n = snprintf(out, 8, "<0x%02X>", (unsigned)b);
        return str_of(out, (size_t)n);
    }
    bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    uint32_t c = plain     ? (uint32_t)b
                 : b < 33  ? 256 + (uint32_t)b
                 : b < 161 ? 256 + 33 + (uint32_t)(b - 127)
                           : 256 + 67;
    return str_of(out, unicode_encode(c, (uint8_t *)out));
}

static void read_vocab(struct input *in, struct case_memory *m, struct vocab_def *def)
{
    static const char *const models[] = {"gpt2", "llama", "gemma4", "bert"};
    static const char *const pres[] = {"llama-bpe", "qwen2",       "qwen35",         "gpt-4o",    "tekken",
                                       "gpt-2",     "deepseek-v3", "deepseek-llm",   "bloom",     "viking",
                                       "starcoder", "falcon",      "deepseek-coder", "youtu",     "default",
                                       "laguna",    "command-r",   "minicpm5",       "seed-coder"};
    vocab_def_init(def);
    def->model = str_c(models[next_byte(in) % 4]);
    def->pre = str_c(pres[next_byte(in) % (sizeof pres / sizeof pres[0])]);
    uint8_t flags = next_byte(in);
    bool bytewise = str_eq(def->model, S("gpt2"));
    def->tokens = m->tokens;
    def->kinds = m->kinds;
    def->scores = m->scores;
    for (int b = 0; b < 256 && (flags & 1); b++) {
        m->kinds[def->n_tokens] = bytewise ? TOKEN_NORMAL : TOKEN_BYTE;
        m->tokens[def->n_tokens++] = spell(m->spelled[b], b, bytewise);
    }
    int n = next_byte(in) % 64;
    for (int i = 0; i < n; i++) {
        uint8_t head = next_byte(in);
        m->kinds[def->n_tokens] = head & 7;
        m->scores[def->n_tokens] = (float)(head >> 4) - 8;
        m->tokens[def->n_tokens++] = next_bytes(in, head >> 3);
    }
    def->merges = m->merges;
    n = next_byte(in) % MERGES_MAX;
    size_t ends[MERGES_MAX];
    for (int i = 0; i < n && def->n_tokens; i++) {
        buf_str_add(&m->merge_text, m->tokens[next_byte(in) % def->n_tokens]);
        buf_putc(&m->merge_text, ' ');
        buf_str_add(&m->merge_text, m->tokens[(next_byte(in) * 7u) % def->n_tokens]);
        ends[def->n_merges++] = m->merge_text.n;
    }
    for (size_t i = 0; i < def->n_merges; i++)
        m->merges[i] = str_sub(buf_str(&m->merge_text), i ? ends[i - 1] : 0, ends[i]);
    def->role[ROLE_UNK] = flags & 2 ? next_byte(in) : TOKEN_NONE;
    def->role[ROLE_BOS] = flags & 4 ? next_byte(in) : TOKEN_NONE;
    def->role[ROLE_EOS] = flags & 8 ? next_byte(in) : TOKEN_NONE;
    def->add_space_prefix = flags & 16 ? 0 : -1;
    def->remove_extra_whitespaces = flags & 32 ? 1 : -1;
    if (flags & 64)
        def->kinds = NULL;
    if (flags & 128)
        def->lowercase = 0;
}

static bool lists_equal(const struct token_list *a, const struct token_list *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0);
}

static int encode(const struct tokenizer *t, const struct text_segment *segments, size_t n,
                  struct token_list *out)
{
    struct encode_opts opts = {.bos = ENCODE_ADD_NO, .eos = ENCODE_ADD_NO};
    token_list_init(out, 1 << 20);
    return tokenizer_encode(t, segments, n, opts, out, NULL);
}

static void check_decoding(const struct tokenizer *t, const struct token_list *ids, struct str text,
                           bool is_exact)
{
    struct buf out, bytes;
    struct detok d;
    buf_init(&out, 1 << 24);
    buf_init(&bytes, 1 << 24);
    detok_init(&d, t, true, true);
    for (size_t i = 0; i < ids->n; i++) {
        detok_push(&d, ids->ids[i], &out);
        assert(str_is_utf8(buf_str(&out)));
        buf_str_add(&bytes, tokenizer_token_bytes(t, ids->ids[i]));
    }
    detok_finish(&d, &out);
    assert(str_is_utf8(buf_str(&out)));
    assert(!is_exact || str_eq(buf_str(&bytes), text));
    buf_deinit(&out);
    buf_deinit(&bytes);
}

static void check_text(const struct tokenizer *t, struct str text, bool is_bytewise, size_t cut)
{
    struct token_list whole, again, special;
    struct text_segment all = {text, false};
    struct text_segment parts[] = {{str_sub(text, 0, cut), false}, {str_sub(text, cut, text.n), false}};
    int rc = encode(t, &all, 1, &whole);
    assert(rc == OK || rc == ERR_ARG);
    assert(encode(t, parts, 2, &again) == rc && lists_equal(&whole, &again));
    for (size_t i = 0; i < whole.n; i++) {
        assert(whole.ids[i] >= 0 && whole.ids[i] < tokenizer_n_vocab(t));
        /* Nothing special comes out of plain text, but for what stands for unknown words. */
        assert(!tokenizer_is_special(t, whole.ids[i]) || whole.ids[i] == tokenizer_role(t, ROLE_UNK));
    }
    bool has_unk = tokenizer_role(t, ROLE_UNK) >= 0;
    if (rc == OK)
        check_decoding(t, &whole, text, is_bytewise && !has_unk);
    if (rc == OK && whole.n > 0) {
        struct token_list few;
        token_list_init_array(&few, again.ids, whole.n - 1);
        struct encode_opts opts = {.bos = ENCODE_ADD_NO, .eos = ENCODE_ADD_NO};
        assert(tokenizer_encode(t, &all, 1, opts, &few, NULL) == ERR_LIMIT);
        assert(few.n == 0 && few.n_wanted == whole.n);
    }
    parts[1].allow_special = true;
    if (encode(t, parts, 2, &special) == OK)
        check_decoding(t, &special, text, false);
    token_list_deinit(&special);
    token_list_deinit(&whole);
    token_list_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct case_memory memory;
    struct input in = {data, n};
    struct vocab_def def;
    struct tokenizer *t;
    struct err err = {0};
    buf_init(&memory.merge_text, 1 << 20);
    read_vocab(&in, &memory, &def);
    if (tokenizer_create(&t, &def, &err) == OK) {
        size_t cut = next_byte(&in);
        const struct pretok_family *family = pretok_find(def.pre);
        check_text(t, str_of((const char *)in.p, in.n), str_eq(def.model, S("gpt2")) && !family->nfc,
                   cut < in.n ? cut : in.n);
        tokenizer_free(t);
    } else {
        assert(err.code != OK && err.text[0] != '\0');
    }
    buf_deinit(&memory.merge_text);
    return 0;
}
