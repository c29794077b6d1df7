/* toolcall_markup.c - Calls that are not written as JSON: in tags, or as Python. */
#include "base/json.h"
#include "text/jinja_unicode.h"
#include "text/toolcall_int.h"

#define PYTHON_DEPTH_MAX 64

/* ---- tags ---- */

/* Cut *s at `mark`: what is before it; false if it is not there. */
static bool cut(struct str *s, const char *mark, struct str *before)
{
    size_t at = str_find(*s, str_c(mark), 0);
    if (at == STR_NONE)
        return false;
    *before = str_sub(*s, 0, at);
    *s = str_sub(*s, at + str_c(mark).n, s->n);
    return true;
}

/* Without one newline at each end, which the markup puts there. */
static struct str without_newlines(struct str s)
{
    if (s.n && s.p[0] == '\n')
        s = str_sub(s, 1, s.n);
    if (s.n && s.p[s.n - 1] == '\n')
        s.n--;
    return s;
}

static bool is_json_but_no_text(struct str s)
{
    struct arena a;
    struct json_doc doc;
    arena_init(&a, TOOLCALL_HELD_MAX * 8);
    bool is_good = json_parse(&doc, &a, s, NULL) == OK && !json_is(json_root(&doc), JSON_STRING);
    arena_deinit(&a);
    return is_good;
}

static void add_param(const struct toolcall_parser *p, struct toolcall_parsed *out, struct str key,
                      struct str value)
{
    buf_puts(&out->args, out->args.n > 1 ? ", " : "");
    json_quote(&out->args, key);
    buf_puts(&out->args, ": ");
    bool is_text = p->is_text_param ? p->is_text_param(p->ctx, out->name, key) : !is_json_but_no_text(value);
    if (is_text || !is_json_but_no_text(value)) /* never broken JSON, whatever the schema says */
        json_quote(&out->args, value);
    else
        buf_str_add(&out->args, str_trim(value));
}

/* Where parameters begin, how a key ends and a value begins and ends. */
struct tag_style {
    const char *param, *key_end, *value_begin, *value_end;
};

/* out->name is known, `s` is what follows it. */
static bool parse_params(const struct toolcall_parser *p, struct str s, const struct tag_style *style,
                         struct toolcall_parsed *out)
{
    struct str skipped, key, value;
    out->name = str_trim(out->name);
    buf_puts(&out->args, "{");
    while (cut(&s, style->param, &skipped)) {
        if (str_trim(skipped).n || !cut(&s, style->key_end, &key))
            return false;
        if (style->value_begin[0] && (!cut(&s, style->value_begin, &skipped) || str_trim(skipped).n))
            return false;
        if (!cut(&s, style->value_end, &value))
            return false;
        add_param(p, out, str_trim(key), without_newlines(value));
    }
    buf_puts(&out->args, "}");
    s = str_trim(s); /* what is left may only be the end of the function */
    return out->name.n && buf_ok(&out->args) && (s.n == 0 || str_eq(s, S("</function>")));
}

/* DeepSeek V3.2 says of each value whether it is text: name="KEY" string="true">VALUE. */
static bool parse_dsml(const struct toolcall_parser *p, struct str s, struct toolcall_parsed *out)
{
    struct str skipped, key, is_text, value;
    (void)p;
    if (!cut(&s, "\">", &out->name))
        return false;
    out->name = str_trim(out->name);
    buf_puts(&out->args, "{");
    while (cut(&s, "<｜DSML｜parameter name=\"", &skipped)) {
        if (str_trim(skipped).n || !cut(&s, "\" string=\"", &key) || !cut(&s, "\">", &is_text) ||
            !cut(&s, "</｜DSML｜parameter>", &value))
            return false;
        buf_puts(&out->args, out->args.n > 1 ? ", " : "");
        json_quote(&out->args, key);
        buf_puts(&out->args, ": ");
        if (str_eq(is_text, S("true")) || !is_json_but_no_text(value))
            json_quote(&out->args, value);
        else
            buf_str_add(&out->args, str_trim(value));
    }
    buf_puts(&out->args, "}");
    return out->name.n && buf_ok(&out->args) && str_trim(s).n == 0;
}

/* ---- Gemma 4: {key:value,...} with texts between <|"|> ---- */

#define GEMMA_QUOTE     "<|\"|>"
#define GEMMA_DEPTH_MAX 64

static bool gemma_value(struct str *s, struct buf *out, int depth);

static bool gemma_text(struct str *s, struct buf *out)
{
    struct str text;
    *s = str_sub(*s, str_c(GEMMA_QUOTE).n, s->n);
    return cut(s, GEMMA_QUOTE, &text) && json_quote(out, text);
}

/* A key, bare or between quotes, and its colon. */
static bool gemma_key(struct str *s, struct buf *out)
{
    struct str key;
    if (str_starts(*s, S(GEMMA_QUOTE)))
        return gemma_text(s, out) && cut(s, ":", &key) && key.n == 0;
    return cut(s, ":", &key) && str_trim(key).n && json_quote(out, str_trim(key));
}

