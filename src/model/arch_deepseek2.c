/* arch_deepseek2.c - DeepSeek V2, V2 Lite, V3, R1, and models of their form (Kimi K2, GLM 4.7 Flash).
 *
 * Latent attention; the first layers dense, the others with experts and plain shared ones.  V2 chooses by
 * softmax, from the groups with the best expert; V3 by sigmoid and a bias, from the groups whose best two add
 * up to most.  All of that is said in the file. */
#include "model/arch.h"

const struct arch arch_deepseek2 = {
    .name = "deepseek2",
    .models = "DeepSeek V2, V3, R1",
    .rope = ARCH_ROPE_NORM,
    .attn = ARCH_ATTN_MLA,
    .ffn = ARCH_FFN_EITHER,
    .expert_groups = true,
    .shared = ARCH_SHARED_PLAIN,
};
