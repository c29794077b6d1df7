/* hf_tokenizer.c - See hf_tokenizer.h.  Start reading at hf_tokenizer_write(). */
#include "model/hf_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"

#define JSON_FILE_MAX ((size_t)256 << 20)
#define TOKENS_MAX    (1u << 24)

enum token_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

struct vocab {
    struct arena *arena;
    struct str *tokens; /* p == NULL: no token has this id */
    int32_t *types;
    float *scores;
    uint32_t n;      /* rows of the embedding */
    uint32_t *slots; /* token to id: id + 1, 0 is empty */
    uint32_t mask;
    bool is_spm;
};

/* --- files -------------------------------------------------------------------------------------- */

int hf_read_json(struct json_doc *doc, struct arena *arena, const char *folder, const char *name,
                 struct err *err)
{
    char path[4096];
    struct buf text;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
        return fail(err, ERR_ARG, "%s: the path is too long", folder);
    buf_init(&text, JSON_FILE_MAX);
    int rc = sys_read_file(path, &text, err);
    if (rc == OK) {
        struct str copy = arena_str(arena, buf_str(&text));
        if (!copy.p)
            rc = fail(err, ERR_NOMEM, "no memory to read it");
        else
            rc = json_parse(doc, arena, copy, err);
        if (rc != OK && err)
            err_prefix(err, "%s", path);
    }
    buf_deinit(&text);
    return rc;
}

/* --- token to id -------------------------------------------------------------------------------- */

static int64_t vocab_find(const struct vocab *v, struct str token)
{
    for (uint32_t at = (uint32_t)str_hash(token) & v->mask; v->slots[at]; at = (at + 1) & v->mask)
        if (str_eq(v->tokens[v->slots[at] - 1], token))
            return v->slots[at] - 1;
    return -1;
}

static int vocab_add(struct vocab *v, struct str token, uint64_t id, enum token_type type, struct err *err)
{
    if (!token.p)
        return fail(err, ERR_FORMAT, "tokenizer.json: token %llu is not a text", (unsigned long long)id);
    if (id >= v->n)
        return fail(err, ERR_FORMAT,
                    "tokenizer.json: token '%.*s' has id %llu, but the embedding has %u rows", STR(token),
                    (unsigned long long)id, v->n);
    if (v->tokens[id].p && !str_eq(v->tokens[id], token))
        return fail(err, ERR_FORMAT, "tokenizer.json: '%.*s' and '%.*s' have the same id %llu",
                    STR(v->tokens[id]), STR(token), (unsigned long long)id);
    bool is_new = !v->tokens[id].p;
    v->tokens[id] = token;
    v->types[id] = type;
    if (!is_new)
        return OK;
    uint32_t at = (uint32_t)str_hash(token) & v->mask;
    while (v->slots[at])
        at = (at + 1) & v->mask;
    v->slots[at] = (uint32_t)id + 1;
    return OK;
}

static int vocab_init(struct vocab *v, struct arena *arena, uint32_t n, struct err *err)
{
    uint32_t cap = 16;
    if (n > TOKENS_MAX)
        return fail(err, ERR_LIMIT, "a vocabulary of %u tokens, at most %u are possible", n, TOKENS_MAX);
    while (cap < 2 * n)
        cap *= 2;
    *v = (struct vocab){.arena = arena, .n = n, .mask = cap - 1};
    v->tokens = arena_new_array(arena, struct str, n);
    v->types = arena_new_array(arena, int32_t, n);
    v->scores = arena_new_array(arena, float, n);
    v->slots = arena_new_array(arena, uint32_t, cap);
    if (!v->tokens || !v->types || !v->scores || !v->slots)
        return fail(err, ERR_NOMEM, "no memory for a vocabulary of %u tokens", n);
    return OK;
}

/* "<0x0A>" */
static bool is_byte_token(struct str s)
{
    return s.n == 6 && str_starts(s, S("<0x")) && s.p[5] == '>';
}

