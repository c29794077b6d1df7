/* demo_step.c - One training step of the demo model: forward, backward, update.
 *
 * The same Llama as model.py, for processors with AVX512_BF16.  Factors of matrix products are bf16, sums are f32;
 * everything else is f32.  Documents lie one after the other without padding, and attention runs inside each, so
 * that a short document costs what a short document costs.  demo_train.py loads this as a shared library, owns all
 * arrays, and calls demo_step() and demo_update().
 *
 * Matrices in `params` are [n_in, n_out], in the order of layout().  Start reading at demo_step(). */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct dims {
    int n_vocab, n_embd, n_layers, n_heads, n_heads_kv, head_dim, n_ff;
    float rope_base, norm_eps;
};

enum { Q, K, V, O, GATE, UP, DOWN, N_MATRICES };

struct layer {
    float *attn_norm, *ffn_norm, *m[N_MATRICES];
};

struct weights {
    float *embd, *out_norm;
    struct layer layer[16];
};

struct shape {
    int n_in, n_out;
};

static struct shape shape_of(const struct dims *d, int which)
{
    int q = d->n_heads * d->head_dim, kv = d->n_heads_kv * d->head_dim, e = d->n_embd;
    struct shape s[N_MATRICES] = {{e, q}, {e, kv}, {e, kv}, {q, e}, {e, d->n_ff}, {e, d->n_ff}, {d->n_ff, e}};
    return s[which];
}

/* embd, out_norm, then per layer: attn_norm, ffn_norm, q, k, v, o, gate, up, down. */
static void layout(const struct dims *d, float *p, struct weights *w)
{
    w->embd = p, p += (size_t)d->n_vocab * d->n_embd;
    w->out_norm = p, p += d->n_embd;
    for (int l = 0; l < d->n_layers; l++) {
        w->layer[l].attn_norm = p, p += d->n_embd;
        w->layer[l].ffn_norm = p, p += d->n_embd;
        for (int i = 0; i < N_MATRICES; i++) {
            struct shape s = shape_of(d, i);
            w->layer[l].m[i] = p, p += (size_t)s.n_in * s.n_out;
        }
    }
}

/* ---- bf16 matrix product ----
 *
 * C [m, n] = A [m, k] B [k, n].  A is bf16, rows of k.  B is packed: panels of 32 columns, in each for every pair of
 * rows 32 columns x 2 numbers, as VDPBF16PS multiplies them.  m is a multiple of 8, n of 32, k of 2. */

typedef uint16_t bf16;
enum { ROWS = 8, COLS = 32, DEPTH = 512 };

static inline __m256i to_bf16(__m512 x)
{
    return (__m256i)_mm512_cvtneps_pbh(x);
}

static void convert(bf16 *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        _mm256_storeu_si256((void *)(to + i), to_bf16(_mm512_loadu_ps(from + i)));
}

