/* limits_ref.c - The limits of level ref. */
#define LIMITS_OPS limits_ref
#include "kernel/limits_impl.h"
