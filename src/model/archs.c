/* archs.c - The table of architectures. */
#include <stdio.h>

#include "model/arch.h"

static const struct arch *const archs[] = {&arch_deepseek2, &arch_gemma, &arch_gemma2,  &arch_gemma3,
                                           &arch_gpt_oss,   &arch_llama, &arch_phi3,    &arch_qwen2,
                                           &arch_qwen2moe,  &arch_qwen3, &arch_qwen3moe};

enum { N_ARCHS = sizeof archs / sizeof *archs };

const struct arch *arch_find(struct str name)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (str_eq(name, str_c(archs[i]->name)))
            return archs[i];
    return NULL;
}

void arch_list(char *text, size_t cap)
{
    size_t n = 0;
    for (int i = 0; i < N_ARCHS && n < cap; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s%s", i ? ", " : "", archs[i]->name);
}
