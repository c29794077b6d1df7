/* jinja_lex.c - Template source to tokens, with Jinja's rules for white space.
 *
 * The rules are those of Jinja with trim_blocks and lstrip_blocks: the newline behind a block
 * or comment goes, blanks before one at a line's start go, '-' strips everything up to the
 * text, '+' keeps it.  Inside a tag the tag's end is looked for before operators, but only
 * while no bracket is open, so that {{ {'a': {}} }} works. */
#include <string.h>

#include "text/jinja_ast.h"
#include "text/jinja_unicode.h"

#define BRACKETS_MAX 200

struct lexer {
    struct str src;
    size_t pos;
    uint32_t line;
    size_t line_pos; /* `line` is the line of this offset */
    struct arena *arena;
    struct jj_tokens *out;
    struct err *err;
};

static uint32_t line_at(struct lexer *x, size_t pos)
{
    for (; x->line_pos < pos; x->line_pos++)
        if (x->src.p[x->line_pos] == '\n')
            x->line++;
    return x->line;
}

static int lex_fail(struct lexer *x, size_t pos, const char *what)
{
    return fail(x->err, ERR_FORMAT, "line %u: %s", line_at(x, pos), what);
}

static int emit(struct lexer *x, struct jj_token t)
{
    struct jj_tokens *out = x->out;
    if (out->n == out->cap) {
        uint32_t cap = out->cap ? out->cap * 2 : 64;
        struct jj_token *v = arena_new_array(x->arena, struct jj_token, cap);
        if (!v)
            return fail(x->err, ERR_LIMIT, "line %u: the template is too large", t.line);
        if (out->n)
            memcpy(v, out->v, out->n * sizeof *v);
        out->v = v;
        out->cap = cap;
    }
    out->v[out->n++] = t;
    return OK;
}

static int emit_simple(struct lexer *x, enum jj_token_type type, size_t pos, struct str text)
{
    return emit(x, (struct jj_token){.type = type, .line = line_at(x, pos), .text = text});
}

static bool looking_at(const struct lexer *x, size_t pos, const char *z)
{
    size_t n = strlen(z);
    return x->src.n - pos >= n && memcmp(x->src.p + pos, z, n) == 0;
}

static size_t skip_space(const struct lexer *x, size_t pos)
{
    while (pos < x->src.n) {
        size_t n = jj_space_at(x->src, pos);
        if (!n)
            break;
        pos += n;
    }
    return pos;
}

/* Text before a tag, with what the tag's sign says about its end. */
static struct str trimmed_before(const struct lexer *x, size_t from, size_t to, char sign, bool is_variable)
{
    struct str text = str_sub(x->src, from, to);
    if (sign == '-') {
        size_t end = 0;
        for (size_t at = 0; at < text.n;) {
            size_t space = jj_space_at(text, at);
            at += space ? space : 1;
            if (!space)
                end = at;
        }
        text.n = end;
    } else if (sign != '+' && !is_variable) {
        size_t line_start = text.n;
        while (line_start > 0 && text.p[line_start - 1] != '\n')
            line_start--;
        bool is_line_start = line_start > 0 || from == 0 || x->src.p[from - 1] == '\n';
        size_t at = line_start;
        for (size_t n; at < text.n && (n = jj_space_at(text, at)) > 0;)
            at += n;
        if (is_line_start && at == text.n)
            text.n = line_start;
    }
    return text;
}

static int emit_data(struct lexer *x, size_t pos, struct str text)
{
    return text.n ? emit_simple(x, JJT_DATA, pos, text) : OK;
}

/* After "{%" + sign at `pos`: is this {% raw %}?  Then *after is behind its tag. */
static bool is_raw_tag(const struct lexer *x, size_t pos, const char *word, size_t *after)
{
    pos = skip_space(x, pos);
    if (!looking_at(x, pos, word))
        return false;
    pos = skip_space(x, pos + strlen(word));
    bool is_end = strcmp(word, "endraw") == 0;
    if (looking_at(x, pos, "-%}")) {
        *after = skip_space(x, pos + 3);
    } else if (is_end && looking_at(x, pos, "+%}")) {
        *after = pos + 3;
    } else if (looking_at(x, pos, "%}")) {
        *after = pos + 2;
        if (is_end && looking_at(x, *after, "\n"))
            *after += 1;
    } else {
        return false;
    }
    return true;
}

