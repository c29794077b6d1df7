/* limits_i8mm.c - The limits of level i8mm. */
#define LIMITS_OPS limits_i8mm
#include "kernel/limits_impl.h"
