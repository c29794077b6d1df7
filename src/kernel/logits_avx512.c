/* logits_avx512.c - Passes over a row of logits, compiled for AVX-512. */
#define LOGITS_OPS logits_ops_avx512
#include "kernel/logits_impl.h"