static int read_vocab(struct vocab *v, struct json tokenizer, struct err *err)
{
    struct json model = json_get(tokenizer, "model");
    struct str unk = json_text(json_get(model, "unk_token"), v->arena);
    struct json_iter it = json_iter(json_get(model, "vocab"));
    uint64_t id;
    while (json_next(&it)) {
        struct str token = json_text(it.key_value, v->arena);
        if (!json_u64(it.value, &id))
            return fail(err, ERR_FORMAT, "tokenizer.json: token '%.*s' has no id", STR(it.key));
        enum token_type type = v->is_spm && is_byte_token(token)          ? BYTE
                               : v->is_spm && unk.p && str_eq(token, unk) ? UNKNOWN
                                                                          : NORMAL;
        int rc = vocab_add(v, token, id, type, err);
        if (rc != OK)
            return rc;
    }
    it = json_iter(json_get(tokenizer, "added_tokens"));
    while (json_next(&it)) {
        bool special = false;
        struct str token = json_text(json_get(it.value, "content"), v->arena);
        if (!json_u64(json_get(it.value, "id"), &id))
            return fail(err, ERR_FORMAT, "tokenizer.json: an added token has no id");
        json_bool(json_get(it.value, "special"), &special);
        bool is_unk = v->is_spm && unk.p && token.p && str_eq(token, unk);
        int rc = vocab_add(v, token, id, is_unk ? UNKNOWN : special ? CONTROL : USER_DEFINED, err);
        if (rc != OK)
            return rc;
        if (v->is_spm)
            v->scores[id] = -1000;
    }
    return OK;
}

/* Rows of the embedding that no token uses. */
static int pad_vocab(struct vocab *v, struct err *err)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->tokens[i].p)
            continue;
        v->tokens[i] = arena_printf(v->arena, "[PAD%u]", i);
        if (!v->tokens[i].p)
            return fail(err, ERR_NOMEM, "no memory for a vocabulary of %u tokens", v->n);
        v->types[i] = UNUSED;
        v->scores[i] = -10000;
    }
    return OK;
}

/* --- merges ------------------------------------------------------------------------------------- */

/* "a b", from either form that the file may have. */
static struct str merge_text(struct arena *arena, struct json v)
{
    if (json_is(v, JSON_STRING))
        return json_text(v, arena);
    struct str a = json_text(json_at(v, 0), arena), b = json_text(json_at(v, 1), arena);
    if (!a.p || !b.p || json_count(v) != 2)
        return (struct str){NULL, 0};
    return arena_printf(arena, "%.*s %.*s", STR(a), STR(b));
}

static int write_merges(struct gguf_writer *w, struct vocab *v, struct json merges, struct err *err)
{
    uint32_t n = json_count(merges), i = 0;
    struct str *text = arena_new_array(v->arena, struct str, n);
    if (!text)
        return fail(err, ERR_NOMEM, "no memory for %u merges", n);
    for (struct json_iter it = json_iter(merges); json_next(&it); i++) {
        text[i] = merge_text(v->arena, it.value);
        if (!text[i].p)
            return fail(err, ERR_FORMAT, "tokenizer.json: merge %u is no pair of texts", i);
    }
    gguf_write_strs(w, "tokenizer.ggml.merges", text, n);
    return OK;
}

/* SentencePiece files have scores instead of merges: the sooner a merge, the higher the score of
 * what it makes.  Pieces that no merge makes are never asked for one. */
static int score_merges(struct vocab *v, struct json merges, struct err *err)
{
    uint32_t rank = 0;
    bool *scored = arena_new_array(v->arena, bool, v->n);
    if (!scored)
        return fail(err, ERR_NOMEM, "no memory for a vocabulary of %u tokens", v->n);
    for (struct json_iter it = json_iter(merges); json_next(&it); rank++) {
        struct str text = merge_text(v->arena, it.value), rest = text, left;
        struct buf joined;
        if (!text.p || !str_split(&rest, ' ', &left))
            return fail(err, ERR_FORMAT, "tokenizer.json: merge %u is no pair of texts", rank);
        buf_init(&joined, text.n + 1);
        buf_str_add(&joined, left);
        buf_str_add(&joined, rest);
        int64_t id = buf_ok(&joined) ? vocab_find(v, buf_str(&joined)) : -1;
        buf_deinit(&joined);
        if (id < 0)
            return fail(err, ERR_FORMAT, "tokenizer.json: merge '%.*s' makes no token", STR(text));
        if (!scored[id] && v->types[id] == NORMAL)
            v->scores[id] = -(float)rank;
        scored[id] = true;
    }
    for (uint32_t i = 0; i < v->n; i++)
        if (!scored[i] && v->types[i] == NORMAL)
            v->scores[i] = -(float)rank;
    return OK;
}

