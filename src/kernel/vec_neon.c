/* vec_neon.c - The functions of vec_impl.h and attn_impl.h, compiled for NEON. */
#define LEVEL_FILL kern_fill_neon
#include "kernel/vec_impl.h"
