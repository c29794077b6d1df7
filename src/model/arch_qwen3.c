/* arch_qwen3.c - Qwen 3, dense and with experts: every head of q and k is normalised before rope. */
#include "model/arch.h"

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .models = "Qwen3",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
    .qk_norm = true,
};

const struct arch arch_qwen3moe = {
    .name = "qwen3moe",
    .models = "Qwen3 with experts",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_MOE,
    .qk_norm = true,
    .experts_sum_to_1 = true,
};
