/* arch_qwen2.c - Qwen 2 and 2.5: biases on q, k and v; the small ones tie the head.  With experts (1.5 and
 * 2): softmax over all, the best k as they are, and a shared expert behind a gate of its own. */
#include "model/arch.h"

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .models = "Qwen2, Qwen2.5",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
};

const struct arch arch_qwen2moe = {
    .name = "qwen2moe",
    .models = "Qwen1.5 and Qwen2 with experts",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_MOE,
    .shared = ARCH_SHARED_GATED,
};