/* Added tokens are looked for in the text as it comes, where a space is still a space: Gemma's for runs of
 * spaces, which in the folder merges would make. */
static int write_out_spaces(struct vocab *v, struct err *err)
{
    struct str mark = S("\xe2\x96\x81");
    for (uint32_t i = 0; i < v->n; i++) {
        struct str s = v->tokens[i];
        struct buf text;
        if (v->types[i] != USER_DEFINED || str_find(s, mark, 0) == STR_NONE)
            continue;
        buf_init(&text, s.n);
        for (size_t at = 0, next; at < s.n; at = next + mark.n) {
            next = str_find(s, mark, at);
            buf_add(&text, s.p + at, (next == STR_NONE ? s.n : next) - at);
            if (next == STR_NONE)
                break;
            buf_putc(&text, ' ');
        }
        v->tokens[i] = buf_ok(&text) ? arena_str(v->arena, buf_str(&text)) : (struct str){NULL, 0};
        buf_deinit(&text);
        if (!v->tokens[i].p)
            return fail(err, ERR_NOMEM, "no memory for a token");
    }
    return OK;
}

/* --- the pre-tokenizer -------------------------------------------------------------------------- */

/* The steps of a pre-tokenizer as lines: "S expression", "D" (single digits), "B" (the byte-level
 * step cuts by GPT-2's expression). */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL         "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LEAD         "[^\\r\\n\\p{L}\\p{N}]?"

enum need { ANY, IGNORE_MERGES, NFC };

