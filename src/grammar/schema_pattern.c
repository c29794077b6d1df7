/* schema_pattern.c - A pattern of ECMA-262 (flag u) as PCRE2 understands it.
 *
 * The two languages look alike and differ in corners that decide whether a value is valid: what
 * `.`, `\s` and `$` mean, the empty class, escapes of code points, names of properties, and forms
 * that only one of them has.  So the pattern is rewritten token by token; what ECMA-262 does not
 * know is refused instead of meaning something else here. */
#include "grammar/schema_pattern.h"

#include <stdio.h>

#include "base/clock.h"

#define OUT_BYTES_MAX     (4u << 20)
#define HEAP_KIB          4096
#define MATCH_LIMIT       50000 /* turns of PCRE2 at one beginning */
#define BEGINNINGS        256   /* between two looks at the clock */
#define BRIEF_MATCH_LIMIT 500
#define BRIEF_BEGINNINGS  4

#define SPACES                                                                                               \
    "\\t-\\r\\x20\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NOT_SPACES                                                                                           \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"             \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

struct rewrite {
    struct str in;
    size_t i;
    struct buf out;
    const char *fault;
};

static bool refuse(struct rewrite *w, const char *why)
{
    w->fault = why;
    return false;
}

static int peek(const struct rewrite *w, size_t ahead)
{
    return w->i + ahead < w->in.n ? (uint8_t)w->in.p[w->i + ahead] : -1;
}

