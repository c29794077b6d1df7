/* limits.h - What this machine can do at most, measured: the denominators of every benchmark. */
#ifndef KERNEL_LIMITS_H
#define KERNEL_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Read n bytes (a multiple of 256, 64-byte aligned) from front to back; returns a mix of all of them, so that
 * the reading cannot be left out. */
uint64_t limits_read(const void *p, size_t n);

/* Do int8 multiply-adds from registers, as fast as a level's instructions go: `rounds` rounds of
 * LIMITS_INT8_MACS each.  Returns something that depends on all of them. */
typedef int64_t limits_int8_fn(int64_t rounds);
#define LIMITS_INT8_MACS 4096

/* For a level as model_isa names it. */
limits_int8_fn *limits_int8_for(const char *isa);

limits_int8_fn limits_int8_plain;
#if defined(__x86_64__)
limits_int8_fn limits_int8_avx2;
limits_int8_fn limits_int8_avx512;
#endif

#endif