static const struct {
    const char *steps;
    enum need need;
    const char *pre;
} pre_tokenizers[] = {
    {"S " CONTRACTIONS "|" LEAD "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL "\n", IGNORE_MERGES,
     "llama-bpe"},
    {"S " CONTRACTIONS "|" LEAD "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL "\n", ANY,
     "smaug-bpe"},
    {"S " CONTRACTIONS "|" LEAD "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL "\n", NFC, "qwen2"},
    {"S " CONTRACTIONS "|" LEAD "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL "\n", ANY, "hunyuan"},
    {"S " CONTRACTIONS "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" TAIL "\n", ANY,
     "qwen35"},
    {"S " LEAD UPPER "*" LOWER "+|" LEAD UPPER "+" LOWER "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL "\n",
     ANY, "tekken"},
    {"S " LEAD UPPER "*" LOWER "+" CONTRACTIONS "?|" LEAD UPPER "+" LOWER "*" CONTRACTIONS
     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL "\n",
     ANY, "gpt-4o"},
    {"S \\p{N}{1,3}\nS [一-龥぀-ゟ゠-ヿ]+\n"
     "S [!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
     "| ?[\\p{P}\\p{S}]+[\\r\\n]*" TAIL "\n",
     ANY, "deepseek-v3"},
    {"B\n", ANY, "gpt-2"},
    {"D\nB\n", ANY, "smollm"},
};

static bool type_is(struct json v, const char *name)
{
    return json_text_is(json_get(v, "type"), name);
}

/* A list of one for anything but a sequence. */
static struct json_iter steps_of(struct json v, const char *list, bool *is_sequence)
{
    *is_sequence = type_is(v, "Sequence");
    return json_iter(*is_sequence ? json_get(v, list) : json_absent());
}

static int add_step(struct buf *out, struct arena *arena, struct json v, struct err *err)
{
    bool flag = true;
    if (type_is(v, "Split")) {
        struct str regex = json_text(json_get(json_get(v, "pattern"), "Regex"), arena);
        if (!regex.p)
            return fail(err, ERR_UNSUPPORTED, "tokenizer.json: a split by something else than a regex");
        buf_puts(out, "S ");
        buf_str_add(out, regex);
        buf_putc(out, '\n');
    } else if (type_is(v, "Digits")) {
        flag = false;
        json_bool(json_get(v, "individual_digits"), &flag);
        buf_puts(out, flag ? "D\n" : "digit runs\n");
    } else if (type_is(v, "ByteLevel")) {
        json_bool(json_get(v, "use_regex"), &flag);
        buf_puts(out, flag ? "B\n" : "");
    } else {
        struct str name = json_text(json_get(v, "type"), arena);
        return fail(err, ERR_UNSUPPORTED, "tokenizer.json: pre-tokenizer step '%.*s' is not known",
                    STR(name.p ? name : S("?")));
    }
    return OK;
}

static bool has_nfc(struct json normalizer)
{
    bool is_sequence;
    struct json_iter it = steps_of(normalizer, "normalizers", &is_sequence);
    while (json_next(&it))
        if (type_is(it.value, "NFC"))
            return true;
    return type_is(normalizer, "NFC");
}

static int find_pre(const char **pre, struct arena *arena, struct json tokenizer, struct err *err)
{
    struct json v = json_get(tokenizer, "pre_tokenizer");
    struct buf steps;
    bool is_sequence, ignores_merges = false, nfc = has_nfc(json_get(tokenizer, "normalizer"));
    int rc = OK;
    json_bool(json_get(json_get(tokenizer, "model"), "ignore_merges"), &ignores_merges);
    buf_init(&steps, 1 << 16);
    struct json_iter it = steps_of(v, "pretokenizers", &is_sequence);
    while (rc == OK && json_next(&it))
        rc = add_step(&steps, arena, it.value, err);
    if (rc == OK && !is_sequence)
        rc = add_step(&steps, arena, v, err);
    *pre = NULL;
    for (size_t i = 0; rc == OK && i < sizeof pre_tokenizers / sizeof pre_tokenizers[0] && !*pre; i++) {
        enum need need = pre_tokenizers[i].need;
        if (str_eq(buf_str(&steps), str_c(pre_tokenizers[i].steps)) &&
            (need != IGNORE_MERGES || ignores_merges) && (need != NFC || nfc))
            *pre = pre_tokenizers[i].pre;
    }
    if (rc == OK && !*pre)
        rc = fail(err, ERR_UNSUPPORTED, "tokenizer.json: an unknown pre-tokenizer, its steps are: %s",
                  buf_z(&steps));
    buf_deinit(&steps);
    return rc;
}

/* Does a SentencePiece-like tokenizer put a space before a text? */
static bool has_space_prefix(struct json tokenizer)
{
    bool is_sequence, old = true;
    struct json normalizer = json_get(tokenizer, "normalizer");
    struct json pre = json_get(tokenizer, "pre_tokenizer");
    struct json_iter it = steps_of(normalizer, "normalizers", &is_sequence);
    while (json_next(&it))
        if (type_is(it.value, "Prepend"))
            return true;
    if (type_is(normalizer, "Prepend"))
        return true;
    if (!type_is(pre, "Metaspace"))
        return false;
    if (json_exists(json_get(pre, "prepend_scheme")))
        return !json_text_is(json_get(pre, "prepend_scheme"), "never");
    json_bool(json_get(pre, "add_prefix_space"), &old);
    return old;
}

/* --- special tokens and templates --------------------------------------------------------------- */

/* The id that tokenizer_config.json (a text, or an object with one) or config.json gives. */
static int64_t special_id(const struct vocab *v, struct json tok_config, struct json config, const char *name)
{
    char id_key[32];
    uint64_t id;
    struct json t = json_get(tok_config, name);
    if (json_is(t, JSON_OBJECT))
        t = json_get(t, "content");
    struct str text = json_text(t, v->arena);
    if (text.p) {
        int64_t found = vocab_find(v, text);
        if (found >= 0)
            return found;
    }
    snprintf(id_key, sizeof id_key, "%s_id", name);
    t = json_get(config, id_key);
    if (json_is(t, JSON_ARRAY))
        t = json_at(t, 0);
    return json_u64(t, &id) && id < v->n ? (int64_t)id : -1;
}

static void write_specials(struct gguf_writer *w, const struct vocab *v, struct json tok_config,
                           struct json config)
{
    static const struct {
        const char *name, *key;
    } specials[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                    {"eos_token", "tokenizer.ggml.eos_token_id"},
                    {"unk_token", "tokenizer.ggml.unknown_token_id"},
                    {"pad_token", "tokenizer.ggml.padding_token_id"}};
    static const struct {
        const char *text, *key;
    } fim[] = {{"<|fim_prefix|>", "tokenizer.ggml.fim_pre_token_id"},
               {"<|fim_suffix|>", "tokenizer.ggml.fim_suf_token_id"},
               {"<|fim_middle|>", "tokenizer.ggml.fim_mid_token_id"},
               {"<|fim_pad|>", "tokenizer.ggml.fim_pad_token_id"},
               {"<|repo_name|>", "tokenizer.ggml.fim_rep_token_id"},
               {"<|file_sep|>", "tokenizer.ggml.fim_sep_token_id"}};
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        int64_t id = special_id(v, tok_config, config, specials[i].name);
        if (id >= 0)
            gguf_write_u32(w, specials[i].key, (uint32_t)id);
    }
    bool has_fim = vocab_find(v, str_c(fim[0].text)) >= 0;
    for (size_t i = 0; has_fim && i < sizeof fim / sizeof fim[0]; i++) {
        int64_t id = vocab_find(v, str_c(fim[i].text));
        if (id >= 0)
            gguf_write_u32(w, fim[i].key, (uint32_t)id);
    }
}

/* The template of a single text in a post-processor: what stands before and after the text? */
static void template_ends(struct json post, bool *begins, bool *ends)
{
    bool is_sequence;
    struct json_iter it = steps_of(post, "processors", &is_sequence);
    struct json found = is_sequence ? json_absent() : post;
    while (json_next(&it))
        if (type_is(it.value, "TemplateProcessing"))
            found = it.value;
    struct json single = json_get(found, "single");
    uint32_t n = json_count(single);
    if (!type_is(found, "TemplateProcessing") || n == 0)
        return;
    *begins = json_exists(json_get(json_at(single, 0), "SpecialToken"));
    *ends = n > 1 && json_exists(json_get(json_at(single, n - 1), "SpecialToken"));
}

static void write_ends(struct gguf_writer *w, struct json tokenizer, struct json tok_config)
{
    bool begins = false, ends = false;
    template_ends(json_get(tokenizer, "post_processor"), &begins, &ends);
    json_bool(json_get(tok_config, "add_bos_token"), &begins);
    json_bool(json_get(tok_config, "add_eos_token"), &ends);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", begins);
    gguf_write_bool(w, "tokenizer.ggml.add_eos_token", ends);
}

enum { TEMPLATES_MAX = 16 };

/* A list of named templates: "default" is the chat template, the others keep their names. */
static int write_named_templates(struct gguf_writer *w, struct arena *arena, struct json list,
                                 struct err *err)
{
    struct str names[TEMPLATES_MAX];
    size_t n = 0;
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct str name = json_text(json_get(it.value, "name"), arena);
        struct str text = json_text(json_get(it.value, "template"), arena);
        if (!name.p || !text.p || name.n > 64 || n == TEMPLATES_MAX)
            return fail(err, ERR_FORMAT,
                        "tokenizer_config.json: chat_template is no list of at most %d named texts",
                        TEMPLATES_MAX);
        if (str_eq(name, S("default"))) {
            gguf_write_str(w, "tokenizer.chat_template", text);
            continue;
        }
        char *key = arena_str_z(arena, arena_printf(arena, "tokenizer.chat_template.%.*s", STR(name)));
        if (!key)
            return fail(err, ERR_NOMEM, "no memory for a chat template");
        gguf_write_str(w, key, text);
        names[n++] = name;
    }
    if (n)
        gguf_write_strs(w, "tokenizer.chat_templates", names, n);
    return OK;
}