/* Rows k, k + 1 of B [.., n] at `from`, packed columns [col, col + 32). */
static void pack_panel(bf16 *to, const float *from, int k, int n, int col)
{
    for (int r = 0; r < k; r += 2)
        for (int c = 0; c < COLS; c += 16, to += 32) {
            __m512i low = _mm512_cvtepu16_epi32(to_bf16(_mm512_loadu_ps(from + (size_t)r * n + col + c)));
            __m512i high = _mm512_cvtepu16_epi32(to_bf16(_mm512_loadu_ps(from + (size_t)(r + 1) * n + col + c)));
            _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
}

static void pack(bf16 *to, const float *from, int k, int n)
{
#pragma omp parallel for schedule(dynamic)
    for (int col = 0; col < n; col += COLS)
        pack_panel(to + (size_t)col * k, from, k, n, col);
}

static void transpose(float *to, const float *from, int rows, int cols)
{
#pragma omp parallel for schedule(dynamic)
    for (int r = 0; r < rows; r += 16)
        for (int c = 0; c < cols; c++)
            for (int i = r; i < r + 16 && i < rows; i++)
                to[(size_t)c * rows + i] = from[(size_t)i * cols + c];
}

/* [rows, cols] f32 -> [cols, rows] bf16; rows a multiple of 16. */
static void transpose_bf16(bf16 *to, const float *from, int rows, int cols)
{
#pragma omp parallel for schedule(dynamic, 4)
    for (int r = 0; r < rows; r += 16)
        for (int c = 0; c < cols; c += 16) {
            float t[16][16];
            for (int i = 0; i < 16; i++)
                for (int j = 0; j < 16; j++)
                    t[j][i] = from[(size_t)(r + i) * cols + c + j];
            for (int j = 0; j < 16; j++)
                _mm256_storeu_si256((void *)(to + (size_t)(c + j) * rows + r), to_bf16(_mm512_loadu_ps(t[j])));
        }
}

static void tile(float *c, int ldc, const bf16 *a, int lda, const bf16 *b, int depth, int is_first)
{
    __m512 s[ROWS][2];
    for (int r = 0; r < ROWS; r++) {
        s[r][0] = is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(c + (size_t)r * ldc);
        s[r][1] = is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(c + (size_t)r * ldc + 16);
    }
    for (int k = 0; k < depth; k += 2, b += 64) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 32);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            int pair;
            memcpy(&pair, a + (size_t)r * lda + k, 4);
            __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            s[r][0] = _mm512_dpbf16_ps(s[r][0], x, b0);
            s[r][1] = _mm512_dpbf16_ps(s[r][1], x, b1);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        _mm512_storeu_ps(c + (size_t)r * ldc, s[r][0]);
        _mm512_storeu_ps(c + (size_t)r * ldc + 16, s[r][1]);
    }
}

/* Rows [row, row + 64) of C; `is_sum` adds to what C holds. */
static void product_rows(float *c, const bf16 *a, const bf16 *b, int row, int end, int n, int k, int is_sum)
{
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        int depth = k - k0 < DEPTH ? k - k0 : DEPTH;
        for (int col = 0; col < n; col += COLS)
            for (int r = row; r < end; r += ROWS)
                tile(c + (size_t)r * n + col, n, a + (size_t)r * k + k0, k, b + (size_t)col * k + (size_t)k0 * COLS, depth, k0 == 0 && !is_sum);
    }
}

static void product(float *c, const bf16 *a, const bf16 *b, int m, int n, int k, int is_sum)
{
    int step = m >= 1024 ? 64 : 32;
#pragma omp parallel for schedule(dynamic)
    for (int row = 0; row < m; row += step)
        product_rows(c, a, b, row, row + step < m ? row + step : m, n, k, is_sum);
}

/* ---- scratch memory: grows once, then stays ---- */

struct pool {
    char *p;
    size_t used, cap;
};

static struct pool pool;

static void *take(size_t bytes)
{
    void *p = pool.p + pool.used;
    pool.used += (bytes + 255) & ~(size_t)255;
    if (pool.used > pool.cap)
        abort();
    return p;
}

#define FLOATS(n) ((float *)take((size_t)(n) * sizeof(float)))
#define BF16S(n) ((bf16 *)take((size_t)(n) * sizeof(bf16)))

/* ---- blocks ---- */

static void norm_forward(float *y, float *inverse, const float *x, const float *w, int t, int n, float eps)
{
#pragma omp parallel for schedule(dynamic, 64)
    for (int i = 0; i < t; i++) {
        const float *v = x + (size_t)i * n;
        float s = 0;
        for (int j = 0; j < n; j++)
            s += v[j] * v[j];
        float r = inverse[i] = 1 / sqrtf(s / n + eps);
        for (int j = 0; j < n; j++)
            y[(size_t)i * n + j] = v[j] * r * w[j];
    }
}

/* Adds to dx and dw. */
static void norm_backward(float *dx, float *dw, const float *dy, const float *x, const float *inverse, const float *w, int t, int n)
{
    for (int i = 0; i < t; i++)
        for (int j = 0; j < n; j++)
            dw[j] += dy[(size_t)i * n + j] * x[(size_t)i * n + j] * inverse[i];
#pragma omp parallel for schedule(dynamic, 64)
    for (int i = 0; i < t; i++) {
        const float *g = dy + (size_t)i * n, *v = x + (size_t)i * n;
        float s = 0, r = inverse[i];
        for (int j = 0; j < n; j++)
            s += g[j] * w[j] * v[j];
        s *= r * r * r / n;
        for (int j = 0; j < n; j++)
            dx[(size_t)i * n + j] += r * w[j] * g[j] - v[j] * s;
    }
}

