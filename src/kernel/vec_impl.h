/* vec_impl.h - Everything of a level that is not a matrix product; compiled once per level.
 *
 * The including file defines LEVEL_FILL, the name of a function that puts these into a struct
 * kern_ops. */
#include "kernel/kern_int.h"
#include "kernel/vec16.h"
#include "kernel/vec_pairs.h"

/* One f16 as sixteen equal floats. */
VEC vf vf_of_f16_one(const uint8_t *p)
{
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)(p[0] | p[1] << 8)));
#elif defined(__AVX2__)
    __m256 a = _mm256_cvtph_ps(_mm_set1_epi16((short)(p[0] | p[1] << 8)));
    return vf_both(a, a);
#else
    return vf_set1(f16_to_f32((uint16_t)(p[0] | p[1] << 8)));
#endif
}

#include "kernel/attn_fetch.h"
#include "kernel/attn_impl.h"
#include "kernel/attn_int_impl.h"

/* --- activations --------------------------------------------------------------------------- */

/* The codes of n elements (a multiple of 16); returns d.  See quant.h for the rule. */
VEC float quantize_codes(int8_t *q, const float *x, int n)
{
    vf m = vf_zero();
    for (int i = 0; i < n; i += 16)
        m = vf_max(vf_abs(vf_load(x + i)), m);
    float amax = vf_hmax(m);
    if (!(amax >= 0x1p-100f)) {
        memset(q, 0, (size_t)n);
        return 0;
    }
    vf id = vf_set1(127 / amax);
    for (int i = 0; i < n; i += 16)
        vf_to_i8(q + i, vf_mul(vf_load(x + i), id));
    return amax / 127;
}

static void quantize_32(struct kern_act32 *a, const float *x, int n)
{
    for (int i = 0; i < n; i += 32, a++) {
        a->d = quantize_codes(a->q, x + i, 32);
        a->neg16[0] = -sum16_i8(a->q);
        a->neg16[1] = -sum16_i8(a->q + 16);
        a->neg = a->neg16[0] + a->neg16[1];
    }
}

static void quantize_256(struct kern_act256 *a, const float *x, int n)
{
    for (int i = 0; i < n; i += 256, a++) {
        a->d = quantize_codes(a->q, x + i, 256);
        for (int g = 0; g < 16; g++)
            a->neg16[g] = -sum16_i8(a->q + 16 * g);
        for (int g = 0; g < 8; g++)
            a->neg32[g] = a->neg16[2 * g] + a->neg16[2 * g + 1];
        for (int g = 0; g < 16; g++) { /* of each four: 0 2 1 3 */
            int from = (g & ~3) + (g % 4 == 1 ? 2 : g % 4 == 2 ? 1 : g % 4);
            a->pair16[g] = (int16_t)-a->neg16[from];
            if (g < 8)
                a->pair32[g] = (int16_t)-a->neg32[from];
        }
    }
}

static void quantize(enum quant_act act, void *y, const float *x, int n)
{
#if defined(__AVX2__) || defined(__ARM_FEATURE_DOTPROD)
    switch (act) {
    case QUANT_ACT_Q8_32: quantize_32(y, x, n); return;
    case QUANT_ACT_Q8_256: quantize_256(y, x, n); return;
    case QUANT_ACT_F32: memcpy(y, x, (size_t)n * sizeof *x); return;
    case QUANT_ACT_NONE: return;
    }
#else
    (void)quantize_32;
    (void)quantize_256;
    quantize_act(act, y, x, (size_t)n);
#endif
}

/* --- rows of floats ------------------------------------------------------------------------ */

/* for (i = 0; i < n; i += 16) with c lanes in use */
#define FOR_LANES(i, c, n) for (int i = 0, c; c = (n)-i < 16 ? (n)-i : 16, i < (n); i += 16)

static void rmsnorm(float *y, const float *x, const float *w, int n, float eps)
{
    vf s = vf_zero();
    FOR_LANES(i, c, n)
    {
        vf v = vf_load_n(x + i, c);
        s = vf_fma(v, v, s);
    }
    float inv = 1.0f / sqrtf(vf_sum(s) / (float)n + eps);
    FOR_LANES(i, c, n)
    {
        vf v = vf_mul(vf_load_n(x + i, c), vf_set1(inv));
        vf_store_n(y + i, w ? vf_mul(v, vf_load_n(w + i, c)) : v, c);
    }
}

static void add(float *y, const float *x, int n)
{
    FOR_LANES(i, c, n) vf_store_n(y + i, vf_add(vf_load_n(y + i, c), vf_load_n(x + i, c)), c);
}

static void scale(float *y, const float *x, float a, int n)
{
    FOR_LANES(i, c, n) vf_store_n(y + i, vf_mul(vf_load_n(x + i, c), vf_set1(a)), c);
}

