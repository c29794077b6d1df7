/* shape_number.c - Numbers between bounds, as an automaton over their digits.
 *
 * While the digits of a number come, the automaton knows how they compare with the digits of each
 * bound so far (the magnitudes; signs are settled at the end), how many there were, and for
 * multipleOf the remainder.  Numbers are written as JSON.stringify writes them: an exponent only
 * for magnitudes from 1e21 on and below 1e-6, so that those need no digits compared: they are there
 * when the bounds leave all of their kind. */
#include "grammar/shape_int.h"

#include "grammar/regex.h"

#define INT_DIGITS   21
#define FRAC_DIGITS  24
#define BOUND_FRAC   24 /* digits of a bound behind the point that are looked at */
#define MULTIPLE_MAX 100000

enum { LESS, SAME, MORE }; /* the number so far beside the bound's digits */

enum phase { AT_START, AT_SIGN, AT_ZERO, IN_INT, AT_POINT, IN_FRAC };

struct bound {
    bool exists, is_exclusive, is_negative;
    uint8_t integer[INT_DIGITS], frac[BOUND_FRAC];
    uint32_t n_integer, n_frac; /* digits; frac without zeros at its end */
    bool is_far; /* of more digits than numbers have: it does not exist for those, but no number
                  * with an exponent may come near it */
};

struct numbers {
    struct bound lo, hi;
    uint32_t multiple; /* 0: none */
    bool is_integer;
};

/* ---- bounds ---- */

/* Too large for the digits that numbers have: *is_beyond. */
static bool read_bound(struct shaper *s, const struct schema_node *node, const char *keyword,
                       const struct schema_number *n, bool is_exclusive, struct bound *b, bool *is_beyond)
{
    *b = (struct bound){
        .exists = true, .is_exclusive = is_exclusive, .is_negative = n->is_negative && n->n_digits};
    int64_t n_integer = n->n_digits ? (int64_t)n->n_digits + n->exp : 0;
    *is_beyond = n_integer > INT_DIGITS;
    if (*is_beyond)
        return true;
    if (n->n_digits && n->exp < -BOUND_FRAC) {
        shape_fail(s, ERR_UNSUPPORTED, node, keyword, "has more than %d digits behind the point", BOUND_FRAC);
        return false;
    }
    for (int64_t i = 0; i < n_integer; i++)
        b->integer[b->n_integer++] = i < n->n_digits ? (uint8_t)(n->digits[i] - '0') : 0;
    if (b->n_integer == 0)
        b->n_integer = 1; /* the digit 0 */
    for (int64_t i = n_integer; i < n->n_digits; i++) {
        if (i < 0)
            b->frac[b->n_frac++] = 0;
        else
            b->frac[b->n_frac++] = (uint8_t)(n->digits[i] - '0');
    }
    return true;
}

/* The tightest bound of its kind; sign 1: a lower one. */
struct chosen {
    const struct schema_number *number;
    const struct schema_node *node;
    const char *keyword;
    bool is_exclusive;
};

static void choose(struct chosen *c, const struct schema_node *node, const struct schema_number *n,
                   const char *keyword, bool is_exclusive, int sign)
{
    if (!schema_number_exists(n))
        return;
    int beside = c->number ? schema_number_cmp(n, c->number) * sign : 1;
    if (beside < 0 || (beside == 0 && !is_exclusive))
        return;
    *c = (struct chosen){n, node, keyword, is_exclusive};
}

static struct schema_number small_number(const char *digits, bool is_negative)
{
    return (struct schema_number){
        .digits = digits, .n_digits = (uint32_t)strlen(digits), .is_negative = is_negative};
}

/* The formats of OpenAPI are bounds. */
static void choose_format(struct chosen *lo, struct chosen *hi, const struct schema_node *node,
                          struct schema_number *room)
{
    if (node->format != SCHEMA_FORMAT_INT32 && node->format != SCHEMA_FORMAT_INT64)
        return;
    bool is_32 = node->format == SCHEMA_FORMAT_INT32;
    room[0] = small_number(is_32 ? "2147483648" : "9223372036854775808", true);
    room[1] = small_number(is_32 ? "2147483647" : "9223372036854775807", false);
    choose(lo, node, &room[0], "format", false, 1);
    choose(hi, node, &room[1], "format", false, -1);
}

/* ---- the machine ---- */

/* State: v[0] phase; v[1] is negative; v[2] digits so far of the integer part, or behind the point;
 * v[3], v[4] beside lo and hi; v[5] remainder.  Symbols: 0 '-', 1 '.', 2.. the digits, others no way. */
static const uint32_t symbols[] = {0, '-', '.', '/', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':'};
enum { SYM_MINUS = 1, SYM_POINT = 2, SYM_DIGIT = 4, N_SYMBOLS = 15 };