static char sign_at(const struct lexer *x, size_t pos)
{
    if (pos < x->src.n && (x->src.p[pos] == '-' || x->src.p[pos] == '+'))
        return x->src.p[pos];
    return 0;
}

static int lex_raw(struct lexer *x)
{
    size_t from = x->pos;
    for (size_t at = from; (at = str_find(x->src, S("{%"), at)) != STR_NONE; at += 2) {
        char sign = sign_at(x, at + 2);
        size_t after;
        if (!is_raw_tag(x, at + 2 + (sign != 0), "endraw", &after))
            continue;
        x->pos = after;
        return emit_data(x, from, trimmed_before(x, from, at, sign, false));
    }
    return lex_fail(x, from, "a raw block has no end ({% endraw %})");
}

static int lex_comment(struct lexer *x)
{
    size_t end = str_find(x->src, S("#}"), x->pos);
    if (end == STR_NONE)
        return lex_fail(x, x->pos, "a comment has no end ('#}')");
    char before = end > x->pos ? x->src.p[end - 1] : 0;
    x->pos = end + 2;
    if (before == '-')
        x->pos = skip_space(x, x->pos);
    else if (before != '+' && looking_at(x, x->pos, "\n"))
        x->pos++;
    return OK;
}

/* ---- inside a tag ---- */

/* \xhh, \uhhhh, \Uhhhhhhhh behind the letter at *at; false if digits are missing. */
static bool hex_escape(struct str s, size_t *at, int n_digits, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < n_digits; i++) {
        int d = *at < s.n ? hex_digit(s.p[*at]) : -1;
        if (d < 0)
            return false;
        *code = *code << 4 | (uint32_t)d;
        ++*at;
    }
    return true;
}

/* Undo Python's string escapes; unknown ones stay as they are. */
static int unescape(struct lexer *x, size_t pos, struct str raw, struct str *out)
{
    if (str_find_char(raw, '\\', 0) == STR_NONE) {
        *out = raw;
        return OK;
    }
    static const char letters[] = "\\'\"abfnrtv";
    static const char values[] = "\\'\"\a\b\f\n\r\t\v";
    char *p = arena_alloc(x->arena, raw.n); /* no escape is shorter than what it stands for */
    if (!p)
        return lex_fail(x, pos, "the template is too large");
    size_t n = 0;
    for (size_t at = 0; at < raw.n;) {
        if (raw.p[at] != '\\' || at + 1 == raw.n) {
            p[n++] = raw.p[at++];
            continue;
        }
        char c = raw.p[at + 1];
        at += 2;
        const char *known = c ? strchr(letters, c) : NULL;
        uint32_t code = 0;
        if (known) {
            p[n++] = values[known - letters];
        } else if (c == '\n') {
            continue;
        } else if (c >= '0' && c <= '7') {
            at--;
            for (int i = 0; i < 3 && at < raw.n && raw.p[at] >= '0' && raw.p[at] <= '7'; i++)
                code = code * 8 + (uint32_t)(raw.p[at++] - '0');
            n += jj_utf8_write(p + n, code);
        } else if (c == 'x' || c == 'u' || c == 'U') {
            if (!hex_escape(raw, &at, c == 'x' ? 2 : c == 'u' ? 4 : 8, &code) || code > 0x10ffff)
                return lex_fail(x, pos, "a string has a broken \\x, \\u or \\U escape");
            n += jj_utf8_write(p + n, code);
        } else if (c == 'N') {
            return lex_fail(x, pos, "character names (\\N{...}) are not possible in strings here");
        } else {
            p[n++] = '\\';
            p[n++] = c;
        }
    }
    *out = str_of(p, n);
    return OK;
}

