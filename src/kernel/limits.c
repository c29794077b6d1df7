/* limits.c - Measure reading and multiplying with all threads of a team. */
#include "kernel/limits.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/sys.h"

enum { PIECE = 1 << 20, PIECES = 256, READ_PASSES = 24, MULTIPLY_PASSES = 6, ROUNDS = 400 };

struct job {
    const struct limits_ops *ops;
    const uint8_t *memory;
    _Atomic uint64_t done, sink;
};

static void read_pieces(void *arg, int begin, int end, int worker)
{
    struct job *j = arg;
    (void)worker;
    atomic_fetch_add(&j->sink,
                     j->ops->read(j->memory + (size_t)begin * PIECE, (size_t)(end - begin) * PIECE));
}

static void multiply_some(void *arg, int begin, int end, int worker)
{
    struct job *j = arg;
    uint64_t sink = 0, n = 0;
    (void)worker;
    for (int i = begin; i < end; i++)
        n += j->ops->multiply(ROUNDS / 8, &sink);
    atomic_fetch_add(&j->done, n);
    atomic_fetch_add(&j->sink, sink);
}

static void fill_pieces(void *arg, int begin, int end, int worker)
{
    (void)worker;
    memset((uint8_t *)arg + (size_t)begin * PIECE, 1, (size_t)(end - begin) * PIECE);
}

static double best_read(struct team *team, struct job *j)
{
    double best = 0;
    for (int i = 0; i < READ_PASSES; i++) {
        int64_t t = clock_now_ns();
        team_run(team, read_pieces, j, PIECES, 1);
        double rate = (double)PIECES * PIECE * 1e9 / (double)(clock_now_ns() - t);
        best = rate > best ? rate : best;
    }
    return best;
}

static double best_multiply(struct team *team, struct job *j)
{
    double best = 0;
    for (int i = 0; i < MULTIPLY_PASSES; i++) {
        atomic_store(&j->done, 0);
        int64_t t = clock_now_ns();
        team_run(team, multiply_some, j, 16 * team_size(team), 1);
        double rate = (double)atomic_load(&j->done) * 1e9 / (double)(clock_now_ns() - t);
        best = rate > best ? rate : best;
    }
    return best;
}

static const struct limits_ops *ops_of(const struct kern_ops *ops)
{
#if defined(__x86_64__)
    if (ops->level == KERN_AVX512)
        return &limits_avx512;
    if (ops->level == KERN_AVX2)
        return &limits_avx2;
#endif
    (void)ops;
    return &limits_ref;
}

int limits_measure(struct limits *limits, struct team *team, const struct kern_ops *ops, struct err *err)
{
    struct job j = {.ops = ops_of(ops)};
    uint8_t *memory = sys_alloc_pages((size_t)PIECES * PIECE);
    if (!memory)
        return fail(err, ERR_NOMEM, "no memory to measure the speed of memory");
    j.memory = memory;
    team_lease(team);
    team_run(team, fill_pieces, memory, PIECES, 1);
    limits->read_bytes_per_s = best_read(team, &j);
    limits->int8_macs_per_s = best_multiply(team, &j);
    team_release(team);
    sys_free_pages(memory, (size_t)PIECES * PIECE);
    return OK;
}
