/* cosine.h - How alike two vectors are.
 *
 * cosine(a, b) = a.b / (|a| |b|); of vectors of unit length it is their dot product. */
#ifndef GATEWAY_COSINE_H
#define GATEWAY_COSINE_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Four lanes, which every machine has, four times: enough to keep memory busy. */
typedef float cosine_lanes __attribute__((vector_size(16)));

static inline float cosine_of_units(const float *a, const float *b, int n)
{
    cosine_lanes sum[4] = {{0}, {0}, {0}, {0}};
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 4; k++) {
            cosine_lanes x, y;
            memcpy(&x, a + i + 4 * k, sizeof x);
            memcpy(&y, b + i + 4 * k, sizeof y);
            sum[k] += x * y;
        }
    cosine_lanes all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    float rest = 0;
    for (; i < n; i++)
        rest += a[i] * b[i];
    return (all[0] + all[1]) + (all[2] + all[3]) + rest;
}

/* Scale to unit length.  False: it has no direction (zero, or not finite). */
static inline bool cosine_make_unit(float *v, int n)
{
    double squares = 0;
    for (int i = 0; i < n; i++)
        squares += (double)v[i] * (double)v[i];
    if (!(squares > 0) || !isfinite(squares))
        return false;
    double scale = 1 / sqrt(squares);
    for (int i = 0; i < n; i++)
        v[i] = (float)((double)v[i] * scale);
    return true;
}

#endif
