/* pretok_rules.c - The expressions of pre-tokenizers, matched by hand.
 *
 * The expression of each rule stands above it.  Alternatives are tried in order, as a regex engine
 * does; where the engine would backtrack, the comment says to where.  All matchers run in time
 * linear in what they match or skip. */
#include "text/pretok_int.h"
#include "text/unicode.h"

static inline unsigned class_at(const uint8_t *p, const uint8_t *end, unsigned *n)
{
    return unicode_class_of(unicode_decode(p, end, n));
}

static const uint8_t *skip_class(const uint8_t *p, const uint8_t *end, unsigned classes)
{
    unsigned n;
    while (p < end && (class_at(p, end, &n) & classes))
        p += n;
    return p;
}

static inline bool is_line_end(uint8_t c)
{
    return c == '\r' || c == '\n';
}

/* ---- parts that several families share ---- */

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) at p, whose first byte is the apostrophe; 0 if none.  Ignoring case, the long
 * s (U+017F) is an s as well. */
static size_t contraction_any_case(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    if (left < 2 || p[0] != '\'')
        return 0;
    uint8_t a = p[1] | 0x20, b = left > 2 ? p[2] | 0x20 : 0;
    if (p[1] < 0x80 && (a == 's' || a == 't' || a == 'm' || a == 'd'))
        return 2;
    if (left > 2 && p[1] < 0x80 && p[2] < 0x80 &&
        ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')))
        return 3;
    if (left > 2 && p[1] == 0xC5 && p[2] == 0xBF)
        return 3;
    return 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d */
static size_t contraction_lower(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    if (left < 2 || p[0] != '\'')
        return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd')
        return 2;
    if (left > 2 &&
        ((p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') || (p[1] == 'l' && p[2] == 'l')))
        return 3;
    return 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ at p, which is white space (the first alternative only `with_lines`).
 * \s* backs off to the last line end of the run; \s+(?!\S) leaves the run's last
 * character to what follows, unless the text ends or the run is that character alone. */
static size_t match_space(const uint8_t *p, const uint8_t *end, bool with_lines)
{
    const uint8_t *at = p, *last = p, *after_line = NULL;
    unsigned n;
    while (at < end && (class_at(at, end, &n) & UC_SPACE)) {
        if (is_line_end(*at))
            after_line = at + 1;
        last = at;
        at += n;
    }
    if (with_lines && after_line)
        return (size_t)(after_line - p);
    if (at < end && last > p)
        return (size_t)(last - p);
    return (size_t)(at - p);
}

/* " ?[^\s...]+" and what the rule lets follow; 0 if no symbol is here. */
static size_t match_symbols(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *at = p + (*p == ' '), *start = at;
    unsigned n, barred = rule->not_symbol | UC_SPACE;
    while (at < end && !(class_at(at, end, &n) & barred))
        at += n;
    if (at == start)
        return 0;
    if (!rule->no_tail)
        while (at < end && (is_line_end(*at) || (rule->slash_tail && *at == '/')))
            at++;
    return (size_t)(at - p);
}

/* \p{N}{1,max}, or \p{N}+ for max 0. */
static size_t match_digits(const uint8_t *p, const uint8_t *end, unsigned count_max)
{
    const uint8_t *at = p;
    unsigned n, count = 0;
    while (at < end && (count_max == 0 || count < count_max) && (class_at(at, end, &n) & UC_NUMBER)) {
        at += n;
        count++;
    }
    return (size_t)(at - p);
}

/* [^\r\n\p{L}\p{N}]: what may stand before a word. */
static inline bool is_word_lead(uint8_t byte, unsigned classes)
{
    return !(classes & (UC_LETTER | UC_NUMBER)) && !is_line_end(byte);
}

/* ---- whole expressions ---- */

/* (?i:'s|...)|[^\r\n\p{L}\p{N}]?X+|\p{N}{1,k}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * with X = rule->classes, k = rule->count_max. */
static size_t match_words(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end, size_t *gap)
{
    unsigned n;
    unsigned first = class_at(p, end, &n);
    *gap = n;
    size_t len = contraction_any_case(p, end);
    if (len)
        return len;
    if (is_word_lead(*p, first)) {
        const uint8_t *word = p + n, *stop = skip_class(word, end, rule->classes);
        if (stop > word)
            return (size_t)(stop - p);
    }
    if (first & rule->classes)
        return (size_t)(skip_class(p, end, rule->classes) - p);
    if (first & UC_NUMBER)
        return match_digits(p, end, rule->count_max);
    len = match_symbols(rule, p, end);
    if (len)
        return len;
    return first & UC_SPACE ? match_space(p, end, true) : 0;
}

#define CASED_UPPER (UC_UPPER | UC_OTHER_LETTER | UC_MARK)
#define CASED_LOWER (UC_LOWER | UC_OTHER_LETTER | UC_MARK)

/* U*W+ at p, where U are CASED_UPPER and W are CASED_LOWER; NULL if it does not match.  U* takes all it
 * can; if no W follows, it backs off to the last character that is both, which then ends the match. */
static const uint8_t *match_capital_word(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *at = p, *after_both = NULL;
    unsigned n, classes = 0;
    while (at < end && ((classes = class_at(at, end, &n)) & CASED_UPPER)) {
        at += n;
        if (classes & CASED_LOWER)
            after_both = at;
    }
    if (at < end && (classes & UC_LOWER))
        return skip_class(at, end, CASED_LOWER);
    return after_both;
}

/* [^\r\n\p{L}\p{N}]?U*W+C?|[^\r\n\p{L}\p{N}]?U+W*C?|\p{N}{1,k}| ?[^\s\p{L}\p{N}]+[\r\n/]*|(white space)
 * with C the contractions, if the rule has them.  A mark may be the leading character or part of
 * the word: the engine tries it as the first, then as the second. */
static size_t match_cased_words(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end,
                                size_t *gap)
{
    unsigned n;
    unsigned first = class_at(p, end, &n);
    *gap = n;
    const uint8_t *stop = NULL, *word = p + n;
    bool has_lead = is_word_lead(*p, first), is_word = first & (UC_LETTER | UC_MARK);
    if (has_lead)
        stop = match_capital_word(word, end);
    if (!stop && is_word)
        stop = match_capital_word(p, end);
    if (!stop && has_lead) { /* no W follows the capitals, or the line above had matched */
        stop = skip_class(word, end, CASED_UPPER);
        if (stop == word)
            stop = NULL;
    }
    if (!stop && is_word)
        stop = skip_class(p, end, CASED_UPPER);
    if (stop) {
        if (rule->has_contractions && stop < end)
            stop += contraction_any_case(stop, end);
        return (size_t)(stop - p);
    }
    if (first & UC_NUMBER)
        return match_digits(p, end, rule->count_max);
    size_t len = match_symbols(rule, p, end);
    if (len)
        return len;
    return first & UC_SPACE ? match_space(p, end, true) : 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t match_gpt2(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end, size_t *gap)
{
    *gap = 1;
    size_t len = contraction_lower(p, end);
    if (len)
        return len;
    const uint8_t *word = p + (*p == ' ');
    if (word < end) {
        unsigned n, classes = class_at(word, end, &n);
        if (classes & UC_LETTER)
            return (size_t)(skip_class(word + n, end, UC_LETTER) - p);
        if (classes & UC_NUMBER)
            return (size_t)(skip_class(word + n, end, UC_NUMBER) - p);
        if (!(classes & UC_SPACE))
            return match_symbols(rule, p, end);
    }
    return match_space(p, end, false);
}

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|(white space) */
static size_t match_deepseek3(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end,
                              size_t *gap)
{
    (void)rule;
    unsigned n;
    unsigned first = class_at(p, end, &n);
    *gap = n;
    if (*p < 0x80 && (first & (UC_PUNCT | UC_SYMBOL))) {
        const uint8_t *at = p + 1;
        while (at < end && ((uint8_t)((*at | 0x20) - 'a') < 26))
            at++;
        if (at > p + 1)
            return (size_t)(at - p);
    }
    if (!(first & (UC_LETTER | UC_PUNCT | UC_SYMBOL)) && !is_line_end(*p)) {
        const uint8_t *stop = skip_class(p + n, end, UC_LETTER | UC_MARK);
        if (stop > p + n)
            return (size_t)(stop - p);
    }
    if (first & (UC_LETTER | UC_MARK))
        return (size_t)(skip_class(p, end, UC_LETTER | UC_MARK) - p);
    const uint8_t *symbol = p + (*p == ' ');
    const uint8_t *stop = skip_class(symbol, end, UC_PUNCT | UC_SYMBOL);
    if (stop > symbol) {
        while (stop < end && is_line_end(*stop))
            stop++;
        return (size_t)(stop - p);
    }
    return first & UC_SPACE ? match_space(p, end, true) : 0;
}

static bool run_has(const struct pretok_rule *rule, uint32_t c)
{
    bool found = unicode_class_of(c) & rule->classes;
    int low = 0, high = rule->n_ranges; /* ranges ascend */
    while (!found && low < high) {
        int mid = (low + high) / 2;
        if (c < rule->ranges[mid].first)
            high = mid;
        else if (c > rule->ranges[mid].last)
            low = mid + 1;
        else
            found = true;
    }
    return found != rule->is_negated;
}

/* The run's characters at p: length of count_min to count_max of them, else 0. */
static size_t match_bare_run(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *at = p;
    unsigned n, count = 0;
    while (at < end && (rule->count_max == 0 || count < rule->count_max) &&
           run_has(rule, unicode_decode(at, end, &n))) {
        at += n;
        count++;
    }
    return count > 0 && count >= rule->count_min ? (size_t)(at - p) : 0;
}

/* lead? X{count_min,count_max} */
static size_t match_run(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end, size_t *gap)
{
    unsigned n;
    unsigned first = class_at(p, end, &n);
    *gap = n;
    bool has_lead = rule->lead == 's' ? (first & UC_SPACE) != 0 : rule->lead && *p == ' ';
    if (has_lead && p + n < end) {
        size_t len = match_bare_run(rule, p + n, end);
        if (len)
            return n + len;
    }
    return match_bare_run(rule, p, end);
}

/* \s+$: white space up to the end.  A run that stops earlier is skipped as a whole. */
static size_t match_trailing_space(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end,
                                   size_t *gap)
{
    (void)rule;
    const uint8_t *stop = skip_class(p, end, UC_SPACE);
    if (stop == end)
        return (size_t)(end - p);
    unsigned n;
    class_at(stop, end, &n);
    *gap = (size_t)(stop + n - p);
    return 0;
}

/* [^\n]+|[\n]+ */
static size_t match_line_or_ends(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end,
                                 size_t *gap)
{
    (void)rule;
    *gap = 1;
    const uint8_t *at = p + 1;
    while (at < end && (*at == '\n') == (*p == '\n'))
        at++;
    return (size_t)(at - p);
}

#define RANGES(r) .ranges = (r), .n_ranges = (int)(sizeof(r) / sizeof((r)[0]))

/* Four kinds of runs, the first that has p:
 *   [가-힣ㄱ-ㆎ]+
 *   [！…“”‘’—：；，、-〿︰-﹏]+
 *   [ㄅ-ㄯ]+
 *   [一-龥぀-ヿ]+
 */
static size_t match_youtu(const struct pretok_rule *rule, const uint8_t *p, const uint8_t *end, size_t *gap)
{
    (void)rule;
    static const struct code_range hangul[] = {{0x3131, 0x318E}, {0xAC00, 0xD7A3}};
    static const struct code_range punct[] = {{0x2014, 0x2014}, {0x2018, 0x2019}, {0x201C, 0x201D},
                                              {0x2026, 0x2026}, {0x3001, 0x303F}, {0xFE30, 0xFE4F},
                                              {0xFF01, 0xFF01}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B}};
    static const struct code_range bopomofo[] = {{0x3105, 0x312F}};
    static const struct code_range cjk[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};
    static const struct pretok_rule kinds[] = {{.match = match_run, RANGES(hangul)},
                                               {.match = match_run, RANGES(punct)},
                                               {.match = match_run, RANGES(bopomofo)},
                                               {.match = match_run, RANGES(cjk)}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t len = match_run(&kinds[i], p, end, gap);
        if (len)
            return len;
    }
    return 0;
}

/* ---- the rules ---- */

#define WORDS .match = match_words, .classes = UC_LETTER, .not_symbol = UC_LETTER | UC_NUMBER
#define CASED .match = match_cased_words, .not_symbol = UC_LETTER | UC_NUMBER, .slash_tail = true

const struct pretok_rule rule_llama3 = {WORDS, .count_max = 3};
const struct pretok_rule rule_qwen2 = {WORDS, .count_max = 1};
const struct pretok_rule rule_number_run_words = {WORDS, .count_max = 0};
/* Symbols take no line ends at all, neither as tail nor in the run (they are white space). */
const struct pretok_rule rule_seed_coder = {WORDS, .count_max = 1, .no_tail = true};
/* As qwen2, but marks belong to words. */
const struct pretok_rule rule_qwen35 = {.match = match_words,
                                        .classes = UC_LETTER | UC_MARK,
                                        .not_symbol = UC_LETTER | UC_MARK | UC_NUMBER,
                                        .count_max = 1};
const struct pretok_rule rule_gpt4o = {CASED, .count_max = 3, .has_contractions = true};
const struct pretok_rule rule_tekken = {CASED, .count_max = 1};
const struct pretok_rule rule_gpt2 = {
    .match = match_gpt2, .not_symbol = UC_LETTER | UC_NUMBER, .no_tail = true};
const struct pretok_rule rule_deepseek3 = {.match = match_deepseek3};
const struct pretok_rule rule_youtu = {.match = match_youtu};
const struct pretok_rule rule_trailing_space = {.match = match_trailing_space};
const struct pretok_rule rule_line_or_ends = {.match = match_line_or_ends};

/* \p{N}   \p{N}{1,3}   \p{N}+   [0-9][0-9][0-9]   [\r\n] */
const struct pretok_rule rule_digit = {.match = match_run, .classes = UC_NUMBER, .count_max = 1};
const struct pretok_rule rule_digits_3 = {.match = match_run, .classes = UC_NUMBER, .count_max = 3};
const struct pretok_rule rule_digit_run = {.match = match_run, .classes = UC_NUMBER};
static const struct code_range ascii_digits[] = {{'0', '9'}};
const struct pretok_rule rule_ascii_3_digits = {
    .match = match_run, RANGES(ascii_digits), .count_min = 3, .count_max = 3};
static const struct code_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}};
const struct pretok_rule rule_line_end = {.match = match_run, RANGES(line_ends), .count_max = 1};

/* [一-龥぀-ゟ゠-ヿ]+ */
static const struct code_range cjk_kana[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};
const struct pretok_rule rule_cjk_kana = {.match = match_run, RANGES(cjk_kana)};
/* [一-龥ࠀ-一가-퟿]+ */
static const struct code_range cjk[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};
const struct pretok_rule rule_cjk = {.match = match_run, RANGES(cjk)};

/* \s?\p{L}+   \s?\p{P}+ */
const struct pretok_rule rule_spaced_letters = {.match = match_run, .classes = UC_LETTER, .lead = 's'};
const struct pretok_rule rule_spaced_punct = {.match = match_run, .classes = UC_PUNCT, .lead = 's'};

/* \s?[!-/:-~！-／：-～‘-‟　-。]+ (the second range holds the ASCII letters) */
static const struct code_range deepseek_punct[] = {{'!', '/'},       {':', '~'},       {0x2018, 0x201F},
                                                   {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
const struct pretok_rule rule_deepseek_punct = {.match = match_run, RANGES(deepseek_punct), .lead = 's'};

/* \s?(the cased letters, as ranges of an older Unicode version, just as the tokenizer lists them)+ */
static const struct code_range deepseek_letters[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
    {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
    {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};
const struct pretok_rule rule_deepseek_letters = {.match = match_run, RANGES(deepseek_letters), .lead = 's'};

/* [\p{P}\$\+<=>\^~\|`]+   [\p{P}\$\+<=>\^~\|]+ */
static const struct code_range falcon_symbols[] = {{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'},
                                                   {'`', '`'}, {'|', '|'}, {'~', '~'}};
const struct pretok_rule rule_falcon_punct = {
    .match = match_run, .classes = UC_PUNCT, RANGES(falcon_symbols)};
static const struct code_range default_symbols[] = {{'$', '$'}, {'+', '+'}, {'<', '>'},
                                                    {'^', '^'}, {'|', '|'}, {'~', '~'}};
const struct pretok_rule rule_default_punct = {
    .match = match_run, .classes = UC_PUNCT, RANGES(default_symbols)};

/* " ?[^(\s|.,!?…。，、।۔،)]+" */
static const struct code_range bloom_stops[] = {
    {'!', '!'},     {'(', ')'},     {',', ','},     {'.', '.'},       {'?', '?'},       {'|', '|'},
    {0x60C, 0x60C}, {0x6D4, 0x6D4}, {0x964, 0x964}, {0x2026, 0x2026}, {0x3001, 0x3002}, {0xFF0C, 0xFF0C}};
const struct pretok_rule rule_bloom = {
    .match = match_run, .classes = UC_SPACE, RANGES(bloom_stops), .is_negated = true, .lead = ' '};
