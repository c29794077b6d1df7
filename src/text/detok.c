/* detok.c - From a stream of tokens to a stream of well-formed UTF-8.
 *
 * Start reading at utf8_stream_push(). */
#include "text/tokenizer.h"

#include <assert.h>

#include "text/tokenizer_int.h"

/* What p[0, n) is the beginning of. */
enum utf8_state {
    UTF8_WHOLE, /* a character, *len bytes long */
    UTF8_PART,  /* all n bytes begin a character that more bytes may complete */
    UTF8_BROKEN /* *len bytes can never be part of one */
};

/* The second byte decides about overlong forms, surrogates and the end of Unicode. */
static bool is_second_byte(uint8_t first, uint8_t second)
{
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

static enum utf8_state look_at_utf8(const uint8_t *p, size_t n, size_t *len)
{
    *len = 1;
    uint8_t first = p[0];
    if (first < 0x80)
        return UTF8_WHOLE;
    if (first < 0xC2 || first > 0xF4)
        return UTF8_BROKEN;
    size_t want = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < want; i++) {
        *len = i;
        if (i == n)
            return UTF8_PART;
        if (i == 1 ? !is_second_byte(first, p[1]) : (p[i] & 0xC0) != 0x80)
            return UTF8_BROKEN;
    }
    *len = want;
    return UTF8_WHOLE;
}

#define REPLACEMENT "\xEF\xBF\xBD"

/* Complete the character that is held with bytes from *bytes; false if it needs still more. */
static bool complete_held(uint8_t held[4], uint8_t *n_held, struct str *bytes, struct buf *out)
{
    while (*n_held > 0) {
        if (bytes->n == 0)
            return false;
        held[*n_held] = (uint8_t)bytes->p[0];
        size_t len;
        enum utf8_state state = look_at_utf8(held, (size_t)*n_held + 1, &len);
        if (state == UTF8_BROKEN) { /* what was held is lost; the new byte may begin something */
            assert(len == *n_held);
            buf_puts(out, REPLACEMENT);
            *n_held = 0;
            return true;
        }
        *bytes = str_sub(*bytes, 1, bytes->n);
        (*n_held)++;
        if (state == UTF8_WHOLE) {
            buf_add(out, held, *n_held);
            *n_held = 0;
        }
    }
    return true;
}

bool utf8_stream_push(uint8_t held[4], uint8_t *n_held, struct str bytes, struct buf *out)
{
    assert(*n_held < 4);
    if (!complete_held(held, n_held, &bytes, out) || bytes.n == 0)
        return buf_ok(out);
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t start = 0, at = 0; /* [start, at) is well-formed and not yet written */
    while (at < bytes.n) {
        size_t len;
        enum utf8_state state = look_at_utf8(p + at, bytes.n - at, &len);
        if (state == UTF8_WHOLE) {
            at += len;
            continue;
        }
        buf_add(out, p + start, at - start);
        if (state == UTF8_PART) {
            *n_held = (uint8_t)(bytes.n - at);
            memcpy(held, p + at, *n_held);
        } else {
            buf_puts(out, REPLACEMENT);
        }
        at += len;
        start = at;
    }
    buf_add(out, p + start, at - start);
    return buf_ok(out);
}

void detok_init(struct detok *d, const struct tokenizer *t, bool at_text_start, bool show_special)
{
    *d = (struct detok){
        .t = t, .show_special = show_special, .strip_space = at_text_start && t->add_space_prefix};
}

bool detok_push(struct detok *d, int32_t id, struct buf *out)
{
    struct str bytes = tokenizer_token_bytes(d->t, id);
    if (tokenizer_is_special(d->t, id)) {
        if (d->show_special)
            bytes = tokenizer_token_text(d->t, id);
        return utf8_stream_push(d->held, &d->n_held, bytes, out);
    }
    if (d->strip_space && bytes.n > 0) {
        d->strip_space = false;
        if (bytes.p[0] == ' ')
            bytes = str_sub(bytes, 1, bytes.n);
    }
    return utf8_stream_push(d->held, &d->n_held, bytes, out);
}

bool detok_finish(struct detok *d, struct buf *out)
{
    if (d->n_held > 0)
        buf_puts(out, REPLACEMENT);
    d->n_held = 0;
    return buf_ok(out);
}
