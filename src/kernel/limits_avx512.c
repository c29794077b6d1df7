/* limits_avx512.c - The limits of level avx512. */
#define LIMITS_OPS limits_avx512
#include "kernel/limits_impl.h"