/* Turns the pairs (2i, 2i+1) of every head; sign -1 turns back. */
static void rope(float *x, const int *position, const float *freq, int t, int n_heads, int head_dim, float sign)
{
#pragma omp parallel for schedule(dynamic, 64)
    for (int i = 0; i < t; i++) {
        float c[128], s[128];
        for (int j = 0; j < head_dim / 2; j++) {
            c[j] = cosf(position[i] * freq[j]);
            s[j] = sign * sinf(position[i] * freq[j]);
        }
        for (int h = 0; h < n_heads; h++) {
            float *v = x + ((size_t)i * n_heads + h) * head_dim;
            for (int j = 0; j < head_dim / 2; j++) {
                float a = v[2 * j], b = v[2 * j + 1];
                v[2 * j] = a * c[j] - b * s[j];
                v[2 * j + 1] = a * s[j] + b * c[j];
            }
        }
    }
}

/* y += a x */
static inline void add_scaled(float *y, const float *x, float a, int n)
{
    for (int i = 0; i < n; i += 16)
        _mm512_storeu_ps(y + i, _mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
}

/* Attention of one head of dimension HEAD in one document of n tokens.  Keys and values also come transposed
 * [HEAD, wide], wide being n rounded up to 16, so that a row of scores is made 16 at a time. */
enum { HEAD = 64 };

static void transpose_head(float *to, const float *from, int n, int stride, int wide)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < HEAD; j++)
            to[(size_t)j * wide + i] = from[(size_t)i * stride + j];
}

/* row[j] = q . k_j for j < count (and what lies behind, up to the next 16) */
static inline void scores(float *row, const float *q, const float *kt, int count, int wide)
{
    for (int j = 0; j < count; j += 16) {
        __m512 s0 = _mm512_setzero_ps(), s1 = s0;
        for (int i = 0; i < HEAD; i += 2) {
            s0 = _mm512_fmadd_ps(_mm512_set1_ps(q[i]), _mm512_loadu_ps(kt + (size_t)i * wide + j), s0);
            s1 = _mm512_fmadd_ps(_mm512_set1_ps(q[i + 1]), _mm512_loadu_ps(kt + (size_t)(i + 1) * wide + j), s1);
        }
        _mm512_storeu_ps(row + j, _mm512_add_ps(s0, s1));
    }
}

/* y (+)= sum over j of a[j * step] x_j */
static inline void weighted_sum(float *y, const float *a, size_t step, const float *x, size_t stride, int count, int is_sum)
{
    __m512 s[HEAD / 16];
    for (int c = 0; c < HEAD / 16; c++)
        s[c] = is_sum ? _mm512_loadu_ps(y + 16 * c) : _mm512_setzero_ps();
    for (int j = 0; j < count; j++)
        for (int c = 0; c < HEAD / 16; c++)
            s[c] = _mm512_fmadd_ps(_mm512_set1_ps(a[j * step]), _mm512_loadu_ps(x + j * stride + 16 * c), s[c]);
    for (int c = 0; c < HEAD / 16; c++)
        _mm512_storeu_ps(y + 16 * c, s[c]);
}

/* Memory of one thread, kept until it is too small. */
static float *thread_scratch(size_t n)
{
    static __thread float *p;
    static __thread size_t cap;
    if (n > cap) {
        free(p);
        p = aligned_alloc(64, (n * sizeof(float) + 63) & ~(size_t)63);
        cap = n;
        if (!p)
            abort();
    }
    return p;
}