static int lex_string(struct lexer *x)
{
    size_t start = x->pos;
    char quote = x->src.p[start];
    size_t at = start + 1;
    while (at < x->src.n && x->src.p[at] != quote)
        at += x->src.p[at] == '\\' ? 2 : 1;
    if (at >= x->src.n)
        return lex_fail(x, start, "a string has no closing quote");
    struct str text;
    int rc = unescape(x, start, str_sub(x->src, start + 1, at), &text);
    if (rc != OK)
        return rc;
    x->pos = at + 1;
    return emit_simple(x, JJT_STRING, start, text);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with single '_' between them, from `at`; returns where they end. */
static size_t skip_digits(const struct lexer *x, size_t at)
{
    while (at < x->src.n &&
           (is_digit(x->src.p[at]) || (x->src.p[at] == '_' && at + 1 < x->src.n &&
                                       is_digit(x->src.p[at + 1]) && is_digit(x->src.p[at - 1]))))
        at++;
    return at;
}

static int emit_number(struct lexer *x, size_t start, size_t end, bool is_float)
{
    char digits[512];
    size_t n = 0;
    for (size_t i = start; i < end; i++) {
        if (x->src.p[i] == '_')
            continue;
        if (n == sizeof digits)
            return lex_fail(x, start, "a number has too many digits");
        digits[n++] = x->src.p[i];
    }
    struct jj_token t = {.type = is_float ? JJT_FLOAT : JJT_INT, .line = line_at(x, start)};
    struct str s = str_of(digits, n);
    x->pos = end;
    if (is_float) {
        if (!str_to_f64(s, &t.f))
            return lex_fail(x, start, "a number is out of range");
    } else if (!str_to_i64(s, &t.i)) {
        t.type = JJT_BIGINT;
        t.text = arena_str(x->arena, s);
    }
    return emit(x, t);
}

static int lex_radix(struct lexer *x, int radix)
{
    size_t start = x->pos, at = start + 2;
    uint64_t v = 0;
    for (; at < x->src.n; at++) {
        int d = x->src.p[at] == '_' ? -2 : hex_digit(x->src.p[at]);
        if (d == -2)
            continue;
        if (d < 0 || d >= radix)
            break;
        if (v > (uint64_t)INT64_MAX / (uint64_t)radix - 1)
            return lex_fail(x, start, "a number is out of range");
        v = v * (uint64_t)radix + (uint64_t)d;
    }
    x->pos = at;
    return emit(x, (struct jj_token){.type = JJT_INT, .line = line_at(x, start), .i = (int64_t)v});
}

static int lex_number(struct lexer *x)
{
    size_t start = x->pos, at = skip_digits(x, start);
    char next = start + 1 < x->src.n ? (char)(x->src.p[start + 1] | 0x20) : 0;
    if (x->src.p[start] == '0' && (next == 'x' || next == 'o' || next == 'b') && start + 2 < x->src.n &&
        hex_digit(x->src.p[start + 2]) >= 0)
        return lex_radix(x, next == 'x' ? 16 : next == 'o' ? 8 : 2);
    bool after_dot = start > 0 && x->src.p[start - 1] == '.';
    bool is_float = false;
    if (!after_dot) {
        if (at + 1 < x->src.n && x->src.p[at] == '.' && is_digit(x->src.p[at + 1])) {
            at = skip_digits(x, at + 1);
            is_float = true;
        }
        if (at + 1 < x->src.n && (x->src.p[at] | 0x20) == 'e') {
            size_t e = at + 1;
            if ((x->src.p[e] == '+' || x->src.p[e] == '-') && e + 1 < x->src.n)
                e++;
            if (is_digit(x->src.p[e])) {
                at = skip_digits(x, e);
                is_float = true;
            }
        }
    }
    return emit_number(x, start, at, is_float);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           (unsigned char)c >= 0x80;
}

static const struct {
    char text[3];
    enum jj_token_type type;
} operators[] = {{"//", JJT_FLOORDIV}, {"**", JJT_POW},     {"==", JJT_EQ},    {"!=", JJT_NE},
                 {">=", JJT_GE},       {"<=", JJT_LE},      {"+", JJT_ADD},    {"-", JJT_SUB},
                 {"/", JJT_DIV},       {"*", JJT_MUL},      {"%", JJT_MOD},    {"~", JJT_TILDE},
                 {"[", JJT_LBRACKET},  {"]", JJT_RBRACKET}, {"(", JJT_LPAREN}, {")", JJT_RPAREN},
                 {"{", JJT_LBRACE},    {"}", JJT_RBRACE},   {">", JJT_GT},     {"<", JJT_LT},
                 {"=", JJT_ASSIGN},    {".", JJT_DOT},      {":", JJT_COLON},  {"|", JJT_PIPE},
                 {",", JJT_COMMA},     {";", JJT_SEMICOLON}};

static int lex_operator(struct lexer *x, char *open, int *n_open)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!looking_at(x, x->pos, operators[i].text))
            continue;
        char c = operators[i].text[0];
        if (c == '(' || c == '[' || c == '{') {
            if (*n_open == BRACKETS_MAX)
                return fail(x->err, ERR_LIMIT, "line %u: brackets are nested too deeply", line_at(x, x->pos));
            open[(*n_open)++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (*n_open == 0 || open[*n_open - 1] != c)
                return lex_fail(x, x->pos, "a closing bracket does not match the open one");
            --*n_open;
        }
        size_t at = x->pos;
        x->pos += strlen(operators[i].text);
        return emit_simple(x, operators[i].type, at, str_c(operators[i].text));
    }
    return fail(x->err, ERR_FORMAT, "line %u: unexpected character '%c' in a tag", line_at(x, x->pos),
                x->src.p[x->pos]);
}

