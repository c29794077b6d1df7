/* quant_test.c - Types against golden vectors, their own inverse, and a plain double dot product. */
#include "kernel/quant_int.h"

#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"

enum { N = 1024 };

static const enum quant_type writable[] = {
    QUANT_F32,  QUANT_F16,  QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0,   QUANT_Q5_1,   QUANT_Q8_0,
    QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K, QUANT_IQ4_NL, QUANT_IQ4_XS, QUANT_MXFP4,
};
#define N_WRITABLE (sizeof writable / sizeof writable[0])

static float gauss(struct rng *r)
{
    double u = rng_unit(r) + 1e-12;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * rng_unit(r)));
}

static int hex_value(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static size_t read_hex(uint8_t *out, size_t max, struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i + 1 < s.n && n < max; i += 2)
        out[n++] = (uint8_t)(hex_value(s.p[i]) << 4 | hex_value(s.p[i + 1]));
    return n;
}

/* Equal floats, where two zeros are equal whatever their signs. */
static bool same(float got, uint32_t want)
{
    return f32_bits(got) == want || (got == 0 && f32_of_bits(want) == 0);
}

TEST(dequantize_equals_the_golden_vectors)
{
    size_t n_bytes;
    char *text = test_read_file("tests/golden/quant_dequant.txt", &n_bytes);
    struct str rest = str_of(text, n_bytes), line;
    int lines = 0;
    bool seen[QUANT_TYPES_END] = {false};
    while (str_split(&rest, '\n', &line)) {
        struct str name, hex, word;
        uint8_t block[512], bits[4];
        float y[256];
        if (!line.n)
            continue;
        REQUIRE(str_split(&line, ' ', &name) && str_split(&line, ' ', &hex));
        int type = quant_by_name(name.p, name.n);
        REQUIRE(type >= 0);
        const struct quant_info *info = quant_info((uint32_t)type);
        size_t size = read_hex(block, sizeof block, hex);
        size_t n = size / info->block_bytes * info->block_elems;
        info->dequantize(y, block, n);
        for (size_t i = 0; i < n; i++) {
            REQUIRE(str_split(&line, ' ', &word) && read_hex(bits, 4, word) == 4);
            uint32_t want =
                (uint32_t)bits[0] << 24 | (uint32_t)bits[1] << 16 | (uint32_t)bits[2] << 8 | bits[3];
            if (!same(y[i], want)) {
                test_fail(__FILE__, __LINE__, "%s line %d element %zu: %08x, expected %08x", info->name,
                          lines, i, f32_bits(y[i]), want);
                break;
            }
        }
        lines++;
        seen[type] = true;
    }
    CHECK(lines >= 100);
    for (uint32_t t = 0; t < QUANT_TYPES_END; t++)
        if (quant_info(t) && quant_info(t)->dequantize && t != QUANT_F32 && t != QUANT_Q8_1 &&
            t != QUANT_Q8_K)
            CHECK(seen[t]);
    free(text);
}

/* The two forms of activations that no file has, and F32: by the formula itself. */
TEST(dequantize_reads_the_plain_forms)
{
    uint8_t q8_1[36] = {0x00, 0x38}, q8_k[292] = {0};
    float y[256];
    for (int i = 0; i < 32; i++)
        q8_1[4 + i] = (uint8_t)(i - 16);
    quant_info(QUANT_Q8_1)->dequantize(y, q8_1, 32);
    for (int i = 0; i < 32; i++)
        CHECK(y[i] == 0.5f * (float)(i - 16));
    store_u32(q8_k, f32_bits(0.25f));
    for (int i = 0; i < 256; i++)
        q8_k[4 + i] = (uint8_t)(i - 128);
    quant_info(QUANT_Q8_K)->dequantize(y, q8_k, 256);
    for (int i = 0; i < 256; i++)
        CHECK(y[i] == 0.25f * (float)(i - 128));
}

/* Random bytes of every type; scales that are NaN or infinite are made ordinary. */
static void random_blocks(uint8_t *p, size_t bytes, const struct quant_info *info, struct rng *r)
{
    float y[256];
    for (size_t b = 0; b < bytes; b += info->block_bytes) {
        bool finite;
        do {
            finite = true;
            for (size_t i = 0; i < info->block_bytes; i++)
                p[b + i] = (uint8_t)rng_next(r);
            info->dequantize(y, p + b, info->block_elems);
            for (size_t i = 0; i < info->block_elems; i++)
                finite = finite && fabsf(y[i]) < 1e6f;
        } while (!finite);
    }
}

