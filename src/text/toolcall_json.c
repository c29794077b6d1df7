/* toolcall_json.c - The JSON around a call's arguments, read before it is complete. */
#include "base/json.h"
#include "text/toolcall_int.h"

size_t toolcall_skip_space(struct str s, size_t at)
{
    while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\n' || s.p[at] == '\t' || s.p[at] == '\r'))
        at++;
    return at;
}

/* Behind the closing quote of the string that starts at `at`. */
static size_t string_end(struct str s, size_t at)
{
    for (at++; at < s.n; at++) {
        if (s.p[at] == '\\')
            at++;
        else if (s.p[at] == '"')
            return at + 1;
    }
    return STR_NONE;
}

size_t toolcall_json_end(struct str s, size_t at)
{
    if (at >= s.n)
        return STR_NONE;
    if (s.p[at] == '"')
        return string_end(s, at);
    if (s.p[at] != '{' && s.p[at] != '[') { /* a number or word ends where something else begins */
        while (at < s.n && s.p[at] != ',' && s.p[at] != '}' && s.p[at] != ']' && s.p[at] != ' ' &&
               s.p[at] != '\n')
            at++;
        return at < s.n ? at : STR_NONE;
    }
    for (size_t depth = 0; at < s.n;) {
        char c = s.p[at];
        if (c == '"') {
            at = string_end(s, at);
            if (at == STR_NONE)
                return at;
            continue;
        }
        at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return at;
    }
    return STR_NONE;
}

/* The next `"key": ` of an object, or its end.  *value is where the value begins. */
static enum toolcall_scan next_key(struct str s, size_t *at, struct str *key, size_t *value)
{
    size_t i = toolcall_skip_space(s, *at);
    if (i < s.n && s.p[i] == ',')
        i = toolcall_skip_space(s, i + 1);
    if (i >= s.n)
        return SCAN_MORE;
    if (s.p[i] == '}') {
        *at = i + 1;
        return SCAN_WHOLE;
    }
    if (s.p[i] != '"')
        return SCAN_BAD;
    size_t end = string_end(s, i);
    if (end == STR_NONE)
        return SCAN_MORE;
    *key = str_sub(s, i + 1, end - 1);
    i = toolcall_skip_space(s, end);
    if (i >= s.n)
        return SCAN_MORE;
    if (s.p[i] != ':')
        return SCAN_BAD;
    i = toolcall_skip_space(s, i + 1);
    *value = i;
    return i < s.n ? SCAN_ARGS : SCAN_MORE;
}

static bool is_args_key(struct str key, const struct toolcall_format *f)
{
    return str_eq(key, S("arguments")) || str_eq(key, S("parameters")) ||
           (f->args_key[0] && str_eq(key, str_c(f->args_key)));
}

static bool is_id_key(struct str key)
{
    return str_eq(key, S("id")) || str_eq(key, S("tool_call_id"));
}

static bool is_name_key(struct str key, const struct toolcall_format *f)
{
    return str_eq(key, S("name")) || str_eq(key, S("function")) ||
           (f->name_key[0] && str_eq(key, str_c(f->name_key)));
}

/* Without a marker in front, an object is only taken for a call while its keys are a call's:
 * other JSON must stream on as text at once. */
static bool may_be_call(struct str key, const struct toolcall_format *f)
{
    return !f->is_bare || is_name_key(key, f) || is_args_key(key, f) || is_id_key(key) ||
           str_eq(key, S("type"));
}

static void take_member(struct str key, struct str value, const struct toolcall_format *f,
                        struct toolcall_head *head)
{
    bool is_text = value.n >= 2 && value.p[0] == '"';
    struct str inside = is_text ? str_sub(value, 1, value.n - 1) : value;
    if (is_name_key(key, f) && is_text) {
        head->name = inside;
    } else if (is_id_key(key)) {
        head->id = inside;
    } else if (is_args_key(key, f)) {
        head->args = inside;
        head->args_are_text = is_text;
    }
}

enum toolcall_scan toolcall_scan_head(struct str s, const struct toolcall_format *f,
                                      struct toolcall_head *head)
{
    struct str key;
    size_t at = toolcall_skip_space(s, 0), value;
    *head = (struct toolcall_head){0};
    if (at >= s.n)
        return SCAN_MORE;
    if (s.p[at++] != '{')
        return SCAN_BAD;
    for (;;) {
        enum toolcall_scan found = next_key(s, &at, &key, &value);
        if (found == SCAN_WHOLE) {
            head->at = at;
            if (head->nested-- > 0)
                continue;
            head->nested = 0;
            return head->name.n ? SCAN_WHOLE : SCAN_BAD;
        }
        if (found != SCAN_ARGS)
            return found;
        if (!may_be_call(key, f))
            return SCAN_BAD;
        if (str_eq(key, S("function")) && s.p[value] == '{' && !head->nested) {
            head->nested = 1;
            at = value + 1;
            continue;
        }
        if (is_args_key(key, f) && head->name.n && s.p[value] == '{') {
            head->at = value;
            return SCAN_ARGS;
        }
        size_t end = toolcall_json_end(s, value);
        if (end == STR_NONE)
            return SCAN_MORE;
        if (end == value)
            return SCAN_BAD;
        take_member(key, str_sub(s, value, end), f, head);
        at = end;
    }
}

enum toolcall_scan toolcall_scan_tail(struct str s, int nested, size_t *at, struct str *id)
{
    struct str key;
    size_t value;
    *at = 0;
    for (;;) {
        enum toolcall_scan found = next_key(s, at, &key, &value);
        if (found == SCAN_WHOLE) {
            if (nested-- == 0)
                return SCAN_WHOLE;
            continue;
        }
        if (found != SCAN_ARGS)
            return found;
        size_t end = toolcall_json_end(s, value);
        if (end == STR_NONE)
            return SCAN_MORE;
        if (end == value)
            return SCAN_BAD;
        if (is_id_key(key) && s.p[value] == '"')
            *id = str_sub(s, value + 1, end - 1);
        *at = end;
    }
}
