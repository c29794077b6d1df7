/* near_guard.c - See near_guard.h; start reading at near_guard(), at the end. */
#include "gateway/near_guard.h"

#include <utf8proc.h>

#define WORD_BYTES_MAX 64 /* of a word that is looked up in a list */

/* ---- lists: sorted by no rule, lower case, each word between spaces ---- */

static const char negations[] =
    " no not never none nobody nothing neither nor nowhere without cannot except unless hardly isnt arent "
    "wasnt "
    "werent dont doesnt didnt cant couldnt wont wouldnt shouldnt mustnt hasnt havent hadnt aint neednt "
    "nicht nie niemals niemand nichts kein keine keinen keinem keiner keines ohne weder au\xC3\x9F"
    "er "
    "ne pas jamais rien aucun aucune sans ni personne sauf "
    "nunca nada nadie ning\xC3\xBAn ninguna ninguno sin tampoco jam\xC3\xA1s excepto "
    "n\xC3\xA3o nem nenhum nenhuma ningu\xC3\xA9m sem non mai niente nessun nessuno nessuna senza "
    "niet nooit geen niemand zonder nergens inte aldrig ingen inga utan ikke aldri uten uden "
    "nie nigdy nic nikt bez ani nem soha nincs eik\xC3\xA4 ilman "
    "\xD0\xBD\xD0\xB5 \xD0\xBD\xD0\xB5\xD1\x82 \xD0\xBD\xD0\xB8\xD0\xBA\xD0\xBE\xD0\xB3\xD0\xB4\xD0\xB0 "
    "\xD0\xB1\xD0\xB5\xD0\xB7 \xD0\xBD\xD0\xB8 \xD0\xBD\xD1\x96 ";

/* Of a pair of opposites one word is enough, the one that is rarer otherwise. */
static const char opposites[] =
    " zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand "
    "million "
    "billion trillion half quarter third dozen double twice triple once first second fourth fifth sixth "
    "seventh eighth ninth tenth last next previous former latter "
    "all every both either only most least more less fewer few always often sometimes rarely "
    "before after until since earlier later today tomorrow yesterday past future older newer oldest newest "
    "early "
    "late monday tuesday wednesday thursday friday saturday sunday january february march april may june "
    "july "
    "august september october november december spring summer autumn fall winter morning evening night day "
    "week "
    "month year hour minute daily weekly monthly yearly hourly annual "
    "above below over under up down left right top bottom front back inside outside inner outer out off from "
    "against north south east west forward backward upstream downstream local remote input output source "
    "target "
    "client server sender receiver decrease decreases decreasing decreased fall fell shrink reduce reduces "
    "lower "
    "lose loses lost loss remove insert delete destroy enable disable deny forbid reject stop end close "
    "unlock "
    "hide uninstall import export upload download encode decode encrypt decrypt compress decompress buy sell "
    "receive pull read disconnect detach unmount exclude expand collapse merge split leave exit "
    "true false low lower lowest min max minimum maximum small smaller smallest short shorter shortest slow "
    "slower slowest cold cool colder coldest bad worse worst negative illegal unsafe dangerous impossible "
    "invalid "
    "male female man woman men women boy girl husband wife father mother son daughter brother sister he she "
    "his "
    "her asc desc ascending descending sync async synchronous asynchronous private static dynamic wet dry "
    "empty "
    "light weak poor child children disadvantage disadvantages cons risk risks drawback drawbacks cause "
    "causes "
    "minus times divide difference odd even ";

/* Words with which sentences begin; anything else with a capital there may be a name. */
static const char openers[] = " a an the this that these those what which who whom whose when where why how "
                              "is are was were am be do does "
                              "did have has had please tell explain describe give show list write make find "
                              "help define summarize summarise "
                              "translate compare name let if while as at by hello hi hey thanks thank ok "
                              "okay there here it about according "
                              "what's how's who's where's there's it's i'm i'd i've i'll let's generate "
                              "provide suggest recommend outline "
                              "discuss calculate compute convert check fix improve rewrite rephrase shorten "
                              "answer consider imagine suppose "
                              "assume given using also so well anyway just say need want know think "
                              "was wie wer wo wann warum wieso welche welcher welches ist sind der die das "
                              "ein eine bitte kannst k\xC3\xB6nnen "
                              "que quel quelle quels quelles qui comment pourquoi quand o\xC3\xB9 est sont "
                              "le la les un une peux pouvez "
                              "qu\xC3\xA9 c\xC3\xB3mo cu\xC3\xA1l cu\xC3\xA1ndo qui\xC3\xA9n por como quando "
                              "onde quem qual che cosa chi dove "
                              "perch\xC3\xA9 come wat hoe wie waar wanneer waarom ";

