/* vec_avx512.c - The functions of vec_impl.h and attn_impl.h, with avx512 instructions. */
#define LEVEL_FILL kern_fill_avx512
#include "kernel/vec_impl.h"
