/* logits_avx2.c - Passes over a row of logits, compiled for AVX2. */
#define LOGITS_OPS logits_ops_avx2
#include "kernel/logits_impl.h"