/* Besides openers: words that may be there or not, and instead of one another. */
static const char fillers[] = " my your our its their of to in at for i you me us we it be been get much ";

/* Capitals without being names. */
static const char capitals[] = " i i'm i'd i've i'll ok ";

static bool is_in(const char *list, struct str word)
{
    char key[WORD_BYTES_MAX + 2];
    if (word.n == 0 || word.n > WORD_BYTES_MAX)
        return false;
    key[0] = ' ';
    memcpy(key + 1, word.p, word.n);
    key[word.n + 1] = ' ';
    return str_find(str_c(list), str_of(key, word.n + 2), 0) != STR_NONE;
}

/* ---- characters ---- */

struct reader {
    struct str text;
    size_t at;
};

/* The next character; its length, 0 at the end or where the text is not UTF-8. */
static size_t peek(const struct reader *r, utf8proc_int32_t *c)
{
    if (r->at >= r->text.n)
        return 0;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)r->text.p + r->at,
                                          (utf8proc_ssize_t)(r->text.n - r->at), c);
    return n > 0 ? (size_t)n : 0;
}

static bool is_space(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return c <= ' ' || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

/* Letters of scripts in which names have capitals, marks that such letters carry, signs, figures. */
static bool is_of_a_known_script(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO: return c < 0x0590 || (c >= 0x1E00 && c < 0x2000);
    default: return true;
    }
}

static bool ends_sentence(utf8proc_int32_t c)
{
    return c == '.' || c == '?' || c == '!' || c == ':' || c == '\n' || c == 0x2026;
}

/* Punctuation that may stand around a word without belonging to it. */
static bool is_edge(utf8proc_int32_t c)
{
    return c == ',' || c == ';' || c == '(' || c == ')' || c == '[' || c == ']' || c == '\'' || c == 0x2018 ||
           c == 0x2019 || c == 0x00BF || c == 0x00A1 || c == 0x2013 || c == 0x2014 || ends_sentence(c);
}

/* What closes a quotation that c opens; 0: c opens none. */
static utf8proc_int32_t closing(utf8proc_int32_t c)
{
    switch (c) {
    case '"':
    case '`': return c;
    case 0x201C: return 0x201D;
    case 0x201E: return 0x201C; /* also closed by 0x201D: find_end */
    case 0x00AB: return 0x00BB;
    case 0x00BB: return 0x00AB;
    default: return 0;
    }
}

/* ---- words ---- */

enum word_traits { HAS_DIGIT = 1, HAS_SIGN = 2, HAS_UPPER = 4, HAS_LETTER = 8 };

static unsigned traits_of(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return HAS_DIGIT;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT: return HAS_UPPER | HAS_LETTER;
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return HAS_LETTER;
    default: return c == '\'' || c == 0x2019 ? 0 : HAS_SIGN; /* a hyphen inside a word is a sign too */
    }
}

/* In lower case and with plain apostrophes, as the lists have it. */
static struct str lower(struct str word, char key[WORD_BYTES_MAX])
{
    struct reader r = {word, 0};
    utf8proc_int32_t c;
    size_t n = 0, step;
    for (; (step = peek(&r, &c)) && n + 4 < WORD_BYTES_MAX; r.at += step)
        n += (size_t)utf8proc_encode_char(c == 0x2019 ? '\'' : utf8proc_tolower(c),
                                          (utf8proc_uint8_t *)key + n);
    return r.at == word.n ? str_of(key, n) : S("");
}

static bool is_negation(struct str key)
{
    return is_in(negations, key) || (key.n > 3 && str_eq(str_sub(key, key.n - 3, key.n), S("n't")));
}

static void line(struct buf *out, const char *kind, struct str s)
{
    buf_puts(out, kind);
    buf_str_add(out, s);
    buf_putc(out, '\n');
}

static void judge_word(struct str word, unsigned traits, bool is_first, struct buf *out)
{
    char text[WORD_BYTES_MAX];
    struct str key = lower(word, text);
    if (is_negation(key))
        line(out, "not", S(""));
    else if (traits & (HAS_DIGIT | HAS_SIGN))
        line(out, "sign ", word);
    else if (is_in(opposites, key))
        line(out, "word ", key);
    else if ((traits & HAS_UPPER) && !is_in(capitals, key) && !(is_first && is_in(openers, key)))
        line(out, "name ", word);
    else if (!key.n)
        line(out, "long ", word);
}

