/* plan_rope.c - Rotary position embedding: the frequency of each pair, and its cosine and sine.
 *
 * Every scaling in use multiplies the frequency of a pair by a number that does not depend on the
 * position, so a rope is one frequency per pair (double) and a step computes
 * cos(pos * freq), sin(pos * freq):
 *   plain     base^(-2i/n)
 *   linear    times 1 / factor
 *   yarn      times mix + (1 - mix) / factor, mix falling from 1 to 0 between the pairs that turn
 *             beta_fast and beta_slow times within the original context (Peng et al. 2023), and
 *             magnitude 1 + 0.1 ln(factor)
 *   Llama 3.1  divided by the tensor rope_freqs
 *   long rope  (Phi) divided by the tensor rope_factors_long if the model is used with a larger context than
 * it was first trained with, else by rope_factors_short; the file says the magnitude
 *
 * The position's angles are reduced and evaluated here, not by libm, whose last bits differ
 * between hosts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/plan_int.h"

#define PI       3.14159265358979323846
#define FREQ_MAX 1e6 /* radians per position; real ones are at most 1, and 2^32 positions still fit int64 */

struct rope_keys {
    float base;
    float factor; /* of the context; 1: none */
    bool is_yarn;
    float attn_factor, beta_fast, beta_slow, ext_factor;
    float log_multiplier;
    uint32_t n_ctx_orig;
};

static int opt_f32(const struct gguf *g, const char *suffix, float *v, struct err *err)
{
    struct gguf_arch_key k;
    const char *key = gguf_arch_key(&k, g, suffix);
    int rc = gguf_opt_f32(g, key, v, err);
    if (rc == OK && !(*v - *v == 0))
        return fail(err, ERR_FORMAT, "%s is not a finite number", key);
    return rc;
}

static int read_keys(const struct plan *p, struct rope_keys *r, const struct gguf *g, struct err *err)
{
    struct gguf_arch_key k;
    struct str type = S("none");
    float linear = 0;
    int rc;
    *r = (struct rope_keys){.base = 10000,
                            .attn_factor = 1,
                            .beta_fast = 32,
                            .beta_slow = 1,
                            .ext_factor = 1,
                            .n_ctx_orig = p->n_ctx_train};
    if ((rc = opt_f32(g, "rope.freq_base", &r->base, err)) != OK ||
        (rc = opt_f32(g, "rope.scale_linear", &linear, err)) != OK ||
        (rc = opt_f32(g, "rope.scaling.factor", &r->factor, err)) != OK ||
        (rc = opt_f32(g, "rope.scaling.attn_factor", &r->attn_factor, err)) != OK ||
        (rc = opt_f32(g, "rope.scaling.yarn_beta_fast", &r->beta_fast, err)) != OK ||
        (rc = opt_f32(g, "rope.scaling.yarn_beta_slow", &r->beta_slow, err)) != OK ||
        (rc = opt_f32(g, "rope.scaling.yarn_ext_factor", &r->ext_factor, err)) != OK ||
        (rc = opt_f32(g, "rope.scaling.yarn_log_multiplier", &r->log_multiplier, err)) != OK ||
        (rc = gguf_opt_u32(g, gguf_arch_key(&k, g, "rope.scaling.original_context_length"), &r->n_ctx_orig,
                           err)) != OK ||
        (rc = gguf_opt_str(g, gguf_arch_key(&k, g, "rope.scaling.type"), &type, err)) != OK)
        return rc;
    if (r->factor == 0)
        r->factor = linear;
    if (str_eq(type, S("none")) && linear == 0)
        r->factor = 1;
    if (r->factor == 0)
        r->factor = 1;
    r->is_yarn = str_eq(type, S("yarn"));
    bool is_long = p->arch->long_rope && str_eq(type, S("longrope"));
    if (!r->is_yarn && !is_long && !str_eq(type, S("none")) && !str_eq(type, S("linear")))
        return fail(err, ERR_UNSUPPORTED,
                    "rope scaling '%.*s' is not supported; supported are: none, linear, yarn", STR(type));
    if (!(r->base > 1) || !(r->factor > 0) || r->n_ctx_orig == 0)
        return fail(err, ERR_FORMAT, "rope base %g, factor %g and original context %u are not possible",
                    (double)r->base, (double)r->factor, r->n_ctx_orig);
    return OK;
}