static uint32_t compare_digit(uint32_t relation, uint32_t digit, uint32_t of_bound)
{
    if (relation != SAME)
        return relation;
    return digit < of_bound ? LESS : digit > of_bound ? MORE : SAME;
}

static uint32_t int_digit(const struct bound *b, uint32_t relation, uint32_t n_before, uint32_t digit)
{
    if (!b->exists)
        return SAME;
    return n_before < b->n_integer ? compare_digit(relation, digit, b->integer[n_before]) : MORE;
}

/* All digits of the integer part are there. */
static uint32_t int_end(const struct bound *b, uint32_t relation, uint32_t n_digits)
{
    if (!b->exists)
        return SAME;
    return n_digits < b->n_integer ? LESS : n_digits > b->n_integer ? MORE : relation;
}

static uint32_t frac_digit(const struct bound *b, uint32_t relation, uint32_t n_before, uint32_t digit)
{
    return b->exists ? compare_digit(relation, digit, n_before < b->n_frac ? b->frac[n_before] : 0) : SAME;
}

static uint32_t frac_end(const struct bound *b, uint32_t relation, uint32_t n_digits)
{
    return relation == SAME && n_digits < b->n_frac ? LESS : relation;
}

/* Is the number, whose magnitude is `relation` to the bound's, on the right side of it? */
static bool is_inside(const struct bound *b, bool is_negative, uint32_t relation, bool is_lower)
{
    if (!b->exists)
        return true;
    bool is_zero_bound = b->n_integer == 1 && b->integer[0] == 0 && b->n_frac == 0;
    int cmp; /* the number beside the bound */
    if (is_negative == b->is_negative || is_zero_bound)
        cmp = is_negative ? (relation == LESS) - (relation == MORE) : (relation == MORE) - (relation == LESS);
    else
        cmp = is_negative ? -1 : 1;
    if (!is_lower)
        cmp = -cmp;
    return cmp > 0 || (cmp == 0 && !b->is_exclusive);
}

static bool step_digit(const struct numbers *n, const struct dfa_key *from, uint32_t digit,
                       struct dfa_key *to)
{
    uint32_t phase = from->v[0], count = from->v[2];
    *to = *from;
    if (phase == AT_ZERO || (phase == IN_INT && count == INT_DIGITS) ||
        (phase == IN_FRAC && count == FRAC_DIGITS))
        return false;
    if (phase == AT_POINT || phase == IN_FRAC) {
        to->v[0] = IN_FRAC;
        to->v[2] = phase == AT_POINT ? 1 : count + 1;
        to->v[3] = frac_digit(&n->lo, from->v[3], to->v[2] - 1, digit);
        to->v[4] = frac_digit(&n->hi, from->v[4], to->v[2] - 1, digit);
        return true;
    }
    to->v[0] = phase != IN_INT && digit == 0 ? AT_ZERO : IN_INT;
    to->v[2] = phase == IN_INT ? count + 1 : 1;
    to->v[3] = int_digit(&n->lo, from->v[3], to->v[2] - 1, digit);
    to->v[4] = int_digit(&n->hi, from->v[4], to->v[2] - 1, digit);
    to->v[5] = n->multiple ? (uint32_t)(((uint64_t)from->v[5] * 10 + digit) % n->multiple) : 0;
    return !(n->is_integer && digit == 0 && phase == AT_SIGN); /* no -0 */
}

static bool number_step(const void *self, const struct dfa_key *from, uint32_t c, struct dfa_key *to)
{
    const struct numbers *n = self;
    uint32_t phase = from->v[0];
    *to = *from;
    if (c == SYM_MINUS) {
        to->v[0] = AT_SIGN;
        to->v[1] = 1;
        return phase == AT_START;
    }
    if (c == SYM_POINT) {
        to->v[0] = AT_POINT;
        to->v[2] = 0;
        to->v[3] = int_end(&n->lo, from->v[3], from->v[2]);
        to->v[4] = int_end(&n->hi, from->v[4], from->v[2]);
        return !n->is_integer && (phase == AT_ZERO || phase == IN_INT);
    }
    if (c < SYM_DIGIT || c >= SYM_DIGIT + 10)
        return false;
    return step_digit(n, from, c - SYM_DIGIT, to);
}

static bool number_accepts(const void *self, const struct dfa_key *at)
{
    const struct numbers *n = self;
    uint32_t lo = at->v[3], hi = at->v[4], phase = at->v[0];
    bool is_negative = at->v[1];
    if (phase != AT_ZERO && phase != IN_INT && phase != IN_FRAC)
        return false;
    if (phase == AT_ZERO && is_negative)
        return false;
    if (phase != IN_FRAC) {
        lo = int_end(&n->lo, lo, at->v[2]);
        hi = int_end(&n->hi, hi, at->v[2]);
    }
    uint32_t n_frac = phase == IN_FRAC ? at->v[2] : 0;
    return at->v[5] == 0 && is_inside(&n->lo, is_negative, frac_end(&n->lo, lo, n_frac), true) &&
           is_inside(&n->hi, is_negative, frac_end(&n->hi, hi, n_frac), false);
}

