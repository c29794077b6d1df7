/* http_body.c - Where a message's body begins and ends.  See http.h.
 *
 * The chunked reader is a state machine over bytes for the lines between chunks and takes the
 * chunks themselves whole, so that it works at any split and copies nothing.  Chunk extensions
 * and trailers are checked and dropped. */
#include "net/http.h"

#include <assert.h>

#include "net/http_int.h"

enum chunk_state {
    SIZE_FIRST, /* the first hex digit */
    SIZE_MORE,
    EXT_NAME_FIRST, /* *( ";" token [ "=" ( token / quoted-string ) ] ) */
    EXT_NAME,
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_END,
    SIZE_LF, /* after the CR of a size line */
    CHUNK,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER_FIRST, /* the first byte of a trailer field, or the CR of the end */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF
};

void http_body_init(struct http_body *body, enum http_framing framing, uint64_t content_length)
{
    *body = (struct http_body){.framing = (uint8_t)framing};
    if (framing == HTTP_LENGTH)
        body->left = content_length;
    body->is_done = framing == HTTP_NO_BODY || (framing == HTTP_LENGTH && content_length == 0);
}

static enum http_body_result bad(struct http_body *body, const char *problem)
{
    body->problem = problem;
    return HTTP_BODY_BAD;
}

/* At most body->left bytes of *in. */
static enum http_body_result take_data(struct http_body *body, struct str *in, struct str *data)
{
    size_t n = in->n < body->left ? in->n : (size_t)body->left;
    *data = str_sub(*in, 0, n);
    *in = str_sub(*in, n, in->n);
    body->left -= n;
    return HTTP_BODY_DATA;
}

static bool is_line_byte(char c)
{
    return (uint8_t)c >= 0x20 ? c != 0x7f : c == '\t';
}

static const char *const BAD_SIZE = "a chunk size is not a hexadecimal number";
static const char *const BAD_EXTENSION = "a chunk extension is malformed";
static const char *const BAD_TRAILER = "a trailer field is malformed";
static const char *const BAD_LINE_END = "a line between chunks does not end in CR LF";

/* Nobody needs chunk extensions, but a reader that is lax here reads another end of the line than
 * the next one. */
static const char *step_extension(struct http_body *body, char c)
{
    bool may_end = false;
    switch ((enum chunk_state)body->state) {
    case EXT_NAME_FIRST: body->state = EXT_NAME; return http_is_token_byte(c) ? NULL : BAD_EXTENSION;
    case EXT_NAME:
        if (c == '=') {
            body->state = EXT_VALUE_FIRST;
            return NULL;
        }
        may_end = true;
        break;
    case EXT_VALUE_FIRST:
        body->state = c == '"' ? EXT_QUOTED : EXT_VALUE;
        return c == '"' || http_is_token_byte(c) ? NULL : BAD_EXTENSION;
    case EXT_VALUE: may_end = true; break;
    case EXT_QUOTED:
        if (c == '"' || c == '\\')
            body->state = c == '"' ? EXT_END : EXT_ESCAPED;
        return is_line_byte(c) ? NULL : BAD_EXTENSION;
    case EXT_ESCAPED: body->state = EXT_QUOTED; return is_line_byte(c) ? NULL : BAD_EXTENSION;
    default: break; /* EXT_END */
    }
    if (may_end && http_is_token_byte(c))
        return NULL;
    if (c != '\r' && c != ';')
        return BAD_EXTENSION;
    body->state = c == '\r' ? SIZE_LF : EXT_NAME_FIRST;
    return NULL;
}

