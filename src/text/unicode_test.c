#include "text/unicode.h"

#include "base/test.h"

TEST(every_code_point_survives_encoding_and_decoding)
{
    for (uint32_t c = 0; c <= UNICODE_LAST; c++) {
        uint8_t bytes[4];
        unsigned n;
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        unsigned len = unicode_encode(c, bytes);
        REQUIRE(unicode_decode(bytes, bytes + len, &n) == c && n == len);
    }
}

TEST(broken_utf8_is_taken_byte_by_byte)
{
    static const struct str broken[] = {{"\x80", 1},         {"\xC0\x80", 2},     {"\xC3", 1},
                                        {"\xE0\x80\x80", 3}, {"\xED\xA0\x80", 3}, {"\xF4\x90\x80\x80", 4},
                                        {"\xF0\x9F\x98", 3}, {"\xFF", 1},         {"\xE2\x82(", 3}};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        const uint8_t *p = (const uint8_t *)broken[i].p;
        unsigned n;
        CHECK_INT(unicode_decode(p, p + broken[i].n, &n), UNICODE_INVALID | p[0]);
        CHECK_INT(n, 1);
    }
}

TEST(classes_are_those_of_unicode)
{
    unicode_init();
    CHECK(unicode_class_of('a') & UC_LOWER);
    CHECK(unicode_class_of(0xC9) & UC_UPPER);          /* É */
    CHECK(unicode_class_of(0x1C5) & UC_UPPER);         /* titlecase */
    CHECK(unicode_class_of(0x301) & UC_MARK);          /* combining acute */
    CHECK(unicode_class_of(0x4E2D) & UC_OTHER_LETTER); /* Han */
    CHECK(unicode_class_of(0x4E2D) & UC_HAN);
    CHECK(unicode_class_of(0xBD) & UC_NUMBER); /* one half */
    CHECK(unicode_class_of(0x3000) & UC_SPACE);
    CHECK(unicode_class_of(0x85) & UC_SPACE);
    CHECK(!(unicode_class_of(0x200B) & UC_SPACE));
    CHECK(unicode_class_of('$') & UC_SYMBOL);
    CHECK(unicode_class_of('_') & UC_PUNCT);
    CHECK_INT(unicode_class_of(UNICODE_INVALID | 0xFF), 0);
}

static void check_nfc(struct str in, struct str want)
{
    struct buf memory;
    struct str out;
    buf_init(&memory, 4096);
    CHECK_INT(unicode_nfc(in, &memory, &out), OK);
    CHECK_STR(out, want);
    buf_deinit(&memory);
}

TEST(normal_form_c_composes_and_keeps_the_rest)
{
    unicode_init();
    check_nfc(S("plain"), S("plain"));
    check_nfc(S("e\xCC\x81t\xC3\xA9"), S("\xC3\xA9t\xC3\xA9"));
    check_nfc(S("\xFF"
                "e\xCC\x81\xC3"),
              S("\xFF\xC3\xA9\xC3"));                                          /* invalid bytes */
    check_nfc(S("\xE2\x84\xAB"), S("\xC3\x85"));                               /* Angstrom sign */
    check_nfc(S("a\xCC\xA7\xCC\x81"), S("\xC3\xA1\xCC\xA7"));                  /* reordered */
    check_nfc(S("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB!"), S("\xED\x95\x9C!")); /* Hangul */
    check_nfc(S("\xCC\x81"), S("\xCC\x81"));
}
