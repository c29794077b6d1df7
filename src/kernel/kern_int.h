/* kern_int.h - What the files of the levels share. */
#ifndef KERNEL_KERN_INT_H
#define KERNEL_KERN_INT_H

#include "kernel/kernel.h"
#include "kernel/pack.h"

enum { KV_Q8_BLOCK = 544 }; /* bytes of 32 dimensions of a Q8_0 K tile */

/* Fill the functions of a level (vec_LEVEL.c) and its matrix products (matmul_LEVEL.c). */
void kern_fill_ref(struct kern_ops *ops);
void kern_fill_avx2(struct kern_ops *ops);
void kern_fill_avx512(struct kern_ops *ops);
void kern_strips_ref(struct kern_ops *ops);
void kern_strips_avx2(struct kern_ops *ops);
void kern_strips_avxvnni(struct kern_ops *ops);
void kern_strips_avx512(struct kern_ops *ops);
void kern_fill_neon(struct kern_ops *ops); /* of both ARM levels */
void kern_strips_neon(struct kern_ops *ops);
void kern_strips_i8mm(struct kern_ops *ops);

#endif
