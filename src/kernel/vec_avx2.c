/* vec_avx2.c - The functions of vec_impl.h and attn_impl.h, with avx2 instructions. */
#define LEVEL_FILL kern_fill_avx2
#include "kernel/vec_impl.h"
