/* clock.h - Time, replaceable by a fake one in tests.
 *
 * All code that measures or waits asks here, so that a test can hold time still and move it.
 * Nothing here blocks.  Thread-safe. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

/* Nanoseconds of a clock that never goes back; its zero means nothing. */
int64_t clock_now_ns(void);
static inline int64_t clock_now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

/* Nanoseconds since 1970-01-01 UTC: for people, budgets and records; may jump. */
int64_t clock_wall_ns(void);

/* CPU time used by the calling thread. */
int64_t clock_thread_cpu_ns(void);

/* From now on both clocks are the given ones and move only by clock_fake_advance. */
void clock_fake(int64_t now_ns, int64_t wall_ns);
void clock_fake_advance(int64_t by_ns);
void clock_real(void);

/* Calendar of a wall time in UTC (proleptic Gregorian). */
struct clock_date {
    int year, month, day; /* 1..12, 1..31 */
    int hour, minute, second;
    int ms;
    int weekday; /* 0 Sunday */
};
struct clock_date clock_date_utc(int64_t wall_ns);
int64_t clock_from_date_utc(const struct clock_date *d); /* wall ns; weekday is ignored */

/* "2026-01-31T23:59:59.123Z"; buf of at least CLOCK_ISO_BYTES. */
#define CLOCK_ISO_BYTES 32
void clock_iso(int64_t wall_ns, char out[CLOCK_ISO_BYTES]);

#endif