static void axpy(float *y, float a, const float *x, int n)
{
    FOR_LANES(i, c, n)
    vf_store_n(y + i, vf_fma(vf_set1(a), vf_load_n(x + i, c), vf_load_n(y + i, c)), c);
}

static void silu_mul(float *y, const float *gate, const float *up, int n)
{
    FOR_LANES(i, c, n)
    {
        vf g = vf_load_n(gate + i, c), one = vf_set1(1);
        vf s = vf_div(g, vf_add(one, vf_exp(vf_sub(vf_zero(), g))));
        vf_store_n(y + i, vf_mul(s, vf_load_n(up + i, c)), c);
    }
}

static void gelu_mul(float *y, const float *gate, const float *up, int n)
{
    FOR_LANES(i, c, n)
    {
        vf g = vf_load_n(gate + i, c), one = vf_set1(1);
        vf cube = vf_mul(vf_mul(g, g), g);
        vf u2 = vf_mul(vf_fma(cube, vf_set1(0.044715f), g), vf_set1(1.5957691216f)); /* 2 sqrt(2 / pi) */
        vf s = vf_div(g, vf_add(one, vf_exp(vf_sub(vf_zero(), u2))));
        vf_store_n(y + i, vf_mul(s, vf_load_n(up + i, c)), c);
    }
}

static void oai_mul(float *y, const float *gate, const float *up, int n)
{
    vf one = vf_set1(1), limit = vf_set1(7), low = vf_set1(-7);
    FOR_LANES(i, c, n)
    {
        vf g = vf_min(limit, vf_load_n(gate + i, c));
        vf u = vf_max(low, vf_min(limit, vf_load_n(up + i, c)));
        vf s = vf_div(g, vf_add(one, vf_exp(vf_mul(g, vf_set1(-1.702f)))));
        vf_store_n(y + i, vf_mul(s, vf_add(u, one)), c);
    }
}

static void softcap(float *y, const float *x, float cap, int n)
{
    vf inverse = vf_set1(1 / cap);
    FOR_LANES(i, c, n)
    vf_store_n(y + i, vf_mul(vf_tanh(vf_mul(vf_load_n(x + i, c), inverse)), vf_set1(cap)), c);
}

static void sigmoid(float *y, const float *x, int n)
{
    FOR_LANES(i, c, n)
    {
        vf one = vf_set1(1), v = vf_load_n(x + i, c);
        vf_store_n(y + i, vf_div(one, vf_add(one, vf_exp(vf_sub(vf_zero(), v)))), c);
    }
}

static float softmax_exp(float *p, const float *x, int n)
{
    vf neg = vf_set1(-INFINITY), m = neg, sum = vf_zero();
    FOR_LANES(i, c, n) m = vf_max(vf_first(c, vf_load_n(x + i, c), neg), m);
    float max = vf_hmax(m);
    FOR_LANES(i, c, n)
    {
        vf e = vf_exp(vf_sub(vf_load_n(x + i, c), vf_set1(max)));
        sum = vf_add(sum, vf_first(c, e, vf_zero()));
        vf_store_n(p + i, e, c);
    }
    return vf_sum(sum);
}

static void rope_norm(float *x, const float *c, const float *s, int n)
{
    for (int i = 0; i < n / 2; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = fmaf(a, c[i], -(b * s[i]));
        x[2 * i + 1] = fmaf(a, s[i], b * c[i]);
    }
}

static void rope_neox(float *x, const float *c, const float *s, int n)
{
    float *hi = x + n / 2;
    FOR_LANES(i, w, n / 2)
    {
        vf a = vf_load_n(x + i, w), b = vf_load_n(hi + i, w);
        vf cv = vf_load_n(c + i, w), sv = vf_load_n(s + i, w);
        vf_store_n(x + i, vf_fma(a, cv, vf_sub(vf_zero(), vf_mul(b, sv))), w);
        vf_store_n(hi + i, vf_fma(a, sv, vf_mul(b, cv)), w);
    }
}

/* --- KV tiles ------------------------------------------------------------------------------ */

static void put_16bit(enum kern_kv kv, uint8_t *k_tile, uint8_t *v_tile, int slot, const float *k,
                      const float *v, int n)
{
    for (int d = 0; d < n; d += 16) {
        vf hi = vf_set1(65504.0f), lo = vf_set1(-65504.0f);
        uint16_t t[16];
        if (kv == KERN_KV_F16) {
            vf_to_f16(t, vf_max(lo, vf_min(hi, vf_load(k + d))));
            vf_to_f16(v_tile + 2 * (slot * n + d), vf_max(lo, vf_min(hi, vf_load(v + d))));
        } else {
            vf_to_bf16(t, vf_load(k + d));
            vf_to_bf16(v_tile + 2 * (slot * n + d), vf_load(v + d));
        }
        for (int i = 0; i < 16; i++)
            memcpy(k_tile + 2 * (16 * (d + i) + slot), &t[i], 2);
    }
}

