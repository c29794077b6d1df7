/* dfa_net.c - An automaton over characters becomes nodes of the net over bytes.
 *
 * For each state the characters with a way are a list of ranges with a target each.  It is split by the
 * first byte of their UTF-8, then by the second, and so on: a small trie whose leaves are the
 * nodes of the target states.  Where all characters behind some bytes have the same target, the
 * nodes for them are made once per target. */
#include <stdlib.h>

#include "grammar/dfa.h"

struct way {
    uint32_t lo, hi; /* characters */
    uint32_t to;     /* node */
};

struct lower {
    struct net *net;
    const struct dfa *d;
    uint32_t *state_node; /* a jump for each state */
    uint32_t *target;     /* where a character that leads to a state goes: the jump, or a count before it */
    uint32_t *any[3];     /* [state]: any 1, 2 or 3 continuation bytes, then the state; 0: not made yet */
    uint32_t *state_of;   /* parallel to ways: the target's state */
    struct way *ways;
    uint32_t n_ways;
};

static uint32_t any_tail(struct lower *l, int n_bytes, uint32_t state)
{
    uint32_t node = l->target[state];
    for (int i = 0; i < n_bytes; i++) {
        if (!l->any[i][state])
            l->any[i][state] = net_byte(l->net, 0x80, 0xbf, node);
        node = l->any[i][state];
    }
    return node;
}

/* The ways from index *from on that meet [lo, hi], clipped; *from moves to the last that may also
 * meet what is behind hi. */
struct span {
    uint32_t begin, end; /* ways */
    uint32_t lo, hi;
};

static struct span narrow(const struct lower *l, struct span s, uint32_t lo, uint32_t hi)
{
    while (s.begin < s.end && l->ways[s.begin].hi < lo)
        s.begin++;
    uint32_t end = s.begin;
    while (end < s.end && l->ways[end].lo <= hi)
        end++;
    return (struct span){s.begin, end, lo, hi};
}

/* The node for the last n_bytes bytes of the characters in span (a whole block of 64^n_bytes). */
static uint32_t tail(struct lower *l, struct span s, int n_bytes)
{
    if (s.begin == s.end)
        return NET_NOTHING;
    const struct way *w = &l->ways[s.begin];
    if (w->lo <= s.lo && w->hi >= s.hi)
        return any_tail(l, n_bytes, l->state_of[s.begin]);
    struct net_edge edges[64];
    uint32_t size = 1u << (6 * (n_bytes - 1));
    for (uint32_t i = 0; i < 64; i++) {
        struct span sub = narrow(l, s, s.lo + i * size, s.lo + (i + 1) * size - 1);
        uint32_t to = NET_NOTHING;
        if (n_bytes == 1)
            to = sub.begin < sub.end ? l->ways[sub.begin].to : NET_NOTHING;
        else
            to = tail(l, sub, n_bytes - 1); /* at most three deep */
        edges[i] = (struct net_edge){(uint8_t)(0x80 + i), (uint8_t)(0x80 + i), to};
        s.begin = sub.begin;
    }
    return net_bytes(l->net, edges, 64);
}

/* The node behind a backslash: \b \t \n \f \r \" \\ and \u00xx for the other control characters. */
static uint32_t escapes(struct lower *l, const uint32_t *ascii)
{
    static const struct {
        uint8_t letter, c;
    } shorts[7] = {{'"', '"'}, {'\\', '\\'}, {'b', 8}, {'f', 12}, {'n', 10}, {'r', 13}, {'t', 9}};
    struct net_edge edges[8], hex[2][16], tens[2];
    uint32_t n = 0, n_hex[2] = {0};

    for (uint32_t c = 0; c < 0x20; c++) {
        bool is_short = c == 8 || c == 9 || c == 10 || c == 12 || c == 13;
        uint8_t digit = (uint8_t) "0123456789abcdef"[c % 16];
        if (!is_short && ascii[c] != NET_NOTHING)
            hex[c / 16][n_hex[c / 16]++] = (struct net_edge){digit, digit, ascii[c]};
    }
    for (uint8_t i = 0; i < 2; i++)
        tens[i] =
            (struct net_edge){(uint8_t)('0' + i), (uint8_t)('0' + i), net_bytes(l->net, hex[i], n_hex[i])};
    uint32_t u = net_text(l->net, S("00"), net_bytes(l->net, tens, 2));
    for (int i = 0; i < 7; i++)
        edges[n++] = (struct net_edge){shorts[i].letter, shorts[i].letter, ascii[shorts[i].c]};
    edges[n++] = (struct net_edge){'u', 'u', u};
    return net_bytes(l->net, edges, n);
}