/* ---- exponents ---- */

/* The texts with an exponent that the bounds leave as a whole: tiny and huge ones of either sign. */
static struct dfa *exponents(struct shaper *s, const struct numbers *n)
{
    char pattern[400];
    static const char mantissa[] = "[1-9](?:\\.\\d{1,24})?[eE]";
    static const char tiny[] = "-(?:[789]|[1-9]\\d|[12]\\d\\d|30[0-7])";
    static const char huge[] = "\\+(?:2[1-9]|[3-9]\\d|[12]\\d\\d|30[0-7])";
    /* 1e-6 and its like in digits: is it inside? */
    struct bound micro = {.exists = true, .n_integer = 1, .n_frac = 6, .frac = {0, 0, 0, 0, 0, 1}};
    struct buf b;
    buf_init(&b, sizeof pattern);
    for (int sign = 1; sign >= -1; sign -= 2) {
        const struct bound *far = sign > 0 ? &n->hi : &n->lo, *near = sign > 0 ? &n->lo : &n->hi;
        bool near_ok = !near->exists || near->is_negative == (sign > 0) ||
                       (near->n_integer == 1 && near->integer[0] == 0 && near->n_frac == 0);
        bool is_small = far->n_integer == 1 && far->integer[0] == 0 &&
                        memcmp(far->frac, micro.frac, sizeof far->frac) < 0;
        bool far_ok = !far->exists || (far->is_negative == (sign < 0) && !is_small);
        bool is_far_right = !far->exists && !far->is_far;
        bool near_far = !near->exists || near->n_integer <= INT_DIGITS;
        const char *minus = sign < 0 ? "-" : "";
        if (near_ok && far_ok)
            buf_printf(&b, "%s%s%s%s", b.n ? "|" : "", minus, mantissa, tiny);
        if (is_far_right && near_far)
            buf_printf(&b, "%s%s%s%s", b.n ? "|" : "", minus, mantissa, huge);
    }
    struct dfa *d = NULL;
    size_t offset;
    struct err err;
    if (b.n > 0 && buf_ok(&b))
        d = regex_compile(&s->c->room, buf_str(&b), true, &offset, &err);
    buf_deinit(&b);
    return d;
}

/* ---- excluded values ---- */

/* All spellings of a value among the texts of an automaton of numbers. */
static struct dfa *spellings(struct shaper *s, const struct json *v)
{
    struct str text = json_span(*v);
    struct buf b;
    size_t offset;
    struct err err;
    bool has_point = str_find_char(text, '.', 0) != STR_NONE;
    if (str_find_char(text, 'e', 0) != STR_NONE || str_find_char(text, 'E', 0) != STR_NONE || text.n > 40)
        return NULL;
    while (has_point && text.n > 0 && (text.p[text.n - 1] == '0' || text.p[text.n - 1] == '.')) {
        bool was_point = text.p[--text.n] == '.';
        if (was_point) {
            has_point = false;
            break;
        }
    }
    buf_init(&b, 200);
    for (size_t i = 0; i < text.n; i++)
        buf_printf(&b, "[%c]", text.p[i]);
    buf_puts(&b, has_point ? "0*" : "(?:\\.0*)?");
    struct dfa *d = regex_compile(&s->c->room, buf_str(&b), true, &offset, &err);
    buf_deinit(&b);
    return d;
}

static struct dfa *subtract(struct shaper *s, const struct plain *p, struct dfa *d)
{
    for (uint32_t i = 0; i < p->n_excluded && d; i++) {
        const struct schema_node *n = p->excluded[i];
        struct json_iter it = json_iter(n->enum_values);
        struct json one = n->has & SCHEMA_HAS_CONST ? n->const_value : json_absent();
        while (d && (json_exists(one) || (n->has & SCHEMA_HAS_ENUM && json_next(&it)))) {
            struct json v = json_exists(one) ? one : it.value;
            one = json_absent();
            if (!json_is(v, JSON_NUMBER))
                continue;
            struct dfa *not = spellings(s, &v);
            if (!not ) {
                shape_fail(s, ERR_UNSUPPORTED, n, NULL,
                           "excludes a number with an exponent, which cannot be held");
                return NULL;
            }
            d = dfa_minus(&s->c->room, d, not );
        }
    }
    return d;
}

/* ---- all of it ---- */

