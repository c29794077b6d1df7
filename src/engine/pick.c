/* pick.c - Choose a token from a row of logits: temperature, top_k, top_p, min_p, and a number.
 *
 * A vocabulary of 128k tokens must not be sorted for one token.  With top_k, the maxima of blocks
 * of 64 tell a bound that few logits pass (at least k blocks have a maximum that large), and only
 * those are sorted.  Without it, exp() of the whole row is made once, the cut of top_p is
 * searched by adding up masses, and the draw walks over sums of blocks.
 *
 * Candidates are sorted as 64-bit keys: the float's bits in an order that integers have, then the
 * id backwards, so that a larger key is a likelier token and ties go to the lower id.
 *
 * Start reading at pick_token(). */
#include "engine/pick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ensure.h"

#define TOP_K_SORTED  1024 /* above, top_k becomes a cut on the whole row */
#define SEARCH_MAX    8192 /* candidates of top_p's cut that are looked at one by one */
#define SEARCH_FEW    1024 /* so few are better looked at than narrowed further */
#define NARROW_ROUNDS 40
#define GREEDY_BELOW  1e-5f /* temperatures below are 0: 1 / t would overflow */

/* ---- keys ---- */

static uint64_t key_of(float x, int32_t id)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~id;
}

static int32_t key_id(uint64_t key)
{
    return (int32_t) ~(uint32_t)key;
}

static float key_value(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void swap_keys(uint64_t *a, uint64_t *b)
{
    uint64_t t = *a;
    *a = *b;
    *b = t;
}

/* Split keys[n], n >= 2, into larger ones in front and smaller ones behind; returns how many are in
 * front: at least 1, at most n - 1.  Keys are all different. */
static int32_t split_keys(uint64_t *k, int32_t n)
{
    uint64_t a = k[0], b = k[n / 2], c = k[n - 1];
    uint64_t pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
    int32_t i = -1, j = n;
    for (;;) {
        do
            i++;
        while (k[i] > pivot);
        do
            j--;
        while (k[j] < pivot);
        if (i >= j)
            break;
        swap_keys(&k[i], &k[j]);
    }
    return j + 1 < n ? j + 1 : n - 1;
}

/* Bring the `wanted` largest keys to the front, in any order. */
static void front_keys(uint64_t *k, int32_t n, int32_t wanted)
{
    while (n > 1 && wanted > 0 && wanted < n) {
        int32_t m = split_keys(k, n);
        if (wanted <= m) {
            n = m;
        } else {
            k += m;
            n -= m;
            wanted -= m;
        }
    }
}

/* Largest first.  A heap sort: no recursion, no bad input. */
static void sift_down(uint64_t *k, int32_t at, int32_t n)
{
    uint64_t key = k[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && k[child + 1] < k[child])
            child++;
        if (k[child] >= key)
            break;
        k[at] = k[child];
    }
    k[at] = key;
}

static void sort_keys(uint64_t *k, int32_t n)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift_down(k, i, n);
    for (int32_t i = n - 1; i > 0; i--) {
        swap_keys(&k[0], &k[i]);
        sift_down(k, 0, i);
    }
}

/* ---- the most likely ---- */

static int32_t argmax(struct pick *p, const float *x, int32_t n)
{
    float max = p->ops->block_max(x, n, p->block_max);
    if (!(max > -INFINITY))
        return PICK_NONE;
    int32_t b = 0;
    while (p->block_max[b] != max)
        b++;
    for (int32_t i = b * LOGITS_BLOCK; i < n; i++)
        if (x[i] == max)
            return i;
    return PICK_NONE;
}

/* The wanted-th largest of the block maxima; -inf if there are fewer blocks. */
static float block_bound(struct pick *p, int32_t n_blocks, int32_t wanted)
{
    if (wanted > n_blocks)
        return -INFINITY;
    uint64_t *k = p->keys;
    for (int32_t b = 0; b < n_blocks; b++)
        k[b] = key_of(p->block_max[b], b);
    front_keys(k, n_blocks, wanted);
    uint64_t least = k[0];
    for (int32_t b = 1; b < wanted; b++)
        least = k[b] < least ? k[b] : least;
    return key_value(least);
}

/* keys[] = the k largest logits, sorted.  block_max must be that of x.  Returns their number. */
static int32_t top_keys(struct pick *p, const float *x, int32_t n, int32_t k)
{
    int32_t n_blocks = logits_n_blocks(n), n_keys = 0;
    float bound = block_bound(p, n_blocks, k);

    for (int32_t b = 0; b < n_blocks; b++) {
        if (!(p->block_max[b] >= bound))
            continue;
        int32_t end = (b + 1) * LOGITS_BLOCK < n ? (b + 1) * LOGITS_BLOCK : n;
        for (int32_t i = b * LOGITS_BLOCK; i < end; i++)
            if (x[i] >= bound && x[i] > -INFINITY)
                p->keys[n_keys++] = key_of(x[i], i);
    }
    if (n_keys > k) {
        front_keys(p->keys, n_keys, k);
        n_keys = k;
    }
    sort_keys(p->keys, n_keys);
    return n_keys;
}

