/* The functions of an activation: the same bits on every level, and near float64. */
#include <math.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "kernel/kernel.h"

enum { N = 4096 + 7 };

/* Dense around zero and far out; zeros, infinities and what is hardly a number. */
static void fill(float *x)
{
    static const float odd[] = {0, -0.0f, INFINITY, -INFINITY, 1e-38f, -1e-38f, 1e30f, -1e30f, 9.01f, -9.01f};
    struct rng r = rng_seeded(4);
    for (int i = 0; i < N; i++)
        x[i] = (float)((rng_unit(&r) - 0.5) * exp2(rng_unit(&r) * 30 - 25));
    memcpy(x, odd, sizeof odd);
}

static void check_level(const char *name)
{
    static float x[N], up[N], a[N], b[N];
    const struct kern_ops *ref, *ops;
    REQUIRE(kern_choose(&ref, "ref", NULL) == OK);
    if (kern_choose(&ops, name, NULL) != OK)
        test_skip("this processor does not have the level");
    fill(x);
    for (int i = 0; i < N; i++)
        up[i] = 1 + (float)(i % 17);
    for (int g = 0; g < KERN_GATE_END; g++) {
        ref->gate_mul[g](a, x, up, N);
        ops->gate_mul[g](b, x, up, N);
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
    ref->softcap(a, x, 30, N);
    ops->softcap(b, x, 30, N);
    CHECK(memcmp(a, b, sizeof a) == 0);
    ref->sigmoid(a, x, N);
    ops->sigmoid(b, x, N);
    CHECK(memcmp(a, b, sizeof a) == 0);
}

TEST(avx512_gates_and_caps_equal_the_reference)
{
    check_level("avx512");
}

TEST(avx2_gates_and_caps_equal_the_reference)
{
    check_level("avx2");
}

TEST(neon_gates_and_caps_equal_the_reference)
{
    check_level("neon");
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

/* With an up of 1. */
static double oai(double x)
{
    x = x < 7 ? x : 7;
    return 2 * x / (1 + exp(-1.702 * x));
}

/* The largest error of y from f, relative to what is larger, f or `floor` times the argument. */
static double worst(const float *x, const float *y, double (*f)(double), double floor)
{
    double most = 0;
    for (int i = 6; i < N; i++) { /* without the infinities and what is denormal */
        double want = f((double)x[i]), scale = fmax(fabs(want), fabs((double)x[i]) * floor);
        double e = fabs((double)y[i] - want) / fmax(scale, 1e-37);
        most = e > most ? e : most;
    }
    return most;
}

static double cap30(double x)
{
    return 30 * tanh(x / 30);
}

TEST(gates_and_caps_are_those_of_float64)
{
    static double (*const gates[KERN_GATE_END])(double) = {silu, gelu, oai};
    static float x[N], y[N], up[N];
    const struct kern_ops *ops;
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    fill(x);
    for (int i = 0; i < N; i++)
        up[i] = 1;
    for (int g = 0; g < KERN_GATE_END; g++) {
        ops->gate_mul[g](y, x, up, N);
        double e = worst(x, y, gates[g], 1e-3);
        if (getenv("SHOW_ERRORS"))
            printf("gate %d: %.2e\n", g, e);
        CHECK(e < 1e-6);
    }
    for (float cap = 0.01f; cap < 1e6f; cap *= 10) {
        for (int i = 0; i < N; i++)
            up[i] = x[i] * (cap / 30);
        ops->softcap(y, up, cap, N);
        for (int i = 0; i < N; i++)
            y[i] *= 30 / cap;
        double e = worst(x, y, cap30, 0);
        if (getenv("SHOW_ERRORS"))
            printf("cap %g: %.2e\n", (double)cap, e);
        CHECK(e < 1e-6);
    }
    x[0] = NAN;
    x[1] = INFINITY;
    x[2] = -INFINITY;
    ops->softcap(y, x, 30, 3);
    CHECK(y[0] != y[0]);
    CHECK(y[1] == 30 && y[2] == -30);
}

TEST(sigmoid_is_that_of_float64)
{
    static float x[N], y[N];
    const struct kern_ops *ops;
    double most = 0;
    REQUIRE(kern_choose(&ops, "auto", NULL) == OK);
    fill(x);
    ops->sigmoid(y, x, N);
    for (int i = 0; i < N; i++)
        most = fmax(most, fabs((double)y[i] - 1 / (1 + exp(-(double)x[i]))));
    CHECK(most < 2e-7);
    CHECK(y[0] == 0.5f && y[2] == 1);
}
