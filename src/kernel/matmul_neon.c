/* matmul_neon.c - Matrix products by the dot product of ARMv8.2: see matmul_arm_impl.h. */
#define STRIPS kern_strips_neon
#include "kernel/matmul_arm_impl.h"