/* Behind the opening bracket, up to behind `close`. */
static bool gemma_items(struct str *s, struct buf *out, char close, int depth)
{
    bool is_dict = close == '}';
    buf_putc(out, is_dict ? '{' : '[');
    for (bool is_first = true;; is_first = false) {
        *s = str_sub(*s, toolcall_skip_space(*s, 0), s->n);
        if (s->n && s->p[0] == close)
            break;
        buf_puts(out, is_first ? "" : ", ");
        if (is_dict && !(gemma_key(s, out) && buf_puts(out, ": ")))
            return false;
        if (!gemma_value(s, out, depth))
            return false;
        *s = str_sub(*s, toolcall_skip_space(*s, 0), s->n);
        if (s->n && s->p[0] == ',')
            *s = str_sub(*s, 1, s->n);
        else if (!s->n || s->p[0] != close)
            return false;
    }
    *s = str_sub(*s, 1, s->n);
    return buf_putc(out, close);
}

static bool gemma_value(struct str *s, struct buf *out, int depth)
{
    *s = str_sub(*s, toolcall_skip_space(*s, 0), s->n);
    if (!s->n || depth == 0)
        return false;
    if (str_starts(*s, S(GEMMA_QUOTE)))
        return gemma_text(s, out);
    if (s->p[0] == '{' || s->p[0] == '[') {
        char close = s->p[0] == '{' ? '}' : ']';
        *s = str_sub(*s, 1, s->n);
        return gemma_items(s, out, close, depth - 1);
    }
    size_t end = 0;
    while (end < s->n && s->p[end] != ',' && s->p[end] != '}' && s->p[end] != ']')
        end++;
    struct str word = str_trim(str_sub(*s, 0, end));
    *s = str_sub(*s, end, s->n);
    return is_json_but_no_text(word) && buf_str_add(out, word);
}

static bool parse_gemma(struct str s, struct toolcall_parsed *out)
{
    if (!cut(&s, "{", &out->name) || !gemma_items(&s, &out->args, '}', GEMMA_DEPTH_MAX))
        return false;
    out->name = str_trim(out->name);
    return out->name.n && buf_ok(&out->args) && str_trim(s).n == 0;
}

