/* quant_search.c - Find the scales, minimums and codes that stand for given floats best.
 *
 * The question is always the same: given x and weights w, choose a scale d (and perhaps an offset
 * m) and integers q in a range, so that sum w (x - d q - m)^2 is small.  For fixed q the best d
 * and m are a least-squares solution; for fixed d and m the best q is the nearest integer.  So:
 * try a grid of scales around the one that just fits the largest value, judge each by its
 * least-squares error, then alternate the two steps from the best one until nothing improves.
 * A plain alternation from one start stays in poor local optima: the grid is what pays.
 *
 * Superblocks store the scales of their groups as integers too.  They take each group's own
 * optimum, round it, try the neighbours of the rounded scale with codes chosen anew, and solve
 * for the common factors again at the end.
 *
 * Sums run in 8 lanes so that the compiler can use vectors; group sizes are multiples of 8. */
#include "kernel/quant_int.h"

enum { LANES = 8, REFINE_STEPS = 4 };

#define TINY 1e-30f /* blocks whose largest value is below are zero: f16 scales cannot hold them */

const float *quant_weights(const float *importance)
{
    static const float ones[256] = {
        [0 ... 255] = 1,
    };
    return importance ? importance : ones;
}

/* Clamped and rounded as floats: the form that vectorises. */
static inline float nearest_in(float v, float lo, float hi)
{
    v = v < lo ? lo : v;
    v = v > hi ? hi : v;
    return (v + 12582912.0f) - 12582912.0f;
}

static inline float sum_lanes(const float *a)
{
    return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

static float largest_value(const float *x, int n)
{
    float best = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(best))
            best = x[i];
    return best;
}

/* --- one scale ------------------------------------------------------------------------------ */

/* What a scale is judged by, for the codes that its inverse gives. */
struct fit {
    float xq, qq; /* sum w x q, sum w q q */
};

static struct fit fit_scale(const float *x, const float *w, int n, float id, struct quant_range range)
{
    float xq[LANES] = {0}, qq[LANES] = {0}, lo = (float)range.lo, hi = (float)range.hi;
    for (int i = 0; i < n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float q = nearest_in(x[i + j] * id, lo, hi), wq = w[i + j] * q;
            xq[j] += wq * x[i + j];
            qq[j] += wq * q;
        }
    }
    return (struct fit){sum_lanes(xq), sum_lanes(qq)};
}

/* The weighted squared error is a constant minus this. */
static float fit_gain(struct fit f)
{
    return f.qq > 0 ? f.xq * f.xq / f.qq : 0;
}

/* The best real-valued scale found.  The largest value may sit anywhere from a step inside the
 * range to a step outside, at either end. */
static float best_scale(const float *x, const float *w, int n, struct quant_range range)
{
    float top = largest_value(x, n);
    if (fabsf(top) < TINY)
        return 0;
    struct fit best = {0, 0};
    /* Few codes: the range may profit from clipping more, and a coarser grid would miss it. */
    float span = range.hi <= 4 ? 1.6f : 2.4f;
    for (int end = 0; end < 2; end++) {
        float edge = (float)(end ? range.hi : range.lo), sign = end ? 1.0f : -1.0f;
        for (int k = 0; k < 18; k++) {
            float target = edge + sign * (0.8f - span * (float)k / 17);
            struct fit f = fit_scale(x, w, n, target / top, range);
            if (fit_gain(f) > fit_gain(best))
                best = f;
        }
    }
    for (int k = 0; k < REFINE_STEPS && best.qq > 0; k++) {
        struct fit f = fit_scale(x, w, n, best.qq / best.xq, range);
        if (!(fit_gain(f) > fit_gain(best)))
            break;
        best = f;
    }
    return best.qq > 0 ? best.xq / best.qq : 0;
}

/* The codes for a scale that is already decided; returns the weighted squared error. */
static float encode_scale(int8_t *q, const float *x, const float *w, int n, float d, struct quant_range range)
{
    float err[LANES] = {0}, lo = (float)range.lo, hi = (float)range.hi;
    float id = fabsf(d) > TINY ? 1 / d : 0;
    for (int i = 0; i < n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float v = nearest_in(x[i + j] * id, lo, hi), diff = x[i + j] - d * v;
            q[i + j] = (int8_t)v;
            err[j] += w[i + j] * diff * diff;
        }
    }
    return sum_lanes(err);
}

float search_scale(int8_t *q, const float *x, const float *w, int n, struct quant_range range)
{
    float d = round_f16(best_scale(x, w, n, range));
    encode_scale(q, x, w, n, d, range);
    return d;
}