/* One byte of the lines between chunks.  Returns NULL, or what is wrong. */
static const char *step(struct http_body *body, char c)
{
    switch ((enum chunk_state)body->state) {
    case SIZE_FIRST:
        if (hex_digit(c) < 0)
            return BAD_SIZE;
        body->left = (uint64_t)hex_digit(c);
        body->state = SIZE_MORE;
        return NULL;
    case SIZE_MORE:
        if (hex_digit(c) >= 0) {
            if (body->left >> 56) /* leaves room that no sum of sizes overflows */
                return "a chunk size is too large";
            body->left = body->left * 16 + (uint64_t)hex_digit(c);
            return NULL;
        }
        if (c != '\r' && c != ';')
            return BAD_SIZE;
        body->state = c == '\r' ? SIZE_LF : EXT_NAME_FIRST;
        return NULL;
    case EXT_NAME_FIRST:
    case EXT_NAME:
    case EXT_VALUE_FIRST:
    case EXT_VALUE:
    case EXT_QUOTED:
    case EXT_ESCAPED:
    case EXT_END: return step_extension(body, c);
    case SIZE_LF:
        if (c != '\n')
            return BAD_LINE_END;
        body->line_bytes = 0;
        body->state = body->left ? CHUNK : TRAILER_FIRST;
        return NULL;
    case CHUNK_CR:
        if (c != '\r')
            return "a chunk is longer than its size";
        body->state = CHUNK_LF;
        return NULL;
    case CHUNK_LF:
        if (c != '\n')
            return BAD_LINE_END;
        body->line_bytes = 0;
        body->state = SIZE_FIRST;
        return NULL;
    case TRAILER_FIRST:
        if (c == '\r') {
            body->state = END_LF;
            return NULL;
        }
        body->state = TRAILER_NAME;
        return http_is_token_byte(c) ? NULL : BAD_TRAILER;
    case TRAILER_NAME:
        if (c == ':')
            body->state = TRAILER_VALUE;
        return c == ':' || http_is_token_byte(c) ? NULL : BAD_TRAILER;
    case TRAILER_VALUE:
        if (c == '\r')
            body->state = TRAILER_LF;
        return c == '\r' || is_line_byte(c) ? NULL : BAD_TRAILER;
    case TRAILER_LF:
        if (c != '\n')
            return BAD_LINE_END;
        body->state = TRAILER_FIRST;
        return NULL;
    case END_LF:
        if (c != '\n')
            return BAD_LINE_END;
        body->is_done = true;
        return NULL;
    case CHUNK: break;
    }
    assert(!"a chunk's bytes are not stepped through");
    return BAD_SIZE;
}

static enum http_body_result next_chunked(struct http_body *body, struct str *in, struct str *data)
{
    while (in->n && !body->is_done) {
        if (body->state == CHUNK) {
            take_data(body, in, data);
            if (body->left == 0)
                body->state = CHUNK_CR;
            return HTTP_BODY_DATA;
        }
        uint32_t line_max = body->state >= TRAILER_FIRST ? HTTP_TRAILER_BYTES_MAX : HTTP_CHUNK_LINE_MAX;
        if (++body->line_bytes > line_max)
            return bad(body, "a chunk's line or the trailers are too long");
        const char *problem = step(body, in->p[0]);
        if (problem)
            return bad(body, problem);
        *in = str_sub(*in, 1, in->n);
    }
    return body->is_done ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

enum http_body_result http_body_next(struct http_body *body, struct str *in, struct str *data)
{
    if (body->problem)
        return HTTP_BODY_BAD;
    if (body->is_done)
        return HTTP_BODY_DONE;
    if (body->framing == HTTP_CHUNKED)
        return next_chunked(body, in, data);
    if (in->n == 0)
        return HTTP_BODY_MORE;
    if (body->framing == HTTP_UNTIL_CLOSE) {
        *data = *in;
        *in = str_sub(*in, in->n, in->n);
        return HTTP_BODY_DATA;
    }
    take_data(body, in, data);
    body->is_done = body->left == 0;
    return HTTP_BODY_DATA;
}

bool http_body_ends_at_close(const struct http_body *body)
{
    return body->is_done || (body->framing == HTTP_UNTIL_CLOSE && !body->problem);
}