/* d of a block as stored: the nearest f16, at most 65504. */
static uint16_t scale_f16(float d)
{
    return f32_to_f16(d > 65504.0f ? 65504.0f : d);
}

static void put_q8_0(uint8_t *k_tile, uint8_t *v_tile, int slot, const float *k, const float *v, int n)
{
    for (int d = 0; d < n; d += 32) {
        uint8_t *block = k_tile + KV_Q8_BLOCK * (d / 32), *row = v_tile + 2 * (slot / 2 * n + d) + slot % 2;
        int8_t q[32];
        uint16_t s = scale_f16(quantize_codes(q, k + d, 32));
        for (int i = 0; i < 32; i += 2)
            memcpy(block + 16 * i + 2 * slot, q + i, 2);
        memcpy(block + 512 + 2 * slot, &s, 2);
        s = scale_f16(quantize_codes(q, v + d, 32));
        for (int i = 0; i < 32; i++)
            row[2 * i] = (uint8_t)q[i];
        memcpy(v_tile + 16 * n + 2 * (16 * (d / 32) + slot), &s, 2);
    }
}

/* The codes of one head, sixteen at a time, go to `put`; returns the scale. */
typedef void put_codes(uint8_t *tile, int slot, int n, int d, const int16_t *codes);

VEC float put_head(uint8_t *tile, int slot, const float *x, int n, put_codes *put)
{
    vf hi = vf_set1(CODE_HUGE), lo = vf_set1(-CODE_HUGE), m = vf_zero();
    for (int d = 0; d < n; d += 16)
        m = vf_max(vf_abs(vf_max(vf_min(vf_load(x + d), hi), lo)), m);
    float max = vf_hmax(m);
    if (!(max >= CODE_TINY))
        max = 0;
    vf id = vf_set1(max > 0 ? I16_CODE / max : 0);
    for (int d = 0; d < n; d += 16) {
        int16_t codes[16];
        vf_to_i16(codes, vf_mul(vf_max(vf_min(vf_load(x + d), hi), lo), id));
        put(tile, slot, n, d, codes);
    }
    return max / I16_CODE;
}

VEC void put_k16(uint8_t *tile, int slot, int n, int d, const int16_t *codes)
{
    (void)n;
    for (int i = 0; i < 16; i += 2)
        memcpy(tile + 32 * (d + i) + 4 * slot, codes + i, 4);
}

VEC void put_v16(uint8_t *tile, int slot, int n, int d, const int16_t *codes)
{
    uint8_t *row = tile + 4 * (slot / 2 * n + d) + 2 * (slot % 2);
    for (int i = 0; i < 16; i++)
        memcpy(row + 4 * i, codes + i, 2);
}

static void put_i16(uint8_t *k_tile, uint8_t *v_tile, int slot, const float *k, const float *v, int n)
{
    float s = put_head(k_tile, slot, k, n, put_k16);
    memcpy(k_tile + 32 * n + 4 * slot, &s, sizeof s);
    s = put_head(v_tile, slot, v, n, put_v16);
    memcpy(v_tile + 32 * n + 4 * slot, &s, sizeof s);
}

static void kv_put(enum kern_kv kv, uint8_t *k_tile, uint8_t *v_tile, int slot, const float *k,
                   const float *v, int n)
{
    if (kv == KERN_KV_I16)
        put_i16(k_tile, v_tile, slot, k, v, n);
    else if (kv == KERN_KV_Q8_0)
        put_q8_0(k_tile, v_tile, slot, k, v, n);
    else if (kv == KERN_KV_F16)
        put_16bit(KERN_KV_F16, k_tile, v_tile, slot, k, v, n);
    else
        put_16bit(KERN_KV_BF16, k_tile, v_tile, slot, k, v, n);
}

void LEVEL_FILL(struct kern_ops *ops);
void LEVEL_FILL(struct kern_ops *ops)
{
    ops->quantize = quantize;
    ops->rmsnorm = rmsnorm;
    ops->add = add;
    ops->scale = scale;
    ops->axpy = axpy;
    ops->gate_mul[KERN_GATE_SILU] = silu_mul;
    ops->gate_mul[KERN_GATE_GELU] = gelu_mul;
    ops->gate_mul[KERN_GATE_OAI] = oai_mul;
    ops->sigmoid = sigmoid;
    ops->softcap = softcap;
    ops->softmax_exp = softmax_exp;
    ops->rope_norm = rope_norm;
    ops->rope_neox = rope_neox;
    ops->kv_put = kv_put;
    ops->attn[KERN_KV_F16] = attend_f16;
    ops->attn[KERN_KV_BF16] = attend_bf16;
    ops->attn[KERN_KV_Q8_0] = attend_q8_0;
    ops->attn[KERN_KV_I16] = attend_i16;
    ops->attn_query = code_query;
    ops->attn_merge = attend_merge;
    ops->attn_finish = attend_finish;
}
