/* pretok_int.h - Rules: one regular expression each, matched by hand. */
#ifndef TEXT_PRETOK_INT_H
#define TEXT_PRETOK_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code_range {
    uint32_t first, last;
};

struct pretok_rule {
    /* Length in bytes of the match at p < end, or 0: then *gap (at least the character at p) is a
     * number of bytes in which no match begins.  `end` is the end of the piece: nothing beyond it
     * is seen, by look-ahead neither. */
    size_t (*match)(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end, size_t *gap);

    /* What the matchers read; each uses its own part. */
    uint16_t classes;                /* the run's or the word's characters, by class */
    uint16_t not_symbol;             /* word rules: classes that are no symbols (spaces never are) */
    const struct code_range *ranges; /* the run's characters, by code point, besides classes */
    int n_ranges;
    bool is_negated;   /* the run's characters are all others */
    char lead;         /* what may stand before a run: 0 nothing, ' ' a space, 's' any white space */
    uint8_t count_min; /* characters in a run (lead not counted) */
    uint8_t count_max; /* 0: no limit; for word rules: digits in one piece */
    bool has_contractions;
    bool slash_tail; /* symbols may be followed by '/' as by line ends */
    bool no_tail;    /* symbols are not followed by line ends */
};

extern const struct pretok_rule rule_gpt2, rule_llama3, rule_qwen2, rule_qwen35, rule_seed_coder,
    rule_number_run_words, rule_gpt4o, rule_tekken, rule_deepseek3, rule_digit, rule_digits_3, rule_digit_run,
    rule_ascii_3_digits, rule_line_end, rule_line_or_ends, rule_cjk_kana, rule_cjk, rule_spaced_letters,
    rule_spaced_punct, rule_deepseek_letters, rule_deepseek_punct, rule_trailing_space, rule_falcon_punct,
    rule_default_punct, rule_bloom, rule_youtu;

#endif
