/* convert_gemma.c - Keys of Gemma 2 and 3 that other models do not have.
 *
 * A reader knows the architecture's usual values, so a key is written where this model has another one,
 * or where writers always do. */
#include <math.h>
#include <stdio.h>

#include "model/convert_int.h"

/* --- windows ------------------------------------------------------------------------------------ */

static bool usual_window(uint32_t period, uint32_t layer)
{
    return layer % period < period - 1;
}

/* Which layers have the window: a list of kinds, or a period. */
static int read_layers(struct converter *c, uint32_t period, int32_t *has, struct err *err)
{
    struct json kinds = json_get(c->config, "layer_types");
    double own = convert_number(c->config, "sliding_window_pattern", period);
    if (json_is_none(kinds)) {
        if (!(own >= 1 && own <= 1e6))
            return fail(err, ERR_FORMAT, "config.json: a sliding_window_pattern of %g is not possible", own);
        for (uint32_t i = 0; i < c->n_layers; i++)
            has[i] = usual_window((uint32_t)own, i);
        return OK;
    }
    if (json_count(kinds) != c->n_layers)
        return fail(err, ERR_FORMAT, "config.json: layer_types has %u entries for %u layers",
                    json_count(kinds), c->n_layers);
    struct json_iter it = json_iter(kinds);
    for (uint32_t i = 0; json_next(&it); i++) {
        has[i] = json_text_is(it.value, "sliding_attention");
        if (!has[i] && !json_text_is(it.value, "full_attention"))
            return fail(err, ERR_UNSUPPORTED, "config.json: layers of type %.*s are not known here",
                        STR(json_span(it.value)));
    }
    return OK;
}

/* The period that gives these layers, or 0. */
static uint32_t period_of(const int32_t *has, uint32_t n)
{
    for (uint32_t period = 1; period <= n; period++) {
        bool fits = true;
        for (uint32_t i = 0; i < n && fits; i++)
            fits = has[i] == usual_window(period, i);
        if (fits)
            return period;
    }
    return 0;
}

static int put_windows(struct converter *c, uint32_t usual, struct err *err)
{
    char key[96];
    uint32_t window = 0;
    int32_t *has = arena_new_array(&c->arena, int32_t, c->n_layers);
    if (!has)
        return fail(err, ERR_NOMEM, "no memory for %u layers", c->n_layers);
    if (json_is_none(json_get(c->config, "sliding_window"))) {
        convert_put_u32(c, "attention.sliding_window", 0);
        return OK;
    }
    int rc = convert_config_u32(c, "sliding_window", 0, &window, err);
    if (rc == OK)
        rc = read_layers(c, usual, has, err);
    if (rc != OK)
        return rc;
    convert_put_u32(c, "attention.sliding_window", window);
    bool is_usual = true;
    for (uint32_t i = 0; i < c->n_layers; i++)
        is_usual = is_usual && has[i] == usual_window(usual, i);
    uint32_t period = period_of(has, c->n_layers);
    if (is_usual)
        return OK;
    if (period) {
        convert_put_u32(c, "attention.sliding_window_pattern", period);
        return OK;
    }
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", c->family->arch);
    gguf_write_i32s(c->w, key, has, c->n_layers);
    return OK;
}

static int put_window_rope(struct converter *c, struct err *err)
{
    struct json v = json_get(json_get(c->config, "rope_parameters"), "sliding_attention");
    struct json kind = json_get(v, "rope_type");
    if (!json_is_none(kind) && !json_text_is(kind, "default"))
        return fail(err, ERR_UNSUPPORTED,
                    "config.json: rope scaling of type %.*s in layers with a window is not known here",
                    STR(json_span(kind)));
    double base = convert_number(c->config, "rope_local_base_freq", 10000);
    convert_put_f32(c, "rope.freq_base_swa", convert_number(v, "rope_theta", base));
    return OK;
}

/* --- numbers ------------------------------------------------------------------------------------ */

/* Readers take the head size, or the width of a head in the stream for the models of 27B. */
static void put_scale(struct converter *c, uint32_t wide_layers)
{
    double dim = convert_number(c->config, "hidden_size", 0);
    double usual = c->n_layers == wide_layers ? floor(dim / c->n_heads) : c->head_dim;
    double dims = convert_number(c->config, "query_pre_attn_scalar", 256);
    if (dims > 0 && dims != usual)
        convert_put_f32(c, "attention.scale", 1 / sqrt(dims));
}

static void put_cap(struct converter *c, const char *from, double fallback)
{
    struct json v = json_get(c->config, from);
    if (json_exists(v)) /* null is none */
        fallback = 0;
    double cap = convert_number(c->config, from, fallback);
    if (cap > 0 || strcmp(c->family->arch, "gemma2") == 0)
        convert_put_f32(c, from, cap);
}

int convert_put_gemma(struct converter *c, struct err *err)
{
    bool both_ways = false;
    json_bool(json_get(c->config, "use_bidirectional_attention"), &both_ways);
    if (both_ways)
        return fail(err, ERR_UNSUPPORTED, "config.json: attention in both directions is not known here");
    if (strcmp(c->family->arch, "gemma") == 0)
        return OK;
    bool is_2 = strcmp(c->family->arch, "gemma2") == 0;
    put_scale(c, is_2 ? 46 : 62);
    put_cap(c, "attn_logit_softcapping", is_2 ? 50 : 0);
    put_cap(c, "final_logit_softcapping", is_2 ? 30 : 0);
    int rc = put_windows(c, is_2 ? 2 : 6, err);
    return rc == OK && !is_2 ? put_window_rope(c, err) : rc;
}
