/* vocab.c - The tokens of a vocabulary: texts, bytes, kinds, roles.
 *
 * Model files are careless about kinds and roles: end-of-turn tokens are not named, or are marked as
 * ordinary text.  The names that are known to mean something are listed here, and tokens of these
 * names are made control tokens, so that nobody's text can become one.
 *
 * Start reading at vocab_init(). */
#include "text/vocab_int.h"

#include <assert.h>
#include <stdlib.h>

const char *token_role_key(enum token_role role)
{
    static const char *const keys[N_TOKEN_ROLES] = {
        [ROLE_BOS] = "bos_token_id",         [ROLE_EOS] = "eos_token_id",
        [ROLE_EOT] = "eot_token_id",         [ROLE_EOM] = "eom_token_id",
        [ROLE_UNK] = "unknown_token_id",     [ROLE_SEP] = "seperator_token_id",
        [ROLE_PAD] = "padding_token_id",     [ROLE_CLS] = "cls_token_id",
        [ROLE_MASK] = "mask_token_id",       [ROLE_FIM_PRE] = "fim_pre_token_id",
        [ROLE_FIM_SUF] = "fim_suf_token_id", [ROLE_FIM_MID] = "fim_mid_token_id",
        [ROLE_FIM_PAD] = "fim_pad_token_id", [ROLE_FIM_REP] = "fim_rep_token_id",
        [ROLE_FIM_SEP] = "fim_sep_token_id",
    };
    assert(role >= 0 && role < N_TOKEN_ROLES);
    return keys[role];
}

void vocab_def_init(struct vocab_def *def)
{
    *def = (struct vocab_def){.add_bos = -1,
                              .add_eos = -1,
                              .add_sep = -1,
                              .add_space_prefix = -1,
                              .remove_extra_whitespaces = -1,
                              .lowercase = -1,
                              .strip_accents = -1};
    for (int i = 0; i < N_TOKEN_ROLES; i++)
        def->role[i] = TOKEN_NONE;
}

/* ---- hashing ---- */

static inline uint64_t load_64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint64_t load_32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9FB21C651E98DF25ull;
    return h ^ h >> 28;
}

uint64_t vocab_hash(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint64_t h = n * 0x9E3779B97F4A7C15ull;
    size_t left = n;
    for (; left > 8; left -= 8, p += 8)
        h = mix(h ^ load_64(p));
    if (left == 8)
        return mix(h ^ load_64(p));
    if (left >= 4)
        return mix(h ^ (load_32(p) | load_32(p + left - 4) << 32));
    if (left > 0)
        return mix(h ^ (p[0] | (uint64_t)p[left / 2] << 8 | (uint64_t)p[left - 1] << 16));
    return mix(h);
}

/* Where the text is, or the empty slot where it would be.  Texts are looked at only where the tag is the
 * same. */
static struct vocab_slot *find_slot(const struct vocab *v, struct str text, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & v->slots_mask, tag = (uint32_t)(hash >> 32);
    while (v->slots[at].id >= 0 && (v->slots[at].tag != tag || !str_eq(vocab_text(v, v->slots[at].id), text)))
        at = (at + 1) & v->slots_mask;
    return &v->slots[at];
}

static int build_index(struct vocab *v)
{
    size_t cap = 16;
    while (cap < (size_t)v->n * 2)
        cap *= 2;
    v->slots = malloc(cap * sizeof *v->slots);
    if (!v->slots)
        return ERR_NOMEM;
    for (size_t i = 0; i < cap; i++)
        v->slots[i] = (struct vocab_slot){0, TOKEN_NONE};
    v->slots_mask = (uint32_t)(cap - 1);
    for (int32_t id = 0; id < v->n; id++) {
        struct str text = vocab_text(v, id);
        uint64_t hash = vocab_hash(text.p, text.n);
        struct vocab_slot *slot = find_slot(v, text, hash);
        if (slot->id < 0) /* of equal texts the lowest id counts */
            *slot = (struct vocab_slot){(uint32_t)(hash >> 32), id};
    }
    return OK;
}

int32_t vocab_find(const struct vocab *v, struct str text)
{
    return find_slot(v, text, vocab_hash(text.p, text.n))->id;
}

int32_t vocab_find_plain(const struct vocab *v, struct str text)
{
    int32_t id = text.n ? vocab_find(v, text) : TOKEN_NONE;
    return id >= 0 && vocab_is_plain(v, id) ? id : TOKEN_NONE;
}

