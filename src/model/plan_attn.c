/* plan_attn.c - What architectures do to the scores of attention and to the numbers around it: scale, soft
 * caps, and windows that some layers look through. */
#include <math.h>
#include <stdlib.h>

#include "model/plan_int.h"

/* --- scale and caps -------------------------------------------------------------------------- */

static int read_scales(struct plan *p, const struct gguf *g, struct err *err)
{
    float scale = 0, dims = (float)p->head_dim;
    int rc = plan_key_f32(g, "attention.scale", &scale, 0, 1e3f, false, err);
    if (rc != OK)
        return rc;
    if (p->arch->attn == ARCH_ATTN_MLA)
        dims = (float)(p->mla.nope + p->n_rot);
    if (p->n_layers == p->arch->wide_scale_layers)
        dims = (float)(p->n_embd / p->n_heads);
    if (dims < 1)
        return fail(err, ERR_FORMAT, "%u heads in a stream of %u numbers are not possible", p->n_heads,
                    p->n_embd);
    p->score_scale = scale > 0 ? KERN_LOG2E * scale : KERN_LOG2E / sqrtf(dims);
    p->embd_scale = p->arch->embd_scale ? sqrtf((float)p->n_embd) : 1;
    return OK;
}

/* Zero is none; below a hundredth everything would be the same. */
static int read_cap(const struct gguf *g, const char *suffix, float *cap, struct err *err)
{
    struct gguf_arch_key k;
    int rc = plan_key_f32(g, suffix, cap, 0, 1e6f, false, err);
    if (rc == OK && *cap > 0 && *cap < 0.01f)
        return fail(err, ERR_FORMAT, "%s is %g, expected 0 (none) or 0.01 to 1e+06",
                    gguf_arch_key(&k, g, suffix), (double)*cap);
    return rc;
}

static int read_caps(struct plan *p, const struct gguf *g, struct err *err)
{
    int rc;
    if (!p->arch->softcaps) {
        rc = plan_key_refuse(g, "attn_logit_softcapping", "soft-capped attention", err);
        return rc == OK ? plan_key_refuse(g, "final_logit_softcapping", "soft-capped logits", err) : rc;
    }
    p->attn_softcap = p->arch->attn_softcap;
    p->logit_softcap = p->arch->logit_softcap;
    rc = read_cap(g, "attn_logit_softcapping", &p->attn_softcap, err);
    return rc == OK ? read_cap(g, "final_logit_softcapping", &p->logit_softcap, err) : rc;
}

/* --- windows --------------------------------------------------------------------------------- */

/* The pattern is a period, or an array that says of each layer whether it has the window. */
static int read_pattern(const struct plan *p, const struct gguf *g, uint32_t *has, struct err *err)
{
    struct gguf_arch_key k;
    const char *key = gguf_arch_key(&k, g, "attention.sliding_window_pattern");
    const struct gguf_value *v = gguf_find(g, str_c(key));
    uint32_t period = p->arch->window_period;
    if (v && v->type == GGUF_ARRAY)
        return gguf_get_u32_per_layer(g, key, has, p->n_layers, err);
    int rc = gguf_opt_u32(g, key, &period, err);
    for (uint32_t i = 0; rc == OK && i < p->n_layers; i++)
        has[i] = period == 0 || i % period < period - 1;
    return rc;
}

static int read_windows(struct plan *p, const struct gguf *g, struct err *err)
{
    uint32_t window = p->arch->window;
    if (p->arch->window_period == 0)
        return OK;
    int rc = plan_key_u32(g, "attention.sliding_window", &window, 0, UINT32_MAX, false, err);
    if (rc != OK || window == 0)
        return rc;
    uint32_t *has = malloc(p->n_layers * sizeof *has);
    if (!has)
        return fail(err, ERR_NOMEM, "no memory for %u layers", p->n_layers);
    rc = read_pattern(p, g, has, err);
    for (uint32_t i = 0; rc == OK && i < p->n_layers; i++)
        p->layers[i].window = has[i] ? window : 0;
    free(has);
    return rc;
}

int plan_attn_init(struct plan *p, const struct gguf *g, struct err *err)
{
    int rc = read_scales(p, g, err);
    if (rc == OK)
        rc = read_caps(p, g, err);
    return rc == OK ? read_windows(p, g, err) : rc;
}