/* Edges for the characters of one byte; returns how many. */
static uint32_t ascii_edges(struct lower *l, enum dfa_spelling spelling, struct net_edge *edges)
{
    uint32_t ascii[0x80] = {NET_NOTHING}, n = 0;
    bool has_escapes = false;
    for (uint32_t w = 0; w < l->n_ways && l->ways[w].lo < 0x80; w++)
        for (uint32_t c = l->ways[w].lo; c <= l->ways[w].hi && c < 0x80; c++) {
            ascii[c] = l->ways[w].to;
            has_escapes |= !net_byte_is_plain((uint8_t)c);
        }
    uint32_t escaped = spelling == DFA_JSON && has_escapes ? escapes(l, ascii) : NET_NOTHING;
    for (uint32_t c = 0; c < 0x80; c++) {
        uint32_t to = ascii[c];
        if (spelling == DFA_JSON && !net_byte_is_plain((uint8_t)c))
            to = c == '\\' ? escaped : NET_NOTHING;
        if (to != NET_NOTHING)
            edges[n++] = (struct net_edge){(uint8_t)c, (uint8_t)c, to};
    }
    return n;
}

static uint32_t state_bytes(struct lower *l, enum dfa_spelling spelling)
{
    struct span all = {0, l->n_ways, 0, DFA_CHAR_MAX};
    struct net_edge edges[256];
    uint32_t n = ascii_edges(l, spelling, edges);

    all = narrow(l, all, 0x80, DFA_CHAR_MAX);
    for (uint32_t b = 0xc2; b <= 0xf4 && all.begin < all.end; b++) {
        int n_bytes = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : 1;
        if (b == 0xe0 || b == 0xf0) /* leave behind what fewer bytes say, which is no reading of these */
            all = narrow(l, all, b == 0xe0 ? 0x800 : 0x10000, DFA_CHAR_MAX);
        uint32_t size = 1u << (6 * n_bytes), lead = b & (0x3fu >> n_bytes);
        struct span s = narrow(l, all, lead * size, lead * size + size - 1);
        edges[n++] = (struct net_edge){(uint8_t)b, (uint8_t)b, tail(l, s, n_bytes)};
        all.begin = s.begin;
    }
    return net_bytes(l->net, edges, n);
}

static void add_way(struct lower *l, uint32_t lo, uint32_t hi, uint32_t state, bool may_join)
{
    struct way *last = l->n_ways > 0 ? &l->ways[l->n_ways - 1] : NULL;
    if (lo > hi)
        return;
    if (may_join && last && last->hi + 1 == lo && l->state_of[l->n_ways - 1] == state) {
        last->hi = hi;
        return;
    }
    l->state_of[l->n_ways] = state;
    l->ways[l->n_ways++] = (struct way){lo, hi, l->target[state]};
}

/* The ranges that UTF-8 can say: no surrogates, and split where the number of bytes changes, so
 * that overlong forms do not appear. */
static void find_ways(struct lower *l, uint32_t s)
{
    static const struct range parts[5] = {
        {0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, DFA_CHAR_MAX}};
    const struct dfa *d = l->d;
    l->n_ways = 0;
    for (uint32_t c = 0; c < d->n_symbols; c++) {
        uint32_t to = d->next[(size_t)s * d->n_symbols + c];
        uint32_t lo = d->first[c], hi = c + 1 < d->n_symbols ? d->first[c + 1] - 1 : DFA_CHAR_MAX;
        for (int p = 0; to != DFA_NONE && p < 5; p++)
            add_way(l, lo > parts[p].lo ? lo : parts[p].lo, hi < parts[p].hi ? hi : parts[p].hi, to,
                    lo > parts[p].lo);
    }
}

/* Does every character that a JSON string has as it is lead back to the state?  (Line separators, which '.'
 * of a pattern leaves out, are no plain characters for vocab.c either.) */
static bool is_plain_loop(const struct lower *l, uint32_t s)
{
    static const struct range plain[] = {{0x20, 0x21},   {0x23, 0x5b},     {0x5d, 0x7f},
                                         {0x80, 0x2027}, {0x202a, 0xd7ff}, {0xe000, DFA_CHAR_MAX}};
    uint32_t w = 0;
    for (size_t p = 0; p < sizeof plain / sizeof *plain; p++) {
        uint32_t at = plain[p].lo;
        for (; at <= plain[p].hi; at = l->ways[w].hi + 1) {
            while (w < l->n_ways && l->ways[w].hi < at)
                w++;
            if (w == l->n_ways || l->ways[w].lo > at || l->state_of[w] != s)
                return false;
        }
    }
    return true;
}

