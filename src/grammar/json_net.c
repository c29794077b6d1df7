/* json_net.c - JSON as nodes of the net: white space, free strings and numbers, any value. */
#include "grammar/json_net.h"

#define BLANKS_MAX     20
#define INT_DIGITS_MAX 21 /* JSON.stringify writes larger numbers with an exponent */
#define FRAC_DIGITS    24

struct json_net json_net(struct net *net, enum grammar_space space)
{
    return (struct json_net){.net = net, .space = space};
}

/* ---- white space ---- */

static uint32_t blank_rule(struct json_net *j)
{
    struct net *net = j->net;
    if (j->blank_rule == NET_NOTHING) {
        static const uint8_t inside[2] = {'\t', ' '};
        struct net_edge more[2], first[2];
        for (int i = 0; i < 2; i++)
            more[i] = (struct net_edge){inside[i], inside[i], NET_RET};
        uint32_t line = net_loop(net, net_bytes(net, more, 2), 0, BLANKS_MAX, false, NET_RET);
        first[0] = (struct net_edge){'\n', '\n', line};
        first[1] = (struct net_edge){' ', ' ', NET_RET};
        j->blank_rule = net_either(net, NET_RET, net_bytes(net, first, 2));
    }
    return j->blank_rule;
}

uint32_t json_net_blank(struct json_net *j, uint32_t next)
{
    return j->space == GRAMMAR_SPACE_FREE ? net_call(j->net, blank_rule(j), 0, next) : next;
}

uint32_t json_net_blank_after(struct json_net *j, uint32_t next)
{
    if (j->space == GRAMMAR_SPACE_ONE)
        return net_byte(j->net, ' ', ' ', next);
    return json_net_blank(j, next);
}

/* ---- strings ---- */

static uint32_t hex(struct net *net, uint32_t next)
{
    const struct net_edge e[3] = {{'0', '9', next}, {'A', 'F', next}, {'a', 'f', next}};
    return net_bytes(net, e, 3);
}

/* What follows "\u": four digits, or the two halves of a pair. */
static uint32_t unicode_escape(struct net *net, uint32_t next)
{
    uint32_t hex2 = hex(net, hex(net, next));
    const struct net_edge low[2] = {{'C', 'F', hex2}, {'c', 'f', hex2}};
    const struct net_edge d[2] = {{'D', 'D', net_bytes(net, low, 2)}, {'d', 'd', net_bytes(net, low, 2)}};
    uint32_t second = net_text(net, S("\\u"), net_bytes(net, d, 2));
    uint32_t high = hex(net, hex(net, second));
    const struct net_edge behind_d[4] = {
        {'0', '7', hex2}, {'8', '9', high}, {'A', 'B', high}, {'a', 'b', high}};
    uint32_t after_d = net_bytes(net, behind_d, 4), hex3 = hex(net, hex2);
    const struct net_edge first[7] = {{'0', '9', hex3}, {'A', 'C', hex3}, {'D', 'D', after_d},
                                      {'E', 'F', hex3}, {'a', 'c', hex3}, {'d', 'd', after_d},
                                      {'e', 'f', hex3}};
    return net_bytes(net, first, 7);
}

/* What follows a backslash: any escape, or only those that JSON.stringify writes. */
static uint32_t escape(struct net *net, bool is_fewest)
{
    static const uint8_t letters[] = "\"/\\bfnrt";
    struct net_edge e[9];
    uint32_t n = 0, u = unicode_escape(net, NET_RET);
    if (is_fewest) {
        const struct net_edge zero[4] = {{'0', '7', NET_RET}, {'b', 'b', NET_RET}, {'e', 'f', NET_RET}};
        const struct net_edge one[2] = {{'0', '9', NET_RET}, {'a', 'f', NET_RET}};
        const struct net_edge tens[2] = {{'0', '0', net_bytes(net, zero, 3)},
                                         {'1', '1', net_bytes(net, one, 2)}};
        u = net_text(net, S("00"), net_bytes(net, tens, 2));
    }
    for (int i = 0; i < 8; i++)
        if (!is_fewest || letters[i] != '/')
            e[n++] = (struct net_edge){letters[i], letters[i], NET_RET};
    e[n++] = (struct net_edge){'u', 'u', u};
    return net_bytes(net, e, n);
}

/* One character of a string. */
static uint32_t make_char(struct net *net, bool is_fewest)
{
    uint32_t one = net_byte(net, 0x80, 0xbf, NET_RET), two = net_byte(net, 0x80, 0xbf, one);
    uint32_t three = net_byte(net, 0x80, 0xbf, two);
    const struct net_edge chars[] = {
        {0x20, 0x21, NET_RET},
        {0x23, 0x5b, NET_RET},
        {0x5c, 0x5c, escape(net, is_fewest)},
        {0x5d, 0x7f, NET_RET},
        {0xc2, 0xdf, one},
        {0xe0, 0xe0, net_byte(net, 0xa0, 0xbf, one)},
        {0xe1, 0xec, two},
        {0xed, 0xed, net_byte(net, 0x80, 0x9f, one)},
        {0xee, 0xef, two},
        {0xf0, 0xf0, net_byte(net, 0x90, 0xbf, two)},
        {0xf1, 0xf3, three},
        {0xf4, 0xf4, net_byte(net, 0x80, 0x8f, two)},
    };
    return net_bytes(net, chars, sizeof chars / sizeof *chars);
}

