/* attn_int_impl.h - Attention with integer products over one segment of keys, for keys and values that are
 * stored as integers (I16, Q8_0); compiled once per level (vec_impl.h).
 *
 * As in attn_impl.h a lane is a key while scores are made and an output dimension while values are weighed,
 * and up to KERN_QUERIES queries share every load.  But a step multiplies pairs: two dimensions of a key, or
 * two keys of a dimension, as 16-bit integers with an exact 32-bit sum.  That is twice the multiply-adds of
 * an fma, nothing has to be converted, and the order of additions cannot matter.
 *
 * What must be integers is made so with the finest step that cannot overflow: a stored code is at most 16383,
 * so the codes of the other side may add up to 2^31 / 16383 = 131,080.  A query is coded once; the
 * probabilities, times the values' scales, in groups of 128 keys, so that a group whose probabilities are
 * small keeps their digits. */

enum {
    I16_CODE = 16383,  /* largest stored code of I16 */
    CODE_SUM = 130500, /* of the other side, before rounding to at most half a step each */
    CODE_MAX = 32767   /* of the other side */
};
#define CODE_TINY 0x1p-100f /* the finest step */
#define CODE_HUGE 0x1p100f  /* larger ones, and those that are none, as this */

#if defined(__AVX512F__)
enum { INT_PV_WIDTH = 4, INT_QK_TILES = 4, INT_QUERIES = KERN_QUERIES, KEY_PARTS = 2 };
#else /* more than four queries do not fit in 16 registers */
enum { INT_PV_WIDTH = 1, INT_QK_TILES = 1, INT_QUERIES = 4, KEY_PARTS = 1 };
#endif

/* Behind the scores: the queries' codes while scores are made, [head_dim / 2][KERN_QUERIES][2]; then those of
 * a group of probabilities, [KERN_QUERIES][16 VALUE_TILES]. */
VEC int16_t *query_pairs(const struct kern_attn *a)
{
    return (int16_t *)(a->scores + KERN_QUERIES * KERN_SEGMENT);
}

VEC int16_t *weight_codes(const struct kern_attn *a, int i)
{
    return query_pairs(a) + i * KERN_SEGMENT;
}

VEC void gather_queries(const struct kern_attn *a, int nq)
{
    int16_t *to = query_pairs(a);
    for (int p = 0; p < a->head_dim / 2; p++, to += 2 * KERN_QUERIES)
        for (int i = 0; i < nq; i++)
            memcpy(to + 2 * i, (const int16_t *)a->q[i] + 2 * p, 4);
}

/* Dimensions 2 p and 2 p + 1 of sixteen keys. */
VEC vh k_pair(enum kern_kv kv, const uint8_t *tile, int p)
{
    return kv == KERN_KV_I16 ? vh_load(tile + 64 * p)
                             : vh_of_i8(tile + KV_Q8_BLOCK * (p / 16) + 32 * (p % 16));
}

/* Keys 2 p and 2 p + 1 of a tile, dimensions d .. d + 15. */
VEC vh v_pair(enum kern_kv kv, const uint8_t *tile, int hd, int p, int d)
{
    return kv == KERN_KV_I16 ? vh_load(tile + 4 * (p * hd + d)) : vh_of_i8(tile + 2 * (p * hd + d));
}

/* Scales of sixteen keys for block b: the whole head, or 32 dimensions of it. */
VEC vf k_scales(enum kern_kv kv, const uint8_t *tile, int hd, int b)
{
    return kv == KERN_KV_I16 ? vf_load((const float *)(tile + 32 * hd))
                             : vf_of_f16(tile + KV_Q8_BLOCK * b + 512);
}

VEC vf v_scales(enum kern_kv kv, const uint8_t *tile, int hd, int b)
{
    return kv == KERN_KV_I16 ? vf_load((const float *)(tile + 32 * hd)) : vf_of_f16(tile + 16 * hd + 32 * b);
}

VEC int n_blocks(enum kern_kv kv, int hd)
{
    return kv == KERN_KV_I16 ? 1 : hd / 32;
}

/* The step between codes of numbers with this maximum and sum of magnitudes. */
VEC float code_step(float max, float sum)
{
    return max_f32(max_f32(max * (1.0f / CODE_MAX), sum * (1.0f / CODE_SUM)), CODE_TINY);
}

/* --- queries ------------------------------------------------------------------------------- */

static void code_query(enum kern_kv kv, float *q, int n)
{
    if (kv != KERN_KV_I16 && kv != KERN_KV_Q8_0)
        return;
    vf hi = vf_set1(CODE_HUGE), lo = vf_set1(-CODE_HUGE), max = vf_zero(), sum = vf_zero();
    for (int d = 0; d < n; d += 16) {
        vf x = vf_max(vf_min(vf_load(q + d), hi), lo);
        vf_store(q + d, x);
        max = vf_max(vf_abs(x), max);
        sum = vf_add(sum, vf_abs(x));
    }
    float step = code_step(vf_hmax(max), vf_sum(sum));
    vf inverse = vf_set1(1 / step);
    int16_t *codes = (int16_t *)q; /* written behind what is read */
    for (int d = 0; d < n; d += 16)
        vf_to_i16(codes + d, vf_mul(vf_load(q + d), inverse));
    memcpy(codes + n, &step, sizeof step);
}