/* GLM: the name is a line, or touches the first key. */
static bool parse_glm(const struct toolcall_parser *p, struct str s, struct toolcall_parsed *out)
{
    static const struct tag_style glm = {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"};
    s = str_sub(s, toolcall_skip_space(s, 0), s.n);
    size_t key = str_find(s, S("<arg_key>"), 0);
    size_t line = str_find_char(s, '\n', 0);
    size_t end = key < line ? key : line; /* STR_NONE is the largest */
    out->name = str_sub(s, 0, end);
    return parse_params(p, str_sub(s, end, s.n), &glm, out);
}

bool toolcall_parse_tags(const struct toolcall_parser *p, struct str s, struct toolcall_parsed *out)
{
    static const struct tag_style qwen = {"<parameter=", ">", "", "</parameter>"};
    static const struct tag_style minimax = {"<parameter name=\"", "\">", "", "</parameter>"};
    struct str skipped;
    if (str_eq(str_c(p->format->name), S("glm45")))
        return parse_glm(p, s, out);
    if (str_eq(str_c(p->format->name), S("gemma4")))
        return parse_gemma(s, out);
    if (str_starts(str_c(p->format->name), S("deepseek_v"))) /* V3.2 and V4 */
        return parse_dsml(p, s, out);
    if (str_eq(str_c(p->format->name), S("minimax_m2")))
        return cut(&s, "\">", &out->name) && parse_params(p, s, &minimax, out);
    return cut(&s, "<function=", &skipped) && !str_trim(skipped).n && cut(&s, ">", &out->name) &&
           parse_params(p, s, &qwen, out);
}

/* ---- Python ---- */

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c)
{
    return is_name_start(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

enum toolcall_scan toolcall_scan_python_start(struct str s, bool is_list)
{
    size_t at = toolcall_skip_space(s, 0);
    if (at >= s.n)
        return SCAN_MORE;
    if (is_list) {
        if (s.p[at] != '[')
            return SCAN_BAD;
        at = toolcall_skip_space(s, at + 1);
    }
    if (at >= s.n)
        return SCAN_MORE;
    if (!is_name_start(s.p[at]))
        return SCAN_BAD;
    while (at < s.n && is_name_char(s.p[at]))
        at++;
    if (at >= s.n)
        return SCAN_MORE;
    return s.p[at] == '(' ? SCAN_WHOLE : SCAN_BAD;
}

size_t toolcall_python_end(struct str s)
{
    char quote = 0;
    size_t depth = 0;
    for (size_t at = 0; at < s.n; at++) {
        char c = s.p[at];
        if (quote) {
            if (c == '\\')
                at++;
            else if (c == quote)
                quote = 0;
        } else if (c == '\'' || c == '"') {
            quote = c;
        } else if (c == '(' || c == '[' || c == '{') {
            depth++;
        } else if ((c == ')' || c == ']' || c == '}') && (depth == 0 || --depth == 0)) {
            return at + 1;
        }
    }
    return STR_NONE;
}

static bool python_value(struct str s, size_t *at, struct buf *out, int depth);

/* A Python string, in any quotes, as a JSON string. */
static bool python_text(struct str s, size_t *at, struct buf *out)
{
    char quote = s.p[*at];
    size_t i = *at + 1;
    buf_putc(out, '"');
    for (; i < s.n && s.p[i] != quote; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n) {
            char c = s.p[++i];
            const char *same = "nrtbfu\\\"/";
            if (str_find_char(str_c(same), c, 0) != STR_NONE) {
                buf_putc(out, '\\');
                buf_putc(out, c);
            } else if (c == '\'' || c == '\n') {
                buf_puts(out, c == '\'' ? "'" : "");
            } else {
                buf_puts(out, "\\\\");
                buf_putc(out, c);
            }
            continue;
        }
        size_t n = jj_char_bytes(s, i);
        json_escape(out, str_sub(s, i, i + n));
        i += n - 1;
    }
    if (i >= s.n)
        return false;
    buf_putc(out, '"');
    *at = i + 1;
    return true;
}

static bool python_word(struct str s, size_t *at, struct buf *out)
{
    size_t end = *at;
    while (end < s.n && (is_name_char(s.p[end]) || s.p[end] == '+'))
        end++;
    struct str word = str_sub(s, *at, end);
    double number;
    *at = end;
    if (str_eq(word, S("True")) || str_eq(word, S("true")))
        return buf_puts(out, "true");
    if (str_eq(word, S("False")) || str_eq(word, S("false")))
        return buf_puts(out, "false");
    if (str_eq(word, S("None")) || str_eq(word, S("null")))
        return buf_puts(out, "null");
    if (!word.n || !str_to_f64(word, &number) || !is_json_but_no_text(word))
        return false;
    return buf_str_add(out, word);
}

static bool python_items(struct str s, size_t *at, struct buf *out, int depth)
{
    char open = s.p[*at], close = open == '(' ? ')' : open == '[' ? ']' : '}';
    bool is_dict = open == '{';
    size_t i = toolcall_skip_space(s, *at + 1);
    buf_putc(out, is_dict ? '{' : '[');
    for (bool is_first = true; i < s.n && s.p[i] != close; is_first = false) {
        buf_puts(out, is_first ? "" : ", ");
        if (is_dict && s.p[i] != '"' && s.p[i] != '\'')
            return false;
        if (!python_value(s, &i, out, depth))
            return false;
        i = toolcall_skip_space(s, i);
        if (is_dict) {
            if (i >= s.n || s.p[i] != ':')
                return false;
            buf_puts(out, ": ");
            i++;
            if (!python_value(s, &i, out, depth))
                return false;
            i = toolcall_skip_space(s, i);
        }
        if (i < s.n && s.p[i] == ',')
            i = toolcall_skip_space(s, i + 1);
        else if (i >= s.n || s.p[i] != close)
            return false;
    }
    buf_putc(out, is_dict ? '}' : ']');
    *at = i + 1;
    return i < s.n;
}

/* `depth` is what may still be nested. */
static bool python_value(struct str s, size_t *at, struct buf *out, int depth)
{
    *at = toolcall_skip_space(s, *at);
    if (*at >= s.n || depth == 0)
        return false;
    char c = s.p[*at];
    if (c == '"' || c == '\'')
        return python_text(s, at, out);
    if (c == '[' || c == '{' || c == '(')
        return python_items(s, at, out, depth - 1);
    return python_word(s, at, out);
}

bool toolcall_parse_python(struct str s, size_t *at, struct toolcall_parsed *out)
{
    size_t i = toolcall_skip_space(s, *at), start = i;
    while (i < s.n && is_name_char(s.p[i]))
        i++;
    out->name = str_sub(s, start, i);
    if (str_ends(out->name, S(".call")))
        out->name.n -= 5;
    if (!out->name.n || i >= s.n || s.p[i] != '(')
        return false;
    i = toolcall_skip_space(s, i + 1);
    buf_puts(&out->args, "{");
    while (i < s.n && s.p[i] != ')') {
        size_t key = i;
        while (i < s.n && is_name_char(s.p[i]))
            i++;
        struct str name = str_sub(s, key, i);
        i = toolcall_skip_space(s, i);
        if (!name.n || i >= s.n || s.p[i] != '=')
            return false;
        buf_puts(&out->args, out->args.n > 1 ? ", " : "");
        json_quote(&out->args, name);
        buf_puts(&out->args, ": ");
        i++;
        if (!python_value(s, &i, &out->args, PYTHON_DEPTH_MAX))
            return false;
        i = toolcall_skip_space(s, i);
        if (i < s.n && s.p[i] == ',')
            i = toolcall_skip_space(s, i + 1);
        else if (i >= s.n || s.p[i] != ')')
            return false;
    }
    buf_puts(&out->args, "}");
    *at = i + 1;
    return i < s.n && buf_ok(&out->args);
}
