#include "base/clock.h"
#include "base/test.h"

TEST(calendar_agrees_with_known_days)
{
    char iso[CLOCK_ISO_BYTES];
    clock_iso(0, iso);
    CHECK_STR(str_c(iso), S("1970-01-01T00:00:00.000Z"));
    clock_iso(INT64_C(951782399999) * NS_PER_MS, iso);
    CHECK_STR(str_c(iso), S("2000-02-28T23:59:59.999Z"));
    clock_iso(-NS_PER_MS, iso);
    CHECK_STR(str_c(iso), S("1969-12-31T23:59:59.999Z"));
    struct clock_date d = clock_date_utc(INT64_C(1795262400) * NS_PER_S);
    CHECK(d.year == 2026 && d.month == 11 && d.day == 21 && d.weekday == 6);
}

TEST(date_and_back_for_four_centuries)
{
    for (int64_t day = -100000; day < 100000; day += 13) {
        int64_t wall = day * 86400 * NS_PER_S + 12345 * NS_PER_MS;
        struct clock_date d = clock_date_utc(wall);
        CHECK(clock_from_date_utc(&d) == wall);
    }
}

TEST(fake_time_moves_only_when_told)
{
    clock_fake(1000, 5000);
    CHECK(clock_now_ns() == 1000 && clock_wall_ns() == 5000);
    clock_fake_advance(7);
    CHECK(clock_now_ns() == 1007 && clock_wall_ns() == 5007);
    clock_real();
    CHECK(clock_now_ns() != 1007);
}
