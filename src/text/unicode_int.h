/* unicode_int.h - The generated data behind unicode.h. */
#ifndef TEXT_UNICODE_INT_H
#define TEXT_UNICODE_INT_H

#include <stdint.h>

/* Code points from `first` up to the next run have class `bits` (enum unicode_class). */
struct unicode_run {
    uint32_t first;
    uint16_t bits;
};

extern const struct unicode_run unicode_runs[];
extern const int unicode_runs_n;

#endif