/* The pair that turns `turns` times in the original context. */
static double yarn_pair(const struct plan *p, const struct rope_keys *r, double turns)
{
    return p->n_rot * log(r->n_ctx_orig / (turns * 2 * PI)) / (2 * log((double)r->base));
}

static void apply_yarn(const struct plan *p, const struct rope_keys *r, struct plan_rope *rope)
{
    double low = yarn_pair(p, r, (double)r->beta_fast), high = yarn_pair(p, r, (double)r->beta_slow);
    if (!p->arch->yarn_exact) {
        low = floor(low);
        high = ceil(high);
    }
    double last = p->n_rot - 1;
    low = low < 0 ? 0 : low > last ? last : low;
    high = high < 0 ? 0 : high > last ? last : high;
    for (uint32_t i = 0; i < p->n_rot / 2; i++) {
        double ramp = (i - low) / fmax(0.001, high - low);
        double mix = (double)r->ext_factor * (1 - fmin(1, fmax(0, ramp)));
        rope->freq[i] *= mix + (1 - mix) / (double)r->factor;
    }
    /* A file with a log multiplier keeps the magnitude in the scores: scale_scores(). */
    if (r->ext_factor != 0 && r->log_multiplier == 0)
        rope->magnitude = (float)((double)r->attn_factor * (1 + 0.1 * log((double)r->factor)));
    else
        rope->magnitude = r->attn_factor;
}

/* DeepSeek multiplies not what is rotated, but the scores, by the square of 1 + 0.1 mscale ln(factor); files
 * have a tenth of mscale as the log multiplier. */
static int scale_scores(struct plan *p, const struct rope_keys *r, struct err *err)
{
    double m = 1 + (double)r->log_multiplier * log((double)r->factor), scale = (double)p->score_scale * m * m;
    if (p->arch->attn != ARCH_ATTN_MLA || !r->is_yarn || r->ext_factor == 0)
        return OK;
    if (!(scale > 0 && scale < 1e3))
        return fail(err, ERR_FORMAT, "a rope scaling that multiplies scores by %g is not possible", m * m);
    p->score_scale = (float)scale;
    return OK;
}

/* The tensor of factors that the frequencies are divided by; NULL: none. */
static int find_factors(const struct plan *p, const struct rope_keys *r, const struct gguf *g, uint32_t n_ctx,
                        const struct gguf_tensor **t, struct err *err)
{
    const struct gguf_tensor *near = gguf_tensor_find(g, S("rope_factors_short.weight")),
                             *far = gguf_tensor_find(g, S("rope_factors_long.weight"));
    *t = gguf_tensor_find(g, S("rope_freqs.weight"));
    if (!near && !far)
        return OK;
    if (!p->arch->long_rope)
        return fail(err, ERR_UNSUPPORTED,
                    "the file has long and short rope factors, which architecture '%s' does not use",
                    p->arch->name);
    if (!near || !far || *t)
        return fail(
            err, ERR_FORMAT,
            "rope factors are incomplete or ambiguous: rope_factors_long and rope_factors_short belong "
            "together, without rope_freqs");
    *t = n_ctx > r->n_ctx_orig ? far : near;
    return OK;
}

static int apply_factors(const struct plan *p, const struct gguf *g, const struct gguf_tensor *t,
                         struct plan_rope *rope, struct err *err)
{
    uint32_t n = p->n_rot / 2;
    if (t->n_elems != n || t->ne[0] != n)
        return fail(err, ERR_FORMAT, "tensor '%.*s' has %llu elements, expected %u", STR(t->name),
                    (unsigned long long)t->n_elems, n);
    float *f = malloc(n * sizeof *f);
    if (!f)
        return fail(err, ERR_NOMEM, "no memory for rope factors");
    int rc = gguf_read_rows_f32(g, t, 0, 1, f, err);
    for (uint32_t i = 0; rc == OK && i < n; i++) {
        if (!(f[i] > 0))
            rc = fail(err, ERR_FORMAT, "tensor '%.*s' holds %g, expected positive numbers", STR(t->name),
                      (double)f[i]);
        else
            rope->freq[i] /= (double)f[i];
    }
    free(f);
    return rc;
}

