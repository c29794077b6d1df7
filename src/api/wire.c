/* wire.c - Small wire facts that dialects share: headers, durations, dates, base64, wrapped
 * signatures. */
#include <stdio.h>
#include <time.h>

#include "api/write_int.h"

struct str header_get(const struct chat_header *headers, size_t n_headers, const char *name)
{
    for (size_t i = 0; i < n_headers; i++)
        if (str_eq_nocase(headers[i].name, str_c(name)))
            return headers[i].value;
    return (struct str){0};
}

/* Two digits at p, or -1. */
static int two(const char *p)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return -1;
    return (p[0] - '0') * 10 + (p[1] - '0');
}

static int64_t civil_ms(int year, int month, int day, int hour, int minute, int second)
{
    if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    /* Days since 1970-01-01 of the proleptic Gregorian calendar, years beginning in March. */
    int64_t y = month > 2 ? year : year - 1;
    int64_t mp = (month + 9) % 12;
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * mp + 2) / 5 + day - 1 - 719468;
    return ((days * 24 + hour) * 60 + minute) * 60000 + (int64_t)second * 1000;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (the one form that RFC 9110 lets servers send). */
static int64_t http_date_ms(struct str s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (s.n != 29 || memcmp(s.p + 25, " GMT", 4) != 0 || s.p[3] != ',')
        return -1;
    int month = 0;
    for (int i = 0; i < 12; i++)
        if (memcmp(s.p + 8, months + 3 * i, 3) == 0)
            month = i + 1;
    int century = two(s.p + 12), year = two(s.p + 14);
    if (century < 0 || year < 0)
        return -1;
    return civil_ms(century * 100 + year, month, two(s.p + 5), two(s.p + 17), two(s.p + 20), two(s.p + 23));
}

int64_t rfc3339_ms(struct str s)
{
    if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || (s.p[10] != 'T' && s.p[10] != 't') || s.p[13] != ':' ||
        s.p[16] != ':')
        return -1;
    int century = two(s.p), year = two(s.p + 2);
    if (century < 0 || year < 0)
        return -1;
    int64_t ms = civil_ms(century * 100 + year, two(s.p + 5), two(s.p + 8), two(s.p + 11), two(s.p + 14),
                          two(s.p + 17));
    if (ms < 0)
        return -1;
    size_t i = 19;
    if (s.p[i] == '.') {
        int64_t unit = 100;
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, unit /= 10)
            ms += (s.p[i] - '0') * unit;
    }
    if (i + 1 == s.n && (s.p[i] == 'Z' || s.p[i] == 'z'))
        return ms;
    if (i + 6 != s.n || (s.p[i] != '+' && s.p[i] != '-') || s.p[i + 3] != ':')
        return -1;
    int hours = two(s.p + i + 1), minutes = two(s.p + i + 4);
    if (hours < 0 || minutes < 0)
        return -1;
    int64_t offset = (hours * 60 + minutes) * (int64_t)60000;
    return s.p[i] == '+' ? ms - offset : ms + offset;
}

void rfc3339_write(int64_t unix_ms, struct buf *out)
{
    time_t t = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        return;
    buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
               tm.tm_hour, tm.tm_min, tm.tm_sec);
}

int64_t duration_ms(struct str s)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"us", 1e-3}, {"ns", 1e-6}, {"h", 3600e3}, {"m", 60e3}, {"s", 1e3}};
    double total = 0;
    size_t i = 0;
    if (s.n == 0)
        return -1;
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'))
            i++;
        double v, ms = -1;
        if (!str_to_f64(str_sub(s, from, i), &v))
            return -1;
        for (size_t u = 0; u < sizeof(units) / sizeof(units[0]) && ms < 0; u++)
            if (str_starts(str_sub(s, i, s.n), str_c(units[u].unit))) {
                ms = units[u].ms;
                i += strlen(units[u].unit);
            }
        if (ms < 0)
            return -1;
        total += v * ms;
    }
    return total < 1e15 ? (int64_t)(total + 0.5) : -1;
}

int64_t header_retry_after_ms(const struct chat_header *headers, size_t n_headers, int64_t now_ms)
{
    double v;
    struct str ms = str_trim(header_get(headers, n_headers, "retry-after-ms"));
    if (ms.n && str_to_f64(ms, &v) && v >= 0 && v < 1e12)
        return (int64_t)(v + 0.5);
    struct str s = str_trim(header_get(headers, n_headers, "retry-after"));
    if (!s.n)
        return -1;
    if (str_to_f64(s, &v))
        return v >= 0 && v < 1e9 ? (int64_t)(v * 1000 + 0.5) : -1;
    int64_t at = http_date_ms(s);
    if (at < 0)
        return duration_ms(s); /* some proxies send "20s" */
    return at > now_ms ? at - now_ms : 0;
}

