/* logits.c - Passes over a row of logits for any machine, and the choice among the levels. */
#define LOGITS_OPS logits_ops_plain
#include "kernel/logits_impl.h"

const struct logits_ops *logits_ops_for(const char *isa)
{
#if defined(__x86_64__)
    if (isa && !strcmp(isa, "avx512"))
        return &logits_ops_avx512;
    if (isa && (!strcmp(isa, "avx2") || !strcmp(isa, "avxvnni")))
        return &logits_ops_avx2;
#endif
    (void)isa;
    return &logits_ops_plain;
}

float logits_exp(float x)
{
    return exp_vec(vec_of(x))[0];
}