/* --- scale and offset ----------------------------------------------------------------------- */

struct fit_sums {
    float w, x, xx, q, qq, xq; /* all weighted; x is measured from `base` */
};

static struct fit_sums fit_affine(const float *x, const float *w, int n, float base, float id, float shift,
                                  int q_max)
{
    float sw[LANES] = {0}, sx[LANES] = {0}, sxx[LANES] = {0};
    float sq[LANES] = {0}, sqq[LANES] = {0}, sxq[LANES] = {0};
    float hi = (float)q_max;
    for (int i = 0; i < n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float v = x[i + j] - base, wj = w[i + j];
            float q = nearest_in((v - shift) * id, 0, hi), wv = wj * v, wq = wj * q;
            sw[j] += wj;
            sx[j] += wv;
            sxx[j] += wv * v;
            sq[j] += wq;
            sqq[j] += wq * q;
            sxq[j] += wv * q;
        }
    }
    return (struct fit_sums){sum_lanes(sw), sum_lanes(sx),  sum_lanes(sxx),
                             sum_lanes(sq), sum_lanes(sqq), sum_lanes(sxq)};
}

/* Least squares for d >= 0 and m <= max_m; returns the error that is left. */
static float solve_affine(struct quant_affine *a, const struct fit_sums *s, float max_m)
{
    float det = s->w * s->qq - s->q * s->q;
    if (det > 1e-6f * s->w * s->qq) {
        a->d = (s->w * s->xq - s->x * s->q) / det;
        a->m = (s->qq * s->x - s->q * s->xq) / det;
    } else { /* all codes equal */
        a->d = 0;
        a->m = s->w > 0 ? s->x / s->w : 0;
    }
    if (a->m > max_m) {
        a->m = max_m;
        a->d = s->qq > 0 ? (s->xq - max_m * s->q) / s->qq : 0;
    }
    if (a->d < 0)
        a->d = 0;
    return s->xx - 2 * a->d * s->xq - 2 * a->m * s->x + a->d * a->d * s->qq + 2 * a->d * a->m * s->q +
           a->m * a->m * s->w;
}

/* The best real-valued scale and offset found, for x measured from zero.  The grid moves both
 * ends of the range of values, inwards more than outwards. */
static struct quant_affine best_affine(const float *x, const float *w, int n, int q_max, float max_m)
{
    enum { ENDS = 6 };
    float lo = x[0], hi = x[0];
    for (int i = 1; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    float base = lo < max_m ? lo : max_m, span = hi - base;
    struct quant_affine best = {0, base};
    if (!(span > TINY))
        return best;
    float best_err = INFINITY, step = span / (float)q_max;
    for (int a = 0; a < ENDS; a++) {
        for (int b = 0; b < ENDS; b++) {
            float shift = step * (-0.3f + 0.3f * (float)a);
            float id = (float)q_max / (span - shift - step * (-0.3f + 0.3f * (float)b));
            struct fit_sums s = fit_affine(x, w, n, base, id, shift, q_max);
            struct quant_affine now;
            float err = solve_affine(&now, &s, max_m - base);
            if (err < best_err) {
                best_err = err;
                best = now;
            }
        }
    }
    for (int k = 0; k < REFINE_STEPS && best.d > TINY; k++) {
        struct fit_sums s = fit_affine(x, w, n, base, 1 / best.d, best.m, q_max);
        struct quant_affine now;
        float err = solve_affine(&now, &s, max_m - base);
        if (!(err < best_err))
            break;
        best_err = err;
        best = now;
    }
    best.m += base;
    return best;
}

static float encode_affine(uint8_t *q, const float *x, const float *w, int n, float d, float m, int q_max)
{
    float err[LANES] = {0}, hi = (float)q_max, id = d > TINY ? 1 / d : 0;
    for (int i = 0; i < n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float v = nearest_in((x[i + j] - m) * id, 0, hi), diff = x[i + j] - d * v - m;
            q[i + j] = (uint8_t)v;
            err[j] += w[i + j] * diff * diff;
        }
    }
    return sum_lanes(err);
}

struct quant_affine search_affine(uint8_t *q, const float *x, const float *w, int n, int q_max, float max_m)
{
    struct quant_affine a = best_affine(x, w, n, q_max, max_m);
    a.d = round_f16(a.d);
    a.m = round_f16(a.m);
    encode_affine(q, x, w, n, a.d, a.m, q_max);
    return a;
}

/* --- a table of values ---------------------------------------------------------------------- */

