/* schema_format.c - The formats of strings: their names, and what each means.
 *
 * Dates and times follow RFC 3339, durations its appendix A (ISO 8601 without mixing weeks), mail
 * addresses RFC 5321 without quoted names, host names RFC 1123, URIs RFC 3986, UUIDs RFC 9562,
 * addresses RFC 2673 and RFC 4291. */
#include "grammar/schema_pattern.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* Exactly n digits at the front of *s, cut off. */
static bool take_digits(struct str *s, size_t n, int *out)
{
    if (s->n < n)
        return false;
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s->p[i]))
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *out = v;
    *s = str_sub(*s, n, s->n);
    return true;
}

static bool take_char(struct str *s, char c)
{
    if (!s->n || s->p[0] != c)
        return false;
    *s = str_sub(*s, 1, s->n);
    return true;
}

/* ---- dates and times ---- */

static bool take_date(struct str *s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y, m, d;
    if (!take_digits(s, 4, &y) || !take_char(s, '-') || !take_digits(s, 2, &m) || !take_char(s, '-') ||
        !take_digits(s, 2, &d) || m < 1 || m > 12)
        return false;
    bool is_leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    return d >= 1 && d <= days[m - 1] + (m == 2 && is_leap);
}

static bool take_offset(struct str *s, int *minutes)
{
    *minutes = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    int sign = s->n && s->p[0] == '-' ? -1 : 1, h, m;
    if (!take_char(s, '+') && !take_char(s, '-'))
        return false;
    if (!take_digits(s, 2, &h) || !take_char(s, ':') || !take_digits(s, 2, &m) || h > 23 || m > 59)
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

/* A leap second is one only at 23:59:60 UTC. */
static bool take_time(struct str *s)
{
    int h, m, sec, offset;
    if (!take_digits(s, 2, &h) || !take_char(s, ':') || !take_digits(s, 2, &m) || !take_char(s, ':') ||
        !take_digits(s, 2, &sec) || h > 23 || m > 59 || sec > 60)
        return false;
    if (take_char(s, '.')) {
        size_t n = 0;
        while (n < s->n && is_digit(s->p[n]))
            n++;
        if (!n)
            return false;
        *s = str_sub(*s, n, s->n);
    }
    if (!take_offset(s, &offset))
        return false;
    int utc = ((h * 60 + m - offset) % 1440 + 1440) % 1440;
    return sec < 60 || utc == 23 * 60 + 59;
}

static bool is_date(struct str s)
{
    return take_date(&s) && s.n == 0;
}

static bool is_time(struct str s)
{
    return take_time(&s) && s.n == 0;
}

static bool is_date_time(struct str s)
{
    return take_date(&s) && (take_char(&s, 'T') || take_char(&s, 't')) && take_time(&s) && s.n == 0;
}

/* Numbers before the given letters, in their order, each at most once and none left out between two
 * that are there: that is how the grammar of RFC 3339 nests them. */
static bool take_parts(struct str *s, const char *letters, int *n_parts)
{
    int last = -1;
    *n_parts = 0;
    while (s->n && is_digit(s->p[0])) {
        size_t n = 0;
        while (n < s->n && is_digit(s->p[n]))
            n++;
        const char *letter = n < s->n && s->p[n] ? strchr(letters, s->p[n]) : NULL;
        int place = letter ? (int)(letter - letters) : -1;
        if (place < 0 || (last >= 0 && place != last + 1))
            return false;
        last = place;
        ++*n_parts;
        *s = str_sub(*s, n + 1, s->n);
    }
    return true;
}

static bool is_duration(struct str s)
{
    int n_date = 0, n_time = 0;
    if (!take_char(&s, 'P'))
        return false;
    struct str weeks = s;
    if (take_parts(&weeks, "W", &n_date) && n_date == 1 && weeks.n == 0)
        return true;
    if (!take_parts(&s, "YMD", &n_date))
        return false;
    if (take_char(&s, 'T') && (!take_parts(&s, "HMS", &n_time) || !n_time))
        return false;
    return s.n == 0 && n_date + n_time > 0;
}

/* ---- hosts and addresses ---- */

static bool is_label(struct str s)
{
    if (s.n < 1 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    /* "--" at the third place is for names that are encoded, of which only xn-- exists. */
    if (s.n >= 4 && s.p[2] == '-' && s.p[3] == '-' &&
        !((s.p[0] | 32) == 'x' && (s.p[1] | 32) == 'n' && s.n > 4))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_letter(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool is_hostname(struct str s)
{
    struct str part;
    if (s.n < 1 || s.n > 253)
        return false;
    while (str_split(&s, '.', &part))
        if (!is_label(part))
            return false;
    return true;
}

static bool is_ipv4(struct str s)
{
    struct str part;
    int n = 0;
    while (str_split(&s, '.', &part)) {
        uint64_t v;
        if (part.n > 3 || !str_to_u64(part, &v) || v > 255 || (part.n > 1 && part.p[0] == '0') ||
            !is_digit(part.p[0]))
            return false;
        n++;
    }
    return n == 4;
}

/* Groups of up to four hex digits; the last may be an IPv4 address, which counts for two.  Returns
 * how many, or -1. */
static int count_groups(struct str s)
{
    struct str part;
    int n = 0;
    if (!s.n)
        return 0;
    while (str_split(&s, ':', &part)) {
        bool is_last = s.p == NULL;
        if (is_last && is_ipv4(part))
            return n + 2;
        if (part.n < 1 || part.n > 4)
            return -1;
        for (size_t i = 0; i < part.n; i++)
            if (!is_hex(part.p[i]))
                return -1;
        n++;
    }
    return n;
}

static bool is_ipv6(struct str s)
{
    size_t gap = str_find(s, S("::"), 0);
    if (gap == STR_NONE)
        return count_groups(s) == 8;
    struct str head = str_sub(s, 0, gap), tail = str_sub(s, gap + 2, s.n);
    if (str_find_char(head, '.', 0) != STR_NONE) /* an IPv4 address stands at the end only */
        return false;
    int a = count_groups(head), b = count_groups(tail);
    return a >= 0 && b >= 0 && a + b <= 7;
}

static bool is_atom(char c)
{
    return is_letter(c) || is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_mail_name(struct str s)
{
    if (s.n < 1 || s.n > 64)
        return false;
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') {
        for (size_t i = 1; i + 1 < s.n; i++) {
            if (s.p[i] == '\\' && i + 2 < s.n)
                i++;
            else if (s.p[i] == '"' || s.p[i] == '\\')
                return false;
            if (s.p[i] < ' ' || s.p[i] > '~')
                return false;
        }
        return true;
    }
    for (size_t i = 0; i < s.n; i++)
        if (!is_atom(s.p[i]) && (s.p[i] != '.' || i == 0 || i + 1 == s.n || s.p[i + 1] == '.'))
            return false;
    return true;
}

static bool is_email(struct str s)
{
    size_t at = STR_NONE;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '@')
            at = i;
    if (at == STR_NONE || !is_mail_name(str_sub(s, 0, at)))
        return false;
    struct str host = str_sub(s, at + 1, s.n);
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        struct str literal = str_sub(host, 1, host.n - 1);
        return str_starts(literal, S("IPv6:")) ? is_ipv6(str_sub(literal, 5, literal.n)) : is_ipv4(literal);
    }
    return is_hostname(host);
}

static bool is_uuid(struct str s)
{
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? s.p[i] != '-' : !is_hex(s.p[i]))
            return false;
    }
    return true;
}