/* ---- drawing from a short sorted list ---- */

static int32_t draw_sorted(const uint64_t *keys, int32_t n, const struct pick_params *s, double unit)
{
    float w[TOP_K_SORTED], max = key_value(keys[0]);
    float scale = s->is_temperature_last ? 1.0f : 1.0f / s->temperature;
    double total = 0, sum = 0;

    for (int32_t i = 0; i < n; i++) {
        w[i] = logits_exp((key_value(keys[i]) - max) * scale);
        total += w[i];
    }
    int32_t kept = 0;
    while (kept < n && (kept == 0 || sum < (double)s->top_p * total || s->top_p >= 1)) {
        if (w[kept] < s->min_p || (w[kept] <= 0 && kept > 0))
            break;
        sum += w[kept++];
    }
    if (s->is_temperature_last) {
        sum = 0;
        for (int32_t i = 0; i < kept; i++) {
            w[i] = logits_exp((key_value(keys[i]) - max) / s->temperature);
            sum += w[i];
        }
    }
    double target = unit * sum;
    for (int32_t i = 0; i < kept; i++) {
        target -= w[i];
        if (target < 0)
            return key_id(keys[i]);
    }
    return key_id(keys[0]); /* rounding, with unit next to 1 */
}

/* ---- drawing from the whole row ---- */

/* Elements of e in [low, high) as keys; -1 if there are more than SEARCH_MAX. */
static int32_t keys_between(struct pick *p, int32_t n, float low, float high)
{
    int32_t n_keys = p->ops->between(p->e, n, low, high, p->ids, SEARCH_MAX);
    for (int32_t k = 0; k < n_keys; k++)
        p->keys[k] = key_of(p->e[p->ids[k]], p->ids[k]);
    return n_keys;
}