/* n hex digits at `ahead`; -1 if they are not there. */
static int32_t hex_at(const struct rewrite *w, size_t ahead, int n)
{
    int32_t v = 0;
    for (int k = 0; k < n; k++) {
        int d = hex_digit(peek(w, ahead + (size_t)k));
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static bool put_code_point(struct rewrite *w, int32_t c)
{
    return buf_printf(&w->out, "\\x{%x}", (unsigned)c) || refuse(w, "is too long");
}

/* At the 'u' of \u: XXXX, a pair of surrogates, or {X...}. */
static bool unicode_escape(struct rewrite *w)
{
    if (peek(w, 1) == '{') {
        int32_t v = 0;
        size_t k = 2;
        for (; hex_digit(peek(w, k)) >= 0 && v <= 0x10ffff; k++)
            v = v * 16 + hex_digit(peek(w, k));
        if (k == 2 || peek(w, k) != '}' || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
            return refuse(w, "has a \\u{...} that is no code point");
        w->i += k + 1;
        return put_code_point(w, v);
    }
    int32_t c = hex_at(w, 1, 4);
    if (c < 0)
        return refuse(w, "has a \\u without four hexadecimal digits");
    w->i += 5;
    if (c >= 0xd800 && c < 0xdc00 && peek(w, 0) == '\\' && peek(w, 1) == 'u') {
        int32_t low = hex_at(w, 2, 4);
        if (low >= 0xdc00 && low < 0xe000) {
            w->i += 6;
            return put_code_point(w, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
        }
    }
    if (c >= 0xd800 && c < 0xe000)
        return refuse(w, "has half of a surrogate pair");
    return put_code_point(w, c);
}

/* Long names of general categories; PCRE2 knows the short ones, and scripts by their name. */
static const char *short_category(struct str name)
{
    static const char *const names[][2] = {{"Letter", "L"},
                                           {"Cased_Letter", "L&"},
                                           {"Uppercase_Letter", "Lu"},
                                           {"Lowercase_Letter", "Ll"},
                                           {"Titlecase_Letter", "Lt"},
                                           {"Modifier_Letter", "Lm"},
                                           {"Other_Letter", "Lo"},
                                           {"Mark", "M"},
                                           {"Nonspacing_Mark", "Mn"},
                                           {"Spacing_Mark", "Mc"},
                                           {"Enclosing_Mark", "Me"},
                                           {"Number", "N"},
                                           {"Decimal_Number", "Nd"},
                                           {"digit", "Nd"},
                                           {"Letter_Number", "Nl"},
                                           {"Other_Number", "No"},
                                           {"Punctuation", "P"},
                                           {"punct", "P"},
                                           {"Connector_Punctuation", "Pc"},
                                           {"Dash_Punctuation", "Pd"},
                                           {"Open_Punctuation", "Ps"},
                                           {"Close_Punctuation", "Pe"},
                                           {"Initial_Punctuation", "Pi"},
                                           {"Final_Punctuation", "Pf"},
                                           {"Other_Punctuation", "Po"},
                                           {"Symbol", "S"},
                                           {"Math_Symbol", "Sm"},
                                           {"Currency_Symbol", "Sc"},
                                           {"Modifier_Symbol", "Sk"},
                                           {"Other_Symbol", "So"},
                                           {"Separator", "Z"},
                                           {"Space_Separator", "Zs"},
                                           {"Line_Separator", "Zl"},
                                           {"Paragraph_Separator", "Zp"},
                                           {"Other", "C"},
                                           {"Control", "Cc"},
                                           {"Format", "Cf"},
                                           {"Unassigned", "Cn"},
                                           {"Private_Use", "Co"}};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (str_eq(name, str_c(names[k][0])))
            return names[k][1];
    return NULL;
}

/* At the 'p' or 'P' of \p{Name} or \p{Script=Name}. */
static bool property_escape(struct rewrite *w)
{
    static const char *const keys[] = {"General_Category=", "gc=", "Script=", "sc="};
    size_t end = str_find_char(w->in, '}', w->i);
    if (peek(w, 1) != '{' || end == STR_NONE)
        return refuse(w, "has a \\p without {Name}");
    struct str name = str_sub(w->in, w->i + 2, end);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        if (str_starts(name, str_c(keys[k])))
            name = str_sub(name, strlen(keys[k]), name.n);
    const char *category = short_category(name);
    char sign = w->in.p[w->i];
    w->i = end + 1;
    if (category)
        return buf_printf(&w->out, "\\%c{%s}", sign, category);
    for (size_t k = 0; k < name.n; k++)
        if (!((name.p[k] | 32) >= 'a' && (name.p[k] | 32) <= 'z') && name.p[k] != '_')
            return refuse(w, "has a \\p{Name} that is not known");
    return buf_printf(&w->out, "\\%c{%.*s}", sign, STR(name));
}

static bool digits_escape(struct rewrite *w, bool in_class)
{
    int c = peek(w, 0);
    if (c == '0') {
        if (peek(w, 1) >= '0' && peek(w, 1) <= '9')
            return refuse(w, "has an octal escape");
        w->i++;
        return buf_puts(&w->out, "\\x00");
    }
    if (in_class)
        return refuse(w, "has a back-reference in a class");
    uint32_t n = 0;
    while (peek(w, 0) >= '0' && peek(w, 0) <= '9' && n < 100000)
        n = n * 10 + (uint32_t)(w->in.p[w->i++] - '0');
    return buf_printf(&w->out, "\\g{%u}", n);
}

/* Behind a backslash. */
static bool escape(struct rewrite *w, bool in_class)
{
    int c = peek(w, 0);
    switch (c) {
    case -1: return refuse(w, "ends with a backslash");
    case 'u': return unicode_escape(w);
    case 'p':
    case 'P': return property_escape(w);
    case 's': w->i++; return buf_puts(&w->out, in_class ? SPACES : "[" SPACES "]");
    case 'S': w->i++; return buf_puts(&w->out, in_class ? NOT_SPACES : "[" NOT_SPACES "]");
    case 'v': w->i++; return buf_puts(&w->out, "\\x0b");
    case 'x': {
        int32_t v = hex_at(w, 1, 2);
        w->i += 3;
        return v >= 0 ? put_code_point(w, v) : refuse(w, "has a \\x without two hexadecimal digits");
    }
    case 'c': {
        int letter = peek(w, 1);
        if ((letter | 32) < 'a' || (letter | 32) > 'z' || letter < 0)
            return refuse(w, "has a \\c without a letter");
        w->i += 2;
        return put_code_point(w, letter & 31);
    }
    case 'k':
        if (in_class || peek(w, 1) != '<')
            return refuse(w, "has a \\k without <name>");
        w->i++;
        return buf_puts(&w->out, "\\k");
    default: break;
    }
    if (c >= '0' && c <= '9')
        return digits_escape(w, in_class);
    /* Classes, assertions, controls: the same letters in both; every sign may be escaped. */
    if (c < 0x80 && strchr(in_class ? "dDwWfnrtb" : "dDwWfnrtbB", c)) {
        w->i++;
        return buf_printf(&w->out, "\\%c", c);
    }
    if (c >= 0x80 || (c | 32) < 'a' || (c | 32) > 'z') {
        w->i++;
        if (c >= 0x80)
            return buf_putc(&w->out, (char)c);
        return buf_printf(&w->out, "\\%c", c);
    }
    return refuse(w, "has an escape that ECMA-262 does not know");
}

/* At '['. */
static bool class(struct rewrite *w)
{
    w->i++;
    bool is_negated = peek(w, 0) == '^';
    w->i += is_negated;
    if (peek(w, 0) == ']') { /* nothing at all, or everything */
        w->i++;
        return buf_puts(&w->out, is_negated ? "[\\x00-\\x{10ffff}]" : "(?!)");
    }
    buf_puts(&w->out, is_negated ? "[^" : "[");
    while (peek(w, 0) != ']') {
        int c = peek(w, 0);
        if (c < 0)
            return refuse(w, "has a class without its end");
        w->i++;
        if (c == '\\') {
            if (!escape(w, true))
                return false;
        } else if (c == '[') { /* PCRE2 has [:names:], ECMA-262 has not */
            buf_puts(&w->out, "\\[");
        } else {
            buf_putc(&w->out, (char)c);
        }
    }
    w->i++;
    return buf_putc(&w->out, ']');
}

/* At '('. */
static bool group(struct rewrite *w)
{
    static const char *const kinds[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!"};
    struct str rest = str_sub(w->in, w->i, w->in.n);
    if (str_starts(rest, S("(*")))
        return refuse(w, "has nothing to repeat");
    if (!str_starts(rest, S("(?"))) {
        w->i++;
        return buf_putc(&w->out, '(');
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (str_starts(rest, str_c(kinds[k]))) {
            w->i += strlen(kinds[k]);
            return buf_puts(&w->out, kinds[k]);
        }
    if (!str_starts(rest, S("(?<")))
        return refuse(w, "has a group that ECMA-262 does not know");
    w->i += 3;
    return buf_puts(&w->out, "(?<");
}

/* A quantifier {n}, {n,} or {n,m} at '{': its length, or 0. */
static size_t braces(const struct rewrite *w)
{
    size_t k = 1, from = k;
    while (peek(w, k) >= '0' && peek(w, k) <= '9')
        k++;
    if (k == from)
        return 0;
    if (peek(w, k) == ',')
        for (k++; peek(w, k) >= '0' && peek(w, k) <= '9';)
            k++;
    return peek(w, k) == '}' ? k + 1 : 0;
}

/* Behind a quantifier: '?' makes it lazy; another one would be possessive in PCRE2. */
static bool after_quantifier(struct rewrite *w)
{
    if (peek(w, 0) == '?') {
        w->i++;
        buf_putc(&w->out, '?');
    }
    int c = peek(w, 0);
    if (c == '+' || c == '*' || c == '?' || (c == '{' && braces(w)))
        return refuse(w, "has nothing to repeat");
    return true;
}

static bool token(struct rewrite *w)
{
    int c = peek(w, 0);
    size_t n;
    switch (c) {
    case '\\': w->i++; return escape(w, false);
    case '[': return class(w);
    case '(': return group(w);
    case '.': w->i++; return buf_puts(&w->out, "[^\\n\\r\\x{2028}\\x{2029}]");
    case '*':
    case '+':
    case '?':
        w->i++;
        buf_putc(&w->out, (char)c);
        return after_quantifier(w);
    case '{':
        n = braces(w);
        if (!n) {
            w->i++;
            return buf_puts(&w->out, "\\{");
        }
        buf_add(&w->out, w->in.p + w->i, n);
        w->i += n;
        return after_quantifier(w);
    default: w->i++; return buf_putc(&w->out, (char)c);
    }
}

int schema_pattern_compile(pcre2_code **out, struct str pattern, char *why, size_t why_bytes)
{
    struct rewrite w = {.in = pattern};
    buf_init(&w.out, OUT_BYTES_MAX);
    bool ok = true;
    while (ok && w.i < pattern.n)
        ok = token(&w);
    *out = NULL;
    if (!ok || !buf_ok(&w.out)) {
        snprintf(why, why_bytes, "%s", w.fault ? w.fault : "is too long");
        buf_deinit(&w.out);
        return ERR_UNSUPPORTED;
    }
    int code = 0;
    PCRE2_SIZE at = 0;
    struct str text = buf_str(&w.out);
    *out = pcre2_compile((PCRE2_SPTR)text.p, text.n,
                         PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_USE_OFFSET_LIMIT,
                         &code, &at, NULL);
    if (!*out) {
        char text_of[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text_of, sizeof text_of);
        snprintf(why, why_bytes, "cannot be matched: %s", text_of);
    }
    buf_deinit(&w.out);
    return *out ? OK : ERR_UNSUPPORTED;
}

pcre2_match_context *schema_pattern_context(void)
{
    pcre2_match_context *c = pcre2_match_context_create(NULL);
    if (c)
        pcre2_set_heap_limit(c, HEAP_KIB);
    return c;
}

/* The next place from `at` on where a match may begin, by the pattern's first byte. */
static size_t next_beginning(const pcre2_code *re, struct str text, size_t at)
{
    uint32_t has_first = 0, first = 0;
    const uint8_t *set = NULL;
    pcre2_pattern_info(re, PCRE2_INFO_FIRSTCODETYPE, &has_first);
    if (has_first == 1 && pcre2_pattern_info(re, PCRE2_INFO_FIRSTCODEUNIT, &first) == 0) {
        const char *found = at < text.n ? memchr(text.p + at, (int)first, text.n - at) : NULL;
        return found ? (size_t)(found - text.p) : text.n;
    }
    pcre2_pattern_info(re, PCRE2_INFO_FIRSTBITMAP, &set);
    while (set && at < text.n && !(set[(uint8_t)text.p[at] / 8] >> (uint8_t)text.p[at] % 8 & 1))
        at++;
    return at;
}

/* PCRE2 bounds its work at each beginning only, and a long text has many: so they are tried some at a
 * time, with a look at the clock between. */
int schema_pattern_match(const pcre2_code *re, struct str text, pcre2_match_data *data,
                         pcre2_match_context *context, const struct schema_pattern_bounds *bounds)
{
    size_t step = bounds->is_brief ? BRIEF_BEGINNINGS : BEGINNINGS;
    uint32_t options = 0;
    pcre2_pattern_info(re, PCRE2_INFO_ALLOPTIONS, &options);
    pcre2_set_match_limit(context, bounds->is_brief ? BRIEF_MATCH_LIMIT : MATCH_LIMIT);
    for (size_t at = next_beginning(re, text, 0);;) {
        pcre2_set_offset_limit(context, at + step - 1);
        int rc = pcre2_match(re, (PCRE2_SPTR)text.p, text.n, at, PCRE2_NO_UTF_CHECK, data, context);
        if (rc != PCRE2_ERROR_NOMATCH)
            return rc >= 0 ? 1 : -1;
        if (options & PCRE2_ANCHORED || at + step > text.n)
            return 0;
        if (clock_now_ns() > bounds->deadline_ns)
            return -1;
        at = next_beginning(re, text, at + step);
        while (at < text.n && ((uint8_t)text.p[at] & 0xc0) == 0x80)
            at++;
    }
}
