/* jinja_str.c - What Python's str can do, with marks kept: used by filters and methods alike. */
#include <string.h>

#include "text/jinja_int.h"
#include "text/jinja_unicode.h"

bool jj_need_str(struct jj *j, struct jj_value v, const char *what, struct jj_value *out)
{
    *out = v;
    if (jj_is(v, JJ_STR))
        return true;
    if (jj_is(v, JJ_UNDEFINED))
        return jj_fail(j, "%.*s", STR(v.s));
    return jj_fail(j, "%s must be text, not a %s", what, jj_type_name(v));
}

bool jj_need_int(struct jj *j, struct jj_value v, const char *what, int64_t *out)
{
    if (jj_as_int(v, out))
        return true;
    return jj_fail(j, "%s must be an integer, not a %s", what, jj_type_name(v));
}

bool jj_str_replace(struct jj *j, struct jj_value s, struct jj_value old, struct jj_value new_text,
                    int64_t count, struct jj_value *out)
{
    struct jj_text t = {0};
    size_t done = 0;
    if (!jj_spend(j, s.s.n / 16 + 1))
        return false;
    for (size_t at = 0; count != 0 && at <= s.s.n; count--) {
        size_t hit = old.s.n ? str_find(s.s, old.s, at) : at;
        if (hit == STR_NONE)
            break;
        if (!jj_text_add_sub(j, &t, s, done, hit) || !jj_text_add_str(j, &t, new_text) || !jj_spend(j, 1))
            return false;
        done = hit + old.s.n;
        /* An empty `old` is found between all characters. */
        at = old.s.n ? done : hit + (hit < s.s.n ? jj_char_bytes(s.s, hit) : 1);
    }
    if (!jj_text_add_sub(j, &t, s, done, s.s.n))
        return false;
    *out = jj_text_value(&t);
    return true;
}

/* Is the character at `at` to be stripped?  chars NULL: white space. */
static size_t strippable(struct str s, size_t at, const struct str *chars)
{
    if (!chars)
        return jj_space_at(s, at);
    size_t n = jj_char_bytes(s, at);
    for (size_t i = 0, m; i < chars->n; i += m) {
        m = jj_char_bytes(*chars, i);
        if (m == n && memcmp(chars->p + i, s.p + at, n) == 0)
            return n;
    }
    return 0;
}

static size_t char_before(struct str s, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && end - at < 4 && ((unsigned char)s.p[at] & 0xc0) == 0x80)
        at--;
    return at + jj_char_bytes(str_sub(s, 0, end), at) == end ? at : end - 1;
}

bool jj_str_strip(struct jj *j, struct jj_value s, struct jj_value chars, bool left, bool right,
                  struct jj_value *out)
{
    const struct str *set = jj_is(chars, JJ_STR) ? &chars.s : NULL;
    if (!set && !jj_is(chars, JJ_MISSING) && !jj_is(chars, JJ_NONE))
        return jj_need_str(j, chars, "what to strip", out);
    size_t from = 0, to = s.s.n, n;
    while (left && from < to && (n = strippable(s.s, from, set)) > 0)
        from += n;
    while (right && to > from) {
        size_t at = char_before(s.s, to);
        if (!strippable(str_sub(s.s, 0, to), at, set))
            break;
        to = at;
    }
    *out = jj_sub(s, from, to);
    return jj_spend(j, (s.s.n - (to - from)) * (set ? set->n + 1 : 1) / 16);
}

/* ---- case ---- */

/* A capital sigma becomes the final form behind a letter and before none. */
static bool is_final_sigma(struct str s, size_t at)
{
    bool has_before = false;
    for (size_t i = at; i > 0 && !has_before;) {
        i = char_before(s, i);
        uint32_t code = jj_code_at(s, i);
        if (!jj_is_cased(code) && !jj_is_alnum(code) && (code == '\'' || code == '.' || code == 0xad))
            continue; /* characters that case rules ignore */
        has_before = jj_is_cased(code);
        break;
    }
    size_t next = at + jj_char_bytes(s, at);
    return has_before && !(next < s.n && jj_is_cased(jj_code_at(s, next)));
}

static int lower_at(struct str s, size_t at, uint32_t code, uint32_t out[3])
{
    if (code == 0x3a3) {
        out[0] = is_final_sigma(s, at) ? 0x3c2 : 0x3c3;
        return 1;
    }
    return jj_lower(code, out);
}