void rate_limits_init(struct rate_limits *l)
{
    *l = (struct rate_limits){-1, -1, -1, -1, -1, -1, -1};
}

static void header_line(struct buf *out, const char *name, int64_t v)
{
    if (v < 0)
        return;
    buf_puts(out, name);
    buf_add(out, ": ", 2);
    buf_i64(out, v);
    buf_add(out, "\r\n", 2);
}

/* As Go writes durations: 12ms, 1.5s, 6m0s. */
static void duration_line(struct buf *out, const char *name, int64_t ms)
{
    if (ms < 0)
        return;
    buf_puts(out, name);
    buf_add(out, ": ", 2);
    if (ms < 1000) {
        buf_i64(out, ms);
        buf_puts(out, "ms");
    } else if (ms < 60000) {
        char part[5] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
                        0};
        size_t n = 4;
        while (n > 1 && part[n - 1] == '0')
            n--;
        buf_i64(out, ms / 1000);
        buf_add(out, part, n > 1 ? n : 0);
        buf_putc(out, 's');
    } else {
        buf_i64(out, ms / 60000);
        buf_putc(out, 'm');
        buf_i64(out, ms % 60000 / 1000);
        buf_putc(out, 's');
    }
    buf_add(out, "\r\n", 2);
}

void limits_write_openai(const struct rate_limits *l, int64_t now_ms, struct buf *out)
{
    (void)now_ms;
    header_line(out, "x-ratelimit-limit-requests", l->limit_requests);
    header_line(out, "x-ratelimit-remaining-requests", l->remaining_requests);
    duration_line(out, "x-ratelimit-reset-requests", l->reset_requests_ms);
    header_line(out, "x-ratelimit-limit-tokens", l->limit_tokens);
    header_line(out, "x-ratelimit-remaining-tokens", l->remaining_tokens);
    duration_line(out, "x-ratelimit-reset-tokens", l->reset_tokens_ms);
    if (l->retry_after_ms >= 0) {
        /* Seconds are rounded up: a client that waits them must not come too early. */
        header_line(out, "retry-after", (l->retry_after_ms + 999) / 1000);
        header_line(out, "retry-after-ms", l->retry_after_ms);
    }
}

/* ---- signatures in foreign dialects ---- */

static const struct {
    const char *prefix;
    enum dialect_id from;
    bool is_redacted;
} wraps[] = {
    {"sluice.anthropic.", DIALECT_ANTHROPIC, false}, {"sluice.anthropic-redacted.", DIALECT_ANTHROPIC, true},
    {"sluice.gemini.", DIALECT_GEMINI, false},       {"sluice.gemini-redacted.", DIALECT_GEMINI, true},
    {"sluice.openai.", DIALECT_OPENAI_CHAT, false},  {"sluice.openai-redacted.", DIALECT_OPENAI_CHAT, true},
};
#define N_WRAPS (sizeof(wraps) / sizeof(wraps[0]))

void signature_wrap(struct buf *out, struct str signature, enum dialect_id from, bool is_redacted,
                    enum dialect_id shown_in)
{
    for (size_t i = 0; i < N_WRAPS && from != shown_in; i++)
        if (wraps[i].from == from && wraps[i].is_redacted == is_redacted)
            buf_puts(out, wraps[i].prefix);
    buf_str_add(out, signature);
}

struct str signature_unwrap(struct str text, enum dialect_id shown_in, enum dialect_id *from,
                            bool *is_redacted)
{
    *from = shown_in;
    for (size_t i = 0; i < N_WRAPS; i++)
        if (str_starts(text, str_c(wraps[i].prefix))) {
            *from = wraps[i].from;
            *is_redacted = wraps[i].is_redacted;
            return str_sub(text, strlen(wraps[i].prefix), text.n);
        }
    return text;
}

struct str call_id_make(struct arena *a, const char *prefix, struct str answer_id,
                        const struct chat_request *req, int choice, int tool)
{
    /* Without an answer's id the request's text stands for it: it grows with every turn. */
    struct str seed = answer_id.n ? answer_id : req ? req->body : S("");
    return arena_printf(a, "%s%016llx%d", prefix,
                        (unsigned long long)str_hash_seeded(seed, (uint64_t)choice + 1), tool);
}