/* Is the tag's end here?  Moves behind it and behind the white space that it eats. */
static bool at_tag_end(struct lexer *x, bool is_variable)
{
    const char *end = is_variable ? "}}" : "%}";
    if (x->src.p[x->pos] == '-' && looking_at(x, x->pos + 1, end)) {
        x->pos = skip_space(x, x->pos + 3);
    } else if (!is_variable && x->src.p[x->pos] == '+' && looking_at(x, x->pos + 1, end)) {
        x->pos += 3;
    } else if (looking_at(x, x->pos, end)) {
        x->pos += 2;
        if (!is_variable && looking_at(x, x->pos, "\n"))
            x->pos++;
    } else {
        return false;
    }
    return true;
}

static int lex_tag(struct lexer *x, bool is_variable, size_t tag_at)
{
    char open[BRACKETS_MAX];
    int n_open = 0;
    int rc = emit_simple(x, is_variable ? JJT_VAR_BEGIN : JJT_BLOCK_BEGIN, tag_at, S(""));
    while (rc == OK) {
        x->pos = skip_space(x, x->pos);
        if (x->pos >= x->src.n)
            return lex_fail(x, tag_at, "a tag has no end");
        size_t at = x->pos;
        if (n_open == 0 && at_tag_end(x, is_variable))
            return emit_simple(x, is_variable ? JJT_VAR_END : JJT_BLOCK_END, at, S(""));
        char c = x->src.p[at];
        if (is_digit(c)) {
            rc = lex_number(x);
        } else if (is_name_char(c)) {
            while (x->pos < x->src.n && is_name_char(x->src.p[x->pos]))
                x->pos++;
            rc = emit_simple(x, JJT_NAME, at, str_sub(x->src, at, x->pos));
        } else if (c == '\'' || c == '"') {
            rc = lex_string(x);
        } else {
            rc = lex_operator(x, open, &n_open);
        }
    }
    return rc;
}

/* The next "{{", "{%" or "{#" at or after `pos`, or STR_NONE. */
static size_t find_tag(const struct lexer *x, size_t pos)
{
    while ((pos = str_find_char(x->src, '{', pos)) != STR_NONE) {
        char c = pos + 1 < x->src.n ? x->src.p[pos + 1] : 0;
        if (c == '{' || c == '%' || c == '#')
            return pos;
        pos++;
    }
    return STR_NONE;
}

int jj_lex(struct jj_tokens *out, struct arena *arena, struct str source, struct err *err)
{
    struct lexer x = {.src = source, .line = 1, .arena = arena, .out = out, .err = err};
    *out = (struct jj_tokens){0};
    int rc = OK;
    while (rc == OK && x.pos < source.n) {
        size_t tag = find_tag(&x, x.pos);
        if (tag == STR_NONE) {
            rc = emit_data(&x, x.pos, str_sub(source, x.pos, source.n));
            break;
        }
        bool is_variable = source.p[tag + 1] == '{';
        char sign = sign_at(&x, tag + 2);
        rc = emit_data(&x, x.pos, trimmed_before(&x, x.pos, tag, sign, is_variable));
        if (rc != OK)
            break;
        x.pos = tag + 2 + (sign != 0);
        size_t after_raw;
        if (source.p[tag + 1] == '#') {
            rc = lex_comment(&x);
        } else if (!is_variable && is_raw_tag(&x, x.pos, "raw", &after_raw)) {
            x.pos = after_raw;
            rc = lex_raw(&x);
        } else {
            rc = lex_tag(&x, is_variable, tag);
        }
    }
    if (rc == OK)
        rc = emit_simple(&x, JJT_EOF, source.n, S(""));
    return rc;
}