static uint32_t lower_states(struct lower *l, enum dfa_spelling spelling, uint32_t next)
{
    for (uint32_t s = 0; s < l->d->n_states && net_is_good(l->net); s++) {
        find_ways(l, s);
        uint32_t node = state_bytes(l, spelling);
        if (node != NET_NOTHING && l->target[s] == l->state_node[s])
            net_set_plain(l->net, node, is_plain_loop(l, s));
        net_set_jump(l->net, l->state_node[s], l->d->accepts[s] ? net_either(l->net, next, node) : node);
    }
    return l->net->is_bad ? NET_NOTHING : l->state_node[0];
}

static void lower_deinit(struct lower *l)
{
    free(l->state_node);
    free(l->target);
    free(l->ways);
    free(l->state_of);
    for (int i = 0; i < 3; i++)
        free(l->any[i]);
}

static bool lower_init(struct lower *l, struct dfa_room *room, const struct dfa *d)
{
    size_t n = d->n_states, n_ways = (size_t)d->n_symbols * 2 + 8;
    *l = (struct lower){.net = room->net, .d = d};
    l->state_node = calloc(n, sizeof *l->state_node);
    l->target = calloc(n, sizeof *l->target);
    l->ways = calloc(n_ways, sizeof *l->ways);
    l->state_of = calloc(n_ways, sizeof *l->state_of);
    bool ok = l->state_node && l->target && l->ways && l->state_of;
    for (int i = 0; i < 3; i++) {
        l->any[i] = calloc(n, sizeof *l->any[i]);
        ok = ok && l->any[i];
    }
    if (!ok) {
        room->code = ERR_NOMEM;
        lower_deinit(l);
        return false;
    }
    for (uint32_t s = 0; s < d->n_states; s++)
        l->target[s] = l->state_node[s] = net_jump(room->net);
    return true;
}

uint32_t dfa_to_net(struct dfa_room *room, const struct dfa *d, enum dfa_spelling spelling, uint32_t next)
{
    struct lower l;
    if (!d || dfa_is_nothing(d) || next == NET_NOTHING || !lower_init(&l, room, d))
        return NET_NOTHING;
    uint32_t start = lower_states(&l, spelling, next);
    lower_deinit(&l);
    return start;
}

/* ---- counted ---- */

/* Are at most `gap` lengths in a row impossible between least and most behind every state?  A state's are
 * those of its targets plus one, and none if it accepts: if these, taken as whole intervals, join without a
 * larger gap everywhere, then they are (by induction over the length). */
static bool has_small_gaps(const struct dfa *d, const uint32_t *least, const uint32_t *most, uint64_t gap)
{
    for (uint32_t s = 0; s < d->n_states; s++) {
        uint64_t covered = d->accepts[s] ? 1 : least[s]; /* lengths below are done */
        bool has_grown = true;
        while (has_grown && covered <= most[s]) {
            has_grown = false;
            for (uint32_t c = 0; c < d->n_symbols; c++) {
                uint32_t t = d->next[(size_t)s * d->n_symbols + c];
                if (t == DFA_NONE || least[t] + 1ull > covered + gap ||
                    (most[t] != NET_NO_MAX && most[t] + 1ull < covered))
                    continue;
                covered = most[t] == NET_NO_MAX ? UINT64_MAX : most[t] + 2ull;
                has_grown = true;
                if (covered > most[s])
                    break;
            }
        }
        if (covered <= most[s])
            return false;
    }
    return true;
}

/* A character is counted if some length from min to max seems possible behind it, by the least and the most
 * alone: min to max are more lengths than any gap has, so one of them is possible. */
bool dfa_to_net_counted(struct dfa_room *room, const struct dfa *d, enum dfa_spelling spelling, uint32_t min,
                        uint32_t max, uint32_t next, uint32_t *node)
{
    uint32_t *least = calloc(d->n_states, sizeof *least), *most = calloc(d->n_states, sizeof *most);
    bool ok = least && most && min <= max && !dfa_is_nothing(d) && dfa_find_rests(room, d, least, most) &&
              has_small_gaps(d, least, most, max == NET_NO_MAX ? NET_NO_MAX : max - min);
    struct lower l;
    if (ok && (least[0] > max || most[0] < min)) {
        *node = NET_NOTHING;
    } else if (ok && (ok = lower_init(&l, room, d))) {
        for (uint32_t s = 0; s < d->n_states; s++)
            l.target[s] = net_count(room->net, least[s], most[s], l.state_node[s]);
        *node = net_meter(room->net, lower_states(&l, spelling, NET_RET), min, max, next);
        lower_deinit(&l);
    }
    free(least);
    free(most);
    return ok;
}