/* ---- base64 ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = (uint32_t)(uint8_t)s.p[i] << 16;
        if (i + 1 < s.n)
            v |= (uint32_t)(uint8_t)s.p[i + 1] << 8;
        if (i + 2 < s.n)
            v |= (uint8_t)s.p[i + 2];
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], i + 1 < s.n ? alphabet[v >> 6 & 63] : '=',
                        i + 2 < s.n ? alphabet[v & 63] : '='};
        buf_add(out, four, 4);
    }
}

static int digit64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

struct str base64_read(struct str s, struct arena *a)
{
    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    char *out = arena_alloc(a, s.n / 4 * 3 + 4);
    if (!out || s.n % 4 == 1)
        return (struct str){0};
    uint32_t v = 0;
    size_t n = 0;
    int bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        int d = digit64(s.p[i]);
        if (d < 0)
            return (struct str){0};
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(v >> bits & 0xff);
        }
    }
    return str_of(out, n);
}

/* ---- errors ---- */

enum chat_error_kind error_kind_by_status(int status)
{
    switch (status) {
    case 401: return CHAT_ERR_AUTH;
    case 402: return CHAT_ERR_BILLING;
    case 403: return CHAT_ERR_PERMISSION;
    case 404:
    case 405:
    case 410: return CHAT_ERR_NOT_FOUND;
    case 408:
    case 504:
    case 524: return CHAT_ERR_TIMEOUT;
    case 409: return CHAT_ERR_CONFLICT;
    case 413: return CHAT_ERR_TOO_LARGE;
    case 429: return CHAT_ERR_RATE_LIMIT;
    case 502: return CHAT_ERR_BAD_ANSWER;
    case 503: return CHAT_ERR_UNAVAILABLE;
    case 529: return CHAT_ERR_OVERLOADED;
    default: break;
    }
    if (status >= 400 && status < 500)
        return CHAT_ERR_INVALID;
    return status >= 500 ? CHAT_ERR_SERVER : CHAT_ERR_BAD_ANSWER;
}

static bool contains_nocase(struct str s, const char *word)
{
    struct str w = str_c(word);
    for (size_t i = 0; i + w.n <= s.n; i++)
        if (str_eq_nocase(str_sub(s, i, i + w.n), w))
            return true;
    return false;
}

enum chat_error_kind error_kind_by_words(struct str message)
{
    static const char *const billing[] = {
        "credit balance",      "spend limit",        "spending limit",
        "insufficient_quota",  "insufficient quota", "insufficient balance",
        "insufficient credit", "billing hard limit", "exceeded your current quota",
        "arrearage",           "usage limits",       "enable billing",
    };
    static const char *const auth[] = {"api key not valid", "incorrect api key", "invalid api key"};
    static const char *const length[] = {
        "context_length_exceeded",
        "maximum context length",
        "prompt is too long",
        "context length",
        "context window",
        "exceeds the maximum number of tokens",
        "input token count",
        "exceed context limit",
        "too many tokens in prompt",
        "context size",
    };
    for (size_t i = 0; i < sizeof(billing) / sizeof(billing[0]); i++)
        if (contains_nocase(message, billing[i]))
            return CHAT_ERR_BILLING;
    for (size_t i = 0; i < sizeof(auth) / sizeof(auth[0]); i++)
        if (contains_nocase(message, auth[i]))
            return CHAT_ERR_AUTH;
    for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++)
        if (contains_nocase(message, length[i]))
            return CHAT_ERR_CONTEXT_LENGTH;
    return CHAT_ERR_NONE;
}

void error_set_text(struct chat_error *e, struct str message)
{
    size_t n = 0;
    for (size_t i = 0; i < message.n && n + 1 < sizeof(e->message); i++) {
        unsigned char c = (unsigned char)message.p[i];
        e->message[n++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    while (n > 0 && !str_is_utf8(str_of(e->message, n)))
        n--;
    e->message[n] = 0;
}

void error_from_text(int status, struct str body, struct chat_error *e)
{
    struct str s = str_trim(body);
    enum chat_error_kind kind = error_kind_by_status(status);
    if (s.n == 0)
        chat_error_set(e, kind, "", "the provider answered %d with an empty body", status);
    else if (s.p[0] == '<')
        chat_error_set(e, kind, "", "the provider answered %d with an HTML page", status);
    else {
        chat_error_set(e, kind, "", "x");
        error_set_text(e, str_sub(s, 0, 300));
    }
    e->status = status;
}