/* `factors`: NULL for none. */
static int make_rope(struct plan *p, const struct rope_keys *r, const struct gguf *g,
                     const struct gguf_tensor *factors, struct err *err)
{
    struct plan_rope *rope = &p->ropes[p->n_ropes];
    int rc = OK;
    rope->freq = calloc(p->n_rot / 2, sizeof *rope->freq);
    if (!rope->freq)
        return fail(err, ERR_NOMEM, "no memory for rope frequencies");
    p->n_ropes++;
    for (uint32_t i = 0; i < p->n_rot / 2; i++)
        rope->freq[i] = pow((double)r->base, -2.0 * i / p->n_rot);
    rope->magnitude = r->attn_factor;
    if (r->is_yarn)
        apply_yarn(p, r, rope);
    else
        for (uint32_t i = 0; i < p->n_rot / 2; i++)
            rope->freq[i] /= (double)r->factor;
    if (factors)
        rc = apply_factors(p, g, factors, rope, err);
    for (uint32_t i = 0; rc == OK && i < p->n_rot / 2; i++)
        if (!(rope->freq[i] >= 0 && rope->freq[i] <= FREQ_MAX))
            rc = fail(err, ERR_FORMAT, "rope turns pair %u by %g a position, which is not possible", i,
                      rope->freq[i]);
    return rc;
}

/* Layers with a window may turn otherwise than those that see everything. */
static int make_window_rope(struct plan *p, struct rope_keys r, const struct gguf *g,
                            const struct gguf_tensor *factors, struct err *err)
{
    float base = p->arch->window_rope_base;
    bool is_plain = base > 0;
    int rc = opt_f32(g, "rope.freq_base_swa", &base, err);
    if (rc != OK || base == 0)
        return rc;
    if (!(base > 1))
        return fail(err, ERR_FORMAT, "a rope base of %g for the layers with a window is not possible",
                    (double)base);
    if (is_plain) {
        r = (struct rope_keys){.factor = 1, .attn_factor = 1};
        factors = NULL;
    }
    r.base = base;
    for (uint32_t i = 0; i < p->n_layers; i++)
        p->layers[i].rope = p->layers[i].window ? p->n_ropes : 0;
    return make_rope(p, &r, g, factors, err);
}

int plan_rope_init(struct plan *p, const struct gguf *g, uint32_t n_ctx, struct err *err)
{
    struct rope_keys r;
    const struct gguf_tensor *factors = NULL;
    bool windows = false;
    int rc;
    for (uint32_t i = 0; i < p->n_layers; i++)
        windows |= p->layers[i].window > 0;
    if ((rc = read_keys(p, &r, g, err)) != OK ||
        (rc = find_factors(p, &r, g, n_ctx ? n_ctx : p->n_ctx_train, &factors, err)) != OK ||
        (rc = make_rope(p, &r, g, factors, err)) != OK)
        return rc;
    if ((rc = scale_scores(p, &r, err)) != OK)
        return rc;
    return windows ? make_window_rope(p, r, g, factors, err) : OK;
}

/* Taylor series on |x| <= pi/4; the first term left out is below 1e-16. */
static double sin_small(double x)
{
    double z = x * x;
    return x * (1 + z * (-1.0 / 6 +
                         z * (1.0 / 120 +
                              z * (-1.0 / 5040 +
                                   z * (1.0 / 362880 + z * (-1.0 / 39916800 + z * (1.0 / 6227020800.0)))))));
}

static double cos_small(double x)
{
    double z = x * x;
    return 1 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 +
                                                z * (1.0 / 40320 + z * (-1.0 / 3628800 +
                                                                        z * (1.0 / 479001600.0 +
                                                                             z * (-1.0 / 87178291200.0)))))));
}

void plan_rope_at(const struct plan *p, const struct plan_rope *rope, uint32_t pos, float *cosines,
                  float *sines)
{
    const double hi = 1.57079632673412561417, lo = 6.07710050650619224932e-11; /* pi/2, hi with 33 bits */
    for (uint32_t i = 0; i < p->n_rot / 2; i++) {
        double a = pos * rope->freq[i];
        double turns = (double)(int64_t)(a * (2 / PI) + 0.5); /* quarter turns; a >= 0 */
        double x = a - turns * hi - turns * lo;
        double s = sin_small(x), c = cos_small(x);
        switch ((int64_t)turns & 3) {
        case 0: break;
        case 1: {
            double t = s;
            s = c;
            c = -t;
        } break;
        case 2:
            s = -s;
            c = -c;
            break;
        default: {
            double t = s;
            s = -c;
            c = t;
        } break;
        }
        cosines[i] = (float)c * rope->magnitude;
        sines[i] = (float)s * rope->magnitude;
    }
}
