/* arch_llama.c - Llama 1 to 3.3, Mistral 7B to Small and Nemo, Mixtral.
 *
 * The converter has permuted the rows of q and k so that rope rotates neighbours.  Llama 3.1 and
 * later bring their scaling as the tensor rope_freqs; Nemo says its head size by key_length;
 * Mixtral has experts: softmax over all, the best k, divided by their sum. */
#include "model/arch.h"

const struct arch arch_llama = {
    .name = "llama",
    .models = "Llama, Mistral, Mixtral",
    .rope = ARCH_ROPE_NORM,
    .ffn = ARCH_FFN_EITHER,
    .experts_sum_to_1 = true,
};
