/* limits_avx2.c - The limits of level avx2. */
#define LIMITS_OPS limits_avx2
#include "kernel/limits_impl.h"
