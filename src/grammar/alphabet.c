/* alphabet.c - See the header. */
#include "grammar/alphabet.h"

/* States: where bytes of a character are to come. */
enum {
    NEXT, /* a character */
    ONE,  /* any last byte */
    TWO,  /* any two */
    THREE,
    C2,
    E0,
    E1,
    E2,
    E3,
    E380,
    ED,
    EF,
    F0,
    F4
};

static const struct alphabet_edge lower[] = {{NEXT, 'a', 'z', NEXT}};

static const struct alphabet_edge letters[] = {{NEXT, 'A', 'Z', NEXT}, {NEXT, 'a', 'z', NEXT}};

static const struct alphabet_edge symbols[] = {
    {NEXT, 0x21, 0x21, NEXT}, {NEXT, 0x23, 0x5b, NEXT}, {NEXT, 0x5d, 0x7e, NEXT}};

/* Letters by Unicode (\p{L}), in blocks that have hardly anything else. */
enum {
    L_C3 = TWO + 1,
    L_CE,
    L_CF,
    L_D4,
    L_D7,
    L_D8,
    L_D9,
    L_E3,
    L_E381,
    L_E382,
    L_E383,
    L_E4,
    L_EA,
    L_ED,
    L_ED9E
};

static const struct alphabet_edge scripts[] = {
    {NEXT, 'A', 'Z', NEXT},     {NEXT, 'a', 'z', NEXT},     {NEXT, 0xc3, 0xc3, L_C3},
    {NEXT, 0xc4, 0xca, ONE},    {NEXT, 0xce, 0xce, L_CE},   {NEXT, 0xcf, 0xcf, L_CF},
    {NEXT, 0xd0, 0xd1, ONE},    {NEXT, 0xd3, 0xd3, ONE},    {NEXT, 0xd4, 0xd4, L_D4},
    {NEXT, 0xd7, 0xd7, L_D7},   {NEXT, 0xd8, 0xd8, L_D8},   {NEXT, 0xd9, 0xd9, L_D9},
    {NEXT, 0xe3, 0xe3, L_E3},   {NEXT, 0xe4, 0xe4, L_E4},   {NEXT, 0xe5, 0xe9, TWO},
    {NEXT, 0xea, 0xea, L_EA},   {NEXT, 0xeb, 0xec, TWO},    {NEXT, 0xed, 0xed, L_ED},
    {ONE, 0x80, 0xbf, NEXT},    {TWO, 0x80, 0xbf, ONE},     {L_C3, 0x80, 0x96, NEXT},
    {L_C3, 0x98, 0xb6, NEXT},   {L_C3, 0xb8, 0xbf, NEXT},   {L_CE, 0x91, 0xa1, NEXT},
    {L_CE, 0xa3, 0xbf, NEXT},   {L_CF, 0x80, 0xb5, NEXT},   {L_CF, 0xb7, 0xbf, NEXT},
    {L_D4, 0x80, 0xaf, NEXT},   {L_D7, 0x90, 0xaa, NEXT},   {L_D8, 0xa0, 0xbf, NEXT},
    {L_D9, 0x81, 0x8a, NEXT},   {L_E3, 0x81, 0x81, L_E381}, {L_E3, 0x82, 0x82, L_E382},
    {L_E3, 0x83, 0x83, L_E383}, {L_E381, 0x81, 0xbf, NEXT}, {L_E382, 0x80, 0x96, NEXT},
    {L_E382, 0xa1, 0xbf, NEXT}, {L_E383, 0x80, 0xba, NEXT}, {L_E4, 0xb8, 0xbf, ONE},
    {L_EA, 0xb0, 0xbf, ONE},    {L_ED, 0x80, 0x9d, ONE},    {L_ED, 0x9e, 0x9e, L_ED9E},
    {L_ED9E, 0x80, 0xa3, NEXT}};

/* UTF-8 without what \s of a pattern means, its neighbours (line separators, general punctuation), and C1. */
static const struct alphabet_edge wide[] = {
    {NEXT, 'A', 'Z', NEXT},  {NEXT, 'a', 'z', NEXT},    {NEXT, 0xc2, 0xc2, C2},  {NEXT, 0xc3, 0xdf, ONE},
    {NEXT, 0xe0, 0xe0, E0},  {NEXT, 0xe1, 0xe1, E1},    {NEXT, 0xe2, 0xe2, E2},  {NEXT, 0xe3, 0xe3, E3},
    {NEXT, 0xe4, 0xec, TWO}, {NEXT, 0xed, 0xed, ED},    {NEXT, 0xee, 0xee, TWO}, {NEXT, 0xef, 0xef, EF},
    {NEXT, 0xf0, 0xf0, F0},  {NEXT, 0xf1, 0xf3, THREE}, {NEXT, 0xf4, 0xf4, F4},  {ONE, 0x80, 0xbf, NEXT},
    {TWO, 0x80, 0xbf, ONE},  {THREE, 0x80, 0xbf, TWO},  {C2, 0xa1, 0xbf, NEXT},  {E0, 0xa0, 0xbf, ONE},
    {E1, 0x80, 0x99, ONE},   {E1, 0x9b, 0xbf, ONE},     {E2, 0x82, 0xbf, ONE},   {E3, 0x80, 0x80, E380},
    {E3, 0x81, 0xbf, ONE},   {E380, 0x81, 0xbf, NEXT},  {ED, 0x80, 0x9f, ONE},   {EF, 0x80, 0xba, ONE},
    {EF, 0xbc, 0xbf, ONE},   {F0, 0x90, 0xbf, TWO},     {F4, 0x80, 0x8f, TWO}};

#define TABLE(edges)                                                                                         \
    {                                                                                                        \
        edges, sizeof(edges) / sizeof *(edges)                                                               \
    }

static const struct {
    const struct alphabet_edge *edges;
    uint32_t n;
} alphabets[ALPHABETS] = {
    [ALPHABET_LOWER] = TABLE(lower), [ALPHABET_LETTERS] = TABLE(letters), [ALPHABET_SCRIPTS] = TABLE(scripts),
    [ALPHABET_WIDE] = TABLE(wide),   [ALPHABET_SYMBOLS] = TABLE(symbols),
};

const struct alphabet_edge *alphabet_edges(enum alphabet a, uint32_t *n)
{
    *n = alphabets[a].n;
    return alphabets[a].edges;
}

bool alphabet_has(enum alphabet a, struct str s)
{
    uint8_t state = NEXT;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t b = (uint8_t)s.p[i];
        uint32_t e = 0;
        while (e < alphabets[a].n && (alphabets[a].edges[e].from != state || alphabets[a].edges[e].lo > b ||
                                      alphabets[a].edges[e].hi < b))
            e++;
        if (e == alphabets[a].n)
            return false;
        state = alphabets[a].edges[e].to;
    }
    return s.n > 0 && state == NEXT;
}
