/* matmul_avxvnni.c - Matrix products with AVX2 and the byte dot product of AVX-VNNI: see matmul_avx2_impl.h.
 */
#define STRIPS kern_strips_avxvnni
#include "kernel/matmul_avx2_impl.h"