/* log_sum [t, n_heads] is kept for the way back. */
static void attention_forward(const struct dims *d, float *out, float *log_sum, const float *q, const float *k, const float *v, int n_docs, const int *doc)
{
    int group = d->n_heads / d->n_heads_kv, kv = d->n_heads_kv * HEAD, qs = d->n_heads * HEAD;
    float scale = 1 / sqrtf(HEAD);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int n = 0; n < n_docs; n++)
        for (int hk = 0; hk < d->n_heads_kv; hk++) {
            int first = doc[n], len = doc[n + 1] - first, wide = (len + 15) & ~15;
            float *kt = thread_scratch((size_t)(HEAD + 1) * wide), *p = kt + (size_t)HEAD * wide;
            const float *k0 = k + (size_t)first * kv + hk * HEAD, *v0 = v + (size_t)first * kv + hk * HEAD;
            memset(kt, 0, (size_t)HEAD * wide * sizeof *kt);
            transpose_head(kt, k0, len, kv, wide);
            for (int h = hk * group; h < (hk + 1) * group; h++)
                for (int i = 0; i < len; i++) {
                    size_t at = (size_t)(first + i) * qs + h * HEAD;
                    float top = -1e30f, sum = 0;
                    scores(p, q + at, kt, i + 1, wide);
                    for (int j = 0; j <= i; j++)
                        top = p[j] > top ? p[j] : top;
                    for (int j = 0; j <= i; j++)
                        sum += p[j] = expf((p[j] - top) * scale);
                    for (int j = 0; j <= i; j++)
                        p[j] /= sum;
                    weighted_sum(out + at, p, 1, v0, kv, i + 1, 0);
                    log_sum[(size_t)(first + i) * d->n_heads + h] = top * scale + logf(sum);
                }
        }
}

/* Sets dq, dk and dv.  The probabilities and the gradients of the scores of a head are kept as whole matrices, so
 * that every sum runs in registers. */
static void attention_backward(const struct dims *d, float *dq, float *dk, float *dv, const float *dout, const float *out, const float *log_sum,
                               const float *q, const float *k, const float *v, int n_docs, const int *doc)
{
    int group = d->n_heads / d->n_heads_kv, kv = d->n_heads_kv * HEAD, qs = d->n_heads * HEAD;
    float scale = 1 / sqrtf(HEAD);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int n = 0; n < n_docs; n++)
        for (int hk = 0; hk < d->n_heads_kv; hk++) {
            int first = doc[n], len = doc[n + 1] - first, wide = (len + 15) & ~15;
            float *kt = thread_scratch((size_t)2 * (HEAD + len) * wide), *vt = kt + (size_t)HEAD * wide, *p = vt + (size_t)HEAD * wide, *ds = p + (size_t)len * wide;
            size_t kv_at = (size_t)first * kv + hk * HEAD;
            memset(kt, 0, (size_t)2 * HEAD * wide * sizeof *kt);
            transpose_head(kt, k + kv_at, len, kv, wide);
            transpose_head(vt, v + kv_at, len, kv, wide);
            for (int h = hk * group; h < (hk + 1) * group; h++) {
                size_t q_at = (size_t)first * qs + h * HEAD;
                for (int i = 0; i < len; i++) {
                    const float *go = dout + q_at + (size_t)i * qs, *o = out + q_at + (size_t)i * qs;
                    float *pi = p + (size_t)i * wide, *di = ds + (size_t)i * wide, inner = 0, lse = log_sum[(size_t)(first + i) * d->n_heads + h];
                    for (int j = 0; j < HEAD; j++)
                        inner += go[j] * o[j];
                    scores(pi, q + q_at + (size_t)i * qs, kt, i + 1, wide);
                    scores(di, go, vt, i + 1, wide);
                    for (int j = 0; j <= i; j++) {
                        pi[j] = expf(pi[j] * scale - lse);
                        di[j] = pi[j] * (di[j] - inner) * scale;
                    }
                    weighted_sum(dq + q_at + (size_t)i * qs, di, 1, k + kv_at, kv, i + 1, 0);
                }
                for (int j = 0; j < len; j++) {
                    size_t down = (size_t)j * wide + j;
                    weighted_sum(dk + kv_at + (size_t)j * kv, ds + down, wide, q + q_at + (size_t)j * qs, qs, len - j, h > hk * group);
                    weighted_sum(dv + kv_at + (size_t)j * kv, p + down, wide, dout + q_at + (size_t)j * qs, qs, len - j, h > hk * group);
                }
            }
        }
}

static void add(float *y, const float *x, size_t n)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* What the way back needs of one layer. */
struct kept {
    float *x, *x_mid, *norm1, *norm2, *inverse1, *inverse2, *q, *k, *v, *attn, *log_sum, *gate, *up, *act;
};

