/* http.h - HTTP/1.1 framing: bytes to slices and back.  Pure: no sockets, no allocation.
 *
 * One codec reads requests and responses, because framing is the same and so are the attacks
 * on it.  It is strict where leniency lets two readers of one stream disagree ("request
 * smuggling", RFC 9112 section 11.2).  Refused: Content-Length with Transfer-Encoding, more
 * than one Content-Length, any Transfer-Encoding but exactly "chunked", folded lines, a CR or
 * an LF alone, a space before the colon, control bytes, sizes that are not digits or too long.
 *
 * Reading has two steps: http_head_parse when the bytes of a head have come, then
 * http_body_next for the bytes behind it, as often as there is something.  Slices point into
 * the caller's bytes. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP_HEAD_BYTES_MAX    65536 /* the most a caller may allow */
#define HTTP_FIELDS_MAX        100
#define HTTP_METHOD_BYTES_MAX  32
#define HTTP_CHUNK_LINE_MAX    1024 /* one chunk-size line with its extensions */
#define HTTP_TRAILER_BYTES_MAX 16384

enum http_method {
    HTTP_OTHER, /* see `method_name` */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_CONNECT
};

struct http_field {
    struct str name;  /* as it came */
    struct str value; /* without blanks around it */
};

/* How the body ends. */
enum http_framing {
    HTTP_NO_BODY,
    HTTP_LENGTH, /* after content_length bytes (> 0) */
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE /* responses only */
};

struct http_head {
    bool is_response;
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    /* request */
    enum http_method method;
    struct str method_name;
    struct str target; /* as it came: "/path?query", "http://host/path", "*", "host:port" */
    struct str path;   /* before '?', not percent-decoded; "*" and CONNECT's target also here */
    struct str query;  /* after '?'; p == NULL if there was none */
    struct str host;   /* Host, or the authority of an absolute target; may be empty in 1.0 */
    bool expects_continue;
    /* response */
    int status;
    struct str reason;
    /* both */
    enum http_framing framing;
    uint64_t content_length; /* only with HTTP_LENGTH; a response to HEAD: see below */
    bool keep_alive;         /* the sender allows another message on this connection */
    bool has_upgrade;        /* "Connection: upgrade" was there (we never switch) */
    int n_fields;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* What http_head_parse answers beside the number of bytes. */
enum {
    HTTP_MORE = 0,       /* the head is not complete yet */
    HTTP_BAD = -1,       /* not HTTP as above: answer 400 and close, or 502 for a response */
    HTTP_TOO_LARGE = -2, /* head or field count above the limit: 431 */
    HTTP_BAD_VERSION = -3,
    HTTP_BAD_CODING = -4, /* a Transfer-Encoding that we do not have: 501 */
};

struct http_parser {
    size_t scanned;      /* how far the end of the head was looked for: set 0 for a new message */
    size_t head_max;     /* bytes, at most HTTP_HEAD_BYTES_MAX */
    const char *problem; /* after an error: one sentence, static */
};

/* Reads one head from the beginning of `in`.  Returns the bytes that it occupies (> 0), or one
 * of the above.  After HTTP_MORE call again with the same bytes and more behind them (they may
 * have moved): nothing is looked at twice.  Blank lines before a request are skipped.
 * For a response, `to_head` says that it answers a HEAD request: then there is no body whatever
 * the fields say; the same holds for 1xx, 204 and 304. */
int http_request_parse(struct http_parser *p, struct str in, struct http_head *head);
int http_response_parse(struct http_parser *p, struct str in, bool to_head, struct http_head *head);

/* The first field of that name (any case), or NULL. */
const struct http_field *http_find(const struct http_head *head, struct str name);
/* Its value, or an empty str. */
struct str http_value(const struct http_head *head, struct str name);
/* True if a comma-separated list has `token` (any case). */
bool http_list_has(struct str list, struct str token);

/* The value of `name` in "a=1&b=2", still percent-encoded; false if it is not there. */
bool http_query_find(struct str query, struct str name, struct str *value);
/* %XX decoded (and '+' to a space if plus_is_space) into out[out_cap]; returns the length, or
 * -1 if it does not fit or a % is not followed by two hex digits. */
ptrdiff_t http_percent_decode(struct str in, bool plus_is_space, char *out, size_t out_cap);

/* ------------------------------------------------------------------- body */

struct http_body {
    uint8_t framing; /* enum http_framing */
    uint8_t state;   /* of the chunked reader */
    bool is_done;
    uint32_t line_bytes; /* of the present chunk-size line or of all trailers */
    uint64_t left;       /* of the length or of the present chunk */
    const char *problem; /* after HTTP_BODY_BAD: one sentence, static */
};

void http_body_init(struct http_body *body, enum http_framing framing, uint64_t content_length);

enum http_body_result {
    HTTP_BODY_DATA, /* *data is a piece of the body; call again */
    HTTP_BODY_MORE, /* everything was used; more bytes are needed */
    HTTP_BODY_DONE, /* the message ended before *in, which belongs to the next one */
    HTTP_BODY_BAD   /* broken chunks; the connection cannot be used any more */
};

/* Takes from the front of *in and moves *in behind what it took.  Works at any split. */
enum http_body_result http_body_next(struct http_body *body, struct str *in, struct str *data);

/* The connection has ended: true if that was the body's proper end (HTTP_UNTIL_CLOSE, or it was
 * done before), false if the message was cut off. */
bool http_body_ends_at_close(const struct http_body *body);

/* ---------------------------------------------------------------- writing */

/* One field to send. */
struct http_header {
    struct str name;
    struct str value;
};

/* "OK", "Not Found", ...; "Unknown" for codes without a name. */
const char *http_reason(int status);

/* Append pieces of a head.  A control byte in a value (CR, LF, NUL, ...) is sent as '?', so that
 * no value, wherever it came from, can begin a new line.  The caller checks buf_ok at the end. */
void http_write_status(struct buf *out, int status);
void http_write_request_line(struct buf *out, struct str method, struct str target);
void http_write_field(struct buf *out, struct str name, struct str value);
void http_write_field_u64(struct buf *out, struct str name, uint64_t value);
void http_write_date(struct buf *out, int64_t unix_seconds);
void http_write_end(struct buf *out); /* the blank line */

/* "hex size CRLF" of a chunk into line[HTTP_CHUNK_HEAD_MAX]; returns its length. */
#define HTTP_CHUNK_HEAD_MAX 20
size_t http_chunk_head(char line[HTTP_CHUNK_HEAD_MAX], uint64_t n);

#endif
