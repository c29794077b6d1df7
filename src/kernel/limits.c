/* limits.c - Measure reading and multiplying with all threads of a team. */
#include "kernel/limits.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sys.h"

enum { PIECE = 1 << 18, OWN_BYTES = 256 << 20, READ_PASSES = 5, MULTIPLY_PASSES = 6, ROUNDS = 400 };

struct limits {
    struct team *team;
    const struct limits_ops *ops;
    const uint8_t *memory;
    int n_pieces;
    uint8_t *own; /* NULL: somebody else's */
    _Atomic uint64_t done, sink;
};

static void read_pieces(void *arg, int begin, int end, int worker)
{
    struct limits *l = arg;
    (void)worker;
    atomic_fetch_add(&l->sink,
                     l->ops->read(l->memory + (size_t)begin * PIECE, (size_t)(end - begin) * PIECE));
}

static void multiply_some(void *arg, int begin, int end, int worker)
{
    struct limits *l = arg;
    uint64_t sink = 0, n = 0;
    (void)worker;
    for (int i = begin; i < end; i++)
        n += l->ops->multiply(ROUNDS / 8, &sink);
    atomic_fetch_add(&l->done, n);
    atomic_fetch_add(&l->sink, sink);
}

static void fill_pieces(void *arg, int begin, int end, int worker)
{
    (void)worker;
    memset((uint8_t *)arg + (size_t)begin * PIECE, 1, (size_t)(end - begin) * PIECE);
}

static const struct limits_ops *ops_of(const struct kern_ops *ops)
{
#if defined(__x86_64__)
    if (ops->level == KERN_AVX512)
        return &limits_avx512;
    if (ops->level == KERN_AVXVNNI)
        return &limits_avxvnni;
    if (ops->level == KERN_AVX2)
        return &limits_avx2;
#elif defined(__aarch64__)
    if (ops->level == KERN_I8MM)
        return &limits_i8mm;
    if (ops->level == KERN_NEON)
        return &limits_neon;
#endif
    (void)ops;
    return &limits_ref;
}

int limits_create(struct limits **out, struct team *team, const struct kern_ops *ops, const void *memory,
                  size_t n, struct err *err)
{
    struct limits *l = calloc(1, sizeof *l);
    *out = NULL;
    if (l && !memory)
        l->own = sys_alloc_pages(OWN_BYTES);
    if (!l || (!memory && !l->own)) {
        free(l);
        return fail(err, ERR_NOMEM, "no memory to measure the speed of memory");
    }
    l->team = team;
    l->ops = ops_of(ops);
    l->memory = memory ? memory : l->own;
    l->n_pieces = (int)((memory ? n : (size_t)OWN_BYTES) / PIECE);
    if (l->own) {
        team_lease(team);
        team_run(team, fill_pieces, l->own, l->n_pieces, 1);
        team_release(team);
    }
    *out = l;
    return OK;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    sys_free_pages(l->own, OWN_BYTES);
    free(l);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double limits_read(struct limits *l)
{
    double rate[READ_PASSES];
    team_lease(l->team);
    for (int i = 0; i < READ_PASSES; i++) {
        int64_t t = clock_now_ns();
        team_run(l->team, read_pieces, l, l->n_pieces, 1);
        rate[i] = (double)l->n_pieces * PIECE * 1e9 / (double)(clock_now_ns() - t);
    }
    team_release(l->team);
    qsort(rate, READ_PASSES, sizeof *rate, by_value);
    return rate[READ_PASSES / 2];
}

double limits_multiply(struct limits *l)
{
    double best = 0;
    team_lease(l->team);
    for (int i = 0; i < MULTIPLY_PASSES; i++) {
        atomic_store(&l->done, 0);
        int64_t t = clock_now_ns();
        team_run(l->team, multiply_some, l, 16 * team_size(l->team), 1);
        double rate = (double)atomic_load(&l->done) * 1e9 / (double)(clock_now_ns() - t);
        best = rate > best ? rate : best;
    }
    team_release(l->team);
    return best;
}