uint8_t table_nearest(const int8_t table[16], float v)
{
    int lo = 0;
    for (int half = 8; half; half /= 2) /* table[lo] is the last entry whose lower border is below v */
        if (2 * v > (float)(table[lo + half - 1] + table[lo + half]))
            lo += half;
    return (uint8_t)lo;
}

static struct fit fit_table(const float *x, const float *w, int n, float id, const float value[256])
{
    struct fit f = {0, 0};
    for (int i = 0; i < n; i++) {
        float q = value[(int)nearest_in(x[i] * id, -128, 127) + 128];
        f.xq += w[i] * x[i] * q;
        f.qq += w[i] * q * q;
    }
    return f;
}

float search_table_real(const float *x, const float *w, int n, const int8_t table[16])
{
    float top = largest_value(x, n);
    if (fabsf(top) < TINY)
        return 0;
    float value[256]; /* the entry nearest to each integer: good enough to compare scales by */
    for (int i = 0, k = 0; i < 256; i++) {
        while (k < 15 && 2 * (i - 128) > table[k] + table[k + 1])
            k++;
        value[i] = table[k];
    }
    struct fit best = {0, 0};
    for (int end = 0; end < 2; end++) {
        float edge = table[end ? 15 : 0];
        for (int k = 0; k < 16; k++) {
            struct fit f = fit_table(x, w, n, edge * (1.12f - 0.022f * (float)k) / top, value);
            if (fit_gain(f) > fit_gain(best))
                best = f;
        }
    }
    for (int k = 0; k < REFINE_STEPS && best.qq > 0; k++) {
        struct fit f = fit_table(x, w, n, best.qq / best.xq, value);
        if (!(fit_gain(f) > fit_gain(best)))
            break;
        best = f;
    }
    return best.qq > 0 ? best.xq / best.qq : 0;
}

float encode_table(uint8_t *q, const float *x, const float *w, int n, float d, const int8_t table[16])
{
    float id = fabsf(d) > TINY ? 1 / d : 0, err = 0;
    for (int i = 0; i < n; i++) {
        q[i] = table_nearest(table, x[i] * id);
        float diff = x[i] - d * (float)table[q[i]];
        err += w[i] * diff * diff;
    }
    return err;
}

float search_table(uint8_t *q, const float *x, const float *w, int n, const int8_t table[16])
{
    float d = round_f16(search_table_real(x, w, n, table));
    encode_table(q, x, w, n, d, table);
    return d;
}

/* --- superblocks ---------------------------------------------------------------------------- */

/* Error of the whole block with factor d and the scales it has; writes the codes to v. */
static double encode_super(int8_t *v, const struct quant_super *b, float d, const float *x, const float *w,
                           int group_n, struct quant_range range)
{
    double err = 0;
    for (int i = 0; i < 256; i += group_n) {
        int g = i / 16;
        err += (double)encode_scale(v + i, x + i, w + i, group_n, d * (float)b->sc[g], range);
    }
    return err;
}

/* The codes are given: the best common factor for them. */
static float solve_super(const struct quant_super *b, const float *x, const float *w)
{
    double num = 0, den = 0;
    for (int i = 0; i < 256; i++) {
        int g = i / 16;
        double v = (double)b->sc[g] * b->v[i];
        num += (double)w[i] * (double)x[i] * v;
        den += (double)w[i] * v * v;
    }
    return den > 0 ? round_f16((float)(num / den)) : 0;
}

void search_super(struct quant_super *b, const float *x, const float *w, int group_n, struct quant_range sc,
                  struct quant_range range)
{
    float scale[16], largest = 0;
    int n_groups = 256 / group_n, repeat = group_n / 16;
    *b = (struct quant_super){.d = 0};
    for (int g = 0; g < n_groups; g++) {
        int i = g * group_n;
        scale[g] = best_scale(x + i, w + i, group_n, range);
        if (fabsf(scale[g]) > fabsf(largest))
            largest = scale[g];
    }
    b->d = round_f16(largest / (float)sc.lo);
    if (b->d == 0)
        return;
    for (int g = 0; g < n_groups; g++) {
        int i = g * group_n, mid = quant_clamp(quant_round(scale[g] / b->d), sc.lo, sc.hi);
        float best = INFINITY;
        int best_sc = mid;
        for (int s = mid - 1; s <= mid + 1; s++) {
            int8_t q[32];
            if (s < sc.lo || s > sc.hi)
                continue;
            float err = encode_scale(q, x + i, w + i, group_n, b->d * (float)s, range);
            if (err < best) {
                best = err;
                best_sc = s;
            }
        }
        for (int r = 0; r < repeat; r++)
            b->sc[g * repeat + r] = (int16_t)best_sc;
    }
    double err = encode_super(b->v, b, b->d, x, w, group_n, range);
    for (int k = 0; k < REFINE_STEPS; k++) {
        int8_t v[256];
        float d = solve_super(b, x, w);
        double now = encode_super(v, b, d, x, w, group_n, range);
        if (!(now < err))
            break;
        err = now;
        b->d = d;
        memcpy(b->v, v, sizeof v);
    }
}

