#include "text/jinja_unicode.h"

#include "base/test.h"

TEST(case_maps_as_python_does)
{
    uint32_t to[3];
    CHECK(jj_upper('a', to) == 1 && to[0] == 'A');
    CHECK(jj_upper(0xdf, to) == 2 && to[0] == 'S' && to[1] == 'S');
    CHECK(jj_lower(0x130, to) == 2 && to[0] == 'i' && to[1] == 0x307);
    CHECK(jj_title(0x1c6, to) == 1 && to[0] == 0x1c5);
    CHECK(jj_upper(0x10428, to) == 1 && to[0] == 0x10400);
    CHECK(jj_lower('1', to) == 1 && to[0] == '1');
}

TEST(classes_are_those_of_unicode)
{
    CHECK(jj_is_alpha(0x4e2d) && jj_is_alpha(0xe9) && !jj_is_alpha('1'));
    CHECK(jj_is_alnum(0x0663) && jj_is_digit(0x0663) && !jj_is_digit(0x4e00));
    CHECK(jj_is_upper(0x410) && jj_is_lower(0x430) && jj_is_cased(0x1c5));
    CHECK(jj_is_printable(' ') && !jj_is_printable(0x200b) && !jj_is_printable(0xa0));
}

TEST(broken_utf8_is_walked_over)
{
    struct str s = S("\xff\x80\x80\x80\x80"
                     "a\xc3");
    size_t n = 0;
    for (size_t at = 0; at < s.n; at += jj_char_bytes(s, at))
        n++;
    CHECK_INT(n, 4);
    CHECK_INT(jj_code_at(s, 0), 0xfffd);
    CHECK_INT(jj_space_at(S("\xe3\x80\x80"), 0), 3);
    CHECK_INT(jj_space_at(S("\xe3"), 0), 0);
}