static uint32_t quoted(struct net *net, uint32_t rule, uint32_t min, uint32_t max, uint32_t next)
{
    uint32_t end = net_byte(net, '"', '"', next);
    return net_byte(net, '"', '"', net_loop(net, rule, min, max, true, end));
}

uint32_t json_net_string(struct json_net *j, uint32_t min, uint32_t max, uint32_t next)
{
    if (j->char_rule == NET_NOTHING)
        j->char_rule = make_char(j->net, false);
    return quoted(j->net, j->char_rule, min, max, next);
}

uint32_t json_net_name(struct json_net *j, uint32_t next)
{
    if (j->name_rule == NET_NOTHING)
        j->name_rule = make_char(j->net, true);
    j->net->has_free_names = true;
    return quoted(j->net, j->name_rule, 0, NET_NO_MAX, next);
}

/* ---- numbers ---- */

static uint32_t digits(struct net *net, uint32_t min, uint32_t max, uint32_t next)
{
    return net_loop(net, net_byte(net, '0', '9', NET_RET), min, max, false, next);
}

/* e or E, then one of the exponents that keep a number of 21 digits finite (is_large: that keep
 * one of a single digit finite, and are not among the others). */
static uint32_t exponent(struct net *net, bool is_large, uint32_t next)
{
    uint32_t one = digits(net, 1, 1, next), two = digits(net, 2, 2, next), e;
    if (is_large) {
        uint32_t to_307 = net_text(net, S("30"), net_byte(net, '0', '7', next));
        e = net_either(net, net_byte(net, '2', '2', net_byte(net, '8', '9', one)), to_307);
        e = net_either(net, e, net_byte(net, '+', '+', e));
    } else {
        uint32_t to_279 = net_byte(net, '2', '2', net_byte(net, '0', '7', one));
        uint32_t hundreds = net_either(net, net_byte(net, '1', '1', two), to_279);
        uint32_t up = net_either(net, digits(net, 1, 2, next), hundreds);
        e = net_either(net, net_byte(net, '-', '-', digits(net, 1, 3, next)),
                       net_either(net, net_byte(net, '+', '+', up), up));
    }
    const struct net_edge letters[2] = {{'E', 'E', e}, {'e', 'e', e}};
    return net_bytes(net, letters, 2);
}

uint32_t json_net_number(struct json_net *j, uint32_t next)
{
    struct net *net = j->net;
    uint32_t after_frac = net_either(net, next, exponent(net, false, next));
    uint32_t frac = net_byte(net, '.', '.', digits(net, 1, FRAC_DIGITS, after_frac));
    uint32_t after_int = net_either(net, after_frac, frac);
    uint32_t large = exponent(net, true, next);
    large = net_either(net, large, net_byte(net, '.', '.', digits(net, 1, FRAC_DIGITS, large)));

    uint32_t whole = net_byte(net, '1', '9', digits(net, 0, INT_DIGITS_MAX - 1, after_int));
    whole = net_either(net, net_byte(net, '0', '0', after_int), whole);
    whole = net_either(net, whole, net_byte(net, '1', '9', large));
    return net_either(net, whole, net_byte(net, '-', '-', whole));
}

/* ---- values ---- */

uint32_t json_net_array(struct json_net *j, uint32_t next)
{
    struct net *net = j->net;
    uint32_t item = net_jump(net), end = net_byte(net, ']', ']', next);
    uint32_t comma = net_byte(net, ',', ',', json_net_blank_after(j, item));
    uint32_t after = net_either(net, comma, json_net_blank(j, end));
    net_set_jump(net, item, json_net_value(j, true, after));
    return net_byte(net, '[', '[', json_net_blank(j, net_either(net, item, end)));
}

uint32_t json_net_object(struct json_net *j, uint32_t next)
{
    struct net *net = j->net;
    uint32_t member = net_jump(net), end = net_byte(net, '}', '}', next);
    uint32_t comma = net_byte(net, ',', ',', json_net_blank_after(j, member));
    uint32_t after = net_either(net, comma, json_net_blank(j, end));
    uint32_t value = json_net_value(j, true, after);
    uint32_t colon = net_byte(net, ':', ':', json_net_blank_after(j, value));
    net_set_jump(net, member, json_net_name(j, colon));
    return net_byte(net, '{', '{', json_net_blank(j, net_either(net, member, end)));
}

uint32_t json_net_value(struct json_net *j, bool is_nested, uint32_t next)
{
    struct net *net = j->net;
    if (j->value_rule == NET_NOTHING) {
        j->value_rule = net_jump(net);
        uint32_t v = net_either(net, net_text(net, S("true"), NET_RET), net_text(net, S("false"), NET_RET));
        v = net_either(net, v, net_text(net, S("null"), NET_RET));
        v = net_either(net, v, json_net_number(j, NET_RET));
        v = net_either(net, v, json_net_string(j, 0, NET_NO_MAX, NET_RET));
        v = net_either(net, v, json_net_array(j, NET_RET));
        net_set_jump(net, j->value_rule, net_either(net, v, json_net_object(j, NET_RET)));
    }
    return net_call(net, j->value_rule, is_nested ? NET_WEIGHT_JSON : 0, next);
}
