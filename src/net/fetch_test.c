#include "net/fetch.h"

#include "base/test.h"

static void leads(const char *from, const char *location, struct str want)
{
    struct url base;
    struct buf b;
    buf_init(&b, 4096);
    REQUIRE(url_parse(str_c(from), &base, NULL) == OK);
    CHECK(fetch_resolve(&base, str_c(location), &b));
    CHECK_STR(buf_str(&b), want);
    buf_deinit(&b);
}

TEST(a_location_is_seen_from_where_we_are)
{
    const char *at = "https://hub.example/o/r/resolve/main/f?x=1";
    leads(at, "https://store.example/f?sig=a%2Fb#part", S("https://store.example/f?sig=a%2Fb"));
    leads(at, "//store.example:444/f", S("https://store.example:444/f"));
    leads(at, "/other?to=http://x/", S("https://hub.example:443/other?to=http://x/"));
    leads(at, "g", S("https://hub.example:443/o/r/resolve/main/g"));
    leads("http://[::1]:8080", "g", S("http://[::1]:8080/g"));
}
