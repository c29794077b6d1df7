/* charset.c - Sets of characters for patterns. */
#include "grammar/charset.h"

#include <stdlib.h>

void charset_add(struct charset_builder *b, uint32_t lo, uint32_t hi)
{
    if (b->failed)
        return;
    if (b->n == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 8;
        struct range *grown = arena_new_array(b->arena, struct range, cap);
        if (!grown) {
            b->failed = true;
            return;
        }
        if (b->n > 0)
            memcpy(grown, b->ranges, b->n * sizeof *grown);
        b->ranges = grown;
        b->cap = cap;
    }
    b->ranges[b->n++] = (struct range){lo, hi};
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

static void join(struct charset_builder *b)
{
    uint32_t n = 0;
    if (b->n > 1)
        qsort(b->ranges, b->n, sizeof *b->ranges, compare_ranges);
    for (uint32_t i = 0; i < b->n; i++) {
        if (n > 0 && b->ranges[i].lo <= b->ranges[n - 1].hi + 1) {
            if (b->ranges[i].hi > b->ranges[n - 1].hi)
                b->ranges[n - 1].hi = b->ranges[i].hi;
        } else {
            b->ranges[n++] = b->ranges[i];
        }
    }
    b->n = n;
}

struct charset charset_finish(struct charset_builder *b, bool is_complement)
{
    if (b->failed)
        return (struct charset){0};
    join(b);
    if (!is_complement)
        return (struct charset){b->ranges, b->n};
    struct charset_builder not = {.arena = b->arena};
    uint32_t from = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->ranges[i].lo > from)
            charset_add(&not, from, b->ranges[i].lo - 1);
        from = b->ranges[i].hi + 1;
    }
    if (from <= DFA_CHAR_MAX)
        charset_add(&not, from, DFA_CHAR_MAX);
    b->failed |= not .failed;
    return (struct charset){not .ranges, not .n};
}

bool charset_add_named(struct charset_builder *b, char name)
{
    static const struct range digits[] = {{'0', '9'}};
    static const struct range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct range spaces[] = {
        {0x09, 0x0d},     {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    static const struct range lines[] = {{0x0a, 0x0a}, {0x0d, 0x0d}, {0x2028, 0x2029}};
    static const struct {
        char name;
        const struct range *ranges;
        uint32_t n;
    } sets[] = {{'d', digits, 1}, {'w', words, 4}, {'s', spaces, 10}, {'.', lines, 3}};

    for (int i = 0; i < 4; i++) {
        bool is_complement = name == '.' ? i == 3 : name == (char)(sets[i].name - 'a' + 'A');
        if (name != sets[i].name && !is_complement)
            continue;
        struct charset_builder named = {.arena = b->arena};
        for (uint32_t r = 0; r < sets[i].n; r++)
            charset_add(&named, sets[i].ranges[r].lo, sets[i].ranges[r].hi);
        struct charset set = charset_finish(&named, is_complement);
        for (uint32_t r = 0; r < set.n; r++)
            charset_add(b, set.ranges[r].lo, set.ranges[r].hi);
        b->failed |= named.failed;
        return true;
    }
    return false;
}
