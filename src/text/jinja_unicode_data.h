/* jinja_unicode_data.h - The tables of jinja_unicode_data.c. */
#ifndef TEXT_JINJA_UNICODE_DATA_H
#define TEXT_JINJA_UNICODE_DATA_H

#include <stdint.h>

struct jj_range {
    uint32_t first, last;
};
/* first, first + step, ..., last each map to themselves + delta. */
struct jj_case_run {
    uint32_t first, last;
    uint32_t step;
    int32_t delta;
};
/* Maps to up to three code points, 0 after the last. */
struct jj_case_long {
    uint32_t code;
    uint32_t to[3];
};

extern const struct jj_case_run jj_upper_runs[], jj_lower_runs[], jj_title_runs[];
extern const uint32_t jj_upper_runs_n, jj_lower_runs_n, jj_title_runs_n;
extern const struct jj_case_long jj_upper_long[], jj_lower_long[], jj_title_long[];
extern const uint32_t jj_upper_long_n, jj_lower_long_n, jj_title_long_n;
extern const struct jj_range jj_is_upper_ranges[], jj_is_lower_ranges[], jj_is_titlecase_ranges[],
    jj_is_alpha_ranges[], jj_is_number_ranges[], jj_is_digit_ranges[], jj_is_unprintable_ranges[];
extern const uint32_t jj_is_upper_n, jj_is_lower_n, jj_is_titlecase_n, jj_is_alpha_n, jj_is_number_n,
    jj_is_digit_n, jj_is_unprintable_n;

#endif