/* Room for the packed form of one factor; the largest is a dY of the feed-forward block or the vocabulary. */
struct work {
    bf16 *a, *b;
};

static void linear(const struct work *s, float *y, const float *x, const float *w, struct shape m, int t, int is_packed)
{
    if (!is_packed)
        convert(s->a, x, (size_t)t * m.n_in);
    pack(s->b, w, m.n_in, m.n_out);
    product(y, s->a, s->b, t, m.n_out, m.n_in, 0);
}

/* dx (+)= dy W^T, dw += x^T dy.  wt is scratch for W^T. */
static void linear_backward(const struct work *s, float *dx, int is_sum, float *dw, const float *dy, const float *x, const float *w, float *wt, struct shape m, int t)
{
    convert(s->a, dy, (size_t)t * m.n_out);
    transpose(wt, w, m.n_in, m.n_out);
    pack(s->b, wt, m.n_out, m.n_in);
    product(dx, s->a, s->b, t, m.n_in, m.n_out, is_sum);
    transpose_bf16(s->a, x, t, m.n_in);
    pack(s->b, dy, t, m.n_out);
    product(dw, s->a, s->b, m.n_in, m.n_out, t, 1);
}

static size_t scratch_bytes(const struct dims *d, size_t t, size_t n_at)
{
    size_t wide = d->n_vocab > 4 * d->n_embd ? d->n_vocab : 4 * d->n_embd;
    size_t per_layer = 14 * t * (d->n_embd + d->n_ff), rest = 12 * t * (d->n_embd + d->n_ff) + 6 * n_at * wide + 8 * wide * d->n_embd + 4 * t * wide;
    return (per_layer * d->n_layers + rest) * sizeof(float) + (64 << 20);
}

static void forward_layer(const struct dims *d, const struct layer *w, struct kept *s, const struct work *k, float *x_next, int t, const int *position, const float *freq,
                          int n_docs, const int *doc)
{
    int e = d->n_embd;
    s->norm1 = FLOATS(t * e), s->norm2 = FLOATS(t * e), s->inverse1 = FLOATS(t), s->inverse2 = FLOATS(t);
    s->q = FLOATS(t * shape_of(d, Q).n_out), s->k = FLOATS(t * shape_of(d, K).n_out), s->v = FLOATS(t * shape_of(d, V).n_out);
    s->attn = FLOATS(t * shape_of(d, Q).n_out), s->log_sum = FLOATS(t * d->n_heads), s->x_mid = FLOATS(t * e);
    s->gate = FLOATS(t * d->n_ff), s->up = FLOATS(t * d->n_ff), s->act = FLOATS(t * d->n_ff);

    norm_forward(s->norm1, s->inverse1, s->x, w->attn_norm, t, e, d->norm_eps);
    linear(k, s->q, s->norm1, w->m[Q], shape_of(d, Q), t, 0);
    linear(k, s->k, s->norm1, w->m[K], shape_of(d, K), t, 1);
    linear(k, s->v, s->norm1, w->m[V], shape_of(d, V), t, 1);
    rope(s->q, position, freq, t, d->n_heads, d->head_dim, 1);
    rope(s->k, position, freq, t, d->n_heads_kv, d->head_dim, 1);
    attention_forward(d, s->attn, s->log_sum, s->q, s->k, s->v, n_docs, doc);
    linear(k, s->x_mid, s->attn, w->m[O], shape_of(d, O), t, 0);
    add(s->x_mid, s->x, (size_t)t * e);

    norm_forward(s->norm2, s->inverse2, s->x_mid, w->ffn_norm, t, e, d->norm_eps);
    linear(k, s->gate, s->norm2, w->m[GATE], shape_of(d, GATE), t, 0);
    linear(k, s->up, s->norm2, w->m[UP], shape_of(d, UP), t, 1);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)t * d->n_ff; i++)
        s->act[i] = s->gate[i] / (1 + expf(-s->gate[i])) * s->up[i];
    linear(k, x_next, s->act, w->m[DOWN], shape_of(d, DOWN), t, 0);
    add(x_next, s->x_mid, (size_t)t * e);
}