static uint64_t common_multiple(uint64_t a, uint64_t b)
{
    uint64_t x = a, y = b;
    while (y) {
        uint64_t t = x % y;
        x = y;
        y = t;
    }
    return a / x * b;
}

static bool read_multiples(struct shaper *s, const struct plain *p, struct numbers *n)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        int64_t m;
        const struct schema_node *node = p->nodes[i];
        if (!schema_number_exists(&node->multiple_of))
            continue;
        if (!schema_number_i64(&node->multiple_of, &m)) {
            shape_fail(s, ERR_UNSUPPORTED, node, "multipleOf", "is no integer; only those can be held");
            return false;
        }
        all = all && m <= MULTIPLE_MAX ? common_multiple(all, (uint64_t)m) : (uint64_t)m;
        if (all > MULTIPLE_MAX) {
            shape_fail(s, ERR_LIMIT, node, "multipleOf", "is more than %d", MULTIPLE_MAX);
            return false;
        }
    }
    n->multiple = (uint32_t)all;
    n->is_integer |= all > 0;
    return true;
}

/* False: nothing can fulfil them, or an error was told. */
static bool read_bounds(struct shaper *s, const struct plain *p, struct numbers *n)
{
    struct chosen lo = {0}, hi = {0};
    struct schema_number *room = arena_new_array(s->arena, struct schema_number, 2 * (size_t)p->n_nodes);
    if (!room)
        return false;
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct schema_node *node = p->nodes[i];
        choose(&lo, node, &node->minimum, "minimum", false, 1);
        choose(&lo, node, &node->exclusive_minimum, "exclusiveMinimum", true, 1);
        choose(&hi, node, &node->maximum, "maximum", false, -1);
        choose(&hi, node, &node->exclusive_maximum, "exclusiveMaximum", true, -1);
        choose_format(&lo, &hi, node, &room[2 * i]);
        n->is_integer |= node->format == SCHEMA_FORMAT_INT32 || node->format == SCHEMA_FORMAT_INT64;
    }
    bool is_beyond;
    if (lo.number) {
        if (!read_bound(s, lo.node, lo.keyword, lo.number, lo.is_exclusive, &n->lo, &is_beyond))
            return false;
        if (is_beyond && !lo.number->is_negative) {
            shape_fail(s, ERR_UNSUPPORTED, lo.node, lo.keyword,
                       "is above the largest number that can be held");
            return false;
        }
        n->lo.exists = !is_beyond;
        n->lo.is_far = is_beyond;
    }
    if (hi.number) {
        if (!read_bound(s, hi.node, hi.keyword, hi.number, hi.is_exclusive, &n->hi, &is_beyond))
            return false;
        if (is_beyond && hi.number->is_negative) {
            shape_fail(s, ERR_UNSUPPORTED, hi.node, hi.keyword,
                       "is below the smallest number that can be held");
            return false;
        }
        n->hi.exists = !is_beyond;
        n->hi.is_far = is_beyond;
    }
    return true;
}

uint32_t shape_number(struct shaper *s, const struct plain *p, uint32_t next)
{
    struct numbers n = {.is_integer = !(p->types & SCHEMA_NUMBER)};
    if (!read_bounds(s, p, &n) || !read_multiples(s, p, &n))
        return NET_NOTHING;
    bool has_excluded = false;
    for (uint32_t i = 0; i < p->n_excluded; i++)
        has_excluded |= !p->excluded[i]->pattern.p;
    bool is_free = !n.lo.exists && !n.hi.exists && n.multiple == 0 && !has_excluded;
    if (is_free && !n.is_integer && !n.lo.is_far && !n.hi.is_far)
        return json_net_number(&s->json, next);
    is_free = is_free && n.is_integer;
    if (is_free && s->integer_rule != NET_NOTHING)
        return net_call(s->net, s->integer_rule, 0, next);

    struct dfa_machine m = {
        &n, {{AT_START, 0, 0, SAME, SAME, 0}}, symbols, N_SYMBOLS, number_step, number_accepts};
    struct dfa *d = dfa_explore(&s->c->room, &m);
    if (d && has_excluded)
        d = subtract(s, p, d);
    shape_check_room(s, p, "numbers");
    if (!d || s->c->has_failed)
        return NET_NOTHING;
    if (is_free) {
        s->integer_rule = dfa_to_net(&s->c->room, d, DFA_PLAIN, NET_RET);
        return net_call(s->net, s->integer_rule, 0, next);
    }
    uint32_t node = dfa_to_net(&s->c->room, d, DFA_PLAIN, next);
    /* No exponents for integers: a model that begins to write 5.0 would be led to 5.0e+21. */
    struct dfa *e = n.is_integer || has_excluded ? NULL : exponents(s, &n);
    return e ? net_either(s->net, node, dfa_to_net(&s->c->room, e, DFA_PLAIN, next)) : node;
}
