/* http_head.c - Read the head of a request or a response.  See http.h.
 *
 * First the end of the head is looked for, remembering how far (so that a head that comes byte
 * by byte costs no more than one that comes at once); then the whole is read in one pass.
 *
 * References: RFC 9110 (fields), RFC 9112 (framing).  Start reading at http_request_parse(). */
#include "net/http.h"

#include <assert.h>

#include "net/http_int.h"

/* What a byte may be part of. */
enum { TOKEN = 1, VALUE = 2, TARGET = 4, HOST_BYTE = 8, DIGIT = 16, HEX = 32 };

static const uint8_t kind[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    ['"'] = VALUE | TARGET,
    ['#'] = TOKEN | VALUE,
    ['$' ... '\''] = TOKEN | VALUE | TARGET | HOST_BYTE,
    ['(' ... ')'] = VALUE | TARGET | HOST_BYTE,
    ['*' ... '+'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    [','] = VALUE | TARGET | HOST_BYTE,
    ['-' ... '.'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = TOKEN | VALUE | TARGET | HOST_BYTE | DIGIT | HEX,
    [':' ... ';'] = VALUE | TARGET | HOST_BYTE,
    ['<'] = VALUE | TARGET,
    ['='] = VALUE | TARGET | HOST_BYTE,
    ['>' ... '@'] = VALUE | TARGET,
    ['A' ... 'F'] = TOKEN | VALUE | TARGET | HOST_BYTE | HEX,
    ['G' ... 'Z'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    ['['] = VALUE | TARGET | HOST_BYTE,
    ['\\'] = VALUE | TARGET,
    [']'] = VALUE | TARGET | HOST_BYTE,
    ['^'] = TOKEN | VALUE | TARGET,
    ['_'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    ['`'] = TOKEN | VALUE | TARGET,
    ['a' ... 'f'] = TOKEN | VALUE | TARGET | HOST_BYTE | HEX,
    ['g' ... 'z'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    ['{'] = VALUE | TARGET,
    ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = TOKEN | VALUE | TARGET | HOST_BYTE,
    [0x80 ... 0xff] = VALUE, /* obs-text: names of files, people */
};

static bool is_kind(char c, int k)
{
    return (kind[(uint8_t)c] & k) != 0;
}

bool http_is_token_byte(char c)
{
    return is_kind(c, TOKEN);
}

static bool all_of(struct str s, int k)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_kind(s.p[i], k))
            return false;
    return true;
}

static int refuse(struct http_parser *p, int code, const char *problem)
{
    p->problem = problem;
    return code;
}

/* Offset behind the blank line that ends the head, or 0 while it has not come.  `from` is where
 * the head begins.  A line feed that ends a blank line is preceded by "\n" or "\r\n"; whether
 * every line ends properly is checked when the head is read. */
static size_t find_end(struct http_parser *p, struct str in, size_t from)
{
    size_t at = p->scanned > from ? p->scanned : from;
    while (at < in.n) {
        const char *lf = memchr(in.p + at, '\n', in.n - at);
        if (!lf)
            break;
        at = (size_t)(lf - in.p) + 1;
        size_t line = at - 1; /* end of this line without its LF */
        if (line > from && in.p[line - 1] == '\r')
            line--;
        if (line > from && in.p[line - 1] == '\n') {
            p->scanned = at;
            return at;
        }
    }
    p->scanned = in.n;
    return 0;
}

/* The next line of a complete head, without CRLF.  False if it does not end in exactly that. */
static bool take_line(struct str *rest, struct str *line)
{
    const char *lf = memchr(rest->p, '\n', rest->n);
    if (!lf || lf == rest->p || lf[-1] != '\r')
        return false;
    *line = str_of(rest->p, (size_t)(lf - rest->p) - 1);
    *rest = str_sub(*rest, line->n + 2, rest->n);
    return true;
}

bool http_list_has(struct str list, struct str token)
{
    struct str part;
    while (str_split(&list, ',', &part))
        if (str_eq_nocase(str_trim(part), token))
            return true;
    return false;
}

/* ------------------------------------------------------------------- fields */

/* What the fields have said about the framing so far. */
struct framing_facts {
    bool has_length, is_chunked, wants_close, wants_keep_alive;
    uint64_t length;
    int n_hosts;
};

static int note_length(struct http_parser *p, struct str value, struct framing_facts *facts)
{
    if (facts->has_length)
        return refuse(p, HTTP_BAD, "there is more than one Content-Length");
    if (value.n == 0 || value.n > 18 || !all_of(value, DIGIT))
        return refuse(p, HTTP_BAD, "Content-Length is not a number of at most 18 digits");
    facts->has_length = true;
    str_to_u64(value, &facts->length);
    return 0;
}

static int note_coding(struct http_parser *p, struct str value, const struct http_head *head,
                       struct framing_facts *facts)
{
    if (facts->is_chunked)
        return refuse(p, HTTP_BAD, "there is more than one Transfer-Encoding");
    if (!str_eq_nocase(value, S("chunked")))
        return refuse(p, HTTP_BAD_CODING, "a Transfer-Encoding other than chunked is not possible");
    if (head->minor == 0)
        return refuse(p, HTTP_BAD, "Transfer-Encoding in an HTTP/1.0 message");
    facts->is_chunked = true;
    return 0;
}

static int note_host(struct http_parser *p, struct str value, struct http_head *head,
                     struct framing_facts *facts)
{
    if (facts->n_hosts++)
        return refuse(p, HTTP_BAD, "there is more than one Host");
    if (!all_of(value, HOST_BYTE))
        return refuse(p, HTTP_BAD, "Host has bytes that no host name has");
    head->host = value;
    return 0;
}

/* Remembers what matters for the framing; all other fields pass. */
static int note_field(struct http_parser *p, struct http_head *head, struct http_field f,
                      struct framing_facts *facts)
{
    switch (f.name.n) {
    case 4:
        if (!head->is_response && str_eq_nocase(f.name, S("host")))
            return note_host(p, f.value, head, facts);
        break;
    case 6:
        if (!head->is_response && head->minor >= 1 && str_eq_nocase(f.name, S("expect")))
            head->expects_continue = str_eq_nocase(f.value, S("100-continue"));
        break;
    case 10:
        if (str_eq_nocase(f.name, S("connection"))) {
            facts->wants_close |= http_list_has(f.value, S("close"));
            facts->wants_keep_alive |= http_list_has(f.value, S("keep-alive"));
            head->has_upgrade |= http_list_has(f.value, S("upgrade"));
        }
        break;
    case 14:
        if (str_eq_nocase(f.name, S("content-length")))
            return note_length(p, f.value, facts);
        break;
    case 17:
        if (str_eq_nocase(f.name, S("transfer-encoding")))
            return note_coding(p, f.value, head, facts);
        break;
    default: break;
    }
    return 0;
}

static int read_field(struct http_parser *p, struct str line, struct http_field *f)
{
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse(p, HTTP_BAD, "a header field is folded over two lines");
    size_t n = 0;
    while (n < line.n && is_kind(line.p[n], TOKEN))
        n++;
    if (n == line.n || line.p[n] != ':')
        return refuse(p, HTTP_BAD, "a header field's name has a byte that is not allowed");
    if (n == 0)
        return refuse(p, HTTP_BAD, "a header field has no name");
    f->name = str_sub(line, 0, n);
    f->value = str_sub(line, n + 1, line.n);
    if (!all_of(f->value, VALUE))
        return refuse(p, HTTP_BAD, "a header field's value has a control byte");
    while (f->value.n && (f->value.p[0] == ' ' || f->value.p[0] == '\t'))
        f->value = str_sub(f->value, 1, f->value.n);
    while (f->value.n && (f->value.p[f->value.n - 1] == ' ' || f->value.p[f->value.n - 1] == '\t'))
        f->value.n--;
    return 0;
}

static int read_fields(struct http_parser *p, struct str rest, struct http_head *head,
                       struct framing_facts *facts)
{
    for (;;) {
        struct str line;
        if (!take_line(&rest, &line))
            return refuse(p, HTTP_BAD, "a line of the head does not end in CR LF");
        if (line.n == 0)
            break;
        if (head->n_fields == HTTP_FIELDS_MAX)
            return refuse(p, HTTP_TOO_LARGE, "there are more than 100 header fields");
        struct http_field *f = &head->fields[head->n_fields];
        int rc = read_field(p, line, f);
        if (rc == 0)
            rc = note_field(p, head, *f, facts);
        if (rc < 0)
            return rc;
        head->n_fields++;
    }
    if (rest.n) /* an LF alone ended some line early */
        return refuse(p, HTTP_BAD, "a line of the head does not end in CR LF");
    if (facts->has_length && facts->is_chunked)
        return refuse(p, HTTP_BAD, "there are Content-Length and Transfer-Encoding");
    head->keep_alive =
        head->minor >= 1 ? !facts->wants_close : facts->wants_keep_alive && !facts->wants_close;
    return 0;
}

/* ------------------------------------------------------------------ request */

static enum http_method method_of(struct str name)
{
    static const struct {
        struct str name;
        enum http_method method;
    } known[] = {
        {{"GET", 3}, HTTP_GET},         {{"POST", 4}, HTTP_POST},       {{"HEAD", 4}, HTTP_HEAD},
        {{"PUT", 3}, HTTP_PUT},         {{"DELETE", 6}, HTTP_DELETE},   {{"PATCH", 5}, HTTP_PATCH},
        {{"OPTIONS", 7}, HTTP_OPTIONS}, {{"CONNECT", 7}, HTTP_CONNECT},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_eq(name, known[i].name)) /* methods are case-sensitive */
            return known[i].method;
    return HTTP_OTHER;
}

static int read_version(struct http_parser *p, struct str text, struct http_head *head)
{
    if (text.n != 8 || !str_starts(text, S("HTTP/")) || !is_kind(text.p[5], DIGIT) || text.p[6] != '.' ||
        !is_kind(text.p[7], DIGIT))
        return refuse(p, HTTP_BAD, "the first line has no HTTP version");
    if (text.p[5] != '1' || text.p[7] > '1')
        return refuse(p, HTTP_BAD_VERSION, "only HTTP/1.1 and HTTP/1.0 are possible");
    head->minor = (uint8_t)(text.p[7] - '0');
    return 0;
}

/* Splits the target into path, query and (in absolute form) authority. */
static int read_target(struct http_parser *p, struct http_head *head, struct str *authority)
{
    struct str t = head->target;
    *authority = str_of(NULL, 0);
    if (head->method == HTTP_CONNECT) {
        if (!all_of(t, HOST_BYTE))
            return refuse(p, HTTP_BAD, "CONNECT needs host:port");
        head->path = t;
        return 0;
    }
    if (str_eq(t, S("*"))) {
        if (head->method != HTTP_OPTIONS)
            return refuse(p, HTTP_BAD, "the target * is for OPTIONS");
        head->path = t;
        return 0;
    }
    if (t.p[0] != '/') {
        size_t scheme = str_eq_nocase(str_sub(t, 0, 7), S("http://"))    ? 7
                        : str_eq_nocase(str_sub(t, 0, 8), S("https://")) ? 8
                                                                         : 0;
        if (!scheme)
            return refuse(p, HTTP_BAD, "the target is neither a path nor an http URL");
        size_t end = scheme;
        while (end < t.n && t.p[end] != '/' && t.p[end] != '?')
            end++;
        *authority = str_sub(t, scheme, end);
        if (authority->n == 0 || !all_of(*authority, HOST_BYTE))
            return refuse(p, HTTP_BAD, "the target's host has bytes that no host name has");
        t = str_sub(t, end, t.n);
    }
    size_t mark = str_find_char(t, '?', 0);
    head->path = mark == STR_NONE ? t : str_sub(t, 0, mark);
    head->query = mark == STR_NONE ? str_of(NULL, 0) : str_sub(t, mark + 1, t.n);
    if (head->path.n == 0)
        head->path = S("/");
    return 0;
}

static int read_request_line(struct http_parser *p, struct str line, struct http_head *head)
{
    size_t method_n = 0;
    while (method_n < line.n && is_kind(line.p[method_n], TOKEN))
        method_n++;
    if (method_n == 0 || method_n > HTTP_METHOD_BYTES_MAX || method_n == line.n || line.p[method_n] != ' ')
        return refuse(p, HTTP_BAD, "the first line does not begin with a method");
    head->method_name = str_sub(line, 0, method_n);
    head->method = method_of(head->method_name);
    size_t from = method_n + 1, to = from;
    while (to < line.n && is_kind(line.p[to], TARGET))
        to++;
    if (to == from || to == line.n || line.p[to] != ' ')
        return refuse(p, HTTP_BAD, "the target has a byte that is not allowed, or is missing");
    head->target = str_sub(line, from, to);
    return read_version(p, str_sub(line, to + 1, line.n), head);
}

/* Finds the complete head in `in`.  Returns as http_request_parse; *head_bytes begins behind
 * blank lines that may stand before a request (RFC 9112 section 2.2). */
static int find_head(struct http_parser *p, struct str in, struct str *head_bytes)
{
    assert(p->head_max <= HTTP_HEAD_BYTES_MAX);
    size_t from = 0;
    while (from + 1 < in.n && in.p[from] == '\r' && in.p[from + 1] == '\n')
        from += 2;
    size_t end = find_end(p, in, from);
    if (end > p->head_max || (end == 0 && in.n >= p->head_max))
        return refuse(p, HTTP_TOO_LARGE, "the head is too large");
    if (end)
        *head_bytes = str_sub(in, from, end);
    return (int)end;
}

int http_request_parse(struct http_parser *p, struct str in, struct http_head *head)
{
    struct str rest;
    int end = find_head(p, in, &rest);
    if (end <= 0)
        return end;
    struct framing_facts facts = {0};
    struct str line, authority = {0};
    /* The fields themselves are written one by one: clearing all would cost more than reading. */
    memset(head, 0, offsetof(struct http_head, fields));
    if (!take_line(&rest, &line))
        return refuse(p, HTTP_BAD, "a line of the head does not end in CR LF");
    int rc = read_request_line(p, line, head);
    if (rc == 0)
        rc = read_target(p, head, &authority);
    if (rc == 0)
        rc = read_fields(p, rest, head, &facts);
    if (rc < 0)
        return rc;
    if (head->minor >= 1 && facts.n_hosts == 0)
        return refuse(p, HTTP_BAD, "an HTTP/1.1 request without Host");
    if (authority.p) /* RFC 9112 section 3.2.2: it goes before Host */
        head->host = authority;
    if (facts.is_chunked) {
        head->framing = HTTP_CHUNKED;
    } else if (facts.length > 0) {
        head->framing = HTTP_LENGTH;
        head->content_length = facts.length;
    }
    return end;
}

/* ----------------------------------------------------------------- response */

static int read_status_line(struct http_parser *p, struct str line, struct http_head *head)
{
    int rc = read_version(p, str_sub(line, 0, 8), head);
    if (rc < 0)
        return rc;
    if (line.n < 12 || line.p[8] != ' ' || !all_of(str_sub(line, 9, 12), DIGIT) || line.p[9] == '0' ||
        (line.n > 12 && line.p[12] != ' '))
        return refuse(p, HTTP_BAD, "the first line has no status of three digits");
    head->status = (line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 + (line.p[11] - '0');
    head->reason = str_sub(line, 13, line.n);
    if (!all_of(head->reason, VALUE))
        return refuse(p, HTTP_BAD, "the reason has a control byte");
    return 0;
}

int http_response_parse(struct http_parser *p, struct str in, bool to_head, struct http_head *head)
{
    struct str rest;
    int end = find_head(p, in, &rest);
    if (end <= 0)
        return end;
    struct framing_facts facts = {0};
    struct str line;
    memset(head, 0, offsetof(struct http_head, fields));
    head->is_response = true;
    if (!take_line(&rest, &line))
        return refuse(p, HTTP_BAD, "a line of the head does not end in CR LF");
    int rc = read_status_line(p, line, head);
    if (rc == 0)
        rc = read_fields(p, rest, head, &facts);
    if (rc < 0)
        return rc;
    head->content_length = facts.length;
    /* RFC 9112 section 6.3, in its order. */
    if (to_head || head->status < 200 || head->status == 204 || head->status == 304) {
        head->framing = HTTP_NO_BODY;
    } else if (facts.is_chunked) {
        head->framing = HTTP_CHUNKED;
    } else if (facts.has_length) {
        head->framing = facts.length ? HTTP_LENGTH : HTTP_NO_BODY;
    } else {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return end;
}

/* ------------------------------------------------------------------ looking */

const struct http_field *http_find(const struct http_head *head, struct str name)
{
    for (int i = 0; i < head->n_fields; i++)
        if (str_eq_nocase(head->fields[i].name, name))
            return &head->fields[i];
    return NULL;
}

struct str http_value(const struct http_head *head, struct str name)
{
    const struct http_field *f = http_find(head, name);
    return f ? f->value : S("");
}

bool http_query_find(struct str query, struct str name, struct str *value)
{
    struct str pair;
    while (str_split(&query, '&', &pair)) {
        struct str rest = pair, key;
        str_split(&rest, '=', &key);
        if (pair.n && str_eq(key, name)) {
            *value = rest.p ? rest : S("");
            return true;
        }
    }
    return false;
}

ptrdiff_t http_percent_decode(struct str in, bool plus_is_space, char *out, size_t out_cap)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int hi = in.n - i > 2 ? hex_digit(in.p[i + 1]) : -1;
            int lo = in.n - i > 2 ? hex_digit(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return -1;
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (n == out_cap)
            return -1;
        out[n++] = c;
    }
    return (ptrdiff_t)n;
}