struct back {
    float *dnorm, *dact, *dgate, *dup, *dattn, *dq, *dk, *dv, *wt;
};

/* dx comes in as the gradient of the layer's output and leaves as that of its input. */
static void backward_layer(const struct dims *d, const struct layer *w, const struct layer *g, const struct kept *s, const struct back *b, const struct work *k, float *dx, int t,
                           const int *position, const float *freq, int n_docs, const int *doc)
{
    int e = d->n_embd;
    linear_backward(k, b->dact, 0, g->m[DOWN], dx, s->act, w->m[DOWN], b->wt, shape_of(d, DOWN), t);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (size_t)t * d->n_ff; i++) {
        float x = s->gate[i], sig = 1 / (1 + expf(-x));
        b->dup[i] = b->dact[i] * x * sig;
        b->dgate[i] = b->dact[i] * s->up[i] * sig * (1 + x * (1 - sig));
    }
    linear_backward(k, b->dnorm, 0, g->m[GATE], b->dgate, s->norm2, w->m[GATE], b->wt, shape_of(d, GATE), t);
    linear_backward(k, b->dnorm, 1, g->m[UP], b->dup, s->norm2, w->m[UP], b->wt, shape_of(d, UP), t);
    norm_backward(dx, g->ffn_norm, b->dnorm, s->x_mid, s->inverse2, w->ffn_norm, t, e);

    linear_backward(k, b->dattn, 0, g->m[O], dx, s->attn, w->m[O], b->wt, shape_of(d, O), t);
    attention_backward(d, b->dq, b->dk, b->dv, b->dattn, s->attn, s->log_sum, s->q, s->k, s->v, n_docs, doc);
    rope(b->dq, position, freq, t, d->n_heads, d->head_dim, -1);
    rope(b->dk, position, freq, t, d->n_heads_kv, d->head_dim, -1);
    linear_backward(k, b->dnorm, 0, g->m[Q], b->dq, s->norm1, w->m[Q], b->wt, shape_of(d, Q), t);
    linear_backward(k, b->dnorm, 1, g->m[K], b->dk, s->norm1, w->m[K], b->wt, shape_of(d, K), t);
    linear_backward(k, b->dnorm, 1, g->m[V], b->dv, s->norm1, w->m[V], b->wt, shape_of(d, V), t);
    norm_backward(dx, g->attn_norm, b->dnorm, s->x, s->inverse1, w->attn_norm, t, e);
}

/* Mean cross entropy at the n_at positions `at`, whose next tokens are `target`; a weight of 0 skips one.  Sets
 * `grad_flat` (as long as `param_flat`).  n_tokens and n_at are multiples of 16; documents are [doc[i], doc[i+1]). */
