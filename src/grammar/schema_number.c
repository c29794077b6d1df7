/* schema_number.c - Numbers of JSON, exact: compared digit by digit, never through a double. */
#include <stdlib.h>

#include "grammar/schema_int.h"

/* The exponent's value, or false when it is absurd. */
static bool read_exponent(struct str text, int64_t *out)
{
    bool is_negative = text.n && text.p[0] == '-';
    size_t i = text.n && (text.p[0] == '-' || text.p[0] == '+');
    int64_t e = 0;
    for (; i < text.n; i++) {
        e = e * 10 + (text.p[i] - '0');
        if (e > SCHEMA_EXP_MAX)
            return false;
    }
    *out = is_negative ? -e : e;
    return true;
}

bool schema_number_parse(struct schema_number *out, struct str text, char *digits)
{
    *out = (struct schema_number){.digits = digits, .text = text};
    size_t i = 0;
    if (i < text.n && text.p[i] == '-') {
        out->is_negative = true;
        i++;
    }
    uint32_t n = 0;
    bool in_fraction = false;
    for (; i < text.n && text.p[i] != 'e' && text.p[i] != 'E'; i++) {
        if (text.p[i] == '.') {
            in_fraction = true;
            continue;
        }
        if (n || text.p[i] != '0')
            digits[n++] = text.p[i];
        out->exp -= in_fraction;
    }
    while (n && digits[n - 1] == '0') {
        n--;
        out->exp++;
    }
    int64_t exponent = 0;
    if (i < text.n && n && !read_exponent(str_sub(text, i + 1, text.n), &exponent))
        return false;
    out->exp += exponent;
    out->n_digits = n;
    if (!n) {
        out->exp = 0;
        out->is_negative = false;
    }
    return true;
}

static int compare_magnitudes(const struct schema_number *a, const struct schema_number *b)
{
    int64_t top_a = a->exp + a->n_digits, top_b = b->exp + b->n_digits;
    if (top_a != top_b)
        return top_a < top_b ? -1 : 1;
    uint32_t n = a->n_digits < b->n_digits ? a->n_digits : b->n_digits;
    int c = memcmp(a->digits, b->digits, n);
    if (c)
        return c < 0 ? -1 : 1;
    return a->n_digits < b->n_digits ? -1 : a->n_digits > b->n_digits;
}

int schema_number_cmp(const struct schema_number *a, const struct schema_number *b)
{
    int sign_a = a->n_digits ? (a->is_negative ? -1 : 1) : 0,
        sign_b = b->n_digits ? (b->is_negative ? -1 : 1) : 0;
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    return sign_a == 0 ? 0 : sign_a * compare_magnitudes(a, b);
}

bool schema_number_i64(const struct schema_number *n, int64_t *out)
{
    if (!schema_number_is_integer(n) || n->exp + n->n_digits > 19)
        return false;
    uint64_t v = 0; /* 19 digits fit */
    for (uint32_t i = 0; i < n->n_digits; i++)
        v = v * 10 + (uint64_t)(n->digits[i] - '0');
    for (int64_t i = 0; i < n->exp; i++)
        v *= 10;
    if (v > (uint64_t)INT64_MAX + n->is_negative)
        return false;
    *out = n->is_negative ? (int64_t)-v : (int64_t)v;
    return true;
}

typedef unsigned __int128 u128;

/* 10^e mod m, with m below 10^18. */
static uint64_t power_of_ten_mod(uint64_t e, uint64_t m)
{
    u128 result = 1 % m, square = 10 % m;
    for (; e; e >>= 1) {
        if (e & 1)
            result = result * square % m;
        square = square * square % m;
    }
    return (uint64_t)result;
}

/* a = A * 10^ea and b = B * 10^eb, and neither A nor B ends with a zero.  For ea < eb b would have
 * to divide A * 10^(ea-eb), so that A would end with a zero; for the rest A * 10^(ea-eb) mod B tells. */
bool schema_number_is_multiple(const struct schema_number *a, const struct schema_number *b)
{
    if (a->n_digits == 0)
        return true;
    if (a->exp < b->exp)
        return false;
    uint64_t m = 0;
    for (uint32_t i = 0; i < b->n_digits; i++)
        m = m * 10 + (uint64_t)(b->digits[i] - '0');
    if (m == 0)
        return false; /* the reader lets no such schema through */
    u128 rest = 0;
    for (uint32_t i = 0; i < a->n_digits; i++)
        rest = (rest * 10 + (u128)(a->digits[i] - '0')) % m;
    return rest * power_of_ten_mod((uint64_t)(a->exp - b->exp), m) % m == 0;
}

bool schema_number_of(struct schema_number *out, struct json v, struct schema_number_room *room)
{
    struct str text = json_span(v);
    room->heap = NULL;
    char *digits = room->digits;
    if (text.n > sizeof room->digits) {
        digits = room->heap = malloc(text.n);
        if (!digits)
            return false;
    }
    return schema_number_parse(out, text, digits);
}

void schema_number_done(struct schema_number_room *room)
{
    free(room->heap);
    room->heap = NULL;
}
