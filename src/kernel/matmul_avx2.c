/* matmul_avx2.c - Matrix products with AVX2: see matmul_avx2_impl.h. */
#define STRIPS kern_strips_avx2
#include "kernel/matmul_avx2_impl.h"