void demo_step(const struct dims *d, float *param_flat, float *grad_flat, size_t n_params, int n_tokens, const int *token, int n_docs, const int *doc, int n_at, const int *at,
               const int *target, const float *weight, float *loss, int *n_right)
{
    struct weights w, g;
    struct kept kept[16];
    int t = n_tokens, e = d->n_embd, vocab = d->n_vocab;
    size_t need = scratch_bytes(d, t, n_at);
    if (need > pool.cap) {
        free(pool.p);
        pool.p = aligned_alloc(4096, (need + 4095) & ~(size_t)4095);
        pool.cap = need;
    }
    pool.used = 0;
    layout(d, param_flat, &w);
    layout(d, grad_flat, &g);
    memset(grad_flat, 0, n_params * sizeof(float));

    size_t wide = (size_t)(t > n_at ? t : n_at) * (vocab > d->n_ff ? d->n_ff : vocab), head = (size_t)n_at * vocab, embd = (size_t)vocab * e;
    size_t most = wide > head ? wide : head;
    most = most > embd ? most : embd;
    struct work k = {BF16S(most), BF16S(most)};
    float freq[128];
    int *position = (int *)FLOATS(t);
    for (int i = 0; i < d->head_dim / 2; i++)
        freq[i] = powf(d->rope_base, -2.0f * i / d->head_dim);
    for (int n = 0; n < n_docs; n++)
        for (int i = doc[n]; i < doc[n + 1]; i++)
            position[i] = i - doc[n];

    float *x = FLOATS(t * e);
    for (int i = 0; i < t; i++)
        memcpy(x + (size_t)i * e, w.embd + (size_t)token[i] * e, e * sizeof(float));
    for (int l = 0; l < d->n_layers; l++) {
        kept[l].x = x;
        x = FLOATS(t * e);
        forward_layer(d, &w.layer[l], &kept[l], &k, x, t, position, freq, n_docs, doc);
    }

    /* the head, only where something is learned */
    float *final = FLOATS(t * e), *inverse = FLOATS(t), *h = FLOATS(n_at * e), *logits = FLOATS(head), *wt = FLOATS(embd);
    norm_forward(final, inverse, x, w.out_norm, t, e, d->norm_eps);
    for (int i = 0; i < n_at; i++)
        memcpy(h + (size_t)i * e, final + (size_t)at[i] * e, e * sizeof(float));
    transpose(wt, w.embd, vocab, e);
    linear(&k, logits, h, wt, (struct shape){e, vocab}, n_at, 0);
    double total = 0, weights = 0;
    int right = 0;
    for (int i = 0; i < n_at; i++)
        weights += weight[i];
#pragma omp parallel for schedule(dynamic, 16) reduction(+ : total, right)
    for (int i = 0; i < n_at; i++) {
        float *v = logits + (size_t)i * vocab, top = v[0], sum = 0;
        for (int j = 0; j < vocab; j++)
            top = v[j] > top ? v[j] : top;
        right += weight[i] > 0 && v[target[i]] == top;
        float picked = v[target[i]] - top;
        for (int j = 0; j < vocab; j++)
            sum += v[j] = expf(v[j] - top);
        total += weight[i] * (logf(sum) - picked);
        float f = weight[i] / (sum * (float)weights);
        for (int j = 0; j < vocab; j++)
            v[j] *= f;
        v[target[i]] -= weight[i] / (float)weights;
    }
    *loss = total / weights;
    *n_right = right;

    /* and back */
    float *dh = FLOATS(n_at * e), *dfinal = FLOATS(t * e), *dx = FLOATS(t * e);
    convert(k.a, logits, head);
    pack(k.b, w.embd, vocab, e);
    product(dh, k.a, k.b, n_at, e, vocab, 0);
    transpose_bf16(k.a, logits, n_at, vocab);
    pack(k.b, h, n_at, e);
    product(g.embd, k.a, k.b, vocab, e, n_at, 1);
    memset(dfinal, 0, (size_t)t * e * sizeof(float));
    memset(dx, 0, (size_t)t * e * sizeof(float));
    for (int i = 0; i < n_at; i++)
        add_scaled(dfinal + (size_t)at[i] * e, dh + (size_t)i * e, 1, e);
    norm_backward(dx, g.out_norm, dfinal, x, inverse, w.out_norm, t, e);
    int ff = t * d->n_ff, qn = t * shape_of(d, Q).n_out, kn = t * shape_of(d, K).n_out;
    struct back b = {FLOATS(t * e), FLOATS(ff), FLOATS(ff), FLOATS(ff), FLOATS(qn), FLOATS(qn), FLOATS(kn), FLOATS(kn), wt};
    for (int l = d->n_layers - 1; l >= 0; l--)
        backward_layer(d, &w.layer[l], &g.layer[l], &kept[l], &b, &k, dx, t, position, freq, n_docs, doc);
    for (int i = 0; i < t; i++)
        add_scaled(g.embd + (size_t)token[i] * e, dx + (size_t)i * e, 1, e);
}

/* ---- the update: Muon for matrices, Adam for the rest ---- */

struct rates {
    float muon, adam, decay, average;
    int step;      /* from 1 */
};

static void transpose_alone(float *to, const float *from, int rows, int cols, float factor)
{
    for (int r = 0; r < rows; r += 16)
        for (int c = 0; c < cols; c += 16)
            for (int j = c; j < c + 16; j++)
                for (int i = r; i < r + 16; i++)
                    to[(size_t)j * rows + i] = from[(size_t)i * cols + j] * factor;
}