TEST(dot_equals_the_dot_of_dequantized_values)
{
    struct rng r = rng_seeded(5);
    for (uint32_t t = 0; t < QUANT_TYPES_END; t++) {
        const struct quant_info *info = quant_info(t);
        if (!info || !info->dot)
            continue;
        uint64_t bytes;
        REQUIRE(quant_row_bytes(t, N, &bytes));
        uint8_t *blocks = malloc(bytes);
        void *act = malloc(quant_act_bytes(info->act, N));
        float w[N], x[N];
        double want = 0, magnitude = 0;
        random_blocks(blocks, bytes, info, &r);
        for (int i = 0; i < N; i++)
            x[i] = gauss(&r) * (i % 97 == 0 ? 1000 : 1);
        quantize_act(info->act, act, x, N);
        info->dequantize(w, blocks, N);
        for (int i = 0; i < N; i++) {
            double xi = x[i];
            if (info->act == QUANT_ACT_Q8_32) {
                const struct quant_act32 *a = (const struct quant_act32 *)act + i / 32;
                xi = (double)a->d * a->q[i % 32];
            } else if (info->act == QUANT_ACT_Q8_256) {
                const struct quant_act256 *a = (const struct quant_act256 *)act + i / 256;
                xi = (double)a->d * a->q[i % 256];
            }
            want += (double)w[i] * xi;
            magnitude += fabs((double)w[i] * xi);
        }
        float got = info->dot(blocks, act, N);
        /* a few f32 roundings of partial sums that are at most `magnitude` */
        if (!(fabs((double)got - want) <= 3e-6 * magnitude))
            test_fail(__FILE__, __LINE__, "%s: dot is %.9g, expected %.9g of %.9g", info->name, (double)got,
                      want, magnitude);
        free(blocks);
        free(act);
    }
}

TEST(activations_follow_the_stated_formula)
{
    struct rng r = rng_seeded(6);
    float x[256] = {0};
    struct quant_act32 a[8];
    struct quant_act256 b;
    quantize_act_32(a, x, 256);
    quantize_act_256(&b, x, 256);
    CHECK(a[3].d == 0 && a[3].sum == 0 && b.d == 0);
    for (int i = 0; i < 256; i++)
        x[i] = gauss(&r);
    x[40] = -9;
    quantize_act_32(a, x, 256);
    quantize_act_256(&b, x, 256);
    CHECK(a[1].d == 9.0f / 127 && a[1].q[8] == -127);
    CHECK(b.d == 9.0f / 127 && b.q[40] == -127);
    int sum = 0;
    for (int i = 0; i < 256; i++) {
        CHECK(b.q[i] == (int)rintf(x[i] * (127 / 9.0f)));
        CHECK(fabsf(a[i / 32].d * a[i / 32].q[i % 32] - x[i]) <= a[i / 32].d * 0.5001f);
        sum += b.q[i];
        if (i % 16 == 15) {
            CHECK_INT(b.sums[i / 16], sum);
            sum = 0;
        }
    }
    float halves[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f};
    quantize_act_32(a, halves, 32); /* d = 1: halves go to the even neighbour */
    CHECK(a[0].q[1] == 0 && a[0].q[2] == 2 && a[0].q[3] == 2 && a[0].q[4] == 0 && a[0].q[5] == -2);
    CHECK_INT(a[0].sum, 127 + 0 + 2 + 2 - 0 - 2);
}

static double rms_error(const struct quant_info *info, const float *x, int n, const float *weights)
{
    uint8_t *blocks = malloc((size_t)n / info->block_elems * info->block_bytes);
    float *y = malloc((size_t)n * sizeof *y);
    double err = 0, sum = 0;
    info->quantize(blocks, x, (size_t)n, weights);
    info->dequantize(y, blocks, (size_t)n);
    for (int i = 0; i < n; i++) {
        double w = weights ? (double)weights[i] : 1;
        err += w * pow((double)y[i] - (double)x[i], 2);
        sum += w * pow((double)x[i], 2);
    }
    free(blocks);
    free(y);
    return sqrt(err / sum);
}

/* Relative RMS errors on a normal distribution.  The limits are what the search reaches plus two
 * per cent, so that a worse search is noticed.  (llama.cpp's quantisers, on 2^18 such values: Q4_0
 * 0.0861, Q4_1 0.0783, Q5_0 0.0428, Q5_1 0.0379, Q8_0 0.00536, Q2_K 0.297, Q3_K 0.151, Q4_K 0.0715,
 * Q5_K 0.0362, Q6_K 0.0178, IQ4_NL 0.0762, IQ4_XS 0.0768, MXFP4 0.114.) */
TEST(quantize_is_as_good_as_measured)
{
    static const struct {
        enum quant_type type;
        double limit;
    } cases[] = {
        {QUANT_F32, 0},        {QUANT_F16, 2.2e-4},     {QUANT_BF16, 1.7e-3},    {QUANT_Q4_0, 0.08285},
        {QUANT_Q4_1, 0.07070}, {QUANT_Q5_0, 0.04088},   {QUANT_Q5_1, 0.03450},   {QUANT_Q8_0, 0.00549},
        {QUANT_Q2_K, 0.26585}, {QUANT_Q3_K, 0.14743},   {QUANT_Q4_K, 0.07141},   {QUANT_Q5_K, 0.03549},
        {QUANT_Q6_K, 0.01719}, {QUANT_IQ4_NL, 0.07479}, {QUANT_IQ4_XS, 0.07551}, {QUANT_MXFP4, 0.11370},
    };
    enum { M = 1 << 16 };
    float *x = malloc(M * sizeof *x);
    struct rng r = rng_seeded(7);
    for (int i = 0; i < M; i++)
        x[i] = 0.02f * gauss(&r);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        double e = rms_error(quant_info(cases[k].type), x, M, NULL);
        if (!(e <= cases[k].limit))
            test_fail(__FILE__, __LINE__, "%s: relative error %.6f, limit %.6f", quant_name(cases[k].type), e,
                      cases[k].limit);
    }
    free(x);
}