static int write_template(struct gguf_writer *w, struct arena *arena, const char *folder,
                          struct json tok_config, struct err *err)
{
    char path[4096];
    struct buf text;
    struct json v = json_get(tok_config, "chat_template");
    if (json_is(v, JSON_STRING))
        gguf_write_str(w, "tokenizer.chat_template", json_text(v, arena));
    if (json_is(v, JSON_ARRAY))
        return write_named_templates(w, arena, v, err);
    if (json_is(v, JSON_STRING) ||
        (size_t)snprintf(path, sizeof path, "%s/chat_template.jinja", folder) >= sizeof path)
        return OK;
    buf_init(&text, 16 << 20);
    int rc = sys_read_file(path, &text, err);
    if (rc == OK)
        gguf_write_str(w, "tokenizer.chat_template", buf_str(&text));
    buf_deinit(&text);
    return rc == ERR_NOT_FOUND ? OK : rc;
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int write_model(struct gguf_writer *w, struct vocab *v, struct json tokenizer, struct err *err)
{
    struct json model = json_get(tokenizer, "model"), merges = json_get(model, "merges");
    const char *pre = NULL;
    if ((json_exists(json_get(model, "type")) && !type_is(model, "BPE")) || !json_is(merges, JSON_ARRAY))
        return fail(err, ERR_UNSUPPORTED,
                    "tokenizer.json: the model is not BPE, which alone can be converted");
    json_bool(json_get(model, "byte_fallback"), &v->is_spm);
    int rc = read_vocab(v, tokenizer, err);
    if (rc == OK && !v->is_spm)
        rc = find_pre(&pre, v->arena, tokenizer, err);
    if (rc == OK && v->is_spm)
        rc = score_merges(v, merges, err);
    if (rc == OK && v->is_spm)
        rc = write_out_spaces(v, err);
    if (rc == OK)
        rc = pad_vocab(v, err);
    if (rc != OK)
        return rc;
    gguf_write_str(w, "tokenizer.ggml.model", v->is_spm ? S("llama") : S("gpt2"));
    gguf_write_str(w, "tokenizer.ggml.pre", v->is_spm ? S("default") : str_c(pre));
    gguf_write_strs(w, "tokenizer.ggml.tokens", v->tokens, v->n);
    if (v->is_spm)
        gguf_write_f32s(w, "tokenizer.ggml.scores", v->scores, v->n);
    gguf_write_i32s(w, "tokenizer.ggml.token_type", v->types, v->n);
    if (v->is_spm)
        gguf_write_bool(w, "tokenizer.ggml.add_space_prefix", has_space_prefix(tokenizer));
    else
        rc = write_merges(w, v, merges, err);
    return rc;
}

int hf_tokenizer_write(struct gguf_writer *w, const char *folder, struct json config, uint32_t n_rows,
                       struct err *err)
{
    struct arena arena;
    struct vocab v;
    struct json_doc doc = {0}, config_doc;
    arena_init(&arena, (size_t)8 << 30);
    struct json tok_config = json_absent();
    int rc = hf_read_json(&doc, &arena, folder, "tokenizer.json", err);
    if (rc == OK)
        rc = hf_read_json(&config_doc, &arena, folder, "tokenizer_config.json", err);
    if (rc == OK)
        tok_config = json_root(&config_doc);
    else if (rc == ERR_NOT_FOUND && doc.n_nodes) /* the second file may be absent */
        rc = OK;
    if (rc == OK)
        rc = vocab_init(&v, &arena, n_rows, err);
    if (rc == OK)
        rc = write_model(w, &v, json_root(&doc), err);
    if (rc == OK) {
        write_specials(w, &v, tok_config, config);
        write_ends(w, json_root(&doc), tok_config);
        rc = write_template(w, &arena, folder, tok_config, err);
    }
    arena_deinit(&arena);
    return rc;
}