/* Up to the next space, without the punctuation around it.  True: a sentence ends behind it. */
static bool read_word(struct reader *r, bool is_first, struct buf *out)
{
    size_t from = r->at, to = r->at, n;
    unsigned traits = 0, pending = 0;
    bool has_begun = false, ends = false;
    utf8proc_int32_t c;
    while ((n = peek(r, &c)) && !is_space(c) && !closing(c)) {
        bool edge = is_edge(c);
        ends = edge ? ends || ends_sentence(c) : false;
        if (!edge && !has_begun)
            from = r->at;
        has_begun = has_begun || !edge;
        r->at += n;
        pending |= traits_of(c);
        if (!edge) {
            traits |= pending; /* punctuation counts once something follows it: 3.5, a:b */
            to = r->at;
        } else if (!has_begun) {
            pending = 0;
        }
    }
    if (has_begun)
        judge_word(str_sub(r->text, from, to), traits, is_first, out);
    return ends || (!has_begun && is_first);
}

/* The quotation at r, which goes into `out` as it stands.  A quotation that is not closed goes to the end. */
static void read_quotation(struct reader *r, utf8proc_int32_t opening, size_t n, struct buf *out)
{
    utf8proc_int32_t end = closing(opening), c;
    bool is_code = str_starts(str_sub(r->text, r->at, r->text.n), S("```"));
    size_t from = r->at;
    r->at = is_code ? r->text.n : r->at + n;
    while ((n = peek(r, &c))) {
        r->at += n;
        if (c == end || (opening == 0x201E && c == 0x201D))
            break;
    }
    line(out, "quote ", str_sub(r->text, from, r->at));
}

static bool is_comparable(struct str text)
{
    struct reader r = {text, 0};
    utf8proc_int32_t c;
    size_t n;
    bool any = false;
    for (; (n = peek(&r, &c)); r.at += n) {
        if (!is_of_a_known_script(c))
            return false;
        any = any || (traits_of(c) & HAS_LETTER);
    }
    return any && r.at == text.n;
}

bool near_guard(struct str text, struct buf *out)
{
    struct reader r = {text, 0};
    utf8proc_int32_t c;
    size_t n;
    bool is_first = true;
    if (text.n > NEAR_TEXT_MAX || !is_comparable(text))
        return false;
    while ((n = peek(&r, &c))) {
        if (is_space(c)) {
            is_first = is_first || c == '\n';
            r.at += n;
        } else if (closing(c)) {
            read_quotation(&r, c, n, out);
            is_first = false;
        } else {
            is_first = read_word(&r, is_first, out);
        }
    }
    return buf_ok(out);
}

/* ---- pairs ---- */

#define WORDS_MAX (NEAR_TEXT_MAX / 2 + 1)

static size_t trim_word(struct str *word)
{
    utf8proc_int32_t c;
    struct reader r = {*word, 0};
    size_t n, from = word->n, to = 0;
    for (; (n = peek(&r, &c)); r.at += n)
        if (!is_edge(c)) {
            from = from < r.at ? from : r.at;
            to = r.at + n;
        }
    *word = to ? str_sub(*word, from, to) : S("");
    return word->n;
}

static int split_words(struct str text, struct str words[WORDS_MAX])
{
    struct reader r = {text, 0};
    utf8proc_int32_t c;
    size_t n, from = 0;
    int n_words = 0;
    for (bool more = true; more && n_words < WORDS_MAX; r.at += n) {
        n = peek(&r, &c);
        more = n > 0;
        if (more && !is_space(c))
            continue;
        struct str word = str_sub(text, from, r.at);
        if (trim_word(&word))
            words[n_words++] = word;
        from = r.at + n;
    }
    return n_words;
}

static bool is_same_word(struct str a, struct str b)
{
    char x[WORD_BYTES_MAX], y[WORD_BYTES_MAX];
    struct str la = lower(a, x), lb = lower(b, y);
    return str_eq(a, b) || (la.n && str_eq(la, lb));
}

static bool has_meaning(struct str word)
{
    char text[WORD_BYTES_MAX];
    struct str key = lower(word, text);
    return !is_in(openers, key) && !is_in(fillers, key) && !is_in(capitals, key);
}

bool near_is_a_word_apart(struct str a, struct str b)
{
    struct str x[WORDS_MAX], y[WORDS_MAX];
    int n = split_words(a, x), m = split_words(b, y), from = 0;
    while (from < n && from < m && is_same_word(x[from], y[from]))
        from++;
    while (n > from && m > from && is_same_word(x[n - 1], y[m - 1])) {
        n--;
        m--;
    }
    if (n - from > 1 || m - from > 1)
        return false;
    return (n > from && has_meaning(x[from])) || (m > from && has_meaning(y[from]));
}