/* --- scores -------------------------------------------------------------------------------- */

/* As many lines as a step over `parts` pairs of dimensions of a tile reads. */
VEC void fetch_keys(enum kern_kv kv, struct fetch *f, int parts, int p)
{
    if (kv == KERN_KV_I16)
        fetch_lines(f, parts);
    else if (parts == 2 || p % 2 == 0)
        fetch_lines(f, 1);
}

/* Scores, without the query's step, of `tiles` neighbouring tiles from tile t on; the sums of each tile in
 * `parts` parts, by pairs of dimensions. */
VEC void int_scores(enum kern_kv kv, int first, int nq, int tiles, int parts, struct kern_attn *a,
                    struct fetch *f, int t)
{
    int hd = a->head_dim, pairs = kv == KERN_KV_I16 ? hd / 2 : 16;
    const int16_t *q = query_pairs(a);
    const uint8_t *tile[INT_QK_TILES];
    UNROLL for (int j = 0; j < tiles; j++) tile[j] = a->k_tiles[t + j];
    vf s[KERN_QUERIES][INT_QK_TILES];
    for (int b = 0; b < n_blocks(kv, hd); b++) {
        vi acc[KERN_QUERIES][INT_QK_TILES];
        UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < tiles * parts; j++) acc[i][j] =
            vi_zero();
        for (int p = b * pairs; p < (b + 1) * pairs; p += parts) {
            vh k[INT_QK_TILES];
            if (tiles == 1)
                fetch_keys(kv, f, parts, p);
            UNROLL for (int j = 0; j < tiles * parts; j++) k[j] = k_pair(kv, tile[j / parts], p + j % parts);
            UNROLL for (int i = 0; i < nq; i++) UNROLL for (int part = 0; part < parts; part++)
            {
                vh pair = vh_set1(q + 2 * ((p + part) * KERN_QUERIES + first + i));
                UNROLL for (int j = part; j < tiles * parts; j += parts) acc[i][j] =
                    vi_dot(acc[i][j], pair, k[j]);
            }
        }
        UNROLL for (int j = 0; j < tiles; j++)
        {
            vf scales = k_scales(kv, tile[j], hd, b);
            UNROLL for (int i = 0; i < nq; i++)
            {
                vi sum = acc[i][j * parts];
                UNROLL for (int part = 1; part < parts; part++) sum = vi_add(sum, acc[i][j * parts + part]);
                vf dot = vf_of_vi(sum);
                s[i][j] = b ? vf_fma(dot, scales, s[i][j]) : vf_mul(dot, scales);
            }
        }
    }
    UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < tiles; j++)
        vf_store(a->scores + (first + i) * KERN_SEGMENT + 16 * (t + j), s[i][j]);
}

/* The same for all queries. */
VEC void all_scores(enum kern_kv kv, int nq, int tiles, int parts, struct kern_attn *a, struct fetch *f,
                    int t)
{
    const int half = nq > INT_QUERIES ? (nq + 1) / 2 : nq; /* queries whose sums are in registers together */
    int_scores(kv, 0, half, tiles, parts, a, f, t);
    if (half < nq)
        int_scores(kv, half, nq - half, tiles, parts, a, f, t);
}

/* --- values -------------------------------------------------------------------------------- */

/* Probabilities times the values' scales of block b as codes, for n tiles.  Returns their step. */
VEC float code_weights(enum kern_kv kv, const struct kern_attn *a, struct fetch *f, int i, int t, int n,
                       int b)
{
    const float *p = a->scores + i * KERN_SEGMENT + 16 * t;
    int16_t *codes = weight_codes(a, i) + 16 * t;
    vf w[VALUE_TILES], max = vf_zero(), sum = vf_zero();
    for (int j = 0; j < n; j++) { /* unrolled where n is a constant */
        w[j] = vf_mul(vf_load(p + 16 * j), v_scales(kv, a->v_tiles[t + j], a->head_dim, b));
        max = vf_max(w[j], max);
        sum = vf_add(sum, w[j]);
    }
    fetch_lines(f, VALUE_TILES);
    float step = code_step(vf_hmax(max), vf_sum(sum));
    vf inverse = vf_set1(1 / step);
    for (int j = 0; j < n; j++)
        vf_to_i16(codes + 16 * j, vf_mul(w[j], inverse));
    return step;
}

