/* limits.h - What this machine can do at most: reading memory, and multiplying bytes.
 *
 * Speeds of the engine are told as shares of these two, measured in the same sitting, because
 * both change with the neighbours on a host and with the clock. */
#ifndef KERNEL_LIMITS_H
#define KERNEL_LIMITS_H

#include "base/err.h"
#include "base/team.h"
#include "kernel/kernel.h"

/* Measures again and again, because the host is not still.  Owner: one thread. */
struct limits;

/* Reads `memory`, n bytes aligned to 64 and many times the size of the caches: best the weights themselves,
 * because all memory is not equally fast (what pages a host put behind it).  NULL: 256 MB of its own.  The
 * team and the memory must outlive it. */
int limits_create(struct limits **out, struct team *team, const struct kern_ops *ops, const void *memory,
                  size_t n, struct err *err);
void limits_free(struct limits *l); /* NULL is fine */

/* Bytes per second that all threads of the team read from it: the median of some passes.  Leases the team. */
double limits_read(struct limits *l);

/* int8 multiply-adds per second of all threads, in registers, with the level's best instruction: the best
 * of some passes.  Leases the team. */
double limits_multiply(struct limits *l);

/* The parts of a level (limits_LEVEL.c). */
struct limits_ops {
    uint64_t (*read)(const void *p,
                     size_t n); /* p aligned to 64, n a multiple of 256; any number made of all bytes */
    uint64_t (*multiply)(int rounds, uint64_t *sink); /* returns the number of multiply-adds done */
};
extern const struct limits_ops limits_ref, limits_avx2, limits_avxvnni, limits_avx512, limits_neon,
    limits_i8mm;

#endif