static int upper_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int vocab_byte_of(struct str text)
{
    if (text.n != 6 || !str_starts(text, S("<0x")) || text.p[5] != '>')
        return -1;
    int high = upper_hex(text.p[3]), low = upper_hex(text.p[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* ---- roles by name ---- */

struct named_role {
    const char *text;
    enum token_role role;
};

/* The first of these names that a vocabulary has takes the role, if the file gives it to none. */
static const struct named_role named_roles[] = {
    {"<|eot_id|>", ROLE_EOT},
    {"<|im_end|>", ROLE_EOT},
    {"<|end|>", ROLE_EOT},
    {"<end_of_turn>", ROLE_EOT},
    {"<|endoftext|>", ROLE_EOT},
    {"<|end_of_text|>", ROLE_EOT},
    {"<EOT>", ROLE_EOT},
    {"_<EOT>", ROLE_EOT},
    {"[EOT]", ROLE_EOT},
    {"<｜end▁of▁sentence｜>", ROLE_EOT},
    {"<end_of_utterance>", ROLE_EOT},
    {"<|eom_id|>", ROLE_EOM},
    {"<|fim_prefix|>", ROLE_FIM_PRE},
    {"<fim-prefix>", ROLE_FIM_PRE},
    {"<fim_prefix>", ROLE_FIM_PRE},
    {"<｜fim▁begin｜>", ROLE_FIM_PRE},
    {"<PRE>", ROLE_FIM_PRE},
    {"▁<PRE>", ROLE_FIM_PRE},
    {"<|code_prefix|>", ROLE_FIM_PRE},
    {"<|prefix|>", ROLE_FIM_PRE},
    {"<|fim_suffix|>", ROLE_FIM_SUF},
    {"<fim-suffix>", ROLE_FIM_SUF},
    {"<fim_suffix>", ROLE_FIM_SUF},
    {"<｜fim▁hole｜>", ROLE_FIM_SUF},
    {"<SUF>", ROLE_FIM_SUF},
    {"▁<SUF>", ROLE_FIM_SUF},
    {"<|code_suffix|>", ROLE_FIM_SUF},
    {"<|suffix|>", ROLE_FIM_SUF},
    {"<|fim_middle|>", ROLE_FIM_MID},
    {"<fim-middle>", ROLE_FIM_MID},
    {"<fim_middle>", ROLE_FIM_MID},
    {"<｜fim▁end｜>", ROLE_FIM_MID},
    {"<MID>", ROLE_FIM_MID},
    {"▁<MID>", ROLE_FIM_MID},
    {"<|code_middle|>", ROLE_FIM_MID},
    {"<|middle|>", ROLE_FIM_MID},
    {"<|fim_pad|>", ROLE_FIM_PAD},
    {"<fim-pad>", ROLE_FIM_PAD},
    {"<fim_pad>", ROLE_FIM_PAD},
    {"<|fim_repo|>", ROLE_FIM_REP},
    {"<|repo_name|>", ROLE_FIM_REP},
    {"<fim-repo>", ROLE_FIM_REP},
    {"<reponame>", ROLE_FIM_REP},
    {"<|file_sep|>", ROLE_FIM_SEP},
};

/* Tokens of these names end a generation, whatever their role. */
static const char *const eog_names[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
};

static void make_control(struct vocab *v, int32_t id)
{
    if (vocab_is_plain(v, id))
        v->kind[id] = TOKEN_CONTROL;
}

/* Files mark some tokens of this form as ordinary added text; they frame messages all the same. */
static bool is_frame_marker(struct str text)
{
    return (text.n > 4 && str_starts(text, S("<|")) && str_ends(text, S("|>"))) ||
           (text.n > 8 && str_starts(text, S("<｜")) && str_ends(text, S("｜>")));
}

/* "<...>" or "[...]": a text that nobody writes by accident. */
static bool looks_like_marker(struct str text)
{
    return text.n > 2 && ((text.p[0] == '<' && text.p[text.n - 1] == '>') ||
                          (text.p[0] == '[' && text.p[text.n - 1] == ']'));
}

static int read_roles(struct vocab *v, const struct vocab_def *def, struct err *err)
{
    for (int i = 0; i < N_TOKEN_ROLES; i++) {
        if (def->role[i] >= v->n)
            return fail(err, ERR_FORMAT, "tokenizer.ggml.%s is %lld, but the vocabulary has only %d tokens",
                        token_role_key((enum token_role)i), (long long)def->role[i], v->n);
        v->role[i] = def->role[i] < 0 ? TOKEN_NONE : (int32_t)def->role[i];
    }
    for (size_t i = 0; i < sizeof named_roles / sizeof named_roles[0]; i++) {
        int32_t id = vocab_find(v, str_c(named_roles[i].text));
        if (id < 0 || v->role[named_roles[i].role] >= 0)
            continue;
        v->role[named_roles[i].role] = id;
        make_control(v, id);
    }
    for (int32_t id = 0; id < v->n; id++)
        if (v->kind[id] == TOKEN_USER_DEFINED && is_frame_marker(vocab_text(v, id)))
            v->kind[id] = TOKEN_CONTROL;
    static const enum token_role framing[] = {ROLE_BOS, ROLE_EOS, ROLE_EOT, ROLE_EOM};
    for (size_t i = 0; i < sizeof framing / sizeof framing[0]; i++) {
        int32_t id = v->role[framing[i]];
        if (id >= 0 && (v->kind[id] == TOKEN_USER_DEFINED || looks_like_marker(vocab_text(v, id))))
            make_control(v, id);
    }
    return OK;
}

static bool has_eog(const struct vocab *v, const char *name)
{
    int32_t id = vocab_find(v, str_c(name));
    return id >= 0 && (v->flags[id] & TOKEN_IS_EOG);
}

static void drop_eog(struct vocab *v, const char *name)
{
    int32_t id = vocab_find(v, str_c(name));
    if (id >= 0)
        v->flags[id] &= (uint8_t)~TOKEN_IS_EOG;
}

/* Where a vocabulary has the tokens for returning and calling, <|end|> ends a message only, and
 * the answer goes on; where it has <|tool_response>, </s> is an ordinary leftover. */
static int find_eog(struct vocab *v)
{
    for (size_t i = 0; i < sizeof eog_names / sizeof eog_names[0]; i++) {
        int32_t id = vocab_find(v, str_c(eog_names[i]));
        if (id < 0)
            continue;
        v->flags[id] |= TOKEN_IS_EOG;
        make_control(v, id);
    }
    bool has_call = has_eog(v, "<|call|>") || has_eog(v, "<|calls|>");
    if (has_call && (has_eog(v, "<|return|>") || has_eog(v, "<|flush|>"))) {
        drop_eog(v, "<|end|>");
        if (v->role[ROLE_EOT] >= 0 && v->role[ROLE_EOT] == vocab_find(v, S("<|end|>")))
            v->role[ROLE_EOT] = TOKEN_NONE;
    }
    if (has_eog(v, "<|tool_response>"))
        drop_eog(v, "</s>");
    static const enum token_role ending[] = {ROLE_EOS,     ROLE_EOT,     ROLE_EOM,
                                             ROLE_FIM_PAD, ROLE_FIM_REP, ROLE_FIM_SEP};
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++)
        if (v->role[ending[i]] >= 0)
            v->flags[v->role[ending[i]]] |= TOKEN_IS_EOG;
    for (int32_t id = 0; id < v->n; id++)
        v->n_eog += (v->flags[id] & TOKEN_IS_EOG) != 0;
    v->eog = malloc((v->n_eog + 1) * sizeof *v->eog);
    if (!v->eog)
        return ERR_NOMEM;
    size_t n = 0;
    for (int32_t id = 0; id < v->n; id++)
        if (v->flags[id] & TOKEN_IS_EOG)
            v->eog[n++] = id;
    return OK;
}

static void set_flag(struct vocab *v, const char *name, enum token_flag flag, bool on)
{
    int32_t id = vocab_find(v, str_c(name));
    if (id >= 0)
        v->flags[id] = (uint8_t)(on ? v->flags[id] | flag : v->flags[id] & ~flag);
}

static bool contains_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (str_eq_nocase(str_sub(s, i, i + part.n), part))
            return true;
    return false;
}

/* Which special tokens eat the white space beside them is not in the file; these are the families
 * known to have such tokens, told apart by the names that their files carry. */
static void set_strip_flags(struct vocab *v, const struct vocab_def *def)
{
    if (str_starts(def->pre, S("jina-v2-"))) {
        set_flag(v, "<mask>", TOKEN_LSTRIP, true);
    } else if (contains_nocase(def->name, S("phi-3")) || contains_nocase(def->name, S("phi3"))) {
        for (int32_t id = 0; id < v->n; id++)
            if (v->kind[id] == TOKEN_CONTROL || v->kind[id] == TOKEN_USER_DEFINED)
                v->flags[id] |= TOKEN_RSTRIP;
        set_flag(v, "<unk>", TOKEN_RSTRIP, false);
        set_flag(v, "<s>", TOKEN_RSTRIP, false);
        set_flag(v, "<|endoftext|>", TOKEN_RSTRIP, false);
    } else if (contains_nocase(def->name, S("modern-bert")) || str_eq(def->pre, S("modern-bert"))) {
        set_flag(v, "[MASK]", TOKEN_LSTRIP, true);
    }
}

/* ---- copying ---- */

static int check_def(const struct vocab_def *def, size_t *n_bytes, struct err *err)
{
    if (def->n_tokens == 0 || def->n_tokens > VOCAB_TOKENS_MAX)
        return fail(err, ERR_FORMAT, "the vocabulary has %zu tokens; 1 to %zu are possible", def->n_tokens,
                    VOCAB_TOKENS_MAX);
    *n_bytes = 0;
    for (size_t i = 0; i < def->n_tokens; i++) {
        if (def->tokens[i].n > VOCAB_BYTES_MAX - *n_bytes)
            return fail(err, ERR_LIMIT, "the tokens of the vocabulary have more than %zu bytes",
                        VOCAB_BYTES_MAX);
        *n_bytes += def->tokens[i].n;
    }
    for (size_t i = 0; def->kinds && i < def->n_tokens; i++)
        if (def->kinds[i] < 0 || def->kinds[i] > TOKEN_BYTE)
            return fail(err, ERR_FORMAT, "token %zu has type %d, known are 0 to %d", i, (int)def->kinds[i],
                        TOKEN_BYTE);
    return OK;
}

static int copy_tokens(struct vocab *v, const struct vocab_def *def, size_t n_bytes)
{
    size_t n = def->n_tokens;
    v->n = (int32_t)n;
    v->texts = malloc(n_bytes + 1);
    v->text_at = malloc((n + 1) * sizeof *v->text_at);
    v->kind = malloc(n);
    v->flags = calloc(n, 1);
    if (!v->texts || !v->text_at || !v->kind || !v->flags)
        return ERR_NOMEM;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        v->text_at[i] = at;
        if (def->tokens[i].n)
            memcpy(v->texts + at, def->tokens[i].p, def->tokens[i].n);
        at += (uint32_t)def->tokens[i].n;
        v->kind[i] = def->kinds && def->kinds[i] ? (uint8_t)def->kinds[i] : TOKEN_NORMAL;
        if (def->tokens[i].n == 0)
            v->kind[i] = TOKEN_UNUSED;
    }
    v->text_at[n] = at;
    return OK;
}

