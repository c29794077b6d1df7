/* validate_stream.c - A JSON reader that keeps nothing but where it is. */
#include "gateway/validate_stream.h"

enum state {
    VALUE,       /* a value must begin */
    FIRST_VALUE, /* behind '[': a value, or ']' */
    FIRST_KEY,   /* behind '{': a key, or '}' */
    KEY,         /* behind ',' of an object */
    COLON,
    AFTER, /* a value is over: ',' or the end of what holds it */
    STRING,
    ESCAPE,
    HEX,
    WORD,
    MINUS,
    ZERO,
    DIGITS,
    POINT, /* behind '.' */
    FRACTION,
    EXPONENT, /* behind 'e' */
    EXPONENT_SIGN,
    EXPONENT_DIGITS
};

void stream_check_init(struct stream_check *s, bool wants_object)
{
    *s = (struct stream_check){.state = VALUE, .wants_object = wants_object};
}

static bool bad(struct stream_check *s, const char *why)
{
    s->why = why;
    return false;
}

static bool to(struct stream_check *s, enum state state)
{
    s->state = state;
    return true;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool in_object(const struct stream_check *s)
{
    return s->depth > 0 && s->is_object[(s->depth - 1) / 64] >> (s->depth - 1) % 64 & 1;
}

static bool open_level(struct stream_check *s, bool is_object)
{
    if (s->depth == STREAM_DEPTH_MAX)
        return bad(s, "it is nested too deeply");
    uint64_t bit = UINT64_C(1) << s->depth % 64;
    if (is_object)
        s->is_object[s->depth / 64] |= bit;
    else
        s->is_object[s->depth / 64] &= ~bit;
    s->depth++;
    s->item_at = s->n_bytes + 1;
    return to(s, is_object ? FIRST_KEY : FIRST_VALUE);
}

static bool close_level(struct stream_check *s)
{
    s->depth--;
    return to(s, AFTER);
}

static bool open_string(struct stream_check *s, bool is_key)
{
    s->in_key = is_key;
    return to(s, STRING);
}

static bool open_word(struct stream_check *s, const char *rest)
{
    s->word = rest;
    return to(s, WORD);
}

static bool begin_value(struct stream_check *s, uint8_t c)
{
    if (s->wants_object && s->depth == 0 && c != '{')
        return bad(s, "an object must begin");
    switch (c) {
    case '{': return open_level(s, true);
    case '[': return open_level(s, false);
    case '"': return open_string(s, false);
    case 't': return open_word(s, "rue");
    case 'f': return open_word(s, "alse");
    case 'n': return open_word(s, "ull");
    case '-': return to(s, MINUS);
    case '0': return to(s, ZERO);
    default: return is_digit(c) ? to(s, DIGITS) : bad(s, "a value must begin");
    }
}

static bool after_value(struct stream_check *s, uint8_t c)
{
    if (s->depth == 0)
        return bad(s, "something follows the value");
    if (c == ',') {
        s->item_at = s->n_bytes;
        return to(s, in_object(s) ? KEY : VALUE);
    }
    if (c == (in_object(s) ? '}' : ']'))
        return close_level(s);
    return bad(s, in_object(s) ? "expected ',' or '}'" : "expected ',' or ']'");
}

/* The first byte of a character of more than one, by Unicode's table of well-formed sequences. */
static bool begin_character(struct stream_check *s, uint8_t c)
{
    s->piece_at = s->n_bytes;
    s->lo = 0x80;
    s->hi = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        s->n_more = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        s->n_more = 2;
        s->lo = c == 0xe0 ? 0xa0 : 0x80;
        s->hi = c == 0xed ? 0x9f : 0xbf;
    } else if (c >= 0xf0 && c <= 0xf4) {
        s->n_more = 3;
        s->lo = c == 0xf0 ? 0x90 : 0x80;
        s->hi = c == 0xf4 ? 0x8f : 0xbf;
    } else {
        return bad(s, "not valid UTF-8");
    }
    return true;
}

static bool in_string(struct stream_check *s, uint8_t c)
{
    if (s->n_more) {
        if (c < s->lo || c > s->hi)
            return bad(s, "not valid UTF-8");
        s->n_more--;
        s->lo = 0x80;
        s->hi = 0xbf;
        return true;
    }
    if (c == '"') {
        s->is_half = false;
        return to(s, s->in_key ? COLON : AFTER);
    }
    if (c == '\\') {
        if (!s->is_half)
            s->piece_at = s->n_bytes;
        return to(s, ESCAPE);
    }
    s->is_half = false;
    if (c < 0x20)
        return bad(s, "a control character in a string");
    return c < 0x80 || begin_character(s, c);
}

static bool in_escape(struct stream_check *s, uint8_t c)
{
    s->is_half = false;
    if (c == 'u') {
        s->n_hex = 4;
        s->hex = 0;
        return to(s, HEX);
    }
    return c && strchr("\"\\/bfnrt", c) ? to(s, STRING) : bad(s, "an unknown escape");
}