/* out[d0 .. d0 + 16 width) of nq queries from `first` on. */
VEC void int_values(enum kern_kv kv, int first, int nq, int width, struct kern_attn *a, struct fetch *f,
                    struct value_group g, const float *steps, int d0)
{
    const int hd = a->head_dim, lines = kv == KERN_KV_I16 ? width : (width + 1) / 2;
    const bool requests = d0 == 0 && first == 0; /* the first pass is the one that waits for memory */
    const struct fetch_rate rate = fetch_rate_of(f, requests ? g.n_left : 0, lines);
    vi acc[KERN_QUERIES][4];
    UNROLL for (int i = 0; i < nq; i++) UNROLL for (int j = 0; j < width; j++) acc[i][j] = vi_zero();
    for (int tile = 0; tile < g.n; tile++) {
        const uint8_t *values = a->v_tiles[g.t + tile];
        const int16_t *codes = weight_codes(a, first) + 16 * (g.t + tile);
        for (int p = 0; p < 8; p++) {
            vh v[4];
            if (p < rate.steps)
                for (int r = 0; r < rate.rounds; r++)
                    fetch_lines(f, lines);
            UNROLL for (int j = 0; j < width; j++) v[j] = v_pair(kv, values, hd, p, d0 + 16 * j);
            UNROLL for (int i = 0; i < nq; i++)
            {
                vh w = vh_set1(codes + i * KERN_SEGMENT + 2 * p);
                UNROLL for (int j = 0; j < width; j++) acc[i][j] = vi_dot(acc[i][j], w, v[j]);
            }
        }
    }
    UNROLL for (int i = 0; i < nq; i++)
    {
        vf step = vf_set1(steps[first + i]);
        UNROLL for (int j = 0; j < width; j++)
        {
            float *out = a->out[first + i] + d0 + 16 * j;
            vf_store(out, vf_fma(vf_of_vi(acc[i][j]), step, g.is_first ? vf_zero() : vf_load(out)));
        }
    }
}

/* The same for all queries. */
VEC void all_values(enum kern_kv kv, int nq, int width, struct kern_attn *a, struct fetch *f,
                    struct value_group g, const float *steps, int d0)
{
    const int half = nq > INT_QUERIES ? (nq + 1) / 2 : nq;
    int_values(kv, 0, half, width, a, f, g, steps, d0);
    if (half < nq)
        int_values(kv, half, nq - half, width, a, f, g, steps, d0);
}

/* All values of block b, whose probabilities have to be coded first. */
VEC void weigh_block(enum kern_kv kv, int nq, struct kern_attn *a, struct fetch *f, int b, int begin,
                     int tiles)
{
    enum { WIDE = INT_PV_WIDTH, GROUPS = KERN_SEGMENT / KERN_KV_TILE / VALUE_TILES };
    const int width = kv == KERN_KV_I16 || WIDE < 2 ? WIDE : 2;
    const int first = kv == KERN_KV_I16 ? 0 : 32 * b, end = kv == KERN_KV_I16 ? a->head_dim : first + 32;
    float steps[GROUPS][KERN_QUERIES];
    for (int i = 0; i < nq; i++) {
        int t = begin, left = tiles - begin;
        for (; left >= VALUE_TILES; t += VALUE_TILES, left -= VALUE_TILES)
            steps[t / VALUE_TILES][i] = code_weights(kv, a, f, i, t, VALUE_TILES, b);
        if (left > 0)
            steps[t / VALUE_TILES][i] = code_weights(kv, a, f, i, t, left, b);
    }
    for (int t = begin; t < tiles; t += VALUE_TILES) {
        struct value_group g = value_group(begin, tiles, t);
        int d = first;
        for (; d + 16 * width <= end; d += 16 * width)
            all_values(kv, nq, width, a, f, g, steps[t / VALUE_TILES], d);
        for (; d < end; d += 16)
            all_values(kv, nq, 1, a, f, g, steps[t / VALUE_TILES], d);
    }
}

VEC void attend_int(enum kern_kv kv, int nq, bool cold, struct kern_attn *a)
{
    struct fetch requests, *f = cold ? &requests : NULL;
    int n_keys = 0, hd = a->head_dim;
    for (int i = 0; i < nq; i++)
        n_keys = a->n_keys[i] > n_keys ? a->n_keys[i] : n_keys;
    int tiles = (n_keys + 15) / 16, begin = first_tile_of(a, nq, VALUE_TILES, tiles), t = begin;
    fetch_begin(f, a, begin, tiles, kern_kv_tile_bytes(kv, hd));
    if (!tiles) /* no group of values will begin the sums */
        for (int i = 0; i < nq; i++)
            memset(a->out[i], 0, (size_t)hd * sizeof(float));
    gather_queries(a, nq);
    if (!cold) /* tiles side by side share the loads of queries */
        for (; t + INT_QK_TILES <= tiles; t += INT_QK_TILES)
            all_scores(kv, nq, INT_QK_TILES, 1, a, f, t);
    for (; t < tiles; t++) {
        if (cold) /* scales, which are wanted first */
            __builtin_prefetch(a->v_tiles[t] + (kv == KERN_KV_I16 ? 32 : 16) * hd);
        all_scores(kv, nq, 1, KEY_PARTS, a, f, t);
    }
    for (int i = 0; i < nq; i++) {
        float step;
        memcpy(&step, (const int16_t *)a->q[i] + hd, sizeof step);
        probabilities(a, f, i, begin, tiles, step);
    }
    for (int b = 0; b < n_blocks(kv, hd); b++)
        weigh_block(kv, nq, a, f, b, begin, tiles);
}

ATTEND(attend_q8_0, KERN_KV_Q8_0, attend_int)
ATTEND(attend_i16, KERN_KV_I16, attend_int)