int vocab_init(struct vocab *v, const struct vocab_def *def, struct err *err)
{
    *v = (struct vocab){0};
    size_t n_bytes = 0;
    int rc = check_def(def, &n_bytes, err);
    if (rc != OK)
        return rc;
    if (copy_tokens(v, def, n_bytes) != OK || build_index(v) != OK)
        return fail(err, ERR_NOMEM, "no memory for a vocabulary of %zu tokens", def->n_tokens);
    rc = read_roles(v, def, err);
    if (rc != OK)
        return rc;
    if (find_eog(v) != OK)
        return fail(err, ERR_NOMEM, "no memory for a vocabulary of %zu tokens", def->n_tokens);
    set_strip_flags(v, def);
    return OK;
}

int vocab_set_bytes(struct vocab *v, vocab_spell *spell, struct err *err)
{
    struct buf out;
    buf_init(&out, VOCAB_BYTES_MAX);
    v->bytes_at = malloc(((size_t)v->n + 1) * sizeof *v->bytes_at);
    if (!v->bytes_at)
        return fail(err, ERR_NOMEM, "no memory for a vocabulary of %d tokens", v->n);
    for (int32_t id = 0; id < v->n; id++) {
        v->bytes_at[id] = (uint32_t)out.n;
        if (vocab_is_plain(v, id) || v->kind[id] == TOKEN_BYTE)
            spell(v, id, &out);
    }
    v->bytes_at[v->n] = (uint32_t)out.n;
    buf_putc(&out, '\0'); /* so that there is memory even if no token has bytes */
    size_t n;
    v->bytes = buf_take(&out, &n);
    if (!v->bytes)
        return fail(err, ERR_NOMEM, "no memory for the bytes of %d tokens", v->n);
    return OK;
}

void vocab_deinit(struct vocab *v)
{
    free(v->texts);
    free(v->text_at);
    free(v->bytes);
    free(v->bytes_at);
    free(v->kind);
    free(v->flags);
    free(v->slots);
    free(v->eog);
    *v = (struct vocab){0};
}