/* How many of the largest keys (values e) have `wanted` mass together; brings them to the front. */
static int32_t front_mass(uint64_t *keys, int32_t n, double wanted)
{
    int32_t kept = 0;
    while (n - kept > 1) {
        int32_t m = split_keys(keys + kept, n - kept);
        double mass = 0;
        for (int32_t i = 0; i < m; i++)
            mass += key_value(keys[kept + i]);
        if (mass >= wanted) {
            n = kept + m;
        } else {
            kept += m;
            wanted -= mass;
        }
    }
    return n;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Narrow [*low, *high) with mass(>= high) < wanted <= mass(>= low) by cuts at equal distances of
 * their bits (positive floats are ordered as their bits). */
static void narrow(struct pick *p, int32_t n, double wanted, float *low, float *high, double *mass_high)
{
    int32_t n_low = n, n_high = 0; /* elements >= *low and >= *high */
    for (int round = 0; round < NARROW_ROUNDS; round++) {
        float cut[LOGITS_CUTS];
        double mass[LOGITS_CUTS];
        int32_t count[LOGITS_CUTS];
        uint32_t l = bits_of(*low), step = (bits_of(*high) - l) / (LOGITS_CUTS + 1);
        if (step == 0)
            return;
        for (int c = 0; c < LOGITS_CUTS; c++)
            cut[c] = float_of(l + step * (uint32_t)(c + 1));
        p->ops->mass_above(p->e, n, cut, mass, count);
        for (int c = 0; c < LOGITS_CUTS; c++) {
            if (mass[c] >= wanted) {
                *low = cut[c];
                n_low = count[c];
            } else {
                *high = cut[c];
                *mass_high = mass[c];
                n_high = count[c];
                break;
            }
        }
        if (n_low - n_high <= SEARCH_FEW)
            return;
    }
}

/* The cut of top_p on e (whose sum is `total`): elements >= the cut are kept; elements equal to it
 * that are too many are set to 0. */
static float top_p_cut(struct pick *p, int32_t n, float top_p, double total)
{
    double wanted = (double)top_p * total, mass_high = 0;
    /* All elements below this together have less than what may be cut off. */
    float low = (float)((1 - (double)top_p) * total / n * 0.999), high = 1.0000001f; /* e is at most 1 */

    narrow(p, n, wanted, &low, &high, &mass_high);
    int32_t n_keys = keys_between(p, n, low, high);
    if (n_keys <= 0) /* more equal elements than are looked at: none of them can be preferred */
        return low;
    int32_t kept = front_mass(p->keys, n_keys, wanted - mass_high);
    uint64_t least = p->keys[0];
    for (int32_t i = 1; i < kept; i++)
        least = p->keys[i] < least ? p->keys[i] : least;
    float cut = key_value(least);
    for (int32_t i = kept; i < n_keys; i++)
        if (key_value(p->keys[i]) == cut)
            p->e[key_id(p->keys[i])] = 0;
    return cut;
}

static int32_t draw_all(struct pick *p, int32_t n, float cut, double unit)
{
    double target = unit * p->ops->block_mass(p->e, n, cut, p->block_sum);
    int32_t last = PICK_NONE;

    for (int32_t b = 0; b * LOGITS_BLOCK < n; b++) {
        bool is_here = target < p->block_sum[b];
        int32_t end = (b + 1) * LOGITS_BLOCK < n ? (b + 1) * LOGITS_BLOCK : n;
        if (!is_here && p->block_sum[b] > 0)
            last = b;
        if (!is_here) {
            target -= p->block_sum[b];
            continue;
        }
        int32_t found = PICK_NONE;
        for (int32_t i = b * LOGITS_BLOCK; i < end; i++) {
            if (!(p->e[i] >= cut) || p->e[i] <= 0)
                continue;
            found = i;
            target -= p->e[i];
            if (target < 0)
                break;
        }
        return found;
    }
    /* Rounding, with unit next to 1: the last kept token. */
    for (int32_t i = last < 0 ? -1 : (last + 1) * LOGITS_BLOCK - 1; i >= 0; i--)
        if (i < n && p->e[i] >= cut && p->e[i] > 0)
            return i;
    return PICK_NONE;
}

/* x = -inf behind the k-th largest, for a large k. */
static void cut_top_k(struct pick *p, float *x, int32_t n, int32_t k)
{
    for (int32_t i = 0; i < n; i++)
        p->keys[i] = key_of(x[i] > -INFINITY ? x[i] : -INFINITY, i);
    front_keys(p->keys, n, k);
    for (int32_t i = k; i < n; i++)
        x[key_id(p->keys[i])] = -INFINITY;
}

static int32_t draw_row(struct pick *p, float *x, int32_t n, float max, const struct pick_params *s,
                        double unit)
{
    float scale = s->is_temperature_last ? 1.0f : 1.0f / s->temperature;
    double total = p->ops->exp_sum(x, n, max, scale, p->e, p->block_sum);
    if (!(total > 0) || isinf(total))
        return PICK_NONE;

    float cut = s->top_p < 1 ? top_p_cut(p, n, s->top_p, total) : 0;
    if (s->min_p > cut)
        cut = s->min_p;
    if (s->is_temperature_last && s->temperature != 1) {
        for (int32_t i = 0; i < n; i++)
            if (!(p->e[i] >= cut) || p->e[i] <= 0)
                x[i] = -INFINITY;
        p->ops->exp_sum(x, n, max, 1.0f / s->temperature, p->e, p->block_sum);
        cut = 0;
    }
    return draw_all(p, n, cut, unit);
}

/* ---- public ---- */

int pick_init(struct pick *p, const struct logits_ops *ops, int32_t n_max, struct err *err)
{
    size_t n = (size_t)n_max, n_blocks = (size_t)logits_n_blocks(n_max);
    *p = (struct pick){.ops = ops, .n_max = n_max};
    p->e = calloc(n, sizeof *p->e);
    p->block_max = calloc(n_blocks, sizeof *p->block_max);
    p->block_sum = calloc(n_blocks, sizeof *p->block_sum);
    p->keys = calloc(n > SEARCH_MAX ? n + 1 : SEARCH_MAX + 1, sizeof *p->keys);
    p->ids = calloc(SEARCH_MAX + LOGITS_BLOCK + 1, sizeof *p->ids);
    if (p->e && p->block_max && p->block_sum && p->keys && p->ids)
        return OK;
    pick_deinit(p);
    return fail(err, ERR_NOMEM, "no memory for sampling from %d tokens", n_max);
}

void pick_deinit(struct pick *p)
{
    free(p->e);
    free(p->block_max);
    free(p->block_sum);
    free(p->keys);
    free(p->ids);
    *p = (struct pick){0};
}

int32_t pick_token(struct pick *p, float *x, int32_t n, const struct pick_params *s, double unit)
{
    ensure(n > 0 && n <= p->n_max && unit >= 0 && unit < 1);
    if (s->temperature < GREEDY_BELOW || s->top_k == 1)
        return argmax(p, x, n);

    float max = p->ops->block_max(x, n, p->block_max);
    if (!(max > -INFINITY) || isinf(max))
        return PICK_NONE;
    if (s->top_k > 0 && s->top_k <= TOP_K_SORTED) {
        int32_t n_keys = top_keys(p, x, n, s->top_k);
        return draw_sorted(p->keys, n_keys, s, unit);
    }
    if (s->top_k > 0 && s->top_k < n)
        cut_top_k(p, x, n, s->top_k);
    return draw_row(p, x, n, max, s, unit);
}

int32_t pick_top(struct pick *p, const float *x, int32_t n, int32_t k, int32_t *ids)
{
    ensure(k >= 0 && n <= p->n_max);
    if (k == 0)
        return 0;
    p->ops->block_max(x, n, p->block_max);
    int32_t n_keys = top_keys(p, x, n, k < n ? k : n);
    for (int32_t i = 0; i < n_keys; i++)
        ids[i] = key_id(p->keys[i]);
    return n_keys;
}

double pick_log_sum(struct pick *p, const float *x, int32_t n)
{
    float max = p->ops->block_max(x, n, p->block_max);
    if (!(max > -INFINITY) || isinf(max))
        return -INFINITY;
    return (double)max + log(p->ops->exp_sum(x, n, max, 1, p->e, p->block_sum));
}
