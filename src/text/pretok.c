/* pretok.c - The table of pre-tokenizer families, and the walk over pieces.
 *
 * The walk keeps one range per rule: a piece of rule k becomes the range of rule k + 1, and
 * a piece of the last rule is given to the caller.  Nothing is stored but the ranges. */
#include "text/pretok.h"

#include <assert.h>

#include "text/pretok_int.h"

/* `nfc` stands only where the family's published tokenizer says so. */
static const struct pretok_family families[] = {
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     {&rule_llama3},
     .ignore_merges = true,
     .add_bos = true},
    {"dbrx smaug-bpe glm4 chatglm-bpe", {&rule_llama3}},
    {"qwen2 deepseek-r1-qwen stablelm2 megrez", {&rule_qwen2}, .nfc = true},
    {"hunyuan kormo f2llmv2 solar-open grok-2 bailingmoe bailingmoe2 llada-moe", {&rule_qwen2}},
    {"qwen35", {&rule_qwen35}},
    {"gpt-4o llama4 kanana2 minimax-m2 talkie", {&rule_gpt4o}},
    {"tekken", {&rule_tekken}, .ignore_merges = true, .add_bos = true},
    {"deepseek-v3 hunyuan-dense joyai-llm", {&rule_digits_3, &rule_cjk_kana, &rule_deepseek3}},
    {"deepseek-llm",
     {&rule_line_end, &rule_deepseek_letters, &rule_deepseek_punct, &rule_trailing_space, &rule_cjk,
      &rule_digit_run}},
    {"deepseek-coder", {&rule_line_end, &rule_spaced_letters, &rule_spaced_punct, &rule_cjk, &rule_digit}},
    {"gpt-2 phi-2 jais trillion granite-docling gigachat a.x-4.0 mellum exaone4 jina-es jina-de "
     "jina-v2-es jina-v2-de",
     {&rule_gpt2}},
    {"mpt olmo modern-bert", {&rule_gpt2}, .nfc = true},
    {"roberta-bpe jina-v1-en jina-v2-code", {&rule_gpt2}, .add_sep = true},
    {"starcoder refact smollm codeshell exaone minerva-7b mellum2", {&rule_digit, &rule_gpt2}},
    {"command-r", {&rule_digit, &rule_gpt2}, .nfc = true},
    {"falcon", {&rule_falcon_punct, &rule_gpt2, &rule_ascii_3_digits}},
    {"youtu", {&rule_youtu, &rule_tekken}, .ignore_merges = true},
    {"seed-coder", {&rule_seed_coder}},
    {"minicpm5", {&rule_digits_3, &rule_number_run_words}, .ignore_merges = true},
    {"laguna", {&rule_line_or_ends, &rule_qwen2}},
    {"bloom poro-chat gpt3-finnish", {&rule_bloom}},
    {"viking", {&rule_bloom, &rule_digit}},
    {"default", {&rule_default_punct, &rule_gpt2, &rule_digit_run, &rule_ascii_3_digits}},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

const struct pretok_family *pretok_find(struct str name)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        struct str rest = str_c(families[i].names), one;
        while (str_split(&rest, ' ', &one))
            if (name.n > 0 && str_eq(one, name))
                return &families[i];
    }
    return NULL;
}

void pretok_list(struct buf *out)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        buf_printf(out, "%s%s", i ? " " : "", families[i].names);
}

void pretok_begin(struct pretok_iter *it, const struct pretok_family *family, struct str text)
{
    it->rules = family->rules;
    it->n_rules = 0;
    while (it->n_rules < PRETOK_RULES_MAX && family->rules[it->n_rules])
        it->n_rules++;
    assert(it->n_rules > 0);
    it->level = 0;
    it->range[0].at = (const uint8_t *)text.p;
    it->range[0].end = it->range[0].at + text.n;
    it->range[0].match_len = 0;
}

/* Length of the next piece at this level: the match at `at`, or all up to the next match. */
static size_t take_piece(struct pretok_iter *it, int level)
{
    const struct pretok_rule *rule = it->rules[level];
    const uint8_t *at = it->range[level].at, *end = it->range[level].end;
    size_t len = it->range[level].match_len, gap = 0;
    it->range[level].match_len = 0;
    if (len == 0)
        len = rule->match(rule, at, end, &gap);
    if (len > 0)
        return len;
    size_t before = gap;
    while (before < (size_t)(end - at)) {
        len = rule->match(rule, at + before, end, &gap);
        if (len > 0) {
            it->range[level].match_len = len;
            break;
        }
        before += gap;
    }
    return before;
}

bool pretok_next(struct pretok_iter *it, struct str *piece)
{
    for (;;) {
        int level = it->level;
        const uint8_t *at = it->range[level].at;
        if (at == it->range[level].end) {
            if (level == 0)
                return false;
            it->level--;
            continue;
        }
        size_t n = take_piece(it, level);
        assert(n > 0 && n <= (size_t)(it->range[level].end - at));
        it->range[level].at = at + n;
        if (level == it->n_rules - 1) {
            *piece = str_of((const char *)at, n);
            return true;
        }
        it->level++;
        it->range[level + 1].at = at;
        it->range[level + 1].end = at + n;
        it->range[level + 1].match_len = 0;
    }
}
