/* matmul_i8mm.c - Matrix products by the 8-bit matrix product of ARMv8.6, where two rows or more are there:
 * see matmul_arm_impl.h. */
#define STRIPS kern_strips_i8mm
#include "kernel/matmul_arm_impl.h"