static double encode_super_min(int8_t *v, const struct quant_super *b, float d, float dmin, const float *x,
                               const float *w, int group_n, int q_max)
{
    double err = 0;
    for (int i = 0; i < 256; i += group_n) {
        int g = i / 16;
        err += (double)encode_affine((uint8_t *)v + i, x + i, w + i, group_n, d * (float)b->sc[g],
                                     -dmin * (float)b->m[g], q_max);
    }
    return err;
}

/* The codes are given: the best d and dmin for them.  False where they are not determined. */
static bool solve_super_min(const struct quant_super *b, const float *x, const float *w, float *d,
                            float *dmin)
{
    double aa = 0, am = 0, mm = 0, xa = 0, xm = 0; /* x ~ d a - dmin m */
    for (int i = 0; i < 256; i++) {
        int g = i / 16;
        double a = (double)b->sc[g] * b->v[i], m = b->m[g], wi = (double)w[i];
        aa += wi * a * a;
        am += wi * a * m;
        mm += wi * m * m;
        xa += wi * (double)x[i] * a;
        xm += wi * (double)x[i] * m;
    }
    double det = aa * mm - am * am;
    if (mm == 0 && aa > 0) {
        *d = round_f16((float)(xa / aa));
        *dmin = 0;
        return *d > 0;
    }
    if (!(det > 1e-9 * aa * mm))
        return false;
    *d = round_f16((float)((xa * mm - xm * am) / det));
    *dmin = round_f16((float)((xa * am - xm * aa) / det));
    return *d > 0 && *dmin >= 0;
}

/* The best integer scale and minimum of one group near its own optimum. */
static void round_group(struct quant_super *b, int g, int repeat, struct quant_affine own, const float *x,
                        const float *w, int group_n, int sc_max, int q_max)
{
    int sc_mid = b->d > 0 ? quant_clamp(quant_round(own.d / b->d), 0, sc_max) : 0;
    int m_mid = b->dmin > 0 ? quant_clamp(quant_round(-own.m / b->dmin), 0, sc_max) : 0;
    float best = INFINITY;
    int best_sc = sc_mid, best_m = m_mid;
    for (int s = sc_mid - 1; s <= sc_mid + 1; s++) {
        for (int m = m_mid - 1; m <= m_mid + 1; m++) {
            uint8_t q[32];
            if (s < 0 || s > sc_max || m < 0 || m > sc_max)
                continue;
            float err = encode_affine(q, x, w, group_n, b->d * (float)s, -b->dmin * (float)m, q_max);
            if (err < best) {
                best = err;
                best_sc = s;
                best_m = m;
            }
        }
    }
    for (int r = 0; r < repeat; r++) {
        b->sc[g * repeat + r] = (int16_t)best_sc;
        b->m[g * repeat + r] = (uint8_t)best_m;
    }
}

void search_super_min(struct quant_super *b, const float *x, const float *w, int group_n, int sc_max,
                      int q_max)
{
    struct quant_affine own[16];
    int n_groups = 256 / group_n;
    float d_max = 0, m_max = 0;
    *b = (struct quant_super){.has_min = true};
    for (int g = 0; g < n_groups; g++) {
        own[g] = best_affine(x + g * group_n, w + g * group_n, group_n, q_max, 0);
        d_max = own[g].d > d_max ? own[g].d : d_max;
        m_max = -own[g].m > m_max ? -own[g].m : m_max;
    }
    b->d = round_f16(d_max / (float)sc_max);
    b->dmin = round_f16(m_max / (float)sc_max);
    for (int g = 0; g < n_groups; g++)
        round_group(b, g, group_n / 16, own[g], x + g * group_n, w + g * group_n, group_n, sc_max, q_max);
    double err = encode_super_min(b->v, b, b->d, b->dmin, x, w, group_n, q_max);
    for (int k = 0; k < REFINE_STEPS; k++) {
        int8_t v[256];
        float d, dmin;
        if (!solve_super_min(b, x, w, &d, &dmin))
            break;
        double now = encode_super_min(v, b, d, dmin, x, w, group_n, q_max);
        if (!(now < err))
            break;
        err = now;
        b->d = d;
        b->dmin = dmin;
        memcpy(b->v, v, sizeof v);
    }
}
