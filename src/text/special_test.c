#include "text/special.h"

#include "base/test.h"

static struct special_set *make_set(const struct special_pattern *patterns, size_t n)
{
    struct special_set *set = NULL;
    REQUIRE(special_create(&set, patterns, n, NULL) == OK);
    return set;
}

static void check_matches(const struct special_set *set, struct str text, const struct special_span *spans,
                          size_t n_spans, const struct special_match *want, size_t n_want)
{
    struct special_search search;
    struct special_match match;
    size_t n = 0;
    special_begin(&search, set, text, spans, n_spans);
    while (special_next(&search, &match)) {
        if (n < n_want) {
            CHECK_INT(match.begin, want[n].begin);
            CHECK_INT(match.end, want[n].end);
            CHECK_INT(match.id, want[n].id);
        }
        n++;
    }
    CHECK_INT(n, n_want);
}

TEST(leftmost_wins_then_longest)
{
    const struct special_pattern patterns[] = {
        {S("<a"), 1, false}, {S("<ab>"), 2, false}, {S("b>c"), 3, false}, {S("c"), 4, false}};
    struct special_set *set = make_set(patterns, 4);
    const struct special_match longest[] = {{1, 5, 2}, {5, 6, 4}};
    check_matches(set, S("x<ab>c"), NULL, 0, longest, 2);
    const struct special_match shorter[] = {{0, 2, 1}, {3, 6, 3}};
    check_matches(set, S("<axb>c"), NULL, 0, shorter, 2);
    special_free(set);
}

TEST(a_pattern_without_permission_leaves_room_for_others)
{
    const struct special_pattern patterns[] = {
        {S("<end>"), 1, true}, {S("<en"), 2, false}, {S("d>"), 3, false}};
    struct special_set *set = make_set(patterns, 3);
    const struct special_span all = {0, 12}, first = {0, 5}, part = {1, 12};
    const struct special_match allowed[] = {{0, 5, 1}, {7, 12, 1}};
    check_matches(set, S("<end>xx<end>"), &all, 1, allowed, 2);
    const struct special_match one[] = {{0, 5, 1}, {7, 10, 2}, {10, 12, 3}};
    check_matches(set, S("<end>xx<end>"), &first, 1, one, 3);
    const struct special_match other[] = {{0, 3, 2}, {3, 5, 3}, {7, 12, 1}};
    check_matches(set, S("<end>xx<end>"), &part, 1, other, 3);
    const struct special_match none[] = {{0, 3, 2}, {3, 5, 3}, {7, 10, 2}, {10, 12, 3}};
    check_matches(set, S("<end>xx<end>"), NULL, 0, none, 4);
    special_free(set);
}

TEST(an_empty_set_finds_nothing)
{
    struct special_set *set = make_set(NULL, 0);
    check_matches(set, S("anything"), NULL, 0, NULL, 0);
    special_free(set);
}

/* The definition, by trying everything everywhere. */
static bool slow_next(const struct special_pattern *patterns, size_t n, struct str text, size_t from,
                      struct special_span span, struct special_match *match)
{
    for (size_t at = from; at < text.n; at++) {
        size_t best = 0;
        for (size_t i = 0; i < n; i++) {
            struct str p = patterns[i].text;
            bool allowed = !patterns[i].needs_permission || (at >= span.begin && at + p.n <= span.end);
            if (allowed && p.n > best && str_starts(str_sub(text, at, text.n), p)) {
                best = p.n;
                *match = (struct special_match){at, at + p.n, patterns[i].id};
            }
        }
        if (best)
            return true;
    }
    return false;
}

TEST(random_patterns_match_as_defined)
{
    struct {
        uint64_t s;
    } r = {12345};
    for (int round = 0; round < 2000; round++) {
        char letters[8][5], text[24];
        struct special_pattern patterns[8];
        for (size_t i = 0; i < 8; i++) {
            size_t n = 0, len;
            r.s = r.s * 6364136223846793005ull + 1442695040888963407ull;
            len = 1 + (r.s >> 60) % 5;
            for (; n < len; n++)
                letters[i][n] = (char)('a' + (r.s >> (20 + n)) % 2);
            patterns[i] = (struct special_pattern){str_of(letters[i], len), (int32_t)i, i % 2 == 0};
        }
        for (size_t i = 0; i < 8; i++) /* of equal texts the first counts */
            for (size_t k = 0; k < i; k++)
                if (str_eq(patterns[i].text, patterns[k].text)) {
                    patterns[i].id = patterns[k].id;
                    patterns[i].needs_permission = patterns[k].needs_permission;
                }
        for (size_t i = 0; i < sizeof text; i++) {
            r.s = r.s * 6364136223846793005ull + 1442695040888963407ull;
            text[i] = (char)('a' + (r.s >> 40) % 3);
        }
        struct special_span span = {(r.s >> 33) % 12, 12 + (r.s >> 50) % 12};
        struct special_set *set = make_set(patterns, 8);
        struct special_search search;
        struct special_match got, want;
        size_t at = 0;
        special_begin(&search, set, str_of(text, sizeof text), &span, 1);
        for (;;) {
            bool has = special_next(&search, &got);
            REQUIRE(has == slow_next(patterns, 8, str_of(text, sizeof text), at, span, &want));
            if (!has)
                break;
            REQUIRE(got.begin == want.begin && got.end == want.end && got.id == want.id);
            at = got.end;
        }
        special_free(set);
    }
}
