/* vec_ref.c - The functions of vec_impl.h and attn_impl.h, in plain C. */
#define LEVEL_FILL kern_fill_ref
#include "kernel/vec_impl.h"