static bool in_hex(struct stream_check *s, uint8_t c)
{
    if (!is_digit(c) && !((c | 32) >= 'a' && (c | 32) <= 'f'))
        return bad(s, "\\u needs four hexadecimal digits");
    s->hex = (uint16_t)(s->hex << 4 | (is_digit(c) ? c - '0' : (c | 32) - 'a' + 10));
    if (--s->n_hex)
        return true;
    s->is_half = s->hex >= 0xd800 && s->hex < 0xdc00;
    return to(s, STRING);
}

static bool in_word(struct stream_check *s, uint8_t c)
{
    if (c != (uint8_t)*s->word)
        return bad(s, "a value must begin");
    s->word++;
    return *s->word ? true : to(s, AFTER);
}

/* Numbers have no end of their own: what cannot go on with one is looked at again behind it. */
static bool in_number(struct stream_check *s, uint8_t c, bool *again)
{
    switch (s->state) {
    case MINUS:
        return c == '0' ? to(s, ZERO) : is_digit(c) ? to(s, DIGITS) : bad(s, "a digit must follow '-'");
    case POINT: return is_digit(c) ? to(s, FRACTION) : bad(s, "a digit must follow '.'");
    case EXPONENT:
        if (c == '+' || c == '-')
            return to(s, EXPONENT_SIGN);
        return is_digit(c) ? to(s, EXPONENT_DIGITS) : bad(s, "an exponent needs digits");
    case EXPONENT_SIGN: return is_digit(c) ? to(s, EXPONENT_DIGITS) : bad(s, "an exponent needs digits");
    default: break;
    }
    if (is_digit(c) && s->state != ZERO)
        return true;
    if (c == '.' && (s->state == ZERO || s->state == DIGITS))
        return to(s, POINT);
    if ((c | 32) == 'e' && s->state != EXPONENT_DIGITS)
        return to(s, EXPONENT);
    *again = true;
    return to(s, AFTER);
}

static bool feed_byte(struct stream_check *s, uint8_t c)
{
    if (s->state >= MINUS) {
        bool again = false;
        bool ok = in_number(s, c, &again);
        if (!again)
            return ok;
    }
    bool is_blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (is_blank && s->state <= AFTER)
        return true;
    switch (s->state) {
    case VALUE: return begin_value(s, c);
    case FIRST_VALUE: return c == ']' ? close_level(s) : begin_value(s, c);
    case FIRST_KEY:
        return c == '}' ? close_level(s) : c == '"' ? open_string(s, true) : bad(s, "a key must begin");
    case KEY: return c == '"' ? open_string(s, true) : bad(s, "a key must begin");
    case COLON: return c == ':' ? to(s, VALUE) : bad(s, "expected ':' after a key");
    case AFTER: return after_value(s, c);
    case STRING: return in_string(s, c);
    case ESCAPE: return in_escape(s, c);
    case HEX: return in_hex(s, c);
    default: return in_word(s, c);
    }
}

size_t stream_check_feed(struct stream_check *s, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!feed_byte(s, (uint8_t)text.p[i]))
            return i;
        s->n_bytes++;
    }
    return text.n;
}

/* How much of the text stays, and what is put behind it before the brackets. */
static size_t kept(const struct stream_check *s, const char **more)
{
    *more = "";
    switch (s->state) {
    case VALUE: *more = in_object(s) ? "null" : ""; return in_object(s) ? s->n_bytes : s->item_at;
    case KEY: return s->item_at;
    case COLON: *more = ":null"; break;
    case STRING:
    case ESCAPE:
    case HEX:
        if (s->in_key)
            return s->item_at;
        *more = "\"";
        return s->n_more || s->is_half || s->state != STRING ? s->piece_at : s->n_bytes;
    case WORD: *more = s->word; break;
    case MINUS:
    case POINT:
    case EXPONENT:
    case EXPONENT_SIGN: *more = "0"; break;
    default: break;
    }
    return s->n_bytes;
}

bool stream_check_close(const struct stream_check *s, struct buf *text, size_t *n_real, bool *is_number_open)
{
    const char *more;
    if (s->depth == 0 && s->state == VALUE)
        return false;
    *n_real = kept(s, &more);
    text->n = *n_real;
    *is_number_open = s->state >= MINUS;
    buf_puts(text, more);
    for (int d = s->depth - 1; d >= 0; d--)
        buf_putc(text, s->is_object[d / 64] >> d % 64 & 1 ? '}' : ']');
    return buf_ok(text);
}

bool stream_check_is_whole(const struct stream_check *s)
{
    return s->depth == 0 && (s->state == AFTER || s->state == ZERO || s->state == DIGITS ||
                             s->state == FRACTION || s->state == EXPONENT_DIGITS);
}