/* Five Newton-Schulz steps move the singular values of u [rows, cols] towards 1; result in u. */
static void orthogonalise(float *u, int rows, int cols)
{
    int r = rows < cols ? rows : cols, c = rows < cols ? cols : rows;
    size_t n = (size_t)r * c, nn = (size_t)r * r;
    float *x = malloc((2 * n + 3 * nn) * sizeof(float)), *y = x + n, *s = y + n, *s2 = s + nn, *xt = malloc(n * sizeof(float));
    bf16 *a = malloc(n * sizeof(bf16) * 2), *b = malloc(n * sizeof(bf16) * 2);
    if (!x || !xt || !a || !b)
        abort();
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += u[i] * u[i];
    float f = 1 / (sqrtf(sum) + 1e-7f);
    if (rows <= cols)
        for (size_t i = 0; i < n; i++)
            x[i] = u[i] * f;
    else
        transpose_alone(x, u, rows, cols, f);
    for (int round = 0; round < 5; round++) {
        transpose_alone(xt, x, r, c, 1);
        convert(a, x, n);
        for (int col = 0; col < r; col += COLS)
            pack_panel(b + (size_t)col * c, xt, c, r, col);
        product_rows(s, a, b, 0, r, r, c, 0);
        convert(a, s, nn);
        for (int col = 0; col < r; col += COLS)
            pack_panel(b + (size_t)col * r, s, r, r, col);
        product_rows(s2, a, b, 0, r, r, r, 0);
        for (size_t i = 0; i < nn; i++)
            s2[i] = -4.7750f * s[i] + 2.0315f * s2[i];
        convert(a, s2, nn);
        for (int col = 0; col < c; col += COLS)
            pack_panel(b + (size_t)col * r, x, r, c, col);
        product_rows(y, a, b, 0, r, c, r, 0);
        for (size_t i = 0; i < n; i++)
            x[i] = 3.4445f * x[i] + y[i];
    }
    if (rows <= cols)
        memcpy(u, x, n * sizeof(float));
    else
        transpose_alone(u, x, r, c, 1);
    free(x), free(xt), free(a), free(b);
}

static void update_muon(float *p, const float *g, float *m, struct shape s, const struct rates *r)
{
    size_t n = (size_t)s.n_in * s.n_out;
    float *u = malloc(n * sizeof(float)), scale = r->muon * sqrtf(fmaxf(1, (float)s.n_out / s.n_in)), keep = 1 - r->muon * r->decay;
    if (!u)
        abort();
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.95f * m[i] + g[i];
        u[i] = 0.95f * m[i] + g[i];
    }
    orthogonalise(u, s.n_in, s.n_out);
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] * keep - scale * u[i];
    free(u);
}

static void update_adam(float *p, const float *g, float *m, float *v, size_t n, const struct rates *r)
{
    float c1 = 1 / (1 - powf(0.9f, r->step)), c2 = 1 / (1 - powf(0.98f, r->step));
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.98f * v[i] + 0.02f * g[i] * g[i];
        p[i] -= r->adam * (m[i] * c1) / (sqrtf(v[i] * c2) + 1e-9f);
    }
}

/* All arrays are as long as the parameters; v is used by Adam only. */
void demo_update(const struct dims *d, float *param_flat, float *grad_flat, float *m_flat, float *v_flat, float *average, size_t n_params, const struct rates *r)
{
    struct weights w, g, m, v;
    layout(d, param_flat, &w), layout(d, grad_flat, &g), layout(d, m_flat, &m), layout(d, v_flat, &v);
    int n = d->n_layers * N_MATRICES;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n; i++) {
        int l = i % d->n_layers, k = N_MATRICES - 1 - i / d->n_layers;
        update_muon(w.layer[l].m[k], g.layer[l].m[k], m.layer[l].m[k], shape_of(d, k), r);
    }
    update_adam(w.embd, g.embd, m.embd, v.embd, (size_t)d->n_vocab * d->n_embd + d->n_embd, r);
    for (int l = 0; l < d->n_layers; l++)
        update_adam(w.layer[l].attn_norm, g.layer[l].attn_norm, m.layer[l].attn_norm, v.layer[l].attn_norm, 2 * (size_t)d->n_embd, r);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n_params; i++)
        average[i] = r->average * average[i] + (1 - r->average) * param_flat[i];
}