/* ---- URIs ---- */

/* Every character is one of RFC 3986's or a whole escape, and of `more`. */
static bool is_uri_text(struct str s, const char *more)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if (!is_letter(c) && !is_digit(c) && !(c && strchr("-._~!$&'()*+,;=", c)) &&
                   !(c && strchr(more, c))) {
            return false;
        }
    }
    return true;
}

static bool is_authority(struct str s)
{
    size_t at = str_find_char(s, '@', 0);
    if (at != STR_NONE) {
        if (!is_uri_text(str_sub(s, 0, at), ":"))
            return false;
        s = str_sub(s, at + 1, s.n);
    }
    if (s.n && s.p[0] == '[') {
        size_t end = str_find_char(s, ']', 0);
        if (end == STR_NONE)
            return false;
        struct str address = str_sub(s, 1, end);
        bool is_future =
            address.n > 2 && (address.p[0] | 32) == 'v' && str_find_char(address, '.', 0) != STR_NONE;
        if (!is_ipv6(address) && !(is_future && is_uri_text(address, ":")))
            return false;
        s = str_sub(s, end + 1, s.n);
        if (s.n && s.p[0] != ':')
            return false;
    }
    size_t colon = str_find_char(s, ':', 0);
    struct str port = colon == STR_NONE ? S("") : str_sub(s, colon + 1, s.n);
    for (size_t i = 0; i < port.n; i++)
        if (!is_digit(port.p[i]))
            return false;
    return is_uri_text(str_sub(s, 0, colon == STR_NONE ? s.n : colon), "");
}

