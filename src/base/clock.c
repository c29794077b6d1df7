/* clock.c - See clock.h.  Calendar arithmetic after Howard Hinnant's days_from_civil. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static _Atomic bool is_fake;
static _Atomic int64_t fake_now, fake_wall;

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_now_ns(void)
{
    return is_fake ? fake_now : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
    return is_fake ? fake_wall : read_clock(CLOCK_REALTIME);
}

int64_t clock_thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void clock_fake(int64_t now_ns, int64_t wall_ns)
{
    fake_now = now_ns;
    fake_wall = wall_ns;
    is_fake = true;
}

void clock_fake_advance(int64_t by_ns)
{
    fake_now += by_ns;
    fake_wall += by_ns;
}

void clock_real(void)
{
    is_fake = false;
}

static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

struct clock_date clock_date_utc(int64_t wall_ns)
{
    int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S;
        s--;
    }
    int64_t days = s / 86400, rest = s % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (struct clock_date){
        .year = (int)(yoe + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = (int)(rest / 3600),
        .minute = (int)(rest / 60 % 60),
        .second = (int)(rest % 60),
        .ms = (int)(ns / NS_PER_MS),
        .weekday = (int)(((days + 4) % 7 + 7) % 7),
    };
}

int64_t clock_from_date_utc(const struct clock_date *d)
{
    int64_t s =
        days_from_civil(d->year, d->month, d->day) * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
    return s * NS_PER_S + d->ms * NS_PER_MS;
}

static char *put_digits(char *to, int v, int n)
{
    for (int i = n - 1; i >= 0; i--, v /= 10)
        to[i] = (char)('0' + v % 10);
    return to + n;
}

void clock_iso(int64_t wall_ns, char out[CLOCK_ISO_BYTES])
{
    struct clock_date d = clock_date_utc(wall_ns);
    const int values[] = {d.year % 10000, d.month, d.day, d.hour, d.minute, d.second, d.ms};
    static const char behind[] = "--T::.Z";
    char *to = out;
    for (int i = 0; i < 7; i++) {
        to = put_digits(to, values[i], i == 0 ? 4 : i == 6 ? 3 : 2);
        *to++ = behind[i];
    }
    *to = 0;
}
