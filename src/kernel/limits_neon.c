/* limits_neon.c - The limits of level neon. */
#define LIMITS_OPS limits_neon
#include "kernel/limits_impl.h"