/* What follows the scheme and its colon. */
static bool is_uri_rest(struct str s)
{
    size_t hash = str_find_char(s, '#', 0);
    if (hash != STR_NONE && !is_uri_text(str_sub(s, hash + 1, s.n), ":@/?"))
        return false;
    s = str_sub(s, 0, hash == STR_NONE ? s.n : hash);
    size_t query = str_find_char(s, '?', 0);
    if (query != STR_NONE && !is_uri_text(str_sub(s, query + 1, s.n), ":@/?"))
        return false;
    s = str_sub(s, 0, query == STR_NONE ? s.n : query);
    if (str_starts(s, S("//"))) {
        size_t slash = str_find_char(s, '/', 2);
        if (slash == STR_NONE)
            slash = s.n;
        if (!is_authority(str_sub(s, 2, slash)))
            return false;
        s = str_sub(s, slash, s.n);
    }
    return is_uri_text(s, ":@/");
}

/* The length of "scheme:", or 0. */
static size_t scheme_length(struct str s)
{
    if (!s.n || !is_letter(s.p[0]))
        return 0;
    size_t i = 1;
    while (i < s.n && (is_letter(s.p[i]) || is_digit(s.p[i]) || strchr("+-.", s.p[i])))
        i++;
    return i < s.n && s.p[i] == ':' ? i + 1 : 0;
}

static bool is_uri(struct str s)
{
    size_t n = scheme_length(s);
    return n && is_uri_rest(str_sub(s, n, s.n));
}

static bool is_uri_reference(struct str s)
{
    if (scheme_length(s))
        return is_uri(s);
    /* Without a scheme the first segment has no colon, or it would be taken for one. */
    size_t colon = str_find_char(s, ':', 0);
    for (size_t i = 0; colon != STR_NONE && i < colon; i++)
        if (strchr("/?#", s.p[i]))
            colon = STR_NONE;
    return colon == STR_NONE && is_uri_rest(s);
}

/* ---- pointers, patterns ---- */

static bool is_json_pointer(struct str s)
{
    if (s.n && s.p[0] != '/')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '~' && (i + 1 >= s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
            return false;
    return true;
}

static bool is_relative_json_pointer(struct str s)
{
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n]))
        n++;
    if (!n || (n > 1 && s.p[0] == '0'))
        return false;
    struct str rest = str_sub(s, n, s.n);
    return str_eq(rest, S("#")) || is_json_pointer(rest);
}

static bool is_regex(struct str s)
{
    char why[200];
    pcre2_code *re = NULL;
    schema_pattern_compile(&re, s, why, sizeof why);
    pcre2_code_free(re);
    return re != NULL;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    enum schema_format format;
    bool (*check)(struct str text);
} formats[] = {
    {"date", SCHEMA_FORMAT_DATE, is_date},
    {"time", SCHEMA_FORMAT_TIME, is_time},
    {"date-time", SCHEMA_FORMAT_DATE_TIME, is_date_time},
    {"duration", SCHEMA_FORMAT_DURATION, is_duration},
    {"email", SCHEMA_FORMAT_EMAIL, is_email},
    {"uuid", SCHEMA_FORMAT_UUID, is_uuid},
    {"uri", SCHEMA_FORMAT_URI, is_uri},
    {"url", SCHEMA_FORMAT_URI, is_uri},
    {"uri-reference", SCHEMA_FORMAT_URI_REFERENCE, is_uri_reference},
    {"hostname", SCHEMA_FORMAT_HOSTNAME, is_hostname},
    {"ipv4", SCHEMA_FORMAT_IPV4, is_ipv4},
    {"ipv6", SCHEMA_FORMAT_IPV6, is_ipv6},
    {"regex", SCHEMA_FORMAT_REGEX, is_regex},
    {"json-pointer", SCHEMA_FORMAT_JSON_POINTER, is_json_pointer},
    {"relative-json-pointer", SCHEMA_FORMAT_RELATIVE_JSON_POINTER, is_relative_json_pointer},
    {"int32", SCHEMA_FORMAT_INT32, NULL}, /* of numbers: schema_check.c */
    {"int64", SCHEMA_FORMAT_INT64, NULL},
    /* Of OpenAPI: every number is one. */
    {"float", SCHEMA_FORMAT_NONE, NULL},
    {"double", SCHEMA_FORMAT_NONE, NULL},
};

enum schema_format schema_format_find(struct str name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (str_eq(name, str_c(formats[i].name)))
            return formats[i].format;
    return SCHEMA_FORMAT_UNKNOWN;
}

bool schema_format_check(enum schema_format f, struct str text)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].format == f && formats[i].check)
            return formats[i].check(text);
    return true;
}