static int convert_case(struct str s, size_t at, uint32_t code, enum jj_case how, bool is_start,
                        uint32_t out[3])
{
    switch (how) {
    case JJ_UPPER: return jj_upper(code, out);
    case JJ_LOWER: return lower_at(s, at, code, out);
    case JJ_SWAP: return jj_is_upper(code) ? lower_at(s, at, code, out) : jj_upper(code, out);
    default: return is_start ? jj_title(code, out) : lower_at(s, at, code, out);
    }
}

bool jj_str_case(struct jj *j, struct jj_value s, enum jj_case how, struct jj_value *out)
{
    struct jj_text t = {0};
    bool is_start = true;
    if (!jj_spend(j, s.s.n / 4))
        return false;
    for (size_t at = 0, n; at < s.s.n; at += n) {
        uint32_t to[3], code = jj_code_at(s.s, at);
        n = jj_char_bytes(s.s, at);
        int n_to = convert_case(s.s, at, code, how, is_start, to);
        is_start = how == JJ_TITLE && !jj_is_cased(code);
        if (n_to == 1 && to[0] == code) { /* also keeps broken bytes as they are */
            if (!jj_text_add_sub(j, &t, s, at, at + n))
                return false;
            continue;
        }
        for (int i = 0; i < n_to; i++)
            if (!jj_text_add_code(j, &t, to[i], jj_mark_at(s, at)))
                return false;
    }
    *out = jj_text_value(&t);
    return true;
}

bool jj_str_is_case(struct str s, bool upper)
{
    bool has_cased = false;
    for (size_t at = 0; at < s.n; at += jj_char_bytes(s, at)) {
        uint32_t code = jj_code_at(s, at);
        if (!jj_is_cased(code))
            continue;
        if (upper ? !jj_is_upper(code) : !jj_is_lower(code))
            return false;
        has_cased = true;
    }
    return has_cased;
}

/* ---- lines and padding ---- */

/* Bytes of the line end at `at`, as Python's splitlines sees them; 0 if there is none. */
static size_t line_end_at(struct str s, size_t at)
{
    unsigned char c = (unsigned char)s.p[at];
    if (c == '\r')
        return at + 1 < s.n && s.p[at + 1] == '\n' ? 2 : 1;
    if (c == '\n' || c == 0x0b || c == 0x0c || (c >= 0x1c && c <= 0x1e))
        return 1;
    if (c < 0x80)
        return 0;
    uint32_t code = jj_code_at(s, at);
    return code == 0x85 || code == 0x2028 || code == 0x2029 ? jj_char_bytes(s, at) : 0;
}

bool jj_str_lines(struct jj *j, struct jj_value s, bool keep_ends, struct jj_list **out)
{
    struct jj_list *l = *out = jj_list_new(j, 0);
    size_t start = 0;
    if (!l || !jj_spend(j, s.s.n / 8))
        return false;
    for (size_t at = 0; at < s.s.n;) {
        size_t end = line_end_at(s.s, at);
        if (!end) {
            at++;
            continue;
        }
        if (!jj_list_push(j, l, jj_sub(s, start, keep_ends ? at + end : at)))
            return false;
        start = at += end;
    }
    return start >= s.s.n || jj_list_push(j, l, jj_sub(s, start, s.s.n));
}

/* where: -1 text at the left, 0 in the middle, 1 at the right. */
bool jj_str_center(struct jj *j, struct jj_value s, int64_t width, struct jj_value fill, int where,
                   struct jj_value *out)
{
    struct jj_value with = jj_is(fill, JJ_MISSING) ? jj_str(S(" ")) : fill;
    struct jj_text t = {0};
    int64_t n = (int64_t)jj_char_count(s.s), pad = width > n ? width - n : 0;
    if (!jj_need_str(j, with, "the fill character", &with))
        return false;
    if (jj_char_count(with.s) != 1)
        return jj_fail(j, "the fill must be one character");
    int64_t left = where < 0 ? 0 : where > 0 ? pad : pad / 2 + (pad & width & 1);
    for (int64_t i = 0; i < left; i++)
        if (!jj_spend(j, 1) || !jj_text_add_str(j, &t, with))
            return false;
    if (!jj_text_add_str(j, &t, s))
        return false;
    for (int64_t i = left; i < pad; i++)
        if (!jj_spend(j, 1) || !jj_text_add_str(j, &t, with))
            return false;
    *out = jj_text_value(&t);
    return true;
}