TEST(importance_moves_the_error_to_where_it_does_not_matter)
{
    float x[N], w[N];
    struct rng r = rng_seeded(8);
    for (int i = 0; i < N; i++) {
        x[i] = gauss(&r);
        w[i] = i % 8 == 0 ? 50 : 0.02f;
    }
    for (size_t k = 3; k < N_WRITABLE; k++) {
        const struct quant_info *info = quant_info(writable[k]);
        uint8_t plain[2048];
        float y[N];
        if (writable[k] == QUANT_Q8_0)
            continue;
        info->quantize(plain, x, N, NULL);
        info->dequantize(y, plain, N);
        double err = 0, sum = 0;
        for (int i = 0; i < N; i++) {
            err += (double)w[i] * pow((double)y[i] - (double)x[i], 2);
            sum += (double)w[i] * pow((double)x[i], 2);
        }
        double with = rms_error(info, x, N, w);
        if (!(with <= sqrt(err / sum)))
            test_fail(__FILE__, __LINE__, "%s: %.6f with importance, %.6f without", info->name, with,
                      sqrt(err / sum));
    }
}

/* Values that a file made by quantising holds exactly come back exactly, and nothing overflows. */
TEST(quantize_survives_nasty_rows)
{
    static const float scales[] = {0, 1e-38f, 1e-8f, 1e-4f, 1, 1e4f, 1e30f};
    struct rng r = rng_seeded(9);
    for (size_t k = 0; k < N_WRITABLE; k++) {
        const struct quant_info *info = quant_info(writable[k]);
        for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
            for (int shape = 0; shape < 4; shape++) {
                float x[256], y[256];
                uint8_t blocks[1024];
                for (int i = 0; i < 256; i++) {
                    float v = shape == 0 ? 1 : shape == 1 ? -(float)i : gauss(&r);
                    x[i] = v * scales[s] * (shape == 3 && i == 77 ? 1000 : 1);
                }
                info->quantize(blocks, x, 256, NULL);
                info->dequantize(y, blocks, 256);
                if (scales[s] < 1e5f && writable[k] != QUANT_F16) /* which has no scale */
                    for (int i = 0; i < 256; i++)
                        if (!CHECK(isfinite(y[i])))
                            return;
                if (scales[s] == 0)
                    for (int i = 0; i < 256; i++)
                        CHECK(y[i] == 0);
            }
        }
    }
}

TEST(row_bytes_refuses_what_it_cannot_say)
{
    uint64_t bytes = 7;
    CHECK(!quant_row_bytes(4, 32, &bytes));
    CHECK(!quant_row_bytes(99, 32, &bytes));
    CHECK(!quant_row_bytes(QUANT_Q4_0, 33, &bytes));
    CHECK(!quant_row_bytes(QUANT_F64, UINT64_MAX / 4, &bytes));
    CHECK_INT(bytes, 7);
    CHECK(quant_row_bytes(QUANT_Q4_K, 512, &bytes));
    CHECK_INT(bytes, 288);
    CHECK_INT(quant_by_name("q4_k", 4), QUANT_Q4_K);
    CHECK_INT(quant_by_name("q4", 2), -1);
    CHECK(quant_name(5) == NULL);
}

/* Every one of the 65,536 patterns, both ways. */
TEST(f16_conversions_are_exact)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h);
        int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
        double want = e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);
        if (e == 31)
            CHECK(m ? isnan(f) : isinf(f));
        else if (!CHECK((double)f == (h & 0x8000 ? -want : want)))
            return;
        uint16_t back = f32_to_f16(f);
        if (!CHECK(back == (e == 31 && m ? (h | 0x200) : h)))
            return;
    }
    struct rng r = rng_seeded(3);
    for (int i = 0; i < 200000; i++) { /* nearest, ties to even, against the definition */
        float f = f32_of_bits((uint32_t)rng_next(&r));
        if (!isfinite(f) || fabsf(f) >= 65504)
            continue;
        uint16_t h = f32_to_f16(f);
        double at = f16_to_f32(h), err = fabs(at - (double)f);
        double up = fabs((double)f16_to_f32((uint16_t)(h + 1)) - (double)f);
        double down = h & 0x7fff ? fabs((double)f16_to_f32((uint16_t)(h - 1)) - (double)f) : INFINITY;
        if (!CHECK(err <= up && err <= down && ((err != up && err != down) || !(h & 1))))
            return;
    }
    CHECK(f32_to_f16(65519.9f) == 0x7bff && f32_to_f16(65520) == 0x7c00);
    CHECK(f32_to_bf16(1.00390625f) == 0x3f80 && f32_to_bf16(1.01171875f) == 0x3f82);
    CHECK(isnan(bf16_to_f32(f32_to_bf16(f32_of_bits(0x7f800001)))));
}
