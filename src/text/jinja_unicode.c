/* jinja_unicode.c - See jinja_unicode.h; the tables are in jinja_unicode_data.c. */
#include "text/jinja_unicode.h"

#include "text/jinja_unicode_data.h"

uint32_t jj_code_at(struct str s, size_t at)
{
    size_t n = jj_char_bytes(s, at);
    const unsigned char *p = (const unsigned char *)s.p + at;
    if (p[0] < 0x80)
        return n == 1 ? p[0] : 0xfffd;
    if (n == 2 && p[0] >= 0xc2 && p[0] < 0xe0)
        return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    if (n == 3 && p[0] >= 0xe0 && p[0] < 0xf0)
        return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    if (n == 4 && p[0] >= 0xf0 && p[0] < 0xf5)
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 |
               (p[3] & 0x3f);
    return 0xfffd;
}

size_t jj_utf8_write(char *out, uint32_t code)
{
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        code = 0xfffd;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

size_t jj_space_at(struct str s, size_t at)
{
    unsigned char c = (unsigned char)s.p[at];
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    uint32_t code = jj_code_at(s, at);
    bool is_space = code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
                    code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
    return is_space ? jj_char_bytes(s, at) : 0;
}

static bool in_ranges(uint32_t code, const struct jj_range *v, uint32_t n)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (code > v[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && code >= v[low].first;
}

static int convert(uint32_t code, const struct jj_case_run *runs, uint32_t n_runs,
                   const struct jj_case_long *longs, uint32_t n_longs, uint32_t out[3])
{
    uint32_t low = 0, high = n_runs;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (code > runs[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    out[0] = code;
    if (low < n_runs && code >= runs[low].first && (code - runs[low].first) % runs[low].step == 0) {
        out[0] = (uint32_t)((int32_t)code + runs[low].delta);
        return 1;
    }
    for (uint32_t i = 0; code >= 0x80 && i < n_longs; i++) {
        if (longs[i].code != code)
            continue;
        int n = 0;
        while (n < 3 && longs[i].to[n]) {
            out[n] = longs[i].to[n];
            n++;
        }
        return n;
    }
    return 1;
}

int jj_upper(uint32_t code, uint32_t out[3])
{
    return convert(code, jj_upper_runs, jj_upper_runs_n, jj_upper_long, jj_upper_long_n, out);
}

int jj_lower(uint32_t code, uint32_t out[3])
{
    return convert(code, jj_lower_runs, jj_lower_runs_n, jj_lower_long, jj_lower_long_n, out);
}

int jj_title(uint32_t code, uint32_t out[3])
{
    return convert(code, jj_title_runs, jj_title_runs_n, jj_title_long, jj_title_long_n, out);
}

bool jj_is_upper(uint32_t code)
{
    return in_ranges(code, jj_is_upper_ranges, jj_is_upper_n);
}

bool jj_is_lower(uint32_t code)
{
    return in_ranges(code, jj_is_lower_ranges, jj_is_lower_n);
}

bool jj_is_cased(uint32_t code)
{
    return jj_is_upper(code) || jj_is_lower(code) ||
           in_ranges(code, jj_is_titlecase_ranges, jj_is_titlecase_n);
}

bool jj_is_alpha(uint32_t code)
{
    return in_ranges(code, jj_is_alpha_ranges, jj_is_alpha_n);
}

bool jj_is_alnum(uint32_t code)
{
    return jj_is_alpha(code) || in_ranges(code, jj_is_number_ranges, jj_is_number_n);
}

bool jj_is_digit(uint32_t code)
{
    return in_ranges(code, jj_is_digit_ranges, jj_is_digit_n);
}

bool jj_is_printable(uint32_t code)
{
    return !in_ranges(code, jj_is_unprintable_ranges, jj_is_unprintable_n);
}
