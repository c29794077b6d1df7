/* arch_gpt_oss.c - gpt-oss: experts with biases, of which the chosen ones' logits alone pass softmax, and
 * sinks that take a part of attention.  Every other layer from the first on has a window. */
#include "model/arch.h"

const struct arch arch_gpt_oss = {
    .name = "gpt-oss",
    .models = "gpt-oss",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_MOE,
    .gate = ARCH_GATE_OAI,
    .softmax_chosen = true,
    .expert_biases = true,
    .sinks = true,
    .yarn_exact = true,
    .ffn_norm = "post_attention_norm.weight",
    .window_period = 2,
    .window = 128,
};
