/* arch_qwen2.c - Qwen 2 and 2.5: biases on q, k and v; the small ones tie the head. */
#include "model/arch.h"

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .models = "Qwen2, Qwen2.5",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
};
