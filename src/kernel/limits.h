/* limits.h - What this machine can do at most: reading memory, and multiplying bytes.
 *
 * Speeds of the engine are told as shares of these two, measured in the same sitting, because
 * both change with the neighbours on a host and with the clock. */
#ifndef KERNEL_LIMITS_H
#define KERNEL_LIMITS_H

#include "base/err.h"
#include "base/team.h"
#include "kernel/kernel.h"

struct limits {
    double read_bytes_per_s; /* all threads of the team, memory much larger than the caches */
    double int8_macs_per_s;  /* all threads, in registers, with the level's best instruction */
};

/* Takes about 0.3 s and 256 MB for that time.  Leases the team; the best of several passes counts. */
int limits_measure(struct limits *limits, struct team *team, const struct kern_ops *ops, struct err *err);

/* The parts of a level (limits_LEVEL.c). */
struct limits_ops {
    uint64_t (*read)(const void *p,
                     size_t n); /* p aligned to 64, n a multiple of 256; any number made of all bytes */
    uint64_t (*multiply)(int rounds, uint64_t *sink); /* returns the number of multiply-adds done */
};
extern const struct limits_ops limits_ref, limits_avx2, limits_avx512;

#endif
