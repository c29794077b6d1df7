/* attn_impl.h - Attention with f32 products over one segment of keys (KV types F16 and BF16), and what all
 * types share; compiled once per level (vec_impl.h).
 *
 * Scores come out sixteen keys at a time because a K tile is stored transposed: lane = key, and
 * the loop over d multiplies each line of the tile with one number of the query.  V tiles are
 * stored by key: lane = output dimension, and the loop over keys multiplies a line with one
 * probability.  Up to KERN_QUERIES queries (those of a GQA group, or neighbouring rows of a
 * prompt) share every load and conversion of K and V.
 *
 * Every output is one chain of fma in ascending order, so neither the number of queries in a
 * call nor the number of tiles computed together changes a bit. */

#if defined(__AVX512F__)
enum { PV_WIDTH = 4, QK_TILES = 2 }; /* 6 x 4 and 6 x 2 accumulators of 32 registers */
#elif defined(__AVX2__)
enum { PV_WIDTH = 1, QK_TILES = 1 };
#else
enum { PV_WIDTH = 1, QK_TILES = 1 };
#endif

VEC vf f16_line(enum kern_kv kv, const uint8_t *p)
{
    return kv == KERN_KV_F16 ? vf_of_f16(p) : vf_of_bf16(p);
}

/* Scores of `tiles` neighbouring tiles from tile t on. */
VEC void score_tiles(enum kern_kv kv, int nq, int tiles, struct kern_attn *a, struct fetch *f, int t)
{
    vf acc[KERN_QUERIES][2];
    UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < tiles; j++) acc[i][j] = vf_zero();
    const uint8_t *k0 = a->k_tiles[t], *k1 = a->k_tiles[t + tiles - 1];
    for (int d = 0; d < a->head_dim; d++) {
        vf k[2];
        if (tiles == 2 || d % 2 == 0)
            fetch_lines(f, 1);
        k[0] = f16_line(kv, k0 + 32 * d);
        if (tiles == 2)
            k[1] = f16_line(kv, k1 + 32 * d);
        UNROLL for (int i = 0; i < nq; i++)
        {
            vf q = vf_set1(a->q[i][d]);
            UNROLL for (int j = 0; j < tiles; j++) acc[i][j] = vf_fma(q, k[j], acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < tiles; j++)
        vf_store(a->scores + i * KERN_SEGMENT + 16 * (t + j), acc[i][j]);
}

/* Scores in units of `step` become capped scores. */
VEC void cap_scores(const struct kern_attn *a, int i, int first_tile, int tiles, float step)
{
    float *s = a->scores + i * KERN_SEGMENT;
    vf unit = vf_set1(step / a->softcap), cap = vf_set1(a->softcap);
    for (int k = 16 * first_tile; k < 16 * tiles; k += 16)
        vf_store(s + k, vf_mul(vf_tanh(vf_mul(vf_load(s + k), unit)), cap));
}

/* x in the lanes that are keys of query i, of those from k on, and y in the others. */
VEC vf keys_of(const struct kern_attn *a, int i, int k, vf x, vf y)
{
    int first = a->first_key[i] - k, n = a->n_keys[i] - k;
    x = vf_first(n < 16 ? n : 16, x, y);
    return first > 0 ? vf_first(first, y, x) : x;
}

/* Scores in units of `step` to probabilities, zero beside the query's keys from first_tile up to the last
 * tile in use.  Only the first and the last tile with keys of the query have others too. */
VEC void probabilities(struct kern_attn *a, struct fetch *f, int i, int first_tile, int tiles, float step)
{
    float *s = a->scores + i * KERN_SEGMENT;
    int first = a->first_key[i], n = a->n_keys[i], begin = (first + 15) / 16 * 16, end = n / 16 * 16;
    int head = first < begin ? begin - 16 : -1, tail = end < n && end != head ? end : -1;
    vf neg = vf_set1(-INFINITY), zero = vf_zero(), m = neg, sum = zero;
    if (a->softcap > 0) {
        cap_scores(a, i, first_tile, tiles, step);
        step = 1;
    }
    if (head >= 0)
        m = vf_max(keys_of(a, i, head, vf_load(s + head), neg), m);
    for (int k = begin; k < end; k += 16)
        m = vf_max(vf_load(s + k), m);
    if (tail >= 0)
        m = vf_max(keys_of(a, i, tail, vf_load(s + tail), neg), m);
    a->max[i] = vf_hmax(m) * step;
    vf unit = vf_set1(step), minus = vf_set1(-a->max[i]);
    for (int k = 16 * first_tile; k < first / 16 * 16; k += 16)
        vf_store(s + k, zero);
    if (head >= 0) {
        vf p = keys_of(a, i, head, vf_exp2_above(vf_fma(vf_load(s + head), unit, minus)), zero);
        sum = vf_add(sum, p);
        vf_store(s + head, p);
    }
    for (int k = begin; k < end; k += 16) {
        fetch_lines(f, 2);
        vf p = vf_exp2_above(vf_fma(vf_load(s + k), unit, minus));
        sum = vf_add(sum, p);
        vf_store(s + k, p);
    }
    if (tail >= 0) {
        vf p = keys_of(a, i, tail, vf_exp2_above(vf_fma(vf_load(s + tail), unit, minus)), zero);
        sum = vf_add(sum, p);
        vf_store(s + tail, p);
    }
    for (int k = (n + 15) / 16 * 16; k < 16 * tiles; k += 16)
        vf_store(s + k, zero);
    a->sum[i] = vf_sum(sum);
}

/* The first tile with a key of any query, rounded down to a multiple; `tiles` if there is none. */
VEC int first_tile_of(const struct kern_attn *a, int nq, int multiple, int tiles)
{
    int first = 16 * tiles;
    for (int i = 0; i < nq; i++)
        if (a->n_keys[i] > 0 && a->first_key[i] < first)
            first = a->first_key[i];
    return first / 16 / multiple * multiple;
}

/* Tiles [t, t + n), whose values are weighed together, so that they stay in the first level of the caches for
 * all dimensions. */
enum { VALUE_TILES = 8 };
struct value_group {
    int t, n;
    int n_left;    /* tiles from t to the end, which share what is still to be requested */
    bool is_first; /* sums begin here */
};

/* Of tiles [begin, tiles), the group that begins with t. */
VEC struct value_group value_group(int begin, int tiles, int t)
{
    int left = tiles - t;
    return (struct value_group){t, left < VALUE_TILES ? left : VALUE_TILES, left, t == begin};
}

/* out[d0 .. d0 + 16 width) of all queries, with keys before n_keys. */
VEC void weigh_values(enum kern_kv kv, int nq, int width, struct kern_attn *a, struct fetch *f,
                      struct value_group g, int d0, int n_keys)
{
    vf acc[KERN_QUERIES][4];
    UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < width; j++) acc[i][j] =
        g.is_first ? vf_zero() : vf_load(a->out[i] + d0 + 16 * j);
    const int hd = a->head_dim, lines = (width + 1) / 2, end = 16 * (g.t + g.n);
    const struct fetch_rate rate = fetch_rate_of(f, d0 ? 0 : g.n_left, 2 * lines);
    for (int k = 16 * g.t; k < (end < n_keys ? end : n_keys); k++) {
        const uint8_t *tile = a->v_tiles[k / 16];
        if (k % 8 < rate.steps)
            for (int r = 0; r < rate.rounds; r++)
                fetch_lines(f, lines);
        vf v[4];
        UNROLL for (int j = 0; j < width; j++) v[j] = f16_line(kv, tile + 2 * (k % 16 * hd + d0 + 16 * j));
        UNROLL for (int i = 0; i < nq; i++)
        {
            vf p = vf_set1(a->scores[i * KERN_SEGMENT + k]);
            UNROLL for (int j = 0; j < width; j++) acc[i][j] = vf_fma(p, v[j], acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < width; j++)
        vf_store(a->out[i] + d0 + 16 * j, acc[i][j]);
}

VEC void attend(enum kern_kv kv, int nq, bool cold, struct kern_attn *a)
{
    struct fetch requests, *f = cold ? &requests : NULL;
    int n_keys = 0, hd = a->head_dim;
    for (int i = 0; i < nq; i++)
        n_keys = a->n_keys[i] > n_keys ? a->n_keys[i] : n_keys;
    int tiles = (n_keys + 15) / 16, begin = first_tile_of(a, nq, 1, tiles), t = begin;
    fetch_begin(f, a, begin, tiles, kern_kv_tile_bytes(kv, hd));
    if (!tiles) /* no group of values will begin the sums */
        for (int i = 0; i < nq; i++)
            memset(a->out[i], 0, (size_t)hd * sizeof(float));
    for (; t + QK_TILES <= tiles; t += QK_TILES)
        score_tiles(kv, nq, QK_TILES, a, f, t);
    for (; t < tiles; t++)
        score_tiles(kv, nq, 1, a, f, t);
    for (int i = 0; i < nq; i++)
        probabilities(a, f, i, begin, tiles, 1);
    for (t = begin; t < tiles; t += VALUE_TILES) {
        struct value_group g = value_group(begin, tiles, t);
        int d = 0;
        for (; d + 16 * PV_WIDTH <= hd; d += 16 * PV_WIDTH)
            weigh_values(kv, nq, PV_WIDTH, a, f, g, d, n_keys);
        for (; d < hd; d += 16)
            weigh_values(kv, nq, 1, a, f, g, d, n_keys);
    }
}

/* The number of queries is a constant, so that the sums live in registers; and so is whether lines are
 * requested. */
#if defined(__AVX2__) || defined(__ARM_FEATURE_DOTPROD)
#define ATTEND_N(KV, HOW, N)                                                                                 \
    case N:                                                                                                  \
        if (a->is_cold)                                                                                      \
            HOW(KV, N, true, a);                                                                             \
        else                                                                                                 \
            HOW(KV, N, false, a);                                                                            \
        break;
#define ATTEND(NAME, KV, HOW)                                                                                \
    static __attribute__((NO_SANITIZE)) void NAME(struct kern_attn *a)                                       \
    {                                                                                                        \
        switch (a->n_queries) {                                                                              \
            ATTEND_N(KV, HOW, 1)                                                                             \
            ATTEND_N(KV, HOW, 2)                                                                             \
            ATTEND_N(KV, HOW, 3)                                                                             \
            ATTEND_N(KV, HOW, 4)                                                                             \
            ATTEND_N(KV, HOW, 5)                                                                             \
            ATTEND_N(KV, HOW, 6)                                                                             \
        default: break;                                                                                      \
        }                                                                                                    \
    }
#else
#define ATTEND(NAME, KV, HOW)                                                                                \
    static __attribute__((NO_SANITIZE)) void NAME(struct kern_attn *a)                                       \
    {                                                                                                        \
        HOW(KV, a->n_queries, a->is_cold, a);                                                                \
    }
#endif
ATTEND(attend_f16, KERN_KV_F16, attend)
ATTEND(attend_bf16, KERN_KV_BF16, attend)

static float exp2_one(float x)
{
    float t[16];
    vf_store(t, vf_exp2_neg(vf_set1(x)));
    return t[0];
}

static void attend_merge(struct kern_attn_state *s, float *out, float max, float sum, const float *part,
                         int n)
{
    if (sum == 0)
        return;
    float m = max_f32(s->max, max);
    vf old = vf_set1(exp2_one(s->max - m)), new = vf_set1(exp2_one(max - m));
    for (int i = 0; i < n; i += 16)
        vf_store(out + i, vf_fma(vf_load(part + i), new, vf_mul(vf_load(out + i), old)));
    s->sum = fmaf(sum, exp2_one(max - m), s->sum * exp2_one(s->max - m));
    s->max = m;
}

static void attend_finish(const struct kern_attn_state *s, float *out, int n)
{
    for (int i = 0; i < n; i += 16)
        vf_store(out + i, vf_div(vf_load(out + i), vf_set1(s->sum)));
}
